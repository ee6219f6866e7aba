//! How packets are moved: `workers`, `engine`, `batch`, `zero_copy`, `busy_poll` and `pin` of `[media]`; and
//! whether the kernel gives away the ports that media needs.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::reader::{Report, Table};
use super::settings::{Relay, RelayEngine};
use super::trunks::Placed;
use crate::relay::{BATCH_MAX, BUSY_POLL_MAX, ZeroCopy};

/// More ring workers than this serve nobody.
const MAX_WORKERS: u32 = 256;
/// From where the kernel takes ports for those who name none, and which of these it leaves out.
const LOCAL_PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED_PORTS: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// Ranges of reserved ports that are read.
const MAX_RESERVED: usize = 256;

/// Reads what is there over the defaults.
pub(super) fn relay(table: &Table<'_>) -> Relay {
    let default = Relay::default();
    let engines = [RelayEngine::Auto, RelayEngine::IoUring, RelayEngine::Portable]
        .map(|engine| (engine.as_str(), engine));
    let zero_copies = [("auto", ZeroCopy::Auto), ("on", ZeroCopy::On), ("off", ZeroCopy::Off)];
    let workers = table.value("workers").and_then(|value| value.integer(1..=MAX_WORKERS));
    let engine = table.value("engine").and_then(|value| value.text()?.one_of(&engines));
    let zero_copy = table.value("zero_copy").and_then(|value| value.text()?.one_of(&zero_copies));
    let up_to = |key, most: Duration, cure: &str| {
        let value = table.value(key)?;
        let duration = value.short_duration()?;
        if duration > most {
            value.fault("this is out of range", cure);
        }
        Some(duration)
    };
    Relay {
        workers: workers.map(|workers| workers as usize),
        engine: engine.unwrap_or(default.engine),
        batch: up_to("batch", BATCH_MAX, "write \"0us\" to \"5ms\"").unwrap_or(default.batch),
        zero_copy: zero_copy.unwrap_or(default.zero_copy),
        busy_poll: up_to("busy_poll", BUSY_POLL_MAX, "write \"0us\" to \"1ms\"").unwrap_or(default.busy_poll),
        pin: table.value("pin").and_then(|value| value.boolean()).unwrap_or(default.pin),
    }
}

/// Warns where the kernel may give a port of `media.ports` to a program that asks for any: a call that
/// draws it then has to draw again. `read` reads a file; where there is none nobody is warned.
pub(super) fn warn_of_local_ports(ports: &Placed<(u16, u16)>, report: &Report<'_>) {
    let read = |path: &str| report.surroundings.read(Path::new(path)).ok();
    let Some(local) = read(LOCAL_PORTS).as_deref().and_then(local_range) else { return };
    let reserved = read(RESERVED_PORTS).unwrap_or_default();
    let Some(overlap) = overlap(ports.what, &local, &ranges(&reserved)) else { return };
    let (first, last) = ports.what;
    let mut kept = reserved.trim().to_owned();
    if !kept.is_empty() {
        kept.push(',');
    }
    let _ = write!(kept, "{first}-{last}");
    report.warn(
        &ports.place,
        &ports.path,
        format!(
            "the kernel gives ports {}-{} to any program that asks for one (net.ipv4.ip_local_port_range \
             is {} {})",
            overlap.start(),
            overlap.end(),
            local.start(),
            local.end()
        ),
        format!("type: sysctl -w net.ipv4.ip_local_reserved_ports={kept} (and keep it in /etc/sysctl.d/)"),
    );
}

/// Two numbers, first and last.
fn local_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u16>);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

/// `8080,9000-9100`; what cannot be read is left out.
fn ranges(text: &str) -> Vec<RangeInclusive<u16>> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
    };
    text.split(',').filter_map(range).take(MAX_RESERVED).collect()
}

/// The first and last port of `ports` that is also of `local` and not reserved.
fn overlap(
    ports: (u16, u16),
    local: &RangeInclusive<u16>,
    reserved: &[RangeInclusive<u16>],
) -> Option<RangeInclusive<u16>> {
    let is_given_away =
        |port: &u16| local.contains(port) && !reserved.iter().any(|range| range.contains(port));
    let first = (ports.0..=ports.1).find(is_given_away)?;
    let last = (ports.0..=ports.1).rev().find(is_given_away)?;
    Some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_not_given_away() {
        let local = || local_range("32768\t60999\n").unwrap();
        let given = |ports, reserved: &str| overlap(ports, &local(), &ranges(reserved));
        assert_eq!(given((10_000, 20_001), ""), None);
        assert_eq!(given((30_000, 40_001), ""), Some(32_768..=40_001));
        assert_eq!(given((30_000, 40_001), "30000-40001\n"), None);
        assert_eq!(given((30_000, 40_001), "8080,32768-35000,40001"), Some(35_001..=40_000));
        assert_eq!(given((60_998, 65_001), "nonsense,7-"), Some(60_998..=60_999));
        assert_eq!(local_range("nonsense"), None);
    }
}
