//! What an operator could change on this machine, each with the line to type and the reason.

use super::EngineReport;
use super::machine::{Losses, Machine};

/// A media port's buffer should hold what comes while its worker is away for some milliseconds; more
/// than this helps nobody.
const RMEM_DEFAULT_MIN_BYTES: u64 = 212_992;
/// Packets that may wait for a core: some ten milliseconds of 100,000 a second.
const BACKLOG_MIN: u64 = 1_000;

pub(super) fn of(machine: &Machine, losses: &Losses, engines: &[EngineReport]) -> Vec<String> {
    let mut advice = Vec::new();
    if let Some(refused) =
        engines.iter().find(|engine| engine.engine == "io_uring").and_then(|engine| engine.refused.as_ref())
    {
        advice.push(format!(
            "io_uring is refused ({refused}): it needs Linux 6.1 and kernel.io_uring_disabled = 0 \
             (sysctl -w kernel.io_uring_disabled=0); some containers refuse it by a seccomp profile"
        ));
    }
    if machine.cores == 1 {
        advice.push("the load shared the only core with the relay: the figures are too high".to_owned());
    }
    if let Some(bytes) = machine
        .rmem_default_bytes
        .filter(|bytes| losses.receive_buffer_full > 0 || *bytes < RMEM_DEFAULT_MIN_BYTES)
    {
        let wanted = (2 * bytes).max(2 * RMEM_DEFAULT_MIN_BYTES);
        advice.push(format!(
            "a socket's receive buffer is {bytes} bytes: sysctl -w net.core.rmem_default={wanted} \
             net.core.rmem_max={}",
            wanted.max(machine.rmem_max_bytes.unwrap_or(0))
        ));
    }
    if let Some(backlog) =
        machine.backlog_max.filter(|backlog| losses.backlog_full > 0 || *backlog < BACKLOG_MIN)
    {
        let wanted = (4 * backlog).max(4 * BACKLOG_MIN);
        advice.push(format!(
            "{backlog} packets may wait for a core: sysctl -w net.core.netdev_max_backlog={wanted}"
        ));
    }
    for card in
        machine.cards.iter().filter(|card| machine.cores > 1 && card.receive_queues == 1 && !card.is_spread)
    {
        let name = &card.name;
        let every_core = every_core(machine.cores);
        advice.push(format!(
            "{name} gives all it receives to one core: ethtool -L {name} combined {cores}, or where it has one \
             queue only, echo {every_core} > /sys/class/net/{name}/queues/rx-0/rps_cpus",
            cores = machine.cores
        ));
    }
    if let Some(governor) = machine.governor.as_ref().filter(|governor| *governor == "powersave") {
        advice.push(format!("the CPU's governor is {governor}: cpupower frequency-set -g performance"));
    }
    advice
}

/// The hexadecimal mask of all cores, in groups of 32 as the kernel reads it.
fn every_core(cores: usize) -> String {
    let (whole, rest) = (cores / 32, cores % 32);
    let mut groups = Vec::new();
    if rest > 0 {
        groups.push(format!("{:x}", (1u64 << rest) - 1));
    }
    groups.extend(std::iter::repeat_n("ffffffff".to_owned(), whole));
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::machine::Card;
    use super::*;

    fn machine() -> Machine {
        Machine {
            cores: 4,
            kernel: "6.1.0".to_owned(),
            rmem_max_bytes: Some(212_992),
            rmem_default_bytes: Some(212_992),
            backlog_max: Some(1_000),
            governor: None,
            cards: vec![Card { name: "eth0".to_owned(), receive_queues: 4, is_spread: false }],
        }
    }

    #[test]
    fn a_machine_in_order_gets_no_advice() {
        assert_eq!(of(&machine(), &Losses::default(), &[]), Vec::<String>::new());
    }

    #[test]
    fn what_was_lost_and_what_is_missing_has_a_line_to_type() {
        let cards = vec![Card { name: "eth0".to_owned(), receive_queues: 1, is_spread: false }];
        let governor = Some("powersave".to_owned());
        let machine = Machine { cards, governor, ..machine() };
        let losses = Losses { receive_buffer_full: 5, backlog_full: 2, ..Losses::default() };
        let advice = of(&machine, &losses, &[]).join("\n");
        for line in [
            "sysctl -w net.core.rmem_default=425984 net.core.rmem_max=425984",
            "sysctl -w net.core.netdev_max_backlog=4000",
            "ethtool -L eth0 combined 4",
            "echo f > /sys/class/net/eth0/queues/rx-0/rps_cpus",
            "cpupower frequency-set -g performance",
        ] {
            assert!(advice.contains(line), "{line} is not in:\n{advice}");
        }
    }

    #[test]
    fn a_mask_names_every_core() {
        assert_eq!(
            (every_core(1), every_core(32), every_core(34)),
            ("1".to_owned(), "ffffffff".to_owned(), "3,ffffffff".to_owned())
        );
    }
}
