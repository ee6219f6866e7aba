//! INVITE with Replaces (RFC 3891): a party of a call is replaced, or nothing changes.

use super::basic_calls::establish;
use super::lab::*;
use super::setup::hang_up;
use super::transfer::{refer, replaces, transferring};
use crate::b2bua::{CallFound, Input};
use crate::routing::Refer;
use crate::sip::{Header, Message, Method};

const SDP_NEW: &str = "v=0\r\no=n 3 3 IN IP4 10.0.0.9\r\ns=n\r\nc=IN IP4 10.0.0.44\r\nt=0 0\r\n\
    m=audio 34000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const SDP_NEW_CARRIER: &str = "v=0\r\no=n 3 3 IN IP4 198.51.100.1\r\ns=n\r\nc=IN IP4 198.51.100.44\r\nt=0 0\r\n\
    m=audio 44000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// An INVITE that wants to replace a dialog.
fn replacing(peer: &str, id: &str, value: &str, sdp: Option<&str>) -> Message {
    let uri = format!("sip:+442079460000@{}", sbc_towards(peer));
    let writer = request(peer, &Method::Invite, &uri, id, 1)
        .header(Header::To, format!("<{uri}>"))
        .header(Header::Contact, format!("<sip:caller@{peer}>"))
        .header(Header::Require, "replaces")
        .header(Header::Replaces, value);
    finish(writer, sdp)
}

/// The PBX's dialog of a call, as its own INVITE names it.
fn own_dialog(invite: &Message, answer: &Message) -> String {
    let from_tag = String::from_utf8_lossy(invite.from().unwrap().tag().unwrap()).into_owned();
    let call_id = String::from_utf8_lossy(invite.call_id()).into_owned();
    format!("{call_id};to-tag={};from-tag={from_tag}", to_tag(answer))
}

/// A call of the PBX's, another phone of which wants to take it over: it, and the re-INVITE.
fn picked_up(lab: &mut Lab) -> (Message, Message, Message, Message, Message) {
    let (invite, answer, outgoing) = establish(lab, "1");
    let pick_up = replacing(PBX, "new", &own_dialog(&invite, &answer), Some(SDP_NEW));
    lab.receive(PBX, &pick_up);
    lab.take_response(PBX, 100);
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(reinvite.call_id(), outgoing.call_id());
    lab.expect_silence();
    (invite, answer, outgoing, pick_up, reinvite)
}

fn ack(lab: &mut Lab, peer: &str, invite: &Message, answer: &Message) {
    lab.receive(peer, &finish(caller_request(peer, invite, answer, &Method::Ack, 1), None));
}

#[test]
fn a_call_is_picked_up_within_its_trunk() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, _, outgoing, pick_up, reinvite) = picked_up(&mut lab);
    let port = |message: &Message| text(message).split("m=audio ").nth(1).unwrap()[..5].to_owned();
    assert_eq!(port(&reinvite), port(&outgoing));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let bye = lab.take_request(PBX, &Method::Bye);
    assert_eq!(bye.call_id(), invite.call_id());
    let answer = lab.take_response(PBX, 200);
    assert_eq!(answer.call_id(), pick_up.call_id());
    assert!(text(&answer).contains("c=IN IP4 10.0.0.5\r\n"));
    ack(&mut lab, PBX, &pick_up, &answer);
    lab.receive(PBX, &respond(PBX, &bye, 200, "x", None));
    lab.expect_silence();
    hang_up(&mut lab, &pick_up, &answer, 2);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().transfers.len(), 1);
    assert_eq!(lab.cdr().ingress.call_id.as_bytes(), invite.call_id());
    // What the second phone said is told with the call.
    let CallFound::One(page) = lab.engine.call_page(lab.now, &lab.cdr().id) else { panic!("no page") };
    let from_pbx = page.ladder.messages.iter().filter(|message| message.peer.to_string() == PBX);
    let invites: Vec<_> = from_pbx.filter(|message| message.line().starts_with("INVITE ")).collect();
    assert_eq!(invites.len(), 2);
    assert!(page.ladder.messages.is_sorted_by_key(|message| message.at));
}

#[test]
fn a_transferee_that_was_told_of_a_dialog_is_joined_to_it() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let (second_invite, second_answer, second_outgoing) = establish(&mut lab, "2");
    let from_tag = String::from_utf8_lossy(second_outgoing.from().unwrap().tag().unwrap()).into_owned();
    let call_id = String::from_utf8_lossy(second_outgoing.call_id()).into_owned();
    let named = format!("{call_id};to-tag=callee;from-tag={from_tag}");
    // Nobody has told it yet.
    let early = replacing(CARRIER_A, "early", &named, Some(SDP_NEW_CARRIER));
    lab.receive(CARRIER_A, &early);
    lab.take_response(CARRIER_A, 100);
    lab.take_response(CARRIER_A, 481);
    let refer_to = format!("<sip:+442079460000@10.0.0.5?{}>", replaces(&second_invite, &second_answer));
    lab.receive(PBX, &refer(&invite, &answer, 2, &refer_to));
    let carried = lab.take_request(CARRIER_A, &Method::Refer);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 202, "callee", None));
    lab.take_response(PBX, 202);
    let new = replacing(CARRIER_A, "new", &named, Some(SDP_NEW_CARRIER));
    lab.receive(CARRIER_A, &new);
    lab.take_response(CARRIER_A, 100);
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(reinvite.call_id(), second_outgoing.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let success = lab.take_response(CARRIER_A, 200);
    ack(&mut lab, CARRIER_A, &new, &success);
    let bye = lab.take_request(PBX, &Method::Bye);
    assert_eq!(bye.call_id(), second_invite.call_id());
    lab.receive(PBX, &respond(PBX, &bye, 200, "x", None));
    // The transferor hears of it and hangs up.
    let notify = callee_request(CARRIER_A, &outgoing, "callee", &Method::Notify, 1)
        .header(Header::Event, "refer")
        .header(Header::SubscriptionState, "terminated;reason=noresource");
    lab.receive(CARRIER_A, &notify.finish_with(b"message/sipfrag", b"SIP/2.0 200 OK\r\n").unwrap());
    let notify = lab.take_request(PBX, &Method::Notify);
    lab.receive(PBX, &respond(PBX, &notify, 200, "x", None));
    lab.take_response(CARRIER_A, 200);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_silence();
    lab.receive(CARRIER_A, &finish(caller_request(CARRIER_A, &new, &success, &Method::Bye, 2), None));
    lab.take_response(CARRIER_A, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    assert_eq!(bye.call_id(), second_outgoing.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_silence();
    lab.expect_nothing_left();
    let statuses: Vec<_> = lab.cdrs.iter().map(|cdr| cdr.status).collect();
    assert_eq!(statuses, [481, 200, 200]);
}

#[test]
fn what_may_not_be_replaced_is_refused() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let own = own_dialog(&invite, &answer);
    let from_tag = String::from_utf8_lossy(outgoing.from().unwrap().tag().unwrap()).into_owned();
    let call_id = String::from_utf8_lossy(outgoing.call_id()).into_owned();
    let carriers = format!("{call_id};to-tag={from_tag};from-tag=callee");
    for (at, (peer, value, sdp, status)) in [
        (PBX, "x;to-tag=1;from-tag=2".to_owned(), Some(SDP_NEW), 481),
        (PBX, "x;to-tag=1".to_owned(), Some(SDP_NEW), 400),
        (PBX, format!("{own};early-only"), Some(SDP_NEW), 486),
        (PBX, own.clone(), None, 488),
        // Another trunk of the other side, and one that may not transfer.
        (CARRIER_B, carriers.clone(), Some(SDP_NEW_CARRIER), 481),
        (CARRIER_A, carriers.clone(), Some(SDP_NEW_CARRIER), 481),
        (PBX, carriers, Some(SDP_NEW), 481),
    ]
    .into_iter()
    .enumerate()
    {
        let wanted = replacing(peer, &format!("new{at}"), &value, sdp);
        lab.receive(peer, &wanted);
        lab.take_response(peer, 100);
        lab.take_response(peer, status);
        lab.expect_silence();
    }
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdrs.len(), 8);
}

#[test]
fn a_replacement_that_the_other_party_refuses_changes_nothing() {
    for status in [488, 491, 302, 401] {
        let mut lab = Lab::with(transferring(Refer::Consume));
        let (invite, answer, _, pick_up, reinvite) = picked_up(&mut lab);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, status, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        let refusal = lab.take_response(PBX, if status < 488 { 500 } else { status });
        assert_eq!(refusal.call_id(), pick_up.call_id());
        lab.expect_silence();
        // The call goes on as it was.
        let info = caller_request(PBX, &invite, &answer, &Method::Info, 2);
        lab.receive(PBX, &info.finish_with(b"application/dtmf-relay", b"Signal=5\r\n").unwrap());
        let info = lab.take_request(CARRIER_A, &Method::Info);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 200, "callee", None));
        lab.take_response(PBX, 200);
        lab.sent.clear();
        hang_up(&mut lab, &invite, &answer, 3);
        lab.sent.clear();
        lab.expect_nothing_left();
        assert_eq!(lab.cdrs.len(), 2);
        assert!(lab.cdrs[1].transfers.is_empty());
    }
}

#[test]
fn whatever_ends_while_a_party_is_replaced_leaves_nothing() {
    for end in ["cancel", "old", "old, then refused", "other", "shutdown", "silence", "unusable"] {
        for rang in [true, false] {
            let mut lab = Lab::with(transferring(Refer::Relay));
            let (invite, answer, outgoing, pick_up, reinvite) = picked_up(&mut lab);
            if rang {
                lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 180, "callee", None));
            }
            let accept = respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER));
            let refuse = respond(CARRIER_A, &reinvite, 487, "callee", None);
            match end {
                "cancel" => {
                    lab.receive(PBX, &cancel_of(&pick_up));
                    lab.take_response(PBX, 200);
                    lab.receive(CARRIER_A, &refuse);
                    lab.sent.clear();
                    hang_up(&mut lab, &invite, &answer, 2);
                }
                "old" | "old, then refused" => {
                    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
                    lab.take_response(PBX, 200);
                    lab.expect_silence();
                    if end == "old" {
                        lab.receive(CARRIER_A, &accept);
                        lab.take_request(CARRIER_A, &Method::Ack);
                        let success = lab.take_response(PBX, 200);
                        ack(&mut lab, PBX, &pick_up, &success);
                        hang_up(&mut lab, &pick_up, &success, 2);
                        lab.expect_silence();
                    } else {
                        lab.receive(CARRIER_A, &refuse);
                        lab.take_request(CARRIER_A, &Method::Ack);
                        lab.take_response(PBX, 487);
                        lab.take_request(CARRIER_A, &Method::Bye);
                        lab.expect_silence();
                    }
                }
                "other" => {
                    lab.receive(
                        CARRIER_A,
                        &finish(callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1), None),
                    );
                    lab.take_response(CARRIER_A, 200);
                    assert!(lab.sent.iter().any(|(_, sent)| sent.status().is_some_and(|s| s.code() == 487)));
                    let byes = lab.sent.iter().filter(|(_, sent)| sent.method() == Some(&Method::Bye));
                    assert_eq!(byes.count(), 1, "{end}");
                    lab.sent.clear();
                    lab.receive(CARRIER_A, &accept);
                    lab.take_request(CARRIER_A, &Method::Ack);
                }
                "shutdown" => {
                    lab.input(Input::Shutdown);
                    let byes = lab.sent.iter().filter(|(_, sent)| sent.method() == Some(&Method::Bye));
                    assert_eq!(byes.count(), 2, "{end}");
                }
                "unusable" => {
                    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", None));
                }
                _ => {}
            }
            if end == "silence" {
                // A re-INVITE that only rang is CANCELled after a while; without a word the other
                // party is gone.
                lab.advance(std::time::Duration::from_secs(400));
                lab.sent.clear();
                if lab.cdrs.len() < 2 {
                    hang_up(&mut lab, &invite, &answer, 2);
                }
            }
            lab.sent.clear();
            lab.expect_nothing_left();
            assert!((1..=2).contains(&lab.cdrs.len()), "{end}: {:?}", lab.cdrs);
        }
    }
}
