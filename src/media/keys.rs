//! The keys that one peer of a stream presses as telephone events, where they are to be told rather than
//! relayed: which payload types they have, and what waits to be told.
//!
//! Must not know: SIP, addresses.

use std::collections::VecDeque;
use std::time::Duration;

use super::EventRule;
use crate::base::Instant;
use crate::rtp::{Codec, EVENT_CLOCK_HZ, Formats, Key, KeyListener, Press, RtpPacket, TelephoneEvent};

/// Keys that are told a second: faster than any dialler (RFC 4733 has 40 ms and 40 ms, 12.5 a second).
const KEYS_A_SECOND: u8 = 20;
const SECOND: Duration = Duration::from_secs(1);

/// What is listened to on one side of a stream. Allocates when the first key is pressed.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct KeyWatch {
    /// A bit for each payload type that is events.
    payload_types: u128,
    clock_hz: u32,
    listener: KeyListener,
    heard: VecDeque<Press>,
    /// Since when, how many were heard.
    second: (Instant, u8),
}

impl KeyWatch {
    /// What is to be listened to by the formats of the sender (`own`), of the receiver (`far`) and of who was there
    /// before: a number means what the receiver says, for its partner sends the receiver's numbers.
    pub(super) fn follow(&mut self, rule: EventRule, own: &Formats, far: &Formats, former: &Formats) {
        (self.payload_types, self.clock_hz) = (0, EVENT_CLOCK_HZ);
        let EventRule::Tell { offered } = rule else { return };
        let listed = far.iter().chain(former.iter()).chain(own.iter());
        for format in listed.filter(|format| format.codec == Codec::TelephoneEvent) {
            let meant = far.of_payload_type(format.payload_type);
            if meant.is_none_or(|meant| meant.codec == Codec::TelephoneEvent) {
                self.payload_types |= bit(format.payload_type);
                self.clock_hz = format.clock_hz;
            }
        }
        self.payload_types |= offered.map_or(0, bit);
    }

    pub(super) fn is_watching(&self) -> bool {
        self.payload_types != 0
    }

    /// Looks at a packet, and tells whether it is a key: then it does not cross.
    pub(super) fn takes(&mut self, packet: &RtpPacket<'_>, now: Instant) -> bool {
        if self.payload_types & bit(packet.payload_type()) == 0 {
            self.poll(now);
            return false;
        }
        let event = TelephoneEvent::parse(packet.payload());
        let is_key = event.is_some_and(|event| Key::of_event(event.event).is_some());
        let presses = self.listener.receive(packet, self.clock_hz, now);
        presses.into_iter().flatten().for_each(|press| self.note(press, now));
        is_key
    }

    /// Finds a key whose end was lost.
    pub(super) fn poll(&mut self, now: Instant) {
        if let Some(press) = self.listener.poll(now) {
            self.note(press, now);
        }
    }

    fn note(&mut self, press: Press, now: Instant) {
        let (since, count) = &mut self.second;
        if now.since(*since) >= SECOND {
            (*since, *count) = (now, 0);
        }
        if *count < KEYS_A_SECOND {
            *count += 1;
            self.heard.push_back(press);
        }
    }

    /// Whether something waits to be told.
    pub(super) fn has_some(&self) -> bool {
        !self.heard.is_empty()
    }

    /// The next key.
    pub(super) fn take(&mut self) -> Option<Press> {
        self.heard.pop_front()
    }
}

fn bit(payload_type: u8) -> u128 {
    1 << (payload_type & 0x7f)
}
