//! The table of our requests.
//!
//! Not a `SecondaryMap`: there a new transaction takes the place of one that is over, though the
//! layer has still to say how that ended (several end at once when a connection breaks, or a timer
//! is late, and what follows from the first may be a request).
//!
//! Must not know: what becomes of a request.

use std::collections::BTreeMap;

use super::engine::Outgoing;
use crate::transaction::ClientId;

/// Our requests until [`Effect::ClientGone`](crate::transaction::Effect::ClientGone), by their
/// transaction.
#[derive(Debug, Default)]
pub(super) struct Outgoings(BTreeMap<ClientId, Outgoing>);

impl Outgoings {
    pub(super) fn get(&self, client: ClientId) -> Option<&Outgoing> {
        self.0.get(&client)
    }

    pub(super) fn get_mut(&mut self, client: ClientId) -> Option<&mut Outgoing> {
        self.0.get_mut(&client)
    }

    pub(super) fn insert(&mut self, client: ClientId, outgoing: Outgoing) {
        self.0.insert(client, outgoing);
    }

    pub(super) fn remove(&mut self, client: ClientId) -> Option<Outgoing> {
        self.0.remove(&client)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Outgoing> {
        self.0.values()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
