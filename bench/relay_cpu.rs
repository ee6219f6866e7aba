//! CPU time of the relay's thread for each packet that it forwards, for both engines, and of the floor
//! (`relay_floor.rs`): a bare loop on io_uring that checks nothing.
//!
//! `cargo bench --bench relay_cpu [-- [ROW,…] SECONDS [RATE…]]`: the relay runs with one worker pinned to
//! core 0, the load comes from a thread pinned to core 1: 20 ms packets of 172 bytes, both ways,
//! over as many sessions as the rate needs, spread evenly. What counts is the ratio between two
//! rows of one run; the figures drift with the machine. ROW: see `ROWS`.
#![allow(clippy::disallowed_methods)] // A load generator lives in real time.

use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use drawbridge::base::Realm;
use drawbridge::media::{
    Marking, MediaCommand, MediaEvent, MediaSessionId, PortPair, RemoteMedia, Side, StreamPorts,
};
use drawbridge::relay::{EngineChoice, Relay, RelaySettings, ZeroCopy};
use drawbridge::runtime::Clock;

mod relay_floor;

use relay_floor::{Floor, Port};

/// What can be measured, in the order in which it is.
const ROWS: [Row; 10] = [
    Row { name: "floor", what: What::Floor { connected: false, batch_us: 200 } },
    copying("io_uring", EngineChoice::IoUring, 200),
    Row { name: "floor-connected", what: What::Floor { connected: true, batch_us: 200 } },
    Row { name: "floor-0", what: What::Floor { connected: false, batch_us: 0 } },
    copying("portable", EngineChoice::Portable, 200),
    Row {
        name: "zero-copy",
        what: What::Relay { engine: EngineChoice::IoUring, batch_us: 200, zero_copy: true },
    },
    copying("io_uring-0", EngineChoice::IoUring, 0),
    copying("io_uring-500", EngineChoice::IoUring, 500),
    copying("io_uring-1000", EngineChoice::IoUring, 1_000),
    copying("io_uring-5000", EngineChoice::IoUring, 5_000),
];

/// A relay that copies what it sends.
const fn copying(name: &'static str, engine: EngineChoice, batch_us: u64) -> Row {
    Row { name, what: What::Relay { engine, batch_us, zero_copy: false } }
}

#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Relay { engine: EngineChoice, batch_us: u64, zero_copy: bool },
    Floor { connected: bool, batch_us: u64 },
}

/// What runs.
enum Running {
    Relay(Relay),
    Floor(Floor),
}

impl Running {
    /// RTP packets handed on, both ways.
    fn forwarded(&self) -> u64 {
        match self {
            Running::Relay(relay) => {
                let counters = relay.counters();
                Realm::ALL.into_iter().map(|realm| counters.rtp[realm].sent.packets).sum()
            }
            Running::Floor(floor) => floor.forwarded.load(Ordering::Relaxed),
        }
    }
}

const RELAY_CORE: &str = "0";
const LOAD_CORE: &str = "1";
/// Packets a second of one session: one each 20 ms, both ways.
const SESSION_RATE: u64 = 100;
/// Sockets that the peers of one side share.
const PEERS: usize = 16;
const PEER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 3, 2));
/// Before it counts, sources are learned and caches warmed.
const WARM_UP: Duration = Duration::from_millis(500);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let numbers: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let names: Vec<&str> = match arguments.first() {
        Some(first) if first.parse::<u64>().is_err() => first.split(',').collect(),
        _ => vec!["floor", "io_uring", "portable"],
    };
    let (seconds, rates) = match numbers.as_slice() {
        [] => (3, &[25_000, 50_000, 100_000][..]),
        [seconds] => (*seconds, &[25_000, 50_000, 100_000][..]),
        [seconds, rates @ ..] => (*seconds, rates),
    };
    pin(std::process::id(), LOAD_CORE)?;
    println!(
        "{:>15}  {:>9}  {:>11}  {:>8}  {:>7}  {:>10}",
        "relay", "packets/s", "µs/packet", "core %", "lost %", "wake-ups/s"
    );
    let mut place = 0;
    for &rate in rates {
        for row in ROWS.into_iter().filter(|row| names.contains(&row.name)) {
            place += 1;
            match measure(row, place, rate, Duration::from_secs(seconds)) {
                Ok(text) => println!("{text}"),
                Err(error) => println!("{} at {rate}/s: {error}", row.name),
            }
        }
    }
    Ok(())
}

/// One row of the table.
fn measure(row: Row, place: u8, rate: u64, time: Duration) -> Result<String, Box<dyn Error>> {
    let load = Load::new(place)?;
    let sessions = rate / SESSION_RATE;
    let running = match row.what {
        What::Relay { engine, batch_us, zero_copy } => {
            let settings = RelaySettings {
                batch: Duration::from_micros(batch_us),
                zero_copy: if zero_copy { ZeroCopy::On } else { ZeroCopy::Off },
                ..RelaySettings::new(1, engine, Duration::from_secs(60))
            };
            Running::Relay(relay(settings, &load, sessions)?)
        }
        What::Floor { connected, batch_us } => {
            let batch = (rate * batch_us / 1_000_000) as usize + 1;
            Running::Floor(Floor::start(load.ports(sessions), connected, batch))
        }
    };
    let thread = relay_thread()?;
    pin(thread, RELAY_CORE)?;
    load.run(sessions, rate, WARM_UP)?;
    let before = (Usage::of(thread)?, running.forwarded());
    let sent = load.run(sessions, rate, time)?;
    let after = (Usage::of(thread)?, running.forwarded());

    let packets = (after.1 - before.1) as f64;
    let cpu = (after.0.cpu - before.0.cpu).as_secs_f64();
    Ok(format!(
        "{:>15}  {rate:>9}  {:>11.2}  {:>8.1}  {:>7.2}  {:>10.0}",
        row.name,
        cpu * 1e6 / packets,
        100.0 * cpu / time.as_secs_f64(),
        100.0 * (1.0 - packets / sent as f64),
        (after.0.wake_ups - before.0.wake_ups) as f64 / time.as_secs_f64(),
    ))
}

/// A relay with sessions.
fn relay(settings: RelaySettings, load: &Load, sessions: u64) -> Result<Relay, Box<dyn Error>> {
    let (relay, mut events) = Relay::start(settings, Clock::start())?;
    for id in 0..sessions {
        for command in load.session(id) {
            relay.command(command)?;
        }
        let event = events.blocking_recv();
        if !matches!(event, Some(MediaEvent::Opened { .. })) {
            return Err(format!("{event:?}").into());
        }
    }
    Ok(relay)
}

/// Where the load comes from and where it ends.
struct Load {
    /// The relay's address: each row has one of its own, for the kernel takes its time to close ports.
    relay: IpAddr,
    a: Vec<UdpSocket>,
    b: Vec<UdpSocket>,
}

impl Load {
    fn new(place: u8) -> Result<Load, Box<dyn Error>> {
        let sockets = || -> Result<Vec<UdpSocket>, std::io::Error> {
            (0..PEERS)
                .map(|_| {
                    let socket = UdpSocket::bind((PEER_ADDRESS, 0))?;
                    socket.set_nonblocking(true)?;
                    Ok(socket)
                })
                .collect()
        };
        Ok(Load { relay: Ipv4Addr::new(127, 0, 4, place).into(), a: sockets()?, b: sockets()? })
    }

    /// What opens a session and joins two of the peers.
    fn session(&self, id: u64) -> [MediaCommand; 3] {
        let session = MediaSessionId(id);
        let ports = self.ports_of(id);
        let remote = |side, sockets: &[UdpSocket]| {
            let rtp = sockets[id as usize % PEERS].local_addr().unwrap_or(SocketAddr::from(([0; 4], 0)));
            let remote = RemoteMedia { rtcp: rtp, ..RemoteMedia::plain(rtp, PEER_ADDRESS) };
            MediaCommand::SetRemote { session, stream: 0, side, remote: Some(remote) }
        };
        [
            MediaCommand::Open {
                session,
                first_stream: 0,
                streams: vec![ports],
                marking: Marking::default(),
            },
            remote(Side::A, &self.a),
            remote(Side::B, &self.b),
        ]
    }

    fn ports_of(&self, id: u64) -> StreamPorts {
        let pair = |realm, number: u64| PortPair {
            realm,
            address: self.relay,
            rtp_port: 10_000 + 2 * number as u16,
        };
        StreamPorts { a: pair(Realm::Trusted, 2 * id), b: pair(Realm::Untrusted, 2 * id + 1) }
    }

    /// The same for the floor: the ports of both sides, in turn.
    fn ports(&self, sessions: u64) -> Vec<Port> {
        let peer = |sockets: &[UdpSocket], id: u64| {
            sockets[id as usize % PEERS].local_addr().unwrap_or(SocketAddr::from(([0; 4], 0)))
        };
        let of = |id: u64| {
            let ports = self.ports_of(id);
            let place = 2 * id as usize;
            [
                Port { local: ports.a.rtp(), peer: peer(&self.a, id), out: place + 1 },
                Port { local: ports.b.rtp(), peer: peer(&self.b, id), out: place },
            ]
        };
        (0..sessions).flat_map(of).collect()
    }

    /// Sends at `rate`, evenly over time and sessions, and takes in what comes back. Tells how many
    /// packets were sent.
    fn run(&self, sessions: u64, rate: u64, time: Duration) -> Result<u64, Box<dyn Error>> {
        let mut packet = [0xd5; 172];
        packet[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        let mut sink = [0; 2_048];
        let begin = Instant::now();
        let mut sent = 0;
        while begin.elapsed() < time {
            let due = (begin.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
            while sent < due {
                let id = sent / 2 % sessions;
                let round = sent / (2 * sessions);
                packet[2..4].copy_from_slice(&(round as u16).to_be_bytes());
                packet[4..8].copy_from_slice(&(round as u32 * 160).to_be_bytes());
                let ports = self.ports_of(id);
                let (socket, to) = match sent % 2 {
                    0 => (&self.a, ports.a.rtp()),
                    _ => (&self.b, ports.b.rtp()),
                };
                socket[id as usize % PEERS].send_to(&packet, to)?;
                sent += 1;
            }
            for socket in self.a.iter().chain(&self.b) {
                while socket.recv(&mut sink).is_ok() {}
            }
        }
        Ok(sent)
    }
}

/// What a thread has used.
struct Usage {
    cpu: Duration,
    wake_ups: u64,
}

impl Usage {
    fn of(thread: u32) -> Result<Usage, Box<dyn Error>> {
        let schedstat = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"))?;
        let nanos = schedstat.split_whitespace().next().unwrap_or_default().parse()?;
        let status = fs::read_to_string(format!("/proc/self/task/{thread}/status"))?;
        let wake_ups = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        Ok(Usage { cpu: Duration::from_nanos(nanos), wake_ups: wake_ups.unwrap_or("0").trim().parse()? })
    }
}

/// The thread that the relay started.
fn relay_thread() -> Result<u32, Box<dyn Error>> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.starts_with("relay-") {
            let number = task.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            return Ok(number.parse()?);
        }
    }
    Err("the relay has no thread".into())
}

fn pin(thread: u32, core: &str) -> Result<(), Box<dyn Error>> {
    let status =
        Command::new("taskset").args(["-pc", core, &thread.to_string()]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err("taskset failed".into()) }
}
