//! One UDP listener: one socket, unconnected, for every peer of its realm (RFC 3261 §18.1.1, §18.2.1).

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;

use super::{Arrival, Unsent, error_queue};
use crate::base::{Hop, ListenerId, Transport};

/// The largest UDP payload there is.
const DATAGRAM_BYTES: usize = 65_535;
/// Datagrams taken from one listener in one turn, so that timers and other listeners get theirs.
const RECEIVED_A_TURN: usize = 64;
/// Error reports read in one turn.
const ERRORS_A_TURN: usize = 64;
/// Datagrams that may wait while the socket's send buffer is full.
const WAITING_DATAGRAMS: usize = 1_024;
/// Asked of the kernel for each direction: some 2,000 INVITEs; it grants what `rmem_max` allows.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Binds a UDP socket for SIP.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // An IPv4 peer comes through an IPv4 listener, or not at all: never as ::ffff:a.b.c.d,
        // which an allowlist would not know.
        socket.set_only_v6(true)?;
    }
    error_queue::enable(&socket, address.is_ipv6())?;
    // Larger buffers are a wish; what the system grants will do.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

type Readiness = Pin<Box<dyn Future<Output = io::Result<Ready>> + Send>>;

/// One socket in the runtime.
pub(super) struct UdpListener {
    id: ListenerId,
    socket: Arc<UdpSocket>,
    /// Waits for the next datagram or error report.
    readable: Readiness,
    /// What did not fit into the socket's send buffer, in order.
    waiting: VecDeque<(SocketAddr, Bytes)>,
    /// Every datagram lands here first and is copied out in its own size: a call that keeps its
    /// INVITE keeps 1 kB, not 64.
    scratch: Box<[u8]>,
}

impl UdpListener {
    pub(super) fn open(id: ListenerId, socket: std::net::UdpSocket) -> io::Result<UdpListener> {
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let readable = readiness(&socket);
        let scratch = vec![0; DATAGRAM_BYTES].into_boxed_slice();
        Ok(UdpListener { id, socket, readable, waiting: VecDeque::new(), scratch })
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        if self.readable.as_mut().poll(cx).is_ready() {
            self.readable = readiness(&self.socket);
            ready = Poll::Ready(());
        }
        if !self.waiting.is_empty() && self.socket.poll_send_ready(cx).is_ready() {
            ready = Poll::Ready(());
        }
        ready
    }

    /// Takes what arrived, up to the bound of a turn; true if the bound was reached.
    pub(super) fn receive(&mut self, arrivals: &mut Vec<Arrival>) -> bool {
        self.read_errors(arrivals);
        for _ in 0..RECEIVED_A_TURN {
            match self.socket.try_recv_from(&mut self.scratch) {
                Ok((length, peer)) => {
                    let bytes = Bytes::copy_from_slice(&self.scratch[..length]);
                    arrivals.push(Arrival::Message { hop: self.hop(peer), bytes });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An ICMP report that stands before the datagrams; the error queue has its details.
                Err(_) => self.read_errors(arrivals),
            }
        }
        true
    }

    pub(super) fn send(&mut self, peer: SocketAddr, bytes: Bytes) -> Result<(), Unsent> {
        if self.waiting.is_empty() {
            match self.try_send(peer, &bytes) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Unsent::Unreachable),
            }
        }
        if self.waiting.len() >= WAITING_DATAGRAMS {
            return Err(Unsent::QueueFull);
        }
        self.waiting.push_back((peer, bytes));
        Ok(())
    }

    /// Sends what waited, as far as there is room.
    pub(super) fn flush(&mut self, arrivals: &mut Vec<Arrival>) {
        while let Some((peer, bytes)) = self.waiting.front() {
            match self.try_send(*peer, bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => arrivals.push(Arrival::Undelivered { bytes: bytes.clone() }),
            }
            self.waiting.pop_front();
        }
    }

    /// A report about an earlier datagram is given to the next call on the socket, whomever that
    /// concerns: so what may be another's failure is tried once more.
    fn try_send(&self, peer: SocketAddr, bytes: &Bytes) -> io::Result<()> {
        match self.socket.try_send_to(bytes, peer) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(_) => self.socket.try_send_to(bytes, peer).map(drop),
        }
    }

    fn read_errors(&self, arrivals: &mut Vec<Arrival>) {
        for _ in 0..ERRORS_A_TURN {
            let report =
                self.socket.try_io(Interest::ERROR, || error_queue::read(SockRef::from(&*self.socket)));
            match report {
                Ok(Some(bytes)) => arrivals.push(Arrival::Undelivered { bytes }),
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }

    fn hop(&self, peer: SocketAddr) -> Hop {
        Hop::new(self.id, Transport::Udp, peer)
    }
}

impl fmt::Debug for UdpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpListener")
            .field("id", &self.id)
            .field("socket", &self.socket)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

fn readiness(socket: &Arc<UdpSocket>) -> Readiness {
    let socket = Arc::clone(socket);
    Box::pin(async move { socket.ready(Interest::READABLE | Interest::ERROR).await })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::super::{Arrival, Transports, Unsent, bind};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Listeners that the runtime knows to be writable: before that, what is sent waits in the queue.
    async fn transports(addresses: &[&str]) -> (Transports, Vec<SocketAddr>) {
        let bound: Vec<_> =
            addresses.iter().map(|address| bind(Transport::Udp, address.parse().unwrap()).unwrap()).collect();
        let addresses = bound.iter().map(|bound| bound.address).collect();
        let transports = Transports::open(bound).unwrap();
        for listener in transports.datagrams.iter().flatten() {
            listener.socket.writable().await.unwrap();
        }
        (transports, addresses)
    }

    async fn next_arrivals(transports: &mut Transports) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while arrivals.is_empty() {
            tokio::time::timeout(PATIENCE, poll_fn(|cx| transports.poll_ready(cx))).await.unwrap();
            transports.turn(&mut arrivals);
        }
        arrivals
    }

    fn peer() -> std::net::UdpSocket {
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer
    }

    #[tokio::test]
    async fn what_is_sent_arrives_whole_at_the_listener_it_was_sent_to() {
        let (mut transports, addresses) = transports(&["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"]).await;
        let peer = peer();
        let large = vec![b'x'; 60_000];
        peer.send_to(&large, addresses[1]).unwrap();
        let from = peer.local_addr().unwrap();
        let hop = Hop::new(ListenerId(1), Transport::Udp, from);
        let expected = Arrival::Message { hop, bytes: large.into() };
        assert_eq!(next_arrivals(&mut transports).await, [expected]);

        transports.send(hop, Bytes::from_static(b"answer")).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (6, addresses[1]));
        assert_eq!(&buffer[..6], b"answer");
    }

    #[tokio::test]
    async fn a_flood_is_taken_in_portions_and_in_order() {
        let (mut transports, addresses) = transports(&["127.0.0.1:0"]).await;
        let peer = peer();
        for number in 0..100u8 {
            peer.send_to(&[number], addresses[0]).unwrap();
        }
        let mut all = Vec::new();
        while all.len() < 100 {
            let arrivals = next_arrivals(&mut transports).await;
            assert!(arrivals.len() <= RECEIVED_A_TURN);
            all.extend(arrivals);
        }
        let numbers: Vec<u8> = all
            .iter()
            .map(|arrival| match arrival {
                Arrival::Message { bytes, .. } => bytes[0],
                other => panic!("nothing failed: {other:?}"),
            })
            .collect();
        assert_eq!(numbers, (0..100).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn what_a_closed_port_refused_is_reported_with_its_first_bytes() {
        for (ours, theirs) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0")] {
            let (mut transports, _) = transports(&[ours]).await;
            let closed = std::net::UdpSocket::bind(theirs).unwrap().local_addr().unwrap();
            let hop = Hop::new(ListenerId(0), Transport::Udp, closed);
            transports.send(hop, Bytes::from_static(b"anyone?")).unwrap();
            assert_eq!(
                next_arrivals(&mut transports).await,
                [Arrival::Undelivered { bytes: Bytes::from_static(b"anyone?") }]
            );
        }
    }

    #[tokio::test]
    async fn the_failure_of_one_peer_is_not_put_on_the_next() {
        let (mut transports, _) = transports(&["127.0.0.1:0"]).await;
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let healthy = peer();
        let hop = |peer| Hop::new(ListenerId(0), Transport::Udp, peer);
        for _ in 0..10 {
            let _ = transports.send(hop(closed), Bytes::from_static(b"anyone?"));
            transports.send(hop(healthy.local_addr().unwrap()), Bytes::from_static(b"hello")).unwrap();
            assert_eq!(healthy.recv(&mut [0; 16]).unwrap(), 5);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_said_at_once() {
        let (mut transports, addresses) = transports(&["127.0.0.1:0"]).await;
        let hop = |listener, peer| Hop::new(ListenerId(listener), Transport::Udp, peer);
        assert_eq!(transports.send(hop(7, addresses[0]), Bytes::new()), Err(Unsent::NoListener));
        let too_large = vec![0; 70_000];
        assert_eq!(transports.send(hop(0, addresses[0]), too_large.into()), Err(Unsent::Unreachable));
    }

    #[test]
    fn an_address_in_use_is_refused() {
        let first = bind(Transport::Udp, "127.0.0.1:0".parse().unwrap()).unwrap();
        let again = bind(Transport::Udp, first.address).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }
}
