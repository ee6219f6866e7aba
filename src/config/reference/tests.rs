//! The table says what the code does: each key is read and none is missing, each default is what is taken, each
//! bound is the last that is taken, and what waits for a restart is what says so.

use std::collections::BTreeSet;
use std::path::Path;

use expect_test::expect_file;
use toml::{Table, Value};

use super::super::source::Kind;
use super::super::{Config, Fault, Source, Surroundings, check, diff, known_keys, reader};
use super::*;
use crate::transport::Authority;

/// Something to set each key in. Of files that TLS wants, those called "old" stand here, and those called "sbc" in the examples.
const BASE: &str = r#"
[[listener]]
realm = "trusted"
bind = "127.0.0.1:5060"
[[listener]]
realm = "untrusted"
bind = "127.0.0.2:5060"
[[listener]]
realm = "untrusted"
transport = "tls"
bind = "127.0.0.2:5061"
tls = { certificate = "OLD/old.pem", key = "OLD/old.key" }
[[listener]]
realm = "untrusted"
transport = "tcp"
bind = "127.0.0.2:5062"
[realm.trusted]
media_bind = "127.0.0.1"
[realm.untrusted]
media_bind = "127.0.0.2"
[trunk.a]
host = "a.example.com"
username = "bob"
password = "x"
transport = "udp"
[trunk.secure]
host = "192.0.2.7"
transport = "tls"
tls = { ca = "OLD/ca.pem", certificate = "OLD/old.pem", key = "OLD/old.key" }
[trunk.several]
hosts = [{ host = "c.example.com" }]
transport = "udp"
[trunk.sinch]
host = "d.example.com"
transport = "udp"
[trunk.b]
host = "e.example.com"
transport = "udp"
[[route]]
from = "a"
trunks = ["several", "secure", "sinch", "b"]
[[route]]
from = "trusted"
trunks = [[{ trunk = "a" }]]
"#;

/// What has tests of its own, and does not show in a comparison with a trunk that has a host; and what has one value.
const NOT_SEEN: [&str; 3] = ["trunk.NAME.profile", "trunk.NAME.region", "hep.transport"];
/// The authority that stands in the base.
const OLD_CA: &str = "\"OLD/ca.pem\"";
/// With this value a listener or a trunk wants certificates.
const NEEDS_FILES: &str = "tls";

struct Site {
    old: Authority,
    new: Authority,
}

impl Site {
    fn new(name: &str) -> Site {
        let (old, new) = (Authority::new(&format!("{name}-old")), Authority::new(&format!("{name}-new")));
        old.sign("old");
        new.sign("sbc");
        Site { old, new }
    }

    /// The base with these keys, as TOML writes their values.
    fn with(&self, keys: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
        let directory = |authority: &Authority| authority.ca().parent().unwrap().display().to_string();
        let mut all: Table = BASE.replace("OLD", &directory(&self.old)).parse().unwrap();
        for (path, value) in keys {
            let value = value.replace("/etc/drawbridge/tls", &directory(&self.new));
            let value = value.replace("OLD", &directory(&self.old));
            put(&mut all, path, &value);
        }
        read(&[("drawbridge.toml", &all.to_string(), Kind::Main)])
    }

    /// What it says instead.
    fn config(&self, keys: &[(&str, &str)]) -> Config {
        self.with(keys).unwrap_or_else(|faults| panic!("{keys:?}: {faults:?}"))
    }
}

fn read(files: &[(&str, &str, Kind)]) -> Result<Config, Vec<Fault>> {
    let source =
        |(name, text, kind): &(&str, &str, Kind)| Source::new((*name).to_owned(), (*text).to_owned(), *kind);
    let sources: Vec<_> = files.iter().map(source).collect();
    let variable = |_: &str| Some("hunter2".to_owned());
    let file = |_: &Path| Ok("hunter3".to_owned());
    check(&sources, &Surroundings::new(&variable, &file))
}

/// Sets a key of the table of keys in the base.
fn put(all: &mut Table, path: &str, value: &str) {
    let value =
        format!("it = {value}").parse::<Table>().unwrap_or_else(|error| panic!("{path}: {error}"))["it"]
            .clone();
    let names: Vec<&str> = path.split('.').collect();
    let top = all.entry(names[0]).or_insert_with(|| Value::Table(Table::new()));
    let (table, rest): (&mut Table, &[&str]) = match names.as_slice() {
        ["listener", "realm"] => (item(top, 3), &names[1..]),
        ["listener", "tls", ..] => (item(top, 2), &names[1..]),
        ["listener", ..] => (item(top, 0), &names[1..]),
        ["realm", ..] => (top["trusted"].as_table_mut().unwrap(), &names[2..]),
        ["trunk", _, "hosts", ..] => (item(&mut top["several"]["hosts"], 0), &names[3..]),
        ["trunk", _, "tls", ..] => (top["secure"].as_table_mut().unwrap(), &names[2..]),
        ["trunk", ..] => (top["a"].as_table_mut().unwrap(), &names[2..]),
        ["route", "trunks", _] => (item(&mut item(top, 1)["trunks"][0], 0), &names[2..]),
        ["route", ..] => (item(top, 0), &names[1..]),
        _ => (top.as_table_mut().unwrap(), &names[1..]),
    };
    match rest {
        [outer, inner] => {
            let outer = table.entry(*outer).or_insert_with(|| Value::Table(Table::new()));
            if !outer.is_table() {
                *outer = Value::Table(Table::new());
            }
            outer.as_table_mut().unwrap().insert((*inner).to_owned(), value);
        }
        [name] => drop(table.insert((*name).to_owned(), value)),
        _ => panic!("{path}"),
    }
}

fn item(list: &mut Value, index: usize) -> &mut Table {
    list.as_array_mut().unwrap()[index].as_table_mut().unwrap()
}

/// What must stand beside a key for it to mean anything.
fn beside(path: &str) -> Vec<(&'static str, &'static str)> {
    let of = |wanted: &str| path == wanted;
    match path {
        "trunk.NAME.caller_id.allowed" | "trunk.NAME.caller_id.otherwise" => {
            vec![("trunk.NAME.caller_id.default", r#""+442079460000""#)]
        }
        "hep.collector" => Vec::new(),
        _ if path.starts_with("hep.") => vec![("hep.collector", r#""192.0.2.7""#)],
        "cdr.sync" | "cdr.journal" => vec![("cdr.path", r#""/var/log/drawbridge/cdr.jsonl""#)],
        "cdr.post.url" => vec![("cdr.path", r#""/var/log/drawbridge/cdr.jsonl""#)],
        // Of https, whose authorities are read, too.
        "cdr.post.ca" => vec![("cdr.post.url", r#""https://192.0.2.9/cdr""#), ("cdr.post.ca", OLD_CA)],
        _ if path.starts_with("cdr.post.") => {
            vec![
                ("cdr.path", r#""/var/log/drawbridge/cdr.jsonl""#),
                ("cdr.post.url", r#""http://192.0.2.9/cdr""#),
            ]
        }
        "trunk.NAME.match.domain" => vec![("trunk.NAME.match.to", r#"["+33*"]"#)],
        "trunk.NAME.health.timeout" => vec![("trunk.NAME.health.interval", r#""1h""#)],
        "calls.min_session_expires" => vec![("calls.session_expires", r#""0s""#)],
        "trunk.NAME.calls.min_session_expires" => vec![("trunk.NAME.calls.session_expires", r#""0s""#)],
        _ if path.starts_with("trunk.NAME.match.") => {
            vec![("trunk.NAME.match.domain", r#"["x.example.com"]"#)]
        }
        _ if path.starts_with("trunk.NAME.register.") && !of("trunk.NAME.register") => {
            vec![("trunk.NAME.register", "{}")]
        }
        _ => Vec::new(),
    }
}

/// A certificate and its key change together.
fn twin(path: &str) -> Option<(&'static str, &'static str)> {
    let (sbc, key) = (r#""/etc/drawbridge/tls/sbc.pem""#, r#""/etc/drawbridge/tls/sbc.key""#);
    match path {
        "listener.tls.certificate" => Some(("listener.tls.key", key)),
        "listener.tls.key" => Some(("listener.tls.certificate", sbc)),
        "trunk.NAME.tls.certificate" => Some(("trunk.NAME.tls.key", key)),
        "trunk.NAME.tls.key" => Some(("trunk.NAME.tls.certificate", sbc)),
        _ => None,
    }
}

fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys.iter())
}

/// The site without and with a value of a key, and what must stand beside it.
fn before_and_after(site: &Site, key: &Key, value: &str) -> (Config, Config) {
    let mut all = beside(key.path);
    let before = site.config(&all);
    all.extend(twin(key.path));
    all.push((key.path, value));
    (before, site.config(&all))
}

#[test]
fn docs_configuration_md_is_this_table() {
    expect_file!["../../../docs/configuration.md"].assert_eq(&page());
}

#[test]
fn every_key_that_is_read_is_in_the_table_and_no_other() {
    let authority = Authority::new("reference-all");
    authority.sign("sbc");
    let directory = authority.ca().parent().unwrap().display().to_string();
    let uncommented = |text: &str| known_keys::uncommented(text).replace("/etc/drawbridge/tls", &directory);
    let several = "[trunk.several]\ntransport = \"udp\"\nhosts = [{ host = \"192.0.2.77\" }]\nregister = false\ncalls = {}\nnumbering = {}\n\
                   [trunk.regional]\nprofile = \"sinch\"\nregion = \"euc1\"\nusername = \"u\"\npassword = \"p\"\ntransport = \"udp\"\n\
                   [[route]]\nname = \"s\"\nfrom = \"several\"\ntrunks = [[{ trunk = \"pbx\" }]]\n";
    reader::ASKED.take();
    let loaded = read(&[
        ("drawbridge.toml", &uncommented(known_keys::FIRST), Kind::Main),
        ("trunks.d/a.toml", &uncommented(known_keys::SAMPLE), Kind::Trunks),
        ("trunks.d/b.toml", several, Kind::Trunks),
    ]);
    assert!(loaded.is_ok(), "{:?}", loaded.err());
    let places = regex::Regex::new(r"\[\d+\]").unwrap();
    let names = regex::Regex::new(r"^(trunk|realm)\.[^.]+").unwrap();
    let in_packs = regex::Regex::new(r"^(title|needs|region|lint)(\.|$)").unwrap();
    let asked: BTreeSet<String> = reader::ASKED
        .take()
        .iter()
        .map(|path| names.replace(&places.replace_all(path, ""), "$1.NAME").into_owned())
        .filter(|path| !in_packs.is_match(path))
        .collect();
    let known: BTreeSet<String> = keys().map(|key| key.path.to_owned()).collect();
    let is_table = |path: &String| known.iter().any(|key| key.starts_with(&format!("{path}.")));
    let missing: Vec<_> = asked.iter().filter(|path| !known.contains(*path) && !is_table(path)).collect();
    assert!(missing.is_empty(), "write rows for {missing:?}");
    let unread: Vec<_> = known.iter().filter(|path| !asked.contains(*path)).collect();
    assert!(unread.is_empty(), "nothing reads {unread:?}");
}

#[test]
fn every_key_of_the_table_is_one_that_the_samples_show() {
    for key in keys() {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(known_keys::is_known(name), "{} is in no sample of etc/", key.path);
    }
    assert_eq!(
        keys().map(|key| key.path).collect::<BTreeSet<_>>().len(),
        keys().count(),
        "a key is there twice"
    );
}

#[test]
fn every_default_that_is_told_is_the_one_that_is_taken() {
    let site = Site::new("reference-defaults");
    let mut written = 0;
    for key in keys() {
        if let Unset::As(value) = key.default {
            let (before, after) = before_and_after(&site, key, value);
            assert_eq!(diff(&before, &after), [""; 0], "{} = {value} is not the default", key.path);
            written += 1;
        }
    }
    assert!(written > 40, "{written}");
}

#[test]
fn every_example_is_taken_and_changes_something() {
    let site = Site::new("reference-examples");
    for key in keys().filter(|key| !NOT_SEEN.contains(&key.path)) {
        let (before, after) = before_and_after(&site, key, key.example);
        assert_ne!(diff(&before, &after), [""; 0], "{} = {} changes nothing", key.path, key.example);
    }
}

#[test]
fn what_waits_for_a_restart_says_so() {
    let site = Site::new("reference-restart");
    for key in keys().filter(|key| !NOT_SEEN.contains(&key.path)) {
        let (running, mut new) = before_and_after(&site, key, key.example);
        let waits = !new.keep_until_restart(&running).is_empty();
        assert_eq!(key.takes == Takes::Restart, waits, "{}", key.path);
    }
}

#[test]
fn every_required_key_is_missed() {
    let site = Site::new("reference-required");
    for key in keys().filter(|key| key.default == Unset::Required) {
        let name = key.path.rsplit('.').next().unwrap();
        let mut all: Table =
            BASE.replace("OLD", &site.old.ca().parent().unwrap().display().to_string()).parse().unwrap();
        put(&mut all, key.path, "\"TAKE ME OUT\"");
        let line = format!("{name} = \"TAKE ME OUT\"");
        let text = all.to_string();
        let without =
            text.replace(&format!("{line}, "), "").replace(&format!(", {line}"), "").replace(&line, "");
        assert!(!without.contains("TAKE"), "{}: {without}", key.path);
        let faults = read(&[("drawbridge.toml", &without, Kind::Main)]).expect_err(key.path);
        let is_told = faults.iter().any(|fault| fault.message.contains(name) || fault.key.contains(name));
        assert!(is_told, "{}: {faults:?}", key.path);
    }
}

#[test]
fn bounds_and_words_are_the_last_that_are_taken() {
    let site = Site::new("reference-bounds");
    let tried = |key: &Key, value: &str| {
        let mut all = beside(key.path);
        all.push((key.path, value));
        site.with(&all)
    };
    let taken = |key: &Key, value: &str| {
        let faults = tried(key, value).err();
        assert!(faults.is_none(), "{} = {value}: {faults:?}", key.path);
    };
    let refused = |key: &Key, value: &str| {
        let faults = tried(key, value).expect_err(&format!("{} = {value}", key.path));
        let name = key.path.rsplit('.').next().unwrap();
        assert!(faults.iter().any(|fault| fault.key.ends_with(name)), "{} = {value}: {faults:?}", key.path);
    };
    for key in keys() {
        match key.values {
            Values::Any(_) => {}
            Values::OneOf(words) => {
                let words = words.iter().filter(|word| **word != NEEDS_FILES);
                words.for_each(|word| taken(key, &format!("\"{word}\"")));
                refused(key, "\"nonsense\"");
            }
            Values::Between(low, high) | Values::OrZero(low, high, _) => {
                taken(key, low);
                taken(key, high);
                beyond(low, -1).iter().chain(&beyond(high, 1)).for_each(|value| refused(key, value));
            }
        }
        if let Values::OrZero(..) = key.values {
            taken(key, "\"0s\"");
        }
    }
}

/// The next value below or above, where there is one.
fn beyond(bound: &str, step: i64) -> Option<String> {
    let text = bound.trim_matches('"');
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: i64 = digits.parse().unwrap();
    let (number, unit) = match &text[digits.len()..] {
        "" => (number, ""),
        "us" => (number, "us"),
        "ms" if step > 0 => (number * 1_000, "us"),
        "ms" => (number, "ms"),
        "s" => (number * 1_000, "ms"),
        "m" => (number * 60_000, "ms"),
        "h" => (number * 3_600_000, "ms"),
        "MB" => (number * 1_000, "kB"),
        "GB" => (number * 1_000_000, "kB"),
        unit => panic!("{unit}"),
    };
    let next = Some(number + step).filter(|next| *next >= 0)?;
    Some(if unit.is_empty() { next.to_string() } else { format!("\"{next}{unit}\"") })
}

#[test]
fn a_key_is_found_by_its_path_its_end_and_a_word_of_it() {
    let found = |asked: &str| find(asked).iter().map(|(_, key)| key.path).collect::<Vec<_>>();
    assert_eq!(found("media.timeout"), ["media.timeout"]);
    assert_eq!(found("[trunk.sinch] latch"), ["trunk.NAME.latch"]);
    assert_eq!(found("trunk.sinch.health.interval"), ["trunk.NAME.health.interval"]);
    assert_eq!(found("realm.trusted.allow"), ["realm.NAME.allow"]);
    assert_eq!(found("cps"), ["node.limits.cps", "trunk.NAME.limits.cps"]);
    assert_eq!(found("dns"), ["dns.nameservers"]);
    assert_eq!(found("server_name"), ["trunk.NAME.tls.server_name"]);
    assert_eq!(found("hunter2"), [""; 0]);
}

#[test]
fn a_key_is_explained_on_a_terminal() {
    let (section, key) = find("failover.timeout")[0];
    expect_test::expect![[r#"
        trunk.NAME.failover.timeout, duration
          where     failover.timeout below [trunk.NAME]
          default   "4s"
          values    "500ms" to "32s"
          change    takes effect on reload, for new calls
          example   failover = { timeout = "2s" }
          what for  The same after so long without any answer to the INVITE.
    "#]]
    .assert_eq(&explained(section, key));
}
