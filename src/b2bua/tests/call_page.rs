//! What an operator can ask of one call: while it goes on, and for a while after.

use std::time::Duration;

use super::basic_calls::establish;
use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::{CallFound, CallPage, CallSearch, EndedBy, Input, LadderMessage, Outcome};
use crate::media::{MediaEvent, RtcpCopy, Side};
use crate::sip::{Message, Method};

fn only_id(lab: &Lab) -> String {
    lab.engine.call_reports(2, &CallSearch::default()).first().expect("a call").id.clone()
}

#[track_caller]
fn page(lab: &Lab, id: &str) -> CallPage {
    match lab.engine.call_page(lab.now, id) {
        CallFound::One(page) => *page,
        other => panic!("{other:?}"),
    }
}

/// `A< INVITE`: leg, towards us (`<`) or from us (`>`), the line up to its URI, a mark if it came again.
fn drawn(message: &LadderMessage) -> String {
    let leg = if message.leg == Side::A { "A" } else { "B" };
    let way = if message.direction.as_str() == "in" { "<" } else { ">" };
    let line = message.line();
    let line = line.split(" sip:").next().unwrap_or_default();
    let again = if message.is_retransmission { " again" } else { "" };
    format!("{leg}{way} {line}{again}")
}

fn ladder(page: &CallPage) -> Vec<String> {
    page.ladder.messages.iter().map(drawn).collect()
}

const SETUP: [&str; 9] = [
    "A< INVITE",
    "A> 100 Trying",
    "B> INVITE",
    "B< 180 Ringing",
    "A> 180 Ringing",
    "B< 200 OK",
    "B> ACK",
    "A> 200 OK",
    "A< ACK",
];

fn answered(lab: &mut Lab) -> (Message, Message) {
    let (incoming, outgoing) = begin(lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    let ack = caller_request(PBX, &incoming, &answer, &Method::Ack, 1);
    lab.receive(PBX, &finish(ack, None));
    (incoming, answer)
}

#[test]
fn a_call_tells_its_route_its_legs_and_what_was_said() {
    let mut lab = Lab::new();
    answered(&mut lab);
    let page = page(&lab, &only_id(&lab));
    assert_eq!(ladder(&page), SETUP);
    assert_eq!((page.ladder.dropped, page.end.is_none()), (0, true));
    let route = page.route.expect("a route");
    assert!(!route.name.is_empty() && route.matched.starts_with("trusted"), "{route:?}");
    assert_eq!(page.attempts.len(), 1);
    assert_eq!(page.trying, None);
    assert_eq!(page.ingress.remote.to_string(), PBX);
    let egress = page.egress.expect("leg B");
    assert_eq!((egress.remote.to_string().as_str(), egress.local.as_str()), (CARRIER_A, SBC_UNTRUSTED));
    assert_eq!((egress.remote_tag.as_deref(), egress.local_sequence), (Some("callee"), 1));
    assert_eq!(page.media_sessions.len(), 1);
    assert!(page.timers.iter().any(|timer| timer.name == "max_duration"), "{:?}", page.timers);
    let first = page.ladder.messages.first().expect("the INVITE");
    assert_eq!((first.sequence, first.method, first.has_sdp), (1, "INVITE", true));
    assert_eq!(first.peer.to_string(), PBX);
}

#[test]
fn a_call_that_ended_lately_can_still_be_asked_for() {
    let mut lab = Lab::new();
    let (incoming, answer) = answered(&mut lab);
    let id = only_id(&lab);
    lab.advance(Duration::from_secs(10));
    hang_up(&mut lab, &incoming, &answer, 2);
    let ended = page(&lab, &id);
    assert_eq!(ladder(&ended), [&SETUP[..], &["A< BYE", "A> 200 OK", "B> BYE", "B< 200 OK"]].concat());
    let end = ended.end.expect("it is over");
    assert_eq!((end.status, end.by, end.outcome), (200, EndedBy::Caller, Outcome::Answered));
    assert_eq!(end.media.expect("a report").from_a.packets, 50);
    assert!(ended.timers.is_empty() && ended.media_sessions.is_empty());
    lab.expect_nothing_left();
    assert!(matches!(lab.engine.call_page(lab.now, &id), CallFound::One(_)));
    lab.advance(Duration::from_secs(600));
    assert_eq!(lab.engine.call_page(lab.now, &id), CallFound::None);
}

#[test]
fn the_caller_who_repeats_its_invite_is_seen_to_do_so() {
    let mut lab = Lab::new();
    let (incoming, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(PBX, &incoming);
    lab.take_response(PBX, 100);
    lab.advance(Duration::from_millis(500));
    lab.take_request(CARRIER_A, &Method::Invite);
    let told = ladder(&page(&lab, &only_id(&lab)));
    assert_eq!(
        told,
        [
            "A< INVITE",
            "A> 100 Trying",
            "B> INVITE",
            "A< INVITE again",
            "A> 100 Trying again",
            "B> INVITE again"
        ]
    );
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn a_refused_call_says_why_and_a_call_that_no_route_takes_has_none() {
    let mut settings = settings();
    settings.routing.routes.clear();
    let mut lab = Lab::with(settings);
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    let id = lab.cdr().id.clone();
    let page = page(&lab, &id);
    let end = page.end.as_ref().expect("it is over");
    assert_eq!((end.outcome, page.route.clone()), (Outcome::Rejected, None), "{end:?}");
    assert_eq!(ladder(&page), ["A< INVITE", "A> 100 Trying", "A> 404 Not Found"]);
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn every_target_that_was_tried_is_in_the_ladder() {
    let mut lab = Lab::new();
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 503, "a", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    let page = page(&lab, &only_id(&lab));
    let peers: Vec<String> = page.ladder.messages.iter().map(|message| message.peer.to_string()).collect();
    assert_eq!(peers, [PBX, PBX, CARRIER_A, CARRIER_A, CARRIER_A, CARRIER_B]);
    assert_eq!(page.attempts.len(), 1);
    assert_eq!(page.trying.expect("the second").target.to_string(), CARRIER_B);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "b", None));
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn an_id_may_be_cut_short_where_it_means_one_call() {
    let mut lab = Lab::new();
    establish(&mut lab, "1");
    let id = only_id(&lab);
    assert_eq!(page(&lab, &id[..5]).report.id, id);
    assert_eq!(lab.engine.call_page(lab.now, &id[..2]), CallFound::None);
    assert_eq!(lab.engine.call_page(lab.now, ""), CallFound::None);
    lab.input(Input::HangUp { call: id });
    lab.sent.clear();
    lab.expect_nothing_left();
}

/// Both legs of a call are told to a capture server under one name.
#[test]
fn both_legs_are_known_by_the_callers_call_id() {
    let mut lab = Lab::new();
    let (incoming, outgoing) = begin(&mut lab, Some(SDP_PBX));
    let known = |message: &Message| lab.engine.correlation(message.call_id());
    assert_eq!(known(&incoming).as_deref(), Some(incoming.call_id()));
    assert_eq!(known(&outgoing).as_deref(), Some(incoming.call_id()));
    assert_eq!(lab.engine.correlation(b"another"), None);
    lab.input(Input::HangUp { call: only_id(&lab) });
    lab.sent.clear();
    lab.expect_nothing_left();
}

/// What a peer still reports while its call ends finds it, too.
#[test]
fn the_media_of_both_legs_is_known_by_the_callers_call_id_until_it_is_closed() {
    let mut lab = Lab::new();
    let (incoming, _) = answered(&mut lab);
    let id = only_id(&lab);
    let [session] = page(&lab, &id).media_sessions[..] else { panic!("one session") };
    let known = |lab: &Lab| lab.engine.correlation_of_media(session);
    assert_eq!(known(&lab).as_deref(), Some(incoming.call_id()));
    // The relay has not heard of the end.
    lab.engine.handle(lab.now, Input::HangUp { call: id.clone() });
    assert_eq!(known(&lab).as_deref(), Some(incoming.call_id()));
    let copy = RtcpCopy {
        at: lab.now,
        source: "192.0.2.1:4001".parse().unwrap(),
        destination: "192.0.2.2:10001".parse().unwrap(),
        bytes: Box::default(),
    };
    // Nothing for the engine.
    lab.input(Input::Media(MediaEvent::Rtcp { session, copy: Box::new(copy) }));
    assert_eq!(known(&lab), None);
    for peer in [PBX, CARRIER_A] {
        let bye = lab.take_request(peer, &Method::Bye);
        lab.receive(peer, &respond(peer, &bye, 200, "", None));
    }
    lab.expect_nothing_left();
}
