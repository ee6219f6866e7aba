//! The vocabulary that every part of the core shares: time as data, seeded randomness, timers,
//! the two realms, and newtypes for the identifiers that cross module borders.
//!
//! Must not know: anything else in this crate.

pub mod bucket;
pub mod dscp;
pub mod random;
pub mod time;
pub mod timers;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

pub use bucket::TokenBucket;
pub use dscp::Dscp;
pub use random::Random;
pub use time::Instant;
pub use timers::{TimerId, Timers};

/// How closely the source of a peer's media is held to what signalling says of it (`latch` of a trunk).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Latch {
    /// From where signalling vouches for it: the address that SDP names, or the one that signals,
    /// where SDP's is one that only means something behind the peer's NAT.
    #[default]
    Signalled,
    /// From anywhere while a source is learned.
    Learn,
    /// From the very address and port that SDP names.
    Strict,
}

/// A side of the network, with its own listeners, media addresses and allowlist.
///
/// Nothing that identifies one realm (address, tag, Call-ID, Via, …) is ever seen on the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Realm {
    /// The PBX side.
    Trusted,
    /// The carriers' side.
    Untrusted,
}

impl Realm {
    /// Both realms, in the order in which they are listed to people.
    pub const ALL: [Realm; 2] = [Realm::Trusted, Realm::Untrusted];

    /// The name used in the configuration, in metrics labels and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Realm::Trusted => "trusted",
            Realm::Untrusted => "untrusted",
        }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value for each realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ByRealm<T> {
    /// The trusted side's value.
    pub trusted: T,
    /// The untrusted side's value.
    pub untrusted: T,
}

impl<T> Index<Realm> for ByRealm<T> {
    type Output = T;
    fn index(&self, realm: Realm) -> &T {
        match realm {
            Realm::Trusted => &self.trusted,
            Realm::Untrusted => &self.untrusted,
        }
    }
}

impl<T> IndexMut<Realm> for ByRealm<T> {
    fn index_mut(&mut self, realm: Realm) -> &mut T {
        match realm {
            Realm::Trusted => &mut self.trusted,
            Realm::Untrusted => &mut self.untrusted,
        }
    }
}

/// How SIP messages travel (RFC 3261 §18).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Transport {
    /// Datagrams: the transaction layer retransmits.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream over TLS.
    Tls,
}

impl Transport {
    /// The lower-case name of the configuration, of metrics labels and of `;transport=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    /// The upper-case name of a Via header (RFC 3261 §20.42).
    pub const fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// The port where none is written (RFC 3261 §18.1.1, §19.1.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }

    /// Whether the transport itself repeats what was lost, so that no timer A, E or G runs.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One configured listener, by its place in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerId(pub u16);

/// Where a message came from, or where one is to go: the listener on our side, the peer on the
/// other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Hop {
    /// Our side: which listener received it, or shall send it.
    pub listener: ListenerId,
    /// The listener's transport, repeated here because the transaction layer asks all the time.
    pub transport: Transport,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Whom a TLS connection of ours must lead to; [`PeerIdentity::NONE`] everywhere else.
    pub identity: PeerIdentity,
}

impl Hop {
    /// A hop to whoever is at this address.
    pub const fn new(listener: ListenerId, transport: Transport, peer: SocketAddr) -> Hop {
        Hop { listener, transport, peer, identity: PeerIdentity::NONE }
    }
}

/// Who is counted as one where each may have its share: an address of IPv4; of IPv6 the network of 64
/// bits that it is in, for a host takes as many addresses of that as it likes (RFC 8981).
pub fn counted_as_one(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// What a TLS connection that we open is verified for: the peer's name and all that says how it is
/// verified, as a digest. So a connection is used for nobody else at the same address, and the
/// value means the same to another process that takes a call over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct PeerIdentity(pub u64);

impl PeerIdentity {
    /// Nobody in particular: UDP, TCP, and TLS connections that the peer opened.
    pub const NONE: PeerIdentity = PeerIdentity(0);
}

/// The configured name of a trunk. An immutable value: clones are cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TrunkName(pub Arc<str>);

impl TrunkName {
    /// The name as it is written in `[trunk.NAME]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TrunkName {
    fn from(name: &str) -> Self {
        TrunkName(name.into())
    }
}

impl fmt::Display for TrunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_that_one_host_may_take_are_counted_as_one() {
        let counted = |text: &str| counted_as_one(text.parse().unwrap()).to_string();
        assert_eq!(counted("192.0.2.9"), "192.0.2.9");
        assert_eq!(counted("::ffff:192.0.2.9"), "192.0.2.9");
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_ne!(counted("2001:db8:1:3:3:4:5:6"), counted("2001:db8:1:2:3:4:5:6"));
    }
}
