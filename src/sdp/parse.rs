//! Reading: one pass over the lines, then one over each stream's.

use std::net::IpAddr;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::limits::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_FORMATS, MAX_LINES, MAX_MEDIAS, MAX_SDP_BYTES};
use super::media::{Direction, Format, Media, MediaKind, Name, Rtcp, static_codec};
use super::{Line, OriginSpans, Sdp, SdpFault};

pub(super) fn parse(body: &Bytes) -> Result<Sdp, SdpFault> {
    let reader = Reader { bytes: body, lines: index_lines(body)?, addresses: SmallVec::new() };
    reader.read()
}

/// What is known while reading.
struct Reader<'a> {
    bytes: &'a Bytes,
    lines: SmallVec<[Line; 32]>,
    addresses: SmallVec<[Range<usize>; 4]>,
}

/// What holds for every stream that does not say otherwise.
#[derive(Clone, Copy)]
struct Common {
    direction: Direction,
    connection: Option<IpAddr>,
    ice: bool,
    fingerprint: bool,
}

/// The lines, blank ones left out.
fn index_lines(bytes: &[u8]) -> Result<SmallVec<[Line; 32]>, SdpFault> {
    if bytes.len() > MAX_SDP_BYTES {
        return Err(SdpFault::TooLong);
    }
    let mut lines = SmallVec::new();
    let (mut at, mut number) = (0, 0u16);
    while at < bytes.len() {
        let line_feed = memchr::memchr(b'\n', &bytes[at..]).map(|found| at + found);
        let end = line_feed.unwrap_or(bytes.len());
        let carriage = usize::from(line_feed.is_some() && end > at && bytes[end - 1] == b'\r');
        let line = &bytes[at..end - carriage];
        number = number.saturating_add(1);
        if memchr::memchr2(b'\r', 0, line).is_some() {
            return Err(SdpFault::Character(number));
        }
        if !line.is_empty() {
            if !(line[0].is_ascii_lowercase() && line.get(1) == Some(&b'=')) {
                return Err(SdpFault::Line(number));
            }
            if lines.len() == MAX_LINES {
                return Err(SdpFault::TooManyLines);
            }
            lines.push(Line {
                kind: line[0],
                value_start: (at + 2) as u16,
                value_end: (end - carriage) as u16,
                end_bytes: (carriage + usize::from(line_feed.is_some())) as u8,
                number,
            });
        }
        at = end + 1;
    }
    Ok(lines)
}

impl Reader<'_> {
    fn read(mut self) -> Result<Sdp, SdpFault> {
        let starts: SmallVec<[usize; MAX_MEDIAS]> =
            (0..self.lines.len()).filter(|at| self.lines[*at].kind == b'm').take(MAX_MEDIAS + 1).collect();
        if starts.len() > MAX_MEDIAS {
            return Err(SdpFault::TooManyMedias);
        }
        let session_end = starts.first().copied().unwrap_or(self.lines.len());
        let origin = self.read_origin(session_end)?;
        let (common, session_connection) = self.read_common(session_end)?;
        let mut medias = Vec::with_capacity(starts.len());
        for (at, start) in starts.iter().enumerate() {
            let end = starts.get(at + 1).copied().unwrap_or(self.lines.len());
            medias.push(self.read_media(*start..end, common)?);
        }
        let has_name = self.lines[..session_end].iter().any(|line| line.kind == b's');
        let Reader { bytes, lines, addresses } = self;
        Ok(Sdp { bytes: bytes.clone(), lines, medias, origin, has_name, session_connection, addresses })
    }

    /// v= comes first, v= and o= once, and before the streams.
    fn read_origin(&mut self, session_end: usize) -> Result<OriginSpans, SdpFault> {
        if self.lines.first().is_none_or(|line| line.kind != b'v' || trim(self.value(line)) != b"0") {
            return Err(SdpFault::Version);
        }
        let mut origin = None;
        for at in 1..self.lines.len() {
            let line = self.lines[at];
            match line.kind {
                b'v' => return Err(SdpFault::Misplaced(line.number)),
                b'o' if at > session_end || origin.is_some() => {
                    return Err(SdpFault::Misplaced(line.number));
                }
                b'o' => origin = Some(self.read_origin_line(line)?),
                _ => {}
            }
        }
        origin.ok_or(SdpFault::MissingOrigin)
    }

    /// `username sess-id sess-version IN IP4 address`, read from its end: some user names have
    /// blanks.
    fn read_origin_line(&mut self, line: Line) -> Result<OriginSpans, SdpFault> {
        let words = self.words(line);
        let [.., session_id, version, _, _, address] = &words[..] else {
            return Err(SdpFault::Origin(line.number));
        };
        let username = usize::from(line.value_start)..session_id.start;
        let username = username.start..username.start + trim(&self.bytes[username]).len();
        if username.is_empty() {
            return Err(SdpFault::Origin(line.number));
        }
        self.note_address(address.clone())?;
        Ok(OriginSpans {
            username,
            session_id: session_id.clone(),
            version: version.clone(),
            address: address.clone(),
        })
    }

    fn read_common(&mut self, session_end: usize) -> Result<(Common, bool), SdpFault> {
        let mut common =
            Common { direction: Direction::SendRecv, connection: None, ice: false, fingerprint: false };
        let mut connected = false;
        for at in 0..session_end {
            let line = self.lines[at];
            match line.kind {
                b'c' => {
                    let address = self.read_connection(line)?;
                    if !connected {
                        common.connection = address;
                    }
                    connected = true;
                }
                b'a' => {
                    let (name, _) = split_attribute(self.value(&line));
                    common.direction = Direction::from_attribute(name).unwrap_or(common.direction);
                    common.ice |= name.eq_ignore_ascii_case(b"ice-ufrag");
                    common.fingerprint |= name.eq_ignore_ascii_case(b"fingerprint");
                }
                _ => {}
            }
        }
        Ok((common, connected))
    }

    /// `IN IP4 address[/ttl[/count]]`; a host name gives no address.
    fn read_connection(&mut self, line: Line) -> Result<Option<IpAddr>, SdpFault> {
        let words = self.words(line);
        let [_, _, address] = &words[..] else { return Err(SdpFault::Connection(line.number)) };
        let text = &self.bytes[address.clone()];
        let length = memchr::memchr(b'/', text).unwrap_or(text.len());
        let address = address.start..address.start + length;
        if address.is_empty() {
            return Err(SdpFault::Connection(line.number));
        }
        self.note_address(address.clone())?;
        Ok(parse_address(&self.bytes[address]))
    }

    fn read_media(&mut self, lines: Range<usize>, common: Common) -> Result<Media, SdpFault> {
        let mut media = self.read_media_line(self.lines[lines.start], lines.clone(), common)?;
        let mut mapped: [Option<(Range<usize>, u32)>; 128] = [const { None }; 128];
        for at in lines.skip(1) {
            let line = self.lines[at];
            match line.kind {
                b'c' => {
                    let address = self.read_connection(line)?;
                    if !media.has_connection {
                        media.connection = address;
                    }
                    media.has_connection = true;
                }
                b'a' => self.read_attribute(line, &mut media, &mut mapped)?,
                _ => {}
            }
        }
        for format in &mut media.formats {
            let Some(payload_type) = format.payload_type else { continue };
            if let Some((name, clock_rate)) = &mapped[usize::from(payload_type)] {
                format.name = Name::Mapped(name.clone());
                format.clock_rate = *clock_rate;
            }
        }
        Ok(media)
    }

    fn read_attribute(
        &mut self,
        line: Line,
        media: &mut Media,
        mapped: &mut [Option<(Range<usize>, u32)>; 128],
    ) -> Result<(), SdpFault> {
        let (name, value) = split_attribute(self.value(&line));
        // "Attribute names are case-sensitive" (RFC 8866 §5.13), but what holds an address must not
        // cross because its sender thinks otherwise.
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name {
            b"rtpmap" => {
                let value_at = usize::from(line.value_end) - value.len();
                if let Some((payload_type, name, clock_rate)) = read_rtpmap(value) {
                    let name = value_at + name.start..value_at + name.end;
                    mapped[usize::from(payload_type)].get_or_insert((name, clock_rate));
                }
            }
            _ if is("rtcp") => media.rtcp = Some(self.read_rtcp(line)?),
            _ if is("rtcp-mux") => media.rtcp_mux = true,
            _ if is("ice-ufrag") => media.ice = true,
            _ if is("fingerprint") => media.fingerprint = true,
            _ if is("crypto") => media.crypto = true,
            name => media.direction = Direction::from_attribute(name).unwrap_or(media.direction),
        }
        Ok(())
    }

    /// `rtcp:port [IN IP4 address]`.
    fn read_rtcp(&mut self, line: Line) -> Result<Rtcp, SdpFault> {
        let (_, value) = split_attribute(self.value(&line));
        let words = self.words(Line { value_start: line.value_end - value.len() as u16, ..line });
        let port = words.first().and_then(|port| parse_number(&self.bytes[port.clone()]));
        let Some(port) = port else { return Err(SdpFault::Rtcp(line.number)) };
        match &words[1..] {
            [] => Ok(Rtcp { port, address: None }),
            [_, _, address] => {
                self.note_address(address.clone())?;
                Ok(Rtcp { port, address: parse_address(&self.bytes[address.clone()]) })
            }
            _ => Err(SdpFault::Rtcp(line.number)),
        }
    }

    /// `kind port[/count] proto format…`; a rejected stream may be without formats.
    fn read_media_line(&self, line: Line, lines: Range<usize>, common: Common) -> Result<Media, SdpFault> {
        let words = self.words(line);
        let [kind, port, proto, formats @ ..] = &words[..] else { return Err(SdpFault::Media(line.number)) };
        let port_text = &self.bytes[port.clone()];
        let digits = memchr::memchr(b'/', port_text).map_or(port_text, |slash| &port_text[..slash]);
        let port_number: u16 = parse_number(digits).ok_or(SdpFault::Media(line.number))?;
        if formats.is_empty() && port_number != 0 {
            return Err(SdpFault::Media(line.number));
        }
        if formats.len() > MAX_FORMATS {
            return Err(SdpFault::TooManyFormats);
        }
        let mut media = Media {
            kind: MediaKind::from_slice(&self.bytes[kind.clone()]),
            port: port_number,
            direction: common.direction,
            connection: common.connection,
            rtcp: None,
            rtcp_mux: false,
            ice: common.ice,
            fingerprint: common.fingerprint,
            crypto: false,
            bytes: self.bytes.clone(),
            kind_span: kind.clone(),
            port_span: port.clone(),
            proto: proto.clone(),
            formats: SmallVec::new(),
            lines,
            has_connection: false,
        };
        let is_rtp = media.is_rtp();
        media.formats.extend(formats.iter().map(|text| read_format(self.bytes, text, is_rtp)));
        Ok(media)
    }

    /// Remembers an address whose mention elsewhere shows the other side.
    fn note_address(&mut self, address: Range<usize>) -> Result<(), SdpFault> {
        let text = &self.bytes[address.clone()];
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(SdpFault::AddressTooLong);
        }
        let unspecified = parse_address(text).is_some_and(|address| address.is_unspecified());
        let known = self.addresses.iter().any(|known| self.bytes[known.clone()].eq_ignore_ascii_case(text));
        if unspecified || known {
            return Ok(());
        }
        if self.addresses.len() == MAX_ADDRESSES {
            return Err(SdpFault::TooManyAddresses);
        }
        self.addresses.push(address);
        Ok(())
    }

    fn value(&self, line: &Line) -> &[u8] {
        &self.bytes[usize::from(line.value_start)..usize::from(line.value_end)]
    }

    /// The words of a line's value; one more than a full m= line has is enough.
    fn words(&self, line: Line) -> SmallVec<[Range<usize>; 16]> {
        let base = usize::from(line.value_start);
        let value = self.value(&line);
        let mut words = SmallVec::new();
        let mut at = 0;
        while at < value.len() {
            let length = memchr::memchr2(b' ', b'\t', &value[at..]).unwrap_or(value.len() - at);
            if length > 0 {
                words.push(base + at..base + at + length);
            }
            at += length + 1;
        }
        words
    }
}

fn read_format(bytes: &[u8], text: &Range<usize>, is_rtp: bool) -> Format {
    let number = parse_number::<u8>(&bytes[text.clone()]).filter(|number| is_rtp && *number < 128);
    let known = number.and_then(static_codec);
    Format {
        text: text.clone(),
        payload_type: number,
        name: known.map_or(Name::Unknown, |(name, _)| Name::Static(name)),
        clock_rate: known.map_or(0, |(_, clock_rate)| clock_rate),
    }
}

/// `97 opus/48000/2`: the payload type, where the name is, and the clock rate.
fn read_rtpmap(value: &[u8]) -> Option<(u8, Range<usize>, u32)> {
    let text = trim(value);
    let leading = value.len() - value.trim_ascii_start().len();
    let blank = memchr::memchr2(b' ', b'\t', text)?;
    let payload_type = parse_number::<u8>(&text[..blank]).filter(|number| *number < 128)?;
    let rest = text[blank..].trim_ascii_start();
    let name_start = leading + text.len() - rest.len();
    let slash = memchr::memchr(b'/', rest)?;
    let name = &rest[..slash];
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let clock = &rest[slash + 1..];
    let clock = memchr::memchr(b'/', clock).map_or(clock, |channels| &clock[..channels]);
    Some((payload_type, name_start..name_start + slash, parse_number(trim(clock))?))
}

/// An attribute's name and what stands behind its colon.
pub(super) fn split_attribute(value: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', value) {
        Some(colon) => (&value[..colon], &value[colon + 1..]),
        None => (trim(value), b""),
    }
}

fn parse_address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A decimal number of digits only, that fits.
pub(super) fn parse_number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Without blanks at either end.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}
