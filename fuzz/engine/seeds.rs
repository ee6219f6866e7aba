//! Where the fuzzer begins: calls that go all the way, written with the names of `words.rs`. The test
//! that replays the corpus makes files of them, and checks that they get where their names say.

use drawbridge::sip::{Header, Method};

use super::words::{BODIES, CALLED, EXTRAS, METHODS, PAUSES_MS, PEERS, STATUSES};

/// The newest message that the engine sent to a side.
const TRUSTED: u8 = 0;
const UNTRUSTED: u8 = 128;

const SDP: u8 = 1;
const HOLD: u8 = 2;
const FRAGMENT: u8 = 7;
const NONE: u8 = 0;
const RELIABLE: [Header; 3] = [Header::Require, Header::RSeq, Header::Supported];

/// One seed: its name, its bytes, how many records it leads to, and the status of the first.
pub struct Seed {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub records: usize,
    pub status: u16,
}

/// Bytes, as the interpreter reads them.
#[derive(Clone, Default)]
struct Script(Vec<u8>);

impl Script {
    fn step(mut self, bytes: &[u8]) -> Script {
        self.0.extend_from_slice(bytes);
        self
    }

    fn end(self, extras: &[Header], body: u8) -> Script {
        let mut wanted = [0u8; 3];
        for header in extras {
            let place = place_of(EXTRAS.iter().map(|(known, _)| known), header);
            wanted[usize::from(place) / 8] |= 1 << (place % 8);
        }
        assert!(usize::from(body) < BODIES.len());
        self.step(&wanted).step(&[body])
    }

    fn invite(self, peer: &str, called: &str, extras: &[Header], body: u8) -> Script {
        let peer = place_of(PEERS.iter().map(|(address, _, _)| address), &peer);
        self.step(&[0, peer, place_of(CALLED.iter(), &called)]).end(extras, body)
    }

    fn request(self, of: u8, method: Method, sequence: u8, extras: &[Header], body: u8) -> Script {
        let method = place_of(METHODS.iter(), &method);
        // 0 means the number of the message itself.
        let sequence = if sequence == 0 { 0 } else { sequence + 15 };
        self.step(&[2, of, method, sequence]).end(extras, body)
    }

    fn respond(self, to: u8, status: u16, extras: &[Header], body: u8) -> Script {
        self.step(&[4, to, place_of(STATUSES.iter(), &status), 0]).end(extras, body)
    }

    fn pause(self, milliseconds: u64) -> Script {
        self.step(&[9, place_of(PAUSES_MS.iter(), &milliseconds)])
    }
}

fn place_of<'t, T: PartialEq + 't>(table: impl Iterator<Item = &'t T>, wanted: &T) -> u8 {
    let mut table = table;
    table.position(|entry| entry == wanted).expect("it is in the table") as u8
}

const PBX: &str = "10.0.0.9:5060";
const CARRIER: &str = "198.51.100.1:5060";

/// Where a step that has no names of its own begins: `World::step`.
const REPEAT: u8 = 8;
const RELAY: u8 = 10;
const BREAK: u8 = 11;

/// A call from the PBX that is answered and ACKed.
fn answered(extras: &[Header]) -> Script {
    Script::default()
        .invite(PBX, "+14155550101", extras, SDP)
        .respond(UNTRUSTED, 180, &[], NONE)
        .respond(UNTRUSTED, 200, extras, SDP)
        .request(TRUSTED, Method::Ack, 0, &[], NONE)
}

/// A call from a carrier that is answered and ACKed.
fn answered_by_pbx(carrier: &str) -> Script {
    Script::default().invite(carrier, "+14155550101", &[], SDP).respond(TRUSTED, 200, &[], SDP).request(
        UNTRUSTED,
        Method::Ack,
        0,
        &[],
        NONE,
    )
}

/// All seeds.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = calls();
    seeds.extend(changes());
    seeds.extend(faults());
    seeds
}

fn seed(name: &'static str, script: Script, records: usize, status: u16) -> Seed {
    Seed { name, bytes: script.0, records, status }
}

/// The PBX hangs up, with this CSeq.
fn over(script: Script, sequence: u8) -> Script {
    script.request(TRUSTED, Method::Bye, sequence, &[], NONE).respond(UNTRUSTED, 200, &[], NONE)
}

fn calls() -> Vec<Seed> {
    let outgoing = |extras: &[Header], body| Script::default().invite(PBX, "+14155550101", extras, body);
    let callee_ends =
        answered(&[]).request(UNTRUSTED, Method::Bye, 1, &[], NONE).respond(TRUSTED, 200, &[], NONE);
    let late_offer =
        outgoing(&[], NONE).respond(UNTRUSTED, 200, &[], SDP).request(TRUSTED, Method::Ack, 0, &[], HOLD);
    let cancelled = outgoing(&[], SDP)
        .respond(UNTRUSTED, 180, &[], NONE)
        .request(TRUSTED, Method::Cancel, 0, &[], NONE)
        .respond(UNTRUSTED, 200, &[], NONE)
        .respond(UNTRUSTED + 1, 487, &[], NONE);
    let reliable = outgoing(&[Header::Supported], SDP)
        .respond(UNTRUSTED, 183, &RELIABLE, SDP)
        .respond(UNTRUSTED, 200, &[], NONE)
        .request(TRUSTED, Method::Prack, 2, &[], NONE)
        .respond(UNTRUSTED + 1, 200, &[], NONE)
        .request(TRUSTED, Method::Ack, 1, &[], NONE);
    let failover = outgoing(&[], SDP)
        .respond(UNTRUSTED, 503, &[], NONE)
        .respond(UNTRUSTED, 200, &[], SDP)
        .request(TRUSTED, Method::Ack, 0, &[], NONE);
    let challenged = outgoing(&[], SDP)
        .respond(UNTRUSTED, 401, &[Header::WwwAuthenticate], NONE)
        .respond(UNTRUSTED, 200, &[], SDP)
        .request(TRUSTED, Method::Ack, 0, &[], NONE);
    let redirected = outgoing(&[], SDP)
        .respond(UNTRUSTED, 302, &[], NONE)
        .respond(UNTRUSTED, 200, &[], SDP)
        .request(TRUSTED, Method::Ack, 0, &[], NONE);
    vec![
        seed("answered", over(answered(&[]), 2), 1, 200),
        seed("callee-ends", callee_ends, 1, 200),
        seed("late-offer", over(late_offer, 2), 1, 200),
        seed("cancelled", cancelled, 1, 487),
        seed("reliable", over(reliable, 3), 1, 200),
        seed("failover", over(failover, 2), 1, 200),
        seed("challenged", over(challenged, 2), 1, 200),
        seed("redirected", over(redirected, 2), 1, 200),
        seed("busy", outgoing(&[], SDP).respond(UNTRUSTED, 603, &[], NONE), 1, 603),
        seed("nobody-answers", outgoing(&[], SDP).pause(200_000), 1, 503),
        seed("carrier-over-tcp", answered_by_pbx("198.51.100.2:40001").step(&[BREAK, 0, UNTRUSTED]), 1, 200),
        seed("stranger", Script::default().invite("192.0.2.66:5060", "911", &[], SDP), 0, 0),
    ]
}

fn changes() -> Vec<Seed> {
    let timers = [Header::Supported, Header::SessionExpires];
    let reinvite = answered(&[])
        .request(TRUSTED, Method::Invite, 2, &[], HOLD)
        .respond(UNTRUSTED, 200, &[], SDP)
        .request(TRUSTED, Method::Ack, 0, &[], NONE);
    let update = answered(&[Header::Allow]).request(UNTRUSTED, Method::Update, 1, &[], HOLD).respond(
        TRUSTED,
        200,
        &[],
        SDP,
    );
    let refreshed = answered(&timers)
        .pause(60_000)
        .respond(UNTRUSTED, 200, &timers, NONE)
        .request(TRUSTED, Method::Update, 2, &timers, NONE)
        .pause(60_000)
        .respond(UNTRUSTED, 200, &timers, NONE);
    let consumed = answered(&[])
        .request(TRUSTED, Method::Refer, 2, &[Header::ReferTo], NONE)
        .respond(UNTRUSTED, 200, &[], SDP)
        .respond(TRUSTED, 200, &[], NONE)
        .respond(UNTRUSTED + 1, 200, &[], SDP)
        .respond(UNTRUSTED, 200, &[], SDP)
        .respond(TRUSTED, 200, &[], NONE)
        .request(UNTRUSTED, Method::Bye, 3, &[], NONE);
    let relayed = answered_by_pbx(CARRIER)
        .request(UNTRUSTED, Method::Refer, 2, &[Header::ReferTo], NONE)
        .respond(TRUSTED, 202, &[], NONE)
        .request(TRUSTED, Method::Notify, 2, &[Header::Event, Header::SubscriptionState], FRAGMENT)
        .respond(UNTRUSTED, 200, &[], NONE);
    vec![
        seed("reinvite", over(reinvite, 3), 1, 200),
        seed("update", over(update, 2), 1, 200),
        seed("refreshed", over(refreshed, 3), 1, 200),
        seed("refer-consumed", consumed, 1, 200),
        seed("refer-relayed", relayed, 1, 200),
    ]
}

fn faults() -> Vec<Seed> {
    let ringing =
        || Script::default().invite(PBX, "+14155550101", &[], SDP).respond(UNTRUSTED, 180, &[], NONE);
    let no_ports = Script::default().step(&[RELAY, 0]).invite(PBX, "+14155550101", &[], SDP);
    let late_relay = Script::default().step(&[RELAY, 2]).invite(PBX, "911", &[], SDP).step(&[RELAY, 3]);
    vec![
        seed("repeated", over(answered(&[]).step(&[REPEAT, 255, 0]), 2), 1, 200),
        seed("silence", answered(&[]).step(&[RELAY, 1]), 1, 200),
        seed("no-ports", no_ports, 1, 503),
        seed("late-relay", late_relay.respond(UNTRUSTED, 200, &[], SDP), 1, 200),
        seed("reload", over(answered(&[]).step(&[BREAK, 10, 0]), 2), 1, 200),
        seed("shutdown", answered(&[]).step(&[BREAK, 14, 0]).respond(TRUSTED, 200, &[], NONE), 1, 200),
        seed("abandoned", ringing().step(&[BREAK, 15, 0]), 1, 503),
        seed(
            "undelivered",
            Script::default().invite(PBX, "911", &[], SDP).step(&[BREAK, 6, UNTRUSTED]),
            1,
            503,
        ),
    ]
}
