//! The user agents' audio: G.711 µ-law in RTP (RFC 3550, RFC 3551 §4.5.14), a packet each 20 ms,
//! and what the far end measures of it.
//!
//! Every stream sings a tone of its own, so that no packet equals another and the listener, who
//! knows the tone, can check each byte. Must not know: SIP, the relay (it measures for itself).

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{interval, sleep_until};

use crate::base::{Instant, Random};
use crate::runtime::Clock;

/// How much audio a packet carries.
pub const PACKET_TIME: Duration = Duration::from_millis(20);
/// Samples, and bytes, of one packet at 8,000 Hz.
const SAMPLES: usize = 160;
const HEADER_BYTES: usize = 12;
const PACKET_BYTES: usize = HEADER_BYTES + SAMPLES;
const CLOCK_HZ: f64 = 8_000.0;
/// Payload type 0 is PCMU (RFC 3551 §6).
const PAYLOAD_TYPE_PCMU: u8 = 0;
/// How loud: half of full scale.
const AMPLITUDE: f64 = 16_000.0;
/// How long a listener waits for stragglers after it has itself said everything.
const TAIL: Duration = Duration::from_millis(500);

/// One direction's audio: everything in it follows from these four numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    ssrc: u32,
    first_sequence: u16,
    first_timestamp: u32,
    tone_hz: u16,
}

impl Stream {
    /// A stream with random beginnings, as RFC 3550 §5.1 asks.
    pub fn new(tone_hz: u16, random: &mut Random) -> Stream {
        let bits = random.bits();
        Stream {
            ssrc: bits as u32,
            first_sequence: (bits >> 32) as u16,
            first_timestamp: random.bits() as u32,
            tone_hz,
        }
    }

    /// The packet of this number, counted from 0.
    fn packet(&self, index: u32) -> [u8; PACKET_BYTES] {
        let mut packet = [0; PACKET_BYTES];
        let first_sample = index.wrapping_mul(SAMPLES as u32);
        packet[0] = 0x80;
        // The marker bit begins a talkspurt (RFC 3551 §4.1).
        packet[1] = PAYLOAD_TYPE_PCMU | if index == 0 { 0x80 } else { 0 };
        packet[2..4].copy_from_slice(&self.first_sequence.wrapping_add(index as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&self.first_timestamp.wrapping_add(first_sample).to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        for (sample, byte) in (first_sample..).zip(&mut packet[HEADER_BYTES..]) {
            let phase = TAU * f64::from(self.tone_hz) * f64::from(sample) / CLOCK_HZ;
            *byte = mu_law((phase.sin() * AMPLITUDE) as i16);
        }
        packet
    }
}

/// One linear sample as µ-law (ITU-T G.711): sign, the segment of the magnitude, four bits of it;
/// all inverted.
fn mu_law(sample: i16) -> u8 {
    const BIAS: i32 = 132;
    const CLIP: i32 = 32_635;

    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The bias puts the highest bit at 7 or above; the segment says where.
    let segment = 24 - magnitude.leading_zeros() as i32;
    let mantissa = magnitude >> (segment + 3) & 0x0f;
    !(sign | (segment << 4) | mantissa) as u8
}

/// What one party of a call knows when it has talked.
#[derive(Debug, Default)]
pub struct Talk {
    /// When it sent each packet, by number.
    pub sent: Vec<Instant>,
    /// What it heard.
    pub heard: Tally,
}

/// What arrived of one stream.
#[derive(Debug, Default)]
pub struct Tally {
    /// Number and time of each packet that was right to the last bit, as they came.
    arrivals: Vec<(u32, Instant)>,
    /// Packets of the stream that were not.
    damaged: u32,
    /// What was no packet of the stream, or came from another address.
    strange: u32,
}

impl Tally {
    fn receive(&mut self, stream: &Stream, packet: &[u8], now: Instant) {
        let header = packet.get(..HEADER_BYTES);
        if header.is_none_or(|header| header[8..12] != stream.ssrc.to_be_bytes()) {
            self.strange += 1;
            return;
        }
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let index = self.index_of(sequence.wrapping_sub(stream.first_sequence));
        if *packet == stream.packet(index) {
            self.arrivals.push((index, now));
        } else {
            self.damaged += 1;
        }
    }

    /// The packet's number from its 16 bits: the one nearest to the last that came.
    fn index_of(&self, low: u16) -> u32 {
        let last = self.arrivals.last().map_or(0, |(index, _)| *index);
        let step = low.wrapping_sub(last as u16) as i16;
        last.saturating_add_signed(i32::from(step))
    }
}

/// Speaks `packets` packets of one stream and listens to another, over one socket; ends when
/// everything was said and heard, or a little after the last was said.
pub async fn talk(
    socket: &UdpSocket,
    far: SocketAddr,
    speaks: &Stream,
    hears: &Stream,
    packets: u32,
    clock: Clock,
) -> Talk {
    let mut talk = Talk::default();
    let mut ticks = interval(PACKET_TIME);
    let mut buffer = [0; 2 * PACKET_BYTES];
    let mut patience = clock.now();
    loop {
        let said = talk.sent.len() as u32;
        if said == packets && talk.heard.arrivals.len() as u32 >= packets {
            return talk;
        }
        tokio::select! {
            biased;
            received = socket.recv_from(&mut buffer) => {
                let now = clock.now();
                match received {
                    Ok((length, source)) if source == far => {
                        talk.heard.receive(hears, &buffer[..length], now);
                    }
                    Ok(_) => talk.heard.strange += 1,
                    // An ICMP error for what we sent: the packet is missed at the far end.
                    Err(_) => {}
                }
            }
            _ = ticks.tick(), if said < packets => {
                let packet = speaks.packet(said);
                patience = clock.now() + TAIL;
                talk.sent.push(clock.now());
                // What could not be sent does not arrive, and is counted there.
                let _ = socket.send_to(&packet, far).await;
            }
            () = sleep_until(clock.to_std(patience).into()), if said == packets => return talk,
        }
    }
}

/// What one listener can say of one stream, when the speaker's times are laid beside its own.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Heard {
    /// Packets that were sent.
    pub sent: u64,
    /// Different packets that arrived as they were sent, byte for byte.
    pub verified: u64,
    /// Packets that arrived more than once.
    pub repeated: u64,
    /// Packets that arrived changed.
    pub damaged: u64,
    /// Datagrams that did not belong.
    pub strange: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), of the stream that had most.
    pub jitter: Duration,
    /// The way of each packet, in ascending order.
    pub delays: Vec<Duration>,
}

impl Heard {
    /// Measures one stream.
    pub fn of(sent: &[Instant], heard: &Tally) -> Heard {
        let mut seen = vec![false; sent.len()];
        let (mut delays, mut repeated) = (Vec::with_capacity(sent.len()), 0);
        for (index, arrived) in &heard.arrivals {
            let Some(departed) = sent.get(*index as usize) else { continue };
            if std::mem::replace(&mut seen[*index as usize], true) {
                repeated += 1;
            } else {
                delays.push(arrived.since(*departed));
            }
        }
        delays.sort_unstable();
        Heard {
            sent: sent.len() as u64,
            verified: delays.len() as u64,
            repeated,
            damaged: u64::from(heard.damaged),
            strange: u64::from(heard.strange),
            jitter: jitter(&heard.arrivals),
            delays,
        }
    }

    /// Packets that did not arrive, or not intact.
    pub fn lost(&self) -> u64 {
        self.sent - self.verified
    }

    /// Whether the stream came through: intact, alone, and all but what UDP may lose on a machine
    /// that is busy with other things (of a short stream, one packet).
    pub fn is_good(&self) -> bool {
        const LOSS_PERCENT_MAX: u64 = 1;
        self.verified > 0
            && self.repeated + self.damaged + self.strange == 0
            && self.lost() * 100 <= self.sent.max(100) * LOSS_PERCENT_MAX
    }

    /// In words, where it is not good.
    pub fn complaint(&self) -> String {
        format!(
            "heard {} of {} packets, {} damaged, {} twice, {} not of its stream",
            self.verified, self.sent, self.damaged, self.repeated, self.strange
        )
    }

    /// Takes another stream in: sums, and the worse of the two jitters.
    pub fn merge(&mut self, other: &Heard) {
        self.sent += other.sent;
        self.verified += other.verified;
        self.repeated += other.repeated;
        self.damaged += other.damaged;
        self.strange += other.strange;
        self.jitter = self.jitter.max(other.jitter);
        self.delays.extend_from_slice(&other.delays);
        self.delays.sort_unstable();
    }

    /// The delay that `percent` of the packets did not exceed (nearest rank); `None` of nothing.
    pub fn delay(&self, percent: usize) -> Option<Duration> {
        let rank = (self.delays.len() * percent).div_ceil(100);
        self.delays.get(rank.saturating_sub(1)).copied()
    }
}

/// RFC 3550 A.8: J = J + (|D| - J) / 16, where D is how much further apart two packets arrived than
/// they were spoken.
fn jitter(arrivals: &[(u32, Instant)]) -> Duration {
    let mut jitter_us = 0.0;
    for pair in arrivals.windows(2) {
        let [(earlier, earlier_at), (later, later_at)] = pair else { continue };
        let arrived_us = later_at.as_micros() as f64 - earlier_at.as_micros() as f64;
        let spoken_us = (f64::from(*later) - f64::from(*earlier)) * PACKET_TIME.as_micros() as f64;
        jitter_us += ((arrived_us - spoken_us).abs() - jitter_us) / 16.0;
    }
    Duration::from_secs_f64(jitter_us / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream { ssrc: 0xfeed_0001, first_sequence: 65_534, first_timestamp: u32::MAX - 100, tone_hz: 425 }
    }

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// Sends one packet each 20 ms from 1 s on; each arrives `delay_us(index)` later.
    fn send(count: u32, delay_us: impl Fn(u32) -> Option<u64>) -> Heard {
        let mut tally = Tally::default();
        let mut sent = Vec::new();
        for index in 0..count {
            let at = ms(1_000 + 20 * u64::from(index));
            sent.push(at);
            if let Some(delay) = delay_us(index) {
                tally.receive(&stream(), &stream().packet(index), at + Duration::from_micros(delay));
            }
        }
        Heard::of(&sent, &tally)
    }

    #[test]
    fn headers_count_over_their_ends() {
        let (first, third) = (stream().packet(0), stream().packet(2));
        assert_eq!(first[..4], [0x80, 0x80, 0xff, 0xfe]);
        assert_eq!(third[..4], [0x80, 0x00, 0x00, 0x00]);
        assert_eq!(first[4..8], (u32::MAX - 100).to_be_bytes());
        assert_eq!(third[4..8], 219u32.to_be_bytes());
        assert_eq!(third[8..12], [0xfe, 0xed, 0x00, 0x01]);
        assert_eq!(first.len(), 172);
    }

    #[test]
    fn mu_law_has_the_values_of_g711() {
        for (sample, code) in
            [(0, 0xff), (-1, 0x7f), (4, 0xfe), (132, 0xef), (1_000, 0xce), (i16::MAX, 0x80), (i16::MIN, 0x00)]
        {
            assert_eq!(mu_law(sample), code, "{sample}");
        }
    }

    #[test]
    fn no_packet_of_a_tone_equals_the_next() {
        assert_ne!(stream().packet(1)[12..], stream().packet(2)[12..]);
    }

    #[test]
    fn delays_are_ranked_and_steady_ones_are_no_jitter() {
        let heard = send(100, |index| Some(if index == 99 { 5_000 } else { 100 }));
        assert!(heard.is_good());
        assert_eq!(heard.delay(50), Some(Duration::from_micros(100)));
        assert_eq!(heard.delay(99), Some(Duration::from_micros(100)));
        assert_eq!(heard.delay(100), Some(Duration::from_micros(5_000)));
        assert_eq!(send(100, |_| Some(250)).jitter, Duration::ZERO);
        assert_eq!(Heard::default().delay(50), None);
    }

    #[test]
    fn one_late_packet_is_jitter_of_two_sixteenths() {
        // D is 1.6 ms twice, up and down: 100 µs, then 100 + (1600 - 100) / 16 = 193.75 µs.
        let heard = send(3, |index| Some(if index == 1 { 1_600 } else { 0 }));
        assert_eq!(heard.jitter, Duration::from_nanos(193_750));
    }

    #[test]
    fn what_does_not_arrive_is_lost() {
        let heard = send(100, |index| (index % 10 != 3).then_some(50));
        assert_eq!((heard.sent, heard.verified, heard.lost()), (100, 90, 10));
        assert_eq!(heard.jitter, Duration::ZERO, "a gap is loss, not jitter");
        assert!(!heard.is_good());
    }

    #[test]
    fn each_changed_bit_is_found() {
        for at in [1, 4, 12, 171] {
            let mut tally = Tally::default();
            let mut packet = stream().packet(0);
            packet[at] ^= 1;
            tally.receive(&stream(), &packet, ms(0));
            assert_eq!((tally.damaged, tally.arrivals.len()), (1, 0), "byte {at}");
        }
    }

    #[test]
    fn doubled_truncated_and_foreign_packets_are_told_apart() {
        let mut tally = Tally::default();
        let other = Stream { ssrc: 7, ..stream() };
        tally.receive(&stream(), &stream().packet(0), ms(0));
        tally.receive(&stream(), &stream().packet(0), ms(1));
        tally.receive(&stream(), &stream().packet(1)[..171], ms(2));
        tally.receive(&stream(), &other.packet(0), ms(3));
        tally.receive(&stream(), &[0x80], ms(4));
        let heard = Heard::of(&[ms(0), ms(1)], &tally);
        assert_eq!((heard.verified, heard.repeated, heard.damaged, heard.strange), (1, 1, 1, 2));
        assert!(!heard.is_good());
    }

    #[test]
    fn a_long_stream_is_counted_past_sixteen_bits() {
        let heard = send(70_000, |index| (index % 1_000 == 0).then_some(10));
        assert_eq!((heard.verified, heard.damaged), (70, 0));
    }

    #[test]
    fn silence_is_not_good() {
        assert!(!Heard::of(&[], &Tally::default()).is_good());
    }

    #[tokio::test]
    async fn two_parties_hear_all_of_each_other() {
        let (a, b) =
            (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let (a_address, b_address) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let mut random = Random::from_number(1);
        let (up, down) = (Stream::new(425, &mut random), Stream::new(600, &mut random));
        let clock = Clock::start();
        let (at_a, at_b) = tokio::join!(
            talk(&a, b_address, &up, &down, 5, clock),
            talk(&b, a_address, &down, &up, 5, clock)
        );
        assert!(Heard::of(&at_a.sent, &at_b.heard).is_good());
        assert!(Heard::of(&at_b.sent, &at_a.heard).is_good());
    }
}
