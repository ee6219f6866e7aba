//! `drawbridge check`: is this configuration right, and if not, where and how?

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::style::{Ink, Palette};
use super::{FAILED, count, refusal};
use crate::config::{self, Config, Fault};

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    faults: &'a [Fault],
    warnings: &'a [Fault],
    /// Absent for an invalid configuration.
    summary: Option<Summary>,
}

#[derive(Serialize)]
struct Summary {
    listeners: usize,
    trunks: usize,
    routes: usize,
}

pub(super) fn run(path: &Path, json: bool) -> ExitCode {
    let loaded = config::load_for_the_service(path);
    let text = if json { as_json(&loaded) } else { coloured(&as_text(&loaded), Palette::of_stdout()) };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        // The reader has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => {
            // Nobody is left to tell if this fails, too.
            let _ = writeln!(io::stderr(), "drawbridge: the report cannot be written: {error}");
            return ExitCode::from(FAILED);
        }
    }
    if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn as_text(loaded: &Result<Config, Vec<Fault>>) -> String {
    match loaded {
        Ok(config) => {
            let warnings: String =
                config.warnings.iter().map(|warning| format!("warning: {warning}\n\n")).collect();
            let Summary { listeners, trunks, routes } = summary(config);
            let (listeners, trunks) = (count(listeners, "listener"), count(trunks, "trunk"));
            let warned = match config.warnings.len() {
                0 => String::new(),
                many => format!("; {}", count(many, "warning")),
            };
            format!("{warnings}valid: {listeners}, {trunks}, {}{warned}\n", count(routes, "route"))
        }
        Err(faults) => refusal(faults),
    }
}

/// On a terminal: places and the verdict stand out, and the carets.
fn coloured(text: &str, palette: Palette) -> String {
    let line = |line: &str| {
        let is_carets = line.trim_start().starts_with('|') && line.ends_with('^');
        match line.split_once(": ") {
            _ if is_carets => {
                let (margin, carets) = line.split_at(line.find('^').unwrap_or(0));
                format!("{}{}", palette.paint(Ink::Faint, margin), palette.paint(Ink::Bad, carets))
            }
            Some(("valid", rest)) => format!("{}: {rest}", palette.paint(Ink::Good, "valid")),
            Some(("invalid", rest)) => format!("{}: {rest}", palette.paint(Ink::Bad, "invalid")),
            Some(("warning", rest)) => format!("{}: {rest}", palette.paint(Ink::Provisional, "warning")),
            Some((place, rest)) if !line.starts_with(' ') => {
                format!("{}: {rest}", palette.paint(Ink::Bold, place))
            }
            Some(_) | None => line.to_owned(),
        }
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

fn as_json(loaded: &Result<Config, Vec<Fault>>) -> String {
    let report = match loaded {
        Ok(config) => {
            Report { valid: true, faults: &[], warnings: &config.warnings, summary: Some(summary(config)) }
        }
        Err(faults) => Report { valid: false, faults, warnings: &[], summary: None },
    };
    // A report of strings and numbers can always be written.
    serde_json::to_string_pretty(&report).map_or_else(|error| error.to_string(), |json| json + "\n")
}

fn summary(config: &Config) -> Summary {
    Summary {
        listeners: config.listeners.len(),
        trunks: config.routing.trunks.len(),
        routes: config.routing.routes.len(),
    }
}
