//! Our reader against `rsip`'s, on plain messages that both must read alike. What `rsip` cannot
//! read (`docs/design.md`) is not generated: dots in a user, compact names, folding, IPv6, `tel:`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test finds wrong ends it")]

use bytes::Bytes;
use drawbridge::sip::{Header, Message};
use proptest::prelude::*;
use rsip::prelude::*;

const METHODS: [&str; 6] = ["INVITE", "BYE", "CANCEL", "OPTIONS", "ACK", "REGISTER"];
const TOKEN: &str = "[a-z0-9]{1,12}";
const HOST: &str = "[a-z]{1,8}\\.example\\.com|192\\.0\\.2\\.[1-9]";

#[derive(Debug, Clone)]
struct Plain {
    start: String,
    method: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Plain {
    fn text(&self) -> String {
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{headers}Content-Length: {}\r\n\r\n{}", self.start, self.body.len(), self.body)
    }
}

fn uri() -> impl Strategy<Value = String> {
    (TOKEN, HOST, prop::option::of(1024u16..)).prop_map(|(user, host, port)| match port {
        Some(port) => format!("sip:{user}@{host}:{port}"),
        None => format!("sip:{user}@{host}"),
    })
}

fn start_line(method: &'static str) -> impl Strategy<Value = String> {
    let codes =
        prop::sample::select(vec![(100, "Trying"), (180, "Ringing"), (200, "OK"), (404, "Not Found")]);
    prop_oneof![
        uri().prop_map(move |uri| format!("{method} {uri} SIP/2.0")),
        codes.prop_map(|(code, phrase)| format!("SIP/2.0 {code} {phrase}")),
    ]
}

fn headers(method: &'static str) -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let via = (HOST, 1024u16.., TOKEN);
    let address = || (uri(), TOKEN);
    let dialog = (address(), address(), TOKEN, 0u32..1 << 31);
    (via, dialog, 0u32..256, prop::option::of("[a-zA-Z0-9 ]{1,20}"), uri()).prop_map(
        move |((host, port, branch), (from, to, call_id, cseq), forwards, subject, contact)| {
            let mut headers = vec![
                ("Via", format!("SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch}")),
                ("Max-Forwards", forwards.to_string()),
                ("From", format!("<{}>;tag={}", from.0, from.1)),
                ("To", format!("<{}>;tag={}", to.0, to.1)),
                ("Call-ID", format!("{call_id}@host")),
                ("CSeq", format!("{cseq} {method}")),
                ("Contact", format!("<{contact}>")),
            ];
            if let Some(subject) = subject.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
            {
                headers.push(("Subject", subject));
            }
            headers
        },
    )
}

fn plain() -> impl Strategy<Value = Plain> {
    prop::sample::select(METHODS.to_vec()).prop_flat_map(|method| {
        (start_line(method), headers(method), "[a-z=\r\n]{0,60}")
            .prop_map(move |(start, headers, body)| Plain { start, method, headers, body })
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What both readers give, as text.
#[derive(Debug, PartialEq)]
struct Read {
    method: Option<String>,
    uri: Option<String>,
    status: Option<u16>,
    headers: Vec<(String, String)>,
    cseq: (u32, String),
    call_id: String,
    tags: (Option<String>, Option<String>),
    branch: Option<String>,
    body: Vec<u8>,
}

fn ours(message: &Message) -> Read {
    let cseq = message.cseq().unwrap();
    let tag = |tag: Option<&[u8]>| tag.map(text);
    Read {
        method: message.method().map(|method| text(method.as_bytes())),
        uri: message.is_request().then(|| text(message.request_uri_raw())),
        status: message.status().map(drawbridge::sip::Status::code),
        headers: message.fields().map(|field| (text(field.name), text(field.value))).collect(),
        cseq: (cseq.number, text(cseq.method.as_bytes())),
        call_id: text(message.call_id()),
        tags: (tag(message.from().unwrap().tag()), tag(message.to().unwrap().tag())),
        branch: tag(message.top_via().unwrap().branch()),
        body: message.body().to_vec(),
    }
}

fn theirs(message: &rsip::SipMessage) -> Read {
    let (method, uri, status) = match message {
        rsip::SipMessage::Request(request) => {
            (Some(request.method.to_string()), Some(request.uri.to_string()), None)
        }
        rsip::SipMessage::Response(response) => (None, None, Some(response.status_code.code())),
    };
    let cseq = message.cseq_header().unwrap().typed().unwrap();
    let tag = |tag: Option<rsip::common::uri::param::Tag>| tag.map(|tag| tag.value().to_owned());
    let split = |header: &rsip::Header| {
        let line = header.to_string();
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    Read {
        method,
        uri,
        status,
        headers: message.headers().iter().map(split).collect(),
        cseq: (cseq.seq, cseq.method.to_string()),
        call_id: message.call_id_header().unwrap().value().to_owned(),
        tags: (
            tag(message.from_header().unwrap().tag().unwrap()),
            tag(message.to_header().unwrap().tag().unwrap()),
        ),
        branch: message.via_header().unwrap().typed().unwrap().branch().map(|found| found.value().to_owned()),
        body: message.body().clone(),
    }
}

proptest! {
    #[test]
    fn both_read_a_plain_message_alike(plain in plain()) {
        let text = plain.text();
        let message = Message::parse(Bytes::from(text.clone())).unwrap();
        prop_assert_eq!(message.fault(), None);
        let other = rsip::SipMessage::try_from(text.as_bytes()).unwrap();
        let read = ours(&message);
        prop_assert_eq!(&read, &theirs(&other));
        prop_assert_eq!(read.cseq.1, plain.method);
        prop_assert!(message.header(Header::MaxForwards).is_some());
    }
}
