//! Which trunk of a tier takes a call; and the limits of the node, which nobody's refused calls use up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::explain::ask;
use super::lab::*;
use crate::b2bua::{AttemptResult, Input, Settings};
use crate::numbering::Number;
use crate::routing::{Balance, Host, Limits, NumberPattern, TierTrunk};
use crate::sip::{Header, Message, Method};

/// Both carriers in one tier.
fn one_tier(balance: Balance, weights: [u32; 2]) -> Settings {
    let mut settings = settings();
    let [a, b] = weights;
    settings.routing.routes[0].tiers = vec![vec![
        TierTrunk { trunk: "carrier-a".into(), weight: Some(a) },
        TierTrunk { trunk: "carrier-b".into(), weight: Some(b) },
    ]];
    settings.routing.routes[0].balance = balance;
    // A port rests for a while after each call.
    settings.media.ports = (10_000, 13_999);
    settings
}

/// A call of the PBX's from this number; whoever gets it is busy. Gives who got it.
fn busy_call(lab: &mut Lab, caller: &str, id: usize) -> String {
    let invite = text(&invite(PBX, "+442079460000", &id.to_string(), Some(SDP_PBX)));
    lab.receive_bytes(PBX, invite.replacen("+14155550100", caller, 1));
    lab.take_response(PBX, 100);
    let (hop, outgoing) = lab.sent.pop_front().expect("an INVITE");
    let peer = hop.peer.to_string();
    assert_eq!(outgoing.method(), Some(&Method::Invite), "call {id}: {}", text(&outgoing));
    lab.receive(&peer, &respond(&peer, &outgoing, 486, "callee", None));
    lab.take_request(&peer, &Method::Ack);
    lab.take_response(PBX, 486);
    peer
}

/// How many of so many calls each carrier got.
fn shares(settings: Settings, calls: usize, caller: impl Fn(usize) -> String) -> BTreeMap<String, usize> {
    let mut lab = Lab::with(settings);
    let mut counts = BTreeMap::new();
    for id in 0..calls {
        *counts.entry(busy_call(&mut lab, &caller(id), id)).or_default() += 1;
    }
    lab.expect_nothing_left();
    counts
}

fn one_caller(_: usize) -> String {
    "+14155550100".to_owned()
}

#[test]
fn calls_are_shared_by_weight_and_in_turn() {
    let by_weight = shares(one_tier(Balance::Weight, [3, 1]), 400, one_caller);
    assert!((270..330).contains(&by_weight[CARRIER_A]), "{by_weight:?}");
    let in_turn = shares(one_tier(Balance::RoundRobin, [3, 1]), 40, one_caller);
    assert_eq!((in_turn[CARRIER_A], in_turn[CARRIER_B]), (20, 20));
    let reserve = shares(one_tier(Balance::Weight, [0, 1]), 20, one_caller);
    assert_eq!(reserve.keys().collect::<Vec<_>>(), [CARRIER_B]);
}

#[test]
fn a_caller_stays_with_its_carrier_and_callers_are_spread() {
    assert_eq!(shares(one_tier(Balance::Hash, [1, 1]), 20, one_caller).len(), 1);
    let many = shares(one_tier(Balance::Hash, [1, 1]), 200, |id| format!("+1415555{:04}", 100 + id));
    assert!((75..125).contains(&many[CARRIER_A]), "{many:?}");
}

#[test]
fn the_carrier_with_fewer_calls_in_progress_gets_the_next() {
    let mut lab = Lab::with(one_tier(Balance::LeastCalls, [2, 1]));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut placed = Vec::new();
    for id in 0..12 {
        let invite = invite(PBX, "+442079460000", &id.to_string(), Some(SDP_PBX));
        lab.receive(PBX, &invite);
        lab.take_response(PBX, 100);
        let (hop, _) = lab.sent.pop_front().expect("an INVITE");
        *counts.entry(hop.peer.to_string()).or_default() += 1;
        placed.push(invite);
    }
    assert_eq!((counts[CARRIER_A], counts[CARRIER_B]), (8, 4));
    for invite in &placed {
        lab.receive(PBX, &cancel_of(invite));
    }
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn whoever_is_not_first_in_the_tier_is_its_reserve() {
    for (balance, weights) in
        [(Balance::Weight, [1, 0]), (Balance::RoundRobin, [1, 1]), (Balance::LeastCalls, [1, 0])]
    {
        let mut lab = Lab::with(one_tier(balance, weights));
        lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        for (carrier, status) in [(CARRIER_A, 503), (CARRIER_B, 486)] {
            let outgoing = lab.take_request(carrier, &Method::Invite);
            lab.receive(carrier, &respond(carrier, &outgoing, status, "callee", None));
            lab.take_request(carrier, &Method::Ack);
        }
        lab.take_response(PBX, 486);
        lab.expect_nothing_left();
        let tried: Vec<_> = lab.cdr().attempts.iter().map(|attempt| attempt.result).collect();
        assert_eq!(tried, [AttemptResult::Status(503), AttemptResult::Status(486)]);
    }
}

#[test]
fn explain_says_what_there_is_to_choose_and_who_is_first() {
    let found = ask(one_tier(Balance::Weight, [3, 1]), PBX, "+14155550100", "+442079460000");
    let choice = &found.choices[0];
    assert_eq!((choice.tier, choice.balance, choice.is_settled), (1, Balance::Weight, false));
    assert_eq!(choice.trunks, [("carrier-a".into(), 3), ("carrier-b".into(), 1)]);
    assert_eq!(found.trunks.iter().map(|trunk| trunk.tier).collect::<Vec<_>>(), [1, 1]);
    // What it says of a caller's hash is what a call of that caller meets.
    for caller in (100..120).map(|number| format!("+1415555{number:04}")) {
        let found = ask(one_tier(Balance::Hash, [1, 1]), PBX, &caller, "+442079460000");
        let first = if found.trunks[0].name.as_str() == "carrier-a" { CARRIER_A } else { CARRIER_B };
        assert!(found.choices[0].is_settled);
        let mut lab = Lab::with(one_tier(Balance::Hash, [1, 1]));
        assert_eq!(busy_call(&mut lab, &caller, 1), first, "{caller}");
    }
    let none = ask(settings(), PBX, "+14155550100", "+442079460000");
    assert!(none.choices.is_empty(), "a tier of one leaves no choice");
}

// Limits.

fn with_node_limits(calls: Option<u32>, calls_per_second: Option<u32>) -> Settings {
    let mut settings = settings();
    settings.routing.limits = Limits { calls, calls_per_second };
    settings
}

/// The PBX's INVITE, and whether a carrier got it (else the caller heard 503 with Retry-After).
fn is_carried(lab: &mut Lab, called: &str, id: &str) -> (Message, bool) {
    let invite = invite(PBX, called, id, Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let (_, sent) = lab.sent.pop_front().expect("an INVITE or a refusal");
    let is_carried = sent.method() == Some(&Method::Invite);
    if !is_carried {
        assert_eq!(sent.status().map(crate::sip::Status::code), Some(503));
        assert!(sent.header(Header::RetryAfter).is_some());
    }
    (invite, is_carried)
}

fn cancel(lab: &mut Lab, invite: &Message) {
    lab.receive(PBX, &cancel_of(invite));
    lab.sent.clear();
}

#[test]
fn the_node_carries_so_many_calls_and_no_more() {
    let mut lab = Lab::with(with_node_limits(Some(2), None));
    let (first, is_first_carried) = is_carried(&mut lab, "+442079460000", "1");
    let (second, is_second_carried) = is_carried(&mut lab, "+442079460000", "2");
    assert!(is_first_carried && is_second_carried);
    assert!(!is_carried(&mut lab, "+442079460000", "3").1);
    assert_eq!(lab.cdr().cause, "the node has as many calls as limits.calls allows");
    cancel(&mut lab, &first);
    let (fourth, is_fourth_carried) = is_carried(&mut lab, "+442079460000", "4");
    assert!(is_fourth_carried, "the room of a call that is over is there again");
    // A reload keeps the count.
    lab.input(Input::Settings(Arc::new(with_node_limits(Some(1), None))));
    cancel(&mut lab, &second);
    assert!(!is_carried(&mut lab, "+442079460000", "5").1);
    cancel(&mut lab, &fourth);
    lab.expect_nothing_left();
    assert_eq!(lab.engine.router.limits().node_calls(), 0);
}

#[test]
fn the_node_takes_so_many_calls_a_second() {
    let mut lab = Lab::with(with_node_limits(None, Some(2)));
    let mut placed = Vec::new();
    for (id, is_taken) in [("1", true), ("2", true), ("3", false)] {
        let (invite, is_carried) = is_carried(&mut lab, "+442079460000", id);
        assert_eq!(is_carried, is_taken, "{id}");
        placed.push(invite);
    }
    lab.advance(Duration::from_millis(499));
    assert!(!is_carried(&mut lab, "+442079460000", "4").1);
    lab.advance(Duration::from_millis(1));
    lab.sent.clear();
    let (invite, is_carried) = is_carried(&mut lab, "+442079460000", "5");
    assert!(is_carried);
    for invite in placed.iter().chain([&invite]) {
        cancel(&mut lab, invite);
    }
    lab.expect_nothing_left();
}

#[test]
fn a_call_that_goes_nowhere_takes_nothing_of_the_node() {
    let mut settings = with_node_limits(Some(1), Some(1));
    // +1… has a trunk that is full.
    let mut full =
        route("full", crate::routing::RouteSource::Realm(crate::base::Realm::Trusted), &["carrier-b"]);
    full.to = vec![NumberPattern::Prefix("+1".to_owned())];
    settings.routing.routes.insert(0, full);
    settings.routing.trunks[2].limits.calls = Some(0);
    // Whoever refuses a call comes before whoever would count it.
    settings.routing.trunks[0].limits.calls_per_second = Some(2);
    let mut lab = Lab::with(settings);
    assert!(!is_carried(&mut lab, "+12125550123", "1").1);
    assert_eq!(lab.cdr().cause, "every trunk of the route is full");
    let (invite, is_taken) = is_carried(&mut lab, "+442079460000", "2");
    assert!(is_taken, "the token is still there");
    cancel(&mut lab, &invite);
    lab.expect_nothing_left();
}

#[test]
fn a_trunk_without_a_target_keeps_its_token() {
    let mut settings = settings();
    settings.routing.trunks[1].hosts[0].host = Host::Name("a.example".to_owned());
    settings.routing.trunks[1].limits.calls_per_second = Some(1);
    let mut lab = Lab::with(settings);
    assert_eq!(busy_call(&mut lab, "+14155550100", 1), CARRIER_B);
    lab.resolved("a.example", found("a.example", &[CARRIER_A]));
    assert_eq!(busy_call(&mut lab, "+14155550100", 2), CARRIER_A);
    assert_eq!(busy_call(&mut lab, "+14155550100", 3), CARRIER_B, "now it is taken");
    lab.expect_nothing_left();
}

#[test]
fn an_emergency_call_passes_where_everything_is_full() {
    let nothing = Limits { calls: Some(0), calls_per_second: Some(0) };
    let mut settings = settings();
    settings.routing.limits = nothing;
    for trunk in &mut settings.routing.trunks {
        trunk.limits = nothing;
    }
    // A route of its own.
    let mut help =
        route("help", crate::routing::RouteSource::Realm(crate::base::Realm::Trusted), &["carrier-b"]);
    help.to = vec![NumberPattern::Exact("911".to_owned()), NumberPattern::Exact("112".to_owned())];
    settings.routing.routes.insert(0, help);
    let found = ask(settings.clone(), PBX, "+14155550100", "911");
    assert_eq!(found.routes.last().map(|route| route.name.as_str()), Some("help"));
    assert_eq!(found.called.unwrap().result, Ok(Number::Emergency("911".to_owned())));
    let mut lab = Lab::with(settings);
    assert!(!is_carried(&mut lab, "+442079460000", "1").1);
    let mut placed = Vec::new();
    for (id, called) in [("2", "911"), ("3", "112"), ("4", "911")] {
        let (invite, is_carried) = is_carried(&mut lab, called, id);
        assert!(is_carried, "{called}");
        placed.push(invite);
    }
    for invite in &placed {
        cancel(&mut lab, invite);
    }
    lab.expect_nothing_left();
}
