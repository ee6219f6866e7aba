//! Writing what the other side shall see: our origin, our addresses, our ports, and nothing that
//! tells of the side it came from.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use smallvec::SmallVec;

use super::media::{Direction, Format, Media, is_auxiliary};
use super::parse::split_attribute;
use super::{Line, Sdp};

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

/// Whether an address of anybody's stands in an attribute (`path:msrp://10.0.0.1:…`). Format
/// parameters and keys hold none, but their numbers may look like one.
fn holds_ipv4(value: &[u8]) -> bool {
    if [&b"fmtp"[..], b"crypto"].contains(&split_attribute(value).0) {
        return false;
    }
    let mut words = value.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'.'));
    words.any(|word| std::str::from_utf8(word).is_ok_and(|word| word.parse::<Ipv4Addr>().is_ok()))
}

/// Attributes that would show the other side, or a way to it around the relay: ICE (RFC 8839),
/// alternative addresses (RFC 6947, RFC 7006, RFC 4570 and what NAT helpers leave behind), and the
/// name of the software, as User-Agent has it.
const HIDDEN: [&str; 16] = [
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
    let mut out = Output { sdp, needles: needles(sdp), bytes: Vec::with_capacity(sdp.bytes.len() + 128) };
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
        let told = media.direction.without_receiving();
        let direction = (media.is_held_by_address() && told != media.direction).then_some(told);
        streams.push(Stream { media, address, port, rtcp_port, formats, direction });
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

/// What betrays the other side: its addresses as they stand, and as they are usually written.
fn needles(sdp: &Sdp) -> Vec<Vec<u8>> {
    let mut needles: Vec<Vec<u8>> = Vec::with_capacity(sdp.addresses.len() + 1);
    for span in &sdp.addresses {
        let text = &sdp.bytes[span.clone()];
        // Only what can be a host is looked for: "0" would be found in every fmtp.
        let host = |byte: &u8| byte.is_ascii_alphanumeric() || b".:-_".contains(byte);
        let named = |byte: &u8| byte.is_ascii_alphabetic() || b".:".contains(byte);
        if !text.iter().all(host) || !text.iter().any(named) {
            continue;
        }
        needles.push(text.to_vec());
        let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok());
        if let Some(usual) = parsed.map(|address| address.to_string().into_bytes())
            && !usual.eq_ignore_ascii_case(text)
        {
            needles.push(usual);
        }
    }
    needles
}

struct Output<'a> {
    sdp: &'a Sdp,
    needles: Vec<Vec<u8>>,
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
            b"rtcp" if stream.port == 0 => {}
            b"rtcp" => self.line(line, format_args!("a=rtcp:{}", stream.rtcp_port)),
            b"rtpmap" | b"fmtp" | b"rtcp-fb" if !stream.keeps(value) => {}
            name if stream.direction.is_some() && Direction::from_attribute(name).is_some() => {}
            _ => self.other(line),
        }
    }

    /// A line that stays as it is, unless it shows the other side.
    fn other(&mut self, line: Line) {
        let value = self.sdp.value(&line);
        let hidden = match line.kind {
            b'i' | b'u' | b'e' | b'p' => true,
            // An encoding that is named like a host is still an encoding.
            b'a' if split_attribute(value).0 == b"rtpmap" => false,
            b'a' => is_hidden(value) || self.shows_address(value) || holds_ipv4(value),
            b'v' | b't' | b'r' | b'z' | b'b' => false,
            _ => self.shows_address(value),
        };
        if hidden {
            return;
        }
        self.bytes.extend_from_slice(&[line.kind, b'=']);
        self.bytes.extend_from_slice(value);
        self.end(line);
    }

    fn shows_address(&self, value: &[u8]) -> bool {
        self.needles.iter().any(|needle| mentions(value, needle))
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

/// Whether `text` holds `needle` as an address or a name of its own: 10.0.0.1 is not in 10.0.0.11.
fn mentions(text: &[u8], needle: &[u8]) -> bool {
    let part = |byte: &u8| byte.is_ascii_alphanumeric();
    let inside = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let behind = text.get(at + needle.len());
        before.is_none_or(|byte| !part(byte)) && behind.is_none_or(|byte| !part(byte))
    };
    text.windows(needle.len())
        .enumerate()
        .any(|(at, window)| window.eq_ignore_ascii_case(needle) && inside(at))
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
