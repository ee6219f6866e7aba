//! The lab: the engine between scripted user agents, on virtual time, with a relay that opens and
//! closes what it is told to.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use regex::Regex;

use crate::admission;
use crate::b2bua::{Cdr, Census, Engine, Event, Input, Listener, Output, Settings, Timeouts};
use crate::base::{ByRealm, Hop, Instant, ListenerId, Random, Realm, Transport};
use crate::media::{
    self, DirectionReport, MediaAddress, MediaCommand, MediaEvent, MediaReport, MediaSessionId, PortPair,
    RealmMedia,
};
use crate::numbering;
use crate::routing::{
    self, Balance, Endpoint, Health, HealthChange, Host, Limits, NumberPattern, Query, Resolution,
    ResolveFault, Route, RouteSource, TierTrunk, Trunk,
};
use crate::sip::{Header, Message, Method, Status, Writer, response_to};

/// Where everybody is.
pub const PBX: &str = "10.0.0.9:5060";
pub const CARRIER_A: &str = "198.51.100.1:5060";
pub const CARRIER_B: &str = "198.51.100.2:5060";
pub const STRANGER: &str = "192.0.2.66:5060";
/// The SBC's sides.
pub const SBC_TRUSTED: &str = "10.0.0.5:5060";
pub const SBC_UNTRUSTED: &str = "203.0.113.5:5060";

/// What a message of the lab says of its media.
pub const SDP_PBX: &str = "v=0\r\no=pbx 1 1 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
pub const SDP_CARRIER: &str = "v=0\r\no=carrier 7 7 IN IP4 198.51.100.1\r\ns=c\r\nc=IN IP4 198.51.100.77\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// The engine and what it has said so far.
pub struct Lab {
    pub engine: Engine,
    pub now: Instant,
    pub sent: VecDeque<(Hop, Message)>,
    pub cdrs: Vec<Cdr>,
    /// What was told of calls before their end.
    pub open_calls: Vec<Cdr>,
    pub events: Vec<Event>,
    /// What was told of the health of trunks.
    pub health: Vec<HealthChange>,
    /// Connections that the engine wanted closed.
    pub disconnected: Vec<Hop>,
    /// What DNS was asked for, in order.
    pub lookups: Vec<Query>,
    /// What the relay was told, in order.
    pub media: Vec<MediaCommand>,
    /// Sessions that the relay has open.
    pub open_sessions: BTreeSet<MediaSessionId>,
    /// So many of the next `Open`s fail.
    pub failing_opens: usize,
    /// `Open`s are answered by hand.
    pub holds_opens: bool,
    /// Whether what is sent is searched for words of the other side.
    pub looks_for_leaks: bool,
    /// Call-IDs and tags of each side, which the other must never see.
    identifiers: ByRealm<BTreeSet<Vec<u8>>>,
}

impl Lab {
    /// A lab with the default settings.
    pub fn new() -> Lab {
        Lab::with(settings())
    }

    /// A lab with other settings.
    pub fn with(settings: Settings) -> Lab {
        Lab::seeded(settings, 1)
    }

    /// A lab whose engine draws other numbers.
    pub fn seeded(settings: Settings, seed: u64) -> Lab {
        let now = Instant::from_millis(1_000_000);
        let engine = Engine::new(Arc::new(settings), Random::from_number(seed), 0, now);
        let mut lab = Lab {
            engine,
            now,
            sent: VecDeque::new(),
            cdrs: Vec::new(),
            open_calls: Vec::new(),
            events: Vec::new(),
            health: Vec::new(),
            disconnected: Vec::new(),
            lookups: Vec::new(),
            media: Vec::new(),
            open_sessions: BTreeSet::new(),
            failing_opens: 0,
            holds_opens: false,
            looks_for_leaks: true,
            identifiers: ByRealm::default(),
        };
        lab.drain();
        lab
    }

    /// One input, and everything that follows from it at once.
    pub fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    /// DNS answers the last look-up of a host.
    #[track_caller]
    pub fn resolved(&mut self, host: &str, resolution: Result<Resolution, ResolveFault>) {
        let query = self.lookups.iter().rev().find(|query| query.host == host).cloned();
        let query = query.unwrap_or_else(|| panic!("{host} was not looked up; but: {:?}", self.lookups));
        self.input(Input::Resolved { query, resolution });
    }

    /// A message arrives from `peer`, at the listener of its side.
    pub fn receive(&mut self, peer: &str, message: &Message) {
        self.receive_bytes(peer, message.as_bytes().clone());
    }

    /// Any bytes arrive.
    pub fn receive_bytes(&mut self, peer: &str, bytes: impl Into<Bytes>) {
        let peer: SocketAddr = peer.parse().unwrap();
        let listener = ListenerId(u16::from(!peer.ip().to_string().starts_with("10.")));
        let hop = Hop::new(listener, Transport::Udp, peer);
        let bytes = bytes.into();
        if let Ok(message) = Message::parse(bytes.clone()) {
            self.note_identifiers(realm_of(hop), &message);
        }
        self.input(Input::Received { hop, bytes });
    }

    fn note_identifiers(&mut self, realm: Realm, message: &Message) {
        let tags = [message.from(), message.to()].map(|address| address.and_then(|address| address.tag()));
        for word in tags.into_iter().flatten().chain([message.call_id()]) {
            self.identifiers[realm].insert(word.to_vec());
        }
    }

    /// Nothing of one side is seen on the other: no address, tag, Call-ID or software.
    #[track_caller]
    fn expect_no_leak(&self, realm: Realm, message: &Message) {
        let (other, addresses): (_, &[&str]) = match realm {
            Realm::Trusted => (Realm::Untrusted, &["198.51.100.", "203.0.113.", "Secret"]),
            Realm::Untrusted => (Realm::Trusted, &["10.0.0.", "Secret"]),
        };
        let addresses = addresses.iter().map(|word| word.as_bytes());
        for word in self.identifiers[other].iter().map(Vec::as_slice).chain(addresses) {
            let found = word.len() > 5 && memchr::memmem::find(message.as_bytes(), word).is_some();
            assert!(!found, "{} is seen in\n{}", String::from_utf8_lossy(word), text(message));
        }
    }

    /// Time passes; every timer on the way fires when it is due.
    pub fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(next) = self.engine.next_deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.engine.on_time(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// The next message that was sent to `peer`; what was sent to others before stays.
    pub fn take(&mut self, peer: &str) -> Message {
        let peer: SocketAddr = peer.parse().unwrap();
        let at = self.sent.iter().position(|(hop, _)| hop.peer == peer);
        let Some(at) = at else { panic!("nothing was sent to {peer}; but: {:?}", self.sent) };
        let (_, message) = self.sent.remove(at).unwrap();
        assert_eq!(message.fault(), None, "{}", text(&message));
        message
    }

    /// The next message to `peer`, which is a request of this method.
    pub fn take_request(&mut self, peer: &str, method: &Method) -> Message {
        let message = self.take(peer);
        assert_eq!(message.method(), Some(method), "{}", text(&message));
        message
    }

    /// The next message to `peer`, which is this response.
    pub fn take_response(&mut self, peer: &str, status: u16) -> Message {
        let message = self.take(peer);
        assert_eq!(message.status(), Status::new(status), "{}", text(&message));
        message
    }

    /// The PBX ACKs our answer to its INVITE and hangs up; the other side hears of it.
    pub fn caller_acks_and_leaves(&mut self, invite: &Message, answer: &Message) {
        for (method, sequence) in [(Method::Ack, 1), (Method::Bye, 2)] {
            let request = caller_request(PBX, invite, answer, &method, sequence);
            self.receive(PBX, &finish(request, None));
        }
        self.take_response(PBX, 200);
    }

    /// Nothing was sent that was not taken.
    #[track_caller]
    pub fn expect_silence(&self) {
        assert!(self.sent.is_empty(), "unexpected: {:?}", self.sent);
    }

    /// After all transactions have run out, nothing of any call is left.
    #[track_caller]
    pub fn expect_nothing_left(&mut self) {
        self.advance(Duration::from_secs(64));
        let census = self.engine.census();
        let nothing = Census { media_ports_limit: census.media_ports_limit, ..Census::default() };
        assert_eq!(census, nothing);
        assert!(self.open_sessions.is_empty(), "open media: {:?}", self.open_sessions);
        assert_eq!(self.engine.leftovers(), 0, "entries in the engine's tables");
    }

    /// The only CDR.
    #[track_caller]
    pub fn cdr(&self) -> &Cdr {
        assert_eq!(self.cdrs.len(), 1, "{:?}", self.cdrs);
        &self.cdrs[0]
    }

    /// The relay opens what it was asked to.
    pub fn open_held(&mut self) {
        self.holds_opens = false;
        let opens: Vec<_> = self
            .media
            .iter()
            .rev()
            .take_while(|command| matches!(command, MediaCommand::Open { .. }))
            .cloned()
            .collect();
        for command in opens {
            self.relay(command);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Send { hop, bytes } => {
                    let message = Message::parse(bytes).expect("the engine sends SIP");
                    if self.looks_for_leaks {
                        self.expect_no_leak(realm_of(hop), &message);
                    }
                    self.sent.push_back((hop, message));
                }
                Output::Resolve { query, .. } => self.lookups.push(query),
                Output::Media(command) => {
                    self.media.push(command.clone());
                    self.relay(command);
                }
                Output::Disconnect { hop } => self.disconnected.push(hop),
                Output::OpenCall(cdr) => self.open_calls.push(*cdr),
                Output::Cdr(cdr) => self.cdrs.push(*cdr),
                Output::Event(Event::Health(change)) => self.health.push(change),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn relay(&mut self, command: MediaCommand) {
        let event = match command {
            MediaCommand::Open { .. } if self.holds_opens => return,
            MediaCommand::Open { session, first_stream, streams, .. } if self.failing_opens > 0 => {
                self.failing_opens -= 1;
                MediaEvent::OpenFailed { session, first_stream, address: streams[0].b.rtcp(), errno: 98 }
            }
            MediaCommand::Open { session, first_stream, .. } => {
                self.open_sessions.insert(session);
                MediaEvent::Opened { session, first_stream }
            }
            MediaCommand::Close { session } => {
                self.open_sessions.remove(&session);
                let from_a = DirectionReport { packets: 50, bytes: 8_600, ..DirectionReport::default() };
                MediaEvent::Closed {
                    session,
                    report: Box::new(MediaReport { from_a, from_b: DirectionReport::default() }),
                }
            }
            MediaCommand::SetRemote { .. }
            | MediaCommand::SetHold { .. }
            | MediaCommand::SetAnswered { .. }
            | MediaCommand::Report { .. }
            | MediaCommand::Press { .. } => return,
        };
        self.engine.handle(self.now, Input::Media(event));
    }
}

fn realm_of(hop: Hop) -> Realm {
    // Tests with more listeners put the trusted ones at even places.
    if hop.listener.0.is_multiple_of(2) { Realm::Trusted } else { Realm::Untrusted }
}

/// The CANCEL of an INVITE: the same branch.
pub fn cancel_of(invite: &Message) -> Message {
    let cancel = text(invite).replacen("INVITE ", "CANCEL ", 1).replace(" INVITE\r\n", " CANCEL\r\n");
    Message::parse(cancel.into()).unwrap()
}

/// The message as text, for assertions and failures.
pub fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.as_bytes()).into_owned()
}

/// An INVITE from `peer` for `called`; `id` makes Call-ID, tag and branch.
pub fn invite(peer: &str, called: &str, id: &str, sdp: Option<&str>) -> Message {
    let writer = request(peer, &Method::Invite, &format!("sip:{called}@{}", sbc_towards(peer)), id, 1)
        .header(Header::To, format!("<sip:{called}@{}>", sbc_towards(peer)))
        .header(Header::Contact, format!("<sip:caller@{peer}>"))
        .header(Header::UserAgent, "Secret 1.0");
    finish(writer, sdp)
}

/// The beginning of any request outside a dialog, without To.
pub fn request(peer: &str, method: &Method, uri: &str, id: &str, sequence: u32) -> Writer {
    Writer::request(method, uri.as_bytes())
        .header(
            Header::Via,
            format!("SIP/2.0/UDP {peer};rport;branch=z9hG4bK{id}{sequence}{}", method.label()),
        )
        .header(Header::From, format!("\"Caller\" <sip:+14155550100@{peer}>;tag=from-{id}"))
        .header(Header::CallId, format!("call-{id}@{peer}"))
        .display(Header::CSeq, format!("{sequence} {}", method.label()))
        .header(Header::MaxForwards, "70")
}

/// A request within the dialog that `answer` (our 1xx or 2xx to `invite`) established, from the
/// caller's side.
pub fn caller_request(
    peer: &str,
    invite: &Message,
    answer: &Message,
    method: &Method,
    sequence: u32,
) -> Writer {
    let target = answer.contact().expect("a Contact").uri_raw.to_vec();
    let mut writer = Writer::request(method, &target)
        .header(Header::Via, format!("SIP/2.0/UDP {peer};rport;branch=z9hG4bKc{sequence}{}", method.label()))
        .copy(invite, Header::From)
        .copy(answer, Header::To)
        .copy(invite, Header::CallId)
        .display(Header::CSeq, format!("{sequence} {}", method.label()))
        .header(Header::MaxForwards, "70");
    if matches!(method, Method::Invite | Method::Update) {
        writer = writer.header(Header::Contact, format!("<sip:caller@{peer}>"));
    }
    writer
}

/// A request within the dialog from the callee's side: `invite` is what it got, `tag` its own.
pub fn callee_request(peer: &str, invite: &Message, tag: &str, method: &Method, sequence: u32) -> Writer {
    let target = invite.contact().expect("a Contact").uri_raw.to_vec();
    let mut from = invite.header(Header::To).unwrap().to_vec();
    from.extend_from_slice(format!(";tag={tag}").as_bytes());
    let mut writer = Writer::request(method, &target)
        .header(Header::Via, format!("SIP/2.0/UDP {peer};rport;branch=z9hG4bKd{sequence}{}", method.label()))
        .header(Header::From, from)
        .header(Header::To, invite.header(Header::From).unwrap())
        .copy(invite, Header::CallId)
        .display(Header::CSeq, format!("{sequence} {}", method.label()))
        .header(Header::MaxForwards, "70");
    if matches!(method, Method::Invite | Method::Update) {
        writer = writer.header(Header::Contact, format!("<sip:callee@{peer}>"));
    }
    writer
}

/// `peer`'s response to a request of the SBC's.
pub fn respond(peer: &str, request: &Message, status: u16, tag: &str, sdp: Option<&str>) -> Message {
    let sbc: SocketAddr = sbc_towards(peer).parse().unwrap();
    let mut writer =
        response_to(request, sbc, Status::of(status), None, Some(tag)).header(Header::Server, "Secret 2.0");
    if status > 100 && status < 300 {
        writer = writer.header(Header::Contact, format!("<sip:callee@{peer}>"));
    }
    finish(writer, sdp)
}

/// The same message with further header lines.
pub fn with_header(message: &Message, lines: &str) -> Message {
    Message::parse(text(message).replacen("\r\n", &format!("\r\n{lines}\r\n"), 1).into()).unwrap()
}

/// Ends a message with or without SDP.
pub fn finish(writer: Writer, sdp: Option<&str>) -> Message {
    match sdp {
        Some(sdp) => writer.finish_with(b"application/sdp", sdp.as_bytes()).unwrap(),
        None => writer.finish().unwrap(),
    }
}

/// The SBC's address on the side of `peer`.
pub fn sbc_towards(peer: &str) -> &'static str {
    if peer.starts_with("10.") { SBC_TRUSTED } else { SBC_UNTRUSTED }
}

/// The tag of To.
pub fn to_tag(message: &Message) -> String {
    let to = message.to().expect("a To");
    String::from_utf8_lossy(to.tag().expect("a tag")).into_owned()
}

/// A PBX on the trusted side, two carriers on the untrusted, a route each way.
pub fn settings() -> Settings {
    let listener = |realm, bind: &str| Listener {
        realm,
        transport: Transport::Udp,
        bind: bind.parse().unwrap(),
        advertise: bind.to_owned(),
    };
    let media = |address: &str| {
        let address = address.parse().unwrap();
        RealmMedia { addresses: vec![MediaAddress { bind: address, advertise: address }] }
    };
    Settings {
        node: "sbc1".to_owned(),
        listeners: vec![listener(Realm::Trusted, SBC_TRUSTED), listener(Realm::Untrusted, SBC_UNTRUSTED)],
        admission: admission::Settings {
            allow: ByRealm {
                trusted: vec!["10.0.0.0/8".parse().unwrap()],
                untrusted: vec!["198.51.100.0/24".parse().unwrap()],
            },
            rate: ByRealm::default(),
        },
        numbering: numbering::Settings {
            country: Some("US".to_owned()),
            prefixes: vec!["00".to_owned(), "011".to_owned()],
            short: vec![Regex::new("^(?:1[0-9]{2})$").unwrap()],
            emergency: vec!["911".to_owned(), "112".to_owned()],
            access_codes: Vec::new(),
        },
        routing: routing::Settings {
            trunks: vec![
                trunk("pbx", Realm::Trusted, PBX),
                trunk("carrier-a", Realm::Untrusted, CARRIER_A),
                trunk("carrier-b", Realm::Untrusted, CARRIER_B),
            ],
            routes: vec![
                route("out", RouteSource::Realm(Realm::Trusted), &["carrier-a", "carrier-b"]),
                route("in", RouteSource::Realm(Realm::Untrusted), &["pbx"]),
            ],
            limits: Limits::default(),
        },
        media: media::Settings {
            ports: (10_000, 10_099),
            timeout: Duration::from_secs(60),
            one_way_timeout: Duration::ZERO,
            hold_timeout: Duration::ZERO,
            realms: ByRealm { trusted: media("10.0.0.5"), untrusted: media("203.0.113.5") },
        },
        timeouts: Timeouts::default(),
    }
}

/// A trunk at one address, everything else by default.
pub fn trunk(name: &str, realm: Realm, address: &str) -> Trunk {
    let address: SocketAddr = address.parse().unwrap();
    Trunk {
        domain: format!("{name}.example"),
        // What is tested elsewhere is not mixed with probes; those are in `health.rs`.
        health: Health { interval: Duration::ZERO, ..Health::default() },
        ..Trunk::new(name, realm, Host::Address(address.ip()), Some(address.port()))
    }
}

/// A route for every number, one trunk a tier.
pub fn route(name: &str, from: RouteSource, trunks: &[&str]) -> Route {
    let to: Vec<NumberPattern> = vec![];
    let tiers = trunks.iter().map(|trunk| vec![TierTrunk::from(*trunk)]).collect();
    Route { name: name.to_owned(), from, to, tiers, balance: Balance::default() }
}

/// What DNS says of a host without SRV records: UDP at these addresses, for 60 s.
pub fn found(host: &str, addresses: &[&str]) -> Result<Resolution, ResolveFault> {
    let at = |address: &&str| Endpoint::plain(host, address.parse().unwrap(), Transport::Udp);
    Ok(Resolution::new(addresses.iter().map(at).collect(), Duration::from_secs(60)))
}

/// DNS says that there is no such host.
pub fn no_such_host() -> Result<Resolution, ResolveFault> {
    Err(ResolveFault::NoSuchHost { valid_for: Duration::from_secs(10) })
}

/// The ports that a session was last asked to open.
pub fn opened_ports(lab: &Lab) -> Vec<PortPair> {
    let streams = lab.media.iter().rev().find_map(|command| match command {
        MediaCommand::Open { streams, .. } => Some(streams.clone()),
        _ => None,
    });
    streams.expect("an Open").iter().flat_map(|stream| [stream.a, stream.b]).collect()
}
