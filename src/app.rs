//! Builds the parts of a running Drawbridge, joins them and takes them down again.
//!
//! Three kinds of threads: one runs the engine with its listeners, one serves HTTP, one writes
//! records; the relay has its own. They speak over bounded channels.
//!
//! Must not know: protocol rules.

pub mod daemon;
mod fault;
mod files;
mod reload;
mod settings;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::admin::{self, AdminSocket, Configuration, RELOADS_WAITING, ReloadRequest, View};
use crate::b2bua::Engine;
use crate::base::Realm;
use crate::config::{self, Config};
use crate::media::MediaEvent;
use crate::relay::Relay;
use crate::resolver::{self, Resolver};
use crate::runtime::driver::{COMMANDS_WAITING, Command, Driver, Parts, Vitals};
use crate::runtime::{Clock, seed};
use crate::telemetry::hep::Capture;
use crate::telemetry::{CdrSink, Meter, Metrics};
use crate::transport::{self, Bound, Transports};

pub use crate::admin::{Reload, ReloadReport};
pub use fault::StartFault;
pub use reload::Reloader;
pub use settings::offline as offline_settings;

/// The one shard that there is.
const SHARD: u8 = 0;
/// How long the whole end may take (the process has 10 s), and of it for records that are still on their way
/// to the disk at least.
const STOP_LIMIT: Duration = Duration::from_millis(9_500);
const RECORDS_PATIENCE: Duration = Duration::from_secs(1);

/// A Drawbridge that serves. Dropped without [`RunningApp::shutdown`], it ends its calls in the
/// background.
#[derive(Debug)]
pub struct RunningApp {
    /// Where it listens for SIP, in the order of the configuration, with the ports that were bound.
    pub listeners: Vec<SocketAddr>,
    /// Where it serves HTTP.
    pub admin: SocketAddr,
    /// Where its admin socket is, if it has one.
    pub admin_socket: Option<PathBuf>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    view: View,
    cdrs: CdrSink,
    driver: JoinHandle<()>,
    /// Reloads that were asked for at the admin socket.
    reloads: mpsc::Receiver<ReloadRequest>,
    /// Fires when the driver has ended, whatever the cause.
    driver_ended: oneshot::Receiver<()>,
    records: JoinHandle<()>,
    records_ended: oneshot::Receiver<()>,
    http: JoinHandle<()>,
    stop_http: oneshot::Sender<()>,
}

/// Starts everything. A listener or the admin address with port 0 is given a
/// free port by the system (`RunningApp` says which).
///
/// # Errors
/// What could not be had, with its cure; then nothing is left running.
pub fn start(config: Config) -> Result<RunningApp, StartFault> {
    // The first call shall not wait for the numbering plans.
    crate::numbering::load();
    let clock = Clock::start();
    let Doors { bound, listeners, http: admin_listener, admin, socket } = Doors::open(&config)?;
    let admin_socket = socket.as_ref().map(|socket| socket.path().to_owned());
    let metrics = Arc::new(Metrics::new()?);
    let (relay, media_events) =
        Relay::start(settings::relay(&config), clock).map_err(|error| StartFault::relay(&config, error))?;
    let relay = Arc::new(relay);
    metrics.set_build(env!("CARGO_PKG_VERSION"), relay.engine_name());
    metrics.set_configuration(&config);
    metrics.set_zero_copy(relay.sends_without_copy());
    files::warn_of_few(&config);

    let (records_end, records_ended) = oneshot::channel();
    let (cdrs, records) = CdrSink::start(config.cdr.clone(), clock, Arc::clone(&metrics), records_end)
        .map_err(StartFault::System)?;
    let (commands, commands_waiting) = mpsc::channel(COMMANDS_WAITING);
    let (ask_for_reload, reloads) = mpsc::channel(RELOADS_WAITING);
    let runtime = small_runtime()?;
    let ends = Ends {
        relay: Arc::clone(&relay),
        media_events,
        metrics: Arc::clone(&metrics),
        cdrs: cdrs.clone(),
        commands: commands_waiting,
    };
    let parts = assemble(&config, clock, &runtime, (bound, &listeners), ends)?;
    let view = View {
        commands,
        reloads: ask_for_reload,
        metrics: Arc::clone(&metrics),
        cdrs: cdrs.state(),
        relay,
        configuration: Arc::new(ArcSwap::from_pointee(as_started(config, clock))),
        clock,
        started: clock.now(),
        live: admin::Live::default(),
    };
    let (driver, driver_ended) = start_driver(runtime, clock, parts)?;
    let (http, stop_http) = start_http(admin_listener, socket, view.clone())?;
    Ok(RunningApp {
        listeners,
        admin,
        admin_socket,
        metrics,
        view,
        cdrs,
        driver,
        reloads,
        driver_ended,
        records,
        records_ended,
        http,
        stop_http,
    })
}

/// Every address that others may come to.
struct Doors {
    bound: Vec<Bound>,
    /// Where the bound ones are.
    listeners: Vec<SocketAddr>,
    http: TcpListener,
    admin: SocketAddr,
    socket: Option<AdminSocket>,
}

impl Doors {
    /// All of them, or none.
    fn open(config: &Config) -> Result<Doors, StartFault> {
        let bound = bind_listeners(config)?;
        let listeners = bound.iter().map(|bound| bound.address).collect();
        try_media_addresses(config)?;
        let http = bind_admin(config.admin.listen)?;
        let admin = http.local_addr().map_err(StartFault::System)?;
        Ok(Doors { bound, listeners, http, admin, socket: open_socket(&config.admin)? })
    }
}

/// What joins the driver to the other parts.
struct Ends {
    relay: Arc<Relay>,
    media_events: mpsc::Receiver<MediaEvent>,
    metrics: Arc<Metrics>,
    cdrs: CdrSink,
    commands: mpsc::Receiver<Command>,
}

/// Builds the engine and what the driver drives beside it.
fn assemble(
    config: &Config,
    clock: Clock,
    runtime: &Runtime,
    (bound, listeners): (Vec<Bound>, &[SocketAddr]),
    ends: Ends,
) -> Result<Parts, StartFault> {
    let _inside = runtime.enter();
    let settings = Arc::new(settings::engine(config, listeners));
    let random = seed::random().map_err(StartFault::System)?;
    let metrics = Arc::clone(&ends.metrics);
    let mut transports = Transports::open(bound).map_err(StartFault::System)?;
    transports.set_tls(settings::tls(config));
    Ok(Parts {
        engine: Engine::new(Arc::clone(&settings), random, SHARD, clock.now()),
        settings,
        transports,
        relay: ends.relay,
        media_events: ends.media_events,
        resolver: Resolver::new(&resolver::Settings { nameservers: config.nameservers.clone() })?,
        meter: Meter::new(ends.metrics, config.routing.trunks.iter().map(|trunk| &trunk.name)),
        cdrs: ends.cdrs,
        commands: ends.commands,
        capture: start_capture(config, &metrics),
    })
}

/// What copies messages to a capture server, if one is configured and the system lets us.
fn start_capture(config: &Config, metrics: &Arc<Metrics>) -> Option<Capture> {
    let settings = config.hep.clone()?;
    Capture::start(settings, Arc::clone(metrics))
        .inspect_err(|error| tracing::error!(%error, "nothing is copied to the capture server"))
        .ok()
}

/// The configuration with which everything begins.
fn as_started(config: Config, clock: Clock) -> Configuration {
    Configuration {
        running: Arc::new(config),
        since: clock.now(),
        refused: Vec::new(),
        waiting_for_restart: Vec::new(),
    }
}

impl RunningApp {
    /// Asks the driver how things are; `None`: it did not answer within a second.
    pub async fn vitals(&self) -> Option<Vitals> {
        self.view.vitals().await
    }

    /// What the relay has counted since the start, and its engine's name.
    pub fn relay(&self) -> &Relay {
        &self.view.relay
    }

    /// Takes no new calls, ends those in progress, writes their records, closes every socket; then
    /// returns, within 10 s. For callers outside of any runtime; see [`RunningApp::stop`].
    ///
    /// # Errors
    /// [`Crashed`]: the driver had ended before it was asked to.
    pub fn shutdown(self) -> Result<(), Crashed> {
        // A runtime of its own, for the timeouts.
        let runtime = small_runtime().map_err(|_| Crashed)?;
        runtime.block_on(self.stop())
    }

    /// [`RunningApp::shutdown`] for callers inside a runtime.
    ///
    /// # Errors
    /// As there.
    pub async fn stop(self) -> Result<(), Crashed> {
        let latest = self.view.clock.now() + STOP_LIMIT;
        let asked = self.view.commands.send(Command::Shutdown).await;
        // The driver bounds its own end; a sender that is dropped ends the wait, too.
        let _ = self.driver_ended.await;
        let ran = self.driver.join();
        self.cdrs.end();
        let patience = latest.since(self.view.clock.now()).max(RECORDS_PATIENCE);
        if tokio::time::timeout(patience, self.records_ended).await.is_err() {
            tracing::warn!("the disk did not take the last call detail records in time: see the next start");
        } else {
            let _ = self.records.join();
        }
        let _ = self.stop_http.send(());
        let _ = self.http.join();
        if asked.is_ok() && ran.is_ok() { Ok(()) } else { Err(Crashed) }
    }
}

/// The driver ended though nobody had asked it to.
#[derive(Debug, thiserror::Error)]
#[error("the engine's thread has ended by a fault of the program")]
pub struct Crashed;

fn bind_listeners(config: &Config) -> Result<Vec<Bound>, StartFault> {
    config
        .listeners
        .iter()
        .map(|listener| {
            transport::bind(listener.transport, listener.bind)
                .map_err(|error| StartFault::listener(listener, error))
        })
        .collect()
}

/// Whether media ports can be had at all: better known now than with the first call.
fn try_media_addresses(config: &Config) -> Result<(), StartFault> {
    for realm in Realm::ALL {
        for address in &config.media.realms[realm].addresses {
            let any_port = SocketAddr::new(address.bind, 0);
            UdpSocket::bind(any_port).map_err(|error| StartFault::media(realm, any_port, error))?;
        }
    }
    Ok(())
}

fn bind_admin(address: SocketAddr) -> Result<TcpListener, StartFault> {
    TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|error| StartFault::admin(address, error))
}

/// The socket that the configuration asks for has to be had; without one at the default place Drawbridge
/// carries calls all the same.
fn open_socket(settings: &config::Admin) -> Result<Option<AdminSocket>, StartFault> {
    let Some(path) = &settings.socket else { return Ok(None) };
    match AdminSocket::open(path) {
        Ok(socket) => Ok(Some(socket)),
        Err(fault) if settings.needs_socket => Err(fault.into()),
        Err(fault) => {
            tracing::warn!("no command can reach this daemon: {fault}");
            Ok(None)
        }
    }
}

fn small_runtime() -> Result<Runtime, StartFault> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartFault::System)
}

fn start_driver(
    runtime: Runtime,
    clock: Clock,
    parts: Parts,
) -> Result<(JoinHandle<()>, oneshot::Receiver<()>), StartFault> {
    let (end, ended) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new()
        .name(format!("sip-{SHARD}"))
        .spawn(move || {
            // Dropped last, also when the driver panics.
            let _end = end;
            runtime.block_on(async move { Driver::new(clock, parts).run().await });
        })
        .map_err(StartFault::System)?;
    Ok((thread, ended))
}

fn start_http(
    listener: TcpListener,
    socket: Option<AdminSocket>,
    view: View,
) -> Result<(JoinHandle<()>, oneshot::Sender<()>), StartFault> {
    let runtime = small_runtime()?;
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            if let Err(error) = runtime.block_on(admin::serve(listener, socket, view, stopped)) {
                tracing::error!(%error, "the admin server has ended");
            }
        })
        .map_err(StartFault::System)?;
    Ok((thread, stop))
}

#[cfg(test)]
mod tests;
