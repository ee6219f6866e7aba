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
    /// Since when it is away: a trial that fails does not begin that anew.
    away_since: Option<Instant>,
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
            away_since: None,
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

    /// Where the breaker is. A ramp that is over counts as closed, though no call has come since.
    pub fn state_at(&self, now: Instant) -> State {
        match self.state {
            State::Recovering if now.since(self.since) >= RAMP => State::Closed,
            state => state,
        }
    }

    /// Since when; while it is away, since it went.
    pub fn since(&self) -> Instant {
        self.away_since.unwrap_or(self.since)
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

    /// There are no more probes, and what they said counts no more: nothing would ever take it back. What
    /// calls found stays.
    pub fn forget_probes(&mut self, now: Instant) {
        (self.knows_probes, self.probes_failed, self.probes_answered) = (false, 0, 0);
        let was_ill = std::mem::take(&mut self.ill);
        if was_ill && matches!(self.state, State::Closed | State::Recovering) {
            self.recover(now);
        }
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
        self.away_since = match state {
            State::Open | State::HalfOpen => Some(self.since()),
            State::Closed | State::Recovering => None,
        };
    }
}

/// How many calls the ramp has let in after so long: in its first seconds one a second, then twice as many
/// every [`RAMP_STEP_S`].
fn ramp(elapsed: Duration) -> u32 {
    (0..=elapsed.as_secs().min(RAMP.as_secs())).map(|second| 1u32 << (second / RAMP_STEP_S).min(16)).sum()
}

#[cfg(test)]
mod tests {
    use Evidence::{CallFailed, CallGivenUp, CallHeard, CallTaken, ProbeAnswered, ProbeFailed};
    use State::{Closed, HalfOpen, Open, Recovering};

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { down_after: 3, up_after: 2 };
    const START: Instant = Instant::from_millis(1_000_000);

    /// A target that all this happened to, each a second after the other, and the time then.
    fn after(events: &[Evidence]) -> (Breaker, Instant) {
        let mut breaker = Breaker::new(START);
        let mut now = START;
        for event in events {
            breaker.learn(now, *event, THRESHOLDS);
            now = now + Duration::from_secs(1);
        }
        (breaker, now)
    }

    /// Calls failed, the back-off is over, and one call is let in.
    fn half_open() -> (Breaker, Instant) {
        let (mut breaker, now) = after(&[CallFailed; 3]);
        let now = now + FIRST_BACK_OFF;
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.state, HalfOpen);
        (breaker, now)
    }

    fn recovering() -> (Breaker, Instant) {
        let (mut breaker, now) = half_open();
        breaker.learn(now, CallTaken, THRESHOLDS);
        (breaker, now)
    }

    fn ill() -> (Breaker, Instant) {
        after(&[ProbeAnswered, ProbeFailed, ProbeFailed, ProbeFailed])
    }

    #[test]
    fn every_state_answers_every_event() {
        let begin: [(&str, (Breaker, Instant)); 6] = [
            ("closed", after(&[])),
            ("closed, one short", after(&[CallFailed, CallFailed, ProbeAnswered, ProbeFailed, ProbeFailed])),
            ("open", after(&[CallFailed; 3])),
            ("half-open", half_open()),
            ("recovering", recovering()),
            ("ill", ill()),
        ];
        // The state after the event, and whether the target is up then.
        let table = [
            ("closed", ProbeAnswered, Closed, true),
            ("closed", ProbeFailed, Closed, true),
            ("closed", CallHeard, Closed, true),
            ("closed", CallTaken, Closed, true),
            ("closed", CallFailed, Closed, true),
            ("closed", CallGivenUp, Closed, true),
            ("closed, one short", ProbeAnswered, Closed, true),
            ("closed, one short", ProbeFailed, Closed, false),
            ("closed, one short", CallHeard, Closed, true),
            ("closed, one short", CallTaken, Closed, true),
            ("closed, one short", CallFailed, Open, false),
            ("closed, one short", CallGivenUp, Closed, true),
            ("open", ProbeAnswered, Open, false),
            ("open", ProbeFailed, Open, false),
            ("open", CallHeard, Open, false),
            ("open", CallTaken, Recovering, true),
            ("open", CallFailed, Open, false),
            ("open", CallGivenUp, Open, false),
            ("half-open", ProbeAnswered, HalfOpen, true),
            ("half-open", ProbeFailed, HalfOpen, false),
            ("half-open", CallHeard, HalfOpen, false),
            ("half-open", CallTaken, Recovering, true),
            ("half-open", CallFailed, Open, false),
            ("half-open", CallGivenUp, HalfOpen, false),
            ("recovering", ProbeAnswered, Recovering, true),
            ("recovering", ProbeFailed, Recovering, true),
            ("recovering", CallHeard, Recovering, true),
            ("recovering", CallTaken, Recovering, true),
            ("recovering", CallFailed, Open, false),
            ("recovering", CallGivenUp, Recovering, true),
            ("ill", ProbeAnswered, Closed, false),
            ("ill", ProbeFailed, Closed, false),
            ("ill", CallHeard, Closed, false),
            ("ill", CallTaken, Recovering, true),
            ("ill", CallFailed, Closed, false),
            ("ill", CallGivenUp, Closed, false),
        ];
        assert_eq!(table.len(), begin.len() * 6);
        for (from, event, state, is_up) in table {
            let (_, (breaker, now)) = begin.iter().find(|(name, _)| *name == from).unwrap();
            let mut breaker = breaker.clone();
            breaker.learn(*now, event, THRESHOLDS);
            assert_eq!((breaker.state, breaker.is_up(*now)), (state, is_up), "{from}, {event:?}");
        }
    }

    #[test]
    fn probes_that_are_answered_again_bring_a_target_back_by_the_ramp() {
        let (mut breaker, now) = ill();
        assert_eq!(breaker.admit(now), Err(Obstacle::Probes));
        breaker.learn(now, ProbeAnswered, THRESHOLDS);
        assert_eq!(breaker.admit(now), Err(Obstacle::Probes));
        breaker.learn(now, ProbeAnswered, THRESHOLDS);
        assert_eq!((breaker.state, breaker.is_up(now)), (Recovering, true));
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.admit(now), Err(Obstacle::Share));
        let let_in =
            |breaker: &mut Breaker, now| (0..1_000).take_while(|_| breaker.admit(now).is_ok()).count();
        assert_eq!(let_in(&mut breaker, now + Duration::from_secs(1)), 1);
        assert_eq!(let_in(&mut breaker, now + Duration::from_secs(12)), 25);
        assert_eq!(let_in(&mut breaker, now + RAMP), 1_000);
        assert_eq!(breaker.state, Closed);
    }

    #[test]
    fn one_call_at_a_time_tries_a_target_that_calls_found_dead_ever_more_seldom() {
        let (mut breaker, mut now) = after(&[CallFailed; 3]);
        let went_at = breaker.since();
        let mut back_offs = Vec::new();
        for _ in 0..9 {
            let since = now;
            while breaker.admit(now).is_err() {
                now = now + Duration::from_secs(1);
            }
            assert_eq!(breaker.admit(now), Err(Obstacle::Share));
            back_offs.push(now.since(since).as_secs());
            breaker.learn(now, CallFailed, THRESHOLDS);
            assert_eq!(breaker.since(), went_at, "people are told since when it is away");
        }
        // The first began at the third failure, a second before.
        assert_eq!(back_offs, [4, 10, 20, 40, 80, 160, 300, 300, 300]);
        now = now + MAX_BACK_OFF;
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.learn(now, CallGivenUp, THRESHOLDS);
        assert_eq!(breaker.admit(now), Ok(()), "who hung up has found out nothing");
        breaker.learn(now, CallTaken, THRESHOLDS);
        assert_eq!(breaker.admit(now + RAMP), Ok(()));
        for _ in 0..3 {
            breaker.learn(now + RAMP, CallFailed, THRESHOLDS);
        }
        assert_eq!(breaker.back_at(), now + RAMP + FIRST_BACK_OFF, "what is closed is forgiven");
    }

    #[test]
    fn a_trial_without_an_outcome_blocks_nobody_for_ever() {
        let (mut breaker, now) = half_open();
        assert_eq!(breaker.admit(now), Err(Obstacle::Share));
        assert_eq!(breaker.admit(now + TRIAL_LIMIT), Ok(()));
    }

    #[test]
    fn a_target_that_never_answered_a_probe_may_be_tried_by_a_call_at_once() {
        let (mut breaker, now) = after(&[ProbeFailed; 3]);
        assert!(!breaker.is_up(now));
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.admit(now), Err(Obstacle::Share));
        breaker.learn(now, CallTaken, THRESHOLDS);
        // It takes calls, and OPTIONS mean nothing to it.
        for _ in 0..10 {
            breaker.learn(now, ProbeFailed, THRESHOLDS);
        }
        assert!(breaker.is_up(now));
    }

    #[test]
    fn a_target_that_never_answered_a_probe_is_well_with_the_first() {
        let (mut breaker, now) = after(&[ProbeFailed; 4]);
        assert!(!breaker.is_up(now));
        breaker.learn(now, ProbeAnswered, THRESHOLDS);
        assert_eq!((breaker.state, breaker.is_up(now)), (Recovering, true));
    }

    #[test]
    fn answered_probes_do_not_close_what_calls_found_dead() {
        let (mut breaker, now) = after(&[ProbeAnswered, CallFailed, CallFailed, CallFailed]);
        for _ in 0..5 {
            breaker.learn(now, ProbeAnswered, THRESHOLDS);
        }
        assert_eq!(breaker.admit(now), Err(Obstacle::Calls));
        let later = now + FIRST_BACK_OFF;
        breaker.learn(later, ProbeFailed, THRESHOLDS);
        assert_eq!(breaker.admit(later), Err(Obstacle::Calls), "the last probe was silent");
        breaker.learn(later, ProbeAnswered, THRESHOLDS);
        assert_eq!((breaker.state, breaker.admit(later)), (HalfOpen, Ok(())));
    }

    #[test]
    fn a_call_that_is_heard_outweighs_silent_probes() {
        let (breaker, now) = after(&[
            ProbeAnswered,
            ProbeFailed,
            ProbeFailed,
            CallHeard,
            ProbeFailed,
            ProbeFailed,
            CallTaken,
            ProbeFailed,
        ]);
        assert!(breaker.is_up(now));
    }

    #[test]
    fn failures_that_lie_far_apart_are_no_row() {
        let mut breaker = Breaker::new(START);
        for at in 0..10 {
            let now = START + (FAILURE_MEMORY + Duration::from_secs(1)) * at;
            breaker.learn(now, CallFailed, THRESHOLDS);
        }
        assert_eq!(breaker.state, Closed);
    }

    #[test]
    fn who_asks_to_be_left_alone_is_so_within_bounds() {
        let (mut breaker, now) = after(&[]);
        breaker.put_aside(now, Duration::from_secs(20));
        assert_eq!(breaker.admit(now + Duration::from_secs(19)), Err(Obstacle::Aside));
        assert!(!breaker.is_up(now));
        assert_eq!(breaker.admit(now + Duration::from_secs(20)), Ok(()));
        breaker.put_aside(now, Duration::from_secs(1_000_000));
        assert_eq!(breaker.admit(now + MAX_ASIDE), Ok(()));
    }
}
