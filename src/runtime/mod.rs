//! The machine's side of the core's inputs: the clock, the seed, signals, service notification,
//! file changes, and the loop that drives the engine.
//!
//! Must not know: SIP semantics.

pub mod clock;
pub mod driver;
pub mod load;
mod lookups;
mod media_questions;
pub mod notify;
pub mod seed;
pub mod signals;
pub mod watch;

pub use clock::Clock;
