//! Carriers that fork (RFC 3261 §12.1.2, §13.2.2.4): several early dialogs of leg B, one of leg A.

use super::lab::*;
use super::reliable::{begin_with, expect_prack, prack, reliable};
use super::setup::{begin, hang_up};
use crate::b2bua::early_dialogs::MAX_EARLY_DIALOGS;
use crate::media::MediaCommand;
use crate::sip::{Header, Message, Method};

/// The answers of two branches: one and the other address, and other codecs.
const SDP_ONE: &str = SDP_CARRIER;
const SDP_TWO: &str = "v=0\r\no=two 9 9 IN IP4 198.51.100.2\r\ns=c\r\nc=IN IP4 198.51.100.88\r\nt=0 0\r\n\
    m=audio 40002 RTP/AVP 8\r\n";

/// Where the relay was told last that the callee is.
#[track_caller]
fn callee_media(lab: &Lab) -> String {
    let told = lab.media.iter().rev().find_map(|command| match command {
        MediaCommand::SetRemote { side: crate::media::Side::B, remote, .. } => *remote,
        _ => None,
    });
    told.expect("a remote").rtp.to_string()
}

/// The caller ACKs, and hangs up at CSeq 9.
fn finish_call(lab: &mut Lab, invite: &Message, answer: &Message) {
    lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Ack, 1), None));
    lab.expect_silence();
    hang_up(lab, invite, answer, 9);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn each_branch_is_acknowledged_in_its_own_dialog_and_the_one_that_answers_wins() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let routed = |response: &Message, host: &str| {
        with_header(response, &format!("Record-Route: <sip:198.51.100.1;lr;branch={host}>"))
    };
    lab.receive(CARRIER_A, &routed(&reliable(&outgoing, 183, "one", 100, Some(SDP_ONE)), "one"));
    let first = expect_prack(&mut lab, "100 1 INVITE", "one");
    assert!(text(&first).contains("branch=one>"));
    let heard = lab.take_response(PBX, 183);
    assert_eq!(callee_media(&lab), "198.51.100.77:40000");
    lab.receive(CARRIER_A, &routed(&reliable(&outgoing, 183, "two", 7, Some(SDP_TWO)), "two"));
    let second = expect_prack(&mut lab, "7 1 INVITE", "two");
    assert!(text(&second).contains("branch=two>"));
    // Each dialog counts for itself, RSeq and CSeq.
    assert_eq!((first.cseq().unwrap().number, second.cseq().unwrap().number), (2, 2));
    assert_eq!(to_tag(&lab.take_response(PBX, 183)), to_tag(&heard));
    assert_eq!(callee_media(&lab), "198.51.100.88:40002");
    lab.receive(CARRIER_A, &reliable(&outgoing, 180, "one", 101, None));
    assert_eq!(expect_prack(&mut lab, "101 1 INVITE", "one").cseq().unwrap().number, 3);
    lab.take_response(PBX, 180);
    lab.receive(CARRIER_A, &reliable(&outgoing, 180, "two", 101, None));
    lab.expect_silence();
    // The first answers; media goes back to it, though its 2xx says no word of that.
    lab.receive(CARRIER_A, &routed(&respond(CARRIER_A, &outgoing, 200, "one", None), "one"));
    assert_eq!(to_tag(&lab.take_request(CARRIER_A, &Method::Ack)), "one");
    let answer = lab.take_response(PBX, 200);
    assert!(text(&answer).contains(" RTP/AVP 0 101\r\n"));
    assert_eq!(callee_media(&lab), "198.51.100.77:40000");
    // So does the second, too late.
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", None));
    assert_eq!(to_tag(&lab.take_request(CARRIER_A, &Method::Ack)), "two");
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    assert_eq!((&to_tag(&bye)[..], bye.cseq().unwrap().number), ("two", 4));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "two", None));
    finish_call(&mut lab, &invite, &answer);
}

#[test]
fn what_one_branch_still_sends_is_not_taken_for_the_others() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "one", Some(SDP_ONE)));
    lab.take_response(PBX, 183);
    lab.media.clear();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
    let told: Vec<Option<String>> = lab.media.iter().filter_map(remote_of_callee).collect();
    assert_eq!(told, [None, Some("198.51.100.88:40002".to_owned())]);
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    finish_call(&mut lab, &invite, &answer);
}

/// What a word to the relay says of the callee.
fn remote_of_callee(command: &MediaCommand) -> Option<Option<String>> {
    match command {
        MediaCommand::SetRemote { side: crate::media::Side::B, remote, .. } => {
            Some(remote.map(|remote| remote.rtp.to_string()))
        }
        _ => None,
    }
}

#[test]
fn a_plain_caller_sees_one_callee_where_two_gateways_ring_reliably_and_the_second_answers() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let mut heard = Vec::new();
    for (tag, rseq, sdp) in [("one", 100, SDP_ONE), ("two", 7, SDP_TWO)] {
        lab.receive(CARRIER_A, &reliable(&outgoing, 183, tag, rseq, Some(sdp)));
        expect_prack(&mut lab, &format!("{rseq} 1 INVITE"), tag);
        let ringing = lab.take_response(PBX, 183);
        assert!(ringing.header(Header::Require).is_none() && ringing.header(Header::RSeq).is_none());
        heard.push((to_tag(&ringing), opened_ports(&lab)));
    }
    assert_eq!(heard[0], heard[1], "one tag and one port, whoever rings");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", None));
    assert_eq!(to_tag(&lab.take_request(CARRIER_A, &Method::Ack)), "two");
    let answer = lab.take_response(PBX, 200);
    assert!(text(&answer).contains(" RTP/AVP 8\r\n"), "the 200 repeats what the second said");
    assert_eq!(callee_media(&lab), "198.51.100.88:40002");
    finish_call(&mut lab, &invite, &answer);
}

#[test]
fn a_caller_without_100rel_learns_the_winners_answer_in_the_2xx() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "one", Some(SDP_ONE)));
    assert!(text(&lab.take_response(PBX, 183)).contains(" RTP/AVP 0 101\r\n"));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    assert!(text(&answer).contains(" RTP/AVP 8\r\n"));
    finish_call(&mut lab, &invite, &answer);
}

#[test]
fn a_caller_that_was_told_another_answer_reliably_is_offered_the_winners() {
    for accepts in [true, false] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel", Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "one", Some(SDP_ONE)));
        let heard = lab.take_response(PBX, 183);
        lab.receive(PBX, &prack(&invite, &heard, 2, None));
        lab.take_response(PBX, 200);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        assert!(answer.body().is_empty());
        assert_eq!(callee_media(&lab), "198.51.100.88:40002");
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
        let offer = lab.take_request(PBX, &Method::Invite);
        let (before, after) = (text(&heard), text(&offer));
        assert!(after.contains(" RTP/AVP 8\r\n") && after.contains("c=IN IP4 10.0.0.5\r\n"), "{after}");
        assert_eq!(origin_version(&after), origin_version(&before) + 1);
        // Nobody changes anything meanwhile.
        let theirs = callee_request(CARRIER_A, &outgoing, "two", &Method::Invite, 1);
        lab.receive(CARRIER_A, &finish(theirs, Some(SDP_TWO)));
        lab.take_response(CARRIER_A, 100);
        lab.take_response(CARRIER_A, 500);
        if accepts {
            let moved = SDP_PBX.replace("30000", "30004");
            lab.receive(PBX, &respond(PBX, &offer, 200, "from-1", Some(&moved)));
            assert!(format!("{:?}", lab.media.last()).contains("30004"));
        } else {
            lab.receive(PBX, &respond(PBX, &offer, 488, "from-1", None));
        }
        lab.take_request(PBX, &Method::Ack);
        lab.expect_silence();
        hang_up(&mut lab, &invite, &answer, 9);
        lab.expect_silence();
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}

fn origin_version(message: &str) -> u64 {
    let origin = message.lines().find(|line| line.starts_with("o=")).expect("an origin");
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn the_callee_hears_nothing_of_what_the_caller_answered_to_that() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel", Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "one", Some(SDP_ONE)));
    let heard = lab.take_response(PBX, 183);
    lab.receive(PBX, &prack(&invite, &heard, 2, None));
    lab.take_response(PBX, 200);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    let offer = lab.take_request(PBX, &Method::Invite);
    let narrowed = SDP_PBX.replace("AVP 0 101", "AVP 8");
    lab.receive(PBX, &respond(PBX, &offer, 200, "from-1", Some(&narrowed)));
    lab.take_request(PBX, &Method::Ack);
    lab.expect_silence();
    // So that the next description is the second that it gets (RFC 3264 §8).
    let reinvite = caller_request(PBX, &invite, &answer, &Method::Invite, 3);
    lab.receive(PBX, &finish(reinvite, Some(&narrowed.replace("AVP 8", "AVP 8\r\na=sendonly"))));
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(origin_version(&text(&carried)), origin_version(&text(&outgoing)) + 1);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 488, "two", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 488);
    hang_up(&mut lab, &invite, &answer, 9);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_call_that_ends_while_the_caller_is_told_leaves_nothing() {
    for rings in [true, false] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel", Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "one", Some(SDP_ONE)));
        let heard = lab.take_response(PBX, 183);
        lab.receive(PBX, &prack(&invite, &heard, 2, None));
        lab.take_response(PBX, 200);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
        let offer = lab.take_request(PBX, &Method::Invite);
        if rings {
            lab.receive(PBX, &respond(PBX, &offer, 180, "from-1", None));
        }
        hang_up(&mut lab, &invite, &answer, 9);
        lab.sent.clear();
        // It is accepted all the same: the ACK is owed, a BYE is not.
        lab.receive(PBX, &respond(PBX, &offer, 200, "from-1", Some(SDP_PBX)));
        lab.take_request(PBX, &Method::Ack);
        lab.expect_silence();
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}

#[test]
fn the_2xx_of_the_other_branch_waits_for_the_prack_too() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Require: 100rel", Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "one", Some(SDP_ONE)));
    let heard = lab.take_response(PBX, 183);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_ONE)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_silence();
    lab.receive(PBX, &prack(&invite, &heard, 2, None));
    lab.take_response(PBX, 200);
    let answer = lab.take_response(PBX, 200);
    // Its answer reads the same on the caller's side, so that there is nothing to tell.
    finish_call(&mut lab, &invite, &answer);
}

#[test]
fn requests_find_their_early_dialog_and_after_the_answer_only_the_winners() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    for tag in ["one", "two"] {
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, tag, None));
        lab.take_response(PBX, 180);
    }
    let mut heard = None;
    for (tag, sequence) in [("one", 5), ("two", 3), ("one", 6)] {
        let update = callee_request(CARRIER_A, &outgoing, tag, &Method::Update, sequence);
        lab.receive(CARRIER_A, &finish(update, None));
        assert_eq!(to_tag(&lab.take_response(CARRIER_A, 200)), to_tag(&outgoing_answer(&outgoing)));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, tag, None));
        heard = Some(lab.take_response(PBX, 180));
    }
    let stranger = callee_request(CARRIER_A, &outgoing, "three", &Method::Update, 1);
    lab.receive(CARRIER_A, &finish(stranger, None));
    lab.take_response(CARRIER_A, 481);
    // What the caller asks goes to the one that spoke last.
    let heard = heard.unwrap();
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Info, 2), None));
    let info = lab.take_request(CARRIER_A, &Method::Info);
    assert_eq!(to_tag(&info), "one");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 200, "one", None));
    lab.take_response(PBX, 200);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    let gone = callee_request(CARRIER_A, &outgoing, "one", &Method::Update, 7);
    lab.receive(CARRIER_A, &finish(gone, None));
    lab.take_response(CARRIER_A, 481);
    finish_call(&mut lab, &invite, &answer);
}

/// To of what the callee's requests are answered with: our own tag.
fn outgoing_answer(outgoing: &Message) -> Message {
    let from = outgoing.header(Header::From).unwrap().to_vec();
    let to = String::from_utf8(from).unwrap();
    with_header(&finish(request(CARRIER_A, &Method::Info, "sip:x@y", "z", 1), None), &format!("To: {to}"))
}

#[test]
fn what_was_asked_in_a_branch_that_lost_is_asked_again() {
    for late in [200, 481, 408] {
        let mut lab = Lab::new();
        let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "one", None));
        let heard = lab.take_response(PBX, 180);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Info, 2), None));
        let info = lab.take_request(CARRIER_A, &Method::Info);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
        lab.take_request(CARRIER_A, &Method::Ack);
        assert!(lab.take_response(PBX, 500).header(Header::RetryAfter).is_some());
        let answer = lab.take_response(PBX, 200);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &info, late, "one", None));
        finish_call(&mut lab, &invite, &answer);
    }
}

#[test]
fn a_branch_that_is_gone_does_not_end_the_call() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "one", None));
    let heard = lab.take_response(PBX, 180);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Info, 2), None));
    let info = lab.take_request(CARRIER_A, &Method::Info);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 481, "one", None));
    lab.take_response(PBX, 481);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Info, 3), None));
    lab.advance(std::time::Duration::from_secs(32));
    lab.sent.retain(|(_, sent)| sent.status().is_some());
    // No 408 to an INFO (RFC 4320 §4.2).
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    finish_call(&mut lab, &invite, &answer);
}

#[test]
fn one_branch_too_many_is_not_heard_until_it_answers() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    for branch in 0..MAX_EARLY_DIALOGS {
        lab.receive(CARRIER_A, &reliable(&outgoing, 180, &format!("branch-{branch}"), 1, None));
        expect_prack(&mut lab, "1 1 INVITE", &format!("branch-{branch}"));
        lab.take_response(PBX, 180);
    }
    lab.receive(CARRIER_A, &reliable(&outgoing, 183, "another", 1, Some(SDP_ONE)));
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "another", Some(SDP_ONE)));
    assert_eq!(to_tag(&lab.take_request(CARRIER_A, &Method::Ack)), "another");
    let answer = lab.take_response(PBX, 200);
    finish_call(&mut lab, &invite, &answer);
}

#[test]
fn of_two_branches_with_offers_the_first_is_answered() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel", None);
    lab.receive(CARRIER_A, &reliable(&outgoing, 183, "one", 1, Some(SDP_ONE)));
    let offer = lab.take_response(PBX, 183);
    lab.receive(CARRIER_A, &reliable(&outgoing, 183, "two", 1, Some(SDP_TWO)));
    lab.expect_silence();
    lab.receive(PBX, &prack(&invite, &offer, 2, Some(SDP_PBX)));
    lab.take_response(PBX, 200);
    assert!(!expect_prack(&mut lab, "1 1 INVITE", "one").body().is_empty());
    // It cannot take the call: the caller has no second answer.
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "two", Some(SDP_TWO)));
    assert_eq!(to_tag(&lab.take_request(CARRIER_A, &Method::Ack)), "two");
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.take_response(PBX, 502);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 502);
}

#[test]
fn an_offer_under_way_is_not_answered_by_the_2xx() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let progress = respond(CARRIER_A, &outgoing, 183, "one", Some(SDP_ONE));
    lab.receive(CARRIER_A, &with_header(&progress, "Allow: UPDATE"));
    let heard = lab.take_response(PBX, 183);
    let moved = SDP_PBX.replace("30000", "30008");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 2), Some(&moved)));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "one", Some(SDP_ONE)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    let is_moved = |lab: &Lab| format!("{:?}", lab.media).contains("30008");
    assert!(!is_moved(&lab));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &update, 200, "one", Some(SDP_ONE)));
    assert!(lab.take_response(PBX, 200).has_body_type("application/sdp"));
    assert!(is_moved(&lab));
    finish_call(&mut lab, &invite, &answer);
}

#[test]
fn a_branch_that_answers_otherwise_in_its_2xx_is_heard_by_the_caller() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin_with(&mut lab, "Supported: 100rel", Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "one", Some(SDP_ONE)));
    let heard = lab.take_response(PBX, 183);
    lab.receive(PBX, &prack(&invite, &heard, 2, None));
    lab.take_response(PBX, 200);
    // An announcement first, the callee then: other codecs.
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "one", Some(SDP_TWO)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    let offer = lab.take_request(PBX, &Method::Invite);
    assert!(text(&offer).contains(" RTP/AVP 8\r\n"));
    lab.receive(PBX, &respond(PBX, &offer, 200, "from-1", Some(SDP_PBX)));
    lab.take_request(PBX, &Method::Ack);
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 9);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_cancel_ends_every_branch() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    for tag in ["one", "two"] {
        lab.receive(CARRIER_A, &reliable(&outgoing, 183, tag, 1, Some(SDP_ONE)));
        expect_prack(&mut lab, "1 1 INVITE", tag);
        lab.take_response(PBX, 183);
    }
    lab.receive(PBX, &cancel_of(&invite));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "one", None));
    // What still comes is nobody's any more.
    lab.receive(CARRIER_A, &reliable(&outgoing, 183, "two", 2, None));
    lab.expect_silence();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "one", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}
