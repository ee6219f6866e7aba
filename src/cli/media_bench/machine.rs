//! What this machine is and what it lost: read from /proc and /sys, each file of which may be absent.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The thread of a relay with one worker.
pub(super) struct RelayThread {
    schedstat: PathBuf,
}

impl RelayThread {
    /// The newest thread with the name that workers have.
    pub(super) fn find() -> Result<RelayThread, String> {
        let tasks = fs::read_dir("/proc/self/task").map_err(|error| format!("/proc/self/task: {error}"))?;
        let newest = tasks
            .flatten()
            .map(|task| task.path())
            .filter(|task| read(task.join("comm")).is_some_and(|name| name.starts_with("relay-")))
            .max_by_key(|task| task.file_name()?.to_str()?.parse::<u32>().ok());
        newest
            .map(|task| RelayThread { schedstat: task.join("schedstat") })
            .ok_or_else(|| "the relay has no thread".to_owned())
    }

    /// CPU time that it has used, user and system.
    pub(super) fn cpu(&self) -> Result<Duration, String> {
        let nanos = read(&self.schedstat)
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("{} says no CPU time", self.schedstat.display()))?;
        Ok(Duration::from_nanos(nanos))
    }
}

/// What counts for a relay.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// The largest receive buffer that a socket may ask for, in bytes.
    pub(super) rmem_max_bytes: Option<u64>,
    /// What a socket has that asks for nothing, in bytes.
    pub(super) rmem_default_bytes: Option<u64>,
    /// Packets that may wait for a core.
    pub(super) backlog_max: Option<u64>,
    pub(super) governor: Option<String>,
    pub(super) cards: Vec<Card>,
}

/// A network card.
#[derive(Serialize)]
pub(super) struct Card {
    pub(super) name: String,
    pub(super) receive_queues: usize,
    /// Whether received packets are spread over cores in software (RPS).
    pub(super) is_spread: bool,
}

impl Machine {
    pub(super) fn look() -> Machine {
        let number = |path: &str| read(path)?.trim().parse().ok();
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            rmem_max_bytes: number("/proc/sys/net/core/rmem_max"),
            rmem_default_bytes: number("/proc/sys/net/core/rmem_default"),
            backlog_max: number("/proc/sys/net/core/netdev_max_backlog"),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .map(|text| text.trim().to_owned()),
            cards: cards(),
        }
    }

    pub(super) fn summary(&self) -> String {
        let cores = super::super::count(self.cores, "core");
        let cards: Vec<String> = self
            .cards
            .iter()
            .map(|card| {
                format!("{} with {}", card.name, super::super::count(card.receive_queues, "receive queue"))
            })
            .collect();
        let cards = if cards.is_empty() { "no network card".to_owned() } else { cards.join(", ") };
        format!("{cores}, Linux {}, {cards}", self.kernel)
    }
}

/// Interfaces behind which there is hardware.
fn cards() -> Vec<Card> {
    let mut cards: Vec<Card> = directory("/sys/class/net")
        .into_iter()
        .filter(|interface| interface.join("device").exists())
        .filter_map(|interface| {
            let name = interface.file_name()?.to_str()?.to_owned();
            let queues: Vec<PathBuf> = directory(interface.join("queues"))
                .into_iter()
                .filter(|queue| {
                    queue.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rx-"))
                })
                .collect();
            let is_spread = queues.iter().any(|queue| {
                read(queue.join("rps_cpus"))
                    .is_some_and(|cores| cores.contains(|digit| matches!(digit, '1'..='9' | 'a'..='f')))
            });
            Some(Card { name, receive_queues: queues.len(), is_spread })
        })
        .collect();
    cards.sort_by(|a, b| a.name.cmp(&b.name));
    cards
}

/// Packets that the kernel lost, of the whole machine.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Losses {
    /// UDP that found its socket's buffer full (`RcvbufErrors`).
    pub(super) receive_buffer_full: u64,
    /// UDP that found no room to be sent (`SndbufErrors`).
    pub(super) send_buffer_full: u64,
    /// Packets that found a core's backlog full.
    pub(super) backlog_full: u64,
    /// Times that a core's share of time for packets was over before they were.
    pub(super) time_squeezes: u64,
}

impl Losses {
    pub(super) fn now() -> Losses {
        let snmp = read("/proc/net/snmp").unwrap_or_default();
        let softnet = read("/proc/net/softnet_stat").unwrap_or_default();
        Losses {
            receive_buffer_full: udp_counter(&snmp, "RcvbufErrors"),
            send_buffer_full: udp_counter(&snmp, "SndbufErrors"),
            backlog_full: softnet_counter(&softnet, 1),
            time_squeezes: softnet_counter(&softnet, 2),
        }
    }

    pub(super) fn add(&mut self, more: &Losses) {
        self.receive_buffer_full += more.receive_buffer_full;
        self.send_buffer_full += more.send_buffer_full;
        self.backlog_full += more.backlog_full;
        self.time_squeezes += more.time_squeezes;
    }

    pub(super) fn since(&self, before: &Losses) -> Losses {
        Losses {
            receive_buffer_full: self.receive_buffer_full.saturating_sub(before.receive_buffer_full),
            send_buffer_full: self.send_buffer_full.saturating_sub(before.send_buffer_full),
            backlog_full: self.backlog_full.saturating_sub(before.backlog_full),
            time_squeezes: self.time_squeezes.saturating_sub(before.time_squeezes),
        }
    }

    pub(super) fn summary(&self) -> String {
        let places = [
            (self.receive_buffer_full, "at sockets whose receive buffer was full"),
            (self.send_buffer_full, "at sockets whose send buffer was full"),
            (self.backlog_full, "at a core whose backlog was full"),
        ];
        let told: Vec<String> = places
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, place)| format!("{count} {place}"))
            .collect();
        if told.is_empty() { "nowhere".to_owned() } else { told.join(", ") }
    }
}

/// A counter of /proc/net/snmp, where a line of names is followed by a line of values.
fn udp_counter(snmp: &str, name: &str) -> u64 {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Udp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    columns.find(|(column, _)| *column == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// The sum over all cores of one hexadecimal column.
fn softnet_counter(softnet: &str, column: usize) -> u64 {
    let of_core = |line: &str| u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok();
    softnet.lines().filter_map(of_core).sum()
}

fn read(path: impl Into<PathBuf>) -> Option<String> {
    fs::read_to_string(path.into()).ok()
}

fn directory(path: impl Into<PathBuf>) -> Vec<PathBuf> {
    fs::read_dir(path.into())
        .map_or_else(|_| Vec::new(), |entries| entries.flatten().map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_column() {
        let snmp = "Tcp: A B\nTcp: 1 2\nUdp: InDatagrams RcvbufErrors SndbufErrors\nUdp: 9 4 5\n";
        assert_eq!((udp_counter(snmp, "RcvbufErrors"), udp_counter(snmp, "SndbufErrors")), (4, 5));
        assert_eq!((udp_counter(snmp, "Other"), udp_counter("", "RcvbufErrors")), (0, 0));
        let softnet = "00000010 00000002 0000000a\n00000010 00000001 00000000\n";
        assert_eq!((softnet_counter(softnet, 1), softnet_counter(softnet, 2)), (3, 10));
    }

    #[test]
    fn losses_are_told_by_their_place() {
        assert_eq!(Losses::default().summary(), "nowhere");
        let losses = Losses { receive_buffer_full: 3, backlog_full: 1, ..Losses::default() };
        assert_eq!(
            losses.summary(),
            "3 at sockets whose receive buffer was full, 1 at a core whose backlog was full"
        );
    }
}
