//! Bytes out and in on a socket of the test's own: a question is sent, repeated when it says so,
//! and its answer waited for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::super::style::is_obeyed;
use super::place::{Origin, Place};
use crate::b2bua::inquiry::{Finding, Heard, Inquiry};
use crate::runtime::Clock;
use crate::sip::{Frame, Framer, Message};

/// The largest UDP payload there is.
const DATAGRAM_BYTES: usize = 65_535;
/// Read from a stream at once.
const READ_BYTES: usize = 16_384;
/// So much is shown of what is no SIP.
const SHOWN_BYTES: usize = 60;

/// A socket to one place.
pub(super) struct Wire {
    pub(super) local: SocketAddr,
    peer: SocketAddr,
    kind: Kind,
}

enum Kind {
    Datagrams(UdpSocket),
    Stream { io: Box<dyn Stream>, framer: Framer },
}

/// A connection, whatever is below it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The answer, and how it came.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) finding: Finding,
    pub(super) took: Duration,
    /// Who sent it.
    pub(super) from: SocketAddr,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nothing came.
    Silence {
        /// How often it was asked.
        times: u32,
        /// A provisional response came.
        is_working: bool,
    },
    /// Nobody listens there: ICMP, or a reset.
    Refused,
    /// There is no way there from here.
    Unreachable(io::Error),
    /// The peer closed the connection; within TLS perhaps with a reason.
    Closed(Option<rustls::Error>),
    /// Something else speaks there: how it begins.
    NotSip(String),
    /// An answer by a stream that does not say where it ends (RFC 3261 §18.3): the daemon does not hear
    /// it, and hangs up.
    Endless,
}

impl Wire {
    /// A UDP socket that nothing was sent from.
    pub(super) fn datagrams(place: &Place, origin: &Origin) -> Result<Wire, Fault> {
        let local = origin.source(place).map_err(fault_of)?;
        let socket = std::net::UdpSocket::bind(SocketAddr::new(local, 0)).map_err(fault_of)?;
        // Not connected: an answer from elsewhere is to be seen. So ICMP must be asked for.
        let reports = match place.address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
        };
        // Without them a refusal is silence.
        let _ = reports;
        socket.set_nonblocking(true).map_err(fault_of)?;
        let local = socket.local_addr().map_err(fault_of)?;
        let kind = Kind::Datagrams(UdpSocket::from_std(socket).map_err(fault_of)?);
        Ok(Wire { local, peer: place.address, kind })
    }

    /// Connects by TCP.
    pub(super) async fn connect(
        place: &Place,
        origin: &Origin,
        patience: Duration,
    ) -> Result<TcpStream, Fault> {
        let socket = if place.address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() };
        let socket = socket.map_err(fault_of)?;
        socket.bind(SocketAddr::new(origin.bind, 0)).map_err(fault_of)?;
        match timeout(patience, socket.connect(place.address)).await {
            Ok(connected) => {
                let stream = connected.map_err(fault_of)?;
                // Times are told: Nagle's algorithm would be in them.
                let _ = stream.set_nodelay(true);
                Ok(stream)
            }
            Err(_elapsed) => Err(Fault::Silence { times: 1, is_working: false }),
        }
    }

    /// Takes a connection.
    pub(super) fn stream(local: SocketAddr, peer: SocketAddr, io: impl Stream + 'static) -> Wire {
        Wire { local, peer, kind: Kind::Stream { io: Box::new(io), framer: Framer::new() } }
    }

    /// Asks, and waits for the last word.
    pub(super) async fn ask(
        &mut self,
        clock: &Clock,
        inquiry: &mut Inquiry,
        patience: Duration,
    ) -> Result<Answered, Fault> {
        let began = clock.now();
        let (until, mut is_working) = (began + patience, false);
        loop {
            let now = clock.now();
            if now >= until {
                return Err(Fault::Silence { times: inquiry.times_sent(), is_working });
            }
            if let Some(request) = inquiry.take_due(now) {
                let bytes = request.as_bytes().clone();
                self.send(&bytes).await?;
            }
            let wake = inquiry.next_due().map_or(until, |due| due.min(until));
            let Ok(received) = timeout(wake.since(clock.now()), self.receive()).await else { continue };
            let (bytes, from) = received?;
            // A keep-alive.
            if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                continue;
            }
            let Ok(message) = Message::parse(bytes.clone()) else { return Err(Fault::NotSip(shown(&bytes))) };
            match inquiry.on_message(clock.now(), &message) {
                Heard::Final(finding) => {
                    return Ok(Answered { finding: *finding, took: clock.now().since(began), from });
                }
                Heard::Progress => is_working = true,
                Heard::Nothing | Heard::Challenged => {}
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match &mut self.kind {
            Kind::Datagrams(socket) => {
                let sent = socket.send_to(bytes, self.peer).await;
                sent.map(drop).map_err(fault_of)
            }
            Kind::Stream { io, .. } => {
                io.write_all(bytes).await.map_err(fault_of)?;
                io.flush().await.map_err(fault_of)
            }
        }
    }

    /// The next message. May be dropped while it waits.
    async fn receive(&mut self) -> Result<(Bytes, SocketAddr), Fault> {
        match &mut self.kind {
            Kind::Datagrams(socket) => {
                let mut datagram = vec![0; DATAGRAM_BYTES];
                let (length, from) = socket.recv_from(&mut datagram).await.map_err(fault_of)?;
                datagram.truncate(length);
                Ok((Bytes::from(datagram), from))
            }
            Kind::Stream { io, framer } => loop {
                match framer.poll() {
                    Some(Frame::Message(bytes)) => return Ok((bytes, self.peer)),
                    Some(Frame::Endless(bytes)) => {
                        let is_sip = Message::parse(bytes.clone()).is_ok();
                        return Err(if is_sip { Fault::Endless } else { Fault::NotSip(shown(&bytes)) });
                    }
                    Some(Frame::Fault(_)) => return Err(Fault::NotSip(String::new())),
                    Some(Frame::Ping) => continue,
                    None => {}
                }
                let mut bytes = vec![0; READ_BYTES];
                match io.read(&mut bytes).await.map_err(fault_of)? {
                    0 => return Err(Fault::Closed(None)),
                    length => framer.push(&bytes[..length]),
                }
            },
        }
    }
}

/// What an error of the system means here.
pub(super) fn fault_of(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionAborted => Fault::Closed(None),
        io::ErrorKind::TimedOut => Fault::Silence { times: 1, is_working: false },
        _ => match tls_error(&error) {
            Some(reason) => Fault::Closed(Some(reason)),
            None => Fault::Unreachable(error),
        },
    }
}

/// What rustls said, if it did.
pub(super) fn tls_error(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned()
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]).into_owned();
    text.lines().next().unwrap_or_default().chars().filter(|letter| !is_obeyed(*letter)).collect()
}
