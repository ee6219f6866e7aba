//! The tables that answer "from which trunk?", "to which trunks?" and "at which addresses?".

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::balance::{self, Selection, Turns};
use super::health::{ProbeResult, TargetKey, TargetsHealth};
use super::hosts::Hosts;
use super::matching::RequestFacts;
use super::registration::Registrations;
use super::sources::{Claim, Sources};
use super::switches::{Switched, Switches};
use super::{
    Ambiguity, CallLimits, Host, NumberPattern, Resolution, ResolveFault, Route, RouteSource, Settings,
};
use crate::base::{Instant, PeerIdentity, Random, Realm, Transport, TrunkName};
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
    /// The trunk that the call came from is disabled (403).
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
    hosts: Hosts,
    sources: Sources,
    limits: CallLimits,
    switches: Switches,
    health: TargetsHealth,
    turns: Turns,
    /// The users of the Contacts that we registered.
    pub(super) registered: BTreeMap<TrunkName, String>,
    ambiguities: Vec<Ambiguity>,
    pub(super) registrations: Registrations,
}

impl Router {
    /// A router that has resolved nothing yet.
    pub fn new(settings: Settings) -> Router {
        let mut router = Router::default();
        router.replace(settings);
        router
    }

    /// Takes another configuration. Resolved addresses of names that remain, the counts of running
    /// calls, and what operators said of trunks whose `enabled` is as it was, are kept.
    pub fn replace(&mut self, settings: Settings) {
        self.switches.keep(&self.settings, &settings);
        self.settings = settings;
        self.hosts.retain_only(names(&self.settings));
        self.limits.configure(self.settings.limits, &self.settings.trunks);
        self.registered.retain(|name, _| self.settings.trunk(name).is_some());
        self.turns.retain_only(&self.settings.routes);
        self.rebuild_sources();
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

    // Health.

    /// What is known of the targets.
    pub fn health(&mut self) -> &mut TargetsHealth {
        &mut self.health
    }

    /// Watches the targets of every enabled trunk as they are now: to be called when names or
    /// settings have changed.
    pub fn follow_targets(&mut self, now: Instant, random: &mut Random) {
        let mut health = std::mem::take(&mut self.health);
        health.follow(now, random, &self.settings, |trunk| self.targets(trunk));
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

    /// Every name that needs an address.
    pub fn hosts_to_resolve(&self) -> Vec<String> {
        self.hosts.names().map(str::to_owned).collect()
    }

    /// The names to look up now: new ones and those whose answer runs out. They are due again a
    /// few seconds later should no answer come.
    pub fn take_due_hosts(&mut self, now: Instant) -> Vec<String> {
        self.hosts.take_due(now)
    }

    /// When [`Self::take_due_hosts`] has something next.
    pub fn next_due_host(&self) -> Option<Instant> {
        self.hosts.next_due()
    }

    /// Takes the answer to a look-up; says whether the addresses of `host` are others than before
    /// (then the allowlists want them). Without an answer the last good addresses serve on.
    pub fn resolved(&mut self, host: &str, answer: Result<Resolution, ResolveFault>, now: Instant) -> bool {
        let changed = self.hosts.answer(host, answer, now);
        if changed {
            self.rebuild_sources();
        }
        changed
    }

    /// What `host` resolved to last.
    pub fn addresses_of(&self, host: &str) -> &[IpAddr] {
        self.hosts.addresses(host)
    }

    /// The realms in which trunks with this host name are: whose allowlists its addresses join.
    pub fn realms_of_host(&self, host: &str) -> impl Iterator<Item = Realm> + '_ {
        let host = host.to_owned();
        Realm::ALL.into_iter().filter(move |realm| {
            self.settings.trunks.iter().any(|trunk| {
                trunk.realm == *realm
                    && trunk.hosts.iter().any(|at| matches!(&at.host, Host::Name(name) if *name == host))
            })
        })
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
        self.sources.claims(&self.settings, &self.registered, realm, facts)
    }

    /// Notes the user of the Contact that was registered with a trunk, or that there is none any more.
    /// A call to it is that trunk's.
    pub fn set_registered_user(&mut self, trunk: &TrunkName, user: Option<&str>) {
        match user {
            Some(user) => self.registered.insert(trunk.clone(), user.to_owned()),
            None => self.registered.remove(trunk),
        };
    }

    /// Sources of two trunks with nothing that tells their calls apart, resolved names counted in.
    pub fn ambiguities(&self) -> &[Ambiguity] {
        &self.ambiguities
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

    /// Where to send a request for `trunk`: its hosts by priority, then weight, then as written, all
    /// addresses of each. A name that is not resolved gives none.
    pub fn targets(&self, trunk: &TrunkName) -> Vec<Target> {
        let Some(trunk) = self.settings.trunk(trunk) else { return Vec::new() };
        let transport = trunk.transport.unwrap_or(Transport::Udp);
        let mut hosts: Vec<_> = trunk.hosts.iter().collect();
        hosts.sort_by_key(|host| (host.priority, std::cmp::Reverse(host.weight)));
        let mut targets = Vec::new();
        for at in hosts {
            let port = at.port.unwrap_or(transport.default_port());
            let (name, addresses) = match &at.host {
                Host::Name(name) => (name.clone(), self.hosts.addresses(name)),
                Host::Address(address) => (address.to_string(), std::slice::from_ref(address)),
            };
            let identity =
                if transport == Transport::Tls { trunk.identity(&name) } else { PeerIdentity::NONE };
            targets.extend(addresses.iter().map(|address| Target {
                trunk: trunk.name.clone(),
                host: name.clone(),
                address: SocketAddr::new(*address, port),
                transport,
                identity,
            }));
        }
        targets
    }

    fn rebuild_sources(&mut self) {
        self.sources = Sources::build(&self.settings, |name| self.hosts.addresses(name));
        self.ambiguities = self.sources.ambiguities(&self.settings);
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

fn names(settings: &Settings) -> impl Iterator<Item = &str> {
    let hosts = settings.trunks.iter().flat_map(|trunk| &trunk.hosts);
    hosts.filter_map(|host| match &host.host {
        Host::Name(name) => Some(name.as_str()),
        Host::Address(_) => None,
    })
}
