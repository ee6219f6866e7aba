//! One-way audio in one line of the log: who is not heard, what came all the same, and where to look.
//!
//! Must not know: when it is told.

use std::fmt::Write;

use crate::b2bua::{EndedBy, OneWayAudio, PartyPlace};
use crate::media::DropReason;

/// The line, without the call's id.
pub(super) fn text(told: &OneWayAudio) -> String {
    let found = &told.found;
    let (silent, other) = match told.silent {
        EndedBy::Caller => ("caller", "callee"),
        EndedBy::Callee | EndedBy::Sbc => ("callee", "caller"),
    };
    let mut line = format!(
        "{} RTP from the {silent} ({}) for {} s, while {} packets came from the {other} ({})",
        if found.was_heard { "no more" } else { "no" },
        of(&told.place),
        found.lasted.as_secs(),
        found.heard_across,
        of(&told.across),
    );
    // Writing into a String does not fail.
    if let Some(signalled) = found.signalled {
        let _ = write!(line, "; its SDP says {signalled}");
    }
    match &found.dropped {
        Some(dropped) => {
            let _ = write!(line, "; {} packets were dropped: {}", dropped.packets, dropped.reason.as_str());
            if let Some(source) = dropped.source {
                let _ = write!(line, ", the last from {source}");
            }
            line.push_str(hint(dropped.reason));
        }
        None => {
            line.push_str("; nothing arrived");
            if let Some(port) = told.port {
                let _ = write!(line, " on {port}");
            }
            line.push_str(": see whether a firewall lets it through, and what media_advertise says");
        }
    }
    if found.sent_to.is_none() {
        line.push_str(
            "; nothing can be sent to it before it is heard, for its address is one of its own network",
        );
    }
    line
}

fn of(place: &PartyPlace) -> String {
    match &place.trunk {
        Some(trunk) => format!("trunk {trunk}"),
        None => format!("{} side", place.realm),
    }
}

/// What to look at.
const fn hint(reason: DropReason) -> &'static str {
    match reason {
        DropReason::SourceMismatch => {
            " (latch of its trunk does not take that address and port: see docs/media.md)"
        }
        DropReason::NotRtp => " (no RTP: DTLS, STUN or ZRTP wants an answer that nobody gives)",
        DropReason::NotSending => " (its SDP says that it does not send)",
        DropReason::NotReceiving => " (the other side's SDP says that it does not receive)",
        DropReason::NoDestination => " (the other side has no address yet)",
        DropReason::Learning => {
            " (its source has not shown that it is one sender: see how a source is learned in docs/media.md)"
        }
        DropReason::Implausible => {
            " (a payload type that neither side's SDP lists, or RTCP of another sender)"
        }
        DropReason::TooLarge => " (longer than a receive buffer: no codec of a telephone sends that)",
        DropReason::SendQueueFull => " (on the way to the other side a queue of this host was full)",
        DropReason::SendUnreachable => " (this host has no way to the other side)",
        DropReason::SendForbidden => " (a packet filter of this host forbids to send it to the other side)",
        DropReason::SendTooLong => " (it is longer than the way to the other side takes)",
        DropReason::SendFailed => " (this host cannot send to the other side's address)",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Realm, TrunkName};
    use crate::media::{Dropped, OneWay, Side};

    /// A callee of a trunk that is not heard.
    pub(in crate::telemetry) fn told() -> OneWayAudio {
        OneWayAudio {
            call: "c-1".to_owned(),
            silent: EndedBy::Callee,
            place: PartyPlace { realm: Realm::Untrusted, trunk: Some(TrunkName::from("sinch")) },
            across: PartyPlace { realm: Realm::Trusted, trunk: None },
            port: "203.0.113.5:10022".parse().ok(),
            found: OneWay {
                silent: Side::B,
                stream: 0,
                lasted: Duration::from_millis(5_900),
                was_heard: false,
                heard_across: 250,
                signalled: "203.0.113.9:4000".parse().ok(),
                sent_to: "203.0.113.9:4000".parse().ok(),
                dropped: None,
                is_overdue: false,
            },
        }
    }

    #[test]
    fn what_never_came_is_told_from_what_was_dropped() {
        assert_eq!(
            text(&told()),
            "no RTP from the callee (trunk sinch) for 5 s, while 250 packets came from the caller (trusted \
             side); its SDP says 203.0.113.9:4000; nothing arrived on 203.0.113.5:10022: see whether a \
             firewall lets it through, and what media_advertise says"
        );
        let mut told = told();
        told.found.dropped = Some(Dropped {
            reason: DropReason::SourceMismatch,
            packets: 37,
            source: "198.51.100.7:40000".parse().ok(),
        });
        told.found.was_heard = true;
        let text = text(&told);
        assert!(text.starts_with("no more RTP from the callee"), "{text}");
        assert!(
            text.contains("; 37 packets were dropped: source_mismatch, the last from 198.51.100.7:40000 (latch of its trunk does not take that address and port: see docs/media.md)"),
            "{text}"
        );
    }

    #[test]
    fn a_peer_behind_a_nat_that_waits_to_hear_us_is_told_of() {
        let mut told = told();
        told.silent = EndedBy::Caller;
        told.found.sent_to = None;
        let text = text(&told);
        assert!(text.starts_with("no RTP from the caller (trunk sinch)"), "{text}");
        assert!(text.contains("nothing can be sent to it before it is heard"), "{text}");
    }
}
