//! INVITEs whose connection breaks, and their CANCELs: a phone that rings is told to stop.

use super::*;

/// An INVITE over TCP that rings and is cancelled; its CANCEL.
fn cancelled(stage: &mut Stage) -> (Message, Message) {
    let invite = request("INVITE");
    let id = stage.send(&invite, tcp());
    stage.receive(&response(&invite, 180), tcp());
    stage.cancel(id);
    stage.expect(&["0 send INVITE", "0 tu: 180 INVITE", "0 send CANCEL"]);
    (invite, stage.sent.last().unwrap().1.clone())
}

#[test]
fn a_cancel_that_its_connection_swallowed_goes_out_again_the_same() {
    let mut stage = Stage::new();
    let (invite, cancel) = cancelled(&mut stage);
    stage.until(1_000);
    stage.transport_failed(tcp());
    let (to, again) = stage.sent.last().unwrap().clone();
    assert_eq!((to, again.as_bytes()), (tcp(), cancel.as_bytes()));
    stage.receive(&response(&cancel, 200), tcp());
    stage.transport_failed(tcp());
    stage.receive(&response(&invite, 487), tcp());
    stage.expect(&[
        "1000 unreachable",
        "1000 again CANCEL",
        // The second loss takes nothing that waits for an answer.
        "1000 unreachable",
        "1000 send ACK",
        "1000 tu: 487 INVITE",
        "1000 client gone",
    ]);
    stage.is_over();
}

#[test]
fn a_cancel_that_no_connection_takes_is_given_up_and_said_to_be_lost() {
    let mut stage = Stage::new();
    let (invite, _) = cancelled(&mut stage);
    stage.transport_failed(tcp());
    stage.until(1_000);
    stage.transport_failed(tcp());
    // While it waits nothing of it can be lost.
    stage.until(2_000);
    stage.transport_failed(tcp());
    stage.until(6_000);
    stage.transport_failed(tcp());
    stage.transport_failed(tcp());
    stage.expect(&[
        "0 unreachable",
        "0 again CANCEL",
        "1000 unreachable",
        "2000 unreachable",
        "5000 again CANCEL",
        "6000 unreachable",
        "6000 tu: CANCEL lost",
        "6000 unreachable",
    ]);
    // What the callee says in spite of it is heard.
    stage.receive(&response(&invite, 200), tcp());
    stage.until(38_000);
    stage.expect(&["6000 tu: 200 INVITE", "38000 client gone"]);
    stage.is_over();
}

#[test]
fn a_cancel_is_not_repeated_for_an_invite_that_is_answered() {
    for code in [200, 487] {
        let mut stage = Stage::new();
        let (invite, _) = cancelled(&mut stage);
        stage.receive(&response(&invite, code), tcp());
        stage.log.clear();
        stage.transport_failed(tcp());
        stage.expect(&[]);
        stage.until(40_000);
        stage.log.clear();
        stage.is_over();
    }
}

/// The peer had opened the connection, and cannot be reached at its port.
#[test]
fn a_cancel_goes_out_again_where_the_tu_says() {
    let mut stage = Stage::new();
    let elsewhere = hop(Transport::Tcp, "192.0.2.9:5070");
    let (invite, cancel) = cancelled(&mut stage);
    let carried = stage.layer.cancels_over(tcp());
    assert_eq!(carried.len(), 1);
    stage.layer.redirect_cancel(carried[0].0, elsewhere);
    stage.transport_failed(tcp());
    assert_eq!(stage.sent.last().unwrap().0, elsewhere);
    assert!(stage.layer.cancels_over(tcp()).is_empty() && stage.layer.cancels_over(elsewhere) == carried);
    stage.receive(&response(&cancel, 200), elsewhere);
    stage.receive(&response(&invite, 487), elsewhere);
    stage.log.clear();
    stage.is_over();
}

/// Over UDP timer E repeats it; a report of a fault ends it as before.
#[test]
fn a_cancel_over_udp_is_not_repeated_for_a_fault_of_its_transport() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    let id = stage.send(&invite, udp());
    stage.receive(&response(&invite, 180), udp());
    stage.cancel(id);
    stage.log.clear();
    stage.transport_failed(udp());
    stage.expect(&["0 unreachable", "0 tu: CANCEL lost"]);
}

/// It may have arrived before the connection broke: what rings is cancelled, now that the TU has
/// gone on.
#[test]
fn an_invite_whose_connection_broke_is_cancelled_when_it_rings_after_all() {
    for waits in [false, true] {
        let mut stage = Stage::new();
        let invite = request("INVITE");
        let id = stage.send(&invite, tcp());
        if waits {
            stage.cancel(id);
        }
        stage.transport_failed(tcp());
        stage.expect(&["0 send INVITE", "0 tu: Transport"]);
        // It was said once.
        stage.transport_failed(tcp());
        stage.until(1_000);
        stage.receive(&response(&invite, 180), tcp());
        stage.expect(&["1000 tu: 180 INVITE", "1000 send CANCEL"]);
        let cancel = stage.sent.last().unwrap().1.clone();
        assert_eq!(cancel.header(Header::Reason).is_some(), waits);
        stage.receive(&response(&cancel, 200), tcp());
        stage.receive(&response(&invite, 487), tcp());
        stage.expect(&["1000 send ACK", "1000 tu: 487 INVITE", "1000 client gone"]);
        stage.is_over();
    }
}

#[test]
fn a_2xx_to_an_invite_whose_connection_broke_is_heard() {
    let mut stage = Stage::new();
    let invite = request("INVITE");
    stage.send(&invite, tcp());
    stage.transport_failed(tcp());
    stage.until(2_000);
    stage.receive(&response(&invite, 200), tcp());
    stage.until(40_000);
    stage.expect(&["0 send INVITE", "0 tu: Transport", "2000 tu: 200 INVITE", "34000 client gone"]);
    stage.is_over();
}

/// A 2xx to a re-INVITE needs its ACK, too; and what waits for its user is CANCELled, for who asked for it
/// may send another.
#[test]
fn an_invite_within_a_dialog_outlives_its_connection_too() {
    let invite = altered(&request("INVITE"), "<sip:bob@192.0.2.9>", "<sip:bob@192.0.2.9>;tag=b");
    let mut stage = Stage::new();
    stage.send(&invite, tcp());
    stage.transport_failed(tcp());
    stage.until(1_000);
    stage.receive(&response(&invite, 100), tcp());
    stage.receive(&response(&invite, 200), tcp());
    stage.expect(&[
        "0 send INVITE",
        "0 tu: Transport",
        "1000 tu: 100 INVITE",
        "1000 send CANCEL",
        "1000 tu: 200 INVITE",
    ]);
    let cancel = stage.sent.last().unwrap().1.clone();
    stage.receive(&response(&cancel, 200), tcp());
    stage.until(40_000);
    stage.expect(&["33000 client gone"]);
    stage.is_over();
}
