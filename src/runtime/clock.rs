//! The only place that reads the machine's clocks for the core (the resolver asks how long a DNS
//! answer is still valid).
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, SystemTime};

use crate::base::Instant;

/// Turns the machine's monotonic clock into the core's time line, and the core's instants into
/// the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A time line that begins now.
    pub fn start() -> Clock {
        // One hour of head start, so that "an hour ago" can be said of anything.
        let origin = std::time::Instant::now();
        Clock { origin: origin.checked_sub(Duration::from_secs(3_600)).unwrap_or(origin) }
    }

    /// The present on the core's time line.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// The time of day of an instant, by today's offset between the two clocks: a step of the
    /// wall clock moves all of a call's times together, so durations stay right.
    pub fn time_of_day(&self, at: Instant) -> SystemTime {
        let age = self.now().since(at);
        let ahead = at.since(self.now());
        SystemTime::now() - age + ahead
    }

    /// When to wake up for a deadline of the core's.
    pub fn to_std(&self, at: Instant) -> std::time::Instant {
        self.origin + Duration::from_micros(at.as_micros())
    }
}
