//! A view of one RTCP datagram (RFC 3550 §6.1), valid by the checks of its appendix A.2, save that
//! reduced-size RTCP (RFC 5506) may begin with any packet type; and what its reports say: those of
//! senders and receivers (§6.4), and of the extended ones (RFC 3611) what tells of loss and of voice.
//!
//! Must not know: what is made of it.

/// The least of SRTCP: header, SSRC, and the index with its E flag (RFC 3711 §3.4).
const MIN_SECURED_BYTES: usize = 12;

/// Packet types (RFC 3550 §12.1, RFC 3611 §2).
pub(super) const SENDER_REPORT: u8 = 200;
pub(super) const RECEIVER_REPORT: u8 = 201;
pub(super) const SOURCE_DESCRIPTION: u8 = 202;
pub(super) const EXTENDED_REPORT: u8 = 207;
/// Block types of an extended report (RFC 3611 §4.6, §4.7).
const STATISTICS: u8 = 6;
pub(super) const VOIP_METRICS: u8 = 7;
/// The sender's part of a sender report (RFC 3550 §6.4.1).
const SENDER_INFO_BYTES: usize = 20;
/// A report block's length (RFC 3550 §6.4.1).
const REPORT_BLOCK_BYTES: usize = 24;

/// One thing that a datagram reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtcpBlock {
    /// What a sender says of itself.
    Sender(SenderInfo),
    /// What a receiver says of one source.
    Report(ReportBlock),
    /// The same in numbers of packets.
    Statistics(Statistics),
    /// The same for voice.
    VoipMetrics(VoipMetrics),
}

/// The sender's part of a sender report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderInfo {
    /// Its wall clock: seconds since 1900 (NTP, era 0 as a rule).
    pub ntp_seconds: u32,
    /// The same, in parts of a second, of 2³².
    pub ntp_fraction: u32,
    /// The same moment by the clock of its RTP.
    pub rtp_timestamp: u32,
    /// RTP packets that it has sent.
    pub packets: u32,
    /// Their bytes of payload.
    pub octets: u32,
}

impl SenderInfo {
    /// The middle 32 bits of its NTP timestamp: by these a receiver names this report (LSR).
    pub const fn ntp_middle(&self) -> u32 {
        self.ntp_seconds << 16 | self.ntp_fraction >> 16
    }

    pub(super) fn read(bytes: &[u8]) -> Option<SenderInfo> {
        Some(SenderInfo {
            ntp_seconds: word(bytes, 0)?,
            ntp_fraction: word(bytes, 4)?,
            rtp_timestamp: word(bytes, 8)?,
            packets: word(bytes, 12)?,
            octets: word(bytes, 16)?,
        })
    }
}

/// A report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBlock {
    /// The source that was received.
    pub ssrc: u32,
    /// Packets lost of those expected since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; below zero where more came twice.
    pub cumulative_lost: i32,
    /// The highest sequence number that came, with how often it has come round above it.
    pub highest_sequence: u32,
    /// Interarrival jitter, in units of the source's clock.
    pub jitter: u32,
    /// The last sender report that came from the source ([`SenderInfo::ntp_middle()`]); 0: none did.
    pub last_sender_report: u32,
    /// How long ago that was, in 1/65,536 s.
    pub delay_since: u32,
}

/// A statistics summary (RFC 3611 §4.6), of the packets since the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// The source that was received.
    pub ssrc: u32,
    /// Packets lost, if it says.
    pub lost: Option<u32>,
    /// Packets that came twice, if it says.
    pub duplicates: Option<u32>,
}

/// VoIP metrics (RFC 3611 §4.7), since the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoipMetrics {
    /// The source that was received.
    pub ssrc: u32,
    /// Packets that came too late to be played, or too early, of those expected, in 1/256.
    pub discard_rate: u8,
    /// Its opinion of what is heard, without delay, in tenths (10–50); `None`: it has none.
    pub listening_score: Option<u8>,
}

/// One packet of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RtcpPart<'a> {
    pub(super) packet_type: u8,
    /// The five bits that say how many of what follows there are.
    pub(super) count: usize,
    /// What stands behind the header of four bytes, without padding.
    pub(super) content: &'a [u8],
}

impl<'a> RtcpPart<'a> {
    /// Takes the first packet off `rest`; `None`: there is none that is whole.
    fn take(rest: &mut &'a [u8]) -> Option<RtcpPart<'a>> {
        let &[first, packet_type, high, low, ..] = *rest else { return None };
        let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        let (packet, after) = rest.split_at_checked(length)?;
        *rest = after;
        let content = packet.get(4..)?;
        let padding = content.last().filter(|_| first & 0x20 != 0).copied().map_or(0, usize::from);
        let content = content.get(..content.len().saturating_sub(padding))?;
        Some(RtcpPart { packet_type, count: usize::from(first & 0x1f), content })
    }

    /// Whether it is a sender's, a receiver's or an extended report.
    pub(super) fn is_report(&self) -> bool {
        is_report(self.packet_type)
    }

    /// Of a report: who reports, and what.
    pub(super) fn reported(&self) -> Option<(u32, &'a [u8])> {
        let (ssrc, body) = self.content.split_first_chunk()?;
        Some((u32::from_be_bytes(*ssrc), body))
    }

    /// A sender report's two parts: what it says of itself, and its report blocks.
    pub(super) fn sender_and_blocks(body: &'a [u8]) -> Option<(SenderInfo, &'a [u8])> {
        let (sender, blocks) = body.split_at_checked(SENDER_INFO_BYTES)?;
        Some((SenderInfo::read(sender)?, blocks))
    }
}

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

    /// Hands out what is reported in it, in order. Not to be asked of SRTCP: its reports are encrypted.
    pub fn read(&self, mut heard: impl FnMut(RtcpBlock)) {
        for part in self.parts() {
            let Some((_, body)) = part.reported() else { continue };
            match part.packet_type {
                SENDER_REPORT => {
                    let Some((sender, blocks)) = RtcpPart::sender_and_blocks(body) else { continue };
                    heard(RtcpBlock::Sender(sender));
                    read_blocks(blocks, part.count, |block| heard(RtcpBlock::Report(block)));
                }
                RECEIVER_REPORT => {
                    read_blocks(body, part.count, |block| heard(RtcpBlock::Report(block)));
                }
                EXTENDED_REPORT => read_extended(body, &mut heard),
                _ => {}
            }
        }
    }

    /// Its packets, in order. Each is of four bytes at least, so the datagram's length is the limit.
    pub(super) fn parts(&self) -> impl Iterator<Item = RtcpPart<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || RtcpPart::take(&mut rest))
    }

    /// Whether it begins with a report, as every compound packet does (RFC 3550 §6.1): feedback, a
    /// farewell and the like may come alone (RFC 5506).
    pub fn begins_with_report(&self) -> bool {
        is_report(self.packet_type())
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

const fn is_report(packet_type: u8) -> bool {
    matches!(packet_type, SENDER_REPORT | RECEIVER_REPORT | EXTENDED_REPORT)
}

/// The report blocks that are counted, and are there.
pub(super) fn read_blocks(bytes: &[u8], count: usize, heard: impl FnMut(ReportBlock)) {
    bytes.chunks_exact(REPORT_BLOCK_BYTES).take(count).filter_map(ReportBlock::read).for_each(heard);
}

/// The blocks of an extended report (RFC 3611 §3); those of other types are passed over, as it asks.
fn read_extended(bytes: &[u8], heard: &mut impl FnMut(RtcpBlock)) {
    for (block_type, specific, content) in extended_blocks(bytes) {
        let block = match block_type {
            STATISTICS => Statistics::read(content, specific).map(RtcpBlock::Statistics),
            VOIP_METRICS => VoipMetrics::read(content).map(RtcpBlock::VoipMetrics),
            _ => None,
        };
        block.into_iter().for_each(&mut *heard);
    }
}

/// Type, type-specific byte and content of each block that is whole; each is of four bytes at least.
pub(super) fn extended_blocks(bytes: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let &[block_type, specific, high, low, ..] = rest else { return None };
        let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        let (block, after) = rest.split_at_checked(length)?;
        rest = after;
        Some((block_type, specific, block.get(4..).unwrap_or_default()))
    })
}

impl ReportBlock {
    fn read(block: &[u8]) -> Option<ReportBlock> {
        let lost = word(block, 4)?;
        Some(ReportBlock {
            ssrc: word(block, 0)?,
            fraction_lost: (lost >> 24) as u8,
            // 24 bits with a sign.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            highest_sequence: word(block, 8)?,
            jitter: word(block, 12)?,
            last_sender_report: word(block, 16)?,
            delay_since: word(block, 20)?,
        })
    }
}

impl Statistics {
    /// The flags L and D say what the block has.
    fn read(content: &[u8], flags: u8) -> Option<Statistics> {
        let content = content.first_chunk::<36>()?;
        let field = |flag: u8, at: usize| if flags & flag != 0 { word(content, at) } else { None };
        Some(Statistics { ssrc: word(content, 0)?, lost: field(0x80, 8), duplicates: field(0x40, 12) })
    }
}

impl VoipMetrics {
    fn read(content: &[u8]) -> Option<VoipMetrics> {
        let content = content.first_chunk::<32>()?;
        Some(VoipMetrics {
            ssrc: word(content, 0)?,
            discard_rate: content[5],
            // 127 is "unavailable", and so is what is no score.
            listening_score: Some(content[22]).filter(|score| (10..=50).contains(score)),
        })
    }
}

/// The 32 bits at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// The count of padding is a multiple of four (RFC 3550 §6.4.1) and inside the packet.
fn is_padding_sound(body: &[u8]) -> bool {
    body.last()
        .is_some_and(|&count| count != 0 && count.is_multiple_of(4) && usize::from(count) <= body.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    fn blocks(bytes: &[u8]) -> Vec<RtcpBlock> {
        let mut blocks = Vec::new();
        RtcpPacket::parse(bytes).unwrap().read(|block| blocks.push(block));
        blocks
    }

    /// A report block on `ssrc`.
    fn report_block(ssrc: u32, fraction: u8, lost: i32) -> Vec<u8> {
        let lost = lost.to_be_bytes();
        let mut block = ssrc.to_be_bytes().to_vec();
        block.extend([fraction, lost[1], lost[2], lost[3]]);
        for word in [0x0001_0203u32, 160, 0xabcd_ef01, 0x0001_8000] {
            block.extend(word.to_be_bytes());
        }
        block
    }

    #[test]
    fn the_reports_of_senders_and_receivers_are_read() {
        let mut bytes = vec![0x81, 200, 0, 12, 0, 0, 0, 1];
        for word in [0x1111_2222u32, 0x3333_4444, 5, 6, 7] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(report_block(0xbeef, 64, 1_000));
        bytes.extend(SDES);
        bytes.extend([0x82, 201, 0, 13, 0, 0, 0, 1]);
        bytes.extend(report_block(7, 0, -3));
        bytes.extend(report_block(8, 255, 0x7f_ffff));
        let block = |ssrc, fraction_lost, cumulative_lost| {
            RtcpBlock::Report(ReportBlock {
                ssrc,
                fraction_lost,
                cumulative_lost,
                highest_sequence: 0x0001_0203,
                jitter: 160,
                last_sender_report: 0xabcd_ef01,
                delay_since: 0x0001_8000,
            })
        };
        let sender = SenderInfo {
            ntp_seconds: 0x1111_2222,
            ntp_fraction: 0x3333_4444,
            rtp_timestamp: 5,
            packets: 6,
            octets: 7,
        };
        assert_eq!(sender.ntp_middle(), 0x2222_3333);
        let sender = RtcpBlock::Sender(sender);
        let expected = [sender, block(0xbeef, 64, 1_000), block(7, 0, -3), block(8, 255, 0x7f_ffff)];
        assert_eq!(blocks(&bytes), expected);
    }

    #[test]
    fn extended_reports_are_read_and_other_blocks_passed_over() {
        let mut bytes = vec![0x80, 207, 0, 23, 0, 0, 0, 1];
        // A receiver reference time (RFC 3611 §4.4), which is not asked for.
        bytes.extend([4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend([6, 0x80, 0, 9, 0, 0, 0, 7, 0, 1, 0, 99, 0, 0, 0, 12, 0, 0, 0, 13]);
        bytes.extend([0; 20]);
        bytes.extend([7, 0, 0, 8, 0, 0, 0, 7, 25, 51, 0, 0]);
        bytes.extend([0; 12]);
        bytes.extend([93, 127, 41, 127, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes[3] = (bytes.len() / 4 - 1) as u8;
        let statistics = RtcpBlock::Statistics(Statistics { ssrc: 7, lost: Some(12), duplicates: None });
        let metrics = VoipMetrics { ssrc: 7, discard_rate: 51, listening_score: Some(41) };
        assert_eq!(blocks(&bytes), [statistics, RtcpBlock::VoipMetrics(metrics)]);
    }

    #[test]
    fn what_is_counted_but_not_there_is_not_read() {
        // 31 blocks of which one is there, and an extended block that is longer than its packet.
        let mut bytes = vec![0x9f, 201, 0, 7, 0, 0, 0, 1];
        bytes.extend(report_block(7, 0, 0));
        bytes.extend([0x80, 207, 0, 2, 0, 0, 0, 1, 7, 0, 0, 8]);
        assert_eq!(blocks(&bytes).len(), 1);
        assert_eq!(blocks(&[0x81, 200, 0, 1, 0, 0, 0, 1]), []);
        assert_eq!(blocks(&[0x80, 200, 0, 1, 0, 0, 0, 1, 0x80, 203, 0, 0]), []);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_read_more_than_they_are(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            types in proptest::collection::vec(prop_oneof![Just(200u8), Just(201), Just(207)], 8),
        ) {
            // Mostly sound: packets of a few words, of the types that are read.
            let mut at = 0;
            for packet_type in types {
                let Some(header) = bytes.get_mut(at..at + 4) else { break };
                header[0] = 0x80 | header[0] & 0x1f;
                (header[1], header[2], header[3]) = (packet_type, 0, header[3] % 16);
                at += 4 * (1 + usize::from(header[3]));
            }
            bytes.truncate(at);
            if let Some(packet) = RtcpPacket::parse(&bytes) {
                let mut count = 0;
                packet.read(|_| count += 1);
                prop_assert!(count <= bytes.len() / 20);
            }
        }
    }

    #[test]
    fn sound_padding_passes() {
        let padded = [0xa0, 201, 0, 2, 1, 2, 3, 4, 0, 0, 0, 4];
        assert!(RtcpPacket::parse(&padded).is_some());
    }
}
