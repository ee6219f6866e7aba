//! The engine for wherever io_uring is refused: epoll, and batches by `recvmmsg` and `sendmmsg`.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::Socket;

use super::counters::Stall;
use super::errno::{self, AfterReceive};
use super::sys::{self, Batch, Epoll, Outgoing, Ready};
use super::table::{Detach, Slot, Sockets, Table};
use super::worker::{Turn, Worker};
use crate::base::Instant;
use crate::media::DropReason;

/// Sockets that one wait reports; the others come with the next.
const READY_MAX: usize = 512;
/// The number by which epoll reports the eventfd; no slot is as large.
const WAKE_UP: u64 = u64::MAX;

/// One worker's epoll instance and sockets.
pub(super) struct PortableEngine {
    sockets: EpollSockets,
    ready: Vec<Ready>,
    batch: Batch,
    outgoing: Vec<Outgoing>,
    /// `media.batch`.
    gather: Duration,
    /// Whether packets were left behind in their sockets, which have waited long enough.
    has_more: bool,
}

/// The sockets by their slots.
struct EpollSockets {
    epoll: Epoll,
    sockets: Vec<Option<Socket>>,
}

impl PortableEngine {
    /// # Errors
    /// What epoll says.
    pub(super) fn new(gather: Duration, worker: &Worker) -> io::Result<PortableEngine> {
        let epoll = Epoll::new()?;
        epoll.add(worker.wake_up_fd(), WAKE_UP)?;
        Ok(PortableEngine {
            sockets: EpollSockets { epoll, sockets: Vec::new() },
            ready: Vec::with_capacity(READY_MAX),
            batch: Batch::new(),
            outgoing: Vec::with_capacity(Batch::LEN),
            gather,
            has_more: false,
        })
    }

    /// Runs until the relay stops.
    ///
    /// # Errors
    /// What epoll says of a live instance: nothing, unless this program has a fault.
    pub(super) fn run(mut self, worker: &mut Worker) -> io::Result<()> {
        loop {
            let now = worker.now();
            let time = match worker.turn(now, &mut self.sockets) {
                Turn::Wait(time) => time,
                Turn::Stop => return Ok(()),
            };
            worker.fail_if_asked()?;
            if self.lets_gather() && sys::wait_readable(worker.wake_up_fd(), self.gather).is_err() {
                tracing::debug!("interrupted while packets gather");
            }
            self.sockets.epoll.wait(&mut self.ready, time)?;
            self.has_more = self.ready.len() == READY_MAX;
            worker.obey(worker.now(), &mut self.sockets);
            self.serve(worker);
        }
    }

    /// Packets are on their way as a rule when packets came before: they gather first, unless some
    /// have done so already.
    fn lets_gather(&self) -> bool {
        !self.gather.is_zero() && !self.ready.is_empty() && !self.has_more
    }

    /// One batch from each socket that has something.
    fn serve(&mut self, worker: &mut Worker) {
        let now = worker.now();
        for index in 0..self.ready.len() {
            match self.ready[index].u64 {
                WAKE_UP => worker.acknowledge_wake_up(),
                slot => self.relay(slot as Slot, &mut worker.table, now),
            }
        }
    }

    fn relay(&mut self, slot: Slot, table: &mut Table, now: Instant) {
        let Some(fd) = self.sockets.fd(slot) else { return };
        let count = match self.batch.receive(fd) {
            Ok(count) => count,
            Err(error) => {
                // One of the network's is told once and is gone.
                if errno::after_receive(error.raw_os_error().unwrap_or(0)) == AfterReceive::Suspect {
                    table.count_stall(Stall::Receive);
                }
                return;
            }
        };
        self.has_more |= count == Batch::LEN;
        let mut from = None;
        for index in 0..count {
            let incoming = self.batch.get(index);
            if incoming.is_truncated {
                table.count_drop(slot, DropReason::TooLarge);
                continue;
            }
            let Some(source) = incoming.source else { continue };
            let Some(egress) = table.receive(slot, source, incoming.bytes, now) else { continue };
            if from.is_some_and(|from| from != egress.slot) {
                self.send(slot, from, table);
            }
            from = Some(egress.slot);
            self.outgoing.push(Outgoing { index, address: egress.address, length: egress.length });
        }
        self.send(slot, from, table);
    }

    /// Sends what gathered for one socket; each that is refused is counted, and the rest goes on.
    fn send(&mut self, received_at: Slot, from: Option<Slot>, table: &mut Table) {
        if let Some(fd) = from.and_then(|from| self.sockets.fd(from)) {
            let mut rest = &self.outgoing[..];
            while !rest.is_empty() {
                let done = match self.batch.send(fd, rest) {
                    Ok(sent @ 1..) => sent,
                    refused => {
                        let errno = refused.err().and_then(|error| error.raw_os_error()).unwrap_or(libc::EIO);
                        table.count_drop(received_at, errno::of_send(errno));
                        1
                    }
                };
                rest = rest.get(done..).unwrap_or_default();
            }
        }
        self.outgoing.clear();
    }
}

impl EpollSockets {
    fn fd(&self, slot: Slot) -> Option<i32> {
        Some(self.sockets.get(slot as usize)?.as_ref()?.as_raw_fd())
    }
}

impl Sockets for EpollSockets {
    fn attach(&mut self, slot: Slot, socket: Socket) -> io::Result<()> {
        self.epoll.add(socket.as_raw_fd(), u64::from(slot))?;
        let slot = slot as usize;
        if self.sockets.len() <= slot {
            self.sockets.resize_with(slot + 1, || None);
        }
        self.sockets[slot] = Some(socket);
        Ok(())
    }

    fn detach(&mut self, slot: Slot) -> Detach {
        // Closing it takes it out of the epoll instance, for nobody else has it open.
        if let Some(socket) = self.sockets.get_mut(slot as usize) {
            *socket = None;
        }
        Detach::Done
    }
}
