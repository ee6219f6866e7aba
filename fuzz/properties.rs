//! What must hold for any bytes at all. The fuzz targets, the property tests and the replay of the
//! corpus assert the same.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use bytes::Bytes;
use drawbridge::sdp::{self, OurOrigin, Rewrite, Sdp, StreamRewrite};
use drawbridge::sip::multipart;
use drawbridge::sip::{Frame, Framer, Header, Message, Params, Status, Writer, is_token, response_to};

/// A message: spans inside the bytes, nothing smuggled, and the same again when written.
pub fn sip_message(data: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data)) else { return };
    assert!(data.ends_with(message.as_bytes()), "the bytes are kept");
    check_fields(&message);
    read_everything(&message);
    if message.fault().is_none() {
        check_sound(&message);
        check_written(&message);
        check_response(&message);
    }
}

/// A stream: however it is read, the same frames; each message is whole, and nothing follows what
/// has no end.
pub fn sip_framing(data: &[u8]) {
    let whole = frames(data, data.len().max(1));
    for size in [1, 3, 64] {
        assert!(frames(data, size) == whole, "reads of {size} give other frames");
    }
    for (at, frame) in whole.iter().enumerate() {
        match frame {
            Frame::Message(bytes) => {
                let message = Message::parse(bytes.clone()).unwrap();
                assert_eq!(message.as_bytes(), bytes);
                let lengths = message.fields().filter(|field| field.header == Header::ContentLength);
                assert_eq!(lengths.count(), 1);
                if message.fault().is_none() {
                    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
                    assert_eq!(head + message.body().len(), bytes.len(), "something stands behind the body");
                }
            }
            Frame::Ping => {}
            Frame::Endless(_) | Frame::Fault(_) => assert_eq!(at + 1, whole.len()),
        }
    }
}

fn frames(data: &[u8], size: usize) -> Vec<Frame> {
    let mut framer = Framer::new();
    let mut frames = Vec::new();
    for read in data.chunks(size) {
        framer.push(read);
        frames.extend(std::iter::from_fn(|| framer.poll()));
    }
    frames
}

fn span(outer: &[u8], inner: &[u8]) -> Range<usize> {
    let start = (inner.as_ptr() as usize).wrapping_sub(outer.as_ptr() as usize);
    assert!(inner.is_empty() || start + inner.len() <= outer.len(), "a span leaves the message");
    start..start + inner.len()
}

/// Headers stand in the order of the bytes, apart, and no value breaks its line.
fn check_fields(message: &Message) {
    let raw = message.as_bytes();
    let mut at = 0;
    for field in message.fields() {
        let (name, value) = (span(raw, field.name), span(raw, field.value));
        assert!(is_token(field.name) && name.start >= at);
        assert_eq!(field.header, Header::from_name(field.name));
        assert!(raw[name.start - 2..name.start] == *b"\r\n", "a header begins a line");
        if !field.value.is_empty() {
            assert!(value.start > name.end);
            at = value.end;
        }
        if field.header == Header::ContentLength && message.fault().is_some() {
            // A length that is none is kept, so that it is not overlooked; nothing of it is used.
            continue;
        }
        let mut rest = field.value;
        let mut before = 0;
        while let Some(found) = rest.iter().position(|byte| (*byte < 32 && *byte != 9) || *byte == 127) {
            before = if found == 0 { before } else { rest[found - 1] };
            let is_folded = matches!(rest[found..], [b'\r', b'\n', b' ' | b'\t', ..]);
            // A display name may escape what does not break a line.
            let is_escaped = before == b'\\' && !matches!(rest[found], b'\r' | b'\n');
            assert!(is_folded || is_escaped, "a value breaks its line");
            before = b' ';
            rest = &rest[found + if is_folded { 3 } else { 1 }..];
        }
    }
    let body = message.body();
    assert!(body.is_empty() || span(raw, &body).start >= at + 2);
}

/// No accessor panics, and lists are made of parts of their lines.
fn read_everything(message: &Message) {
    let raw = message.as_bytes();
    for field in message.fields() {
        let _ = message.number(field.header);
        let mut items = 0;
        for item in message.list(field.header) {
            assert!(!item.is_empty());
            span(raw, item);
            items += 1;
        }
        assert!(items <= raw.len());
    }
    if let Some(via) = message.top_via() {
        span(raw, via.raw);
        read_params(raw, via.params);
        let _ = via.with_received(SOURCE);
        let _ = via.response_address(SOURCE);
    }
    for address in [message.from(), message.to(), message.contact()].into_iter().flatten() {
        read_params(raw, address.params);
        if let Ok(uri) = address.uri() {
            read_params(raw, uri.params);
            let _ = (uri.user_unescaped(), uri.host_address());
        }
    }
    let _ = (message.cseq(), message.reason(), message.has_body_type("application/sdp"));
    let (body, sdp) = (message.body(), message.sdp().unwrap_or_default());
    assert!(sdp.is_empty() || !span(&body, &sdp).is_empty(), "a description is of the body");
    let _ = format!("{message:?} {:?}", message.fault().map(|fault| fault.to_string()));
}

fn read_params(raw: &[u8], params: Params<'_>) {
    for (name, value) in params.iter() {
        span(raw, name);
        span(raw, value.unwrap_or(b""));
    }
}

const SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)), 5071);

/// What every message without a fault has.
fn check_sound(message: &Message) {
    assert!(message.top_via().is_some() && message.from().is_some() && message.to().is_some());
    assert!(!message.call_id().is_empty());
    let cseq = message.cseq().map(|cseq| cseq.method);
    assert!(cseq.is_some());
    assert!(message.method().is_none_or(|method| Some(method) == cseq.as_ref()));
    for header in [Header::CallId, Header::CSeq, Header::From, Header::To, Header::ContentLength] {
        assert!(message.fields().filter(|field| field.header == header).count() <= 1);
    }
    if let Some(length) = message.header(Header::ContentLength) {
        let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap();
        assert_eq!(length, message.body().len());
    }
    assert!(!message.reason().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    let again = Message::parse(message.as_bytes().clone()).unwrap();
    assert_eq!(again.fault(), None);
}

/// Written field by field, the same fields are read.
fn check_written(message: &Message) {
    let mut writer = match (message.method(), message.status()) {
        (Some(method), _) => Writer::request(method, message.request_uri_raw()),
        (None, Some(status)) => Writer::response(status, Some(message.reason())),
        (None, None) => unreachable!("a message is a request or a response"),
    };
    let ours = |header| matches!(header, Header::ContentLength | Header::ContentType);
    for field in message.fields().filter(|field| !ours(field.header)) {
        writer = writer.field(field.name, field.value);
    }
    let content_type = message.header(Header::ContentType).unwrap_or(b"application/octet-stream");
    let Ok(written) = writer.finish_with(content_type, &message.body()) else { return };
    // Two fields are ours now, so that one that had 256 without them may have too many.
    if message.fields().count() > 250 {
        return;
    }
    assert_eq!(written.fault(), None);
    assert_eq!(written.request_uri_raw(), message.request_uri_raw());
    assert_eq!(written.reason(), message.reason());
    assert_eq!(written.body(), message.body());
    let before = message.fields().filter(|field| !ours(field.header));
    let after = written.fields().filter(|field| !ours(field.header));
    assert!(before.eq(after), "a header changed");
}

/// The answer to a request is a sound message that goes back the same way.
fn check_response(message: &Message) {
    if !message.is_request() || message.fields().count() > 250 {
        return;
    }
    let writer = response_to(message, SOURCE, Status::of(200), None, Some("ourtag"));
    let Ok(response) = writer.finish() else { return };
    assert_eq!(response.fault(), None);
    assert_eq!(response.call_id(), message.call_id());
    assert_eq!(response.header(Header::From), message.header(Header::From));
    assert_eq!(response.header(Header::CSeq), message.header(Header::CSeq));
    assert_eq!(response.list(Header::Via).count(), message.list(Header::Via).count());
    let branch = |of: &Message| of.top_via().and_then(|via| via.branch().map(<[u8]>::to_vec));
    assert_eq!(branch(&response), branch(message));
    let had = message.to().and_then(|to| to.tag().map(<[u8]>::to_vec));
    assert_eq!(response.to().and_then(|to| to.tag().map(<[u8]>::to_vec)), had.or(Some(b"ourtag".to_vec())));
}

/// A multipart body behind a line with its Content-Type: parts lie in the body in order, apart and
/// within the limits, and the same are read when they are written anew.
pub fn multipart(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (content_type, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let body = Bytes::copy_from_slice(body);
    let Ok(parts) = multipart::parts(content_type, &body) else { return };
    assert!(parts.len() <= drawbridge::sip::limits::MAX_PARTS);
    let mut at = 0;
    for part in &parts {
        let place = span(&body, &part.body);
        assert!(part.body.is_empty() || place.start >= at, "parts overlap");
        at = at.max(place.end);
        assert!(!multipart::is_multipart(&part.content_type), "an inner multipart is left");
        let values = [Some(&part.content_type), part.disposition.as_ref(), part.id.as_ref()];
        assert!(
            !values.into_iter().flatten().any(|value| value.iter().any(|byte| matches!(byte, b'\r' | b'\n')))
        );
        let _ = (part.is_sdp(), part.disposition.as_deref().and_then(multipart::is_required));
    }
    if !parts.is_empty() {
        let (content_type, written) = multipart::write(&parts);
        assert_eq!(multipart::parts(&content_type, &Bytes::from(written)).unwrap(), parts);
    }
}

const OURS: [u8; 4] = [203, 0, 113, 99];

/// A description: rewritten it is ours alone, flows as it did, and keeps every other line.
pub fn sdp(data: &[u8]) {
    let Ok(before) = Sdp::parse(&Bytes::copy_from_slice(data)) else { return };
    let _ = (before.negotiated_codec(), before.medias().iter().map(|m| m.codecs().count()).sum::<usize>());
    for media in before.medias() {
        let _ = (media.rtcp_address(), media.formats().count(), media.is_udptl());
    }
    let written = before.rewrite(&relayed(&before, &[])).unwrap();
    check_kept(data, &written);
    // What we add may lead beyond a limit.
    if written.len() <= sdp::limits::MAX_SDP_BYTES
        && written.split(|byte| *byte == b'\n').count() <= sdp::limits::MAX_LINES
    {
        check_rewritten(&before, &written);
    }
    let codecs = ["PCMA".to_owned(), "telephone-event".to_owned()];
    if let Ok(filtered) = before.rewrite(&relayed(&before, &codecs)) {
        check_filtered(&filtered, &codecs);
    }
}

fn relayed<'a>(sdp: &Sdp, codecs: &'a [String]) -> Rewrite<'a> {
    let address = IpAddr::from(OURS);
    let stream = |at| StreamRewrite::Relay { address, rtp_port: 20_000 + 2 * at, rtcp_port: 20_001 + 2 * at };
    let streams = (0..sdp.medias().len() as u16).map(stream).collect();
    Rewrite { origin: OurOrigin { session_id: 7, version: 8, address }, streams, codecs, offer: &[] }
}

fn check_rewritten(before: &Sdp, written: &[u8]) {
    let after = Sdp::parse(&Bytes::copy_from_slice(written)).unwrap();
    let ours = IpAddr::from(OURS);
    assert_eq!(after.origin().address, ours.to_string().as_bytes());
    assert_eq!(after.origin().username, b"-");
    assert_eq!(before.medias().len(), after.medias().len());
    for (at, (old, new)) in before.medias().iter().zip(after.medias()).enumerate() {
        assert_eq!(new.rejected(), old.rejected());
        assert_eq!((old.kind, old.proto(), old.rtcp_mux), (new.kind, new.proto(), new.rtcp_mux));
        assert!(old.formats().eq(new.formats()));
        if !new.rejected() {
            assert_eq!(new.connection, Some(ours));
            assert_eq!(usize::from(new.port), 20_000 + 2 * at);
            assert_eq!((old.sends(), old.receives()), (new.sends(), new.receives()));
            assert_eq!(old.rtcp.is_some(), new.rtcp.is_some());
            assert!(new.rtcp.is_none_or(|rtcp| rtcp.port == new.port + 1 && rtcp.address.is_none()));
        }
    }
    assert_eq!(before.is_hold(), after.is_hold());
    for hidden in [&b"a=candidate:"[..], b"a=ice-ufrag:", b"a=altc:", b"i=", b"u=", b"e=", b"p="] {
        assert!(!lines(written).any(|line| line.starts_with(hidden)));
    }
    check_hidden(before.origin().address, written);
    assert_eq!(after.rewrite(&relayed(&after, &[])).unwrap(), written, "a second time changes nothing");
}

/// No attribute names the address of the other side's origin; what names an encoding cannot.
fn check_hidden(theirs: &[u8], written: &[u8]) {
    let address = std::str::from_utf8(theirs).ok().and_then(|text| text.parse::<Ipv4Addr>().ok());
    if address.is_none_or(|address| address.octets() == OURS || address.is_unspecified()) {
        return;
    }
    let ends_word = |byte: &u8| !(byte.is_ascii_alphanumeric() || *byte == b'.');
    for line in lines(written).filter(|line| line.starts_with(b"a=") && !line.starts_with(b"a=rtpmap:")) {
        assert!(!line.split(ends_word).any(|word| word == theirs), "an address shows");
    }
}

/// What is not ours stood there, in this order.
fn check_kept(before: &[u8], written: &[u8]) {
    let mut old = lines(before);
    for line in lines(written) {
        let direction = matches!(line, b"a=sendrecv" | b"a=sendonly" | b"a=recvonly" | b"a=inactive");
        if matches!(line[0], b'o' | b's' | b'c' | b'm') || line.starts_with(b"a=rtcp:") || direction {
            continue;
        }
        assert!(old.any(|found| found == line), "{:?} was not there", String::from_utf8_lossy(line));
    }
}

fn check_filtered(filtered: &[u8], codecs: &[String]) {
    let Ok(after) = Sdp::parse(&Bytes::copy_from_slice(filtered)) else { return };
    for media in after.medias().iter().filter(|media| media.is_rtp() && !media.rejected()) {
        assert!(media.codecs().count() > 0);
        assert_eq!(media.codecs().count(), media.formats().count());
        for codec in media.codecs() {
            assert!(codecs.iter().any(|name| name.eq_ignore_ascii_case(codec.name)), "{}", codec.name);
        }
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let strip = |line| <[u8]>::strip_suffix(line, b"\r").unwrap_or(line);
    text.split(|byte| *byte == b'\n').map(strip).filter(|line| !line.is_empty())
}
