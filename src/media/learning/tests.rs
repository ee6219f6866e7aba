//! Who must be learned, and when: peers of every kind, seen through a stream. What attackers get is in
//! `media/attack_tests.rs`.

use super::*;
use crate::media::{Codec, Format, Formats, Forward, Latch, PortKind, RemoteMedia, Side, Stream, StreamKind};

const A: &str = "10.0.0.9:4000";
/// The peer's NAT, and a port on it.
const NAT: &str = "203.0.113.7";
const B: &str = "203.0.113.7:61000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn format(payload_type: u8, codec: Codec, clock_hz: u32) -> Format {
    Format { payload_type, codec, clock_hz }
}

/// Peers with PCMU and Opus, telephone-event as 101 (A) and 96 (B), and video as 99.
fn remote(rtp: &str, signalling: &str, events: u8) -> RemoteMedia {
    let formats = Formats::of([
        format(0, Codec::Pcmu, 8_000),
        format(111, Codec::Opus, 48_000),
        format(events, Codec::TelephoneEvent, 8_000),
        format(99, Codec::Other, 90_000),
    ]);
    RemoteMedia { formats, ..RemoteMedia::plain(at(rtp), signalling.parse().unwrap()) }
}

/// A call of A, which is where it says, with B at 192.168.1.10:4000 behind its NAT.
struct Line {
    stream: Stream,
    last: Forward,
}

const LEARNING: Forward = Forward::Drop(DropReason::Learning);
const MISMATCH: Forward = Forward::Drop(DropReason::SourceMismatch);
const IMPLAUSIBLE: Forward = Forward::Drop(DropReason::Implausible);

impl Line {
    fn new() -> Line {
        Line::with(remote("192.168.1.10:4000", NAT, 96))
    }

    fn with(b: RemoteMedia) -> Line {
        let mut stream = Stream::default();
        stream.set_remote(Side::A, Some(remote(A, "10.0.0.9", 101)));
        stream.set_remote(Side::B, Some(b));
        Line { stream, last: MISMATCH }
    }

    fn signal(&mut self, b: RemoteMedia) {
        self.stream.set_remote(Side::B, Some(b));
    }

    fn send(&mut self, side: Side, port: PortKind, source: &str, bytes: &[u8], ms: u64) -> Forward {
        self.stream.receive(side, port, at(source), bytes, Instant::from_millis(ms)).forward
    }

    /// B's side gets an RTP packet.
    fn hear(&mut self, ms: u64, source: &str, packet: &[u8]) -> Forward {
        self.last = self.send(Side::B, PortKind::Rtp, source, packet, ms);
        self.last
    }

    /// PCMU at its pace from `ms` on, packets numbered from `first` on; the time at which the first crosses.
    fn talk(&mut self, ms: u64, source: &str, first: u16, ssrc: u32) -> Option<u64> {
        (0..50).find_map(|number: u16| {
            let now = ms + 20 * u64::from(number);
            let sequence = first.wrapping_add(number);
            let packet = rtp(0, sequence, u32::from(sequence).wrapping_mul(160), ssrc);
            crosses(self.hear(now, source, &packet)).then_some(now - ms)
        })
    }

    /// Where A's packet goes.
    fn answered_at(&mut self, ms: u64) -> Option<SocketAddr> {
        match self.send(Side::A, PortKind::Rtp, A, &rtp(0, ms as u16, 0, 5), ms) {
            Forward::To(destination) => Some(destination.address),
            Forward::Drop(_) | Forward::Taken => None,
        }
    }

    fn locked(&self) -> Option<SocketAddr> {
        self.stream.flow(Side::B, PortKind::Rtp).source.locked()
    }
}

fn crosses(forward: Forward) -> bool {
    matches!(forward, Forward::To(_))
}

fn rtp(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.extend_from_slice(&[0xd5; 20]);
    bytes
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat()
}

#[test]
fn a_peer_where_its_sdp_says_is_taken_with_its_first_packet_whatever_that_is() {
    for payload_type in [0, 96, 13, 77 + 20, 34] {
        let mut line = Line::with(remote(B, NAT, 96));
        assert!(crosses(line.hear(0, B, &rtp(payload_type, 7, 0, 9))), "{payload_type}");
    }
}

#[test]
fn a_phone_behind_a_nat_is_taken_with_its_third_packet() {
    let mut line = Line::new();
    assert_eq!(line.answered_at(0), None);
    assert_eq!(line.talk(0, B, 65_535, 9), Some(40));
    assert_eq!(line.answered_at(60), Some(at(B)));
}

#[test]
fn whatever_a_stream_begins_with_it_is_learned() {
    type Packet = (u64, Vec<u8>);
    type Kind<'a> = (&'a str, &'a dyn Fn(u16) -> Packet, u64);
    let event = |number: u16| (u64::from(number) * 50, rtp(96, number, 1_000, 9));
    let with_the_other_sides_number = |number: u16| (u64::from(number) * 50, rtp(101, number, 1_000, 9));
    let noise_first = |number: u16| match number {
        0 => (0, rtp(13, 0, 0, 9)),
        _ => (480 + u64::from(number) * 20, rtp(0, number, 3_840 + u32::from(number) * 160, 9)),
    };
    let sparse_noise = |number: u16| (u64::from(number) * 400, rtp(13, number, u32::from(number) * 3_200, 9));
    let long_packets = |number: u16| (u64::from(number) * 60, rtp(111, number, u32::from(number) * 2_880, 9));
    let picture = |number: u16| {
        let shown = u32::from(number / 12);
        (u64::from(shown) * 33, rtp(99, number, shown * 3_000, 9))
    };
    // 300 ms of sound at once, as after a gap in the network, then its pace.
    let burst =
        |number: u16| (u64::from(number.saturating_sub(15)) * 20, rtp(0, number, u32::from(number) * 160, 9));
    let timestamps_that_jump_once = |number: u16| {
        let timestamp = if number == 0 { 17 } else { 3_000_000 + u32::from(number) * 160 };
        (u64::from(number) * 20, rtp(0, number, timestamp, 9))
    };
    let lossy = |number: u16| {
        let sent = number + (number + 1) / 3;
        (u64::from(sent) * 20, rtp(0, sent, u32::from(sent) * 160, 9))
    };
    let doubled = |number: u16| {
        let sent = number / 2;
        (u64::from(sent) * 20, rtp(0, sent, u32::from(sent) * 160, 9))
    };
    let kinds: [Kind<'_>; 10] = [
        ("digits first", &event, 100),
        ("digits by the other side's number", &with_the_other_sides_number, 100),
        ("comfort noise, then talk", &noise_first, 520),
        ("comfort noise alone", &sparse_noise, 800),
        ("packets of 60 ms", &long_packets, 120),
        ("pictures of twelve packets", &picture, 33),
        ("a burst", &burst, 200),
        ("timestamps that jump once", &timestamps_that_jump_once, 60),
        ("one packet in four lost", &lossy, 100),
        ("each packet twice", &doubled, 40),
    ];
    for secured in [false, true] {
        for (what, packet, expected) in kinds {
            let kind = if secured { StreamKind::SecuredRtp } else { StreamKind::Rtp };
            let mut line = Line::with(RemoteMedia { kind, ..remote("192.168.1.10:4000", NAT, 96) });
            let crossed = (0..60).find_map(|number| {
                let (ms, bytes) = packet(number);
                crosses(line.hear(ms, B, &bytes)).then_some(ms)
            });
            assert_eq!(crossed, Some(expected), "{what}");
        }
    }
}

#[test]
fn a_payload_type_that_nobody_listed_is_not_the_peers() {
    let mut line = Line::new();
    for number in 0..20 {
        let ms = 20 * u64::from(number);
        assert_eq!(line.hear(ms, B, &rtp(97, number, u32::from(number) * 160, 9)), IMPLAUSIBLE);
    }
    // Where a list is not known, or too long to be kept, it rules nothing out.
    let many = Formats::of((30..60).map(|payload_type| format(payload_type, Codec::Other, 8_000)));
    for formats in [Formats::default(), many] {
        let mut line = Line::with(RemoteMedia { formats, ..remote("192.168.1.10:4000", NAT, 96) });
        for number in 0..3 {
            line.hear(20 * u64::from(number), B, &rtp(97, number, u32::from(number) * 160, 9));
        }
        assert!(crosses(line.last));
    }
}

#[test]
fn a_peer_that_sends_one_packet_and_listens_is_answered_when_the_window_is_over() {
    let mut line = Line::new();
    assert_eq!(line.hear(0, B, &rtp(13, 7, 0, 9)), LEARNING);
    assert_eq!(line.answered_at(499), None);
    assert_eq!(line.answered_at(500), Some(at(B)));
    assert_eq!(line.locked(), None);
    // Two of them are not told apart, whatever comes.
    let mut line = Line::new();
    line.hear(0, B, &rtp(13, 7, 0, 9));
    line.hear(10, "203.0.113.7:4444", &rtp(13, 7, 0, 8));
    assert_eq!(line.answered_at(60_000), None);
    // Once it speaks it is locked; whoever was answered by mistake loses the call to the peer.
    assert_eq!(line.talk(60_000, B, 8, 9), Some(20));
    let mut line = Line::new();
    line.hear(0, "203.0.113.7:4444", &rtp(0, 7, 0, 8));
    assert_eq!(line.answered_at(500), Some(at("203.0.113.7:4444")));
    assert_eq!(line.talk(600, B, 8, 9), Some(40));
    assert_eq!(line.answered_at(700), Some(at(B)));
}

#[test]
fn a_listener_is_reached_by_what_keeps_its_nat_open_and_by_rtcp_on_a_shared_port() {
    let listener = RemoteMedia { sends: false, ..remote("192.168.1.10:4000", NAT, 96) };
    let mut line = Line::with(listener);
    assert_eq!(line.hear(0, B, &rtp(0, 7, 0, 9)), LEARNING);
    assert_eq!(line.answered_at(500), Some(at(B)));
    // What it sends is not taken even so.
    (0..3).for_each(|number| _ = line.hear(600 + 20 * u64::from(number), B, &rtp(0, 8 + number, 0, 9)));
    assert_eq!(line.last, Forward::Drop(DropReason::NotSending));

    let mut line = Line::with(RemoteMedia { rtcp: listener.rtp, ..listener });
    assert_eq!(line.hear(0, B, &rtcp(9)), LEARNING);
    assert_eq!(line.answered_at(500), Some(at(B)));

    let mut line = Line::with(RemoteMedia { receives: false, ..listener });
    assert_eq!(line.hear(0, B, &rtp(0, 7, 0, 9)), Forward::Drop(DropReason::NotSending));
    assert_eq!(line.locked(), None);
}

#[test]
fn a_peer_that_sends_rtcp_alone_is_heard_and_served_where_its_sdp_says() {
    let mut line = Line::with(RemoteMedia { sends: false, ..remote(B, NAT, 96) });
    assert!(crosses(line.send(Side::B, PortKind::Rtcp, "203.0.113.7:61001", &rtcp(9), 0)));
    assert_eq!(line.answered_at(0), Some(at(B)));
}

#[test]
fn who_speaks_for_the_first_time_after_an_hour_is_learned_as_ever() {
    let mut line = Line::new();
    assert_eq!(line.talk(3_600_000, B, 1, 9), Some(40));
}

#[test]
fn the_same_address_again_and_hold_by_no_address_open_no_window() {
    let there = remote("192.168.1.10:4000", NAT, 96);
    let mut line = Line::new();
    line.talk(0, B, 1, 9).unwrap();
    let held = RemoteMedia { receives: false, ..remote("0.0.0.0:4000", NAT, 96) };
    for said in [there, RemoteMedia { sends: false, ..there }, held, there] {
        line.signal(said);
        assert_eq!(line.locked(), Some(at(B)));
        assert_eq!(line.talk(1_000, "203.0.113.7:4444", 1, 8), None);
        assert_eq!(line.last, MISMATCH);
    }
    assert_eq!(line.answered_at(3_000), Some(at(B)));
    line.signal(held);
    assert_eq!(line.answered_at(3_020), None);
    // Another address does.
    line.signal(remote("192.168.1.11:4000", NAT, 96));
    assert_eq!(line.locked(), None);
    assert_eq!(line.talk(4_000, "203.0.113.7:4444", 1, 8), Some(40));
}

#[test]
fn the_signalled_source_displaces_one_that_was_faster_and_stays() {
    let mut line = Line::with(remote(B, NAT, 96));
    assert_eq!(line.talk(0, "203.0.113.7:4444", 1, 8), Some(40));
    assert_eq!(line.answered_at(100), Some(at("203.0.113.7:4444")));
    assert_eq!(line.talk(200, B, 1, 9), Some(0));
    assert_eq!(line.answered_at(300), Some(at(B)));
    assert_eq!(line.talk(400, "203.0.113.7:4444", 100, 8), None);
}

#[test]
fn who_came_first_is_heard_out_before_who_hurries() {
    let mut line = Line::new();
    let packet = |number: u16, ssrc| rtp(0, number, u32::from(number), ssrc);
    line.hear(0, B, &packet(1, 9));
    for ms in 1..40 {
        assert_eq!(line.hear(ms, "203.0.113.7:4444", &packet(ms as u16, 8)), LEARNING);
        if ms == 20 {
            line.hear(20, B, &packet(2, 9));
        }
    }
    assert!(crosses(line.hear(40, B, &packet(3, 9))));
    // But not for longer than the window.
    let mut line = Line::new();
    let steady = |line: &mut Line, ms: u64| line.hear(ms, "203.0.113.7:4444", &packet((ms / 20) as u16, 8));
    let taken = (0..100).map(|number| number * 20).find(|ms| {
        line.hear(*ms, B, &packet(1, 9));
        crosses(steady(&mut line, *ms + 5))
    });
    assert_eq!(taken, Some(500));
}

#[test]
fn a_flood_of_ports_delays_the_peer_and_does_not_keep_it_out() {
    let mut line = Line::new();
    let mut crossed = None;
    for ms in 0..10_000u64 {
        if ms % 11 == 3 {
            let source = format!("203.0.113.7:{}", 1_024 + ms);
            assert!(!crosses(line.hear(ms, &source, &rtp(0, 7, 0, ms as u32))));
        }
        if ms >= 1_000 && ms % 20 == 0 && crossed.is_none() {
            let number = (ms / 20) as u16;
            crossed = crosses(line.hear(ms, B, &rtp(0, number, u32::from(number) * 160, 9))).then_some(ms);
        }
    }
    assert!(crossed.is_some_and(|ms| ms < 4_000), "{crossed:?}");
}

#[test]
fn a_source_from_anywhere_has_to_wait_for_the_window_and_to_be_alone() {
    const ROAMING: &str = "198.51.100.77:5000";
    let learned = RemoteMedia { latch: Latch::Learn, ..remote("192.168.1.10:4000", NAT, 96) };
    let mut line = Line::with(learned);
    assert_eq!(line.talk(0, ROAMING, 1, 9), Some(500));
    // Who is vouched for has it back at any time.
    assert_eq!(line.talk(5_000, B, 1, 8), Some(40));
    assert_eq!(line.talk(6_000, ROAMING, 300, 9), None);
    // And wins inside the window.
    let mut line = Line::with(learned);
    for number in 0..20u16 {
        let ms = 20 * u64::from(number);
        line.hear(ms, ROAMING, &rtp(0, number, u32::from(number) * 160, 9));
        if number > 16 {
            line.hear(ms + 5, B, &rtp(0, number, u32::from(number) * 160, 8));
        }
    }
    assert_eq!(line.locked(), Some(at(B)));
    // One packet opens nothing, though the call waits for long.
    let mut line = Line::with(learned);
    line.hear(0, ROAMING, &rtp(0, 1, 0, 9));
    assert_eq!(line.answered_at(60_000), None);
}

#[test]
fn a_nat_that_forgot_the_port_while_on_hold_is_followed_by_ssrc_and_sequence() {
    const NEW: &str = "203.0.113.7:62000";
    let heard = || {
        let mut line = Line::new();
        for number in 0..10u16 {
            line.hear(20 * u64::from(number), B, &rtp(0, number, 0, 9));
        }
        line
    };
    // The same SSRC, the next sequence number, the same address, after long.
    let mut line = heard();
    assert_eq!(line.talk(300_000, NEW, 10, 9), Some(40));
    assert_eq!(line.answered_at(301_000), Some(at(NEW)));
    // It was not the NAT: the port that it came from speaks again, and nobody is followed any more.
    assert_eq!(line.talk(302_000, B, 20, 9), Some(0));
    assert_eq!(line.talk(310_000, NEW, 30, 9), None);
    assert_eq!(line.last, MISMATCH);
    for (why, source, first, ssrc, ms) in [
        ("another SSRC", NEW, 10, 8, 300_000),
        ("another address", "203.0.113.8:62000", 10, 9, 300_000),
        ("a sequence that goes back", NEW, 65_000, 9, 300_000),
        ("a sequence far away", NEW, 5_000, 9, 300_000),
    ] {
        assert_eq!(heard().talk(ms, source, first, ssrc), None, "{why}");
    }
    // While the locked source speaks, or has just spoken, nobody is.
    let mut line = heard();
    for number in 0..200u16 {
        let ms = 200 + 20 * u64::from(number);
        assert!(crosses(line.hear(ms, B, &rtp(0, 10 + number, 0, 9))));
        assert_eq!(line.hear(ms + 1, NEW, &rtp(0, 11 + number, 0, 9)), MISMATCH);
    }
    // Nor from where SDP says: signalling says so if that changes. Nor where latching is strict.
    for latch in [Latch::Signalled, Latch::Learn, Latch::Strict] {
        let mut line = Line::with(RemoteMedia { latch, ..remote(B, NAT, 96) });
        assert_eq!(line.talk(0, B, 1, 9), Some(0));
        assert_eq!(line.talk(300_000, NEW, 2, 9), None);
    }
}

#[test]
fn rtcp_beside_learned_rtp_is_of_the_same_participant() {
    let mut line = Line::new();
    line.talk(0, B, 1, 9).unwrap();
    let rtcp_from =
        |line: &mut Line, source: &str, ssrc| line.send(Side::B, PortKind::Rtcp, source, &rtcp(ssrc), 100);
    assert_eq!(rtcp_from(&mut line, "203.0.113.7:4445", 8), IMPLAUSIBLE);
    assert_eq!(rtcp_from(&mut line, "192.0.2.66:4445", 9), MISMATCH);
    assert!(crosses(rtcp_from(&mut line, "203.0.113.7:61001", 9)));
    assert_eq!(rtcp_from(&mut line, "203.0.113.7:4445", 9), MISMATCH);
    // On a shared port it comes from where RTP comes from, and goes there.
    let shared = remote("192.168.1.10:4000", NAT, 96);
    let mut line = Line::with(RemoteMedia { rtcp: shared.rtp, ..shared });
    line.talk(0, B, 1, 9).unwrap();
    assert!(crosses(line.hear(100, B, &rtcp(9))));
    assert_eq!(line.hear(100, "203.0.113.7:4445", &rtcp(9)), MISMATCH);
    match line.send(Side::A, PortKind::Rtcp, "10.0.0.9:4001", &rtcp(5), 100) {
        Forward::To(destination) => assert_eq!(destination.address, at(B)),
        dropped => panic!("{dropped:?}"),
    }
}

#[test]
fn a_fax_shows_itself_by_its_sequence_numbers() {
    let fax = RemoteMedia { kind: StreamKind::Udptl, ..remote("192.168.1.10:4000", NAT, 96) };
    let mut line = Line::with(fax);
    line.stream
        .set_remote(Side::A, Some(RemoteMedia { kind: StreamKind::Udptl, ..remote(A, "10.0.0.9", 101) }));
    let udptl = |number: u8| [0, number, 1, 0x02, 0, 0];
    for (number, ms) in [(0, 0), (0, 10), (5, 20), (6, 40)] {
        assert_eq!(line.hear(ms, B, &udptl(number)), LEARNING);
    }
    assert!(crosses(line.hear(60, B, &udptl(7))));
    assert!(crosses(line.hear(70, B, &udptl(7))));
    assert_eq!(line.hear(80, "203.0.113.7:4444", &udptl(8)), MISMATCH);
}

#[test]
fn what_is_known_of_candidates_takes_little_room() {
    assert!(size_of::<Learner>() <= 384, "{}", size_of::<Learner>());
}
