//! Target refresh requests of our own within a dialog (RFC 3261 §12.2, RFC 3311): the re-INVITE or
//! UPDATE that no other side asked for. Who sends one says why: `session_timer.rs`, `realign.rs`,
//! `transfer/join.rs`.

use super::call::{CallKey, CallTimer};
use super::capabilities;
use super::engine::Engine;
use super::outgoing::Purpose;
use crate::base::{Hop, Instant};
use crate::media::Side;
use crate::sip::{Header, Message, Method, Writer};
use crate::transaction::ClientId;

impl Engine {
    /// Begins one towards a side, with all but its body, and says where it goes. `None`: there is no
    /// dialog.
    pub(super) fn begin_target_refresh(
        &mut self,
        key: CallKey,
        side: Side,
        method: &Method,
    ) -> Option<(Writer, Hop)> {
        let hop = self.leg_hop(key, side)?;
        let (via, contact) = (self.mint_via(hop), self.contact_towards(key, side)?);
        let call = self.calls.get_mut(key)?;
        let settings = self.snapshots.get(call.snapshot);
        let leg = call.leg_mut(side)?;
        let trunk = settings.trunk_of(leg.trunk.as_ref());
        let writer = leg.dialog.as_mut()?.request(method, &via).header(Header::Contact, contact);
        // Of a re-INVITE nobody waits for a provisional response.
        let writer = capabilities::add_towards(writer, trunk, Some(capabilities::RELIABLE));
        Some((self.ask_session_timer(key, side, writer), hop))
    }

    /// Sends a re-INVITE of ours whose end the call waits for.
    pub(super) fn send_reinvite(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        purpose: Purpose,
        request: Message,
        hop: Hop,
    ) {
        let client = self.send_request(now, key, side, purpose, request, hop);
        if let Some(call) = self.calls.get_mut(key) {
            call.relays.push(client);
        }
        self.await_reinvite(now, key, side, client);
    }

    /// A re-INVITE went out on a leg: it has as long for its answer as a call.
    pub(super) fn await_reinvite(&mut self, now: Instant, key: CallKey, side: Side, client: ClientId) {
        let answer = self.timeouts_of(key, side).answer;
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) else { return };
        leg.outgoing = Some(client);
        self.arm(key, CallTimer::Reinvite(side), now + answer);
    }
}
