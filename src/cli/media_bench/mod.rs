//! `drawbridge media bench`: how many calls a core of this machine carries, where packets were lost,
//! and what to change.
//!
//! The relay of this process carries PCMU between sockets of this process, over loopback: what is
//! measured is the relay and the kernel's UDP, not a network card. The CPU time of the relay's thread
//! counts alone, so that the load may share the machine with it.

mod advice;
mod load;
mod machine;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use self::load::{Load, PACKETS_PER_CALL};
use self::machine::{Losses, Machine, RelayThread};
use super::FAILED;
use super::style::{Ink, Palette};
use crate::base::Realm;
use crate::media::MediaEvent;
use crate::relay::{EngineChoice, Relay, RelaySettings};
use crate::runtime::Clock;

/// Calls of each step. A step that the load or the relay cannot keep up with is the last.
const STEPS: [u32; 6] = [50, 250, 500, 1_000, 1_500, 2_000];
/// A relay that loses more has found its limit.
const LOSS_MAX: f64 = 0.001;
/// The load keeps pace if it sends this share of what it should.
const PACE_MIN: f64 = 0.99;
/// A relay's thread that works so much of the time has nothing left; it worked off the rest later.
const BUSY_MAX_PERCENT: f64 = 95.0;
/// Of a core that is busy beyond this, bursts are lost.
const HEADROOM: f64 = 0.7;
/// Before it counts, sources are learned and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long what waits in the relay's sockets may take: rounds, until one brings nothing.
const SETTLE_ROUND: Duration = Duration::from_millis(20);
const SETTLE_ROUNDS_MAX: u32 = 50;
/// `media.timeout` of the measured relay: longer than any step.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What is done with the media relay.
#[derive(Subcommand, Debug)]
pub(super) enum MediaCommand {
    /// Measure how many calls a core of this machine carries
    ///
    /// Carries PCMU calls (50 packets a second each way) through the relay over loopback, more and more
    /// of them, with each engine, and says what a packet costs, how many calls fit on a core, where
    /// packets were lost and what to change. Reads no configuration and needs no daemon; a daemon that
    /// carries calls on this machine is disturbed. Takes about 15 s.
    #[command(after_help = "Examples:
  drawbridge media bench
  drawbridge media bench --engine portable --seconds 5
  drawbridge media bench --json | jq .engines

Exit status: 0 if it could be measured, 1 if not, 2 wrong usage.")]
    Bench(BenchArgs),
}

/// How it is measured.
#[derive(Args, Debug)]
pub(super) struct BenchArgs {
    /// Which engine to measure
    #[arg(long, value_enum, default_value_t = Which::Both)]
    engine: Which,
    /// How long each step lasts, 1 to 60
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Print one JSON object for machines
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    /// First io_uring, then the portable one
    Both,
    /// io_uring
    #[value(name = "io_uring")]
    IoUring,
    /// epoll, for wherever io_uring is refused
    Portable,
}

/// All that was found out.
#[derive(Serialize)]
struct Report {
    machine: Machine,
    engines: Vec<EngineReport>,
    losses: Losses,
    advice: Vec<String>,
}

#[derive(Serialize)]
struct EngineReport {
    engine: &'static str,
    /// Why it could not be measured.
    refused: Option<String>,
    steps: Vec<Step>,
    /// PCMU calls of one core, with room for bursts.
    calls_a_core: Option<u32>,
}

/// One load.
#[derive(Clone, Serialize)]
struct Step {
    calls: u32,
    /// Packets a second that came to the relay.
    packets_per_second: u32,
    /// CPU of the relay's thread.
    cpu_us_per_packet: f64,
    core_busy_percent: f64,
    lost_percent: f64,
    /// Whether the load sent what it should.
    kept_pace: bool,
}

pub(super) fn run(command: &MediaCommand) -> ExitCode {
    let MediaCommand::Bench(args) = command;
    let choices: &[EngineChoice] = match args.engine {
        Which::Both => &[EngineChoice::IoUring, EngineChoice::Portable],
        Which::IoUring => &[EngineChoice::IoUring],
        Which::Portable => &[EngineChoice::Portable],
    };
    let mut losses = Losses::default();
    let time = Duration::from_secs(args.seconds);
    let engines: Vec<EngineReport> =
        choices.iter().map(|engine| measure_engine(*engine, time, &mut losses)).collect();
    let machine = Machine::look();
    let advice = advice::of(&machine, &losses, &engines);
    let report = Report { machine, engines, losses, advice };
    let is_measured = report.engines.iter().any(|engine| !engine.steps.is_empty());
    let text = if args.json { as_json(&report) } else { as_text(&report, Palette::of_stdout()) };
    let mut out = io::stdout().lock();
    // A reader that has read enough closes the pipe.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if is_measured { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// More and more calls through one engine, until something does not keep up. What the kernel lost counts
/// as long as the load kept pace: beyond that its own sockets overflow.
fn measure_engine(choice: EngineChoice, time: Duration, losses: &mut Losses) -> EngineReport {
    let mut report = EngineReport {
        engine: if choice == EngineChoice::Portable { "portable" } else { "io_uring" },
        refused: None,
        steps: Vec::new(),
        calls_a_core: None,
    };
    for calls in STEPS {
        let before = Losses::now();
        match measure(choice, calls, time) {
            Ok(step) => {
                if step.kept_pace {
                    losses.add(&Losses::now().since(&before));
                }
                let is_last = !step.kept_pace
                    || step.lost_percent > 100.0 * LOSS_MAX
                    || step.core_busy_percent > BUSY_MAX_PERCENT;
                report.steps.push(step);
                if is_last {
                    break;
                }
            }
            Err(fault) => {
                report.refused = Some(fault);
                break;
            }
        }
    }
    report.calls_a_core = calls_a_core(&report.steps);
    report
}

/// What fits on a core by the cost at the highest load that was really sent and of which nothing was lost.
fn calls_a_core(steps: &[Step]) -> Option<u32> {
    let is_sound = |step: &&Step| step.kept_pace && step.lost_percent <= 100.0 * LOSS_MAX;
    let sound = steps.iter().rev().find(is_sound)?;
    let cost_us = sound.cpu_us_per_packet * f64::from(PACKETS_PER_CALL);
    (cost_us > 0.0).then(|| (HEADROOM * 1e6 / cost_us) as u32)
}

fn measure(choice: EngineChoice, calls: u32, time: Duration) -> Result<Step, String> {
    let clock = Clock::start();
    let (relay, mut events) =
        Relay::start(RelaySettings::new(1, choice, TIMEOUT), clock).map_err(|error| error.to_string())?;
    let thread = RelayThread::find()?;
    let load = Load::open(calls).map_err(|error| format!("the load's sockets: {error}"))?;
    for command in load.commands() {
        relay.command(command).map_err(|busy| busy.to_string())?;
    }
    for _ in 0..calls {
        match events.blocking_recv() {
            Some(MediaEvent::Opened { .. }) => {}
            Some(MediaEvent::OpenFailed { address, errno, .. }) => {
                let error = io::Error::from_raw_os_error(errno);
                return Err(format!("port {address}: {error}"));
            }
            other => return Err(format!("the relay says {other:?}")),
        }
    }
    load.run(WARM_UP, clock).map_err(|error| error.to_string())?;
    let before = (settle(&relay, &load), thread.cpu()?);
    let sent = load.run(time, clock).map_err(|error| error.to_string())?;
    let after = (settle(&relay, &load), thread.cpu()?);
    Ok(step(calls, time, sent, after.1.saturating_sub(before.1), after.0 - before.0))
}

fn step(calls: u32, time: Duration, sent: u64, cpu: Duration, forwarded: u64) -> Step {
    let seconds = time.as_secs_f64();
    let wanted = f64::from(calls * PACKETS_PER_CALL) * seconds;
    Step {
        calls,
        packets_per_second: (sent as f64 / seconds) as u32,
        cpu_us_per_packet: cpu.as_secs_f64() * 1e6 / (forwarded.max(1) as f64),
        core_busy_percent: 100.0 * cpu.as_secs_f64() / seconds,
        lost_percent: 100.0 * (1.0 - forwarded as f64 / sent.max(1) as f64).max(0.0),
        kept_pace: sent as f64 >= PACE_MIN * wanted,
    }
}

/// Packets that the relay handed on.
fn forwarded(relay: &Relay) -> u64 {
    let counters = relay.counters();
    Realm::ALL.iter().map(|realm| counters.rtp[*realm].sent.packets).sum()
}

/// Lets the relay work off what waits in its sockets, and tells how many packets it has handed on by then.
#[allow(clippy::disallowed_methods, reason = "it measures in real time")]
fn settle(relay: &Relay, load: &Load) -> u64 {
    let mut before = forwarded(relay);
    for _ in 0..SETTLE_ROUNDS_MAX {
        std::thread::sleep(SETTLE_ROUND);
        load.read();
        let after = forwarded(relay);
        if after == before {
            break;
        }
        before = after;
    }
    before
}

fn as_json(report: &Report) -> String {
    // Numbers and strings alone: it cannot fail.
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

fn as_text(report: &Report, palette: Palette) -> String {
    let mut text = format!("{}\n\n", report.machine.summary());
    text += &palette.paint(Ink::Faint, "engine     calls   packets/s   CPU a packet   core busy    lost\n");
    for engine in &report.engines {
        for step in &engine.steps {
            text += &format!(
                "{:<9} {:>6}   {:>9}   {:>9.2} µs   {:>7.0} %   {:>4.2} %{}\n",
                engine.engine,
                step.calls,
                step.packets_per_second,
                step.cpu_us_per_packet,
                step.core_busy_percent,
                step.lost_percent,
                if step.kept_pace { "" } else { "   (the load could not send more)" },
            );
        }
        if let Some(refused) = &engine.refused {
            let line = format!("{:<9} {refused}\n", engine.engine);
            text += &palette.paint(Ink::Bad, &line);
        }
    }
    text.push('\n');
    for engine in &report.engines {
        if let Some(calls) = engine.calls_a_core {
            let line = format!("A core carries about {calls} calls with {}.\n", engine.engine);
            text += &palette.paint(Ink::Bold, &line);
        }
    }
    text += "(PCMU, 20 ms, 30 % of the core left for bursts; the network card's work comes to it.)\n";
    text += &format!("\nWhere packets were lost: {}\n", report.losses.summary());
    if report.advice.is_empty() {
        text += "\nNothing on this machine asks to be changed.\n";
    } else {
        text += "\nWhat to change:\n";
        text += &report.advice.iter().map(|advice| format!("- {advice}\n")).collect::<String>();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(calls: u32, cost_us: f64, lost_percent: f64) -> Step {
        let packets_per_second = calls * PACKETS_PER_CALL;
        Step {
            calls,
            packets_per_second,
            cpu_us_per_packet: cost_us,
            core_busy_percent: 1.0,
            lost_percent,
            kept_pace: true,
        }
    }

    #[test]
    fn the_last_load_without_loss_says_what_fits_on_a_core() {
        let steps = [measured(50, 6.0, 0.0), measured(500, 3.5, 0.05), measured(1_000, 2.0, 4.0)];
        assert_eq!(calls_a_core(&steps), Some(2_000));
        assert_eq!(calls_a_core(&[measured(50, 6.0, 4.0)]), None);
        assert_eq!(calls_a_core(&[]), None);
    }

    #[test]
    fn a_step_counts_what_was_forwarded_and_whether_the_load_kept_pace() {
        let step = step(100, Duration::from_secs(2), 20_000, Duration::from_millis(100), 19_000);
        assert_eq!((step.packets_per_second, step.kept_pace), (10_000, true));
        assert!((step.lost_percent - 5.0).abs() < 1e-9 && (step.core_busy_percent - 5.0).abs() < 1e-9);
        assert!((step.cpu_us_per_packet - 100_000.0 / 19_000.0).abs() < 1e-9);
        assert!(!super::step(100, Duration::from_secs(2), 15_000, Duration::ZERO, 15_000).kept_pace);
    }

    #[test]
    fn a_few_calls_are_really_carried_by_each_engine() {
        for choice in [EngineChoice::Auto, EngineChoice::Portable] {
            let step = measure(choice, 4, Duration::from_millis(200)).unwrap();
            assert!(step.packets_per_second > 0 && step.cpu_us_per_packet > 0.0);
        }
    }
}
