//! Transfers that we carry out: RFC 5359 §2.4 (blind) and §2.5 (attended) with us as the one that
//! calls, and everything that may cross them.

use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::hang_up;
use super::transfer::{refer, replaces, transferring};
use crate::b2bua::{AttemptResult, EndedBy, Input, Settings};
use crate::media::{MediaCommand, Side};
use crate::routing::{Limits, NumberPattern, Refer};
use crate::sip::{Header, Message, Method};

pub const TARGET: &str = "<sip:4155550123@10.0.0.5>";
pub const SDP_TARGET: &str = "v=0\r\no=c 9 9 IN IP4 198.51.100.1\r\ns=c\r\nc=IN IP4 198.51.100.88\r\nt=0 0\r\n\
    m=audio 42000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

pub fn consuming() -> Settings {
    transferring(Refer::Consume)
}

/// The next NOTIFY to the PBX, answered: the status of its sipfrag, and whether it is the last.
pub fn told(lab: &mut Lab) -> (String, bool) {
    let notify = lab.take_request(PBX, &Method::Notify);
    lab.receive(PBX, &respond(PBX, &notify, 200, "x", None));
    let state = String::from_utf8_lossy(notify.header(Header::SubscriptionState).unwrap()).into_owned();
    let body = String::from_utf8_lossy(&notify.body()).into_owned();
    (body.trim_end().to_owned(), state.starts_with("terminated"))
}

/// A call from the PBX over carrier A which the PBX transfers; the INVITE of the errand too.
pub fn with_errand(lab: &mut Lab) -> (Message, Message, Message, Message) {
    let (invite, answer, outgoing) = establish(lab, "1");
    lab.receive(PBX, &refer(&invite, &answer, 2, TARGET));
    lab.take_response(PBX, 202);
    assert_eq!(told(lab), ("SIP/2.0 100 Trying".to_owned(), false));
    let errand = lab.take_request(CARRIER_A, &Method::Invite);
    lab.expect_silence();
    (invite, answer, outgoing, errand)
}

/// The errand is answered, and the remaining party told.
pub fn answer_errand(lab: &mut Lab, outgoing: &Message, errand: &Message) {
    lab.receive(CARRIER_A, &respond(CARRIER_A, errand, 200, "target", Some(SDP_TARGET)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(reinvite.call_id(), outgoing.call_id());
    assert_eq!(audio_port(&reinvite), audio_port(outgoing), "the port of the remaining party moved");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
}

/// Time passes until something is sent.
fn wait(lab: &mut Lab) {
    for _ in 0..200 {
        if !lab.sent.is_empty() {
            return;
        }
        lab.advance(Duration::from_millis(50));
    }
}

pub fn audio_port(message: &Message) -> String {
    let text = text(message);
    let line = text.lines().find(|line| line.starts_with("m=audio ")).expect("an m= line").to_owned();
    line.split(' ').nth(1).unwrap().to_owned()
}

pub fn bye_of_transferor(lab: &mut Lab, invite: &Message, answer: &Message, sequence: u32) {
    lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Bye, sequence), None));
    lab.take_response(PBX, 200);
}

/// The new party hangs up, and the remaining one hears of it.
pub fn target_hangs_up(lab: &mut Lab, errand: &Message, outgoing: &Message) {
    lab.receive(CARRIER_A, &finish(callee_request(CARRIER_A, errand, "target", &Method::Bye, 1), None));
    lab.take_response(CARRIER_A, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    assert_eq!(bye.call_id(), outgoing.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_blind_transfer_is_carried_out() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    assert!(text(&errand).starts_with("INVITE sip:+14155550123@carrier-a.example SIP/2.0\r\n"));
    // Who is called speaks to the party that remains.
    assert!(text(&errand).contains("From: <sip:+442079460000@carrier-a.example>"), "{}", text(&errand));
    assert!(text(&errand).contains("c=IN IP4 203.0.113.5\r\n"));
    assert_eq!(errand.number(Header::MaxForwards), Some(68));
    assert_ne!(audio_port(&errand), audio_port(&outgoing));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 180, "target", None));
    assert_eq!(told(&mut lab), ("SIP/2.0 180 Ringing".to_owned(), false));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 180, "target", None));
    lab.expect_silence();
    answer_errand(&mut lab, &outgoing, &errand);
    assert_eq!(told(&mut lab), ("SIP/2.0 200 OK".to_owned(), true));
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    lab.expect_silence();
    // Both parties' media goes through two sessions that send to each other.
    let inner = lab.media.iter().filter(|command| {
        matches!(command, MediaCommand::SetRemote { side: Side::A, remote: Some(remote), .. }
            if remote.rtp.ip().to_string() == "10.0.0.5")
    });
    assert_eq!(inner.count(), 2);
    target_hangs_up(&mut lab, &errand, &outgoing);
    let cdr = lab.cdr();
    assert_eq!((cdr.status, cdr.ended_by, cdr.transfers.len()), (200, EndedBy::Caller, 1));
    assert_eq!((cdr.transfers[0].by, cdr.transfers[0].status), (EndedBy::Caller, 200));
    assert_eq!(cdr.transfers[0].to, "+14155550123");
    assert_eq!(cdr.attempts.len(), 2);
    assert_eq!(cdr.ingress.call_id.as_bytes(), invite.call_id());
    assert_eq!(cdr.ingress.trunk.as_ref().map(crate::base::TrunkName::as_str), Some("pbx"));
}

#[test]
fn the_callee_may_transfer_too() {
    let mut lab = Lab::with(consuming());
    let invite = invite(CARRIER_B, "+14155550111", "1", Some(SDP_CARRIER));
    lab.receive(CARRIER_B, &invite);
    lab.take_response(CARRIER_B, 100);
    let outgoing = lab.take_request(PBX, &Method::Invite);
    lab.receive(PBX, &respond(PBX, &outgoing, 200, "desk1", Some(SDP_PBX)));
    lab.take_request(PBX, &Method::Ack);
    let answer = lab.take_response(CARRIER_B, 200);
    lab.receive(CARRIER_B, &finish(caller_request(CARRIER_B, &invite, &answer, &Method::Ack, 1), None));
    let refer = callee_request(PBX, &outgoing, "desk1", &Method::Refer, 1).header(Header::ReferTo, TARGET);
    lab.receive(PBX, &finish(refer, None));
    lab.take_response(PBX, 202);
    told(&mut lab);
    let errand = lab.take_request(CARRIER_A, &Method::Invite);
    assert!(text(&errand).contains("From: \"Caller\" <sip:+14155550100@carrier-a.example>"));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET)));
    lab.take_request(CARRIER_A, &Method::Ack);
    assert_eq!(told(&mut lab), ("SIP/2.0 200 OK".to_owned(), true));
    let reinvite = lab.take_request(CARRIER_B, &Method::Invite);
    assert_eq!(audio_port(&reinvite), audio_port(&answer));
    lab.receive(CARRIER_B, &respond(CARRIER_B, &reinvite, 200, "x", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.receive(PBX, &finish(callee_request(PBX, &outgoing, "desk1", &Method::Bye, 2), None));
    lab.take_response(PBX, 200);
    // What the parties say within the call crosses from one to the other.
    let info = caller_request(CARRIER_B, &invite, &answer, &Method::Info, 2);
    lab.receive(CARRIER_B, &info.finish_with(b"application/dtmf-relay", b"Signal=5\r\n").unwrap());
    let info = lab.take_request(CARRIER_A, &Method::Info);
    assert_eq!(info.call_id(), errand.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &info, 200, "target", None));
    lab.take_response(CARRIER_B, 200);
    lab.receive(CARRIER_B, &finish(caller_request(CARRIER_B, &invite, &answer, &Method::Bye, 3), None));
    lab.take_response(CARRIER_B, 200);
    lab.take_request(CARRIER_A, &Method::Bye);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().transfers[0].by, EndedBy::Callee);
}

#[test]
fn a_failed_transfer_leaves_the_call_as_it_was() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, _, errand) = with_errand(&mut lab);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 486, "target", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    assert_eq!(told(&mut lab), ("SIP/2.0 486 Busy Here".to_owned(), true));
    lab.expect_silence();
    // Another one may follow.
    lab.receive(PBX, &refer(&invite, &answer, 3, TARGET));
    lab.take_response(PBX, 202);
    told(&mut lab);
    let errand = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 404, "target", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    assert_eq!(told(&mut lab), ("SIP/2.0 404 Not Found".to_owned(), true));
    hang_up(&mut lab, &invite, &answer, 4);
    lab.expect_silence();
    lab.expect_nothing_left();
    let statuses: Vec<_> = lab.cdr().transfers.iter().map(|transfer| transfer.status).collect();
    assert_eq!(statuses, [486, 404]);
    assert_eq!(lab.cdr().attempts[1].result, AttemptResult::Status(486));
}

#[test]
fn an_errand_fails_over_like_any_call() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, _, errand) = with_errand(&mut lab);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 503, "target", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let errand = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &errand, 100, "target", None));
    lab.advance(Duration::from_secs(5));
    lab.expect_silence();
    lab.receive(CARRIER_B, &respond(CARRIER_B, &errand, 503, "target", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    assert_eq!(told(&mut lab), ("SIP/2.0 503 Service Unavailable".to_owned(), true));
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn nobody_transfers_to_what_he_could_not_call() {
    let mut settings = consuming();
    settings.routing.routes[0].to = vec![NumberPattern::Prefix("+44".to_owned())];
    let mut lab = Lab::with(settings);
    let (invite, answer, _) = establish(&mut lab, "1");
    for (sequence, refer_to, status) in [(2, TARGET, 404), (3, "<sip:911@10.0.0.5>", 603), (4, "<sip:x", 400)]
    {
        lab.receive(PBX, &refer(&invite, &answer, sequence, refer_to));
        lab.take_response(PBX, status);
    }
    hang_up(&mut lab, &invite, &answer, 5);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert!(lab.cdr().transfers.is_empty());
}

#[test]
fn the_limits_of_the_transferors_trunk_hold() {
    let mut settings = consuming();
    settings.routing.trunks[0].limits = Limits { calls: Some(1), calls_per_second: None };
    let mut lab = Lab::with(settings);
    let (invite, answer, _) = establish(&mut lab, "1");
    lab.receive(PBX, &refer(&invite, &answer, 2, TARGET));
    lab.take_response(PBX, 202);
    told(&mut lab);
    assert_eq!(told(&mut lab), ("SIP/2.0 503 Service Unavailable".to_owned(), true));
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn what_a_transfer_counted_is_given_back() {
    let mut settings = consuming();
    settings.routing.trunks[0].limits = Limits { calls: Some(2), calls_per_second: None };
    settings.routing.trunks[1].limits = Limits { calls: Some(2), calls_per_second: None };
    let mut lab = Lab::with(settings);
    for _ in 0..3 {
        let (invite, answer, outgoing, errand) = with_errand(&mut lab);
        answer_errand(&mut lab, &outgoing, &errand);
        told(&mut lab);
        bye_of_transferor(&mut lab, &invite, &answer, 3);
        target_hangs_up(&mut lab, &errand, &outgoing);
        lab.cdrs.clear();
    }
    let count = |name: &str| {
        lab.events.iter().fold(0, |sum, event| match event {
            crate::b2bua::Event::CallBegan { trunk: Some(trunk), .. } if trunk.as_str() == name => sum + 1,
            crate::b2bua::Event::CallEnded { trunk: Some(trunk) } if trunk.as_str() == name => sum - 1,
            _ => sum,
        })
    };
    assert_eq!((count("pbx"), count("carrier-a"), count("carrier-b")), (0, 0, 0));
}

#[test]
fn a_transferor_that_hangs_up_at_once_leaves_the_other_to_the_transfer() {
    for succeeds in [true, false] {
        let mut lab = Lab::with(consuming());
        let (invite, answer, outgoing, errand) = with_errand(&mut lab);
        bye_of_transferor(&mut lab, &invite, &answer, 3);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 180, "target", None));
        lab.expect_silence();
        if succeeds {
            answer_errand(&mut lab, &outgoing, &errand);
            lab.expect_silence();
            target_hangs_up(&mut lab, &errand, &outgoing);
        } else {
            lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 486, "target", None));
            lab.take_request(CARRIER_A, &Method::Ack);
            let bye = lab.take_request(CARRIER_A, &Method::Bye);
            assert_eq!(bye.call_id(), outgoing.call_id());
            lab.expect_silence();
            lab.expect_nothing_left();
        }
        assert_eq!(lab.cdr().transfers[0].status, if succeeds { 200 } else { 486 });
    }
}

#[test]
fn a_transferor_that_stays_is_sent_bye() {
    let mut lab = Lab::with(consuming());
    let (invite, _, outgoing, errand) = with_errand(&mut lab);
    answer_errand(&mut lab, &outgoing, &errand);
    told(&mut lab);
    lab.advance(Duration::from_secs(3));
    lab.expect_silence();
    lab.advance(Duration::from_secs(1));
    let bye = lab.take_request(PBX, &Method::Bye);
    assert_eq!(bye.call_id(), invite.call_id());
    lab.receive(PBX, &respond(PBX, &bye, 200, "x", None));
    target_hangs_up(&mut lab, &errand, &outgoing);
}

#[test]
fn whoever_ends_the_call_ends_the_errand() {
    for who in ["remaining", "shutdown", "silence"] {
        for rang in [true, false] {
            for crosses in [true, false] {
                let mut lab = Lab::with(consuming());
                let (.., outgoing, errand) = with_errand(&mut lab);
                if rang {
                    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 180, "target", None));
                    told(&mut lab);
                }
                match who {
                    "remaining" => {
                        let bye = callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1);
                        lab.receive(CARRIER_A, &finish(bye, None));
                    }
                    "shutdown" => lab.input(Input::Shutdown),
                    _ => {
                        let session = *lab.open_sessions.first().unwrap();
                        lab.input(Input::Media(crate::media::MediaEvent::Silent { session }));
                    }
                }
                let last = lab.sent.iter().find(|(_, sent)| sent.method() == Some(&Method::Notify));
                assert!(text(&last.unwrap().1).contains("SIP/2.0 487 Request Terminated"));
                assert!(lab.sent.iter().any(|(_, sent)| sent.method() == Some(&Method::Bye)));
                lab.sent.clear();
                if crosses {
                    let answer = respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET));
                    lab.receive(CARRIER_A, &answer);
                    let sent: Vec<_> = lab.sent.iter().filter_map(|(_, sent)| sent.method()).collect();
                    assert!(sent.contains(&&Method::Ack) && sent.contains(&&Method::Bye), "{sent:?}");
                } else if rang {
                    lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 487, "target", None));
                }
                lab.expect_nothing_left();
                assert_eq!(lab.cdr().transfers[0].status, 487);
            }
        }
    }
}

#[test]
fn the_calls_are_joined_when_nothing_is_under_way_any_more() {
    for accepted in [true, false] {
        let mut lab = Lab::with(consuming());
        let (invite, answer, outgoing, errand) = with_errand(&mut lab);
        // The remaining party changes something just now.
        let theirs = callee_request(CARRIER_A, &outgoing, "callee", &Method::Invite, 1);
        lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
        lab.take_response(CARRIER_A, 100);
        let carried = lab.take_request(PBX, &Method::Invite);
        lab.receive(PBX, &respond(PBX, &carried, 180, "x", None));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET)));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.advance(Duration::from_millis(300));
        lab.expect_silence();
        if accepted {
            let accepted = respond(PBX, &carried, 200, "x", Some(SDP_PBX));
            let accepted = text(&accepted).replace("<sip:callee@", "<sip:desk@");
            lab.receive_bytes(PBX, accepted.into_bytes());
            lab.take_request(PBX, &Method::Ack);
            let success = lab.take_response(CARRIER_A, 200);
            assert_eq!(success.cseq().unwrap().number, 1);
            let ack = callee_request(CARRIER_A, &outgoing, "callee", &Method::Ack, 1);
            lab.receive(CARRIER_A, &finish(ack, None));
            lab.advance(Duration::from_millis(200));
            let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
            lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
            lab.take_request(CARRIER_A, &Method::Ack);
            assert_eq!(told(&mut lab), ("SIP/2.0 200 OK".to_owned(), true));
            bye_of_transferor(&mut lab, &invite, &answer, 3);
            target_hangs_up(&mut lab, &errand, &outgoing);
        } else {
            // It never ends: the transfer fails, and the new party is let go.
            wait(&mut lab);
            assert_eq!(told(&mut lab), ("SIP/2.0 500 Server Internal Error".to_owned(), true));
            let bye = lab.take_request(CARRIER_A, &Method::Bye);
            assert_eq!(bye.call_id(), errand.call_id());
            lab.receive(PBX, &respond(PBX, &carried, 488, "x", None));
            lab.take_request(PBX, &Method::Ack);
            lab.take_response(CARRIER_A, 488);
            hang_up(&mut lab, &invite, &answer, 3);
            lab.expect_nothing_left();
        }
    }
}

#[test]
fn a_party_that_offers_itself_is_told_later() {
    for (status, retries) in [(491, true), (488, false), (481, false)] {
        let mut lab = Lab::with(consuming());
        let (invite, answer, outgoing, errand) = with_errand(&mut lab);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET)));
        lab.take_request(CARRIER_A, &Method::Ack);
        told(&mut lab);
        let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, status, "callee", None));
        lab.take_request(CARRIER_A, &Method::Ack);
        bye_of_transferor(&mut lab, &invite, &answer, 3);
        if status == 481 {
            let bye = lab.take_request(CARRIER_A, &Method::Bye);
            assert_eq!(bye.call_id(), errand.call_id());
            lab.expect_silence();
            lab.expect_nothing_left();
            continue;
        }
        if retries {
            wait(&mut lab);
            let again = lab.take_request(CARRIER_A, &Method::Invite);
            assert_eq!(audio_port(&again), audio_port(&reinvite));
            lab.receive(CARRIER_A, &respond(CARRIER_A, &again, 200, "callee", Some(SDP_CARRIER)));
            lab.take_request(CARRIER_A, &Method::Ack);
        }
        lab.advance(Duration::from_secs(10));
        lab.expect_silence();
        target_hangs_up(&mut lab, &errand, &outgoing);
    }
}

#[test]
fn a_party_that_hangs_up_while_it_is_told_ends_the_call() {
    for answered in [true, false] {
        let mut lab = Lab::with(consuming());
        let (invite, answer, outgoing, errand) = with_errand(&mut lab);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &errand, 200, "target", Some(SDP_TARGET)));
        lab.take_request(CARRIER_A, &Method::Ack);
        told(&mut lab);
        let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 180, "callee", None));
        lab.receive(
            CARRIER_A,
            &finish(callee_request(CARRIER_A, &outgoing, "callee", &Method::Bye, 1), None),
        );
        bye_of_transferor(&mut lab, &invite, &answer, 3);
        let requests: Vec<_> = lab.sent.iter().filter_map(|(_, sent)| sent.method().cloned()).collect();
        assert_eq!(requests.iter().filter(|method| **method == Method::Bye).count(), 1, "{requests:?}");
        lab.sent.clear();
        if answered {
            lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
            lab.take_request(CARRIER_A, &Method::Ack);
        }
        lab.expect_nothing_left();
        assert_eq!(lab.cdrs.len(), 1);
    }
}

#[test]
fn an_attended_transfer_joins_two_calls() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    let (second_invite, second_answer, second_outgoing) = establish(&mut lab, "2");
    let refer_to = format!("<sip:+442079460000@10.0.0.5?{}>", replaces(&second_invite, &second_answer));
    lab.receive(PBX, &refer(&invite, &answer, 2, &refer_to));
    lab.take_response(PBX, 202);
    assert_eq!(told(&mut lab), ("SIP/2.0 100 Trying".to_owned(), false));
    assert_eq!(told(&mut lab), ("SIP/2.0 200 OK".to_owned(), true));
    for outgoing in [&outgoing, &second_outgoing] {
        let reinvite = lab.take_request(CARRIER_A, &Method::Invite);
        assert_eq!(reinvite.call_id(), outgoing.call_id());
        assert_eq!(audio_port(&reinvite), audio_port(outgoing));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &reinvite, 200, "callee", Some(SDP_CARRIER)));
        lab.take_request(CARRIER_A, &Method::Ack);
    }
    lab.expect_silence();
    // The transferor hangs up one call, and is let go from the other.
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    let bye = lab.take_request(PBX, &Method::Bye);
    assert_eq!(bye.call_id(), second_invite.call_id());
    lab.receive(PBX, &respond(PBX, &bye, 200, "x", None));
    assert_eq!(lab.cdrs.len(), 1);
    lab.receive(
        CARRIER_A,
        &finish(callee_request(CARRIER_A, &second_outgoing, "callee", &Method::Bye, 1), None),
    );
    lab.take_response(CARRIER_A, 200);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    assert_eq!(bye.call_id(), outgoing.call_id());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.expect_silence();
    lab.expect_nothing_left();
    let ingress: Vec<_> = lab.cdrs.iter().map(|cdr| cdr.ingress.call_id.as_bytes().to_vec()).collect();
    assert_eq!(ingress, [second_invite.call_id().to_vec(), invite.call_id().to_vec()]);
    assert_eq!(lab.cdrs[1].transfers[0].status, 200);
}

#[test]
fn an_attended_transfer_to_a_call_that_is_not_the_transferors_is_declined() {
    let mut lab = Lab::with(consuming());
    let (invite, answer, _) = establish(&mut lab, "1");
    let other = super::lab::invite(CARRIER_B, "+14155550111", "2", Some(SDP_CARRIER));
    lab.receive(CARRIER_B, &other);
    lab.take_response(CARRIER_B, 100);
    let outgoing = lab.take_request(PBX, &Method::Invite);
    // Not answered yet; and the dialog of another side.
    let ringing = respond(PBX, &outgoing, 180, "desk1", None);
    lab.receive(PBX, &ringing);
    let ours = String::from_utf8_lossy(outgoing.from().unwrap().tag().unwrap()).into_owned();
    let id = String::from_utf8_lossy(outgoing.call_id()).into_owned();
    let refer_to = format!("<sip:+14155550111@10.0.0.5?Replaces={id}%3Bto-tag%3D{ours}%3Bfrom-tag%3Ddesk1>");
    lab.receive(PBX, &refer(&invite, &answer, 2, &refer_to));
    lab.take_response(PBX, 603);
    lab.sent.clear();
    lab.receive(CARRIER_B, &cancel_of(&other));
    lab.receive(PBX, &respond(PBX, &outgoing, 487, "desk1", None));
    lab.sent.clear();
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn a_party_that_was_transferred_to_may_be_transferred_again() {
    let mut settings = consuming();
    settings.routing.trunks[1].refer = Refer::Consume;
    settings.routing.routes[1].tiers = vec![vec!["carrier-b".into()]];
    let mut lab = Lab::with(settings);
    let (invite, answer, outgoing, errand) = with_errand(&mut lab);
    answer_errand(&mut lab, &outgoing, &errand);
    told(&mut lab);
    bye_of_transferor(&mut lab, &invite, &answer, 3);
    for (who, tag) in [(&errand, "target"), (&outgoing, "callee")] {
        let again = callee_request(CARRIER_A, who, tag, &Method::Refer, 1).header(Header::ReferTo, TARGET);
        lab.receive(CARRIER_A, &finish(again, None));
        lab.take_response(CARRIER_A, 202);
        let notify = lab.take_request(CARRIER_A, &Method::Notify);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &notify, 200, tag, None));
        let third = lab.take_request(CARRIER_B, &Method::Invite);
        lab.receive(CARRIER_B, &respond(CARRIER_B, &third, 200, tag, Some(SDP_TARGET)));
        lab.take_request(CARRIER_B, &Method::Ack);
        let last = lab.take_request(CARRIER_A, &Method::Notify);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &last, 200, tag, None));
        let peer = if tag == "target" { CARRIER_A } else { CARRIER_B };
        let reinvite = lab.take_request(peer, &Method::Invite);
        lab.receive(
            peer,
            &respond(
                peer,
                &reinvite,
                200,
                if tag == "target" { "callee" } else { "target" },
                Some(SDP_CARRIER),
            ),
        );
        lab.take_request(peer, &Method::Ack);
        lab.receive(CARRIER_A, &finish(callee_request(CARRIER_A, who, tag, &Method::Bye, 2), None));
        lab.take_response(CARRIER_A, 200);
        lab.expect_silence();
    }
    lab.input(Input::Shutdown);
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().transfers.len(), 3);
}
