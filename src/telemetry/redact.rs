//! Telephone numbers in the log, as `log.redact_numbers` wants them: `+1415xxxxx23`. Records of calls, the admin
//! API and captures have them whole: they are what is asked for by name.
//!
//! Must not know: where a line goes.

use std::fmt::{self, Display, Formatter, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// So many digits in a row are a number where they stand among words; ports and years are shorter.
const DIGITS_AMONG_WORDS: usize = 7;
/// Codes (112, 911) say nothing of who calls.
const CODE_MAX: usize = 3;
/// The last that are shown.
const TAIL: usize = 2;
/// The first that are shown at most: country and area.
const HEAD_MAX: usize = 4;
/// So many are hidden at least, where there are as many.
const HIDDEN_MIN: usize = 5;

/// Whether numbers are hidden: the process has one log.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Hides numbers from now on, or does so no more.
pub fn set_redacting(is_on: bool) {
    IS_ON.store(is_on, Relaxed);
}

/// The user part of an address, for the log.
pub fn number(text: &str) -> impl Display {
    Redacted { text, digits_min: CODE_MAX + 1, is_on: IS_ON.load(Relaxed) }
}

/// Words in which there may be numbers, for the log.
pub fn words(text: &str) -> impl Display {
    Redacted { text, digits_min: DIGITS_AMONG_WORDS, is_on: IS_ON.load(Relaxed) }
}

struct Redacted<'a> {
    text: &'a str,
    digits_min: usize,
    is_on: bool,
}

impl Display for Redacted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_on {
            return f.write_str(self.text);
        }
        let mut rest = self.text;
        while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
            let (before, from) = rest.split_at(start);
            let length = from.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(from.len());
            let (digits, after) = from.split_at(length);
            f.write_str(before)?;
            if digits.len() < self.digits_min {
                f.write_str(digits)?;
            } else {
                hide(digits, f)?;
            }
            rest = after;
        }
        f.write_str(rest)
    }
}

fn hide(digits: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let head = digits.len().saturating_sub(TAIL + HIDDEN_MIN).min(HEAD_MAX);
    let tail = digits.len() - TAIL;
    for (at, digit) in digits.chars().enumerate() {
        f.write_char(if at < head || at >= tail { digit } else { 'x' })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str, digits_min: usize) -> String {
        Redacted { text, digits_min, is_on: true }.to_string()
    }

    #[test]
    fn of_a_number_country_and_two_digits_are_left() {
        let number = |text| hidden(text, CODE_MAX + 1);
        assert_eq!(number("+14155550123"), "+1415xxxxx23");
        assert_eq!(number("02079460123"), "0207xxxxx23");
        assert_eq!(number("5550123"), "xxxxx23");
        assert_eq!(number("1234"), "xx34");
        assert_eq!(number("911"), "911");
        assert_eq!(number("anonymous"), "anonymous");
        assert_eq!(number(""), "");
    }

    #[test]
    fn among_words_a_port_and_an_address_stay() {
        let words = |text| hidden(text, DIGITS_AMONG_WORDS);
        assert_eq!(
            words("503 of 192.0.2.1:65535 for +14155550123."),
            "503 of 192.0.2.1:65535 for +1415xxxxx23."
        );
        assert_eq!(words("BYE from the caller"), "BYE from the caller");
    }

    #[test]
    fn nothing_is_hidden_unless_asked_for() {
        let shown = Redacted { text: "+14155550123", digits_min: 4, is_on: false };
        assert_eq!(shown.to_string(), "+14155550123");
    }
}
