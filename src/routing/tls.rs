//! How a trunk is known over TLS (RFC 5922): the name that its certificate must have, and all that
//! says how it is verified, as one value that no two different answers share.
//!
//! Must not know: TLS itself, what is in the files.

use std::net::IpAddr;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::settings::{Host, Trunk};
use crate::base::PeerIdentity;

/// `tls` of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrunkTls {
    /// Certificates that the peer's must lead to; absent: the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate, for peers that ask for one.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name that the peer's certificate must have; absent: the host's.
    pub server_name: Option<String>,
    /// Whether it is verified at all. False only if somebody wrote so.
    pub verify: bool,
}

impl Default for TrunkTls {
    fn default() -> Self {
        TrunkTls { ca: None, certificate: None, key: None, server_name: None, verify: true }
    }
}

impl Trunk {
    /// The name that a host's certificate must have: what is written, else the host's own name; of a
    /// host that is known by its address alone the trunk's domain.
    pub fn server_name(&self, host: &str) -> String {
        let is_name = |name: &&str| !name.is_empty() && !is_address(name);
        let written = self.tls.server_name.as_deref();
        let name = written.or(Some(host).filter(is_name)).or(Some(self.domain.as_str()).filter(is_name));
        name.unwrap_or(host).to_owned()
    }

    /// Whom a TLS connection to one of its hosts must lead to.
    pub fn identity(&self, host: &str) -> PeerIdentity {
        let TrunkTls { ca, certificate, key, server_name: _, verify } = &self.tls;
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        add(self.server_name(host).as_bytes());
        for path in [ca, certificate, key] {
            add(path.as_deref().map_or(b"", |path| path.as_os_str().as_encoded_bytes()));
        }
        add(&[u8::from(*verify)]);
        let digest = digest.finalize();
        let number = digest.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        // 0 is nobody.
        PeerIdentity(number.max(1))
    }

    /// The identity of its first host, or nobody's if it cannot be reached over TLS.
    pub fn first_identity(&self) -> PeerIdentity {
        match self.hosts.first() {
            Some(first) if self.may_use_tls() => self.identity(&host_text(&first.host)),
            Some(_) | None => PeerIdentity::NONE,
        }
    }
}

/// A host as [`super::Target::host`] has it.
pub fn host_text(host: &Host) -> String {
    match host {
        Host::Name(name) => name.clone(),
        Host::Address(address) => address.to_string(),
    }
}

fn is_address(name: &str) -> bool {
    name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}
