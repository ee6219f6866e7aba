//! Leg B: one target after the other until one answers, and what its responses mean for the caller.
//!
//! After a provisional response that the caller heard (18x) no other target is tried, unless
//! `failover.after_ringing` asks for it (`after_ringing.rs`): the callee may have rung, and two ringing
//! phones are two answered calls.

use super::addressing::{self, Addressing};
use super::call::{Call, CallKey, CallTimer, Leg, OwedAck, Phase};
use super::call_media::{MediaReady, Parked, SdpRole};
use super::cdr::{Attempt, AttemptResult, EndedBy};
use super::early_dialogs::Arrival;
use super::ending::{End, RetryAfter};
use super::engine::Engine;
use super::inbound::Rejection;
use super::outgoing::Purpose;
use super::{Event, bodies, capabilities, header_policy, secured_media};
use crate::base::{Hop, Instant, TrunkName};
use crate::dialog::session_timer::Role;
use crate::dialog::tagged;
use crate::media::Side;
use crate::routing::{Failover, Target, Trunk};
use crate::sip::{Header, Message, Method, Status, Writer};
use crate::transaction::{ClientEnd, ClientId};

/// The most targets that one call is tried at.
pub(super) const MAX_ATTEMPTS: usize = 16;

/// Whether an INVITE went out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Setup {
    /// It did.
    Sent,
    /// The target cannot take this call; the next one may.
    NotSent,
}

impl Engine {
    /// Tries the next target; when there is none left, tells the caller the best answer.
    pub(super) fn try_next_target(&mut self, now: Instant, key: CallKey) {
        loop {
            let Some(target) = self.take_next_target(now, key) else { return self.give_up(now, key) };
            let Some(call) = self.calls.get_mut(key) else { return };
            let settings = self.snapshots.get(call.snapshot);
            let realm = settings.routing.trunk(&target.trunk).map_or(call.a.realm, |trunk| trunk.realm);
            (call.plan.since, call.plan.rang_at) = (now, None);
            (call.plan.judged, call.plan.asked_to_wait_s) = (false, None);
            call.plan.tried.push(target.key());
            call.plan.current = Some(target.clone());
            let Some(hop) = settings.listener_towards(realm, target.transport, target.address) else {
                // That is our fault, and says nothing of the target.
                self.judge_attempt(now, key, AttemptResult::Cancelled);
                self.note_attempt(now, key, AttemptResult::Transport);
                continue;
            };
            let hop = Hop { identity: target.identity, ..hop };
            match self.prepare_media(now, key, (realm, hop.peer.is_ipv6()), Parked::Attempt(hop)) {
                MediaReady::Now if self.send_setup(now, key, hop) == Setup::Sent => return,
                MediaReady::Now => self.judge_attempt(now, key, AttemptResult::Cancelled),
                MediaReady::Later => return,
                MediaReady::Never => {
                    return self.reject_call(now, key, Rejection::new(503, "no media port free"));
                }
            }
        }
    }

    /// The next target of the trunk being tried, or the first of the next trunk that has room.
    fn take_next_target(&mut self, now: Instant, key: CallKey) -> Option<Target> {
        loop {
            let call = self.calls.get_mut(key)?;
            if call.record.attempts.len() >= MAX_ATTEMPTS {
                return None;
            }
            if !call.plan.targets.is_empty() {
                let target = call.plan.targets.remove(0);
                match self.may_try(now, key, target) {
                    Some(target) => return Some(target),
                    None => continue,
                }
            }
            if call.plan.trunks.is_empty() && !call.plan.take_next_contact() {
                return self.take_last_resort(now, key);
            }
            let trunk = call.plan.trunks.remove(0);
            let emergency = call.is_emergency();
            self.leave_egress_trunk(key);
            let targets = self.router.targets(&trunk, &mut self.random);
            if targets.is_empty() && self.router.is_unresolved(&trunk) {
                self.note_unresolved(now, key, trunk);
                continue;
            }
            let targets = self.router.prefer_registered(&trunk, targets, emergency);
            let targets = self.calls.get_mut(key)?.plan.redirection.narrow(targets);
            let targets = self.within_reach(key, targets);
            let targets = self.pass_over_those_down(now, key, targets);
            if targets.is_empty() {
                // Nothing is sent there: it counts against no limit.
                continue;
            }
            if self.enter_egress_trunk(now, key, &trunk, emergency) {
                self.calls.get_mut(key)?.plan.targets = targets;
            }
        }
    }

    /// Counts the call on a trunk that it is to be tried at; false: that has no room.
    pub(super) fn enter_egress_trunk(
        &mut self,
        now: Instant,
        key: CallKey,
        trunk: &TrunkName,
        emergency: bool,
    ) -> bool {
        let has_room = self.count_on_trunk(now, Some(trunk), emergency).is_ok();
        if has_room {
            self.count_on_node(now, key, emergency);
            self.event(Event::CallBegan { trunk: Some(trunk.clone()), arrived: false });
        }
        if let Some(call) = self.calls.get_mut(key) {
            call.plan.passed_full |= !has_room;
            call.plan.egress_counted = has_room.then(|| trunk.clone());
        }
        has_room
    }

    /// The call does not count on the trunk that was being tried any more.
    pub(super) fn leave_egress_trunk(&mut self, key: CallKey) {
        if let Some(trunk) = self.calls.get_mut(key).and_then(|call| call.plan.egress_counted.take()) {
            self.router.limits().end(&trunk);
            self.event(Event::CallEnded { trunk: Some(trunk) });
        }
    }

    /// Sends the INVITE of leg B.
    pub(super) fn send_setup(&mut self, now: Instant, key: CallKey, hop: Hop) -> Setup {
        let Some(call) = self.calls.get(key) else { return Setup::NotSent };
        let settings = self.snapshots.get(call.snapshot);
        let target = call.plan.current.clone();
        let Some(target) = target else { return Setup::NotSent };
        let Some(trunk) = settings.routing.trunk(&target.trunk) else { return Setup::NotSent };
        let numbering = settings.numbering_of(Some(trunk));
        let Ok(addressing) = addressing::address(&call.numbers_sent(), trunk, numbering, &target) else {
            self.note_answer(key, Status::of(403));
            return Setup::NotSent;
        };
        if !call.is_emergency() && !secured_media::fits(trunk, &call.invite) {
            self.note_answer(key, Status::of(488));
            return Setup::NotSent;
        }
        let failover_timeout = trunk.failover.timeout;
        self.open_leg_b(key, trunk, hop, &addressing);
        let request = match self.write_setup(key, trunk, hop, &addressing) {
            Ok(request) => request,
            Err(status) => {
                self.note_answer(key, status);
                return Setup::NotSent;
            }
        };
        let client = self.send_request(now, key, Side::B, Purpose::Setup, request, hop);
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.b.as_mut()) {
            leg.outgoing = Some(client);
        }
        self.arm(key, CallTimer::NoProvisional, now + failover_timeout);
        let progress = self.timeouts_of(key, Side::B).progress;
        if !progress.is_zero() {
            self.arm(key, CallTimer::NoProgress, now + progress);
        }
        self.tell_open_call(key);
        Setup::Sent
    }

    /// Leg B, with a Call-ID and a tag of its own for each target.
    fn open_leg_b(&mut self, key: CallKey, trunk: &Trunk, hop: Hop, addressing: &Addressing) {
        let (call_id, tag) = (self.mint_call_id(), self.mint_tag());
        let session_id = self.random.bits() >> 2;
        let Some(call) = self.calls.get_mut(key) else { return };
        self.ladders.bind(call.ladder, &call_id, Side::B);
        let leg = Leg::new(trunk.realm, Some(trunk.name.clone()), hop, call_id, tag.clone(), session_id);
        call.b = Some(Leg { owns_call_id: true, hides_other: addressing.anonymous, ..leg });
        call.tags_b.push(tag.clone());
        call.contact_user_b.clone_from(&addressing.contact_user);
        self.dialogs.insert(tag, (key, Side::B));
    }

    /// The INVITE of leg B. The error is the status that the caller would hear.
    fn write_setup(
        &mut self,
        key: CallKey,
        trunk: &Trunk,
        hop: Hop,
        addressing: &Addressing,
    ) -> Result<Message, Status> {
        let gone = Status::of(481);
        let via = self.mint_via(hop);
        let contact = self.contact_towards(key, Side::B).ok_or(gone)?;
        let invite = self.calls.get(key).ok_or(gone)?.invite.clone();
        if self.body_fault(key, Side::A, &invite).is_some() {
            return Err(Status::of(415));
        }
        let offer = self.carry_sdp(key, Side::A, &invite, SdpRole::Offer)?;
        let leg = self.calls.get(key).and_then(|call| call.b.as_ref()).ok_or(gone)?;
        let max_forwards = invite.number(Header::MaxForwards).unwrap_or(70).min(70).saturating_sub(1);
        let mut writer = Writer::request(&Method::Invite, addressing.request_uri.as_bytes())
            .header(Header::Via, &via)
            .header(Header::From, tagged(&addressing.from, &leg.local_tag))
            .header(Header::To, &addressing.to)
            .header(Header::CallId, &leg.call_id)
            .header(Header::CSeq, "1 INVITE")
            .header(Header::Contact, &contact)
            .display(Header::MaxForwards, max_forwards);
        let withheld = (!self.offers_reliable(key)).then_some(capabilities::RELIABLE);
        writer = capabilities::add_towards(writer, Some(trunk), withheld);
        writer = self.ask_session_timer(key, Side::B, writer);
        writer = addressing::add_identity(writer, addressing);
        let rules = header_policy::rules_for(&trunk.headers, addressing.anonymous);
        writer = header_policy::add_crossing(writer, &invite, &rules);
        let is_for_help = self.calls.get(key).is_some_and(Call::is_emergency);
        if is_for_help {
            writer = header_policy::add_location(writer, &invite, &rules);
        }
        let body_rules = bodies::rules_of(Some(trunk), is_for_help);
        let request = bodies::finish(writer, offer.as_deref(), &invite, &body_rules);
        request.map_err(|_| Status::of(513))
    }

    /// A response to an INVITE of ours that opens a leg.
    pub(super) fn on_setup_response(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message,
        status: Status,
        hop: Hop,
    ) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let key = outgoing.call;
        let is_current = self.calls.get(key).is_some_and(|call| {
            call.phase == Phase::Setup && call.b.as_ref().is_some_and(|leg| leg.outgoing == Some(client))
        });
        if !is_current {
            // A target that was given up, or a call that is over or already answered.
            if status.is_success() {
                self.on_stray_success(now, client, response, hop);
            }
        } else if status.is_provisional() {
            self.on_provisional(now, key, response, client, hop);
        } else if status.is_success() {
            self.on_success(now, key, client, response, hop);
        } else {
            self.on_failure(now, key, response, status);
        }
    }

    fn on_provisional(&mut self, now: Instant, key: CallKey, response: &Message, client: ClientId, hop: Hop) {
        self.disarm(key, CallTimer::NoProvisional);
        self.hear_target(now, key, !matches!(response.status().map(Status::code), Some(100 | 199)));
        let answer = self.timeouts_of(key, Side::B).answer;
        let Some(call) = self.calls.get_mut(key) else { return };
        if !call.timers.contains_key(&CallTimer::NoAnswer) && !call.plan.leaving {
            self.arm(key, CallTimer::NoAnswer, now + answer);
        }
        if response.status() == Some(Status::of(100)) {
            return;
        }
        // RFC 6228: one branch of a fork is over, and nothing rings for it.
        let is_199 = response.status() == Some(Status::of(199));
        if !is_199 {
            self.disarm(key, CallTimer::NoProgress);
        }
        let has_tag = response.to().is_some_and(|to| to.tag().is_some());
        let arrival = self.arrival_of(key, client, response);
        if arrival == Arrival::NotNext || (has_tag && !self.learn_dialog(key, client, response, hop)) {
            return;
        }
        if let Some(call) = self.calls.get_mut(key).filter(|_| !is_199) {
            call.plan.rang = true;
            call.plan.rang_at.get_or_insert(now);
            call.record.ring.get_or_insert(now);
        }
        self.on_ringing(now, key, client, response, arrival);
    }

    /// A target answered: the callee's SDP goes to the caller with the 2xx.
    fn on_success(&mut self, now: Instant, key: CallKey, client: ClientId, response: &Message, hop: Hop) {
        self.disarm(key, CallTimer::NoProvisional);
        self.disarm(key, CallTimer::NoProgress);
        let Some(outgoing) = self.clients.get(client) else { return };
        let sequence = outgoing.request.cseq().map_or(1, |cseq| cseq.number);
        let Some(call) = self.calls.get(key) else { return };
        if call.media.parked_late_offer().is_some() {
            // The same 2xx again, while its ports are being opened.
            return;
        }
        self.learn_dialog(key, client, response, hop);
        let is_late_offer = self.is_offer_in_success(key, response);
        if is_late_offer {
            match self.prepare_offer(now, key, Side::B, response, Parked::LateOffer(client, response.clone()))
            {
                MediaReady::Now => {}
                MediaReady::Later => return,
                MediaReady::Never => {
                    return self.refuse_success(now, key, client, Rejection::new(503, "no media port free"));
                }
            }
        }
        let Ok(Some(body)) = self.carry_final_sdp(key, response) else {
            return self.refuse_success(now, key, client, Rejection::new(502, "no usable SDP in the 2xx"));
        };
        self.forget_early_dialogs(now, key);
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.b.as_mut()) {
            leg.outgoing = None;
            if is_late_offer {
                leg.owed_ack = Some(OwedAck { client, sequence });
            }
        }
        if !is_late_offer {
            self.send_ack(key, Side::B, client, sequence, None);
        }
        self.note_attempt(now, key, AttemptResult::Status(response.status().map_or(200, Status::code)));
        self.answer_caller(now, key, response, &body);
    }

    /// Goes on with a late offer when its ports are open.
    pub(super) fn resume_late_offer(
        &mut self,
        now: Instant,
        key: CallKey,
        client: ClientId,
        response: &Message,
    ) {
        let hop = self
            .calls
            .get(key)
            .and_then(|call| call.b.as_ref())
            .and_then(|leg| leg.dialog.as_ref())
            .map(|dialog| dialog.hop);
        if let Some(hop) = hop {
            self.on_success(now, key, client, response, hop);
        }
    }

    /// Answers the caller, if need be when its PRACK has come.
    pub(super) fn answer_caller(&mut self, now: Instant, key: CallKey, response: &Message, body: &[u8]) {
        self.disarm(key, CallTimer::NoAnswer);
        self.disarm(key, CallTimer::Expires);
        if self.hold_success(key, response, body) {
            return;
        }
        let Some(server) = self.calls.get(key).and_then(|call| call.a.incoming) else {
            return self.on_errand_answered(now, key, response);
        };
        let writer = self.dialog_response(key, Side::A, server, Status::of(200), Some(response));
        let Some(Ok(answer)) = writer.map(|writer| self.finish_success(key, writer, response, body)) else {
            self.send_bye(now, key, Side::B, None);
            return self.reject_call(now, key, Rejection::new(502, "the answer fits no datagram"));
        };
        if let Some(call) = self.calls.get_mut(key) {
            call.phase = Phase::Answered;
            self.setups.end((call.a.realm, call.record.remote.ip()), &call.invite);
            call.record.answer = Some(now);
            call.record.status = 200;
            call.a.incoming = None;
            let answered = Event::CallAnswered {
                trunk: call.b.as_ref().and_then(|leg| leg.trunk.clone()),
                rang_after: call.record.ring.map(|ring| ring.since(call.record.start)),
                after: now.since(call.record.start),
            };
            self.event(answered);
        }
        self.expect_talk(key);
        let longest = [Side::A, Side::B].map(|side| self.timeouts_of(key, side).duration);
        self.arm(key, CallTimer::Duration, now + longest[0].min(longest[1]));
        self.begin_session_interval(now, key, Side::B, Role::Uac, response);
        self.send_success(now, key, Side::A, server, answer);
        self.tell_open_call(key);
    }

    /// A 2xx that cannot be used must be ACKed all the same, and ended with BYE.
    pub(super) fn refuse_success(
        &mut self,
        now: Instant,
        key: CallKey,
        client: ClientId,
        rejection: Rejection,
    ) {
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.b.as_mut()) {
            leg.outgoing = None;
        }
        self.ack_and_leave(now, client);
        self.note_attempt(now, key, AttemptResult::Status(200));
        self.reject_call(now, key, rejection);
    }

    /// Every target of the call failed or was passed over.
    fn give_up(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let rejection = match call.plan.best {
            Some(best) => {
                if call.plan.best_is_503 {
                    self.say_when_to_come_back(now, key);
                }
                let cause = self.tell_last_failure(key);
                Rejection::new(best.code(), &cause)
            }
            None if call.plan.passed_full => Rejection::new(503, "every trunk of the route is full"),
            None if call.record.attempts.is_empty() && call.plan.kept_out => {
                self.ask_to_wait(now, key);
                Rejection::new(503, "every target of the route is down")
            }
            None if call.record.attempts.is_empty() => {
                Rejection::new(503, "no trunk of the route has a target")
            }
            None if call.record.attempts.iter().all(|attempt| attempt.result == AttemptResult::Dns) => {
                Rejection::new(503, "no host of the route's trunks has an address in DNS")
            }
            None => Rejection::new(503, "no target answered"),
        };
        self.reject_call(now, key, rejection);
    }

    /// What people find in the record of a call that every target failed.
    fn tell_last_failure(&self, key: CallKey) -> String {
        let attempts = self.calls.get(key).map_or(&[][..], |call| &call.record.attempts);
        let last = attempts.iter().rev().find_map(|attempt| match attempt.result {
            AttemptResult::Status(status) => Some((status, &attempt.trunk)),
            _ => None,
        });
        match last {
            Some((status @ (401 | 407), trunk)) => {
                format!("trunk {trunk} asked for credentials ({status}) and took none of ours")
            }
            Some((status, trunk)) => format!("every target failed, the last with {status} (trunk {trunk})"),
            None => "no trunk took the call".to_owned(),
        }
    }

    /// A final answer of a target that is no 2xx.
    fn on_failure(&mut self, now: Instant, key: CallKey, response: &Message, status: Status) {
        self.disarm_setup(key);
        if self.is_leaving(key) && !self.is_declined_in_time(key, status) {
            return self.finish_leaving(now, key);
        }
        if self.on_redirection(now, key, response, status) {
            return;
        }
        let shown = shown_status(status);
        self.note_wait(key, response);
        let Some(call) = self.calls.get_mut(key) else { return };
        call.plan.note_answer(shown, response.number(Header::RetryAfter), status.code() == 503);
        if let Some(leg) = call.b.as_mut() {
            leg.outgoing = None;
        }
        let settings = self.snapshots.get(call.snapshot);
        let trunk = call.plan.current.as_ref().and_then(|target| settings.routing.trunk(&target.trunk));
        let moves_on = trunk.is_some_and(|trunk| {
            moves_on(&trunk.failover, status) && self.may_go_elsewhere(key, &trunk.failover)
        });
        self.note_attempt(now, key, AttemptResult::Status(status.code()));
        if moves_on {
            return self.go_elsewhere(now, key);
        }
        if status.code() == 503 {
            self.say_when_to_come_back(now, key);
        }
        let reason = header_policy::safe_reason(response);
        let cause = format!("{status} from the callee's side");
        let mut end = End::new(EndedBy::Callee, &cause).refusing(shown);
        end.retry_after = self.calls.get(key).map(|call| call.plan.retry_after).unwrap_or_default();
        end.reason = reason;
        self.end_call(now, key, end);
    }

    /// The transaction of leg B ended without a final response.
    pub(super) fn on_setup_ended(&mut self, now: Instant, client: ClientId, why: ClientEnd) {
        let Some(key) = self.clients.get(client).map(|outgoing| outgoing.call) else { return };
        let is_current = self.calls.get(key).is_some_and(|call| {
            call.phase == Phase::Setup && call.b.as_ref().is_some_and(|leg| leg.outgoing == Some(client))
        });
        if is_current {
            let result = match why {
                ClientEnd::Timeout => AttemptResult::Timeout,
                ClientEnd::Transport => AttemptResult::Transport,
            };
            self.leave_target(now, key, result);
        }
    }

    /// An INVITE of leg B may not arrive, or its final response may not: another target is tried,
    /// unless the callee may have rung. Then the response may still come another way.
    pub(super) fn on_unreachable(&mut self, now: Instant, client: ClientId) {
        let call = self.clients.get(client).and_then(|outgoing| self.calls.get(outgoing.call));
        if call.is_some_and(|call| !call.plan.rang) {
            self.on_setup_ended(now, client, ClientEnd::Transport);
        }
    }

    /// `failover.timeout` passed without a provisional response.
    pub(super) fn on_no_provisional(&mut self, now: Instant, key: CallKey) {
        self.leave_target(now, key, AttemptResult::Timeout);
    }

    /// `progress_timeout` passed, and nothing rang.
    pub(super) fn on_no_progress(&mut self, now: Instant, key: CallKey) {
        self.leave_target(now, key, AttemptResult::Timeout);
    }

    /// Timer C: the callee did not answer in all this time.
    pub(super) fn on_no_answer(&mut self, now: Instant, key: CallKey) {
        if self.begin_leaving(now, key) {
            return;
        }
        self.note_attempt(now, key, AttemptResult::Timeout);
        self.end_call(
            now,
            key,
            End::new(EndedBy::Sbc, "the callee did not answer in time").refusing(Status::of(408)),
        );
    }

    /// Nothing is expected of the current target any more.
    fn disarm_setup(&mut self, key: CallKey) {
        for timer in [CallTimer::NoProvisional, CallTimer::NoProgress, CallTimer::NoAnswer] {
            self.disarm(key, timer);
        }
    }

    /// Gives the target up: a response that still comes is CANCELled, or ACKed and ended.
    fn leave_target(&mut self, now: Instant, key: CallKey, result: AttemptResult) {
        self.disarm_setup(key);
        self.note_attempt(now, key, result);
        let Some(call) = self.calls.get_mut(key) else { return };
        let rang = call.plan.rang;
        if let Some(client) = call.b.as_mut().and_then(|leg| leg.outgoing.take()) {
            self.transactions.cancel(now, client, None);
        }
        if rang {
            self.end_call(
                now,
                key,
                End::new(EndedBy::Sbc, "the callee's side fell silent").refusing(Status::of(408)),
            );
        } else {
            self.try_next_target(now, key);
        }
    }

    /// Writes down how the attempt at the current target ended.
    pub(super) fn note_attempt(&mut self, now: Instant, key: CallKey, result: AttemptResult) {
        self.judge_attempt(now, key, result);
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(target) = call.plan.current.take() else { return };
        let since = call.plan.since;
        let millis = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        let rang_after = call.plan.rang_at.map(|rang| rang.since(since));
        let (trunk, address) = (target.trunk.clone(), Some(target.address));
        call.record.attempts.push(Attempt { trunk, target: address, result, rang_after, millis });
        self.tally_attempt(now, key, &target, result);
    }

    /// Writes down that DNS knows no address of a trunk: that is no failure of the carrier's.
    fn note_unresolved(&mut self, now: Instant, key: CallKey, trunk: TrunkName) {
        self.tally_unresolved(now, &trunk);
        if let Some(call) = self.calls.get_mut(key) {
            let result = AttemptResult::Dns;
            let attempt = Attempt { trunk, target: None, result, rang_after: None, millis: 0 };
            call.record.attempts.push(attempt);
        }
    }

    fn note_answer(&mut self, key: CallKey, status: Status) {
        if let Some(call) = self.calls.get_mut(key) {
            call.plan.note_answer(status, None, false);
        }
    }

    /// Passes a provisional response on to the caller, unreliably.
    pub(super) fn pass_response(
        &mut self,
        now: Instant,
        key: CallKey,
        from: &Message,
        status: Status,
        body: Option<Vec<u8>>,
    ) {
        let Some(server) = self.calls.get(key).and_then(|call| call.a.incoming) else {
            return self.on_errand_progress(now, key, status);
        };
        let Some(writer) = self.dialog_response(key, Side::A, server, status, Some(from)) else { return };
        let response = bodies::finish(writer, body.as_deref(), from, &self.body_rules(key, Side::A));
        if let Ok(response) = response {
            self.transactions.respond(now, server, response);
        }
    }
}

impl super::call::Plan {
    /// Keeps the better of two answers.
    pub(super) fn note_answer(&mut self, status: Status, retry_after_s: Option<u32>, is_503: bool) {
        if self.best.is_none_or(|best| rank(status) < rank(best)) {
            self.best = Some(status);
            self.retry_after = retry_after_s.map_or(RetryAfter::Ours, RetryAfter::Seconds);
            self.best_is_503 = is_503;
        }
    }
}

/// RFC 3261 §16.7 step 6: a 6xx, else the lowest class; within 4xx first what may "provide information
/// affecting resubmission of this request, such as 401, 407, 415, 420, and 484", of which 401, 407 and
/// 420 were meant for us (`shown_status`). What a target says of the call is better than that
/// it was silent or had no room.
fn rank(status: Status) -> (u16, u8) {
    let class = if status.class() == 6 { 0 } else { u16::from(status.class()) };
    let within = match status.code() {
        415 | 484 => 0,
        408 | 503 => 2,
        _ => 1,
    };
    (class, within)
}

/// Whether the next target is tried after this answer: on a configured code, on a challenge that our
/// credentials do not meet, and where no session interval could be agreed on.
fn moves_on(failover: &Failover, status: Status) -> bool {
    failover.means(status.code()) || matches!(status.code(), 401 | 407 | 422)
}

/// What the caller hears of a target's answer: never a challenge that it could not answer or a
/// session interval that it did not ask for, and no redirection to an address of the other side.
fn shown_status(status: Status) -> Status {
    match status.code() {
        401 | 407 | 422 => Status::of(503),
        300..=399 => Status::of(480),
        _ => header_policy::without_its_header(status),
    }
}
