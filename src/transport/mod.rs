//! SIP transports: bytes in from listeners, bytes out through them (RFC 3261 §18).
//!
//! A listener is known by its place in the configuration ([`ListenerId`]). The driver polls all of
//! them as one, takes what arrived in bounded portions, and hands out what the engine wants sent.
//! Datagrams are in `udp.rs`; `stream.rs` keeps the connections of TCP and TLS, `connection.rs`
//! serves one, `backlog.rs` bounds what waits to be written, `tls.rs` makes certificates of
//! files, `handshakes.rs` is the thread that TLS shakes hands on.
//!
//! Must not know: what a message means, transaction state, admission (the engine is asked before
//! anything is parsed or read from a connection).

mod backlog;
mod connection;
mod error_queue;
mod handshakes;
mod stream;
mod tls;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::admission::DropReason;
use crate::base::{Hop, ListenerId, Transport};

pub use tls::{
    ClientFiles, ClientTls, Seen, ServerFiles, ServerTls, TlsFault, TlsMaterial, Watched, is_server_name,
};

#[cfg(test)]
pub(crate) use tls::tests::Authority;

use stream::Streams;
use udp::UdpListener;

/// What came from the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A datagram, or a message cut from a stream.
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
    /// A peer has connected. Nothing is read from it before [`Transports::begin`].
    Connected {
        /// Which listener, from whom.
        hop: Hop,
    },
    /// A connection has ended, or could not be opened.
    Lost {
        /// As in `Connected`, or as it was sent to.
        hop: Hop,
    },
    /// Something came to nothing before it was a message.
    Dropped {
        /// Where.
        listener: ListenerId,
        /// Why.
        reason: DropReason,
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
    /// The connection is gone, cannot be had, or its peer does not read.
    Disconnected,
}

/// A bound socket that no runtime knows yet, so that binding can fail before any thread starts.
#[derive(Debug)]
pub struct Bound {
    socket: BoundSocket,
    /// The address with the port that was really bound.
    pub address: SocketAddr,
}

#[derive(Debug)]
enum BoundSocket {
    Datagrams(std::net::UdpSocket),
    Streams(Transport, std::net::TcpListener),
}

/// Binds one listener's address. Port 0 lets the system choose.
///
/// # Errors
/// The system's reason: address in use, not ours, or a port that asks for a privilege.
pub fn bind(transport: Transport, address: SocketAddr) -> io::Result<Bound> {
    match transport {
        Transport::Udp => {
            let socket = udp::bind(address)?;
            Ok(Bound { address: socket.local_addr()?, socket: BoundSocket::Datagrams(socket) })
        }
        Transport::Tcp | Transport::Tls => {
            let socket = stream::bind(address)?;
            Ok(Bound { address: socket.local_addr()?, socket: BoundSocket::Streams(transport, socket) })
        }
    }
}

/// Every listener, by its [`ListenerId`].
#[derive(Debug)]
pub struct Transports {
    /// `None`: a listener of connections.
    datagrams: Vec<Option<UdpListener>>,
    streams: Streams,
}

impl Transports {
    /// Takes bound sockets, in the order of the configuration, into the runtime of the calling task.
    ///
    /// # Errors
    /// The runtime cannot watch a socket.
    pub fn open(bound: Vec<Bound>) -> io::Result<Transports> {
        let (mut datagrams, mut streams) = (Vec::new(), Streams::new());
        for (place, bound) in (0..).zip(bound) {
            let id = ListenerId(place);
            datagrams.push(match bound.socket {
                BoundSocket::Datagrams(socket) => Some(UdpListener::open(id, socket)?),
                BoundSocket::Streams(transport, socket) => {
                    streams.listen(id, transport, socket)?;
                    None
                }
            });
        }
        Ok(Transports { datagrams, streams })
    }

    /// Connections that are opened from now on use these certificates.
    pub fn set_tls(&mut self, material: TlsMaterial) {
        self.streams.set_tls(material);
    }

    /// Ready when a listener has something to take, or room again for what waits to be sent.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = self.streams.poll_ready(cx);
        for listener in self.datagrams.iter_mut().flatten() {
            if listener.poll_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// Takes a bounded number of arrivals from every listener, and sends what waited. Gives true
    /// if a listener had reached its bound: there may be more.
    pub fn turn(&mut self, arrivals: &mut Vec<Arrival>) -> bool {
        let mut more = self.streams.receive(arrivals);
        for listener in self.datagrams.iter_mut().flatten() {
            listener.flush(arrivals);
            more |= listener.receive(arrivals);
        }
        more
    }

    /// Sends now, or queues behind what waits already. Over TCP and TLS a connection is opened where
    /// there is none; if that fails, [`Arrival::Lost`] follows.
    ///
    /// # Errors
    /// See [`Unsent`].
    pub fn send(&mut self, hop: Hop, bytes: Bytes) -> Result<(), Unsent> {
        match self.datagrams.get_mut(usize::from(hop.listener.0)).ok_or(Unsent::NoListener)? {
            Some(listener) => listener.send(hop.peer, bytes),
            None => self.streams.send(hop, bytes),
        }
    }

    /// Serves a connection that has [arrived](Arrival::Connected), unless it was closed meanwhile.
    pub fn begin(&mut self, hop: Hop) {
        self.streams.begin(hop);
    }

    /// Closes a connection when what was sent before is through.
    pub fn close(&mut self, hop: Hop) {
        self.streams.close(hop);
    }

    /// How many connections each listener of them has.
    pub fn connections(&self) -> impl Iterator<Item = (ListenerId, Transport, usize)> + '_ {
        self.streams.counts()
    }
}
