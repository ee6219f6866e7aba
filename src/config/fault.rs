//! One thing that is wrong, where it stands and what to write instead.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// No excerpt and no message is longer, in characters.
pub(super) const MAX_SHOWN: usize = 160;

/// A fault (or a warning) of the configuration. Never holds a secret: values that were expanded
/// from the environment or a file are not shown, nor what stands beside a password.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Fault {
    /// The file, as it was named on the command line or found beside it.
    pub file: String,
    /// From 1; 0 where the file could not be read.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Dotted path (`trunk.sinch.host`, `listener[2].bind`); empty for the whole file.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub cure: Option<String>,
    /// Which file in the order of reading, for sorting.
    #[serde(skip)]
    pub(super) source: usize,
    /// The source line and how many characters of it are meant.
    #[serde(skip)]
    pub(super) excerpt: Option<Excerpt>,
}

/// The line to show under a fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Excerpt {
    pub(super) line: String,
    /// How many characters stand before the carets: strings are shown empty, so this is not the column.
    pub(super) indent: usize,
    /// How many characters the carets underline, at least 1.
    pub(super) width: usize,
}

impl Fault {
    /// A fault of a file as a whole, or of what it asks the system for: without a place.
    pub(crate) fn without_place(file: String, key: String, message: &str, cure: Option<String>) -> Fault {
        Fault { file, line: 0, column: 0, key, message: capped(message), cure, source: 0, excerpt: None }
    }
}

/// Text that came from a file, no longer than a line of a terminal or two.
pub(super) fn capped(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", printable(&text[..end])),
        None => printable(text),
    }
}

/// Nothing that a terminal would obey: keys and file names may hold anything.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(cure) = &self.cure {
            write!(f, "; {cure}")?;
        }
        if let Some(excerpt) = &self.excerpt {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            let indent = " ".repeat(excerpt.indent);
            write!(f, "\n {number} | {}", excerpt.line)?;
            write!(f, "\n {margin} | {indent}{}", "^".repeat(excerpt.width))?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
