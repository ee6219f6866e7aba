//! Whose a new call is: found once, when its INVITE comes; what that says of whom it is for, where its
//! source is of more than one trunk.
//!
//! Must not know: how the trunks' `match` is compared (`routing/matching.rs`).

use super::Event;
use super::called::Called;
use super::engine::Engine;
use super::party::Party;
use crate::base::{Hop, Realm, TrunkName};
use crate::routing::{RequestFacts, Trunk};
use crate::sip::{Message, Method, Uri};

/// An INVITE outside any dialog as it came: where from, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NewInvite {
    /// How and from where.
    pub(super) hop: Hop,
    /// The side of its listener.
    pub(super) realm: Realm,
    /// Whose call it is; `None`: nobody's.
    pub(super) trunk: Option<TrunkName>,
    /// It calls an emergency number, as its sender dials: no limit of ours counts but the reserves for
    /// just that.
    pub(super) is_for_help: bool,
}

impl Engine {
    /// Finds out whose a message is, if it is an INVITE outside any dialog.
    pub(super) fn new_invite(&self, message: &Message, realm: Realm, hop: Hop) -> Option<NewInvite> {
        let is_new =
            message.method() == Some(&Method::Invite) && message.to().is_some_and(|to| to.tag().is_none());
        if !is_new {
            return None;
        }
        let trunk = self.trunk_of_request(message, realm, hop).cloned();
        let settings = self.snapshots.current();
        let numbering = settings.numbering_of(settings.trunk_of(trunk.as_ref()));
        let is_for_help = Called::of(message, false).is_emergency(numbering);
        Some(NewInvite { hop, realm, trunk, is_for_help })
    }

    /// The same of an INVITE that the transactions hand up: what was found when it was received.
    pub(super) fn take_arriving(&mut self, invite: &Message, hop: Hop) -> Option<NewInvite> {
        let found = self.arriving.take().filter(|new| new.hop == hop);
        found.or_else(|| self.new_invite(invite, self.realm_of(hop)?, hop))
    }

    /// The trunk that a request outside any dialog is of.
    pub(super) fn trunk_of_request(&self, request: &Message, realm: Realm, hop: Hop) -> Option<&TrunkName> {
        self.with_facts(request, hop, |facts| self.router.trunk_of_request(realm, facts))
    }

    /// Reads what a request says of whom it is for.
    pub(super) fn with_facts<T>(
        &self,
        request: &Message,
        hop: Hop,
        ask: impl FnOnce(&RequestFacts<'_>) -> T,
    ) -> T {
        let settings = self.snapshots.current();
        let called_uri = Uri::parse(request.request_uri_raw()).ok();
        let user = called_uri.as_ref().map(|uri| Party::of(uri).user).unwrap_or_default();
        let named =
            [request.to(), request.from()].map(|address| address.and_then(|address| address.uri().ok()));
        let hosts = called_uri.iter().chain(named.iter().flatten());
        let hosts = hosts.map(|uri| String::from_utf8_lossy(uri.host).to_ascii_lowercase());
        let hosts: Vec<String> = hosts.filter(|host| !host.is_empty()).collect();
        let called_by = Called::of(request, false);
        let called = |trunk: &Trunk| called_by.hint(request, settings.numbering_of(Some(trunk)));
        ask(&RequestFacts { source: hop.peer, user: &user, hosts: &hosts, called: &called })
    }

    /// Tells of sources that have come to be shared.
    pub(super) fn tell_of_shared_sources(&mut self) {
        for ambiguity in self.router.take_new_ambiguities() {
            if !ambiguity.by_port {
                self.event(Event::SourceShared(ambiguity));
            }
        }
    }
}
