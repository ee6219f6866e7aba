//! Copies of what peers report by RTCP, for a capture server: which are told, and how many at most.
//!
//! A copy is a favour: it may be lost, and is counted then. So a flood of RTCP costs what a packet's own way
//! costs and one look into a bucket, and it keeps no other event of the relay's waiting.

use std::net::SocketAddr;

use super::{Entry, Place};
use crate::base::{Instant, TokenBucket};
use crate::media::{MediaEvent, PortKind, RtcpCopy, Side};
use crate::relay::counters::WorkerCounters;
use crate::relay::outbox::Outbox;

/// Datagrams of one side of a stream that are copied a second, and so many at once. A peer reports every five
/// seconds (RFC 3550 §6.2), some phones each second, and of video somewhat more often.
const COPIES_A_SECOND: u32 = 4;
/// A longer one is not copied: RTCP fits into a packet of the network's.
const COPY_BYTES_MAX: usize = 1_500;

/// What each side of a new stream may have copied.
pub(super) fn full() -> [TokenBucket; 2] {
    [TokenBucket::full(COPIES_A_SECOND); 2]
}

/// Tells a report that came, unless too many do or nobody has room for it.
#[cold]
pub(super) fn tell(
    entry: &mut Entry,
    place: &Place,
    (source, bytes): (SocketAddr, &[u8]),
    now: Instant,
    outbox: &mut Outbox,
    counters: &WorkerCounters,
) {
    let Some(stream) = entry.streams.get_mut(usize::from(place.stream)) else { return };
    let [a, b] = &mut stream.copies;
    let bucket = if place.side == Side::A { a } else { b };
    if bytes.len() > COPY_BYTES_MAX || !bucket.take(COPIES_A_SECOND, now) || !outbox.has_room_for_favours() {
        return counters.count_copy_lost();
    }
    let pair = stream.ports.of(place.side);
    let destination = match place.port {
        PortKind::Rtp => pair.rtp(),
        PortKind::Rtcp => pair.rtcp(),
    };
    let copy = Box::new(RtcpCopy { at: now, source, destination, bytes: bytes.into() });
    outbox.send(MediaEvent::Rtcp { session: entry.id, copy });
}
