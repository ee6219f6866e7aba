//! The filter, and that nobody waits for a log that nobody takes.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tracing::subscriber::with_default;

use super::queue::{LINE_MAX_BYTES, Output, WAITING_BYTES, WAITING_LINES};
use super::*;

/// No test waits longer for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than the queue and what the kernel keeps have room for.
const FLOOD: usize = 3 * WAITING_LINES;

#[test]
fn a_filter_is_levels_and_not_any_word() {
    for good in
        ["info", "OFF", "warn,drawbridge::transport=debug", "info, drawbridge=trace", "drawbridge::b2bua=off"]
    {
        assert_eq!(check_filter(good), Ok(()), "{good}");
    }
    for bad in ["", "inof", "info,drawbrigde", "info,", "drawbridge=loud", "=", "info;debug"] {
        assert!(check_filter(bad).is_err(), "{bad}");
    }
    assert!(check_filter(&"info,".repeat(1_000)).unwrap_err().contains("longer than"));
}

/// A journal of a test.
struct Site {
    path: std::path::PathBuf,
    socket: UnixDatagram,
}

impl Site {
    fn new(name: &str) -> Site {
        let path = std::env::temp_dir().join(format!("drawbridge-log-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Site { path, socket }
    }

    fn queue(&self) -> Queue {
        Queue::start(Journal::at(self.path.clone()).unwrap()).unwrap()
    }

    /// The next line, without the empty datagram of the start.
    fn hear(&self) -> Vec<u8> {
        let mut buffer = vec![0; 2 * LINE_MAX_BYTES];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap();
            if length > 0 {
                return buffer[..length].to_vec();
            }
        }
    }

    fn hear_message(&self) -> String {
        let fields = fields(&self.hear());
        fields.into_iter().find(|(name, _)| name == "MESSAGE").unwrap().1
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A datagram as journald reads it.
fn fields(mut rest: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let (name, after) = (&rest[..end], &rest[end + 1..]);
        let length = usize::try_from(u64::from_le_bytes(after[..8].try_into().unwrap())).unwrap();
        let value = &after[8..8 + length];
        assert_eq!(after[8 + length], b'\n');
        rest = &after[9 + length..];
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.push((text(name), text(value)));
    }
    fields
}

fn to_text(queue: &Queue) -> impl tracing::Subscriber + use<> {
    let writer = ToQueue { queue: queue.clone(), has_colours: false };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false).with_target(false);
    tracing_subscriber::registry().with(layer)
}

fn to_journal(queue: &Queue) -> impl tracing::Subscriber + use<> {
    tracing_subscriber::registry().with(ToJournal(queue.clone()))
}

/// Lines 0, 1, 2 … came, then one that says how many did not; all are accounted for.
fn expect_one_gap(mut hear: impl FnMut() -> String) {
    let mut came = 0;
    let told = loop {
        let line = hear();
        if line.contains(" lost here") {
            break line;
        }
        assert!(line.ends_with(&format!("line {came}")), "{line} instead of {came}");
        came += 1;
    };
    assert!(came >= WAITING_LINES, "{came}");
    assert!(
        told.contains(&format!("{} lines of the log are lost here", FLOOD - came)),
        "{told}; {came} came"
    );
}

#[test]
fn a_journal_that_stalls_holds_nobody_up_and_the_loss_is_told_where_it_was() {
    let site = Site::new("stalled");
    let queue = site.queue();
    with_default(to_journal(&queue), || (0..FLOOD).for_each(|number| tracing::info!("line {number}")));
    assert!(!queue.finish(Duration::ZERO), "nobody has read");
    expect_one_gap(|| site.hear_message());
    with_default(to_journal(&queue), || tracing::info!("after"));
    assert_eq!(site.hear_message(), "after");
    assert!(queue.finish(PATIENCE));
}

#[test]
fn a_pipe_that_nobody_reads_holds_nobody_up_and_the_loss_is_told_where_it_was() {
    let (reader, writer) = std::io::pipe().unwrap();
    let queue = Queue::start(Text(writer)).unwrap();
    with_default(to_text(&queue), || (0..FLOOD).for_each(|number| tracing::info!("line {number}")));
    assert!(!queue.finish(Duration::ZERO), "nobody has read");
    let mut lines = BufReader::<PipeReader>::new(reader).lines();
    expect_one_gap(|| lines.next().unwrap().unwrap());
    with_default(to_text(&queue), || tracing::warn!("after"));
    assert!(lines.next().unwrap().unwrap().ends_with("  WARN after"));
    assert!(queue.finish(PATIENCE));
}

#[test]
fn the_journal_gets_every_field_with_its_length_whatever_its_value() {
    let site = Site::new("fields");
    let queue = site.queue();
    with_default(to_journal(&queue), || {
        tracing::warn!(target: "drawbridge::test", call = "d8x1\nPRIORITY=0", trunk = %"carrier", _odd.name = 7, gone = None::<&str>, "two\nlines");
    });
    let datagram = site.hear();
    let message = b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n";
    assert!(datagram.starts_with(b"PRIORITY\n\x01\0\0\0\0\0\0\x004\n"), "{datagram:?}");
    assert!(datagram.windows(message.len()).any(|part| part == message), "{datagram:?}");
    let mut fields = fields(&datagram);
    fields.retain(|(name, _)| !name.starts_with("CODE_"));
    fields.sort();
    let expected = [
        ("DRAWBRIDGE_CALL", "d8x1\nPRIORITY=0"),
        ("DRAWBRIDGE_ODD_NAME", "7"),
        ("DRAWBRIDGE_TRUNK", "carrier"),
        ("MESSAGE", "two\nlines"),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "drawbridge"),
        ("TARGET", "drawbridge::test"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_line_that_is_too_long_is_cut_between_characters() {
    let site = Site::new("long");
    let queue = site.queue();
    let long = "é".repeat(LINE_MAX_BYTES);
    with_default(to_journal(&queue), || tracing::info!(call = "x", "{long}"));
    let datagram = site.hear();
    assert!(datagram.len() <= LINE_MAX_BYTES && datagram.len() > LINE_MAX_BYTES - 64, "{}", datagram.len());
    let fields = fields(&datagram);
    let (_, message) = fields.iter().find(|(name, _)| name == "MESSAGE").unwrap();
    assert!(message.chars().all(|letter| letter == 'é'));
}

/// Writes a line, or fails to, when the test says so.
struct Gated {
    gate: Receiver<bool>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Output for Gated {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.gate.recv().unwrap() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.written.lock().unwrap().extend_from_slice(line);
        Ok(())
    }

    fn told_loss(&self, lost: u64) -> Vec<u8> {
        format!("lost {lost}\n").into_bytes()
    }
}

fn gated() -> (Queue, Sender<bool>, Arc<Mutex<Vec<u8>>>) {
    let (open, gate) = channel();
    let written = Arc::new(Mutex::new(Vec::new()));
    let queue = Queue::start(Gated { gate, written: Arc::clone(&written) }).unwrap();
    (queue, open, written)
}

#[test]
fn the_end_waits_for_what_is_queued_but_not_for_ever() {
    let (queue, open, written) = gated();
    for line in [b"1\n", b"2\n", b"3\n"] {
        queue.send(line.to_vec());
    }
    assert!(!queue.finish(Duration::ZERO));
    assert!(!queue.finish(Duration::from_millis(1)));
    let opener = std::thread::spawn(move || (0..3).for_each(|_| open.send(true).unwrap()));
    assert!(queue.finish(PATIENCE));
    assert_eq!(*written.lock().unwrap(), b"1\n2\n3\n");
    opener.join().unwrap();
}

#[test]
fn long_lines_take_no_more_memory_than_many_short_ones() {
    let (queue, open, written) = gated();
    let long = || vec![b'x'; LINE_MAX_BYTES];
    let fit = WAITING_BYTES / LINE_MAX_BYTES;
    // One may be in the hands of the thread, or not yet.
    for _ in 0..fit + 10 {
        queue.send(long());
    }
    let lost = queue.lost();
    assert!((9..=10).contains(&lost), "{lost}");
    // A gap stays one gap: what is short waits for room, too, until half of it is free.
    queue.send(b"short\n".to_vec());
    assert_eq!(queue.lost(), lost + 1);
    (0..3 * fit).for_each(|_| open.send(true).unwrap());
    assert!(queue.finish(PATIENCE));
    let came = written.lock().unwrap().clone();
    let told = format!("lost {}\n", lost + 1);
    assert!(came.ends_with(told.as_bytes()), "{}", came.len());
    assert_eq!(came.len() - told.len(), (fit + 10 - lost as usize) * LINE_MAX_BYTES);
    // And there is room again for as much.
    (0..fit).for_each(|_| queue.send(long()));
    assert!(queue.finish(PATIENCE));
    assert_eq!(queue.lost(), lost + 1);
}

#[test]
fn lines_that_could_not_be_written_are_told_before_the_next() {
    let (queue, open, written) = gated();
    for line in [b"1\n", b"2\n", b"3\n"] {
        queue.send(line.to_vec());
    }
    // The first, the second after the loss of the first, and then both go again.
    for takes in [false, false, false, true, true] {
        open.send(takes).unwrap();
    }
    assert!(queue.finish(PATIENCE));
    assert_eq!(*written.lock().unwrap(), b"lost 2\n3\n");
    assert_eq!(queue.lost(), 2);
}
