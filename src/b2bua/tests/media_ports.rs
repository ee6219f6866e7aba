//! Ports that are not to be had.

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::Input;
use crate::media::{Latch, MediaCommand, MediaEvent, Side};
use crate::sip::{Header, Method};

#[test]
fn without_a_free_port_there_is_no_call() {
    let mut settings = settings();
    settings.media.ports = (10_000, 10_001);
    let mut lab = Lab::with(settings);
    let (invite, answer, _) = establish(&mut lab, "1");
    lab.receive(PBX, &super::lab::invite(PBX, "+442079460000", "2", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    assert!(lab.take_response(PBX, 503).header(Header::RetryAfter).is_some());
    lab.expect_silence();
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdrs.iter().map(|cdr| cdr.status).collect::<Vec<_>>(), [503, 200]);
}

#[test]
fn a_pair_that_cannot_be_bound_is_replaced_and_put_aside() {
    let mut lab = Lab::new();
    lab.failing_opens = 1;
    let (invite, _) = begin(&mut lab, Some(SDP_PBX));
    let opens: Vec<_> =
        lab.media.iter().filter(|command| matches!(command, MediaCommand::Open { .. })).collect();
    assert_eq!(opens.len(), 2);
    assert_ne!(opens[0], opens[1]);
    assert_eq!(opened_ports(&lab).len(), 2);
    lab.receive(PBX, &cancel_of(&invite));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 487);
}

#[test]
fn after_eight_failed_binds_the_call_is_refused() {
    let mut lab = Lab::new();
    lab.failing_opens = 8;
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 503);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 503);
}

#[test]
fn a_call_whose_ports_the_relay_lost_is_ended() {
    let mut lab = Lab::new();
    establish(&mut lab, "1");
    let session = *lab.open_sessions.first().unwrap();
    lab.input(Input::Media(MediaEvent::Lost { session }));
    lab.take_request(PBX, &Method::Bye);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_nothing_left();
    assert!(lab.cdr().cause.contains("fault of the media relay"));
}

#[test]
fn a_call_that_is_not_answered_yet_is_refused_when_the_relay_loses_its_ports() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    let session = *lab.open_sessions.first().unwrap();
    lab.input(Input::Media(MediaEvent::Lost { session }));
    let cancel = lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &cancel, 200, "callee", None));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 503);
    lab.expect_nothing_left();
}

#[test]
fn each_side_is_latched_as_its_own_trunk_says() {
    let mut settings = settings();
    settings.routing.trunks[0].latch = Latch::Strict;
    settings.routing.trunks[1].latch = Latch::Learn;
    let mut lab = Lab::with(settings);
    let (invite, answer, _) = establish(&mut lab, "1");
    let latch_of = |lab: &Lab, wanted: Side| {
        let mut told = lab.media.iter().filter_map(|command| match command {
            MediaCommand::SetRemote { side, remote: Some(remote), .. } if *side == wanted => {
                Some(remote.latch)
            }
            _ => None,
        });
        (told.next(), told.next())
    };
    assert_eq!(latch_of(&lab, Side::A), (Some(Latch::Strict), None));
    assert_eq!(latch_of(&lab, Side::B), (Some(Latch::Learn), None));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
}

#[test]
fn a_call_without_media_is_ended() {
    let mut lab = Lab::new();
    establish(&mut lab, "1");
    let session = *lab.open_sessions.first().unwrap();
    lab.input(Input::Media(MediaEvent::Silent { session }));
    lab.take_request(PBX, &Method::Bye);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_nothing_left();
    assert!(lab.cdr().cause.contains("RTP"));
}
