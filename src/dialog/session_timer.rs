//! Session timers (RFC 4028) as one dialog agrees on them: what a request of ours asks for, what a
//! peer's request is answered, and what a 2xx puts in force.
//!
//! A session refresh request is an INVITE or UPDATE; its 2xx says anew how long the interval is
//! and who refreshes. Must not know: clocks, the other leg, what is done when an interval ends.

use std::time::Duration;

use crate::sip::{Header, Message, Params, Writer};

/// The longest interval that a peer may push us to, in seconds: a day.
pub const MAX_SESSION_EXPIRES_S: u32 = 86_400;

/// How long before the end of the interval the side that waits gives up, at most (§10: "a bit
/// before the session expiration […] the minimum of 32 seconds and one third of the session
/// interval is RECOMMENDED").
const MAX_EARLY: Duration = Duration::from_secs(32);

/// What an operator wants of session timers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionTimerPolicy {
    /// The interval that is asked for; zero: none is.
    pub expires: Duration,
    /// The shortest that is taken.
    pub min: Duration,
}

/// A side of a transaction; the `refresher` parameter names one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sent the request.
    Uac,
    /// Answered it.
    Uas,
}

/// A dialog's session timer, seen from our end.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SessionTimer {
    interval: Option<SessionInterval>,
    /// The largest Min-SE of the peer's (§7.4), in seconds.
    min_heard_s: u32,
}

/// A session interval in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionInterval {
    /// From the 2xx that set it to its end.
    pub length: Duration,
    /// We refresh; otherwise the peer does.
    pub is_ours: bool,
    /// The peer knows of it. Otherwise its end matters to us alone: we ask whether the peer is there.
    pub is_agreed: bool,
}

impl SessionInterval {
    /// When the refresher refreshes (§7.2: "it is RECOMMENDED that this refresh be sent once half
    /// the session interval has elapsed").
    pub fn refresh_after(self) -> Duration {
        self.length / 2
    }

    /// When the session is over without a refresh: for the side that waits for one, early enough
    /// for its BYE to be the only one (§10).
    pub fn ends_after(self) -> Duration {
        if self.is_ours { self.length } else { self.length - MAX_EARLY.min(self.length / 3) }
    }
}

impl SessionTimer {
    /// What is in force.
    pub fn interval(&self) -> Option<SessionInterval> {
        self.interval
    }

    /// The peer said that it takes no shorter interval than this.
    pub fn note_min(&mut self, min_s: u32) {
        self.min_heard_s = self.min_heard_s.max(min_s.min(MAX_SESSION_EXPIRES_S));
    }

    /// Adds what a session refresh request of ours says: the interval (that in force, else the
    /// policy's), who refreshes, if somebody does already, and Min-SE (§7.1, §7.4).
    pub fn ask(&self, writer: Writer, policy: SessionTimerPolicy) -> Writer {
        let min_s = seconds(policy.min).max(self.min_heard_s);
        let expires = self.interval.map_or(policy.expires, |interval| interval.length);
        if expires.is_zero() {
            return writer;
        }
        let expires_s = seconds(expires).max(min_s);
        let refresher = match self.interval {
            None => "",
            Some(interval) if interval.is_ours => ";refresher=uac",
            Some(_) => ";refresher=uas",
        };
        writer.header(Header::SessionExpires, format!("{expires_s}{refresher}")).display(Header::MinSe, min_s)
    }

    /// Adds what our 2xx to a session refresh request says (§9, table 2). `supports`: the peer knows
    /// the extension, whether this request says so or one before.
    pub fn answer(
        &mut self,
        writer: Writer,
        request: &Message,
        supports: bool,
        policy: SessionTimerPolicy,
    ) -> Writer {
        self.note_min(request.number(Header::MinSe).unwrap_or(0));
        let ours = self.interval.map_or(policy.expires, |interval| interval.length);
        let ours_s = seconds(ours).max(self.min_heard_s);
        // What a peer that cannot be told 422 asks below our minimum is not listened to.
        let asked_s = expires_of(request).filter(|asked_s| supports || *asked_s >= seconds(policy.min));
        let expires_s = match asked_s {
            // "The UAS MAY reduce the value […] The value MUST NOT be set to a duration lower than
            // the value in the Min-SE […] The UAS MUST NOT increase the value."
            Some(asked_s) if policy.expires.is_zero() => asked_s,
            Some(asked_s) => asked_s.min(seconds(policy.expires).max(self.min_heard_s)),
            None if ours.is_zero() => return writer,
            None => ours_s,
        };
        let is_ours = self.interval.is_some_and(|interval| interval.is_ours);
        let refresher = match refresher_of(request) {
            // "If the UAC doesn't support session timers, the refresher is the UAS."
            _ if !supports => Role::Uas,
            Some(named) => named,
            None if is_ours => Role::Uas,
            None => Role::Uac,
        };
        let writer =
            writer.header(Header::SessionExpires, format!("{expires_s};refresher={}", refresher.name()));
        // A MUST where the UAC refreshes, a SHOULD where it only has to watch the timer.
        if supports { writer.header(Header::Require, "timer") } else { writer }
    }

    /// Takes what the 2xx to a session refresh request puts in force; `role` is ours in that
    /// transaction.
    pub fn take(&mut self, response: &Message, role: Role, policy: SessionTimerPolicy) {
        self.interval = match (expires_of(response), role) {
            (Some(expires_s), _) => {
                // Whoever goes below our Min-SE breaks a MUST; nobody makes us refresh without rest.
                let length = Duration::from_secs(u64::from(expires_s)).max(policy.min);
                // The parameter must be there (§9); without it nobody but us would refresh.
                let is_ours = refresher_of(response).unwrap_or(role) == role;
                let is_agreed = role == Role::Uac || response.lists_token(Header::Require, "timer");
                Some(SessionInterval { length, is_ours, is_agreed })
            }
            (None, Role::Uas) => None,
            // The peer knows no session timers, or wants none: we ask on our own account.
            (None, Role::Uac) if policy.expires.is_zero() => None,
            (None, Role::Uac) => {
                let min = Duration::from_secs(u64::from(self.min_heard_s));
                Some(SessionInterval { length: policy.expires.max(min), is_ours: true, is_agreed: false })
            }
        };
    }
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Role::Uac => "uac",
            Role::Uas => "uas",
        }
    }
}

/// The Min-SE of the 422 that a request gets whose interval is too short (§9), in seconds. Only a
/// peer that says that it knows the extension can do anything with it.
pub fn too_short(request: &Message, policy: SessionTimerPolicy) -> Option<u32> {
    let min_s = seconds(policy.min);
    let supports =
        [Header::Supported, Header::Require].iter().any(|header| request.lists_token(*header, "timer"));
    expires_of(request).filter(|asked_s| supports && *asked_s < min_s).map(|_| min_s)
}

/// The interval that a request which got this 422 must ask for (§7.3); `None`: the 422 asks for
/// nothing that was not asked already, or for too much.
pub fn raised(request: &Message, response: &Message) -> Option<u32> {
    let (asked_s, min_s) = (expires_of(request)?, response.number(Header::MinSe)?);
    (min_s > asked_s && min_s <= MAX_SESSION_EXPIRES_S).then_some(min_s)
}

/// Session-Expires with another interval, and its parameters as they were.
pub fn with_expires(request: &Message, expires_s: u32) -> Vec<u8> {
    let value = request.header(Header::SessionExpires).unwrap_or(b"");
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    [expires_s.to_string().as_bytes(), &value[end..]].concat()
}

fn expires_of(message: &Message) -> Option<u32> {
    message.number(Header::SessionExpires)
}

fn refresher_of(message: &Message) -> Option<Role> {
    let value = message.header(Header::SessionExpires)?;
    let params = Params(&value[memchr::memchr(b';', value)?..]);
    let named = params.value("refresher")?;
    [Role::Uac, Role::Uas].into_iter().find(|role| named.eq_ignore_ascii_case(role.name().as_bytes()))
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(MAX_SESSION_EXPIRES_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Method, Status};

    fn policy(expires_s: u64) -> SessionTimerPolicy {
        SessionTimerPolicy { expires: Duration::from_secs(expires_s), min: Duration::from_secs(90) }
    }

    fn request(headers: &[(Header, &str)]) -> Message {
        let writer = Writer::request(&Method::Invite, b"sip:a@b");
        headers.iter().fold(writer, |writer, (header, value)| writer.header(*header, value)).finish().unwrap()
    }

    fn success(headers: &[(Header, &str)]) -> Message {
        let writer = Writer::response(Status::of(200), None);
        headers.iter().fold(writer, |writer, (header, value)| writer.header(*header, value)).finish().unwrap()
    }

    fn shown(message: &Message) -> String {
        let value = |header| String::from_utf8_lossy(message.header(header).unwrap_or(b"-")).into_owned();
        format!("{} {} {}", value(Header::SessionExpires), value(Header::MinSe), value(Header::Require))
    }

    fn answered(headers: &[(Header, &str)], expires_s: u64) -> String {
        let request = request(headers);
        let supports = request.lists_token(Header::Supported, "timer");
        let writer = Writer::response(Status::of(200), None);
        let writer = SessionTimer::default().answer(writer, &request, supports, policy(expires_s));
        shown(&writer.finish().unwrap())
    }

    /// RFC 4028 §9, table 2, and who wants how much.
    #[test]
    fn a_request_is_answered_by_the_table_of_the_rfc() {
        const TIMER: (Header, &str) = (Header::Supported, "timer");
        let expires = |value| (Header::SessionExpires, value);
        assert_eq!(answered(&[], 1_800), "1800;refresher=uas - -");
        assert_eq!(answered(&[], 0), "- - -");
        assert_eq!(answered(&[expires("600")], 1_800), "600;refresher=uas - -");
        assert_eq!(answered(&[expires("600;refresher=uac")], 1_800), "600;refresher=uas - -");
        assert_eq!(answered(&[expires("5")], 1_800), "1800;refresher=uas - -");
        assert_eq!(answered(&[TIMER], 1_800), "1800;refresher=uac - timer");
        assert_eq!(answered(&[TIMER], 0), "- - -");
        assert_eq!(answered(&[TIMER, expires("600")], 1_800), "600;refresher=uac - timer");
        assert_eq!(answered(&[TIMER, expires("3600")], 1_800), "1800;refresher=uac - timer");
        assert_eq!(answered(&[TIMER, expires("3600")], 0), "3600;refresher=uac - timer");
        assert_eq!(answered(&[TIMER, expires("600;refresher=uas")], 1_800), "600;refresher=uas - timer");
        assert_eq!(answered(&[TIMER, expires("600 ; REFRESHER = UAC")], 1_800), "600;refresher=uac - timer");
        let min = (Header::MinSe, "3000");
        assert_eq!(answered(&[TIMER, min, expires("3600")], 1_800), "3000;refresher=uac - timer");
        assert_eq!(answered(&[TIMER, min], 1_800), "3000;refresher=uac - timer");
    }

    #[test]
    fn too_short_an_interval_is_named_to_those_who_know_what_422_is() {
        let (timer, short) = ((Header::Supported, "100rel, timer"), (Header::SessionExpires, "89"));
        assert_eq!(too_short(&request(&[timer, short]), policy(1_800)), Some(90));
        assert_eq!(too_short(&request(&[short]), policy(1_800)), None);
        assert_eq!(too_short(&request(&[timer, (Header::SessionExpires, "90")]), policy(1_800)), None);
    }

    #[test]
    fn a_422_is_followed_where_it_asks_for_more() {
        let asked = request(&[(Header::SessionExpires, "1800;refresher=uac")]);
        let refusal = |min| success(&[(Header::MinSe, min)]);
        assert_eq!(raised(&asked, &refusal("3600")), Some(3_600));
        assert_eq!(with_expires(&asked, 3_600), b"3600;refresher=uac");
        for useless in ["1800", "90", "100000", "99999999999", "x"] {
            assert_eq!(raised(&asked, &refusal(useless)), None, "{useless}");
        }
        assert_eq!(raised(&request(&[]), &refusal("3600")), None);
    }

    #[test]
    fn a_2xx_says_what_is_in_force() {
        let mut timer = SessionTimer::default();
        let mut taken = |value: &str, role| {
            let headers = [(Header::SessionExpires, value), (Header::Require, "timer")];
            timer.take(&success(if value.is_empty() { &[] } else { &headers }), role, policy(1_800));
            timer.interval().map(|interval| (interval.length.as_secs(), interval.is_ours, interval.is_agreed))
        };
        assert_eq!(taken("600;refresher=uac", Role::Uac), Some((600, true, true)));
        assert_eq!(taken("600;refresher=uas", Role::Uac), Some((600, false, true)));
        assert_eq!(taken("600;refresher=uac", Role::Uas), Some((600, false, true)));
        assert_eq!(taken("600", Role::Uac), Some((600, true, true)));
        assert_eq!(taken("1;refresher=uac", Role::Uac), Some((90, true, true)));
        assert_eq!(taken("", Role::Uac), Some((1_800, true, false)));
        assert_eq!(taken("", Role::Uas), None);
    }

    #[test]
    fn a_refresh_asks_for_what_is_in_force_and_no_less_than_the_peer_takes() {
        let asked = |timer: &SessionTimer, expires_s| {
            let writer = Writer::request(&Method::Update, b"sip:a@b");
            shown(&timer.ask(writer, policy(expires_s)).finish().unwrap())
        };
        let mut timer = SessionTimer::default();
        assert_eq!(asked(&timer, 1_800), "1800 90 -");
        assert_eq!(asked(&timer, 0), "- - -");
        timer.take(&success(&[(Header::SessionExpires, "600;refresher=uac")]), Role::Uac, policy(1_800));
        assert_eq!(asked(&timer, 1_800), "600;refresher=uac 90 -");
        timer.take(&success(&[(Header::SessionExpires, "600;refresher=uas")]), Role::Uac, policy(1_800));
        timer.note_min(700);
        assert_eq!(asked(&timer, 1_800), "700;refresher=uas 700 -");
    }

    #[test]
    fn the_side_that_waits_gives_up_a_little_before_the_end() {
        let interval =
            |secs, is_ours| SessionInterval { length: Duration::from_secs(secs), is_ours, is_agreed: true };
        assert_eq!(interval(90, false).ends_after(), Duration::from_secs(60));
        assert_eq!(interval(1_800, false).ends_after(), Duration::from_secs(1_768));
        assert_eq!(interval(1_800, true).ends_after(), Duration::from_secs(1_800));
        assert_eq!(interval(1_800, true).refresh_after(), Duration::from_secs(900));
    }
}
