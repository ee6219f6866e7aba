//! Which trunk a message comes from: by source address, longest prefix first, and among the trunks of
//! one prefix by what the request says of itself (`matching.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::matching::{self, Fit, Misfit, RequestFacts};
use super::query::Query;
use super::settings::{Host, Settings, Trunk, TrunkHost};
use crate::base::{ByRealm, Realm, Transport, TrunkName};

/// Two trunks of one realm that claim the same source, with nothing that always tells their calls apart:
/// then the first in the order of the configuration gets them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ambiguity {
    /// The side.
    pub realm: Realm,
    /// What both claim.
    pub source: SharedSource,
    /// Who gets the calls.
    pub first: TrunkName,
    /// Who does not.
    pub second: TrunkName,
    /// Their hosts have different ports, which tells their calls apart as long as they come by UDP.
    pub by_port: bool,
}

/// A source of two trunks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SharedSource {
    /// A network or an address.
    Net(IpNet),
    /// The addresses of a name.
    Name(String),
}

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SharedSource::Net(net) if net.prefix_len() == net.max_prefix_len() => write!(f, "{}", net.addr()),
            SharedSource::Net(net) => write!(f, "{net}"),
            SharedSource::Name(name) => f.write_str(name),
        }
    }
}

/// The ambiguities that the configuration alone shows: of `allow`, of literal hosts, and of names that
/// two trunks have. What names resolve to is not looked at.
pub fn ambiguities(settings: &Settings) -> Vec<Ambiguity> {
    let mut sources = Sources::default();
    let mut names: BTreeMap<(bool, &str), Vec<Claimant>> = BTreeMap::new();
    for (index, trunk) in settings.trunks.iter().enumerate() {
        sources.claim_literal(trunk, index);
        for host in &trunk.hosts {
            if let Host::Name(name) = &host.host {
                let claimants = names.entry((trunk.realm == Realm::Trusted, name)).or_default();
                claim(claimants, index, Some(port_of(trunk, host)));
            }
        }
    }
    let mut found = sources.ambiguities(settings);
    for ((_, name), claimants) in &names {
        confused(settings, &SharedSource::Name((*name).to_owned()), claimants, &mut found);
    }
    found
}

/// A trunk that a source may be of.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Claimant {
    /// Its place in the settings.
    index: usize,
    /// The ports of its hosts that are this source.
    ports: Vec<u16>,
}

/// A trunk that has the source of a request, and whether the request is its.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    /// The network or address by which the source is its.
    pub entry: IpNet,
    /// The trunk.
    pub trunk: &'a TrunkName,
    /// Why the request is its, or why it is not.
    pub fit: Result<Fit, Misfit>,
}

/// Sources to trunks, in the order of the settings.
#[derive(Clone, Default, Debug)]
pub(super) struct Sources {
    tables: ByRealm<Table>,
}

#[derive(Clone, Default, Debug)]
struct Table {
    v4: PrefixMap<Ipv4Net, Vec<Claimant>>,
    v6: PrefixMap<Ipv6Net, Vec<Claimant>>,
}

impl Sources {
    /// `resolved` gives the addresses and ports that a query led to.
    pub(super) fn build(settings: &Settings, resolved: impl Fn(&Query) -> BTreeSet<SocketAddr>) -> Sources {
        let mut sources = Sources::default();
        for (index, trunk) in settings.trunks.iter().enumerate() {
            sources.claim_literal(trunk, index);
            for at in trunk.queries().flat_map(|query| resolved(&query)) {
                sources.claim(trunk, index, IpNet::from(at.ip()), Some(at.port()));
            }
        }
        sources
    }

    /// The first trunk, and the network or address by which the source is its.
    pub(super) fn find(&self, realm: Realm, address: IpAddr) -> Option<(IpNet, usize)> {
        let (entry, claimants) = self.covering(realm, address).pop()?;
        claimants.first().map(|claimant| (entry, claimant.index))
    }

    /// Every trunk that has the source of a request: whose it is comes first, if it is anybody's. A
    /// longer prefix comes before a shorter one, a better fit before one that is less good, and else
    /// counts the order of the configuration. `registered`: whose Contact of ours the request is for.
    pub(super) fn claims<'s>(
        &self,
        settings: &'s Settings,
        registered: Option<&BTreeSet<TrunkName>>,
        realm: Realm,
        facts: &RequestFacts<'_>,
    ) -> Vec<Claim<'s>> {
        let mut claims: Vec<Claim<'s>> = Vec::new();
        for (entry, claimants) in self.covering(realm, facts.source.ip()).into_iter().rev() {
            let trunks = claimants.iter().filter_map(|claimant| {
                let trunk = settings.trunks.get(claimant.index)?;
                let is_registered = registered.is_some_and(|known| known.contains(&trunk.name));
                let fit = matching::fit(trunk, is_registered, &claimant.ports, facts);
                Some(Claim { entry, trunk: &trunk.name, fit })
            });
            // Who claims the source twice has its closer claim.
            let known: Vec<&TrunkName> = claims.iter().map(|claim| claim.trunk).collect();
            let mut here: Vec<Claim<'s>> = trunks.filter(|claim| !known.contains(&claim.trunk)).collect();
            here.sort_by_key(|claim| std::cmp::Reverse(claim.fit.as_ref().ok().map(Fit::rank)));
            claims.extend(here);
        }
        // Nobody but whoever registered it knows that Contact.
        claims.sort_by_key(|claim| claim.fit.as_ref().map_or(2, |fit| u8::from(!fit.is_registered)));
        claims
    }

    /// Every entry that has an address, the longest last.
    fn covering(&self, realm: Realm, address: IpAddr) -> Vec<(IpNet, &[Claimant])> {
        let table = &self.tables[realm];
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let found = table.v4.cover(&Ipv4Net::from(address));
                found.map(|(net, claimants)| (IpNet::V4(net), claimants.as_slice())).collect()
            }
            IpAddr::V6(address) => {
                let found = table.v6.cover(&Ipv6Net::from(address));
                found.map(|(net, claimants)| (IpNet::V6(net), claimants.as_slice())).collect()
            }
        }
    }

    /// What a trunk may send from, as far as the configuration alone says it.
    fn claim_literal(&mut self, trunk: &Trunk, index: usize) {
        for source in &trunk.allow {
            self.claim(trunk, index, *source, None);
        }
        for host in &trunk.hosts {
            if let Host::Address(address) = host.host {
                self.claim(trunk, index, IpNet::from(address), Some(port_of(trunk, host)));
            }
        }
    }

    fn claim(&mut self, trunk: &Trunk, index: usize, source: IpNet, port: Option<u16>) {
        let table = &mut self.tables[trunk.realm];
        let claimants = match canonical(source) {
            IpNet::V4(net) => table.v4.entry(net).or_default(),
            IpNet::V6(net) => table.v6.entry(net).or_default(),
        };
        claim(claimants, index, port);
    }

    /// The pairs of trunks of which nothing says whose a call is.
    pub(super) fn ambiguities(&self, settings: &Settings) -> Vec<Ambiguity> {
        let mut found = Vec::new();
        for realm in Realm::ALL {
            let Table { v4, v6 } = &self.tables[realm];
            let v4 = v4.iter().map(|(net, claimants)| (IpNet::V4(net), claimants));
            let v6 = v6.iter().map(|(net, claimants)| (IpNet::V6(net), claimants));
            for (net, claimants) in v4.chain(v6) {
                confused(settings, &SharedSource::Net(net), claimants, &mut found);
            }
        }
        found
    }
}

fn claim(claimants: &mut Vec<Claimant>, index: usize, port: Option<u16>) {
    match claimants.iter_mut().find(|claimant| claimant.index == index) {
        Some(claimant) => claimant.ports.extend(port),
        None => claimants.push(Claimant { index, ports: port.into_iter().collect() }),
    }
}

/// Where a host's calls come from, if it sends from where it listens.
fn port_of(trunk: &Trunk, host: &TrunkHost) -> u16 {
    host.port.unwrap_or(trunk.transport.unwrap_or(Transport::Udp).default_port())
}

/// Adds the pairs among the trunks of one source that nothing tells apart.
fn confused(settings: &Settings, source: &SharedSource, claimants: &[Claimant], found: &mut Vec<Ambiguity>) {
    for (at, second) in claimants.iter().enumerate() {
        for first in claimants.iter().take(at) {
            let pair = (settings.trunks.get(first.index), settings.trunks.get(second.index));
            let (Some(one), Some(other)) = pair else { continue };
            if !one.matching.is_confused_with(&other.matching) {
                continue;
            }
            let is_disjoint = !first.ports.iter().any(|port| second.ports.contains(port));
            found.push(Ambiguity {
                realm: one.realm,
                source: source.clone(),
                first: one.name.clone(),
                second: other.name.clone(),
                by_port: is_disjoint && !first.ports.is_empty() && !second.ports.is_empty(),
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
