//! One stream of a call: two sides, each with the flow of its RTP and of its RTCP port and what
//! was measured of what came in. What arrives at one side leaves from the other.
//!
//! Must not know: SIP, sockets.

mod heard;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use super::flow::{
    Claim, Destination, DropReason, Flow, Forward, PortKind, SourceRule, canonical_source, forward,
};
use super::keys::KeyWatch;
use super::learning::{Learner, Sign};
use super::lingering::Lingering;
use super::payload_map::PayloadMap;
use super::presses::Presses;
use super::transform::Transform;
use super::{RemoteMedia, Side, StreamKind};
use crate::base::Instant;
use crate::rtp::{self, Datagram, Format, Formats, PeerReports, Press, Quality, RtpPacket, SentReports};

/// One stream. Plain data.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Stream {
    a: StreamSide,
    b: StreamSide,
}

/// One side of a stream. A packet of one among thousands of calls finds nothing of its call in the
/// caches, and each line of memory that it needs costs more than what is done with it: so what every
/// packet touches lies together at the begin, and of the other side nothing.
#[derive(Clone, PartialEq, Default, Debug)]
#[repr(C, align(64))]
struct StreamSide {
    traits: Traits,
    /// What comes in here as RTP or fax.
    rtp: Flow,
    received: Received,
    /// Who may be the sender of it.
    learner: Learner,
    rtcp: Flow,
    remote: Option<RemoteMedia>,
    /// What is learned holds for this place: whether it is RTP, and where.
    place: Option<(bool, SocketAddr)>,
    /// What was listed here before the peer changed its formats, or another took its place.
    former: Formats,
    /// The peer's source before it moved.
    lingering: Option<Lingering>,
    changes: Changes,
}

/// What is asked of a side for every packet, as it follows from the rest of the stream.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
struct Traits {
    kind: StreamKind,
    /// Whether packets may be changed here.
    has_changes: bool,
    /// Whether one of the two peers has moved, and its former source still counts.
    is_lingering: bool,
}

/// What may change in the packets that come in on a side; nothing as a rule.
#[derive(Clone, PartialEq, Default, Debug)]
struct Changes {
    map: PayloadMap,
    keys: KeyWatch,
    presses: Option<Box<Presses>>,
}

impl Changes {
    fn is_any(&self) -> bool {
        !self.map.is_identity() || self.keys.is_watching() || self.presses.is_some()
    }
}

/// What was measured of what came in on one side; what every packet touches comes first.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
#[repr(C)]
pub struct Received {
    /// RTP packets and fax datagrams forwarded.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the first of them came, forwarded or not.
    pub first_packet: Option<Instant>,
    /// When the last did.
    pub last_packet: Option<Instant>,
    /// Loss and jitter before us, of the RTP that was taken from the peer, forwarded or not.
    pub quality: Quality,
    /// RTP packets that were read and go on in another form.
    pub taken: u32,
    /// Packets of any kind that were dropped here.
    pub dropped: u64,
    /// Packets that were dropped, in the order of [`DropReason::ALL`].
    pub dropped_by: [u32; DropReason::ALL.len()],
    /// The source of the last that was dropped for its source.
    pub stranger: Option<SocketAddr>,
    /// What the peer says of what it is sent.
    pub reports: PeerReports,
    /// The sender reports of the peer that were passed on.
    pub sender_reports: SentReports,
}

/// What happens to one datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Where it goes.
    pub forward: Forward,
    /// Whether it is RTP or fax of the call's own peer: a sign of life, and counted as such.
    pub is_peer_rtp: bool,
    /// What is written into it before it goes.
    pub transform: Transform,
    /// Whether keys wait to be told ([`Stream::take_key`]).
    pub has_keys: bool,
    /// Whether it is RTCP of the call's own peer that can be read and begins with a report.
    pub has_report: bool,
}

impl Verdict {
    const fn drop(reason: DropReason) -> Verdict {
        Verdict::of(Forward::Drop(reason), false)
    }

    /// On a packet of RTP or fax whose source is the peer's.
    fn of_peer(forward: Forward) -> Verdict {
        let is_peer_rtp = match forward {
            Forward::To(_) | Forward::Taken => true,
            Forward::Drop(reason) => reason.is_of_peer(),
        };
        Verdict::of(forward, is_peer_rtp)
    }

    const fn of(forward: Forward, is_peer_rtp: bool) -> Verdict {
        Verdict { forward, is_peer_rtp, transform: Transform::Keep, has_keys: false, has_report: false }
    }
}

impl Stream {
    /// Decides on a datagram that arrived at `side`'s `port` from `source`.
    pub fn receive(
        &mut self,
        side: Side,
        port: PortKind,
        source: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Verdict {
        if self.side(side).traits.is_lingering {
            self.end_lingering(now);
        }
        let verdict = match self.side(side).traits.kind {
            StreamKind::Rtp => self.receive_rtp(side, port, source, Datagram::classify(bytes), bytes, now),
            StreamKind::SecuredRtp => {
                self.receive_rtp(side, port, source, Datagram::classify_secured(bytes), bytes, now)
            }
            StreamKind::Udptl if port == PortKind::Rtp && rtp::is_udptl(bytes) => {
                let verdict = self.judge(side, source, &Sign::of_udptl(bytes), now);
                self.count(side, verdict, bytes, now);
                verdict
            }
            StreamKind::Udptl => Verdict::drop(DropReason::NotRtp),
        };
        if let Forward::Drop(reason) = verdict.forward {
            self.side_mut(side).received.drop_packet(reason, Some(source));
        }
        verdict
    }

    /// Reads one word of each line of memory that [`Stream::receive`] will need for a packet of the peer's RTP, and
    /// gives something that depends on all of them: whoever has many packets at hand asks for all of theirs, so
    /// that the memory comes for them side by side.
    #[inline]
    pub fn bring_near(&self, side: Side) -> u64 {
        let side = self.side(side);
        u64::from(side.traits.has_changes)
            ^ u64::from(side.rtp.may_send)
            ^ u64::from(side.rtp.source.locked().is_some())
            ^ side.received.packets
            ^ side.received.quality.bring_near()
            ^ u64::from(side.learner.ssrc().is_some())
    }

    fn receive_rtp(
        &mut self,
        side: Side,
        port: PortKind,
        source: SocketAddr,
        datagram: Datagram<'_>,
        bytes: &[u8],
        now: Instant,
    ) -> Verdict {
        match (datagram, port) {
            (Datagram::Rtp(packet), PortKind::Rtp) => {
                let mut verdict = self.judge(side, source, &Sign::of_rtp(&packet), now);
                if verdict.is_peer_rtp {
                    self.measure(side, &packet, now);
                    if self.side(side).traits.has_changes {
                        self.change(side, &packet, &mut verdict, now);
                    }
                }
                self.count(side, verdict, bytes, now);
                verdict
            }
            (Datagram::Rtcp(packet), PortKind::Rtcp) => {
                let mut verdict = self.judge_rtcp(side, source, packet.ssrc());
                self.hear_reports(side, &mut verdict, &packet, now);
                self.without_names(side, verdict)
            }
            (Datagram::Rtcp(packet), PortKind::Rtp) if self.side(side).is_multiplexed() => {
                let mut verdict = self.judge_multiplexed(side, source, &Sign::of_rtcp(&packet), now);
                self.hear_reports(side, &mut verdict, &packet, now);
                self.without_names(side, verdict)
            }
            (Datagram::Rtp(_) | Datagram::Rtcp(_) | Datagram::Other, _) => Verdict::drop(DropReason::NotRtp),
        }
    }

    /// What secured RTCP says cannot be read, and so it crosses.
    fn without_names(&self, side: Side, verdict: Verdict) -> Verdict {
        match self.side(side).traits.kind {
            StreamKind::Rtp => Verdict { transform: Transform::Names, ..verdict },
            StreamKind::SecuredRtp | StreamKind::Udptl => verdict,
        }
    }

    fn count(&mut self, side: Side, verdict: Verdict, bytes: &[u8], now: Instant) {
        if !verdict.is_peer_rtp {
            return;
        }
        let received = &mut self.side_mut(side).received;
        received.first_packet.get_or_insert(now);
        received.last_packet = Some(now);
        match verdict.forward {
            Forward::To(_) => {
                received.packets += 1;
                received.bytes += bytes.len() as u64;
            }
            Forward::Taken => received.taken = received.taken.wrapping_add(1),
            Forward::Drop(_) => {}
        }
    }

    /// What becomes of a packet of the peer's that does not just cross as it is.
    fn change(&mut self, side: Side, packet: &RtpPacket<'_>, verdict: &mut Verdict, now: Instant) {
        let (this, other) = self.sides_mut(side);
        let changes = &mut this.changes;
        if changes.keys.takes(packet, now) {
            verdict.forward = Forward::Taken;
        }
        verdict.has_keys = changes.keys.has_some();
        let Forward::To(_) = verdict.forward else { return };
        let changed = changes.map.changed(packet.payload_type());
        verdict.transform = changed.map_or(Transform::Keep, Transform::PayloadType);
        if let Some(presses) = &mut changes.presses {
            let payload_type = changed.unwrap_or(packet.payload_type());
            match presses.take(packet, payload_type, &other.formats(), now) {
                Transform::Keep => {}
                event => verdict.transform = event,
            }
        }
    }

    /// Presses a key in the packets that come from a side, and tells whether it can be: the other side takes
    /// events, and the packets may be changed.
    pub fn press(&mut self, side: Side, press: Press, now: Instant) -> bool {
        let takes_events = self.side(side.other()).formats().has(rtp::Codec::TelephoneEvent);
        let this = self.side_mut(side);
        if this.kind() != StreamKind::Rtp || !takes_events {
            return false;
        }
        this.traits.has_changes = true;
        this.changes.presses.get_or_insert_default().press(press, now)
    }

    /// The next key that a peer has pressed and that is to be told.
    pub fn take_key(&mut self) -> Option<(Side, Press)> {
        let a = self.a.changes.keys.take().map(|press| (Side::A, press));
        a.or_else(|| self.b.changes.keys.take().map(|press| (Side::B, press)))
    }

    /// Time has passed: finds keys whose end was lost, and tells whether there are any to be told.
    pub fn poll_keys(&mut self, now: Instant) -> bool {
        self.a.changes.keys.poll(now);
        self.b.changes.keys.poll(now);
        self.a.changes.keys.has_some() || self.b.changes.keys.has_some()
    }

    /// Counts a packet that was lost here for a reason that only the relay sees.
    pub fn count_drop(&mut self, side: Side, reason: DropReason) {
        self.side_mut(side).received.drop_packet(reason, None);
    }

    /// The peer on one side said where it is. Learning starts anew only where its claim changed.
    pub fn set_remote(&mut self, side: Side, remote: Option<RemoteMedia>) {
        if self.is_another_party(side, remote.as_ref()) {
            // Keys were not meant for whoever is there now.
            self.side_mut(side.other()).changes.presses = None;
        }
        let this = self.side_mut(side);
        this.note_former(remote.as_ref());
        this.remote = remote;
        match &remote {
            None => {
                (this.rtp.source, this.rtcp.source) = (SourceRule::default(), SourceRule::default());
                (this.place, this.learner) = (None, Learner::default());
            }
            // On hold as RFC 2543 has it: no other place is named, so what was learned holds.
            Some(remote) if remote.is_nowhere() && this.is_placed_as(remote.kind) => this.follow_rtp(),
            Some(remote) => {
                let rtp = match remote.kind {
                    StreamKind::Rtp | StreamKind::SecuredRtp => SourceRule::for_rtp(remote),
                    StreamKind::Udptl => SourceRule::for_udptl(remote),
                };
                // Behind a NAT two signalled addresses vouch for the same sources, and still the second
                // is another place of the peer's, with a mapping of its own.
                let place = Some((remote.kind.is_rtp(), remote.rtp));
                if this.place != place || !rtp.is_same_claim(&this.rtp.source) {
                    (this.place, this.rtp.source, this.learner) = (place, rtp, Learner::default());
                    this.rtcp.source = SourceRule::default();
                }
                this.follow_rtp();
            }
        }
        for side in [&mut self.a, &mut self.b] {
            side.received.quality.forget_formats();
        }
        self.refresh();
    }

    /// Whether this names another party than a side has: none, or the port of ours behind which another
    /// call's is. One that moves by itself stays who it is.
    fn is_another_party(&self, side: Side, remote: Option<&RemoteMedia>) -> bool {
        let place = remote.map(|remote| (remote.kind.is_rtp(), remote.rtp));
        let is_ours = remote.is_some_and(|remote| remote.kind == StreamKind::SecuredRtp);
        self.side(side).place.is_some() && self.side(side).place != place && (is_ours || remote.is_none())
    }

    /// The same when signalling has moved the peer in the middle of its stream: what is still on its way from
    /// where it was counts for a little while, and as long as the new place is not known, that is where it is sent to.
    pub fn move_remote(&mut self, side: Side, remote: Option<RemoteMedia>, now: Instant) {
        let (before, was) = (self.side(side).rtp.source.locked(), self.side(side).remote);
        self.set_remote(side, remote);
        let this = self.side_mut(side);
        if this.rtp.source.locked().is_none() {
            // Of one that moves again before it was heard, what lingers is where it was heard.
            let lingering = this.lingering.filter(|lingering| !lingering.is_over(now));
            let heard_at = before.or(lingering.map(|lingering| lingering.source));
            this.lingering = Lingering::of(was, remote, heard_at, now);
            self.refresh();
        }
    }

    fn end_lingering(&mut self, now: Instant) {
        let is_over = |side: &StreamSide| side.lingering.is_some_and(|lingering| lingering.is_over(now));
        if is_over(&self.a) || is_over(&self.b) {
            (self.a.lingering, self.b.lingering) = (
                self.a.lingering.filter(|lingering| !lingering.is_over(now)),
                self.b.lingering.filter(|lingering| !lingering.is_over(now)),
            );
            self.refresh();
        }
    }

    /// What came in on a side.
    pub fn received(&self, side: Side) -> &Received {
        &self.side(side).received
    }

    /// Whether both peers are known, so that media may be expected.
    pub fn is_joined(&self) -> bool {
        self.a.remote.is_some() && self.b.remote.is_some()
    }

    /// Whether it is a fax that both sides take.
    pub fn is_fax(&self) -> bool {
        self.is_joined() && self.a.kind() == StreamKind::Udptl && self.b.kind() == StreamKind::Udptl
    }

    /// The rule of one port, as it stands.
    pub fn flow(&self, side: Side, port: PortKind) -> &Flow {
        match port {
            PortKind::Rtp => &self.side(side).rtp,
            PortKind::Rtcp => &self.side(side).rtcp,
        }
    }

    /// Decides on a packet of RTP or fax.
    fn judge(&mut self, side: Side, source: SocketAddr, sign: &Sign, now: Instant) -> Verdict {
        let this = self.side_mut(side);
        let mut onward = forward(&this.rtp, source);
        if onward == Forward::Drop(DropReason::SourceMismatch) {
            if let Err(reason) = self.learn(side, source, sign, now) {
                return self.judge_lingering(side, source, reason);
            }
            onward = self.side(side).rtp.onward();
        }
        self.side_mut(side).learner.note(sign, now);
        if onward == Forward::Drop(DropReason::NoDestination) && self.answer_the_only_one(side.other(), now) {
            onward = self.side(side).rtp.onward();
        }
        Verdict::of_peer(onward)
    }

    /// A packet that its source's claim does not let through may be one that was on its way when the peer
    /// moved; `reason` is why it is dropped otherwise.
    fn judge_lingering(&self, side: Side, source: SocketAddr, reason: DropReason) -> Verdict {
        let this = self.side(side);
        match this.lingering.filter(|lingering| lingering.source == canonical_source(source)) {
            Some(_) => Verdict::of_peer(this.rtp.onward()),
            None => Verdict::drop(reason),
        }
    }

    /// A packet came from a source that is not locked: is it the peer's? Where it is, the way back turns
    /// to it.
    #[cold]
    fn learn(&mut self, side: Side, source: SocketAddr, sign: &Sign, now: Instant) -> Result<(), DropReason> {
        let sign = self.weighed(side, sign);
        let this = self.side_mut(side);
        // Who receives without sending is heard by what keeps its NAT open (RFC 6263), or never.
        let may_be_heard = this.remote.is_some_and(|remote| remote.sends || remote.receives);
        if !may_be_heard && this.rtp.source.claim_of(source).is_some() {
            return Err(DropReason::NotSending);
        }
        // Where it was is vouched for as well where that is behind the same NAT, and would win: it came first.
        let is_left = this.lingering.is_some_and(|lingering| lingering.source == canonical_source(source));
        if is_left && this.rtp.source.claim_of(source) == Some(Claim::Vouched) {
            return Err(DropReason::SourceMismatch);
        }
        let was_locked = this.rtp.source.locked().is_some();
        this.learner.hear(&mut this.rtp.source, source, &sign, now)?;
        if was_locked {
            // What was learned beside the one that is displaced was its own.
            this.rtcp.source = SourceRule::default();
        }
        this.lingering = None;
        this.follow_rtp();
        self.refresh();
        Ok(())
    }

    /// What a packet shows, in the light of both sides' SDP. The peer sends by the numbers of the other
    /// side's ("the payload type numbers [the offerer] expects to receive", RFC 3264 §5.1), many by
    /// their own; and comfort noise also unlisted (RFC 3551 §6 has a number for it).
    fn weighed(&self, side: Side, sign: &Sign) -> Sign {
        const COMFORT_NOISE: u8 = 13;
        let Some(payload_type) = sign.payload_type else { return *sign };
        let remotes = || [self.side(side).remote, self.side(side.other()).remote].into_iter().flatten();
        let listed = remotes().find_map(|remote| remote.formats.of_payload_type(payload_type).copied());
        let is_told = !remotes().any(|remote| remote.formats.is_empty() || remote.formats.is_full());
        let known = listed.filter(|format| format.clock_hz > 0).or(Format::of_static_type(payload_type));
        Sign {
            clock_hz: known.map(|format| format.clock_hz),
            is_plausible: listed.is_some() || !is_told || payload_type == COMFORT_NOISE,
            ..*sign
        }
    }

    /// A side to which no way is known gets the other's media where the one candidate is that it has.
    fn answer_the_only_one(&mut self, side: Side, now: Instant) -> bool {
        let this = self.side_mut(side);
        let only = this.learner.only_one(now).filter(|_| this.rtp.source.reachable_at().is_none());
        if let Some(source) = only {
            this.rtp.source.answer_tentatively(source);
            self.refresh();
        }
        only.is_some()
    }

    /// Decides on a packet on the port for RTCP.
    fn judge_rtcp(&mut self, side: Side, source: SocketAddr, ssrc: u32) -> Verdict {
        let this = self.side_mut(side);
        let mut onward = forward(&this.rtcp, source);
        if onward == Forward::Drop(DropReason::SourceMismatch) {
            let rule = &mut this.rtcp.source;
            let claim = rule.claim_of(source);
            match (claim, rule.locked_by()) {
                (Some(Claim::Exact), _) => rule.lock(source, Claim::Exact),
                // Beside the locked RTP: from that address, and of the same participant.
                (Some(_), None) if this.learner.ssrc() == Some(ssrc) => rule.lock(source, Claim::Vouched),
                (Some(_), None) => return Verdict::drop(DropReason::Implausible),
                _ => return Verdict::drop(DropReason::SourceMismatch),
            }
            onward = this.rtcp.onward();
            self.refresh();
        }
        Verdict::of(onward, false)
    }

    /// Decides on RTCP on the port for RTP: it is the peer's where RTP of that source would be.
    fn judge_multiplexed(&mut self, side: Side, source: SocketAddr, sign: &Sign, now: Instant) -> Verdict {
        if forward(&self.side(side).rtp, source) == Forward::Drop(DropReason::SourceMismatch)
            && let Err(reason) = self.learn(side, source, sign, now)
        {
            return Verdict::drop(reason);
        }
        Verdict::of(self.side(side).rtcp.onward(), false)
    }

    /// Writes into each flow where the other side is now.
    fn refresh(&mut self) {
        let (a, b) = (self.a.whereabouts(), self.b.whereabouts());
        self.a.send_to(&b);
        self.b.send_to(&a);
        let is_lingering = self.a.lingering.is_some() || self.b.lingering.is_some();
        for side in [&mut self.a, &mut self.b] {
            side.traits = Traits { kind: side.kind(), has_changes: side.changes.is_any(), is_lingering };
        }
    }

    fn side(&self, side: Side) -> &StreamSide {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// A side, and the other.
    fn sides_mut(&mut self, side: Side) -> (&mut StreamSide, &StreamSide) {
        match side {
            Side::A => (&mut self.a, &self.b),
            Side::B => (&mut self.b, &self.a),
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut StreamSide {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }
}

/// What one side tells the other about where its peer is.
struct Whereabouts {
    kind: StreamKind,
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    is_multiplexed: bool,
    receives: bool,
    formats: Formats,
    former: Formats,
}

impl StreamSide {
    /// Whether the peer sends RTCP to and from its RTP port (RFC 5761).
    fn is_multiplexed(&self) -> bool {
        self.kind().is_rtp() && self.remote.is_some_and(|remote| remote.rtcp == remote.rtp)
    }

    /// Whether a place is known of streams of this kind.
    fn is_placed_as(&self, kind: StreamKind) -> bool {
        self.place.is_some_and(|(is_rtp, _)| is_rtp == kind.is_rtp())
    }

    /// What its peer's SDP lists.
    fn formats(&self) -> Formats {
        self.remote.map_or(Formats::EMPTY, |remote| remote.formats)
    }

    /// Formats that are listed no more keep their meaning (RFC 3264 §8.3.2).
    fn note_former(&mut self, next: Option<&RemoteMedia>) {
        let (before, next) = (self.formats(), next.map_or(Formats::EMPTY, |next| next.formats));
        if before != next && !before.is_empty() {
            self.former = before.and(&self.former);
        }
    }

    /// What its peer sends here.
    fn kind(&self) -> StreamKind {
        self.remote.map_or(StreamKind::Rtp, |remote| remote.kind)
    }

    /// Renews the rule for RTCP after the one for RTP changed.
    fn follow_rtp(&mut self) {
        let Some(remote) = &self.remote else { return };
        let rtcp = match remote.kind {
            StreamKind::Rtp | StreamKind::SecuredRtp => SourceRule::for_rtcp(remote, &self.rtp.source),
            StreamKind::Udptl => SourceRule::default(),
        };
        if !rtcp.is_same_claim(&self.rtcp.source) {
            self.rtcp.source = rtcp;
        }
    }

    fn whereabouts(&self) -> Whereabouts {
        // "Neither RTP nor RTCP should be sent to the peer" (RFC 3264 §8.4, of 0.0.0.0).
        let is_away = self.remote.is_some_and(|remote| remote.is_nowhere());
        let before = self.lingering.map(|lingering| lingering.source);
        let rtp = self.rtp.source.reachable_at().or(before).filter(|_| !is_away);
        let rtcp = match self.is_multiplexed() {
            true => self.rtcp.source.locked().or(rtp),
            false => self.rtcp.source.reachable_at(),
        };
        Whereabouts {
            kind: self.kind(),
            rtp,
            rtcp: rtcp.filter(|_| !is_away),
            is_multiplexed: self.is_multiplexed(),
            receives: self.remote.is_some_and(|remote| remote.receives),
            formats: self.formats(),
            former: self.former,
        }
    }

    fn send_to(&mut self, other: &Whereabouts) {
        let sends = self.remote.is_some_and(|remote| remote.sends);
        // While one side has turned to fax and the other has not, neither could read the other.
        let same_kind = self.kind().is_rtp() == other.kind.is_rtp();
        let address = |of: Option<SocketAddr>| of.filter(|_| same_kind);
        self.rtp.destination =
            address(other.rtp).map(|address| Destination { address, from_port: PortKind::Rtp });
        (self.rtp.may_send, self.rtp.may_receive) = (sends, other.receives);
        let from_port = if other.is_multiplexed { PortKind::Rtp } else { PortKind::Rtcp };
        self.rtcp.destination = address(other.rtcp).map(|address| Destination { address, from_port });
        // "RTCP is still sent and received in sendonly, recvonly and inactive" (RFC 3264 §5.1).
        (self.rtcp.may_send, self.rtcp.may_receive) = (true, true);
        self.change_for(other);
    }

    /// What changes in packets on their way from here to the other side.
    fn change_for(&mut self, other: &Whereabouts) {
        let remote = self.remote.filter(|remote| remote.kind == StreamKind::Rtp);
        let own = remote.map_or(Formats::EMPTY, |remote| remote.formats);
        self.changes.map = match remote {
            Some(_) => PayloadMap::between(&own, &other.formats, &other.former),
            None => PayloadMap::default(),
        };
        let rule = remote.map(|remote| remote.events).unwrap_or_default();
        self.changes.keys.follow(rule, &own, &other.formats, &other.former);
    }
}
