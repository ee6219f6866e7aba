//! The tables that answer "from which trunk?", "to which trunks?" and "at which addresses?".

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::balance::{self, Selection, Turns};
use super::draw::{self, Ranked};
use super::health::{ProbeResult, TargetHealth, TargetKey, TargetsHealth};
use super::hosts::{HostReport, Hosts};
use super::matching::RequestFacts;
use super::registration::Registrations;
use super::sources::{Claim, Sources};
use super::switches::{Switched, Switches};
use super::tally::Tallies;
use super::{
    Ambiguity, CallLimits, Endpoint, Host, NumberPattern, Query, Reach, Resolution, ResolveFault, Route,
    RouteSource, Settings, Trunk, TrunkHost, host_text,
};
use crate::base::{ByRealm, Instant, PeerIdentity, Random, Realm, Transport, TrunkName};
use crate::numbering::Number;

/// Where a call came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ingress {
    /// The side whose listener received it.
    pub realm: Realm,
    /// The trunk that its source address belongs to.
    pub trunk: Option<TrunkName>,
}

/// Why there is nowhere to go.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoRoute {
    /// No route matches (404).
    #[error("no route matches")]
    NoMatch,
    /// The trunk that the call came from is disabled (503).
    #[error("trunk {0} is disabled and may send no calls")]
    IngressDisabled(TrunkName),
    /// The first route that matches has no enabled trunk (503). Later routes are not looked at:
    /// they are other rules, not a reserve.
    #[error("every trunk of route {route} is disabled")]
    AllDisabled {
        /// `name` of the route.
        route: String,
    },
}

/// One place to send a request to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// Whose it is.
    pub trunk: TrunkName,
    /// The host as it is configured: a name, or an address (without brackets).
    pub host: String,
    /// Where to send.
    pub address: SocketAddr,
    /// How to send.
    pub transport: Transport,
    /// Whom a TLS connection must lead to.
    pub identity: PeerIdentity,
}

/// Trunks, routes, and what is known of the trunks' names while running.
#[derive(Clone, Debug, Default)]
pub struct Router {
    settings: Settings,
    reach: ByRealm<Reach>,
    hosts: Hosts,
    sources: Sources,
    limits: CallLimits,
    /// Nothing is drawn: what a dry run says shall not change from one to the next.
    is_rehearsal: bool,
    switches: Switches,
    health: TargetsHealth,
    turns: Turns,
    ambiguities: Vec<Ambiguity>,
    /// Of them those that nobody was told of.
    new_ambiguities: Vec<Ambiguity>,
    pub(super) registrations: Registrations,
    pub(super) tallies: Tallies,
}

impl Router {
    /// A router that has resolved nothing yet, of a node that can send by everything.
    pub fn new(settings: Settings) -> Router {
        Router::reaching(settings, ByRealm { trusted: Reach::ALL, untrusted: Reach::ALL })
    }

    /// The same, of a node whose realms can send so. Listeners stay until a restart.
    pub fn reaching(settings: Settings, reach: ByRealm<Reach>) -> Router {
        let mut router = Router { reach, ..Router::default() };
        router.replace(settings);
        // The configuration's own are told when that is loaded.
        router.new_ambiguities.clear();
        router
    }

    /// Takes another configuration. Resolved addresses of names that remain, the counts of running
    /// calls, and what operators said of trunks whose `enabled` is as it was, are kept.
    pub fn replace(&mut self, settings: Settings) {
        self.switches.keep(&self.settings, &settings);
        self.settings = settings;
        self.hosts.retain_only(queries(&self.settings));
        self.limits.configure(self.settings.limits, &self.settings.trunks);
        self.turns.retain_only(&self.settings.routes);
        self.tallies.retain_only(&self.settings);
        self.rebuild_sources();
    }

    /// Draws nothing from now on: of equals the heavier comes first.
    pub fn rehearse(&mut self) {
        self.is_rehearsal = true;
    }

    /// The configuration in use.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Calls of each trunk and whether it may have more.
    pub fn limits(&mut self) -> &mut CallLimits {
        &mut self.limits
    }

    /// Calls in progress over a trunk, of both directions.
    pub fn calls_of(&self, trunk: &TrunkName) -> u32 {
        self.limits.calls(trunk)
    }

    /// An operator switches a trunk on or off; see [`Switched`]. Without effect on one that is not
    /// configured.
    pub fn switch(&mut self, trunk: &TrunkName, enabled: bool, now: Instant) {
        self.switches.set(&self.settings, trunk, enabled, now);
    }

    /// What an operator said of a trunk, where it differs from the configuration.
    pub fn switched(&self, trunk: &TrunkName) -> Option<Switched> {
        self.switches.get(trunk)
    }

    /// Whether calls may go over a trunk: as an operator said, else as the configuration says.
    pub fn is_enabled(&self, trunk: &TrunkName) -> bool {
        let configured = self.settings.trunk(trunk).is_some_and(|trunk| trunk.enabled);
        self.switches.get(trunk).map_or(configured, |switched| switched.enabled)
    }

    /// How the attempts at each trunk went.
    pub fn tallies(&mut self) -> &mut Tallies {
        &mut self.tallies
    }

    // Health.

    /// What is known of the targets.
    pub fn health(&mut self) -> &mut TargetsHealth {
        &mut self.health
    }

    /// Whether a target is up, as far as is known.
    pub fn is_up(&self, now: Instant, target: &TargetKey) -> bool {
        self.health.is_up(now, target)
    }

    /// What is known of a target; `None`: it is not watched.
    pub fn health_of(&self, now: Instant, target: &TargetKey) -> Option<TargetHealth> {
        self.health.of(now, target)
    }

    /// When a call may go to a target at the latest, should it be well then.
    pub fn back_at(&self, target: &TargetKey) -> Option<Instant> {
        self.health.back_at(target)
    }

    /// Watches the targets of every enabled trunk as they are now: to be called when names or
    /// settings have changed.
    pub fn follow_targets(&mut self, now: Instant, random: &mut Random) {
        let mut health = std::mem::take(&mut self.health);
        let enabled = |trunk: &TrunkName| self.is_enabled(trunk).then(|| self.all_targets(trunk));
        health.follow(now, random, &self.settings, |trunk| enabled(trunk).unwrap_or_default());
        self.health = health;
    }

    /// The next target to be probed now.
    pub fn take_due_probe(&mut self, now: Instant, random: &mut Random) -> Option<Target> {
        self.health.take_due_probe(now, random)
    }

    /// When [`Self::take_due_probe`] has something to do next.
    pub fn next_due_probe(&self) -> Option<Instant> {
        self.health.next_deadline()
    }

    /// What became of a probe.
    pub fn on_probe(&mut self, now: Instant, target: &TargetKey, result: ProbeResult) {
        self.health.on_probe(now, target, result);
    }

    /// No more probes.
    pub fn stop_probes(&mut self) {
        self.health.stop();
    }

    // Names and their addresses.

    /// Every query that trunks need an answer to.
    pub fn queries(&self) -> impl Iterator<Item = &Query> {
        self.hosts.queries()
    }

    /// What to look up now, and what would be of use: new names and those whose answer runs out. They
    /// are due again a little later should no word come.
    pub fn take_due(&mut self, now: Instant) -> Vec<(Query, Reach)> {
        let due = self.hosts.take_due(now);
        due.into_iter()
            .map(|query| {
                let reach = self.reach_of(&query);
                (query, reach)
            })
            .collect()
    }

    /// When [`Self::take_due`] has something next.
    pub fn next_due(&self) -> Option<Instant> {
        self.hosts.next_due()
    }

    /// Every name is due: the name servers are others.
    pub fn ask_all_again(&mut self, now: Instant) {
        self.hosts.ask_all_again(now);
    }

    /// Takes the answer to a look-up; says whether it leads elsewhere than the one before (then the
    /// allowlists want it). Without an answer the last good one serves on.
    pub fn resolved(
        &mut self,
        query: &Query,
        answer: Result<Resolution, ResolveFault>,
        now: Instant,
        random: &mut Random,
    ) -> bool {
        let changed = self.hosts.answer(query, answer, self.reach_of(query), now, random);
        if changed {
            self.rebuild_sources();
        }
        changed
    }

    /// The addresses that a query led to last, each once.
    pub fn addresses_of(&self, query: &Query) -> Vec<IpAddr> {
        self.hosts.addresses(query).into_iter().collect()
    }

    /// The realms in which trunks ask this: whose allowlists its addresses join.
    pub fn realms_of(&self, query: &Query) -> impl Iterator<Item = Realm> + '_ {
        let query = query.clone();
        Realm::ALL.into_iter().filter(move |realm| {
            let mut trunks = self.settings.trunks.iter().filter(|trunk| trunk.realm == *realm);
            trunks.any(|trunk| trunk.asks(&query))
        })
    }

    /// What is known of the names of a trunk.
    pub fn hosts_of(&self, trunk: &Trunk, now: Instant) -> Vec<HostReport> {
        trunk.queries().filter_map(|query| self.hosts.report(&query, now)).collect()
    }

    /// What is known of every name.
    pub fn hosts(&self, now: Instant) -> Vec<HostReport> {
        self.hosts.queries().filter_map(|query| self.hosts.report(query, now)).collect()
    }

    /// How the realms can send that ask this.
    fn reach_of(&self, query: &Query) -> Reach {
        self.realms_of(query).fold(Reach::default(), |reach, realm| reach.or(self.reach[realm]))
    }

    // Decisions.

    /// The trunk that a source belongs to: by its `allow`, its literal hosts and its names'
    /// addresses; the longest prefix wins. Disabled trunks are found too.
    pub fn trunk_of_source(&self, realm: Realm, source: IpAddr) -> Option<&TrunkName> {
        let (_, index) = self.sources.find(realm, source)?;
        self.settings.trunks.get(index).map(|trunk| &trunk.name)
    }

    /// The trunk that a request outside any dialog is of: of those that have its source, the one whose
    /// `match` it fits. `None`: it is nobody's.
    pub fn trunk_of_request(&self, realm: Realm, facts: &RequestFacts<'_>) -> Option<&TrunkName> {
        self.claims(realm, facts).first().filter(|claim| claim.fit.is_ok()).map(|claim| claim.trunk)
    }

    /// Every trunk that has the source of a request, with why the request is its or not. If it is
    /// anybody's, that trunk comes first.
    pub fn claims(&self, realm: Realm, facts: &RequestFacts<'_>) -> Vec<Claim<'_>> {
        self.sources.claims(&self.settings, self.registration_of(facts.user), realm, facts)
    }

    /// Sources of two trunks with nothing that tells their calls apart, resolved names counted in: those
    /// that came to be so since this was asked last.
    pub fn take_new_ambiguities(&mut self) -> Vec<Ambiguity> {
        std::mem::take(&mut self.new_ambiguities)
    }

    /// Where a call to `called` goes: the first route that matches, its enabled trunks. In which
    /// order they are tried says [`Self::order`].
    pub fn route(&self, ingress: &Ingress, called: &Number) -> Result<Selection, NoRoute> {
        if let Some(name) = &ingress.trunk
            && self.settings.trunk(name).is_some()
            && !self.is_enabled(name)
        {
            return Err(NoRoute::IngressDisabled(name.clone()));
        }
        let route = self.settings.routes.iter().find(|route| route.mismatch(ingress, called).is_none());
        let route = route.ok_or(NoRoute::NoMatch)?;
        let selection = Selection::of(route, &self.settings, |trunk| self.is_enabled(trunk));
        if selection.tiers.is_empty() {
            return Err(NoRoute::AllDisabled { route: route.name.clone() });
        }
        Ok(selection)
    }

    /// The order in which the trunks of a selection are tried: tier after tier, each as the route's
    /// `balance` says. `caller`: the number by which calls of one caller are known, or empty.
    pub fn order(&mut self, selection: &Selection, caller: &str, random: &mut Random) -> Vec<TrunkName> {
        balance::order(selection, caller, &mut self.turns, &self.limits, random)
    }

    /// Where to send a call for `trunk`, in order: its hosts by priority, the endpoints of each by
    /// theirs, and a draw by weight among equals (RFC 2782), anew each time. The addresses of one
    /// target of SRV stay together. A name that is not resolved gives none.
    pub fn targets(&self, trunk: &TrunkName, random: &mut Random) -> Vec<Target> {
        self.ordered_targets(trunk, Some(random).filter(|_| !self.is_rehearsal))
    }

    /// The same targets without a draw: of equals the heavier first.
    pub fn all_targets(&self, trunk: &TrunkName) -> Vec<Target> {
        self.ordered_targets(trunk, None)
    }

    /// Whether no host of a trunk has an address that could be sent to, and DNS is why.
    pub fn is_unresolved(&self, trunk: &TrunkName) -> bool {
        let Some(trunk) = self.settings.trunk(trunk) else { return false };
        let reach = self.reach[trunk.realm];
        let is_usable = |at: &Endpoint| reach.leads_to(at.address, at.transport);
        let is_known = |at: &TrunkHost| match trunk.query(at) {
            Some(query) => self.hosts.endpoints(&query).iter().any(is_usable),
            None => true,
        };
        !trunk.hosts.iter().any(is_known)
    }

    fn ordered_targets(&self, trunk: &TrunkName, mut random: Option<&mut Random>) -> Vec<Target> {
        let Some(trunk) = self.settings.trunk(trunk) else { return Vec::new() };
        let hosts = trunk.hosts.iter();
        let hosts = hosts.map(|at| Ranked { priority: at.priority, weight: at.weight, what: at });
        let hosts = draw::order(hosts.collect(), random.as_deref_mut());
        let mut seen = BTreeSet::new();
        let mut targets = Vec::new();
        for at in hosts {
            let groups = draw::order(self.groups(trunk, at), random.as_deref_mut());
            let found = groups.into_iter().flatten();
            targets.extend(found.filter(|target| seen.insert((target.address, target.transport))));
        }
        targets
    }

    /// The targets of one host, those of a name that SRV gave together.
    fn groups(&self, trunk: &Trunk, at: &TrunkHost) -> Vec<Ranked<Vec<Target>>> {
        let Some(query) = trunk.query(at) else {
            let what = self.literal_target(trunk, at).into_iter().collect();
            return vec![Ranked { priority: 0, weight: 0, what }];
        };
        let reach = self.reach[trunk.realm];
        let mut groups: Vec<(&Endpoint, Ranked<Vec<Target>>)> = Vec::new();
        for endpoint in self.hosts.endpoints(&query) {
            if !reach.leads_to(endpoint.address, endpoint.transport) {
                continue;
            }
            let target = target(trunk, at, endpoint.address, endpoint.transport);
            match groups.iter_mut().find(|(first, _)| is_of_one_target(first, endpoint)) {
                Some((_, group)) => group.what.push(target),
                None => {
                    let Endpoint { priority, weight, .. } = *endpoint;
                    groups.push((endpoint, Ranked { priority, weight, what: vec![target] }));
                }
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// A host that is an address (RFC 3263 §4.1, §4.2).
    fn literal_target(&self, trunk: &Trunk, at: &TrunkHost) -> Option<Target> {
        let Host::Address(address) = at.host else { return None };
        let transport = trunk.transport.unwrap_or(Transport::Udp);
        let address = SocketAddr::new(address, at.port.unwrap_or(transport.default_port()));
        Some(target(trunk, at, address, transport))
    }

    fn rebuild_sources(&mut self) {
        self.sources = Sources::build(&self.settings, |query| self.hosts.places(query));
        let found = self.sources.ambiguities(&self.settings);
        let known = std::mem::take(&mut self.ambiguities);
        self.new_ambiguities.extend(found.iter().filter(|found| !known.contains(found)).cloned());
        self.ambiguities = found;
    }
}

/// Which part of a route a call does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mismatch {
    /// `from`.
    Source,
    /// `to`.
    Number,
}

impl Route {
    /// Why a call from there to `called` is not this route's; `None`: it is.
    pub fn mismatch(&self, ingress: &Ingress, called: &Number) -> Option<Mismatch> {
        let is_from = match &self.from {
            RouteSource::Realm(realm) => *realm == ingress.realm,
            RouteSource::Trunk(trunk) => ingress.trunk.as_ref() == Some(trunk),
        };
        if !is_from {
            return Some(Mismatch::Source);
        }
        (!self.to.is_empty() && self.pattern_of(called).is_none()).then_some(Mismatch::Number)
    }

    /// The first of `to` that means `called`.
    pub fn pattern_of(&self, called: &Number) -> Option<&NumberPattern> {
        self.to.iter().find(|pattern| pattern.matches(called))
    }
}

impl NumberPattern {
    /// Whether a normalised number (or a name) is meant.
    pub fn matches(&self, called: &Number) -> bool {
        let is_number = matches!(called, Number::E164(_));
        let text = called.as_str();
        match self {
            // A name that only looks like a number is not taken for one.
            NumberPattern::Prefix(prefix) => {
                (is_number || !prefix.starts_with('+')) && text.starts_with(prefix)
            }
            NumberPattern::Exact(exact) => text == exact,
            NumberPattern::Regex(regex) => regex.is_match(text),
        }
    }
}

fn queries(settings: &Settings) -> impl Iterator<Item = Query> {
    settings.trunks.iter().flat_map(Trunk::queries)
}

fn target(trunk: &Trunk, at: &TrunkHost, address: SocketAddr, transport: Transport) -> Target {
    // RFC 5922 §4: the name that was asked for is the one that must be in the certificate, whatever
    // DNS made of it. An answer of DNS cannot choose whom we believe.
    let host = host_text(&at.host);
    let identity = match transport {
        Transport::Tls => trunk.identity(&host),
        Transport::Udp | Transport::Tcp => PeerIdentity::NONE,
    };
    Target { trunk: trunk.name.clone(), host, address, transport, identity }
}

/// Whether two endpoints are addresses of one SRV record's target.
fn is_of_one_target(one: &Endpoint, other: &Endpoint) -> bool {
    let key = |endpoint: &Endpoint| {
        let Endpoint { address, transport, priority, weight, .. } = *endpoint;
        (priority, weight, address.port(), transport)
    };
    one.host == other.host && key(one) == key(other)
}
