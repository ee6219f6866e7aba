//! Which message belongs to which transaction, where responses go, and what is refused.

use super::*;
use crate::base::ListenerId;

/// Answers all that is open, and lets it run out.
fn finish(stage: &mut Stage) {
    for id in std::mem::take(&mut stage.asked) {
        stage.respond(id, 200);
    }
    stage.until(stage.now.as_micros() / 1_000 + 100_000);
    stage.log.clear();
    stage.is_over();
}

/// A gateway in a NAT wrote another sent-by into the Via of the CANCEL: it must still stop the ringing.
#[test]
fn a_cancel_whose_sent_by_was_changed_finds_its_invite() {
    let mut stage = Stage::new();
    stage.receive(&request("INVITE"), udp());
    let cancel = altered(&request("CANCEL"), "UDP 192.0.2.9:5060", "UDP 203.0.113.1:40000");
    stage.receive(&cancel, hop(Transport::Udp, "203.0.113.1:40000"));
    stage.expect(&["0 send 100 INVITE", "0 tu: INVITE", "0 tu: CANCEL of INVITE"]);
    finish(&mut stage);
}

#[test]
fn each_part_of_the_key_tells_requests_apart() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    stage.receive(&invite, udp());
    for (from, to) in [("z9hG4bK1", "z9hG4bK2"), ("call-1", "call-2"), ("1 INVITE", "2 INVITE")] {
        stage.receive(&altered(&invite, from, to), udp());
    }
    stage.receive(&request("CANCEL"), Hop { listener: ListenerId(1), ..udp() });
    stage.receive(&invite, Hop { listener: ListenerId(1), ..udp() });
    stage.expect(&[
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "0 tu: CANCEL of nothing",
        "0 send 100 INVITE",
        "0 tu: INVITE",
    ]);
    finish(&mut stage);
}

/// §17.2.3's second rule: Request-URI, tags, Call-ID, CSeq and the top Via; of an ACK the To tag is
/// that of the response.
#[test]
fn a_sender_of_rfc_2543_is_matched_by_the_second_rule() {
    for via in ["SIP/2.0/UDP 192.0.2.9:5060", "SIP/2.0/UDP 192.0.2.9:5060;branch=1"] {
        let mut stage = Stage::new();
        let invite = request_via("INVITE", via);
        stage.receive(&invite, udp());
        stage.receive(&invite, udp());
        stage.receive(&altered(&invite, "INVITE sip:bob", "INVITE sip:carol"), udp());
        stage.receive(&altered(&invite, "tag=a", "tag=c"), udp());
        stage.receive(&request_via("CANCEL", via), udp());
        stage.expect(&[
            "0 send 100 INVITE",
            "0 tu: INVITE",
            "0 again 100 INVITE",
            "0 send 100 INVITE",
            "0 tu: INVITE",
            "0 send 100 INVITE",
            "0 tu: INVITE",
            "0 tu: CANCEL of INVITE",
        ]);
        let id = stage.asked[0];
        stage.respond(id, 404);
        let ack = ack_of(&invite);
        stage.receive(&altered(&ack, "tag=b", "tag=x"), udp());
        stage.receive(&ack, udp());
        stage.until(400);
        stage.expect(&["0 send 404 INVITE", "0 tu: ACK"]);
        finish(&mut stage);
    }
}

/// The same inside of a dialog, where the INVITE has the To tag already.
#[test]
fn a_re_invite_of_rfc_2543_finds_its_ack() {
    let mut stage = Stage::new();
    let invite = request_via("INVITE", "SIP/2.0/UDP 192.0.2.9:5060");
    let invite = altered(&invite, "To: <sip:bob@192.0.2.9>", "To: <sip:bob@192.0.2.9>;tag=b");
    stage.receive(&invite, udp());
    let id = stage.asked[0];
    stage.respond(id, 488);
    stage.receive(&altered(&invite, "INVITE", "ACK"), udp());
    stage.until(5_000);
    stage.expect(&["0 send 100 INVITE", "0 tu: INVITE", "0 send 488 INVITE", "5000 server gone"]);
    stage.is_over();
}

/// §17.1.3: branch and CSeq method; where it comes from does not matter.
#[test]
fn a_response_is_matched_by_branch_and_method() {
    let mut stage = Stage::new();
    let options = request("OPTIONS");
    stage.send(&options, udp());
    let ok = response(&options, 200);
    stage.receive(&altered(&ok, "z9hG4bK1", "z9hG4bK2"), udp());
    stage.receive(&altered(&ok, "1 OPTIONS", "1 INVITE"), udp());
    stage.receive(&ok, hop(Transport::Udp, "198.51.100.1:5062"));
    stage.until(5_000);
    stage.receive(&ok, udp());
    stage.expect(&[
        "0 send OPTIONS",
        "0 dropped: unmatched",
        "0 dropped: unmatched",
        "0 tu: 200 OPTIONS",
        "5000 client gone",
        "5000 dropped: unmatched",
    ]);
    stage.is_over();
}

#[test]
fn an_ack_without_a_to_tag_belongs_to_nothing() {
    let mut stage = Stage::new();
    stage.receive(&request("ACK"), udp());
    stage.receive(&ack_of(&request("INVITE")), udp());
    stage.expect(&["0 dropped: unmatched", "0 tu: ACK"]);
    stage.is_over();
}

/// §18.2.2 and RFC 3581 §4.
#[test]
fn responses_go_where_the_via_and_the_source_say() {
    let source = "203.0.113.7:33000";
    for (transport, via, expected) in [
        (Transport::Udp, "SIP/2.0/UDP 10.0.0.1:5070;rport;branch=z9hG4bK1", source),
        (Transport::Udp, "SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1", "203.0.113.7:5070"),
        (Transport::Udp, "SIP/2.0/UDP pc.example;branch=z9hG4bK1", "203.0.113.7:5060"),
        (Transport::Tcp, "SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bK1", source),
        (Transport::Tls, "SIP/2.0/TLS 10.0.0.1:5070;branch=z9hG4bK1", source),
    ] {
        let mut stage = Stage::new();
        let hop = hop(transport, source);
        stage.receive(&request_via("INVITE", via), hop);
        let id = stage.asked[0];
        let back = Hop { peer: expected.parse().unwrap(), ..hop };
        assert_eq!(stage.layer.response_hop(id), Some(back), "{via}");
        assert_eq!(stage.layer.request(id).map(|(_, hop)| hop), Some(hop));
        stage.respond(id, 180);
        assert!(stage.sent.iter().all(|(hop, _)| *hop == back), "{via}");
        let trying = &stage.sent[0].1;
        let seen = trying.top_via().unwrap().params.value("received");
        assert_eq!(seen, Some(&b"203.0.113.7"[..]));
        stage.transport_failed(back);
        assert_eq!(stage.log.last().map(String::as_str), Some("0 tu: Transport"));
        finish(&mut stage);
    }
}

#[test]
fn beyond_the_limit_new_calls_are_refused_and_calls_can_still_end() {
    let mut stage = Stage::with_limit(1);
    let invite = request("INVITE");
    stage.receive(&invite, udp());
    stage.log.clear();
    let second = altered(&invite, "z9hG4bK1", "z9hG4bK2");
    stage.receive(&second, udp());
    stage.receive(&second, udp());
    stage.expect(&[
        "0 send 503 INVITE",
        "0 dropped: overloaded",
        "0 send 503 INVITE",
        "0 dropped: overloaded",
    ]);
    let refusals: Vec<_> = stage.sent[1..].iter().map(|(_, message)| message.clone()).collect();
    assert_eq!(refusals[0].number(Header::RetryAfter), Some(RETRY_AFTER_SECONDS));
    // §8.2.7: the same To tag for the same request, and its ACK is ignored.
    assert_eq!(refusals[0].as_bytes(), refusals[1].as_bytes());
    let tag = String::from_utf8(refusals[0].to().unwrap().tag().unwrap().to_vec()).unwrap();
    stage.receive(&altered(&ack_of(&second), "tag=b", &format!("tag={tag}")), udp());
    stage.expect(&[]);

    stage.receive(&invite, udp());
    let bye = altered(&request("BYE"), "To: <sip:bob@192.0.2.9>", "To: <sip:bob@192.0.2.9>;tag=b");
    stage.receive(&bye, udp());
    stage.receive(&request("CANCEL"), udp());
    stage.receive(&altered(&request("OPTIONS"), "z9hG4bK1", "z9hG4bK3"), udp());
    stage.send(&altered(&request("OPTIONS"), "z9hG4bK1", "z9hG4bK4"), udp());
    stage.expect(&[
        "0 again 100 INVITE",
        "0 tu: BYE",
        "0 tu: CANCEL of INVITE",
        "0 send 503 OPTIONS",
        "0 dropped: overloaded",
        "0 send OPTIONS",
    ]);
    finish(&mut stage);
}

#[test]
fn the_reserve_has_an_end_too() {
    let mut stage = Stage::with_limit(0);
    let bye = altered(&request("BYE"), "To: <sip:bob@192.0.2.9>", "To: <sip:bob@192.0.2.9>;tag=b");
    for number in 0..=RESERVED_TRANSACTIONS {
        let from = hop(Transport::Tcp, &format!("192.0.2.{}:5060", number % 3));
        stage.receive(&altered(&bye, "z9hG4bK1", &format!("z9hG4bK{number}")), from);
    }
    assert_eq!(stage.layer.active(), RESERVED_TRANSACTIONS);
    assert_eq!(stage.log.last().map(String::as_str), Some("0 dropped: overloaded"));
    finish(&mut stage);
}
