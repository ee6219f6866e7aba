//! The front of the layer: the tables (transactions in arenas, their keys, their timers), and which
//! transaction an input concerns. `client` and `server` carry out what follows.

use std::collections::{HashMap, VecDeque};

use slotmap::SlotMap;

use super::by_hop::ByHop;
use super::client::{Client, ClientInput};
use super::clock::Due;
use super::key::{ClientKey, ServerKey, same_to_tag};
use super::server::{Server, ServerInput, response_hop};
use super::shares::{Claim, Shares};
use super::{Class, ClientId, Effect, ServerId, TimerSettings, compose};
use crate::admission::DropReason;
use crate::base::{Hop, Instant, PeerIdentity, Timers};
use crate::sip::{Message, Method};

/// How many transactions may be open before new calls and other requests outside of dialogs are
/// refused. A call has about four open at its start and its end, each for some 32 s.
pub const MAX_TRANSACTIONS: usize = 65_536;

/// What a refused sender is told in Retry-After, in seconds: after this long most of what is open now
/// has ended.
pub const RETRY_AFTER_SECONDS: u32 = 32;

/// Every transaction of one engine. See the module's documentation for the contract.
#[derive(Debug)]
pub struct Transactions {
    pub(super) settings: TimerSettings,
    pub(super) shares: Shares,
    pub(super) clients: SlotMap<ClientId, Client>,
    pub(super) servers: SlotMap<ServerId, Server>,
    pub(super) client_keys: HashMap<ClientKey, ClientId>,
    pub(super) server_keys: HashMap<ServerKey, ServerId>,
    pub(super) client_hops: ByHop<ClientId>,
    /// By where their responses go.
    pub(super) server_hops: ByHop<ServerId>,
    pub(super) timers: Timers<Due>,
    /// What was not polled yet. One input makes a handful for each transaction that it concerns, so
    /// that draining after each input bounds it.
    pub(super) effects: VecDeque<Effect>,
}

impl Transactions {
    /// No transactions yet. Beyond `limit` open ones ([`MAX_TRANSACTIONS`] by default), or three
    /// quarters of them of one source, new requests outside of dialogs are refused with 503; see `shares.rs`.
    pub fn new(timers: TimerSettings, limit: usize) -> Transactions {
        Transactions {
            settings: timers,
            shares: Shares::new(limit),
            clients: SlotMap::with_key(),
            servers: SlotMap::with_key(),
            client_keys: HashMap::new(),
            server_keys: HashMap::new(),
            client_hops: ByHop::new(),
            server_hops: ByHop::new(),
            timers: Timers::default(),
            effects: VecDeque::new(),
        }
    }

    /// Takes a message from the wire, parsed and without a fault.
    pub fn receive(&mut self, now: Instant, message: Message, hop: Hop) {
        match message.method() {
            None => self.receive_response(now, &message, hop),
            Some(Method::Ack) => self.receive_ack(now, message, hop),
            Some(_) => {
                let is_within = message.method() == Some(&Method::Cancel) || has_to_tag(&message);
                let claim = if is_within { Claim::Within } else { Claim::New };
                self.receive_request(now, message, hop, claim);
            }
        }
    }

    /// Takes an INVITE to an emergency number: there is room for it when there is none for others.
    pub fn receive_emergency(&mut self, now: Instant, invite: Message, hop: Hop) {
        self.receive_request(now, invite, hop, Claim::Emergency);
    }

    /// Sends a request through a new client transaction. Its top Via with a fresh branch is in it
    /// already. Not for ACK, and not for CANCEL, see [`Transactions::cancel`].
    pub fn send_request(&mut self, now: Instant, request: Message, hop: Hop) -> ClientId {
        self.open_client(now, request, hop, None)
    }

    /// Cancels an INVITE that was sent (§9.1): at once if a provisional response came, else upon the
    /// first one; not at all if a final one came, or comes before. `reason` is the value of a Reason
    /// header (RFC 3326). The INVITE's final response, usually 487, still comes; if none does in
    /// 64·T1 after the CANCEL, the INVITE ends as [`Timeout`](super::ClientEnd::Timeout).
    pub fn cancel(&mut self, now: Instant, invite: ClientId, reason: Option<&[u8]>) {
        self.plan_cancel(now, invite, reason);
    }

    /// Ends the transaction of a request that is no INVITE, for nobody waits for its answer any more: it
    /// is not sent again, and an answer that still comes matches nothing.
    pub fn abandon(&mut self, request: ClientId) {
        self.abandon_client(request);
    }

    /// Sends a response through a server transaction. Returns false, and sends nothing, if the
    /// transaction is gone or has its final response. (A 2xx to INVITE may follow a 2xx, RFC 6026
    /// §7.1; it counts as a retransmission.)
    ///
    /// "A transaction-stateful SIP element MUST NOT send a response with Status-Code of 408 to a
    /// non-INVITE request. As a consequence, an element that cannot respond before the transaction
    /// expires will not send a final response at all" (RFC 4320 §4.2): then the transaction is over.
    pub fn respond(&mut self, now: Instant, server: ServerId, response: Message) -> bool {
        let Some(status) = response.status() else { return false };
        if status.code() == 408 && self.servers.get(server).is_some_and(Server::is_non_invite) {
            self.abandon_server(server);
            return false;
        }
        self.step_server(now, server, ServerInput::Response(&response, Class::of(status)))
    }

    /// The request of a server transaction and where it came from.
    pub fn request(&self, server: ServerId) -> Option<(&Message, Hop)> {
        self.servers.get(server).map(|found| (&found.request, found.hop))
    }

    /// The server transactions whose responses go there.
    pub fn answered_over(&self, hop: Hop) -> Vec<ServerId> {
        self.server_hops.of(hop)
    }

    /// Where the responses of a server transaction go (§18.2.2, RFC 3581 §4).
    pub fn response_hop(&self, server: ServerId) -> Option<Hop> {
        self.servers.get(server).map(|found| found.response_hop)
    }

    /// Sends without a transaction: the ACK for a 2xx, and a 2xx that is repeated until its ACK comes
    /// (§13.3.1.4, the TU's task).
    pub fn send_stateless(&mut self, message: &Message, hop: Hop, retransmission: bool) {
        self.transmit(hop, message.clone(), retransmission);
    }

    /// These bytes of ours were not delivered by UDP, the system or an ICMP report says. They may be
    /// cut short. Reports are forged easily, so this ends no transaction: it must quote the branch
    /// of an INVITE of ours that has no answer at all, and then the TU only learns that it may try
    /// elsewhere. Everything else is as good as lost, and the timers see to it.
    pub fn undelivered(&mut self, quoted: &[u8]) {
        let client = ClientKey::quoted(quoted).and_then(|key| self.client_keys.get(&key).copied());
        if let Some(client) = client.filter(|id| self.clients.get(*id).is_some_and(Client::is_calling)) {
            self.effects.push_back(Effect::Unreachable { client });
        }
    }

    /// A connection was lost: whatever waits on it learns of it (§17.1.4, §17.2.4), and responses
    /// that have still to be sent take another (see [`super::response_hop_after`]; `identity_of` says whom
    /// that must lead to). So does a CANCEL, up to [`super::MAX_CANCEL_REPEATS`] times.
    pub fn transport_failed(
        &mut self,
        now: Instant,
        hop: Hop,
        identity_of: impl Fn(ServerId) -> PeerIdentity,
    ) {
        for id in self.client_hops.of(hop) {
            if !self.repeat_cancel(now, id) {
                self.step_client(now, id, ClientInput::TransportError);
            }
        }
        for id in self.server_hops.of(hop) {
            self.step_server(now, id, ServerInput::TransportError);
            self.redirect_server(id, identity_of(id));
        }
    }

    /// Fires what is due. A timer that fires late is armed again from `now`, so that a pause is not
    /// followed by a burst.
    pub fn on_time(&mut self, now: Instant) {
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Client(id, timer) => {
                    self.step_client(now, id, ClientInput::Timer(timer));
                }
                Due::Server(id, timer) => {
                    self.step_server(now, id, ServerInput::Timer(timer));
                }
            }
        }
    }

    /// When [`Transactions::on_time`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// The next thing to do. To be drained after each call of another method.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How many transactions are open.
    pub fn active(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.active() == 0
    }

    /// How many timers are armed; none without a transaction.
    pub fn armed_timers(&self) -> usize {
        self.timers.len()
    }

    /// How much is in the indexes and shares; nothing without a transaction.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        let hops = self.client_hops.len() + self.server_hops.len();
        self.client_keys.len() + self.server_keys.len() + hops + self.shares.leftovers()
    }

    pub(super) fn transmit(&mut self, hop: Hop, message: Message, retransmission: bool) {
        self.effects.push_back(Effect::Transmit { hop, message, retransmission });
    }

    fn drop_message(&mut self, hop: Hop, why: DropReason) {
        self.effects.push_back(Effect::Dropped { hop, why });
    }
}

/// What comes from the wire.
impl Transactions {
    fn receive_response(&mut self, now: Instant, response: &Message, hop: Hop) {
        match ClientKey::of(response).and_then(|key| self.client_keys.get(&key).copied()) {
            Some(id) => self.step_client(now, id, ClientInput::Response(response, hop)),
            None => self.drop_message(hop, DropReason::Unmatched),
        }
    }

    fn receive_ack(&mut self, now: Instant, ack: Message, hop: Hop) {
        if let Some(invite) = self.invite_of_ack(&ack, hop) {
            self.step_server(now, invite, ServerInput::Ack(&ack, hop));
        } else if compose::acknowledges_overloaded(&ack) {
            // It did what it came for.
        } else if has_to_tag(&ack) {
            self.effects.push_back(Effect::Ack { request: ack, hop });
        } else {
            self.drop_message(hop, DropReason::Unmatched);
        }
    }

    fn invite_of_ack(&self, ack: &Message, hop: Hop) -> Option<ServerId> {
        let key = ServerKey::of(ack, hop.listener)?.of_invite();
        if let Some(found) = self.server_keys.get(&key) {
            return Some(*found);
        }
        let found = *self.server_keys.get(&key.without_to_tag()?)?;
        let last = self.servers.get(found)?.last.as_ref()?;
        same_to_tag(ack, last).then_some(found)
    }

    fn receive_request(&mut self, now: Instant, request: Message, hop: Hop, claim: Claim) {
        let Some(key) = ServerKey::of(&request, hop.listener) else {
            return self.drop_message(hop, DropReason::Malformed);
        };
        if let Some(found) = self.server_keys.get(&key).copied() {
            self.step_server(now, found, ServerInput::Request);
            return;
        }
        let place = match self.shares.take(claim, hop, request.as_bytes().len(), self.active()) {
            Ok(place) => place,
            Err(why) => {
                if let Some(refusal) = compose::overloaded(&request, hop.peer, RETRY_AFTER_SECONDS) {
                    self.transmit(response_hop(&request, hop), refusal, false);
                }
                return self.drop_message(hop, why);
            }
        };
        let invite_key = (request.method() == Some(&Method::Cancel)).then(|| key.of_invite());
        let server = self.open_server(key, request.clone(), hop, place);
        self.effects.push_back(match invite_key {
            Some(invite_key) => {
                let invite = self.server_keys.get(&invite_key).copied();
                Effect::Cancel { server, invite, request, hop }
            }
            None => Effect::Request { server, request, hop },
        });
    }
}

fn has_to_tag(message: &Message) -> bool {
    message.to().is_some_and(|to| to.tag().is_some())
}
