//! What was measured of one direction's RTP before it came to us: loss, packets that came late or
//! twice, interarrival jitter (RFC 3550 A.8), and the estimated opinion score.
//!
//! **Sources.** Each SSRC has sequence numbers of its own, and so has each restart of one. What one
//! source lost stays counted when another begins; the step from the one to the other is no loss,
//! whatever the numbers are. Two sources are known at a time, so that two that take turns, or the last
//! packets of one that was overtaken by the next, count with their own.
//!
//! Must not know: calls, addresses.

use std::num::NonZeroU32;
use std::time::Duration;

use super::e_model::mean_opinion_score;
use super::sequence::{Sequence, Step};
use super::{Codec, Format, Formats, RtpPacket};
use crate::base::Instant;

/// The clocks that payload formats have; one that no SDP names is told from its timestamps.
const CLOCKS_HZ: [u32; 8] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];
/// That of G.722, whatever a peer wrote (RFC 3551 §4.5.2).
const G722_HZ: Option<NonZeroU32> = NonZeroU32::new(8_000);
/// How long timestamps are watched before they tell a clock.
const CLOCK_WATCH: Duration = Duration::from_millis(500);
/// A transit difference beyond this is a step of the sender's clock, not jitter.
const TRANSIT_STEP_MAX: Duration = Duration::from_secs(2);
/// A gap in the timestamps and none in the sequence numbers: the sender had nothing to say for longer
/// than any packet is.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// So many pauses are a habit (one may be a change of what the sender plays).
const PAUSES_OF_A_HABIT: u8 = 2;
/// No payload type.
const NO_PAYLOAD_TYPE: u8 = 0xff;

/// Running measurement of one direction on one port. Plain data: no allocation, some 270 bytes. What
/// every packet touches comes first.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
#[repr(C)]
pub struct Quality {
    received: u64,
    jitter_seconds: f64,
    jitter_max_seconds: f64,
    /// Of every packet after which J was computed: their mean is the call's.
    jitter_sum_seconds: f64,
    jitter_samples: u64,
    /// Of what was said last; telephone events and comfort noise say nothing.
    codec: Codec,
    pauses: u8,
    has_comfort_noise: bool,
    /// The present source, and the one before it.
    sources: [Option<Source>; 2],
    /// Of sources (SSRCs, restarts) that are over, and of packets that were of none.
    expected_before: u64,
    lost_before: u64,
    runs_before: u64,
    late: u32,
    duplicates: u32,
    ssrc_changes: u32,
    restarts: u32,
    sequence_step: Option<i16>,
}

/// One SSRC since its last restart.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Source {
    sequence: Sequence,
    ssrc: u32,
    /// The payload type of the last packet, and what it is.
    payload_type: u8,
    codec: Codec,
    first_arrival: Instant,
    first_timestamp: u32,
    last_timestamp: u32,
    /// The clock of the timestamps, once known: all formats of one source share it (RFC 4733 §2.1).
    clock_hz: Option<NonZeroU32>,
    /// Arrival less timestamp, in units of this clock, modulo 2^32 (A.8).
    transit: u32,
    transit_clock_hz: Option<NonZeroU32>,
}

impl Quality {
    /// Takes one valid packet into account that arrived at `now`. What its payload type is stands in
    /// one of these `formats`: those that the sender's SDP listed, or those of the peer it sends to,
    /// whose numbers it uses where they differ (RFC 3264 §6.1). They are asked for where it changes.
    pub fn receive<'f>(
        &mut self,
        packet: &RtpPacket<'_>,
        now: Instant,
        formats: impl FnOnce() -> [Option<&'f Formats>; 2],
    ) {
        self.received += 1;
        match &self.sources {
            [Some(source), _] if source.ssrc == packet.ssrc() => {}
            [_, Some(before)] if before.ssrc == packet.ssrc() => self.sources.swap(0, 1),
            _ => return self.change_source(packet, now, formats),
        }
        let [Some(source), _] = &mut self.sources else { return };
        let step = source.sequence.receive(packet.sequence());
        match step {
            Step::Ahead(skipped) => self.measure_ahead(packet, now, formats, skipped),
            Step::Late => self.late = self.late.saturating_add(1),
            Step::Duplicate => self.duplicates = self.duplicates.saturating_add(1),
            // The packet counts as received, so it must count as expected.
            Step::Jump => self.expected_before += 1,
            Step::Restart => {
                self.restarts = self.restarts.saturating_add(1);
                let over = self.sources[0].take();
                self.end(over);
                self.begin(packet, now, formats);
            }
        }
    }

    /// Reads one word of each line of memory that a packet needs here.
    #[inline]
    pub fn bring_near(&self) -> u64 {
        let source = self.sources[0].as_ref();
        let source = source.map_or(0, |source| {
            u64::from(source.ssrc) ^ u64::from(source.sequence.highest()) ^ u64::from(source.transit)
        });
        self.received ^ self.jitter_samples ^ source
    }

    /// Packets that came, doubled ones too.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that the sequence numbers say should have come.
    pub fn expected(&self) -> u64 {
        self.expected_before + self.sources().map(|source| source.sequence.expected()).sum::<u64>()
    }

    /// Packets that did not, or not yet.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.sources().map(|source| source.sequence.lost()).sum::<u64>()
    }

    /// Packets that came after one that was sent later.
    pub fn reordered(&self) -> u64 {
        self.late.into()
    }

    /// Packets that had come before.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.into()
    }

    /// How often a source began that was not known.
    pub fn ssrc_changes(&self) -> u32 {
        self.ssrc_changes
    }

    /// How often a source began its sequence numbers anew.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// By how much the sequence numbers differ at the last change of SSRC: 1 is a sender that counts
    /// on. `None`: there was none.
    pub fn sequence_step(&self) -> Option<i16> {
        self.sequence_step
    }

    /// Lost of expected, 0–1.
    pub fn loss_ratio(&self) -> f64 {
        match self.expected() {
            0 => 0.0,
            expected => self.lost() as f64 / expected as f64,
        }
    }

    /// How much longer the bursts of loss are than those of random loss (G.107 clause 7.5): 1 is
    /// random.
    pub fn burst_ratio(&self) -> f64 {
        let runs = self.runs_before + self.sources().map(|source| source.sequence.runs()).sum::<u64>();
        match runs {
            0 => 1.0,
            runs => self.lost() as f64 / runs as f64 * (1.0 - self.loss_ratio()),
        }
    }

    /// Interarrival jitter as it is now, a smoothed mean deviation.
    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter_seconds)
    }

    /// The highest that it was.
    pub fn jitter_max(&self) -> Duration {
        Duration::from_secs_f64(self.jitter_max_seconds)
    }

    /// Its mean over the whole stream.
    pub fn jitter_mean(&self) -> Duration {
        match self.jitter_samples {
            0 => Duration::ZERO,
            samples => Duration::from_secs_f64(self.jitter_sum_seconds / samples as f64),
        }
    }

    /// The estimated opinion score; `None` where nothing came.
    pub fn mean_opinion_score(&self) -> Option<f64> {
        (self.received > 0).then(|| {
            mean_opinion_score(self.codec, self.loss_ratio(), self.burst_ratio(), self.jitter_mean())
        })
    }

    /// What carried the voice last.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether the sender says nothing while nobody speaks: its silence is no fault.
    pub fn suppresses_silence(&self) -> bool {
        self.has_comfort_noise || self.pauses >= PAUSES_OF_A_HABIT
    }

    /// The clock of a source, in Hz; `None`: it is not one of ours, `Some(None)`: it is, and its clock is not known.
    pub fn clock_of(&self, ssrc: u32) -> Option<Option<u32>> {
        self.sources().find(|source| source.ssrc == ssrc).map(|source| source.clock_hz.map(NonZeroU32::get))
    }

    /// The formats changed: what payload types are is looked up anew.
    pub fn forget_formats(&mut self) {
        for source in self.sources.iter_mut().flatten() {
            source.payload_type = NO_PAYLOAD_TYPE;
        }
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().flatten()
    }

    /// A packet that is ahead of all others of the present source.
    fn measure_ahead<'f>(
        &mut self,
        packet: &RtpPacket<'_>,
        now: Instant,
        formats: impl FnOnce() -> [Option<&'f Formats>; 2],
        skipped: u16,
    ) {
        let [Some(source), _] = &mut self.sources else { return };
        let before = source.codec;
        source.look_up(packet.payload_type(), formats);
        if source.codec == Codec::TelephoneEvent {
            // Its timestamp is when the key was pressed (RFC 4733 §2.1).
            return;
        }
        self.has_comfort_noise |= is_comfort_noise(source.codec, packet.payload());
        if source.codec != Codec::ComfortNoise {
            self.codec = source.codec;
        }
        if skipped == 0 && before != Codec::TelephoneEvent && source.was_quiet_before(packet) {
            self.pauses = self.pauses.saturating_add(1);
        }
        // J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16
        if let Some(difference) = source.transit_difference(packet, now) {
            self.jitter_seconds += (difference - self.jitter_seconds) / 16.0;
            self.jitter_max_seconds = self.jitter_max_seconds.max(self.jitter_seconds);
            self.jitter_sum_seconds += self.jitter_seconds;
            self.jitter_samples += 1;
        }
    }

    /// A source that is not known: the one before the present one is over.
    fn change_source<'f>(
        &mut self,
        packet: &RtpPacket<'_>,
        now: Instant,
        formats: impl FnOnce() -> [Option<&'f Formats>; 2],
    ) {
        let [present, over] = std::mem::take(&mut self.sources);
        self.end(over);
        if let Some(present) = &present {
            self.ssrc_changes = self.ssrc_changes.saturating_add(1);
            self.sequence_step =
                Some(packet.sequence().wrapping_sub(present.sequence.highest()).cast_signed());
        }
        self.sources[1] = present;
        self.begin(packet, now, formats);
    }

    fn end(&mut self, over: Option<Source>) {
        let Some(Source { sequence, .. }) = over else { return };
        self.expected_before += sequence.expected();
        self.lost_before += sequence.lost();
        self.runs_before += sequence.runs();
    }

    /// The present source begins with this packet.
    fn begin<'f>(
        &mut self,
        packet: &RtpPacket<'_>,
        now: Instant,
        formats: impl FnOnce() -> [Option<&'f Formats>; 2],
    ) {
        let mut source = Source {
            sequence: Sequence::begin(packet.sequence()),
            ssrc: packet.ssrc(),
            payload_type: NO_PAYLOAD_TYPE,
            codec: Codec::Other,
            first_arrival: now,
            first_timestamp: packet.timestamp(),
            last_timestamp: packet.timestamp(),
            clock_hz: None,
            transit: 0,
            transit_clock_hz: None,
        };
        source.look_up(packet.payload_type(), formats);
        source.transit_clock_hz = source.clock_hz;
        source.transit = source.clock_hz.map_or(0, |clock_hz| transit(packet, now, clock_hz));
        self.has_comfort_noise |= is_comfort_noise(source.codec, packet.payload());
        if !matches!(source.codec, Codec::TelephoneEvent | Codec::ComfortNoise) {
            self.codec = source.codec;
        }
        self.sources[0] = Some(source);
    }
}

impl Source {
    /// What a payload type is and how fast its clock runs, if that is another than before.
    fn look_up<'f>(&mut self, payload_type: u8, formats: impl FnOnce() -> [Option<&'f Formats>; 2]) {
        if self.payload_type == payload_type {
            return;
        }
        self.payload_type = payload_type;
        let listed =
            formats().into_iter().flatten().find_map(|formats| formats.of_payload_type(payload_type));
        let format = listed.copied().or_else(|| Format::of_static_type(payload_type));
        let clock_hz = format.and_then(|format| NonZeroU32::new(format.clock_hz));
        self.codec = format.map_or(Codec::Other, |format| format.codec);
        self.clock_hz = match self.codec {
            Codec::G722 => G722_HZ,
            // Events have the clock of the voice, and some say 8,000 beside a codec of 48,000.
            Codec::TelephoneEvent => self.clock_hz.or(clock_hz),
            _ => clock_hz.or(self.clock_hz),
        };
    }

    /// Whether the timestamps say that the sender was quiet before this packet.
    fn was_quiet_before(&self, packet: &RtpPacket<'_>) -> bool {
        let Some(clock_hz) = self.clock_hz else { return false };
        let passed = packet.timestamp().wrapping_sub(self.last_timestamp);
        let is_forward = passed < 1 << 31;
        is_forward && f64::from(passed) / f64::from(clock_hz.get()) > PAUSE_MIN.as_secs_f64()
    }

    /// |D| of A.8 in seconds, or `None` where it would say nothing of the network: several packets
    /// of one timestamp (a video frame), a clock that is new or not known yet, a step of the sender's.
    fn transit_difference(&mut self, packet: &RtpPacket<'_>, now: Instant) -> Option<f64> {
        if packet.timestamp() == self.last_timestamp {
            return None;
        }
        self.last_timestamp = packet.timestamp();
        let clock_hz = self.clock_hz.or_else(|| self.told_clock(packet, now))?;
        self.clock_hz = Some(clock_hz);
        let transit = transit(packet, now, clock_hz);
        let difference = (transit.wrapping_sub(self.transit).cast_signed()).unsigned_abs();
        self.transit = transit;
        let is_new_clock = self.transit_clock_hz.replace(clock_hz) != Some(clock_hz);
        let seconds = f64::from(difference) / f64::from(clock_hz.get());
        (!is_new_clock && seconds < TRANSIT_STEP_MAX.as_secs_f64()).then_some(seconds)
    }

    /// The clock that comes nearest to how fast the timestamps ran so far.
    fn told_clock(&self, packet: &RtpPacket<'_>, now: Instant) -> Option<NonZeroU32> {
        let watched = now.since(self.first_arrival);
        if watched < CLOCK_WATCH {
            return None;
        }
        let ran = f64::from(packet.timestamp().wrapping_sub(self.first_timestamp)) / watched.as_secs_f64();
        let nearest = CLOCKS_HZ.into_iter().min_by(|a, b| {
            let distance = |clock_hz: u32| (f64::from(clock_hz) / ran.max(1.0)).ln().abs();
            distance(*a).total_cmp(&distance(*b))
        });
        nearest.and_then(NonZeroU32::new)
    }
}

/// Whether a packet says that silence follows: comfort noise (RFC 3389), or the frame for it that some
/// codecs have of their own (RFC 3551 §4.5.6, 2 bytes behind G.729's frames of 10; §4.5.3, 4 of G.723.1).
fn is_comfort_noise(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::ComfortNoise => true,
        Codec::G729 => payload.len() % 10 == 2,
        Codec::G723 => payload.len() == 4,
        _ => false,
    }
}

fn transit(packet: &RtpPacket<'_>, now: Instant, clock_hz: NonZeroU32) -> u32 {
    // The seconds and the rest by themselves: the product of all would want 128 bits.
    let (seconds, micros) = (now.as_micros() / 1_000_000, now.as_micros() % 1_000_000);
    let of_rest = micros * u64::from(clock_hz.get()) / 1_000_000;
    let arrival = (seconds as u32).wrapping_mul(clock_hz.get()).wrapping_add(of_rest as u32);
    arrival.wrapping_sub(packet.timestamp())
}

#[cfg(test)]
mod tests;
