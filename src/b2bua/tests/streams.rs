//! What SDP and the relay are told of a call's streams: ports that stay, RTCP's place, marks, numbers.

use std::collections::BTreeMap;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use super::transfer_consumed::{SDP_TARGET, audio_port, consuming, told, with_errand};
use crate::b2bua::AttemptResult;
use crate::base::{Dscp, Instant};
use crate::media::{
    Codec, Forward, Latch, Marking, MediaCommand, MediaSession, MediaSessionId, PortKind, RemoteMedia, Side,
    Transform,
};
use crate::sip::Method;

/// What the relay has last been told of a side of the first session.
fn remote(lab: &Lab, wanted: Side) -> RemoteMedia {
    let remotes = lab.media.iter().rev().filter_map(|command| match command {
        MediaCommand::SetRemote { side, remote, .. } if *side == wanted => *remote,
        _ => None,
    });
    remotes.into_iter().next().expect("a remote")
}

/// Whatever is agreed on anew, hold among that, each side sees one port of ours from the first to the last.
#[test]
fn the_port_of_a_leg_stays_for_the_life_of_its_dialog() {
    let mut lab = Lab::new();
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let (to_pbx, to_carrier) = (audio_port(&answer), audio_port(&outgoing));
    let opened = lab.media.iter().filter(|command| matches!(command, MediaCommand::Open { .. })).count();
    let offers = [
        SDP_PBX.replace("30000", "31000"),
        SDP_PBX.replace("10.0.0.9\r\nt=", "10.0.0.77\r\nt="),
        SDP_PBX.replace("AVP 0 101", "AVP 18 8 101"),
        format!("{SDP_PBX}a=sendonly\r\n"),
        SDP_PBX.replace("c=IN IP4 10.0.0.9", "c=IN IP4 0.0.0.0"),
        SDP_PBX.replace("101", "96"),
        SDP_PBX.to_owned(),
    ];
    for (sequence, offer) in (2..).zip(&offers) {
        lab.receive(
            PBX,
            &finish(caller_request(PBX, &invite, &answer, &Method::Invite, sequence), Some(offer)),
        );
        lab.take_response(PBX, 100);
        let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
        assert_eq!(audio_port(&reinvite), to_carrier, "{offer}");
        let moved = SDP_CARRIER.replace("40000", &format!("4{sequence:02}00"));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(&moved)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let again = lab.take_response(PBX, 200);
        assert_eq!(audio_port(&again), to_pbx, "{offer}");
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &again, &Method::Ack, sequence), None));
    }
    // The lab calls everybody who answers "callee", the tag of the carrier.
    lab.looks_for_leaks = false;
    let reoffer = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
    lab.receive(CARRIER_A, &finish(reoffer, Some(&SDP_CARRIER.replace("40000", "46000"))));
    lab.take_response(CARRIER_A, 100);
    let reinvite = lab.take_request(PBX, &Method::Invite);
    assert_eq!(audio_port(&reinvite), to_pbx);
    lab.receive(PBX, &respond(PBX, &reinvite, 200, "x", Some(SDP_PBX)));
    lab.take_request(PBX, &Method::Ack);
    let again = lab.take_response(CARRIER_A, 200);
    assert_eq!(audio_port(&again), to_carrier);
    lab.receive(CARRIER_A, &finish(callee_request(CARRIER_A, &outgoing, "callee", &Method::Ack, 1), None));
    let opens = lab.media.iter().filter(|command| matches!(command, MediaCommand::Open { .. })).count();
    assert_eq!(opens, opened, "no port was asked for anew");
    hang_up(&mut lab, &invite, &answer, 9);
    lab.expect_nothing_left();
}

/// Each side's own rtcp-mux, and what becomes of the offerer's wish.
#[test]
fn rtcp_shares_rtps_port_only_where_both_say_so() {
    let mux = |sdp: &str| format!("{sdp}a=rtcp-mux\r\n");
    for (offer_muxes, answer_muxes) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut lab = Lab::new();
        let offer = if offer_muxes { mux(SDP_PBX) } else { SDP_PBX.to_owned() };
        let (invite, outgoing) = begin(&mut lab, Some(&offer));
        assert_eq!(text(&outgoing).contains("a=rtcp-mux"), offer_muxes);
        let said = if answer_muxes { mux(SDP_CARRIER) } else { SDP_CARRIER.to_owned() };
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(&said)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        let both = offer_muxes && answer_muxes;
        assert_eq!(text(&answer).contains("a=rtcp-mux"), both, "{}", text(&answer));
        let pbx = remote(&lab, Side::A);
        assert_eq!(pbx.rtcp.port(), if both { 30_000 } else { 30_001 }, "RFC 5761 §5.1.1");
        // What it does of itself is its own.
        let carrier = remote(&lab, Side::B);
        assert_eq!(carrier.rtcp.port(), if answer_muxes { 40_000 } else { 40_001 });
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
        hang_up(&mut lab, &invite, &answer, 2);
        lab.expect_nothing_left();
    }
}

#[test]
fn rtcp_goes_where_a_rtcp_says_and_each_side_reads_our_own() {
    let mut lab = Lab::new();
    let offer = format!("{SDP_PBX}a=rtcp:35555 IN IP4 10.0.0.99\r\na=rtcp-mux\r\n");
    let (invite, outgoing) = begin(&mut lab, Some(&offer));
    let port: u16 = audio_port(&outgoing).parse().unwrap();
    assert!(text(&outgoing).contains(&format!("a=rtcp:{}\r\n", port + 1)), "{}", text(&outgoing));
    let said = format!("{SDP_CARRIER}a=rtcp:45555\r\n");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(&said)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    let port: u16 = audio_port(&answer).parse().unwrap();
    assert!(text(&answer).contains(&format!("a=rtcp:{}\r\n", port + 1)), "{}", text(&answer));
    assert_eq!(remote(&lab, Side::A).rtcp, "10.0.0.99:35555".parse().unwrap(), "not on RTP's after all");
    assert_eq!(remote(&lab, Side::B).rtcp, "198.51.100.77:45555".parse().unwrap());
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
}

fn markings(lab: &Lab) -> Vec<Marking> {
    let markings = lab.media.iter().filter_map(|command| match command {
        MediaCommand::Open { marking, .. } => Some(*marking),
        _ => None,
    });
    markings.collect()
}

#[test]
fn media_is_marked_as_the_trunk_of_its_side_says_also_after_a_failover() {
    let mut settings = settings();
    settings.routing.trunks[0].dscp = Dscp::named("AF41").unwrap();
    settings.routing.trunks[2].dscp = Dscp::named("CS5").unwrap();
    let mut lab = Lab::with(settings);
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let a = Dscp::named("AF41").unwrap();
    assert_eq!(markings(&lab), [Marking { a, b: Dscp::EF }]);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 503, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_request(CARRIER_B, &Method::Invite);
    assert_eq!(markings(&lab)[1..], [Marking { a, b: Dscp::named("CS5").unwrap() }], "other ports");
    assert_eq!(lab.open_sessions.len(), 1);
    lab.receive(PBX, &cancel_of(&invite));
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().attempts[0].result, AttemptResult::Status(503));
}

#[test]
fn trunks_with_one_mark_share_the_ports_of_a_call_that_fails_over() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 503, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_request(CARRIER_B, &Method::Invite);
    assert_eq!(markings(&lab), [Marking::default()]);
    lab.receive(PBX, &cancel_of(&invite));
    lab.sent.clear();
    lab.expect_nothing_left();
}

/// The relay knows what each side itself lists, and so which of its numbers are others than its partner's.
#[test]
fn the_relay_is_told_each_sides_own_numbers() {
    let mut lab = Lab::new();
    let (invite, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let other = SDP_CARRIER.replace("101", "96");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(&other)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    assert!(text(&answer).contains("a=rtpmap:96 telephone-event/8000"), "the carrier's number is its own");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    let events = |side: Side| {
        let formats = remote(&lab, side).formats;
        let found = formats.iter().find(|format| format.codec == Codec::TelephoneEvent).copied();
        found.map(|format| format.payload_type)
    };
    assert_eq!((events(Side::A), events(Side::B)), (Some(101), Some(96)));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
}

/// The relay as it is after these commands.
fn sessions(lab: &Lab) -> BTreeMap<MediaSessionId, MediaSession> {
    let mut sessions = BTreeMap::new();
    for command in &lab.media {
        match command {
            MediaCommand::Open { session, streams, .. } => {
                let media = sessions.entry(*session).or_insert_with(|| MediaSession::new(Instant::ZERO));
                streams.iter().for_each(|_| media.add_stream());
            }
            MediaCommand::SetRemote { session, stream, side, remote } => {
                let media: Option<&mut MediaSession> = sessions.get_mut(session);
                media.expect("an open session").set_remote(*stream, *side, *remote, Instant::ZERO);
            }
            _ => {}
        }
    }
    sessions
}

/// A party that was joined to another by a transfer goes on with the numbers that it was told before, and the new one
/// understands it.
#[test]
fn the_numbers_of_parties_that_a_transfer_joined_are_understood() {
    let mut lab = Lab::with(consuming());
    let (_, _, _, errand) = with_errand(&mut lab);
    let target = SDP_TARGET.replace("101", "96");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(&target)));
    lab.take_request(CARRIER_A, &Method::Ack);
    // The re-INVITE to the one that stays has not been answered.
    lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(told(&mut lab), ("SIP/2.0 200 OK".to_owned(), true));
    let mut sessions = sessions(&lab);
    let ids: Vec<MediaSessionId> = sessions.keys().copied().collect();
    let key = |payload_type| [0x80, payload_type, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 5, 10, 0, 160];
    let mut send = |session: MediaSessionId, side, source: &str, payload_type| {
        let place = (0, side, PortKind::Rtp);
        let media: &mut MediaSession = sessions.get_mut(&session).unwrap();
        let verdict =
            media.receive(place, source.parse().unwrap(), &key(payload_type), Instant::ZERO).unwrap();
        match verdict.forward {
            Forward::To(_) => verdict.transform,
            other => panic!("{other:?}"),
        }
    };
    // The first crosses with the number of the new party, and the new party's with that of the first.
    assert_eq!(send(ids[0], Side::B, "198.51.100.77:40000", 101), Transform::PayloadType(96));
    assert_eq!(send(ids[1], Side::B, "198.51.100.88:42000", 96), Transform::PayloadType(101));
    assert_eq!(send(ids[0], Side::B, "198.51.100.77:40000", 0), Transform::Keep);
    // Between the two sessions of ours nothing changes any more.
    let inner = lab.media.iter().rev().find_map(|command| match command {
        MediaCommand::SetRemote { remote: Some(remote), .. } if remote.latch == Latch::Strict => {
            Some(*remote)
        }
        _ => None,
    });
    assert!(!inner.expect("ports of ours").formats.is_empty());
    lab.advance(std::time::Duration::from_secs(64));
}
