//! `[hep]`: copies of SIP messages and of RTCP for a capture server.

use super::reader::{Table, Text};
use crate::telemetry::hep::HepSettings;

/// The longest password: it goes with every packet.
const MAX_PASSWORD_BYTES: usize = 256;
/// HEP's own port.
const DEFAULT_PORT: u16 = 9_060;

/// What is read of the table; `None`: there is nothing to send to, or a fault was noted. `node` is filled in
/// later.
pub(super) fn hep(table: &Table<'_>) -> Option<HepSettings> {
    let collector = table.required("collector", "\"192.0.2.9:9060\"");
    let collector = collector.and_then(|value| value.text()?.socket_address(Some(DEFAULT_PORT)));
    // There is no other yet; written down it says what the collector must listen for.
    if let Some(transport) = table.value("transport") {
        transport.text().and_then(|text| text.one_of(&[("udp", ())]));
    }
    let id = table.value("id").and_then(|value| value.integer(1..=u32::MAX)).unwrap_or(2_001);
    let password = table.value("password").and_then(|value| value.text()).and_then(|text| password(&text));
    let rtcp = table.value("rtcp").and_then(|value| value.boolean()).unwrap_or(true);
    Some(HepSettings { collector: collector?, id, password, rtcp, node: String::new() })
}

fn password(text: &Text<'_>) -> Option<String> {
    if text.text.len() > MAX_PASSWORD_BYTES {
        text.fault("is too long", format!("write at most {MAX_PASSWORD_BYTES} bytes"));
        return None;
    }
    Some(text.text.clone()).filter(|password| !password.is_empty())
}
