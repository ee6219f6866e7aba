//! Draining, shutdown and reload with calls in every phase.

use std::sync::Arc;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::{EndedBy, Input};
use crate::sip::{Header, Method};

#[test]
fn a_drain_refuses_new_calls_and_leaves_the_others() {
    let mut lab = Lab::new();
    let (first, answer, _) = establish(&mut lab, "1");
    lab.input(Input::Drain { deadline: None });
    lab.expect_silence();
    lab.receive(PBX, &invite(PBX, "+442079460000", "2", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    assert!(lab.take_response(PBX, 503).header(Header::RetryAfter).is_some());
    hang_up(&mut lab, &first, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_shutdown_ends_a_call_in_every_phase() {
    // Ports being bound; INVITE sent; ringing; answered, not ACKed; ACKed; re-INVITE under way.
    for phase in 0..6 {
        let mut lab = Lab::new();
        lab.holds_opens = phase == 0;
        if phase == 0 {
            lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
        } else if phase < 4 {
            let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
            if phase == 2 {
                lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
            }
            if phase == 3 {
                lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
            }
        } else {
            let (invite, answer, _) = establish(&mut lab, "1");
            if phase == 5 {
                let reinvite = caller_request(PBX, &invite, &answer, &Method::Invite, 2);
                lab.receive(PBX, &finish(reinvite, Some(SDP_PBX)));
            }
        }
        lab.sent.clear();
        lab.input(Input::Shutdown);
        let told: Vec<String> =
            lab.sent.iter().map(|(_, sent)| text(sent).lines().next().unwrap_or("").to_owned()).collect();
        let said = |word: &str| told.iter().filter(|line| line.contains(word)).count();
        match phase {
            0 | 1 => assert_eq!((said("503"), told.len()), (1, 1), "{phase} {told:?}"),
            2 => assert_eq!((said("503"), said("CANCEL")), (1, 1), "{phase} {told:?}"),
            // The caller's BYE waits for its ACK.
            3 => assert_eq!((said("BYE"), told.len()), (1, 1), "{phase} {told:?}"),
            4 => assert_eq!((said("BYE"), told.len()), (2, 2), "{phase} {told:?}"),
            _ => assert_eq!((said("BYE"), said("487")), (2, 1), "{phase} {told:?}"),
        }
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().ended_by, EndedBy::Sbc);
    }
}

#[test]
fn a_call_keeps_the_settings_it_began_with() {
    let mut lab = Lab::new();
    let (first, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let mut changed = settings();
    changed.routing.trunks[1].headers.set = vec![("X-Site".to_owned(), "new".to_owned())];
    changed.routing.trunks[1].domain = "new.example".to_owned();
    lab.input(Input::Settings(Arc::new(changed)));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &first, &answer, &Method::Ack, 1), None));
    lab.receive(PBX, &finish(caller_request(PBX, &first, &answer, &Method::Info, 2), None));
    let info = lab.take_request(CARRIER_A, &Method::Info);
    assert!(!text(&info).contains("X-Site") && !text(&info).contains("new.example"), "{}", text(&info));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 200, "callee", None));
    lab.take_response(PBX, 200);
    // The next call has the new ones.
    let second = invite(PBX, "+442079460000", "2", Some(SDP_PBX));
    lab.receive(PBX, &second);
    lab.take_response(PBX, 100);
    assert!(text(&lab.take_request(CARRIER_A, &Method::Invite)).contains("X-Site: new"));
    lab.receive(PBX, &cancel_of(&second));
    lab.sent.clear();
    hang_up(&mut lab, &first, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdrs.len(), 2);
}

#[test]
fn a_peer_that_a_reload_removed_may_end_its_call_and_begin_no_other() {
    let mut lab = Lab::new();
    let (_, _, outgoing) = establish(&mut lab, "1");
    let mut changed = settings();
    changed.admission.allow.untrusted.clear();
    lab.input(Input::Settings(Arc::new(changed)));
    lab.receive(CARRIER_B, &invite(CARRIER_B, "+14155550111", "2", Some(SDP_CARRIER)));
    lab.expect_silence();
    lab.receive(CARRIER_A, &invite(CARRIER_A, "+14155550111", "3", Some(SDP_CARRIER)));
    lab.take_response(CARRIER_A, 100);
    lab.take_response(CARRIER_A, 403);
    let bye = callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1);
    lab.receive(CARRIER_A, &finish(bye, None));
    lab.take_response(CARRIER_A, 200);
    let bye = lab.take_request(PBX, &Method::Bye);
    lab.receive(PBX, &respond(PBX, &bye, 200, "x", None));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Callee);
}
