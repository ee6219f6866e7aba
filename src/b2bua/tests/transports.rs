//! TCP and TLS: over what a request goes, what a broken connection means, what is too large for a
//! datagram; and a call from IPv4 to IPv6.

mod lost;

use std::sync::Arc;
use std::time::Duration;

use super::lab::*;
use crate::admission::DropReason;
use crate::b2bua::{AttemptResult, Event, Input, Listener, Settings};
use crate::base::{ByRealm, Hop, ListenerId, PeerIdentity, Realm, Transport};
use crate::media::MediaAddress;
use crate::sip::{Message, Method};

const UNTRUSTED_TCP: ListenerId = ListenerId(3);
const UNTRUSTED_TLS: ListenerId = ListenerId(5);

/// The lab with TCP, TLS and IPv6 listeners behind those for UDP; the trusted ones are even.
fn all_listeners() -> Settings {
    let mut settings = settings();
    for (transport, trusted, untrusted) in [
        (Transport::Tcp, SBC_TRUSTED, SBC_UNTRUSTED),
        (Transport::Tls, "10.0.0.5:5061", "203.0.113.5:5061"),
        (Transport::Udp, "[fd00::5]:5060", "[2001:db8::5]:5060"),
    ] {
        for (realm, bind) in [(Realm::Trusted, trusted), (Realm::Untrusted, untrusted)] {
            let (bind, advertise) = (bind.parse().unwrap(), bind.to_owned());
            settings.listeners.push(Listener { realm, transport, bind, advertise });
        }
    }
    settings
}

fn carrier_by(transport: Option<Transport>) -> Settings {
    let mut settings = all_listeners();
    settings.routing.trunks[1].transport = transport;
    settings
}

/// A connection that the PBX has opened, from a port of its own.
fn pbx_connects(lab: &mut Lab) -> Hop {
    let hop = Hop::new(ListenerId(2), Transport::Tcp, "10.0.0.9:40000".parse().unwrap());
    lab.input(Input::Connected { hop });
    hop
}

fn receive_over(lab: &mut Lab, hop: Hop, message: &Message) {
    lab.input(Input::Received { hop, bytes: message.as_bytes().clone() });
}

/// The next request of this method to anybody, and where it went.
fn take_to(lab: &mut Lab, method: &Method) -> (Hop, Message) {
    let at = lab.sent.iter().position(|(_, message)| message.method() == Some(method));
    lab.sent.remove(at.unwrap_or_else(|| panic!("no {method:?} in {:?}", lab.sent))).unwrap()
}

fn carrier(listener: ListenerId, transport: Transport) -> Hop {
    Hop::new(listener, transport, CARRIER_A.parse().unwrap())
}

/// A call from the PBX over its connection to carrier A over UDP, answered and ACKed.
fn call_over_connection(lab: &mut Lab, hop: Hop) -> (Message, Message, Message) {
    call_as(lab, hop, "t")
}

/// The same, with an identifier of its own.
fn call_as(lab: &mut Lab, hop: Hop, id: &str) -> (Message, Message, Message) {
    let invite = invite(PBX, "+442079460000", id, Some(SDP_PBX));
    receive_over(lab, hop, &invite);
    lab.take_response("10.0.0.9:40000", 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response("10.0.0.9:40000", 200);
    lab.take_request(CARRIER_A, &Method::Ack);
    receive_over(lab, hop, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.expect_silence();
    (invite, answer, outgoing)
}

/// The carrier hangs up; gives where the PBX is told.
fn carrier_hangs_up(lab: &mut Lab, outgoing: &Message) -> Hop {
    carrier_hangs_up_as(lab, outgoing, 1)
}

/// The same, with a CSeq of its own.
fn carrier_hangs_up_as(lab: &mut Lab, outgoing: &Message, sequence: u32) -> Hop {
    let bye = finish(callee_request(CARRIER_A, outgoing, "callee", &Method::Bye, sequence), None);
    lab.receive(CARRIER_A, &bye);
    lab.take_response(CARRIER_A, 200);
    let (hop, bye) = take_to(lab, &Method::Bye);
    receive_over(lab, hop, &respond(PBX, &bye, 200, "x", None));
    hop
}

#[test]
fn a_call_goes_out_over_the_transport_of_its_trunk() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(&mut lab, &Method::Invite);
    assert_eq!(hop, carrier(UNTRUSTED_TCP, Transport::Tcp));
    assert!(text(&outgoing).contains("\r\nVia: SIP/2.0/TCP 203.0.113.5:5060;rport;branch="));
    assert!(text(&outgoing).contains("@203.0.113.5:5060;transport=tcp>\r\n"), "{}", text(&outgoing));
    // No timer A over a reliable transport.
    lab.advance(Duration::from_secs(3));
    lab.expect_silence();
    receive_over(&mut lab, hop, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    assert_eq!(take_to(&mut lab, &Method::Ack).0, hop);
    lab.take_response(PBX, 486);
    lab.receive(PBX, &ack_of_failure(&invite(PBX, "+442079460000", "1", None)));
    lab.expect_nothing_left();
}

/// An ACK for a failure has the branch of its INVITE.
pub(super) fn ack_of_failure(invite: &Message) -> Message {
    let ack = text(invite).replacen("INVITE ", "ACK ", 1).replace(" INVITE\r\n", " ACK\r\n");
    Message::parse(ack.into()).unwrap()
}

#[test]
fn requests_take_the_connection_that_the_peer_opened_while_it_lives() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let (_, _, outgoing) = call_over_connection(&mut lab, hop);
    assert_eq!(carrier_hangs_up(&mut lab, &outgoing), hop);
    lab.expect_nothing_left();
}

#[test]
fn a_broken_connection_ends_no_call_and_the_next_request_opens_another() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let (_, _, outgoing) = call_over_connection(&mut lab, hop);
    lab.input(Input::TransportFailed { hop });
    lab.advance(Duration::from_secs(5));
    assert_eq!(lab.engine.census().calls, 1);
    let contact = Hop { peer: PBX.parse().unwrap(), ..hop };
    assert_eq!(carrier_hangs_up(&mut lab, &outgoing), contact);
    lab.expect_nothing_left();
}

#[test]
fn a_contact_may_ask_for_tcp_and_gets_udp_where_that_cannot_be_had_or_is_written() {
    for (written, expected) in [(None, Transport::Tcp), (Some(Transport::Udp), Transport::Udp)] {
        let mut lab = Lab::with(carrier_by(written));
        let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
        lab.receive(PBX, &invite);
        lab.take_response(PBX, 100);
        let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
        let answered = text(&respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)))
            .replace("callee@198.51.100.1:5060>", "callee@198.51.100.1:5060;transport=tcp>");
        lab.receive(CARRIER_A, &Message::parse(answered.into()).unwrap());
        let answer = lab.take_response(PBX, 200);
        let (hop, _) = take_to(&mut lab, &Method::Ack);
        assert_eq!(hop.transport, expected);
        lab.caller_acks_and_leaves(&invite, &answer);
        let (mut hop, mut bye) = take_to(&mut lab, &Method::Bye);
        assert_eq!(hop.transport, expected);
        if expected == Transport::Tcp {
            lab.input(Input::TransportFailed { hop });
            (hop, bye) = take_to(&mut lab, &Method::Bye);
        }
        assert_eq!(hop, carrier(ListenerId(1), Transport::Udp));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
        lab.expect_nothing_left();
    }
}

#[test]
fn a_bye_that_a_dead_connection_swallowed_goes_where_the_peer_listens() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let (_, _, outgoing) = call_over_connection(&mut lab, hop);
    let bye = finish(callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1), None);
    lab.receive(CARRIER_A, &bye);
    lab.take_response(CARRIER_A, 200);
    let (first, lost) = take_to(&mut lab, &Method::Bye);
    assert_eq!(first, hop);
    lab.input(Input::TransportFailed { hop });
    let (second, bye) = take_to(&mut lab, &Method::Bye);
    assert_eq!(second, Hop { peer: PBX.parse().unwrap(), ..hop });
    // The first may have arrived after all.
    assert_eq!(bye.cseq().unwrap().number, lost.cseq().unwrap().number + 1);
    assert_ne!(bye.top_via().unwrap().branch(), lost.top_via().unwrap().branch());
    // And no third time.
    lab.input(Input::TransportFailed { hop: second });
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn every_request_that_a_dead_connection_swallowed_goes_out_again() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let mut swallowed = Vec::new();
    for id in ["t1", "t2", "t3"] {
        let (_, _, outgoing) = call_as(&mut lab, hop, id);
        lab.receive(
            CARRIER_A,
            &finish(callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1), None),
        );
        lab.take_response(CARRIER_A, 200);
        swallowed.push(take_to(&mut lab, &Method::Bye).1.call_id().to_vec());
    }
    lab.input(Input::TransportFailed { hop });
    for _ in 0..swallowed.len() {
        let bye = lab.take_request(PBX, &Method::Bye);
        swallowed.retain(|call_id| call_id != bye.call_id());
        receive_over(
            &mut lab,
            Hop { peer: PBX.parse().unwrap(), ..hop },
            &respond(PBX, &bye, 200, "x", None),
        );
    }
    assert!(swallowed.is_empty());
    lab.expect_nothing_left();
}

#[test]
fn a_request_that_goes_out_again_counts_above_what_was_sent_since() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let (_, _, outgoing) = call_over_connection(&mut lab, hop);
    for (sequence, method) in [(1, Method::Info), (2, Method::Options)] {
        let request = finish(callee_request(CARRIER_A, &outgoing, "callee", &method, sequence), None);
        lab.receive(CARRIER_A, &request);
    }
    let swallowed = [&Method::Info, &Method::Options].map(|method| take_to(&mut lab, method).1);
    assert_eq!(swallowed.map(|request| request.cseq().unwrap().number), [1, 2]);
    lab.input(Input::TransportFailed { hop });
    let mut again = Vec::new();
    for _ in 0..2 {
        let request = lab.take(PBX);
        again.push(request.cseq().unwrap().number);
        let answer = respond(PBX, &request, 200, "x", None);
        receive_over(&mut lab, Hop { peer: PBX.parse().unwrap(), ..hop }, &answer);
        lab.take_response(CARRIER_A, 200);
    }
    assert_eq!(again, [3, 4]);
    let contact = Hop { peer: PBX.parse().unwrap(), ..hop };
    let bye = finish(callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 3), None);
    lab.receive(CARRIER_A, &bye);
    lab.take_response(CARRIER_A, 200);
    let (to, bye) = take_to(&mut lab, &Method::Bye);
    assert_eq!((to, bye.cseq().unwrap().number), (contact, 5));
    receive_over(&mut lab, to, &respond(PBX, &bye, 200, "x", None));
    lab.expect_nothing_left();
}

#[test]
fn a_response_whose_connection_is_gone_takes_one_to_the_sent_by() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let invite = invite(PBX, "+442079460000", "t", Some(SDP_PBX));
    receive_over(&mut lab, hop, &invite);
    lab.take_response("10.0.0.9:40000", 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.input(Input::TransportFailed { hop });
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let (to, _) = lab.sent[0].clone();
    assert_eq!(to, Hop { peer: PBX.parse().unwrap(), ..hop });
    lab.take_response(PBX, 180);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    // §13.3.1.4: over a reliable transport, too, the 2xx is repeated until the ACK comes.
    lab.advance(Duration::from_millis(600));
    lab.take_response(PBX, 200);
    lab.input(Input::TransportFailed { hop: to });
    lab.advance(Duration::from_secs(1));
    lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.advance(Duration::from_secs(5));
    lab.expect_silence();
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_nothing_left();
}

/// Two trunks have one address: whom the new connection must lead to says the call, not the address.
#[test]
fn a_response_takes_a_connection_to_the_trunk_that_its_call_is_of() {
    let mut settings = all_listeners();
    settings.routing.trunks[0].transport = Some(Transport::Tls);
    let mut other = settings.routing.trunks[0].clone();
    other.name = "pbx-b".into();
    other.tls.server_name = Some("b.example".to_owned());
    other.matching.domains = vec!["b.example".to_owned()];
    let identity = other.first_identity();
    assert_ne!(identity, settings.routing.trunks[0].first_identity());
    settings.routing.trunks.push(other);
    let mut lab = Lab::with(settings);
    let hop = Hop::new(ListenerId(4), Transport::Tls, "10.0.0.9:40000".parse().unwrap());
    lab.input(Input::Connected { hop });
    let invite = text(&invite(PBX, "+442079460000", "t", Some(SDP_PBX)));
    let invite = invite.replace("To: <sip:+442079460000@10.0.0.5:5060>", "To: <sip:+442079460000@b.example>");
    let invite = Message::parse(invite.into()).unwrap();
    receive_over(&mut lab, hop, &invite);
    lab.take_response("10.0.0.9:40000", 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.input(Input::TransportFailed { hop });
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    let (to, _) = lab.sent[0].clone();
    assert_eq!(to, Hop { peer: PBX.parse().unwrap(), identity, ..hop });
    lab.take_response(PBX, 180);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    receive_over(&mut lab, to, &ack_of_failure(&invite));
    lab.expect_nothing_left();
}

#[test]
fn a_target_that_cannot_be_connected_to_is_left_at_once() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let (hop, _) = take_to(&mut lab, &Method::Invite);
    lab.input(Input::TransportFailed { hop });
    let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.receive(PBX, &ack_of_failure(&invite(PBX, "+442079460000", "1", None)));
    lab.expect_nothing_left();
    let results: Vec<_> = lab.cdr().attempts.iter().map(|attempt| attempt.result).collect();
    assert_eq!(results, [AttemptResult::Transport, AttemptResult::Status(486)]);
}

#[test]
fn of_two_calls_whose_connection_fails_both_go_on_to_the_next_target() {
    // What follows from the first failure may take the place of the second's transaction.
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    for id in ["one", "two"] {
        lab.receive(PBX, &invite(PBX, "+442079460000", id, Some(SDP_PBX)));
        lab.take_response(PBX, 100);
    }
    let (hop, _) = take_to(&mut lab, &Method::Invite);
    take_to(&mut lab, &Method::Invite);
    lab.input(Input::TransportFailed { hop });
    let again = [(); 2].map(|()| lab.take_request(CARRIER_B, &Method::Invite));
    for (id, second) in ["one", "two"].iter().zip(again) {
        lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "b", None));
        lab.take_request(CARRIER_B, &Method::Ack);
        lab.take_response(PBX, 486);
        lab.receive(PBX, &ack_of_failure(&invite(PBX, "+442079460000", id, None)));
    }
    assert_eq!(lab.cdrs.len(), 2);
    lab.expect_nothing_left();
}

#[test]
fn a_phone_that_rings_may_answer_over_another_connection() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(&mut lab, &Method::Invite);
    receive_over(&mut lab, hop, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.input(Input::TransportFailed { hop });
    lab.expect_silence();
    let other = Hop { peer: "198.51.100.1:33333".parse().unwrap(), ..hop };
    lab.input(Input::Connected { hop: other });
    receive_over(&mut lab, other, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    assert_eq!(take_to(&mut lab, &Method::Ack).0, hop, "the Contact is where the INVITE went");
    lab.caller_acks_and_leaves(&invite, &answer);
    let (to, bye) = take_to(&mut lab, &Method::Bye);
    receive_over(&mut lab, to, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_nothing_left();
}

#[test]
fn a_target_that_breaks_off_before_it_rings_is_cancelled_and_left() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(&mut lab, &Method::Invite);
    receive_over(&mut lab, hop, &respond(CARRIER_A, &outgoing, 100, "x", None));
    lab.input(Input::TransportFailed { hop });
    let (to, cancel) = take_to(&mut lab, &Method::Cancel);
    assert_eq!(to, hop, "CANCEL goes where its INVITE went");
    receive_over(&mut lab, hop, &respond(CARRIER_A, &cancel, 200, "x", None));
    receive_over(&mut lab, hop, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    take_to(&mut lab, &Method::Ack);
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "callee", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.receive(PBX, &ack_of_failure(&invite(PBX, "+442079460000", "1", None)));
    lab.expect_nothing_left();
}

#[test]
fn a_broken_connection_refuses_what_waited_on_it_and_the_call_goes_on() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Tcp)));
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(&mut lab, &Method::Invite);
    receive_over(&mut lab, hop, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    take_to(&mut lab, &Method::Ack);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    let info = caller_request(PBX, &invite, &answer, &Method::Info, 2)
        .finish_with(b"application/dtmf-relay", b"Signal=5\r\n")
        .unwrap();
    lab.receive(PBX, &info);
    let (to, _) = take_to(&mut lab, &Method::Info);
    lab.input(Input::TransportFailed { hop: to });
    lab.take_response(PBX, 503);
    assert_eq!(lab.engine.census().calls, 1);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 3), None));
    lab.take_response(PBX, 200);
    let (to, bye) = take_to(&mut lab, &Method::Bye);
    receive_over(&mut lab, to, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_nothing_left();
}

#[test]
fn a_strangers_connection_is_closed_and_counted_before_it_says_anything() {
    let mut lab = Lab::with(all_listeners());
    let hop = Hop::new(UNTRUSTED_TCP, Transport::Tcp, STRANGER.parse().unwrap());
    lab.input(Input::Connected { hop });
    assert_eq!(lab.disconnected, [hop]);
    let dropped = Event::Dropped { realm: Realm::Untrusted, reason: DropReason::SourceNotAllowed };
    assert_eq!(lab.events, [dropped]);
    let friend = Hop { peer: CARRIER_A.parse().unwrap(), ..hop };
    lab.input(Input::Connected { hop: friend });
    assert_eq!(lab.disconnected, [hop]);
}

#[test]
fn a_peer_that_a_reload_shuts_out_keeps_its_connection_until_its_call_is_over() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let idle = Hop { peer: "10.0.0.77:40000".parse().unwrap(), ..hop };
    lab.input(Input::Connected { hop: idle });
    let (_, _, outgoing) = call_over_connection(&mut lab, hop);
    let mut narrower = all_listeners();
    narrower.admission.allow.trusted.clear();
    lab.input(Input::Settings(Arc::new(narrower)));
    assert_eq!(lab.disconnected, [idle]);
    assert_eq!(carrier_hangs_up(&mut lab, &outgoing), hop);
    lab.advance(Duration::from_secs(1));
    assert_eq!(lab.disconnected, [idle, hop]);
    lab.expect_nothing_left();
}

/// An INVITE that fits no datagram of 1,300 bytes once it is written anew.
fn large_invite() -> Message {
    let sdp = format!("{SDP_PBX}{}", "a=x-filler:0123456789012345678901234567890123456789\r\n".repeat(20));
    invite(PBX, "+442079460000", "big", Some(&sdp))
}

#[test]
fn what_is_too_large_for_a_datagram_goes_by_tcp_and_nothing_else_does() {
    let mut lab = Lab::with(carrier_by(None));
    let invite = large_invite();
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(&mut lab, &Method::Invite);
    assert_eq!(hop, carrier(UNTRUSTED_TCP, Transport::Tcp));
    assert!(outgoing.as_bytes().len() > 1_300 && text(&outgoing).contains("Via: SIP/2.0/TCP "));
    receive_over(&mut lab, hop, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    let (to, ack) = take_to(&mut lab, &Method::Ack);
    assert_eq!(to, carrier(ListenerId(1), Transport::Udp));
    assert!(text(&ack).contains("Via: SIP/2.0/UDP "));
    lab.caller_acks_and_leaves(&invite, &answer);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    assert!(text(&bye).contains("Via: SIP/2.0/UDP "));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_nothing_left();
}

#[test]
fn what_is_too_large_goes_by_udp_where_tcp_cannot_be_had() {
    let mut lab = Lab::with(carrier_by(None));
    lab.receive(PBX, &large_invite());
    lab.take_response(PBX, 100);
    let (hop, over_tcp) = take_to(&mut lab, &Method::Invite);
    lab.input(Input::TransportFailed { hop });
    let (hop, over_udp) = take_to(&mut lab, &Method::Invite);
    assert_eq!(hop, carrier(ListenerId(1), Transport::Udp), "not the next target");
    assert!(text(&over_udp).contains("Via: SIP/2.0/UDP "));
    assert_eq!(over_udp.body(), over_tcp.body());
    assert_eq!(over_udp.call_id(), over_tcp.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &over_udp, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.receive(PBX, &ack_of_failure(&large_invite()));
    lab.expect_nothing_left();
}

#[test]
fn a_trunk_that_is_written_as_udp_gets_fragments() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Udp)));
    lab.receive(PBX, &large_invite());
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(&mut lab, &Method::Invite);
    assert_eq!(hop, carrier(ListenerId(1), Transport::Udp));
    assert!(outgoing.as_bytes().len() > 1_300);
}

#[test]
fn a_connection_for_one_name_is_none_for_another_at_the_same_address() {
    let mut settings = carrier_by(Some(Transport::Tls));
    let mut other = settings.routing.trunks[1].clone();
    other.name = "carrier-b".into();
    other.tls.server_name = Some("other.example".to_owned());
    settings.routing.trunks[2] = other;
    let mut lab = Lab::with(settings);
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let (first, _) = take_to(&mut lab, &Method::Invite);
    assert_eq!((first.listener, first.transport), (UNTRUSTED_TLS, Transport::Tls));
    lab.input(Input::TransportFailed { hop: first });
    let (second, outgoing) = take_to(&mut lab, &Method::Invite);
    assert_eq!(second.peer, first.peer);
    assert!(second != first && second.identity != PeerIdentity::NONE && first.identity != PeerIdentity::NONE);
    // What follows in the dialog is for the same name.
    receive_over(&mut lab, second, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let (ack_hop, _) = take_to(&mut lab, &Method::Ack);
    assert_eq!(ack_hop.identity, second.identity);
}

#[test]
fn over_a_stream_a_message_without_content_length_is_refused() {
    let mut lab = Lab::with(all_listeners());
    let hop = pbx_connects(&mut lab);
    let endless = text(&invite(PBX, "+442079460000", "1", None)).replace("Content-Length: 0\r\n", "");
    receive_over(&mut lab, hop, &Message::parse(endless.into()).unwrap());
    let refusal = lab.take_response("10.0.0.9:40000", 400);
    assert_eq!(refusal.reason(), b"Missing Content-Length Header");
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn sips_is_taken_and_its_contact_is_reached_over_tls() {
    let mut settings = all_listeners();
    settings.routing.trunks[0].transport = Some(Transport::Tls);
    let identity = settings.routing.trunks[0].first_identity();
    let mut lab = Lab::with(settings);
    let invite = text(&invite(PBX, "+442079460000", "s", Some(SDP_PBX)))
        .replace("INVITE sip:", "INVITE sips:")
        .replace("<sip:caller@10.0.0.9:5060>", "<sips:caller@10.0.0.9:5061>");
    let hop = Hop::new(ListenerId(4), Transport::Tls, "10.0.0.9:40000".parse().unwrap());
    lab.input(Input::Connected { hop });
    receive_over(&mut lab, hop, &Message::parse(invite.into()).unwrap());
    lab.take_response("10.0.0.9:40000", 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response("10.0.0.9:40000", 200);
    assert!(text(&answer).contains("@10.0.0.5:5061;transport=tls>"), "{}", text(&answer));
    lab.input(Input::TransportFailed { hop });
    let bye = finish(callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1), None);
    lab.receive(CARRIER_A, &bye);
    lab.take_response(CARRIER_A, 200);
    // The 2xx still waits for its ACK; then comes BYE.
    lab.advance(Duration::from_secs(33));
    let (to, _) = take_to(&mut lab, &Method::Bye);
    assert_eq!(to, Hop { peer: "10.0.0.9:5061".parse().unwrap(), identity, ..hop });
}

#[test]
fn a_call_goes_from_ipv4_to_ipv6_with_its_media() {
    let mut settings = all_listeners();
    settings.routing.trunks[1] = trunk("carrier-a", Realm::Untrusted, "[2001:db8::9]:5060");
    settings.admission.allow = ByRealm {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        untrusted: vec!["2001:db8::/64".parse().unwrap()],
    };
    let v6 = "2001:db8::5".parse().unwrap();
    settings.media.realms.untrusted.addresses.push(MediaAddress { bind: v6, advertise: v6 });
    let mut lab = Lab::with(settings);
    let invite = invite(PBX, "+442079460000", "6", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let (hop, outgoing) = take_to(&mut lab, &Method::Invite);
    assert_eq!((hop.listener, hop.peer), (ListenerId(7), "[2001:db8::9]:5060".parse().unwrap()));
    let written = text(&outgoing);
    assert!(written.contains("Via: SIP/2.0/UDP [2001:db8::5]:5060;rport;"), "{written}");
    assert!(written.contains("@[2001:db8::5]:5060>\r\n"), "{written}");
    assert!(written.contains("c=IN IP6 2001:db8::5\r\n"), "{written}");
    let sdp = SDP_CARRIER.replace("IN IP4 198.51.100.77", "IN IP6 2001:db8::77");
    let answered = respond("[2001:db8::9]:5060", &outgoing, 200, "callee", Some(&sdp));
    receive_over(&mut lab, hop, &answered);
    let (to, _) = take_to(&mut lab, &Method::Ack);
    assert_eq!(to, hop);
    let answer = lab.take_response(PBX, 200);
    assert!(text(&answer).contains("c=IN IP4 10.0.0.5\r\n"), "{}", text(&answer));
    let ports = opened_ports(&lab);
    assert!(ports[0].rtp().is_ipv4() && ports[1].rtp().is_ipv6(), "{ports:?}");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    let bye = finish(callee_request("[2001:db8::9]:5060", &outgoing, "callee", &Method::Bye, 1), None);
    receive_over(&mut lab, hop, &bye);
    let bye = lab.take_request(PBX, &Method::Bye);
    lab.receive(PBX, &respond(PBX, &bye, 200, "x", None));
    lab.take_response("[2001:db8::9]:5060", 200);
    lab.expect_nothing_left();
}

#[test]
fn a_sips_contact_on_a_trunk_that_is_written_as_udp_is_reached_at_the_port_of_udp() {
    let mut lab = Lab::with(carrier_by(Some(Transport::Udp)));
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    let answered = text(&respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)))
        .replace("sip:callee@198.51.100.1:5060>", "sips:callee@198.51.100.1>");
    lab.receive(CARRIER_A, &Message::parse(answered.into()).unwrap());
    let answer = lab.take_response(PBX, 200);
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.caller_acks_and_leaves(&invite, &answer);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_nothing_left();
}

#[test]
fn a_contact_at_loopback_does_not_lead_to_ourselves() {
    let mut settings = all_listeners();
    settings.admission.allow.trusted.push("127.0.0.0/8".parse().unwrap());
    let mut lab = Lab::with(settings);
    let contact = format!("<sip:caller@{PBX}>");
    let invite = text(&invite(PBX, "+442079460000", "1", Some(SDP_PBX)))
        .replace(&contact, "<sip:caller@127.0.0.1:9090;transport=tcp>");
    lab.receive_bytes(PBX, invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 200);
    let bye = finish(callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1), None);
    lab.receive(CARRIER_A, &bye);
    lab.take_response(CARRIER_A, 200);
    lab.advance(Duration::from_secs(33));
    let peers: Vec<_> = lab.sent.iter().map(|(hop, _)| (hop.peer.to_string(), hop.transport)).collect();
    assert!(peers.iter().all(|to| *to == (PBX.to_owned(), Transport::Udp)), "{peers:?}");
    assert!(lab.sent.iter().any(|(_, message)| message.method() == Some(&Method::Bye)));
    lab.sent.clear();
    lab.expect_nothing_left();
}
