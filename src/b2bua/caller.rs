//! Who calls, by what an INVITE says of it and how far its sender is believed: From,
//! P-Asserted-Identity and P-Preferred-Identity (RFC 3325), Remote-Party-ID (its expired draft, which
//! many still send), and Privacy (RFC 3323).
//!
//! How it is told to a trunk is `addressing.rs`'s business. Must not know: trunks, numbers' forms.

use bytes::Bytes;

use super::call::CallNumbers;
use super::diversion;
use super::party::Party;
use crate::numbering::{self, Number};
use crate::sip::{Header, Message, NameAddr, Scheme, Uri, trim, written_display};

/// The most values of an identity header that are looked at; RFC 3325 §9.1 allows two.
const MAX_IDENTITIES: usize = 4;

/// The most words of Privacy that are looked at; the registry has seven.
const MAX_PRIVACY_WORDS: usize = 16;

/// What the caller asks about being shown (RFC 3323 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Privacy {
    /// Nothing.
    #[default]
    Unsaid,
    /// `none`: it is to be shown, whatever else would hide it.
    Declined,
    /// It is not to be shown, neither its name nor its number.
    Hidden {
        /// Rather no call than one without this privacy.
        critical: bool,
    },
}

/// A caller as its INVITE describes it.
#[derive(Debug)]
struct Caller {
    party: Party,
    display: Option<Bytes>,
    privacy: Privacy,
}

impl CallNumbers {
    /// Finds out who calls, and who diverted the call. `is_believed`: the sender is in our trust
    /// domain (RFC 3325 §2.3), so that its identity headers count; of everybody else only From does.
    pub(super) fn learn_caller(
        &mut self,
        invite: &Message,
        is_believed: bool,
        numbering: &numbering::Settings,
    ) {
        let Caller { party, display, privacy } = Caller::of(invite, is_believed);
        // A caller id that is no number is shown as it came, if the trunk's policy lets it.
        self.caller = party.normalise(numbering).unwrap_or_else(|_| Number::Name(party.user.clone()));
        self.caller_received = party.user;
        self.caller_display = display;
        self.caller_is_asserted = is_believed;
        self.privacy = privacy;
        self.diversions = if is_believed { diversion::read(invite, numbering) } else { Default::default() };
    }
}

impl Caller {
    fn of(invite: &Message, is_believed: bool) -> Caller {
        let from = invite.from();
        let uri = from.and_then(|from| from.uri().ok());
        let is_anonymous = uri.as_ref().is_some_and(is_anonymous);
        let asserted = if is_believed { asserted(invite) } else { None };
        let from_display = from.and_then(|from| from.display).filter(|_| !is_anonymous);
        let privacy = privacy(invite, is_anonymous);
        match asserted {
            Some((party, display)) => {
                let display = display.or(from_display).filter(|_| !asks_to_hide_the_name(invite));
                Caller { party, display: display.map(written), privacy }
            }
            None => {
                let party = uri.filter(|_| !is_anonymous).map(|uri| Party::of(&uri)).unwrap_or_default();
                Caller { party, display: from_display.map(written), privacy }
            }
        }
    }
}

fn written(display: &[u8]) -> Bytes {
    Bytes::from(written_display(display).into_owned())
}

/// The caller by the identity headers, the most trusted first: asserted by the network, then
/// preferred by the user agent, then Remote-Party-ID.
fn asserted(invite: &Message) -> Option<(Party, Option<&[u8]>)> {
    let named = |header| {
        let values = invite.list(header).take(MAX_IDENTITIES).filter_map(NameAddr::parse);
        values.filter_map(|value| Some((value, usable(value)?)))
    };
    let plain = named(Header::PAssertedIdentity).chain(named(Header::PPreferredIdentity));
    // `screen=no`: the sender says itself that nobody has verified it.
    let screened = named(Header::RemotePartyId).filter(|(value, _)| {
        is_of_the_caller(value)
            && !value.params.value("screen").is_some_and(|screen| screen.eq_ignore_ascii_case(b"no"))
    });
    plain.chain(screened).next().map(|(value, party)| (party, value.display))
}

/// The user that a value names, if it names one.
fn usable(value: NameAddr<'_>) -> Option<Party> {
    let uri = value.uri().ok().filter(|uri| uri.scheme != Scheme::Other && !is_anonymous(uri))?;
    Some(Party::of(&uri)).filter(|party| !party.user.is_empty())
}

/// A Remote-Party-ID may be about the called party as well.
fn is_of_the_caller(value: &NameAddr<'_>) -> bool {
    value.params.value("party").is_none_or(|party| party.eq_ignore_ascii_case(b"calling"))
}

/// Whether nobody is named (RFC 3323 §4.1.1.3): `anonymous@anonymous.invalid`, and what is common
/// beside it, that user at any host.
pub(super) fn is_anonymous(uri: &Uri<'_>) -> bool {
    uri.host.eq_ignore_ascii_case(b"anonymous.invalid")
        || uri.user.is_some_and(|user| user.eq_ignore_ascii_case(b"anonymous"))
}

/// The words of Privacy, over all its lines.
pub(super) fn privacy_words(invite: &Message) -> impl Iterator<Item = &[u8]> {
    let values = invite.list(Header::Privacy).flat_map(|value| value.split(|byte| *byte == b';'));
    values.map(trim).filter(|word| !word.is_empty()).take(MAX_PRIVACY_WORDS)
}

/// What is asked, in any of the forms. A wish to be hidden is honoured whoever passes it on: what
/// an untrusted peer says may take from the caller's name, but not add to it.
fn privacy(invite: &Message, is_anonymous: bool) -> Privacy {
    let asks_for = |words: &[&str]| {
        privacy_words(invite).any(|word| words.iter().any(|kind| word.eq_ignore_ascii_case(kind.as_bytes())))
    };
    if asks_for(&["id", "user", "header"]) {
        return Privacy::Hidden { critical: asks_for(&["critical"]) };
    }
    if asks_for(&["none"]) {
        return Privacy::Declined;
    }
    let hides = |value: NameAddr<'_>| is_of_the_caller(&value) && remote_party_asks(&value, &["full", "uri"]);
    let is_hidden = is_anonymous || remote_parties(invite).any(hides);
    if is_hidden { Privacy::Hidden { critical: false } } else { Privacy::Unsaid }
}

/// `Remote-Party-ID: …;privacy=name`.
fn asks_to_hide_the_name(invite: &Message) -> bool {
    remote_parties(invite).any(|value| is_of_the_caller(&value) && remote_party_asks(&value, &["name"]))
}

fn remote_parties(invite: &Message) -> impl Iterator<Item = NameAddr<'_>> {
    invite.list(Header::RemotePartyId).take(MAX_IDENTITIES).filter_map(NameAddr::parse)
}

/// `privacy=full`, `privacy="full-network;uri"`: one word or several, each with who asks behind it.
fn remote_party_asks(value: &NameAddr<'_>, kinds: &[&str]) -> bool {
    let asked = value.params.value("privacy").unwrap_or(b"");
    let words = asked.split(|byte| matches!(byte, b'"' | b';' | b',' | b' '));
    let stem = |word| <[u8]>::split(word, |byte| *byte == b'-').next().unwrap_or(b"");
    words.map(stem).any(|word| kinds.iter().any(|kind| word.eq_ignore_ascii_case(kind.as_bytes())))
}

/// Whether a privacy is asked for that we do not know, and rather no call than one without it.
/// RFC 3323 §5 then wants 500. The known ones are met by what we are: user agents of our own on each
/// side, and media through our own relay.
pub(super) fn asks_for_unknown_privacy(invite: &Message) -> bool {
    const KNOWN: [&str; 7] = ["critical", "header", "history", "id", "none", "session", "user"];
    let is_known = |word: &[u8]| KNOWN.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    privacy_words(invite).any(|word| word.eq_ignore_ascii_case(b"critical"))
        && privacy_words(invite).any(|word| !is_known(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Method, Writer};

    fn caller(is_believed: bool, headers: &[(Header, &str)]) -> (String, Option<String>, Privacy) {
        let writer = Writer::request(&Method::Invite, b"sip:a@b");
        let writer = headers.iter().fold(writer, |writer, (header, value)| writer.header(*header, value));
        let caller = Caller::of(&writer.finish().unwrap(), is_believed);
        let display = caller.display.map(|display| String::from_utf8_lossy(&display).into_owned());
        (caller.party.user, display, caller.privacy)
    }

    const FROM: (Header, &str) = (Header::From, "\"Al\" <sip:+15550001@h>;tag=1");
    const NOBODY: (Header, &str) = (Header::From, "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1");
    const HIDDEN: Privacy = Privacy::Hidden { critical: false };

    fn shown(user: &str, display: Option<&str>, privacy: Privacy) -> (String, Option<String>, Privacy) {
        (user.to_owned(), display.map(str::to_owned), privacy)
    }

    #[test]
    fn the_header_that_is_trusted_most_counts() {
        let pai = (Header::PAssertedIdentity, "<http://x>, \"Bo\" <sip:+15550002@h>, <tel:+15550003>");
        let ppi = (Header::PPreferredIdentity, "tel:+15550004");
        let rpid = (Header::RemotePartyId, "<sip:+15550005@h>;party=calling;screen=yes");
        let al = Some("\"Al\"");
        assert_eq!(
            caller(true, &[FROM, rpid, ppi, pai]),
            shown("+15550002", Some("\"Bo\""), Privacy::Unsaid)
        );
        assert_eq!(caller(true, &[FROM, rpid, ppi]), shown("+15550004", al, Privacy::Unsaid));
        assert_eq!(caller(true, &[FROM, rpid]), shown("+15550005", al, Privacy::Unsaid));
        assert_eq!(caller(false, &[FROM, rpid, ppi, pai]), shown("+15550001", al, Privacy::Unsaid));
        for odd in ["<sip:+15550005@h>;screen=no", "<sip:+15550005@h>;party=called", "<sip:h>", "junk<"] {
            let found = caller(true, &[FROM, (Header::RemotePartyId, odd)]);
            assert_eq!(found, shown("+15550001", al, Privacy::Unsaid), "{odd}");
        }
    }

    #[test]
    fn a_wish_to_be_hidden_has_many_forms() {
        let full = (Header::RemotePartyId, "\"Bo\" <sip:+15550005@h>;privacy=full;screen=yes");
        let quoted = (Header::RemotePartyId, "<sip:+15550005@h>;privacy=\"full-network;name\"");
        let name = (Header::RemotePartyId, "\"Bo\" <sip:+15550005@h>;privacy=name");
        let off = (Header::RemotePartyId, "<sip:+15550005@h>;privacy=off");
        assert_eq!(caller(true, &[FROM, full]), shown("+15550005", Some("\"Bo\""), HIDDEN));
        assert_eq!(caller(true, &[FROM, quoted]).2, HIDDEN);
        assert_eq!(caller(true, &[FROM, name]), shown("+15550005", None, Privacy::Unsaid));
        assert_eq!(caller(true, &[FROM, off]).2, Privacy::Unsaid);
        assert_eq!(caller(false, &[FROM, full]), shown("+15550001", Some("\"Al\""), HIDDEN));
        assert_eq!(caller(true, &[NOBODY]), shown("", None, HIDDEN));
        for (words, privacy) in [
            ("id", HIDDEN),
            ("user;CRITICAL", Privacy::Hidden { critical: true }),
            ("header", HIDDEN),
            ("none", Privacy::Declined),
            ("none;id", HIDDEN),
            ("session", Privacy::Unsaid),
        ] {
            assert_eq!(caller(false, &[FROM, (Header::Privacy, words)]).2, privacy, "{words}");
        }
        assert_eq!(caller(true, &[NOBODY, (Header::Privacy, "none")]), shown("", None, Privacy::Declined));
    }
}
