//! The configurations that calls started with: each is kept as long as a call uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Settings;

/// One configuration, by the order in which they came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SnapshotId(u64);

/// The current configuration, and those before it that calls still use.
#[derive(Debug)]
pub struct Snapshots {
    current_id: SnapshotId,
    current: Kept,
    older: BTreeMap<SnapshotId, Kept>,
}

#[derive(Debug)]
struct Kept {
    settings: Arc<Settings>,
    calls: usize,
}

impl Snapshots {
    /// Begins with this one.
    pub fn new(settings: Arc<Settings>) -> Snapshots {
        Snapshots { current_id: SnapshotId(0), current: Kept { settings, calls: 0 }, older: BTreeMap::new() }
    }

    /// What calls from now on use.
    pub fn replace(&mut self, settings: Arc<Settings>) {
        let before = std::mem::replace(&mut self.current, Kept { settings, calls: 0 });
        if before.calls > 0 {
            self.older.insert(self.current_id, before);
        }
        self.current_id = SnapshotId(self.current_id.0 + 1);
    }

    /// The configuration of new calls.
    pub fn current(&self) -> &Arc<Settings> {
        &self.current.settings
    }

    /// The configuration of a call that holds it.
    pub fn get(&self, id: SnapshotId) -> Arc<Settings> {
        Arc::clone(&self.older.get(&id).unwrap_or(&self.current).settings)
    }

    /// A call begins with the current configuration.
    pub fn hold(&mut self) -> SnapshotId {
        self.current.calls += 1;
        self.current_id
    }

    /// That call is over.
    pub fn release(&mut self, id: SnapshotId) {
        if id == self.current_id {
            self.current.calls = self.current.calls.saturating_sub(1);
        } else if let Some(kept) = self.older.get_mut(&id) {
            kept.calls = kept.calls.saturating_sub(1);
            if kept.calls == 0 {
                self.older.remove(&id);
            }
        }
    }
}
