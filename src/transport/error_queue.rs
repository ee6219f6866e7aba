//! What the network reports of datagrams sent (ICMP), read from a socket's error queue
//! (`IP_RECVERR`, ip(7)); without it an unconnected UDP socket never hears of it. A report quotes
//! the beginning of the datagram: who believes it must find there what a forger cannot know.

use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use nix::libc::sock_extended_err;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{Ipv4RecvErr, Ipv6RecvErr},
};
use socket2::{SockRef, Socket};

/// Room for one report and whose it is: a `cmsghdr`, a `sock_extended_err`, an address.
const CONTROL_BYTES: usize = 128;
/// So much of a datagram is looked at: its request line and its first header.
const QUOTED_BYTES: usize = 1_024;

/// Asks the kernel for reports.
pub(super) fn enable(socket: &Socket, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        setsockopt(socket, Ipv6RecvErr, &true)?
    } else {
        setsockopt(socket, Ipv4RecvErr, &true)?
    }
    Ok(())
}

/// Takes one report: the beginning of the datagram that failed, or `None` where it does not say
/// that the peer is out of reach.
///
/// # Errors
/// `WouldBlock` when there is none left.
pub(super) fn read(socket: SockRef<'_>) -> io::Result<Option<Bytes>> {
    let mut control = vec![0; CONTROL_BYTES];
    let mut quoted = vec![0; QUOTED_BYTES];
    let mut parts = [IoSliceMut::new(&mut quoted)];
    let report = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    )?;
    let failed = report.cmsgs()?.any(|message| errno_of(&message).is_some_and(is_out_of_reach));
    let length = report.bytes;
    quoted.truncate(length);
    Ok(failed.then(|| Bytes::from(quoted)))
}

fn errno_of(message: &ControlMessageOwned) -> Option<i32> {
    let errno = |error: &sock_extended_err| error.ee_errno as i32;
    match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) => Some(errno(error)),
        ControlMessageOwned::Ipv6RecvErr(error, _) => Some(errno(error)),
        _ => None,
    }
}

/// "Fragmentation needed" (EMSGSIZE) is no failure: the kernel has learned the path's MTU, and the
/// retransmission gets through.
fn is_out_of_reach(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EACCES
            | libc::ENOPROTOOPT
    )
}
