//! Where features meet that were thought of one by one: redirection after early media, changes under
//! way when a branch is given up, refreshes after a change that was refused.

use super::lab::*;
use super::reliable::{begin_with, expect_prack, prack, reliable};
use super::session_timers::{answer_of_pbx, answer_with, call, value, wait_for_message};
use super::setup::{begin, hang_up};
use crate::b2bua::Settings;
use crate::media::{MediaCommand, Side};
use crate::routing::Redirect;
use crate::sip::{Header, Message, Method, Status, response_to};

const SDP_OTHER: &str = "v=0\r\no=two 9 9 IN IP4 198.51.100.2\r\ns=c\r\nc=IN IP4 198.51.100.88\r\nt=0 0\r\n\
    m=audio 40002 RTP/AVP 0\r\n";
const SDP_TWO_STREAMS: &str = "v=0\r\no=pbx 1 3 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0\r\nm=video 30010 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";

fn following() -> Settings {
    let mut settings = settings();
    for trunk in &mut settings.routing.trunks {
        trunk.redirect = Redirect::Follow;
    }
    settings
}

/// Carrier A sends the call on to carrier B.
fn send_on(lab: &mut Lab, outgoing: &Message, tag: &str) {
    let sbc = SBC_UNTRUSTED.parse().unwrap();
    let moved = response_to(outgoing, sbc, Status::of(302), None, Some(tag))
        .header(Header::Contact, "<sip:+442079460000@198.51.100.2>");
    lab.receive(CARRIER_A, &moved.finish().unwrap());
    lab.take_request(CARRIER_A, &Method::Ack);
}

/// Where the relay was told last that the callee is.
fn callee_media(lab: &Lab) -> Option<String> {
    let told = lab.media.iter().rev().find_map(|command| match command {
        MediaCommand::SetRemote { side: Side::B, remote, .. } => Some(*remote),
        _ => None,
    });
    told.flatten().map(|remote| remote.rtp.to_string())
}

/// The caller ACKs and hangs up; carrier B was the callee.
fn end_with_b(lab: &mut Lab, invite: &Message, answer: &Message, sequence: u32) {
    lab.receive(PBX, &finish(caller_request(PBX, invite, answer, &Method::Bye, sequence), None));
    lab.take_response(PBX, 200);
    let bye = lab.take_request(CARRIER_B, &Method::Bye);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &bye, 200, "second", None));
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_call_that_was_sent_on_after_early_media_is_as_any_other() {
    for is_reliable in [false, true] {
        let mut lab = Lab::with(following());
        let lines = if is_reliable { "Supported: 100rel" } else { "Supported: replaces" };
        let (invite, outgoing) = begin_with(&mut lab, lines, Some(SDP_PBX));
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "first", Some(SDP_CARRIER)));
        let heard = lab.take_response(PBX, 183);
        if is_reliable {
            lab.receive(PBX, &prack(&invite, &heard, 2, None));
            lab.take_response(PBX, 200);
        }
        assert_eq!(callee_media(&lab).as_deref(), Some("198.51.100.77:40000"));
        send_on(&mut lab, &outgoing, "first");
        // Nobody listens there any more.
        assert_eq!(callee_media(&lab), None);
        let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
        lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 183, "second", Some(SDP_OTHER)));
        assert_eq!(lab.take_response(PBX, 183).has_sdp(), !is_reliable);
        assert_eq!(callee_media(&lab).as_deref(), Some("198.51.100.88:40002"));
        lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 200, "second", Some(SDP_OTHER)));
        lab.take_request(CARRIER_B, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
        if is_reliable {
            let offer = lab.take_request(PBX, &Method::Invite);
            lab.receive(PBX, &answer_of_pbx(&offer, 200, "", Some(SDP_PBX)));
            lab.take_request(PBX, &Method::Ack);
        }
        // The caller may change something.
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Invite, 3), Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        let carried = lab.take_request(CARRIER_B, &Method::Invite);
        lab.receive(CARRIER_B, &respond(CARRIER_B, &carried, 200, "second", Some(SDP_OTHER)));
        lab.take_request(CARRIER_B, &Method::Ack);
        lab.take_response(PBX, 200);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 3), None));
        end_with_b(&mut lab, &invite, &answer, 4);
    }
}

#[test]
fn the_media_of_a_callee_that_sent_the_call_on_is_nobody_elses_answer() {
    let mut lab = Lab::with(following());
    let (_, outgoing) = begin(&mut lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 183, "first", Some(SDP_CARRIER)));
    lab.take_response(PBX, 183);
    send_on(&mut lab, &outgoing, "first");
    let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 200, "second", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    let bye = lab.take_request(CARRIER_B, &Method::Bye);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &bye, 200, "second", None));
    lab.take_response(PBX, 502);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().answer), (502, None));
}

/// A call whose ringing was acknowledged on both legs, by parties that know UPDATE.
fn ringing(lab: &mut Lab) -> (Message, Message, Message) {
    let (invite, outgoing) = begin_with(lab, "Supported: 100rel\r\nAllow: UPDATE", Some(SDP_PBX));
    let progress = reliable(&outgoing, 183, "first", 1, Some(SDP_CARRIER));
    lab.receive(CARRIER_A, &with_header(&progress, "Allow: UPDATE"));
    expect_prack(lab, "1 1 INVITE", "first");
    let heard = lab.take_response(PBX, 183);
    lab.receive(PBX, &prack(&invite, &heard, 2, None));
    lab.take_response(PBX, 200);
    (invite, outgoing, heard)
}

#[test]
fn what_was_asked_of_a_callee_that_sent_the_call_on_is_not_answered_by_it() {
    let mut lab = Lab::with(following());
    let (invite, outgoing, heard) = ringing(&mut lab);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 3), Some(SDP_PBX)));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    send_on(&mut lab, &outgoing, "first");
    assert!(lab.take_response(PBX, 500).header(Header::RetryAfter).is_some());
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 183, "second", Some(SDP_OTHER)));
    lab.take_response(PBX, 183);
    // Too late: the first has no say in the call any more.
    lab.receive(CARRIER_A, &respond(CARRIER_A, &update, 200, "first", Some(SDP_CARRIER)));
    assert_eq!(callee_media(&lab).as_deref(), Some("198.51.100.88:40002"));
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "second", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn what_a_callee_asked_that_sent_the_call_on_is_refused_in_its_own_dialog() {
    let mut lab = Lab::with(following());
    let (_, outgoing, _) = ringing(&mut lab);
    let theirs = callee_request(CARRIER_A, &outgoing, "first", &Method::Update, 1);
    lab.receive(CARRIER_A, &finish(theirs, Some(SDP_CARRIER)));
    let update = lab.take_request(PBX, &Method::Update);
    send_on(&mut lab, &outgoing, "first");
    let refusal = lab.take_response(CARRIER_A, 481);
    assert_eq!(to_tag(&refusal).as_bytes(), outgoing.from().unwrap().tag().unwrap());
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(PBX, &answer_of_pbx(&update, 200, "", Some(SDP_PBX)));
    lab.expect_silence();
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "second", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
}

#[test]
fn a_call_whose_offer_was_changed_before_the_answer_is_not_sent_on_with_the_old_one() {
    let mut lab = Lab::with(following());
    let (invite, outgoing, heard) = ringing(&mut lab);
    let moved = SDP_PBX.replace("30000", "30008");
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &heard, &Method::Update, 3), Some(&moved)));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &update, 200, "first", Some(SDP_CARRIER)));
    lab.take_response(PBX, 200);
    send_on(&mut lab, &outgoing, "first");
    lab.take_response(PBX, 480);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_change_that_waits_for_ports_does_not_keep_a_call_from_being_sent_on() {
    let mut lab = Lab::with(following());
    let (invite, outgoing, heard) = ringing(&mut lab);
    lab.holds_opens = true;
    let change = caller_request(PBX, &invite, &heard, &Method::Update, 3);
    lab.receive(PBX, &finish(change, Some(SDP_TWO_STREAMS)));
    send_on(&mut lab, &outgoing, "first");
    lab.take_response(PBX, 500);
    let second = lab.take_request(CARRIER_B, &Method::Invite);
    lab.open_held();
    lab.expect_silence();
    lab.receive(CARRIER_B, &respond(CARRIER_B, &second, 486, "second", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
}

#[test]
fn a_branch_that_lost_does_not_take_the_media_with_what_it_asked_before() {
    let mut lab = Lab::new();
    let (invite, outgoing, _) = ringing(&mut lab);
    let theirs = callee_request(CARRIER_A, &outgoing, "first", &Method::Update, 1);
    lab.receive(CARRIER_A, &finish(theirs, Some(&SDP_CARRIER.replace("40000", "40040"))));
    let update = lab.take_request(PBX, &Method::Update);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_OTHER)));
    lab.take_response(CARRIER_A, 481);
    assert_eq!(to_tag(&lab.take_request(CARRIER_A, &Method::Ack)), "callee");
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &answer_of_pbx(&update, 200, "", Some(SDP_PBX)));
    assert_eq!(callee_media(&lab).as_deref(), Some("198.51.100.88:40002"));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    let offer = lab.take_request(PBX, &Method::Invite);
    lab.receive(PBX, &answer_of_pbx(&offer, 200, "", Some(SDP_PBX)));
    lab.take_request(PBX, &Method::Ack);
    assert_eq!(callee_media(&lab).as_deref(), Some("198.51.100.88:40002"));
    hang_up(&mut lab, &invite, &answer, 9);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_change_that_was_one_request_too_many_may_be_tried_again() {
    let mut lab = Lab::new();
    let call = call(&mut lab, "", "");
    for sequence in 2..18 {
        lab.receive(PBX, &call.by_pbx(&Method::Info, sequence, "", None));
    }
    let waiting: Vec<Message> = (2..18).map(|_| lab.take_request(CARRIER_A, &Method::Info)).collect();
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 18, "", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 500);
    for info in &waiting {
        lab.receive(CARRIER_A, &respond(CARRIER_A, info, 200, "callee", None));
        lab.take_response(PBX, 200);
    }
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 19, "", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 200);
    lab.receive(PBX, &call.by_pbx(&Method::Ack, 19, "", None));
    hang_up(&mut lab, &call.invite, &call.answer, 20);
    lab.expect_silence();
    lab.expect_nothing_left();
}

/// The callee offers video as well, and the caller refuses that.
#[test]
fn a_refresh_that_the_last_offer_does_not_answer_is_asked_of_the_other_side() {
    let mut lab = Lab::new();
    let call = call(&mut lab, "", "");
    let video = format!("{SDP_CARRIER}m=video 40010 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n");
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Invite, 1, "", Some(&video)));
    lab.take_response(CARRIER_A, 100);
    let offer = lab.take_request(PBX, &Method::Invite);
    let refused = format!("{SDP_PBX}m=video 0 RTP/AVP 96\r\n");
    lab.receive(PBX, &answer_of_pbx(&offer, 200, "", Some(&refused)));
    lab.take_request(PBX, &Method::Ack);
    lab.take_response(CARRIER_A, 200);
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Ack, 1, "", None));
    let lines = "Session-Expires: 1800;refresher=uac\r\nSupported: timer\r\n";
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 2, lines, Some(&refused)));
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    assert!(text(&carried).contains("m=video 0 "), "{}", text(&carried));
    let answer = format!("{SDP_CARRIER}m=video 0 RTP/AVP 96\r\n");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", Some(&answer)));
    lab.take_request(CARRIER_A, &Method::Ack);
    assert!(text(&lab.take_response(PBX, 200)).contains("m=video 0 "));
    lab.receive(PBX, &call.by_pbx(&Method::Ack, 2, "", None));
    // Now that the answer answers, it stays on its leg.
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 3, lines, Some(&refused)));
    lab.take_response(PBX, 100);
    assert!(text(&lab.take_response(PBX, 200)).contains("m=video 0 "));
    lab.receive(PBX, &call.by_pbx(&Method::Ack, 3, "", None));
    hang_up(&mut lab, &call.invite, &call.answer, 4);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_refresh_after_a_refused_fax_has_no_older_version_than_that() {
    let version = |message: &Message| -> u64 {
        let text = text(message);
        let origin = text.lines().find(|line| line.starts_with("o=")).expect("an origin");
        origin.split(' ').nth(2).unwrap().parse().unwrap()
    };
    let mut lab = Lab::new();
    let call = call(&mut lab, "", "Session-Expires: 600;refresher=uac\r\nRequire: timer\r\n");
    let fax = "v=0\r\no=pbx 1 2 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
        m=image 30004 udptl t38\r\na=T38FaxVersion:0\r\n";
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 2, "", Some(fax)));
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 488, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 488);
    lab.receive(PBX, &super::session_timers::ack_of(&call.by_pbx(&Method::Invite, 2, "", Some(fax))));
    wait_for_message(&mut lab, 600);
    let refresh = lab.take_request(CARRIER_A, &Method::Invite);
    assert!(text(&refresh).contains("m=audio "), "{}", text(&refresh));
    assert_eq!(version(&refresh), version(&carried) + 1);
    let lines = "Session-Expires: 600;refresher=uac\r\nRequire: timer\r\n";
    lab.receive(CARRIER_A, &answer_with(&refresh, 200, lines, Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    // The next says nothing new.
    wait_for_message(&mut lab, 600);
    let again = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(again.body(), refresh.body());
    lab.receive(CARRIER_A, &answer_with(&again, 200, lines, Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    hang_up(&mut lab, &call.invite, &call.answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn an_offer_names_no_codec_that_the_callers_trunk_would_not_let_back() {
    let mut settings = settings();
    settings.routing.trunks[0].codecs = vec!["PCMA".to_owned()];
    settings.routing.trunks[1].codecs = vec!["PCMU".to_owned(), "PCMA".to_owned()];
    let mut lab = Lab::with(settings.clone());
    let offer = SDP_PBX.replace("RTP/AVP 0 101", "RTP/AVP 0 8 101");
    let (invite, outgoing) = begin(&mut lab, Some(&offer));
    assert!(text(&outgoing).contains(" RTP/AVP 8\r\n"), "{}", text(&outgoing));
    let chosen = SDP_CARRIER.replace("RTP/AVP 0 101", "RTP/AVP 8");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(&chosen)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    // Where they have nothing in common there is no call.
    settings.routing.trunks[1].codecs = vec!["PCMU".to_owned()];
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    let invite = super::lab::invite(PBX, "+442079460000", "1", Some(&offer));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 488);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_call_for_help_is_not_refused_for_a_privacy_that_nobody_knows() {
    for (called, is_taken) in [("112", true), ("+442079460000", false)] {
        let mut lab = Lab::new();
        let invite = with_header(&invite(PBX, called, "1", Some(SDP_PBX)), "Privacy: x-invisible;critical");
        lab.receive(PBX, &invite);
        lab.take_response(PBX, 100);
        if is_taken {
            let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
            lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
            lab.take_request(CARRIER_A, &Method::Ack);
            lab.take_response(PBX, 486);
        } else {
            lab.take_response(PBX, 500);
        }
        lab.expect_silence();
        lab.expect_nothing_left();
    }
}

#[test]
fn a_phone_that_asks_its_proxy_for_privacy_may_call() {
    let mut lab = Lab::new();
    let lines = "Proxy-Require: privacy\r\nPrivacy: id";
    let (_, outgoing) = begin_with(&mut lab, lines, Some(SDP_PBX));
    assert_eq!(
        (value(&outgoing, Header::ProxyRequire).as_str(), value(&outgoing, Header::Privacy).as_str()),
        ("-", "id")
    );
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
}

#[test]
fn the_event_of_a_notify_names_no_dialog_of_the_other_side() {
    let mut lab = Lab::new();
    let call = call(&mut lab, "", "");
    for (event, told) in [
        ("dialog;call-id=\"call-1@10.0.0.9:5060\";from-tag=from-1", "dialog"),
        ("telephone-event;duration=200", "telephone-event;duration=200"),
    ] {
        let sequence = 2 + u32::from(told == event);
        let lines = format!("Event: {event}\r\nSubscription-State: active\r\n");
        lab.receive(PBX, &call.by_pbx(&Method::Notify, sequence, &lines, None));
        let notify = lab.take_request(CARRIER_A, &Method::Notify);
        assert_eq!(value(&notify, Header::Event), told);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &notify, 200, "callee", None));
        lab.take_response(PBX, 200);
    }
    hang_up(&mut lab, &call.invite, &call.answer, 4);
    lab.expect_nothing_left();
}
