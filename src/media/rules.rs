//! What the engine and the relay say to each other: plain rules and plain reports. The relay is
//! told what to forward and from whom; it is never asked to run code of the call's.
//!
//! One **media session** is the relay's state of one call. It has streams (one for each m= line
//! that carries RTP or fax), each stream has two sides, each side one RTP/RTCP port pair of ours for the
//! dialog. What arrives at side A of a stream leaves from side B, and the reverse.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::flow::DropReason;
use super::live::LiveMedia;
use super::silence::{OneWay, SilenceLimits};
use crate::base::{Dscp, Instant, Latch, Realm};
use crate::rtp::{Formats, PeerReports, Press};

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

impl StreamPorts {
    /// The pair that faces a side.
    pub const fn of(&self, side: Side) -> PortPair {
        match side {
            Side::A => self.a,
            Side::B => self.b,
        }
    }
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
    /// in the way NATs make it differ may be learned elsewhere: see the table in `flow.rs`.
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
    /// The call is answered: from now on each side is to be heard by the other.
    SetAnswered {
        /// The session.
        session: MediaSessionId,
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
    /// Say how it is. Answered by `Report`, or by nothing while the driver is behind.
    Report {
        /// The session.
        session: MediaSessionId,
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
    /// No RTP (or fax) came on any stream for `media.timeout` (a fax: for longer) though the call is not
    /// on hold and both sides of a stream are known. Told again each time that another `media.timeout`
    /// passes in silence, so whoever lets it pass (the call still rings) hears of it again.
    Silent {
        /// The session.
        session: MediaSessionId,
    },
    /// A fault of the relay has closed the session's ports, and nothing crosses any more. What was
    /// measured until then is still there for `Close`.
    Lost {
        /// The session.
        session: MediaSessionId,
    },
    /// No RTP came and no RTCP was passed on for `media.hold_timeout` while the call is on hold. Told
    /// again as `Silent` is.
    SilentOnHold {
        /// The session.
        session: MediaSessionId,
    },
    /// One side of a stream is not heard, though the call is answered and not on hold, and the other
    /// side speaks. Told when it is found, and each time that `media.one_way_timeout` passes.
    OneWay {
        /// The session.
        session: MediaSessionId,
        /// What is known of it.
        found: Box<OneWay>,
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
    /// A peer's RTCP that was taken, for a capture server; told only while somebody wants it, and lost
    /// rather than waited with.
    Rtcp {
        /// The session.
        session: MediaSessionId,
        /// What came.
        copy: Box<RtcpCopy>,
    },
    /// How a session is, for whoever asked.
    Report {
        /// The session.
        session: MediaSessionId,
        /// `None`: there is no such session (any more).
        live: Option<Box<LiveMedia>>,
    },
    /// The session is gone and its ports are free.
    Closed {
        /// The session.
        session: MediaSessionId,
        /// What was measured.
        report: Box<MediaReport>,
    },
}

/// A datagram of RTCP that a peer sent and that begins with a report, as it came. Never of SRTCP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RtcpCopy {
    /// When it came.
    pub at: Instant,
    /// From where.
    pub source: SocketAddr,
    /// To which port of ours.
    pub destination: SocketAddr,
    /// Its payload.
    pub bytes: Box<[u8]>,
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
    /// RTP packets that should have come to us, by their sequence numbers.
    pub expected: u64,
    /// Those of them that did not (RFC 3550 A.3), whatever came twice.
    pub lost: u64,
    /// Those that came after one that was sent later.
    pub reordered: u64,
    /// RTP packets that had come before.
    pub duplicates: u64,
    /// How often another SSRC began.
    pub ssrc_changes: u64,
    /// How often one SSRC began its sequence numbers anew.
    pub restarts: u64,
    /// By how much the sequence numbers differ at the last change of SSRC.
    pub sequence_step: Option<i16>,
    /// Packets dropped here, whatever the reason.
    pub dropped: u64,
    /// The same by reason, in the order of [`DropReason::ALL`].
    pub dropped_by: [u32; DropReason::ALL.len()],
    /// Interarrival jitter (RFC 3550 §6.4.1), its mean over the call, in milliseconds.
    pub jitter_ms: f64,
    /// The highest that it was, in milliseconds.
    pub jitter_max_ms: f64,
    /// Estimated mean opinion score (ITU-T G.107), 1.0–4.5; `None` where nothing came.
    pub mos: Option<f64>,
    /// When the first RTP packet or fax datagram came.
    pub first_packet: Option<Instant>,
    /// For how long nothing of this direction was heard while the other side spoke, where that was told.
    pub one_way: Duration,
    /// Whether that goes on, or went on to the end.
    pub is_silent: bool,
    /// What the peer that this direction goes to says of what it received; `None`: it said nothing.
    pub rtcp: Option<PeerReport>,
}

/// What a peer reported by RTCP of what it received, be it lost before us or behind us.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PeerReport {
    /// Packets that it did not get.
    pub lost: u64,
    /// The share of them, 0–1.
    pub loss: f64,
    /// Interarrival jitter as its last report has it, in milliseconds.
    pub jitter_ms: f64,
    /// From us to the peer and back, the mean over its reports, in milliseconds, where it can be told.
    pub round_trip_ms: Option<f64>,
    /// The share of packets that its jitter buffer threw away, 0–1 (RFC 3611 §4.7).
    pub discarded: Option<f64>,
    /// Its own opinion score of what is heard, 1.0–5.0 (RFC 3611 §4.7).
    pub mos: Option<f64>,
}

impl PeerReport {
    /// What was reported, if anything was.
    pub(super) fn of(reports: &PeerReports) -> Option<PeerReport> {
        let metrics = reports.voip_metrics();
        // Who sends no report blocks may still send a summary.
        let lost = reports.lost().max(reports.summaries().lost);
        (reports.reports() > 0 || metrics.is_some() || lost > 0).then(|| PeerReport {
            lost,
            loss: reports.loss_ratio(),
            jitter_ms: reports.jitter().as_secs_f64() * 1_000.0,
            round_trip_ms: reports.round_trip().map(|time| time.as_secs_f64() * 1_000.0),
            discarded: metrics.map(|metrics| f64::from(metrics.discard_rate) / 256.0),
            mos: metrics.and_then(|metrics| metrics.listening_score).map(|score| f64::from(score) / 10.0),
        })
    }

    /// Of two streams the one of which more was lost.
    pub(super) fn worse(one: Option<PeerReport>, other: Option<PeerReport>) -> Option<PeerReport> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if other.loss > one.loss { other } else { one }),
            (one, other) => one.or(other),
        }
    }
}

/// What the relay shall do, filled by `config`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// First (even) and last (odd) port that may be used.
    pub ports: (u16, u16),
    /// No RTP on any stream of a call that is not on hold for this long: the call ends.
    pub timeout: Duration,
    /// One side not heard for this long while the other speaks: the call ends. Zero: it does not.
    pub one_way_timeout: Duration,
    /// Neither RTP nor RTCP for this long on hold: the call ends. Zero: it does not.
    pub hold_timeout: Duration,
    /// The addresses of each realm.
    pub realms: crate::base::ByRealm<RealmMedia>,
}

impl Settings {
    /// What the relay tells of silence.
    pub fn silence(&self) -> SilenceLimits {
        SilenceLimits {
            nothing: self.timeout,
            one_way: SilenceLimits::ONE_WAY,
            one_way_end: self.one_way_timeout,
            hold: self.hold_timeout,
        }
    }
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
