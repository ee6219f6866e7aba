//! The arrows between modules (docs/design.md): which module may use which, where `unsafe` may
//! stand, who may read a clock; and that docs/limits.md tells the truth, and docs/rfc.md names tests that there
//! are. The tables are at the top; a violation names file, line and arrow.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use drawbridge::media::DropReason;
use drawbridge::relay::Stall;

/// Each module of the core, with the modules that it may use. `base` is the shared vocabulary.
const CORE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("sip", &["base"]),
    ("sdp", &["base"]),
    ("rtp", &["base"]),
    ("numbering", &["base"]),
    ("admission", &["base"]),
    ("transaction", &["base", "sip", "admission"]),
    ("dialog", &["base", "sip", "transaction"]),
    ("routing", &["base", "numbering"]),
    ("media", &["base", "rtp"]),
    ("b2bua", &["base", "sip", "sdp", "numbering", "admission", "transaction", "dialog", "routing", "media"]),
];

/// Modules of the shell. They may use the core and each other; the core may use none of them.
const SHELL: &[&str] =
    &["admin", "app", "cli", "config", "relay", "resolver", "runtime", "telemetry", "transport"];

/// Where a path from the crate's root may point that is no module.
const ROOT_FILES: &[&str] = &["lib", "main"];

/// Words that stand for a library or a service of the shell, and must not be seen in the core.
const NOT_IN_THE_CORE: &[&str] =
    &["tokio::", "prometheus::", "toml::", "std::net::UdpSocket", "std::fs::", "std::thread::", "axum::"];

/// The only module that may hold `unsafe`.
const UNSAFE: &str = "relay";

/// The modules that may read a clock, and what reading one looks like. The resolver does it because
/// its library says until when an answer is valid on the clock that it reads itself.
const CLOCKS: &[&str] = &["runtime", "resolver"];
const CLOCK_READS: &[&str] = &["Instant::now(", "SystemTime::now("];

#[test]
fn every_arrow_points_the_way_the_design_says() {
    let mut faults = String::new();
    for file in sources() {
        let Some(from) = module_of(&file) else { continue };
        let Some((_, allowed)) = CORE.iter().find(|(module, _)| *module == from) else { continue };
        for (line, to) in crate_paths(&file.text) {
            let is_allowed = to == from || allowed.contains(&to.as_str()) || !is_module(&to);
            if !is_allowed {
                let at = file.path.display();
                writeln!(faults, "{at}:{line}: {from} → {to} is no arrow of the design").unwrap();
            }
        }
    }
    expect_none(&faults);
}

#[test]
fn every_module_is_in_a_table() {
    let mut faults = String::new();
    for file in sources() {
        let Some(module) = module_of(&file) else { continue };
        if !is_module(&module) && !ROOT_FILES.contains(&module.as_str()) {
            writeln!(faults, "{}:1: module {module} is in no table", file.path.display()).unwrap();
        }
    }
    expect_none(&faults);
}

#[test]
fn the_core_knows_no_library_of_the_shell() {
    expect_words_only_in(NOT_IN_THE_CORE, |module| !CORE.iter().any(|(core, _)| *core == module));
}

#[test]
fn unsafe_stands_in_the_relay_only() {
    expect_words_only_in(&["unsafe {", "unsafe fn", "unsafe impl"], |module| module == UNSAFE);
}

#[test]
fn clocks_are_read_at_the_edge_only() {
    expect_words_only_in(CLOCK_READS, |module| CLOCKS.contains(&module));
}

fn expect_words_only_in(words: &[&str], may: impl Fn(&str) -> bool) {
    let mut faults = String::new();
    for file in sources() {
        let Some(module) = module_of(&file).filter(|module| !may(module)) else { continue };
        for (number, line) in code_lines(&file.text) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                writeln!(faults, "{}:{number}: `{word}` in {module}", file.path.display()).unwrap();
            }
        }
    }
    expect_none(&faults);
}

/// Each row of docs/limits.md names constants and the file that they are in, and the first value of the
/// row is that of the first of them, where the code writes it as a number.
#[test]
fn the_bounds_are_what_the_documentation_says() {
    let sources = sources();
    let mut faults = String::new();
    for row in include_str!("../docs/limits.md").lines() {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, names, value, .., file, _] = cells[..] else { continue };
        let file = file.trim_matches('`');
        let is_constant = |name: &&str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let constants = names.split('`').filter(|name| name.len() > 2).filter(is_constant);
        for (place, name) in constants.enumerate() {
            let source = sources.iter().find(|source| source.path == Path::new(file));
            let found = source.and_then(|source| {
                let line = source.text.lines().find(|line| line.contains(&format!("const {name}:")))?;
                Some(line.split("= ").nth(1)?.trim_end_matches(';').replace('_', ""))
            });
            let Some(found) = found else {
                writeln!(faults, "docs/limits.md: there is no {name} in {file}").unwrap();
                continue;
            };
            let is_number = found.bytes().all(|byte| byte.is_ascii_digit());
            let told: String = value.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
            if place == 0 && is_number && told.replace(',', "") != found {
                writeln!(faults, "docs/limits.md: {name} is {found}, not {told}").unwrap();
            }
        }
    }
    expect_none(&faults);
}

/// docs/rfc.md and docs/providers.md say which test shows what; whoever renames one is told.
#[test]
fn the_tests_that_the_documentation_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts: Vec<String> = ["src", "tests"]
        .iter()
        .flat_map(|folder| texts_in(root.join(folder), &|_| true))
        .map(|(_, text)| text)
        .collect();
    let mut faults = String::new();
    let pages = [
        ("docs/rfc.md", include_str!("../docs/rfc.md")),
        ("docs/providers.md", include_str!("../docs/providers.md")),
    ];
    for (page, text) in pages {
        for word in text.split('`').skip(1).step_by(2).filter(|word| is_sentence(word)) {
            if !texts.iter().any(|text| text.contains(&format!("fn {word}("))) {
                writeln!(faults, "{page}: there is no test {word}").unwrap();
            }
        }
    }
    expect_none(&faults);
}

/// The head of the engine says which file of the call machine does what; none is left out.
#[test]
fn the_table_of_the_engine_names_each_file_beside_it() {
    let head: String =
        include_str!("../src/b2bua/engine.rs").lines().take_while(|line| line.starts_with("//!")).collect();
    let mut faults = String::new();
    for source in sources() {
        let Ok(file) = source.path.strip_prefix("b2bua") else { continue };
        let (file, is_beside) = (file.display().to_string(), file.components().count() == 1);
        if is_beside && file != "mod.rs" && file != "engine.rs" && !head.contains(&format!("`{file}`")) {
            writeln!(faults, "src/b2bua/engine.rs: its head does not name {file}").unwrap();
        }
    }
    expect_none(&faults);
}

/// docs/media.md has a row for each reason for which media is dropped, and for each for which it waits.
#[test]
fn each_reason_of_the_relay_is_explained() {
    let page = include_str!("../docs/media.md");
    let drops = DropReason::ALL.into_iter().map(DropReason::as_str);
    let stalls = Stall::ALL.into_iter().map(Stall::as_str);
    let mut faults = String::new();
    for reason in drops.chain(stalls) {
        if !page.lines().any(|line| line.starts_with(&format!("| `{reason}` |"))) {
            writeln!(faults, "docs/media.md: there is no row for {reason}").unwrap();
        }
    }
    expect_none(&faults);
}

/// Whether a word is the name of a test: four words or more, in small letters.
fn is_sentence(word: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    word.bytes().all(is_plain) && word.bytes().filter(|byte| *byte == b'_').count() >= 3
}

fn expect_none(faults: &str) {
    assert!(faults.is_empty(), "\n{faults}(the tables are at the top of tests/architecture.rs)");
}

struct Source {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts = texts_in(root.clone(), &|path| !is_of_tests(path)).into_iter();
    let sources: Vec<Source> = texts
        .map(|(path, text)| Source { path: path.strip_prefix(&root).unwrap().to_owned(), text })
        .collect();
    assert!(sources.len() > 20, "src/ was not found");
    sources
}

/// Every Rust file of a folder and of those in it that count.
fn texts_in(root: PathBuf, counts: &dyn Fn(&Path) -> bool) -> Vec<(PathBuf, String)> {
    let mut texts = Vec::new();
    let mut open = vec![root];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if !counts(&path) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                texts.push((path, text));
            }
        }
    }
    texts
}

/// `tests.rs` and what is under `tests/`: real sockets want real time.
fn is_of_tests(path: &Path) -> bool {
    path.file_stem().is_some_and(|name| name == "tests")
}

/// The first part of the path: `b2bua/engine.rs` and `b2bua.rs` are of `b2bua`.
fn module_of(file: &Source) -> Option<String> {
    let first = file.path.iter().next()?.to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

fn is_module(name: &str) -> bool {
    SHELL.contains(&name) || CORE.iter().any(|(module, _)| *module == name)
}

/// Lines with their numbers, without comments and without the tests at a file's end.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    numbered
        .take_while(|(_, line)| *line != "mod tests {")
        .map(|(number, line)| (number, line.split("//").next().unwrap_or("")))
}

/// Every module that is named after `crate::`, also in `use crate::{a::…, b::…}` over many lines.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let mut code = String::new();
    for (_, line) in code_lines(text) {
        code.push_str(line);
        code.push('\n');
    }
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(heads_of_group(group).into_iter().map(|head| (line, head)));
        } else {
            found.push((line, head_of(rest)));
        }
    }
    found
}

/// The first name of each path of a `{…}` group, whose brace is already gone.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(head_of(group[start..at].trim_start()));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn head_of(path: &str) -> String {
    path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text =
        "use crate::{\n    a::{X, Y},\n    b,\n};\n// crate::c\nfn f() -> crate::d::E { crate::f() }\n";
    let found: Vec<String> = crate_paths(text).into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["a", "b", "d", "f"]);
}
