//! A 2xx to a re-INVITE of ours that nobody waits for any more: its connection broke, it was given up
//! or sent again, and the peer had got it all the same. RFC 3261 §13.2.2.4: "The UAC core MUST generate
//! an ACK request for each 2xx received from the transaction layer." Without one the peer hangs up
//! after 32 s (§13.3.1.4).
//!
//! Who asked for the change was told that it failed, and on our side what was in force before still is;
//! but the peer follows what it has accepted. So it is offered again what is in force, in a re-INVITE
//! that refreshes its leg (`session_timer.rs`). Until the peer has answered that, the leg is adrift.

use bytes::Bytes;

use super::acks::answered_from;
use super::call::{CallKey, CallTimer, Phase};
use super::engine::Engine;
use super::outgoing::{Outgoing, Purpose};
use super::realign::differ;
use super::session_timer::BUSY_WAIT;
use crate::base::{Hop, Instant};
use crate::dialog::Dialog;
use crate::media::Side;
use crate::sdp::Sdp;
use crate::sip::Message;
use crate::transaction::ClientId;

impl Engine {
    /// ACKs it; if the call lives, the peer is told again what is in force, unless that is what it has
    /// accepted.
    pub(super) fn on_late_success(&mut self, now: Instant, client: ClientId, response: &Message, hop: Hop) {
        let Some(outgoing) = self.clients.get(client).cloned() else { return };
        let (key, side) = self.place_of(&outgoing);
        let Some(dialog) = self.living_dialog(key, side, response, hop) else {
            // Its dialog was sent BYE when the call ended.
            let dialog = Dialog::from_response(&outgoing.request, response, answered_from(outgoing.hop, hop));
            return self.ack_within(client, &dialog, None);
        };
        let answer = if outgoing.carries_offer() { None } else { self.answer_again(key, side, response) };
        self.ack_within(client, &dialog, answer.as_deref());
        if self.is_adrift_after(key, side, &outgoing) {
            if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) {
                leg.is_adrift = true;
            }
            // By then the peer has its ACK, and what goes on at the moment may have ended.
            self.arm(key, CallTimer::Refresh(side), now + BUSY_WAIT);
        }
    }

    /// The dialog of a leg of an answered call, after this response of its peer. A peer that nobody can
    /// connect to sends it over a new connection of its own, and the ACK takes that, too.
    fn living_dialog(&mut self, key: CallKey, side: Side, response: &Message, hop: Hop) -> Option<Dialog> {
        let call = self.calls.get_mut(key).filter(|call| call.phase == Phase::Answered)?;
        let (local, remote) = (response.from()?.tag()?, response.to()?.tag()?);
        let dialog = call.leg_mut(side)?.dialog.as_mut();
        let dialog = dialog.filter(|dialog| dialog.matches(response.call_id(), local, remote))?;
        if !self.connections.contains(&dialog.hop) && self.connections.contains(&hop) {
            dialog.saw(hop);
        }
        dialog.refresh_target(response);
        Some(dialog.clone())
    }

    /// The answer to the offer in a 2xx, where we had asked for one: what is in force, if it can stand
    /// for an answer.
    fn answer_again(&mut self, key: CallKey, side: Side, response: &Message) -> Option<Vec<u8>> {
        let offer = Sdp::parse(&response.sdp()?).ok()?;
        let leg = self.calls.get_mut(key)?.leg_mut(side)?;
        let told = Sdp::parse(&Bytes::copy_from_slice(&leg.sdp.in_force)).ok()?;
        told.answers(&offer.places()).then(|| leg.sdp.say_again())
    }

    /// Whether the peer has accepted something else than what is in force. (What a realignment told the
    /// caller is how things are.)
    fn is_adrift_after(&self, key: CallKey, side: Side, outgoing: &Outgoing) -> bool {
        let Some(leg) = self.calls.get(key).and_then(|call| call.leg(side)) else { return false };
        if outgoing.purpose == Purpose::Realign {
            return false;
        }
        !outgoing.carries_offer() || differ(&outgoing.request.body(), &leg.sdp.in_force)
    }
}
