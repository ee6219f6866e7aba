//! How a call comes to be answered: early media, late offers, lost ACKs, forks.

use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use crate::b2bua::EndedBy;
use crate::media::{MediaCommand, Side};
use crate::sip::{Message, Method};

/// A call from the PBX that carrier A has got.
pub fn begin(lab: &mut Lab, sdp: Option<&str>) -> (Message, Message) {
    let invite = invite(PBX, "+442079460000", "1", sdp);
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    (invite, lab.take_request(CARRIER_A, &Method::Invite))
}

/// BYE from the caller, and its answers.
pub fn hang_up(lab: &mut Lab, invite: &Message, answer: &Message, sequence: u32) {
    lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Bye, sequence), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
}

fn remotes(lab: &Lab, wanted: Side) -> usize {
    let is_wanted =
        |command: &&MediaCommand| matches!(command, MediaCommand::SetRemote { side, .. } if *side == wanted);
    lab.media.iter().filter(is_wanted).count()
}

#[test]
fn early_media_is_relayed_before_the_answer() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    assert!(lab.take_response(PBX, 180).body().is_empty());
    assert_eq!(remotes(&lab, Side::B), 0);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "callee", Some(SDP_CARRIER)));
    assert!(text(&lab.take_response(PBX, 183)).contains("c=IN IP4 10.0.0.5\r\n"));
    assert_eq!(remotes(&lab, Side::B), 1);
    // The answer was in the 183 already: some gateways do not repeat it.
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    assert!(text(&answer).contains("c=IN IP4 10.0.0.5\r\n"));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().codec.as_deref(), Some("PCMU"));
}

#[test]
fn the_answer_to_a_late_offer_goes_on_in_the_ack() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, None);
    assert!(outgoing.body().is_empty());
    let success = respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER));
    lab.receive(CARRIER_A, &success);
    let answer = lab.take_response(PBX, 200);
    assert!(text(&answer).contains("c=IN IP4 10.0.0.5\r\n"));
    lab.receive(CARRIER_A, &success);
    lab.expect_silence();
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), Some(SDP_PBX)));
    let ack = lab.take_request(CARRIER_A, &Method::Ack);
    assert!(text(&ack).contains("c=IN IP4 203.0.113.5\r\n"));
    lab.receive(CARRIER_A, &success);
    assert_eq!(lab.take_request(CARRIER_A, &Method::Ack).as_bytes(), ack.as_bytes());
    assert_eq!((remotes(&lab, Side::A), remotes(&lab, Side::B)), (1, 1));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn an_ack_without_the_answer_to_a_late_offer_ends_the_call() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, None);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.take_request(PBX, &Method::Bye);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Sbc);
}

#[test]
fn a_2xx_is_repeated_by_the_rfcs_schedule_and_given_up_after_32_seconds() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 200);
    let mut schedule = Vec::new();
    for half_second in 1..64 {
        lab.advance(Duration::from_millis(500));
        if !lab.sent.is_empty() {
            lab.take_response(PBX, 200);
            schedule.push(half_second);
        }
    }
    assert_eq!(schedule, [1, 3, 7, 15, 23, 31, 39, 47, 55, 63]);
    lab.advance(Duration::from_millis(500));
    lab.take_request(PBX, &Method::Bye);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().ended_by), (200, EndedBy::Sbc));
}

#[test]
fn a_repeated_2xx_gets_the_same_ack_again() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn the_2xx_of_another_branch_is_acked_and_ended() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let other = respond(CARRIER_A, &outgoing, 200, "branch-2", Some(SDP_CARRIER));
    lab.receive(CARRIER_A, &other);
    let ack = lab.take_request(CARRIER_A, &Method::Ack);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    assert_eq!((&to_tag(&ack)[..], &to_tag(&bye)[..]), ("branch-2", "branch-2"));
    lab.receive(CARRIER_A, &other);
    assert_eq!(lab.take_request(CARRIER_A, &Method::Ack).as_bytes(), ack.as_bytes());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "branch-2", None));
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_flood_of_branches_is_not_answered_for_ever() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    for branch in 0..100 {
        let tag = format!("branch-{branch}");
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, &tag, Some(SDP_CARRIER)));
    }
    assert!(lab.engine.census().transactions < 30);
    lab.sent.clear();
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_2xx_without_usable_sdp_is_acked_and_ended_and_the_caller_hears_of_it() {
    for sdp in [None, Some("v=0\r\nnonsense")] {
        let mut lab = Lab::new();
        let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", sdp));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.take_request(CARRIER_A, &Method::Bye);
        lab.take_response(PBX, 502);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 502);
    }
}

#[test]
fn an_update_before_the_answer_does_not_disturb_the_cseq_after_it() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let progress = respond(CARRIER_A, &outgoing, 183, "callee", Some(SDP_CARRIER));
    lab.receive(CARRIER_A, &with_header(&progress, "Allow: INVITE, UPDATE"));
    let early = lab.take_response(PBX, 183);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &early, &Method::Update, 2), Some(SDP_PBX)));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &update, 200, "callee", Some(SDP_CARRIER)));
    lab.take_response(PBX, 200);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 3), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    assert!(bye.cseq().unwrap().number > update.cseq().unwrap().number);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}
