//! docs/providers.md: what it tells people to write is read, and says nothing wrong of a provider.

use super::super::*;
use super::{MINIMAL, read};

const PAGE: &str = include_str!("../../../docs/providers.md");

/// Each block of TOML of the page, with the line that it begins at.
fn blocks() -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(PAGE.lines()) {
        match line {
            "```toml" => {
                open = true;
                blocks.push((number, String::new()));
            }
            "```" => open = false,
            _ if open => {
                let (_, block) = blocks.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn every_file_that_the_page_tells_people_to_write_is_read_without_a_word() {
    let secret = regex::Regex::new(r"\$\{[A-Z_]+\}").unwrap();
    let blocks = blocks();
    assert!(blocks.len() >= 10, "{} blocks were found", blocks.len());
    for (line, block) in blocks {
        let block = secret.replace_all(&block, "$${SECRET}");
        let pbx = if block.contains("[trunk.pbx]") {
            ""
        } else {
            "[trunk.pbx]\nrealm = \"trusted\"\nhost = \"10.0.0.10\"\nenabled = false\n"
        };
        let main = format!("{MINIMAL}{pbx}");
        match read(&[("drawbridge.toml", &main), ("trunks.d/page.toml", &block)]) {
            Ok(config) => assert_eq!(config.warnings, [], "the block of line {line}"),
            Err(faults) => {
                let told: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
                panic!("the block of line {line}:\n{told}");
            }
        }
    }
}

#[test]
fn every_pack_has_its_place_in_the_page() {
    for pack in profiles(std::path::Path::new("/nonexistent/drawbridge.toml")) {
        assert!(PAGE.contains(&format!("profile = \"{}\"", pack.name)), "{}", pack.name);
    }
}

/// The addresses that the page tells are those of the packs.
#[test]
fn every_address_of_sinch_that_the_page_tells_is_in_the_pack() {
    let pack = include_str!("../../../etc/profiles/sinch.toml");
    let rows = PAGE.lines().filter(|line| line.contains(".sip.sinch.com |"));
    let told: Vec<&str> =
        rows.flat_map(|row| row.rsplit('|').nth(1).unwrap().split(',')).map(str::trim).collect();
    assert_eq!(told.len(), 10);
    assert!(told.iter().all(|address| pack.contains(&format!("\"{address}\""))), "{told:?}");
}

#[test]
fn every_requirement_has_a_row_that_names_its_test() {
    for number in 1..=31 {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| R{number} |")));
        let row = row.unwrap_or_else(|| panic!("R{number} has no row"));
        let is_its_test = |word: &str| word.starts_with(&format!("r{number}_"));
        assert!(row.split('`').any(is_its_test), "{row}");
    }
}
