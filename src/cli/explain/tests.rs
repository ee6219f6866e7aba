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

#[test]
fn what_a_terminal_would_obey_is_not_printed() {
    use clap::Parser;
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ExplainArgs,
    }
    let obeyed = |from: &str, to: &str, header: &str| {
        let line = [
            "x", "--realm", "trusted", "--source", "10.0.0.1", "--from", from, "--to", to, "--header", header,
        ];
        Line::try_parse_from(line).unwrap().args.obeyed()
    };
    assert_eq!(obeyed("1001", "+1202555", "X-Tab: a\tb"), None);
    assert_eq!(obeyed("\u{1b}[2J", "1", "X: a"), Some("--from"));
    assert_eq!(obeyed("1", "1\u{202e}", "X: a"), Some("--to"));
    assert_eq!(obeyed("1", "1", "X: a\u{9b}c"), Some("--header"));
}

/// Two accounts of one provider, which share a source and a tier.
const SHARED: &str = r#"
[[listener]]
realm = "trusted"
bind = "10.0.0.5:5060"
[[listener]]
realm = "untrusted"
bind = "203.0.113.5:5060"
[realm.trusted]
media_bind = "10.0.0.5"
[realm.untrusted]
media_bind = "203.0.113.5"
[trunk.pbx]
realm = "trusted"
host = "10.0.0.10"
numbering = { access_codes = ["9"] }
[trunk.sales]
host = "198.51.100.1"
weight = 3
tech_prefix = "77#"
match = { to = ["+1202555*"] }
[trunk.support]
host = "198.51.100.1"
[trunk.spare]
host = "198.51.100.2"
weight = 0
[[route]]
name = "out"
from = "trusted"
balance = "hash"
trunks = [["sales", "support", "spare"]]
[[route]]
name = "in"
from = "untrusted"
trunks = ["pbx"]
"#;

fn explained(realm: Realm, source: &str, to: &str) -> (String, String) {
    let config = config::parse("drawbridge.toml", SHARED).unwrap();
    let (source, from, to) = (self::source(source).unwrap(), "+12025550100".to_owned(), to.to_owned());
    let question = Question { realm, source, from, to, headers: vec![], resolved: vec![] };
    let explanation = explain(&Arc::new(app::offline_settings(&config)), &question);
    (page::print(&question, &explanation, Palette::PLAIN), json::print(&question, &explanation))
}

#[test]
fn the_page_says_who_is_first_in_a_tier() {
    let (page, json) = explained(Realm::Trusted, "10.0.0.10", "9+12125550123");
    let said = |text: &str| page.lines().find(|line| line.contains(text)).map(str::trim).unwrap_or_default();
    assert!(
        said("access code").ends_with("access code 9 taken off: +12125550123; has a +: international"),
        "{page}"
    );
    let choice = said("tier 1: one of");
    let begin = "tier 1: one of sales, support by the caller's number, weight 3:1; ";
    assert!(choice.starts_with(begin), "{page}");
    assert!(choice.ends_with(" first for this caller (weight 0, in reserve: spare)"), "{page}");
    assert!(page.contains("INVITE sip:77%23+12125550123@198.51.100.1 SIP/2.0"), "{page}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["choices"][0]["balance"], "hash");
    assert_eq!(json["choices"][0]["trunks"][0]["weight"], 3);
}

#[test]
fn the_page_says_whose_a_call_in_is_and_why() {
    let (page, json) = explained(Realm::Untrusted, "198.51.100.1", "+12025550123");
    for line in
        ["from        trunk sales", "match.to has +1202555*", "not trunk support: the other fits better"]
    {
        assert!(page.lines().any(|found| found.trim() == line), "{line}\n{page}");
    }
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["admission"]["also_claimed_by"], "support");
    assert_eq!(json["admission"]["claims"][0]["is_its"], true);
    let (page, _) = explained(Realm::Untrusted, "198.51.100.1", "+442079460000");
    for line in ["from        trunk support", "not trunk sales: match.to does not have the number"] {
        assert!(page.lines().any(|found| found.trim() == line), "{line}\n{page}");
    }
}
