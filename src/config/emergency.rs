//! A warning for a country whose people cannot call for help: `country` with emergency numbers that
//! `emergency` does not have.

use super::reader::Value;
use crate::numbering::{self, Number, emergency_numbers};

/// To be called with the `country` that a table writes, when all of the table is read.
pub(super) fn warn_of_missing(country: &Value<'_>, settings: &numbering::Settings) {
    let Some(code) = settings.country.as_deref() else { return };
    let is_missing = |number: &&&str| !settings.emergency.iter().any(|known| known == **number);
    let missing: Vec<&str> = emergency_numbers(code).iter().filter(is_missing).copied().collect();
    if missing.is_empty() {
        return;
    }
    let told: Vec<String> = missing.iter().map(|number| becomes(number, settings)).collect();
    let it = if missing.len() == 1 { "it" } else { "them" };
    let mut all: Vec<&str> = settings.emergency.iter().map(String::as_str).collect();
    all.extend(&missing);
    let all: Vec<String> = all.iter().map(|number| format!("\"{number}\"")).collect();
    country.report.warn(
        &country.place,
        &country.path,
        format!("people in {code} call {} for help, and emergency does not have {it}", told.join(", ")),
        format!("write emergency = [{}] beside it", all.join(", ")),
    );
}

/// "999 (refused with 484)".
fn becomes(number: &str, settings: &numbering::Settings) -> String {
    match settings.normalise(number) {
        Ok(Number::Short(_)) => format!("{number} (a short code: limited as any call)"),
        Ok(_) => number.to_owned(),
        Err(_) => format!("{number} (484)"),
    }
}
