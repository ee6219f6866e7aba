//! What one direction's sequence numbers and timestamps say of the network before us: loss
//! (RFC 3550 A.1, A.3), interarrival jitter (A.8) and an estimated opinion score (ITU-T G.107).

use std::time::Duration;

use super::RtpPacket;
use crate::base::Instant;

/// A jump forward of this many is loss; a larger one is a restart (RFC 3550 A.1, MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3_000;
/// A packet up to this many behind is late or doubled, not a restart (A.1, MAX_MISORDER).
const MISORDER_MAX: u16 = 100;
/// The clocks that payload formats have; a dynamic payload type's is told from its timestamps.
const CLOCKS_HZ: [u32; 8] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];
/// How long timestamps are watched before they tell a clock.
const CLOCK_WATCH: Duration = Duration::from_millis(500);
/// A transit difference beyond this is a step of the sender's clock, not jitter.
const TRANSIT_STEP_MAX: Duration = Duration::from_secs(2);

/// Running measurement of one direction on one port. Plain data: no allocation, a few dozen bytes.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Quality {
    source: Option<Source>,
    /// Of sources (SSRC, restarts) that ended before the present one.
    expected_before: u64,
    received: u64,
    jitter_seconds: f64,
}

/// The sequence of one SSRC since its last restart.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Source {
    ssrc: u32,
    base_sequence: u16,
    highest_sequence: u16,
    /// Wraps of the sequence number, in units of 65,536.
    cycles: u64,
    /// The packet after a jump; if it comes, the jump was a restart (A.1, bad_seq).
    restart_candidate: Option<u16>,
    first_arrival: Instant,
    first_timestamp: u32,
    last_timestamp: u32,
    /// The clock of the timestamps, once known: all formats of one source share it (RFC 4733 §2.1).
    clock_hz: Option<u32>,
    /// Arrival less timestamp, in the clock's units, modulo 2^32 (A.8); meaningless without clock.
    transit: u32,
}

impl Quality {
    /// Takes one valid packet into account that arrived at `now`.
    pub fn receive(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        self.received += 1;
        let is_same_source = self.source.is_some_and(|source| source.ssrc == packet.ssrc());
        if !is_same_source {
            self.begin(packet, now);
            return;
        }
        let Some(source) = &mut self.source else { return };
        match source.advance(packet.sequence()) {
            Step::Ahead => {
                let difference = source.transit_difference(packet, now);
                // J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16
                if let Some(difference) = difference {
                    self.jitter_seconds += (difference - self.jitter_seconds) / 16.0;
                }
            }
            Step::Behind => {}
            // The packet counts as received, so it must count as expected.
            Step::Jump => self.expected_before += 1,
            Step::Restart => self.begin(packet, now),
        }
    }

    /// Packets that came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that the sequence numbers say should have come.
    pub fn expected(&self) -> u64 {
        self.expected_before + self.source.map_or(0, |source| source.expected())
    }

    /// Packets that did not; those that came twice hide as many (RFC 3550 §6.4.1).
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// Lost of expected, 0–1.
    pub fn loss_ratio(&self) -> f64 {
        match self.expected() {
            0 => 0.0,
            expected => self.lost() as f64 / expected as f64,
        }
    }

    /// Interarrival jitter, a smoothed mean deviation.
    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter_seconds)
    }

    /// The estimated opinion score; `None` where nothing came.
    pub fn mean_opinion_score(&self) -> Option<f64> {
        (self.received > 0).then(|| mean_opinion_score(self.loss_ratio(), self.jitter()))
    }

    /// Begins to count anew with this packet, keeping the totals.
    fn begin(&mut self, packet: &RtpPacket<'_>, now: Instant) {
        self.expected_before += self.source.map_or(0, |source| source.expected());
        let clock_hz = clock_rate(packet.payload_type());
        let transit = clock_hz.map_or(0, |clock_hz| transit(packet, now, clock_hz));
        self.source = Some(Source {
            ssrc: packet.ssrc(),
            base_sequence: packet.sequence(),
            highest_sequence: packet.sequence(),
            cycles: 0,
            restart_candidate: None,
            first_arrival: now,
            first_timestamp: packet.timestamp(),
            last_timestamp: packet.timestamp(),
            clock_hz,
            transit,
        });
    }
}

/// What a sequence number is to those before it (RFC 3550 A.1).
enum Step {
    /// In order, perhaps after a loss.
    Ahead,
    /// Late or doubled.
    Behind,
    /// Far off, once.
    Jump,
    /// Far off and continued: the sender began anew.
    Restart,
}

impl Source {
    fn expected(&self) -> u64 {
        self.cycles + u64::from(self.highest_sequence) + 1 - u64::from(self.base_sequence)
    }

    fn advance(&mut self, sequence: u16) -> Step {
        let ahead = sequence.wrapping_sub(self.highest_sequence);
        if ahead != 0 && ahead < DROPOUT_MAX {
            if sequence < self.highest_sequence {
                self.cycles += 1 << 16;
            }
            self.highest_sequence = sequence;
            self.restart_candidate = None;
            Step::Ahead
        } else if ahead == 0 || ahead > u16::MAX - MISORDER_MAX {
            Step::Behind
        } else if self.restart_candidate == Some(sequence) {
            Step::Restart
        } else {
            self.restart_candidate = Some(sequence.wrapping_add(1));
            Step::Jump
        }
    }

    /// |D| of A.8 in seconds, or `None` where it would say nothing of the network: several packets
    /// of one timestamp (a video frame, one RFC 4733 event), a clock that is new or not known yet,
    /// a step of the sender's.
    fn transit_difference(&mut self, packet: &RtpPacket<'_>, now: Instant) -> Option<f64> {
        if packet.timestamp() == self.last_timestamp {
            return None;
        }
        self.last_timestamp = packet.timestamp();
        let known = self.clock_hz;
        self.clock_hz = clock_rate(packet.payload_type()).or(known).or_else(|| self.told_clock(packet, now));
        let clock_hz = self.clock_hz?;
        let transit = transit(packet, now, clock_hz);
        let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        let seconds = f64::from(difference) / f64::from(clock_hz);
        (known == self.clock_hz && seconds < TRANSIT_STEP_MAX.as_secs_f64()).then_some(seconds)
    }

    /// The clock that comes nearest to how fast the timestamps ran so far.
    fn told_clock(&self, packet: &RtpPacket<'_>, now: Instant) -> Option<u32> {
        let watched = now.since(self.first_arrival);
        if watched < CLOCK_WATCH {
            return None;
        }
        let ran = f64::from(packet.timestamp().wrapping_sub(self.first_timestamp)) / watched.as_secs_f64();
        CLOCKS_HZ.into_iter().min_by(|a, b| {
            let distance = |clock_hz: u32| (f64::from(clock_hz) / ran.max(1.0)).ln().abs();
            distance(*a).total_cmp(&distance(*b))
        })
    }
}

fn transit(packet: &RtpPacket<'_>, now: Instant, clock_hz: u32) -> u32 {
    let arrival = u128::from(now.as_micros()) * u128::from(clock_hz) / 1_000_000;
    (arrival as u32).wrapping_sub(packet.timestamp())
}

/// The clock of a static payload type, in Hz (RFC 3551 §6). Of the dynamic ones only SDP knows it.
pub const fn clock_rate(payload_type: u8) -> Option<u32> {
    match payload_type {
        6 => Some(16_000),
        10 | 11 => Some(44_100),
        14 | 25 | 26 | 28 | 31..=34 => Some(90_000),
        16 => Some(11_025),
        17 => Some(22_050),
        0..=34 => Some(8_000),
        _ => None,
    }
}

/// A mean opinion score, 1.0–4.5, from loss (0–1) and jitter, by the E-model of ITU-T G.107 with
/// all its defaults: G.711 with loss concealment (G.113: Ie 0, Bpl 25.1), random loss, and for the
/// delay only what a jitter buffer adds, since the far ends' is not seen from here.
pub fn mean_opinion_score(loss_ratio: f64, jitter: Duration) -> f64 {
    const DEFAULT_RATING: f64 = 93.2;
    const LOSS_ROBUSTNESS: f64 = 25.1;
    const PACKET_MS: f64 = 20.0;

    let loss_percent = loss_ratio.clamp(0.0, 1.0) * 100.0;
    let equipment_impairment = 95.0 * loss_percent / (loss_percent + LOSS_ROBUSTNESS);
    let delay_ms = PACKET_MS + 2.0 * jitter.as_secs_f64() * 1_000.0;
    let delay_impairment = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
    opinion_of_rating(DEFAULT_RATING - delay_impairment - equipment_impairment)
}

/// The opinion score of a transmission rating R (G.107 annex B).
fn opinion_of_rating(rating: f64) -> f64 {
    let rating = rating.clamp(0.0, 100.0);
    (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
        let mut bytes = vec![0x80, 0];
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&timestamp.to_be_bytes());
        bytes.extend_from_slice(&ssrc.to_be_bytes());
        bytes
    }

    /// Feeds sequence numbers, one each 20 ms with timestamps to match.
    fn measure(sequences: impl IntoIterator<Item = u16>) -> Quality {
        let mut quality = Quality::default();
        for (index, sequence) in (0u32..).zip(sequences) {
            let bytes = packet(7, sequence, index * 160);
            let now = Instant::from_millis(1_000 + 20 * u64::from(index));
            quality.receive(&RtpPacket::parse(&bytes).unwrap(), now);
        }
        quality
    }

    #[test]
    fn nothing_lost_in_order_over_the_wrap() {
        let quality = measure((0..1_000u16).map(|index| 65_000u16.wrapping_add(index)));
        assert_eq!((quality.received(), quality.expected(), quality.lost()), (1_000, 1_000, 0));
        assert!(quality.jitter() < Duration::from_micros(1));
    }

    #[test]
    fn gaps_are_loss_and_late_packets_fill_them() {
        assert_eq!(measure([1, 2, 5, 6]).lost(), 2);
        assert_eq!(measure([1, 2, 5, 3, 4, 6]).lost(), 0);
        assert_eq!(measure([65_534, 2]).lost(), 3);
    }

    #[test]
    fn doubled_packets_never_make_loss_negative() {
        let quality = measure([1, 2, 2, 2, 3]);
        assert_eq!((quality.received(), quality.lost()), (5, 0));
    }

    #[test]
    fn a_restart_is_no_loss() {
        let quality = measure([10, 11, 12, 40_000, 40_001, 40_002]);
        assert_eq!((quality.received(), quality.lost()), (6, 0));
    }

    #[test]
    fn one_stray_packet_is_no_restart() {
        let quality = measure([10, 11, 40_000, 12, 13]);
        assert_eq!((quality.received(), quality.lost()), (5, 0));
    }

    #[test]
    fn a_new_source_keeps_what_the_old_one_lost() {
        let mut quality = Quality::default();
        for (ssrc, sequence) in [(1, 100), (1, 103), (2, 9_000), (2, 9_002)] {
            let bytes = packet(ssrc, sequence, 0);
            quality.receive(&RtpPacket::parse(&bytes).unwrap(), Instant::ZERO);
        }
        assert_eq!(quality.lost(), 3);
    }

    #[test]
    fn jitter_follows_the_formula_of_the_rfc() {
        // Packets alternately on time and 8 ms late: |D| is 8 ms each time, so J converges to it
        // by 1/16 a packet: after n packets 8·(1 − (15/16)^n).
        let mut quality = Quality::default();
        for index in 0..11u32 {
            let bytes = packet(1, index as u16, index * 160);
            let late = if index % 2 == 1 { 8 } else { 0 };
            let now = Instant::from_millis(500 + u64::from(index) * 20 + late);
            quality.receive(&RtpPacket::parse(&bytes).unwrap(), now);
        }
        let expected = 8.0 * (1.0 - (15.0f64 / 16.0).powi(10));
        assert!((quality.jitter().as_secs_f64() * 1_000.0 - expected).abs() < 0.01);
    }

    #[test]
    fn a_dynamic_payload_types_clock_is_told_from_its_timestamps() {
        for (clock_hz, late_ms) in [(48_000u32, 0), (48_000, 6), (16_000, 6), (8_000, 6), (90_000, 6)] {
            let mut quality = Quality::default();
            for index in 0..400u32 {
                let mut bytes = packet(1, index as u16, (index * clock_hz / 50).wrapping_sub(5_000));
                bytes[1] = 111;
                let late = if index % 2 == 1 { late_ms } else { 0 };
                let now = Instant::from_millis(u64::from(index) * 20 + late);
                quality.receive(&RtpPacket::parse(&bytes).unwrap(), now);
            }
            let jitter_ms = quality.jitter().as_secs_f64() * 1_000.0;
            assert!((jitter_ms - late_ms as f64).abs() < 0.1, "{clock_hz} Hz: {jitter_ms} ms");
        }
    }

    #[test]
    fn events_that_share_a_timestamp_are_not_jitter() {
        let mut quality = Quality::default();
        for index in 0..20u16 {
            let bytes = packet(1, index, 160);
            let now = Instant::from_millis(u64::from(index) * 50);
            quality.receive(&RtpPacket::parse(&bytes).unwrap(), now);
        }
        assert_eq!(quality.jitter(), Duration::ZERO);
    }

    #[test]
    fn ratings_give_the_scores_of_g_107() {
        for (rating, score) in
            [(93.2, 4.41), (90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)]
        {
            assert!((opinion_of_rating(rating) - score).abs() < 0.01, "{rating}");
        }
        assert_eq!(opinion_of_rating(-5.0), 1.0);
        assert_eq!(opinion_of_rating(100.0), 4.5);
    }

    #[test]
    fn scores_fall_with_loss_and_jitter() {
        let clean = mean_opinion_score(0.0, Duration::ZERO);
        let lossy = mean_opinion_score(0.05, Duration::ZERO);
        let late = mean_opinion_score(0.0, Duration::from_millis(150));
        assert!(clean > 4.35 && lossy < 4.0 && late < 4.0 && lossy > 3.0 && late > 3.0);
        assert_eq!(mean_opinion_score(1.0, Duration::from_secs(9)), 1.0);
        assert_eq!(measure([]).mean_opinion_score(), None);
    }
}
