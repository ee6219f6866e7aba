//! The relay: threads of its own that carry RTP and RTCP between the sockets of a call, by the
//! rules that they were told (`media`).
//!
//! A media session belongs wholly to one worker, so nothing on a packet's way is locked or shared.
//! The way is: `table.rs` finds the session by the socket's slot and asks `media` → the engine
//! (`uring/` or `portable.rs`) sends the buffer that it received into.
//!
//! Must not know: SIP, calls. Decides nothing about a packet: `media` does.

mod counters;
mod errno;
mod mailbox;
mod outbox;
mod portable;
mod pulse;
mod settings;
mod sockaddr;
mod sockets;
mod supervisor;
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

use tokio::sync::mpsc;

use crate::media::{MediaCommand, MediaEvent, MediaSessionId, SilenceLimits};
use crate::runtime::Clock;

pub use sys::open_files_limit;

pub use counters::{RealmTraffic, RelayCounters, Stall, Traffic};
pub use mailbox::RelayBusy;
pub use settings::{BATCH_MAX, BUSY_POLL_MAX, EngineChoice, Features, RelaySettings, ZeroCopy};

use counters::WorkerCounters;
use mailbox::Mailbox;
use pulse::Pulse;
use supervisor::{Life, Traits};
use worker::Worker;

/// Events that wait for the driver; what does not fit waits in the workers.
const EVENTS_MAX: usize = 4_096;
/// More threads than this serve nobody.
const WORKERS_MAX: usize = 256;

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
    traits: Traits,
    pulse: Pulse,
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

    /// Other limits of silence, after a reload; they hold for calls in progress too.
    pub fn set_silence(&self, limits: SilenceLimits) {
        for worker in &self.workers {
            worker.mailbox.set_silence(limits);
        }
    }

    /// Whether the peers' RTCP is told as [`MediaEvent::Rtcp`] from now on; at first it is not.
    pub fn set_copies_rtcp(&self, wanted: bool) {
        for worker in &self.workers {
            worker.mailbox.set_copies_rtcp(wanted);
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

    /// Whether a worker has failed so often that it carries no media any more: what is left to do is to
    /// start the process anew.
    pub fn has_dead_worker(&self) -> bool {
        self.workers.iter().any(|worker| worker.mailbox.is_dead())
    }

    /// Whether every worker has turned since this was asked last, and wakes all of them for the next time.
    /// To be asked in steps that a turn takes by no means: seconds.
    pub fn take_pulse(&self) -> bool {
        let turns = self.workers.iter().map(|worker| worker.counters.turns()).collect();
        let is_felt = self.pulse.feel(turns);
        for worker in &self.workers {
            worker.mailbox.wake();
        }
        is_felt
    }

    /// Whether a worker had not turned when [`Relay::take_pulse`] was asked last.
    pub fn has_stuck_worker(&self) -> bool {
        self.pulse.is_missed()
    }

    /// Whether datagrams are sent without a copy (`SEND_ZC`).
    pub fn sends_without_copy(&self) -> bool {
        self.traits.zero_copy
    }

    /// Makes one worker fail.
    #[cfg(test)]
    fn break_worker(&self, number: usize, fault: mailbox::SimulatedFault) {
        self.workers[number].mailbox.break_worker(fault);
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
        | MediaCommand::SetAnswered { session }
        | MediaCommand::Press { session, .. }
        | MediaCommand::Report { session }
        | MediaCommand::Close { session } => session,
    }
}

fn start_workers(
    mut settings: RelaySettings,
    engine: EngineKind,
    clock: Clock,
    events: &mpsc::Sender<MediaEvent>,
) -> io::Result<Relay> {
    let count = settings.workers.clamp(1, WORKERS_MAX);
    let cores = if settings.pin { cores_for(count) } else { Vec::new() };
    let mut relay = Relay { engine, workers: Vec::new(), traits: Traits::default(), pulse: Pulse::default() };
    for number in 0..count {
        let core = cores.get(number).copied();
        // An early return drops the relay, which stops the workers that are running.
        let (worker, traits) = start_worker(number, settings, engine, core, clock, events.clone())?;
        relay.workers.push(worker);
        if number == 0 {
            // What the first has measured need not be measured again.
            relay.traits = traits;
            settings.zero_copy = if traits.zero_copy { ZeroCopy::On } else { ZeroCopy::Off };
        }
    }
    Ok(relay)
}

/// A core for each worker, if there are as many of them; else the scheduler knows better.
fn cores_for(workers: usize) -> Vec<usize> {
    sys::allowed_cores().ok().filter(|cores| cores.len() == workers).unwrap_or_default()
}

/// Starts one thread and waits until its engine stands.
fn start_worker(
    number: usize,
    settings: RelaySettings,
    kind: EngineKind,
    core: Option<usize>,
    clock: Clock,
    events: mpsc::Sender<MediaEvent>,
) -> io::Result<(RunningWorker, Traits)> {
    let mailbox = Arc::new(Mailbox::new(settings.silence)?);
    let counters = Arc::new(WorkerCounters::default());
    let worker = Worker::new(clock, events, Arc::clone(&mailbox), Arc::clone(&counters));
    let life =
        Life { number, settings, kind, core, mailbox: Arc::clone(&mailbox), counters: Arc::clone(&counters) };
    let (report, is_ready) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("relay-{number}"))
        // A ring belongs to the thread that made it, so the engine is made there.
        .spawn(move || supervisor::live(&life, worker, &report))?;
    let started = is_ready.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
    let worker = RunningWorker { mailbox, counters, thread: Some(thread) };
    match started {
        Ok(traits) => Ok((worker, traits)),
        Err(error) => {
            let _ = worker.thread.map(JoinHandle::join);
            Err(error)
        }
    }
}
