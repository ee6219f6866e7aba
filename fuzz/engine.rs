//! The whole engine against anything: bytes become a sequence of messages, times that pass, broken
//! connections and the relay's words, on virtual time. The messages are half right, made from what
//! the engine has sent before, for only such get far.
//!
//! What must hold: no panic; everything that is sent is SIP, and nobody gets any who may not speak;
//! every call has one record; and when nobody says anything any more, nothing is left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use drawbridge::b2bua::{Cdr, Census, Engine, Event, Input, Output};
use drawbridge::base::{Hop, Instant, ListenerId, Random, Transport, TrunkName};
use drawbridge::media::{MediaCommand, MediaEvent, MediaSessionId};
use drawbridge::routing::{Endpoint, Resolution, ResolveFault};
use drawbridge::sip::{Header, Message, Method, Status, Writer, response_to};

#[path = "engine/seeds.rs"]
pub mod seeds;
#[path = "engine/settings.rs"]
mod settings;
#[path = "engine/words.rs"]
mod words;

use settings::{LONGER_THAN_A_CALL, settings};
use words::{BODIES, CALLED, EXTRAS, METHODS, PAUSES_MS, PEERS, STATUSES, STRANGER};

/// Steps that one input can make.
const MAX_STEPS: usize = 200;
/// Messages of the engine that later steps can refer to.
const REMEMBERED: usize = 24;
/// Outputs of one input, and timers of one pause; more would be a loop.
const MAX_OUTPUTS: usize = 5_000;
/// What a request with a fault is answered.
const FAULT_STATUSES: [u16; 4] = [400, 414, 501, 505];

/// Runs one input from an empty engine to an empty engine, and gives the calls' records.
pub fn engine(data: &[u8]) -> Vec<Cdr> {
    let mut world = World::new(data);
    for _ in 0..MAX_STEPS {
        if world.data.is_empty() {
            break;
        }
        world.step();
    }
    world.end()
}

struct World<'a> {
    data: &'a [u8],
    engine: Engine,
    now: Instant,
    /// What the engine sent, the newest last.
    sent: VecDeque<(Hop, Message)>,
    /// What was last sent to the engine, to be repeated.
    last: Option<(Hop, Bytes)>,
    /// Connections that peers have opened.
    connections: BTreeSet<Hop>,
    /// Sends over connections that are gone.
    failed: VecDeque<Hop>,
    sessions: BTreeSet<MediaSessionId>,
    /// What the relay has still to answer.
    held: VecDeque<MediaCommand>,
    relay_holds: bool,
    relay_fails: bool,
    is_changed: bool,
    is_abandoned: bool,
    serial: u32,
    /// Calls that came from a peer, each to have a record.
    calls: usize,
    /// Calls that count on a trunk.
    counted: BTreeMap<Option<TrunkName>, i64>,
    records: Vec<Cdr>,
    /// Whether people read along.
    is_told: bool,
}

impl<'a> World<'a> {
    fn new(data: &'a [u8]) -> World<'a> {
        let now = Instant::from_millis(1_000_000);
        let mut world = World {
            data,
            engine: Engine::new(settings(false), Random::from_number(7), 0, now),
            now,
            sent: VecDeque::new(),
            last: None,
            connections: BTreeSet::new(),
            failed: VecDeque::new(),
            sessions: BTreeSet::new(),
            held: VecDeque::new(),
            relay_holds: false,
            relay_fails: false,
            is_changed: false,
            is_abandoned: false,
            serial: 0,
            calls: 0,
            counted: BTreeMap::new(),
            records: Vec::new(),
            is_told: std::env::var_os("DRAWBRIDGE_TELL").is_some(),
        };
        world.drain();
        world
    }

    /// What a step is made of; zeros where the input ends. A step takes all that it is made of, whether
    /// it comes to anything or not: what follows means the same.
    fn read<const N: usize>(&mut self) -> [u8; N] {
        [0; N].map(|_: u8| match self.data.split_first() {
            Some((first, rest)) => {
                self.data = rest;
                *first
            }
            None => 0,
        })
    }

    fn step(&mut self) {
        let [step] = self.read();
        match step % 12 {
            0 | 1 => self.invite(),
            2 | 3 => self.request_in_dialog(),
            4..=6 => self.respond(),
            7 => self.raw(),
            8 => self.repeat(),
            9 => {
                let [pause] = self.read();
                self.advance(Duration::from_millis(*pick(&PAUSES_MS, pause)));
            }
            10 => self.relay_says(),
            _ => self.break_something(),
        }
    }

    fn invite(&mut self) {
        let [peer, called, extras @ .., body] = self.read::<6>();
        let (hop, called) = (hop(peer), *pick(&CALLED, called));
        self.serial += 1;
        let id = self.serial;
        let writer = Writer::request(&Method::Invite, format!("sip:{called}@sbc").as_bytes())
            .header(Header::Via, via(hop, &format!("i{id}")))
            .header(Header::From, format!("<sip:+14155550100@{}>;tag=f{id}", hop.peer))
            .header(Header::To, format!("<sip:{called}@sbc>"))
            .header(Header::CallId, format!("call-{id}"))
            .header(Header::CSeq, "1 INVITE")
            .header(Header::MaxForwards, "70")
            .header(Header::Contact, format!("<sip:c@{}>", hop.peer));
        self.finish(hop, writer, extras, body);
    }

    /// A request of a dialog that a message of the engine's belongs to.
    fn request_in_dialog(&mut self) {
        let [of, method, sequence, extras @ .., body] = self.read::<7>();
        let Some((hop, message)) = self.remembered(of, |_| true) else { return };
        let method = pick(&METHODS, method).clone();
        // A CANCEL and an ACK have the INVITE's number, which the engine repeats.
        let sequence = match sequence {
            0 => message.cseq().map_or(1, |cseq| cseq.number),
            above => u32::from(above) % 16 + 1,
        };
        self.serial += 1;
        let is_of_invite = matches!(method, Method::Cancel)
            || matches!(method, Method::Ack) && message.status().is_some_and(|status| status.class() > 2);
        let branch = if is_of_invite { branch_of(&message) } else { format!("d{}", self.serial) };
        let target = message.contact().map_or(b"sip:sbc".to_vec(), |contact| contact.uri_raw.to_vec());
        let (from, to) = roles(&message);
        let mut writer = Writer::request(&method, &target)
            .header(Header::Via, via(hop, &branch))
            .header(Header::From, from)
            .header(Header::To, to)
            .header(Header::CallId, message.call_id())
            .display(Header::CSeq, format!("{sequence} {}", method.label()))
            .header(Header::MaxForwards, "70");
        if method == Method::Prack {
            let rseq = message.header(Header::RSeq).unwrap_or(b"1");
            let cseq = message.header(Header::CSeq).unwrap_or(b"1 INVITE");
            writer = writer.header(Header::RAck, [rseq, b" ", cseq].concat());
        }
        if matches!(method, Method::Invite | Method::Update | Method::Refer) {
            writer = writer.header(Header::Contact, format!("<sip:c@{}>", hop.peer));
        }
        self.finish(hop, writer, extras, body);
    }

    /// A response to a request of the engine's.
    fn respond(&mut self) {
        let asks = |message: &Message| message.method().is_some_and(|method| *method != Method::Ack);
        let [to, status, tag, extras @ .., body] = self.read::<7>();
        let Some((hop, message)) = self.remembered(to, asks) else { return };
        let status = Status::of(*pick(&STATUSES, status));
        let tag = *pick(&["t1", "t2", "t3", "t1"], tag);
        let mut writer = response_to(&message, hop.peer, status, None, Some(tag));
        writer = match status.class() {
            3 => writer
                .header(Header::Contact, "<sip:+442079460002@198.51.100.2>;q=0.5, <sip:+14155550177@sbc>"),
            _ => writer.header(Header::Contact, format!("<sip:t@{}>", hop.peer)),
        };
        self.finish(hop, writer, extras, body);
    }

    fn raw(&mut self) {
        let [peer, length] = self.read();
        let (now, rest) = self.data.split_at(self.data.len().min(usize::from(length) * 2));
        self.data = rest;
        self.receive(hop(peer), Bytes::copy_from_slice(now));
    }

    /// The last message once more, perhaps with one octet changed.
    fn repeat(&mut self) {
        let [at, mask] = self.read();
        let Some((hop, bytes)) = self.last.clone() else { return };
        let mut bytes = bytes.to_vec();
        if let Some(octet) = bytes.get_mut(usize::from(at) * 4) {
            *octet ^= mask;
        }
        self.receive(hop, bytes.into());
    }

    fn relay_says(&mut self) {
        let [word] = self.read();
        match word % 4 {
            0 => self.relay_fails = !self.relay_fails,
            1 => {
                if let Some(session) = self.sessions.first().copied() {
                    self.input(Input::Media(MediaEvent::Silent { session }));
                }
            }
            2 => self.relay_holds = true,
            _ => self.release_relay(),
        }
    }

    fn release_relay(&mut self) {
        self.relay_holds = false;
        while let Some(command) = self.held.pop_front() {
            self.relay(&command);
            self.drain();
        }
    }

    fn break_something(&mut self) {
        let [what, which] = self.read();
        match what % 16 {
            0..=5 => {
                let Some((hop, _)) = self.remembered(which, |_| true) else { return };
                self.connections.remove(&hop);
                self.input(Input::TransportFailed { hop });
            }
            6..=9 => {
                let Some((_, message)) = self.remembered(which, |_| true) else { return };
                self.input(Input::Undelivered { bytes: message.as_bytes().clone() });
            }
            10..=12 => {
                self.is_changed = !self.is_changed;
                self.input(Input::Settings(settings(self.is_changed)));
            }
            13 => self.input(Input::Drain { deadline: None }),
            14 => self.input(Input::Shutdown),
            _ => {
                self.is_abandoned = true;
                self.data = &[];
            }
        }
    }

    /// One of the last messages of the engine's that are fit: the highest bit says to which side.
    fn remembered(&self, number: u8, is_fit: impl Fn(&Message) -> bool) -> Option<(Hop, Message)> {
        let is_trusted = number < 128;
        let fits = |(hop, message): &&(Hop, Message)| (hop.listener.0 == 0) == is_trusted && is_fit(message);
        let fit: Vec<_> = self.sent.iter().rev().filter(fits).collect();
        fit.get(usize::from(number % 128) % fit.len().max(1)).map(|found| (*found).clone())
    }

    /// Adds extra headers and a body.
    fn finish(&mut self, hop: Hop, mut writer: Writer, wanted: [u8; 3], body: u8) {
        let is_wanted = |place: usize| wanted[place / 8] & (1 << (place % 8)) != 0;
        for (_, (header, value)) in EXTRAS.iter().enumerate().filter(|(place, _)| is_wanted(*place)) {
            writer = writer.header(*header, value);
        }
        let (kind, body) = *pick(&BODIES, body);
        let message = match (kind, self.newest_sdp()) {
            ("", _) => writer.finish(),
            // What the engine said itself: media that would go round.
            ("echo", Some(body)) => writer.finish_with(b"application/sdp", &body),
            _ => writer.finish_with(kind.as_bytes(), body.as_bytes()),
        };
        if let Ok(message) = message {
            self.receive(hop, message.as_bytes().clone());
        }
    }

    fn newest_sdp(&self) -> Option<Bytes> {
        let sent = self.sent.iter().rev().map(|(_, message)| message);
        sent.filter(|message| message.has_body_type("application/sdp")).map(Message::body).next()
    }

    fn receive(&mut self, hop: Hop, bytes: Bytes) {
        if hop.transport.is_reliable() && self.connections.insert(hop) {
            self.input(Input::Connected { hop });
            if !self.connections.contains(&hop) {
                return;
            }
        }
        self.tell("in", hop, &bytes);
        self.last = Some((hop, bytes.clone()));
        let opens = Message::parse(bytes.clone()).is_ok_and(|message| {
            message.method() == Some(&Method::Invite) && message.to().is_some_and(|to| to.tag().is_none())
        });
        self.engine.handle(self.now, Input::Received { hop, bytes });
        let mut is_first = opens;
        while let Some(output) = self.engine.poll() {
            if is_first && matches!(output, Output::Event(Event::CallBegan { .. })) {
                self.calls += 1;
                is_first = false;
            }
            self.take(output);
        }
        self.drain();
    }

    fn tell(&self, way: &str, hop: Hop, bytes: &[u8]) {
        if self.is_told {
            let text = String::from_utf8_lossy(bytes);
            println!("--- {} ms {way} {} {}\n{text}", self.now.as_micros() / 1_000, hop.transport, hop.peer);
        }
    }

    fn input(&mut self, input: Input) {
        if self.is_told && !matches!(input, Input::Settings(_)) {
            println!("--- {} ms {input:?}", self.now.as_micros() / 1_000);
        }
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn advance(&mut self, pause: Duration) {
        let until = self.now + pause;
        let mut turns = 0;
        while let Some(next) = self.engine.next_deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.engine.on_time(self.now);
            self.drain();
            turns += 1;
            assert!(turns < MAX_OUTPUTS, "timers fire for ever");
        }
        self.now = until;
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        loop {
            if let Some(output) = self.engine.poll() {
                self.take(output);
            } else if let Some(hop) = self.failed.pop_front() {
                self.engine.handle(self.now, Input::TransportFailed { hop });
            } else {
                return;
            }
            outputs += 1;
            assert!(outputs < MAX_OUTPUTS, "one input makes outputs for ever");
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Send { hop, bytes } => self.check_sent(hop, bytes),
            Output::Disconnect { hop } => {
                self.connections.remove(&hop);
            }
            Output::Resolve { query, .. } => {
                let address = "198.51.100.3:5060".parse().unwrap();
                let endpoint = Endpoint::plain(&query.host, address, Transport::Udp);
                let resolution = match self.relay_fails {
                    true => Err(ResolveFault::NoAnswer),
                    false => Ok(Resolution::new(vec![endpoint], Duration::from_secs(1_000))),
                };
                self.engine.handle(self.now, Input::Resolved { query, resolution });
            }
            Output::Media(command) if self.relay_holds => self.held.push_back(command),
            Output::Media(command) => self.relay(&command),
            Output::Cdr(cdr) => {
                assert!(self.records.iter().all(|known| known.id != cdr.id), "two records of one call");
                self.records.push(*cdr);
            }
            Output::Event(Event::CallBegan { trunk, .. }) => *self.counted.entry(trunk).or_default() += 1,
            Output::Event(Event::CallEnded { trunk }) => *self.counted.entry(trunk).or_default() -= 1,
            Output::Event(_) | Output::OpenCall(_) => {}
        }
    }

    fn check_sent(&mut self, hop: Hop, bytes: Bytes) {
        self.tell("out", hop, &bytes);
        let message = Message::parse(bytes).expect("what is sent is SIP");
        // What a request lacks, the answer that says so lacks too.
        let names_a_fault = message.status().is_some_and(|status| FAULT_STATUSES.contains(&status.code()));
        assert!(message.fault().is_none() || names_a_fault, "{:?}: {message:?}", message.fault());
        assert_ne!(hop.peer.ip().to_string(), STRANGER, "a stranger got\n{message:?}");
        // Who called from a port of its own cannot be called there when the connection is gone.
        if hop.transport == Transport::Tcp && hop.peer.port() != 5_060 && !self.connections.contains(&hop) {
            self.failed.push_back(hop);
            return;
        }
        if hop.transport == Transport::Tcp {
            self.connections.insert(hop);
        }
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back((hop, message));
    }

    fn relay(&mut self, command: &MediaCommand) {
        let event = match command {
            MediaCommand::Open { session, first_stream, streams, .. } if self.relay_fails => {
                let address = streams[0].a.rtp();
                MediaEvent::OpenFailed { session: *session, first_stream: *first_stream, address, errno: 98 }
            }
            MediaCommand::Open { session, first_stream, .. } => {
                self.sessions.insert(*session);
                MediaEvent::Opened { session: *session, first_stream: *first_stream }
            }
            MediaCommand::Close { session } => {
                self.sessions.remove(session);
                MediaEvent::Closed { session: *session, report: Box::default() }
            }
            MediaCommand::SetRemote { .. }
            | MediaCommand::SetHold { .. }
            | MediaCommand::SetAnswered { .. }
            | MediaCommand::Report { .. }
            | MediaCommand::Press { .. } => {
                return;
            }
        };
        self.engine.handle(self.now, Input::Media(event));
    }

    /// Nobody says anything any more: everything must end by itself.
    fn end(mut self) -> Vec<Cdr> {
        self.relay_fails = false;
        if self.is_abandoned {
            self.input(Input::Abandon);
        } else {
            self.release_relay();
            self.advance(LONGER_THAN_A_CALL);
            self.expect_nothing_left();
        }
        assert_eq!(self.records.len(), self.calls, "every call has one record");
        self.records
    }

    fn expect_nothing_left(&self) {
        let census = self.engine.census();
        let nothing = Census { media_ports_limit: census.media_ports_limit, ..Census::default() };
        assert_eq!(census, nothing, "something is left when all is over");
        assert_eq!(self.engine.leftovers(), 0, "entries in the engine's tables");
        assert!(self.sessions.is_empty(), "the relay has open ports left");
        assert!(self.counted.values().all(|count| *count == 0), "what began has ended: {:?}", self.counted);
    }
}

fn pick<T>(table: &[T], number: u8) -> &T {
    &table[usize::from(number) % table.len()]
}

fn hop(peer: u8) -> Hop {
    let (peer, listener, transport) = *pick(&PEERS, peer);
    Hop::new(ListenerId(listener), transport, peer.parse().unwrap())
}

fn via(hop: Hop, branch: &str) -> String {
    format!("SIP/2.0/{} {};rport;branch=z9hG4bK{branch}", hop.transport.via_name(), hop.peer)
}

fn branch_of(message: &Message) -> String {
    let branch = message.top_via().and_then(|via| via.branch().map(<[u8]>::to_vec)).unwrap_or_default();
    String::from_utf8_lossy(branch.strip_prefix(b"z9hG4bK").unwrap_or(&branch)).into_owned()
}

/// From and To of the peer's next request in the dialog of a message of the engine's: who received a
/// request turns the roles round.
fn roles(message: &Message) -> (Vec<u8>, Vec<u8>) {
    let value = |header| message.header(header).unwrap_or(b"<sip:x@y>").to_vec();
    let (from, mut to) = (value(Header::From), value(Header::To));
    if message.method().is_none() {
        return (from, to);
    }
    if message.to().is_some_and(|to| to.tag().is_none()) {
        to.extend_from_slice(b";tag=t1");
    }
    (to, from)
}
