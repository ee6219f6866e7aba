//! The connections of all TCP and TLS listeners: which there are, which are opened, which are
//! closed (RFC 3261 §18).
//!
//! A connection is known by its [`Hop`]: listener, peer and, over TLS, whom it was opened to. So
//! one that leads to somebody else at the same address is never used. A task serves each; this
//! gives them what is to be sent and takes what they have read, over queues that are bounded.
//!
//! Must not know: what is in a message, who may connect.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::connection::{Connection, Limits, Opening};
use super::tls::TlsMaterial;
use super::{Arrival, Unsent};
use crate::admission::DropReason;
use crate::base::{Hop, ListenerId, Transport};

/// Connections that the kernel keeps before they are accepted.
const ACCEPT_BACKLOG: i32 = 1_024;
/// When the system has no room for another connection, none is taken for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Messages of all connections that wait for the driver.
const EVENTS_WAITING: usize = 256;
/// Of those, taken in one turn.
const EVENTS_A_TURN: usize = 64;
/// Messages and bytes that wait to be written to one connection. Beyond that its peer does not
/// read, and it is closed.
const MESSAGES_WAITING: usize = 512;
const BYTES_WAITING: usize = 1 << 20;

/// Binds a TCP socket for SIP.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // As for UDP: an IPv4 peer comes through an IPv4 listener.
        socket.set_only_v6(true)?;
    }
    // Connections of the process before us may still be in TIME-WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_BACKLOG)?;
    Ok(socket.into())
}

/// What a listener's or a connection's task has to say.
pub(super) enum StreamEvent {
    /// A peer has connected.
    Accepted { listener: ListenerId, stream: TcpStream, peer: SocketAddr },
    /// A message came.
    Message { hop: Hop, id: u64, bytes: Bytes },
    /// The connection is gone, and counts as dropped for this reason, if any.
    Closed { hop: Hop, id: u64, dropped: Option<DropReason> },
}

/// All of them.
pub(super) struct Streams {
    listeners: HashMap<ListenerId, Listener>,
    connections: HashMap<Hop, Entry>,
    /// How many there are of each source address at each listener.
    sources: HashMap<(ListenerId, IpAddr), usize>,
    tls: TlsMaterial,
    limits: Limits,
    events_in: mpsc::Sender<StreamEvent>,
    events: mpsc::Receiver<StreamEvent>,
    /// Taken from `events` already.
    next: VecDeque<StreamEvent>,
    last_id: u64,
}

struct Listener {
    transport: Transport,
    /// Connections of ours come from here, too.
    address: IpAddr,
    connections: usize,
}

struct Entry {
    id: u64,
    outgoing: mpsc::Sender<Bytes>,
    backlog: Arc<AtomicUsize>,
    is_accepted: bool,
    /// Accepted, and not read from before the engine has had its say.
    held: Option<(TcpStream, mpsc::Receiver<Bytes>)>,
}

impl Streams {
    pub(super) fn new() -> Streams {
        let (events_in, events) = mpsc::channel(EVENTS_WAITING);
        Streams {
            listeners: HashMap::new(),
            connections: HashMap::new(),
            sources: HashMap::new(),
            tls: TlsMaterial::default(),
            limits: Limits::default(),
            events_in,
            events,
            next: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Takes a bound listener into the runtime of the calling task.
    pub(super) fn listen(
        &mut self,
        id: ListenerId,
        transport: Transport,
        socket: std::net::TcpListener,
    ) -> io::Result<()> {
        let address = socket.local_addr()?.ip();
        let socket = TcpListener::from_std(socket)?;
        self.listeners.insert(id, Listener { transport, address, connections: 0 });
        tokio::spawn(accept(id, socket, self.events_in.clone()));
        Ok(())
    }

    /// Connections from now on use these certificates. Those that there are stay as they are.
    pub(super) fn set_tls(&mut self, material: TlsMaterial) {
        self.tls.replace(material);
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.next.is_empty() {
            match self.events.poll_recv(cx) {
                Poll::Ready(event) => self.next.extend(event),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// Takes what came, up to the bound of a turn; true if the bound was reached.
    pub(super) fn receive(&mut self, arrivals: &mut Vec<Arrival>) -> bool {
        for _ in 0..EVENTS_A_TURN {
            let Some(event) = self.next.pop_front().or_else(|| self.events.try_recv().ok()) else {
                return false;
            };
            self.take(event, arrivals);
        }
        true
    }

    fn take(&mut self, event: StreamEvent, arrivals: &mut Vec<Arrival>) {
        match event {
            StreamEvent::Accepted { listener, stream, peer } => {
                arrivals.extend(self.hold(listener, stream, peer));
            }
            StreamEvent::Message { hop, id, bytes } => {
                if self.connections.get(&hop).is_some_and(|entry| entry.id == id) {
                    arrivals.push(Arrival::Message { hop, bytes });
                }
            }
            StreamEvent::Closed { hop, id, dropped } => {
                if let Some(reason) = dropped {
                    arrivals.push(Arrival::Dropped { listener: hop.listener, reason });
                }
                if self.connections.get(&hop).is_some_and(|entry| entry.id == id) {
                    self.remove(hop);
                    arrivals.push(Arrival::Lost { hop });
                }
            }
        }
    }

    /// Keeps an accepted connection until it is [begun](Streams::begin) or closed.
    fn hold(&mut self, listener: ListenerId, stream: TcpStream, peer: SocketAddr) -> Option<Arrival> {
        let transport = self.listeners.get(&listener)?.transport;
        let hop = Hop::new(listener, transport, peer);
        // The kernel gave the peer's port a second time: the first connection of it is dead, and its
        // task will find that out.
        self.remove(hop);
        if !self.has_room(hop) {
            return Some(Arrival::Dropped { listener, reason: DropReason::TooManyConnections });
        }
        let (outgoing, queue) = mpsc::channel(MESSAGES_WAITING);
        self.insert(hop, outgoing, true, Some((stream, queue)));
        Some(Arrival::Connected { hop })
    }

    /// Serves a connection that was held, if it still is.
    pub(super) fn begin(&mut self, hop: Hop) {
        let Some(entry) = self.connections.get_mut(&hop) else { return };
        let Some((stream, queue)) = entry.held.take() else { return };
        let (id, backlog) = (entry.id, Arc::clone(&entry.backlog));
        let acceptor = match hop.transport {
            Transport::Tls => match self.tls.acceptor(hop.listener) {
                Some(acceptor) => Some(acceptor),
                None => return self.remove(hop),
            },
            Transport::Udp | Transport::Tcp => None,
        };
        self.spawn(hop, id, queue, backlog, Opening::Accepted(stream, acceptor));
    }

    /// Queues a message for its connection; opens that if there is none.
    pub(super) fn send(&mut self, hop: Hop, bytes: Bytes) -> Result<(), Unsent> {
        if !self.connections.contains_key(&hop) {
            self.open(hop)?;
        }
        let entry = self.connections.get(&hop).ok_or(Unsent::Disconnected)?;
        let length = bytes.len();
        let has_room = entry.backlog.fetch_add(length, Ordering::Relaxed) + length <= BYTES_WAITING;
        if has_room && entry.outgoing.try_send(bytes).is_ok() {
            return Ok(());
        }
        // Its task has ended, or its peer does not read.
        self.remove(hop);
        Err(Unsent::Disconnected)
    }

    fn open(&mut self, hop: Hop) -> Result<(), Unsent> {
        let listener = self.listeners.get(&hop.listener).ok_or(Unsent::NoListener)?;
        let from = listener.address;
        let connector = match hop.transport {
            // Where nobody says whom it must lead to, it would lead to anybody.
            Transport::Tls => Some(self.tls.connector(hop.identity).ok_or(Unsent::Disconnected)?),
            Transport::Udp | Transport::Tcp => None,
        };
        if listener.connections >= self.limits.connections || from.is_ipv4() != hop.peer.is_ipv4() {
            return Err(Unsent::Disconnected);
        }
        let (outgoing, queue) = mpsc::channel(MESSAGES_WAITING);
        self.insert(hop, outgoing, false, None);
        let Some(entry) = self.connections.get(&hop) else { return Err(Unsent::Disconnected) };
        let (id, backlog) = (entry.id, Arc::clone(&entry.backlog));
        self.spawn(hop, id, queue, backlog, Opening::Ours(from, connector));
        Ok(())
    }

    /// Closes a connection when what was sent before is through.
    pub(super) fn close(&mut self, hop: Hop) {
        self.remove(hop);
    }

    /// How many connections each listener has.
    pub(super) fn counts(&self) -> impl Iterator<Item = (ListenerId, Transport, usize)> + '_ {
        self.listeners.iter().map(|(id, listener)| (*id, listener.transport, listener.connections))
    }

    fn has_room(&self, hop: Hop) -> bool {
        let of_source = self.sources.get(&(hop.listener, hop.peer.ip())).copied().unwrap_or(0);
        let of_listener = self.listeners.get(&hop.listener).map_or(0, |listener| listener.connections);
        of_source < self.limits.connections_a_source && of_listener < self.limits.connections
    }

    fn insert(
        &mut self,
        hop: Hop,
        outgoing: mpsc::Sender<Bytes>,
        is_accepted: bool,
        held: Option<(TcpStream, mpsc::Receiver<Bytes>)>,
    ) {
        self.last_id += 1;
        let entry = Entry { id: self.last_id, outgoing, backlog: Arc::default(), is_accepted, held };
        self.connections.insert(hop, entry);
        if let Some(listener) = self.listeners.get_mut(&hop.listener) {
            listener.connections += 1;
        }
        if is_accepted {
            *self.sources.entry((hop.listener, hop.peer.ip())).or_default() += 1;
        }
    }

    /// The task of a connection that is removed writes what it was given, and ends.
    fn remove(&mut self, hop: Hop) {
        let Some(entry) = self.connections.remove(&hop) else { return };
        if let Some(listener) = self.listeners.get_mut(&hop.listener) {
            listener.connections = listener.connections.saturating_sub(1);
        }
        let source = (hop.listener, hop.peer.ip());
        if entry.is_accepted
            && let Some(count) = self.sources.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    fn spawn(
        &self,
        hop: Hop,
        id: u64,
        outgoing: mpsc::Receiver<Bytes>,
        backlog: Arc<AtomicUsize>,
        opening: Opening,
    ) {
        let (limits, events) = (self.limits, self.events_in.clone());
        tokio::spawn(Connection { hop, id, limits, events, outgoing, backlog }.run(opening));
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

/// Takes what a listener is given, one connection after the other, as fast as the driver does.
async fn accept(id: ListenerId, listener: TcpListener, events: mpsc::Sender<StreamEvent>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if events.send(StreamEvent::Accepted { listener: id, stream, peer }).await.is_err() {
                    return;
                }
            }
            // The peer has given up already, or there is no descriptor left.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests;
