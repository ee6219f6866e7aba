//! `drawbridge packaged DIR`, hidden: the files of a package that are made from the command line's own
//! definition, so that they cannot differ from it: man pages, and completions of shells.
//!
//! Must not know: where a package puts them.

mod manual;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, FAILED};

pub(super) const EXAMPLES: &str = "Examples:
  drawbridge packaged target/packaged     man/ and completions/ in it

Exit status: 0, 1 if a file could not be written, 2 wrong usage.";

/// The name that completions are for.
const PROGRAM: &str = "drawbridge";
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Where to.
#[derive(Clone, Debug, Args)]
pub struct PackagedArgs {
    /// The directory; it is made where it is not
    directory: PathBuf,
}

pub(super) fn run(args: &PackagedArgs) -> ExitCode {
    match write_all(&args.directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A standard error that is closed does not change the outcome.
            let _ = writeln!(io::stderr(), "drawbridge: {}: {error}", args.directory.display());
            ExitCode::from(FAILED)
        }
    }
}

fn write_all(directory: &Path) -> io::Result<()> {
    let (pages, completions) = (directory.join("man"), directory.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    for page in manual::pages(&shown(Cli::command()))? {
        fs::write(pages.join(page.file), page.text)?;
    }
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut shown(Cli::command()), PROGRAM, &completions)?;
    }
    Ok(())
}

/// The command line without what `--help` does not show.
fn shown(command: Command) -> Command {
    let (hidden, kept): (Vec<_>, Vec<_>) = command.get_subcommands().cloned().partition(Command::is_hide_set);
    if hidden.is_empty() {
        return command;
    }
    // clap takes no subcommand away again: the command is made anew, with the others.
    let anew = Command::new(PROGRAM).version(env!("CARGO_PKG_VERSION")).arg_required_else_help(true);
    let anew = anew.args(command.get_arguments().cloned()).subcommands(kept);
    let text = |text: Option<&clap::builder::StyledStr>| text.cloned().unwrap_or_default();
    anew.about(text(command.get_about()))
        .long_about(text(command.get_long_about()))
        .after_help(text(command.get_after_help()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_completed_by_each_shell() {
        let directory = std::env::temp_dir().join(format!("drawbridge-packaged-{}", std::process::id()));
        write_all(&directory).unwrap();
        let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
        let completions = ["drawbridge.bash", "_drawbridge", "drawbridge.fish"]
            .map(|file| read(&format!("completions/{file}")));
        let front = read("man/drawbridge.1");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let is_shown = !command.is_hide_set();
            let page = directory.join(format!("man/drawbridge-{name}.1"));
            assert_eq!(page.exists(), is_shown, "{name}");
            let named = format!("drawbridge\\-{name}(1)");
            assert_eq!(front.contains(&named), is_shown, "{named} in {front}");
            for completion in &completions {
                assert_eq!(
                    completion.contains(&format!("{name}'")) || completion.contains(&format!("{name} ")),
                    is_shown,
                    "{name} in {completion}"
                );
            }
        }
        assert!(read("man/drawbridge-trunk-test.1").contains("drawbridge trunk test"));
        fs::remove_dir_all(&directory).unwrap();
    }
}
