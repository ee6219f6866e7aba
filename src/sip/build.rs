//! Writing messages: headers in the order in which they are given, long names, one body.

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;

use super::limits::MAX_WRITTEN_BYTES;
use super::{Header, Message, Method, Status};

/// The message would not fit a datagram; its sender is told 513.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageTooLarge;

/// A message in the making.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins a request.
    pub fn request(method: &Method, uri: &[u8]) -> Writer {
        let mut writer = Writer { bytes: Vec::with_capacity(1_024) };
        writer.bytes.extend_from_slice(method.as_bytes());
        writer.bytes.push(b' ');
        writer.text(uri);
        writer.bytes.extend_from_slice(b" SIP/2.0\r\n");
        writer
    }

    /// Begins a response with the code's own phrase, or with another.
    pub fn response(status: Status, phrase: Option<&[u8]>) -> Writer {
        let mut writer = Writer { bytes: Vec::with_capacity(1_024) };
        // Writing to a Vec does not fail.
        let _ = write!(writer.bytes, "SIP/2.0 {status} ");
        match phrase {
            Some(phrase) => writer.text(phrase),
            None => writer.text(status.phrase().as_bytes()),
        }
        writer.bytes.extend_from_slice(b"\r\n");
        writer
    }

    /// Adds a header.
    pub fn header(self, header: Header, value: impl AsRef<[u8]>) -> Writer {
        self.field(header.as_str().as_bytes(), value.as_ref())
    }

    /// Adds a header whose value is printed.
    pub fn display(self, header: Header, value: impl Display) -> Writer {
        let value = value.to_string();
        self.header(header, value)
    }

    /// Adds a header under any name, its value byte for byte.
    pub fn field(mut self, name: &[u8], value: &[u8]) -> Writer {
        self.text(name);
        self.bytes.extend_from_slice(b": ");
        self.text(value);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Adds the first header of this name of another message, as it stands there: what may stand once
    /// only is not repeated because somebody else did.
    fn copy_first(self, from: &Message, header: Header) -> Writer {
        match from.header(header) {
            Some(value) => self.header(header, value),
            None => self,
        }
    }

    /// Adds every value of a header of another message, as it stands there.
    pub fn copy(mut self, from: &Message, header: Header) -> Writer {
        for field in from.fields().filter(|field| field.header == header) {
            self = self.header(header, field.value);
        }
        self
    }

    /// Ends a message without a body.
    pub fn finish(self) -> Result<Message, MessageTooLarge> {
        self.header(Header::ContentLength, "0").end(b"")
    }

    /// Ends a message with a body of this type.
    pub fn finish_with(self, content_type: &[u8], body: &[u8]) -> Result<Message, MessageTooLarge> {
        self.header(Header::ContentType, content_type).display(Header::ContentLength, body.len()).end(body)
    }

    /// Ends a message with SDP, or without a body.
    pub fn finish_with_sdp(self, sdp: Option<&[u8]>) -> Result<Message, MessageTooLarge> {
        match sdp {
            Some(sdp) => self.finish_with(b"application/sdp", sdp),
            None => self.finish(),
        }
    }

    fn end(mut self, body: &[u8]) -> Result<Message, MessageTooLarge> {
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(body);
        if self.bytes.len() > MAX_WRITTEN_BYTES {
            return Err(MessageTooLarge);
        }
        Message::parse(Bytes::from(self.bytes)).map_err(|_| MessageTooLarge)
    }

    /// Appends; a line break that is no folding becomes a blank, so that no value that came from
    /// elsewhere (SDP, configuration, another leg) can begin a header of its own.
    fn text(&mut self, text: &[u8]) {
        if memchr::memchr3(b'\r', b'\n', 0, text).is_none() {
            self.bytes.extend_from_slice(text);
            return;
        }
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            match rest {
                [b'\r', b'\n', b' ' | b'\t', ..] => {
                    self.bytes.extend_from_slice(&rest[..3]);
                    rest = &rest[3..];
                }
                // Escaped in a quoted string (RFC 3261 §25.1).
                [0, ..] if self.bytes.last() == Some(&b'\\') => {
                    self.bytes.push(0);
                    rest = tail;
                }
                [b'\r' | b'\n' | 0, ..] => {
                    self.bytes.push(b' ');
                    rest = tail;
                }
                _ => {
                    self.bytes.push(*byte);
                    rest = tail;
                }
            }
        }
    }
}

/// Begins the response to a request that came from `source` (RFC 3261 §8.2.6.2): Via with what
/// we saw of the source, From, To (with our tag, if it has none yet), Call-ID, CSeq.
pub fn response_to(
    request: &Message,
    source: SocketAddr,
    status: Status,
    phrase: Option<&[u8]>,
    to_tag: Option<&str>,
) -> Writer {
    let mut writer = Writer::response(status, phrase);
    let mut top = request.top_via().map(|via| via.with_received(source));
    for value in request.list(Header::Via) {
        writer = match top.take() {
            Some(first) => writer.header(Header::Via, first),
            None => writer.header(Header::Via, value),
        };
    }
    writer = writer.copy_first(request, Header::From);
    writer = match (request.to(), to_tag) {
        (Some(to), Some(tag)) if to.tag().is_none() => {
            let mut value = request.header(Header::To).unwrap_or(b"").to_vec();
            value.extend_from_slice(b";tag=");
            value.extend_from_slice(tag.as_bytes());
            writer.header(Header::To, value)
        }
        _ => writer.copy_first(request, Header::To),
    };
    writer = writer.copy_first(request, Header::CallId).copy_first(request, Header::CSeq);
    if status.code() == 100 { writer.copy(request, Header::Timestamp) } else { writer }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Message {
        Writer::request(&Method::Options, b"sip:sbc@192.0.2.1")
            .header(Header::Via, "SIP/2.0/UDP 10.0.0.1:5070;rport;branch=z9hG4bK1")
            .header(Header::Via, "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK0")
            .header(Header::From, "<sip:a@b>;tag=9")
            .header(Header::To, "<sip:sbc@192.0.2.1>")
            .header(Header::CallId, "x")
            .header(Header::CSeq, "7 OPTIONS")
            .finish()
            .unwrap()
    }

    #[test]
    fn a_response_carries_what_its_request_asks() {
        let source = "192.0.2.7:6000".parse().unwrap();
        let response = response_to(&request(), source, Status::of(200), None, Some("tt")).finish().unwrap();
        assert_eq!(response.fault(), None);
        let text = String::from_utf8_lossy(response.as_bytes()).into_owned();
        assert_eq!(
            text,
            "SIP/2.0 200 OK\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1;rport=6000;received=192.0.2.7\r\n\
             Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK0\r\n\
             From: <sip:a@b>;tag=9\r\n\
             To: <sip:sbc@192.0.2.1>;tag=tt\r\n\
             Call-ID: x\r\n\
             CSeq: 7 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn no_value_can_begin_a_header() {
        let message = Writer::request(&Method::Options, b"sip:a@b\r\nX-Evil: 1")
            .field(b"X-One", b"a\r\nX-Evil: 1\n\rX-Evil: 2")
            .field(b"X-Two", b"a\r\n folded")
            .copy(&request(), Header::Via)
            .copy(&request(), Header::From)
            .finish()
            .unwrap();
        assert!(!message.fields().any(|field| field.name == b"X-Evil"));
        assert!(message.fields().any(|field| field.value == b"a\r\n folded"));
    }

    #[test]
    fn what_fits_no_datagram_is_refused() {
        let large = vec![b'x'; MAX_WRITTEN_BYTES];
        let result = Writer::request(&Method::Message, b"sip:a@b").finish_with(b"text/plain", &large);
        assert!(matches!(result, Err(MessageTooLarge)));
    }
}
