//! Drawbridge inside the demo: the whole daemon, in this process, with a configuration of its own.
//!
//! The only file of the demo that knows how the daemon is started and stopped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use super::records::{Record, Records};
use crate::app::{self, RunningApp};
use crate::config::{self, Config};

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
    /// No pipe for its records.
    #[error("no pipe for call detail records: {0}")]
    Records(#[from] io::Error),
    /// The configuration was refused.
    #[error("the demo's configuration is wrong: {0}")]
    Configuration(String),
    /// The daemon could not have what it needs.
    #[error(transparent)]
    Start(#[from] app::StartFault),
}

/// A running SBC.
#[derive(Debug)]
pub struct Sbc {
    /// Its SIP address on the trusted side.
    pub trusted: SocketAddr,
    /// Its SIP address on the untrusted side.
    pub untrusted: SocketAddr,
    app: RunningApp,
    records: Records,
}

impl Sbc {
    /// Starts the daemon between a PBX and a carrier, on free ports.
    pub fn start(addresses: Addresses, pbx: SocketAddr, carrier: SocketAddr) -> Result<Sbc, StartFault> {
        let records = Records::open()?;
        let text = configuration(addresses, pbx, carrier, &records.path());
        let mut config = config::parse("demo.toml", &text).map_err(|faults| {
            StartFault::Configuration(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        take_free_ports(&mut config);
        let app = app::start(config)?;
        match *app.listeners.as_slice() {
            [trusted, untrusted] => Ok(Sbc { trusted, untrusted, app, records }),
            _ => Err(StartFault::Configuration("it has two listeners".to_owned())),
        }
    }

    /// Stops it, and gives the records of its calls.
    pub async fn stop(self) -> Vec<Record> {
        // A daemon that crashed has failed its calls, and is shown by them.
        let _ = self.app.stop().await;
        self.records.finish()
    }
}

/// Whatever port the configuration names, the system chooses.
fn take_free_ports(config: &mut Config) {
    for listener in &mut config.listeners {
        listener.bind.set_port(0);
        listener.advertise.port = 0;
    }
    config.admin.listen.set_port(0);
}

/// What an operator would write for these two peers, and nothing more.
fn configuration(addresses: Addresses, pbx: SocketAddr, carrier: SocketAddr, records: &str) -> String {
    format!(
        r#"
[node]
name = "demo"

[admin]
listen = "{trusted}:9060"
socket = ""

[[listener]]
realm     = "trusted"
transport = "udp"
bind      = "{trusted}:5060"

[[listener]]
realm     = "untrusted"
transport = "udp"
bind      = "{untrusted}:5061"

[realm.trusted]
media_bind = "{trusted}"

[realm.untrusted]
media_bind = "{untrusted}"

[media]
workers = 1

[cdr]
path = "{records}"

[trunk.pbx]
realm = "trusted"
host  = "{pbx_host}"
port  = {pbx_port}
health = {{ interval = "0s" }}

[trunk.carrier]
host  = "{carrier_host}"
port  = {carrier_port}
health = {{ interval = "0s" }}

[[route]]
name   = "out"
from   = "pbx"
trunks = ["carrier"]

[[route]]
name   = "in"
from   = "carrier"
trunks = ["pbx"]
"#,
        trusted = addresses.trusted,
        untrusted = addresses.untrusted,
        pbx_host = pbx.ip(),
        pbx_port = pbx.port(),
        carrier_host = carrier.ip(),
        carrier_port = carrier.port(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_valid_whatever_loopback_offers() {
        let [ten, two, one] = [10, 2, 1].map(|last| IpAddr::from([127, 0, 0, last]));
        let apart = Addresses { pbx: ten, trusted: one, untrusted: two, carrier: ten };
        let together = Addresses { pbx: one, trusted: one, untrusted: one, carrier: one };
        for addresses in [apart, together] {
            let peer = |address, port| SocketAddr::new(address, port);
            let text = configuration(
                addresses,
                peer(addresses.pbx, 40_000),
                peer(addresses.carrier, 40_001),
                "/proc/self/fd/9",
            );
            let mut config = config::parse("demo.toml", &text).unwrap();
            take_free_ports(&mut config);
            assert!(config.listeners.iter().all(|listener| listener.bind.port() == 0));
            assert_eq!(config.warnings.len(), 0);
        }
    }
}
