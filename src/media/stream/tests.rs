//! One stream: whose packets it takes, where they go, what changes in them.

use super::*;
use crate::media::Latch;

const RTCP: [u8; 8] = [0x80, 201, 0, 1, 1, 2, 3, 4];

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn remote(rtp: &str, signalling: &str) -> RemoteMedia {
    let rtp = at(rtp);
    RemoteMedia::plain(rtp, signalling.parse().unwrap())
}

fn rtp(sequence: u8) -> [u8; 13] {
    [0x80, 0, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 9, 0xff]
}

fn talk(number: u8) -> Vec<u8> {
    rtp(number).to_vec()
}

/// Caller at 10.0.0.9:4000 without a NAT, callee at 192.168.1.10:6000 behind 203.0.113.7.
fn joined() -> Stream {
    let mut stream = Stream::default();
    stream.set_remote(Side::A, Some(remote("10.0.0.9:4000", "10.0.0.9")));
    stream.set_remote(Side::B, Some(remote("192.168.1.10:6000", "203.0.113.7")));
    stream
}

/// Three packets, as a peer that is not where its SDP says has to show them; what becomes of the last.
fn show(stream: &mut Stream, side: Side, source: &str, packet: fn(u8) -> Vec<u8>) -> Forward {
    let mut send = |number: u8| {
        let now = Instant::from_millis(20 * u64::from(number));
        stream.receive(side, PortKind::Rtp, at(source), &packet(number), now).forward
    };
    let learning = Forward::Drop(DropReason::Learning);
    assert_eq!((send(0), send(1)), (learning, learning));
    send(2)
}

fn send(stream: &mut Stream, side: Side, port: PortKind, source: &str, bytes: &[u8]) -> Forward {
    stream.receive(side, port, at(source), bytes, Instant::ZERO).forward
}

fn to(address: &str, from_port: PortKind) -> Forward {
    Forward::To(Destination { address: at(address), from_port })
}

#[test]
fn media_flows_both_ways_once_the_far_side_was_heard() {
    let mut stream = joined();
    let nowhere = Forward::Drop(DropReason::NoDestination);
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &rtp(1)), nowhere);
    let forward = show(&mut stream, Side::B, "203.0.113.7:50000", talk);
    assert_eq!(forward, to("10.0.0.9:4000", PortKind::Rtp));
    let forward = send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &rtp(2));
    assert_eq!(forward, to("203.0.113.7:50000", PortKind::Rtp));
    let received = stream.received(Side::A);
    assert_eq!((received.packets, received.bytes, received.dropped), (1, 13, 1));
    assert_eq!(received.quality.received(), 2);
}

#[test]
fn no_packet_of_a_stranger_turns_the_way_back() {
    let mut stream = joined();
    let before = stream.clone();
    for source in ["192.0.2.66:50000", "192.168.1.10:6000", "10.0.0.9:4000"] {
        for bytes in [&rtp(1)[..], &RTCP, b"", b"GET / HTTP/1.1"] {
            for port in [PortKind::Rtp, PortKind::Rtcp] {
                let forward = send(&mut stream, Side::B, port, source, bytes);
                assert!(matches!(forward, Forward::Drop(_)));
            }
        }
    }
    assert_eq!(stream.flow(Side::A, PortKind::Rtp), before.flow(Side::A, PortKind::Rtp));
    assert_eq!(stream.flow(Side::B, PortKind::Rtp), before.flow(Side::B, PortKind::Rtp));
    assert_eq!(stream.received(Side::B).quality.received(), 0);
    assert_eq!(stream.received(Side::B).dropped, 24);
}

#[test]
fn rubbish_of_the_right_source_locks_nothing() {
    let mut stream = joined();
    let not_rtp = Forward::Drop(DropReason::NotRtp);
    assert_eq!(send(&mut stream, Side::B, PortKind::Rtp, "203.0.113.7:1", b"\x16\xfe\xff"), not_rtp);
    assert_eq!(send(&mut stream, Side::B, PortKind::Rtp, "203.0.113.7:1", &RTCP), not_rtp);
    assert_eq!(send(&mut stream, Side::B, PortKind::Rtcp, "203.0.113.7:1", &rtp(1)), not_rtp);
    assert_eq!(stream.flow(Side::B, PortKind::Rtp).source.locked(), None);
}

#[test]
fn the_same_address_again_keeps_what_was_learned_and_another_forgets_it() {
    let mut stream = joined();
    show(&mut stream, Side::B, "203.0.113.7:50000", talk);
    let again = RemoteMedia { sends: false, ..remote("192.168.1.10:6000", "203.0.113.7") };
    stream.set_remote(Side::B, Some(again));
    let locked = stream.flow(Side::B, PortKind::Rtp).source.locked();
    assert_eq!(locked, Some(at("203.0.113.7:50000")));
    let not_sending = Forward::Drop(DropReason::NotSending);
    assert_eq!(send(&mut stream, Side::B, PortKind::Rtp, "203.0.113.7:50000", &rtp(2)), not_sending);

    stream.set_remote(Side::B, Some(remote("198.51.100.4:7000", "203.0.113.7")));
    let mismatch = Forward::Drop(DropReason::SourceMismatch);
    assert_eq!(send(&mut stream, Side::B, PortKind::Rtp, "203.0.113.7:50000", &rtp(3)), mismatch);
    let forward = send(&mut stream, Side::B, PortKind::Rtp, "198.51.100.4:7000", &rtp(4));
    assert_eq!(forward, to("10.0.0.9:4000", PortKind::Rtp));
    let forward = send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &rtp(5));
    assert_eq!(forward, to("198.51.100.4:7000", PortKind::Rtp));
}

#[test]
fn what_was_on_its_way_when_a_peer_moved_counts_for_a_second_and_turns_nothing() {
    let later = |millis: u64| Instant::from_millis(millis);
    let mismatch = Forward::Drop(DropReason::SourceMismatch);
    let moved = |stream: &mut Stream, latch| {
        show(stream, Side::B, "203.0.113.7:50000", talk);
        let remote = RemoteMedia { latch, ..remote("198.51.100.4:7000", "203.0.113.7") };
        stream.move_remote(Side::B, Some(remote), later(0));
    };
    let old = |stream: &mut Stream, millis| {
        let source = at("203.0.113.7:50000");
        stream.receive(Side::B, PortKind::Rtp, source, &rtp(2), later(millis)).forward
    };
    let mut stream = joined();
    moved(&mut stream, Latch::default());
    assert_eq!(old(&mut stream, 999), to("10.0.0.9:4000", PortKind::Rtp));
    assert_eq!(stream.flow(Side::B, PortKind::Rtp).source.locked(), None);
    // Nobody else's: not another port of the old host.
    assert_eq!(send(&mut stream, Side::B, PortKind::Rtp, "203.0.113.7:50002", &rtp(2)), mismatch);
    assert_eq!(old(&mut stream, 1_000), mismatch);
    // The first packet from the new place ends it.
    let mut stream = joined();
    moved(&mut stream, Latch::default());
    let forward = send(&mut stream, Side::B, PortKind::Rtp, "198.51.100.4:7000", &rtp(3));
    assert_eq!(forward, to("10.0.0.9:4000", PortKind::Rtp));
    assert_eq!(old(&mut stream, 1), mismatch);
    // And so does a refusal of the stream; a strict peer has none of it.
    let mut stream = joined();
    moved(&mut stream, Latch::default());
    stream.move_remote(Side::B, None, later(1));
    assert_eq!(old(&mut stream, 2), mismatch);
    let mut stream = joined();
    moved(&mut stream, Latch::Strict);
    assert_eq!(old(&mut stream, 1), mismatch);
}

#[test]
fn a_peer_that_moves_behind_its_nat_is_learned_anew() {
    let mut stream = joined();
    show(&mut stream, Side::B, "203.0.113.7:50000", talk);
    stream.set_remote(Side::B, Some(remote("192.168.1.11:5000", "203.0.113.7")));
    assert_eq!(stream.flow(Side::B, PortKind::Rtp).source.locked(), None);
    let forward = show(&mut stream, Side::B, "203.0.113.7:61000", talk);
    assert_eq!(forward, to("10.0.0.9:4000", PortKind::Rtp));
    let forward = send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &rtp(3));
    assert_eq!(forward, to("203.0.113.7:61000", PortKind::Rtp));
}

#[test]
fn rtcp_goes_its_own_way_and_still_while_nobody_sends() {
    let mut stream = joined();
    let held = RemoteMedia { sends: false, receives: false, ..remote("10.0.0.9:4000", "10.0.0.9") };
    stream.set_remote(Side::A, Some(held));
    stream.set_remote(Side::B, Some(remote("198.51.100.4:7000", "198.51.100.4")));
    let forward = send(&mut stream, Side::A, PortKind::Rtcp, "10.0.0.9:4001", &RTCP);
    assert_eq!(forward, to("198.51.100.4:7001", PortKind::Rtcp));
    let forward = send(&mut stream, Side::B, PortKind::Rtcp, "198.51.100.4:7001", &RTCP);
    assert_eq!(forward, to("10.0.0.9:4001", PortKind::Rtcp));
    assert_eq!(stream.received(Side::A).packets, 0);
}

#[test]
fn reports_of_the_peer_are_told_from_what_cannot_be_read_and_what_is_a_strangers() {
    let mut stream = joined();
    stream.set_remote(Side::B, Some(remote("198.51.100.4:7000", "198.51.100.4")));
    let mut has_report = |source: &str, bytes: &[u8]| {
        let at = crate::base::Instant::ZERO;
        stream.receive(Side::A, PortKind::Rtcp, source.parse().unwrap(), bytes, at).has_report
    };
    assert!(has_report("10.0.0.9:4001", &RTCP));
    assert!(!has_report("10.0.0.66:4001", &RTCP));
    // Feedback alone (RFC 5506), and no RTCP at all.
    assert!(!has_report("10.0.0.9:4001", &[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]));
    assert!(!has_report("10.0.0.9:4001", b"rubbish rubbish"));
    let secured = RemoteMedia { kind: StreamKind::SecuredRtp, ..remote("10.0.0.9:4000", "10.0.0.9") };
    stream.set_remote(Side::A, Some(secured));
    let srtcp = [&RTCP[..], &[0; 16]].concat();
    let verdict = stream.receive(
        Side::A,
        PortKind::Rtcp,
        "10.0.0.9:4001".parse().unwrap(),
        &srtcp,
        crate::base::Instant::ZERO,
    );
    assert!(matches!(verdict.forward, Forward::To(_)) && !verdict.has_report);
}

#[test]
fn a_multiplexing_peer_is_joined_to_one_that_does_not() {
    let mut stream = Stream::default();
    let mut mux = remote("10.0.0.9:4000", "10.0.0.9");
    mux.rtcp = mux.rtp;
    stream.set_remote(Side::A, Some(mux));
    stream.set_remote(Side::B, Some(remote("198.51.100.4:7000", "198.51.100.4")));
    let forward = send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &RTCP);
    assert_eq!(forward, to("198.51.100.4:7001", PortKind::Rtcp));
    let forward = send(&mut stream, Side::B, PortKind::Rtcp, "198.51.100.4:7001", &RTCP);
    assert_eq!(forward, to("10.0.0.9:4000", PortKind::Rtp));
}

/// Sequence number 1, a primary packet of one byte, no secondary ones.
const UDPTL: [u8; 6] = [0, 1, 1, 0x02, 0, 0];

#[test]
fn fax_crosses_when_both_sides_have_turned_to_it_and_audio_again_after_it() {
    let mut stream = joined();
    show(&mut stream, Side::B, "203.0.113.7:50000", talk);
    let fax = |rtp: &str, signalling: &str| {
        Some(RemoteMedia { kind: StreamKind::Udptl, ..remote(rtp, signalling) })
    };
    let (not_rtp, nowhere) = (Forward::Drop(DropReason::NotRtp), Forward::Drop(DropReason::NoDestination));
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &UDPTL), not_rtp);
    stream.set_remote(Side::A, fax("10.0.0.9:4000", "10.0.0.9"));
    assert!(!stream.is_fax());
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &UDPTL), nowhere);
    assert_eq!(send(&mut stream, Side::B, PortKind::Rtp, "203.0.113.7:50000", &rtp(2)), nowhere);
    stream.set_remote(Side::B, fax("192.168.1.10:6000", "203.0.113.7"));
    assert!(stream.is_fax());
    // What is late of the audio is kept out, and so is RTCP on either port.
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &[0x80, 0, 0xc0, 1]), not_rtp);
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtcp, "10.0.0.9:4001", &RTCP), not_rtp);
    // The far side has not been heard as a fax: what was learned of its audio counts no more.
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &UDPTL), nowhere);
    let udptl = |number: u8| [&[0, number][..], &UDPTL[2..]].concat();
    let forward = show(&mut stream, Side::B, "203.0.113.7:50002", udptl);
    assert_eq!(forward, to("10.0.0.9:4000", PortKind::Rtp));
    let forward = send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &UDPTL);
    assert_eq!(forward, to("203.0.113.7:50002", PortKind::Rtp));
    stream.set_remote(Side::A, Some(remote("10.0.0.9:4000", "10.0.0.9")));
    stream.set_remote(Side::B, Some(remote("192.168.1.10:6000", "203.0.113.7")));
    let forward = show(&mut stream, Side::B, "203.0.113.7:50000", talk);
    assert_eq!(forward, to("10.0.0.9:4000", PortKind::Rtp));
    let received = stream.received(Side::B);
    assert_eq!((received.packets, received.quality.received()), (3, 3));
}

#[test]
fn of_a_secured_stream_the_header_alone_is_looked_at() {
    // A receiver report whose body, index and tag are ciphertext (RFC 3711 §3.4), and RTP whose
    // padding is encrypted (§3.1).
    const SRTCP: [u8; 26] =
        [0xa0, 201, 0, 1, 0, 0, 0, 9, 0x80, 0, 0, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 9, 8, 7, 6];
    let padded: Vec<u8> = [&[0xa0][..], &rtp(1)[1..], &[0]].concat();
    let secured = |rtp: &str, signalling: &str| {
        Some(RemoteMedia { kind: StreamKind::SecuredRtp, ..remote(rtp, signalling) })
    };
    let not_rtp = Forward::Drop(DropReason::NotRtp);
    let mut stream = joined();
    show(&mut stream, Side::B, "203.0.113.7:50000", talk);
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtcp, "10.0.0.9:4001", &SRTCP), not_rtp);
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &padded), not_rtp);
    stream.set_remote(Side::A, secured("10.0.0.9:4000", "10.0.0.9"));
    stream.set_remote(Side::B, secured("192.168.1.10:6000", "203.0.113.7"));
    let forward = send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &padded);
    assert_eq!(forward, to("203.0.113.7:50000", PortKind::Rtp));
    let forward = send(&mut stream, Side::B, PortKind::Rtcp, "203.0.113.7:50001", &SRTCP);
    assert_eq!(forward, to("10.0.0.9:4001", PortKind::Rtcp));
    let forward = send(&mut stream, Side::A, PortKind::Rtcp, "10.0.0.9:4001", &SRTCP);
    assert_eq!(forward, to("203.0.113.7:50001", PortKind::Rtcp));
    // Too short for an index, of another version, on the wrong port, of a stranger.
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtcp, "10.0.0.9:4001", &SRTCP[..11]), not_rtp);
    let other_version = [&[0x20][..], &SRTCP[1..]].concat();
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtcp, "10.0.0.9:4001", &other_version), not_rtp);
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &SRTCP), not_rtp);
    let mismatch = Forward::Drop(DropReason::SourceMismatch);
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtcp, "192.0.2.66:4001", &SRTCP), mismatch);
}

#[test]
fn a_rejected_stream_takes_and_sends_nothing() {
    let mut stream = joined();
    stream.set_remote(Side::A, None);
    assert!(!stream.is_joined());
    let mismatch = Forward::Drop(DropReason::SourceMismatch);
    assert_eq!(send(&mut stream, Side::A, PortKind::Rtp, "10.0.0.9:4000", &rtp(1)), mismatch);
    let nowhere = Forward::Drop(DropReason::NoDestination);
    assert_eq!(show(&mut stream, Side::B, "203.0.113.7:50000", talk), nowhere);
}
