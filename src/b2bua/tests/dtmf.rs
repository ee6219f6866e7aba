//! Keys between sides that do not send them in the same way (`b2bua/dtmf.rs`).

use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::{EndedBy, Input, Settings};
use crate::media::{EventRule, Key, MediaCommand, MediaEvent, Press, RemoteMedia, Side};
use crate::routing::Dtmf;
use crate::sip::{Header, Message, Method};

/// A carrier that has no telephone events.
const SDP_BARE: &str = "v=0\r\no=carrier 7 7 IN IP4 198.51.100.1\r\ns=c\r\nc=IN IP4 198.51.100.77\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0\r\n";

fn with_dtmf(pbx: Dtmf, carrier: Dtmf) -> Settings {
    let mut settings = settings();
    settings.routing.trunks[0].dtmf = pbx;
    settings.routing.trunks[1].dtmf = carrier;
    settings
}

fn press(sign: u8, millis: u64) -> Press {
    Press { key: Key::of_sign(sign).unwrap(), duration: Duration::from_millis(millis) }
}

/// A call that is answered with this SDP; what `establish` gives.
fn answered(lab: &mut Lab, sdp: &str) -> (Message, Message, Message) {
    let (invite, outgoing) = begin(lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(sdp)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    (invite, answer, outgoing)
}

/// The relay hears a key on a side.
fn hears(lab: &mut Lab, side: Side, press: Press) {
    let session = *lab.open_sessions.first().unwrap();
    lab.input(Input::Media(MediaEvent::Key { session, side, press }));
}

/// What the relay has last been told of a side.
fn remote(lab: &Lab, wanted: Side) -> RemoteMedia {
    let remotes = lab.media.iter().rev().filter_map(|command| match command {
        MediaCommand::SetRemote { side, remote, .. } if *side == wanted => *remote,
        _ => None,
    });
    remotes.into_iter().next().expect("a remote")
}

fn presses(lab: &Lab) -> Vec<(Side, char, u128)> {
    let presses = lab.media.iter().filter_map(|command| match command {
        MediaCommand::Press { side, press, stream: 0, .. } => {
            Some((*side, press.key.sign(), press.duration.as_millis()))
        }
        _ => None,
    });
    presses.collect()
}

fn info(lab: &mut Lab, invite: &Message, answer: &Message, sequence: u32, body: &str) {
    let info = caller_request(PBX, invite, answer, &Method::Info, sequence);
    lab.receive(PBX, &info.finish_with(b"application/dtmf-relay", body.as_bytes()).unwrap());
}

#[test]
fn events_go_on_as_info_one_at_a_time_and_in_order() {
    let mut lab = Lab::with(with_dtmf(Dtmf::Pass, Dtmf::Info));
    let (invite, answer, _) = answered(&mut lab, SDP_BARE);
    for (sign, millis) in [(b'1', 100), (b'2', 250), (b'#', 80)] {
        hears(&mut lab, Side::A, press(sign, millis));
    }
    let mut told = Vec::new();
    for status in [200, 415, 500] {
        let info = lab.take_request(CARRIER_A, &Method::Info);
        lab.expect_silence();
        assert_eq!(info.header(Header::ContentType), Some(&b"application/dtmf-relay"[..]));
        told.push(String::from_utf8_lossy(&info.body()).into_owned());
        lab.receive(CARRIER_A, &respond(CARRIER_A, &info, status, "callee", None));
    }
    lab.expect_silence();
    let body = |key, millis| format!("Signal={key}\r\nDuration={millis}\r\n");
    assert_eq!(told, [body('1', 100), body('2', 250), body('#', 80)]);
    // What the relay hears on the other side is not to go to who sends events.
    hears(&mut lab, Side::B, press(b'9', 100));
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Caller);
}

#[test]
fn who_speaks_to_info_is_told_of_events_and_the_relay_to_listen_for_them() {
    let mut lab = Lab::with(with_dtmf(Dtmf::Pass, Dtmf::Info));
    let (invite, answer, outgoing) = answered(&mut lab, SDP_BARE);
    assert!(text(&outgoing).contains("telephone-event"), "what the PBX offers is its own");
    let shown = text(&answer);
    assert!(shown.contains(" RTP/AVP 0 101\r\n"), "{shown}");
    assert!(shown.contains("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"), "{shown}");
    assert_eq!(remote(&lab, Side::A).events, EventRule::Tell { offered: Some(101) });
    assert_eq!(remote(&lab, Side::B).events, EventRule::Pass);
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
}

#[test]
fn a_call_of_who_speaks_info_offers_events_and_its_keys_are_pressed() {
    let mut lab = Lab::with(with_dtmf(Dtmf::Info, Dtmf::Pass));
    let bare = "v=0\r\no=pbx 1 1 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
        m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:101 opus/48000/2\r\n";
    let (invite, outgoing) = begin(&mut lab, Some(bare));
    assert!(text(&outgoing).contains(" RTP/AVP 0 101 96\r\n"), "{}", text(&outgoing));
    let events = SDP_CARRIER.replace("101", "96");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(&events)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    info(&mut lab, &invite, &answer, 2, "Signal=5\r\nDuration=250\r\n");
    lab.take_response(PBX, 200);
    lab.expect_silence();
    assert_eq!(presses(&lab), [(Side::A, '5', 250)]);
    // And the way back.
    assert_eq!(remote(&lab, Side::B).events, EventRule::Tell { offered: Some(96) });
    hears(&mut lab, Side::B, press(b'7', 160));
    let told = lab.take_request(PBX, &Method::Info);
    assert_eq!(&told.body()[..], b"Signal=7\r\nDuration=160\r\n");
    lab.receive(PBX, &respond(PBX, &told, 200, "x", None));
    // A flash is no key: it crosses.
    info(&mut lab, &invite, &answer, 3, "Signal=!\r\n");
    let crossed = lab.take_request(CARRIER_A, &Method::Info);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &crossed, 200, "callee", None));
    lab.take_response(PBX, 200);
    hang_up(&mut lab, &invite, &answer, 4);
    lab.expect_nothing_left();
}

#[test]
fn info_crosses_where_nobody_asks_for_more_or_events_cannot_be_written() {
    let secured = SDP_CARRIER.replace("RTP/AVP", "RTP/SAVP");
    for (pbx, carrier, sdp, presses_it) in [
        (Dtmf::Pass, Dtmf::Pass, SDP_CARRIER, false),
        (Dtmf::Info, Dtmf::Info, SDP_CARRIER, false),
        (Dtmf::Pass, Dtmf::Info, SDP_CARRIER, false),
        (Dtmf::Rfc4733, Dtmf::Pass, SDP_CARRIER, false),
        (Dtmf::Info, Dtmf::Pass, SDP_BARE, false),
        (Dtmf::Pass, Dtmf::Rfc4733, SDP_BARE, false),
        (Dtmf::Info, Dtmf::Pass, &secured, false),
        (Dtmf::Info, Dtmf::Pass, SDP_CARRIER, true),
        (Dtmf::Pass, Dtmf::Rfc4733, SDP_CARRIER, true),
        (Dtmf::Info, Dtmf::Rfc4733, SDP_CARRIER, true),
        (Dtmf::Rfc4733, Dtmf::Rfc4733, SDP_CARRIER, true),
    ] {
        let mut lab = Lab::with(with_dtmf(pbx, carrier));
        let (invite, answer, _) = answered(&mut lab, sdp);
        info(&mut lab, &invite, &answer, 2, "Signal=5\r\nDuration=250\r\n");
        assert_eq!(presses(&lab).len(), usize::from(presses_it), "{pbx:?} {carrier:?} {sdp}");
        if !presses_it {
            let crossed = lab.take_request(CARRIER_A, &Method::Info);
            assert_eq!(&crossed.body()[..], b"Signal=5\r\nDuration=250\r\n");
            lab.receive(CARRIER_A, &respond(CARRIER_A, &crossed, 200, "callee", None));
        }
        lab.take_response(PBX, 200);
        lab.expect_silence();
        hang_up(&mut lab, &invite, &answer, 3);
        lab.expect_nothing_left();
    }
}

#[test]
fn an_info_that_nobody_answers_ends_no_call_and_keys_are_bounded() {
    let mut lab = Lab::with(with_dtmf(Dtmf::Pass, Dtmf::Info));
    let (invite, answer, _) = answered(&mut lab, SDP_BARE);
    for _ in 0..100 {
        hears(&mut lab, Side::A, press(b'1', 100));
    }
    // The first times out; by then nobody wants the rest any more.
    lab.take_request(CARRIER_A, &Method::Info);
    lab.advance(Duration::from_millis(31_900));
    lab.sent.clear();
    lab.advance(Duration::from_millis(100));
    lab.expect_silence();
    // It is answered late: what waited for no more than five seconds goes on.
    for _ in 0..100 {
        hears(&mut lab, Side::A, press(b'2', 100));
    }
    let slow = lab.take_request(CARRIER_A, &Method::Info);
    lab.advance(Duration::from_secs(4));
    lab.sent.clear();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &slow, 200, "callee", None));
    let mut count = 1;
    while !lab.sent.is_empty() {
        let info = lab.take_request(CARRIER_A, &Method::Info);
        let status = if count == 2 { 481 } else { 200 };
        lab.receive(CARRIER_A, &respond(CARRIER_A, &info, status, "callee", None));
        count += 1;
    }
    assert_eq!(count, 33, "32 wait for one");
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Caller);
}

#[test]
fn more_keys_by_info_than_any_hand_presses_are_told_to_come_later() {
    let mut lab = Lab::with(with_dtmf(Dtmf::Info, Dtmf::Pass));
    let (invite, answer, _) = establish(&mut lab, "1");
    let mut codes = Vec::new();
    for at in 0..25 {
        info(&mut lab, &invite, &answer, 2 + at, "Signal=5\r\n");
        codes.push(lab.take(PBX).status().unwrap().code());
    }
    assert_eq!((codes.iter().filter(|code| **code == 200).count(), codes[24]), (20, 500));
    lab.advance(Duration::from_secs(1));
    info(&mut lab, &invite, &answer, 40, "Signal=5\r\n");
    lab.take_response(PBX, 200);
    assert_eq!(presses(&lab).len(), 21);
    hang_up(&mut lab, &invite, &answer, 41);
    lab.expect_nothing_left();
}

#[test]
fn a_challenged_info_is_answered_and_no_key_is_told_twice_or_after_the_call() {
    let mut settings = with_dtmf(Dtmf::Pass, Dtmf::Info);
    settings.routing.trunks[1].credentials =
        Some(crate::routing::Credentials { username: "u".to_owned(), password: "p".to_owned() });
    let mut lab = Lab::with(settings);
    let (invite, answer, _) = answered(&mut lab, SDP_BARE);
    hears(&mut lab, Side::A, press(b'1', 100));
    hears(&mut lab, Side::A, press(b'2', 100));
    let first = lab.take_request(CARRIER_A, &Method::Info);
    let challenge = respond(CARRIER_A, &first, 401, "callee", None);
    let challenge =
        with_header(&challenge, "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", algorithm=MD5");
    lab.receive(CARRIER_A, &challenge);
    let again = lab.take_request(CARRIER_A, &Method::Info);
    assert!(again.header(Header::Authorization).is_some());
    assert_eq!(again.body(), first.body());
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &again, 200, "callee", None));
    let second = lab.take_request(CARRIER_A, &Method::Info);
    hears(&mut lab, Side::A, press(b'3', 100));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &second, 200, "callee", None));
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_key_is_neither_in_the_record_nor_in_what_is_printed() {
    let mut lab = Lab::with(with_dtmf(Dtmf::Pass, Dtmf::Info));
    let (invite, answer, _) = answered(&mut lab, SDP_BARE);
    let session = *lab.open_sessions.first().unwrap();
    let key = MediaEvent::Key { session, side: Side::A, press: press(b'D', 77) };
    assert!(format!("{key:?}").contains("key: Key,"), "{key:?}");
    lab.input(Input::Media(key));
    let told = lab.take_request(CARRIER_A, &Method::Info);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &told, 200, "callee", None));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert!(!format!("{:?}", lab.cdr()).contains("Signal"));
    assert!(lab.events.iter().all(|event| !format!("{event:?}").contains("Signal")));
}
