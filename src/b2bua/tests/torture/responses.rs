//! The responses of RFC 4475 as answers to an INVITE of ours: what they are is the RFC's, whose they
//! are (Via, From, To, Call-ID, CSeq) is the INVITE's.

use std::time::Duration;

use super::rfc4475::CASES;
use super::{changed, message_text};
use crate::admission::DropReason;
use crate::b2bua::Event;
use crate::b2bua::tests::lab::*;
use crate::b2bua::tests::setup::hang_up;
use crate::sip::{Header, Message, Method};

/// An offer of what the RFC's responses answer.
const OFFER: &str = "v=0\r\no=pbx 1 1 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0 12\r\nm=video 30002 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n";

/// The INVITE from the PBX, and what the carrier got.
fn begin(lab: &mut Lab) -> (Message, Message) {
    let invite = invite(PBX, "+442079460000", "1", Some(OFFER));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    (invite, lab.take_request(CARRIER_A, &Method::Invite))
}

/// A response of the RFC as an answer to `request`. `further_vias` stay.
fn answering(name: &str, request: &Message, further_vias: bool) -> String {
    const OURS: [&str; 4] = ["From:", "To:", "Call-ID:", "CSeq:"];
    let theirs = message_text(CASES, name);
    let (head, body) = theirs.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let value = |header| String::from_utf8(request.header(header).unwrap().to_vec()).unwrap();
    let mut answer = format!("{}\r\nVia: {}\r\n", lines.next().unwrap(), value(Header::Via));
    let mut vias = 0;
    for line in lines {
        vias += usize::from(line.starts_with("Via:"));
        let is_via = line.starts_with("Via:") && (vias == 1 || !further_vias);
        if !is_via && !OURS.iter().any(|name| line.starts_with(name)) {
            answer += &format!("{line}\r\n");
        }
    }
    let (from, to) = (value(Header::From), value(Header::To));
    let (call_id, cseq) = (value(Header::CallId), value(Header::CSeq));
    answer
        + &format!("From: {from}\r\nTo: {to};tag=callee\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\r\n{body}")
}

/// The call that `unreason` answers is a call.
fn expect_answered(lab: &mut Lab, invite: &Message, outgoing: &Message) {
    lab.receive_bytes(CARRIER_A, answering("unreason", outgoing, false));
    let answer = lab.take_response(PBX, 200);
    assert!(text(&answer).contains("c=IN IP4 10.0.0.5\r\n"));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.receive(PBX, &finish(caller_request(PBX, invite, &answer, &Method::Ack, 1), None));
    hang_up(lab, invite, &answer, 2);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

fn expect_dropped(lab: &mut Lab, reason: DropReason) {
    let dropped = |event: &Event| matches!(event, Event::Dropped { reason: why, .. } if *why == reason);
    assert!(lab.events.iter().any(dropped), "{:?}", lab.events);
    lab.expect_silence();
}

#[test]
fn an_unusual_reason_phrase_answers_a_call() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab);
    expect_answered(&mut lab, &invite, &outgoing);
}

#[test]
fn a_100_without_a_phrase_is_a_100() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab);
    lab.receive_bytes(CARRIER_A, answering("noreason", &outgoing, false));
    // The INVITE is repeated no more, and the carrier not given up.
    lab.advance(Duration::from_secs(30));
    lab.expect_silence();
    expect_answered(&mut lab, &invite, &outgoing);
}

#[test]
fn a_status_that_is_none_answers_nothing() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab);
    lab.receive_bytes(CARRIER_A, answering("bigcode", &outgoing, false));
    expect_dropped(&mut lab, DropReason::Malformed);
    expect_answered(&mut lab, &invite, &outgoing);
}

#[test]
fn a_response_with_a_second_via_is_not_for_us() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab);
    lab.receive_bytes(CARRIER_A, answering("bcast", &outgoing, true));
    expect_dropped(&mut lab, DropReason::Unmatched);
    expect_answered(&mut lab, &invite, &outgoing);
}

#[test]
fn numbers_beyond_measure_are_dropped_in_cseq_and_overlooked_elsewhere() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab);
    let refusal = answering("scalarlg", &outgoing, false);
    lab.receive_bytes(CARRIER_A, changed(&refusal, "CSeq: 1 ", "CSeq: 9292394834772304023312 "));
    expect_dropped(&mut lab, DropReason::Malformed);
    lab.receive_bytes(CARRIER_A, refusal);
    lab.take_request(CARRIER_A, &Method::Ack);
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 503, "other", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    let answer = lab.take_response(PBX, 503);
    assert!(answer.number(Header::RetryAfter).is_none_or(|seconds| seconds < 3_600), "{}", text(&answer));
    lab.expect_nothing_left();
}
