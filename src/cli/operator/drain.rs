//! `drawbridge drain` and `undrain`: no new calls, and what is left of the others.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Answer, Daemon, Failure};
use super::columns::{count, number, text};
use super::{DaemonArgs, fail, show};
use crate::cli::style::{Ink, Palette};

pub(in crate::cli) const EXAMPLES: &str = "Examples:
  drawbridge drain                        Refuse new calls, and return at once
  drawbridge drain --wait                 … and return when the last call is over
  drawbridge drain --deadline 600 && systemctl stop drawbridge
                                          … but hang up what is left after 10 minutes

New calls, and OPTIONS, are answered 503 with Retry-After, so that a PBX takes another node. A drain lasts
until `undrain` or a restart, over reloads, and also if this command is interrupted: its deadline is kept
by the daemon. A second drain has the last word on the deadline. Calls for help (numbering.emergency) are
taken until the deadline, and not hung up at it; `drawbridge hangup` does that.

Exit status: 0 when carried out (with --wait and --deadline: no call is left), 1 if calls for help go on
after the deadline or no daemon answers, 2 wrong usage.";

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_secs(1);
/// After the deadline a call may still wait for the answer to its BYE (RFC 3261 timer F), and then for the
/// relay's word.
const LOOKS_AFTER_DEADLINE: u32 = 35;
/// The longest deadline: a day.
const DEADLINE_MAX_S: i64 = 86_400;

/// `drawbridge drain`.
#[derive(Clone, Debug, clap::Args)]
pub struct DrainArgs {
    /// Hang up the calls that are left after so many seconds, and wait for the end
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(0..=DEADLINE_MAX_S))]
    deadline: Option<u32>,
    /// Wait until no call is left
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn run(args: &DrainArgs) -> ExitCode {
    let drained = Daemon::of(&args.daemon).and_then(|daemon| {
        let request = args.deadline.map(|seconds| json!({ "deadline_seconds": seconds }));
        let begun = daemon.post("/api/v1/drain", request.as_ref()).and_then(Answer::success)?;
        if args.wait || args.deadline.is_some() { wait(args, &daemon) } else { Ok(begun) }
    });
    match drained {
        Ok(body) => show(&args.daemon, &body, page),
        Err(failure) => fail(&args.daemon, &failure),
    }
}

/// Looks until no call is left; gives the last answer.
#[allow(
    clippy::disallowed_methods,
    reason = "the calls are another process's: there is no event to wait for"
)]
fn wait(args: &DrainArgs, daemon: &Daemon) -> Result<Value, Failure> {
    let mut told = None;
    let mut overdue = 0;
    loop {
        let status = daemon.get("/api/v1/status").and_then(Answer::success)?;
        let calls = number(&status, "calls");
        if text(&status, "state") == "serving" {
            return Err(Failure::new("somebody ended the drain", "drawbridge drain begins another"));
        }
        if calls == 0 && status["calls"].is_u64() {
            return Ok(status);
        }
        if told != Some(calls) && !args.daemon.json {
            // For people: what cannot be told changes nothing.
            let _ = writeln!(io::stdout(), "{}", left(&status));
            told = Some(calls);
        }
        if args.deadline.is_some() && status["drain_deadline"].is_null() {
            overdue += 1;
            if overdue > LOOKS_AFTER_DEADLINE {
                return Err(Failure::new(
                    format!("{} of those that a deadline spares are still there", count(calls, "call")),
                    "calls for help are not cut off: drawbridge calls lists them, drawbridge hangup ends one",
                ));
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn left(status: &Value) -> String {
    let calls = count(number(status, "calls"), "call");
    match status["drain_deadline"].as_str() {
        Some(deadline) => format!("{calls} left, hung up at {}", super::columns::moment(deadline)),
        None => format!("{calls} left"),
    }
}

/// After a drain, and where it was not waited for.
fn page(body: &Value, palette: Palette) -> String {
    let verdict = palette.paint(Ink::Good, "drained");
    match number(body, "calls") {
        0 => format!("{verdict}: no call is left, and new ones are refused\n"),
        calls => {
            let goes = if calls == 1 { "goes" } else { "go" };
            format!("draining: new calls are refused; {} {goes} on\n", count(calls, "call"))
        }
    }
}

pub(super) fn undrained(_: &Value, palette: Palette) -> String {
    format!("{}: new calls are taken\n", palette.paint(Ink::Good, "serving"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told() {
        let body = |calls: u64| json!({ "calls": calls, "drain_deadline": "2026-03-21T09:05:07.042Z" });
        assert_eq!(left(&body(1)), "1 call left, hung up at 2026-03-21 09:05:07 UTC");
        assert_eq!(left(&json!({ "calls": 2 })), "2 calls left");
        let says = |calls| page(&body(calls), Palette::PLAIN);
        assert_eq!(says(0), "drained: no call is left, and new ones are refused\n");
        assert_eq!(says(2), "draining: new calls are refused; 2 calls go on\n");
    }
}
