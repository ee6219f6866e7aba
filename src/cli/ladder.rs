//! The SIP ladder of one call: its four parties as columns, each message as an arrow.
//!
//! Must not know: where the messages were recorded.

use std::time::Duration;

use super::style::{Ink, Line, Palette};
use crate::sip::Status;

/// Where the four life lines stand, in a picture of 100 columns.
const LIFE_LINES: [usize; 4] = [18, 46, 64, 92];
/// Where the time ends.
const TIME_END: usize = 9;

/// One party at the head of its column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// What it is.
    pub title: String,
    /// Its SIP address.
    pub address: String,
}

/// One row of the picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Since the first.
    pub after: Duration,
    /// What is drawn.
    pub mark: Mark,
    /// What stands on it.
    pub label: String,
    /// In which ink.
    pub ink: Ink,
}

/// What a row draws.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// An arrow.
    Arrow(Gap, Heads),
    /// Words without an arrow and without a time.
    Note(Gap),
}

/// Between which life lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// Caller and SBC.
    Near,
    /// SBC and callee.
    Far,
}

/// Where an arrow points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heads {
    /// To the caller's side.
    Left,
    /// To the callee's.
    Right,
    /// Both ways.
    Both,
}

/// Draws it, a line each: caller, SBC towards it, SBC towards the callee, callee.
pub fn draw(parties: &[Head; 4], rows: &[Row], palette: Palette) -> Vec<String> {
    let mut lines = head(parties);
    lines.extend(rows.iter().map(Row::draw));
    lines.push(life_lines());
    lines.iter().map(|line| line.print(palette)).collect()
}

fn head(parties: &[Head; 4]) -> Vec<Line> {
    let mut lines = [Line::default(), Line::default()];
    for (column, party) in LIFE_LINES.iter().zip(parties) {
        lines[0].put_centred(*column, Ink::Bold, &party.title);
        lines[1].put_centred(*column, Ink::Faint, &party.address);
    }
    lines.into_iter().chain([life_lines()]).collect()
}

impl Row {
    /// An arrow between two life lines, with the label in its middle.
    fn draw(&self) -> Line {
        let [caller, near, far, callee] = LIFE_LINES;
        let (gap, heads) = match self.mark {
            Mark::Arrow(gap, heads) => (gap, Some(heads)),
            Mark::Note(gap) => (gap, None),
        };
        let (from, to) = match gap {
            Gap::Near => (caller, near),
            Gap::Far => (far, callee),
        };
        let inside = to - from - 1;
        let mut line = life_lines();
        // Outside the label there is room for a blank, a bit of the stroke and a head.
        let label: String = self.label.chars().take(inside - 4).collect();
        let Some(heads) = heads else {
            line.put_centred((from + to) / 2, self.ink, &label);
            return line;
        };
        let time = since(self.after);
        line.put(TIME_END.saturating_sub(time.len()), Ink::Faint, &time);
        let stroke = if heads == Heads::Both { "═" } else { "─" };
        line.put(from + 1, self.ink, &stroke.repeat(inside));
        if matches!(heads, Heads::Left | Heads::Both) {
            line.put(from + 1, self.ink, "◄");
        }
        if matches!(heads, Heads::Right | Heads::Both) {
            line.put(to - 1, self.ink, "►");
        }
        line.put_centred((from + to) / 2, self.ink, &format!(" {label} "));
        line
    }
}

fn life_lines() -> Line {
    let mut line = Line::default();
    for column in LIFE_LINES {
        line.put(column, Ink::Faint, "│");
    }
    line
}

/// The ink of a response; without a status, of a request.
pub fn ink(status: Option<Status>) -> Ink {
    match status {
        None => Ink::Request,
        Some(status) if status.is_provisional() => Ink::Provisional,
        Some(status) if status.is_success() => Ink::Good,
        Some(_) => Ink::Bad,
    }
}

/// In the nine columns that there are.
fn since(after: Duration) -> String {
    match after.as_secs() {
        0..10 => format!("{:.1} ms", after.as_secs_f64() * 1e3),
        10..1_000 => format!("{:.3} s", after.as_secs_f64()),
        _ => format!("{:.1} s", after.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fit_into_their_column() {
        let told = [12_345, 9_999_900, 62_345_678, 43_200_000_000]
            .map(|micros| since(Duration::from_micros(micros)));
        assert_eq!(told, ["12.3 ms", "9999.9 ms", "62.346 s", "43200.0 s"]);
        assert!(told.iter().all(|time| time.len() <= TIME_END));
    }
}
