//! Header names, with their compact forms (RFC 3261 §7.3.3, §20, and the registry of extensions).

/// Defines [`Header`] from one table, so that a name is written once.
macro_rules! headers {
    ($( $variant:ident $name:literal $($compact:literal)? ),+ $(,)?) => {
        /// The name of a header that Drawbridge knows; every other one is `Other` and keeps its
        /// bytes in the message.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each is named as on the wire")]
        pub enum Header { $($variant,)+ Other }

        /// Every name in the order of the variants.
        const NAMES: &[&str] = &[$($name),+];
        const VARIANTS: &[Header] = &[$(Header::$variant),+];
        const COMPACT: &[(u8, Header)] = &[$($(($compact, Header::$variant),)?)+];
    };
}

headers! {
    Accept "Accept", AcceptContact "Accept-Contact" b'a', AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language", AlertInfo "Alert-Info", Allow "Allow",
    AllowEvents "Allow-Events" b'u', AuthenticationInfo "Authentication-Info",
    Authorization "Authorization", CallId "Call-ID" b'i', CallInfo "Call-Info", Contact "Contact" b'm',
    ContentDisposition "Content-Disposition", ContentEncoding "Content-Encoding" b'e',
    ContentLanguage "Content-Language", ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c', CSeq "CSeq", Date "Date", Diversion "Diversion",
    ErrorInfo "Error-Info", Event "Event" b'o', Expires "Expires", From "From" b'f',
    HistoryInfo "History-Info", Identity "Identity" b'y', InReplyTo "In-Reply-To",
    MaxForwards "Max-Forwards", MimeVersion "MIME-Version", MinExpires "Min-Expires", MinSe "Min-SE",
    Organization "Organization", PAssertedIdentity "P-Asserted-Identity", Path "Path",
    PPreferredIdentity "P-Preferred-Identity", Priority "Priority", Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate", ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require", RAck "RAck", Reason "Reason", RecordRoute "Record-Route",
    ReferTo "Refer-To" b'r', ReferredBy "Referred-By" b'b', RejectContact "Reject-Contact" b'j',
    RemotePartyId "Remote-Party-ID", Replaces "Replaces", ReplyTo "Reply-To", Require "Require",
    RequestDisposition "Request-Disposition" b'd', RetryAfter "Retry-After", Route "Route", RSeq "RSeq",
    Server "Server", SessionExpires "Session-Expires" b'x', Subject "Subject" b's',
    SubscriptionState "Subscription-State", Supported "Supported" b'k', Timestamp "Timestamp", To "To" b't',
    Unsupported "Unsupported", UserAgent "User-Agent", Via "Via" b'v', Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

/// How many headers have a name of their own; `Header::Other` is this number.
pub(super) const NAMED: usize = NAMES.len();

/// The slot of a name in [`BY_SLOT`]: by its length and three of its letters, in any case. The
/// factors were searched for so that no two names share a slot, which the table's making proves.
const fn slot_of(name: &[u8]) -> usize {
    const fn lower(byte: u8) -> usize {
        byte.to_ascii_lowercase() as usize
    }
    let length = name.len();
    (11 * length + 7 * lower(name[0]) + 20 * lower(name[length - 1]) + 7 * lower(name[length / 2])) % SLOTS
}

const SLOTS: usize = 256;

/// For each slot, the place in `NAMES` of the one name that may be meant ([`NAMED`]: none).
const BY_SLOT: [u8; SLOTS] = {
    let mut table = [NAMED as u8; SLOTS];
    let mut at = 0;
    while at < NAMED {
        let slot = slot_of(NAMES[at].as_bytes());
        assert!(table[slot] == NAMED as u8, "two names share a slot: search for other factors");
        table[slot] = at as u8;
        at += 1;
    }
    table
};

impl Header {
    /// Which header this name means, in any case and in compact form.
    pub fn from_name(name: &[u8]) -> Header {
        if let [letter] = name {
            let letter = letter.to_ascii_lowercase();
            return COMPACT
                .iter()
                .find(|(compact, _)| *compact == letter)
                .map_or(Header::Other, |(_, header)| *header);
        }
        if name.is_empty() {
            return Header::Other;
        }
        let at = usize::from(BY_SLOT[slot_of(name)]);
        match NAMES.get(at) {
            // Nearly everybody writes a name as its RFC does.
            Some(known) if known.as_bytes() == name || known.as_bytes().eq_ignore_ascii_case(name) => {
                VARIANTS[at]
            }
            _ => Header::Other,
        }
    }

    /// The long form, as we write it. `Other` has none and gives the empty string.
    pub fn as_str(self) -> &'static str {
        NAMES.get(self as usize).copied().unwrap_or("")
    }

    /// Whether RFC 3261 §7.3.1 lets it stand once only, so that a second one is a fault: which of
    /// the two would count is what attackers ask.
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Header::CallId
                | Header::ContentLength
                | Header::ContentType
                | Header::CSeq
                | Header::From
                | Header::MaxForwards
                | Header::RAck
                | Header::ReferTo
                | Header::Replaces
                | Header::RSeq
                | Header::SessionExpires
                | Header::To
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_every_form() {
        for (at, name) in NAMES.iter().enumerate() {
            for form in [(*name).to_owned(), name.to_uppercase(), name.to_lowercase()] {
                assert_eq!(Header::from_name(form.as_bytes()), VARIANTS[at], "{form}");
            }
            assert_eq!(VARIANTS[at].as_str(), *name);
        }
        for (letter, header) in COMPACT {
            assert_eq!(Header::from_name(&[*letter]), *header);
            assert_eq!(Header::from_name(&[letter.to_ascii_uppercase()]), *header);
        }
    }

    #[test]
    fn what_only_looks_like_a_name_is_another_header() {
        for name in [&b"To\x01"[..], b"", b"T o", b"X-To", b"Toto", b"q", &[b'V'; 500]] {
            assert_eq!(Header::from_name(name), Header::Other);
        }
    }
}
