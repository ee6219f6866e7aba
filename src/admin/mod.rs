//! The HTTP side of the daemon: metrics, health, readiness and status, read only.
//!
//! Runs on a thread of its own: a scrape asks the driver for one small answer and never delays a
//! call. Must not know: the engine's insides.

mod connections;
mod names;
mod status;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{mpsc, oneshot};

use self::connections::{Bounded, Limits};
use crate::base::Instant;
use crate::config::{Config, Fault};
use crate::relay::Relay;
use crate::routing::HostReport;
use crate::runtime::Clock;
use crate::runtime::driver::{Command, Vitals};
use crate::telemetry::{Metrics, RelayTotals};

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
    /// For its counters and its engine's name.
    pub relay: Arc<Relay>,
    /// The configuration in force, and how the last reload went.
    pub configuration: Arc<ArcSwap<Configuration>>,
    /// Tells the time.
    pub clock: Clock,
    /// When the process began.
    pub started: Instant,
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
        let (answer, vitals) = oneshot::channel();
        self.commands.try_send(Command::Census(answer)).ok()?;
        tokio::time::timeout(DRIVER_PATIENCE, vitals).await.ok()?.ok()
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
/// The listener cannot be watched.
pub async fn serve(
    listener: std::net::TcpListener,
    view: View,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?, Limits::default());
    tokio::select! {
        // Connections are not waited for: a scraper that keeps one open must not hold up the end.
        served = async { axum::serve(listener, router(view)).await } => served,
        _ = stop => Ok(()),
    }
}

fn router(view: View) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status::status))
        .with_state(view)
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

/// Whether the process lives: the driver's loop turns.
async fn healthz(State(view): State<View>) -> (StatusCode, &'static str) {
    match view.vitals().await {
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
