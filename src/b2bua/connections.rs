//! What the engine knows of connections (RFC 3261 §18, RFC 5923): which of those that peers opened
//! are alive, who may keep one, and over what the requests of a dialog go.
//!
//! Must not know: sockets, how a connection is opened.

use std::collections::BTreeMap;

use super::call::{CallKey, Leg};
use super::engine::Engine;
use super::{Event, Output};
use crate::admission::DropReason;
use crate::base::{Hop, Instant, PeerIdentity, Realm, Transport, TrunkName};
use crate::dialog::Dialog;
use crate::media::Side;
use crate::transaction::{ServerId, response_hop_after};

impl Engine {
    /// A peer has connected: nothing is read from it before this.
    pub(super) fn on_connected(&mut self, hop: Hop) {
        let realm = self.realm_of(hop);
        if realm.is_some_and(|realm| self.may_speak(realm, hop.peer.ip())) {
            self.connections.insert(hop);
            return;
        }
        if let Some(realm) = realm {
            self.event(Event::Dropped { realm, reason: DropReason::SourceNotAllowed });
        }
        self.disconnect(hop);
    }

    /// A connection is gone, or could not be opened. No call ends by that alone.
    pub(super) fn on_transport_failed(&mut self, now: Instant, hop: Hop) {
        self.connections.remove(&hop);
        let servers = self.transactions.answered_over(hop).into_iter();
        let senders: BTreeMap<ServerId, PeerIdentity> =
            servers.map(|server| (server, self.identity_of_sender(server, hop))).collect();
        if hop.transport.is_reliable() {
            // The transaction of an INVITE lasts as long as its 2xx waits for the ACK (RFC 6026 §8.7).
            for (server, identity) in &senders {
                self.redirect_success(*server, hop, *identity);
            }
        }
        for (cancel, invite) in self.transactions.cancels_over(hop) {
            // Of an INVITE that opened a leg it goes to the same place again, as it must.
            if let Some(other) = self.clients.get(invite).and_then(|outgoing| self.other_hop_of(outgoing)) {
                self.transactions.redirect_cancel(cancel, other);
            }
        }
        let of = |server| senders.get(&server).copied().unwrap_or(PeerIdentity::NONE);
        self.transactions.transport_failed(now, hop, of);
        self.renew_over_new_connection(now, hop);
    }

    /// A 2xx that is still without its ACK takes another connection.
    fn redirect_success(&mut self, server: ServerId, lost: Hop, identity: PeerIdentity) {
        let Some(call) = self.servers.get(server).and_then(|key| self.calls.get_mut(*key)) else { return };
        let unacked = [Some(&mut call.a), call.b.as_mut()].into_iter().flatten();
        for waiting in unacked.filter_map(|leg| leg.unacked.as_mut()).filter(|waiting| waiting.hop == lost) {
            waiting.hop = response_hop_after(&waiting.response, lost, identity);
        }
    }

    /// Closes a connection, if it is one.
    pub(super) fn disconnect(&mut self, hop: Hop) {
        if hop.transport.is_reliable() {
            self.connections.remove(&hop);
            self.outputs.push_back(Output::Disconnect { hop });
        }
    }

    /// Closes the connections of peers that may speak no more.
    pub(super) fn disconnect_strangers(&mut self) {
        let is_stranger =
            |hop: &&Hop| self.realm_of(**hop).is_none_or(|realm| !self.may_speak(realm, hop.peer.ip()));
        let strangers: Vec<Hop> = self.connections.iter().filter(is_stranger).copied().collect();
        for hop in strangers {
            self.disconnect(hop);
        }
    }

    /// Where requests of a leg go.
    pub(super) fn leg_hop(&self, key: CallKey, side: Side) -> Option<Hop> {
        let leg = self.calls.get(key)?.leg(side)?;
        Some(
            leg.dialog
                .as_ref()
                .map_or(leg.hop, |dialog| self.dialog_hop(leg.realm, leg.trunk.as_ref(), dialog)),
        )
    }

    /// Where the next request of a dialog goes. If the realm's allowlist does not have that address
    /// it goes where the peer was seen: what we would not listen to we do not send to either, and
    /// its answers would be dropped.
    ///
    /// A connection that the peer opened is used again while it is alive and the URI means the same
    /// host: a peer that connects to us need not be one that we can connect to. RFC 5923 wants an
    /// `alias` for that, which hardly any PBX writes; one that does not ask for it may see its own
    /// connection used, and never a message that is not its own.
    pub(super) fn dialog_hop(&self, realm: Realm, trunk: Option<&TrunkName>, dialog: &Dialog) -> Hop {
        let (seen, next) = (dialog.hop, dialog.next_hop());
        let is_same_host = next.peer.ip() == seen.peer.ip() && next.transport == seen.transport;
        let is_alive = is_same_host && self.connections.contains(&seen);
        if is_alive || next == seen || !self.may_speak(realm, next.peer.ip()) {
            return seen;
        }
        let hop = if next.transport == seen.transport {
            Some(next)
        } else {
            self.switch(realm, trunk, dialog, next)
        };
        let Some(hop) = hop else { return seen };
        let identity = match hop.transport {
            Transport::Udp | Transport::Tcp => return Hop { identity: PeerIdentity::NONE, ..hop },
            Transport::Tls if seen.identity != PeerIdentity::NONE => seen.identity,
            Transport::Tls => self.identity_of_trunk(trunk),
        };
        if identity == PeerIdentity::NONE { seen } else { Hop { identity, ..hop } }
    }

    /// Another transport than the dialog has had, because the URI says so: unless the trunk's is
    /// written, and if the realm has a listener of it.
    fn switch(&self, realm: Realm, trunk: Option<&TrunkName>, dialog: &Dialog, next: Hop) -> Option<Hop> {
        let settings = self.snapshots.current();
        let written = settings.trunk_of(trunk).and_then(|trunk| trunk.transport);
        if written.is_some_and(|written| written != next.transport) {
            // At the port of that transport, if the URI names none.
            return Some(dialog.next_hop_by(dialog.hop.transport));
        }
        settings.listener_towards(realm, next.transport, next.peer)
    }

    /// Where a request of a dialog goes if the connection that it was sent over turns out to be
    /// dead, or cannot be had: to where the peer says that it listens.
    pub(super) fn dialog_hop_after(&self, leg: &Leg, failed: Hop) -> Option<Hop> {
        let dialog = leg.dialog.as_ref()?;
        if !failed.transport.is_reliable() {
            return None;
        }
        if dialog.hop != failed {
            // The URI had sent it elsewhere than where the peer was seen.
            return Some(dialog.hop);
        }
        let next = dialog.next_hop();
        let is_other = next.transport == failed.transport && next.peer != failed.peer;
        let peer = if is_other { next.peer } else { dialog.listening_hop().peer };
        let identity = match failed.transport {
            Transport::Tls if failed.identity == PeerIdentity::NONE => {
                self.identity_of_trunk(leg.trunk.as_ref())
            }
            Transport::Udp | Transport::Tcp | Transport::Tls => failed.identity,
        };
        let may_speak = self.may_speak(leg.realm, peer.ip());
        Some(Hop { peer, identity, ..failed }).filter(|hop| may_speak && *hop != failed)
    }

    /// Whom a TLS connection to the sender of a request must lead to, instead of the one that it had opened:
    /// to the trunk whose call it is of. An address alone does not say whose: trunks may share it.
    fn identity_of_sender(&self, server: ServerId, hop: Hop) -> PeerIdentity {
        if hop.transport != Transport::Tls || hop.identity != PeerIdentity::NONE {
            return hop.identity;
        }
        let Some((request, _)) = self.transactions.request(server) else { return PeerIdentity::NONE };
        let within = request.to().and_then(|to| to.tag()).and_then(|tag| self.dialogs.get(tag)).copied();
        let opened = self.servers.get(server).map(|key| (*key, Side::A));
        let leg = within.or(opened).and_then(|(key, side)| self.calls.get(key)?.leg(side));
        let trunk = match leg {
            Some(leg) => leg.trunk.as_ref(),
            None => self.realm_of(hop).and_then(|realm| self.trunk_of_request(request, realm, hop)),
        };
        self.identity_of_trunk(trunk)
    }

    /// Whom a TLS connection to a trunk must lead to: its first host. Without a trunk there is
    /// nobody whose certificate could be told from another's, and no connection is opened.
    fn identity_of_trunk(&self, trunk: Option<&TrunkName>) -> PeerIdentity {
        let trunk = self.snapshots.current().trunk_of(trunk);
        trunk.map_or(PeerIdentity::NONE, crate::routing::Trunk::first_identity)
    }
}
