//! The commands that ask a running daemon, and those that tell it something: each is one exchange over
//! its admin socket, and a page.
//!
//! Must not know: how the daemon does it. What it answers is JSON, and may hold more than is shown.

mod call;
mod calls;
mod client;
mod columns;
mod drain;
mod hangup;
mod reload;
mod status;
mod trunks;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use self::client::{Answer, Daemon, Failure};
use super::FAILED;
use super::style::Palette;
use crate::config;

pub(super) use columns::text;
pub(super) use drain::{DrainArgs, EXAMPLES as DRAIN_EXAMPLES};

pub(super) const STATUS_EXAMPLES: &str = "Examples:
  drawbridge status
  drawbridge status --json | jq .configuration.faults
  drawbridge status --socket ./admin.sock

Exit status: 0, or 1 if no daemon answers, 2 wrong usage.";

pub(super) const CALLS_EXAMPLES: &str = "Examples:
  drawbridge calls
  drawbridge calls --json | jq -r '.calls[] | select(.phase == \"answered\") | .id'

Exit status: 0, or 1 if no daemon answers, 2 wrong usage.";

pub(super) const CALL_EXAMPLES: &str = "Examples:
  drawbridge call xkwgqg1sk9eq625g
  drawbridge call 00k3v
  drawbridge call xkwgqg1sk9eq625g --json | jq -r '.messages[] | [.at, .leg, .direction, .line] | @tsv'

Shows the route it took and why, each target that was tried, both dialogs, its media as the relay measures it
at this moment, and the SIP ladder of its first and last messages. A call that ended within 10 minutes can be
asked for, too (the last 300 of them).

Exit status: 0, or 1 if there is no such call or no daemon answers, 2 wrong usage.";

pub(super) const TRUNKS_EXAMPLES: &str = "Examples:
  drawbridge trunks
  drawbridge trunks --json | jq -r '.trunks[] | select(.state != \"up\") | .name'

Exit status: 0, or 1 if no daemon answers, 2 wrong usage.";

pub(super) const HANGUP_EXAMPLES: &str = "Examples:
  drawbridge call xkwg                     look first: is it this one?
  drawbridge hangup xkwg
  drawbridge hangup xkwgqg1sk9eq625g
  drawbridge calls --json | jq -r '.calls[] | select(.to == \"+442079460999\") | .id'

The beginning of an id, four characters or more, does where no other call's begins so; else nothing is hung up, and
those calls are named.

Exit status: 0 when carried out, 1 if there is no such call or no daemon answers, 2 wrong usage.";

pub(super) const RELOAD_EXAMPLES: &str = "Examples:
  drawbridge check && drawbridge reload
  drawbridge reload --json | jq .changes

Exit status: 0 when the files are in force, 1 if they are refused (the running configuration stays) or
no daemon answers, 2 wrong usage.";

pub(super) const UNDRAIN_EXAMPLES: &str = "Examples:
  drawbridge undrain

Exit status: 0 when carried out, 1 if no daemon answers, 2 wrong usage.";

pub(super) const LOG_EXAMPLES: &str = "Examples:
  drawbridge log
  drawbridge log debug
  drawbridge log info,drawbridge::transport=debug

The filter holds until log.filter in the configuration changes or the daemon ends.

Exit status: 0 when carried out, 1 if it is no filter or no daemon answers, 2 wrong usage.";

/// Which daemon, and how its answer is shown.
#[derive(Clone, Debug, clap::Args)]
pub struct DaemonArgs {
    /// The admin socket of the daemon; else the one that the configuration names
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The configuration that names the admin socket
    #[arg(long, short, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Print the daemon's answer as JSON, for machines
    #[arg(long)]
    json: bool,
}

/// A call, by its name.
#[derive(Clone, Debug, clap::Args)]
pub struct CallArgs {
    /// The call's id, as `drawbridge calls` and the call detail records have it, or its beginning
    id: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// What is to be logged.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// From which level on what is logged; without it, says what is logged now
    filter: Option<String>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// How the daemon is.
pub(super) fn status(args: &DaemonArgs) -> ExitCode {
    ask(args, "/api/v1/status", status::page)
}

/// Which calls there are.
pub(super) fn calls(args: &DaemonArgs) -> ExitCode {
    ask(args, "/api/v1/calls", calls::page)
}

/// One call.
pub(super) fn call(args: &CallArgs) -> ExitCode {
    ask(&args.daemon, &call_path(&args.id), call::page)
}

/// How the trunks are.
pub(super) fn trunks(args: &DaemonArgs) -> ExitCode {
    ask(args, "/api/v1/trunks", trunks::page)
}

/// Ends a call.
pub(super) fn hang_up(args: &CallArgs) -> ExitCode {
    let answer = Daemon::of(&args.daemon).and_then(|daemon| hangup::hang_up(&daemon, &args.id));
    finish(&args.daemon, answer, |body, _| hangup::page(body))
}

/// Switches a trunk on or off.
pub(super) fn switch(args: &DaemonArgs, trunk: &str, enabled: bool) -> ExitCode {
    let verb = if enabled { "enable" } else { "disable" };
    tell(args, &format!("/api/v1/trunks/{}/{verb}", client::segment(trunk)), trunks::switched)
}

/// Has the files read again.
pub(super) fn reload(args: &DaemonArgs) -> ExitCode {
    let answer = Daemon::of(args).and_then(|daemon| daemon.post("/api/v1/reload", None));
    match answer {
        Ok(answer) if answer.is_refused_reload() => {
            show(args, &answer.body, reload::page);
            ExitCode::from(FAILED)
        }
        other => finish(args, other, reload::page),
    }
}

/// Says what is logged, or changes it.
pub(super) fn log(args: &LogArgs) -> ExitCode {
    let answer = Daemon::of(&args.daemon).and_then(|daemon| match &args.filter {
        Some(filter) => daemon.post("/api/v1/log", Some(&serde_json::json!({ "filter": filter }))),
        None => daemon.get("/api/v1/log"),
    });
    finish(&args.daemon, answer, |body, _| format!("{}\n", columns::cell(columns::text(body, "filter"))))
}

/// Takes no new calls.
pub(super) fn drain(args: &DrainArgs) -> ExitCode {
    drain::run(args)
}

/// Takes new calls again.
pub(super) fn undrain(args: &DaemonArgs) -> ExitCode {
    tell(args, "/api/v1/undrain", drain::undrained)
}

/// What the daemon answers to one question, for `top`; else why not, for people.
pub(super) fn read(args: &DaemonArgs, path: &str) -> Result<Value, String> {
    let answer = Daemon::of(args).and_then(|daemon| daemon.get(path)).and_then(Answer::success);
    answer.map_err(|failure| failure.to_string())
}

/// What `call` prints, for `top`.
pub(super) fn call_page(about: &Value) -> String {
    call::page(about, Palette::PLAIN)
}

/// Where a call is asked for.
pub(super) fn call_path(id: &str) -> String {
    format!("/api/v1/calls/{}", client::segment(id))
}

impl DaemonArgs {
    /// Whether a machine reads the answer.
    pub(super) fn is_for_machines(&self) -> bool {
        self.json
    }
}

type Page = fn(&Value, Palette) -> String;

fn ask(args: &DaemonArgs, path: &str, page: Page) -> ExitCode {
    finish(args, Daemon::of(args).and_then(|daemon| daemon.get(path)), page)
}

fn tell(args: &DaemonArgs, path: &str, page: impl Fn(&Value, Palette) -> String) -> ExitCode {
    finish(args, Daemon::of(args).and_then(|daemon| daemon.post(path, None)), page)
}

fn finish(
    args: &DaemonArgs,
    answer: Result<Answer, Failure>,
    page: impl Fn(&Value, Palette) -> String,
) -> ExitCode {
    match answer.and_then(Answer::success) {
        Ok(body) => show(args, &body, page),
        Err(failure) => fail(args, &failure),
    }
}

fn show(args: &DaemonArgs, body: &Value, page: impl Fn(&Value, Palette) -> String) -> ExitCode {
    let text = if args.json { json(body) } else { page(body, Palette::of_stdout()) };
    print(&text)
}

fn fail(args: &DaemonArgs, failure: &Failure) -> ExitCode {
    if args.json {
        print(&json(&failure.as_json()));
    } else {
        // A standard error that is closed does not change the outcome.
        let _ = writeln!(io::stderr(), "drawbridge: {failure}");
    }
    ExitCode::from(FAILED)
}

fn json(value: &Value) -> String {
    // A value that was read can be written.
    serde_json::to_string_pretty(value).map_or_else(|error| error.to_string(), |json| json + "\n")
}

fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "drawbridge: the answer cannot be written: {error}");
            ExitCode::from(FAILED)
        }
    }
}
