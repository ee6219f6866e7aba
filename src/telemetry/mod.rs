//! What an operator sees of the program: metrics, call detail records, log lines.
//!
//! Must not know: how anything was decided. It is handed events and records.

pub mod cdr;
mod configured;
mod families;
mod health;
pub mod hep;
pub mod history;
pub mod log;
mod meter;
mod metrics;
pub mod names;
pub mod notices;
mod one_way;
pub mod redact;
pub mod reference;
pub(crate) mod rfc3339;

pub use cdr::{CdrReport, CdrSettings, CdrSink, CdrState};
pub use families::Family;
pub use health::{log_calls, log_health, told_fault};
pub use meter::Meter;
pub use metrics::{Metrics, RelayTotals};
