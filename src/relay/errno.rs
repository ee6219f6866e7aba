//! What each errno of a media socket or of a ring means, and what is done about it: the one table.
//!
//! | of | errno | what it means | what is done |
//! |---|---|---|---|
//! | send | EAGAIN, ENOBUFS | the socket's or the card's queue is full | dropped, `send_queue_full` |
//! | send | ENETUNREACH, EHOSTUNREACH, ENETDOWN, EHOSTDOWN, ECONNREFUSED | no way there, or nobody at its end | dropped, `send_unreachable` |
//! | send | EPERM, EACCES | a packet filter of this host, or a broadcast address | dropped, `send_forbidden` |
//! | send | EMSGSIZE | longer than the way there takes | dropped, `send_too_long` |
//! | send | any other: EINVAL, EAFNOSUPPORT, EADDRNOTAVAIL, ENOMEM, EBADF … | the address is no address from here; the host is out of memory; a fault of ours | dropped, `send_failed` |
//! | receive | ECANCELED | we asked for it | the socket closes |
//! | receive | ENOBUFS | every buffer that the kernel was offered is in use | stall `buffers`; more are offered, and it goes on with this batch's sends |
//! | receive | EAGAIN, EINTR, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ENETDOWN | nothing came; or the network's answer to an earlier send | again at once |
//! | receive | any other: ENOMEM, EBADF, EINVAL … | the host is out of memory; a fault of ours | again at once, eight times in a row; then stall `receive`, and again each second (io_uring). The portable engine counts each as a stall `receive`, and epoll says when again |
//! | wait | ETIME, EINTR | time is over, a signal | one looks at what is there |
//! | wait | EBUSY | completions that did not fit must be taken first | stall `completions`; they are taken, and one waits again |
//! | wait | EAGAIN, ENOMEM | the kernel has no memory for the requests | stall `memory`; again with the next turn |
//! | wait | any other: EBADR (completions are lost), EBADF, EFAULT, EINVAL … | the ring cannot be relied on | the worker ends and begins anew (`supervisor.rs`) |

use crate::media::DropReason;

/// Why a datagram that could not be sent is dropped.
pub(super) fn of_send(errno: i32) -> DropReason {
    match errno {
        // The two names of one number on Linux.
        libc::EAGAIN | libc::ENOBUFS => DropReason::SendQueueFull,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN | libc::ECONNREFUSED => {
            DropReason::SendUnreachable
        }
        libc::EPERM | libc::EACCES => DropReason::SendForbidden,
        libc::EMSGSIZE => DropReason::SendTooLong,
        _ => DropReason::SendFailed,
    }
}

/// What a receive that ended asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AfterReceive {
    /// It goes on at once.
    Again,
    /// It goes on, with more buffers to choose from.
    AgainWithBuffers,
    /// It goes on, but not for ever without a pause.
    Suspect,
}

/// What to do after a receive that ended with `errno` (0: without an error).
pub(super) fn after_receive(errno: i32) -> AfterReceive {
    match errno {
        0 | libc::ECANCELED | libc::EAGAIN | libc::EINTR => AfterReceive::Again,
        libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN => AfterReceive::Again,
        libc::ENOBUFS => AfterReceive::AgainWithBuffers,
        _ => AfterReceive::Suspect,
    }
}

/// What a wait that was not successful asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AfterWait {
    /// To look at what is there.
    Look,
    /// The same; completions did not fit.
    TakeCompletions,
    /// The same; the kernel is short of memory.
    ShortOfMemory,
    /// To give up the ring.
    GiveUp,
}

/// What to do after a wait that ended with `errno`.
pub(super) fn after_wait(errno: i32) -> AfterWait {
    match errno {
        libc::ETIME | libc::EINTR => AfterWait::Look,
        libc::EBUSY => AfterWait::TakeCompletions,
        libc::EAGAIN | libc::ENOMEM => AfterWait::ShortOfMemory,
        _ => AfterWait::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_of_a_send_has_a_reason_of_its_own() {
        for (errno, reason) in [
            (libc::EAGAIN, "send_queue_full"),
            (libc::ENOBUFS, "send_queue_full"),
            (libc::ENETUNREACH, "send_unreachable"),
            (libc::EPERM, "send_forbidden"),
            (libc::EMSGSIZE, "send_too_long"),
            (libc::EAFNOSUPPORT, "send_failed"),
            (0, "send_failed"),
        ] {
            assert_eq!(of_send(errno).as_str(), reason);
        }
    }

    #[test]
    fn only_an_unknown_fault_of_a_receive_is_suspect_and_only_an_unknown_one_of_a_wait_ends_the_ring() {
        assert_eq!(after_receive(libc::ENOBUFS), AfterReceive::AgainWithBuffers);
        assert_eq!(after_receive(libc::ECONNREFUSED), AfterReceive::Again);
        assert_eq!(after_receive(libc::EBADF), AfterReceive::Suspect);
        assert_eq!(after_wait(libc::ETIME), AfterWait::Look);
        assert_eq!(after_wait(libc::EBUSY), AfterWait::TakeCompletions);
        assert_eq!(after_wait(libc::EAGAIN), AfterWait::ShortOfMemory);
        assert_eq!(after_wait(libc::EBADR), AfterWait::GiveUp);
    }
}
