//! What is told of any span of time, be it a second or a day: once, for the points of the history and for the
//! windows of the snapshot. Fields are added, never renamed.

use schemars::JsonSchema;
use serde::Serialize;

use crate::telemetry::history::Bucket;

#[derive(Serialize, JsonSchema)]
pub(super) struct Measured {
    calls: u32,
    attempts: u32,
    answered: u32,
    effective: u32,
    refused: u32,
    delay_p50_ms: Option<f64>,
    delay_p95_ms: Option<f64>,
    answer_p50_ms: Option<f64>,
    mos: Option<f64>,
    packets: u64,
    dropped: u64,
    /// Sides of calls that were found not to be heard while the other side spoke.
    not_heard: u32,
}

impl Measured {
    pub(super) fn of(bucket: &Bucket) -> Measured {
        Measured {
            calls: bucket.calls,
            attempts: bucket.ends.attempts,
            answered: bucket.ends.answered,
            effective: bucket.ends.effective,
            refused: bucket.refused,
            delay_p50_ms: bucket.delay.percentile_ms(0.5).map(tenths),
            delay_p95_ms: bucket.delay.percentile_ms(0.95).map(tenths),
            answer_p50_ms: bucket.setup.percentile_ms(0.5).map(tenths),
            mos: bucket.ends.mos().map(ratio),
            packets: bucket.packets,
            dropped: bucket.dropped(),
            not_heard: bucket.not_heard,
        }
    }
}

/// Four digits say as much as is known.
pub(super) fn ratio(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

pub(super) fn tenths(millis: f64) -> f64 {
    (millis * 10.0).round() / 10.0
}
