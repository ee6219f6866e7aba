//! What a failure of a request within a dialog does to the dialog (RFC 5057 §5.1, its table 1).
//!
//! Must not know: calls, timers.

use crate::sip::Status;

/// Whether the peer's answer to a request of ours says that the dialog is no more, and the call in it.
/// Codes that end one usage alone end ours, the call, if the request was of that: 408 and 481 to a NOTIFY
/// say that there is no such subscription.
pub fn ends_call(status: Status, is_notify: bool) -> bool {
    match status.code() {
        408 | 481 => !is_notify,
        404 | 410 | 416 | 482..=485 | 502 | 604 => true,
        _ => false,
    }
}
