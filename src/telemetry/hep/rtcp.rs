//! RTCP as capture servers read it: one JSON object for a datagram, in the names that rtpengine, captagent and heplify
//! have made a custom of (no specification has them): `sender_information`, `report_blocks`, `report_blocks_xr`,
//! `sdes_information`.
//!
//! What peers wrote is text of theirs in it: no control character of it gets through, nor anything that is not UTF-8,
//! for a database that will not take one (PostgreSQL and U+0000) drops all copies of that moment with it.
//!
//! Must not know: calls, addresses.

use serde::Serialize;

use crate::rtp::{ReportBlock, RtcpPacket, RtcpReport, SdesItem, SenderInfo, VoipReport};

/// Stands for each character of a name that is not printed.
const UNPRINTABLE: char = '_';

/// The JSON of a datagram; `None`: it is no RTCP, or reports nothing.
pub(super) fn json(datagram: &[u8]) -> Option<Vec<u8>> {
    let packet = RtcpPacket::parse(datagram)?;
    let report = RtcpReport::read(&packet)?;
    serde_json::to_vec(&Report::of(&report)).ok()
}

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_information: Option<Sender>,
    ssrc: u32,
    #[serde(rename = "type")]
    packet_type: u8,
    report_count: usize,
    report_blocks: Vec<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report_blocks_xr: Option<Voip>,
    #[serde(flatten)]
    described: Option<Described>,
}

#[derive(Serialize)]
struct Sender {
    ntp_timestamp_sec: u32,
    /// In spite of its name the fraction as the packet has it, of 2³²: so all who write it, and all who read it.
    ntp_timestamp_usec: u32,
    rtp_timestamp: u32,
    packets: u32,
    octets: u32,
}

#[derive(Serialize)]
struct Block {
    source_ssrc: u32,
    /// In 1/256.
    fraction_lost: u8,
    /// Below zero where more came twice than were lost.
    packets_lost: i32,
    highest_seq_no: u32,
    ia_jitter: u32,
    lsr: u32,
    dlsr: u32,
}

/// The metrics of voice (RFC 3611 §4.7).
#[derive(Serialize)]
struct Voip {
    #[serde(rename = "type")]
    block_type: u8,
    id: u32,
    fraction_lost: u8,
    fraction_discard: u8,
    burst_density: u8,
    gap_density: u8,
    burst_duration: u16,
    gap_duration: u16,
    round_trip_delay: u16,
    end_system_delay: u16,
}

#[derive(Serialize)]
struct Described {
    sdes_ssrc: u32,
    sdes_report_count: u8,
    sdes_information: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    sdes_chunk_ssrc: u32,
    #[serde(rename = "type")]
    kind: u8,
    text: String,
}

impl Report {
    fn of(report: &RtcpReport<'_>) -> Report {
        Report {
            sender_information: report.sender.as_ref().map(Sender::of),
            ssrc: report.ssrc,
            packet_type: report.packet_type,
            // Those that are here, whatever its header says.
            report_count: report.blocks.len(),
            report_blocks: report.blocks.iter().map(Block::of).collect(),
            report_blocks_xr: report.voip.as_ref().map(Voip::of),
            described: report.described.map(|(ssrc, count)| Described {
                sdes_ssrc: ssrc,
                sdes_report_count: count,
                sdes_information: report.items.iter().map(Item::of).collect(),
            }),
        }
    }
}

impl Sender {
    fn of(sender: &SenderInfo) -> Sender {
        Sender {
            ntp_timestamp_sec: sender.ntp_seconds,
            ntp_timestamp_usec: sender.ntp_fraction,
            rtp_timestamp: sender.rtp_timestamp,
            packets: sender.packets,
            octets: sender.octets,
        }
    }
}

impl Block {
    fn of(block: &ReportBlock) -> Block {
        Block {
            source_ssrc: block.ssrc,
            fraction_lost: block.fraction_lost,
            packets_lost: block.cumulative_lost,
            highest_seq_no: block.highest_sequence,
            ia_jitter: block.jitter,
            lsr: block.last_sender_report,
            dlsr: block.delay_since,
        }
    }
}

impl Voip {
    fn of(voip: &VoipReport) -> Voip {
        Voip {
            block_type: 7,
            id: voip.ssrc,
            fraction_lost: voip.loss_rate,
            fraction_discard: voip.discard_rate,
            burst_density: voip.burst_density,
            gap_density: voip.gap_density,
            burst_duration: voip.burst_duration,
            gap_duration: voip.gap_duration,
            round_trip_delay: voip.round_trip_delay,
            end_system_delay: voip.end_system_delay,
        }
    }
}

impl Item {
    fn of(item: &SdesItem<'_>) -> Item {
        let is_unprintable = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        let text = String::from_utf8_lossy(item.text).replace(is_unprintable, &UNPRINTABLE.to_string());
        Item { sdes_chunk_ssrc: item.ssrc, kind: item.kind, text }
    }
}

#[cfg(test)]
mod tests;
