//! From the configuration to what each part is started with.

use std::net::SocketAddr;
use std::thread::available_parallelism;

use crate::b2bua::{Listener, Settings};
use crate::config::{Config, HostPort, RelayEngine};
use crate::relay::{EngineChoice, RelaySettings};

/// The engine's settings; `bound` are the listeners' addresses as they were really bound.
pub(super) fn engine(config: &Config, bound: &[SocketAddr]) -> Settings {
    let listener = |(configured, bound): (&crate::config::Listener, &SocketAddr)| Listener {
        realm: configured.realm,
        transport: configured.transport,
        bind: *bound,
        advertise: advertised(&configured.advertise, bound.port()),
    };
    Settings {
        node: config.node.clone(),
        listeners: config.listeners.iter().zip(bound).map(listener).collect(),
        admission: config.admission.clone(),
        numbering: config.numbering.clone(),
        routing: config.routing.clone(),
        media: config.media.clone(),
        timeouts: config.calls,
    }
}

/// Port 0 advertises what the system chose.
fn advertised(configured: &HostPort, bound_port: u16) -> String {
    let port = if configured.port == 0 { bound_port } else { configured.port };
    HostPort { host: configured.host.clone(), port }.to_string()
}

/// The relay's settings.
pub(super) fn relay(config: &Config) -> RelaySettings {
    let cores = available_parallelism().map_or(1, usize::from);
    RelaySettings {
        workers: config.relay.workers.unwrap_or(cores),
        engine: match config.relay.engine {
            RelayEngine::Auto => EngineChoice::Auto,
            RelayEngine::IoUring => EngineChoice::IoUring,
            RelayEngine::Portable => EngineChoice::Portable,
        },
        timeout: config.media.timeout,
    }
}
