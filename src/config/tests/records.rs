//! `[cdr]`.

use std::path::Path;
use std::time::Duration;

use super::super::*;
use super::{MINIMAL, minimal_and, read, valid};

#[test]
fn records_go_to_a_file_with_its_journal_beside_it() {
    let cdr = valid("[cdr]\npath = \"/var/log/d/cdr.jsonl\"\n").cdr;
    assert_eq!(cdr.path.as_deref(), Some(Path::new("/var/log/d/cdr.jsonl")));
    assert_eq!(cdr.journal_path().as_deref(), Some(Path::new("/var/log/d/cdr.jsonl.open")));
    assert_eq!((cdr.sync, cdr.post), (Duration::from_secs(1), None));
    let none = valid("[cdr]\npath = \"\"\n").cdr;
    assert_eq!((none.path.as_ref(), none.journal_path()), (None, None));
    let cdr = valid("[cdr]\npath = \"/a\"\njournal = \"/b\"\nsync = \"0s\"\n").cdr;
    assert_eq!((cdr.journal_path().as_deref(), cdr.sync), (Some(Path::new("/b")), Duration::ZERO));
}

#[test]
fn a_copy_goes_to_a_url_by_a_spool() {
    let post = valid("[cdr]\npost = { url = \"http://192.0.2.9/cdr?a=b\" }\n").cdr.post.unwrap();
    assert_eq!(
        (post.url.host.as_str(), post.url.port, post.url.target.as_str()),
        ("192.0.2.9", 80, "/cdr?a=b")
    );
    assert_eq!(post.spool, Path::new("/var/lib/drawbridge/cdr-spool"));
    assert_eq!((post.spool_max, post.batch, post.timeout.as_secs()), (100_000_000, 1, 10));
    assert_eq!(post.url.to_string(), "http://192.0.2.9/cdr", "a query may hold a secret");

    let whole = "[cdr]\n[cdr.post]\nurl = \"https://[2001:db8::9]:8443/\"\nbatch = 50\ntimeout = \"5s\"\n\
                 spool = \"/s\"\nspool_max = \"2GB\"\nheaders = { Authorization = \"${file:/run/credentials/sinch}\" }\n\
                 ca = \"CA\"\n";
    let authority = crate::transport::Authority::new("records");
    let post = valid(&whole.replace("CA", &authority.ca().display().to_string())).cdr.post.unwrap();
    assert_eq!((post.url.host.as_str(), post.url.port, post.tls.is_some()), ("2001:db8::9", 8_443, true));
    assert_eq!((post.spool_max, post.batch), (2_000_000_000, 50));
    assert_eq!(post.headers, [("Authorization".to_owned(), "hunter3".to_owned())]);
    assert!(!format!("{post:?}").contains("hunter3"));
}

#[test]
fn what_cannot_be_a_copy_is_a_fault_with_its_cure() {
    let fault_of = |text: &str| {
        let faults = read(&[("drawbridge.toml", &minimal_and(&format!("[cdr]\n{text}\n")))]).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (text, told) in [
        ("post = { url = \"ftp://a.example/\" }", "write it as http://192.0.2.7:8080/cdr"),
        ("post = { url = \"/cdr\" }", "is no URL that can be sent to"),
        ("post = { url = \"http://u:hunter2@a.example/\" }", "headers = { Authorization"),
        ("post = { }", "url is missing"),
        ("post = { url = \"http://a.example/\", headers = { Host = \"b\" } }", "writes itself"),
        ("post = { url = \"http://a.example/\", spool_max = \"1\" }", "write a whole number with MB or GB"),
        ("post = { url = \"http://a.example/\", spool = \"s\" }", "is no absolute path"),
        ("post = { url = \"http://a.example/\", bacth = 2 }", "did you mean \"batch\"?"),
        ("sync = \"2m\"", "write \"100ms\" to \"60s\""),
    ] {
        let fault = fault_of(text);
        assert!(fault.contains(told) && !fault.contains("hunter2"), "{text}: {fault}");
    }
}

#[test]
fn what_changes_is_told_without_secrets() {
    let with = |token: &str| {
        let text = format!(
            "{MINIMAL}[cdr]\npath = \"/a\"\npost = {{ url = \"http://a.example/\", headers = {{ X-Key = \"{token}\" }} }}\n"
        );
        read(&[("drawbridge.toml", &text)]).unwrap()
    };
    let lines = diff(&valid(""), &with("hunter2"));
    assert!(lines.contains(&"cdr.path: none → /a".to_owned()), "{lines:?}");
    let lines = diff(&with("hunter2"), &with("hunter3"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("cdr.post, its query and headers") && !lines[0].contains("hunter"),
        "{lines:?}"
    );
}
