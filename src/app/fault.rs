//! Why Drawbridge did not start: one message with its cure.

use std::io;
use std::net::SocketAddr;

use crate::admin::SocketFault;
use crate::base::Realm;
use crate::config::{Config, Listener};
use crate::resolver::SetupFault;

/// What could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// A socket.
    #[error("cannot listen on {what} {address}: {error}; {}", cure(.error, .address))]
    Listen {
        /// Whose.
        what: String,
        /// Which.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// The relay's threads.
    #[error(
        "the media relay does not start with media.engine = \"{engine}\": {error}; \
         media.engine = \"auto\" takes the portable engine where io_uring is refused"
    )]
    Relay {
        /// As configured.
        engine: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// No admin socket, though the configuration names one.
    #[error(transparent)]
    AdminSocket(#[from] SocketFault),
    /// No DNS.
    #[error("{0}; name servers can be given as dns.nameservers = [\"192.0.2.53:53\"]")]
    Resolver(#[from] SetupFault),
    /// A fault of this program.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Threads, files, random bytes.
    #[error("the system refuses what every process needs: {0}")]
    System(io::Error),
}

impl StartFault {
    pub(super) fn listener(listener: &Listener, error: io::Error) -> StartFault {
        let what = format!("the {} realm's {} address", listener.realm, listener.transport);
        StartFault::Listen { what, address: listener.bind, error }
    }

    pub(super) fn admin(address: SocketAddr, error: io::Error) -> StartFault {
        StartFault::Listen { what: "the admin HTTP address".to_owned(), address, error }
    }

    pub(super) fn media(realm: Realm, address: SocketAddr, error: io::Error) -> StartFault {
        StartFault::Listen { what: format!("realm.{realm}.media_bind"), address, error }
    }

    pub(super) fn relay(config: &Config, error: io::Error) -> StartFault {
        StartFault::Relay { engine: config.relay.engine.as_str(), error }
    }
}

fn cure(error: &io::Error, address: &SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program has this port, perhaps a Drawbridge that runs: ss -anp 'sport = :{port}'"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this host has the address: ip -brief address lists those there are".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs CAP_NET_BIND_SERVICE, which the packaged service has".to_owned()
        }
        _ => "see the listener in the configuration".to_owned(),
    }
}
