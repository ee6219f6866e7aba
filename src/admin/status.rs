//! `/api/v1/status`: one JSON object that says how the daemon is. Fields are added, never renamed.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use super::down::{DownTrunk, down};
use super::names::NameStatus;
use super::trunks::{AttemptsBody, RefusalBody};
use crate::base::{ByRealm, Instant, Realm};
use crate::config::Fault;
use crate::routing::{HostReport, TrunkReport};
use crate::runtime::Clock;
use crate::runtime::driver::{Command, Vitals};
use crate::telemetry::rfc3339::utc_millis;
use crate::telemetry::{CdrReport, CdrSettings};

/// Of so many failing trunks the status tells.
const FAILING_MAX: usize = 20;

#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    version: &'static str,
    node: String,
    /// How media is relayed: `io_uring` or `portable`.
    engine: &'static str,
    started: String,
    uptime_seconds: u64,
    /// `serving`, `draining`, or `unresponsive`.
    state: &'static str,
    /// When a drain ends the calls that are left.
    drain_deadline: Option<String>,
    /// Absent while the driver does not answer.
    calls: Option<usize>,
    transactions: Option<usize>,
    media_ports: Option<MediaPorts>,
    /// How many are `up`, `new`, `full`, `unauthorized`, `down`, `unresolved` and `disabled`; absent as above.
    trunks: Option<BTreeMap<&'static str, usize>>,
    /// Those whose calls fail, at most 20; absent as above.
    failing_trunks: Option<Vec<FailingTrunk>>,
    /// Those over which no call can go, at most 20; absent as above.
    down_trunks: Option<Vec<DownTrunk>>,
    /// What is known of the names of trunks.
    dns: Option<Vec<NameStatus>>,
    /// How call detail records are.
    cdrs: CdrStatus,
    configuration: ConfigurationStatus,
}

/// Counted since the start.
#[derive(Serialize, JsonSchema)]
struct CdrStatus {
    /// Where they are written; null: nowhere.
    path: Option<String>,
    written: u64,
    /// They are nowhere: too many waited for a disk.
    lost: u64,
    /// Of those written: calls that were open when the program ended without warning.
    recovered: u64,
    /// They wait for a disk that does not take them.
    waiting: u64,
    /// Why.
    fault: Option<String>,
    /// The copy by `cdr.post`; null: there is none.
    post: Option<PostStatus>,
}

#[derive(Serialize, JsonSchema)]
struct PostStatus {
    /// Without its query.
    url: String,
    sent: u64,
    /// Refused by the server for good, or pushed out of a full spool.
    dropped: u64,
    /// They wait in the spool, and their bytes.
    waiting: u64,
    waiting_bytes: u64,
    /// Why they wait.
    fault: Option<String>,
}

impl CdrStatus {
    fn of(settings: &CdrSettings, report: CdrReport) -> CdrStatus {
        CdrStatus {
            path: settings.path.as_ref().map(|path| path.display().to_string()),
            written: report.written,
            lost: report.lost,
            recovered: report.recovered,
            waiting: report.waiting,
            fault: report.fault,
            post: settings.post.as_ref().map(|post| PostStatus {
                url: post.url.to_string(),
                sent: report.sent,
                dropped: report.dropped,
                waiting: report.spooled,
                waiting_bytes: report.spool_bytes,
                fault: report.post_fault,
            }),
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct FailingTrunk {
    name: String,
    attempts: AttemptsBody,
    refused: Option<RefusalBody>,
}

#[derive(Serialize, JsonSchema)]
struct MediaPorts {
    trusted: PortUse,
    untrusted: PortUse,
}

#[derive(Serialize, JsonSchema)]
struct PortUse {
    in_use: usize,
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
struct ConfigurationStatus {
    /// When the configuration in force was taken.
    since: String,
    listeners: usize,
    trunks: usize,
    routes: usize,
    /// Whether the files on disk are what is in force.
    last_reload_successful: bool,
    /// Why they are not.
    faults: Vec<Fault>,
    /// Keys whose new values take effect with a restart.
    waiting_for_restart: Vec<&'static str>,
}

pub(super) async fn status(State(view): State<View>) -> Json<Status> {
    let vitals = view.vitals().await;
    let trunks = view.ask(Command::Trunks).await;
    let hosts = if vitals.is_some() { view.hosts().await } else { None };
    Json(Status::of(&view, vitals, trunks.as_deref(), hosts))
}

impl Status {
    /// Of what the driver said; `None` where it did not answer.
    pub(super) fn of(
        view: &View,
        vitals: Option<Vitals>,
        trunks: Option<&[TrunkReport]>,
        hosts: Option<Vec<HostReport>>,
    ) -> Status {
        let configuration = view.configuration.load();
        let running = &configuration.running;
        let census = vitals.map(|vitals| vitals.census);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            node: running.node.clone(),
            engine: view.relay.engine_name(),
            started: utc_millis(view.clock.time_of_day(view.started)),
            uptime_seconds: view.clock.now().since(view.started).as_secs(),
            state: match vitals {
                Some(vitals) if vitals.draining => "draining",
                Some(_) => "serving",
                None => "unresponsive",
            },
            drain_deadline: vitals
                .and_then(|vitals| vitals.drain_deadline)
                .map(|at| utc_millis(view.clock.time_of_day(at))),
            calls: census.map(|census| census.calls),
            transactions: census.map(|census| census.transactions),
            media_ports: census.map(|census| media_ports(census.media_ports, census.media_ports_limit)),
            failing_trunks: trunks.map(|reports| failing(reports, view.clock)),
            down_trunks: trunks.map(|reports| down(reports, view.clock)),
            trunks: trunks.map(count_by_state),
            dns: hosts.map(|hosts| hosts.into_iter().map(NameStatus::from).collect()),
            cdrs: CdrStatus::of(&running.cdr, view.cdrs.report()),
            configuration: ConfigurationStatus {
                since: utc_millis(view.clock.time_of_day(configuration.since)),
                listeners: running.listeners.len(),
                trunks: running.routing.trunks.len(),
                routes: running.routing.routes.len(),
                last_reload_successful: configuration.refused.is_empty(),
                faults: configuration.refused.clone(),
                waiting_for_restart: configuration.waiting_for_restart.clone(),
            },
        }
    }
}

fn failing(reports: &[TrunkReport], clock: Clock) -> Vec<FailingTrunk> {
    let time = |at: Instant| utc_millis(clock.time_of_day(at));
    let failing = reports.iter().filter(|report| report.is_enabled() && report.attempts.is_failing());
    let of = |report: &TrunkReport| FailingTrunk {
        name: report.name.as_str().to_owned(),
        attempts: AttemptsBody::of(&report.attempts, time),
        refused: RefusalBody::of(&report.attempts, time),
    };
    failing.take(FAILING_MAX).map(of).collect()
}

fn count_by_state(reports: &[TrunkReport]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for report in reports {
        *counts.entry(report.state().as_str()).or_default() += 1;
    }
    counts
}

fn media_ports(in_use: ByRealm<usize>, limit: ByRealm<usize>) -> MediaPorts {
    let of = |realm: Realm| PortUse { in_use: in_use[realm], limit: limit[realm] };
    MediaPorts { trusted: of(Realm::Trusted), untrusted: of(Realm::Untrusted) }
}
