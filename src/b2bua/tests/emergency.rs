//! A call for help goes through where it can: what refuses other calls does not refuse it.

use std::time::Duration;

use super::lab::*;
use super::setup::hang_up;
use super::transports::ack_of_failure;
use crate::b2bua::Input;
use crate::sip::{Header, Message, Method};

fn help(id: &str, sdp: Option<&str>) -> Message {
    invite(PBX, "911", id, sdp)
}

/// The call is answered and ended; gives what the caller heard.
fn completes(lab: &mut Lab, invite: &Message) -> Message {
    lab.receive(PBX, invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, invite, &answer, &Method::Ack, 1), None));
    answer
}

/// The call is refused with this, and nothing goes out.
fn is_refused(lab: &mut Lab, invite: &Message, status: u16) {
    lab.receive(PBX, invite);
    lab.take_response(PBX, 100);
    lab.take_response(PBX, status);
    lab.receive(PBX, &ack_of_failure(invite));
    lab.expect_silence();
}

#[test]
fn a_call_for_help_is_not_refused_for_what_it_could_do_without() {
    for (lines, otherwise) in [
        ("Require: precondition, sec-agree", 420),
        ("Proxy-Require: x-odd", 420),
        ("Accept: application/pidf+xml", 406),
        ("Supported: timer\r\nSession-Expires: 30", 422),
    ] {
        let mut lab = Lab::new();
        let ordinary = with_header(&invite(PBX, "+442079460000", "1", Some(SDP_PBX)), lines);
        is_refused(&mut lab, &ordinary, otherwise);
        let call = with_header(&help("2", Some(SDP_PBX)), lines);
        let answer = completes(&mut lab, &call);
        hang_up(&mut lab, &call, &answer, 2);
        lab.sent.clear();
        lab.expect_nothing_left();
    }
}

/// RFC 4028 §9 lets a UAS answer without Session-Expires: then there is no timer.
#[test]
fn a_call_for_help_whose_session_timer_is_too_short_has_none() {
    let mut lab = Lab::new();
    let short = "Supported: timer\r\nSession-Expires: 30";
    let call = with_header(&help("1", Some(SDP_PBX)), short);
    let answer = completes(&mut lab, &call);
    assert_eq!(answer.header(Header::SessionExpires), None);
    let update = caller_request(PBX, &call, &answer, &Method::Update, 2)
        .header(Header::Supported, "timer")
        .header(Header::SessionExpires, "30");
    lab.receive(PBX, &finish(update, None));
    assert_eq!(lab.take_response(PBX, 200).header(Header::SessionExpires), None);
    lab.advance(Duration::from_secs(120));
    hang_up(&mut lab, &call, &answer, 3);
    lab.sent.clear();
    lab.expect_nothing_left();
}

/// A description that is compressed could not be carried: who hears why may send it plainly.
#[test]
fn a_call_for_help_is_refused_for_a_coding_only_where_something_is_coded() {
    let mut lab = Lab::new();
    let coded = "Content-Encoding: gzip";
    is_refused(&mut lab, &with_header(&help("1", Some(SDP_PBX)), coded), 415);
    let call = with_header(&help("2", None), coded);
    lab.receive(PBX, &call);
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(PBX, &cancel_of(&call));
    lab.sent.clear();
    lab.advance(Duration::from_secs(40));
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn a_drain_takes_calls_for_help_until_its_deadline_and_a_shutdown_none() {
    let mut lab = Lab::new();
    lab.input(Input::Drain { deadline: Some(lab.now + Duration::from_secs(30)) });
    is_refused(&mut lab, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)), 503);
    let call = help("2", Some(SDP_PBX));
    let answer = completes(&mut lab, &call);
    lab.advance(Duration::from_secs(31));
    // It goes on, and no other begins.
    lab.expect_silence();
    is_refused(&mut lab, &help("3", Some(SDP_PBX)), 503);
    hang_up(&mut lab, &call, &answer, 2);
    // A new drain, a new deadline.
    lab.input(Input::Drain { deadline: None });
    let call = help("4", Some(SDP_PBX));
    let answer = completes(&mut lab, &call);
    hang_up(&mut lab, &call, &answer, 2);
    lab.input(Input::Shutdown);
    lab.input(Input::Drain { deadline: None });
    is_refused(&mut lab, &help("5", Some(SDP_PBX)), 503);
    lab.input(Input::Undrain);
    is_refused(&mut lab, &help("6", Some(SDP_PBX)), 503);
    lab.expect_nothing_left();
}
