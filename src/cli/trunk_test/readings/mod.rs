//! From what came to what it means: one file a step. Pure functions, so that each sentence has a test.

pub(super) mod address;
pub(super) mod authentication;
pub(super) mod connect;
pub(super) mod options;
pub(super) mod tls;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use super::place::Origin;
use crate::cli::style::is_obeyed;
use crate::sip::{Header, Message, Status};

/// No header of a peer is shown longer, in characters.
const MAX_SHOWN: usize = 80;

/// A header's first value, as it may be shown.
fn header_text(message: &Message, header: Header) -> Option<String> {
    message.header(header).map(|value| clean(&String::from_utf8_lossy(value)))
}

/// `404 Not Found`, with the peer's own phrase.
fn status_text(message: &Message) -> String {
    let code = message.status().map_or(0, Status::code);
    let phrase = clean(&String::from_utf8_lossy(message.reason()));
    format!("{code} {phrase}").trim_end().to_owned()
}

/// What a stranger wrote: no longer than a line, and nothing that moves a terminal's cursor.
fn clean(text: &str) -> String {
    let plain: String = text.chars().filter(|letter| !is_obeyed(*letter)).collect();
    match plain.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

/// The address that the peer saw our request come from (RFC 3261 §18.2.1, RFC 3581 §4).
fn seen_address(message: &Message) -> (Option<IpAddr>, Option<u16>) {
    let Some(via) = message.top_via() else { return (None, None) };
    let text = |name| via.params.value(name).and_then(|value| std::str::from_utf8(value).ok());
    let received = text("received").map(|text| text.trim_start_matches('[').trim_end_matches(']'));
    (received.and_then(|text| text.parse().ok()), text("rport").and_then(|text| text.parse().ok()))
}

/// How to name our address to a provider: what it saw, else what we know.
fn our_address(message: Option<&Message>, origin: &Origin, local: SocketAddr) -> String {
    let seen = message.and_then(|message| seen_address(message).0);
    let advertised = match &origin.advertise.host {
        crate::routing::Host::Address(address) if !origin.is_elsewhere => *address,
        _ => local.ip(),
    };
    seen.unwrap_or(advertised).to_string()
}
