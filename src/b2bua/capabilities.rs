//! What we take and what a peer says that it takes: methods (Allow) and option tags (Supported,
//! Require; RFC 3261 §19.2, §20.5, §20.37). Each leg has a peer of its own; nothing of this crosses.

use crate::routing::{Refer, Trunk};
use crate::sip::{Header, Message, Method, Writer};

/// The methods that we take, within dialogs and outside of them.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE, MESSAGE, NOTIFY";

/// The option tags that we understand in a Require.
pub const SUPPORTED: &[&str] = &[RELIABLE, "timer"];

/// Reliable provisional responses (RFC 3262).
pub const RELIABLE: &str = "100rel";

/// What we understand as well, and say to trunks that may transfer calls (RFC 3891).
const REPLACES: &str = "replaces";

/// The most option tags of Require that a 420 names.
const MAX_REQUIRED: usize = 16;

/// What one peer said of itself in its last message that says such things.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Capabilities {
    /// Allow names UPDATE (RFC 3311).
    pub update: bool,
    /// Supported or Require names `100rel` (RFC 3262).
    pub reliable_provisionals: bool,
    /// Supported or Require names `timer` (RFC 4028).
    pub session_timer: bool,
    /// Supported or Require names `replaces` (RFC 3891).
    pub replaces: bool,
}

impl Capabilities {
    /// Takes what a message says. A message without Allow says nothing of methods, one without
    /// Supported and Require nothing of options.
    pub fn learn(&mut self, message: &Message) {
        if message.header(Header::Allow).is_some() {
            self.update = message.lists_token(Header::Allow, Method::Update.label());
        }
        if message.header(Header::Supported).is_some() || message.header(Header::Require).is_some() {
            self.reliable_provisionals = takes(message, RELIABLE);
            self.session_timer = takes(message, "timer");
            self.replaces = takes(message, "replaces");
        }
    }
}

/// The options of Require and Proxy-Require that we do not understand (RFC 3261 §8.2.2.3), as the
/// value of Unsupported; `None`: there are none.
pub fn unsupported(request: &Message) -> Option<Vec<u8>> {
    let known = || SUPPORTED.iter().chain([&REPLACES]);
    let is_known = |tag: &&[u8]| known().any(|known| tag.eq_ignore_ascii_case(known.as_bytes()));
    let required = request.list(Header::Require).filter(|tag| !is_known(tag));
    // Proxy-Require asks a proxy, and all that we can do for its sender is what Privacy asks for (RFC 3323
    // §4.3): phones that call anonymously ask for it so.
    let asked = request.list(Header::ProxyRequire).filter(|tag| !tag.eq_ignore_ascii_case(b"privacy"));
    let unknown: Vec<&[u8]> = required.chain(asked).take(MAX_REQUIRED).collect();
    (!unknown.is_empty()).then(|| unknown.join(&b", "[..]))
}

/// Whether the sender of an INVITE takes the SDP of its answer (RFC 3261 §20.1: without Accept it
/// does; an empty one is what some devices write who mean that).
pub fn accepts_sdp(request: &Message) -> bool {
    let names_sdp = |range: &[u8]| {
        let end = memchr::memchr(b';', range).unwrap_or(range.len());
        let range = crate::sip::trim(&range[..end]);
        [&b"application/sdp"[..], b"application/*", b"*/*"].iter().any(|sdp| range.eq_ignore_ascii_case(sdp))
    };
    let mut ranges = request.list(Header::Accept).peekable();
    ranges.peek().is_none() || ranges.any(names_sdp)
}

/// Says what we take: Allow and Supported.
pub fn add(writer: Writer) -> Writer {
    add_towards(writer, None, None)
}

/// Says what the 200 to OPTIONS says of us (RFC 3261 §11.2): methods, options, bodies, codings, and the
/// language of our phrases.
pub fn add_to_options(writer: Writer) -> Writer {
    add_bodies(add(writer))
}

/// Of that all but methods and options.
pub fn add_bodies(writer: Writer) -> Writer {
    writer
        .header(Header::Accept, "application/sdp")
        .header(Header::AcceptEncoding, "identity")
        .header(Header::AcceptLanguage, "en")
}

/// Says what we take from a peer, but for an option that is withheld from it. REFER and
/// Replaces are taken only from a trunk that may transfer calls: a PBX that reads them there leaves
/// its own way of doing it.
pub fn add_towards(writer: Writer, trunk: Option<&Trunk>, withheld: Option<&str>) -> Writer {
    let transfers = trunk.is_some_and(|trunk| trunk.refer != Refer::Reject);
    let allowed = if transfers { format!("{ALLOW}, REFER") } else { ALLOW.to_owned() };
    let known = SUPPORTED.iter().copied().chain(transfers.then_some(REPLACES));
    let offered: Vec<&str> = known.filter(|tag| Some(*tag) != withheld).collect();
    let writer = writer.header(Header::Allow, allowed);
    if offered.is_empty() { writer } else { writer.header(Header::Supported, offered.join(", ")) }
}

/// Whether the sender of a message understands an option.
pub fn takes(message: &Message, option: &str) -> bool {
    message.lists_token(Header::Supported, option) || message.lists_token(Header::Require, option)
}

/// Says what we take to the sender of a method that we do not take here: some of what we take is taken
/// within dialogs alone, and a 405 must not name what it refuses (RFC 3261 §8.2.1).
pub fn add_refusing(writer: Writer, refused: Option<&Method>) -> Writer {
    let is_taken = |name: &&str| refused.is_none_or(|refused| refused.as_bytes() != name.as_bytes());
    let taken: Vec<&str> = ALLOW.split(", ").filter(is_taken).collect();
    writer.header(Header::Allow, taken.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(extra: &[(Header, &str)]) -> Message {
        let writer = Writer::request(&Method::Invite, b"sip:a@b");
        extra.iter().fold(writer, |writer, (header, value)| writer.header(*header, value)).finish().unwrap()
    }

    #[test]
    fn what_a_message_does_not_speak_of_stays_as_it_was() {
        let mut peer = Capabilities::default();
        peer.learn(&message(&[(Header::Allow, "INVITE, UPDATE"), (Header::Supported, "timer, 100rel")]));
        assert!(peer.update && peer.session_timer && peer.reliable_provisionals && !peer.replaces);
        peer.learn(&message(&[]));
        assert!(peer.update && peer.session_timer);
        peer.learn(&message(&[(Header::Allow, "INVITE"), (Header::Require, "replaces")]));
        assert!(!peer.update && !peer.session_timer && peer.replaces);
    }

    #[test]
    fn whoever_cannot_read_sdp_is_known() {
        let accepts = |value| accepts_sdp(&message(&[(Header::Accept, value)]));
        assert!(accepts_sdp(&message(&[])) && accepts(""));
        assert!(accepts("text/plain, Application/SDP;level=1") && accepts("application/*") && accepts("*/*"));
        assert!(!accepts("text/plain, application/sdp2"));
    }

    #[test]
    fn what_we_take_is_said_but_for_what_is_withheld() {
        let said = |add: &dyn Fn(Writer) -> Writer| {
            let message = add(Writer::request(&Method::Invite, b"sip:a@b")).finish().unwrap();
            (message.lists_token(Header::Allow, "PRACK"), takes(&message, RELIABLE))
        };
        assert_eq!(said(&add), (true, true));
        assert_eq!(said(&|writer| add_towards(writer, None, Some(RELIABLE))), (true, false));
    }

    #[test]
    fn no_method_is_named_twice() {
        let mut trunk = crate::b2bua::tests::lab::settings().routing.trunks.remove(0);
        trunk.refer = Refer::Relay;
        let writer = add_towards(Writer::request(&Method::Invite, b"sip:a@b"), Some(&trunk), None);
        let message = writer.finish().unwrap();
        let mut named: Vec<&[u8]> = message.list(Header::Allow).collect();
        assert!(named.contains(&&b"REFER"[..]) && named.contains(&&b"NOTIFY"[..]));
        named.sort_unstable();
        assert!(named.windows(2).all(|pair| pair[0] != pair[1]), "{named:?}");
    }

    #[test]
    fn options_that_nobody_here_knows_are_named() {
        assert_eq!(unsupported(&message(&[])), None);
        let odd = message(&[(Header::Require, "x-odd, y"), (Header::ProxyRequire, "z")]);
        assert_eq!(unsupported(&odd), Some(b"x-odd, y, z".to_vec()));
    }
}
