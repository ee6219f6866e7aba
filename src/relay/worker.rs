//! What every worker does beside moving packets: commands, the clock, the silence of sessions.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;

use super::counters::WorkerCounters;
use super::mailbox::Mailbox;
use super::outbox::Outbox;
use super::table::{Sockets, Table};
use crate::base::Instant;
use crate::media::{MediaCommand, MediaEvent};
use crate::runtime::Clock;

/// How long packets may gather before the worker is woken for them, once traffic flows: fewer
/// wake-ups are what makes relaying cheap (docs/design.md). It delays a packet by this at most.
pub(super) const BATCH_WAIT: Duration = Duration::from_micros(200);
/// Packets for which the worker is woken though [`BATCH_WAIT`] is not over.
pub(super) const BATCH_PACKETS: usize = 64;
/// How often the driver is offered events again that it had no room for.
const RETRY: Duration = Duration::from_millis(5);
/// How often sessions are looked at for silence, at most and at least.
const TICK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// One worker's state, whichever engine runs it.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) table: Table,
    clock: Clock,
    mailbox: Arc<Mailbox>,
    commands: Vec<MediaCommand>,
    next_tick: Instant,
}

/// What the engine does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// Wait for packets or a wake-up; with a limit, at most that long.
    Wait(Option<Duration>),
    /// Close everything and end.
    Stop,
}

impl Worker {
    pub(super) fn new(
        clock: Clock,
        events: Sender<MediaEvent>,
        mailbox: Arc<Mailbox>,
        counters: Arc<WorkerCounters>,
    ) -> Worker {
        Worker {
            table: Table::new(Outbox::new(events), counters),
            clock,
            mailbox,
            commands: Vec::new(),
            next_tick: Instant::ZERO,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The eventfd that the engine watches beside the sockets.
    pub(super) fn wake_up_fd(&self) -> RawFd {
        self.mailbox.wake_up_fd()
    }

    /// To be called when the eventfd was readable and nobody has read it.
    pub(super) fn acknowledge_wake_up(&self) {
        self.mailbox.acknowledge();
    }

    /// Carries out what was posted and what is due; to be called after each batch of packets.
    pub(super) fn turn(&mut self, now: Instant, sockets: &mut impl Sockets) -> Turn {
        if self.mailbox.is_stopping() {
            return Turn::Stop;
        }
        self.obey(now, sockets);
        if now >= self.next_tick {
            let limits = self.mailbox.silence();
            self.table.tick(&limits, now);
            self.next_tick = now + (limits.shortest() / 8).clamp(TICK.0, TICK.1);
        }
        if self.table.is_behind() {
            self.next_tick = self.next_tick.min(now + RETRY);
        }
        Turn::Wait((!self.table.is_idle()).then(|| self.next_tick.since(now)))
    }

    /// Carries out what was posted; to be called before packets are looked at, too: what the engine
    /// said before it sent an answer is in force for the packets that the answer brings.
    pub(super) fn obey(&mut self, now: Instant, sockets: &mut impl Sockets) {
        self.mailbox.take(&mut self.commands);
        for command in self.commands.drain(..) {
            self.table.command(command, now, sockets);
        }
    }
}
