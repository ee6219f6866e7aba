//! What crosses beside the session description, and what does not (RFC 5621, RFC 3204, RFC 6442).

use super::basic_calls::establish;
use super::lab::*;
use super::setup::hang_up;
use crate::sip::{Header, Message, Method, Writer};

const MIXED: &[u8] = b"multipart/mixed;boundary=\"abc def\"";
const PIDF: &str = "<?xml version=\"1.0\"?><presence>12 Main St\r\n</presence>";

/// A description and a location, as an emergency call has them (RFC 6442 §5.1).
fn with_location(sdp: &str, disposition: &str) -> String {
    format!(
        "--abc def\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--abc def\r\n\
         Content-Type: application/pidf+xml\r\nContent-ID: <target@here>\r\n{disposition}\r\n{PIDF}\r\n--abc def--\r\n"
    )
}

/// An INVITE of the PBX's without its end.
fn begun(called: &str) -> Writer {
    request(PBX, &Method::Invite, &format!("sip:{called}@{SBC_TRUSTED}"), "1", 1)
        .header(Header::To, format!("<sip:{called}@{SBC_TRUSTED}>"))
        .header(Header::Contact, format!("<sip:caller@{PBX}>"))
}

fn passing(pass: &[&str]) -> Lab {
    let mut settings = settings();
    for trunk in settings.routing.trunks.iter_mut().filter(|trunk| trunk.name.as_str() != "pbx") {
        trunk.bodies.pass = pass.iter().map(|pattern| (*pattern).to_owned()).collect();
    }
    Lab::with(settings)
}

/// The PBX sends this INVITE; what the carrier gets.
fn carried(lab: &mut Lab, invite: &Message) -> Message {
    lab.receive(PBX, invite);
    lab.take_response(PBX, 100);
    lab.take_request(CARRIER_A, &Method::Invite)
}

fn refused(lab: &mut Lab, invite: &Message, status: u16) -> Message {
    lab.receive(PBX, invite);
    lab.take_response(PBX, 100);
    let answer = lab.take_response(PBX, status);
    lab.expect_silence();
    lab.expect_nothing_left();
    answer
}

fn cancel(lab: &mut Lab, invite: &Message) {
    lab.receive(PBX, &cancel_of(invite));
    lab.sent.clear();
    lab.expect_nothing_left();
}

#[test]
fn a_description_is_taken_out_of_its_multipart_both_ways() {
    let mut lab = Lab::new();
    let invite = begun("+442079460000").finish_with(MIXED, with_location(SDP_PBX, "").as_bytes()).unwrap();
    let outgoing = carried(&mut lab, &invite);
    assert!(outgoing.has_body_type("application/sdp"));
    assert!(text(&outgoing).contains("c=IN IP4 203.0.113.5") && !text(&outgoing).contains("presence"));
    for status in [183, 200] {
        let plain = respond(CARRIER_A, &outgoing, status, "callee", None);
        let head = text(&plain).replace(
            "Content-Length: 0\r\n\r\n",
            "Content-Type: multipart/mixed;boundary=\"abc def\"\r\n\r\n",
        );
        lab.receive_bytes(CARRIER_A, [head, with_location(SDP_CARRIER, "")].concat());
    }
    assert!(lab.take_response(PBX, 183).has_body_type("application/sdp"));
    lab.take_request(CARRIER_A, &Method::Ack);
    let answer = lab.take_response(PBX, 200);
    assert!(answer.has_body_type("application/sdp") && !text(&answer).contains("presence"));
    lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
    // And in a re-INVITE.
    let again = caller_request(PBX, &invite, &answer, &Method::Invite, 2);
    lab.receive(PBX, &again.finish_with(MIXED, with_location(SDP_PBX, "").as_bytes()).unwrap());
    lab.take_response(PBX, 100);
    let again = lab.take_request(CARRIER_A, &Method::Invite);
    assert!(again.has_body_type("application/sdp"));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &again, 488, "callee", None));
    lab.take_request(CARRIER_A, &Method::Ack);
    lab.take_response(PBX, 488);
    hang_up(&mut lab, &invite, &answer, 3);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn the_answer_to_a_late_offer_may_be_a_part_of_the_ack() {
    let mut lab = Lab::new();
    let invite = invite(PBX, "+442079460000", "1", None);
    let outgoing = carried(&mut lab, &invite);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    let ack = caller_request(PBX, &invite, &answer, &Method::Ack, 1);
    lab.receive(PBX, &ack.finish_with(MIXED, with_location(SDP_PBX, "").as_bytes()).unwrap());
    assert!(lab.take_request(CARRIER_A, &Method::Ack).has_body_type("application/sdp"));
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn what_the_trunk_lets_pass_crosses_byte_for_byte() {
    for pattern in ["application/pidf+xml", "APPLICATION/*", "*/*"] {
        let mut lab = passing(&[pattern]);
        let body = with_location(SDP_PBX, "Content-Disposition: render;handling=required\r\n");
        let invite = begun("+442079460000").finish_with(MIXED, body.as_bytes()).unwrap();
        let outgoing = carried(&mut lab, &invite);
        let parts = outgoing.parts().unwrap();
        let [sdp, location] = &parts[..] else { panic!("{}", text(&outgoing)) };
        assert!(sdp.is_sdp() && sdp.body.windows(11).any(|word| word == b"203.0.113.5"));
        assert_eq!(&location.body[..], PIDF.as_bytes());
        assert_eq!(location.id.as_deref(), Some(&b"<target@here>"[..]));
        assert_eq!(location.disposition.as_deref(), Some(&b"render;handling=required"[..]));
        assert_eq!(outgoing.header(Header::MimeVersion), Some(&b"1.0"[..]));
        assert!(!text(&outgoing).contains("abc def"));
        cancel(&mut lab, &invite);
    }
}

#[test]
fn a_part_that_its_sender_calls_required_is_not_dropped_silently() {
    let required = with_location(SDP_PBX, "Content-Disposition: render;handling=required\r\n");
    let refusal = refused(
        &mut Lab::new(),
        &begun("+442079460000").finish_with(MIXED, required.as_bytes()).unwrap(),
        415,
    );
    assert!(refusal.header(Header::Accept).is_some());
    // Where another trunk would have let it pass, it is the one that it goes to that counts.
    let mut other = passing(&["application/isup"]);
    let mut settings = settings();
    settings.routing.trunks[0].bodies.pass = vec!["*/*".to_owned()];
    for lab in [&mut other, &mut Lab::with(settings)] {
        let answer =
            refused(lab, &begun("+442079460000").finish_with(MIXED, required.as_bytes()).unwrap(), 415);
        assert!(answer.header(Header::Accept).is_some());
    }
    // Nobody is refused help for it.
    let mut lab = Lab::new();
    let invite = begun("911").finish_with(MIXED, required.as_bytes()).unwrap();
    let carried = carried(&mut lab, &invite);
    assert!(carried.has_sdp() && text(&carried).contains("application/pidf+xml"), "{}", text(&carried));
    cancel(&mut lab, &invite);
}

#[test]
fn a_body_of_another_type_passes_is_dropped_or_refused() {
    let isup = b"\x01\x00\x49\xff ISUP";
    let invite = |disposition: &str| {
        let writer = begun("+442079460000").header(Header::ContentDisposition, disposition);
        writer.finish_with(b"application/isup;version=itu-t92+", isup).unwrap()
    };
    let mut lab = passing(&["application/isup"]);
    let signal = invite("signal;handling=required");
    let outgoing = carried(&mut lab, &signal);
    assert_eq!(&outgoing.body()[..], isup);
    assert_eq!(outgoing.header(Header::ContentType), Some(&b"application/isup;version=itu-t92+"[..]));
    assert_eq!(outgoing.header(Header::ContentDisposition), Some(&b"signal;handling=required"[..]));
    // There was no offer in it: the callee's is answered in the ACK.
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(SDP_CARRIER)));
    let answer = lab.take_response(PBX, 200);
    let ack = caller_request(PBX, &signal, &answer, &Method::Ack, 1);
    lab.receive(PBX, &finish(ack, Some(SDP_PBX)));
    assert!(lab.take_request(CARRIER_A, &Method::Ack).has_sdp());
    hang_up(&mut lab, &signal, &answer, 2);
    lab.expect_nothing_left();

    let mut lab = Lab::new();
    let optional = invite("signal;handling=optional");
    assert!(carried(&mut lab, &optional).body().is_empty());
    cancel(&mut lab, &optional);
    refused(&mut Lab::new(), &invite("signal"), 415);
}

#[test]
fn a_malformed_multipart_is_named() {
    for (content_type, body, phrase) in [
        ("multipart/mixed", "--x--", &b"Bad Multipart Boundary"[..]),
        ("multipart/mixed;boundary=x", "--x\r\n\r\n", b"Multipart Body Not Closed"),
    ] {
        let bad = begun("+442079460000").finish_with(content_type.as_bytes(), body.as_bytes()).unwrap();
        assert_eq!(refused(&mut Lab::new(), &bad, 400).reason(), phrase);
        let mut lab = Lab::new();
        let (invite, answer, _) = establish(&mut lab, "1");
        let again = caller_request(PBX, &invite, &answer, &Method::Invite, 2);
        lab.receive(PBX, &again.finish_with(content_type.as_bytes(), body.as_bytes()).unwrap());
        lab.take_response(PBX, 100);
        assert_eq!(lab.take_response(PBX, 400).reason(), phrase);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 2), None));
        hang_up(&mut lab, &invite, &answer, 3);
        lab.sent.clear();
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}

#[test]
fn what_an_info_holds_obeys_the_same_rules_but_digits_always_cross() {
    for (pass, content_type, crosses) in [
        (&[][..], "application/dtmf-relay", true),
        (&[], "application/dtmf; x=y", true),
        (&[], "application/media_control+xml", false),
        (&["application/media_control+xml"], "application/media_control+xml", true),
        (&["*/*"], "application/sdp", false),
        (&["*/*"], "application/sdp ;x=y", false),
    ] {
        let mut lab = passing(pass);
        let (invite, answer, _) = establish(&mut lab, "1");
        let info = caller_request(PBX, &invite, &answer, &Method::Info, 2);
        lab.receive(PBX, &info.finish_with(content_type.as_bytes(), b"v=0\r\nSignal=5\r\n").unwrap());
        if crosses {
            let carried = lab.take_request(CARRIER_A, &Method::Info);
            assert_eq!(&carried.body()[..], b"v=0\r\nSignal=5\r\n");
            lab.receive(CARRIER_A, &respond(CARRIER_A, &carried, 200, "callee", None));
            lab.take_response(PBX, 200);
        } else {
            lab.take_response(PBX, 415);
        }
        hang_up(&mut lab, &invite, &answer, 3);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}

#[test]
fn a_compressed_body_is_refused_wherever_it_comes() {
    for method in [Method::Invite, Method::Update, Method::Info] {
        let mut lab = passing(&["*/*"]);
        let (invite, answer, _) = establish(&mut lab, "1");
        let writer =
            caller_request(PBX, &invite, &answer, &method, 2).header(Header::ContentEncoding, "gzip");
        lab.receive(PBX, &finish(writer, Some(SDP_PBX)));
        if method == Method::Invite {
            lab.take_response(PBX, 100);
        }
        let refusal = lab.take_response(PBX, 415);
        assert_eq!(refusal.header(Header::AcceptEncoding), Some(&b"identity"[..]));
        assert_eq!(refusal.header(Header::Accept), None);
        if method == Method::Invite {
            lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 2), None));
        }
        hang_up(&mut lab, &invite, &answer, 3);
        lab.sent.clear();
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 200);
    }
}
