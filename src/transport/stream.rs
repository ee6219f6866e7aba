//! The connections of all TCP and TLS listeners: which there are, which are opened, which are
//! closed (RFC 3261 §18).
//!
//! A connection is known by its [`Hop`]: listener, peer and, over TLS, whom it was opened to. So
//! one that leads to somebody else at the same address is never used. A task serves each; this
//! gives them what is to be sent and takes what they have read, over queues that are bounded.
//!
//! Must not know: what is in a message, who may connect.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::backlog::{AllBacklogs, Backlog};
use super::connection::{Connection, Limits, Opening};
use super::handshakes::Handshakes;
use super::tls::TlsMaterial;
use super::{Arrival, Unsent};
use crate::admission::DropReason;
use crate::base::{Hop, ListenerId, Transport, counted_as_one};

/// Connections that the kernel keeps before they are accepted.
const ACCEPT_BACKLOG: i32 = 1_024;
/// When the system has no room for another connection, none is taken for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Messages of all connections that wait for the driver.
const EVENTS_WAITING: usize = 256;
/// Of those, taken in one turn.
const EVENTS_A_TURN: usize = 64;
/// Messages that wait to be written to one connection. Beyond that, or beyond the bytes that its
/// [`Backlog`] may have, its peer does not read, and it is closed.
const MESSAGES_WAITING: usize = 512;

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
    /// How many there are with each address at each listener.
    sources: HashMap<Source, usize>,
    /// Accepted ones that ended in this turn, of which the engine has not heard yet: it may have
    /// something to say to them, and nobody listens where they came from.
    ended: HashSet<Hop>,
    backlogs: AllBacklogs,
    tls: TlsMaterial,
    /// There is one if there is a listener of TLS.
    handshakes: Option<Handshakes>,
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
    accepted: usize,
    opened: usize,
}

impl Listener {
    fn count(&mut self, is_accepted: bool) -> &mut usize {
        if is_accepted { &mut self.accepted } else { &mut self.opened }
    }
}

/// A listener, the peer's address, and whether the peer has connected.
type Source = (ListenerId, IpAddr, bool);

fn source_of(hop: Hop, is_accepted: bool) -> Source {
    (hop.listener, counted_as_one(hop.peer.ip()), is_accepted)
}

struct Entry {
    id: u64,
    outgoing: mpsc::Sender<Bytes>,
    backlog: Arc<Backlog>,
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
            ended: HashSet::new(),
            backlogs: AllBacklogs::default(),
            tls: TlsMaterial::default(),
            handshakes: None,
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
        if transport == Transport::Tls && self.handshakes.is_none() {
            self.handshakes = Some(Handshakes::start()?);
        }
        let address = socket.local_addr()?.ip();
        let socket = TcpListener::from_std(socket)?;
        self.listeners.insert(id, Listener { transport, address, accepted: 0, opened: 0 });
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
        self.ended.clear();
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
                self.hold(listener, stream, peer, arrivals);
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
                if let Some(entry) = self.connections.get(&hop).filter(|entry| entry.id == id) {
                    if entry.is_accepted {
                        self.ended.insert(hop);
                    }
                    self.remove(hop);
                    arrivals.push(Arrival::Lost { hop });
                }
            }
        }
    }

    /// Keeps an accepted connection until it is [begun](Streams::begin) or closed.
    fn hold(
        &mut self,
        listener: ListenerId,
        stream: TcpStream,
        peer: SocketAddr,
        arrivals: &mut Vec<Arrival>,
    ) {
        let Some(transport) = self.listeners.get(&listener).map(|listener| listener.transport) else {
            return;
        };
        let hop = Hop::new(listener, transport, peer);
        // The peer's port came a second time: the first connection of it is dead, and its task will
        // find that out; or it is ours to a peer that connects from the port that it listens on.
        if self.connections.contains_key(&hop) {
            self.remove(hop);
            arrivals.push(Arrival::Lost { hop });
        }
        if !self.has_room(hop, true) {
            return arrivals.push(Arrival::Dropped { listener, reason: DropReason::TooManyConnections });
        }
        let (outgoing, queue) = mpsc::channel(MESSAGES_WAITING);
        self.insert(hop, outgoing, true, Some((stream, queue)));
        arrivals.push(Arrival::Connected { hop });
    }

    /// Serves a connection that was held, if it still is.
    pub(super) fn begin(&mut self, hop: Hop) {
        let Some(entry) = self.connections.get_mut(&hop) else { return };
        let Some((stream, queue)) = entry.held.take() else { return };
        let (id, backlog) = (entry.id, Arc::clone(&entry.backlog));
        let acceptor = match hop.transport {
            Transport::Tls => match self.tls.acceptor(hop.listener) {
                Some(acceptor) => Some(acceptor),
                None => return self.next.push_back(StreamEvent::Closed { hop, id, dropped: None }),
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
        if entry.backlog.add(bytes.len()) && entry.outgoing.try_send(bytes).is_ok() {
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
        let has_room = self.has_room(hop, false) && !self.ended.contains(&hop);
        if !has_room || from.is_ipv4() != hop.peer.is_ipv4() {
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
        self.listeners
            .iter()
            .map(|(id, listener)| (*id, listener.transport, listener.accepted + listener.opened))
    }

    fn has_room(&mut self, hop: Hop, is_accepted: bool) -> bool {
        let of_source = self.sources.get(&source_of(hop, is_accepted)).copied().unwrap_or(0);
        let of_listener = self.listeners.get_mut(&hop.listener).map_or(0, |at| *at.count(is_accepted));
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
        let backlog = self.backlogs.open();
        let entry = Entry { id: self.last_id, outgoing, backlog, is_accepted, held };
        self.connections.insert(hop, entry);
        if let Some(listener) = self.listeners.get_mut(&hop.listener) {
            *listener.count(is_accepted) += 1;
        }
        *self.sources.entry(source_of(hop, is_accepted)).or_default() += 1;
    }

    /// The task of a connection that is removed writes what it was given, and ends.
    fn remove(&mut self, hop: Hop) {
        let Some(entry) = self.connections.remove(&hop) else { return };
        if let Some(listener) = self.listeners.get_mut(&hop.listener) {
            let count = listener.count(entry.is_accepted);
            *count = count.saturating_sub(1);
        }
        let source = source_of(hop, entry.is_accepted);
        if let Some(count) = self.sources.get_mut(&source) {
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
        backlog: Arc<Backlog>,
        opening: Opening,
    ) {
        let (limits, events) = (self.limits, self.events_in.clone());
        let handshakes = self.handshakes.as_ref().map_or_else(Handle::current, Handshakes::handle);
        tokio::spawn(Connection { hop, id, limits, events, outgoing, backlog, handshakes }.run(opening));
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
