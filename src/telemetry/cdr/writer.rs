//! The thread of records: takes what the sink was given, in batches, and brings each record to the file and
//! to the spool; keeps what these do not take, and the journal of the calls that are open.
//!
//! In this order a record is never lost between two of them, and never written twice: the file, the spool,
//! then `over` in the journal. What a former run wrote into the file and did not cross out is found there.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::file::{self, RecordFile};
use super::journal::{Journal, Left, Moment};
use super::post::Post;
use super::record::Record;
use super::settings::{CdrSettings, PostSettings};
use super::state::{CdrState, PostResult};
use super::{Gate, Job};
use crate::b2bua::Cdr;
use crate::base::Instant;
use crate::runtime::Clock;
use crate::telemetry::log;
use crate::telemetry::rfc3339::utc_millis;

/// Records that are kept while a disk does not take them.
pub(super) const BACKLOG_MAX: usize = 10_000;
/// Jobs between two looks at everything else.
const BATCH: usize = 256;
/// While calls are open it is noted so often that the program runs; what failed is tried again as often.
const TICK: Duration = Duration::from_secs(1);
/// Nothing is to be done: no job comes unnoticed.
const IDLE: Duration = Duration::from_secs(3_600);

/// A record that is still missing somewhere.
#[derive(Debug)]
struct Waiting {
    id: String,
    /// As it is written, with its end.
    line: Vec<u8>,
    wants_file: bool,
    wants_spool: bool,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct Writer {
    settings: CdrSettings,
    clock: Clock,
    state: Arc<CdrState>,
    file: RecordFile,
    journal: Journal,
    post: Option<Post>,
    backlog: VecDeque<Waiting>,
    /// Why the last record was not written; said once, until one is.
    failing: bool,
    /// The last `fsync` failed; said once.
    sync_fails: bool,
    /// Since when something was written that may not be on the disk.
    unsynced_since: Option<Instant>,
    next_tick: Instant,
}

impl Writer {
    pub(super) fn new(settings: CdrSettings, clock: Clock, state: Arc<CdrState>) -> Writer {
        Writer {
            file: RecordFile::at(settings.path.clone()),
            journal: Journal::at(settings.journal_path()),
            settings,
            clock,
            state,
            post: None,
            backlog: VecDeque::new(),
            failing: false,
            sync_fails: false,
            unsynced_since: None,
            next_tick: clock.now(),
        }
    }

    /// Works until the sink ends it.
    pub(super) fn run(&mut self, jobs: &Receiver<Job>, gate: &Gate, is_ending: &AtomicBool) {
        self.start();
        loop {
            let job = jobs.recv_timeout(self.patience(self.clock.now()));
            let mut is_last = matches!(job, Err(RecvTimeoutError::Disconnected));
            let mut taken = 0;
            for job in job.into_iter().chain(jobs.try_iter()).take(BATCH) {
                gate.leave();
                taken += 1;
                self.take(job);
            }
            self.settle(self.clock.now());
            // Nothing that came before the end is behind.
            is_last |= taken < BATCH && is_ending.load(Ordering::Acquire);
            if is_last {
                jobs.try_iter().for_each(|job| self.take(job));
                return self.close();
            }
        }
    }

    /// Finds out before the first call whether there is a place for records, and what a former run has left.
    pub(super) fn start(&mut self) {
        if let Err(error) = self.file.open() {
            self.note_failure(
                &error,
                "call detail records cannot be written (calls go on): make the directory, \
                 and let the user that runs Drawbridge write there, or change cdr.path",
            );
        }
        self.start_post();
        let left = self.journal.open();
        self.recover(left);
    }

    fn start_post(&mut self) {
        let Some(settings) = &self.settings.post else { return };
        match Post::start(settings.clone(), Arc::clone(&self.state)) {
            Ok(post) => self.post = Some(post),
            Err(error) => {
                self.note_failure(
                    &io::Error::new(error.kind(), format!("{}: {error}", settings.spool.display())),
                    "records for cdr.post cannot be kept: see that its spool is a directory where the user \
                     that runs Drawbridge may write",
                );
            }
        }
    }

    /// How long nothing needs to be done, if nothing comes.
    fn patience(&self, now: Instant) -> Duration {
        let wants_tick = !self.journal.is_empty() || !self.backlog.is_empty() || self.wants_retry();
        let tick = if wants_tick { self.next_tick.since(now) } else { IDLE };
        let sync = self.unsynced_since.map(|since| (since + self.settings.sync).since(now));
        sync.map_or(tick, |sync| sync.min(tick))
    }

    fn wants_retry(&self) -> bool {
        self.journal.is_closed() || (self.settings.post.is_some() && self.post.is_none())
    }

    pub(super) fn take(&mut self, job: Job) {
        match job {
            Job::Write(cdr) => {
                // A journal that hangs must not hold up the file.
                self.write(&cdr);
                log::call_ended(&cdr);
            }
            Job::Open(cdr) => self.note_open(&cdr),
            Job::Configure(settings) => self.configure(*settings),
            Job::Reopen => self.reopen(),
            Job::End => {}
        }
    }

    /// The file is another one now, though its name may be the same.
    fn reopen(&mut self) {
        // Nobody would do it later.
        self.sync();
        self.file = RecordFile::at(self.settings.path.clone());
        if let Err(error) = self.file.open() {
            self.note_failure(&error, "call detail records cannot be written (calls go on): see cdr.path");
        }
        self.retry();
    }

    fn configure(&mut self, settings: CdrSettings) {
        let before = std::mem::replace(&mut self.settings, settings);
        if before.post != self.settings.post {
            if let Some(post) = self.post.take() {
                post.end();
                self.warn_of_left_spool(before.post.as_ref());
            }
            self.state.set_post_fault(None);
            self.state.set_spool(0, 0);
            self.start_post();
        }
        self.reopen();
        let left = self.journal.move_to(self.settings.journal_path());
        self.recover(left);
    }

    /// Nobody sends what is in a spool that is not configured any more.
    fn warn_of_left_spool(&self, before: Option<&PostSettings>) {
        let Some(left) = before.map(|post| &post.spool) else { return };
        let records = self.state.report().spooled;
        if records > 0 && self.settings.post.as_ref().is_none_or(|post| post.spool != *left) {
            let spool = left.display();
            tracing::warn!(%spool, records, "records for cdr.post stay in the spool that was configured before");
        }
    }

    /// What its record would say, should the program end now.
    fn note_open(&mut self, cdr: &Cdr) {
        let now = self.moment();
        let answered = cdr.answer.map(Instant::as_micros);
        self.journal.call(&Record::new(cdr, &self.clock), answered, now);
    }

    fn moment(&self) -> Moment {
        let now = self.clock.now();
        Moment::new(utc_millis(self.clock.time_of_day(now)), now.as_micros())
    }

    fn write(&mut self, cdr: &Cdr) {
        let record = Record::new(cdr, &self.clock);
        if self.settings.path.is_some() || self.settings.post.is_some() {
            deliver(self, &record);
        }
    }

    /// Writes what a former run has left open, but for what it had written after all.
    fn recover(&mut self, left: Left) {
        let Left { records, unreadable } = left;
        if unreadable > 0 {
            tracing::warn!(unreadable, "lines of the journal of open calls cannot be read");
        }
        if records.is_empty() {
            return;
        }
        let ids: HashSet<&str> = records.iter().map(|(id, _)| id.as_str()).collect();
        let known = self.file.path().map(|path| file::find(path, &ids)).unwrap_or_default();
        let mut recovered = 0;
        for (id, record) in &records {
            match known.get(id) {
                // It may not have come as far as the spool.
                Some(line) => self.settle_record(Waiting {
                    id: id.clone(),
                    line: line.clone(),
                    wants_file: false,
                    wants_spool: self.settings.post.is_some(),
                }),
                None => {
                    recovered += 1;
                    self.state.count_recovered();
                    deliver(self, record);
                }
            }
        }
        // On the disk before the journal forgets them.
        self.sync();
        self.journal.flush(true);
        if recovered > 0 {
            tracing::warn!(
                calls = recovered,
                "the program ended without warning last time: the calls that were open then are recorded"
            );
        }
    }

    /// Brings a record to where it is still missing, or keeps it.
    fn settle_record(&mut self, mut waiting: Waiting) {
        if !self.backlog.is_empty() {
            return self.keep(waiting);
        }
        match self.bring(&mut waiting) {
            Ok(()) => self.journal.over(&waiting.id),
            Err(error) => {
                self.note_failure(&error, "call detail records wait for the disk (calls go on)");
                self.keep(waiting);
            }
        }
    }

    fn bring(&mut self, waiting: &mut Waiting) -> io::Result<()> {
        self.unsynced_since.get_or_insert(self.clock.now());
        if waiting.wants_file {
            self.file.append(&waiting.line)?;
            waiting.wants_file = false;
            self.state.count_written();
        }
        if waiting.wants_spool {
            let pushed = self.post.as_ref().map(|post| post.push(&waiting.line));
            if let Some(Err(error)) = &pushed {
                self.state.set_post_fault(Some(format!("the spool takes nothing: {error}")));
            }
            // A spool that is not to be had keeps nothing back: the file is what counts, and has a disk of its own.
            if !matches!(pushed, Some(Ok(_))) {
                self.state.count_posts(PostResult::Dropped, 1);
            }
        }
        waiting.wants_spool = false;
        Ok(())
    }

    fn keep(&mut self, waiting: Waiting) {
        if self.backlog.len() >= BACKLOG_MAX {
            if waiting.wants_file {
                self.state.count_lost();
            }
            if waiting.wants_spool {
                self.state.count_posts(PostResult::Dropped, 1);
            }
            self.journal.over(&waiting.id);
            return;
        }
        if let Ok(record) = serde_json::from_slice::<Record<'static>>(&waiting.line) {
            self.journal.owe(&record);
        }
        self.backlog.push_back(waiting);
        self.state.set_waiting(self.backlog.len());
    }

    /// Tries again what was not taken.
    fn retry(&mut self) {
        while let Some(mut waiting) = self.backlog.pop_front() {
            match self.bring(&mut waiting) {
                Ok(()) => self.journal.over(&waiting.id),
                Err(error) => {
                    self.state.set_fault(Some(error.to_string()));
                    self.backlog.push_front(waiting);
                    break;
                }
            }
        }
        self.state.set_waiting(self.backlog.len());
        if self.backlog.is_empty() && self.failing && self.file.open().is_ok() {
            self.failing = false;
            self.state.set_fault(None);
            tracing::info!("call detail records are written again");
        }
    }

    fn note_failure(&mut self, error: &io::Error, what: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            let path = self.file.path().unwrap_or(std::path::Path::new("")).display();
            tracing::error!(%path, %error, "{what}");
        }
        self.state.set_fault(Some(error.to_string()));
    }

    /// Does what is due, after each batch of jobs.
    pub(super) fn settle(&mut self, now: Instant) {
        let is_tick = now >= self.next_tick;
        if is_tick {
            self.next_tick = now + TICK;
            self.tick();
        }
        self.journal.flush(is_tick);
        if self.journal.is_empty() && self.unsynced_since.is_none() {
            return;
        }
        let since = *self.unsynced_since.get_or_insert(now);
        if now >= since + self.settings.sync {
            self.sync();
        }
    }

    fn tick(&mut self) {
        if self.settings.post.is_some() && self.post.is_none() {
            self.start_post();
        }
        if self.journal.is_closed() {
            let left = self.journal.open();
            self.recover(left);
        }
        if !self.backlog.is_empty() || self.failing {
            self.retry();
        }
        self.journal.alive(self.moment());
    }

    /// Waits until the disk has everything: the records first, then what says that they are written.
    fn sync(&mut self) {
        self.unsynced_since = None;
        let spool = self.post.as_ref().map_or(Ok(()), Post::sync);
        let synced = self.file.sync().and(spool).and(self.journal.sync());
        match synced {
            Ok(()) => self.sync_fails = false,
            Err(error) if !self.sync_fails => {
                self.sync_fails = true;
                tracing::error!(%error, "the disk does not keep call detail records for sure");
            }
            Err(_) => {}
        }
    }

    /// The end: all is on the disk, or in the journal for the next run.
    pub(super) fn close(&mut self) {
        self.retry();
        self.journal.flush(true);
        self.sync();
        if let Some(post) = self.post.take() {
            post.end();
        }
        let left = self.backlog.len();
        if left > 0 && self.journal.is_sound() {
            tracing::warn!(
                records = left,
                "the disk does not take them: the next start writes these records"
            );
        } else if left > 0 {
            tracing::error!(records = left, "call detail records are lost: the disk does not take them");
            self.backlog.drain(..).filter(|waiting| waiting.wants_file).for_each(|_| self.state.count_lost());
        }
    }
}

/// Writes a record wherever records go.
fn deliver(writer: &mut Writer, record: &Record<'_>) {
    let mut line = Vec::with_capacity(1_024);
    if let Err(error) = serde_json::to_writer(&mut line, record) {
        tracing::error!(%error, "a record cannot be written as JSON: a fault of this program");
        return writer.state.count_lost();
    }
    line.push(b'\n');
    let (wants_file, wants_spool) = (writer.settings.path.is_some(), writer.settings.post.is_some());
    writer.settle_record(Waiting { id: record.id.clone().into_owned(), line, wants_file, wants_spool });
}
