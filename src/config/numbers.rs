//! What a trunk is sent before its numbers, and what it dials before those that it calls: `strip_prefix`,
//! `add_prefix`, `tech_prefix`, and `numbering.access_codes`.

use super::reader::{Table, Text, Value};
use super::sections::read_numbering;
use crate::numbering::{self, PrefixRule};

/// A prefix is no longer than a number.
const MAX_PREFIX_BYTES: usize = 15;

/// A trunk's own `numbering` over the node's. Access codes are a peer's: the node has none.
pub(super) fn read_own_numbering(table: &Table<'_>, base: &numbering::Settings) -> numbering::Settings {
    let codes = table.value("access_codes").map(|value| {
        let texts: Vec<_> = value.one_or_list().iter().filter_map(Value::text).collect();
        texts.into_iter().filter_map(|text| dialable(&text, "", "\"9\"")).collect()
    });
    let settings = read_numbering(table, base);
    numbering::Settings { access_codes: codes.unwrap_or_default(), ..settings }
}

/// `strip_prefix` and `add_prefix`.
pub(super) fn read_prefix(table: &Table<'_>) -> PrefixRule {
    let prefix = |key, example| {
        let text = table.value(key).and_then(|value| value.text());
        text.and_then(|text| dialable(&text, "+", example)).unwrap_or_default()
    };
    PrefixRule { strip: prefix("strip_prefix", "\"+\""), add: prefix("add_prefix", "\"00\"") }
}

/// `tech_prefix`.
pub(super) fn read_tech_prefix(table: &Table<'_>) -> String {
    let text = table.value("tech_prefix").and_then(|value| value.text());
    text.and_then(|text| dialable(&text, "+", "\"1234#\"")).unwrap_or_default()
}

/// What a telephone can dial, and `also`.
fn dialable(text: &Text<'_>, also: &str, example: &str) -> Option<String> {
    let fits = (1..=MAX_PREFIX_BYTES).contains(&text.text.len())
        && text.text.chars().all(|c| c.is_ascii_digit() || matches!(c, '*' | '#') || also.contains(c));
    if !fits {
        let plus = if also.is_empty() { "" } else { ", +" };
        text.fault(
            "cannot be dialled",
            format!("write 1 to {MAX_PREFIX_BYTES} of 0-9, *, #{plus}, as in {example}"),
        );
    }
    fits.then(|| text.text.clone())
}
