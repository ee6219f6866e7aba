//! The system calls that no safe crate of ours offers: eventfd, epoll, batches of datagrams.
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::sockaddr::{self, SOCKADDR_BYTES};

/// The longest datagram that is relayed: an Ethernet frame's worth and more.
pub(super) const DATAGRAM_BYTES_MAX: usize = 2_048 - 64;

/// Raises the soft limit of open files to the hard one, for every media port is a file.
pub(super) fn raise_open_files_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit that the call fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to a live rlimit that the call only reads.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(())
}

/// The cores that this process may run on, in their order.
pub(super) fn allowed_cores() -> io::Result<Vec<usize>> {
    // SAFETY: all-zero bytes are an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live set of the size that is stated.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) })?;
    // SAFETY: the number is below that of a set's bits.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

/// Keeps the calling thread to one core.
pub(super) fn pin_to(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: all-zero bytes are an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is below that of a set's bits.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the pointer is to a live set of the size that is stated; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })?;
    Ok(())
}

/// Lets the calling thread's waits end when they shall, not up to 50 µs later.
pub(super) fn wake_in_time() -> io::Result<()> {
    const SLACK_NANOS: libc::c_ulong = 1;
    // SAFETY: no pointers are passed.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, SLACK_NANOS, 0, 0, 0) })?;
    Ok(())
}

/// The CPU time that the calling thread has used.
pub(super) fn thread_cpu_time() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec that the call fills.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Ok(Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)))
}

/// How many files this process may have open at once: the soft limit, which a started relay has raised to the
/// hard one. 0: the system does not say.
pub fn open_files_limit() -> u32 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit that the call fills.
    match check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }) {
        Ok(_) => u32::try_from(limit.rlim_cur).unwrap_or(u32::MAX),
        Err(_) => 0,
    }
}

/// A new eventfd, blocking: io_uring would not wait on a non-blocking one.
pub(super) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until `fd` is readable or the time is over, and tells whether it is.
pub(super) fn wait_readable(fd: RawFd, time: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let time = timespec(time);
    // SAFETY: one pollfd and the timespec live across the call; no signal mask is given.
    let ready = check(unsafe { libc::ppoll(&raw mut poll, 1, &raw const time, ptr::null()) })?;
    Ok(ready > 0)
}

/// An epoll instance that watches descriptors for reading, each known by a number.
#[derive(Debug)]
pub(super) struct Epoll(OwnedFd);

/// One ready descriptor's number.
pub(super) type Ready = libc::epoll_event;

impl Epoll {
    pub(super) fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `fd`, level-triggered, until it is closed.
    pub(super) fn add(&self, fd: RawFd, number: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number };
        // SAFETY: the event lives across the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits for something to read and fills `ready`'s capacity at most; a signal is no error.
    pub(super) fn wait(&self, ready: &mut Vec<Ready>, time: Option<Duration>) -> io::Result<()> {
        // Rounded up, or the end of a short wait would be a busy loop.
        let millis =
            time.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX));
        ready.clear();
        let capacity = i32::try_from(ready.capacity()).unwrap_or(i32::MAX);
        // SAFETY: the pointer is to `capacity` events that the vector owns.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), ready.as_mut_ptr(), capacity, millis) };
        match check(count) {
            // SAFETY: the kernel has written that many events.
            Ok(count) => unsafe { ready.set_len(count as usize) },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Room for one batch of datagrams: received with one call, sent from where they lie with another.
pub(super) struct Batch {
    payloads: Box<[[u8; DATAGRAM_BYTES_MAX]; Batch::LEN]>,
    names: Box<[[u8; SOCKADDR_BYTES]; Batch::LEN]>,
    lengths: [usize; Batch::LEN],
    is_truncated: [bool; Batch::LEN],
}

/// One datagram of a batch that shall be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    /// Its place in the batch.
    pub(super) index: usize,
    /// Where it goes.
    pub(super) address: SocketAddr,
    /// How much of it.
    pub(super) length: usize,
}

/// One datagram that was received.
pub(super) struct Incoming<'a> {
    pub(super) source: Option<SocketAddr>,
    pub(super) bytes: &'a mut [u8],
    pub(super) is_truncated: bool,
}

impl Batch {
    /// Datagrams a batch.
    pub(super) const LEN: usize = 16;

    pub(super) fn new() -> Batch {
        Batch {
            payloads: Box::new([[0; DATAGRAM_BYTES_MAX]; Batch::LEN]),
            names: Box::new([[0; SOCKADDR_BYTES]; Batch::LEN]),
            lengths: [0; Batch::LEN],
            is_truncated: [false; Batch::LEN],
        }
    }

    /// Receives what waits, and tells how many that are.
    pub(super) fn receive(&mut self, fd: RawFd) -> io::Result<usize> {
        let mut parts = [EMPTY_PART; Batch::LEN];
        let mut headers = [EMPTY_HEADER; Batch::LEN];
        for index in 0..Batch::LEN {
            parts[index].iov_base = self.payloads[index].as_mut_ptr().cast();
            parts[index].iov_len = DATAGRAM_BYTES_MAX;
            let header = &mut headers[index].msg_hdr;
            header.msg_name = self.names[index].as_mut_ptr().cast();
            header.msg_namelen = SOCKADDR_BYTES as libc::socklen_t;
            header.msg_iov = &raw mut parts[index];
            header.msg_iovlen = 1;
        }
        // SAFETY: every header points to a part and a name that live across the call, and every
        // part to a payload of the length that it states; no control data is asked for.
        let count = check(unsafe {
            libc::recvmmsg(
                fd,
                headers.as_mut_ptr(),
                Batch::LEN as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        })? as usize;
        for (index, header) in headers.iter().enumerate().take(count) {
            self.lengths[index] = header.msg_len as usize;
            self.is_truncated[index] = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        Ok(count)
    }

    /// A datagram of the last [`Batch::receive`].
    pub(super) fn get(&mut self, index: usize) -> Incoming<'_> {
        let length = self.lengths[index].min(DATAGRAM_BYTES_MAX);
        Incoming {
            source: sockaddr::read(&self.names[index]),
            bytes: &mut self.payloads[index][..length],
            is_truncated: self.is_truncated[index],
        }
    }

    /// Sends datagrams of the last [`Batch::receive`] from one socket, and tells how many of them,
    /// from the first, the operating system took. The error is that of the first; another one's is
    /// told when it is the first.
    pub(super) fn send(&mut self, fd: RawFd, outgoing: &[Outgoing]) -> io::Result<usize> {
        let mut parts = [EMPTY_PART; Batch::LEN];
        let mut headers = [EMPTY_HEADER; Batch::LEN];
        let count = outgoing.len().min(Batch::LEN);
        for (place, Outgoing { index, address, length }) in outgoing.iter().enumerate().take(count) {
            parts[place].iov_base = self.payloads[*index].as_mut_ptr().cast();
            parts[place].iov_len = (*length).min(DATAGRAM_BYTES_MAX);
            let header = &mut headers[place].msg_hdr;
            header.msg_namelen = sockaddr::write(*address, &mut self.names[*index]) as libc::socklen_t;
            header.msg_name = self.names[*index].as_mut_ptr().cast();
            header.msg_iov = &raw mut parts[place];
            header.msg_iovlen = 1;
        }
        // SAFETY: as in `receive`; the kernel only reads.
        let sent = check(unsafe {
            libc::sendmmsg(fd, headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT as _)
        });
        sent.map(|sent| sent as usize)
    }
}

const EMPTY_PART: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
// SAFETY: all-zero bytes are a header without name, parts or control data.
const EMPTY_HEADER: libc::mmsghdr = unsafe { std::mem::zeroed() };

pub(super) fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos() as _,
    }
}

/// The result of a call that says −1 and leaves the reason in errno.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
