//! Writing what the other side shall see: our origin, our addresses, our ports, and nothing that
//! tells of the side it came from.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;

use smallvec::SmallVec;

use super::media::{Direction, Format, Media, is_auxiliary};
use super::parse::split_attribute;
use super::shown::Shown;
use super::{Line, Sdp, StreamPlace};

/// What a description becomes.
#[derive(Clone, Debug)]
pub struct Rewrite<'a> {
    /// Our o= line.
    pub origin: OurOrigin,
    /// What becomes of each m= line, in order; one without an entry is rejected.
    pub streams: Vec<StreamRewrite>,
    /// Encoding names that may pass, in order of preference (`telephone-event` is one like any
    /// other, case does not matter); empty: all pass as they are.
    pub codecs: &'a [String],
    /// Of an answer: the places of the offer that its reader made, for no answer may say more than
    /// the offer lets it (RFC 3264 §6.1); empty: it is none.
    pub offer: &'a [StreamPlace],
}

/// The origin that stands for us on one leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OurOrigin {
    /// The same for the leg's life.
    pub session_id: u64,
    /// One more with every change (RFC 3264 §8).
    pub version: u64,
    /// The realm's advertised address.
    pub address: IpAddr,
}

/// What becomes of one m= line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamRewrite {
    /// It goes through the relay.
    Relay {
        /// Our advertised address towards the reader.
        address: IpAddr,
        /// Our RTP port, or that of whatever else the stream is.
        rtp_port: u16,
        /// Our RTCP port.
        rtcp_port: u16,
    },
    /// It is refused: port 0. The line stays, places count (RFC 3264 §6).
    Reject,
}

/// Why there is nothing to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RewriteFault {
    /// The codec filter leaves no stream with a codec: 488 Not Acceptable Here.
    NoCodec,
}

impl fmt::Display for RewriteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RewriteFault::NoCodec => f.write_str("no codec is allowed"),
        }
    }
}

/// Attributes that would show the other side, or a way to it around the relay: ICE (RFC 8839),
/// alternative addresses (RFC 6947, RFC 7006, RFC 4570 and what NAT helpers leave behind), MSRP's
/// way (RFC 4975), and the name of the software, as User-Agent has it. Keys (a=crypto,
/// a=fingerprint) cross: media is secured from end to end, or not at all.
const HIDDEN: [&str; 17] = [
    "candidate",
    "remote-candidates",
    "end-of-candidates",
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "ice-lite",
    "ice-mismatch",
    "ice-pacing",
    "alt",
    "altc",
    "ccap",
    "source-filter",
    "oldmediaip",
    "oldcip",
    "path",
    "tool",
];

/// What one m= line becomes: where it is received, and the formats that stay.
struct Stream<'a> {
    media: &'a Media,
    address: IpAddr,
    /// 0: rejected.
    port: u16,
    rtcp_port: u16,
    formats: Formats<'a>,
    direction: Option<Direction>,
    /// Whether a=rtcp-mux may stand there: an answer has it only where its offer has (RFC 5761 §5.1.1).
    may_multiplex: bool,
}

/// Which formats of an m= line stay.
enum Formats<'a> {
    /// All, as they stand.
    All,
    /// These, in this order.
    Listed(SmallVec<[&'a Format; 12]>),
}

pub(super) fn rewrite(sdp: &Sdp, rewrite: &Rewrite<'_>) -> Result<Vec<u8>, RewriteFault> {
    let streams = plan(sdp, rewrite)?;
    let session_address = streams
        .iter()
        .find(|stream| stream.port != 0)
        .map_or(rewrite.origin.address, |stream| stream.address);
    let mut out = Output { sdp, shown: Shown::of(sdp), bytes: Vec::with_capacity(sdp.bytes.len() + 128) };
    out.session_part(&rewrite.origin, session_address);
    for stream in &streams {
        let inherited = sdp.session_connection.then_some(session_address);
        out.stream_part(stream, inherited);
    }
    Ok(out.bytes)
}

/// Decides about each stream before a byte is written.
fn plan<'a>(sdp: &'a Sdp, rewrite: &Rewrite<'_>) -> Result<Vec<Stream<'a>>, RewriteFault> {
    let mut offers_codec = false;
    let mut streams = Vec::with_capacity(sdp.medias.len());
    let mut lost_codec = false;
    for (at, media) in sdp.medias.iter().enumerate() {
        let wanted = rewrite.streams.get(at).copied().unwrap_or(StreamRewrite::Reject);
        let (address, mut port, rtcp_port) = match wanted {
            StreamRewrite::Relay { address, rtp_port, rtcp_port } if !media.rejected() => {
                (address, rtp_port, rtcp_port)
            }
            StreamRewrite::Relay { address, .. } => (address, 0, 0),
            StreamRewrite::Reject => (rewrite.origin.address, 0, 0),
        };
        let mut formats = Formats::All;
        if port != 0 && media.is_rtp() && !rewrite.codecs.is_empty() {
            match filter(media, rewrite.codecs) {
                Some(listed) => formats = Formats::Listed(listed),
                None => {
                    port = 0;
                    lost_codec = true;
                }
            }
        }
        offers_codec |= port != 0;
        // With our address in c= the hold of RFC 2543 would be gone: the direction tells it.
        let held = media.is_held_by_address();
        let told = if held { media.direction.without_receiving() } else { media.direction };
        let told = rewrite.offer.get(at).map_or(told, |offer| offer.direction().answered(told));
        let direction = (port != 0 && told != media.direction).then_some(told);
        let may_multiplex = rewrite.offer.get(at).is_none_or(StreamPlace::multiplexes);
        streams.push(Stream { media, address, port, rtcp_port, formats, direction, may_multiplex });
    }
    if lost_codec && !offers_codec { Err(RewriteFault::NoCodec) } else { Ok(streams) }
}

/// The formats whose names are listed, in the list's order; `None` if none carries the call.
fn filter<'a>(media: &'a Media, codecs: &[String]) -> Option<SmallVec<[&'a Format; 12]>> {
    let mut listed: SmallVec<[&Format; 12]> = SmallVec::new();
    let mut carries = false;
    for wanted in codecs {
        for format in &media.formats {
            let Some(name) = media.name(format).filter(|name| name.eq_ignore_ascii_case(wanted)) else {
                continue;
            };
            // A name that is listed twice, or a payload type that is, stands once.
            if !listed.iter().any(|known| known.payload_type == format.payload_type) {
                carries |= !is_auxiliary(name);
                listed.push(format);
            }
        }
    }
    carries.then_some(listed)
}

struct Output<'a> {
    sdp: &'a Sdp,
    shown: Shown,
    bytes: Vec<u8>,
}

impl Output<'_> {
    fn session_part(&mut self, origin: &OurOrigin, address: IpAddr) {
        let end = self.sdp.medias.first().map_or(self.sdp.lines.len(), |media| media.lines.start);
        let mut connected = false;
        for line in &self.sdp.lines[..end] {
            match line.kind {
                b'o' => {
                    let OurOrigin { session_id, version, address } = origin;
                    let family = family(*address);
                    self.line(*line, format_args!("o=- {session_id} {version} IN {family} {address}"));
                    if !self.sdp.has_name {
                        self.line(*line, format_args!("s=-"));
                    }
                }
                b's' => self.line(*line, format_args!("s=-")),
                b'c' => {
                    if !connected {
                        self.connection(*line, address);
                    }
                    connected = true;
                }
                _ => self.other(*line),
            }
        }
    }

    fn stream_part(&mut self, stream: &Stream<'_>, inherited: Option<IpAddr>) {
        let lines = &self.sdp.lines[stream.media.lines.clone()];
        let first = lines[0];
        self.media_line(first, stream);
        // Without a c= of its own it would take the one of all, which may be another address.
        if !stream.media.has_connection && stream.port != 0 && inherited != Some(stream.address) {
            self.connection(first, stream.address);
        }
        let mut connected = false;
        for line in &lines[1..] {
            match line.kind {
                b'c' => {
                    if !connected {
                        self.connection(*line, stream.address);
                    }
                    connected = true;
                }
                b'a' => self.attribute(*line, stream),
                _ => self.other(*line),
            }
        }
        if let Some(direction) = stream.direction {
            self.line(first, format_args!("a={}", direction.as_str()));
        }
    }

    fn media_line(&mut self, line: Line, stream: &Stream<'_>) {
        let port = &stream.media.port_span;
        let bytes = &self.sdp.bytes;
        self.bytes.extend_from_slice(b"m=");
        self.bytes.extend_from_slice(&bytes[usize::from(line.value_start)..port.start]);
        let _ = write!(self.bytes, "{}", stream.port);
        match &stream.formats {
            Formats::All => self.bytes.extend_from_slice(&bytes[port.end..usize::from(line.value_end)]),
            Formats::Listed(formats) => {
                self.bytes.push(b' ');
                self.bytes.extend_from_slice(stream.media.proto());
                for format in formats {
                    self.bytes.push(b' ');
                    self.bytes.extend_from_slice(&self.sdp.bytes[format.text.clone()]);
                }
            }
        }
        self.end(line);
    }

    fn attribute(&mut self, line: Line, stream: &Stream<'_>) {
        let (name, value) = split_attribute(self.sdp.value(&line));
        match name {
            _ if name.eq_ignore_ascii_case(b"rtcp") && stream.port == 0 => {}
            _ if name.eq_ignore_ascii_case(b"rtcp-mux") && !stream.may_multiplex => {}
            _ if name.eq_ignore_ascii_case(b"rtcp") => {
                self.line(line, format_args!("a=rtcp:{}", stream.rtcp_port))
            }
            b"rtpmap" | b"fmtp" | b"rtcp-fb" if !stream.keeps(value) => {}
            name if stream.direction.is_some() && Direction::from_attribute(name).is_some() => {}
            _ => self.other(line),
        }
    }

    /// A line that stays as it is, unless it shows the other side.
    fn other(&mut self, line: Line) {
        let value = self.sdp.value(&line);
        let hidden = match line.kind {
            // Names, links and people of the other network; keys as RFC 8866 §5.12 has them no more.
            b'i' | b'u' | b'e' | b'p' | b'k' => true,
            // An encoding that is named like a host is still an encoding.
            b'a' if split_attribute(value).0 == b"rtpmap" => false,
            b'a' => is_hidden(value) || self.shown.attribute(value),
            b'v' | b't' | b'r' | b'z' | b'b' => false,
            _ => self.shown.line(value),
        };
        if hidden {
            let (name, _) = split_attribute(value);
            // Whatever the other side calls its host: this says which way the media goes.
            if let Some(direction) = Direction::from_attribute(name).filter(|_| line.kind == b'a') {
                self.line(line, format_args!("a={}", direction.as_str()));
            }
            return;
        }
        self.bytes.extend_from_slice(&[line.kind, b'=']);
        self.bytes.extend_from_slice(value);
        self.end(line);
    }

    fn connection(&mut self, line: Line, address: IpAddr) {
        self.line(line, format_args!("c=IN {} {address}", family(address)));
    }

    /// Writes a line of ours with the line end of the one that it stands for.
    fn line(&mut self, model: Line, text: fmt::Arguments<'_>) {
        // Writing to a Vec does not fail.
        let _ = self.bytes.write_fmt(text);
        self.end(model);
    }

    /// The line's own end; a last line without one gets CRLF, so that another can follow.
    fn end(&mut self, line: Line) {
        self.bytes.extend_from_slice(if line.end_bytes == 1 { b"\n" } else { b"\r\n" });
    }
}

impl Stream<'_> {
    /// Whether an attribute that begins with a payload type still has a format that it is about.
    fn keeps(&self, value: &[u8]) -> bool {
        let Formats::Listed(listed) = &self.formats else { return true };
        let value = value.trim_ascii_start();
        let word = &value[..word_end(value)];
        if word == b"*" {
            return true;
        }
        let Some(payload_type) = super::parse::parse_number::<u8>(word) else { return false };
        listed.iter().any(|format| format.payload_type == Some(payload_type))
    }
}

fn is_hidden(value: &[u8]) -> bool {
    let (name, rest) = split_attribute(value);
    if name.eq_ignore_ascii_case(b"ssrc") {
        return rest.windows(6).any(|window| window.eq_ignore_ascii_case(b"cname:"));
    }
    HIDDEN.iter().any(|hidden| name.eq_ignore_ascii_case(hidden.as_bytes()))
}

const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

fn word_end(text: &[u8]) -> usize {
    memchr::memchr2(b' ', b'\t', text).unwrap_or(text.len())
}
