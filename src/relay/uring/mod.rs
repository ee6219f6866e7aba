//! The io_uring engine: one ring a worker, multishot receives into provided buffers, each datagram
//! sent from the buffer it came in.
//!
//! The kernel is asked as rarely as possible: one system call submits the sends of a batch, waits
//! for the next and takes its packets.

mod buffers;
mod pace;
mod ring;
mod self_test;
#[cfg(test)]
mod tests;
mod zero_copy;

use std::io;
use std::time::Duration;

use socket2::Socket;

use self::buffers::BufferId;
use self::pace::Pace;
use self::ring::{Completion, Ring, RingOptions};
use super::counters::Stall;
use super::errno::{self, AfterReceive};
use super::settings::RelaySettings;
use super::table::{Detach, Slot, Sockets, Table};
use super::worker::{Turn, Worker};
use crate::base::Instant;
use crate::media::DropReason;

/// A receive that ends with an error this often in a row goes on only after [`FAULT_PAUSE`].
const RECEIVE_FAULTS_MAX: u8 = 8;
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// For so many packets at a time the memory is brought near that they will need.
const AHEAD: usize = 16;

/// One worker's ring and what it knows of each slot.
pub(super) struct UringEngine {
    sockets: RingSockets,
    completions: Vec<Completion>,
    pace: Pace,
    /// When the last wait ended: the clock is read once a batch.
    now: Instant,
}

struct RingSockets {
    ring: Ring,
    slots: Vec<SlotState>,
    /// Slots whose receive ended and shall go on.
    ended: Vec<Slot>,
    /// Slots whose receive ended with an error too often, until [`FAULT_PAUSE`] is over.
    paused: Vec<Slot>,
    next_resumption: Instant,
}

#[derive(Clone, Copy, Default)]
struct SlotState {
    /// Whether a receive is under way.
    is_receiving: bool,
    /// Whether the socket is to be closed when the receive has ended.
    is_closing: bool,
    is_open: bool,
    /// Errors in a row.
    faults: u8,
}

impl UringEngine {
    /// The engine of worker `number`.
    ///
    /// # Errors
    /// Where io_uring is refused, too old, or does not work as it says.
    pub(super) fn new(number: usize, settings: &RelaySettings, worker: &Worker) -> io::Result<UringEngine> {
        let mut ring = Ring::new(&RingOptions::of(settings))?;
        if !self_test::run(&mut ring)? {
            // Kernels before 6.13 free no file of the table while an older request runs.
            ring.use_plain_files();
        }
        // The others do as the first found.
        let is_first = number == 0;
        zero_copy::choose(&mut ring, settings.zero_copy, is_first);
        if !settings.busy_poll.is_zero()
            && let Err(error) = ring.poll_busily(settings.busy_poll)
            && is_first
        {
            tracing::warn!(%error, "media.busy_poll has no effect: it needs Linux 6.9");
        }
        ring.await_wake_up(worker.wake_up_fd());
        let now = worker.now();
        let pace = Pace::new(settings.batch, now);
        Ok(UringEngine { sockets: RingSockets::new(ring), completions: Vec::new(), pace, now })
    }

    /// Whether datagrams are sent without a copy.
    pub(super) fn sends_without_copy(&self) -> bool {
        self.sockets.ring.sends_without_copy()
    }

    /// Runs until the relay stops.
    ///
    /// # Errors
    /// Where the ring cannot be relied on any more.
    pub(super) fn run(mut self, worker: &mut Worker) -> io::Result<()> {
        while self.step(worker)? {}
        Ok(())
    }

    /// One turn: what is due, one wait, what completed. Tells whether there shall be another.
    fn step(&mut self, worker: &mut Worker) -> io::Result<bool> {
        let time = match worker.turn(self.now, &mut self.sockets) {
            Turn::Wait(time) => time,
            Turn::Stop => return Ok(false),
        };
        worker.fail_if_asked()?;
        self.sockets.ring.wait(self.pace.plan(), time, &mut self.completions)?;
        if let Some(stall) = self.sockets.ring.take_stall() {
            worker.table.count_stall(stall);
        }
        self.now = worker.now();
        self.pace.note(self.now, self.completions.len());
        worker.obey(self.now, &mut self.sockets);
        self.serve(worker);
        Ok(true)
    }

    /// Looks at all that completed, then lets the receives go on that had ended.
    fn serve(&mut self, worker: &mut Worker) {
        let now = self.now;
        for index in 0..self.completions.len() {
            if index % AHEAD == 0 {
                self.bring_near(index, &worker.table);
            }
            match self.completions[index] {
                Completion::Datagram { slot, buffer, length, is_last } => {
                    self.sockets.relay(slot, buffer, length, &mut worker.table, now);
                    if is_last {
                        self.sockets.receive_ended(slot, &mut worker.table);
                    }
                }
                Completion::ReceiveEnded { slot, errno } => {
                    self.sockets.note_end(slot, errno, &mut worker.table);
                    self.sockets.receive_ended(slot, &mut worker.table);
                }
                Completion::SendFailed { slot, errno } => {
                    worker.table.count_drop(slot, errno::of_send(errno));
                }
                Completion::WokenUp { errno } => {
                    if errno != 0 {
                        tracing::debug!(errno, "the eventfd could not be read");
                    }
                    self.sockets.ring.await_wake_up(worker.wake_up_fd());
                }
                Completion::Nothing => {}
            }
        }
        self.completions.clear();
        self.sockets.resume(now);
    }
}

impl UringEngine {
    /// Brings what the packets of the next completions need into the processor's caches.
    fn bring_near(&self, from: usize, table: &Table) {
        let slots = self.completions[from..].iter().take(AHEAD).filter_map(|completion| match completion {
            Completion::Datagram { slot, .. } => Some(*slot),
            _ => None,
        });
        table.bring_near(slots);
    }
}

impl RingSockets {
    fn new(ring: Ring) -> RingSockets {
        RingSockets {
            ring,
            slots: Vec::new(),
            ended: Vec::new(),
            paused: Vec::new(),
            next_resumption: Instant::ZERO,
        }
    }

    fn relay(&mut self, slot: Slot, buffer: BufferId, length: usize, table: &mut Table, now: Instant) {
        let Some(received) = self.ring.received(buffer, length) else { return self.ring.discard(buffer) };
        let egress = match received.source {
            Some(_) if received.is_truncated => {
                table.count_drop(slot, DropReason::TooLarge);
                None
            }
            Some(source) => table.receive(slot, source, received.payload, now),
            None => None,
        };
        match egress {
            Some(egress) => self.ring.send(slot, egress.slot, buffer, egress.length, egress.address),
            None => self.ring.discard(buffer),
        }
        if let Some(state) = self.slots.get_mut(slot as usize) {
            state.faults = 0;
        }
    }

    /// A receive ended without a datagram: what that means stands in `errno.rs`.
    fn note_end(&mut self, slot: Slot, errno: i32, table: &mut Table) {
        let Some(state) = self.slots.get_mut(slot as usize) else { return };
        match errno::after_receive(errno) {
            AfterReceive::Again => {}
            AfterReceive::AgainWithBuffers => {
                self.ring.offer_more_buffers();
                table.count_stall(Stall::Buffers);
            }
            AfterReceive::Suspect => {
                state.faults = state.faults.saturating_add(1);
                if state.faults == RECEIVE_FAULTS_MAX {
                    table.count_stall(Stall::Receive);
                    tracing::warn!(errno, "a media socket keeps failing to receive");
                }
            }
        }
    }

    /// The last completion of a slot's receive was seen.
    fn receive_ended(&mut self, slot: Slot, table: &mut Table) {
        let Some(state) = self.slots.get_mut(slot as usize) else { return };
        state.is_receiving = false;
        if state.is_closing {
            *state = SlotState::default();
            self.ring.remove_file(slot);
            table.detached(slot);
        } else {
            self.ended.push(slot);
        }
    }

    /// Lets ended receives go on, those that failed too often after a pause.
    fn resume(&mut self, now: Instant) {
        if now >= self.next_resumption && !self.paused.is_empty() {
            self.ended.append(&mut self.paused);
            self.next_resumption = now + FAULT_PAUSE;
        } else if self.ended.is_empty() {
            return;
        }
        for slot in self.ended.drain(..) {
            let Some(state) = self.slots.get_mut(slot as usize) else { continue };
            if !state.is_open || state.is_receiving || state.is_closing {
                continue;
            }
            if state.faults >= RECEIVE_FAULTS_MAX {
                // One try a pause: the next error brings it back here.
                state.faults = RECEIVE_FAULTS_MAX - 1;
                self.paused.push(slot);
            } else {
                state.is_receiving = true;
                self.ring.receive(slot);
            }
        }
    }
}

impl Sockets for RingSockets {
    fn attach(&mut self, slot: Slot, socket: Socket) -> io::Result<()> {
        self.ring.add_file(slot, socket)?;
        if self.slots.len() <= slot as usize {
            self.slots.resize(slot as usize + 1, SlotState::default());
        }
        self.slots[slot as usize] = SlotState { is_receiving: true, is_open: true, ..SlotState::default() };
        self.ring.receive(slot);
        Ok(())
    }

    fn detach(&mut self, slot: Slot) -> Detach {
        let Some(state) = self.slots.get_mut(slot as usize) else { return Detach::Done };
        if state.is_receiving {
            state.is_closing = true;
            self.ring.cancel_receive(slot);
            Detach::Pending
        } else {
            *state = SlotState::default();
            self.ring.remove_file(slot);
            Detach::Done
        }
    }
}
