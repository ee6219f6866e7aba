//! One io_uring with its file table and its receive buffers: what the engine asks of the kernel, in
//! the engine's words.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::types::{CancelBuilder, Fd, Fixed, Napi, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use socket2::Socket;

use super::super::counters::Stall;
use super::super::errno::{self, AfterWait};
use super::super::settings::{Features, RelaySettings};
use super::super::sys;
use super::super::table::{SLOTS_MAX, Slot};
use super::buffers::{self, BufferId, Buffers, GROUP, Outgoing, Received};
use super::pace::{self, Wait};

/// Requests that are gathered for one system call; more go with a further one.
const SUBMISSIONS: u32 = 1_024;
/// Completions that the kernel can leave; when they do not fit it keeps them and says so.
const COMPLETIONS: u32 = 8_192;
/// How often a full queue is submitted for one request, if the kernel takes none of it.
const PUSHES_MAX: usize = 1_000;
/// IORING_RECVSEND_POLL_FIRST: wait for data before trying to receive.
const POLL_FIRST: u16 = 1;
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// What a ring is made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingOptions {
    pub(super) submissions: u32,
    pub(super) completions: u32,
    pub(super) buffers: u16,
    /// For how long packets gather.
    pub(super) batch: Duration,
    pub(super) without: Features,
}

impl RingOptions {
    pub(super) fn of(settings: &RelaySettings) -> RingOptions {
        RingOptions {
            submissions: SUBMISSIONS,
            completions: COMPLETIONS,
            buffers: buffers::count_for(settings.batch),
            batch: settings.batch,
            without: settings.without,
        }
    }
}

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
    /// For how long packets gather.
    batch: Duration,
    without: Features,
    /// Whether sends are `SEND_ZC`.
    sends_without_copy: bool,
    /// Those of them that have not sent their last completion; counted in `under_way`, too.
    zero_copies_under_way: usize,
    /// What held the last wait up.
    stall: Option<Stall>,
    /// Completions that had to be taken before the next wait.
    early: Vec<Completion>,
    /// A request never reached the kernel: whatever waits for it waits for ever.
    has_lost_request: bool,
}

/// `user_data`: what a completion is of (the upper 16 bits), of which buffer (the next 16) and slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Receive = 1,
    Send,
    SendWithoutCopy,
    WakeUp,
    Cancel,
}

impl Tag {
    const fn with(self, slot: Slot) -> u64 {
        self.with_buffer(slot, 0)
    }

    const fn with_buffer(self, slot: Slot, buffer: BufferId) -> u64 {
        (self as u64) << 48 | (buffer as u64) << 32 | slot as u64
    }

    const fn is_of(self, user_data: u64) -> bool {
        user_data >> 48 == self as u64
    }
}

impl Ring {
    /// A ring with all it needs.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring or lacks an operation.
    pub(super) fn new(options: &RingOptions) -> io::Result<Ring> {
        let without = options.without;
        if without.io_uring {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        let ring = build(options)?;
        check_operations(&ring, &without)?;
        let slots_max = SLOTS_MAX.min(sys::open_files_limit());
        let has_table = !without.fixed_files && register_files(&ring, slots_max);
        if without.buffer_ring {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let buffers = Buffers::register(&ring.submitter(), options.buffers)?;
        let waits_in_two_steps = ring.params().is_feature_min_timeout() && !without.min_wait;
        Ok(Ring {
            ring: ManuallyDrop::new(ring),
            spent: Vec::with_capacity(usize::from(buffers.count())),
            buffers: ManuallyDrop::new(buffers),
            files: if has_table { Files::Fixed } else { Files::Plain(Vec::new()) },
            slots_max,
            wake_up_count: Box::new(0),
            under_way: 0,
            is_busy: false,
            waits_in_two_steps,
            batch: options.batch,
            without,
            sends_without_copy: false,
            zero_copies_under_way: 0,
            stall: None,
            early: Vec::new(),
            has_lost_request: false,
        })
    }

    /// Has the kernel ask the network card for so long before it lets the worker sleep.
    ///
    /// # Errors
    /// Where the kernel cannot (before 6.9).
    pub(super) fn poll_busily(&self, time: Duration) -> io::Result<()> {
        if self.without.napi {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.ring.submitter().register_napi(&mut Napi::new().set_busy_poll_timeout(micros))
    }

    /// Makes sends without a copy possible.
    ///
    /// # Errors
    /// Where the kernel cannot, or may not lock so much memory.
    pub(super) fn prepare_sends_without_copy(&self) -> io::Result<()> {
        let mut probe = Probe::new();
        self.ring.submitter().register_probe(&mut probe)?;
        if self.without.send_zc || !probe.is_supported(opcode::SendZc::CODE) {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        self.buffers.register_for_sending(&self.ring.submitter())
    }

    /// Whether sends from now on are without a copy; they must have been prepared.
    pub(super) fn send_without_copy(&mut self, yes: bool) {
        self.sends_without_copy = yes;
    }

    /// Whether sends are without a copy.
    pub(super) fn sends_without_copy(&self) -> bool {
        self.sends_without_copy
    }

    /// Sends whose buffers the kernel has not given back.
    pub(super) fn sends_under_way(&self) -> usize {
        self.spent.len() + self.zero_copies_under_way
    }

    /// What held the last wait up.
    pub(super) fn take_stall(&mut self) -> Option<Stall> {
        self.stall.take()
    }

    /// Keeps sockets among the process's descriptors from now on, not in the ring's table.
    pub(super) fn use_plain_files(&mut self) {
        self.files = Files::Plain(Vec::new());
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
    /// returned, the buffer is free, although a success leaves no completion. Without a copy the kernel
    /// says when: with the last completion of the send.
    pub(super) fn send(
        &mut self,
        received_at: Slot,
        from: Slot,
        buffer: BufferId,
        payload_bytes: usize,
        address: SocketAddr,
    ) {
        let Some(outgoing) = self.buffers.address_to(buffer, payload_bytes, address) else { return };
        if self.sends_without_copy {
            let (payload, payload_bytes) = (outgoing.payload, outgoing.payload_bytes);
            let request = match self.fd(from) {
                None => opcode::SendZc::new(Fixed(from), payload, payload_bytes),
                Some(fd) => opcode::SendZc::new(Fd(fd), payload, payload_bytes),
            };
            let request = send_without_copy_request(request, &outgoing);
            self.push(request.user_data(Tag::SendWithoutCopy.with_buffer(received_at, buffer)));
            self.under_way += 1;
            self.zero_copies_under_way += 1;
            return;
        }
        let (payload, payload_bytes) = (outgoing.payload, outgoing.payload_bytes);
        let request = match self.fd(from) {
            None => send_request(opcode::Send::new(Fixed(from), payload, payload_bytes), &outgoing),
            Some(fd) => send_request(opcode::Send::new(Fd(fd), payload, payload_bytes), &outgoing),
        };
        self.push(request.flags(Flags::SKIP_SUCCESS).user_data(Tag::Send.with(received_at)));
        self.spent.push(buffer);
    }

    /// The kernel was short of buffers.
    pub(super) fn offer_more_buffers(&mut self) {
        self.buffers.want_more();
    }

    /// How many buffers the kernel has at the begin of a wait.
    #[cfg(test)]
    pub(super) fn buffers_offered(&self) -> u16 {
        self.buffers.wanted()
    }

    /// Gives back a buffer that is not sent.
    pub(super) fn discard(&mut self, buffer: BufferId) {
        self.buffers.give_back(buffer);
    }

    /// Submits what was asked for and waits as told, and for the first packet or `time` where nothing
    /// comes; then appends all completions there are.
    ///
    /// # Errors
    /// Where the ring cannot be relied on any more.
    pub(super) fn wait(
        &mut self,
        wait: Wait,
        time: Option<Duration>,
        completions: &mut Vec<Completion>,
    ) -> io::Result<()> {
        if self.has_lost_request {
            return Err(io::Error::other("a request to the kernel was lost"));
        }
        completions.append(&mut self.early);
        // Buffers that were discarded while the last completions were looked at.
        self.buffers.publish();
        if self.ring.submission().cq_overflow() {
            self.stall = Some(Stall::Completions);
        }
        let time = time.unwrap_or(Duration::from_secs(3_600));
        // Before the buffers run out the worker is woken in any case.
        let most = usize::from(self.buffers.wanted() / 2);
        let before = completions.len();
        let (count, time) = match wait {
            _ if !completions.is_empty() => (0, Duration::ZERO),
            Wait::First => (1, time),
            Wait::Count(count) => (count.min(most), time.min(pace::BACKSTOP)),
            Wait::Time if self.waits_in_two_steps => (most, time),
            Wait::Time if self.is_busy => (most, self.batch),
            Wait::Time => (1, time),
        };
        let time = Timespec::from(time);
        let arguments = match wait {
            _ if count == 0 => SubmitArgs::new(),
            // First for a batch, and if nothing at all came, on for the first packet.
            Wait::Time if self.waits_in_two_steps => {
                let micros = u32::try_from(self.batch.as_micros()).unwrap_or(u32::MAX);
                SubmitArgs::new().min_wait_usec(micros).timespec(&time)
            }
            Wait::First | Wait::Time | Wait::Count(_) => SubmitArgs::new().timespec(&time),
        };
        if let Err(error) = self.ring.submitter().submit_with_args(count, &arguments) {
            self.note_wait(error)?;
        }
        self.recycle_spent();
        self.drain(completions);
        if completions.len() - before >= most {
            self.buffers.want_more();
        }
        Ok(())
    }

    /// Submits what was asked for, and where sends without a copy are under way waits for one of them.
    ///
    /// # Errors
    /// As of [`Ring::wait`].
    pub(super) fn finish_sends(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        const TIME: Duration = Duration::from_millis(2);
        let count = usize::from(self.zero_copies_under_way > 0);
        let time = Timespec::from(TIME);
        if let Err(error) = self.ring.submitter().submit_with_args(count, &SubmitArgs::new().timespec(&time))
        {
            self.note_wait(error)?;
        }
        self.recycle_spent();
        self.drain(completions);
        Ok(())
    }

    /// # Errors
    /// That of the wait, if nothing but a new ring helps.
    fn note_wait(&mut self, error: io::Error) -> io::Result<()> {
        match errno::after_wait(error.raw_os_error().unwrap_or(libc::EIO)) {
            AfterWait::Look => {}
            AfterWait::TakeCompletions => self.stall = Some(Stall::Completions),
            AfterWait::ShortOfMemory => self.stall = Some(Stall::Memory),
            AfterWait::GiveUp => return Err(error),
        }
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
            if self.under_way == 0 || self.wait(Wait::First, Some(ROUND), &mut completions).is_err() {
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
            if let Completion::Datagram { .. } = completion {
                self.buffers.note_taken();
            }
            if is_last && Tag::SendWithoutCopy.is_of(entry.user_data()) {
                self.buffers.give_back((entry.user_data() >> 32) as BufferId);
                self.zero_copies_under_way = self.zero_copies_under_way.saturating_sub(1);
            }
            // A copying send tells of its failure only, so it is not counted.
            if is_last && !Tag::Send.is_of(entry.user_data()) {
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
            let Err(error) = self.ring.submit() else { continue };
            if self.note_wait(error).is_err() {
                break;
            }
            // The kernel may want its completions taken first.
            let mut early = std::mem::take(&mut self.early);
            self.drain(&mut early);
            self.early = early;
        }
        self.has_lost_request = true;
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
    send.dest_addr(outgoing.address).dest_addr_len(outgoing.address_bytes).flags(SEND_FLAGS).build()
}

fn send_without_copy_request(send: opcode::SendZc, outgoing: &Outgoing) -> squeue::Entry {
    send.buf_index(Some(0))
        .dest_addr(outgoing.address)
        .dest_addr_len(outgoing.address_bytes)
        .flags(SEND_FLAGS)
        .build()
}

/// Whether the ring has a file table of its own now. What it may lack is the right to so many files,
/// or the memory.
fn register_files(ring: &IoUring, slots: u32) -> bool {
    ring.submitter()
        .register_files_sparse(slots)
        .inspect_err(|error| tracing::info!(%error, "io_uring without a file table of its own"))
        .is_ok()
}

/// The most economical ring that this kernel makes: completions are worked off only when we ask
/// (6.1), at least not by interrupting us (5.19).
fn build(options: &RingOptions) -> io::Result<IoUring> {
    let Features { single_issuer, defer_taskrun, coop_taskrun, .. } = options.without;
    let with = |refine: fn(&mut io_uring::Builder)| {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(options.completions).setup_submit_all();
        refine(&mut builder);
        builder.build(options.submissions)
    };
    let mut made = Err(io::Error::from_raw_os_error(libc::EINVAL));
    if !single_issuer && !defer_taskrun {
        made = with(|builder| {
            builder.setup_single_issuer().setup_defer_taskrun().setup_no_sqarray();
        })
        .or_else(|_| {
            with(|builder| {
                builder.setup_single_issuer().setup_defer_taskrun();
            })
        });
    }
    if made.is_err() && !single_issuer && !coop_taskrun {
        made = with(|builder| {
            builder.setup_single_issuer().setup_coop_taskrun();
        });
    }
    if made.is_err() && !coop_taskrun {
        made = with(|builder| {
            builder.setup_coop_taskrun();
        });
    }
    made.or_else(|_| with(|_| {}))
}

/// Whether the kernel knows every operation, and waits as we want it.
fn check_operations(ring: &IoUring, without: &Features) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let operations =
        [opcode::RecvMsgMulti::CODE, opcode::Send::CODE, opcode::AsyncCancel::CODE, opcode::Read::CODE];
    let parameters = ring.params();
    let is_capable = operations.iter().all(|code| probe.is_supported(*code))
        && parameters.is_feature_ext_arg()
        && parameters.is_feature_nodrop()
        && parameters.is_feature_skip_cqe_on_success()
        && !without.skip_success
        && !without.multishot;
    if is_capable {
        Ok(())
    } else {
        Err(io::Error::other("this kernel's io_uring is too old: 6.0 is needed"))
    }
}

/// What a completion means, and whether its request has ended.
fn read(entry: &cqueue::Entry) -> (Completion, bool) {
    let slot = entry.user_data() as Slot;
    let is_last = !cqueue::more(entry.flags());
    let errno = (-entry.result()).max(0);
    let user_data = entry.user_data();
    let completion = if Tag::Receive.is_of(user_data) {
        match (cqueue::buffer_select(entry.flags()), entry.result()) {
            (Some(buffer), length) if length >= 0 => {
                Completion::Datagram { slot, buffer, length: length as usize, is_last }
            }
            _ if is_last => Completion::ReceiveEnded { slot, errno },
            _ => Completion::Nothing,
        }
    } else if Tag::Send.is_of(user_data) || (Tag::SendWithoutCopy.is_of(user_data) && errno != 0) {
        Completion::SendFailed { slot, errno }
    } else if Tag::WakeUp.is_of(user_data) {
        Completion::WokenUp { errno }
    } else {
        Completion::Nothing
    };
    (completion, is_last)
}
