//! UPDATE (RFC 3311), before the answer and after.

use super::basic_calls::establish;
use super::lab::*;
use super::reliable::{begin_with, expect_prack, prack, reliable};
use super::setup::hang_up;
use crate::sip::{Header, Message, Method};

/// A call that rings, its SDP settled and acknowledged on both legs; who knows UPDATE is said.
pub(super) fn ringing(lab: &mut Lab, caller: &str, callee: &str) -> (Message, Message, Message) {
    let (invite, outgoing) = begin_with(lab, &format!("Supported: 100rel\r\nAllow: {caller}"), Some(SDP_PBX));
    let progress = reliable(&outgoing, 183, "callee", 1, Some(SDP_CARRIER));
    lab.receive(CARRIER_A, &with_header(&progress, &format!("Allow: {callee}")));
    expect_prack(lab, "1 1 INVITE", "callee");
    let heard = lab.take_response(PBX, 183);
    lab.receive(PBX, &prack(&invite, &heard, 2, None));
    lab.take_response(PBX, 200);
    (invite, outgoing, heard)
}

fn answer_and_hang_up(lab: &mut Lab, invite: &Message, outgoing: &Message) {
    lab.receive(CARRIER_A, &respond(CARRIER_A, outgoing, 200, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, invite, &answer, &Method::Ack, 1), None));
    lab.expect_silence();
    hang_up(lab, invite, &answer, 9);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn an_update_without_sdp_is_answered_on_its_own_leg() {
    let mut lab = Lab::new();
    let (invite, outgoing, heard) = ringing(&mut lab, "UPDATE", "UPDATE");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 3), None));
    assert!(lab.take_response(PBX, 200).contact().is_some());
    // It moves the callee's target.
    let moved = callee_request(CARRIER_A, &outgoing, "callee", &Method::Info, 1);
    let moved = Message::parse(text(&finish(moved, None)).replace("INFO", "UPDATE").into()).unwrap();
    lab.receive(CARRIER_A, &with_header(&moved, "Contact: <sip:moved@198.51.100.1>"));
    lab.take_response(CARRIER_A, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Info, 4), None));
    let info = lab.take_request(CARRIER_A, &Method::Info);
    assert_eq!(info.request_uri_raw(), b"sip:moved@198.51.100.1");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 200, "callee", None));
    lab.take_response(PBX, 200);
    answer_and_hang_up(&mut lab, &invite, &outgoing);
}

#[test]
fn an_offer_before_the_answer_is_carried_in_both_directions() {
    let mut lab = Lab::new();
    let (invite, outgoing, heard) = ringing(&mut lab, "UPDATE", "UPDATE");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 3), Some(SDP_PBX)));
    let carried = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(SDP_CARRIER)));
    assert!(text(&lab.take_response(PBX, 200)).contains("c=IN IP4 10.0.0.5\r\n"));
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Update, 1);
    lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
    let carried = lab.take_request(PBX, &Method::Update);
    lab.receive(PBX, &respond(PBX, &carried, 200, "from-1", Some(SDP_PBX)));
    assert!(text(&lab.take_response(CARRIER_A, 200)).contains("c=IN IP4 203.0.113.5\r\n"));
    answer_and_hang_up(&mut lab, &invite, &outgoing);
}

#[test]
fn one_offer_at_a_time_before_the_answer_too() {
    let mut lab = Lab::new();
    let (invite, outgoing, heard) = ringing(&mut lab, "UPDATE", "UPDATE");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 3), Some(SDP_PBX)));
    let carried = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 4), Some(SDP_PBX)));
    assert!(lab.take_response(PBX, 500).number(Header::RetryAfter).unwrap() <= 10);
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Update, 1);
    lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
    lab.take_response(CARRIER_A, 491);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 488, "callee", None));
    lab.take_response(PBX, 488);
    answer_and_hang_up(&mut lab, &invite, &outgoing);
}

#[test]
fn an_offer_to_a_side_without_update_waits_for_the_answer() {
    let mut lab = Lab::new();
    let (invite, outgoing, heard) = ringing(&mut lab, "INVITE", "INVITE");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 3), Some(SDP_PBX)));
    lab.take_response(PBX, 504);
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Update, 1);
    lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
    lab.take_response(CARRIER_A, 504);
    answer_and_hang_up(&mut lab, &invite, &outgoing);
}

#[test]
fn an_offer_while_the_invites_own_is_open_is_refused() {
    for (sdp, caller, callee) in [(Some(SDP_PBX), 500, 491), (None, 491, 491)] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel\r\nAllow: UPDATE", sdp);
        let ringing = respond(CARRIER_A, &outgoing, 180, "callee", None);
        lab.receive(CARRIER_A, &with_header(&ringing, "Allow: UPDATE"));
        let heard = lab.take_response(PBX, 180);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 2), Some(SDP_PBX)));
        lab.take_response(PBX, caller);
        let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Update, 1);
        lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
        lab.take_response(CARRIER_A, callee);
        lab.receive(PBX, &cancel_of(&invite));
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 487);
    }
}

#[test]
fn an_offer_to_an_answered_side_without_update_goes_as_reinvite() {
    for accepted in [true, false] {
        let mut lab = Lab::new();
        let (invite, answer, outgoing) = establish(&mut lab, "1");
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Update, 2), Some(SDP_PBX)));
        let carried = lab.take_request(CARRIER_A, &Method::Invite);
        // Meanwhile neither side may begin another.
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Update, 3), Some(SDP_PBX)));
        lab.take_response(PBX, 500);
        let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
        lab.receive(CARRIER_A, &finish(theirs, None));
        lab.take_response(CARRIER_A, 100);
        lab.take_response(CARRIER_A, 491);
        if accepted {
            lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(SDP_CARRIER)));
            lab.take_request(CARRIER_A, &Method::Ack);
            let updated = lab.take_response(PBX, 200);
            assert_eq!(updated.cseq().unwrap().method, Method::Update);
            assert!(text(&updated).contains("c=IN IP4 10.0.0.5\r\n"));
        } else {
            lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 488, "callee", None));
            lab.take_request(CARRIER_A, &Method::Ack);
            lab.take_response(PBX, 488);
        }
        // The answer to an UPDATE is not repeated, for it has no ACK.
        lab.advance(std::time::Duration::from_secs(40));
        lab.sent.retain(|(hop, _)| hop.peer.to_string() == PBX);
        lab.expect_silence();
        hang_up(&mut lab, &invite, &answer, 4);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}

#[test]
fn an_update_as_reinvite_ends_with_the_call() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Update, 2), Some(SDP_PBX)));
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 180, "callee", None));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 3), None));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}
