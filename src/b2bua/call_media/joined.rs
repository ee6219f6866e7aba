//! The media of two calls as one, after a transfer: each party keeps its port of ours, and the two
//! ports on which the transferor was heard send to each other. The second session is the **tail** of
//! the first; the packets cross the relay twice, so that no party's port ever changes.

use bytes::Bytes;

use super::{CallMedia, ClosingMedia, MediaSessionId, Place, SideMedia, StreamPorts};
use crate::b2bua::Output;
use crate::b2bua::call::CallKey;
use crate::b2bua::dtmf::Keys;
use crate::b2bua::engine::Engine;
use crate::media::{Latch, MediaCommand, PortPair, RemoteMedia, Side, StreamKind};

/// The session that faces the party of one side.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    session: MediaSessionId,
    /// The side of that session on which the party is.
    side: Side,
    /// Its ports, to be given back.
    ports: Vec<StreamPorts>,
}

impl CallMedia {
    /// Where the relay has the party of a side.
    pub(in crate::b2bua) fn facing(&self, side: Side) -> Option<(MediaSessionId, Side)> {
        match self.tail(side) {
            Some(tail) => Some((tail.session, tail.side)),
            None => Some((self.id?, side)),
        }
    }

    /// Every session of the call.
    pub(in crate::b2bua) fn sessions(&self) -> impl Iterator<Item = MediaSessionId> {
        let tails = [&self.tail_a, &self.tail_b].into_iter().flatten().map(|tail| tail.session);
        self.id.into_iter().chain(tails)
    }

    /// Whether its ports are those of two sessions: then no stream can be added.
    pub(super) fn is_joined(&self) -> bool {
        !self.own.is_empty()
    }

    /// The ports of the first session.
    fn own_ports(&self) -> &[StreamPorts] {
        if self.own.is_empty() { &self.streams } else { &self.own }
    }

    /// Where the ports of a side are.
    pub(in crate::b2bua) fn place_of(&self, side: Side) -> Option<Place> {
        let pair = self.own_ports().first()?.of(side);
        Some((pair.realm, pair.address.is_ipv6()))
    }

    fn tail(&self, side: Side) -> Option<&Tail> {
        match side {
            Side::A => self.tail_a.as_ref(),
            Side::B => self.tail_b.as_ref(),
        }
    }

    fn tail_mut(&mut self, side: Side) -> &mut Option<Tail> {
        match side {
            Side::A => &mut self.tail_a,
            Side::B => &mut self.tail_b,
        }
    }

    /// Whether the ports of `slot` and of the other's `other_slot` can send to each other, and the
    /// other's party is not behind a tail itself.
    pub(in crate::b2bua) fn can_join(&self, slot: Side, other: &CallMedia, other_slot: Side) -> bool {
        let mut pairs = self.own_ports().iter().zip(other.own_ports());
        let has_streams = !self.own_ports().is_empty() && !other.own_ports().is_empty();
        let is_same_family = pairs
            .all(|(here, there)| here.of(slot).address.is_ipv6() == there.of(other_slot).address.is_ipv6());
        has_streams && is_same_family && other.tail(other_slot.other()).is_none()
    }

    /// The inner ports of joined sessions, told anew of the party of a side: what lies beyond them is what it lists.
    pub(super) fn told_within(&self, side: Side) -> Vec<MediaCommand> {
        let mut told = Vec::new();
        for stream in 0..if self.is_joined() { self.streams.len() } else { 0 } {
            let mut tell = |session: Option<MediaSessionId>, faces, ports: Option<&StreamPorts>, of_side| {
                if let (Some(session), Some(ports)) = (session, ports) {
                    let remote = Some(inside(ports.of(of_side), self.side(side), stream));
                    let stream = stream as u8;
                    told.push(MediaCommand::SetRemote { session, stream, side: faces, remote });
                }
            };
            if let Some(tail) = self.tail(side) {
                tell(self.id, side, tail.ports.get(stream), tail.side.other());
            }
            if let Some(tail) = self.tail(side.other()) {
                tell(Some(tail.session), tail.side.other(), self.own.get(stream), side.other());
            }
        }
        told
    }

    /// The pending offer was made of what its side said to another: where that side is stays as it
    /// is.
    pub(in crate::b2bua) fn keep_what_offers(&mut self, heard: Bytes) {
        if let Some(by) = self.offered_by() {
            let mut media = self.side(by).clone();
            media.held = false;
            if let Some(offer) = &mut self.offer {
                offer.media = media;
                offer.body = heard;
            }
        }
    }
}

impl Engine {
    /// Connects the party across `slot` with the party across `other_slot` of another call, whose
    /// media becomes this call's.
    pub(in crate::b2bua) fn join_media(
        &mut self,
        key: CallKey,
        slot: Side,
        other: CallKey,
        other_slot: Side,
    ) {
        let Some([here, there]) = self.calls.get_disjoint_mut([key, other]) else { return };
        let (mut joined, mut far) = (std::mem::take(&mut here.media), std::mem::take(&mut there.media));
        let (Some(id), Some(far_id)) = (joined.id, far.id) else { return };
        self.close_tail(joined.tail_mut(slot).take());
        self.close_tail(far.tail_mut(other_slot).take());
        let count = joined.streams.len().min(far.streams.len());
        let connecting = connected((id, slot, &joined), (far_id, other_slot, &far), count);
        self.outputs.extend(connecting.into_iter().map(Output::Media));
        let (own, ports) = (joined.own_ports().to_vec(), far.own_ports().to_vec());
        let party = other_slot.other();
        joined.streams.truncate(count);
        for (ports, far_ports) in joined.streams.iter_mut().zip(&far.streams) {
            match slot {
                Side::A => ports.a = far_ports.of(party),
                Side::B => ports.b = far_ports.of(party),
            }
        }
        joined.own = own;
        *joined.side_mut(slot) = far.side(party).clone();
        joined.offered_events.set(slot, far.offered_events.to(party));
        *joined.tail_mut(slot) = Some(Tail { session: far_id, side: party, ports });
        let held = joined.a.held || joined.b.held;
        for session in joined.sessions() {
            self.outputs.push_back(Output::Media(MediaCommand::SetHold { session, held }));
            self.outputs.push_back(Output::Media(MediaCommand::SetAnswered { session }));
        }
        self.media_sessions.insert(far_id, key);
        // Whose keys they were is not there any more.
        for of in [key, other] {
            if let Some(call) = self.calls.get_mut(of) {
                call.keys = Keys::default();
            }
        }
        if let Some(call) = self.calls.get_mut(key) {
            call.media = joined;
            // Beyond a tail of the other side, who hears its party now is new, too.
            let told = call.media.told_within(slot).into_iter();
            let is_beyond = |told: &MediaCommand| !matches!(told, MediaCommand::SetRemote { session, .. } if *session == id);
            self.outputs.extend(told.filter(is_beyond).map(Output::Media));
            self.follow_rule(key, slot);
            self.follow_rule(key, slot.other());
        }
    }

    /// Closes the tails of a call that ends.
    pub(in crate::b2bua) fn close_tails(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let tails = [call.media.tail_a.take(), call.media.tail_b.take()];
        tails.into_iter().for_each(|tail| self.close_tail(tail));
    }

    fn close_tail(&mut self, tail: Option<Tail>) {
        let Some(Tail { session, ports, .. }) = tail else { return };
        self.media_sessions.remove(&session);
        self.closing_media.insert(session, ClosingMedia { pairs: ports, call: None });
        self.outputs.push_back(Output::Media(MediaCommand::Close { session }));
    }
}

/// A session, by its name, the side of it that leads to the other session, and what it is.
type End<'a> = (MediaSessionId, Side, &'a CallMedia);

/// What connects two sessions by their first `count` streams: each has the port of the other for its peer. Further streams
/// lead nowhere.
fn connected(here: End<'_>, there: End<'_>, count: usize) -> Vec<MediaCommand> {
    let peer = |(_, side, media): End<'_>, stream: usize| {
        let ports = media.own_ports().get(stream).filter(|_| stream < count)?;
        Some(inside(ports.of(side), media.side(side.other()), stream))
    };
    let streams = here.2.own_ports().len().max(there.2.own_ports().len());
    let ends = (0..streams).flat_map(|stream| [(stream, here, there), (stream, there, here)]);
    let connect = |(stream, (session, side, _), beyond)| MediaCommand::SetRemote {
        session,
        stream: stream as u8,
        side,
        remote: peer(beyond, stream),
    };
    ends.map(connect).collect()
}

/// A pair of ours as the peer of another.
fn inside(pair: PortPair, beyond: &SideMedia, stream: usize) -> RemoteMedia {
    let (rtp, rtcp) = (pair.rtp(), pair.rtcp());
    // What crosses is what the party beyond takes.
    let formats = beyond.remotes.get(stream).copied().flatten().map(|remote| remote.formats);
    let formats = formats.unwrap_or_default();
    // A fax does not cross from one call's session to another's: what is joined is talk. Which of it is
    // secured was looked at where it came in.
    let kind = StreamKind::SecuredRtp;
    // From the very port, and nobody who was there before.
    let latch = Latch::Strict;
    RemoteMedia { kind, rtcp, latch, formats, ..RemoteMedia::plain(rtp, pair.address) }
}
