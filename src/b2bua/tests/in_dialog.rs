//! Requests within a call, and the ends that come with them.

use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::EndedBy;
use crate::sip::{Header, Message, Method};

#[test]
fn a_bye_of_the_callee_waits_for_the_callers_ack() {
    for acks in [true, false] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        let bye = callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1);
        lab.receive(CARRIER_A, &finish(bye, None));
        lab.take_response(CARRIER_A, 200);
        lab.expect_silence();
        if acks {
            lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
        } else {
            lab.advance(Duration::from_secs(31));
            lab.sent.clear();
            lab.advance(Duration::from_secs(1));
            lab.sent.retain(|(_, sent)| sent.method().is_some());
        }
        lab.take_request(PBX, &Method::Bye);
        lab.expect_nothing_left();
        assert_eq!((lab.cdr().status, lab.cdr().ended_by), (200, EndedBy::Callee));
    }
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1);
    lab.receive(CARRIER_A, &finish(theirs, None));
    assert!(matches!(lab.take(CARRIER_A).status().unwrap().code(), 200 | 481));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 481, "callee", None));
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Caller);
}

#[test]
fn the_body_of_an_info_crosses_byte_for_byte() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    let body = b"Signal=5\r\nDuration=160\r\n\x00\xff\xfe odd";
    let info = caller_request(PBX, &invite, &answer, &Method::Info, 2);
    lab.receive(PBX, &info.finish_with(b"application/dtmf-relay", body).unwrap());
    let carried = lab.take_request(CARRIER_A, &Method::Info);
    assert_eq!(&carried.body()[..], body);
    assert_eq!(carried.header(Header::ContentType), Some(&b"application/dtmf-relay"[..]));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", None));
    lab.take_response(PBX, 200);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_message_and_a_notify_cross_with_their_bodies_and_answers() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let message = caller_request(PBX, &invite, &answer, &Method::Message, 2)
        .header(Header::ContentLanguage, "en")
        .header(Header::ContentEncoding, "identity")
        .header(Header::UserAgent, "Secret 1.0");
    lab.receive(PBX, &message.finish_with(b"text/plain;charset=utf-8", "grüß dich".as_bytes()).unwrap());
    let carried = lab.take_request(CARRIER_A, &Method::Message);
    assert_eq!(&carried.body()[..], "grüß dich".as_bytes());
    assert_eq!(carried.header(Header::ContentType), Some(&b"text/plain;charset=utf-8"[..]));
    assert_eq!(carried.header(Header::ContentLanguage), Some(&b"en"[..]));
    assert_eq!(carried.header(Header::ContentEncoding), Some(&b"identity"[..]));
    assert!(carried.header(Header::Contact).is_none(), "RFC 3428 §4: none in a MESSAGE");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 202, "callee", None));
    lab.take_response(PBX, 202);
    // And from the other side: DTMF as gateways tell it.
    let notify = callee_request(CARRIER_A, &outgoing, "callee", &Method::Notify, 1)
        .header(Header::Event, "telephone-event;rate=1000")
        .header(Header::SubscriptionState, "active");
    lab.receive(CARRIER_A, &notify.finish_with(b"audio/telephone-event", b"\x05\x0a\x00\xa0").unwrap());
    let carried = lab.take_request(PBX, &Method::Notify);
    assert_eq!(&carried.body()[..], b"\x05\x0a\x00\xa0");
    assert_eq!(carried.header(Header::Event), Some(&b"telephone-event;rate=1000"[..]));
    assert_eq!(carried.header(Header::SubscriptionState), Some(&b"active"[..]));
    lab.receive(PBX, &respond(PBX, &carried, 489, "x", None));
    lab.take_response(CARRIER_A, 489);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Caller);
}

#[test]
fn a_notify_that_nobody_subscribed_to_ends_no_call() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    let notify = caller_request(PBX, &invite, &answer, &Method::Notify, 2).header(Header::Event, "talk");
    lab.receive(PBX, &finish(notify, None));
    let carried = lab.take_request(CARRIER_A, &Method::Notify);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 481, "callee", None));
    lab.take_response(PBX, 481);
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Caller);
}

#[test]
fn options_before_the_answer_are_answered_by_us_and_after_it_by_the_other_side() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let ringing = lab.take_response(PBX, 180);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &ringing, &Method::Options, 2), None));
    assert!(lab.take_response(PBX, 200).header(Header::Allow).is_some());
    let options = callee_request(CARRIER_A, &outgoing, "callee", &Method::Options, 1);
    lab.receive(CARRIER_A, &finish(options, None));
    assert!(lab.take_response(CARRIER_A, 200).header(Header::Accept).is_some());
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Options, 3), None));
    let carried = lab.take_request(CARRIER_A, &Method::Options);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", None));
    lab.take_response(PBX, 200);
    hang_up(&mut lab, &invite, &answer, 4);
    lab.expect_nothing_left();
}

#[test]
fn what_is_not_taken_within_a_call_is_refused_as_the_rfc_says() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    let request = |method: &Method, sequence| caller_request(PBX, &invite, &answer, method, sequence);
    lab.receive(PBX, &finish(request(&Method::Refer, 2), None));
    lab.take_response(PBX, 603);
    lab.receive(PBX, &finish(request(&Method::Prack, 3), None));
    lab.take_response(PBX, 481);
    lab.receive(PBX, &finish(request(&Method::Message, 3), None));
    lab.take_response(PBX, 500);
    for (sequence, method) in [(4, Method::Subscribe), (5, Method::Publish), (6, Method::Register)] {
        lab.receive(PBX, &finish(request(&method, sequence), None));
        let allow = lab.take_response(PBX, 405);
        assert!(!allow.lists_token(Header::Allow, method.label()), "{}", text(&allow));
    }
    lab.receive(PBX, &finish(request(&Method::Invite, 7).header(Header::Require, "x-odd"), Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    assert_eq!(lab.take_response(PBX, 420).header(Header::Unsupported), Some(&b"x-odd"[..]));
    let foreign = request(&Method::Invite, 8).finish_with(b"application/xml", b"<x/>").unwrap();
    lab.receive(PBX, &foreign);
    lab.take_response(PBX, 100);
    assert_eq!(lab.take_response(PBX, 415).header(Header::Accept), Some(&b"application/sdp"[..]));
    lab.receive(PBX, &finish(request(&Method::Info, 4), None));
    lab.take_response(PBX, 500);
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 9);
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_dialog_is_known_by_all_its_parts() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    let bye = text(&finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    for (part, other) in [("call-1@", "call-2@"), ("from-1", "from-2"), (&to_tag(&answer)[..], "mine")] {
        let forged = bye.replace(part, other).replace("bKc2", &format!("bK{other}"));
        lab.receive_bytes(PBX, forged);
        lab.take_response(PBX, 481);
    }
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_side_that_does_not_know_the_call_any_more_ends_it() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Options, 2), None));
    let options = lab.take_request(CARRIER_A, &Method::Options);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &options, 481, "callee", None));
    lab.take_response(PBX, 481);
    lab.take_request(PBX, &Method::Bye);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Sbc);
}

#[test]
fn a_side_that_answers_nothing_any_more_ends_the_call() {
    for method in [Method::Info, Method::Update, Method::Invite] {
        let mut lab = Lab::new();
        let (invite, answer, _) = establish(&mut lab, "1");
        let sdp = (method != Method::Info).then_some(SDP_PBX);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &method, 2), sdp));
        lab.advance(Duration::from_secs(32));
        // RFC 4320 §4.2: no 408 but to an INVITE.
        let timed_out = |sent: &Message| sent.status().is_some_and(|status| status.code() == 408);
        assert_eq!(lab.sent.iter().any(|(_, sent)| timed_out(sent)), method == Method::Invite);
        assert!(lab.sent.iter().any(|(_, sent)| sent.method() == Some(&Method::Bye)));
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().ended_by, EndedBy::Sbc);
    }
}

/// RFC 5057 §5.1: codes that end a dialog, and some that do not.
#[test]
fn a_code_that_ends_the_dialog_ends_the_call() {
    for code in [404, 410, 416, 482, 483, 484, 485, 502, 604] {
        let mut lab = Lab::new();
        let (invite, answer, _) = establish(&mut lab, "1");
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Options, 2), None));
        let options = lab.take_request(CARRIER_A, &Method::Options);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &options, code, "callee", None));
        lab.take_response(PBX, code);
        lab.take_request(PBX, &Method::Bye);
        lab.take_request(CARRIER_A, &Method::Bye);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().ended_by, EndedBy::Sbc);
    }
}

#[test]
fn a_408_to_anything_but_an_invite_is_not_passed_on() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Options, 2), None));
    let options = lab.take_request(CARRIER_A, &Method::Options);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &options, 408, "callee", None));
    lab.take_request(PBX, &Method::Bye);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_silence();
    lab.expect_nothing_left();
}

/// A code is passed on with the header that it must have, or as one that needs none.
#[test]
fn a_failure_within_the_call_has_what_it_must_have() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    let codes = [(405, 405), (415, 415), (420, 500), (421, 500), (469, 500), (489, 489)];
    for (at, (code, shown)) in codes.into_iter().enumerate() {
        let sequence = 2 + at as u32;
        let info = caller_request(PBX, &invite, &answer, &Method::Info, sequence);
        lab.receive(PBX, &finish(info, None));
        let info = lab.take_request(CARRIER_A, &Method::Info);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &info, code, "callee", None));
        let refusal = lab.take_response(PBX, shown);
        assert_eq!(refusal.header(Header::Allow).is_some(), shown == 405, "{}", text(&refusal));
        assert!(!refusal.lists_token(Header::Allow, "INFO"));
        assert_eq!(refusal.header(Header::Accept).is_some(), shown == 415);
        assert_eq!(refusal.header(Header::AllowEvents).is_some(), shown == 489);
    }
    hang_up(&mut lab, &invite, &answer, 9);
    lab.expect_nothing_left();
}
