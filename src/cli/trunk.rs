//! `drawbridge trunk …`: what is done with one trunk.

use std::process::ExitCode;

use super::operator::{self, DaemonArgs};
use super::trunk_test;

pub(super) const EXAMPLES: &str = "Examples:
  drawbridge trunk disable sinch          Send it no more calls
  drawbridge trunk enable sinch
  drawbridge trunk test sinch             Does it work, and if not, what is to be done?

Exit status: 0 when carried out, 1 if it could not be, 2 wrong usage.";

const ENABLE_HELP: &str = "Examples:
  drawbridge trunk enable sinch

It counts over `enabled` in the configuration, until a reload changes that
key or the daemon ends.

Exit status: 0 when carried out, 1 if there is no such trunk or no daemon answers, 2 wrong usage.";

const DISABLE_HELP: &str = "Examples:
  drawbridge trunk disable sinch
  drawbridge trunks                       Shows who is disabled, and since when

New calls pass it over, calls for help too, and its own are refused; it is
not probed. Calls in progress go on. It lasts until `trunk enable`, until a
reload changes its key `enabled`, or until the daemon ends: write
enabled = false in the configuration for longer.

Exit status: 0 when carried out, 1 if there is no such trunk or no daemon answers, 2 wrong usage.";

/// `drawbridge trunk …`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TrunkCommand {
    /// Let a trunk have calls again
    #[command(after_help = ENABLE_HELP)]
    Enable(TrunkArgs),
    /// Send a trunk no more calls, and take none from it; those in progress go on
    #[command(after_help = DISABLE_HELP)]
    Disable(TrunkArgs),
    /// Ask a trunk whether it works: DNS, connection, TLS, OPTIONS, credentials
    ///
    /// Goes the way of a call without placing one: looks its names up, connects to every address, shows
    /// its certificate, and asks whether it takes our credentials. One line a step, and for each
    /// failure what to do about it, on which side. The daemon need not run, and is not asked.
    #[command(after_help = trunk_test::EXAMPLES)]
    Test(trunk_test::TestArgs),
}

/// Which trunk.
#[derive(Clone, Debug, clap::Args)]
pub struct TrunkArgs {
    /// The trunk, as in [trunk.NAME]
    name: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn run(command: &TrunkCommand) -> ExitCode {
    match command {
        TrunkCommand::Enable(trunk) => operator::switch(&trunk.daemon, &trunk.name, true),
        TrunkCommand::Disable(trunk) => operator::switch(&trunk.daemon, &trunk.name, false),
        TrunkCommand::Test(args) => trunk_test::run(args),
    }
}
