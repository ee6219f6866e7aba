//! What the engine has to tell people: one line of the log a change, with the reason and the cure.
//!
//! Must not know: how often a thing may be told; the engine says each once.

use crate::b2bua::Event;
use crate::routing::Ambiguity;

/// Writes the line of an event that is worth one; most are only counted.
pub fn log(event: &Event) {
    match event {
        Event::NotAuthenticated { trunk, fault } => {
            tracing::warn!(%trunk, "the trunk's challenge is not answered: {fault}");
        }
        Event::SourceShared(Ambiguity { source, first, second, .. }) => {
            tracing::warn!(
                %source, %first, %second,
                "DNS gave two trunks the same source: calls from there are taken for the first, unless match tells them apart"
            );
        }
        _ => {}
    }
}
