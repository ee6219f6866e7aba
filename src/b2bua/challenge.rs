//! Digest challenges to requests of ours (RFC 3261 §22): the request goes out once more with the
//! trunk's credentials, and later ones go out with them at once (`nonces.rs`). A realm that
//! challenges again is given up, unless it says that only the nonce was stale: one that does so for
//! ever would keep a call in set-up for ever.
//!
//! Nobody gets a digest but the trunk: its credentials answer a challenge only if it comes from there,
//! and the request with the answer goes there.

use super::Event;
use super::credentials::{self, AuthenticationFault};
use super::engine::Engine;
use super::nonces::Answers;
use super::outgoing::{Outgoing, Purpose};
use super::sending::rewrite;
use crate::base::{Hop, Instant, TrunkName};
use crate::routing::{self, Authentication, Credentials, Trunk};
use crate::sip::{Header, Message, Writer};
use crate::transaction::ClientId;

/// A request that was challenged: whose credentials answer, and where it went.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) trunk: &'a TrunkName,
    pub(super) hop: Hop,
    /// The trunk's own name, or a call of its, led there.
    pub(super) is_target: bool,
}

/// What answers a challenge: a trunk's credentials, and which challenges they answer.
#[derive(Clone, Debug)]
pub(super) struct Account {
    credentials: Option<Credentials>,
    authentication: Authentication,
}

impl Account {
    /// That of a trunk as it is configured now.
    pub(super) fn of(trunk: &Trunk) -> Account {
        Account { credentials: trunk.credentials.clone(), authentication: trunk.authentication.clone() }
    }

    /// The credentials, if it has any.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl Engine {
    /// Sends a challenged request again with the trunk's credentials; false: there are none, they
    /// were refused, or nobody waits for the answer any more.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message,
        from: Hop,
    ) -> bool {
        if !self.is_waited_for(client) {
            return false;
        }
        let Some(outgoing) = self.clients.get(client).cloned() else { return false };
        let Some(trunk) = outgoing.trunk.clone() else { return false };
        let account = self.snapshots.current().trunk_of(Some(&trunk)).map(Account::of);
        let Some(account) = account else { return false };
        let asked = Asked { trunk: &trunk, hop: outgoing.hop, is_target: self.went_to_target(&outgoing) };
        let taken = self.take_challenge(now, asked, &account, response, from, &outgoing.answers);
        let Some(answers) = taken else { return false };
        self.send_again(now, client, &Outgoing { answers, ..outgoing }, &[]).is_some()
    }

    /// Reads the challenges of a 401 or 407; gives what the request owes when it is sent again (to
    /// [`Engine::authorize`]), `None` if it is not to be.
    pub(super) fn take_challenge(
        &mut self,
        now: Instant,
        asked: Asked<'_>,
        account: &Account,
        response: &Message,
        from: Hop,
        answers: &Answers,
    ) -> Option<Answers> {
        let taken = if account.credentials.is_none() {
            Err(AuthenticationFault::NoCredentials { realm: credentials::first_realm(response) })
        } else if !self.may_ask(asked, from) {
            Err(AuthenticationFault::Elsewhere { from: from.peer.ip() })
        } else {
            let place = (asked.trunk, asked.hop.peer);
            self.nonces.take(now, place, &account.authentication, response, answers)
        };
        if matches!(taken, Err(AuthenticationFault::Refused { .. })) {
            self.passwords.refused(now, asked.trunk, &mut self.random);
        }
        taken.map_err(|fault| self.tell_fault(now, asked.trunk, fault)).ok()
    }

    /// Whether a challenge may have the trunk's digest: it and its answer both are the trunk's matter.
    fn may_ask(&self, asked: Asked<'_>, from: Hop) -> bool {
        let (to, source) = (asked.hop.peer.ip(), from.peer.ip());
        let goes_to_trunk = asked.is_target || self.router.is_of_trunk(asked.trunk, to);
        goes_to_trunk && (source == to || self.router.is_of_trunk(asked.trunk, source))
    }

    fn tell_fault(&mut self, now: Instant, trunk: &TrunkName, fault: AuthenticationFault) {
        self.note_refusal(now, trunk, &fault);
        if self.nonces.is_news(now, trunk, &fault) {
            self.event(Event::NotAuthenticated { trunk: trunk.clone(), fault });
        }
    }

    /// Whether a request went to where the trunk's name led, or where its call came from.
    fn went_to_target(&self, outgoing: &Outgoing) -> bool {
        let (key, side) = self.place_of(outgoing);
        let leg = self.calls.get(key).and_then(|call| call.leg(side));
        outgoing.purpose == Purpose::Setup
            || leg.is_some_and(|leg| leg.hop.peer.ip() == outgoing.hop.peer.ip())
    }

    /// The request with what the trunk's peer is known to ask for, and with what it owes; and what it
    /// carries now.
    pub(super) fn authorize(
        &mut self,
        now: Instant,
        request: Message,
        hop: Hop,
        trunk: Option<&TrunkName>,
        owed: &Answers,
    ) -> (Message, Answers) {
        let settings = self.snapshots.current();
        let credentials = settings.trunk_of(trunk).and_then(|trunk| trunk.credentials.clone());
        let (Some(trunk), Some(credentials)) = (trunk, credentials) else { return (request, owed.clone()) };
        self.authorize_as(now, request, (trunk, hop), &credentials, owed)
    }

    /// The same with these credentials.
    pub(super) fn authorize_as(
        &mut self,
        now: Instant,
        request: Message,
        (trunk, hop): (&TrunkName, Hop),
        credentials: &Credentials,
        owed: &Answers,
    ) -> (Message, Answers) {
        let place = (trunk, hop.peer);
        let (headers, answers) =
            self.nonces.authorize(now, place, credentials, &request, owed, &mut self.random);
        if headers.is_empty() {
            return (request, answers);
        }
        match with_credentials(&request, &headers) {
            Some(request) => (request, answers),
            None => (request, answers.without_any()),
        }
    }

    /// After a reload: nonces are good for the credentials that they were asked for.
    pub(super) fn keep_nonces(&mut self, new: &routing::Settings) {
        let old = self.router.settings();
        let has_same = |name: &TrunkName| match (old.trunk(name), new.trunk(name)) {
            (Some(old), Some(new)) => {
                old.credentials == new.credentials && old.authentication == new.authentication
            }
            _ => false,
        };
        let names = new.trunks.iter().map(|trunk| &trunk.name);
        let changed: Vec<&TrunkName> = names.filter(|name| !has_same(name)).collect();
        self.nonces.retain(has_same);
        self.passwords.retain(has_same);
        self.forget_refusals(&changed);
    }

    /// A response that is no challenge: the nonces that its request carried are good.
    pub(super) fn note_accepted(
        &mut self,
        now: Instant,
        (trunk, asked): (&TrunkName, Hop),
        answers: &Answers,
        response: &Message,
    ) {
        if response.status().is_some_and(|status| !matches!(status.code(), 100 | 401 | 407)) {
            self.nonces.accepted(now, (trunk, asked.peer), answers, response);
            self.note_password(now, trunk, answers, response);
            if !answers.is_empty() {
                self.note_let_in(trunk, response);
            }
        }
    }

    /// What an answer that is no challenge says of the password. Some servers say 403 to a wrong one.
    fn note_password(&mut self, now: Instant, trunk: &TrunkName, answers: &Answers, response: &Message) {
        match response.status() {
            _ if answers.is_empty() => {}
            Some(status) if status.code() == 403 => self.passwords.refused(now, trunk, &mut self.random),
            _ => self.passwords.accepted(trunk),
        }
    }
}

/// Adds what authorized an INVITE of ours to the ACK of its 2xx. RFC 3261 §22.1: "UACs creating an
/// ACK message will duplicate all of the Authorization and Proxy-Authorization header field values
/// that appeared in the INVITE to which the ACK corresponds."
pub(super) fn repeat_credentials(ack: Writer, invite: &Message) -> Writer {
    ack.copy(invite, Header::Authorization).copy(invite, Header::ProxyAuthorization)
}

/// The same request with these credentials and no others.
pub(super) fn with_credentials(request: &Message, headers: &[(Header, Vec<u8>)]) -> Option<Message> {
    rewrite(request, &[Header::Authorization, Header::ProxyAuthorization], headers)
}
