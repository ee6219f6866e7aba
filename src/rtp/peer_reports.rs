//! What a peer says of what it receives from us (RFC 3550 §6.4, RFC 3611), and how long the way to it
//! and back is. Nothing is taken for true that is not about a source which we pass on to it.
//!
//! **Round trip.** A receiver names the last sender report that it had and how long ago (LSR, DLSR).
//! The report came from the other peer, through us: the time since it passed, less that delay, is the
//! way from us to the receiver and back, without the other peer's side.
//!
//! Must not know: calls, addresses.

use std::time::Duration;

use super::Quality;
use super::rtcp::{ReportBlock, RtcpBlock, RtcpPacket, VoipMetrics};
use crate::base::Instant;

/// Sender reports that are remembered: one comes each five seconds, and its answer within as long.
const REMEMBERED: usize = 3;

/// The last sender reports that passed in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SentReports {
    /// By the middle of their NTP timestamp. Zero is none: a receiver says it where it had none.
    passed: [(u32, Instant); REMEMBERED],
    next: u8,
}

impl SentReports {
    /// Remembers the sender reports of a datagram that is passed on at `now`.
    pub fn pass(&mut self, packet: &RtcpPacket<'_>, now: Instant) {
        packet.read(|block| {
            if let RtcpBlock::Sender(sender) = block
                && let Some(place) = self.passed.get_mut(usize::from(self.next))
            {
                *place = (sender.ntp_middle(), now);
                self.next = (self.next + 1) % REMEMBERED as u8;
            }
        });
    }

    fn passed_at(&self, ntp_middle: u32) -> Option<Instant> {
        let is_named = |(known, _): &&(u32, Instant)| *known == ntp_middle && ntp_middle != 0;
        self.passed.iter().find(is_named).map(|(_, at)| *at)
    }
}

/// What one peer reported so far. Plain data.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct PeerReports {
    /// The sources of the last reports, and what was lost of each: as many as [`Quality`] knows.
    sources: [(u32, i32); 2],
    /// Of sources before it.
    lost_before: u64,
    reports: u32,
    /// The sum of the fractions lost, in 1/256.
    fractions: u64,
    jitter_micros: u32,
    round_trips: u32,
    round_trip_micros: u64,
    metrics: Option<VoipMetrics>,
    summaries: Summaries,
}

/// The sums of a peer's statistics summaries (RFC 3611 §4.6).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summaries {
    /// Packets that it did not get.
    pub lost: u64,
    /// Packets that it got again.
    pub duplicates: u64,
}

impl PeerReports {
    /// Takes a datagram of the peer's into account. `sent` is what was passed on to it, measured when
    /// it came to us, `sender_reports` those that were passed on with it.
    pub fn receive(
        &mut self,
        packet: &RtcpPacket<'_>,
        sent: &Quality,
        sender_reports: &SentReports,
        now: Instant,
    ) {
        packet.read(|block| match block {
            RtcpBlock::Report(block) => self.report(&block, sent, sender_reports, now),
            RtcpBlock::VoipMetrics(metrics) if sent.clock_of(metrics.ssrc).is_some() => {
                self.metrics = Some(metrics);
            }
            RtcpBlock::Statistics(of) if sent.clock_of(of.ssrc).is_some() => {
                self.summaries.lost += u64::from(of.lost.unwrap_or(0));
                self.summaries.duplicates += u64::from(of.duplicates.unwrap_or(0));
            }
            RtcpBlock::Sender(_) | RtcpBlock::VoipMetrics(_) | RtcpBlock::Statistics(_) => {}
        });
    }

    fn report(&mut self, block: &ReportBlock, sent: &Quality, sender_reports: &SentReports, now: Instant) {
        let Some(clock_hz) = sent.clock_of(block.ssrc) else { return };
        if self.sources[0].0 != block.ssrc {
            self.sources.swap(0, 1);
        }
        if self.sources[0].0 != block.ssrc {
            // The one that was not reported for longer is over.
            self.lost_before += count(self.sources[0].1);
        }
        self.sources[0] = (block.ssrc, block.cumulative_lost);
        self.reports = self.reports.saturating_add(1);
        self.fractions += u64::from(block.fraction_lost);
        if let Some(clock_hz) = clock_hz {
            // A cast of a float stops at the limits.
            self.jitter_micros = (f64::from(block.jitter) * 1e6 / f64::from(clock_hz.max(1))) as u32;
        }
        if let Some(passed_at) = sender_reports.passed_at(block.last_sender_report) {
            let delay = Duration::from_secs_f64(f64::from(block.delay_since) / 65_536.0);
            // A peer whose clock runs otherwise says nothing of the way.
            if let Some(round_trip) = now.since(passed_at).checked_sub(delay) {
                self.round_trips = self.round_trips.saturating_add(1);
                let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
                self.round_trip_micros = self.round_trip_micros.saturating_add(micros);
            }
        }
    }

    /// Report blocks that were taken.
    pub fn reports(&self) -> u32 {
        self.reports
    }

    /// Packets that the peer did not get, by its own count.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.sources.iter().map(|(_, lost)| count(*lost)).sum::<u64>()
    }

    /// The share of them, 0–1: the mean of what each report says of the time since the one before.
    pub fn loss_ratio(&self) -> f64 {
        match self.reports {
            0 => 0.0,
            reports => self.fractions as f64 / f64::from(reports) / 256.0,
        }
    }

    /// Interarrival jitter at the peer, as it said last.
    pub fn jitter(&self) -> Duration {
        Duration::from_micros(self.jitter_micros.into())
    }

    /// From us to the peer and back, the mean; `None` where no report told it.
    pub fn round_trip(&self) -> Option<Duration> {
        Duration::from_micros(self.round_trip_micros).checked_div(self.round_trips)
    }

    /// What it said of the voice last (RFC 3611 §4.7).
    pub fn voip_metrics(&self) -> Option<&VoipMetrics> {
        self.metrics.as_ref()
    }

    /// What its statistics summaries say (RFC 3611 §4.6).
    pub fn summaries(&self) -> Summaries {
        self.summaries
    }
}

/// Packets lost; below zero where more came twice.
fn count(lost: i32) -> u64 {
    u64::from(lost.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::RtpPacket;

    const SSRC: u32 = 0x0000_0009;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// PCMU of one source.
    fn sent() -> Quality {
        let mut quality = Quality::default();
        let bytes = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
        quality.receive(&RtpPacket::parse(&bytes).unwrap(), at(0), || [None, None]);
        quality
    }

    fn sender_report(ntp_middle: u32) -> Vec<u8> {
        let mut bytes = vec![0x80, 200, 0, 6, 0, 0, 0, 9];
        bytes.extend((u64::from(ntp_middle) << 16).to_be_bytes());
        bytes.extend([0; 12]);
        bytes
    }

    fn receiver_report(ssrc: u32, fraction: u8, lost: u8, jitter: u32, lsr: u32, dlsr_ms: u32) -> Vec<u8> {
        let mut bytes = vec![0x81, 201, 0, 7, 0, 0, 0, 5];
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend([fraction, 0, 0, lost, 0, 0, 0, 0]);
        for word in [jitter, lsr, dlsr_ms * 65_536 / 1_000] {
            bytes.extend(word.to_be_bytes());
        }
        bytes
    }

    fn hear(reports: &mut PeerReports, bytes: &[u8], sender_reports: &SentReports, now: Instant) {
        reports.receive(&RtcpPacket::parse(bytes).unwrap(), &sent(), sender_reports, now);
    }

    #[test]
    fn the_round_trip_is_what_the_peer_did_not_wait() {
        let mut passed = SentReports::default();
        for (index, ntp_middle) in [(0u64, 0x1000u32), (1, 0x2000), (2, 0x3000)] {
            let bytes = sender_report(ntp_middle);
            passed.pass(&RtcpPacket::parse(&bytes).unwrap(), at(5_000 * index));
        }
        let mut reports = PeerReports::default();
        hear(&mut reports, &receiver_report(SSRC, 0, 0, 0, 0x2000, 1_000), &passed, at(6_040));
        assert_eq!(reports.round_trip().map(|time| time.as_millis()), Some(40));
        hear(&mut reports, &receiver_report(SSRC, 0, 0, 0, 0x3000, 500), &passed, at(10_560));
        assert_eq!(reports.round_trip().map(|time| time.as_millis()), Some(50));
        // One that never passed, none at all, and a delay that is longer than the time was.
        for (lsr, dlsr_ms) in [(0x9999, 1_000), (0, 1_000), (0x3000, 30_000)] {
            hear(&mut reports, &receiver_report(SSRC, 0, 0, 0, lsr, dlsr_ms), &passed, at(11_000));
        }
        assert_eq!((reports.reports(), reports.round_trip().unwrap().as_millis()), (5, 50));
    }

    #[test]
    fn old_sender_reports_make_room_for_new_ones() {
        let mut passed = SentReports::default();
        for index in 1..=6u32 {
            passed.pass(&RtcpPacket::parse(&sender_report(index)).unwrap(), at(u64::from(index)));
        }
        assert_eq!((passed.passed_at(3), passed.passed_at(4)), (None, Some(at(4))));
    }

    #[test]
    fn a_report_is_believed_only_of_a_source_that_was_passed_on() {
        let mut reports = PeerReports::default();
        let none = SentReports::default();
        hear(&mut reports, &receiver_report(0xbad, 128, 200, 800, 0, 0), &none, at(1));
        assert_eq!(reports, PeerReports::default());
        hear(&mut reports, &receiver_report(SSRC, 64, 20, 80, 0, 0), &none, at(1));
        hear(&mut reports, &receiver_report(SSRC, 0, 21, 160, 0, 0), &none, at(5_001));
        assert_eq!((reports.lost(), reports.loss_ratio()), (21, 0.125));
        assert_eq!((reports.jitter(), reports.round_trip()), (Duration::from_millis(20), None));
    }

    /// Two sources at once, or the one and the next: each says what was lost of it since its beginning.
    #[test]
    fn reports_of_two_sources_by_turns_count_each_loss_once() {
        let mut quality = sent();
        let next = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8];
        quality.receive(&RtpPacket::parse(&next).unwrap(), at(0), || [None, None]);
        let (mut reports, none) = (PeerReports::default(), SentReports::default());
        for turn in 0..10 {
            for (ssrc, lost) in [(SSRC, 5), (8, 2)] {
                let bytes = receiver_report(ssrc, 0, lost, 0, 0, 0);
                reports.receive(&RtcpPacket::parse(&bytes).unwrap(), &quality, &none, at(5_000 * turn));
            }
        }
        assert_eq!(reports.lost(), 7);
    }

    #[test]
    fn extended_reports_count_too() {
        let mut bytes = vec![0x80, 207, 0, 19, 0, 0, 0, 5];
        bytes.extend([7, 0, 0, 8, 0, 0, 0, 9, 0, 51]);
        bytes.extend([0; 16]);
        bytes.extend([43, 43, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([6, 0xc0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2]);
        bytes.extend([0; 20]);
        bytes[3] = (bytes.len() / 4 - 1) as u8;
        let mut reports = PeerReports::default();
        hear(&mut reports, &bytes, &SentReports::default(), at(0));
        hear(&mut reports, &bytes, &SentReports::default(), at(0));
        assert_eq!(reports.summaries(), Summaries { lost: 6, duplicates: 4 });
        let metrics = reports.voip_metrics().unwrap();
        assert_eq!((metrics.discard_rate, metrics.listening_score), (51, Some(43)));
    }

    #[test]
    fn reports_are_small() {
        assert!(size_of::<PeerReports>() + size_of::<SentReports>() <= 144);
    }
}
