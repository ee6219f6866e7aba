//! Routing: which trunk a call came from, and which targets it may go to, in which order.
//!
//! Must not know: transactions, media, SIP messages.

mod authentication;
mod balance;
mod breaker;
mod draw;
mod health;
mod hosts;
mod limits;
mod matching;
mod query;
mod registration;
mod report;
mod router;
mod settings;
mod sources;
mod switches;
mod tally;
mod timeouts;
mod tls;
mod uri_host;

pub use authentication::Authentication;
pub use balance::{Balance, MAX_WEIGHT, Selection, Tier, TierTrunk};
pub use breaker::{Obstacle, State as BreakerState};
pub use health::{
    CallResult, DownBecause, Failure, HealthChange, ProbeResult, TargetHealth, TargetKey, TargetsHealth,
};
pub use hosts::HostReport;
pub use limits::{CallLimits, LimitReached};
pub use matching::{Fit, Misfit, RequestFacts, TrunkMatch};
pub use query::{
    DnsQuestion, Endpoint, Query, Reach, RecordKind, Resolution, ResolveFault, transport_of_service,
};
pub use registration::{
    Register, RegisterTo, RegistrationReport, Setback, begin_after, refresh_after, wait_after,
};
pub use report::{TargetReport, TargetState, TrunkReport, TrunkState};
pub use router::{Ingress, Mismatch, NoRoute, Router, Target};
pub use settings::{
    BodyRules, CallerIdFallback, CallerIdPolicy, CodePattern, Credentials, DiversionForm, Dtmf, Failover,
    HeaderRules, Health, Host, Identity, Limits, NumberPattern, Redirect, Refer, Route, RouteSource,
    Settings, Srtp, Trunk, TrunkHost, is_last_word,
};
pub use sources::{Ambiguity, Claim, SharedSource, ambiguities};
pub use switches::Switched;
pub use tally::{AttemptEnd, AttemptFault, CallsChange, Frequent, Tallies, TallyReport};
pub use timeouts::Timeouts;
pub use tls::{TrunkTls, host_text};

#[cfg(test)]
mod tests;
