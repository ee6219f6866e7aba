//! What a reload answers to who asked for it.

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::config::Fault;

/// Somebody asks for a reload, and waits for this.
pub type ReloadRequest = oneshot::Sender<ReloadReport>;

/// Reloads that may wait: they are made one after the other.
pub const RELOADS_WAITING: usize = 4;

/// How a reload went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
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
#[derive(Clone, Debug, Serialize, JsonSchema)]
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

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::admin::golden;

    #[test]
    fn the_body_is_that_which_the_command_reads() {
        let config = "[node]\nnam = \"sbc1\"\n";
        let faults = crate::config::parse("drawbridge.toml", config).unwrap_err();
        let fault = faults.into_iter().find(|fault| fault.to_string().contains("node.nam")).unwrap();
        let report = ReloadReport {
            changes: vec!["trunk sinch: added".to_owned()],
            warnings: vec![fault.clone()],
            faults: vec![fault],
            waiting_for_restart: vec!["media.ports"],
            ..ReloadReport::new(Reload::Refused)
        };
        golden::expect(expect_file!["golden/reload.json"], &report);
    }
}
