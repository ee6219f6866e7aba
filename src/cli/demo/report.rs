//! What the demo says when all calls are over: a line for each call, a table of the audio, a verdict.

use std::time::Duration;

use super::exchange::{CallRecord, Direction};
use super::records::{Media, Relayed};
use super::rtp::Heard;
use crate::cli::style::{Ink, Palette};

/// Calls that are listed; of more, only those that failed.
const CALLS_LISTED_MAX: usize = 8;
/// The width of the rules.
const WIDTH: usize = 98;

/// The audio of one direction, over all calls: as the relay saw it, and as it was heard behind it.
#[derive(Clone, Debug)]
pub struct AudioRow {
    /// "pbx → carrier".
    pub title: &'static str,
    /// Who heard it.
    pub listener: &'static str,
    /// What the relay says; `None` if it was not asked.
    pub relay: Option<Relayed>,
    /// What the listener says.
    pub heard: Heard,
}

impl AudioRow {
    /// Sums up the audio that went this way in the calls of both directions. `relayed` gives the
    /// relay's word on a call.
    pub fn sum(
        direction: Direction,
        records: &[CallRecord],
        relayed: impl Fn(&CallRecord) -> Option<Media>,
    ) -> AudioRow {
        let (title, listener) = match direction {
            Direction::Out => ("pbx → carrier", "carrier"),
            Direction::In => ("carrier → pbx", "pbx"),
        };
        let mut row = AudioRow { title, listener, relay: None, heard: Heard::default() };
        for record in records {
            let by_caller = record.direction == direction;
            row.heard.merge(if by_caller { &record.at_callee } else { &record.at_caller });
            if let Some(media) = relayed(record) {
                let relayed = if by_caller { &media.from_caller } else { &media.from_callee };
                add(row.relay.get_or_insert_default(), relayed);
            }
        }
        row
    }
}

/// Sums, and the worst jitter.
fn add(sum: &mut Relayed, relayed: &Relayed) {
    sum.packets += relayed.packets;
    sum.lost += relayed.lost;
    sum.jitter_ms = sum.jitter_ms.max(relayed.jitter_ms);
}

/// A line for each call.
pub fn calls(records: &[CallRecord], palette: Palette) -> Vec<String> {
    let head = format!(
        "{:>5}  {:<15} {:<15} {:>17} {:>12}  result",
        "call", "way", "called", "INVITE across", "hung up by"
    );
    let mut lines = vec![palette.paint(Ink::Faint, &head), rule(palette)];
    let listed = |(at, record): &(usize, &CallRecord)| *at < CALLS_LISTED_MAX || !record.is_complete();
    lines.extend(records.iter().enumerate().filter(listed).map(|(_, record)| call(record, palette)));
    let more = records.iter().skip(CALLS_LISTED_MAX).filter(|record| record.is_complete()).count();
    if more > 0 {
        lines.push(palette.paint(Ink::Faint, &format!("{:>5}  and {more} more like these", "…")));
    }
    lines
}

fn call(record: &CallRecord, palette: Palette) -> String {
    let way = match record.direction {
        Direction::Out => "pbx → carrier",
        Direction::In => "carrier → pbx",
    };
    let crossed =
        record.invite_crossed_in().map_or("–".to_owned(), |time| format!("{} µs", time.as_micros()));
    let result = match record.fault() {
        None => palette.paint(Ink::Good, "complete"),
        Some(fault) => palette.paint(Ink::Bad, &fault),
    };
    let by = record.hung_up_by().unwrap_or("–");
    format!("{:>5}  {way:<15} {:<15} {crossed:>17} {by:>12}  {result}", record.number, record.called)
}

/// The table of the audio: each direction twice (the relay's word and the listener's), and below it
/// the same parties without an SBC between, from which the added latency follows.
pub fn audio(rows: &[AudioRow], straight: &Heard, palette: Palette) -> Vec<String> {
    let faint = |text: String| palette.paint(Ink::Faint, &text);
    let mut lines = vec![
        faint(format!("{:>66} {:>15} {:>15}", "jitter", "one way", "added by SBC")),
        faint(format!(
            "  {:<15} {:<12} {:>8} {:>7} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7}",
            "audio",
            "measured by",
            "packets",
            "lost",
            "damaged",
            "µs",
            "p50 µs",
            "p99 µs",
            "p50 µs",
            "p99 µs"
        )),
        rule(palette),
    ];
    for row in rows {
        if let Some(relay) = &row.relay {
            lines.push(relay_line(row.title, relay));
        }
        let title = if row.relay.is_some() { "" } else { row.title };
        lines.push(heard_line(title, row.listener, &row.heard, Some(straight)));
    }
    lines.push(heard_line("without SBC", "both", straight, None));
    lines
}

fn relay_line(title: &str, relay: &Relayed) -> String {
    let jitter_us = relay.jitter_ms * 1e3;
    format!("  {title:<15} {:<12} {:>8} {:>7} {:>8} {jitter_us:>8.0}", "relay", relay.packets, relay.lost, "")
        .trim_end()
        .to_owned()
}

fn heard_line(title: &str, listener: &str, heard: &Heard, straight: Option<&Heard>) -> String {
    let delay = |percent| heard.delay(percent);
    let added = |percent| Some((delay(percent)?, straight?.delay(percent)?));
    format!(
        "  {title:<15} {listener:<12} {:>8} {:>7} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7}",
        heard.verified,
        heard.lost().saturating_sub(heard.damaged),
        heard.damaged,
        heard.jitter.as_micros(),
        micros(delay(50)),
        micros(delay(99)),
        difference(added(50)),
        difference(added(99)),
    )
    .trim_end()
    .to_owned()
}

fn micros(duration: Option<Duration>) -> String {
    duration.map_or("–".to_owned(), |duration| duration.as_micros().to_string())
}

/// How much more the first is than the second; loopback's own noise may make it less.
fn difference(pair: Option<(Duration, Duration)>) -> String {
    pair.map_or(String::new(), |(one, other)| {
        format!("{:+}", one.as_micros() as i64 - other.as_micros() as i64)
    })
}

/// The last line, and whether all is well.
pub fn verdict(records: &[CallRecord], palette: Palette) -> (String, bool) {
    let complete = records.iter().filter(|record| record.is_complete()).count();
    let verified: u64 =
        records.iter().map(|record| record.at_caller.verified + record.at_callee.verified).sum();
    let is_well = !records.is_empty() && complete == records.len();
    let (ink, mark) = if is_well { (Ink::Good, "✓") } else { (Ink::Bad, "✗") };
    let text = format!(
        "{mark} {complete} of {} calls complete; {verified} RTP packets crossed, every byte as it was sent",
        records.len()
    );
    (palette.paint(ink, &text), is_well)
}

fn rule(palette: Palette) -> String {
    palette.paint(Ink::Faint, &format!("  {}", "─".repeat(WIDTH - 2)))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::trace::{Said, Step, Trace, Way};
    use super::*;
    use crate::base::Instant;
    use crate::cli::style::framed;
    use crate::sip::{Method, Status};

    fn heard(count: u64, first_delay_us: u64) -> Heard {
        Heard {
            sent: count,
            verified: count,
            jitter: Duration::from_micros(31),
            delays: (0..count).map(|index| Duration::from_micros(first_delay_us + index)).collect(),
            ..Heard::default()
        }
    }

    /// A whole call that began at `begin_us`, as one party saw it.
    fn trace(begin_us: u64, way: Way) -> Trace {
        let request = |method| Said::Request { method, called: String::new() };
        let response = |code, method| Said::Response {
            status: Status::of(code),
            phrase: String::new(),
            method,
            has_body: false,
        };
        let said = [
            request(Method::Invite),
            response(100, Method::Invite),
            response(180, Method::Invite),
            response(200, Method::Invite),
            request(Method::Ack),
            request(Method::Bye),
            response(200, Method::Bye),
        ];
        let at = |index: u64| Instant::from_micros(begin_us + index * 1_000);
        Trace((0..).zip(said).map(|(index, said)| Step { at: at(index), way, said, again: false }).collect())
    }

    fn record(number: u16, direction: Direction) -> CallRecord {
        CallRecord {
            number,
            direction,
            called: "+442079460000".to_owned(),
            failure: None,
            caller: trace(1_000_000, Way::Sent),
            callee: trace(1_000_412, Way::Received),
            talk_began: None,
            at_callee: heard(150, 70),
            at_caller: heard(150, 90),
        }
    }

    fn relayed(_: &CallRecord) -> Option<Media> {
        let one = Relayed { packets: 150, lost: 0, jitter_ms: 0.03 };
        Some(Media { from_caller: one.clone(), from_callee: one })
    }

    #[test]
    fn calls_that_are_complete() {
        let records = [record(1, Direction::Out), record(2, Direction::In)];
        expect![[r#"
            | call  way             called              INVITE across   hung up by  result
            |  ────────────────────────────────────────────────────────────────────────────────────────────────
            |    1  pbx → carrier   +442079460000              412 µs       caller  complete
            |    2  carrier → pbx   +442079460000              412 µs       caller  complete"#]]
        .assert_eq(&framed(&calls(&records, Palette::PLAIN)));
        let many: Vec<CallRecord> = (1..=20).map(|number| record(number, Direction::Out)).collect();
        let lines = calls(&many, Palette::PLAIN);
        assert_eq!(lines.len(), 2 + 8 + 1);
        assert_eq!(lines.last().unwrap().trim(), "…  and 12 more like these");
    }

    #[test]
    fn the_table_of_the_audio() {
        let records = [record(1, Direction::Out), record(2, Direction::In)];
        let rows = [Direction::Out, Direction::In].map(|way| AudioRow::sum(way, &records, relayed));
        let lines = audio(&rows, &heard(150, 40), Palette::PLAIN);
        expect![[r#"
            |                                                            jitter         one way    added by SBC
            |  audio           measured by   packets    lost  damaged       µs  p50 µs  p99 µs  p50 µs  p99 µs
            |  ────────────────────────────────────────────────────────────────────────────────────────────────
            |  pbx → carrier   relay             300       0                30
            |                  carrier           300       0        0       31     154     236     +40     +48
            |  carrier → pbx   relay             300       0                30
            |                  pbx               300       0        0       31     154     236     +40     +48
            |  without SBC     both              150       0        0       31     114     188"#]]
        .assert_eq(&framed(&lines));
        assert!(lines.iter().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn the_verdict_is_good_only_if_every_call_is() {
        let good = record(1, Direction::Out);
        let (line, is_well) = verdict(std::slice::from_ref(&good), Palette::PLAIN);
        assert_eq!(line, "✓ 1 of 1 calls complete; 300 RTP packets crossed, every byte as it was sent");
        assert!(is_well);

        let refused = CallRecord { failure: Some("refused".to_owned()), ..good.clone() };
        let silent = CallRecord { at_caller: Heard::default(), ..good.clone() };
        let mut unacknowledged = good.clone();
        unacknowledged
            .callee
            .0
            .retain(|step| step.said != Said::Request { method: Method::Ack, called: String::new() });
        for bad in [refused, silent, unacknowledged] {
            assert!(!verdict(&[good.clone(), bad], Palette::PLAIN).1);
        }
        assert!(!verdict(&[], Palette::PLAIN).1);
    }
}
