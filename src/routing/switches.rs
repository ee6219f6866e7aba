//! Trunks that an operator has switched on or off while running: it counts over `enabled` of the
//! configuration until that key changes, the trunk is gone, or the process ends.

use std::collections::BTreeMap;

use super::Settings;
use crate::base::{Instant, TrunkName};

/// What an operator said of a trunk, where it differs from the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Switched {
    /// Whether calls may go over it.
    pub enabled: bool,
    /// When it was said.
    pub since: Instant,
}

/// At most one for each configured trunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Switches(BTreeMap<TrunkName, Switched>);

impl Switches {
    pub(super) fn get(&self, trunk: &TrunkName) -> Option<Switched> {
        self.0.get(trunk).copied()
    }

    /// Takes an operator's word; what the configuration says anyway is not kept.
    pub(super) fn set(&mut self, settings: &Settings, trunk: &TrunkName, enabled: bool, now: Instant) {
        let Some(configured) = settings.trunk(trunk) else { return };
        if configured.enabled == enabled {
            self.0.remove(trunk);
        } else if self.0.get(trunk).is_none_or(|switched| switched.enabled != enabled) {
            self.0.insert(trunk.clone(), Switched { enabled, since: now });
        }
    }

    /// After a reload: an `enabled` that changed counts from now on.
    pub(super) fn keep(&mut self, before: &Settings, after: &Settings) {
        let enabled = |settings: &Settings, name: &TrunkName| settings.trunk(name).map(|trunk| trunk.enabled);
        self.0.retain(|name, _| enabled(after, name).is_some_and(|new| Some(new) == enabled(before, name)));
    }
}
