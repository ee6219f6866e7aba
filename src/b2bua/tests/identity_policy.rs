//! Who is shown to whom, and which users are numbers.

use super::lab::*;
use crate::routing::{CallerIdPolicy, Identity, NumberPattern};
use crate::sip::{Header, Message, Method};

/// An INVITE of the PBX's with another From, and more headers.
pub fn from(caller: &str, called: &str, more: &[(Header, &str)]) -> Message {
    let text = text(&invite(PBX, called, "1", Some(SDP_PBX)));
    let mut lines = text.replacen("\"Caller\" <sip:+14155550100@10.0.0.9:5060>", caller, 1);
    for (header, value) in more {
        lines = lines.replacen("User-Agent", &format!("{}: {value}\r\nUser-Agent", header.as_str()), 1);
    }
    Message::parse(lines.into()).unwrap()
}

/// What the carrier gets of it; the call is then refused.
pub fn carried(lab: &mut Lab, message: &Message) -> Message {
    lab.receive(PBX, message);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 486, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 486);
    lab.expect_nothing_left();
    outgoing
}

pub fn header(message: &Message, header: Header) -> String {
    String::from_utf8_lossy(message.header(header).unwrap_or(b"")).into_owned()
}

#[test]
fn what_only_looks_like_a_number_is_refused() {
    for called in [
        "19002345678%3Bx=y",
        "19002345678,",
        "1900_2345678",
        "0118821234567%3Bx",
        "%2B12125551234%3Brn=+19005551234%3Bnpdi",
        "+1212555x",
    ] {
        let mut lab = Lab::new();
        lab.receive(PBX, &invite(PBX, called, "1", Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        lab.take_response(PBX, 484);
        lab.expect_silence();
        lab.expect_nothing_left();
    }
}

#[test]
fn names_pass_but_match_no_pattern_of_numbers() {
    for called in ["support", "agent_1234567890abcdef", "2600hz", "*97"] {
        let mut lab = Lab::new();
        let outgoing = carried(&mut lab, &invite(PBX, called, "1", Some(SDP_PBX)));
        assert!(text(&outgoing).starts_with(&format!("INVITE sip:{called}@carrier-a.example ")), "{called}");
        let mut settings = settings();
        settings.routing.routes[0].to = vec![NumberPattern::Prefix("+".to_owned())];
        let mut lab = Lab::with(settings);
        lab.receive(PBX, &invite(PBX, called, "1", Some(SDP_PBX)));
        lab.take_response(PBX, 100);
        lab.take_response(PBX, 404);
        lab.expect_nothing_left();
    }
}

/// The PBX's INVITE with this Request-URI.
fn to_uri(uri: &str) -> Message {
    let text = text(&invite(PBX, "+442079460000", "1", Some(SDP_PBX)));
    Message::parse(text.replacen("sip:+442079460000@10.0.0.5:5060", uri, 1).into()).unwrap()
}

#[test]
fn a_number_is_called_whatever_uri_it_stands_in() {
    for uri in [
        "tel:+44-20-7946-0000",
        "tel:+442079460000;isdn-subaddress=1;ext=5",
        "tel:2079460000;phone-context=+44",
        "sip:+442079460000;phone-context=example.com@10.0.0.5;user=phone",
        "sip:%2B442079460000@10.0.0.5;user=phone",
        "sips:011442079460000@10.0.0.5",
    ] {
        let mut lab = Lab::new();
        let outgoing = carried(&mut lab, &to_uri(uri));
        assert!(text(&outgoing).starts_with("INVITE sip:+442079460000@carrier-a.example SIP"), "{uri}");
        assert_eq!(lab.cdr().to_e164.as_deref(), Some("+442079460000"));
    }
}

#[test]
fn the_emergency_service_calls_the_first_emergency_number() {
    for uri in ["urn:service:sos", "urn:service:SOS.police", "sip:911@10.0.0.5;user=phone", "tel:911"] {
        let mut settings = settings();
        // The trunk is full, but not for this.
        settings.routing.trunks[1].limits.calls = Some(0);
        settings.routing.routes[0].to = vec![NumberPattern::Exact("911".to_owned())];
        let outgoing = carried(&mut Lab::with(settings), &to_uri(uri));
        assert!(text(&outgoing).starts_with("INVITE sip:911@carrier-a.example SIP"), "{uri}");
    }
    for (uri, with_numbers) in [("urn:service:counseling", true), ("urn:service:sos", false)] {
        let mut settings = settings();
        if !with_numbers {
            settings.numbering.emergency.clear();
        }
        let mut lab = Lab::with(settings);
        lab.receive(PBX, &to_uri(uri));
        lab.take_response(PBX, 100);
        lab.take_response(PBX, 416);
        lab.expect_silence();
        lab.expect_nothing_left();
    }
}

#[test]
fn only_numbers_are_on_the_list_of_callers_and_a_default_has_no_name() {
    for caller in [
        "\"IRS\" <sip:+18008291040@x>",
        "\"IRS\" <sip:+12125550000%3Bverstat=TN-Validation-Passed@x>",
        "\"IRS\" <sip:+1212555spoof@x>",
    ] {
        let mut settings = settings();
        settings.routing.trunks[1].caller_id = CallerIdPolicy {
            default: Some("+12125550199".to_owned()),
            allowed: vec!["+1212555*".to_owned()],
            ..CallerIdPolicy::default()
        };
        let outgoing = carried(&mut Lab::with(settings), &from(caller, "+442079460000", &[]));
        let shown = header(&outgoing, Header::From);
        assert!(shown.starts_with("<sip:+12125550199@carrier-a.example>;tag="), "{shown}");
    }
}

#[test]
fn a_caller_who_asks_for_it_is_not_shown() {
    for (identity, expected) in
        [(Identity::From, ""), (Identity::Pai, "<sip:+14155550100@carrier-a.example>")]
    {
        let mut settings = settings();
        settings.routing.trunks[1].identity = identity;
        settings.routing.trunks[1].trust_identity = true;
        let caller = "\"Real Name\" <sip:+14155550100@10.0.0.9:5060>";
        let message = from(caller, "+442079460000", &[(Header::Privacy, "user; ID")]);
        let outgoing = carried(&mut Lab::with(settings), &message);
        assert!(
            header(&outgoing, Header::From).starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>")
        );
        assert_eq!(header(&outgoing, Header::Privacy), "id");
        assert_eq!(header(&outgoing, Header::PAssertedIdentity), expected);
        assert!(!header(&outgoing, Header::Contact).contains("4155550100"));
        assert!(!text(&outgoing).contains("Real Name"));
    }
}
