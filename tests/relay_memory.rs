//! What a call with media takes of the relay's heap, and that a packet on its way takes nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "a counting allocator is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use drawbridge::base::Realm;
use drawbridge::media::{
    Marking, MediaCommand, MediaEvent, MediaSessionId, PortPair, RemoteMedia, Side, StreamPorts,
};
use drawbridge::relay::{EngineChoice, Relay, RelaySettings};
use drawbridge::runtime::Clock;

/// Bytes that are allocated now, and allocations so far, of all threads.
static LIVE: AtomicIsize = AtomicIsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is the system allocator's; the counts need no heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Relaxed);
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Set where io_uring is known to be refused.
const WITHOUT_IO_URING: &str = "DRAWBRIDGE_TEST_WITHOUT_IO_URING";
const CALLS: u64 = 500;
/// What the relay may take for one of them, by the mark of the project for a whole call: 8 KiB.
const BYTES_A_CALL_MAX: isize = 5_632;
const PACKETS: u16 = 500;

// One test, for the counts are those of all threads.
#[test]
fn a_call_takes_little_of_the_heap_and_a_packet_nothing() {
    for (place, engine) in [(1, EngineChoice::Portable), (2, EngineChoice::IoUring)] {
        match Relay::start(RelaySettings::new(1, engine, Duration::from_secs(60)), Clock::start()) {
            Ok((relay, events)) => measure(&relay, events, place),
            Err(error) => assert!(std::env::var_os(WITHOUT_IO_URING).is_some(), "{engine:?}: {error}"),
        }
    }
}

fn measure(relay: &Relay, mut events: tokio::sync::mpsc::Receiver<MediaEvent>, place: u8) {
    let address = Ipv4Addr::new(127, 50, std::process::id() as u8, place);
    let peer = || {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    };
    let (a, b) = (peer(), peer());
    let mut open = |id: u64| {
        for command in commands(id, address.into(), &a, &b) {
            relay.command(command).unwrap();
        }
        let event = events.blocking_recv();
        assert!(matches!(event, Some(MediaEvent::Opened { .. })), "{event:?}");
    };
    open(0);
    let before = LIVE.load(Relaxed);
    (1..=CALLS).for_each(&mut open);
    let bytes_a_call = (LIVE.load(Relaxed) - before) / CALLS as isize;
    println!("{}: {bytes_a_call} bytes of heap a call", relay.engine_name());
    assert!(bytes_a_call < BYTES_A_CALL_MAX, "{bytes_a_call} bytes a call");

    let mut bytes = [0; 256];
    let mut pass = |sequence: u16| {
        a.send_to(&rtp(sequence), ports(CALLS, address.into()).a.rtp()).unwrap();
        assert_eq!(b.recv(&mut bytes).unwrap(), 172);
    };
    // The first ones find room for what comes back; a look for silence falls anywhere, and takes none.
    (0..50).for_each(&mut pass);
    let before = ALLOCATIONS.load(Relaxed);
    (50..50 + PACKETS).for_each(&mut pass);
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0, "over {}", relay.engine_name());
}

fn ports(id: u64, address: IpAddr) -> StreamPorts {
    let pair = |realm, number: u64| PortPair { realm, address, rtp_port: 10_000 + 2 * number as u16 };
    StreamPorts { a: pair(Realm::Trusted, 2 * id), b: pair(Realm::Untrusted, 2 * id + 1) }
}

fn commands(id: u64, address: IpAddr, a: &UdpSocket, b: &UdpSocket) -> [MediaCommand; 3] {
    let session = MediaSessionId(id);
    let remote = |side, peer: &UdpSocket| {
        let rtp = peer.local_addr().unwrap();
        let remote = RemoteMedia { rtcp: rtp, ..RemoteMedia::plain(rtp, rtp.ip()) };
        MediaCommand::SetRemote { session, stream: 0, side, remote: Some(remote) }
    };
    [
        MediaCommand::Open {
            session,
            first_stream: 0,
            streams: vec![ports(id, address)],
            marking: Marking::default(),
        },
        remote(Side::A, a),
        remote(Side::B, b),
    ]
}

fn rtp(sequence: u16) -> [u8; 172] {
    let mut bytes = [0xd5; 172];
    bytes[..2].copy_from_slice(&[0x80, 0]);
    bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
    bytes
}
