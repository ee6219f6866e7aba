//! Via (RFC 3261 §20.42): the way back of a response, with RFC 3581's `rport`.

use std::net::SocketAddr;

use super::text::{find_outside, is_token, trim};
use super::{HostPort, Params};

/// The beginning of every branch that RFC 3261 §8.1.1.7 makes unique.
pub(crate) const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// One Via value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// The whole value as it stands.
    pub raw: &'a [u8],
    /// `2.0` (see [`Via::is_version_2`]).
    version: &'a [u8],
    /// `UDP`, `TCP`, `TLS`, …
    pub transport: &'a [u8],
    /// Where the sender says that it is.
    pub sent_by: HostPort<'a>,
    /// branch, received, rport, maddr, ttl and the rest.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value (a list must be split first).
    pub fn parse(raw: &'a [u8]) -> Option<Via<'a>> {
        let raw = trim(raw);
        let end = find_outside(raw, b';').unwrap_or(raw.len());
        let (before, params) = raw.split_at(end);
        // sent-protocol may have blanks around its slashes: "SIP / 2.0 / UDP first.example".
        let mut slashes = before.splitn(3, |byte| *byte == b'/');
        let (name, version, rest) = (trim(slashes.next()?), trim(slashes.next()?), trim(slashes.next()?));
        if !name.eq_ignore_ascii_case(b"SIP") {
            return None;
        }
        let blank = rest.iter().position(|byte| super::text::is_space(*byte))?;
        let (transport, sent_by) = (&rest[..blank], trim(&rest[blank..]));
        if !is_token(transport) {
            return None;
        }
        // Nobody can be answered at port 0.
        let sent_by = parse_sent_by(sent_by).filter(|sent_by| sent_by.port != Some(0))?;
        Some(Via { raw, version, transport, sent_by, params: Params(params) })
    }

    /// Whether it is of our version. A Via of another is read so that its message can be answered.
    pub fn is_version_2(&self) -> bool {
        self.version == b"2.0"
    }

    /// The transaction's branch.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    /// Whether the branch is unique by RFC 3261 (begins with `z9hG4bK`).
    pub fn has_magic_cookie(&self) -> bool {
        self.branch().is_some_and(|branch| branch.len() > 7 && branch[..7].eq_ignore_ascii_case(MAGIC_COOKIE))
    }

    /// Where the response to a request from `source` is sent over UDP (RFC 3261 §18.2.2,
    /// RFC 3581 §4). `maddr` is not followed: it would let a sender aim our answers at others.
    pub fn response_address(&self, source: SocketAddr) -> SocketAddr {
        if self.params.has("rport") {
            source
        } else {
            SocketAddr::new(source.ip(), self.sent_by.port.unwrap_or(5060))
        }
    }

    /// This value as it goes back in responses: with `received`, and `rport` filled in, as
    /// RFC 3261 §18.2.1 and RFC 3581 §4 ask.
    pub fn with_received(&self, source: SocketAddr) -> Vec<u8> {
        let address = source.ip().to_canonical();
        let mut value = Vec::with_capacity(self.raw.len() + 48);
        value.extend_from_slice(&self.raw[..self.raw.len() - self.params.0.len()]);
        let asks_rport = self.params.has("rport");
        for (name, content) in self.params.iter() {
            if name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport") {
                continue;
            }
            value.push(b';');
            value.extend_from_slice(name);
            if let Some(content) = content {
                value.push(b'=');
                value.extend_from_slice(content);
            }
        }
        if asks_rport {
            value.extend_from_slice(format!(";rport={}", source.port()).as_bytes());
        }
        if asks_rport || self.sent_by.address() != Some(address) {
            value.extend_from_slice(format!(";received={address}").as_bytes());
        }
        value
    }
}

/// sent-by allows blanks around the colon ("host : 5060").
fn parse_sent_by(text: &[u8]) -> Option<HostPort<'_>> {
    if let Ok(found) = HostPort::parse(text) {
        return Some(found);
    }
    let colon = memchr::memrchr(b':', text)?;
    let host = HostPort::parse(trim(&text[..colon])).ok()?;
    let port = super::text::parse_number(trim(&text[colon + 1..]))?;
    host.port.is_none().then_some(HostPort { host: host.host, port: Some(port) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Via<'_> {
        Via::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn odd_spacing_and_addresses_are_read() {
        let found = via("SIP / 2.0 / UDP first.example.com : 4000 ; branch = z9hG4bKa ;ttl=16");
        assert_eq!((found.transport, found.sent_by.host), (&b"UDP"[..], &b"first.example.com"[..]));
        assert_eq!(found.sent_by.port, Some(4000));
        assert_eq!(found.branch(), Some(&b"z9hG4bKa"[..]));
        assert!(found.has_magic_cookie());
        let found = via("SIP/2.0/TCP [2001:db8::9]:5070;received=2001:db8::8;branch=x");
        assert_eq!(found.sent_by.address(), Some("2001:db8::9".parse().unwrap()));
        assert!(!found.has_magic_cookie());
        assert!(Via::parse(b"SIP/2.0/UDP").is_none());
        assert!(found.is_version_2() && !via("SIP/3.0/UDP h").is_version_2());
        assert!(Via::parse(b"SIP/2.0/UDP h:70000").is_none());
        assert!(Via::parse(b"SIP/2.0/UDP h:0").is_none());
    }

    #[test]
    fn responses_go_to_the_source_when_rport_asks() {
        let source: SocketAddr = "192.0.2.9:6000".parse().unwrap();
        assert_eq!(via("SIP/2.0/UDP 10.1.1.1:5070;rport;branch=z9hG4bKa").response_address(source), source);
        let without = via("SIP/2.0/UDP 10.1.1.1:5070;branch=z9hG4bKa");
        assert_eq!(without.response_address(source), "192.0.2.9:5070".parse().unwrap());
        let default = via("SIP/2.0/UDP h;branch=z9hG4bKa").response_address(source);
        assert_eq!(default, "192.0.2.9:5060".parse().unwrap());
    }

    #[test]
    fn received_is_what_we_saw_whatever_the_sender_wrote() {
        let source: SocketAddr = "192.0.2.9:6000".parse().unwrap();
        let value =
            via("SIP/2.0/UDP 10.1.1.1;rport;branch=z9hG4bKa;received=1.2.3.4;x").with_received(source);
        assert_eq!(value, b"SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKa;x;rport=6000;received=192.0.2.9");
        let value = via("SIP/2.0/UDP 192.0.2.9:6000;branch=z9hG4bKa").with_received(source);
        assert_eq!(value, b"SIP/2.0/UDP 192.0.2.9:6000;branch=z9hG4bKa");
    }
}
