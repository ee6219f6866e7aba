//! What somebody could gain, learn or keep alive by REFER, and what must not be lost on the way.

use std::sync::Arc;
use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::session_timers::{answer_with, call};
use super::setup::hang_up;
use super::transfer::{refer, replaces, transferring};
use super::transfer_consumed::{
    SDP_TARGET, TARGET, answer_errand, audio_port, bye_of_transferor, consuming, target_hangs_up, told,
    with_errand,
};
use crate::b2bua::{Event, Input};
use crate::routing::{Credentials, Refer};
use crate::sip::{Header, Message, Method};

fn by_carrier(outgoing: &Message, tag: &str, method: &Method, sequence: u32) -> Message {
    finish(callee_request(CARRIER_A, outgoing, tag, method, sequence), None)
}

#[test]
fn who_is_called_by_a_second_transfer_sees_the_party_of_the_first() {
    let mut settings = consuming();
    settings.routing.trunks[1].refer = Refer::Consume;
    settings.routing.routes[1].tiers = vec![vec!["carrier-b".into()]];
    let mut lab = Lab::with(settings);
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    answer_errand(&mut lab, &outgoing, &errand);
    told(&mut lab);
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    // The callee of the first call transfers whom it was connected with.
    let again = callee_request(CARRIER_A, &outgoing, "callee", &Method::Refer, 1);
    lab.receive(CARRIER_A, &finish(again.header(Header::ReferTo, "<sip:+14155550199@h>"), None));
    lab.take_response(CARRIER_A, 202);
    let third = lab.take_request(CARRIER_B, &Method::Invite);
    assert!(text(&third).contains("From: <sip:+14155550123@carrier-b.example>"), "{}", text(&third));
    lab.input(Input::Shutdown);
    lab.sent.clear();
    lab.expect_nothing_left();
    // The record still says who called whom at first.
    assert_eq!(lab.cdr().from_e164.as_deref(), Some("+14155550100"));
    assert_eq!(lab.cdr().to_e164.as_deref(), Some("+442079460000"));
}

#[test]
fn who_may_call_no_more_may_not_transfer_to_a_new_call_either() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, _) = establish(&mut lab, "1");
    let mut narrower = consuming();
    narrower.admission.allow.trusted.clear();
    narrower.routing.trunks.remove(0);
    narrower.routing.routes.truncate(1);
    lab.input(Input::Settings(Arc::new(narrower)));
    lab.receive(PBX, &refer(&invite, &answer, 2, TARGET));
    lab.take_response(PBX, 403);
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn a_configuration_that_changes_in_the_middle_changes_no_transfer() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    let mut changed = consuming();
    changed.routing.trunks.truncate(1);
    changed.routing.routes.clear();
    lab.input(Input::Settings(Arc::new(changed)));
    answer_errand(&mut lab, &outgoing, &errand);
    assert_eq!(told(&mut lab), ("SIP/2.0 200 OK".to_owned(), true));
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    target_hangs_up(&mut lab, &errand, &outgoing);
}

#[test]
fn a_refer_to_a_side_that_is_not_there_leaves_the_call_of_its_sender() {
    let mut settings = consuming();
    settings.routing.trunks[1].refer = Refer::Relay;
    let mut lab = Lab::with(settings);
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    // 481 would say that there is no such call (RFC 5057 §5.1).
    let refer_to = "<sip:+14155550124@h>";
    let refer = callee_request(CARRIER_A, &outgoing, "callee", &Method::Refer, 1);
    lab.receive(CARRIER_A, &finish(refer.header(Header::ReferTo, refer_to), None));
    lab.take_response(CARRIER_A, 491);
    lab.expect_silence();
    answer_errand(&mut lab, &outgoing, &errand);
    target_hangs_up(&mut lab, &errand, &outgoing);
}

#[test]
fn what_a_transferor_that_hangs_up_owes_the_other_does_not_end_the_transfer() {
    for status in [481, 200, 0] {
        let mut lab = Lab::with(consuming());
        let (invite, answer, outgoing, errand) = with_errand(&mut lab);
        let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
        lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
        lab.take_response(CARRIER_A, 100);
        let carried = lab.take_request(PBX, &Method::Invite);
        bye_of_transferor(&mut lab, &invite, &answer, 3);
        let refused = lab.take_response(CARRIER_A, 487);
        assert_eq!(refused.cseq().unwrap().number, 1);
        let ack = callee_request(CARRIER_A, &outgoing, "callee", &Method::Ack, 1);
        lab.receive(CARRIER_A, &finish(ack, None));
        match status {
            0 => {}
            _ => {
                let sdp = (status == 200).then_some(SDP_PBX);
                let late = text(&respond(PBX, &carried, status, "from-1", sdp));
                lab.receive_bytes(PBX, late.replace("<sip:callee@", "<sip:desk@").into_bytes());
                lab.take_request(PBX, &Method::Ack);
            }
        }
        lab.sent.clear();
        answer_errand(&mut lab, &outgoing, &errand);
        assert_eq!(lab.cdrs.len(), 0);
        target_hangs_up(&mut lab, &errand, &outgoing);
        assert_eq!(lab.cdr().transfers[0].status, 200);
    }
}

#[test]
fn what_a_transferor_asked_before_it_hung_up_does_not_hold_the_transfer_up() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    let held = finish(caller_request(PBX, &invite, &answer, &Method::Invite, 3), Some(SDP_PBX));
    lab.receive(PBX, &held);
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 4), None));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_silence();
    answer_errand(&mut lab, &outgoing, &errand);
    target_hangs_up(&mut lab, &errand, &outgoing);
}

#[test]
fn a_refresh_that_crosses_the_transferors_bye_does_not_end_the_transfer() {
    let mut lab = Lab::with(consuming());
    let timer = "Supported: timer\r\nSession-Expires: 1800;refresher=uas\r\nAllow: UPDATE\r\n";
    let answered = call(&mut lab, timer, "");
    lab.advance(Duration::from_millis(899_900));
    lab.receive(PBX, &refer(&answered.invite, &answered.answer, 2, TARGET));
    lab.take_response(PBX, 202);
    told(&mut lab);
    let errand = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 180, "target", None));
    told(&mut lab);
    lab.advance(Duration::from_millis(200));
    let others = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(others.call_id(), answered.outgoing.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &others, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let refresh = lab.take_request(PBX, &Method::Update);
    bye_of_transferor(&mut lab, &answered.invite, &answered.answer, 3);
    lab.receive(PBX, &respond(PBX, &refresh, 481, "from-1", None));
    lab.sent.clear();
    assert_eq!(lab.cdrs.len(), 0);
    answer_errand(&mut lab, &answered.outgoing, &errand);
    target_hangs_up(&mut lab, &errand, &answered.outgoing);
}

#[test]
fn a_leg_that_changed_calls_is_refreshed_when_it_was_to_be() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let second_invite = super::lab::invite(PBX, "+442079460000", "2", Some(SDP_PBX));
    lab.receive(PBX, &second_invite);
    lab.take_response(PBX, 100);
    let second_outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    let lines = "Require: timer\r\nSession-Expires: 1800;refresher=uac\r\nAllow: UPDATE\r\n";
    lab.receive(CARRIER_A, &answer_with(&second_outgoing, 200, lines, Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let second_answer = lab.take_response(PBX, 200);
    let ack = caller_request(PBX, &second_invite, &second_answer, &Method::Ack, 1);
    lab.receive(PBX, &finish(ack, None));
    lab.advance(Duration::from_secs(890));
    // The call that is transferred is refreshed meanwhile as its peer wants it; it says nothing here.
    lab.sent.clear();
    let refer_to = format!("<sip:+442079460000@10.0.0.5?{}>", replaces(&second_invite, &second_answer));
    lab.receive(PBX, &refer(&invite, &answer, 2, &refer_to));
    lab.take_response(PBX, 202);
    told(&mut lab);
    told(&mut lab);
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(reinvite.call_id(), outgoing.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 488, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    let bye = lab.take_request(PBX, &Method::Bye);
    lab.receive(PBX, &respond(PBX, &bye, 200, "x", None));
    lab.advance(Duration::from_secs(11));
    let refresh = lab.sent.iter().find(|(_, sent)| sent.call_id() == second_outgoing.call_id());
    assert!(refresh.is_some_and(|(_, sent)| sent.method() == Some(&Method::Update)), "{:?}", lab.sent);
    lab.input(Input::Shutdown);
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn a_refer_has_one_refer_to() {
    for mode in [Refer::Relay, Refer::Consume] {
        let mut lab = Lab::with(transferring(mode));
        let (invite, answer, _) = establish(&mut lab, "1");
        let two = refer(&invite, &answer, 2, TARGET);
        lab.receive(PBX, &with_header(&two, "Refer-To: <sip:+14155550124@10.0.0.5>"));
        lab.take_response(PBX, 400);
        lab.receive(PBX, &refer(&invite, &answer, 3, "<sip:4155550123@h>, <sip:4155550124@h>"));
        lab.take_response(PBX, 400);
        lab.expect_silence();
        hang_up(&mut lab, &invite, &answer, 4);
        lab.expect_nothing_left();
    }
}

#[test]
fn nothing_of_a_refer_crosses_but_the_number() {
    let headers = "?Subject=Secret&X-Secret=1&Accept-Contact=Secret&Require=Secret&body=Secret&Route=%3Csip:10.0.0.9%3E";
    for (refer_to, crosses) in [
        (format!("\"Secret\" <sip:+14155550123;Secret=1:Secret@10.0.0.9;lr;Secret{headers}>;Secret"), true),
        (format!("<sip:4155550123@10.0.0.9{headers}>"), true),
        // Nothing can be written into our message by an escape.
        ("<sip:boss%0D%0AX-Evil:%20Secret%3E@h>".to_owned(), true),
        ("<sip:%3E,%3Csip:Secret%40198.51.100.9@h>".to_owned(), true),
        ("<urn:service:sos>".to_owned(), false),
        ("<mailto:a@b>".to_owned(), false),
        ("<cid:Secret>".to_owned(), false),
    ] {
        for mode in [Refer::Relay, Refer::Consume] {
            let mut settings = transferring(mode);
            settings.routing.trunks[1].headers.pass = vec!["*".to_owned()];
            settings.routing.trunks[1].headers.drop = vec!["Referred-By".to_owned()];
            let mut lab = Lab::with(settings);
            let (invite, answer, outgoing) = establish(&mut lab, "1");
            let of_others = format!(
                "Target-Dialog: {id};local-tag={tag};remote-tag=x\r\nJoin: {id};to-tag={tag};from-tag=x",
                id = String::from_utf8_lossy(invite.call_id()),
                tag = to_tag(&answer)
            );
            let asked = refer(&invite, &answer, 2, &refer_to);
            lab.receive(PBX, &with_header(&asked, &of_others));
            if crosses {
                // That nothing of the one side is seen on the other the lab looks after.
                let method = if mode == Refer::Relay { Method::Refer } else { Method::Invite };
                let carried = lab.take_request(CARRIER_A, &method);
                assert!(!text(&carried).contains("\r\nX-Evil"), "{}", text(&carried));
                assert_eq!(carried.list(Header::ReferTo).count(), usize::from(mode == Refer::Relay));
            } else {
                lab.take_response(PBX, 416);
                lab.expect_silence();
            }
            lab.input(Input::Shutdown);
            let _ = outgoing;
            lab.sent.clear();
            lab.expect_nothing_left();
        }
    }
}

#[test]
fn what_a_stranger_to_the_subscription_says_crosses_nowhere() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let fragment = "SIP/2.0 200 OK\r\nContact: <sip:Secret@198.51.100.9>\r\n";
    let bare = callee_request(CARRIER_A, &outgoing, "callee", &Method::Notify, 1);
    let bare = bare.finish_with(b"message/sipfrag;version=2.0", fragment.as_bytes()).unwrap();
    lab.receive(CARRIER_A, &bare);
    lab.take_response(CARRIER_A, 481);
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_target_that_says_much_does_not_flood_the_transferor() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, _, errand) = with_errand(&mut lab);
    for _ in 0..100 {
        for status in [180, 183] {
            lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, status, "target", None));
        }
    }
    let notifies = lab.sent.iter().filter(|(_, sent)| sent.method() == Some(&Method::Notify)).count();
    assert!((2..=10).contains(&notifies), "{notifies}");
    while !lab.sent.is_empty() {
        told(&mut lab);
    }
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 486, "target", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    assert_eq!(told(&mut lab), ("SIP/2.0 486 Busy Here".to_owned(), true));
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn a_hundred_refers_are_answered_and_leave_nothing() {
    for mode in [Refer::Relay, Refer::Consume] {
        let mut lab = Lab::with(transferring(mode));
        let (invite, answer, _) = establish(&mut lab, "1");
        for sequence in 2..102 {
            lab.receive(PBX, &refer(&invite, &answer, sequence, TARGET));
        }
        let carried = lab.sent.iter().filter(|(hop, _)| hop.peer == CARRIER_A.parse().unwrap()).count();
        assert!((1..=8).contains(&carried), "{mode:?}: {carried}");
        let refused = lab.sent.iter().filter(|(_, sent)| sent.status().is_some_and(|s| s.code() == 491));
        assert!(refused.count() >= 92);
        lab.sent.clear();
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 200), None));
        lab.advance(Duration::from_secs(300));
        lab.sent.clear();
        lab.expect_nothing_left();
        assert_eq!(lab.cdrs.len(), 1);
    }
}

#[test]
fn failures_without_an_end_are_refused_in_the_end() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, _) = establish(&mut lab, "1");
    for sequence in 2..10 {
        lab.receive(PBX, &refer(&invite, &answer, sequence, TARGET));
        lab.take_response(PBX, 202);
        told(&mut lab);
        let errand = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 486, "target", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        assert_eq!(told(&mut lab), ("SIP/2.0 486 Busy Here".to_owned(), true));
    }
    lab.receive(PBX, &refer(&invite, &answer, 10, TARGET));
    lab.take_response(PBX, 603);
    hang_up(&mut lab, &invite, &answer, 11);
    lab.expect_nothing_left();
}

#[test]
fn a_refer_before_the_ack_waits_with_the_transfer() {
    let mut lab = Lab::with(consuming());
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &refer(&invite, &answer, 2, TARGET));
    lab.take_response(PBX, 202);
    told(&mut lab);
    let errand = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_silence();
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.advance(Duration::from_millis(250));
    assert_eq!(told(&mut lab), ("SIP/2.0 200 OK".to_owned(), true));
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    target_hangs_up(&mut lab, &errand, &outgoing);
}

#[test]
fn an_answer_that_is_repeated_after_the_transfer_is_acknowledged_again() {
    for left in [true, false] {
        let mut lab = Lab::with(consuming());
        let (invite, answer, outgoing, errand) = with_errand(&mut lab);
        answer_errand(&mut lab, &outgoing, &errand);
        told(&mut lab);
        if left {
            bye_of_transferor(&mut lab, &invite, &answer, 3);
        }
        // The ACK was lost.
        lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET)));
        assert_eq!(lab.take_request(CARRIER_A, &Method::Ack).call_id(), errand.call_id());
        lab.expect_silence();
        if !left {
            bye_of_transferor(&mut lab, &invite, &answer, 3);
        }
        target_hangs_up(&mut lab, &errand, &outgoing);
    }
}

#[test]
fn what_is_told_of_an_older_refer_is_not_told_to_the_new_party() {
    let mut settings = transferring(Refer::Consume);
    settings.routing.trunks[1].refer = Refer::Relay;
    settings.routing.routes[0].tiers = vec![vec!["carrier-b".into()]];
    settings
        .routing
        .routes
        .insert(0, route("first", crate::routing::RouteSource::Trunk("pbx".into()), &["carrier-a"]));
    let mut lab = Lab::with(settings);
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    // The callee asks the caller to call somebody, and is told for a while.
    let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Refer, 1);
    lab.receive(CARRIER_A, &finish(theirs.header(Header::ReferTo, "<sip:+14155550124@h>"), None));
    let carried = lab.take_request(PBX, &Method::Refer);
    let accepted = respond(PBX, &carried, 202, "from-1", None);
    let accepted = text(&accepted).replace("<sip:callee@", "<sip:desk@");
    lab.receive_bytes(PBX, accepted.into_bytes());
    lab.take_response(CARRIER_A, 202);
    // Then the caller is replaced.
    lab.receive(PBX, &refer(&invite, &answer, 2, TARGET));
    lab.take_response(PBX, 202);
    told(&mut lab);
    let errand = lab.take_request(CARRIER_A, &Method::Invite);
    answer_errand(&mut lab, &outgoing, &errand);
    told(&mut lab);
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    let notify = callee_request(CARRIER_A, &errand, "target", &Method::Notify, 1)
        .header(Header::Event, "refer")
        .header(Header::SubscriptionState, "active;expires=60");
    lab.receive(CARRIER_A, &notify.finish_with(b"message/sipfrag", b"SIP/2.0 180 Ringing\r\n").unwrap());
    lab.take_response(CARRIER_A, 481);
    lab.expect_silence();
    lab.receive(CARRIER_A, &by_carrier(&errand, "target", &Method::Bye, 2));
    lab.take_response(CARRIER_A, 200);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_nothing_left();
}

#[test]
fn every_call_that_began_on_a_trunk_ends_on_it() {
    for attended in [true, false] {
        for waits in [true, false] {
            let mut lab = Lab::with(consuming());
            let mut gauge_after = Vec::new();
            let (invite, answer, outgoing) = if attended {
                let (invite, answer, outgoing) = establish(&mut lab, "1");
                let (second_invite, second_answer, _) = establish(&mut lab, "2");
                let refer_to = format!("<sip:+442079460000@h?{}>", replaces(&second_invite, &second_answer));
                lab.receive(PBX, &refer(&invite, &answer, 2, &refer_to));
                lab.take_response(PBX, 202);
                told(&mut lab);
                told(&mut lab);
                for _ in 0..2 {
                    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
                    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
                    lab.take_request(CARRIER_A, &Method::Ack);
                }
                (invite, answer, outgoing)
            } else {
                let (invite, answer, outgoing, errand) = with_errand(&mut lab);
                answer_errand(&mut lab, &outgoing, &errand);
                told(&mut lab);
                (invite, answer, outgoing)
            };
            if waits {
                lab.advance(Duration::from_secs(40));
            } else {
                bye_of_transferor(&mut lab, &invite, &answer, 3);
            }
            for trunk in ["pbx", "carrier-a", "carrier-b"] {
                gauge_after.push(gauge(&lab, trunk));
            }
            // The two parties have a leg of carrier A's each; the PBX has none any more.
            assert_eq!(gauge_after, [0, 2, 0], "attended {attended}, waits {waits}");
            lab.sent.clear();
            lab.receive(CARRIER_A, &by_carrier(&outgoing, "callee", &Method::Bye, 1));
            lab.sent.clear();
            lab.expect_nothing_left();
            for trunk in ["pbx", "carrier-a", "carrier-b"] {
                assert_eq!(gauge(&lab, trunk), 0);
            }
        }
    }
}

/// `calls_active` of a trunk, as its metric is made.
fn gauge(lab: &Lab, name: &str) -> i32 {
    lab.events.iter().fold(0, |sum, event| match event {
        Event::CallBegan { trunk: Some(trunk), .. } if trunk.as_str() == name => sum + 1,
        Event::CallEnded { trunk: Some(trunk) } if trunk.as_str() == name => sum - 1,
        _ => sum,
    })
}

#[test]
fn the_port_of_a_party_that_goes_is_given_back_at_once() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let before = lab.engine.census().media_ports;
    lab.receive(PBX, &refer(&invite, &answer, 2, TARGET));
    lab.take_response(PBX, 202);
    told(&mut lab);
    let errand = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 486, "target", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    told(&mut lab);
    assert_eq!(lab.engine.census().media_ports, before);
    assert_eq!(lab.open_sessions.len(), 1);
    assert_ne!(audio_port(&errand), audio_port(&outgoing));
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn a_call_for_help_is_not_held_up_by_a_replaces() {
    let mut lab = Lab::with(consuming());
    let help = with_header(
        &invite(PBX, "911", "1", Some(SDP_PBX)),
        "Require: replaces\r\nReplaces: x;to-tag=1;from-tag=2",
    );
    lab.receive(PBX, &help);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    assert!(outgoing.header(Header::Replaces).is_none());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn a_connection_that_breaks_after_the_transfer_ends_nothing() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET)));
    lab.take_request(CARRIER_A, &Method::Ack);
    told(&mut lab);
    let hop = lab.sent.front().expect("a re-INVITE").0;
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    lab.input(Input::TransportFailed { hop });
    lab.expect_silence();
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    lab.advance(Duration::from_secs(5));
    let again = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!((again.call_id(), audio_port(&again)), (reinvite.call_id(), audio_port(&reinvite)));
    // Its repetitions.
    lab.sent.clear();
    lab.receive(CARRIER_A, &respond(CARRIER_A, &again, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    target_hangs_up(&mut lab, &errand, &outgoing);
}

#[test]
fn a_trunk_counts_the_parties_that_it_has_after_a_transfer() {
    let mut settings = consuming();
    let most = |calls| crate::routing::Limits { calls: Some(calls), calls_per_second: None };
    settings.routing.trunks[0].limits = most(2);
    settings.routing.trunks[1].limits = most(2);
    let mut lab = Lab::with(settings);
    let (first, answer, outgoing, errand) = with_errand(&mut lab);
    answer_errand(&mut lab, &outgoing, &errand);
    told(&mut lab);
    bye_of_transferor(&mut lab, &first, &answer, 3);
    // Both parties are carrier A's: it is full. The PBX has no call any more, and may place two.
    let mut calls = Vec::new();
    for id in ["2", "3"] {
        let next = invite(PBX, "+442079460000", id, Some(SDP_PBX));
        lab.receive(PBX, &next);
        lab.take_response(PBX, 100);
        calls.push((lab.take_request(CARRIER_B, &Method::Invite), next));
    }
    let third = invite(PBX, "+442079460000", "4", Some(SDP_PBX));
    lab.receive(PBX, &third);
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 503);
    for (sent, _) in &calls {
        lab.receive(CARRIER_B, &respond(CARRIER_B, sent, 486, "callee", None));
        lab.take_request(CARRIER_B, &Method::Ack);
        lab.take_response(PBX, 486);
    }
    lab.sent.clear();
    lab.cdrs.clear();
    lab.receive(CARRIER_A, &by_carrier(&errand, "target", &Method::Bye, 1));
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().transfers.len(), 1);
}

#[test]
fn calls_that_transfer_in_a_circle_come_to_an_end() {
    // What the target does is a call of its own: each round costs a hop.
    let mut settings = consuming();
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    let mut hops = 5;
    let mut rounds = 0;
    let last = loop {
        let text = text(&invite(PBX, "+442079460000", &format!("r{rounds}"), Some(SDP_PBX)));
        let begun = Message::parse(text.replace("Max-Forwards: 70", &format!("Max-Forwards: {hops}")).into());
        let begun = begun.unwrap();
        lab.receive(PBX, &begun);
        lab.take_response(PBX, 100);
        let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        lab.receive(PBX, &finish(caller_request(PBX, &begun, &answer, &Method::Ack, 1), None));
        lab.receive(PBX, &refer(&begun, &answer, 2, TARGET));
        let status = lab.take(PBX).status().unwrap().code();
        if status != 202 {
            break status;
        }
        told(&mut lab);
        hops = lab.take_request(CARRIER_A, &Method::Invite).number(Header::MaxForwards).unwrap();
        rounds += 1;
    };
    assert_eq!((rounds, last), (2, 483));
    lab.input(Input::Shutdown);
    lab.sent.clear();
    lab.advance(Duration::from_secs(300));
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn the_version_of_what_a_party_is_told_after_a_transfer_counts_by_one() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    // Another answer than to the transferor, of which the new party hears nothing.
    let listens = format!("{SDP_CARRIER}a=recvonly\r\n");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(&listens)));
    lab.take_request(CARRIER_A, &Method::Ack);
    told(&mut lab);
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    // The party that was in the call first moves; the new one was told nothing but the first offer.
    let moves = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
    lab.receive(CARRIER_A, &finish(moves, Some(&format!("{SDP_CARRIER}a=sendonly\r\n"))));
    lab.take_response(CARRIER_A, 100);
    let shown = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(shown.call_id(), errand.call_id());
    let version = |message: &Message| -> u64 {
        let text = text(message);
        text.split("o=- ").nth(1).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(version(&shown), version(&errand) + 1, "{}", text(&shown));
    lab.input(Input::Shutdown);
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn a_notify_that_is_challenged_after_the_transfer_goes_on_in_its_own_dialog() {
    let mut settings = consuming();
    let credentials = Credentials { username: "u".to_owned(), password: "p".into() };
    settings.routing.trunks[0].credentials = Some(credentials);
    let mut lab = Lab::with(settings);
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    answer_errand(&mut lab, &outgoing, &errand);
    let notify = lab.take_request(PBX, &Method::Notify);
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"";
    lab.receive(PBX, &with_header(&respond(PBX, &notify, 401, "x", None), challenge));
    let again = lab.take_request(PBX, &Method::Notify);
    assert_eq!(again.cseq().unwrap().number, notify.cseq().unwrap().number + 1);
    lab.receive(PBX, &respond(PBX, &again, 200, "x", None));
    // What follows in the dialog does not have the same CSeq.
    lab.advance(Duration::from_secs(4));
    let bye = lab.take_request(PBX, &Method::Bye);
    assert_eq!(bye.cseq().unwrap().number, again.cseq().unwrap().number + 1);
    lab.receive(PBX, &respond(PBX, &bye, 200, "x", None));
    let _ = (invite, answer);
    target_hangs_up(&mut lab, &errand, &outgoing);
}
