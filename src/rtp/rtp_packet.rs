//! A view of one RTP packet (RFC 3550 §5.1), valid by the checks of its appendix A.1.

/// The fixed header's length (RFC 3550 §5.1).
const FIXED_HEADER_BYTES: usize = 12;

/// A valid RTP packet in the buffer where it was received; nothing is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpPacket<'a> {
    bytes: &'a [u8],
    payload_start: usize,
    payload_end: usize,
}

impl<'a> RtpPacket<'a> {
    /// The packet that fills `bytes`: version 2, a payload type that is not RTCP's, and CSRC list,
    /// header extension and padding that fit. `None` if anything is wrong.
    pub fn parse(bytes: &'a [u8]) -> Option<RtpPacket<'a>> {
        RtpPacket::read(bytes, true)
    }

    /// The same of SRTP: its padding is encrypted (RFC 3711 §3.1), and is part of the payload here as
    /// are tag and MKI.
    pub fn parse_secured(bytes: &'a [u8]) -> Option<RtpPacket<'a>> {
        RtpPacket::read(bytes, false)
    }

    fn read(bytes: &'a [u8], shows_padding: bool) -> Option<RtpPacket<'a>> {
        let &[first, second, ..] = bytes else { return None };
        if first >> 6 != 2 || super::is_rtcp_type(second) {
            return None;
        }
        let mut payload_start = FIXED_HEADER_BYTES + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let extension = bytes.get(payload_start..payload_start + 4)?;
            payload_start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        // "The last octet of the padding contains a count of how many padding octets should be
        // ignored, including itself."
        let padding = if first & 0x20 == 0 || !shows_padding {
            0
        } else {
            match usize::from(*bytes.last()?) {
                0 => return None,
                count => count,
            }
        };
        let payload_end = bytes.len().checked_sub(padding)?;
        (payload_start <= payload_end).then_some(RtpPacket { bytes, payload_start, payload_end })
    }

    /// The marker bit.
    pub fn marker(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// The payload type, 0–127.
    pub fn payload_type(&self) -> u8 {
        self.bytes[1] & 0x7f
    }

    /// The sequence number.
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// The timestamp, in units of the payload type's clock.
    pub fn timestamp(&self) -> u32 {
        self.word(4)
    }

    /// The synchronization source.
    pub fn ssrc(&self) -> u32 {
        self.word(8)
    }

    /// What the packet carries, without padding.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.payload_start..self.payload_end]
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 14] = [0x80, 0x80 | 8, 0x12, 0x34, 0, 0, 1, 2, 0xde, 0xad, 0xbe, 0xef, 0x55, 0xd5];

    #[test]
    fn the_fields_are_where_the_rfc_puts_them() {
        let packet = RtpPacket::parse(&PLAIN).unwrap();
        assert!(packet.marker());
        assert_eq!(packet.payload_type(), 8);
        assert_eq!(packet.sequence(), 0x1234);
        assert_eq!(packet.timestamp(), 0x0102);
        assert_eq!(packet.ssrc(), 0xdead_beef);
        assert_eq!(packet.payload(), &[0x55, 0xd5]);
    }

    #[test]
    fn csrc_extension_and_padding_are_skipped() {
        let mut bytes = PLAIN[..12].to_vec();
        bytes[0] = 0x80 | 0x20 | 0x10 | 1; // padding, extension, one CSRC
        bytes.extend_from_slice(&[9, 9, 9, 9]); // the CSRC
        bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 1, 1, 1]); // an extension of one word
        bytes.extend_from_slice(&[0xaa, 0xbb]); // the payload
        bytes.extend_from_slice(&[0, 2]); // two octets of padding
        assert_eq!(RtpPacket::parse(&bytes).unwrap().payload(), &[0xaa, 0xbb]);
    }

    #[test]
    fn what_does_not_fit_is_no_packet() {
        let with = |at: usize, byte: u8| {
            let mut bytes = PLAIN.to_vec();
            bytes[at] = byte;
            bytes
        };
        for (bytes, why) in [
            (PLAIN[..11].to_vec(), "shorter than the fixed header"),
            (with(0, 0x40), "version 1"),
            (with(0, 0xc0), "version 3"),
            (with(0, 0x81), "a CSRC that is not there"),
            (with(0, 0x90), "an extension that is not there"),
            (with(0, 0xa0), "padding of 213 octets in 14"),
            ([&with(0, 0xa0)[..13], &[0]].concat(), "padding of no octets"),
            (with(1, 200), "RTCP's sender report"),
        ] {
            assert!(RtpPacket::parse(&bytes).is_none(), "{why}");
        }
        assert!(RtpPacket::parse(&PLAIN[..12]).is_some(), "no payload is no fault");
    }

    #[test]
    fn no_length_of_any_bytes_panics() {
        for first in [0x80u8, 0x8f, 0x9f, 0xbf] {
            for fill in [0u8, 1, 12, 0xff] {
                for length in 0..80 {
                    let mut bytes = vec![fill; length];
                    if let Some(byte) = bytes.first_mut() {
                        *byte = first;
                    }
                    if let Some(packet) = RtpPacket::parse(&bytes) {
                        assert!(packet.payload().len() <= length);
                    }
                }
            }
        }
    }
}
