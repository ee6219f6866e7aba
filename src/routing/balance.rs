//! In which order the trunks of a route are tried: tier after tier, and within a tier as the route's
//! `balance` says. Whoever is not the first of a tier follows as its reserve.
//!
//! Must not know: targets of a trunk, limits (a full trunk is passed over when its turn comes).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::limits::CallLimits;
use super::settings::{Route, Settings};
use crate::base::{Random, TrunkName};

/// The highest weight, as that of an SRV record (RFC 2782).
pub const MAX_WEIGHT: u32 = 65_535;

/// `balance` of a route: which trunk of a tier is the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Balance {
    /// At random, each as often as its weight says.
    #[default]
    Weight,
    /// Each in its turn.
    RoundRobin,
    /// The one with the fewest calls for its weight.
    LeastCalls,
    /// The same for all calls of a caller, as long as it is there; each for as many callers as its
    /// weight says.
    Hash,
}

impl Balance {
    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Balance::Weight => "weight",
            Balance::RoundRobin => "round-robin",
            Balance::LeastCalls => "least-calls",
            Balance::Hash => "hash",
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A trunk in a tier of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TierTrunk {
    /// Its name.
    pub trunk: TrunkName,
    /// Its weight in this tier; absent: the trunk's own.
    pub weight: Option<u32>,
}

impl<T: Into<TrunkName>> From<T> for TierTrunk {
    fn from(name: T) -> TierTrunk {
        TierTrunk { trunk: name.into(), weight: None }
    }
}

impl fmt::Display for TierTrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            Some(weight) => write!(f, "{} weight {weight}", self.trunk),
            None => write!(f, "{}", self.trunk),
        }
    }
}

/// What a route chose for a call, before it is said who comes first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// `name` of the route.
    pub route: String,
    /// How a tier is ordered.
    pub balance: Balance,
    /// To be tried in this order; none is empty.
    pub tiers: Vec<Tier>,
}

/// The enabled trunks of one tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tier {
    /// Its place in the route, from 1.
    pub number: usize,
    /// Each with its weight, as written. 0: only when nobody else takes the call.
    pub trunks: Vec<(TrunkName, u32)>,
}

impl Selection {
    /// The enabled trunks of a route. A trunk that stands in it twice counts where it stands first.
    pub(super) fn of(
        route: &Route,
        settings: &Settings,
        is_enabled: impl Fn(&TrunkName) -> bool,
    ) -> Selection {
        let mut selection =
            Selection { route: route.name.clone(), balance: route.balance, tiers: Vec::new() };
        for (number, tier) in (1..).zip(&route.tiers) {
            let mut trunks: Vec<(TrunkName, u32)> = Vec::new();
            for member in tier {
                let trunk = settings.trunk(&member.trunk).filter(|trunk| is_enabled(&trunk.name));
                let is_there = selection.trunks().chain(trunks.iter().map(|(name, _)| name));
                if let Some(trunk) = trunk
                    && !is_there.into_iter().any(|name| *name == member.trunk)
                {
                    trunks.push((trunk.name.clone(), member.weight.unwrap_or(trunk.weight)));
                }
            }
            if !trunks.is_empty() {
                selection.tiers.push(Tier { number, trunks });
            }
        }
        selection
    }

    /// Every trunk, as written.
    pub fn trunks(&self) -> impl Iterator<Item = &TrunkName> {
        self.tiers.iter().flat_map(|tier| &tier.trunks).map(|(name, _)| name)
    }

    /// Leaves out the trunks for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&TrunkName) -> bool) {
        for tier in &mut self.tiers {
            tier.trunks.retain(|(name, _)| keep(name));
        }
        self.tiers.retain(|tier| !tier.trunks.is_empty());
    }
}

/// Whose turn it is in the tiers that are tried in turn, by route and tier.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(BTreeMap<(String, usize), usize>);

impl Turns {
    /// Forgets the routes that are gone.
    pub(super) fn retain_only(&mut self, routes: &[Route]) {
        self.0.retain(|(name, _), _| routes.iter().any(|route| route.name == *name));
    }

    fn take(&mut self, route: &str, tier: usize, members: usize) -> usize {
        let turn = self.0.entry((route.to_owned(), tier)).or_default();
        let now = *turn % members.max(1);
        *turn = now + 1;
        now
    }
}

/// The order in which the trunks of a selection are tried for a call of this caller.
pub(super) fn order(
    selection: &Selection,
    caller: &str,
    turns: &mut Turns,
    calls: &CallLimits,
    random: &mut Random,
) -> Vec<TrunkName> {
    let mut ordered = Vec::new();
    for tier in &selection.tiers {
        let (mut first, reserve): (Vec<_>, Vec<_>) = tier.trunks.iter().partition(|(_, weight)| *weight > 0);
        if first.len() > 1 {
            match selection.balance {
                Balance::RoundRobin => {
                    let turn = turns.take(&selection.route, tier.number, first.len());
                    first.rotate_left(turn);
                }
                Balance::Hash if !caller.is_empty() => first.sort_by(|a, b| by_hash(caller, a, b)),
                // Nobody in particular calls: spread, and not all to one trunk.
                Balance::Weight | Balance::Hash => shuffle(&mut first, random),
                Balance::LeastCalls => {
                    // On a quiet node all are equal: there the weight decides.
                    shuffle(&mut first, random);
                    first.sort_by(|a, b| by_load(calls, a, b));
                }
            }
        }
        ordered.extend(first.into_iter().chain(reserve).map(|(name, _)| name.clone()));
    }
    ordered
}

type Member = (TrunkName, u32);

/// Draws one after the other, each with the odds of its weight among those that are left.
fn shuffle(members: &mut [&Member], random: &mut Random) {
    for at in 0..members.len().saturating_sub(1) {
        let rest = members.get(at..).unwrap_or_default();
        let total = rest.iter().fold(0u32, |total, (_, weight)| total.saturating_add(*weight));
        let mut drawn = random.below(total);
        let offset = rest.iter().position(|(_, weight)| match drawn.checked_sub(*weight) {
            Some(left) => {
                drawn = left;
                false
            }
            None => true,
        });
        if let Some(chosen) = members.get_mut(at..=at + offset.unwrap_or(0)) {
            // The others stay as they were: who reads a trace finds them.
            chosen.rotate_right(1);
        }
    }
}

/// Fewer calls for its weight first.
fn by_load(calls: &CallLimits, (a, weight_a): &Member, (b, weight_b): &Member) -> Ordering {
    let load = |name, other: u32| u64::from(calls.calls(name)) * u64::from(other);
    load(a, *weight_b).cmp(&load(b, *weight_a))
}

/// Rendezvous hashing: every trunk has a score for the caller, and the highest is the first. A trunk
/// that comes or goes moves its own callers alone.
fn by_hash(caller: &str, (a, weight_a): &Member, (b, weight_b): &Member) -> Ordering {
    score(caller, b, *weight_b).total_cmp(&score(caller, a, *weight_a))
}

/// The score of a trunk of this weight: of two trunks one has the higher one for so many callers as its
/// share of their weights is, if the hashes are even (−w / ln u, the weighted form of the method).
fn score(caller: &str, trunk: &TrunkName, weight: u32) -> f64 {
    // 53 bits are what a fraction holds; half a step keeps it from 0 and from 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = ((hash(caller, trunk) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(weight) / fraction.ln()
}

/// The same on every node and in every version: FNV-1a, then the mixing step of SplitMix64.
fn hash(caller: &str, trunk: &TrunkName) -> u64 {
    let bytes = caller.bytes().chain([0xff]).chain(trunk.as_str().bytes());
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325, fold);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Instant;

    fn selection(balance: Balance, trunks: &[(&str, u32)]) -> Selection {
        let trunks = trunks.iter().map(|(name, weight)| ((*name).into(), *weight)).collect();
        Selection { route: "out".to_owned(), balance, tiers: vec![Tier { number: 1, trunks }] }
    }

    struct Bench {
        turns: Turns,
        calls: CallLimits,
        random: Random,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { turns: Turns::default(), calls: CallLimits::default(), random: Random::from_number(1) }
        }

        fn order(&mut self, selection: &Selection, caller: &str) -> Vec<String> {
            let ordered = order(selection, caller, &mut self.turns, &self.calls, &mut self.random);
            ordered.iter().map(|name| name.as_str().to_owned()).collect()
        }
    }

    /// How often each order came of so many calls.
    fn orders(selection: &Selection, calls: usize) -> BTreeMap<String, usize> {
        let mut bench = Bench::new();
        let mut counts = BTreeMap::new();
        for number in 0..calls {
            let caller =
                if selection.balance == Balance::Hash { format!("+1{number}") } else { String::new() };
            *counts.entry(bench.order(selection, &caller).join(" ")).or_default() += 1;
        }
        counts
    }

    #[track_caller]
    fn expect_about(found: Option<&usize>, wanted: usize) {
        let found = found.copied().unwrap_or_default();
        assert!(found.abs_diff(wanted) * 20 < wanted, "{found} instead of about {wanted}");
    }

    #[test]
    fn each_trunk_comes_first_as_often_as_its_weight_says_and_all_others_follow() {
        for balance in [Balance::Weight, Balance::Hash] {
            let found = orders(&selection(balance, &[("a", 3), ("b", 1), ("spare", 0)]), 20_000);
            expect_about(found.get("a b spare"), 15_000);
            expect_about(found.get("b a spare"), 5_000);
            assert_eq!(found.len(), 2, "{found:?}");
            // Without replacement: a first (1/2), then b to c as 2 to 1.
            let found = orders(&selection(balance, &[("a", 3), ("b", 2), ("c", 1)]), 60_000);
            expect_about(found.get("a b c"), 20_000);
            expect_about(found.get("a c b"), 10_000);
            expect_about(found.get("b a c"), 15_000);
        }
    }

    #[test]
    fn each_has_its_turn_and_a_reserve_has_none() {
        let mut bench = Bench::new();
        let three = selection(Balance::RoundRobin, &[("a", 5), ("spare", 0), ("b", 1), ("c", 1)]);
        let found: Vec<String> = (0..4).map(|_| bench.order(&three, "").join(" ")).collect();
        assert_eq!(found, ["a b c spare", "b c a spare", "c a b spare", "a b c spare"]);
        // Another route's turns are its own, and a tier that has shrunk goes on.
        let other = Selection { route: "other".to_owned(), ..three };
        assert_eq!(bench.order(&other, "").join(" "), "a b c spare");
        let two = selection(Balance::RoundRobin, &[("a", 1), ("b", 1)]);
        assert_eq!([0, 1].map(|_| bench.order(&two, "").join(" ")), ["b a", "a b"]);
    }

    #[test]
    fn the_trunk_with_the_fewest_calls_for_its_weight_is_first() {
        let mut bench = Bench::new();
        let trunks = selection(Balance::LeastCalls, &[("a", 2), ("b", 1)]);
        for _ in 0..300 {
            let first: TrunkName = bench.order(&trunks, "")[0].as_str().into();
            bench.calls.try_begin(&first, Instant::ZERO).unwrap();
        }
        assert_eq!((bench.calls.calls(&"a".into()), bench.calls.calls(&"b".into())), (200, 100));
        // Equal ones take turns by chance: a quiet node does not use one trunk alone.
        let found = orders(&trunks, 3_000);
        expect_about(found.get("a b"), 2_000);
    }

    #[test]
    fn a_caller_stays_with_its_trunk_when_others_come_and_go() {
        let mut bench = Bench::new();
        let all = [("a", 1), ("b", 2), ("c", 1)];
        let before = selection(Balance::Hash, &all);
        let without_c = selection(Balance::Hash, &all[..2]);
        let reversed = selection(Balance::Hash, &[("c", 1), ("b", 2), ("a", 1)]);
        for number in 0..2_000 {
            let caller = format!("+1202555{number:04}");
            let order = bench.order(&before, &caller);
            assert_eq!(order, bench.order(&reversed, &caller), "the order of writing does not count");
            let others: Vec<String> = order.into_iter().filter(|name| name != "c").collect();
            assert_eq!(others, bench.order(&without_c, &caller), "{caller}");
        }
        // These must never change: a fleet agrees on them.
        assert_eq!(hash("+12025550123", &"a".into()), hash("+12025550123", &TrunkName::from("a")));
        let nobody: std::collections::BTreeSet<_> =
            (0..100).map(|_| bench.order(&before, "")[0].clone()).collect();
        assert_eq!(nobody.len(), 3, "callers without a number are spread");
    }
}
