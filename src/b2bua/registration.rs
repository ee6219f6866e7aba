//! Registering at trunks (RFC 3261 §10): REGISTER written and sent when it is time, what the answers
//! mean, and the way back when a trunk is to be left. How long is waited for what, and where each
//! registration stands, is `routing/registration.rs`.
//!
//! A registration is one of a trunk at one of its hosts, or at the first host that takes it. It tries
//! the targets of that in order, one REGISTER at a time ("UAs MUST NOT send a new registration […] until
//! they have received a final response from the registrar for the previous one", §10.2), and waits
//! when none is left. What is bound stays bound until its time is over, whatever goes wrong meanwhile.
//!
//! Must not know: calls, but for whether one comes to our Contact.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::Event;
use super::addressing;
use super::engine::Engine;
use super::outside_dialog::{self, Marks};
use super::standalone::{Ending, Kind, Standalone};
use crate::base::{Hop, Instant, Realm, Transport, TrunkName};
use crate::routing::{
    self, Authentication, Credentials, Host, RegisterTo, RegistrationReport, Setback, Target, Trunk,
    TrunkHost, begin_after, host_text, refresh_after, wait_after,
};
use crate::sip::{Header, Message, NameAddr, Status, Uri};

/// How long the answer of one target is waited for, challenges and all.
const PATIENCE: Duration = Duration::from_secs(16);
/// The targets of one registration that are tried before it waits.
const MAX_TARGETS: usize = 8;
/// How often one registration is asked for a longer time in a row.
const MAX_LENGTHENED: u8 = 2;
/// No registrar may ask for a longer one.
const MAX_EXPIRES: Duration = Duration::from_secs(7 * 86_400);
/// When a name without an address is looked at again; its answer comes sooner by itself.
const UNRESOLVED_WAIT: Duration = Duration::from_secs(10);
/// So long after a registration its connection may break without another one.
const NEW_CONNECTION_WAIT: Duration = Duration::from_secs(60);
/// Between taking a binding back and making it elsewhere: two hosts may have one location service, which hears
/// both in the order in which they come.
const MOVING_WAIT: Duration = Duration::from_secs(2);
/// When a REGISTER for which there was no room is tried again.
const NO_ROOM_WAIT: Duration = Duration::from_secs(2);

/// Which registration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct RegistrationKey {
    trunk: TrunkName,
    /// As in [`Target::host`]; `None`: the first host that takes it.
    host: Option<String>,
}

/// Why a trunk is not registered. The text says what the operator can do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegistrationFault {
    /// DNS has not answered yet.
    #[error("its name has no address; check host and DNS")]
    Unresolved,
    /// Nothing of ours could send it.
    #[error("there is no listener of its transport and address family in its realm; add one")]
    NoListener,
    /// No answer.
    #[error("no answer; check host, port and transport, and that no firewall is between")]
    Silence,
    /// The transport failed.
    #[error("it cannot be reached; check host, port, transport and certificates")]
    Unreachable,
    /// 401 or 407 to what we answered, or cannot answer.
    #[error("it does not take our credentials ({0}); check username, password and auth_realm")]
    Credentials(Status),
    /// 403.
    #[error(
        "it forbids it (403); check username, the state of the account and the addresses that it may use"
    )]
    Forbidden,
    /// 404.
    #[error("it does not know {0} (404); check register.user and domain")]
    Unknown(String),
    /// A 3xx: credentials go nowhere that nobody configured.
    #[error("it redirects to {0}; if that is right, write it as host of the trunk")]
    Redirected(String),
    /// 423 for ever, or with a time beyond all bounds.
    #[error("it wants a longer time than it says, or than a week (423); set register.expires")]
    TooBrief,
    /// A 2xx that binds for no time.
    #[error("it says yes, and grants no time; it may want another Contact, see register.contact_user")]
    Nothing,
    /// Any other refusal.
    #[error("it answers {0}")]
    Refused(Status),
}

/// What changed with a registration. Each is told once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistrationChange {
    /// It is about to begin.
    Begins,
    /// It was not bound, or elsewhere.
    Registered {
        /// Where.
        at: SocketAddr,
        /// For how long, if it is not renewed.
        expires: Duration,
    },
    /// A REGISTER failed, and not as the one before.
    Failed {
        /// Why.
        fault: RegistrationFault,
        /// When the next goes out.
        retry: Duration,
        /// How long the binding lives on; `None`: there is none.
        remaining: Option<Duration>,
    },
    /// The binding was not renewed in time.
    Expired,
    /// We took it back, or forgot it.
    Left,
}

/// What the configuration says that a binding depends on: with another value it is another binding.
#[derive(Clone, PartialEq, Eq, Debug)]
struct BoundAs {
    user: String,
    domain: String,
    registrar: Option<String>,
    contact_user: String,
    realm: Realm,
    transport: Option<Transport>,
}

impl BoundAs {
    fn of(trunk: &Trunk, node: &str) -> Option<BoundAs> {
        let register = trunk.register.as_ref()?;
        Some(BoundAs {
            user: trunk.registered_user()?.to_owned(),
            domain: trunk.uri_domain(),
            registrar: register.registrar.clone(),
            contact_user: trunk.contact_user(node)?,
            realm: trunk.realm,
            transport: trunk.transport,
        })
    }

    fn address_of_record(&self) -> String {
        outside_dialog::address_of_record(&self.user, &self.domain)
    }
}

/// What else of the configuration a registration follows: with another value it is tried anew.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Terms {
    expires: Duration,
    hosts: Vec<TrunkHost>,
    credentials: Option<Credentials>,
    authentication: Authentication,
}

impl Terms {
    fn of(trunk: &Trunk) -> Option<Terms> {
        Some(Terms {
            expires: trunk.register.as_ref()?.expires,
            hosts: trunk.hosts.clone(),
            credentials: trunk.credentials.clone(),
            authentication: trunk.authentication.clone(),
        })
    }
}

/// One registration.
#[derive(Clone, Debug)]
struct Registration {
    bound_as: BoundAs,
    terms: Terms,
    /// The same for all REGISTERs (§10.2.4).
    call_id: Bytes,
    tag: Bytes,
    /// CSeq of the last.
    sequence: u32,
    /// What is asked for: the configured time, or what the registrar wants at least.
    expires: Duration,
    lengthened: u8,
    /// Targets of this round that were not tried yet.
    untried: Vec<Target>,
    /// Those of the last time that there were any.
    known: Vec<Target>,
    bound: Option<Bound>,
    since: Instant,
    /// When the next REGISTER goes out; `None`: one is on its way.
    due: Option<Instant>,
    /// When something is to be done: `due`, or the end of the binding.
    wake: Option<Instant>,
    failures: u32,
    /// Rounds in a row in which there was no address.
    unresolved: u32,
    /// What the registrars of this round asked for in Retry-After.
    retry_after: Option<Duration>,
    fault: Option<RegistrationFault>,
}

#[derive(Clone, Debug)]
struct Bound {
    target: Target,
    hop: Hop,
    /// When it was granted last.
    made: Instant,
    until: Instant,
}

/// Every registration.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    entries: BTreeMap<RegistrationKey, Registration>,
    wakes: BTreeSet<(Instant, RegistrationKey)>,
    /// Those whose binding a reload has taken back for another place.
    moved: BTreeSet<RegistrationKey>,
    /// The process is about to end.
    is_over: bool,
}

impl Registrations {
    /// Whether none is made any more: the process is about to end.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// When something is to be done next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    fn plan(&mut self, key: &RegistrationKey) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let until = entry.bound.as_ref().map(|bound| bound.until);
        let wake = [entry.due, until].into_iter().flatten().min();
        if let Some(before) = std::mem::replace(&mut entry.wake, wake) {
            self.wakes.remove(&(before, key.clone()));
        }
        if let Some(at) = wake {
            self.wakes.insert((at, key.clone()));
        }
    }

    fn remove(&mut self, key: &RegistrationKey) -> Option<Registration> {
        let entry = self.entries.remove(key)?;
        if let Some(at) = entry.wake {
            self.wakes.remove(&(at, key.clone()));
        }
        Some(entry)
    }
}

/// Which registrations a trunk has.
fn keys_of(trunk: &Trunk) -> Vec<RegistrationKey> {
    let key = |host: Option<String>| RegistrationKey { trunk: trunk.name.clone(), host };
    let Some(register) = trunk.register.as_ref() else { return Vec::new() };
    match register.to {
        RegisterTo::First => vec![key(None)],
        RegisterTo::All => {
            let hosts: BTreeSet<String> = trunk
                .hosts
                .iter()
                .map(|at| match &at.host {
                    Host::Name(name) => name.clone(),
                    Host::Address(address) => address.to_string(),
                })
                .collect();
            hosts.into_iter().map(|host| key(Some(host))).collect()
        }
    }
}

/// What begins, goes on and ends.
impl Engine {
    /// Before a reload: what the new configuration does not have any more, or has otherwise, is left.
    pub(super) fn leave_registrations(&mut self, now: Instant, new: &routing::Settings, node: &str) {
        let mut left = Vec::new();
        for (key, entry) in &self.registrations.entries {
            let trunk = new.trunk(&key.trunk).filter(|trunk| keys_of(trunk).contains(key));
            let bound_as = trunk.and_then(|trunk| BoundAs::of(trunk, node));
            let has_place = || trunk.is_some_and(|trunk| self.has_registrar_still(key, entry, trunk));
            let is_same = bound_as.as_ref() == Some(&entry.bound_as);
            if !is_same || !has_place() {
                left.push((key.clone(), is_same));
            }
        }
        for (key, is_moved) in left {
            self.leave(now, &key);
            if is_moved {
                self.registrations.moved.insert(key);
            }
        }
    }

    /// Whether the host at which we are bound, or about to be, is one that the new configuration has. Else the
    /// binding there would live on, and calls come by it.
    fn has_registrar_still(&self, key: &RegistrationKey, entry: &Registration, new: &Trunk) -> bool {
        let bound = entry.bound.as_ref().map(|bound| &bound.target);
        let asked = || self.asked_to_register(key).map(|(target, _)| target);
        let Some(target) = bound.or_else(asked) else { return true };
        let is_place = |at: &&TrunkHost| {
            host_text(&at.host) == target.host && at.port.is_none_or(|port| port == target.address.port())
        };
        let places = entry.terms.hosts.iter().filter(is_place);
        let is_kept =
            |place: &TrunkHost| new.hosts.iter().any(|at| (&at.host, at.port) == (&place.host, place.port));
        places.into_iter().any(is_kept)
    }

    /// Where a REGISTER is on its way to, and over what.
    fn asked_to_register(&self, key: &RegistrationKey) -> Option<(&Target, Hop)> {
        self.standalones.values().find_map(|standalone| match &standalone.kind {
            Kind::Register(of, target) if of == key => Some((target, standalone.hop)),
            _ => None,
        })
    }

    /// Follows the configuration, the operators and the names: what is new begins, what waits for an address
    /// goes on, what is switched off is left.
    pub(super) fn follow_registrations(&mut self, now: Instant) {
        if self.registrations.is_over {
            return;
        }
        let settings = self.snapshots.current().clone();
        let wanted: Vec<(RegistrationKey, BoundAs, Terms)> = settings
            .routing
            .trunks
            .iter()
            .filter(|trunk| self.router.is_enabled(&trunk.name))
            .flat_map(|trunk| keys_of(trunk).into_iter().map(move |key| (key, trunk)))
            .filter_map(|(key, trunk)| Some((key, BoundAs::of(trunk, &settings.node)?, Terms::of(trunk)?)))
            .collect();
        let is_left = |key: &&RegistrationKey| wanted.iter().all(|(wanted, ..)| wanted != *key);
        let left: Vec<_> = self.registrations.entries.keys().filter(is_left).cloned().collect();
        for key in left {
            self.leave(now, &key);
        }
        let is_new = |(key, ..): &&(RegistrationKey, _, _)| !self.registrations.entries.contains_key(key);
        let (begins, all) = (wanted.iter().filter(is_new).count(), wanted.len());
        for (key, bound_as, terms) in wanted {
            match self.registrations.entries.get_mut(&key) {
                Some(entry) => {
                    if entry.fault == Some(RegistrationFault::Unresolved) && entry.due.is_some() {
                        entry.due = Some(now);
                    }
                    entry.follow(now + begin_after(all, &mut self.random), terms);
                }
                None => self.begin_registration(now, &key, bound_as, terms, begins),
            }
            self.registrations.plan(&key);
        }
    }

    fn begin_registration(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        bound_as: BoundAs,
        terms: Terms,
        at_once: usize,
    ) {
        let wait = if self.registrations.moved.remove(key) { MOVING_WAIT } else { Duration::ZERO };
        let due = now + wait + begin_after(at_once, &mut self.random);
        let entry = Registration {
            bound_as,
            call_id: self.mint_call_id(),
            tag: self.mint_tag(),
            sequence: 0,
            expires: terms.expires,
            terms,
            lengthened: 0,
            untried: Vec::new(),
            known: Vec::new(),
            bound: None,
            since: now,
            due: Some(due),
            wake: None,
            failures: 0,
            unresolved: 0,
            retry_after: None,
            fault: None,
        };
        self.registrations.entries.insert(key.clone(), entry);
        self.tell_registration(key, RegistrationChange::Begins);
    }

    /// A connection is gone: what was registered over it is registered anew, for who registered us may call
    /// us over it alone (RFC 5626 §4.4: "the UA needs to form a new flow to replace the failed one"). A
    /// registrar that always hangs up is asked once in a while.
    pub(super) fn renew_over_new_connection(&mut self, now: Instant, lost: Hop) {
        let is_over = |entry: &Registration| entry.bound.as_ref().is_some_and(|bound| bound.hop == lost);
        let of_it = self.registrations.entries.iter().filter(|(_, entry)| is_over(entry));
        let keys: Vec<RegistrationKey> = of_it.map(|(key, _)| key.clone()).collect();
        let soon = now + begin_after(keys.len(), &mut self.random);
        for key in keys {
            let Some(entry) = self.registrations.entries.get_mut(&key) else { continue };
            let earliest = entry.bound.as_ref().map_or(now, |bound| bound.made + NEW_CONNECTION_WAIT);
            entry.due = entry.due.map(|due| due.min(soon.max(earliest)));
            self.registrations.plan(&key);
        }
    }

    /// Does what is due.
    pub(super) fn on_registration_time(&mut self, now: Instant) {
        while let Some((at, key)) = self.registrations.wakes.first().cloned() {
            if at > now {
                return;
            }
            let Some(entry) = self.registrations.entries.get_mut(&key) else {
                self.registrations.wakes.remove(&(at, key));
                continue;
            };
            if entry.bound.as_ref().is_some_and(|bound| bound.until <= now) {
                (entry.bound, entry.since) = (None, now);
                self.tell_registration(&key, RegistrationChange::Expired);
            }
            let is_due = |entry: &Registration| entry.due.is_some_and(|due| due <= now);
            if self.registrations.entries.get(&key).is_some_and(is_due) {
                self.try_registration(now, &key);
            }
            self.registrations.plan(&key);
        }
    }

    /// Sends REGISTER to the next target, or waits for one.
    fn try_registration(&mut self, now: Instant, key: &RegistrationKey) {
        let settings = self.snapshots.current().clone();
        let Some(trunk) = settings.routing.trunk(&key.trunk) else { return };
        loop {
            let Some(target) = self.next_registrar(key) else {
                return self.wait_for_registrar(now, key, RegistrationFault::Unresolved, Setback::Passing);
            };
            let hop = settings.listener_towards(trunk.realm, target.transport, target.address);
            let sent = hop.map(|hop| {
                let hop = Hop { identity: target.identity, ..hop };
                self.send_register(now, key, trunk, &target, hop)
            });
            let Some(entry) = self.registrations.entries.get_mut(key) else { return };
            match sent {
                Some(true) => return entry.due = None,
                Some(false) => {
                    entry.untried.insert(0, target);
                    return entry.due = Some(now + NO_ROOM_WAIT);
                }
                None if entry.untried.is_empty() => {
                    return self.wait_for_registrar(
                        now,
                        key,
                        RegistrationFault::NoListener,
                        Setback::Refusal,
                    );
                }
                None => {}
            }
        }
    }

    /// The next target of this round; of a new round, the one first at which we are bound. DNS that does
    /// not answer ends no registration: what was known last is used.
    fn next_registrar(&mut self, key: &RegistrationKey) -> Option<Target> {
        let targets = self.targets_to_register(key);
        let entry = self.registrations.entries.get_mut(key)?;
        if entry.untried.is_empty() {
            if !targets.is_empty() {
                entry.known = targets;
            }
            entry.untried.clone_from(&entry.known);
            let is_elsewhere = |target: &Target| {
                entry.bound.as_ref().is_none_or(|bound| bound.target.address != target.address)
            };
            entry.untried.sort_by_key(is_elsewhere);
            entry.untried.truncate(MAX_TARGETS);
            entry.retry_after = None;
        }
        (!entry.untried.is_empty()).then(|| entry.untried.remove(0))
    }

    fn targets_to_register(&mut self, key: &RegistrationKey) -> Vec<Target> {
        let targets = self.router.targets(&key.trunk, &mut self.random);
        let is_meant = |target: &Target| key.host.as_ref().is_none_or(|host| *host == target.host);
        targets.into_iter().filter(is_meant).collect()
    }

    fn send_register(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        trunk: &Trunk,
        target: &Target,
        hop: Hop,
    ) -> bool {
        let Some(expires) = self.registrations.entries.get(key).map(|entry| entry.expires) else {
            return false;
        };
        let Some(request) = self.write_register(key, trunk, target, hop, expires) else { return false };
        let kind = Kind::Register(key.clone(), target.clone());
        self.send_standalone(now, (kind, trunk), (request, hop), now + PATIENCE)
    }

    /// From and To are the address of record.
    fn write_register(
        &mut self,
        key: &RegistrationKey,
        trunk: &Trunk,
        target: &Target,
        hop: Hop,
        expires: Duration,
    ) -> Option<Message> {
        let (via, here) = (self.mint_via(hop), self.advertised(hop));
        let entry = self.registrations.entries.get_mut(key)?;
        entry.sequence = entry.sequence.checked_add(1)?;
        let of_record = format!("<{}>", entry.bound_as.address_of_record());
        let registrar = match &entry.bound_as.registrar {
            Some(registrar) => registrar.clone(),
            None => trunk.uri_host_of(target),
        };
        let (tag, call_id, sequence) = (&entry.tag[..], &entry.call_id[..], entry.sequence);
        let marks = Marks { via: &via, tag, call_id, sequence };
        let writer = outside_dialog::register(marks, &registrar, (&of_record, &of_record))
            .header(Header::Contact, addressing::contact(&entry.bound_as.contact_user, &here, hop.transport))
            .display(Header::Expires, expires.as_secs());
        writer.finish().ok()
    }

    /// The registration is no more: the binding is taken back, and nobody waits for the answer.
    fn leave(&mut self, now: Instant, key: &RegistrationKey) {
        let on_its_way = self.standalones.values().filter_map(|standalone| match &standalone.kind {
            Kind::Register(of, _) if of == key => standalone.request.cseq().map(|cseq| cseq.number),
            _ => None,
        });
        let highest = on_its_way.max();
        let asked = self.asked_to_register(key).map(|(target, hop)| (target.clone(), hop));
        self.drop_standalones(|kind| matches!(kind, Kind::Register(of, _) if of == key));
        if let Some(entry) = self.registrations.entries.get_mut(key) {
            entry.sequence = entry.sequence.max(highest.unwrap_or(0));
            let bound = entry.bound.as_ref().map(|bound| (bound.target.clone(), bound.hop));
            let settings = self.snapshots.current().clone();
            let trunk = settings.routing.trunk(&key.trunk);
            // What is on its way may yet be granted.
            if let (Some((target, hop)), Some(trunk)) = (bound.or(asked), trunk)
                && let Some(request) = self.write_register(key, trunk, &target, hop, Duration::ZERO)
            {
                let until = now + PATIENCE;
                self.send_standalone(now, (Kind::Unregister, trunk), (request, hop), until);
            }
        }
        self.registrations.remove(key);
        self.report_registrations(&key.trunk);
        self.tell_registration(key, RegistrationChange::Left);
    }

    /// The process is about to end: every binding is taken back. Nothing waits for that but the
    /// transactions' own time at the end of a shutdown.
    pub(super) fn stop_registrations(&mut self, now: Instant) {
        self.registrations.is_over = true;
        let keys: Vec<RegistrationKey> = self.registrations.entries.keys().cloned().collect();
        for key in keys {
            self.leave(now, &key);
        }
    }
}

/// What the answers mean.
impl Engine {
    /// What became of a REGISTER.
    pub(super) fn on_registration_ended(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        (target, asked): (&Target, &Standalone),
        ending: Ending<'_>,
    ) {
        let Some(entry) = self.registrations.entries.get_mut(key) else { return };
        // It may have been sent again with credentials.
        entry.sequence = entry.sequence.max(asked.request.cseq().map_or(0, |cseq| cseq.number));
        match ending {
            Ending::Timeout => self.next_or_wait(now, key, RegistrationFault::Silence),
            Ending::Transport => self.next_or_wait(now, key, RegistrationFault::Unreachable),
            Ending::Answer(response) => self.on_registrars_answer(now, key, (target, asked), response),
        }
        self.registrations.plan(key);
    }

    fn on_registrars_answer(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        (target, asked): (&Target, &Standalone),
        response: &Message,
    ) {
        let Some(status) = response.status() else { return };
        let Some(entry) = self.registrations.entries.get_mut(key) else { return };
        let retry_after =
            response.number(Header::RetryAfter).map(|seconds| Duration::from_secs(seconds.into()));
        entry.retry_after = entry.retry_after.max(retry_after);
        let fault = match status.code() {
            200..=299 => return self.on_registered(now, key, (target, asked.hop), response),
            423 => match entry.lengthen(response) {
                true => {
                    entry.untried.insert(0, target.clone());
                    return self.try_registration(now, key);
                }
                false => RegistrationFault::TooBrief,
            },
            408 | 500..=599 => return self.next_or_wait(now, key, RegistrationFault::Refused(status)),
            300..=399 => RegistrationFault::Redirected(redirected_to(response)),
            401 | 407 => RegistrationFault::Credentials(status),
            403 => RegistrationFault::Forbidden,
            404 => RegistrationFault::Unknown(entry.bound_as.address_of_record()),
            _ => RegistrationFault::Refused(status),
        };
        self.wait_for_registrar(now, key, fault, Setback::Refusal);
    }

    fn on_registered(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        (target, hop): (&Target, Hop),
        response: &Message,
    ) {
        let Some(entry) = self.registrations.entries.get_mut(key) else { return };
        let granted = granted(response, &entry.bound_as.contact_user, entry.expires);
        if granted.is_zero() {
            return self.next_or_wait(now, key, RegistrationFault::Nothing);
        }
        let before =
            entry.bound.replace(Bound { target: target.clone(), hop, made: now, until: now + granted });
        let is_news = entry.fault.is_some()
            || before.as_ref().is_none_or(|before| before.target.address != target.address);
        if before.is_none() {
            entry.since = now;
        }
        (entry.fault, entry.failures, entry.lengthened, entry.unresolved) = (None, 0, 0, 0);
        entry.untried.clear();
        entry.due = Some(now + refresh_after(granted, &mut self.random));
        self.report_registrations(&key.trunk);
        if is_news {
            let change = RegistrationChange::Registered { at: target.address, expires: granted };
            self.tell_registration(key, change);
        }
    }

    /// The next target of the round, as RFC 3263 §4.3 has it for a server that does not answer or says
    /// 503; when there is none left, the wait.
    fn next_or_wait(&mut self, now: Instant, key: &RegistrationKey, fault: RegistrationFault) {
        if self.registrations.entries.get(key).is_some_and(|entry| !entry.untried.is_empty()) {
            return self.try_registration(now, key);
        }
        self.wait_for_registrar(now, key, fault, Setback::Passing);
    }

    fn wait_for_registrar(
        &mut self,
        now: Instant,
        key: &RegistrationKey,
        fault: RegistrationFault,
        setback: Setback,
    ) {
        let Some(entry) = self.registrations.entries.get_mut(key) else { return };
        entry.untried.clear();
        match fault {
            RegistrationFault::Unresolved => entry.unresolved = entry.unresolved.saturating_add(1),
            _ => entry.failures = entry.failures.saturating_add(1),
        }
        let remaining = entry.bound.as_ref().map(|bound| bound.until.since(now));
        let retry = match fault {
            RegistrationFault::Unresolved => UNRESOLVED_WAIT,
            _ => wait_after(setback, entry.failures, entry.retry_after, remaining, &mut self.random),
        };
        entry.due = Some(now + retry);
        // At the start DNS has a moment to answer.
        let is_news = match fault {
            RegistrationFault::Unresolved => entry.unresolved == 2,
            _ => entry.fault.as_ref() != Some(&fault),
        };
        entry.fault = Some(fault.clone());
        self.report_registrations(&key.trunk);
        if is_news {
            self.tell_registration(key, RegistrationChange::Failed { fault, retry, remaining });
        }
    }

    fn tell_registration(&mut self, key: &RegistrationKey, change: RegistrationChange) {
        self.report_registrations(&key.trunk);
        let registers = !self.router.registrations_of(&key.trunk).is_empty();
        let is_registered = registers.then(|| self.router.is_registered(&key.trunk));
        let (trunk, host) = (key.trunk.clone(), key.host.clone());
        self.event(Event::Registration { trunk, host, change, is_registered });
    }

    /// Tells the router, and through it people, how the registrations of a trunk are.
    fn report_registrations(&mut self, trunk: &TrunkName) {
        let of_trunk = self.registrations.entries.iter().filter(|(key, _)| key.trunk == *trunk);
        let reports: Vec<_> = of_trunk.clone().map(|(key, entry)| entry.report(key)).collect();
        let contact_user = of_trunk.clone().next().map(|(_, entry)| entry.bound_as.contact_user.clone());
        match contact_user {
            Some(user) => self.router.set_registrations(trunk, &user, reports),
            None => self.router.forget_registrations(trunk),
        }
    }
}

impl Registration {
    /// Takes what a reload changed: whoever mended the password wants to see it work.
    fn follow(&mut self, soon: Instant, terms: Terms) {
        if self.terms == terms {
            return;
        }
        (self.expires, self.lengthened, self.failures) = (terms.expires, 0, 0);
        if self.terms.hosts != terms.hosts {
            // Nobody is asked who is configured no more, be it that DNS does not know the new one yet.
            self.known.clear();
        }
        self.terms = terms;
        self.untried.clear();
        self.due = self.due.map(|due| due.min(soon));
    }

    /// Takes the Min-Expires of a 423 (§10.2.8); false: it makes no sense.
    fn lengthen(&mut self, response: &Message) -> bool {
        let wanted = response.number(Header::MinExpires).map(|seconds| Duration::from_secs(seconds.into()));
        let wanted = wanted.filter(|wanted| *wanted > self.expires && *wanted <= MAX_EXPIRES);
        let Some(wanted) = wanted.filter(|_| self.lengthened < MAX_LENGTHENED) else { return false };
        (self.expires, self.lengthened) = (wanted, self.lengthened + 1);
        true
    }

    fn report(&self, key: &RegistrationKey) -> RegistrationReport {
        RegistrationReport {
            host: key.host.clone(),
            address_of_record: self.bound_as.address_of_record(),
            target: self.bound.as_ref().map(|bound| (bound.target.address, bound.target.transport)),
            since: self.since,
            until: self.bound.as_ref().map(|bound| bound.until),
            next: self.due,
            fault: self.fault.as_ref().map(ToString::to_string),
        }
    }
}

/// How long a 2xx binds us. §10.2.4: "The 2xx response will contain, in a Contact header field, a list of
/// current bindings"; ours is known by its user, whatever a NAT made of its host. Some registrars list
/// none and say it in Expires alone.
fn granted(response: &Message, contact_user: &str, asked: Duration) -> Duration {
    let ours = response.list(Header::Contact).filter_map(NameAddr::parse).find(|contact| {
        let uri = contact.uri().ok();
        uri.and_then(|uri| uri.user_unescaped()).is_some_and(|user| *user == *contact_user.as_bytes())
    });
    let said = ours.and_then(|contact| {
        std::str::from_utf8(contact.params.value("expires")?).ok()?.trim_matches('"').parse::<u32>().ok()
    });
    let seconds = said.or_else(|| response.number(Header::Expires));
    seconds
        .map_or(asked, |seconds| Duration::from_secs(seconds.into()).min(asked.max(Duration::from_secs(60))))
}

fn redirected_to(response: &Message) -> String {
    let contact = response.contact();
    let host = contact
        .and_then(|contact| contact.uri().ok().map(|uri| String::from_utf8_lossy(uri.host).into_owned()));
    host.unwrap_or_else(|| "nowhere".to_owned())
}

/// Calls that come to our Contact.
impl Engine {
    /// Whether the Request-URI of an INVITE is a Contact that we registered.
    pub(super) fn is_for_our_contact(&self, invite: &Message) -> bool {
        let Ok(uri) = Uri::parse(invite.request_uri_raw()) else { return false };
        let user = uri.user_unescaped();
        let user = user.as_ref().and_then(|user| std::str::from_utf8(user).ok());
        user.is_some_and(|user| self.router.registration_of(user).is_some())
    }
}
