//! RTP bleed and RTP inject (CVE-2017-14099, CVE-2025-53399 and their kind): every attacker against every
//! way of latching, at every time of a call. The tables say what each gets; docs/media.md says it in words.
//!
//! Each scene is a call between A, which is where its SDP says, and the victim on side B, with an attacker
//! at B's port. It runs on virtual time in steps of 1 ms.

use std::net::SocketAddr;

use expect_test::expect;

use super::{
    Codec, Format, Formats, Forward, Key, Latch, PortKind, Press, RemoteMedia, Side, Stream, StreamKind,
    Transform,
};
use crate::base::Instant;

const A: &str = "10.0.0.9:4000";
const STRANGER: &str = "192.0.2.66:4000";
/// Behind the victim's NAT, or on its host.
const SAME_HOST: &str = "203.0.113.7:4444";
const VICTIMS_SSRC: u32 = 9;

/// Where the victim is, and what its SDP says of that.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// Where its SDP says.
    Plain,
    /// Its SDP says a private address; its NAT has the address that signals.
    Nated,
    /// Neither where its SDP says nor where it signals.
    Elsewhere,
}

impl Victim {
    fn signalled(self) -> &'static str {
        match self {
            Victim::Plain => "203.0.113.7:4000",
            Victim::Nated | Victim::Elsewhere => "192.168.1.10:4000",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Victim::Plain => "203.0.113.7:4000",
            Victim::Nated => "203.0.113.7:61000",
            Victim::Elsewhere => "198.51.100.77:61000",
        }
    }
}

/// When the attack begins; it goes on to the end.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Long before the victim's first packet.
    Before,
    /// Just after its first packet.
    During,
    /// When the victim has been heard for long, and goes on.
    After,
    /// When it has been heard, and falls silent for five seconds: on hold.
    Silent,
}

const PHASES: [Phase; 4] = [Phase::Before, Phase::During, Phase::After, Phase::Silent];

impl Phase {
    /// When the attack begins and the scene ends, in ms.
    fn attack(self) -> (u64, u64) {
        match self {
            Phase::Before => (0, 4_000),
            Phase::During => (3, 3_000),
            Phase::After => (1_000, 3_000),
            Phase::Silent => (1_000, 8_000),
        }
    }

    fn victim_speaks(self, ms: u64) -> bool {
        match self {
            Phase::Before => ms >= 2_000,
            Phase::During | Phase::After => true,
            Phase::Silent => !(1_000..6_000).contains(&ms),
        }
    }

    /// When the victim begins to speak for good, and how long it may take until it is known.
    fn victim_is_known(self) -> u64 {
        match self {
            Phase::Before => 2_000 + 100,
            Phase::During | Phase::After => 0,
            Phase::Silent => 6_000 + 100,
        }
    }
}

/// What the attacker sends on the port for RTP.
#[derive(Clone, Copy, Debug)]
enum Forgery {
    /// A port scan's: the same packet each 10 ms.
    Scan,
    /// A payload type that nobody listed, otherwise well made.
    Unlisted,
    /// A well-made stream of its own SSRC, a packet each ms.
    Flood,
    /// The same with timestamps that run as slowly as sound does.
    SlyFlood,
    /// A well-made stream of its own SSRC at the pace of sound.
    Steady,
    /// The victim's SSRC, and sequence numbers that jump about.
    RightSsrc,
    /// The victim's SSRC and sequence, each packet a little ahead of the victim's.
    Informed,
}

const FORGERIES: [Forgery; 7] = [
    Forgery::Scan,
    Forgery::Unlisted,
    Forgery::Flood,
    Forgery::SlyFlood,
    Forgery::Steady,
    Forgery::RightSsrc,
    Forgery::Informed,
];

impl Forgery {
    fn packet(self, ms: u64) -> Option<Vec<u8>> {
        let own = 0x0bad_cafe;
        match self {
            Forgery::Scan => ms.is_multiple_of(10).then(|| rtp(0, 61_000, 70_000, own)),
            Forgery::Unlisted => paced(ms).map(|number| rtp(97, number, u32::from(number) * 160, own)),
            Forgery::Flood => Some(rtp(0, ms as u16, ms as u32 * 160, own)),
            Forgery::SlyFlood => Some(rtp(0, ms as u16, ms as u32 * 8, own)),
            Forgery::Steady => paced(ms).map(|number| rtp(0, number, u32::from(number) * 160, own)),
            Forgery::RightSsrc => {
                paced(ms).map(|number| rtp(0, number.wrapping_mul(7_919), ms as u32 * 8, VICTIMS_SSRC))
            }
            Forgery::Informed => {
                paced(ms).map(|number| rtp(0, number + 1, u32::from(number + 1) * 160, VICTIMS_SSRC))
            }
        }
    }
}

/// What the attacker sends of RTCP, each 10 ms.
#[derive(Clone, Copy, Debug)]
enum RtcpForgery {
    WrongSsrc,
    RightSsrc,
}

const RTCP_FORGERIES: [RtcpForgery; 2] = [RtcpForgery::WrongSsrc, RtcpForgery::RightSsrc];

impl RtcpForgery {
    fn packet(self, ms: u64) -> Option<Vec<u8>> {
        let ssrc = match self {
            RtcpForgery::WrongSsrc => 0x0bad_cafe,
            RtcpForgery::RightSsrc => VICTIMS_SSRC,
        };
        ms.is_multiple_of(10).then(|| rtcp(ssrc))
    }
}

fn paced(ms: u64) -> Option<u16> {
    ms.is_multiple_of(20).then_some((ms / 20) as u16)
}

fn rtp(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.extend_from_slice(&[0xd5; 160]);
    bytes
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn above(source: SocketAddr) -> SocketAddr {
    SocketAddr::new(source.ip(), source.port() + 1)
}

/// One call under attack.
struct Scene {
    stream: Stream,
    victim: Victim,
    phase: Phase,
    attacker: SocketAddr,
    is_multiplexed: bool,
    /// The last time in ms that a packet of the attacker crossed, or one was sent to it.
    last_success: Option<u64>,
    /// The last times that a packet of the victim crossed, and that one was sent to it.
    heard: u64,
    served: u64,
}

impl Scene {
    fn new(
        latch: Latch,
        kind: StreamKind,
        is_multiplexed: bool,
        victim: Victim,
        phase: Phase,
        attacker: &str,
    ) -> Scene {
        let mut stream = Stream::default();
        let formats = Formats::of([
            Format { payload_type: 0, codec: Codec::Pcmu, clock_hz: 8_000 },
            Format { payload_type: 101, codec: Codec::TelephoneEvent, clock_hz: 8_000 },
        ]);
        let a = RemoteMedia { kind, formats, ..RemoteMedia::plain(at(A), at(A).ip()) };
        let signalling = "203.0.113.7".parse().unwrap();
        let mut b =
            RemoteMedia { kind, formats, latch, ..RemoteMedia::plain(at(victim.signalled()), signalling) };
        if is_multiplexed {
            b.rtcp = b.rtp;
        }
        stream.set_remote(Side::A, Some(a));
        stream.set_remote(Side::B, Some(b));
        let attacker = at(attacker);
        Scene { stream, victim, phase, attacker, is_multiplexed, last_success: None, heard: 0, served: 0 }
    }

    /// Plays the scene and says in one letter how it ends.
    fn play(mut self, port: PortKind, forge: impl Fn(u64) -> Option<Vec<u8>>) -> char {
        let (begins, ends) = self.phase.attack();
        for ms in 0..ends {
            self.friends(ms);
            if ms >= begins
                && let Some(packet) = forge(ms)
            {
                self.attack(ms, port, &packet);
            }
        }
        let is_well = ends - self.heard.min(self.served) < 100;
        match self.last_success {
            None if is_well => '.',
            None => 'x',
            Some(ms) if ms < self.phase.victim_is_known() && is_well => 'b',
            Some(_) => 'B',
        }
    }

    /// A and the victim talk.
    fn friends(&mut self, ms: u64) {
        let Some(number) = paced(ms) else { return };
        let packet = rtp(0, number, u32::from(number) * 160, VICTIMS_SSRC);
        if let Some(to) = self.send(Side::A, PortKind::Rtp, at(A), &packet, ms) {
            if to == at(self.victim.source()) {
                self.served = ms;
            }
            self.suspect(to, ms);
        }
        if let Some(to) = self.send(Side::A, PortKind::Rtcp, above(at(A)), &rtcp(1), ms) {
            self.suspect(to, ms);
        }
        if !self.phase.victim_speaks(ms) {
            return;
        }
        let source = at(self.victim.source());
        if self.send(Side::B, PortKind::Rtp, source, &packet, ms).is_some() {
            self.heard = ms;
        }
        let (port, source) = match self.is_multiplexed {
            true => (PortKind::Rtp, source),
            false => (PortKind::Rtcp, above(source)),
        };
        self.send(Side::B, port, source, &rtcp(VICTIMS_SSRC), ms);
    }

    fn suspect(&mut self, to: SocketAddr, ms: u64) {
        if to == self.attacker {
            self.last_success = Some(ms);
        }
    }

    fn attack(&mut self, ms: u64, port: PortKind, packet: &[u8]) {
        if self.send(Side::B, port, self.attacker, packet, ms).is_some() {
            self.last_success = Some(ms);
        }
    }

    fn send(
        &mut self,
        side: Side,
        port: PortKind,
        source: SocketAddr,
        packet: &[u8],
        ms: u64,
    ) -> Option<SocketAddr> {
        match self.stream.receive(side, port, source, packet, Instant::from_millis(ms)).forward {
            Forward::To(destination) => Some(destination.address),
            Forward::Drop(_) | Forward::Taken => None,
        }
    }
}

const CELLS: [(Latch, Victim); 8] = [
    (Latch::Strict, Victim::Plain),
    (Latch::Signalled, Victim::Plain),
    (Latch::Signalled, Victim::Nated),
    (Latch::Learn, Victim::Plain),
    (Latch::Learn, Victim::Nated),
    (Latch::Learn, Victim::Elsewhere),
    // Who is not served by these at all:
    (Latch::Strict, Victim::Nated),
    (Latch::Signalled, Victim::Elsewhere),
];

/// The rows of a table: for each phase one word, with a letter for each forgery.
fn table(forgeries: &str, word: impl Fn(Latch, Victim, &str, Phase) -> String) -> String {
    let width = forgeries.len().max(6);
    let mut text = format!("{:30}", "");
    PHASES.iter().for_each(|phase| text += &format!("  {:width$}", format!("{phase:?}")));
    text = format!("{}\n{:30}", text.trim_end(), "");
    PHASES.iter().for_each(|_| text += &format!("  {forgeries:width$}"));
    text = format!("{}\n", text.trim_end());
    for (latch, victim) in CELLS {
        for (name, attacker) in [("stranger", STRANGER), ("same host", SAME_HOST)] {
            let mut row = format!("{:10}{:11}{name:9}", format!("{latch:?}"), format!("{victim:?}"));
            for phase in PHASES {
                row += &format!("  {:width$}", word(latch, victim, attacker, phase));
            }
            text += &format!("{}\n", row.trim_end());
        }
    }
    text
}

/// `.` nothing of the attacker crossed and nothing was sent to it; `b` something was, until the victim was
/// heard; `B` afterwards too; `x` nothing was, but the victim was not served either.
#[test]
fn what_each_attacker_gets_on_the_port_for_rtp() {
    // s scan, u unlisted payload type, f flood, y sly flood, t steady, r right SSRC, i informed
    let rtp_table = |kind| {
        table("sufytri", |latch, victim, attacker, phase| {
            let play = |forgery: Forgery| {
                let scene = Scene::new(latch, kind, false, victim, phase, attacker);
                scene.play(PortKind::Rtp, |ms| forgery.packet(ms))
            };
            FORGERIES.into_iter().map(play).collect()
        })
    };
    let plain = rtp_table(StreamKind::Rtp);
    expect![[r#"
                                        Before   During   After    Silent
                                        sufytri  sufytri  sufytri  sufytri
        Strict    Plain      stranger   .......  .......  .......  .......
        Strict    Plain      same host  .......  .......  .......  .......
        Signalled Plain      stranger   .......  .......  .......  .......
        Signalled Plain      same host  ...bb.b  .......  .......  .......
        Signalled Nated      stranger   .......  .......  .......  .......
        Signalled Nated      same host  ...BB.B  .......  .......  ......b
        Learn     Plain      stranger   ...bb.b  .......  .......  .......
        Learn     Plain      same host  ...bb.b  .......  .......  .......
        Learn     Nated      stranger   ...bb.b  .......  .......  .......
        Learn     Nated      same host  ...BB.B  .......  .......  ......b
        Learn     Elsewhere  stranger   ..xBB.B  ..xxx.x  .......  .......
        Learn     Elsewhere  same host  x.xBBxB  x.xBBxB  ...BB.B  ...BB.B
        Strict    Nated      stranger   xxxxxxx  xxxxxxx  xxxxxxx  xxxxxxx
        Strict    Nated      same host  xxxxxxx  xxxxxxx  xxxxxxx  xxxxxxx
        Signalled Elsewhere  stranger   xxxxxxx  xxxxxxx  xxxxxxx  xxxxxxx
        Signalled Elsewhere  same host  xxxBBxB  xxxBBxB  xxxBBxB  xxxBBxB
    "#]]
    .assert_eq(&plain);
    // What is secured is no better known by its outside.
    assert_eq!(rtp_table(StreamKind::SecuredRtp), plain);
}

#[test]
fn what_each_attacker_gets_with_rtcp_on_its_own_port_and_on_a_shared_one() {
    // w wrong SSRC, r right SSRC
    let rtcp_table = |is_multiplexed: bool| {
        let port = if is_multiplexed { PortKind::Rtp } else { PortKind::Rtcp };
        table("wr", |latch, victim, attacker, phase| {
            let play = |forgery: RtcpForgery| {
                let scene = Scene::new(latch, StreamKind::Rtp, is_multiplexed, victim, phase, attacker);
                scene.play(port, |ms| forgery.packet(ms))
            };
            RTCP_FORGERIES.into_iter().map(play).collect()
        })
    };
    let nothing_crosses = expect![[r#"
                                        Before  During  After   Silent
                                        wr      wr      wr      wr
        Strict    Plain      stranger   ..      ..      ..      ..
        Strict    Plain      same host  ..      ..      ..      ..
        Signalled Plain      stranger   ..      ..      ..      ..
        Signalled Plain      same host  ..      ..      ..      ..
        Signalled Nated      stranger   ..      ..      ..      ..
        Signalled Nated      same host  ..      ..      ..      ..
        Learn     Plain      stranger   ..      ..      ..      ..
        Learn     Plain      same host  ..      ..      ..      ..
        Learn     Nated      stranger   ..      ..      ..      ..
        Learn     Nated      same host  ..      ..      ..      ..
        Learn     Elsewhere  stranger   ..      ..      ..      ..
        Learn     Elsewhere  same host  ..      ..      ..      ..
        Strict    Nated      stranger   xx      xx      xx      xx
        Strict    Nated      same host  xx      xx      xx      xx
        Signalled Elsewhere  stranger   xx      xx      xx      xx
        Signalled Elsewhere  same host  xx      xx      xx      xx
    "#]];
    nothing_crosses.assert_eq(&rtcp_table(false));
    nothing_crosses.assert_eq(&rtcp_table(true));
}

/// Two keys wait, one of them begun, when the party across is transferred: its port is one of ours now, and
/// somebody else is behind it.
#[test]
fn keys_for_who_has_left_are_not_pressed_to_who_comes() {
    let formats = Formats::of([
        Format { payload_type: 0, codec: Codec::Pcmu, clock_hz: 8_000 },
        Format { payload_type: 96, codec: Codec::TelephoneEvent, clock_hz: 8_000 },
    ]);
    let remote = |address: &str| {
        let rtp: SocketAddr = address.parse().unwrap();
        RemoteMedia { formats, ..RemoteMedia::plain(rtp, rtp.ip()) }
    };
    let ours =
        |address| RemoteMedia { kind: StreamKind::SecuredRtp, latch: Latch::Strict, ..remote(address) };
    let mut stream = Stream::default();
    stream.set_remote(Side::A, Some(remote(A)));
    stream.set_remote(Side::B, Some(remote("203.0.113.7:4000")));
    let mut changed = |then: Option<RemoteMedia>, keys: &[u8]| {
        for sign in keys {
            let key = Key::of_sign(*sign).unwrap();
            let press = Press { key, duration: std::time::Duration::from_millis(100) };
            assert!(stream.press(Side::A, press, Instant::ZERO));
        }
        let mut packet = [0; 172];
        packet[0] = 0x80;
        let speak = |stream: &mut Stream| {
            stream.receive(Side::A, PortKind::Rtp, A.parse().unwrap(), &packet, Instant::ZERO).transform
        };
        let before = speak(&mut stream);
        stream.move_remote(Side::B, then, Instant::ZERO);
        (before != Transform::Keep, speak(&mut stream) != Transform::Keep)
    };
    assert_eq!(changed(Some(ours("10.0.0.5:10000")), b"12"), (true, false));
    assert_eq!(changed(Some(ours("10.0.0.5:10004")), b"12"), (true, false));
    assert_eq!(changed(Some(remote("203.0.113.8:4000")), b""), (false, false));
    // Who only moves is still who the keys are for.
    assert_eq!(changed(Some(remote("203.0.113.7:4002")), b"12"), (true, true));
}

/// A party behind a NAT moves to another of its devices. The old one goes on until the answer is there, and
/// is of the address that is vouched for: it must not be taken for the new one.
#[test]
fn who_has_moved_is_not_learned_where_it_was() {
    let (before, after) = ("203.0.113.7:61000", "203.0.113.7:62000");
    let nated = |address: &str| {
        RemoteMedia::plain(
            address.parse().unwrap(),
            Victim::Nated.source().parse::<SocketAddr>().unwrap().ip(),
        )
    };
    let mut stream = Stream::default();
    stream.set_remote(Side::A, Some(RemoteMedia::plain(A.parse().unwrap(), "10.0.0.9".parse().unwrap())));
    stream.set_remote(Side::B, Some(nated("192.168.1.10:4000")));
    let speak = |stream: &mut Stream, source: &str, ssrc: u8, from_ms: u64, to_ms: u64| {
        let mut crossed = 0;
        for tick in from_ms / 20..to_ms / 20 {
            let mut packet = vec![0x80, 0];
            packet.extend((tick as u16).to_be_bytes());
            packet.extend((tick as u32 * 160).to_be_bytes());
            packet.extend([0, 0, 0, ssrc]);
            packet.resize(172, 0);
            let now = Instant::from_millis(20 * tick);
            let at = source.parse().unwrap();
            let verdict = stream.receive(Side::B, PortKind::Rtp, at, &packet, now);
            crossed += u32::from(matches!(verdict.forward, Forward::To(_)));
        }
        crossed
    };
    assert!(speak(&mut stream, before, 1, 0, 1_000) >= 46);
    stream.move_remote(Side::B, Some(nated("192.168.1.11:4000")), Instant::from_millis(1_000));
    assert_eq!(speak(&mut stream, before, 1, 1_000, 1_200), 10, "what was on its way");
    assert!(speak(&mut stream, after, 2, 1_200, 3_200) >= 96);
    assert_eq!(stream.reachable_at(Side::B), after.parse().ok());
    // One that says that it has moved, and has not.
    stream.move_remote(Side::B, Some(nated("192.168.1.11:4002")), Instant::from_millis(3_200));
    assert!(speak(&mut stream, after, 2, 3_200, 5_200) >= 96);
}
