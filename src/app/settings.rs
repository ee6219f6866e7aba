//! From the configuration to what each part is started with.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::available_parallelism;

use crate::b2bua::{Listener, Settings};
use crate::base::ListenerId;
use crate::config::{Config, HostPort, RelayEngine};
use crate::relay::{EngineChoice, Features, RelaySettings};
use crate::transport::TlsMaterial;

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

/// The engine's settings of a configuration that nothing is started with.
pub fn offline(config: &Config) -> Settings {
    let binds: Vec<SocketAddr> = config.listeners.iter().map(|listener| listener.bind).collect();
    engine(config, &binds)
}

/// What connections are opened with.
pub(super) fn tls(config: &Config) -> TlsMaterial {
    let servers = (0..).zip(&config.listeners).filter_map(|(place, listener)| {
        let tls = listener.tls.as_ref()?;
        Some((ListenerId(place), tls.loaded.clone()))
    });
    let clients = config.clients.iter().map(|(identity, client)| (*identity, client.clone()));
    TlsMaterial { servers: servers.collect(), clients: clients.collect() }
}

/// The directories of certificates and keys, whose changes matter like those of the configuration.
pub(super) fn tls_directories(config: &Config) -> BTreeSet<PathBuf> {
    let listeners =
        config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| {
            [Some(&tls.files.certificate), Some(&tls.files.key), tls.files.client_ca.as_ref()]
        });
    let trunks =
        config.routing.trunks.iter().flat_map(|trunk| {
            [trunk.tls.ca.as_ref(), trunk.tls.certificate.as_ref(), trunk.tls.key.as_ref()]
        });
    let files = listeners.chain(trunks).flatten();
    files.filter_map(|file| file.parent().map(std::path::Path::to_owned)).collect()
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
        batch: config.relay.batch,
        zero_copy: config.relay.zero_copy,
        busy_poll: config.relay.busy_poll,
        pin: config.relay.pin,
        without: Features::NONE,
        silence: config.media.silence(),
    }
}
