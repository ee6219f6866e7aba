//! The man pages: one for the program and each of its commands, by clap_mangen but for what follows the
//! options, which is cut into sections here; and one for the configuration, which is the commented files
//! themselves.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

const MANUAL: &str = "Drawbridge";
/// The files that the package installs, as they are.
const MAIN_FILE: &str = include_str!("../../../etc/drawbridge.toml");
const TRUNK_FILE: &str = include_str!("../../../etc/trunks.d/example.toml.sample");
/// What `after_help` begins with, and what its last paragraph does.
const EXAMPLES: &str = "Examples:";
const EXIT_STATUS: &str = "Exit status: ";

/// A man page.
pub(super) struct Page {
    /// As in `drawbridge-run.1`.
    pub(super) file: String,
    /// In roff.
    pub(super) text: Vec<u8>,
}

/// All of them.
pub(super) fn pages(command: &Command) -> io::Result<Vec<Page>> {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![configuration()?];
    add_command(&command, "", &mut pages)?;
    Ok(pages)
}

fn add_command(command: &Command, parent: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    for subcommand in command.get_subcommands() {
        add_command(subcommand, &name, pages)?;
    }
    let man = Man::new(command.clone()).source(source()).manual(MANUAL);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    if let Some(help) = command.get_after_help() {
        add_help(&mut rest, &help.to_string());
    }
    if parent.is_empty() {
        add_files(&mut rest);
    }
    see_also(&mut rest, parent);
    rest.to_writer(&mut text)?;
    pages.push(Page { file: format!("{name}.1"), text });
    Ok(())
}

fn source() -> String {
    format!("Drawbridge {}", env!("CARGO_PKG_VERSION"))
}

/// What a command's help says below its options: examples as they stand, the rest as text.
fn add_help(roff: &mut Roff, help: &str) {
    let mut is_first = true;
    for paragraph in help.split("\n\n") {
        if let Some(status) = paragraph.strip_prefix(EXIT_STATUS) {
            roff.control("SH", ["EXIT STATUS"]);
            roff.text([roman(joined(status))]);
            continue;
        }
        let example = paragraph.strip_prefix(EXAMPLES);
        match example {
            Some(_) => roff.control("SH", ["EXAMPLES"]),
            None if is_first => roff.control("SH", ["NOTES"]),
            None => roff.control("PP", []),
        };
        is_first = false;
        match example {
            Some(lines) => verbatim(roff, lines.trim_start_matches('\n')),
            None if paragraph.starts_with("  ") => verbatim(roff, paragraph),
            None => {
                roff.text([roman(joined(paragraph))]);
            }
        }
    }
}

fn joined(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn verbatim(roff: &mut Roff, lines: &str) {
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

fn add_files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (path, says) in [
        ("/etc/drawbridge/drawbridge.toml", "the configuration"),
        ("/etc/drawbridge/trunks.d/*.toml", "trunks, and routes of theirs"),
        ("/etc/drawbridge/profiles.d/*.toml", "profiles of providers, beside those that are built in"),
        ("/etc/default/drawbridge", "what happens to calls when the package is upgraded"),
        ("/var/log/drawbridge/cdr.jsonl", "call detail records"),
        ("/run/drawbridge/admin.sock", "where the daemon is spoken to"),
        (
            "/usr/share/drawbridge/",
            "the profiles as files, alert rules for Prometheus, a dashboard for Grafana",
        ),
        ("/usr/share/doc/drawbridge/", "the operator's documents; README.md is where to begin"),
    ] {
        roff.control("TP", []);
        roff.text([italic(path)]);
        roff.text([roman(says)]);
    }
}

fn see_also(roff: &mut Roff, parent: &str) {
    roff.control("SH", ["SEE ALSO"]);
    let mut names = vec![];
    if !parent.is_empty() {
        names.extend([bold(parent), roman("(1), ")]);
    }
    names.extend([bold("drawbridge.toml"), roman("(5), "), bold("systemctl"), roman("(1), ")]);
    names.extend([bold("journalctl"), roman("(1)")]);
    roff.text(names);
}

/// drawbridge.toml(5).
fn configuration() -> io::Result<Page> {
    let mut roff = Roff::new();
    roff.control("TH", ["drawbridge.toml", "5", "", &source(), MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("drawbridge.toml - the configuration of the Drawbridge session border controller")]);
    roff.control("SH", ["SYNOPSIS"]);
    for path in ["/etc/drawbridge/drawbridge.toml", "/etc/drawbridge/trunks.d/*.toml"] {
        roff.text([italic(path)]);
        roff.control("br", []);
    }
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in [
        "The configuration is one file, and every *.toml in trunks.d/ beside it, in the order of their names. They are \
         read at the start, on systemctl reload or drawbridge reload, and when they change. With any fault they are \
         refused whole, and what is in force stays: drawbridge check names each fault with its place and its cure, \
         and drawbridge status the last refusal.",
        "Below are the files as they are installed, in which every key is explained. A key in a comment is not set; \
         unless its line says otherwise, what is written there is an example, and for most the default.",
        "In each string \"${NAME}\" stands for an environment variable (/etc/drawbridge/secrets.env sets some), and \
         \"${file:PATH}\" for the contents of a file. A key that is not known is a fault.",
    ] {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    for (title, file) in [("DRAWBRIDGE.TOML", MAIN_FILE), ("A TRUNK", TRUNK_FILE)] {
        roff.control("SH", [title]);
        verbatim(&mut roff, file);
    }
    see_also(&mut roff, "drawbridge");
    let mut text = Vec::new();
    roff.to_writer(&mut text)?;
    Ok(Page { file: "drawbridge.toml.5".to_owned(), text })
}
