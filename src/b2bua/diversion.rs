//! Who diverted a call before it came to us: Diversion (RFC 5806) and History-Info (RFC 7044), each
//! read into the same list and written in either form (RFC 7544).
//!
//! What is written is our own: the numbers in the trunk's form, at the trunk's domain. No host,
//! parameter or name of the other network is in it. Not carried: Diversion's limit and screen,
//! History-Info's response codes and the entries that no diversion made.
//!
//! Must not know: calls in progress, transactions.

use super::addressing::escape_user;
use super::caller::{is_anonymous, privacy_words};
use super::party::Party;
use crate::numbering::{self, Number};
use crate::routing::{DiversionForm, Trunk};
use crate::sip::{Header, Message, NameAddr, Uri};

/// The most diversions of one call that are carried, the latest first: networks stop at five.
const MAX_DIVERSIONS: usize = 8;

/// The most entries of a History-Info that is read at all.
const MAX_HISTORY: usize = 32;

/// The highest counter: RFC 5806 §4 gives it two digits.
const MAX_COUNTER: usize = 99;

/// Service number translation (RFC 8119): nobody diverted the call.
const TRANSLATED: &[u8] = b"380";

/// Every reason of RFC 5806 §4 with its cause (RFC 4458 §3.1, by RFC 7544 §4), which several share:
/// the first with a cause is what the cause means.
const REASONS: [(&str, u16); 11] = [
    ("unknown", 404),
    ("unconditional", 302),
    ("user-busy", 486),
    ("no-answer", 408),
    ("deflection", 487),
    ("unavailable", 503),
    ("time-of-day", 404),
    ("do-not-disturb", 404),
    ("follow-me", 404),
    ("out-of-service", 404),
    ("away", 404),
];

/// The diversions of a call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diversions {
    /// Whether History-Info said so.
    from_history: bool,
    /// The latest first.
    list: Vec<Diversion>,
}

/// One party that sent the call on.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Diversion {
    party: Party,
    number: Number,
    /// One of [`REASONS`].
    reason: &'static str,
    /// How many diversions this entry stands for.
    counter: usize,
    /// Whether the party is not to be shown.
    is_private: bool,
}

/// Reads what a peer says that is believed.
pub(super) fn read(invite: &Message, numbering: &numbering::Settings) -> Diversions {
    let hides = |word: &[u8]| word.eq_ignore_ascii_case(b"history") || word.eq_ignore_ascii_case(b"header");
    let hides_all = privacy_words(invite).any(hides);
    let history = read_history(invite, numbering);
    let from_history = !history.is_empty();
    let mut list = if from_history { history } else { read_diversion(invite, numbering) };
    list.truncate(MAX_DIVERSIONS);
    for diversion in &mut list {
        diversion.is_private |= hides_all;
    }
    Diversions { from_history, list }
}

fn read_diversion(invite: &Message, numbering: &numbering::Settings) -> Vec<Diversion> {
    let values = invite.list(Header::Diversion).take(MAX_DIVERSIONS);
    let read = |value: NameAddr<'_>| {
        let params = value.params;
        let said = params.value("reason").unwrap_or(b"");
        let said = said.strip_prefix(b"\"").and_then(|said| said.strip_suffix(b"\"")).unwrap_or(said);
        let reason = REASONS.iter().find(|(name, _)| said.eq_ignore_ascii_case(name.as_bytes()));
        let counter =
            params.value("counter").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let is_private = params.value("privacy").is_some_and(|asked| !asked.eq_ignore_ascii_case(b"off"));
        let mut diversion = Diversion::by(&value.uri().ok()?, numbering);
        diversion.reason = reason.map_or("unknown", |(name, _)| name);
        diversion.counter = counter.unwrap_or(1).clamp(1, MAX_COUNTER);
        diversion.is_private = is_private;
        Some(diversion)
    };
    values.filter_map(NameAddr::parse).filter_map(read).collect()
}

/// An entry of History-Info.
struct Entry<'a> {
    uri: Uri<'a>,
    index: &'a [u8],
    /// The index of whom it was retargeted from (RFC 7044 §5).
    mapped: Option<&'a [u8]>,
    /// Why (RFC 4458), in the URI of where it went.
    cause: Option<&'a [u8]>,
}

/// RFC 7544 §4: an entry with a cause is where a diversion led; who diverted is the entry that it
/// was mapped from, else the one above it, else the one before.
fn read_history(invite: &Message, numbering: &numbering::Settings) -> Vec<Diversion> {
    let read = |value| {
        let value = NameAddr::parse(value)?;
        let uri = value.uri().ok()?;
        let mapped = value.params.value("mp").or_else(|| value.params.value("rc"));
        let index = value.params.value("index").unwrap_or(b"");
        Some(Entry { uri, index, mapped, cause: uri.params.value("cause") })
    };
    if invite.list(Header::HistoryInfo).take(MAX_HISTORY + 1).count() > MAX_HISTORY {
        return Vec::new();
    }
    let entries: Vec<Entry<'_>> = invite.list(Header::HistoryInfo).filter_map(read).collect();
    let mut list = Vec::new();
    for (at, entry) in entries.iter().enumerate().skip(1).rev() {
        let Some(cause) = entry.cause.filter(|cause| *cause != TRANSLATED) else { continue };
        let above = memchr::memrchr(b'.', entry.index).map(|dot| &entry.index[..dot]);
        let of_index = |wanted: Option<&[u8]>| entries.iter().find(|other| Some(other.index) == wanted);
        let by = of_index(entry.mapped).or_else(|| of_index(above)).or_else(|| entries.get(at - 1));
        let Some(by) = by else { continue };
        let mut diversion = Diversion::by(&by.uri, numbering);
        diversion.reason = reason_of(cause);
        diversion.is_private = by.uri.headers.is_some_and(asks_for_privacy);
        list.push(diversion);
    }
    list
}

/// `?Privacy=history` in an entry's URI (RFC 7044 §10.1.2).
fn asks_for_privacy(headers: &[u8]) -> bool {
    headers.split(|byte| *byte == b'&').any(|header| header.eq_ignore_ascii_case(b"privacy=history"))
}

fn reason_of(cause: &[u8]) -> &'static str {
    // Both are deflections: while it rang (487) and at once (480).
    let cause = if cause == b"480" { &b"487"[..] } else { cause };
    let found = REASONS.iter().find(|(_, code)| code.to_string().as_bytes() == cause);
    found.map_or("unknown", |(name, _)| name)
}

fn cause_of(reason: &str) -> u16 {
    REASONS.iter().find(|(name, _)| *name == reason).map_or(404, |(_, code)| *code)
}

impl Diversion {
    fn by(uri: &Uri<'_>, numbering: &numbering::Settings) -> Diversion {
        let party = if is_anonymous(uri) { Party::default() } else { Party::of(uri) };
        let number = party.normalise(numbering).unwrap_or_else(|_| Number::Name(party.user.clone()));
        Diversion { party, number, reason: "unknown", counter: 1, is_private: false }
    }

    /// The party as this trunk is told. Who asks for privacy is named within the trust domain alone
    /// (RFC 5806 §9, RFC 7044 §10.1.2), and who has no name never.
    fn uri(&self, trunk: &Trunk, numbering: &numbering::Settings, domain: &str) -> String {
        let user = trunk.number(numbering, &self.number, &self.party.user);
        if user.is_empty() || (self.is_private && !trunk.trust_identity) {
            return "sip:anonymous@anonymous.invalid".to_owned();
        }
        format!("sip:{}@{domain}", escape_user(&user))
    }
}

impl Diversions {
    /// Adds whom the call was for until a 3xx sent it on.
    pub(super) fn add_redirected(&mut self, number: &Number, received: &str) {
        let (party, number) = (Party::named(received), number.clone());
        let reason = "unconditional";
        self.list.insert(0, Diversion { party, number, reason, counter: 1, is_private: false });
        self.list.truncate(MAX_DIVERSIONS);
    }

    /// The header lines for a trunk. `target` is the Request-URI of the INVITE that they stand in.
    pub(super) fn lines(
        &self,
        trunk: &Trunk,
        numbering: &numbering::Settings,
        domain: &str,
        target: &str,
    ) -> Vec<(Header, String)> {
        let as_history = match trunk.diversion {
            DiversionForm::Drop => return Vec::new(),
            DiversionForm::Pass => self.from_history,
            DiversionForm::Diversion => false,
            DiversionForm::HistoryInfo => true,
        };
        let uri = |diversion: &Diversion| diversion.uri(trunk, numbering, domain);
        if as_history {
            return self.history(uri, target);
        }
        let line = |diversion: &Diversion| {
            let (reason, counter) = (diversion.reason, diversion.counter);
            let privacy = if diversion.is_private { "full" } else { "off" };
            let uri = uri(diversion);
            (Header::Diversion, format!("<{uri}>;reason={reason};counter={counter};privacy={privacy}"))
        };
        self.list.iter().map(line).collect()
    }

    /// RFC 7544 §5: the parties from the first to the last, each below the one before, and then whom
    /// the call is for now. For what a counter stands for beside its party, there are entries of
    /// nobody, as many as fit.
    fn history(&self, uri: impl Fn(&Diversion) -> String, target: &str) -> Vec<(Header, String)> {
        if self.list.is_empty() {
            return Vec::new();
        }
        let mut chain: Vec<(String, bool, &str)> = Vec::new();
        for (left, diversion) in self.list.iter().enumerate().rev() {
            let room = MAX_DIVERSIONS.saturating_sub(chain.len() + left + 1);
            for _ in 0..(diversion.counter - 1).min(room) {
                chain.push(("sip:unknown@unknown.invalid".to_owned(), false, "unknown"));
            }
            chain.push((uri(diversion), diversion.is_private, diversion.reason));
        }
        chain.push((target.to_owned(), false, ""));
        let mut lines = Vec::new();
        let (mut index, mut before) = ("1".to_owned(), None::<(String, &str)>);
        for (uri, is_private, reason) in chain {
            let (cause, mapped) = match &before {
                Some((index, reason)) => (format!(";cause={}", cause_of(reason)), format!(";mp={index}")),
                None => Default::default(),
            };
            let privacy = if is_private { "?Privacy=history" } else { "" };
            lines.push((Header::HistoryInfo, format!("<{uri}{cause}{privacy}>;index={index}{mapped}")));
            let below = format!("{index}.1");
            before = Some((std::mem::replace(&mut index, below), reason));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Method, Writer};

    proptest::proptest! {
        /// Whatever a peer writes: no panic, no more lines than there may be, none that is no header.
        #[test]
        fn junk_is_read_and_written_within_the_bounds(
            values in proptest::collection::vec("[-<>\";=?&%@:.,+0-9 a-ciprsx]{0,40}", 0..12),
            form in 0usize..3,
            as_history: bool,
        ) {
            let header = if as_history { Header::HistoryInfo } else { Header::Diversion };
            let mut writer = Writer::request(&Method::Invite, b"sip:a@b");
            for (at, value) in values.iter().enumerate() {
                let entry = format!("<sip:{at}{value}@h;cause=486>;index=1.{value};mp=1;reason={value};counter={at}");
                writer = writer.header(header, if at % 2 == 0 { value } else { &entry });
            }
            let numbering = numbering::Settings::default();
            let mut trunk = crate::b2bua::tests::lab::trunk("t", crate::base::Realm::Untrusted, "192.0.2.1:5060");
            trunk.diversion = [DiversionForm::Pass, DiversionForm::Diversion, DiversionForm::HistoryInfo][form];
            let read = read(&writer.finish().unwrap(), &numbering);
            let lines = read.lines(&trunk, &numbering, "t.example", "sip:b@t.example");
            proptest::prop_assert!(lines.len() <= MAX_DIVERSIONS + 1);
            for (_, line) in lines {
                proptest::prop_assert!(NameAddr::parse(line.as_bytes()).is_some_and(|value| value.uri().is_ok()), "{}", line);
            }
        }
    }
}
