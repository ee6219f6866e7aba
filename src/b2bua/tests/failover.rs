//! From one trunk to the next, and when not.

use std::time::Duration;

use super::lab::*;
use super::setup::begin;
use crate::b2bua::{AttemptResult, Input, Settings};
use crate::routing::{CodePattern, Host, Limits};
use crate::sip::{Header, Message, Method};

/// Carrier B answers, and the caller hangs up.
pub(super) fn complete_over_b(lab: &mut Lab, invite: &Message) {
    let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
    answer_over_b(lab, invite, &outgoing);
}

fn answer_over_b(lab: &mut Lab, invite: &Message, outgoing: &Message) {
    lab.receive(CARRIER_B, &respond(CARRIER_B, outgoing, 200, "other-callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_B, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, invite, &answer, &Method::Ack, 1), None));
    lab.receive(PBX, &finish(caller_request(PBX, invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    lab.take_request(CARRIER_B, &Method::Bye);
}

fn results(lab: &Lab) -> Vec<AttemptResult> {
    lab.cdr().attempts.iter().map(|attempt| attempt.result).collect()
}

#[test]
fn a_silent_target_is_left_after_its_timeout_and_cancelled_when_it_wakes() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.advance(Duration::from_millis(3_999));
    lab.sent.clear();
    lab.advance(Duration::from_millis(1));
    complete_over_b(&mut lab, &invite);
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_nothing_left();
    assert_eq!(results(&lab), [AttemptResult::Timeout, AttemptResult::Status(200)]);
}

#[test]
fn the_late_answer_of_a_target_that_was_left_is_acked_and_ended() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.advance(Duration::from_secs(4));
    lab.sent.retain(|(hop, _)| hop.peer.to_string() == CARRIER_B);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_request(CARRIER_A, &Method::Bye);
    complete_over_b(&mut lab, &invite);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().egress.as_ref().unwrap().remote.to_string(), CARRIER_B);
}

#[test]
fn a_server_failure_is_tried_elsewhere_and_a_refusal_is_not() {
    for (status, moves_on) in
        [(503, true), (408, true), (500, true), (486, false), (603, false), (404, false)]
    {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, status, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        if moves_on {
            complete_over_b(&mut lab, &invite);
            lab.expect_silence();
        } else {
            lab.take_response(PBX, status);
            lab.expect_silence();
        }
        lab.expect_nothing_left();
        assert_eq!(results(&lab)[0], AttemptResult::Status(status));
    }
}

#[test]
fn nobody_else_is_called_once_it_rang() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 503, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 503);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 503);
}

#[test]
fn a_callee_that_rings_for_ever_is_given_up() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.advance(Duration::from_secs(184));
    lab.expect_silence();
    lab.advance(Duration::from_secs(1));
    lab.take_response(PBX, 408);
    lab.take_request(CARRIER_A, &Method::Cancel);
    lab.expect_nothing_left();
    assert_eq!(results(&lab), [AttemptResult::Timeout]);
}

#[test]
fn when_every_trunk_is_down_the_caller_is_asked_to_come_back() {
    let mut lab = Lab::new();
    begin(&mut lab, Some(SDP_PBX));
    lab.advance(Duration::from_secs(9));
    lab.sent.retain(|(hop, _)| hop.peer.to_string() == PBX);
    assert!(lab.take_response(PBX, 503).header(Header::RetryAfter).is_some());
    lab.expect_nothing_left();
    assert_eq!(results(&lab), [AttemptResult::Timeout, AttemptResult::Timeout]);
}

#[test]
fn a_target_that_cannot_be_reached_is_left_at_once() {
    let mut lab = Lab::new();
    let (invite, _) = begin(&mut lab, Some(SDP_PBX));
    let listener = crate::base::ListenerId(1);
    let hop = crate::base::Hop::new(listener, crate::base::Transport::Udp, CARRIER_A.parse().unwrap());
    lab.input(Input::TransportFailed { hop });
    complete_over_b(&mut lab, &invite);
    lab.expect_nothing_left();
    assert_eq!(results(&lab), [AttemptResult::Transport, AttemptResult::Status(200)]);
}

#[test]
fn a_full_trunk_is_passed_over_and_gives_its_room_back() {
    let mut settings = settings();
    settings.routing.trunks[1].limits = Limits { calls: Some(0), calls_per_second: None };
    settings.routing.trunks[2].limits = Limits { calls: Some(1), calls_per_second: None };
    let mut lab = Lab::with(settings);
    let first = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &first);
    lab.take_response(PBX, 100);
    lab.receive(PBX, &invite(PBX, "+442079460000", "2", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    assert!(lab.take_response(PBX, 503).header(Header::RetryAfter).is_some());
    complete_over_b(&mut lab, &first);
    let third = invite(PBX, "+442079460000", "3", Some(SDP_PBX));
    lab.receive(PBX, &third);
    lab.take_response(PBX, 100);
    lab.receive(PBX, &cancel_of(&third));
    lab.expect_nothing_left();
    assert_eq!(lab.cdrs.iter().map(|cdr| cdr.status).collect::<Vec<_>>(), [503, 200, 487]);
}

fn with_named_trunk() -> Settings {
    let mut settings = settings();
    settings.admission.allow.untrusted.clear();
    settings.routing.trunks[1].hosts[0].host = Host::Name("carrier.example".to_owned());
    settings.routing.routes[0].tiers.truncate(1);
    settings
}

#[test]
fn a_name_without_an_address_fails_at_once_and_serves_when_it_has_one() {
    let mut lab = Lab::with(with_named_trunk());
    assert_eq!(lab.lookups.iter().map(ToString::to_string).collect::<Vec<_>>(), ["carrier.example:5060"]);
    lab.resolved("carrier.example", no_such_host());
    lab.receive(PBX, &invite(PBX, "+442079460000", "0", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 503);
    assert_eq!(results(&lab), [AttemptResult::Dns], "which is not the carrier's failure");
    // The name resolves: its address is called, and may call.
    lab.receive(CARRIER_A, &invite(CARRIER_A, "+14155550111", "early", Some(SDP_CARRIER)));
    lab.expect_silence();
    lab.resolved("carrier.example", found("carrier.example", &[CARRIER_A]));
    let (first, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.receive(CARRIER_A, &invite(CARRIER_A, "+14155550111", "later", Some(SDP_CARRIER)));
    lab.take_response(CARRIER_A, 100);
    let outgoing = lab.take_request(PBX, &Method::Invite);
    lab.receive(PBX, &respond(PBX, &outgoing, 486, "x", None));
    lab.take_request(PBX, &Method::Ack);
    lab.take_response(CARRIER_A, 486);
    assert_eq!(first.method(), Some(&Method::Invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdrs.len(), 3);
}

/// RFC 6228: a branch that is over has not rung, and the caller's early dialog is not over with it.
#[test]
fn a_199_is_no_ringing_and_does_not_reach_the_caller() {
    let mut lab = Lab::new();
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let first = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &first, 199, "callee", None));
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &first, 503, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "callee", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ring, None);
}

#[test]
fn a_failure_that_needs_a_header_of_the_callees_is_heard_as_one_that_does_not() {
    for code in [405, 420, 421, 423, 489] {
        let mut lab = Lab::new();
        lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, code, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.take_response(PBX, 500);
        lab.expect_nothing_left();
        assert!(lab.cdr().cause.contains(&code.to_string()), "{}", lab.cdr().cause);
    }
}

/// Two carriers, and what moves a call from the first to the second.
pub(super) fn with_failover(codes: &[CodePattern], after_ringing: bool) -> Settings {
    let mut settings = settings();
    for trunk in &mut settings.routing.trunks {
        trunk.failover.codes = codes.to_vec();
        trunk.failover.after_ringing = after_ringing;
    }
    settings
}

#[test]
fn a_class_leaves_out_the_final_words_and_a_code_does_not() {
    let any = [CodePattern::Class(4), CodePattern::Class(5), CodePattern::Class(6)];
    let named: Vec<_> = [404, 486, 600, 603, 604, 607, 608].map(CodePattern::Code).to_vec();
    for status in [403, 404, 480, 486, 488, 600, 603, 604, 606, 607, 608] {
        let is_final = named.contains(&CodePattern::Code(status));
        for (codes, moves_on) in [(&any[..], !is_final), (&named[..], is_final)] {
            let mut lab = Lab::with(with_failover(codes, false));
            let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
            lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, status, "callee", None));
            lab.take_request(CARRIER_A, &Method::Ack);
            let next = lab.sent.iter().any(|(hop, _)| hop.peer.to_string() == CARRIER_B);
            assert_eq!(next, moves_on, "{status} with {codes:?}");
        }
    }
}

/// RFC 3261 §16.7 step 6.
#[test]
fn the_caller_gets_the_best_answer() {
    let any = [CodePattern::Class(4), CodePattern::Class(5), CodePattern::Class(6)];
    for (first, second, heard) in [
        (500, 403, 403),
        (403, 500, 403),
        (403, 484, 484),
        (484, 403, 484),
        (408, 480, 480),
        (503, 500, 500),
        (606, 403, 606),
        (403, 606, 606),
        (401, 403, 403),
        (503, 408, 408),
    ] {
        let mut lab = Lab::with(with_failover(&any, false));
        let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, first, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
        lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, second, "callee", None));
        lab.take_request(CARRIER_B, &Method::Ack);
        lab.take_response(PBX, heard);
        lab.expect_nothing_left();
    }
}

#[test]
fn after_ringing_a_failure_moves_the_call_on_where_it_is_asked_for() {
    let mut lab = Lab::with(with_failover(&[CodePattern::Class(5)], true));
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "callee", Some(SDP_CARRIER)));
    lab.take_response(PBX, 183);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 503, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    complete_over_b(&mut lab, &invite);
    lab.expect_nothing_left();
    assert_eq!(results(&lab), [AttemptResult::Status(503), AttemptResult::Status(200)]);
}

/// Carrier A rings until it is CANCELled for the next. Gives the caller's INVITE, carrier A's, and the CANCEL.
pub(super) fn rings_too_long(lab: &mut Lab) -> (Message, Message, Message) {
    let (invite, outgoing) = begin(lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.advance(Duration::from_secs(185));
    (invite, outgoing, lab.take_request(CARRIER_A, &Method::Cancel))
}

#[test]
fn a_phone_that_rings_too_long_is_silent_before_the_next_one_rings() {
    let mut lab = Lab::with(with_failover(&[CodePattern::Class(5)], true));
    let (invite, outgoing, cancel) = rings_too_long(&mut lab);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.advance(Duration::from_secs(5));
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    complete_over_b(&mut lab, &invite);
    lab.expect_nothing_left();
    assert_eq!(results(&lab), [AttemptResult::Timeout, AttemptResult::Status(200)]);
}

#[test]
fn each_attempt_knows_whether_it_rang_itself_and_when() {
    let rang = |lab: &Lab| lab.cdr().attempts.iter().map(|attempt| attempt.rang_after).collect::<Vec<_>>();
    let begin_over_b = || {
        let mut lab = Lab::with(with_failover(&[CodePattern::Class(5)], true));
        let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 100, "callee", None));
        lab.advance(Duration::from_millis(1_200));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
        lab.take_response(PBX, 180);
        lab.advance(Duration::from_secs(3));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 503, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
        lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 100, "other", None));
        lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 199, "other", None));
        lab.advance(Duration::from_millis(700));
        (lab, invite, outgoing)
    };
    let first = Some(Duration::from_millis(1_200));

    // The caller hangs up before the second rings.
    let (mut lab, invite, outgoing) = begin_over_b();
    lab.receive(PBX, &cancel_of(&invite));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    let cancelled = lab.take_request(CARRIER_B, &Method::Cancel);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &cancelled, 200, "other", None));
    lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 487, "other", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.expect_nothing_left();
    assert_eq!(results(&lab), [AttemptResult::Status(503), AttemptResult::Cancelled]);
    assert_eq!(rang(&lab), [first, None]);

    // It rings, twice, and is answered.
    let (mut lab, invite, outgoing) = begin_over_b();
    for _ in 0..2 {
        lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 180, "other", None));
        lab.take_response(PBX, 180);
        lab.advance(Duration::from_secs(2));
    }
    answer_over_b(&mut lab, &invite, &outgoing);
    lab.expect_nothing_left();
    assert_eq!(rang(&lab), [first, Some(Duration::from_millis(700))]);
    let cdr = lab.cdr();
    assert_eq!(cdr.ring.map(|ring| ring - cdr.start), first);
    assert_eq!(cdr.attempts[1].setup(), Some(Duration::from_millis(700)));
}

#[test]
fn a_callee_that_declines_while_it_is_cancelled_for_the_next_is_the_last_that_rings() {
    for status in [486, 600, 603] {
        let mut lab = Lab::with(with_failover(&[CodePattern::Class(5), CodePattern::Class(6)], true));
        let (_, outgoing, cancel) = rings_too_long(&mut lab);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, status, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
        lab.take_response(PBX, status);
        lab.expect_silence();
        lab.expect_nothing_left();
        assert_eq!(results(&lab), [AttemptResult::Status(status)]);
    }
}

#[test]
fn a_callee_that_answers_while_it_is_cancelled_for_the_next_has_the_call() {
    let mut lab = Lab::with(with_failover(&[CodePattern::Class(5)], true));
    let (invite, outgoing, cancel) = rings_too_long(&mut lab);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(results(&lab), [AttemptResult::Status(200)]);
}

#[test]
fn a_phone_that_cannot_be_silenced_is_the_last_that_rings() {
    let mut lab = Lab::with(with_failover(&[CodePattern::Class(5)], true));
    rings_too_long(&mut lab);
    lab.advance(Duration::from_secs(32));
    lab.sent.retain(|(hop, _)| hop.peer.to_string() != CARRIER_A);
    lab.take_response(PBX, 408);
    lab.expect_silence();
    lab.expect_nothing_left();
}
