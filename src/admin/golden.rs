//! The bodies of the API as they stand in `golden/`: what is served is held to them here, and the pages of the
//! commands are made of them in their tests. So a field cannot be renamed on one side alone. A new
//! field is written there by `UPDATE_EXPECT=1`.

use expect_test::ExpectFile;
use serde::Serialize;
use serde_json::Value;

/// Stands for every time of day.
const THEN: &str = "2026-03-21T09:05:07.042Z";

/// Holds a body to its file.
pub(super) fn expect(file: ExpectFile, body: &impl Serialize) {
    let mut value = serde_json::to_value(body).unwrap();
    stop_clocks(&mut value);
    file.assert_eq(&format!("{value:#}\n"));
}

fn stop_clocks(value: &mut Value) {
    match value {
        Value::String(text) if text.len() == THEN.len() && text.ends_with('Z') => *text = THEN.to_owned(),
        Value::Array(values) => values.iter_mut().for_each(stop_clocks),
        Value::Object(values) => values.values_mut().for_each(stop_clocks),
        _ => {}
    }
}
