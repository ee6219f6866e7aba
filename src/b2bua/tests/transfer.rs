//! REFER that is refused or relayed: RFC 3515, and the message flows of RFC 5359 §2.4 and §2.5 with
//! us between the parties.

use super::basic_calls::establish;
use super::lab::*;
use super::setup::hang_up;
use crate::b2bua::Settings;
use crate::routing::{NumberPattern, Refer};
use crate::sip::{Header, Message, Method};

/// The PBX may transfer so.
pub fn transferring(refer: Refer) -> Settings {
    let mut settings = settings();
    settings.routing.trunks[0].refer = refer;
    settings
}

/// A REFER of the caller's within its call.
pub fn refer(invite: &Message, answer: &Message, sequence: u32, refer_to: &str) -> Message {
    caller_request(PBX, invite, answer, &Method::Refer, sequence)
        .header(Header::ReferTo, refer_to)
        .header(Header::ReferredBy, "<sip:Secret@10.0.0.9>")
        .header(Header::Contact, "<sip:caller@10.0.0.9>")
        .finish()
        .unwrap()
}

/// A NOTIFY of the callee's about a REFER.
fn notify(outgoing: &Message, sequence: u32, event: &str, state: &str, fragment: &str) -> Message {
    callee_request(CARRIER_A, outgoing, "callee", &Method::Notify, sequence)
        .header(Header::Event, event)
        .header(Header::SubscriptionState, state)
        .header(Header::Contact, "<sip:callee@198.51.100.1>")
        .finish_with(b"message/sipfrag;version=2.0", fragment.as_bytes())
        .unwrap()
}

/// Replaces as it stands in a Refer-To of the caller's of a call.
pub fn replaces(invite: &Message, answer: &Message) -> String {
    let call_id = String::from_utf8_lossy(invite.call_id()).replace('@', "%40").replace(':', "%3A");
    let from = invite.from().unwrap();
    let from_tag = String::from_utf8_lossy(from.tag().unwrap()).into_owned();
    format!("Replaces={call_id}%3Bto-tag%3D{}%3Bfrom-tag%3D{from_tag}", to_tag(answer))
}

#[test]
fn a_refer_is_declined_unless_the_trunk_says_otherwise() {
    let mut lab = Lab::new();
    let (invite, answer, _) = establish(&mut lab, "1");
    assert!(!text(&answer).contains("REFER"));
    lab.receive(PBX, &refer(&invite, &answer, 2, "<sip:+14155550123@10.0.0.5>"));
    lab.take_response(PBX, 603);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_silence();
    lab.expect_nothing_left();
}

#[test]
fn a_refer_goes_on_and_its_notifications_come_back() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    assert!(text(&answer).contains("NOTIFY, REFER\r\n"));
    lab.receive(PBX, &refer(&invite, &answer, 2, "\"C\" <sip:4155550123@pbx.secret;x=1?Subject=Secret>"));
    let carried = lab.take_request(CARRIER_A, &Method::Refer);
    assert_eq!(carried.header(Header::ReferTo), Some(&b"<sip:+14155550123@203.0.113.5:5060>"[..]));
    assert_eq!(carried.header(Header::ReferredBy), None);
    assert!(carried.contact().is_some());
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 202, "callee", None));
    lab.take_response(PBX, 202);
    let id = carried.cseq().unwrap().number;
    let trying = "SIP/2.0 100 Secret Trying\r\nContact: <sip:x@198.51.100.9>\r\n";
    lab.receive(CARRIER_A, &notify(&outgoing, 1, "refer", "active;expires=60;x=Secret", trying));
    let told = lab.take_request(PBX, &Method::Notify);
    assert_eq!(told.header(Header::Event), Some(&b"refer;id=2"[..]));
    assert_eq!(told.header(Header::SubscriptionState), Some(&b"active;expires=60"[..]));
    assert_eq!(&told.body()[..], b"SIP/2.0 100 Trying\r\n");
    lab.receive(PBX, &respond(PBX, &told, 200, "x", None));
    lab.take_response(CARRIER_A, 200);
    let event = format!("refer;id={id}");
    let last = notify(&outgoing, 2, &event, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n");
    lab.receive(CARRIER_A, &last);
    let told = lab.take_request(PBX, &Method::Notify);
    assert_eq!(told.header(Header::SubscriptionState), Some(&b"terminated;reason=noresource"[..]));
    // The subscription is over for the sender; the call is not.
    lab.receive(PBX, &respond(PBX, &told, 481, "x", None));
    lab.take_response(CARRIER_A, 481);
    lab.receive(CARRIER_A, &notify(&outgoing, 3, &event, "active", "SIP/2.0 180 Ringing\r\n"));
    lab.take_response(CARRIER_A, 481);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn a_notification_that_says_nothing_is_refused() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    lab.receive(CARRIER_A, &notify(&outgoing, 1, "refer", "active", "SIP/2.0 100 Trying\r\n"));
    lab.take_response(CARRIER_A, 481);
    lab.receive(PBX, &refer(&invite, &answer, 2, "<sip:+14155550123@10.0.0.5>"));
    lab.take_request(CARRIER_A, &Method::Refer);
    for (sequence, event, state, fragment) in [
        (2, "refer", "active", "INVITE sip:secret SIP/2.0\r\n"),
        (3, "refer", "active", "SIP/2.0 99 X\r\n"),
        (4, "refer", "active", "SIP/2.0 1000 X\r\n"),
        (5, "refer", "odd", "SIP/2.0 100 Trying\r\n"),
    ] {
        lab.receive(CARRIER_A, &notify(&outgoing, sequence, event, state, fragment));
        lab.take_response(CARRIER_A, 400);
    }
    lab.receive(CARRIER_A, &notify(&outgoing, 6, "refer;id=77", "active", "SIP/2.0 100 Trying\r\n"));
    lab.take_response(CARRIER_A, 481);
    // Who sent the REFER is told, and does not tell.
    let backwards = caller_request(PBX, &invite, &answer, &Method::Notify, 3)
        .header(Header::Event, "refer")
        .header(Header::SubscriptionState, "active");
    lab.receive(PBX, &backwards.finish_with(b"message/sipfrag", b"SIP/2.0 100 Trying\r\n").unwrap());
    lab.take_response(PBX, 481);
    lab.sent.clear();
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Bye, 4), None));
    lab.expect_nothing_left();
}

#[test]
fn a_notification_nobody_answers_ends_no_call() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    lab.receive(PBX, &refer(&invite, &answer, 2, "<sip:+14155550123@10.0.0.5>"));
    let carried = lab.take_request(CARRIER_A, &Method::Refer);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 202, "callee", None));
    lab.receive(CARRIER_A, &notify(&outgoing, 1, "refer", "active", "SIP/2.0 100 Trying\r\n"));
    lab.advance(std::time::Duration::from_secs(40));
    lab.sent.clear();
    assert!(lab.cdrs.is_empty());
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn nobody_refers_to_what_may_not_be_called() {
    let mut settings = transferring(Refer::Relay);
    settings.routing.routes[1].to = vec![NumberPattern::Prefix("+1415".to_owned())];
    let mut lab = Lab::with(settings);
    let (invite, answer, _) = establish(&mut lab, "1");
    for (at, (refer_to, status)) in [
        // The carrier, who would call, has no such route.
        ("<sip:+442079460001@10.0.0.5>", 404),
        ("<sip:911@10.0.0.5>", 603),
        ("<tel:911>", 603),
        ("<sip:+441@10.0.0.5>", 484),
        ("<sip:10.0.0.5>", 484),
        ("<http://10.0.0.5/>", 416),
        ("<sip:+14155550123@10.0.0.5;method=BYE>", 603),
        ("<sip:+14155550123@10.0.0.5?Replaces=x>", 400),
        ("<sip:+14155550123@10.0.0.5?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>", 603),
        ("<sip:+14155550123@10.0.0.5", 400),
    ]
    .into_iter()
    .enumerate()
    {
        lab.receive(PBX, &refer(&invite, &answer, at as u32 + 2, refer_to));
        lab.take_response(PBX, status);
        lab.expect_silence();
    }
    // A call cannot replace itself.
    let own = format!("<sip:+14155550123@10.0.0.5?{}>", replaces(&invite, &answer));
    lab.receive(PBX, &refer(&invite, &answer, 20, &own));
    lab.take_response(PBX, 603);
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Refer, 21), None));
    lab.take_response(PBX, 400);
    hang_up(&mut lab, &invite, &answer, 22);
    lab.expect_nothing_left();
}

#[test]
fn a_refer_that_the_other_party_declines_leaves_no_subscription() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, answer, outgoing) = establish(&mut lab, "1");
    lab.receive(PBX, &refer(&invite, &answer, 2, "<tel:+14155550123>"));
    let carried = lab.take_request(CARRIER_A, &Method::Refer);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 603, "callee", None));
    lab.take_response(PBX, 603);
    lab.receive(CARRIER_A, &notify(&outgoing, 1, "refer", "active", "SIP/2.0 100 Trying\r\n"));
    lab.take_response(CARRIER_A, 481);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
}

#[test]
fn a_replaces_names_the_dialog_that_its_receiver_knows() {
    let mut lab = Lab::with(transferring(Refer::Relay));
    let (invite, answer, _) = establish(&mut lab, "1");
    let (second_invite, second_answer, second_outgoing) = establish(&mut lab, "2");
    let refer_to = format!("<sip:+442079460000@10.0.0.5?{}>", replaces(&second_invite, &second_answer));
    lab.receive(PBX, &refer(&invite, &answer, 2, &refer_to));
    let carried = lab.take_request(CARRIER_A, &Method::Refer);
    let from_tag = String::from_utf8_lossy(second_outgoing.from().unwrap().tag().unwrap()).into_owned();
    let call_id = String::from_utf8_lossy(second_outgoing.call_id()).into_owned();
    assert_eq!(
        String::from_utf8_lossy(carried.header(Header::ReferTo).unwrap()),
        format!(
            "<sip:+442079460000@203.0.113.5:5060?Replaces={call_id}%3Bto-tag%3Dcallee%3Bfrom-tag%3D{from_tag}>"
        )
    );
    lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 202, "callee", None));
    lab.take_response(PBX, 202);
    hang_up(&mut lab, &invite, &answer, 3);
    hang_up(&mut lab, &second_invite, &second_answer, 2);
    lab.expect_nothing_left();
}
