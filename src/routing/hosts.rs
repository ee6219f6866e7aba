//! What is known of the names that trunks are configured with: where they lead, how old that is, and
//! when to ask again. The core asks and is told; it never waits, and what it knew serves on.
//!
//! Must not know: how DNS is asked (`resolver/`), trunks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::query::{Endpoint, Query, Reach, Resolution, ResolveFault};
use crate::base::{Instant, Random, Transport};

/// No name is asked for more often than this, whatever its TTL.
pub const MIN_REFRESH: Duration = Duration::from_secs(5);
/// Every name is asked for at least this often, whatever its TTL.
pub const MAX_REFRESH: Duration = Duration::from_secs(3_600);
/// A name is asked for again when between 80 % and 90 % of its TTL are over, so that the next answer
/// is there before this one runs out, and not all names are asked for at once.
const REFRESH_PERCENT: (u32, u32) = (80, 90);
/// How long after a failed look-up the next one follows.
pub const RETRY: Duration = Duration::from_secs(10);
/// The same, while an earlier answer serves on and DNS keeps failing: each time twice as long, until
/// this.
pub const MAX_RETRY: Duration = Duration::from_secs(60);
/// A name that does not exist is asked for again after so long at the latest: somebody is mending it.
pub const MAX_NEGATIVE: Duration = Duration::from_secs(60);
/// A look-up without any word of it is taken for lost. Longer than any takes.
pub const LOST: Duration = Duration::from_secs(30);
/// So long a whole answer is kept, beyond its TTL, over one that was got round a question without an
/// answer: calls shall not move from SRV's targets to the bare host because a name server hiccups.
pub const PARTIAL_PATIENCE: Duration = Duration::from_secs(3_600);
/// So many endpoints of one name are used.
pub const MAX_ENDPOINTS: usize = 64;

/// Every name of the enabled and disabled trunks, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Hosts(BTreeMap<Query, HostState>);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct HostState {
    known: Option<Known>,
    /// Of the last look-up, if it failed, and when.
    fault: Option<(ResolveFault, Instant)>,
    /// Look-ups that failed since the last good one.
    failures: u32,
    ask_at: Instant,
}

/// The last good answer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    endpoints: Vec<Endpoint>,
    since: Instant,
    valid_until: Instant,
    is_partial: bool,
}

/// What is known of a name, for operators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostReport {
    /// What is asked.
    pub query: Query,
    /// Where it leads, by the last good answer; empty: there was none, or DNS took it back.
    pub endpoints: Vec<Endpoint>,
    /// How old the last good answer is.
    pub age: Option<Duration>,
    /// How long it is good for still, by its TTL; zero: it ran out, and serves on.
    pub valid_for: Option<Duration>,
    /// Whether it was got round a question that had no answer.
    pub is_partial: bool,
    /// Why the last look-up failed, and how long ago; `None`: it did not.
    pub fault: Option<(ResolveFault, Duration)>,
}

impl Hosts {
    /// Keeps what is known of the names that remain; new ones are due at once.
    pub(super) fn retain_only(&mut self, queries: impl Iterator<Item = Query>) {
        let mut old = std::mem::take(&mut self.0);
        for query in queries {
            let state = old.remove(&query).unwrap_or_default();
            self.0.entry(query).or_insert(state);
        }
    }

    pub(super) fn queries(&self) -> impl Iterator<Item = &Query> {
        self.0.keys()
    }

    pub(super) fn endpoints(&self, query: &Query) -> &[Endpoint] {
        let known = self.0.get(query).and_then(|host| host.known.as_ref());
        known.map_or(&[], |known| &known.endpoints)
    }

    /// The addresses of its endpoints with their ports, each once.
    pub(super) fn places(&self, query: &Query) -> BTreeSet<SocketAddr> {
        self.endpoints(query).iter().map(|endpoint| endpoint.address).collect()
    }

    /// The addresses of its endpoints, each once.
    pub(super) fn addresses(&self, query: &Query) -> BTreeSet<IpAddr> {
        self.endpoints(query).iter().map(|endpoint| endpoint.address.ip()).collect()
    }

    /// The names to ask for now. Each becomes due again after [`LOST`] should no word come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Query> {
        let due = self.0.iter_mut().filter(|(_, host)| host.ask_at <= now);
        due.map(|(query, host)| {
            host.ask_at = now + LOST;
            query.clone()
        })
        .collect()
    }

    /// Every name is due, for the name servers are others.
    pub(super) fn ask_all_again(&mut self, now: Instant) {
        for host in self.0.values_mut() {
            host.ask_at = now;
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().map(|host| host.ask_at).min()
    }

    /// Takes an answer; says whether it leads elsewhere than the one before. What the realm does not
    /// believe is left out.
    pub(super) fn answer(
        &mut self,
        query: &Query,
        answer: Result<Resolution, ResolveFault>,
        reach: Reach,
        now: Instant,
        random: &mut Random,
    ) -> bool {
        let ways = |hosts: &Hosts| -> BTreeSet<(SocketAddr, Transport)> {
            hosts.endpoints(query).iter().map(|endpoint| (endpoint.address, endpoint.transport)).collect()
        };
        let before = ways(self);
        let Some(host) = self.0.get_mut(query) else { return false };
        host.take(answer, reach, now, random);
        // An answer in another order is no change, and DNS servers rotate theirs.
        ways(self) != before
    }

    pub(super) fn report(&self, query: &Query, now: Instant) -> Option<HostReport> {
        let host = self.0.get(query)?;
        let known = host.known.as_ref();
        Some(HostReport {
            query: query.clone(),
            endpoints: known.map(|known| known.endpoints.clone()).unwrap_or_default(),
            age: known.map(|known| now.since(known.since)),
            valid_for: known.map(|known| known.valid_until.since(now)),
            is_partial: known.is_some_and(|known| known.is_partial),
            fault: host.fault.map(|(fault, at)| (fault, now.since(at))),
        })
    }
}

impl HostState {
    fn take(
        &mut self,
        answer: Result<Resolution, ResolveFault>,
        reach: Reach,
        now: Instant,
        random: &mut Random,
    ) {
        let fault = match answer {
            Ok(Resolution { endpoints, valid_for, is_partial }) => {
                let endpoints = usable(endpoints, reach);
                if endpoints.is_empty() {
                    ResolveFault::NoSuchHost { valid_for }
                } else if is_partial && self.is_better_than_partial(now) {
                    ResolveFault::NoAnswer
                } else {
                    let valid_until = now + valid_for.min(MAX_REFRESH);
                    self.known = Some(Known { endpoints, since: now, valid_until, is_partial });
                    (self.fault, self.failures) = (None, 0);
                    let refresh = if is_partial { valid_for.min(MAX_RETRY) } else { valid_for };
                    self.ask_at = now + jittered(refresh, random).clamp(MIN_REFRESH, MAX_REFRESH);
                    return;
                }
            }
            Err(fault) => fault,
        };
        // What DNS has promised holds until then: a zone that is broken for a moment takes no trunk
        // away, and a name that is gone for good has to be denied after its TTL.
        let is_promised = self.known.as_ref().is_some_and(|known| known.valid_until > now);
        if fault.is_no_such_host() && !is_promised {
            self.known = None;
        }
        self.fault = Some((fault, now));
        self.failures = self.failures.saturating_add(1);
        self.ask_at = now + self.patience(fault, now, random);
    }

    /// Whether a whole answer is known that is not too old to stand against a partial one.
    fn is_better_than_partial(&self, now: Instant) -> bool {
        self.known
            .as_ref()
            .is_some_and(|known| !known.is_partial && now < known.valid_until + PARTIAL_PATIENCE)
    }

    /// How long after a failure the next look-up follows.
    fn patience(&self, fault: ResolveFault, now: Instant, random: &mut Random) -> Duration {
        let wait = match (fault, &self.known) {
            // When the promise is over.
            (ResolveFault::NoSuchHost { .. }, Some(known)) => {
                known.valid_until.since(now).clamp(RETRY, MAX_NEGATIVE)
            }
            (ResolveFault::NoSuchHost { valid_for }, None) => valid_for.clamp(RETRY, MAX_NEGATIVE),
            (ResolveFault::NoAnswer, Some(_)) => {
                let doublings = self.failures.saturating_sub(1).min(8);
                (RETRY * (1 << doublings)).min(MAX_RETRY)
            }
            // The trunk has nowhere to go.
            (ResolveFault::NoAnswer, None) => RETRY,
        };
        // Later, not sooner: the wait is somebody's wish.
        wait + wait.mul_f64(f64::from(random.below(100)) / 1_000.0)
    }
}

/// A part of a TTL, between 80 % and 90 %.
fn jittered(valid_for: Duration, random: &mut Random) -> Duration {
    let (low, high) = REFRESH_PERCENT;
    let permille = low * 10 + random.below((high - low) * 10 + 1);
    valid_for.min(MAX_REFRESH) * permille / 1_000
}

/// Those that may be believed, each once.
fn usable(endpoints: Vec<Endpoint>, reach: Reach) -> Vec<Endpoint> {
    let mut kept: Vec<Endpoint> = Vec::with_capacity(endpoints.len().min(MAX_ENDPOINTS));
    for endpoint in endpoints {
        let address = SocketAddr::new(endpoint.address.ip().to_canonical(), endpoint.address.port());
        let endpoint = Endpoint { address, ..endpoint };
        if kept.len() < MAX_ENDPOINTS && reach.believes(address) && !kept.contains(&endpoint) {
            kept.push(endpoint);
        }
    }
    kept
}
