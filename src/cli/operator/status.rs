//! `drawbridge status`: how the daemon is, on one screen.

use serde_json::Value;

use super::columns::{Cell, count, items, list, moment, number, span, text};
use super::reload::faults;
use super::trunks::why_calls_fail;
use crate::cli::style::{Ink, Palette};

/// The states of trunks in the order in which they are told, and whether each is well.
const TRUNK_STATES: [(&str, bool); 7] = [
    ("up", true),
    ("new", true),
    ("full", true),
    ("unauthorized", false),
    ("down", false),
    ("unresolved", false),
    ("disabled", true),
];

pub(super) fn page(body: &Value, palette: Palette) -> String {
    let state = text(body, "state");
    let ink = match state {
        "serving" => Ink::Good,
        "draining" => Ink::Provisional,
        _ => Ink::Bad,
    };
    let title = format!(
        "{} is {}: Drawbridge {}, media by {}",
        palette.paint(Ink::Bold, &super::columns::cell(text(body, "node"))),
        palette.paint(ink, state),
        text(body, "version"),
        text(body, "engine"),
    );
    let entries = entries(body);
    let mut page = format!("{title}\n\n{}", list(&entries, palette));
    let configuration = &body["configuration"];
    if !items(configuration, "faults").is_empty() {
        let head = format!(
            "The files on disk are refused ({}); what was in force before still is:",
            count(items(configuration, "faults").len() as u64, "fault")
        );
        page.push_str(&format!("\n{}\n{}", palette.paint(Ink::Bad, &head), faults(configuration)));
    }
    page
}

fn entries(body: &Value) -> Vec<(&'static str, Cell)> {
    let since = format!("{}, since {}", span(number(body, "uptime_seconds")), moment(text(body, "started")));
    let mut entries = vec![("up", Cell::new(since)), ("calls", Cell::new(calls(body)))];
    entries.push(("trunks", trunks(body)));
    for (nth, trunk) in items(body, "failing_trunks").iter().enumerate() {
        let name = super::columns::cell(text(trunk, "name"));
        let why = format!("{name}: {}", why_calls_fail(trunk).join("; "));
        entries.push((if nth == 0 { "failing" } else { "" }, Cell::in_ink(why, Ink::Bad)));
    }
    for (nth, trunk) in items(body, "down_trunks").iter().enumerate() {
        entries.push((if nth == 0 { "down" } else { "" }, Cell::in_ink(why_down(trunk), Ink::Bad)));
    }
    let ports = |realm: &str| {
        let of = &body["media_ports"][realm];
        format!("{} of {} {realm}", number(of, "in_use"), number(of, "limit"))
    };
    if body["media_ports"].is_object() {
        entries.push(("media ports", Cell::new(format!("{}, {}", ports("trusted"), ports("untrusted")))));
        entries.push(("transactions", Cell::new(number(body, "transactions").to_string())));
    }
    entries.extend(records(&body["cdrs"]).map(|cell| ("records", cell)));
    entries.extend(copies(&body["cdrs"]["post"]).map(|cell| ("copies", cell)));
    let configuration = &body["configuration"];
    entries.push(("configured", Cell::new(format!("since {}", moment(text(configuration, "since"))))));
    let sizes = [("listeners", "listener"), ("trunks", "trunk"), ("routes", "route")]
        .map(|(key, thing)| count(number(configuration, key), thing));
    entries.push(("", Cell::new(sizes.join(", "))));
    let waiting: Vec<&str> =
        items(configuration, "waiting_for_restart").iter().filter_map(Value::as_str).collect();
    if !waiting.is_empty() {
        entries.push(("restart for", Cell::in_ink(waiting.join(", "), Ink::Provisional)));
    }
    entries
}

fn why_down(trunk: &Value) -> String {
    let name = super::columns::cell(text(trunk, "name"));
    let since = trunk["since"].as_str().map(|at| format!(" since {}", moment(at))).unwrap_or_default();
    let reason = trunk["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{name}: {}{since}{reason}", text(trunk, "state"))
}

fn calls(body: &Value) -> String {
    if body["calls"].is_null() {
        return "unknown: the engine does not answer".to_owned();
    }
    let calls = number(body, "calls").to_string();
    match (text(body, "state"), body["drain_deadline"].as_str()) {
        ("draining", Some(deadline)) => format!("{calls}, ended at {}", moment(deadline)),
        ("draining", None) => format!("{calls}, and no new ones"),
        (_, _) => calls,
    }
}

/// Call detail records, where there are any.
fn records(cdrs: &Value) -> Option<Cell> {
    cdrs["path"].as_str()?;
    let (waiting, lost) = (number(cdrs, "waiting"), number(cdrs, "lost"));
    let mut parts = vec![format!("{} written", number(cdrs, "written"))];
    for (many, what) in [
        (number(cdrs, "recovered"), "of calls that a crash left open"),
        (waiting, "waiting for the disk"),
        (lost, "lost"),
    ] {
        if many > 0 {
            parts.push(format!("{many} {what}"));
        }
    }
    let fault = cdrs["fault"].as_str();
    let why = fault.map(|why| format!(": {}", super::columns::cell(why))).unwrap_or_default();
    let ink = if waiting + lost > 0 || fault.is_some() { Ink::Bad } else { Ink::Plain };
    Some(Cell::in_ink(format!("{}{why}", parts.join(", ")), ink))
}

/// What `cdr.post` sends, where it is configured.
fn copies(post: &Value) -> Option<Cell> {
    post["url"].as_str()?;
    let (waiting, dropped) = (number(post, "waiting"), number(post, "dropped"));
    let mut text = format!("{} sent, {waiting} waiting", number(post, "sent"));
    if dropped > 0 {
        text.push_str(&format!(", {dropped} dropped"));
    }
    let fault = post["fault"].as_str();
    text.extend(fault.map(|why| format!(": {}", super::columns::cell(why))));
    Some(Cell::in_ink(text, if fault.is_some() { Ink::Bad } else { Ink::Plain }))
}

fn trunks(body: &Value) -> Cell {
    let counts = &body["trunks"];
    let told = |(state, _): &(&str, bool)| {
        let many = number(counts, state);
        (many > 0).then(|| format!("{many} {state}"))
    };
    let parts: Vec<String> = TRUNK_STATES.iter().filter_map(told).collect();
    let is_well = TRUNK_STATES.iter().all(|(state, is_well)| *is_well || number(counts, state) == 0);
    let text = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    Cell::in_ink(text, if is_well { Ink::Plain } else { Ink::Bad })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "version": "1.2.3", "node": "sbc1", "engine": "io_uring",
            "started": "2026-03-21T09:05:07.042Z", "uptime_seconds": 7_500, "state": "draining",
            "drain_deadline": "2026-03-21T11:11:00.000Z", "calls": 3, "transactions": 4,
            "media_ports": { "trusted": { "in_use": 6, "limit": 10_000 },
                             "untrusted": { "in_use": 6, "limit": 10_000 } },
            "trunks": { "up": 2, "unauthorized": 1, "down": 1, "unresolved": 1 },
            "failing_trunks": [{
                "name": "sinch",
                "attempts": { "recent": { "attempts": 12, "most": {
                    "reason": "403 Forbidden", "times": 12, "last": "2026-03-21T09:05:07.042Z" } } },
                "refused": null
            }],
            "down_trunks": [
                { "name": "twilio", "state": "down", "since": "2026-03-21T09:05:07.042Z", "reason": "no answer" },
                { "name": "vonage", "state": "unresolved", "since": null, "reason": "sip.vonage.example: no such name" }
            ],
            "configuration": {
                "since": "2026-03-21T09:05:07.042Z", "listeners": 2, "trunks": 3, "routes": 1,
                "last_reload_successful": false,
                "faults": [{ "file": "/etc/drawbridge/drawbridge.toml", "line": 3, "column": 1,
                             "key": "media.prots", "message": "unknown key",
                             "cure": "did you mean \"ports\"?" }],
                "waiting_for_restart": ["media.workers"]
            }
        })
    }

    #[test]
    fn the_page_says_what_is_and_what_is_wrong() {
        expect![[r#"
            sbc1 is draining: Drawbridge 1.2.3, media by io_uring

            up            2 h 5 min, since 2026-03-21 09:05:07 UTC
            calls         3, ended at 2026-03-21 11:11:00 UTC
            trunks        2 up, 1 unauthorized, 1 down, 1 unresolved
            failing       sinch: 403 Forbidden to 12 of the last 12 calls, last 09:05:07
            down          twilio: down since 2026-03-21 09:05:07 UTC: no answer
                          vonage: unresolved: sip.vonage.example: no such name
            media ports   6 of 10000 trusted, 6 of 10000 untrusted
            transactions  4
            configured    since 2026-03-21 09:05:07 UTC
                          2 listeners, 3 trunks, 1 route
            restart for   media.workers

            The files on disk are refused (1 fault); what was in force before still is:
              /etc/drawbridge/drawbridge.toml:3:1: media.prots: unknown key; did you mean "ports"?
        "#]]
        .assert_eq(&page(&body(), Palette::PLAIN));
    }

    #[test]
    fn records_that_are_nowhere_are_told() {
        let cdrs = json!({ "path": "/var/log/drawbridge/cdr.jsonl", "written": 7, "lost": 0, "recovered": 2,
                           "waiting": 3, "fault": "No space left on device (os error 28)" });
        let told = |cell: Option<Cell>| cell.map(|cell| list(&[("records", cell)], Palette::PLAIN));
        let page = told(records(&cdrs)).unwrap();
        let expected = "7 written, 2 of calls that a crash left open, 3 waiting for the disk: No space left";
        assert!(page.contains(expected), "{page}");
        assert!(records(&json!({ "path": null })).is_none() && copies(&Value::Null).is_none());
        let post =
            json!({ "url": "http://192.0.2.9/", "sent": 5, "waiting": 2, "dropped": 1, "fault": "503" });
        assert!(told(copies(&post)).unwrap().contains("5 sent, 2 waiting, 1 dropped: 503"));
    }

    #[test]
    fn an_engine_that_is_silent_is_told() {
        let mut body = body();
        for key in ["calls", "transactions", "media_ports", "trunks"] {
            body[key] = Value::Null;
        }
        body["state"] = "unresponsive".into();
        let page = page(&body, Palette::PLAIN);
        assert!(page.contains("calls        unknown: the engine does not answer"), "{page}");
        assert!(!page.contains("media ports"), "{page}");
    }
}
