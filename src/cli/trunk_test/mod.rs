//! `drawbridge trunk test`: does a trunk work, and if not, what is to be done, on which side? The daemon
//! need not run: the test has sockets of its own, at the addresses of the daemon's listeners.
//!
//! What is asked and known again on the wire is `b2bua::inquiry`; here are the sockets (`wire.rs`), the
//! order of things (`walk.rs`), what each answer means (`readings/`), and how it is told.
//!
//! Must not know: transactions, calls.

mod certificate;
mod describe;
mod dns;
mod elsewhere;
mod json;
mod page;
mod place;
mod readings;
mod step;
mod walk;
mod wire;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::style::Palette;
use super::{ConfigFile, FAILED, USAGE, refusal};
use crate::config::{self, Config};
use crate::runtime::Clock;
use page::Page;
use step::Report;

pub(super) const EXAMPLES: &str = "Examples:
  drawbridge trunk test sinch
  drawbridge trunk test sinch --config ./drawbridge.toml --timeout 10
  drawbridge trunk test sinch --json | jq '.steps[] | select(.outcome == \"failed\")'

Nothing is called and nothing registered: OPTIONS asks whether somebody is there, a REGISTER without
Contact whether the credentials are right. A wrong password is tried at one address alone.

Exit status: 0 if nothing failed, 1 if something did or the configuration is wrong, 2 wrong usage.";

/// An answer from the other side of the world takes longer.
const PATIENCE_MIN: Duration = Duration::from_millis(100);
/// Nobody waits so long.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// `drawbridge trunk test`.
#[derive(Clone, Debug, clap::Args)]
pub struct TestArgs {
    /// The trunk, as in [trunk.NAME]
    name: String,
    /// How long each answer is waited for: seconds (4), or with a unit (500ms, 4s, 1m)
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = patience)]
    timeout: Duration,
    /// Print one JSON object for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(args: &TestArgs) -> ExitCode {
    match config::load(&args.file.config) {
        Ok(config) => test(args, config),
        Err(faults) if args.json => print(&json::faults(&args.name, &faults), false),
        Err(faults) => {
            // A standard error that is closed does not change the outcome.
            let _ = write!(io::stderr(), "{}", refusal(&faults));
            ExitCode::from(FAILED)
        }
    }
}

/// As in the configuration, or seconds alone.
fn patience(text: &str) -> Result<Duration, String> {
    let seconds = || text.parse().ok().map(Duration::from_secs);
    let patience = config::duration(text).or_else(seconds);
    patience
        .filter(|patience| (PATIENCE_MIN..=PATIENCE_MAX).contains(patience))
        .ok_or_else(|| "write 100ms to 60s, or 1 to 60 seconds".to_owned())
}

fn test(args: &TestArgs, config: Config) -> ExitCode {
    let subject = match walk::subject(config, &args.name, args.timeout) {
        Ok(subject) => subject,
        Err(known) => {
            let _ = writeln!(io::stderr(), "drawbridge: {}", unknown(&args.name, &known));
            return ExitCode::from(USAGE);
        }
    };
    let report = match measured(&subject) {
        Ok(report) => report,
        Err(error) => {
            let _ =
                writeln!(io::stderr(), "drawbridge: the system refuses what every process needs: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let page = Page { palette: Palette::of_stdout(), has_signs: io::stdout().is_terminal() };
    let text = if args.json { json::print(&report) } else { page.print(&report) };
    print(&text, report.has_passed())
}

fn measured(subject: &place::Subject) -> io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(walk::walk(subject, Clock::start()));
    // A look-up that still waits keeps nobody.
    runtime.shutdown_background();
    Ok(report)
}

/// There is no such trunk; was another meant?
fn unknown(name: &str, known: &[String]) -> String {
    let near = known.iter().min_by_key(|other| strsim::damerau_levenshtein(name, other));
    match near {
        Some(near) if strsim::damerau_levenshtein(name, near) <= name.len().min(near.len()) / 2 => {
            format!("there is no trunk \"{name}\"; did you mean \"{near}\"?")
        }
        Some(_) => format!("there is no trunk \"{name}\"; there are: {}", known.join(", ")),
        None => format!("there is no trunk \"{name}\", nor any other"),
    }
}

fn print(text: &str, has_passed: bool) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        // The reader has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => {
            let _ = writeln!(io::stderr(), "drawbridge: the report cannot be written: {error}");
            return ExitCode::from(FAILED);
        }
    }
    if has_passed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_written_as_in_the_configuration_or_in_seconds() {
        let millis = |text| patience(text).map(|patience| patience.as_millis());
        assert_eq!([millis("1s"), millis("500ms"), millis("1m")], [Ok(1_000), Ok(500), Ok(60_000)]);
        assert_eq!([millis("10"), millis("60")], [Ok(10_000), Ok(60_000)]);
        for wrong in ["0", "0s", "61", "61s", "99ms", "s", "-1", "1 s", "99999999999999999999"] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }
}
