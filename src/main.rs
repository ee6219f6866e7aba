//! The `drawbridge` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    drawbridge::cli::main()
}
