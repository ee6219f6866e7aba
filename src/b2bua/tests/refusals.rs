//! What opens no call, and why (docs: what can be seen from outside).

use super::lab::*;
use super::setup::begin;
use crate::admission::DropReason;
use crate::b2bua::{Event, Input};
use crate::base::Realm;
use crate::numbering;
use crate::routing::{CallerIdFallback, CallerIdPolicy};
use crate::sip::{Header, Method};

/// The PBX sends this INVITE, changed, and gets this final answer.
fn refused(from: &str, to: &str, status: u16) -> crate::sip::Message {
    let mut lab = Lab::new();
    let bytes = text(&invite(PBX, "+442079460000", "1", Some(SDP_PBX))).replacen(from, to, 1);
    assert!(bytes.contains(to));
    lab.receive_bytes(PBX, bytes);
    lab.take_response(PBX, 100);
    let answer = lab.take_response(PBX, status);
    lab.expect_silence();
    lab.expect_nothing_left();
    answer
}

#[test]
fn an_invite_that_cannot_be_taken_is_refused_as_the_rfc_says() {
    refused("Max-Forwards: 70", "Max-Forwards: 0", 483);
    let answer = refused("User-Agent: Secret 1.0", "Require: x-odd, timer, y, 100rel", 420);
    assert_eq!(answer.header(Header::Unsupported), Some(&b"x-odd, y"[..]));
    refused("INVITE sip:", "INVITE urn:", 416);
    let answer = refused("application/sdp", "application/xml", 415);
    assert!(answer.header(Header::Accept).is_some());
    let answer = refused("User-Agent: Secret 1.0", "Content-Encoding: gzip", 415);
    assert!(answer.header(Header::AcceptEncoding).is_some());
    refused("INVITE sip:+442079460000@", "INVITE sip:12@", 484);
}

#[test]
fn a_number_without_a_route_is_404() {
    let mut settings = settings();
    settings.routing.routes.clear();
    let mut lab = Lab::with(settings);
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 404);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 404);
}

#[test]
fn a_caller_id_that_may_not_be_shown_is_403() {
    let mut settings = settings();
    for trunk in &mut settings.routing.trunks {
        trunk.caller_id = CallerIdPolicy {
            default: None,
            allowed: vec!["+1999*".to_owned()],
            otherwise: CallerIdFallback::Reject,
        };
        trunk.send_numbers = numbering::NumberForm::E164;
    }
    let mut lab = Lab::with(settings);
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 403);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 403);
}

#[test]
fn a_copy_by_another_way_and_our_own_invite_are_482() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive_bytes(PBX, text(&invite).replace("z9hG4bK1", "z9hG4bKother"));
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 482);
    let looped = text(&outgoing).replacen("z9hG4bK", "z9hG4bKproxy", 1);
    lab.receive_bytes(CARRIER_A, looped);
    lab.take_response(CARRIER_A, 100);
    lab.take_response(CARRIER_A, 482);
    lab.expect_silence();
    lab.receive(PBX, &cancel_of(&invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}

#[test]
fn requests_outside_of_calls_have_their_answers() {
    let mut lab = Lab::new();
    let uri = format!("sip:{SBC_TRUSTED}");
    let answer = |lab: &mut Lab, method: &Method, sequence, status| {
        let to = format!("<{uri}>");
        let writer = request(PBX, method, &uri, "x", sequence).header(Header::To, to);
        lab.receive(PBX, &finish(writer, None));
        lab.take_response(PBX, status)
    };
    answer(&mut lab, &Method::Register, 1, 403);
    assert!(answer(&mut lab, &Method::Options, 2, 200).header(Header::Allow).is_some());
    let mut sequence = 3;
    for method in [Method::Message, Method::Subscribe, Method::Publish] {
        let refusal = answer(&mut lab, &method, sequence, 405);
        let names_it = refusal.lists_token(Header::Allow, method.label());
        assert!(refusal.lists_token(Header::Allow, "INVITE") && !names_it, "{}", text(&refusal));
        sequence += 1;
    }
    for method in [Method::Bye, Method::Notify, Method::Info, Method::Update, Method::Prack] {
        answer(&mut lab, &method, sequence, 481);
        sequence += 1;
    }
    lab.input(Input::Drain { deadline: None });
    assert!(answer(&mut lab, &Method::Options, sequence, 503).header(Header::RetryAfter).is_some());
    lab.expect_nothing_left();
}

#[test]
fn a_stranger_hears_nothing_and_is_not_even_parsed() {
    let mut lab = Lab::new();
    lab.receive(STRANGER, &invite(STRANGER, "+442079460000", "1", None));
    lab.receive_bytes(STRANGER, "garbage");
    lab.expect_silence();
    let dropped = Event::Dropped { realm: Realm::Untrusted, reason: DropReason::SourceNotAllowed };
    assert_eq!(lab.events, [dropped.clone(), dropped]);
    lab.expect_nothing_left();
}

#[test]
fn a_malformed_request_is_told_its_fault() {
    let mut lab = Lab::new();
    let bytes =
        text(&invite(PBX, "+442079460000", "1", None)).replace("Content-Length: 0", "Content-Length: x");
    lab.receive_bytes(PBX, bytes);
    let answer = lab.take_response(PBX, 400);
    assert!(String::from_utf8_lossy(answer.reason()).contains("Content-Length"), "{}", text(&answer));
    lab.receive_bytes(PBX, "INVITE\r\n\r\n");
    lab.expect_silence();
    lab.expect_nothing_left();
}
