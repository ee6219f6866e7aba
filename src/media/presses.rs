//! Keys that a peer told by signalling (INFO), pressed for the other side as telephone events (RFC 4733).
//!
//! **No packet is made.** An event takes the place of the audio packets that come meanwhile: each keeps
//! its sequence number, SSRC and place in time, so that nothing after it has to be renumbered and RTCP stays
//! true. All have the timestamp of the first packet whose place is taken, when the event began; the duration
//! grows, the marker is on the first, and three packets say the end (§2.5.1). What a caller says meanwhile is not heard, as with a phone that presses
//! the key itself. The price: where no packets come (a sender that is silent, or on hold), a key waits, and
//! after [`PATIENCE`] it is not pressed at all.
//!
//! Must not know: SIP, addresses, which side hears it.

use std::collections::VecDeque;
use std::time::Duration;

use super::transform::Transform;
use crate::base::Instant;
use crate::rtp::{Codec, Formats, Key, Press, RtpPacket, TelephoneEvent};

/// Keys that wait in one direction; further ones are not pressed.
const PRESSES_MAX: usize = 32;
/// How long a key waits for packets in whose place it can go.
const PATIENCE: Duration = Duration::from_secs(10);
/// A key is held at least and at most so long: receivers need 40 ms (ITU-T Q.24), and nobody holds one for
/// longer.
const HELD: (Duration, Duration) = (Duration::from_millis(60), Duration::from_secs(5));
/// What is heard between two keys (Q.24: 40 ms at least).
const PAUSE: Duration = Duration::from_millis(60);
/// A packet that is older than a key by more seconds is none that comes late.
const LATE_MAX_S: u32 = 2;
/// Packets that say that an event is over.
const ENDS: u8 = 3;
/// How loud the receiver may play it, in −dBm0.
const VOLUME: u8 = 10;

/// The keys that are to be pressed in one direction, and the one that is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Presses {
    waiting: VecDeque<(Press, Instant)>,
    held: Option<Held>,
    /// The audio packet that came last, by sequence number and timestamp.
    last: Option<(u16, u32)>,
    /// Audio that is to be heard before the next key, from this timestamp on.
    pause_from: Option<u32>,
}

/// An event under way.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Held {
    key: Key,
    payload_type: u8,
    /// The clock of its duration, in Hz.
    event_hz: u32,
    /// Whose packets it takes the place of.
    ssrc: u32,
    /// Timestamp of the first packet.
    start: u32,
    /// In the audio's clock.
    wanted: u32,
    is_begun: bool,
    /// What the end says, and how often it is to be said.
    end: Option<(u32, u8)>,
}

impl Presses {
    /// Queues a key; false: too many wait.
    pub fn press(&mut self, press: Press, now: Instant) -> bool {
        let fits = self.waiting.len() < PRESSES_MAX;
        if fits {
            let duration = press.duration.clamp(HELD.0, HELD.1);
            self.waiting.push_back((Press { duration, ..press }, now + PATIENCE));
        }
        fits
    }

    /// Whether there is nothing to do.
    #[cfg(test)]
    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.held.is_none()
    }

    /// What becomes of an audio packet that goes to a peer with these formats, under this payload type.
    pub fn take(
        &mut self,
        packet: &RtpPacket<'_>,
        payload_type: u8,
        far: &Formats,
        now: Instant,
    ) -> Transform {
        let format = far.of_payload_type(payload_type);
        let (sequence, timestamp) = (packet.sequence(), packet.timestamp());
        let clock_hz = format.map_or(0, |format| format.clock_hz).max(8_000);
        let is_event = format.is_some_and(|format| format.codec == Codec::TelephoneEvent);
        if is_event || packet.payload().len() < 4 {
            // A key that is pressed there meanwhile, or a word of comfort noise.
            return Transform::Keep;
        }
        let step = self.step(sequence, timestamp, clock_hz);
        if self.held.is_some_and(|held| held.is_of_another(packet.ssrc(), timestamp, clock_hz)) {
            // The source began anew: nothing of it could end this event, which has been heard.
            (self.held, self.pause_from) = (None, Some(timestamp));
        }
        if self.held.is_none() {
            self.begin(packet, clock_hz, far, now);
        }
        let Some(held) = &mut self.held else { return Transform::Keep };
        let elapsed = timestamp.wrapping_sub(held.start);
        if elapsed > 1 << 31 {
            // Late: it was said before the key was pressed.
            return Transform::Keep;
        }
        let marker = !std::mem::replace(&mut held.is_begun, true);
        let lasted = elapsed.saturating_add(step);
        if held.end.is_none() && lasted >= held.wanted {
            held.end = Some((lasted, ENDS));
        }
        let (lasted, is_end) = match &mut held.end {
            Some((lasted, left)) => {
                *left = left.saturating_sub(1);
                (*lasted, true)
            }
            None => (lasted, false),
        };
        let duration = u64::from(lasted) * u64::from(held.event_hz) / u64::from(clock_hz);
        let event = TelephoneEvent {
            event: held.key.event(),
            is_end,
            volume: VOLUME,
            duration: u16::try_from(duration).unwrap_or(u16::MAX),
        };
        let transform = Transform::Event {
            payload_type: held.payload_type,
            marker,
            timestamp: held.start,
            payload: event.to_bytes(),
        };
        if held.end.is_some_and(|(_, left)| left == 0) {
            self.held = None;
            self.pause_from = Some(timestamp.wrapping_add(step));
        }
        transform
    }

    /// How long a packet is, in the clock's units: by the last two, or 20 ms.
    fn step(&mut self, sequence: u16, timestamp: u32, clock_hz: u32) -> u32 {
        let usual = clock_hz / 50;
        let before = self.last.replace((sequence, timestamp));
        let between = before.map(|(last, at)| (sequence.wrapping_sub(last), timestamp.wrapping_sub(at)));
        match between {
            Some((1, ticks)) if (clock_hz / 200..=clock_hz / 8).contains(&ticks) => ticks,
            _ => usual,
        }
    }

    /// Begins with the next key, if the pause after the last is over.
    fn begin(&mut self, packet: &RtpPacket<'_>, clock_hz: u32, far: &Formats, now: Instant) {
        let timestamp = packet.timestamp();
        let ticks = |time: Duration| {
            u32::try_from(time.as_micros() * u128::from(clock_hz) / 1_000_000).unwrap_or(u32::MAX)
        };
        while self.waiting.front().is_some_and(|(_, until)| *until <= now) {
            self.waiting.pop_front();
        }
        if self.pause_from.is_some_and(|from| timestamp.wrapping_sub(from) < ticks(PAUSE)) {
            return;
        }
        let Some((press, _)) = self.waiting.front() else { return };
        let Some(format) = event_format(far, clock_hz) else { return };
        // The field has 16 bits; the end must fit, too.
        let most = u64::from(u16::MAX - 4_000) * u64::from(clock_hz) / u64::from(format.clock_hz.max(1));
        self.held = Some(Held {
            key: press.key,
            payload_type: format.payload_type,
            event_hz: format.clock_hz.max(1),
            ssrc: packet.ssrc(),
            start: timestamp,
            wanted: ticks(press.duration).min(u32::try_from(most).unwrap_or(u32::MAX)),
            is_begun: false,
            end: None,
        });
        self.pause_from = None;
        self.waiting.pop_front();
    }
}

impl Held {
    /// Whether a packet's timestamp is none of the source's in whose packets this is: another SSRC's, or so
    /// far back that it is no late packet.
    fn is_of_another(&self, ssrc: u32, timestamp: u32, clock_hz: u32) -> bool {
        let behind = self.start.wrapping_sub(timestamp);
        ssrc != self.ssrc || (behind < 1 << 31 && behind > clock_hz.saturating_mul(LATE_MAX_S))
    }
}

/// The payload type of events that goes with audio of this clock, for they share its timestamps (RFC 4733
/// §2.1); else the first, as phones with Opus have it.
fn event_format(far: &Formats, clock_hz: u32) -> Option<crate::rtp::Format> {
    let events = || far.iter().filter(|format| format.codec == Codec::TelephoneEvent);
    events().find(|format| format.clock_hz == clock_hz).or_else(|| events().next()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{Format, KeyListener};

    fn far(event_hz: u32) -> Formats {
        Formats::of([
            Format { payload_type: 0, codec: Codec::Pcmu, clock_hz: 8_000 },
            Format { payload_type: 111, codec: Codec::Opus, clock_hz: 48_000 },
            Format { payload_type: 96, codec: Codec::TelephoneEvent, clock_hz: event_hz },
        ])
    }

    fn audio(sequence: u16, payload_type: u8, ticks: u32) -> Vec<u8> {
        let mut bytes = vec![0x80, payload_type];
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&(u32::from(sequence) * ticks).to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 9]);
        bytes.extend_from_slice(&[0xff; 160]);
        bytes
    }

    fn press(sign: u8, millis: u64) -> Press {
        Press { key: Key::of_sign(sign).unwrap(), duration: Duration::from_millis(millis) }
    }

    /// What leaves of a second of audio from this sequence number on.
    fn second(presses: &mut Presses, from: u16, payload_type: u8, ticks: u32, far: &Formats) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        for sequence in from..from + 50 {
            let mut bytes = audio(sequence, payload_type, ticks);
            let packet = RtpPacket::parse(&bytes).unwrap();
            let transform = presses.take(&packet, payload_type, far, Instant::ZERO);
            let length = transform.apply(&mut bytes);
            bytes.truncate(length);
            sent.push(bytes);
        }
        sent
    }

    fn heard(sent: &[Vec<u8>], clock_hz: u32) -> Vec<(char, u64)> {
        let mut listener = KeyListener::default();
        let events = sent.iter().map(|bytes| RtpPacket::parse(bytes).unwrap());
        let events = events.filter(|packet| packet.payload_type() == 96);
        let found = events.flat_map(|packet| listener.receive(&packet, clock_hz, Instant::ZERO));
        found.flatten().map(|press| (press.key.sign(), press.duration.as_millis() as u64)).collect()
    }

    #[test]
    fn a_key_takes_the_place_of_the_audio_of_its_time() {
        let mut presses = Presses::default();
        assert!(presses.press(press(b'5', 100), Instant::ZERO));
        let sent = second(&mut presses, 0, 0, 160, &far(8_000));
        assert!(presses.is_done());
        let packets: Vec<_> = sent.iter().map(|bytes| RtpPacket::parse(bytes).unwrap()).collect();
        for (at, packet) in packets.iter().enumerate() {
            assert_eq!((packet.sequence(), packet.ssrc()), (at as u16, 9), "nothing is renumbered");
            let is_event = at < 7;
            assert_eq!(packet.payload_type(), if is_event { 96 } else { 0 }, "{at}");
            assert_eq!(packet.marker(), at == 0);
            assert_eq!(packet.timestamp(), if is_event { 0 } else { 160 * at as u32 });
            let Some(event) = TelephoneEvent::parse(packet.payload()).filter(|_| is_event) else { continue };
            assert_eq!(event.duration, 160 * (at.min(4) as u16 + 1));
            assert_eq!((event.event, event.volume, event.is_end), (5, 10, at >= 4), "three ends");
            assert_eq!(packet.payload().len(), 4);
        }
        assert_eq!(heard(&sent, 8_000), [('5', 100)]);
    }

    #[test]
    fn keys_follow_each_other_with_audio_between() {
        let mut presses = Presses::default();
        for sign in *b"1122#" {
            presses.press(press(sign, 80), Instant::ZERO);
        }
        let sent = second(&mut presses, 0, 0, 160, &far(8_000));
        let kinds: String = sent.iter().map(|bytes| if bytes[1] & 0x7f == 96 { 'e' } else { '-' }).collect();
        assert_eq!(&kinds[..20], "eeeeee---eeeeee---ee", "60 ms between two keys");
        assert_eq!(heard(&sent, 8_000), ['1', '1', '2', '2', '#'].map(|sign| (sign, 80)));
    }

    #[test]
    fn with_audio_of_another_clock_the_duration_is_in_the_events() {
        for (event_hz, held) in [(8_000, 100), (48_000, 100)] {
            let mut presses = Presses::default();
            presses.press(press(b'0', 100), Instant::ZERO);
            let sent = second(&mut presses, 3, 111, 960, &far(event_hz));
            assert_eq!(heard(&sent, event_hz), [('0', held)]);
        }
        let mut presses = Presses::default();
        presses.press(press(b'0', 60_000), Instant::ZERO);
        let mut sent = Vec::new();
        for at in 0..6 {
            sent.extend(second(&mut presses, 50 * at, 111, 960, &far(48_000)));
        }
        assert_eq!(heard(&sent, 48_000), [('0', 1_300)], "as long as the field can say");
    }

    #[test]
    fn a_receiver_without_events_hears_none_and_nothing_waits_for_ever() {
        let mut presses = Presses::default();
        presses.press(press(b'5', 100), Instant::ZERO);
        let none = Formats::of([Format { payload_type: 0, codec: Codec::Pcmu, clock_hz: 8_000 }]);
        let sent = second(&mut presses, 0, 0, 160, &none);
        assert!(sent.iter().all(|bytes| bytes[1] == 0));
        let bytes = audio(60, 0, 160);
        let packet = RtpPacket::parse(&bytes).unwrap();
        let late = Instant::ZERO + PATIENCE;
        assert_eq!(presses.take(&packet, 0, &far(8_000), late), Transform::Keep);
        assert!(presses.is_done());
    }

    #[test]
    fn no_more_keys_wait_than_there_is_room_for() {
        let mut presses = Presses::default();
        let taken = (0..100).filter(|_| presses.press(press(b'1', 100), Instant::ZERO)).count();
        assert_eq!(taken, PRESSES_MAX);
    }

    /// What is played to the far side changes: another SSRC, whose timestamps are its own.
    #[test]
    fn a_source_that_begins_anew_ends_the_key_that_is_held_and_the_next_is_pressed() {
        let mut presses = Presses::default();
        presses.press(press(b'1', 2_000), Instant::ZERO);
        presses.press(press(b'2', 100), Instant::ZERO);
        second(&mut presses, 5_000, 0, 160, &far(8_000));
        let mut sent = Vec::new();
        for sequence in 0..50 {
            let mut bytes = audio(sequence, 0, 160);
            bytes[11] = 7;
            let packet = RtpPacket::parse(&bytes).unwrap();
            let length = presses.take(&packet, 0, &far(8_000), Instant::ZERO).apply(&mut bytes);
            bytes.truncate(length);
            sent.push(bytes);
        }
        assert_eq!(heard(&sent, 8_000), [('2', 100)]);
        assert!(presses.is_done());
    }

    #[test]
    fn late_audio_and_comfort_noise_go_as_they_are() {
        let mut presses = Presses::default();
        presses.press(press(b'5', 100), Instant::ZERO);
        let mut take = |bytes: &[u8]| {
            let packet = RtpPacket::parse(bytes).unwrap();
            presses.take(&packet, bytes[1], &far(8_000), Instant::ZERO)
        };
        assert!(matches!(take(&audio(10, 0, 160)), Transform::Event { marker: true, .. }));
        assert_eq!(take(&audio(9, 0, 160)), Transform::Keep);
        assert_eq!(take(&audio(11, 13, 160)[..13]), Transform::Keep);
        assert!(matches!(take(&audio(12, 0, 160)), Transform::Event { marker: false, .. }));
    }
}
