//! RFC 3665, basic call flows. Drawbridge stands where the RFC has a proxy, or between two of them:
//! Alice's proxies are on its trusted side, Bob's on the untrusted.
//!
//! What differs: credentials are the trunk's, not Alice's (§3.3); a proxy that does not answer is
//! left after `failover.timeout`, not after timer B (§3.4); no registration is taken (§2), and it is we
//! who follow a redirection, where the trunk says so (§3.6).

use super::*;
use crate::b2bua::{AttemptResult, EndedBy, Outcome};
use crate::routing::{Credentials, Redirect};

/// The values of Route, or of Record-Route.
fn routes(message: &Message, header: Header) -> Vec<String> {
    message.list(header).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

fn credentials() -> Option<Credentials> {
    Some(Credentials { username: "alice".to_owned(), password: "secret".to_owned() })
}

/// `phone` asks who we are.
fn challenges(phone: &Phone, invite: &Message, realm: &str) -> Message {
    phone.answers_with(invite, 407, None, |writer| {
        let challenge = format!("Digest realm=\"{realm}\", qop=\"auth\", nonce=\"of-{realm}\"");
        writer.header(Header::ProxyAuthenticate, challenge)
    })
}

/// §2.1–2.5: new registration, update, query and cancellation of the contacts, and a refused one.
/// Drawbridge is no registrar: every REGISTER gets 403, and takes no room.
#[test]
fn s2_registrations_are_forbidden() {
    let flow = Flow::new();
    for (sequence, contact) in [(1, "<sip:bob@10.0.0.9>;expires=3600"), (2, ""), (3, "*")] {
        let register = request(PBX, &Method::Register, "sip:10.0.0.5", "reg", sequence)
            .header(Header::To, "<sip:bob@10.0.0.5>");
        let register = match contact {
            "" => register,
            contact => register.header(Header::Contact, contact).header(Header::Expires, "0"),
        };
        let mut bob = flow.phone(PBX);
        bob.sends_this(&finish(register, None));
        assert!(bob.hears(403).header(Header::WwwAuthenticate).is_none());
        assert_eq!(flow.lab(|lab| lab.engine.census().transactions), 0);
    }
    assert!(flow.records().is_empty());
}

/// §3.1 Successful Session Establishment
#[test]
fn s3_1_successful_session_establishment() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    flow.media_is(&["open 1", "A 10.0.0.9:30000"]);
    flow.after_ms(100);
    bob.answers(&invite, 180, None);
    assert!(alice.hears(180).body().is_empty());
    flow.after_ms(2_000);
    flow.media_is(&[]);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    flow.media_is(&["B 198.51.100.77:40000"]);
    alice.acks(None);
    flow.is_silent();
    flow.after_ms(10_000);
    bob.hangs_up();
    flow.media_is(&["close"]);
    alice.gets_bye();
    let record = flow.record();
    assert_eq!((record.status, record.ended_by, record.outcome()), (200, EndedBy::Callee, Outcome::Answered));
    assert_eq!(record.codec.as_deref(), Some("PCMU"));
    let answer = record.answer.expect("an answer");
    assert_eq!(record.ring.expect("ringing") - record.start, Duration::from_millis(100));
    assert_eq!(answer - record.start, Duration::from_millis(2_100));
    assert_eq!(record.end - answer, Duration::from_secs(10));
}

/// §3.2 Session Establishment Through Two Proxies. Two on each side, which all record-route.
#[test]
fn s3_2_session_establishment_through_two_proxies() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    alice.contact = "<sip:alice@10.0.0.20:5060>".to_owned();
    alice.record_route = vec!["<sip:10.0.0.9;lr>", "<sip:10.0.0.10:5070;lr>"];
    bob.contact = "<sip:bob@198.51.100.30:5060>".to_owned();
    bob.record_route = vec!["<sip:198.51.100.20;lr>", "<sip:198.51.100.1;lr>"];
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    assert!(routes(&invite, Header::RecordRoute).is_empty() && routes(&invite, Header::Route).is_empty());
    bob.answers(&invite, 100, None);
    bob.answers(&invite, 180, None);
    assert_eq!(routes(&alice.hears(180), Header::RecordRoute), alice.record_route);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    assert_eq!(routes(&alice.hears(200), Header::RecordRoute), alice.record_route);
    let ack = bob.gets(&Method::Ack);
    let towards_bob = ["<sip:198.51.100.1;lr>", "<sip:198.51.100.20;lr>"];
    assert_eq!(routes(&ack, Header::Route), towards_bob);
    assert_eq!(ack.request_uri_raw(), b"sip:bob@198.51.100.30:5060");
    alice.acks(None);
    let info = alice.sends(&Method::Info, None);
    let carried = bob.gets(&Method::Info);
    assert_eq!(routes(&carried, Header::Route), towards_bob);
    bob.answers(&carried, 200, None);
    assert!(alice.hears(200).cseq() == info.cseq());
    bob.hangs_up();
    let bye = alice.gets_bye();
    assert_eq!(routes(&bye, Header::Route), alice.record_route);
    assert_eq!(bye.request_uri_raw(), b"sip:alice@10.0.0.20:5060");
    assert_eq!(flow.record().ended_by, EndedBy::Callee);
}

/// §3.3 Session with Multiple Proxy Authentication. One proxy of the carrier's challenges; the
/// credentials are the trunk's. They stand in the ACK too: "UACs creating an ACK message will
/// duplicate all of the Authorization and Proxy-Authorization header field values that appeared in
/// the INVITE to which the ACK corresponds" (RFC 3261 §22.1).
#[test]
fn s3_3_session_with_proxy_authentication() {
    let flow = Flow::changed(|settings| settings.routing.trunks[1].credentials = credentials());
    let (mut alice, mut bob) = flow.alice_and_bob();
    alice.invites(Some(SDP_PBX));
    let first = bob.gets(&Method::Invite);
    challenges(&bob, &first, "atlanta.example.com");
    assert!(bob.gets(&Method::Ack).header(Header::ProxyAuthorization).is_none());
    let invite = bob.gets(&Method::Invite);
    let authorization = header(&invite, Header::ProxyAuthorization);
    assert!(authorization.starts_with("Digest username=\"alice\", realm=\"atlanta.example.com\""));
    bob.answers(&invite, 100, None);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    assert_eq!(header(&bob.gets(&Method::Ack), Header::ProxyAuthorization), authorization);
    alice.hears(200);
    alice.acks(None);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    // The proxy asks again for each request of the dialog, though it carries credentials at once.
    alice.sends(&Method::Invite, Some(&moved(SDP_PBX, "10.0.0.9 30002")));
    let first = bob.gets(&Method::Invite);
    assert!(header(&first, Header::ProxyAuthorization).contains("nc=00000002"));
    challenges(&bob, &first, "atlanta.example.com");
    bob.gets(&Method::Ack);
    let reinvite = bob.gets(&Method::Invite);
    assert!(reinvite.header(Header::ProxyAuthorization).is_some());
    bob.answers(&reinvite, 200, Some(SDP_CARRIER));
    let ack = bob.gets(&Method::Ack);
    assert_eq!(header(&ack, Header::ProxyAuthorization), header(&reinvite, Header::ProxyAuthorization));
    assert_eq!(ack.cseq().expect("a CSeq").number, reinvite.cseq().expect("a CSeq").number);
    alice.hears(200);
    alice.acks(None);
    flow.media_is(&["A 10.0.0.9:30002"]);
    alice.hangs_up();
    let first = bob.gets(&Method::Bye);
    challenges(&bob, &first, "atlanta.example.com");
    assert!(bob.gets_bye().header(Header::ProxyAuthorization).is_some());
    assert_eq!((flow.record().status, flow.record().attempts.len()), (200, 1));
}

/// §3.3 with its second proxy, of another realm: F9 has the credentials of both. A proxy that asks
/// again is given up, and Alice hears of no challenge.
#[test]
fn s3_3_two_realms_are_answered_one_after_the_other() {
    let flow = Flow::changed(|settings| {
        settings.routing.routes[0].tiers.truncate(1);
        settings.routing.trunks[1].credentials = credentials();
    });
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let first = bob.gets(&Method::Invite);
    challenges(&bob, &first, "atlanta.example.com");
    bob.gets(&Method::Ack);
    let second = bob.gets(&Method::Invite);
    challenges(&bob, &second, "biloxi.example.com");
    let ack = bob.gets(&Method::Ack);
    assert_eq!(header(&ack, Header::ProxyAuthorization), header(&second, Header::ProxyAuthorization));
    let third = bob.gets(&Method::Invite);
    let answers: Vec<_> = third.fields().filter(|field| field.header == Header::ProxyAuthorization).collect();
    let realms = ["realm=\"atlanta.example.com\"", "realm=\"biloxi.example.com\""];
    assert_eq!(answers.len(), 2);
    for (answer, realm) in answers.iter().zip(realms) {
        assert!(String::from_utf8_lossy(answer.value).contains(realm));
    }
    challenges(&bob, &third, "atlanta.example.com");
    bob.gets(&Method::Ack);
    assert!(alice.is_refused(&sent, 503).header(Header::ProxyAuthenticate).is_none());
    assert_eq!(flow.record().attempts[0].result, AttemptResult::Status(407));
}

/// §3.4 Successful Session with Proxy Failure. The first carrier is dead, the second asks for
/// credentials and answers. Seven INVITEs go to the first in all (timer A), as in the RFC, though
/// the call moves on after four seconds: a callee that was only not heard must be cancelled yet.
#[test]
fn s3_4_successful_session_with_proxy_failure() {
    let flow = Flow::changed(|settings| settings.routing.trunks[2].credentials = credentials());
    let (mut alice, mut dead, mut bob) = (flow.phone(PBX), flow.phone(CARRIER_A), flow.phone(CARRIER_B));
    alice.invites(Some(SDP_PBX));
    for wait_ms in [0, 500, 1_000, 2_000] {
        flow.after_ms(wait_ms);
        dead.gets(&Method::Invite);
        flow.is_silent();
    }
    flow.after_ms(500);
    let first = bob.gets(&Method::Invite);
    challenges(&bob, &first, "biloxi.example.com");
    bob.gets(&Method::Ack);
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
    // One set of ports for both attempts.
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    for wait_ms in [3_500, 8_000, 16_000] {
        flow.after_ms(wait_ms);
        dead.gets(&Method::Invite);
        flow.is_silent();
    }
    bob.hangs_up();
    alice.gets_bye();
    let record = flow.record();
    let results: Vec<_> = record.attempts.iter().map(|attempt| attempt.result).collect();
    assert_eq!(results, [AttemptResult::Timeout, AttemptResult::Status(200)]);
    assert_eq!(record.egress.expect("leg B").remote.to_string(), CARRIER_B);
}

/// §3.5 Session Through a SIP ALG. The address translation is ours: each side is shown our
/// addresses alone. Bob is behind a NAT besides, and is reached where he was seen.
#[test]
fn s3_5_session_through_a_sip_alg() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    bob.contact = "<sip:bob@192.168.1.7:5062>".to_owned();
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    let (towards_alice, towards_bob) = flow.ports();
    let offer = text(&invite);
    assert!(offer.contains("c=IN IP4 203.0.113.5\r\n") && offer.contains(&towards_bob), "{offer}");
    assert!(header(&invite, Header::Contact).ends_with("@203.0.113.5:5060>"));
    bob.answers(&invite, 200, Some(&moved(SDP_CARRIER, "192.168.1.7 40000")));
    assert_eq!(bob.gets(&Method::Ack).request_uri_raw(), b"sip:bob@192.168.1.7:5062");
    let answer = alice.hears(200);
    let (shown, contact) = (text(&answer), header(&answer, Header::Contact));
    assert!(shown.contains("c=IN IP4 10.0.0.5\r\n") && shown.contains(&towards_alice), "{shown}");
    assert!(!shown.contains("192.168.") && contact.ends_with("@10.0.0.5:5060>"), "{shown}");
    alice.acks(None);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 192.168.1.7:40000"]);
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §3.6 Session via Redirect and Proxy Servers with SDP in ACK. The first carrier is the redirect
/// server, the second the proxy. Bob's 2xx makes the offer, so that he is ACKed only when Alice's
/// ACK has brought the answer.
#[test]
fn s3_6_session_via_redirect_and_proxy_servers_with_sdp_in_ack() {
    let flow = Flow::changed(|settings| settings.routing.trunks[1].redirect = Redirect::Follow);
    let (mut alice, mut server, mut bob) = (flow.phone(PBX), flow.phone(CARRIER_A), flow.phone(CARRIER_B));
    alice.invites(None);
    let invite = server.gets(&Method::Invite);
    server.answers_with(&invite, 302, None, |writer| {
        writer.header(Header::Contact, "<sip:+442079460000@carrier-b.example>")
    });
    server.gets(&Method::Ack);
    let invite = bob.gets(&Method::Invite);
    assert!(invite.body().is_empty());
    bob.answers(&invite, 180, None);
    alice.hears(180);
    flow.media_is(&[]);
    let success = bob.answers(&invite, 200, Some(SDP_CARRIER));
    alice.hears(200);
    flow.media_is(&["open 1", "B 198.51.100.77:40000"]);
    flow.after_ms(200);
    bob.sends_this(&success);
    flow.is_silent();
    alice.acks(Some(SDP_PBX));
    let (_, towards_bob) = flow.ports();
    assert!(text(&bob.gets(&Method::Ack)).contains(&towards_bob));
    flow.media_is(&["A 10.0.0.9:30000"]);
    bob.hangs_up();
    alice.gets_bye();
    let record = flow.record();
    assert_eq!((record.status, record.codec.as_deref()), (200, Some("PCMU")));
    let results: Vec<_> = record.attempts.iter().map(|attempt| attempt.result).collect();
    assert_eq!(results, [AttemptResult::Status(302), AttemptResult::Status(200)]);
}

/// §3.6, when Alice's ACK never comes: Bob is ACKed all the same, without an answer, and sent BYE.
#[test]
fn s3_6_without_the_ack() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    alice.invites(None);
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    alice.hears(200);
    flow.after_ms(31_999);
    for _ in 0..10 {
        alice.hears(200);
    }
    flow.is_silent();
    flow.after_ms(1);
    assert!(bob.gets(&Method::Ack).body().is_empty());
    bob.gets_bye();
    alice.gets_bye();
    flow.media_is(&["open 1", "B 198.51.100.77:40000", "close"]);
    assert_eq!(flow.record().ended_by, EndedBy::Sbc);
}

/// §3.6, where the trunk may not redirect: its Contact is of the other side, and is not shown.
#[test]
fn s3_6_a_redirection_is_refused_by_default() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(None);
    let invite = bob.gets(&Method::Invite);
    bob.answers_with(&invite, 302, None, |writer| writer.header(Header::Contact, "<sip:b@198.51.100.9>"));
    bob.gets(&Method::Ack);
    assert!(alice.is_refused(&sent, 480).header(Header::Contact).is_none());
    flow.media_is(&[]);
    assert_eq!(flow.record().attempts[0].result, AttemptResult::Status(302));
}

/// §3.7 Session with re-INVITE (IP Address Change). Bob's new address is his alone: Alice is shown
/// the very description that she knows.
#[test]
fn s3_7_session_with_reinvite_ip_address_change() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    let shown = alice.hears(200).body();
    alice.acks(None);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"]);
    bob.at = "198.51.100.9:5060";
    bob.contact = "<sip:bob@198.51.100.9:5060>".to_owned();
    bob.sends(&Method::Invite, Some(&moved(SDP_CARRIER, "198.51.100.9 40002")));
    let reinvite = alice.gets(&Method::Invite);
    assert_eq!(reinvite.body(), shown);
    flow.media_is(&[]);
    alice.answers(&reinvite, 200, Some(SDP_PBX));
    alice.gets(&Method::Ack);
    bob.hears(200);
    flow.media_is(&["B 198.51.100.9:40002"]);
    bob.acks(None);
    alice.hangs_up();
    assert_eq!(bob.gets_bye().request_uri_raw(), b"sip:bob@198.51.100.9:5060");
    assert_eq!(flow.record().ended_by, EndedBy::Caller);
}

/// §3.8 Unsuccessful No Answer
#[test]
fn s3_8_unsuccessful_no_answer() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    flow.after_ms(20_000);
    alice.cancels(&sent);
    alice.is_refused(&sent, 487);
    let cancel = bob.gets(&Method::Cancel);
    bob.answers(&cancel, 200, None);
    bob.answers(&invite, 487, None);
    bob.gets(&Method::Ack);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "close"]);
    let record = flow.record();
    assert_eq!((record.status, record.outcome(), record.answer), (487, Outcome::Cancelled, None));
    assert_eq!(record.attempts[0].result, AttemptResult::Cancelled);
}

/// §3.8, by Expires: Alice said in her INVITE how long she waits (RFC 3261 §13.3.1), and need not
/// CANCEL. Once Bob has answered it means nothing.
#[test]
fn s3_8_an_invite_that_expires() {
    for answers in [false, true] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        let sent = alice.writes_invite(Some(SDP_PBX), |writer| writer.header(Header::Expires, "20"));
        alice.sends_this(&sent);
        alice.hears(100);
        let invite = bob.gets(&Method::Invite);
        assert!(invite.header(Header::Expires).is_none());
        bob.answers(&invite, 180, None);
        alice.hears(180);
        flow.after_ms(19_999);
        flow.is_silent();
        if answers {
            bob.answers(&invite, 200, Some(SDP_CARRIER));
            bob.gets(&Method::Ack);
            alice.hears(200);
            alice.acks(None);
            flow.after_ms(60_000);
            alice.hangs_up();
            bob.gets_bye();
        } else {
            flow.after_ms(1);
            alice.is_refused(&sent, 487);
            let cancel = bob.gets(&Method::Cancel);
            bob.answers(&cancel, 200, None);
            bob.answers(&invite, 487, None);
            bob.gets(&Method::Ack);
        }
        let outcome = if answers { Outcome::Answered } else { Outcome::Cancelled };
        assert_eq!(flow.record().outcome(), outcome);
    }
}

/// §3.9 Unsuccessful Busy. No other carrier is tried: Bob is busy wherever he is called.
#[test]
fn s3_9_unsuccessful_busy() {
    let flow = Flow::changed(|_| {});
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 486, None);
    bob.gets(&Method::Ack);
    alice.is_refused(&sent, 486);
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "close"]);
    let record = flow.record();
    assert_eq!((record.status, record.ended_by, record.outcome()), (486, EndedBy::Callee, Outcome::Failed));
}

/// §3.10 Unsuccessful No Response from User Agent. The RFC's proxy says 480 after timer B; here the
/// only carrier is given up after `failover.timeout`, and Alice may come back.
#[test]
fn s3_10_unsuccessful_no_response_from_user_agent() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    bob.gets(&Method::Invite);
    for wait_ms in [500, 1_000, 2_000] {
        flow.after_ms(wait_ms);
        bob.gets(&Method::Invite);
    }
    flow.after_ms(500);
    assert!(alice.is_refused(&sent, 503).header(Header::RetryAfter).is_some());
    flow.media_is(&["open 1", "A 10.0.0.9:30000", "close"]);
    for wait_ms in [3_500, 8_000, 16_000] {
        flow.after_ms(wait_ms);
        bob.gets(&Method::Invite);
    }
    let record = flow.record();
    assert_eq!((record.status, record.outcome()), (503, Outcome::Failed));
    assert_eq!(record.attempts[0].result, AttemptResult::Timeout);
}

/// §3.11 Unsuccessful Temporarily Unavailable
#[test]
fn s3_11_unsuccessful_temporarily_unavailable() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    bob.answers_with(&invite, 480, None, |writer| writer.header(Header::RetryAfter, "3600"));
    bob.gets(&Method::Ack);
    alice.is_refused(&sent, 480);
    let record = flow.record();
    assert_eq!((record.status, record.ended_by), (480, EndedBy::Callee));
    assert!(record.ring.is_some() && record.answer.is_none());
}
