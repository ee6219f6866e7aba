//! The message: its bytes as they came and an index of its parts.
//!
//! [`Message::parse`] finds the lines and nothing more. What is wrong but can be answered is kept
//! as the message's [`MessageFault`] (a 400 names it); what cannot even be answered is
//! [`Unparsable`]. Typed headers are parsed when they are asked for.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::header::NAMED;
use super::limits::{MAX_HEADERS, MAX_KEY_BYTES, MAX_MESSAGE_BYTES, MAX_URI_BYTES, MAX_VIA_VALUES};
use super::text::{is_closed, is_space, is_token, parse_number, split_list, token_length, trim};
use super::{Header, Method, NameAddr, Status, Uri, Via, multipart};

/// A SIP message (RFC 3261 §7), request or response.
#[derive(Clone)]
pub struct Message {
    raw: Bytes,
    start: StartLine,
    headers: SmallVec<[Span; 24]>,
    /// For each header, the place in `headers` of the first of its name ([`ABSENT`]: there is none).
    first: [u8; NAMED + 1],
    body: Range<u16>,
    fault: Option<MessageFault>,
}

const ABSENT: u8 = u8::MAX;
/// A place fits its byte.
const _: () = assert!(MAX_HEADERS <= ABSENT as usize);

/// The first line, as spans into the bytes.
#[derive(Clone)]
enum StartLine {
    Request { method: Method, uri: Range<u16> },
    Response { status: Status, reason: Range<u16> },
}

/// One header line: where its name and its value are.
#[derive(Clone, Copy)]
struct Span {
    header: Header,
    name_start: u16,
    name_end: u16,
    value_start: u16,
    value_end: u16,
}

/// A header as it stands in the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderField<'a> {
    /// Which header it is.
    pub header: Header,
    /// Its name as it was written.
    pub name: &'a [u8],
    /// Its value without white space at the ends; folded lines keep their line breaks.
    pub value: &'a [u8],
}

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// The request's method.
    pub method: Method,
}

/// The value of RAck (RFC 3262 §7.2): which reliable provisional response a PRACK acknowledges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RAck {
    /// RSeq of the response.
    pub rseq: u32,
    /// CSeq of the response.
    pub cseq: CSeq,
}

/// What arrived is no SIP message that could be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unparsable;

/// What is wrong with a message that can still be answered. The text is the 400's reason phrase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageFault {
    /// Not `SIP/2.0`; answered by 505.
    Version,
    /// Blanks behind the version, where a reader that splits at blanks finds none.
    RequestLine,
    /// The Request-URI is none.
    RequestUri(&'static str),
    /// It is longer than [`MAX_URI_BYTES`]; answered by 414.
    RequestUriTooLong,
    /// A header line without a name that is a token, or without a colon.
    HeaderName,
    /// A CR or LF that does not end a line.
    BareLineBreak,
    /// A control character within a header.
    ControlCharacter,
    /// More than [`MAX_HEADERS`].
    TooManyHeaders,
    /// A header that must be there is not.
    Missing(Header),
    /// A header that may stand once only stands twice.
    Repeated(Header),
    /// A header that every message needs cannot be read.
    Invalid(Header),
    /// CSeq names another method than the start line.
    MethodMismatch,
    /// Less came than Content-Length says.
    Truncated,
}

impl fmt::Display for MessageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageFault::Version => f.write_str("SIP Version Not Supported"),
            MessageFault::RequestLine => f.write_str("Blanks After the SIP Version"),
            MessageFault::RequestUri(why) => write!(f, "Bad Request-URI: {why}"),
            MessageFault::RequestUriTooLong => f.write_str("Request-URI Too Long"),
            MessageFault::HeaderName => f.write_str("Bad Header Name"),
            MessageFault::BareLineBreak => f.write_str("CR or LF Inside a Line"),
            MessageFault::ControlCharacter => f.write_str("Control Character in a Header"),
            MessageFault::TooManyHeaders => f.write_str("Too Many Headers"),
            MessageFault::Missing(header) => write!(f, "Missing {} Header", header.as_str()),
            MessageFault::Repeated(header) => write!(f, "Repeated {} Header", header.as_str()),
            MessageFault::Invalid(header) => write!(f, "Bad {} Header", header.as_str()),
            MessageFault::MethodMismatch => f.write_str("CSeq Method Does Not Match"),
            MessageFault::Truncated => f.write_str("Content-Length Larger Than Message"),
        }
    }
}

impl Message {
    /// Reads one datagram, or one message that a stream's framing has cut out.
    ///
    /// Blank lines before the start line are skipped (RFC 3261 §7.5), bytes behind what
    /// Content-Length says are ignored (§18.3).
    pub fn parse(raw: Bytes) -> Result<Message, Unparsable> {
        let skipped = raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let raw = raw.slice(skipped..);
        if raw.len() > MAX_MESSAGE_BYTES {
            return Err(Unparsable);
        }
        let (line_end, after) = find_line_end(&raw, 0).ok_or(Unparsable)?;
        let (start, start_fault) = parse_start_line(&raw[..line_end])?;
        let body = after as u16..raw.len() as u16;
        let mut message = Message {
            raw,
            start,
            headers: SmallVec::new(),
            first: [ABSENT; NAMED + 1],
            body,
            fault: start_fault,
        };
        message.index_headers(after)?;
        message.check();
        Ok(message)
    }

    /// The bytes, all of them, as they came.
    pub fn as_bytes(&self) -> &Bytes {
        &self.raw
    }

    /// What is wrong with it, if anything is: no other part may be trusted then but what a
    /// response needs (Via, From, To, Call-ID, CSeq as they stand).
    pub fn fault(&self) -> Option<MessageFault> {
        self.fault
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// A request's method; `None` for a response (see [`Message::cseq`]).
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// A request's URI as it stands; empty for a response.
    pub fn request_uri_raw(&self) -> &[u8] {
        match &self.start {
            StartLine::Request { uri, .. } => &self.raw[range(uri)],
            StartLine::Response { .. } => b"",
        }
    }

    /// A response's status; `None` for a request.
    pub fn status(&self) -> Option<Status> {
        match self.start {
            StartLine::Response { status, .. } => Some(status),
            StartLine::Request { .. } => None,
        }
    }

    /// A response's reason phrase as it stands; empty for a request.
    pub fn reason(&self) -> &[u8] {
        match &self.start {
            StartLine::Response { reason, .. } => &self.raw[range(reason)],
            StartLine::Request { .. } => b"",
        }
    }

    /// Every header in order.
    pub fn fields(&self) -> impl Iterator<Item = HeaderField<'_>> {
        self.headers.iter().map(|span| self.field(*span))
    }

    /// The value of the first header of this name.
    pub fn header(&self, header: Header) -> Option<&[u8]> {
        let place = usize::from(self.first[header as usize]);
        self.headers.get(place).map(|span| self.field(*span).value)
    }

    /// The values of a list header, over all its lines (RFC 3261 §7.3.1).
    pub fn list(&self, header: Header) -> impl Iterator<Item = &[u8]> {
        let place = usize::from(self.first[header as usize]).min(self.headers.len());
        self.headers[place..].iter().filter(move |span| span.header == header).flat_map(|span| {
            split_list(&self.raw[usize::from(span.value_start)..usize::from(span.value_end)])
        })
    }

    /// Whether a list of tokens (Supported, Require, Allow, …) names this one.
    pub fn lists_token(&self, header: Header, token: &str) -> bool {
        self.list(header).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The body; empty if there is none.
    pub fn body(&self) -> Bytes {
        self.raw.slice(range(&self.body))
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Option<Via<'_>> {
        self.list(Header::Via).next().and_then(Via::parse)
    }

    /// From; there is one in every message without a fault.
    pub fn from(&self) -> Option<NameAddr<'_>> {
        self.header(Header::From).and_then(NameAddr::parse)
    }

    /// To; there is one in every message without a fault.
    pub fn to(&self) -> Option<NameAddr<'_>> {
        self.header(Header::To).and_then(NameAddr::parse)
    }

    /// Call-ID; empty only in a message with a fault.
    pub fn call_id(&self) -> &[u8] {
        self.header(Header::CallId).unwrap_or(b"")
    }

    /// CSeq; there is one in every message without a fault.
    pub fn cseq(&self) -> Option<CSeq> {
        let value = self.header(Header::CSeq)?;
        let blank = value.iter().position(|byte| is_space(*byte))?;
        let number: u32 = parse_number(&value[..blank])?;
        let method = trim(&value[blank..]);
        (number < 1 << 31 && is_token(method)).then(|| CSeq { number, method: Method::from_slice(method) })
    }

    /// RAck of a PRACK: `776656 1 INVITE`.
    pub fn rack(&self) -> Option<RAck> {
        let mut words =
            self.header(Header::RAck)?.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
        let (rseq, number, method) = (words.next()?, words.next()?, words.next()?);
        let cseq = CSeq { number: parse_number(number)?, method: Method::from_slice(method) };
        words.next().is_none().then_some(RAck { rseq: parse_number(rseq)?, cseq })
    }

    /// The first Contact.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        self.list(Header::Contact).next().and_then(NameAddr::parse)
    }

    /// A header that is a plain number (Max-Forwards, RSeq, Expires, …).
    pub fn number(&self, header: Header) -> Option<u32> {
        self.header(header).and_then(|value| {
            let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
            parse_number(&value[..end])
        })
    }

    /// Whether the body is of this type (RFC 3261 §20.15), whatever its parameters.
    pub fn has_body_type(&self, media_type: &str) -> bool {
        let Some(value) = self.header(Header::ContentType) else { return false };
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        !self.body.is_empty() && trim(&value[..end]).eq_ignore_ascii_case(media_type.as_bytes())
    }

    /// The session description: the body, or that part of a multipart body (RFC 5621 §3); `None` if
    /// there is none, or the body cannot be read ([`Message::parts`] says why).
    pub fn sdp(&self) -> Option<Bytes> {
        if self.has_body_type("application/sdp") {
            return Some(self.body());
        }
        self.parts().ok()?.into_iter().find(multipart::Part::is_sdp).map(|part| part.body)
    }

    /// Whether there is a session description.
    pub fn has_sdp(&self) -> bool {
        self.sdp().is_some()
    }

    /// The parts of a multipart body; none if the body is no such.
    pub fn parts(&self) -> Result<Vec<multipart::Part>, multipart::MultipartFault> {
        match self.header(Header::ContentType) {
            Some(value) if !self.body.is_empty() && multipart::is_multipart(value) => {
                multipart::parts(value, &self.body())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn field(&self, span: Span) -> HeaderField<'_> {
        HeaderField {
            header: span.header,
            name: &self.raw[usize::from(span.name_start)..usize::from(span.name_end)],
            value: &self.raw[usize::from(span.value_start)..usize::from(span.value_end)],
        }
    }

    /// Finds every header line from `at` on, and the body behind them.
    fn index_headers(&mut self, mut at: usize) -> Result<(), Unparsable> {
        loop {
            let (end, after) = find_field_end(&self.raw, at).ok_or(Unparsable)?;
            if end == at {
                self.body = after as u16..self.raw.len() as u16;
                return Ok(());
            }
            if self.headers.len() == MAX_HEADERS {
                // Without the rest the message cannot be trusted, and its body not be found.
                self.fault = Some(MessageFault::TooManyHeaders);
                self.body = self.raw.len() as u16..self.raw.len() as u16;
                return Ok(());
            }
            match index_field(&self.raw, at, end) {
                Ok(span) => self.push(span),
                Err(fault) => self.note(fault),
            }
            at = after;
        }
    }

    fn push(&mut self, span: Span) {
        let first = &mut self.first[span.header as usize];
        if *first == ABSENT {
            *first = self.headers.len() as u8;
        } else if span.header.is_single() {
            self.note(MessageFault::Repeated(span.header));
        }
        self.headers.push(span);
    }

    /// The first fault is the one that is told.
    fn note(&mut self, fault: MessageFault) {
        self.fault.get_or_insert(fault);
    }

    /// What every message must have (RFC 3261 §8.1.1), once, and readable.
    fn check(&mut self) {
        if let Some(fault) = self.find_fault() {
            self.note(fault);
        }
        if self.fault.is_none() {
            match self.content_length() {
                Ok(Some(length)) if length <= self.body.len() => {
                    self.body.end = self.body.start + length as u16;
                }
                Ok(None) => {}
                Ok(Some(_)) => self.note(MessageFault::Truncated),
                Err(()) => self.note(MessageFault::Invalid(Header::ContentLength)),
            }
        }
    }

    fn find_fault(&self) -> Option<MessageFault> {
        let mut via = self.list(Header::Via);
        let Some(top) = via.next() else { return Some(MessageFault::Missing(Header::Via)) };
        // Of the further ones no more is asked than that each is a value: `;` between two commas is
        // none (RFC 4475 §3.1.2.1), and whoever splits otherwise sends the response elsewhere.
        let is_value = |value: &[u8]| value.get(..3).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP"));
        let mut further = 0;
        let is_list = via.take(MAX_VIA_VALUES).all(|value| {
            further += 1;
            is_value(value)
        });
        let branch_fits = |via: &Via<'_>| {
            via.is_version_2()
                && via.branch().is_none_or(|branch| branch.len() <= MAX_KEY_BYTES)
                && is_closed(via.raw)
                && !via.params.repeats("branch")
        };
        if !is_list || further >= MAX_VIA_VALUES || !Via::parse(top).as_ref().is_some_and(branch_fits) {
            return Some(MessageFault::Invalid(Header::Via));
        }
        for header in [Header::From, Header::To] {
            if let Some(fault) = self.address_fault(header) {
                return Some(fault);
            }
        }
        match self.header(Header::CallId) {
            None => return Some(MessageFault::Missing(Header::CallId)),
            Some(id)
                if id.is_empty() || id.len() > MAX_KEY_BYTES || id.iter().any(|byte| is_space(*byte)) =>
            {
                return Some(MessageFault::Invalid(Header::CallId));
            }
            Some(_) => {}
        }
        self.cseq_fault().or_else(|| self.request_uri_fault())
    }

    fn address_fault(&self, header: Header) -> Option<MessageFault> {
        let Some(value) = self.header(header) else { return Some(MessageFault::Missing(header)) };
        let readable = NameAddr::parse(value).is_some_and(|address| {
            address.uri().is_ok()
                && is_closed(address.params.0)
                // An empty one is a tag to some, and none to those who would add theirs.
                && address.params.has("tag") == address.tag().is_some()
                && address.tag().is_none_or(|tag| tag.len() <= MAX_KEY_BYTES && is_token(tag))
                && !address.params.repeats("tag")
        });
        (!readable).then_some(MessageFault::Invalid(header))
    }

    fn cseq_fault(&self) -> Option<MessageFault> {
        if self.header(Header::CSeq).is_none() {
            return Some(MessageFault::Missing(Header::CSeq));
        }
        let Some(cseq) = self.cseq() else { return Some(MessageFault::Invalid(Header::CSeq)) };
        self.method().is_some_and(|method| *method != cseq.method).then_some(MessageFault::MethodMismatch)
    }

    fn request_uri_fault(&self) -> Option<MessageFault> {
        let StartLine::Request { uri, .. } = &self.start else { return None };
        if uri.len() > MAX_URI_BYTES {
            return Some(MessageFault::RequestUriTooLong);
        }
        match Uri::parse(self.request_uri_raw()) {
            Ok(_) => None,
            Err(super::UriFault::Scheme) => Some(MessageFault::RequestUri("bad scheme")),
            Err(super::UriFault::Character) => Some(MessageFault::RequestUri("illegal character")),
            Err(super::UriFault::Host) => Some(MessageFault::RequestUri("bad host")),
            Err(super::UriFault::Port) => Some(MessageFault::RequestUri("bad port")),
        }
    }

    /// Content-Length, of digits only and not larger than anything that could be: 2^32+32 is not 32.
    pub(super) fn content_length(&self) -> Result<Option<usize>, ()> {
        match self.header(Header::ContentLength) {
            None => Ok(None),
            Some(value) => parse_number(value).map(Some).ok_or(()),
        }
    }
}

impl fmt::Debug for Message {
    /// The start line alone: headers may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = memchr::memchr(b'\r', &self.raw).unwrap_or(self.raw.len());
        write!(f, "Message({})", String::from_utf8_lossy(&self.raw[..end]))
    }
}

fn range(span: &Range<u16>) -> Range<usize> {
    usize::from(span.start)..usize::from(span.end)
}

/// Reads the start line; a fault that can be answered (another version), or that makes a response
/// one to drop, comes beside it.
fn parse_start_line(line: &[u8]) -> Result<(StartLine, Option<MessageFault>), Unparsable> {
    if line.len() > 8 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        let start = parse_status_line(line)?;
        // What would be a line break to somebody else must not cross in a reason phrase.
        return Ok((start, check_bytes(line, false).err()));
    }
    let whole = line;
    let line = whole.trim_ascii_end();
    let method_end = memchr::memchr(b' ', line).ok_or(Unparsable)?;
    let version_start = memchr::memrchr(b' ', line).ok_or(Unparsable)? + 1;
    let (method, version) = (&line[..method_end], &line[version_start..]);
    if !is_token(method) || version_start <= method_end + 1 || !version.get(..4).is_some_and(is_sip) {
        return Err(Unparsable);
    }
    let uri = (method_end + 1) as u16..(version_start - 1) as u16;
    let fault = if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        Some(MessageFault::Version)
    } else {
        (line.len() != whole.len()).then_some(MessageFault::RequestLine)
    };
    Ok((StartLine::Request { method: Method::from_slice(method), uri }, fault))
}

fn is_sip(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"SIP/")
}

/// `SIP/2.0 486 Busy Here`; the phrase may be empty, or not be there with its blank.
fn parse_status_line(line: &[u8]) -> Result<StartLine, Unparsable> {
    let (version, rest) = line.split_at(7);
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Unparsable);
    }
    let [b' ', a, b, c, rest @ ..] = rest else { return Err(Unparsable) };
    if !(rest.is_empty() || rest[0] == b' ') {
        return Err(Unparsable);
    }
    let status = parse_number(&[*a, *b, *c]).and_then(Status::new).ok_or(Unparsable)?;
    let reason = (line.len() - rest.len() + usize::from(!rest.is_empty())) as u16..line.len() as u16;
    Ok(StartLine::Response { status, reason })
}

/// Where the line that begins at `from` ends, and where the next begins. Only CRLF ends a line.
fn find_line_end(raw: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += memchr::memchr(b'\r', &raw[at..])?;
        if raw.get(at + 1) == Some(&b'\n') {
            return Some((at, at + 2));
        }
        at += 1;
    }
}

/// The same for a header, which goes on where the next line begins with a blank (folding,
/// RFC 3261 §7.3.1). An empty line never goes on: what follows it is the body.
fn find_field_end(raw: &[u8], from: usize) -> Option<(usize, usize)> {
    let (mut end, mut after) = find_line_end(raw, from)?;
    while end > from && matches!(raw.get(after), Some(b' ' | b'\t')) {
        (end, after) = find_line_end(raw, after)?;
    }
    Some((end, after))
}

/// Name and value of the header between `start` and `end`.
fn index_field(raw: &[u8], start: usize, end: usize) -> Result<Span, MessageFault> {
    let line = &raw[start..end];
    let name = &line[..token_length(line)];
    let blanks = line[name.len()..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let colon = name.len() + blanks;
    if name.is_empty() || line.get(colon) != Some(&b':') {
        return Err(MessageFault::HeaderName);
    }
    let value = &line[colon + 1..];
    let header = Header::from_name(name);
    // Of Content-Length nothing but a number is taken later, and none may be overlooked: another
    // reader would find the end of the message elsewhere.
    if header != Header::ContentLength {
        check_bytes(value, matches!(header, Header::From | Header::To | Header::Contact))?;
    }
    let leading = value.iter().take_while(|byte| is_space(**byte)).count();
    let trimmed = trim(&value[leading..]);
    let value_start = end - value.len() + leading;
    Ok(Span {
        header,
        name_start: start as u16,
        name_end: (start + name.len()) as u16,
        value_start: value_start as u16,
        value_end: (value_start + trimmed.len()) as u16,
    })
}

/// No control characters but TAB; CR and LF only as CRLF before a blank (folding). In a display name
/// they may also stand behind a backslash, which RFC 3261 §25.1 lets escape anything but CR and LF
/// in a quoted string; elsewhere nobody has a use for them.
fn check_bytes(value: &[u8], has_display: bool) -> Result<(), MessageFault> {
    let suspicious = |byte: &u8| *byte < b' ' && *byte != b'\t' || *byte == 127;
    // Without an early exit the whole value is looked at in a few vector instructions; nearly all
    // values are clean.
    if !value.iter().fold(false, |found, byte| found | suspicious(byte)) {
        return Ok(());
    }
    let (mut rest, mut is_quoted) = (value, false);
    while let [byte, tail @ ..] = rest {
        rest = match rest {
            [b'\r', b'\n', b' ' | b'\t', after @ ..] => after,
            [b'\r' | b'\n', ..] => return Err(MessageFault::BareLineBreak),
            [b'\\', escaped, after @ ..] if is_quoted && !matches!(escaped, b'\r' | b'\n') => after,
            _ if suspicious(byte) => return Err(MessageFault::ControlCharacter),
            _ => {
                is_quoted ^= *byte == b'"' && has_display;
                tail
            }
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:+15551230000@sbc.example SIP/2.0\r\n\
        v: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport, SIP/2.0/UDP 192.0.2.2\r\n\
        Via : SIP/2.0/UDP 192.0.2.3\r\n\
        f: \"Al\" <sip:al@192.0.2.1>;tag=1\r\n\
        t: <sip:+15551230000@sbc.example>\r\n\
        i: abc@192.0.2.1\r\n\
        CSeq: 1  INVITE\r\n\
        Subject: one\r\n two\r\n\
        X-Odd:\r\n\
        l: 4\r\n\
        \r\n\
        bodytrailing";

    #[test]
    fn a_rack_is_three_words() {
        let rack =
            |value: &str| parse(&INVITE.replace("Subject: one\r\n two", &format!("RAck: {value}"))).rack();
        let cseq = CSeq { number: 1, method: Method::Invite };
        assert_eq!(rack("776656 1 INVITE"), Some(RAck { rseq: 776_656, cseq: cseq.clone() }));
        assert_eq!(rack("1\t 1  INVITE"), Some(RAck { rseq: 1, cseq }));
        for odd in ["", "1", "1 INVITE", "1 x INVITE", "4294967296 1 INVITE", "1 1 INVITE x", "-1 1 INVITE"] {
            assert_eq!(rack(odd), None, "{odd}");
        }
    }

    fn parse(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn parts_are_found_where_they_are() {
        let message = parse(&format!("\r\n\r\n{INVITE}"));
        assert_eq!(message.fault(), None);
        assert_eq!(message.method(), Some(&Method::Invite));
        assert_eq!(message.request_uri_raw(), b"sip:+15551230000@sbc.example");
        assert_eq!(message.list(Header::Via).count(), 3);
        assert_eq!(message.top_via().unwrap().branch(), Some(&b"z9hG4bKa"[..]));
        assert_eq!(message.from().unwrap().tag(), Some(&b"1"[..]));
        assert_eq!(message.to().unwrap().tag(), None);
        assert_eq!(message.call_id(), b"abc@192.0.2.1");
        assert_eq!(message.cseq(), Some(CSeq { number: 1, method: Method::Invite }));
        assert_eq!(message.header(Header::Subject), Some(&b"one\r\n two"[..]));
        let odd = message.fields().find(|field| field.name == b"X-Odd").unwrap();
        assert_eq!((odd.header, odd.value), (Header::Other, &b""[..]));
        assert_eq!(&message.body()[..], b"body");
    }

    #[test]
    fn a_response_may_have_any_phrase_or_none() {
        for (line, phrase) in
            [("SIP/2.0 180 Ring Ring", "Ring Ring"), ("SIP/2.0 180 ", ""), ("SIP/2.0 180", "")]
        {
            let text = INVITE.replacen("INVITE sip:+15551230000@sbc.example SIP/2.0", line, 1);
            let message = parse(&text);
            assert_eq!(message.status(), Some(Status::of(180)), "{line}");
            assert_eq!(message.reason(), phrase.as_bytes());
            assert_eq!(message.fault(), None);
        }
    }

    #[test]
    fn faults_are_named() {
        let cases = [
            ("sbc.example SIP/2.0", "sbc.example SIP/7.0", MessageFault::Version),
            ("INVITE sip:+", "INVITE sip: +", MessageFault::RequestUri("illegal character")),
            ("X-Odd:", "X Odd:", MessageFault::HeaderName),
            ("X-Odd:", "X-Odd\x01:", MessageFault::HeaderName),
            ("X-Odd:", "X-Odd", MessageFault::HeaderName),
            ("X-Odd:", "X-Odd: a\nX-Evil: b", MessageFault::BareLineBreak),
            ("X-Odd:", "X-Odd: a\rb", MessageFault::BareLineBreak),
            ("X-Odd:", "X-Odd: a\0b", MessageFault::ControlCharacter),
            ("X-Odd:", "X-Odd: \"\\\0\"", MessageFault::ControlCharacter),
            ("\"Al\"", "\"\0\"", MessageFault::ControlCharacter),
            ("\"Al\"", "\"\" \\\0", MessageFault::ControlCharacter),
            ("\"Al\"", "\"\\\\\0\"", MessageFault::ControlCharacter),
            ("\"Al\"", "\"\\\n\"", MessageFault::BareLineBreak),
            ("sbc.example SIP/2.0", "sbc.example SIP/2.0 ", MessageFault::RequestLine),
            (", SIP/2.0/UDP 192.0.2.2", ", ;, SIP/2.0/UDP 192.0.2.2", MessageFault::Invalid(Header::Via)),
            ("i: abc@192.0.2.1\r\n", "", MessageFault::Missing(Header::CallId)),
            ("X-Odd:", "To: <sip:x@y>", MessageFault::Repeated(Header::To)),
            ("X-Odd:", "Content-Length: 4", MessageFault::Repeated(Header::ContentLength)),
            ("t: <sip:+15551230000@sbc.example>", "t: <sip:+1", MessageFault::Invalid(Header::To)),
            ("1  INVITE", "1 OPTIONS", MessageFault::MethodMismatch),
            ("1  INVITE", "4294967297 INVITE", MessageFault::Invalid(Header::CSeq)),
            ("l: 4", "l: 999", MessageFault::Truncated),
            ("l: 4", "l: 4294967300", MessageFault::Truncated),
            ("l: 4", "l: -1", MessageFault::Invalid(Header::ContentLength)),
            ("l: 4", "l: 99999999999999999999999", MessageFault::Invalid(Header::ContentLength)),
        ];
        for (from, to, fault) in cases {
            let message = parse(&INVITE.replacen(from, to, 1));
            assert_eq!(message.fault(), Some(fault), "{from} -> {to}");
        }
    }

    #[test]
    fn a_quoted_display_name_may_escape_any_character() {
        let message = parse(&INVITE.replacen("\"Al\"", "\"A\\\0 \\\x07\\\" \\\x7f\"", 1));
        assert_eq!(message.fault(), None);
        assert_eq!(message.from().unwrap().tag(), Some(&b"1"[..]));
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        for text in [
            "",
            "\r\n\r\n",
            "hello\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "INVITE sip:a@b SIP/2.0\r\nVia: x\r\n",
            "INVITE sip:a@b SIP/2.0\n\n",
            "SIP/2.0 99 Low\r\n\r\n",
            "SIP/2.0 2000 High\r\n\r\n",
            "SIP/3.0 200 OK\r\n\r\n",
        ] {
            assert_eq!(
                Message::parse(Bytes::copy_from_slice(text.as_bytes())).err(),
                Some(Unparsable),
                "{text:?}"
            );
        }
    }
}
