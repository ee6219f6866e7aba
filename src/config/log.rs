//! `[log]`: what is logged, and whether numbers are shown.

use super::reader::{Table, Text};
use super::settings::Log;
use crate::telemetry::log;

/// Reads what is there over the defaults.
pub(super) fn log(table: &Table<'_>) -> Option<Log> {
    let default = Log::default();
    let filter = table.value("filter").and_then(|value| value.text()).and_then(|text| filter(&text));
    let redact_numbers = table.value("redact_numbers").and_then(|value| value.boolean());
    Some(Log {
        filter: filter.unwrap_or(default.filter),
        redact_numbers: redact_numbers.unwrap_or(default.redact_numbers),
    })
}

fn filter(text: &Text<'_>) -> Option<String> {
    match log::check_filter(&text.text) {
        Ok(()) => Some(text.text.clone()),
        Err(why) => {
            text.fault(&why, log::FILTER_CURE);
            None
        }
    }
}
