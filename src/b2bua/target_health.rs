//! What calls ask of the targets' health, and what they tell of it: which target a call may go to, the last
//! resort of a call that none admits, and how each attempt speaks for or against its target.
//!
//! Must not know: when a target is down (`routing`).

use super::call::CallKey;
use super::cdr::AttemptResult;
use super::ending::RetryAfter;
use super::engine::Engine;
use super::{Event, RETRY_AFTER_S};
use crate::base::Instant;
use crate::routing::{CallResult, Failover, Obstacle, Target};
use crate::sip::{Header, Message, Status};

/// The most targets that a call remembers to have passed over.
const MAX_PASSED_OVER: usize = 64;

/// A target that a call was not let in at.
#[derive(Clone, Debug)]
pub struct PassedOver {
    target: Target,
    obstacle: Obstacle,
}

impl Engine {
    /// Whether the call goes to this target now. If not it is remembered, for the end.
    pub(super) fn may_try(&mut self, now: Instant, key: CallKey, target: Target) -> Option<Target> {
        match self.router.health().admit(now, &target.key()) {
            Ok(()) => Some(target),
            Err(obstacle) => {
                self.pass_over(key, target, obstacle);
                None
            }
        }
    }

    /// Leaves a trunk out whose targets are all down, before the call counts on it.
    pub(super) fn pass_over_those_down(
        &mut self,
        now: Instant,
        key: CallKey,
        targets: Vec<Target>,
    ) -> Vec<Target> {
        let obstacles: Vec<Option<Obstacle>> =
            targets.iter().map(|target| self.router.health().obstacle(now, &target.key())).collect();
        if obstacles.iter().any(Option::is_none) {
            return targets;
        }
        for (target, obstacle) in targets.into_iter().zip(obstacles) {
            self.pass_over(key, target, obstacle.unwrap_or(Obstacle::Share));
        }
        Vec::new()
    }

    fn pass_over(&mut self, key: CallKey, target: Target, obstacle: Obstacle) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.plan.passed_over.len() < MAX_PASSED_OVER {
            call.plan.passed_over.push(PassedOver { target, obstacle });
        }
    }

    /// Where a call goes for which nothing is left. One that is coming back takes it although it has its
    /// share. Of those that are down one is tried, the least bad: that calls failed there may have
    /// been the calls' fault, and a silent peer that nobody tries is never found to be back. Where
    /// probes say so, though, it is tried seldom, and the others hear 503 at once. A call for help
    /// is tried at each of them.
    pub(super) fn take_last_resort(&mut self, now: Instant, key: CallKey) -> Option<Target> {
        loop {
            let call = self.calls.get_mut(key)?;
            let emergency = call.is_emergency();
            let plan = &mut call.plan;
            let least = plan.passed_over.iter().enumerate().min_by_key(|(_, passed)| passed.obstacle)?.0;
            let PassedOver { target, obstacle } = plan.passed_over.remove(least);
            let may = match obstacle {
                _ if emergency => true,
                Obstacle::Share => true,
                Obstacle::Calls | Obstacle::ProbesLongAgo => !std::mem::replace(&mut plan.resorted, true),
                Obstacle::Probes | Obstacle::Aside => false,
            };
            if !may {
                plan.kept_out = true;
                plan.tried.push(target.key());
                continue;
            }
            if !self.count_on_egress(now, key, &target) {
                continue;
            }
            self.router.health().force(now, &target.key());
            return Some(target);
        }
    }

    /// Counts the call on the trunk of a target, unless it is counted there already.
    fn count_on_egress(&mut self, now: Instant, key: CallKey, target: &Target) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        if call.plan.egress_counted.as_ref() == Some(&target.trunk) {
            return true;
        }
        let emergency = call.is_emergency();
        self.leave_egress_trunk(key);
        self.enter_egress_trunk(now, key, &target.trunk, emergency)
    }

    /// Somebody is there: the target that is being tried sent a provisional response.
    pub(super) fn hear_target(&mut self, now: Instant, key: CallKey, is_ringing: bool) {
        let result = if is_ringing { CallResult::Taken } else { CallResult::Heard };
        self.judge_target(now, key, result);
    }

    /// How the attempt at the target that is being tried ended.
    pub(super) fn judge_attempt(&mut self, now: Instant, key: CallKey, result: AttemptResult) {
        let Some(call) = self.calls.get(key) else { return };
        let Some(target) = &call.plan.current else { return };
        let settings = self.snapshots.get(call.snapshot);
        let failover = settings.routing.trunk(&target.trunk).map(|trunk| &trunk.failover);
        let retry_after_s = call.plan.asked_to_wait_s;
        let result = match result {
            AttemptResult::Status(status) => judge_status(failover, status, retry_after_s),
            AttemptResult::Timeout => CallResult::Silence,
            AttemptResult::Transport => CallResult::Unreachable,
            AttemptResult::Cancelled | AttemptResult::Dns => CallResult::GivenUp,
        };
        self.judge_target(now, key, result);
    }

    /// One verdict for each attempt; what a target does after it has rung is the callee's doing.
    fn judge_target(&mut self, now: Instant, key: CallKey, result: CallResult) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(target) = call.plan.current.as_ref().map(Target::key) else { return };
        if call.plan.judged {
            return;
        }
        call.plan.judged = result != CallResult::Heard;
        self.router.health().on_call(now, &target, result);
    }

    /// What the response of a target says of when to come back.
    pub(super) fn note_wait(&mut self, key: CallKey, response: &Message) {
        if let Some(call) = self.calls.get_mut(key) {
            let is_503 = response.status() == Some(Status::of(503));
            call.plan.asked_to_wait_s = response.number(Header::RetryAfter).filter(|_| is_503);
        }
    }

    /// Retry-After of a carrier's 503 that the caller hears: only if every target of the call is down or
    /// has asked to be left alone. Else this call failed and the next may not, and a peer that reads
    /// Retry-After sends us none. Without it, "the client MUST act as if it had received a 500 (Server
    /// Internal Error) response" (RFC 3261 §21.5.4), which is what §16.7 wants a proxy to make of it.
    pub(super) fn say_when_to_come_back(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let plan = &call.plan;
        let is_untried = !plan.targets.is_empty() || !plan.trunks.is_empty();
        if is_untried || plan.tried.iter().any(|target| self.router.is_up(now, target)) {
            call.plan.retry_after = RetryAfter::Unsaid;
        } else {
            self.ask_to_wait(now, key);
        }
    }

    /// Retry-After of the 503 that the caller gets: until the first of the call's targets may take one.
    pub(super) fn ask_to_wait(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let first = call.plan.tried.iter().filter_map(|target| self.router.back_at(target)).min();
        let Some(wait) = first.map(|at| at.since(now).as_secs()).filter(|seconds| *seconds > 0) else {
            return;
        };
        let wait = u32::try_from(wait).unwrap_or(u32::MAX).max(RETRY_AFTER_S);
        if let Some(call) = self.calls.get_mut(key) {
            call.plan.retry_after = RetryAfter::Seconds(wait);
        }
    }

    /// Tells what has changed.
    pub(super) fn tell_health(&mut self) {
        while let Some(change) = self.router.health().poll() {
            self.event(Event::Health(change));
        }
    }
}

/// What a final response says of its target. A failure of the call alone speaks for the target, for it
/// did what targets are for: so all of 3xx, 4xx and 6xx but 408, and the 5xx that speak of the request.
fn judge_status(failover: Option<&Failover>, status: u16, retry_after_s: Option<u32>) -> CallResult {
    let is_listed = failover.is_some_and(|failover| failover.means(status));
    match status {
        // Our credentials are no fault of the target's, nor do they show that it works.
        401 | 407 => CallResult::GivenUp,
        503 if retry_after_s.is_some() => CallResult::Refused { status, retry_after_s },
        // Not Implemented, Version Not Supported, Message Too Large, Push Notification Service Not
        // Supported, Precondition Failure.
        501 | 505 | 513 | 555 | 580 => CallResult::Taken,
        408 | 500..=599 if is_listed => CallResult::Refused { status, retry_after_s },
        _ => CallResult::Taken,
    }
}
