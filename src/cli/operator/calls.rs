//! `drawbridge calls`.

use serde_json::Value;

use super::columns::{Cell, count, items, number, span, table, text};
use crate::cli::style::{Ink, Palette};

pub(super) fn page(body: &Value, palette: Palette) -> String {
    let calls = items(body, "calls");
    let total = number(body, "total");
    let listed = calls.len() as u64;
    let end = match listed < total {
        true => format!("{}: the {listed} oldest are shown", count(total, "call")),
        false => count(total, "call"),
    };
    let end = palette.paint(Ink::Faint, &end) + "\n";
    if calls.is_empty() {
        return end;
    }
    let rows: Vec<Vec<Cell>> = calls.iter().map(row).collect();
    table(&["CALL", "PHASE", "FOR", "FROM", "TO", "IN", "OUT"], &rows, palette) + &end
}

fn row(call: &Value) -> Vec<Cell> {
    let leg = |leg: &Value| Cell::new(if leg.is_object() { whose(leg) } else { "-" });
    vec![
        Cell::new(text(call, "id")),
        phase(call),
        Cell::new(span(number(call, "seconds"))),
        Cell::chosen(text(call, "from"), Ink::Plain),
        Cell::chosen(text(call, "to"), if call["emergency"] == true { Ink::Bad } else { Ink::Plain }),
        leg(&call["ingress"]),
        leg(&call["egress"]),
    ]
}

pub(super) fn phase(call: &Value) -> Cell {
    let phase = text(call, "phase");
    let ink = match phase {
        "answered" => Ink::Good,
        "setup" | "ringing" => Ink::Provisional,
        _ => Ink::Faint,
    };
    Cell::in_ink(phase, ink)
}

/// The trunk, or the address of who is let in by a realm's list.
pub(super) fn whose(leg: &Value) -> &str {
    leg["trunk"].as_str().unwrap_or_else(|| text(leg, "remote"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn call() -> Value {
        json!({
            "id": "00ab", "from": "+14155550100", "to": "911", "phase": "answered", "seconds": 62,
            "start": "2026-03-21T09:05:07.042Z", "answer": "2026-03-21T09:05:09.042Z", "emergency": true,
            "ingress": { "realm": "trusted", "trunk": null, "remote": "10.0.0.9:5060" },
            "egress": { "realm": "untrusted", "trunk": "sinch", "remote": "192.0.2.1:5060" }
        })
    }

    #[test]
    fn a_call_is_a_line() {
        let mut setup = call();
        setup["egress"] = Value::Null;
        setup["phase"] = "setup".into();
        expect![[r#"
            CALL  PHASE     FOR        FROM          TO   IN             OUT
            00ab  answered  1 min 2 s  +14155550100  911  10.0.0.9:5060  sinch
            00ab  setup     1 min 2 s  +14155550100  911  10.0.0.9:5060  -
            7 calls: the 2 oldest are shown
        "#]]
        .assert_eq(&page(&json!({ "total": 7, "calls": [call(), setup] }), Palette::PLAIN));
        assert_eq!(page(&json!({ "total": 0, "calls": [] }), Palette::PLAIN), "0 calls\n");
    }

    /// What the daemon serves (`admin/golden.rs`).
    #[test]
    fn what_is_served_is_what_is_read() {
        let served: Value = serde_json::from_str(include_str!("../../admin/golden/calls.json")).unwrap();
        expect![[r#"
            CALL  PHASE     FOR        FROM          TO             IN             OUT
            00ab  answered  1 min 2 s  +14155550100  911            10.0.0.9:5060  sinch
            00ab  setup     1 min 2 s  +14155550100  +442079460000  10.0.0.9:5060  -
            7 calls: the 2 oldest are shown
        "#]]
        .assert_eq(&page(&served, Palette::PLAIN));
    }
}
