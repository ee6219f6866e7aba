//! Session descriptions (RFC 8866, RFC 4566) as offers and answers carry them (RFC 3264): read
//! what the relay must know, and rewrite what would show or reach the other side.
//!
//! [`Sdp`] holds the bytes as they came and an index of their lines. [`Sdp::rewrite`] replaces or
//! removes lines; what it does not touch stays byte for byte and in its place, also what nobody
//! here has heard of. Must not know: SIP, calls, the relay.

mod events;
pub mod limits;
mod media;
mod parse;
mod places;
mod rewrite;
mod shown;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

pub use media::{Codec, Direction, Media, MediaKind, Rtcp};
pub use places::StreamPlace;
pub use rewrite::{OurOrigin, Rewrite, RewriteFault, StreamRewrite};

/// A session description: its bytes and where things are in them.
#[derive(Clone, Debug)]
pub struct Sdp {
    bytes: Bytes,
    lines: SmallVec<[Line; 32]>,
    medias: Vec<Media>,
    origin: OriginSpans,
    has_name: bool,
    session_connection: bool,
    addresses: SmallVec<[Range<usize>; 4]>,
}

/// One line of the description, `kind=value`.
#[derive(Clone, Copy, Debug)]
struct Line {
    kind: u8,
    value_start: u16,
    value_end: u16,
    /// What ends it: 2 for CRLF, 1 for LF, 0 for the end of the body.
    end_bytes: u8,
    /// Counted from 1, blank ones too.
    number: u16,
}

#[derive(Clone, Debug)]
struct OriginSpans {
    username: Range<usize>,
    session_id: Range<usize>,
    version: Range<usize>,
    address: Range<usize>,
}

/// The o= line (RFC 8866 §5.2), as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// Who made it; `-` if that is not told.
    pub username: &'a [u8],
    /// Digits, with the other fields unique in the world.
    pub session_id: &'a [u8],
    /// Digits; one more whenever the description changes (RFC 3264 §8).
    pub version: &'a [u8],
    /// An address or a host name.
    pub address: &'a [u8],
}

/// Why a body is no session description; lines are counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SdpFault {
    /// Longer than [`limits::MAX_SDP_BYTES`].
    TooLong,
    /// More than [`limits::MAX_LINES`].
    TooManyLines,
    /// More m= lines than [`limits::MAX_MEDIAS`].
    TooManyMedias,
    /// More formats in one m= line than [`limits::MAX_FORMATS`].
    TooManyFormats,
    /// More different addresses than [`limits::MAX_ADDRESSES`].
    TooManyAddresses,
    /// An address longer than [`limits::MAX_ADDRESS_BYTES`].
    AddressTooLong,
    /// A line that is not `letter=value`.
    Line(u16),
    /// A CR within a line or a NUL: other readers could see more lines than we do.
    Character(u16),
    /// The version is not 0, or does not come first.
    Version,
    /// No o= line.
    MissingOrigin,
    /// A line that stands once only stands twice, or not where it belongs.
    Misplaced(u16),
    /// An o= line that cannot be read.
    Origin(u16),
    /// A c= line that cannot be read.
    Connection(u16),
    /// An m= line that cannot be read.
    Media(u16),
    /// An a=rtcp line that cannot be read.
    Rtcp(u16),
}

impl fmt::Display for SdpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SdpFault::TooLong => f.write_str("SDP too long"),
            SdpFault::TooManyLines => f.write_str("too many SDP lines"),
            SdpFault::TooManyMedias => f.write_str("too many SDP media"),
            SdpFault::TooManyFormats => f.write_str("too many SDP formats"),
            SdpFault::TooManyAddresses => f.write_str("too many SDP addresses"),
            SdpFault::AddressTooLong => f.write_str("SDP address too long"),
            SdpFault::Line(line) => write!(f, "SDP line {line} is not type=value"),
            SdpFault::Character(line) => write!(f, "SDP line {line} holds a CR or NUL"),
            SdpFault::Version => f.write_str("SDP does not begin with v=0"),
            SdpFault::MissingOrigin => f.write_str("SDP without o="),
            SdpFault::Misplaced(line) => write!(f, "SDP line {line} is repeated or misplaced"),
            SdpFault::Origin(line) => write!(f, "SDP line {line} is no origin"),
            SdpFault::Connection(line) => write!(f, "SDP line {line} is no connection"),
            SdpFault::Media(line) => write!(f, "SDP line {line} is no media"),
            SdpFault::Rtcp(line) => write!(f, "SDP line {line} is no RTCP port"),
        }
    }
}

impl Sdp {
    /// Reads a body. Line ends may be LF alone, blank lines are skipped and session-level lines
    /// may come in any order, as real devices have it; everything is kept within
    /// [`limits`].
    pub fn parse(body: &Bytes) -> Result<Sdp, SdpFault> {
        parse::parse(body)
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Every m= line with what belongs to it, in order; rejected ones too (RFC 3264 §6: their
    /// places count).
    pub fn medias(&self) -> &[Media] {
        &self.medias
    }

    /// The o= line.
    pub fn origin(&self) -> Origin<'_> {
        Origin {
            username: &self.bytes[self.origin.username.clone()],
            session_id: &self.bytes[self.origin.session_id.clone()],
            version: &self.bytes[self.origin.version.clone()],
            address: &self.bytes[self.origin.address.clone()],
        }
    }

    /// Whether no stream flows in both directions (RFC 3264 §8.4): all are `sendonly`,
    /// `recvonly`, `inactive`, rejected, or have the connection address 0.0.0.0.
    pub fn is_hold(&self) -> bool {
        !self.medias.iter().any(|media| !media.rejected() && media.sends() && media.receives())
    }

    /// Of an answer: the name of the first codec that carries the call (telephone events and
    /// comfort noise are none), of the first stream that is not rejected.
    pub fn negotiated_codec(&self) -> Option<&str> {
        self.medias
            .iter()
            .filter(|media| !media.rejected())
            .flat_map(Media::codecs)
            .map(|codec| codec.name)
            .find(|name| !media::is_auxiliary(name))
    }

    /// Writes the description as the other side shall see it.
    pub fn rewrite(&self, rewrite: &Rewrite<'_>) -> Result<Vec<u8>, RewriteFault> {
        rewrite::rewrite(self, rewrite)
    }

    fn value(&self, line: &Line) -> &[u8] {
        &self.bytes[usize::from(line.value_start)..usize::from(line.value_end)]
    }
}
