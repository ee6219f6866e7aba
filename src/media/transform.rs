//! What is written into a packet before it is sent on: decided by the stream (`stream.rs`), done in the buffer that
//! the packet came in (`relay/table.rs`).
//!
//! Secured RTP is never touched. To end it here (RFC 3711) would need more than another variant: what comes
//! would be decrypted before `Datagram::classify` sees it, what goes out needs room behind it for its tag, so a
//! packet would grow, the keys with their roll-over counters are state of a stream's side, and RTCP would
//! have to be written as well.
//!
//! Must not know: who decides it, addresses.

/// What is written into a packet before it is sent on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Transform {
    /// Nothing.
    #[default]
    Keep,
    /// In RTCP: who its sources say they are is left out (`rtp/names.rs`), by who knows the call's secret.
    Names,
    /// Another payload type; the marker bit stays.
    PayloadType(u8),
    /// A telephone event takes the place of what the packet carried (RFC 4733 §2.3). Sequence number and
    /// SSRC stay.
    Event {
        /// The payload type of events.
        payload_type: u8,
        /// Whether it is the event's first packet.
        marker: bool,
        /// When the event began, in the stream's clock.
        timestamp: u32,
        /// The event.
        payload: [u8; 4],
    },
}

impl Transform {
    /// Writes it into a valid RTP packet, and tells how long the packet is now. It never grows.
    #[inline]
    pub fn apply(self, packet: &mut [u8]) -> usize {
        let length = packet.len();
        match self {
            Transform::Keep | Transform::Names => length,
            Transform::PayloadType(payload_type) => {
                if let Some(byte) = packet.get_mut(1) {
                    *byte = (*byte & 0x80) | (payload_type & 0x7f);
                }
                length
            }
            Transform::Event { payload_type, marker, timestamp, payload } => {
                write_event(packet, payload_type | (u8::from(marker) << 7), timestamp, payload)
                    .unwrap_or(length)
            }
        }
    }
}

fn write_event(packet: &mut [u8], second: u8, timestamp: u32, payload: [u8; 4]) -> Option<usize> {
    // Without header extension: what it says is of the audio that was here.
    let start = 12 + 4 * usize::from(packet.first()? & 0x0f);
    packet.get_mut(start..start + payload.len())?.copy_from_slice(&payload);
    packet.get_mut(4..8)?.copy_from_slice(&timestamp.to_be_bytes());
    if let Some([first, of_type]) = packet.first_chunk_mut::<2>() {
        // Neither padding nor extension.
        *first &= 0b1100_1111;
        *of_type = second;
    }
    Some(start + payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_bit_stays_when_the_number_changes() {
        for marker in [0, 0x80] {
            let mut packet = [0x80, marker | 101, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 5, 0, 0, 160];
            assert_eq!(Transform::PayloadType(96).apply(&mut packet), 16);
            assert_eq!(packet, [0x80, marker | 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 5, 0, 0, 160]);
        }
        assert_eq!(Transform::PayloadType(96).apply(&mut []), 0);
    }

    #[test]
    fn an_event_takes_the_place_of_audio_and_leaves_sequence_and_source() {
        let event =
            Transform::Event { payload_type: 101, marker: true, timestamp: 7, payload: [5, 10, 0, 160] };
        // Padding, an extension of one word, one CSRC.
        let mut packet = vec![0xb1, 0, 0x12, 0x34, 0, 0, 1, 0, 0, 0, 0, 9, 1, 1, 1, 1, 0xbe, 0xde, 0, 1];
        packet.extend_from_slice(&[2; 100]);
        let length = event.apply(&mut packet);
        let expected = [0x81, 0x80 | 101, 0x12, 0x34, 0, 0, 0, 7, 0, 0, 0, 9, 1, 1, 1, 1, 5, 10, 0, 160];
        assert_eq!(packet[..length], expected);
        // One that has no room for it stays as it is.
        let mut short = [0x80, 13, 0, 1, 0, 0, 1, 0, 0, 0, 0, 9, 0x40];
        let before = short;
        assert_eq!((event.apply(&mut short), short), (13, before));
    }
}
