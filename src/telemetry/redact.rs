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
    Redacted { text, is_number: true, is_on: IS_ON.load(Relaxed) }
}

/// Words in which there may be numbers, for the log.
pub fn words(text: &str) -> impl Display {
    Redacted { text, is_number: false, is_on: IS_ON.load(Relaxed) }
}

struct Redacted<'a> {
    text: &'a str,
    is_number: bool,
    is_on: bool,
}

impl Display for Redacted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.is_on, self.is_number) {
            (false, _) => plain(self.text, f),
            (true, true) => number_hidden(self.text, f),
            (true, false) => words_hidden(self.text, f),
        }
    }
}

/// What a peer said is no line of ours, and moves no cursor.
fn plain(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    text.chars().try_for_each(|letter| letter_of(letter, f))
}

fn letter_of(letter: char, f: &mut Formatter<'_>) -> fmt::Result {
    if letter.is_control() { write!(f, "{}", letter.escape_debug()) } else { f.write_char(letter) }
}

/// All digits are one number's, whatever stands between them (visual separators, RFC 3966).
fn number_hidden(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let mut at = 0;
    for letter in text.chars() {
        let is_digit = letter.is_ascii_digit();
        let is_shown = !is_digit || digits <= CODE_MAX || is_shown(at, digits);
        letter_of(if is_shown { letter } else { 'x' }, f)?;
        at += usize::from(is_digit);
    }
    Ok(())
}

fn words_hidden(text: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let mut rest = text;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let length = from.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(length);
        plain(before, f)?;
        if digits.len() < DIGITS_AMONG_WORDS {
            f.write_str(digits)?;
        } else {
            number_hidden(digits, f)?;
        }
        rest = after;
    }
    plain(rest, f)
}

/// Whether the digit at this place of a number of so many is shown.
fn is_shown(at: usize, digits: usize) -> bool {
    let head = digits.saturating_sub(TAIL + HIDDEN_MIN).min(HEAD_MAX);
    at < head || at + TAIL >= digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str, is_number: bool) -> String {
        Redacted { text, is_number, is_on: true }.to_string()
    }

    #[test]
    fn of_a_number_country_and_two_digits_are_left() {
        let number = |text| hidden(text, true);
        assert_eq!(number("+14155550123"), "+1415xxxxx23");
        assert_eq!(number("02079460123"), "0207xxxxx23");
        assert_eq!(number("5550123"), "xxxxx23");
        assert_eq!(number("1234"), "xx34");
        assert_eq!(number("911"), "911");
        assert_eq!(number("+1-415-555-0123"), "+1-415-xxx-xx23");
        assert_eq!(number("+1(415)555.0123"), "+1(415)xxx.xx23");
        assert_eq!(number("anonymous"), "anonymous");
        assert_eq!(number(""), "");
    }

    #[test]
    fn among_words_a_port_and_an_address_stay() {
        let words = |text| hidden(text, false);
        assert_eq!(
            words("503 of 192.0.2.1:65535 for +14155550123."),
            "503 of 192.0.2.1:65535 for +1415xxxxx23."
        );
        assert_eq!(words("BYE from the caller"), "BYE from the caller");
    }

    #[test]
    fn nothing_is_hidden_unless_asked_for() {
        let shown = |text| Redacted { text, is_number: true, is_on: false }.to_string();
        assert_eq!(shown("+14155550123"), "+14155550123");
    }

    #[test]
    fn nothing_that_a_peer_said_is_a_line_or_an_escape() {
        for (is_on, is_number) in [(false, true), (false, false), (true, true), (true, false)] {
            let text = "x\nERROR a worker\u{1b}[2J\u{9b}1m";
            let shown = Redacted { text, is_number, is_on }.to_string();
            assert!(!shown.contains(char::is_control), "{shown}");
            assert!(shown.starts_with("x\\nERROR a worker\\u{1b}["), "{shown}");
        }
    }
}
