//! Which trunk a message comes from: by source address, longest prefix first.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::query::Query;
use super::settings::{Host, Settings, Trunk};
use crate::base::{ByRealm, Realm, TrunkName};

/// Two trunks of one realm that claim the same source: the first in the order of the configuration
/// gets its calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ambiguity {
    /// The side.
    pub realm: Realm,
    /// The network or address that both claim.
    pub source: IpNet,
    /// Who gets the calls.
    pub first: TrunkName,
    /// Who does not.
    pub second: TrunkName,
}

/// The sources that two trunks claim by `allow` or by a literal host. Names are not looked at.
pub fn ambiguities(settings: &Settings) -> Vec<Ambiguity> {
    let mut sources = Sources::default();
    for (index, trunk) in settings.trunks.iter().enumerate() {
        for source in literal_sources(trunk) {
            sources.claim(settings, index, source);
        }
    }
    sources.ambiguities
}

/// What a trunk may send from, as far as the configuration alone says it.
pub(super) fn literal_sources(trunk: &Trunk) -> impl Iterator<Item = IpNet> + '_ {
    let hosts = trunk.hosts.iter().filter_map(|host| match host.host {
        Host::Address(address) => Some(IpNet::from(address)),
        Host::Name(_) => None,
    });
    trunk.allow.iter().copied().chain(hosts)
}

/// Sources to trunks (by their place in the settings).
#[derive(Clone, Default, Debug)]
pub(super) struct Sources {
    tables: ByRealm<Table>,
    pub(super) ambiguities: Vec<Ambiguity>,
}

#[derive(Clone, Default, Debug)]
struct Table {
    v4: PrefixMap<Ipv4Net, usize>,
    v6: PrefixMap<Ipv6Net, usize>,
}

impl Sources {
    /// `resolved` gives the addresses that a query led to.
    pub(super) fn build(settings: &Settings, resolved: impl Fn(&Query) -> BTreeSet<IpAddr>) -> Sources {
        let mut sources = Sources::default();
        for (index, trunk) in settings.trunks.iter().enumerate() {
            for source in literal_sources(trunk) {
                sources.claim(settings, index, source);
            }
            for address in trunk.queries().flat_map(|query| resolved(&query)) {
                sources.claim(settings, index, IpNet::from(address));
            }
        }
        sources
    }

    /// The trunk, and the network or address by which the source is its.
    pub(super) fn find(&self, realm: Realm, address: IpAddr) -> Option<(IpNet, usize)> {
        let table = &self.tables[realm];
        match address.to_canonical() {
            IpAddr::V4(address) => {
                table.v4.get_lpm(&Ipv4Net::from(address)).map(|(net, index)| (IpNet::V4(net), *index))
            }
            IpAddr::V6(address) => {
                table.v6.get_lpm(&Ipv6Net::from(address)).map(|(net, index)| (IpNet::V6(net), *index))
            }
        }
    }

    fn claim(&mut self, settings: &Settings, index: usize, source: IpNet) {
        let trunk = &settings.trunks[index];
        let table = &mut self.tables[trunk.realm];
        let claimed = match canonical(source) {
            IpNet::V4(net) => *table.v4.entry(net).or_insert(index),
            IpNet::V6(net) => *table.v6.entry(net).or_insert(index),
        };
        if claimed != index {
            self.ambiguities.push(Ambiguity {
                realm: trunk.realm,
                source,
                first: settings.trunks[claimed].name.clone(),
                second: trunk.name.clone(),
            });
        }
    }
}

/// An IPv4-mapped IPv6 network is the IPv4 network (RFC 4291 §2.5.5.2); host bits are cleared.
fn canonical(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && v6.prefix_len() >= 96
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Ok(v4) = Ipv4Net::new(v4, v6.prefix_len() - 96)
    {
        return IpNet::V4(v4.trunc());
    }
    net.trunc()
}
