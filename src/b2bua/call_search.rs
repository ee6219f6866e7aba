//! Which calls an operator means: those of which some text holds every word, in any case of letters.
//!
//! Asked for while calls wait, so nothing is copied of a call that is not meant.

use super::call::{Call, Leg};
use super::operator::CallPhase;
use crate::media::Side;

/// So many words are heeded.
pub const WORDS_MAX: usize = 8;
/// So many bytes of what is searched for.
pub const SEARCH_MAX: usize = 128;

/// Words, each of which must be found; none: every call is meant.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CallSearch {
    words: Vec<String>,
}

impl CallSearch {
    /// Of what an operator typed: at most `WORDS_MAX` words, of at most `SEARCH_MAX` bytes.
    pub fn of(text: &str) -> CallSearch {
        let end = (0..=text.len().min(SEARCH_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let words = text.get(..end).unwrap_or_default().split_whitespace();
        CallSearch { words: words.take(WORDS_MAX).map(str::to_owned).collect() }
    }

    /// Whether every word is in its id, its numbers, its phase, the trunk or the address of a leg, in `emergency` if it
    /// is one, or in what is said of a side that is not heard (`caller not heard`).
    pub(super) fn finds(&self, call: &Call) -> bool {
        self.words.iter().all(|word| holds(call, word.as_bytes()))
    }
}

fn holds(call: &Call, word: &[u8]) -> bool {
    let numbers = &call.numbers;
    [&call.id, &numbers.from_received, &numbers.called_received].into_iter().any(|text| contains(text, word))
        || std::iter::once(&call.a).chain(&call.b).any(|leg| holds_leg(leg, word))
        || contains(CallPhase::of(call).as_str(), word)
        || call.is_emergency() && contains("emergency", word)
        || call.media.not_heard().into_iter().any(|side| contains(not_heard(side), word))
}

fn holds_leg(leg: &Leg, word: &[u8]) -> bool {
    leg.trunk.as_ref().is_some_and(|trunk| contains(trunk.as_str(), word))
        || contains(&leg.hop.peer.to_string(), word)
}

const fn not_heard(side: Side) -> &'static str {
    match side {
        Side::A => "caller not heard",
        Side::B => "callee not heard",
    }
}

fn contains(text: &str, word: &[u8]) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_bounded_and_cut_between_characters() {
        assert_eq!(CallSearch::of(" \t "), CallSearch::default());
        assert_eq!(CallSearch::of("+1202  Carrier").words, ["+1202", "Carrier"]);
        assert_eq!(CallSearch::of(&"a ".repeat(1_000)).words.len(), WORDS_MAX);
        let long = CallSearch::of(&"é".repeat(1_000)).words;
        assert_eq!(long, ["é".repeat(SEARCH_MAX / 2)]);
        assert_eq!(CallSearch::of(&format!("a{}", "é".repeat(1_000))).words[0].len(), SEARCH_MAX - 1);
    }

    #[test]
    fn letters_are_found_in_any_case() {
        assert!(contains("Carrier-A", b"carrier"));
        assert!(contains("x", b"X"));
        assert!(!contains("carr", b"carrier"));
    }
}
