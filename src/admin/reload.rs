//! What a reload answers to who asked for it.

use serde::Serialize;
use tokio::sync::oneshot;

use crate::config::Fault;

/// Somebody asks for a reload, and waits for this.
pub type ReloadRequest = oneshot::Sender<ReloadReport>;

/// Reloads that may wait: they are made one after the other.
pub const RELOADS_WAITING: usize = 4;

/// How a reload went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reload {
    /// The files are in force.
    Taken,
    /// They have faults; what was in force still is.
    Refused,
    /// They say what they said when they were last read.
    Unchanged,
}

/// How a reload went, and what of it there is to say.
#[derive(Clone, Debug, Serialize)]
pub struct ReloadReport {
    /// In a word.
    pub outcome: Reload,
    /// One line for each setting that differs.
    pub changes: Vec<String>,
    /// Why the files are refused.
    pub faults: Vec<Fault>,
    /// What is no fault, but rarely meant.
    pub warnings: Vec<Fault>,
    /// Keys whose new values take effect with a restart.
    pub waiting_for_restart: Vec<&'static str>,
}

impl ReloadReport {
    /// With nothing to say yet.
    pub fn new(outcome: Reload) -> ReloadReport {
        let (changes, faults, warnings) = (Vec::new(), Vec::new(), Vec::new());
        ReloadReport { outcome, changes, faults, warnings, waiting_for_restart: Vec::new() }
    }
}
