//! RTP, RTCP and fax as they lie in a datagram: what kind of packet it is (RFC 7983, RFC 5761), strict
//! views of the headers (RFC 3550), and what sequence numbers and timestamps say of the way here.
//!
//! Must not know: calls, addresses, sockets.

mod e_model;
mod event;
mod formats;
mod peer_reports;
mod quality;
mod rtcp;
mod rtcp_report;
mod rtp_packet;
mod sequence;
mod udptl;

pub use e_model::{Impairment, mean_opinion_score};
pub use event::{EVENT_CLOCK_HZ, Key, KeyListener, Press, TelephoneEvent};
pub use formats::{Codec, Format, Formats};
pub use peer_reports::{PeerReports, SentReports, Summaries};
pub use quality::Quality;
pub use rtcp::{ReportBlock, RtcpBlock, RtcpPacket, SenderInfo, Statistics, VoipMetrics};
pub use rtcp_report::{RtcpReport, SdesItem, VoipReport};
pub use rtp_packet::RtpPacket;
pub use sequence::DROPOUT_MAX;
pub use udptl::is_udptl;

/// A datagram on a media port, by what its first bytes claim and its whole structure confirms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Datagram<'a> {
    /// A valid RTP packet.
    Rtp(RtpPacket<'a>),
    /// A valid RTCP packet, compound or of reduced size (RFC 5506).
    Rtcp(RtcpPacket<'a>),
    /// Neither: STUN, DTLS, TURN channel data, ZRTP, or rubbish.
    Other,
}

impl<'a> Datagram<'a> {
    /// Tells what `bytes` are. The first byte sorts by protocol (RFC 7983 §7: 128–191 is RTP or
    /// RTCP), the second RTP from RTCP (RFC 5761 §4: packet types 192–223 are RTCP's, that is
    /// payload types 64–95), and only a packet that is sound throughout passes.
    pub fn classify(bytes: &'a [u8]) -> Datagram<'a> {
        Datagram::sort(bytes, RtpPacket::parse, RtcpPacket::parse)
    }

    /// The same of a stream that is secured (RFC 3711): only what is in clear can be sound.
    pub fn classify_secured(bytes: &'a [u8]) -> Datagram<'a> {
        Datagram::sort(bytes, RtpPacket::parse_secured, RtcpPacket::parse_secured)
    }

    fn sort(
        bytes: &'a [u8],
        rtp: fn(&'a [u8]) -> Option<RtpPacket<'a>>,
        rtcp: fn(&'a [u8]) -> Option<RtcpPacket<'a>>,
    ) -> Datagram<'a> {
        let &[first, second, ..] = bytes else { return Datagram::Other };
        if !(128..=191).contains(&first) {
            return Datagram::Other;
        }
        if is_rtcp_type(second) {
            rtcp(bytes).map_or(Datagram::Other, Datagram::Rtcp)
        } else {
            rtp(bytes).map_or(Datagram::Other, Datagram::Rtp)
        }
    }
}

/// Whether the second byte of a packet means RTCP where RTP and RTCP share a port: with or without
/// the marker bit, payload types 64–95 are not RTP's (RFC 5761 §4).
const fn is_rtcp_type(second: u8) -> bool {
    matches!(second & 0x7f, 64..=95)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(payload_type: u8) -> Vec<u8> {
        let mut bytes = vec![0x80, payload_type, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4];
        bytes.extend_from_slice(&[0xff; 160]);
        bytes
    }

    #[test]
    fn the_first_bytes_sort_by_protocol() {
        assert!(matches!(Datagram::classify(&rtp(0)), Datagram::Rtp(_)));
        assert!(matches!(Datagram::classify(&rtp(0x80 | 101)), Datagram::Rtp(_)));
        // A receiver report with no block.
        assert!(matches!(Datagram::classify(&[0x80, 201, 0, 1, 1, 2, 3, 4]), Datagram::Rtcp(_)));
    }

    #[test]
    fn stun_dtls_turn_and_zrtp_are_neither() {
        let stun = [0u8, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let dtls_client_hello = [22u8, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        let turn_channel = [0x40u8, 0, 0, 4, 0x80, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4];
        let zrtp = [0x10u8, 0, 0, 1, 0x5a, 0x52, 0x54, 0x50, 1, 2, 3, 4];
        for bytes in [&stun[..], &dtls_client_hello, &turn_channel, &zrtp, &[], &[0x80]] {
            assert_eq!(Datagram::classify(bytes), Datagram::Other);
        }
    }

    /// RFC 7983 §7: 0–3 STUN, 16–19 ZRTP, 20–63 DTLS, 64–79 TURN channels, 128–191 RTP and RTCP.
    #[test]
    fn only_first_bytes_from_128_to_191_are_ever_taken_for_media() {
        for first in 0..=255u8 {
            for second in [0u8, 1, 101, 200, 201, 255] {
                for rest in [0usize, 8, 10, 30, 160] {
                    let bytes = [&[first, second][..], &vec![0; rest]].concat();
                    for datagram in [Datagram::classify(&bytes), Datagram::classify_secured(&bytes)] {
                        let is_media = datagram != Datagram::Other;
                        assert!(!is_media || (128..=191).contains(&first), "{first} {second} {rest}");
                    }
                }
            }
        }
    }

    #[test]
    fn tiny_datagrams_are_nothing() {
        for length in 0..12 {
            let rtp = &rtp(0)[..length];
            assert_eq!(Datagram::classify(rtp), Datagram::Other, "{length}");
            assert_eq!(Datagram::classify_secured(rtp), Datagram::Other, "{length}");
        }
        for length in 0..8 {
            let rtcp = &[0x80u8, 201, 0, 1, 1, 2, 3, 4][..length];
            assert_eq!(Datagram::classify(rtcp), Datagram::Other, "{length}");
        }
    }

    #[test]
    fn payload_types_64_to_95_are_never_rtp() {
        for payload_type in 64..=95 {
            assert!(!matches!(Datagram::classify(&rtp(payload_type)), Datagram::Rtp(_)));
            assert!(!matches!(Datagram::classify(&rtp(0x80 | payload_type)), Datagram::Rtp(_)));
        }
        assert!(matches!(Datagram::classify(&rtp(63)), Datagram::Rtp(_)));
        assert!(matches!(Datagram::classify(&rtp(96)), Datagram::Rtp(_)));
    }
}
