//! `drawbridge call ID`: one call with its route, its legs, its media and its ladder.

use std::time::Duration;

use serde_json::Value;

use super::calls::{phase, whose};
use super::columns::{Cell, cell, count, items, list, moment, number, span, table, text};
use crate::cli::ladder::{self, Gap, Head, Heads, Mark, Row};
use crate::cli::style::{Ink, Palette};
use crate::sip::Status;
use crate::telemetry::rfc3339::millis_of;

pub(super) fn page(call: &Value, palette: Palette) -> String {
    let sections = [
        facts(call, palette),
        route(call, palette),
        legs(call, palette),
        media(call, palette),
        timers(call, palette),
        messages(call, palette),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn headed(title: &str, body: String, palette: Palette) -> String {
    if body.is_empty() { body } else { format!("{}\n{body}", palette.paint(Ink::Bold, title)) }
}

fn facts(call: &Value, palette: Palette) -> String {
    let mut entries = vec![
        ("call", Cell::in_ink(text(call, "id"), Ink::Bold)),
        ("phase", phase(call)),
        ("from", Cell::chosen(text(call, "from"), Ink::Plain)),
        ("to", Cell::chosen(text(call, "to"), Ink::Plain)),
        ("start", Cell::new(moment(text(call, "start")))),
    ];
    for (name, key) in [("ring", "ring"), ("answer", "answer"), ("end", "end")] {
        if let Some(at) = call[key].as_str() {
            entries.push((name, Cell::new(moment(at))));
        }
    }
    entries.push(("for", Cell::new(span(number(call, "seconds")))));
    if let Some(cause) = call["cause"].as_str() {
        let is_good = call["outcome"] == "answered";
        let told = format!(
            "{} {} by {}: {cause}",
            text(call, "outcome"),
            number(call, "status"),
            text(call, "ended_by")
        );
        entries.push(("ended", Cell::in_ink(told, if is_good { Ink::Plain } else { Ink::Bad })));
    }
    if let Some(codec) = call["codec"].as_str() {
        entries.push(("codec", Cell::chosen(codec, Ink::Plain)));
    }
    for transfer in items(call, "transfers") {
        let (by, to) = (text(transfer, "by"), cell(text(transfer, "to")));
        let told = format!("by the {by} to {to}: {}", number(transfer, "status"));
        entries.push(("transfer", Cell::new(told)));
    }
    if call["emergency"] == true {
        entries.push(("emergency", Cell::in_ink("a call for help", Ink::Bad)));
    }
    list(&entries, palette)
}

fn route(call: &Value, palette: Palette) -> String {
    let route = &call["route"];
    if !route.is_object() {
        return String::new();
    }
    let title = cell(&format!("Route {} ({})", text(route, "name"), text(route, "matched")));
    let rows: Vec<Vec<Cell>> = items(route, "tried").iter().map(attempt).collect();
    let mut body = match rows.is_empty() {
        true => palette.paint(Ink::Faint, "no target was tried") + "\n",
        false => table(&["TRUNK", "TARGET", "RESULT", "AFTER"], &rows, palette),
    };
    let waiting: Vec<&str> = items(route, "waiting").iter().filter_map(Value::as_str).collect();
    if !waiting.is_empty() && call["state"] != "ended" && call["answer"].is_null() {
        body += &palette.paint(Ink::Faint, &format!("next: {}", waiting.join(", ")));
        body.push('\n');
    }
    headed(&title, body, palette)
}

fn attempt(attempt: &Value) -> Vec<Cell> {
    let result = match &attempt["status"] {
        Value::Null => Cell::in_ink("is being tried", Ink::Provisional),
        Value::Number(code) => {
            let is_good = code.as_u64().is_some_and(|code| code < 300);
            Cell::in_ink(code.to_string(), if is_good { Ink::Good } else { Ink::Bad })
        }
        word => Cell::in_ink(word.as_str().unwrap_or_default(), Ink::Bad),
    };
    let target = attempt["target"].as_str().unwrap_or("no address");
    vec![
        Cell::new(text(attempt, "trunk")),
        Cell::new(target),
        result,
        Cell::new(format!("{} ms", number(attempt, "ms"))),
    ]
}

fn legs(call: &Value, palette: Palette) -> String {
    let leg = |name: &'static str, leg: &Value| -> Vec<Cell> {
        if !leg.is_object() {
            return vec![Cell::new(name), Cell::in_ink("no target yet", Ink::Faint)];
        }
        let timer = &leg["session_timer"];
        let timer = match timer.is_object() {
            true => format!("{} s, {}", number(timer, "seconds"), text(timer, "refresher")),
            false => "-".to_owned(),
        };
        let holds = if leg["holding"] == true { "holds" } else { "" };
        vec![
            Cell::new(name),
            Cell::new(whose(leg)),
            Cell::new(format!("{} {}", text(leg, "transport"), text(leg, "remote"))),
            Cell::new(text(leg, "local")),
            Cell::chosen(text(leg, "call_id"), Ink::Plain),
            Cell::chosen(text(leg, "remote_tag"), Ink::Plain),
            Cell::new(timer),
            Cell::in_ink(holds, Ink::Provisional),
        ]
    };
    if call["ingress"]["call_id"].is_null() {
        return String::new();
    }
    let rows = [leg("in", &call["ingress"]), leg("out", &call["egress"])];
    let heads = ["LEG", "PARTY", "PEER", "OURS", "CALL-ID", "THEIR TAG", "SESSION TIMER", ""];
    headed("Legs", table(&heads, &rows, palette), palette)
}

fn media(call: &Value, palette: Palette) -> String {
    let media = &call["media"];
    if !media.is_object() {
        return match call["state"].as_str() {
            Some("active") => headed("Media", palette.paint(Ink::Faint, "not available") + "\n", palette),
            _ => String::new(),
        };
    }
    let title = match (media["live"] == true, media["held"] == true) {
        (true, true) => "Media, as it is now (on hold)",
        (true, false) => "Media, as it is now",
        (false, _) => "Media",
    };
    let rows = [("from caller", &media["a_to_b"]), ("from callee", &media["b_to_a"])]
        .map(|(name, of)| counters(name, of));
    let heads = ["", "PACKETS", "LOST", "LATE", "TWICE", "DROPPED", "JITTER", "MOS", "LAST"];
    let sources: Vec<Vec<Cell>> =
        (1..).zip(items(media, "streams")).flat_map(|(at, stream)| sources(at, stream)).collect();
    let mut body = table(&heads, &rows, palette);
    if !sources.is_empty() {
        body += &table(&["STREAM", "", "SIGNALLED", "TAKEN FROM", "BY", "DROPPED"], &sources, palette);
    }
    headed(title, body, palette)
}

fn counters(name: &'static str, direction: &Value) -> Vec<Cell> {
    let last = match direction["last_packet_ms_ago"].as_u64() {
        Some(millis) if millis < 10_000 => format!("{millis} ms ago"),
        Some(millis) => format!("{} ago", span(millis / 1_000)),
        None => "-".to_owned(),
    };
    let lost = number(direction, "lost");
    let mos = direction["mos"].as_f64();
    let is_bad = mos.is_some_and(|mos| mos < 3.6);
    vec![
        Cell::new(name),
        Cell::new(number(direction, "packets").to_string()),
        Cell::in_ink(lost.to_string(), if lost > 0 { Ink::Provisional } else { Ink::Plain }),
        Cell::new(number(direction, "reordered").to_string()),
        Cell::new(number(direction, "duplicates").to_string()),
        Cell::new(number(direction, "dropped").to_string()),
        Cell::new(format!("{:.1} ms", direction["jitter_ms"].as_f64().unwrap_or_default())),
        Cell::in_ink(
            mos.map_or_else(|| "-".to_owned(), |mos| format!("{mos:.1}")),
            if is_bad { Ink::Bad } else { Ink::Plain },
        ),
        Cell::new(last),
    ]
}

/// Who sends a stream, from each side.
fn sources(at: usize, stream: &Value) -> [Vec<Cell>; 2] {
    [("caller", &stream["a_to_b"]), ("callee", &stream["b_to_a"])].map(|(name, direction)| {
        let source = &direction["source"];
        let place = |key: &str| source[key].as_str().unwrap_or("-").to_owned();
        let dropped = direction["dropped_by"].as_object().map(|reasons| {
            let told = reasons.iter().map(|(reason, count)| format!("{count} {reason}"));
            told.collect::<Vec<_>>().join(", ")
        });
        let stranger = source["stranger"].as_str().map(|at| format!(" (the last of {at})"));
        let has_dropped = dropped.as_ref().is_some_and(|dropped| !dropped.is_empty());
        let stranger = stranger.filter(|_| has_dropped).unwrap_or_default();
        vec![
            Cell::new(format!("{at} {}", text(stream, "kind"))),
            Cell::new(name),
            Cell::new(place("signalled")),
            Cell::in_ink(
                place("locked"),
                if source["learned"] == true { Ink::Provisional } else { Ink::Plain },
            ),
            Cell::new(place("claim")),
            Cell::new(dropped.unwrap_or_default() + &stranger),
        ]
    })
}

fn timers(call: &Value, palette: Palette) -> String {
    let row = |timer: &Value| {
        let leg = timer["leg"].as_str().unwrap_or("-");
        vec![Cell::new(text(timer, "name")), Cell::new(leg), Cell::new(moment(text(timer, "at")))]
    };
    let rows: Vec<Vec<Cell>> = items(call, "timers").iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    headed("Timers", table(&["TIMER", "LEG", "DUE"], &rows, palette), palette)
}

fn messages(call: &Value, palette: Palette) -> String {
    let messages = items(call, "messages");
    let Some(first) = messages.first() else { return String::new() };
    let begin = millis_of(text(first, "at")).unwrap_or_default();
    let gap = call["messages_gap_after"].as_u64();
    let dropped = number(call, "messages_dropped");
    // Whom each side's messages went to or came from last.
    let mut peers = [peer_of(call, messages, "ingress"), peer_of(call, messages, "egress")];
    let heads = heads(call, &peers);
    let mut rows = Vec::new();
    for (at, message) in (0..).zip(messages) {
        if Some(at) == gap {
            rows.push(note(Gap::Near, &format!("{dropped} not kept")));
        }
        let gap = if text(message, "leg") == "egress" { Gap::Far } else { Gap::Near };
        let (peer, known) = (text(message, "peer"), &mut peers[usize::from(gap == Gap::Far)]);
        if known != peer {
            rows.push(note(gap, peer));
            peer.clone_into(known);
        }
        rows.push(arrow(message, gap, begin));
    }
    let drawn: Vec<String> = ladder::draw(&heads, &rows, palette);
    let note = match gap {
        Some(_) => {
            format!("SIP: {}, {dropped} between them not kept", count(messages.len() as u64, "message"))
        }
        None => format!("SIP: {}", count(messages.len() as u64, "message")),
    };
    headed(&note, drawn.join("\n") + "\n", palette)
}

/// Who is at the head of a side's column: whom its first message names, or where its leg is.
fn peer_of(call: &Value, messages: &[Value], leg: &str) -> String {
    let first = messages.iter().find(|message| text(message, "leg") == leg);
    first.map_or_else(|| text(&call[leg], "remote"), |message| text(message, "peer")).to_owned()
}

fn heads(call: &Value, [caller, callee]: &[String; 2]) -> [Head; 4] {
    let ours = |leg: &str| {
        let leg = &call[leg];
        Head {
            title: cell(format!("SBC {}", text(leg, "realm")).trim_end()),
            address: cell(text(leg, "local")),
        }
    };
    let theirs = |title: &str, address: &String| Head { title: title.to_owned(), address: cell(address) };
    [theirs("caller", caller), ours("ingress"), ours("egress"), theirs("callee", callee)]
}

fn note(gap: Gap, words: &str) -> Row {
    Row { after: Duration::ZERO, mark: Mark::Note(gap), label: cell(words), ink: Ink::Faint }
}

fn arrow(message: &Value, gap: Gap, begin: u64) -> Row {
    let line = text(message, "line");
    let status = line.get(..3).and_then(|code| code.parse().ok()).and_then(Status::new);
    let is_in = text(message, "direction") == "in";
    let heads = if is_in == (gap == Gap::Near) { Heads::Right } else { Heads::Left };
    let mut label = match status {
        Some(_) => cell(line),
        None => cell(&told_request(line)),
    };
    if message["is_retransmission"] == true {
        label = format!("{} again", status.map_or_else(|| method_of(line).to_owned(), |_| label));
    } else if status.is_some() && message["has_sdp"] == true {
        label += " (SDP)";
    }
    let after = millis_of(text(message, "at")).unwrap_or_default().saturating_sub(begin);
    Row {
        after: Duration::from_millis(after),
        mark: Mark::Arrow(gap, heads),
        label,
        ink: ladder::ink(status),
    }
}

fn method_of(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// `INVITE +14155550100`: the method, and of an INVITE whom it calls.
fn told_request(line: &str) -> String {
    let (method, uri) = line.split_once(' ').unwrap_or((line, ""));
    let user = uri.split_once(':').and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
    match user {
        Some(user) if method == "INVITE" => format!("{method} {user}"),
        _ => method.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn served(which: &str) -> Value {
        serde_json::from_str(which).unwrap()
    }

    fn lines(page: &str) -> String {
        page.lines().map(|line| format!("|{line}\n")).collect()
    }

    /// What the daemon serves (`admin/golden.rs`).
    #[test]
    fn a_call_in_progress_is_a_page() {
        let call = served(include_str!("../../admin/golden/call.json"));
        expect![[r#"
            |call    00ab
            |phase   answered
            |from    +14155550100
            |to      +442079460000
            |start   2026-03-21 09:05:07 UTC
            |ring    2026-03-21 09:05:07 UTC
            |answer  2026-03-21 09:05:07 UTC
            |for     1 min 2 s
            |codec   PCMU
            |
            |Route out (trusted, +44*)
            |TRUNK   TARGET             RESULT  AFTER
            |vonage  198.51.100.7:5060  503     40 ms
            |sinch   192.0.2.1:5060     200     1400 ms
            |
            |Legs
            |LEG  PARTY          PEER                OURS              CALL-ID                 THEIR TAG  SESSION TIMER
            |in   10.0.0.9:5060  udp 10.0.0.9:5060   10.0.0.5:5060     call-of-10.0.0.9:5060   theirs     1800 s, us
            |out  sinch          udp 192.0.2.1:5060  203.0.113.5:5060  call-of-192.0.2.1:5060  theirs     1800 s, us
            |
            |Media, as it is now
            |             PACKETS  LOST  LATE  TWICE  DROPPED  JITTER  MOS  LAST
            |from caller  2998     2     1     0      7        0.8 ms  4.4  12 ms ago
            |from callee  2997     2     1     0      7        0.8 ms  4.4  12 ms ago
            |STREAM          SIGNALLED         TAKEN FROM        BY       DROPPED
            |1 rtp   caller  10.0.0.9:30000    10.0.0.9:30000    vouched  7 source_mismatch (the last of 198.51.100.66:4000)
            |1 rtp   callee  192.0.2.77:40000  192.0.2.77:40002  vouched  7 source_mismatch (the last of 198.51.100.66:4000)
            |
            |Timers
            |TIMER            LEG     DUE
            |session_refresh  egress  2026-03-21 09:05:07 UTC
            |
            |SIP: 6 messages, 3 between them not kept
            |               caller                    SBC trusted      SBC untrusted                  callee
            |            10.0.0.9:5060               10.0.0.5:5060   203.0.113.5:5060             192.0.2.1:5060
            |                  │                           │                 │                           │
            |   0.0 ms         │── INVITE +442079460000 ──►│                 │                           │
            |   0.0 ms         │◄────── 100 Trying ────────│                 │                           │
            |   0.0 ms         │────── INVITE again ──────►│                 │                           │
            |   0.0 ms         │                           │                 │── INVITE +442079460000 ──►│
            |                  │        3 not kept         │                 │                           │
            |   0.0 ms         │                           │                 │◄────── 180 Ringing ───────│
            |   0.0 ms         │◄────── 180 Ringing ───────│                 │                           │
            |                  │                           │                 │                           │
        "#]].assert_eq(&lines(&page(&call, Palette::PLAIN)));
    }

    #[test]
    fn a_call_that_is_over_says_how() {
        let call = served(include_str!("../../admin/golden/ended_call.json"));
        let told = page(&call, Palette::PLAIN);
        assert!(told.contains("ended   answered 200 by caller: BYE from the caller\n"), "{told}");
        assert!(!told.contains("Timers") && !told.contains("as it is now"), "{told}");
    }

    #[test]
    fn what_is_missing_or_hostile_does_no_harm() {
        assert_eq!(page(&Value::Null, Palette::PLAIN).lines().count(), 6);
        let call = serde_json::json!({
            "messages": [
                { "at": "soon", "line": "\u{1b}[2J sip:\u{1b}[31m@x", "leg": "egress", "peer": "\u{9b}1m" },
                { "at": "2026-03-21T09:05:07.042Z", "line": "é", "leg": 7 },
            ],
            "messages_dropped": 7, "messages_gap_after": 1,
            "media": { "streams": [{}, { "a_to_b": 3 }] }, "route": { "tried": [{}] },
        });
        let told = page(&call, Palette::PLAIN);
        assert!(!told.contains('\u{1b}') && !told.contains('\u{9b}'), "{told:?}");
    }
}
