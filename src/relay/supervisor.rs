//! A worker's thread from its first engine to its end. A fault (a panic, a ring that cannot be relied
//! on) ends the worker's calls, aloud, and not the thread: it begins anew with an engine of its own.
//! Where that happens too often the worker is given up: every call that it is given fails at once, and
//! whoever runs the relay hears of it ([`super::Relay::has_dead_worker`]).
//!
//! Must not know: how packets are moved.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::counters::WorkerCounters;
use super::mailbox::Mailbox;
use super::portable::PortableEngine;
use super::sys;
use super::uring::UringEngine;
use super::worker::Worker;
use super::{EngineKind, RelaySettings};
use crate::base::Instant;

/// Faults in [`FAULTS_WITHIN`] after which a worker is given up.
const FAULTS_MAX: usize = 5;
const FAULTS_WITHIN: Duration = Duration::from_secs(60);

/// What a worker's thread is given.
pub(super) struct Life {
    pub(super) number: usize,
    pub(super) settings: RelaySettings,
    pub(super) kind: EngineKind,
    /// The core that the thread keeps to.
    pub(super) core: Option<usize>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) counters: Arc<WorkerCounters>,
}

/// What became of the settings that depend on the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Traits {
    /// Whether it sends with `SEND_ZC`.
    pub(super) zero_copy: bool,
}

/// One of the two.
#[allow(clippy::large_enum_variant)] // There is one a thread.
enum Engine {
    Uring(UringEngine),
    Portable(PortableEngine),
}

impl Engine {
    fn new(life: &Life, worker: &Worker) -> io::Result<Engine> {
        match life.kind {
            EngineKind::IoUring => UringEngine::new(life.number, &life.settings, worker).map(Engine::Uring),
            EngineKind::Portable => PortableEngine::new(life.settings.batch, worker).map(Engine::Portable),
        }
    }

    fn traits(&self) -> Traits {
        match self {
            Engine::Uring(engine) => Traits { zero_copy: engine.sends_without_copy() },
            Engine::Portable(_) => Traits::default(),
        }
    }

    /// Runs until the relay stops.
    fn run(self, worker: &mut Worker) -> io::Result<()> {
        match self {
            Engine::Uring(engine) => engine.run(worker),
            Engine::Portable(engine) => engine.run(worker),
        }
    }
}

/// Lives. The starter hears how the first engine's making went; where it failed, that was all.
pub(super) fn live(life: &Life, mut worker: Worker, report: &SyncSender<io::Result<Traits>>) {
    prepare_thread(life);
    let mut engine = match Engine::new(life, &worker) {
        Ok(engine) => {
            let _ = report.send(Ok(engine.traits()));
            Ok(engine)
        }
        Err(error) => {
            let _ = report.send(Err(error));
            return;
        }
    };
    let mut faults: Vec<Instant> = Vec::new();
    loop {
        // What the worker knows is looked at again only by `lose_all`, which relies on none of it.
        let end = engine.map(|engine| catch_unwind(AssertUnwindSafe(|| engine.run(&mut worker))));
        match end {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) | Err(error) => {
                tracing::error!(%error, worker = life.number, "a media worker has failed: its calls are ended");
            }
            // What the panic said is on stderr.
            Ok(Err(_)) => {
                tracing::error!(worker = life.number, "a media worker has panicked: its calls are ended");
            }
        }
        life.counters.count_restart();
        let is_sound = catch_unwind(AssertUnwindSafe(|| worker.lose_all())).is_ok();
        let now = worker.now();
        faults.retain(|fault| now.since(*fault) < FAULTS_WITHIN);
        faults.push(now);
        if !is_sound || faults.len() >= FAULTS_MAX {
            break;
        }
        engine = Engine::new(life, &worker);
    }
    tracing::error!(worker = life.number, "a media worker fails again and again: it is given up");
    life.mailbox.die();
    worker.carry_nothing();
}

/// Neither is worth more than a word in the log.
fn prepare_thread(life: &Life) {
    if let Some(core) = life.core
        && let Err(error) = sys::pin_to(core)
    {
        tracing::warn!(%error, core, worker = life.number, "a media worker is not pinned to its core");
    }
    // Or the kernel lets short waits last 50 µs longer.
    if let Err(error) = sys::wake_in_time() {
        tracing::debug!(%error, "waits may last longer than they are to");
    }
}
