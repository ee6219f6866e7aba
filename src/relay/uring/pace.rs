//! How a worker waits: for how many packets, or for how long.
//!
//! While packets come evenly, the worker asks to be woken by the last of as many as the past
//! [`WINDOW`] brought in the time of a batch: the wake-up then comes with a packet, and no timer has
//! to be set for it. In a virtual machine that is the larger part of a wake-up's cost: each setting
//! of a timer leaves the machine for its host.
//!
//! Where packets come in bursts, the last ones of a burst would wait for the next burst. Such waits
//! are counted as [`LATE_COST`] says; when too many were late, the timer serves, and the even pace is
//! tried again after a while that doubles each time.

use std::time::Duration;

use crate::base::Instant;

/// Over how long the rate is measured: one packet of each stream, at the usual 20 ms.
const WINDOW: Duration = Duration::from_millis(20);
/// How long a wait for a number may last. No shorter than a tick of the kernel (4 ms at the usual
/// 250 Hz), or its timer would be set each time.
pub(super) const BACKSTOP: Duration = Duration::from_millis(5);
/// A wait that took so many times as long as a batch, or ended with [`BACKSTOP`], was late.
const LATE_AFTER: u32 = 2;
/// One packet that came too late outweighs so many that were in time: the 99th percentile stays
/// within the bound.
const LATE_COST: i64 = 200;
/// As much trust as can be gathered, and with how much a trial begins, in packets in time.
const TRUST_MAX: i64 = 20_000;
const TRUST_AT_FIRST: i64 = 4_000;
/// For how long the timer serves when trust is used up.
const PENALTY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));

/// For what the worker waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// The first packet: so few come that none would gain from another.
    First,
    /// The end of the batch's time.
    Time,
    /// So many packets.
    Count(usize),
}

/// What is known of the packets' coming.
#[derive(Debug)]
pub(super) struct Pace {
    batch: Duration,
    window: Window,
    /// Packets that come in the time of a batch, on the average.
    expected: usize,
    trust: i64,
    /// Until then the timer serves.
    distrusted_until: Instant,
    penalty: Duration,
    /// The last wait's end, and what it was for.
    last: (Instant, Wait),
}

#[derive(Debug)]
struct Window {
    since: Instant,
    packets: u32,
}

impl Pace {
    pub(super) fn new(batch: Duration, now: Instant) -> Pace {
        Pace {
            batch,
            window: Window { since: now, packets: 0 },
            expected: 0,
            trust: TRUST_AT_FIRST,
            distrusted_until: Instant::ZERO,
            penalty: PENALTY.0,
            last: (now, Wait::First),
        }
    }

    /// What to wait for, at `now`, the end of the last wait.
    pub(super) fn plan(&mut self) -> Wait {
        let (now, _) = self.last;
        let wait = match self.expected {
            _ if self.batch.is_zero() => Wait::First,
            0 => Wait::First,
            _ if now < self.distrusted_until => Wait::Time,
            // The first of them came at the very begin of the wait: one more fits.
            expected => Wait::Count(expected + 1),
        };
        self.last.1 = wait;
        wait
    }

    /// A wait has ended with so many packets (completions, that is: a wake-up or a send that failed counts as
    /// one, and changes nothing that matters).
    pub(super) fn note(&mut self, now: Instant, packets: usize) {
        let (before, wait) = self.last;
        self.last.0 = now;
        self.window.packets = self.window.packets.saturating_add(u32::try_from(packets).unwrap_or(u32::MAX));
        let took = now.since(self.window.since);
        if took >= WINDOW {
            let expected = u128::from(self.window.packets) * self.batch.as_nanos() / took.as_nanos();
            self.expected = usize::try_from(expected).unwrap_or(usize::MAX);
            self.window = Window { since: now, packets: 0 };
        }
        if let Wait::Count(count) = wait {
            // More than were waited for: it was the worker that came late, not the packets.
            let bound = (LATE_AFTER * self.batch).min(BACKSTOP);
            let is_late = now.since(before) >= bound && packets <= count;
            self.judge(now, i64::try_from(packets).unwrap_or(i64::MAX).max(1), is_late);
        }
    }

    fn judge(&mut self, now: Instant, packets: i64, is_late: bool) {
        if !is_late {
            self.trust = self.trust.saturating_add(packets).min(TRUST_MAX);
            if self.trust == TRUST_MAX {
                self.penalty = PENALTY.0;
            }
            return;
        }
        self.trust = self.trust.saturating_sub(packets.saturating_mul(LATE_COST));
        if self.trust < 0 {
            self.distrusted_until = now + self.penalty;
            self.penalty = (2 * self.penalty).min(PENALTY.1);
            self.trust = TRUST_AT_FIRST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Duration = Duration::from_micros(200);

    /// A worker's time, and how its waits end.
    struct Clock {
        pace: Pace,
        now: Instant,
    }

    impl Clock {
        fn start() -> Clock {
            Clock { pace: Pace::new(BATCH, Instant::ZERO), now: Instant::ZERO }
        }

        /// One wait that ends after `time` with so many packets.
        fn wait(&mut self, time: Duration, packets: usize) -> Wait {
            let wait = self.pace.plan();
            self.now = self.now + time;
            self.pace.note(self.now, packets);
            wait
        }

        /// An even stream of packets for so long: what the last wait was for.
        fn even(&mut self, interval: Duration, length: Duration) -> Wait {
            let end = self.now + length;
            let mut last = Wait::First;
            while self.now < end {
                let count = match self.pace.plan() {
                    Wait::First => 1,
                    Wait::Time => (BATCH.as_nanos() / interval.as_nanos()).max(1) as u32,
                    Wait::Count(count) => u32::try_from(count).unwrap(),
                };
                last = self.wait(interval * count, count as usize);
            }
            last
        }

        /// Bursts of `size` packets, 20 ms apart, each 10 µs after the last: what share of them waited for
        /// longer than two batches.
        fn bursts(&mut self, size: u32, bursts: u32) -> f64 {
            let (mut late, mut all) = (0.0, 0.0);
            for _ in 0..bursts {
                let mut left = size;
                let end = self.now + Duration::from_millis(20);
                while left > 0 {
                    let (took, count) = match self.pace.plan() {
                        Wait::First => (Duration::from_micros(10), 1),
                        Wait::Time => (BATCH, 20.min(left)),
                        Wait::Count(count) if count as u32 <= left => {
                            (Duration::from_micros(10) * count as u32, count as u32)
                        }
                        Wait::Count(_) => (BACKSTOP, left),
                    };
                    late += if took > 2 * BATCH { f64::from(count) } else { 0.0 };
                    all += f64::from(count);
                    left -= count;
                    self.wait(took, count as usize);
                }
                if self.now < end {
                    let rest = end.since(self.now);
                    self.pace.plan();
                    self.pace.last.1 = Wait::Time;
                    self.now = self.now + rest;
                    self.pace.note(self.now, 0);
                }
            }
            late / all
        }
    }

    #[test]
    fn few_packets_are_taken_one_by_one() {
        assert_eq!(Clock::start().even(Duration::from_micros(250), Duration::from_secs(1)), Wait::First);
    }

    #[test]
    fn an_even_stream_is_waited_for_by_the_number_that_fills_the_batch() {
        let mut clock = Clock::start();
        assert_eq!(clock.even(Duration::from_micros(40), Duration::from_secs(1)), Wait::Count(6));
        assert_eq!(clock.even(Duration::from_micros(10), Duration::from_secs(1)), Wait::Count(21));
        assert_eq!(clock.even(Duration::from_micros(250), Duration::from_secs(1)), Wait::First);
    }

    #[test]
    fn without_a_batch_each_packet_wakes() {
        let mut pace = Pace::new(Duration::ZERO, Instant::ZERO);
        for micros in 1..100_000 {
            assert_eq!(pace.plan(), Wait::First);
            pace.note(Instant::ZERO + Duration::from_micros(micros), 10);
        }
    }

    #[test]
    fn in_bursts_few_packets_wait_for_the_next_burst() {
        let mut clock = Clock::start();
        clock.bursts(300, 50);
        let late = clock.bursts(300, 50 * 60);
        assert!(late < 0.01, "{late}");
    }

    #[test]
    fn with_a_long_batch_the_end_of_a_wait_is_late_as_well() {
        let batch = Duration::from_millis(4);
        let mut clock = Clock { pace: Pace::new(batch, Instant::ZERO), now: Instant::ZERO };
        for _ in 0..100 {
            clock.wait(batch, 40);
        }
        assert_eq!(clock.pace.plan(), Wait::Count(41));
        clock.wait(BACKSTOP, 30);
        clock.wait(BACKSTOP, 30);
        assert_eq!(clock.pace.plan(), Wait::Time);
    }

    #[test]
    fn a_pause_of_the_whole_machine_costs_no_trust() {
        let mut clock = Clock::start();
        clock.even(Duration::from_micros(40), Duration::from_secs(1));
        for _ in 0..100 {
            clock.wait(Duration::from_millis(3), 75);
            assert_eq!(clock.even(Duration::from_micros(40), Duration::from_millis(30)), Wait::Count(6));
        }
    }

    #[test]
    fn after_bursts_an_even_stream_is_trusted_again() {
        let mut clock = Clock::start();
        clock.bursts(300, 50 * 60);
        clock.even(Duration::from_micros(40), PENALTY.1);
        assert_eq!(clock.even(Duration::from_micros(40), Duration::from_secs(1)), Wait::Count(6));
    }
}
