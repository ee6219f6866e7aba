//! Session timers of both legs (RFC 4028): each leg has one of its own, and nothing of it crosses.
//!
//! `dialog::session_timer` agrees on them; here the interval of a leg is watched, refreshed where
//! that is our part, and a call is ended whose leg nobody refreshed. A leg whose peer knows no
//! session timers is refreshed all the same: so a peer that is gone is found, though its call is on
//! hold and no media is missed.
//!
//! A refresh is an UPDATE without SDP, to a peer that takes UPDATE, or a re-INVITE with the SDP that is
//! in force. The re-INVITE is an offer: while it is under way, another INVITE or offer on that leg is
//! glare (491), and one of the other leg's waits. An UPDATE without SDP stands in nobody's way
//! (RFC 3311 §5.2). A leg that is adrift (`late_success.rs`) is refreshed by re-INVITE at once.

use std::time::Duration;

use bytes::Bytes;

use super::Settings;
use super::call::{Call, CallKey, CallTimer, Leg, Phase};
use super::cdr::EndedBy;
use super::ending::End;
use super::engine::Engine;
use super::outgoing::Purpose;
use crate::base::{Hop, Instant, TrunkName};
use crate::dialog::ends_call;
use crate::dialog::session_timer::{self, Role, SessionTimerPolicy};
use crate::media::Side;
use crate::routing::Timeouts;
use crate::sdp::Sdp;
use crate::sip::{Header, Message, Method, Status, Writer};
use crate::transaction::{ClientEnd, ClientId, ServerId};

/// How long a refresh waits while its leg has something else to do.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(2);

/// The shortest pause before a refresh is tried again that failed.
const MIN_RETRY_WAIT: Duration = Duration::from_secs(5);

/// How often one request is sent again with a longer interval.
const MAX_RAISES: u8 = 2;

/// Why a call without a refresh ends (RFC 3326).
const EXPIRED_REASON: &[u8] = b"SIP;cause=408;text=\"Session timer expired\"";

impl Settings {
    /// The timers of calls with a trunk, or with none.
    pub fn timeouts_of(&self, trunk: Option<&TrunkName>) -> Timeouts {
        let own = self.trunk_of(trunk).and_then(|trunk| trunk.calls);
        own.unwrap_or(self.timeouts)
    }
}

impl Leg {
    /// Whether a re-INVITE of ours refreshes it at this moment: an offer without its answer.
    pub fn is_refreshed_by_offer(&self) -> bool {
        self.refresh.is_some() && self.refresh == self.outgoing
    }
}

impl Engine {
    /// The timers of a leg, as the call began with them.
    pub(super) fn timeouts_of(&self, key: CallKey, side: Side) -> Timeouts {
        let Some(call) = self.calls.get(key) else { return Timeouts::default() };
        let trunk = call.leg(side).and_then(|leg| leg.trunk.as_ref());
        self.snapshots.get(call.snapshot).timeouts_of(trunk)
    }

    pub(super) fn session_policy(&self, key: CallKey, side: Side) -> SessionTimerPolicy {
        policy_of(self.timeouts_of(key, side))
    }

    /// Min-SE for a 422 to a new INVITE, if it needs one.
    pub(super) fn find_short_session(&self, request: &Message, trunk: Option<&TrunkName>) -> Option<u32> {
        session_timer::too_short(request, policy_of(self.snapshots.current().timeouts_of(trunk)))
    }

    /// The same within a dialog.
    pub(super) fn refuse_short_session(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) -> bool {
        let is_session = matches!(request.method(), Some(Method::Invite | Method::Update));
        let is_for_help = self.calls.get(key).is_some_and(Call::is_emergency);
        let policy = self.session_policy(key, side);
        let min_s = session_timer::too_short(request, policy).filter(|_| is_session && !is_for_help);
        let Some(min_s) = min_s else { return false };
        let writer = self.dialog_response(key, side, server, Status::of(422), None);
        self.send_response(now, server, writer.map(|writer| writer.display(Header::MinSe, min_s)));
        true
    }

    /// Adds what a session refresh request of ours says to its leg's peer.
    pub(super) fn ask_session_timer(&self, key: CallKey, side: Side, writer: Writer) -> Writer {
        let policy = self.session_policy(key, side);
        match self.calls.get(key).and_then(|call| call.leg(side)) {
            Some(leg) => leg.session_timer.ask(writer, policy),
            None => writer,
        }
    }

    /// Adds what our 2xx to a session refresh request says.
    pub(super) fn answer_session_timer(
        &mut self,
        key: CallKey,
        side: Side,
        request: &Message,
        writer: Writer,
    ) -> Writer {
        let policy = self.session_policy(key, side);
        let Some(call) = self.calls.get_mut(key) else { return writer };
        let is_answered = call.phase == Phase::Answered;
        if call.is_emergency() && session_timer::too_short(request, policy).is_some() {
            // Who calls for help is not refused for its timer (§9: "MAY reject"), and has none then.
            return writer;
        }
        let Some(leg) = call.leg_mut(side) else { return writer };
        match request.method() {
            Some(Method::Invite) => {}
            // Before the call is answered there is nothing to refresh.
            Some(Method::Update) if is_answered => {}
            _ => return writer,
        }
        leg.session_timer.answer(writer, request, leg.peer.session_timer, policy)
    }

    /// A 2xx to an INVITE or UPDATE of an answered call, of ours or of the peer's: the interval that it
    /// says begins (§10). `role` is ours in that transaction.
    pub(super) fn begin_session_interval(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        role: Role,
        response: &Message,
    ) {
        let policy = self.session_policy(key, side);
        let Some(call) = self.calls.get_mut(key).filter(|call| call.phase == Phase::Answered) else { return };
        let Some(leg) = call.leg_mut(side) else { return };
        leg.session_timer.take(response, role, policy);
        self.run_session_timer(now, key, side);
    }

    /// The interval in force begins anew.
    pub(super) fn run_session_timer(&mut self, now: Instant, key: CallKey, side: Side) {
        let leg = self.calls.get_mut(key).and_then(|call| call.leg_mut(side));
        if let Some((leg, interval)) = leg.and_then(|leg| leg.session_timer.interval().map(|it| (leg, it))) {
            leg.session_ends = now + interval.ends_after();
        }
        self.resume_session_timer(now, key, side);
    }

    /// The interval in force goes on as it began, of a leg that came from another call too.
    pub(super) fn resume_session_timer(&mut self, now: Instant, key: CallKey, side: Side) {
        self.disarm(key, CallTimer::Refresh(side));
        self.disarm(key, CallTimer::SessionExpiry(side));
        let Some(leg) = self.calls.get(key).and_then(|call| call.leg(side)) else { return };
        let (ends, interval, is_adrift) = (leg.session_ends, leg.session_timer.interval(), leg.is_adrift);
        if is_adrift {
            self.arm(key, CallTimer::Refresh(side), now + BUSY_WAIT);
        }
        let Some(interval) = interval else { return };
        if interval.is_ours && !is_adrift {
            let from_refresh_to_end = interval.ends_after() - interval.refresh_after();
            let refresh_in = ends.since(now).saturating_sub(from_refresh_to_end);
            self.arm(key, CallTimer::Refresh(side), now + refresh_in);
        }
        self.arm(key, CallTimer::SessionExpiry(side), ends);
    }

    /// It is time to refresh a leg.
    pub(super) fn on_refresh_due(&mut self, now: Instant, key: CallKey, side: Side) {
        if self.cannot_refresh(key, side) {
            return self.arm(key, CallTimer::Refresh(side), now + BUSY_WAIT);
        }
        let Some((request, hop)) = self.write_refresh(key, side) else {
            return self.retry_refresh(now, key, side);
        };
        let is_invite = request.method() == Some(&Method::Invite);
        let client = self.send_request(now, key, side, Purpose::Refresh, request, hop);
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) {
            leg.refresh = Some(client);
        }
        if is_invite {
            self.await_reinvite(now, key, side, client);
        }
    }

    /// Whether an INVITE or an offer is under way on a leg, or is on its way to it.
    fn cannot_refresh(&self, key: CallKey, side: Side) -> bool {
        let Some(call) = self.calls.get(key).filter(|call| call.phase == Phase::Answered) else {
            return true;
        };
        let Some(leg) = call.leg(side) else { return true };
        let is_carried_to = call.leg(side.other()).is_some_and(|other| other.incoming.is_some());
        leg.is_busy() || is_carried_to || call.media.offered_by().is_some() || call.media.is_opening()
    }

    fn write_refresh(&mut self, key: CallKey, side: Side) -> Option<(Message, Hop)> {
        let leg = self.calls.get_mut(key)?.leg_mut(side)?;
        let by_update = leg.peer.update && !leg.is_adrift;
        let body = (!by_update).then(|| leg.sdp.say_again());
        if body.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let method = if by_update { Method::Update } else { Method::Invite };
        let (writer, hop) = self.begin_target_refresh(key, side, &method)?;
        Some((writer.finish_with_sdp(body.as_deref()).ok()?, hop))
    }

    /// A response to a refresh.
    pub(super) fn on_refresh_response(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message,
        status: Status,
    ) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let (key, side) = (outgoing.call, outgoing.side);
        let (is_invite, sequence) = (outgoing.is_invite(), outgoing.sequence());
        self.forget_refresh(key, side, client);
        if is_invite
            && status.code() != 491
            && let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side))
        {
            // A peer that refuses keeps what it has.
            leg.is_adrift = false;
        }
        if status.is_success() {
            if is_invite {
                self.adopt_answer(key, side, response);
            }
            self.refresh_leg(key, side, response);
            if is_invite {
                self.send_ack(key, side, client, sequence, None);
            }
            self.begin_session_interval(now, key, side, Role::Uac, response);
        } else {
            self.on_refresh_refused(now, key, side, status, is_invite);
        }
        self.resume_deferred(now, key, side.other());
    }

    /// RFC 4028 §10: a peer that is gone ends the call; after every other failure the refresh is
    /// tried again while there is time.
    fn on_refresh_refused(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        status: Status,
        is_invite: bool,
    ) {
        match status.code() {
            _ if ends_call(status, false) => self.end_unrefreshed(now, key, side, status.code() == 481),
            // Some say in Allow that they know UPDATE, and then refuse the one without SDP.
            400 | 403 | 405 | 415 | 488 | 501 if !is_invite => {
                if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) {
                    leg.peer.update = false;
                }
                self.on_refresh_due(now, key, side);
            }
            491 => {
                let wait = self.glare_wait(key, side);
                self.arm(key, CallTimer::Refresh(side), now + wait);
            }
            _ if self.is_agreed(key, side) => self.retry_refresh(now, key, side),
            // A peer that knows no session timers is there, whatever it thinks of the request: that
            // is all that was asked.
            _ => self.run_session_timer(now, key, side),
        }
    }

    /// RFC 3261 §14.1: "If the UAC is the owner of the Call-ID of the dialog ID, T has a randomly
    /// chosen value between 2.1 and 4 seconds in units of 10 ms. If the UAC is not the owner […], T
    /// has a randomly chosen value of between 0 and 2 seconds in units of 10 ms." (A
    /// leg that changed calls is no longer on the side that says which.)
    pub(super) fn glare_wait(&mut self, key: CallKey, side: Side) -> Duration {
        let is_owner =
            self.calls.get(key).and_then(|call| call.leg(side)).is_some_and(|leg| leg.owns_call_id);
        let units = if is_owner { 210 + self.random.below(191) } else { self.random.below(201) };
        Duration::from_millis(10) * units
    }

    /// Tries again when half of the time left has passed; soon, if the leg is adrift.
    fn retry_refresh(&mut self, now: Instant, key: CallKey, side: Side) {
        let leg = self.calls.get(key).and_then(|call| call.leg(side)).filter(|leg| !leg.is_adrift);
        let wait = leg.map_or(MIN_RETRY_WAIT, |leg| (leg.session_ends.since(now) / 2).max(MIN_RETRY_WAIT));
        self.arm(key, CallTimer::Refresh(side), now + wait);
    }

    /// A refresh ended without a final response: a peer that does not answer is gone.
    pub(super) fn on_refresh_ended(&mut self, now: Instant, client: ClientId, why: ClientEnd) {
        let Some((key, side)) = self.clients.get(client).map(|outgoing| (outgoing.call, outgoing.side))
        else {
            return;
        };
        self.forget_refresh(key, side, client);
        match why {
            ClientEnd::Timeout => self.end_unrefreshed(now, key, side, false),
            ClientEnd::Transport => self.retry_refresh(now, key, side),
        }
        self.resume_deferred(now, key, side.other());
    }

    /// The interval ran out.
    pub(super) fn on_session_expiry(&mut self, now: Instant, key: CallKey, side: Side) {
        self.end_unrefreshed(now, key, side, false);
    }

    fn end_unrefreshed(&mut self, now: Instant, key: CallKey, side: Side, knows_no_call: bool) {
        let leg = self.calls.get(key).and_then(|call| call.leg(side));
        let is_ours =
            leg.and_then(|leg| leg.session_timer.interval()).is_none_or(|interval| interval.is_ours);
        let cause = match (is_ours, side) {
            (true, Side::A) => "the caller's side did not answer a session refresh",
            (true, Side::B) => "the callee's side did not answer a session refresh",
            (false, Side::A) => "the caller's side did not refresh its session timer",
            (false, Side::B) => "the callee's side did not refresh its session timer",
        };
        let mut end = End::new(EndedBy::Sbc, cause);
        end.reason = Some(EXPIRED_REASON.to_vec());
        self.end_call(now, key, if knows_no_call { end.without(side) } else { end });
    }

    /// The call is over: no refresh outlives it.
    pub(super) fn end_refreshes(&mut self, now: Instant, key: CallKey) {
        for side in [Side::A, Side::B] {
            let leg = self.calls.get_mut(key).and_then(|call| call.leg_mut(side));
            if let Some(client) = leg.and_then(|leg| leg.refresh.take()) {
                // A re-INVITE that was answered by a provisional response would wait for ever.
                self.transactions.cancel(now, client, None);
            }
        }
    }

    /// A re-INVITE of ours, a refresh or one that was carried over, has no final response in all
    /// this time: CANCEL. The 487 to it comes back by itself, and so does the end of a peer that
    /// says nothing.
    pub(super) fn on_reinvite_unanswered(&mut self, now: Instant, key: CallKey, side: Side) {
        let leg = self.calls.get(key).and_then(|call| call.leg(side));
        if let Some(client) = leg.and_then(|leg| leg.outgoing) {
            self.transactions.cancel(now, client, None);
        }
    }

    /// A 422 to a request of ours: it goes out again with the interval that the peer wants (§7.3).
    /// False: it asks for nothing new, or too often, or nobody waits any more.
    pub(super) fn raise_session_expires(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message,
    ) -> bool {
        let Some(outgoing) = self.clients.get(client).cloned() else { return false };
        let Some(expires_s) = session_timer::raised(&outgoing.request, response) else { return false };
        if outgoing.raises >= MAX_RAISES || !self.is_waited_for(client) {
            return false;
        }
        let leg = self.calls.get_mut(outgoing.call).and_then(|call| call.leg_mut(outgoing.side));
        if let Some(leg) = leg {
            leg.session_timer.note_min(expires_s);
        }
        let instead = [
            (Header::SessionExpires, session_timer::with_expires(&outgoing.request, expires_s)),
            (Header::MinSe, expires_s.to_string().into_bytes()),
        ];
        let Some(again) = self.send_again(now, client, &outgoing, &instead) else { return false };
        if let Some(sent) = self.clients.get_mut(again) {
            sent.raises = outgoing.raises + 1;
        }
        true
    }

    /// Whether a re-INVITE of the peer's changes nothing: it refreshes, says again what it said last,
    /// and what it was told last answers that. (If that was an offer, of more than the peer took, only
    /// the other side can say what it has now for an answer.) It stays on its leg.
    pub(super) fn is_mere_refresh(&self, key: CallKey, side: Side, request: &Message) -> bool {
        let leg = self.calls.get(key).and_then(|call| call.leg(side));
        let (Some(leg), Some(said)) = (leg, request.sdp()) else { return false };
        if request.header(Header::SessionExpires).is_none() || leg.sdp.heard != said {
            return false;
        }
        let told = Sdp::parse(&Bytes::copy_from_slice(&leg.sdp.in_force));
        matches!((Sdp::parse(&said), told), (Ok(said), Ok(told)) if told.answers(&said.places()))
    }

    /// Answers a re-INVITE that changes nothing with what was said to that side last.
    pub(super) fn answer_mere_refresh(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) {
        self.refresh_leg(key, side, request);
        let leg = self.calls.get_mut(key).and_then(|call| call.leg_mut(side));
        let body = leg.map(|leg| leg.sdp.say_again());
        let writer = self.dialog_response(key, side, server, Status::of(200), None);
        match writer.map(|writer| writer.finish_with(b"application/sdp", &body.unwrap_or_default())) {
            Some(Ok(answer)) => self.send_success(now, key, side, server, answer),
            Some(Err(_)) | None => self.respond_in_dialog(now, key, side, server, Status::of(500)),
        }
    }

    /// Answers an UPDATE without SDP (RFC 3311 §5.2): it refreshes its leg and concerns no other.
    pub(super) fn answer_update(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) {
        self.refresh_leg(key, side, request);
        let writer = self.dialog_response(key, side, server, Status::of(200), None);
        if let Some(Ok(answer)) = writer.map(Writer::finish) {
            self.begin_session_interval(now, key, side, Role::Uas, &answer);
            self.transactions.respond(now, server, answer);
        }
    }

    /// Whether an offer of ours is under way on a leg, which is no other side's.
    pub(super) fn is_refreshing_by_offer(&self, key: CallKey) -> bool {
        let legs = self.calls.get(key).into_iter().flat_map(|call| [Some(&call.a), call.b.as_ref()]);
        legs.flatten().any(Leg::is_refreshed_by_offer)
    }

    fn is_agreed(&self, key: CallKey, side: Side) -> bool {
        let leg = self.calls.get(key).and_then(|call| call.leg(side));
        leg.and_then(|leg| leg.session_timer.interval()).is_some_and(|interval| interval.is_agreed)
    }

    fn forget_refresh(&mut self, key: CallKey, side: Side, client: ClientId) {
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) else { return };
        leg.refresh = None;
        if leg.outgoing == Some(client) {
            leg.outgoing = None;
            self.disarm(key, CallTimer::Reinvite(side));
        }
    }
}

fn policy_of(timeouts: Timeouts) -> SessionTimerPolicy {
    SessionTimerPolicy { expires: timeouts.session_expires, min: timeouts.min_session_expires }
}
