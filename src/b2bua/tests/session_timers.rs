//! Session timers (RFC 4028): each leg's own, refreshed or ended.

use std::time::Duration;

use super::lab::*;
use super::setup::hang_up;
use crate::b2bua::realign::differ;
use crate::b2bua::{AttemptResult, EndedBy};
use crate::media::{MediaCommand, Side};
use crate::sip::{Header, Message, Method, Status, response_to};

const SDP_MOVED: &str = "v=0\r\no=carrier 7 8 IN IP4 198.51.100.1\r\ns=c\r\nc=IN IP4 198.51.100.77\r\nt=0 0\r\n\
    m=audio 40200 RTP/AVP 0\r\n";
const SDP_HOLD: &str = "v=0\r\no=pbx 1 2 IN IP4 10.0.0.9\r\ns=pbx\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0\r\na=sendonly\r\n";

/// An answered call, as each side has it.
pub struct Answered {
    /// What the PBX sent.
    pub invite: Message,
    /// What the PBX got.
    pub answer: Message,
    /// What carrier A got.
    pub outgoing: Message,
}

impl Answered {
    /// A request of the PBX's.
    pub fn by_pbx(&self, method: &Method, sequence: u32, lines: &str, sdp: Option<&str>) -> Message {
        with(&finish(caller_request(PBX, &self.invite, &self.answer, method, sequence), sdp), lines)
    }

    /// A request of carrier A's.
    pub fn by_carrier(&self, method: &Method, sequence: u32, lines: &str, sdp: Option<&str>) -> Message {
        with(&finish(callee_request(CARRIER_A, &self.outgoing, "callee", method, sequence), sdp), lines)
    }
}

/// The message with these header lines as well.
pub fn with(message: &Message, lines: &str) -> Message {
    let text = text(message).replacen("\r\n", &format!("\r\n{lines}"), 1);
    Message::parse(text.into()).unwrap()
}

/// Carrier A's response with these header lines.
pub fn answer_with(request: &Message, status: u16, lines: &str, sdp: Option<&str>) -> Message {
    with(&respond(CARRIER_A, request, status, "callee", sdp), lines)
}

/// The PBX's response to a request that it got in the call.
pub fn answer_of_pbx(request: &Message, status: u16, lines: &str, sdp: Option<&str>) -> Message {
    let sbc = SBC_TRUSTED.parse().unwrap();
    let writer = response_to(request, sbc, Status::of(status), None, Some("from-1"))
        .header(Header::Contact, format!("<sip:caller@{PBX}>"));
    with(&finish(writer, sdp), lines)
}

/// The ACK of a final response to an INVITE that is no 2xx: the same branch.
pub fn ack_of(invite: &Message) -> Message {
    let ack = text(invite).replacen("INVITE ", "ACK ", 1).replace(" INVITE\r\n", " ACK\r\n");
    Message::parse(ack.into()).unwrap()
}

/// A call of the PBX's over carrier A whose INVITE and 2xx have these header lines.
pub fn call(lab: &mut Lab, asks: &str, answers: &str) -> Answered {
    let invite = with(&invite(PBX, "+442079460000", "1", Some(SDP_PBX)), asks);
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &answer_with(&outgoing, 200, answers, Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    lab.expect_silence();
    Answered { invite, answer, outgoing }
}

/// A header's value, or `-`.
pub fn value(message: &Message, header: Header) -> String {
    String::from_utf8_lossy(message.header(header).unwrap_or(b"-")).into_owned()
}

/// Time passes second by second until something is sent; gives the seconds.
#[track_caller]
pub fn wait_for_message(lab: &mut Lab, at_most: u64) -> u64 {
    for second in 1..=at_most {
        lab.advance(Duration::from_secs(1));
        if !lab.sent.is_empty() {
            return second;
        }
    }
    panic!("nothing was sent in {at_most} s");
}

fn end(lab: &mut Lab, call: &Answered, sequence: u32) {
    hang_up(lab, &call.invite, &call.answer, sequence);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().status, lab.cdr().ended_by), (200, EndedBy::Caller));
}

#[track_caller]
fn expect_expired(lab: &mut Lab, cause: &str) {
    for peer in [PBX, CARRIER_A] {
        let bye = lab.take_request(peer, &Method::Bye);
        assert!(value(&bye, Header::Reason).starts_with("SIP;cause=408"), "{}", text(&bye));
    }
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!((lab.cdr().ended_by, lab.cdr().cause.as_str()), (EndedBy::Sbc, cause));
}

#[test]
fn each_leg_agrees_on_a_session_timer_of_its_own() {
    let mut lab = Lab::new();
    let asks = "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\nMin-SE: 120\r\n";
    let call = call(&mut lab, asks, "Require: timer\r\nSession-Expires: 400;refresher=uas\r\n");
    assert_eq!(value(&call.outgoing, Header::SessionExpires), "1800");
    assert_eq!(value(&call.outgoing, Header::MinSe), "90");
    assert!(call.outgoing.lists_token(Header::Supported, "timer"));
    assert_eq!(value(&call.answer, Header::SessionExpires), "600;refresher=uac");
    assert_eq!(value(&call.answer, Header::Require), "timer");
    end(&mut lab, &call, 2);
}

#[test]
fn an_interval_that_is_too_short_is_refused_with_the_one_that_is_taken() {
    let mut lab = Lab::new();
    let short = "Supported: timer\r\nSession-Expires: 60\r\n";
    let refused = with(&invite(PBX, "+442079460000", "0", Some(SDP_PBX)), short);
    lab.receive(PBX, &refused);
    lab.take_response(PBX, 100);
    assert_eq!(value(&lab.take_response(PBX, 422), Header::MinSe), "90");
    lab.receive(PBX, &ack_of(&refused));
    lab.expect_silence();
    lab.expect_nothing_left();
    assert!(lab.cdrs.is_empty());
    // Within a call it is the same, and the other side hears nothing of it.
    let call = call(&mut lab, "Supported: timer\r\nSession-Expires: 90\r\n", "");
    lab.receive(PBX, &call.by_pbx(&Method::Update, 2, short, None));
    assert_eq!(value(&lab.take_response(PBX, 422), Header::MinSe), "90");
    let refused = call.by_pbx(&Method::Invite, 3, short, Some(SDP_PBX));
    lab.receive(PBX, &refused);
    lab.take_response(PBX, 100);
    assert_eq!(value(&lab.take_response(PBX, 422), Header::MinSe), "90");
    lab.receive(PBX, &ack_of(&refused));
    end(&mut lab, &call, 4);
}

#[test]
fn who_wants_no_session_timers_asks_for_none() {
    let mut settings = settings();
    settings.timeouts.session_expires = Duration::ZERO;
    let mut lab = Lab::with(settings);
    let call = call(&mut lab, "Supported: timer\r\n", "");
    assert_eq!(value(&call.outgoing, Header::SessionExpires), "-");
    assert_eq!(value(&call.answer, Header::SessionExpires), "-");
    lab.advance(Duration::from_secs(11 * 3_600));
    lab.expect_silence();
    end(&mut lab, &call, 2);
}

#[test]
fn a_trunk_may_have_an_interval_of_its_own() {
    let mut settings = settings();
    let own = crate::routing::Timeouts { session_expires: Duration::from_secs(300), ..settings.timeouts };
    settings.routing.trunks[1].calls = Some(own);
    let mut lab = Lab::with(settings);
    let call = call(&mut lab, "Supported: timer\r\n", "");
    assert_eq!(value(&call.outgoing, Header::SessionExpires), "300");
    assert_eq!(value(&call.answer, Header::SessionExpires), "1800;refresher=uac");
    end(&mut lab, &call, 2);
}

#[test]
fn a_leg_is_refreshed_by_update_as_long_as_that_is_our_part() {
    let mut lab = Lab::new();
    let agreed =
        "Allow: INVITE, ACK, BYE, UPDATE\r\nRequire: timer\r\nSession-Expires: 200;refresher=uac\r\n";
    call(&mut lab, "", agreed);
    for (next, wait) in [("200;refresher=uac", 100), ("300;refresher=uac", 100), ("120;refresher=uas", 150)] {
        lab.advance(Duration::from_secs(wait - 1));
        lab.expect_silence();
        lab.advance(Duration::from_secs(1));
        let update = lab.take_request(CARRIER_A, &Method::Update);
        assert!(update.body().is_empty() && update.contact().is_some());
        assert!(value(&update, Header::SessionExpires).ends_with(";refresher=uac"));
        let lines = format!("Require: timer\r\nSession-Expires: {next}\r\n");
        lab.receive(CARRIER_A, &answer_with(&update, 200, &lines, None));
        lab.expect_silence();
    }
    // Now it is the callee's part, who does nothing.
    lab.advance(Duration::from_secs(87));
    lab.expect_silence();
    lab.advance(Duration::from_secs(1));
    expect_expired(&mut lab, "the callee's side did not refresh its session timer");
}

#[test]
fn a_leg_is_refreshed_by_what_is_in_force_and_the_other_side_hears_nothing() {
    let mut lab = Lab::new();
    let agreed = "Require: timer\r\nSession-Expires: 200;refresher=uac\r\n";
    let call = call(&mut lab, "", agreed);
    // What was refused is not in force.
    let change = call.by_pbx(&Method::Invite, 2, "", Some(SDP_HOLD));
    lab.receive(PBX, &change);
    lab.take_response(PBX, 100);
    let hold = lab.take_request(CARRIER_A, &Method::Invite);
    assert_ne!(hold.body(), call.outgoing.body());
    lab.receive(CARRIER_A, &answer_with(&hold, 488, "", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 488);
    lab.receive(PBX, &ack_of(&change));
    let before = lab.media.len();
    for (sdp, changes) in [(SDP_CARRIER, 0), (SDP_MOVED, 1)] {
        lab.advance(Duration::from_secs(100));
        let refresh = lab.take_request(CARRIER_A, &Method::Invite);
        assert!(!differ(&refresh.body(), &call.outgoing.body()));
        assert_eq!(value(&refresh, Header::SessionExpires), "200;refresher=uac");
        let success = answer_with(&refresh, 200, agreed, Some(sdp));
        lab.receive(CARRIER_A, &success);
        let ack = lab.take_request(CARRIER_A, &Method::Ack);
        lab.receive(CARRIER_A, &success);
        assert_eq!(lab.take_request(CARRIER_A, &Method::Ack).as_bytes(), ack.as_bytes());
        lab.expect_silence();
        assert_eq!(lab.media.len(), before + changes);
    }
    assert!(matches!(lab.media.last(), Some(MediaCommand::SetRemote { side: Side::B, .. })));
    end(&mut lab, &call, 3);
}

#[test]
fn a_peer_that_takes_no_update_after_all_is_sent_a_reinvite() {
    for status in [400, 405, 488] {
        takes_no_update_after_all(status);
    }
}

fn takes_no_update_after_all(status: u16) {
    let mut lab = Lab::new();
    let agreed = "Allow: UPDATE\r\nRequire: timer\r\nSession-Expires: 200;refresher=uac\r\n";
    let call = call(&mut lab, "", agreed);
    lab.advance(Duration::from_secs(100));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &answer_with(&update, status, "", None));
    let refresh = lab.take_request(CARRIER_A, &Method::Invite);
    assert!(refresh.cseq().unwrap().number > update.cseq().unwrap().number);
    lab.receive(
        CARRIER_A,
        &answer_with(&refresh, 200, "Session-Expires: 200;refresher=uac\r\n", Some(SDP_CARRIER)),
    );
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.advance(Duration::from_secs(100));
    lab.take_request(CARRIER_A, &Method::Invite);
    lab.sent.clear();
    lab.receive(PBX, &call.by_pbx(&Method::Bye, 2, "", None));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Caller);
}

#[test]
fn a_peer_that_is_gone_ends_the_call_on_both_legs() {
    for (method, allow) in [(Method::Update, "Allow: UPDATE\r\n"), (Method::Invite, "")] {
        for status in [Some(408), Some(481), None] {
            let mut lab = Lab::new();
            call(&mut lab, "", &format!("{allow}Session-Expires: 200;refresher=uac\r\n"));
            lab.advance(Duration::from_secs(100));
            let refresh = lab.take_request(CARRIER_A, &method);
            match status {
                Some(status) => {
                    lab.receive(CARRIER_A, &answer_with(&refresh, status, "", None));
                }
                None => {
                    lab.advance(Duration::from_millis(31_999));
                    assert!(lab.sent.iter().all(|(_, sent)| sent.method() == Some(&method)));
                    lab.advance(Duration::from_millis(1));
                }
            }
            lab.sent.retain(|(_, sent)| sent.method() == Some(&Method::Bye));
            if status == Some(481) {
                lab.take_request(PBX, &Method::Bye);
                lab.expect_silence();
                lab.expect_nothing_left();
            } else {
                expect_expired(&mut lab, "the callee's side did not answer a session refresh");
            }
        }
    }
}

#[test]
fn a_refresh_that_fails_is_tried_again_until_the_interval_is_over() {
    let mut lab = Lab::new();
    call(&mut lab, "", "Allow: UPDATE\r\nSession-Expires: 200;refresher=uac\r\n");
    let (mut tries, mut passed) = (0, 0);
    loop {
        passed += wait_for_message(&mut lab, 100);
        if lab.sent.iter().any(|(_, sent)| sent.method() == Some(&Method::Bye)) {
            break;
        }
        tries += 1;
        let update = lab.take_request(CARRIER_A, &Method::Update);
        lab.receive(CARRIER_A, &answer_with(&update, 500, "", None));
    }
    assert_eq!(passed, 200);
    assert!((3..10).contains(&tries), "{tries} tries");
    expect_expired(&mut lab, "the callee's side did not answer a session refresh");
}

#[test]
fn a_peer_without_session_timers_is_only_asked_whether_it_is_there() {
    let mut settings = settings();
    let none = crate::routing::Timeouts { session_expires: Duration::ZERO, ..settings.timeouts };
    settings.routing.trunks[0].calls = Some(none);
    let mut lab = Lab::with(settings);
    call(&mut lab, "", "");
    for (status, sdp) in [(488, None), (200, Some(SDP_CARRIER)), (500, None)] {
        lab.advance(Duration::from_secs(899));
        lab.expect_silence();
        lab.advance(Duration::from_secs(1));
        let refresh = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &answer_with(&refresh, status, "", sdp));
        lab.take_request(CARRIER_A, &Method::Ack);
        lab.expect_silence();
    }
    // It falls silent.
    lab.advance(Duration::from_secs(900 + 32));
    lab.sent.retain(|(_, sent)| sent.method() == Some(&Method::Bye));
    expect_expired(&mut lab, "the callee's side did not answer a session refresh");
}

#[test]
fn a_caller_that_does_not_refresh_ends_the_call_before_its_interval_does() {
    for (interval, ends) in [(90, 60), (600, 568)] {
        let mut lab = Lab::new();
        let asks = format!("Supported: timer\r\nSession-Expires: {interval};refresher=uac\r\n");
        call(&mut lab, &asks, "");
        lab.advance(Duration::from_secs(ends - 1));
        lab.expect_silence();
        lab.advance(Duration::from_secs(1));
        expect_expired(&mut lab, "the caller's side did not refresh its session timer");
    }
}

#[test]
fn a_refresh_of_the_peers_stays_on_its_leg() {
    let mut lab = Lab::new();
    let asks = "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n";
    let call = call(&mut lab, asks, "Session-Expires: 3000;refresher=uas\r\n");
    for (sequence, method) in [(2, Method::Update), (3, Method::Invite), (4, Method::Update)] {
        lab.advance(Duration::from_secs(60));
        let sdp = (method == Method::Invite).then_some(SDP_PBX);
        lab.receive(PBX, &call.by_pbx(&method, sequence, asks, sdp));
        if method == Method::Invite {
            lab.take_response(PBX, 100);
        }
        let answer = lab.take_response(PBX, 200);
        assert_eq!(value(&answer, Header::SessionExpires), "120;refresher=uac");
        assert_eq!(value(&answer, Header::Require), "timer");
        lab.expect_silence();
        if method == Method::Invite {
            assert_eq!(answer.body(), call.answer.body());
            // The ACK is waited for as always.
            lab.advance(Duration::from_millis(500));
            assert_eq!(lab.take_response(PBX, 200).as_bytes(), answer.as_bytes());
            lab.receive(PBX, &call.by_pbx(&Method::Ack, sequence, "", None));
        }
    }
    lab.advance(Duration::from_secs(87));
    lab.expect_silence();
    lab.advance(Duration::from_secs(1));
    expect_expired(&mut lab, "the caller's side did not refresh its session timer");
}

#[test]
fn a_change_of_the_peers_refreshes_both_legs_each_by_its_own_terms() {
    let mut lab = Lab::new();
    let asks = "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n";
    let call = call(&mut lab, asks, "Session-Expires: 200;refresher=uac\r\n");
    lab.advance(Duration::from_secs(60));
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 2, asks, Some(SDP_HOLD)));
    lab.take_response(PBX, 100);
    let carried = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(value(&carried, Header::SessionExpires), "200;refresher=uac");
    let lines = "Require: timer\r\nSession-Expires: 300;refresher=uac\r\n";
    lab.receive(CARRIER_A, &answer_with(&carried, 200, lines, Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    assert_eq!(value(&answer, Header::SessionExpires), "120;refresher=uac");
    lab.receive(PBX, &call.by_pbx(&Method::Ack, 2, "", None));
    // The caller's leg has 88 s again, and refreshes; the callee's 150.
    lab.advance(Duration::from_secs(79));
    lab.receive(PBX, &call.by_pbx(&Method::Update, 3, asks, None));
    lab.take_response(PBX, 200);
    lab.advance(Duration::from_secs(70));
    lab.expect_silence();
    lab.advance(Duration::from_secs(1));
    lab.take_request(CARRIER_A, &Method::Invite);
    lab.sent.clear();
    lab.receive(PBX, &call.by_pbx(&Method::Bye, 4, "", None));
    lab.sent.clear();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().ended_by, EndedBy::Caller);
}

#[test]
fn a_target_that_wants_a_longer_interval_gets_it() {
    let mut lab = Lab::new();
    let invite = invite(PBX, "+442079460000", "1", Some(SDP_PBX));
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let first = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &answer_with(&first, 422, "Min-SE: 3600\r\n", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let second = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!((second.call_id(), second.body()), (first.call_id(), first.body()));
    assert_eq!(second.from().unwrap().tag(), first.from().unwrap().tag());
    assert_eq!(second.cseq().unwrap().number, 2);
    assert_eq!(value(&second, Header::SessionExpires), "3600");
    assert_eq!(value(&second, Header::MinSe), "3600");
    let lines = "Require: timer\r\nSession-Expires: 3600;refresher=uac\r\n";
    lab.receive(CARRIER_A, &answer_with(&second, 200, lines, Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().attempts.len(), 1);
}

#[test]
fn a_target_that_wants_ever_more_is_left() {
    let mut lab = Lab::new();
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    lab.take_response(PBX, 100);
    for min in [2_000, 3_000, 4_000] {
        let asked = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &answer_with(&asked, 422, &format!("Min-SE: {min}\r\n"), None));
        lab.take_request(CARRIER_A, &Method::Ack);
    }
    // The next one asks for what cannot be: we did ask for more than that.
    let asked = lab.take_request(CARRIER_B, &Method::Invite);
    let refusal = with(&respond(CARRIER_B, &asked, 422, "other", None), "Min-SE: 90\r\n");
    lab.receive(CARRIER_B, &refusal);
    lab.take_request(CARRIER_B, &Method::Ack);
    assert_eq!(value(&lab.take_response(PBX, 503), Header::MinSe), "-");
    lab.expect_silence();
    lab.expect_nothing_left();
    let results: Vec<_> = lab.cdr().attempts.iter().map(|attempt| attempt.result).collect();
    assert_eq!(results, [AttemptResult::Status(422), AttemptResult::Status(422)]);
}

#[test]
fn a_422_within_the_call_raises_the_interval_and_is_not_passed_on() {
    let mut lab = Lab::new();
    let call = call(&mut lab, "", "Allow: UPDATE\r\nSession-Expires: 200;refresher=uac\r\n");
    lab.advance(Duration::from_secs(100));
    let update = lab.take_request(CARRIER_A, &Method::Update);
    lab.receive(CARRIER_A, &answer_with(&update, 422, "Min-SE: 400\r\n", None));
    let again = lab.take_request(CARRIER_A, &Method::Update);
    assert_eq!(value(&again, Header::SessionExpires), "400;refresher=uac");
    lab.receive(CARRIER_A, &answer_with(&again, 200, "Session-Expires: 400;refresher=uac\r\n", None));
    // The same with a request that was carried over.
    lab.receive(PBX, &call.by_pbx(&Method::Invite, 2, "", Some(SDP_HOLD)));
    lab.take_response(PBX, 100);
    for min in [500, 600, 700] {
        let carried = lab.take_request(CARRIER_A, &Method::Invite);
        assert_eq!(value(&carried, Header::SessionExpires), format!("{};refresher=uac", min - 100));
        lab.receive(CARRIER_A, &answer_with(&carried, 422, &format!("Min-SE: {min}\r\n"), None));
        lab.take_request(CARRIER_A, &Method::Ack);
    }
    assert_eq!(value(&lab.take_response(PBX, 500), Header::MinSe), "-");
    lab.expect_silence();
    end(&mut lab, &call, 3);
}

#[test]
fn the_callers_leg_is_refreshed_too_where_the_caller_leaves_it_to_us() {
    let mut lab = Lab::new();
    let asks = "Allow: INVITE, UPDATE\r\nSupported: timer\r\nSession-Expires: 120;refresher=uas\r\n";
    let call = call(&mut lab, asks, "Session-Expires: 3000;refresher=uas\r\n");
    assert_eq!(value(&call.answer, Header::SessionExpires), "120;refresher=uas");
    for _ in 0..3 {
        lab.advance(Duration::from_secs(60));
        let update = lab.take_request(PBX, &Method::Update);
        assert_eq!(value(&update, Header::SessionExpires), "120;refresher=uac");
        lab.receive(PBX, &answer_of_pbx(&update, 200, "Session-Expires: 120;refresher=uac\r\n", None));
        lab.expect_silence();
    }
    end(&mut lab, &call, 2);
}

#[test]
fn after_a_late_offer_each_side_is_refreshed_by_what_it_was_told() {
    let mut lab = Lab::new();
    let asks = "Supported: timer\r\nSession-Expires: 190;refresher=uas\r\n";
    let invite = with(&invite(PBX, "+442079460000", "1", None), asks);
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    let agreed = "Session-Expires: 200;refresher=uac\r\n";
    lab.receive(CARRIER_A, &answer_with(&outgoing, 200, agreed, Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), Some(SDP_PBX)));
    let ack = lab.take_request(CARRIER_A, &Method::Ack);
    let call = Answered { invite, answer, outgoing };
    lab.advance(Duration::from_secs(95));
    let refresh = lab.take_request(PBX, &Method::Invite);
    assert_eq!(refresh.body(), call.answer.body());
    lab.receive(PBX, &answer_of_pbx(&refresh, 200, "Session-Expires: 190;refresher=uac\r\n", Some(SDP_PBX)));
    lab.take_request(PBX, &Method::Ack);
    lab.advance(Duration::from_secs(5));
    let refresh = lab.take_request(CARRIER_A, &Method::Invite);
    assert_eq!(refresh.body(), ack.body());
    lab.receive(CARRIER_A, &answer_with(&refresh, 200, agreed, Some(SDP_CARRIER)));
    lab.take_request(CARRIER_A, &Method::Ack);
    // Neither side's repetition of what it said concerns the other.
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Invite, 1, agreed, Some(SDP_CARRIER)));
    lab.take_response(CARRIER_A, 100);
    assert_eq!(lab.take_response(CARRIER_A, 200).body(), ack.body());
    lab.receive(CARRIER_A, &call.by_carrier(&Method::Ack, 1, "", None));
    end(&mut lab, &call, 2);
}

#[test]
fn a_challenged_refresh_is_sent_again_with_credentials() {
    let mut settings = settings();
    settings.routing.trunks[1].credentials =
        Some(crate::routing::Credentials { username: "key".to_owned(), password: "secret".to_owned() });
    let mut lab = Lab::with(settings);
    let call = call(&mut lab, "", "Session-Expires: 200;refresher=uac\r\n");
    lab.advance(Duration::from_secs(100));
    let refresh = lab.take_request(CARRIER_A, &Method::Invite);
    let challenge = "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n\", qop=\"auth\"\r\n";
    lab.receive(CARRIER_A, &answer_with(&refresh, 407, challenge, None));
    lab.take_request(CARRIER_A, &Method::Ack);
    let again = lab.take_request(CARRIER_A, &Method::Invite);
    assert!(again.header(Header::ProxyAuthorization).is_some());
    assert_eq!(again.body(), refresh.body());
    lab.receive(
        CARRIER_A,
        &answer_with(&again, 200, "Session-Expires: 200;refresher=uac\r\n", Some(SDP_CARRIER)),
    );
    lab.take_request(CARRIER_A, &Method::Ack);
    end(&mut lab, &call, 2);
}
