//! What the tests of the relay begin with: a relay, the two ends of a call, and waits that end.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::base::Realm;
use crate::media::{
    DropReason, Marking, MediaCommand, MediaEvent, MediaReport, MediaSessionId, PortPair, RemoteMedia, Side,
    StreamPorts,
};
use crate::relay::{EngineChoice, Features, Relay, RelayCounters, RelaySettings, ZeroCopy};
use crate::runtime::Clock;

/// What a test waits for at most; it waits that long only where it fails.
pub(in crate::relay) const PATIENCE: Duration = Duration::from_secs(5);
/// Set where io_uring is known to be refused and half of the suite shall not fail for it.
pub(super) const WITHOUT_IO_URING: &str = "DRAWBRIDGE_TEST_WITHOUT_IO_URING";

/// Workers of the relay under test.
pub(super) const WORKERS: u64 = 2;

/// Each engine, as each kernel lets it be.
pub(super) fn variants() -> Vec<(&'static str, RelaySettings)> {
    const ALL: Features = Features::NONE;
    const TIMEOUT: Duration = Duration::from_secs(60);
    let portable = RelaySettings::new(WORKERS as usize, EngineChoice::Portable, TIMEOUT);
    let uring = RelaySettings { engine: EngineChoice::IoUring, ..portable };
    let without = |without| RelaySettings { without, ..uring };
    vec![
        ("portable", portable),
        ("portable, unbatched", RelaySettings { batch: Duration::ZERO, ..portable }),
        ("io_uring", uring),
        ("io_uring, unbatched", RelaySettings { batch: Duration::ZERO, ..uring }),
        ("io_uring, gathering for 2 ms", RelaySettings { batch: Duration::from_millis(2), ..uring }),
        ("io_uring, zero copy", RelaySettings { zero_copy: ZeroCopy::On, ..uring }),
        ("io_uring, measured", RelaySettings { zero_copy: ZeroCopy::Auto, ..uring }),
        (
            "io_uring, busy, pinned",
            RelaySettings { busy_poll: Duration::from_micros(50), pin: true, ..uring },
        ),
        ("before 6.12", without(Features { min_wait: true, napi: true, ..ALL })),
        ("before 6.1", without(Features { min_wait: true, defer_taskrun: true, ..ALL })),
        (
            "before 6.0, but for multishot",
            without(Features { min_wait: true, defer_taskrun: true, single_issuer: true, ..ALL }),
        ),
        (
            "nothing that refines",
            without(Features { min_wait: true, single_issuer: true, coop_taskrun: true, ..ALL }),
        ),
        ("no file table", without(Features { fixed_files: true, ..ALL })),
    ]
}

/// Runs a test once over each of them.
pub(super) fn over_both_engines(test: fn(&mut Setup)) {
    for (name, settings) in variants() {
        match Setup::start(settings) {
            Ok(mut setup) => {
                eprintln!("over {name}");
                test(&mut setup);
            }
            Err(error) if settings.engine == EngineChoice::IoUring => refused(&error),
            Err(error) => panic!("the portable engine does not start: {error}"),
        }
    }
}

pub(in crate::relay) fn refused(error: &io::Error) {
    assert!(
        std::env::var_os(WITHOUT_IO_URING).is_some(),
        "io_uring is refused here ({error}), so this engine was NOT tested; {WITHOUT_IO_URING}=1 accepts that"
    );
    eprintln!("io_uring is refused here ({error}): this engine was NOT tested");
}

pub(super) struct Setup {
    pub(super) settings: RelaySettings,
    pub(super) relay: Relay,
    pub(super) events: mpsc::Receiver<MediaEvent>,
    /// The relay's own address in this test.
    pub(super) address: Ipv4Addr,
    pub(super) next_port: u16,
}

impl Setup {
    pub(super) fn start(settings: RelaySettings) -> io::Result<Setup> {
        let (relay, events) = Relay::start(settings, Clock::start())?;
        Ok(Setup { settings, relay, events, address: own_address(), next_port: 10_000 })
    }

    pub(super) fn pair(&mut self, realm: Realm) -> PortPair {
        let rtp_port = self.next_port;
        self.next_port += 2;
        PortPair { realm, address: self.address.into(), rtp_port }
    }

    pub(super) fn stream(&mut self) -> StreamPorts {
        StreamPorts { a: self.pair(Realm::Trusted), b: self.pair(Realm::Untrusted) }
    }

    pub(super) fn command(&self, command: MediaCommand) {
        self.relay.command(command).unwrap();
    }

    pub(super) fn event(&mut self) -> MediaEvent {
        within(PATIENCE, self.events.recv()).expect("no event came").expect("the relay has gone")
    }

    pub(super) fn open(&mut self, session: MediaSessionId, first_stream: u8, streams: Vec<StreamPorts>) {
        let marking = Marking::default();
        self.command(MediaCommand::Open { session, first_stream, streams, marking });
    }

    pub(super) fn opened(&mut self, session: MediaSessionId) -> StreamPorts {
        let stream = self.stream();
        self.open(session, 0, vec![stream]);
        assert_eq!(self.event(), MediaEvent::Opened { session, first_stream: 0 });
        stream
    }

    pub(super) fn set_remote(&self, session: MediaSessionId, side: Side, remote: RemoteMedia) {
        self.command(MediaCommand::SetRemote { session, stream: 0, side, remote: Some(remote) });
    }

    /// A session between two peers that send from where they say.
    pub(super) fn joined(&mut self, session: MediaSessionId) -> (StreamPorts, Peer, Peer) {
        let stream = self.opened(session);
        let (a, b) = (Peer::new(self.address), Peer::new(self.address));
        self.set_remote(session, Side::A, a.remote());
        self.set_remote(session, Side::B, b.remote());
        self.settle();
        (stream, a, b)
    }

    /// Waits until every worker has carried out what it was told: commands and packets go
    /// different ways.
    pub(super) fn settle(&mut self) {
        for session in (0..WORKERS).map(|worker| MediaSessionId(1 << 40 | worker)) {
            self.close(session);
        }
    }

    pub(super) fn close(&mut self, session: MediaSessionId) -> MediaReport {
        self.command(MediaCommand::Close { session });
        match self.event() {
            MediaEvent::Closed { session: closed, report } if closed == session => *report,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the counters say what they shall.
    pub(super) fn counted(&self, what: impl Fn(&RelayCounters) -> bool) {
        until("the counters", || what(&self.relay.counters()));
    }

    pub(super) fn dropped(&self, realm: Realm, reason: DropReason) -> u64 {
        self.relay.counters().dropped_for(realm, reason)
    }

    /// Sockets that are bound to this test's address, by the kernel's own list.
    pub(super) fn bound_sockets(&self) -> usize {
        let address = format!("{:08X}:", u32::from(self.address).swap_bytes());
        // Other tests bind and close while the kernel writes the table: it may have a socket twice, or not.
        let look = || {
            let table = std::fs::read_to_string("/proc/net/udp").unwrap();
            let local =
                table.lines().filter_map(|line| line.split_ascii_whitespace().nth(1).map(str::to_owned));
            local.filter(|local| local.starts_with(&address)).collect::<BTreeSet<_>>()
        };
        let mut before = look();
        for _ in 0..10 {
            let again = look();
            if again == before {
                break;
            }
            before = again;
        }
        before.len()
    }
}

/// 127.x.y.z, with x and y from the process and z counted, never 127.0.….
pub(in crate::relay) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// One end of a call.
pub(super) struct Peer {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
}

impl Peer {
    pub(super) fn new(address: Ipv4Addr) -> Peer {
        Peer::at(address.into())
    }

    pub(super) fn at(address: IpAddr) -> Peer {
        let socket = || {
            let socket = UdpSocket::bind((address, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Peer { rtp: socket(), rtcp: socket() }
    }

    pub(super) fn rtp_address(&self) -> SocketAddr {
        self.rtp.local_addr().unwrap()
    }

    pub(super) fn remote(&self) -> RemoteMedia {
        RemoteMedia {
            rtcp: self.rtcp.local_addr().unwrap(),
            ..RemoteMedia::plain(self.rtp_address(), self.rtp_address().ip())
        }
    }
}

pub(super) fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 4_096];
    let (length, source) = socket.recv_from(&mut bytes).expect("nothing came");
    (bytes[..length].to_vec(), source)
}

/// An RTP packet of 160 bytes of payload, each telling its place.
pub(super) fn rtp(sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    bytes.extend_from_slice(&[0xca, 0xfe, 0xba, 0xbe]);
    bytes.extend((0..160u8).map(|place| place ^ sequence as u8));
    bytes
}

pub(super) const RTCP: [u8; 8] = [0x80, 201, 0, 1, 1, 2, 3, 4];

/// Lets the session see `packet` pass from `from` to `to`.
pub(super) fn passes(from: &UdpSocket, by: SocketAddr, to: &UdpSocket, packet: &[u8]) -> SocketAddr {
    from.send_to(packet, by).unwrap();
    let (bytes, source) = receive(to);
    assert_eq!(bytes, packet);
    source
}

/// Talks from a place that SDP does not name, from packet `first` on, until it is heard. The number of the
/// next packet.
pub(super) fn talk_until_heard(from: &UdpSocket, by: SocketAddr, to: &UdpSocket, first: u16) -> u16 {
    to.set_read_timeout(Some(Duration::from_millis(15))).unwrap();
    let mut bytes = [0; 4_096];
    let deadline = now() + PATIENCE;
    let mut next = first;
    let mut is_heard = false;
    while !is_heard {
        assert!(now() < deadline, "never heard");
        from.send_to(&rtp(next), by).unwrap();
        next += 1;
        is_heard = to.recv_from(&mut bytes).is_ok();
    }
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    // What came late on a busy machine.
    while bytes[..172] != rtp(next - 1) {
        to.recv_from(&mut bytes).expect("nothing came");
    }
    next
}

/// What a future gives, or `None` when the time is over.
pub(super) fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let deadline = now() + time;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return Some(value),
            Poll::Pending if now() >= deadline => return None,
            Poll::Pending => std::thread::park_timeout(deadline - now()),
        }
    }
}

pub(super) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = now() + PATIENCE;
    while !is_so() {
        assert!(now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

#[allow(clippy::disallowed_methods)] // Real sockets want real time.
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) const ONE: MediaSessionId = MediaSessionId(1);
pub(super) const TWO: MediaSessionId = MediaSessionId(2);
