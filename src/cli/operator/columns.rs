//! Columns for a terminal, and what may stand in them.

use serde_json::Value;

use crate::cli::style::{Ink, Palette, shown};

/// No cell is wider.
const CELL_MAX: usize = 200;
/// Nor one that a peer chose.
const CHOSEN_MAX: usize = 48;
/// Between two columns.
const GAP: &str = "  ";

/// A text in its ink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    text: String,
    ink: Ink,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>) -> Cell {
        Cell::in_ink(text, Ink::Plain)
    }

    pub(super) fn in_ink(text: impl AsRef<str>, ink: Ink) -> Cell {
        Cell { text: capped(text.as_ref(), CELL_MAX), ink }
    }

    /// What a peer chose.
    pub(super) fn chosen(text: &str, ink: Ink) -> Cell {
        Cell { text: cell(text), ink }
    }
}

/// Rows below a head, every column as wide as its widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<Cell>], palette: Palette) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let head: Vec<Cell> =
        head.iter().map(|name| Cell { text: (*name).to_owned(), ink: Ink::Faint }).collect();
    std::iter::once(&head).chain(rows).map(|row| line(row, &widths, palette)).collect()
}

fn line(row: &[Cell], widths: &[usize], palette: Palette) -> String {
    // Nothing but blanks follows the last cell with something in it.
    let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
    let cells = row.iter().zip(widths).take(last + 1).enumerate().map(|(at, (cell, width))| {
        let padding = if at == last { 0 } else { width.saturating_sub(cell.text.chars().count()) };
        format!("{}{}", palette.paint(cell.ink, &cell.text), " ".repeat(padding))
    });
    format!("{}\n", cells.collect::<Vec<_>>().join(GAP))
}

/// Names and what is said of each.
pub(super) fn list(entries: &[(&str, Cell)], palette: Palette) -> String {
    let width = entries.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, cell): &(&str, Cell)| {
        let padding = " ".repeat(width - name.chars().count());
        let name = palette.paint(Ink::Faint, name);
        format!("{name}{padding}{GAP}{}\n", palette.paint(cell.ink, &cell.text))
    };
    entries.iter().map(line).collect()
}

/// What may be shown of what somebody chose: nothing that a terminal would obey, and not too much.
pub(super) fn cell(text: &str) -> String {
    capped(text, CHOSEN_MAX)
}

fn capped(text: &str, most: usize) -> String {
    let mut letters = text.chars();
    let mut cell = shown(&letters.by_ref().take(most).collect::<String>());
    if letters.next().is_some() {
        cell.push('…');
    }
    cell
}

/// A text of the answer; empty if there is none.
pub(in crate::cli) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A number of the answer; 0 if there is none.
pub(super) fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

/// The items of a list of the answer.
pub(super) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// `2026-03-21T09:05:07.042Z` as people read it.
pub(super) fn moment(rfc3339: &str) -> String {
    let seconds = rfc3339.get(.."2026-03-21T09:05:07".len());
    seconds.map_or_else(|| rfc3339.to_owned(), |seconds| format!("{} UTC", seconds.replace('T', " ")))
}

/// `2026-03-21T09:05:07.042Z`, of a moment that is not long ago.
pub(super) fn hour(rfc3339: &str) -> String {
    rfc3339.get("2026-03-21T".len().."2026-03-21T09:05:07".len()).unwrap_or(rfc3339).to_owned()
}

/// "2 d 3 h", "5 min 7 s": the two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

/// "1 call", "2 calls".
pub(super) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_no_line_ends_in_blanks() {
        let rows = [
            vec![Cell::new("a"), Cell::new("long"), Cell::new("")],
            vec![Cell::new("bb"), Cell::new("c"), Cell::new("d")],
        ];
        assert_eq!(table(&["X", "Y", "Z"], &rows, Palette::PLAIN), "X   Y     Z\na   long\nbb  c     d\n");
        let entries = [("up", Cell::new("2 s")), ("calls", Cell::new("1"))];
        assert_eq!(list(&entries, Palette::PLAIN), "up     2 s\ncalls  1\n");
    }

    #[test]
    fn what_a_peer_chose_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(cell("a\x1b[2Jb\u{9b}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert_eq!(cell("\u{202e}live\u{2066}"), "\u{fffd}live\u{fffd}");
        assert_eq!(cell(&"é".repeat(60)), format!("{}…", "é".repeat(48)));
    }

    #[test]
    fn times_are_for_people() {
        assert_eq!(moment("2026-03-21T09:05:07.042Z"), "2026-03-21 09:05:07 UTC");
        assert_eq!(hour("2026-03-21T09:05:07.042Z"), "09:05:07");
        let spans = [5, 65, 3_725, 90_000].map(span);
        assert_eq!(spans, ["5 s", "1 min 5 s", "1 h 2 min", "1 d 1 h"]);
        assert_eq!([1, 2].map(|number| count(number, "call")), ["1 call", "2 calls"]);
    }
}
