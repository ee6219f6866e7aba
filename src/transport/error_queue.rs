//! What the network reports of datagrams sent (ICMP), read from a socket's error queue
//! (`IP_RECVERR`, ip(7)). It says whose datagram failed; without it an unconnected UDP socket never
//! hears of it.
//!
//! No safe wrapper of this exists in the crates that are here: hence the two `unsafe` lines.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use socket2::{MsgHdrMut, SockAddr, SockRef, Socket};

/// One report and whose it is take less than this: a `cmsghdr`, a `sock_extended_err`, an address.
const CONTROL_BYTES: usize = 128;

/// Asks the kernel for reports.
pub(super) fn enable(socket: &Socket, ipv6: bool) -> io::Result<()> {
    let (level, option) =
        if ipv6 { (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) } else { (libc::IPPROTO_IP, libc::IP_RECVERR) };
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int that outlives the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), size_of_val(&on) as u32)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes one report: whose datagram failed, or `None` where it does not say that the peer is out
/// of reach.
///
/// # Errors
/// `WouldBlock` when there is none left.
pub(super) fn read(socket: SockRef<'_>) -> io::Result<Option<SocketAddr>> {
    let mut peer = SockAddr::from(SocketAddr::from(([0u16; 8], 0)));
    let mut control = [MaybeUninit::new(0u8); CONTROL_BYTES];
    let mut header = MsgHdrMut::new().with_addr(&mut peer).with_control(&mut control);
    socket.recvmsg(&mut header, libc::MSG_ERRQUEUE)?;
    // SAFETY: every byte was initialised above, and the kernel writes initialised bytes only.
    let control = control.map(|byte| unsafe { byte.assume_init() });
    Ok(peer.as_socket().filter(|_| is_out_of_reach(errno_of(&control))))
}

/// `sock_extended_err.ee_errno`, the first field behind the first control header.
fn errno_of(control: &[u8; CONTROL_BYTES]) -> i32 {
    let at = size_of::<libc::cmsghdr>();
    let mut errno = [0; 4];
    errno.copy_from_slice(&control[at..at + 4]);
    i32::from_ne_bytes(errno)
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
