//! The receive buffers that the kernel picks from (a provided buffer ring), each laid out as
//! multishot `recvmsg` fills it: a header, the source's address, the payload.
//!
//! Zero copy for us means: a datagram is sent from the buffer that it was received into. The name
//! field, once read, holds the destination's address while the send is under way.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::net::SocketAddr;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::Submitter;
use io_uring::types::{BufRingEntry, RecvMsgOut};

use super::super::sockaddr::{self, SOCKADDR_BYTES};

/// Buffers a worker, at least: some twenty milliseconds of 100,000 packets a second. When they run out,
/// packets wait in their sockets.
const BUFFERS_MIN: u16 = 2_048;
/// Buffers a worker at the longest `media.batch`.
const BUFFERS_MAX: u16 = 4_096;
/// How many of them the kernel is given at once, until it was short of them. It takes them in turn: the
/// fewer there are, the sooner one comes again, and is still in the processor's cache.
const OFFERED_AT_FIRST: u16 = 256;
/// What a worker can carry at the very most, packets a second: those of one batch shall have buffers
/// while those of the next come.
const PACKETS_PER_SECOND: u128 = 400_000;
/// The group that receives name.
pub(super) const GROUP: u16 = 0;

const BUFFER_BYTES: usize = 2_048;
/// `struct io_uring_recvmsg_out`.
const HEADER_BYTES: usize = 16;
const PAYLOAD_AT: usize = HEADER_BYTES + SOCKADDR_BYTES;
const PAGE_BYTES: usize = 4_096;

/// The number of one buffer.
pub(super) type BufferId = u16;

/// How many buffers a worker has whose packets gather for this long.
pub(super) fn count_for(batch: Duration) -> u16 {
    let wanted = 2 * PACKETS_PER_SECOND * batch.as_micros() / 1_000_000;
    u16::try_from(wanted).unwrap_or(BUFFERS_MAX).clamp(BUFFERS_MIN, BUFFERS_MAX).next_power_of_two()
}

/// The buffers and the ring through which the kernel gets them back. Must outlive every request
/// that may touch them: dropped only after the io_uring has nothing under way.
pub(super) struct Buffers {
    ring: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// A power of two.
    count: u16,
    /// Where the next buffer is offered; the kernel sees it by [`Buffers::publish`].
    tail: u16,
    /// Neither offered nor in use; the last used is the next to be offered.
    idle: Vec<BufferId>,
    /// How many the kernel has to choose from, and how many it shall have.
    offered: u16,
    wanted: u16,
    /// What multishot `recvmsg` is told: room for a name, none for control data.
    message: Box<libc::msghdr>,
}

/// A received datagram in its buffer.
pub(super) struct Received<'a> {
    pub(super) source: Option<SocketAddr>,
    pub(super) payload: &'a mut [u8],
    pub(super) is_truncated: bool,
}

/// What a send needs; valid until the buffer is given back.
pub(super) struct Outgoing {
    pub(super) payload: *const u8,
    pub(super) payload_bytes: u32,
    pub(super) address: *const libc::sockaddr,
    pub(super) address_bytes: libc::socklen_t,
}

impl Buffers {
    /// Allocates `count` buffers, a power of two, and tells the io_uring of them.
    pub(super) fn register(submitter: &Submitter<'_>, count: u16) -> io::Result<Buffers> {
        let count = count.clamp(1, BUFFERS_MAX).next_power_of_two();
        // SAFETY: all-zero bytes are a msghdr without name, parts or control data.
        let mut message: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        message.msg_namelen = SOCKADDR_BYTES as libc::socklen_t;
        let mut buffers = Buffers {
            ring: allocate(ring_layout(count)).cast(),
            memory: allocate(memory_layout(count)),
            count,
            tail: 0,
            idle: (0..count).rev().collect(),
            offered: 0,
            wanted: OFFERED_AT_FIRST.min(count),
            message,
        };
        // SAFETY: the ring is page-aligned memory of that many entries, and lives as long as the
        // io_uring uses it (see the type's contract).
        unsafe {
            submitter.register_buf_ring_with_flags(buffers.ring.as_ptr() as u64, count, GROUP, 0)?;
        }
        buffers.publish();
        Ok(buffers)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// How many the kernel has at the begin of a wait.
    pub(super) fn wanted(&self) -> u16 {
        self.wanted
    }

    /// The kernel has taken so many that it could be short of them: it gets more from now on.
    pub(super) fn want_more(&mut self) {
        self.wanted = self.wanted.saturating_mul(2).min(self.count);
    }

    /// A completion brought a buffer: the kernel has one less.
    pub(super) fn note_taken(&mut self) {
        self.offered = self.offered.saturating_sub(1);
    }

    /// Registers their memory with the io_uring, for sends without a copy, as its buffer 0.
    pub(super) fn register_for_sending(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        let memory =
            libc::iovec { iov_base: self.memory.as_ptr().cast(), iov_len: memory_layout(self.count).size() };
        // SAFETY: the memory is ours and lives as long as the io_uring uses it (the type's contract).
        unsafe { submitter.register_buffers(&[memory]) }
    }

    /// The message header for receives. Its address stays the same.
    pub(super) fn message(&self) -> *const libc::msghdr {
        &raw const *self.message
    }

    /// The datagram of a completed receive that filled `length` bytes of buffer `id`.
    pub(super) fn received(&mut self, id: BufferId, length: usize) -> Option<Received<'_>> {
        // SAFETY: the completion gave the buffer to us, nobody else reads or writes it until it is given
        // back, and `&mut self` says that no other slice of it lives.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(self.at(id)?.as_ptr(), length.min(BUFFER_BYTES)) };
        let message = RecvMsgOut::parse(bytes, &self.message).ok()?;
        let name_bytes = (message.incoming_name_len() as usize).min(SOCKADDR_BYTES);
        let payload_bytes = (message.incoming_payload_len() as usize).min(bytes.len() - PAYLOAD_AT);
        let is_truncated = message.is_payload_truncated();
        let (head, payload) = bytes.split_at_mut(PAYLOAD_AT);
        Some(Received {
            source: sockaddr::read(&head[HEADER_BYTES..HEADER_BYTES + name_bytes]),
            payload: &mut payload[..payload_bytes],
            is_truncated,
        })
    }

    /// Makes the datagram in buffer `id` ready to be sent to `address`.
    pub(super) fn address_to(
        &mut self,
        id: BufferId,
        payload_bytes: usize,
        address: SocketAddr,
    ) -> Option<Outgoing> {
        let buffer = self.at(id)?;
        // SAFETY: the name field lies within the buffer, which is ours, and `&mut self` says that no
        // slice of it lives.
        let name = unsafe { &mut *buffer.add(HEADER_BYTES).cast::<[u8; SOCKADDR_BYTES]>().as_ptr() };
        let address_bytes = sockaddr::write(address, name) as libc::socklen_t;
        Some(Outgoing {
            // SAFETY: the payload begins within the buffer.
            payload: unsafe { buffer.add(PAYLOAD_AT) }.as_ptr(),
            payload_bytes: payload_bytes.min(BUFFER_BYTES - PAYLOAD_AT) as u32,
            address: name.as_ptr().cast(),
            address_bytes,
        })
    }

    /// Gives a buffer back that nothing under way uses.
    pub(super) fn give_back(&mut self, id: BufferId) {
        self.idle.push(id);
    }

    /// Offers the kernel as many as it shall have.
    pub(super) fn publish(&mut self) {
        while self.offered < self.wanted
            && let Some(id) = self.idle.pop()
        {
            self.offer(id);
            self.offered += 1;
        }
        // SAFETY: the pointer is to the ring's tail, a u16 that the kernel reads with acquire.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn offer(&mut self, id: BufferId) {
        let Some(buffer) = self.at(id) else { return };
        // SAFETY: the index is below the ring's length; the kernel reads entries only up to the
        // published tail, so nobody reads this one now. The tail itself shares the first entry's
        // reserved field, which the setters leave alone.
        let entry = unsafe { &mut *self.ring.as_ptr().add(usize::from(self.tail & (self.count - 1))) };
        entry.set_addr(buffer.as_ptr() as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn at(&self, id: BufferId) -> Option<NonNull<u8>> {
        // SAFETY: the buffer lies within the memory.
        (id < self.count).then(|| unsafe { self.memory.add(usize::from(id) * BUFFER_BYTES) })
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated with these layouts, and by the type's contract in nobody's use.
        unsafe {
            dealloc(self.ring.as_ptr().cast(), ring_layout(self.count));
            dealloc(self.memory.as_ptr(), memory_layout(self.count));
        }
    }
}

const fn ring_layout(count: u16) -> Layout {
    layout(count as usize * size_of::<BufRingEntry>())
}

const fn memory_layout(count: u16) -> Layout {
    layout(count as usize * BUFFER_BYTES)
}

const fn layout(bytes: usize) -> Layout {
    // SAFETY: a page's size is a power of two, and the sizes above are small.
    unsafe { Layout::from_size_align_unchecked(bytes, PAGE_BYTES) }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layouts above have a size.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

const _: () = assert!(BUFFERS_MIN.is_power_of_two() && BUFFERS_MAX.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_offered_few_until_it_was_short_of_them() {
        let ring = match io_uring::IoUring::new(8) {
            Ok(ring) => ring,
            Err(error) => return super::super::super::tests::refused(&error),
        };
        let mut buffers = Buffers::register(&ring.submitter(), 1_024).unwrap();
        assert_eq!((buffers.offered, buffers.idle.len()), (OFFERED_AT_FIRST, 768));
        // Taken, and used: the last of them are the first to be offered again.
        for id in 0..100 {
            buffers.note_taken();
            buffers.give_back(id);
        }
        buffers.publish();
        assert_eq!((buffers.offered, buffers.idle.len()), (OFFERED_AT_FIRST, 768));
        assert!(!buffers.idle.contains(&0) && buffers.idle.contains(&1_000));
        for _ in 0..5 {
            buffers.want_more();
        }
        buffers.publish();
        assert_eq!((buffers.offered, buffers.idle.len()), (1_024, 0));
        drop(ring);
    }

    #[test]
    fn a_longer_batch_has_more_buffers_up_to_a_bound() {
        let counts = [0, 200, 2_000, 5_000, 60_000_000].map(Duration::from_micros).map(count_for);
        assert_eq!(counts, [2_048, 2_048, 2_048, 4_096, 4_096]);
    }
}
