//! Offers and answers as devices make them (RFC 3264, RFC 6337): hold, fax, streams that come and
//! go, and descriptions that break the rules.

use super::basic_calls::establish;
use super::lab::*;
use super::setup::hang_up;
use crate::media::{MediaCommand, Side, StreamKind};
use crate::sdp::Sdp;
use crate::sip::{Message, Method};

/// One side's description with these m= lines and what belongs to them.
fn sdp(peer: &str, lines: &str) -> String {
    let address = peer.split(':').next().unwrap();
    format!("v=0\r\no=x 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{lines}")
}

fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

/// The m= lines.
fn lines(message: &Message) -> Vec<String> {
    body(message).lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect()
}

fn direction(message: &Message) -> &'static str {
    Sdp::parse(&message.body()).unwrap().medias()[0].direction.as_str()
}

/// A call that is up, and the changes that are made to it.
struct Established {
    lab: Lab,
    invite: Message,
    answer: Message,
    outgoing: Message,
    sequence: u32,
}

impl Established {
    fn new() -> Established {
        let mut lab = Lab::new();
        let (invite, answer, outgoing) = establish(&mut lab, "1");
        Established { lab, invite, answer, outgoing, sequence: 1 }
    }

    /// With these offer and answer.
    fn with(offer: &str, accepted: &str) -> Established {
        let mut lab = Lab::new();
        let invite = invite(PBX, "+442079460000", "1", Some(offer));
        lab.receive(PBX, &invite);
        lab.take_response(PBX, 100);
        let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
        lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(accepted)));
        lab.take_request(CARRIER_A, &Method::Ack);
        let answer = lab.take_response(PBX, 200);
        lab.receive(PBX, &finish(caller_request(PBX, &invite, &answer, &Method::Ack, 1), None));
        Established { lab, invite, answer, outgoing, sequence: 1 }
    }

    /// A re-INVITE of one side's with its answer: what the other side read, and what it reads.
    fn change(&mut self, by: Side, offer: &str, accepted: &str) -> (Message, Message) {
        self.sequence += 1;
        let (from, to) = if by == Side::A { (PBX, CARRIER_A) } else { (CARRIER_A, PBX) };
        let reinvite = self.request(by, &Method::Invite);
        self.lab.receive(from, &finish(reinvite, Some(offer)));
        self.lab.take_response(from, 100);
        let carried = self.lab.take_request(to, &Method::Invite);
        // The lab takes the carrier's tag, which is in the Contact too, for a leak to the PBX.
        let accepted = text(&respond(to, &carried, 200, "callee", Some(accepted)));
        self.lab.receive_bytes(
            to,
            if to == PBX { accepted.replace("sip:callee", "sip:caller") } else { accepted },
        );
        self.lab.take_request(to, &Method::Ack);
        let answer = self.lab.take_response(from, 200);
        let ack = self.request(by, &Method::Ack);
        self.lab.receive(from, &finish(ack, None));
        self.lab.expect_silence();
        (carried, answer)
    }

    fn request(&self, by: Side, method: &Method) -> crate::sip::Writer {
        match by {
            Side::A => caller_request(PBX, &self.invite, &self.answer, method, self.sequence),
            Side::B => callee_request(CARRIER_A, &self.outgoing, "callee", method, self.sequence),
        }
    }

    fn is_held(&self) -> bool {
        let holds = self.lab.media.iter().rev().find_map(|command| match command {
            MediaCommand::SetHold { held, .. } => Some(*held),
            _ => None,
        });
        holds.unwrap_or(false)
    }

    /// What the relay knows of one side of a stream.
    fn kind(&self, wanted: u8, of: Side) -> Option<StreamKind> {
        let remotes = self.lab.media.iter().rev().filter_map(|command| match command {
            MediaCommand::SetRemote { stream, side, remote, .. } => Some((*stream, *side, *remote)),
            _ => None,
        });
        remotes.into_iter().find(|(stream, side, _)| (*stream, *side) == (wanted, of))?.2.map(|it| it.kind)
    }

    fn end(mut self) {
        hang_up(&mut self.lab, &self.invite, &self.answer, self.sequence + 1);
        self.lab.expect_nothing_left();
        assert_eq!(self.lab.cdr().status, 200);
    }
}

#[test]
fn hold_in_each_form_crosses_both_ways_and_is_answered_lawfully() {
    for by in [Side::A, Side::B] {
        let (from, to) = if by == Side::A { (PBX, CARRIER_A) } else { (CARRIER_A, PBX) };
        let mut call = Established::new();
        for (form, told) in [
            ("a=sendonly\r\n", "sendonly"),
            ("a=inactive\r\n", "inactive"),
            ("c=IN IP4 0.0.0.0\r\n", "sendonly"),
            ("c=IN IP6 ::\r\n", "sendonly"),
            ("c=IN IP4 0.0.0.0\r\na=recvonly\r\n", "inactive"),
        ] {
            for (reply, lawful) in [
                ("a=recvonly\r\n", "recvonly"),
                ("a=inactive\r\n", "inactive"),
                // What RFC 3264 §6.1 forbids, and many do.
                ("", "recvonly"),
                ("a=sendonly\r\n", "inactive"),
                ("c=IN IP4 0.0.0.0\r\n", "inactive"),
            ] {
                let offer = sdp(from, &format!("m=audio 4000 RTP/AVP 0\r\n{form}"));
                let accepted = sdp(to, &format!("m=audio 4002 RTP/AVP 0\r\n{reply}"));
                let (carried, answer) = call.change(by, &offer, &accepted);
                assert_eq!(direction(&carried), told, "{form}");
                let lawful = if told == "inactive" { "inactive" } else { lawful };
                assert_eq!(direction(&answer), lawful, "{form} {reply}");
                assert!(call.is_held());
                // Our address stands even where theirs is none: the direction tells the hold.
                assert!(!body(&carried).contains("0.0.0.0") && !body(&carried).contains("::"));
            }
            let talk = sdp(from, "m=audio 4000 RTP/AVP 0\r\n");
            let (carried, answer) = call.change(by, &talk, &sdp(to, "m=audio 4002 RTP/AVP 0\r\n"));
            assert_eq!((direction(&carried), direction(&answer)), ("sendrecv", "sendrecv"));
            assert!(!call.is_held());
        }
        call.end();
    }
}

#[test]
fn an_answer_may_hold_what_the_offer_would_let_flow() {
    let mut call = Established::new();
    let offer = sdp(PBX, "m=audio 30000 RTP/AVP 0\r\n");
    let held = sdp(CARRIER_A, "m=audio 40000 RTP/AVP 0\r\na=recvonly\r\n");
    let (_, answer) = call.change(Side::A, &offer, &held);
    assert_eq!(direction(&answer), "recvonly");
    assert!(call.is_held());
    call.end();
}

#[test]
fn a_call_turns_to_fax_in_the_same_line_and_back() {
    for by in [Side::A, Side::B] {
        let (from, to) = if by == Side::A { (PBX, CARRIER_A) } else { (CARRIER_A, PBX) };
        let mut call = Established::new();
        let (a, b) = (opened_ports(&call.lab)[0].rtp_port, opened_ports(&call.lab)[1].rtp_port);
        let (ours_to, ours_from) = if by == Side::A { (b, a) } else { (a, b) };
        let t38 = "a=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n";
        let offer = sdp(from, &format!("m=image 4010 udptl t38\r\n{t38}"));
        let accepted = sdp(to, &format!("m=image 4012 UDPTL t38\r\n{t38}"));
        let (carried, answer) = call.change(by, &offer, &accepted);
        assert_eq!(lines(&carried), [format!("m=image {ours_to} udptl t38")]);
        assert_eq!(lines(&answer), [format!("m=image {ours_from} UDPTL t38")]);
        assert!(body(&carried).contains(t38));
        assert_eq!(
            (call.kind(0, Side::A), call.kind(0, Side::B)),
            (Some(StreamKind::Udptl), Some(StreamKind::Udptl))
        );
        assert!(!call.is_held());
        let (carried, answer) = call.change(
            by.other(),
            &sdp(to, "m=audio 4000 RTP/AVP 0\r\n"),
            &sdp(from, "m=audio 4002 RTP/AVP 0\r\n"),
        );
        assert_eq!(lines(&carried), [format!("m=audio {ours_from} RTP/AVP 0")]);
        assert_eq!(lines(&answer), [format!("m=audio {ours_to} RTP/AVP 0")]);
        assert_eq!(
            (call.kind(0, Side::A), call.kind(0, Side::B)),
            (Some(StreamKind::Rtp), Some(StreamKind::Rtp))
        );
        call.end();
    }
}

#[test]
fn a_call_turns_to_fax_in_a_second_line_and_back() {
    let mut call = Established::new();
    let audio = opened_ports(&call.lab)[1].rtp_port;
    let fax = "m=audio 0 RTP/AVP 0\r\nm=image 4010 udptl t38\r\n";
    let (carried, answer) = call.change(Side::A, &sdp(PBX, fax), &sdp(CARRIER_A, fax));
    let image = opened_ports(&call.lab)[1].rtp_port;
    assert_ne!(audio, image);
    assert_eq!(lines(&carried), ["m=audio 0 RTP/AVP 0".to_owned(), format!("m=image {image} udptl t38")]);
    assert_eq!(lines(&answer)[0], "m=audio 0 RTP/AVP 0");
    assert_eq!((call.kind(0, Side::A), call.kind(1, Side::B)), (None, Some(StreamKind::Udptl)));
    assert!(!call.is_held());
    let talk = "m=audio 4000 RTP/AVP 0\r\nm=image 0 udptl t38\r\n";
    let (carried, _) = call.change(Side::A, &sdp(PBX, talk), &sdp(CARRIER_A, talk));
    assert_eq!(lines(&carried), [format!("m=audio {audio} RTP/AVP 0"), "m=image 0 udptl t38".to_owned()]);
    assert_eq!((call.kind(0, Side::A), call.kind(1, Side::B)), (Some(StreamKind::Rtp), None));
    call.end();
}

#[test]
fn a_codec_changes_on_the_same_ports() {
    let mut call = Established::new();
    let port = opened_ports(&call.lab)[1].rtp_port;
    let (carried, answer) = call.change(
        Side::A,
        &sdp(PBX, "m=audio 5000 RTP/AVP 8\r\n"),
        &sdp(CARRIER_A, "m=audio 6000 RTP/AVP 8\r\n"),
    );
    assert_eq!(lines(&carried), [format!("m=audio {port} RTP/AVP 8")]);
    assert!(lines(&answer)[0].ends_with(" RTP/AVP 8"));
    hang_up(&mut call.lab, &call.invite, &call.answer, 3);
    call.lab.expect_nothing_left();
    assert_eq!(call.lab.cdr().codec.as_deref(), Some("PCMA"));
}

const AUDIO: &str = "m=audio 4000 RTP/AVP 0\r\n";
const VIDEO: &str = "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
const NO_VIDEO: &str = "m=video 0 RTP/AVP 96\r\n";

#[test]
fn a_stream_is_refused_added_removed_and_added_again_on_its_ports() {
    let both = format!("{AUDIO}{VIDEO}");
    let one = format!("{AUDIO}{NO_VIDEO}");
    let mut call = Established::with(&sdp(PBX, &both), &sdp(CARRIER_A, &one));
    assert_eq!(lines(&call.answer)[1], "m=video 0 RTP/AVP 96");
    let video = lines(&call.outgoing)[1].clone();
    for (wants, has) in [(&both, true), (&one, false), (&both, true)] {
        let (carried, answer) = call.change(Side::A, &sdp(PBX, wants), &sdp(CARRIER_A, wants));
        assert_eq!(lines(&carried)[1] == video, has);
        assert_eq!(lines(&answer)[1] == "m=video 0 RTP/AVP 96", !has);
        assert_eq!(call.kind(1, Side::B).is_some(), has);
    }
    call.end();
}

#[test]
fn an_answer_gets_the_lines_of_its_offer() {
    let two = format!("{AUDIO}{VIDEO}");
    let call = Established::with(&sdp(PBX, &two), &sdp(CARRIER_A, AUDIO));
    assert_eq!(lines(&call.answer).len(), 2);
    assert_eq!(lines(&call.answer)[1], "m=video 0 RTP/AVP 96");
    call.end();
    let call = Established::with(&sdp(PBX, AUDIO), &sdp(CARRIER_A, &two));
    assert_eq!(lines(&call.answer).len(), 1);
    call.end();
    // What was answered in place of something else is refused.
    let fax = "m=image 4010 udptl t38\r\n";
    let call = Established::with(&sdp(PBX, &two), &sdp(CARRIER_A, &format!("{fax}{VIDEO}")));
    assert_eq!(lines(&call.answer)[0], "m=audio 0 RTP/AVP 0");
    assert_eq!((call.kind(0, Side::B), call.kind(1, Side::B)), (None, Some(StreamKind::Rtp)));
    call.end();
}

#[test]
fn an_offer_that_forgets_a_line_is_carried_with_it_refused() {
    let two = format!("{AUDIO}{VIDEO}");
    let mut call = Established::with(&sdp(PBX, &two), &sdp(CARRIER_A, &two));
    for _ in 0..2 {
        let answered = format!("{AUDIO}{NO_VIDEO}");
        let (carried, answer) = call.change(Side::A, &sdp(PBX, AUDIO), &sdp(CARRIER_A, &answered));
        assert_eq!(lines(&carried)[1], "m=video 0 RTP/AVP 96");
        assert_eq!(lines(&answer).len(), 1);
        assert_eq!(call.kind(1, Side::A), None);
    }
    call.end();
}

#[test]
fn a_stream_over_tcp_is_refused_in_its_place_and_alone_it_is_488() {
    let chat =
        "m=message 9 TCP/MSRP *\r\na=path:msrp://pbx.internal:2855/x;tcp\r\na=accept-types:text/plain\r\n";
    let refused = format!("{AUDIO}m=message 0 TCP/MSRP *\r\n");
    let call = Established::with(&sdp(PBX, &format!("{AUDIO}{chat}")), &sdp(CARRIER_A, &refused));
    assert_eq!(lines(&call.outgoing)[1], "m=message 0 TCP/MSRP *");
    assert!(!body(&call.outgoing).contains("path") && !body(&call.outgoing).contains("pbx.internal"));
    assert_eq!(lines(&call.answer)[1], "m=message 0 TCP/MSRP *");
    call.end();
    for alone in [chat, "m=image 5000 tcp t38\r\n"] {
        let mut lab = Lab::new();
        lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(&sdp(PBX, alone))));
        lab.take_response(PBX, 100);
        lab.take_response(PBX, 488);
        lab.expect_nothing_left();
        assert_eq!(lab.cdr().status, 488);
    }
}

#[test]
fn a_late_offer_of_two_streams_is_answered_for_both() {
    let mut lab = Lab::new();
    let invite = invite(PBX, "+442079460000", "1", None);
    lab.receive(PBX, &invite);
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    let offer = sdp(CARRIER_A, &format!("{AUDIO}{VIDEO}"));
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(&offer)));
    let answer = lab.take_response(PBX, 200);
    assert_eq!(lines(&answer).len(), 2);
    let ack = caller_request(PBX, &invite, &answer, &Method::Ack, 1);
    lab.receive(PBX, &finish(ack, Some(&sdp(PBX, AUDIO))));
    let ack = lab.take_request(CARRIER_A, &Method::Ack);
    assert_eq!(lines(&ack)[1], "m=video 0 RTP/AVP 96");
    hang_up(&mut lab, &invite, &answer, 2);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 200);
}

#[test]
fn secured_media_keeps_its_keys_from_end_to_end() {
    let key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
    let secured = format!("m=audio 4000 RTP/SAVP 0\r\n{key}");
    let call = Established::with(&sdp(PBX, &secured), &sdp(CARRIER_A, &secured));
    assert!(body(&call.outgoing).contains(key) && body(&call.answer).contains(key));
    assert_eq!(call.kind(0, Side::A), Some(StreamKind::SecuredRtp));
    call.end();
}

/// RFC 5763: keys that are agreed on in the media path would need a handshake that the relay drops.
#[test]
fn a_stream_that_needs_dtls_is_refused_in_its_place_and_alone_it_is_488() {
    const PRINT: &str = "a=setup:actpass\r\na=fingerprint:sha-256 AB:CD\r\n";
    let dtls = format!("m=audio 5000 UDP/TLS/RTP/SAVPF 0\r\n{PRINT}");
    let refused = format!("{AUDIO}m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n");
    let call = Established::with(&sdp(PBX, &format!("{AUDIO}{dtls}")), &sdp(CARRIER_A, &refused));
    assert_eq!(lines(&call.outgoing)[1], "m=audio 0 UDP/TLS/RTP/SAVPF 0");
    call.end();
    // A callee that answers it all the same is not believed.
    let offered = format!("{AUDIO}m=audio 6000 UDP/TLS/RTP/SAVPF 0\r\n");
    let call = Established::with(&sdp(PBX, &format!("{AUDIO}{dtls}")), &sdp(CARRIER_A, &offered));
    assert_eq!(lines(&call.answer)[1], "m=audio 0 UDP/TLS/RTP/SAVPF 0");
    call.end();
    for alone in [dtls.clone(), format!("m=audio 5000 RTP/SAVP 0\r\n{PRINT}")] {
        let refusal = refused_offer(&sdp(PBX, &alone), "DTLS-SRTP");
        assert!(text(&refusal).contains("Warning: 302 "), "{}", text(&refusal));
    }
    // Keys in SDP are enough for who has them.
    let keyed = format!("m=audio 5000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n{PRINT}");
    let call = Established::with(&sdp(PBX, &keyed), &sdp(CARRIER_A, &keyed));
    assert_eq!(call.kind(0, Side::A), Some(StreamKind::SecuredRtp));
    call.end();
}

#[test]
fn a_host_name_in_the_connection_line_is_refused_with_its_cause() {
    let named = sdp(PBX, AUDIO).replace("c=IN IP4 10.0.0.9", "c=IN IP4 media.pbx.internal");
    let refusal = refused_offer(&named, "no address in c=");
    assert!(text(&refusal).contains("Warning: 301 "), "{}", text(&refusal));
    // Beside a stream that has an address it is refused alone.
    let offer = sdp(PBX, &format!("{AUDIO}{VIDEO}c=IN IP4 media.pbx.internal\r\n"));
    let call = Established::with(&offer, &sdp(CARRIER_A, &format!("{AUDIO}m=video 0 RTP/AVP 96\r\n")));
    assert_eq!(lines(&call.outgoing)[1], "m=video 0 RTP/AVP 96");
    call.end();
    // An answer of that kind ends the call rather than leaving it silent.
    let mut lab = Lab::new();
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(&sdp(PBX, AUDIO))));
    lab.take_response(PBX, 100);
    let outgoing = lab.take_request(CARRIER_A, &Method::Invite);
    let named = sdp(CARRIER_A, AUDIO).replace("c=IN IP4 198.51.100.1", "c=IN IP4 media.carrier.example");
    lab.receive(CARRIER_A, &respond(CARRIER_A, &outgoing, 200, "callee", Some(&named)));
    lab.take_request(CARRIER_A, &Method::Ack);
    let bye = lab.take_request(CARRIER_A, &Method::Bye);
    lab.receive(CARRIER_A, &respond(CARRIER_A, &bye, 200, "callee", None));
    lab.take_response(PBX, 502);
    lab.expect_nothing_left();
}

/// The 488 to a call with this offer, whose record has the cause.
fn refused_offer(offer: &str, cause: &str) -> Message {
    let mut lab = Lab::new();
    lab.receive(PBX, &invite(PBX, "+442079460000", "1", Some(offer)));
    lab.take_response(PBX, 100);
    let refusal = lab.take_response(PBX, 488);
    lab.expect_nothing_left();
    assert_eq!(lab.cdr().status, 488);
    assert!(lab.cdr().cause.contains(cause), "{}", lab.cdr().cause);
    refusal
}
