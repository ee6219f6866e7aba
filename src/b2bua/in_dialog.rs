//! What happens within a dialog: re-INVITE, UPDATE with an offer, INFO, OPTIONS, MESSAGE (RFC 3428) and
//! NOTIFY (of nobody's subscription, as gateways tell DTMF by it) are carried to the other leg as
//! requests of its own dialog, and their answers back.

use super::call::{CallKey, CallTimer, OwedAck, Phase};
use super::call_media::{MediaReady, Parked, SdpRole};
use super::cdr::EndedBy;
use super::ending::End;
use super::engine::Engine;
use super::outgoing::{Outgoing, Purpose};
use super::{bodies, capabilities, header_policy, transfer};
use crate::base::{Hop, Instant};
use crate::dialog::ends_call;
use crate::dialog::session_timer::Role;
use crate::media::Side;
use crate::sip::{Header, Message, Method, Status, Writer};
use crate::transaction::{ClientEnd, ClientId, ServerId};

/// How long a peer waits that sends a second INVITE before the first is answered, at most
/// (RFC 3261 §14.2).
const MAX_RETRY_AFTER_S: u32 = 10;

/// The most requests of a call that wait for the other side at once.
const MAX_RELAYS: usize = 16;

impl Engine {
    /// The leg that a message is of, by Call-ID, tags and realm (RFC 3261 §12.2.2).
    pub(super) fn find_dialog(&self, message: &Message, hop: Hop) -> Option<(CallKey, Side)> {
        let (local, remote) = (message.to()?.tag()?, message.from()?.tag().unwrap_or(b""));
        let (key, side) = *self.dialogs.get(local)?;
        let leg = self.calls.get(key)?.leg(side)?;
        let matches = leg.has_dialog(message.call_id(), local, remote);
        (matches && self.realm_of(hop) == Some(leg.realm)).then_some((key, side))
    }

    /// A request with a To tag.
    pub(super) fn on_in_dialog_request(
        &mut self,
        now: Instant,
        server: ServerId,
        request: Message,
        hop: Hop,
    ) {
        let Some((key, side)) = self.find_dialog(&request, hop) else {
            let status = Status::of(if self.crosses_our_bye(&request) { 200 } else { 481 });
            return self.respond_simply(now, server, status);
        };
        let Some(call) = self.calls.get_mut(key) else { return };
        let phase = call.phase;
        let sequence = request.cseq().map_or(0, |cseq| cseq.number);
        if let (Some(leg), Some(tag)) = (call.leg_mut(side), request.from().and_then(|from| from.tag())) {
            leg.turn_to(tag);
        }
        let dialog = call.leg_mut(side).and_then(|leg| leg.dialog.as_mut());
        if dialog.is_some_and(|dialog| dialog.take_sequence(sequence).is_err()) {
            return self.respond_in_dialog(now, key, side, server, Status::of(500));
        }
        if let Some(dialog) =
            self.calls.get_mut(key).and_then(|call| call.leg_mut(side)).and_then(|leg| leg.dialog.as_mut())
        {
            dialog.saw(hop);
        }
        match (request.method(), phase) {
            (Some(Method::Bye), Phase::Over) => self.on_late_bye(now, key, side, server),
            (Some(Method::Prack), _) if capabilities::unsupported(&request).is_none() => {
                self.on_prack(now, key, side, server, &request);
            }
            (_, Phase::Over) => self.respond_in_dialog(now, key, side, server, Status::of(481)),
            (Some(Method::Bye), _) => self.on_bye(now, key, side, server, &request),
            _ if capabilities::unsupported(&request).is_some() => {
                self.refuse_required(now, key, side, server, &request)
            }
            _ if self.refuse_short_session(now, key, side, server, &request) => {}
            _ if let Some(fault) = self.body_fault(key, side, &request) => {
                self.refuse_for_body(now, key, side, server, fault);
            }
            (Some(Method::Invite), _) => self.on_reinvite(now, key, side, server, request),
            (Some(Method::Update), _) => self.on_update(now, key, side, server, &request),
            (Some(Method::Refer), _) => self.on_refer(now, key, side, server, &request),
            (Some(Method::Notify), _) if transfer::is_refer_event(&request) => {
                self.on_refer_notify(now, key, side, server, &request)
            }
            (Some(Method::Options), Phase::Setup) => self.answer_options(now, key, side, server),
            (Some(Method::Info), _) if self.press_instead(now, key, side, server, &request) => {}
            (Some(Method::Info | Method::Options | Method::Message | Method::Notify), _) => {
                self.relay_request(now, key, side, server, &request)
            }
            _ => self.respond_in_dialog(now, key, side, server, Status::of(405)),
        }
    }

    /// OPTIONS asks whether the call lives. Until it is answered there is only us to say so.
    fn answer_options(&mut self, now: Instant, key: CallKey, side: Side, server: ServerId) {
        let writer = self.dialog_response(key, side, server, Status::of(200), None);
        self.send_response(now, server, writer.map(capabilities::add_bodies));
    }

    /// RFC 3261 §14.2, and what a second leg adds to it.
    fn on_reinvite(&mut self, now: Instant, key: CallKey, side: Side, server: ServerId, request: Message) {
        // A CANCEL may come for it, wherever it waits.
        self.servers.insert(server, key);
        let is_mere_refresh = self.is_mere_refresh(key, side, &request);
        let Some(call) = self.calls.get_mut(key) else { return };
        let offered_by = call.media.offered_by();
        let other_is_busy =
            call.leg(side.other()).is_none_or(|leg| leg.awaits_ack() || leg.is_refreshed_by_offer());
        let is_setup = call.phase == Phase::Setup;
        let Some(leg) = call.leg_mut(side) else { return };
        let is_glare = leg.outgoing.is_some() || offered_by == Some(side.other());
        if is_glare || leg.owed_ack.is_some() {
            return self.respond_in_dialog(now, key, side, server, Status::of(491));
        }
        if leg.incoming.is_some() || leg.deferred.is_some() || offered_by == Some(side) || is_setup {
            return self.respond_retry_later(now, key, side, server);
        }
        if is_mere_refresh && leg.unacked.is_none() {
            return self.answer_mere_refresh(now, key, side, server, &request);
        }
        if other_is_busy || leg.unacked.is_some() {
            // A side has not ACKed yet (its ACK may be lost, or overtaken; RFC 5407 §3.1.4), or the
            // other is being refreshed: this waits rather than being refused for ever.
            leg.deferred = Some((server, request));
            return;
        }
        leg.incoming = Some(server);
        self.relay_request(now, key, side, server, &request);
    }

    /// A side has ACKed, or its refresh is done: a re-INVITE of this one may go on.
    pub(super) fn resume_deferred(&mut self, now: Instant, key: CallKey, side: Side) {
        let leg = self.calls.get_mut(key).and_then(|call| call.leg_mut(side));
        if let Some((server, request)) = leg.and_then(|leg| leg.deferred.take()) {
            self.on_reinvite(now, key, side, server, request);
        }
    }

    /// Ports are open for a request that waited for them: unless it was cancelled meanwhile, it
    /// goes on.
    pub(super) fn resume_relay(
        &mut self,
        now: Instant,
        key: CallKey,
        from: Side,
        server: ServerId,
        request: &Message,
    ) {
        let leg = self.calls.get(key).and_then(|call| call.leg(from));
        let still_waits = leg.is_some_and(|leg| leg.incoming == Some(server));
        if still_waits || request.method() != Some(&Method::Invite) {
            self.relay_request(now, key, from, server, request);
        }
    }

    /// Carries a request to the other leg.
    pub(super) fn relay_request(
        &mut self,
        now: Instant,
        key: CallKey,
        from: Side,
        server: ServerId,
        request: &Message,
    ) {
        let to = from.other();
        if !is_session(request) && request.has_sdp() {
            // SDP means something in an offer or answer only; elsewhere it would cross unread.
            return self.respond_in_dialog(now, key, from, server, Status::of(415));
        }
        if self.calls.get(key).is_some_and(|call| call.relays.len() >= MAX_RELAYS) {
            return self.respond_retry_later(now, key, from, server);
        }
        let is_answered = self.calls.get(key).is_some_and(|call| {
            call.leg(to).is_some_and(|leg| leg.dialog.is_some())
                && (call.phase == Phase::Answered || to == Side::B || call.reliable.was_acknowledged)
        });
        if !is_answered || self.is_out_of_reach(key, to) {
            // The other side cannot be asked yet.
            return self.respond_in_dialog(now, key, from, server, Status::of(491));
        }
        let Some(method) = self.method_towards(key, to, request) else {
            return self.respond_in_dialog(now, key, from, server, Status::of(491));
        };
        if carries_offer(request) {
            if self.calls.get(key).is_some_and(|call| call.media.is_opening()) {
                // Another offer waits for its ports.
                return self.respond_in_dialog(now, key, from, server, Status::of(491));
            }
            let parked = Parked::Relay { from, server, request: request.clone() };
            match self.prepare_offer(now, key, from, request, parked) {
                MediaReady::Now => {}
                MediaReady::Later => return,
                MediaReady::Never => return self.respond_in_dialog(now, key, from, server, Status::of(503)),
            }
        }
        match self.write_relayed(key, from, request, &method) {
            Ok((relayed, hop)) => {
                self.note_early_sequence(key, to, relayed.cseq().map_or(0, |cseq| cseq.number));
                let client = self.send_request(now, key, to, Purpose::Relay { server }, relayed, hop);
                self.note_relay(now, key, from, server, client);
            }
            Err(status) => {
                if carries_offer(request) {
                    self.drop_offer(key);
                }
                self.respond_in_dialog(now, key, from, server, status);
            }
        }
    }

    /// A request with this CSeq went out in a dialog of an INVITE of ours that is not answered yet.
    pub(super) fn note_early_sequence(&mut self, key: CallKey, to: Side, sequence: u32) {
        let leg = self.calls.get(key).and_then(|call| call.leg(to));
        let invite = leg.and_then(|leg| leg.outgoing);
        if let Some(invite) = invite.and_then(|client| self.clients.get_mut(client)) {
            invite.early_sequence = invite.early_sequence.max(sequence);
        }
    }

    fn note_relay(&mut self, now: Instant, key: CallKey, from: Side, server: ServerId, client: ClientId) {
        let (asked, sends) = (self.is_invite(server), self.clients.get(client).map(Outgoing::is_invite));
        let Some(call) = self.calls.get_mut(key) else { return };
        call.relays.push(client);
        if asked && let Some(leg) = call.leg_mut(from) {
            leg.incoming = Some(server);
        }
        if sends == Some(true) {
            self.await_reinvite(now, key, from.other(), client);
        }
    }

    /// Whether a side waits for the answer to an offer in PRACK.
    fn is_prack(&self, server: ServerId) -> bool {
        self.transactions.request(server).is_some_and(|(request, _)| request.method() == Some(&Method::Prack))
    }

    /// Whether a side waits for the answer to an INVITE, not to another request that became one.
    fn is_invite(&self, server: ServerId) -> bool {
        self.transactions
            .request(server)
            .is_some_and(|(request, _)| request.method() == Some(&Method::Invite))
    }

    /// The same request, as one of the other leg's dialog.
    fn write_relayed(
        &mut self,
        key: CallKey,
        from: Side,
        request: &Message,
        method: &Method,
    ) -> Result<(Message, Hop), Status> {
        let to = from.other();
        let gone = Status::of(481);
        let is_session = is_session(request);
        let sdp = if is_session { self.carry_sdp(key, from, request, SdpRole::Offer)? } else { None };
        let hop = self.leg_hop(key, to).ok_or(gone)?;
        let policy = self.session_policy(key, to);
        let (via, contact) = (self.mint_via(hop), self.contact_towards(key, to).ok_or(gone)?);
        let call = self.calls.get_mut(key).ok_or(gone)?;
        let settings = self.snapshots.get(call.snapshot);
        if is_session
            && request.method() != Some(&Method::Prack)
            && let Some(leg) = call.leg_mut(from)
        {
            leg.peer.learn(request);
            if let Some(dialog) = &mut leg.dialog {
                dialog.refresh_target(request);
            }
        }
        let is_answered = call.phase == Phase::Answered;
        let is_for_help = to == Side::B && call.is_emergency();
        let leg = call.leg_mut(to).ok_or(gone)?;
        let trunk = settings.trunk_of(leg.trunk.as_ref());
        let rules = header_policy::rules_towards(leg, trunk);
        let body_rules = bodies::rules_of(trunk, is_for_help);
        let dialog = leg.dialog.as_mut().ok_or(gone)?;
        let mut writer = dialog.request(method, &via);
        if is_session {
            // Of a re-INVITE nobody waits for a provisional response.
            let withheld = capabilities::RELIABLE;
            writer = writer.header(Header::Contact, contact);
            writer = capabilities::add_towards(writer, trunk, Some(withheld));
        }
        if is_session && is_answered {
            writer = leg.session_timer.ask(writer, policy);
        }
        writer = header_policy::add_crossing(writer, request, &rules);
        if is_for_help {
            writer = header_policy::add_location(writer, request, &rules);
        }
        let relayed = bodies::finish(writer, sdp.as_deref(), request, &body_rules);
        relayed.map(|message| (message, hop)).map_err(|_| Status::of(513))
    }

    /// A response to a request that was carried over.
    pub(super) fn on_relayed_response(
        &mut self,
        now: Instant,
        client: ClientId,
        server: ServerId,
        response: &Message,
        status: Status,
    ) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let (key, to) = (outgoing.call, outgoing.side);
        let (is_invite, is_early) = (outgoing.is_invite(), self.is_early(outgoing));
        let is_update = outgoing.request.method() == Some(&Method::Update);
        // RFC 5057 §5.1: to a NOTIFY, 481 says that there is no such subscription, not that there is no call.
        let is_notify = outgoing.request.method() == Some(&Method::Notify);
        let offered = outgoing.carries_offer();
        let (method, request) = (outgoing.request.method().cloned(), outgoing.request.clone());
        self.forget_relay(key, client, to);
        if method == Some(Method::Refer) {
            self.on_refer_answered(key, &request, status);
        }
        let is_answered = status.is_success() && response.has_sdp();
        if offered && !is_answered {
            // What was in force before still is, and the next offer is free to come.
            self.drop_offer(key);
        }
        if status.is_success() && (is_invite || is_update) {
            self.refresh_leg(key, to, response);
            self.begin_session_interval(now, key, to, Role::Uac, response);
        }
        if offered && is_answered {
            self.note_exchange(key, to, server, response);
        }
        match (is_invite, status.is_success()) {
            (true, true) => self.on_reinvite_success(now, key, to, client, server, response),
            (true, false) if self.undo_replacement(now, key, shown_in_dialog(status)) => {}
            _ => self.pass_relayed_response(now, key, to, server, response, is_update),
        }
        if ends_call(status, is_notify) && !is_early {
            // RFC 3261 §12.2.1.2: that side does not know the dialog any more, or cannot be reached in it.
            let end = End::new(EndedBy::Sbc, "one side does not know the call any more");
            self.end_call(now, key, if status.code() == 481 { end.without(to) } else { end });
        }
    }

    /// A re-INVITE was accepted: ACK (now, or when the answer to a late offer comes), and 200 to
    /// the side that asked.
    fn on_reinvite_success(
        &mut self,
        now: Instant,
        key: CallKey,
        to: Side,
        client: ClientId,
        server: ServerId,
        response: &Message,
    ) {
        self.finish_replacement(now, key);
        let Some(outgoing) = self.clients.get(client) else { return };
        let (sequence, offered) = (outgoing.sequence(), outgoing.request.has_sdp());
        let role = if offered { SdpRole::Answer } else { SdpRole::Offer };
        let body = self.carry_sdp(key, to, response, role);
        let from = to.other();
        let Ok(Some(body)) = body else {
            self.send_ack(key, to, client, sequence, None);
            self.respond_in_dialog(now, key, from, server, Status::of(500));
            return self.end_call(now, key, End::new(EndedBy::Sbc, "unusable SDP in the 2xx to a re-INVITE"));
        };
        if offered {
            self.send_ack(key, to, client, sequence, None);
        } else if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(to)) {
            leg.owed_ack = Some(OwedAck { client, sequence });
        }
        let writer = self.dialog_response(key, from, server, Status::of(200), Some(response));
        let rules = self.body_rules(key, from);
        match writer.map(|writer| bodies::finish(writer, Some(&body), response, &rules)) {
            Some(Ok(answer)) if self.is_invite(server) => self.send_success(now, key, from, server, answer),
            Some(Ok(answer)) => {
                self.begin_session_interval(now, key, from, Role::Uas, &answer);
                self.transactions.respond(now, server, answer);
            }
            Some(Err(_)) | None => {
                self.respond_in_dialog(now, key, from, server, Status::of(500));
                self.end_call(now, key, End::new(EndedBy::Sbc, "the answer to a re-INVITE fits no datagram"));
            }
        }
    }

    /// Any other final response goes back as it is, without what belongs to its leg.
    fn pass_relayed_response(
        &mut self,
        now: Instant,
        key: CallKey,
        to: Side,
        server: ServerId,
        response: &Message,
        is_update: bool,
    ) {
        let Some(status) = response.status() else { return };
        let shown = shown_in_dialog(status);
        let sdp = if is_update && status.is_success() {
            self.carry_sdp(key, to, response, SdpRole::Answer).unwrap_or_else(|_| {
                self.drop_offer(key);
                None
            })
        } else {
            None
        };
        let Some(writer) = self.dialog_response(key, to.other(), server, shown, Some(response)) else {
            return;
        };
        let rules = self.body_rules(key, to.other());
        let passed = match sdp {
            // The text of a failure may name the other side.
            None if !status.is_success() => self.explain_failure(writer, server, shown).finish(),
            sdp => bodies::finish(writer, sdp.as_deref(), response, &rules),
        };
        match passed {
            Ok(passed) => {
                if is_update && status.is_success() && !self.is_prack(server) {
                    self.begin_session_interval(now, key, to.other(), Role::Uas, &passed);
                }
                self.transactions.respond(now, server, passed);
            }
            Err(_) => self.respond_in_dialog(now, key, to.other(), server, Status::of(500)),
        }
    }

    /// What a failure of the other side's must say, in our words.
    fn explain_failure(&self, writer: Writer, server: ServerId, shown: Status) -> Writer {
        let method = self.transactions.request(server).and_then(|(request, _)| request.method());
        match shown.code() {
            405 => capabilities::add_refusing(writer, method),
            415 => writer.header(Header::Accept, "application/sdp"),
            489 => writer.header(Header::AllowEvents, "refer"),
            _ => writer,
        }
    }

    /// The other side never answered a request that was carried over: it is gone. A connection that
    /// broke says nothing of the kind (RFC 3261 §8.1.3.1, §12.2.1.2): the call goes on.
    pub(super) fn on_relay_ended(
        &mut self,
        now: Instant,
        client: ClientId,
        server: ServerId,
        why: ClientEnd,
    ) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let (key, to) = (outgoing.call, outgoing.side);
        let (offered, is_early) = (outgoing.carries_offer(), self.is_early(outgoing));
        let is_notify = outgoing.request.method() == Some(&Method::Notify);
        self.forget_relay(key, client, to);
        if offered {
            self.drop_offer(key);
        }
        let is_unsent = why == ClientEnd::Transport;
        let status = Status::of(if is_unsent { 503 } else { 408 });
        if !self.undo_replacement(now, key, status) {
            self.respond_in_dialog(now, key, to.other(), server, status);
        }
        if is_unsent || is_early || is_notify {
            return;
        }
        self.end_call(now, key, End::new(EndedBy::Sbc, "one side does not answer within the call any more"));
    }

    /// Whether a request of ours went out in a dialog of leg B before that has answered: a branch may
    /// be gone, and the INVITE's own answer decides what becomes of the call.
    fn is_early(&self, outgoing: &Outgoing) -> bool {
        outgoing.side == Side::B
            && self.calls.get(outgoing.call).is_some_and(|call| call.phase == Phase::Setup)
    }

    /// An offer was answered: what leg B said in this exchange is its last word.
    fn note_exchange(&mut self, key: CallKey, to: Side, server: ServerId, response: &Message) {
        if let Some(call) = self.calls.get_mut(key) {
            call.reliable.misaligned = None;
        }
        if to == Side::B {
            let tag = response.to().and_then(|to| to.tag()).unwrap_or(b"");
            return self.note_said(key, tag, response, false);
        }
        let Some(request) = self.transactions.request(server).map(|(request, _)| request.clone()) else {
            return;
        };
        let tag = request.from().and_then(|from| from.tag()).unwrap_or(b"");
        self.note_said(key, tag, &request, false);
    }

    pub(super) fn forget_relay(&mut self, key: CallKey, client: ClientId, to: Side) {
        if self.calls.get(key).and_then(|call| call.leg(to)).is_some_and(|leg| leg.outgoing == Some(client)) {
            self.disarm(key, CallTimer::Reinvite(to));
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        call.relays.retain(|known| *known != client);
        if let Some(leg) = call.leg_mut(to)
            && leg.outgoing == Some(client)
        {
            leg.outgoing = None;
            if let Some(leg) = call.leg_mut(to.other()) {
                leg.incoming = None;
            }
        }
    }

    /// Takes what a peer's message says of it: a target refresh request, or a 2xx to ours.
    pub(super) fn refresh_leg(&mut self, key: CallKey, side: Side, message: &Message) {
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) else { return };
        leg.peer.learn(message);
        let peer = if message.status().is_some() { message.to() } else { message.from() };
        let tag = peer.and_then(|peer| peer.tag()).unwrap_or(b"");
        if let Some(dialog) = leg.dialog_with(tag) {
            dialog.refresh_target(message);
        }
    }

    /// CANCEL of a re-INVITE: the other leg's is cancelled, and its 487 comes back by itself.
    pub(super) fn cancel_relay(&mut self, now: Instant, key: CallKey, invite: ServerId) {
        let Some(call) = self.calls.get(key) else { return };
        let carries_it =
            |client: &ClientId| self.clients.get(*client).is_some_and(|sent| sent.is_relay_of(invite));
        if let Some(client) = call.relays.iter().copied().find(carries_it) {
            return self.transactions.cancel(now, client, None);
        }
        for side in [Side::A, Side::B] {
            self.cancel_waiting(now, key, side, invite);
        }
    }

    /// CANCEL of a re-INVITE that was not carried over yet: it waits for the other side's ACK, or
    /// for ports.
    fn cancel_waiting(&mut self, now: Instant, key: CallKey, side: Side, invite: ServerId) {
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) else { return };
        let is_deferred = leg.deferred.as_ref().is_some_and(|(server, _)| *server == invite);
        if is_deferred {
            leg.deferred = None;
        }
        if is_deferred || leg.incoming == Some(invite) {
            self.respond_in_dialog(now, key, side, invite, Status::of(487));
        }
    }

    /// The call is over: what one side still waits for gets 487 (RFC 3261 §15.1.2).
    pub(super) fn end_relays(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let relays = std::mem::take(&mut call.relays);
        if let Some((from, server)) = call.media.parked_relay() {
            self.respond_in_dialog(now, key, from, server, Status::of(487));
        }
        for client in relays {
            let Some(outgoing) = self.clients.get(client) else { continue };
            let (purpose, from) = (outgoing.purpose, outgoing.side.other());
            // A re-INVITE that was answered by a provisional response would wait for ever.
            self.transactions.cancel(now, client, None);
            if let Purpose::Relay { server } = purpose {
                self.respond_in_dialog(now, key, from, server, Status::of(487));
            }
        }
    }

    /// A response without a body within a leg's dialog.
    pub(super) fn respond_in_dialog(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        status: Status,
    ) {
        let mut writer = self.dialog_response(key, side, server, status, None);
        if status.code() == 405 {
            writer = writer.map(capabilities::add);
        }
        self.forget_incoming(key, side, server);
        self.send_response(now, server, writer);
    }

    /// A side's re-INVITE has its final answer.
    fn forget_incoming(&mut self, key: CallKey, side: Side, server: ServerId) {
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side))
            && leg.incoming == Some(server)
        {
            leg.incoming = None;
        }
    }

    pub(super) fn respond_retry_later(&mut self, now: Instant, key: CallKey, side: Side, server: ServerId) {
        let wait_s = self.random.below(MAX_RETRY_AFTER_S + 1);
        let writer = self.dialog_response(key, side, server, Status::of(500), None);
        self.forget_incoming(key, side, server);
        self.send_response(now, server, writer.map(|writer| writer.display(Header::RetryAfter, wait_s)));
    }

    fn refuse_required(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) {
        let unsupported = capabilities::unsupported(request).unwrap_or_default();
        let writer = self.dialog_response(key, side, server, Status::of(420), None);
        let writer = writer.map(|writer| writer.header(Header::Unsupported, unsupported));
        self.send_response(now, server, writer);
    }
}

/// What the other side hears of a final response: no challenge, no redirection, no session timer.
fn shown_in_dialog(status: Status) -> Status {
    match status.code() {
        300..=399 | 401 | 407 | 422 => Status::of(500),
        // Of these we can say what is taken.
        405 | 489 => status,
        _ => header_policy::without_its_header(status),
    }
}

/// Whether its SDP is an offer; a PRACK that is carried over has one.
fn is_session(request: &Message) -> bool {
    matches!(request.method(), Some(Method::Invite | Method::Prack | Method::Update))
}

fn carries_offer(request: &Message) -> bool {
    is_session(request) && request.has_sdp()
}
