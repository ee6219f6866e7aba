//! `drawbridge keys`: what each key of the configuration is for, where there is no browser.

use std::io::{self, Write};
use std::process::ExitCode;

use super::FAILED;
use crate::config::reference::{self, SECTIONS};

pub(super) const EXAMPLES: &str = "Examples:
  drawbridge keys                         Which are there?
  drawbridge keys media.timeout           What is it for, what may stand there, what holds without it?
  drawbridge keys trunk.sinch.health      Every key of a table
  drawbridge keys timeout                 Every key of this name

Exit status: 0, 1 if there is no such key, 2 wrong usage.";

pub(super) fn run(asked: Option<&str>) -> ExitCode {
    let Some(asked) = asked else { return print(&list()) };
    let found = reference::find(asked);
    if found.is_empty() {
        // A standard error that is closed does not change the outcome.
        let _ = writeln!(
            io::stderr(),
            "drawbridge: there is no key \"{asked}\"; `drawbridge keys` lists all of them"
        );
        return ExitCode::from(FAILED);
    }
    let texts: Vec<String> = found.iter().map(|(section, key)| reference::explained(section, key)).collect();
    print(&texts.join("\n"))
}

/// Tables, and below each its keys with what holds without them.
fn list() -> String {
    let width = SECTIONS.iter().flat_map(|section| section.keys.iter().map(|key| section.short(key).len()));
    let width = width.max().unwrap_or(0);
    let row = |name: &str, default: &str| format!("  {name:width$}  {}\n", default.replace('`', ""));
    let section = |section: &reference::Section| {
        let rows = section.keys.iter().map(|key| row(section.short(key), &key.default.words()));
        format!("{}\n{}", section.table, rows.collect::<String>())
    };
    SECTIONS.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_and_key_is_listed_with_what_holds_without_it() {
        let listed = list();
        assert!(listed.starts_with("[node]\n  name  "), "{listed}");
        assert!(
            listed
                .lines()
                .any(|line| line.trim_start().starts_with("failover.timeout ") && line.ends_with("\"4s\""))
        );
        let keys: usize = SECTIONS.iter().map(|section| section.keys.len()).sum();
        assert_eq!(listed.lines().filter(|line| line.starts_with("  ")).count(), keys);
    }
}
