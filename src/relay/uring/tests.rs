//! What only this engine has: kernels that lack something, and buffers that run out.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::counters::WorkerCounters;
use super::super::mailbox::Mailbox;
use super::super::tests::{PATIENCE, own_address, refused};
use super::super::worker::Worker;
use super::buffers::BUFFERS;
use super::ring::Ring;
use super::{UringEngine, self_test};
use crate::base::Realm;
use crate::media::{Marking, MediaCommand, MediaSessionId, PortPair, RemoteMedia, Side, StreamPorts};
use crate::runtime::Clock;

const CALLS: u16 = 24;
/// What waits in each call's socket before the engine looks: together more than there are buffers.
const WAITING: u16 = 60;
const _: () = assert!(CALLS * WAITING > BUFFERS);

#[test]
fn the_self_test_passes_with_and_without_what_old_kernels_lack() {
    for (plain_files, one_step) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut ring = match Ring::new() {
            Ok(ring) => ring,
            Err(error) => return refused(&error),
        };
        if plain_files {
            ring.use_plain_files();
        }
        if one_step {
            ring.wait_in_one_step();
        }
        let is_freed_at_once = self_test::run(&mut ring).unwrap();
        assert!(is_freed_at_once || !plain_files);
    }
}

#[test]
fn packets_wait_in_their_sockets_while_the_buffers_are_all_in_use() {
    for plain_files in [false, true] {
        // So short that no wait of an idle engine lasts: it looks for silence every 10 ms.
        let timeout = Duration::from_millis(80);
        let mailbox = Arc::new(Mailbox::new(timeout).unwrap());
        let (events, _receiver) = mpsc::channel(64);
        let counters = Arc::new(WorkerCounters::default());
        let mut worker = Worker::new(Clock::start(), events, Arc::clone(&mailbox), counters);
        let mut engine = match UringEngine::new(&worker) {
            Ok(engine) => engine,
            Err(error) => return refused(&error),
        };
        if plain_files {
            engine.sockets.ring.use_plain_files();
        }
        let address = own_address();
        let sender = UdpSocket::bind((address, 0)).unwrap();
        let sinks: Vec<_> = (0..CALLS).map(|_| sink(address)).collect();
        for (call, sink) in (0..CALLS).zip(&sinks) {
            for command in join(call, ports(address, call), &sender, sink) {
                mailbox.post(command).unwrap();
            }
        }
        engine.step(&mut worker);
        for number in 0..WAITING {
            for call in 0..CALLS {
                sender.send_to(&rtp(number), ports(address, call).a.rtp()).unwrap();
            }
        }
        // Everything is there already, so a few turns must do.
        for _ in 0..CALLS {
            engine.step(&mut worker);
        }
        for sink in &sinks {
            let mut bytes = [0; 64];
            let numbers: HashSet<u16> = (0..WAITING)
                .map(|_| {
                    sink.recv(&mut bytes).expect("a packet was lost");
                    u16::from_be_bytes([bytes[2], bytes[3]])
                })
                .collect();
            assert_eq!(numbers.len(), usize::from(WAITING));
        }
    }
}

fn sink(address: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn ports(address: Ipv4Addr, call: u16) -> StreamPorts {
    let pair = |realm, rtp_port| PortPair { realm, address: address.into(), rtp_port };
    let rtp_port = 10_000 + 4 * call;
    StreamPorts { a: pair(Realm::Trusted, rtp_port), b: pair(Realm::Untrusted, rtp_port + 2) }
}

fn join(call: u16, ports: StreamPorts, a: &UdpSocket, b: &UdpSocket) -> [MediaCommand; 3] {
    let session = MediaSessionId(call.into());
    let remote = |side, socket: &UdpSocket| {
        let rtp: SocketAddr = socket.local_addr().unwrap();
        let remote = RemoteMedia { rtcp: rtp, ..RemoteMedia::plain(rtp, rtp.ip()) };
        MediaCommand::SetRemote { session, stream: 0, side, remote: Some(remote) }
    };
    [
        MediaCommand::Open { session, first_stream: 0, streams: vec![ports], marking: Marking::default() },
        remote(Side::A, a),
        remote(Side::B, b),
    ]
}

fn rtp(number: u16) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = 0x80;
    bytes[2..4].copy_from_slice(&number.to_be_bytes());
    bytes
}
