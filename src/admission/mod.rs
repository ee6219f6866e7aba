//! Admission: whether a source may speak at all (one look-up by address, before any parse), and how often
//! it may say what begins nothing.
//!
//! Must not know: SIP, routing.

mod allowlist;
mod rate;

use ipnet::IpNet;

use crate::base::ByRealm;

pub use allowlist::Allowlist;
pub use rate::SourceRates;

/// Who may send SIP to each realm's listeners, filled by `config`: the realm's own `allow` and the
/// `allow` lists of its trunks. Resolved trunk hosts are added while running.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// The allowed networks of each realm.
    pub allow: ByRealm<Vec<IpNet>>,
    /// How many messages a second that begin nothing (OPTIONS, …) one source is answered; absent: all.
    pub rate: ByRealm<Option<u32>>,
}

/// Why something that arrived was dropped without an answer; the `reason` label of
/// `drawbridge_sip_dropped_total`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropReason {
    /// The source is in no allowlist.
    SourceNotAllowed,
    /// Not a SIP message, or one that cannot even be answered.
    Malformed,
    /// The node holds as many transactions as it may.
    Overloaded,
    /// Its source has as much of the node as one source may: transactions, or calls in set-up. As with
    /// `Overloaded`, the sender is told 503. Or it says more than it may that begins nothing: that gets
    /// no answer.
    RateLimited,
    /// A response or an ACK that belongs to nothing here.
    Unmatched,
    /// A keep-alive (RFC 5626 §4.4.1: CRLF, or a lone NUL).
    KeepAlive,
    /// A connection beyond what a listener or one source may have.
    TooManyConnections,
    /// A connection without a TLS handshake, or with one that failed.
    TlsHandshake,
}

impl DropReason {
    /// Every reason, for metrics that exist from the start.
    pub const ALL: [DropReason; 8] = [
        DropReason::SourceNotAllowed,
        DropReason::Malformed,
        DropReason::Overloaded,
        DropReason::RateLimited,
        DropReason::Unmatched,
        DropReason::KeepAlive,
        DropReason::TooManyConnections,
        DropReason::TlsHandshake,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::SourceNotAllowed => "source_not_allowed",
            DropReason::Malformed => "malformed",
            DropReason::Overloaded => "overloaded",
            DropReason::RateLimited => "rate_limited",
            DropReason::Unmatched => "unmatched",
            DropReason::KeepAlive => "keep_alive",
            DropReason::TooManyConnections => "too_many_connections",
            DropReason::TlsHandshake => "tls_handshake",
        }
    }
}
