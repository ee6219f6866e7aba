//! RFC 5359, services of PBX and Centrex, as far as a back-to-back user agent has a part in them.
//!
//! | section | here |
//! |---|---|
//! | 2.1–2.3 hold, consultation, music | the re-INVITEs, with and without an offer |
//! | 2.4–2.6 transfers | in `rfc5359_transfer.rs` |
//! | 2.7–2.9 forwarding | Bob's network forwards and tells it (181, new To tags), or asks us to (302) |
//! | 2.10 conference, a third party is added | the focus's re-INVITE; inviting the third is a call like any |
//! | 2.11 conference, a third party joins | Join names a dialog of the other leg, and is refused |
//! | 2.12 find-me | one branch after the other, each with its To tag |
//! | 2.13, 2.14 screening | Bob's network refuses; we refuse |
//! | 2.15 park, 2.16 pickup | in `rfc5359_transfer.rs`, but for the dialog event package, which is asked of the PBX |
//! | 2.18 click to dial | without REFER (with it: `rfc5359_transfer.rs`): two calls of a controller, which it joins (RFC 3725) |
//! | 2.17 automatic redial | left out: the dialog event package is asked of Bob's server, not of us; SUBSCRIBE gets 405 |

use super::*;
use crate::b2bua::{EndedBy, Outcome};
use crate::routing::{CallerIdFallback, CallerIdPolicy, Redirect};

const BOTH: [&str; 3] = ["open 1", "A 10.0.0.9:30000", "B 198.51.100.77:40000"];

/// One side changes the call by an offer, and the other answers; what each was shown.
pub fn reinvites(from: &mut Phone, to: &mut Phone, offer: &str, answer: &str) -> (Message, Message) {
    from.sends(&Method::Invite, Some(offer));
    let shown = to.gets(&Method::Invite);
    to.answers(&shown, 200, Some(answer));
    to.gets(&Method::Ack);
    let answered = from.hears(200);
    from.acks(None);
    (shown, answered)
}

/// §2.1 Call Hold: Bob holds Alice and takes her back.
#[test]
fn s2_1_call_hold() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    flow.media_is(&BOTH);
    let (held, holding) = (directed(SDP_CARRIER, "sendonly"), directed(SDP_PBX, "recvonly"));
    let (shown, answered) = reinvites(&mut bob, &mut alice, &held, &holding);
    assert!(text(&shown).contains("a=sendonly\r\n") && text(&answered).contains("a=recvonly\r\n"));
    flow.media_is(&["B 198.51.100.77:40000 sendonly", "hold", "A 10.0.0.9:30000 recvonly"]);
    flow.after_ms(30_000);
    let (shown, answered) = reinvites(&mut bob, &mut alice, SDP_CARRIER, SDP_PBX);
    assert!(!text(&shown).contains("only\r\n") && !text(&answered).contains("only\r\n"));
    flow.media_is(&["B 198.51.100.77:40000", "A 10.0.0.9:30000", "resume"]);
    bob.hangs_up();
    alice.gets_bye();
    flow.media_is(&["close"]);
    assert_eq!(flow.record().ended_by, EndedBy::Callee);
}

/// §2.1, when both hold each other: the call is on hold until both have taken it back.
#[test]
fn s2_1_call_hold_by_both() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    flow.media_is(&BOTH);
    let inactive = [directed(SDP_PBX, "inactive"), directed(SDP_CARRIER, "inactive")];
    reinvites(&mut bob, &mut alice, &directed(SDP_CARRIER, "sendonly"), &directed(SDP_PBX, "recvonly"));
    reinvites(&mut alice, &mut bob, &inactive[0], &inactive[1]);
    flow.media_is(&[
        "B 198.51.100.77:40000 sendonly",
        "hold",
        "A 10.0.0.9:30000 recvonly",
        "A 10.0.0.9:30000 inactive",
        "B 198.51.100.77:40000 inactive",
    ]);
    reinvites(&mut bob, &mut alice, &directed(SDP_CARRIER, "recvonly"), &directed(SDP_PBX, "sendonly"));
    flow.media_is(&["B 198.51.100.77:40000 recvonly", "A 10.0.0.9:30000 sendonly"]);
    reinvites(&mut alice, &mut bob, SDP_PBX, SDP_CARRIER);
    flow.media_is(&["A 10.0.0.9:30000", "B 198.51.100.77:40000", "resume"]);
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §2.2 Consultation Hold: Bob, behind the PBX, holds Alice, asks Carol and comes back. Two calls,
/// each with ports of its own.
#[test]
fn s2_2_consultation_hold() {
    let flow = Flow::changed(|settings| drop(settings.routing.routes[0].tiers.remove(0)));
    let (mut alice, mut bob) = (flow.phone(CARRIER_A), flow.phone(PBX));
    establish(&mut alice, &mut bob);
    let alices_ports = flow.ports();
    flow.media_is(&["open 1", "A 198.51.100.77:40000", "B 10.0.0.9:30000"]);
    reinvites(&mut bob, &mut alice, &directed(SDP_PBX, "sendonly"), &directed(SDP_CARRIER, "recvonly"));
    flow.media_is(&["B 10.0.0.9:30000 sendonly", "hold", "A 198.51.100.77:40000 recvonly"]);
    let (mut bobs_second_line, mut carol) = (flow.phone(PBX), flow.phone(CARRIER_B));
    establish(&mut bobs_second_line, &mut carol);
    let carols_ports = flow.ports();
    assert!(alices_ports.0 != carols_ports.0 && alices_ports.1 != carols_ports.1);
    flow.media_is(&BOTH);
    bobs_second_line.hangs_up();
    carol.gets_bye();
    flow.media_is(&["close"]);
    let (shown, _) = reinvites(&mut bob, &mut alice, SDP_PBX, SDP_CARRIER);
    assert!(text(&shown).contains(&alices_ports.1));
    flow.media_is(&["B 10.0.0.9:30000", "A 198.51.100.77:40000", "resume"]);
    alice.hangs_up();
    bob.gets_bye();
    flow.media_is(&["close"]);
    let records = flow.records();
    let ended: Vec<_> = records.iter().map(|record| (record.status, record.ended_by)).collect();
    assert_eq!(ended, [(200, EndedBy::Caller), (200, EndedBy::Caller)]);
}

/// §2.3 Music on Hold: Bob has Alice make the offer, and her answer comes, in the ACK, from his music
/// server; then he takes her back.
#[test]
fn s2_3_music_on_hold() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    flow.media_is(&BOTH);
    bob.sends(&Method::Invite, None);
    let asked = alice.gets(&Method::Invite);
    assert!(asked.body().is_empty());
    let offer = alice.answers(&asked, 200, Some(SDP_PBX));
    assert!(text(&bob.hears(200)).contains(&flow.ports().1));
    // The music server takes its time; Alice repeats her 200 and is not ACKed yet.
    flow.after_ms(500);
    bob.hears(200);
    alice.sends_this(&offer);
    flow.is_silent();
    flow.media_is(&[]);
    bob.acks(Some(&directed(&moved(SDP_CARRIER, "198.51.100.200 50000"), "sendonly")));
    assert!(text(&alice.gets(&Method::Ack)).contains("a=sendonly\r\n"));
    flow.media_is(&["B 198.51.100.200:50000 sendonly", "hold"]);
    flow.after_ms(30_000);
    reinvites(&mut bob, &mut alice, SDP_CARRIER, SDP_PBX);
    flow.media_is(&["B 198.51.100.77:40000", "resume"]);
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().status, 200);
}

/// §2.3, when one of them hangs up before the music has begun: the ACK that is owed to Alice is paid,
/// Bob's is waited for.
#[test]
fn s2_3_music_on_hold_that_does_not_begin() {
    for alice_hangs_up in [true, false] {
        let flow = Flow::new();
        let (mut alice, mut bob) = flow.alice_and_bob();
        establish(&mut alice, &mut bob);
        flow.media_is(&BOTH);
        bob.sends(&Method::Invite, None);
        let asked = alice.gets(&Method::Invite);
        alice.answers(&asked, 200, Some(SDP_PBX));
        bob.hears(200);
        if alice_hangs_up {
            alice.hangs_up();
            alice.gets(&Method::Ack);
            flow.is_silent();
            bob.acks(Some(SDP_CARRIER));
            bob.gets_bye();
        } else {
            bob.hangs_up();
            alice.gets(&Method::Ack);
            alice.gets_bye();
        }
        flow.media_is(&["close"]);
        let by = if alice_hangs_up { EndedBy::Caller } else { EndedBy::Callee };
        assert_eq!(flow.record().ended_by, by);
    }
}

/// §2.7 Call Forwarding Unconditional, and §2.8, Busy: Bob's proxy asks elsewhere and says so. The
/// busy phone is between it and Bob.
#[test]
fn s2_7_and_s2_8_call_forwarding_unconditional_and_busy() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 100, None);
    flow.is_silent();
    for status in [181, 180] {
        bob.answers(&invite, status, None);
        alice.hears(status);
    }
    bob.answers(&invite, 200, Some(SDP_CARRIER));
    bob.gets(&Method::Ack);
    alice.hears(200);
    alice.acks(None);
    flow.media_is(&BOTH);
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.record().outcome(), Outcome::Answered);
}

/// §2.9 Call Forwarding - No Answer: the first phone rings and is given up, the second answers under
/// another To tag.
#[test]
fn s2_9_call_forwarding_no_answer() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    let second = flow.phone(CARRIER_A);
    alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers(&invite, 180, None);
    alice.hears(180);
    flow.after_ms(20_000);
    second.answers(&invite, 181, None);
    alice.hears(181);
    second.answers(&invite, 180, None);
    alice.hears(180);
    second.answers(&invite, 200, Some(SDP_CARRIER));
    assert_eq!(to_tag(&bob.gets(&Method::Ack)), "tag-phone-3");
    alice.hears(200);
    alice.acks(None);
    flow.media_is(&BOTH);
    alice.hangs_up();
    let bye = bob.gets(&Method::Bye);
    assert_eq!(to_tag(&bye), "tag-phone-3");
    second.answers(&bye, 200, None);
    let record = flow.record();
    assert_eq!(record.answer.expect("an answer") - record.start, Duration::from_secs(20));
}

/// §2.7 and §2.9, by us: Bob's PBX sends the call back out, at once or after he did not answer. It
/// may call whom it could call by itself; the media of both sides is then on the carriers' side.
#[test]
fn s2_7_and_s2_9_call_forwarding_by_redirection() {
    for rings in [false, true] {
        let flow = Flow::changed(|settings| {
            settings.routing.trunks[0].redirect = Redirect::Follow;
            settings.routing.routes[0].tiers.truncate(1);
        });
        let (mut alice, mut bob) = (flow.phone(CARRIER_B), flow.phone(PBX));
        let mut second = flow.phone(CARRIER_A);
        alice.invites(Some(SDP_CARRIER));
        let invite = bob.gets(&Method::Invite);
        flow.media_is(&["open 1", "A 198.51.100.77:40000"]);
        if rings {
            bob.answers(&invite, 180, None);
            alice.hears(180);
            flow.after_ms(20_000);
        }
        bob.answers_with(&invite, 302, None, |writer| {
            writer.header(Header::Contact, "<sip:+442079460000@10.0.0.5:5060>")
        });
        bob.gets(&Method::Ack);
        flow.media_is(&["close", "open 1", "A 198.51.100.77:40000"]);
        let invite = second.gets(&Method::Invite);
        assert_eq!(invite.request_uri_raw(), b"sip:+442079460000@carrier-a.example");
        second.answers(&invite, 180, None);
        alice.hears(180);
        second.answers(&invite, 200, Some(&moved(SDP_CARRIER, "198.51.100.78 40010")));
        second.gets(&Method::Ack);
        alice.hears(200);
        alice.acks(None);
        flow.media_is(&["B 198.51.100.78:40010"]);
        alice.hangs_up();
        second.gets_bye();
        let record = flow.record();
        assert_eq!(record.redirected_to.as_deref(), Some("+442079460000"));
        assert_eq!((record.outcome(), record.attempts.len()), (Outcome::Answered, 2));
    }
}

/// §2.10 3-Way Conference - Third Party Is Added: Bob becomes the focus. That his Contact says so
/// (`isfocus`) is between him and us; Alice's media goes to his mixer.
#[test]
fn s2_10_three_way_conference_third_party_is_added() {
    let flow = Flow::new();
    let (mut alice, mut bob) = flow.alice_and_bob();
    establish(&mut alice, &mut bob);
    flow.media_is(&BOTH);
    bob.contact = "<sip:conf-1@198.51.100.1:5060>;isfocus".to_owned();
    let mixer = moved(SDP_CARRIER, "198.51.100.80 41000");
    let (shown, _) = reinvites(&mut bob, &mut alice, &mixer, SDP_PBX);
    assert!(!text(&shown).contains("isfocus") && !text(&shown).contains("conf-1"));
    flow.media_is(&["B 198.51.100.80:41000"]);
    alice.hangs_up();
    assert_eq!(bob.gets_bye().request_uri_raw(), b"sip:conf-1@198.51.100.1:5060");
    assert_eq!(flow.record().status, 200);
}

/// §2.11 3-Way Conference - Third Party Joins: Carol's INVITE names a dialog of Bob's (RFC 3911). Its
/// Call-ID and tags mean nothing on our other side.
#[test]
fn s2_11_three_way_conference_third_party_joins() {
    let flow = Flow::new();
    let mut carol = flow.phone(PBX);
    let join = b"call-1@10.0.0.9;to-tag=a;from-tag=b";
    let sent = carol.writes_invite(Some(SDP_PBX), |w| w.header(Header::Require, "join").field(b"Join", join));
    carol.sends_this(&sent);
    carol.hears(100);
    assert_eq!(header(&carol.is_refused(&sent, 420), Header::Unsupported), "join");
    // Without Require it is a call like any other.
    let (mut carol, mut bob) = (flow.phone(PBX), flow.phone(CARRIER_A));
    let sent = carol.writes_invite(Some(SDP_PBX), |w| w.field(b"Join", join));
    carol.sends_this(&sent);
    carol.hears(100);
    let invite = bob.gets(&Method::Invite);
    assert!(!text(&invite).contains("Join:"));
    bob.answers(&invite, 486, None);
    bob.gets(&Method::Ack);
    carol.is_refused(&sent, 486);
    assert_eq!(flow.record().status, 486);
}

/// §2.12 Find-Me: Bob's proxy calls one of his phones after the other; the third answers. The answer
/// timeout counts from the first word, over all of them.
#[test]
fn s2_12_find_me() {
    let flow = Flow::new();
    let mut alice = flow.phone(PBX);
    let mut phones = [flow.phone(CARRIER_A), flow.phone(CARRIER_A), flow.phone(CARRIER_A)];
    alice.invites(Some(SDP_PBX));
    let invite = phones[0].gets(&Method::Invite);
    for phone in &phones {
        phone.answers(&invite, 180, None);
        alice.hears(180);
        flow.after_ms(15_000);
    }
    flow.is_silent();
    phones[2].answers(&invite, 200, Some(SDP_CARRIER));
    assert_eq!(to_tag(&phones[2].gets(&Method::Ack)), "tag-phone-4");
    alice.hears(200);
    alice.acks(None);
    flow.media_is(&BOTH);
    alice.hangs_up();
    assert_eq!(to_tag(&phones[2].gets_bye()), "tag-phone-4");
    assert_eq!(flow.record().outcome(), Outcome::Answered);
}

/// §2.13 Call Management (Incoming Call Screening): Bob's proxy does not let Alice through. Nobody
/// else is asked.
#[test]
fn s2_13_incoming_call_screening() {
    let flow = Flow::changed(|_| {});
    let (mut alice, mut bob) = flow.alice_and_bob();
    let sent = alice.invites(Some(SDP_PBX));
    let invite = bob.gets(&Method::Invite);
    bob.answers_with(&invite, 403, None, |w| w.header(Header::Warning, "399 198.51.100.1 \"no\""));
    bob.gets(&Method::Ack);
    let refusal = alice.is_refused(&sent, 403);
    assert!(refusal.header(Header::Warning).is_none());
    assert_eq!(flow.record().attempts.len(), 1);
}

/// §2.14 Call Management (Outgoing Call Screening): we do not let Alice out: no route has her number
/// (404), or the trunk may not show her as the caller (403). Nobody hears of it on the other side.
#[test]
fn s2_14_outgoing_call_screening() {
    for (status, media) in [(404, &[][..]), (403, &["open 1", "close"])] {
        let flow = Flow::changed(|settings| match status {
            404 => settings.routing.routes.clear(),
            _ => {
                for trunk in &mut settings.routing.trunks {
                    let allowed = vec!["+1999*".to_owned()];
                    let otherwise = CallerIdFallback::Reject;
                    trunk.caller_id = CallerIdPolicy { default: None, allowed, otherwise };
                }
            }
        });
        let mut alice = flow.phone(PBX);
        let sent = alice.invites(Some(SDP_PBX));
        alice.is_refused(&sent, status);
        flow.media_is(media);
        let record = flow.record();
        assert_eq!((record.status, record.outcome()), (status, Outcome::Rejected));
    }
}

/// §2.18 Click to Dial, as a third party does it that calls both and joins them, or as a PBX does it
/// that would take itself out of the media between two calls: each is offered our own port of the
/// other. Media would go round within us, so the change is refused, and both calls keep what they had.
#[test]
fn s2_18_calls_that_are_joined_keep_their_media() {
    let flow = Flow::changed(|settings| drop(settings.routing.routes[0].tiers.remove(0)));
    let (mut alice, mut bob) = (flow.phone(CARRIER_A), flow.phone(PBX));
    establish(&mut alice, &mut bob);
    let (mut bobs_second_line, mut carol) = (flow.phone(PBX), flow.phone(CARRIER_B));
    establish(&mut bobs_second_line, &mut carol);
    flow.media_is(&[
        "open 1",
        "A 198.51.100.77:40000",
        "B 10.0.0.9:30000",
        "open 1",
        "A 10.0.0.9:30000",
        "B 198.51.100.77:40000",
    ]);
    let carols_port: String = flow.ports().0.chars().filter(char::is_ascii_digit).collect();
    let joined = moved(SDP_PBX, &format!("10.0.0.5 {carols_port}"));
    let reinvite = bob.sends(&Method::Invite, Some(&joined));
    bob.is_refused(&reinvite, 488);
    bob.sends(&Method::Update, Some(&joined));
    bob.hears(488);
    flow.is_silent();
    flow.media_is(&[]);
    // Nothing of it is left: a change that can be made is made.
    reinvites(&mut bob, &mut alice, &moved(SDP_PBX, "10.0.0.9 30002"), SDP_CARRIER);
    flow.media_is(&["B 10.0.0.9:30002"]);
    bobs_second_line.hangs_up();
    carol.gets_bye();
    alice.hangs_up();
    bob.gets_bye();
    assert_eq!(flow.records().len(), 2);
}
