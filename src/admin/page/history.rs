//! `/api/v1/history`: the last five minutes by the second, the last day by the minute, and the day of each trunk
//! by five minutes. The oldest first. Fields are added, never renamed.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::measured::{Measured, ratio};
use super::snapshot::ByName;
use crate::admin::View;
use crate::base::Instant;
use crate::telemetry::history::{Bucket, Past, TRUNK_STEP_S};
use crate::telemetry::rfc3339::utc_millis;

#[derive(Serialize, JsonSchema)]
pub(in crate::admin) struct History {
    seconds: Series,
    minutes: Series,
    /// Those that had calls, by name.
    trunks: ByName<TrunkSeries>,
}

#[derive(Serialize, JsonSchema)]
struct Series {
    step_seconds: u32,
    /// When the last point ends; null: there is none.
    end: Option<String>,
    /// Null where the machine slept.
    points: Vec<Option<Point>>,
}

/// One second, or one minute.
#[derive(Serialize, JsonSchema)]
pub(super) struct Point {
    #[serde(flatten)]
    measured: Measured,
    /// The most calls at once.
    active: u32,
    bytes: u64,
    /// Shares of one core, 0–1: of a minute, its highest second.
    engine_load: Option<f64>,
    relay_load: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
struct TrunkSeries {
    step_seconds: u32,
    /// The last step goes on.
    calls: Vec<u32>,
    attempts: Vec<u32>,
    answered: Vec<u32>,
    effective: Vec<u32>,
}

pub(in crate::admin) async fn history(State(view): State<View>) -> Json<History> {
    let configuration = view.configuration.load();
    let trunks = &configuration.running.routing.trunks;
    Json(view.metrics.history.read(|past| {
        let time = |at: Instant| utc_millis(view.clock.time_of_day(at));
        let into_the_minute = std::time::Duration::from_secs(past.seconds_into_the_minute().into());
        let minute =
            past.at().map(|at| Instant::ZERO + at.since(Instant::ZERO).saturating_sub(into_the_minute));
        History {
            seconds: Series {
                step_seconds: 1,
                end: past.at().map(time),
                points: past.seconds().map(|second| second.map(Point::of)).collect(),
            },
            minutes: Series {
                step_seconds: 60,
                end: minute.map(time),
                points: past.minutes().map(|minute| Some(Point::of(minute))).collect(),
            },
            trunks: trunks
                .iter()
                .map(|trunk| (trunk.name.as_str().to_owned(), TrunkSeries::of(past, &trunk.name)))
                .filter(|(_, series)| !series.calls.is_empty())
                .collect(),
        }
    }))
}

impl Point {
    pub(super) fn of(bucket: &Bucket) -> Point {
        Point {
            measured: Measured::of(bucket),
            active: bucket.active,
            bytes: bucket.bytes,
            engine_load: bucket.engine_load.map(|load| ratio(load.into())),
            relay_load: bucket.relay_load.map(|load| ratio(load.into())),
        }
    }
}

impl TrunkSeries {
    fn of(past: &Past, name: &crate::base::TrunkName) -> TrunkSeries {
        let steps = past.trunk_steps(name);
        TrunkSeries {
            step_seconds: TRUNK_STEP_S,
            calls: steps.iter().map(|step| step.calls).collect(),
            attempts: steps.iter().map(|step| step.ends.attempts).collect(),
            answered: steps.iter().map(|step| step.ends.answered).collect(),
            effective: steps.iter().map(|step| step.ends.effective).collect(),
        }
    }
}
