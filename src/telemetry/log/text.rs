//! Lines of the log as text, on standard error: one event is one line, whatever its values are.
//!
//! Must not know: the journal.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::queue::{LINE_MAX_BYTES, Output, Queue, told_loss};

const ESCAPE: u8 = 0x1b;

/// Text for whoever reads it.
pub(super) struct Text<W>(pub(super) W);

impl<W: Write + Send + 'static> Output for Text<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)?;
        self.0.flush()
    }

    fn told_loss(&self, lost: u64) -> Vec<u8> {
        let mut time = String::new();
        // A line without its time is one still.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        format!("{time}  WARN {}\n", told_loss(lost)).into_bytes()
    }
}

/// Gives each event a line of its own.
pub(super) struct ToQueue {
    pub(super) queue: Queue,
    /// Whether the formatter writes colours: its escape characters are the only ones then, for it writes those of
    /// values in words.
    pub(super) has_colours: bool,
}

impl<'a> MakeWriter<'a> for ToQueue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { to: self, bytes: Vec::new() }
    }
}

/// One event; queued when it is dropped.
pub(super) struct Line<'a> {
    to: &'a ToQueue,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LINE_MAX_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.to.queue.send(one_line(&self.bytes, self.to.has_colours));
        }
    }
}

/// No control character but the newline at the end, and those of colours.
fn one_line(text: &[u8], has_colours: bool) -> Vec<u8> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut line = Vec::with_capacity(text.len() + 1);
    for &byte in text {
        let is_plain = !byte.is_ascii_control() || (has_colours && byte == ESCAPE);
        if is_plain {
            line.push(byte);
        } else {
            line.extend(byte.escape_ascii());
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_one_line() {
        let forged = b"from a\r\n2026 INFO forged\x1b[2J\x00\tb \xc3\xa9\n";
        assert_eq!(one_line(forged, false), b"from a\\r\\n2026 INFO forged\\x1b[2J\\x00\\tb \xc3\xa9\n");
        assert_eq!(one_line(b"\x1b[32m INFO\x1b[0m a\nb\n", true), b"\x1b[32m INFO\x1b[0m a\\nb\n");
        assert_eq!(one_line(b"cut", false), b"cut\n");
    }
}
