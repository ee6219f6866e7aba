//! What the network reports of datagrams sent (ICMP), read from a socket's error queue
//! (`IP_RECVERR`, ip(7)). It says whose datagram failed; without it an unconnected UDP socket never
//! hears of it.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::libc::sock_extended_err;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{Ipv4RecvErr, Ipv6RecvErr},
};
use socket2::{SockRef, Socket};

/// Room for one report and whose it is: a `cmsghdr`, a `sock_extended_err`, an address.
const CONTROL_BYTES: usize = 128;

/// Asks the kernel for reports.
pub(super) fn enable(socket: &Socket, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        setsockopt(socket, Ipv6RecvErr, &true)?
    } else {
        setsockopt(socket, Ipv4RecvErr, &true)?
    }
    Ok(())
}

/// Takes one report: whose datagram failed, or `None` where it does not say that the peer is out
/// of reach.
///
/// # Errors
/// `WouldBlock` when there is none left.
pub(super) fn read(socket: SockRef<'_>) -> io::Result<Option<SocketAddr>> {
    let mut control = vec![0; CONTROL_BYTES];
    let report = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut [],
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    )?;
    let failed = report.cmsgs()?.any(|message| errno_of(&message).is_some_and(is_out_of_reach));
    Ok(report.address.and_then(peer_of).filter(|_| failed))
}

fn errno_of(message: &ControlMessageOwned) -> Option<i32> {
    let errno = |error: &sock_extended_err| error.ee_errno as i32;
    match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) => Some(errno(error)),
        ControlMessageOwned::Ipv6RecvErr(error, _) => Some(errno(error)),
        _ => None,
    }
}

fn peer_of(address: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
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
