//! What a call does about silence that the relay tells of: it ends, or the operator hears of it.
//!
//! The relay's word may have crossed ours: what counts is what both sides agreed on last, and that
//! the call is answered (a callee may ring in silence after it said where its media is).

use std::net::SocketAddr;

use super::CallMedia;
use crate::b2bua::call::{Call, CallKey, Phase};
use crate::b2bua::cdr::EndedBy;
use crate::b2bua::ending::End;
use crate::b2bua::engine::Engine;
use crate::b2bua::{Event, Output};
use crate::base::{Instant, Realm, TrunkName};
use crate::media::{MediaCommand, MediaSessionId, OneWay, Side};

/// Reason of the BYEs (RFC 3326).
const NOTHING_REASON: &[u8] = b"SIP;cause=408;text=\"No media\"";
const HOLD_REASON: &[u8] = b"SIP;cause=408;text=\"No media on hold\"";
const ONE_WAY_REASON: &[u8] = b"SIP;cause=408;text=\"No media from one side\"";

/// One side of a call is not heard: what the log says, and the metric counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneWayAudio {
    /// The call's `id`.
    pub call: String,
    /// Who is not heard: the caller or the callee.
    pub silent: EndedBy,
    /// Where it is.
    pub place: PartyPlace,
    /// Where the other one is.
    pub across: PartyPlace,
    /// Our port that nothing comes to, as it is bound.
    pub port: Option<SocketAddr>,
    /// What the relay saw.
    pub found: OneWay,
}

/// On whose side a party of a call is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartyPlace {
    /// The realm.
    pub realm: Realm,
    /// The trunk; `None` for a source that a realm's allowlist let in.
    pub trunk: Option<TrunkName>,
}

impl Engine {
    /// The call is answered: both sides are to be heard.
    pub(in crate::b2bua) fn expect_talk(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key).filter(|call| call.phase == Phase::Answered) else { return };
        for session in call.media.sessions() {
            self.outputs.push_back(Output::Media(MediaCommand::SetAnswered { session }));
        }
    }

    /// No RTP for `media.timeout`.
    pub(super) fn on_silent(&mut self, now: Instant, session: MediaSessionId) {
        if let Some(key) = self.answered_call(session, false) {
            self.end_silent(now, key, "no RTP for media.timeout", NOTHING_REASON);
        }
    }

    /// No RTP for `media.hold_timeout` on hold.
    pub(super) fn on_silent_on_hold(&mut self, now: Instant, session: MediaSessionId) {
        if let Some(key) = self.answered_call(session, true).filter(|key| !self.is_for_help(*key)) {
            self.end_silent(now, key, "on hold without RTP for media.hold_timeout", HOLD_REASON);
        }
    }

    /// One side is not heard. It is told once of each side; the second time it lasts too long.
    pub(super) fn on_one_way(&mut self, now: Instant, session: MediaSessionId, found: OneWay) {
        let Some(key) = self.answered_call(session, false) else { return };
        let Some(call) = self.calls.get_mut(key) else { return };
        // Of two sessions that were joined, the sides that face each other are nobody's.
        let faces = |side: &Side| call.media.facing(*side) == Some((session, found.silent));
        let Some(side) = [Side::A, Side::B].into_iter().find(faces) else { return };
        let is_overdue = found.is_overdue;
        if call.media.tell_one_way(side) {
            let place = |side| {
                let leg = call.leg(side).unwrap_or(&call.a);
                PartyPlace { realm: leg.realm, trunk: leg.trunk.clone() }
            };
            let port = call.media.streams.get(usize::from(found.stream));
            let told = OneWayAudio {
                call: call.id.clone(),
                silent: if side == Side::A { EndedBy::Caller } else { EndedBy::Callee },
                place: place(side),
                across: place(side.other()),
                port: port.map(|ports| ports.of(side).rtp()),
                found,
            };
            self.event(Event::OneWay(Box::new(told)));
        }
        if is_overdue && !self.is_for_help(key) {
            let cause = match side {
                Side::A => "no RTP from the caller for media.one_way_timeout",
                Side::B => "no RTP from the callee for media.one_way_timeout",
            };
            self.end_silent(now, key, cause, ONE_WAY_REASON);
        }
    }

    /// Who calls for help may have to be silent, and listen; or waits for whoever can come.
    fn is_for_help(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(Call::is_emergency)
    }

    /// The call of a session, if it is answered, and on hold or not.
    fn answered_call(&self, session: MediaSessionId, on_hold: bool) -> Option<CallKey> {
        let key = *self.media_sessions.get(&session)?;
        let call = self.calls.get(key)?;
        let held = call.media.a.held || call.media.b.held;
        (call.phase == Phase::Answered && held == on_hold).then_some(key)
    }

    fn end_silent(&mut self, now: Instant, key: CallKey, cause: &str, reason: &[u8]) {
        let mut end = End::new(EndedBy::Sbc, cause);
        end.reason = Some(reason.to_vec());
        self.end_call(now, key, end);
    }
}

impl CallMedia {
    /// The sides of which it was told that they are not heard.
    pub(in crate::b2bua) fn not_heard(&self) -> Vec<Side> {
        let (a, b) = self.one_way_told;
        [(Side::A, a), (Side::B, b)].into_iter().filter(|(_, told)| *told).map(|(side, _)| side).collect()
    }

    /// Whether that a side is not heard is to be told: once a call.
    fn tell_one_way(&mut self, side: Side) -> bool {
        let told = match side {
            Side::A => &mut self.one_way_told.0,
            Side::B => &mut self.one_way_told.1,
        };
        !std::mem::replace(told, true)
    }
}
