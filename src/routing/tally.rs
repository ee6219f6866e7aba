//! What became of the attempts at each trunk: counts since the start, and the last ones one by one. A trunk
//! whose targets are all up may fail every call (402, 403, a wrong password): here it shows.
//!
//! Must not know: targets (`health`), who is shown this and how.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::Settings;
use crate::base::{Instant, TrunkName};

/// So many attempts of a trunk are known one by one.
pub const RECENT: usize = 20;
/// An attempt that is older is counted only.
pub const RECENT_AGE: Duration = Duration::from_secs(3_600);
/// A trunk whose attempts go on failing is told of no more often.
pub const TELL_AGAIN: Duration = Duration::from_secs(300);
/// So many failures in a row and none that was answered or declined: its calls fail, not one call.
pub const FAILS_AFTER: u32 = 3;
/// So many in a row where each may be the caller's fault: a number that there is not.
const MISDIALLED_AFTER: u32 = 10;
/// So many that were declined, and none answered: that may be no chance either.
const DECLINED_AFTER: usize = 5;

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttemptEnd {
    /// 2xx.
    Answered,
    /// The callee's word, or nobody came to the phone: the trunk did what trunks are for.
    Declined(AttemptFault),
    /// The caller hung up first, or we did.
    GivenUp,
    /// It came to nothing.
    Failed(AttemptFault),
}

/// Why an attempt was not answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AttemptFault {
    /// A final response.
    Status(u16),
    /// No response in time.
    Silence,
    /// It could not be sent, or its connection broke.
    Unsent,
    /// DNS knew no address.
    NoAddress,
}

impl AttemptEnd {
    /// What a final response says. Busy, declined and "not now" are the callee's, and a 3xx leads on.
    pub fn of_status(status: u16) -> AttemptEnd {
        match status {
            200..=299 => AttemptEnd::Answered,
            300..=399 | 480 | 486 | 487 | 600 | 603 | 607 | 608 => {
                AttemptEnd::Declined(AttemptFault::Status(status))
            }
            _ => AttemptEnd::Failed(AttemptFault::Status(status)),
        }
    }
}

impl AttemptFault {
    /// Whether it may be the number that was wrong.
    const fn is_of_the_number(self) -> bool {
        matches!(self, AttemptFault::Status(404 | 410 | 484 | 485 | 604))
    }
}

/// For machines, as the `code` label of `drawbridge_call_attempts_total` and the records have it.
impl fmt::Display for AttemptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttemptFault::Status(status) => write!(f, "{status}"),
            AttemptFault::Silence => f.write_str("timeout"),
            AttemptFault::Unsent => f.write_str("transport"),
            AttemptFault::NoAddress => f.write_str("dns"),
        }
    }
}

/// What people are told of a trunk's calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallsChange {
    /// They fail. Told at once, and every `TELL_AGAIN` while it goes on.
    Failing {
        /// Whose.
        trunk: TrunkName,
        /// What the last one met.
        fault: AttemptFault,
        /// So many failed since it was told last, or since they began to.
        failed: u64,
        /// Of so many.
        attempts: u64,
        /// So many failed in a row.
        in_a_row: u32,
        /// When the first of those did.
        since: Instant,
    },
    /// They had failed in a row, and this one did not.
    Well {
        /// Whose.
        trunk: TrunkName,
        /// So many had failed in a row.
        failed: u32,
    },
}

/// The counts of one trunk, and what is known of its last attempts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TallyReport {
    /// All attempts since the start, or since the trunk is configured.
    pub attempts: u64,
    /// Of those, with a 2xx.
    pub answered: u64,
    /// … that the callee declined, or did not come to.
    pub declined: u64,
    /// … that the caller gave up.
    pub given_up: u64,
    /// … that failed.
    pub failed: u64,
    /// The last failure.
    pub last_failure: Option<(Instant, AttemptFault)>,
    /// Failures in a row.
    pub in_a_row: u32,
    /// When the first of those was.
    pub failing_since: Option<Instant>,
    /// How many of the last hour are known one by one, at most `RECENT`; those given up left out.
    pub recent: usize,
    /// What those met most often, if it is worth a word.
    pub frequent: Option<Frequent>,
    /// Why the trunk's peer does not let our requests in, and since when.
    pub refused: Option<(Instant, String)>,
}

/// What several attempts met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frequent {
    /// What.
    pub fault: AttemptFault,
    /// So many of the recent ones.
    pub times: usize,
    /// The last of them.
    pub last: Instant,
}

impl TallyReport {
    /// Whether its calls fail, and not only one call.
    pub fn is_failing(&self) -> bool {
        self.in_a_row >= FAILS_AFTER || self.refused.is_some()
    }
}

/// The tallies of the configured trunks.
#[derive(Clone, Debug, Default)]
pub struct Tallies(BTreeMap<TrunkName, Tally>);

#[derive(Clone, Debug, Default)]
struct Tally {
    attempts: u64,
    answered: u64,
    declined: u64,
    given_up: u64,
    failed: u64,
    last_failure: Option<(Instant, AttemptFault)>,
    in_a_row: u32,
    failing_since: Option<Instant>,
    /// The oldest first; at most [`RECENT`].
    recent: VecDeque<(Instant, AttemptEnd)>,
    refused: Option<(Instant, String)>,
    /// When people were told last that it fails, and how many attempts and failures there were then.
    told: Option<(Instant, u64, u64)>,
    /// Whether they think that it fails.
    is_told_failing: bool,
}

impl Tallies {
    /// Those of trunks that are configured no more are dropped.
    pub(super) fn retain_only(&mut self, settings: &Settings) {
        self.0.retain(|name, _| settings.trunk(name).is_some());
        for trunk in &settings.trunks {
            self.0.entry(trunk.name.clone()).or_default();
        }
    }

    /// Counts an attempt; gives what people are to be told of it.
    pub fn count(&mut self, now: Instant, trunk: &TrunkName, end: AttemptEnd) -> Option<CallsChange> {
        let tally = self.0.get_mut(trunk)?;
        tally.note(now, end);
        match end {
            AttemptEnd::Failed(fault) => tally.tell_failing(now, trunk, fault),
            AttemptEnd::Answered | AttemptEnd::Declined(_) => tally.tell_well(trunk),
            AttemptEnd::GivenUp => None,
        }
    }

    /// The trunk's peer asks for credentials, and this is why it gets none that it takes.
    pub fn refuse(&mut self, now: Instant, trunk: &TrunkName, why: String) {
        let Some(tally) = self.0.get_mut(trunk) else { return };
        let since = tally.refused.take().map_or(now, |(since, _)| since);
        tally.refused = Some((since, why));
    }

    /// The trunk's peer lets our requests in, or has not been asked with what we have now.
    pub fn forget_refusal(&mut self, trunk: &TrunkName) {
        if let Some(tally) = self.0.get_mut(trunk) {
            tally.refused = None;
        }
    }

    /// How a trunk's attempts went.
    pub fn report(&self, now: Instant, trunk: &TrunkName) -> TallyReport {
        self.0.get(trunk).map(|tally| tally.report(now)).unwrap_or_default()
    }
}

impl Tally {
    fn note(&mut self, now: Instant, end: AttemptEnd) {
        self.attempts += 1;
        match end {
            AttemptEnd::Answered => self.answered += 1,
            AttemptEnd::Declined(_) => self.declined += 1,
            AttemptEnd::GivenUp => self.given_up += 1,
            AttemptEnd::Failed(fault) => {
                self.failed += 1;
                self.last_failure = Some((now, fault));
                self.failing_since.get_or_insert(now);
                self.in_a_row = self.in_a_row.saturating_add(1);
            }
        }
        if matches!(end, AttemptEnd::Answered | AttemptEnd::Declined(_)) {
            // A challenge that we could not meet was not the last word.
            self.refused = None;
        }
        if end != AttemptEnd::GivenUp {
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((now, end));
        }
    }

    fn tell_failing(&mut self, now: Instant, trunk: &TrunkName, fault: AttemptFault) -> Option<CallsChange> {
        let is_due = self.told.is_none_or(|(at, ..)| now.since(at) >= TELL_AGAIN);
        let may_be_misdialled = fault.is_of_the_number() && self.in_a_row < MISDIALLED_AFTER;
        if !is_due || may_be_misdialled {
            return None;
        }
        // What was before the last word of it is long told, or of another bad night.
        let (attempts, failed) = match self.told.filter(|_| self.is_told_failing) {
            Some((_, attempts, failed)) => (self.attempts - attempts, self.failed - failed),
            None => (u64::from(self.in_a_row), u64::from(self.in_a_row)),
        };
        self.told = Some((now, self.attempts, self.failed));
        self.is_told_failing = true;
        let (in_a_row, since) = (self.in_a_row, self.failing_since.unwrap_or(now));
        Some(CallsChange::Failing { trunk: trunk.clone(), fault, failed, attempts, in_a_row, since })
    }

    fn tell_well(&mut self, trunk: &TrunkName) -> Option<CallsChange> {
        let failed = std::mem::take(&mut self.in_a_row);
        self.failing_since = None;
        let is_news = self.is_told_failing && failed >= FAILS_AFTER;
        if is_news {
            self.is_told_failing = false;
        }
        is_news.then(|| CallsChange::Well { trunk: trunk.clone(), failed })
    }

    fn report(&self, now: Instant) -> TallyReport {
        let recent: Vec<_> = self.recent.iter().filter(|(at, _)| now.since(*at) <= RECENT_AGE).collect();
        let is_answered = recent.iter().any(|(_, end)| *end == AttemptEnd::Answered);
        let all_declined = recent.len() >= DECLINED_AFTER && !is_answered;
        let mut faults: Vec<Frequent> = Vec::new();
        for (at, end) in &recent {
            let fault = match end {
                AttemptEnd::Failed(fault) => fault,
                AttemptEnd::Declined(fault) if all_declined => fault,
                AttemptEnd::Answered | AttemptEnd::Declined(_) | AttemptEnd::GivenUp => continue,
            };
            match faults.iter_mut().find(|known| known.fault == *fault) {
                Some(known) => (known.times, known.last) = (known.times + 1, *at),
                None => faults.push(Frequent { fault: *fault, times: 1, last: *at }),
            }
        }
        TallyReport {
            attempts: self.attempts,
            answered: self.answered,
            declined: self.declined,
            given_up: self.given_up,
            failed: self.failed,
            last_failure: self.last_failure,
            in_a_row: self.in_a_row,
            failing_since: self.failing_since,
            recent: recent.len(),
            frequent: faults.into_iter().max_by_key(|frequent| (frequent.times, frequent.last)),
            refused: self.refused.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Realm;
    use crate::routing::{Host, Trunk};

    const START: Instant = Instant::from_millis(1_000_000);

    fn tallies() -> Tallies {
        let host = Host::Name("sip.example".to_owned());
        let settings = Settings {
            trunks: vec![Trunk::new("sinch", Realm::Untrusted, host, None)],
            ..Settings::default()
        };
        let mut tallies = Tallies::default();
        tallies.retain_only(&settings);
        tallies
    }

    /// The same end so often, each a second after the other; what was told.
    fn count(tallies: &mut Tallies, from: Instant, times: u32, status: u16) -> (Instant, Vec<CallsChange>) {
        let mut now = from;
        let mut told = Vec::new();
        for _ in 0..times {
            told.extend(tallies.count(now, &"sinch".into(), AttemptEnd::of_status(status)));
            now = now + Duration::from_secs(1);
        }
        (now, told)
    }

    fn report(tallies: &Tallies, now: Instant) -> TallyReport {
        tallies.report(now, &"sinch".into())
    }

    #[test]
    fn a_trunk_that_fails_is_told_at_once_then_every_five_minutes_and_when_it_is_well() {
        let mut tallies = tallies();
        let (now, told) = count(&mut tallies, START, 700, 403);
        let failing = |failed: u64, in_a_row: u32| CallsChange::Failing {
            trunk: "sinch".into(),
            fault: AttemptFault::Status(403),
            failed,
            attempts: failed,
            in_a_row,
            since: START,
        };
        assert_eq!(told, [failing(1, 1), failing(300, 301), failing(300, 601)]);
        let (now, told) = count(&mut tallies, now, 2, 200);
        assert_eq!(told, [CallsChange::Well { trunk: "sinch".into(), failed: 700 }]);
        // One that comes and goes is told no more often than one that stays away.
        let (now, told) = count(&mut tallies, now, 5, 403);
        assert_eq!(told, []);
        let (_, told) = count(&mut tallies, now, 5, 200);
        assert_eq!(told, []);
    }

    #[test]
    fn numbers_that_there_are_not_and_callees_who_decline_are_no_news_until_they_are_many() {
        let mut tallies = tallies();
        let (now, told) = count(&mut tallies, START, 9, 404);
        assert_eq!(told, []);
        assert!(report(&tallies, now).is_failing());
        let (now, told) = count(&mut tallies, now, 1, 404);
        assert_eq!(told.len(), 1);
        let (now, _) = count(&mut tallies, now, 1, 486);
        let after = report(&tallies, now);
        assert_eq!((after.failed, after.declined, after.in_a_row), (10, 1, 0));
        let mut tallies = self::tallies();
        let (now, told) = count(&mut tallies, START, 30, 603);
        assert_eq!(told, []);
        let frequent = report(&tallies, now).frequent.unwrap();
        assert_eq!((frequent.fault, frequent.times), (AttemptFault::Status(603), 20));
        let (now, _) = count(&mut tallies, now, 1, 200);
        assert_eq!(report(&tallies, now).frequent, None);
    }

    #[test]
    fn the_last_attempts_say_what_is_met_most_and_an_hour_later_nothing() {
        let mut tallies = tallies();
        let (now, _) = count(&mut tallies, START, 8, 200);
        let (now, _) = count(&mut tallies, now, 3, 403);
        let (now, _) = count(&mut tallies, now, 9, 402);
        assert_eq!(tallies.count(now, &"sinch".into(), AttemptEnd::GivenUp), None);
        let report_now = report(&tallies, now);
        let last = Instant::from_millis(1_019_000);
        assert_eq!(report_now.frequent, Some(Frequent { fault: AttemptFault::Status(402), times: 9, last }));
        assert_eq!((report_now.recent, report_now.attempts, report_now.given_up), (20, 21, 1));
        assert_eq!(report_now.last_failure, Some((last, AttemptFault::Status(402))));
        let later = report(&tallies, now + RECENT_AGE * 2);
        assert_eq!((later.recent, later.frequent, later.failed), (0, None, 12));
    }

    #[test]
    fn a_refusal_lasts_from_its_first_time_until_a_call_gets_through() {
        let mut tallies = tallies();
        let trunk = TrunkName::from("sinch");
        tallies.refuse(START, &trunk, "no".to_owned());
        tallies.refuse(START + TELL_AGAIN, &trunk, "never".to_owned());
        assert_eq!(report(&tallies, START).refused, Some((START, "never".to_owned())));
        assert!(report(&tallies, START).is_failing());
        count(&mut tallies, START, 1, 401);
        assert!(report(&tallies, START).refused.is_some());
        count(&mut tallies, START, 1, 486);
        assert_eq!(report(&tallies, START).refused, None);
    }

    #[test]
    fn who_is_not_configured_is_not_counted() {
        let mut tallies = tallies();
        assert_eq!(tallies.count(START, &"gone".into(), AttemptEnd::of_status(500)), None);
        assert_eq!(tallies.report(START, &"gone".into()), TallyReport::default());
        count(&mut tallies, START, 1, 500);
        tallies.retain_only(&Settings::default());
        assert_eq!(report(&tallies, START), TallyReport::default());
    }
}
