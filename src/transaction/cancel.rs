//! When a CANCEL is sent (RFC 3261 §9.1), and sent again when its connection breaks.
//!
//! Over UDP timer E repeats it. Over a connection it is given to the transport once, and what breaks
//! the connection swallows it: the callee would ring on. So it goes out again, the same CANCEL with
//! the same branch, over a new connection.
//!
//! Must not know: dialogs; over which other hop a party can be reached.

use std::time::Duration;

use bytes::Bytes;

use super::client::{Client, ClientMachine};
use super::clock::Due;
use super::layer::Transactions;
use super::timers::Slot;
use super::{ClientEnd, ClientId, Effect, Timer, client_invite, client_non_invite, compose};
use crate::base::{Hop, Instant};

/// How often a CANCEL goes out again whose connection broke: at once, and T2 after that has failed, too.
pub const MAX_CANCEL_REPEATS: u8 = 2;

/// §9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent; rather,
/// the client MUST wait for the arrival of a provisional response before sending the request."
#[derive(Debug)]
pub(super) enum CancelPlan {
    None,
    /// As soon as a provisional response comes.
    Waiting {
        reason: Option<Bytes>,
    },
    Sent,
}

/// What a client transaction that is a CANCEL knows of itself. The TU does not know of it.
#[derive(Debug)]
pub(super) struct Cancelling {
    invite: ClientId,
    /// How often it was swallowed.
    lost: u8,
    /// When it goes out again; past, if it has.
    again: Instant,
    /// Over which it goes out again; its own, if there is none.
    other_hop: Option<Hop>,
}

impl Transactions {
    /// See [`Transactions::cancel`].
    pub(super) fn plan_cancel(&mut self, now: Instant, invite: ClientId, reason: Option<&[u8]>) {
        let Some(client) = self.clients.get_mut(invite) else { return };
        if !matches!(client.cancel, CancelPlan::None) {
            return;
        }
        match client.machine {
            ClientMachine::Invite(client_invite::State::Calling | client_invite::State::Abandoned) => {
                client.cancel = CancelPlan::Waiting { reason: reason.map(Bytes::copy_from_slice) };
            }
            ClientMachine::Invite(client_invite::State::Proceeding) => {
                self.send_cancel(now, invite, reason);
            }
            ClientMachine::Invite(
                client_invite::State::Completed
                | client_invite::State::Accepted
                | client_invite::State::Terminated,
            )
            | ClientMachine::NonInvite(_) => {}
        }
    }

    /// Sends the CANCEL of an INVITE that is in Proceeding.
    fn send_cancel(&mut self, now: Instant, invite: ClientId, reason: Option<&[u8]>) {
        let Some(client) = self.clients.get_mut(invite) else { return };
        client.cancel = CancelPlan::Sent;
        let (request, hop) = (compose::cancel(&client.request, reason), client.hop);
        self.arm_client(now, invite, Timer::Cancelled);
        if let Some(request) = request {
            let cancelling = Cancelling { invite, lost: 0, again: now, other_hop: None };
            self.open_client(now, request, hop, Some(cancelling));
        }
    }

    /// After a step of an INVITE: it may be CANCELled now, or want to be as soon as it can.
    pub(super) fn cancel_if_due(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        match (client.machine, &mut client.cancel) {
            (ClientMachine::Invite(client_invite::State::Proceeding), CancelPlan::Waiting { reason }) => {
                let reason = reason.take();
                self.send_cancel(now, id, reason.as_deref());
            }
            (ClientMachine::Invite(client_invite::State::Abandoned), plan @ CancelPlan::None) => {
                *plan = CancelPlan::Waiting { reason: None };
            }
            _ => {}
        }
    }

    /// The CANCELs without an answer that a connection carries, each with the INVITE that it is of.
    pub fn cancels_over(&self, hop: Hop) -> Vec<(ClientId, ClientId)> {
        let carried = self.client_hops.of(hop).into_iter();
        let cancels = carried.filter_map(|id| {
            let client = self.clients.get(id)?;
            Some((id, client.cancels.as_ref()?.invite))
        });
        cancels.collect()
    }

    /// Over which hop a CANCEL goes out again if its connection is lost, where that cannot be had
    /// anew: the peer had opened it.
    pub fn redirect_cancel(&mut self, cancel: ClientId, hop: Hop) {
        let cancelling = self.clients.get_mut(cancel).and_then(|client| client.cancels.as_mut());
        if let Some(cancelling) = cancelling {
            cancelling.other_hop = Some(hop);
        }
    }

    /// A connection broke: whether it swallowed a CANCEL that goes out again. §9.1: "The destination
    /// address, port, and transport for the CANCEL MUST be identical to those used to send the
    /// original request."
    pub(super) fn repeat_cancel(&mut self, now: Instant, id: ClientId) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let Some(cancelling) = &client.cancels else { return false };
        if !client.is_unanswered() || !client.hop.transport.is_reliable() || !self.is_ringing(cancelling) {
            return false;
        }
        if cancelling.again > now {
            return true;
        }
        if cancelling.lost >= MAX_CANCEL_REPEATS {
            return false;
        }
        let wait = if cancelling.lost == 0 { Duration::ZERO } else { self.settings.t2 };
        self.move_cancel(id, now + wait);
        let Some(client) = self.clients.get_mut(id) else { return false };
        if wait.is_zero() {
            let (hop, request) = (client.hop, client.request.clone());
            self.transmit(hop, request, true);
        } else {
            let due = Due::Client(id, Timer::E);
            client.clock.arm_at(&mut self.timers, now + wait, Slot::Repetition, due);
        }
        true
    }

    /// Gives a CANCEL that was swallowed its other hop.
    fn move_cancel(&mut self, id: ClientId, again: Instant) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(cancelling) = &mut client.cancels else { return };
        cancelling.lost += 1;
        cancelling.again = again;
        if let Some(hop) = cancelling.other_hop.take() {
            self.client_hops.remove(client.hop, id);
            self.client_hops.insert(hop, id);
            client.hop = hop;
        }
    }

    /// A CANCEL has ended without an answer; somebody should know if the callee may ring on.
    pub(super) fn on_cancel_ended(&mut self, id: ClientId, why: ClientEnd) {
        let Some(client) = self.clients.get(id) else { return };
        let rings_on = client.cancels.as_ref().is_some_and(|cancelling| self.is_ringing(cancelling));
        if why == ClientEnd::Transport && rings_on {
            self.effects.push_back(Effect::CancelLost { hop: client.hop });
        }
    }

    /// Whether the INVITE of a CANCEL still waits for its final response.
    fn is_ringing(&self, cancelling: &Cancelling) -> bool {
        let proceeding = ClientMachine::Invite(client_invite::State::Proceeding);
        self.clients.get(cancelling.invite).is_some_and(|invite| invite.machine == proceeding)
    }
}

impl Client {
    /// Whether it is another request than INVITE, without its final response.
    fn is_unanswered(&self) -> bool {
        matches!(
            self.machine,
            ClientMachine::NonInvite(client_non_invite::State::Trying | client_non_invite::State::Proceeding)
        )
    }
}
