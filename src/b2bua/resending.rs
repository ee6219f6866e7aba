//! The same request over another transport: TCP for what is too large for a datagram (RFC 3261
//! §18.1.1), UDP again where that cannot be had, and a new connection instead of a dead one.

use super::engine::Engine;
use super::outgoing::{Outgoing, Purpose};
use super::sending::rewrite;
use crate::base::{Hop, Instant, Transport, TrunkName};
use crate::sip::{Header, Message};
use crate::transaction::ClientId;

/// The largest request that goes by UDP. RFC 3261 §18.1.1: "If a request is within 200 bytes of the
/// path MTU, or if it is larger than 1300 bytes and the path MTU is unknown, the request MUST be
/// sent using an RFC 2914 congestion controlled transport protocol, such as TCP." An unconnected
/// socket is told no path MTU.
pub const MAX_UDP_REQUEST_BYTES: usize = 1_300;

impl Engine {
    /// The request as it goes out, over which hop, and over which other if that fails. Of each
    /// message anew: one that was too large says nothing of the next.
    pub(super) fn fit_transport(
        &mut self,
        request: Message,
        hop: Hop,
        trunk: Option<&TrunkName>,
    ) -> (Message, Hop, Option<Hop>) {
        if hop.transport != Transport::Udp || request.as_bytes().len() <= MAX_UDP_REQUEST_BYTES {
            return (request, hop, None);
        }
        let settings = self.snapshots.current();
        let written = settings.trunk_of(trunk).and_then(|trunk| trunk.transport);
        let realm = self.realm_of(hop);
        let tcp = realm.and_then(|realm| settings.listener_towards(realm, Transport::Tcp, hop.peer));
        let Some(tcp) = tcp.filter(|_| written != Some(Transport::Udp)) else { return (request, hop, None) };
        match self.with_new_via(&request, tcp) {
            Some(larger) => (larger, tcp, Some(hop)),
            None => (request, hop, None),
        }
    }

    /// Sends a request again whose transport failed, over its other hop; false: it has none, or
    /// nobody waits for the answer any more.
    pub(super) fn send_over_other_hop(&mut self, now: Instant, client: ClientId) -> bool {
        let Some(outgoing) = self.clients.get_mut(client) else { return false };
        let Some(hop) = outgoing.other_hop.take() else { return false };
        let outgoing = Outgoing { hop, ..outgoing.clone() };
        if !self.is_waited_for(client) {
            return false;
        }
        let again = match outgoing.purpose {
            Purpose::Setup => self.with_new_via(&outgoing.request, hop),
            // The dialog may have gone on, and the first may have arrived: the next CSeq.
            _ => self.write_again(&outgoing, &[]),
        };
        let Some(request) = again else { return false };
        if let Some(used) = request.cseq().filter(|_| outgoing.purpose != Purpose::Setup) {
            self.note_early_sequence(outgoing.call, outgoing.side, used.number);
        }
        let again = self.transactions.send_request(now, request.clone(), hop);
        self.replace_client(now, &outgoing, client, again);
        if outgoing.purpose == Purpose::Bye {
            self.note_bye(again, &request);
        }
        self.clients.insert(again, Outgoing { request, ..outgoing });
        true
    }

    /// The other hop of a request within a dialog.
    pub(super) fn other_hop_of(&self, outgoing: &Outgoing) -> Option<Hop> {
        match outgoing.purpose {
            Purpose::Setup => None,
            Purpose::Relay { .. }
            | Purpose::Refresh
            | Purpose::Prack
            | Purpose::Realign
            | Purpose::Reconnect
            | Purpose::Notify
            | Purpose::Key
            | Purpose::Bye => {
                let (key, side) = self.place_of(outgoing);
                let leg = self.calls.get(key)?.leg(side)?;
                self.dialog_hop_after(leg, outgoing.hop)
            }
        }
    }

    /// The same request with another Via: another transaction, for the first never arrived.
    pub(super) fn with_new_via(&mut self, request: &Message, hop: Hop) -> Option<Message> {
        let via = self.mint_via(hop);
        rewrite(request, &[], &[(Header::Via, via.into_bytes())])
    }
}
