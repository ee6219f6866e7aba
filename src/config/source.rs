//! The files of a configuration, and places in them.

use std::fs::{Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::fault::{Excerpt, MAX_SHOWN, capped};
use super::{Fault, known_keys};

/// No file of a configuration is larger.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// No directory has more.
const MAX_FILES: usize = 4_096;

const NO_SUCH_FILE: &str = "there is no such file";
const NOT_PERMITTED: &str = "permission denied";

/// What a file may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Everything.
    Main,
    /// Trunks and routes.
    Trunks,
    /// A provider pack.
    Profile,
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) kind: Kind,
    layout: OnceLock<Layout>,
}

/// What every fault asks of a text, looked at once: there may be as many faults as lines.
#[derive(Clone, Debug)]
struct Layout {
    /// Where each line begins.
    lines: Vec<usize>,
    /// Strings may go over several lines.
    has_long_strings: bool,
}

impl Source {
    pub(super) fn new(name: String, text: String, kind: Kind) -> Source {
        Source { name, text, kind, layout: OnceLock::new() }
    }

    /// Line and column (from 1, in characters) of a byte offset.
    pub(super) fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.before(offset);
        let lines = self.layout().lines.partition_point(|start| *start <= before.len());
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (lines.max(1), before[line_start..].chars().count() + 1)
    }

    fn layout(&self) -> &Layout {
        self.layout.get_or_init(|| Layout {
            lines: std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
            has_long_strings: self.text.contains("\"\"\"") || self.text.contains("'''"),
        })
    }

    /// The line of a span for showing: what is in quotes never is, and with `hide_value` nothing that
    /// follows `=` is. `None` where strings go over several lines: then a line alone does not tell what
    /// is a string.
    pub(super) fn excerpt(&self, span: &Range<usize>, hide_value: bool) -> Option<Excerpt> {
        if self.layout().has_long_strings {
            return None;
        }
        let before = self.before(span.start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[line_start..].lines().next()?;
        let meant = self.text.get(span.clone()).and_then(|text| text.lines().next()).unwrap_or_default();
        let end = (before.len() - line_start + meant.len()).min(line.len());
        let whole =
            if hide_value || may_hold_secret(line) { without_value(line) } else { without_strings(line) };
        let shown = capped(&whole.trim_end().replace('\t', " "));
        let length = shown.chars().count();
        let start = without_strings(&before[line_start..]).chars().count();
        // Of what is hidden the carets mean the whole.
        let indent = start.min(length.saturating_sub(usize::from(shown.ends_with('…'))));
        let until = line.get(..end).map_or(indent, |text| without_strings(text).chars().count());
        let width = until.min(length).saturating_sub(indent).max(1);
        (length > 0 && start <= MAX_SHOWN).then_some(Excerpt { line: shown, indent, width })
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
    // Where more than a key stands before it, this is no key's `=`: passwords end so, too.
    let key = line.split_once('=').map(|(key, _)| without_strings(key));
    match key.filter(|key| !key.trim().contains([' ', '\t', ':'])) {
        Some(key) => format!("{key}= …"),
        None if line.trim_start().starts_with('[') => without_strings(line),
        None => match line.split([':', ' ', '\t', '"']).next() {
            Some(key) if known_keys::is_known(key) && line[key.len()..].starts_with(':') => {
                format!("{key}: …")
            }
            Some(key) if known_keys::is_known(key) => format!("{key} …"),
            Some(_) | None => "…".to_owned(),
        },
    }
}

/// Every string as `"…"`; one without an end hides the rest of the line.
fn without_strings(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(quote) = characters.next() {
        shown.push(quote);
        if quote != '"' && quote != '\'' {
            continue;
        }
        let mut is_empty = true;
        let mut is_closed = false;
        while let Some(character) = characters.next() {
            if character == quote {
                is_closed = true;
                break;
            }
            is_empty = false;
            if character == '\\' && quote == '"' {
                characters.next();
            }
        }
        if !is_empty {
            shown.push('…');
        }
        if is_closed {
            shown.push(quote);
        }
    }
    shown
}

/// FILE first, then `trunks.d/*.toml` and `profiles.d/*.toml` beside it in name order.
pub(super) fn read_all(path: &Path) -> Result<Vec<Source>, Vec<Fault>> {
    let mut sources = Vec::new();
    let mut faults = Vec::new();
    let mut read = |path: &Path, kind| match read_one(path) {
        Ok(text) => sources.push(Source::new(path.display().to_string(), text, kind)),
        Err(reason) => faults.push(unreadable(path, &reason, kind)),
    };
    read(path, Kind::Main);
    let directory = path.parent().unwrap_or(Path::new("")).join("trunks.d");
    match toml_files(&directory) {
        Ok(files) => files.iter().for_each(|file| read(file, Kind::Trunks)),
        Err(reason) => faults.push(unreadable(&directory, &reason, Kind::Trunks)),
    }
    match read_profiles(path) {
        Ok(profiles) => sources.extend(profiles),
        Err(more) => faults.extend(more),
    }
    if faults.is_empty() { Ok(sources) } else { Err(faults) }
}

/// `profiles.d/*.toml` beside FILE in name order.
pub(super) fn read_profiles(path: &Path) -> Result<Vec<Source>, Vec<Fault>> {
    let directory = path.parent().unwrap_or(Path::new("")).join("profiles.d");
    let files =
        toml_files(&directory).map_err(|reason| vec![unreadable(&directory, &reason, Kind::Profile)])?;
    let (mut sources, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        match read_one(&file) {
            Ok(text) => sources.push(Source::new(file.display().to_string(), text, Kind::Profile)),
            Err(reason) => faults.push(unreadable(&file, &reason, Kind::Profile)),
        }
    }
    if faults.is_empty() { Ok(sources) } else { Err(faults) }
}

/// The main file alone.
pub(super) fn read_main(path: &Path) -> Result<String, String> {
    read_one(path)
}

fn read_one(path: &Path) -> Result<String, String> {
    read_regular(path, MAX_FILE_BYTES)
}

/// A regular file's text. Pipes and devices, which may never end or never begin, are refused.
pub(super) fn read_regular(path: &Path, max_bytes: u64) -> Result<String, String> {
    let reason = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => NO_SUCH_FILE.to_owned(),
        ErrorKind::PermissionDenied => NOT_PERMITTED.to_owned(),
        _ => error.to_string(),
    };
    let refuse = |metadata: &Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err("this is no regular file".to_owned()),
    };
    // Before it is opened, for that alone can have effects on a device; and after, for it may have been
    // replaced. Without waiting, as a pipe would have us.
    refuse(&std::fs::metadata(path).map_err(reason)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(reason)?;
    refuse(&file.metadata().map_err(reason)?)?;
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(reason)?;
    if bytes.len() as u64 > max_bytes {
        return Err(format!("larger than {max_bytes} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "this is not UTF-8 text".to_owned())
}

fn toml_files(directory: &Path) -> Result<Vec<PathBuf>, String> {
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

fn unreadable(path: &Path, reason: &str, kind: Kind) -> Fault {
    let message = format!("cannot be read: {reason}");
    let cure = match reason {
        NO_SUCH_FILE if kind == Kind::Main => Some("name the configuration with --config FILE".to_owned()),
        // Its directory has the name.
        NO_SUCH_FILE => Some("this is a link to nowhere: mend it, or take it away".to_owned()),
        NOT_PERMITTED => Some("run this as root, or as a member of the group drawbridge".to_owned()),
        _ => None,
    };
    Fault::without_place(path.display().to_string(), String::new(), &message, cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_shown_empty_and_one_without_end_hides_the_rest() {
        assert_eq!(without_strings(r#"a = "x\"y" # 'z' b"#), r#"a = "…" # '…' b"#);
        assert_eq!(without_strings(r#"a = ["", "b"], c"#), r#"a = ["", "…"], c"#);
        assert_eq!(without_strings(r#"a = "open"#), r#"a = "…"#);
        assert_eq!(without_value("hunter2 is it"), "…");
        // Base64 ends in what looks like an assignment.
        assert_eq!(without_value("password: aHVudGVyMg=="), "password: …");
        assert_eq!(without_value("password aHVudGVyMg="), "password …");
        assert_eq!(without_value("secret word = 5"), "…");
        assert_eq!(without_value("  host = 5"), "  host = …");
    }

    #[test]
    fn lines_and_columns_begin_with_1_and_a_line_has_its_end() {
        let source = Source::new("a.toml".to_owned(), "é=1\n\nb\n".to_owned(), Kind::Main);
        let places = [0, 1, 2, 4, 5, 6, 7, 8, 99].map(|offset| source.line_column(offset));
        assert_eq!(places, [(1, 1), (1, 1), (1, 2), (1, 4), (2, 1), (3, 1), (3, 2), (4, 1), (4, 1)]);
    }

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        assert_eq!(read_regular(Path::new("/dev/zero"), 10), Err("this is no regular file".to_owned()));
        assert_eq!(read_regular(Path::new("/proc"), 10), Err("this is no regular file".to_owned()));
        let pipe = std::env::temp_dir().join(format!("drawbridge-fifo-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_regular(&pipe, 10), Err("this is no regular file".to_owned()));
        std::fs::remove_file(&pipe).unwrap();
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(read_regular(&manifest, 10), Err("larger than 10 bytes".to_owned()));
        assert!(read_regular(&manifest, 1 << 20).unwrap().contains("drawbridge"));
    }
}
