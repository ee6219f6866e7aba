//! Where each key belongs, for who has written one in another place. Read from the samples in `etc/`, which
//! have every key (a test sees to it), and from the reference.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use toml::de::{DeTable, DeValue};

use super::reference::SECTIONS;

pub(super) const FIRST: &str = include_str!("../../etc/drawbridge.toml");
pub(super) const SAMPLE: &str = include_str!("../../etc/trunks.d/example.toml.sample");

/// Whether there is a key of this name anywhere.
pub(super) fn is_known(key: &str) -> bool {
    homes().contains_key(key)
}

/// How to write a key that stands in the wrong table, where there is one of this name; in a trunk, what
/// belongs to trunks is meant.
pub(super) fn belongs(key: &str, table: &str) -> Option<String> {
    let homes = homes().get(key)?;
    let of_trunks: Vec<&String> = homes.iter().filter(|home| home.ends_with("[trunk.NAME]")).collect();
    let is_in_trunk = table.starts_with("trunk.") && !of_trunks.is_empty();
    let meant = if is_in_trunk { of_trunks } else { homes.iter().collect() };
    Some(format!("it belongs {}", meant.into_iter().take(2).cloned().collect::<Vec<_>>().join(", or ")))
}

/// Where a key belongs that is one of a trunk's and of nothing else, unless it stands in a trunk.
pub(super) fn of_trunks(key: &str, table: &str) -> Option<&'static str> {
    let home = match homes().get(key)?.as_slice() {
        [home] => home,
        _ => return None,
    };
    (home == "below [trunk.NAME]" && !table.starts_with("trunk.")).then_some(home.as_str())
}

fn homes() -> &'static BTreeMap<String, Vec<String>> {
    static HOMES: OnceLock<BTreeMap<String, Vec<String>>> = OnceLock::new();
    HOMES.get_or_init(|| {
        let mut homes = BTreeMap::new();
        for text in [FIRST, SAMPLE] {
            let text = uncommented(text);
            let (tree, _) = DeTable::parse_recoverable(&text);
            walk(tree.get_ref(), &[], &mut homes);
        }
        // Those that the samples have in the middle of a comment.
        for path in SECTIONS.iter().flat_map(|section| section.keys.iter().map(|key| key.path)) {
            let parts: Vec<&str> = path.split('.').collect();
            if let [table @ .., key] = parts.as_slice() {
                homes.entry((*key).to_owned()).or_insert_with(|| vec![home(table)]);
            }
        }
        homes
    })
}

/// A sample with every setting that it has in a comment.
pub(super) fn uncommented(text: &str) -> String {
    let is_setting = |line: &str| line.starts_with('[') || (line.contains(" = ") && !line.contains(". "));
    let uncomment = |line: &str| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(uncomment).collect()
}

fn walk(table: &DeTable<'_>, path: &[&str], homes: &mut BTreeMap<String, Vec<String>>) {
    for (key, value) in table.iter() {
        let key = key.get_ref().as_ref();
        // Names of trunks and of headers are no keys.
        if !matches!(path, ["trunk"] | [.., "set"]) {
            let home = home(path);
            let all = homes.entry(key.to_owned()).or_default();
            if !home.is_empty() && !all.contains(&home) {
                all.push(home);
            }
        }
        let deeper: Vec<&str> = path.iter().copied().chain([key]).collect();
        match value.get_ref() {
            DeValue::Table(table) => walk(table, &deeper, homes),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(table) = item.get_ref() {
                        walk(table, &deeper, homes);
                    }
                }
            }
            _ => {}
        }
    }
}

/// As it is told to people; empty for the top of a file, where tables stand.
fn home(path: &[&str]) -> String {
    let table = |path: &[&str]| match path {
        ["trunk", _] => "[trunk.NAME]".to_owned(),
        [list @ ("listener" | "route")] => format!("[[{list}]]"),
        _ => format!("[{}]", path.join(".")),
    };
    match path {
        [] | ["trunk"] | ["realm"] => String::new(),
        ["trunk", _, inner] => format!("in {inner} = {{ … }} below [trunk.NAME]"),
        ["listener", inner] => format!("in {inner} = {{ … }} below [[listener]]"),
        _ => format!("below {}", table(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_it_belongs() {
        let told = |key: &str| belongs(key, "trunk.a").unwrap_or_default();
        assert_eq!(told("media_bind"), "it belongs below [realm.trusted], or below [realm.untrusted]");
        assert_eq!(told("password"), "it belongs below [trunk.NAME]");
        assert_eq!(told("cps"), "it belongs in limits = { … } below [trunk.NAME]");
        assert_eq!(of_trunks("latch", "media"), Some("below [trunk.NAME]"));
        assert_eq!((of_trunks("latch", "trunk.a"), of_trunks("batch", "media")), (None, None));
        assert_eq!(told("bind"), "it belongs below [[listener]]");
        assert_eq!((belongs("X-Site", ""), is_known("host"), is_known("hunter2")), (None, true, false));
    }
}
