//! Whether this kernel's io_uring does what the engine relies on, tried out with one datagram over
//! loopback before any call depends on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::Socket;

use super::super::sockets;
use super::super::table::Slot;
use super::pace::Wait;
use super::ring::{Completion, Ring};

pub(super) const FIRST: Slot = 0;
pub(super) const SECOND: Slot = 1;
const PROBE: &[u8] = b"drawbridge";
/// Waits of [`WAIT`] before the kernel is given up.
const WAITS_MAX: usize = 50;
const WAIT: Duration = Duration::from_millis(10);

/// Receives a datagram at one socket, sends it on from another out of the same buffer, and closes
/// one socket while the other's request runs on. Tells whether that freed its port at once.
///
/// # Errors
/// Where the datagram did not come through as it should.
pub(super) fn run(ring: &mut Ring) -> io::Result<bool> {
    let outside = bind()?;
    let outside_address = local_address(&outside)?;
    let (first, second) = (bind()?, bind()?);
    let (first_address, second_address) = (local_address(&first)?, local_address(&second)?);
    ring.add_file(FIRST, first)?;
    ring.add_file(SECOND, second)?;
    ring.receive(FIRST);
    ring.receive(SECOND);

    outside.send_to(PROBE, &first_address.into())?;
    let (buffer, length) = expect(ring, |completion| match completion {
        Completion::Datagram { slot: FIRST, buffer, length, .. } => Some((buffer, length)),
        _ => None,
    })?;
    let is_sound = ring
        .received(buffer, length)
        .is_some_and(|received| received.source == Some(outside_address) && received.payload == PROBE);
    ring.send(FIRST, SECOND, buffer, PROBE.len(), first_address);
    let (buffer, length) = expect(ring, |completion| match completion {
        Completion::Datagram { slot: FIRST, buffer, length, .. } => Some((buffer, length)),
        _ => None,
    })?;
    let is_forwarded = ring
        .received(buffer, length)
        .is_some_and(|received| received.source == Some(second_address) && received.payload == PROBE);
    ring.discard(buffer);
    if !is_sound || !is_forwarded {
        return Err(io::Error::other("io_uring relays a datagram wrongly"));
    }

    close(ring, SECOND)?;
    let is_freed_at_once = sockets::bind(second_address).is_ok();
    close(ring, FIRST)?;
    Ok(is_freed_at_once)
}

pub(super) fn close(ring: &mut Ring, wanted: Slot) -> io::Result<()> {
    ring.cancel_receive(wanted);
    expect(ring, |completion| match completion {
        Completion::ReceiveEnded { slot, .. } if slot == wanted => Some(()),
        _ => None,
    })?;
    ring.remove_file(wanted);
    Ok(())
}

/// Waits for the completion that `choose` wants.
fn expect<T>(ring: &mut Ring, choose: impl Fn(Completion) -> Option<T>) -> io::Result<T> {
    let mut completions = Vec::new();
    for _ in 0..WAITS_MAX {
        ring.wait(Wait::First, Some(WAIT), &mut completions)?;
        if let Some(found) = completions.drain(..).find_map(&choose) {
            return Ok(found);
        }
    }
    Err(io::Error::other("io_uring does not complete a request"))
}

pub(super) fn bind() -> io::Result<Socket> {
    sockets::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

pub(super) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a socket without an address"))
}
