//! The SIP ladder of one call of the demo.
//!
//! Drawn from what the two user agents recorded: what the caller saw passed between it and the
//! SBC's near side, what the callee saw between the SBC's far side and it.

use std::net::SocketAddr;

use super::trace::{Said, Step, Trace, Way};
use crate::base::Instant;
use crate::cli::ladder::{self, Gap, Head, Heads, Mark, Row};
use crate::cli::style::{Ink, Palette};

/// One party at the head of its column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Party {
    /// What it is.
    pub title: &'static str,
    /// Its SIP address.
    pub address: SocketAddr,
}

/// One call, ready to be drawn.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// Caller, SBC towards it, SBC towards the callee, callee.
    pub parties: [Party; 4],
    /// What the caller saw.
    pub caller: Trace,
    /// What the callee saw.
    pub callee: Trace,
    /// When RTP began, and a word on what each party heard (caller, callee); `None` if the call was
    /// never set up.
    pub media: Option<(Instant, [String; 2])>,
}

impl Ladder {
    /// Draws it, a line each.
    pub fn draw(&self, palette: Palette) -> Vec<String> {
        let mut rows = self.rows();
        rows.sort_by_key(|(at, _)| *at);
        let begin = rows.first().map_or(Instant::ZERO, |(at, _)| *at);
        let rows: Vec<Row> =
            rows.into_iter().map(|(at, row)| Row { after: at.since(begin), ..row }).collect();
        let heads = self
            .parties
            .each_ref()
            .map(|party| Head { title: party.title.to_owned(), address: party.address.to_string() });
        ladder::draw(&heads, &rows, palette)
    }

    /// Everything with its time; at one instant, the caller's side comes first.
    fn rows(&self) -> Vec<(Instant, Row)> {
        let near = self.caller.0.iter().map(|step| row(step, Gap::Near, heads(step.way, Way::Sent)));
        let far = self.callee.0.iter().map(|step| row(step, Gap::Far, heads(step.way, Way::Received)));
        let media = self.media.iter().flat_map(|(at, [caller, callee])| {
            [(Gap::Near, caller), (Gap::Far, callee)].map(|(gap, label)| {
                let mark = Mark::Arrow(gap, Heads::Both);
                (*at, Row { after: Default::default(), mark, label: label.clone(), ink: Ink::Media })
            })
        });
        near.chain(far).chain(media).collect()
    }
}

fn heads(way: Way, rightward: Way) -> Heads {
    if way == rightward { Heads::Right } else { Heads::Left }
}

fn row(step: &Step, gap: Gap, heads: Heads) -> (Instant, Row) {
    let (label, status) = match &step.said {
        Said::Request { method, .. } if step.again => (format!("{} again", method.label()), None),
        Said::Request { .. } => (step.said.to_string(), None),
        Said::Response { status, .. } if step.again => (format!("{} again", step.said), Some(*status)),
        Said::Response { status, .. } => (step.said.to_string(), Some(*status)),
    };
    let mark = Mark::Arrow(gap, heads);
    (step.at, Row { after: Default::default(), mark, label, ink: ladder::ink(status) })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::style::framed;
    use crate::sip::{Method, Status};

    fn request(micros: u64, way: Way, method: Method) -> Step {
        let called = if method == Method::Invite { "+442079460000".to_owned() } else { String::new() };
        let said = Said::Request { method, called };
        Step { at: Instant::from_micros(1_000_000 + micros), way, said, again: false }
    }

    fn response(micros: u64, way: Way, code: u16, method: Method) -> Step {
        let status = Status::of(code);
        let has_body = code == 200 && method == Method::Invite;
        let said = Said::Response { status, phrase: status.phrase(), method, has_body };
        Step { at: Instant::from_micros(1_000_000 + micros), way, said, again: false }
    }

    fn ladder(caller: Vec<Step>, callee: Vec<Step>) -> Ladder {
        let party = |title, address: &str| Party { title, address: address.parse().unwrap() };
        Ladder {
            parties: [
                party("caller", "127.0.0.10:33001"),
                party("SBC trusted", "127.0.0.1:33002"),
                party("SBC untrusted", "127.0.0.2:33003"),
                party("callee", "127.0.0.20:33004"),
            ],
            caller: Trace(caller),
            callee: Trace(callee),
            media: None,
        }
    }

    #[test]
    fn a_whole_call() {
        use Way::{Received, Sent};
        let mut ladder = ladder(
            vec![
                request(0, Sent, Method::Invite),
                response(310, Received, 100, Method::Invite),
                response(1_240, Received, 180, Method::Invite),
                response(251_900, Received, 200, Method::Invite),
                request(252_000, Sent, Method::Ack),
                request(3_260_000, Sent, Method::Bye),
                response(3_260_900, Received, 200, Method::Bye),
            ],
            vec![
                request(620, Received, Method::Invite),
                response(700, Sent, 100, Method::Invite),
                response(710, Sent, 180, Method::Invite),
                response(251_100, Sent, 200, Method::Invite),
                request(252_400, Received, Method::Ack),
                request(3_260_400, Received, Method::Bye),
                response(3_260_500, Sent, 200, Method::Bye),
            ],
        );
        let heard = ["150 RTP heard".to_owned(), "149 RTP heard".to_owned()];
        ladder.media = Some((Instant::from_micros(1_252_500), heard));
        expect![[r#"
            |               caller                    SBC trusted      SBC untrusted                  callee
            |          127.0.0.10:33001             127.0.0.1:33002   127.0.0.2:33003            127.0.0.20:33004
            |                  │                           │                 │                           │
            |   0.0 ms         │── INVITE +442079460000 ──►│                 │                           │
            |   0.3 ms         │◄────── 100 Trying ────────│                 │                           │
            |   0.6 ms         │                           │                 │── INVITE +442079460000 ──►│
            |   0.7 ms         │                           │                 │◄────── 100 Trying ────────│
            |   0.7 ms         │                           │                 │◄────── 180 Ringing ───────│
            |   1.2 ms         │◄────── 180 Ringing ───────│                 │                           │
            | 251.1 ms         │                           │                 │◄───── 200 OK (SDP) ───────│
            | 251.9 ms         │◄───── 200 OK (SDP) ───────│                 │                           │
            | 252.0 ms         │─────────── ACK ──────────►│                 │                           │
            | 252.4 ms         │                           │                 │─────────── ACK ──────────►│
            | 252.5 ms         │◄═════ 150 RTP heard ═════►│                 │                           │
            | 252.5 ms         │                           │                 │◄═════ 149 RTP heard ═════►│
            |3260.0 ms         │─────────── BYE ──────────►│                 │                           │
            |3260.4 ms         │                           │                 │─────────── BYE ──────────►│
            |3260.5 ms         │                           │                 │◄──────── 200 OK ──────────│
            |3260.9 ms         │◄──────── 200 OK ──────────│                 │                           │
            |                  │                           │                 │                           │"#]].assert_eq(&framed(&ladder.draw(Palette::PLAIN)));
        assert!(ladder.draw(Palette::PLAIN).iter().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn a_refused_call_with_a_repetition() {
        use Way::{Received, Sent};
        let mut again = request(500_000, Sent, Method::Invite);
        again.again = true;
        let ladder = ladder(
            vec![
                request(0, Sent, Method::Invite),
                again,
                response(500_900, Received, 503, Method::Invite),
                request(501_000, Sent, Method::Ack),
            ],
            vec![],
        );
        expect![[r#"
            |               caller                    SBC trusted      SBC untrusted                  callee
            |          127.0.0.10:33001             127.0.0.1:33002   127.0.0.2:33003            127.0.0.20:33004
            |                  │                           │                 │                           │
            |   0.0 ms         │── INVITE +442079460000 ──►│                 │                           │
            | 500.0 ms         │────── INVITE again ──────►│                 │                           │
            | 500.9 ms         │◄ 503 Service Unavailable ─│                 │                           │
            | 501.0 ms         │─────────── ACK ──────────►│                 │                           │
            |                  │                           │                 │                           │"#]].assert_eq(&framed(&ladder.draw(Palette::PLAIN)));
    }
}
