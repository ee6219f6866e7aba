//! A constant-rate RTP source and sink, for measuring a relay from outside.
//!
//! usage: rtp_load FLOWS RATE SECONDS [latency]
//!
//! FLOWS is a file with a line `LOCAL REMOTE` (two socket addresses) a flow. Every flow sends from
//! LOCAL to REMOTE and receives there what REMOTE sends; two lines are the two ends of a call, and what
//! one end sends only the other may hear. RATE is packets a second over all flows, evenly spaced: no
//! bursts that a relay could gain from. Prints one line of JSON.
//!
//! With `latency` it also tells how long packets took from the sender's system call to the receiver's
//! socket: the kernel stamps their arrival, so that it does not matter when they are read.
//!
//! It spins instead of sleeping, so it wants a core of its own. It must not know what relay it feeds.
#![allow(clippy::disallowed_methods, reason = "it measures in real time")]

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

/// RTP header and 20 ms of PCMU.
const PACKET_BYTES: usize = 12 + 160;
const SAMPLES_PER_PACKET: u32 = 160;
/// How long packets may be on their way after the last was sent.
const DRAIN: Duration = Duration::from_millis(300);
/// A flow's socket is emptied this many packets at a time, that the next send is not late.
const RECEIVE_BATCH: usize = 4;
/// Where a packet says when it was sent (nanoseconds since 1970), and by which flow.
const SENT_AT: usize = 12;
const FLOW_AT: usize = SENT_AT + 8;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let ([flows, rate, seconds], with_latency) = match arguments.as_slice() {
        [flows, rate, seconds] => ([flows, rate, seconds], false),
        [flows, rate, seconds, word] if word == "latency" => ([flows, rate, seconds], true),
        _ => {
            println!("usage: rtp_load FLOWS RATE SECONDS [latency]");
            return Ok(());
        }
    };
    let mut load = Load::open(&fs::read_to_string(flows)?, with_latency)?;
    load.run(rate.parse()?, Duration::from_secs_f64(seconds.parse()?))?;
    println!("{}", load.report());
    Ok(())
}

struct Load {
    flows: Vec<Flow>,
    sent: u64,
    received: u64,
    /// By how much the most belated packet missed its time.
    latest: Duration,
    /// Packets of another call.
    strays: u64,
    latencies: Option<Latencies>,
}

/// How many packets took how long, by the microsecond; the last place is for all beyond.
struct Latencies(Vec<u32>);

struct Flow {
    socket: UdpSocket,
    /// The flow at the other end of its call.
    other_end: u32,
    packet: [u8; PACKET_BYTES],
    sequence: u16,
    timestamp: u32,
}

impl Load {
    fn open(list: &str, with_latency: bool) -> Result<Load, Box<dyn Error>> {
        let mut flows = Vec::new();
        for line in list.lines() {
            let (local, remote) = line.split_once(' ').ok_or("a line is: LOCAL REMOTE")?;
            let flow = Flow::open(local.parse()?, remote.parse()?, u32::try_from(flows.len())?)?;
            if with_latency {
                setsockopt(&flow.socket, sockopt::ReceiveTimestampns, &true)?;
            }
            flows.push(flow);
        }
        if flows.is_empty() {
            return Err("no flow in the file".into());
        }
        let latencies = with_latency.then(Latencies::new);
        Ok(Load { flows, sent: 0, received: 0, latest: Duration::ZERO, strays: 0, latencies })
    }

    fn report(&self) -> String {
        let Load { sent, received, strays, latest, .. } = self;
        let latest_us = latest.as_micros();
        let mut json = format!(
            "{{\"sent\": {sent}, \"received\": {received}, \"strays\": {strays}, \"latest_us\": {latest_us}"
        );
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            if let Some(micros) = self.latencies.as_ref().map(|latencies| latencies.quantile(share)) {
                json += &format!(", \"{name}_us\": {micros}");
            }
        }
        json + "}"
    }

    fn run(&mut self, packets_per_second: f64, length: Duration) -> io::Result<()> {
        let interval = Duration::from_secs_f64(1.0 / packets_per_second);
        let begin = Instant::now();
        let mut due = Duration::ZERO;
        let (mut sender, mut receiver) = (0, 0);
        loop {
            let now = begin.elapsed();
            if now >= length + DRAIN {
                return Ok(());
            }
            if due <= now && due < length {
                self.latest = self.latest.max(now - due);
                self.sent += u64::from(self.flows[sender].send()?);
                sender = (sender + 1) % self.flows.len();
                due += interval;
            }
            // Even when late: what is not fetched in time would count as the relay's loss.
            self.receive(receiver)?;
            receiver = (receiver + 1) % self.flows.len();
        }
    }

    /// Takes what waits at one flow.
    fn receive(&mut self, flow: usize) -> io::Result<()> {
        let Flow { socket, other_end, .. } = &self.flows[flow];
        let mut buffer = [0; 2048];
        for _ in 0..RECEIVE_BATCH {
            let (length, arrival) = match &self.latencies {
                None => (socket.recv(&mut buffer), None),
                Some(_) => receive_stamped(socket, &mut buffer),
            };
            let packet = match length {
                Ok(length) => &buffer[..length],
                Err(error) if is_passing(error.kind()) => break,
                Err(error) => return Err(error),
            };
            self.received += 1;
            self.strays += u64::from(packet.get(FLOW_AT..FLOW_AT + 4) != Some(&other_end.to_be_bytes()[..]));
            if let (Some(latencies), Some(arrival), Some(sent)) =
                (&mut self.latencies, arrival, packet.get(SENT_AT..FLOW_AT))
            {
                latencies.add(arrival, sent);
            }
        }
        Ok(())
    }
}

impl Latencies {
    const MAX_MICROS: usize = 100_000;

    fn new() -> Latencies {
        Latencies(vec![0; Latencies::MAX_MICROS + 1])
    }

    fn add(&mut self, arrival_nanos: u64, sent_nanos: &[u8]) {
        let sent_nanos = sent_nanos.try_into().map_or(arrival_nanos, u64::from_be_bytes);
        let micros = arrival_nanos.saturating_sub(sent_nanos) / 1_000;
        self.0[(micros as usize).min(Latencies::MAX_MICROS)] += 1;
    }

    /// The time within which this share of all packets came, in microseconds.
    fn quantile(&self, share: f64) -> usize {
        let all: u64 = self.0.iter().copied().map(u64::from).sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut counted = 0;
        let reached = self.0.iter().position(|count| {
            counted += u64::from(*count);
            counted >= wanted
        });
        reached.unwrap_or(Latencies::MAX_MICROS)
    }
}

/// A packet's length, and when the kernel had it, in nanoseconds since 1970.
fn receive_stamped(socket: &UdpSocket, buffer: &mut [u8]) -> (io::Result<usize>, Option<u64>) {
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
        Ok(message) => {
            let stamp = message.cmsgs().ok().and_then(|mut found| {
                found.find_map(|control| match control {
                    ControlMessageOwned::ScmTimestampns(at) => {
                        Some(at.tv_sec() as u64 * 1_000_000_000 + at.tv_nsec() as u64)
                    }
                    _ => None,
                })
            });
            (Ok(message.bytes), stamp)
        }
        Err(errno) => (Err(Errno::into(errno)), None),
    }
}

impl Flow {
    fn open(local: SocketAddr, remote: SocketAddr, number: u32) -> io::Result<Flow> {
        let socket = UdpSocket::bind(local)?;
        socket.connect(remote)?;
        socket.set_nonblocking(true)?;
        let mut packet = [0xD5; PACKET_BYTES];
        packet[..4].copy_from_slice(&[0x80, 0, 0, 0]);
        packet[8..12].copy_from_slice(&number.to_be_bytes());
        packet[FLOW_AT..FLOW_AT + 4].copy_from_slice(&number.to_be_bytes());
        Ok(Flow { socket, other_end: number ^ 1, packet, sequence: 0, timestamp: 0 })
    }

    /// Whether the packet left; a full socket or an ICMP error of an earlier one is a loss, no failure.
    fn send(&mut self) -> io::Result<bool> {
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        self.packet[SENT_AT..FLOW_AT].copy_from_slice(&now.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES_PER_PACKET);
        match self.socket.send(&self.packet) {
            Ok(_) => Ok(true),
            Err(error) if is_passing(error.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::ConnectionRefused | ErrorKind::Interrupted)
}
