//! Names in the engine, on virtual time: asked for beside the calls, served on when DNS is dead, and
//! never the carrier's fault.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lab::*;
use crate::b2bua::{AttemptResult, Input, Outcome, Settings};
use crate::base::Transport;
use crate::routing::{Endpoint, Host, Query, Resolution, ResolveFault};
use crate::sip::{Header, Method};

const NAME: &str = "sip.carrier.example";

/// Carrier A is known by name alone, without a port; carrier B comes after it.
fn settings_by_name() -> Settings {
    let mut settings = settings();
    settings.admission.allow.untrusted = vec!["198.51.100.2/32".parse().unwrap()];
    let host = &mut settings.routing.trunks[1].hosts[0];
    (host.host, host.port) = (Host::Name(NAME.to_owned()), None);
    settings
}

fn srv(target: &str, address: &str, priority: u16, weight: u16) -> Endpoint {
    let address = address.parse().unwrap();
    Endpoint { host: target.to_owned(), address, transport: Transport::Udp, priority, weight }
}

fn answer(endpoints: Vec<Endpoint>, seconds: u64) -> Result<Resolution, ResolveFault> {
    Ok(Resolution::new(endpoints, Duration::from_secs(seconds)))
}

/// A call that its first target refuses; says where it went.
fn place_call(lab: &mut Lab, id: &str) -> String {
    let request = invite(PBX, "+442079460000", id, Some(SDP_PBX));
    lab.receive(PBX, &request);
    lab.take_response(PBX, 100);
    let (hop, outgoing) = lab.sent.pop_front().expect("an INVITE");
    let peer = hop.peer.to_string();
    assert_eq!(outgoing.method(), Some(&Method::Invite));
    lab.receive(&peer, &respond(&peer, &outgoing, 486, &format!("callee{id}"), None));
    lab.take_request(&peer, &Method::Ack);
    let refusal = lab.take_response(PBX, 486);
    let ack = request_ack(&request, &refusal);
    lab.receive(PBX, &ack);
    peer
}

fn request_ack(invite: &crate::sip::Message, refusal: &crate::sip::Message) -> crate::sip::Message {
    let writer = crate::sip::Writer::request(&Method::Ack, invite.request_uri_raw())
        .copy(invite, Header::Via)
        .copy(invite, Header::From)
        .copy(refusal, Header::To)
        .copy(invite, Header::CallId)
        .header(Header::CSeq, "1 ACK")
        .header(Header::MaxForwards, "70");
    finish(writer, None)
}

#[test]
fn srv_says_where_and_the_request_uri_says_whom() {
    let mut lab = Lab::with(settings_by_name());
    assert_eq!(lab.lookups, [Query::new(NAME, None, None)]);
    lab.resolved(NAME, answer(vec![srv("edge7.carrier.example", "198.51.100.1:5099", 10, 1)], 60));
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request("198.51.100.1:5099", &Method::Invite);
    let uri = String::from_utf8_lossy(outgoing.request_uri_raw()).into_owned();
    assert_eq!(uri, "sip:+442079460000@carrier-a.example", "no port: that is DNS's business");
    lab.receive("198.51.100.1:5099", &respond("198.51.100.1:5099", &outgoing, 503, "busy-host", None));
    lab.take_request("198.51.100.1:5099", &Method::Ack);
    lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(PBX, &cancel_of(&invite(PBX, "+442079460000", "1", Some(SDP_PBX))));
    lab.expect_nothing_left();
}

#[test]
fn a_failed_target_is_followed_by_the_others_of_its_priority_and_then_the_next() {
    let mut lab = Lab::with(settings_by_name());
    let found = vec![
        srv("a.example", "198.51.100.11:5060", 10, 1),
        srv("a.example", "198.51.100.12:5060", 10, 1),
        srv("b.example", "198.51.100.13:5060", 10, 1),
        srv("c.example", "198.51.100.14:5060", 20, 1),
    ];
    lab.resolved(NAME, answer(found, 3_600));
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    for at in 0..4 {
        let (hop, outgoing) = lab.sent.pop_front().expect("an INVITE");
        let peer = hop.peer.to_string();
        lab.receive(&peer, &respond(&peer, &outgoing, 503, &format!("callee{at}"), None));
        lab.take_request(&peer, &Method::Ack);
    }
    let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
    let tried: Vec<String> = lab
        .cdr()
        .attempts
        .iter()
        .filter_map(|attempt| attempt.target)
        .map(|at| at.ip().to_string())
        .collect();
    let place = |ip: &str| tried.iter().position(|tried| tried.ends_with(ip)).unwrap();
    assert_eq!(place(".12"), place(".11") + 1, "{tried:?}");
    assert_eq!((place(".14"), place(".2")), (3, 4), "{tried:?}");
}

#[test]
fn calls_are_shared_by_weight() {
    let mut lab = Lab::with(settings_by_name());
    let found = vec![
        srv("large.example", "198.51.100.11:5060", 10, 30),
        srv("small.example", "198.51.100.12:5060", 10, 10),
        srv("reserve.example", "198.51.100.13:5060", 20, 100),
    ];
    lab.resolved(NAME, answer(found, 3_600));
    let mut shares = BTreeMap::<String, usize>::new();
    for call in 0..400 {
        *shares.entry(place_call(&mut lab, &call.to_string())).or_default() += 1;
        // Old transactions run out.
        lab.advance(Duration::from_secs(1));
    }
    lab.sent.clear();
    let share = |address: &str| shares.get(address).copied().unwrap_or(0);
    assert!((265..335).contains(&share("198.51.100.11:5060")), "{shares:?}");
    assert_eq!(share("198.51.100.11:5060") + share("198.51.100.12:5060"), 400);
    lab.expect_nothing_left();
}

/// Each look-up stands in `lookups`; no call is ever between.
#[test]
fn answers_are_renewed_before_they_run_out_and_off_the_calls_path() {
    let mut lab = Lab::with(settings_by_name());
    let began = lab.now;
    lab.resolved(NAME, answer(vec![srv("a.example", "198.51.100.11:5060", 10, 1)], 300));
    for round in 1..10 {
        lab.advance(Duration::from_millis(239_999));
        assert_eq!(lab.lookups.len(), round, "not before 80 %");
        lab.advance(Duration::from_millis(30_002));
        assert_eq!(lab.lookups.len(), round + 1, "by 90 %");
        let report = lab.engine.hosts(lab.now).remove(0);
        assert!(report.valid_for.unwrap() > Duration::ZERO, "it has not run out yet");
        assert_eq!(place_call(&mut lab, &round.to_string()), "198.51.100.11:5060", "meanwhile calls go on");
        assert_eq!(lab.lookups.len(), round + 1, "a call asks for nothing");
        lab.resolved(NAME, answer(vec![srv("a.example", "198.51.100.11:5060", 10, 1)], 300));
    }
    assert!(lab.now.since(began) > Duration::from_secs(2_400));
    lab.expect_nothing_left();
}

/// opensips 3285: with DNS gone the calls went on to nowhere.
#[test]
fn when_dns_is_dead_the_last_good_targets_serve_on_and_say_how_old_they_are() {
    let mut lab = Lab::with(settings_by_name());
    lab.resolved(NAME, answer(vec![srv("a.example", "198.51.100.11:5060", 10, 1)], 30));
    let learned = lab.now;
    let mut asked = lab.lookups.len();
    while lab.now.since(learned) < Duration::from_secs(6 * 3_600) {
        lab.advance(Duration::from_secs(30));
        if lab.lookups.len() > asked {
            asked = lab.lookups.len();
            lab.resolved(NAME, Err(ResolveFault::NoAnswer));
        }
    }
    assert!((200..400).contains(&asked), "about once a minute: {asked}");
    assert_eq!(place_call(&mut lab, "late"), "198.51.100.11:5060");
    // Its calls are let in, too.
    let peer = "198.51.100.11:5060";
    lab.receive(peer, &invite(peer, "+14155550111", "in", Some(SDP_CARRIER)));
    lab.take_response(peer, 100);
    lab.receive(peer, &cancel_of(&invite(peer, "+14155550111", "in", Some(SDP_CARRIER))));
    let report = lab.engine.hosts(lab.now).remove(0);
    assert_eq!(report.age.unwrap(), lab.now.since(learned));
    assert_eq!(report.valid_for, Some(Duration::ZERO));
    assert_eq!(report.fault.unwrap().0, ResolveFault::NoAnswer);
    lab.sent.clear();
    // It comes back with another address.
    lab.resolved(NAME, answer(vec![srv("b.example", "198.51.100.12:5060", 10, 1)], 30));
    assert_eq!(place_call(&mut lab, "again"), "198.51.100.12:5060");
    assert_eq!(lab.engine.hosts(lab.now).remove(0).fault, None);
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn an_unknown_host_costs_nothing_and_the_next_trunk_is_called() {
    let mut lab = Lab::with(settings_by_name());
    for is_told in [false, true] {
        if is_told {
            lab.resolved(NAME, no_such_host());
        }
        let before = lab.now;
        assert_eq!(place_call(&mut lab, if is_told { "told" } else { "untold" }), CARRIER_B);
        assert_eq!(lab.now, before);
        let cdr = lab.cdrs.last().unwrap();
        let results: Vec<_> = cdr.attempts.iter().map(|attempt| attempt.result).collect();
        assert_eq!(results, [AttemptResult::Dns, AttemptResult::Status(486)]);
        assert_eq!(cdr.attempts[0].target, None);
    }
    lab.expect_nothing_left();
}

#[test]
fn a_call_that_found_no_address_at_all_blames_dns() {
    let mut settings = settings_by_name();
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let refusal = lab.take_response(PBX, 503);
    assert!(refusal.header(Header::RetryAfter).is_some());
    assert_eq!(lab.cdr().cause, "no host of the route's trunks has an address in DNS");
    assert_eq!(lab.cdr().outcome(), Outcome::Rejected, "no carrier failed");
    assert_eq!(lab.cdr().egress, None);
    lab.expect_nothing_left();
}

/// A target that leaves the zone while a call with it goes on may still end that call.
#[test]
fn a_call_outlives_the_record_that_led_to_it() {
    let mut lab = Lab::with(settings_by_name());
    let old = "198.51.100.11:5060";
    lab.resolved(NAME, answer(vec![srv("a.example", old, 10, 1)], 30));
    let request = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &request);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(old, &Method::Invite);
    lab.receive(old, &respond(old, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(old, &Method::Ack);
    let success = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &request, &success, &Method::Ack, 1), None));
    lab.resolved(NAME, answer(vec![srv("b.example", "198.51.100.12:5060", 10, 1)], 30));
    assert_eq!(place_call(&mut lab, "2"), "198.51.100.12:5060");
    lab.receive(old, &finish(callee_request(old, &outgoing, "callee", &Method::Bye, 1), None));
    lab.take_response(old, 200);
    let bye = lab.take_request(PBX, &Method::Bye);
    lab.receive(PBX, &respond(PBX, &bye, 200, "", None));
    // And begin no other.
    lab.receive(old, &invite(old, "+14155550111", "in", Some(SDP_CARRIER)));
    lab.take_response(old, 100);
    lab.take_response(old, 403);
    lab.expect_nothing_left();
}

#[test]
fn other_name_servers_are_asked_at_once() {
    let mut lab = Lab::with(settings_by_name());
    lab.resolved(NAME, answer(vec![srv("a.example", "198.51.100.11:5060", 10, 1)], 3_600));
    lab.input(Input::NameServersChanged);
    assert_eq!(lab.lookups.len(), 2);
    assert_eq!(place_call(&mut lab, "1"), "198.51.100.11:5060", "until they answer, as before");
    lab.expect_nothing_left();
}
