//! Our requests, by their transaction.
//!
//! Not a `SecondaryMap`, which keeps one entry a slot: when several transactions end at once, what
//! follows from the first may open one in the slot of the second before we hear that it has ended.
//!
//! Must not know: what a request was for.

use std::collections::BTreeMap;

use super::engine::Outgoing;
use crate::transaction::ClientId;

/// What is known of our requests until their transaction is gone.
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

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
