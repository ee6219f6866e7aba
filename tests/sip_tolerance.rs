//! What is tolerated and what is refused, in one table, and that reading takes time in
//! proportion to the bytes whatever they are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test finds wrong ends it")]

use bytes::Bytes;
use drawbridge::sip::{Header, Message, MessageFault, Params, split_list};

const INVITE: &str = "INVITE sip:b@h SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
    From: <sip:a@h>;tag=1\r\n\
    To: <sip:b@h>\r\n\
    Call-ID: c\r\n\
    CSeq: 1 INVITE\r\n\
    X: y\r\n\
    Content-Length: 0\r\n\
    \r\n";

/// `Err(None)`: cannot even be answered.
fn verdict(text: &str) -> Result<(), Option<MessageFault>> {
    match Message::parse(Bytes::copy_from_slice(text.as_bytes())) {
        Err(_) => Err(None),
        Ok(message) => message.fault().map_or(Ok(()), |fault| Err(Some(fault))),
    }
}

#[test]
fn what_harmless_devices_send_is_read() {
    for (from, to) in [
        ("INVITE sip", "\r\n\r\nINVITE sip"),
        ("SIP/2.0\r\nVia", "sip/2.0\r\nVia"),
        ("From: ", "f:"),
        ("From: ", "FROM \t:  "),
        ("X: y", "X: y\r\n\tfolded\r\n again"),
        ("X: y", "X:\r\n folded at once"),
        ("X: y", "X:"),
        ("X: y", "X: \u{e4}\u{2603}"),
        ("X: y", "Via: SIP / 2.0 / UDP h : 5060"),
        ("X: y", "Contact: *"),
        ("<sip:b@h>", "sip:b@h"),
        ("<sip:b@h>", "tel:+15551230000"),
        ("<sip:b@h>", "\"escaped \\\u{7} \\\0 \\\u{7f}\" <sip:b@h>"),
        ("<sip:b@h>", "Bell, Alexander <sip:b@h>"),
        ("<sip:b@h>", "<sip:b@[2001:db8:::192.0.2.1]>"),
        ("branch=z9hG4bKa", "branch=z9hG4bKa;;received=[2001:db8::1];"),
        ("<sip:b@h>", "\"unusual <,> \\\" name\" <sip:b@[2001:db8::1]:5061;lr>"),
        ("INVITE sip:b@h ", "INVITE urn:service:sos "),
        ("CSeq: 1 ", "CSeq: 0000000001\t "),
        ("Content-Length: 0\r\n", ""),
        ("\r\n\r\n", "\r\n\r\ntrailing bytes"),
    ] {
        let text = INVITE.replacen(from, to, 1);
        assert_ne!(text, INVITE);
        assert_eq!(verdict(&text), Ok(()), "{from} -> {to}");
    }
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    use MessageFault::{
        BareLineBreak, ControlCharacter, HeaderName, Invalid, MethodMismatch, Repeated, RequestLine,
        RequestUri, Truncated,
    };
    let many = "Via: SIP/2.0/UDP h\r\n".repeat(71);
    let headers = "X-Y: y\r\n".repeat(300);
    let long_tag = format!("tag={}", "1".repeat(257));
    for (from, to, fault) in [
        ("X: y", "X: y\nCall-ID: d", Some(BareLineBreak)),
        ("X: y", "X: y\rCall-ID: d", Some(BareLineBreak)),
        ("X: y", "X: y\0", Some(ControlCharacter)),
        ("X: y", "X: y\u{7f}", Some(ControlCharacter)),
        ("X: y", "X: \"\\\0\"", Some(ControlCharacter)),
        ("X: y", "X\u{1}: y", Some(HeaderName)),
        ("X: y", "To\u{1}: <sip:x@y>", Some(HeaderName)),
        ("X: y", "X\r\n : y", Some(HeaderName)),
        ("X: y", ": y", Some(HeaderName)),
        ("X: y", "no colon", Some(HeaderName)),
        ("\r\nVia", "\r\n Via", Some(HeaderName)),
        ("X: y", "i: d", Some(Repeated(Header::CallId))),
        ("X: y", "l: 0", Some(Repeated(Header::ContentLength))),
        ("X: y", "f: <sip:a@h>;tag=2", Some(Repeated(Header::From))),
        ("<sip:a@h>;tag=1", "<sip:a@h>;tag=1, <sip:b@h>;tag=2", Some(Invalid(Header::From))),
        ("tag=1", "tag=1;tag=2", Some(Invalid(Header::From))),
        ("tag=1", "tag=", Some(Invalid(Header::From))),
        ("<sip:b@h>", "<sip:b@h>;tag", Some(Invalid(Header::To))),
        ("<sip:b@h>", "<sip:b@h>;x=\"y", Some(Invalid(Header::To))),
        ("branch=z9hG4bKa", "branch=z9hG4bKa;x=<y", Some(Invalid(Header::Via))),
        ("tag=1", "tag=\"1\"", Some(Invalid(Header::From))),
        ("tag=1", &long_tag, Some(Invalid(Header::From))),
        ("branch=z9hG4bKa", "branch=z9hG4bKa;branch=z9hG4bKb", Some(Invalid(Header::Via))),
        ("X: y\r\n", &many, Some(Invalid(Header::Via))),
        ("X: y\r\n", &headers, Some(MessageFault::TooManyHeaders)),
        ("branch=z9hG4bKa", "branch=z9hG4bKa;,;", Some(Invalid(Header::Via))),
        ("SIP/2.0/UDP", "SIP/3.0/UDP", Some(Invalid(Header::Via))),
        ("SIP/2.0\r\nVia", "SIP/2.0 \r\nVia", Some(RequestLine)),
        ("Call-ID: c", "Call-ID: c d", Some(Invalid(Header::CallId))),
        ("Length: 0", "Length: 4294967328", Some(Truncated)),
        ("Length: 0", "Length: 18446744073709551616", Some(Invalid(Header::ContentLength))),
        ("Length: 0", "Length: 0, 0", Some(Invalid(Header::ContentLength))),
        ("Length: 0", "Length: +0", Some(Invalid(Header::ContentLength))),
        ("Length: 0", "Length: 0x0", Some(Invalid(Header::ContentLength))),
        ("Length: 0", "Length:", Some(Invalid(Header::ContentLength))),
        ("1 INVITE", "2147483648 INVITE", Some(Invalid(Header::CSeq))),
        ("1 INVITE", "1 invite", Some(MethodMismatch)),
        ("sip:b@h SIP", "sip:b@h\0 SIP", Some(RequestUri("illegal character"))),
        ("sip:b@h SIP", "sip:b@h\nX: y SIP", Some(RequestUri("illegal character"))),
        ("INVITE sip:b@h SIP/2.0", "SIP/2.0 200 O\nK", Some(BareLineBreak)),
        ("INVITE sip:b@h SIP/2.0", "SIP/2.0 200 O\0K", Some(ControlCharacter)),
        ("INVITE sip", "INV\0ITE sip", None),
        ("INVITE sip", " INVITE sip", None),
        ("\r\n\r\n", "\r\n", None),
        ("\r\n\r\n", "\r\n\n", None),
    ] {
        let text = INVITE.replacen(from, to, 1);
        assert_eq!(verdict(&text), Err(fault), "{from:?} -> {to:?}");
    }
}

/// Twice the bytes may take about twice the looks, not four times: counted in what the pieces
/// yield, and bounded in time only as far as no machine could be so slow.
#[test]
fn hostile_lists_are_read_in_one_pass() {
    for unit in [&b"\""[..], b"\\\"", b"<", b"<\"", b",", b";", b"\",", b";=", b"\"\\"] {
        let text = unit.repeat(60_000 / unit.len());
        assert!(split_list(&text).count() <= text.len());
        assert!(Params(&text).iter().count() <= text.len());
        let message =
            [INVITE.replacen("\r\n\r\n", "\r\nContact: ", 1).as_bytes(), &text, b"\r\n\r\n"].concat();
        let message = Message::parse(Bytes::from(message)).unwrap();
        assert_eq!(message.fault(), None);
        assert!(message.list(Header::Contact).count() <= text.len());
    }
}
