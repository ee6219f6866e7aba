//! One frame: the node on five lines, below them the table that is looked at, or a call.

use serde_json::Value;

use super::Data;
use super::screen::{Screen, Tab};
use crate::cli::operator::{self, text};
use crate::cli::style::{self, Ink, Line};

/// Lines above the table: the node, and the head of the table.
const ABOVE: usize = 8;
/// The line of keys.
const BELOW: usize = 1;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// In characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// What one frame is drawn from.
pub(super) struct Frame<'a> {
    pub(super) data: &'a Data,
    pub(super) screen: &'a Screen,
    pub(super) size: Size,
    /// Why what is shown is old.
    pub(super) lost: Option<&'a str>,
}

/// A cell: its text, its ink, and whether it stands to the right.
struct Cell(String, Ink);

/// A column: its head, and its width; the last takes what is left.
type Columns = [(&'static str, usize)];

const TRUNKS: &Columns = &[
    ("TRUNK", 14),
    ("STATE", 12),
    (">CALLS", 8),
    (">ASR", 5),
    (">NER", 5),
    (">MOS", 4),
    ("TARGETS", usize::MAX),
];
const CALLS: &Columns =
    &[("FROM", 18), ("TO", 18), ("PHASE", 9), (">FOR", 8), ("IN", 12), ("OUT", usize::MAX)];

impl Frame<'_> {
    /// As many lines as there are, and no wider.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = self.head();
        match &self.screen.call {
            Some(id) => self.add_call(&mut lines, id),
            None => self.add_table(&mut lines, self.screen, true),
        }
        let last = self.size.height.saturating_sub(BELOW);
        lines.truncate(last);
        lines.resize_with(last, Line::default);
        lines.push(self.keys());
        lines
    }

    /// Both tables whole, for `--once`.
    pub(super) fn both(&self) -> Vec<Line> {
        let mut lines = self.head();
        self.add_table(&mut lines, &Screen::default(), false);
        lines.push(Line::default());
        self.add_table(&mut lines, &Screen { tab: Tab::Calls, ..Screen::default() }, false);
        lines
    }

    fn line(&self, parts: &[(Ink, &str)]) -> Line {
        let mut line = Line::default();
        let mut column = 0;
        for (ink, part) in parts {
            let room = self.size.width.saturating_sub(column);
            let part = shown(part, room);
            line.put(column, *ink, &part);
            column += part.chars().count();
        }
        line
    }

    fn head(&self) -> Vec<Line> {
        let points = &self.data.history["seconds"]["points"];
        let row = |label: &str, ink, text: &str| self.line(&[(Ink::Faint, label), (ink, text)]);
        vec![
            self.title(),
            row("calls    ", Ink::Bold, &self.traffic(points)),
            row("quality  ", Ink::Plain, &self.quality()),
            row("media    ", Ink::Plain, &self.media()),
            row("load     ", Ink::Plain, &self.load()),
            row("5 min    ", Ink::Request, &self.bars(points)),
            Line::default(),
        ]
    }

    fn status(&self) -> &Value {
        &self.data.snapshot["status"]
    }

    /// What is measured over five minutes.
    fn window(&self) -> &Value {
        &self.data.snapshot["windows"]["five_minutes"]
    }

    fn title(&self) -> Line {
        let status = self.status();
        let state = text(status, "state");
        let ink = match state {
            "serving" => Ink::Good,
            "draining" => Ink::Provisional,
            _ => Ink::Bad,
        };
        let faults = status["configuration"]["faults"].as_array().map_or(0, Vec::len);
        let refused = if faults > 0 { format!("  files on disk refused ({faults})") } else { String::new() };
        let lost = self.lost.map_or_else(String::new, |why| format!("  old: {why}"));
        let about = format!(
            "  up {}  Drawbridge {}, {}  {} UTC",
            span(status["uptime_seconds"].as_u64().unwrap_or(0)),
            text(status, "version"),
            text(status, "engine"),
            text(&self.data.snapshot, "at").get(11..19).unwrap_or_default(),
        );
        self.line(&[
            (Ink::Bold, text(status, "node")),
            (Ink::Plain, "  "),
            (ink, state),
            (Ink::Bad, &lost),
            (Ink::Bad, &refused),
            (Ink::Plain, &about),
        ])
    }

    fn traffic(&self, points: &Value) -> String {
        let window = self.window();
        format!(
            "{} at most {}, new {:.1}/s, ASR {}, NER {} of {} in 5 min",
            number(&self.status()["calls"]),
            number(&window["active_max"]),
            recent(points),
            percent(&window["asr"]),
            percent(&window["ner"]),
            number(&window["attempts"]),
        )
    }

    fn quality(&self) -> String {
        let window = self.window();
        format!(
            "PDD {}, 95 % within {}, answered after {}, MOS {}",
            millis(&window["delay_p50_ms"]),
            millis(&window["delay_p95_ms"]),
            millis(&window["answer_p50_ms"]),
            decimal(&window["mos"], 2),
        )
    }

    fn media(&self) -> String {
        let second = &self.data.snapshot["second"];
        let ports = |realm: &str| {
            let ports = &self.status()["media_ports"][realm];
            format!("{}/{} {realm}", number(&ports["in_use"]), number(&ports["limit"]))
        };
        format!(
            "{} packets/s, {:.1} Mbit/s, {} dropped; ports {}, {}",
            number(&second["packets"]),
            second["bytes"].as_f64().unwrap_or(0.0) * 8.0 / 1e6,
            number(&self.window()["dropped"]),
            ports("trusted"),
            ports("untrusted"),
        )
    }

    fn load(&self) -> String {
        let snapshot = &self.data.snapshot;
        let (loads, second) = (snapshot["relay_loads"].as_array().map_or(0, Vec::len), &snapshot["second"]);
        let (relay, engine) = (percent(&second["relay_load"]), percent(&second["engine_load"]));
        format!("relay {relay} ({loads} workers), engine {engine}")
    }

    /// Active calls over the last five minutes, as wide as there is room.
    fn bars(&self, points: &Value) -> String {
        let active: Vec<u64> = points
            .as_array()
            .into_iter()
            .flatten()
            .map(|point| point["active"].as_u64().unwrap_or(0))
            .collect();
        let room = self.size.width.saturating_sub(9).clamp(1, 100);
        let step = active.len().div_ceil(room).max(1);
        let most = active.iter().copied().max().unwrap_or(0).max(1);
        let bar = |part: &[u64]| {
            let high = part.iter().copied().max().unwrap_or(0);
            let nth = usize::try_from(high * 7 / most).unwrap_or(0);
            BARS.get(nth).copied().unwrap_or(' ')
        };
        active.chunks(step).map(bar).collect()
    }

    fn add_table(&self, lines: &mut Vec<Line>, screen: &Screen, is_live: bool) {
        let rows = screen.rows(self.data);
        let (name, columns) = match screen.tab {
            Tab::Trunks => ("trunks", TRUNKS),
            Tab::Calls => ("calls", CALLS),
        };
        if is_live {
            let other = if screen.tab == Tab::Trunks { "  calls" } else { "  trunks" };
            let filter = match (screen.filter.as_str(), screen.is_typing) {
                ("", false) => String::new(),
                (filter, typing) => format!("   /{filter}{}", if typing { "▏" } else { "" }),
            };
            let title = format!("{name} ({})", rows.len());
            lines.pop();
            let order =
                format!("   {} first", screen.order_name()).replace("as configured first", "as configured");
            lines.push(self.line(&[
                (Ink::Bold, &title),
                (Ink::Faint, other),
                (Ink::Faint, &order),
                (Ink::Provisional, &filter),
            ]));
        }
        let heads: Vec<Cell> = columns
            .iter()
            .map(|(head, _)| Cell(head.trim_start_matches('>').to_owned(), Ink::Faint))
            .collect();
        lines.push(self.row(columns, heads, false));
        let room = self.size.height.saturating_sub(ABOVE + BELOW).max(1);
        let first = if is_live { screen.row.saturating_sub(room - 1) } else { 0 };
        for (nth, row) in rows.iter().enumerate().skip(first).take(room) {
            let cells = match screen.tab {
                Tab::Trunks => trunk(row),
                Tab::Calls => call(row),
            };
            lines.push(self.row(columns, cells, is_live && nth == screen.row));
        }
        if rows.is_empty() {
            lines.push(self.line(&[(Ink::Faint, &format!("no {name}"))]));
        }
    }

    fn row(&self, columns: &Columns, cells: Vec<Cell>, is_selected: bool) -> Line {
        let mut line = Line::default();
        if is_selected {
            line.put(0, Ink::Selected, &" ".repeat(self.size.width));
        }
        let mut column = 0;
        for ((head, width), Cell(text, ink)) in columns.iter().zip(cells) {
            let width = (*width).min(self.size.width.saturating_sub(column));
            let text = shown(&text, width);
            let blank = if head.starts_with('>') { width.saturating_sub(text.chars().count()) } else { 0 };
            line.put(column + blank, if is_selected { Ink::Selected } else { ink }, &text);
            column = column.saturating_add(width).saturating_add(2);
        }
        line
    }

    fn add_call(&self, lines: &mut Vec<Line>, id: &str) {
        let page = match &self.data.call {
            None => format!("call {id} …"),
            Some(Ok(call)) => operator::call_page(call),
            Some(Err(error)) => error.clone(),
        };
        let page: Vec<&str> = page.lines().collect();
        let first = self.screen.row.min(page.len().saturating_sub(1));
        lines.extend(page.iter().skip(first).map(|text| self.line(&[(Ink::Plain, text)])));
    }

    fn keys(&self) -> Line {
        let keys = match (&self.screen.call, self.screen.is_typing) {
            (Some(_), _) => "esc back   ↑↓ scroll   q quit",
            (None, true) => "enter keep the filter   esc no filter",
            (None, false) => "q quit   tab trunks, calls   ↑↓ select   enter open   / filter   s sort",
        };
        self.line(&[(Ink::Faint, keys)])
    }
}

fn trunk(trunk: &Value) -> Vec<Cell> {
    let state = text(trunk, "state");
    let ink = match state {
        "up" => Ink::Good,
        "new" | "full" | "disabled" => Ink::Provisional,
        _ => Ink::Bad,
    };
    let calls = match trunk["limits"]["calls"].as_u64() {
        Some(limit) => format!("{}/{limit}", number(&trunk["calls"])),
        None => number(&trunk["calls"]),
    };
    let targets = trunk["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    // Those that want to be looked at come first: there may be no room for the rest.
    let is_up = |target: &&Value| matches!(text(target, "state"), "up" | "new");
    let (well, ill): (Vec<&Value>, Vec<&Value>) = targets.iter().partition(is_up);
    let ill = ill.into_iter().map(|target| format!("{} {}", text(target, "address"), text(target, "state")));
    let well = well.into_iter().map(|target| {
        let took = target["latency_ms"].as_f64().map_or_else(String::new, |ms| format!(" {ms:.0} ms"));
        format!("{}{took}", text(target, "address"))
    });
    let told: Vec<String> = ill.chain(well).collect();
    let is_well = targets.iter().all(|target| text(target, "state") != "down");
    let hour = &trunk["hour"];
    vec![
        Cell(text(trunk, "name").to_owned(), Ink::Bold),
        Cell(state.to_owned(), ink),
        Cell(calls, Ink::Plain),
        Cell(percent(&hour["asr"]), Ink::Plain),
        Cell(percent(&hour["ner"]), Ink::Plain),
        Cell(decimal(&hour["mos"], 2), Ink::Plain),
        Cell(told.join(", "), if is_well { Ink::Plain } else { Ink::Bad }),
    ]
}

fn call(call: &Value) -> Vec<Cell> {
    let phase = text(call, "phase");
    let ink = match phase {
        "answered" => Ink::Good,
        "setup" | "ringing" => Ink::Provisional,
        _ => Ink::Faint,
    };
    let whose = |leg: &Value| match leg["trunk"].as_str() {
        Some(trunk) => trunk.to_owned(),
        None if leg.is_object() => text(leg, "remote").to_owned(),
        None => "-".to_owned(),
    };
    let to = if call["emergency"] == true { Ink::Bad } else { Ink::Plain };
    vec![
        Cell(text(call, "from").to_owned(), Ink::Plain),
        Cell(text(call, "to").to_owned(), to),
        Cell(phase.to_owned(), ink),
        Cell(clock(call["seconds"].as_u64().unwrap_or(0)), Ink::Plain),
        Cell(whose(&call["ingress"]), Ink::Plain),
        Cell(whose(&call["egress"]), Ink::Plain),
    ]
}

/// Calls a second over the last ten.
fn recent(points: &Value) -> f64 {
    let points = points.as_array().map(Vec::as_slice).unwrap_or_default();
    let last = &points[points.len().saturating_sub(10)..];
    let calls: u64 = last.iter().map(|point| point["calls"].as_u64().unwrap_or(0)).sum();
    calls as f64 / last.len().max(1) as f64
}

/// As much as there is room for, and nothing that moves a cursor.
fn shown(text: &str, room: usize) -> String {
    let safe = style::shown(text);
    match safe.chars().count() > room {
        true => safe.chars().take(room.saturating_sub(1)).chain((room > 0).then_some('…')).collect(),
        false => safe,
    }
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn decimal(value: &Value, digits: usize) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

fn millis(value: &Value) -> String {
    match value.as_f64() {
        None => "-".to_owned(),
        Some(ms) if ms >= 1_000.0 => format!("{:.1} s", ms / 1_000.0),
        Some(ms) => format!("{ms:.0} ms"),
    }
}

fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        (_, _) => format!("{days} d {hours} h"),
    }
}

fn clock(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        _ => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
    }
}

#[cfg(test)]
mod tests;
