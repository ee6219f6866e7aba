//! To whom a trunk's credentials are given, and by which hashes (RFC 7616, RFC 8760).
//!
//! Must not know: how a digest is computed.

use super::{Host, Router, Trunk};
use crate::base::TrunkName;
use std::net::IpAddr;

/// What a challenge of a trunk must be to be answered. By default every one is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Authentication {
    /// `auth_realm`: the realms that may ask, as they write themselves; empty: each.
    pub realms: Vec<String>,
    /// `auth_algorithms`: the hashes that are computed, by their names in RFC 8760 §2.2, without
    /// `-sess`; empty: each that we know.
    pub algorithms: Vec<String>,
}

impl Authentication {
    /// Whether a realm may have a digest.
    pub fn trusts(&self, realm: &str) -> bool {
        self.realms.is_empty() || self.realms.iter().any(|known| known == realm)
    }

    /// Whether a hash is good enough.
    pub fn takes(&self, algorithm: &str) -> bool {
        self.algorithms.is_empty() || self.algorithms.iter().any(|known| known == algorithm)
    }
}

impl Router {
    /// Whether an address is one that the trunk's hosts have now, or one of its `allow`.
    pub fn is_of_trunk(&self, trunk: &TrunkName, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let has = |trunk: &Trunk| {
            trunk.allow.iter().any(|network| network.contains(&address))
                || trunk
                    .hosts
                    .iter()
                    .any(|at| matches!(at.host, Host::Address(own) if own.to_canonical() == address))
                || trunk.queries().any(|query| self.addresses_of(&query).contains(&address))
        };
        self.settings().trunk(trunk).is_some_and(has)
    }
}
