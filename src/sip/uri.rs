//! URIs (RFC 3261 §19.1, RFC 3966): spans over the bytes that were received.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::Params;
use super::text::parse_number;

/// What a URI begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other (`urn:service:sos`, `http:`): has no user and no host.
    Other,
}

/// A URI, in its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// The whole URI.
    pub raw: &'a [u8],
    /// What it begins with.
    pub scheme: Scheme,
    /// The user part, still escaped, without the password; of `tel:` the number.
    pub user: Option<&'a [u8]>,
    /// The host: a name, an IPv4 address, or an IPv6 address in its brackets; empty for `tel:`.
    pub host: &'a [u8],
    /// The port, if one is written.
    pub port: Option<u16>,
    /// `;transport=…` and the like.
    pub params: Params<'a>,
    /// What stands behind `?`, which never crosses (RFC 3261 §19.1.5).
    pub headers: Option<&'a [u8]>,
}

/// Why a URI could not be read; the text stands in the reason phrase of a 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UriFault {
    /// No scheme, or one that is no token.
    Scheme,
    /// A byte that may not stand in a URI: a blank, a bracket, a control character.
    Character,
    /// No host, or one that can be none.
    Host,
    /// A port that is no number of 16 bits.
    Port,
}

impl fmt::Display for UriFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UriFault::Scheme => "bad scheme",
            UriFault::Character => "illegal character",
            UriFault::Host => "bad host",
            UriFault::Port => "bad port",
        })
    }
}

impl<'a> Uri<'a> {
    /// Reads a URI that stands alone (a Request-URI, or what is between `<` and `>`).
    pub fn parse(raw: &'a [u8]) -> Result<Uri<'a>, UriFault> {
        let illegal = |byte: &u8| *byte <= b' ' || matches!(byte, 127 | b'<' | b'>' | b'"');
        // No early exit: see `check_value`.
        if raw.iter().fold(false, |found, byte| found | illegal(byte)) {
            return Err(UriFault::Character);
        }
        let colon = memchr::memchr(b':', raw).ok_or(UriFault::Scheme)?;
        let (scheme, rest) = (&raw[..colon], &raw[colon + 1..]);
        if scheme.eq_ignore_ascii_case(b"sip") {
            Uri::parse_sip(raw, Scheme::Sip, rest)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            Uri::parse_sip(raw, Scheme::Sips, rest)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            let (number, params) = rest.split_at(end);
            if number.is_empty() {
                return Err(UriFault::Host);
            }
            let user = Some(number);
            Ok(Uri {
                raw,
                scheme: Scheme::Tel,
                user,
                host: b"",
                port: None,
                params: Params(params),
                headers: None,
            })
        } else if scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
        {
            let (host, params) = (&b""[..], Params(b""));
            Ok(Uri { raw, scheme: Scheme::Other, user: None, host, port: None, params, headers: None })
        } else {
            Err(UriFault::Scheme)
        }
    }

    fn parse_sip(raw: &'a [u8], scheme: Scheme, rest: &'a [u8]) -> Result<Uri<'a>, UriFault> {
        // `;` and `?` are allowed in the user part (RFC 3261 §25.1 user-unreserved), so the last
        // `@` before any header decides. Of two `@` the first is illegal and the host then too.
        let (user, host_part) = match memchr::memrchr(b'@', rest) {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        let user = match user {
            Some(user) => Some(strip_password(user)?),
            None => None,
        };
        let question = memchr::memchr(b'?', host_part);
        let (before, headers) = match question {
            Some(at) => (&host_part[..at], Some(&host_part[at + 1..])),
            None => (host_part, None),
        };
        let semicolon = memchr::memchr(b';', before).unwrap_or(before.len());
        let (hostport, params) = before.split_at(semicolon);
        let HostPort { host, port } = HostPort::parse(hostport)?;
        Ok(Uri { raw, scheme, user, host, port, params: Params(params), headers })
    }

    /// The user part with its `%XX` resolved.
    pub fn user_unescaped(&self) -> Option<Cow<'a, [u8]>> {
        self.user.map(unescape)
    }

    /// The host as an address, if it is one.
    pub fn host_address(&self) -> Option<IpAddr> {
        HostPort { host: self.host, port: None }.address()
    }
}

/// User without `:password`. An `@` may not stand in either unescaped.
fn strip_password(user: &[u8]) -> Result<&[u8], UriFault> {
    if user.is_empty() || memchr::memchr(b'@', user).is_some() {
        return Err(UriFault::Character);
    }
    let user = memchr::memchr(b':', user).map_or(user, |colon| &user[..colon]);
    if user.is_empty() { Err(UriFault::Character) } else { Ok(user) }
}

/// `host[:port]`, as in a URI or in a Via.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostPort<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: &'a [u8],
    /// The port, if one is written.
    pub port: Option<u16>,
}

impl<'a> HostPort<'a> {
    /// Reads it; nothing may follow.
    pub fn parse(text: &'a [u8]) -> Result<HostPort<'a>, UriFault> {
        let (host, port) = if text.first() == Some(&b'[') {
            let close = memchr::memchr(b']', text).ok_or(UriFault::Host)?;
            let inside = std::str::from_utf8(&text[1..close]).map_err(|_| UriFault::Host)?;
            parse_ipv6(inside).ok_or(UriFault::Host)?;
            (&text[..=close], &text[close + 1..])
        } else {
            let colon = memchr::memchr(b':', text).unwrap_or(text.len());
            text.split_at(colon)
        };
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() || (host[0] != b'[' && !host.iter().all(name)) {
            return Err(UriFault::Host);
        }
        let port = match port {
            [] => None,
            [b':', digits @ ..] => Some(parse_number(digits).ok_or(UriFault::Port)?),
            _ => return Err(UriFault::Port),
        };
        Ok(HostPort { host, port })
    }

    /// The host as an address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        let host = std::str::from_utf8(self.host).ok()?;
        match host.strip_prefix('[') {
            Some(ipv6) => parse_ipv6(ipv6.strip_suffix(']')?).map(IpAddr::V6),
            None => host.parse().ok(),
        }
    }
}

/// An IPv6 address. RFC 5118 §4.10: the grammar of RFC 3261 allows a third colon before an IPv4 part
/// by mistake, "following the Robustness Principle […], an implementation must tolerate both".
fn parse_ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        let (before, after) = text.split_once(":::")?;
        let is_ipv4 = after.parse::<std::net::Ipv4Addr>().is_ok();
        if is_ipv4 { format!("{before}::{after}").parse().ok() } else { None }
    })
}

/// Resolves `%XX`; a `%` that is not followed by two hex digits stays as it is.
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        if *byte == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            plain.push((high * 16 + low) as u8);
            rest = after;
        } else {
            plain.push(*byte);
            rest = tail;
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn parts_are_found() {
        let found = uri("sip:john.smith:pw@[2001:db8::1]:5061;transport=tls;lr?Replaces=x");
        assert_eq!(found.user, Some(&b"john.smith"[..]));
        assert_eq!(found.host, b"[2001:db8::1]");
        assert_eq!(found.host_address(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(found.port, Some(5061));
        assert_eq!(found.params.value("transport"), Some(&b"tls"[..]));
        assert!(found.params.has("lr"));
        assert_eq!(found.headers, Some(&b"Replaces=x"[..]));

        let found = uri("sip:b@h?Replaces=x");
        assert_eq!((found.host, found.headers), (&b"h"[..], Some(&b"Replaces=x"[..])));
        let found = uri("SIP:+1;phone-context=x@example.com");
        assert_eq!((found.user, found.host), (Some(&b"+1;phone-context=x"[..]), &b"example.com"[..]));
        let found = uri("tel:+1-201-555-0123;phone-context=example.com");
        assert_eq!((found.scheme, found.user), (Scheme::Tel, Some(&b"+1-201-555-0123"[..])));
        assert_eq!(uri("urn:service:sos").scheme, Scheme::Other);
        let mapped = Some("2001:db8::192.0.2.1".parse().unwrap());
        assert_eq!(uri("sip:u@[2001:db8:::192.0.2.1]").host_address(), mapped);
    }

    #[test]
    fn what_is_no_uri_is_refused_with_its_fault() {
        for (text, fault) in [
            ("", UriFault::Scheme),
            ("bob", UriFault::Scheme),
            ("1sip:bob@h", UriFault::Scheme),
            ("sip:", UriFault::Host),
            ("sip:bob@", UriFault::Host),
            ("sip:@h", UriFault::Character),
            ("sip::pw@h", UriFault::Character),
            ("sip:a@b@h", UriFault::Character),
            ("sip:a b@h", UriFault::Character),
            ("sip:bob@h:", UriFault::Port),
            ("sip:bob@h:99999", UriFault::Port),
            ("sip:bob@[::1", UriFault::Host),
            ("sip:bob@[::g]", UriFault::Host),
            ("sip:bob@[2001:db8:::1]", UriFault::Host),
            ("sip:bob@[::1]x", UriFault::Port),
            ("sip:bob@h%41", UriFault::Host),
        ] {
            assert_eq!(Uri::parse(text.as_bytes()), Err(fault), "{text}");
        }
    }

    #[test]
    fn escapes_are_resolved_once() {
        assert_eq!(&*unescape(b"%2B1%2b2%25%4"), b"+1+2%%4");
        assert!(matches!(unescape(b"plain"), Cow::Borrowed(_)));
    }
}
