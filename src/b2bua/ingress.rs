//! Whose a new call is: what an INVITE says of whom it is for, where its source is of more than one
//! trunk.
//!
//! Must not know: how the trunks' `match` is compared (`routing/matching.rs`).

use super::Event;
use super::engine::Engine;
use super::party::{self, Party};
use crate::base::{Hop, Realm, TrunkName};
use crate::numbering::{self, Number};
use crate::routing::{Ambiguity, RequestFacts, Trunk};
use crate::sip::{Message, Uri};

impl Engine {
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
        let called = |trunk: &Trunk| called_number(request, settings.numbering_of(Some(trunk)));
        ask(&RequestFacts { source: hop.peer, user: &user, hosts: &hosts, called: &called })
    }

    /// Tells of sources that came to be shared since these were known.
    pub(super) fn tell_of_shared_sources(&mut self, known: &[Ambiguity]) {
        let found = self.router.ambiguities().iter().filter(|found| !found.by_port && !known.contains(found));
        let found: Vec<Ambiguity> = found.cloned().collect();
        for ambiguity in found {
            self.event(Event::SourceShared(ambiguity));
        }
    }
}

/// Who is called: by the Request-URI; where that names a device and no number (a Contact that was
/// registered), by To.
fn called_number(request: &Message, numbering: &numbering::Settings) -> Option<Number> {
    let raw = request.request_uri_raw();
    if party::is_emergency_service(raw) {
        return numbering.emergency.first().map(|number| Number::Emergency(number.clone()));
    }
    let by_uri = Uri::parse(raw).ok().map(|uri| Party::of(&uri));
    let called = |party: Party| party.normalise_called(numbering).ok().map(|dialled| dialled.number);
    let by_uri = by_uri.and_then(called);
    if by_uri.as_ref().is_some_and(|number| !matches!(number, Number::Name(_))) {
        return by_uri;
    }
    let to = request.to().and_then(|to| to.uri().ok()).map(|uri| Party::of(&uri));
    let to = to.and_then(called);
    to.filter(|number| !matches!(number, Number::Name(_))).or(by_uri)
}
