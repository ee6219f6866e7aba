//! A call that falls silent: at all, on one side, on hold. The relay tells; the engine ends the call, or
//! tells the operator.

use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::{CallSearch, EndedBy, Event, Input, OneWayAudio};
use crate::base::{Realm, TrunkName};
use crate::media::{MediaCommand, MediaEvent, MediaSessionId, OneWay, Side};
use crate::sip::{Header, Message, Method};

fn session(lab: &Lab) -> MediaSessionId {
    *lab.open_sessions.first().unwrap()
}

/// What the relay may have seen.
pub fn found(silent: Side, is_overdue: bool) -> OneWay {
    OneWay {
        silent,
        stream: 0,
        lasted: Duration::from_secs(if is_overdue { 30 } else { 5 }),
        was_heard: false,
        heard_across: 250,
        signalled: "198.51.100.77:40000".parse().ok(),
        sent_to: "198.51.100.77:40000".parse().ok(),
        dropped: None,
        is_overdue,
    }
}

fn one_way(lab: &mut Lab, silent: Side, is_overdue: bool) {
    let session = session(lab);
    lab.input(Input::Media(MediaEvent::OneWay { session, found: Box::new(found(silent, is_overdue)) }));
}

fn told(lab: &Lab) -> Vec<OneWayAudio> {
    let one_way = |event: &Event| match event {
        Event::OneWay(told) => Some(OneWayAudio::clone(told)),
        _ => None,
    };
    lab.events.iter().filter_map(one_way).collect()
}

/// Both sides get BYE with this Reason, and the record says why.
fn expect_end(lab: &mut Lab, reason: &str, cause: &str) {
    for peer in [PBX, CARRIER_A] {
        let bye = lab.take_request(peer, &Method::Bye);
        assert_eq!(bye.header(Header::Reason), Some(reason.as_bytes()), "{}", text(&bye));
    }
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().ended_by, lab.cdr().cause.as_str()), (EndedBy::Sbc, cause));
}

/// The PBX puts the call on hold, or takes it back.
fn offer(lab: &mut Lab, (invite, answer): (&Message, &Message), sequence: u32, sdp: &str) {
    let request = caller_request(PBX, invite, answer, &Method::Invite, sequence);
    lab.receive(PBX, &finish(request, Some(sdp)));
    lab.take_response(PBX, 100);
    let asked = lab.take_request(CARRIER_A, &Method::Invite);
    let said = if sdp.contains("sendonly") {
        format!("{SDP_CARRIER}a=recvonly\r\n")
    } else {
        SDP_CARRIER.to_owned()
    };
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 200, "callee", Some(&said)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Ack, sequence), None));
    lab.expect_silence();
}

fn hold(sdp: &str) -> String {
    format!("{}a=sendonly\r\n", sdp.replace("o=pbx 1 1", "o=pbx 1 2"))
}

#[test]
fn a_call_without_any_media_ends_with_a_reason() {
    let mut lab = Lab::new();
    establish(&mut lab, "1");
    let session = session(&lab);
    lab.input(Input::Media(MediaEvent::Silent { session }));
    expect_end(&mut lab, "SIP;cause=408;text=\"No media\"", "no RTP for media.timeout");
}

/// Who hides may not speak, and hears what it is told.
#[test]
fn a_call_for_help_is_ended_by_no_silence_while_one_side_is_there() {
    let mut lab = Lab::new();
    let invite = invite(PBX, "112", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    one_way(&mut lab, Side::A, true);
    lab.expect_silence();
    assert_eq!(told(&lab).len(), 1, "but people hear of it");
    offer(&mut lab, (&invite, &answer), 2, &hold(SDP_PBX));
    let of_hold = session(&lab);
    lab.input(Input::Media(MediaEvent::SilentOnHold { session: of_hold }));
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn one_way_audio_is_told_once_of_each_side_and_ends_nothing_by_itself() {
    let mut lab = Lab::new();
    establish(&mut lab, "1");
    for silent in [Side::B, Side::B, Side::A, Side::B] {
        one_way(&mut lab, silent, false);
    }
    lab.expect_silence();
    let told = told(&lab);
    assert_eq!(told.len(), 2);
    let OneWayAudio { call, silent, place, across, port, found } = &told[0];
    assert_eq!((*silent, place.realm, across.realm), (EndedBy::Callee, Realm::Untrusted, Realm::Trusted));
    assert_eq!(place.trunk, Some(TrunkName::from("carrier-a")));
    assert_eq!(found.heard_across, 250);
    assert_eq!(port.map(|port| port.ip()), "203.0.113.5".parse().ok());
    assert_eq!(told[1].silent, EndedBy::Caller);
    assert_eq!(lab.engine.call_report(call).unwrap().not_heard, [Side::A, Side::B]);
    let session = session(&lab);
    lab.input(Input::Media(MediaEvent::Silent { session }));
    lab.take_request(PBX, &Method::Bye);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_nothing_left();
    assert_eq!(&lab.cdr().id, call);
}

#[test]
fn one_way_audio_that_lasts_too_long_ends_the_call_with_a_cause_of_its_own() {
    for (silent, who) in [(Side::A, "caller"), (Side::B, "callee")] {
        let mut lab = Lab::new();
        establish(&mut lab, "1");
        one_way(&mut lab, silent, false);
        lab.expect_silence();
        assert_eq!(lab.engine.call_reports(1, &CallSearch::default())[0].not_heard, [silent]);
        one_way(&mut lab, silent, true);
        let cause = format!("no RTP from the {who} for media.one_way_timeout");
        expect_end(&mut lab, "SIP;cause=408;text=\"No media from one side\"", &cause);
        assert_eq!(told(&lab).len(), 1);
    }
}

#[test]
fn the_relay_hears_of_the_answer_when_it_is_passed_on() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "callee", Some(SDP_CARRIER)));
    lab.take_response(PBX, 183);
    let answered = |lab: &Lab| {
        lab.media.iter().filter(|command| matches!(command, MediaCommand::SetAnswered { .. })).count()
    };
    assert_eq!(answered(&lab), 0);
    // What the relay says before that concerns nobody.
    one_way(&mut lab, Side::A, true);
    let session = session(&lab);
    lab.input(Input::Media(MediaEvent::SilentOnHold { session }));
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    assert_eq!(answered(&lab), 1);
    assert!(told(&lab).is_empty());
    lab.input(Input::HangUp { call: lab.engine.call_reports(1, &CallSearch::default())[0].id.clone() });
    lab.sent.clear();
    lab.advance(Duration::from_secs(64));
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn on_hold_only_the_silence_of_a_hold_counts() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    let held = hold(SDP_PBX);
    offer(&mut lab, (&invite, &answer), 2, &held);
    let session = session(&lab);
    // They crossed our word of the hold.
    one_way(&mut lab, Side::B, true);
    lab.input(Input::Media(MediaEvent::Silent { session }));
    lab.expect_silence();
    assert!(told(&lab).is_empty());
    lab.input(Input::Media(MediaEvent::SilentOnHold { session }));
    let cause = "on hold without RTP for media.hold_timeout";
    expect_end(&mut lab, "SIP;cause=408;text=\"No media on hold\"", cause);
}

#[test]
fn a_call_that_is_taken_off_hold_is_not_ended_for_the_hold() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    offer(&mut lab, (&invite, &answer), 2, &hold(SDP_PBX));
    offer(&mut lab, (&invite, &answer), 3, &SDP_PBX.replace("o=pbx 1 1", "o=pbx 1 3"));
    let session = session(&lab);
    lab.input(Input::Media(MediaEvent::SilentOnHold { session }));
    lab.expect_silence();
    super::setup::hang_up(&mut lab, &invite, &answer, 4);
    lab.expect_nothing_left();
}
