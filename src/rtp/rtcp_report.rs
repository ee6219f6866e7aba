//! All that one RTCP datagram reports, with the names of who does, for whoever keeps it: the reports of
//! senders and receivers (RFC 3550 §6.4), source descriptions (§6.5), and of extended reports the metrics of
//! voice (RFC 3611 §4.7). What is measured in a call reads less of it, and at once ([`RtcpPacket::read`]).
//!
//! Must not know: what it is kept as.

use super::rtcp::{
    EXTENDED_REPORT, ReportBlock, RtcpPacket, RtcpPart, SENDER_REPORT, SOURCE_DESCRIPTION, SenderInfo,
    VOIP_METRICS, extended_blocks, read_blocks,
};

/// Report blocks that are kept of a datagram: as many as one packet has (RFC 3550 §6.4.1).
const BLOCKS_MAX: usize = 31;
/// Items of source descriptions that are kept: a participant has one of each of eight kinds.
const ITEMS_MAX: usize = 16;

/// What one datagram reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RtcpReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// 200 a sender, 201 a receiver; 207: there is an extended report alone.
    pub packet_type: u8,
    /// What a sender says of itself.
    pub sender: Option<SenderInfo>,
    /// What it says of those that it receives, 31 at most.
    pub blocks: Vec<ReportBlock>,
    /// The last of its metrics of voice.
    pub voip: Option<VoipReport>,
    /// The participants that are described, if any are: the first of them, and how many it says there are.
    pub described: Option<(u32, u8)>,
    /// By what they are described, 16 items at most.
    pub items: Vec<SdesItem<'a>>,
}

/// One item of a source description (RFC 3550 §6.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SdesItem<'a> {
    /// Who is described.
    pub ssrc: u32,
    /// 1 CNAME, 2 NAME, 3 EMAIL, 4 PHONE, 5 LOC, 6 TOOL, 7 NOTE, 8 PRIV.
    pub kind: u8,
    /// As it stands: UTF-8, if its sender keeps to the RFC.
    pub text: &'a [u8],
}

/// The first half of a VoIP metrics block (RFC 3611 §4.7): what the network did. Rates and densities in
/// 1/256, durations and delays in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoipReport {
    /// The source that was received.
    pub ssrc: u32,
    /// Packets that were lost on the way.
    pub loss_rate: u8,
    /// Packets that came too late or too early to be played.
    pub discard_rate: u8,
    /// Packets that were lost or discarded within bursts.
    pub burst_density: u8,
    /// The same within the gaps between bursts.
    pub gap_density: u8,
    /// The mean length of a burst.
    pub burst_duration: u16,
    /// The mean length of a gap.
    pub gap_duration: u16,
    /// The last round trip that was measured.
    pub round_trip_delay: u16,
    /// What the reporter itself adds.
    pub end_system_delay: u16,
}

impl<'a> RtcpReport<'a> {
    /// What a datagram reports; `None`: nothing. Whoever reports first in it is its reporter: what others
    /// say in the same datagram (a mixer's) is left out, for nothing would tell whose it is. Not to be
    /// asked of SRTCP.
    pub fn read(packet: &RtcpPacket<'a>) -> Option<RtcpReport<'a>> {
        let first = packet.parts().find_map(|part| part.reported().filter(|_| part.is_report()));
        let (ssrc, _) = first?;
        let mut report = RtcpReport {
            ssrc,
            packet_type: EXTENDED_REPORT,
            sender: None,
            blocks: Vec::new(),
            voip: None,
            described: None,
            items: Vec::new(),
        };
        for part in packet.parts() {
            match part.reported() {
                _ if part.packet_type == SOURCE_DESCRIPTION => report.describe(&part),
                Some((reporter, body)) if reporter == ssrc => report.add(&part, body),
                _ => {}
            }
        }
        Some(report)
    }

    fn add(&mut self, part: &RtcpPart<'a>, body: &'a [u8]) {
        match part.packet_type {
            EXTENDED_REPORT => {
                let metrics = extended_blocks(body).filter(|(block_type, ..)| *block_type == VOIP_METRICS);
                self.voip =
                    metrics.filter_map(|(_, _, content)| VoipReport::read(content)).last().or(self.voip);
            }
            _ if !part.is_report() => {}
            packet_type => {
                if self.packet_type == EXTENDED_REPORT {
                    self.packet_type = packet_type;
                }
                let blocks = match packet_type {
                    SENDER_REPORT => {
                        let Some((sender, blocks)) = RtcpPart::sender_and_blocks(body) else { return };
                        self.sender = self.sender.or(Some(sender));
                        blocks
                    }
                    _ => body,
                };
                read_blocks(blocks, part.count, |block| {
                    if self.blocks.len() < BLOCKS_MAX {
                        self.blocks.push(block);
                    }
                });
            }
        }
    }

    /// Chunks of an SSRC and its items, "terminated by one or more null octets … until the next 32-bit
    /// boundary" (RFC 3550 §6.5).
    fn describe(&mut self, part: &RtcpPart<'a>) {
        let mut rest = part.content;
        // Five bits say how many.
        for _ in 0..part.count {
            let Some((ssrc, chunk)) = rest.split_first_chunk() else { return };
            let ssrc = u32::from_be_bytes(*ssrc);
            self.described.get_or_insert((ssrc, part.count as u8));
            let mut left = chunk;
            // Every turn takes two bytes at least.
            while let [kind, length, after @ ..] = left
                && *kind != 0
            {
                let Some((text, after)) = after.split_at_checked(usize::from(*length)) else { return };
                if self.items.len() < ITEMS_MAX {
                    self.items.push(SdesItem { ssrc, kind: *kind, text });
                }
                left = after;
            }
            let with_its_end = (chunk.len() - left.len() + 1).next_multiple_of(4);
            rest = chunk.get(with_its_end..).unwrap_or_default();
        }
    }
}

impl VoipReport {
    fn read(content: &[u8]) -> Option<VoipReport> {
        let [s0, s1, s2, s3, loss_rate, discard_rate, burst_density, gap_density, rest @ ..] =
            *content.first_chunk::<16>()?;
        let [b0, b1, g0, g1, r0, r1, e0, e1] = rest;
        Some(VoipReport {
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            loss_rate,
            discard_rate,
            burst_density,
            gap_density,
            burst_duration: u16::from_be_bytes([b0, b1]),
            gap_duration: u16::from_be_bytes([g0, g1]),
            round_trip_delay: u16::from_be_bytes([r0, r1]),
            end_system_delay: u16::from_be_bytes([e0, e1]),
        })
    }
}
