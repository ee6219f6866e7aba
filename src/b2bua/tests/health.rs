//! OPTIONS to the trunks, and what they and the calls say of a target.

use std::time::Duration;

use super::lab::*;
use crate::b2bua::{Input, Settings};
use crate::routing::{Credentials, Health};
use crate::sip::{Header, Message, Method, response_to};

const INTERVAL: Duration = Duration::from_secs(30);

/// The lab's trunks, the first carrier probed.
fn probing() -> Settings {
    let mut settings = settings();
    settings.routing.trunks[1].health = Health { interval: INTERVAL, ..Health::default() };
    settings
}

/// Waits until the next probe is out.
fn next_probe(lab: &mut Lab) -> Message {
    for _ in 0..360 {
        if lab.sent.iter().any(|(_, message)| message.method() == Some(&Method::Options)) {
            return lab.take_request(CARRIER_A, &Method::Options);
        }
        lab.advance(Duration::from_millis(100));
    }
    panic!("no probe in 36 s");
}

fn answer(lab: &mut Lab, probe: &Message, status: u16) {
    lab.receive(CARRIER_A, &respond(CARRIER_A, probe, status, "peer", None));
}

#[test]
fn a_probe_names_the_trunk_and_nobody_of_ours() {
    let mut lab = Lab::with(probing());
    let probe = next_probe(&mut lab);
    assert_eq!(probe.request_uri_raw(), b"sip:carrier-a.example");
    assert_eq!(probe.header(Header::To), Some(&b"<sip:carrier-a.example>"[..]));
    assert_eq!(probe.header(Header::MaxForwards), Some(&b"70"[..]));
    let from = String::from_utf8_lossy(probe.header(Header::From).unwrap()).into_owned();
    assert!(from.starts_with("<sip:203.0.113.5:5060>;tag="), "{from}");
    assert_eq!(probe.header(Header::Contact), Some(&b"<sip:203.0.113.5:5060>"[..]));
    assert_eq!(probe.header(Header::Accept), Some(&b"application/sdp"[..]));
    answer(&mut lab, &probe, 200);
    assert_eq!(lab.engine.leftovers(), 0);
}

#[test]
fn probes_come_in_their_interval_and_stop_with_the_trunk_and_the_process() {
    let mut lab = Lab::with(probing());
    let mut last = None;
    for _ in 0..5 {
        let probe = next_probe(&mut lab);
        if let Some(before) = last.replace(lab.now) {
            let apart = lab.now.since(before);
            assert!(apart >= INTERVAL * 8 / 10 && apart <= INTERVAL * 13 / 10, "{apart:?}");
        }
        answer(&mut lab, &probe, 200);
    }
    let mut settings = probing();
    settings.routing.trunks[1].enabled = false;
    lab.input(Input::Settings(settings.into()));
    lab.advance(INTERVAL * 4);
    lab.expect_silence();
    lab.input(Input::Settings(probing().into()));
    next_probe(&mut lab);
    lab.input(Input::Shutdown);
    lab.advance(INTERVAL * 4);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_probe_that_nobody_answers_is_given_up_after_its_timeout() {
    let mut lab = Lab::with(probing());
    next_probe(&mut lab);
    assert_eq!(lab.engine.leftovers(), 1);
    lab.advance(Duration::from_millis(1_900));
    // Timer E: after 0.5 s and 1.5 s.
    lab.take_request(CARRIER_A, &Method::Options);
    lab.take_request(CARRIER_A, &Method::Options);
    lab.advance(Duration::from_millis(100));
    assert_eq!((lab.engine.leftovers(), lab.engine.census().transactions), (0, 0));
    lab.advance(Duration::from_secs(10));
    lab.expect_silence();
}

#[test]
fn a_challenged_probe_is_answered_once() {
    let mut settings = probing();
    settings.routing.trunks[1].credentials =
        Some(Credentials { username: "user".to_owned(), password: "pass".to_owned() });
    let mut lab = Lab::with(settings);
    let challenge = |probe: &Message| {
        let sbc = SBC_UNTRUSTED.parse().unwrap();
        response_to(probe, sbc, crate::sip::Status::of(401), None, Some("peer"))
            .header(Header::WwwAuthenticate, "Digest realm=\"r\", nonce=\"n\"")
            .finish()
            .unwrap()
    };
    let first = next_probe(&mut lab);
    lab.receive(CARRIER_A, &challenge(&first));
    let second = lab.take_request(CARRIER_A, &Method::Options);
    assert!(second.header(Header::Authorization).unwrap().starts_with(b"Digest username=\"user\""));
    assert_eq!(second.call_id(), first.call_id());
    assert_eq!(second.header(Header::CSeq), Some(&b"2 OPTIONS"[..]));
    lab.receive(CARRIER_A, &challenge(&second));
    lab.expect_silence();
    assert_eq!(lab.engine.leftovers(), 0);
}
