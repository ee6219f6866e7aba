//! Timers as data: a table of deadlines that the owner asks for what is due. Nothing sleeps here.

use std::collections::BTreeMap;

use super::Instant;

/// One armed timer; becomes meaningless once the timer fired or was disarmed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimerId {
    at: Instant,
    order: u64,
}

/// Deadlines in order of time, and in order of arming where the times are equal, so that a run
/// repeats exactly.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    armed: BTreeMap<TimerId, K>,
    next_order: u64,
}

impl TimerId {
    /// When it is due.
    pub fn at(self) -> Instant {
        self.at
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { armed: BTreeMap::new(), next_order: 0 }
    }
}

impl<K> Timers<K> {
    /// Arms a timer that gives `key` back at `at`.
    pub fn arm(&mut self, at: Instant, key: K) -> TimerId {
        let id = TimerId { at, order: self.next_order };
        self.next_order += 1;
        self.armed.insert(id, key);
        id
    }

    /// Disarms; a timer that has already fired is left alone.
    pub fn disarm(&mut self, id: TimerId) {
        self.armed.remove(&id);
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.armed.first_key_value().map(|(id, _)| id.at)
    }

    /// Takes one timer that is due at `now`, the earliest first.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let first = self.armed.first_entry()?;
        (first.key().at <= now).then(|| first.remove())
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.armed.len()
    }

    /// Whether none is armed.
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_in_order_and_disarmed_ones_never() {
        let at = Instant::from_millis;
        let mut timers = Timers::default();
        timers.arm(at(20), "late");
        let gone = timers.arm(at(5), "disarmed");
        timers.arm(at(10), "first");
        timers.arm(at(10), "second");
        timers.disarm(gone);
        assert_eq!(timers.next_deadline(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(15)), Some("first"));
        assert_eq!(timers.pop_due(at(15)), Some("second"));
        assert_eq!(timers.pop_due(at(15)), None);
        assert_eq!(timers.len(), 1);
    }
}
