//! Opening media sockets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::base::Dscp;

/// Room for packets that wait while the worker is busy. The kernel doubles it and counts its own
/// overhead (some 0.8 kB a small packet), so this is about 80 packets: 1.6 s of one G.711 stream.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1_024;
/// Room for packets that the network card has not taken yet; what does not fit is dropped.
const SEND_BUFFER_BYTES: usize = 256 * 1_024;
/// A bound UDP socket. Neither SO_REUSEADDR nor SO_REUSEPORT is set, so that a port which another
/// program holds is found out here and not by calls that hear nothing.
///
/// # Errors
/// What the operating system says; EADDRINUSE where somebody else has the port.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Marks what leaves a socket. A courtesy to the network: without it media still flows.
pub(super) fn mark(socket: &Socket, address: SocketAddr, dscp: Dscp) {
    let class = u32::from(dscp.traffic_class());
    let _ = if address.is_ipv6() { socket.set_tclass_v6(class) } else { socket.set_tos_v4(class) };
}
