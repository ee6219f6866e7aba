//! Who may have how much of the server transactions, and of the memory that they keep: one source
//! can fill its share, and never the tables of everybody.
//!
//! A source is an address without its port, or the /64 of an IPv6 address: a sender has as many ports as
//! it likes, and over UDP a flood may only pretend to come from it. So a share is three quarters of what there is: enough for a
//! peer that all calls come from, and the last quarter is there for all others.
//!
//! Must not know: messages, machines, timers.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::admission::DropReason;
use crate::base::{Hop, ListenerId, counted_as_one};

/// How many more transactions than the limit may be opened by what ends calls rather than begins
/// them: CANCEL, BYE and the other requests inside of dialogs.
pub const RESERVED_TRANSACTIONS: usize = 16_384;

/// How many more may be opened by INVITEs to emergency numbers, once their source or everybody has
/// what there is for it. They have an end as well, for anybody can dial 112 in a loop.
pub const RESERVED_FOR_EMERGENCIES: usize = 1_024;

/// What there is of memory for the requests that are kept, on the average of all transactions, in
/// bytes: an INVITE with its SDP has some 1,500, while a datagram may have 65,000.
pub const BYTES_PER_TRANSACTION: usize = 2_048;

/// How many transactions of so many are one source's at most.
pub(super) const fn share_of(room: usize) -> usize {
    room - room / 4
}

/// What a request that would open a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// To begin something.
    New,
    /// To change or end what is there.
    Within,
    /// To call for help.
    Emergency,
}

/// A listener and who sends to it.
type Source = (ListenerId, IpAddr);

/// What is held.
#[derive(Clone, Copy, Default, Debug)]
struct Held {
    transactions: usize,
    /// Of requests; our responses repeat what is in them and little more.
    bytes: usize,
}

impl Held {
    fn fits(self, bytes: usize, room: usize) -> bool {
        let room_bytes = room.saturating_mul(BYTES_PER_TRANSACTION);
        self.transactions < room && self.bytes.saturating_add(bytes) <= room_bytes
    }
}

/// What one transaction holds; to be given back by [`Shares::release`].
#[derive(Debug)]
pub(super) struct Place {
    /// `None`: it came out of the reserve for emergencies.
    source: Option<Source>,
    bytes: usize,
}

/// The shares of every source that holds anything.
#[derive(Debug)]
pub(super) struct Shares {
    limit: usize,
    sources: HashMap<Source, Held>,
    /// Bytes of all of them.
    bytes: usize,
    /// Places out of the reserve for emergencies.
    borrowed: usize,
}

impl Shares {
    pub(super) fn new(limit: usize) -> Shares {
        Shares { limit, sources: HashMap::new(), bytes: 0, borrowed: 0 }
    }

    /// A place for a request of so many bytes, while so many transactions of all kinds are open.
    pub(super) fn take(
        &mut self,
        claim: Claim,
        hop: Hop,
        bytes: usize,
        active: usize,
    ) -> Result<Place, DropReason> {
        let reserve = if claim == Claim::Within { RESERVED_TRANSACTIONS } else { 0 };
        let room = self.limit.saturating_add(reserve);
        let source = (hop.listener, counted_as_one(hop.peer.ip()));
        let held = self.sources.get(&source).copied().unwrap_or_default();
        // What came out of the reserve is nobody else's loss.
        let all = Held { transactions: active.saturating_sub(self.borrowed), bytes: self.bytes };
        if !all.fits(bytes, room) {
            return self.borrow(claim).ok_or(DropReason::Overloaded);
        }
        if !held.fits(bytes, share_of(room)) {
            return self.borrow(claim).ok_or(DropReason::RateLimited);
        }
        self.bytes += bytes;
        let held = self.sources.entry(source).or_default();
        held.transactions += 1;
        held.bytes += bytes;
        Ok(Place { source: Some(source), bytes })
    }

    fn borrow(&mut self, claim: Claim) -> Option<Place> {
        let may = claim == Claim::Emergency && self.borrowed < RESERVED_FOR_EMERGENCIES;
        may.then(|| {
            self.borrowed += 1;
            Place { source: None, bytes: 0 }
        })
    }

    pub(super) fn release(&mut self, place: &Place) {
        let Some(source) = place.source else {
            self.borrowed = self.borrowed.saturating_sub(1);
            return;
        };
        self.bytes = self.bytes.saturating_sub(place.bytes);
        if let Some(held) = self.sources.get_mut(&source) {
            held.transactions = held.transactions.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(place.bytes);
            if held.transactions == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// What is left in the tables; zero without a transaction.
    #[cfg(test)]
    pub(super) fn leftovers(&self) -> usize {
        self.sources.len() + self.bytes + self.borrowed
    }
}
