//! 3xx: refused, followed to where its maker may call, or passed on without a word of the other side.

use super::lab::*;
use super::setup::{begin, hang_up};
use crate::b2bua::{AttemptResult, Settings};
use crate::base::Realm;
use crate::routing::{DiversionForm, Limits, NumberPattern, Redirect};
use crate::sip::{Header, Message, Method, Status, response_to};

const CALLED: &str = "+442079460000";

/// All trunks redirect so.
fn redirecting(redirect: Redirect) -> Settings {
    let mut settings = settings();
    for trunk in &mut settings.routing.trunks {
        trunk.redirect = redirect;
    }
    settings
}

/// A 3xx to an INVITE of ours, with these values of Contact.
fn moved(peer: &str, request: &Message, status: u16, contacts: &[&str]) -> Message {
    let sbc = sbc_towards(peer).parse().unwrap();
    let writer = response_to(request, sbc, Status::of(status), None, Some("moved"));
    let writer = contacts.iter().fold(writer, |writer, contact| writer.header(Header::Contact, contact));
    writer.header(Header::Server, "Secret 3.0").finish().unwrap()
}

/// A call of the PBX's that carrier A answers with this 3xx.
fn redirected(lab: &mut Lab, status: u16, contacts: &[&str]) -> Message {
    let (invite, outgoing) = begin(lab, Some(SDP_PBX));
    lab.receive(CARRIER_A, &moved(CARRIER_A, &outgoing, status, contacts));
    lab.take_request(CARRIER_A, &Method::Ack);
    invite
}

/// A call of carrier B's that the PBX answers with a 302.
fn redirected_by_pbx(lab: &mut Lab, contacts: &[&str]) -> Message {
    let invite = invite(CARRIER_B, "+14155550111", "1", Some(SDP_CARRIER));
    lab.receive(CARRIER_B, &invite);
    lab.take_response(CARRIER_B, 100);
    let outgoing = lab.take_request(PBX, &Method::Invite);
    lab.receive(PBX, &moved(PBX, &outgoing, 302, contacts));
    lab.take_request(PBX, &Method::Ack);
    invite
}

fn refused(lab: &mut Lab, invite: &Message, status: u16) {
    let peer = if invite.call_id().ends_with(PBX.as_bytes()) { PBX } else { CARRIER_B };
    let refusal = lab.take_response(peer, status);
    let ack = Message::parse(
        text(invite)
            .replace("INVITE ", "ACK ")
            .replace(" INVITE", " ACK")
            .replacen(
                &format!("To: {}", header(invite, Header::To)),
                &format!("To: {}", header(&refusal, Header::To)),
                1,
            )
            .into(),
    )
    .unwrap();
    lab.receive(peer, &ack);
    lab.expect_silence();
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, status);
}

fn header(message: &Message, header: Header) -> String {
    String::from_utf8_lossy(message.header(header).unwrap_or(b"")).into_owned()
}

#[test]
fn a_redirection_is_refused_unless_the_trunk_says_otherwise() {
    let mut lab = Lab::new();
    let invite = redirected(&mut lab, 302, &[&format!("<sip:{CALLED}@198.51.100.2>")]);
    refused(&mut lab, &invite, 480);
}

#[test]
fn the_same_number_is_followed_to_another_gateway_of_the_route() {
    for contact in ["<sip:+442079460000@198.51.100.2:5070>", "<sip:00442079460000@CARRIER-B.example;x=1>"] {
        let mut lab = Lab::with(redirecting(Redirect::Follow));
        let invite = redirected(&mut lab, 302, &[contact]);
        let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
        assert!(text(&outgoing).starts_with("INVITE sip:+442079460000@carrier-b.example SIP/2.0\r\n"));
        lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 200, "callee", Some(SDP_CARRIER)));
        lab.take_request(CARRIER_B, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        lab.caller_acks_and_leaves(&invite, &answer);
        lab.take_request(CARRIER_B, &Method::Bye);
        lab.expect_nothing_left();
        let results: Vec<_> = lab.cdr().attempts.iter().map(|attempt| attempt.result).collect();
        assert_eq!(results, [AttemptResult::Status(302), AttemptResult::Status(200)]);
        assert_eq!(lab.cdr().redirected_to.as_deref(), Some(CALLED));
    }
}

#[test]
fn nobody_redirects_to_what_neither_side_could_call() {
    // Carrier A may call the PBX, and nobody else; the caller +44 alone.
    for contact in [
        "<sip:+19005550100@198.51.100.2>",
        "<sip:+442079460000@192.0.2.66>",
        "<sip:+442079460000@evil.example>",
        "<sip:+442079460000@198.51.100.1>",
        "<sip:911@10.0.0.9>",
        "<sip:911@203.0.113.5>",
        "<tel:+442079460000>",
        "<sip:198.51.100.2>",
        "<sip:+44207946000099999@198.51.100.2>",
        "<https://198.51.100.2/>",
        "*",
    ] {
        let mut settings = redirecting(Redirect::Follow);
        settings.routing.routes[0].to = vec![NumberPattern::Prefix("+44".to_owned())];
        let mut lab = Lab::with(settings);
        let invite = redirected(&mut lab, 302, &[contact]);
        refused(&mut lab, &invite, 480);
    }
    for status in [305, 380] {
        let mut lab = Lab::with(redirecting(Redirect::Follow));
        let invite = redirected(&mut lab, status, &["<sip:+442079460000@198.51.100.2>"]);
        refused(&mut lab, &invite, 480);
    }
}

#[test]
fn a_carrier_may_name_another_number_that_the_caller_could_have_dialled() {
    let mut lab = Lab::with(redirecting(Redirect::Follow));
    redirected(&mut lab, 302, &["<sip:+442079460001@carrier-b.example>"]);
    let again = lab.take_request(CARRIER_B, &Method::Invite);
    assert_eq!(again.request_uri_raw(), b"sip:+442079460001@carrier-b.example");
    lab.receive(CARRIER_B, &respond(CARRIER_B, &again, 486, "callee", None));
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 486);
}

#[test]
fn a_pbx_forwards_a_call_through_us_by_its_own_routes() {
    let mut settings = redirecting(Redirect::Follow);
    settings.routing.trunks[1].diversion = DiversionForm::Diversion;
    let mut lab = Lab::with(settings);
    let invite = redirected_by_pbx(
        &mut lab,
        &["\"Mobile\" <sip:(415) 555-0177@10.0.0.5>", "<sip:4155550177@10.0.0.5:5060>"],
    );
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    assert!(text(&outgoing).starts_with("INVITE sip:+14155550177@carrier-a.example SIP/2.0\r\n"));
    // Carrier A learns who sent the call on.
    let diversion = "<sip:+14155550111@carrier-a.example>;reason=unconditional;counter=1;privacy=off";
    assert_eq!(header(&outgoing, Header::Diversion), diversion);
    assert!(text(&outgoing).contains("c=IN IP4 203.0.113.5\r\n"));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    refused(&mut lab, &invite, 486);
    assert_eq!(lab.cdr().redirected_to.as_deref(), Some("+14155550177"));
    assert_eq!(lab.cdr().to, "+14155550111");
}

#[test]
fn a_trunks_limit_holds_for_what_is_redirected_to_it() {
    let mut settings = redirecting(Redirect::Follow);
    for trunk in settings.routing.trunks.iter_mut().filter(|trunk| trunk.realm == Realm::Untrusted) {
        trunk.limits = Limits { calls: Some(0), calls_per_second: None };
    }
    // The caller's own trunk has room.
    settings.routing.trunks[2].limits = Limits::default();
    settings.routing.routes[0].tiers.truncate(1);
    let mut lab = Lab::with(settings);
    let invite = redirected_by_pbx(&mut lab, &["<sip:4155550177@10.0.0.5>"]);
    refused(&mut lab, &invite, 503);
}

#[test]
fn the_best_contact_is_tried_first_and_each_target_once() {
    let mut settings = redirecting(Redirect::Follow);
    settings.routing.routes[0].tiers.truncate(1);
    let mut carrier_c = trunk("carrier-c", Realm::Untrusted, "198.51.100.3:5060");
    carrier_c.redirect = Redirect::Follow;
    settings.routing.trunks.push(carrier_c);
    settings.routing.routes[0].tiers.extend([vec!["carrier-b".into()], vec!["carrier-c".into()]]);
    let mut lab = Lab::with(settings);
    let contacts = ["<sip:+442079460000@198.51.100.3>;q=0.2, <sip:+442079460000@198.51.100.2>;q=0.9"];
    let invite = redirected(&mut lab, 300, &contacts);
    let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
    // Back to where the call was: nowhere new.
    let back = ["<sip:+442079460000@198.51.100.1>", "<sip:+442079460000@carrier-b.example>"];
    lab.receive(CARRIER_B, &moved(CARRIER_B, &outgoing, 302, &back));
    lab.take_request(CARRIER_B, &Method::Ack);
    refused(&mut lab, &invite, 480);
}

#[test]
fn a_contact_that_fails_is_followed_by_the_next() {
    let mut settings = redirecting(Redirect::Follow);
    settings.routing.trunks.push(trunk("carrier-c", Realm::Untrusted, "198.51.100.3:5060"));
    settings.routing.routes[0].tiers.push(vec!["carrier-c".into()]);
    let mut lab = Lab::with(settings);
    let contacts = ["<sip:+442079460000@198.51.100.3>;q=0.2, <sip:+442079460000@198.51.100.2>;q=0.9"];
    let invite = redirected(&mut lab, 300, &contacts);
    let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 503, "callee", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    let outgoing = lab.take_request("198.51.100.3:5060", &Method::Invite);
    lab.receive("198.51.100.3:5060", &respond("198.51.100.3:5060", &outgoing, 404, "callee", None));
    lab.take_request("198.51.100.3:5060", &Method::Ack);
    refused(&mut lab, &invite, 404);
}

#[test]
fn redirections_without_end_are_given_up() {
    let mut settings = redirecting(Redirect::Follow);
    let contact = |number: usize| format!("<sip:+1415555{number:04}@10.0.0.9>");
    settings.routing.routes[0].tiers = vec![vec!["pbx".into()]];
    let mut lab = Lab::with(settings);
    let invite = redirected_by_pbx(&mut lab, &[&contact(100)]);
    for number in 101..105 {
        let outgoing = lab.take_request(PBX, &Method::Invite);
        lab.receive(PBX, &moved(PBX, &outgoing, 302, &[&contact(number)]));
        lab.take_request(PBX, &Method::Ack);
    }
    let outgoing = lab.take_request(PBX, &Method::Invite);
    assert!(text(&outgoing).starts_with("INVITE sip:+14155550104@"));
    lab.receive(PBX, &moved(PBX, &outgoing, 302, &[&contact(105)]));
    lab.take_request(PBX, &Method::Ack);
    refused(&mut lab, &invite, 480);
}

#[test]
fn a_callee_that_rang_may_send_the_call_on_but_media_that_was_heard_stays_where_it_is() {
    for (realm_changes, status) in [(false, 486), (true, 480)] {
        let mut settings = redirecting(Redirect::Follow);
        // The PBX may call itself, in its own realm, or a carrier.
        let first = if realm_changes { "carrier-a" } else { "pbx" };
        settings.routing.routes[0].tiers = vec![vec![first.into()]];
        let mut lab = Lab::with(settings);
        let invite = invite(CARRIER_B, "+14155550111", "1", Some(SDP_CARRIER));
        lab.receive(CARRIER_B, &invite);
        lab.take_response(CARRIER_B, 100);
        let outgoing = lab.take_request(PBX, &Method::Invite);
        lab.receive(PBX, &respond(PBX, &outgoing, 183, "moved", Some(SDP_PBX)));
        lab.take_response(CARRIER_B, 183);
        let ports = opened_ports(&lab);
        let host = if realm_changes { "198.51.100.1" } else { "10.0.0.5" };
        lab.receive(PBX, &moved(PBX, &outgoing, 302, &[&format!("<sip:+14155550177@{host}>")]));
        lab.take_request(PBX, &Method::Ack);
        if !realm_changes {
            let outgoing = lab.take_request(PBX, &Method::Invite);
            assert_eq!(opened_ports(&lab), ports);
            lab.receive(PBX, &respond(PBX, &outgoing, 486, "busy", None));
            lab.take_request(PBX, &Method::Ack);
        }
        refused(&mut lab, &invite, status);
    }
}

#[test]
fn a_cancel_ends_a_call_that_was_redirected() {
    let mut lab = Lab::with(redirecting(Redirect::Follow));
    let invite = redirected(&mut lab, 302, &["<sip:+442079460000@198.51.100.2>"]);
    let outgoing = lab.take_request(CARRIER_B, &Method::Invite);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 180, "callee", None));
    lab.take_response(PBX, 180);
    lab.receive(PBX, &cancel_of(&invite));
    lab.take_response(PBX, 200);
    let cancel = lab.take_request(CARRIER_B, &Method::Cancel);
    lab.receive(CARRIER_B, &respond(CARRIER_B, &cancel, 200, "callee", None));
    lab.receive(CARRIER_B, &respond(CARRIER_B, &outgoing, 487, "callee", None));
    lab.take_request(CARRIER_B, &Method::Ack);
    refused(&mut lab, &invite, 487);
}

#[test]
fn a_redirection_is_passed_on_as_numbers_at_our_address() {
    let mut lab = Lab::with(redirecting(Redirect::Pass));
    let contacts = [
        "\"Secret\" <sip:2079460001@198.51.100.7;user=phone?X-Secret=1>;q=0.5;reason=secret",
        "<sip:secret-agent@198.51.100.8>, <sip:+442079460002@gw.carrier.example>, <sip:911@198.51.100.1>",
        "<sip:00442079460002@198.51.100.7>;q=0.1",
    ];
    let mut settings = redirecting(Redirect::Pass);
    settings.numbering.country = Some("GB".to_owned());
    lab.input(crate::b2bua::Input::Settings(std::sync::Arc::new(settings)));
    let invite = redirected(&mut lab, 301, &contacts);
    let passed = lab.sent.front().map(|(_, sent)| sent.clone()).unwrap();
    let contacts: Vec<_> = passed.list(Header::Contact).map(String::from_utf8_lossy).collect();
    assert_eq!(contacts, ["<sip:+442079460002@10.0.0.5:5060>", "<sip:+442079460001@10.0.0.5:5060>;q=0.500"]);
    refused(&mut lab, &invite, 301);
}

#[test]
fn a_redirection_that_names_no_number_is_not_passed_on() {
    let mut lab = Lab::with(redirecting(Redirect::Pass));
    let invite = redirected(&mut lab, 302, &["<sip:secret@198.51.100.7>, <sip:911@198.51.100.7>"]);
    refused(&mut lab, &invite, 480);
}

#[test]
fn a_call_that_was_never_redirected_says_nothing_of_it() {
    let mut lab = Lab::with(redirecting(Redirect::Follow));
    let (invite, answer, _) = super::basic_calls::establish(&mut lab, "1");
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().redirected_to, None);
}
