//! RFC 4475: all 49 messages.
//!
//! Where the RFC leaves a choice we take the strict one, unless a telephone that works would lose
//! its calls by it; `docs/torture.md` says why for each.

use super::{Answer, Call, Case, Dropped, case, run_all};
use crate::admission::DropReason::{Malformed, Unmatched};

/// Of `baddn` the archive has no blank line at the end, without which it would be no message.
pub const CASES: &[Case] = &[
    // §3.1.1: valid messages.
    // It has a To tag, and so is of a dialog that we do not know; `calls.rs` sends it without.
    case!("rfc4475", "wsinv", "3.1.1.1", Answer(481)),
    case!("rfc4475", "intmeth", "3.1.1.2", Answer(405)),
    case!("rfc4475", "esc01", "3.1.1.3", Call),
    case!("rfc4475", "escnull", "3.1.1.4", Answer(403)),
    case!("rfc4475", "esc02", "3.1.1.5", Answer(405)),
    case!("rfc4475", "lwsdisp", "3.1.1.6", Answer(200)),
    case!("rfc4475", "longreq", "3.1.1.7", Call),
    case!("rfc4475", "dblreq", "3.1.1.8", Answer(403)),
    case!("rfc4475", "semiuri", "3.1.1.9", Answer(200)),
    case!("rfc4475", "transports", "3.1.1.10", Answer(200)),
    case!("rfc4475", "mpart01", "3.1.1.11", Answer(405)),
    // Responses to nothing that we asked; `responses.rs` sends them as answers.
    case!("rfc4475", "unreason", "3.1.1.12", Dropped(Unmatched)),
    case!("rfc4475", "noreason", "3.1.1.13", Dropped(Unmatched)),
    // §3.1.2: invalid messages.
    case!("rfc4475", "badinv01", "3.1.2.1", Answer(400)),
    case!("rfc4475", "clerr", "3.1.2.2", Answer(400)),
    case!("rfc4475", "ncl", "3.1.2.3", Answer(400)),
    case!("rfc4475", "scalar02", "3.1.2.4", Answer(400)),
    case!("rfc4475", "scalarlg", "3.1.2.5", Dropped(Malformed)),
    case!("rfc4475", "quotbal", "3.1.2.6", Answer(400)),
    case!("rfc4475", "ltgtruri", "3.1.2.7", Answer(400)),
    case!("rfc4475", "lwsruri", "3.1.2.8", Answer(400)),
    case!("rfc4475", "lwsstart", "3.1.2.9", Answer(400)),
    case!("rfc4475", "trws", "3.1.2.10", Answer(400)),
    case!("rfc4475", "escruri", "3.1.2.11", Call),
    case!("rfc4475", "baddate", "3.1.2.12", Call),
    case!("rfc4475", "regbadct", "3.1.2.13", Answer(403)),
    case!("rfc4475", "badaspec", "3.1.2.14", Answer(400)),
    case!("rfc4475", "baddn", "3.1.2.15", Answer(200)),
    case!("rfc4475", "badvers", "3.1.2.16", Answer(505)),
    case!("rfc4475", "mismatch01", "3.1.2.17", Answer(400)),
    case!("rfc4475", "mismatch02", "3.1.2.18", Answer(501)),
    case!("rfc4475", "bigcode", "3.1.2.19", Dropped(Malformed)),
    // §3.2: the transaction layer.
    case!("rfc4475", "badbranch", "3.2.1", Answer(200)),
    // §3.3: the application.
    case!("rfc4475", "insuf", "3.3.1", Answer(400)),
    case!("rfc4475", "unkscm", "3.3.2", Answer(416)),
    case!("rfc4475", "novelsc", "3.3.3", Answer(416)),
    case!("rfc4475", "unksm2", "3.3.4", Answer(403)),
    case!("rfc4475", "bext01", "3.3.5", Answer(420)),
    case!("rfc4475", "invut", "3.3.6", Answer(415)),
    case!("rfc4475", "regaut01", "3.3.7", Answer(403)),
    case!("rfc4475", "multi01", "3.3.8", Answer(400)),
    case!("rfc4475", "mcl01", "3.3.9", Answer(400)),
    case!("rfc4475", "bcast", "3.3.10", Dropped(Unmatched)),
    case!("rfc4475", "zeromf", "3.3.11", Answer(200)),
    case!("rfc4475", "cparam01", "3.3.12", Answer(403)),
    case!("rfc4475", "cparam02", "3.3.13", Answer(403)),
    case!("rfc4475", "regescrt", "3.3.14", Answer(403)),
    case!("rfc4475", "sdp01", "3.3.15", Answer(406)),
    // §3.4: the older RFC.
    case!("rfc4475", "inv2543", "3.4.1", Call),
];

#[test]
fn every_message_of_rfc_4475_gets_what_is_due_to_it_and_the_next_call_works() {
    assert_eq!(CASES.len(), 49);
    run_all("RFC 4475", CASES);
}
