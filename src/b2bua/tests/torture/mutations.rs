//! The messages of the RFCs, broken further: bytes put in, left out, replaced, and taken from another
//! message. Whatever comes of them, nothing is left.

use std::time::Duration;

use super::{Case, answer_to_offer, rfc4475, rfc5118, tag_of};
use crate::b2bua::Input;
use crate::b2bua::tests::lab::*;
use crate::base::{Hop, ListenerId, PeerIdentity, Random, Transport};
use crate::sip::{Message, Method};

/// What a message is likely to trip over.
const WORDS: &[&[u8]] = &[
    b"\\", b"\"", b"\\\0", b"\\\x07", b"\x7f", b"\0", b"\r\n ", b";", b",", b"<", b">", b":::", b"%3B",
    b"\\\"", b";tag=", b" ", b"INVITE", b"ACK",
];

/// How far from its beginning a message is broken: the headers of most.
const REACH: usize = 600;

fn below(random: &mut Random, limit: usize) -> usize {
    random.below(limit as u32) as usize
}

fn mutated(cases: &[&Case], random: &mut Random) -> Vec<u8> {
    let mut bytes = cases[below(random, cases.len())].bytes.to_vec();
    for _ in 0..below(random, 4) {
        let at = below(random, bytes.len().min(REACH));
        match below(random, 4) {
            0 => drop(bytes.splice(at..at, WORDS[below(random, WORDS.len())].iter().copied())),
            1 => bytes[at] = random.bits() as u8,
            2 => drop(bytes.drain(at + 1..(at + 1 + below(random, 8)).min(bytes.len()))),
            _ => {
                let other = cases[below(random, cases.len())].bytes;
                let from = below(random, other.len());
                let length = below(random, 60).min(other.len() - from);
                drop(bytes.splice(at..at, other[from..from + length].iter().copied()));
            }
        }
    }
    bytes
}

/// Peers that answer what reaches them: INVITEs in every way, the others with 200.
fn answer_everything(lab: &mut Lab, random: &mut Random) {
    while let Some((hop, request)) = lab.sent.pop_front() {
        let asked = |peer: &&str| hop.peer.to_string() == *peer && request.is_request();
        let Some(peer) = [PBX, CARRIER_A, CARRIER_B].into_iter().find(asked) else { continue };
        let answer = match request.method() {
            Some(Method::Ack) => continue,
            Some(Method::Invite) => answer_to_invite(peer, &request, random),
            Some(_) | None => respond(peer, &request, 200, "x", None),
        };
        lab.receive(peer, &answer);
    }
}

fn answer_to_invite(peer: &str, invite: &Message, random: &mut Random) -> Message {
    let status = [180, 200, 200, 486, 503][below(random, 5)];
    let sdp = answer_to_offer(&invite.body());
    respond(peer, invite, status, tag_of(peer), (status < 300).then_some(&sdp))
}

#[test]
fn what_is_broken_further_leaves_nothing() {
    let cases: Vec<&Case> = rfc4475::CASES.iter().chain(rfc5118::CASES).collect();
    let mut random = Random::from_number(4475);
    for _ in 0..20 {
        let mut lab = Lab::new();
        // What is put into a user crosses, were it a tag of this side.
        lab.looks_for_leaks = false;
        for _ in 0..100 {
            let listener = ListenerId(u16::from(below(&mut random, 2) == 1));
            let peer = if listener == ListenerId(0) { PBX } else { CARRIER_A }.parse().unwrap();
            let hop = Hop { listener, transport: Transport::Udp, peer, identity: PeerIdentity::NONE };
            let bytes = mutated(&cases, &mut random).into();
            lab.input(Input::Received { hop, bytes });
            answer_everything(&mut lab, &mut random);
        }
        // Longer than any callee may ring, and than any 2xx waits for its ACK.
        for _ in 0..10 {
            lab.advance(Duration::from_secs(60));
            answer_everything(&mut lab, &mut random);
        }
        lab.expect_nothing_left();
    }
}
