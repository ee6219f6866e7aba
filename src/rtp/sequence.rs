//! What the sequence numbers of one SSRC say: which packets are missing, which came late, which came
//! twice (RFC 3550 A.1, A.3). A window of [`WINDOW`] packets is remembered, so that a packet that came
//! twice hides no other's loss.
//!
//! Must not know: timestamps, codecs.

/// How many packets behind the highest one are told apart: what is later than this is another's
/// beginning, or nothing that a listener could use (A.1 has MAX_MISORDER 100).
pub const WINDOW: u16 = 128;
/// A jump forward of fewer than this is loss; this many or more, and continued, is a restart (RFC 3550 A.1,
/// MAX_DROPOUT).
pub const DROPOUT_MAX: u16 = 3_000;
/// Where counting begins: packets from before the first one may still come.
const FIRST_CYCLE: u32 = 1 << 16;

/// What a sequence number is to those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// In order, after so many that are missing.
    Ahead(u16),
    /// Late, and until now taken for lost.
    Late,
    /// It has been here before.
    Duplicate,
    /// Far off, once: neither loss nor anything else.
    Jump,
    /// Far off and continued: the sender began anew with the packet before this one.
    Restart,
}

/// The packets of one SSRC since its last restart. Plain data of a fixed size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// The lowest number that is expected, and the highest that came, both with their cycles: at 1,000
    /// packets a second these last for 49 days.
    lowest: u32,
    highest: u32,
    /// Bit n: the packet n before the highest has come, or is none of ours.
    window: u128,
    /// Of the packets that have left the window.
    lost: u32,
    /// Runs of lost packets among them, and whether the last of them was lost.
    runs: u32,
    ends_lost: bool,
    /// The packet after a jump; if it comes, the jump was a restart (A.1, bad_seq).
    restart_candidate: Option<u16>,
}

impl Sequence {
    /// One that begins with this packet.
    pub fn begin(sequence: u16) -> Sequence {
        let first = FIRST_CYCLE + u32::from(sequence);
        Sequence {
            lowest: first,
            highest: first,
            window: u128::MAX,
            lost: 0,
            runs: 0,
            ends_lost: false,
            restart_candidate: None,
        }
    }

    /// Takes a further packet into account.
    pub fn receive(&mut self, sequence: u16) -> Step {
        let ahead = sequence.wrapping_sub(self.highest());
        let behind = self.highest().wrapping_sub(sequence);
        if (1..DROPOUT_MAX).contains(&ahead) {
            self.restart_candidate = None;
            self.advance(ahead);
            Step::Ahead(ahead - 1)
        } else if behind < WINDOW {
            self.look_back(behind)
        } else if self.restart_candidate == Some(sequence) {
            Step::Restart
        } else {
            self.restart_candidate = Some(sequence.wrapping_add(1));
            Step::Jump
        }
    }

    /// The highest sequence number that came.
    pub fn highest(&self) -> u16 {
        self.highest as u16
    }

    /// Packets that should have come.
    pub fn expected(&self) -> u64 {
        u64::from(self.highest.saturating_sub(self.lowest)) + 1
    }

    /// Packets that did not come, or not yet.
    pub fn lost(&self) -> u64 {
        u64::from(self.lost) + u64::from(self.window.count_zeros())
    }

    /// Runs of packets that did not come: of random loss there are nearly as many as of packets.
    pub fn runs(&self) -> u64 {
        u64::from(self.runs) + u64::from(runs_in(self.window, u32::from(WINDOW), self.ends_lost))
    }

    fn advance(&mut self, ahead: u16) {
        let window = u32::from(WINDOW);
        let leaving = u32::from(ahead).min(window);
        // The oldest packet is the highest bit.
        let left = if leaving == window { self.window } else { self.window >> (window - leaving) };
        self.lost = self.lost.saturating_add(leaving - left.count_ones());
        self.runs = self.runs.saturating_add(runs_in(left, leaving, self.ends_lost));
        self.ends_lost = left & 1 == 0;
        // Those of a long gap never were in the window.
        let passed_over = u32::from(ahead).saturating_sub(window);
        if passed_over > 0 {
            self.lost = self.lost.saturating_add(passed_over);
            self.runs = self.runs.saturating_add(u32::from(!self.ends_lost));
            self.ends_lost = true;
        }
        self.window = if leaving == window { 1 } else { self.window << leaving | 1 };
        self.highest = self.highest.saturating_add(ahead.into());
    }

    fn look_back(&mut self, behind: u16) -> Step {
        let number = self.highest.saturating_sub(behind.into());
        if number < self.lowest {
            // It was sent before the packet that we took for the first: those between are expected now.
            let between = self.lowest - number - 1;
            self.lowest = number;
            let unseen = ((1u128 << between) - 1) << (u32::from(behind) - between);
            self.window &= !unseen;
            return Step::Late;
        }
        let bit = 1u128 << behind;
        if self.window & bit != 0 {
            return Step::Duplicate;
        }
        self.window |= bit;
        Step::Late
    }
}

/// Runs of zeros that begin among the `count` lowest bits of `bits`, read from the highest down;
/// `after_lost`: what was before them was a zero.
fn runs_in(bits: u128, count: u32, after_lost: bool) -> u32 {
    if count == 0 {
        return 0;
    }
    let top = 1u128 << (count - 1);
    let mask = top | (top - 1);
    let before = (bits >> 1) & (top - 1) | if after_lost { 0 } else { top };
    (!bits & before & mask).count_ones()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &[u16]) -> (Sequence, Vec<Step>) {
        let mut sequence = Sequence::begin(numbers[0]);
        let steps = numbers[1..].iter().map(|number| sequence.receive(*number)).collect();
        (sequence, steps)
    }

    #[test]
    fn a_duplicate_hides_no_loss() {
        let (sequence, steps) = of(&[1, 2, 2, 5, 5, 5, 6]);
        assert_eq!((sequence.expected(), sequence.lost(), sequence.runs()), (6, 2, 1));
        assert_eq!(steps.iter().filter(|step| **step == Step::Duplicate).count(), 3);
    }

    #[test]
    fn a_late_packet_is_not_lost_and_comes_once() {
        let (sequence, steps) = of(&[1, 2, 5, 3, 4, 3, 6]);
        assert_eq!((sequence.expected(), sequence.lost(), sequence.runs()), (6, 0, 0));
        assert_eq!(steps[2..5], [Step::Late, Step::Late, Step::Duplicate]);
    }

    #[test]
    fn what_was_sent_before_the_first_packet_counts_when_it_comes() {
        let (sequence, steps) = of(&[65_535, 0, 65_531, 65_533, 1]);
        assert_eq!((sequence.expected(), sequence.lost()), (7, 2));
        assert_eq!(steps[1..3], [Step::Late, Step::Late]);
        let (sequence, _) = of(&[500, 500 - 127]);
        assert_eq!((sequence.expected(), sequence.lost(), sequence.runs()), (128, 126, 1));
    }

    #[test]
    fn losses_that_have_left_the_window_stay_counted() {
        // Every tenth is missing; then a long gap; then all come.
        let numbers: Vec<u16> =
            (0..1_000).filter(|number| number % 10 != 9).chain(2_500..3_000).map(|n| n as u16).collect();
        let (sequence, _) = of(&numbers);
        assert_eq!((sequence.expected(), sequence.lost()), (3_000, 100 + 1_500));
        // The last of the tenths is at the edge of the gap.
        assert_eq!(sequence.runs(), 100);
    }

    #[test]
    fn a_gap_of_any_length_up_to_the_limit_is_one_run() {
        for gap in [1, 2, 126, 127, 128, 129, 130, 255, 256, 2_998] {
            let (sequence, steps) = of(&[7, 8, 8 + gap + 1, 8 + gap + 2]);
            assert_eq!(steps[1], Step::Ahead(gap), "{gap}");
            assert_eq!((sequence.lost(), sequence.runs()), (gap.into(), 1), "{gap}");
            let mut later = sequence;
            (1..400).for_each(|n| assert_eq!(later.receive(8 + gap + 2 + n), Step::Ahead(0)));
            assert_eq!((later.lost(), later.runs()), (gap.into(), 1), "{gap}");
        }
    }

    #[test]
    fn a_jump_is_a_restart_only_when_it_goes_on() {
        let (sequence, steps) = of(&[10, 40_000, 11, 12]);
        assert_eq!(steps, [Step::Jump, Step::Ahead(0), Step::Ahead(0)]);
        assert_eq!((sequence.expected(), sequence.lost()), (3, 0));
        assert_eq!(of(&[10, 40_000, 40_001]).1, [Step::Jump, Step::Restart]);
        assert_eq!(of(&[10_000, 9_000, 9_001]).1, [Step::Jump, Step::Restart]);
    }

    /// Every number of the stream, in a set.
    fn naive(numbers: &[u16]) -> (u64, u64, u64) {
        let first = 100_000i64;
        let mut came = BTreeSet::from([first]);
        let (mut highest, mut late, mut doubled) = (first, 0, 0);
        for pair in numbers.windows(2).scan(first, |at, pair| {
            // The shortest way from one number to the next: the streams below never jump.
            *at += i64::from(pair[1].wrapping_sub(pair[0]) as i16);
            Some(*at)
        }) {
            if !came.insert(pair) {
                doubled += 1;
            } else if pair < highest {
                late += 1;
            }
            highest = highest.max(pair);
        }
        let lowest = *came.first().unwrap();
        let lost = (highest - lowest + 1) as u64 - came.len() as u64;
        (lost, late, doubled)
    }

    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Arrives,
        IsLost,
        IsDoubled,
        IsLate(usize),
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            10 => Just(Fate::Arrives),
            2 => Just(Fate::IsLost),
            1 => Just(Fate::IsDoubled),
            2 => (1..60usize).prop_map(Fate::IsLate),
        ]
    }

    proptest! {
        #[test]
        fn any_loss_reordering_and_doubling_is_counted_as_a_list_of_all_packets_does(
            first: u16,
            fates in proptest::collection::vec(fate(), 1..700),
        ) {
            // Each packet with the place at which it arrives.
            let mut arrivals: Vec<(usize, u16)> = Vec::new();
            for (at, fate) in fates.iter().enumerate() {
                let number = first.wrapping_add(at as u16);
                match fate {
                    Fate::Arrives => arrivals.push((at, number)),
                    Fate::IsLost => {}
                    Fate::IsDoubled => arrivals.extend([(at, number), (at + 3, number)]),
                    Fate::IsLate(by) => arrivals.push((at + by, number)),
                }
            }
            arrivals.sort_by_key(|(at, _)| *at);
            let numbers: Vec<u16> = arrivals.into_iter().map(|(_, number)| number).collect();
            prop_assume!(!numbers.is_empty());
            let (sequence, steps) = of(&numbers);
            let (lost, late, doubled) = naive(&numbers);
            let count = |step| steps.iter().filter(|it| **it == step).count() as u64;
            prop_assert_eq!(sequence.lost(), lost);
            prop_assert_eq!((count(Step::Late), count(Step::Duplicate)), (late, doubled));
            prop_assert_eq!(count(Step::Jump) + count(Step::Restart), 0);
            prop_assert!(sequence.runs() <= lost && (lost == 0) == (sequence.runs() == 0));
            prop_assert_eq!(sequence.expected(), numbers.len() as u64 - doubled + lost);
        }

        #[test]
        fn no_numbers_at_all_make_more_lost_than_expected(
            numbers in proptest::collection::vec(any::<u16>(), 1..300),
        ) {
            let (sequence, _) = of(&numbers);
            prop_assert!(sequence.lost() < sequence.expected());
            prop_assert!(sequence.runs() <= sequence.lost());
        }
    }
}
