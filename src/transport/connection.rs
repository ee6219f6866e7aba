//! One connection: a task that reads and writes one byte stream until it ends (RFC 3261 §18.3,
//! RFC 5626 §4.4.1).
//!
//! Must not know: other connections, who may connect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::backlog::Backlog;
use super::handshakes;
use super::stream::StreamEvent;
use super::tls::{Acceptor, Connector};
use crate::admission::DropReason;
use crate::base::Hop;
use crate::sip::{Frame, Framer};

/// Read at once.
const READ_BYTES: usize = 8_192;
/// Written at once: what is queued is gathered up to this.
const WRITE_BYTES: usize = 65_536;
/// RFC 5626 §4.4.1.
const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";
/// The kernel asks a silent peer whether it is there after so long, and then so often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;
/// What was sent and is not acknowledged in so long is lost, and the connection with it: the 64·T1
/// of a transaction (RFC 3261 §17.1.1.2).
const UNACKNOWLEDGED: Duration = Duration::from_secs(32);

/// How long a connection may take for what (the longer ones are counted in ticks), and how many there
/// may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The unit of the following.
    pub(super) tick: Duration,
    /// From the opening to the first whole message.
    pub(super) first_message: u32,
    /// From the first byte of a message to its last.
    pub(super) whole_message: u32,
    /// Between two pieces of what is written.
    pub(super) write: u32,
    /// Without a message or a ping of the peer's.
    pub(super) idle: u32,
    /// Without anything written to a connection of ours: then a ping.
    pub(super) ping: u32,
    /// To connect. Below `failover.timeout`: where TCP was taken for a message's size alone, UDP has
    /// to have its try.
    pub(super) connect: Duration,
    /// To shake hands.
    pub(super) handshake: Duration,
    /// For the peer to close its side after us.
    pub(super) linger: Duration,
    /// Connections of one listener at once that were accepted; and as many that were opened, so that
    /// nobody can stop us from reaching others by filling the listener.
    pub(super) connections: usize,
    /// Of each kind, with one address: some PBXs have one for each call.
    pub(super) connections_a_source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            tick: Duration::from_secs(1),
            first_message: 15,
            whole_message: 15,
            write: 10,
            // Session timers refresh at half of this (RFC 4028 §4.2: 1,800 s), pings every two minutes.
            idle: 1_800,
            // RFC 5626 §4.4.1: between 95 and 120 s.
            ping: 100,
            connect: Duration::from_secs(3),
            handshake: Duration::from_secs(5),
            linger: Duration::from_secs(1),
            connections: 4_096,
            connections_a_source: 1_024,
        }
    }
}

/// How the byte stream comes to be.
pub(super) enum Opening {
    /// The peer has connected.
    Accepted(TcpStream, Option<Acceptor>),
    /// We connect, from this address.
    Ours(IpAddr, Option<Connector>),
}

/// What a connection's task is made of.
pub(super) struct Connection {
    pub(super) hop: Hop,
    /// Tells two connections of one hop apart.
    pub(super) id: u64,
    pub(super) limits: Limits,
    pub(super) events: mpsc::Sender<StreamEvent>,
    /// What is to be sent; its end closes the connection.
    pub(super) outgoing: mpsc::Receiver<Bytes>,
    /// Bytes in `outgoing`, and taken from it but not written yet.
    pub(super) backlog: Arc<Backlog>,
    /// Where TLS shakes hands.
    pub(super) handshakes: Handle,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("closed by us")]
    Asked,
    #[error("closed by the peer")]
    ByPeer,
    #[error("{0}")]
    Failed(#[from] io::Error),
    #[error("no TLS: {0}")]
    Handshake(io::Error),
    #[error("{0}")]
    Limit(&'static str),
    #[error("idle")]
    Idle,
    #[error("there is nothing more to read")]
    Endless,
    #[error("{0}")]
    Framing(crate::sip::FramingFault),
}

impl Connection {
    /// Runs until the connection ends, and says so.
    pub(super) async fn run(mut self, opening: Opening) {
        let is_ours = matches!(opening, Opening::Ours(..));
        let ended = self.open_and_serve(opening).await;
        let Hop { transport, peer, .. } = self.hop;
        match &ended {
            // Somebody waits for what was to be sent.
            Ended::Handshake(_) | Ended::Failed(_) | Ended::Limit(_) if is_ours => {
                tracing::warn!(%transport, %peer, "connection: {ended}");
            }
            _ => tracing::debug!(%transport, %peer, "connection: {ended}"),
        }
        let dropped = match ended {
            Ended::Framing(_) => Some(DropReason::Malformed),
            Ended::Handshake(_) if !is_ours => Some(DropReason::TlsHandshake),
            _ => None,
        };
        let Connection { hop, id, .. } = self;
        // Nobody takes it when the process ends.
        let _ = self.events.send(StreamEvent::Closed { hop, id, dropped }).await;
    }

    async fn open_and_serve(&mut self, opening: Opening) -> Ended {
        let is_ours = matches!(opening, Opening::Ours(..));
        let limits = self.limits;
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let (stream, acceptor, connector) = match opening {
            Opening::Accepted(stream, acceptor) => (stream, acceptor, None),
            Opening::Ours(from, connector) => {
                match timeout(limits.connect, connect(from, self.hop.peer)).await.map_err(late) {
                    Ok(Ok(stream)) => (stream, None, connector),
                    Ok(Err(error)) | Err(error) => return Ended::Failed(error),
                }
            }
        };
        prepare(&stream);
        let shaken = async {
            match (acceptor, connector) {
                (Some(acceptor), _) => {
                    let shaking = handshakes::run(&self.handshakes, acceptor.accept(stream));
                    timeout(limits.handshake, shaking).await.map_err(late)?.map(Io::Server)
                }
                (None, Some(connector)) => {
                    let shaking = handshakes::run(&self.handshakes, connector.connect(stream));
                    timeout(limits.handshake, shaking).await.map_err(late)?.map(Io::Client)
                }
                (None, None) => Ok(Io::Plain(stream)),
            }
        };
        match shaken.await {
            Ok(Io::Plain(stream)) => self.serve(stream, is_ours).await,
            Ok(Io::Server(stream)) => self.serve(stream, is_ours).await,
            Ok(Io::Client(stream)) => self.serve(stream, is_ours).await,
            Err(error) => Ended::Handshake(error),
        }
    }

    async fn serve(&mut self, stream: impl AsyncRead + AsyncWrite, is_ours: bool) -> Ended {
        let (reader, writer) = tokio::io::split(stream);
        let (mut reader, mut writer) = (std::pin::pin!(reader), std::pin::pin!(writer));
        let mut state = State::new(is_ours);
        let ended = match self.exchange(&mut reader, &mut writer, &mut state).await {
            Ended::Asked | Ended::Endless => {
                self.outgoing.close();
                while let Ok(bytes) = self.outgoing.try_recv() {
                    state.waiting.extend_from_slice(&bytes);
                }
                Ended::Asked
            }
            ended => ended,
        };
        if matches!(ended, Ended::Asked | Ended::ByPeer) {
            // What was sent before goes through; read on for a while, for a socket that is closed with
            // something unread in it takes back what it has sent (RFC 1122 §4.2.2.13).
            let last_words = async {
                writer.write_all(&state.waiting).await?;
                writer.shutdown().await?;
                let mut rest = [0; 1_024];
                while reader.read(&mut rest).await? > 0 {}
                io::Result::Ok(())
            };
            let _ = timeout(self.limits.linger, last_words).await;
        }
        ended
    }

    /// Reads and writes at once, until one of them ends.
    async fn exchange(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        state: &mut State,
    ) -> Ended {
        let is_ours = state.is_ours;
        let mut ticks = interval(self.limits.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read = vec![0; READ_BYTES];
        loop {
            tokio::select! {
                length = reader.read(&mut read), if !state.is_endless => match length {
                    Ok(0) if is_ours => return Ended::ByPeer,
                    // It may have closed its side alone, and wait for answers.
                    Ok(0) => state.is_endless = true,
                    Ok(length) => {
                        state.framer.push(&read[..length]);
                        if let Err(ended) = self.deliver(state).await {
                            return ended;
                        }
                    }
                    Err(error) => return Ended::Failed(error),
                },
                written = write_or_flush(writer, &state.waiting), if state.has_to_write() => match written {
                    Ok(length) => self.wrote(state, length),
                    Err(error) => return Ended::Failed(error),
                },
                next = self.outgoing.recv(), if state.waiting.len() < WRITE_BYTES => match next {
                    Some(bytes) => {
                        state.waiting.extend_from_slice(&bytes);
                        state.quiet = 0;
                        state.unpinged = 0;
                    }
                    None => return Ended::Asked,
                },
                _ = ticks.tick() => {
                    if let Some(limit) = state.age(&self.limits) {
                        return limit;
                    }
                    if state.is_ours && state.unpinged > self.limits.ping && state.waiting.is_empty() {
                        state.unpinged = 0;
                        self.say(state, PING);
                    }
                }
            }
        }
    }

    /// Passes on what was read. Waits while the driver has more to do than it can.
    async fn deliver(&self, state: &mut State) -> Result<(), Ended> {
        let Connection { hop, id, .. } = *self;
        while let Some(frame) = state.framer.poll() {
            state.quiet = 0;
            let bytes = match frame {
                Frame::Message(bytes) => {
                    state.partial = 0;
                    state.has_spoken = true;
                    bytes
                }
                Frame::Ping => {
                    self.say(state, PONG);
                    if state.waiting.len() > WRITE_BYTES {
                        return Err(Ended::Limit("the peer does not read its pongs"));
                    }
                    continue;
                }
                // The engine may have an answer; after that there is nothing more to say.
                Frame::Endless(bytes) => {
                    state.is_endless = true;
                    bytes
                }
                Frame::Fault(fault) => return Err(Ended::Framing(fault)),
            };
            if self.events.send(StreamEvent::Message { hop, id, bytes }).await.is_err() {
                return Err(Ended::Asked);
            }
        }
        Ok(())
    }

    fn say(&self, state: &mut State, bytes: &[u8]) {
        // Pongs have a limit of their own.
        let _ = self.backlog.add(bytes.len());
        state.waiting.extend_from_slice(bytes);
    }

    fn wrote(&self, state: &mut State, length: usize) {
        state.is_unflushed = !state.waiting.is_empty();
        state.waiting.advance(length);
        state.stalled = 0;
        self.backlog.subtract(length);
    }
}

/// A byte stream, as the listener's transport has it.
enum Io {
    Plain(TcpStream),
    Server(tokio_rustls::server::TlsStream<TcpStream>),
    Client(tokio_rustls::client::TlsStream<TcpStream>),
}

/// Where a connection is. What counts, counts ticks.
struct State {
    framer: Framer,
    waiting: BytesMut,
    is_unflushed: bool,
    is_ours: bool,
    /// A whole message came.
    has_spoken: bool,
    /// Nothing more is read: the end of a message was lost, or the peer has closed its side.
    is_endless: bool,
    age: u32,
    partial: u32,
    stalled: u32,
    quiet: u32,
    unpinged: u32,
    ending: u32,
}

impl State {
    fn new(is_ours: bool) -> State {
        State {
            framer: Framer::new(),
            waiting: BytesMut::new(),
            is_unflushed: false,
            is_ours,
            has_spoken: false,
            is_endless: false,
            age: 0,
            partial: 0,
            stalled: 0,
            quiet: 0,
            unpinged: 0,
            ending: 0,
        }
    }

    fn has_to_write(&self) -> bool {
        self.is_unflushed || !self.waiting.is_empty()
    }

    /// A tick has passed: why it is over, if it is.
    fn age(&mut self, limits: &Limits) -> Option<Ended> {
        let is_partial = self.framer.is_amid_message();
        self.age = self.age.saturating_add(1);
        self.quiet = self.quiet.saturating_add(1);
        self.unpinged = self.unpinged.saturating_add(1);
        self.partial = if is_partial { self.partial + 1 } else { 0 };
        self.stalled = if self.has_to_write() { self.stalled + 1 } else { 0 };
        self.ending += u32::from(self.is_endless);
        if self.is_endless && self.ending > 1 {
            return Some(Ended::Endless);
        }
        let limit = if !self.is_ours && !self.has_spoken && self.age > limits.first_message {
            "no message came"
        } else if self.partial > limits.whole_message {
            "the end of a message did not come"
        } else if self.stalled > limits.write {
            "the peer does not read"
        } else if self.quiet > limits.idle {
            return Some(Ended::Idle);
        } else {
            return None;
        };
        Some(Ended::Limit(limit))
    }
}

/// Writes some of it, or, when all is written, what TLS still keeps of it.
async fn write_or_flush(writer: &mut (impl AsyncWrite + Unpin), waiting: &[u8]) -> io::Result<usize> {
    if waiting.is_empty() { writer.flush().await.map(|()| 0) } else { writer.write(waiting).await }
}

async fn connect(from: IpAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(peer).await
}

/// A dead peer is noticed; small messages go at once.
fn prepare(stream: &TcpStream) {
    let keepalive =
        TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_INTERVAL).with_retries(PROBES);
    let socket = SockRef::from(stream);
    // Each is a wish; the connection serves without them.
    let _ = stream.set_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}
