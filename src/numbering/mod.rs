//! Numbers: from what people dial and carriers send to E.164, and back to each trunk's form.
//!
//! A user part is read in this order, and the first that fits decides:
//!
//! 1. an emergency number or a short code, compared whole and left as it is;
//! 2. a service code (`*97`, `#31#…`: begins with `*` or `#`) or a name (anything with a character
//!    that no telephone number has): left as it is, a route must want it;
//! 3. `+` and digits, visual separators stripped (RFC 3966 §5.1.1, with space and `/` added);
//! 4. a national number, exactly as it is dialled in `country`, trunk prefix included;
//! 5. an international prefix (`00`, `011`) and digits;
//! 6. with `country` set, fewer than [`MIN_PLAIN_DIGITS`] digits: a national number of which the
//!    trunk prefix was left out; more: E.164 without its `+`, as many carriers send it.
//!
//! Steps 3 to 6 take numbers that their country's numbering plan knows, in this order. If none of them does, what is
//! written in full (`+`, an international prefix, or in `country` its trunk prefix, its country code, or the ten digits
//! of North America) is taken if it is as long as numbers are there: new ranges come into use every month, and
//! `+15551230000` and its like are in every example. Not, though, what would call abroad or for help where it is dialled
//! without its country code (`+1 011 683 4000`). Nothing else is guessed at: what looks like a number and is none is
//! a [`NumberFault`] (484). So is `331908817135`, one digit too long for France and valid nowhere else. National before prefix, because
//! in some countries `011` begins national numbers (Leeds is 0113).
//!
//! A peer may dial an **access code** before the numbers that it calls (`9` for an outside line): it is
//! taken off, if what is left is a number, an emergency number or a short code. What is one of the
//! latter two as it came stays as it came, so that 911 is 911 behind an access code 9, too, and so is
//! 9911. Callers are read without it.
//!
//! Must not know: SIP (it is given the user part of a URI, unescaped).

mod access;
mod emergency;
mod format;
mod normalise;
mod plan;

use std::fmt;

pub use access::Dialled;
pub use emergency::emergency_numbers;
pub use format::PrefixRule;
pub use plan::{is_country, load};

/// E.164 without its `+` has at least so many digits: what is shorter is rather a misdialled
/// national number, and some of the world's dearest destinations are very short.
pub const MIN_PLAIN_DIGITS: usize = 11;

/// No user part longer than this is looked at as a number.
pub const MAX_USER_BYTES: usize = 128;

/// How numbers are read, filled by `config` from `[numbering]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// ISO 3166 alpha-2 code of the country whose national numbers are meant; absent: only
    /// international forms are numbers.
    pub country: Option<String>,
    /// International prefixes, each of which means "+".
    pub prefixes: Vec<String>,
    /// Short codes: whole-user patterns that are never rewritten (made by [`whole_user_pattern`]).
    pub short: Vec<regex::Regex>,
    /// Emergency numbers: never rewritten, never limited, shed or banned.
    pub emergency: Vec<String>,
    /// Access codes that a peer dials before a number (`9` for an outside line).
    pub access_codes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            country: None,
            prefixes: vec!["00".to_owned(), "011".to_owned()],
            short: whole_user_pattern("1[0-9]{2}").into_iter().collect(),
            emergency: vec!["911".to_owned(), "112".to_owned()],
            access_codes: Vec::new(),
        }
    }
}

/// Compiles a pattern that matches a user part only as a whole.
pub fn whole_user_pattern(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::Regex::new(&format!("^(?:{pattern})$"))
}

/// What a user part turned out to be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Number {
    /// `+` and digits (ITU-T E.164), known to its country's numbering plan or of the length of its numbers.
    E164(String),
    /// Matches `numbering.short`; as it was sent.
    Short(String),
    /// Is in `numbering.emergency`; as it was sent.
    Emergency(String),
    /// No number at all (`support`, `anything`) or a service code (`*97`): passes as it is.
    Name(String),
}

impl Number {
    /// The text that routes are matched with.
    pub fn as_str(&self) -> &str {
        match self {
            Number::E164(text) | Number::Short(text) | Number::Emergency(text) | Number::Name(text) => text,
        }
    }

    /// The same, if it is a number in E.164, with its `+`.
    pub fn e164(&self) -> Option<&str> {
        match self {
            Number::E164(number) => Some(number),
            Number::Short(_) | Number::Emergency(_) | Number::Name(_) => None,
        }
    }

    /// Whether limits, bans and shedding do not apply.
    pub fn is_emergency(&self) -> bool {
        matches!(self, Number::Emergency(_))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something that looks like a number is none: 484 (RFC 3261 §21.4.22).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum NumberFault {
    /// The user part is empty, or holds separators only.
    #[error("there is no digit in it")]
    Empty,
    /// More than [`MAX_USER_BYTES`].
    #[error("it is too long for a number")]
    TooLong,
    /// `+` in the middle, `*`, `#` or anything else among the digits.
    #[error("a character stands where no number has one")]
    Misplaced,
    /// No country code begins so (ITU-T E.164 Annex D).
    #[error("no country code begins like this")]
    UnknownCountryCode,
    /// Its country has no such number, and none so long.
    #[error("no such number exists in its country's numbering plan")]
    Invalid,
    /// Digits alone, and no country says how to read them.
    #[error("it is a national number and numbering.country is not set")]
    NoCountry,
    /// Neither a national number of the country nor an international one.
    #[error("it is no national number of numbering.country and has no international prefix that fits")]
    NotNational,
}

/// The form in which a trunk wants numbers (`send_numbers`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NumberForm {
    /// `+` and digits.
    #[default]
    E164,
    /// The same without `+`.
    Plain,
    /// As dialled inside the number's own country (the trunk's or the node's `country`);
    /// numbers of other countries in international form.
    National,
    /// The first international prefix and the digits.
    International,
    /// As it was received.
    AsIs,
}

/// A note of each step that [`Settings::normalise_with_steps`] took, for people; costs nothing
/// where nobody asked.
struct Steps<'a>(Option<&'a mut Vec<String>>);

impl Steps<'_> {
    fn note(&mut self, step: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.0 {
            steps.push(step());
        }
    }
}

#[cfg(test)]
mod tests;
