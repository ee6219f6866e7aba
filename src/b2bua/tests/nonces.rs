//! Nonces on their own: which go out unasked, how they are counted, what a server can make us forget.

use std::net::IpAddr;

use super::*;
use crate::sip::digest::ChallengeFault;
use crate::sip::{Header, Method, Status, Writer};

const PEER: &str = "198.51.100.1:5060";

/// A trunk with its nonces, between a server and us.
struct Bench {
    nonces: Nonces,
    now: Instant,
    policy: Authentication,
    random: Random,
}

fn bench() -> Bench {
    let policy = Authentication::default();
    Bench {
        nonces: Nonces::default(),
        now: Instant::from_millis(1_000),
        policy,
        random: Random::from_number(7),
    }
}

fn request() -> Message {
    Writer::request(&Method::Options, b"sip:carrier.example").finish_with(b"text/plain", b"body").unwrap()
}

fn response(status: u16, headers: &[(Header, &str)]) -> Message {
    let mut writer = Writer::response(Status::of(status), None);
    for (header, value) in headers {
        writer = writer.header(*header, value);
    }
    writer.finish().unwrap()
}

fn asks(nonce: &str, more: &str) -> Message {
    let value = format!("Digest realm=\"carrier\", nonce=\"{nonce}\", qop=\"auth\"{more}");
    response(401, &[(Header::WwwAuthenticate, &value)])
}

impl Bench {
    fn place(&self) -> (TrunkName, SocketAddr) {
        ("carrier".into(), PEER.parse().unwrap())
    }

    /// Sends a request; gives the values of its Authorization headers.
    fn sends(&mut self, owed: &Answers) -> (Vec<String>, Answers) {
        let (trunk, peer) = self.place();
        let who = Credentials { username: "user".to_owned(), password: "secret".to_owned() };
        let (headers, answers) =
            self.nonces.authorize(self.now, (&trunk, peer), &who, &request(), owed, &mut self.random);
        let values = headers.into_iter().map(|(_, value)| String::from_utf8(value).unwrap());
        (values.collect(), answers)
    }

    fn is_asked(&mut self, by: &Message, answers: &Answers) -> Result<Answers, AuthenticationFault> {
        let (trunk, peer) = self.place();
        self.nonces.take(self.now, (&trunk, peer), &self.policy.clone(), by, answers)
    }

    fn is_answered(&mut self, by: &Message, answers: &Answers) {
        let (trunk, peer) = self.place();
        self.nonces.accepted(self.now, (&trunk, peer), answers, by);
    }

    /// A request that is challenged once, answers and is taken.
    fn learns(&mut self, challenge: &Message) {
        let (_, answers) = self.sends(&Answers::default());
        let owed = self.is_asked(challenge, &answers).unwrap();
        let (_, answers) = self.sends(&owed);
        self.is_answered(&response(200, &[]), &answers);
    }
}

/// A parameter of a digest answer.
fn parameter<'a>(answer: &'a str, name: &str) -> &'a str {
    let from = answer.find(&format!(" {name}=")).map_or(answer.len(), |at| at + name.len() + 2);
    answer[from..].split(',').next().unwrap().trim_matches('"')
}

#[test]
fn a_nonce_goes_out_unasked_and_is_counted() {
    let mut bench = bench();
    assert!(bench.sends(&Answers::default()).0.is_empty());
    bench.learns(&asks("n1", ""));
    for count in ["00000002", "00000003"] {
        let (sent, _) = bench.sends(&Answers::default());
        assert_eq!(sent.len(), 1);
        assert_eq!((parameter(&sent[0], "nonce"), parameter(&sent[0], "nc")), ("n1", count));
    }
    bench.now = bench.now + MAX_NONCE_AGE;
    assert!(bench.sends(&Answers::default()).0.is_empty(), "it is too old");
}

#[test]
fn a_nonce_that_nobody_has_accepted_goes_out_to_who_asked_alone() {
    let mut bench = bench();
    let (_, answers) = bench.sends(&Answers::default());
    let owed = bench.is_asked(&asks("n1", ""), &answers).unwrap();
    assert!(bench.sends(&Answers::default()).0.is_empty());
    let (sent, answers) = bench.sends(&owed);
    assert_eq!(parameter(&sent[0], "nc"), "00000001");
    bench.is_answered(&response(403, &[]), &answers);
    assert!(bench.sends(&Answers::default()).0.is_empty(), "403 may mean the nonce");
}

#[test]
fn a_stale_nonce_is_renewed_and_counts_as_no_failure() {
    let mut bench = bench();
    bench.learns(&asks("n1", ""));
    let (_, answers) = bench.sends(&Answers::default());
    let owed = bench.is_asked(&asks("n2", ", stale=true"), &answers).unwrap();
    let (sent, answers) = bench.sends(&owed);
    assert_eq!((parameter(&sent[0], "nonce"), parameter(&sent[0], "nc")), ("n2", "00000001"));
    // Stale once more, and then no more.
    let owed = bench.is_asked(&asks("n3", ", stale=true"), &answers).unwrap();
    let (_, answers) = bench.sends(&owed);
    let fault = bench.is_asked(&asks("n4", ", stale=true"), &answers).unwrap_err();
    assert_eq!(fault, AuthenticationFault::Endless { realm: "carrier".to_owned() });
}

#[test]
fn a_server_that_has_forgotten_its_nonce_is_answered_once_and_a_wrong_password_not_at_all() {
    let mut bench = bench();
    bench.learns(&asks("n1", ""));
    let (_, answers) = bench.sends(&Answers::default());
    let owed = bench.is_asked(&asks("n2", ""), &answers).unwrap();
    let (_, answers) = bench.sends(&owed);
    let refused = AuthenticationFault::Refused { realm: "carrier".to_owned() };
    assert_eq!(bench.is_asked(&asks("n3", ""), &answers).unwrap_err(), refused);
    assert!(bench.sends(&Answers::default()).0.is_empty());
}

#[test]
fn a_server_that_asks_with_one_nonce_for_ever_is_answered_each_time() {
    let mut bench = bench();
    bench.learns(&asks("n", ""));
    for count in ["00000003", "00000005"] {
        let (_, answers) = bench.sends(&Answers::default());
        let owed = bench.is_asked(&asks("n", ""), &answers).unwrap();
        let (sent, answers) = bench.sends(&owed);
        assert_eq!(parameter(&sent[0], "nc"), count);
        bench.is_answered(&response(200, &[]), &answers);
    }
}

#[test]
fn where_no_nonce_lasts_none_goes_out_unasked_for_a_while() {
    for (qop, tries) in [(", qop=\"auth\"", MAX_WASTED), ("", 1)] {
        let mut bench = bench();
        let ask = |nonce: u32| {
            let value = format!("Digest realm=\"carrier\", nonce=\"{nonce}\"{qop}");
            response(401, &[(Header::WwwAuthenticate, &value)])
        };
        for nonce in 0..=u32::from(tries) {
            bench.learns(&ask(nonce));
        }
        assert!(bench.sends(&Answers::default()).0.is_empty(), "{qop}");
        bench.now = bench.now + PAUSE;
        assert_eq!(bench.sends(&Answers::default()).0.len(), 1, "{qop}");
    }
}

#[test]
fn the_next_nonce_that_a_server_names_takes_the_place_of_the_last() {
    let mut bench = bench();
    bench.learns(&asks("n1", ""));
    let (_, answers) = bench.sends(&Answers::default());
    bench.is_answered(&response(200, &[(Header::AuthenticationInfo, "nextnonce=\"n2\"")]), &answers);
    let (sent, _) = bench.sends(&Answers::default());
    assert_eq!((parameter(&sent[0], "nonce"), parameter(&sent[0], "nc")), ("n2", "00000001"));
}

#[test]
fn the_key_of_a_session_stays_as_long_as_its_nonce() {
    let mut bench = bench();
    bench.learns(&asks("n1", ", algorithm=MD5-sess"));
    let (first, answers) = bench.sends(&Answers::default());
    bench.is_answered(&response(200, &[(Header::AuthenticationInfo, "nextnonce=\"n2\"")]), &answers);
    let (second, answers) = bench.sends(&Answers::default());
    assert_eq!(parameter(&first[0], "cnonce"), parameter(&second[0], "cnonce"));
    assert_eq!(parameter(&second[0], "nonce"), "n1");
    assert_ne!(parameter(&first[0], "response"), parameter(&second[0], "response"));
    let owed = bench.is_asked(&asks("n3", ", algorithm=MD5-sess, stale=true"), &answers).unwrap();
    assert_ne!(parameter(&bench.sends(&owed).0[0], "cnonce"), parameter(&second[0], "cnonce"));
}

/// RFC 3261 §22.3: a proxy that forks collects the challenges of servers and proxies.
#[test]
fn each_realm_of_a_response_is_answered_by_its_strongest_challenge() {
    let mut bench = bench();
    let ask = response(
        407,
        &[
            (Header::ProxyAuthenticate, "Digest realm=\"p\", nonce=\"weak\", algorithm=MD5"),
            (Header::ProxyAuthenticate, "Digest realm=\"p\", nonce=\"strong\", algorithm=SHA-256"),
            (
                Header::WwwAuthenticate,
                "Digest realm=\"w\", nonce=\"3\", algorithm=SHA-1, Digest realm=\"w\", nonce=\"4\"",
            ),
            (Header::WwwAuthenticate, "Basic realm=\"w\""),
        ],
    );
    let owed = bench.is_asked(&ask, &Answers::default()).unwrap();
    let (sent, _) = bench.sends(&owed);
    let nonces: Vec<_> = sent.iter().map(|value| parameter(value, "nonce")).collect();
    assert_eq!(nonces, ["strong", "4"]);
}

#[test]
fn realms_and_hashes_that_the_trunk_does_not_name_get_nothing() {
    let mut bench = bench();
    bench.policy.realms = vec!["euc1.sip.sinch.com".to_owned()];
    let fault = bench.is_asked(&asks("n", ""), &Answers::default()).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "realm \"carrier\" asks, and auth_realm is \"euc1.sip.sinch.com\"; is it the right host?"
    );
    bench.policy = Authentication { realms: Vec::new(), algorithms: vec!["SHA-256".to_owned()] };
    let fault = bench.is_asked(&asks("n", ""), &Answers::default()).unwrap_err();
    assert_eq!(fault, AuthenticationFault::Algorithm { realm: "carrier".to_owned(), algorithm: "MD5" });
    assert!(bench.is_asked(&asks("n", ", algorithm=SHA-256"), &Answers::default()).is_ok());
    let none = bench.is_asked(&response(401, &[]), &Answers::default()).unwrap_err();
    assert_eq!(none, AuthenticationFault::NoChallenge);
    let basic = response(401, &[(Header::WwwAuthenticate, "Basic realm=\"x\"")]);
    let fault = bench.is_asked(&basic, &Answers::default()).unwrap_err();
    assert_eq!(fault, AuthenticationFault::Unusable(ChallengeFault::NotDigest));
}

#[test]
fn realms_without_end_are_not_answered_without_end() {
    let mut bench = bench();
    let mut answers = Answers::default();
    for realm in 0.. {
        let value = format!("Digest realm=\"{realm}\", nonce=\"n\"");
        match bench.is_asked(&response(407, &[(Header::ProxyAuthenticate, &value)]), &answers) {
            Ok(owed) => answers = bench.sends(&owed).1,
            Err(fault) => {
                assert_eq!(realm, u32::from(MAX_RESENT));
                return assert_eq!(fault, AuthenticationFault::Endless { realm: realm.to_string() });
            }
        }
    }
}

#[test]
fn the_table_is_bounded_and_its_oldest_place_goes_first() {
    let mut bench = bench();
    for place in 0..u32::try_from(MAX_NONCES).unwrap() + 10 {
        let peer = SocketAddr::new(IpAddr::V4((0x0a00_0000 + place).into()), 5060);
        bench.now = bench.now + Duration::from_millis(1);
        let trunk = "carrier".into();
        bench
            .nonces
            .take(bench.now, (&trunk, peer), &bench.policy, &asks("n", ""), &Answers::default())
            .unwrap();
    }
    assert_eq!(bench.nonces.places.len(), MAX_NONCES);
    let first = &bench.nonces.places.keys().next().unwrap().1;
    assert_eq!(first.ip().to_string(), "10.0.0.10");
}

#[test]
fn a_fault_is_told_once_and_again_when_it_changes() {
    let mut bench = bench();
    let trunk: TrunkName = "carrier".into();
    let refused = AuthenticationFault::Refused { realm: "a".to_owned() };
    let endless = AuthenticationFault::Endless { realm: "a".to_owned() };
    assert!(bench.nonces.is_news(bench.now, &trunk, &refused));
    assert!(!bench.nonces.is_news(bench.now, &trunk, &refused));
    assert!(!bench.nonces.is_news(bench.now, &trunk, &endless), "not in a burst");
    bench.now = bench.now + TELL_OTHER;
    assert!(!bench.nonces.is_news(bench.now, &trunk, &refused));
    assert!(bench.nonces.is_news(bench.now, &trunk, &endless));
    bench.now = bench.now + TELL_AGAIN;
    assert!(bench.nonces.is_news(bench.now, &trunk, &endless));
}
