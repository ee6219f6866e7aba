//! What of a torturous request is understood, and what crosses: by requests of RFC 4475 that open a
//! call, or were made to.

use std::time::Duration;

use super::rfc4475::CASES;
use super::{answer_and_end, carried, changed, decline, final_answer, message_text, next_to};
use crate::b2bua::tests::lab::*;
use crate::routing::HeaderRules;
use crate::sip::{Header, Message, Method, Status};

fn parse(text: String) -> Message {
    let message = Message::parse(text.into()).unwrap();
    assert_eq!(message.fault(), None, "{message:?}");
    message
}

/// What reaches the carrier of an INVITE from the PBX that is declined there.
fn seen_by_carrier(invite: &Message) -> Message {
    let mut lab = Lab::new();
    let outgoing = carried(&mut lab, PBX, invite);
    decline(&mut lab, PBX, &outgoing);
    lab.expect_nothing_left();
    outgoing
}

/// A request of the RFC as an INVITE that could open a call.
fn as_invite(name: &str, method: &str) -> Message {
    let text = changed(&message_text(CASES, name), method, "INVITE");
    parse(changed(&text, "CSeq:", "Contact: <sip:c@192.0.2.1>\r\nCSeq:"))
}

fn first_line(message: &Message) -> String {
    text(message).lines().next().unwrap().to_owned()
}

fn from_of(message: &Message) -> String {
    let from = String::from_utf8(message.header(Header::From).unwrap().to_vec()).unwrap();
    from[..from.find(";tag=").unwrap()].to_owned()
}

#[test]
fn the_short_tortuous_invite_is_understood_whole() {
    let invite = parse(changed(&message_text(CASES, "wsinv"), " ;   tag    = 1918181833n", ""));
    let mut settings = settings();
    let pass = vec!["NewFangled*".to_owned(), "Unknown*".to_owned()];
    settings.routing.trunks[1].headers = HeaderRules { pass, ..HeaderRules::default() };
    let mut lab = Lab::with(settings);
    let outgoing = carried(&mut lab, PBX, &invite);
    assert_eq!(first_line(&outgoing), "INVITE sip:vivekg@carrier-a.example SIP/2.0");
    assert_eq!(from_of(&outgoing), r#""J Rosenberg \\\"" <sip:jdrosen@carrier-a.example>"#);
    assert_eq!(outgoing.number(Header::MaxForwards), Some(67));
    assert_eq!((outgoing.header(Header::Route), outgoing.header(Header::Subject)), (None, None));
    let field = |name: &[u8]| outgoing.fields().find(|field| field.name == name).map(|field| field.value);
    // Whoever does not know a header leaves every byte of it alone, folding included.
    assert_eq!(field(b"UnknownHeaderWithUnusualValue"), Some(&b";;,,;;,;"[..]));
    let folded = &b"newfangled value\r\n continued newfangled value"[..];
    assert_eq!(field(b"NewFangledHeader"), Some(folded));
    let (answer, bye) = answer_and_end(&mut lab, PBX, &invite, &outgoing);
    let branch = |via: &[u8]| crate::sip::Via::parse(via).unwrap().branch().map(<[u8]>::to_vec);
    let branches: Vec<_> = answer.list(Header::Via).map(branch).map(Option::unwrap).collect();
    assert_eq!(branches, [&b"390skdjuw"[..], b"z9hG4bK9ikj8", b"z9hG4bK30239"]);
    assert_eq!(answer.cseq(), invite.cseq());
    assert_eq!(first_line(&bye), "BYE sip:jdrosen@example.com SIP/2.0");
    lab.expect_nothing_left();
}

#[test]
fn what_is_escaped_in_a_user_stays_so() {
    let invite = parse(message_text(CASES, "esc01"));
    let mut lab = Lab::new();
    let outgoing = carried(&mut lab, PBX, &invite);
    assert_eq!(first_line(&outgoing), "INVITE sip:sips%3Auser%40example.com@carrier-a.example SIP/2.0");
    assert_eq!(from_of(&outgoing), "<sip:I%20have%20spaces@carrier-a.example>");
    let (_, bye) = answer_and_end(&mut lab, PBX, &invite, &outgoing);
    let target = "BYE sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31 SIP/2.0";
    assert_eq!(first_line(&bye), target);
    lab.expect_nothing_left();
    let null = as_invite("escnull", "REGISTER");
    let null = parse(changed(&text(&null), "sip:example.com", "sip:null-%00-null@example.com"));
    let outgoing = seen_by_carrier(&null);
    assert_eq!(first_line(&outgoing), "INVITE sip:null-%00-null@carrier-a.example SIP/2.0");
    assert_eq!(from_of(&outgoing), "<sip:null-%00-null@carrier-a.example>");
}

#[test]
fn a_name_crosses_with_its_semicolons_and_a_number_without() {
    let invite = as_invite("semiuri", "OPTIONS");
    let outgoing = seen_by_carrier(&invite);
    assert_eq!(first_line(&outgoing), "INVITE sip:user;par=u%40example.net@carrier-a.example SIP/2.0");
    for number in ["+442079460000", "%2B44%2020-7946(0000)"] {
        let invite = changed(&text(&invite), "sip:user;par", &format!("sip:{number};par"));
        let outgoing = seen_by_carrier(&parse(invite));
        assert_eq!(first_line(&outgoing), "INVITE sip:+442079460000@carrier-a.example SIP/2.0");
    }
    // What is escaped is no parameter, and nothing that a carrier would read as one crosses.
    let smuggled = changed(&text(&invite), "sip:user;par", "sip:+442079460000%3Bpar");
    assert_eq!(answer_to(smuggled).status(), Status::new(484));
}

#[test]
fn the_whole_range_of_characters_is_understood() {
    let invite = as_invite("intmeth", "!interesting-Method0123456789_*+`.%indeed'~");
    let outgoing = seen_by_carrier(&invite);
    let user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*";
    assert_eq!(first_line(&outgoing), format!("INVITE sip:{user}@carrier-a.example SIP/2.0"));
    assert_eq!(from_of(&outgoing), "token1~` token2'+_ token3*%!.- <sip:mundane@carrier-a.example>");
    let to = text(&invite).lines().find(|line| line.starts_with("To:")).unwrap()[4..].to_owned();
    // The same display name, of the caller: what no display could show is left out.
    let from = text(&invite).lines().find(|line| line.starts_with("From:")).unwrap().to_owned();
    let outgoing = seen_by_carrier(&parse(changed(&text(&invite), &from, &format!("From: {to};tag=1"))));
    let shown = from_of(&outgoing);
    assert!(shown.starts_with("\"BEL: NUL: DEL:\" <sip:1_unusual"), "{shown}");
}

#[test]
fn a_display_name_that_lacks_its_quotes_gets_them() {
    assert_eq!(
        from_of(&seen_by_carrier(&as_invite("baddn", "OPTIONS"))),
        "\"Bell, Alexander\" <sip:a.g.bell@carrier-a.example>"
    );
    let outgoing = seen_by_carrier(&as_invite("lwsdisp", "OPTIONS"));
    assert_eq!(from_of(&outgoing), "caller <sip:caller@carrier-a.example>");
}

#[test]
fn headers_of_a_uri_and_a_bad_date_do_not_cross() {
    let outgoing = seen_by_carrier(&parse(message_text(CASES, "escruri")));
    assert_eq!(first_line(&outgoing), "INVITE sip:user@carrier-a.example SIP/2.0");
    assert_eq!(outgoing.header(Header::Route), None);
    let outgoing = seen_by_carrier(&parse(message_text(CASES, "baddate")));
    assert_eq!(outgoing.header(Header::Date), None);
}

#[test]
fn a_caller_of_rfc_2543_is_repeated_to_cancels_and_is_hung_up_on() {
    let invite = parse(message_text(CASES, "inv2543"));
    for peer in [PBX, CARRIER_A] {
        let mut lab = Lab::new();
        let outgoing = carried(&mut lab, peer, &invite);
        lab.receive(peer, &invite);
        assert_eq!(next_to(&mut lab, peer).status(), Status::new(100));
        lab.expect_silence();
        let (_, bye) = answer_and_end(&mut lab, peer, &invite, &outgoing);
        // A strict router: it wants itself in the Request-URI.
        assert_eq!(first_line(&bye), "BYE sip:UserB@example.com;maddr=ss1.example.com SIP/2.0");
        let target = &b"<sip:+13035551111@ift.client.example.net;user=phone>"[..];
        assert_eq!(bye.header(Header::Route), Some(target));
        assert_eq!(bye.to().unwrap().tag(), None);
        lab.expect_nothing_left();
    }
    let mut lab = Lab::new();
    let outgoing = carried(&mut lab, PBX, &invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 180, "callee", None));
    assert_eq!(next_to(&mut lab, PBX).status(), Status::new(180));
    let cancel = changed(&text(&invite), "56 INVITE", "56 CANCEL").replacen("INVITE", "CANCEL", 1);
    lab.receive_bytes(PBX, cancel);
    lab.take_response(PBX, 200);
    let terminated = lab.take_response(PBX, 487);
    let ack = changed(&text(&invite), "56 INVITE", "56 ACK").replacen("INVITE", "ACK", 1);
    let tagged = format!("user=phone;tag={}\r\nCall-ID", to_tag(&terminated));
    lab.receive_bytes(PBX, changed(&ack, "user=phone\r\nCall-ID", &tagged));
    lab.take_request(CARRIER_A, &Method::Cancel);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 487, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    // The ACK was understood: nothing is repeated.
    lab.advance(Duration::from_secs(10));
    assert!(!lab.sent.iter().any(|(hop, _)| hop.peer.to_string() == PBX), "{:?}", lab.sent);
    lab.expect_nothing_left();
}

#[test]
fn only_a_caller_of_rfc_2543_may_have_no_contact() {
    let mut lab = Lab::new();
    let invite = changed(&message_text(CASES, "baddate"), "Contact: <sip:caller@host5.example.net>\r\n", "");
    lab.receive_bytes(PBX, invite);
    assert_eq!(final_answer(&mut lab, PBX).status(), Status::new(400));
    lab.expect_nothing_left();
}

/// The final answer to a message of the RFC, from the PBX.
fn answer_to(message: impl Into<bytes::Bytes>) -> Message {
    let mut lab = Lab::new();
    lab.receive_bytes(PBX, message);
    let answer = final_answer(&mut lab, PBX);
    lab.expect_silence();
    lab.expect_nothing_left();
    answer
}

#[test]
fn a_refusal_says_what_would_be_taken() {
    let answer = |name| answer_to(message_text(CASES, name));
    let unsupported = &b"nothingSupportsThis, nothingSupportsThisEither, noProxiesSupportThis, \
        norDoAnyProxiesSupportThis"[..];
    assert_eq!(answer("bext01").header(Header::Unsupported), Some(unsupported));
    assert_eq!(answer("invut").header(Header::Accept), Some(&b"application/sdp"[..]));
    assert!(answer("intmeth").header(Header::Allow).is_some());
    assert!(answer("zeromf").header(Header::Allow).is_some());
    assert_eq!(answer("transports").list(Header::Via).count(), 5);
    assert_eq!(answer("clerr").reason(), b"Content-Length Larger Than Message");
    assert_eq!(answer("badvers").reason(), b"SIP Version Not Supported");
}

#[test]
fn what_stood_twice_stands_once_in_the_answer() {
    let answer = answer_to(message_text(CASES, "multi01"));
    for header in [Header::CallId, Header::CSeq, Header::From, Header::To] {
        assert_eq!(answer.fields().filter(|field| field.header == header).count(), 1, "{answer:?}");
    }
    assert_eq!(answer.call_id(), b"multi01.98asdh@192.0.2.1");
}

#[test]
fn what_is_missing_is_missing_in_the_answer() {
    let answer = answer_to(message_text(CASES, "insuf"));
    assert_eq!(answer.top_via().unwrap().branch(), Some(&b"z9hG4bKkdj.insuf"[..]));
    assert_eq!((answer.header(Header::From), answer.header(Header::To)), (None, None));
    assert_eq!(answer.reason(), b"Missing From Header");
}

#[test]
fn a_multipart_body_with_bytes_of_every_kind_is_read_to_its_end() {
    let case = CASES.iter().find(|case| case.name == "mpart01").unwrap();
    let message = Message::parse(case.bytes.into()).unwrap();
    assert_eq!((message.fault(), message.body().len()), (None, 553));
    // No part of it is SDP, so that it offers nothing in an INVITE, whether parts are looked into or not.
    let mut lab = Lab::new();
    let body = message.body();
    let uri = format!("sip:+442079460000@{}", sbc_towards(PBX));
    let invite = request(PBX, &Method::Invite, &uri, "1", 1)
        .header(Header::To, "<sip:kumiko@example.org>")
        .header(Header::Contact, "<sip:fluffy@127.0.0.1:5070>")
        .finish_with(message.header(Header::ContentType).unwrap(), &body)
        .unwrap();
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    lab.take_response(PBX, 415);
    lab.expect_silence();
    lab.expect_nothing_left();
}
