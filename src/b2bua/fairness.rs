//! How many calls one source may have in set-up: until it is answered, a call costs the one who places
//! it nothing and us two ports a side for each stream, two legs and up to three minutes. The
//! transaction layer has shares of its own.
//!
//! Must not know: trunks and their limits.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::call_media::MAX_STREAMS;
use super::engine::MAX_CALLS;
use crate::base::{Realm, counted_as_one};
use crate::sip::Message;

/// The most calls in set-up of one source, whatever ports there are: 100 new calls a second that ring
/// for twenty seconds. A call counts once for each of its streams.
pub const MAX_SETUPS_OF_ONE: usize = MAX_CALLS / 4;

/// How many calls there may be beyond [`MAX_CALLS`] to emergency numbers.
pub const RESERVED_CALLS: usize = 256;

/// How many port pairs of each media address are kept for calls to emergency numbers, but an eighth of
/// what there is at most.
pub const RESERVED_PAIRS: usize = 16;

/// Whether of the pairs for so many streams none is free but those that are kept.
pub(super) fn are_last_ports(streams: usize, free: usize) -> bool {
    let kept = RESERVED_PAIRS.min(streams / 8);
    kept > 0 && free <= kept
}

/// Who places calls: an address, whatever its port.
pub(super) type Source = (Realm, IpAddr);

fn counted((realm, address): Source) -> Source {
    (realm, counted_as_one(address))
}

/// How much a call counts: the streams that its offer asks ports for, one where the callee will offer.
fn weight_of(invite: &Message) -> usize {
    memchr::memmem::find_iter(&invite.body(), b"\nm=").take(MAX_STREAMS).count().max(1)
}

/// What every source has in set-up that has anything.
#[derive(Debug, Default)]
pub(super) struct Setups(BTreeMap<Source, usize>);

impl Setups {
    /// Whether the source may have one more. `streams`: how many there are ports for; half of them are
    /// for the others.
    pub(super) fn has_room(&self, source: Source, invite: &Message, streams: usize) -> bool {
        let share = streams.div_ceil(2).min(MAX_SETUPS_OF_ONE);
        let held = self.0.get(&counted(source)).copied().unwrap_or_default();
        // The first call is let in whatever it weighs: there may be hardly more ports than it asks.
        held == 0 || held + weight_of(invite) <= share
    }

    pub(super) fn begin(&mut self, source: Source, invite: &Message) {
        *self.0.entry(counted(source)).or_default() += weight_of(invite);
    }

    /// Of a call that began with this INVITE.
    pub(super) fn end(&mut self, source: Source, invite: &Message) {
        let source = counted(source);
        if let Some(held) = self.0.get_mut(&source) {
            *held = held.saturating_sub(weight_of(invite));
            if *held == 0 {
                self.0.remove(&source);
            }
        }
    }

    /// Sources that have any.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
