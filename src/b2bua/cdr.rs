//! The call detail record: what is written of a call when it has ended, whatever the cause.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::{Instant, Realm, TrunkName};
use crate::media::MediaReport;

/// One call, from its INVITE to its end. Times are the core's; the sink turns them into UTC.
#[derive(Clone, PartialEq, Debug)]
pub struct Cdr {
    /// Our name of the call, the same in logs and in the admin interface.
    pub id: String,
    /// When the INVITE came.
    pub start: Instant,
    /// When the first 18x was passed to the caller.
    pub ring: Option<Instant>,
    /// When the 2xx was passed to the caller.
    pub answer: Option<Instant>,
    /// When both legs were over.
    pub end: Instant,
    /// User of From, as received.
    pub from: String,
    /// User of the Request-URI, as received.
    pub to: String,
    /// The caller's number in E.164, if it is one.
    pub from_e164: Option<String>,
    /// The called number in E.164, if it is one.
    pub to_e164: Option<String>,
    /// The number that a followed 3xx sent the call on to.
    pub redirected_to: Option<String>,
    /// Where the call came from.
    pub ingress: CdrLeg,
    /// Where it went in the end, before any transfer; `None` if no target was tried.
    pub egress: Option<CdrLeg>,
    /// The transfers that we carried out, in order.
    pub transfers: Vec<CdrTransfer>,
    /// Every target tried, in order; those of transfers too.
    pub attempts: Vec<Attempt>,
    /// The final status that the caller got.
    pub status: u16,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Why, in words for people.
    pub cause: String,
    /// The audio codec of the answer.
    pub codec: Option<String>,
    /// What the relay measured; `None` if no ports were asked for.
    pub media: Option<MediaReport>,
}

impl Cdr {
    /// The outcome as metrics count it.
    pub fn outcome(&self) -> Outcome {
        if self.answer.is_some() {
            Outcome::Answered
        } else if self.ended_by == EndedBy::Caller {
            Outcome::Cancelled
        } else if self.attempts.iter().all(|attempt| attempt.target.is_none()) {
            Outcome::Rejected
        } else {
            Outcome::Failed
        }
    }
}

/// One side of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrLeg {
    /// The side.
    pub realm: Realm,
    /// The trunk; `None` for a source that a realm's allowlist let in.
    pub trunk: Option<TrunkName>,
    /// The peer's signalling address.
    pub remote: SocketAddr,
    /// The dialog's Call-ID.
    pub call_id: String,
}

/// A transfer of a call (RFC 3515) that was carried out here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrTransfer {
    /// Whose place was taken: the caller's or the callee's.
    pub by: EndedBy,
    /// The number that was referred to.
    pub to: String,
    /// What became of it: the last status that the transferor was told, 200 if it succeeded.
    pub status: u16,
}

/// One target that was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// The trunk.
    pub trunk: TrunkName,
    /// The target's address; `None`: no host of the trunk had one.
    pub target: Option<SocketAddr>,
    /// How it ended.
    pub result: AttemptResult,
    /// From our INVITE until it rang there: the first 18x that was passed on. `None`: it did not.
    pub rang_after: Option<Duration>,
    /// How long it took.
    pub millis: u64,
}

/// How an attempt at a target ended; the `code` label of `drawbridge_call_attempts_total`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AttemptResult {
    /// This final response came.
    Status(u16),
    /// None came in time.
    Timeout,
    /// It could not be sent.
    Transport,
    /// There was no address to send it to: DNS knew none. No failure of the trunk's.
    Dns,
    /// The call ended before it answered: the caller gave up, or we did.
    Cancelled,
}

impl Attempt {
    /// From our INVITE to the first 18x that was passed on, or to the answer if there was none (RFC 6076 §4.3).
    pub fn setup(&self) -> Option<Duration> {
        let answer = || Duration::from_millis(self.millis);
        self.rang_after.or_else(|| self.result.is_answer().then(answer))
    }
}

impl AttemptResult {
    /// Whether it was answered, with a 2xx.
    pub const fn is_answer(self) -> bool {
        matches!(self, AttemptResult::Status(200..=299))
    }

    /// The final status; where none came, the word that stands in its place, in records, metrics and pages.
    ///
    /// # Errors
    /// That word.
    pub const fn code(self) -> Result<u16, &'static str> {
        match self {
            AttemptResult::Status(code) => Ok(code),
            AttemptResult::Timeout => Err("timeout"),
            AttemptResult::Transport => Err("transport"),
            AttemptResult::Dns => Err("dns"),
            AttemptResult::Cancelled => Err("cancelled"),
        }
    }
}

/// Who ended a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndedBy {
    /// The one who called.
    Caller,
    /// The one who was called.
    Callee,
    /// Drawbridge.
    Sbc,
}

impl EndedBy {
    /// As it stands in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndedBy::Caller => "caller",
            EndedBy::Callee => "callee",
            EndedBy::Sbc => "sbc",
        }
    }
}

/// The `outcome` label of `drawbridge_calls_total`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// A 2xx reached the caller.
    Answered,
    /// Targets were tried, none answered.
    Failed,
    /// The caller gave up.
    Cancelled,
    /// No target was tried.
    Rejected,
}

impl Outcome {
    /// Every outcome, for metrics that exist from the start.
    pub const ALL: [Outcome; 4] = [Outcome::Answered, Outcome::Failed, Outcome::Cancelled, Outcome::Rejected];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Rejected => "rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::AttemptFault;

    /// What is told of a trunk's calls is said below, where attempts are not known.
    #[test]
    fn an_attempt_ends_in_the_words_in_which_the_failures_of_its_trunk_are_told() {
        for (result, fault) in [
            (AttemptResult::Status(503), AttemptFault::Status(503)),
            (AttemptResult::Timeout, AttemptFault::Silence),
            (AttemptResult::Transport, AttemptFault::Unsent),
            (AttemptResult::Dns, AttemptFault::NoAddress),
        ] {
            let told = result.code().map_or_else(str::to_owned, |code| code.to_string());
            assert_eq!(told, fault.to_string());
        }
    }
}
