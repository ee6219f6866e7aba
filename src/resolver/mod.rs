//! DNS by RFC 3263: from a host of a trunk to its addresses, bounded in time and size. Each step can
//! be told (`walk.rs`). What to do with an answer, and with none, the core decides.
//!
//! Must not know: trunks.

mod servers;
mod walk;

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::net::NetError;
use tokio::time::timeout;

use self::servers::Servers;
use self::walk::Walker;
use crate::routing::{Query, Reach, Resolution, ResolveFault};

pub use self::servers::{QUERY_TIMEOUT, QuestionFault};
pub use self::walk::{Answer, Step, Walk};

/// A whole walk, NAPTR, SRV and addresses, takes no longer: each of the three may be met by silence.
const WALK_TIMEOUT: Duration = Duration::from_secs(10);
const _: () = assert!(3 * servers::ROUNDS as u128 * QUERY_TIMEOUT.as_millis() < WALK_TIMEOUT.as_millis());

/// Which servers to ask.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// In order; empty: those of the system's resolv.conf.
    pub nameservers: Vec<SocketAddr>,
}

/// No resolver could be made of the settings or of the system's configuration.
#[derive(Debug, thiserror::Error)]
#[error("no DNS resolver: {0}")]
pub struct SetupFault(#[from] NetError);

/// Looks names up. Names of /etc/hosts need no server. It keeps no answers: who asks does, and asks
/// again before they run out.
#[derive(Clone)]
pub struct Resolver(Servers);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver(…)")
    }
}

impl Resolver {
    /// A resolver for the tokio runtime that it is used on.
    ///
    /// # Errors
    /// The system's configuration cannot be read.
    pub fn new(settings: &Settings) -> Result<Resolver, SetupFault> {
        Ok(Resolver(Servers::new(&settings.nameservers, QUERY_TIMEOUT)?))
    }

    /// Where a host is reached by a node that can send so.
    ///
    /// # Errors
    /// DNS has nothing, or no word came of it.
    pub async fn resolve(&self, query: &Query, reach: Reach) -> Result<Resolution, ResolveFault> {
        self.walk(query, reach).await.resolution
    }

    /// The same, with every question that was asked on the way.
    pub async fn walk(&self, query: &Query, reach: Reach) -> Walk {
        let mut walker = Walker::new(&self.0, query, reach);
        let resolution = timeout(WALK_TIMEOUT, walker.run()).await.unwrap_or(Err(ResolveFault::NoAnswer));
        Walk { steps: walker.into_steps(), resolution }
    }
}

#[cfg(test)]
mod tests;
