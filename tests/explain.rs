//! `drawbridge explain` as an operator meets it: exit codes, the page, the JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::{Command, Output};

const CONFIG: &str = r#"
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
[numbering]
country = "GB"
[trunk.pbx]
realm = "trusted"
host = "10.0.0.10"
[trunk.carrier]
host = "sip.carrier.example"
port = 5060
identity = "pai"
username = "alice"
password = "not-to-be-seen"
caller_id = { default = "+442079460000", allowed = ["+4420794600*"], otherwise = "default" }
[trunk.spare]
host = "198.51.100.2"
send_numbers = "plain"
caller_id = { allowed = ["+4420794600*"], otherwise = "reject" }
[[route]]
name = "in"
from = "untrusted"
trunks = ["pbx"]
[[route]]
name = "help"
from = "trusted"
to = ["112", "999"]
trunks = ["spare"]
[[route]]
name = "out"
from = "trusted"
to = ["+44*", "+1*"]
trunks = ["carrier", "spare"]
"#;

struct Site {
    directory: PathBuf,
}

impl Site {
    fn new(name: &str, config: &str) -> Site {
        let directory =
            std::env::temp_dir().join(format!("drawbridge-explain-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("drawbridge.toml"), config).unwrap();
        Site { directory }
    }

    fn explain(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command.arg("explain").args(arguments).arg("--config").arg(self.directory.join("drawbridge.toml"));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

const OUT: [&str; 8] =
    ["--realm", "trusted", "--source", "10.0.0.10", "--from", "02079460012", "--to", "00442079460999"];

#[test]
fn a_call_that_would_be_routed_is_shown_from_end_to_end() {
    let site = Site::new("routed", CONFIG);
    let (code, page, error) = site.explain(&OUT);
    assert_eq!((code, error.as_str()), (0, ""), "{page}");
    for line in [
        "  admitted    by 10.0.0.10/32, the host of trunk pbx; heard by 10.0.0.5:5060 udp",
        "  called      00442079460999 → +442079460999  international prefix 00: +442079460999",
        "  route       ✗ in    is for calls from untrusted",
        "              ✗ help  +442079460999 is not of 112 999",
        "              ✓ out   from trusted, to +44*",
        "   1  trunk carrier  tier 1",
        "      asks DNS   A sip.carrier.example",
        "      target     sip.carrier.example:5060 udp, where DNS says, sent from 203.0.113.5:5060",
        "        INVITE sip:+442079460999@sip.carrier.example SIP/2.0",
        "        P-Asserted-Identity: <sip:+442079460012@sip.carrier.example>",
        "   2  trunk spare  tier 2",
        "        INVITE sip:442079460999@198.51.100.2 SIP/2.0",
        "  ✓ would be routed by route out: carrier, then spare",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert!(!page.contains('\x1b'), "no colours in a pipe");
    assert!(!page.contains("not-to-be-seen"));
    assert!(page.lines().all(|line| line.trim_end() == line), "blanks at the end of a line:\n{page}");
}

/// A URI may hold what a terminal would obey, escaped (RFC 3261 §19.1.2); and what is typed wrong is told again.
#[test]
fn no_argument_reaches_the_terminal_as_more_than_text() {
    let site = Site::new("terminal", CONFIG);
    let is_text = |text: &str| {
        text.chars().all(|letter| letter == '\n' || !letter.is_control() && letter != '\u{202e}')
    };
    for user in ["%1b%5b2J", "44%0d%0aVia:", "%c2%9b2J", "%e2%80%ae1", "+44%1b"] {
        let uri = format!("sip:{user}@10.0.0.5");
        for (from, to) in [(uri.as_str(), "00442079460999"), ("1001", uri.as_str())] {
            let (_, page, error) =
                site.explain(&["--realm", "trusted", "--source", "10.0.0.10", "--from", from, "--to", to]);
            assert!(page.contains('\u{fffd}') && is_text(&page), "{page:?}");
            assert_eq!(error, "");
        }
    }
    for wrong in [
        ["--realm", "tr\u{202e}\r"],
        ["--source", "1\u{9b}"],
        ["--header", "a\u{7}b: c"],
        ["--resolve", "a=\r"],
    ] {
        let (code, page, error) = site.explain(&wrong);
        assert_eq!((code, page.as_str()), (2, ""));
        assert!(error.starts_with("error: invalid value") && is_text(&error), "{error:?}");
    }
}

#[test]
fn refusals_exit_with_one_and_say_status_and_cure() {
    let site = Site::new("refused", CONFIG);
    let refused = |arguments: &[&str], words: &[&str]| {
        let (code, page, _) = site.explain(arguments);
        assert_eq!(code, 1, "{page}");
        for word in words {
            assert!(page.contains(word), "{word}\n{page}");
        }
    };
    let from_pbx = |to: &'static str| {
        ["--realm", "trusted", "--source", "10.0.0.10:5080", "--from", "02079460012", "--to", to]
    };
    refused(&from_pbx("+33145678901"), &["404 Not Found: no route matches", "[[route]] with from = \"pbx\""]);
    refused(
        &from_pbx("020794600001"),
        &["would be refused with 484 Address Incomplete: it is no national", "called      020794600001 ✗"],
    );
    let looping = [&from_pbx("+442079460012")[..], &["--header", "Max-Forwards: 0"]].concat();
    refused(&looping, &["✗ would be refused with 483 Too Many Hops\n"]);
    refused(
        &["--realm", "trusted", "--source", "10.0.0.11", "--from", "1", "--to", "112"],
        &["would get no answer: the source is in no allowlist", "write 10.0.0.11 into allow"],
    );
    let stranger =
        ["--realm", "untrusted", "--source", "198.51.100.1", "--from", "1", "--to", "+442079460012"];
    refused(&stranger, &["✗ no entry", "--resolve sip.carrier.example=198.51.100.1"]);
    let known = [&stranger[..], &["--resolve", "sip.carrier.example=198.51.100.1"]].concat();
    let (code, page, _) = site.explain(&known);
    assert_eq!(code, 0, "{page}");
    assert!(page.contains("198.51.100.1/32, sip.carrier.example of trunk carrier"), "{page}");
}

#[test]
fn machines_get_one_object_with_the_same() {
    let site = Site::new("json", CONFIG);
    let (code, text, _) = site.explain(&[&OUT[..], &["--json", "--header", "Privacy: id"]].concat());
    assert_eq!(code, 0, "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["verdict"]["routed"], true);
    assert_eq!(json["admission"]["by"]["list"], "trunk.host");
    assert_eq!(json["called"]["number"], "+442079460999");
    assert_eq!(json["privacy"], "hidden");
    assert_eq!(json["routes"][2]["pattern"], "+44*");
    let invite = &json["trunks"][0]["targets"][0]["invite"];
    assert_eq!(invite["request_uri"], "sip:+442079460999@sip.carrier.example");
    assert_eq!(invite["headers"][0]["value"], "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
    assert!(!text.contains("not-to-be-seen"));
    let (code, text, _) = site.explain(&[
        "--realm",
        "trusted",
        "--source",
        "10.0.0.10",
        "--from",
        "+15550100",
        "--to",
        "112",
        "--json",
    ]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["called"]["kind"]), (0, &"emergency".into()), "{text}");
}

#[test]
fn wrong_usage_is_two_and_a_wrong_configuration_one() {
    let site = Site::new("usage", CONFIG);
    for wrong in [
        &["--realm", "trusted"][..],
        &["--realm", "inside", "--source", "10.0.0.10", "--from", "1", "--to", "2"],
        &["--realm", "trusted", "--source", "pbx", "--from", "1", "--to", "2"],
        &["--realm", "trusted", "--source", "10.0.0.10", "--from", "1", "--to", "2", "--header", "Privacy"],
    ] {
        let (code, _, error) = site.explain(wrong);
        assert_eq!(code, 2, "{error}");
    }
    let faulty =
        Site::new("faulty", &CONFIG.replace("realm = \"trusted\"\nhost", "relm = \"trusted\"\nhost"));
    let (code, page, error) = faulty.explain(&OUT);
    assert_eq!((code, page.as_str()), (1, ""));
    assert!(error.contains("did you mean"), "{error}");
    let (code, text, _) = faulty.explain(&[&OUT[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["verdict"]["routed"]), (1, &false.into()));
}
