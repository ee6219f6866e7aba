//! Registering at a trunk (RFC 3261 §10): what is configured, how long is waited for what, and where
//! each registration stands, for calls and for people.
//!
//! Must not know: REGISTER as a message; what is written and read is `b2bua/registration.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sha2::{Digest, Sha512_256};

use super::{Router, Target, Trunk};
use crate::base::{Instant, Random, Transport, TrunkName};

/// RFC 5626 §4.5, `base-time-all-fail` and `max-time`: "the upper-bound wait time is computed […] by
/// taking two raised to power of the number of consecutive registration failures for that URI, and
/// multiplying this by the base-time, up to a configurable maximum time".
const BASE_WAIT: Duration = Duration::from_secs(30);
const MAX_WAIT: Duration = Duration::from_secs(1_800);
/// The same after a refusal that the operator has to mend: whoever asks oftener is locked out.
const BASE_WAIT_REFUSED: Duration = Duration::from_secs(300);
const MAX_WAIT_REFUSED: Duration = Duration::from_secs(3_600);
/// A registrar's Retry-After counts up to here.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// A binding is renewed so long before its end, if it is long enough.
const MARGIN: Duration = Duration::from_secs(30);
/// Not oftener, however short the binding is.
const MIN_REFRESH: Duration = Duration::from_secs(5);
/// While the binding lives, what failed is tried again no oftener.
const MIN_RETRY: Duration = Duration::from_secs(10);
/// Each trunk adds so much to the time over which all begin to register, up to a bound.
const SPREAD_OF_ONE: Duration = Duration::from_millis(100);
const MAX_SPREAD: Duration = Duration::from_secs(30);
/// Rounds of the hash that makes the Contact's user.
const ROUNDS: u32 = 4_096;

/// `register` of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// What is asked for; the registrar may grant less.
    pub expires: Duration,
    /// Host of the Request-URI; absent: the trunk's domain.
    pub registrar: Option<String>,
    /// User of the address of record; absent: the trunk's username.
    pub user: Option<String>,
    /// User of our Contact; absent: one that nobody can guess.
    pub contact_user: Option<String>,
    /// At which of the trunk's hosts.
    pub to: RegisterTo,
    /// Without a registration no call goes out over the trunk.
    pub required: bool,
}

impl Default for Register {
    fn default() -> Self {
        Register {
            expires: Duration::from_secs(3_600),
            registrar: None,
            user: None,
            contact_user: None,
            to: RegisterTo::default(),
            required: false,
        }
    }
}

/// At which hosts of a trunk we register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RegisterTo {
    /// At each: one registration a host.
    #[default]
    All,
    /// At the first that takes it.
    First,
}

impl Trunk {
    /// User of the address of record.
    pub fn registered_user(&self) -> Option<&str> {
        let own = self.register.as_ref()?.user.as_deref();
        own.or(self.credentials.as_ref().map(|credentials| credentials.username.as_str()))
    }

    /// User of our Contact: the same after a restart, so that the binding is replaced and not
    /// doubled, another for each trunk and node, and known to nobody who does not know the password.
    /// Who tries passwords against it has more work than against a digest, which it travels with.
    pub fn contact_user(&self, node: &str) -> Option<String> {
        let register = self.register.as_ref()?;
        if let Some(user) = &register.contact_user {
            return Some(user.clone());
        }
        let credentials = self.credentials.as_ref();
        let (username, password) =
            credentials.map_or(("", ""), |known| (known.username.as_str(), known.password.as_str()));
        let mut sum = Sha512_256::digest([node, self.name.as_str(), username, password].join("\0"));
        for _ in 0..ROUNDS {
            sum = Sha512_256::digest(sum);
        }
        Some(sum.iter().take(10).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// After what a registration is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setback {
    /// Nobody answered, or not now.
    Passing,
    /// The registrar says no, and will do so until somebody changes something.
    Refusal,
}

/// How long to wait after so many failures in a row (the last one counted in), anywhere between half of the bound
/// and all of it: "a uniform random time between 50 and 100% of the upper-bound wait time" (RFC 5626
/// §4.5). `retry_after` is what the registrar asks for; `remaining` how long a binding still lives, which
/// is worth a sooner try.
pub fn wait_after(
    setback: Setback,
    failures: u32,
    retry_after: Option<Duration>,
    remaining: Option<Duration>,
    random: &mut Random,
) -> Duration {
    let (base, most) = match setback {
        Setback::Passing => (BASE_WAIT, MAX_WAIT),
        Setback::Refusal => (BASE_WAIT_REFUSED, MAX_WAIT_REFUSED),
    };
    let bound = base.saturating_mul(1 << failures.clamp(1, 16)).min(most);
    let mut wait = share(bound, 500, 1_000, random);
    if let Some(remaining) = remaining.filter(|_| setback == Setback::Passing) {
        wait = wait.min((remaining / 2).max(MIN_RETRY));
    }
    let asked = retry_after.map(|asked| share(asked.min(MAX_RETRY_AFTER), 1_000, 1_100, random));
    asked.map_or(wait, |asked| asked.max(wait))
}

/// When a binding that was granted for so long is renewed: at nine tenths of it or half a minute before
/// its end, whichever is earlier, and up to a tenth sooner, so that bindings that were made together
/// are not renewed together.
pub fn refresh_after(granted: Duration, random: &mut Random) -> Duration {
    let tenths = granted * 9 / 10;
    let early = granted.saturating_sub(MARGIN).max(granted / 2);
    share(tenths.min(early), 900, 1_000, random).max(MIN_REFRESH)
}

/// When one of so many begins to register.
pub fn begin_after(registrations: usize, random: &mut Random) -> Duration {
    let spread = SPREAD_OF_ONE.saturating_mul(u32::try_from(registrations).unwrap_or(u32::MAX));
    share(spread.min(MAX_SPREAD), 0, 1_000, random)
}

/// Between so many thousandths of a time.
fn share(of: Duration, from: u32, to: u32, random: &mut Random) -> Duration {
    of / 1_000 * (from + random.below(to - from + 1))
}

/// How one registration is at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistrationReport {
    /// The host of the trunk; `None`: whichever takes it.
    pub host: Option<String>,
    /// The address of record.
    pub address_of_record: String,
    /// Where the binding is, while there is one.
    pub target: Option<(SocketAddr, Transport)>,
    /// Since when there is one, or none.
    pub since: Instant,
    /// When the binding ends.
    pub until: Option<Instant>,
    /// When the next REGISTER goes out; `None`: one is on its way.
    pub next: Option<Instant>,
    /// What went wrong last, until it goes right.
    pub fault: Option<String>,
}

impl RegistrationReport {
    /// Whether calls reach us over it.
    pub fn is_registered(&self) -> bool {
        self.target.is_some()
    }
}

/// What the router knows of registrations.
#[derive(Clone, Debug, Default)]
pub(super) struct Registrations {
    reports: BTreeMap<TrunkName, Vec<RegistrationReport>>,
    /// Two trunks may be configured with one user.
    contact_users: BTreeMap<String, BTreeSet<TrunkName>>,
}

impl Registrations {
    fn forget_contact(&mut self, trunk: &TrunkName) {
        self.contact_users.retain(|_, known| {
            known.remove(trunk);
            !known.is_empty()
        });
    }
}

impl Router {
    /// The trunks that we have given this user as our Contact.
    pub fn registration_of(&self, contact_user: &str) -> Option<&BTreeSet<TrunkName>> {
        self.registrations.contact_users.get(contact_user)
    }

    /// Every registration of a trunk; empty if it does not register.
    pub fn registrations_of(&self, trunk: &TrunkName) -> &[RegistrationReport] {
        self.registrations.reports.get(trunk).map_or(&[], Vec::as_slice)
    }

    /// Whether a binding of the trunk lives.
    pub fn is_registered(&self, trunk: &TrunkName) -> bool {
        self.registrations_of(trunk).iter().any(RegistrationReport::is_registered)
    }

    /// Takes how the registrations of a trunk are, and the user of their Contact.
    pub fn set_registrations(
        &mut self,
        trunk: &TrunkName,
        contact_user: &str,
        reports: Vec<RegistrationReport>,
    ) {
        let known = self.registrations.contact_users.get(contact_user);
        if known.is_none_or(|known| !known.contains(trunk)) {
            self.registrations.forget_contact(trunk);
            let users = &mut self.registrations.contact_users;
            users.entry(contact_user.to_owned()).or_default().insert(trunk.clone());
        }
        self.registrations.reports.insert(trunk.clone(), reports);
    }

    /// The trunk has none any more.
    pub fn forget_registrations(&mut self, trunk: &TrunkName) {
        self.registrations.forget_contact(trunk);
        self.registrations.reports.remove(trunk);
    }

    /// Puts the targets first at which we are registered: the provider knows us there, and over TCP and
    /// TLS it is the same connection. None is left if the trunk wants a registration and has none, unless
    /// somebody calls for help.
    pub fn prefer_registered(
        &self,
        trunk: &TrunkName,
        mut targets: Vec<Target>,
        emergency: bool,
    ) -> Vec<Target> {
        let Some(register) = self.settings().trunk(trunk).and_then(|found| found.register.as_ref()) else {
            return targets;
        };
        if register.required && !emergency && !self.is_registered(trunk) {
            return Vec::new();
        }
        let reports = self.registrations_of(trunk);
        let is_elsewhere = |target: &Target| {
            !reports.iter().any(|report| report.target == Some((target.address, target.transport)))
        };
        targets.sort_by_key(is_elsewhere);
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Realm;
    use crate::routing::{Credentials, Host};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn waits_double_to_a_bound_and_are_spread_over_half_of_it() {
        let mut random = Random::from_number(1);
        for (setback, failures, bound_s) in [
            (Setback::Passing, 1, 60),
            (Setback::Passing, 2, 120),
            (Setback::Passing, 6, 1_800),
            (Setback::Passing, u32::MAX, 1_800),
            (Setback::Refusal, 1, 600),
            (Setback::Refusal, 4, 3_600),
        ] {
            let waits: Vec<_> =
                (0..100).map(|_| wait_after(setback, failures, None, None, &mut random)).collect();
            let bound = Duration::from_secs(bound_s);
            assert!(waits.iter().all(|wait| (bound / 2..=bound).contains(wait)), "{setback:?} {failures}");
            let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*last - *first > bound / 3, "{setback:?} {failures}");
        }
    }

    #[test]
    fn a_registrar_may_ask_for_longer_and_a_binding_for_sooner() {
        let mut random = Random::from_number(1);
        let asked = wait_after(Setback::Passing, 1, Some(Duration::from_secs(900)), None, &mut random);
        assert!((900..=990).contains(&asked.as_secs()));
        let asked = wait_after(Setback::Passing, 1, Some(24 * HOUR), None, &mut random);
        assert!((3_600..=3_960).contains(&asked.as_secs()));
        let sooner =
            wait_after(Setback::Passing, 9, None, Some(Duration::from_secs(60)), &mut random).as_secs();
        assert_eq!(sooner, 30);
        let sooner = wait_after(Setback::Passing, 9, None, Some(Duration::ZERO), &mut random).as_secs();
        assert_eq!(sooner, 10);
        assert!(wait_after(Setback::Refusal, 9, None, Some(Duration::ZERO), &mut random) > HOUR / 3);
    }

    #[test]
    fn a_binding_is_renewed_in_time_and_not_all_at_once() {
        let mut random = Random::from_number(1);
        for (granted_s, latest_s) in [(3_600, 3_240), (120, 90), (60, 30), (20, 10), (4, 5), (0, 5)] {
            let all: Vec<_> = (0..100)
                .map(|_| refresh_after(Duration::from_secs(granted_s), &mut random).as_secs_f64())
                .collect();
            let bounds = (latest_s as f64 * 0.9).max(5.0)..=latest_s as f64;
            assert!(all.iter().all(|after| bounds.contains(after)), "{granted_s}: {all:?}");
        }
        assert_eq!(begin_after(1, &mut random).as_secs(), 0);
        assert!((0..100).all(|_| begin_after(100_000, &mut random) <= MAX_SPREAD));
    }

    #[test]
    fn the_contact_is_the_trunks_own_and_stays() {
        let credentials =
            |password: &str| Some(Credentials { username: "u".to_owned(), password: password.to_owned() });
        let trunk = |name: &str, password: &str| Trunk {
            register: Some(Register::default()),
            credentials: credentials(password),
            ..Trunk::new(name, Realm::Untrusted, Host::Name("a.example".to_owned()), None)
        };
        let user = |name, password, node| trunk(name, password).contact_user(node).unwrap();
        let first = user("a", "p", "n");
        assert_eq!(first, user("a", "p", "n"));
        assert_eq!(first.len(), 20);
        for other in [user("b", "p", "n"), user("a", "q", "n"), user("a", "p", "m")] {
            assert_ne!(first, other);
        }
        let own = Register { contact_user: Some("line1".to_owned()), ..Register::default() };
        let trunk = Trunk { register: Some(own), ..trunk("a", "p") };
        assert_eq!(trunk.contact_user("n").as_deref(), Some("line1"));
        assert_eq!(trunk.registered_user(), Some("u"));
    }
}
