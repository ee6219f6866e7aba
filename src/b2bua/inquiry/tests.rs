use super::*;
use crate::sip::{Header, Status, response_to};

const MD5: &str = r#"Digest realm="carrier.example", nonce="n1", qop="auth""#;
const SHA: &str = r#"Digest realm="carrier.example", nonce="n2", qop="auth", algorithm=SHA-256"#;

fn party(transport: Transport) -> Party {
    Party {
        trunk: "carrier".into(),
        peer: "192.0.2.1:5080".parse().unwrap(),
        transport,
        sent_by: "203.0.113.5:40000".to_owned(),
        here: "203.0.113.5:5060".to_owned(),
        target: "carrier.example:5080".to_owned(),
        registrar: "carrier.example".to_owned(),
        user: Some("alice".to_owned()),
        domain: "carrier.example".to_owned(),
        credentials: Some(Credentials {
            username: "alice@carrier.example".into(),
            password: "secret".into(),
        }),
        authentication: Authentication::default(),
    }
}

/// A question, and the request as it goes out first.
fn asked(party: Party, subject: Subject) -> (Inquiry, Message) {
    let mut inquiry = Inquiry::new(party, subject, at(0), Random::from_number(1)).unwrap();
    let request = inquiry.take_due(at(0)).unwrap().clone();
    (inquiry, request)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn answer(request: &Message, code: u16, challenges: &[&str]) -> Message {
    let source = "203.0.113.5:40000".parse().unwrap();
    let header = if code == 401 { Header::WwwAuthenticate } else { Header::ProxyAuthenticate };
    let writer = response_to(request, source, Status::of(200), None, Some("t"));
    let mut text = String::from_utf8(writer.finish().unwrap().as_bytes().to_vec()).unwrap();
    text = text.replacen("200 OK", &format!("{code} Whatever"), 1);
    let lines: String = challenges.iter().map(|value| format!("{}: {value}\r\n", header.as_str())).collect();
    text = text.replacen("Content-Length", &format!("{lines}Content-Length"), 1);
    Message::parse(text.into_bytes().into()).unwrap()
}

fn ended(heard: Heard) -> Finding {
    match heard {
        Heard::Final(finding) => *finding,
        other => panic!("{other:?}"),
    }
}

#[test]
fn options_and_a_register_that_binds_nothing_are_written_as_the_rfc_asks() {
    let lines = |subject| {
        let (_, request) = asked(party(Transport::Tcp), subject);
        assert_eq!(request.fault(), None);
        String::from_utf8(request.as_bytes().to_vec()).unwrap().replace("\r\n", "\n")
    };
    expect_test::expect![[r#"
        OPTIONS sip:carrier.example:5080 SIP/2.0
        Via: SIP/2.0/TCP 203.0.113.5:40000;rport;branch=z9hG4bK1360j9jcs0siaass06p4
        Max-Forwards: 70
        From: <sip:203.0.113.5:5060>;tag=seih4r8b1w3tje98ntu2
        To: <sip:carrier.example:5080>
        Call-ID: k2vsj2budia2t95a926q
        CSeq: 1 OPTIONS
        Contact: <sip:203.0.113.5:5060;transport=tcp>
        Accept: application/sdp
        Content-Length: 0

    "#]]
    .assert_eq(&lines(Subject::Presence));
    expect_test::expect![[r#"
        REGISTER sip:carrier.example SIP/2.0
        Via: SIP/2.0/TCP 203.0.113.5:40000;rport;branch=z9hG4bK1360j9jcs0siaass06p4
        Max-Forwards: 70
        From: <sip:alice@carrier.example>;tag=seih4r8b1w3tje98ntu2
        To: <sip:alice@carrier.example>
        Call-ID: k2vsj2budia2t95a926q
        CSeq: 1 REGISTER
        Content-Length: 0

    "#]]
    .assert_eq(&lines(Subject::Bindings));
}

#[test]
fn timer_e_doubles_to_t2_and_runs_over_udp_alone() {
    let (mut inquiry, _) = asked(party(Transport::Udp), Subject::Presence);
    let mut sent = Vec::new();
    while let Some(due) = inquiry.next_due().filter(|due| *due < at(16_000)) {
        sent.push(due.as_micros() / 1_000);
        assert!(inquiry.take_due(due).is_some() && inquiry.take_due(due).is_none());
    }
    assert_eq!(sent, [500, 1_500, 3_500, 7_500, 11_500, 15_500]);
    assert_eq!(inquiry.times_sent(), 7);
    let (inquiry, _) = asked(party(Transport::Tls), Subject::Presence);
    assert_eq!(inquiry.next_due(), None);
}

#[test]
fn a_provisional_response_slows_the_repetition_down() {
    let (mut inquiry, request) = asked(party(Transport::Udp), Subject::Presence);
    assert!(matches!(inquiry.on_message(at(100), &answer(&request, 100, &[])), Heard::Progress));
    assert_eq!(inquiry.next_due(), Some(at(4_100)));
}

#[test]
fn what_answers_another_question_is_not_heard() {
    let (mut inquiry, request) = asked(party(Transport::Udp), Subject::Presence);
    let other = asked(party(Transport::Udp), Subject::Bindings).1;
    for foreign in [answer(&other, 200, &[]), request.clone()] {
        assert!(matches!(inquiry.on_message(at(1), &foreign), Heard::Nothing));
    }
    let finding = ended(inquiry.on_message(at(1), &answer(&request, 404, &[])));
    assert!(!finding.was_asked());
}

#[test]
fn the_strongest_challenge_is_answered_once() {
    let (mut inquiry, request) = asked(party(Transport::Udp), Subject::Bindings);
    let challenged = inquiry.on_message(at(10), &answer(&request, 401, &[MD5, SHA]));
    assert!(matches!(challenged, Heard::Challenged));
    let again = inquiry.take_due(at(10)).unwrap().clone();
    let value = String::from_utf8_lossy(again.header(Header::Authorization).unwrap()).into_owned();
    assert!(value.contains("nonce=\"n2\"") && value.contains("algorithm=SHA-256"), "{value}");
    assert!(value.contains("username=\"alice@carrier.example\""), "{value}");
    assert_eq!((again.cseq().unwrap().number, again.call_id()), (2, request.call_id()));
    // The first request's answer, come again, means nothing now.
    assert!(matches!(inquiry.on_message(at(11), &answer(&request, 401, &[SHA])), Heard::Nothing));
    let refused = ended(inquiry.on_message(at(20), &answer(&again, 401, &[SHA])));
    assert_eq!(refused.fault, Some(AuthenticationFault::Refused { realm: "carrier.example".to_owned() }));
    assert_eq!(refused.answered.len(), 1);
}

#[test]
fn a_stale_nonce_is_answered_once_more_and_no_oftener() {
    let stale = format!("{SHA}, stale=true");
    let (mut inquiry, mut request) = asked(party(Transport::Udp), Subject::Bindings);
    for _ in 0..crate::b2bua::nonces::MAX_ANSWERS {
        assert!(matches!(inquiry.on_message(at(1), &answer(&request, 407, &[&stale])), Heard::Challenged));
        request = inquiry.take_due(at(1)).unwrap().clone();
        assert!(request.header(Header::ProxyAuthorization).is_some());
    }
    let finding = ended(inquiry.on_message(at(2), &answer(&request, 407, &[&stale])));
    assert_eq!(finding.fault, Some(AuthenticationFault::Endless { realm: "carrier.example".to_owned() }));
}

#[test]
fn no_digest_is_made_for_another_realm() {
    let expected = vec!["euc1.sip.sinch.com".to_owned()];
    let authentication = Authentication { realms: expected, algorithms: Vec::new() };
    let expecting = Party { authentication, ..party(Transport::Udp) };
    let (mut inquiry, request) = asked(expecting, Subject::Bindings);
    let finding = ended(inquiry.on_message(at(1), &answer(&request, 407, &[MD5])));
    let realm = "carrier.example".to_owned();
    let expected = "\"euc1.sip.sinch.com\"".to_owned();
    assert_eq!(finding.fault, Some(AuthenticationFault::Realm { realm, expected }));
    assert_eq!(inquiry.next_due(), Some(at(500)), "nothing new goes out");
}

#[test]
fn no_hash_is_made_that_is_not_good_enough() {
    let authentication = Authentication { realms: Vec::new(), algorithms: vec!["SHA-256".to_owned()] };
    let strict = Party { authentication, ..party(Transport::Udp) };
    let (mut inquiry, request) = asked(strict, Subject::Bindings);
    let finding = ended(inquiry.on_message(at(1), &answer(&request, 401, &[MD5])));
    let realm = "carrier.example".to_owned();
    assert_eq!(finding.fault, Some(AuthenticationFault::Algorithm { realm, algorithm: "MD5" }));
}

#[test]
fn a_proxy_and_the_registrar_behind_it_are_both_answered() {
    let (mut inquiry, request) = asked(party(Transport::Udp), Subject::Bindings);
    assert!(matches!(inquiry.on_message(at(1), &answer(&request, 407, &[MD5])), Heard::Challenged));
    let second = inquiry.take_due(at(1)).unwrap().clone();
    assert!(matches!(inquiry.on_message(at(2), &answer(&second, 401, &[SHA])), Heard::Challenged));
    let third = inquiry.take_due(at(2)).unwrap().clone();
    let proxy = String::from_utf8_lossy(third.header(Header::ProxyAuthorization).unwrap()).into_owned();
    assert!(proxy.contains("nonce=\"n1\"") && proxy.contains("nc=00000002"), "{proxy}");
    assert!(third.header(Header::Authorization).is_some());
    let finding = ended(inquiry.on_message(at(3), &answer(&third, 200, &[])));
    assert_eq!((finding.answered.len(), finding.fault), (2, None));
}

#[test]
fn two_realms_that_ask_each_time_are_answered_together() {
    let other = r#"Digest realm="core.example", nonce="n3", qop="auth""#;
    let (mut inquiry, request) = asked(party(Transport::Udp), Subject::Bindings);
    assert!(matches!(inquiry.on_message(at(1), &answer(&request, 401, &[MD5, other])), Heard::Challenged));
    let second = inquiry.take_due(at(1)).unwrap().clone();
    let values: Vec<_> = second.fields().filter(|field| field.header == Header::Authorization).collect();
    assert_eq!(values.len(), 2, "one for each realm");
    // A proxy that puts the challenges of all its branches into each response, one of them stale by now.
    let stale = format!("{other}, stale=true");
    let heard = inquiry.on_message(at(2), &answer(&second, 401, &[&stale]));
    assert!(matches!(heard, Heard::Challenged), "{heard:?}");
    let third = inquiry.take_due(at(2)).unwrap().clone();
    let finding = ended(inquiry.on_message(at(3), &answer(&third, 200, &[])));
    assert_eq!((finding.answered.len(), finding.fault), (2, None));
}

#[test]
fn what_cannot_be_answered_is_told_as_it_came() {
    let outcome = |party: Party, challenges: &[&str]| {
        let (mut inquiry, request) = asked(party, Subject::Bindings);
        ended(inquiry.on_message(at(1), &answer(&request, 401, challenges))).fault
    };
    let aka = r#"Digest realm="r", nonce="n", algorithm=AKAv1-MD5"#;
    let unusable = AuthenticationFault::Unusable(ChallengeFault::Unsupported);
    assert_eq!(outcome(party(Transport::Udp), &[aka]), Some(unusable));
    assert_eq!(outcome(party(Transport::Udp), &[]), Some(AuthenticationFault::NoChallenge));
    let nobody = Party { credentials: None, ..party(Transport::Udp) };
    let realm = "carrier.example".to_owned();
    assert_eq!(outcome(nobody, &[MD5]), Some(AuthenticationFault::NoCredentials { realm }));
}
