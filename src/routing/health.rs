//! The health of every target: when each is probed, what probes and calls say of it, and what has
//! changed for people. The verdicts are those of `breaker`.
//!
//! A target is known by trunk, address and transport, and not by the name that it was found under. DNS
//! health is not peer health: a name that DNS does not answer for keeps its addresses and their
//! health; an address that DNS gives no more is probed no more, and forgotten after a while.
//!
//! Must not know: messages, DNS, Prometheus.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::breaker::{Breaker, Evidence, Obstacle, State, Thresholds};
use super::settings::{Health, Trunk};
use super::{Settings, Target};
use crate::base::{Instant, Random, TimerId, Timers, Transport, TrunkName};

/// So many targets of one trunk are watched; calls are tried at the others all the same.
pub const MAX_TARGETS_OF_A_TRUNK: usize = 64;
/// So many of all trunks.
pub const MAX_TARGETS: usize = 4_096;
/// Of so many health is kept, those counted in that are no targets any more.
const MAX_KEPT: usize = 2 * MAX_TARGETS;
/// Two probes of the node are never nearer than this.
pub const PROBE_GAP: Duration = Duration::from_millis(2);
/// How long the health of an address is kept that DNS does not give, or of a disabled trunk.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Changes that wait to be told; more come only of a reload, and then the oldest are left out.
const MAX_CHANGES: usize = 2 * MAX_TARGETS;

/// What the health and the counters of a target are kept under.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetKey {
    /// Whose it is: two carriers behind one address have a state each.
    pub trunk: TrunkName,
    /// Where.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
}

impl Target {
    /// Its key.
    pub fn key(&self) -> TargetKey {
        TargetKey { trunk: self.trunk.clone(), address: self.address, transport: self.transport }
    }
}

/// What became of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeResult {
    /// A final response.
    Answer {
        /// Its status code.
        status: u16,
        /// Its Retry-After, in seconds.
        retry_after_s: Option<u32>,
        /// From the sending of the request.
        latency: Duration,
    },
    /// None in `health.timeout`.
    Silence,
    /// It could not be sent, or its connection broke.
    Unreachable,
}

/// What became of a call at a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallResult {
    /// Somebody is there: a provisional response.
    Heard,
    /// A response that speaks of the call, not of the target.
    Taken,
    /// A response that speaks against the target.
    Refused {
        /// Its status code.
        status: u16,
        /// Its Retry-After, in seconds.
        retry_after_s: Option<u32>,
    },
    /// No response in `failover.timeout`, or no ringing in `progress_timeout`.
    Silence,
    /// It could not be sent, or its connection broke.
    Unreachable,
    /// The call ended before anything could be learnt.
    GivenUp,
}

/// The last thing that spoke against a target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// OPTIONS had no answer.
    ProbeSilence,
    /// OPTIONS could not be sent.
    ProbeUnreachable,
    /// OPTIONS was answered with this.
    ProbeStatus(u16),
    /// An INVITE had no answer.
    CallSilence,
    /// An INVITE could not be sent.
    CallUnreachable,
    /// An INVITE was answered with this.
    CallStatus(u16),
}

/// Something that people are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HealthChange {
    /// A target is up or down from now on, or came.
    Target {
        /// Which.
        target: TargetKey,
        /// Whether calls go there.
        up: bool,
        /// Why not; `None` for one that is up, or new.
        why: Option<DownBecause>,
        /// Whether it was known before: one that has just come is not worth a line.
        known: bool,
        /// Targets of its trunk that are up now.
        left: usize,
        /// Targets of its trunk.
        total: usize,
    },
    /// A target is none any more.
    Gone {
        /// Which.
        target: TargetKey,
    },
    /// A probe was answered.
    Latency {
        /// Whose target it was.
        trunk: TrunkName,
        /// From sending to answer.
        latency: Duration,
    },
    /// A trunk is up from now on (one of its targets is), or down.
    Trunk {
        /// Which.
        trunk: TrunkName,
        /// Whether one of its targets is up.
        up: bool,
    },
    /// A trunk is configured no more.
    TrunkGone {
        /// Which.
        trunk: TrunkName,
    },
}

/// Why a target is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DownBecause {
    /// What happened last.
    pub failure: Failure,
    /// So often in a row.
    pub times: u32,
    /// So often in a row did the other witness fail: calls, where the failure is of OPTIONS, or OPTIONS.
    pub also: u32,
    /// Since then.
    pub since: Instant,
    /// Until when it asked to be left alone.
    pub aside_until: Option<Instant>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::ProbeSilence => f.write_str("no answer to OPTIONS"),
            Failure::ProbeUnreachable => f.write_str("OPTIONS could not be sent"),
            Failure::ProbeStatus(status) => write!(f, "OPTIONS answered with {status}"),
            Failure::CallSilence => f.write_str("no answer to a call"),
            Failure::CallUnreachable => f.write_str("a call could not be sent"),
            Failure::CallStatus(status) => write!(f, "a call answered with {status}"),
        }
    }
}

/// One target at the moment, for those who show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetHealth {
    /// Whether calls go there.
    pub up: bool,
    /// Where its breaker is.
    pub breaker: State,
    /// Since when.
    pub since: Instant,
    /// The last thing that spoke against it, and when.
    pub last_failure: Option<(Instant, Failure)>,
    /// How long the last OPTIONS took to be answered; `None`: it was not.
    pub latency: Option<Duration>,
    /// Whether anything was heard of it, or missed: it was asked, or called.
    pub known: bool,
    /// What failed so often in a row, and how often it may before the target is down; `None`: the last did
    /// not, or the target is down.
    pub failing: Option<(u32, u32)>,
}

/// What is known of one target.
#[derive(Clone, Debug)]
struct Watched {
    target: Target,
    settings: Health,
    breaker: Breaker,
    /// What people were told.
    told_up: bool,
    /// Of the row of failures that it is in, if any.
    failing_since: Option<Instant>,
    last_failure: Option<(Instant, Failure)>,
    latency: Option<Duration>,
    known: bool,
    probe: Option<TimerId>,
    aside: Option<TimerId>,
    /// When it is forgotten; it is no target any more.
    forget: Option<TimerId>,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    Probe,
    Forget,
    /// The time that it asked for is over.
    AsideOver,
}

/// Every target's health.
#[derive(Clone, Debug, Default)]
pub struct TargetsHealth {
    watched: BTreeMap<TargetKey, Watched>,
    timers: Timers<(TargetKey, Due)>,
    /// When the last probe was taken.
    probed: Instant,
    /// What people were told of trunks.
    trunks: BTreeMap<TrunkName, bool>,
    changes: VecDeque<HealthChange>,
    stopped: bool,
}

impl TargetsHealth {
    /// Follows the targets of the enabled trunks as they are now. What is known of those that remain is
    /// kept.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        random: &mut Random,
        settings: &Settings,
        targets_of: impl Fn(&TrunkName) -> Vec<Target>,
    ) {
        let mut wanted: BTreeMap<TargetKey, (Target, Health)> = BTreeMap::new();
        for trunk in &settings.trunks {
            for target in targets_of(&trunk.name).into_iter().take(MAX_TARGETS_OF_A_TRUNK) {
                if wanted.len() < MAX_TARGETS {
                    wanted.entry(target.key()).or_insert_with(|| (target, trunk.health.clone()));
                }
            }
        }
        let gone: Vec<TargetKey> =
            self.watched.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in gone {
            self.let_go(now, &key);
        }
        for (key, (target, health)) in wanted {
            self.watch(now, random, key, target, health);
        }
        self.tell_trunks(now, &settings.trunks);
    }

    fn watch(&mut self, now: Instant, random: &mut Random, key: TargetKey, target: Target, health: Health) {
        let (comes, rearms) = match self.watched.get_mut(&key) {
            Some(watched) => {
                let forget = watched.forget.take();
                let is_other = watched.settings.interval != health.interval;
                if is_other && health.interval.is_zero() {
                    watched.breaker.forget_probes(now);
                }
                (watched.target, watched.settings) = (target, health.clone());
                if let Some(timer) = forget {
                    self.timers.disarm(timer);
                }
                (forget.is_some(), forget.is_some() || is_other)
            }
            None => {
                self.watched.insert(key.clone(), Watched::new(now, target, health.clone()));
                (true, true)
            }
        };
        if rearms {
            // Anywhere in the interval: hundreds that come at once are spread over it.
            self.arm_probe(&key, now + part_of(health.interval, random.below(1_000)));
        }
        if comes && let Some(watched) = self.watched.get_mut(&key) {
            let up = watched.breaker.is_up(now);
            watched.told_up = up;
            self.note(HealthChange::Target { target: key, up, why: None, known: false, left: 0, total: 0 });
        } else {
            self.tell(now, &key);
        }
    }

    fn let_go(&mut self, now: Instant, key: &TargetKey) {
        let Some(watched) = self.watched.get_mut(key) else { return };
        if watched.forget.is_some() {
            return;
        }
        watched.forget = Some(self.timers.arm(now + FORGET_AFTER, (key.clone(), Due::Forget)));
        if let Some(probe) = watched.probe.take() {
            self.timers.disarm(probe);
        }
        self.note(HealthChange::Gone { target: key.clone() });
        // A name that leads elsewhere with each answer.
        if self.watched.len() > MAX_KEPT {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: &TargetKey) {
        let Some(watched) = self.watched.remove(key) else { return };
        for timer in [watched.probe, watched.aside, watched.forget].into_iter().flatten() {
            self.timers.disarm(timer);
        }
    }

    fn arm_probe(&mut self, key: &TargetKey, at: Instant) {
        let stopped = self.stopped;
        let Some(watched) = self.watched.get_mut(key) else { return };
        if let Some(before) = watched.probe.take() {
            self.timers.disarm(before);
        }
        if !watched.settings.interval.is_zero() && !stopped {
            watched.probe = Some(self.timers.arm(at, (key.clone(), Due::Probe)));
        }
    }

    /// The next target that is to be probed now, and what else is due. One in [`PROBE_GAP`].
    pub(super) fn take_due_probe(&mut self, now: Instant, random: &mut Random) -> Option<Target> {
        loop {
            if self.timers.next_deadline()? > now || now < self.probed + PROBE_GAP {
                return None;
            }
            let (key, due) = self.timers.pop_due(now)?;
            match due {
                Due::Forget => self.forget(&key),
                Due::AsideOver => self.tell(now, &key),
                Due::Probe => {
                    let watched = self.watched.get_mut(&key)?;
                    watched.probe = None;
                    let (target, interval) = (watched.target.clone(), watched.settings.interval);
                    // The interval on average, a fifth more or less: two never keep step.
                    self.arm_probe(&key, now + part_of(interval, 800 + random.below(401)));
                    self.probed = now;
                    return Some(target);
                }
            }
        }
    }

    /// When [`Self::take_due_probe`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        Some(self.timers.next_deadline()?.max(self.probed + PROBE_GAP))
    }

    /// No more probes, whatever comes.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        for watched in self.watched.values_mut() {
            if let Some(timer) = watched.probe.take() {
                self.timers.disarm(timer);
            }
        }
    }

    /// What became of a probe.
    pub(super) fn on_probe(&mut self, now: Instant, key: &TargetKey, result: ProbeResult) {
        let Some(watched) = self.watched.get_mut(key) else { return };
        let (evidence, failure) = match result {
            ProbeResult::Answer { status, .. } if watched.settings.means_alive(status) => {
                (Evidence::ProbeAnswered, None)
            }
            ProbeResult::Answer { status, .. } => (Evidence::ProbeFailed, Some(Failure::ProbeStatus(status))),
            ProbeResult::Silence => (Evidence::ProbeFailed, Some(Failure::ProbeSilence)),
            ProbeResult::Unreachable => (Evidence::ProbeFailed, Some(Failure::ProbeUnreachable)),
        };
        watched.learn(now, evidence, failure);
        watched.latency = None;
        if let ProbeResult::Answer { status, retry_after_s, latency } = result {
            watched.latency = Some(latency);
            self.note(HealthChange::Latency { trunk: key.trunk.clone(), latency });
            self.put_aside(now, key, status, retry_after_s);
        }
        self.tell(now, key);
    }

    /// Whether a call may go to a target now; counts it there if so. The target's [`CallResult`] follows.
    pub fn admit(&mut self, now: Instant, key: &TargetKey) -> Result<(), Obstacle> {
        let Some(watched) = self.watched.get_mut(key) else { return Ok(()) };
        let admitted = watched.breaker.admit(now);
        self.tell(now, key);
        admitted
    }

    /// What would keep a call from a target now; nothing is counted.
    pub fn obstacle(&self, now: Instant, key: &TargetKey) -> Option<Obstacle> {
        self.watched.get(key)?.breaker.clone().admit(now).err()
    }

    /// A call goes to a target that had not admitted it.
    pub fn force(&mut self, now: Instant, key: &TargetKey) {
        if let Some(watched) = self.watched.get_mut(key) {
            watched.breaker.force(now);
        }
    }

    /// What became of a call at a target.
    pub fn on_call(&mut self, now: Instant, key: &TargetKey, result: CallResult) {
        let Some(watched) = self.watched.get_mut(key) else { return };
        let (evidence, failure) = match result {
            CallResult::Heard => (Evidence::CallHeard, None),
            CallResult::Taken => (Evidence::CallTaken, None),
            CallResult::GivenUp => (Evidence::CallGivenUp, None),
            CallResult::Refused { status, .. } => (Evidence::CallFailed, Some(Failure::CallStatus(status))),
            CallResult::Silence => (Evidence::CallFailed, Some(Failure::CallSilence)),
            CallResult::Unreachable => (Evidence::CallFailed, Some(Failure::CallUnreachable)),
        };
        watched.learn(now, evidence, failure);
        if let CallResult::Refused { status, retry_after_s } = result {
            self.put_aside(now, key, status, retry_after_s);
        }
        self.tell(now, key);
    }

    fn put_aside(&mut self, now: Instant, key: &TargetKey, status: u16, retry_after_s: Option<u32>) {
        let Some(seconds) = retry_after_s.filter(|seconds| status == 503 && *seconds > 0) else { return };
        let Some(watched) = self.watched.get_mut(key) else { return };
        watched.breaker.put_aside(now, Duration::from_secs(u64::from(seconds)));
        let timer = self.timers.arm(watched.breaker.aside_until(), (key.clone(), Due::AsideOver));
        if let Some(before) = watched.aside.replace(timer) {
            self.timers.disarm(before);
        }
    }

    /// Whether a target is up; one that is not watched is taken to be.
    pub fn is_up(&self, now: Instant, key: &TargetKey) -> bool {
        self.watched.get(key).is_none_or(|watched| watched.breaker.is_up(now))
    }

    /// What is known of a target.
    pub fn of(&self, now: Instant, key: &TargetKey) -> Option<TargetHealth> {
        let watched = self.watched.get(key)?;
        Some(TargetHealth {
            up: watched.breaker.is_up(now),
            breaker: watched.breaker.state_at(now),
            since: watched.breaker.since(),
            last_failure: watched.last_failure,
            latency: watched.latency,
            known: watched.known,
            failing: watched.failing(now),
        })
    }

    /// A call was answered by whatever response: somebody is there.
    pub fn note_answered(&mut self, key: &TargetKey) {
        if let Some(watched) = self.watched.get_mut(key) {
            watched.known = true;
        }
    }

    /// When a call may be let in at the latest; `None`: nothing is known.
    pub fn back_at(&self, key: &TargetKey) -> Option<Instant> {
        self.watched.get(key).map(|watched| watched.breaker.back_at())
    }

    /// The next thing that people are told.
    pub fn poll(&mut self) -> Option<HealthChange> {
        self.changes.pop_front()
    }

    /// Tells what has changed of a target, and of its trunk.
    fn tell(&mut self, now: Instant, key: &TargetKey) {
        let Some(watched) = self.watched.get_mut(key) else { return };
        let up = watched.breaker.is_up(now);
        if up == watched.told_up || watched.forget.is_some() {
            return;
        }
        watched.told_up = up;
        let why = watched.why_down(now);
        let (left, total) = self.count(now, &key.trunk);
        let change = HealthChange::Target { target: key.clone(), up, why, known: true, left, total };
        self.note(change);
        self.tell_trunk(&key.trunk, left > 0);
    }

    fn tell_trunks(&mut self, now: Instant, trunks: &[Trunk]) {
        let is_there = |name: &TrunkName| trunks.iter().any(|trunk| trunk.name == *name);
        let gone: Vec<TrunkName> = self.trunks.keys().filter(|name| !is_there(name)).cloned().collect();
        for trunk in gone {
            self.trunks.remove(&trunk);
            self.note(HealthChange::TrunkGone { trunk });
        }
        for trunk in trunks {
            let up = self.count(now, &trunk.name).0 > 0;
            self.tell_trunk(&trunk.name, up);
        }
    }

    fn tell_trunk(&mut self, trunk: &TrunkName, up: bool) {
        if self.trunks.insert(trunk.clone(), up) != Some(up) {
            self.note(HealthChange::Trunk { trunk: trunk.clone(), up });
        }
    }

    /// Targets of a trunk that are up, and all.
    fn count(&self, now: Instant, trunk: &TrunkName) -> (usize, usize) {
        let from = TargetKey {
            trunk: trunk.clone(),
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            transport: Transport::Udp,
        };
        let own = self.watched.range(from..).take_while(|(key, _)| key.trunk == *trunk);
        own.filter(|(_, watched)| watched.forget.is_none())
            .fold((0, 0), |(up, all), (_, watched)| (up + usize::from(watched.breaker.is_up(now)), all + 1))
    }

    fn note(&mut self, change: HealthChange) {
        if self.changes.len() >= MAX_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }
}

impl Watched {
    fn new(now: Instant, target: Target, settings: Health) -> Watched {
        Watched {
            target,
            settings,
            breaker: Breaker::new(now),
            told_up: true,
            failing_since: None,
            last_failure: None,
            latency: None,
            known: false,
            probe: None,
            aside: None,
            forget: None,
        }
    }

    fn learn(&mut self, now: Instant, evidence: Evidence, failure: Option<Failure>) {
        let thresholds =
            Thresholds { down_after: self.settings.down_after, up_after: self.settings.up_after };
        self.breaker.learn(now, evidence, thresholds);
        self.known |= evidence != Evidence::CallGivenUp;
        if let Some(failure) = failure {
            self.last_failure = Some((now, failure));
            self.failing_since.get_or_insert(now);
        } else if self.breaker.is_up(now) && evidence != Evidence::CallGivenUp {
            self.failing_since = None;
        }
    }

    fn why_down(&self, now: Instant) -> Option<DownBecause> {
        if self.breaker.is_up(now) {
            return None;
        }
        let (_, failure) = self.last_failure?;
        let times = self.times(failure);
        let both = self.breaker.probes_failed().saturating_add(self.breaker.calls_failed());
        let also = both.saturating_sub(times);
        let aside = self.breaker.aside_until();
        let aside_until = (aside > now).then_some(aside);
        Some(DownBecause { failure, times, also, since: self.failing_since.unwrap_or(now), aside_until })
    }

    /// How far it is from being taken for down.
    fn failing(&self, now: Instant) -> Option<(u32, u32)> {
        let (_, failure) = self.last_failure.filter(|_| self.breaker.is_up(now))?;
        let times = self.times(failure);
        // Beyond it, silence to OPTIONS says nothing any more, for calls get through.
        (1..self.settings.down_after).contains(&times).then_some((times, self.settings.down_after))
    }

    /// How often in a row a failure of this kind came last.
    fn times(&self, failure: Failure) -> u32 {
        match failure {
            Failure::ProbeSilence | Failure::ProbeUnreachable | Failure::ProbeStatus(_) => {
                self.breaker.probes_failed()
            }
            Failure::CallSilence | Failure::CallUnreachable | Failure::CallStatus(_) => {
                self.breaker.calls_failed()
            }
        }
    }
}

/// So many thousandths of a duration.
fn part_of(duration: Duration, thousandths: u32) -> Duration {
    duration * thousandths / 1_000
}
