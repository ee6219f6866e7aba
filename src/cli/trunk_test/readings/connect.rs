//! Whether anybody is there.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::super::place::{Origin, Place, Subject};
use super::super::step::{Mark, Name, Step};
use super::super::wire::Fault;
use crate::base::Transport;

/// A socket that can send there (UDP), or is connected.
pub(in super::super) fn connected(
    subject: &Subject,
    origin: &Origin,
    local: SocketAddr,
    took: Duration,
) -> Step {
    let step = Step::passed(Name::Connect, format!("from {local}")).in_time(took);
    let step = step.with(json!({ "from": local.to_string() }));
    if !origin.is_elsewhere {
        return step;
    }
    let (wished, realm) = (origin.listener.ip(), subject.trunk.realm);
    step.warn(format!(
        "the {realm} realm's listener binds {wished}, which is no address of this host: the provider sees \
         another source than the daemon's. Run this where the daemon runs"
    ))
}

/// Why a target could not be reached.
pub(in super::super) fn failed(
    subject: &Subject,
    place: &Place,
    origin: &Origin,
    fault: &Fault,
    took: Duration,
) -> Step {
    let Place { address, transport, .. } = place;
    let (port, trunk, source) = (address.port(), &subject.trunk.name, origin.bind);
    let step = |what: String| {
        Step::new(Name::Connect, Mark::Failed, what).in_time(took).with(json!({ "fault": kind(fault) }))
    };
    match fault {
        Fault::Refused => step(match transport {
            Transport::Udp => format!("nobody listens on UDP port {port} (ICMP: port unreachable)"),
            Transport::Tcp | Transport::Tls => format!("nobody listens on TCP port {port}"),
        })
        .hint(format!(
            "ask the provider for port and transport, and write port = … and transport = \"udp\", \"tcp\" or \
             \"tls\" in [trunk.{trunk}]"
        ))
        .hint(format!("if {address} is yours: is it running there? ss -lnp 'sport = :{port}'")),
        Fault::Silence { .. } => step(format!("no answer to TCP on port {port}"))
            .hint(format!("a firewall drops it, here, on the way or there: let {source} reach {address} by TCP"))
            .hint(format!(
                "many providers are silent to addresses that they do not know: add yours to the allowlist there, \
                 or try transport = \"udp\" in [trunk.{trunk}]"
            )),
        Fault::Unreachable(error) => step(format!("no way to {address} from {source}: {error}"))
            .hints(unreachable(error, &source.to_string(), &address.ip().to_string())),
        Fault::Closed(_) | Fault::NotSip(_) | Fault::Endless => step("the connection was closed at once".to_owned())
            .hint("the provider takes no connection from this address: add it to the allowlist there"),
    }
}

fn unreachable(error: &std::io::Error, source: &str, peer: &str) -> Vec<String> {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            vec![format!(
                "this host's own firewall refuses it: nft list ruleset, iptables -L OUTPUT -n | grep {peer}"
            )]
        }
        std::io::ErrorKind::AddrNotAvailable | std::io::ErrorKind::InvalidInput => {
            vec![format!("{source} is not usable here: ip -brief address lists what is")]
        }
        _ => vec![
            format!("ask the system for its way there: ip route get {peer} from {source}"),
            "a listener on loopback reaches nobody else: bind it to the address towards the provider"
                .to_owned(),
        ],
    }
}

/// This address is dead, and another of the same trunk is not.
pub(in super::super) fn dead_beside(place: &Place, good: &Place) -> Vec<String> {
    let (dead, good) = (place.address.ip(), good.address.ip());
    vec![
        format!("{good} answers the same question, so this is no matter of port, transport or password"),
        format!(
            "the daemon passes {dead} over while it is down; tell the provider, and see that no firewall lets \
             you reach {good} alone"
        ),
    ]
}

/// For machines.
pub(in super::super) fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::Silence { .. } => "silence",
        Fault::Refused => "refused",
        Fault::Unreachable(_) => "unreachable",
        Fault::Closed(_) => "closed",
        Fault::NotSip(_) => "not_sip",
        Fault::Endless => "endless",
    }
}

/// The realm has no listener that could send there: the daemon would not, either.
pub(in super::super) fn no_listener(subject: &Subject, place: &Place) -> Step {
    let (realm, transport) = (subject.trunk.realm, place.transport);
    let (family, example) = match place.address {
        SocketAddr::V4(_) => ("IPv4", "ADDRESS:"),
        SocketAddr::V6(_) => ("IPv6", "[ADDRESS]:"),
    };
    let port = transport.default_port();
    Step::new(
        Name::Connect,
        Mark::Skipped,
        format!("the {realm} realm has no {family} listener of transport {transport}, so calls never go here"),
    )
    .hint(format!(
        "if they should: [[listener]] realm = \"{realm}\", transport = \"{transport}\", bind = \"{example}{port}\""
    ))
}
