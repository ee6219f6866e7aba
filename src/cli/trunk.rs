//! `drawbridge trunk …`: what is done with one trunk.

use std::process::ExitCode;

use super::{FAILED, trunk_test};

pub(super) const EXAMPLES: &str = "Examples:
  drawbridge trunk disable sinch          Send it no more calls
  drawbridge trunk enable sinch
  drawbridge trunk test sinch             Does it work, and if not, what is to be done?

Exit status: 0 when carried out, 1 if it could not be, 2 wrong usage.";

/// `drawbridge trunk …`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TrunkCommand {
    /// Let a trunk have calls again
    Enable(TrunkArgs),
    /// Send a trunk no more calls, and take none from it; those in progress go on
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
}

pub(super) fn run(command: &TrunkCommand) -> ExitCode {
    match command {
        TrunkCommand::Enable(trunk) | TrunkCommand::Disable(trunk) => {
            eprintln!("drawbridge: trunk {} cannot be switched yet in this version", trunk.name);
            ExitCode::from(FAILED)
        }
        TrunkCommand::Test(args) => trunk_test::run(args),
    }
}
