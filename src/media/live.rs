//! What a media session does at this moment: its counters so far, and where each peer is by now. For whoever
//! asks while the call goes on.
//!
//! Must not know: who asks, how it is shown.

use std::net::SocketAddr;

use super::flow::{Claim, DropReason, PortKind};
use super::media_session::MediaSession;
use super::stream::Stream;
use super::{Latch, MediaReport, Side, StreamKind};
use crate::base::Instant;

/// One session, as it is now.
#[derive(Clone, PartialEq, Debug)]
pub struct LiveMedia {
    /// When it was looked at.
    pub at: Instant,
    /// Whether the call is on hold.
    pub is_held: bool,
    /// What was measured so far, over all streams: what `Closed` would say now.
    pub report: MediaReport,
    /// Each stream; at most [`MediaSession::STREAMS_MAX`].
    pub streams: Vec<LiveStream>,
}

/// One stream of a session.
#[derive(Clone, PartialEq, Debug)]
pub struct LiveStream {
    /// What it carries.
    pub kind: StreamKind,
    /// What comes from the caller's side.
    pub from_a: LiveDirection,
    /// What comes from the callee's.
    pub from_b: LiveDirection,
}

/// What comes from one side of a stream, and who sends it.
#[derive(Clone, PartialEq, Debug)]
pub struct LiveDirection {
    /// Packets forwarded.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that did not come (RFC 3550 A.3).
    pub lost: u64,
    /// Packets that came after one that was sent later.
    pub reordered: u64,
    /// Packets that had come before.
    pub duplicates: u64,
    /// Interarrival jitter as it is now, in milliseconds.
    pub jitter_ms: f64,
    /// Estimated mean opinion score; `None` where nothing came.
    pub mos: Option<f64>,
    /// When the peer's first packet came.
    pub first_packet: Option<Instant>,
    /// When its last did.
    pub last_packet: Option<Instant>,
    /// Packets dropped, in the order of [`DropReason::ALL`].
    pub dropped_by: [u32; DropReason::ALL.len()],
    /// Where the peer's SDP says that it is; `None`: it has said nothing, or rejected the stream.
    pub signalled: Option<SocketAddr>,
    /// The source that is taken; `None`: none is locked yet.
    pub source: Option<SocketAddr>,
    /// By what claim.
    pub claim: Option<Claim>,
    /// How closely the source is held to what the SDP says.
    pub latch: Latch,
    /// The last source that was refused.
    pub stranger: Option<SocketAddr>,
}

impl MediaSession {
    /// How it is now.
    pub fn live(&self, now: Instant) -> LiveMedia {
        let numbers = 0..u8::try_from(self.stream_count()).unwrap_or(u8::MAX);
        LiveMedia {
            at: now,
            is_held: self.is_held(),
            report: self.report(),
            streams: numbers.filter_map(|number| self.stream(number)).map(LiveStream::of).collect(),
        }
    }
}

impl LiveStream {
    fn of(stream: &Stream) -> LiveStream {
        let remotes = [Side::A, Side::B].map(|side| stream.remote(side));
        LiveStream {
            kind: remotes.into_iter().flatten().next().map(|remote| remote.kind).unwrap_or_default(),
            from_a: LiveDirection::of(stream, Side::A),
            from_b: LiveDirection::of(stream, Side::B),
        }
    }
}

impl LiveDirection {
    fn of(stream: &Stream, side: Side) -> LiveDirection {
        let received = stream.received(side);
        let (quality, remote) = (&received.quality, stream.remote(side));
        let source = &stream.flow(side, PortKind::Rtp).source;
        LiveDirection {
            packets: received.packets,
            bytes: received.bytes,
            lost: quality.lost(),
            reordered: quality.reordered(),
            duplicates: quality.duplicates(),
            jitter_ms: quality.jitter().as_secs_f64() * 1_000.0,
            mos: quality.mean_opinion_score(),
            first_packet: received.first_packet,
            last_packet: received.last_packet,
            dropped_by: received.dropped_by,
            signalled: remote.map(|remote| remote.rtp),
            source: source.locked(),
            claim: source.locked_by(),
            latch: remote.map(|remote| remote.latch).unwrap_or_default(),
            stranger: received.stranger,
        }
    }
}
