//! Routing: which trunk a call came from, and which targets it may go to, in which order.
//!
//! Must not know: transactions, media, SIP messages.

mod settings;

pub use settings::{
    CallerIdFallback, CallerIdPolicy, CodePattern, Credentials, Failover, HeaderRules, Host, Identity,
    Limits, NumberPattern, Route, RouteSource, Settings, Trunk, TrunkHost,
};

/// The answer to a look-up of a trunk's host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// Its addresses, valid for so long.
    Found {
        /// In the order of the answer.
        addresses: Vec<std::net::IpAddr>,
        /// The smallest TTL.
        valid_for: std::time::Duration,
    },
    /// The name does not exist, or has no address.
    NotFound,
    /// No resolver answered: what was known before stays true.
    Unanswered,
}
