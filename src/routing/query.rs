//! What is asked of DNS for a host of a trunk (RFC 3263 §4), and what came of it. The order of the
//! questions stands here once: the resolver asks them, `explain` tells them.
//!
//! Must not know: how DNS is asked, trunks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::Transport;

/// The transports in the order in which a SIP URI tries them (RFC 3263 §4.1): UDP is every
/// provider's, and TLS is asked for by who wants it.
const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// One host of a trunk as it is configured.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Query {
    /// A domain name, lower case, without a final dot. An address asks nothing of DNS.
    pub host: String,
    /// The port. RFC 3263 §4.1, §4.2: given, there is no NAPTR and no SRV look-up.
    pub port: Option<u16>,
    /// The transport. Given, there is no NAPTR look-up.
    pub transport: Option<Transport>,
}

/// The kinds of records that are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecordKind {
    /// Which services a domain has (RFC 3403).
    Naptr,
    /// Where a service is (RFC 2782).
    Srv,
    /// IPv4 (RFC 1035).
    A,
    /// IPv6 (RFC 3596).
    Aaaa,
}

/// One question to DNS.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DnsQuestion {
    /// What is asked for.
    pub kind: RecordKind,
    /// Of which name.
    pub name: String,
}

impl Query {
    /// A query for a host.
    pub fn new(host: impl Into<String>, port: Option<u16>, transport: Option<Transport>) -> Query {
        Query { host: host.into(), port, transport }
    }

    /// The address that the host is, if it is no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether SRV records are asked for. A name without a dot is a host's (`/etc/hosts`, a search
    /// list), no domain's that could have services.
    pub fn asks_srv(&self) -> bool {
        self.port.is_none() && self.host.contains('.') && self.address().is_none()
    }

    /// Whether NAPTR records are asked for.
    pub fn asks_naptr(&self) -> bool {
        self.asks_srv() && self.transport.is_none()
    }

    /// The transports that it may lead to, in the order of preference where DNS has none.
    pub fn transports(&self, reach: Reach) -> Vec<Transport> {
        match self.transport {
            Some(transport) => vec![transport],
            None => TRANSPORTS.into_iter().filter(|transport| reach.has(*transport)).collect(),
        }
    }

    /// The transport where DNS names none. RFC 3263 §4.1: "Otherwise, if no transport protocol is
    /// specified, but the TARGET is numeric" or a port is there, "UDP for a SIP URI"; another one only
    /// if the realm has no UDP listener.
    pub fn plain_transport(&self, reach: Reach) -> Transport {
        self.transports(reach).first().copied().unwrap_or(Transport::Udp)
    }

    /// All that may have to be asked, in order. Addresses are those of the targets of SRV, else of the
    /// host.
    pub fn questions(&self, reach: Reach) -> Vec<DnsQuestion> {
        let mut questions = Vec::new();
        if self.address().is_some() {
            return questions;
        }
        if self.asks_naptr() {
            questions.push(DnsQuestion { kind: RecordKind::Naptr, name: self.host.clone() });
        }
        if self.asks_srv() {
            let names = self.transports(reach).into_iter().map(|transport| self.service_name(transport));
            questions.extend(names.map(|name| DnsQuestion { kind: RecordKind::Srv, name }));
        }
        for kind in reach.address_kinds() {
            questions.push(DnsQuestion { kind, name: self.host.clone() });
        }
        questions
    }

    /// The name of the host's SRV records (RFC 3263 §4.1): `_sip._udp.example.com`.
    pub fn service_name(&self, transport: Transport) -> String {
        let service = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
        };
        format!("{service}.{}", self.host)
    }
}

/// As people write it, and as the allowlist keys it: `sip.example.com:5080;transport=tcp`.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(transport) => write!(f, ";transport={transport}"),
            None => Ok(()),
        }
    }
}

impl RecordKind {
    /// As in a zone file.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordKind::Naptr => "NAPTR",
            RecordKind::Srv => "SRV",
            RecordKind::A => "A",
            RecordKind::Aaaa => "AAAA",
        }
    }
}

impl fmt::Display for DnsQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// The transport of a service field of NAPTR (RFC 3263 §4.1, RFC 3403 §4.1: case does not matter).
pub fn transport_of_service(service: &[u8]) -> Option<Transport> {
    let services: [(&[u8], Transport); 3] =
        [(b"SIP+D2U", Transport::Udp), (b"SIP+D2T", Transport::Tcp), (b"SIPS+D2T", Transport::Tls)];
    services.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, transport)| transport)
}

/// How a realm can send: by which transports, over which address families.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Reach {
    /// Two bits a transport: IPv4, IPv6.
    ways: u8,
    /// Whether an answer may lead to this very host.
    loopback: bool,
}

impl Reach {
    /// By everything, to everywhere.
    pub const ALL: Reach = Reach { ways: 0b11_1111, loopback: true };

    /// With one more way.
    #[must_use]
    pub const fn with(self, transport: Transport, is_ipv6: bool) -> Reach {
        Reach { ways: self.ways | bit(transport, is_ipv6), ..self }
    }

    /// With loopback addresses.
    #[must_use]
    pub const fn with_loopback(self) -> Reach {
        Reach { loopback: true, ..self }
    }

    /// What either of the two can do.
    #[must_use]
    pub const fn or(self, other: Reach) -> Reach {
        Reach { ways: self.ways | other.ways, loopback: self.loopback || other.loopback }
    }

    /// Whether there is a listener of this transport.
    pub const fn has(self, transport: Transport) -> bool {
        self.ways & (bit(transport, false) | bit(transport, true)) != 0
    }

    /// Whether there is one that could send there.
    pub fn leads_to(self, address: SocketAddr, transport: Transport) -> bool {
        self.ways & bit(transport, address.is_ipv6()) != 0
    }

    /// The kinds of addresses that are of use.
    pub fn address_kinds(self) -> Vec<RecordKind> {
        let families = [(RecordKind::A, false), (RecordKind::Aaaa, true)];
        let has = |is_ipv6| TRANSPORTS.iter().any(|transport| self.ways & bit(*transport, is_ipv6) != 0);
        families.into_iter().filter(|(_, is_ipv6)| has(*is_ipv6)).map(|(kind, _)| kind).collect()
    }

    /// Whether an answer may be believed that leads there. Whoever writes a carrier's zone must not
    /// be able to make us hear, or call, what is nobody's address or this host itself: broadcast,
    /// multicast, `0.0.0.0/8`, IPv6 link-local (which means nothing without an interface), and
    /// loopback where the realm does not live on it.
    pub fn believes(self, address: SocketAddr) -> bool {
        let is_somebodys = match address.ip() {
            IpAddr::V4(v4) => {
                let first = v4.octets()[0];
                first != 0 && !v4.is_multicast() && !v4.is_broadcast()
            }
            IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
        };
        address.port() != 0 && is_somebodys && (self.loopback || !address.ip().is_loopback())
    }
}

const fn bit(transport: Transport, is_ipv6: bool) -> u8 {
    let at = match transport {
        Transport::Udp => 0,
        Transport::Tcp => 2,
        Transport::Tls => 4,
    };
    1 << (at + is_ipv6 as u8)
}

/// What DNS gave for a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// In the order of the answer; those of one SRV target stand together. Not empty.
    pub endpoints: Vec<Endpoint>,
    /// How long the answer may be used: the smallest TTL on the way to it.
    pub valid_for: Duration,
    /// Some question on the way got no answer: with one there might be others, or better ones.
    pub is_partial: bool,
}

impl Resolution {
    /// A whole answer.
    pub fn new(endpoints: Vec<Endpoint>, valid_for: Duration) -> Resolution {
        Resolution { endpoints, valid_for, is_partial: false }
    }
}

/// One address at which a host is reached.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// The name whose address it is: the target of SRV, or the host itself.
    pub host: String,
    /// Where to send.
    pub address: SocketAddr,
    /// How to send.
    pub transport: Transport,
    /// Lower is tried first (RFC 2782).
    pub priority: u16,
    /// Its share among equals of a priority (RFC 2782).
    pub weight: u16,
}

impl Endpoint {
    /// An address of a host that has no SRV records.
    pub fn plain(host: impl Into<String>, address: SocketAddr, transport: Transport) -> Endpoint {
        Endpoint { host: host.into(), address, transport, priority: 0, weight: 0 }
    }
}

/// Why a query gave no endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ResolveFault {
    /// DNS answered: there is no such name, or nothing at it that could be used.
    #[error("no such host, or it has no address")]
    NoSuchHost {
        /// How long DNS says so (RFC 2308 §5).
        valid_for: Duration,
    },
    /// DNS did not answer in time, failed or refused: nothing is known about the host, and the last
    /// good addresses serve on.
    #[error("no answer from DNS")]
    NoAnswer,
}

impl ResolveFault {
    /// Whether DNS itself said that there is nothing.
    pub const fn is_no_such_host(self) -> bool {
        matches!(self, ResolveFault::NoSuchHost { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &Query, reach: Reach) -> Vec<String> {
        query.questions(reach).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_port_leaves_srv_out_and_a_transport_naptr() {
        let v4 = Reach::default().with(Transport::Udp, false).with(Transport::Tls, false);
        let query = |port, transport| Query::new("sip.example", port, transport);
        assert_eq!(
            told(&query(None, None), v4),
            ["NAPTR sip.example", "SRV _sip._udp.sip.example", "SRV _sips._tcp.sip.example", "A sip.example"]
        );
        assert_eq!(
            told(&query(None, Some(Transport::Tcp)), Reach::ALL),
            ["SRV _sip._tcp.sip.example", "A sip.example", "AAAA sip.example"]
        );
        assert_eq!(told(&query(Some(5060), None), v4), ["A sip.example"]);
        assert_eq!(told(&Query::new("pbx", None, None), v4), ["A pbx"], "a host's name, no domain's");
        assert_eq!(told(&Query::new("2001:db8::7", None, None), v4), [""; 0]);
        assert_eq!(query(Some(5080), Some(Transport::Tls)).to_string(), "sip.example:5080;transport=tls");
    }

    #[test]
    fn services_of_naptr_are_known_in_any_case() {
        assert_eq!(transport_of_service(b"sip+d2u"), Some(Transport::Udp));
        assert_eq!(transport_of_service(b"SIPS+D2T"), Some(Transport::Tls));
        for other in ["SIP+D2S", "SIPS+D2U", "SIP+D2W", "E2U+sip", ""] {
            assert_eq!(transport_of_service(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn nobodys_addresses_are_not_believed() {
        let reach = Reach { loopback: false, ..Reach::ALL };
        let believed = |text: &str| reach.believes(text.parse().unwrap());
        for good in ["203.0.113.7:5060", "10.0.0.7:5060", "[2001:db8::7]:5061", "[fd00::1]:5060"] {
            assert!(believed(good), "{good}");
        }
        for absurd in [
            "0.0.0.0:5060",
            "0.1.2.3:5060",
            "255.255.255.255:5060",
            "224.0.0.1:5060",
            "127.0.0.1:5060",
            "203.0.113.7:0",
            "[::]:5060",
            "[::1]:5060",
            "[ff02::1]:5060",
            "[fe80::1]:5060",
        ] {
            assert!(!believed(absurd), "{absurd}");
        }
        assert!(reach.with_loopback().believes("127.0.0.1:5060".parse().unwrap()));
    }
}
