//! Routing: which trunk a call came from, and which targets it may go to, in which order.
//!
//! Must not know: transactions, media, SIP messages.

mod settings;

pub use settings::{
    CallerIdFallback, CallerIdPolicy, CodePattern, Credentials, Failover, HeaderRules, Host, Identity,
    Limits, NumberPattern, Route, RouteSource, Settings, Trunk, TrunkHost,
};
