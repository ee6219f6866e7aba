//! What the engine needs to know, filled by `app` from the configuration. One value, swapped whole on reload.

use std::net::SocketAddr;

use crate::base::{ByRealm, Hop, ListenerId, Realm, Transport, TrunkName};
pub use crate::routing::Timeouts;
use crate::routing::{Reach, Trunk};
use crate::{admission, media, numbering, routing};

/// Everything that a call may ask of the configuration. A call keeps the value it started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[node] name`.
    pub node: String,
    /// In the order of the configuration; a [`ListenerId`] is a place in this list.
    pub listeners: Vec<Listener>,
    /// Who may speak.
    pub admission: admission::Settings,
    /// How numbers are read.
    pub numbering: numbering::Settings,
    /// Trunks and routes.
    pub routing: routing::Settings,
    /// Ports and addresses of the relay.
    pub media: media::Settings,
    /// How long a call may take to ring, to be answered and to last, where its trunk says nothing else.
    pub timeouts: Timeouts,
}

impl Settings {
    /// The listener of this number.
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(usize::from(id.0))
    }

    /// The trunk of this name, where there is a name and it is (still) configured.
    pub fn trunk_of(&self, name: Option<&TrunkName>) -> Option<&Trunk> {
        name.and_then(|name| self.routing.trunk(name))
    }

    /// How the numbers of a peer are read: as its trunk says, else as the node does.
    pub fn numbering_of<'a>(&'a self, trunk: Option<&'a Trunk>) -> &'a numbering::Settings {
        trunk.and_then(|trunk| trunk.numbering.as_ref()).unwrap_or(&self.numbering)
    }

    /// Whether a peer is in our trust domain (RFC 3325 §2.3). Who is of no trunk is if its realm is.
    pub fn believes(&self, realm: Realm, trunk: Option<&Trunk>) -> bool {
        trunk.map_or(realm == Realm::Trusted, |trunk| trunk.trust_identity)
    }

    /// How each realm can send. An answer of DNS may lead to this very host where a realm lives on
    /// loopback, and on the side that we trust.
    pub fn reach(&self) -> ByRealm<Reach> {
        let mut reach = ByRealm { trusted: Reach::default().with_loopback(), untrusted: Reach::default() };
        for Listener { realm, transport, bind, .. } in &self.listeners {
            let way = reach[*realm].with(*transport, bind.is_ipv6());
            reach[*realm] = if bind.ip().is_loopback() { way.with_loopback() } else { way };
        }
        reach
    }

    /// The listener that sends to a peer of a realm: of its transport and address family, the
    /// first in the configuration.
    pub fn listener_towards(&self, realm: Realm, transport: Transport, peer: SocketAddr) -> Option<Hop> {
        let fits = |listener: &&Listener| {
            listener.realm == realm
                && listener.transport == transport
                && listener.bind.is_ipv6() == peer.is_ipv6()
        };
        let at = self.listeners.iter().position(|listener| fits(&listener))?;
        Some(Hop::new(ListenerId(at as u16), transport, peer))
    }
}

/// One `[[listener]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Its side.
    pub realm: Realm,
    /// Its transport.
    pub transport: Transport,
    /// What its socket binds.
    pub bind: SocketAddr,
    /// `host:port` that Via and Contact say; an IPv6 address stands in brackets.
    pub advertise: String,
}
