//! What is still on its way from where a peer was, when signalling has moved it.
//!
//! A peer that changes its address by a re-INVITE begins to send from the new one when the answer reaches it,
//! and listens at both until then (RFC 3264 §8.3.1). What it sent from the old one before that is its
//! own voice, and comes after the relay was told. So for [`TIME`], and at most until the first packet from
//! the new place, the old source counts too. Nothing is learned from it: behind a NAT
//! it is of the address that is vouched for, and would be taken for the new one. Where the new place is behind a NAT
//! and not known yet, the peer is sent to at the old one meanwhile.
//!
//! `latch = "strict"` has none of this, nor has a port of our own (`b2bua/call_media/joined.rs`): who spoke there
//! before has left the call. Nor has another branch of a fork: the engine takes the one away before it names the other.
//!
//! Must not know: SIP, sockets.

use std::net::SocketAddr;
use std::time::Duration;

use super::RemoteMedia;
use super::flow::Latitude;
use crate::base::Instant;

/// How long: the answer may be lost once and repeated (T1, 500 ms), and takes its way.
const TIME: Duration = Duration::from_secs(1);

/// The source of a peer before it moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lingering {
    pub(super) source: SocketAddr,
    until: Instant,
}

impl Lingering {
    /// Of a peer that was locked at `source`; `None`: nothing lingers.
    pub(super) fn of(
        was: Option<RemoteMedia>,
        is: Option<RemoteMedia>,
        source: Option<SocketAddr>,
        now: Instant,
    ) -> Option<Lingering> {
        let (was, is) = (was?, is?);
        let lingers = was.kind.is_rtp() && is.kind.is_rtp() && Latitude::of(is.latch).lingers;
        let until = now + TIME;
        source.filter(|_| lingers).map(|source| Lingering { source, until })
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }
}
