//! Whether the workers turn. One that is idle waits in the kernel for as long as it likes, so it is woken and
//! has until the next look to turn once: one that hangs, in a packet or in the kernel, does not.
//!
//! Must not know: what is done about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What was seen at the last look.
#[derive(Default, Debug)]
pub(super) struct Pulse {
    turns: Mutex<Vec<u64>>,
    is_missed: AtomicBool,
}

impl Pulse {
    /// Whether each worker has turned since the last look; the first one believes all of them.
    pub(super) fn feel(&self, turns: Vec<u64>) -> bool {
        let mut before = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missed = before.iter().zip(&turns).any(|(before, now)| before == now);
        *before = turns;
        self.is_missed.store(is_missed, Ordering::Release);
        !is_missed
    }

    /// What the last look found.
    pub(super) fn is_missed(&self) -> bool {
        self.is_missed.load(Ordering::Acquire)
    }
}
