//! The trunks over which no call can go: those that are down, and those whose names lead nowhere. What calls over the
//! others meet is told elsewhere (`status.rs`).

use schemars::JsonSchema;
use serde::Serialize;

use crate::routing::{TrunkReport, TrunkState};
use crate::runtime::Clock;
use crate::telemetry::rfc3339::utc_millis;

/// Of so many the status tells.
const DOWN_MAX: usize = 20;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DownTrunk {
    name: String,
    /// `down` or `unresolved`.
    state: &'static str,
    /// When the last of its targets went down; null: it has none.
    since: Option<String>,
    /// What failed last; null: nothing was said.
    reason: Option<String>,
}

pub(super) fn down(reports: &[TrunkReport], clock: Clock) -> Vec<DownTrunk> {
    let is_down = |report: &&TrunkReport| matches!(report.state(), TrunkState::Down | TrunkState::Unresolved);
    reports.iter().filter(is_down).take(DOWN_MAX).map(|report| DownTrunk::of(report, clock)).collect()
}

impl DownTrunk {
    fn of(report: &TrunkReport, clock: Clock) -> DownTrunk {
        let since = report.targets.iter().filter_map(|target| target.since).max();
        let failures = report.targets.iter().filter_map(|target| target.last_failure.as_ref());
        let failed = failures.max_by_key(|(at, _)| *at).map(|(_, reason)| reason.clone());
        let mut faults = report.dns.iter().filter_map(|name| Some((&name.query, name.fault?.0)));
        DownTrunk {
            name: report.name.as_str().to_owned(),
            state: report.state().as_str(),
            since: since.map(|at| utc_millis(clock.time_of_day(at))),
            reason: failed.or_else(|| faults.next().map(|(name, fault)| format!("{name}: {fault}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::{Random, Realm};
    use crate::routing::{Host, Router, Settings, TargetState, Trunk};

    #[test]
    fn what_no_call_can_go_over_is_named_with_why() {
        let clock = Clock::start();
        let now = clock.now();
        let address = || Host::Address("192.0.2.1".parse().unwrap());
        let name = || Host::Name("sip.example.com".into());
        let trunks = [("new", address()), ("silent", address()), ("named", name()), ("off", name())];
        let trunks = trunks.map(|(name, host)| Trunk::new(name, Realm::Untrusted, host, None)).to_vec();
        let mut router = Router::new(Settings { trunks, ..Settings::default() });
        router.switch(&"off".into(), false, now);
        router.follow_targets(now, &mut Random::from_number(1));
        let mut reports = router.report(now);
        assert!(!reports[1].targets.is_empty());
        for target in &mut reports[1].targets {
            target.state = TargetState::Down;
            target.since = Some(now);
            target.last_failure = Some((now, "no answer".to_owned()));
        }
        let since = utc_millis(clock.time_of_day(now));
        let expected = json!([
            { "name": "silent", "state": "down", "since": since, "reason": "no answer" },
            { "name": "named", "state": "unresolved", "since": null, "reason": null },
        ]);
        assert_eq!(serde_json::to_value(down(&reports, clock)).unwrap(), expected);
    }
}
