//! Reading the configuration again while calls go on: taken whole, or refused whole.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::{RunningApp, settings};
use crate::admin::{Configuration, Reload, ReloadReport};
use crate::config::{self, Config, Fault};
use crate::relay::Relay;
use crate::resolver::{self, Resolver};
use crate::runtime::Clock;
use crate::runtime::driver::Command;
use crate::telemetry::{CdrSink, Metrics, log, redact};

/// So many faults are logged and kept for `status`; a file of the wrong kind has one a line.
const FAULTS_TOLD: usize = 50;

/// Why the files are read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Somebody asked: the outcome is logged and counted whatever it is.
    Asked,
    /// Something happened in the directory: what changes nothing is not worth a word.
    FilesChanged,
}

/// Reads the files and hands what they say to the parts.
#[derive(Debug)]
pub struct Reloader {
    path: PathBuf,
    listeners: Vec<SocketAddr>,
    configuration: Arc<ArcSwap<Configuration>>,
    commands: mpsc::Sender<Command>,
    metrics: Arc<Metrics>,
    cdrs: CdrSink,
    relay: Arc<Relay>,
    clock: Clock,
}

impl Reloader {
    /// For an app whose configuration came from this file.
    pub fn new(path: PathBuf, app: &RunningApp) -> Reloader {
        Reloader {
            path,
            listeners: app.listeners.clone(),
            configuration: Arc::clone(&app.view.configuration),
            commands: app.view.commands.clone(),
            metrics: Arc::clone(&app.metrics),
            cdrs: app.cdrs.clone(),
            relay: Arc::clone(&app.view.relay),
            clock: app.view.clock,
        }
    }

    /// Reads the files. Those with a fault change nothing.
    pub async fn reload(&self, cause: Cause) -> ReloadReport {
        let report = match config::load(&self.path) {
            Ok(config) => match super::try_media_addresses(&config) {
                Ok(()) => self.take(config, cause).await,
                Err(fault) => {
                    let file = self.path.display().to_string();
                    self.refuse(
                        vec![Fault::without_place(file, "realm".to_owned(), &fault.to_string(), None)],
                        cause,
                    )
                }
            },
            Err(faults) => self.refuse(faults, cause),
        };
        match report.outcome {
            Reload::Taken => self.metrics.count_reload(true),
            Reload::Refused => self.metrics.count_reload(false),
            Reload::Unchanged if cause == Cause::Asked => self.metrics.count_reload(true),
            Reload::Unchanged => {}
        }
        report
    }

    /// Opens the record file anew: log rotation has moved it.
    pub fn reopen_records(&self) {
        self.cdrs.reopen();
    }

    async fn take(&self, mut config: Config, cause: Cause) -> ReloadReport {
        let before = self.configuration.load_full();
        let running = &before.running;
        let lost = self.warn_of_lost_trunks(running, &config);
        config.warnings.extend(lost);
        let waiting_for_restart = config.keep_until_restart(running);
        let changes = config::diff(running, &config);
        let same = changes.is_empty()
            && before.refused.is_empty()
            && before.waiting_for_restart == waiting_for_restart;
        if same && cause == Cause::FilesChanged {
            return ReloadReport::new(Reload::Unchanged);
        }
        tell(&config, &changes, &waiting_for_restart);
        let report = ReloadReport {
            // Who asked hears that there was nothing to take.
            outcome: if same { Reload::Unchanged } else { Reload::Taken },
            changes,
            warnings: config.warnings.clone(),
            waiting_for_restart: waiting_for_restart.clone(),
            ..ReloadReport::new(Reload::Taken)
        };
        self.put_in_force(Arc::new(config), running, waiting_for_restart).await;
        report
    }

    /// Tells everybody whose settings are others now.
    async fn put_in_force(
        &self,
        config: Arc<Config>,
        running: &Config,
        waiting_for_restart: Vec<&'static str>,
    ) {
        if config.nameservers != running.nameservers {
            self.replace_resolver(&config).await;
        }
        if config.media.silence() != running.media.silence() {
            self.relay.set_silence(config.media.silence());
        }
        take_log(&config, running);
        if config.hep != running.hep {
            self.replace_capture(&config).await;
        }
        if config.cdr != running.cdr {
            self.cdrs.configure(config.cdr.clone());
        }
        // Before the settings, so that no call goes to a trunk that nobody can verify.
        let tls = Box::new(settings::tls(&config));
        if self.commands.send(Command::Tls(tls)).await.is_err() {
            tracing::error!("the engine has ended: the certificates reach nobody");
        }
        let engine = Arc::new(settings::engine(&config, &self.listeners));
        if self.commands.send(Command::Settings(engine)).await.is_err() {
            tracing::error!("the engine has ended: the configuration reaches nobody");
        }
        self.metrics.set_configuration(&config);
        self.configuration.store(Arc::new(Configuration {
            running: config,
            since: self.clock.now(),
            refused: Vec::new(),
            waiting_for_restart,
        }));
    }

    /// A directory that was moved away is no fault, and ends the service all the same.
    fn warn_of_lost_trunks(&self, running: &Config, new: &Config) -> Option<Fault> {
        let before = running.routing.trunks.len();
        let message = match before {
            0 => return None,
            1 => "the only trunk is gone".to_owned(),
            many => format!("all {many} trunks are gone"),
        };
        let cure = "see whether trunks.d is beside this file, and its files end in .toml".to_owned();
        let file = self.path.display().to_string();
        let is_lost = new.routing.trunks.is_empty();
        is_lost.then(|| Fault::without_place(file, "trunk".to_owned(), &message, Some(cure)))
    }

    fn refuse(&self, faults: Vec<Fault>, cause: Cause) -> ReloadReport {
        let all = faults.len();
        let faults = told(faults, &self.path);
        let before = self.configuration.load_full();
        if cause == Cause::FilesChanged && before.refused == faults {
            return ReloadReport::new(Reload::Unchanged);
        }
        let report = ReloadReport { faults: faults.clone(), ..ReloadReport::new(Reload::Refused) };
        for fault in &faults {
            tracing::error!("configuration: {fault}");
        }
        tracing::error!(faults = all, "the configuration is refused, the running one stays in force");
        self.configuration
            .store(Arc::new(Configuration { refused: faults, ..Configuration::clone(&before) }));
        report
    }

    async fn replace_capture(&self, config: &Config) {
        let capture = super::start_capture(config, &self.metrics);
        // A driver that is gone is reported with the settings.
        drop(self.commands.send(Command::Capture(capture)).await);
    }

    async fn replace_resolver(&self, config: &Config) {
        let settings = resolver::Settings { nameservers: config.nameservers.clone() };
        match Resolver::new(&settings) {
            // A driver that is gone is reported with the settings.
            Ok(resolver) => drop(self.commands.send(Command::Resolver(Box::new(resolver))).await),
            Err(error) => tracing::error!(%error, "the name servers stay as they were"),
        }
    }
}

/// The log as the files have it now, unless they say the same as before: an operator may have said otherwise.
fn take_log(config: &Config, running: &Config) {
    redact::set_redacting(config.log.redact_numbers);
    if config.log.filter != running.log.filter
        && let Err(why) = log::set_filter(&config.log.filter)
    {
        tracing::error!("log.filter stays as it was: it {why}");
    }
}

/// The first of them, and how many there are more.
fn told(mut faults: Vec<Fault>, path: &Path) -> Vec<Fault> {
    let more = faults.len().saturating_sub(FAULTS_TOLD);
    if more > 0 {
        faults.truncate(FAULTS_TOLD);
        let cure = Some("drawbridge check lists all of them".to_owned());
        let message = format!("and {more} more faults");
        faults.push(Fault::without_place(path.display().to_string(), String::new(), &message, cure));
    }
    faults
}

fn tell(config: &Config, changes: &[String], waiting_for_restart: &[&'static str]) {
    for warning in &config.warnings {
        tracing::warn!("configuration: {warning}");
    }
    for key in waiting_for_restart {
        tracing::warn!(key, "the new value takes effect with a restart");
    }
    for change in changes {
        tracing::info!("configuration: {change}");
    }
    tracing::info!(changes = changes.len(), "the configuration is in force");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_beyond_fifty_are_counted() {
        let fault = |number: usize| {
            Fault::without_place("a.toml".to_owned(), format!("key{number}"), "unknown key", None)
        };
        let of = |many: usize| told((0..many).map(fault).collect(), Path::new("/etc/drawbridge.toml"));
        assert_eq!((of(0).len(), of(50).len()), (0, 50));
        let faults = of(75);
        assert_eq!((faults.len(), faults[49].key.as_str()), (51, "key49"));
        let last = "/etc/drawbridge.toml: and 25 more faults; drawbridge check lists all of them";
        assert_eq!(faults[50].to_string(), last);
    }
}
