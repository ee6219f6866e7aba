//! What is kept of calls, and that it is bounded.

use std::time::Duration;

use super::*;
use crate::base::{ListenerId, Transport};

fn hop() -> (Hop, Realm) {
    let peer = "198.51.100.1:5060".parse().unwrap();
    (Hop::new(ListenerId(1), Transport::Udp, peer), Realm::Untrusted)
}

fn request(uri: &str, call_id: &str, sequence: u32, tag: &str) -> Message {
    let method = if sequence == 1 { "INVITE" } else { "INFO" };
    let text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{call_id}{sequence}\r\nFrom: <sip:a@h>;tag=f\r\n\
         To: <sip:b@h>{tag}\r\nCall-ID: {call_id}\r\nCSeq: {sequence} {method}\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into()).unwrap()
}

fn invite(call_id: &str) -> Message {
    request("sip:b@h", call_id, 1, "")
}

fn hears(ladders: &mut Ladders, seconds: u64, message: &Message) {
    ladders.note(Instant::from_millis(seconds * 1_000), hop(), message, Direction::In, false);
}

fn begin(ladders: &mut Ladders, call_id: &str) -> LadderKey {
    hears(ladders, 1, &invite(call_id));
    ladders.begin(&Bytes::copy_from_slice(call_id.as_bytes()))
}

fn sequences(report: &LadderReport) -> Vec<u32> {
    report.messages.iter().map(|message| message.sequence).collect()
}

#[test]
fn the_first_and_the_last_messages_of_a_call_are_kept_and_the_rest_counted() {
    let mut ladders = Ladders::default();
    let key = begin(&mut ladders, "one");
    for sequence in 2..=200 {
        hears(&mut ladders, u64::from(sequence), &request("sip:b@h", "one", sequence, ";tag=t"));
    }
    let report = ladders.report(key);
    assert_eq!((report.messages.len(), report.dropped, report.gap_after), (64, 136, 24));
    let kept: Vec<u32> = (1..=24).chain(161..=200).collect();
    assert_eq!(sequences(&report), kept);
    assert!(report.messages.iter().all(|message| !message.is_retransmission));
    assert_eq!(ladders.sizes(), (1, 1, 64));
}

#[test]
fn what_comes_again_is_marked() {
    let mut ladders = Ladders::default();
    let key = begin(&mut ladders, "one");
    hears(&mut ladders, 2, &invite("one"));
    ladders.note(Instant::from_millis(3), hop(), &request("sip:b@h", "one", 9, ""), Direction::Out, true);
    let marks: Vec<bool> =
        ladders.report(key).messages.iter().map(|message| message.is_retransmission).collect();
    assert_eq!(marks, [false, true, true]);
}

#[test]
fn a_caller_that_tries_again_with_its_call_id_begins_another_ladder() {
    let mut ladders = Ladders::default();
    let first = begin(&mut ladders, "one");
    ladders.end(first);
    // The INVITE of the first call, late: it is that call's.
    hears(&mut ladders, 2, &invite("one"));
    let again = request("sip:other@h", "one", 1, "");
    hears(&mut ladders, 3, &again);
    let second = ladders.begin(&Bytes::from_static(b"one"));
    hears(&mut ladders, 4, &request("sip:b@h", "one", 2, ";tag=t"));
    assert_eq!(ladders.report(first).messages.len(), 2);
    assert_eq!(sequences(&ladders.report(second)), [1, 2]);
    ladders.forget(first);
    hears(&mut ladders, 5, &request("sip:b@h", "one", 3, ";tag=t"));
    assert_eq!(sequences(&ladders.report(second)), [1, 2, 3]);
    ladders.forget(second);
    assert_eq!(ladders.sizes(), (0, 0, 0));
}

#[test]
fn what_is_of_no_call_takes_no_room() {
    let mut ladders = Ladders::default();
    for number in 0..1_000 {
        hears(&mut ladders, number, &invite(&format!("refused-{number}")));
        hears(&mut ladders, number, &request("sip:b@h", "nobody's", 2, ";tag=t"));
    }
    assert_eq!(ladders.sizes(), (0, 0, 0));
    assert!(ladders.pending.is_none());
}

#[test]
fn when_all_room_is_taken_calls_that_are_over_make_some() {
    let mut ladders = Ladders::default();
    let over = begin(&mut ladders, "over");
    let mut alive = Vec::new();
    for number in 0.. {
        let call_id = format!("call-{number}");
        let key = begin(&mut ladders, &call_id);
        alive.push((key, call_id.clone()));
        for sequence in 2..=64 {
            hears(&mut ladders, 2, &request("sip:b@h", &call_id, sequence, ";tag=t"));
        }
        if ladders.messages + 64 > MESSAGES_MAX {
            break;
        }
    }
    let (last, call_id) = alive.last().unwrap().clone();
    ladders.messages = MESSAGES_MAX;
    hears(&mut ladders, 3, &request("sip:b@h", "call-0", 65, ";tag=t"));
    // The ring of that call is full: one goes for one that comes.
    assert_eq!(ladders.report(alive[0].0).dropped, 1);
    ladders.end(over);
    let fresh = ladders.begin(&Bytes::from_static(b"fresh"));
    hears(&mut ladders, 3, &request("sip:b@h", "fresh", 2, ";tag=t"));
    assert_eq!(ladders.report(over), LadderReport::default());
    assert_eq!(ladders.report(fresh).messages.len(), 1);
    hears(&mut ladders, 4, &request("sip:b@h", "fresh", 3, ";tag=t"));
    assert_eq!((ladders.report(fresh).messages.len(), ladders.report(fresh).dropped), (1, 1));
    ladders.end(last);
    hears(&mut ladders, 5, &request("sip:b@h", "fresh", 4, ";tag=t"));
    assert_eq!(ladders.report(fresh).messages.len(), 2);
    assert_eq!(ladders.correlation(call_id.as_bytes()), None);
}

#[test]
fn start_lines_are_short_and_without_passwords() {
    let line = |uri: &str| {
        let message = request(uri, "one", 1, "");
        LadderMessage::of(Instant::ZERO + Duration::from_secs(1), hop(), &message, Direction::In).line()
    };
    assert_eq!(line("sip:+14155550100@h:5060;user=phone"), "INVITE sip:+14155550100@h:5060;user=phone");
    assert_eq!(line("sip:alice:geheim@h"), "INVITE sip:alice@h");
    assert_eq!(line("sip:alice:ge@heim@h"), "INVITE sip:alice@h");
    assert_eq!(line("tel:+14155550100"), "INVITE tel:+14155550100");
    let long = line(&format!("sip:{}@h", "9".repeat(300)));
    assert_eq!(long.len(), LINE_MAX);
}
