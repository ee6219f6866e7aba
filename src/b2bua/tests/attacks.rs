//! What was tried against the engine, and must not work again.

use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::admission::DropReason;
use crate::b2bua::{AttemptResult, Event, Input};
use crate::base::Realm;
use crate::media::{MediaCommand, Side};
use crate::sip::{Header, Method};

#[test]
fn a_forged_icmp_report_ends_no_call() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let forged = text(&outgoing).replace("branch=z9hG4bK", "branch=z9hG4bKx");
    lab.input(Input::Undelivered { bytes: forged.into() });
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    // A true one comes too late: the callee has answered already.
    lab.input(Input::Undelivered { bytes: outgoing.as_bytes().clone() });
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
}

#[test]
fn a_true_icmp_report_moves_the_call_on_and_a_late_answer_is_ended() {
    let mut lab = Lab::new();
    let (_, first) = begin(&mut lab, Some(SDP_PBX));
    lab.input(Input::Undelivered { bytes: first.as_bytes().slice(..200) });
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &first, 180, "callee", None));
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &first, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "other", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().attempts[0].result, AttemptResult::Transport);
}

#[test]
fn media_never_goes_round_within_us() {
    let mut lab = Lab::new();
    let (first, answer, _) = establish(&mut lab, "1");
    let ours = opened_ports(&lab)[1];
    let sdp = SDP_PBX.replace("10.0.0.9", "203.0.113.5").replace("30000", &ours.rtp_port.to_string());
    lab.receive(PBX, &invite(PBX, "+442079460001", "2", Some(&sdp)));
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    let learned = lab.media.iter().filter(|command| {
        matches!(command, MediaCommand::SetRemote { side: Side::A, remote: Some(remote), .. }
            if remote.rtp.port() == ours.rtp_port)
    });
    assert_eq!(learned.count(), 0);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    hang_up(&mut lab, &first, &answer, 2);
    lab.expect_nothing_left();
}

/// An OPTIONS of this source's.
fn options(lab: &mut Lab, source: &str, number: usize) {
    let id = format!("{number}-{}", source.replace(['.', ':'], "-"));
    let options = request(source, &Method::Options, "sip:sbc", &id, 1);
    lab.receive(source, &options.header(Header::To, "<sip:sbc>").finish().unwrap());
}

#[test]
fn a_flood_of_options_is_answered_so_often_and_no_more_and_calls_go_on() {
    let mut settings = settings();
    settings.admission.rate = crate::base::ByRealm { trusted: Some(20), untrusted: None };
    let mut lab = Lab::with(settings);
    let (invite, answer, _) = establish(&mut lab, "call");
    let answered = |lab: &mut Lab, source: &str, count: usize| {
        (0..count).for_each(|number| options(lab, source, number));
        let answers = lab.sent.len();
        lab.sent.clear();
        answers
    };
    assert_eq!(answered(&mut lab, PBX, 100), 20);
    let limited = Event::Dropped { realm: Realm::Trusted, reason: DropReason::RateLimited };
    assert_eq!(lab.events.iter().filter(|event| **event == limited).count(), 80);
    // Whatever port it comes from, and whatever it is that begins nothing.
    assert_eq!(answered(&mut lab, "10.0.0.9:40000", 10), 0);
    lab.receive_bytes(PBX, "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx\r\n\r\n");
    lab.expect_silence();
    // Nobody else is touched, nor is the call.
    assert_eq!(answered(&mut lab, "10.0.0.8:5060", 5), 5);
    assert_eq!(answered(&mut lab, CARRIER_B, 100), 100);
    lab.advance(std::time::Duration::from_millis(250));
    assert_eq!(answered(&mut lab, PBX, 100), 5);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_nothing_left();
}

#[test]
fn what_opens_no_dialog_takes_no_room() {
    let mut lab = Lab::new();
    for number in 0..1_000 {
        let options = request(PBX, &Method::Options, "sip:10.0.0.5", &number.to_string(), 1)
            .header(Header::To, "<sip:10.0.0.5>")
            .finish()
            .unwrap();
        lab.receive(PBX, &options);
        lab.take_response(PBX, 200);
    }
    assert_eq!(lab.engine.census().transactions, 0);
    lab.expect_nothing_left();
}

#[test]
fn sdp_in_an_info_and_a_failures_text_do_not_cross() {
    let mut lab = Lab::new();
    let (first, answer, _) = establish(&mut lab, "1");
    let info = caller_request(PBX, &first, &answer, &Method::Info, 2);
    lab.receive(PBX, &finish(info, Some(SDP_PBX)));
    lab.take_response(PBX, 415);
    lab.expect_silence();
    hang_up(&mut lab, &first, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn a_silent_relay_costs_the_call_and_not_more() {
    let mut lab = Lab::new();
    lab.holds_opens = true;
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.advance(Duration::from_secs(3));
    lab.take_response(PBX, 503);
    lab.expect_nothing_left();
}

#[test]
fn no_call_lasts_for_ever() {
    let mut settings = settings();
    // No refresh would find out that both are gone.
    settings.timeouts.session_expires = Duration::ZERO;
    let mut lab = Lab::with(settings);
    establish(&mut lab, "1");
    lab.advance(Duration::from_secs(12 * 3_600));
    lab.take_request(PBX, &Method::Bye);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_nothing_left();
}

#[test]
fn the_record_of_a_call_that_is_abandoned_is_written() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_response(PBX, 200);
    lab.input(Input::Shutdown);
    assert!(lab.cdrs.is_empty(), "the ACK is waited for");
    lab.input(Input::Abandon);
    lab.take_request(PBX, &Method::Bye);
    assert_eq!(lab.cdr().status, 200);
}
