//! The engine for wherever io_uring is refused: epoll, and batches by `recvmmsg` and `sendmmsg`.

use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

use super::sys::{self, Batch, Epoll, Outgoing, Ready};
use super::table::{Detach, Slot, Sockets, Table};
use super::worker::{BATCH_WAIT, Turn, Worker};
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
}

/// The sockets by their slots.
struct EpollSockets {
    epoll: Epoll,
    sockets: Vec<Option<Socket>>,
}

impl PortableEngine {
    /// # Errors
    /// What epoll says.
    pub(super) fn new(worker: &Worker) -> io::Result<PortableEngine> {
        let epoll = Epoll::new()?;
        epoll.add(worker.wake_up_fd(), WAKE_UP)?;
        Ok(PortableEngine {
            sockets: EpollSockets { epoll, sockets: Vec::new() },
            ready: Vec::with_capacity(READY_MAX),
            batch: Batch::new(),
            outgoing: Vec::with_capacity(Batch::LEN),
        })
    }

    /// Runs until the relay stops.
    pub(super) fn run(mut self, mut worker: Worker) {
        loop {
            let now = worker.now();
            let time = match worker.turn(now, &mut self.sockets) {
                Turn::Wait(time) => time,
                Turn::Stop => return,
            };
            // Packets are waiting as a rule when packets came before: let them gather first.
            if !self.ready.is_empty() && sys::wait_readable(worker.wake_up_fd(), BATCH_WAIT).is_err() {
                tracing::debug!("interrupted while packets gather");
            }
            if let Err(error) = self.sockets.epoll.wait(&mut self.ready, time) {
                // Cannot happen with a live instance; ending this worker would end its calls.
                tracing::error!(%error, "epoll");
                return;
            }
            worker.obey(worker.now(), &mut self.sockets);
            self.serve(&mut worker);
        }
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
        // An error (ICMP has none to tell to a socket without a peer) is told once and is gone.
        let Some(count) = self.sockets.fd(slot).and_then(|fd| self.batch.receive(fd).ok()) else { return };
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
                let sent = self.batch.send(fd, rest);
                rest = &rest[sent..];
                if let [_refused, others @ ..] = rest {
                    table.count_drop(received_at, DropReason::SendFailed);
                    rest = others;
                }
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
