//! Bytes that wait to be written: how many one connection may have, and all of them together. A peer
//! that reads drop by drop keeps its connection, and must not keep a thousand times its memory too.
//!
//! Must not know: sockets, what the bytes are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of one connection. Beyond that its peer does not read.
const BYTES_WAITING: usize = 1 << 20;
/// Of one connection while all have more than [`ALL_BYTES_WAITING`].
const BYTES_WAITING_AT_LEAST: usize = 64 << 10;
/// Of all connections, beyond which each may have no more than [`BYTES_WAITING_AT_LEAST`].
const ALL_BYTES_WAITING: usize = 64 << 20;

/// What waits at all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct AllBacklogs(Arc<AtomicUsize>);

impl AllBacklogs {
    /// The backlog of another connection.
    pub(super) fn open(&self) -> Arc<Backlog> {
        Arc::new(Backlog { own: AtomicUsize::new(0), all: self.clone() })
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What waits at one connection; what of it was never written is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Backlog {
    own: AtomicUsize,
    all: AllBacklogs,
}

impl Backlog {
    /// Counts bytes that will wait; false: there are more than there may be.
    pub(super) fn add(&self, length: usize) -> bool {
        let own = self.own.fetch_add(length, Ordering::Relaxed) + length;
        let all = self.all.0.fetch_add(length, Ordering::Relaxed) + length;
        own <= if all > ALL_BYTES_WAITING { BYTES_WAITING_AT_LEAST } else { BYTES_WAITING }
    }

    /// So many were written.
    pub(super) fn subtract(&self, length: usize) {
        self.own.fetch_sub(length, Ordering::Relaxed);
        self.all.0.fetch_sub(length, Ordering::Relaxed);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.all.0.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_may_keep_much_and_all_of_them_no_multiple_of_it() {
        let all = AllBacklogs::default();
        let slow: Vec<_> = (0..64).map(|_| all.open()).collect();
        assert!(slow.iter().all(|backlog| backlog.add(BYTES_WAITING)));
        assert!(!slow[0].add(1));
        let next = all.open();
        assert!(next.add(BYTES_WAITING_AT_LEAST) && !next.add(1));
        drop(slow);
        assert!(next.add(BYTES_WAITING / 2));
        next.subtract(BYTES_WAITING_AT_LEAST + 1 + BYTES_WAITING / 2);
        assert_eq!(all.bytes(), 0);
    }
}
