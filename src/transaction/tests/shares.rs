//! What one source may have of the tables, and what is kept for others and for emergencies.

use super::*;
use crate::transaction::shares::share_of;

const OTHER: &str = "192.0.2.10:5060";

fn numbered(method: &str, number: usize) -> Message {
    altered(&request(method), "z9hG4bK1", &format!("z9hG4bK{number}"))
}

/// So many INVITEs of the peer, from as many ports, numbered on from the first.
fn flood(stage: &mut Stage, first: usize, count: usize) {
    for number in first..first + count {
        stage.receive(&numbered("INVITE", number), hop(Transport::Udp, &format!("192.0.2.9:{number}")));
    }
    stage.log.clear();
}

fn end(stage: &mut Stage) {
    for id in std::mem::take(&mut stage.asked) {
        stage.respond(id, 486);
    }
    stage.until(stage.now.as_micros() / 1_000 + 100_000);
    stage.log.clear();
    stage.is_over();
}

#[test]
fn a_flood_from_one_source_leaves_room_for_others() {
    let mut stage = Stage::with_limit(40);
    flood(&mut stage, 10_000, share_of(40));
    stage.receive(&numbered("INVITE", 1), udp());
    stage.expect(&["0 send 503 INVITE", "0 dropped: rate_limited"]);
    // What it has begun, it may change and end.
    stage.receive(
        &altered(&numbered("BYE", 2), "To: <sip:bob@192.0.2.9>", "To: <sip:bob@192.0.2.9>;tag=b"),
        udp(),
    );
    stage.expect(&["0 tu: BYE"]);
    let other = hop(Transport::Udp, OTHER);
    stage.receive(&numbered("INVITE", 3), other);
    stage.expect(&["0 send 100 INVITE", "0 tu: INVITE"]);
    for number in 4..20 {
        stage.receive(&numbered("INVITE", number), other);
    }
    assert_eq!(stage.log.last().map(String::as_str), Some("0 dropped: overloaded"), "all is taken now");
    end(&mut stage);
    // All is given back.
    stage.receive(&numbered("INVITE", 1), udp());
    stage.expect(&["100000 send 100 INVITE", "100000 tu: INVITE"]);
    end(&mut stage);
}

#[test]
fn a_call_for_help_has_room_when_nothing_else_has() {
    let mut stage = Stage::with_limit(8);
    flood(&mut stage, 10_000, 8);
    for number in 1..=RESERVED_FOR_EMERGENCIES {
        stage.layer.receive_emergency(stage.now, numbered("INVITE", number), udp());
        stage.drain();
        assert_eq!(stage.log.last().map(String::as_str), Some("0 tu: INVITE"), "{number}");
    }
    stage.log.clear();
    stage.layer.receive_emergency(stage.now, numbered("INVITE", 2_000), udp());
    stage.drain();
    stage.expect(&["0 send 503 INVITE", "0 dropped: rate_limited"]);
    end(&mut stage);
}

#[test]
fn large_requests_have_no_more_memory_than_small_ones() {
    let mut stage = Stage::with_limit(8);
    let room = share_of(8) * BYTES_PER_TRANSACTION;
    let of_size = |number: usize, bytes: usize| {
        let plain = numbered("INVITE", number);
        let padding = "x".repeat(bytes - plain.as_bytes().len() - "X-Long: \r\n".len());
        altered(&plain, "Content-Length", &format!("X-Long: {padding}\r\nContent-Length"))
    };
    let half = of_size(1, room / 2);
    assert_eq!(half.as_bytes().len(), room / 2);
    stage.receive(&half, udp());
    stage.receive(&of_size(2, room / 2 + 1), udp());
    stage.expect(&["0 send 100 INVITE", "0 tu: INVITE", "0 send 503 INVITE", "0 dropped: rate_limited"]);
    stage.receive(&of_size(3, room / 2), udp());
    stage.expect(&["0 send 100 INVITE", "0 tu: INVITE"]);
    stage.receive(&numbered("INVITE", 4), udp());
    stage.receive(&numbered("INVITE", 5), hop(Transport::Udp, OTHER));
    stage.expect(&["0 send 503 INVITE", "0 dropped: rate_limited", "0 send 100 INVITE", "0 tu: INVITE"]);
    end(&mut stage);
}

#[test]
fn a_host_of_ipv6_has_one_share_for_all_its_addresses() {
    let mut stage = Stage::with_limit(40);
    for number in 0..share_of(40) {
        let peer = hop(Transport::Udp, &format!("[2001:db8::{number:x}]:5060"));
        stage.receive(&numbered("INVITE", 10_000 + number), peer);
    }
    stage.log.clear();
    stage.receive(&numbered("INVITE", 1), hop(Transport::Udp, "[2001:db8::1:2:3:4]:5060"));
    stage.expect(&["0 send 503 INVITE", "0 dropped: rate_limited"]);
    stage.receive(&numbered("INVITE", 2), hop(Transport::Udp, "[2001:db8:0:1::1]:5060"));
    stage.expect(&["0 send 100 INVITE", "0 tu: INVITE"]);
    end(&mut stage);
}
