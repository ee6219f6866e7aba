//! Every end of a call: refusal, CANCEL, BYE, silence, shutdown. Whatever the cause, both legs are
//! ended, the ports go back, the limits are given back and the CDR is written, once.

use bytes::Bytes;

use super::Event;
use super::call::{Call, CallKey, CallTimer, Phase};
use super::call_media::{ClosingMedia, OfferFault};
use super::cdr::{AttemptResult, Cdr, EndedBy};
use super::engine::{Engine, RETRY_AFTER_S};
use super::inbound::{Rejection, invite_key};
use super::outgoing::Purpose;
use super::{Output, header_policy};
use crate::base::Instant;
use crate::media::{MediaCommand, Side};
use crate::sip::{Header, Message, Method, NameAddr, Status};
use crate::transaction::{ClientId, ServerId};

/// The longest Retry-After of a target's that is passed on, in seconds: a caller that believes
/// more shuns us for one trunk's sake.
const MAX_RETRY_AFTER_S: u32 = 300;

/// Retry-After of a 503.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RetryAfter {
    /// [`RETRY_AFTER_S`]: there is nothing for anybody now.
    #[default]
    Ours,
    /// So many seconds, as a target said, or as it is out of use.
    Seconds(u32),
    /// None: only this call failed.
    Unsaid,
}

impl RetryAfter {
    fn seconds(self) -> Option<u32> {
        match self {
            RetryAfter::Ours => Some(RETRY_AFTER_S),
            RetryAfter::Seconds(seconds) => Some(seconds.min(MAX_RETRY_AFTER_S)),
            RetryAfter::Unsaid => None,
        }
    }
}

/// How and why a call ends.
pub(super) struct End {
    by: EndedBy,
    cause: String,
    /// What an INVITE that is still open is answered.
    refusal: Status,
    /// The side that said BYE, and needs none.
    gone: Option<Side>,
    /// Retry-After of the refusal.
    pub(super) retry_after: RetryAfter,
    /// Reason for BYE, CANCEL and the refusal (RFC 3326).
    pub(super) reason: Option<Vec<u8>>,
    /// Contacts of a refusal that redirects.
    pub(super) contacts: Vec<String>,
}

impl End {
    pub(super) fn new(by: EndedBy, cause: &str) -> End {
        let refusal = Status::of(503);
        let (cause, contacts) = (cause.to_owned(), Vec::new());
        End { by, cause, refusal, gone: None, retry_after: RetryAfter::Ours, reason: None, contacts }
    }

    /// With this answer to an INVITE that is still open.
    pub(super) fn refusing(self, refusal: Status) -> End {
        End { refusal, ..self }
    }

    /// This side needs no BYE: it said so itself, or does not know the dialog any more.
    pub(super) fn without(self, gone: Side) -> End {
        End { gone: Some(gone), ..self }
    }
}

impl Engine {
    /// CANCEL (RFC 3261 §9.2): 200 to it, 487 to its INVITE, and leg B is cancelled too.
    pub(super) fn on_cancel(
        &mut self,
        now: Instant,
        server: ServerId,
        invite: Option<ServerId>,
        request: &Message,
    ) {
        let Some(invite) = invite else { return self.respond_simply(now, server, Status::of(481)) };
        let key = self.servers.get(invite).copied();
        let Some((key, call)) = key.and_then(|key| Some((key, self.calls.get(key)?))) else {
            return self.respond_simply(now, server, Status::of(200));
        };
        let tag = call.a.local_tag.clone();
        let opens_call = call.phase == Phase::Setup && call.a.incoming == Some(invite);
        let writer = self.response(server, Status::of(200), Some(&tag));
        self.send_response(now, server, writer);
        if opens_call {
            let mut end = End::new(EndedBy::Caller, "CANCEL").refusing(Status::of(487));
            end.reason = header_policy::safe_reason(request);
            self.end_call(now, key, end);
        } else {
            self.cancel_relay(now, key, invite);
        }
    }

    /// BYE on a leg: the other leg is ended too.
    pub(super) fn on_bye(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) {
        self.respond_in_dialog(now, key, side, server, Status::of(200));
        if self.transferor_left(now, key, side) {
            return;
        }
        let Some(call) = self.calls.get(key) else { return };
        let (by, cause) = match side {
            Side::A => (EndedBy::Caller, "BYE from the caller"),
            Side::B => (EndedBy::Callee, "BYE from the callee"),
        };
        // Only a caller may end a call that is not answered with BYE (RFC 3261 §15.1.1); of a
        // callee's leg the final response to the INVITE is still to come and decides.
        if call.phase == Phase::Setup && side == Side::B && !call.reliable.holds_success() {
            return;
        }
        let mut end = End::new(by, cause).refusing(Status::of(487)).without(side);
        end.reason = header_policy::safe_reason(request);
        self.end_call(now, key, end);
    }

    /// RFC 3261 §13.3.1: "If the invitation expires before the UAS has generated a final response, a
    /// 487 (Request Terminated) response SHOULD be generated."
    pub(super) fn on_invite_expired(&mut self, now: Instant, key: CallKey) {
        if self.calls.get(key).is_some_and(|call| call.phase == Phase::Setup) {
            let end = End::new(EndedBy::Caller, "the caller's INVITE expired");
            self.end_call(now, key, end.refusing(Status::of(487)));
        }
    }

    /// BYE on a leg of a call that is over: what we still owed this side (our BYE, that waited for
    /// its ACK, and the 2xx until then) it does not want any more.
    pub(super) fn on_late_bye(&mut self, now: Instant, key: CallKey, side: Side, server: ServerId) {
        self.respond_in_dialog(now, key, side, server, Status::of(200));
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) {
            leg.unacked = None;
            leg.bye_when_acked = None;
        }
        self.disarm(key, CallTimer::Unacked(side));
        self.finish_if_done(key);
    }

    /// Ends a call that no target took.
    pub(super) fn reject_call(&mut self, now: Instant, key: CallKey, rejection: Rejection) {
        let mut end = End::new(EndedBy::Sbc, &rejection.cause).refusing(rejection.status);
        end.retry_after = self.calls.get(key).map(|call| call.plan.retry_after).unwrap_or_default();
        self.end_call(now, key, end);
    }

    /// Takes no new calls and ends those in progress.
    pub(super) fn shut_down(&mut self, now: Instant) {
        (self.draining, self.is_closed) = (true, true);
        self.stop_probes();
        self.stop_registrations(now);
        let keys: Vec<CallKey> = self.calls.keys().collect();
        for key in keys {
            self.end_call(now, key, End::new(EndedBy::Sbc, "shutdown"));
        }
    }

    /// Ends what [`Engine::shut_down`] left waiting.
    pub(super) fn abandon(&mut self, now: Instant) {
        self.shut_down(now);
        let keys: Vec<CallKey> = self.calls.keys().collect();
        for key in keys {
            self.bye_after_ack(now, key, Side::A);
            self.bye_after_ack(now, key, Side::B);
            if let Some(call) = self.calls.get_mut(key) {
                call.media.report.get_or_insert_default();
            }
            self.finish_if_done(key);
        }
    }

    /// Ends both legs; nothing happens if the call is over already.
    pub(super) fn end_call(&mut self, now: Instant, key: CallKey, end: End) {
        if let Some(of) = self.replaced_by(key) {
            self.undo_replacement(now, of, end.refusal);
            return;
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        let before = std::mem::replace(&mut call.phase, Phase::Over);
        if before == Phase::Over {
            return;
        }
        call.record.end = Some(now);
        call.record.ended_by = end.by;
        call.record.cause = end.cause.clone();
        // An ACK is still waited for.
        let waits_for_ack = |timer: &CallTimer| matches!(timer, CallTimer::Unacked(_));
        let armed: Vec<CallTimer> =
            call.timers.keys().copied().filter(|timer| !waits_for_ack(timer)).collect();
        for timer in armed {
            self.disarm(key, timer);
        }
        self.give_transfer_up(now, key);
        self.end_relays(now, key);
        self.end_refreshes(now, key);
        match before {
            Phase::Setup => {
                self.stop_counting_setup(key);
                self.end_setup(now, key, &end);
                // Of a target that had let the call in and got no INVITE (its ports were being opened).
                self.judge_attempt(now, key, AttemptResult::Cancelled);
                self.refuse_caller(now, key, &end);
            }
            Phase::Answered => {
                self.leave_leg(now, key, Side::A, &end);
                self.leave_leg(now, key, Side::B, &end);
            }
            Phase::Over => {}
        }
        self.report_errand(now, key);
        self.close_media(key);
        self.stop_counting(key);
        self.finish_if_done(key);
    }

    /// The caller's INVITE gets its final answer.
    fn refuse_caller(&mut self, now: Instant, key: CallKey, end: &End) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.record.status = end.refusal.code();
        let (server, tag) = (call.a.incoming.take(), call.a.local_tag.clone());
        let fault = OfferFault::of(&call.invite);
        let Some(server) = server else { return };
        let Some(mut writer) = self.response(server, end.refusal, Some(&tag)) else { return };
        if let Some(reason) = &end.reason {
            writer = writer.header(Header::Reason, reason);
        }
        for contact in &end.contacts {
            writer = writer.header(Header::Contact, contact);
        }
        if end.refusal.code() == 415 {
            writer = writer.header(Header::Accept, "application/sdp");
        }
        if end.refusal.code() == 488
            && let Some(fault) = fault
        {
            writer = writer.header(Header::Warning, fault.warning());
        }
        if end.refusal.code() == 503
            && let Some(seconds) = end.retry_after.seconds()
        {
            writer = writer.display(Header::RetryAfter, seconds);
        }
        self.send_response(now, server, Some(writer));
    }

    /// Leg B is cancelled; what it still answers is ACKed and ended by `acks.rs`.
    fn end_setup(&mut self, now: Instant, key: CallKey, end: &End) {
        if self.drop_held_success(key) && end.gone != Some(Side::B) {
            return self.send_bye(now, key, Side::B, end.reason.as_deref());
        }
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.b.as_mut()) else { return };
        let Some(client) = leg.outgoing.take() else { return };
        self.note_attempt(now, key, AttemptResult::Cancelled);
        if self.calls.get(key).is_some_and(|call| call.media.parked_late_offer() == Some(client)) {
            return self.ack_and_leave(now, client);
        }
        self.transactions.cancel(now, client, end.reason.as_deref());
    }

    /// Ends an answered leg: what it asked is refused, what it is owed is paid, and it gets BYE,
    /// if need be when its ACK has come (RFC 3261 §15).
    fn leave_leg(&mut self, now: Instant, key: CallKey, side: Side, end: &End) {
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) else { return };
        let pending = [leg.incoming.take(), leg.deferred.take().map(|(server, _)| server)];
        let owed = leg.owed_ack.take();
        leg.outgoing = None;
        let waits_for_ack = leg.unacked.is_some() && end.gone != Some(side);
        leg.bye_when_acked = waits_for_ack.then(|| end.reason.clone().unwrap_or_default());
        if end.gone == Some(side) {
            leg.unacked = None;
            self.disarm(key, CallTimer::Unacked(side));
        }
        for server in pending.into_iter().flatten() {
            self.respond_in_dialog(now, key, side, server, Status::of(487));
        }
        if let Some(owed) = owed {
            self.send_ack(key, side, owed.client, owed.sequence, None);
        }
        if end.gone != Some(side) && !waits_for_ack {
            self.send_bye(now, key, side, end.reason.as_deref());
        }
    }

    /// The ACK that a BYE waited for has come, or never will.
    pub(super) fn bye_after_ack(&mut self, now: Instant, key: CallKey, side: Side) {
        let reason = self
            .calls
            .get_mut(key)
            .and_then(|call| call.leg_mut(side))
            .and_then(|leg| leg.bye_when_acked.take());
        if let Some(reason) = reason {
            self.send_bye(
                now,
                key,
                side,
                Some(&reason).filter(|reason| !reason.is_empty()).map(Vec::as_slice),
            );
            self.finish_if_done(key);
        }
    }

    /// BYE on a leg.
    pub(super) fn send_bye(&mut self, now: Instant, key: CallKey, side: Side, reason: Option<&[u8]>) {
        let Some(hop) = self.leg_hop(key, side) else { return };
        let via = self.mint_via(hop);
        let dialog =
            self.calls.get_mut(key).and_then(|call| call.leg_mut(side)).and_then(|leg| leg.dialog.as_mut());
        let Some(dialog) = dialog else { return };
        let mut writer = dialog.request(&Method::Bye, &via);
        if let Some(reason) = reason {
            writer = writer.header(Header::Reason, reason);
        }
        if let Ok(bye) = writer.finish() {
            self.send_request(now, key, side, Purpose::Bye, bye, hop);
        }
    }

    /// Remembers a BYE of ours.
    pub(super) fn note_bye(&mut self, client: ClientId, bye: &Message) {
        self.byes.insert(dialog_key(bye, bye.from(), bye.to()), client);
    }

    /// Its transaction is gone.
    pub(super) fn forget_bye(&mut self, client: ClientId, request: &Message) {
        let key = dialog_key(request, request.from(), request.to());
        if self.byes.get(&key) == Some(&client) {
            self.byes.remove(&key);
        }
    }

    /// Whether this is a BYE that crossed ours: its dialog is known until ours is done with, and
    /// the BYE is answered 200 (RFC 5407 §3.2.1).
    pub(super) fn crosses_our_bye(&self, request: &Message) -> bool {
        request.method() == Some(&Method::Bye)
            && self.byes.contains_key(&dialog_key(request, request.to(), request.from()))
    }

    /// The relay closes the call's ports and says what it measured.
    fn close_media(&mut self, key: CallKey) {
        self.close_tails(key);
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(session) = call.media.id else { return };
        let pairs = call.media.take_ports();
        self.media_sessions.remove(&session);
        self.closing_media.insert(session, ClosingMedia { pairs, call: Some(key) });
        self.outputs.push_back(Output::Media(MediaCommand::Close { session }));
    }

    fn stop_counting(&mut self, key: CallKey) {
        self.leave_egress_trunk(key);
        let Some(call) = self.calls.get_mut(key) else { return };
        let (trunk, counted) = (call.a.trunk.clone(), call.plan.ingress_counted.take());
        let invite = invite_key(&call.invite);
        if std::mem::take(&mut call.plan.node_counted) {
            self.router.limits().end_on_node();
        }
        if let Some(trunk) = counted {
            self.router.limits().end(&trunk);
        }
        self.invites.remove(&invite);
        self.event(Event::CallEnded { trunk });
    }

    fn stop_counting_setup(&mut self, key: CallKey) {
        // An errand of a transfer came from nobody.
        if let Some(call) = self.calls.get(key).filter(|call| !call.has_no_record) {
            self.setups.end((call.a.realm, call.record.remote.ip()), &call.invite);
        }
    }

    /// Forgets the call and writes its record, once nothing of it is under way.
    pub(super) fn finish_if_done(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let waits = [Side::A, Side::B]
            .iter()
            .filter_map(|side| call.leg(*side))
            .any(|leg| leg.bye_when_acked.is_some());
        let closes = call.media.id.is_some() && call.media.report.is_none();
        if call.phase != Phase::Over || waits || closes {
            return;
        }
        let Some(call) = self.calls.remove(key) else { return };
        for timer in call.timers.values() {
            self.timers.disarm(*timer);
        }
        self.dialogs.remove(&call.a.local_tag);
        for tag in &call.tags_b {
            self.dialogs.remove(tag);
        }
        let page = (!call.has_no_record).then(|| self.write_page(&call));
        self.snapshots.release(call.snapshot);
        let ladder = call.ladder;
        if let Some(page) = page {
            let record = Box::new(record_of(&call));
            self.keep_ended(page, ladder, &record);
            self.outputs.push_back(Output::Cdr(record));
        } else {
            self.ladders.hand_over(ladder, call.invite.call_id());
        }
        self.release_peers();
    }
}

impl Engine {
    /// What the record of an open call would say, for a process that ends without warning.
    pub(super) fn tell_open_call(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get(key).filter(|call| !call.has_no_record) {
            self.outputs.push_back(Output::OpenCall(Box::new(record_of(call))));
        }
    }
}

/// A dialog's Call-ID, our tag and the peer's.
fn dialog_key(message: &Message, local: Option<NameAddr<'_>>, remote: Option<NameAddr<'_>>) -> Bytes {
    let [local, remote] = [local, remote].map(|address| address.and_then(|it| it.tag()).unwrap_or(b""));
    Bytes::from([message.call_id(), b"\n", local, b"\n", remote].concat())
}

fn record_of(call: &Call) -> Cdr {
    let record = &call.record;
    let (ingress, egress) = record.first_legs.clone().unwrap_or_else(|| call.legs_for_record());
    Cdr {
        start: record.start,
        ring: record.ring,
        answer: record.answer,
        end: record.end.unwrap_or(record.start),
        from_e164: call.numbers.caller.e164().map(str::to_owned),
        to_e164: call.numbers.called.e164().map(str::to_owned),
        redirected_to: call.plan.redirection.called().map(|number| number.as_str().to_owned()),
        from: call.numbers.from_received.clone(),
        to: call.numbers.called_received.clone(),
        ingress,
        egress,
        transfers: record.transfers.clone(),
        attempts: record.attempts.clone(),
        status: record.status,
        ended_by: record.ended_by,
        cause: record.cause.clone(),
        codec: record.codec.clone(),
        media: call.media.report.clone(),
        id: call.id.clone(),
    }
}
