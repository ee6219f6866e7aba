//! What a trunk is called in a URI: its domain, and the host of a Request-URI to one of its addresses.
//!
//! Must not know: messages, who asks.

use std::net::{Ipv6Addr, SocketAddr};

use super::{Target, Trunk, TrunkHost, host_text};
use crate::base::Transport;

impl Trunk {
    /// Its domain as it stands in a URI: an IPv6 address in brackets.
    pub fn uri_domain(&self) -> String {
        match self.domain.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => self.domain.clone(),
        }
    }

    /// What a Request-URI to an address of its host `host` (as [`Target::host`] has it) names: the trunk's
    /// domain. A port that is written belongs to the host beside it, not to another domain. One that
    /// SRV gave is not written at all: it says where to send, not whom to call.
    pub fn uri_host(&self, host: &str, address: SocketAddr, transport: Transport) -> String {
        let is_written = |at: &TrunkHost| at.port.is_some() && host_text(&at.host) == host;
        let is_the_domain = self.domain.trim_matches(['[', ']']) == host;
        let has_own_port =
            is_the_domain && address.port() != transport.default_port() && self.hosts.iter().any(is_written);
        let domain = self.uri_domain();
        if has_own_port { format!("{domain}:{}", address.port()) } else { domain }
    }

    /// The same of a target.
    pub fn uri_host_of(&self, target: &Target) -> String {
        self.uri_host(&target.host, target.address, target.transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Realm;
    use crate::routing::Host;

    fn trunk(host: &str, port: Option<u16>) -> Trunk {
        let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
        Trunk::new("carrier", Realm::Untrusted, host, port)
    }

    fn named(trunk: &Trunk, host: &str, address: &str) -> String {
        trunk.uri_host(host, address.parse().unwrap(), Transport::Udp)
    }

    #[test]
    fn a_written_port_of_the_domain_stands_in_the_uri() {
        let written = trunk("sip.example.com", Some(5080));
        assert_eq!(named(&written, "sip.example.com", "192.0.2.1:5080"), "sip.example.com:5080");
        let usual = trunk("sip.example.com", Some(5060));
        assert_eq!(named(&usual, "sip.example.com", "192.0.2.1:5060"), "sip.example.com");
        let six = trunk("2001:db8::1", Some(5080));
        assert_eq!(named(&six, "2001:db8::1", "[2001:db8::1]:5080"), "[2001:db8::1]:5080");
    }

    #[test]
    fn a_port_of_srv_or_of_another_host_does_not() {
        let by_srv = trunk("sip.example.com", None);
        assert_eq!(named(&by_srv, "sip.example.com", "192.0.2.1:5070"), "sip.example.com");
        let other = Trunk { domain: "customer.example.com".to_owned(), ..trunk("192.0.2.1", Some(5080)) };
        assert_eq!(named(&other, "192.0.2.1", "192.0.2.1:5080"), "customer.example.com");
        let six = Trunk { domain: "2001:db8::9".to_owned(), ..trunk("192.0.2.1", Some(5080)) };
        assert_eq!(named(&six, "192.0.2.1", "192.0.2.1:5080"), "[2001:db8::9]");
    }
}
