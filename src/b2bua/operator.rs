//! What operators ask of the engine, and what they tell it: how the calls and trunks are, end this
//! call, take no more calls.

use std::net::SocketAddr;

use super::Engine;
use super::call::{Call, CallKey, Leg, Phase};
use super::call_search::CallSearch;
use super::cdr::EndedBy;
use super::ending::End;
use crate::base::{Instant, Realm, TrunkName};
use crate::media::Side;
use crate::routing::TrunkReport;
use crate::sip::Status;

/// A call as operators see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallReport {
    /// As in the CDR.
    pub id: String,
    /// User of From, as received.
    pub from: String,
    /// User of the Request-URI, as received.
    pub to: String,
    /// Where it came from.
    pub ingress: ReportedLeg,
    /// Where it goes: the target that is being tried, or that answered.
    pub egress: Option<ReportedLeg>,
    /// How far it is.
    pub phase: CallPhase,
    /// When the INVITE came.
    pub start: Instant,
    /// When the caller got the 2xx.
    pub answer: Option<Instant>,
    /// Whether it is to an emergency number.
    pub is_emergency: bool,
    /// Who was found not to be heard while the other spoke, at any time of the call.
    pub not_heard: Vec<Side>,
}

/// One side of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReportedLeg {
    /// The side of the network.
    pub realm: Realm,
    /// Whose it is, if it is a trunk's.
    pub trunk: Option<TrunkName>,
    /// Where its messages go.
    pub remote: SocketAddr,
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallPhase {
    /// A target is being found or asked.
    Setup,
    /// The caller hears ringing, or what the callee plays.
    Ringing,
    /// Both talk.
    Answered,
    /// Both legs are over; only the relay's last word is missing.
    Ending,
}

impl CallPhase {
    pub(super) fn of(call: &Call) -> CallPhase {
        match call.phase {
            Phase::Setup if call.record.ring.is_some() => CallPhase::Ringing,
            Phase::Setup => CallPhase::Setup,
            Phase::Answered => CallPhase::Answered,
            Phase::Over => CallPhase::Ending,
        }
    }

    /// For people and for machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            CallPhase::Setup => "setup",
            CallPhase::Ringing => "ringing",
            CallPhase::Answered => "answered",
            CallPhase::Ending => "ending",
        }
    }
}

impl Engine {
    /// How the trunks are.
    pub fn trunk_reports(&self, now: Instant) -> Vec<TrunkReport> {
        self.router.report(now)
    }

    /// The oldest of the calls that are meant, at most so many; [`Engine::census`] says how many there are.
    pub fn call_reports(&self, most: usize, search: &CallSearch) -> Vec<CallReport> {
        let meant = self.calls.iter().filter(|(_, call)| search.finds(call));
        let mut keys: Vec<(Instant, CallKey)> = meant.map(|(key, call)| (call.record.start, key)).collect();
        keys.sort_unstable();
        keys.truncate(most);
        keys.iter().filter_map(|(_, key)| self.calls.get(*key)).map(CallReport::of).collect()
    }

    /// The call of this `id`.
    pub fn call_report(&self, id: &str) -> Option<CallReport> {
        self.call_of_id(id).and_then(|key| self.calls.get(key)).map(CallReport::of)
    }

    /// When a drain ends the calls that are left.
    pub fn drain_deadline(&self) -> Option<Instant> {
        self.drain_deadline
    }

    fn call_of_id(&self, id: &str) -> Option<CallKey> {
        self.calls.iter().find(|(_, call)| call.id == id).map(|(key, _)| key)
    }

    /// A caller that waits is told 480: with a 503 it would try elsewhere what was just ended.
    pub(super) fn hang_up(&mut self, now: Instant, id: &str) {
        if let Some(key) = self.call_of_id(id) {
            let end = End::new(EndedBy::Sbc, "an operator hung up").refusing(Status::of(480));
            self.end_call(now, key, end);
        }
    }

    /// Takes no new calls but those for help, until the deadline has come; a second drain has the last
    /// word on that.
    pub(super) fn drain(&mut self, deadline: Option<Instant>) {
        if self.registrations.is_over() {
            // The process is about to end.
            return;
        }
        (self.draining, self.is_closed) = (true, false);
        self.drain_deadline = deadline;
    }

    /// Takes new calls again.
    pub(super) fn undrain(&mut self) {
        if self.registrations.is_over() {
            return;
        }
        (self.draining, self.is_closed) = (false, false);
        self.drain_deadline = None;
    }

    /// At its deadline a drain ends what is left, and nothing more is taken. Emergency calls go on: who
    /// drains a node may not know of them.
    pub(super) fn end_drain(&mut self, now: Instant) {
        if self.drain_deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        (self.drain_deadline, self.is_closed) = (None, true);
        let ended = self.calls.iter().filter(|(_, call)| !call.is_emergency()).map(|(key, _)| key);
        for key in ended.collect::<Vec<_>>() {
            self.end_call(now, key, End::new(EndedBy::Sbc, "the node was drained"));
        }
    }
}

impl CallReport {
    pub(super) fn of(call: &Call) -> CallReport {
        let leg =
            |leg: &Leg| ReportedLeg { realm: leg.realm, trunk: leg.trunk.clone(), remote: leg.hop.peer };
        CallReport {
            id: call.id.clone(),
            from: call.numbers.from_received.clone(),
            to: call.numbers.called_received.clone(),
            ingress: leg(&call.a),
            egress: call.b.as_ref().map(leg),
            phase: CallPhase::of(call),
            start: call.record.start,
            answer: call.record.answer,
            is_emergency: call.is_emergency(),
            not_heard: call.media.not_heard(),
        }
    }
}
