//! CANCEL against everything that may cross it.

use std::time::Duration;

use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::Outcome;
use crate::sip::Method;

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(PBX, &cancel_of(&invite));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().outcome()), (487, Outcome::Cancelled));
}

#[test]
fn an_answer_after_the_cancel_is_acked_and_ended() {
    for provisional in [None, Some(180)] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
        if let Some(status) = provisional {
            lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, status, "callee", None));
            lab.take_response(PBX, status);
        }
        lab.receive(PBX, &cancel_of(&invite));
        lab.take_response(PBX, 200);
        lab.take_response(PBX, 487);
        if provisional.is_some() {
            lab.take_request(CARRIER_A, &Method::Cancel);
        }
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let bye = lab.take_request(CARRIER_A, &Method::Bye);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
        lab.expect_silence();
        lab.expect_nothing_left();
        assert_eq!((lab.cdr().status, lab.cdr().outcome()), (487, Outcome::Cancelled));
    }
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &cancel_of(&invite));
    lab.take_response(PBX, 200);
    lab.expect_silence();
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.advance(Duration::from_secs(60));
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().outcome(), Outcome::Answered);
}

#[test]
fn a_cancel_of_nothing_is_481() {
    let mut lab = Lab::new();
    lab.receive(PBX, &cancel_of(&invite(PBX, "+442079460000", "1", None)));
    lab.take_response(PBX, 481);
    lab.expect_nothing_left();
    assert!(lab.cdrs.is_empty());
}

#[test]
fn a_cancel_while_ports_are_being_bound_calls_nobody() {
    let mut lab = Lab::new();
    lab.holds_opens = true;
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    lab.receive(PBX, &cancel_of(&invite));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}

#[test]
fn a_callee_that_answers_neither_invite_nor_cancel_is_forgotten() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.receive(PBX, &cancel_of(&invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}
