//! How many calls each trunk and the node have, and whether there may be one more: calls at once, and
//! new calls a second by a token bucket that holds one second's worth.
//!
//! A call that is refused takes nothing from anybody: room is looked for first, and a token taken only
//! with the call.

use std::collections::HashMap;

use super::settings::{Limits, Trunk};
use crate::base::{Instant, TokenBucket, TrunkName};

/// Why there may not be one more call now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum LimitReached {
    /// `limits.calls`.
    #[error("as many calls as limits.calls allows")]
    Calls,
    /// `limits.cps`.
    #[error("as many new calls a second as limits.cps allows")]
    CallsPerSecond,
}

/// The calls of every trunk, and of all together.
#[derive(Clone, Debug, Default)]
pub struct CallLimits {
    trunks: HashMap<TrunkName, Counted>,
    node: Counted,
}

/// The calls of a trunk or of the node, and the bucket.
#[derive(Clone, Debug, Default)]
struct Counted {
    limits: Limits,
    calls: u32,
    bucket: TokenBucket,
}

impl CallLimits {
    /// Takes the limits of the node and of these trunks; running calls stay counted, also those of
    /// trunks that are gone.
    pub fn configure(&mut self, node: Limits, trunks: &[Trunk]) {
        self.node.configure(node);
        self.trunks.retain(|name, trunk| trunk.calls > 0 || trunks.iter().any(|kept| kept.name == *name));
        for trunk in trunks {
            let entry = self.trunks.entry(trunk.name.clone()).or_insert_with(|| Counted::full(trunk.limits));
            entry.configure(trunk.limits);
        }
    }

    /// Counts a new call, if the trunk's limits allow one at `now`. Pair it with [`Self::end`].
    pub fn try_begin(&mut self, trunk: &TrunkName, now: Instant) -> Result<(), LimitReached> {
        let Some(trunk) = self.trunks.get_mut(trunk) else {
            self.begin_unlimited(trunk);
            return Ok(());
        };
        trunk.try_begin(now)
    }

    /// Whether the node may have one more call at `now`. Nothing is counted yet: a call that goes
    /// nowhere after all takes no token of others.
    pub fn node_has_room(&mut self, now: Instant) -> Result<(), LimitReached> {
        self.node.has_room(now)
    }

    /// Counts a call of the node; its token is taken if there is one (emergency calls need none). Pair
    /// it with [`Self::end_on_node`].
    pub fn begin_on_node(&mut self, now: Instant, emergency: bool) {
        if emergency || self.node.try_begin(now).is_err() {
            self.node.calls += 1;
        }
    }

    /// Uncounts a call of the node.
    pub fn end_on_node(&mut self) {
        self.node.calls = self.node.calls.saturating_sub(1);
    }

    /// The calls of the node that found a trunk.
    pub fn node_calls(&self) -> u32 {
        self.node.calls
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

impl Counted {
    fn full(limits: Limits) -> Counted {
        let bucket = TokenBucket::full(limits.calls_per_second.unwrap_or(0));
        Counted { limits, calls: 0, bucket }
    }

    fn configure(&mut self, limits: Limits) {
        if self.limits.calls_per_second.is_none() {
            self.bucket = Counted::full(limits).bucket;
        }
        self.limits = limits;
    }

    fn has_room(&mut self, now: Instant) -> Result<(), LimitReached> {
        if self.limits.calls.is_some_and(|limit| self.calls >= limit) {
            return Err(LimitReached::Calls);
        }
        if self.limits.calls_per_second.is_some_and(|rate| !self.bucket.has_one(rate, now)) {
            return Err(LimitReached::CallsPerSecond);
        }
        Ok(())
    }

    fn try_begin(&mut self, now: Instant) -> Result<(), LimitReached> {
        self.has_room(now)?;
        if let Some(rate) = self.limits.calls_per_second {
            self.bucket.take(rate, now);
        }
        self.calls += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(calls: Option<u32>, calls_per_second: Option<u32>) -> (CallLimits, TrunkName) {
        let name = TrunkName::from("carrier");
        let mut limits = CallLimits::default();
        let full = Counted::full(Limits { calls, calls_per_second });
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
    fn looking_for_room_on_the_node_takes_nothing() {
        let mut limits = CallLimits::default();
        limits.configure(Limits { calls: Some(3), calls_per_second: Some(2) }, &[]);
        let now = Instant::from_millis(1);
        for _ in 0..10 {
            assert_eq!(limits.node_has_room(now), Ok(()));
        }
        for _ in 0..2 {
            limits.begin_on_node(now, false);
        }
        assert_eq!(limits.node_has_room(now), Err(LimitReached::CallsPerSecond));
        let later = now + std::time::Duration::from_millis(500);
        assert_eq!(limits.node_has_room(later), Ok(()));
        limits.begin_on_node(later, true);
        assert_eq!((limits.node_has_room(later), limits.node_calls()), (Err(LimitReached::Calls), 3));
        limits.end_on_node();
        assert_eq!(limits.node_has_room(later), Ok(()), "an emergency call takes no token");
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
