//! The health of one target: a circuit breaker, fed by probes (OPTIONS) and by real calls.
//!
//! Two witnesses, because either may be wrong: a gateway answers OPTIONS and refuses every call, another
//! takes calls and has never heard of OPTIONS.
//!
//! - **Probes** make a target *ill* after `down_after` silent ones and well after `up_after` answered ones.
//!   Silence says something only of a target that has answered a probe before: of one that never did
//!   it is a guess, which a call may disprove.
//! - **Calls** open the breaker after `down_after` failures in a row. After a back-off that doubles
//!   with each disappointment one call may try (half-open); when it gets through, calls are let in
//!   by a ramp, and when the ramp is over the breaker is closed.
//!
//! Must not know: whose target it is, SIP, timers.

use std::time::Duration;

use crate::base::Instant;

/// The first back-off of a target that calls found dead.
pub const FIRST_BACK_OFF: Duration = Duration::from_secs(5);
/// No target waits longer than this for a call that tries it.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(300);
/// A target that asks to be left alone (Retry-After) is so for no longer.
pub const MAX_ASIDE: Duration = Duration::from_secs(300);
/// How long the ramp is by which calls return.
pub const RAMP: Duration = Duration::from_secs(30);
/// The call that tries a target has an outcome by then, or another may try.
pub const TRIAL_LIMIT: Duration = Duration::from_secs(40);
/// Failures of calls that lie further apart have nothing to do with each other.
pub const FAILURE_MEMORY: Duration = Duration::from_secs(300);
/// The rate of the ramp doubles so often.
const RAMP_STEP_S: u64 = 5;

/// When a target is taken for dead, and when for well again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// So many failures in a row, of probes or of calls; at least 1.
    pub down_after: u32,
    /// So many answered probes in a row; at least 1.
    pub up_after: u32,
}

/// Where the breaker is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Calls go there.
    Closed,
    /// None do, until the back-off is over.
    Open,
    /// One at a time does, until one gets through.
    HalfOpen,
    /// They are let in by the ramp.
    Recovering,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// A probe was answered by one who is alive.
    ProbeAnswered,
    /// A probe was not answered, or with a code that says that nobody is there.
    ProbeFailed,
    /// A call got a provisional response, or a challenge: somebody is there.
    CallHeard,
    /// The target did with a call what targets are for: it rang, was answered, or refused it for a
    /// reason of the callee's.
    CallTaken,
    /// Silence, no transport, or a failure of the target's own.
    CallFailed,
    /// A call was given up before anything could be learnt.
    CallGivenUp,
}

/// Why a call may not go to a target now, the mildest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Obstacle {
    /// It is coming back, and has its share of calls for now.
    Share,
    /// Calls found it dead, or nothing ever found it alive.
    Calls,
    /// Probes found it dead, and nobody has tried it with a call for long.
    ProbesLongAgo,
    /// Probes found it dead.
    Probes,
    /// It asked to be left alone.
    Aside,
}

/// One target's health.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breaker {
    state: State,
    /// Since when.
    since: Instant,
    /// Probes found it dead.
    ill: bool,
    /// It has answered a probe, and no call has shown since that probes mean nothing to it.
    knows_probes: bool,
    /// Its last call got through.
    takes_calls: bool,
    probes_failed: u32,
    probes_answered: u32,
    calls_failed: u32,
    last_failed_call: Instant,
    /// How often it disappointed.
    level: u32,
    /// When one call may try it.
    retry_at: Instant,
    /// Until when the outcome of that call is waited for.
    trial: Option<Instant>,
    /// Calls that the ramp has let in.
    let_in: u32,
    aside_until: Instant,
}

impl Breaker {
    /// A target that nothing is known of: calls go there.
    pub fn new(now: Instant) -> Breaker {
        Breaker {
            state: State::Closed,
            since: now,
            ill: false,
            knows_probes: false,
            takes_calls: false,
            probes_failed: 0,
            probes_answered: 0,
            calls_failed: 0,
            last_failed_call: Instant::ZERO,
            level: 0,
            retry_at: Instant::ZERO,
            trial: None,
            let_in: 0,
            aside_until: Instant::ZERO,
        }
    }

    /// Where the breaker is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether it is up, as people are told: calls go there, or would.
    pub fn is_up(&self, now: Instant) -> bool {
        let is_closed = match self.state {
            State::Closed | State::Recovering => true,
            State::HalfOpen => self.knows_probes,
            State::Open => false,
        };
        is_closed && !self.ill && now >= self.aside_until
    }

    /// Probes that went unanswered in a row.
    pub fn probes_failed(&self) -> u32 {
        self.probes_failed
    }

    /// Calls that failed in a row.
    pub fn calls_failed(&self) -> u32 {
        self.calls_failed
    }

    /// Until when it asked to be left alone; in the past if it did not.
    pub fn aside_until(&self) -> Instant {
        self.aside_until
    }

    /// When a call may go there at the latest, should it be well then: what a caller is told.
    pub fn back_at(&self) -> Instant {
        self.retry_at.max(self.aside_until)
    }

    /// RFC 3261 §21.5.4: "The client […] SHOULD NOT forward any other requests to that server for the
    /// duration specified in the Retry-After header field, if present."
    pub fn put_aside(&mut self, now: Instant, duration: Duration) {
        self.aside_until = now + duration.min(MAX_ASIDE);
    }

    /// Takes a call now, if it may have one: counts it then. Exactly one [`Evidence`] of a call
    /// that ends it follows.
    pub fn admit(&mut self, now: Instant) -> Result<(), Obstacle> {
        if now < self.aside_until {
            return Err(Obstacle::Aside);
        }
        if self.ill {
            return Err(if now >= self.retry_at { Obstacle::ProbesLongAgo } else { Obstacle::Probes });
        }
        self.half_open_if_due(now);
        match self.state {
            State::Closed => Ok(()),
            State::Open => Err(Obstacle::Calls),
            State::HalfOpen if self.trial.is_some_and(|until| now < until) => Err(Obstacle::Share),
            State::HalfOpen => {
                self.trial = Some(now + TRIAL_LIMIT);
                Ok(())
            }
            State::Recovering if now.since(self.since) >= RAMP => {
                self.close(now);
                Ok(())
            }
            State::Recovering if self.let_in < ramp(now.since(self.since)) => {
                self.let_in += 1;
                Ok(())
            }
            State::Recovering => Err(Obstacle::Share),
        }
    }

    /// A call goes there although [`Self::admit`] had said no, for there is nowhere else to go.
    pub fn force(&mut self, now: Instant) {
        match self.state {
            State::Closed if !self.ill => {}
            State::Recovering if !self.ill => self.let_in += 1,
            State::Closed | State::Recovering | State::Open | State::HalfOpen => {
                self.trial = Some(now + TRIAL_LIMIT);
            }
        }
    }

    /// Draws the conclusion from what happened.
    pub fn learn(&mut self, now: Instant, evidence: Evidence, thresholds: Thresholds) {
        match evidence {
            Evidence::ProbeAnswered => self.on_probe_answered(now, thresholds),
            Evidence::ProbeFailed => self.on_probe_failed(now, thresholds),
            Evidence::CallHeard => self.probes_failed = 0,
            Evidence::CallTaken => self.on_call_taken(now),
            Evidence::CallFailed => self.on_call_failed(now, thresholds),
            Evidence::CallGivenUp => self.trial = None,
        }
    }

    fn on_probe_answered(&mut self, now: Instant, thresholds: Thresholds) {
        let is_first = !self.knows_probes;
        self.knows_probes = true;
        self.probes_failed = 0;
        self.probes_answered = self.probes_answered.saturating_add(1);
        let is_well = self.probes_answered >= thresholds.up_after;
        if self.ill && is_well {
            self.ill = false;
            match self.state {
                State::Closed | State::Recovering => self.recover(now),
                // Calls had found it dead too: one of them has to find it alive.
                State::Open | State::HalfOpen => self.enter(now, State::HalfOpen),
            }
        } else if is_first && self.state == State::Open && self.calls_failed == 0 {
            // It was down because nothing had ever found it alive.
            self.recover(now);
        }
        self.half_open_if_due(now);
    }

    fn on_probe_failed(&mut self, now: Instant, thresholds: Thresholds) {
        self.probes_answered = 0;
        self.probes_failed = self.probes_failed.saturating_add(1);
        if self.probes_failed < thresholds.down_after {
            return;
        }
        if self.knows_probes {
            if !self.ill {
                self.ill = true;
                self.back_off(now);
            }
        } else if !self.takes_calls && self.state == State::Closed {
            // Nothing has found it alive, and a call may be the first: at once.
            self.enter(now, State::Open);
            self.retry_at = now;
        }
    }

    fn on_call_taken(&mut self, now: Instant) {
        (self.probes_failed, self.calls_failed) = (0, 0);
        self.takes_calls = true;
        self.trial = None;
        if self.ill {
            // It takes calls and answers no probe: so those mean nothing to it.
            (self.ill, self.knows_probes) = (false, false);
            return self.recover(now);
        }
        match self.state {
            State::Open | State::HalfOpen => self.recover(now),
            State::Recovering if now.since(self.since) >= RAMP => self.close(now),
            State::Recovering | State::Closed => {}
        }
    }

    fn on_call_failed(&mut self, now: Instant, thresholds: Thresholds) {
        let is_near = now.since(self.last_failed_call) <= FAILURE_MEMORY;
        self.calls_failed = if is_near { self.calls_failed.saturating_add(1) } else { 1 };
        self.last_failed_call = now;
        let was_trial = self.trial.take().is_some();
        let opens = match self.state {
            State::Closed => self.calls_failed >= thresholds.down_after,
            State::Recovering | State::HalfOpen => true,
            // Of a call that had begun before, it says nothing new.
            State::Open => was_trial,
        };
        if opens {
            self.takes_calls = false;
            if self.state != State::Open {
                self.enter(now, State::Open);
            }
            self.back_off(now);
        } else if was_trial {
            self.back_off(now);
        }
    }

    /// The back-off of an open breaker is over; where probes are answered the last one must have been.
    fn half_open_if_due(&mut self, now: Instant) {
        let is_due = self.state == State::Open && !self.ill && now >= self.retry_at;
        if is_due && !(self.knows_probes && self.probes_failed > 0) {
            self.enter(now, State::HalfOpen);
        }
    }

    fn back_off(&mut self, now: Instant) {
        let back_off = FIRST_BACK_OFF * 2u32.pow(self.level.min(6));
        self.retry_at = now + back_off.min(MAX_BACK_OFF);
        self.level = self.level.saturating_add(1);
    }

    fn recover(&mut self, now: Instant) {
        self.let_in = 0;
        self.enter(now, State::Recovering);
    }

    fn close(&mut self, now: Instant) {
        self.level = 0;
        self.enter(now, State::Closed);
    }

    fn enter(&mut self, now: Instant, state: State) {
        (self.state, self.since, self.trial) = (state, now, None);
    }
}

/// How many calls the ramp has let in after so long: in its first seconds one a second, then twice as many
/// every [`RAMP_STEP_S`].
fn ramp(elapsed: Duration) -> u32 {
    (0..=elapsed.as_secs().min(RAMP.as_secs())).map(|second| 1u32 << (second / RAMP_STEP_S).min(16)).sum()
}
