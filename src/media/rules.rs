//! What the engine and the relay say to each other: plain rules and plain reports. The relay is
//! told what to forward and from whom; it is never asked to run code of the call's.
//!
//! One **media session** is the relay's state of one call. It has streams (one for each m= line
//! that carries RTP or fax), each stream has two sides, each side one RTP/RTCP port pair of ours for the
//! dialog. What arrives at side A of a stream leaves from side B, and the reverse.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::{Dscp, Instant, Latch, Realm};
use crate::rtp::{Formats, Press};

/// One media session; chosen by the engine, never used twice in the life of a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MediaSessionId(pub u64);

/// The side of a stream that faces leg A (the caller) or leg B (the callee).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Side {
    /// Towards the caller.
    A,
    /// Towards the callee.
    B,
}

impl Side {
    /// The side across.
    pub const fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// Two ports of ours: RTP on the even one, RTCP on the odd one above it (RFC 3550 §11).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PortPair {
    /// The realm whose address this is.
    pub realm: Realm,
    /// The address that is bound (not the advertised one).
    pub address: IpAddr,
    /// The even port; RTCP is `rtp_port + 1`.
    pub rtp_port: u16,
}

impl PortPair {
    /// The bound RTP address.
    pub fn rtp(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.rtp_port)
    }

    /// The bound RTCP address.
    pub fn rtcp(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.rtp_port + 1)
    }
}

/// The two pairs of one stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamPorts {
    /// Facing the caller.
    pub a: PortPair,
    /// Facing the callee.
    pub b: PortPair,
}

/// How media is marked on its way to each side.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Marking {
    /// Towards the caller.
    pub a: Dscp,
    /// Towards the callee.
    pub b: Dscp,
}

/// What a stream's datagrams are: what is let through, and what is kept out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum StreamKind {
    /// RTP and RTCP (RFC 3550).
    #[default]
    Rtp,
    /// The same secured (RFC 3711): what is encrypted of it, RTP's padding among that, says nothing.
    SecuredRtp,
    /// Fax: UDPTL (ITU-T T.38 clause 9.1). It has one port, no RTCP, and may be silent for long.
    Udptl,
}

impl StreamKind {
    /// Whether it is RTP, plain or secured: the ends of a call may differ in the words of their profile.
    pub const fn is_rtp(self) -> bool {
        matches!(self, StreamKind::Rtp | StreamKind::SecuredRtp)
    }
}

/// What a peer's SDP said of one stream: where it wants to be sent to, and from where it may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemoteMedia {
    /// What it carries. Nothing crosses while one side of a stream has fax and the other has not.
    pub kind: StreamKind,
    /// The address of c= with the port of m=.
    pub rtp: SocketAddr,
    /// The address of a=rtcp, or the port above RTP's; equal to `rtp` under a=rtcp-mux, and without
    /// meaning for fax.
    pub rtcp: SocketAddr,
    /// Where the peer's signalling came from: a peer whose `rtp` is private or differs from this
    /// in the way NATs make it differ may be learned from its first valid packet.
    pub signalling: IpAddr,
    /// Whether the peer wants to receive (false: `sendonly`, `inactive`, or 0.0.0.0).
    pub receives: bool,
    /// Whether the peer may send (false: `recvonly`, `inactive`).
    pub sends: bool,
    /// How closely its source is held to what signalling says.
    pub latch: Latch,
    /// The payload types that its own SDP lists; empty where that is not known.
    pub formats: Formats,
    /// What becomes of the keys that it sends as telephone events.
    pub events: EventRule,
}

/// What becomes of the keys that a peer sends as telephone events (RFC 4733).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum EventRule {
    /// They cross.
    #[default]
    Pass,
    /// They are taken out and told by [`MediaEvent::Key`]. (Of secured RTP nothing can be read: it crosses.)
    Tell {
        /// The payload type that the peer was offered for them, where the other side has none.
        offered: Option<u8>,
    },
}

impl RemoteMedia {
    /// Whether it names no place and wants nothing: hold by 0.0.0.0 (RFC 3264 §8.4).
    pub fn is_nowhere(&self) -> bool {
        self.rtp.ip().is_unspecified() && !self.receives
    }

    /// RTP both ways, RTCP on the port above, nothing known of its formats.
    pub fn plain(rtp: SocketAddr, signalling: IpAddr) -> RemoteMedia {
        RemoteMedia {
            kind: StreamKind::Rtp,
            rtp,
            rtcp: SocketAddr::new(rtp.ip(), rtp.port().wrapping_add(1)),
            signalling,
            receives: true,
            sends: true,
            latch: Latch::default(),
            formats: Formats::default(),
            events: EventRule::default(),
        }
    }
}

/// What the engine tells the relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MediaCommand {
    /// Bind every port of these streams, all or none. Answered by `Opened` or `OpenFailed`.
    /// May be repeated for the same session with further streams (a re-INVITE that adds m= lines).
    Open {
        /// The session, new or known.
        session: MediaSessionId,
        /// The number of the first of these streams within the session.
        first_stream: u8,
        /// The pairs to bind.
        streams: Vec<StreamPorts>,
        /// How packets to each side are marked.
        marking: Marking,
    },
    /// The peer on one side of one stream said where it is. A change of address starts learning
    /// anew; the same address again changes nothing. Until a side has a remote, what arrives for
    /// it is dropped (`no_destination`).
    SetRemote {
        /// The session.
        session: MediaSessionId,
        /// Which stream, counted from 0.
        stream: u8,
        /// Whose peer.
        side: Side,
        /// What its SDP said; `None` when the peer rejected the stream.
        remote: Option<RemoteMedia>,
    },
    /// Whether the call is on hold (no stream is `sendrecv`): then no RTP is no fault.
    SetHold {
        /// The session.
        session: MediaSessionId,
        /// On hold or not.
        held: bool,
    },
    /// A peer has pressed a key by signalling: it is pressed in the RTP that comes from it, as a telephone
    /// event. It is not where the other side does not take events, where no packets come, or too many
    /// keys wait.
    Press {
        /// The session.
        session: MediaSessionId,
        /// Which stream, counted from 0.
        stream: u8,
        /// Whose packets it goes with.
        side: Side,
        /// What, for how long.
        press: Press,
    },
    /// Close every port and forget the session. Always answered by `Closed`, the ports being free.
    Close {
        /// The session.
        session: MediaSessionId,
    },
}

/// The errno of a port that another program holds (`EADDRINUSE` of Linux): another pair may do
/// better. With any other errno no other pair would.
pub const ADDRESS_IN_USE: i32 = 98;

/// What the relay tells the engine.
#[derive(Clone, PartialEq, Debug)]
pub enum MediaEvent {
    /// All ports of an `Open` are bound.
    Opened {
        /// The session.
        session: MediaSessionId,
        /// As in the `Open`.
        first_stream: u8,
    },
    /// None of an `Open`'s ports stays bound, for this one could not be.
    OpenFailed {
        /// The session.
        session: MediaSessionId,
        /// As in the `Open`.
        first_stream: u8,
        /// The address that failed.
        address: SocketAddr,
        /// The operating system's reason (errno).
        errno: i32,
    },
    /// No RTP (or fax) came on any stream for `media.timeout` (a fax: for longer) though the call is not on hold and both sides
    /// of a stream are known. Told again each time that another `media.timeout` passes in silence,
    /// so whoever lets it pass (the call still rings) hears of it again.
    Silent {
        /// The session.
        session: MediaSessionId,
    },
    /// A peer has pressed a key that is not to cross as an event (`EventRule::Tell`). Each is told
    /// once, when it is let go; more than any hand could press are not told.
    Key {
        /// The session.
        session: MediaSessionId,
        /// Whose peer.
        side: Side,
        /// What, for how long.
        press: Press,
    },
    /// The session is gone and its ports are free.
    Closed {
        /// The session.
        session: MediaSessionId,
        /// What was measured.
        report: MediaReport,
    },
}

/// What the relay measured of a session.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct MediaReport {
    /// What came from the caller's side, over all streams.
    pub from_a: DirectionReport,
    /// What came from the callee's side, over all streams.
    pub from_b: DirectionReport,
}

/// One direction of a session.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct DirectionReport {
    /// RTP packets and fax datagrams forwarded.
    pub packets: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// RTP packets that the sequence numbers say were lost on the way to us (RFC 3550 §6.4.1).
    pub lost: u64,
    /// Packets dropped here, whatever the reason.
    pub dropped: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), in milliseconds.
    pub jitter_ms: f64,
    /// Estimated mean opinion score (ITU-T G.107), 1.0–4.5; `None` where nothing came.
    pub mos: Option<f64>,
    /// When the first RTP packet came.
    pub first_packet: Option<Instant>,
}

/// What the relay shall do, filled by `config`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// First (even) and last (odd) port that may be used.
    pub ports: (u16, u16),
    /// No RTP on any stream of a call that is not on hold for this long: the call ends.
    pub timeout: Duration,
    /// The addresses of each realm.
    pub realms: crate::base::ByRealm<RealmMedia>,
}

/// A realm's media addresses: at most one IPv4 and one IPv6 address, with what SDP says of each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RealmMedia {
    /// What is bound and what is advertised for it.
    pub addresses: Vec<MediaAddress>,
}

/// One media address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaAddress {
    /// What the sockets bind.
    pub bind: IpAddr,
    /// What SDP says (`media_advertise`, by default the same).
    pub advertise: IpAddr,
}

impl RealmMedia {
    /// The realm's address of the family wanted.
    pub fn of_family(&self, ipv6: bool) -> Option<MediaAddress> {
        self.addresses.iter().copied().find(|address| address.bind.is_ipv6() == ipv6)
    }
}
