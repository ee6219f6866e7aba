//! What every worker does beside moving packets: commands, the clock, the silence of sessions.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Sender;

use socket2::Socket;

use super::counters::WorkerCounters;
use super::mailbox::Mailbox;
use super::outbox::Outbox;
use super::table::{Detach, Slot, Sockets, Table};
use crate::base::Instant;
use crate::media::{MediaCommand, MediaEvent};
use crate::runtime::Clock;

/// How often the driver is offered events again that it had no room for.
const RETRY: Duration = Duration::from_millis(5);
/// How often sessions are looked at for silence, at most and at least.
const TICK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// One worker's state, whichever engine runs it: in this folder an engine is what moves packets
/// (`uring`, `portable`).
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) table: Table,
    clock: Clock,
    mailbox: Arc<Mailbox>,
    counters: Arc<WorkerCounters>,
    /// Taken out of the mailbox. The first stays here until it is carried out, so that one which
    /// brings the worker down is answered all the same.
    commands: VecDeque<MediaCommand>,
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
            table: Table::new(Outbox::new(events), Arc::clone(&counters)),
            clock,
            mailbox,
            counters,
            commands: VecDeque::new(),
            next_tick: Instant::ZERO,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What a test wants to fail here.
    pub(super) fn fail_if_asked(&self) -> io::Result<()> {
        self.mailbox.fail_if_asked()
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
        self.counters.count_turn();
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

    /// Carries out what was posted; to be called before packets are looked at, too: what signalling
    /// said before it sent an answer is in force for the packets that the answer brings.
    pub(super) fn obey(&mut self, now: Instant, sockets: &mut impl Sockets) {
        self.table.copy_rtcp(self.mailbox.copies_rtcp());
        self.mailbox.take(&mut self.commands);
        while let Some(command) = self.commands.front().cloned() {
            self.table.command(command, now, sockets);
            self.commands.pop_front();
        }
    }

    /// The engine is gone and with it every socket: says so of each session, and answers the
    /// command that was in hand.
    pub(super) fn lose_all(&mut self) {
        self.table.lose_all();
        self.next_tick = Instant::ZERO;
        if let Some(command) = self.commands.pop_front() {
            self.table.command(command, self.clock.now(), &mut NoSockets);
        }
    }

    /// Answers commands without an engine, until the relay stops: every `Open` fails, and the rest
    /// goes its way.
    pub(super) fn carry_nothing(&mut self) {
        while !self.mailbox.is_stopping() {
            self.counters.count_turn();
            self.obey(self.now(), &mut NoSockets);
            self.table.flush();
            let wait = if self.table.is_behind() { RETRY } else { TICK.1 };
            match super::sys::wait_readable(self.wake_up_fd(), wait) {
                Ok(true) => self.acknowledge_wake_up(),
                Ok(false) => {}
                // An eventfd can be waited for; a signal comes now and then.
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

/// What a worker without an engine has.
struct NoSockets;

impl Sockets for NoSockets {
    fn attach(&mut self, _slot: Slot, _socket: Socket) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EIO))
    }

    fn detach(&mut self, _slot: Slot) -> Detach {
        Detach::Done
    }
}
