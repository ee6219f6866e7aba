//! The relay: threads of its own that carry RTP and RTCP between the sockets of a call, by the
//! rules that they were told (`media`).
//!
//! A media session belongs wholly to one worker, so nothing on a packet's way is locked or shared.
//! The way is: `table.rs` finds the session by the socket's slot and asks `media` → the engine
//! (`uring/` or `portable.rs`) sends the buffer that it received into.
//!
//! Must not know: SIP, calls. Decides nothing about a packet: `media` does.

mod counters;
mod mailbox;
mod outbox;
mod portable;
mod sockaddr;
mod sockets;
mod sys;
mod table;
#[cfg(test)]
mod tests;
mod uring;
mod worker;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::media::{MediaCommand, MediaEvent, MediaSessionId};
use crate::runtime::Clock;

pub use counters::{RealmTraffic, RelayCounters, Traffic};
pub use mailbox::RelayBusy;

use counters::WorkerCounters;
use mailbox::Mailbox;
use worker::Worker;

/// Events that wait for the driver; what does not fit waits in the workers.
const EVENTS_MAX: usize = 4_096;
/// More threads than this serve nobody.
const WORKERS_MAX: usize = 256;

/// What the relay is started with, filled by `config`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RelaySettings {
    /// Threads, at least one.
    pub workers: usize,
    /// How packets are moved.
    pub engine: EngineChoice,
    /// `media.timeout`: no RTP on any stream of a session that is not on hold for this long.
    pub timeout: Duration,
}

/// `media.engine`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum EngineChoice {
    /// io_uring where it is to be had, else the portable engine, with one warning.
    #[default]
    Auto,
    /// io_uring or no start.
    IoUring,
    /// epoll, `recvmmsg` and `sendmmsg`.
    Portable,
}

/// How packets are moved, once that is settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EngineKind {
    IoUring,
    Portable,
}

/// The running relay. Dropped, it stops its threads and closes every port.
#[derive(Debug)]
pub struct Relay {
    engine: EngineKind,
    workers: Vec<RunningWorker>,
}

#[derive(Debug)]
struct RunningWorker {
    mailbox: Arc<Mailbox>,
    counters: Arc<WorkerCounters>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts the workers. Their events come from the receiver, which the driver reads.
    ///
    /// # Errors
    /// Where the chosen engine is refused by the operating system, or a thread.
    pub fn start(settings: RelaySettings, clock: Clock) -> io::Result<(Relay, mpsc::Receiver<MediaEvent>)> {
        // Every port is a file; where this is refused, an `Open` will say so.
        if let Err(error) = sys::raise_open_files_limit() {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let start = |engine| start_workers(settings, engine, clock, &events);
        let relay = match settings.engine {
            EngineChoice::IoUring => start(EngineKind::IoUring)?,
            EngineChoice::Portable => start(EngineKind::Portable)?,
            EngineChoice::Auto => match start(EngineKind::IoUring) {
                Ok(relay) => relay,
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "io_uring is refused here: the portable media engine serves, which behaves \
                         the same and needs more CPU a packet"
                    );
                    start(EngineKind::Portable)?
                }
            },
        };
        Ok((relay, receiver))
    }

    /// Hands a command to the session's worker and returns at once.
    ///
    /// # Errors
    /// [`RelayBusy`] gives the command back when too many wait: an `Open` then has failed, and
    /// none of its ports is bound. `Close` is never refused.
    pub fn command(&self, command: MediaCommand) -> Result<(), RelayBusy> {
        let MediaSessionId(id) = session_of(&command);
        let worker = &self.workers[(id % self.workers.len() as u64) as usize];
        worker.mailbox.post(command)
    }

    /// Another `media.timeout`, after a reload; it holds for calls in progress too.
    pub fn set_timeout(&self, timeout: Duration) {
        for worker in &self.workers {
            worker.mailbox.set_timeout(timeout);
        }
    }

    /// What was counted since the start, over all workers.
    pub fn counters(&self) -> RelayCounters {
        let mut total = RelayCounters::default();
        for worker in &self.workers {
            worker.counters.add_to(&mut total);
        }
        total
    }

    /// `io_uring` or `portable`: the label value of `drawbridge_build_info`.
    pub fn engine_name(&self) -> &'static str {
        match self.engine {
            EngineKind::IoUring => "io_uring",
            EngineKind::Portable => "portable",
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.mailbox.stop();
        }
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            // A worker that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

/// The session that a command is about.
fn session_of(command: &MediaCommand) -> MediaSessionId {
    match *command {
        MediaCommand::Open { session, .. }
        | MediaCommand::SetRemote { session, .. }
        | MediaCommand::SetHold { session, .. }
        | MediaCommand::Press { session, .. }
        | MediaCommand::Close { session } => session,
    }
}

fn start_workers(
    settings: RelaySettings,
    engine: EngineKind,
    clock: Clock,
    events: &mpsc::Sender<MediaEvent>,
) -> io::Result<Relay> {
    let mut relay = Relay { engine, workers: Vec::new() };
    for number in 0..settings.workers.clamp(1, WORKERS_MAX) {
        // An early return drops the relay, which stops the workers that are running.
        relay.workers.push(start_worker(number, settings, engine, clock, events.clone())?);
    }
    Ok(relay)
}

/// Starts one thread and waits until its engine stands.
fn start_worker(
    number: usize,
    settings: RelaySettings,
    engine: EngineKind,
    clock: Clock,
    events: mpsc::Sender<MediaEvent>,
) -> io::Result<RunningWorker> {
    let mailbox = Arc::new(Mailbox::new(settings.timeout)?);
    let counters = Arc::new(WorkerCounters::default());
    let worker = Worker::new(clock, events, Arc::clone(&mailbox), Arc::clone(&counters));
    let (report, is_ready) = sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("relay-{number}")).spawn(move || match engine {
        // A ring belongs to the thread that made it.
        EngineKind::IoUring => run(uring::UringEngine::new(&worker), &report, |engine| engine.run(worker)),
        EngineKind::Portable => {
            run(portable::PortableEngine::new(&worker), &report, |engine| engine.run(worker));
        }
    })?;
    let started = is_ready.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
    let worker = RunningWorker { mailbox, counters, thread: Some(thread) };
    match started {
        Ok(()) => Ok(worker),
        Err(error) => {
            let _ = worker.thread.map(JoinHandle::join);
            Err(error)
        }
    }
}

/// Tells the starter how the engine's making went, and runs it.
fn run<E>(engine: io::Result<E>, report: &std::sync::mpsc::SyncSender<io::Result<()>>, go: impl FnOnce(E)) {
    match engine {
        Ok(engine) => {
            let _ = report.send(Ok(()));
            go(engine);
        }
        Err(error) => {
            let _ = report.send(Err(error));
        }
    }
}
