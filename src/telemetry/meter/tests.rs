use super::*;
use crate::b2bua::{Attempt, Census, EndedBy, OneWayAudio, PartyPlace};
use crate::base::{ByRealm, Instant};
use crate::media::MediaReport;
use crate::routing::{HealthChange, TargetKey};
use crate::telemetry::{RelayTotals, names};

fn meter(trunks: &[&str]) -> (Arc<Metrics>, Meter) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let trunks: Vec<TrunkName> = trunks.iter().map(|name| TrunkName::from(*name)).collect();
    let meter = Meter::new(Arc::clone(&metrics), &trunks);
    (metrics, meter)
}

fn render(metrics: &Metrics) -> String {
    let relay = RelayTotals {
        relayed: vec![(Realm::Trusted, "in", 5, 860)],
        rtp_dropped: vec![(Realm::Untrusted, "not_rtp", 3)],
        stalls: vec![("buffers", 2)],
        restarts: 1,
        copies_lost: 2,
    };
    let census = Census {
        transactions: 4,
        media_ports: ByRealm { trusted: 4, untrusted: 2 },
        media_ports_limit: ByRealm { trusted: 20, untrusted: 20 },
        ..Census::default()
    };
    metrics.set_build("0.0.0", "portable");
    metrics.render(Some(census), &relay).unwrap()
}

#[test]
fn what_has_no_series_yet_is_described_once() {
    let (metrics, _meter) = meter(&[]);
    let text = render(&metrics);
    for name in [
        "drawbridge_trunk_up gauge",
        "drawbridge_trunk_registered gauge",
        "drawbridge_trunk_probe_seconds histogram",
    ] {
        assert!(text.contains(&format!("# TYPE {name}\n")), "{name} in {text}");
    }
    let described: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let unique: std::collections::BTreeSet<&str> = described.iter().copied().collect();
    assert_eq!(described.len(), unique.len());
}

fn leg(realm: Realm, trunk: Option<&str>) -> CdrLeg {
    CdrLeg {
        realm,
        trunk: trunk.map(TrunkName::from),
        remote: "192.0.2.1:5060".parse().unwrap(),
        call_id: "x".to_owned(),
    }
}

fn cdr() -> Cdr {
    let attempt = |trunk: &str, result| Attempt {
        trunk: TrunkName::from(trunk),
        target: "192.0.2.1:5060".parse().ok(),
        result,
        rang_after: None,
        millis: 1,
    };
    let direction = DirectionReport {
        packets: 97,
        expected: 100,
        lost: 5,
        duplicates: 2,
        jitter_ms: 12.0,
        mos: Some(4.05),
        ..DirectionReport::default()
    };
    Cdr {
        id: "1".to_owned(),
        start: Instant::from_millis(0),
        ring: Some(Instant::from_millis(1_500)),
        answer: Some(Instant::from_millis(4_000)),
        end: Instant::from_millis(64_000),
        from: "1".to_owned(),
        to: "2".to_owned(),
        from_e164: None,
        to_e164: None,
        redirected_to: None,
        transfers: vec![],
        ingress: leg(Realm::Trusted, None),
        egress: Some(leg(Realm::Untrusted, Some("sinch"))),
        attempts: vec![
            attempt("sinch", AttemptResult::Status(503)),
            attempt("sinch", AttemptResult::Status(699)),
            Attempt { millis: 2_900, ..attempt("sinch", AttemptResult::Status(200)) },
            attempt("never configured", AttemptResult::Timeout),
        ],
        status: 200,
        ended_by: EndedBy::Caller,
        cause: "BYE".to_owned(),
        codec: None,
        media: Some(MediaReport { from_a: DirectionReport::default(), from_b: direction }),
    }
}

#[test]
fn a_fresh_process_shows_every_metric_with_help_and_type() {
    let (metrics, mut meter) = meter(&["sinch"]);
    // The engine says at once how its trunks are.
    let target = TargetKey {
        trunk: "sinch".into(),
        address: "192.0.2.1:5060".parse().unwrap(),
        transport: Transport::Udp,
    };
    let (known, left, total) = (false, 0, 0);
    meter.count(&Event::Health(HealthChange::Target { target, up: true, why: None, known, left, total }));
    meter.count(&Event::Health(HealthChange::Trunk { trunk: "sinch".into(), up: true }));
    let text = render(&metrics);
    // Told where they are configured alone.
    let absent = [names::TRUNK_REGISTERED, names::CALLS_LIMIT, names::TLS_CERTIFICATE_EXPIRY];
    for name in metrics.families().iter().map(|family| family.name).filter(|name| !absent.contains(name)) {
        assert!(text.contains(&format!("# HELP {} {}\n", name.name, name.help)), "no HELP of {}", name.name);
        assert!(text.contains(&format!("# TYPE {} ", name.name)), "no TYPE of {}", name.name);
    }
    assert!(text.contains("# TYPE process_resident_memory_bytes gauge\n"));
    exposition::check(&text);
}

#[test]
fn a_call_is_counted_on_both_of_its_trunks() {
    let (metrics, meter) = meter(&["sinch"]);
    meter.count_call(&cdr());
    let text = render(&metrics);
    for line in [
        r#"drawbridge_calls_total{direction="in",outcome="answered",trunk="-"} 1"#,
        r#"drawbridge_calls_total{direction="out",outcome="answered",trunk="sinch"} 1"#,
        r#"drawbridge_calls_total{direction="in",outcome="answered",trunk="sinch"} 0"#,
        r#"drawbridge_call_setup_seconds_sum{trunk="-"} 1.5"#,
        r#"drawbridge_call_setup_seconds_sum{trunk="sinch"} 2.9"#,
        r#"drawbridge_call_setup_seconds_count{trunk="sinch"} 1"#,
        r#"drawbridge_call_duration_seconds_sum{trunk="-"} 60"#,
        r#"drawbridge_call_attempts_total{code="503",trunk="sinch"} 1"#,
        r#"drawbridge_call_attempts_total{code="6xx",trunk="sinch"} 1"#,
        r#"drawbridge_call_attempts_total{code="timeout",trunk="-"} 1"#,
        r#"drawbridge_rtp_loss_ratio_sum{trunk="sinch"} 0.05"#,
        r#"drawbridge_rtp_jitter_seconds_sum{trunk="sinch"} 0.012"#,
        r#"drawbridge_rtp_mos_count{trunk="sinch"} 1"#,
        r#"drawbridge_rtp_mos_count{trunk="-"} 0"#,
        r#"drawbridge_media_one_way_total{trunk="sinch"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "missing: {line}\n{text}");
    }
    assert!(!text.contains("never configured"));
    exposition::check(&text);
}

/// `failover.after_ringing`: what the caller heard of the first trunk is no figure of the second.
#[test]
fn each_trunk_has_the_setup_time_of_its_own_attempts() {
    let (metrics, meter) = meter(&["first", "second", "pbx"]);
    let attempt = |trunk: &str, result, rang_ms: Option<u64>, millis| Attempt {
        trunk: TrunkName::from(trunk),
        target: "192.0.2.1:5060".parse().ok(),
        result,
        rang_after: rang_ms.map(Duration::from_millis),
        millis,
    };
    meter.count_call(&Cdr {
        ingress: leg(Realm::Trusted, Some("pbx")),
        egress: Some(leg(Realm::Untrusted, Some("second"))),
        attempts: vec![
            attempt("first", AttemptResult::Status(503), None, 250),
            attempt("first", AttemptResult::Timeout, Some(750), 185_000),
            attempt("second", AttemptResult::Status(200), Some(2_000), 5_000),
        ],
        ..cdr()
    });
    let text = render(&metrics);
    for line in [
        r#"drawbridge_call_setup_seconds_sum{trunk="pbx"} 1.5"#,
        r#"drawbridge_call_setup_seconds_sum{trunk="first"} 0.75"#,
        r#"drawbridge_call_setup_seconds_count{trunk="first"} 1"#,
        r#"drawbridge_call_setup_seconds_sum{trunk="second"} 2"#,
        r#"drawbridge_call_setup_seconds_count{trunk="second"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "missing: {line}\n{text}");
    }
}

#[test]
fn events_and_gauges_reach_the_page_and_totals_of_the_relay_are_not_added_twice() {
    let (metrics, mut meter) = meter(&["a"]);
    let realm = Realm::Untrusted;
    let out = Event::MessageOut { realm, transport: Transport::Udp, kind: "INVITE", retransmission: true };
    meter.count(&out);
    meter.count(&Event::Dropped { realm, reason: DropReason::SourceNotAllowed });
    meter.count(&Event::CallBegan { trunk: Some(TrunkName::from("a")), arrived: true });
    meter.count(&Event::CallBegan { trunk: Some(TrunkName::from("b")), arrived: true });
    meter.add_trunks(&[TrunkName::from("b")]);
    meter.count_unsent(realm, Unsent::QueueFull);
    meter.count(&Event::CancelLost { realm });
    let told = crate::telemetry::one_way::tests::told();
    meter.count(&Event::OneWay(Box::new(OneWayAudio {
        place: PartyPlace { realm, trunk: Some(TrunkName::from("a")) },
        ..told.clone()
    })));
    meter.count(&Event::OneWay(Box::new(OneWayAudio { place: PartyPlace { realm, trunk: None }, ..told })));
    render(&metrics);
    metrics.history.tick(Instant::ZERO, crate::telemetry::history::Sample::default());
    assert_eq!(metrics.history.read(|past| past.last_seconds(1).not_heard), 2);
    let text = render(&metrics);
    for line in [
        r#"drawbridge_sip_messages_total{direction="out",kind="INVITE",realm="untrusted",transport="udp"} 1"#,
        r#"drawbridge_sip_retransmissions_total{realm="untrusted"} 1"#,
        r#"drawbridge_sip_cancels_lost_total{realm="untrusted"} 1"#,
        r#"drawbridge_sip_dropped_total{realm="untrusted",reason="source_not_allowed"} 1"#,
        r#"drawbridge_sip_unsent_total{realm="untrusted",reason="queue_full"} 1"#,
        r#"drawbridge_media_one_way_total{trunk="a"} 1"#,
        r#"drawbridge_media_one_way_total{trunk="-"} 1"#,
        r#"drawbridge_media_one_way_total{trunk="b"} 0"#,
        r#"drawbridge_calls_active{trunk="a"} 1"#,
        r#"drawbridge_calls_active{trunk="-"} 1"#,
        r#"drawbridge_calls_active{trunk="b"} 0"#,
        r#"drawbridge_media_ports_in_use{realm="trusted"} 4"#,
        r#"drawbridge_media_ports_limit{realm="untrusted"} 20"#,
        r#"drawbridge_rtp_packets_total{direction="in",realm="trusted"} 5"#,
        r#"drawbridge_rtp_dropped_total{realm="untrusted",reason="not_rtp"} 3"#,
        "drawbridge_transactions_active 4",
        "drawbridge_config_last_reload_successful 1",
    ] {
        assert!(text.lines().any(|found| found == line), "missing: {line}\n{text}");
    }
}

/// A strict reader of the text exposition format 0.0.4.
mod exposition {
    use std::collections::{HashMap, HashSet};

    /// Fails on the first line that a scraper might refuse.
    pub(super) fn check(text: &str) {
        assert!(text.ends_with('\n'), "the last line is not ended");
        let mut types: HashMap<&str, &str> = HashMap::new();
        let mut helped: HashSet<&str> = HashSet::new();
        let mut family = "";
        let mut closed: HashSet<&str> = HashSet::new();
        let mut series: HashSet<&str> = HashSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let name = help.split(' ').next().unwrap();
                assert!(helped.insert(name), "two HELP of {name}");
                closed.insert(family);
                assert!(!closed.contains(name), "{name} is in two groups");
                family = name;
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert_eq!(name, family, "TYPE stands apart from HELP");
                assert!(types.insert(name, kind).is_none(), "two TYPE of {name}");
            } else {
                let (name_and_labels, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
                assert!(series.insert(name_and_labels), "twice: {name_and_labels}");
                let name = name_and_labels.split('{').next().unwrap();
                check_sample(name, family, types[family]);
                check_labels(&name_and_labels[name.len()..]);
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(types[family] == "gauge" || value >= 0.0, "{line}");
            }
        }
    }

    fn check_sample(name: &str, family: &str, kind: &str) {
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{name} stands under {family}"));
        match kind {
            "histogram" => assert!(matches!(suffix, "_bucket" | "_sum" | "_count"), "{name}"),
            "counter" => assert!(suffix.is_empty() && name.ends_with("_total"), "{name}"),
            _ => assert!(suffix.is_empty(), "{name}"),
        }
    }

    fn check_labels(labels: &str) {
        if labels.is_empty() {
            return;
        }
        let inside = labels.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap();
        for label in inside.split("\",") {
            let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{labels}"));
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{labels}");
            let value = value.strip_suffix('"').unwrap_or(value);
            assert!(!value.contains(['"', '\\', '\n']), "{labels}");
        }
    }
}
