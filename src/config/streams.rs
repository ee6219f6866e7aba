//! What a trunk's media is like: `dtmf` and `dscp`.

use toml::de::DeValue;

use super::reader::{Table, Value};
use crate::base::Dscp;
use crate::routing::Dtmf;

/// How keys reach the trunk and come from it.
pub(super) fn read_dtmf(table: &Table<'_>) -> Option<Dtmf> {
    table.value("dtmf")?.text()?.one_of(&[
        ("pass", Dtmf::Pass),
        ("rfc4733", Dtmf::Rfc4733),
        ("info", Dtmf::Info),
    ])
}

/// `dscp = "EF"`, or a number.
pub(super) fn read_dscp(table: &Table<'_>) -> Option<Dscp> {
    dscp(&table.value("dscp")?)
}

fn dscp(value: &Value<'_>) -> Option<Dscp> {
    if let DeValue::Integer(_) = value.value {
        return value.integer(0..=63).and_then(|number| Dscp::new(u8::try_from(number).ok()?));
    }
    let text = value.text()?;
    let found = Dscp::named(&text.text);
    if found.is_none() {
        text.fault("is no DSCP", "write \"EF\", \"CS5\", \"AF41\", or a number from 0 to 63");
    }
    found
}
