//! The command line: what people type, what they read, and exit codes.
//!
//! Must not know: protocol rules.

mod check;
mod demo;
mod explain;
mod keys;
mod ladder;
mod media_bench;
mod operator;
mod packaged;
mod profiles;
mod style;
mod top;
mod trunk;
mod trunk_test;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Fault};
use crate::{app, telemetry};

/// The configuration is wrong, or the daemon did not start.
const FAILED: u8 = 1;
/// Exit status: wrong usage, as clap has it.
const USAGE: u8 = 2;
/// The end waits no longer for a log that nobody takes.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A B2BUA session border controller with an io_uring media relay.
///
/// Stands between a PBX (the trusted realm) and carriers (the untrusted realm): every call is two
/// legs, nothing of one side is seen on the other, and all media crosses the relay.
#[derive(Parser, Debug)]
#[command(name = "drawbridge", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Examples:
  drawbridge check                        Is /etc/drawbridge right?
  drawbridge explain --realm trusted --source 10.0.0.10 --from 1001 --to +15550100
                                          Where would this call go, and why?
  drawbridge run --config ./test.toml     Run in the foreground with another file

Log lines go to standard error, or to the journal under systemd; DRAWBRIDGE_LOG=warn shows less.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon in the foreground
    ///
    /// Reads the configuration, opens the listeners and carries calls until SIGTERM, which ends the
    /// calls in progress and exits with 0 within 10 s. SIGHUP, or a change of the files on disk,
    /// reads the configuration again: without a fault it takes effect for new calls, with a fault
    /// it is refused whole and the running one stays.
    #[command(after_help = "Examples:
  drawbridge run
  drawbridge run --config ./drawbridge.toml
  DRAWBRIDGE_LOG=warn drawbridge run

Exit status: 0 after a clean stop, 1 if it could not start, 2 wrong usage.")]
    Run(ConfigFile),
    /// Read the whole configuration and report every fault
    ///
    /// Reads what `run` would read and reports each fault with file, line, column, key and what to
    /// write instead. Opens no socket and changes nothing.
    #[command(after_help = "Examples:
  drawbridge check
  drawbridge check --config ./drawbridge.toml --json | jq .faults

Exit status: 0 valid, 1 invalid, 2 wrong usage.")]
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// Print one JSON object for machines
        #[arg(long)]
        json: bool,
    },
    /// Say what would become of a call, step by step, without placing it
    ///
    /// A dry run of the code that calls go through: who lets the source in, how the numbers are read,
    /// which route takes the call and why those before it do not, and what each trunk would be sent.
    /// Opens no socket and asks no DNS; the daemon need not run, and is not asked.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::ExplainArgs),
    /// Say how the running daemon is
    ///
    /// State, calls, trunks, media ports, and the configuration in force: why the files on disk were
    /// refused, if they were, and what waits for a restart.
    #[command(after_help = operator::STATUS_EXAMPLES)]
    Status(operator::DaemonArgs),
    /// List the calls in progress, the oldest first
    #[command(after_help = operator::CALLS_EXAMPLES)]
    Calls(operator::DaemonArgs),
    /// Say how one call is
    #[command(after_help = operator::CALL_EXAMPLES)]
    Call(operator::CallArgs),
    /// List the trunks with their state, calls and targets
    #[command(after_help = operator::TRUNKS_EXAMPLES)]
    Trunks(operator::DaemonArgs),
    /// Watch trunks, calls and media, live
    ///
    /// A screen that is drawn anew each second, like htop: what the status page shows, in a terminal of 80
    /// by 24 or more. It changes nothing.
    #[command(after_help = top::EXAMPLES)]
    Top(top::TopArgs),
    /// End a call with BYE on both legs, or refuse it with 480 before it is answered
    #[command(after_help = operator::HANGUP_EXAMPLES)]
    Hangup(operator::CallArgs),
    /// Read the configuration again, and say what changed
    ///
    /// As SIGHUP and a change of the files do. New calls use what is new, calls in progress keep what
    /// they began with. With any fault the files are refused whole and the running configuration stays.
    #[command(after_help = operator::RELOAD_EXAMPLES)]
    Reload(operator::DaemonArgs),
    /// Say what is logged, or change it at once
    #[command(after_help = operator::LOG_EXAMPLES)]
    Log(operator::LogArgs),
    /// Take no new calls; those in progress go on
    #[command(after_help = operator::DRAIN_EXAMPLES)]
    Drain(operator::DrainArgs),
    /// Take new calls again after a drain
    #[command(after_help = operator::UNDRAIN_EXAMPLES)]
    Undrain(operator::DaemonArgs),
    /// Do something with one trunk
    #[command(subcommand, after_help = trunk::EXAMPLES)]
    Trunk(trunk::TrunkCommand),
    /// List the providers that are known, or print what is known of one
    ///
    /// `profile = "NAME"` in a trunk fills in what the trunk does not say itself. Without NAME, the
    /// profiles that there are: those that are built in, and those in profiles.d/ beside the
    /// configuration. With NAME, that profile, with the sources of its facts in comments.
    #[command(after_help = profiles::EXAMPLES)]
    Profiles {
        #[command(flatten)]
        file: ConfigFile,
        /// The profile to print
        name: Option<String>,
    },
    /// List the keys of the configuration, or say what one is for
    ///
    /// Without KEY, every table with its keys and what holds where a key is not written. With KEY (a path
    /// as faults name it, a table, or a word), what it is for, its type, its bounds, and when a new value
    /// takes effect. Reads no file.
    #[command(after_help = keys::EXAMPLES)]
    Keys {
        /// media.timeout, trunk.sinch.health, timeout …
        key: Option<String>,
    },
    /// Do something with the media relay
    #[command(
        subcommand,
        after_help = "Examples:
  drawbridge media bench"
    )]
    Media(media_bench::MediaCommand),
    /// Place real calls with real RTP through Drawbridge, on loopback
    ///
    /// Starts Drawbridge in this process, between two small user agents, and shows the SIP ladder of
    /// the first call, what became of each, and what the relay and the listeners measured. Needs no
    /// configuration, no privilege, and no port in particular; leaves no file behind.
    #[command(after_help = "Examples:
  drawbridge demo
  drawbridge demo --calls 20 --seconds 10
  NO_COLOR=1 drawbridge demo

Exit status: 0 if every call completed and media flowed both ways, byte for byte; else 1.")]
    Demo(demo::DemoArgs),
    /// Write the files of a package that are made from this command line
    #[command(hide = true, after_help = packaged::EXAMPLES)]
    Packaged(packaged::PackagedArgs),
}

#[derive(Args, Clone, Debug)]
struct ConfigFile {
    /// The configuration; every *.toml in trunks.d/ beside it is read, too
    #[arg(long, short, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
}

/// Does what the command line asks. Wrong usage ends the process here with 2, `--help` with 0.
pub fn main() -> ExitCode {
    match parsed().command {
        Command::Run(file) => run(&file),
        Command::Check { file, json } => check::run(&file.config, json),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => operator::status(&args),
        Command::Calls(args) => operator::calls(&args),
        Command::Call(args) => operator::call(&args),
        Command::Trunks(args) => operator::trunks(&args),
        Command::Top(args) => top::run(&args),
        Command::Hangup(args) => operator::hang_up(&args),
        Command::Reload(args) => operator::reload(&args),
        Command::Log(args) => operator::log(&args),
        Command::Drain(args) => operator::drain(&args),
        Command::Undrain(args) => operator::undrain(&args),
        Command::Trunk(command) => trunk::run(&command),
        Command::Profiles { file, name } => profiles::run(&file.config, name.as_deref()),
        Command::Keys { key } => keys::run(key.as_deref()),
        Command::Media(command) => media_bench::run(&command),
        Command::Demo(args) => demo::run(&args),
        Command::Packaged(args) => packaged::run(&args),
    }
}

/// The command line. What is wrong with it is told with what was typed, and pasted text may hold anything.
fn parsed() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let is_obeyed = |argument: OsString| argument.to_string_lossy().chars().any(style::is_obeyed);
        if !error.use_stderr() || !std::env::args_os().any(is_obeyed) {
            error.exit();
        }
        for line in error.render().to_string().lines() {
            // A standard error that is closed does not change the outcome.
            let _ = writeln!(io::stderr(), "{}", style::shown(line));
        }
        std::process::exit(error.exit_code())
    })
}

fn run(file: &ConfigFile) -> ExitCode {
    let config = match config::load(&file.config) {
        Ok(config) => config,
        Err(faults) => {
            // A standard error that is closed does not change the outcome.
            let _ = write!(io::stderr(), "{}", refusal(&faults));
            return ExitCode::from(FAILED);
        }
    };
    // A log that is set up already is as good.
    let _ = telemetry::log::start(&config.log.filter);
    telemetry::redact::set_redacting(config.log.redact_numbers);
    warn(&config);
    let ended = app::daemon::run(&file.config, config);
    telemetry::log::finish(LAST_LINES);
    ended.unwrap_or_else(|message| {
        let _ = writeln!(io::stderr(), "drawbridge: {message}");
        ExitCode::from(FAILED)
    })
}

fn warn(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("configuration: {warning}");
    }
}

/// Every fault, and how many there are.
fn refusal(faults: &[Fault]) -> String {
    let mut text: String = faults.iter().map(|fault| format!("{fault}\n\n")).collect();
    let files: std::collections::BTreeSet<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    let files = if files.len() > 1 { format!(" in {} files", files.len()) } else { String::new() };
    text.push_str(&format!("invalid: {}{files}\n", count(faults.len(), "fault")));
    text
}

/// "1 trunk", "2 trunks".
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_explains_itself() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        command.build();
        for subcommand in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let help = subcommand.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{help}");
        }
    }

    #[test]
    fn usage_faults_are_told_from_the_rest() {
        let parsed = |arguments: &[&str]| Cli::try_parse_from(arguments);
        assert_eq!(parsed(&["drawbridge", "chek"]).unwrap_err().exit_code(), 2);
        assert_eq!(parsed(&["drawbridge", "check", "--jsn"]).unwrap_err().exit_code(), 2);
        assert_eq!(parsed(&["drawbridge", "--version"]).unwrap_err().exit_code(), 0);
        assert!(parsed(&["drawbridge", "check", "--json", "--config", "x.toml"]).is_ok());
    }
}
