//! `[calls]`, and a trunk's own `calls` over it: how long calls may take.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::{Table, Value};
use crate::routing::Timeouts;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// RFC 4028 §4: "The absolute minimum for the Min-SE […] is 90 seconds."
const MIN_SESSION_EXPIRES: Duration = Duration::from_secs(90);

/// Reads what is there over what holds otherwise.
pub(super) fn read_calls(table: &Table<'_>, base: &Timeouts) -> Timeouts {
    let min = table.value("min_session_expires");
    let expires = table.value("session_expires");
    let timeouts = Timeouts {
        progress: read(table.value("progress_timeout"), SECOND..=10 * MINUTE, true).unwrap_or(base.progress),
        answer: read(table.value("answer_timeout"), SECOND..=HOUR, false).unwrap_or(base.answer),
        duration: read(table.value("max_duration"), MINUTE..=DAY, false).unwrap_or(base.duration),
        session_expires: whole_seconds(read(expires, MIN_SESSION_EXPIRES..=DAY, true))
            .unwrap_or(base.session_expires),
        min_session_expires: whole_seconds(read(min, MIN_SESSION_EXPIRES..=DAY, false))
            .unwrap_or(base.min_session_expires),
    };
    let asks_too_little =
        !timeouts.session_expires.is_zero() && timeouts.session_expires < timeouts.min_session_expires;
    let named = [table.value("session_expires"), table.value("min_session_expires")];
    if let Some(value) = named.into_iter().flatten().next().filter(|_| asks_too_little) {
        value.fault(
            "session_expires is below min_session_expires",
            "write session_expires = \"0s\", or at least min_session_expires",
        );
    }
    timeouts
}

/// A duration in a range, or zero for "never" where that means something.
fn read(value: Option<Value<'_>>, range: RangeInclusive<Duration>, may_be_zero: bool) -> Option<Duration> {
    value?.duration_within(range, "this is out of range", may_be_zero.then_some("none"))
}

/// RFC 4028 counts in seconds.
fn whole_seconds(duration: Option<Duration>) -> Option<Duration> {
    duration.map(|duration| Duration::from_secs(duration.as_secs()))
}
