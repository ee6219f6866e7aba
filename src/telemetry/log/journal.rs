//! Lines of the log as the journal has them: fields, in its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>), a datagram each. Each value has its length before it, so that
//! none can forge a field.
//!
//! Spans are not told: the program opens none.
//!
//! Must not know: standard error.

use std::fmt::{self, Debug, Write};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::queue::{LINE_MAX_BYTES, Output, Queue, told_loss};

/// Where systemd-journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// `journalctl -t drawbridge`.
const IDENTIFIER: &str = "drawbridge";
/// `journalctl DRAWBRIDGE_CALL=…` finds all lines of a call.
const FIELD_PREFIX: &str = "DRAWBRIDGE_";
/// The field of an event that is the line itself.
const MESSAGE: &str = "message";
/// A value's length stands before it in so many bytes.
const LENGTH_BYTES: usize = 8;

/// The journal's socket. Each datagram names it anew: journald may be started again.
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// The journal of this machine.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn of_this_machine() -> io::Result<Journal> {
        Journal::at(SOCKET.into())
    }

    pub(super) fn at(path: PathBuf) -> io::Result<Journal> {
        let journal = Journal { socket: UnixDatagram::unbound()?, path };
        // An empty one is ignored. Whoever is too busy for it is there.
        journal.socket.set_nonblocking(true)?;
        match journal.socket.send_to(&[], &journal.path) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => journal.socket.set_nonblocking(false)?,
        }
        Ok(journal)
    }
}

impl Output for Journal {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send_to(line, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }

    fn told_loss(&self, lost: u64) -> Vec<u8> {
        let mut datagram = Datagram::new(Level::WARN, module_path!());
        datagram.add("MESSAGE", format_args!("{}", told_loss(lost)));
        datagram.0
    }
}

/// Makes a datagram of each event, and queues it.
pub(super) struct ToJournal(pub(super) Queue);

impl<S: Subscriber> Layer<S> for ToJournal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        let mut datagram = Datagram::new(*about.level(), about.target());
        if let Some(file) = about.file() {
            datagram.add("CODE_FILE", format_args!("{file}"));
        }
        if let Some(line) = about.line() {
            datagram.add("CODE_LINE", format_args!("{line}"));
        }
        event.record(&mut datagram);
        self.0.send(datagram.0);
    }
}

/// One line with its fields.
struct Datagram(Vec<u8>);

impl Datagram {
    fn new(level: Level, target: &str) -> Datagram {
        let mut datagram = Datagram(Vec::with_capacity(512));
        // As syslog counts (RFC 5424 §6.2.1): error, warning, notice, informational, debug.
        let priority = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 5,
            Level::DEBUG => 6,
            Level::TRACE => 7,
        };
        datagram.add("PRIORITY", format_args!("{priority}"));
        datagram.add("TARGET", format_args!("{target}"));
        datagram.add("SYSLOG_IDENTIFIER", format_args!("{IDENTIFIER}"));
        datagram
    }

    /// Adds a field: its name, a newline, the length of the value in 64 bits, little-endian, the value, a newline. A
    /// value is cut, and a field left out, where the datagram would be too long.
    fn add(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let start = self.0.len() + name.len() + 1 + LENGTH_BYTES;
        let Some(room) = (LINE_MAX_BYTES - 1).checked_sub(start) else { return };
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&[0; LENGTH_BYTES]);
        // What a value that fails has written until then counts.
        let _ = Cut { bytes: &mut self.0, room }.write_fmt(value);
        let length = (self.0.len() - start) as u64;
        self.0[start - LENGTH_BYTES..start].copy_from_slice(&length.to_le_bytes());
        self.0.push(b'\n');
    }
}

impl Visit for Datagram {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(&name_of(field.name()), format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(&name_of(field.name()), format_args!("{value:?}"));
    }
}

/// "A field name may only contain uppercase letters, digits and underscores": `DRAWBRIDGE_CALL` of `call`.
fn name_of(field: &str) -> String {
    if field == MESSAGE {
        return "MESSAGE".to_owned();
    }
    let letters =
        field.bytes().map(|byte| if byte == b'.' { b'_' } else { byte }).skip_while(|byte| *byte == b'_');
    let known = letters.filter(|byte| *byte == b'_' || byte.is_ascii_alphanumeric());
    FIELD_PREFIX.chars().chain(known.map(|byte| char::from(byte.to_ascii_uppercase()))).collect()
}

/// Takes so many bytes, and whole characters only.
struct Cut<'a> {
    bytes: &'a mut Vec<u8>,
    room: usize,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = &text[..text.floor_char_boundary(self.room)];
        self.bytes.extend_from_slice(fits.as_bytes());
        self.room -= fits.len();
        // Nothing after a gap.
        if fits.len() < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
