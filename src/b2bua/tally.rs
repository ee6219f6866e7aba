//! What operators hear of a trunk's calls: each attempt is counted where it ends, and a challenge that is
//! not met says why.
//!
//! Must not know: what follows of it (`routing`).

use super::Event;
use super::call::CallKey;
use super::cdr::AttemptResult;
use super::credentials::AuthenticationFault;
use super::engine::Engine;
use crate::base::{Instant, TrunkName};
use crate::routing::{AttemptEnd, AttemptFault, Target};
use crate::sip::Message;

/// A realm is the peer's, and may be long.
const MAX_TOLD: usize = 200;

impl Engine {
    /// Counts the attempt that has just ended at a target.
    pub(super) fn tally_attempt(&mut self, now: Instant, key: CallKey, at: &Target, result: AttemptResult) {
        let rang = self.calls.get(key).is_some_and(|call| call.plan.rang_at.is_some());
        let end = match result {
            AttemptResult::Status(status) => {
                self.router.health().note_answered(&at.key());
                AttemptEnd::of_status(status)
            }
            // Nobody came to the phone.
            AttemptResult::Timeout if rang => AttemptEnd::Declined(AttemptFault::Status(408)),
            AttemptResult::Timeout => AttemptEnd::Failed(AttemptFault::Silence),
            AttemptResult::Transport => AttemptEnd::Failed(AttemptFault::Unsent),
            AttemptResult::Dns => AttemptEnd::Failed(AttemptFault::NoAddress),
            AttemptResult::Cancelled => AttemptEnd::GivenUp,
        };
        self.tally(now, &at.trunk, end);
    }

    /// Counts an attempt at a trunk that has no address.
    pub(super) fn tally_unresolved(&mut self, now: Instant, trunk: &TrunkName) {
        self.tally(now, trunk, AttemptEnd::Failed(AttemptFault::NoAddress));
    }

    fn tally(&mut self, now: Instant, trunk: &TrunkName, end: AttemptEnd) {
        if let Some(change) = self.router.tallies().count(now, trunk, end) {
            self.event(Event::Calls(change));
        }
    }

    /// A challenge of a trunk's was not met. Of somebody else's it says nothing.
    pub(super) fn note_refusal(&mut self, now: Instant, trunk: &TrunkName, fault: &AuthenticationFault) {
        if !matches!(fault, AuthenticationFault::Elsewhere { .. }) {
            let why = fault.to_string().chars().take(MAX_TOLD).collect();
            self.router.tallies().refuse(now, trunk, why);
        }
    }

    /// A request that carried credentials got this response, which is no challenge. Some servers say 403 to
    /// a wrong password.
    pub(super) fn note_let_in(&mut self, trunk: &TrunkName, response: &Message) {
        if response.status().is_some_and(|status| status.is_final() && status.code() != 403) {
            self.router.tallies().forget_refusal(trunk);
        }
    }

    /// After a reload: what was refused may be right now.
    pub(super) fn forget_refusals(&mut self, trunks: &[&TrunkName]) {
        for trunk in trunks {
            self.router.tallies().forget_refusal(trunk);
        }
    }
}
