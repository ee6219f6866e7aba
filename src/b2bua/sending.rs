//! Sending the requests of calls: through a transaction, with credentials where they are asked for, over the
//! transport that they fit; the same request once more with other headers; and who waits for the answer.
//!
//! Must not know: why a request is sent, what its answer means.

use super::call::{CallKey, CallTimer, Phase};
use super::early_dialogs::EarlyDialogs;
use super::engine::Engine;
use super::outgoing::{Outgoing, Purpose};
use crate::base::{Hop, Instant};
use crate::media::Side;
use crate::sip::{Header, Message, Writer};
use crate::transaction::ClientId;

impl Engine {
    /// Sends a request of ours through a transaction, and remembers what it is for.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        call: CallKey,
        side: Side,
        purpose: Purpose,
        request: Message,
        hop: Hop,
    ) -> ClientId {
        let trunk = self.calls.get(call).and_then(|call| call.leg(side)).and_then(|leg| leg.trunk.clone());
        let outgoing = Outgoing::new(call, side, purpose, request.clone(), hop, trunk);
        self.send_owing(now, &outgoing, request)
    }

    /// The same, with what `like` says of it beside the request: where it goes, whose it is, and which
    /// challenges it must answer.
    pub(super) fn send_owing(&mut self, now: Instant, like: &Outgoing, request: Message) -> ClientId {
        let (trunk, hop) = (like.trunk.as_ref(), like.hop);
        let (request, answers) = self.authorize(now, request, hop, trunk, &like.answers);
        let (request, hop, other_hop) = self.fit_transport(request, hop, trunk);
        let client = self.transactions.send_request(now, request.clone(), hop);
        if like.purpose == Purpose::Bye {
            self.note_bye(client, &request);
        }
        let (call, side, purpose, trunk) = (like.call, like.side, like.purpose, like.trunk.clone());
        let mut outgoing = Outgoing { answers, ..Outgoing::new(call, side, purpose, request, hop, trunk) };
        outgoing.other_hop = other_hop.or_else(|| self.other_hop_of(&outgoing));
        self.clients.insert(client, outgoing);
        client
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
            Purpose::Key => call.is_some_and(|call| call.phase != Phase::Over && call.keys.awaits(client)),
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
        rewrite(request, &[], &[&anew, instead].concat())
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
        call.keys.renumber(before, after);
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

/// The same request without some of its headers, and with these instead of what it has of them; one that it
/// has not (any more) comes last.
pub(super) fn rewrite(
    request: &Message,
    without: &[Header],
    instead: &[(Header, Vec<u8>)],
) -> Option<Message> {
    let mut writer = Writer::request(request.method()?, request.request_uri_raw());
    for field in request.fields().filter(|field| !without.contains(&field.header)) {
        let anew = instead.iter().find(|(header, _)| *header == field.header);
        writer = match (field.header, anew) {
            (Header::ContentLength | Header::ContentType, _) => writer,
            (_, Some((header, value))) => writer.header(*header, value),
            (_, None) => writer.field(field.name, field.value),
        };
    }
    let is_left = |header: &Header| without.contains(header) || request.header(*header).is_none();
    for (header, value) in instead.iter().filter(|(header, _)| is_left(header)) {
        writer = writer.header(*header, value);
    }
    match request.header(Header::ContentType) {
        Some(content_type) => writer.finish_with(content_type, &request.body()).ok(),
        None => writer.finish().ok(),
    }
}
