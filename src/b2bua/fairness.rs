//! How many calls one source may have in set-up: until it is answered, a call costs the one who places
//! it nothing and us two ports a side, two legs and up to three minutes. The transaction layer has
//! shares of its own.
//!
//! Must not know: trunks and their limits, SIP.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::engine::MAX_CALLS;
use crate::base::Realm;

/// The most calls in set-up of one source, whatever ports there are: 100 new calls a second that ring
/// for twenty seconds.
pub const MAX_SETUPS_OF_ONE: usize = MAX_CALLS / 4;

/// How many calls there may be beyond [`MAX_CALLS`] to emergency numbers.
pub const RESERVED_CALLS: usize = 256;

/// Who places calls: an address, whatever its port.
pub(super) type Source = (Realm, IpAddr);

/// The calls in set-up of every source that has any.
#[derive(Debug, Default)]
pub(super) struct Setups(BTreeMap<Source, usize>);

impl Setups {
    /// Whether the source may have one more. `pairs`: the port pairs of a realm, one of which each
    /// call takes; half of them are for the others.
    pub(super) fn has_room(&self, source: Source, pairs: usize) -> bool {
        let share = pairs.div_ceil(2).min(MAX_SETUPS_OF_ONE);
        self.0.get(&source).copied().unwrap_or_default() < share
    }

    pub(super) fn begin(&mut self, source: Source) {
        *self.0.entry(source).or_default() += 1;
    }

    pub(super) fn end(&mut self, source: Source) {
        if let Some(calls) = self.0.get_mut(&source) {
            *calls = calls.saturating_sub(1);
            if *calls == 0 {
                self.0.remove(&source);
            }
        }
    }

    /// Sources that have any.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
