//! Numbers: from what people dial and carriers send to E.164, and back to each trunk's form.
//!
//! Must not know: SIP (it is given the user part of a URI, unescaped).

/// How numbers are read, filled by `config` from `[numbering]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// ISO 3166 alpha-2 code of the country whose national numbers are meant; absent: only
    /// international forms are numbers.
    pub country: Option<String>,
    /// International prefixes, each of which means "+".
    pub prefixes: Vec<String>,
    /// Short codes: whole-user patterns that are never rewritten.
    pub short: Vec<regex::Regex>,
    /// Emergency numbers: never rewritten, never limited, shed or banned.
    pub emergency: Vec<String>,
}

/// What a user part turned out to be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Number {
    /// `+` and digits (ITU-T E.164), valid in its country's numbering plan.
    E164(String),
    /// Matches `numbering.short`; as it was sent.
    Short(String),
    /// Is in `numbering.emergency`; as it was sent.
    Emergency(String),
    /// No number at all (`support`, `anything`): passes as it is.
    Name(String),
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
