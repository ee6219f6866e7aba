//! Routing: which trunk a call came from, and which targets it may go to, in which order.
//!
//! Must not know: transactions, media, SIP messages.

mod authentication;
mod balance;
mod hosts;
mod limits;
mod router;
mod settings;
mod sources;
mod timeouts;
mod tls;

pub use authentication::Authentication;
pub use balance::{Balance, MAX_WEIGHT, Selection, Tier, TierTrunk};
pub use hosts::{Resolution, ResolveFault};
pub use limits::{CallLimits, LimitReached};
pub use router::{Ingress, Mismatch, NoRoute, Router, Target};
pub use settings::{
    BodyRules, CallerIdFallback, CallerIdPolicy, CodePattern, Credentials, DiversionForm, Failover,
    HeaderRules, Host, Identity, Limits, NumberPattern, Redirect, Refer, Route, RouteSource, Settings, Srtp,
    Trunk, TrunkHost,
};
pub use sources::{Ambiguity, ambiguities};
pub use timeouts::Timeouts;
pub use tls::{TrunkTls, host_text};

#[cfg(test)]
mod tests;
