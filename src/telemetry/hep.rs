//! Copies of SIP messages, and of what peers report by RTCP, for a capture server (Homer and others): HEP
//! version 3 over UDP.
//!
//! <https://github.com/sipcapture/HEP> (HEP3 protocol specification, rev. 36): a header `HEP3` with the length of
//! all, then chunks of vendor, type, length and payload, everything in network byte order.
//!
//! A message goes as the wire has it, headers with digest responses among them: that is what capture servers
//! are for, and passwords are not in these. RTCP goes as JSON (`hep/rtcp.rs`). Both legs of a call carry one correlation
//! id, the Call-ID of its caller, and so does the RTCP of both: a server files RTCP under that id alone (nothing in
//! RTCP names a call), and finds it with the call whose Call-ID this is. Whose leg it is of tell its addresses.
//!
//! Nothing here may hold up a call: a queue with room for so many, and what finds it full is counted and lost. RTCP gets
//! no more than half of it, so that who sends much of that hides no SIP.
//!
//! Must not know: SIP, but for where a message has its Call-ID.

mod rtcp;

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::Metrics;
use crate::base::Transport;

/// Messages that may wait for the thread that sends.
const WAITING_MAX: usize = 1_024;
/// Those of RTCP among them.
const RTCP_WAITING_MAX: usize = 512;
/// A longer one does not fit into a datagram with its chunks around it.
const PAYLOAD_MAX: usize = 60_000;
/// A Call-ID is looked for in so many bytes.
const CALL_ID_WITHIN: usize = 8_192;

/// Where copies go, and as whose; `[hep]`.
#[derive(Clone, PartialEq, Eq)]
pub struct HepSettings {
    /// The capture server.
    pub collector: SocketAddr,
    /// By which number it knows us.
    pub id: u32,
    /// What it asks of us, if anything; never printed.
    pub password: Option<String>,
    /// Whether RTCP is copied beside SIP.
    pub rtcp: bool,
    /// `node.name`.
    pub node: String,
}

impl std::fmt::Debug for HepSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("HepSettings")
            .field("collector", &self.collector)
            .field("id", &self.id)
            .field("password", &password)
            .field("rtcp", &self.rtcp)
            .field("node", &self.node)
            .finish()
    }
}

/// What a copy is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// A SIP message.
    Sip,
    /// A datagram of RTCP.
    Rtcp,
}

impl Protocol {
    /// Every one.
    pub const ALL: [Protocol; 2] = [Protocol::Sip, Protocol::Rtcp];

    /// The label value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Sip => "sip",
            Protocol::Rtcp => "rtcp",
        }
    }

    /// The protocol type of its chunk: 1 is SIP, 5 RTCP as JSON.
    const fn chunk_value(self) -> u8 {
        match self {
            Protocol::Sip => 1,
            Protocol::Rtcp => 5,
        }
    }
}

/// One message on its way.
#[derive(Clone, Debug)]
pub struct Captured {
    /// What it is.
    pub protocol: Protocol,
    /// When it came or went.
    pub at: SystemTime,
    /// Whose it is.
    pub source: SocketAddr,
    /// To whom it goes.
    pub destination: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// As the wire has it.
    pub message: Bytes,
    /// The Call-ID by which both legs of its call are known; `None`: its own.
    pub correlation: Option<Bytes>,
}

/// The way to the sending thread. Dropped, the thread ends.
#[derive(Debug)]
pub struct Capture {
    jobs: SyncSender<Captured>,
    /// How many of them are RTCP.
    rtcp_waiting: Arc<AtomicUsize>,
    takes_rtcp: bool,
    metrics: Arc<Metrics>,
}

impl Capture {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no socket or no thread.
    pub fn start(settings: HepSettings, metrics: Arc<Metrics>) -> io::Result<Capture> {
        let any: SocketAddr = match settings.collector {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        // Not connected: an ICMP error of a server that is restarted shall not fail the next send.
        socket.set_nonblocking(true)?;
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let rtcp_waiting = Arc::new(AtomicUsize::new(0));
        let capture = Capture {
            jobs,
            rtcp_waiting: Arc::clone(&rtcp_waiting),
            takes_rtcp: settings.rtcp,
            metrics: Arc::clone(&metrics),
        };
        std::thread::Builder::new()
            .name("hep".to_owned())
            .spawn(move || send_all(&settings, &socket, (&waiting, &rtcp_waiting), &metrics))?;
        Ok(capture)
    }

    /// Whether RTCP is wanted.
    pub fn takes_rtcp(&self) -> bool {
        self.takes_rtcp
    }

    /// Queues a copy; never waits.
    pub fn send(&self, captured: Captured) {
        let protocol = captured.protocol;
        let is_rtcp = protocol == Protocol::Rtcp;
        let has_share = !is_rtcp || self.rtcp_waiting.fetch_add(1, Relaxed) < RTCP_WAITING_MAX;
        if has_share && self.jobs.try_send(captured).is_ok() {
            return;
        }
        if is_rtcp {
            self.rtcp_waiting.fetch_sub(1, Relaxed);
        }
        self.lose(protocol);
    }

    /// Counts a copy that cannot be sent.
    pub fn lose(&self, protocol: Protocol) {
        self.metrics.count_hep(protocol, false);
    }
}

fn send_all(
    settings: &HepSettings,
    socket: &UdpSocket,
    (waiting, rtcp_waiting): (&Receiver<Captured>, &AtomicUsize),
    metrics: &Metrics,
) {
    let mut packet = Vec::with_capacity(2_048);
    while let Ok(captured) = waiting.recv() {
        if captured.protocol == Protocol::Rtcp {
            rtcp_waiting.fetch_sub(1, Relaxed);
        }
        packet.clear();
        let is_written = write(&mut packet, settings, &captured).is_some();
        let is_sent = is_written && socket.send_to(&packet, settings.collector).is_ok();
        metrics.count_hep(captured.protocol, is_sent);
    }
}

/// The types of the chunks that are written (vendor 0).
mod chunk {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const SOURCE_V4: u16 = 3;
    pub(super) const DESTINATION_V4: u16 = 4;
    pub(super) const SOURCE_V6: u16 = 5;
    pub(super) const DESTINATION_V6: u16 = 6;
    pub(super) const SOURCE_PORT: u16 = 7;
    pub(super) const DESTINATION_PORT: u16 = 8;
    pub(super) const SECONDS: u16 = 9;
    pub(super) const MICROSECONDS: u16 = 10;
    pub(super) const KIND: u16 = 11;
    pub(super) const CAPTURE_ID: u16 = 12;
    pub(super) const PASSWORD: u16 = 14;
    pub(super) const PAYLOAD: u16 = 15;
    pub(super) const CORRELATION: u16 = 17;
    pub(super) const NODE: u16 = 19;
}

const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// One packet of HEP3; `None`: there is nothing to be told.
fn write(packet: &mut Vec<u8>, settings: &HepSettings, captured: &Captured) -> Option<()> {
    let payload = match captured.protocol {
        Protocol::Sip => Cow::Borrowed(captured.message.get(..PAYLOAD_MAX).unwrap_or(&captured.message)),
        Protocol::Rtcp => Cow::Owned(rtcp::json(&captured.message)?),
    };
    packet.extend_from_slice(b"HEP3\0\0");
    let (source, destination) = of_one_family(captured.source, captured.destination);
    let since_epoch = captured.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX);
    let protocol = if captured.transport.is_reliable() { PROTOCOL_TCP } else { PROTOCOL_UDP };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            add(packet, chunk::FAMILY, &[FAMILY_V4]);
            add(packet, chunk::SOURCE_V4, &source.octets());
            add(packet, chunk::DESTINATION_V4, &destination.octets());
        }
        (source, destination) => {
            add(packet, chunk::FAMILY, &[FAMILY_V6]);
            add(packet, chunk::SOURCE_V6, &octets(source));
            add(packet, chunk::DESTINATION_V6, &octets(destination));
        }
    }
    add(packet, chunk::PROTOCOL, &[protocol]);
    add(packet, chunk::SOURCE_PORT, &source.port().to_be_bytes());
    add(packet, chunk::DESTINATION_PORT, &destination.port().to_be_bytes());
    add(packet, chunk::SECONDS, &seconds.to_be_bytes());
    add(packet, chunk::MICROSECONDS, &since_epoch.subsec_micros().to_be_bytes());
    add(packet, chunk::KIND, &[captured.protocol.chunk_value()]);
    add(packet, chunk::CAPTURE_ID, &settings.id.to_be_bytes());
    add(packet, chunk::NODE, settings.node.as_bytes());
    if let Some(password) = &settings.password {
        add(packet, chunk::PASSWORD, password.as_bytes());
    }
    let correlation = match captured.protocol {
        Protocol::Sip => captured.correlation.as_deref().or_else(|| call_id_of(&captured.message)),
        Protocol::Rtcp => captured.correlation.as_deref(),
    };
    if let Some(correlation) = correlation {
        add(packet, chunk::CORRELATION, correlation);
    }
    add(packet, chunk::PAYLOAD, &payload);
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    if let Some(field) = packet.get_mut(4..6) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    Some(())
}

fn add(packet: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // What is beyond is cut: only a payload comes near, and that is cut before.
    let value = value.get(..PAYLOAD_MAX).unwrap_or(value);
    let length = u16::try_from(value.len() + 6).unwrap_or(u16::MAX);
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(value);
}

/// A listener on `[::]` has peers of IPv4, too.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let unspecified = |address: SocketAddr, like: SocketAddr| match like.ip() {
        IpAddr::V4(_) if address.ip().is_unspecified() => SocketAddr::from(([0, 0, 0, 0], address.port())),
        _ => address,
    };
    let (source, destination) = (plain(source), plain(destination));
    (unspecified(source, destination), unspecified(destination, source))
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The Call-ID of a message, as it stands (RFC 3261 §20.8; `i` is its short form).
pub fn call_id_of(message: &[u8]) -> Option<&[u8]> {
    let within = message.get(..CALL_ID_WITHIN).unwrap_or(message);
    let mut lines = within.split(|byte| *byte == b'\n').skip(1);
    lines.by_ref().map(<[u8]>::trim_ascii).take_while(|line| !line.is_empty()).find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii();
        let is_call_id = name.eq_ignore_ascii_case(b"call-id") || name.eq_ignore_ascii_case(b"i");
        is_call_id.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

#[cfg(test)]
mod tests;
