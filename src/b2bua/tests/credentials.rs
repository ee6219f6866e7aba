//! Nonces that are kept (RFC 3261 §22, RFC 7616 §3.3): what goes out with credentials unasked, what
//! does not, and to whom.

use std::sync::Arc;

use super::lab::*;
use crate::b2bua::{AuthenticationFault, Event, Input, Settings};
use crate::routing::Credentials;
use crate::sip::{Header, Message, Method, Status, response_to};

fn with_credentials() -> Settings {
    let mut settings = settings();
    settings.routing.routes[0].tiers.truncate(1);
    settings.routing.trunks[1].credentials = credentials("secret");
    settings
}

fn credentials(password: &str) -> Option<Credentials> {
    Some(Credentials { username: "key".to_owned(), password: password.to_owned() })
}

fn challenge(request: &Message, nonce: &str, more: &str) -> Message {
    response_to(request, SBC_UNTRUSTED.parse().unwrap(), Status::of(407), None, Some("asker"))
        .header(
            Header::ProxyAuthenticate,
            format!("Digest realm=\"carrier\", nonce=\"{nonce}\", qop=\"auth\"{more}"),
        )
        .finish()
        .unwrap()
}

/// The nonce and its count that a request carries.
fn carried(request: &Message) -> Option<(String, u32)> {
    let value = String::from_utf8(request.header(Header::ProxyAuthorization)?.to_vec()).unwrap();
    let part = |name: &str| value.split(", ").find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
    Some((part("nonce=").trim_matches('"').to_owned(), u32::from_str_radix(&part("nc="), 16).unwrap()))
}

fn expect_carried(request: &Message, nonce: &str, count: u32) {
    assert_eq!(carried(request), Some((nonce.to_owned(), count)), "{}", text(request));
}

/// An INVITE of the PBX's as the carrier gets it.
fn begin(lab: &mut Lab, id: &str) -> Message {
    lab.receive(PBX, &invite(PBX, "+442079460000", id, Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_A, &Method::Invite)
}

/// The carrier is busy, and the PBX is told.
fn decline(lab: &mut Lab, asked: &Message) {
    lab.receive(CARRIER_A, &respond(CARRIER_A, asked, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
}

/// A call that is challenged with this nonce, and declined.
fn learn(lab: &mut Lab, nonce: &str) {
    let first = begin(lab, &format!("learns-{nonce}"));
    assert_eq!(carried(&first), None);
    lab.receive(CARRIER_A, &challenge(&first, nonce, ""));
    lab.take_request(CARRIER_A, &Method::Ack);
    let second = lab.take_request(CARRIER_A, &Method::Invite);
    expect_carried(&second, nonce, 1);
    decline(lab, &second);
}

#[test]
fn what_was_learned_from_one_call_serves_the_next_with_all_its_requests() {
    let mut lab = Lab::with(with_credentials());
    learn(&mut lab, "n1");
    let asked = begin(&mut lab, "2");
    expect_carried(&asked, "n1", 2);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 200, "callee", Some(SDP_CARRIER)));
    let ack = lab.take_request(CARRIER_A, &Method::Ack);
    // RFC 3261 §22.1: the same values as in the INVITE.
    assert_eq!(ack.header(Header::ProxyAuthorization), asked.header(Header::ProxyAuthorization));
    let answer = lab.take_response(PBX, 200);
    let invite = invite(PBX, "+442079460000", "2", Some(SDP_PBX));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    let info = caller_request(PBX, &invite, &answer, &Method::Info, 2);
    lab.receive(PBX, &finish(info, None));
    let carried = lab.take_request(CARRIER_A, &Method::Info);
    expect_carried(&carried, "n1", 3);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", None));
    lab.take_response(PBX, 200);
    let again = caller_request(PBX, &invite, &answer, &Method::Invite, 3);
    lab.receive(PBX, &finish(again, Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    expect_carried(&reinvite, "n1", 4);
    // A stale nonce costs one more round, and the one after it is used at once.
    lab.receive(CARRIER_A, &challenge(&reinvite, "n2", ", stale=true"));
    lab.take_request(CARRIER_A, &Method::Ack);
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    expect_carried(&reinvite, "n2", 1);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 3), None));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 4), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    expect_carried(&bye, "n2", 2);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_silence();
    lab.expect_nothing_left();
}

/// RFC 3261 §22.1: "Servers MUST NOT attempt to challenge a CANCEL", which is of one hop.
#[test]
fn a_cancel_carries_no_credentials() {
    let mut lab = Lab::with(with_credentials());
    learn(&mut lab, "n1");
    let asked = begin(&mut lab, "2");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.receive(PBX, &cancel_of(&invite(PBX, "+442079460000", "2", Some(SDP_PBX))));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    assert_eq!(carried(&cancel), None);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_nothing_left();
}

#[test]
fn two_calls_at_once_count_one_nonce_and_neither_uses_a_count_twice() {
    let mut lab = Lab::with(with_credentials());
    learn(&mut lab, "n1");
    let (second, third) = (begin(&mut lab, "2"), begin(&mut lab, "3"));
    expect_carried(&second, "n1", 2);
    expect_carried(&third, "n1", 3);
    lab.receive(CARRIER_A, &challenge(&second, "n2", ", stale=true"));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.receive(CARRIER_A, &challenge(&third, "n3", ", stale=true"));
    let second = lab.take_request(CARRIER_A, &Method::Invite);
    expect_carried(&second, "n2", 1);
    lab.take_request(CARRIER_A, &Method::Ack);
    let third = lab.take_request(CARRIER_A, &Method::Invite);
    expect_carried(&third, "n3", 1);
    decline(&mut lab, &second);
    decline(&mut lab, &third);
    // What is kept is what came last.
    let fourth = begin(&mut lab, "4");
    expect_carried(&fourth, "n3", 2);
    decline(&mut lab, &fourth);
    lab.expect_nothing_left();
}

#[test]
fn credentials_go_to_the_trunk_alone_that_they_are_of() {
    let mut settings = with_credentials();
    settings.routing.routes[0].tiers.push(vec!["carrier-b".into()]);
    settings.routing.trunks[2].credentials =
        Some(Credentials { username: "other".to_owned(), password: "word".to_owned() });
    let mut lab = Lab::with(settings);
    learn(&mut lab, "n1");
    let asked = begin(&mut lab, "2");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &asked, 503, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let elsewhere = lab.take_request(CARRIER_B, &Method::Invite);
    assert_eq!(carried(&elsewhere), None);
    lab.receive(CARRIER_B, &challenge(&elsewhere, "n1", ""));
    lab.take_request(CARRIER_B, &Method::Ack);
    let again = lab.take_request(CARRIER_B, &Method::Invite);
    assert!(text(&again).contains("Digest username=\"other\""));
    lab.receive(CARRIER_B, &respond(CARRIER_B, &again, 486, "callee", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
}

#[test]
fn a_reload_keeps_nonces_unless_the_password_is_another() {
    let mut lab = Lab::with(with_credentials());
    learn(&mut lab, "n1");
    lab.input(Input::Settings(Arc::new(with_credentials())));
    let asked = begin(&mut lab, "2");
    expect_carried(&asked, "n1", 2);
    decline(&mut lab, &asked);
    let mut changed = with_credentials();
    changed.routing.trunks[1].credentials = credentials("another");
    lab.input(Input::Settings(Arc::new(changed)));
    learn(&mut lab, "n2");
    lab.expect_nothing_left();
}

fn faults(lab: &Lab) -> Vec<AuthenticationFault> {
    let fault = |event: &Event| match event {
        Event::NotAuthenticated { fault, .. } => Some(fault.clone()),
        _ => None,
    };
    lab.events.iter().filter_map(fault).collect()
}

#[test]
fn a_realm_that_the_trunk_does_not_name_gets_no_digest_and_people_are_told_once() {
    let mut settings = with_credentials();
    settings.routing.trunks[1].authentication.realms = vec!["euc1.sip.sinch.com".to_owned()];
    let mut lab = Lab::with(settings);
    for id in ["1", "2"] {
        let asked = begin(&mut lab, id);
        lab.receive(CARRIER_A, &challenge(&asked, "n", ""));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.take_response(PBX, 503);
    }
    let expected = "\"euc1.sip.sinch.com\"".to_owned();
    assert_eq!(faults(&lab), [AuthenticationFault::Realm { realm: "carrier".to_owned(), expected }]);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_wrong_password_is_told_as_what_it_is() {
    let mut lab = Lab::with(with_credentials());
    let asked = begin(&mut lab, "1");
    lab.receive(CARRIER_A, &challenge(&asked, "n1", ""));
    lab.take_request(CARRIER_A, &Method::Ack);
    let again = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &challenge(&again, "n2", ""));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 503);
    assert_eq!(faults(&lab), [AuthenticationFault::Refused { realm: "carrier".to_owned() }]);
    lab.expect_nothing_left();
}
