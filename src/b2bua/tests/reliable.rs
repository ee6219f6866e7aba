//! Reliable provisional responses (RFC 3262), each leg for itself.

use std::time::Duration;

use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::EndedBy;
use crate::media::{MediaCommand, Side};
use crate::routing::Credentials;
use crate::sip::{Header, Message, Method, Status, response_to};

/// A call from the PBX, whose INVITE has these lines too, that carrier A has got.
pub fn begin_with(lab: &mut Lab, lines: &str, sdp: Option<&str>) -> (Message, Message) {
    let invite = with_header(&invite(PBX, "+442079460000", "1", sdp), lines);
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    (invite, lab.take_request(CARRIER_A, &Method::Invite))
}

/// A reliable provisional response of the carrier's.
pub fn reliable(request: &Message, status: u16, tag: &str, rseq: u32, sdp: Option<&str>) -> Message {
    let response = respond(CARRIER_A, request, status, tag, sdp);
    with_header(&response, &format!("Require: 100rel\r\nRSeq: {rseq}"))
}

/// The caller's PRACK for a response.
pub fn prack(invite: &Message, response: &Message, sequence: u32, sdp: Option<&str>) -> Message {
    let rseq = response.number(Header::RSeq).expect("an RSeq");
    let writer = caller_request(PBX, invite, response, &Method::Prack, sequence);
    finish(writer.header(Header::RAck, format!("{rseq} 1 INVITE")), sdp)
}

/// What the SBC's PRACK acknowledges; the carrier accepts it.
#[track_caller]
pub fn expect_prack(lab: &mut Lab, rack: &str, tag: &str) -> Message {
    let prack = lab.take_request(CARRIER_A, &Method::Prack);
    assert_eq!(String::from_utf8_lossy(prack.header(Header::RAck).unwrap()), rack);
    assert_eq!(to_tag(&prack), tag);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &prack, 200, tag, None));
    prack
}

/// The next response to the caller, which is reliable.
#[track_caller]
fn take_reliable(lab: &mut Lab, status: u16) -> Message {
    let response = lab.take_response(PBX, status);
    assert_eq!(response.header(Header::Require), Some(&b"100rel"[..]), "{}", text(&response));
    assert!((1..1 << 31).contains(&response.number(Header::RSeq).unwrap()));
    response
}

/// The callee takes the call, and the caller hears and acknowledges it.
fn answer(lab: &mut Lab, invite: &Message, outgoing: &Message, sdp: Option<&str>) -> Message {
    lab.receive(CARRIER_A, &respond(CARRIER_A, outgoing, 200, "callee", sdp));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, invite, &answer, &Method::Ack, 1), None));
    answer
}

#[test]
fn a_caller_that_requires_100rel_gets_all_ringing_so_though_the_callee_has_never_heard_of_it() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Require: 100rel", Some(SDP_PBX));
    assert!(outgoing.header(Header::Require).is_none());
    assert!(outgoing.lists_token(Header::Supported, "100rel"));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let ringing = take_reliable(&mut lab, 180);
    lab.receive(PBX, &prack(&invite, &ringing, 2, None));
    lab.take_response(PBX, 200);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "callee", Some(SDP_CARRIER)));
    let progress = take_reliable(&mut lab, 183);
    assert_eq!(progress.number(Header::RSeq), ringing.number(Header::RSeq).map(|rseq| rseq + 1));
    assert!(text(&progress).contains("c=IN IP4 10.0.0.5\r\n"));
    lab.receive(PBX, &prack(&invite, &progress, 3, None));
    lab.take_response(PBX, 200);
    // The answer was reliable, so that it is not repeated (RFC 3261 §13.2.1).
    let answer = answer(&mut lab, &invite, &outgoing, Some(SDP_CARRIER));
    assert!(answer.body().is_empty() && answer.header(Header::Require).is_none());
    lab.advance(Duration::from_secs(40));
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 4);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().codec.as_deref()), (200, Some("PCMU")));
}

#[test]
fn a_caller_that_supports_100rel_gets_sdp_reliably_and_the_rest_plainly() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel", Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    assert!(lab.take_response(PBX, 180).header(Header::RSeq).is_none());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "callee", Some(SDP_CARRIER)));
    let progress = take_reliable(&mut lab, 183);
    // What has no SDP need not wait, and what has says nothing new.
    for sdp in [None, Some(SDP_CARRIER)] {
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", sdp));
        let ringing = lab.take_response(PBX, 180);
        assert!(ringing.header(Header::RSeq).is_none() && ringing.body().is_empty());
    }
    lab.receive(PBX, &prack(&invite, &progress, 2, None));
    lab.take_response(PBX, 200);
    let answer = answer(&mut lab, &invite, &outgoing, Some(SDP_CARRIER));
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_call_in_has_its_ringing_acknowledged_on_both_sides() {
    let mut lab = Lab::new();
    let invite = with_header(&invite(CARRIER_B, "+14155550111", "1", Some(SDP_CARRIER)), "Require: 100rel");
    lab.receive(CARRIER_B, &invite);
    lab.take_response(CARRIER_B, 100);
    let outgoing = lab.take_request(PBX, &Method::Invite);
    let ringing = respond(PBX, &outgoing, 180, "callee", None);
    lab.receive(PBX, &with_header(&ringing, "Require: 100rel\r\nRSeq: 1"));
    let sent = lab.take_request(PBX, &Method::Prack);
    lab.receive(PBX, &respond(PBX, &sent, 200, "callee", None));
    let ringing = lab.take_response(CARRIER_B, 180);
    let rack = format!("{} 1 INVITE", ringing.number(Header::RSeq).unwrap());
    let prack = caller_request(CARRIER_B, &invite, &ringing, &Method::Prack, 2).header(Header::RAck, rack);
    lab.receive(CARRIER_B, &finish(prack, None));
    lab.take_response(CARRIER_B, 200);
    lab.receive(PBX, &respond(PBX, &outgoing, 486, "callee", None));
    lab.take_request(PBX, &Method::Ack);
    lab.take_response(CARRIER_B, 486);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 486);
}

#[test]
fn ringing_without_prack_is_repeated_ever_more_rarely_and_then_the_call_is_refused() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin_with(&mut lab, "Require: 100rel", Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let first = take_reliable(&mut lab, 180);
    let mut schedule = Vec::new();
    for half_second in 1..64 {
        lab.advance(Duration::from_millis(500));
        if !lab.sent.is_empty() {
            assert_eq!(take_reliable(&mut lab, 180).as_bytes(), first.as_bytes());
            schedule.push(half_second);
        }
    }
    assert_eq!(schedule, [1, 3, 7, 15, 31, 63]);
    lab.advance(Duration::from_millis(500));
    lab.take_response(PBX, 504);
    lab.take_request(CARRIER_A, &Method::Cancel);
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().ended_by), (504, EndedBy::Sbc));
}

#[test]
fn a_prack_that_was_lost_is_made_up_for_by_the_next_18x() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Require: 100rel", Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let ringing = take_reliable(&mut lab, 180);
    lab.advance(Duration::from_millis(500));
    take_reliable(&mut lab, 180);
    let prack = prack(&invite, &ringing, 2, None);
    for _ in 0..2 {
        // The second is a repetition: its 200 was lost.
        lab.receive(PBX, &prack);
        lab.take_response(PBX, 200);
    }
    lab.advance(Duration::from_secs(40));
    lab.expect_silence();
    lab.receive(PBX, &cancel_of(&invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}

#[test]
fn a_prack_for_nothing_is_481() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Require: 100rel", Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let ringing = take_reliable(&mut lab, 180);
    let rseq = ringing.number(Header::RSeq).unwrap();
    let wrong = [
        format!("{} 1 INVITE", rseq + 1),
        format!("{rseq} 2 INVITE"),
        format!("{rseq} 1 UPDATE"),
        format!("{rseq} 1"),
        format!("{rseq} 1 INVITE x"),
    ];
    for (at, rack) in wrong.iter().enumerate() {
        let prack = caller_request(PBX, &invite, &ringing, &Method::Prack, 2 + at as u32);
        lab.receive(PBX, &finish(prack.header(Header::RAck, rack), None));
        lab.take_response(PBX, 481);
    }
    lab.receive(PBX, &prack(&invite, &ringing, 10, None));
    lab.take_response(PBX, 200);
    lab.receive(PBX, &prack(&invite, &ringing, 11, None));
    lab.take_response(PBX, 481);
    // We owe the callee no reliable response, ever.
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Prack, 1);
    lab.receive(CARRIER_A, &finish(theirs.header(Header::RAck, format!("{rseq} 1 INVITE")), None));
    lab.take_response(CARRIER_A, 481);
    lab.receive(PBX, &cancel_of(&invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}

#[test]
fn one_18x_at_a_time_and_of_those_that_wait_the_last() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Require: 100rel", Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let ringing = take_reliable(&mut lab, 180);
    for (status, sdp) in [(181, None), (183, Some(SDP_CARRIER)), (182, None)] {
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, status, "callee", sdp));
    }
    lab.expect_silence();
    lab.receive(PBX, &prack(&invite, &ringing, 2, None));
    lab.take_response(PBX, 200);
    let queued = take_reliable(&mut lab, 182);
    assert!(queued.has_body_type("application/sdp"), "the SDP that waited was lost");
    lab.expect_silence();
    lab.receive(PBX, &prack(&invite, &queued, 3, None));
    lab.take_response(PBX, 200);
    lab.expect_silence();
    lab.receive(PBX, &cancel_of(&invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}

#[test]
fn the_2xx_waits_for_the_prack_of_sdp_but_not_of_ringing() {
    for sdp in [Some(SDP_CARRIER), None] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin_with(&mut lab, "Require: 100rel", Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "callee", sdp));
        let progress = take_reliable(&mut lab, 183);
        let success = respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER));
        lab.receive(CARRIER_A, &success);
        lab.take_request(CARRIER_A, &Method::Ack);
        if sdp.is_some() {
            lab.expect_silence();
            lab.receive(CARRIER_A, &success);
            lab.take_request(CARRIER_A, &Method::Ack);
            lab.advance(Duration::from_millis(500));
            take_reliable(&mut lab, 183);
            lab.receive(PBX, &prack(&invite, &progress, 2, None));
            lab.take_response(PBX, 200);
        }
        let answer = lab.take_response(PBX, 200);
        assert_eq!(answer.cseq().unwrap().method, Method::Invite);
        assert_eq!(answer.body().is_empty(), sdp.is_some());
        if sdp.is_none() {
            lab.receive(PBX, &prack(&invite, &progress, 2, None));
            lab.take_response(PBX, 200);
        }
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
        lab.advance(Duration::from_secs(40));
        lab.expect_silence();
        hang_up(&mut lab, &invite, &answer, 3);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}

#[test]
fn a_callee_that_answered_is_sent_bye_if_the_caller_never_hears_of_it() {
    for (end, status) in [("cancel", 487), ("no prack", 504), ("bye of the callee", 487)] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel", Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "callee", Some(SDP_CARRIER)));
        let progress = take_reliable(&mut lab, 183);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        match end {
            "cancel" => {
                lab.receive(PBX, &cancel_of(&invite));
                lab.take_response(PBX, 200);
            }
            "no prack" => {
                lab.advance(Duration::from_millis(31_900));
                lab.sent.clear();
                lab.advance(Duration::from_millis(100));
            }
            _ => {
                let bye = callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1);
                lab.receive(CARRIER_A, &finish(bye, None));
                lab.take_response(CARRIER_A, 200);
            }
        }
        lab.take_response(PBX, status);
        if end != "bye of the callee" {
            lab.take_request(CARRIER_A, &Method::Bye);
        }
        lab.expect_silence();
        // It comes late.
        lab.receive(PBX, &prack(&invite, &progress, 2, None));
        assert!(matches!(lab.take(PBX).status().unwrap().code(), 200 | 481));
        lab.expect_nothing_left();
        assert_eq!((lab.cdr().status, lab.cdr().answer), (status, None), "{end}");
    }
}

#[test]
fn a_reliable_callee_is_acknowledged_though_the_caller_has_never_heard_of_it() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    // RFC 3262 §7.2 has this number.
    let progress = reliable(&outgoing, 183, "callee", 776_656, Some(SDP_CARRIER));
    let routed = with_header(&progress, "Record-Route: <sip:198.51.100.1;lr;x=2>, <sip:198.51.100.1;lr;x=1>");
    lab.receive(CARRIER_A, &routed);
    let sent = expect_prack(&mut lab, "776656 1 INVITE", "callee");
    assert_eq!(sent.cseq().unwrap().number, 2);
    assert!(text(&sent).contains("Route: <sip:198.51.100.1;lr;x=1>\r\nRoute: <sip:198.51.100.1;lr;x=2>\r\n"));
    assert!(sent.body().is_empty());
    let heard = lab.take_response(PBX, 183);
    assert!(heard.header(Header::RSeq).is_none() && heard.header(Header::Require).is_none());
    assert!(text(&heard).contains("c=IN IP4 10.0.0.5\r\n"));
    // The answer was reliable: other SDP is none of it, and none need come again.
    let odd = SDP_CARRIER.replace("198.51.100.77", "198.51.100.99");
    lab.receive(CARRIER_A, &reliable(&outgoing, 183, "callee", 776_657, Some(&odd)));
    expect_prack(&mut lab, "776657 1 INVITE", "callee");
    assert!(lab.take_response(PBX, 183).body().is_empty());
    let answer = answer(&mut lab, &invite, &outgoing, None);
    assert!(text(&answer).contains("c=IN IP4 10.0.0.5\r\n"));
    let is_odd = |command: &MediaCommand| format!("{command:?}").contains("198.51.100.99");
    assert!(!lab.media.iter().any(is_odd));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    assert_eq!(lab.take_request(CARRIER_A, &Method::Bye).cseq().unwrap().number, 4);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn what_comes_out_of_order_is_neither_acknowledged_nor_passed_on() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let ringing = reliable(&outgoing, 180, "callee", 10, None);
    lab.receive(CARRIER_A, &ringing);
    let sent = lab.take_request(CARRIER_A, &Method::Prack);
    lab.take_response(PBX, 180);
    // It comes again, because our PRACK was lost; the PRACK's own transaction sees to that.
    lab.receive(CARRIER_A, &ringing);
    lab.expect_silence();
    lab.advance(Duration::from_millis(500));
    assert_eq!(lab.take_request(CARRIER_A, &Method::Prack).as_bytes(), sent.as_bytes());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &sent, 200, "callee", None));
    for (rseq, status) in [(12, 183), (9, 183), (10, 180), (0, 183)] {
        let is_passed_on = rseq == 0;
        lab.receive(CARRIER_A, &reliable(&outgoing, status, "callee", rseq, None));
        if is_passed_on {
            lab.take_response(PBX, status);
        }
        lab.expect_silence();
    }
    lab.receive(CARRIER_A, &reliable(&outgoing, 181, "callee", 11, None));
    expect_prack(&mut lab, "11 1 INVITE", "callee");
    lab.take_response(PBX, 181);
    lab.receive(PBX, &cancel_of(&invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}

#[test]
fn a_prack_that_is_challenged_is_sent_again_and_one_that_fails_ends_nothing() {
    let mut settings = settings();
    settings.routing.trunks[1].credentials =
        Some(Credentials { username: "key".to_owned(), password: "secret".to_owned() });
    let mut lab = Lab::with(settings);
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &reliable(&outgoing, 180, "callee", 1, None));
    let first = lab.take_request(CARRIER_A, &Method::Prack);
    lab.take_response(PBX, 180);
    let challenge =
        response_to(&first, SBC_UNTRUSTED.parse().unwrap(), Status::of(407), None, Some("callee"))
            .header(Header::ProxyAuthenticate, "Digest realm=\"carrier\", nonce=\"n\", qop=\"auth\"");
    lab.receive(CARRIER_A, &finish(challenge, None));
    let second = lab.take_request(CARRIER_A, &Method::Prack);
    assert!(second.header(Header::ProxyAuthorization).is_some());
    assert_eq!(second.header(Header::RAck), first.header(Header::RAck));
    assert_eq!(second.cseq().unwrap().number, 3);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &second, 481, "callee", None));
    lab.expect_silence();
    let answer = answer(&mut lab, &invite, &outgoing, Some(SDP_CARRIER));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    assert_eq!(lab.take_request(CARRIER_A, &Method::Bye).cseq().unwrap().number, 4);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_late_offer_in_a_reliable_183_is_answered_by_prack_on_both_legs() {
    for holds_opens in [false, true] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel", None);
        assert!(outgoing.body().is_empty() && outgoing.lists_token(Header::Supported, "100rel"));
        lab.holds_opens = holds_opens;
        let progress = reliable(&outgoing, 183, "callee", 5, Some(SDP_CARRIER));
        lab.receive(CARRIER_A, &progress);
        if holds_opens {
            lab.receive(CARRIER_A, &progress);
            lab.expect_silence();
            lab.open_held();
        }
        let offer = take_reliable(&mut lab, 183);
        assert!(text(&offer).contains("c=IN IP4 10.0.0.5\r\n"));
        lab.expect_silence();
        lab.receive(PBX, &prack(&invite, &offer, 2, Some(SDP_PBX)));
        lab.take_response(PBX, 200);
        let sent = expect_prack(&mut lab, "5 1 INVITE", "callee");
        assert!(text(&sent).contains("c=IN IP4 203.0.113.5\r\n"));
        let remotes = lab.media.iter().filter(|command| matches!(command, MediaCommand::SetRemote { .. }));
        assert_eq!(remotes.count(), 2);
        let answer = answer(&mut lab, &invite, &outgoing, None);
        assert!(answer.body().is_empty());
        hang_up(&mut lab, &invite, &answer, 3);
        lab.expect_silence();
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}

#[test]
fn a_late_offer_that_the_caller_does_not_answer_ends_the_call() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Require: 100rel", None);
    // Without an offer it cannot be sent reliably, and the caller wants nothing else.
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.expect_silence();
    lab.receive(CARRIER_A, &reliable(&outgoing, 183, "callee", 5, Some(SDP_CARRIER)));
    let offer = take_reliable(&mut lab, 183);
    lab.receive(PBX, &prack(&invite, &offer, 2, None));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 488);
    lab.take_request(CARRIER_A, &Method::Cancel);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 488);
}

#[test]
fn a_late_offer_without_ports_or_sense_ends_the_call() {
    for (sdp, status) in [(SDP_CARRIER, 503), ("v=0\r\nnonsense", 502)] {
        let mut lab = Lab::new();
        let (_, outgoing) = begin_with(&mut lab, "Supported: 100rel", None);
        lab.failing_opens = 100;
        lab.receive(CARRIER_A, &reliable(&outgoing, 183, "callee", 5, Some(sdp)));
        lab.take_response(PBX, status);
        lab.take_request(CARRIER_A, &Method::Cancel);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, status);
    }
}

#[test]
fn a_late_offer_of_a_caller_without_100rel_waits_for_the_2xx() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, None);
    assert!(!outgoing.lists_token(Header::Supported, "100rel"));
    // A callee that does it all the same is taken as if it had not.
    lab.receive(CARRIER_A, &reliable(&outgoing, 183, "callee", 5, Some(SDP_CARRIER)));
    assert!(lab.take_response(PBX, 183).body().is_empty());
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    assert!(lab.take_response(PBX, 200).has_body_type("application/sdp"));
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

/// A caller and a callee with `100rel` and UPDATE, after a 183 with the answer.
fn with_progress(lab: &mut Lab, allow: &str) -> (Message, Message, Message) {
    let (invite, outgoing) = begin_with(lab, &format!("Supported: 100rel\r\nAllow: {allow}"), Some(SDP_PBX));
    let progress = reliable(&outgoing, 183, "callee", 1, Some(SDP_CARRIER));
    lab.receive(CARRIER_A, &with_header(&progress, &format!("Allow: {allow}")));
    expect_prack(lab, "1 1 INVITE", "callee");
    let heard = take_reliable(lab, 183);
    (invite, outgoing, heard)
}

#[test]
fn an_offer_in_prack_goes_on_as_update_and_its_answer_comes_in_the_200() {
    let mut lab = Lab::new();
    let (invite, outgoing, heard) = with_progress(&mut lab, "INVITE, UPDATE");
    lab.receive(PBX, &prack(&invite, &heard, 2, Some(&SDP_PBX.replace("30000", "30002"))));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    assert!(text(&update).contains("c=IN IP4 203.0.113.5\r\n"));
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &update, 200, "callee", Some(SDP_CARRIER)));
    let accepted = lab.take_response(PBX, 200);
    assert_eq!(accepted.cseq().unwrap().method, Method::Prack);
    assert!(text(&accepted).contains("c=IN IP4 10.0.0.5\r\n"));
    assert!(format!("{:?}", lab.media.last()).contains("30002"), "{:?}", lab.media.last());
    lab.advance(Duration::from_secs(1));
    lab.expect_silence();
    let answer = answer(&mut lab, &invite, &outgoing, None);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn an_offer_in_prack_that_the_2xx_overtakes_leaves_the_session_timer_alone() {
    let mut lab = Lab::new();
    let lines = "Supported: 100rel, timer\r\nSession-Expires: 1800;refresher=uac";
    let (invite, outgoing) = begin_with(&mut lab, lines, Some(SDP_PBX));
    let progress = reliable(&outgoing, 183, "callee", 1, Some(SDP_CARRIER));
    lab.receive(CARRIER_A, &with_header(&progress, "Allow: INVITE, UPDATE"));
    expect_prack(&mut lab, "1 1 INVITE", "callee");
    let heard = take_reliable(&mut lab, 183);
    lab.receive(PBX, &prack(&invite, &heard, 2, Some(SDP_PBX)));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    let answer = answer(&mut lab, &invite, &outgoing, None);
    assert!(answer.header(Header::SessionExpires).is_some());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &update, 200, "callee", Some(SDP_CARRIER)));
    let accepted = lab.take_response(PBX, 200);
    assert!(accepted.has_body_type("application/sdp") && accepted.header(Header::SessionExpires).is_none());
    // The callee is refreshed by us. The caller has to do that itself still, and does not.
    lab.advance(Duration::from_secs(900));
    let refresh = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &refresh, 200, "callee", None));
    lab.expect_silence();
    lab.advance(Duration::from_secs(892));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().cause, "the caller's side did not refresh its session timer");
}

#[test]
fn an_offer_in_prack_that_nobody_can_be_asked_about_is_488_and_the_call_goes_on() {
    let mut lab = Lab::new();
    let (invite, outgoing, heard) = with_progress(&mut lab, "INVITE");
    lab.receive(PBX, &prack(&invite, &heard, 2, Some(SDP_PBX)));
    lab.take_response(PBX, 488);
    lab.advance(Duration::from_secs(40));
    lab.expect_silence();
    let answer = answer(&mut lab, &invite, &outgoing, None);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn offers_that_cross_in_prack_and_update_are_glare() {
    let mut lab = Lab::new();
    let (invite, outgoing, heard) = with_progress(&mut lab, "INVITE, UPDATE");
    lab.receive(PBX, &prack(&invite, &heard, 2, Some(SDP_PBX)));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Update, 1);
    lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
    lab.take_response(CARRIER_A, 491);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &update, 491, "callee", None));
    lab.take_response(PBX, 491);
    // And the other way round: the callee's offer is under way when a PRACK brings another.
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Update, 2);
    lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
    let carried = lab.take_request(PBX, &Method::Update);
    lab.receive(CARRIER_A, &reliable(&outgoing, 180, "callee", 2, None));
    expect_prack(&mut lab, "2 1 INVITE", "callee");
    assert!(lab.take_response(PBX, 180).header(Header::RSeq).is_none());
    lab.receive(PBX, &respond(PBX, &carried, 200, "from-1", Some(SDP_PBX)));
    assert!(lab.take_response(CARRIER_A, 200).has_body_type("application/sdp"));
    lab.receive(PBX, &cancel_of(&invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}

#[test]
fn the_relay_hears_of_both_sides_before_the_answer() {
    let mut lab = Lab::new();
    let (invite, _, heard) = with_progress(&mut lab, "INVITE");
    for side in [Side::A, Side::B] {
        let is_side = |command: &MediaCommand| matches!(command, MediaCommand::SetRemote { side: told, .. } if *told == side);
        assert_eq!(lab.media.iter().filter(|command| is_side(command)).count(), 1);
    }
    lab.receive(PBX, &prack(&invite, &heard, 2, None));
    lab.take_response(PBX, 200);
    // BYE of the caller ends an early dialog too (RFC 3261 §15.1.1).
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Bye, 3), None));
    lab.take_response(PBX, 200);
    lab.take_request(CARRIER_A, &Method::Cancel);
    lab.take_response(PBX, 487);
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().ended_by), (487, EndedBy::Caller));
}
