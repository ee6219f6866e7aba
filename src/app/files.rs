//! What the configuration wants of open files: every media port is one, every connection, every listener.

use crate::base::Realm;
use crate::config::Config;
use crate::relay::open_files_limit;

/// Connections, listeners, rings, the log, the records, and some to spare.
const BESIDE_MEDIA: u64 = 2_048;
/// RTP and RTCP on both sides, of two streams.
const FILES_A_CALL: u64 = 8;

/// Says at the start what the first calls that do not fit would say: each hears 503.
pub(super) fn warn_of_few(config: &Config) {
    let wanted = wanted(config);
    let limit = u64::from(open_files_limit());
    if (1..wanted).contains(&limit) {
        tracing::warn!(
            limit,
            wanted,
            "too few files may be open for all ports of media.ports: when they run out, calls are answered 503; \
             give the service LimitNOFILE={wanted} (systemctl edit drawbridge), a shell ulimit -Hn {wanted}, or \
             fewer ports, or node.limits.calls"
        );
    }
}

/// As many files as there can be at once.
fn wanted(config: &Config) -> u64 {
    let (first, last) = config.media.ports;
    let ports = u64::from(last.saturating_sub(first)) + 1;
    let addresses: usize = Realm::ALL.iter().map(|realm| config.media.realms[*realm].addresses.len()).sum();
    let calls = config.routing.limits.calls.map_or(u64::MAX, |calls| u64::from(calls) * FILES_A_CALL);
    (ports * addresses as u64).min(calls) + BESIDE_MEDIA
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_a_file_unless_fewer_calls_may_be() {
        let parse = |more: &str| {
            let text = format!(
                "[[listener]]\nrealm = \"trusted\"\nbind = \"127.0.0.1:5060\"\n[[listener]]\nrealm = \"untrusted\"\n\
                 bind = \"127.0.0.2:5060\"\n[realm.trusted]\nmedia_bind = \"127.0.0.1\"\n[realm.untrusted]\n\
                 media_bind = [\"127.0.0.2\", \"::1\"]\n[media]\nports = \"10000-20000\"\n{more}"
            );
            crate::config::parse("a.toml", &text).unwrap()
        };
        assert_eq!(wanted(&parse("")), 3 * 10_000 + BESIDE_MEDIA);
        assert_eq!(wanted(&parse("[node]\nlimits = { calls = 100 }\n")), 800 + BESIDE_MEDIA);
    }
}
