//! The loop that owns an engine: brings it every input with the time, and does what it asks.
//!
//! One task, one owner, no lock. All that comes is taken in bounded portions, so that a flood on
//! one way in delays the others by one portion at most.
//!
//! Must not know: SIP semantics, what an input means.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

use super::Clock;
use super::lookups::{Lookups, Resolved};
use super::media_questions::{Answer, MediaQuestions};
use crate::b2bua::{
    CallFound, CallReport, CallSearch, Census, Direction, Engine, Event, Input, Output, Settings,
};
use crate::base::{ByRealm, Hop, Instant, ListenerId, Realm, Transport, TrunkName};
use crate::media::{MediaCommand, MediaEvent, MediaSessionId, RtcpCopy};
use crate::relay::Relay;
use crate::resolver::Resolver;
use crate::routing::{HostReport, TrunkReport};
use crate::telemetry::hep::{Capture, Captured, Protocol, call_id_of};
use crate::telemetry::{CdrSink, Meter, log_calls, log_health, notices};
use crate::transport::{Arrival, TlsMaterial, Transports, Unsent};

/// Media events taken in one turn.
const MEDIA_EVENTS_A_TURN: usize = 128;
/// From SIGTERM until the loop ends, whatever is still going on (the process has 10 s).
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(8);
/// When the last call is over, its transactions may still have an answer to send or to absorb.
const SHUTDOWN_LINGER: Duration = Duration::from_millis(1_500);
/// While it shuts down the loop looks so often whether it may end.
const SHUTDOWN_LOOK: Duration = Duration::from_millis(50);
/// Commands that may wait.
pub const COMMANDS_WAITING: usize = 64;

/// What others may ask of a running driver.
#[derive(Debug)]
pub enum Command {
    /// Calls from now on use these settings.
    Settings(Arc<Settings>),
    /// Connections that are opened from now on use these certificates.
    Tls(Box<TlsMaterial>),
    /// Messages, and RTCP if it takes that, are copied to this from now on; none: they are not.
    Capture(Option<Capture>),
    /// Names are looked up with this resolver from now on.
    Resolver(Box<Resolver>),
    /// Take no new calls.
    Drain {
        /// After so long the calls that are left are ended; none: they go on.
        deadline: Option<Duration>,
    },
    /// Take new calls again.
    Undrain,
    /// Say how the trunks are.
    Trunks(oneshot::Sender<Vec<TrunkReport>>),
    /// Say which calls there are, the oldest first, and at most so many.
    Calls(usize, CallSearch, oneshot::Sender<Vec<CallReport>>),
    /// Say all of the call of this `id`, which may be cut short.
    Call(String, oneshot::Sender<CallFound>),
    /// Say what the relay measures of this session; never answered if it does not say.
    Media(MediaSessionId, Answer),
    /// Switch a trunk on or off, and say whether there is one of this name.
    SetTrunkEnabled(TrunkName, bool, oneshot::Sender<bool>),
    /// End the call of this `id`, and say whether there was one.
    HangUp(String, oneshot::Sender<bool>),
    /// Take no new calls, end those in progress, then end.
    Shutdown,
    /// Say what is known of the names of trunks.
    Hosts(oneshot::Sender<Vec<HostReport>>),
    /// Say how things are: also the proof that the loop turns.
    Census(oneshot::Sender<Vitals>),
}

/// How things are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Vitals {
    /// What the engine holds.
    pub census: Census,
    /// Connections of TCP, and of TLS.
    pub connections: [ByRealm<usize>; 2],
    /// Whether new calls are refused.
    pub draining: bool,
    /// When a drain ends the calls that are left.
    pub drain_deadline: Option<Instant>,
}

/// What a driver is built of.
#[derive(Debug)]
pub struct Parts {
    /// The core.
    pub engine: Engine,
    /// What the engine was built with.
    pub settings: Arc<Settings>,
    /// Every listener.
    pub transports: Transports,
    /// The media relay.
    pub relay: Arc<Relay>,
    /// What it reports.
    pub media_events: mpsc::Receiver<MediaEvent>,
    /// Looks names up.
    pub resolver: Resolver,
    /// Counts.
    pub meter: Meter,
    /// Takes records.
    pub cdrs: CdrSink,
    /// Asks.
    pub commands: mpsc::Receiver<Command>,
    /// Takes copies of messages, if anybody wants them.
    pub capture: Option<Capture>,
}

/// Runs one engine.
#[derive(Debug)]
pub struct Driver {
    clock: Clock,
    parts: Parts,
    lookups: Lookups,
    /// Who waits for the relay's word on a call.
    media_questions: MediaQuestions,
    /// The message that the engine is looking at, until it has let it in: a copy is for the capture.
    arriving: Option<(Hop, Bytes)>,
    /// Reused: what the listeners gave in this turn.
    arrivals: Vec<Arrival>,
    /// What executing an output gave back: fed once the outputs are through.
    echoes: VecDeque<Input>,
    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    shutdown: Option<Shutdown>,
}

/// The end is asked for.
#[derive(Clone, Copy, Debug)]
struct Shutdown {
    latest: Instant,
    /// Since when no call is left.
    quiet_since: Option<Instant>,
}

/// What a wait ended with.
enum Woken {
    /// A listener, the timer, or a portion that was not the last.
    Turn,
    Media(MediaEvent),
    Resolved(Resolved),
    Command(Command),
    /// Nobody can ask any more.
    Orphaned,
}

impl Driver {
    /// A driver in the runtime of the calling task.
    pub fn new(clock: Clock, parts: Parts) -> Driver {
        let driver = Driver {
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            clock,
            lookups: Lookups::new(parts.resolver.clone()),
            parts,
            media_questions: MediaQuestions::default(),
            arriving: None,
            arrivals: Vec::new(),
            echoes: VecDeque::new(),
            armed: None,
            shutdown: None,
        };
        driver.ask_for_rtcp();
        driver
    }

    /// Runs until a shutdown is through.
    pub async fn run(mut self) {
        // What the engine asked for when it was made.
        self.execute();
        loop {
            if self.is_over() {
                return;
            }
            match self.wait().await {
                Woken::Turn => {}
                Woken::Media(event) => self.feed_media(event),
                Woken::Resolved((query, resolution)) => self.feed(Input::Resolved { query, resolution }),
                Woken::Command(command) => self.obey(command),
                Woken::Orphaned => self.begin_shutdown(),
            }
            if self.turn() {
                // More is there than one portion: let the look-ups and the clock have their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        self.arm_timer();
        let parts = &mut self.parts;
        let orphaned = self.shutdown.is_some() && parts.commands.is_closed();
        tokio::select! {
            biased;
            command = parts.commands.recv(), if !orphaned => command.map_or(Woken::Orphaned, Woken::Command),
            () = self.timer.as_mut(), if self.armed.is_some() => {
                self.armed = None;
                Woken::Turn
            }
            Some(event) = parts.media_events.recv() => Woken::Media(event),
            Some(resolved) = self.lookups.next() => Woken::Resolved(resolved),
            () = poll_fn(|cx| parts.transports.poll_ready(cx)) => Woken::Turn,
        }
    }

    /// Sets the timer to what is due first; it stays as it is while that does not change.
    fn arm_timer(&mut self) {
        let look = self.shutdown.map(|_| self.clock.now() + SHUTDOWN_LOOK);
        let deadline = [self.parts.engine.next_deadline(), look].into_iter().flatten().min();
        if deadline != self.armed {
            if let Some(deadline) = deadline {
                self.timer.as_mut().reset(self.clock.to_std(deadline).into());
            }
            self.armed = deadline;
        }
    }

    /// One portion of whatever is there; true if a listener has more.
    fn turn(&mut self) -> bool {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let more = self.parts.transports.turn(&mut arrivals);
        for arrival in arrivals.drain(..) {
            self.take(arrival);
        }
        self.arrivals = arrivals;
        let now = self.clock.now();
        if self.parts.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.parts.engine.on_time(now);
            self.execute();
        }
        more
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message { hop, bytes } => {
                self.arriving = self.parts.capture.as_ref().map(|_| (hop, bytes.clone()));
                self.feed(Input::Received { hop, bytes });
                self.arriving = None;
            }
            Arrival::Undelivered { bytes } => self.feed(Input::Undelivered { bytes }),
            Arrival::Connected { hop } => {
                self.feed(Input::Connected { hop });
                // Unless the engine had it closed.
                self.parts.transports.begin(hop);
            }
            Arrival::Lost { hop } => self.feed(Input::TransportFailed { hop }),
            Arrival::Dropped { listener, reason } => {
                let realm = self.realm_of(listener);
                self.parts.meter.count(&Event::Dropped { realm, reason });
            }
        }
    }

    fn realm_of(&self, listener: ListenerId) -> Realm {
        self.parts.settings.listener(listener).map_or(Realm::Untrusted, |at| at.realm)
    }

    fn feed_media(&mut self, first: MediaEvent) {
        self.take_media(first);
        for _ in 1..MEDIA_EVENTS_A_TURN {
            match self.parts.media_events.try_recv() {
                Ok(event) => self.take_media(event),
                Err(_) => return,
            }
        }
    }

    fn take_media(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Report { session, live } => self.media_questions.answer(session, live),
            MediaEvent::Rtcp { session, copy } => self.copy_rtcp(session, *copy),
            event => self.feed(Input::Media(event)),
        }
    }

    fn feed(&mut self, input: Input) {
        self.parts.engine.handle(self.clock.now(), input);
        self.execute();
    }

    /// Does all that the engine asks, and brings back what came of it at once.
    fn execute(&mut self) {
        loop {
            while let Some(output) = self.parts.engine.poll() {
                self.perform(output);
            }
            match self.echoes.pop_front() {
                Some(echo) => self.parts.engine.handle(self.clock.now(), echo),
                None => return,
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send { hop, bytes } => {
                self.copy(Direction::Out, hop, &bytes);
                if let Err(why) = self.parts.transports.send(hop, bytes.clone()) {
                    self.unsent(hop, why, bytes);
                }
            }
            Output::Disconnect { hop } => self.parts.transports.close(hop),
            Output::Resolve { query, reach } => {
                if let Some((query, resolution)) = self.lookups.ask(query, reach) {
                    self.echoes.push_back(Input::Resolved { query, resolution });
                }
            }
            Output::Media(command) => {
                if let Err(busy) = self.parts.relay.command(command) {
                    self.relay_refused(*busy.0);
                }
            }
            Output::OpenCall(cdr) => self.parts.cdrs.note_open(cdr),
            Output::Cdr(cdr) => {
                self.parts.meter.count_call(&cdr);
                self.parts.cdrs.write(cdr);
            }
            Output::Event(event) => {
                notices::log(&event);
                match &event {
                    Event::Health(change) => log_health(change, |at| self.clock.time_of_day(at)),
                    Event::Calls(change) => log_calls(change, |at| self.clock.time_of_day(at)),
                    // Who may not speak is not copied: a flood would be two.
                    Event::MessageIn { .. } => {
                        if let Some((hop, bytes)) = self.arriving.take() {
                            self.copy(Direction::In, hop, &bytes);
                        }
                    }
                    _ => {}
                }
                self.parts.meter.count(&event);
            }
        }
    }

    /// The one place where messages are copied for a capture server.
    fn copy(&self, direction: Direction, hop: Hop, message: &Bytes) {
        let Some(capture) = &self.parts.capture else { return };
        let Some(listener) = self.parts.settings.listener(hop.listener) else { return };
        let (source, destination) = match direction {
            Direction::In => (hop.peer, listener.bind),
            Direction::Out => (listener.bind, hop.peer),
        };
        let call_id = call_id_of(message).unwrap_or_default();
        capture.send(Captured {
            protocol: Protocol::Sip,
            at: self.clock.time_of_day(self.clock.now()),
            source,
            destination,
            transport: hop.transport,
            message: message.clone(),
            correlation: self.parts.engine.correlation(call_id),
        });
    }

    /// The same for what a peer reports: under the id of its call's messages. What is forwarded of it is the same
    /// once more, and not copied again.
    fn copy_rtcp(&self, session: MediaSessionId, copy: RtcpCopy) {
        let Some(capture) = self.parts.capture.as_ref().filter(|capture| capture.takes_rtcp()) else {
            return;
        };
        // Of no call any more: nobody would find it.
        let Some(correlation) = self.parts.engine.correlation_of_media(session) else {
            return capture.lose(Protocol::Rtcp);
        };
        capture.send(Captured {
            protocol: Protocol::Rtcp,
            at: self.clock.time_of_day(copy.at),
            source: copy.source,
            destination: copy.destination,
            transport: Transport::Udp,
            message: Bytes::from(copy.bytes),
            correlation: Some(correlation),
        });
    }

    /// Tells the relay whether RTCP is wanted.
    fn ask_for_rtcp(&self) {
        self.parts.relay.set_copies_rtcp(self.parts.capture.as_ref().is_some_and(Capture::takes_rtcp));
    }

    fn unsent(&mut self, hop: Hop, why: Unsent, bytes: Bytes) {
        self.parts.meter.count_unsent(self.realm_of(hop.listener), why);
        match why {
            Unsent::Unreachable | Unsent::NoListener => {
                self.echoes.push_back(Input::Undelivered { bytes });
            }
            Unsent::Disconnected => self.echoes.push_back(Input::TransportFailed { hop }),
            // As good as lost on the way: the transaction sends it again.
            Unsent::QueueFull => {}
        }
    }

    fn relay_refused(&mut self, command: MediaCommand) {
        tracing::warn!("the media relay is too busy for a command");
        if let MediaCommand::Open { session, first_stream, streams, .. } = command
            && let Some(stream) = streams.first()
        {
            let address = stream.a.rtp();
            let failed = MediaEvent::OpenFailed { session, first_stream, address, errno: libc::EBUSY };
            self.echoes.push_back(Input::Media(failed));
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Settings(settings) => {
                self.parts.meter.add_trunks(settings.routing.trunks.iter().map(|trunk| &trunk.name));
                self.parts.settings = Arc::clone(&settings);
                self.feed(Input::Settings(settings));
            }
            Command::Tls(material) => self.parts.transports.set_tls(*material),
            Command::Capture(capture) => {
                self.parts.capture = capture;
                self.ask_for_rtcp();
            }
            Command::Resolver(resolver) => {
                self.lookups.set_resolver(*resolver);
                self.feed(Input::NameServersChanged);
            }
            Command::Drain { deadline } => {
                let deadline = deadline.map(|after| self.clock.now() + after);
                self.feed(Input::Drain { deadline });
            }
            // What ends stays closed.
            Command::Undrain if self.shutdown.is_some() => {}
            Command::Undrain => self.feed(Input::Undrain),
            Command::Trunks(answer) => {
                let _ = answer.send(self.parts.engine.trunk_reports(self.clock.now()));
            }
            Command::Calls(most, search, answer) => {
                let _ = answer.send(self.parts.engine.call_reports(most, &search));
            }
            Command::Call(id, answer) => {
                let _ = answer.send(self.parts.engine.call_page(self.clock.now(), &id));
            }
            Command::Media(session, answer) => {
                // A relay that is too busy says nothing.
                if self.parts.relay.command(MediaCommand::Report { session }).is_ok() {
                    self.media_questions.add(session, answer);
                }
            }
            Command::SetTrunkEnabled(trunk, enabled, answer) => self.switch_trunk(trunk, enabled, answer),
            Command::HangUp(call, answer) => self.hang_up(call, answer),
            Command::Shutdown => self.begin_shutdown(),
            Command::Hosts(answer) => {
                // Who asked may have given up.
                let _ = answer.send(self.parts.engine.hosts(self.clock.now()));
            }
            Command::Census(answer) => {
                let engine = &self.parts.engine;
                let draining = self.shutdown.is_some() || engine.is_draining();
                // Who asked may have given up.
                let (census, drain_deadline) = (engine.census(), engine.drain_deadline());
                let connections = self.count_connections();
                let _ = answer.send(Vitals { census, connections, draining, drain_deadline });
            }
        }
    }

    fn switch_trunk(&mut self, trunk: TrunkName, enabled: bool, answer: oneshot::Sender<bool>) {
        let is_known = self.parts.settings.routing.trunk(&trunk).is_some();
        self.feed(Input::SetTrunkEnabled { trunk, enabled });
        let _ = answer.send(is_known);
    }

    fn hang_up(&mut self, call: String, answer: oneshot::Sender<bool>) {
        let is_known = self.parts.engine.call_report(&call).is_some();
        self.feed(Input::HangUp { call });
        let _ = answer.send(is_known);
    }

    fn count_connections(&self) -> [ByRealm<usize>; 2] {
        let mut counts = <[ByRealm<usize>; 2]>::default();
        for (listener, transport, count) in self.parts.transports.connections() {
            counts[usize::from(transport == Transport::Tls)][self.realm_of(listener)] += count;
        }
        counts
    }

    fn begin_shutdown(&mut self) {
        if self.shutdown.is_none() {
            let latest = self.clock.now() + SHUTDOWN_LIMIT;
            self.shutdown = Some(Shutdown { latest, quiet_since: None });
            self.feed(Input::Shutdown);
        }
    }

    /// Whether a shutdown is through: nothing is left, or the rest is not worth waiting for.
    fn is_over(&mut self) -> bool {
        let Some(shutdown) = &mut self.shutdown else { return false };
        let now = self.clock.now();
        let census = self.parts.engine.census();
        if census.calls > 0 {
            shutdown.quiet_since = None;
            let is_late = now >= shutdown.latest;
            if is_late {
                tracing::warn!(calls = census.calls, "calls are still in progress, and time is up");
                // Their records are written all the same.
                self.feed(Input::Abandon);
            }
            return is_late;
        }
        let quiet_since = *shutdown.quiet_since.get_or_insert(now);
        census.transactions == 0 || now.since(quiet_since) >= SHUTDOWN_LINGER || now >= shutdown.latest
    }
}
