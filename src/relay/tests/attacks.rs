//! RTP bleed and RTP inject over real sockets and both engines. Which attack gets what in theory is in
//! `media/attack_tests.rs`; here is seen that nothing else arrives.

use std::net::UdpSocket;

use super::*;
use crate::media::Latch;

/// What the attacker's packets carry, and nobody else's.
const MARK: u8 = 0xee;
/// Packets of one attack.
const BURST: u16 = 30;
/// What [`rtp`] sends with.
const VICTIMS_SSRC: [u8; 4] = [0xca, 0xfe, 0xba, 0xbe];

/// When the attack comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The victim's SDP is in force, and nothing was heard of it.
    Before,
    /// Its first packet came.
    During,
    /// It has been heard.
    After,
    /// It said the same again: nothing is learned anew.
    Again,
}

const PHASES: [Phase; 4] = [Phase::Before, Phase::During, Phase::After, Phase::Again];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Port {
    Rtp,
    Rtcp,
    /// RTCP on the port for RTP.
    Shared,
}

/// What is forged, apart from the address: another SSRC and one sequence number, as a port scan has them,
/// or the victim's own and those that come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Forgery {
    Scan,
    Informed,
}

#[derive(Clone, Copy, Debug)]
struct Attack {
    latch: Latch,
    /// The victim is behind a NAT.
    is_nated: bool,
    /// The attacker is, too, or it is on the victim's host.
    is_same_host: bool,
    phase: Phase,
    port: Port,
    forgery: Forgery,
}

impl Attack {
    /// All that no way of latching lets through.
    fn all() -> impl Iterator<Item = Attack> {
        let victims = [
            (Latch::Strict, false),
            (Latch::Signalled, false),
            (Latch::Signalled, true),
            (Latch::Learn, false),
            (Latch::Learn, true),
        ];
        let ways = victims
            .into_iter()
            .flat_map(|(latch, is_nated)| [false, true].map(|is_same_host| (latch, is_nated, is_same_host)));
        let times = ways.flat_map(|way| PHASES.map(|phase| (way, phase)));
        let ports = times
            .flat_map(|(way, phase)| [Port::Rtp, Port::Rtcp, Port::Shared].map(|port| (way, phase, port)));
        ports.flat_map(|((latch, is_nated, is_same_host), phase, port)| {
            [Forgery::Scan, Forgery::Informed].map(|forgery| Attack {
                latch,
                is_nated,
                is_same_host,
                phase,
                port,
                forgery,
            })
        })
    }

    fn packet(&self, number: u16) -> Vec<u8> {
        let ssrc = match self.forgery {
            Forgery::Scan => [1, 2, 3, 4],
            Forgery::Informed => VICTIMS_SSRC,
        };
        match self.port {
            Port::Rtp => {
                let sequence = if self.forgery == Forgery::Scan { 61_000 } else { 10 + number };
                let mut bytes = rtp(sequence);
                bytes[8..12].copy_from_slice(&ssrc);
                bytes[12..].fill(MARK);
                bytes
            }
            // A receiver report, and behind it an APP packet with the mark.
            Port::Rtcp | Port::Shared => {
                [&[0x80, 201, 0, 1][..], &ssrc, &[0x80, 204, 0, 3], &ssrc, b"mark", &[MARK; 4]].concat()
            }
        }
    }
}

struct Scene<'a> {
    setup: &'a mut Setup,
    session: MediaSessionId,
    stream: StreamPorts,
    a: Peer,
    victim: Peer,
    remote: RemoteMedia,
    next: u16,
}

impl Scene<'_> {
    fn new(setup: &mut Setup, session: MediaSessionId, attack: Attack) -> Scene<'_> {
        let stream = setup.opened(session);
        let (a, victim) = (Peer::new(setup.address), Peer::new(setup.address));
        let mut remote = RemoteMedia { latch: attack.latch, ..victim.remote() };
        if attack.is_nated {
            let unknown = SocketAddr::from(([0, 0, 0, 0], 9));
            (remote.rtp, remote.rtcp) = (unknown, SocketAddr::from(([0, 0, 0, 0], 10)));
        }
        if attack.port == Port::Shared {
            remote.rtcp = remote.rtp;
        }
        setup.set_remote(session, Side::A, a.remote());
        setup.set_remote(session, Side::B, remote);
        setup.settle();
        Scene { setup, session, stream, a, victim, remote, next: 1 }
    }

    /// The victim is heard, and is answered.
    fn talk(&mut self) {
        self.next = talk_until_heard(&self.victim.rtp, self.stream.b.rtp(), &self.a.rtp, self.next);
        self.a.rtp.send_to(&rtp(1), self.stream.a.rtp()).unwrap();
        // On a shared port RTCP may come before it.
        while receive(&self.victim.rtp).0 != rtp(1) {}
        if !self.is_shared() {
            let rtcp = [&[0x80, 201, 0, 1][..], &VICTIMS_SSRC].concat();
            passes(&self.victim.rtcp, self.stream.b.rtcp(), &self.a.rtcp, &rtcp);
        }
    }

    fn is_shared(&self) -> bool {
        self.remote.rtcp == self.remote.rtp
    }

    fn dropped(&self) -> u64 {
        self.setup.relay.counters().dropped.untrusted.iter().sum()
    }

    /// The victim's first packet, which is not enough to know it by where it is not where it says.
    fn say_one_word(&mut self, attack: Attack) {
        let before = self.dropped();
        self.victim.rtp.send_to(&rtp(self.next), self.stream.b.rtp()).unwrap();
        self.next += 1;
        match attack.is_nated {
            true => self.setup.counted(|counters| counters.dropped.untrusted.iter().sum::<u64>() > before),
            false => _ = receive(&self.a.rtp),
        }
    }

    /// Every packet of it is dropped, and no answer comes while A talks.
    fn suffer(&mut self, attack: Attack, attacker: &Peer) {
        let (from, to) = match attack.port {
            Port::Rtp | Port::Shared => (&attacker.rtp, self.stream.b.rtp()),
            Port::Rtcp => (&attacker.rtcp, self.stream.b.rtcp()),
        };
        let before = self.dropped();
        for number in 0..BURST {
            from.send_to(&attack.packet(number), to).unwrap();
        }
        let expected = before + u64::from(BURST);
        self.setup.counted(|counters| counters.dropped.untrusted.iter().sum::<u64>() == expected);
        let sent = |counters: &RelayCounters| {
            counters.rtp.trusted.received.packets + counters.dropped.trusted.iter().sum::<u64>()
        };
        let before = sent(&self.setup.relay.counters());
        self.a.rtp.send_to(&rtp(1), self.stream.a.rtp()).unwrap();
        self.a.rtcp.send_to(&RTCP, self.stream.a.rtcp()).unwrap();
        self.setup.counted(|counters| sent(counters) > before);
    }
}

fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4_096];
    let is_silent = socket.recv_from(&mut bytes).is_err();
    socket.set_nonblocking(false).unwrap();
    is_silent
}

/// Everything that came to a socket so far.
fn drained(socket: &UdpSocket) -> Vec<Vec<u8>> {
    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4_096];
    let mut packets = Vec::new();
    while let Ok((length, _)) = socket.recv_from(&mut bytes) {
        packets.push(bytes[..length].to_vec());
    }
    socket.set_nonblocking(false).unwrap();
    packets
}

#[test]
fn no_packet_of_an_attacker_crosses_and_none_is_answered() {
    over_both_engines(|setup| {
        let stranger = Peer::at(own_address().into());
        let neighbour = Peer::new(setup.address);
        for (id, attack) in (0..).zip(Attack::all()) {
            let attacker = if attack.is_same_host { &neighbour } else { &stranger };
            let session = MediaSessionId(id);
            let mut scene = Scene::new(setup, session, attack);
            match attack.phase {
                Phase::Before => {}
                Phase::During => scene.say_one_word(attack),
                Phase::After => scene.talk(),
                Phase::Again => {
                    scene.talk();
                    scene.setup.set_remote(session, Side::B, RemoteMedia { sends: false, ..scene.remote });
                    scene.setup.set_remote(session, Side::B, scene.remote);
                    scene.setup.settle();
                }
            }
            scene.suffer(attack, attacker);
            // The victim is served all the same.
            scene.next = scene.next.max(100);
            drained(&scene.victim.rtp);
            scene.talk();
            for packet in drained(&scene.a.rtp).into_iter().chain(drained(&scene.a.rtcp)) {
                assert_ne!(packet.last(), Some(&MARK), "{attack:?}");
            }
            assert!(is_silent(&attacker.rtp) && is_silent(&attacker.rtcp), "answered: {attack:?}");
            let session = scene.session;
            setup.close(session);
        }
    });
}

#[test]
fn where_anything_is_learned_a_steady_stranger_is_heard_until_the_victim_is() {
    over_both_engines(|setup| {
        let attack = Attack {
            latch: Latch::Learn,
            is_nated: true,
            is_same_host: false,
            phase: Phase::Before,
            port: Port::Rtp,
            forgery: Forgery::Informed,
        };
        let stranger = Peer::at(own_address().into());
        let mut scene = Scene::new(setup, ONE, attack);
        let begun = now();
        let next = talk_until_heard(&stranger.rtp, scene.stream.b.rtp(), &scene.a.rtp, 1);
        assert!(now() - begun >= Duration::from_millis(500));
        passes(&scene.a.rtp, scene.stream.a.rtp(), &stranger.rtp, &rtp(1));
        scene.talk();
        for number in next..next + 10 {
            stranger.rtp.send_to(&rtp(number), scene.stream.b.rtp()).unwrap();
        }
        scene
            .setup
            .counted(|counters| counters.dropped_for(Realm::Untrusted, DropReason::SourceMismatch) == 10);
        scene.talk();
        assert!(is_silent(&stranger.rtp) && is_silent(&scene.a.rtp));
    });
}
