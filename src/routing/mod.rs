//! Routing: which trunk a call came from, and which targets it may go to, in which order.
//!
//! Must not know: transactions, media, SIP messages.

mod draw;
mod hosts;
mod limits;
mod query;
mod router;
mod settings;
mod sources;
mod timeouts;
mod tls;

pub use hosts::HostReport;
pub use limits::{CallLimits, LimitReached};
pub use query::{
    DnsQuestion, Endpoint, Query, Reach, RecordKind, Resolution, ResolveFault, transport_of_service,
};
pub use router::{Ingress, Mismatch, NoRoute, Router, Selection, Target};
pub use settings::{
    BodyRules, CallerIdFallback, CallerIdPolicy, CodePattern, Credentials, DiversionForm, Failover,
    HeaderRules, Host, Identity, Limits, NumberPattern, Redirect, Refer, Route, RouteSource, Settings, Trunk,
    TrunkHost,
};
pub use sources::{Ambiguity, ambiguities};
pub use timeouts::Timeouts;
pub use tls::{TrunkTls, host_text};

#[cfg(test)]
mod tests;
