//! A phone that rings when its connection breaks is told to stop, or its answer is ended. A re-INVITE
//! that is answered though its connection broke is ACKed.

use super::*;
use crate::b2bua::{Cdr, Outcome};

/// A call over TCP that rings at carrier A and is cancelled by the PBX: where the INVITE went, it and
/// its CANCEL.
fn cancelled(lab: &mut Lab) -> (Hop, Message, Message) {
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(lab, &Method::Invite);
    receive_over(lab, hop, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.receive(PBX, &cancel_of(&invite));
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    lab.receive(PBX, &ack_of_failure(&invite));
    let (to, cancel) = take_to(lab, &Method::Cancel);
    assert_eq!(to, hop);
    (hop, outgoing, cancel)
}

#[test]
fn a_cancel_that_a_dead_connection_swallowed_goes_out_again() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let (hop, outgoing, cancel) = cancelled(&mut lab);
    lab.input(Input::TransportFailed { hop });
    let (to, again) = take_to(&mut lab, &Method::Cancel);
    assert_eq!((to, again.as_bytes()), (hop, cancel.as_bytes()));
    receive_over(&mut lab, hop, &respond(CARRIER_A, &cancel, 200, "callee", None));
    receive_over(&mut lab, hop, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    take_to(&mut lab, &Method::Ack);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().outcome(), Outcome::Cancelled);
}

#[test]
fn where_no_connection_can_be_had_the_cancel_is_given_up_and_a_late_2xx_is_ended() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let (hop, outgoing, _) = cancelled(&mut lab);
    lab.input(Input::TransportFailed { hop });
    take_to(&mut lab, &Method::Cancel);
    lab.input(Input::TransportFailed { hop });
    lab.expect_silence();
    lab.advance(Duration::from_secs(5));
    take_to(&mut lab, &Method::Cancel);
    let lost = Event::CancelLost { realm: Realm::Untrusted };
    assert!(!lab.events.contains(&lost));
    lab.input(Input::TransportFailed { hop });
    lab.advance(Duration::from_secs(10));
    lab.expect_silence();
    assert_eq!(lab.events.iter().filter(|event| **event == lost).count(), 1);
    answer_is_ended(&mut lab, hop, &outgoing);
    lab.expect_nothing_left();
}

/// The callee answers over a connection of its own: ACK, and BYE.
fn answer_is_ended(lab: &mut Lab, hop: Hop, outgoing: &Message) {
    let other = Hop { peer: "198.51.100.1:33333".parse().unwrap(), ..hop };
    lab.input(Input::Connected { hop: other });
    receive_over(lab, other, &respond(CARRIER_A, outgoing, 200, "callee", Some(SDP_CARRIER)));
    take_to(lab, &Method::Ack);
    let (to, bye) = take_to(lab, &Method::Bye);
    receive_over(lab, to, &respond(CARRIER_A, &bye, 200, "callee", None));
}

/// An INVITE whose connection broke before anything came; carrier B has the call by now.
fn abandoned(lab: &mut Lab) -> (Hop, Message, Message) {
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let (hop, first) = take_to(lab, &Method::Invite);
    lab.input(Input::TransportFailed { hop });
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    (hop, first, second)
}

fn busy_at_b(lab: &mut Lab, second: &Message) -> Cdr {
    lab.receive(CARRIER_B, &respond(CARRIER_B, second, 486, "b", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.receive(PBX, &ack_of_failure(&invite(PBX, "+442079460000", "1", None)));
    lab.expect_nothing_left();
    lab.cdr().clone()
}

#[test]
fn a_phone_that_rings_though_its_invites_connection_broke_is_cancelled() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let (hop, first, second) = abandoned(&mut lab);
    receive_over(&mut lab, hop, &respond(CARRIER_A, &first, 180, "callee", None));
    let (to, cancel) = take_to(&mut lab, &Method::Cancel);
    assert_eq!(to, hop);
    lab.expect_silence();
    receive_over(&mut lab, hop, &respond(CARRIER_A, &cancel, 200, "callee", None));
    receive_over(&mut lab, hop, &respond(CARRIER_A, &first, 487, "callee", None));
    take_to(&mut lab, &Method::Ack);
    let results: Vec<_> = busy_at_b(&mut lab, &second).attempts.iter().map(|one| one.result).collect();
    assert_eq!(results, [AttemptResult::Transport, AttemptResult::Status(486)]);
}

#[test]
fn a_phone_that_is_answered_though_its_invites_connection_broke_is_ended() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let (hop, first, second) = abandoned(&mut lab);
    answer_is_ended(&mut lab, hop, &first);
    busy_at_b(&mut lab, &second);
}

/// The PBX had opened the connection that its re-INVITE's CANCEL is lost with.
#[test]
fn a_cancel_of_a_reinvite_goes_where_the_peer_listens() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let (_, _, outgoing) = call_over_connection(&mut lab, hop);
    let contact = Hop { peer: PBX.parse().unwrap(), ..hop };
    let reinvite = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
    let reinvite = finish(reinvite, Some(SDP_CARRIER));
    lab.receive(CARRIER_A, &reinvite);
    lab.take_response(CARRIER_A, 100);
    let (to, passed) = take_to(&mut lab, &Method::Invite);
    assert_eq!(to, hop);
    receive_over(&mut lab, hop, &respond(PBX, &passed, 100, "x", None));
    lab.receive(CARRIER_A, &cancel_of(&reinvite));
    lab.take_response(CARRIER_A, 200);
    let (to, cancel) = take_to(&mut lab, &Method::Cancel);
    assert_eq!(to, hop);
    lab.input(Input::TransportFailed { hop });
    let (to, again) = take_to(&mut lab, &Method::Cancel);
    assert_eq!((to, again.as_bytes()), (contact, cancel.as_bytes()));
    receive_over(&mut lab, contact, &respond(PBX, &cancel, 200, "x", None));
    receive_over(&mut lab, contact, &respond(PBX, &passed, 487, "x", None));
    take_to(&mut lab, &Method::Ack);
    lab.take_response(CARRIER_A, 487);
    lab.receive(CARRIER_A, &ack_of_failure(&reinvite));
    assert_eq!(carrier_hangs_up_as(&mut lab, &outgoing, 2), contact);
    lab.expect_nothing_left();
}

/// A call from the PBX over UDP to carrier A over TCP: its INVITE, the answer to it, where the callee's
/// INVITE went.
fn call_by_tcp(lab: &mut Lab) -> (Message, Message, Hop) {
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(lab, &Method::Invite);
    receive_over(lab, hop, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    take_to(lab, &Method::Ack);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.expect_silence();
    (invite, answer, hop)
}

/// The PBX's re-INVITE, whose connection to the carrier breaks; as it went there.
fn reinvite_is_lost(lab: &mut Lab, call: &(Message, Message, Hop), sdp: Option<&str>) -> Message {
    let (invite, answer, hop) = call;
    let reinvite = finish(caller_request(PBX, invite, answer, &Method::Invite, 2), sdp);
    lab.receive(PBX, &reinvite);
    lab.take_response(PBX, 100);
    let (to, passed) = take_to(lab, &Method::Invite);
    assert_eq!(to, *hop);
    lab.input(Input::TransportFailed { hop: to });
    lab.take_response(PBX, 503);
    lab.receive(PBX, &ack_of_failure(&reinvite));
    lab.expect_silence();
    passed
}

/// The carrier connects anew.
fn carrier_connects(lab: &mut Lab, hop: Hop) -> Hop {
    let other = Hop { peer: "198.51.100.1:33333".parse().unwrap(), ..hop };
    lab.input(Input::Connected { hop: other });
    other
}

fn pbx_hangs_up(lab: &mut Lab, (invite, answer, _): &(Message, Message, Hop)) {
    lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Bye, 3), None));
    lab.take_response(PBX, 200);
    let (to, bye) = take_to(lab, &Method::Bye);
    receive_over(lab, to, &respond(CARRIER_A, &bye, 200, "callee", None));
}

#[test]
fn a_reinvite_that_is_answered_though_its_connection_broke_is_acked_and_taken_back() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let call = call_by_tcp(&mut lab);
    let passed = reinvite_is_lost(&mut lab, &call, Some(&format!("{SDP_PBX}a=sendonly\r\n")));
    assert!(text(&passed).contains("a=sendonly"));
    let other = carrier_connects(&mut lab, call.2);
    let answered = respond(CARRIER_A, &passed, 200, "callee", Some(SDP_CARRIER));
    for _ in 0..2 {
        receive_over(&mut lab, other, &answered);
        let (to, ack) = take_to(&mut lab, &Method::Ack);
        assert_eq!((to, ack.cseq().unwrap().number), (other, passed.cseq().unwrap().number));
        lab.expect_silence();
    }
    // The peer believes that it is on hold, and hears that it is not.
    lab.advance(Duration::from_secs(3));
    let (to, again) = take_to(&mut lab, &Method::Invite);
    assert_eq!(to, other);
    assert!(again.has_sdp() && !text(&again).contains("a=sendonly"), "{}", text(&again));
    receive_over(&mut lab, to, &respond(CARRIER_A, &again, 200, "callee", Some(SDP_CARRIER)));
    take_to(&mut lab, &Method::Ack);
    lab.advance(Duration::from_secs(10));
    lab.expect_silence();
    pbx_hangs_up(&mut lab, &call);
    lab.expect_nothing_left();
}

#[test]
fn an_offer_that_comes_late_in_a_2xx_is_answered_with_what_is_in_force() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let call = call_by_tcp(&mut lab);
    let passed = reinvite_is_lost(&mut lab, &call, None);
    let other = carrier_connects(&mut lab, call.2);
    receive_over(&mut lab, other, &respond(CARRIER_A, &passed, 200, "callee", Some(SDP_CARRIER)));
    let (_, ack) = take_to(&mut lab, &Method::Ack);
    assert!(ack.has_sdp(), "{}", text(&ack));
    lab.advance(Duration::from_secs(3));
    let (to, again) = take_to(&mut lab, &Method::Invite);
    assert_eq!(again.body(), ack.body());
    // A peer that wants nothing of it is left with what it has.
    receive_over(&mut lab, to, &respond(CARRIER_A, &again, 488, "callee", None));
    take_to(&mut lab, &Method::Ack);
    lab.advance(Duration::from_secs(10));
    lab.expect_silence();
    pbx_hangs_up(&mut lab, &call);
    lab.expect_nothing_left();
}

#[test]
fn a_reinvite_that_is_answered_after_the_call_is_acked() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let call = call_by_tcp(&mut lab);
    let passed = reinvite_is_lost(&mut lab, &call, Some(&format!("{SDP_PBX}a=sendonly\r\n")));
    pbx_hangs_up(&mut lab, &call);
    let other = carrier_connects(&mut lab, call.2);
    receive_over(&mut lab, other, &respond(CARRIER_A, &passed, 200, "callee", Some(SDP_CARRIER)));
    take_to(&mut lab, &Method::Ack);
    lab.expect_silence();
    lab.expect_nothing_left();
}

fn accepted_by_pbx(request: &Message) -> Message {
    let answer = text(&respond(PBX, request, 200, "x", Some(SDP_PBX)));
    Message::parse(answer.replace("<sip:callee@", "<sip:x@").into()).unwrap()
}

/// The PBX got both, that over its own connection and that to where it listens.
#[test]
fn of_a_reinvite_that_went_out_again_both_answers_are_acked() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let (_, _, outgoing) = call_over_connection(&mut lab, hop);
    let reinvite = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
    let reinvite = finish(reinvite, Some(&format!("{SDP_CARRIER}a=sendonly\r\n")));
    lab.receive(CARRIER_A, &reinvite);
    lab.take_response(CARRIER_A, 100);
    let first = take_to(&mut lab, &Method::Invite).1;
    lab.input(Input::TransportFailed { hop });
    let (to, second) = take_to(&mut lab, &Method::Invite);
    receive_over(&mut lab, to, &accepted_by_pbx(&second));
    take_to(&mut lab, &Method::Ack);
    lab.take_response(CARRIER_A, 200);
    let ack = callee_request(CARRIER_A, &outgoing, "callee", &Method::Ack, 1);
    lab.receive(CARRIER_A, &finish(ack, None));
    receive_over(&mut lab, to, &accepted_by_pbx(&first));
    let ack = take_to(&mut lab, &Method::Ack).1;
    assert_eq!(ack.cseq().unwrap().number, first.cseq().unwrap().number);
    // Both said the same: there is nothing to take back.
    lab.advance(Duration::from_secs(10));
    lab.expect_silence();
    carrier_hangs_up_as(&mut lab, &outgoing, 2);
    lab.expect_nothing_left();
}
