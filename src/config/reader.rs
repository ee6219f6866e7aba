//! A small typed reader over the parsed trees: it notes which keys are known, and faults instead of
//! stopping at them. `None` from any of its functions means "absent, or a fault was noted".

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Fault;
use super::expand::Surroundings;
use super::fault::capped;
use super::known_keys;
use super::profile::{self, Packs};
use super::source::Source;
use super::syntax::SyntaxFault;

#[cfg(test)]
thread_local! {
    /// Every key that this thread has asked for: those that there are.
    pub(super) static ASKED: RefCell<BTreeSet<String>> = RefCell::default();
}

/// Faults and warnings as they are found.
pub(super) struct Report<'a> {
    sources: &'a [Source],
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) packs: &'a Packs<'a>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    /// Paths of values that a profile gave, with its name.
    filled: RefCell<BTreeMap<String, String>>,
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
    pub(super) fn new(
        sources: &'a [Source],
        surroundings: &'a Surroundings<'a>,
        packs: &'a Packs<'a>,
    ) -> Report<'a> {
        Report {
            sources,
            surroundings,
            packs,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            filled: RefCell::default(),
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
        let warning = self.at(place, key, message.into(), cure.text(), false);
        // A value may be read more than once.
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// File and line of a place, to point at it from elsewhere.
    pub(super) fn position(&self, place: &Place) -> (&str, usize) {
        let source = &self.sources[place.source];
        (&source.name, source.line_column(place.span.start).0)
    }

    fn at(&self, place: &Place, key: &str, message: String, cure: Option<String>, hide: bool) -> Fault {
        let source = &self.sources[place.source];
        let (line, column) = source.line_column(place.span.start);
        let message = match self.profile_behind(key) {
            Some(profile) => format!("{message} (from profile {profile})"),
            None => message,
        };
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

    /// The profile that gave the value of this path, or what it is a part of.
    fn profile_behind(&self, key: &str) -> Option<String> {
        let filled = self.filled.borrow();
        let is_of = |path: &str| {
            key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        filled.iter().find(|(path, _)| is_of(path)).map(|(_, profile)| profile.clone())
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
    /// Tables of a profile that are asked, in this order, for what the table does not say itself.
    behind: Vec<&'a DeTable<'a>>,
    filled: Option<Filled<'a>>,
    /// Whether all of it is the profile's.
    is_filled: bool,
    known: RefCell<Vec<&'static str>>,
}

/// Which profile fills a table in, and where that is said.
#[derive(Clone, Debug)]
pub(super) struct Filled<'a> {
    pub(super) profile: &'a str,
    pub(super) place: Place,
}

impl<'a> Table<'a> {
    pub(super) fn new(
        path: &str,
        place: Place,
        entries: &'a DeTable<'a>,
        report: &'a Report<'a>,
    ) -> Table<'a> {
        let (behind, known) = (Vec::new(), RefCell::default());
        Table { path: path.to_owned(), place, report, entries, behind, filled: None, is_filled: false, known }
    }

    /// The same table with a profile's tables behind it. Its own keys win; tables are merged key by key.
    pub(super) fn filled_by(self, behind: Vec<&'a DeTable<'a>>, filled: Filled<'a>) -> Table<'a> {
        Table { behind, filled: Some(filled), ..self }
    }

    /// The profile that fills it in.
    pub(super) fn filled(&self) -> Option<&Filled<'a>> {
        self.filled.as_ref()
    }

    /// The value of a key that is known from now on.
    pub(super) fn value(&self, key: &'static str) -> Option<Value<'a>> {
        self.known.borrow_mut().push(key);
        #[cfg(test)]
        ASKED.with_borrow_mut(|asked| {
            asked.insert(format!("{}.{key}", self.path).trim_start_matches('.').to_owned())
        });
        self.peek(key)
    }

    /// The value of a key, without knowing the key.
    pub(super) fn peek(&self, key: &str) -> Option<Value<'a>> {
        let mut layers = std::iter::once(&self.entries).chain(&self.behind).enumerate();
        // The first that says it, or says the other of two keys that exclude each other.
        let (depth, layer) = layers.find(|(_, layer)| {
            [Some(key), profile::excludes(key)].iter().flatten().any(|key| layer.contains_key(*key))
        })?;
        let (name, value) = layer.get_key_value(key)?;
        Some(self.entry(name, value, depth))
    }

    /// The table as it was parsed, without what a profile adds.
    pub(super) fn raw(&self) -> &'a DeTable<'a> {
        self.entries
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
            .map(|(name, value)| (name.get_ref().as_ref(), self.entry(name, value, 0)))
            .collect();
        entries.sort_by_key(|(_, value)| value.key_place.span.start);
        for name in self.behind.iter().flat_map(|layer| layer.keys()) {
            let name = name.get_ref().as_ref();
            if entries.iter().all(|(known, _)| *known != name) {
                entries.extend(self.peek(name).map(|value| (name, value)));
            }
        }
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
            return meant.map(|meant| match known_keys::of_trunks(name, &self.path) {
                Some(home) => format!("{meant} {name} belongs {home}"),
                None => meant,
            });
        }
        if self.path.is_empty()
            && let DeValue::Table(entries) = value.value
            && ["host", "hosts", "username"].iter().any(|key| entries.contains_key(*key))
        {
            return Some(format!("a trunk is written as [trunk.{name}]"));
        }
        known_keys::belongs(name, &self.path).or(meant)
    }

    /// The known name that was probably meant.
    pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
        let name = name.to_lowercase();
        let distance = |key: &str| strsim::damerau_levenshtein(&name, key);
        let best = known.iter().copied().min_by_key(|key| distance(key))?;
        (distance(best) <= name.len().min(best.len()) / 2).then_some(best)
    }

    /// An entry of the layer at this depth: 0 is the table itself, the rest is its profile's.
    fn entry(
        &self,
        name: &'a Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
        depth: usize,
    ) -> Value<'a> {
        let name_text = name.get_ref().as_ref();
        let path = match self.path.as_str() {
            "" => name_text.to_owned(),
            path => format!("{path}.{name_text}"),
        };
        let below = self.behind.get(depth..).unwrap_or_default();
        let behind = below.iter().filter_map(|layer| layer.get(name_text)?.get_ref().as_table()).collect();
        let source = self.place.source;
        let by_profile = self.filled.as_ref().filter(|_| depth > 0 || self.is_filled);
        if let Some(filled) = by_profile {
            self.report.filled.borrow_mut().insert(path.clone(), filled.profile.to_owned());
        }
        let place = |span| by_profile.map_or(Place { source, span }, |filled| filled.place.clone());
        Value {
            path,
            key_place: place(name.span()),
            place: place(value.span()),
            is_filled: by_profile.is_some(),
            behind,
            filled: self.filled.clone(),
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
    /// Whether a profile gave it.
    is_filled: bool,
    behind: Vec<&'a DeTable<'a>>,
    filled: Option<Filled<'a>>,
}

impl<'a> Value<'a> {
    /// Notes a fault of this value.
    pub(super) fn fault(&self, message: impl Into<String>, cure: impl Cure) {
        self.report.fault(&self.place, &self.path, message, cure);
    }

    /// A string, expanded.
    pub(super) fn text(&self) -> Option<Text<'a>> {
        let DeValue::String(raw) = self.value else {
            let is_scalar =
                matches!(self.value, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_));
            return self.wrong_type(if is_scalar { "it in quotes" } else { "a string" });
        };
        if let Some(unreadable) = self.report.surroundings.unreadable_in(raw) {
            self.report.warn(&self.place, &self.path, unreadable.message, unreadable.cure);
        }
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

    /// A string as it is written: nothing is expanded.
    pub(super) fn literal(&self) -> Option<&'a str> {
        let DeValue::String(raw) = self.value else { return self.wrong_type("a string") };
        Some(raw)
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
                let own = Table::new(&self.path, self.key_place.clone(), entries, self.report);
                let (behind, filled) = (self.behind.clone(), self.filled.clone());
                Some(Table { behind, filled, is_filled: self.is_filled, ..own })
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

    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
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
        let source = self.place.source;
        let place = |span| if self.is_filled { self.place.clone() } else { Place { source, span } };
        let numbered = items.iter().enumerate();
        numbered.map(|(index, item)| self.item(Some(index + 1), place(item.span()), item.get_ref())).collect()
    }

    fn item(&self, number: Option<usize>, place: Place, value: &'a DeValue<'a>) -> Value<'a> {
        let path = number.map_or(self.path.clone(), |number| format!("{}[{number}]", self.path));
        let (is_filled, behind) = (self.is_filled, Vec::new());
        let filled = self.filled.clone();
        Value { path, key_place: place.clone(), place, value, report: self.report, is_filled, behind, filled }
    }

    /// What a rule may look at: the text of a value, of every item of a list, and the keys of a table.
    /// What cannot be expanded is left out, for reading it has faulted that already.
    pub(super) fn plain_texts(&self) -> Vec<(String, Place, String)> {
        let one = |text: String| vec![(self.path.clone(), self.place.clone(), text)];
        match self.value {
            DeValue::String(raw) => match self.report.surroundings.expand(raw) {
                Ok(expanded) => one(expanded.unwrap_or_else(|| raw.to_string())),
                Err(_) => Vec::new(),
            },
            DeValue::Integer(integer) => one(integer.as_str().to_owned()),
            DeValue::Boolean(boolean) => one(boolean.to_string()),
            DeValue::Float(_) | DeValue::Datetime(_) => Vec::new(),
            DeValue::Array(_) => self.items().iter().flat_map(Value::plain_texts).collect(),
            DeValue::Table(_) => {
                let entries = self.table().map(|table| table.entries()).unwrap_or_default();
                let key = |(name, value): (&str, Value<'_>)| (value.path, value.key_place, name.to_owned());
                entries.into_iter().map(key).collect()
            }
        }
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
    pub(super) report: &'a Report<'a>,
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
