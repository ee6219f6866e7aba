//! The torture tests of RFC 4475 (SIP) and RFC 5118 (IPv6 in SIP): every message of them, from either
//! side, and a normal call right after it.
//!
//! The messages are files in `tests/data/`, byte for byte as the RFCs' archives have them but for what
//! the tables say. The tables are in `rfc4475.rs` and `rfc5118.rs`, and for people in
//! `docs/torture.md`, which a test holds to them. What a message that opens a call must come to, on
//! the way and on the other side, is in `calls.rs`, what a response must, in `responses.rs`.
//! `mutations.rs` breaks the messages further.

mod calls;
mod mutations;
mod responses;
mod rfc4475;
mod rfc5118;

use std::net::SocketAddr;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::hang_up;
use crate::admission::DropReason;
use crate::b2bua::Event;
use crate::sip::{Message, Method, Status};

/// A message of an RFC and what comes of it.
struct Case {
    /// The RFC's name for it.
    name: &'static str,
    /// Where it stands.
    section: &'static str,
    bytes: &'static [u8],
    outcome: Outcome,
}

/// What we do with a message.
#[derive(Clone, Copy)]
enum Outcome {
    /// This final response, and no call.
    Answer(u16),
    /// Nothing but a count.
    Dropped(DropReason),
    /// A call that is set up, answered and ended.
    Call,
}

use Outcome::{Answer, Call, Dropped};

/// A row of a table; the macro reads the file.
macro_rules! case {
    ($rfc:literal, $name:literal, $section:literal, $outcome:expr) => {
        Case {
            name: $name,
            section: $section,
            bytes: include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/data/",
                $rfc,
                "/",
                $name,
                ".sip"
            )),
            outcome: $outcome,
        }
    };
}
use case;

/// The other end of a call from `peer`.
fn callee_of(peer: &str) -> &'static str {
    if peer == PBX { CARRIER_A } else { PBX }
}

/// The tag of the other end: another on each side, for what one side says must not be seen on the
/// other.
fn tag_of(callee: &str) -> &'static str {
    if callee == PBX { "answered-by-pbx" } else { "answered-by-carrier" }
}

/// The next message to `peer`, whatever port its Via asks for.
fn next_to(lab: &mut Lab, peer: &str) -> Message {
    let peer: SocketAddr = peer.parse().unwrap();
    let at = lab.sent.iter().position(|(hop, _)| hop.peer.ip() == peer.ip());
    let at = at.unwrap_or_else(|| panic!("nothing was sent to {peer}, but {:?}", lab.sent));
    lab.sent.remove(at).unwrap().1
}

/// The final response to `peer`.
fn final_answer(lab: &mut Lab, peer: &str) -> Message {
    let answer = next_to(lab, peer);
    if answer.status() == Status::new(100) { next_to(lab, peer) } else { answer }
}

/// An INVITE from `peer` reaches the other side: what was sent there.
fn carried(lab: &mut Lab, peer: &str, invite: &Message) -> Message {
    lab.receive(peer, invite);
    assert_eq!(next_to(lab, peer).status(), Status::new(100));
    lab.take_request(callee_of(peer), &Method::Invite)
}

/// The other side declines.
fn decline(lab: &mut Lab, peer: &str, outgoing: &Message) {
    let callee = callee_of(peer);
    lab.receive(callee, &respond(callee, outgoing, 486, tag_of(callee), None));
    lab.take_request(callee, &Method::Ack);
    assert_eq!(next_to(lab, peer).status(), Status::new(486));
    lab.expect_silence();
}

/// The other side answers, the caller ACKs, the callee hangs up: the 200 and the BYE that the caller
/// got.
fn answer_and_end(lab: &mut Lab, peer: &str, invite: &Message, outgoing: &Message) -> (Message, Message) {
    let callee = callee_of(peer);
    let sdp = answer_to_offer(&outgoing.body());
    lab.receive(callee, &respond(callee, outgoing, 200, tag_of(callee), Some(&sdp)));
    let answer = next_to(lab, peer);
    assert_eq!(answer.status(), Status::new(200), "{}", text(&answer));
    assert_eq!(answer.fault(), None);
    lab.take_request(callee, &Method::Ack);
    let number = invite.cseq().unwrap().number;
    lab.receive(peer, &finish(caller_request(peer, invite, &answer, &Method::Ack, number), None));
    lab.expect_silence();
    lab.receive(callee, &finish(callee_request(callee, outgoing, tag_of(callee), &Method::Bye, 1), None));
    lab.take_response(callee, 200);
    let bye = next_to(lab, peer);
    assert_eq!((bye.method(), bye.fault()), (Some(&Method::Bye), None), "{}", text(&bye));
    lab.receive(peer, &respond(peer, &bye, 200, "x", None));
    lab.expect_silence();
    (answer, bye)
}

/// Takes the first format of each audio stream of an offer, and refuses the others.
fn answer_to_offer(offer: &[u8]) -> String {
    let mut answer = "v=0\r\no=- 7 7 IN IP4 198.51.100.77\r\ns=-\r\nt=0 0\r\n".to_owned();
    let offer = String::from_utf8_lossy(offer);
    for line in offer.lines().filter(|line| line.starts_with("m=")) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let &[kind, _, proto, formats] = &words[..] else { continue };
        let format = formats.split(' ').next().unwrap_or("0");
        let port = if kind == "m=audio" { 40_000 } else { 0 };
        answer += &format!("{kind} {port} {proto} {format}\r\nc=IN IP4 198.51.100.77\r\n");
    }
    answer
}

/// One message from `peer`, what comes of it, and a normal call right after it.
fn run(case: &Case, peer: &str) {
    let mut lab = Lab::new();
    // A Call-ID of the RFC that names an address of the lab's other side.
    let text = case.bytes.to_vec();
    let at = memchr::memmem::find(&text, b"@10.0.0.1");
    let bytes = at.map_or(text.clone(), |at| [&text[..at], b"@10.9.9.1", &text[at + 9..]].concat());
    match case.outcome {
        Answer(status) => {
            lab.receive_bytes(peer, bytes);
            let answer = final_answer(&mut lab, peer);
            assert_eq!(answer.status(), Status::new(status), "{} from {peer}", case.name);
        }
        Dropped(reason) => {
            lab.receive_bytes(peer, bytes);
            let is_counted =
                |event: &Event| matches!(event, Event::Dropped { reason: why, .. } if *why == reason);
            assert!(lab.events.iter().any(is_counted), "{} from {peer}: {:?}", case.name, lab.events);
        }
        Call => {
            let invite = Message::parse(bytes.into()).unwrap();
            let outgoing = carried(&mut lab, peer, &invite);
            answer_and_end(&mut lab, peer, &invite, &outgoing);
        }
    }
    lab.expect_silence();
    let (invite, answer, _) = establish(&mut lab, "after");
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_silence();
    lab.expect_nothing_left();
}

/// Every message of a table from either side, and the table in `docs/torture.md`.
fn run_all(rfc: &str, cases: &[Case]) {
    for case in cases {
        run(case, PBX);
        run(case, CARRIER_A);
    }
    let page = include_str!("../../../../docs/torture.md");
    let section = page.split("\n## ").find(|section| section.starts_with(rfc)).unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), cases.len());
    for (case, row) in cases.iter().zip(rows) {
        let outcome = match case.outcome {
            Answer(status) => status.to_string(),
            Dropped(_) => "dropped".to_owned(),
            Call => "call".to_owned(),
        };
        let begins = format!("| `{}` | {} | {outcome} |", case.name, case.section);
        assert!(row.starts_with(&begins), "docs/torture.md says {row}, not {begins}");
    }
}

/// The bytes of a message of a table, as text that a test may change.
fn message_text(cases: &[Case], name: &str) -> String {
    let case = cases.iter().find(|case| case.name == name).unwrap();
    String::from_utf8(case.bytes.to_vec()).unwrap()
}

/// The same with something replaced, which must be there.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in\n{text}");
    text.replace(from, to)
}
