//! Bodies of several parts (RFC 2046 §5.1, RFC 5621): reading them, and writing them anew.
//!
//! A multipart within a multipart is read too, its parts standing among the others: what counts
//! is what a part is, not how it was packed. Must not know: which parts may cross.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use bytes::Bytes;

use super::Params;
use super::limits::{MAX_BOUNDARY_BYTES, MAX_PART_HEADERS, MAX_PARTS, MAX_PARTS_DEPTH};
use super::text::trim;

/// One part that is no multipart itself, its header values without line breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Content-Type; `text/plain` where none is given (RFC 2046 §5.1).
    pub content_type: Vec<u8>,
    /// Content-Disposition.
    pub disposition: Option<Vec<u8>>,
    /// Content-ID, to which headers may point (`Geolocation: <cid:…>`).
    pub id: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, without which the part could not be read.
    pub transfer_encoding: Option<Vec<u8>>,
    /// What it holds, byte for byte.
    pub body: Bytes,
}

/// Why a body is no multipart. The text is the 400's reason phrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MultipartFault {
    /// No boundary, or one that is none (1–70 bytes, RFC 2046 §5.1.1).
    Boundary,
    /// There is no part, or no delimiter that ends the last one.
    Unclosed,
    /// A part's header that cannot be read, or stands twice.
    PartHeader,
    /// More than [`MAX_PARTS`].
    TooManyParts,
    /// Multiparts within each other more than [`MAX_PARTS_DEPTH`] deep.
    TooDeep,
}

impl MultipartFault {
    /// The reason phrase.
    pub const fn phrase(self) -> &'static str {
        match self {
            MultipartFault::Boundary => "Bad Multipart Boundary",
            MultipartFault::Unclosed => "Multipart Body Not Closed",
            MultipartFault::PartHeader => "Bad Header in Multipart Body",
            MultipartFault::TooManyParts => "Too Many Body Parts",
            MultipartFault::TooDeep => "Multipart Bodies Too Deep",
        }
    }
}

impl fmt::Display for MultipartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase())
    }
}

impl Part {
    /// The type without its parameters.
    pub fn media_type(&self) -> &[u8] {
        media_type(&self.content_type)
    }

    /// Whether it is the session description: of type `application/sdp`, meant for the session
    /// (not `early-session`, RFC 3959), and readable as it stands.
    pub fn is_sdp(&self) -> bool {
        let disposition = self.disposition.as_deref().map(media_type);
        let encoding = self.transfer_encoding.as_deref().map(trim);
        let plain = |coding: &[u8]| {
            ["binary", "8bit", "7bit"].iter().any(|known| coding.eq_ignore_ascii_case(known.as_bytes()))
        };
        self.media_type().eq_ignore_ascii_case(b"application/sdp")
            && disposition.is_none_or(|kind| kind.eq_ignore_ascii_case(b"session"))
            && encoding.is_none_or(plain)
            && !self.body.is_empty()
    }
}

/// A Content-Type, or Content-Disposition, without its parameters.
pub fn media_type(value: &[u8]) -> &[u8] {
    trim(&value[..memchr::memchr(b';', value).unwrap_or(value.len())])
}

/// Whether a Content-Type is that of a body of several parts.
pub fn is_multipart(content_type: &[u8]) -> bool {
    media_type(content_type).get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
}

/// What Content-Disposition says of a body that its reader does not understand (RFC 3261 §20.11):
/// `None` where it says nothing.
pub fn is_required(disposition: &[u8]) -> Option<bool> {
    let start = memchr::memchr(b';', disposition)?;
    let handling = Params(&disposition[start..]).value("handling")?;
    Some(!handling.eq_ignore_ascii_case(b"optional"))
}

/// The parts of a body of this type, in order, those of inner multiparts in their place.
pub fn parts(content_type: &[u8], body: &Bytes) -> Result<Vec<Part>, MultipartFault> {
    let mut parts = Vec::new();
    read(content_type, body, 1, &mut parts)?;
    Ok(parts)
}

fn read(
    content_type: &[u8],
    body: &Bytes,
    depth: usize,
    parts: &mut Vec<Part>,
) -> Result<(), MultipartFault> {
    if depth > MAX_PARTS_DEPTH {
        return Err(MultipartFault::TooDeep);
    }
    for span in spans(body, boundary(content_type)?)? {
        let part = read_part(&body.slice(span))?;
        if is_multipart(&part.content_type) {
            read(&part.content_type, &part.body, depth + 1, parts)?;
        } else if parts.len() == MAX_PARTS {
            return Err(MultipartFault::TooManyParts);
        } else {
            parts.push(part);
        }
    }
    Ok(())
}

/// The boundary parameter, unquoted.
fn boundary(content_type: &[u8]) -> Result<&[u8], MultipartFault> {
    let start = memchr::memchr(b';', content_type).ok_or(MultipartFault::Boundary)?;
    let value = Params(&content_type[start..]).value("boundary").ok_or(MultipartFault::Boundary)?;
    let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    let is_boundary_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    let fits = (1..=MAX_BOUNDARY_BYTES).contains(&unquoted.len())
        && unquoted.iter().all(is_boundary_byte)
        && unquoted.last() != Some(&b' ');
    if fits { Ok(unquoted) } else { Err(MultipartFault::Boundary) }
}

/// Where the parts are, their headers with them. Every byte is searched once.
fn spans(body: &[u8], boundary: &[u8]) -> Result<Vec<Range<usize>>, MultipartFault> {
    let dashes = [b"--", boundary].concat();
    let finder = memchr::memmem::Finder::new(&dashes);
    let mut spans = Vec::new();
    let (mut at, mut opened) = (0, None);
    while let Some(found) = finder.find(&body[at..]).map(|found| at + found) {
        at = found + dashes.len();
        let begins_line = found == 0 || body[found - 1] == b'\n';
        let Some(end) = Delimiter::read(&body[at..]).filter(|_| begins_line) else { continue };
        if let Some(start) = opened {
            // "The CRLF preceding the boundary delimiter line is conceptually attached to the
            // boundary" (RFC 2046 §5.1.1).
            let before = &body[..found];
            let content = before.strip_suffix(b"\n").unwrap_or(before);
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            spans.push(start..content.len().max(start));
        }
        match end {
            Delimiter::Closes if spans.is_empty() => return Err(MultipartFault::Unclosed),
            Delimiter::Closes => return Ok(spans),
            Delimiter::Opens(length) => {
                if spans.len() == MAX_PARTS {
                    return Err(MultipartFault::TooManyParts);
                }
                at += length;
                opened = Some(at);
            }
        }
    }
    Err(MultipartFault::Unclosed)
}

/// What stands behind a boundary.
enum Delimiter {
    /// A part begins behind so many bytes.
    Opens(usize),
    /// It was the last part.
    Closes,
}

impl Delimiter {
    /// `None`: the boundary only begins like ours, or the line does not end.
    fn read(behind: &[u8]) -> Option<Delimiter> {
        if behind.starts_with(b"--") {
            return Some(Delimiter::Closes);
        }
        let padding = behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match &behind[padding..] {
            [b'\r', b'\n', ..] => Some(Delimiter::Opens(padding + 2)),
            [b'\n', ..] => Some(Delimiter::Opens(padding + 1)),
            _ => None,
        }
    }
}

/// The headers of one part, then a blank line, then what it holds.
fn read_part(bytes: &Bytes) -> Result<Part, MultipartFault> {
    let mut part = Part {
        content_type: Vec::new(),
        disposition: None,
        id: None,
        transfer_encoding: None,
        body: Bytes::new(),
    };
    let mut at = 0;
    for _ in 0..=MAX_PART_HEADERS {
        let (line, next) = take_line(bytes, at);
        if line.is_empty() {
            part.body = bytes.slice(next..);
            if part.content_type.is_empty() {
                part.content_type = b"text/plain".to_vec();
            }
            return Ok(part);
        }
        let mut value = line.to_vec();
        at = next;
        // A line that begins with a blank goes on where the one before ended (RFC 2822 §2.2.3).
        while let Some(b' ' | b'\t') = bytes.get(at) {
            let (more, next) = take_line(bytes, at);
            value.extend_from_slice(more);
            at = next;
        }
        note_header(&mut part, &value)?;
    }
    Err(MultipartFault::PartHeader)
}

/// A line without its end, and where the next one begins.
fn take_line(bytes: &[u8], at: usize) -> (&[u8], usize) {
    let rest = &bytes[at.min(bytes.len())..];
    let (line, next) = match memchr::memchr(b'\n', rest) {
        Some(end) => (&rest[..end], at + end + 1),
        None => (rest, bytes.len()),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), next)
}

fn note_header(part: &mut Part, line: &[u8]) -> Result<(), MultipartFault> {
    let colon = memchr::memchr(b':', line).ok_or(MultipartFault::PartHeader)?;
    let (name, value) = (trim(&line[..colon]), trim(&line[colon + 1..]));
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(MultipartFault::PartHeader);
    }
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let repeated = if is("Content-Type") || is("c") {
        !std::mem::replace(&mut part.content_type, value.to_vec()).is_empty()
    } else if is("Content-Disposition") {
        part.disposition.replace(value.to_vec()).is_some()
    } else if is("Content-ID") {
        part.id.replace(value.to_vec()).is_some()
    } else if is("Content-Transfer-Encoding") {
        part.transfer_encoding.replace(value.to_vec()).is_some()
    } else {
        false
    };
    if repeated { Err(MultipartFault::PartHeader) } else { Ok(()) }
}

/// Writes `multipart/mixed`: the Content-Type and the body. The boundary is ours, and stands in no
/// part.
pub fn write(parts: &[Part]) -> (Vec<u8>, Vec<u8>) {
    let boundary = free_boundary(parts);
    let mut body = Vec::with_capacity(parts.iter().map(|part| part.body.len() + 256).sum());
    for part in parts {
        body.extend_from_slice(&[b"--", &boundary[..], b"\r\n"].concat());
        let headers = [
            ("Content-Type", Some(&part.content_type)),
            ("Content-Disposition", part.disposition.as_ref()),
            ("Content-ID", part.id.as_ref()),
            ("Content-Transfer-Encoding", part.transfer_encoding.as_ref()),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                body.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(&part.body);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(&[b"--", &boundary[..], b"--\r\n"].concat());
    ([b"multipart/mixed;boundary=", &boundary[..]].concat(), body)
}

/// A boundary drawn from the content, so that no content can be made that holds it.
fn free_boundary(parts: &[Part]) -> Vec<u8> {
    const TRIES: u8 = 16;
    let mut boundary = Vec::new();
    for number in 0..TRIES {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        parts.iter().for_each(|part| part.body.hash(&mut hasher));
        boundary = format!("part{:016x}", hasher.finish()).into_bytes();
        let finder = memchr::memmem::Finder::new(&boundary);
        if parts.iter().all(|part| finder.find(&part.body).is_none()) {
            break;
        }
    }
    boundary
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[u8] = b"multipart/mixed; boundary=\"unique 1\"";

    fn read_all(content_type: &[u8], body: &str) -> Result<Vec<Part>, MultipartFault> {
        parts(content_type, &Bytes::copy_from_slice(body.as_bytes()))
    }

    /// RFC 3204 §3.1 has a body like this; the ISUP part holds any bytes.
    #[test]
    fn parts_keep_their_bytes_and_their_headers() {
        let body = b"preamble, ignored\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b1\r\n\
            content-type: application/isup; version=nxv3;\r\n  base=etsi121\r\n\
            Content-Disposition: signal; handling=optional\r\nContent-ID: <a@b>\r\nX-Odd: y\r\n\r\n\
            \x01\x00\xff\r\n--b1x\r\n\r\n--b1--\r\nepilogue";
        let all = parts(b"multipart/mixed;boundary=b1", &Bytes::from_static(body)).unwrap();
        let [sdp, isup] = &all[..] else { panic!("{all:?}") };
        assert!(sdp.is_sdp() && !isup.is_sdp());
        assert_eq!(&sdp.body[..], b"v=0\r\n");
        assert_eq!(isup.content_type, b"application/isup; version=nxv3;  base=etsi121");
        assert_eq!(isup.media_type(), b"application/isup");
        assert_eq!(isup.id.as_deref(), Some(&b"<a@b>"[..]));
        assert_eq!(isup.disposition.as_deref().and_then(is_required), Some(false));
        assert_eq!(&isup.body[..], b"\x01\x00\xff\r\n--b1x\r\n");
    }

    #[test]
    fn inner_multiparts_are_read_and_too_deep_ones_refused() {
        let inner = "--i\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--i--\r\n";
        let body = format!(
            "--unique 1\r\nContent-Type: multipart/alternative;boundary=i\r\n\r\n{inner}\r\n\
             --unique 1 \n\nplain\n--unique 1--"
        );
        let all = read_all(MIXED, &body).unwrap();
        assert_eq!(all.len(), 2);
        assert!(all[0].is_sdp());
        assert_eq!((&all[1].content_type[..], &all[1].body[..]), (&b"text/plain"[..], &b"plain"[..]));
        let deep = inner.replace("application/sdp", "multipart/mixed;boundary=j");
        let deep = body.replace(inner, &deep);
        assert_eq!(read_all(MIXED, &deep), Err(MultipartFault::TooDeep));
    }

    #[test]
    fn what_is_malformed_is_named() {
        let good = "--b\r\n\r\nx\r\n--b--\r\n";
        let of = |content_type: &str, body: &str| read_all(content_type.as_bytes(), body).unwrap_err();
        let long = format!("multipart/mixed;boundary={}", "b".repeat(71));
        for content_type in
            ["multipart/mixed", "multipart/mixed;boundary=", "multipart/mixed;boundary=\"b", &long]
        {
            assert_eq!(of(content_type, good), MultipartFault::Boundary, "{content_type}");
        }
        let mixed = "multipart/mixed;boundary=b";
        for body in
            ["", "--b--", "--b\r\n\r\nx", "--b\r\n\r\nx\r\n--b", "x--b\r\n\r\nx--b--", "--c\r\n\r\n--c--"]
        {
            assert_eq!(of(mixed, body), MultipartFault::Unclosed, "{body}");
        }
        for header in
            ["no colon", "Content-Type: a/b\r\nContent-Type: c/d", "Content-ID: \x01", &"X: y\r\n".repeat(40)]
        {
            let body = format!("--b\r\n{header}\r\n\r\nx\r\n--b--");
            assert_eq!(of(mixed, &body), MultipartFault::PartHeader, "{header}");
        }
        let many = format!("{}--b--", "--b\r\n\r\nx\r\n".repeat(MAX_PARTS + 1));
        assert_eq!(of(mixed, &many), MultipartFault::TooManyParts);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let body = "--b\r\nContent-Type: a/b\r\nContent-ID: <x>\r\n\r\n--part\r\n\r\n--b\r\n\r\n\r\n--b--";
        let all = read_all(b"multipart/related;boundary=b", body).unwrap();
        let (content_type, written) = write(&all);
        assert_eq!(parts(&content_type, &Bytes::from(written)).unwrap(), all);
    }

    #[test]
    fn an_early_session_or_an_encoded_description_is_not_the_offer() {
        let sdp = |extra: &str| {
            let body = format!("--b\r\nContent-Type: Application/SDP\r\n{extra}\r\nv=0\r\n--b--");
            read_all(b"MULTIPART/mixed;Boundary=b", &body).unwrap()[0].is_sdp()
        };
        assert!(sdp("") && sdp("Content-Disposition: session; handling=required\r\n"));
        assert!(sdp("Content-Transfer-Encoding: 8bit\r\n"));
        assert!(!sdp("Content-Disposition: early-session\r\n"));
        assert!(!sdp("Content-Transfer-Encoding: base64\r\n"));
    }
}
