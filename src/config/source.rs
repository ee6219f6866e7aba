//! The files of a configuration, and places in them.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Fault;
use super::fault::Excerpt;

/// No file of a configuration is larger.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// No directory has more.
const MAX_FILES: usize = 4_096;

/// What a file may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Everything.
    Main,
    /// Trunks and routes.
    Trunks,
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) kind: Kind,
}

impl Source {
    pub(super) fn new(name: String, text: String, kind: Kind) -> Source {
        Source { name, text, kind }
    }

    /// Line and column (from 1, in characters) of a byte offset.
    pub(super) fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.before(offset);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The line of a span for showing, without what follows `=` where that may be a secret.
    pub(super) fn excerpt(&self, span: &Range<usize>, hide_value: bool) -> Option<Excerpt> {
        let before = self.before(span.start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next()?;
        let column = before[line_start..].chars().count();
        let shown = if hide_value || may_hold_secret(line) { without_value(line) } else { line.to_owned() };
        let rest = shown.chars().count().saturating_sub(column);
        let width =
            self.text.get(span.clone()).map_or(1, |text| text.chars().take_while(|c| *c != '\n').count());
        (rest > 0 || !shown.is_empty())
            .then(|| Excerpt { line: shown.trim_end().replace('\t', " "), width: width.min(rest).max(1) })
    }

    fn before(&self, offset: usize) -> &str {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        &self.text[..end]
    }
}

/// A password may stand on this line; misspelt keys count.
fn may_hold_secret(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["pass", "pwd", "secret", "token", "credential"].iter().any(|word| line.contains(word))
}

fn without_value(line: &str) -> String {
    match line.split_once('=') {
        Some((key, _)) => format!("{key}= …"),
        None => "…".to_owned(),
    }
}

/// FILE first, then `trunks.d/*.toml` beside it in name order.
pub(super) fn read_all(path: &Path) -> Result<Vec<Source>, Vec<Fault>> {
    let mut sources = Vec::new();
    let mut faults = Vec::new();
    let mut read = |path: &Path, kind| match read_one(path) {
        Ok(text) => sources.push(Source::new(path.display().to_string(), text, kind)),
        Err(reason) => faults.push(unreadable(path, &reason)),
    };
    read(path, Kind::Main);
    let directory = path.parent().unwrap_or(Path::new("")).join("trunks.d");
    match trunk_files(&directory) {
        Ok(files) => files.iter().for_each(|file| read(file, Kind::Trunks)),
        Err(reason) => faults.push(unreadable(&directory, &reason)),
    }
    if faults.is_empty() { Ok(sources) } else { Err(faults) }
}

fn read_one(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("larger than {MAX_FILE_BYTES} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn trunk_files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(format!("more than {MAX_FILES} files"));
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, reason: &str) -> Fault {
    Fault {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        key: String::new(),
        message: format!("cannot be read: {reason}"),
        cure: None,
        source: 0,
        excerpt: None,
    }
}
