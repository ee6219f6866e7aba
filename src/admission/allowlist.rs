//! The allowlists of both realms as longest-prefix tries: one look-up a datagram.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixSet;

use super::Settings;
use crate::base::{ByRealm, Realm};

/// Who may speak: the configured networks, and the resolved addresses of trunk hosts.
#[derive(Clone, Debug, Default)]
pub struct Allowlist {
    settings: Settings,
    /// By the key that resolved to them (a trunk's host name).
    resolved: ByRealm<BTreeMap<String, Vec<IpAddr>>>,
    tries: ByRealm<Tries>,
}

#[derive(Clone, Debug, Default)]
struct Tries {
    v4: PrefixSet<Ipv4Net>,
    v6: PrefixSet<Ipv6Net>,
}

impl Allowlist {
    /// The configured networks alone.
    pub fn new(settings: Settings) -> Allowlist {
        let mut list = Allowlist::default();
        list.replace(settings);
        list
    }

    /// Takes another configuration; resolved addresses stay until they are set or forgotten.
    pub fn replace(&mut self, settings: Settings) {
        self.settings = settings;
        for realm in Realm::ALL {
            self.rebuild(realm);
        }
    }

    /// The addresses of `key` (a trunk's host name) in a realm, instead of those set before. None:
    /// the key is forgotten.
    pub fn set_resolved(&mut self, realm: Realm, key: &str, addresses: &[IpAddr]) {
        if addresses.is_empty() {
            self.resolved[realm].remove(key);
        } else {
            self.resolved[realm].insert(key.to_owned(), addresses.to_vec());
        }
        self.rebuild(realm);
    }

    /// Forgets the keys of a realm for which `keep` says no (hosts that a reload removed).
    pub fn retain_resolved(&mut self, realm: Realm, keep: impl Fn(&str) -> bool) {
        self.resolved[realm].retain(|key, _| keep(key));
        self.rebuild(realm);
    }

    /// Whether this source may speak to the realm's listeners. An IPv4-mapped IPv6 address is the
    /// IPv4 address (RFC 4291 §2.5.5.2).
    pub fn allows(&self, realm: Realm, source: IpAddr) -> bool {
        let tries = &self.tries[realm];
        match source.to_canonical() {
            IpAddr::V4(address) => tries.v4.get_lpm(&Ipv4Net::from(address)).is_some(),
            IpAddr::V6(address) => tries.v6.get_lpm(&Ipv6Net::from(address)).is_some(),
        }
    }

    /// The entry that lets this source in, for `explain`.
    pub fn entry(&self, realm: Realm, source: IpAddr) -> Option<IpNet> {
        let tries = &self.tries[realm];
        match source.to_canonical() {
            IpAddr::V4(address) => tries.v4.get_lpm(&Ipv4Net::from(address)).map(IpNet::V4),
            IpAddr::V6(address) => tries.v6.get_lpm(&Ipv6Net::from(address)).map(IpNet::V6),
        }
    }

    fn rebuild(&mut self, realm: Realm) {
        let mut tries = Tries::default();
        for net in &self.settings.allow[realm] {
            tries.insert(*net);
        }
        for address in self.resolved[realm].values().flatten() {
            tries.insert(IpNet::from(address.to_canonical()));
        }
        self.tries[realm] = tries;
    }
}

impl Tries {
    fn insert(&mut self, net: IpNet) {
        match net {
            IpNet::V4(v4) => {
                self.v4.insert(v4.trunc());
            }
            IpNet::V6(v6) => match mapped(v6) {
                Some(v4) => {
                    self.v4.insert(v4);
                }
                None => {
                    self.v6.insert(v6.trunc());
                }
            },
        }
    }
}

/// The IPv4 network that an IPv4-mapped IPv6 network means.
fn mapped(net: Ipv6Net) -> Option<Ipv4Net> {
    let length = net.prefix_len().checked_sub(96)?;
    let address = net.addr().to_ipv4_mapped()?;
    Ipv4Net::new(address, length).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(trusted: &[&str], untrusted: &[&str]) -> Allowlist {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let allow = ByRealm { trusted: nets(trusted), untrusted: nets(untrusted) };
        Allowlist::new(Settings { allow, ..Settings::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_and_single_addresses_of_one_realm_only() {
        let list = list(&["10.0.0.0/8", "192.168.7.9/32", "2001:db8::/32"], &[]);
        for source in ["10.255.0.1", "192.168.7.9", "2001:db8:1::1", "::ffff:10.0.0.1"] {
            assert!(list.allows(Realm::Trusted, ip(source)), "{source}");
            assert!(!list.allows(Realm::Untrusted, ip(source)), "{source}");
        }
        for source in ["11.0.0.1", "192.168.7.8", "2001:db9::1", "::a00:1"] {
            assert!(!list.allows(Realm::Trusted, ip(source)), "{source}");
        }
        assert_eq!(list.entry(Realm::Trusted, ip("10.1.2.3")), Some("10.0.0.0/8".parse().unwrap()));
    }

    #[test]
    fn an_empty_list_allows_nobody_and_zero_everybody() {
        assert!(!list(&[], &[]).allows(Realm::Untrusted, ip("127.0.0.1")));
        let open = list(&["0.0.0.0/0"], &["::ffff:192.0.2.0/120"]);
        assert!(open.allows(Realm::Trusted, ip("203.0.113.1")));
        assert!(!open.allows(Realm::Trusted, ip("2001:db8::1")));
        assert!(open.allows(Realm::Untrusted, ip("192.0.2.77")));
    }

    #[test]
    fn resolved_addresses_come_and_go_with_their_key() {
        let mut list = list(&[], &["192.0.2.1/32"]);
        list.set_resolved(Realm::Untrusted, "a.example", &[ip("192.0.2.1"), ip("192.0.2.2")]);
        list.set_resolved(Realm::Untrusted, "b.example", &[ip("192.0.2.2")]);
        assert!(list.allows(Realm::Untrusted, ip("192.0.2.2")));
        list.set_resolved(Realm::Untrusted, "a.example", &[]);
        assert!(list.allows(Realm::Untrusted, ip("192.0.2.2")), "b.example still says so");
        assert!(list.allows(Realm::Untrusted, ip("192.0.2.1")), "the configuration still says so");
        list.retain_resolved(Realm::Untrusted, |_| false);
        assert!(!list.allows(Realm::Untrusted, ip("192.0.2.2")));
    }
}
