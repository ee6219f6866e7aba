//! Sentences for what no fake carrier of tests/trunk_test does.

use std::sync::Arc;
use std::time::Duration;

use super::super::place::{Origin, Place, Subject};
use super::super::step::{Mark, Step};
use super::super::wire::{Answered, Fault};
use super::options::{self, Scene};
use super::{address, authentication};
use crate::b2bua::AuthenticationFault;
use crate::b2bua::inquiry::{self, Finding};
use crate::base::Transport;
use crate::config;
use crate::sip::Message;
use crate::sip::digest::{Challenge, ChallengeFault};

const CONFIG: &str = r#"
[[listener]]
realm = "trusted"
bind = "10.0.0.5:5060"
[[listener]]
realm = "untrusted"
bind = "10.0.0.6:5060"
advertise = "203.0.113.5:5060"
[realm.trusted]
media_bind = "10.0.0.5"
[realm.untrusted]
media_bind = "10.0.0.6"
[trunk.carrier]
host = "192.0.2.1"
domain = "carrier.example"
username = "alice"
password = "secret"
"#;

/// A carrier's answer, read.
struct Stage {
    subject: Subject,
    place: Place,
    origin: Origin,
}

impl Stage {
    fn new() -> Stage {
        let config = config::parse("test.toml", CONFIG).unwrap();
        let trunk = config.routing.trunks[0].clone();
        let place = Place {
            host: "192.0.2.1".into(),
            name: "192.0.2.1".into(),
            address: "192.0.2.1:5060".parse().unwrap(),
            transport: Transport::Udp,
        };
        let listener = config.listeners[1].clone();
        let subject =
            Subject { config: Arc::new(config), trunk: Arc::new(trunk), patience: Duration::from_secs(4) };
        let origin =
            Origin { is_elsewhere: false, bind: listener.bind.ip(), ..Origin::towards(&place, &listener) };
        Stage { subject, place, origin }
    }

    fn scene(&self) -> Scene<'_> {
        let local = "10.0.0.6:40000".parse().unwrap();
        Scene { subject: &self.subject, place: &self.place, origin: &self.origin, local }
    }

    fn answered(&self, code: u16, via: &str, headers: &str, digest: Digest) -> Answered {
        let text = format!(
            "SIP/2.0 {code} Whatever\r\nVia: SIP/2.0/UDP 203.0.113.5:40000;branch=z9hG4bK1{via}\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n{headers}\
             Content-Length: 0\r\n\r\n"
        );
        let response = Message::parse(text.into_bytes().into()).unwrap();
        let (answered, fault) = digest;
        let finding = Finding { response, answered, fault };
        Answered { finding, took: Duration::ZERO, from: self.place.address }
    }

    fn options(&self, code: u16, headers: &str) -> Step {
        options::answered(&self.scene(), &self.answered(code, "", headers, NOT_ASKED))
    }

    fn register(&self, code: u16, digest: Digest) -> Step {
        self.register_challenged(code, "", digest)
    }

    fn register_challenged(&self, code: u16, headers: &str, digest: Digest) -> Step {
        let answered = self.answered(code, ";received=198.51.100.9", headers, digest);
        authentication::judge(&self.scene(), inquiry::Subject::Bindings, &answered)
    }
}

/// What was answered of challenges, and what was not.
type Digest = (Vec<Challenge>, Option<AuthenticationFault>);
const NOT_ASKED: Digest = (Vec::new(), None);

fn challenge(more: &str) -> Challenge {
    let value = format!("Digest realm=\"carrier.example\", nonce=\"n\"{more}");
    Challenge::parse(value.as_bytes()).unwrap().remove(0)
}

fn says(step: &Step, mark: Mark, words: &[&str]) {
    let text = format!("{}\n{}", step.what, step.hints.join("\n"));
    assert_eq!(step.mark, mark, "{text}");
    for word in words {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

#[test]
fn every_code_of_options_is_alive_or_has_a_cure() {
    let stage = Stage::new();
    says(&stage.options(200, "Allow: OPTIONS, REGISTER\r\n"), Mark::Warned, &["does not name INVITE"]);
    for code in [404, 405, 501, 488] {
        says(&stage.options(code, ""), Mark::Passed, &["alive; it does not do OPTIONS"]);
    }
    says(&stage.options(302, "Contact: <sip:other.example>\r\n"), Mark::Warned, &["<sip:other.example>"]);
    says(&stage.options(408, ""), Mark::Failed, &["what is behind it does not answer", "support"]);
    says(&stage.options(483, ""), Mark::Failed, &["goes in a circle", "lead back to this SBC"]);
    says(&stage.options(500, ""), Mark::Warned, &["broken on their side"]);
    says(&stage.options(403, ""), Mark::Failed, &["add 203.0.113.5 (203.0.113.5/32)"]);
}

#[test]
fn what_follows_a_digest_says_whether_it_was_taken() {
    let stage = Stage::new();
    let sent = || (vec![challenge(", algorithm=SHA-256")], None);
    let fault = |fault| (Vec::new(), Some(fault));
    says(&stage.register(200, sent()), Mark::Passed, &["as \"alice\", realm \"carrier.example\", SHA-256"]);
    says(&stage.register(405, sent()), Mark::Passed, &["the digest was taken"]);
    says(&stage.register(403, sent()), Mark::Failed, &["locked", "add 198.51.100.9"]);
    says(&stage.register(500, sent()), Mark::Failed, &["broken on their side"]);
    let realm = || "carrier.example".to_owned();
    let stale = fault(AuthenticationFault::Endless { realm: realm() });
    says(&stage.register(401, stale), Mark::Failed, &["each time \"stale\""]);
    let unknown = fault(AuthenticationFault::Unusable(ChallengeFault::Unsupported));
    let asks = "WWW-Authenticate: Digest algorithm=AKAv1-MD5\r\n";
    says(&stage.register_challenged(401, asks, unknown), Mark::Failed, &["AKAv1-MD5", "SHA-512-256"]);
    let nothing = fault(AuthenticationFault::NoChallenge);
    says(&stage.register(401, nothing), Mark::Failed, &["401 without a challenge", "WWW-Authenticate"]);
    let weak = fault(AuthenticationFault::Algorithm { realm: realm(), algorithm: "MD5" });
    says(&stage.register(401, weak), Mark::Failed, &["wants MD5", "auth_algorithms"]);
    let wrong = (vec![challenge("")], Some(AuthenticationFault::Refused { realm: realm() }));
    let step = stage.register(401, wrong);
    says(&step, Mark::Failed, &["username or password is wrong"]);
    assert_eq!(
        (&step.detail["realm"], &step.detail["algorithm"]),
        (&"carrier.example".into(), &"MD5".into())
    );
    let silence = Fault::Silence { times: 4, is_working: false };
    let silent = authentication::failed(&stage.scene(), &silence, Duration::ZERO);
    says(&silent, Mark::Warned, &["cannot be tested without a call"]);
}

#[test]
fn an_address_is_compared_with_what_the_listener_advertises() {
    let stage = Stage::new();
    let seen = |via| address::seen(&stage.scene(), &stage.answered(200, via, "", NOT_ASKED).finding.response);
    says(&seen(""), Mark::Passed, &["they see 203.0.113.5, as it says of itself"]);
    let step = seen(";received=203.0.113.5;rport=61000");
    says(&step, Mark::Warned, &["203.0.113.5:61000, as advertised", "media_advertise = \"203.0.113.5\""]);
    let step = seen(";received=198.51.100.9");
    says(&step, Mark::Warned, &["behind NAT: they see 198.51.100.9", "advertise = \"198.51.100.9:5060\""]);
    let step = seen(";received=10.0.0.6");
    says(&step, Mark::Warned, &["they see 10.0.0.6, and calls say 203.0.113.5"]);
}
