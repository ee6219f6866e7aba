//! A token bucket: so many a second, evenly, and one second's worth at once after a quiet time.

use super::Instant;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// What is left in a bucket. Its rate is told with each use, so that it can change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokenBucket {
    /// Millionths of a token, so that it fills by whole numbers each microsecond.
    tokens: u64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket of this rate (tokens a second).
    pub fn full(rate: u32) -> TokenBucket {
        TokenBucket { tokens: capacity(rate), filled_at: Instant::ZERO }
    }

    /// Whether there is a token at `now`.
    pub fn has_one(&mut self, rate: u32, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= MICROS_PER_SECOND
    }

    /// Takes a token, if there is one at `now`.
    pub fn take(&mut self, rate: u32, now: Instant) -> bool {
        let has_one = self.has_one(rate, now);
        if has_one {
            self.tokens -= MICROS_PER_SECOND;
        }
        has_one
    }

    /// Whether it is as good as a new one at `now`.
    pub fn is_full(&mut self, rate: u32, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= capacity(rate)
    }

    /// A rate of N a second is N millionths a microsecond.
    fn fill(&mut self, rate: u32, now: Instant) {
        let micros = u64::try_from(now.since(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        let filled = self.tokens.saturating_add(micros.saturating_mul(u64::from(rate)));
        self.tokens = filled.min(capacity(rate));
        self.filled_at = self.filled_at.max(now);
    }
}

/// One second's worth.
fn capacity(rate: u32) -> u64 {
    u64::from(rate) * MICROS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_holds_one_second_and_fills_evenly() {
        let mut bucket = TokenBucket::full(10);
        let start = Instant::from_millis(3_600_000);
        let mut taken = |now, rate| (0..100).take_while(|_| bucket.take(rate, now)).count();
        assert_eq!(taken(start, 10), 10);
        assert_eq!(taken(start + Duration::from_millis(99), 10), 0);
        assert_eq!(taken(start + Duration::from_millis(100), 10), 1);
        assert_eq!(taken(start + Duration::from_secs(60), 10), 10);
        assert_eq!(taken(start + Duration::from_secs(120), 0), 0);
        // Time that goes back takes nothing and gives nothing.
        assert_eq!(taken(start, 10), 0);
    }
}
