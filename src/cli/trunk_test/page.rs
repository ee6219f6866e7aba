//! The report for people: a line a step, with its time; what to do about it below.

use std::collections::HashSet;
use std::time::Duration;

use super::super::style::{Ink, Palette};
use super::step::{Mark, Report, Step, TargetReport};

/// No hint is wider, in characters, unless what is to be typed is.
const WIDTH: usize = 110;

/// How it is written: signs and colours where a person reads, plain words elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) palette: Palette,
    /// ✓ and ✗, or ok and FAIL.
    pub(super) has_signs: bool,
}

impl Page {
    /// The whole page.
    pub(super) fn print(self, report: &Report) -> String {
        let trunk = self.palette.paint(Ink::Bold, &report.trunk);
        let mut lines = vec![String::new(), format!("  trunk {trunk}"), String::new()];
        let mut told = HashSet::new();
        lines.extend(report.before.iter().flat_map(|step| self.step(step, &mut told)));
        for target in &report.targets {
            lines.push(String::new());
            lines.push(self.target(target));
            lines.extend(target.steps.iter().flat_map(|step| self.step(step, &mut told)));
        }
        lines.push(String::new());
        lines.push(self.verdict(report));
        lines.push(String::new());
        lines.join("\n") + "\n"
    }

    fn target(self, target: &TargetReport) -> String {
        let place = &target.place;
        let at = self.palette.paint(Ink::Bold, &format!("{} {}", place.address, place.transport));
        let is_named = place.name.parse() != Ok(place.address.ip());
        let host = if is_named {
            self.palette.paint(Ink::Faint, &format!("  {}", place.name))
        } else {
            String::new()
        };
        format!("  {at}{host}")
    }

    /// A step; what was told of it at another target is not told again.
    fn step<'r>(self, step: &'r Step, told: &mut HashSet<&'r str>) -> Vec<String> {
        let name = format!("{:<14}", step.name.as_str());
        let time = format!("{:>8}", step.took.map(milliseconds).unwrap_or_default());
        let (name, time) = match step.mark {
            Mark::Failed => (name, self.palette.paint(Ink::Faint, &time)),
            _ => (self.palette.paint(Ink::Faint, &name), self.palette.paint(Ink::Faint, &time)),
        };
        let what = match step.mark {
            Mark::Skipped => self.palette.paint(Ink::Faint, &step.what),
            _ => step.what.clone(),
        };
        let mark = self.mark(step.mark);
        // Below the name: what is to be typed has the line for itself.
        let indent = " ".repeat(if self.has_signs { 6 } else { 9 });
        let mut lines = vec![format!("  {mark} {name} {time}  {what}").trim_end().to_owned()];
        let all = step.hints.len();
        let hints: Vec<&str> =
            step.hints.iter().map(String::as_str).filter(|hint| told.insert(hint)).collect();
        let above = (hints.len() < all).then_some("as above");
        for hint in above.into_iter().chain(hints) {
            let mut begin = "- ";
            for line in wrapped(hint, WIDTH.saturating_sub(indent.len() + 2)) {
                lines.push(format!("{indent}{begin}{line}"));
                begin = "  ";
            }
        }
        lines
    }

    fn mark(self, mark: Mark) -> String {
        let (sign, word, ink) = match mark {
            Mark::Passed => ("✓", "ok", Ink::Good),
            Mark::Warned => ("!", "warn", Ink::Provisional),
            Mark::Failed => ("✗", "FAIL", Ink::Bad),
            Mark::Skipped => ("–", "skip", Ink::Faint),
        };
        if self.has_signs { self.palette.paint(ink, sign) } else { format!("{word:<4}") }
    }

    fn verdict(self, report: &Report) -> String {
        let (mark, ink) =
            if report.has_passed() { (Mark::Passed, Ink::Good) } else { (Mark::Failed, Ink::Bad) };
        let text = format!("{}; {}", report.summary(), milliseconds(report.took));
        format!("  {} {}", self.mark(mark), self.palette.paint(ink, &text))
    }
}

/// Lines of so many characters, broken at blanks; what is to be typed stays whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces(text) {
        let room = lines.last().map(|line| line.chars().count() + 1 + piece.chars().count());
        match lines.last_mut() {
            Some(line) if room.is_some_and(|room| room <= width) => {
                line.push(' ');
                line.push_str(&piece);
            }
            _ => lines.push(piece),
        }
    }
    lines
}

/// Words, and what must not be broken: `{ … }`, `"…"`, `key = value`.
fn pieces(text: &str) -> Vec<String> {
    let (mut depth, mut is_quoted, mut before) = (0_usize, false, ' ');
    let mut pieces = vec![String::new()];
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        let is_end = letter == ' ' && depth == 0 && !is_quoted && before != '=';
        match pieces.last_mut() {
            Some(piece) if !is_end => piece.push(letter),
            _ => pieces.push(String::new()),
        }
        before = letter;
    }
    join_assignments(pieces)
}

/// A word before `= value` belongs to it.
fn join_assignments(words: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(before) if word.starts_with("= ") => {
                before.push(' ');
                before.push_str(&word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

/// `12 ms`, `0.4 ms`.
fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1_000.0;
    if milliseconds < 9.95 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::super::step::Name;
    use super::*;

    #[test]
    fn what_is_to_be_typed_stays_on_its_line() {
        let hint = "write tls = { ca = \"/etc/ca.pem\" } in [trunk.a], or host = \"b c\" there";
        let lines = ["write", "tls = { ca = \"/etc/ca.pem\" }", "in [trunk.a], or", "host = \"b c\" there"];
        assert_eq!(wrapped(hint, 20), lines);
        assert_eq!(wrapped(hint, 500), [hint]);
    }

    #[test]
    fn people_read_signs_and_pipes_words() {
        let page = Page { palette: Palette::PLAIN, has_signs: true };
        let step = Step::failed(Name::Options, "no answer").hint("do this");
        let step_of = |page: Page| page.step(&step, &mut HashSet::new());
        assert_eq!(step_of(page), ["  ✗ options                  no answer", "      - do this"]);
        let page = Page { has_signs: false, ..page };
        assert_eq!(step_of(page), ["  FAIL options                  no answer", "         - do this"]);
        let again = page.step(&step, &mut HashSet::from(["do this"]));
        assert_eq!(again, ["  FAIL options                  no answer", "         - as above"]);
    }
}
