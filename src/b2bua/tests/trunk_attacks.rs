//! Where reaching, judging and paying a trunk meet: a challenge to what was CANCELLed, a call that ends
//! before its target hears of it, probes that are switched off, two trunks that register alike.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::failover::{complete_over_b, rings_too_long, with_failover};
use super::health::{
    call, call_finds_a_dead, call_goes_to, hear, probes_fail, probes_succeed, probing, refuse,
};
use super::lab::*;
use super::setup::begin;
use super::update::ringing;
use crate::b2bua::{Input, Settings};
use crate::base::TrunkName;
use crate::numbering::PrefixRule;
use crate::routing::{
    CallerIdFallback, CallerIdPolicy, CodePattern, Credentials, Health, Host, Register, TrunkMatch,
};
use crate::sip::{Header, Message, Method, Status, response_to};

fn credentials() -> Option<Credentials> {
    Some(Credentials { username: "key".to_owned(), password: "secret".to_owned() })
}

fn challenge(request: &Message, status: u16, realm: &str, more: &str) -> Message {
    let header = if status == 401 { Header::WwwAuthenticate } else { Header::ProxyAuthenticate };
    response_to(request, SBC_UNTRUSTED.parse().unwrap(), Status::of(status), None, Some("asker"))
        .header(header, format!("Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"{more}"))
        .finish()
        .unwrap()
}

/// Carrier A rings until the call is to go on to carrier B. Gives the caller's INVITE and carrier A's.
fn is_left(lab: &mut Lab) -> (Message, Message) {
    let (invite, outgoing, cancel) = rings_too_long(lab);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    (invite, outgoing)
}

/// RFC 3261 §16.7 step 6 has a proxy that forked prefer the 401 of one branch to the 487 of the other.
#[test]
fn a_phone_that_is_left_does_not_ring_again_for_the_challenge_of_another_branch() {
    for status in [401, 407, 422] {
        let mut settings = with_failover(&[CodePattern::Class(5)], true);
        settings.routing.trunks[1].credentials = credentials();
        let mut lab = Lab::with(settings);
        let (invite, outgoing) = is_left(&mut lab);
        let answer = match status {
            422 => with_header(&respond(CARRIER_A, &outgoing, 422, "callee", None), "Min-SE: 3600"),
            _ => challenge(&outgoing, status, "carrier", ""),
        };
        lab.receive(CARRIER_A, &answer);
        lab.take_request(CARRIER_A, &Method::Ack);
        complete_over_b(&mut lab, &invite);
        lab.expect_nothing_left();
    }
}

/// What the caller's INVITE offers it does not mean any more.
#[test]
fn a_caller_that_changes_its_offer_while_a_phone_is_left_is_not_sent_on_with_the_old_one() {
    let mut lab = Lab::with(with_failover(&[CodePattern::Class(5)], true));
    let (invite, outgoing, heard) = ringing(&mut lab, "UPDATE", "UPDATE");
    lab.advance(Duration::from_secs(185));
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    let changed = SDP_PBX.replace("30000", "30002").replace("pbx 1 1", "pbx 1 2");
    let update = finish(caller_request(PBX, &invite, &heard, &Method::Update, 3), Some(&changed));
    lab.receive(PBX, &update);
    let carried = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(SDP_CARRIER)));
    lab.take_response(PBX, 200);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 408);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().attempts.len(), 1);
}

#[test]
fn a_call_that_ends_while_its_ports_are_opened_gives_its_trial_back() {
    for is_cancelled in [true, false] {
        let mut lab = Lab::new();
        for id in ["1", "2", "3"] {
            call_finds_a_dead(&mut lab, id);
        }
        lab.advance(Duration::from_secs(5));
        lab.sent.clear();
        lab.holds_opens = true;
        let fourth = call(&mut lab, "4");
        if is_cancelled {
            lab.receive(PBX, &cancel_of(&fourth));
            lab.take_response(PBX, 200);
            hear(&mut lab, &fourth, 487);
        } else {
            lab.advance(Duration::from_secs(20));
            hear(&mut lab, &fourth, 503);
        }
        lab.sent.retain(|(_, message)| message.status() != Some(Status::of(503)));
        lab.expect_silence();
        lab.holds_opens = false;
        call_goes_to(&mut lab, CARRIER_A, "5");
    }
}

#[test]
fn a_call_that_a_target_may_not_have_gives_its_trial_back() {
    for holds_opens in [false, true] {
        let mut lab = Lab::new();
        for id in ["1", "2", "3"] {
            call_finds_a_dead(&mut lab, id);
        }
        let mut settings = settings();
        settings.routing.trunks[1].caller_id = CallerIdPolicy {
            default: None,
            allowed: vec!["+1999*".to_owned()],
            otherwise: CallerIdFallback::Reject,
        };
        lab.input(Input::Settings(settings.into()));
        lab.advance(Duration::from_secs(5));
        lab.sent.clear();
        lab.holds_opens = holds_opens;
        let fourth = call(&mut lab, "4");
        if holds_opens {
            lab.open_held();
        }
        refuse(&mut lab, CARRIER_B, 486, "");
        hear(&mut lab, &fourth, 486);
        lab.input(Input::Settings(super::lab::settings().into()));
        call_goes_to(&mut lab, CARRIER_A, "5");
    }
}

/// Without probes nothing would ever say that it is well.
#[test]
fn a_target_that_probes_found_dead_comes_back_when_they_are_switched_off() {
    for calls_failed_too in [false, true] {
        let mut lab = Lab::with(probing());
        probes_succeed(&mut lab, 1);
        if calls_failed_too {
            for id in ["1", "2", "3"] {
                call_finds_a_dead(&mut lab, id);
            }
        }
        probes_fail(&mut lab, 3);
        call_goes_to(&mut lab, CARRIER_B, "4");
        let mut settings = probing();
        settings.routing.trunks[1].health = Health { interval: Duration::ZERO, ..Health::default() };
        lab.input(Input::Settings(settings.into()));
        lab.advance(Duration::from_secs(300));
        lab.sent.clear();
        for id in ["5", "6"] {
            call_goes_to(&mut lab, CARRIER_A, id);
        }
        lab.expect_nothing_left();
    }
}

#[test]
fn who_challenges_what_is_too_large_to_carry_the_answer_is_asked_no_more_for_that() {
    let mut settings = settings();
    settings.routing.routes[0].tiers.truncate(1);
    settings.routing.trunks[1].credentials =
        Some(Credentials { username: "u".repeat(3_000), password: "secret".to_owned() });
    let mut lab = Lab::with(settings);
    let mut offer = SDP_PBX.to_owned();
    while offer.len() < 31_000 {
        offer.push_str(&format!("a=x-{}:{}\r\n", offer.len(), "y".repeat(200)));
    }
    // Each answer repeats the Request-URI.
    let called = "n".repeat(1_900);
    lab.receive(PBX, &invite(PBX, &called, "1", Some(&offer)));
    lab.take_response(PBX, 100);
    let mut asked = 0;
    while lab.sent.iter().any(|(_, message)| message.method() == Some(&Method::Invite)) {
        asked += 1;
        assert!(asked < 20, "without end");
        let request = lab.take_request(CARRIER_A, &Method::Invite);
        assert!(request.header(Header::ProxyAuthorization).is_none(), "it fits, and the test is none");
        let opaque = "o".repeat(4_000);
        let fields: Vec<String> = (0..4)
            .map(|realm| {
                format!(
                    "Proxy-Authenticate: Digest realm=\"r{realm}\", nonce=\"n{asked}\", opaque=\"{opaque}\"\r\n\
                     WWW-Authenticate: Digest realm=\"s{realm}\", nonce=\"n{asked}\", opaque=\"{opaque}\""
                )
            })
            .collect();
        let answer = respond(CARRIER_A, &request, 407, "asker", None);
        lab.receive(CARRIER_A, &with_header(&answer, &fields.join("\r\n")));
        lab.take_request(CARRIER_A, &Method::Ack);
    }
    lab.take_response(PBX, 503);
    lab.expect_nothing_left();
}

/// Two accounts, each registered with the same user as Contact, which is written in both.
#[test]
fn a_contact_that_two_trunks_have_is_of_both() {
    let mut settings = settings();
    for at in [1, 2] {
        let trunk = &mut settings.routing.trunks[at];
        trunk.credentials = credentials();
        trunk.register = Some(Register { contact_user: Some("line".to_owned()), ..Register::default() });
        trunk.matching = TrunkMatch { registration: true, ..TrunkMatch::default() };
    }
    let calls = |lab: &mut Lab, id: &str| {
        for (at, carrier) in [(1, CARRIER_A), (2, CARRIER_B)] {
            let invite = text(&invite(carrier, "line", &format!("{id}{at}"), Some(SDP_CARRIER)));
            let to = format!("To: <sip:line@{SBC_UNTRUSTED}>");
            assert!(invite.contains(&to));
            lab.receive_bytes(carrier, invite.replacen(&to, "To: <sip:+442079460000@x.example>", 1));
            lab.take_response(carrier, 100);
            let outgoing = lab.take_request(PBX, &Method::Invite);
            lab.receive(PBX, &respond(PBX, &outgoing, 486, "extension", None));
            lab.take_request(PBX, &Method::Ack);
            lab.take_response(carrier, 486);
            let trunk = lab.cdrs.pop().and_then(|cdr| cdr.ingress.trunk);
            assert_eq!(trunk.as_ref().map(TrunkName::as_str), Some(["carrier-a", "carrier-b"][at - 1]));
        }
    };
    let mut lab = Lab::with(settings.clone());
    lab.advance(Duration::from_secs(1));
    lab.sent.clear();
    calls(&mut lab, "1");
    let trunk = TrunkName::from("carrier-b");
    lab.input(Input::SetTrunkEnabled { trunk: trunk.clone(), enabled: false });
    assert_eq!(lab.engine.router.registration_of("line").map(BTreeSet::len), Some(1));
    lab.input(Input::SetTrunkEnabled { trunk, enabled: true });
    lab.sent.clear();
    calls(&mut lab, "2");
    lab.input(Input::Settings(Arc::new(super::lab::settings())));
    assert_eq!(lab.engine.router.registration_of("line"), None);
}

#[test]
fn a_number_that_is_all_prefix_is_called_with_it() {
    let mut settings = settings();
    settings.routing.trunks[1].prefix = PrefixRule { strip: "+442079460000".to_owned(), add: String::new() };
    let mut lab = Lab::with(settings);
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    assert_eq!(outgoing.request_uri_raw(), b"sip:+442079460000@carrier-a.example");
}

/// No REGISTER, and so no digest, to where nobody wants it any more.
#[test]
fn a_host_that_is_configured_no_more_is_not_registered_at_while_dns_keeps_silent_of_the_next() {
    let mut settings = settings();
    settings.routing.trunks[1].credentials = credentials();
    settings.routing.trunks[1].register =
        Some(Register { to: crate::routing::RegisterTo::First, ..Register::default() });
    let mut elsewhere = settings.clone();
    elsewhere.routing.trunks[1].hosts[0].host = Host::Name("new.example".to_owned());
    let mut lab = Lab::with(settings);
    lab.advance(Duration::from_secs(1));
    lab.take_request(CARRIER_A, &Method::Register);
    lab.advance(Duration::from_secs(20));
    lab.sent.clear();
    lab.input(Input::Settings(elsewhere.into()));
    lab.advance(Duration::from_secs(600));
    assert!(lab.sent.iter().all(|(_, message)| message.method() != Some(&Method::Register)));
}

/// Ports run out in the middle of a half-open target's trial, limits and all.
#[test]
fn nothing_of_a_call_that_finds_no_port_is_counted_on() {
    let mut settings: Settings = settings();
    settings.routing.trunks[1].limits.calls = Some(1);
    settings.routing.limits.calls = Some(1);
    let mut lab = Lab::with(settings);
    for id in ["1", "2", "3", "4", "5"] {
        lab.failing_opens = 50;
        let invite = call(&mut lab, id);
        hear(&mut lab, &invite, 503);
        lab.expect_silence();
    }
    lab.failing_opens = 0;
    lab.advance(Duration::from_secs(64));
    call_goes_to(&mut lab, CARRIER_A, "6");
    lab.expect_nothing_left();
}
