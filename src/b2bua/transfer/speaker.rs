//! Who speaks on a leg, as the one who is called for a transfer is told: the caller or the callee of the
//! call, and of a leg that came from another call whoever it was there.
//!
//! Must not know: what of it is shown; that is the business of the trunk it is told to.

use bytes::Bytes;

use super::super::call::{Call, CallNumbers};
use super::super::caller::Privacy;
use super::super::diversion::Diversions;
use crate::media::Side;
use crate::numbering::Number;

/// A party by its number.
#[derive(Clone, Debug)]
pub struct Speaker {
    number: Number,
    display: Option<Bytes>,
    /// Whether a peer of our trust domain vouches for it (RFC 3325 §2.3).
    is_asserted: bool,
    privacy: Privacy,
}

/// The party of a side.
pub(super) fn of(call: &Call, side: Side) -> Speaker {
    let known = call.leg(side).and_then(|leg| leg.speaker.clone());
    known.unwrap_or_else(|| match side {
        Side::A => Speaker {
            number: call.numbers.caller.clone(),
            display: call.numbers.caller_display.clone(),
            is_asserted: call.numbers.caller_is_asserted,
            privacy: call.numbers.privacy,
        },
        Side::B => Speaker {
            number: call.numbers_sent().called.clone(),
            display: None,
            is_asserted: false,
            privacy: Privacy::Unsaid,
        },
    })
}

/// The numbers of a call that the party of a side makes; whom it calls is still to be said.
pub(super) fn numbers_of(call: &Call, side: Side) -> CallNumbers {
    let is_first_caller = side == Side::A && call.a.speaker.is_none();
    let speaker = of(call, side);
    // A name of one side is no business of the other's.
    let is_name = matches!(speaker.number, Number::Name(_));
    let caller = if is_name { Number::Name(String::new()) } else { speaker.number };
    let diversions = is_first_caller.then(|| call.numbers.diversions.clone());
    CallNumbers {
        caller_received: caller.as_str().to_owned(),
        caller,
        caller_display: speaker.display,
        caller_is_asserted: speaker.is_asserted,
        privacy: speaker.privacy,
        diversions: diversions.unwrap_or_else(Diversions::default),
        ..call.numbers.clone()
    }
}
