//! What is looked at, and what keys change of it. Must not know: terminals.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

use super::Data;
use crate::cli::operator::text;

/// No filter is longer.
const FILTER_MAX: usize = 40;
/// Rows that a page moves by.
const PAGE: usize = 10;

/// A table.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Tab {
    #[default]
    Trunks,
    Calls,
}

/// What is looked at.
#[derive(Clone, Default, Debug)]
pub(super) struct Screen {
    pub(super) tab: Tab,
    /// The row of the table, or the first line of a call's page.
    pub(super) row: usize,
    pub(super) filter: String,
    /// Whether letters go to the filter.
    pub(super) is_typing: bool,
    /// Which of the tab's orders.
    pub(super) order: usize,
    /// The call whose page is open.
    pub(super) call: Option<String>,
}

/// What a key asks for beyond the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Stay,
    Quit,
    /// This call's page is wanted, or none any more.
    Show(Option<String>),
}

impl Tab {
    const fn orders(self) -> &'static [&'static str] {
        match self {
            Tab::Trunks => &["as configured", "calls", "name"],
            Tab::Calls => &["oldest", "newest", "from", "trunk"],
        }
    }
}

impl Screen {
    pub(super) fn order_name(&self) -> &'static str {
        self.tab.orders().get(self.order).copied().unwrap_or_default()
    }

    pub(super) fn press(&mut self, key: KeyEvent, data: &Data) -> Act {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && matches!(key.code, KeyCode::Char('c')) {
            return Act::Quit;
        }
        if self.is_typing {
            return self.type_in(key.code);
        }
        let rows = if self.call.is_some() { usize::MAX } else { self.rows(data).len() };
        match key.code {
            KeyCode::Char('q') => return Act::Quit,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if self.call.is_some() => {
                (self.call, self.row) = (None, 0);
                return Act::Show(None);
            }
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right if self.call.is_none() => {
                self.tab = if self.tab == Tab::Trunks { Tab::Calls } else { Tab::Trunks };
                (self.row, self.order) = (0, 0);
            }
            KeyCode::Up | KeyCode::Char('k') => self.row = self.row.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.row = (self.row + 1).min(rows.saturating_sub(1)),
            KeyCode::PageUp => self.row = self.row.saturating_sub(PAGE),
            KeyCode::PageDown => self.row = (self.row + PAGE).min(rows.saturating_sub(1)),
            KeyCode::Home => self.row = 0,
            KeyCode::Char('/') if self.call.is_none() => self.is_typing = true,
            KeyCode::Char('s') if self.call.is_none() => {
                self.order = (self.order + 1) % self.tab.orders().len();
            }
            KeyCode::Enter if self.call.is_none() => return self.enter(data),
            _ => {}
        }
        Act::Stay
    }

    fn type_in(&mut self, code: KeyCode) -> Act {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) if self.filter.chars().count() < FILTER_MAX => self.filter.push(letter),
            _ => {}
        }
        self.row = 0;
        Act::Stay
    }

    /// A trunk leads to its calls, a call to its page.
    fn enter(&mut self, data: &Data) -> Act {
        let rows = self.rows(data);
        let Some(row) = rows.get(self.row) else { return Act::Stay };
        match self.tab {
            Tab::Trunks => {
                let trunk = text(row, "name").to_owned();
                (self.tab, self.row, self.order, self.filter) = (Tab::Calls, 0, 0, trunk);
                Act::Stay
            }
            Tab::Calls => {
                let id = text(row, "id").to_owned();
                (self.call, self.row) = (Some(id.clone()), 0);
                Act::Show(Some(id))
            }
        }
    }

    /// What was selected may be gone.
    pub(super) fn fit(&mut self, data: &Data) {
        if self.call.is_none() {
            self.row = self.row.min(self.rows(data).len().saturating_sub(1));
        }
    }

    /// The rows of the table that are looked at, in their order.
    pub(super) fn rows<'a>(&self, data: &'a Data) -> Vec<&'a Value> {
        let all = match self.tab {
            Tab::Trunks => &data.snapshot["trunks"],
            Tab::Calls => &data.calls["calls"],
        };
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let matches = |row: &&Value| {
            let told = words_of(row).to_lowercase();
            words.iter().all(|word| told.contains(word))
        };
        let mut rows: Vec<&Value> = all.as_array().into_iter().flatten().filter(matches).collect();
        match (self.tab, self.order_name()) {
            (Tab::Trunks, "calls") => rows.sort_by_key(|trunk| std::cmp::Reverse(trunk["calls"].as_u64())),
            (Tab::Trunks, "name") => rows.sort_by_key(|trunk| text(trunk, "name")),
            (Tab::Calls, "newest") => rows.reverse(),
            (Tab::Calls, "from") => rows.sort_by_key(|call| text(call, "from")),
            (Tab::Calls, "trunk") => {
                rows.sort_by_key(|call| call["egress"]["trunk"].as_str().unwrap_or_default())
            }
            (_, _) => {}
        }
        rows
    }
}

/// What a filter looks at.
fn words_of(row: &Value) -> String {
    let leg = |name: &str| format!("{} {}", text(&row[name], "trunk"), text(&row[name], "remote"));
    let own = ["name", "state", "realm", "id", "from", "to", "phase"].map(|key| text(row, key));
    format!("{} {} {}", own.join(" "), leg("ingress"), leg("egress"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data() -> Data {
        Data {
            snapshot: json!({ "trunks": [{ "name": "sinch", "calls": 1 }, { "name": "pbx", "calls": 2 }] }),
            calls: json!({ "calls": [
                { "id": "00ab", "from": "1001", "to": "911", "egress": { "trunk": "sinch" } },
                { "id": "00cd", "from": "1002", "to": "+442079460000", "egress": null }] }),
            ..Data::default()
        }
    }

    fn press(screen: &mut Screen, keys: &[KeyCode]) -> Act {
        let data = data();
        keys.iter().map(|code| screen.press(KeyEvent::from(*code), &data)).last().unwrap_or(Act::Stay)
    }

    fn ids(screen: &Screen) -> Vec<String> {
        let key = if screen.tab == Tab::Trunks { "name" } else { "id" };
        screen.rows(&data()).iter().map(|row| text(row, key).to_owned()).collect()
    }

    #[test]
    fn a_trunk_leads_to_its_calls_and_a_call_to_its_page_and_back() {
        let mut screen = Screen::default();
        assert_eq!(press(&mut screen, &[KeyCode::Enter]), Act::Stay);
        assert_eq!((screen.tab, ids(&screen)), (Tab::Calls, vec!["00ab".to_owned()]));
        assert_eq!(press(&mut screen, &[KeyCode::Enter]), Act::Show(Some("00ab".to_owned())));
        assert_eq!(press(&mut screen, &[KeyCode::Esc]), Act::Show(None));
        assert_eq!(press(&mut screen, &[KeyCode::Esc]), Act::Stay);
        assert_eq!(ids(&screen), ["00ab", "00cd"]);
        assert_eq!(press(&mut screen, &[KeyCode::Char('q')]), Act::Quit);
    }

    #[test]
    fn what_is_typed_filters_and_quits_nothing() {
        let mut screen = Screen::default();
        press(&mut screen, &[KeyCode::Tab, KeyCode::Char('/'), KeyCode::Char('q')]);
        assert!(ids(&screen).is_empty());
        press(&mut screen, &[KeyCode::Backspace, KeyCode::Char('9'), KeyCode::Char('1'), KeyCode::Char('1')]);
        assert_eq!(ids(&screen), ["00ab"]);
        press(&mut screen, &[KeyCode::Enter]);
        assert!(!screen.is_typing);
        let stop = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        screen.is_typing = true;
        assert_eq!(screen.press(stop, &data()), Act::Quit);
    }

    #[test]
    fn rows_are_sorted_and_the_cursor_stays_among_them() {
        let mut screen = Screen::default();
        press(&mut screen, &[KeyCode::Char('s')]);
        assert_eq!(
            (screen.order_name(), ids(&screen)),
            ("calls", vec!["pbx".to_owned(), "sinch".to_owned()])
        );
        press(
            &mut screen,
            &[KeyCode::Char('s'), KeyCode::Char('s'), KeyCode::Down, KeyCode::Down, KeyCode::PageDown],
        );
        assert_eq!((screen.order_name(), screen.row), ("as configured", 1));
        screen.fit(&Data::default());
        assert_eq!(screen.row, 0);
    }
}
