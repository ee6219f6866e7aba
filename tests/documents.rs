//! README.md and docs/: every link within the project leads to a file that there is, and to a title in it; and every page
//! is in the index.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod markdown;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use markdown::anchor;
use regex::Regex;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        docs.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.extend([root().join("README.md"), root().join("CHANGELOG.md")]);
    pages
}

/// The text without what stands in fenced blocks and in code.
fn prose(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    let mut is_block = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let title = Regex::new(r"(?m)^#+ (.+)$").unwrap();
    title.captures_iter(&prose(page)).map(|found| anchor(&found[1])).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let (mut broken, mut followed) = (Vec::new(), 0);
    for page in pages() {
        for found in link.captures_iter(&prose(&page)) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (file, title) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = file.exists() && (title.is_empty() || anchors(&file).contains(title));
            followed += 1;
            if !is_there {
                broken.push(format!("{}: {target}", page.file_name().unwrap().display()));
            }
        }
    }
    assert!(followed > 100, "only {followed} were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_is_in_the_index() {
    let index = std::fs::read_to_string(root().join("docs/README.md")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        let is_of_docs = page.parent().unwrap().ends_with("docs") && name != "README.md";
        assert!(!is_of_docs || index.contains(&format!("({name})")), "docs/README.md does not name {name}");
    }
}
