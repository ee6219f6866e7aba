//! SIP transports: bytes in from listeners, bytes out through them (RFC 3261 §18).
//!
//! A listener is known by its place in the configuration ([`ListenerId`]). The driver polls all of
//! them as one, takes what arrived in bounded portions, and hands out what the engine wants sent.
//!
//! Must not know: what is in a message, transaction state, admission (the engine asks that before
//! it parses).

mod error_queue;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::base::{Hop, ListenerId, Transport};

use udp::UdpListener;

/// What came from the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A datagram, or (later) a message cut from a stream.
    Message {
        /// Which listener, from whom.
        hop: Hop,
        /// Exactly these bytes: nothing larger is kept alive behind them.
        bytes: Bytes,
    },
    /// A datagram was not delivered: the system said so, or an ICMP report that may be forged.
    Undelivered {
        /// The datagram, or its beginning as the report quotes it.
        bytes: Bytes,
    },
}

/// Why bytes were not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// The system cannot reach the peer (no route, refused by a firewall, too large).
    Unreachable,
    /// The listener's queue is full: as good as lost on the way, the transaction layer repeats it.
    QueueFull,
    /// No such listener.
    NoListener,
}

/// A bound socket that no runtime knows yet, so that binding can fail before any thread starts.
#[derive(Debug)]
pub struct Bound {
    socket: std::net::UdpSocket,
    /// The address with the port that was really bound.
    pub address: SocketAddr,
}

/// Binds one listener's address. Port 0 lets the system choose.
///
/// # Errors
/// The system's reason: address in use, not ours, or a port that asks for a privilege.
pub fn bind(transport: Transport, address: SocketAddr) -> io::Result<Bound> {
    match transport {
        Transport::Udp => {
            let socket = udp::bind(address)?;
            Ok(Bound { address: socket.local_addr()?, socket })
        }
        Transport::Tcp | Transport::Tls => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{transport} listeners are not supported yet"),
        )),
    }
}

/// Every listener, by its [`ListenerId`].
#[derive(Debug)]
pub struct Transports {
    listeners: Vec<UdpListener>,
}

impl Transports {
    /// Takes bound sockets, in the order of the configuration, into the runtime of the calling task.
    ///
    /// # Errors
    /// The runtime cannot watch a socket.
    pub fn open(bound: Vec<Bound>) -> io::Result<Transports> {
        let listeners = (0..)
            .zip(bound)
            .map(|(place, bound)| UdpListener::open(ListenerId(place), bound.socket))
            .collect::<io::Result<_>>()?;
        Ok(Transports { listeners })
    }

    /// Ready when a listener has something to take, or room again for what waits to be sent.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        for listener in &mut self.listeners {
            if listener.poll_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// Takes a bounded number of arrivals from every listener, and sends what waited. Gives true
    /// if a listener had reached its bound: there may be more.
    pub fn turn(&mut self, arrivals: &mut Vec<Arrival>) -> bool {
        let mut more = false;
        for listener in &mut self.listeners {
            listener.flush(arrivals);
            more |= listener.receive(arrivals);
        }
        more
    }

    /// Sends now, or queues behind what waits already.
    ///
    /// # Errors
    /// See [`Unsent`].
    pub fn send(&mut self, hop: Hop, bytes: Bytes) -> Result<(), Unsent> {
        let listener = self.listeners.get_mut(usize::from(hop.listener.0)).ok_or(Unsent::NoListener)?;
        listener.send(hop.peer, bytes)
    }
}
