//! One io_uring with its file table and its receive buffers: what the engine asks of the kernel, in
//! the engine's words.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::types::{CancelBuilder, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use socket2::Socket;

use super::super::sys;
use super::super::table::{SLOTS_MAX, Slot};
use super::super::worker::{BATCH_PACKETS, BATCH_WAIT};
use super::buffers::{BufferId, Buffers, GROUP, Outgoing, Received};

/// Requests that are gathered for one system call; more go with a further one.
const SUBMISSIONS: u32 = 1_024;
/// Completions that the kernel can leave; when they do not fit it keeps them and says so.
const COMPLETIONS: u32 = 8_192;
/// How often a full queue is submitted for one request, if the kernel takes none of it.
const PUSHES_MAX: usize = 1_000;
/// IORING_RECVSEND_POLL_FIRST: wait for data before trying to receive.
const POLL_FIRST: u16 = 1;

/// What completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Completion {
    /// A datagram, of that many bytes of its buffer. `is_last`: the receive has ended.
    Datagram { slot: Slot, buffer: BufferId, length: usize, is_last: bool },
    /// The receive of a slot ended with an errno (0: without one), and with no datagram.
    ReceiveEnded { slot: Slot, errno: i32 },
    /// The datagram that arrived at a slot could not be sent.
    SendFailed { slot: Slot, errno: i32 },
    /// The eventfd was read.
    WokenUp { errno: i32 },
    /// Nothing that anybody waits for.
    Nothing,
}

/// Where the kernel finds the sockets.
enum Files {
    /// In the ring's own table: no reference counting for each packet.
    Fixed,
    /// Among the process's descriptors.
    Plain(Vec<Option<OwnedFd>>),
}

pub(super) struct Ring {
    /// Dropped before the buffers, and neither of them while a request is under way.
    ring: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<Buffers>,
    files: Files,
    slots_max: Slot,
    /// The eventfd's count is read into this.
    wake_up_count: Box<u64>,
    /// Buffers whose sends are in the submission queue or just left it.
    spent: Vec<BufferId>,
    /// Requests that have not sent their last completion.
    under_way: usize,
    /// Whether packets came with the last wait.
    is_busy: bool,
    /// Whether the kernel can wait first for a batch and then for one (6.12).
    waits_in_two_steps: bool,
}

/// `user_data`: what a completion is of, and of which slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Receive = 1,
    Send,
    WakeUp,
    Cancel,
}

impl Tag {
    const fn with(self, slot: Slot) -> u64 {
        (self as u64) << 32 | slot as u64
    }
}

impl Ring {
    /// A ring with all it needs.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring or lacks an operation.
    pub(super) fn new() -> io::Result<Ring> {
        let ring = build()?;
        check_operations(&ring)?;
        let slots_max = SLOTS_MAX.min(sys::open_files_limit());
        ring.submitter().register_files_sparse(slots_max)?;
        let buffers = Buffers::register(&ring.submitter())?;
        let waits_in_two_steps = ring.params().is_feature_min_timeout();
        Ok(Ring {
            ring: ManuallyDrop::new(ring),
            buffers: ManuallyDrop::new(buffers),
            files: Files::Fixed,
            slots_max,
            wake_up_count: Box::new(0),
            spent: Vec::with_capacity(usize::from(super::buffers::BUFFERS)),
            under_way: 0,
            is_busy: false,
            waits_in_two_steps,
        })
    }

    /// Keeps sockets among the process's descriptors from now on, not in the ring's table.
    pub(super) fn use_plain_files(&mut self) {
        self.files = Files::Plain(Vec::new());
    }

    /// Does without the kernel's wait in two steps, as before 6.12.
    #[cfg(test)]
    pub(super) fn wait_in_one_step(&mut self) {
        self.waits_in_two_steps = false;
    }

    /// Takes a socket in.
    pub(super) fn add_file(&mut self, slot: Slot, socket: Socket) -> io::Result<()> {
        if slot >= self.slots_max {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        match &mut self.files {
            // The table holds a reference of its own, so ours may go.
            Files::Fixed => {
                self.ring.submitter().register_files_update(slot, &[socket.as_raw_fd()])?;
            }
            Files::Plain(files) => {
                let slot = slot as usize;
                if files.len() <= slot {
                    files.resize_with(slot + 1, || None);
                }
                files[slot] = Some(socket.into());
            }
        }
        Ok(())
    }

    /// Closes a socket that no request uses.
    pub(super) fn remove_file(&mut self, slot: Slot) {
        match &mut self.files {
            Files::Fixed => {
                if let Err(error) = self.ring.submitter().register_files_update(slot, &[-1]) {
                    tracing::error!(%error, slot, "a media socket stays open");
                }
            }
            Files::Plain(files) => {
                if let Some(file) = files.get_mut(slot as usize) {
                    *file = None;
                }
            }
        }
    }

    /// Begins to receive at a slot, for as many datagrams as will come.
    pub(super) fn receive(&mut self, slot: Slot) {
        let message = self.buffers.message();
        let request = match self.fd(slot) {
            None => opcode::RecvMsgMulti::new(Fixed(slot), message, GROUP).ioprio(POLL_FIRST).build(),
            Some(fd) => opcode::RecvMsgMulti::new(Fd(fd), message, GROUP).ioprio(POLL_FIRST).build(),
        };
        self.push(request.user_data(Tag::Receive.with(slot)));
        self.under_way += 1;
    }

    /// Ends the receive of a slot; its last completion will come.
    pub(super) fn cancel_receive(&mut self, slot: Slot) {
        let request = opcode::AsyncCancel::new(Tag::Receive.with(slot)).build();
        self.push(request.user_data(Tag::Cancel.with(slot)));
        self.under_way += 1;
    }

    /// Begins to wait for the eventfd.
    pub(super) fn await_wake_up(&mut self, eventfd: RawFd) {
        let request = opcode::Read::new(Fd(eventfd), (&raw mut *self.wake_up_count).cast(), 8).build();
        self.push(request.user_data(Tag::WakeUp.with(0)));
        self.under_way += 1;
    }

    /// The datagram of a [`Completion::Datagram`].
    pub(super) fn received(&mut self, buffer: BufferId, length: usize) -> Option<Received<'_>> {
        self.buffers.received(buffer, length)
    }

    /// Sends what was received into `buffer` from another slot's socket, and gives the buffer back
    /// when that is done.
    ///
    /// `MSG_DONTWAIT` makes the kernel finish or fail the send while it takes the request from the
    /// queue; it is never parked until the socket has room. So once the call that submitted it has
    /// returned, the buffer is free, although a success leaves no completion.
    pub(super) fn send(
        &mut self,
        received_at: Slot,
        from: Slot,
        buffer: BufferId,
        payload_bytes: usize,
        address: SocketAddr,
    ) {
        let Some(outgoing) = self.buffers.address_to(buffer, payload_bytes, address) else { return };
        let request = match self.fd(from) {
            None => send_request(
                opcode::Send::new(Fixed(from), outgoing.payload, outgoing.payload_bytes),
                &outgoing,
            ),
            Some(fd) => {
                send_request(opcode::Send::new(Fd(fd), outgoing.payload, outgoing.payload_bytes), &outgoing)
            }
        };
        self.push(request.flags(Flags::SKIP_SUCCESS).user_data(Tag::Send.with(received_at)));
        self.spent.push(buffer);
    }

    /// Gives back a buffer that is not sent.
    pub(super) fn discard(&mut self, buffer: BufferId) {
        self.buffers.give_back(buffer);
    }

    /// Submits what was asked for and waits for completions: a batch of them if packets are
    /// flowing, or one, `time` at most. Then appends all there are.
    pub(super) fn wait(
        &mut self,
        time: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        // Buffers that were discarded while the last completions were looked at.
        self.buffers.publish();
        let time = Timespec::from(time.unwrap_or(Duration::from_secs(3_600)));
        let gather = Timespec::from(BATCH_WAIT);
        let (count, arguments) = if self.waits_in_two_steps {
            // First for a batch, and if nothing at all came, on for the first packet.
            let micros = BATCH_WAIT.as_micros() as u32;
            (BATCH_PACKETS, SubmitArgs::new().min_wait_usec(micros).timespec(&time))
        } else if self.is_busy {
            (BATCH_PACKETS, SubmitArgs::new().timespec(&gather))
        } else {
            (1, SubmitArgs::new().timespec(&time))
        };
        match self.ring.submitter().submit_with_args(count, &arguments) {
            Ok(_) => {}
            Err(error) if is_no_failure(&error) => {}
            Err(error) => return Err(error),
        }
        self.recycle_spent();
        self.drain(completions);
        Ok(())
    }

    /// Cancels all that is under way, waits until it has ended and closes the sockets.
    fn shut_down(&mut self) {
        const ROUNDS_MAX: usize = 100;
        const ROUND: Duration = Duration::from_millis(10);
        let request = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        self.push(request.user_data(Tag::Cancel.with(0)));
        self.under_way += 1;
        let mut completions = Vec::new();
        for _ in 0..ROUNDS_MAX {
            if self.under_way == 0 || self.wait(Some(ROUND), &mut completions).is_err() {
                break;
            }
            completions.clear();
        }
        // Dropping the ring would close them too, but some time later.
        if let Err(error) = self.ring.submitter().unregister_files() {
            tracing::debug!(%error, "the kernel closes the media sockets later");
        }
    }

    /// Appends the completions that are there.
    fn drain(&mut self, completions: &mut Vec<Completion>) {
        let before = completions.len();
        for entry in self.ring.completion() {
            let (completion, is_last) = read(&entry);
            if is_last && !matches!(completion, Completion::SendFailed { .. }) {
                self.under_way = self.under_way.saturating_sub(1);
            }
            completions.push(completion);
        }
        self.is_busy = completions.len() > before;
    }

    /// Gives back the buffers of sends, if every request has left the queue.
    fn recycle_spent(&mut self) {
        if self.ring.submission().is_empty() {
            for buffer in self.spent.drain(..) {
                self.buffers.give_back(buffer);
            }
            self.buffers.publish();
        }
    }

    /// Queues a request; a full queue is submitted first.
    fn push(&mut self, request: squeue::Entry) {
        for _ in 0..PUSHES_MAX {
            // SAFETY: every pointer in a request of ours is to the buffers, the message header or
            // the eventfd's count, which live and stay where they are until nothing is under way
            // (`Drop`), or to a buffer that is given back only after its send was submitted.
            if unsafe { self.ring.submission().push(&request) }.is_ok() {
                return;
            }
            if let Err(error) = self.ring.submit()
                && !is_no_failure(&error)
            {
                break;
            }
        }
        tracing::error!("a request to the kernel was lost");
    }

    /// The descriptor of a slot, unless it is in the ring's table.
    fn fd(&self, slot: Slot) -> Option<RawFd> {
        match &self.files {
            Files::Fixed => None,
            Files::Plain(files) => Some(files.get(slot as usize)?.as_ref()?.as_raw_fd()),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.shut_down();
        if self.under_way == 0 {
            // SAFETY: neither is used after this, and the kernel has nothing under way with them.
            unsafe {
                ManuallyDrop::drop(&mut self.ring);
                ManuallyDrop::drop(&mut self.buffers);
            }
        } else {
            tracing::error!(
                under_way = self.under_way,
                "io_uring does not let go: its memory stays allocated"
            );
            let count = std::mem::take(&mut self.wake_up_count);
            Box::leak(count);
        }
    }
}

fn send_request(send: opcode::Send, outgoing: &Outgoing) -> squeue::Entry {
    send.dest_addr(outgoing.address)
        .dest_addr_len(outgoing.address_bytes)
        .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        .build()
}

/// The most economical ring that this kernel makes: completions are worked off only when we ask
/// (6.1), at least not by interrupting us (5.19).
fn build() -> io::Result<IoUring> {
    let with = |refine: fn(&mut io_uring::Builder)| {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETIONS).setup_submit_all();
        refine(&mut builder);
        builder.build(SUBMISSIONS)
    };
    with(|builder| {
        builder.setup_single_issuer().setup_defer_taskrun().setup_no_sqarray();
    })
    .or_else(|_| {
        with(|builder| {
            builder.setup_single_issuer().setup_defer_taskrun();
        })
    })
    .or_else(|_| {
        with(|builder| {
            builder.setup_coop_taskrun();
        })
    })
}

/// Whether the kernel knows every operation, and waits as we want it.
fn check_operations(ring: &IoUring) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let operations =
        [opcode::RecvMsgMulti::CODE, opcode::Send::CODE, opcode::AsyncCancel::CODE, opcode::Read::CODE];
    let parameters = ring.params();
    let is_capable = operations.iter().all(|code| probe.is_supported(*code))
        && parameters.is_feature_ext_arg()
        && parameters.is_feature_nodrop()
        && parameters.is_feature_skip_cqe_on_success();
    if is_capable {
        Ok(())
    } else {
        Err(io::Error::other("this kernel's io_uring is too old: 6.1 is needed"))
    }
}

/// What a completion means, and whether its request has ended.
fn read(entry: &cqueue::Entry) -> (Completion, bool) {
    let slot = entry.user_data() as Slot;
    let is_last = !cqueue::more(entry.flags());
    let errno = (-entry.result()).max(0);
    let completion = match entry.user_data() >> 32 {
        tag if tag == Tag::Receive as u64 => match (cqueue::buffer_select(entry.flags()), entry.result()) {
            (Some(buffer), length) if length >= 0 => {
                Completion::Datagram { slot, buffer, length: length as usize, is_last }
            }
            _ if is_last => Completion::ReceiveEnded { slot, errno },
            _ => Completion::Nothing,
        },
        tag if tag == Tag::Send as u64 => Completion::SendFailed { slot, errno },
        tag if tag == Tag::WakeUp as u64 => Completion::WokenUp { errno },
        _ => Completion::Nothing,
    };
    (completion, is_last)
}

/// Results of a wait that only mean "look at what is there": time over, a signal, completions that
/// must be taken first.
fn is_no_failure(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN))
}
