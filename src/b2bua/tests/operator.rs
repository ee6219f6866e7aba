//! What operators ask and say while calls go on: reports, hanging up, switching trunks, draining.

use std::sync::Arc;
use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::{CallPhase, CallReport, CallSearch, EndedBy, Input};
use crate::sip::Method;

fn only_call(lab: &Lab) -> CallReport {
    let mut reports = lab.engine.call_reports(10, &CallSearch::default());
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

/// Both parties get BYE and answer it.
fn expect_byes(lab: &mut Lab) {
    for party in [PBX, CARRIER_A] {
        let bye = lab.take_request(party, &Method::Bye);
        lab.receive(party, &respond(party, &bye, 200, "x", None));
    }
}

#[test]
fn a_call_is_reported_in_every_phase() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let report = only_call(&lab);
    assert_eq!((report.phase, report.from.as_str()), (CallPhase::Setup, "+14155550100"));
    assert_eq!((report.ingress.remote.to_string().as_str(), report.answer), (PBX, None));
    assert_eq!(report.egress.unwrap().trunk, Some("carrier-a".into()));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    assert_eq!(only_call(&lab).phase, CallPhase::Ringing);
    lab.advance(Duration::from_secs(3));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let report = only_call(&lab);
    assert_eq!((report.phase, report.answer), (CallPhase::Answered, Some(lab.now)));
    assert_eq!(lab.engine.call_report(&report.id), Some(report.clone()));
    assert_eq!(lab.engine.call_report("nobody's"), None);
    lab.input(Input::HangUp { call: report.id });
    lab.sent.clear();
    lab.expect_nothing_left();
    assert!(lab.engine.call_reports(10, &CallSearch::default()).is_empty());
}

#[test]
fn the_oldest_calls_are_listed_where_there_are_many() {
    let mut lab = Lab::new();
    let first = establish(&mut lab, "1");
    lab.advance(Duration::from_secs(1));
    let second = establish(&mut lab, "2");
    let starts: Vec<_> =
        lab.engine.call_reports(10, &CallSearch::default()).iter().map(|report| report.start).collect();
    assert_eq!(starts.len(), 2);
    assert!(starts[0] < starts[1]);
    assert_eq!(lab.engine.call_reports(1, &CallSearch::default())[0].start, starts[0]);
    let found = |words: &str| {
        let reports = lab.engine.call_reports(10, &CallSearch::of(words));
        reports.iter().map(|report| report.start).collect::<Vec<_>>()
    };
    let second_id = lab.engine.call_reports(10, &CallSearch::default())[1].id.clone();
    assert_eq!(found(&second_id.to_uppercase()), [starts[1]]);
    assert_eq!(found("14155550100 CARRIER-A"), starts);
    assert_eq!(found(&format!("{PBX} nobody")), []);
    for (invite, answer, _) in [first, second] {
        hang_up(&mut lab, &invite, &answer, 2);
    }
    lab.expect_nothing_left();
}

#[test]
fn an_operator_hangs_up_on_both_parties() {
    let mut lab = Lab::new();
    establish(&mut lab, "1");
    let id = only_call(&lab).id;
    lab.input(Input::HangUp { call: "another".to_owned() });
    lab.expect_silence();
    lab.input(Input::HangUp { call: id.clone() });
    expect_byes(&mut lab);
    // It is over: nothing happens twice.
    lab.input(Input::HangUp { call: id });
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().ended_by, lab.cdr().cause.as_str()), (EndedBy::Sbc, "an operator hung up"));
}

#[test]
fn an_operator_ends_a_call_that_rings_and_the_caller_does_not_try_elsewhere() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.input(Input::HangUp { call: only_call(&lab).id });
    lab.take_response(PBX, 480);
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    lab.expect_nothing_left();
}

#[test]
fn new_calls_pass_over_a_trunk_that_was_switched_off_and_old_ones_stay() {
    let mut lab = Lab::new();
    let (first, answer, _) = establish(&mut lab, "1");
    lab.input(Input::SetTrunkEnabled { trunk: "carrier-a".into(), enabled: false });
    lab.expect_silence();
    assert_eq!(only_call(&lab).phase, CallPhase::Answered);
    let second = invite(PBX, "+442079460000", "2", Some(SDP_PBX));
    lab.receive(PBX, &second);
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(PBX, &cancel_of(&second));
    // It may not send calls either.
    lab.sent.clear();
    lab.receive(CARRIER_A, &invite(CARRIER_A, "+14155550111", "3", Some(SDP_CARRIER)));
    lab.take_response(CARRIER_A, 100);
    lab.take_response(CARRIER_A, 503);
    lab.input(Input::SetTrunkEnabled { trunk: "carrier-a".into(), enabled: true });
    let third = invite(PBX, "+442079460000", "4", Some(SDP_PBX));
    lab.receive(PBX, &third);
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(PBX, &cancel_of(&third));
    lab.sent.clear();
    hang_up(&mut lab, &first, &answer, 2);
    lab.expect_nothing_left();
}

#[test]
fn at_its_deadline_a_drain_ends_what_is_left_but_no_call_for_help() {
    let mut lab = Lab::new();
    establish(&mut lab, "1");
    let help = invite(PBX, "911", "2", Some(SDP_PBX));
    lab.receive(PBX, &help);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &help, &answer, &Method::Ack, 1), None));
    lab.sent.clear();

    lab.input(Input::Drain { deadline: Some(lab.now + Duration::from_secs(30)) });
    lab.advance(Duration::from_secs(29));
    lab.expect_silence();
    lab.advance(Duration::from_secs(1));
    expect_byes(&mut lab);
    lab.advance(Duration::from_secs(40));
    assert!(only_call(&lab).is_emergency);
    hang_up(&mut lab, &help, &answer, 2);
    lab.expect_nothing_left();
    let causes: Vec<_> = lab.cdrs.iter().map(|cdr| cdr.cause.as_str()).collect();
    assert_eq!(causes[0], "the node was drained");
}

#[test]
fn after_an_undrain_calls_are_taken_and_no_deadline_is_left() {
    let mut lab = Lab::new();
    let (first, answer, _) = establish(&mut lab, "1");
    lab.input(Input::Drain { deadline: Some(lab.now + Duration::from_secs(5)) });
    lab.input(Input::Undrain);
    assert!(!lab.engine.is_draining());
    lab.advance(Duration::from_secs(10));
    lab.expect_silence();
    let second = invite(PBX, "+442079460000", "2", Some(SDP_PBX));
    lab.receive(PBX, &second);
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(PBX, &cancel_of(&second));
    lab.sent.clear();
    hang_up(&mut lab, &first, &answer, 2);
    lab.expect_nothing_left();
}

#[test]
fn a_call_over_a_trunk_that_a_reload_removed_goes_on_to_its_end() {
    let mut lab = Lab::new();
    let (first, answer, _) = establish(&mut lab, "1");
    let mut changed = settings();
    changed.routing.trunks.remove(1);
    changed.routing.routes[0].tiers.remove(0);
    lab.input(Input::Settings(Arc::new(changed)));
    lab.expect_silence();
    assert_eq!(only_call(&lab).egress.unwrap().trunk, Some("carrier-a".into()));
    let names: Vec<_> =
        lab.engine.trunk_reports(lab.now).iter().map(|report| report.name.to_string()).collect();
    assert_eq!(names, ["pbx", "carrier-b"]);
    lab.advance(Duration::from_secs(600));
    lab.sent.clear();
    hang_up(&mut lab, &first, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}
