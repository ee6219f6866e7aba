//! A small typed reader over the parsed trees: it notes which keys are known, and faults instead of
//! stopping at them. `None` from any of its functions means "absent, or a fault was noted".

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Fault;
use super::expand::Surroundings;
use super::fault::capped;
use super::known_keys;
use super::source::Source;
use super::syntax::SyntaxFault;

/// Faults and warnings as they are found.
pub(super) struct Report<'a> {
    sources: &'a [Source],
    surroundings: &'a Surroundings<'a>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    /// Files and lines that are no TOML.
    broken: RefCell<BTreeSet<(usize, usize)>>,
}

/// A stretch of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) source: usize,
    pub(super) span: Range<usize>,
}

impl<'a> Report<'a> {
    pub(super) fn new(sources: &'a [Source], surroundings: &'a Surroundings<'a>) -> Report<'a> {
        Report {
            sources,
            surroundings,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            broken: RefCell::default(),
        }
    }

    /// Whether no fault was noted yet.
    pub(super) fn is_clean(&self) -> bool {
        self.faults.borrow().is_empty()
    }

    pub(super) fn into_parts(self) -> (Vec<Fault>, Vec<Fault>) {
        (self.faults.into_inner(), self.warnings.into_inner())
    }

    pub(super) fn fault(&self, place: &Place, key: &str, message: impl Into<String>, cure: impl Cure) {
        self.push(self.at(place, key, message.into(), cure.text(), false));
    }

    /// Nothing is said of a line that could not be read.
    fn push(&self, fault: Fault) {
        if !self.broken.borrow().contains(&(fault.source, fault.line)) {
            self.faults.borrow_mut().push(fault);
        }
    }

    pub(super) fn warn(&self, place: &Place, key: &str, message: impl Into<String>, cure: impl Cure) {
        self.warnings.borrow_mut().push(self.at(place, key, message.into(), cure.text(), false));
    }

    /// File and line of a place, to point at it from elsewhere.
    pub(super) fn position(&self, place: &Place) -> (&str, usize) {
        let source = &self.sources[place.source];
        (&source.name, source.line_column(place.span.start).0)
    }

    fn at(&self, place: &Place, key: &str, message: String, cure: Option<String>, hide: bool) -> Fault {
        let source = &self.sources[place.source];
        let (line, column) = source.line_column(place.span.start);
        Fault {
            file: source.name.clone(),
            line,
            column,
            key: capped(key),
            message: capped(&message),
            cure,
            source: place.source,
            excerpt: source.excerpt(&place.span, hide),
        }
    }

    /// A line that is no TOML: nothing of its value is shown, and nothing else is said of it.
    pub(super) fn syntax(&self, source: usize, fault: SyntaxFault) {
        let place = Place { source, span: fault.span };
        let fault = self.at(&place, &fault.key, fault.message, fault.cure.text(), true);
        self.broken.borrow_mut().insert((source, fault.line));
        self.faults.borrow_mut().push(fault);
    }

    /// An unknown key; its value is not shown, for it may be a misspelt password.
    fn unknown(&self, place: &Place, key: &str, cure: Option<String>) {
        self.push(self.at(place, key, "unknown key".to_owned(), cure, true));
    }
}

/// What to write instead, or nothing.
pub(super) trait Cure {
    fn text(self) -> Option<String>;
}

impl Cure for &str {
    fn text(self) -> Option<String> {
        (!self.is_empty()).then(|| self.to_owned())
    }
}

impl Cure for String {
    fn text(self) -> Option<String> {
        (!self.is_empty()).then_some(self)
    }
}

/// A table with the keys that were asked for.
pub(super) struct Table<'a> {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) report: &'a Report<'a>,
    entries: &'a DeTable<'a>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    pub(super) fn new(
        path: &str,
        place: Place,
        entries: &'a DeTable<'a>,
        report: &'a Report<'a>,
    ) -> Table<'a> {
        Table { path: path.to_owned(), place, report, entries, known: RefCell::default() }
    }

    /// The value of a key that is known from now on.
    pub(super) fn value(&self, key: &'static str) -> Option<Value<'a>> {
        self.known.borrow_mut().push(key);
        let (name, value) = self.entries.get_key_value(key)?;
        Some(self.entry(name, value))
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.value(key);
        if value.is_none() {
            self.fault(format!("{key} is missing"), format!("write {key} = {example}"));
        }
        value
    }

    /// Every entry in the order of the file, for tables whose keys are names.
    pub(super) fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(name, value)| (name.get_ref().as_ref(), self.entry(name, value)))
            .collect();
        entries.sort_by_key(|(_, value)| value.key_place.span.start);
        entries
    }

    /// Notes a fault of the table as a whole.
    pub(super) fn fault(&self, message: impl Into<String>, cure: impl Cure) {
        self.report.fault(&self.place, &self.path, message, cure);
    }

    /// Faults every key that nobody asked for.
    pub(super) fn finish(&self) {
        let known = self.known.borrow();
        for (name, value) in self.entries() {
            if !known.contains(&name) {
                self.report.unknown(&value.key_place, &value.path, self.cure_of(name, &value, &known));
            }
        }
    }

    /// What to write instead of a key that nobody asked for.
    fn cure_of(&self, name: &str, value: &Value<'_>, known: &[&str]) -> Option<String> {
        let near = Table::nearest(name, known);
        let meant = near.map(|near| format!("did you mean \"{near}\"?"));
        if near.is_some_and(|near| strsim::damerau_levenshtein(name, near) <= 1) {
            return meant;
        }
        if self.path.is_empty()
            && let DeValue::Table(entries) = value.value
            && ["host", "hosts", "username"].iter().any(|key| entries.contains_key(*key))
        {
            return Some(format!("a trunk is written as [trunk.{name}]"));
        }
        known_keys::belongs(name).or(meant)
    }

    /// The known name that was probably meant.
    pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
        let name = name.to_lowercase();
        let distance = |key: &str| strsim::damerau_levenshtein(&name, key);
        let best = known.iter().copied().min_by_key(|key| distance(key))?;
        (distance(best) <= name.len().min(best.len()) / 2).then_some(best)
    }

    fn entry(
        &self,
        name: &'a Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Value<'a> {
        let path = match self.path.as_str() {
            "" => name.get_ref().to_string(),
            path => format!("{path}.{}", name.get_ref()),
        };
        let source = self.place.source;
        Value {
            path,
            key_place: Place { source, span: name.span() },
            place: Place { source, span: value.span() },
            value: value.get_ref(),
            report: self.report,
        }
    }
}

/// One value with its place.
pub(super) struct Value<'a> {
    pub(super) path: String,
    pub(super) key_place: Place,
    pub(super) place: Place,
    pub(super) report: &'a Report<'a>,
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// Notes a fault of this value.
    pub(super) fn fault(&self, message: impl Into<String>, cure: impl Cure) {
        self.report.fault(&self.place, &self.path, message, cure);
    }

    /// Notes that a later version will read this.
    pub(super) fn not_yet(&self, what: &str, cure: impl Cure) {
        self.report.fault(&self.place, &self.path, format!("{what}: not yet in this version"), cure);
    }

    /// A string, expanded.
    pub(super) fn text(&self) -> Option<Text<'a>> {
        let DeValue::String(raw) = self.value else {
            let is_scalar =
                matches!(self.value, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_));
            return self.wrong_type(if is_scalar { "it in quotes" } else { "a string" });
        };
        match self.report.surroundings.expand(raw) {
            Ok(expanded) => Some(Text {
                shown: if expanded.is_some() { "…".to_owned() } else { raw.to_string() },
                text: expanded.unwrap_or_else(|| raw.to_string()),
                path: self.path.clone(),
                place: self.place.clone(),
                report: self.report,
            }),
            Err((reason, cure)) => {
                self.fault(reason, cure);
                None
            }
        }
    }

    /// A whole number in a range.
    pub(super) fn integer(&self, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let DeValue::Integer(integer) = self.value else {
            let is_quoted = matches!(self.value, DeValue::String(text) if text.parse::<u32>().is_ok());
            return self.wrong_type(if is_quoted { "the number without quotes" } else { "a whole number" });
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number =
            number.and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            self.fault(format!("{} is out of range", integer.as_str()), format!("write {low} to {high}"));
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(boolean) => Some(*boolean),
            DeValue::String(_) => self.wrong_type("true or false, without quotes"),
            _ => self.wrong_type("true or false"),
        }
    }

    /// A table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        match self.value {
            DeValue::Table(entries) => {
                Some(Table::new(&self.path, self.key_place.clone(), entries, self.report))
            }
            DeValue::Array(_) => self.wrong_type(&format!("[{}], with one bracket", self.path)),
            _ => self.wrong_type(&format!("{} = {{ … }}, or [{}]", self.key(), self.path)),
        }
    }

    /// A list of anything.
    pub(super) fn list(&self) -> Option<Vec<Value<'a>>> {
        match self.value {
            DeValue::Array(_) => Some(self.items()),
            DeValue::Table(_) => self.wrong_type(&format!("[[{}]], with two brackets", self.path)),
            _ => self.wrong_type(&format!("a list: {} = [\"…\"]", self.key())),
        }
    }

    /// A list, or one value alone.
    pub(super) fn one_or_list(&self) -> Vec<Value<'a>> {
        match self.value {
            DeValue::Array(_) => self.items(),
            _ => vec![self.item(None, self.place.clone(), self.value)],
        }
    }

    /// A list of strings; faulty ones are noted and left out.
    pub(super) fn texts(&self) -> Option<Vec<Text<'a>>> {
        Some(self.list()?.iter().filter_map(Value::text).collect())
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    /// The last part of the path.
    fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    fn items(&self) -> Vec<Value<'a>> {
        let DeValue::Array(items) = self.value else { return Vec::new() };
        let place = |span| Place { source: self.place.source, span };
        let numbered = items.iter().enumerate();
        numbered.map(|(index, item)| self.item(Some(index + 1), place(item.span()), item.get_ref())).collect()
    }

    fn item(&self, number: Option<usize>, place: Place, value: &'a DeValue<'a>) -> Value<'a> {
        let path = number.map_or(self.path.clone(), |number| format!("{}[{number}]", self.path));
        Value { path, key_place: place.clone(), place, value, report: self.report }
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.fault(format!("this is {found}"), format!("write {wanted}"));
        None
    }
}

/// A string after expansion.
pub(super) struct Text<'a> {
    /// What it says.
    pub(super) text: String,
    /// What may be shown of it: nothing of an expansion.
    pub(super) shown: String,
    pub(super) path: String,
    pub(super) place: Place,
    report: &'a Report<'a>,
}

impl Text<'_> {
    /// Notes that this is not what it should be.
    pub(super) fn fault(&self, wrong: &str, cure: impl Cure) {
        self.report.fault(
            &self.place,
            &self.path,
            format!("\"{}\" {wrong}", self.shown.escape_debug()),
            cure,
        );
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let chosen = choices.iter().find(|(word, _)| *word == self.text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let names: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let cure = match Table::nearest(&self.text, &names) {
                Some(near) => format!("did you mean \"{near}\"? Write {}", words.join(" or ")),
                None => format!("write {}", words.join(" or ")),
            };
            self.fault("is not known here", cure);
        }
        chosen
    }
}
