//! The health of trunks for people: the gauges, and one line for each change, readable at three in the
//! morning.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::Metrics;
use super::rfc3339::utc_millis;
use crate::base::{Instant, Transport};
use crate::routing::{AttemptFault, CallsChange, DownBecause, Failure, HealthChange, TargetKey};
use crate::sip::Status;

/// The `target` label: the address, and how it is reached where that is not UDP.
fn label(target: &TargetKey) -> String {
    let address: SocketAddr = target.address;
    match target.transport {
        Transport::Udp => address.to_string(),
        Transport::Tcp | Transport::Tls => format!("{address}/{}", target.transport),
    }
}

impl Metrics {
    /// Shows a change.
    pub(super) fn show_health(&self, change: &HealthChange) {
        match change {
            HealthChange::Target { target, up, .. } => {
                let labels = [target.trunk.as_str(), &label(target)];
                self.target_up.with_label_values(&labels).set(i64::from(*up));
            }
            // It is not there if the trunk never had it.
            HealthChange::Gone { target } => {
                let _ = self.target_up.remove_label_values(&[target.trunk.as_str(), &label(target)]);
            }
            HealthChange::Trunk { trunk, up } => {
                self.trunk_up.with_label_values(&[trunk.as_str()]).set(i64::from(*up));
            }
            HealthChange::TrunkGone { trunk } => {
                let _ = self.trunk_up.remove_label_values(&[trunk.as_str()]);
            }
            HealthChange::Latency { trunk, latency } => {
                self.probe_seconds.with_label_values(&[trunk.as_str()]).observe(latency.as_secs_f64());
            }
        }
    }
}

/// Writes the line of a change, if it is worth one.
pub fn log_health(change: &HealthChange, time_of_day: impl Fn(Instant) -> SystemTime) {
    let HealthChange::Target { target, left, up, .. } = change else { return };
    let Some(line) = line_of(change, time_of_day) else { return };
    let (trunk, peer) = (target.trunk.as_str(), target.address);
    match (up, left) {
        (true, _) => tracing::info!(trunk, %peer, "{line}"),
        (false, 0) => tracing::error!(trunk, %peer, "{line}"),
        (false, _) => tracing::warn!(trunk, %peer, "{line}"),
    }
}

/// Writes the line of how a trunk's calls go.
pub fn log_calls(change: &CallsChange, time_of_day: impl Fn(Instant) -> SystemTime) {
    match change {
        CallsChange::Failing { trunk, .. } => {
            tracing::warn!(%trunk, "{}", line_of_calls(change, time_of_day));
        }
        CallsChange::Well { trunk, .. } => tracing::info!(%trunk, "{}", line_of_calls(change, time_of_day)),
    }
}

fn line_of_calls(change: &CallsChange, time_of_day: impl Fn(Instant) -> SystemTime) -> String {
    match change {
        CallsChange::Failing { trunk, fault, failed, attempts, in_a_row, since } => {
            let what = told_fault(*fault);
            let row = match in_a_row {
                0 | 1 => String::new(),
                many => format!(", {many} in a row since {}", clock(time_of_day(*since))),
            };
            let of = if attempts == failed { String::new() } else { format!(" of {attempts}") };
            let calls = if *attempts == 1 { "call" } else { "calls" };
            let look = where_to_look(trunk.as_str(), *fault);
            format!("trunk {trunk}: {failed}{of} {calls} failed{row}, the last: {what}; {look}")
        }
        CallsChange::Well { trunk, failed } => {
            format!("trunk {trunk}: calls get through again, after {failed} that failed")
        }
    }
}

/// A test places no call: what only an INVITE meets is not seen by it.
fn where_to_look(trunk: &str, fault: AttemptFault) -> String {
    match fault {
        AttemptFault::Status(402..=406 | 409..=499) => {
            "see their records, and the caller id and the number that they send".to_owned()
        }
        _ => format!("drawbridge trunk test {trunk} says more"),
    }
}

/// What an attempt at a trunk met, for people.
pub fn told_fault(fault: AttemptFault) -> String {
    match fault {
        AttemptFault::Status(status) => match Status::new(status).map(Status::phrase) {
            Some(phrase) if phrase != "Unknown" => format!("{status} {phrase}"),
            Some(_) | None => status.to_string(),
        },
        AttemptFault::Silence => "no answer".to_owned(),
        AttemptFault::Unsent => "could not be sent".to_owned(),
        AttemptFault::NoAddress => "no address in DNS".to_owned(),
    }
}

fn clock(at: SystemTime) -> String {
    utc_millis(at).get(11..19).unwrap_or_default().to_owned()
}

fn line_of(change: &HealthChange, time_of_day: impl Fn(Instant) -> SystemTime) -> Option<String> {
    let HealthChange::Target { target, up, why, known: true, left, total } = change else { return None };
    let (trunk, at) = (&target.trunk, label(target));
    if *up {
        return Some(format!("trunk {trunk}: {at} is up again; {left} of {total} targets up"));
    }
    let why = why.map_or_else(String::new, |why| format!(": {}", reason(&why, |at| clock(time_of_day(at)))));
    let rest = match left {
        0 => "no target left, calls pass this trunk over if they have another".to_owned(),
        left => format!("{left} of {total} targets left"),
    };
    Some(format!("trunk {trunk}: {at} is down{why}; {rest}"))
}

pub(super) fn reason(why: &DownBecause, clock: impl Fn(Instant) -> String) -> String {
    if let Some(until) = why.aside_until {
        return format!("it answered 503 and asks to be left alone until {}", clock(until));
    }
    let what = failure(why.failure, why.times.max(1));
    let also = also(why.failure, why.also);
    format!("{what}{also} since {}", clock(why.since))
}

/// What failed so often in a row.
fn failure(failure: Failure, times: u32) -> String {
    let calls = if times == 1 { "call" } else { "calls" };
    match failure {
        Failure::ProbeSilence => format!("no answer to {times} OPTIONS"),
        Failure::ProbeUnreachable => format!("{times} OPTIONS could not be sent"),
        Failure::ProbeStatus(status) => format!("{times} OPTIONS answered with {status}"),
        Failure::CallSilence => format!("no answer to {times} {calls}"),
        Failure::CallUnreachable => format!("{times} {calls} could not be sent"),
        Failure::CallStatus(status) => format!("{times} {calls} failed, the last with {status},"),
    }
}

/// What the other witness says: a target may be down by its calls while OPTIONS fails too, or the reverse.
fn also(failure: Failure, times: u32) -> String {
    let by_probes =
        matches!(failure, Failure::ProbeSilence | Failure::ProbeUnreachable | Failure::ProbeStatus(_));
    match (times, by_probes) {
        (0, _) => String::new(),
        (1, true) => " (and 1 call failed)".to_owned(),
        (many, true) => format!(" (and {many} calls failed)"),
        (many, false) => format!(" (and {many} OPTIONS failed)"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn target() -> TargetKey {
        TargetKey {
            trunk: "sinch".into(),
            address: "18.184.175.4:5060".parse().unwrap(),
            transport: Transport::Udp,
        }
    }

    fn line(up: bool, why: Option<DownBecause>, left: usize) -> String {
        let change = HealthChange::Target { target: target(), up, why, known: true, left, total: 2 };
        let afternoon = UNIX_EPOCH + Duration::from_secs(14 * 3_600 + 3 * 60 + 11);
        line_of(&change, |at| afternoon + at.since(Instant::ZERO)).unwrap()
    }

    #[test]
    fn a_change_is_one_line_that_says_what_where_why_since_when_and_what_is_left() {
        let why = DownBecause {
            failure: Failure::ProbeSilence,
            times: 3,
            also: 0,
            since: Instant::ZERO,
            aside_until: None,
        };
        assert_eq!(
            line(false, Some(why), 1),
            "trunk sinch: 18.184.175.4:5060 is down: no answer to 3 OPTIONS since 14:03:11; 1 of 2 targets left"
        );
        let why = DownBecause { failure: Failure::CallStatus(500), times: 4, ..why };
        assert_eq!(
            line(false, Some(why), 0),
            "trunk sinch: 18.184.175.4:5060 is down: 4 calls failed, the last with 500, since 14:03:11; \
             no target left, calls pass this trunk over if they have another"
        );
        let why = DownBecause { failure: Failure::CallSilence, also: 2, times: 3, ..why };
        assert_eq!(
            line(false, Some(why), 1),
            "trunk sinch: 18.184.175.4:5060 is down: no answer to 3 calls (and 2 OPTIONS failed) since 14:03:11; \
             1 of 2 targets left"
        );
        let why = DownBecause { aside_until: Some(Instant::from_millis(30_000)), ..why };
        assert_eq!(
            line(false, Some(why), 1),
            "trunk sinch: 18.184.175.4:5060 is down: it answered 503 and asks to be left alone until \
             14:03:41; 1 of 2 targets left"
        );
        assert_eq!(line(true, None, 2), "trunk sinch: 18.184.175.4:5060 is up again; 2 of 2 targets up");
    }

    fn calls_line(change: &CallsChange) -> String {
        let afternoon = UNIX_EPOCH + Duration::from_secs(14 * 3_600 + 3 * 60 + 11);
        line_of_calls(change, |at| afternoon + at.since(Instant::ZERO))
    }

    #[test]
    fn a_trunk_whose_calls_fail_is_one_line_with_what_they_met_and_where_to_look() {
        let failing = |fault, failed, attempts, in_a_row| {
            let (trunk, since) = ("sinch".into(), Instant::ZERO);
            calls_line(&CallsChange::Failing { trunk, fault, failed, attempts, in_a_row, since })
        };
        assert_eq!(
            failing(AttemptFault::Status(403), 1, 1, 1),
            "trunk sinch: 1 call failed, the last: 403 Forbidden; see their records, and the caller id and the number \
             that they send"
        );
        assert_eq!(
            failing(AttemptFault::Silence, 40, 42, 12),
            "trunk sinch: 40 of 42 calls failed, 12 in a row since 14:03:11, the last: no answer; \
             drawbridge trunk test sinch says more"
        );
        assert_eq!(told_fault(AttemptFault::Status(699)), "699");
        let well = CallsChange::Well { trunk: "sinch".into(), failed: 12 };
        assert_eq!(calls_line(&well), "trunk sinch: calls get through again, after 12 that failed");
    }

    #[test]
    fn a_targets_series_goes_with_it() {
        let metrics = Metrics::new().unwrap();
        let up = HealthChange::Target {
            target: TargetKey { transport: Transport::Tls, ..target() },
            up: true,
            why: None,
            known: false,
            left: 0,
            total: 0,
        };
        metrics.show_health(&up);
        metrics.show_health(&HealthChange::Trunk { trunk: "sinch".into(), up: true });
        let render = || metrics.render(None, &Default::default()).unwrap();
        let series = "drawbridge_trunk_target_up{target=\"18.184.175.4:5060/tls\",trunk=\"sinch\"} 1\n";
        assert!(render().contains(series), "{}", render());
        assert!(render().contains("drawbridge_trunk_up{trunk=\"sinch\"} 1\n"));
        let gone = TargetKey { transport: Transport::Tls, ..target() };
        metrics.show_health(&HealthChange::Gone { target: gone });
        metrics.show_health(&HealthChange::TrunkGone { trunk: "sinch".into() });
        assert!(!render().contains("sinch"), "{}", render());
    }
}
