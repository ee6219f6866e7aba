//! Who we are to a trunk: which of its challenges are answered (`auth_realm`, `auth_algorithms`), and
//! whether we register there (`register`).

use std::time::Duration;

use super::reader::{Table, Text, Value};
use crate::routing::{Authentication, Register, RegisterTo};
use crate::sip::digest::Algorithm;

/// One trunk names no more realms.
const MAX_REALMS: usize = 16;

/// Reads `auth_realm` (one, or a list) and `auth_algorithms`.
pub(super) fn read_authentication(table: &Table<'_>) -> Authentication {
    let realms = table.value("auth_realm").map(|value| realms(&value)).unwrap_or_default();
    let algorithms = table.value("auth_algorithms").map(|value| algorithms(&value)).unwrap_or_default();
    Authentication { realms, algorithms }
}

fn realms(value: &Value<'_>) -> Vec<String> {
    let texts: Vec<_> = value.one_or_list().iter().filter_map(Value::text).collect();
    if texts.len() > MAX_REALMS {
        value.fault("these are too many realms", format!("write {MAX_REALMS} at most"));
    }
    let is_realm = |text: &Text<'_>| {
        let fits = !text.text.is_empty() && !text.text.chars().any(char::is_control);
        if !fits {
            text.fault("is no realm", "write it as the provider's challenge has it, mostly its domain");
        }
        fits
    };
    texts.into_iter().filter(is_realm).map(|text| text.text).collect()
}

fn algorithms(value: &Value<'_>) -> Vec<String> {
    let choices = Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
    let texts = value.texts().unwrap_or_default();
    if texts.is_empty() {
        value.fault("there is no algorithm in it", "write [\"SHA-256\", \"MD5\"], or leave it out for all");
    }
    texts.iter().filter_map(|text| text.one_of(&choices)).map(|known| known.as_str().to_owned()).collect()
}

/// Oftener than this nobody registers but to keep a NAT open, for which a minute is enough.
const MIN_EXPIRES: Duration = Duration::from_secs(60);
const MAX_EXPIRES: Duration = Duration::from_secs(86_400);

/// Reads `register`: true, false, or a table, which means true.
pub(super) fn read_register(table: &Table<'_>) -> Option<Register> {
    let value = table.value("register")?;
    let register = if value.is_table() {
        let own = value.table()?;
        let read = register(&own);
        own.finish();
        read
    } else if value.boolean()? {
        Register::default()
    } else {
        return None;
    };
    let has_user = register.user.is_some() || table.value("username").is_some();
    if !has_user {
        value.fault(
            "there is nobody to register",
            "write username and password too, or register = { user = \"…\" } where none is asked for",
        );
    }
    Some(register)
}

fn register(table: &Table<'_>) -> Register {
    let default = Register::default();
    let expires = table.value("expires").and_then(|value| {
        let expires = value.duration_within(MIN_EXPIRES..=MAX_EXPIRES, "this is out of range", None)?;
        Some(Duration::from_secs(expires.as_secs()))
    });
    let registrar = table.value("registrar").and_then(|value| value.text()?.host());
    let user = |key| table.value(key).and_then(|value: Value<'_>| user(&value.text()?));
    let to = table
        .value("to")
        .and_then(|value| value.text()?.one_of(&[("all", RegisterTo::All), ("first", RegisterTo::First)]));
    Register {
        expires: expires.unwrap_or(default.expires),
        registrar: registrar.map(|host| host.uri_text()),
        user: user("user"),
        contact_user: user("contact_user"),
        to: to.unwrap_or_default(),
        required: table.value("required").and_then(|value| value.boolean()).unwrap_or(default.required),
    }
}

fn user(text: &Text<'_>) -> Option<String> {
    let fits = !text.text.is_empty()
        && !text.text.contains(['@', ' ', '<', '>', '"'])
        && !text.text.chars().any(char::is_control);
    if !fits {
        text.fault("is no user", "write what stands before the @, alone");
    }
    fits.then(|| text.text.clone())
}
