//! The configuration: TOML files to checked settings, with every fault found at once.
//!
//! The files are parsed into trees that know the place of each value; the sections walk them with a
//! small reader that notes faults and goes on. So one run shows all that is wrong, each with file,
//! line, column, key and cure.
//!
//! Must not know: the runtime. Core modules own their settings; this fills them.

mod balance;
mod calls;
mod checks;
mod diff;
mod emergency;
mod expand;
mod fault;
mod find_socket;
mod health;
mod hep;
mod known_keys;
mod log;
mod matching;
mod numbers;
mod profile;
mod reader;
mod records;
pub mod reference;
mod registration;
mod relay;
mod sections;
mod service_user;
mod settings;
mod silence;
mod source;
mod streams;
mod syntax;
mod tls;
mod trunks;
mod values;

use std::path::Path;

pub use diff::diff;
pub use fault::Fault;
pub use find_socket::find_socket;
pub use profile::Profile;
pub use settings::{Admin, Config, HostPort, Listener, Log, Relay, RelayEngine};
pub use tls::{ListenerTls, TrunkClients};

pub use values::duration;

use expand::Surroundings;
use profile::Packs;
use reader::Report;
use source::Source;

/// Where the configuration is unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/drawbridge/drawbridge.toml";

/// Where the admin socket is unless the configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/drawbridge/admin.sock";

/// Reads FILE and every `*.toml` in `trunks.d/` and `profiles.d/` beside it, in name order. Either a configuration
/// without a fault, or all faults of all files in their order.
pub fn load(path: &Path) -> Result<Config, Vec<Fault>> {
    let sources = source::read_all(path)?;
    check(&sources, &Surroundings::of_this_process())
}

/// The same for `check`: with a warning for each file that the service's user could not read. Root reads all
/// of them, and would see nothing amiss.
pub fn load_for_the_service(path: &Path) -> Result<Config, Vec<Fault>> {
    let sources = source::read_all(path)?;
    check(&sources, &Surroundings::of_the_service())
}

/// The provider packs that trunks may name: those that are built in, and those in `profiles.d/` beside
/// FILE, as far as they can be read.
pub fn profiles(path: &Path) -> Vec<Profile> {
    profile::list(&source::read_profiles(path).unwrap_or_default())
}

/// Reads one text as if it were a file of this name: for configurations that are built in.
pub fn parse(name: &str, text: &str) -> Result<Config, Vec<Fault>> {
    let sources = vec![Source::new(name.to_owned(), text.to_owned(), source::Kind::Main)];
    check(&sources, &Surroundings::of_this_process())
}

fn check(sources: &[Source], surroundings: &Surroundings<'_>) -> Result<Config, Vec<Fault>> {
    let sources = profile::with_built_in(sources);
    let packs = Packs::parse(&sources);
    let report = Report::new(&sources, surroundings, &packs);
    packs.note_faults(&report);
    let config = sections::read(&sources, &report);
    let (mut faults, mut warnings) = report.into_parts();
    let by_place = |fault: &Fault| (fault.source, fault.line, fault.column);
    faults.sort_by_key(by_place);
    warnings.sort_by_key(by_place);
    match config {
        Some(config) if faults.is_empty() => Ok(Config { warnings, ..config }),
        Some(_) | None => Err(faults),
    }
}

#[cfg(test)]
mod tests;
