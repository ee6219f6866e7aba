//! What `dtmf` of the trunks (`b2bua/dtmf.rs`) asks of a call's media: which events are told, and where in SDP a
//! side learns that it may send some.

use super::{
    Call, CallKey, CallMedia, Engine, EventRule, MediaCommand, MediaSessionId, Output, SdpRole, Settings,
};
use crate::b2bua::dtmf;
use crate::media::{Codec, Side};
use crate::sdp::Sdp;

/// The payload type of events that a side was told of in the other's name, by side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfferedEvents {
    to_a: Option<u8>,
    to_b: Option<u8>,
}

impl OfferedEvents {
    pub(super) fn to(self, side: Side) -> Option<u8> {
        match side {
            Side::A => self.to_a,
            Side::B => self.to_b,
        }
    }

    pub(super) fn set(&mut self, side: Side, payload_type: Option<u8>) {
        match side {
            Side::A => self.to_a = payload_type,
            Side::B => self.to_b = payload_type,
        }
    }
}

/// What the other side is shown of a description: with telephone events, where its maker sends keys by INFO, and has
/// none itself.
pub(super) fn with_events(call: &mut Call, settings: &Settings, from: Side, sdp: &Sdp, role: SdpRole) -> Sdp {
    let to = from.other();
    let offered = wanted_events(call, settings, from, sdp, role);
    let shown = offered.and_then(|(at, payload_type)| sdp.with_events(at, payload_type).ok());
    let payload_type = offered.filter(|_| shown.is_some()).map(|(_, payload_type)| payload_type);
    call.media.offered_events.set(to, payload_type);
    shown.unwrap_or_else(|| sdp.clone())
}

/// Which stream gets events, under which number.
fn wanted_events(
    call: &Call,
    settings: &Settings,
    from: Side,
    sdp: &Sdp,
    role: SdpRole,
) -> Option<(usize, u8)> {
    if !dtmf::speaks_events_for(call, settings, from) {
        return None;
    }
    let (at, media) = sdp.medias().iter().enumerate().find(|(_, media)| media.can_have_events())?;
    if media.event_payload_type().is_some() {
        return None;
    }
    match role {
        SdpRole::Offer => media.free_payload_type().map(|payload_type| (at, payload_type)),
        // Only what was offered can be answered, and under its number.
        SdpRole::Answer => {
            let asked = match call.media.offer.as_ref().filter(|offer| offer.by != from) {
                Some(offer) => &offer.media,
                None => call.media.side(from.other()),
            };
            let asked = asked.remotes.get(at).copied().flatten()?;
            let mut events = asked.formats.iter().filter(|format| format.codec == Codec::TelephoneEvent);
            events.find(|format| format.clock_hz == 8_000).map(|format| (at, format.payload_type))
        }
    }
}

/// Notes what becomes of a side's events.
pub(super) fn note_rule(call: &mut Call, settings: &Settings, side: Side) -> bool {
    let rule = dtmf::event_rule(call, settings, side, call.media.offered_events.to(side));
    let mut changed = false;
    for remote in call.media.side_mut(side).remotes.iter_mut().flatten() {
        let events = if remote.kind == super::StreamKind::Rtp { rule } else { EventRule::Pass };
        changed |= std::mem::replace(&mut remote.events, events) != events;
    }
    changed
}

impl CallMedia {
    /// The packets in which a side can press keys for the other: the session that it faces, its side there, and the
    /// stream.
    pub(in crate::b2bua) fn where_events_go(&self, from: Side) -> Option<(MediaSessionId, Side, u8)> {
        let (session, side) = self.facing(from)?;
        let (own, far) = (self.side(from), self.side(from.other()));
        let mut streams = own.remotes.iter().zip(&far.remotes).take(self.streams.len());
        let stream = streams.position(|(own, far)| dtmf::can_carry_events(own.as_ref(), far.as_ref()))?;
        Some((session, side, u8::try_from(stream).ok()?))
    }
}

impl Engine {
    /// What becomes of a side's events may have changed with what the other is.
    pub(super) fn follow_rule(&mut self, key: CallKey, side: Side) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if !note_rule(call, &self.snapshots.get(call.snapshot), side) {
            return;
        }
        let Some((session, faces)) = call.media.facing(side) else { return };
        let remotes = &call.media.side(side).remotes;
        for (stream, remote) in (0..).zip(remotes.iter().take(call.media.streams.len())) {
            let remote = *remote;
            let told = MediaCommand::SetRemote { session, stream, side: faces, remote };
            self.outputs.push_back(Output::Media(told));
        }
    }
}
