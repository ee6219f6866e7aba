//! The daemon's life: starts the app, then listens to signals, file changes and systemd.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::reload::Cause;
use super::{Reload, ReloadReport, Reloader, RunningApp};
use crate::config::Config;
use crate::routing::{TrunkReport, TrunkState};
use crate::runtime::driver::Command;
use crate::runtime::notify;
use crate::runtime::signals::{Asked, Signals};
use crate::runtime::watch::FileWatch;

/// How often `systemctl status` is told how many calls there are.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);
/// An engine that answers none of so many questions, each for a second, was never there.
const START_LOOKS: u32 = 30;

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
        announce(&app).await?;
        Ok(serve(path, app, signals).await)
    })
}

/// Says that it serves, once it does: what a listener takes reaches the engine, and every worker turns.
///
/// # Errors
/// The engine never answered.
async fn announce(app: &RunningApp) -> Result<(), String> {
    let mut looks = 0;
    while app.vitals().await.is_none() {
        looks += 1;
        if looks == START_LOOKS {
            return Err("the engine does not answer: a fault of the program".to_owned());
        }
    }
    app.relay().take_pulse();
    for address in &app.listeners {
        tracing::info!(%address, "listening for SIP");
    }
    if let Some(socket) = &app.admin_socket {
        tracing::info!(socket = %socket.display(), "listening for operators");
    }
    let engine = app.relay().engine_name();
    tracing::info!(admin = %app.admin, engine, version = env!("CARGO_PKG_VERSION"), "ready");
    notify::ready(&status_line(app).await);
    Ok(())
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

/// The watchdog is fed by the driver's answer and by the turns of the media workers, not by this loop's: one
/// that hangs is a dead service.
async fn tell_systemd(app: &RunningApp) {
    let relay_turns = app.relay().take_pulse();
    if !relay_turns {
        tracing::error!("a media worker does not turn: systemd is not told that all is well");
    }
    if app.vitals().await.is_none() {
        tracing::error!("the engine does not answer");
        return;
    }
    if relay_turns {
        notify::alive();
    }
    if app.view.configuration.load().refused.is_empty() {
        notify::status(&status_line(app).await);
    }
}

/// "serving, 12 calls, 3 of 4 trunks up".
async fn status_line(app: &RunningApp) -> String {
    let vitals = app.vitals().await.unwrap_or_default();
    let trunks = app.view.ask(Command::Trunks).await.unwrap_or_default();
    let records_wait = app.view.cdrs.report().waiting > 0;
    told_status(vitals.draining, vitals.census.calls, &trunks, records_wait)
}

fn told_status(draining: bool, calls: usize, trunks: &[TrunkReport], records_wait: bool) -> String {
    let state = if draining { "draining" } else { "serving" };
    let mut line = format!("{state}, {calls} call{}", if calls == 1 { "" } else { "s" });
    let states: Vec<TrunkState> =
        trunks.iter().map(TrunkReport::state).filter(|state| *state != TrunkState::Disabled).collect();
    if !states.is_empty() {
        let takes_calls =
            |state: &&TrunkState| matches!(state, TrunkState::Up | TrunkState::New | TrunkState::Full);
        let up = states.iter().filter(takes_calls).count();
        let s = if states.len() == 1 { "" } else { "s" };
        line.push_str(&format!(", {up} of {} trunk{s} up", states.len()));
    }
    if records_wait {
        line.push_str(", records wait for the disk");
    }
    line
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

/// Its first tick comes after the first interval: what was just asked has not had its time before.
fn ticker(every: Duration) -> tokio::time::Interval {
    let mut ticker = interval(every);
    ticker.reset();
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_how_it_is() {
        assert_eq!(told_status(false, 1, &[], false), "serving, 1 call");
        let told = told_status(true, 12, &[], true);
        assert_eq!(told, "draining, 12 calls, records wait for the disk");
    }
}
