//! Client transactions in scenarios.

use super::*;

/// §17.1.1.2: "intervals that double after each transmission", until timer B at 64·T1: seven
/// transmissions in all.
#[test]
fn an_invite_nobody_answers_is_sent_seven_times_and_ends_after_32_s() {
    let mut stage = Stage::new();
    stage.send(&request("INVITE"), udp());
    stage.until(40_000);
    stage.expect(&[
        "0 send INVITE",
        "500 again INVITE",
        "1500 again INVITE",
        "3500 again INVITE",
        "7500 again INVITE",
        "15500 again INVITE",
        "31500 again INVITE",
        "32000 tu: Timeout",
        "32000 client gone",
    ]);
    stage.is_over();
}

/// §17.1.2.2: "the interval […] doubles until it hits T2": eleven transmissions in all.
#[test]
fn another_request_nobody_answers_is_sent_eleven_times() {
    let mut stage = Stage::new();
    stage.send(&request("OPTIONS"), udp());
    stage.until(40_000);
    let at = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    let mut lines = vec!["0 send OPTIONS".to_owned()];
    lines.extend(at.map(|at| format!("{at} again OPTIONS")));
    lines.extend(["32000 tu: Timeout".to_owned(), "32000 client gone".to_owned()]);
    stage.expect(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    stage.is_over();
}

#[test]
fn a_reliable_transport_is_given_each_request_once() {
    for method in ["INVITE", "OPTIONS"] {
        let mut stage = Stage::new();
        stage.send(&request(method), tcp());
        stage.until(40_000);
        stage.expect(&[&format!("0 send {method}"), "32000 tu: Timeout", "32000 client gone"]);
        stage.is_over();
    }
}

/// §17.1.2.2: "Timer E MUST be reset with a value of T2 seconds" once a provisional response came.
#[test]
fn a_provisional_response_slows_another_request_down_to_t2() {
    let mut stage = Stage::new();
    let options = request("OPTIONS");
    stage.send(&options, udp());
    stage.until(600);
    stage.receive(&response(&options, 100), udp());
    stage.until(10_000);
    stage.receive(&response(&options, 200), udp());
    stage.receive(&response(&options, 200), udp());
    stage.until(20_000);
    stage.expect(&[
        "0 send OPTIONS",
        "500 again OPTIONS",
        "600 tu: 100 OPTIONS",
        "1500 again OPTIONS",
        "5500 again OPTIONS",
        "9500 again OPTIONS",
        "10000 tu: 200 OPTIONS",
        "15000 client gone",
    ]);
    stage.is_over();
}

#[test]
fn a_ringing_invite_is_not_repeated_and_never_times_out_by_itself() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    stage.send(&invite, udp());
    stage.receive(&response(&invite, 100), udp());
    stage.receive(&response(&invite, 180), udp());
    stage.until(600_000);
    assert_eq!(stage.layer.armed_timers(), 0, "timer C is the TU's");
    stage.receive(&response(&invite, 486), udp());
    stage.until(700_000);
    stage.expect(&[
        "0 send INVITE",
        "0 tu: 100 INVITE",
        "0 tu: 180 INVITE",
        "600000 send ACK",
        "600000 tu: 486 INVITE",
        "632000 client gone",
    ]);
    stage.is_over();
}

/// RFC 6026 §8.4: each 2xx goes to the TU for 64·T1, whoever forked the INVITE or lost our ACK.
#[test]
fn every_2xx_goes_to_the_tu_until_timer_m() {
    for hop in [udp(), tcp()] {
        let mut stage = Stage::new();
        let invite = request("INVITE");
        stage.send(&invite, hop);
        stage.until(100);
        let ok = response(&invite, 200);
        stage.receive(&ok, hop);
        stage.until(600);
        stage.receive(&ok, hop);
        stage.receive(&altered(&ok, "tag=b", "tag=fork"), hop);
        stage.receive(&response(&invite, 180), hop);
        stage.receive(&response(&invite, 486), hop);
        stage.until(32_100);
        stage.receive(&ok, hop);
        stage.expect(&[
            "0 send INVITE",
            "100 tu: 200 INVITE",
            "600 tu: 200 INVITE",
            "600 tu: 200 INVITE",
            "32100 client gone",
            "32100 dropped: unmatched",
        ]);
        stage.is_over();
    }
}

/// §17.1.1.3, each MUST of it.
#[test]
fn the_ack_for_a_failure_is_built_of_the_request_and_the_response() {
    let mut stage = Stage::new();
    let invite = altered(
        &request("INVITE"),
        "Call-ID",
        "Route: <sip:p1;lr>, <sip:p2;lr>\r\nRoute: <sip:p3;lr>\r\nCall-ID",
    );
    stage.send(&invite, udp());
    stage.receive(&response(&invite, 404), hop(Transport::Udp, "198.51.100.77:9"));
    let (to, ack) = stage.sent.last().unwrap().clone();
    assert_eq!(to, udp(), "to the same address to which the original request was sent");
    assert_eq!(
        String::from_utf8_lossy(ack.as_bytes()),
        "ACK sip:bob@192.0.2.9 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\n\
         Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
         Route: <sip:p3;lr>\r\n\
         From: <sip:alice@192.0.2.1>;tag=a\r\n\
         To: <sip:bob@192.0.2.9>;tag=b\r\n\
         Call-ID: call-1\r\n\
         CSeq: 1 ACK\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stage.until(100);
    stage.receive(&response(&invite, 404), udp());
    assert_eq!(stage.sent.last().unwrap().1.as_bytes(), ack.as_bytes());
    stage.until(32_000);
    stage.expect(&["0 send INVITE", "0 send ACK", "0 tu: 404 INVITE", "100 again ACK", "32000 client gone"]);
    stage.is_over();
}

/// Timers D and K are zero over a reliable transport.
#[test]
fn a_reliable_transport_leaves_nothing_to_wait_for() {
    let mut stage = Stage::new();
    let (invite, options) = (request("INVITE"), request("OPTIONS"));
    stage.send(&invite, tcp());
    stage.receive(&response(&invite, 500), tcp());
    stage.send(&options, tcp());
    stage.receive(&response(&options, 200), tcp());
    stage.expect(&[
        "0 send INVITE",
        "0 send ACK",
        "0 tu: 500 INVITE",
        "0 client gone",
        "0 send OPTIONS",
        "0 tu: 200 OPTIONS",
        "0 client gone",
    ]);
    stage.is_over();
}

/// §9.1: "the client MUST wait for the arrival of a provisional response before sending the request."
#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut stage = Stage::new();
    let invite = altered(&request("INVITE"), "Call-ID", "Route: <sip:p1;lr>\r\nRequire: x\r\nCall-ID");
    let id = stage.send(&invite, udp());
    stage.until(100);
    stage.cancel(id);
    stage.cancel(id);
    stage.until(600);
    stage.receive(&response(&invite, 100), udp());
    stage.receive(&response(&invite, 180), udp());
    let cancel = stage.sent.last().unwrap().1.clone();
    assert_eq!(
        String::from_utf8_lossy(cancel.as_bytes()),
        "CANCEL sip:bob@192.0.2.9 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\n\
         Route: <sip:p1;lr>\r\n\
         From: <sip:alice@192.0.2.1>;tag=a\r\n\
         To: <sip:bob@192.0.2.9>\r\n\
         Call-ID: call-1\r\n\
         CSeq: 1 CANCEL\r\n\
         Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stage.until(1_200);
    stage.receive(&response(&cancel, 200), udp());
    stage.receive(&response(&invite, 487), udp());
    stage.until(40_000);
    stage.expect(&[
        "0 send INVITE",
        "500 again INVITE",
        "600 tu: 100 INVITE",
        "600 send CANCEL",
        "600 tu: 180 INVITE",
        "1100 again CANCEL",
        "1200 send ACK",
        "1200 tu: 487 INVITE",
        "33200 client gone",
    ]);
    stage.is_over();
}

#[test]
fn cancel_of_a_ringing_invite_goes_at_once() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    let id = stage.send(&invite, tcp());
    stage.receive(&response(&invite, 180), tcp());
    stage.cancel(id);
    let cancel = stage.sent.last().unwrap().1.clone();
    stage.receive(&response(&cancel, 200), tcp());
    stage.receive(&response(&invite, 487), tcp());
    stage.expect(&[
        "0 send INVITE",
        "0 tu: 180 INVITE",
        "0 send CANCEL",
        "0 send ACK",
        "0 tu: 487 INVITE",
        "0 client gone",
    ]);
    stage.is_over();
}

/// The 200 and the CANCEL crossed: the TU gets the 200, and has to end the call by BYE.
#[test]
fn a_2xx_wins_against_cancel() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    let id = stage.send(&invite, udp());
    stage.receive(&response(&invite, 180), udp());
    stage.cancel(id);
    let cancel = stage.sent.last().unwrap().1.clone();
    stage.receive(&response(&invite, 200), udp());
    stage.receive(&response(&cancel, 200), udp());
    stage.until(40_000);
    stage.expect(&[
        "0 send INVITE",
        "0 tu: 180 INVITE",
        "0 send CANCEL",
        "0 tu: 200 INVITE",
        "32000 client gone",
    ]);
    stage.is_over();
}

#[test]
fn cancel_after_a_final_response_is_nothing_and_a_waiting_one_dies_with_it() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    let id = stage.send(&invite, udp());
    stage.cancel(id);
    stage.receive(&response(&invite, 200), udp());
    stage.cancel(id);
    stage.until(32_000);
    stage.cancel(id);
    stage.expect(&["0 send INVITE", "0 tu: 200 INVITE", "32000 client gone"]);
    stage.is_over();

    let options = stage.layer.send_request(stage.now, request("OPTIONS"), tcp());
    stage.drain();
    stage.cancel(options);
    stage.until(64_000);
    stage.expect(&["32000 send OPTIONS", "64000 tu: Timeout", "64000 client gone"]);
    stage.is_over();
}

/// §9.1: 64·T1 after the CANCEL "the client SHOULD then consider the original transaction cancelled".
#[test]
fn a_cancelled_invite_that_stays_silent_ends_after_64_t1() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    let id = stage.send(&invite, udp());
    stage.receive(&response(&invite, 180), udp());
    stage.until(60_000);
    stage.cancel(id);
    let cancel = stage.sent.last().unwrap().1.clone();
    stage.receive(&response(&cancel, 481), udp());
    stage.until(70_000);
    stage.receive(&response(&invite, 183), udp());
    stage.until(100_000);
    stage.expect(&[
        "0 send INVITE",
        "0 tu: 180 INVITE",
        "60000 send CANCEL",
        "70000 tu: 183 INVITE",
        "92000 tu: Timeout",
        "92000 client gone",
    ]);
    stage.is_over();
}

#[test]
fn a_cancel_that_nobody_answers_is_repeated_and_the_tu_hears_of_the_invite_only() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    let id = stage.send(&invite, udp());
    stage.receive(&response(&invite, 180), udp());
    stage.cancel(id);
    stage.until(32_000);
    let cancels = stage.log.iter().filter(|line| line.ends_with("CANCEL")).count();
    assert_eq!(cancels, 11);
    stage.log.retain(|line| !line.ends_with("again CANCEL"));
    stage.expect(&[
        "0 send INVITE",
        "0 tu: 180 INVITE",
        "0 send CANCEL",
        "32000 tu: Timeout",
        "32000 client gone",
    ]);
    stage.is_over();
}

/// §17.1.4: "the client transaction SHOULD inform the TU that a transport failure has occurred".
#[test]
fn a_failed_transport_ends_what_waits_on_it_and_nothing_else() {
    let mut stage = Stage::new();
    let other = hop(Transport::Tcp, "192.0.2.10:5060");
    let (calling, ringing) = (request("INVITE"), altered(&request("INVITE"), "z9hG4bK1", "z9hG4bK2"));
    let accepted = altered(&request("INVITE"), "z9hG4bK1", "z9hG4bK3");
    let elsewhere = altered(&request("OPTIONS"), "z9hG4bK1", "z9hG4bK4");
    stage.send(&calling, tcp());
    stage.send(&request("OPTIONS"), tcp());
    stage.send(&ringing, tcp());
    stage.receive(&response(&ringing, 180), tcp());
    stage.send(&accepted, tcp());
    stage.receive(&response(&accepted, 200), tcp());
    stage.send(&elsewhere, other);
    stage.log.clear();
    stage.transport_failed(tcp());
    stage.expect(&["0 tu: Transport", "0 tu: Transport", "0 client gone", "0 unreachable"]);
    assert_eq!(
        stage.layer.active(),
        4,
        "the 2xx may repeat, the other hop works, and INVITEs may be answered"
    );
    stage.receive(&response(&ringing, 486), other);
    stage.expect(&["0 send ACK", "0 tu: 486 INVITE", "0 client gone"]);
    stage.until(40_000);
    stage.expect(&["32000 client gone", "32000 client gone", "32000 tu: Timeout", "32000 client gone"]);
    stage.is_over();
}

/// After a final response the TU knows all that it must: it only learns that the transaction is gone.
#[test]
fn a_transport_that_cannot_take_the_ack_ends_a_failed_invite_quietly() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    stage.send(&invite, udp());
    stage.receive(&response(&invite, 486), udp());
    stage.transport_failed(udp());
    stage.expect(&["0 send INVITE", "0 send ACK", "0 tu: 486 INVITE", "0 client gone"]);
    stage.is_over();
}

#[test]
fn a_late_tick_is_followed_by_no_burst() {
    let mut stage = Stage::new();
    stage.send(&request("INVITE"), udp());
    stage.now = Instant::from_millis(10_000);
    stage.layer.on_time(stage.now);
    stage.drain();
    stage.expect(&["0 send INVITE", "10000 again INVITE"]);
    stage.until(40_000);
    stage.log.clear();
    stage.is_over();
}

/// A TU that gives two requests one branch harms nobody but itself.
#[test]
fn a_branch_used_twice_leaves_nothing_behind() {
    let mut stage = Stage::new();
    let options = request("OPTIONS");
    stage.send(&options, tcp());
    stage.until(1_000);
    stage.send(&options, tcp());
    stage.until(32_500);
    stage.receive(&response(&options, 200), tcp());
    stage.expect(&[
        "0 send OPTIONS",
        "1000 send OPTIONS",
        "32000 tu: Timeout",
        "32000 client gone",
        "32500 tu: 200 OPTIONS",
        "32500 client gone",
    ]);
    stage.is_over();
}
