//! Who calls whom, as it is told to a trunk: Request-URI, From, To, Contact and the identity
//! headers, with the trunk's number form and caller-id policy. What the INVITE said of it is read in
//! `caller.rs` and `diversion.rs`.

use super::call::CallNumbers;
use super::caller::Privacy;
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
    /// The value of Privacy, if there is anything to say.
    pub privacy: Option<&'static str>,
    /// Diversion or History-Info, if the trunk wants them.
    pub diversions: Vec<(Header, String)>,
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
    let domain = trunk.uri_domain();
    let host = trunk.uri_host_of(target);
    let called = match (&numbers.called, &numbers.called_written) {
        (Number::Name(_), Some(written)) => written.clone(),
        _ => escape_user(&trunk.called_number(numbering, &numbers.called, &numbers.called_dialled)),
    };
    let request_uri = format!("sip:{called}@{host}");
    let to = format!("<sip:{called}@{domain}>");
    let shown = shown_caller(numbers, trunk, numbering)?;
    let uri = shown.as_ref().map(|shown| format!("<sip:{}@{domain}>", escape_user(&shown.number)));
    let identity = match (&shown, &uri) {
        (Some(shown), Some(uri)) => identity_header(numbers, trunk, shown, uri),
        _ => None,
    };
    let diversions = numbers.diversions.lines(trunk, numbering, &domain, &request_uri);
    let named = shown.zip(uri).filter(|_| !is_hidden(numbers));
    let anonymous = named.is_none();
    let (from, contact_user) = named.map_or_else(
        || (ANONYMOUS.to_vec(), "anonymous".to_owned()),
        |(shown, uri)| (from_of(numbers, &shown, uri), shown.number),
    );
    let privacy = privacy(numbers.privacy, anonymous);
    Ok(Addressing { request_uri, from, to, contact_user, identity, anonymous, privacy, diversions })
}

/// Whether the caller is not to be shown. Who calls for help is: somebody may have to call back, and
/// Privacy goes with it for a network that knows better.
pub(super) fn is_hidden(numbers: &CallNumbers) -> bool {
    matches!(numbers.privacy, Privacy::Hidden { .. }) && !numbers.called.is_emergency()
}

fn from_of(numbers: &CallNumbers, shown: &Shown, uri: String) -> Vec<u8> {
    match numbers.caller_display.as_ref().filter(|_| shown.is_own) {
        Some(display) => [display, &b" "[..], uri.as_bytes()].concat(),
        None => uri.into_bytes(),
    }
}

/// From of a caller who is not shown (RFC 3323 §4.1.1.3).
const ANONYMOUS: &[u8] = b"\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// What the trunk is asked to go on with. The caller's wish to be shown is passed on too, so that
/// nobody behind the trunk hides it by habit (RFC 3323 §4.2).
fn privacy(asked: Privacy, anonymous: bool) -> Option<&'static str> {
    match asked {
        Privacy::Hidden { critical: true } => Some("id;critical"),
        Privacy::Hidden { critical: false } => Some("id"),
        Privacy::Unsaid | Privacy::Declined if anonymous => Some("id"),
        Privacy::Declined => Some("none"),
        Privacy::Unsaid => None,
    }
}

/// The header that names the caller to a trunk, beside From. Of a caller who asks not to be shown there
/// is none outside the trust domain (RFC 3325 §7).
fn identity_header(
    numbers: &CallNumbers,
    trunk: &Trunk,
    shown: &Shown,
    uri: &str,
) -> Option<(Header, String)> {
    let is_hidden = is_hidden(numbers);
    if is_hidden && !trunk.trust_identity {
        return None;
    }
    match trunk.identity {
        Identity::From => None,
        Identity::Pai => Some((Header::PAssertedIdentity, uri.to_owned())),
        Identity::Ppi => Some((Header::PPreferredIdentity, uri.to_owned())),
        Identity::Rpid => {
            let privacy = if is_hidden { "full" } else { "off" };
            let screen = if numbers.caller_is_asserted || !shown.is_own { "yes" } else { "no" };
            Some((Header::RemotePartyId, format!("{uri};party=calling;privacy={privacy};screen={screen}")))
        }
    }
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

/// Adds the identity headers, Privacy, and who diverted the call.
pub fn add_identity(writer: Writer, addressing: &Addressing) -> Writer {
    let writer = match &addressing.identity {
        Some((header, value)) => writer.header(*header, value),
        None => writer,
    };
    let writer = match addressing.privacy {
        Some(privacy) => writer.header(Header::Privacy, privacy),
        None => writer,
    };
    let lines = addressing.diversions.iter();
    lines.fold(writer, |writer, (header, value)| writer.header(*header, value))
}

/// The number that a trunk is shown.
struct Shown {
    /// In the trunk's form.
    number: String,
    /// Whether it is the caller's, and so is the display name.
    is_own: bool,
}

/// What a trunk's policy makes of a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallerChoice {
    /// Who is shown.
    pub who: Who,
    /// Why, in words for people.
    pub because: &'static str,
}

/// Who is shown to a trunk as the caller, if the caller does not ask to be hidden.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// The caller, by this number in the trunk's form.
    Caller(String),
    /// The trunk's owner, by this number in the trunk's form.
    Default(String),
    /// Nobody.
    Nobody,
}

/// The caller by the trunk's policy; `None`: nobody is shown.
fn shown_caller(
    numbers: &CallNumbers,
    trunk: &Trunk,
    numbering: &numbering::Settings,
) -> Result<Option<Shown>, CallerRefused> {
    Ok(match choose_caller(numbers, trunk, numbering)?.who {
        Who::Caller(number) => Some(Shown { number, is_own: true }),
        Who::Default(number) => Some(Shown { number, is_own: false }),
        Who::Nobody => None,
    })
}

/// Applies the trunk's caller-id policy.
pub(super) fn choose_caller(
    numbers: &CallNumbers,
    trunk: &Trunk,
    numbering: &numbering::Settings,
) -> Result<CallerChoice, CallerRefused> {
    let chosen = |who, because| Ok(CallerChoice { who, because });
    let policy = &trunk.caller_id;
    let own = trunk.number(numbering, &numbers.caller, &numbers.caller_received);
    // A name is no number that somebody could own.
    let owned = match &numbers.caller {
        Number::E164(text) | Number::Short(text) => Some(text.as_str()),
        Number::Emergency(_) | Number::Name(_) => None,
    };
    let is_listed = |number: &str| policy.allowed.iter().any(|pattern| matches_number(pattern, number));
    let is_allowed = policy.allowed.is_empty() || owned.is_some_and(is_listed);
    if is_allowed && !own.is_empty() {
        let is_open = policy.allowed.is_empty();
        return chosen(
            Who::Caller(own),
            if is_open { "caller_id allows all" } else { "in caller_id.allowed" },
        );
    }
    if is_allowed && policy.default.is_none() {
        return chosen(Who::Nobody, "the caller gives no number, and there is no caller_id.default");
    }
    instead_of_caller(own, numbers, trunk, numbering)
}

/// Who is shown in place of a caller that may not be, or that gives no number.
fn instead_of_caller(
    own: String,
    numbers: &CallNumbers,
    trunk: &Trunk,
    numbering: &numbering::Settings,
) -> Result<CallerChoice, CallerRefused> {
    let chosen = |who, because| Ok(CallerChoice { who, because });
    let policy = &trunk.caller_id;
    // No policy keeps a call for help back, or its caller in the dark.
    let emergency = numbers.called.is_emergency();
    let otherwise = if emergency { CallerIdFallback::Default } else { policy.otherwise };
    match (otherwise, &policy.default) {
        (CallerIdFallback::Default, Some(default)) => {
            let number = trunk.number(numbering, &Number::E164(default.clone()), default);
            let is_unnamed = own.is_empty();
            chosen(
                Who::Default(number),
                if is_unnamed {
                    "the caller gives no number"
                } else {
                    "the caller's is not in caller_id.allowed"
                },
            )
        }
        (CallerIdFallback::Default, None) if emergency && !own.is_empty() => {
            chosen(Who::Caller(own), "an emergency call shows its caller")
        }
        // Without a default there is no number that may be shown.
        (CallerIdFallback::Default, None) => {
            chosen(Who::Nobody, "not in caller_id.allowed, and there is no caller_id.default")
        }
        (CallerIdFallback::Anonymous, _) => {
            chosen(Who::Nobody, "not in caller_id.allowed, and caller_id.otherwise is \"anonymous\"")
        }
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

/// Escapes what may not stand in the user part of a SIP URI (RFC 3261 §25.1), and what may but
/// would be read as more than a user: `;`, `,`, `?` and `/`.
pub(super) fn escape_user(user: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$".contains(byte);
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
