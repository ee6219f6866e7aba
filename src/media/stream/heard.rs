//! What a stream notes of what it hears: drops by their reason, and the reports of RTCP.

use std::net::SocketAddr;

use super::{Received, Stream, Verdict};
use crate::base::Instant;
use crate::media::flow::{DropReason, Forward};
use crate::media::{RemoteMedia, Side, StreamKind};
use crate::rtp::{Codec, Formats, RtcpPacket, RtpPacket};

impl Received {
    /// Notes a packet that was dropped; its source where that is known.
    pub(super) fn drop_packet(&mut self, reason: DropReason, source: Option<SocketAddr>) {
        self.dropped += 1;
        if let Some(count) = self.dropped_by.get_mut(reason.index()) {
            *count = count.wrapping_add(1);
        }
        if reason == DropReason::SourceMismatch {
            self.stranger = source.or(self.stranger);
        }
    }
}

impl Stream {
    /// Reads the reports of a datagram that came from `side` and is its peer's. SRTCP is encrypted.
    pub(super) fn hear_reports(
        &mut self,
        side: Side,
        verdict: &mut Verdict,
        packet: &RtcpPacket<'_>,
        now: Instant,
    ) {
        let is_peers = match verdict.forward {
            Forward::To(_) => true,
            Forward::Drop(reason) => reason.is_of_peer(),
            Forward::Taken => false,
        };
        let (this, across) = match side {
            Side::A => (&mut self.a, &self.b.received),
            Side::B => (&mut self.b, &self.a.received),
        };
        if !is_peers || this.kind() != StreamKind::Rtp {
            return;
        }
        verdict.has_report = packet.begins_with_report();
        this.received.reports.receive(packet, &across.quality, &across.sender_reports, now);
        if let Forward::To(_) = verdict.forward {
            this.received.sender_reports.pass(packet, now);
        }
    }

    /// What the peer on a side said of its stream.
    pub fn remote(&self, side: Side) -> Option<&RemoteMedia> {
        self.side(side).remote.as_ref()
    }

    /// Where the peer on a side is sent to.
    pub fn reachable_at(&self, side: Side) -> Option<SocketAddr> {
        self.side(side).rtp.source.reachable_at()
    }

    /// Measures a packet that was taken from the peer on a side. What its payload type is says that
    /// peer's SDP, else the other's.
    pub(super) fn measure(&mut self, side: Side, packet: &RtpPacket<'_>, now: Instant) {
        let (this, across) = match side {
            Side::A => (&mut self.a, &self.b),
            Side::B => (&mut self.b, &self.a),
        };
        let remotes = [&this.remote, &across.remote];
        let formats = || remotes.map(|remote| remote.as_ref().map(|said| &said.formats));
        this.received.quality.receive(packet, now, formats);
    }

    /// Whether the peer on a side is to be heard on the other: both are known, both have voice, the
    /// one may send and the other wants to hear.
    pub fn owes_talk(&self, side: Side) -> bool {
        let (Some(this), Some(across)) = (self.remote(side), self.remote(side.other())) else {
            return false;
        };
        let is_talk = |remote: &RemoteMedia| remote.kind.is_rtp() && carries_voice(&remote.formats);
        is_talk(this) && is_talk(across) && this.sends && across.receives
    }
}

/// Whether a stream of these formats is one of voice. Video has none that is known here; voice has one,
/// or events or noise beside it.
fn carries_voice(formats: &Formats) -> bool {
    let has = |what: fn(Codec) -> bool| formats.iter().any(|format| what(format.codec));
    let is_beside_voice = |codec| matches!(codec, Codec::TelephoneEvent | Codec::ComfortNoise);
    let is_other = |codec| matches!(codec, Codec::Other | Codec::Redundancy);
    let is_voice = |codec| {
        !matches!(codec, Codec::Other | Codec::Redundancy | Codec::TelephoneEvent | Codec::ComfortNoise)
    };
    formats.is_empty() || has(is_voice) || (has(is_beside_voice) && has(is_other))
}
