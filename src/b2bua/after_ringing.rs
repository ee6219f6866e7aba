//! `failover.after_ringing`: another target although a callee may have rung. Never two phones at once: a
//! target that rings too long is CANCELled, and only its final response lets the next INVITE out. If
//! that response is a 2xx, the callee was quicker, and the call is answered; if it is a callee's last word
//! (486, 603), it was quicker as well, and that is the caller's answer.
//!
//! As after a redirection, what the caller hears already stays on its ports, so the next target is in
//! the same realm; and a caller that has changed its offer since cannot be sent on (`redirect.rs`).
//!
//! Must not know: which answers move a call on (`attempt.rs`).

use super::call::CallKey;
use super::cdr::{AttemptResult, EndedBy};
use super::ending::End;
use super::engine::Engine;
use crate::base::Instant;
use crate::routing::{Failover, Target, is_last_word};
use crate::sip::Status;

impl Engine {
    /// Whether another target may be tried now, as far as ringing goes.
    pub(super) fn may_go_elsewhere(&self, key: CallKey, failover: &Failover) -> bool {
        self.calls
            .get(key)
            .is_some_and(|call| !call.plan.rang || (failover.after_ringing && call.may_offer_anew()))
    }

    /// The target rings too long: CANCELs it if another may be tried after it. False: it may not.
    pub(super) fn begin_leaving(&mut self, now: Instant, key: CallKey) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let settings = self.snapshots.get(call.snapshot);
        let target = call.plan.current.as_ref();
        let trunk = target.and_then(|target| settings.routing.trunk(&target.trunk));
        let is_asked = trunk.is_some_and(|trunk| trunk.failover.after_ringing);
        let has_more = !call.plan.targets.is_empty() || !call.plan.trunks.is_empty();
        if call.plan.leaving || !is_asked || !has_more || !call.may_offer_anew() {
            return false;
        }
        let Some(client) = call.b.as_ref().and_then(|leg| leg.outgoing) else { return false };
        if let Some(call) = self.calls.get_mut(key) {
            call.plan.leaving = true;
        }
        self.transactions.cancel(now, client, None);
        true
    }

    /// Whether the target that is being tried was CANCELled for the next one.
    pub(super) fn is_leaving(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| call.plan.leaving)
    }

    /// Whether the callee of a target that was CANCELled had declined before it heard of that: its last
    /// word crossed our CANCEL, and counts as if there had been none.
    pub(super) fn is_declined_in_time(&mut self, key: CallKey, status: Status) -> bool {
        let is_declined = is_last_word(status.code());
        if let Some(call) = self.calls.get_mut(key).filter(|_| is_declined) {
            call.plan.leaving = false;
        }
        is_declined
    }

    /// The target that was CANCELled does not ring any more.
    pub(super) fn finish_leaving(&mut self, now: Instant, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key) {
            call.plan.leaving = false;
            call.plan.note_answer(Status::of(408), None, false);
        }
        self.note_attempt(now, key, AttemptResult::Timeout);
        if self.calls.get(key).is_some_and(|call| !call.may_offer_anew()) {
            // It changed its offer while the target was being CANCELled.
            let end = End::new(EndedBy::Sbc, "the callee did not answer in time");
            return self.end_call(now, key, end.refusing(Status::of(408)));
        }
        self.go_elsewhere(now, key);
    }

    /// Tries the next target; what was asked in the early dialogs of the one before is refused.
    pub(super) fn go_elsewhere(&mut self, now: Instant, key: CallKey) {
        if self.calls.get(key).is_some_and(|call| call.plan.rang) {
            self.refuse_early_requests(now, key, None);
            self.take_answer_back(key);
        }
        if let Some(call) = self.calls.get_mut(key) {
            call.plan.left_ringing |= std::mem::take(&mut call.plan.rang);
            if let Some(leg) = call.b.as_mut() {
                leg.outgoing = None;
            }
        }
        self.try_next_target(now, key);
    }

    /// Of the targets those that a caller can be sent on to that has heard another.
    pub(super) fn within_reach(&self, key: CallKey, mut targets: Vec<Target>) -> Vec<Target> {
        if let Some(call) = self.calls.get(key).filter(|call| call.plan.left_ringing) {
            targets.retain(|target| self.keeps_ports(call, target));
        }
        targets
    }
}
