//! One m= line and what belongs to it (RFC 8866 §5.14, RFC 3264 §5, RFC 3551 §6).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

/// What a stream carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaKind {
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `image`: fax by T.38
    Image,
    /// `text`: real-time text
    Text,
    /// `application`
    Application,
    /// `message`: MSRP
    Message,
    /// Anything else.
    Other,
}

/// Which way a stream flows, seen from who says it (RFC 3264 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Both ways; what holds where nothing is said.
    SendRecv,
    /// It sends only: the peer is on hold.
    SendOnly,
    /// It receives only.
    RecvOnly,
    /// Nothing flows.
    Inactive,
}

/// What a=rtcp says (RFC 3605).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rtcp {
    /// The port.
    pub port: u16,
    /// The address, if it is not that of c=.
    pub address: Option<IpAddr>,
}

/// One encoding that a stream offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Codec<'a> {
    /// The RTP payload type, below 128.
    pub payload_type: u8,
    /// The encoding name of a=rtpmap or of RFC 3551; names differ in case only by accident.
    pub name: &'a str,
    /// In Hz.
    pub clock_rate: u32,
}

/// One m= line with its attributes; what is said for all streams is counted in.
#[derive(Clone, Debug)]
pub struct Media {
    /// What it carries.
    pub kind: MediaKind,
    /// The port; 0 where the stream is rejected.
    pub port: u16,
    /// What the attributes say; see [`Media::sends`] and [`Media::receives`].
    pub direction: Direction,
    /// The address of its c= line or of the description's; `None` where there is none or a host
    /// name stands.
    pub connection: Option<IpAddr>,
    /// a=rtcp, if there is one.
    pub rtcp: Option<Rtcp>,
    /// a=rtcp-mux (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether it speaks ICE: then 0.0.0.0 is no hold, the candidates say the address.
    pub(super) ice: bool,
    /// a=fingerprint (RFC 8122), here or for all streams.
    pub(super) fingerprint: bool,
    /// a=crypto (RFC 4568).
    pub(super) crypto: bool,
    pub(super) bytes: Bytes,
    pub(super) kind_span: Range<usize>,
    pub(super) port_span: Range<usize>,
    pub(super) proto: Range<usize>,
    pub(super) formats: SmallVec<[Format; 12]>,
    /// Its lines: the m= line itself and those up to the next.
    pub(super) lines: Range<usize>,
    pub(super) has_connection: bool,
}

/// One format of the m= line.
#[derive(Clone, Debug)]
pub(super) struct Format {
    pub(super) text: Range<usize>,
    /// Under RTP, its number.
    pub(super) payload_type: Option<u8>,
    pub(super) name: Name,
    pub(super) clock_rate: u32,
}

/// Where a format's encoding name is found.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Mapped(Range<usize>),
    Static(&'static str),
    Unknown,
}

impl Media {
    /// Whether the stream is rejected or off (RFC 3264 §5.1: port 0).
    pub fn rejected(&self) -> bool {
        self.port == 0
    }

    /// The media type as it stands: `audio`, `image`, …
    pub(super) fn kind_text(&self) -> &[u8] {
        &self.bytes[self.kind_span.clone()]
    }

    /// The protocol as it stands: `RTP/AVP`, `udptl`, …
    pub fn proto(&self) -> &[u8] {
        &self.bytes[self.proto.clone()]
    }

    /// Whether it is RTP over UDP, plain or secured.
    pub fn is_rtp(&self) -> bool {
        const RTP: [&str; 6] =
            ["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"];
        RTP.iter().any(|name| self.proto().eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether its keys are agreed on in the media path (DTLS-SRTP, RFC 5763): by its protocol, or, as
    /// senders from before RFC 5764 wrote it, by a fingerprint and no key.
    pub fn is_keyed_by_dtls(&self) -> bool {
        let says_so = self.proto().get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"UDP/TLS/"));
        says_so || (self.is_secured_rtp() && self.fingerprint && !self.crypto)
    }

    /// Whether it is secured RTP (RFC 3711) over UDP, wherever its keys come from.
    pub fn is_secured_rtp(&self) -> bool {
        self.is_rtp() && [&b"SAVP"[..], b"SAVPF"].iter().any(|profile| self.has_profile(profile))
    }

    fn has_profile(&self, profile: &[u8]) -> bool {
        let last = self.proto().rsplit(|byte| *byte == b'/').next();
        last.is_some_and(|last| last.eq_ignore_ascii_case(profile))
    }

    /// Whether it is fax by T.38 over UDP.
    pub fn is_udptl(&self) -> bool {
        self.proto().eq_ignore_ascii_case(b"udptl")
    }

    /// Whether it may send.
    pub fn sends(&self) -> bool {
        matches!(self.direction, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether it wants to receive: 0.0.0.0 says no, too (RFC 3264 §8.4).
    pub fn receives(&self) -> bool {
        matches!(self.direction, Direction::SendRecv | Direction::RecvOnly) && !self.is_held_by_address()
    }

    /// Whether the connection address is 0.0.0.0 or `::`, the hold of RFC 2543.
    pub fn is_held_by_address(&self) -> bool {
        !self.ice && self.connection.is_some_and(|address| address.is_unspecified())
    }

    /// Where it wants RTP to be sent.
    pub fn rtp_address(&self) -> Option<SocketAddr> {
        self.connection.map(|address| SocketAddr::new(address, self.port))
    }

    /// Where it wants RTCP to be sent: to RTP's port if that is shared, else where a=rtcp says,
    /// else the port above (RFC 3550 §11).
    pub fn rtcp_address(&self) -> Option<SocketAddr> {
        if self.rtcp_mux { self.rtp_address() } else { self.separate_rtcp_address() }
    }

    /// Where it wants RTCP if that does not share RTP's port after all.
    pub fn separate_rtcp_address(&self) -> Option<SocketAddr> {
        let rtp = self.rtp_address()?;
        match self.rtcp {
            Some(rtcp) => Some(SocketAddr::new(rtcp.address.unwrap_or(rtp.ip()), rtcp.port)),
            None => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }

    /// The formats of the m= line as they stand.
    pub fn formats(&self) -> impl Iterator<Item = &[u8]> {
        self.formats.iter().map(|format| &self.bytes[format.text.clone()])
    }

    /// The encodings in the order of preference; payload types that nothing explains are left
    /// out. Empty for what is not RTP.
    pub fn codecs(&self) -> impl Iterator<Item = Codec<'_>> {
        self.formats.iter().filter_map(|format| {
            let name = self.name(format)?;
            Some(Codec { payload_type: format.payload_type?, name, clock_rate: format.clock_rate })
        })
    }

    pub(super) fn name(&self, format: &Format) -> Option<&str> {
        match &format.name {
            Name::Mapped(span) => std::str::from_utf8(&self.bytes[span.clone()]).ok(),
            Name::Static(name) => Some(name),
            Name::Unknown => None,
        }
    }
}

impl MediaKind {
    pub(super) fn from_slice(name: &[u8]) -> MediaKind {
        const KINDS: [(&str, MediaKind); 6] = [
            ("audio", MediaKind::Audio),
            ("video", MediaKind::Video),
            ("image", MediaKind::Image),
            ("text", MediaKind::Text),
            ("application", MediaKind::Application),
            ("message", MediaKind::Message),
        ];
        KINDS
            .iter()
            .find(|(text, _)| name.eq_ignore_ascii_case(text.as_bytes()))
            .map_or(MediaKind::Other, |(_, kind)| *kind)
    }
}

impl Direction {
    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    pub(super) fn from_attribute(name: &[u8]) -> Option<Direction> {
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
            .into_iter()
            .find(|direction| name.eq_ignore_ascii_case(direction.as_str().as_bytes()))
    }

    /// What an answer may say to an offer of this direction, if it says `answer` (RFC 3264 §6.1: to
    /// `sendonly` no more than `recvonly`, to `recvonly` no more than `sendonly`).
    pub(super) const fn answered(self, answer: Direction) -> Direction {
        let offer_sends = matches!(self, Direction::SendRecv | Direction::SendOnly);
        let offer_receives = matches!(self, Direction::SendRecv | Direction::RecvOnly);
        let sends = offer_receives && matches!(answer, Direction::SendRecv | Direction::SendOnly);
        let receives = offer_sends && matches!(answer, Direction::SendRecv | Direction::RecvOnly);
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// What stays of it if its sender cannot receive.
    pub(super) const fn without_receiving(self) -> Direction {
        match self {
            Direction::SendRecv | Direction::SendOnly => Direction::SendOnly,
            Direction::RecvOnly | Direction::Inactive => Direction::Inactive,
        }
    }
}

/// Names that go beside a codec and carry no call by themselves.
pub(super) fn is_auxiliary(name: &str) -> bool {
    const AUXILIARY: [&str; 8] =
        ["telephone-event", "tone", "CN", "red", "rtx", "ulpfec", "flexfec-03", "parityfec"];
    AUXILIARY.iter().any(|auxiliary| name.eq_ignore_ascii_case(auxiliary))
}

/// Encoding name and clock rate of a payload type that RFC 3551 §6 gives for good.
pub(super) const fn static_codec(payload_type: u8) -> Option<(&'static str, u32)> {
    Some(match payload_type {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        5 => ("DVI4", 8_000),
        6 => ("DVI4", 16_000),
        7 => ("LPC", 8_000),
        8 => ("PCMA", 8_000),
        9 => ("G722", 8_000),
        10 | 11 => ("L16", 44_100),
        12 => ("QCELP", 8_000),
        13 => ("CN", 8_000),
        14 => ("MPA", 90_000),
        15 => ("G728", 8_000),
        16 => ("DVI4", 11_025),
        17 => ("DVI4", 22_050),
        18 => ("G729", 8_000),
        25 => ("CelB", 90_000),
        26 => ("JPEG", 90_000),
        28 => ("nv", 90_000),
        31 => ("H261", 90_000),
        32 => ("MPV", 90_000),
        33 => ("MP2T", 90_000),
        34 => ("H263", 90_000),
        _ => return None,
    })
}
