//! `health` of a trunk: how often its targets are probed, and when one is taken for dead.

use std::time::Duration;

use super::reader::{Table, Text, Value};
use crate::routing::{CodePattern, Health};

/// Oftener is no health check but a load.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
const MAX_INTERVAL: Duration = Duration::from_secs(3_600);
/// The first retransmission goes out after it (timer E): one lost packet is no verdict.
const MIN_TIMEOUT: Duration = Duration::from_millis(600);
/// Timer F.
const MAX_TIMEOUT: Duration = Duration::from_secs(32);
const MAX_COUNT: u32 = 100;

/// Reads what is there over the default.
pub(super) fn health(table: &Table<'_>) -> Option<Health> {
    let default = Health::default();
    let interval = table.value("interval").and_then(|value| {
        value.duration_within(MIN_INTERVAL..=MAX_INTERVAL, "this is out of range", Some("no OPTIONS"))
    });
    let interval = interval.unwrap_or(default.interval);
    let timeout = table.value("timeout").and_then(|value| timeout(&value, interval));
    let count = |key| table.value(key).and_then(|value: Value<'_>| value.integer(1..=MAX_COUNT));
    let alive = table.value("alive").map(|value| {
        let texts = value.texts().unwrap_or_default();
        if texts.is_empty() {
            value.fault("no answer would mean that it is alive", "write [\"2xx\"], or leave alive out");
        }
        texts.iter().filter_map(final_response).collect()
    });
    Some(Health {
        interval,
        timeout: timeout.unwrap_or(default.timeout),
        down_after: count("down_after").unwrap_or(default.down_after),
        up_after: count("up_after").unwrap_or(default.up_after),
        alive: alive.unwrap_or(default.alive),
    })
}

fn timeout(value: &Value<'_>, interval: Duration) -> Option<Duration> {
    let why = "this is not between the first retransmission and the end of the transaction";
    let timeout = value.duration_within(MIN_TIMEOUT..=MAX_TIMEOUT, why, None)?;
    if !interval.is_zero() && timeout >= interval {
        value.fault("the next probe goes out before this one is over", "write less than interval");
        return None;
    }
    Some(timeout)
}

/// `"200"` or `"4xx"`.
fn final_response(text: &Text<'_>) -> Option<CodePattern> {
    let pattern = text.pattern_of_codes(b'2');
    if pattern.is_none() {
        text.fault(
            "is no final response",
            "write a status code from \"200\" to \"699\", or a class as in \"4xx\"",
        );
    }
    pattern
}
