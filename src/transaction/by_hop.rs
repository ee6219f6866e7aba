//! Which transactions a hop carries, so that the loss of a connection costs what it concerns: a peer
//! that connects and breaks off all day would else have every transaction looked at each time.
//!
//! Must not know: messages, machines, timers.

use std::collections::{BTreeSet, HashMap};

use crate::base::Hop;

/// The transactions of one kind, by their hop.
#[derive(Debug)]
pub(super) struct ByHop<Id>(HashMap<Hop, BTreeSet<Id>>);

impl<Id: Copy + Ord> ByHop<Id> {
    pub(super) fn new() -> ByHop<Id> {
        ByHop(HashMap::new())
    }

    pub(super) fn insert(&mut self, hop: Hop, id: Id) {
        self.0.entry(hop).or_default().insert(id);
    }

    pub(super) fn remove(&mut self, hop: Hop, id: Id) {
        if let Some(carried) = self.0.get_mut(&hop) {
            carried.remove(&id);
            if carried.is_empty() {
                self.0.remove(&hop);
            }
        }
    }

    /// Those of a hop, in order.
    pub(super) fn of(&self, hop: Hop) -> Vec<Id> {
        self.0.get(&hop).into_iter().flatten().copied().collect()
    }

    /// Hops that carry anything; none without a transaction.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
