//! The timers in operators' hands: how long it may take to ring, to answer, and to talk.

use std::sync::Arc;
use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::begin;
use crate::b2bua::{AttemptResult, EndedBy, Input, Settings};
use crate::sip::{Message, Method};

const SECOND: Duration = Duration::from_secs(1);

/// Settings whose carrier A has timers of its own.
fn with_own(change: impl FnOnce(&mut crate::routing::Timeouts)) -> Settings {
    let mut settings = settings();
    let mut own = settings.timeouts;
    change(&mut own);
    settings.routing.trunks[1].calls = Some(own);
    settings
}

fn trying(lab: &mut Lab, outgoing: &Message) {
    lab.receive(CARRIER_A, &respond(CARRIER_A, outgoing, 100, "callee", None));
}

fn refuse_at_b(lab: &mut Lab) {
    let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 486, "other", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
}

#[test]
fn a_target_that_never_rings_is_left_for_the_next() {
    for (own, wait) in [(None, 60), (Some(10), 10)] {
        let mut lab = Lab::with(with_own(|timeouts| {
            timeouts.progress = own.map_or(timeouts.progress, Duration::from_secs);
        }));
        let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
        trying(&mut lab, &outgoing);
        lab.advance(SECOND * wait - Duration::from_millis(1));
        lab.expect_silence();
        lab.advance(Duration::from_millis(1));
        lab.take_request(CARRIER_A, &Method::Cancel);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        refuse_at_b(&mut lab);
        lab.sent.clear();
        lab.expect_nothing_left();
        let results: Vec<_> = lab.cdr().attempts.iter().map(|attempt| attempt.result).collect();
        assert_eq!(results, [AttemptResult::Timeout, AttemptResult::Status(486)]);
    }
}

#[test]
fn a_target_that_rings_has_until_the_answer_is_due_whatever_else_it_says() {
    let mut lab = Lab::with(with_own(|timeouts| timeouts.answer = SECOND * 90));
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    trying(&mut lab, &outgoing);
    for _ in 0..8 {
        lab.advance(SECOND * 10);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
        lab.take_response(PBX, 180);
    }
    lab.advance(SECOND * 9);
    lab.expect_silence();
    lab.advance(SECOND);
    lab.take_response(PBX, 408);
    lab.take_request(CARRIER_A, &Method::Cancel);
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().cause, "the callee did not answer in time");
}

#[test]
fn without_a_progress_timeout_only_the_answer_is_waited_for() {
    let mut lab = Lab::with(with_own(|timeouts| timeouts.progress = Duration::ZERO));
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    trying(&mut lab, &outgoing);
    lab.advance(SECOND * 184);
    lab.expect_silence();
    lab.advance(SECOND);
    lab.take_response(PBX, 408);
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 408);
}

#[test]
fn each_target_has_its_time_to_ring() {
    let mut lab = Lab::with(with_own(|_| {}));
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    trying(&mut lab, &outgoing);
    lab.advance(SECOND * 60);
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 100, "other", None));
    lab.sent.clear();
    lab.advance(SECOND * 59);
    lab.sent.retain(|(hop, _)| hop.peer.to_string() != CARRIER_A);
    lab.expect_silence();
    lab.advance(SECOND);
    lab.take_request(CARRIER_B, &Method::Cancel);
    lab.take_response(PBX, 503);
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().attempts.len(), 2);
}

#[test]
fn the_shorter_of_two_longest_calls_counts() {
    for trunk in [0, 1] {
        let mut settings = settings();
        let own = crate::routing::Timeouts { duration: SECOND * 300, ..settings.timeouts };
        settings.routing.trunks[trunk].calls = Some(own);
        let mut lab = Lab::with(settings);
        establish(&mut lab, "1");
        lab.advance(SECOND * 299);
        lab.expect_silence();
        lab.advance(SECOND);
        lab.take_request(PBX, &Method::Bye);
        lab.take_request(CARRIER_A, &Method::Bye);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().ended_by, EndedBy::Sbc);
        assert_eq!(lab.cdr().cause, "the call lasted as long as a call may");
    }
}

#[test]
fn a_call_keeps_the_timers_that_it_began_with() {
    let mut lab = Lab::with(with_own(|timeouts| timeouts.answer = SECOND * 30));
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.input(Input::Settings(Arc::new(with_own(|timeouts| timeouts.answer = SECOND * 5))));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.advance(SECOND * 29);
    lab.expect_silence();
    lab.advance(SECOND);
    lab.take_response(PBX, 408);
    lab.sent.clear();
    lab.expect_nothing_left();
}
