//! packaging/prometheus and packaging/grafana: what they ask for is measured, each alert is tested and leads to a
//! symptom that is described, and each panel of the dashboard has a place of its own. Whether the alerts fire
//! when they should is tested by promtool (tests/e2e/test_prometheus.py).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod markdown;

use std::collections::BTreeSet;
use std::process::Command;

use drawbridge::telemetry::Metrics;
use markdown::anchor;
use regex::Regex;
use serde_json::Value;

const RULES: &str = include_str!("../packaging/prometheus/drawbridge.rules.yml");
const RULES_TESTS: &str = include_str!("../packaging/prometheus/tests/drawbridge.test.yml");
const TROUBLES: &str = include_str!("../docs/troubleshooting.md");

/// What Prometheus and its client library have.
const NOT_OURS: [&str; 8] = [
    "up",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_threads",
    "process_virtual_memory_bytes",
];

fn all(pattern: &str, text: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// That every metric in a text is one, and every label of a selector one of its labels.
fn expect_measured(text: &str, least: usize) {
    let families = Metrics::new().unwrap().families();
    let selector = Regex::new(r"\b((?:drawbridge|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r#"([a-z_]+)\s*(?:=~|!~|!=|=)"#).unwrap();
    let mut found = BTreeSet::new();
    for selected in selector.captures_iter(text) {
        let name = &selected[1];
        let bare =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        found.insert(bare.to_owned());
        if NOT_OURS.contains(&name) {
            continue;
        }
        let family = families.iter().find(|family| family.name.name == bare);
        let family = family.unwrap_or_else(|| panic!("there is no metric {name}"));
        assert_eq!(bare != name, family.kind == "histogram", "{name} is a {}", family.kind);
        for label in label.captures_iter(selected.get(2).map_or("", |labels| labels.as_str())) {
            let known = family.labels.contains(&&label[1]) || ["instance", "job", "le"].contains(&&label[1]);
            assert!(known, "{name} has no label {}", &label[1]);
        }
    }
    assert!(found.len() >= least, "only {found:?}");
}

/// The values of `expr:`, also those of several lines.
fn expressions(rules: &str) -> String {
    let mut text = String::new();
    let mut is_inside = false;
    for line in rules.lines() {
        if line.trim_start().starts_with("expr:") {
            is_inside = true;
        } else if ["for:", "labels:"].iter().any(|key| line.trim_start().starts_with(key)) {
            is_inside = false;
        }
        if is_inside {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[test]
fn alerts_are_made_of_metrics_that_there_are() {
    expect_measured(&expressions(RULES), 20);
}

#[test]
fn every_alert_fires_in_a_test() {
    let alerts = all(r"- alert: (\w+)", RULES);
    assert!(alerts.len() > 20, "{alerts:?}");
    let tested = all(r#"alertname="(\w+)""#, RULES_TESTS);
    let untested: Vec<_> = alerts.iter().filter(|alert| !tested.contains(alert)).collect();
    assert!(untested.is_empty(), "{untested:?}");
    let listed = all(r"`(Drawbridge\w+)`", TROUBLES);
    let unlisted: Vec<_> = alerts.iter().filter(|alert| !listed.contains(alert)).collect();
    assert!(unlisted.is_empty(), "write into \"What to alert on\": {unlisted:?}");
    let gone: Vec<_> = listed.iter().filter(|alert| !alerts.contains(alert)).collect();
    assert!(gone.is_empty(), "there is no {gone:?}");
}

#[test]
fn every_alert_has_a_command_that_there_is_and_a_symptom_that_is_described() {
    let alerts = all(r"- alert: (\w+)", RULES).len();
    let commands = all(r"(?m)^ +command: (.+)$", RULES);
    let symptoms = all(r"(?m)^ +symptom: \S+/docs/troubleshooting\.md#(\S+)$", RULES);
    assert_eq!((commands.len(), symptoms.len()), (alerts, alerts));
    let anchors: BTreeSet<String> =
        all(r"(?m)^## (.+)$", TROUBLES).iter().map(|title| anchor(title)).collect();
    for symptom in symptoms {
        assert!(anchors.contains(&symptom), "{symptom} is none of {anchors:?}");
    }
    for command in all(r"\bdrawbridge ((?:trunk |media )?[a-z]+)", &commands.join("\n")) {
        if command.starts_with('-') {
            continue;
        }
        let words: Vec<&str> = command.split(' ').collect();
        let help =
            Command::new(env!("CARGO_BIN_EXE_drawbridge")).args(&words).arg("--help").output().unwrap();
        assert!(help.status.success(), "drawbridge {command}");
    }
}

const DASHBOARD: &str = include_str!("../packaging/grafana/drawbridge.json");

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

#[test]
fn every_panel_asks_for_what_is_measured_and_every_metric_has_a_panel() {
    let dashboard = dashboard();
    let targets = panels(&dashboard).iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    let asked = asked.join("\n");
    expect_measured(&asked, 25);
    for family in Metrics::new().unwrap().families() {
        assert!(asked.contains(family.name.name), "no panel shows {}", family.name.name);
    }
}

#[test]
fn panels_have_what_grafana_wants_and_places_of_their_own() {
    let dashboard = dashboard();
    for key in ["uid", "title", "schemaVersion", "time", "templating", "annotations", "panels"] {
        assert!(!dashboard[key].is_null(), "{key}");
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(
        (variables[0]["type"].as_str(), variables[0]["name"].as_str()),
        (Some("datasource"), Some("datasource"))
    );
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24 && place("h") > 0, "{title}");
        for column in place("x")..place("x") + place("w") {
            for line in place("y")..place("y") + place("h") {
                assert!(taken.insert((column, line)), "{title} lies over another");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let references: BTreeSet<_> = panel["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| target["refId"].as_str().unwrap())
            .collect();
        assert_eq!(references.len(), panel["targets"].as_array().unwrap().len(), "{title}");
        let sources = panel["targets"].as_array().unwrap().iter().chain([panel]);
        for asking in sources {
            assert_eq!(asking["datasource"]["uid"], "${datasource}", "{title}");
        }
        assert!(
            ["timeseries", "stat", "state-timeline"].contains(&panel["type"].as_str().unwrap()),
            "{title}"
        );
    }
}
