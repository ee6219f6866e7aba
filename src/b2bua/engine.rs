//! The engine.

use std::sync::Arc;

use super::{Census, Input, Output, Settings};
use crate::base::{Instant, Random};

/// Owns every call of one shard: single-threaded, sans-IO.
#[derive(Debug)]
pub struct Engine {
    settings: Arc<Settings>,
    random: Random,
}

impl Engine {
    /// An engine without calls. `shard` is carried by every Call-ID and tag that it mints.
    pub fn new(settings: Arc<Settings>, random: Random, shard: u8, now: Instant) -> Engine {
        let _ = (shard, now);
        Engine { settings, random }
    }

    /// Takes one input; then [`Engine::poll`] until it gives nothing more.
    pub fn handle(&mut self, now: Instant, input: Input) {
        let _ = (now, input, &self.settings, &self.random);
    }

    /// Lets everything happen that is due.
    pub fn on_time(&mut self, now: Instant) {
        let _ = now;
    }

    /// When [`Engine::on_time`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// The next output, in the order in which they were asked for.
    pub fn poll(&mut self) -> Option<Output> {
        None
    }

    /// What is going on.
    pub fn census(&self) -> Census {
        Census::default()
    }

    /// Whether new calls are taken.
    pub fn is_draining(&self) -> bool {
        false
    }
}
