//! The media of one call, as the relay measures it: while the call goes on, and as it was at the end.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Instant, Latch};
use crate::media::{
    Claim, DirectionReport, DropReason, LiveDirection, LiveMedia, LiveStream, MediaReport, PeerReport,
    StreamKind,
};

/// Packets dropped, by reason, of those reasons for which any was.
pub(super) type DroppedBy = BTreeMap<&'static str, u64>;

#[derive(Serialize, JsonSchema)]
pub(super) struct MediaBody {
    /// Whether this is as it is now; false: as it was at the end.
    live: bool,
    held: bool,
    /// From the caller to the callee, over all streams.
    a_to_b: DirectionBody,
    b_to_a: DirectionBody,
    /// One for each m= line; none at the end.
    streams: Vec<StreamBody>,
}

#[derive(Serialize, JsonSchema)]
struct DirectionBody {
    packets: u64,
    bytes: u64,
    expected: u64,
    lost: u64,
    reordered: u64,
    duplicates: u64,
    /// Its mean.
    jitter_ms: f64,
    jitter_max_ms: f64,
    mos: Option<f64>,
    dropped: u64,
    /// The same by reason, over all streams.
    dropped_by: DroppedBy,
    ssrc_changes: u64,
    restarts: u64,
    /// For how long nothing of it was heard while the other side spoke.
    one_way_ms: u64,
    /// Whether that goes on, or went on to the end.
    not_heard: bool,
    first_packet: Option<String>,
    /// Absent at the end, and where none came.
    last_packet_ms_ago: Option<u64>,
    /// What the peer that it goes to says of what it gets.
    rtcp: Option<PeerBody>,
}

#[derive(Serialize, JsonSchema)]
struct PeerBody {
    lost: u64,
    loss: f64,
    jitter_ms: f64,
    rtt_ms: Option<f64>,
    discarded: Option<f64>,
    mos: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
struct StreamBody {
    /// `rtp`, `srtp` or `fax`.
    kind: &'static str,
    a_to_b: StreamDirectionBody,
    b_to_a: StreamDirectionBody,
}

#[derive(Serialize, JsonSchema)]
struct StreamDirectionBody {
    packets: u64,
    bytes: u64,
    lost: u64,
    reordered: u64,
    duplicates: u64,
    /// As it is now.
    jitter_ms: f64,
    mos: Option<f64>,
    last_packet_ms_ago: Option<u64>,
    dropped_by: DroppedBy,
    source: SourceBody,
}

/// Who sends it.
#[derive(Serialize, JsonSchema)]
struct SourceBody {
    /// Where the peer's SDP says that it is.
    signalled: Option<String>,
    /// From where its packets are taken; null: none is yet.
    locked: Option<String>,
    /// Whether that is another place than the signalled one.
    learned: bool,
    /// How it is vouched for: `exact`, `vouched`, `anywhere`; see docs/media.md.
    claim: Option<&'static str>,
    /// `signalled`, `learn` or `strict`, as the trunk's `latch` says.
    latch: &'static str,
    /// The last source that was refused.
    stranger: Option<String>,
}

impl MediaBody {
    pub(super) fn live(live: &LiveMedia, time: impl Fn(Instant) -> String) -> MediaBody {
        let last = |of: fn(&LiveStream) -> &LiveDirection| {
            let last = live.streams.iter().filter_map(|stream| of(stream).last_packet).max();
            last.map(|last| ago(last, live.at))
        };
        let (a, b) = (last(|stream| &stream.from_a), last(|stream| &stream.from_b));
        MediaBody {
            live: true,
            held: live.is_held,
            a_to_b: DirectionBody { last_packet_ms_ago: a, ..DirectionBody::of(&live.report.from_a, &time) },
            b_to_a: DirectionBody { last_packet_ms_ago: b, ..DirectionBody::of(&live.report.from_b, &time) },
            streams: live.streams.iter().map(|stream| StreamBody::of(stream, live.at)).collect(),
        }
    }

    pub(super) fn at_the_end(report: &MediaReport, time: impl Fn(Instant) -> String) -> MediaBody {
        MediaBody {
            live: false,
            held: false,
            a_to_b: DirectionBody::of(&report.from_a, &time),
            b_to_a: DirectionBody::of(&report.from_b, &time),
            streams: Vec::new(),
        }
    }
}

impl DirectionBody {
    fn of(report: &DirectionReport, time: impl Fn(Instant) -> String) -> DirectionBody {
        DirectionBody {
            packets: report.packets,
            bytes: report.bytes,
            expected: report.expected,
            lost: report.lost,
            reordered: report.reordered,
            duplicates: report.duplicates,
            jitter_ms: hundredths(report.jitter_ms),
            jitter_max_ms: hundredths(report.jitter_max_ms),
            mos: report.mos.map(hundredths),
            dropped: report.dropped,
            dropped_by: by_reason(&report.dropped_by.map(u64::from)),
            ssrc_changes: report.ssrc_changes,
            restarts: report.restarts,
            one_way_ms: u64::try_from(report.one_way.as_millis()).unwrap_or(u64::MAX),
            not_heard: report.is_silent,
            first_packet: report.first_packet.map(time),
            last_packet_ms_ago: None,
            rtcp: report.rtcp.as_ref().map(PeerBody::of),
        }
    }
}

impl PeerBody {
    fn of(report: &PeerReport) -> PeerBody {
        PeerBody {
            lost: report.lost,
            loss: hundredths(report.loss * 100.0) / 100.0,
            jitter_ms: hundredths(report.jitter_ms),
            rtt_ms: report.round_trip_ms.map(hundredths),
            discarded: report.discarded.map(|share| hundredths(share * 100.0) / 100.0),
            mos: report.mos.map(hundredths),
        }
    }
}

impl StreamBody {
    fn of(stream: &LiveStream, now: Instant) -> StreamBody {
        StreamBody {
            kind: match stream.kind {
                StreamKind::Rtp => "rtp",
                StreamKind::SecuredRtp => "srtp",
                StreamKind::Udptl => "fax",
            },
            a_to_b: StreamDirectionBody::of(&stream.from_a, now),
            b_to_a: StreamDirectionBody::of(&stream.from_b, now),
        }
    }
}

impl StreamDirectionBody {
    fn of(direction: &LiveDirection, now: Instant) -> StreamDirectionBody {
        StreamDirectionBody {
            packets: direction.packets,
            bytes: direction.bytes,
            lost: direction.lost,
            reordered: direction.reordered,
            duplicates: direction.duplicates,
            jitter_ms: hundredths(direction.jitter_ms),
            mos: direction.mos.map(hundredths),
            last_packet_ms_ago: direction.last_packet.map(|last| ago(last, now)),
            dropped_by: by_reason(&direction.dropped_by.map(u64::from)),
            source: SourceBody {
                signalled: direction.signalled.map(|address| address.to_string()),
                locked: direction.source.map(|address| address.to_string()),
                learned: direction.source.is_some() && direction.source != direction.signalled,
                claim: direction.claim.map(|claim| match claim {
                    Claim::Exact => "exact",
                    Claim::Vouched => "vouched",
                    Claim::Anywhere => "anywhere",
                }),
                latch: match direction.latch {
                    Latch::Signalled => "signalled",
                    Latch::Learn => "learn",
                    Latch::Strict => "strict",
                },
                stranger: direction.stranger.map(|address| address.to_string()),
            },
        }
    }
}

/// From counts in the order of [`DropReason::ALL`].
pub(super) fn by_reason(packets: &[u64; DropReason::ALL.len()]) -> DroppedBy {
    let dropped = DropReason::ALL.iter().zip(packets).filter(|(_, packets)| **packets > 0);
    dropped.map(|(reason, packets)| (reason.as_str(), *packets)).collect()
}

fn ago(at: Instant, now: Instant) -> u64 {
    u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)
}

/// What is estimated is not shown to the 15th digit.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
