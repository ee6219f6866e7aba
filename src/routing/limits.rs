//! How many calls each trunk has, and whether it may have one more: calls at once, and new calls a
//! second by a token bucket that holds one second's worth.

use std::collections::HashMap;

use super::settings::{Limits, Trunk};
use crate::base::{Instant, TrunkName};

const MICROS_PER_SECOND: u64 = 1_000_000;

/// Why a trunk may not have one more call now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum LimitReached {
    /// `limits.calls`.
    #[error("the trunk has as many calls as limits.calls allows")]
    Calls,
    /// `limits.cps`.
    #[error("the trunk has as many new calls a second as limits.cps allows")]
    CallsPerSecond,
}

/// The calls of every trunk.
#[derive(Clone, Debug, Default)]
pub struct CallLimits {
    trunks: HashMap<TrunkName, TrunkCalls>,
}

/// One trunk's calls and its bucket.
#[derive(Clone, Debug, Default)]
struct TrunkCalls {
    limits: Limits,
    calls: u32,
    /// Millionths of a call, so that a bucket fills by whole numbers each microsecond.
    tokens: u64,
    filled_at: Instant,
}

impl CallLimits {
    /// Takes the limits of these trunks; running calls stay counted, also those of trunks that are
    /// gone.
    pub fn configure(&mut self, trunks: &[Trunk]) {
        self.trunks.retain(|name, trunk| trunk.calls > 0 || trunks.iter().any(|kept| kept.name == *name));
        for trunk in trunks {
            let entry =
                self.trunks.entry(trunk.name.clone()).or_insert_with(|| TrunkCalls::full(trunk.limits));
            entry.limits = trunk.limits;
            entry.tokens = entry.tokens.min(entry.capacity());
        }
    }

    /// Counts a new call, if the trunk's limits allow one at `now`. Pair it with [`Self::end`].
    pub fn try_begin(&mut self, trunk: &TrunkName, now: Instant) -> Result<(), LimitReached> {
        let Some(trunk) = self.trunks.get_mut(trunk) else {
            self.begin_unlimited(trunk);
            return Ok(());
        };
        trunk.fill(now);
        if trunk.limits.calls.is_some_and(|limit| trunk.calls >= limit) {
            return Err(LimitReached::Calls);
        }
        if trunk.limits.calls_per_second.is_some() {
            let rest = trunk.tokens.checked_sub(MICROS_PER_SECOND).ok_or(LimitReached::CallsPerSecond)?;
            trunk.tokens = rest;
        }
        trunk.calls += 1;
        Ok(())
    }

    /// Counts a new call whatever the limits (emergency). Pair it with [`Self::end`].
    pub fn begin_unlimited(&mut self, trunk: &TrunkName) {
        self.trunks.entry(trunk.clone()).or_default().calls += 1;
    }

    /// Uncounts a call.
    pub fn end(&mut self, trunk: &TrunkName) {
        if let Some(trunk) = self.trunks.get_mut(trunk) {
            trunk.calls = trunk.calls.saturating_sub(1);
        }
    }

    /// The calls of a trunk.
    pub fn calls(&self, trunk: &TrunkName) -> u32 {
        self.trunks.get(trunk).map_or(0, |trunk| trunk.calls)
    }
}

impl TrunkCalls {
    fn full(limits: Limits) -> TrunkCalls {
        let mut trunk = TrunkCalls { limits, ..TrunkCalls::default() };
        trunk.tokens = trunk.capacity();
        trunk
    }

    /// One second's worth of calls, in millionths of a call.
    fn capacity(&self) -> u64 {
        u64::from(self.limits.calls_per_second.unwrap_or(0)) * MICROS_PER_SECOND
    }

    /// A rate of N calls a second is N millionths of a call a microsecond.
    fn fill(&mut self, now: Instant) {
        let micros = u64::try_from(now.since(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        let rate = u64::from(self.limits.calls_per_second.unwrap_or(0));
        self.tokens = self.tokens.saturating_add(micros.saturating_mul(rate)).min(self.capacity());
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(calls: Option<u32>, calls_per_second: Option<u32>) -> (CallLimits, TrunkName) {
        let name = TrunkName::from("carrier");
        let mut limits = CallLimits::default();
        let full = TrunkCalls::full(Limits { calls, calls_per_second });
        limits.trunks.insert(name.clone(), full);
        (limits, name)
    }

    #[test]
    fn calls_at_once_are_limited_and_come_back() {
        let (mut limits, trunk) = limited(Some(2), None);
        let now = Instant::from_millis(1);
        assert_eq!(limits.try_begin(&trunk, now), Ok(()));
        assert_eq!(limits.try_begin(&trunk, now), Ok(()));
        assert_eq!(limits.try_begin(&trunk, now), Err(LimitReached::Calls));
        limits.begin_unlimited(&trunk);
        assert_eq!(limits.calls(&trunk), 3);
        for _ in 0..2 {
            limits.end(&trunk);
        }
        assert_eq!(limits.try_begin(&trunk, now), Ok(()));
        for _ in 0..5 {
            limits.end(&trunk);
        }
        assert_eq!(limits.calls(&trunk), 0);
    }

    #[test]
    fn the_bucket_holds_one_second_and_fills_evenly() {
        let (mut limits, trunk) = limited(None, Some(10));
        let start = Instant::from_millis(3_600_000);
        let began = |limits: &mut CallLimits, now| {
            (0..100).take_while(|_| limits.try_begin(&trunk, now).is_ok()).count()
        };
        assert_eq!(began(&mut limits, start), 10);
        assert_eq!(began(&mut limits, start + std::time::Duration::from_millis(99)), 0);
        assert_eq!(began(&mut limits, start + std::time::Duration::from_millis(100)), 1);
        assert_eq!(began(&mut limits, start + std::time::Duration::from_secs(60)), 10);
    }

    #[test]
    fn a_full_trunk_takes_no_token() {
        let (mut limits, trunk) = limited(Some(1), Some(2));
        let now = Instant::from_millis(1);
        assert_eq!(limits.try_begin(&trunk, now), Ok(()));
        assert_eq!(limits.try_begin(&trunk, now), Err(LimitReached::Calls));
        limits.end(&trunk);
        assert_eq!(limits.try_begin(&trunk, now), Ok(()));
        limits.end(&trunk);
        assert_eq!(limits.try_begin(&trunk, now), Err(LimitReached::CallsPerSecond));
    }
}
