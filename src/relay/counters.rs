//! What the workers count: one block for each, written by that worker alone and read by telemetry.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::{ByRealm, Realm};
use crate::media::DropReason;

const REASONS: usize = DropReason::ALL.len();
const STALLS: usize = Stall::ALL.len();

/// What held packets up, though none was lost for it here; a label value of
/// `drawbridge_media_stalls_total`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stall {
    /// Every receive buffer that the kernel was offered was in use: packets waited in their sockets.
    Buffers,
    /// More completions than their queue holds: the kernel kept them back.
    Completions,
    /// The kernel had no memory for what was asked of it.
    Memory,
    /// A socket failed to receive. Of io_uring: again and again, so it is tried once a second. Of the
    /// portable engine: each failure, for epoll says when to try again.
    Receive,
}

impl Stall {
    /// Every one, in the order of its counters.
    pub const ALL: [Stall; 4] = [Stall::Buffers, Stall::Completions, Stall::Memory, Stall::Receive];

    /// The label value in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stall::Buffers => "buffers",
            Stall::Completions => "completions",
            Stall::Memory => "memory",
            Stall::Receive => "receive",
        }
    }
}

/// What all workers counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RelayCounters {
    /// RTP by the realm that it came from or went to.
    pub rtp: ByRealm<RealmTraffic>,
    /// Packets dropped by the realm that they came from, in the order of [`DropReason::ALL`].
    pub dropped: ByRealm<[u64; REASONS]>,
    /// What held packets up, in the order of [`Stall::ALL`].
    pub stalls: [u64; STALLS],
    /// Workers that ended by a fault and began anew.
    pub restarts: u64,
    /// Datagrams of RTCP of which no copy could be told: too many, too long, or no room.
    pub copies_lost: u64,
}

impl RelayCounters {
    /// Packets that came from a realm and were dropped for one reason.
    pub fn dropped_for(&self, realm: Realm, reason: DropReason) -> u64 {
        self.dropped[realm][reason.index()]
    }
}

/// The RTP of one realm.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RealmTraffic {
    /// Taken from peers of this realm, forwarded or not.
    pub received: Traffic,
    /// Handed to the operating system for peers of this realm.
    pub sent: Traffic,
}

/// Packets and their bytes of UDP payload.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Traffic {
    /// Datagrams.
    pub packets: u64,
    /// Their payload.
    pub bytes: u64,
}

/// One worker's block. Aligned to two cache lines (the adjacent-line prefetcher fetches pairs), so
/// that no worker writes to what another one does.
#[derive(Default, Debug)]
#[repr(align(128))]
pub(super) struct WorkerCounters {
    received: ByRealm<TrafficCounter>,
    sent: ByRealm<TrafficCounter>,
    dropped: ByRealm<[Counter; REASONS]>,
    stalls: [Counter; STALLS],
    restarts: Counter,
    turns: Counter,
    copies_lost: Counter,
}

#[derive(Default, Debug)]
struct TrafficCounter {
    packets: Counter,
    bytes: Counter,
}

/// A counter with one writer: a plain load and store, no locked instruction.
#[derive(Default, Debug)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl WorkerCounters {
    pub(super) fn count_received(&self, realm: Realm, bytes: usize) {
        self.received[realm].add(bytes);
    }

    pub(super) fn count_sent(&self, realm: Realm, bytes: usize) {
        self.sent[realm].add(bytes);
    }

    pub(super) fn count_dropped(&self, realm: Realm, reason: DropReason) {
        self.dropped[realm][reason.index()].add(1);
    }

    pub(super) fn count_stall(&self, stall: Stall) {
        self.stalls[stall as usize].add(1);
    }

    pub(super) fn count_restart(&self) {
        self.restarts.add(1);
    }

    pub(super) fn count_copy_lost(&self) {
        self.copies_lost.add(1);
    }

    /// The worker's loop has come round.
    pub(super) fn count_turn(&self) {
        self.turns.add(1);
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.get()
    }

    pub(super) fn add_to(&self, total: &mut RelayCounters) {
        for (sum, counter) in total.stalls.iter_mut().zip(&self.stalls) {
            *sum += counter.get();
        }
        total.restarts += self.restarts.get();
        total.copies_lost += self.copies_lost.get();
        for realm in Realm::ALL {
            self.received[realm].add_to(&mut total.rtp[realm].received);
            self.sent[realm].add_to(&mut total.rtp[realm].sent);
            for (sum, counter) in total.dropped[realm].iter_mut().zip(&self.dropped[realm]) {
                *sum += counter.get();
            }
        }
    }
}

impl TrafficCounter {
    fn add(&self, bytes: usize) {
        self.packets.add(1);
        self.bytes.add(bytes as u64);
    }

    fn add_to(&self, total: &mut Traffic) {
        total.packets += self.packets.get();
        total.bytes += self.bytes.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_listed_in_the_order_of_their_counters() {
        for (index, stall) in Stall::ALL.into_iter().enumerate() {
            assert_eq!(stall as usize, index);
        }
    }
}
