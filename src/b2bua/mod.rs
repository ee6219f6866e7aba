//! The back-to-back user agent: the only place where the two legs of a call meet (RFC 7092 §3.2).
//!
//! [`Engine`] takes [`Input`]s with the time and gives [`Output`]s; `engine.rs` says which file
//! does what. Must not know: sockets, clocks, the relay's insides, TOML, Prometheus.

mod acks;
mod addressing;
mod after_ringing;
mod attempt;
mod bodies;
mod call;
mod call_media;
mod call_page;
mod call_search;
mod called;
mod caller;
mod capabilities;
mod cdr;
mod challenge;
mod connections;
mod credentials;
mod diversion;
mod dtmf;
mod early_dialogs;
mod ended_calls;
mod ending;
mod engine;
pub mod explain;
mod fairness;
mod header_policy;
mod in_dialog;
mod inbound;
mod ingress;
pub mod inquiry;
mod io;
mod ladder;
mod late_success;
mod loops;
mod nonces;
mod operator;
mod outgoing;
mod outside_dialog;
mod party;
mod passwords;
mod probes;
mod realign;
mod redirect;
mod registration;
mod reliable;
mod resending;
mod secured_media;
mod sending;
mod session_timer;
mod settings;
mod snapshots;
mod standalone;
mod tally;
mod target_health;
mod target_refresh;
mod transfer;
mod update;

#[cfg(test)]
mod tests;

pub use call_media::{OneWayAudio, PartyPlace};
pub use call_page::{CallEnd, CallFound, CallPage, LegPage, NamedTimer, RoutePage, Trying};
pub use call_search::CallSearch;
pub use cdr::{Attempt, AttemptResult, Cdr, CdrLeg, CdrTransfer, EndedBy, Outcome};
pub use credentials::AuthenticationFault;
pub use engine::{Engine, MAX_CALLS, MAX_TRANSACTIONS, RETRY_AFTER_S};
pub use header_policy::may_set_header;
pub use io::{Census, Event, Input, Output};
pub use ladder::{Direction, LadderMessage, LadderReport};
pub use operator::{CallPhase, CallReport, ReportedLeg};
pub use registration::{RegistrationChange, RegistrationFault};
pub use settings::{Listener, Settings, Timeouts};
