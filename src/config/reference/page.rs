//! docs/configuration.md, from the table.

use std::fmt::Write;

use super::{SECTIONS, Section, example};

const HEAD: &str = "\
# Every key of the configuration

This page is made from the program; `drawbridge keys` prints the same, `drawbridge keys KEY` one key. For what to write
first, see [quick-start.md](quick-start.md); for a provider, [providers.md](providers.md).

## The files

`/etc/drawbridge/drawbridge.toml` (`--config` names another), then every `*.toml` in `trunks.d/` beside it, in name order. It is
[TOML](https://toml.io/en/v1.0.0). Files in `trunks.d/` hold `[trunk.NAME]` and `[[route]]` alone. `profiles.d/` beside them may hold
provider packs of your own.

- `\"${NAME}\"` in any string is the environment variable NAME (the service reads `/etc/drawbridge/secrets.env`), `\"${file:PATH}\"` the
  contents of a file. What is absent is a fault.
- An unknown key is a fault, and the nearest known one is named. `drawbridge check` names every fault of every file with its
  place and its cure, and reads what the daemon would read.
- A duration is a whole number with its unit in quotes: `\"500ms\"`, `\"30s\"`, `\"5m\"`, `\"12h\"`; a day is the most.
- **Reload** (`drawbridge reload`, `systemctl reload drawbridge`, SIGHUP, or a change of the files on disk) takes a configuration
  whole, or refuses it whole. What has **reload** below takes effect then, for new calls: calls in progress keep what they began
  with. What has **reload, at once** holds for calls in progress, too. What has **restart** keeps its old value until then, and
  `drawbridge status` says so.
";

const TAIL: &str = "\
## profiles.d/NAME.toml

A provider pack: what `profile = \"NAME\"` in a trunk fills in. `drawbridge profiles` lists them, `drawbridge profiles sinch` prints one to
begin with. All of it takes effect on reload.

| key | type | what for |
|---|---|---|
| `title` | string, must be written | the provider's name |
| `[needs]` | table of strings | keys that only the operator knows, each with what to write; a trunk without one is refused with these words |
| `[trunk]` | table | keys of `[trunk.NAME]`; what the trunk says itself comes first, and tables are merged key by key |
| `[region.NAME]` `addresses` | list of addresses | a trunk whose hosts are one of them must have all of them |
| `[region.NAME]` `trunk` | table | keys that come before the pack's own where the trunk is of this region |
| `[[lint]]` `key` | string | the key of a trunk that the rule is about; `host` stands for `hosts`, too |
| `[[lint]]` `is`, `is_not` | regular expression | the rule is broken by a value that it matches, or does not match, as a whole |
| `[[lint]]` `absent` | `true` | the rule is broken where the key is not written |
| `[[lint]]` `level` | `\"fault\"`, `\"warning\"` | whether the configuration is refused |
| `[[lint]]` `message`, `cure` | string | what is wrong, and what to write instead |

## The environment

| variable | what for |
|---|---|
| `DRAWBRIDGE_LOG` | what is logged: `error`, `warn`, `info` (default), `debug` |
| `NO_COLOR` | not empty: no colours on a terminal |
";

/// The whole page.
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let _ = write!(text, "\n{}", of(section));
    }
    let _ = write!(text, "\n{TAIL}");
    text
}

fn of(section: &Section) -> String {
    let mut text = format!("## {}\n\n{}\n\n", section.table, section.text);
    text.push_str("| key | type | default | values | takes effect | example | what for |\n|---|---|---|---|---|---|---|\n");
    for key in section.keys {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | `{}` | {} |",
            section.short(key),
            key.kind,
            cell(&key.default.words()),
            cell(&key.values.words()),
            key.takes.words(),
            cell(&example(section, key)),
            cell(key.text)
        );
    }
    text
}

/// A bar ends a cell, also in code.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
