//! The sink of call detail records: one JSON object a line, written by a thread of its own, so
//! that no disk ever holds up a call. The same thread logs the line of each call: neither does a
//! journal that is slow.
//!
//! | what | file |
//! |---|---|
//! | the fields of a record; what docs/records.md says of them | `record.rs`; `fields.rs` |
//! | the thread: what goes where, what waits, when it is made sure | `writer.rs` |
//! | the file of records | `file.rs` |
//! | calls that are open, for the next start | `journal.rs` |
//! | the copy by HTTP; what is still to be sent | `post.rs`; `spool.rs` |

#[cfg(test)]
mod fields;
mod file;
mod journal;
mod post;
mod record;
mod settings;
mod spool;
mod state;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::Metrics;
use crate::b2bua::Cdr;
use crate::runtime::Clock;

pub use settings::{CdrSettings, PostSettings, PostUrl};
pub(super) use state::PostResult;
pub use state::{CdrReport, CdrState};

use writer::Writer;

/// Records that may wait for the disk: at 100 calls a second, 40 s of a disk that hangs.
const WAITING_RECORDS: usize = 4_096;
/// Places of these that what is only noted of open calls leaves free.
const WAITING_RESERVE: usize = 2_048;
/// Who called whom is not for everyone's eyes.
const FILE_MODE: u32 = 0o640;

/// The way to the writing thread. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct CdrSink {
    jobs: SyncSender<Job>,
    gate: Arc<Gate>,
    state: Arc<CdrState>,
    is_ending: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Job {
    Write(Box<Cdr>),
    /// What the record of an open call would say by now.
    Open(Box<Cdr>),
    Configure(Box<CdrSettings>),
    Reopen,
    /// Look whether it is the end.
    End,
}

/// How many jobs are in the queue.
#[derive(Default, Debug)]
struct Gate(AtomicUsize);

impl Gate {
    fn leave(&self) {
        // A job may be taken before its sender has counted it.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| Some(waiting.saturating_sub(1)));
    }
}

impl CdrSink {
    /// Starts the thread. `ended` fires when everything before [`CdrSink::end`] has been handed to the disk.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        settings: CdrSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
        ended: oneshot::Sender<()>,
    ) -> io::Result<(CdrSink, JoinHandle<()>)> {
        let (jobs, waiting) = sync_channel(WAITING_RECORDS);
        let state = Arc::new(CdrState::new(metrics));
        let (gate, is_ending) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(false)));
        let mut writer = Writer::new(settings, clock, Arc::clone(&state));
        let sink = CdrSink { jobs, gate: Arc::clone(&gate), state, is_ending: Arc::clone(&is_ending) };
        let thread = std::thread::Builder::new().name("cdr".to_owned()).spawn(move || {
            writer.run(&waiting, &gate, &is_ending);
            // Nobody may be waiting.
            let _ = ended.send(());
        })?;
        Ok((sink, thread))
    }

    /// How the records are.
    pub fn state(&self) -> Arc<CdrState> {
        Arc::clone(&self.state)
    }

    /// Queues a record; never waits. A record that finds the queue full is lost and counted.
    pub fn write(&self, cdr: Box<Cdr>) {
        if !self.queue(Job::Write(cdr)) {
            self.state.count_lost();
        }
    }

    /// Notes what the record of an open call would say, should the program end now; never waits. Where the
    /// queue is half full it is not noted: records come first.
    pub fn note_open(&self, cdr: Box<Cdr>) {
        if self.gate.0.load(Ordering::Relaxed) < WAITING_RECORDS - WAITING_RESERVE {
            self.queue(Job::Open(cdr));
        }
    }

    /// Closes the file and opens its path anew (log rotation).
    pub fn reopen(&self) {
        self.ask(Job::Reopen);
    }

    /// Records go elsewhere from now on.
    pub fn configure(&self, settings: CdrSettings) {
        self.ask(Job::Configure(Box::new(settings)));
    }

    /// Ends the thread once what is queued has been written.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        // A queue that is full needs nobody to wake its reader.
        self.queue(Job::End);
    }

    fn ask(&self, job: Job) {
        if !self.queue(job) {
            tracing::error!("call detail records: the disk is too slow, the file was not reopened");
        }
    }

    fn queue(&self, job: Job) -> bool {
        let is_queued = self.jobs.try_send(job).is_ok();
        if is_queued {
            self.gate.0.fetch_add(1, Ordering::Relaxed);
        }
        is_queued
    }
}

#[cfg(test)]
mod tests;
