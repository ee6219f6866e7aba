//! 3xx of a target (RFC 3261 §8.1.3.4, §21.3): refused, followed or passed on, as the trunk says.
//!
//! A redirection chooses the number that somebody else pays for. So it is followed only to where one
//! of the two could have called by himself, and never to a host that is no trunk of ours:
//!
//! - The Contact's host must be a trunk's (one of its hosts, their addresses, its domain), and the
//!   call then goes to that trunk with its rules, limits and credentials; or our own, which means
//!   "call this number through us".
//! - The number is read as the redirecting trunk's numbers are, and must be routed, to that trunk,
//!   by the routes of a call from the redirecting trunk (a PBX whose phone is diverted), or by those
//!   of the call itself (a carrier that says where the number is): nobody gets further than he could
//!   have dialled.
//! - No target is tried twice with the same number, an emergency number is never redirected to, and
//!   there is a limit to all of it.
//!
//! Passed on, a Contact keeps nothing but its number: the caller may call that through us, and is
//! routed as in any other call.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::addressing;
use super::call::{Call, CallKey, CallNumbers, Plan};
use super::cdr::{AttemptResult, EndedBy};
use super::ending::End;
use super::engine::Engine;
use super::party::{Party, written_user};
use crate::base::{Hop, Instant, TrunkName};
use crate::numbering::{self, Dialled, Number};
use crate::routing::{Ingress, Redirect, Selection, Target, Trunk};
use crate::sip::{Header, Message, NameAddr, Scheme, Status, Uri};

/// The most 3xx that are followed in one call.
const MAX_REDIRECTIONS: u8 = 5;

/// The most Contacts of one 3xx that are looked at.
const MAX_CONTACTS: usize = 8;

/// q of a Contact without one, in thousandths.
const FULL_Q: u16 = 1_000;

/// Where a call was redirected to, and where it was already.
#[derive(Clone, Debug, Default)]
pub struct Redirection {
    followed: u8,
    /// Called instead of what the caller called.
    called: Option<Called>,
    /// Not tried yet, the next one first.
    contacts: Vec<Candidate>,
    /// The addresses that the current Contact means.
    only: Vec<SocketAddr>,
    /// What was tried, by number and address.
    tried: BTreeSet<(String, SocketAddr)>,
}

/// A number as it was received, and what it means.
#[derive(Clone, Debug)]
struct Called {
    received: String,
    written: Option<String>,
    number: Number,
}

/// A Contact that may be called.
#[derive(Clone, Debug)]
struct Candidate {
    called: Called,
    selection: Selection,
    /// In the order in which they are tried.
    trunks: Vec<TrunkName>,
    only: Vec<SocketAddr>,
}

/// A Contact as it was received.
struct Contact<'a> {
    uri: Uri<'a>,
    called: Called,
    q: u16,
}

impl Redirection {
    /// The targets of a trunk that the redirection means and that were not tried with its number.
    pub(super) fn narrow(&mut self, mut targets: Vec<Target>) -> Vec<Target> {
        if let Some(called) = &self.called {
            targets.retain(|target| {
                self.only.contains(&target.address)
                    && self.tried.insert((called.number.as_str().to_owned(), target.address))
            });
        }
        targets
    }

    /// The number that the call was sent on to, if it was.
    pub(super) fn called(&self) -> Option<&Number> {
        self.called.as_ref().map(|called| &called.number)
    }
}

impl Plan {
    /// Goes on to the next Contact of a redirection; false: there is none.
    pub(super) fn take_next_contact(&mut self) -> bool {
        if self.redirection.contacts.is_empty() {
            return false;
        }
        let Candidate { called, trunks, only, .. } = self.redirection.contacts.remove(0);
        self.trunks = trunks;
        self.passed_over.clear();
        self.redirection.called = Some(called);
        self.redirection.only = only;
        true
    }
}

impl Call {
    /// Whether another callee may read the caller's INVITE as it is: the caller has neither changed its
    /// offer since (UPDATE, PRACK), nor been made one that it can answer once only.
    pub(super) fn may_offer_anew(&self) -> bool {
        let told = &self.a.sdp;
        match self.invite.sdp() {
            Some(offer) => told.heard.is_empty() || told.heard == offer,
            None => told.last.is_empty(),
        }
    }

    /// Who calls whom towards the target that is being tried.
    pub(super) fn numbers_sent(&self) -> Cow<'_, CallNumbers> {
        match &self.plan.redirection.called {
            None => Cow::Borrowed(&self.numbers),
            Some(Called { received, written, number }) => {
                let mut numbers = self.numbers.clone();
                if *number != numbers.called {
                    numbers.diversions.add_redirected(&numbers.called, &numbers.called_dialled);
                }
                numbers.called.clone_from(number);
                numbers.called_received.clone_from(received);
                numbers.called_dialled.clone_from(received);
                numbers.called_written.clone_from(written);
                Cow::Owned(numbers)
            }
        }
    }
}

impl Engine {
    /// A 3xx of the target that is being tried. False: it is a refusal like any other.
    pub(super) fn on_redirection(
        &mut self,
        now: Instant,
        key: CallKey,
        response: &Message,
        status: Status,
    ) -> bool {
        // 305 names a proxy and 380 another service: neither is a number to call.
        if !matches!(status.code(), 300..=302) {
            return false;
        }
        let Some(call) = self.calls.get(key) else { return false };
        let settings = self.snapshots.get(call.snapshot);
        let target = call.plan.current.as_ref();
        let Some(trunk) = target.and_then(|target| settings.routing.trunk(&target.trunk)) else {
            return false;
        };
        let contacts = contacts_of(response, settings.numbering_of(Some(trunk)));
        match trunk.redirect {
            Redirect::Reject => false,
            Redirect::Follow => self.follow(now, key, trunk, &contacts, status),
            Redirect::Pass => self.pass_redirection(now, key, &contacts, status),
        }
    }

    fn follow(
        &mut self,
        now: Instant,
        key: CallKey,
        trunk: &Trunk,
        contacts: &[Contact<'_>],
        status: Status,
    ) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        if call.plan.redirection.followed >= MAX_REDIRECTIONS || !call.may_offer_anew() {
            return false;
        }
        let tried_now = call.numbers_sent().called.as_str().to_owned();
        let targets: Vec<SocketAddr> =
            call.record.attempts.iter().filter_map(|attempt| attempt.target).collect();
        let current = call.plan.current.as_ref().map(|target| target.address);
        let mut tried = call.plan.redirection.tried.clone();
        tried.extend(targets.into_iter().chain(current).map(|target| (tried_now.clone(), target)));
        let mut candidates: Vec<Candidate> =
            contacts.iter().filter_map(|contact| self.candidate(call, trunk, contact, &tried)).collect();
        if candidates.is_empty() {
            return false;
        }
        let caller = call.numbers.caller.as_str();
        for candidate in &mut candidates {
            candidate.trunks = self.router.order(&candidate.selection, caller, &mut self.random);
        }
        self.note_attempt(now, key, AttemptResult::Status(status.code()));
        self.refuse_early_requests(now, key, None);
        self.take_answer_back(key);
        let Some(call) = self.calls.get_mut(key) else { return true };
        if let Some(leg) = call.b.as_mut() {
            leg.outgoing = None;
        }
        call.plan.targets.clear();
        call.plan.trunks.clear();
        call.plan.passed_over.clear();
        let redirection = &mut call.plan.redirection;
        redirection.followed += 1;
        redirection.tried = tried;
        redirection.contacts.splice(0..0, candidates);
        self.try_next_target(now, key);
        true
    }

    /// Where a Contact may take the call: the trunks that both its host and the policy name.
    fn candidate(
        &self,
        call: &Call,
        redirecting: &Trunk,
        contact: &Contact<'_>,
        tried: &BTreeSet<(String, SocketAddr)>,
    ) -> Option<Candidate> {
        let number = &contact.called.number;
        if number.is_emergency() && *number != call.numbers.called {
            return None;
        }
        let asking = Ingress { realm: redirecting.realm, trunk: Some(redirecting.name.clone()) };
        let caller = Ingress { realm: call.a.realm, trunk: call.a.trunk.clone() };
        let hop = call.b.as_ref()?.hop;
        [asking, caller].iter().find_map(|ingress| {
            let mut selection = self.router.route(ingress, number).ok()?;
            let mut only = Vec::new();
            selection.retain(|name| {
                let mut targets = self.router.all_targets(name);
                targets.retain(|target| {
                    let known = tried.contains(&(number.as_str().to_owned(), target.address));
                    !known && self.is_meant(contact, hop, target) && self.keeps_ports(call, target)
                });
                only.extend(targets.iter().map(|target| target.address));
                !targets.is_empty()
            });
            let called = contact.called.clone();
            let is_somewhere = !selection.tiers.is_empty();
            is_somewhere.then_some(Candidate { called, selection, trunks: Vec::new(), only })
        })
    }

    /// Whether the host of a Contact is ours, or names this target or its whole trunk.
    fn is_meant(&self, contact: &Contact<'_>, hop: Hop, target: &Target) -> bool {
        let Some(trunk) = self.router.settings().trunk(&target.trunk) else { return false };
        let Ok(host) = std::str::from_utf8(contact.uri.host) else { return false };
        target.host.eq_ignore_ascii_case(host)
            || contact.uri.host_address() == Some(target.address.ip())
            || trunk.domain.eq_ignore_ascii_case(host)
            || self.is_our_address(&contact.uri, hop)
    }

    /// Once the caller has heard SDP with our ports in it they stay, so side B's place must.
    pub(super) fn keeps_ports(&self, call: &Call, target: &Target) -> bool {
        let realm = self.router.settings().trunk(&target.trunk).map(|trunk| trunk.realm);
        let is_same = |realm| call.media.is_at((realm, target.address.is_ipv6()));
        call.a.sdp.last.is_empty() || realm.is_some_and(is_same)
    }

    /// Whether a URI names the listener of a hop.
    pub(super) fn is_our_address(&self, uri: &Uri<'_>, hop: Hop) -> bool {
        let Some(listener) = self.snapshots.current().listener(hop.listener) else { return false };
        let port = uri.port.unwrap_or(hop.transport.default_port());
        let host = String::from_utf8_lossy(uri.host);
        let advertised = [format!("{host}:{port}"), host.to_string()];
        let is_bound = uri.host_address() == Some(listener.bind.ip()) && port == listener.bind.port();
        is_bound || advertised.iter().any(|name| listener.advertise.eq_ignore_ascii_case(name))
    }

    /// The caller gets the 3xx, its Contacts being numbers at our address.
    fn pass_redirection(
        &mut self,
        now: Instant,
        key: CallKey,
        contacts: &[Contact<'_>],
        status: Status,
    ) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let hop = call.a.hop;
        let advertise = self.advertised(hop);
        let mut passed: Vec<String> = Vec::new();
        for contact in contacts {
            // A name could be anything of the other side's.
            let (Number::E164(number) | Number::Short(number)) = &contact.called.number else { continue };
            let uri = addressing::contact(number, &advertise, hop.transport);
            if !passed.iter().any(|known| known.starts_with(&uri)) {
                let q = contact.q;
                passed.push(if q < FULL_Q { format!("{uri};q=0.{q:03}") } else { uri });
            }
        }
        if passed.is_empty() {
            return false;
        }
        self.note_attempt(now, key, AttemptResult::Status(status.code()));
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.b.as_mut()) {
            leg.outgoing = None;
        }
        let cause = format!("{status} from the callee's side, passed on");
        let mut end = End::new(EndedBy::Callee, &cause).refusing(status);
        end.contacts = passed;
        self.end_call(now, key, end);
        true
    }
}

/// The Contacts of a 3xx that name a number, the best first (RFC 3261 §20.10: q).
fn contacts_of<'a>(response: &'a Message, numbering: &numbering::Settings) -> Vec<Contact<'a>> {
    let values = response.list(Header::Contact).take(MAX_CONTACTS);
    let mut contacts: Vec<Contact<'a>> =
        values.filter_map(NameAddr::parse).filter_map(|address| contact_of(address, numbering)).collect();
    contacts.sort_by_key(|contact| std::cmp::Reverse(contact.q));
    contacts
}

fn contact_of<'a>(address: NameAddr<'a>, numbering: &numbering::Settings) -> Option<Contact<'a>> {
    let uri = address.uri().ok()?;
    let party = Party::of(&uri);
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) || party.user.is_empty() {
        return None;
    }
    let Dialled { number, received, .. } = party.normalise_called(numbering).ok()?;
    let q = address.params.value("q").map_or(Some(FULL_Q), thousandths)?;
    let called = Called { received, written: written_user(&uri), number };
    Some(Contact { uri, called, q })
}

/// `0.75` in thousandths (RFC 3261 §25.1 qvalue: three digits at most).
fn thousandths(q: &[u8]) -> Option<u16> {
    let (whole, fraction) = match q {
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        [whole] => (*whole, &b""[..]),
        _ => return None,
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let mut value = digit(whole)?;
    for at in 0..3 {
        value = value * 10 + fraction.get(at).map_or(Some(0), |byte| digit(*byte))?;
    }
    (value <= FULL_Q).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_values_are_read_as_the_rfc_writes_them() {
        let values = [("1", Some(1_000)), ("1.000", Some(1_000)), ("0.7", Some(700)), ("0.", Some(0))];
        for (text, value) in values.into_iter().chain([
            ("0.125", Some(125)),
            ("1.001", None),
            ("0.1234", None),
            (".5", None),
            ("", None),
            ("-1", None),
        ]) {
            assert_eq!(thousandths(text.as_bytes()), value, "{text}");
        }
    }
}
