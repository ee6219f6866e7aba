//! The way of a line of the log from the thread that says it to the thread `log`, which alone writes. Nobody waits
//! for the journal, or for whoever reads standard error: what finds the queue full is lost, and its number is told
//! where it would have stood.
//!
//! Must not know: what a line is made of.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines that may wait for the thread that writes.
pub(super) const WAITING_LINES: usize = 4_096;
/// The memory that they may take, in bytes: of lines of the usual length as many as may wait, and 256 of the longest.
pub(super) const WAITING_BYTES: usize = 4 << 20;
/// A longer line is cut.
pub(super) const LINE_MAX_BYTES: usize = 16_384;
/// Once lines were lost, there is room again when no more than so many wait, and bytes: one gap, told once.
const ROOM_AGAIN: (usize, usize) = (WAITING_LINES / 2, WAITING_BYTES / 2);

/// Where lines end. Only the thread `log` has it: it may block.
pub(super) trait Output: Send + 'static {
    /// Writes a line.
    ///
    /// # Errors
    /// It is lost.
    fn write(&mut self, line: &[u8]) -> io::Result<()>;

    /// The line that says that so many are missing here.
    fn told_loss(&self, lost: u64) -> Vec<u8>;
}

/// What it says, for people.
pub(super) fn told_loss(lost: u64) -> String {
    let (s, are) = if lost == 1 { ("", "is") } else { ("s", "are") };
    format!("{lost} line{s} of the log {are} lost here: written too slowly, or not at all")
}

enum Entry {
    Line(Vec<u8>),
    Lost(u64),
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    /// What the lines among these take.
    bytes: usize,
    /// Lines that found no room, since there was room last.
    lost: u64,
    /// An entry is taken, and not written yet.
    is_writing: bool,
    /// Nobody needs a wake-up otherwise.
    is_asleep: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something waits.
    filled: Condvar,
    /// Nothing waits, and all is written.
    emptied: Condvar,
    /// Lines that were lost since the start, for whatever reason.
    lost: AtomicU64,
}

/// The queue; a clone is the same one.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

impl Queue {
    /// Starts the thread, which ends with the process.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(mut output: impl Output) -> io::Result<Queue> {
        let queue = Queue(Arc::default());
        let ours = queue.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || ours.write_all(&mut output))?;
        Ok(queue)
    }

    /// Queues a line. The lock is held for no longer than that takes, never while something is written.
    pub(super) fn send(&self, line: Vec<u8>) {
        let mut state = self.state();
        // What it has allocated counts, and not what it uses of that.
        let bytes = state.bytes + line.capacity();
        if state.lost > 0 || state.waiting.len() >= WAITING_LINES || bytes > WAITING_BYTES {
            state.lost += 1;
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.bytes = bytes;
        state.waiting.push_back(Entry::Line(line));
        if std::mem::take(&mut state.is_asleep) {
            self.0.filled.notify_one();
        }
    }

    /// Waits until everything is written, but no longer than this. Whether it is.
    pub(super) fn finish(&self, patience: Duration) -> bool {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let waited = self.0.emptied.wait_timeout_while(self.state(), patience, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// How many lines were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    fn write_all(&self, output: &mut impl Output) -> ! {
        let mut missing = 0;
        loop {
            let entry = self.next();
            if let Entry::Lost(lost) = entry {
                missing += lost;
            }
            if missing > 0 && output.write(&output.told_loss(missing)).is_ok() {
                missing = 0;
            }
            if let Entry::Line(line) = entry
                && output.write(&line).is_err()
            {
                missing += 1;
                self.0.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What is to be written; the one before is.
    fn next(&self) -> Entry {
        let mut state = self.state();
        state.is_writing = false;
        loop {
            let has_room = state.waiting.len() <= ROOM_AGAIN.0 && state.bytes <= ROOM_AGAIN.1;
            if state.lost > 0 && has_room {
                let lost = std::mem::take(&mut state.lost);
                state.waiting.push_back(Entry::Lost(lost));
            }
            if let Some(entry) = state.waiting.pop_front() {
                if let Entry::Line(line) = &entry {
                    state.bytes -= line.capacity();
                }
                state.is_writing = true;
                return entry;
            }
            self.0.emptied.notify_all();
            state.is_asleep = true;
            state = self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
