//! Who calls whom, as it is told to a trunk: Request-URI, From, To, Contact and the identity
//! headers, with the trunk's number form and caller-id policy.

use std::net::Ipv6Addr;

use super::call::CallNumbers;
use crate::base::Transport;
use crate::numbering::{self, Number};
use crate::routing::{CallerIdFallback, Identity, Target, Trunk};
use crate::sip::{Header, Writer};

/// How a call is addressed on its way to one trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addressing {
    /// Request-URI.
    pub request_uri: String,
    /// From without its tag.
    pub from: Vec<u8>,
    /// To.
    pub to: String,
    /// User part of our Contact, not escaped.
    pub contact_user: String,
    /// Identity header, if the trunk wants one.
    pub identity: Option<(Header, String)>,
    /// Whether the caller is not to be shown (RFC 3323).
    pub anonymous: bool,
}

/// The trunk's caller-id policy refuses this caller: 403.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallerRefused;

/// Addresses a call to a trunk.
pub fn address(
    numbers: &CallNumbers,
    trunk: &Trunk,
    numbering: &numbering::Settings,
    target: &Target,
) -> Result<Addressing, CallerRefused> {
    let domain = match trunk.domain.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => trunk.domain.clone(),
    };
    // A port of its own belongs to the host it was written beside, not to another domain.
    let has_own_port =
        target.host == trunk.domain && target.address.port() != target.transport.default_port();
    let host = if has_own_port { format!("{domain}:{}", target.address.port()) } else { domain.clone() };
    let called =
        escape_user(&numbering.format(&numbers.called, &numbers.called_received, trunk.send_numbers));
    let request_uri = format!("sip:{called}@{host}");
    let to = format!("<sip:{called}@{domain}>");
    let Some(caller) = shown_caller(numbers, trunk, numbering)? else {
        return Ok(Addressing {
            request_uri,
            from: b"\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_vec(),
            to,
            contact_user: "anonymous".to_owned(),
            identity: None,
            anonymous: true,
        });
    };
    let user = escape_user(&caller);
    let uri = format!("<sip:{user}@{domain}>");
    let identity = match trunk.identity {
        Identity::From => None,
        Identity::Pai => Some((Header::PAssertedIdentity, uri.clone())),
        Identity::Ppi => Some((Header::PPreferredIdentity, uri.clone())),
        Identity::Rpid => {
            Some((Header::RemotePartyId, format!("{uri};party=calling;privacy=off;screen=yes")))
        }
    };
    let from = match &numbers.caller_display {
        Some(display) => [display, &b" "[..], uri.as_bytes()].concat(),
        None => uri.into_bytes(),
    };
    Ok(Addressing { request_uri, from, to, contact_user: caller, identity, anonymous: false })
}

/// Our Contact on a leg: this user at what its listener advertises.
pub fn contact(user: &str, advertise: &str, transport: Transport) -> String {
    let at = if user.is_empty() { "" } else { "@" };
    let user = escape_user(user);
    match transport {
        Transport::Udp => format!("<sip:{user}{at}{advertise}>"),
        Transport::Tcp | Transport::Tls => format!("<sip:{user}{at}{advertise};transport={transport}>"),
    }
}

/// Adds the identity headers.
pub fn add_identity(writer: Writer, addressing: &Addressing) -> Writer {
    let writer = match &addressing.identity {
        Some((header, value)) => writer.header(*header, value),
        None => writer,
    };
    if addressing.anonymous { writer.header(Header::Privacy, "id") } else { writer }
}

/// The caller's number in the trunk's form; `None`: nobody is shown.
fn shown_caller(
    numbers: &CallNumbers,
    trunk: &Trunk,
    numbering: &numbering::Settings,
) -> Result<Option<String>, CallerRefused> {
    let policy = &trunk.caller_id;
    let own = numbering.format(&numbers.caller, &numbers.caller_received, trunk.send_numbers);
    let comparable = match &numbers.caller {
        Number::E164(number) => number.as_str(),
        Number::Short(text) | Number::Emergency(text) | Number::Name(text) => text.as_str(),
    };
    let is_allowed =
        policy.allowed.is_empty() || policy.allowed.iter().any(|pattern| matches_number(pattern, comparable));
    if is_allowed && !own.is_empty() {
        return Ok(Some(own));
    }
    if is_allowed && policy.default.is_none() {
        return Ok(None);
    }
    match (policy.otherwise, &policy.default) {
        (CallerIdFallback::Default, Some(default)) => {
            let number = Number::E164(default.clone());
            Ok(Some(numbering.format(&number, default, trunk.send_numbers)))
        }
        // Without a default there is no number that may be shown.
        (CallerIdFallback::Default, None) | (CallerIdFallback::Anonymous, _) => Ok(None),
        (CallerIdFallback::Reject, _) => Err(CallerRefused),
    }
}

/// `+1555123*`, or a whole number.
fn matches_number(pattern: &str, number: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => number.starts_with(prefix),
        None => number == pattern,
    }
}

/// Escapes what may not stand in the user part of a SIP URI (RFC 3261 §25.1).
fn escape_user(user: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(byte);
    let mut escaped = String::with_capacity(user.len());
    for byte in user.as_bytes() {
        if plain(byte) {
            escaped.push(char::from(*byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_parts_are_escaped_for_the_wire() {
        assert_eq!(escape_user("+1555"), "+1555");
        assert_eq!(escape_user("agent_12#34"), "agent_12%2334");
        assert_eq!(escape_user("a@b c\r\n"), "a%40b%20c%0D%0A");
    }
}
