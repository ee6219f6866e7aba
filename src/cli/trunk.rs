//! `drawbridge trunk …`: what is done with one trunk.

use std::process::ExitCode;

use super::FAILED;

pub(super) const EXAMPLES: &str = "Examples:
  drawbridge trunk disable sinch          Send it no more calls
  drawbridge trunk enable sinch

Exit status: 0 when carried out, 1 if it could not be, 2 wrong usage.";

/// `drawbridge trunk …`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TrunkCommand {
    /// Let a trunk have calls again
    Enable(TrunkArgs),
    /// Send a trunk no more calls, and take none from it; those in progress go on
    Disable(TrunkArgs),
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
    }
}
