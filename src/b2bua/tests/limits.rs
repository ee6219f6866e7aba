//! Loops, floods, and the bounds of docs/limits.md: what is at a bound is taken, what is one beyond it
//! is not.

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::admission::DropReason;
use crate::b2bua::Event;
use crate::base::Realm;
use crate::numbering;
use crate::sip::limits::{MAX_HEADERS, MAX_KEY_BYTES, MAX_MESSAGE_BYTES, MAX_URI_BYTES, MAX_VIA_VALUES};
use crate::sip::{Header, Message, Method};

/// An OPTIONS of the PBX's with this text in the place of another, and what it is answered.
fn options(from: &str, to: &str) -> u16 {
    let mut lab = Lab::new();
    let plain = request(PBX, &Method::Options, "sip:10.0.0.5", "1", 1).header(Header::To, "<sip:10.0.0.5>");
    let bytes = text(&plain.finish().unwrap());
    assert!(bytes.contains(from), "{bytes}");
    lab.receive_bytes(PBX, bytes.replacen(from, to, 1));
    let answer = lab.sent.pop_front().map_or(0, |(_, answer)| answer.status().unwrap().code());
    lab.expect_silence();
    lab.expect_nothing_left();
    answer
}

#[test]
fn a_message_at_a_bound_is_taken_and_one_beyond_it_is_not() {
    let lines = |count: usize| "X-Line: 1\r\n".repeat(count);
    let own = 7;
    let headers = |count: usize| options("Max-Forwards", &format!("{}Max-Forwards", lines(count - own)));
    assert_eq!((headers(MAX_HEADERS), headers(MAX_HEADERS + 1)), (200, 400));
    let vias = |count: usize| {
        let more = ", SIP/2.0/UDP h;branch=z9hG4bKx".repeat(count - 1);
        options("\r\nFrom", &format!("{more}\r\nFrom"))
    };
    assert_eq!((vias(MAX_VIA_VALUES), vias(MAX_VIA_VALUES + 1)), (200, 400));
    let uri = |bytes: usize| options("sip:10.0.0.5 ", &format!("sip:{}@10.0.0.5 ", "a".repeat(bytes - 13)));
    assert_eq!((uri(MAX_URI_BYTES), uri(MAX_URI_BYTES + 1)), (200, 414));
    let call_id = |bytes: usize| options("call-1@10.0.0.9:5060", &"i".repeat(bytes));
    assert_eq!((call_id(MAX_KEY_BYTES), call_id(MAX_KEY_BYTES + 1)), (200, 400));
    let tag = |bytes: usize| options("tag=from-1", &format!("tag={}", "t".repeat(bytes)));
    assert_eq!((tag(MAX_KEY_BYTES), tag(MAX_KEY_BYTES + 1)), (200, 400));
    let branch = |bytes: usize| options("=z9hG4bK", &format!("=z9hG4bK{}", "b".repeat(bytes - 16)));
    assert_eq!((branch(MAX_KEY_BYTES), branch(MAX_KEY_BYTES + 1)), (200, 400));
    let whole = |bytes: usize| {
        let plain =
            request(PBX, &Method::Options, "sip:10.0.0.5", "1", 1).header(Header::To, "<sip:10.0.0.5>");
        let missing = bytes - plain.finish().unwrap().as_bytes().len();
        options("Length: 0\r\n\r\n", &format!("Length: 0\r\n\r\n{}", "x".repeat(missing)))
    };
    assert_eq!((whole(MAX_MESSAGE_BYTES), whole(MAX_MESSAGE_BYTES + 1)), (200, 0));
}

#[test]
fn max_forwards_ends_a_call_and_is_no_matter_for_what_is_asked_of_us() {
    // RFC 3261 §11 lets a server answer an OPTIONS with Max-Forwards 0 as if it were for itself.
    assert_eq!(options("Max-Forwards: 70", "Max-Forwards: 0"), 200);
    assert_eq!(options("Max-Forwards: 70\r\n", ""), 200);
    for (came, goes) in [("Max-Forwards: 1", "0"), ("Max-Forwards: 255", "69"), ("X-None: 1", "69")] {
        let mut lab = Lab::new();
        let invite = text(&invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
        lab.receive_bytes(PBX, invite.replacen("Max-Forwards: 70", came, 1));
        lab.take_response(PBX, 100);
        let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
        assert_eq!(outgoing.header(Header::MaxForwards), Some(goes.as_bytes()), "{came}");
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.take_response(PBX, 486);
        lab.expect_nothing_left();
    }
}

#[test]
fn max_forwards_that_is_no_number_of_hops_is_named_in_a_400() {
    for bad in ["-1", "256", "abc", "70 1", "+7", ""] {
        let mut lab = Lab::new();
        let call = |number| {
            let invite = text(&invite(PBX, number, "1", Some(SDP_PBX)));
            invite.replacen("Max-Forwards: 70", &format!("Max-Forwards: {bad}"), 1)
        };
        lab.receive_bytes(PBX, call("+442079460000"));
        lab.take_response(PBX, 100);
        assert_eq!(lab.take_response(PBX, 400).reason(), b"Bad Max-Forwards Header", "{bad:?}");
        lab.expect_nothing_left();
        // Who calls for help is not refused for it.
        let mut lab = Lab::new();
        lab.receive_bytes(PBX, call("911"));
        lab.take_response(PBX, 100);
        let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.take_response(PBX, 486);
        lab.expect_nothing_left();
    }
}

#[test]
fn a_request_of_ours_that_a_proxy_sends_back_is_a_loop_even_when_its_call_is_over() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
    lab.sent.clear();
    let proxied =
        text(&outgoing).replacen("Via:", "Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKp\r\nVia:", 1);
    // Whatever else the proxy wrote anew, and whoever it is for now.
    let rewritten = proxied
        .replacen("sip:+442079460000@", "sip:+12125550123@", 1)
        .replacen("Call-ID: ", "Call-ID: x", 1)
        .replacen(";tag=", ";tag=x", 1);
    for (number, loop_) in [&proxied, &rewritten].into_iter().enumerate() {
        lab.receive_bytes(CARRIER_A, loop_.replacen("z9hG4bKp", &format!("z9hG4bKp{number}"), 1));
        lab.take_response(CARRIER_A, 100);
        lab.take_response(CARRIER_A, 482);
        lab.expect_silence();
    }
    // A branch of somebody else's is no mark of ours, were it ever so much alike.
    let own = outgoing.top_via().unwrap().branch().unwrap();
    let own = String::from_utf8_lossy(own).into_owned();
    let alike = rewritten.replacen(&own, &format!("z9hG4bK{}", "a".repeat(own.len() - 7)), 1);
    lab.receive_bytes(CARRIER_A, alike.replacen("z9hG4bKp", "z9hG4bKq", 1));
    lab.take_response(CARRIER_A, 100);
    let outgoing = lab.take_request(PBX, &Method::Invite);
    lab.receive(PBX, &respond(PBX, &outgoing, 486, "extension", None));
    lab.take_request(PBX, &Method::Ack);
    lab.take_response(CARRIER_A, 486);
    lab.expect_nothing_left();
}

#[test]
fn a_flood_of_calls_from_one_source_leaves_ports_for_others_and_for_emergencies() {
    const OTHER: &str = "10.0.0.8:5060";
    let mut lab = Lab::new();
    // Fifty port pairs a side: half of them are one source's, from whatever ports it sends.
    let call = |lab: &mut Lab, from: &str, called: &str, id: &str| -> Message {
        let invite = invite(from, called, id, Some(SDP_PBX));
        lab.receive(from, &invite);
        lab.take_response(from, 100);
        invite
    };
    let mut placed = Vec::new();
    for id in 0..25 {
        let port = format!("10.0.0.9:{}", 5_060 + id);
        placed.push((port.clone(), call(&mut lab, &port, "+442079460000", &format!("f{id}"))));
        lab.take_request(CARRIER_A, &Method::Invite);
    }
    call(&mut lab, PBX, "+442079460000", "beyond");
    assert!(lab.take_response(PBX, 503).header(Header::RetryAfter).is_some());
    let limited = Event::Dropped { realm: Realm::Trusted, reason: DropReason::RateLimited };
    assert_eq!(lab.events.iter().filter(|event| **event == limited).count(), 1);
    for (from, called) in [(OTHER, "+442079460000"), (OTHER, "112"), (PBX, "911")] {
        placed.push((from.to_owned(), call(&mut lab, from, called, called)));
        lab.take_request(CARRIER_A, &Method::Invite);
    }
    // Two calls less in set-up (there is one for help as well) are room for one more.
    for (from, invite) in placed.drain(..2) {
        lab.receive(&from, &cancel_of(&invite));
        lab.take_response(&from, 200);
        lab.take_response(&from, 487);
    }
    placed.push((PBX.to_owned(), call(&mut lab, PBX, "+442079460000", "again")));
    lab.take_request(CARRIER_A, &Method::Invite);
    for (from, invite) in &placed {
        lab.receive(from, &cancel_of(invite));
    }
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdrs.len(), 29);
}

#[test]
fn when_the_ports_run_out_the_last_are_for_calls_for_help() {
    let mut settings = settings();
    // Sixteen pairs a side, of which two are kept.
    settings.media.ports = (10_000, 10_031);
    let mut lab = Lab::with(settings);
    let mut placed = Vec::new();
    let mut call = |lab: &mut Lab, id: usize, called: &str| {
        let from = format!("10.0.0.{}:5060", 10 + id % 3);
        let invite = invite(&from, called, &id.to_string(), Some(SDP_PBX));
        lab.receive(&from, &invite);
        lab.take_response(&from, 100);
        placed.push((from.clone(), invite));
        match lab.sent.pop_front() {
            Some((_, sent)) if sent.method() == Some(&Method::Invite) => 0,
            Some((_, sent)) => sent.status().unwrap().code(),
            None => panic!("nothing was sent"),
        }
    };
    let refused: Vec<u16> = (0..20).map(|id| call(&mut lab, id, "+442079460000")).collect();
    assert_eq!(refused.iter().filter(|status| **status == 0).count(), 14);
    assert!(refused[14..].iter().all(|status| *status == 503), "{refused:?}");
    assert_eq!([20, 21, 22].map(|id| call(&mut lab, id, "112")), [0, 0, 503]);
    for (from, invite) in &placed {
        lab.receive(from, &cancel_of(invite));
    }
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn streams_that_are_added_to_a_call_leave_the_last_ports_for_calls_for_help() {
    let mut settings = settings();
    // Sixteen pairs a side, of which two are kept.
    settings.media.ports = (10_000, 10_031);
    let mut lab = Lab::with(settings);
    let calls: Vec<_> = (0..5).map(|id| establish(&mut lab, &id.to_string())).collect();
    let more = "m=video 30002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n".repeat(2);
    let more = format!("{SDP_PBX}{more}");
    let mut refused = Vec::new();
    for (invite, answer, _) in &calls {
        lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Invite, 2), Some(&more)));
        lab.take_response(PBX, 100);
        match lab.sent.pop_front() {
            Some((_, sent)) if sent.method() == Some(&Method::Invite) => refused.push(0),
            Some((_, sent)) => refused.push(sent.status().unwrap().code()),
            None => panic!("nothing was sent"),
        }
    }
    // Five calls and two streams more for each of four are thirteen pairs.
    assert_eq!(refused, [0, 0, 0, 0, 503]);
    let help = [("112", "6"), ("911", "7")].map(|(called, id)| invite(PBX, called, id, Some(SDP_PBX)));
    for invite in &help {
        lab.receive(PBX, invite);
        lab.take_response(PBX, 100);
        lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(PBX, &cancel_of(invite));
        lab.sent.clear();
    }
    for (invite, answer, _) in &calls {
        lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Bye, 3), None));
    }
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn a_call_counts_for_as_many_ports_as_it_asks() {
    let mut lab = Lab::new();
    let video = format!("{SDP_PBX}m=video 30002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n");
    let mut placed = Vec::new();
    for id in 0..12 {
        placed.push(invite(PBX, "+442079460000", &id.to_string(), Some(&video)));
        lab.receive(PBX, &placed[id]);
        lab.take_response(PBX, 100);
        lab.take_request(CARRIER_A, &Method::Invite);
    }
    for (id, sdp, fits) in [("x", &video[..], false), ("y", SDP_PBX, true), ("z", SDP_PBX, false)] {
        let one = invite(PBX, "+442079460000", id, Some(sdp));
        lab.receive(PBX, &one);
        lab.take_response(PBX, 100);
        if fits {
            lab.take_request(CARRIER_A, &Method::Invite);
            placed.push(one);
        } else {
            lab.take_response(PBX, 503);
        }
    }
    for invite in &placed {
        lab.receive(PBX, &cancel_of(invite));
    }
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn an_answered_call_is_in_set_up_no_more() {
    let mut settings = settings();
    settings.media.ports = (10_000, 10_003);
    let mut lab = Lab::with(settings);
    let (first, answer, _) = establish(&mut lab, "1");
    let invite = invite(PBX, "+442079460000", "2", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(PBX, &cancel_of(&invite));
    lab.sent.clear();
    hang_up(&mut lab, &first, &answer, 2);
    lab.expect_nothing_left();
}

#[test]
fn an_emergency_number_is_known_as_the_trunk_dials_it() {
    let mut settings = settings();
    settings.media.ports = (10_000, 10_003);
    settings.routing.trunks[0].numbering =
        Some(numbering::Settings { emergency: vec!["999".to_owned()], ..settings.numbering.clone() });
    let mut lab = Lab::with(settings);
    for (called, id) in [("+442079460000", "1"), ("999", "2")] {
        lab.receive(PBX, &invite(PBX, called, id, Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        lab.take_request(CARRIER_A, &Method::Invite);
    }
    for (called, id) in [("+442079460000", "1"), ("999", "2")] {
        lab.receive(PBX, &cancel_of(&invite(PBX, called, id, Some(SDP_PBX))));
    }
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn so_many_requests_of_a_call_wait_at_once_and_no_more() {
    let mut lab = Lab::new();
    let (first, answer, _) = establish(&mut lab, "1");
    let mut waiting = Vec::new();
    for sequence in 2..18 {
        lab.receive(PBX, &finish(caller_request(PBX, &first, &answer, &Method::Info, sequence), None));
        waiting.push(lab.take_request(CARRIER_A, &Method::Info));
    }
    lab.receive(PBX, &finish(caller_request(PBX, &first, &answer, &Method::Info, 18), None));
    assert!(lab.take_response(PBX, 500).header(Header::RetryAfter).is_some());
    for info in waiting {
        lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 200, "callee", None));
        lab.take_response(PBX, 200);
    }
    hang_up(&mut lab, &first, &answer, 19);
    lab.expect_nothing_left();
}
