//! A constant-rate RTP source and sink, for measuring a relay from outside.
//!
//! usage: rtp_load FLOWS RATE SECONDS
//!
//! FLOWS is a file with a line `LOCAL REMOTE` (two socket addresses) a flow. Every flow sends from
//! LOCAL to REMOTE and receives there what REMOTE sends. RATE is packets a second over all flows,
//! evenly spaced: no bursts that a relay could gain from. Prints one line of JSON.
//!
//! It spins instead of sleeping, so it wants a core of its own. It must not know what relay it feeds.
#![allow(clippy::disallowed_methods, reason = "it measures in real time")]

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// RTP header and 20 ms of PCMU.
const PACKET_BYTES: usize = 12 + 160;
const SAMPLES_PER_PACKET: u32 = 160;
/// How long packets may be on their way after the last was sent.
const DRAIN: Duration = Duration::from_millis(300);
/// A flow's socket is emptied this many packets at a time, that the next send is not late.
const RECEIVE_BATCH: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [flows, rate, seconds] = arguments.as_slice() else {
        println!("usage: rtp_load FLOWS RATE SECONDS");
        return Ok(());
    };
    let mut load = Load::open(&fs::read_to_string(flows)?)?;
    load.run(rate.parse()?, Duration::from_secs_f64(seconds.parse()?))?;
    let Load { sent, received, latest, .. } = load;
    println!("{{\"sent\": {sent}, \"received\": {received}, \"latest_us\": {}}}", latest.as_micros());
    Ok(())
}

struct Load {
    flows: Vec<Flow>,
    sent: u64,
    received: u64,
    /// By how much the most belated packet missed its time.
    latest: Duration,
}

struct Flow {
    socket: UdpSocket,
    packet: [u8; PACKET_BYTES],
    sequence: u16,
    timestamp: u32,
}

impl Load {
    fn open(list: &str) -> Result<Load, Box<dyn Error>> {
        let mut flows = Vec::new();
        for line in list.lines() {
            let (local, remote) = line.split_once(' ').ok_or("a line is: LOCAL REMOTE")?;
            flows.push(Flow::open(local.parse()?, remote.parse()?, u32::try_from(flows.len())?)?);
        }
        if flows.is_empty() {
            return Err("no flow in the file".into());
        }
        Ok(Load { flows, sent: 0, received: 0, latest: Duration::ZERO })
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
            self.received += self.flows[receiver].receive()?;
            receiver = (receiver + 1) % self.flows.len();
        }
    }
}

impl Flow {
    fn open(local: SocketAddr, remote: SocketAddr, ssrc: u32) -> io::Result<Flow> {
        let socket = UdpSocket::bind(local)?;
        socket.connect(remote)?;
        socket.set_nonblocking(true)?;
        let mut packet = [0xD5; PACKET_BYTES];
        packet[..4].copy_from_slice(&[0x80, 0, 0, 0]);
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        Ok(Flow { socket, packet, sequence: 0, timestamp: 0 })
    }

    /// Whether the packet left; a full socket or an ICMP error of an earlier one is a loss, no failure.
    fn send(&mut self) -> io::Result<bool> {
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES_PER_PACKET);
        match self.socket.send(&self.packet) {
            Ok(_) => Ok(true),
            Err(error) if is_passing(error.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many packets came.
    fn receive(&mut self) -> io::Result<u64> {
        let mut buffer = [0; 2048];
        let mut received = 0;
        for _ in 0..RECEIVE_BATCH {
            match self.socket.recv(&mut buffer) {
                Ok(_) => received += 1,
                Err(error) if is_passing(error.kind()) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(received)
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::ConnectionRefused | ErrorKind::Interrupted)
}
