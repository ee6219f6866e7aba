//! The daemon as operators and their tools ask it. HTTP serves what can be read: metrics, health,
//! readiness, status, trunks and calls. The admin socket serves the same, and what changes things.
//!
//! Runs on a thread of its own: a scrape asks the driver for one small answer and never delays a
//! call. Must not know: the engine's insides.

mod call;
mod call_media;
mod calls;
mod changes;
mod connections;
mod down;
#[cfg(test)]
mod golden;
mod log;
mod names;
mod openapi;
mod page;
mod problem;
mod reload;
mod routes;
mod socket;
mod status;
mod trunks;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use self::connections::{Bounded, Limits};
use self::problem::Problem;
use self::socket::{Guarded, Peer};
use crate::base::Instant;
use crate::config::{Config, Fault};
use crate::relay::Relay;
use crate::routing::HostReport;
use crate::runtime::Clock;
use crate::runtime::driver::{Command, Vitals};
use crate::telemetry::{CdrState, Metrics, RelayTotals};

pub use page::Live;
pub use reload::{RELOADS_WAITING, Reload, ReloadReport, ReloadRequest};
pub use socket::{AdminSocket, SocketFault};

/// A driver that has not answered after so long is not well.
const DRIVER_PATIENCE: Duration = Duration::from_secs(1);
/// The text exposition format of Prometheus.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the pages are made of.
#[derive(Clone, Debug)]
pub struct View {
    /// To ask the driver.
    pub commands: mpsc::Sender<Command>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// How call detail records are.
    pub cdrs: Arc<CdrState>,
    /// To ask for a reload.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// For its counters and its engine's name.
    pub relay: Arc<Relay>,
    /// The configuration in force, and how the last reload went.
    pub configuration: Arc<ArcSwap<Configuration>>,
    /// Tells the time.
    pub clock: Clock,
    /// When the process began.
    pub started: Instant,
    /// Who watches the page.
    pub live: Live,
}

/// A snapshot of the configuration and how it came to be.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// In force.
    pub running: Arc<Config>,
    /// Since when.
    pub since: Instant,
    /// Why the files on disk are not what is in force; empty: they are.
    pub refused: Vec<Fault>,
    /// Keys whose new values wait for a restart.
    pub waiting_for_restart: Vec<&'static str>,
}

impl View {
    /// Asks the driver how things are. `None`: it did not answer in time.
    pub async fn vitals(&self) -> Option<Vitals> {
        self.ask(Command::Census).await
    }

    /// Asks the driver anything. `None`: it did not answer in time.
    pub async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.try_send(command(answer)).ok()?;
        tokio::time::timeout(DRIVER_PATIENCE, answered).await.ok()?.ok()
    }

    /// Asks the driver what is known of the names of trunks. `None`: it did not answer in time.
    pub async fn hosts(&self) -> Option<Vec<HostReport>> {
        let (answer, hosts) = oneshot::channel();
        self.commands.try_send(Command::Hosts(answer)).ok()?;
        tokio::time::timeout(DRIVER_PATIENCE, hosts).await.ok()?.ok()
    }
}

/// Serves until `stop` fires or its sender is gone.
///
/// # Errors
/// A listener cannot be watched.
pub async fn serve(
    listener: std::net::TcpListener,
    socket: Option<AdminSocket>,
    view: View,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?, Limits::default());
    let socket = socket.map(AdminSocket::watched).transpose()?;
    let door = page::Door::of(&listener);
    let http = finished(routes::on_http().merge(page::pages()));
    let http = http.layer(middleware::from_fn_with_state(door, page::guard)).with_state(view.clone());
    tokio::select! {
        // Connections are not waited for: a scraper that keeps one open must not hold up the end.
        served = async { axum::serve(listener, http).await } => served,
        served = serve_socket(socket, view.clone()) => served,
        () = page::watch(&view) => Ok(()),
        _ = stop => Ok(()),
    }
}

async fn serve_socket(socket: Option<Guarded>, view: View) -> io::Result<()> {
    let Some(socket) = socket else { return std::future::pending().await };
    let router = finished(routes::on_the_socket()).with_state(view);
    // A reload may take its time.
    let limits = Limits { patience: Duration::from_secs(30), ..Limits::default() };
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(Bounded::new(socket, limits), service).await
}

fn finished(router: Router<View>) -> Router<View> {
    router.fallback(no_such_page).method_not_allowed_fallback(wrong_method)
}

async fn no_such_page() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is no such page",
        "see /, /api/v1/status, /api/v1/trunks, /api/v1/calls, /metrics, /healthz and /readyz; /api/v1/openapi.json has all",
    )
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this page does not know {method}"),
        "pages are read with GET; on the admin socket, what changes things is asked for with POST",
    )
}

async fn metrics(State(view): State<View>) -> Response {
    let vitals = view.vitals().await;
    if let Some(vitals) = vitals {
        view.metrics.set_connections(&vitals.connections);
    }
    let census = vitals.map(|vitals| vitals.census);
    match view.metrics.render(census, &RelayTotals::from(&view.relay.counters())) {
        Ok(text) => ([(header::CONTENT_TYPE, EXPOSITION)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Whether the process lives: the driver's loop turns, and so do the media workers.
async fn healthz(State(view): State<View>) -> (StatusCode, &'static str) {
    match view.vitals().await {
        Some(_) if view.relay.has_dead_worker() => {
            (StatusCode::SERVICE_UNAVAILABLE, "a media worker is given up\n")
        }
        Some(_) if view.relay.has_stuck_worker() => {
            (StatusCode::SERVICE_UNAVAILABLE, "a media worker does not turn\n")
        }
        Some(_) => (StatusCode::OK, "ok\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the driver does not answer\n"),
    }
}

/// Whether new calls are welcome. Listeners are bound and a configuration is in force before this
/// page can be asked for: so what remains is the driver and draining.
async fn readyz(State(view): State<View>) -> (StatusCode, &'static str) {
    match view.vitals().await {
        Some(vitals) if vitals.draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Some(_) => (StatusCode::OK, "ready\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the driver does not answer\n"),
    }
}
