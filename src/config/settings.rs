//! The checked configuration: what the core's modules are given, and what only the shell needs.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Fault, ListenerTls, TrunkClients};
use crate::base::{Realm, Transport};
use crate::relay::ZeroCopy;
use crate::routing::{Host, Timeouts};
use crate::telemetry::CdrSettings;
use crate::telemetry::hep::HepSettings;
use crate::{admission, media, numbering, routing};

/// A whole configuration without a fault. One immutable snapshot: a reload makes another.
#[derive(Clone, Debug)]
pub struct Config {
    /// `node.name`.
    pub node: String,
    /// `[admin]`.
    pub admin: Admin,
    /// `[[listener]]`, in the order of the file; at least one for each realm.
    pub listeners: Vec<Listener>,
    /// `realm.*.allow`, the trunks' `allow` and their literal hosts.
    pub admission: admission::Settings,
    /// `[numbering]`.
    pub numbering: numbering::Settings,
    /// `[calls]`.
    pub calls: Timeouts,
    /// `[trunk.*]` and `[[route]]`.
    pub routing: routing::Settings,
    /// What the trunks' TLS connections are opened with.
    pub clients: TrunkClients,
    /// `[media]` and the realms' media addresses.
    pub media: media::Settings,
    /// What of `[media]` concerns the relay's threads alone.
    pub relay: Relay,
    /// `dns.nameservers`; empty: the system's.
    pub nameservers: Vec<SocketAddr>,
    /// `[cdr]`.
    pub cdr: CdrSettings,
    /// `[hep]`; absent: nothing is copied to a capture server.
    pub hep: Option<HepSettings>,
    /// `[log]`.
    pub log: Log,
    /// What is no fault, but rarely meant.
    pub warnings: Vec<Fault>,
}

/// `[log]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `log.filter`: from which level on what is logged, as `RUST_LOG` has it.
    pub filter: String,
    /// `log.redact_numbers`.
    pub redact_numbers: bool,
}

impl Default for Log {
    fn default() -> Log {
        Log { filter: "info".to_owned(), redact_numbers: false }
    }
}

/// `[admin]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// HTTP for metrics, health and status.
    pub listen: SocketAddr,
    /// Unix socket for what changes things; `None`: there is none.
    pub socket: Option<PathBuf>,
    /// Whether `socket` is written, so that it has to be had; the default is only tried.
    pub needs_socket: bool,
}

/// One `[[listener]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Its side.
    pub realm: Realm,
    /// How messages travel there.
    pub transport: Transport,
    /// What the socket binds.
    pub bind: SocketAddr,
    /// What Via and Contact say.
    pub advertise: HostPort,
    /// Its certificate, where the transport is TLS.
    pub tls: Option<ListenerTls>,
}

/// A host with a port, as it stands in Via and Contact.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostPort {
    /// Name or address.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(address) => write!(f, "{}", SocketAddr::new(*address, self.port)),
        }
    }
}

/// The relay's own settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relay {
    /// `media.workers`; absent: one a core.
    pub workers: Option<usize>,
    /// `media.engine`.
    pub engine: RelayEngine,
    /// `media.batch`: for how long packets may gather; zero: not at all.
    pub batch: Duration,
    /// `media.zero_copy`.
    pub zero_copy: ZeroCopy,
    /// `media.busy_poll`; zero: none.
    pub busy_poll: Duration,
    /// `media.pin`.
    pub pin: bool,
}

impl Default for Relay {
    fn default() -> Relay {
        Relay {
            workers: None,
            engine: RelayEngine::Auto,
            batch: Duration::from_micros(200),
            zero_copy: ZeroCopy::Auto,
            busy_poll: Duration::ZERO,
            pin: true,
        }
    }
}

/// `media.engine`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RelayEngine {
    /// io_uring where the kernel lets us, else portable with one warning.
    #[default]
    Auto,
    /// io_uring or a refusal to start.
    IoUring,
    /// epoll.
    Portable,
}

impl RelayEngine {
    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            RelayEngine::Auto => "auto",
            RelayEngine::IoUring => "io_uring",
            RelayEngine::Portable => "portable",
        }
    }
}
