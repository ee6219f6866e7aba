//! What the engine has to tell people: one line of the log a change, with the reason and the cure.
//!
//! Must not know: how often a thing may be told; the engine says each once.

use crate::b2bua::Event;

/// Writes the line of an event that is worth one; most are only counted.
pub fn log(event: &Event) {
    if let Event::NotAuthenticated { trunk, fault } = event {
        tracing::warn!(%trunk, "the trunk's challenge is not answered: {fault}");
    }
}
