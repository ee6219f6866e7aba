//! What is still to be sent, on the disk: files of lines in one directory, numbered in their order, and a
//! cursor that says up to where the other end has them. It is bounded: where the next line does not fit, the
//! oldest file goes.
//!
//! Must not know: HTTP, what a line says.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::FILE_MODE;

/// Files that the whole is cut into: so much is dropped at once when it is full.
const SEGMENTS: u64 = 16;
/// One of them is no larger, and no smaller.
const SEGMENT_BYTES: (u64, u64) = (16 << 10, 8 << 20);
/// Read at once.
const MAX_READ_BYTES: u64 = 1 << 20;
const DIRECTORY_MODE: u32 = 0o750;
const CURSOR: &str = "cursor";

/// The spool of one process.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    max: u64,
    /// The oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    /// The last segment's file.
    tail: Option<File>,
    /// Sent up to here, in the first segment.
    sent: u64,
    /// Of the first segment: lines before that.
    sent_lines: u64,
    /// Holds the position, and the lock.
    cursor: File,
    is_dirty: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    lines: u64,
}

/// Lines to be sent, and what to say when they are.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Batch {
    pub(super) lines: Vec<String>,
    segment: u64,
    end: u64,
}

impl Spool {
    /// Opens it, or makes it, for this process alone.
    pub(super) fn open(directory: &Path, max: u64) -> io::Result<Spool> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
        let mut options = OpenOptions::new();
        let cursor = options.create(true).truncate(false).read(true).write(true).mode(FILE_MODE);
        let mut cursor = cursor.open(directory.join(CURSOR))?;
        match cursor.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("another process uses it")),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut position = String::new();
        // What is no position is as good as none: what was sent is sent again.
        let _ = cursor.read_to_string(&mut position);
        let mut numbers = position.split_ascii_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        let (number, sent) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let segments = segments_of(directory)?;
        let mut spool = Spool {
            directory: directory.to_owned(),
            max,
            segments,
            tail: None,
            sent: 0,
            sent_lines: 0,
            cursor,
            is_dirty: false,
        };
        while spool.segments.front().is_some_and(|first| first.number < number) {
            spool.drop_first();
        }
        if let Some(first) = spool.segments.front().filter(|first| first.number == number) {
            spool.sent = sent.min(first.bytes);
            let mut text = vec![0; usize::try_from(spool.sent).unwrap_or(0)];
            File::open(spool.path(number))?.read_exact_at(&mut text, 0)?;
            spool.sent_lines = count_lines(&text);
        }
        Ok(spool)
    }

    /// Appends a line, which has its end. Gives how many of the oldest were dropped for it.
    pub(super) fn push(&mut self, line: &[u8]) -> io::Result<u64> {
        let length = line.len() as u64;
        let full_segment = (self.max / SEGMENTS).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1);
        if self.segments.back().is_none_or(|last| last.bytes >= full_segment) {
            self.tail = None;
            let number = self.segments.back().map_or(1, |last| last.number + 1).max(self.next_number());
            self.segments.push_back(Segment { number, bytes: 0, lines: 0 });
        }
        let mut dropped = 0;
        while self.bytes() + length > self.max && self.segments.len() > 1 {
            dropped += self.drop_first();
        }
        let Some(last) = self.segments.back().copied() else { return Ok(dropped) };
        let tail = match &mut self.tail {
            Some(tail) => tail,
            closed => {
                let path = self.directory.join(file_name(last.number));
                let file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path)?;
                closed.insert(file)
            }
        };
        if let Err(error) = tail.write_all(line) {
            let _ = tail.set_len(last.bytes);
            self.tail = None;
            return Err(error);
        }
        if let Some(last) = self.segments.back_mut() {
            last.bytes += length;
            last.lines += 1;
        }
        self.is_dirty = true;
        Ok(dropped)
    }

    /// The oldest lines that were not sent, at most so many.
    pub(super) fn next(&mut self, most: usize) -> io::Result<Batch> {
        loop {
            let Some(first) = self.segments.front().copied() else { return Ok(Batch::default()) };
            if self.sent < first.bytes {
                return self.read(first, most);
            }
            if self.segments.len() == 1 {
                return Ok(Batch::default());
            }
            self.drop_first();
        }
    }

    fn read(&self, segment: Segment, most: usize) -> io::Result<Batch> {
        let file = File::open(self.path(segment.number))?;
        let length = (segment.bytes - self.sent).min(MAX_READ_BYTES);
        let mut text = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut text, self.sent)?;
        let (mut lines, mut end) = (Vec::new(), self.sent);
        for line in text.split_inclusive(|byte| *byte == b'\n').take(most) {
            // No line is longer than what is read at once; or it goes, for it would hold all others up.
            let is_whole = line.ends_with(b"\n") || lines.is_empty();
            if !is_whole {
                break;
            }
            end += line.len() as u64;
            lines.push(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
        }
        Ok(Batch { lines, segment: segment.number, end })
    }

    /// The other end has these.
    pub(super) fn sent(&mut self, batch: &Batch) -> io::Result<()> {
        if self.segments.front().is_some_and(|first| first.number == batch.segment) {
            self.sent = batch.end;
            self.sent_lines += batch.lines.len() as u64;
            let is_through = self.segments.front().is_some_and(|first| self.sent >= first.bytes);
            if is_through && self.segments.len() > 1 {
                self.drop_first();
            }
            self.note_position()?;
        }
        Ok(())
    }

    /// Lines that were not sent, and their bytes.
    pub(super) fn waiting(&self) -> (u64, u64) {
        let lines: u64 = self.segments.iter().map(|segment| segment.lines).sum();
        (lines.saturating_sub(self.sent_lines), self.bytes() - self.sent)
    }

    /// Waits until the disk has what was pushed.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match &self.tail {
            Some(tail) if std::mem::take(&mut self.is_dirty) => tail.sync_data(),
            Some(_) | None => Ok(()),
        }
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// A number that no segment had which the cursor may speak of.
    fn next_number(&self) -> u64 {
        let mut position = [0; 20];
        let read = self.cursor.read_at(&mut position, 0).unwrap_or(0);
        let number = std::str::from_utf8(position.get(..read).unwrap_or_default()).unwrap_or_default();
        number.trim().parse::<u64>().map_or(1, |number| number + 1)
    }

    /// Gives how many lines it had that were not sent.
    fn drop_first(&mut self) -> u64 {
        let Some(first) = self.segments.pop_front() else { return 0 };
        // If it stays, the cursor says that it is through.
        let _ = std::fs::remove_file(self.path(first.number));
        let unsent = first.lines.saturating_sub(self.sent_lines);
        (self.sent, self.sent_lines) = (0, 0);
        let _ = self.note_position();
        unsent
    }

    /// The first segment that counts, and up to where that was sent: 20 digits each, so that a newer position
    /// covers the older one.
    fn note_position(&mut self) -> io::Result<()> {
        let number = self.segments.front().map_or_else(|| self.next_number(), |first| first.number);
        self.cursor.write_all_at(format!("{number:020} {:020}\n", self.sent).as_bytes(), 0)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(file_name(number))
    }
}

fn file_name(number: u64) -> String {
    format!("{number:010}.jsonl")
}

/// What is there, in order. A last line without its end gets one.
fn segments_of(directory: &Path) -> io::Result<VecDeque<Segment>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jsonl")?.parse::<u64>().ok());
        let Some(number) = number else { continue };
        let mut text = std::fs::read(entry.path())?;
        if text.last().is_some_and(|last| *last != b'\n') {
            OpenOptions::new().append(true).open(entry.path())?.write_all(b"\n")?;
            text.push(b'\n');
        }
        segments.push(Segment { number, bytes: text.len() as u64, lines: count_lines(&text) });
    }
    segments.sort_by_key(|segment| segment.number);
    Ok(segments.into())
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests;
