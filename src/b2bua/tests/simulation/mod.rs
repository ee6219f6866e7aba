//! The seeded simulation: user agents on both sides, a network that loses, repeats, reorders and
//! delays, or whose connections break, a relay that sometimes cannot bind, names that come and go,
//! and the engine between them on virtual time. A shadow model watches every message.
//!
//! `DRAWBRIDGE_SEEDS=10000` runs more seeds, from `DRAWBRIDGE_FIRST_SEED` on; `./dev soak` does so
//! on all cores. `DRAWBRIDGE_SEED=17` repeats one and prints its steps. The seeds are shared out
//! among four tests, which run beside each other.

mod agent;
mod network;
mod shadow;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::agent::{Agent, UaState};
use self::network::{Letter, Network, Place};
use self::shadow::Shadow;
use super::lab;
use crate::b2bua::{Census, Engine, Input, Output, Settings};
use crate::base::{Hop, Instant, ListenerId, Random, Realm, Transport};
use crate::media::{MediaCommand, MediaEvent, MediaSessionId, Side};
use crate::routing::{Balance, Endpoint, Host, Query, Redirect, Refer, Resolution, ResolveFault};
use crate::sip::{Header, Message};

/// Seeds of an ordinary test run.
const DEFAULT_SEEDS: u64 = 1_000;
/// Random steps of one seed, before everything is left to end.
const STEPS: u32 = 2_000;
/// The steps that a failure prints.
const LAST_STEPS: usize = 60;
/// More than any transaction, refused call or unheard BYE lasts.
const QUIESCENCE: Duration = Duration::from_secs(300);
/// Calls that each agent may have at once.
const MAX_LIVE_CALLS: usize = 5;

/// In how many parts the seeds run, each a test of its own.
const PARTS: u64 = 4;

#[test]
fn calls_over_a_bad_network_leave_nothing_and_break_no_rule_in_every_first_seed() {
    run_part(0);
}

#[test]
fn calls_over_a_bad_network_leave_nothing_and_break_no_rule_in_every_second_seed() {
    run_part(1);
}

#[test]
fn calls_over_a_bad_network_leave_nothing_and_break_no_rule_in_every_third_seed() {
    run_part(2);
}

#[test]
fn calls_over_a_bad_network_leave_nothing_and_break_no_rule_in_every_fourth_seed() {
    run_part(3);
}

fn run_part(part: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("DRAWBRIDGE_SEED") {
        return if seed % PARTS == part {
            repeat(seed)
        };
    }
    let first = number("DRAWBRIDGE_FIRST_SEED").unwrap_or(0);
    let count = number("DRAWBRIDGE_SEEDS").unwrap_or(DEFAULT_SEEDS);
    let (mut seeds, mut calls) = (0, 0);
    for seed in (first..first + count).filter(|seed| seed % PARTS == part) {
        match catch_unwind(AssertUnwindSafe(|| World::new(seed, None).run())) {
            Ok(answered) => calls += answered,
            Err(_) => explain(seed),
        }
        seeds += 1;
    }
    assert!(calls >= 2 * seeds, "hardly any call was answered: {calls} in {seeds} seeds");
}

/// One seed, with all its steps.
fn repeat(seed: u64) {
    let mut steps = VecDeque::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| World::new(seed, Some(&mut steps)).run()));
    steps.iter().for_each(|step| println!("{step}"));
    assert!(outcome.is_ok(), "seed {seed} fails");
}

/// A call that rings reliably, is answered, changed and ended, once for each of its messages, which
/// is lost: it completes all the same, whether the caller knows `100rel` or not.
#[test]
fn every_single_lost_message_is_made_up_for() {
    for wish in [None, Some(Header::Supported), Some(Header::Require)] {
        let mut lost = 1;
        while lose_one(wish, lost) {
            lost += 1;
        }
        assert!(lost > 20, "the call had {lost} messages only");
    }
}

/// A call whose message of this number is lost; false if it had not so many.
fn lose_one(wish: Option<Header>, lost: u64) -> bool {
    let mut world = World::with(Random::from_number(0), 0, [Transport::Udp; 2], None);
    world.network.lost = Some(lost);
    let (pbx, carrier) = (0, 1);
    world.agents[pbx].wishes = Some(wish);
    world.agents[pbx].place_call(world.now, "+442079460000");
    world.wait_until(|world| !world.agents[carrier].calls.is_empty());
    let now = world.now;
    world.agents[carrier].ring(now, 0);
    world.wait_until(|world| !world.agents[carrier].calls[0].ringing.is_pending());
    let now = world.now;
    world.agents[carrier].take(now, 0);
    world.wait_until(|world| world.agents[pbx].calls[0].state == UaState::Confirmed);
    world.wait_until(|world| !world.agents[carrier].is_busy(0));
    let now = world.now;
    world.agents[pbx].reinvite(now, 0);
    world.agents[pbx].pump(now);
    world.wait_until(|world| world.agents[carrier].is_asked(0) || !world.agents[pbx].is_busy(0));
    let now = world.now;
    world.agents[carrier].take(now, 0);
    world.wait_until(|world| !world.agents[pbx].is_busy(0) && !world.agents[carrier].is_busy(0));
    let now = world.now;
    world.agents[carrier].hang_up(now, 0);
    world.wait_until(|world| world.agents[pbx].calls[0].state == UaState::Over);
    world.advance(QUIESCENCE);
    world.expect_nothing_left();
    assert_eq!(world.shadow.answered(), 1, "message {lost} was lost");
    world.network.posted >= lost
}

/// Runs the seed again, for its last steps.
fn explain(seed: u64) -> ! {
    let mut steps = VecDeque::new();
    let _ = catch_unwind(AssertUnwindSafe(|| World::new(seed, Some(&mut steps)).run()));
    let from = steps.len().saturating_sub(LAST_STEPS);
    let last: Vec<String> = steps.drain(from..).collect();
    panic!("seed {seed} fails (repeat it with DRAWBRIDGE_SEED={seed}); its last steps:\n{}", last.join("\n"));
}

/// Everything of one seed.
struct World<'a> {
    now: Instant,
    random: Random,
    engine: Engine,
    agents: Vec<Agent>,
    network: Network,
    settings: Settings,
    failing_opens: u32,
    sessions: Vec<MediaSessionId>,
    shadow: Shadow,
    steps: Option<&'a mut VecDeque<String>>,
}

impl<'a> World<'a> {
    fn new(seed: u64, steps: Option<&'a mut VecDeque<String>>) -> World<'a> {
        use Transport::{Tcp, Udp};
        let mut random = Random::from_number(seed);
        let loss = [0, 5, 15][random.below(3) as usize];
        let transports =
            [[Udp, Udp], [Udp, Udp], [Tcp, Udp], [Udp, Tcp], [Tcp, Tcp]][random.below(5) as usize];
        World::with(random, loss, transports, steps)
    }

    /// `transports` are those of the trusted and of the untrusted side.
    fn with(
        mut random: Random,
        loss: u32,
        transports: [Transport; 2],
        steps: Option<&'a mut VecDeque<String>>,
    ) -> World<'a> {
        let now = Instant::from_millis(1_000_000);
        let refer = [Refer::Reject, Refer::Consume][random.below(2) as usize];
        let settings = settings(transports, random.below(3), refer);
        let engine = Engine::new(Arc::new(settings.clone()), random.fork(), 0, now);
        let place = |address: &str, realm: u16| Place {
            agent: address.parse().unwrap(),
            sbc: lab::sbc_towards(address).parse().unwrap(),
            listener: ListenerId(realm),
            transport: transports[usize::from(realm)],
        };
        let places = vec![place(lab::PBX, 0), place(lab::CARRIER_A, 1), place(lab::CARRIER_B, 1)];
        let marks = ["PBX", "CARR-A", "CARR-B"].into_iter();
        let agents =
            marks.zip(&places).map(|(mark, place)| Agent::new(mark, *place, random.fork())).collect();
        World {
            now,
            engine,
            agents,
            network: Network::new(random.fork(), places, loss),
            settings,
            random,
            failing_opens: 0,
            sessions: Vec::new(),
            shadow: Shadow::new(refer == Refer::Consume),
            steps,
        }
    }

    /// Random steps, then an end to every call; gives how many were answered.
    fn run(mut self) -> u64 {
        self.drain();
        for _ in 0..STEPS {
            let step = self.step();
            self.note(|| step);
            self.drain();
            let wait = self.random.below(1_500);
            self.advance(Duration::from_millis(u64::from(wait)));
        }
        self.hang_up_everything();
        self.advance(QUIESCENCE);
        self.expect_nothing_left();
        self.shadow.answered()
    }

    /// Lets time pass until something is so.
    fn wait_until(&mut self, is_so: impl Fn(&World<'_>) -> bool) {
        for _ in 0..400 {
            self.drain();
            if is_so(self) {
                return;
            }
            self.advance(Duration::from_millis(100));
        }
        panic!("it never came to that");
    }

    fn step(&mut self) -> String {
        match self.random.below(100) {
            0..12 => self.place_call(),
            12..76 => {
                let at = self.random.below(3) as usize;
                self.agents[at].act(self.now)
            }
            76..78 => self.change_everything(),
            78..82 => self.network.break_one(self.now),
            82..86 => {
                let at = 1 + self.random.below(2) as usize;
                self.agents[at].is_deaf_to_next = true;
                format!("agent {at} is deaf to the next call")
            }
            86..90 => {
                self.failing_opens = 1 + self.random.below(9);
                format!("{} binds will fail", self.failing_opens)
            }
            90..92 => self.silence_media(),
            92..96 => {
                let mut settings = self.settings.clone();
                let out = &mut settings.routing.routes[0];
                out.tiers.rotate_left(self.random.below(2) as usize);
                if self.random.below(2) == 1 {
                    let all = [Balance::Weight, Balance::RoundRobin, Balance::LeastCalls, Balance::Hash];
                    (out.tiers, out.balance) = (vec![out.tiers.concat()], all[self.random.below(4) as usize]);
                }
                self.engine.handle(self.now, Input::Settings(Arc::new(settings)));
                "reload".to_owned()
            }
            _ => {
                let query = self.settings.routing.trunks[2].queries().next().expect("it has a name");
                let resolution = self.resolution(&query);
                self.engine.handle(self.now, Input::Resolved { query, resolution });
                "a name changed".to_owned()
            }
        }
    }

    fn place_call(&mut self) -> String {
        let at = self.random.below(3) as usize;
        if self.agents[at].live_calls() >= MAX_LIVE_CALLS {
            return "enough calls".to_owned();
        }
        let called = if at == 0 { "+442079460000" } else { "+14155550111" };
        self.agents[at].place_call(self.now, called);
        format!("agent {at} calls")
    }

    /// Both sides of every call change it at once.
    fn change_everything(&mut self) -> String {
        for agent in &mut self.agents {
            agent.change_everything(self.now);
        }
        "everybody changes every call".to_owned()
    }

    fn silence_media(&mut self) -> String {
        if self.sessions.is_empty() {
            return "no media".to_owned();
        }
        let at = self.random.below(self.sessions.len() as u32) as usize;
        let session = self.sessions[at];
        let (event, what) = match self.random.below(4) {
            0 => (MediaEvent::SilentOnHold { session }, "on hold"),
            1 => (
                MediaEvent::OneWay { session, found: Box::new(super::silence::found(Side::A, true)) },
                "at A",
            ),
            2 => (
                MediaEvent::OneWay { session, found: Box::new(super::silence::found(Side::B, false)) },
                "at B",
            ),
            _ => (MediaEvent::Silent { session }, "wholly"),
        };
        self.engine.handle(self.now, Input::Media(event));
        format!("{session:?} falls silent {what}")
    }

    fn resolution(&mut self, query: &Query) -> Result<Resolution, ResolveFault> {
        let address: SocketAddr = lab::CARRIER_B.parse().unwrap();
        match self.random.below(4) {
            0 => Err(ResolveFault::NoAnswer),
            1 => Err(ResolveFault::NoSuchHost { valid_for: Duration::from_secs(1) }),
            _ => {
                let transport = query.transport.unwrap_or(Transport::Udp);
                let endpoint = Endpoint::plain(&query.host, address, transport);
                Ok(Resolution::new(vec![endpoint], Duration::from_secs(30)))
            }
        }
    }

    /// One side of every call ends it, whichever; the other side must hear of it.
    fn hang_up_everything(&mut self) {
        self.network.refuses = false;
        for round in 0..40 {
            for agent in 0..self.agents.len() {
                for at in 0..self.agents[agent].calls.len() {
                    let call = &self.agents[agent].calls[at];
                    let is_open = call.state == UaState::Early && !call.is_caller;
                    // After a transfer a call may have no caller any more.
                    let ends = call.is_caller || round == 0 && at % 2 == 0 || round > 20;
                    if is_open || call.state != UaState::Over && ends {
                        self.agents[agent].hang_up(self.now, at);
                    }
                }
            }
            self.drain();
            self.advance(Duration::from_secs(2));
        }
        self.note(|| "everything was ended".to_owned());
    }

    fn expect_nothing_left(&mut self) {
        for (at, agent) in self.agents.iter().enumerate() {
            for call in &agent.calls {
                assert_eq!(call.state, UaState::Over, "agent {at} is left in {:?}", call.call_id);
                if call.is_caller {
                    self.shadow.expect_record_of(&call.call_id, call.heard, call.gave_up);
                }
            }
        }
        let census = self.engine.census();
        let nothing = Census { media_ports_limit: census.media_ports_limit, ..Census::default() };
        assert_eq!(census, nothing, "in the engine");
        assert_eq!(self.engine.leftovers(), 0, "entries in the engine's tables");
        assert!(self.sessions.is_empty(), "media sessions are open");
        self.shadow.expect_complete();
    }

    /// Time passes, in the order of everything that is due.
    fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let agents = self.agents.iter().filter_map(Agent::next_deadline).min();
            let next = [self.network.next_arrival(), agents, self.engine.next_deadline()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.deliver();
            for agent in &mut self.agents {
                if agent.next_deadline().is_some_and(|at| at <= self.now) {
                    agent.on_time(self.now);
                }
            }
            if self.engine.next_deadline().is_some_and(|at| at <= self.now) {
                self.engine.on_time(self.now);
            }
            self.drain();
        }
        self.now = until;
    }

    fn deliver(&mut self) {
        while let Some(letter) = self.network.take(self.now) {
            match letter {
                Letter::ToAgent(at, hop, bytes) => {
                    let message = Message::parse(bytes).unwrap();
                    self.shadow.on_arrived(&message);
                    self.agents[at].receive(self.now, message, hop);
                }
                Letter::ToEngine(hop, bytes) => {
                    let message = Message::parse(bytes.clone()).unwrap();
                    self.note(|| format!("        {} → SBC {}", hop.peer, headline(&message)));
                    self.shadow.on_received(self.now, &message);
                    self.engine.handle(self.now, Input::Received { hop, bytes });
                }
                Letter::Connected(hop) => self.engine.handle(self.now, Input::Connected { hop }),
                Letter::FailedAtEngine(hop) => {
                    self.note(|| format!("        {} ⇹ SBC", hop.peer));
                    self.engine.handle(self.now, Input::TransportFailed { hop });
                }
                Letter::FailedAtAgent(at, hop) => {
                    self.note(|| format!("        agent {at} ⇹ {}", hop.peer));
                    self.agents[at].on_transport_failed(self.now, hop);
                }
            }
            self.drain();
        }
    }

    /// What the engine and the agents want done.
    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Send { hop, bytes } => self.send_from_engine(hop, bytes),
                Output::Resolve { query, .. } => {
                    let resolution = self.resolution(&query);
                    self.engine.handle(self.now, Input::Resolved { query, resolution });
                }
                Output::Media(command) => self.relay(command),
                Output::Disconnect { hop } => panic!("nobody is a stranger: {hop:?}"),
                Output::Cdr(cdr) => self.shadow.on_cdr(&cdr),
                Output::Event(_) | Output::OpenCall(_) => {}
            }
        }
        for at in 0..self.agents.len() {
            for (hop, message) in std::mem::take(&mut self.agents[at].outbox) {
                self.network.send_from_agent(self.now, at, hop, message.as_bytes());
            }
        }
    }

    fn send_from_engine(&mut self, hop: Hop, bytes: Bytes) {
        let message = Message::parse(bytes).unwrap();
        assert_eq!(message.fault(), None, "{}", lab::text(&message));
        let Some(at) = self.network.agent_at(hop) else {
            panic!("sent to nobody at {}: {}", hop.peer, lab::text(&message));
        };
        self.note(|| format!("        SBC → {} {}", hop.peer, headline(&message)));
        self.shadow.on_sent(self.now, hop, &message);
        self.network.send_from_engine(self.now, at, hop, message.as_bytes());
    }

    fn relay(&mut self, command: MediaCommand) {
        let event = match command {
            MediaCommand::Open { session, first_stream, streams, .. } => {
                self.shadow.on_open(session, &streams);
                if self.failing_opens > 0 {
                    self.failing_opens -= 1;
                    self.shadow.on_open_failed(session, &streams);
                    let address = streams[0].b.rtcp();
                    MediaEvent::OpenFailed { session, first_stream, address, errno: 98 }
                } else {
                    self.sessions.retain(|known| *known != session);
                    self.sessions.push(session);
                    MediaEvent::Opened { session, first_stream }
                }
            }
            MediaCommand::Close { session } => {
                self.sessions.retain(|known| *known != session);
                self.shadow.on_closed(session);
                MediaEvent::Closed { session, report: Box::default() }
            }
            MediaCommand::SetRemote { .. }
            | MediaCommand::SetHold { .. }
            | MediaCommand::SetAnswered { .. }
            | MediaCommand::Report { .. }
            | MediaCommand::Press { .. } => return,
        };
        self.engine.handle(self.now, Input::Media(event));
    }

    fn note(&mut self, step: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(steps) = &mut self.steps {
            steps.push_back(format!("{now:?} {}", step()));
        }
    }
}

fn headline(message: &Message) -> String {
    let text = lab::text(message);
    let cseq = message.header(Header::CSeq).unwrap_or(b"");
    let call = String::from_utf8_lossy(message.call_id()).into_owned();
    format!("{} | {} | {call}", text.lines().next().unwrap_or(""), String::from_utf8_lossy(cseq))
}

/// The lab's, with one trunk behind a name, and timers that come to fire within a run.
fn settings(transports: [Transport; 2], redirect: u32, refer: Refer) -> Settings {
    let mut settings = lab::settings();
    settings.timeouts.session_expires = Duration::from_secs(20);
    settings.timeouts.min_session_expires = Duration::from_secs(10);
    settings.timeouts.answer = Duration::from_secs(100);
    for (listener, transport) in settings.listeners.iter_mut().zip(transports) {
        listener.transport = transport;
    }
    for trunk in &mut settings.routing.trunks {
        let transport = transports[usize::from(trunk.realm == Realm::Untrusted)];
        trunk.transport = Some(transport);
        trunk.redirect = [Redirect::Reject, Redirect::Follow, Redirect::Pass][redirect as usize];
    }
    settings.routing.trunks[0].refer = refer;
    let carrier_b = &mut settings.routing.trunks[2];
    carrier_b.hosts[0].host = Host::Name("carrier-b.example".to_owned());
    settings
}
