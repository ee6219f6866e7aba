//! The file of records: lines appended whole or not at all, and what a former run has written there.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::FILE_MODE;

/// So far back records are looked for that a former run may have written just before it ended.
const MAX_TAIL_BYTES: u64 = 32 << 20;

/// The file, opened when it is first needed and again after a failure.
#[derive(Debug, Default)]
pub(super) struct RecordFile {
    path: Option<PathBuf>,
    file: Option<File>,
    /// The last write stopped inside a line.
    torn: bool,
    /// Written to since the last [`RecordFile::sync`].
    is_dirty: bool,
}

impl RecordFile {
    pub(super) fn at(path: Option<PathBuf>) -> RecordFile {
        RecordFile { path, ..RecordFile::default() }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Finds out whether there is a place for records.
    pub(super) fn open(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).read(true).mode(FILE_MODE).open(path);
            // What is no file may let itself be written alone.
            let file = file.or_else(|_| OpenOptions::new().append(true).open(path))?;
            self.torn = ends_torn(&file);
            self.file = Some(file);
        }
        Ok(())
    }

    /// Appends a line, which has its end.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.open()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let before = file.metadata().map(|metadata| metadata.len());
        let written = if self.torn { file.write_all(b"\n") } else { Ok(()) };
        let written = written.and_then(|()| file.write_all(line));
        match written {
            Ok(()) => {
                (self.torn, self.is_dirty) = (false, true);
                Ok(())
            }
            Err(error) => {
                // Half a line is of no use: it is taken back, or else closed by the next one.
                let _ = before.and_then(|before| file.set_len(before));
                self.file = None;
                Err(error)
            }
        }
    }

    /// Waits until the disk has what was written.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match &self.file {
            Some(file) if std::mem::take(&mut self.is_dirty) => match file.sync_data() {
                // A pipe, or a device.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
                synced => synced,
            },
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether the last line has no end: a former run lost its power within it.
fn ends_torn(file: &File) -> bool {
    let Some(last) = file.metadata().ok().and_then(|metadata| metadata.len().checked_sub(1)) else {
        return false;
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last).is_ok() && byte != *b"\n"
}

/// Which of these records stand in the file, or in the one that it was rotated to last, with their lines.
pub(super) fn find(path: &Path, ids: &HashSet<&str>) -> HashMap<String, Vec<u8>> {
    let mut found = HashMap::new();
    for path in [Some(path.to_owned()), rotated(path)].into_iter().flatten() {
        for line in tail(&path).unwrap_or_default().split(|byte| *byte == b'\n') {
            if let Some(id) = id_of(line).filter(|id| ids.contains(id)) {
                found.insert(id.to_owned(), [line, b"\n"].concat());
            }
        }
    }
    found
}

/// The `id` of a whole record: the first of its fields.
pub(super) fn id_of(line: &[u8]) -> Option<&str> {
    let rest = line.strip_prefix(b"{\"id\":\"").filter(|rest| rest.ends_with(b"}"))?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// The newest of the files that begin with the same name.
fn rotated(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let is_rotated = |other: &str| {
        let rest = other.strip_prefix(name)?;
        (rest.starts_with(['.', '-'])
            && rest.contains(|c: char| c.is_ascii_digit())
            && !rest.ends_with(".gz"))
        .then_some(())
    };
    let entries = std::fs::read_dir(path.parent()?).ok()?.flatten();
    let candidates = entries.filter(|entry| entry.file_name().to_str().and_then(is_rotated).is_some());
    let changed = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified());
    candidates.map(|entry| entry.path()).max_by_key(|path| changed(path).unwrap_or(SystemTime::UNIX_EPOCH))
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(Vec::new());
    }
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_TAIL_BYTES)))?;
    let mut text = Vec::new();
    file.take(MAX_TAIL_BYTES).read_to_end(&mut text)?;
    Ok(text)
}
