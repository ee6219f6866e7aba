//! Hours of virtual time in which targets die, heal, slow down and lie, names change their addresses, and
//! calls come all the while. What must hold:
//!
//! - no call is tried twice at a target, and nowhere else once a target has rung;
//! - a call is refused by the callee, and by nobody else, if any target has been well for long;
//! - no target that has been well for long is passed by for long;
//! - probes are no storm, at one target or over all.
//!
//! A seed that fails is printed; `DRAWBRIDGE_SEED=17` repeats it alone, `DRAWBRIDGE_HEALTH_SEEDS=500` runs more.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::lab::*;
use crate::b2bua::{Input, Settings};
use crate::base::{Instant, Random, Realm, Transport};
use crate::routing::{Endpoint, Health, Host, Resolution, ResolveFault, RouteSource, Trunk, TrunkHost};
use crate::sip::{Header, Message, Method};

const DEFAULT_SEEDS: u64 = 4;
/// How long the life of one seed is.
const LIFE: Duration = Duration::from_secs(5_400);
const INTERVAL: Duration = Duration::from_secs(30);
/// No answer of DNS outlives the next by much.
const TTL: Duration = Duration::from_secs(1);
/// A target that has been well for so long is found to be: the longest back-off, and probes.
const SETTLED: Duration = Duration::from_secs(420);
/// So many calls may be taken by worse targets while a better one comes back.
const PASSED_BY: u32 = 60;
/// In the order in which they are tried: three of the first trunk, two of a name, one that OPTIONS are not
/// sent to.
const TARGETS: [&str; 6] = [
    "198.51.100.1:5060",
    "198.51.100.2:5060",
    "198.51.100.3:5060",
    "198.51.100.21:5060",
    "198.51.100.22:5060",
    "198.51.100.31:5060",
];
const NAMED: std::ops::Range<usize> = 3..5;
const UNPROBED: usize = 5;
const NAME: &str = "carrier.example";

/// How a target is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Well,
    /// Says nothing.
    Dead,
    /// Answers everything after seconds.
    Slow,
    /// Answers OPTIONS, and calls with a failure of its own.
    Refuses,
    /// Answers OPTIONS, and asks each call to stay away.
    Overloaded,
    /// Takes calls, and is silent to OPTIONS.
    Deaf,
}

/// What happens at a time.
enum Deed {
    Call,
    /// A target sends this, unless the call was cancelled.
    Answer {
        target: usize,
        message: Box<Message>,
        call: Option<Vec<u8>>,
    },
    Change(usize),
    Names,
    Reload,
}

#[derive(Clone)]
struct Target {
    mode: Mode,
    /// Since when, or since when it is a target again.
    since: Instant,
    /// In DNS, for those of the name.
    listed: bool,
    probes: VecDeque<Instant>,
    last_probe: Vec<u8>,
    passed_by: u32,
}

#[derive(Default)]
struct Call {
    invite: Option<Message>,
    began: Instant,
    /// Where it was tried, in order.
    tried: Vec<usize>,
    rang: bool,
    status: Option<u16>,
    /// Targets that were settled when it began.
    settled: Vec<usize>,
}

struct World {
    lab: Lab,
    random: Random,
    deeds: BTreeMap<(Instant, u64), Deed>,
    count: u64,
    targets: Vec<Target>,
    calls: BTreeMap<u64, Call>,
    /// Of the INVITEs that targets got: the call, and whether it was cancelled.
    invites: BTreeMap<Vec<u8>, (u64, bool)>,
    probes: VecDeque<Instant>,
    taken: u64,
}

#[test]
fn hours_in_which_targets_die_heal_and_lie() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("DRAWBRIDGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DRAWBRIDGE_HEALTH_SEEDS").unwrap_or(DEFAULT_SEEDS),
    };
    for seed in seeds {
        let run = || World::new(seed).live();
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            panic!("seed {seed} fails; repeat it with DRAWBRIDGE_SEED={seed}");
        }
    }
}

/// Three trunks in three tiers. Priorities leave no choice of the order.
fn world() -> Settings {
    let mut settings = settings();
    let health = Health { interval: INTERVAL, ..Health::default() };
    let host = |at: usize| TrunkHost {
        host: Host::Address(TARGETS[at].parse::<std::net::SocketAddr>().unwrap().ip()),
        port: Some(5060),
        priority: at as u16 + 1,
        weight: 1,
    };
    let first = Trunk {
        hosts: (0..3).map(host).collect(),
        health: health.clone(),
        ..trunk("first", Realm::Untrusted, TARGETS[0])
    };
    let mut named = trunk("named", Realm::Untrusted, TARGETS[3]);
    named.hosts[0].host = Host::Name(NAME.to_owned());
    named.health = health;
    let unprobed = trunk("unprobed", Realm::Untrusted, TARGETS[UNPROBED]);
    settings.routing.trunks.truncate(1);
    settings.routing.trunks.extend([first, named, unprobed]);
    settings.routing.routes[0] =
        route("out", RouteSource::Realm(Realm::Trusted), &["first", "named", "unprobed"]);
    settings
}

impl World {
    fn new(seed: u64) -> World {
        let lab = Lab::seeded(world(), seed);
        let target = |at: usize| Target {
            mode: Mode::Well,
            since: lab.now,
            listed: !NAMED.contains(&at),
            probes: VecDeque::new(),
            last_probe: Vec::new(),
            passed_by: 0,
        };
        let targets = (0..TARGETS.len()).map(target).collect();
        let mut world = World {
            random: Random::from_number(seed ^ 0x5eed),
            targets,
            lab,
            deeds: BTreeMap::new(),
            count: 0,
            calls: BTreeMap::new(),
            invites: BTreeMap::new(),
            probes: VecDeque::new(),
            taken: 0,
        };
        world.lab.looks_for_leaks = false;
        world.after(Duration::ZERO, Deed::Names);
        world.after(Duration::from_secs(1), Deed::Call);
        world.after(Duration::from_secs(1_000), Deed::Reload);
        for at in 0..TARGETS.len() {
            let first = world.millis(1_000, 600_000);
            world.after(first, Deed::Change(at));
        }
        world
    }

    fn live(mut self) {
        let end = self.lab.now + LIFE;
        loop {
            let deed = self.deeds.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = [deed, self.lab.engine.next_deadline()].into_iter().flatten().min() else {
                break;
            };
            if next > end {
                break;
            }
            let wait = next.since(self.lab.now);
            self.lab.advance(wait);
            self.hear();
            while let Some(entry) = self.deeds.first_entry().filter(|entry| entry.key().0 <= self.lab.now) {
                let deed = entry.remove();
                self.carry_out(deed);
                self.hear();
            }
        }
        assert!(self.taken > 100, "hardly any call was taken: {}", self.taken);
        self.lab.input(Input::Shutdown);
        self.lab.sent.clear();
        self.lab.expect_nothing_left();
    }

    fn after(&mut self, wait: Duration, deed: Deed) {
        self.count += 1;
        self.deeds.insert((self.lab.now + wait, self.count), deed);
    }

    fn millis(&mut self, from: u32, to: u32) -> Duration {
        Duration::from_millis(u64::from(from + self.random.below(to - from)))
    }

    fn carry_out(&mut self, deed: Deed) {
        match deed {
            Deed::Call => {
                self.call();
                let next = self.millis(500, 9_000);
                self.after(next, Deed::Call);
            }
            Deed::Answer { target, message, call } => {
                let is_off = call.as_ref().is_some_and(|id| self.invites.get(id).is_none_or(|(_, off)| *off));
                if !is_off || message.status().is_some_and(|status| status.code() == 487) {
                    self.note_ringing(&message, call.as_deref());
                    self.lab.receive(TARGETS[target], &message);
                }
            }
            Deed::Change(target) => self.change(target),
            Deed::Names => self.change_names(),
            Deed::Reload => {
                self.lab.input(Input::Settings(world().into()));
                self.after(Duration::from_secs(700), Deed::Reload);
            }
        }
    }

    fn change(&mut self, target: usize) {
        const MODES: [Mode; 8] = [
            Mode::Well,
            Mode::Well,
            Mode::Well,
            Mode::Dead,
            Mode::Slow,
            Mode::Refuses,
            Mode::Overloaded,
            Mode::Deaf,
        ];
        let mode = MODES[self.random.below(8) as usize];
        let changed = &mut self.targets[target];
        if changed.mode != mode {
            (changed.mode, changed.since, changed.passed_by) = (mode, self.lab.now, 0);
        }
        let next = self.millis(60_000, 900_000);
        self.after(next, Deed::Change(target));
    }

    /// DNS gives one address, the other, both, none, or no answer.
    fn change_names(&mut self) {
        let choice = self.random.below(6);
        let listed = [&[3][..], &[4], &[3, 4], &[3, 4], &[]].get(choice as usize).copied();
        let resolution = match listed {
            None => Err(ResolveFault::NoAnswer),
            Some([]) => Err(ResolveFault::NoSuchHost { valid_for: TTL }),
            Some(listed) => {
                let endpoint = |at: &usize| {
                    let (host, address) = (NAME.to_owned(), TARGETS[*at].parse().unwrap());
                    Endpoint { host, address, transport: Transport::Udp, priority: 0, weight: 0 }
                };
                Ok(Resolution::new(listed.iter().map(endpoint).collect(), TTL))
            }
        };
        for at in NAMED.filter(|_| listed.is_some()) {
            let is_listed = listed.is_some_and(|listed| listed.contains(&at));
            let target = &mut self.targets[at];
            if target.listed != is_listed {
                (target.listed, target.since, target.passed_by) = (is_listed, self.lab.now, 0);
                target.probes.clear();
            }
        }
        self.lab.resolved(NAME, resolution);
        let next = self.millis(100_000, 1_200_000);
        self.after(next, Deed::Names);
    }

    fn call(&mut self) {
        let id = self.count;
        let invite = invite(PBX, &format!("+4420{id:08}"), &id.to_string(), Some(SDP_PBX));
        let now = self.lab.now;
        let settled = |at: &usize| self.targets[*at].is_settled(now);
        let settled = (0..TARGETS.len()).filter(settled).collect();
        self.calls.insert(id, Call { invite: Some(invite.clone()), began: now, settled, ..Call::default() });
        self.lab.receive(PBX, &invite);
    }

    /// Everybody hears what the engine has sent.
    fn hear(&mut self) {
        while let Some((hop, message)) = self.lab.sent.pop_front() {
            let peer = hop.peer.to_string();
            match TARGETS.iter().position(|target| *target == peer) {
                Some(target) => self.target_hears(target, message),
                None => self.caller_hears(&message),
            }
        }
    }

    fn target_hears(&mut self, target: usize, message: Message) {
        match message.method() {
            Some(Method::Options) => self.on_options(target, &message),
            Some(Method::Invite) => self.on_invite(target, &message),
            Some(Method::Cancel) => self.on_cancel(target, &message),
            _ => {}
        }
    }

    fn on_options(&mut self, target: usize, probe: &Message) {
        assert_ne!(target, UNPROBED);
        let now = self.lab.now;
        let at = &mut self.targets[target];
        if at.last_probe != probe.call_id() {
            at.last_probe = probe.call_id().to_vec();
            at.probes.push_back(now);
            at.probes.retain(|since| now.since(*since) < INTERVAL * 4);
            assert!(at.probes.len() <= 6, "{} probes in four intervals", at.probes.len());
            self.probes.push_back(now);
            self.probes.retain(|since| now.since(*since) < Duration::from_secs(1));
            assert!(self.probes.len() <= 5, "{} probes in a second", self.probes.len());
        }
        let delay = match self.targets[target].mode {
            Mode::Dead | Mode::Deaf => return,
            Mode::Slow => self.millis(500, 6_000),
            Mode::Well | Mode::Refuses | Mode::Overloaded => self.millis(20, 120),
        };
        let message = respond(TARGETS[target], probe, 200, "peer", None);
        self.after(delay, Deed::Answer { target, message: Box::new(message), call: None });
    }

    fn on_invite(&mut self, target: usize, invite: &Message) {
        let id = invite.call_id().to_vec();
        if self.invites.contains_key(&id) {
            return;
        }
        let uri = String::from_utf8_lossy(invite.request_uri_raw()).into_owned();
        let number = uri.strip_prefix("sip:+4420").and_then(|rest| rest.split_once('@')).unwrap().0;
        let number: u64 = number.parse().unwrap();
        self.invites.insert(id.clone(), (number, false));
        let call = self.calls.get_mut(&number).unwrap();
        assert!(!call.rang, "a call that has rung goes to {}", TARGETS[target]);
        assert!(!call.tried.contains(&target), "a call goes to {} again", TARGETS[target]);
        call.tried.push(target);
        self.targets[target].passed_by = 0;
        let mode = self.targets[target].mode;
        let first = match mode {
            Mode::Slow => self.millis(500, 6_000),
            _ => self.millis(20, 200),
        };
        let answer = |status| respond(TARGETS[target], invite, status, "callee", None);
        match mode {
            Mode::Dead => {}
            Mode::Refuses => {
                if self.random.below(4) == 0 {
                    // It announces so: that is heard, and nobody else may ring.
                    self.answer(target, &id, first, answer(180));
                }
                self.answer(target, &id, first * 2, answer(500));
            }
            Mode::Overloaded => {
                let refusal = with_header(&answer(503), "Retry-After: 15");
                self.answer(target, &id, first, refusal);
            }
            Mode::Well | Mode::Slow | Mode::Deaf => {
                self.answer(target, &id, first, answer(100));
                if self.random.below(2) == 0 {
                    self.answer(target, &id, first * 2, answer(180));
                }
                let last = self.millis(1_000, 8_000);
                self.answer(target, &id, first * 2 + last, answer(486));
            }
        }
    }

    fn answer(&mut self, target: usize, id: &[u8], wait: Duration, message: Message) {
        self.after(wait, Deed::Answer { target, message: Box::new(message), call: Some(id.to_vec()) });
    }

    fn on_cancel(&mut self, target: usize, cancel: &Message) {
        let id = cancel.call_id().to_vec();
        let Some((_, off)) = self.invites.get_mut(&id) else { return };
        if std::mem::replace(off, true) {
            return;
        }
        let invite = text(cancel).replacen("CANCEL ", "INVITE ", 1).replace(" CANCEL\r\n", " INVITE\r\n");
        let invite = Message::parse(invite.into()).unwrap();
        let message = respond(TARGETS[target], cancel, 200, "callee", None);
        self.after(
            Duration::from_millis(30),
            Deed::Answer { target, message: Box::new(message), call: None },
        );
        let message = respond(TARGETS[target], &invite, 487, "callee", None);
        self.after(
            Duration::from_millis(40),
            Deed::Answer { target, message: Box::new(message), call: Some(id) },
        );
    }

    /// From now on nobody else may ring: the caller hears of this one.
    fn note_ringing(&mut self, message: &Message, id: Option<&[u8]>) {
        if message.status().is_none_or(|status| status.code() != 180) {
            return;
        }
        let Some((number, false)) = id.and_then(|id| self.invites.get(id)) else { return };
        // One that was given up rings for a moment, until the CANCEL that waits for this.
        let from = message.header(Header::Contact).map(String::from_utf8_lossy).unwrap_or_default();
        let Some(call) = self.calls.get_mut(number) else { return };
        let is_current = call.tried.last().is_some_and(|last| from.contains(TARGETS[*last]));
        call.rang |= is_current;
    }

    fn caller_hears(&mut self, message: &Message) {
        let Some(status) = message.status().filter(|status| status.is_final()) else { return };
        let id = String::from_utf8_lossy(message.call_id()).into_owned();
        let number = id.strip_prefix("call-").and_then(|rest| rest.split_once('@')).unwrap().0;
        let number: u64 = number.parse().unwrap();
        let call = self.calls.get_mut(&number).unwrap();
        let invite = call.invite.clone().unwrap();
        if call.status.replace(status.code()).is_none() {
            self.judge(number);
        }
        let ack = crate::sip::Writer::request(&Method::Ack, invite.request_uri_raw())
            .copy(&invite, Header::Via)
            .copy(&invite, Header::From)
            .copy(message, Header::To)
            .copy(&invite, Header::CallId)
            .header(Header::CSeq, "1 ACK")
            .header(Header::MaxForwards, "70");
        self.lab.receive(PBX, &finish(ack, None));
    }

    /// The call is over.
    fn judge(&mut self, number: u64) {
        let call = &self.calls[&number];
        let (began, now) = (call.began, self.lab.now);
        // Those that were well for long when it came, and still are.
        let settled: Vec<usize> = call
            .settled
            .iter()
            .copied()
            .filter(|at| self.targets[*at].is_settled(now) && self.targets[*at].since < began)
            .collect();
        let modes: Vec<_> = self.targets.iter().map(|target| (target.mode, target.listed)).collect();
        let story = || {
            format!("call {number} at {now:?}, tried at {:?}, heard {:?}; {modes:?}", call.tried, call.status)
        };
        if call.status == Some(486) {
            self.taken += 1;
        } else if !call.rang {
            assert!(settled.is_empty(), "{settled:?} would have taken it: {}", story());
        }
        let Some(taker) = call.tried.last().copied().filter(|_| call.status == Some(486)) else { return };
        for at in settled.into_iter().filter(|at| *at < taker && !call.tried.contains(at)) {
            self.targets[at].passed_by += 1;
            assert!(self.targets[at].passed_by <= PASSED_BY, "{at} is passed by: {}", story());
        }
    }
}

impl Target {
    fn is_settled(&self, now: Instant) -> bool {
        self.mode == Mode::Well && self.listed && now.since(self.since) >= SETTLED
    }
}
