//! `/api/v1/calls`: which calls there are. Fields are added, never renamed.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use super::problem::Problem;
use crate::b2bua::{CallReport, CallSearch, ReportedLeg};
use crate::base::Instant;
use crate::media::Side;
use crate::runtime::Clock;
use crate::runtime::driver::Command;
use crate::sip::unescape;
use crate::telemetry::rfc3339::utc_millis;

/// One answer lists no more: what it costs to make is time that calls wait.
const CALLS_LISTED_MAX: usize = 1_000;

#[derive(Serialize, JsonSchema)]
pub(super) struct Calls {
    /// How many there are; more than are listed, if there are many, or not all are meant.
    total: usize,
    /// The oldest first.
    calls: Vec<CallBody>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct CallBody {
    id: String,
    from: String,
    to: String,
    ingress: LegBody,
    /// Absent before a target is tried.
    egress: Option<LegBody>,
    /// `setup`, `ringing`, `answered` or `ending`.
    phase: &'static str,
    start: String,
    answer: Option<String>,
    /// Since the start.
    seconds: u64,
    emergency: bool,
    /// Who was found not to be heard while the other spoke, at any time: `caller`, `callee`.
    not_heard: Vec<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct LegBody {
    realm: &'static str,
    trunk: Option<String>,
    remote: String,
}

pub(super) async fn list(
    State(view): State<View>,
    RawQuery(query): RawQuery,
) -> Result<Json<Calls>, Problem> {
    let search = CallSearch::of(&searched(query.as_deref().unwrap_or_default()));
    let reports = view.ask(|answer| Command::Calls(CALLS_LISTED_MAX, search, answer)).await;
    let reports = reports.ok_or_else(Problem::unresponsive)?;
    let total = view.vitals().await.map_or(0, |vitals| vitals.census.calls).max(reports.len());
    Ok(Json(Calls { total, calls: reports.iter().map(|report| CallBody::of(report, view.clock)).collect() }))
}

/// What `match` says.
fn searched(query: &str) -> String {
    let said = query.split('&').find_map(|pair| pair.strip_prefix("match=")).unwrap_or_default();
    // A plus sign is how forms write a space, and how a telephone number begins: here it is what it is.
    String::from_utf8_lossy(&unescape(said.as_bytes())).into_owned()
}

pub(super) fn no_such_call(id: &str) -> Problem {
    let id: String = id.chars().take(80).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is no call \"{id}\""),
        "it may be over: drawbridge calls lists those in progress",
    )
}

const fn party_name(side: Side) -> &'static str {
    match side {
        Side::A => "caller",
        Side::B => "callee",
    }
}

impl CallBody {
    fn of(report: &CallReport, clock: Clock) -> CallBody {
        let time = |at: Instant| utc_millis(clock.time_of_day(at));
        CallBody {
            id: report.id.clone(),
            from: report.from.clone(),
            to: report.to.clone(),
            ingress: LegBody::of(&report.ingress),
            egress: report.egress.as_ref().map(LegBody::of),
            phase: report.phase.as_str(),
            start: time(report.start),
            answer: report.answer.map(time),
            seconds: clock.now().since(report.start).as_secs(),
            emergency: report.is_emergency,
            not_heard: report.not_heard.iter().map(|side| party_name(*side)).collect(),
        }
    }
}

impl LegBody {
    fn of(leg: &ReportedLeg) -> LegBody {
        LegBody {
            realm: leg.realm.as_str(),
            trunk: leg.trunk.as_ref().map(|trunk| trunk.as_str().to_owned()),
            remote: leg.remote.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect_file;

    use super::*;
    use crate::admin::golden;
    use crate::b2bua::CallPhase;
    use crate::base::Realm;

    #[test]
    fn what_is_searched_for_may_be_escaped_and_begin_with_a_plus_sign() {
        for (query, said) in [
            ("", ""),
            ("other=1", ""),
            ("match=+1202", "+1202"),
            ("x=2&match=%2B1202%20caf%C3%A9&match=no", "+1202 café"),
            ("match=%ff%", "\u{fffd}%"),
        ] {
            assert_eq!(searched(query), said, "{query}");
        }
    }

    #[test]
    fn the_bodies_are_those_that_the_commands_read() {
        let clock = Clock::start();
        let ago = |seconds: u64| {
            let micros = clock.now().as_micros().saturating_sub(seconds * 1_000_000);
            Instant::ZERO + Duration::from_micros(micros)
        };
        let leg = |realm, trunk: Option<&str>, remote: &str| ReportedLeg {
            realm,
            trunk: trunk.map(Into::into),
            remote: remote.parse().unwrap(),
        };
        let answered = CallReport {
            id: "00ab".to_owned(),
            from: "+14155550100".to_owned(),
            to: "911".to_owned(),
            ingress: leg(Realm::Trusted, None, "10.0.0.9:5060"),
            egress: Some(leg(Realm::Untrusted, Some("sinch"), "192.0.2.1:5060")),
            phase: CallPhase::Answered,
            start: ago(62),
            answer: Some(ago(60)),
            is_emergency: true,
            not_heard: vec![Side::B],
        };
        let setup = CallReport {
            egress: None,
            phase: CallPhase::Setup,
            answer: None,
            is_emergency: false,
            not_heard: Vec::new(),
            to: "+442079460000".to_owned(),
            ..answered.clone()
        };
        let calls = [&answered, &setup].map(|report| CallBody::of(report, clock)).into();
        golden::expect(expect_file!["golden/calls.json"], &Calls { total: 7, calls });
    }
}
