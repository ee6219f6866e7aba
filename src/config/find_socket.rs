//! Where the admin socket is, for commands that talk to a daemon. It may run with an older file, so that
//! faults of this one are nobody's business here.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::DEFAULT_SOCKET;
use super::expand::Surroundings;
use super::source::read_main;

/// `admin.socket` of a configuration that may be wrong, unreadable or missing: then the default. `None`:
/// it says that there is none.
pub fn find_socket(config: &Path) -> Option<PathBuf> {
    let text = read_main(config).unwrap_or_default();
    let written = written(&text);
    let socket = written.unwrap_or_else(|| DEFAULT_SOCKET.to_owned());
    (!socket.is_empty()).then(|| PathBuf::from(socket))
}

fn written(text: &str) -> Option<String> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let DeValue::Table(admin) = tree.get_ref().get("admin")?.get_ref() else { return None };
    let DeValue::String(socket) = admin.get("socket")?.get_ref() else { return None };
    let expanded = Surroundings::of_this_process().expand(socket).ok()?;
    Some(expanded.unwrap_or_else(|| socket.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_found_beside_faults() {
        assert_eq!(written("[admin]\nsocket = \"/run/x.sock\"\n"), Some("/run/x.sock".to_owned()));
        let faulty = "[node]\nname = sbc1\n[admin]\nlisten = 5\nsocket = \"/run/x.sock\"\n[realm.trusted\n";
        assert_eq!(written(faulty), Some("/run/x.sock".to_owned()));
        assert_eq!(written("[admin]\nsocket = 5\n"), None);
        let missing = find_socket(Path::new("/nonexistent/drawbridge.toml"));
        assert_eq!(missing.as_deref(), Some(Path::new(DEFAULT_SOCKET)));
    }
}
