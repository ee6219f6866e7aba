//! Colours where a person reads on a terminal, plain text everywhere else.

use std::io::IsTerminal;

/// What a piece of text is; on a terminal each has its colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ink {
    /// As the terminal writes.
    #[default]
    Plain,
    /// What stands out.
    Bold,
    /// What frames the rest.
    Faint,
    /// A request.
    Request,
    /// A provisional response.
    Provisional,
    /// A success.
    Good,
    /// A failure.
    Bad,
    /// Audio.
    Media,
    /// Where the cursor is.
    Selected,
}

/// Whether to colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Palette {
    colours: bool,
}

impl Palette {
    /// No colours.
    pub const PLAIN: Palette = Palette { colours: false };

    /// For standard output: colours on a terminal, unless NO_COLOR is set and not empty
    /// (no-color.org) or the terminal has none.
    pub fn of_stdout() -> Palette {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Palette { colours: std::io::stdout().is_terminal() && !refused && !is_dumb }
    }

    /// `text` in its ink.
    pub fn paint(self, ink: Ink, text: &str) -> String {
        match (self.colours, ink.code()) {
            (true, Some(code)) if !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            (_, _) => text.to_owned(),
        }
    }
}

impl Ink {
    /// The parameter of SGR (ECMA-48 §8.3.117).
    const fn code(self) -> Option<&'static str> {
        match self {
            Ink::Plain => None,
            Ink::Bold => Some("1"),
            Ink::Faint => Some("2"),
            Ink::Request => Some("36"),
            Ink::Provisional => Some("33"),
            Ink::Good => Some("32"),
            Ink::Bad => Some("1;31"),
            Ink::Media => Some("35"),
            Ink::Selected => Some("7"),
        }
    }
}

/// What a terminal would obey instead of showing it: control characters, and those that turn the direction of
/// writing (Unicode UAX #9 §2), by which a stranger's words would look like ours.
pub fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text with a mark in place of each character that a terminal would obey.
pub fn shown(text: &str) -> String {
    text.chars().map(|letter| if is_obeyed(letter) { '\u{fffd}' } else { letter }).collect()
}

/// A line of text whose characters have inks; written where they belong, in any order.
#[derive(Clone, Debug, Default)]
pub struct Line(Vec<(char, Ink)>);

impl Line {
    /// Writes over what stands from `column` on (counted in characters).
    pub fn put(&mut self, column: usize, ink: Ink, text: &str) {
        for (at, letter) in (column..).zip(text.chars()) {
            if self.0.len() <= at {
                self.0.resize(at + 1, (' ', Ink::Plain));
            }
            self.0[at] = (letter, ink);
        }
    }

    /// Writes with the middle of the text at `column`.
    pub fn put_centred(&mut self, column: usize, ink: Ink, text: &str) {
        self.put(column.saturating_sub(text.chars().count() / 2), ink, text);
    }

    /// The line, without blanks at its end.
    pub fn print(&self, palette: Palette) -> String {
        let end = self.0.iter().rposition(|(letter, _)| *letter != ' ').map_or(0, |last| last + 1);
        self.0[..end]
            .chunk_by(|(_, one), (_, next)| one == next)
            .map(|run| palette.paint(run[0].1, &run.iter().map(|(letter, _)| *letter).collect::<String>()))
            .collect()
    }
}

/// Lines for a golden test: behind a mark, so that their indentation is compared, too.
#[cfg(test)]
pub fn framed(lines: &[String]) -> String {
    lines.iter().map(|line| format!("|{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_ink_are_painted_once_and_plain_text_never() {
        let mut line = Line::default();
        line.put(2, Ink::Good, "──►");
        line.put(1, Ink::Faint, "│");
        line.put_centred(8, Ink::Plain, "ab ");
        assert_eq!(line.print(Palette::PLAIN), " │──►  ab");
        let colours = Palette { colours: true };
        assert_eq!(line.print(colours), " \x1b[2m│\x1b[0m\x1b[32m──►\x1b[0m  ab");
    }
}
