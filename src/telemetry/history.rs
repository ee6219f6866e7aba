//! What went on lately, for people: five minutes second by second, a day minute by minute; of each trunk a day
//! in fives of minutes; and when each target changed between up and down.
//!
//! Two halves: the driver counts into the one (a lock that is held for some additions), and once a second
//! the ticker takes what is there and puts it into the other, which alone is read. The terms are those
//! of docs/metrics.md: ASR by ITU-T E.411, NER by ITU-T E.425, post-dial delay by RFC 6076 §4.3.
//!
//! Must not know: clocks, JSON.

mod spread;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::b2bua::{AttemptResult, Cdr, EndedBy};
use crate::base::{Instant, TrunkName};
use crate::media::DropReason;
use crate::routing::{DownBecause, HealthChange, TargetKey};

pub use spread::Spread;

/// So many seconds are known one by one.
pub const SECONDS_KEPT: usize = 300;
/// So many minutes.
pub const MINUTES_KEPT: usize = 1_440;
/// So many fives of minutes of each trunk.
pub const TRUNK_STEPS_KEPT: usize = 288;
/// Seconds of one step of a trunk.
pub const TRUNK_STEP_S: u32 = 300;
/// Of so many trunks there is a history.
pub const TRUNKS_KEPT: usize = 1_000;
/// Of so many targets.
pub const TARGETS_KEPT: usize = 1_000;
/// So many changes of one target are known, the latest.
pub const CHANGES_KEPT: usize = 64;
/// Changes that wait for the ticker.
const CHANGES_WAITING: usize = 1_000;
const A_MINUTE: u32 = 60;

/// What happened in some span of time.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Bucket {
    /// Calls that came in.
    pub calls: u32,
    /// What became of calls.
    pub ends: Ends,
    /// Calls that were refused here for what they asked (3xx, 4xx, 6xx), before any target was tried.
    pub refused: u32,
    /// The most calls at once.
    pub active: u32,
    /// Post-dial delay: from the INVITE to the first 18x passed on.
    pub delay: Spread,
    /// From the INVITE to the answer.
    pub setup: Spread,
    /// RTP packets that came in.
    pub packets: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// RTP packets that were dropped, in the order of [`DropReason::ALL`].
    pub dropped_by: Dropped,
    /// Sides of calls that were found not to be heard while the other side spoke.
    pub not_heard: u32,
    /// The share of the time that the engine's thread ran, 0–1; the highest of its seconds.
    pub engine_load: Option<f32>,
    /// The same of the busiest media worker.
    pub relay_load: Option<f32>,
}

/// Packets by the reason for which they were dropped, in the order of [`DropReason::ALL`].
pub type Dropped = [u64; DropReason::ALL.len()];

/// Adds packets to packets, reason by reason.
pub fn add(sum: &mut Dropped, more: &Dropped) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

impl Bucket {
    /// RTP packets that were dropped, whatever the reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_by.iter().sum()
    }

    /// Adds a later one.
    pub fn merge(&mut self, later: &Bucket) {
        self.calls = self.calls.saturating_add(later.calls);
        self.ends.merge(&later.ends);
        self.refused = self.refused.saturating_add(later.refused);
        self.active = self.active.max(later.active);
        self.delay.merge(&later.delay);
        self.setup.merge(&later.setup);
        self.packets = self.packets.saturating_add(later.packets);
        self.bytes = self.bytes.saturating_add(later.bytes);
        add(&mut self.dropped_by, &later.dropped_by);
        self.not_heard = self.not_heard.saturating_add(later.not_heard);
        self.engine_load = higher(self.engine_load, later.engine_load);
        self.relay_load = higher(self.relay_load, later.relay_load);
    }
}

fn higher(one: Option<f32>, other: Option<f32>) -> Option<f32> {
    one.into_iter().chain(other).reduce(f32::max)
}

/// What became of calls, or of the attempts at one trunk.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Ends {
    /// All of them: those that were answered when they were, the others when they were over.
    pub attempts: u32,
    /// A 2xx came.
    pub answered: u32,
    /// The network did its part: answered, rang, busy or declined by the callee.
    pub effective: u32,
    /// Directions of media that were scored, and the sum of the scores.
    scored: u32,
    score: f64,
}

impl Ends {
    /// The answer-seizure ratio, 0–1 (ITU-T E.411). `None`: nothing ended.
    pub fn asr(&self) -> Option<f64> {
        self.share(self.answered)
    }

    /// The network effectiveness ratio, 0–1 (ITU-T E.425). `None`: nothing ended.
    pub fn ner(&self) -> Option<f64> {
        self.share(self.effective)
    }

    /// The mean opinion score over all directions of media, 1.0–4.5. `None`: none was heard.
    pub fn mos(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.score / f64::from(self.scored))
    }

    fn share(&self, part: u32) -> Option<f64> {
        (self.attempts > 0).then(|| f64::from(part) / f64::from(self.attempts))
    }

    fn merge(&mut self, other: &Ends) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.answered = self.answered.saturating_add(other.answered);
        self.effective = self.effective.saturating_add(other.effective);
        self.scored = self.scored.saturating_add(other.scored);
        self.score += other.score;
    }

    fn count(&mut self, answered: bool, effective: bool) {
        self.attempts = self.attempts.saturating_add(1);
        self.answered = self.answered.saturating_add(answered.into());
        self.effective = self.effective.saturating_add(effective.into());
    }

    fn add_score(&mut self, mos: Option<f64>) {
        if let Some(mos) = mos {
            self.scored = self.scored.saturating_add(1);
            self.score += mos;
        }
    }
}

/// What happened on one trunk in some span of time.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct TrunkBucket {
    /// Calls that came from it, and attempts to call there.
    pub calls: u32,
    /// What became of the attempts to call there.
    pub ends: Ends,
    /// Calls whose party there was found not to be heard.
    pub not_heard: u32,
}

impl TrunkBucket {
    fn merge(&mut self, later: &TrunkBucket) {
        self.calls = self.calls.saturating_add(later.calls);
        self.ends.merge(&later.ends);
        self.not_heard = self.not_heard.saturating_add(later.not_heard);
    }
}

/// What the ticker has measured.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Sample {
    /// Calls at this moment.
    pub active: u32,
    /// RTP packets that have come in since the start.
    pub packets: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// RTP packets dropped since the start.
    pub dropped_by: Dropped,
    /// The share of the time since the last tick that the engine's thread ran, 0–1.
    pub engine_load: Option<f32>,
    /// The same of the busiest media worker.
    pub relay_load: Option<f32>,
}

/// A target is up or down from here on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// When, to a second.
    pub at: Instant,
    /// Whether calls go there.
    pub up: bool,
    /// Whether it was neither asked nor called yet.
    pub is_new: bool,
    /// Why not.
    pub why: Option<DownBecause>,
}

/// Since the last tick.
#[derive(Default, Debug)]
struct Feed {
    bucket: Bucket,
    trunks: HashMap<TrunkName, TrunkBucket>,
    changes: Vec<HealthChange>,
}

/// Everything before.
#[derive(Default, Debug)]
pub struct Past {
    /// Of the last tick.
    at: Option<Instant>,
    sample: Sample,
    seconds: VecDeque<Option<Bucket>>,
    minutes: VecDeque<Bucket>,
    /// The minute that goes on, and how much of it is over.
    minute: (Bucket, u32),
    trunks: HashMap<TrunkName, TrunkPast>,
    /// How much of the step of all trunks is over, in seconds.
    trunk_step: u32,
    targets: HashMap<TargetKey, VecDeque<Change>>,
}

/// The steps of one trunk, the oldest first, and the one that goes on.
#[derive(Default, Debug)]
struct TrunkPast {
    steps: VecDeque<TrunkBucket>,
    step: TrunkBucket,
}

/// What went on lately.
#[derive(Default, Debug)]
pub struct History {
    feed: Mutex<Feed>,
    past: Mutex<Past>,
}

impl History {
    /// A call began on a trunk; `arrived`: it is the INVITE that came.
    pub(super) fn call_began(&self, trunk: Option<&TrunkName>, arrived: bool) {
        let mut feed = lock(&self.feed);
        feed.bucket.calls = feed.bucket.calls.saturating_add(arrived.into());
        if let Some(trunk) = trunk {
            let of_trunk = feed.trunk(trunk);
            of_trunk.calls = of_trunk.calls.saturating_add(1);
        }
    }

    /// A call was answered: known at once, and not when it ends.
    pub(super) fn call_answered(
        &self,
        trunk: Option<&TrunkName>,
        rang_after: Option<Duration>,
        after: Duration,
    ) {
        let mut feed = lock(&self.feed);
        feed.bucket.ends.count(true, true);
        if let Some(delay) = rang_after {
            feed.bucket.delay.add(delay);
        }
        feed.bucket.setup.add(after);
        if let Some(trunk) = trunk {
            feed.trunk(trunk).ends.count(true, true);
        }
    }

    /// A call is over. Only trunks that `is_known` have a history.
    pub(super) fn call_ended(&self, cdr: &Cdr, is_known: impl Fn(&TrunkName) -> bool) {
        let mut feed = lock(&self.feed);
        let bucket = &mut feed.bucket;
        // One that was answered is counted already.
        if was_refused_here(cdr) {
            bucket.refused = bucket.refused.saturating_add(1);
        } else if cdr.answer.is_none() {
            bucket.ends.count(false, was_effective(cdr));
        }
        if let Some(ring) = cdr.ring.filter(|_| cdr.answer.is_none()) {
            bucket.delay.add(ring.since(cdr.start));
        }
        let scores = cdr.media.as_ref().map(|media| [media.from_a.mos, media.from_b.mos]);
        for score in scores.into_iter().flatten() {
            bucket.ends.add_score(score);
        }
        let mut counted = cdr.answer.is_some();
        for attempt in cdr.attempts.iter().filter(|attempt| is_known(&attempt.trunk)) {
            let answered = attempt.result.is_answer();
            if answered && std::mem::take(&mut counted) {
                continue;
            }
            let is_effective = answered || attempt.rang_after.is_some() || is_callees_word(attempt.result);
            feed.trunk(&attempt.trunk).ends.count(answered, is_effective);
        }
        let heard_of = cdr.egress.as_ref().and_then(|leg| leg.trunk.as_ref()).filter(|name| is_known(name));
        if let (Some(trunk), Some(media)) = (heard_of, &cdr.media) {
            feed.trunk(trunk).ends.add_score(media.from_b.mos);
        }
    }

    /// A side of a call is not heard while the other speaks: on which trunk.
    pub(super) fn not_heard(&self, trunk: Option<&TrunkName>) {
        let mut feed = lock(&self.feed);
        feed.bucket.not_heard = feed.bucket.not_heard.saturating_add(1);
        if let Some(trunk) = trunk {
            let of_trunk = feed.trunk(trunk);
            of_trunk.not_heard = of_trunk.not_heard.saturating_add(1);
        }
    }

    /// Something changed with the health of a target.
    pub(super) fn health_changed(&self, change: &HealthChange) {
        if matches!(change, HealthChange::Target { .. } | HealthChange::Gone { .. }) {
            let mut feed = lock(&self.feed);
            if feed.changes.len() < CHANGES_WAITING {
                feed.changes.push(change.clone());
            }
        }
    }

    /// Another second, or several, are over.
    pub fn tick(&self, now: Instant, sample: Sample) {
        let feed = std::mem::take(&mut *lock(&self.feed));
        lock(&self.past).take(now, sample, feed);
    }

    /// Reads what there is, as it was at the last tick.
    pub fn read<T>(&self, read: impl FnOnce(&Past) -> T) -> T {
        read(&lock(&self.past))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refused for what it asked (no route, no such number, a caller id that may not be): no seizure. What
/// failed for want of a trunk, a port or room (5xx) is one.
fn was_refused_here(cdr: &Cdr) -> bool {
    cdr.attempts.is_empty()
        && cdr.answer.is_none()
        && cdr.ended_by != EndedBy::Caller
        && !(500..600).contains(&cdr.status)
}

/// ITU-T E.425: answered, busy, ring no answer, rejected by the terminal. Who hung up while it rang has
/// been served as well.
fn was_effective(cdr: &Cdr) -> bool {
    cdr.ring.is_some() || cdr.attempts.last().is_some_and(|attempt| is_callees_word(attempt.result))
}

/// The callee was reached, and does not want or cannot.
const fn is_callees_word(result: AttemptResult) -> bool {
    matches!(result, AttemptResult::Status(480 | 486 | 600 | 603 | 607 | 608))
}

impl Feed {
    fn trunk(&mut self, name: &TrunkName) -> &mut TrunkBucket {
        if !self.trunks.contains_key(name) {
            self.trunks.insert(name.clone(), TrunkBucket::default());
        }
        self.trunks.entry(name.clone()).or_default()
    }
}

impl Past {
    fn take(&mut self, now: Instant, sample: Sample, feed: Feed) {
        let before = self.sample;
        let bucket = Bucket {
            active: sample.active,
            packets: sample.packets.saturating_sub(before.packets),
            bytes: sample.bytes.saturating_sub(before.bytes),
            dropped_by: std::array::from_fn(|reason| {
                sample.dropped_by[reason].saturating_sub(before.dropped_by[reason])
            }),
            engine_load: sample.engine_load,
            relay_load: sample.relay_load,
            ..feed.bucket
        };
        // Seconds in which nobody ticked are gaps: what was counted in them is in the second after.
        let over = self.at.map_or(1, |at| (now.since(at).as_millis() + 500) / 1_000);
        let over = u32::try_from(over).unwrap_or(u32::MAX).clamp(1, TRUNK_STEP_S);
        for _ in 1..over {
            push(&mut self.seconds, None, SECONDS_KEPT);
        }
        self.minute.0.merge(&bucket);
        push(&mut self.seconds, Some(bucket), SECONDS_KEPT);
        self.minute.1 += over;
        if self.minute.1 >= A_MINUTE {
            let (minute, _) = std::mem::take(&mut self.minute);
            push(&mut self.minutes, minute, MINUTES_KEPT);
        }
        self.take_trunks(over, feed.trunks);
        for change in feed.changes {
            self.take_change(now, change);
        }
        (self.at, self.sample) = (Some(now), sample);
    }

    fn take_trunks(&mut self, over: u32, fed: HashMap<TrunkName, TrunkBucket>) {
        for (name, bucket) in fed {
            if self.trunks.len() < TRUNKS_KEPT || self.trunks.contains_key(&name) {
                self.trunks.entry(name).or_default().step.merge(&bucket);
            }
        }
        self.trunk_step += over;
        if self.trunk_step < TRUNK_STEP_S {
            return;
        }
        self.trunk_step = 0;
        for trunk in self.trunks.values_mut() {
            let step = std::mem::take(&mut trunk.step);
            push(&mut trunk.steps, step, TRUNK_STEPS_KEPT);
        }
        // Of a day in which nothing happened nothing is worth keeping.
        let is_quiet = |step: &TrunkBucket| *step == TrunkBucket::default();
        self.trunks.retain(|_, trunk| !trunk.steps.iter().all(is_quiet));
    }

    fn take_change(&mut self, at: Instant, change: HealthChange) {
        match change {
            HealthChange::Target { target, up, why, known, .. } => {
                if self.targets.len() >= TARGETS_KEPT && !self.targets.contains_key(&target) {
                    return;
                }
                let changes = self.targets.entry(target).or_default();
                push(changes, Change { at, up, is_new: up && !known, why }, CHANGES_KEPT);
            }
            HealthChange::Gone { target } => {
                self.targets.remove(&target);
            }
            HealthChange::Latency { .. } | HealthChange::Trunk { .. } | HealthChange::TrunkGone { .. } => {}
        }
    }

    /// When the last second ended; `None`: there was none yet.
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// The seconds, the oldest first; of those that are `None` nothing is known.
    pub fn seconds(&self) -> impl ExactSizeIterator<Item = Option<&Bucket>> {
        self.seconds.iter().map(Option::as_ref)
    }

    /// The minutes, the oldest first, without the one that goes on.
    pub fn minutes(&self) -> impl ExactSizeIterator<Item = &Bucket> {
        self.minutes.iter()
    }

    /// Seconds of the minute that goes on.
    pub fn seconds_into_the_minute(&self) -> u32 {
        self.minute.1
    }

    /// The last seconds in one, at most [`SECONDS_KEPT`].
    pub fn last_seconds(&self, seconds: usize) -> Bucket {
        sum(self.seconds.iter().rev().take(seconds).flatten())
    }

    /// The last minutes in one, at most [`MINUTES_KEPT`], and the one that goes on.
    pub fn last_minutes(&self, minutes: usize) -> Bucket {
        let mut all = sum(self.minutes.iter().rev().take(minutes));
        all.merge(&self.minute.0);
        all
    }

    /// How many seconds the minutes and the one that goes on cover.
    pub fn seconds_known(&self) -> u32 {
        let minutes = u32::try_from(self.minutes.len()).unwrap_or(u32::MAX);
        minutes.saturating_mul(A_MINUTE).saturating_add(self.minute.1)
    }

    /// The last steps of a trunk in one, and the one that goes on.
    pub fn trunk(&self, name: &TrunkName, steps: usize) -> TrunkBucket {
        let Some(trunk) = self.trunks.get(name) else { return TrunkBucket::default() };
        let mut all = TrunkBucket::default();
        for step in trunk.steps.iter().rev().take(steps) {
            all.merge(step);
        }
        all.merge(&trunk.step);
        all
    }

    /// The steps of a trunk, the oldest first, the one that goes on at the end.
    pub fn trunk_steps(&self, name: &TrunkName) -> Vec<TrunkBucket> {
        let trunk = self.trunks.get(name);
        trunk.map(|trunk| trunk.steps.iter().copied().chain([trunk.step]).collect()).unwrap_or_default()
    }

    /// The changes of a target, the oldest first.
    pub fn changes(&self, target: &TargetKey) -> impl Iterator<Item = &Change> {
        self.targets.get(target).into_iter().flatten()
    }
}

fn sum<'a>(buckets: impl Iterator<Item = &'a Bucket>) -> Bucket {
    let mut all = Bucket::default();
    for bucket in buckets {
        all.merge(bucket);
    }
    all
}

fn push<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

/// Why a target is down, in words; `clock` says the time of day.
pub fn told_reason(why: &DownBecause, clock: impl Fn(Instant) -> String) -> String {
    super::health::reason(why, clock)
}

#[cfg(test)]
mod tests;
