//! What is no TOML: every place of it, in the words of who wrote it. The parser goes on behind a fault; what
//! it then takes for another is left out.
//!
//! No value is repeated: what is a value and what a string is anybody's guess here, and it may be a secret.

use std::ops::Range;

use toml::de::Error;

use super::known_keys;

/// More faults of one file help nobody.
const MAX_FAULTS: usize = 50;

/// The parser may find many in one line.
const MAX_ERRORS: usize = 500;

/// One line that is no TOML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SyntaxFault {
    pub(super) span: Range<usize>,
    /// The table and key, as far as they can be told.
    pub(super) key: String,
    pub(super) message: String,
    pub(super) cure: String,
    /// The value alone is wrong: key and table were understood, and so is what follows.
    pub(super) is_of_value: bool,
}

/// What the parser complains of, a fault a line.
pub(super) fn faults(text: &str, errors: &[Error]) -> Vec<SyntaxFault> {
    let mut errors: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    errors.truncate(MAX_ERRORS);
    let mut faults: Vec<(u8, SyntaxFault)> = Vec::new();
    let mut last_line = None;
    let mut doubled_table = None;
    for (span, message) in errors {
        let line = Line::around(text, span.start);
        // A bracket that is not closed shows where the next setting begins.
        let opener = message.contains("comma") || message.contains("extra assignment");
        let opener = opener.then(|| unclosed(text, &line)).flatten();
        if let Some((at, complaint)) = opener {
            // Whatever else is said from there on follows from it.
            faults.retain(|(_, fault)| fault.span.start < at);
            faults.push(explain(text, &Line::around(text, at), at..at + 1, complaint));
            break;
        }
        let (rank, fault) = explain(text, &line, span, message);
        // What a table says that is there twice was said before, too.
        let is_header = line.text.trim_start().starts_with('[');
        if is_header {
            doubled_table = (message == "duplicate key").then_some(line.start);
        } else if message == "duplicate key" && doubled_table == line.table_start {
            continue;
        }
        let is_same_line = last_line == Some(line.start);
        match faults.last_mut().filter(|_| is_same_line) {
            Some((best, kept)) if rank < *best => (*best, *kept) = (rank, fault),
            Some(_) => {}
            None => faults.push((rank, fault)),
        }
        if faults.len() == MAX_FAULTS {
            break;
        }
        last_line = Some(line.start);
    }
    faults.into_iter().map(|(_, fault)| fault).collect()
}

/// A line of a file and the table that it is in.
struct Line<'a> {
    start: usize,
    text: &'a str,
    /// Where the line of the table's name begins.
    table_start: Option<usize>,
    /// `trunk.a`, `route[2]`; empty before the first.
    table: String,
}

impl<'a> Line<'a> {
    fn around(text: &'a str, offset: usize) -> Line<'a> {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let mut table = (None, String::new());
        let mut lists: Vec<&str> = Vec::new();
        let mut at = 0;
        for before in text.split_inclusive('\n') {
            if let Some((name, is_list)) = header(before) {
                let shown = if is_list {
                    lists.push(name);
                    format!("{name}[{}]", lists.iter().filter(|other| **other == name).count())
                } else {
                    name.to_owned()
                };
                table = (Some(at), shown);
            }
            at += before.len();
            if at > start {
                break;
            }
        }
        Line { start, text: line, table_start: table.0, table: table.1 }
    }

    /// What stands before the first `=` or `:`, if it may be shown.
    fn key(&self) -> &'a str {
        let end = self.text.find(['=', ':', ' ', '"']).unwrap_or(self.text.len());
        let key = self.text.get(..end).unwrap_or_default().trim();
        let key =
            if key.is_empty() { self.text.trim_start().split(['=', ' ']).next().unwrap_or("") } else { key };
        if known_keys::is_known(key) { key } else { "" }
    }

    /// Whether a colon follows the key, as in YAML and JSON.
    fn has_colon(&self) -> bool {
        let behind = self
            .text
            .trim_start()
            .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '"');
        behind.trim_start().starts_with(':')
    }

    /// What stands before a place, up to the `=` that it is the value of.
    fn before(&self, offset: usize) -> Option<(&'a str, &'a str)> {
        self.text.get(..offset.saturating_sub(self.start).min(self.text.len()))?.rsplit_once('=')
    }

    /// The key of a table within the line, as in `limits = { calls = … }`.
    fn inner_key(&self, offset: usize) -> Option<&'a str> {
        let (before, _) = self.before(offset)?;
        let key = before.trim_end().rsplit(['{', ',', ' ', '\t']).next().unwrap_or_default();
        (before.contains('{') && known_keys::is_known(key)).then_some(key)
    }

    /// The value that a place is in or behind.
    fn value_at(&self, offset: usize) -> &'a str {
        let first = self.text.split_once('=').map_or("", |(_, value)| value.trim());
        let before = self.before(offset).filter(|(before, _)| before.contains('{'));
        before.map_or(first, |(before, _)| self.text[before.len() + 1..].trim())
    }

    /// The key, or a stand-in for one that may not be shown.
    fn key_or_name(&self) -> &'a str {
        if self.key().is_empty() { "NAME" } else { self.key() }
    }

    fn path(&self) -> String {
        match (self.table.as_str(), self.key()) {
            (table, _) if header(self.text).is_some() => table.to_owned(),
            (table, "") => table.to_owned(),
            ("", key) => key.to_owned(),
            (table, key) => format!("{table}.{key}"),
        }
    }
}

/// The name in `[name]` or `[[name]]`, and whether it is a list's. Brackets that miss count.
fn header(line: &str) -> Option<(&str, bool)> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let inner = line.strip_prefix('[')?;
    let name = inner.trim_start_matches('[').trim_end_matches(']').trim();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.\" ".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_name) && !name.starts_with('"'))
        .then_some((name, inner.starts_with('[')))
}

/// A complaint in the words of who wrote the line.
struct Told {
    /// How much it is worth beside another of the same line: less is more.
    rank: u8,
    message: String,
    cure: String,
}

fn told(rank: u8, message: &str, cure: impl Into<String>) -> Option<Told> {
    Some(Told { rank, message: message.to_owned(), cure: cure.into() })
}

/// The rank, and the fault.
fn explain(text: &str, line: &Line<'_>, span: Range<usize>, complaint: &str) -> (u8, SyntaxFault) {
    let (what, expected) = complaint.split_once(", expected").unwrap_or((complaint, ""));
    let inner = line.inner_key(span.start);
    let key = inner.unwrap_or_else(|| line.key_or_name());
    let value = line.value_at(span.start);
    let behind = text.get(span.start..).unwrap_or_default().trim_start_matches([' ', '\t']);
    let of_value = of_value(what, key, value);
    let is_of_value = of_value.is_some() || (what == "duplicate key" && header(line.text).is_none());
    let told = of_value
        .or_else(|| of_line(what, key, value, behind, line))
        .or_else(|| of_brackets(what, key, line))
        .or_else(|| if what == "duplicate key" { twice(text, line) } else { None })
        .unwrap_or_else(|| {
            let cure = if expected.is_empty() { String::new() } else { format!("expected is{expected}") };
            Told { rank: u8::MAX, message: what.to_owned(), cure }
        });
    let path = match inner {
        Some(inner) if !line.path().is_empty() => format!("{}.{inner}", line.path()),
        _ => line.path(),
    };
    let Told { rank, message, cure } = told;
    (rank, SyntaxFault { span, key: path, message, cure, is_of_value })
}

/// A value that is none, where its key was understood.
fn of_value(what: &str, key: &str, value: &str) -> Option<Told> {
    const TRUTHS: [&str; 8] = ["yes", "on", "no", "off", "True", "False", "TRUE", "FALSE"];
    let is_truth = || TRUTHS.contains(&value.split([' ', '#', ',']).next().unwrap_or_default());
    match what {
        _ if is_quoted_otherwise(value) => None,
        "invalid boolean" => of_truth(key),
        "string values must be quoted" if is_truth() => of_truth(key),
        "string values must be quoted" => told(3, "text stands in quotes", format!("write {key} = \"…\"")),
        "invalid float" | "unexpected leading zero" | "invalid integer" if is_address(value) => {
            let list = if value.starts_with('[') { "[\"…\", \"…\"]" } else { "\"…\"" };
            told(2, "addresses stand in quotes", format!("write {key} = {list}"))
        }
        "unexpected leading zero" => {
            told(3, "a number does not begin with 0", "write it without the 0, or in quotes if it is dialled")
        }
        _ => None,
    }
}

fn of_truth(key: &str) -> Option<Told> {
    told(1, "this is neither true nor false", format!("write {key} = true or {key} = false"))
}

fn is_quoted_otherwise(value: &str) -> bool {
    value.starts_with(['‘', '’', '“', '”', '„'])
}

/// What stands where something else belongs.
fn of_line(what: &str, key: &str, value: &str, behind: &str, line: &Line<'_>) -> Option<Told> {
    match what {
        _ if is_quoted_otherwise(value) => {
            told(0, "these are a word processor's quotes", "write the plain \" of the keyboard")
        }
        "key with no value" | "invalid unquoted key" if line.has_colon() => {
            told(0, "a colon stands where = belongs", format!("write {key} = …"))
        }
        "key with no value" => {
            told(1, "there is no = in this line", format!("write {key} = …, or begin a comment with #"))
        }
        "missing comma between key-value pairs" | "extra assignment between key-value pairs" => {
            told(1, "there is no comma between two settings", "write one, as in { calls = 10, cps = 5 }")
        }
        "missing comma between array elements" => {
            told(1, "there is no comma between two values", "write one, as in [\"a\", \"b\"]")
        }
        "unexpected key or value" if behind.starts_with(',') => told(
            1,
            "several values are a list",
            format!("write {key} = [\"…\", \"…\"], where several are allowed"),
        ),
        "unexpected key or value" if value.starts_with('\'') => {
            told(1, "a ' in the text ends it", format!("write {key} = \"…\", in double quotes"))
        }
        "unexpected key or value" => {
            told(4, "something stands behind the value", "begin a new line, or a comment with #")
        }
        _ => None,
    }
}

/// What has no end, or another than was meant.
fn of_brackets(what: &str, key: &str, line: &Line<'_>) -> Option<Told> {
    match what {
        "invalid basic string" | "invalid multi-line basic string" => {
            told(2, "a quote is missing", "end the text with \"")
        }
        "invalid literal string" | "invalid multi-line literal string" => {
            told(2, "a quote is missing", "end the text with '")
        }
        _ if what.contains("escape") || what.contains("unicode") => told(
            1,
            "a \\ means something in double quotes",
            "write \\\\ for one, or the text in single quotes",
        ),
        "unclosed table" | "unclosed array table" => {
            told(1, "the name of the table has no end", header_cure(line))
        }
        "unclosed inline table" => told(1, "a { has no }", format!("write {key} = {{ … }} on one line")),
        "unclosed array" => told(1, "a [ has no ]", format!("end the list: {key} = [ … ]")),
        _ => None,
    }
}

/// Where a bracket opens that a line with a setting of its own shows to have no end.
fn unclosed(text: &str, line: &Line<'_>) -> Option<(usize, &'static str)> {
    let (key, _) = line.text.split_once('=')?;
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if key.trim().is_empty() || !key.trim().bytes().all(is_key) {
        return None;
    }
    let above = text.get(line.table_start?..line.start)?;
    let at = above.rfind("= {").max(above.rfind("= ["))?;
    let what = if above[at..].starts_with("= {") { "unclosed inline table" } else { "unclosed array" };
    Some((line.table_start? + at + 2, what))
}

fn is_address(value: &str) -> bool {
    value.matches('.').count() >= 2
        && value.bytes().take_while(|byte| *byte != b'#').all(|byte| b"0123456789.:/[], \"".contains(&byte))
}

fn header_cure(line: &Line<'_>) -> String {
    match header(line.text) {
        Some((name, _)) if name.contains(' ') => {
            "names have no blanks: letters, digits, - and _ alone".to_owned()
        }
        Some((name, true)) => format!("write [[{name}]]"),
        Some((name, false)) => format!("write [{name}]"),
        None => "write ] behind it".to_owned(),
    }
}

/// A table or a key that is there already, and where.
fn twice(text: &str, line: &Line<'_>) -> Option<Told> {
    let before = &text[..line.start];
    if let Some((name, is_list)) = header(line.text) {
        let first = before.lines().enumerate().find_map(|(at, other)| {
            header(other).filter(|(other, _)| *other == name).map(|(_, was_list)| (at + 1, was_list))
        });
        let Some((at, was_list)) = first else {
            return told(1, "this table is there already", "keep one of them");
        };
        let message = format!("this table is there already, on line {at}");
        let cure = match name {
            "listener" | "route" => format!("write [[{name}]], with two brackets, for each"),
            _ if is_list || was_list => format!("write [{name}] once"),
            _ => "put the two together, or give one of them another name".to_owned(),
        };
        return told(1, &message, cure);
    }
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let own = key(line.text);
    let table = line.table_start.unwrap_or(0);
    let lines_above = text[..table].matches('\n').count();
    let first = text[table..line.start].lines().position(|other| key(other) == own);
    let message = match first {
        Some(at) => format!("this key is there already, on line {}", lines_above + at + 1),
        None => "this key is there already".to_owned(),
    };
    told(1, &message, "keep one of the two")
}
