//! docs/troubleshooting.md: each command, metric, key, field of a record and word of the log that it names is
//! there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;

use regex::Regex;

const PAGE: &str = include_str!("../docs/troubleshooting.md");

/// What stands in the page as it is typed: lines of blocks, and words in backquotes.
fn typed() -> Vec<String> {
    let mut pieces = Vec::new();
    let mut is_block = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            pieces.push(line.to_owned());
        } else {
            pieces.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    pieces
}

/// The first groups of all matches in what is typed, each once.
fn found(pattern: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    let typed = typed();
    let all = typed.iter().flat_map(|piece| pattern.captures_iter(piece));
    all.map(|found| found.get(1).unwrap().as_str().to_owned()).collect()
}

#[track_caller]
fn expect_in(words: &BTreeSet<String>, least: usize, texts: &[&str], form: impl Fn(&str) -> Vec<String>) {
    assert!(words.len() >= least, "only {words:?} were found: is the page written otherwise?");
    let is_there = |word: &str| form(word).iter().any(|form| texts.iter().any(|text| text.contains(form)));
    let missing: Vec<_> = words.iter().filter(|word| !is_there(word)).collect();
    assert!(missing.is_empty(), "there is no {missing:?}");
}

#[test]
fn every_command_of_the_page_is_one() {
    let commands = found(r"(?:^|\$ |sudo |&& |; )drawbridge ((?:trunk )?[a-z]+)");
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        let help =
            Command::new(env!("CARGO_BIN_EXE_drawbridge")).args(&words).arg("--help").output().unwrap();
        assert!(help.status.success(), "drawbridge {command}");
        let help = String::from_utf8(help.stdout).unwrap();
        for option in found(&format!(r"drawbridge {command}.*? (--[a-z]+)")) {
            assert!(help.contains(&option), "drawbridge {command} {option}");
        }
    }
}

#[test]
fn every_metric_of_the_page_is_exposed() {
    let names = include_str!("../src/telemetry/names.rs");
    let metrics = found(r"(drawbridge_[a-z_]+[a-z])");
    expect_in(&metrics, 5, &[names], |metric| {
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
        vec![format!("\"{}\"", bare.unwrap_or(metric))]
    });
}

#[test]
fn every_key_of_the_page_is_in_a_sample() {
    let samples =
        [include_str!("../etc/drawbridge.toml"), include_str!("../etc/trunks.d/example.toml.sample")];
    // `media.timeout`, `failover.codes`: as faults name them.
    let tables =
        "numbering|media|health|failover|limits|calls|caller_id|realm|admin|cdr|hep|log|dns|tls|register";
    let keys = found(&format!(r"^(?:{tables})\.(?:trusted\.|untrusted\.)?([a-z_]+)$"));
    expect_in(&keys, 4, &samples, |key| vec![format!("{key} = "), format!("{key}="), format!(".{key}]")]);
}

/// What jq is asked for is a field of the records, or of an answer of the daemon's.
#[test]
fn every_field_of_the_page_is_one() {
    let writers = [
        include_str!("../src/telemetry/cdr/record.rs"),
        include_str!("../src/admin/trunks.rs"),
        include_str!("../src/admin/status.rs"),
        include_str!("../src/admin/calls.rs"),
        include_str!("../src/cli/check.rs"),
        include_str!("../src/config/fault.rs"),
    ];
    let jq = Regex::new(r"jq [^']*'([^']+)'").unwrap();
    let field = Regex::new(r"\.([a-z_0-9]+)").unwrap();
    let typed = typed();
    let queries = typed.iter().flat_map(|piece| jq.captures_iter(piece));
    let fields: BTreeSet<String> = queries
        .flat_map(|query| {
            let text = query.get(1).unwrap().as_str();
            field.captures_iter(text).map(|found| found[1].to_owned()).collect::<Vec<_>>()
        })
        .collect();
    expect_in(&fields, 8, &writers, |field| vec![format!("    {field}: "), format!("pub {field}: ")]);
}

/// The readers of the log look for these words.
#[test]
fn every_line_of_the_log_that_the_page_quotes_is_written() {
    let sources = [
        include_str!("../src/telemetry/health.rs"),
        include_str!("../src/telemetry/notices.rs"),
        include_str!("../src/telemetry/log.rs"),
        include_str!("../src/app/reload.rs"),
    ];
    let words = [
        " is down",
        " failed{row}, the last: ",
        "calls get through again",
        "the trunk's challenge is not answered",
        "cannot register",
        "the configuration is refused",
        "call ended: ",
        "DRAWBRIDGE_LOG",
    ];
    for word in words {
        assert!(sources.iter().any(|source| source.contains(word)), "{word}");
        let quoted = word.split('{').next().unwrap().trim();
        assert!(PAGE.contains(quoted), "the page does not quote {quoted}");
    }
}
