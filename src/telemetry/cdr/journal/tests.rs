//! What a journal says that another version of the program has left.
//!
//! `golden/journal-N.jsonl` is what a version has written, and never changes: who adds a field adds a file.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::tests::cdr;
use super::*;
use crate::runtime::Clock;

/// The oldest first; the last is of today.
const GOLDEN: [&str; 2] =
    [include_str!("../golden/journal-1.jsonl"), include_str!("../golden/journal-2.jsonl")];

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The way to a field: `/owed/attempts//trunk`, where an element of a list has no name. A record is a record, whatever
/// it stands in.
fn below(path: &str, name: &str) -> String {
    format!("{path}/{name}").replace("/open/record", "/owed")
}

fn fields(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = below(path, name);
                fields(value, &path, all);
                all.insert(path);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, &format!("{path}/"), all)),
        _ => {}
    }
}

fn fields_of(lines: &[Value]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    lines.iter().for_each(|line| fields(line, "", &mut all));
    all
}

/// Takes away what is not among these fields.
fn forget_others(value: &mut Value, path: &str, known: &BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            object.retain(|name, _| known.contains(&below(path, name)));
            for (name, value) in object {
                forget_others(value, &below(path, name), known);
            }
        }
        Value::Array(list) => {
            list.iter_mut().for_each(|value| forget_others(value, &format!("{path}/"), known));
        }
        _ => {}
    }
}

/// Lines of today with every field that there is.
fn written_today() -> Vec<Value> {
    let clock = Clock::start();
    let cdr = cdr(&clock);
    let record = Record::new(&cdr, &clock);
    let at = Moment::new(record.start.clone(), 7_000_000);
    let mut text = Vec::new();
    append(&mut text, &Line::Open { record: &record, answered_us: Some(9_000_000), at: &at });
    append(&mut text, &Line::Owed(&record));
    append(&mut text, &Line::Over("c-1"));
    append(&mut text, &Line::Alive(&at));
    parsed(std::str::from_utf8(&text).unwrap())
}

#[test]
fn what_older_versions_left_open_is_recorded() {
    for text in GOLDEN {
        let left = left_by(text.as_bytes());
        assert_eq!(left.unreadable, 0);
        let told: Vec<Value> =
            left.records.iter().map(|(_, record)| serde_json::to_value(record).unwrap()).collect();
        let ids: Vec<&str> = told.iter().map(|record| record["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["early", "up", "owed"]);
        let said = |record: &Value| {
            (record["status"].as_u64(), record["duration_ms"].as_u64(), record["cause"] == CAUSE)
        };
        assert_eq!(said(&told[0]), (Some(500), Some(0), true));
        assert_eq!(said(&told[1]), (Some(200), Some(30_000), true));
        assert_eq!(told[1]["end"], "2026-11-21T17:56:25.500Z", "when it was last known to run");
        // What was over is written as it was.
        let owed = parsed(text).into_iter().find_map(|line| line.get("owed").cloned()).unwrap();
        assert_eq!(told[2], owed);
    }
}

#[test]
fn a_field_that_the_first_version_did_not_write_may_be_missing() {
    let first = fields_of(&parsed(GOLDEN[0]));
    for mut line in written_today() {
        forget_others(&mut line, "", &first);
        let read = serde_json::from_value::<Found>(line.clone());
        assert!(read.is_ok(), "a new field wants #[serde(default)]: {:?} in {line}", read.err());
    }
}

#[test]
fn the_newest_of_these_files_has_every_field_that_is_written() {
    let newest = fields_of(&parsed(GOLDEN[GOLDEN.len() - 1]));
    assert_eq!(fields_of(&written_today()), newest, "add golden/journal-N.jsonl with the new fields");
}

/// After a downgrade.
#[test]
fn what_a_later_version_says_beside_it_loses_nothing() {
    let later = GOLDEN[0]
        .replace("{\"id\":", "{\"later\":{\"a\":[1]},\"id\":")
        .replace("{\"utc\"", "{\"later\":1,\"utc\"");
    assert_ne!(later, GOLDEN[0]);
    let left = left_by(format!("{{\"parked\":{{\"id\":\"x\"}}}}\n{later}").as_bytes());
    assert_eq!((left.records.len(), left.unreadable), (3, 1));
}
