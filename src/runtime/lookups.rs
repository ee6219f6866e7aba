//! Look-ups that run beside the loop, a bounded number of them, and a word in the log when names
//! begin to fail or answer again.

use std::collections::{BTreeSet, VecDeque};

use tokio::task::JoinSet;

use crate::resolver::Resolver;
use crate::routing::{Query, Reach, Resolution, ResolveFault};

/// Look-ups that run at once.
const LOOKUPS_AT_ONCE: usize = 32;
/// Look-ups that wait for one of those; a trunk's host each.
const LOOKUPS_WAITING: usize = 1_024;
/// Names that the log has called failing; those beyond are called so each time.
const FAILING_KNOWN: usize = 1_024;

/// What came of a look-up.
pub(super) type Resolved = (Query, Result<Resolution, ResolveFault>);

/// Names that are looked up.
#[derive(Debug)]
pub(super) struct Lookups {
    resolver: Resolver,
    running: JoinSet<Resolved>,
    waiting: VecDeque<(Query, Reach)>,
    failing: BTreeSet<Query>,
}

impl Lookups {
    pub(super) fn new(resolver: Resolver) -> Lookups {
        Lookups { resolver, running: JoinSet::new(), waiting: VecDeque::new(), failing: BTreeSet::new() }
    }

    /// Look-ups from now on are made by this one.
    pub(super) fn set_resolver(&mut self, resolver: Resolver) {
        self.resolver = resolver;
    }

    /// Looks a name up as soon as there is room. The answer at once is that there is none.
    pub(super) fn ask(&mut self, query: Query, reach: Reach) -> Option<Resolved> {
        if self.waiting.iter().any(|(waiting, _)| *waiting == query) {
            return None;
        }
        if self.waiting.len() >= LOOKUPS_WAITING {
            return Some((query, Err(ResolveFault::NoAnswer)));
        }
        self.waiting.push_back((query, reach));
        self.start();
        None
    }

    /// The next one that is through. `None`: none is under way. Dropped without loss.
    pub(super) async fn next(&mut self) -> Option<Resolved> {
        let (query, resolution) = self.running.join_next().await?.ok()?;
        self.start();
        self.tell(&query, &resolution);
        Some((query, resolution))
    }

    fn start(&mut self) {
        while self.running.len() < LOOKUPS_AT_ONCE {
            let Some((query, reach)) = self.waiting.pop_front() else { return };
            let resolver = self.resolver.clone();
            self.running.spawn(async move {
                let resolution = resolver.resolve(&query, reach).await;
                (query, resolution)
            });
        }
    }

    /// One line when a name begins to fail, one when it answers again.
    fn tell(&mut self, query: &Query, resolution: &Result<Resolution, ResolveFault>) {
        let fault = match resolution {
            Ok(Resolution { is_partial: false, .. }) => {
                if self.failing.remove(query) {
                    tracing::info!(name = %query, "DNS answers again");
                }
                return;
            }
            Ok(_) => "DNS answered some of the questions only".to_owned(),
            Err(fault) => fault.to_string(),
        };
        let is_new = !self.failing.contains(query);
        if is_new && self.failing.len() < FAILING_KNOWN {
            self.failing.insert(query.clone());
        }
        if is_new {
            tracing::warn!(name = %query, "{fault}; what was known of it, if anything, serves on");
        }
    }
}
