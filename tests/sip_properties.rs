//! What must hold for any bytes, on inputs made of the pieces that messages are made of; the fuzz
//! targets assert the same (`fuzz/properties.rs`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test finds wrong ends it")]

#[path = "../fuzz/properties.rs"]
mod properties;

use proptest::prelude::*;

/// Pieces of grammar, right and wrong, that meet in any order.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<&'static [u8]> = vec![
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"\0",
        b":",
        b";",
        b",",
        b"\"",
        b"\\",
        b"<",
        b">",
        b"@",
        b"=",
        b"?",
        b"[::1]",
        b"Via",
        b"v",
        b"From",
        b"t",
        b"Call-ID: x\r\n",
        b"CSeq: 1 INVITE\r\n",
        b"Content-Length: 4\r\n",
        b"l: 4294967328\r\n",
        b"SIP/2.0",
        b"SIP/2.0/UDP h;branch=z9hG4bK1",
        b"sip:a@b",
        b"tel:+1",
        b"\r\n\r\n",
        b"tag=1",
        b"%41",
        b"\xff",
        b"\r\n folded",
    ];
    prop_oneof![
        4 => prop::sample::select(fixed).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

/// A sound message with one header more and pieces put in at one place.
fn disturbed() -> impl Strategy<Value = Vec<u8>> {
    let message = include_bytes!("../bench/invite.sip");
    (prop::collection::vec(piece(), 0..6), 0..message.len(), 0..20usize).prop_map(|(pieces, at, gone)| {
        let behind = (at + gone).min(message.len());
        [&message[..at], &pieces.concat(), &message[behind..]].concat()
    })
}

/// Pieces of a multipart body.
fn part() -> impl Strategy<Value = &'static [u8]> {
    let fixed: Vec<&'static [u8]> = vec![
        b"--b\r\n",
        b"\r\n--b\r\n",
        b"\n--b \n",
        b"\r\n--b--",
        b"--i\r\n",
        b"\r\n--i--",
        b"\r\n",
        b"\n",
        b"Content-Type: application/sdp\r\n",
        b"Content-Type: multipart/mixed;boundary=i\r\n",
        b"content-type: multipart/mixed;boundary=b\r\n",
        b"Content-ID: <a@b>\r\n x\r\n",
        b"Content-Disposition: signal;handling=required\r\n",
        b"v=0\r\n",
        b"--part",
        b"\0\xff",
    ];
    prop::sample::select(fixed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn pieces_in_any_order(pieces in prop::collection::vec(piece(), 0..60)) {
        properties::sip_message(&[b"INVITE sip:a@b SIP/2.0\r\n", &pieces.concat()[..], b"\r\n\r\n"].concat());
    }

    #[test]
    fn a_sound_message_disturbed(message in disturbed()) {
        properties::sip_message(&message);
    }

    #[test]
    fn a_stream_disturbed(messages in prop::collection::vec(disturbed(), 1..4)) {
        properties::sip_framing(&messages.concat());
    }

    #[test]
    fn a_description_disturbed(message in disturbed()) {
        let body = message.windows(3).position(|window| window == b"v=0").unwrap_or(0);
        properties::sdp(&message[body..]);
    }

    #[test]
    fn parts_in_any_order(pieces in prop::collection::vec(part(), 0..30)) {
        properties::multipart(&[b"multipart/mixed;boundary=b\n", &pieces.concat()[..]].concat());
    }
}
