//! A view of one RTCP datagram (RFC 3550 §6.1), valid by the checks of its appendix A.2, save that
//! reduced-size RTCP (RFC 5506) may begin with any packet type.

/// The least of SRTCP: header, SSRC, and the index with its E flag (RFC 3711 §3.4).
const MIN_SECURED_BYTES: usize = 12;

/// A valid RTCP datagram: one packet or several, whose lengths add up to the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtcpPacket<'a> {
    bytes: &'a [u8],
}

impl<'a> RtcpPacket<'a> {
    /// The packets that fill `bytes`: each of version 2 and of an RTCP type (192–223), the lengths
    /// adding up exactly, padding only in the last. `None` if anything is wrong.
    pub fn parse(bytes: &'a [u8]) -> Option<RtcpPacket<'a>> {
        let mut rest = bytes;
        // Every turn takes at least four bytes, so the datagram's length is the limit.
        while !rest.is_empty() {
            let &[first, packet_type, high, low, ..] = rest else { return None };
            if first >> 6 != 2 || !(192..=223).contains(&packet_type) {
                return None;
            }
            let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
            let is_last = length == rest.len();
            let is_padded = first & 0x20 != 0;
            if length > rest.len() || (is_padded && !is_last) {
                return None;
            }
            if is_padded && !is_padding_sound(&rest[4..length]) {
                return None;
            }
            rest = &rest[length..];
        }
        (bytes.len() >= 8).then_some(RtcpPacket { bytes })
    }

    /// A packet of SRTCP (RFC 3711 §3.4): header and SSRC of the first packet are in clear, and behind
    /// what is encrypted stands an index of four bytes. `None` if it has no room for these, or if they
    /// are not RTCP's.
    pub fn parse_secured(bytes: &'a [u8]) -> Option<RtcpPacket<'a>> {
        let &[first, packet_type, ..] = bytes else { return None };
        let is_rtcp = first >> 6 == 2 && (192..=223).contains(&packet_type);
        (is_rtcp && bytes.len() >= MIN_SECURED_BYTES).then_some(RtcpPacket { bytes })
    }

    /// The type of the first packet: 200 sender report, 201 receiver report, …
    pub fn packet_type(&self) -> u8 {
        self.bytes[1]
    }

    /// Who sent it.
    pub fn ssrc(&self) -> u32 {
        u32::from_be_bytes([self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]])
    }
}

/// The count of padding is a multiple of four (RFC 3550 §6.4.1) and inside the packet.
fn is_padding_sound(body: &[u8]) -> bool {
    body.last()
        .is_some_and(|&count| count != 0 && count.is_multiple_of(4) && usize::from(count) <= body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVER_REPORT: [u8; 8] = [0x80, 201, 0, 1, 0xca, 0xfe, 0, 1];
    const SDES: [u8; 12] = [0x81, 202, 0, 2, 0xca, 0xfe, 0, 1, 1, 1, b'x', 0];

    #[test]
    fn compound_and_reduced_size_packets_pass() {
        let compound = [&RECEIVER_REPORT[..], &SDES].concat();
        let packet = RtcpPacket::parse(&compound).unwrap();
        assert_eq!((packet.packet_type(), packet.ssrc()), (201, 0xcafe_0001));
        assert!(RtcpPacket::parse(&SDES).is_some());
    }

    #[test]
    fn what_does_not_add_up_is_no_packet() {
        let with = |at: usize, byte: u8| {
            let mut bytes = [&RECEIVER_REPORT[..], &SDES].concat();
            bytes[at] = byte;
            bytes
        };
        for (bytes, why) in [
            (vec![], "nothing"),
            (RECEIVER_REPORT[..7].to_vec(), "cut short"),
            (vec![0x80, 201, 0, 0], "no SSRC"),
            (with(0, 0x40), "version 1"),
            (with(8, 0x01), "version 0 in the second"),
            (with(1, 191), "not a type of RTCP's"),
            (with(9, 224), "not a type of RTCP's in the second"),
            (with(3, 9), "longer than the datagram"),
            (with(3, 2), "a length that lands inside the second"),
            (with(0, 0xa0), "padding before the last"),
            (with(8, 0xa1), "padding of no octets in the last"),
            ([&RECEIVER_REPORT[..], &[0, 0]].concat(), "two octets left over"),
        ] {
            assert!(RtcpPacket::parse(&bytes).is_none(), "{why}");
        }
    }

    #[test]
    fn sound_padding_passes() {
        let padded = [0xa0, 201, 0, 2, 1, 2, 3, 4, 0, 0, 0, 4];
        assert!(RtcpPacket::parse(&padded).is_some());
    }
}
