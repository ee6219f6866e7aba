//! The order among equals: lower priorities first, and within one a draw by weight (RFC 2782), anew
//! for each call.

use crate::base::Random;

/// Something that has its place by priority and weight.
#[derive(Clone, Debug)]
pub(super) struct Ranked<T> {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) what: T,
}

/// In the order in which they are to be tried. Without randomness: the heavier first, and equals as
/// they came, which is what can be said beforehand.
pub(super) fn order<T>(mut items: Vec<Ranked<T>>, mut random: Option<&mut Random>) -> Vec<T> {
    items.sort_by_key(|item| (item.priority, std::cmp::Reverse(item.weight)));
    let mut ordered = Vec::with_capacity(items.len());
    let mut rest = items.into_iter().peekable();
    while let Some(first) = rest.next() {
        let priority = first.priority;
        let mut equals = vec![first];
        while let Some(next) = rest.next_if(|next| next.priority == priority) {
            equals.push(next);
        }
        match random.as_deref_mut() {
            Some(random) if equals.len() > 1 => draw(equals, random, &mut ordered),
            Some(_) | None => ordered.extend(equals.into_iter().map(|item| item.what)),
        }
    }
    ordered
}

/// RFC 2782: "To select a target to be contacted next, arrange all SRV RRs (that have not been ordered
/// yet) in any order, except that all those with weight 0 are placed at the beginning of the list.
/// Compute the sum of the weights of those RRs, and with each RR associate the running sum in the
/// selected order. Then choose a uniform random number between 0 and the sum computed (inclusive), and
/// select the RR whose running sum value is the first in the selected order which is greater than or
/// equal to the random number selected."
fn draw<T>(mut equals: Vec<Ranked<T>>, random: &mut Random, ordered: &mut Vec<T>) {
    // "Any order" is a fair one, so that those of weight 0 share what falls to them.
    for at in (1..equals.len()).rev() {
        let other = random.below(u32::try_from(at + 1).unwrap_or(u32::MAX)) as usize;
        equals.swap(at, other);
    }
    equals.sort_by_key(|item| item.weight != 0);
    while !equals.is_empty() {
        let sum: u32 = equals.iter().map(|item| u32::from(item.weight)).sum();
        let chosen = random.below(sum.saturating_add(1));
        let mut running = 0;
        let at = equals.iter().position(|item| {
            running += u32::from(item.weight);
            running >= chosen
        });
        ordered.push(equals.remove(at.unwrap_or(0)).what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(items: &[(u16, u16, &'static str)]) -> Vec<Ranked<&'static str>> {
        items.iter().map(|&(priority, weight, what)| Ranked { priority, weight, what }).collect()
    }

    #[test]
    fn priorities_come_first_and_weights_share_what_is_equal() {
        let items = [(20, 1, "reserve"), (10, 60, "large"), (10, 30, "small"), (10, 10, "least")];
        let mut random = Random::from_number(7);
        let mut firsts = std::collections::BTreeMap::<_, u32>::new();
        for _ in 0..10_000 {
            let order = order(ranked(&items), Some(&mut random));
            assert_eq!(order.len(), 4);
            assert_eq!(order[3], "reserve");
            *firsts.entry(order[0]).or_default() += 1;
        }
        for (name, share) in [("large", 6_000), ("small", 3_000), ("least", 1_000)] {
            assert!(firsts[name].abs_diff(share) < 250, "{firsts:?}");
        }
    }

    #[test]
    fn a_weight_of_zero_has_a_small_chance_and_zeros_alone_share() {
        let mut random = Random::from_number(8);
        let mut first = |items: &[(u16, u16, &'static str)], name| {
            let firsts = (0..10_000).map(|_| order(ranked(items), Some(&mut random))[0]);
            firsts.filter(|first| *first == name).count()
        };
        let seldom = first(&[(0, 0, "zero"), (0, 99, "heavy")], "zero");
        assert!((20..300).contains(&seldom), "{seldom}");
        let half = first(&[(0, 0, "a"), (0, 0, "b")], "b");
        assert!((4_700..5_300).contains(&half), "{half}");
    }

    #[test]
    fn without_a_draw_the_heavier_comes_first() {
        let items = [(10, 1, "b"), (10, 5, "a"), (5, 0, "first"), (10, 1, "c")];
        assert_eq!(order(ranked(&items), None), ["first", "a", "b", "c"]);
    }
}
