//! What is known of the names that trunks are configured with: their addresses, and when to ask
//! again. The core asks and is told; it never waits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::Instant;

/// No name is asked for more often than this, whatever its TTL.
pub const MIN_REFRESH: Duration = Duration::from_secs(5);
/// Every name is asked for at least this often, whatever its TTL.
pub const MAX_REFRESH: Duration = Duration::from_secs(3_600);
/// How long after a failed (or lost) look-up the next one follows.
pub const RETRY: Duration = Duration::from_secs(10);
/// So many addresses of one name are used.
pub const MAX_ADDRESSES: usize = 32;

/// The addresses of a name (RFC 1035).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// In the order of the answer; not empty.
    pub addresses: Vec<IpAddr>,
    /// How long the answer may be used (the smallest TTL in it).
    pub valid_for: Duration,
}

/// Why a name gave no address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ResolveFault {
    /// DNS answered: there is no such name, or it has no address.
    #[error("no such host, or it has no address")]
    NoSuchHost,
    /// DNS did not answer in time or refused: nothing is known about the host, and the last good
    /// addresses serve on.
    #[error("no answer from DNS")]
    NoAnswer,
}

/// Every name of the enabled and disabled trunks, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Hosts(BTreeMap<String, HostState>);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct HostState {
    addresses: Vec<IpAddr>,
    ask_at: Instant,
}

impl Hosts {
    /// Keeps what is known of the names that remain; new ones are due at once.
    pub(super) fn retain_only<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut old = std::mem::take(&mut self.0);
        for name in names {
            self.0.insert(name.to_owned(), old.remove(name).unwrap_or_default());
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn addresses(&self, name: &str) -> &[IpAddr] {
        self.0.get(name).map_or(&[], |host| &host.addresses)
    }

    /// The names to ask for now. Each becomes due again after [`RETRY`] should no answer come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<String> {
        let due = self.0.iter_mut().filter(|(_, host)| host.ask_at <= now);
        due.map(|(name, host)| {
            host.ask_at = now + RETRY;
            name.clone()
        })
        .collect()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().map(|host| host.ask_at).min()
    }

    /// Takes an answer; says whether the addresses are others than before.
    pub(super) fn answer(
        &mut self,
        name: &str,
        answer: Result<Resolution, ResolveFault>,
        now: Instant,
    ) -> bool {
        let Some(host) = self.0.get_mut(name) else { return false };
        let (addresses, ask_again) = match answer {
            Ok(Resolution { addresses, valid_for }) => {
                (canonical(addresses), valid_for.clamp(MIN_REFRESH, MAX_REFRESH))
            }
            Err(ResolveFault::NoSuchHost) => (Vec::new(), RETRY),
            Err(ResolveFault::NoAnswer) => (host.addresses.clone(), RETRY),
        };
        host.ask_at = now + ask_again;
        let changed = !same_set(&host.addresses, &addresses);
        // An answer in another order is no change, and DNS servers rotate theirs.
        host.addresses = addresses;
        changed
    }
}

fn canonical(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut unique = Vec::with_capacity(addresses.len().min(MAX_ADDRESSES));
    for address in addresses.into_iter().map(|address| address.to_canonical()) {
        if unique.len() < MAX_ADDRESSES && !unique.contains(&address) {
            unique.push(address);
        }
    }
    unique
}

fn same_set(a: &[IpAddr], b: &[IpAddr]) -> bool {
    a.len() == b.len() && a.iter().all(|address| b.contains(address))
}
