//! What operators see of trunks whose calls fail, and of targets that nothing is known of.

use std::time::Duration;

use super::health::{call, hear, probing, refuse};
use super::lab::*;
use crate::b2bua::{Event, Input, Settings};
use crate::routing::{AttemptFault, CallsChange, Credentials, Health, TargetState, TrunkReport, TrunkState};
use crate::sip::{Header, Message, Method, Status, response_to};

/// One carrier, which challenges.
fn with_password(password: &str) -> Settings {
    let mut settings = settings();
    settings.routing.routes[0].tiers.truncate(1);
    settings.routing.trunks[1].credentials =
        Some(Credentials { username: "key".to_owned(), password: password.to_owned() });
    settings
}

fn carrier(lab: &Lab) -> TrunkReport {
    lab.engine.trunk_reports(lab.now).into_iter().find(|report| report.name.as_str() == "carrier-a").unwrap()
}

fn challenge(lab: &mut Lab, nonce: &str) -> Message {
    let asked = lab.take_request(CARRIER_A, &Method::Invite);
    let challenge = response_to(&asked, SBC_UNTRUSTED.parse().unwrap(), Status::of(407), None, Some("asker"))
        .header(
            Header::ProxyAuthenticate,
            format!("Digest realm=\"carrier\", nonce=\"{nonce}\", qop=\"auth\""),
        )
        .finish()
        .unwrap();
    lab.receive(CARRIER_A, &challenge);
    lab.take_request(CARRIER_A, &Method::Ack);
    asked
}

/// A call whose credentials are refused.
fn refused_call(lab: &mut Lab, id: &str) {
    let invite = call(lab, id);
    challenge(lab, &format!("{id}-1"));
    challenge(lab, &format!("{id}-2"));
    hear(lab, &invite, 503);
}

fn told(lab: &Lab) -> Vec<&CallsChange> {
    let changes = lab.events.iter().filter_map(|event| match event {
        Event::Calls(change) => Some(change),
        _ => None,
    });
    changes.collect()
}

#[test]
fn a_trunk_that_refuses_every_call_is_up_and_says_what_it_refuses_with() {
    let mut settings = settings();
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    assert_eq!((carrier(&lab).state(), carrier(&lab).targets[0].state), (TrunkState::New, TargetState::New));
    for id in ["1", "2", "3", "4"] {
        let invite = call(&mut lab, id);
        refuse(&mut lab, CARRIER_A, 402, "");
        hear(&mut lab, &invite, 402);
    }
    let report = carrier(&lab);
    assert_eq!((report.state(), report.targets[0].state), (TrunkState::Up, TargetState::Up));
    let frequent = report.attempts.frequent.unwrap();
    assert_eq!((frequent.fault, frequent.times, report.attempts.recent), (AttemptFault::Status(402), 4, 4));
    assert!(report.attempts.is_failing());
    assert!(matches!(told(&lab)[..], [CallsChange::Failing { in_a_row: 1, .. }]), "{:?}", told(&lab));
    // Busy is the callee's word: the trunk works.
    let invite = call(&mut lab, "5");
    refuse(&mut lab, CARRIER_A, 486, "");
    hear(&mut lab, &invite, 486);
    assert!(!carrier(&lab).attempts.is_failing());
    assert!(matches!(told(&lab)[..], [_, CallsChange::Well { failed: 4, .. }]), "{:?}", told(&lab));
    lab.expect_nothing_left();
}

#[test]
fn a_refused_password_is_a_state_until_another_is_configured_or_a_call_gets_through() {
    let mut lab = Lab::with(with_password("wrong"));
    let began = lab.now;
    refused_call(&mut lab, "1");
    lab.advance(Duration::from_secs(60));
    refused_call(&mut lab, "2");
    let report = carrier(&lab);
    assert_eq!((report.state(), report.targets[0].state), (TrunkState::Unauthorized, TargetState::Up));
    let (since, why) = report.attempts.refused.unwrap();
    assert_eq!((since, why.as_str()), (began, "realm \"carrier\" refuses the username or the password"));
    assert_eq!(report.attempts.frequent.unwrap().fault, AttemptFault::Status(407));
    // A reload for another reason does not make it right.
    let mut other = with_password("wrong");
    other.routing.trunks[2].weight = 7;
    lab.input(Input::Settings(other.into()));
    assert_eq!(carrier(&lab).state(), TrunkState::Unauthorized);
    lab.input(Input::Settings(with_password("right").into()));
    assert_eq!((carrier(&lab).state(), carrier(&lab).attempts.attempts), (TrunkState::Up, 2));
    // It was not right either; but then somebody mends it at the other side.
    refused_call(&mut lab, "3");
    assert_eq!(carrier(&lab).state(), TrunkState::Unauthorized);
    let invite = call(&mut lab, "4");
    challenge(&mut lab, "4-1");
    refuse(&mut lab, CARRIER_A, 404, "");
    hear(&mut lab, &invite, 404);
    assert_eq!(carrier(&lab).state(), TrunkState::Up);
    lab.expect_nothing_left();
}

#[test]
fn the_first_failure_of_three_is_seen_and_what_is_down_took_no_time() {
    let mut lab = Lab::with(probing());
    let mut states = Vec::new();
    for _ in 0..4 {
        let before = lab.sent.len();
        while lab.sent.len() == before {
            lab.advance(Duration::from_millis(500));
        }
        let probe = lab.take_request(CARRIER_A, &Method::Options);
        if states.is_empty() {
            lab.advance(Duration::from_millis(40));
            lab.receive(CARRIER_A, &respond(CARRIER_A, &probe, 200, "peer", None));
        } else {
            lab.advance(Health::default().timeout);
            lab.sent.clear();
        }
        let target = carrier(&lab).targets[0].clone();
        states.push((target.state, target.failing, target.latency.is_some()));
    }
    assert_eq!(
        states,
        [
            (TargetState::Up, None, true),
            (TargetState::Up, Some((1, 3)), false),
            (TargetState::Up, Some((2, 3)), false),
            (TargetState::Down, None, false),
        ]
    );
}

#[test]
fn a_caller_who_hangs_up_and_a_phone_that_nobody_answers_are_no_failures() {
    let mut settings = settings();
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    let invite = call(&mut lab, "1");
    let asked = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.receive(PBX, &cancel_of(&invite));
    lab.take_response(PBX, 200);
    hear(&mut lab, &invite, 487);
    lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let attempts = carrier(&lab).attempts;
    assert_eq!((attempts.attempts, attempts.given_up, attempts.failed), (1, 1, 0));
    let second = call(&mut lab, "2");
    let asked = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.advance(Duration::from_secs(190));
    hear(&mut lab, &second, 408);
    let attempts = carrier(&lab).attempts;
    assert_eq!((attempts.attempts, attempts.declined, attempts.failed), (2, 1, 0));
    assert!(told(&lab).is_empty());
    lab.sent.clear();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 487, "callee", None));
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn silence_is_told_as_silence_and_a_removed_trunk_is_forgotten() {
    let mut lab = Lab::with(settings());
    call(&mut lab, "1");
    lab.advance(Duration::from_secs(5));
    let attempts = carrier(&lab).attempts;
    assert_eq!((attempts.failed, attempts.frequent.unwrap().fault), (1, AttemptFault::Silence));
    lab.sent.clear();
    lab.input(Input::Shutdown);
    lab.sent.clear();
    let mut without = settings();
    without.routing.trunks.remove(1);
    without.routing.routes[0].tiers.remove(0);
    lab.input(Input::Settings(without.into()));
    lab.input(Input::Settings(settings().into()));
    assert_eq!(carrier(&lab).attempts.attempts, 0);
    lab.sent.clear();
    lab.expect_nothing_left();
}
