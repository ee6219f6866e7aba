//! How long things took, as counts in fixed ranges: small enough to be kept of every minute of a day, good
//! enough for a percentile.
//!
//! Must not know: what took so long.

use std::time::Duration;

/// The upper ends of the ranges, in milliseconds; what took longer is in one more.
const ENDS_MS: [u32; 24] = [
    10, 20, 30, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 7_500,
    10_000, 15_000, 20_000, 30_000, 60_000,
];
const RANGES: usize = ENDS_MS.len() + 1;

/// A distribution of times.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Spread {
    /// Empty as long as nothing was counted.
    counts: Vec<u32>,
}

impl Spread {
    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let range = ENDS_MS.partition_point(|end| *end < millis);
        self.counts_mut()[range] += 1;
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &Spread) {
        if other.counts.is_empty() {
            return;
        }
        for (mine, theirs) in self.counts_mut().iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// The time in milliseconds that `share` (0–1) of all did not exceed, as far as the ranges tell: inside
    /// a range times are taken as evenly spread, and beyond 60 s as 60 s. `None`: nothing was counted.
    pub fn percentile_ms(&self, share: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        if total == 0 {
            return None;
        }
        let wanted = (share * total as f64).max(1.0);
        let mut before = 0.0;
        for (range, count) in self.counts.iter().enumerate() {
            let count = f64::from(*count);
            if count > 0.0 && before + count >= wanted {
                let end = ENDS_MS.get(range).or(ENDS_MS.last()).copied().unwrap_or_default();
                let begin = range.checked_sub(1).and_then(|at| ENDS_MS.get(at)).copied().unwrap_or_default();
                let inside = f64::from(end.saturating_sub(begin)) * (wanted - before) / count;
                return Some(f64::from(begin) + inside);
            }
            before += count;
        }
        None
    }

    fn counts_mut(&mut self) -> &mut Vec<u32> {
        if self.counts.is_empty() {
            self.counts = vec![0; RANGES];
        }
        &mut self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_as_good_as_its_range() {
        let mut spread = Spread::default();
        assert_eq!(spread.percentile_ms(0.5), None);
        for millis in [40, 45, 120, 140, 2_500] {
            spread.add(Duration::from_millis(millis));
        }
        let told = |share| spread.percentile_ms(share).unwrap_or_default();
        assert!((30.0..=50.0).contains(&told(0.2)), "{}", told(0.2));
        assert!((100.0..=150.0).contains(&told(0.5)), "{}", told(0.5));
        assert!((2_000.0..=3_000.0).contains(&told(0.95)), "{}", told(0.95));
        let mut twice = spread.clone();
        twice.merge(&spread);
        assert_eq!(twice.percentile_ms(0.5), spread.percentile_ms(0.5));
    }

    #[test]
    fn what_took_longer_than_all_ranges_is_told_as_the_last() {
        let mut spread = Spread::default();
        spread.add(Duration::from_secs(600));
        assert_eq!(spread.percentile_ms(0.5), Some(60_000.0));
        spread.add(Duration::ZERO);
        assert!(spread.percentile_ms(0.01).is_some_and(|low| low <= 10.0));
    }
}
