use super::*;

#[test]
fn a_source_may_have_a_port_in_either_family() {
    for (text, meant) in [
        ("192.0.2.1", "192.0.2.1:5060"),
        ("192.0.2.1:5080", "192.0.2.1:5080"),
        ("2001:db8::1", "[2001:db8::1]:5060"),
        ("[2001:db8::1]", "[2001:db8::1]:5060"),
        ("[2001:db8::1]:5080", "[2001:db8::1]:5080"),
    ] {
        assert_eq!(source(text).unwrap(), meant.parse().unwrap(), "{text}");
    }
    assert!(source("sip.example").is_err());
}

#[test]
fn headers_and_names_are_read_as_written() {
    assert_eq!(header("Privacy: id;critical").unwrap(), ("Privacy".to_owned(), "id;critical".to_owned()));
    assert!(header("Privacy").is_err());
    assert!(header("Two words: 1").is_err());
    assert_eq!(
        resolved("sip.example.=2001:db8::1").unwrap(),
        ("sip.example".to_owned(), "2001:db8::1".parse().unwrap())
    );
    assert!(resolved("sip.example=here").is_err());
}
