//! `[media]`: how long a call may be silent before it ends. Each silence has a key of its own.

use std::time::Duration;

use super::reader::Table;

/// No call ends sooner when nothing at all comes.
const SHORTEST_BOTH: Duration = Duration::from_secs(1);
/// No call ends sooner for a side that is not heard: people pause, and phones send nothing meanwhile.
const SHORTEST: Duration = Duration::from_secs(10);

/// What stands there.
#[derive(Clone, Copy, Debug)]
pub(super) struct SilenceTimeouts {
    pub(super) nothing: Duration,
    pub(super) one_way: Duration,
    pub(super) hold: Duration,
}

impl Default for SilenceTimeouts {
    fn default() -> SilenceTimeouts {
        SilenceTimeouts { nothing: Duration::from_secs(60), one_way: Duration::ZERO, hold: Duration::ZERO }
    }
}

/// Reads the keys.
pub(super) fn silence(table: &Table<'_>) -> SilenceTimeouts {
    let mut timeouts = SilenceTimeouts::default();
    if let Some(value) = table.value("timeout")
        && let Some(duration) = value.duration()
    {
        if duration < SHORTEST_BOTH {
            value.fault("calls would end in every pause", "write at least \"1s\"");
        }
        timeouts.nothing = duration;
    }
    for (key, timeout) in [("one_way_timeout", &mut timeouts.one_way), ("hold_timeout", &mut timeouts.hold)] {
        if let Some(value) = table.value(key)
            && let Some(duration) = value.duration()
        {
            if !duration.is_zero() && duration < SHORTEST {
                value.fault(
                    "calls would end in every pause",
                    "write at least \"10s\", or \"0s\" to end no call for it",
                );
            }
            *timeout = duration;
        }
    }
    timeouts
}
