//! The report for machines. Keys and the names of steps stay, and may become more.

use serde::Serialize;
use serde_json::{Value, json};

use super::step::{Report, Step, TargetReport};
use crate::config::Fault;

/// The whole report, steps in their order.
pub(super) fn print(report: &Report) -> String {
    let before = report.before.iter().map(|step| entry(step, None));
    let targets = report
        .targets
        .iter()
        .flat_map(|target| target.steps.iter().map(move |step| entry(step, Some(target))));
    pretty(&json!({
        "trunk": report.trunk,
        "passed": report.has_passed(),
        "summary": report.summary(),
        "ms": milliseconds(report.took),
        "steps": before.chain(targets).collect::<Vec<_>>(),
    }))
}

/// A configuration that nothing could be tested of.
pub(super) fn faults(trunk: &str, faults: &[Fault]) -> String {
    pretty(&json!({
        "trunk": trunk,
        "passed": false,
        "summary": "the configuration is invalid",
        "steps": [],
        "faults": faults,
    }))
}

fn entry(step: &Step, target: Option<&TargetReport>) -> Value {
    json!({
        "step": step.name.as_str(),
        "target": target.map(|target| {
            json!({
                "host": target.place.host,
                "name": target.place.name,
                "address": target.place.address.to_string(),
                "transport": target.place.transport.as_str(),
            })
        }),
        "outcome": step.mark.as_str(),
        "what": step.what,
        "ms": step.took.map(milliseconds),
        "hints": step.hints,
        "detail": step.detail,
    })
}

/// To the tenth.
fn milliseconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn pretty(value: &impl Serialize) -> String {
    // Strings and numbers can always be written.
    serde_json::to_string_pretty(value).map_or_else(|error| error.to_string(), |json| json + "\n")
}
