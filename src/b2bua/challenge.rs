//! Digest challenges to requests of ours (RFC 3261 §22): the request goes out once more with the
//! trunk's credentials. A carrier that challenges again is given up, unless it says that only the
//! nonce was stale: one that does so for ever would keep a call in set-up for ever.

use super::call::{CallKey, CallTimer, Phase};
use super::early_dialogs::EarlyDialogs;
use super::engine::{Engine, Outgoing, Purpose};
use super::resending::rewrite;
use crate::base::Instant;
use crate::media::Side;
use crate::routing::Credentials;
use crate::sip::digest::{self, Answerer, Challenge};
use crate::sip::{Header, Message, Method, Writer};
use crate::transaction::ClientId;

/// How often one request is sent again for a challenge: once, and once more for a stale nonce.
const MAX_ANSWERS: u8 = 2;

impl Engine {
    /// Sends a challenged request again with the trunk's credentials; false: there are none, they
    /// were refused, or nobody waits for the answer any more.
    pub(super) fn answer_challenge(&mut self, now: Instant, client: ClientId, response: &Message) -> bool {
        let Some(outgoing) = self.clients.get(client).cloned() else { return false };
        let Some((challenge, header)) = usable_challenge(response, outgoing.challenges) else { return false };
        let settings = self.snapshots.current();
        let trunk = settings.trunk_of(outgoing.trunk.as_ref());
        let Some(credentials) = trunk.and_then(|trunk| trunk.credentials.clone()) else { return false };
        if !self.is_waited_for(client) {
            return false;
        }
        let authorization = self.authorize(&challenge, &credentials, &outgoing.request);
        let Some(again) = self.send_again(now, client, &outgoing, &[(header, authorization)]) else {
            return false;
        };
        if let Some(sent) = self.clients.get_mut(again) {
            sent.challenges = outgoing.challenges + 1;
            sent.raises = outgoing.raises;
        }
        true
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
        let again =
            self.send_request(now, outgoing.call, outgoing.side, outgoing.purpose, request, outgoing.hop);
        if let Some(sent) = self.clients.get_mut(again) {
            sent.trunk = outgoing.trunk.clone();
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
            Purpose::Setup => {
                call.and_then(|call| call.leg(outgoing.side)).is_some_and(|leg| leg.outgoing == Some(client))
            }
        }
    }

    pub(super) fn authorize(
        &mut self,
        challenge: &Challenge,
        credentials: &Credentials,
        request: &Message,
    ) -> Vec<u8> {
        let cnonce = self.random.token::<16>();
        let (username, password) = (credentials.username.as_str(), credentials.password.as_str());
        let method = request.method().map_or("", Method::label);
        let body = request.body();
        let asked = digest::Request { method, uri: request.request_uri_raw(), body: &body };
        challenge.answer(Answerer { username, password }, asked, 1, &String::from_utf8_lossy(&cnonce))
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

/// The strongest challenge of a 401 or 407 that we may answer, and the header that does.
pub(super) fn usable_challenge(response: &Message, answered: u8) -> Option<(Challenge, Header)> {
    let (asks, answers) = match response.status()?.code() {
        401 => (Header::WwwAuthenticate, Header::Authorization),
        _ => (Header::ProxyAuthenticate, Header::ProxyAuthorization),
    };
    let values = response.fields().filter(|field| field.header == asks).take(digest::MAX_CHALLENGES);
    let challenges: Vec<Challenge> = values
        .filter_map(|field| Challenge::parse(field.value).ok())
        .flatten()
        .take(digest::MAX_CHALLENGES)
        .collect();
    let strongest = digest::strongest(&challenges)?;
    let may_answer = answered == 0 || (answered < MAX_ANSWERS && strongest.stale);
    may_answer.then(|| (strongest.clone(), answers))
}
