//! Where a test goes, where it comes from, and what is expected there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::base::Transport;
use crate::config::{Config, HostPort, Listener};
use crate::routing::{Host, Trunk};

/// What is tested.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) config: Arc<Config>,
    pub(super) trunk: Arc<Trunk>,
    /// How long each answer is waited for.
    pub(super) patience: Duration,
}

impl Subject {
    /// The listener that the daemon would send from: of the trunk's realm, of this transport and
    /// address family, the first in the configuration.
    pub(super) fn listener(&self, transport: Transport, ipv6: bool) -> Option<&Listener> {
        self.config.listeners.iter().find(|listener| {
            listener.realm == self.trunk.realm
                && listener.transport == transport
                && listener.bind.is_ipv6() == ipv6
        })
    }

    /// Whether the trunk is one that we register at.
    pub(super) fn registers(&self) -> bool {
        self.trunk.register.is_some()
    }

    /// Host of the Request-URI of a registration, where that is not the trunk's own.
    pub(super) fn registrar(&self) -> Option<String> {
        self.trunk.register.as_ref()?.registrar.clone()
    }

    /// User of the address-of-record.
    pub(super) fn user(&self) -> Option<String> {
        if let Some(user) = self.trunk.registered_user() {
            return Some(user.to_owned());
        }
        // Some providers' users are whole addresses.
        let username = self.trunk.credentials.as_ref().map(|credentials| credentials.username.as_str())?;
        Some(username.split_once('@').map_or(username, |(user, _)| user).to_owned())
    }

    /// What SDP says of us, in the trunk's realm.
    pub(super) fn media_advertised(&self, ipv6: bool) -> Option<IpAddr> {
        let addresses = &self.config.media.realms[self.trunk.realm].addresses;
        addresses.iter().map(|address| address.advertise).find(|address| address.is_ipv6() == ipv6)
    }
}

/// One address to be tested.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Of the trunk, as it is configured.
    pub(super) host: String,
    /// The name that the address is of: the target of SRV, or the host.
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
}

/// Where a test is sent from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    /// What its socket binds, on any port.
    pub(super) bind: IpAddr,
    /// The listener's own address.
    pub(super) listener: SocketAddr,
    /// What the listener says in Via and Contact.
    pub(super) advertise: HostPort,
    /// The listener's address is none of this host.
    pub(super) is_elsewhere: bool,
}

impl Origin {
    /// As the daemon would send, as far as this host can.
    pub(super) fn towards(place: &Place, listener: &Listener) -> Origin {
        let wished = listener.bind.ip();
        let is_elsewhere = matches!(
            UdpSocket::bind(SocketAddr::new(wished, 0)),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable
        );
        let any: IpAddr =
            if place.address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        Origin {
            bind: if is_elsewhere { any } else { wished },
            listener: listener.bind,
            advertise: listener.advertise.clone(),
            is_elsewhere,
        }
    }

    /// The address that the system would send from.
    ///
    /// # Errors
    /// There is no way there.
    pub(super) fn source(&self, place: &Place) -> io::Result<IpAddr> {
        let socket = UdpSocket::bind(SocketAddr::new(self.bind, 0))?;
        socket.connect(place.address)?;
        Ok(socket.local_addr()?.ip())
    }

    /// What Via says of a socket of ours: the listener's host, our port.
    pub(super) fn sent_by(&self, local: SocketAddr) -> String {
        let host = if self.is_elsewhere { Host::Address(local.ip()) } else { self.advertise.host.clone() };
        HostPort { host, port: local.port() }.to_string()
    }

    /// What From and Contact say.
    pub(super) fn here(&self, local: SocketAddr) -> String {
        if self.is_elsewhere { local.to_string() } else { self.advertise.to_string() }
    }
}
