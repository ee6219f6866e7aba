//! Which of several trunks with one source a request is of: by the Contact that we registered, by the
//! number that is called, by the domain that it speaks of, by the source's port.
//!
//! What a request says of itself comes as [`RequestFacts`]; how it is read from a message is not known
//! here.

use std::fmt;
use std::net::SocketAddr;

use super::settings::{NumberPattern, Trunk};
use crate::numbering::Number;

/// `match` of a trunk: which of the calls from its sources are its own. Without any key: all that are
/// no other trunk's.
#[derive(Clone, Debug, Default)]
pub struct TrunkMatch {
    /// The called numbers, as the trunk's numbers are read; `None`: any. An empty list: no call at all.
    pub to: Option<Vec<NumberPattern>>,
    /// Hosts of the Request-URI, To or From, in lower case; empty: any.
    pub domains: Vec<String>,
    /// Only calls to the Contact that we registered with it.
    pub registration: bool,
}

impl TrunkMatch {
    /// Whether the trunk takes whatever comes from its sources.
    pub fn is_open(&self) -> bool {
        self.to.is_none() && self.domains.is_empty() && !self.registration
    }

    /// Whether a call may fit both, and neither better than the other. Patterns are compared as they
    /// are written; that one regular expression has what another has nobody can see.
    pub(super) fn is_confused_with(&self, other: &TrunkMatch) -> bool {
        let is_same_number = match (&self.to, &other.to) {
            (None, None) => true,
            (Some(own), Some(others)) => {
                own.iter().any(|pattern| others.iter().any(|other| other.to_string() == pattern.to_string()))
            }
            // Who names the number is the better fit.
            (None, Some(_)) | (Some(_), None) => false,
        };
        let is_same_domain = match (self.domains.is_empty(), other.domains.is_empty()) {
            (true, true) => true,
            (false, false) => self.domains.iter().any(|domain| other.domains.contains(domain)),
            (true, false) | (false, true) => false,
        };
        is_same_number && is_same_domain && !self.registration && !other.registration
    }
}

/// What a request outside any dialog says of whom it is for.
pub struct RequestFacts<'a> {
    /// Where it came from.
    pub source: SocketAddr,
    /// User of the Request-URI, unescaped; may be empty.
    pub user: &'a str,
    /// Hosts of Request-URI, To and From, in lower case.
    pub hosts: &'a [String],
    /// Whom it calls, as the numbers of this trunk are read.
    pub called: &'a dyn Fn(&Trunk) -> Option<Number>,
}

impl fmt::Debug for RequestFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestFacts { source, user, hosts, called: _ } = self;
        write!(f, "RequestFacts {{ {source}, {user}, {hosts:?} }}")
    }
}

/// Why a request is a trunk's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fit {
    /// It is for the Contact that we registered.
    pub is_registered: bool,
    /// What the trunk's `match` asks for is there.
    pub is_matched: bool,
    /// The entry of `match.to`.
    pub pattern: Option<NumberPattern>,
    /// The entry of `match.domain`.
    pub domain: Option<String>,
    /// It speaks of the trunk's own domain.
    pub is_of_own_domain: bool,
    /// It came from the port of one of its hosts.
    pub port: Option<u16>,
}

impl PartialEq for NumberPattern {
    fn eq(&self, other: &NumberPattern) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for NumberPattern {}

impl Fit {
    /// Of two that fit the higher one is meant. A whole number says more than a beginning, a longer
    /// beginning more than a shorter one.
    pub(super) fn rank(&self) -> (bool, bool, usize, bool, bool, bool) {
        let number = match &self.pattern {
            None => 0,
            Some(NumberPattern::Regex(_)) => 1,
            Some(NumberPattern::Prefix(prefix)) => 2 + prefix.len(),
            Some(NumberPattern::Exact(_)) => usize::MAX,
        };
        let Fit { is_registered, is_matched, is_of_own_domain, .. } = *self;
        (is_registered, is_matched, number, self.domain.is_some(), is_of_own_domain, self.port.is_some())
    }
}

/// Which key of a trunk's `match` a request does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Misfit {
    /// `to` is empty: no call comes by this trunk.
    NoCalls,
    /// `to`.
    Number,
    /// `domain`.
    Domain,
    /// `registration`.
    Registration,
}

/// Whether a request from a source of `trunk` is the trunk's. `is_registered`: whether it is for
/// the Contact that we registered; `ports`: those of its hosts.
pub(super) fn fit(
    trunk: &Trunk,
    is_registered: bool,
    ports: &[u16],
    facts: &RequestFacts<'_>,
) -> Result<Fit, Misfit> {
    let TrunkMatch { to, domains, registration } = &trunk.matching;
    let port = ports.iter().copied().find(|port| *port == facts.source.port());
    let mut found = Fit {
        is_registered,
        is_matched: !trunk.matching.is_open(),
        is_of_own_domain: facts.hosts.contains(&trunk.domain),
        port,
        ..Fit::default()
    };
    if is_registered {
        // Nobody else could be meant, whatever number the To has.
        return Ok(found);
    }
    if *registration {
        return Err(Misfit::Registration);
    }
    if let Some(patterns) = to {
        if patterns.is_empty() {
            return Err(Misfit::NoCalls);
        }
        let called = (facts.called)(trunk).ok_or(Misfit::Number)?;
        let fitting = patterns.iter().filter(|pattern| pattern.matches(&called));
        let best =
            fitting.max_by_key(|pattern| Fit { pattern: Some((*pattern).clone()), ..Fit::default() }.rank());
        found.pattern = Some(best.ok_or(Misfit::Number)?.clone());
    }
    if !domains.is_empty() {
        let domain = domains.iter().find(|domain| facts.hosts.contains(domain));
        found.domain = Some(domain.ok_or(Misfit::Domain)?.clone());
    }
    Ok(found)
}
