//! Changes of a call in progress: one at a time, in force with the answer, never left unanswered.

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::media::MediaCommand;
use crate::sip::{Header, Message, Method, Status};

const SDP_HOLD: &str = "v=0\r\no=pbx 1 2 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
    m=audio 30002 RTP/AVP 0\r\na=sendonly\r\n";
const SDP_TWO_STREAMS: &str = "v=0\r\no=pbx 1 3 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0\r\nm=video 30010 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";

/// A call and a re-INVITE of the caller's on its way to the callee.
fn with_reinvite(lab: &mut Lab, sdp: &str) -> (Message, Message, Message, Message) {
    let (invite, answer, _) = establish(lab, "1");
    let reinvite = finish(caller_request(PBX, &invite, &answer, &Method::Invite, 2), Some(sdp));
    lab.receive(PBX, &reinvite);
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    (invite, answer, reinvite, carried)
}

fn changes(lab: &Lab) -> usize {
    let is_change = |command: &&MediaCommand| {
        matches!(command, MediaCommand::SetRemote { .. } | MediaCommand::SetHold { .. })
    };
    lab.media.iter().filter(is_change).count()
}

fn ack(lab: &mut Lab, invite: &Message, answer: &Message, sequence: u32) {
    lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Ack, sequence), None));
}

#[test]
fn hold_comes_into_force_with_the_answer() {
    let mut lab = Lab::new();
    let (invite, answer, _, carried) = with_reinvite(&mut lab, SDP_HOLD);
    assert!(text(&carried).contains("a=sendonly"));
    assert_eq!(changes(&lab), 2);
    let accepted = SDP_CARRIER.replace("a=rtpmap", "a=recvonly\r\na=rtpmap");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(&accepted)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 200);
    assert!(changes(&lab) > 2);
    assert!(lab.media.iter().any(|command| matches!(command, MediaCommand::SetHold { held: true, .. })));
    ack(&mut lab, &invite, &answer, 2);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_refused_change_leaves_the_media_as_it_was() {
    let mut lab = Lab::new();
    let (invite, answer, _, carried) = with_reinvite(&mut lab, SDP_HOLD);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 488, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 488);
    assert_eq!(changes(&lab), 2);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_failed_info_leaves_the_offer_under_way_alone() {
    let mut lab = Lab::new();
    let (invite, answer, _, carried) = with_reinvite(&mut lab, SDP_HOLD);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Info, 3), None));
    let info = lab.take_request(CARRIER_A, &Method::Info);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 415, "callee", None));
    lab.take_response(PBX, 415);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 200);
    assert!(changes(&lab) > 2, "the caller's new address was forgotten");
    ack(&mut lab, &invite, &answer, 2);
    hang_up(&mut lab, &invite, &answer, 4);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn bye_during_a_reinvite_ends_everything() {
    for by_caller in [true, false] {
        for rang in [true, false] {
            let mut lab = Lab::new();
            let (invite, answer, outgoing) = establish(&mut lab, "1");
            let reinvite = caller_request(PBX, &invite, &answer, &Method::Invite, 2);
            lab.receive(PBX, &finish(reinvite, Some(SDP_HOLD)));
            lab.take_response(PBX, 100);
            let carried = lab.take_request(CARRIER_A, &Method::Invite);
            if rang {
                lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 180, "callee", None));
            }
            if by_caller {
                lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 3), None));
            } else {
                let bye = callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1);
                lab.receive(CARRIER_A, &finish(bye, None));
            }
            let statuses: Vec<_> =
                lab.sent.iter().filter_map(|(_, sent)| sent.status().map(Status::code)).collect();
            assert!(statuses.contains(&200) && statuses.contains(&487), "{statuses:?}");
            // It is accepted all the same: the ACK is owed, a second BYE is not.
            lab.sent.clear();
            lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(SDP_CARRIER)));
            lab.take_request(CARRIER_A, &Method::Ack);
            lab.expect_silence();
            lab.expect_nothing_left();
            assert_eq!(lab.cdr().status, 200);
        }
    }
}

#[test]
fn a_reinvite_that_rang_and_is_never_answered_does_not_outlive_the_call() {
    let mut lab = Lab::new();
    let (invite, answer, _, carried) = with_reinvite(&mut lab, SDP_HOLD);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 180, "callee", None));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 3), None));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_reinvite_can_be_cancelled() {
    let mut lab = Lab::new();
    let (invite, answer, reinvite, carried) = with_reinvite(&mut lab, SDP_HOLD);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 180, "callee", None));
    lab.receive(PBX, &cancel_of(&reinvite));
    lab.take_response(PBX, 200);
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 487);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn both_sides_at_once_is_glare() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Invite, 2), Some(SDP_HOLD)));
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
    lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
    lab.take_response(CARRIER_A, 100);
    lab.take_response(CARRIER_A, 491);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 491, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 491);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_second_reinvite_has_to_wait() {
    let mut lab = Lab::new();
    let (invite, answer, _, carried) = with_reinvite(&mut lab, SDP_HOLD);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Invite, 3), Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    assert!(lab.take_response(PBX, 500).header(Header::RetryAfter).is_some());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 488, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 488);
    hang_up(&mut lab, &invite, &answer, 4);
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_reinvite_before_the_far_ack_waits_for_it() {
    for is_cancelled in [false, true] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
        let theirs = finish(theirs, Some(SDP_CARRIER));
        lab.receive(CARRIER_A, &theirs);
        lab.take_response(CARRIER_A, 100);
        lab.expect_silence();
        if is_cancelled {
            lab.receive(CARRIER_A, &cancel_of(&theirs));
            lab.take_response(CARRIER_A, 200);
            lab.take_response(CARRIER_A, 487);
            ack(&mut lab, &invite, &answer, 1);
            lab.expect_silence();
        } else {
            ack(&mut lab, &invite, &answer, 1);
            let carried = lab.take_request(PBX, &Method::Invite);
            lab.receive(PBX, &respond(PBX, &carried, 488, "x", None));
            lab.take_request(PBX, &Method::Ack);
            lab.take_response(CARRIER_A, 488);
        }
        hang_up(&mut lab, &invite, &answer, 2);
        lab.sent.clear();
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}

#[test]
fn a_change_that_waits_for_ports_is_answered_whatever_happens() {
    for end in ["bye", "cancel", "opened", "another", "refused"] {
        let mut lab = Lab::new();
        let (invite, answer, _) = establish(&mut lab, "1");
        lab.holds_opens = true;
        let offer = caller_request(PBX, &invite, &answer, &Method::Invite, 2);
        let reinvite = finish(offer, Some(SDP_TWO_STREAMS));
        lab.receive(PBX, &reinvite);
        lab.take_response(PBX, 100);
        lab.expect_silence();
        match end {
            "bye" => {}
            "cancel" => {
                lab.receive(PBX, &cancel_of(&reinvite));
                lab.take_response(PBX, 200);
                lab.take_response(PBX, 487);
                lab.open_held();
                lab.expect_silence();
            }
            "another" => {
                let update = caller_request(PBX, &invite, &answer, &Method::Update, 3);
                lab.receive(PBX, &finish(update, Some(SDP_TWO_STREAMS)));
                lab.take_response(PBX, 491);
            }
            "opened" => {
                lab.open_held();
                let carried = lab.take_request(CARRIER_A, &Method::Invite);
                assert_eq!(text(&carried).matches("\r\nm=").count(), 2);
                lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 488, "callee", None));
                lab.take_request(CARRIER_A, &Method::Ack);
                lab.take_response(PBX, 488);
            }
            _ => {
                lab.failing_opens = 100;
                lab.open_held();
                lab.take_response(PBX, 503);
            }
        }
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 4), None));
        lab.take_response(PBX, 200);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200, "{end}");
    }
}

#[test]
fn an_unusable_answer_to_a_change_ends_the_call_and_is_told() {
    let mut lab = Lab::new();
    let (.., carried) = with_reinvite(&mut lab, SDP_HOLD);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 500);
    lab.take_request(PBX, &Method::Bye);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn an_update_changes_the_media_and_one_without_an_answer_blocks_nothing() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let refresh = callee_request(CARRIER_A, &outgoing, "callee", &Method::Update, 1);
    lab.receive(CARRIER_A, &finish(refresh.header(Header::Allow, "UPDATE"), None));
    lab.take_response(CARRIER_A, 200);
    for (sequence, sdp) in [(2, None), (3, Some(SDP_CARRIER)), (4, Some(SDP_CARRIER))] {
        let update = caller_request(PBX, &invite, &answer, &Method::Update, sequence);
        lab.receive(PBX, &finish(update, Some(SDP_HOLD)));
        let carried = lab.take_request(CARRIER_A, &Method::Update);
        // Meanwhile the callee may not offer (RFC 3311 §5.2), neither so nor so.
        let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Update, sequence * 2);
        lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
        lab.take_response(CARRIER_A, 491);
        let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, sequence * 2 + 1);
        lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
        lab.take_response(CARRIER_A, 100);
        lab.take_response(CARRIER_A, 491);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", sdp));
        assert_eq!(lab.take_response(PBX, 200).body().is_empty(), sdp.is_none());
    }
    lab.sent.clear();
    hang_up(&mut lab, &invite, &answer, 5);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}
