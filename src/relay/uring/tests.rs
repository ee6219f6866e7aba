//! What only this engine has: kernels that lack something, and buffers that run out.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::counters::{RelayCounters, Stall, WorkerCounters};
use super::super::mailbox::Mailbox;
use super::super::settings::{EngineChoice, Features, RelaySettings, ZeroCopy};
use super::super::tests::{PATIENCE, own_address, refused};
use super::super::worker::Worker;
use super::pace::{Pace, Wait};
use super::ring::{Completion, Ring, RingOptions};
use super::{RingSockets, UringEngine, self_test, zero_copy};
use crate::base::Realm;
use crate::media::{Marking, MediaCommand, MediaSessionId, PortPair, RemoteMedia, Side, StreamPorts};
use crate::runtime::Clock;

const CALLS: u16 = 24;
/// What waits in each call's socket before the engine looks: together more than there are buffers.
const WAITING: u16 = 60;

fn settings() -> RelaySettings {
    // So short that no wait of an idle engine lasts: it looks for silence every 10 ms.
    RelaySettings::new(1, EngineChoice::IoUring, Duration::from_millis(80))
}

fn options() -> RingOptions {
    RingOptions::of(&settings())
}

/// Kernels that lack one thing or another, and yet serve.
fn older_kernels() -> [Features; 5] {
    const ALL: Features = Features::NONE;
    [
        ALL,
        Features { min_wait: true, ..ALL },
        Features { fixed_files: true, ..ALL },
        Features { defer_taskrun: true, min_wait: true, ..ALL },
        Features { single_issuer: true, coop_taskrun: true, min_wait: true, fixed_files: true, ..ALL },
    ]
}

#[test]
fn the_self_test_passes_with_and_without_what_old_kernels_lack() {
    for without in older_kernels() {
        let mut ring = match Ring::new(&RingOptions { without, ..options() }) {
            Ok(ring) => ring,
            Err(error) => return refused(&error),
        };
        let is_freed_at_once = self_test::run(&mut ring).unwrap();
        assert!(is_freed_at_once || !without.fixed_files);
    }
}

#[test]
fn without_what_the_engine_relies_on_it_is_refused() {
    const ALL: Features = Features::NONE;
    for without in [
        Features { io_uring: true, ..ALL },
        Features { buffer_ring: true, ..ALL },
        Features { skip_success: true, ..ALL },
        Features { multishot: true, ..ALL },
    ] {
        assert!(Ring::new(&RingOptions { without, ..options() }).is_err());
    }
}

#[test]
fn zero_copy_is_chosen_as_it_was_asked_for_and_where_the_kernel_can() {
    let chosen = |setting, without| {
        let mut ring = Ring::new(&RingOptions { without, ..options() })?;
        zero_copy::choose(&mut ring, setting, true);
        // Whatever was chosen, a datagram comes through.
        self_test::run(&mut ring)?;
        Ok::<_, std::io::Error>(ring.sends_without_copy())
    };
    let chosen = |setting, without| match chosen(setting, without) {
        Ok(chosen) => Some(chosen),
        Err(error) => {
            refused(&error);
            None
        }
    };
    let lacking = Features { send_zc: true, ..Features::NONE };
    for (setting, without, expected) in [
        (ZeroCopy::On, Features::NONE, true),
        (ZeroCopy::Off, Features::NONE, false),
        (ZeroCopy::On, lacking, false),
        (ZeroCopy::Auto, lacking, false),
    ] {
        assert_eq!(chosen(setting, without).unwrap_or(expected), expected, "{setting:?}");
    }
    // What a measurement says nobody knows; but it comes to an end.
    chosen(ZeroCopy::Auto, Features::NONE);
}

/// Everything is in the sockets before the engine looks, so a few turns must do. Gives how many buffers the kernel had
/// in the end.
fn relays_what_waits(
    mut engine: UringEngine,
    mut worker: Worker,
    mailbox: &Mailbox,
    counters: &WorkerCounters,
) -> u16 {
    let address = own_address();
    let sender = UdpSocket::bind((address, 0)).unwrap();
    let sinks: Vec<_> = (0..CALLS).map(|_| sink(address)).collect();
    for (call, sink) in (0..CALLS).zip(&sinks) {
        for command in join(call, ports(address, call), &sender, sink) {
            mailbox.post(command).unwrap();
        }
    }
    for _ in 0..8 {
        engine.step(&mut worker).unwrap();
    }
    for number in 0..WAITING {
        for call in 0..CALLS {
            sender.send_to(&rtp(number), ports(address, call).a.rtp()).unwrap();
        }
    }
    let sent = || totals(counters).rtp.untrusted.sent.packets;
    for _ in 0..20 * CALLS {
        engine.step(&mut worker).unwrap();
        if sent() == u64::from(CALLS * WAITING) {
            break;
        }
    }
    // Those of the last batch leave with the next wait.
    engine.step(&mut worker).unwrap();
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
    engine.sockets.ring.buffers_offered()
}

fn worker() -> (Worker, Arc<Mailbox>, Arc<WorkerCounters>) {
    let mailbox = Arc::new(Mailbox::new(settings().silence).unwrap());
    let (events, _receiver) = mpsc::channel(64);
    let counters = Arc::new(WorkerCounters::default());
    (Worker::new(Clock::start(), events, Arc::clone(&mailbox), Arc::clone(&counters)), mailbox, counters)
}

fn totals(counters: &WorkerCounters) -> RelayCounters {
    let mut total = RelayCounters::default();
    counters.add_to(&mut total);
    total
}

fn stalls(counters: &WorkerCounters, stall: Stall) -> u64 {
    totals(counters).stalls[stall as usize]
}

#[test]
fn packets_wait_in_their_sockets_while_the_buffers_are_all_in_use() {
    for without in older_kernels() {
        for zero_copy in [false, true] {
            let (worker, mailbox, counters) = worker();
            let ring = match Ring::new(&RingOptions { buffers: 512, without, ..options() }) {
                Ok(ring) => ring,
                Err(error) => return refused(&error),
            };
            assert_eq!(ring.buffers_offered(), 256, "there are as many for a second offer");
            let engine = engine(ring, &worker, zero_copy);
            assert_eq!(relays_what_waits(engine, worker, &mailbox, &counters), 512);
            assert!(stalls(&counters, Stall::Buffers) > 0, "the buffers ran out, uncounted");
        }
    }
}

/// A batch that takes half of the buffers ends before its time, and the kernel has more for the next.
#[test]
fn a_batch_that_is_half_of_the_offer_gets_the_second_offer() {
    for without in older_kernels() {
        // So long that what waits in the socket comes within one.
        let batch = Duration::from_millis(100);
        let mut ring = match Ring::new(&RingOptions { buffers: 512, batch, without, ..options() }) {
            Ok(ring) => ring,
            Err(error) => return refused(&error),
        };
        let socket = self_test::bind().unwrap();
        let address = self_test::local_address(&socket).unwrap();
        ring.add_file(self_test::FIRST, socket).unwrap();
        ring.receive(self_test::FIRST);
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut receive = |packets: u16| {
            for number in 0..packets {
                sender.send_to(&rtp(number), address).unwrap();
            }
            let mut completions = Vec::new();
            ring.wait(Wait::Time, Some(PATIENCE), &mut completions).unwrap();
            assert_eq!(completions.len(), usize::from(packets), "in one batch");
            for completion in completions {
                let Completion::Datagram { buffer, .. } = completion else { panic!("{completion:?}") };
                ring.discard(buffer);
            }
            ring.buffers_offered()
        };
        // Without packets in the last wait, the next may end with the first.
        assert_eq!(receive(1), 256);
        assert_eq!(receive(127), 256);
        assert_eq!(receive(128), 512);
        self_test::close(&mut ring, self_test::FIRST).unwrap();
    }
}

#[test]
fn queues_that_overflow_lose_nothing_and_are_counted() {
    for without in older_kernels() {
        let (worker, mailbox, counters) = worker();
        let small = RingOptions { submissions: 4, completions: 8, buffers: 64, without, ..options() };
        let ring = match Ring::new(&small) {
            Ok(ring) => ring,
            Err(error) => return refused(&error),
        };
        relays_what_waits(engine(ring, &worker, false), worker, &mailbox, &counters);
        assert!(stalls(&counters, Stall::Completions) > 0, "completions overflowed, uncounted");
    }
}

fn engine(mut ring: Ring, worker: &Worker, zero_copy: bool) -> UringEngine {
    if zero_copy {
        zero_copy::choose(&mut ring, ZeroCopy::On, true);
        assert!(ring.sends_without_copy());
    }
    ring.await_wake_up(worker.wake_up_fd());
    let now = worker.now();
    let pace = Pace::new(Duration::ZERO, now);
    UringEngine { sockets: RingSockets::new(ring), completions: Vec::new(), pace, now }
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
