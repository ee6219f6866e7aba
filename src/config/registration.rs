//! How a trunk's peer is answered when it asks who we are: `auth_realm`, `auth_algorithms`.

use super::reader::{Table, Value};
use crate::routing::Authentication;
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
    let is_realm = |text: &super::reader::Text<'_>| {
        let fits = !text.text.is_empty() && !text.text.chars().any(char::is_control);
        if !fits {
            text.fault("is no realm", "write it as the provider's challenge has it, mostly its domain");
        }
        fits
    };
    texts.into_iter().filter(is_realm).map(|text| text.text).collect()
}

fn algorithms(value: &Value<'_>) -> Vec<String> {
    const NAMES: [Algorithm; 3] = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256];
    let choices = NAMES.map(|algorithm| (algorithm.as_str(), algorithm));
    let texts = value.texts().unwrap_or_default();
    if texts.is_empty() {
        value.fault("there is no algorithm in it", "write [\"SHA-256\", \"MD5\"], or leave it out for all");
    }
    texts.iter().filter_map(|text| text.one_of(&choices)).map(|known| known.as_str().to_owned()).collect()
}
