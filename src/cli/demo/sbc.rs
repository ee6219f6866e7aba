//! Drawbridge inside the demo: the whole daemon, in this process, with a configuration of its own.
//!
//! The only file of the demo that knows how the daemon is started and stopped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use super::records::Record;

/// Where the parties of the demo live: each has a loopback address of its own, so that one can tell
/// them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// The PBX's user agent.
    pub pbx: IpAddr,
    /// The SBC towards the PBX.
    pub trusted: IpAddr,
    /// The SBC towards the carrier.
    pub untrusted: IpAddr,
    /// The carrier's user agent.
    pub carrier: IpAddr,
}

impl Addresses {
    /// All of 127/8 is loopback on Linux; where an address cannot be bound, 127.0.0.1 serves.
    pub fn on_loopback() -> Addresses {
        let address = |last| {
            let wanted = IpAddr::from([127, 0, 0, last]);
            let is_there = UdpSocket::bind((wanted, 0)).is_ok();
            if is_there { wanted } else { IpAddr::from(Ipv4Addr::LOCALHOST) }
        };
        Addresses { pbx: address(10), trusted: address(1), untrusted: address(2), carrier: address(20) }
    }
}

/// Why the SBC does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// No free port on loopback.
    #[error("no free port on loopback: {0}")]
    Port(#[from] io::Error),
    /// This build has no daemon to start.
    #[error("this build has no daemon inside")]
    NoDaemon,
}

/// A running SBC.
#[derive(Debug)]
pub struct Sbc {
    /// Its SIP address on the trusted side.
    pub trusted: SocketAddr,
    /// Its SIP address on the untrusted side.
    pub untrusted: SocketAddr,
}

impl Sbc {
    /// Starts the daemon between a PBX and a carrier, on free ports.
    pub async fn start(
        addresses: Addresses,
        pbx: SocketAddr,
        carrier: SocketAddr,
    ) -> Result<Sbc, StartFault> {
        let trusted = free_port(addresses.trusted)?;
        let untrusted = free_port(addresses.untrusted)?;
        let admin = free_tcp_port(addresses.trusted)?;
        let _text = configuration(trusted, untrusted, admin, pbx, carrier);
        let _ = Sbc { trusted, untrusted };
        Err(StartFault::NoDaemon)
    }

    /// Stops it, and gives the records of its calls.
    pub async fn stop(self) -> Vec<Record> {
        Vec::new()
    }
}

/// What an operator would write for these two peers, and nothing more.
fn configuration(
    trusted: SocketAddr,
    untrusted: SocketAddr,
    admin: SocketAddr,
    pbx: SocketAddr,
    carrier: SocketAddr,
) -> String {
    format!(
        r#"
[node]
name = "demo"

[admin]
listen = "{admin}"
socket = ""

[[listener]]
realm     = "trusted"
transport = "udp"
bind      = "{trusted}"

[[listener]]
realm     = "untrusted"
transport = "udp"
bind      = "{untrusted}"

[realm.trusted]
media_bind = "{trusted_ip}"

[realm.untrusted]
media_bind = "{untrusted_ip}"

[media]
workers = 1

[trunk.pbx]
realm = "trusted"
host  = "{pbx_ip}"
port  = {pbx_port}

[trunk.carrier]
host  = "{carrier_ip}"
port  = {carrier_port}

[[route]]
name   = "out"
from   = "pbx"
trunks = ["carrier"]

[[route]]
name   = "in"
from   = "carrier"
trunks = ["pbx"]
"#,
        trusted_ip = trusted.ip(),
        untrusted_ip = untrusted.ip(),
        pbx_ip = pbx.ip(),
        pbx_port = pbx.port(),
        carrier_ip = carrier.ip(),
        carrier_port = carrier.port(),
    )
}

/// A UDP port that was free a moment ago.
fn free_port(address: IpAddr) -> io::Result<SocketAddr> {
    UdpSocket::bind((address, 0))?.local_addr()
}

/// The same for TCP.
fn free_tcp_port(address: IpAddr) -> io::Result<SocketAddr> {
    std::net::TcpListener::bind((address, 0))?.local_addr()
}
