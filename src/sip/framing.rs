//! Messages out of a byte stream (RFC 3261 §18.3, §7.5): where each begins and where it ends.
//!
//! Content-Length alone says where a message ends, so it is read with the same index that the
//! message is read with later: two readers that disagree would see two different messages. Where
//! the end cannot be known nothing that follows is looked at.
//!
//! Must not know: sockets, what a message means.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use super::limits::{MAX_HEADER_SECTION_BYTES, MAX_MESSAGE_BYTES};
use super::{Header, Message, MessageFault};

/// The ping of RFC 5626 §4.4.1.
const PING: &[u8] = b"\r\n\r\n";
/// What ends a header section.
const HEADERS_END: &[u8] = b"\r\n\r\n";

/// What a stream was cut into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// One message; nothing larger is kept alive behind its bytes.
    Message(Bytes),
    /// The header section of a message whose end cannot be known: no Content-Length, more than one,
    /// none that is a number, or one that is too large. It may be answered. No frame follows.
    Endless(Bytes),
    /// A keep-alive that wants a CRLF back (RFC 5626 §4.4.1).
    Ping,
    /// There is nothing to answer. No frame follows.
    Fault(FramingFault),
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FramingFault {
    /// No end of the header section within [`MAX_HEADER_SECTION_BYTES`].
    HeaderTooLong,
}

impl fmt::Display for FramingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FramingFault::HeaderTooLong => f.write_str("the header section is too long"),
        }
    }
}

/// Cuts one stream. Give it what was read, then take frames until there is none.
#[derive(Debug, Default)]
pub struct Framer {
    /// From the first byte of a message on.
    buffer: BytesMut,
    /// How much of it has been searched for the end of the header section.
    searched: usize,
    /// The length of the whole message, once its header section is there.
    wanted: Option<usize>,
    /// How much of a ping the blank lines before a message are.
    blank: usize,
    /// The end of a message was lost.
    is_over: bool,
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new() -> Framer {
        Framer::default()
    }

    /// Takes what was read. What is behind a fault is not kept.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.is_over {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Whether the beginning of a message is there and its end is not.
    pub fn is_amid_message(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next frame; `None`: more must be read.
    pub fn poll(&mut self) -> Option<Frame> {
        if self.is_over {
            return None;
        }
        let wanted = match self.wanted {
            Some(wanted) => wanted,
            None => match self.find_end() {
                Ok(wanted) => wanted?,
                Err(frame) => return Some(frame),
            },
        };
        self.wanted = Some(wanted);
        let message = self.buffer.get(..wanted).map(Bytes::copy_from_slice)?;
        self.buffer.advance(wanted);
        (self.searched, self.wanted) = (0, None);
        Some(Frame::Message(message))
    }

    /// The length of the message that the buffer begins with; `Ok(None)`: its header section is not
    /// whole. What is no message comes as an error.
    fn find_end(&mut self) -> Result<Option<usize>, Frame> {
        if self.skip_blank_lines() {
            return Err(Frame::Ping);
        }
        // The end may have begun in what was searched already.
        let from = self.searched.saturating_sub(HEADERS_END.len() - 1);
        let found = memmem::find(&self.buffer[from..], HEADERS_END);
        let end = found.map(|at| from + at + HEADERS_END.len());
        self.searched = self.buffer.len();
        if end.unwrap_or(self.buffer.len()) > MAX_HEADER_SECTION_BYTES {
            return Err(self.give_up(Frame::Fault(FramingFault::HeaderTooLong)));
        }
        let Some(end) = end else { return Ok(None) };
        let section = Bytes::copy_from_slice(&self.buffer[..end]);
        match body_length(&section).map(|body| end.saturating_add(body)) {
            Some(wanted) if wanted <= MAX_MESSAGE_BYTES => Ok(Some(wanted)),
            Some(_) | None => Err(self.give_up(Frame::Endless(section))),
        }
    }

    /// RFC 3261 §7.5: "Implementations processing SIP messages over stream-oriented transports MUST
    /// ignore any CRLF appearing before the start-line." Says whether they are a ping.
    fn skip_blank_lines(&mut self) -> bool {
        while let Some(byte) = self.buffer.first().copied().filter(|byte| matches!(byte, b'\r' | b'\n')) {
            self.buffer.advance(1);
            self.blank = match byte {
                _ if byte == PING[self.blank] => self.blank + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.blank == PING.len() {
                self.blank = 0;
                return true;
            }
        }
        if !self.buffer.is_empty() {
            self.blank = 0;
        }
        false
    }

    fn give_up(&mut self, frame: Frame) -> Frame {
        self.is_over = true;
        self.buffer = BytesMut::new();
        frame
    }
}

/// What Content-Length says of a header section. RFC 3261 §18.3: "The Content-Length header field
/// MUST be used with stream oriented transports." `None`: the end of the message cannot be known.
fn body_length(section: &Bytes) -> Option<usize> {
    let message = Message::parse(section.clone()).ok()?;
    if message.fault() == Some(MessageFault::TooManyHeaders) || has_bare_line_break(section) {
        return None;
    }
    let lengths = message.fields().filter(|field| field.header == Header::ContentLength).count();
    message.content_length().ok().flatten().filter(|_| lengths == 1)
}

/// Whether a CR or LF stands without the other: to some that ends a line, and what follows may be a
/// Content-Length to them.
fn has_bare_line_break(section: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', section).any(|at| match section[at] {
        b'\r' => section.get(at + 1) != Some(&b'\n'),
        _ => at.checked_sub(1).and_then(|before| section.get(before)) != Some(&b'\r'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(content_length: &str, body: &str) -> String {
        format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n{content_length}\r\n{body}"
        )
    }

    /// What each read gives, one read after the other.
    fn frames<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
        let mut framer = Framer::new();
        let mut frames = Vec::new();
        for read in reads {
            framer.push(read);
            frames.extend(std::iter::from_fn(|| framer.poll()));
        }
        frames
    }

    fn message(text: &str) -> Frame {
        Frame::Message(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn many_in_one_read_and_one_in_many_are_the_same() {
        let (first, second) = (options("Content-Length: 4\r\n", "body"), options("l : 0\r\n", ""));
        let stream = format!("\r\n{first}\r\n\r\n{second}{first}\r\n");
        let whole = frames([stream.as_bytes()]);
        assert_eq!(whole, [message(&first), Frame::Ping, message(&second), message(&first)]);
        assert_eq!(frames(stream.as_bytes().chunks(1)), whole);
        assert_eq!(frames(stream.as_bytes().chunks(7)), whole);
    }

    #[test]
    fn every_double_line_break_is_a_ping_and_a_single_one_is_none() {
        assert_eq!(frames([&b"\r\n\r\n\r\n\r\n\r\n"[..]]), [Frame::Ping, Frame::Ping]);
        assert_eq!(frames([&b"\r\n"[..], b"\n\r\n\r", b"\n"]), [Frame::Ping]);
    }

    #[test]
    fn a_message_whose_end_cannot_be_known_is_the_last() {
        for length in [
            "",
            "Content-Length: \r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 4x\r\n",
            "Content-Length: 4\r\nl: 4\r\n",
            "Content-Length: 4\r\nContent-Length: 5\r\n",
            // 2^32+32 is not 32, and 2^64+4 not 4.
            "Content-Length: 4294967328\r\n",
            "Content-Length: 18446744073709551620\r\n",
            "Content-Length: 65536\r\n",
            // What is no header name is none to a lenient reader either.
            "Content-Length\x01: 4\r\n",
            // What we would not take as a number or as a line, another reader may.
            "Content-Length: 50\x01\r\nContent-Length: 0\r\n",
            "X: a\nContent-Length: 50\r\nContent-Length: 0\r\n",
            "X: a\rContent-Length: 50\r\nContent-Length: 0\r\n",
        ] {
            let odd = options(length, "");
            let stream = format!("{odd}{}", options("Content-Length: 0\r\n", ""));
            let expected = [Frame::Endless(Bytes::copy_from_slice(odd.as_bytes()))];
            assert_eq!(frames([stream.as_bytes()]), expected, "{length}");
            assert_eq!(frames(stream.as_bytes().chunks(1)), expected, "{length}");
        }
    }

    #[test]
    fn a_content_length_beyond_what_is_indexed_is_not_overlooked_for_an_earlier_fault() {
        let many = format!("Bad Name: x\r\nContent-Length: 0\r\n{}l: 50\r\n", "X: x\r\n".repeat(255));
        let odd = options(&many, "");
        assert_eq!(frames([odd.as_bytes()]), [Frame::Endless(Bytes::copy_from_slice(odd.as_bytes()))]);
    }

    #[test]
    fn what_is_no_sip_is_given_up_at_its_first_blank_line() {
        let stream = b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(frames([&stream[..]]), [Frame::Endless(Bytes::copy_from_slice(&stream[..46]))]);
    }

    #[test]
    fn a_header_section_without_end_is_given_up_and_forgotten() {
        let endless = vec![b'x'; MAX_HEADER_SECTION_BYTES + 1];
        let fault = [Frame::Fault(FramingFault::HeaderTooLong)];
        assert_eq!(frames([&endless[..]]), fault);
        assert_eq!(frames(endless.chunks(1_000)), fault);
        let late = [&endless[..MAX_HEADER_SECTION_BYTES - 2], b"\r\n\r\n"].concat();
        assert_eq!(frames([&late[..]]), fault);
        let mut framer = Framer::new();
        framer.push(&endless);
        while framer.poll().is_some() {}
        framer.push(&endless);
        assert!(!framer.is_amid_message() && framer.buffer.capacity() == 0);
    }

    #[test]
    fn the_largest_message_passes_and_one_byte_more_does_not() {
        let head = options("Content-Length: 00000\r\n", "").len();
        let with_body = |body: usize| options(&format!("Content-Length: {body:05}\r\n"), &"x".repeat(body));
        let largest = with_body(MAX_MESSAGE_BYTES - head);
        assert_eq!(frames(largest.as_bytes().chunks(5_000)), [message(&largest)]);
        let larger = with_body(MAX_MESSAGE_BYTES - head + 1);
        assert!(matches!(frames([larger.as_bytes()])[..], [Frame::Endless(_)]));
    }
}
