//! The transaction layer on virtual time: the machines as tables, the layer in scenarios.

mod client;
mod lost_connections;
mod matching;
mod random;
mod server;
mod shares;
mod tables;

use std::net::SocketAddr;

use super::*;
use crate::base::{Instant, ListenerId, PeerIdentity, Transport};
use crate::sip::{Header, Method, Status, Writer, response_to};

/// Where the peer is.
const PEER: &str = "192.0.2.9:5060";

fn udp() -> Hop {
    hop(Transport::Udp, PEER)
}

fn tcp() -> Hop {
    hop(Transport::Tcp, PEER)
}

fn hop(transport: Transport, peer: &str) -> Hop {
    Hop::new(ListenerId(0), transport, peer.parse().unwrap())
}

/// A request with this top Via.
fn request_via(method: &str, via: &str) -> Message {
    Writer::request(&Method::from_slice(method.as_bytes()), b"sip:bob@192.0.2.9")
        .header(Header::Via, via)
        .header(Header::Via, "SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKother")
        .header(Header::From, "<sip:alice@192.0.2.1>;tag=a")
        .header(Header::To, "<sip:bob@192.0.2.9>")
        .header(Header::CallId, "call-1")
        .header(Header::CSeq, format!("1 {}", if method == "ACK" { "ACK" } else { method }))
        .finish()
        .unwrap()
}

fn request(method: &str) -> Message {
    request_via(method, "SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bK1")
}

/// The same message with another piece of text: what a NAT, an attacker or a fault makes of it.
fn altered(message: &Message, from: &str, to: &str) -> Message {
    let text = String::from_utf8(message.as_bytes().to_vec()).unwrap();
    assert!(text.contains(from), "{text} has no {from}");
    Message::parse(text.replace(from, to).into_bytes().into()).unwrap()
}

fn response(request: &Message, code: u16) -> Message {
    let source: SocketAddr = PEER.parse().unwrap();
    let tag = (code > 100).then_some("b");
    response_to(request, source, Status::of(code), None, tag).finish().unwrap()
}

/// The ACK that a client transaction of the far side sends for a final response of ours.
fn ack_of(request: &Message) -> Message {
    let ack = altered(request, "INVITE", "ACK");
    altered(&ack, "To: <sip:bob@192.0.2.9>", "To: <sip:bob@192.0.2.9>;tag=b")
}

/// The layer with its clock, writing down what it does.
struct Stage {
    layer: Transactions,
    now: Instant,
    log: Vec<String>,
    /// What was sent, in order.
    sent: Vec<(Hop, Message)>,
    /// The requests that the TU owes an answer.
    asked: Vec<ServerId>,
}

impl Stage {
    fn new() -> Stage {
        Stage::with_limit(MAX_TRANSACTIONS)
    }

    fn with_limit(limit: usize) -> Stage {
        let layer = Transactions::new(TimerSettings::default(), limit);
        Stage { layer, now: Instant::ZERO, log: Vec::new(), sent: Vec::new(), asked: Vec::new() }
    }

    fn receive(&mut self, message: &Message, hop: Hop) {
        assert_eq!(message.fault(), None, "{:?}", message.as_bytes());
        self.layer.receive(self.now, message.clone(), hop);
        self.drain();
    }

    fn send(&mut self, request: &Message, hop: Hop) -> ClientId {
        let id = self.layer.send_request(self.now, request.clone(), hop);
        self.drain();
        id
    }

    fn cancel(&mut self, id: ClientId) {
        self.layer.cancel(self.now, id, Some(b"SIP;cause=200;text=\"Call completed elsewhere\""));
        self.drain();
    }

    fn respond(&mut self, id: ServerId, code: u16) -> bool {
        let Some((request, _)) = self.layer.request(id) else { return false };
        let response = response(request, code);
        let sent = self.layer.respond(self.now, id, response);
        self.drain();
        sent
    }

    fn transport_failed(&mut self, hop: Hop) {
        self.layer.transport_failed(self.now, hop, |_| PeerIdentity::NONE);
        self.drain();
    }

    /// Lets the time pass to `millis` after the beginning, from deadline to deadline.
    fn until(&mut self, millis: u64) {
        let end = Instant::from_millis(millis);
        while let Some(at) = self.layer.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.layer.on_time(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// The lines since the last call, each with its milliseconds.
    #[track_caller]
    fn expect(&mut self, lines: &[&str]) {
        let log = std::mem::take(&mut self.log);
        assert_eq!(log, lines);
    }

    /// Nothing is left, and nothing was left unsaid.
    #[track_caller]
    fn is_over(&mut self) {
        self.expect(&[]);
        assert!(self.layer.is_empty(), "{:?}", self.layer);
        assert_eq!(self.layer.armed_timers(), 0);
        assert!(self.layer.next_deadline().is_none() && self.layer.poll().is_none());
        assert_eq!(self.layer.keys(), 0);
    }

    fn drain(&mut self) {
        while let Some(effect) = self.layer.poll() {
            let line = self.describe(&effect);
            self.log.push(format!("{} {line}", self.now.as_micros() / 1_000));
        }
    }

    fn describe(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::Transmit { hop, message, retransmission } => {
                assert_eq!(message.fault(), None, "{:?}", message.as_bytes());
                self.sent.push((*hop, message.clone()));
                format!("{} {}", if *retransmission { "again" } else { "send" }, name(message))
            }
            Effect::Request { server, request, hop: _ } => {
                self.asked.push(*server);
                format!("tu: {}", name(request))
            }
            Effect::Cancel { server, invite, request, hop: _ } => {
                self.asked.push(*server);
                assert_eq!(request.method(), Some(&Method::Cancel));
                format!("tu: CANCEL of {}", if invite.is_some() { "INVITE" } else { "nothing" })
            }
            Effect::Ack { request, hop: _ } => format!("tu: {}", name(request)),
            Effect::Response { client: _, response, hop: _ } => format!("tu: {}", name(response)),
            Effect::ClientEnded { client: _, why } => format!("tu: {why:?}"),
            Effect::Unreachable { client: _ } => "unreachable".to_owned(),
            Effect::CancelLost { hop: _ } => "tu: CANCEL lost".to_owned(),
            Effect::ClientGone { client: _ } => "client gone".to_owned(),
            Effect::ServerEnded { server: _, why } => format!("tu: {why:?}"),
            Effect::ServerGone { server } => {
                self.asked.retain(|asked| asked != server);
                "server gone".to_owned()
            }
            Effect::Dropped { hop: _, why } => format!("dropped: {}", why.as_str()),
        }
    }
}

/// `INVITE`, or `180 INVITE`.
fn name(message: &Message) -> String {
    let method = message.cseq().unwrap().method.label();
    match message.status() {
        Some(status) => format!("{status} {method}"),
        None => method.to_owned(),
    }
}
