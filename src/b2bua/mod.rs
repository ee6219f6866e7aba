//! The back-to-back user agent: the only place where the two legs of a call meet (RFC 7092 §3.2).
//!
//! Must not know: sockets, clocks, the relay's insides, TOML, Prometheus.

mod cdr;
mod engine;
mod io;
mod settings;

pub use cdr::{Attempt, AttemptResult, Cdr, CdrLeg, EndedBy, Outcome};
pub use engine::Engine;
pub use io::{Census, Event, Input, Output};
pub use settings::{Listener, Settings, Timeouts};
