//! Glare (RFC 3261 §14.1): changes and refreshes of both sides at once, and changes without an end.

use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::session_timers::{Answered, ack_of, answer_of_pbx, answer_with, call, wait_for_message};
use crate::b2bua::EndedBy;
use crate::sip::{Message, Method, Status};

const SDP_HOLD: &str = "v=0\r\no=pbx 1 2 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
    m=audio 30002 RTP/AVP 0\r\na=sendonly\r\n";
const SDP_CARRIER_2: &str = "v=0\r\no=carrier 7 8 IN IP4 198.51.100.1\r\ns=c\r\nc=IN IP4 198.51.100.77\r\nt=0 0\r\n\
    m=audio 40002 RTP/AVP 0\r\n";
/// The SBC refreshes the leg of carrier A by re-INVITE every 100 s.
const REFRESHED: &str = "Require: timer\r\nSession-Expires: 200;refresher=uac\r\n";

fn expect_ended_by_caller(lab: &mut Lab, call: &Answered, sequence: u32) {
    lab.receive(PBX, &call.by_pbx(&Method::Bye, sequence, "", None));
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().ended_by), (200, EndedBy::Caller));
}

/// A call that carrier A refreshes by nothing, the SBC by re-INVITE, at the moment of the refresh.
fn at_the_refresh(lab: &mut Lab) -> (Answered, Message) {
    let call = call(lab, "", REFRESHED);
    lab.advance(Duration::from_secs(100));
    let refresh = lab.take_request(CARRIER_A, &Method::Invite);
    (call, refresh)
}

fn accept(lab: &mut Lab, request: &Message, sdp: &str) {
    lab.receive(CARRIER_A, &answer_with(request, 200, REFRESHED, Some(sdp)));
    lab.take_request(CARRIER_A, &Method::Ack);
}

#[test]
fn when_both_change_the_call_at_once_each_is_refused_once_and_both_get_through() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let call = Answered { invite, answer, outgoing };
    let (ours, theirs) = (
        call.by_pbx(&Method::Invite, 2, "", Some(SDP_HOLD)),
        call.by_carrier(&Method::Invite, 1, "", Some(SDP_CARRIER_2)),
    );
    lab.receive(PBX, &ours);
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &theirs);
    lab.take_response(CARRIER_A, 100);
    lab.take_response(CARRIER_A, 491);
    lab.receive(CARRIER_A, &ack_of(&theirs));
    lab.receive(CARRIER_A, &answer_with(&carried, 491, "", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 491);
    lab.receive(PBX, &ack_of(&ours));
    // We own the Call-ID of the carrier's leg, the PBX that of its own: the carrier waits for 0 to
    // 2 s, the PBX for 2.1 to 4 s.
    lab.advance(Duration::from_millis(1_990));
    lab.expect_silence();
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Invite, 2, "", Some(SDP_CARRIER_2)));
    lab.take_response(CARRIER_A, 100);
    let carried = lab.take_request(PBX, &Method::Invite);
    lab.receive(PBX, &answer_of_pbx(&carried, 200, "", Some(SDP_PBX)));
    lab.take_request(PBX, &Method::Ack);
    lab.take_response(CARRIER_A, 200);
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Ack, 2, "", None));
    lab.advance(Duration::from_millis(110));
    lab.expect_silence();
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 3, "", Some(SDP_HOLD)));
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &answer_with(&carried, 200, "", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 200);
    lab.receive(PBX, &call.by_pbx(&Method::Ack, 3, "", None));
    lab.expect_silence();
    expect_ended_by_caller(&mut lab, &call, 4);
}

#[test]
fn a_change_that_meets_our_refresh_is_refused_and_both_come_again() {
    let mut lab = Lab::new();
    let (call, refresh) = at_the_refresh(&mut lab);
    let theirs = call.by_carrier(&Method::Invite, 1, "", Some(SDP_CARRIER_2));
    lab.receive(CARRIER_A, &theirs);
    lab.take_response(CARRIER_A, 100);
    lab.take_response(CARRIER_A, 491);
    lab.receive(CARRIER_A, &ack_of(&theirs));
    lab.receive(CARRIER_A, &answer_with(&refresh, 491, "", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    // The carrier does not own the Call-ID, so its change comes first.
    lab.advance(Duration::from_secs(2));
    lab.expect_silence();
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Invite, 2, "", Some(SDP_CARRIER_2)));
    lab.take_response(CARRIER_A, 100);
    let carried = lab.take_request(PBX, &Method::Invite);
    // Meanwhile the refresh is due, and waits.
    lab.advance(Duration::from_secs(3));
    lab.sent.retain(|(hop, _)| hop.peer.to_string() == CARRIER_A);
    lab.expect_silence();
    lab.receive(PBX, &answer_of_pbx(&carried, 200, "", Some(SDP_PBX)));
    lab.take_request(PBX, &Method::Ack);
    lab.take_response(CARRIER_A, 200);
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Ack, 2, "", None));
    // The change was a refresh as well.
    lab.advance(Duration::from_secs(99));
    lab.expect_silence();
    lab.advance(Duration::from_secs(1));
    lab.take_request(CARRIER_A, &Method::Invite);
    expect_ended_by_caller(&mut lab, &call, 2);
}

#[test]
fn a_refresh_that_was_refused_for_glare_comes_again_by_the_rfcs_timers() {
    // The leg of the PBX: it owns the Call-ID, we wait for 0 to 2 s; of the other, for 2.1 to 4 s.
    let by_us = "Supported: timer\r\nSession-Expires: 200;refresher=uas\r\n";
    for seed in 0..20 {
        for (peer, asks, answers, from, to) in [
            (PBX, by_us, "Session-Expires: 3000;refresher=uas\r\n", 0, 2_000),
            (CARRIER_A, "", REFRESHED, 2_100, 4_000),
        ] {
            let mut lab = Lab::new();
            lab.engine.random = crate::base::Random::from_number(seed);
            let call = call(&mut lab, asks, answers);
            lab.advance(Duration::from_secs(100));
            let refresh = lab.take_request(peer, &Method::Invite);
            let tag = if peer == PBX { "from-1" } else { "callee" };
            lab.receive(peer, &respond(peer, &refresh, 491, tag, None));
            lab.take_request(peer, &Method::Ack);
            let mut waited = 0;
            while lab.sent.is_empty() {
                lab.advance(Duration::from_millis(10));
                waited += 10;
            }
            assert!((from..=to + 10).contains(&waited), "{peer}: {waited} ms");
            lab.take_request(peer, &Method::Invite);
            expect_ended_by_caller(&mut lab, &call, 2);
        }
    }
}

#[test]
fn a_change_of_the_other_side_waits_until_the_refresh_is_done() {
    for status in [200, 500, 491] {
        let mut lab = Lab::new();
        let (call, refresh) = at_the_refresh(&mut lab);
        lab.receive(PBX, &call.by_pbx(&Method::Invite, 2, "", Some(SDP_HOLD)));
        lab.take_response(PBX, 100);
        lab.expect_silence();
        if status == 200 {
            accept(&mut lab, &refresh, SDP_CARRIER);
        } else {
            lab.receive(CARRIER_A, &answer_with(&refresh, status, "", None));
            lab.take_request(CARRIER_A, &Method::Ack);
        }
        let carried = lab.take_request(CARRIER_A, &Method::Invite);
        assert!(text(&carried).contains("a=sendonly"));
        accept(&mut lab, &carried, SDP_CARRIER);
        lab.take_response(PBX, 200);
        lab.receive(PBX, &call.by_pbx(&Method::Ack, 2, "", None));
        lab.expect_silence();
        lab.advance(Duration::from_secs(100));
        lab.take_request(CARRIER_A, &Method::Invite);
        expect_ended_by_caller(&mut lab, &call, 3);
    }
}

#[test]
fn a_change_that_waits_for_a_refresh_ends_with_the_call() {
    for is_cancelled in [true, false] {
        let mut lab = Lab::new();
        let (call, refresh) = at_the_refresh(&mut lab);
        let change = call.by_pbx(&Method::Invite, 2, "", Some(SDP_HOLD));
        lab.receive(PBX, &change);
        lab.take_response(PBX, 100);
        if is_cancelled {
            lab.receive(PBX, &cancel_of(&change));
            lab.take_response(PBX, 200);
            lab.take_response(PBX, 487);
            accept(&mut lab, &refresh, SDP_CARRIER);
            lab.expect_silence();
            expect_ended_by_caller(&mut lab, &call, 3);
        } else {
            lab.receive(CARRIER_A, &answer_with(&refresh, 481, "", None));
            lab.take_request(CARRIER_A, &Method::Ack);
            lab.take_response(PBX, 487);
            lab.take_request(PBX, &Method::Bye);
            lab.expect_silence();
            lab.expect_nothing_left();
            assert_eq!(lab.cdr().ended_by, EndedBy::Sbc);
        }
    }
}

#[test]
fn a_refresh_waits_while_a_change_waits_for_the_far_ack() {
    let mut lab = Lab::new();
    // The carrier's change waits for an ACK of the PBX's that is lost for 30 s.
    let asks = "Supported: timer\r\nSession-Expires: 3000\r\n";
    let call = call(&mut lab, asks, "Session-Expires: 90;refresher=uac\r\n");
    lab.advance(Duration::from_secs(40));
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 2, asks, Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 200);
    let change = call.by_carrier(&Method::Invite, 1, "", Some(SDP_CARRIER_2));
    lab.receive(CARRIER_A, &change);
    lab.take_response(CARRIER_A, 100);
    lab.advance(Duration::from_secs(15));
    assert!(lab.sent.iter().all(|(hop, _)| hop.peer.to_string() == PBX));
    lab.sent.clear();
    lab.receive(PBX, &call.by_pbx(&Method::Ack, 2, "", None));
    let carried = lab.take_request(PBX, &Method::Invite);
    lab.receive(PBX, &answer_of_pbx(&carried, 488, "", None));
    lab.take_request(PBX, &Method::Ack);
    lab.take_response(CARRIER_A, 488);
    lab.receive(CARRIER_A, &ack_of(&change));
    wait_for_message(&mut lab, 3);
    lab.take_request(CARRIER_A, &Method::Invite);
    expect_ended_by_caller(&mut lab, &call, 3);
}

#[test]
fn an_offer_that_meets_our_refresh_is_refused_and_an_update_without_one_is_not() {
    let mut lab = Lab::new();
    let (call, refresh) = at_the_refresh(&mut lab);
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Update, 1, "", Some(SDP_CARRIER_2)));
    lab.take_response(CARRIER_A, 491);
    lab.receive(PBX, &call.by_pbx(&Method::Update, 2, "", Some(SDP_HOLD)));
    lab.take_response(PBX, 491);
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Update, 2, "", None));
    lab.take_response(CARRIER_A, 200);
    lab.receive(PBX, &call.by_pbx(&Method::Update, 3, "", None));
    lab.take_response(PBX, 200);
    accept(&mut lab, &refresh, SDP_CARRIER);
    lab.expect_silence();
    expect_ended_by_caller(&mut lab, &call, 4);
}

#[test]
fn a_refresh_by_update_stands_in_nobodys_way() {
    let mut lab = Lab::new();
    let call = call(&mut lab, "", &format!("Allow: UPDATE\r\n{REFRESHED}"));
    lab.advance(Duration::from_secs(100));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Invite, 1, "", Some(SDP_CARRIER_2)));
    lab.take_response(CARRIER_A, 100);
    let carried = lab.take_request(PBX, &Method::Invite);
    lab.receive(CARRIER_A, &answer_with(&update, 200, REFRESHED, None));
    lab.receive(PBX, &answer_of_pbx(&carried, 200, "", Some(SDP_PBX)));
    lab.take_request(PBX, &Method::Ack);
    lab.take_response(CARRIER_A, 200);
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Ack, 1, "", None));
    lab.expect_silence();
    expect_ended_by_caller(&mut lab, &call, 2);
}

#[test]
fn the_end_of_the_call_is_the_end_of_its_refresh() {
    for rang in [false, true] {
        let mut lab = Lab::new();
        let (call, refresh) = at_the_refresh(&mut lab);
        if rang {
            lab.receive(CARRIER_A, &answer_with(&refresh, 180, "", None));
            lab.expect_silence();
        }
        lab.receive(PBX, &call.by_pbx(&Method::Bye, 2, "", None));
        lab.sent.clear();
        // It was accepted all the same: the ACK is owed, a second BYE is not.
        lab.receive(CARRIER_A, &answer_with(&refresh, 200, REFRESHED, Some(SDP_CARRIER)));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.expect_silence();
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().ended_by, EndedBy::Caller);
    }
}

#[test]
fn a_change_that_only_rings_is_cancelled_in_the_end_and_the_call_goes_on() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let call = Answered { invite, answer, outgoing };
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 2, "", Some(SDP_HOLD)));
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &answer_with(&carried, 180, "", None));
    lab.advance(Duration::from_secs(184));
    lab.expect_silence();
    lab.advance(Duration::from_secs(1));
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &answer_with(&cancel, 200, "", None));
    lab.receive(CARRIER_A, &answer_with(&carried, 487, "", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    // 408 would end the caller's dialog (RFC 3261 §12.2.1.2); 487 ends the change alone.
    lab.take_response(PBX, 487);
    lab.receive(PBX, &call.by_pbx(&Method::Ack, 2, "", None));
    lab.expect_silence();
    assert!(lab.cdrs.is_empty());
    expect_ended_by_caller(&mut lab, &call, 3);
}

#[test]
fn a_change_that_even_a_cancel_does_not_end_ends_the_call() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let call = Answered { invite, answer, outgoing };
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 2, "", Some(SDP_HOLD)));
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &answer_with(&carried, 100, "", None));
    lab.advance(Duration::from_secs(185 + 32));
    let has = |status| lab.sent.iter().any(|(_, sent)| sent.status() == Status::new(status));
    assert!(has(408));
    lab.sent.retain(|(_, sent)| sent.method() == Some(&Method::Bye));
    lab.take_request(PBX, &Method::Bye);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Sbc);
}

#[test]
fn a_refresh_that_only_rings_is_cancelled_and_tried_again() {
    let mut settings = settings();
    settings.timeouts.answer = Duration::from_secs(20);
    let mut lab = Lab::with(settings);
    let (call, refresh) = at_the_refresh(&mut lab);
    lab.receive(CARRIER_A, &answer_with(&refresh, 180, "", None));
    lab.advance(Duration::from_secs(20));
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &answer_with(&cancel, 200, "", None));
    lab.receive(CARRIER_A, &answer_with(&refresh, 487, "", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_silence();
    // Half of the 80 s that are left.
    assert_eq!(wait_for_message(&mut lab, 80), 40);
    let again = lab.take_request(CARRIER_A, &Method::Invite);
    accept(&mut lab, &again, SDP_CARRIER);
    expect_ended_by_caller(&mut lab, &call, 2);
}
