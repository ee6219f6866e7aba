//! ACK, and the 2xx that is repeated until it comes (RFC 3261 §13.2.2.4, §13.3.1.4): the one
//! exchange that the transaction layer leaves to its user.

use bytes::Bytes;

use super::call::{CallKey, CallTimer, Phase, Unacked};
use super::call_media::SdpRole;
use super::cdr::EndedBy;
use super::ending::End;
use super::engine::Engine;
use super::outgoing::{Outgoing, Purpose};
use super::{capabilities, challenge, header_policy};
use crate::base::{Hop, Instant, Transport};
use crate::dialog::Dialog;
use crate::dialog::session_timer::Role;
use crate::media::Side;
use crate::sip::{Header, Message, Method, Status, Writer};
use crate::transaction::{ClientId, ServerId, TimerSettings};

/// Where the peer of a request of ours is, when a response came from `hop`: a datagram may come from
/// another address than it was asked for under, over a connection it may have come any way (RFC 3261
/// §18.2.2).
pub(super) fn answered_from(asked: Hop, hop: Hop) -> Hop {
    match (asked.transport, hop.transport) {
        (Transport::Udp, Transport::Udp) => Hop { peer: hop.peer, ..asked },
        _ => asked,
    }
}

/// The most branches of a fork whose 2xx is ACKed and ended; a peer that answers from more is not
/// forking but flooding.
const MAX_ANSWERS: usize = 16;

impl Engine {
    /// Sends a 2xx to an INVITE, and goes on sending it until the ACK comes.
    pub(super) fn send_success(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        response: Message,
    ) {
        let Some(hop) = self.transactions.response_hop(server) else { return };
        let sequence = response.cseq().map_or(0, |cseq| cseq.number);
        self.transactions.respond(now, server, response.clone());
        self.begin_session_interval(now, key, side, Role::Uas, &response);
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) {
            leg.unacked = Some(Unacked { response, hop, sequence, since: now, repeats: 0 });
        }
        self.arm(key, CallTimer::Unacked(side), now + TimerSettings::default().t1);
    }

    /// The 2xx towards a side is still without its ACK.
    pub(super) fn on_unacked(&mut self, now: Instant, key: CallKey, side: Side) {
        let timers = TimerSettings::default();
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) else { return };
        let Some(unacked) = leg.unacked.as_mut() else { return };
        let gives_up = unacked.since + timers.t1 * 64;
        if now >= gives_up {
            leg.unacked = None;
            // §13.3.1.4: the dialog is confirmed, but the session is ended with BYE.
            self.end_call(now, key, End::new(EndedBy::Sbc, "the 2xx was never ACKed"));
            return self.bye_after_ack(now, key, side);
        }
        unacked.repeats += 1;
        let (response, hop) = (unacked.response.clone(), unacked.hop);
        let wait = (timers.t1 * (1 << unacked.repeats.min(8))).min(timers.t2);
        self.transactions.send_stateless(&response, hop, true);
        let next = now + wait;
        self.arm(key, CallTimer::Unacked(side), if next < gives_up { next } else { gives_up });
    }

    /// An ACK for a 2xx of ours.
    pub(super) fn on_ack(&mut self, now: Instant, request: &Message, hop: Hop) {
        let Some((key, side)) = self.find_dialog(request, hop) else { return };
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) else { return };
        let sequence = request.cseq().map_or(0, |cseq| cseq.number);
        if leg.unacked.as_ref().is_none_or(|unacked| unacked.sequence != sequence) {
            return;
        }
        leg.unacked = None;
        self.disarm(key, CallTimer::Unacked(side));
        if self.calls.get(key).is_some_and(|call| call.phase == Phase::Over) {
            return self.bye_after_ack(now, key, side);
        }
        if self.pay_owed_ack(now, key, side, request) {
            self.realign_caller(now, key);
            self.resume_deferred(now, key, side.other());
            self.resume_deferred(now, key, side);
        }
    }

    /// The answer to a late offer came in the ACK: the other side's ACK carries it on. False if
    /// the call ended over it.
    fn pay_owed_ack(&mut self, now: Instant, key: CallKey, from: Side, request: &Message) -> bool {
        let to = from.other();
        let owed =
            self.calls.get_mut(key).and_then(|call| call.leg_mut(to)).and_then(|leg| leg.owed_ack.take());
        let Some(owed) = owed else { return true };
        match self.carry_sdp(key, from, request, SdpRole::Answer) {
            Ok(Some(body)) => {
                self.send_ack(key, to, owed.client, owed.sequence, Some(&body));
                true
            }
            Ok(None) | Err(_) => {
                self.send_ack(key, to, owed.client, owed.sequence, None);
                self.end_call(now, key, End::new(EndedBy::Sbc, "no usable SDP answer in the ACK"));
                false
            }
        }
    }

    /// Sends the ACK for a 2xx, and keeps it for the 2xx's repetitions.
    pub(super) fn send_ack(
        &mut self,
        key: CallKey,
        side: Side,
        client: ClientId,
        sequence: u32,
        body: Option<&[u8]>,
    ) {
        let Some(hop) = self.leg_hop(key, side) else { return };
        let via = self.mint_via(hop);
        let Some(dialog) =
            self.calls.get(key).and_then(|call| call.leg(side)).and_then(|leg| leg.dialog.as_ref())
        else {
            return;
        };
        let tag = dialog.remote_tag.clone();
        let mut writer = dialog.ack(sequence, &via);
        if let Some(outgoing) = self.clients.get(client) {
            writer = challenge::repeat_credentials(writer, &outgoing.request);
        }
        if let Ok(ack) = writer.finish_with_sdp(body) {
            self.keep_and_send_ack(client, tag, ack, hop);
        }
    }

    fn keep_and_send_ack(&mut self, client: ClientId, tag: Bytes, ack: Message, hop: Hop) {
        self.transactions.send_stateless(&ack, hop, false);
        if let Some(outgoing) = self.clients.get_mut(client) {
            outgoing.acks.push((tag, ack, hop));
        }
    }

    /// A response within a dialog that nobody waits for any more: of an INVITE's, a 2xx needs its ACK.
    pub(super) fn on_unexpected(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message,
        status: Status,
        hop: Hop,
    ) {
        if status.is_success() && self.clients.get(client).is_some_and(Outgoing::is_invite) {
            self.on_stray_success(now, client, response, hop);
        }
    }

    /// A 2xx to an INVITE of ours that nobody waits for: a repetition gets its ACK again; the
    /// answer of another branch of a fork, or of a target that was given up, is ACKed and ended
    /// (§13.2.2.4); that to a re-INVITE is ACKed.
    pub(super) fn on_stray_success(&mut self, now: Instant, client: ClientId, response: &Message, hop: Hop) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let tag = response.to().and_then(|to| to.tag()).unwrap_or(b"");
        if let Some((_, ack, hop)) = outgoing.acks.iter().find(|(known, ..)| known == tag) {
            let (ack, hop) = (ack.clone(), *hop);
            return self.transactions.send_stateless(&ack, hop, true);
        }
        let is_owed = self.calls.get(outgoing.call).is_some_and(|call| {
            [Side::A, Side::B].iter().filter_map(|side| call.leg(*side)).any(|leg| {
                leg.owed_ack.as_ref().is_some_and(|owed| owed.client == client)
                    && leg.dialog.as_ref().is_some_and(|dialog| dialog.remote_tag == tag)
            })
        });
        if !is_owed {
            if outgoing.acks.len() >= MAX_ANSWERS {
                return;
            }
            if outgoing.purpose != Purpose::Setup {
                return self.on_late_success(now, client, response, hop);
            }
            let dialog = Dialog::from_response(&outgoing.request, response, answered_from(outgoing.hop, hop));
            self.ack_and_bye(now, client, dialog);
        }
    }

    /// ACKs the 2xx of the call's leg B and ends that dialog; the call itself is not touched.
    pub(super) fn ack_and_leave(&mut self, now: Instant, client: ClientId) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let dialog =
            self.calls.get(outgoing.call).and_then(|call| call.b.as_ref()).and_then(|leg| leg.dialog.clone());
        if let Some(dialog) = dialog {
            self.ack_and_bye(now, client, dialog);
        }
    }

    fn ack_and_bye(&mut self, now: Instant, client: ClientId, mut dialog: Dialog) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let (key, side) = (outgoing.call, outgoing.side);
        dialog.local_sequence = dialog.local_sequence.max(outgoing.early_sequence);
        let Some(realm) = self.realm_of(outgoing.hop) else { return };
        let hop = self.dialog_hop(realm, outgoing.trunk.as_ref(), &dialog);
        self.ack_within(client, &dialog, None);
        let via = self.mint_via(hop);
        if let Ok(bye) = dialog.request(&Method::Bye, &via).finish() {
            self.send_request(now, key, side, Purpose::Bye, bye, hop);
        }
    }

    /// ACKs the 2xx of an INVITE of ours that opened this dialog, or is of it.
    pub(super) fn ack_within(&mut self, client: ClientId, dialog: &Dialog, body: Option<&[u8]>) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let (request, sequence) = (outgoing.request.clone(), outgoing.sequence());
        let Some(realm) = self.realm_of(outgoing.hop) else { return };
        let hop = self.dialog_hop(realm, outgoing.trunk.as_ref(), dialog);
        let via = self.mint_via(hop);
        let ack = challenge::repeat_credentials(dialog.ack(sequence, &via), &request);
        if let Ok(ack) = ack.finish_with_sdp(body) {
            self.keep_and_send_ack(client, dialog.remote_tag.clone(), ack, hop);
        }
    }

    /// Begins a response within a leg's dialog: our tag, our Contact, what crosses from the
    /// other side's response, and the Record-Route of the request (RFC 3261 §12.1.1).
    pub(super) fn dialog_response(
        &mut self,
        key: CallKey,
        side: Side,
        server: ServerId,
        status: Status,
        from: Option<&Message>,
    ) -> Option<Writer> {
        let call = self.calls.get(key)?;
        let leg = call.leg(side)?;
        let settings = self.snapshots.get(call.snapshot);
        let trunk = settings.trunk_of(leg.trunk.as_ref());
        let rules = header_policy::rules_towards(leg, trunk).into_owned();
        let tag = leg.local_tag.clone();
        let contact = self.contact_towards(key, side)?;
        let mut writer = self.response(server, status, Some(&tag))?;
        let request = self.transactions.request(server).map(|(request, _)| request.clone())?;
        if status.is_success() || (status.is_provisional() && status.code() != 100) {
            writer = writer.copy(&request, Header::RecordRoute).header(Header::Contact, contact);
            writer = capabilities::add_towards(writer, trunk, None);
        }
        if status.is_success() {
            writer = self.answer_session_timer(key, side, &request, writer);
        }
        Some(match from {
            Some(from) => header_policy::add_crossing(writer, from, &rules),
            None => writer,
        })
    }
}
