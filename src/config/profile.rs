//! Provider packs: what is known of a provider, so that five values make a trunk. `profile = "sinch"`
//! fills in what the trunk does not say itself, and the pack's rules tell what cannot work there.
//!
//! A pack is a TOML file: `title`, `[needs]` (what only the operator knows, with what to write),
//! `[trunk]` (keys of a trunk), `[region.NAME]` (`addresses`, and a `trunk` before the pack's own) and
//! `[[lint]]`. Those of etc/profiles are built in; one of the same name in `profiles.d/` comes before.
//! The rules are data, but for one: a region that is named by addresses is named by all of them.

use regex::Regex;
use toml::de::{DeTable, DeValue};

use super::reader::{Filled, Place, Report, Table, Text, Value};
use super::source::{Kind, Source};
use super::syntax::{self, SyntaxFault};
use crate::numbering::whole_user_pattern;

/// A pack's name and text.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../etc/profiles/", $name, ".toml")))),*]
    };
}

/// The packs that come with the program.
const BUILT_IN: &[(&str, &str)] = built_in![
    "plain",
    "asterisk",
    "freepbx",
    "freeswitch",
    "elevenlabs",
    "signalwire",
    "signalwire-app",
    "sinch",
    "telnyx",
    "twilio",
    "vonage",
    "vonage-programmable",
];
/// Where the package puts them, to be read.
const SHIPPED_AT: &str = "/usr/share/drawbridge/profiles";

/// Of two such keys the nearer one counts alone: who writes `hosts` wants no `host` of a profile.
pub(super) fn excludes(key: &str) -> Option<&'static str> {
    match key {
        "host" => Some("hosts"),
        "hosts" => Some("host"),
        _ => None,
    }
}

/// The files of the configuration, and the packs that are built in behind them.
pub(super) fn with_built_in(sources: &[Source]) -> Vec<Source> {
    let built_in = BUILT_IN.iter().map(|(name, text)| {
        Source::new(format!("{SHIPPED_AT}/{name}.toml"), (*text).to_owned(), Kind::Profile)
    });
    sources.iter().cloned().chain(built_in).collect()
}

/// Every pack that a trunk may name.
pub(super) struct Packs<'a>(Vec<Pack<'a>>);

struct Pack<'a> {
    name: &'a str,
    source: usize,
    tree: DeTable<'a>,
    /// Why there is nothing in the tree.
    syntax: Vec<SyntaxFault>,
}

impl<'a> Packs<'a> {
    /// The packs among these files. Faults in them are kept for [`Packs::note_faults`].
    pub(super) fn parse(sources: &'a [Source]) -> Packs<'a> {
        let packs = sources.iter().enumerate().filter(|(_, source)| source.kind == Kind::Profile);
        let parse = |(index, source): (usize, &'a Source)| {
            let (tree, errors) = DeTable::parse_recoverable(&source.text);
            let syntax = syntax::faults(&source.text, &errors);
            let tree = if syntax.is_empty() { tree.into_inner() } else { DeTable::new() };
            Pack { name: stem(&source.name), source: index, tree, syntax }
        };
        Packs(packs.map(parse).collect())
    }

    /// Notes what is wrong in the packs themselves. What their trunks say is read where they are used.
    pub(super) fn note_faults(&self, report: &Report<'_>) {
        for pack in &self.0 {
            let start = Place { source: pack.source, span: 0..0 };
            for fault in &pack.syntax {
                report.syntax(pack.source, fault.clone());
            }
            if pack.syntax.is_empty() {
                note_faults_of(&Table::new("", start, &pack.tree, report));
            }
        }
    }

    fn find(&self, name: &str) -> Option<&Pack<'a>> {
        self.0.iter().find(|pack| pack.name == name)
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|pack| pack.name).collect()
    }
}

fn note_faults_of(root: &Table<'_>) {
    if let Some(title) = root.required("title", "\"The provider's name\"") {
        title.literal();
    }
    let tables = |key| root.value(key).and_then(|value| value.table());
    for (_, need) in tables("needs").iter().flat_map(Table::entries) {
        need.literal();
    }
    let _ = tables("trunk");
    for (_, region) in tables("region").iter().flat_map(Table::entries) {
        let Some(region) = region.table() else { continue };
        if let Some(addresses) = region.value("addresses") {
            addresses.texts().unwrap_or_default().iter().for_each(|text| {
                text.address();
            });
        }
        let _ = region.value("trunk").and_then(|value| value.table());
        region.finish();
    }
    for lint in root.value("lint").and_then(|value| value.list()).unwrap_or_default() {
        let Some(table) = lint.table() else { continue };
        for key in ["key", "message", "cure"] {
            table.required(key, "\"…\"").and_then(|value| value.literal());
        }
        for key in ["level", "is", "is_not", "absent"] {
            table.value(key);
        }
        table.finish();
        if Lint::of(table.raw()).is_none() {
            lint.fault(
                "is no rule",
                "write key, message, cure, level = \"fault\" or \"warning\", and one of is, is_not and absent",
            );
        }
    }
    root.finish();
}

/// Puts the trunk's profile behind it, where it names one.
pub(super) fn fill(table: Table<'_>) -> Table<'_> {
    let Some(value) = table.value("profile") else { return table };
    let Some(text) = value.text() else { return table };
    let packs = table.report.packs;
    let Some(pack) = packs.find(&text.text) else {
        // Known all the same: one fault is enough.
        table.value("region");
        let names = packs.names();
        let cure = match Table::nearest(&text.text, &names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of {}", names.join(", ")),
        };
        text.fault("is no profile", cure);
        return table;
    };
    let region = pack.region(&table);
    let behind = [region.and_then(|region| sub_table(region, "trunk")), sub_table(&pack.tree, "trunk")];
    let behind = behind.into_iter().flatten().collect();
    table.filled_by(behind, Filled { profile: pack.name, place: value.place })
}

/// Notes what a trunk lacks, and what cannot work at its provider. To be called when it was read.
pub(super) fn check(table: &Table<'_>) {
    let Some(filled) = table.filled() else { return };
    let Some(pack) = table.report.packs.find(filled.profile) else { return };
    pack.check_needs(table, filled);
    pack.check_addresses(table);
    for lint in pack.lints() {
        lint.check(table, filled);
    }
}

/// What to write for a key that only the operator knows, as its profile says it.
pub(super) fn cure<'a>(table: &Table<'a>, key: &str) -> Option<&'a str> {
    let pack = table.report.packs.find(table.filled()?.profile)?;
    text_of(sub_table(&pack.tree, "needs")?, key)
}

impl Pack<'_> {
    /// The region that a trunk names, or that its hosts are of.
    fn region<'p>(&'p self, table: &Table<'_>) -> Option<&'p DeTable<'p>> {
        let regions = sub_table(&self.tree, "region");
        let Some(regions) = regions else {
            if let Some(value) = table.peek("region") {
                table.value("region");
                value.fault(format!("profile {} has no regions", self.name), "leave region out");
            }
            return None;
        };
        let Some(named) = table.value("region") else {
            let hosts = hosts_of(table);
            let is_of = |region: &&DeTable<'_>| hosts.iter().any(|host| is_host_of(region, &host.2));
            return regions.values().filter_map(|region| region.get_ref().as_table()).find(is_of);
        };
        let text = named.text()?;
        sub_table(regions, &text.text).or_else(|| {
            self.fault_region(regions, &text);
            // In the place of the one that is meant: what it would have filled in is no fault of its own.
            regions.values().find_map(|region| region.get_ref().as_table())
        })
    }

    fn fault_region(&self, regions: &DeTable<'_>, text: &Text<'_>) {
        let names: Vec<&str> = regions.keys().map(|name| name.get_ref().as_ref()).collect();
        let cure = match Table::nearest(&text.text, &names) {
            Some(near) => format!("did you mean \"{near}\"? There are {}", names.join(", ")),
            None => format!("write one of {}", names.join(", ")),
        };
        text.fault(&format!("is no region of profile {}", self.name), cure);
    }

    fn check_needs(&self, table: &Table<'_>, filled: &Filled<'_>) {
        let mut needs: Vec<_> = sub_table(&self.tree, "needs").into_iter().flatten().collect();
        needs.sort_by_key(|(key, _)| key.span().start);
        for (key, cure) in needs {
            let (key, cure) = (key.get_ref().as_ref(), cure.get_ref().as_str().unwrap_or_default());
            // These have faults of their own: one of two, and nowhere to send to.
            let told_elsewhere = match key {
                "username" => table.peek("password").is_some(),
                "password" => table.peek("username").is_some(),
                "host" => true,
                _ => false,
            };
            if !told_elsewhere && table.peek(key).is_none() {
                let message = format!("{key} is missing: profile {} cannot know it", self.name);
                table.report.fault(&filled.place, &format!("{}.{key}", table.path), message, cure);
            }
        }
    }

    /// Who names a region by its addresses names all of them: the one that is named may be down.
    fn check_addresses(&self, table: &Table<'_>) {
        let hosts = hosts_of(table);
        let regions = sub_table(&self.tree, "region").into_iter().flat_map(DeTable::values);
        for region in regions.filter_map(|region| region.get_ref().as_table()) {
            let addresses = addresses_of(region);
            let named = hosts.iter().find(|(_, _, host)| addresses.contains(&host.as_str()));
            let missing: Vec<&str> = addresses
                .iter()
                .copied()
                .filter(|address| !hosts.iter().any(|(_, _, host)| host == address))
                .collect();
            if let (Some((path, place, _)), false) = (named, missing.is_empty()) {
                let all: Vec<_> =
                    addresses.iter().map(|address| format!("{{ host = \"{address}\" }}")).collect();
                let name = sub_table(region, "trunk").and_then(|trunk| text_of(trunk, "host"));
                let or = name.map_or(String::new(), |name| format!(", or better host = \"{name}\""));
                let cure = format!("write hosts = [{}]{or}", all.join(", "));
                let message =
                    format!("the region has {}, too, and this one may be down", missing.join(" and "));
                table.report.fault(place, path, message, cure);
            }
        }
    }

    fn lints(&self) -> Vec<Lint<'_>> {
        let list = self.tree.get("lint").and_then(|value| value.get_ref().as_array());
        let lints = list.into_iter().flatten().filter_map(|item| item.get_ref().as_table());
        lints.filter_map(Lint::of).collect()
    }
}

/// A rule of a provider about a key of a trunk.
struct Lint<'p> {
    /// Dotted; "host" stands for `hosts` as well.
    key: &'p str,
    rule: Rule,
    is_fault: bool,
    message: &'p str,
    cure: &'p str,
}

enum Rule {
    /// Broken by a value that this matches as a whole.
    Is(Regex),
    /// Broken by a value that this does not match.
    IsNot(Regex),
    /// Broken where nothing is said.
    Absent,
}

impl<'p> Lint<'p> {
    fn of(table: &'p DeTable<'_>) -> Option<Lint<'p>> {
        let text = |key| text_of(table, key);
        let pattern = |key| text(key).map(whole_user_pattern);
        let rule = match (pattern("is"), pattern("is_not"), table.contains_key("absent")) {
            (Some(pattern), None, false) => Rule::Is(pattern.ok()?),
            (None, Some(pattern), false) => Rule::IsNot(pattern.ok()?),
            (None, None, true) => Rule::Absent,
            _ => return None,
        };
        let is_fault = match text("level")? {
            "fault" => true,
            "warning" => false,
            _ => return None,
        };
        Some(Lint { key: text("key")?, rule, is_fault, message: text("message")?, cure: text("cure")? })
    }

    fn check(&self, table: &Table<'_>, filled: &Filled<'_>) {
        let found = values_at(table, self.key);
        let breaks = |text: &str| match &self.rule {
            Rule::Is(pattern) => pattern.is_match(text),
            Rule::IsNot(pattern) => !pattern.is_match(text),
            Rule::Absent => false,
        };
        if found.is_empty() && matches!(self.rule, Rule::Absent) {
            self.note(table.report, &filled.place, &format!("{}.{}", table.path, self.key));
        }
        for (path, place, _) in found.iter().filter(|(_, _, text)| breaks(text)) {
            self.note(table.report, place, path);
        }
    }

    fn note(&self, report: &Report<'_>, place: &Place, path: &str) {
        match self.is_fault {
            true => report.fault(place, path, self.message, self.cure),
            false => report.warn(place, path, self.message, self.cure),
        }
    }
}

/// Path, place and text of every value at a dotted key.
fn values_at(table: &Table<'_>, key: &str) -> Vec<(String, Place, String)> {
    if key == "host" {
        return hosts_of(table);
    }
    let mut names = key.split('.');
    let mut value = names.next().and_then(|name| table.peek(name));
    for name in names {
        value = value.filter(Value::is_table).and_then(|value| value.table()?.peek(name));
    }
    value.map(|value| value.plain_texts()).unwrap_or_default()
}

/// Every host of a trunk, as it is written, in lower case.
fn hosts_of(table: &Table<'_>) -> Vec<(String, Place, String)> {
    let single = table.peek("host").map(|value| value.plain_texts()).unwrap_or_default();
    let several = table.peek("hosts").filter(Value::is_list).and_then(|value| value.list());
    let listed = several
        .unwrap_or_default()
        .into_iter()
        .filter(Value::is_table)
        .filter_map(|item| item.table()?.peek("host").map(|value| value.plain_texts()));
    let hosts = single.into_iter().chain(listed.flatten());
    hosts.map(|(path, place, host)| (path, place, host.trim_end_matches('.').to_ascii_lowercase())).collect()
}

fn is_host_of(region: &DeTable<'_>, host: &str) -> bool {
    let name = sub_table(region, "trunk").and_then(|trunk| text_of(trunk, "host"));
    name == Some(host) || addresses_of(region).contains(&host)
}

fn addresses_of<'p>(region: &'p DeTable<'_>) -> Vec<&'p str> {
    let list = region.get("addresses").and_then(|value| value.get_ref().as_array());
    list.into_iter().flatten().filter_map(|item| item.get_ref().as_str()).collect()
}

fn sub_table<'p, 'a>(table: &'p DeTable<'a>, key: &str) -> Option<&'p DeTable<'a>> {
    table.get(key).and_then(|value| value.get_ref().as_table())
}

fn text_of<'p>(table: &'p DeTable<'_>, key: &str) -> Option<&'p str> {
    table.get(key).and_then(|value| match value.get_ref() {
        DeValue::String(text) => Some(text.as_ref()),
        _ => None,
    })
}

/// `sinch` of `…/sinch.toml`.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// A pack as people read it.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What a trunk names it by.
    pub name: String,
    /// The provider.
    pub title: String,
    /// The whole file, with its sources in comments.
    pub text: String,
    /// The file, where it is the operator's own.
    pub own: Option<String>,
}

/// The packs among these files, each name once, and those that are built in.
pub(super) fn list(sources: &[Source]) -> Vec<Profile> {
    let own = sources.iter().filter(|source| source.kind == Kind::Profile);
    let own = own.map(|source| (stem(&source.name), source.text.as_str(), Some(source.name.clone())));
    let built_in = BUILT_IN.iter().map(|(name, text)| (*name, *text, None));
    let mut profiles: Vec<Profile> = Vec::new();
    for (name, text, own) in own.chain(built_in) {
        if profiles.iter().any(|profile| profile.name == name) {
            continue;
        }
        let tree = DeTable::parse(text).map(toml::Spanned::into_inner).unwrap_or_default();
        let title = text_of(&tree, "title").unwrap_or_default().to_owned();
        profiles.push(Profile { name: name.to_owned(), title, text: text.to_owned(), own });
    }
    profiles.sort_by(|a, b| a.name.cmp(&b.name));
    profiles
}
