//! `drawbridge trunks`: a line for each trunk, and one for each further target.

use serde_json::Value;

use super::columns::{Cell, cell, count, hour, items, moment, number, table, text};
use crate::cli::style::{Ink, Palette};

pub(super) fn page(body: &Value, palette: Palette) -> String {
    let trunks = items(body, "trunks");
    if trunks.is_empty() {
        return "no trunk is configured: see /etc/drawbridge/trunks.d\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = trunks.iter().flat_map(rows).collect();
    table(&["TRUNK", "STATE", "REALM", "CALLS", "FAILED", "TARGET", "IS", "TOOK", "NOTE"], &rows, palette)
}

/// After `trunk enable` and `trunk disable`.
pub(super) fn switched(trunk: &Value, palette: Palette) -> String {
    let name = palette.paint(Ink::Bold, &cell(text(trunk, "name")));
    let calls = number(trunk, "calls");
    if trunk["enabled"] == true {
        return format!("{name} is enabled: new calls may go over it\n");
    }
    let left = if calls > 0 { format!("; {} in progress", count(calls, "call")) } else { String::new() };
    let goes_on = if calls == 1 { " goes on" } else { " go on" };
    let left = if calls > 0 { left + goes_on } else { left };
    format!("{name} is disabled: no new call goes over it{left}\n")
}

fn rows(trunk: &Value) -> Vec<Vec<Cell>> {
    let targets = items(trunk, "targets");
    let first = head(trunk).into_iter().chain(targets.first().map_or_else(
        || vec![Cell::new(""), Cell::new(""), Cell::new(""), Cell::new(note(trunk))],
        |first| target(first, &note(trunk)),
    ));
    let further = targets.iter().skip(1).map(|further| {
        let blank = (0..5).map(|_| Cell::new(""));
        blank.chain(target(further, "")).collect()
    });
    std::iter::once(first.collect()).chain(further).collect()
}

fn head(trunk: &Value) -> Vec<Cell> {
    let state = text(trunk, "state");
    let ink = match state {
        "up" => Ink::Good,
        "full" | "disabled" | "new" => Ink::Provisional,
        _ => Ink::Bad,
    };
    let calls = match trunk["limits"]["calls"].as_u64() {
        Some(limit) => format!("{}/{limit}", number(trunk, "calls")),
        None => number(trunk, "calls").to_string(),
    };
    vec![
        Cell::in_ink(text(trunk, "name"), Ink::Bold),
        Cell::in_ink(state, ink),
        Cell::new(text(trunk, "realm")),
        Cell::new(calls),
        failed(&trunk["attempts"]),
    ]
}

/// "12/340": of so many attempts since the start.
fn failed(attempts: &Value) -> Cell {
    let (failed, total) = (number(attempts, "failed"), number(attempts, "total"));
    let ink = if number(attempts, "failed_in_a_row") > 0 { Ink::Bad } else { Ink::Plain };
    Cell::in_ink(if total == 0 { "-".to_owned() } else { format!("{failed}/{total}") }, ink)
}

/// Why its calls fail: what its peer says to our credentials, and what the last attempts met.
pub(super) fn why_calls_fail(trunk: &Value) -> Vec<String> {
    let refused = &trunk["refused"];
    let refused = refused.is_object().then(|| {
        format!("unauthorized since {}: {}", moment(text(refused, "since")), text(refused, "reason"))
    });
    let recent = &trunk["attempts"]["recent"];
    let most = &recent["most"];
    let met = most.is_object().then(|| {
        let (times, of) = (number(most, "times"), count(number(recent, "attempts"), "call"));
        let last = hour(text(most, "last"));
        format!("{} to {times} of the last {of}, last {last}", text(most, "reason"))
    });
    refused.into_iter().chain(met).collect()
}

/// What an operator said of it, why its calls fail, names that lead nowhere or are out of date,
/// registrations that there are, or should be.
fn note(trunk: &Value) -> String {
    let switched = &trunk["switched"];
    let word = if switched["enabled"] == true { "enabled" } else { "disabled" };
    let by = switched.is_object().then(|| format!("{word} by hand at {}", moment(text(switched, "since"))));
    let names = items(trunk, "dns").iter().filter_map(name_note);
    let registrations = items(trunk, "registrations").iter().map(registration_note);
    by.into_iter()
        .chain(why_calls_fail(trunk))
        .chain(names)
        .chain(registrations)
        .collect::<Vec<_>>()
        .join("; ")
}

fn name_note(name: &Value) -> Option<String> {
    let fault = name["fault"].as_str().map_or_else(String::new, |fault| format!(" ({fault})"));
    match text(name, "state") {
        "unknown" => Some(format!("{}: no address{fault}", text(name, "name"))),
        "stale" => {
            Some(format!("{}: answer {} s old{fault}", text(name, "name"), number(name, "age_seconds")))
        }
        _ => None,
    }
}

fn registration_note(registration: &Value) -> String {
    let fault = registration["fault"].as_str().map_or_else(String::new, |fault| format!(": {fault}"));
    match registration["registered"] == true {
        true => format!("registered at {}{fault}", text(registration, "target")),
        false => format!("not registered{fault}"),
    }
}

fn target(target: &Value, of_trunk: &str) -> Vec<Cell> {
    let state = text(target, "state");
    let ink = match state {
        "up" | "new" => Ink::Plain,
        "returning" => Ink::Provisional,
        _ => Ink::Bad,
    };
    let took = target["latency_ms"].as_f64().map_or_else(String::new, |ms| format!("{ms:.0} ms"));
    let failure = &target["last_failure"];
    let failing = &target["failing"];
    let times = failing
        .is_object()
        .then(|| format!("{} of {}: ", number(failing, "times"), number(failing, "down_after")));
    let is_told = times.is_some() || !matches!(state, "up" | "new");
    let failed = failure.is_object().then(|| {
        let (reason, at) = (text(failure, "reason"), moment(text(failure, "at")));
        format!("{}{reason} at {at}", times.unwrap_or_default())
    });
    let failed = failed.filter(|_| is_told);
    let notes: Vec<String> = std::iter::once(of_trunk.to_owned()).chain(failed).collect();
    let notes: Vec<String> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    vec![
        Cell::new(format!("{} {}", text(target, "address"), text(target, "transport"))),
        Cell::in_ink(state, ink),
        Cell::new(took),
        Cell::new(notes.join("; ")),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trunk_is_a_line_and_each_further_target_another() {
        let target = |address: &str, state: &str, failing: Value| {
            json!({ "host": "sip.example", "address": address, "transport": "udp", "state": state,
                    "since": null, "last_failure": { "at": "2026-03-21T09:05:07.042Z", "reason": "timeout" },
                    "failing": failing, "latency_ms": if state == "up" { json!(12.4) } else { Value::Null } })
        };
        let body = json!({ "trunks": [
            { "name": "sinch", "realm": "untrusted", "state": "unauthorized", "enabled": true, "switched": null,
              "calls": 3, "limits": { "calls": 100, "cps": null },
              "attempts": { "total": 340, "failed": 12, "failed_in_a_row": 12, "recent": { "attempts": 20,
                  "most": { "reason": "401 Unauthorized", "times": 12, "last": "2026-03-21T14:03:11.042Z" } } },
              "refused": { "since": "2026-03-21T14:01:00.042Z", "reason": "realm \"x\" refuses the password" },
              "targets": [target("192.0.2.1:5060", "up", json!({ "times": 1, "down_after": 3 })),
                          target("192.0.2.2:5060", "down", Value::Null),
                          target("192.0.2.3:5060", "new", Value::Null)],
              "dns": [{ "name": "sip.example", "state": "stale", "age_seconds": 77, "fault": "no answer from DNS" }],
              "registrations": [{ "registered": true, "target": "192.0.2.1:5060", "fault": null }] },
            { "name": "pbx", "realm": "trusted", "state": "disabled", "enabled": false, "calls": 0,
              "switched": { "enabled": false, "since": "2026-03-21T09:05:07.042Z" },
              "limits": { "calls": null, "cps": null }, "targets": [],
              "attempts": { "total": 0, "failed": 0, "failed_in_a_row": 0, "recent": { "attempts": 0, "most": null } },
              "refused": null,
              "dns": [{ "name": "pbx.example", "state": "unknown", "fault": null }],
              "registrations": [{ "registered": false, "fault": "no answer" }] },
        ]});
        expect![[r#"
            TRUNK  STATE         REALM      CALLS  FAILED  TARGET              IS    TOOK   NOTE
            sinch  unauthorized  untrusted  3/100  12/340  192.0.2.1:5060 udp  up    12 ms  unauthorized since 2026-03-21 14:01:00 UTC: realm "x" refuses the password; 401 Unauthorized to 12 of the last 20 calls, last 14:03:11; sip.example: answer 77 s old (no answer from DNS); registered at…
                                                           192.0.2.2:5060 udp  down         timeout at 2026-03-21 09:05:07 UTC
                                                           192.0.2.3:5060 udp  new
            pbx    disabled      trusted    0      -                                        disabled by hand at 2026-03-21 09:05:07 UTC; pbx.example: no address; not registered: no answer
        "#]].assert_eq(&page(&body, Palette::PLAIN));
    }

    /// What the daemon serves (`admin/golden.rs`).
    #[test]
    fn what_is_served_is_what_is_read() {
        let served: Value = serde_json::from_str(include_str!("../../admin/golden/trunks.json")).unwrap();
        let page = page(&served, Palette::PLAIN);
        for told in [
            "sinch",
            "untrusted",
            "0/100",
            "192.0.2.1:5060 udp",
            "registered at 192.0.2.1:5060",
            "not registered: no answer",
            "disabled by hand at 2026-03-21 09:05:07 UTC",
            "sip.example.com: no address",
        ] {
            assert!(page.contains(told), "{told}\n{page}");
        }
    }

    #[test]
    fn switching_says_what_becomes_of_the_calls() {
        let trunk =
            |enabled: bool, calls: u64| json!({ "name": "sinch", "enabled": enabled, "calls": calls });
        let says = |enabled, calls| switched(&trunk(enabled, calls), Palette::PLAIN);
        assert_eq!(says(true, 1), "sinch is enabled: new calls may go over it\n");
        assert_eq!(says(false, 0), "sinch is disabled: no new call goes over it\n");
        let goes_on = "sinch is disabled: no new call goes over it; 1 call in progress goes on\n";
        assert_eq!(says(false, 1), goes_on);
    }
}
