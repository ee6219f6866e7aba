//! The daemon's life: starts the app, then listens to signals, file changes and systemd.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::reload::Cause;
use super::{Reload, ReloadReport, Reloader, RunningApp};
use crate::config::Config;
use crate::runtime::notify;
use crate::runtime::signals::{Asked, Signals};
use crate::runtime::watch::FileWatch;

/// How often `systemctl status` is told how many calls there are.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until a signal asks for the end. The exit code is 0 after a clean stop.
///
/// The message is for standard error, what goes on afterwards is logged.
///
/// # Errors
/// What kept it from starting, for people.
pub fn run(path: &Path, config: Config) -> Result<ExitCode, String> {
    let runtime = super::small_runtime().map_err(|fault| fault.to_string())?;
    runtime.block_on(async {
        // Caught before anything runs: a SIGTERM during the start is obeyed right after it.
        let signals = Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?;
        let app = super::start(config).map_err(|fault| fault.to_string())?;
        announce(&app);
        Ok(serve(path, app, signals).await)
    })
}

fn announce(app: &RunningApp) {
    for address in &app.listeners {
        tracing::info!(%address, "listening for SIP");
    }
    if let Some(socket) = &app.admin_socket {
        tracing::info!(socket = %socket.display(), "listening for operators");
    }
    let engine = app.relay().engine_name();
    tracing::info!(admin = %app.admin, engine, version = env!("CARGO_PKG_VERSION"), "ready");
    notify::ready("serving, 0 calls");
}

async fn serve(path: &Path, mut app: RunningApp, mut signals: Signals) -> ExitCode {
    let reloader = Reloader::new(path.to_owned(), &app);
    let mut watch = watch_files(path, &app);
    let mut watchdog = ticker(notify::watchdog_interval().unwrap_or(STATUS_INTERVAL).min(STATUS_INTERVAL));
    loop {
        tokio::select! {
            biased;
            asked = signals.next() => match asked {
                Asked::Stop => return stop(app).await,
                Asked::Reload => {
                    reload_asked(&reloader, path, &app, &mut watch).await;
                }
            },
            Some(answer) = app.reloads.recv() => {
                // Who asked may have given up.
                let _ = answer.send(reload_asked(&reloader, path, &app, &mut watch).await);
            }
            _ = &mut app.driver_ended => {
                tracing::error!("the engine has ended by a fault of the program");
                return ExitCode::FAILURE;
            }
            () = changed(watch.as_mut()) => {
                // Anew, for trunks.d may have come or been replaced; before reading, so that no
                // change falls between the two.
                watch = watch_files(path, &app);
                let before = certificates(&app);
                reload(&reloader, Cause::FilesChanged, &app).await;
                if certificates(&app) != before {
                    watch = watch_files(path, &app);
                    reload(&reloader, Cause::FilesChanged, &app).await;
                }
            }
            _ = watchdog.tick() => {
                if app.relay().has_dead_worker() {
                    tracing::error!("a media worker is given up: only a new process carries all calls again");
                    stop(app).await;
                    return ExitCode::FAILURE;
                }
                tell_systemd(&app).await;
            }
        }
    }
}

/// By SIGHUP or at the admin socket: alike.
async fn reload_asked(
    reloader: &Reloader,
    path: &Path,
    app: &RunningApp,
    watch: &mut Option<FileWatch>,
) -> ReloadReport {
    reloader.reopen_records();
    let before = certificates(app);
    let report = reload(reloader, Cause::Asked, app).await;
    if certificates(app) != before {
        *watch = watch_files(path, app);
        // What changed between the two was seen by neither watch.
        reload(reloader, Cause::FilesChanged, app).await;
    }
    report
}

async fn reload(reloader: &Reloader, cause: Cause, app: &RunningApp) -> ReloadReport {
    notify::reloading();
    let report = reloader.reload(cause).await;
    match report.outcome {
        Reload::Taken | Reload::Unchanged => notify::ready(&status_line(app).await),
        Reload::Refused => notify::ready("serving with the old configuration: the new one has faults"),
    }
    report
}

async fn stop(app: RunningApp) -> ExitCode {
    tracing::info!("stopping: calls in progress are ended");
    notify::stopping();
    match app.stop().await {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(crashed) => {
            tracing::error!("{crashed}");
            ExitCode::FAILURE
        }
    }
}

/// The watchdog is fed by the driver's answer, not by this loop's turning.
async fn tell_systemd(app: &RunningApp) {
    if app.vitals().await.is_some() {
        notify::alive();
        if app.view.configuration.load().refused.is_empty() {
            notify::status(&status_line(app).await);
        }
    } else {
        tracing::error!("the engine does not answer");
    }
}

async fn status_line(app: &RunningApp) -> String {
    let vitals = app.vitals().await.unwrap_or_default();
    let (state, calls) = (if vitals.draining { "draining" } else { "serving" }, vitals.census.calls);
    format!("{state}, {calls} call{}", if calls == 1 { "" } else { "s" })
}

fn watch_files(path: &Path, app: &RunningApp) -> Option<FileWatch> {
    FileWatch::start(path, certificates(app))
        .inspect_err(|error| {
            tracing::warn!(%error, "file changes are not noticed: reload with SIGHUP");
        })
        .ok()
}

/// The directories in which the certificates in force are.
fn certificates(app: &RunningApp) -> BTreeSet<PathBuf> {
    super::settings::tls_directories(&app.view.configuration.load().running)
}

async fn changed(watch: Option<&mut FileWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

fn ticker(every: Duration) -> tokio::time::Interval {
    let mut ticker = interval(every);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}
