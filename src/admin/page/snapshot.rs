//! `/api/v1/snapshot`: how everything is, in one answer, with the ratios of the last minutes, hour and day.
//! Fields are added, never renamed.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::history::Point;
use super::measured::{Measured, ratio, tenths};
use crate::admin::View;
use crate::admin::call_media::{DroppedBy, by_reason};
use crate::admin::status::Status;
use crate::admin::trunks::TrunkBody;
use crate::base::Instant;
use crate::routing::{TargetKey, TrunkReport};
use crate::runtime::driver::Command;
use crate::telemetry::history::{Bucket, Change, Past, TrunkBucket, told_reason};
use crate::telemetry::rfc3339::utc_millis;

const FIVE_MINUTES_S: usize = 300;
const HOUR_MINUTES: usize = 60;
const DAY_MINUTES: usize = 1_440;
/// Steps of a trunk in an hour.
const HOUR_STEPS: usize = 12;

#[derive(Serialize, JsonSchema)]
pub(in crate::admin) struct Snapshot {
    at: String,
    status: Status,
    /// Absent while the driver does not answer.
    trunks: Option<Vec<TrunkNow>>,
    /// The last second that is over.
    second: Option<Point>,
    /// The share of the time that each media worker ran, 0–1.
    relay_loads: Vec<f64>,
    windows: Windows,
}

#[derive(Serialize, JsonSchema)]
struct TrunkNow {
    #[serde(flatten)]
    trunk: TrunkBody,
    /// Of about the last hour.
    hour: TrunkHour,
    /// Beside `targets`, in its order: the changes that are known, the oldest first.
    changes: Vec<Vec<ChangeBody>>,
}

#[derive(Serialize, JsonSchema)]
struct TrunkHour {
    calls: u32,
    attempts: u32,
    answered: u32,
    asr: Option<f64>,
    ner: Option<f64>,
    mos: Option<f64>,
    /// Calls whose party there was found not to be heard while the other side spoke.
    not_heard: u32,
}

#[derive(Serialize, JsonSchema)]
struct ChangeBody {
    at: String,
    /// `up`, `new` or `down`.
    state: &'static str,
    why: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Windows {
    five_minutes: Window,
    hour: Window,
    day: Window,
}

/// What ended in some span of time.
#[derive(Serialize, JsonSchema)]
struct Window {
    /// How much of it is known: less than its length after a start.
    seconds: u32,
    #[serde(flatten)]
    measured: Measured,
    /// Answered of all attempts, 0–1; null: there were none.
    asr: Option<f64>,
    ner: Option<f64>,
    answer_p95_ms: Option<f64>,
    active_max: u32,
    /// `dropped` by reason.
    dropped_by: DroppedBy,
}

pub(in crate::admin) async fn snapshot(State(view): State<View>) -> Json<Snapshot> {
    Json(Snapshot::of(&view).await)
}

impl Snapshot {
    pub(super) async fn of(view: &View) -> Snapshot {
        let vitals = view.vitals().await;
        let trunks = view.ask(Command::Trunks).await;
        let hosts = if vitals.is_some() { view.hosts().await } else { None };
        let status = Status::of(view, vitals, trunks.as_deref(), hosts);
        let relay_loads = view.live.relay_loads();
        view.metrics.history.read(|past| Snapshot {
            at: utc_millis(view.clock.time_of_day(view.clock.now())),
            status,
            trunks: trunks
                .map(|reports| reports.iter().map(|report| TrunkNow::of(view, past, report)).collect()),
            second: past.seconds().last().flatten().map(Point::of),
            relay_loads,
            windows: Windows::of(past),
        })
    }
}

impl TrunkNow {
    fn of(view: &View, past: &Past, report: &TrunkReport) -> TrunkNow {
        let key = |target: &crate::routing::TargetReport| TargetKey {
            trunk: report.name.clone(),
            address: target.address,
            transport: target.transport,
        };
        let changes =
            |target| past.changes(&key(target)).map(|change| ChangeBody::of(view, change)).collect();
        TrunkNow {
            trunk: TrunkBody::of(report, view.clock),
            hour: TrunkHour::of(&past.trunk(&report.name, HOUR_STEPS)),
            changes: report.targets.iter().map(changes).collect(),
        }
    }
}

impl TrunkHour {
    fn of(bucket: &TrunkBucket) -> TrunkHour {
        let TrunkBucket { calls, ends, not_heard } = bucket;
        TrunkHour {
            calls: *calls,
            attempts: ends.attempts,
            answered: ends.answered,
            asr: ends.asr().map(ratio),
            ner: ends.ner().map(ratio),
            mos: ends.mos().map(ratio),
            not_heard: *not_heard,
        }
    }
}

impl ChangeBody {
    fn of(view: &View, change: &Change) -> ChangeBody {
        let time = |at: Instant| utc_millis(view.clock.time_of_day(at));
        let clock = |at: Instant| time(at).get(11..19).unwrap_or_default().to_owned();
        ChangeBody {
            at: time(change.at),
            state: match change {
                Change { is_new: true, .. } => "new",
                Change { up: true, .. } => "up",
                Change { .. } => "down",
            },
            why: change.why.as_ref().map(|why| told_reason(why, clock)),
        }
    }
}

impl Windows {
    fn of(past: &Past) -> Windows {
        let known = past.seconds_known();
        let minutes = |minutes: usize| Window::of(&past.last_minutes(minutes), known, minutes * 60);
        Windows {
            five_minutes: Window::of(&past.last_seconds(FIVE_MINUTES_S), known, FIVE_MINUTES_S),
            hour: minutes(HOUR_MINUTES),
            day: minutes(DAY_MINUTES),
        }
    }
}

impl Window {
    fn of(bucket: &Bucket, known: u32, length: usize) -> Window {
        Window {
            seconds: known.min(u32::try_from(length).unwrap_or(u32::MAX)),
            measured: Measured::of(bucket),
            asr: bucket.ends.asr().map(ratio),
            ner: bucket.ends.ner().map(ratio),
            answer_p95_ms: bucket.setup.percentile_ms(0.95).map(tenths),
            active_max: bucket.active,
            dropped_by: by_reason(&bucket.dropped_by),
        }
    }
}

/// So that the trunks of a history are in the order of their names.
pub(super) type ByName<T> = BTreeMap<String, T>;
