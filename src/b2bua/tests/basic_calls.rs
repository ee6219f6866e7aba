//! A call in each direction, and its ordinary ends.

use std::time::Duration;

use super::lab::*;
use crate::b2bua::{AttemptResult, EndedBy, Outcome};
use crate::media::MediaCommand;
use crate::sip::{Header, Message, Method};

/// A call from the PBX over carrier A that is answered and ACKed: the INVITE that the PBX sent,
/// the 200 that it got, and the INVITE that the carrier got.
pub fn establish(lab: &mut Lab, id: &str) -> (Message, Message, Message) {
    let invite = invite(PBX, "+442079460000", id, Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.expect_silence();
    (invite, answer, outgoing)
}

#[test]
fn a_call_out_is_set_up_and_ended_by_the_caller() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    lab.advance(Duration::from_secs(5));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    assert_eq!(bye.call_id(), outgoing.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_silence();
    lab.expect_nothing_left();
    let cdr = lab.cdr();
    assert_eq!((cdr.status, cdr.ended_by, cdr.outcome()), (200, EndedBy::Caller, Outcome::Answered));
    assert_eq!(cdr.to_e164.as_deref(), Some("+442079460000"));
    assert_eq!(cdr.codec.as_deref(), Some("PCMU"));
    assert_eq!(cdr.media.as_ref().map(|media| media.from_a.packets), Some(50));
    assert_eq!(cdr.attempts[0].result, AttemptResult::Status(200));
    assert_eq!(cdr.end - cdr.answer.unwrap(), Duration::from_secs(5));
}

#[test]
fn what_a_record_would_say_is_told_when_a_target_is_tried_and_when_the_caller_is_answered() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let (id, answered) = match &lab.open_calls[..] {
        [tried, answered] => {
            assert_eq!((tried.status, tried.answer, tried.id.as_str()), (0, None, answered.id.as_str()));
            assert_eq!(tried.egress.as_ref().unwrap().call_id.as_bytes(), outgoing.call_id());
            (answered.id.clone(), answered.answer)
        }
        others => panic!("{others:?}"),
    };
    assert_eq!((lab.open_calls[1].status, lab.open_calls[1].codec.as_deref()), (200, Some("PCMU")));
    lab.caller_acks_and_leaves(&invite, &answer);
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().id.as_str(), lab.cdr().answer), (id.as_str(), answered));
    assert_eq!(lab.open_calls.len(), 2);
}

#[test]
fn a_call_in_is_ended_by_the_callee() {
    let mut lab = Lab::new();
    let invite = invite(CARRIER_B, "+14155550111", "1", Some(SDP_CARRIER));
    lab.receive(CARRIER_B, &invite);
    lab.take_response(CARRIER_B, 100);
    let outgoing = lab.take_request(PBX, &Method::Invite);
    assert!(text(&outgoing).starts_with("INVITE sip:+14155550111@pbx.example SIP/2.0\r\n"));
    lab.receive(PBX, &respond(PBX, &outgoing, 200, "callee", Some(SDP_PBX)));
    let answer = lab.take_response(CARRIER_B, 200);
    lab.take_request(PBX, &Method::Ack);
    lab.receive(CARRIER_B, &finish(caller_request(CARRIER_B, &invite, &answer, &Method::Ack, 1), None));
    lab.receive(PBX, &finish(callee_request(PBX, &outgoing, "callee", &Method::Bye, 1), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_B, &Method::Bye);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &bye, 200, "x", None));
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Callee);
}

#[test]
fn nothing_of_one_side_is_seen_on_the_other() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "leak");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    for message in [&outgoing, &bye] {
        let text = text(message);
        for secret in ["10.0.0.", "leak", "Secret", "o=pbx", "s=pbx"] {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
    }
    for secret in ["198.51.100.", "Secret", "o=carrier", "callee@198", "tag=callee"] {
        assert!(!text(&answer).contains(secret), "{secret} in\n{}", text(&answer));
    }
    assert!(text(&outgoing).contains("c=IN IP4 203.0.113.5\r\n"));
    assert!(text(&answer).contains("c=IN IP4 10.0.0.5\r\n"));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_nothing_left();
}

#[test]
fn the_relay_is_told_both_sides_and_closed() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    let remotes: Vec<_> = lab
        .media
        .iter()
        .filter_map(|command| match command {
            MediaCommand::SetRemote { side, remote, .. } => Some((*side, remote.unwrap().rtp.to_string())),
            _ => None,
        })
        .collect();
    assert_eq!(
        remotes,
        [
            (crate::media::Side::A, "10.0.0.9:30000".to_owned()),
            (crate::media::Side::B, "198.51.100.77:40000".to_owned())
        ]
    );
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    assert!(matches!(lab.media.last(), Some(MediaCommand::Close { .. })));
    lab.expect_nothing_left();
}

#[test]
fn cancel_while_ringing_ends_both_legs() {
    let mut lab = Lab::new();
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    let cancel = Message::parse(text(&invite).replace("INVITE", "CANCEL").into()).unwrap();
    let cancel = Message::parse(text(&cancel).replace("1CANCEL", "1INVITE").into()).unwrap();
    lab.receive(PBX, &cancel);
    lab.take_response(PBX, 200);
    lab.take_response(PBX, 487);
    let sent = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &sent, 200, "callee", None));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().outcome()), (487, Outcome::Cancelled));
}

#[test]
fn every_final_failure_reaches_the_caller() {
    for status in [400, 403, 404, 480, 484, 486, 488, 500, 503, 600, 603] {
        let mut settings = settings();
        settings.routing.routes[0].tiers.truncate(1);
        let mut lab = Lab::with(settings);
        lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, status, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, status);
        assert_eq!(answer.header(Header::RetryAfter), None);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, status);
    }
}

#[test]
fn a_503_moves_the_call_to_the_next_trunk_and_a_486_does_not() {
    for (status, moves_on) in
        [(503, true), (500, true), (408, true), (486, false), (603, false), (404, false)]
    {
        let mut lab = Lab::new();
        lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        let first = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &first, status, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        if moves_on {
            let second = lab.take_request(CARRIER_B, &Method::Invite);
            assert_ne!(second.call_id(), first.call_id());
            lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "other", None));
            lab.take_request(CARRIER_B, &Method::Ack);
            lab.take_response(PBX, 486);
        } else {
            lab.take_response(PBX, status);
        }
        lab.expect_silence();
        lab.expect_nothing_left();
    }
}
