//! Which headers cross from one leg to the other. **A rule about a header belongs here.**
//!
//! The default is that nothing crosses: each leg's messages are written anew, so that no Via,
//! Contact, Route, User-Agent or other word of one network is seen on the other. What crosses is
//! named here: what a body cannot be read without ([`ALWAYS`]), what the trunk's `headers` rules let
//! pass, unless it belongs to the machinery of the leg ([`is_machinery`]), and why a call ended
//! ([`safe_reason`]). Max-Forwards is counted down in `attempt.rs`.

use std::borrow::Cow;

use super::call::Leg;
use crate::routing::{HeaderRules, Trunk};
use crate::sip::{Header, HeaderField, Message, Method, Status, Writer};

/// Headers that cross with a body that crosses as it is, for without them it could not be read.
const ALWAYS: &[&str] = &[
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Event",
    "Info-Package",
    "MIME-Version",
    "Subscription-State",
];

/// The longest value of one of those.
const MAX_ALWAYS_BYTES: usize = 256;

/// Headers that name the caller beside those that are of our own writing. None crosses with a call
/// whose caller is not shown (RFC 3323 §4.1.2, §5.1), whatever the rules say; the PASSporT of Identity
/// holds the number in clear (RFC 8224 §5).
const NAME_THE_CALLER: &[&str] =
    &["Call-Info", "Identity", "In-Reply-To", "Organization", "Referred-By", "Reply-To", "Subject"];

/// Headers that name a dialog by its Call-ID and tags (RFC 3911, RFC 4538): it is another one on the
/// other side, so none crosses whatever the rules say.
const NAME_A_DIALOG: &[&str] = &["Join", "Target-Dialog"];

/// The rules for a call whose caller is hidden or not.
pub fn rules_for(rules: &HeaderRules, is_hidden: bool) -> Cow<'_, HeaderRules> {
    if !is_hidden || rules.pass.is_empty() {
        return Cow::Borrowed(rules);
    }
    let mut rules = rules.clone();
    rules.drop.extend(NAME_THE_CALLER.iter().map(|name| (*name).to_owned()));
    Cow::Owned(rules)
}

/// The same within a dialog, towards a leg of this trunk.
pub fn rules_towards<'r>(leg: &Leg, trunk: Option<&'r Trunk>) -> Cow<'r, HeaderRules> {
    trunk.map_or_else(Cow::default, |trunk| rules_for(&trunk.headers, leg.hides_other))
}

/// Where who calls for help is, or where that can be asked (RFC 6442 §4).
const LOCATION: &[&str] = &["Geolocation", "Geolocation-Routing"];

/// The longest value of one of those.
const MAX_LOCATION_BYTES: usize = 1_024;

/// The most of them in a message.
const MAX_LOCATIONS: usize = 8;

/// Adds where the caller of an emergency number is, whatever the rules say, unless they let it cross or
/// set it themselves.
pub fn add_location(writer: Writer, from: &Message, rules: &HeaderRules) -> Writer {
    let is_set = |name: &[u8]| rules.set.iter().any(|(set, _)| set.as_bytes().eq_ignore_ascii_case(name));
    let is_location = |name: &[u8]| LOCATION.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(name));
    let is_missing = |field: &HeaderField<'_>| {
        is_location(field.name) && !is_set(field.name) && !crosses(field.header, field.name, rules)
    };
    let missing = from.fields().filter(is_missing).filter(|field| field.value.len() <= MAX_LOCATION_BYTES);
    missing.take(MAX_LOCATIONS).fold(writer, |writer, field| writer.field(field.name, field.value))
}

/// Adds what crosses from `from` to a trunk with these rules: values byte for byte, in order.
///
/// Called for the INVITE of leg B (`attempt.rs`), for requests within a dialog (`in_dialog.rs`) and
/// for responses (`acks.rs`); the rules are always those of the trunk that it goes *to*.
pub fn add_crossing(mut writer: Writer, from: &Message, rules: &HeaderRules) -> Writer {
    let has_own_body = !from.body().is_empty() && !from.has_sdp();
    let describes_body = has_own_body || matches!(from.method(), Some(Method::Info | Method::Notify));
    for field in from.fields() {
        let is_set =
            rules.set.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(full_name(&field)));
        let belongs_to_body =
            describes_body && is_always(full_name(&field)) && field.value.len() <= MAX_ALWAYS_BYTES;
        if !is_set && (belongs_to_body || crosses(field.header, full_name(&field), rules)) {
            writer = writer.field(full_name(&field), safe_value(&field));
        }
    }
    for (name, value) in &rules.set {
        writer = writer.field(name.as_bytes(), value.as_bytes());
    }
    writer
}

/// The most values of Reason that cross; gateways send two, one a protocol.
const MAX_REASONS: usize = 4;

/// Why a request or a response ends a call (RFC 3326), as far as it is a protocol's cause code
/// (`SIP;cause=…`, `Q.850;cause=…`): free text could name the other network.
pub fn safe_reason(from: &Message) -> Option<Vec<u8>> {
    let safe: Vec<Vec<u8>> =
        from.list(Header::Reason).filter_map(safe_reason_value).take(MAX_REASONS).collect();
    (!safe.is_empty()).then(|| safe.join(&b", "[..]))
}

fn safe_reason_value(value: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let protocol = crate::sip::trim(&value[..end]);
    let cause = crate::sip::Params(&value[end..]).value("cause")?;
    let known = protocol.eq_ignore_ascii_case(b"Q.850") || protocol.eq_ignore_ascii_case(b"SIP");
    let is_code = !cause.is_empty() && cause.len() <= 3 && cause.iter().all(u8::is_ascii_digit);
    (known && is_code).then(|| [protocol, b";cause=", cause].concat())
}

/// A value as it may cross. The parameters of an Event name the sender's dialog (RFC 4235 §4.1: `call-id`,
/// tags); those of digits tell how long they were pressed.
fn safe_value<'f>(field: &HeaderField<'f>) -> &'f [u8] {
    let end = memchr::memchr(b';', field.value).unwrap_or(field.value.len());
    let package = field.value[..end].trim_ascii();
    let is_plain = !full_name(field).eq_ignore_ascii_case(b"Event");
    if is_plain || package.eq_ignore_ascii_case(b"telephone-event") { field.value } else { package }
}

/// A code of the other side's that means nothing without a header which is that side's own (405 Allow,
/// 420 Unsupported, 421 Require, 423 Min-Expires, 469 Recv-Info, 489 Allow-Events, 494 Security-Server),
/// as what is left of it: it did not work, and not for anything that this side could mend.
pub fn without_its_header(status: Status) -> Status {
    if matches!(status.code(), 405 | 420 | 421 | 423 | 469 | 489 | 494) { Status::of(500) } else { status }
}

/// The name that rules are written with: of a compact form (`y`) the long one (`Identity`).
fn full_name<'f>(field: &HeaderField<'f>) -> &'f [u8] {
    if field.name.len() == 1 && field.header != Header::Other {
        field.header.as_str().as_bytes()
    } else {
        field.name
    }
}

fn is_always(name: &[u8]) -> bool {
    ALWAYS.iter().any(|always| always.as_bytes().eq_ignore_ascii_case(name))
}

fn crosses(header: Header, name: &[u8], rules: &HeaderRules) -> bool {
    let matches = |patterns: &[String]| patterns.iter().any(|pattern| glob_matches(pattern, name));
    let names_a_dialog = NAME_A_DIALOG.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
    !is_machinery(header) && !names_a_dialog && matches(&rules.pass) && !matches(&rules.drop)
}

/// Headers that each leg has of its own: no `pass` rule, not even `*`, lets them cross.
pub const fn is_machinery(header: Header) -> bool {
    matches!(
        header,
        Header::Accept
            | Header::Allow
            | Header::AllowEvents
            | Header::AuthenticationInfo
            | Header::Authorization
            | Header::CallId
            | Header::Contact
            | Header::ContentEncoding
            | Header::ContentLength
            | Header::ContentType
            | Header::CSeq
            | Header::Diversion
            | Header::Expires
            | Header::From
            | Header::HistoryInfo
            | Header::InReplyTo
            | Header::MaxForwards
            | Header::MinExpires
            | Header::MinSe
            | Header::Path
            | Header::PAssertedIdentity
            | Header::PPreferredIdentity
            | Header::Privacy
            | Header::ProxyAuthenticate
            | Header::ProxyAuthorization
            | Header::ProxyRequire
            | Header::RAck
            | Header::RecordRoute
            | Header::ReferTo
            | Header::RemotePartyId
            | Header::Replaces
            | Header::Require
            | Header::RSeq
            | Header::Route
            | Header::Server
            | Header::SessionExpires
            | Header::Supported
            | Header::Timestamp
            | Header::To
            | Header::Unsupported
            | Header::UserAgent
            | Header::Via
            | Header::Warning
            | Header::WwwAuthenticate
    )
}

/// Whether `headers.set` may write this header: not what a leg has of its own, but for what it says of
/// us and of the caller, which an operator may have to say as one provider wants it.
pub fn may_set_header(name: &str) -> bool {
    let header = Header::from_name(name.as_bytes());
    let is_said_by_operators = matches!(
        header,
        Header::Diversion
            | Header::HistoryInfo
            | Header::PAssertedIdentity
            | Header::PPreferredIdentity
            | Header::Privacy
            | Header::RemotePartyId
            | Header::Server
            | Header::UserAgent
    );
    !is_machinery(header) || is_said_by_operators
}

/// Whether a name matches a pattern in which `*` stands for anything; case does not matter.
pub(super) fn glob_matches(pattern: &str, name: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let (mut at, mut star, mut retry) = (0, None, 0);
    let mut read = 0;
    while read < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some(at);
            retry = read;
            at += 1;
        } else if pattern.get(at).is_some_and(|byte| byte.eq_ignore_ascii_case(&name[read])) {
            at += 1;
            read += 1;
        } else if let Some(star) = star {
            at = star + 1;
            retry += 1;
            read = retry;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(rules: &HeaderRules) -> Vec<String> {
        let from = Writer::request(&Method::Invite, b"sip:a@b")
            .header(Header::Via, "SIP/2.0/UDP h;branch=z9hG4bK1")
            .header(Header::UserAgent, "Secret PBX")
            .field(b"X-Agent-Context", b"{\"user_id\": \"12345\",  \"x\":1}")
            .field(b"x-nexmo-id", b"1")
            .field(b"P-Odd", b"2")
            .header(Header::Reason, "Q.850;cause=16;text=\"10.0.0.1\"")
            .finish()
            .unwrap();
        let to = add_crossing(Writer::request(&Method::Invite, b"sip:c@d"), &from, rules).finish().unwrap();
        to.fields()
            .filter(|field| field.header != Header::ContentLength)
            .map(|field| {
                format!("{}: {}", String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value))
            })
            .collect()
    }

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn nothing_crosses_unless_a_rule_says_so() {
        assert!(crossing(&HeaderRules::default()).is_empty());
    }

    #[test]
    fn values_cross_byte_for_byte_and_drop_wins_over_pass() {
        let rules = HeaderRules { pass: list(&["X-*"]), drop: list(&["X-Nexmo*"]), set: vec![] };
        assert_eq!(crossing(&rules), ["X-Agent-Context: {\"user_id\": \"12345\",  \"x\":1}"]);
    }

    #[test]
    fn a_set_header_replaces_the_one_that_came() {
        let rules = HeaderRules {
            pass: list(&["p-odd", "X-Site"]),
            drop: vec![],
            set: vec![("P-Odd".to_owned(), "9".to_owned())],
        };
        assert_eq!(crossing(&rules), ["P-Odd: 9"]);
    }

    #[test]
    fn the_machinery_of_a_leg_never_crosses() {
        let rules = HeaderRules { pass: list(&["*"]), ..HeaderRules::default() };
        let all = crossing(&rules);
        assert!(
            all.iter().all(|line| !line.starts_with("Via") && !line.starts_with("User-Agent")),
            "{all:?}"
        );
        assert!(all.contains(&"P-Odd: 2".to_owned()));
    }

    #[test]
    fn every_reason_crosses_without_its_text() {
        let message = Writer::request(&Method::Bye, b"sip:a@b")
            .header(Header::Reason, "Q.850;cause=16;text=\"10.0.0.1\"")
            .finish()
            .unwrap();
        assert_eq!(safe_reason(&message), Some(b"Q.850;cause=16".to_vec()));
        let several = Writer::request(&Method::Bye, b"sip:a@b")
            .header(Header::Reason, "X;cause=1, SIP;cause=200;text=\"a, b\"")
            .header(Header::Reason, "Q.850 ;cause=16;location=LN, Q.850;text=\"10.0.0.1\"")
            .finish()
            .unwrap();
        assert_eq!(safe_reason(&several), Some(b"SIP;cause=200, Q.850;cause=16".to_vec()));
        let odd =
            Writer::request(&Method::Bye, b"sip:a@b").header(Header::Reason, "X;cause=16").finish().unwrap();
        assert_eq!(safe_reason(&odd), None);
    }

    #[test]
    fn globs() {
        for (pattern, name, expected) in [
            ("X-*", "x-a", true),
            ("X-*", "X-", true),
            ("X-*", "Y-X-", false),
            ("*-Id", "X-Call-Id", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("exact", "Exact", true),
            ("exact", "exactly", false),
            ("", "", true),
        ] {
            assert_eq!(glob_matches(pattern, name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
