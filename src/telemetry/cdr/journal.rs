//! The journal of open calls: what their records would say, so that a program that is killed, crashes or
//! loses its power leaves a record of each call that it had.
//!
//! A file of lines, appended by the thread of records alone: a call is `open` (told anew when more is known
//! of it), a record is `owed` (the call has ended, and the disk did not take its record yet) or `over`, and
//! once a second the program was `alive`. It is written anew when most of it is over, by a file that takes
//! the other's place at once. A line that cannot be read loses itself alone.
//!
//! Must not know: where records go.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::FILE_MODE;
use super::record::Record;

/// Calls that are kept in it; more than there can be at once.
const MAX_CALLS: usize = 16_384;
/// It is written anew when it is longer than this and most of it is over.
const COMPACT_BYTES: u64 = 256 << 10;
/// What a former run may have left: no run writes more between two compactions.
const MAX_BYTES: u64 = 64 << 20;
/// How the record of a call that nobody ended says why.
const CAUSE: &str = "Drawbridge ended while the call was up (killed, crashed or without power); \
                     end is when it was last known to run";
/// The caller of a call that was not answered heard nothing more.
const STATUS_UNANSWERED: u16 = 500;

/// A moment of the program that writes: the time of day, and its own clock for durations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Moment {
    utc: String,
    us: u64,
}

impl Moment {
    pub(super) fn new(utc: String, us: u64) -> Moment {
        Moment { utc, us }
    }
}

/// One line, as it is written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// A call that goes on.
    Open {
        record: &'a Record<'a>,
        /// On the program's clock.
        answered_us: Option<u64>,
        at: &'a Moment,
    },
    /// A record that is still to be written as it is.
    Owed(&'a Record<'a>),
    /// Nothing is left to do for the call of this `id`.
    Over(&'a str),
    /// The program ran.
    Alive(&'a Moment),
}

/// The same, as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Found {
    Open { record: Record<'static>, answered_us: Option<u64>, at: Moment },
    Owed(Record<'static>),
    Over(String),
    Alive(Moment),
}

/// The journal of a program that runs.
#[derive(Debug, Default)]
pub(super) struct Journal {
    path: Option<PathBuf>,
    file: Option<File>,
    /// The line of each call that is open or owed.
    lines: HashMap<String, Box<[u8]>>,
    /// Bytes of these.
    live: u64,
    /// Lines that are still to be appended.
    pending: Vec<u8>,
    /// When the program was last seen alive.
    last: Option<Moment>,
    /// The file's length.
    length: u64,
    /// The file lacks something: it is to be written anew.
    is_behind: bool,
    /// The last write failed; said once.
    failing: bool,
    /// Another process has it; said once.
    is_taken: bool,
    /// Written to since the last [`Journal::sync`].
    is_dirty: bool,
}

/// What a former run has left.
#[derive(Default)]
pub(super) struct Left {
    /// Records to be written, by their `id`.
    pub(super) records: Vec<(String, Record<'static>)>,
    /// Lines that nobody can read.
    pub(super) unreadable: usize,
}

impl Journal {
    /// A journal at this place, not opened yet.
    pub(super) fn at(path: Option<PathBuf>) -> Journal {
        Journal { path, ..Journal::default() }
    }

    /// Whether it wants [`Journal::open`].
    pub(super) fn is_closed(&self) -> bool {
        self.path.is_some() && self.file.is_none()
    }

    /// Whether it holds a call or a record.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether what it should hold is in its file.
    pub(super) fn is_sound(&self) -> bool {
        self.file.is_some() && !self.is_behind && self.pending.is_empty()
    }

    /// Opens the file for this process alone, and gives what a former one has left in it. That stays there,
    /// as owed, until [`Journal::over`] is said of it.
    pub(super) fn open(&mut self) -> Left {
        let Some(path) = self.path.clone() else { return Left::default() };
        let opened = match open_locked(&path) {
            Ok(Some(file)) => read_left(&file).map(|left| (file, left)),
            Ok(None) => {
                if !self.is_taken {
                    tracing::error!(
                        path = %path.display(),
                        "the journal of open calls is another process's: as long as that runs, calls open at a \
                         crash of this one are not recorded; give each daemon a cdr.path of its own"
                    );
                }
                self.is_taken = true;
                return Left::default();
            }
            Err(error) => Err(error),
        };
        match opened {
            Ok((file, left)) => {
                self.is_taken = false;
                self.length = file.metadata().map_or(0, |metadata| metadata.len());
                self.file = Some(file);
                for (id, record) in &left.records {
                    self.keep(id, &Line::Owed(record));
                }
                self.pending.clear();
                self.is_behind = self.length > 0 || !self.lines.is_empty();
                self.flush(true);
                left
            }
            Err(error) => {
                self.fail(&error);
                Left::default()
            }
        }
    }

    /// A call is open; its record would say this. `answered_us` is on the clock of `at`.
    pub(super) fn call(&mut self, record: &Record<'_>, answered_us: Option<u64>, at: Moment) {
        if self.path.is_none() || (self.lines.len() >= MAX_CALLS && !self.lines.contains_key(&*record.id)) {
            return;
        }
        self.keep(&record.id, &Line::Open { record, answered_us, at: &at });
        self.last = Some(at);
    }

    /// A record waits for its file.
    pub(super) fn owe(&mut self, record: &Record<'_>) {
        if self.path.is_some() {
            self.keep(&record.id, &Line::Owed(record));
        }
    }

    /// Nothing is left to do for this call.
    pub(super) fn over(&mut self, id: &str) {
        if let Some(line) = self.lines.remove(id) {
            self.live -= line.len() as u64;
            append(&mut self.pending, &Line::Over(id));
        }
    }

    /// The program runs at this moment.
    pub(super) fn alive(&mut self, at: Moment) {
        if !self.lines.is_empty() {
            append(&mut self.pending, &Line::Alive(&at));
            self.last = Some(at);
        }
    }

    fn keep(&mut self, id: &str, line: &Line<'_>) {
        let before = self.pending.len();
        append(&mut self.pending, line);
        let line: Box<[u8]> = self.pending.get(before..).unwrap_or_default().into();
        self.live += line.len() as u64;
        if let Some(old) = self.lines.insert(id.to_owned(), line) {
            self.live -= old.len() as u64;
        }
    }

    /// Hands what was noted to the system. What it refused before is tried again where `retries`.
    pub(super) fn flush(&mut self, retries: bool) {
        if self.is_behind && self.failing && !retries {
            return self.pending.clear();
        }
        let Some(file) = &mut self.file else { return self.pending.clear() };
        let is_long = self.length > COMPACT_BYTES && self.length / 2 > self.live;
        let is_idle = self.lines.is_empty() && (self.length > 0 || !self.pending.is_empty());
        let written = if is_idle && !self.is_behind {
            // What is over is not worth a word.
            file.set_len(0).map(|()| 0)
        } else if self.is_behind || is_long {
            return self.write_anew();
        } else if self.pending.is_empty() {
            return;
        } else {
            file.write_all(&self.pending).map(|()| self.length + self.pending.len() as u64)
        };
        self.pending.clear();
        match written {
            Ok(length) => self.succeed(length),
            Err(error) => {
                self.is_behind = true;
                self.fail(&error);
            }
        }
    }

    /// A file with what is live takes the place of the old one, in one step.
    fn write_anew(&mut self) {
        let Some(path) = self.path.clone() else { return };
        self.pending.clear();
        let mut last = Vec::new();
        if let Some(moment) = &self.last {
            append(&mut last, &Line::Alive(moment));
        }
        match replace(&path, self.lines.values(), &last) {
            Ok((file, length)) => {
                // Locked before it took the name; the old one's lock goes with it.
                self.file = Some(file);
                self.is_behind = false;
                self.succeed(length);
            }
            Err(error) => {
                self.is_behind = true;
                self.fail(&error);
            }
        }
    }

    fn succeed(&mut self, length: u64) {
        self.length = length;
        self.is_dirty = true;
        if std::mem::take(&mut self.failing) {
            tracing::info!("the journal of open calls is written again");
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let path = self.path.as_deref().unwrap_or(Path::new("")).display();
            tracing::error!(
                %path, %error,
                "the journal of open calls cannot be written (calls go on): a crash now would leave calls \
                 without a record; see cdr.journal"
            );
        }
    }

    /// Waits until the disk has what was written.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match &self.file {
            Some(file) if std::mem::take(&mut self.is_dirty) => file.sync_data(),
            Some(_) | None => Ok(()),
        }
    }

    /// Everything moves to another place.
    pub(super) fn move_to(&mut self, path: Option<PathBuf>) -> Left {
        if self.path == path {
            return Left::default();
        }
        if let Some(file) = self.file.take() {
            // Or the next run there would write records of calls that go on.
            let _ = file.set_len(0);
        }
        let (lines, live) = (std::mem::take(&mut self.lines), self.live);
        *self = Journal { lines, live, last: self.last.take(), ..Journal::at(path) };
        let left = self.open();
        if self.path.is_none() {
            (self.lines, self.live) = (HashMap::new(), 0);
        }
        left
    }
}

fn append(to: &mut Vec<u8>, line: &Line<'_>) {
    let before = to.len();
    // A vector takes everything, and a record has nothing that JSON has not.
    if serde_json::to_writer(&mut *to, line).is_err() {
        to.truncate(before);
        return;
    }
    to.push(b'\n');
}

/// The file, locked for this process; `None`: another one has it.
fn open_locked(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new().create(true).append(true).read(true).mode(FILE_MODE).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its owner may have put another file in its place in between.
        let (ours, named) = (file.metadata()?, std::fs::metadata(path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Ok(Some(file));
        }
    }
}

fn replace<'a>(
    path: &Path,
    lines: impl Iterator<Item = &'a Box<[u8]>>,
    last: &[u8],
) -> io::Result<(File, u64)> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let write = || {
        let mut text = lines.flat_map(|line| line.iter().copied()).collect::<Vec<u8>>();
        text.extend_from_slice(last);
        let mut draft_file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(FILE_MODE).open(&draft)?;
        draft_file.write_all(&text)?;
        let file = OpenOptions::new().append(true).read(true).open(&draft)?;
        file.try_lock().map_err(io::Error::from)?;
        // The new name must not be on the disk before what it names.
        file.sync_data()?;
        std::fs::rename(&draft, path)?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok((file, text.len() as u64))
    };
    let written = write();
    if written.is_err() {
        // It may be what fills the disk.
        let _ = std::fs::remove_file(&draft);
    }
    written
}

fn read_left(file: &File) -> io::Result<Left> {
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(left_by(&text))
}

/// What lines say that is still to be recorded.
fn left_by(text: &[u8]) -> Left {
    let mut calls: Vec<(String, Record<'static>, Option<u64>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut owed: HashMap<String, Record<'static>> = HashMap::new();
    let mut last: Option<Moment> = None;
    let mut unreadable = 0;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<Found>(line) {
            Ok(Found::Open { record, answered_us, at }) => {
                let id = record.id.clone().into_owned();
                let place = *places.entry(id.clone()).or_insert(calls.len());
                let call = (id, record, answered_us);
                match calls.get_mut(place) {
                    Some(known) => *known = call,
                    None => calls.push(call),
                }
                keep_later(&mut last, at);
            }
            Ok(Found::Owed(record)) => drop(owed.insert(record.id.clone().into_owned(), record)),
            Ok(Found::Over(id)) => {
                owed.remove(&id);
                if let Some(call) = places.remove(&id).and_then(|place| calls.get_mut(place)) {
                    // Its place stays; nobody has an empty name.
                    call.0.clear();
                }
            }
            Ok(Found::Alive(at)) => keep_later(&mut last, at),
            Err(_) => unreadable += 1,
        }
    }
    let open = calls.into_iter().filter(|(id, _, _)| !id.is_empty() && !owed.contains_key(id));
    let mut records: Vec<_> = open
        .filter_map(|(id, record, answered_us)| Some((id, ended(record, answered_us, last.as_ref()?))))
        .collect();
    records.extend(owed);
    Left { records, unreadable }
}

/// Lines that were written anew come before what was appended later, and the first of them may be older.
fn keep_later(last: &mut Option<Moment>, at: Moment) {
    if last.as_ref().is_none_or(|last| last.us <= at.us) {
        *last = Some(at);
    }
}

/// The record of a call that nobody ended.
fn ended(record: Record<'static>, answered_us: Option<u64>, last: &Moment) -> Record<'static> {
    let talked_us = answered_us.map(|answered| last.us.saturating_sub(answered));
    Record {
        end: last.utc.clone(),
        duration_ms: talked_us.unwrap_or(0) / 1_000,
        status: if answered_us.is_some() { record.status } else { STATUS_UNANSWERED },
        ended_by: Cow::Borrowed("sbc"),
        cause: Cow::Borrowed(CAUSE),
        ..record
    }
}

#[cfg(test)]
mod tests;
