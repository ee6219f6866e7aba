//! The relay under full load while calls come and go: no port is lost, no packet reaches another call (each
//! payload names its own), and memory stays flat. Some seconds over each engine; as long as
//! `DRAWBRIDGE_CHURN_SECONDS` says (`./dev soak`: ten minutes).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "real sockets want real time")]

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use drawbridge::base::{ByRealm, Random, Realm};
use drawbridge::media::{
    ADDRESS_IN_USE, Marking, MediaAddress, MediaCommand, MediaEvent, MediaSessionId, PortPair, PortPool,
    RealmMedia, RemoteMedia, Settings, Side, StreamPorts,
};
use drawbridge::relay::{EngineChoice, Relay, RelaySettings, ZeroCopy};
use drawbridge::runtime::Clock;
use tokio::sync::mpsc;

/// Set where io_uring is known to be refused.
const WITHOUT_IO_URING: &str = "DRAWBRIDGE_TEST_WITHOUT_IO_URING";
const SECONDS: &str = "DRAWBRIDGE_CHURN_SECONDS";
const SECONDS_DEFAULT: u64 = 3;
/// New calls a second; as many end.
const CALLS_PER_SECOND: u64 = 200;
/// Calls at once.
const CALLS: usize = 300;
/// Sockets that the peers of one side share.
const PEERS: u64 = 16;
const PORTS: (u16, u16) = (10_000, 14_999);
/// After its end a call's peer sends one packet more, to a port that rests by then.
const LATE_AFTER: Duration = Duration::from_millis(500);
/// What the process may grow by after a fifth of the time, in bytes.
const GROWTH_MAX: u64 = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn io_uring_under_full_load_loses_no_port_and_meets_no_other_call() {
    churn(1, RelaySettings { engine: EngineChoice::IoUring, ..settings() });
}

#[test]
fn zero_copy_under_full_load_loses_no_port_and_meets_no_other_call() {
    churn(2, RelaySettings { engine: EngineChoice::IoUring, zero_copy: ZeroCopy::On, ..settings() });
}

#[test]
fn portable_under_full_load_loses_no_port_and_meets_no_other_call() {
    churn(3, RelaySettings { engine: EngineChoice::Portable, ..settings() });
}

fn settings() -> RelaySettings {
    RelaySettings::new(2, EngineChoice::Auto, Duration::from_secs(60))
}

/// Calls come and go for a while over one engine, on addresses of its `place`.
fn churn(place: u8, settings: RelaySettings) {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS_DEFAULT);
    match Relay::start(settings, Clock::start()) {
        Ok((relay, events)) => Churn::new(relay, events, place).run(Duration::from_secs(seconds)),
        Err(error) => assert!(
            settings.engine == EngineChoice::IoUring && std::env::var_os(WITHOUT_IO_URING).is_some(),
            "{settings:?}: {error}"
        ),
    }
}

struct Churn {
    clock: Clock,
    relay: Relay,
    events: mpsc::Receiver<MediaEvent>,
    pool: PortPool,
    address: ByRealm<IpAddr>,
    a: Vec<UdpSocket>,
    b: Vec<UdpSocket>,
    next: u64,
    /// Those that are sent for, the oldest first.
    live: VecDeque<u64>,
    /// Every call whose packets may still be on their way.
    calls: HashMap<u64, StreamPorts>,
    late: VecDeque<(Instant, u64)>,
    is_open: HashMap<u64, bool>,
    closing: usize,
    sent: u64,
    received: u64,
    report: Report,
}

#[derive(Default)]
struct Report {
    ended: u64,
    late: u64,
    held_by_others: u64,
}

impl Churn {
    fn new(relay: Relay, events: mpsc::Receiver<MediaEvent>, place: u8) -> Churn {
        let [.., high, low] = std::process::id().to_be_bytes();
        let own = |last| IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 63), low, last));
        let address = ByRealm { trusted: own(4 * place), untrusted: own(4 * place + 1) };
        let realm = |bind| RealmMedia { addresses: vec![MediaAddress { bind, advertise: bind }] };
        let realms = ByRealm { trusted: realm(address.trusted), untrusted: realm(address.untrusted) };
        let timeout = Duration::from_secs(60);
        let (one_way_timeout, hold_timeout) = (Duration::ZERO, Duration::ZERO);
        let settings = Settings { ports: PORTS, timeout, one_way_timeout, hold_timeout, realms };
        let peers = || {
            let peer = |_| {
                let socket = UdpSocket::bind((own(4 * place + 2), 0)).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            };
            (0..PEERS).map(peer).collect::<Vec<_>>()
        };
        Churn {
            clock: Clock::start(),
            relay,
            events,
            pool: PortPool::new(&settings, Random::from_seed([place; 32])),
            address,
            a: peers(),
            b: peers(),
            next: 0,
            live: VecDeque::new(),
            calls: HashMap::new(),
            late: VecDeque::new(),
            is_open: HashMap::new(),
            closing: 0,
            sent: 0,
            received: 0,
            report: Report::default(),
        }
    }

    fn run(mut self, time: Duration) {
        let begin = Instant::now();
        let mut resident = None;
        while begin.elapsed() < time {
            let due = begin.elapsed().as_millis() as u64 * CALLS_PER_SECOND / 1_000;
            // The first come at once, for the load is to be full.
            while self.next < due + CALLS as u64 {
                self.begin_call();
                if self.live.len() > CALLS {
                    self.end_call();
                }
            }
            self.take_events();
            self.send_to_all();
            self.send_late();
            self.receive_all();
            if resident.is_none() && begin.elapsed() > time / 5 {
                resident = Some(resident_bytes());
            }
        }
        let growth = resident_bytes().saturating_sub(resident.unwrap_or_default());
        self.come_to_an_end();
        println!(
            "{}: {} calls ended, {} packets sent, {} late, {} received, memory grew by {} KiB, dropped {:?}",
            self.relay.engine_name(),
            self.report.ended,
            self.sent,
            self.report.late,
            self.received,
            growth / 1_024,
            self.relay.counters().dropped,
        );
        assert!(self.received > 0 && self.report.ended > 0);
        assert!(self.report.held_by_others <= 2 + self.report.ended / 1_000, "ports stay bound");
        assert!(growth < GROWTH_MAX, "memory grew by {growth} bytes");
        assert_eq!(self.relay.counters().restarts, 0);
    }

    fn begin_call(&mut self) {
        let id = self.next;
        self.next += 1;
        let now = self.clock.now();
        let mut reserve = |realm| {
            let pair: Option<PortPair> = self.pool.reserve(realm, self.address[realm], now);
            pair.unwrap()
        };
        let ports = StreamPorts { a: reserve(Realm::Trusted), b: reserve(Realm::Untrusted) };
        let session = MediaSessionId(id);
        let remote = |side, peer: &UdpSocket| {
            let rtp = peer.local_addr().unwrap();
            let remote = RemoteMedia { rtcp: rtp, ..RemoteMedia::plain(rtp, rtp.ip()) };
            MediaCommand::SetRemote { session, stream: 0, side, remote: Some(remote) }
        };
        for command in [
            MediaCommand::Open {
                session,
                first_stream: 0,
                streams: vec![ports],
                marking: Marking::default(),
            },
            remote(Side::A, &self.a[(id % PEERS) as usize]),
            remote(Side::B, &self.b[(id % PEERS) as usize]),
        ] {
            self.relay.command(command).unwrap();
        }
        self.calls.insert(id, ports);
        self.is_open.insert(id, false);
        self.live.push_back(id);
    }

    fn end_call(&mut self) {
        let Some(id) = self.live.pop_front() else { return };
        self.relay.command(MediaCommand::Close { session: MediaSessionId(id) }).unwrap();
        self.closing += 1;
    }

    fn take_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                MediaEvent::Opened { session: MediaSessionId(id), .. } => {
                    self.is_open.insert(id, true);
                }
                MediaEvent::Closed { session: MediaSessionId(id), .. } => {
                    assert_eq!(self.is_open.remove(&id), Some(true), "call {id} was closed before it opened");
                    let ports = self.calls[&id];
                    for pair in [ports.a, ports.b] {
                        // Whoever is told that a port is free may have it.
                        self.report.held_by_others += u64::from(UdpSocket::bind(pair.rtp()).is_err());
                        self.pool.release(pair, self.clock.now());
                    }
                    self.closing -= 1;
                    self.report.ended += 1;
                    self.late.push_back((Instant::now() + LATE_AFTER, id));
                }
                MediaEvent::OpenFailed { session: MediaSessionId(id), errno: ADDRESS_IN_USE, .. } => {
                    self.give_up(id);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Another program of this host had one of the call's ports (resolvers take any for a moment): the
    /// engine would draw again. That it happens seldom says that it was not one of ours.
    fn give_up(&mut self, id: u64) {
        self.live.retain(|live| *live != id);
        self.is_open.remove(&id);
        if let Some(ports) = self.calls.remove(&id) {
            let now = self.clock.now();
            self.pool.mark_unusable(ports.a, now);
            self.pool.mark_unusable(ports.b, now);
        }
        self.report.held_by_others += 1;
        assert!(self.report.held_by_others <= 2 + self.report.ended / 1_000, "ports stay bound");
    }

    /// One packet of each peer of each call: as many as the machine takes.
    fn send_to_all(&mut self) {
        for index in 0..self.live.len() {
            let id = self.live[index];
            self.send(id);
            if index % 32 == 0 {
                self.receive_all();
            }
        }
    }

    fn send(&mut self, id: u64) {
        let ports = self.calls[&id];
        let peer = (id % PEERS) as usize;
        for (side, socket, to) in [(0, &self.a[peer], ports.a.rtp()), (1, &self.b[peer], ports.b.rtp())] {
            // A full queue is the machine's, and what comes back of a closed port says nothing.
            self.sent += u64::from(socket.send_to(&packet(id, side, self.sent), to).is_ok());
        }
    }

    fn send_late(&mut self) {
        while self.late.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            let Some((_, id)) = self.late.pop_front() else { return };
            self.send(id);
            self.report.late += 2;
            // Nothing of it is on its way by now; a packet that comes all the same fails the test.
            self.calls.remove(&id);
        }
    }

    /// Takes what came, and looks whether it came the way of the call that it names.
    fn receive_all(&mut self) {
        for (side, sockets) in [(1, &self.a), (0, &self.b)] {
            for (peer, socket) in (0..).zip(sockets) {
                let mut bytes = [0; 256];
                while let Ok((length, source)) = socket.recv_from(&mut bytes) {
                    let (id, sent_by) = named(&bytes[..length]);
                    let ports =
                        self.calls.get(&id).unwrap_or_else(|| panic!("a packet of call {id}, long over"));
                    let expected: SocketAddr = if side == 0 { ports.b.rtp() } else { ports.a.rtp() };
                    assert_eq!(
                        (sent_by, source, id % PEERS),
                        (side, expected, peer),
                        "a packet of call {id}"
                    );
                    self.received += 1;
                }
            }
        }
    }

    fn come_to_an_end(&mut self) {
        while !self.live.is_empty() {
            self.end_call();
        }
        let deadline = Instant::now() + PATIENCE;
        while self.closing > 0 {
            assert!(Instant::now() < deadline, "{} calls do not close", self.closing);
            self.receive_all();
            self.take_events();
            std::thread::yield_now();
        }
        assert!(self.is_open.is_empty());
        for realm in Realm::ALL {
            assert_eq!(self.pool.in_use(realm), 0);
            assert_eq!(bound_sockets(self.address[realm]), 0, "the kernel has ports of ours");
            // When all have rested every pair is to be had, and no more than there are.
            let rested = self.clock.now() + 5 * PATIENCE;
            let pairs = (0..).take_while(|_| self.pool.reserve(realm, self.address[realm], rested).is_some());
            assert_eq!(2 * pairs.count(), self.pool.limit(realm));
        }
    }
}

/// RTP of 172 bytes whose payload says which call it is of, and which side's.
fn packet(id: u64, side: u8, sequence: u64) -> [u8; 172] {
    let mut bytes = [0xd5; 172];
    bytes[..2].copy_from_slice(&[0x80, 0]);
    bytes[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    bytes[12..20].copy_from_slice(&id.to_be_bytes());
    bytes[20] = side;
    bytes
}

fn named(bytes: &[u8]) -> (u64, u8) {
    assert_eq!(bytes.len(), 172);
    (u64::from_be_bytes(bytes[12..20].try_into().unwrap()), bytes[20])
}

fn bound_sockets(address: IpAddr) -> usize {
    let IpAddr::V4(address) = address else { return 0 };
    let address = format!(" {:08X}:", u32::from(address).swap_bytes());
    std::fs::read_to_string("/proc/net/udp").unwrap().matches(&address).count()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1_024 * line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
}
