//! Every key of the configuration: what it is for, what may stand there, what holds without it, and when a new
//! value takes effect. docs/configuration.md and `drawbridge keys` are made from it; its tests hold it to the
//! code that reads the keys, to the defaults, to the bounds, and to what a reload takes.
//!
//! Must not know: how keys are read.

mod page;
mod places;
#[cfg(test)]
mod tests;
mod trunks;

use std::fmt::Write;

pub use page::page;

/// A table of the configuration with its keys.
#[derive(Debug)]
pub struct Section {
    /// As it is written: `[node]`, `[[listener]]`.
    pub table: &'static str,
    /// What the table is for.
    pub text: &'static str,
    /// In the order in which people need them.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Dotted from the top; `NAME` stands for a name that the operator chooses.
    pub path: &'static str,
    /// What kind of value it has, for people.
    pub kind: &'static str,
    /// What holds without it.
    pub default: Unset,
    /// What may stand there.
    pub values: Values,
    /// When a new value takes effect.
    pub takes: Takes,
    /// A value as one would write it.
    pub example: &'static str,
    /// What it is for, in a sentence or two.
    pub text: &'static str,
}

/// What holds where a key is not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unset {
    /// As if this were written.
    As(&'static str),
    /// This, which cannot be written so.
    Means(&'static str),
    /// The configuration is refused.
    Required,
}

/// What may stand there; the rest is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Values {
    /// As the type says, or as is said here.
    Any(&'static str),
    /// From the first to the last.
    Between(&'static str, &'static str),
    /// The same, or zero for what is said last.
    OrZero(&'static str, &'static str, &'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// When a new value takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// On reload, for new calls.
    Reload,
    /// On reload, for calls in progress too.
    AtOnce,
    /// When the daemon starts.
    Restart,
}

/// Every table.
pub const SECTIONS: &[Section] = &[
    places::NODE,
    places::ADMIN,
    places::LISTENER,
    places::REALM,
    places::MEDIA,
    places::DNS,
    places::NUMBERING,
    places::CALLS,
    places::CDR,
    places::LOG,
    places::HEP,
    trunks::TRUNK,
    trunks::ROUTE,
];

const fn key(
    path: &'static str,
    kind: &'static str,
    default: Unset,
    values: Values,
    takes: Takes,
    example: &'static str,
    text: &'static str,
) -> Key {
    Key { path, kind, default, values, takes, example, text }
}

impl Section {
    /// What the paths of its keys begin with; empty where the table's name is no prefix.
    fn prefix(&self) -> String {
        let name = self.table.trim_matches(['[', ']']);
        format!("{name}.")
    }

    /// A key as it stands below the table's line.
    pub fn short<'k>(&self, key: &'k Key) -> &'k str {
        key.path.strip_prefix(self.prefix().as_str()).unwrap_or(key.path)
    }
}

impl Unset {
    /// For people.
    pub fn words(&self) -> String {
        match self {
            Unset::As(value) => format!("`{value}`"),
            Unset::Means(words) => (*words).to_owned(),
            Unset::Required => "must be written".to_owned(),
        }
    }
}

impl Values {
    /// For people; empty where the type says it all.
    pub fn words(&self) -> String {
        match self {
            Values::Any(words) => (*words).to_owned(),
            Values::Between(low, high) => format!("`{low}` to `{high}`"),
            Values::OrZero(low, high, zero) => format!("`{low}` to `{high}`, or `\"0s\"`: {zero}"),
            Values::OneOf(words) => {
                words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

impl Takes {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Takes::Reload => "reload",
            Takes::AtOnce => "reload, at once",
            Takes::Restart => "restart",
        }
    }
}

/// The keys that somebody means by this: a path (a trunk's or a realm's name in it is as good as NAME), its end, or a
/// word of it.
pub fn find(asked: &str) -> Vec<(&'static Section, &'static Key)> {
    let asked = general(&asked.to_ascii_lowercase());
    let all = || SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)));
    let lower = |key: &Key| key.path.to_ascii_lowercase();
    let forms: [&dyn Fn(&Key) -> bool; 4] = [
        &|key| lower(key) == asked,
        &|key| lower(key).ends_with(&format!(".{asked}")),
        &|key| lower(key).starts_with(&format!("{asked}.")),
        &|key| lower(key).contains(&asked),
    ];
    forms
        .iter()
        .map(|fits| all().filter(|(_, key)| fits(key)).collect::<Vec<_>>())
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// `trunk.NAME.host` of `trunk.sinch.host` and of `[trunk.sinch] host`.
fn general(asked: &str) -> String {
    let joined = asked.replace(['[', ']'], "").split_whitespace().collect::<Vec<_>>().join(".");
    let parts: Vec<&str> = joined.split('.').collect();
    match parts.as_slice() {
        [table @ ("trunk" | "realm"), _, rest @ ..] if !rest.is_empty() => {
            format!("{table}.name.{}", rest.join("."))
        }
        _ => joined,
    }
}

/// What is known of a key, for a terminal.
pub fn explained(section: &Section, key: &Key) -> String {
    let plain = |words: &str| words.replace('`', "");
    let mut text = format!("{}, {}\n", key.path, key.kind);
    let mut line = |what: &str, words: &str| {
        let _ = writeln!(text, "  {what:<9} {words}");
    };
    line("where", &format!("{} below {}", section.short(key), section.table));
    line("default", &plain(&key.default.words()));
    let values = plain(&key.values.words());
    if !values.is_empty() {
        line("values", &values);
    }
    line(
        "change",
        match key.takes {
            Takes::Reload => "takes effect on reload, for new calls",
            Takes::AtOnce => "takes effect on reload, for calls in progress too",
            Takes::Restart => "takes effect with a restart",
        },
    );
    line("example", &example(section, key));
    line("what for", &plain(key.text));
    text
}

/// The line that one would write below the table's.
pub fn example(section: &Section, key: &Key) -> String {
    let short = section.short(key);
    match short.split_once('.') {
        None => format!("{short} = {}", key.example),
        Some(("trunks", inner)) => {
            let first = if inner == "trunk" { "" } else { "trunk = \"sinch\", " };
            format!("trunks = [[{{ {first}{inner} = {} }}, \"spare\"]]", key.example)
        }
        Some(("hosts", inner)) => {
            let first = if inner == "host" { "" } else { "host = \"a.example.com\", " };
            format!("hosts = [{{ {first}{inner} = {} }}]", key.example)
        }
        Some((outer, inner)) => format!("{outer} = {{ {inner} = {} }}", key.example),
    }
}
