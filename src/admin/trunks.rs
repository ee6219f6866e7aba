//! `/api/v1/trunks`: how the trunks are. Fields are added, never renamed.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use super::names::NameStatus;
use super::problem::Problem;
use crate::base::Instant;
use crate::routing::{RegistrationReport, Switched, TallyReport, TargetReport, TrunkReport};
use crate::runtime::Clock;
use crate::runtime::driver::Command;
use crate::telemetry::rfc3339::utc_millis;
use crate::telemetry::told_fault;

#[derive(Serialize, JsonSchema)]
pub(super) struct Trunks {
    trunks: Vec<TrunkBody>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct TrunkBody {
    name: String,
    realm: &'static str,
    /// `up`, `new` (neither asked nor called yet), `full`, `unauthorized`, `down`, `unresolved` or `disabled`.
    state: &'static str,
    /// Whether new calls may go over it.
    enabled: bool,
    /// By an operator, where that differs from the configuration.
    switched: Option<SwitchedBody>,
    calls: u32,
    limits: LimitsBody,
    /// How the attempts to call there went.
    attempts: AttemptsBody,
    /// Why the peer takes none of our credentials, if that is so.
    refused: Option<RefusalBody>,
    targets: Vec<TargetBody>,
    dns: Vec<NameStatus>,
    /// Where it registers, if it does.
    registrations: Vec<RegistrationBody>,
}

#[derive(Serialize, JsonSchema)]
struct SwitchedBody {
    enabled: bool,
    since: String,
}

#[derive(Serialize, JsonSchema)]
struct LimitsBody {
    calls: Option<u32>,
    cps: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct TargetBody {
    host: String,
    address: String,
    transport: &'static str,
    /// `up`, `new` (neither asked nor called yet), `returning` or `down`.
    state: &'static str,
    since: Option<String>,
    last_failure: Option<FailureBody>,
    /// Failures in a row of a target that is not down yet.
    failing: Option<FailingBody>,
    /// Of the last OPTIONS; null: it was not answered.
    latency_ms: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
struct FailingBody {
    times: u32,
    /// So many, and it is down.
    down_after: u32,
}

/// Since the start, or since the trunk is configured.
#[derive(Serialize, JsonSchema)]
pub(super) struct AttemptsBody {
    total: u64,
    answered: u64,
    /// Busy, declined, or nobody came to the phone.
    declined: u64,
    given_up: u64,
    failed: u64,
    /// Failures since the last attempt that was answered or declined, and when they began.
    failed_in_a_row: u32,
    failing_since: Option<String>,
    last_failure: Option<AttemptFailureBody>,
    recent: RecentBody,
}

#[derive(Serialize, JsonSchema)]
struct AttemptFailureBody {
    at: String,
    /// A SIP status, `timeout`, `transport` or `dns`.
    code: String,
    reason: String,
}

/// The last of the hour, at most 20; those that were given up left out.
#[derive(Serialize, JsonSchema)]
struct RecentBody {
    attempts: usize,
    /// What they met most often.
    most: Option<FrequentBody>,
}

#[derive(Serialize, JsonSchema)]
struct FrequentBody {
    code: String,
    reason: String,
    times: usize,
    last: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct RefusalBody {
    since: String,
    reason: String,
}

#[derive(Serialize, JsonSchema)]
struct FailureBody {
    at: String,
    reason: String,
}

#[derive(Serialize, JsonSchema)]
struct RegistrationBody {
    /// The host of the trunk; null: whichever takes it.
    host: Option<String>,
    address_of_record: String,
    registered: bool,
    /// Where the binding is.
    target: Option<String>,
    transport: Option<&'static str>,
    since: String,
    until: Option<String>,
    /// When the next REGISTER goes out; null: one is on its way.
    next: Option<String>,
    /// What went wrong last, until it goes right.
    fault: Option<String>,
}

pub(super) async fn list(State(view): State<View>) -> Result<Json<Trunks>, Problem> {
    let reports = view.ask(Command::Trunks).await.ok_or_else(Problem::unresponsive)?;
    let trunks = reports.iter().map(|report| TrunkBody::of(report, view.clock)).collect();
    Ok(Json(Trunks { trunks }))
}

pub(super) async fn one(
    State(view): State<View>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<TrunkBody>, Problem> {
    let Path(name) = name?;
    find(&view, &name).await.map(Json)
}

/// How one trunk is.
pub(super) async fn find(view: &View, name: &str) -> Result<TrunkBody, Problem> {
    let reports = view.ask(Command::Trunks).await.ok_or_else(Problem::unresponsive)?;
    let report = reports.iter().find(|report| report.name.as_str() == name);
    report.map(|report| TrunkBody::of(report, view.clock)).ok_or_else(|| no_such_trunk(name))
}

pub(super) fn no_such_trunk(name: &str) -> Problem {
    let name: String = name.chars().take(80).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is no trunk \"{name}\""),
        "drawbridge trunks lists those there are",
    )
}

impl TrunkBody {
    pub(super) fn of(report: &TrunkReport, clock: Clock) -> TrunkBody {
        let time = |at: Instant| utc_millis(clock.time_of_day(at));
        TrunkBody {
            name: report.name.as_str().to_owned(),
            realm: report.realm.as_str(),
            state: report.state().as_str(),
            enabled: report.is_enabled(),
            switched: report
                .switched
                .map(|Switched { enabled, since }| SwitchedBody { enabled, since: time(since) }),
            calls: report.calls,
            limits: LimitsBody { calls: report.limits.calls, cps: report.limits.calls_per_second },
            attempts: AttemptsBody::of(&report.attempts, time),
            refused: RefusalBody::of(&report.attempts, time),
            targets: report.targets.iter().map(|target| TargetBody::of(target, time)).collect(),
            dns: report.dns.iter().cloned().map(NameStatus::from).collect(),
            registrations: report.registrations.iter().map(|one| RegistrationBody::of(one, time)).collect(),
        }
    }
}

impl TargetBody {
    fn of(report: &TargetReport, time: impl Fn(Instant) -> String) -> TargetBody {
        let failure =
            |(at, reason): &(Instant, String)| FailureBody { at: time(*at), reason: reason.clone() };
        TargetBody {
            host: report.host.clone(),
            address: report.address.to_string(),
            transport: report.transport.as_str(),
            state: report.state.as_str(),
            since: report.since.map(&time),
            last_failure: report.last_failure.as_ref().map(failure),
            failing: report.failing.map(|(times, down_after)| FailingBody { times, down_after }),
            latency_ms: report.latency.map(|latency| latency.as_secs_f64() * 1_000.0),
        }
    }
}

impl AttemptsBody {
    pub(super) fn of(report: &TallyReport, time: impl Fn(Instant) -> String) -> AttemptsBody {
        let last_failure = report.last_failure.map(|(at, fault)| AttemptFailureBody {
            at: time(at),
            code: fault.to_string(),
            reason: told_fault(fault),
        });
        let most = report.frequent.map(|frequent| FrequentBody {
            code: frequent.fault.to_string(),
            reason: told_fault(frequent.fault),
            times: frequent.times,
            last: time(frequent.last),
        });
        AttemptsBody {
            total: report.attempts,
            answered: report.answered,
            declined: report.declined,
            given_up: report.given_up,
            failed: report.failed,
            failed_in_a_row: report.in_a_row,
            failing_since: report.failing_since.map(time),
            last_failure,
            recent: RecentBody { attempts: report.recent, most },
        }
    }
}

impl RefusalBody {
    pub(super) fn of(report: &TallyReport, time: impl Fn(Instant) -> String) -> Option<RefusalBody> {
        let refused = report.refused.as_ref();
        refused.map(|(since, reason)| RefusalBody { since: time(*since), reason: reason.clone() })
    }
}

impl RegistrationBody {
    fn of(report: &RegistrationReport, time: impl Fn(Instant) -> String) -> RegistrationBody {
        RegistrationBody {
            host: report.host.clone(),
            address_of_record: report.address_of_record.clone(),
            registered: report.is_registered(),
            target: report.target.map(|(address, _)| address.to_string()),
            transport: report.target.map(|(_, transport)| transport.as_str()),
            since: time(report.since),
            until: report.until.map(&time),
            next: report.next.map(&time),
            fault: report.fault.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::admin::golden;
    use crate::base::{Random, Realm, Transport};
    use crate::routing::{Host, Limits, Router, Settings, Trunk};

    /// A trunk at an address, one at a name that nobody knows, which is switched off, and their
    /// registrations.
    fn reports(now: Instant) -> Vec<TrunkReport> {
        let address = Host::Address("192.0.2.1".parse().unwrap());
        let limits = Limits { calls: Some(100), calls_per_second: Some(5) };
        let sinch = Trunk { limits, ..Trunk::new("sinch", Realm::Untrusted, address, Some(5060)) };
        let named = Trunk::new("named", Realm::Untrusted, Host::Name("sip.example.com".into()), None);
        let mut router = Router::new(Settings { trunks: vec![sinch, named], ..Settings::default() });
        router.switch(&"named".into(), false, now);
        router.follow_targets(now, &mut Random::from_number(1));
        let registration = |target| RegistrationReport {
            host: None,
            address_of_record: "sip:alice@192.0.2.1".to_owned(),
            target,
            since: now,
            until: target.map(|_| now),
            next: Some(now),
            fault: target.is_none().then(|| "no answer".to_owned()),
        };
        let bound = registration(Some(("192.0.2.1:5060".parse().unwrap(), Transport::Udp)));
        router.set_registrations(&"sinch".into(), "contact", vec![bound, registration(None)]);
        router.report(now)
    }

    #[test]
    fn the_bodies_are_those_that_the_commands_read() {
        let clock = Clock::start();
        let reports = reports(clock.now());
        let trunks = reports.iter().map(|report| TrunkBody::of(report, clock)).collect();
        golden::expect(expect_file!["golden/trunks.json"], &Trunks { trunks });
    }
}
