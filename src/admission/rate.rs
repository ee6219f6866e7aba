//! How many messages that begin nothing one source may send in a second: OPTIONS and the like, and what
//! is malformed. Each is answered without a transaction, so that nothing else bounds what a flood of
//! them costs, or what it makes us send to a source that was forged.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::{Instant, Realm, TokenBucket, counted_as_one};

/// So many sources are told apart at once; further ones are not heard until one of these has been quiet
/// for a second.
pub const MAX_SOURCES: usize = 4_096;

/// The table is looked through for quiet sources no more often than this.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// The sources that spoke within the last second, and how much more they may say.
#[derive(Clone, Debug, Default)]
pub struct SourceRates {
    buckets: BTreeMap<(Realm, IpAddr), TokenBucket>,
    swept_at: Instant,
}

impl SourceRates {
    /// Whether a source may be heard once more, at so many messages a second; `None`: always.
    pub fn take(&mut self, realm: Realm, source: IpAddr, rate: Option<u32>, now: Instant) -> bool {
        let Some(rate) = rate else { return true };
        let source = (realm, counted_as_one(source));
        if self.buckets.len() >= MAX_SOURCES && !self.buckets.contains_key(&source) {
            self.sweep(rate, now);
            if self.buckets.len() >= MAX_SOURCES {
                return false;
            }
        }
        self.buckets.entry(source).or_insert_with(|| TokenBucket::full(rate)).take(rate, now)
    }

    /// Forgets who was quiet for so long that its bucket is full again.
    fn sweep(&mut self, rate: u32, now: Instant) {
        if now.since(self.swept_at) >= SWEEP_INTERVAL {
            self.swept_at = now;
            self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn each_source_has_a_bucket_of_its_own_in_each_realm() {
        let mut rates = SourceRates::default();
        let now = Instant::from_millis(5_000);
        let mut heard =
            |realm, source| (0..100).filter(|_| rates.take(realm, address(source), Some(10), now)).count();
        assert_eq!(heard(Realm::Untrusted, 1), 10);
        assert_eq!(heard(Realm::Untrusted, 1), 0);
        assert_eq!(heard(Realm::Untrusted, 2), 10);
        assert_eq!(heard(Realm::Trusted, 1), 10);
        let later = now + Duration::from_millis(500);
        assert_eq!((0..100).filter(|_| rates.take(Realm::Untrusted, address(1), Some(10), later)).count(), 5);
        assert!((0..1_000).all(|_| rates.take(Realm::Untrusted, address(1), None, now)));
    }

    #[test]
    fn a_table_full_of_forged_sources_hears_those_it_knows_and_empties_itself() {
        let mut rates = SourceRates::default();
        let now = Instant::from_millis(5_000);
        for number in 0..10_000 {
            rates.take(Realm::Untrusted, address(number), Some(10), now);
        }
        assert_eq!(rates.buckets.len(), MAX_SOURCES);
        assert!(rates.take(Realm::Untrusted, address(7), Some(10), now));
        assert!(!rates.take(Realm::Untrusted, address(9_999), Some(10), now));
        let later = now + Duration::from_secs(1);
        assert!(rates.take(Realm::Untrusted, address(9_999), Some(10), later));
        assert_eq!(rates.buckets.len(), 1);
    }
}
