//! Trunks that have refused our password: what nobody asked for, a probe, does not try it again and again.
//! Providers lock accounts after so many wrong passwords, and an OPTIONS that is challenged is a sign of
//! life without an answer. The wait is that of a registration that was refused, longer each time; one
//! request that is let in, or a reload with another password, ends it. Calls try it always.
//!
//! Must not know: which requests there are.

use std::collections::BTreeMap;

use crate::base::{Instant, Random, TrunkName};
use crate::routing::{Setback, wait_after};

/// Trunks that refuse our password.
#[derive(Debug, Default)]
pub(super) struct Passwords {
    refused: BTreeMap<TrunkName, Refused>,
}

#[derive(Debug)]
struct Refused {
    /// So often in a row.
    times: u32,
    /// Until then it is not tried unasked.
    until: Instant,
}

impl Passwords {
    /// It was refused.
    pub(super) fn refused(&mut self, now: Instant, trunk: &TrunkName, random: &mut Random) {
        let times = self.refused.get(trunk).map_or(1, |before| before.times.saturating_add(1));
        let until = now + wait_after(Setback::Refusal, times, None, None, random);
        self.refused.insert(trunk.clone(), Refused { times, until });
    }

    /// It was right.
    pub(super) fn accepted(&mut self, trunk: &TrunkName) {
        self.refused.remove(trunk);
    }

    /// Whether a request that nobody asked for may try it.
    pub(super) fn may_try(&self, now: Instant, trunk: &TrunkName) -> bool {
        self.refused.get(trunk).is_none_or(|refused| now >= refused.until)
    }

    /// After a reload: those whose credentials are the same.
    pub(super) fn retain(&mut self, is_same: impl Fn(&TrunkName) -> bool) {
        self.refused.retain(|trunk, _| is_same(trunk));
    }
}
