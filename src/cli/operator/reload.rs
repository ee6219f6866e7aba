//! `drawbridge reload`: what changed, or why nothing did.

use serde_json::Value;

use super::columns::{count, items, number, text};
use crate::cli::style::{self, Ink, Palette};

pub(super) fn page(body: &Value, palette: Palette) -> String {
    let mut page = String::new();
    for change in items(body, "changes").iter().filter_map(Value::as_str) {
        page.push_str(&format!("  {}\n", style::shown(change)));
    }
    if !items(body, "warnings").is_empty() {
        page.push_str(&palette.paint(Ink::Provisional, "Warnings:"));
        page.push_str(&format!("\n{}", all(items(body, "warnings"))));
    }
    for key in items(body, "waiting_for_restart").iter().filter_map(Value::as_str) {
        page.push_str(&format!("  {}: the new value takes effect with a restart\n", style::shown(key)));
    }
    page.push_str(&faults(body));
    let changes = count(items(body, "changes").len() as u64, "change");
    let (ink, verdict) = match text(body, "outcome") {
        "taken" => (Ink::Good, format!("reloaded: {changes}")),
        "unchanged" => (Ink::Good, "nothing to reload: the files say what is in force".to_owned()),
        _ => {
            let faults = count(items(body, "faults").len() as u64, "fault");
            (Ink::Bad, format!("refused: {faults}; the running configuration stays in force"))
        }
    };
    page + &palette.paint(ink, &verdict) + "\n"
}

/// A line for each fault.
pub(super) fn faults(body: &Value) -> String {
    all(items(body, "faults"))
}

fn all(faults: &[Value]) -> String {
    faults.iter().map(|fault| format!("  {}\n", fault_line(fault))).collect()
}

/// As [`crate::config::Fault`] shows itself, without the line of the file.
fn fault_line(fault: &Value) -> String {
    let mut shown = text(fault, "file").to_owned();
    if number(fault, "line") > 0 {
        shown.push_str(&format!(":{}:{}", number(fault, "line"), number(fault, "column")));
    }
    for part in ["key", "message"].map(|key| text(fault, key)).iter().filter(|part| !part.is_empty()) {
        shown.push_str(&format!(": {part}"));
    }
    if let Some(cure) = fault["cure"].as_str() {
        shown.push_str(&format!("; {cure}"));
    }
    style::shown(&shown)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_listed_with_what_waits() {
        let body = json!({
            "outcome": "taken", "changes": ["trunk sinch: added", "media.timeout: 60s → 30s"],
            "faults": [], "warnings": [{ "file": "a.toml", "line": 0, "column": 0, "key": "trunk.a",
            "message": "odd", "cure": null }], "waiting_for_restart": ["media.ports"]
        });
        expect![[r#"
              trunk sinch: added
              media.timeout: 60s → 30s
            Warnings:
              a.toml: trunk.a: odd
              media.ports: the new value takes effect with a restart
            reloaded: 2 changes
        "#]]
        .assert_eq(&page(&body, Palette::PLAIN));
        let same = json!({ "outcome": "unchanged" });
        assert_eq!(page(&same, Palette::PLAIN), "nothing to reload: the files say what is in force\n");
    }

    /// What the daemon serves (`admin/golden.rs`).
    #[test]
    fn what_is_served_is_what_is_read() {
        let served: Value = serde_json::from_str(include_str!("../../admin/golden/reload.json")).unwrap();
        expect![[r#"
              trunk sinch: added
            Warnings:
              drawbridge.toml:2:1: node.nam: unknown key; did you mean "name"?
              media.ports: the new value takes effect with a restart
              drawbridge.toml:2:1: node.nam: unknown key; did you mean "name"?
            refused: 1 fault; the running configuration stays in force
        "#]]
        .assert_eq(&page(&served, Palette::PLAIN));
    }

    #[test]
    fn a_refusal_lists_the_faults() {
        let body = json!({
            "outcome": "refused",
            "faults": [{ "file": "a.toml", "line": 2, "column": 5, "key": "node.nam",
                         "message": "unknown key", "cure": "did you mean \"name\"?" }]
        });
        expect![[r#"
              a.toml:2:5: node.nam: unknown key; did you mean "name"?
            refused: 1 fault; the running configuration stays in force
        "#]]
        .assert_eq(&page(&body, Palette::PLAIN));
    }
}
