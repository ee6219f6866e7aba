//! What is measured, and which silence is told: the same over each engine.

use super::*;
use crate::media::{Codec, DirectionReport, Format, Formats, PeerReport};

/// A packet of iLBC as SDP numbers it.
fn ilbc(sequence: u16) -> Vec<u8> {
    let mut bytes = rtp(sequence);
    bytes[1] = 97;
    bytes
}

#[test]
fn loss_duplicates_reordering_and_another_source_are_in_the_report() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        // 3 and 4 are lost, 2 comes twice, 7 before 6.
        for sequence in [1, 2, 2, 5, 7, 6, 8] {
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(sequence));
        }
        // Another source counts on, and loses one more.
        for sequence in [9, 11] {
            let mut bytes = rtp(sequence);
            bytes[11] = 0xbf;
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &bytes);
        }
        let from_a = setup.close(ONE).from_a;
        assert_eq!((from_a.packets, from_a.expected, from_a.lost), (9, 11, 3));
        assert_eq!((from_a.duplicates, from_a.reordered), (1, 1));
        assert_eq!((from_a.ssrc_changes, from_a.restarts, from_a.sequence_step), (1, 0, Some(1)));
        assert!(from_a.jitter_max_ms >= from_a.jitter_ms && from_a.mos.is_some());
    });
}

#[test]
fn the_codec_of_sdp_is_the_scores() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        let formats = Formats::of([Format { payload_type: 97, codec: Codec::Gsm, clock_hz: 8_000 }]);
        setup.set_remote(ONE, Side::A, RemoteMedia { formats, ..a.remote() });
        setup.settle();
        for sequence in 0..5 {
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &ilbc(sequence));
            passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(sequence));
        }
        let report = setup.close(ONE);
        let (gsm, pcmu) = (report.from_a.mos.unwrap(), report.from_b.mos.unwrap());
        assert!(gsm < 3.8 && pcmu > 4.2, "{gsm} {pcmu}");
    });
}

#[test]
fn what_a_peer_reports_of_the_other_is_in_the_report_with_its_round_trip() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        // A's sender report, and B's answer: a fourth lost, 300 in all, jitter 20 ms.
        let mut sender = vec![0x80, 200, 0, 6, 0xca, 0xfe, 0xba, 0xbe, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0];
        sender.extend([0; 12]);
        passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &sender);
        let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 5, 0xca, 0xfe, 0xba, 0xbe, 64, 0, 1, 44, 0, 0, 0, 1];
        report.extend([0, 0, 0, 160, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0]);
        passes(&b.rtcp, stream.b.rtcp(), &a.rtcp, &report);
        let report = setup.close(ONE);
        let PeerReport { lost, loss, jitter_ms, round_trip_ms, discarded, mos } = report.from_a.rtcp.unwrap();
        assert_eq!((lost, loss, jitter_ms, discarded, mos), (300, 0.25, 20.0, None, None));
        assert!((0.0..2_000.0).contains(&round_trip_ms.unwrap()), "{round_trip_ms:?}");
        assert_eq!(report.from_b, DirectionReport::default());
    });
}

#[test]
fn a_side_that_is_not_heard_is_told_with_what_was_dropped() {
    over_both_engines(|setup| {
        let limit = Duration::from_millis(100);
        let never = Duration::ZERO;
        let limits = SilenceLimits { nothing: never, one_way: limit, one_way_end: never, hold: never };
        setup.relay.set_silence(limits);
        let (stream, a, b) = setup.joined(ONE);
        setup.command(MediaCommand::SetAnswered { session: ONE });
        setup.settle();
        let stranger = Peer::at(own_address().into());
        for sequence in 0..60 {
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(sequence));
            stranger.rtp.send_to(&rtp(sequence), stream.b.rtp()).unwrap();
        }
        let MediaEvent::OneWay { session: ONE, found } = setup.event() else { panic!("another event") };
        assert_eq!((found.silent, found.stream, found.was_heard), (Side::B, 0, false));
        assert_eq!((found.is_overdue, found.signalled), (false, Some(b.rtp_address())));
        let dropped = found.dropped.unwrap();
        assert_eq!(dropped.reason, DropReason::SourceMismatch);
        assert_eq!(dropped.source, Some(stranger.rtp_address()));
        // Now it may last only so long; the one that speaks still does.
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(60));
        setup.relay.set_silence(SilenceLimits { one_way_end: limit * 3, ..limits });
        let MediaEvent::OneWay { session: ONE, found } = setup.event() else { panic!("another event") };
        assert!(found.is_overdue && found.lasted >= limit * 3, "{found:?}");
        assert!(found.heard_across >= 50, "{found:?}");
        let report = setup.close_after_silence(ONE);
        assert!(report.from_b.one_way >= limit * 3 && report.from_a.one_way.is_zero());
    });
}

#[test]
fn silence_on_hold_is_told_by_its_own_limit() {
    over_both_engines(|setup| {
        let never = Duration::ZERO;
        let hold = Duration::from_millis(80);
        setup.joined(ONE);
        setup.command(MediaCommand::SetHold { session: ONE, held: true });
        setup.relay.set_silence(SilenceLimits { nothing: never, one_way: never, one_way_end: never, hold });
        assert_eq!(setup.event(), MediaEvent::SilentOnHold { session: ONE });
        assert_eq!(setup.event(), MediaEvent::SilentOnHold { session: ONE });
    });
}

impl Setup {
    /// Closes a session of which silence may still be told.
    fn close_after_silence(&mut self, session: MediaSessionId) -> MediaReport {
        self.command(MediaCommand::Close { session });
        loop {
            match self.event() {
                MediaEvent::Closed { session: closed, report } if closed == session => return *report,
                MediaEvent::OneWay { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
