//! How long a call may take to ring, to be answered and to last: `[calls]`, and a trunk's own
//! `calls` over it. The engine's other timers are the RFC's (`transaction/timers.rs`).

use std::time::Duration;

/// The operator's timers. A call keeps those that it began with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// How long a target may take from its INVITE to the first 101–199: then the next target, for
    /// nothing rang. Zero: as long as `answer` lets it.
    pub progress: Duration,
    /// How long a target may take from its first provisional response (100 or ringing) to its
    /// answer: then CANCEL, and 408 to the caller. Later provisional responses give no more time:
    /// it says how long a phone may ring. Above the three minutes of Timer C (RFC 3261 §16.6), the
    /// carrier's proxies speak first. A re-INVITE that was carried over has as long.
    pub answer: Duration,
    /// How long an answered call may last: a call on hold has no media whose absence would tell
    /// that both ends are gone.
    pub duration: Duration,
    /// The session interval that is asked for (RFC 4028), whole seconds. Zero: none is.
    pub session_expires: Duration,
    /// The shortest session interval that is taken, whole seconds.
    pub min_session_expires: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            progress: Duration::from_secs(60),
            answer: Duration::from_secs(185),
            duration: Duration::from_secs(12 * 3_600),
            session_expires: Duration::from_secs(1_800),
            min_session_expires: Duration::from_secs(90),
        }
    }
}
