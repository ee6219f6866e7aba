//! Server transactions in scenarios.

use super::*;

/// §17.2.1: "The server transaction MUST generate a 100 (Trying) response"; §8.2.6.2: without a tag.
#[test]
fn an_invite_is_answered_by_100_at_once() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    stage.receive(&invite, udp());
    let (_, trying) = stage.sent[0].clone();
    assert_eq!(trying.to().unwrap().tag(), None);
    assert_eq!(trying.list(Header::Via).count(), 2);
    // The caller lost it.
    stage.until(500);
    stage.receive(&invite, udp());
    let id = stage.asked[0];
    assert!(stage.respond(id, 180));
    stage.until(1_500);
    stage.receive(&invite, udp());
    stage.expect(&[
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "500 again 100 INVITE",
        "500 send 180 INVITE",
        "1500 again 180 INVITE",
    ]);
    assert!(stage.respond(id, 486));
    stage.receive(&ack_of(&invite), udp());
    stage.until(6_500);
    stage.expect(&["1500 send 486 INVITE", "6500 server gone"]);
    stage.is_over();
}

/// §17.2.1: timer G doubles up to T2 until timer H at 64·T1, "the ACK was never received".
#[test]
fn a_failure_that_nobody_acknowledges_is_sent_eleven_times() {
    let mut stage = Stage::new();
    stage.receive(&request("INVITE"), udp());
    let id = stage.asked[0];
    assert!(stage.respond(id, 404));
    stage.until(40_000);
    stage.expect(&[
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "0 send 404 INVITE",
        "500 again 404 INVITE",
        "1500 again 404 INVITE",
        "3500 again 404 INVITE",
        "7500 again 404 INVITE",
        "11500 again 404 INVITE",
        "15500 again 404 INVITE",
        "19500 again 404 INVITE",
        "23500 again 404 INVITE",
        "27500 again 404 INVITE",
        "31500 again 404 INVITE",
        "32000 tu: NoAck",
        "32000 server gone",
    ]);
    stage.is_over();
}

#[test]
fn an_ack_stops_the_failure_and_what_repeats_is_absorbed_for_t4() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    stage.receive(&invite, udp());
    let id = stage.asked[0];
    stage.respond(id, 404);
    // The first ACK was lost: the failure is repeated, and so is the INVITE that crossed it.
    stage.until(600);
    stage.receive(&invite, udp());
    stage.receive(&ack_of(&invite), udp());
    stage.receive(&ack_of(&invite), udp());
    stage.receive(&invite, udp());
    stage.until(40_000);
    stage.expect(&[
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "0 send 404 INVITE",
        "500 again 404 INVITE",
        "600 again 404 INVITE",
        "5600 server gone",
    ]);
    stage.is_over();
}

#[test]
fn over_a_reliable_transport_a_failure_is_sent_once_and_its_ack_ends_all() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    stage.receive(&invite, tcp());
    let id = stage.asked[0];
    stage.respond(id, 404);
    stage.until(20_000);
    stage.receive(&ack_of(&invite), tcp());
    stage.expect(&["0 send 100 INVITE", "0 tu: INVITE", "0 send 404 INVITE", "20000 server gone"]);
    stage.is_over();
}

/// RFC 6026 §8.7: the INVITE that repeats is absorbed; the TU repeats its 2xx itself. RFC 3261 alone
/// took it for a new call.
#[test]
fn after_a_2xx_the_transaction_stays_until_timer_l() {
    for hop in [udp(), tcp()] {
        let mut stage = Stage::new();
        let invite = request("INVITE");
        stage.receive(&invite, hop);
        let id = stage.asked[0];
        assert!(stage.respond(id, 200));
        let ok = stage.sent.last().unwrap().1.clone();
        stage.until(500);
        stage.receive(&invite, hop);
        let back = stage.layer.response_hop(id).unwrap();
        stage.layer.send_stateless(&ok, back, true);
        stage.drain();
        assert!(!stage.respond(id, 180), "it is answered");
        assert!(!stage.respond(id, 486), "it is answered");
        // Once with a branch of its own, as is right, and once with the INVITE's.
        stage.receive(&altered(&ack_of(&invite), "z9hG4bK1", "z9hG4bK2"), hop);
        stage.receive(&ack_of(&invite), hop);
        stage.until(32_000);
        stage.expect(&[
            "0 send 100 INVITE",
            "0 tu: INVITE",
            "0 send 200 INVITE",
            "500 again 200 INVITE",
            "500 tu: ACK",
            "500 tu: ACK",
            "32000 server gone",
        ]);
        assert!(!stage.respond(id, 200));
        stage.is_over();
    }
}

#[test]
fn a_2xx_may_be_repeated_through_its_transaction() {
    let mut stage = Stage::new();
    stage.receive(&request("INVITE"), udp());
    let id = stage.asked[0];
    assert!(stage.respond(id, 200) && stage.respond(id, 200));
    stage.until(32_000);
    stage.expect(&[
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "0 send 200 INVITE",
        "0 again 200 INVITE",
        "32000 server gone",
    ]);
    stage.is_over();
}

/// §17.2.2: discarded in Trying, answered again in Proceeding and Completed.
#[test]
fn another_request_is_absorbed_until_it_is_answered() {
    let mut stage = Stage::new();
    let bye = request("BYE");
    stage.receive(&bye, udp());
    let id = stage.asked[0];
    stage.receive(&bye, udp());
    stage.expect(&["0 tu: BYE"]);
    stage.respond(id, 100);
    stage.receive(&bye, udp());
    assert!(stage.respond(id, 200));
    stage.until(500);
    stage.receive(&bye, udp());
    assert!(!stage.respond(id, 500), "it is answered");
    stage.until(32_000);
    stage.expect(&[
        "0 send 100 BYE",
        "0 again 100 BYE",
        "0 send 200 BYE",
        "500 again 200 BYE",
        "32000 server gone",
    ]);
    stage.is_over();

    stage.receive(&bye, tcp());
    let id = stage.asked[0];
    stage.respond(id, 200);
    stage.expect(&["32000 tu: BYE", "32000 send 200 BYE", "32000 server gone"]);
    stage.is_over();
}

#[test]
fn cancel_is_a_transaction_of_its_own_and_names_its_invite() {
    let mut stage = Stage::new();
    let (invite, cancel) = (request("INVITE"), request("CANCEL"));
    stage.receive(&invite, udp());
    stage.receive(&cancel, udp());
    stage.receive(&cancel, udp());
    let (invite_id, cancel_id) = (stage.asked[0], stage.asked[1]);
    stage.respond(cancel_id, 200);
    stage.respond(invite_id, 487);
    stage.receive(&ack_of(&invite), udp());
    stage.receive(&cancel, udp());
    stage.until(32_000);
    stage.expect(&[
        "0 send 100 INVITE",
        "0 tu: INVITE",
        "0 tu: CANCEL of INVITE",
        "0 send 200 CANCEL",
        "0 send 487 INVITE",
        "0 again 200 CANCEL",
        "5000 server gone",
        "32000 server gone",
    ]);
    stage.is_over();
}

#[test]
fn cancel_of_nothing_is_told_as_such() {
    let mut stage = Stage::new();
    stage.receive(&request("CANCEL"), tcp());
    let id = stage.asked[0];
    stage.respond(id, 481);
    stage.expect(&["0 tu: CANCEL of nothing", "0 send 481 CANCEL", "0 server gone"]);
    stage.is_over();
}

/// RFC 6026 §8.8: "[it] SHOULD inform the TU that a failure has occurred, and MUST remain in the
/// current state."
#[test]
fn a_failed_transport_is_told_and_the_transaction_stays() {
    let mut stage = Stage::new();
    let (invite, bye) = (request("INVITE"), altered(&request("BYE"), "z9hG4bK1", "z9hG4bK2"));
    stage.receive(&invite, udp());
    stage.receive(&bye, udp());
    stage.transport_failed(udp());
    stage.expect(&["0 send 100 INVITE", "0 tu: INVITE", "0 tu: BYE", "0 tu: Transport"]);
    let (invite_id, bye_id) = (stage.asked[0], stage.asked[1]);
    stage.respond(invite_id, 486);
    stage.respond(bye_id, 200);
    stage.transport_failed(udp());
    stage.transport_failed(tcp());
    stage.receive(&bye, udp());
    stage.receive(&ack_of(&invite), udp());
    stage.until(32_000);
    stage.expect(&[
        "0 send 486 INVITE",
        "0 send 200 BYE",
        "0 tu: Transport",
        "0 tu: Transport",
        "0 again 200 BYE",
        "5000 server gone",
        "32000 server gone",
    ]);
    stage.is_over();
}
