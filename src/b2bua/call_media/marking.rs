//! How a call's media is marked for the network: as `dscp` of the trunk on each side says.
//!
//! The relay marks a socket when it opens it. So a target whose trunk wants another mark gets other ports, unless the
//! caller has heard of them already: then they stay, and so does their mark.

use super::{Call, CallKey, Engine, Marking, Settings};
use crate::b2bua::call::Phase;

/// What the trunks of both sides say, that of the target which is being tried among them.
pub(super) fn marking_of(call: &Call, settings: &Settings) -> Marking {
    let of = |trunk| settings.trunk_of(trunk).map(|trunk| trunk.dscp).unwrap_or_default();
    let tried = call.plan.current.as_ref().map(|target| &target.trunk);
    let callee = match call.phase {
        Phase::Setup => tried,
        Phase::Answered | Phase::Over => call.b.as_ref().and_then(|leg| leg.trunk.as_ref()),
    };
    Marking { a: of(call.a.trunk.as_ref()), b: of(callee) }
}

impl Engine {
    /// Whether the target that is being tried wants another mark, and may have other ports.
    pub(super) fn wants_other_marking(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| {
            let settings = self.snapshots.get(call.snapshot);
            call.a.sdp.last.is_empty() && call.media.marking != marking_of(call, &settings)
        })
    }
}
