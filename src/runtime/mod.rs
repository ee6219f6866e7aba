//! The machine's side of the core's inputs: the clock, the seed, signals, service notification and
//! the loop that drives the engine.
//!
//! Must not know: SIP semantics.

pub mod clock;

pub use clock::Clock;
