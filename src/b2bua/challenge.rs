//! Digest challenges to requests of ours (RFC 3261 §22): the request goes out once more with the
//! trunk's credentials, and later ones go out with them at once (`credentials.rs`). A realm that
//! challenges again is given up, unless it says that only the nonce was stale: one that does so for
//! ever would keep a call in set-up for ever.
//!
//! Nobody gets a digest but the trunk: its credentials answer a challenge only if it comes from there,
//! and the request with the answer goes there.

use super::Event;
use super::call::{CallKey, CallTimer, Phase};
use super::credentials::{self, Answers, AuthenticationFault};
use super::early_dialogs::EarlyDialogs;
use super::engine::{Engine, Outgoing, Purpose};
use super::resending::rewrite;
use crate::base::{Hop, Instant, TrunkName};
use crate::media::Side;
use crate::routing;
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
        let asked = Asked { trunk: &trunk, hop: outgoing.hop, is_target: self.went_to_target(&outgoing) };
        let Some(answers) = self.take_challenge(now, asked, response, from, &outgoing.answers) else {
            return false;
        };
        self.send_again(now, client, &Outgoing { answers, ..outgoing }, &[]).is_some()
    }

    /// Reads the challenges of a 401 or 407; gives what the request owes when it is sent again (to
    /// [`Engine::authorize`]), `None` if it is not to be.
    pub(super) fn take_challenge(
        &mut self,
        now: Instant,
        asked: Asked<'_>,
        response: &Message,
        from: Hop,
        answers: &Answers,
    ) -> Option<Answers> {
        let settings = self.snapshots.current();
        let trunk = settings.trunk_of(Some(asked.trunk))?;
        let taken = if trunk.credentials.is_none() {
            Err(AuthenticationFault::NoCredentials { realm: credentials::first_realm(response) })
        } else if !self.may_ask(asked, from) {
            Err(AuthenticationFault::Elsewhere { from: from.peer.ip() })
        } else {
            let place = (asked.trunk, asked.hop.peer);
            self.nonces.take(now, place, &trunk.authentication, response, answers)
        };
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
        let found = settings.trunk_of(trunk);
        let credentials = found.and_then(|trunk| trunk.credentials.as_ref());
        let (Some(name), Some(credentials)) = (trunk, credentials) else { return (request, owed.clone()) };
        let place = (name, hop.peer);
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
            if !answers.is_empty() {
                self.note_let_in(trunk, response);
            }
        }
    }

    /// Sends a request again with other headers; what waited for it waits for the new one.
    pub(super) fn send_again(
        &mut self,
        now: Instant,
        client: ClientId,
        outgoing: &Outgoing,
        instead: &[(Header, Vec<u8>)],
    ) -> Option<ClientId> {
        let request = self.write_again(outgoing, instead)?;
        let again = self.send_owing(now, outgoing, request);
        if let Some(sent) = self.clients.get_mut(again) {
            sent.raises = outgoing.raises;
            let used = sent.request.cseq().map_or(0, |cseq| cseq.number);
            self.note_early_sequence(outgoing.call, outgoing.side, used);
        }
        self.replace_client(now, outgoing, client, again);
        Some(again)
    }

    /// Whether the answer to a request still matters.
    pub(super) fn is_waited_for(&self, client: ClientId) -> bool {
        let Some(outgoing) = self.clients.get(client) else { return false };
        let call = self.calls.get(outgoing.call);
        match outgoing.purpose {
            Purpose::Bye => true,
            // After the dialog's BYE it would say what nobody asks, with a CSeq that BYE may have.
            Purpose::Notify => {
                let (key, side) = self.place_of(outgoing);
                let call = self.calls.get(key).filter(|call| call.phase != Phase::Over);
                call.and_then(|call| call.leg(side)).is_some_and(|leg| leg.dialog.is_some())
            }
            Purpose::Prack => call.is_some_and(|call| call.phase != Phase::Over),
            Purpose::Relay { .. } | Purpose::Realign | Purpose::Reconnect => {
                call.is_some_and(|call| call.relays.contains(&client))
            }
            Purpose::Refresh => {
                call.and_then(|call| call.leg(outgoing.side)).is_some_and(|leg| leg.refresh == Some(client))
            }
            // One that was CANCELled is not to ring again: a proxy that forked may yet find the challenge
            // of another branch the best answer (RFC 3261 §16.7).
            Purpose::Setup => call
                .filter(|call| !call.plan.leaving)
                .is_some_and(|call| call.leg(outgoing.side).is_some_and(|leg| leg.outgoing == Some(client))),
        }
    }

    /// The same request with a new branch, the next CSeq and these headers.
    pub(super) fn write_again(
        &mut self,
        outgoing: &Outgoing,
        instead: &[(Header, Vec<u8>)],
    ) -> Option<Message> {
        let sequence = self.next_sequence(outgoing)?;
        let via = self.mint_via(outgoing.hop);
        let request = &outgoing.request;
        let cseq = [sequence.to_string().as_bytes(), b" ", request.method()?.as_bytes()].concat();
        let anew = [(Header::Via, via.into_bytes()), (Header::CSeq, cseq)];
        rewrite(request, &[&anew, instead].concat())
    }

    /// The leg whose dialog a request of ours is of: a transfer may have moved it since.
    pub(super) fn place_of(&self, outgoing: &Outgoing) -> (CallKey, Side) {
        let tag = outgoing.request.from().and_then(|from| from.tag());
        let place = tag.and_then(|tag| self.dialogs.get(tag)).copied();
        place.unwrap_or((outgoing.call, outgoing.side))
    }

    /// The CSeq of the repetition: above all that the dialog has used.
    fn next_sequence(&mut self, outgoing: &Outgoing) -> Option<u32> {
        let used = outgoing.request.cseq()?.number;
        let (key, side) = self.place_of(outgoing);
        let leg = self.calls.get_mut(key).and_then(|call| call.leg_mut(side));
        let tag = outgoing.remote_tag();
        match leg.and_then(|leg| leg.dialog_with(tag)) {
            Some(dialog) if outgoing.purpose != Purpose::Setup => {
                dialog.local_sequence = dialog.local_sequence.max(used) + 1;
                Some(dialog.local_sequence)
            }
            // A BYE is the last request of its dialog, an INVITE that opens one the first.
            _ if matches!(outgoing.purpose, Purpose::Setup | Purpose::Bye) => Some(used + 1),
            // The dialog is over, and its CSeq with it.
            Some(_) | None => None,
        }
    }

    /// What waited for the first transaction waits for the second.
    pub(super) fn replace_client(
        &mut self,
        now: Instant,
        outgoing: &Outgoing,
        before: ClientId,
        after: ClientId,
    ) {
        let key: CallKey = outgoing.call;
        let Some(call) = self.calls.get_mut(key) else { return };
        for relay in call.relays.iter_mut().filter(|relay| **relay == before) {
            *relay = after;
        }
        if let Some(leg) = call.leg_mut(outgoing.side)
            && leg.outgoing == Some(before)
        {
            leg.outgoing = Some(after);
        }
        if let Some(leg) = call.leg_mut(outgoing.side)
            && leg.refresh == Some(before)
        {
            leg.refresh = Some(after);
        }
        if outgoing.purpose == Purpose::Setup {
            if let Some(leg) = call.leg_mut(outgoing.side) {
                // What the first INVITE opened ended with its challenge.
                (leg.dialog, leg.early) = (None, EarlyDialogs::default());
            }
            let settings = self.snapshots.current();
            let trunk = settings.trunk_of(outgoing.trunk.as_ref());
            if let Some(timeout) = trunk.map(|trunk| trunk.failover.timeout) {
                self.arm(key, CallTimer::NoProvisional, now + timeout);
            }
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
fn with_credentials(request: &Message, headers: &[(Header, Vec<u8>)]) -> Option<Message> {
    let is_answer = |header| matches!(header, Header::Authorization | Header::ProxyAuthorization);
    let mut writer = Writer::request(request.method()?, request.request_uri_raw());
    for field in request.fields().filter(|field| !is_answer(field.header)) {
        writer = match field.header {
            Header::ContentLength | Header::ContentType => writer,
            _ => writer.field(field.name, field.value),
        };
    }
    for (header, value) in headers {
        writer = writer.header(*header, value);
    }
    match request.header(Header::ContentType) {
        Some(content_type) => writer.finish_with(content_type, &request.body()).ok(),
        None => writer.finish().ok(),
    }
}
