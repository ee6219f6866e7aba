//! Telephone events (RFC 4733): what one packet says of a key, and which keys were pressed, each once, whatever
//! was lost, repeated or reordered on the way.
//!
//! What people key in are secrets (PINs, card numbers): no `Debug` of this module shows a key.
//!
//! Must not know: SIP, where packets go.

use std::fmt;
use std::time::Duration;

use super::RtpPacket;
use crate::base::Instant;

/// A key of a telephone: 0–9, `*`, `#`, A–D (RFC 4733 §3.2, events 0–15).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u8);

impl Key {
    const NAMES: &'static [u8; 16] = b"0123456789*#ABCD";

    /// The key of an event; `None`: the event is no key.
    pub const fn of_event(event: u8) -> Option<Key> {
        if event < 16 { Some(Key(event)) } else { None }
    }

    /// By its sign, letters in either case.
    pub fn of_sign(sign: u8) -> Option<Key> {
        let sign = sign.to_ascii_uppercase();
        Key::NAMES.iter().position(|name| *name == sign).map(|event| Key(event as u8))
    }

    /// The event's number.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// Its sign.
    pub fn sign(self) -> char {
        Key::NAMES.get(usize::from(self.0)).map_or('0', |name| char::from(*name))
    }
}

impl fmt::Debug for Key {
    /// Never which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A key and how long it was held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Press {
    /// Which.
    pub key: Key,
    /// For how long.
    pub duration: Duration,
}

/// One packet's word of an event (RFC 4733 §2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// 0–15 are keys.
    pub event: u8,
    /// Whether this is its end (E bit).
    pub is_end: bool,
    /// How loud, in −dBm0, 0–63.
    pub volume: u8,
    /// How long it has lasted since the packet's timestamp, in the clock's units.
    pub duration: u16,
}

impl TelephoneEvent {
    /// The first event of a payload; more may follow, of which nothing is said here.
    pub fn parse(payload: &[u8]) -> Option<TelephoneEvent> {
        let &[event, flags, high, low] = payload.first_chunk::<4>()?;
        Some(TelephoneEvent {
            event,
            is_end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The payload.
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, (u8::from(self.is_end) << 7) | (self.volume & 0x3f), high, low]
    }
}

/// After so long without a packet an event is over whose end was lost: senders repeat the event at least every
/// 50 ms (RFC 4733 §2.5.1.2 has one a packet time).
const END_LOST: Duration = Duration::from_millis(150);
/// A timestamp that is so much older than the last is one of a new beginning, not a late packet: a minute and more.
const LATE_MAX: u32 = 1 << 19;
/// The longest duration of one segment of an event (§2.5.1.3).
const SEGMENT_MAX: u32 = 0xffff;
/// The clock of events where none is known, in Hz.
pub const EVENT_CLOCK_HZ: u32 = 8_000;

/// Finds the keys in one direction of a stream. Plain data.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KeyListener {
    current: Option<Current>,
    /// SSRC and timestamp of the last one that is over.
    over: Option<(u32, u32)>,
}

/// A key that is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Current {
    key: Key,
    ssrc: u32,
    /// Of the present segment.
    timestamp: u32,
    /// What earlier segments lasted.
    before: u32,
    duration: u16,
    clock_hz: u32,
    last_seen: Instant,
}

impl KeyListener {
    /// Takes one event packet. Gives the keys that are over: the one before, if its end was lost, and this.
    pub fn receive(&mut self, packet: &RtpPacket<'_>, clock_hz: u32, now: Instant) -> [Option<Press>; 2] {
        let nothing = [None, None];
        let Some(event) = TelephoneEvent::parse(packet.payload()) else { return nothing };
        let Some(key) = Key::of_event(event.event) else { return nothing };
        let (ssrc, timestamp) = (packet.ssrc(), packet.timestamp());
        if self.over.is_some_and(|(of, at)| of == ssrc && is_not_after(timestamp, at)) {
            return nothing;
        }
        let mut lost_its_end = None;
        match &mut self.current {
            Some(held) if held.ssrc == ssrc && held.timestamp == timestamp => {
                held.duration = held.duration.max(event.duration);
            }
            // A long event comes in segments (§2.5.1.3): the next begins where this ends.
            Some(held)
                if held.ssrc == ssrc
                    && held.key == key
                    && timestamp.wrapping_sub(held.timestamp) == SEGMENT_MAX =>
            {
                held.before = held.before.saturating_add(SEGMENT_MAX);
                (held.timestamp, held.duration) = (timestamp, event.duration);
            }
            Some(held) if held.ssrc == ssrc && is_not_after(timestamp, held.timestamp) => return nothing,
            _ => {
                lost_its_end = self.finish();
                let clock_hz = if clock_hz == 0 { EVENT_CLOCK_HZ } else { clock_hz };
                let (before, duration) = (0, event.duration);
                self.current =
                    Some(Current { key, ssrc, timestamp, before, duration, clock_hz, last_seen: now });
            }
        }
        if let Some(held) = &mut self.current {
            held.last_seen = now;
        }
        [lost_its_end, if event.is_end { self.finish() } else { None }]
    }

    /// The key that is over because nothing more was heard of it.
    #[inline]
    pub fn poll(&mut self, now: Instant) -> Option<Press> {
        let held = self.current?;
        if now.since(held.last_seen) >= END_LOST { self.finish() } else { None }
    }

    fn finish(&mut self) -> Option<Press> {
        let held = self.current.take()?;
        self.over = Some((held.ssrc, held.timestamp));
        let ticks = held.before.saturating_add(u32::from(held.duration));
        let micros = u64::from(ticks) * 1_000_000 / u64::from(held.clock_hz);
        Some(Press { key: held.key, duration: Duration::from_micros(micros) })
    }
}

/// Whether a timestamp is the same as another or a little older.
fn is_not_after(timestamp: u32, other: u32) -> bool {
    other.wrapping_sub(timestamp) < LATE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The packets of one press: `count` of growing duration, then three ends.
    fn press(key: u8, sequence: u16, timestamp: u32, count: u16) -> Vec<Vec<u8>> {
        let packet = |at: u16| {
            let is_end = at >= count;
            let duration = 160 * (at.min(count) + 1);
            let mut bytes = vec![0x80, if at == 0 { 0x80 | 101 } else { 101 }];
            bytes.extend_from_slice(&(sequence + at).to_be_bytes());
            bytes.extend_from_slice(&timestamp.to_be_bytes());
            bytes.extend_from_slice(&[0, 0, 0, 9]);
            let event = TelephoneEvent { event: key, is_end, volume: 10, duration };
            bytes.extend_from_slice(&event.to_bytes());
            bytes
        };
        (0..count + 3).map(packet).collect()
    }

    /// What is heard of packets that come every 20 ms.
    fn heard<'a>(packets: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
        let mut listener = KeyListener::default();
        let mut keys = String::new();
        let mut now = Instant::from_millis(1_000);
        for bytes in packets {
            now = now + Duration::from_millis(20);
            let packet = RtpPacket::parse(bytes).unwrap();
            let found = listener.receive(&packet, 8_000, now);
            keys.extend(found.into_iter().flatten().map(|press| press.key.sign()));
        }
        keys.extend(listener.poll(now + END_LOST).map(|press| press.key.sign()));
        keys
    }

    /// 1, 1, 2, # with pauses.
    fn four_presses() -> Vec<Vec<Vec<u8>>> {
        vec![press(1, 10, 1_000, 5), press(1, 20, 4_000, 3), press(2, 30, 8_000, 1), press(11, 40, 12_000, 8)]
    }

    #[test]
    fn each_press_is_counted_once_whatever_of_it_is_lost() {
        let presses = four_presses();
        assert_eq!(heard(presses.iter().flatten()), "112#");
        // Every subset of the packets of a press that is not empty, alone and between the others.
        for (at, packets) in presses.iter().enumerate() {
            for kept in 1..1u32 << packets.len() {
                let left = packets.iter().enumerate().filter(|(bit, _)| kept & (1 << bit) != 0);
                let left: Vec<&Vec<u8>> = left.map(|(_, packet)| packet).collect();
                let before = presses[..at].iter().flatten();
                let after = presses[at + 1..].iter().flatten();
                assert_eq!(heard(before.chain(left).chain(after)), "112#", "{at}: {kept:b}");
            }
        }
    }

    #[test]
    fn repeated_and_late_packets_add_nothing() {
        let presses = four_presses();
        let doubled = presses.iter().flatten().flat_map(|packet| [packet, packet]);
        assert_eq!(heard(doubled), "112#");
        // Each packet comes once more after all others of its press, and the first press once more at the end.
        let mut late: Vec<&Vec<u8>> = Vec::new();
        for packets in &presses {
            late.extend(packets.iter().chain(packets.iter().rev()));
        }
        late.extend(&presses[0]);
        assert_eq!(heard(late), "112#");
    }

    #[test]
    fn a_key_lasts_as_long_as_its_end_says() {
        let mut listener = KeyListener::default();
        let packets = press(5, 1, 1_000, 4);
        let mut found = Vec::new();
        for bytes in &packets {
            let packet = RtpPacket::parse(bytes).unwrap();
            found.extend(listener.receive(&packet, 8_000, Instant::ZERO).into_iter().flatten());
        }
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].key.sign(), found[0].duration), ('5', Duration::from_millis(100)));
        assert_eq!(listener.poll(Instant::from_millis(1_000)), None);
    }

    #[test]
    fn an_event_of_several_segments_is_one_key() {
        let mut listener = KeyListener::default();
        let mut found = Vec::new();
        for (timestamp, duration, is_end) in
            [(1_000u32, 0xffffu16, false), (1_000 + 0xffff, 800, false), (1_000 + 0xffff, 8_001, true)]
        {
            let mut bytes = vec![0x80, 101, 0, 1];
            bytes.extend_from_slice(&timestamp.to_be_bytes());
            bytes.extend_from_slice(&[0, 0, 0, 9]);
            bytes.extend_from_slice(&TelephoneEvent { event: 10, is_end, volume: 10, duration }.to_bytes());
            let packet = RtpPacket::parse(&bytes).unwrap();
            found.extend(listener.receive(&packet, 8_000, Instant::ZERO).into_iter().flatten());
        }
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].key.sign(), found[0].duration), ('*', Duration::from_micros(9_192_000)));
    }

    #[test]
    fn a_new_source_and_a_clock_that_starts_again_are_heard() {
        let first = press(1, 10, 3_000_000_000, 3);
        let mut other = press(2, 10, 3_000_000_000, 3);
        other.iter_mut().for_each(|packet| packet[11] = 77);
        let restarted = press(3, 1, 5, 3);
        let mut all: Vec<&Vec<u8>> = first.iter().chain(&other).collect();
        assert_eq!(heard(all.iter().copied()), "12");
        all = first.iter().chain(&restarted).collect();
        assert_eq!(heard(all), "13");
    }

    #[test]
    fn what_is_no_key_is_not_heard_and_keys_are_not_shown() {
        assert_eq!(heard(&press(16, 1, 1_000, 3)), "", "flash");
        assert_eq!(heard(&press(64, 1, 1_000, 3)), "", "a tone");
        assert_eq!(heard(&[press(1, 1, 1_000, 1)[0][..14].to_vec()]), "", "cut off");
        let press = Press { key: Key::of_sign(b'7').unwrap(), duration: Duration::ZERO };
        assert!(!format!("{press:?}").contains('7'));
        for (event, sign) in "0123456789*#ABCD".chars().enumerate() {
            assert_eq!(Key::of_event(event as u8).unwrap().sign(), sign);
            assert_eq!(Key::of_sign(sign.to_ascii_lowercase() as u8).unwrap().event(), event as u8);
        }
        assert_eq!((Key::of_event(16), Key::of_sign(b'x')), (None, None));
    }
}
