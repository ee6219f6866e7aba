//! What a stream does, over both engines: numbers that differ, keys, marks, sizes, shapes, RTCP's ports, and
//! changes in the middle of a call.

use std::os::fd::AsRawFd;

use super::*;
use crate::base::Dscp;
use crate::media::{Codec, EventRule, Format, Formats, Key, Press};

/// Audio under 0 and 18, events under this number.
fn formats(events: u8) -> Formats {
    let format = |payload_type, codec| Format { payload_type, codec, clock_hz: 8_000 };
    Formats::of([format(0, Codec::Pcmu), format(18, Codec::G729), format(events, Codec::TelephoneEvent)])
}

/// One packet of an event.
fn event(payload_type: u8, sequence: u16, timestamp: u32, payload: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(&[0xca, 0xfe, 0xba, 0xbe]);
    bytes.extend_from_slice(&payload);
    bytes
}

fn press(sign: u8, millis: u64) -> Press {
    Press { key: Key::of_sign(sign).unwrap(), duration: Duration::from_millis(millis) }
}

#[test]
fn a_peer_that_sends_with_its_own_number_is_understood() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        setup.set_remote(ONE, Side::A, RemoteMedia { formats: formats(101), ..a.remote() });
        setup.set_remote(ONE, Side::B, RemoteMedia { formats: formats(96), ..b.remote() });
        setup.settle();
        // What the other side lists crosses byte for byte, marker or not; its own number becomes that.
        for marker in [0, 0x80] {
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &event(marker | 96, 1, 7, [5, 10, 0, 160]));
            passes(&b.rtp, stream.b.rtp(), &a.rtp, &event(marker | 101, 1, 7, [5, 10, 0, 160]));
            a.rtp.send_to(&event(marker | 101, 2, 7, [5, 10, 1, 64]), stream.a.rtp()).unwrap();
            assert_eq!(receive(&b.rtp).0, event(marker | 96, 2, 7, [5, 10, 1, 64]));
            b.rtp.send_to(&event(marker | 96, 2, 7, [5, 0x8a, 1, 64]), stream.b.rtp()).unwrap();
            assert_eq!(receive(&a.rtp).0, event(marker | 101, 2, 7, [5, 0x8a, 1, 64]));
        }
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(3));
        // Of secured RTP the header is authenticated.
        let kind = StreamKind::SecuredRtp;
        setup.set_remote(ONE, Side::A, RemoteMedia { kind, formats: formats(101), ..a.remote() });
        setup.settle();
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &event(101, 4, 7, [5, 10, 0, 160]));
    });
}

#[test]
fn comfort_noise_and_keys_cross_as_they_are() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        let mut noise = rtp(1)[..12].to_vec();
        noise[1] = 13;
        noise.push(0x40);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &noise);
        for (at, flags) in [0x0a, 0x0a, 0x8a, 0x8a, 0x8a].into_iter().enumerate() {
            let packet = event(101, 2 + at as u16, 160, [7, flags, 1, 64]);
            passes(&b.rtp, stream.b.rtp(), &a.rtp, &packet);
        }
    });
}

#[test]
fn keys_that_are_to_be_told_are_told_once_and_do_not_cross() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        let events = EventRule::Tell { offered: None };
        setup.set_remote(ONE, Side::A, RemoteMedia { formats: formats(101), events, ..a.remote() });
        setup.settle();
        let sent = |sequence, payload| {
            a.rtp.send_to(&event(101, sequence, 160, payload), stream.a.rtp()).unwrap();
        };
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        for (sequence, flags) in [(2, 10), (3, 10), (5, 0x8a), (6, 0x8a), (6, 0x8a), (4, 10)] {
            sent(sequence, [5, flags, 3, 32]);
        }
        assert_eq!(setup.event(), MediaEvent::Key { session: ONE, side: Side::A, press: press(b'5', 100) });
        // Not a key: it crosses. And nothing else of the above has.
        let flash = event(101, 7, 2_000, [16, 0x8a, 3, 32]);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &flash);
        // One of which all ends are lost is over when nothing more comes of it.
        a.rtp.send_to(&event(101, 8, 4_000, [11, 10, 0, 160]), stream.a.rtp()).unwrap();
        setup.relay.set_silence(SilenceLimits::only(Duration::from_millis(80)));
        let mut heard = Vec::new();
        while heard.is_empty() {
            heard.extend(Some(setup.event()).filter(|event| matches!(event, MediaEvent::Key { .. })));
        }
        assert_eq!(heard, [MediaEvent::Key { session: ONE, side: Side::A, press: press(b'#', 20) }]);
    });
}

#[test]
fn a_key_told_by_signalling_takes_the_place_of_audio() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        setup.set_remote(ONE, Side::A, RemoteMedia { formats: formats(101), ..a.remote() });
        setup.set_remote(ONE, Side::B, RemoteMedia { formats: formats(96), ..b.remote() });
        for sign in *b"1#" {
            let press = press(sign, 60);
            setup.command(MediaCommand::Press { session: ONE, stream: 0, side: Side::A, press });
        }
        setup.settle();
        let mut ends = Vec::new();
        for sequence in 0..20 {
            a.rtp.send_to(&rtp(sequence), stream.a.rtp()).unwrap();
            let (bytes, _) = receive(&b.rtp);
            assert_eq!(bytes[2..4], sequence.to_be_bytes(), "nothing is lost or renumbered");
            if bytes[1] & 0x7f == 96 {
                assert_eq!(bytes.len(), 16);
                let is_end = bytes[13] & 0x80 != 0;
                ends.extend(is_end.then(|| (bytes[12], bytes[4..8].to_vec(), bytes[14..16].to_vec())));
            } else {
                assert_eq!(bytes, rtp(sequence));
            }
        }
        let end = |key: u8, start: u32| (key, (160 * start).to_be_bytes().to_vec(), vec![1, 224]);
        assert_eq!(ends[..3], [end(1, 0), end(1, 0), end(1, 0)]);
        assert_eq!(ends[3..], [end(11, 8), end(11, 8), end(11, 8)]);
    });
}

/// The peer across moves and changes its codec while packets flow without a pause: each way every one arrives.
#[test]
fn a_change_of_address_port_and_codec_loses_no_packet() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        let moved = Peer::at(own_address().into());
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(0));
        passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(0));
        let mut towards_b = 0;
        for sequence in 1..=300u16 {
            if sequence == 100 {
                // Our answer is on its way to B, which hears of it 50 packets later.
                setup.set_remote(ONE, Side::B, RemoteMedia { formats: formats(96), ..moved.remote() });
            }
            let mut packet = rtp(sequence);
            packet[1] = if sequence < 150 { 0 } else { 18 };
            let from = if sequence < 150 { &b.rtp } else { &moved.rtp };
            from.send_to(&packet, stream.b.rtp()).unwrap();
            assert_eq!(receive(&a.rtp), (packet, stream.a.rtp()));
            a.rtp.send_to(&rtp(sequence), stream.a.rtp()).unwrap();
            if sequence % 50 == 0 {
                // B listens at both places until it hears the answer (RFC 3264 §8.3.1).
                for (socket, most) in [(&b.rtp, 300), (&moved.rtp, 300)] {
                    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                    towards_b += (0..most).take_while(|_| socket.recv(&mut [0; 256]).is_ok()).count();
                }
            }
        }
        assert_eq!(towards_b, 300);
        // The old place counts no more.
        b.rtp.send_to(&rtp(301), stream.b.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Untrusted, DropReason::SourceMismatch) == 1);
        let report = setup.close(ONE);
        assert_eq!((report.from_a.packets, report.from_b.packets), (301, 301));
        assert_eq!((report.from_a.lost, report.from_b.lost), (0, 0));
    });
}

#[test]
fn a_peer_behind_a_nat_that_moves_is_sent_to_where_it_was_until_it_is_heard() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(1));
        let unknown = SocketAddr::from(([0, 0, 0, 0], 9));
        setup.set_remote(ONE, Side::B, RemoteMedia { rtp: unknown, rtcp: unknown, ..b.remote() });
        setup.settle();
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        let moved = Peer::new(setup.address);
        talk_until_heard(&moved.rtp, stream.b.rtp(), &a.rtp, 2);
        passes(&a.rtp, stream.a.rtp(), &moved.rtp, &rtp(2));
    });
}

#[test]
fn datagrams_of_every_size_cross_or_are_counted() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        let sized = |length: usize| {
            let mut packet = rtp(1);
            packet.resize(length, 7);
            packet
        };
        // A header alone, a full Ethernet frame, and what a tunnel's slack leaves.
        for length in [12, 13, 1_472, 1_500, 1_900] {
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &sized(length));
        }
        for length in [0, 1, 11] {
            a.rtp.send_to(&sized(12)[..length], stream.a.rtp()).unwrap();
        }
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::NotRtp) == 3);
        for length in [2_100, 9_000] {
            a.rtp.send_to(&sized(length), stream.a.rtp()).unwrap();
        }
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::TooLarge) == 2);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(2));
        let report = setup.close(ONE);
        assert_eq!((report.from_a.packets, report.from_a.dropped), (6, 5));
    });
}

/// What else comes to media ports (RFC 7983 §7): none of it crosses, and a source is not learned from it.
#[test]
fn stun_dtls_zrtp_and_turn_are_not_taken_for_media() {
    over_both_engines(|setup| {
        let stream = setup.opened(ONE);
        let (a, b) = (Peer::new(setup.address), Peer::new(setup.address));
        setup.set_remote(ONE, Side::A, a.remote());
        let unknown = SocketAddr::from(([0, 0, 0, 0], 9));
        setup.set_remote(ONE, Side::B, RemoteMedia { rtp: unknown, rtcp: unknown, ..b.remote() });
        setup.settle();
        let padded = |head: &[u8]| [head, &[0; 40]].concat();
        let others = [
            padded(&[0, 1, 0, 40, 0x21, 0x12, 0xa4, 0x42]),
            padded(&[1, 1, 0, 40, 0x21, 0x12, 0xa4, 0x42]),
            padded(&[0x10, 0, 0, 1, b'Z', b'R', b'T', b'P']),
            padded(&[20, 0xfe, 0xfd, 0, 0]),
            padded(&[22, 0xfe, 0xff, 0, 0]),
            padded(&[63, 0xfe, 0xfd, 0, 0]),
            padded(&[0x40, 0, 0, 40]),
            padded(&[0xc0, 0, 0, 1]),
        ];
        for other in &others {
            b.rtp.send_to(other, stream.b.rtp()).unwrap();
            b.rtcp.send_to(other, stream.b.rtcp()).unwrap();
        }
        let count = 2 * others.len() as u64;
        setup.counted(|counters| counters.dropped_for(Realm::Untrusted, DropReason::NotRtp) == count);
        a.rtp.send_to(&rtp(1), stream.a.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::NoDestination) == 1);
        // Nothing was learned, and nothing crossed: the first that comes is the first that is RTP.
        talk_until_heard(&b.rtp, stream.b.rtp(), &a.rtp, 1);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(2));
    });
}

#[test]
fn rtcp_of_one_side_shares_rtps_port_and_that_of_the_other_does_not() {
    over_both_engines(|setup| {
        let stream = setup.opened(ONE);
        let (a, b) = (Peer::new(setup.address), Peer::new(setup.address));
        setup.set_remote(ONE, Side::A, RemoteMedia { rtcp: a.rtp_address(), ..a.remote() });
        // Its RTCP at another address than its RTP (RFC 3605).
        let elsewhere = Peer::at(own_address().into());
        let rtcp = elsewhere.rtcp.local_addr().unwrap();
        setup.set_remote(ONE, Side::B, RemoteMedia { rtcp, ..b.remote() });
        setup.settle();
        assert_eq!(passes(&a.rtp, stream.a.rtp(), &elsewhere.rtcp, &RTCP), stream.b.rtcp());
        assert_eq!(passes(&elsewhere.rtcp, stream.b.rtcp(), &a.rtp, &RTCP), stream.a.rtp());
        assert_eq!(passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1)), stream.b.rtp());
        // RTCP on the RTP port of a side that does not share it is none.
        b.rtp.send_to(&RTCP, stream.b.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Untrusted, DropReason::NotRtp) == 1);
    });
}

#[test]
fn each_side_is_marked_as_its_trunk_says() {
    over_both_engines(|setup| {
        let stream = setup.stream();
        let marking = Marking { a: Dscp::named("CS5").unwrap(), b: Dscp::new(11).unwrap() };
        let streams = vec![stream];
        setup.command(MediaCommand::Open { session: ONE, first_stream: 0, streams, marking });
        assert_eq!(setup.event(), MediaEvent::Opened { session: ONE, first_stream: 0 });
        let (a, b) = (Peer::new(setup.address), Peer::new(setup.address));
        setup.set_remote(ONE, Side::A, a.remote());
        setup.set_remote(ONE, Side::B, b.remote());
        setup.settle();
        for socket in [&a.rtp, &a.rtcp, &b.rtp, &b.rtcp] {
            socket2::SockRef::from(socket).set_recv_tos_v4(true).unwrap();
        }
        a.rtp.send_to(&rtp(1), stream.a.rtp()).unwrap();
        assert_eq!(received_tos(&b.rtp), 11 << 2);
        b.rtp.send_to(&rtp(1), stream.b.rtp()).unwrap();
        assert_eq!(received_tos(&a.rtp), 40 << 2);
        a.rtcp.send_to(&RTCP, stream.a.rtcp()).unwrap();
        assert_eq!(received_tos(&b.rtcp), 11 << 2);
        // Nothing said: telephony.
        let (other, c, d) = setup.joined(TWO);
        socket2::SockRef::from(&d.rtp).set_recv_tos_v4(true).unwrap();
        c.rtp.send_to(&rtp(1), other.a.rtp()).unwrap();
        assert_eq!(received_tos(&d.rtp), 46 << 2);
    });
}

/// The TOS byte of the next datagram.
#[allow(unsafe_code)]
fn received_tos(socket: &UdpSocket) -> u8 {
    let (mut payload, mut control) = ([0u8; 256], [0u64; 16]);
    let mut part = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // SAFETY: all-zero bytes are a header without name, parts or control data; what it is then made to point to
    // lives across the call, and the control data is aligned and as long as it says.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        assert!(libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) > 0, "nothing came");
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        assert!(!first.is_null() && (*first).cmsg_type == libc::IP_TOS);
        *libc::CMSG_DATA(first)
    }
}

/// An operator asks how a call is while it goes on.
#[test]
fn a_session_tells_how_it_is_and_goes_on() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        for sequence in 0..5 {
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(sequence));
        }
        setup.command(MediaCommand::Report { session: ONE });
        let MediaEvent::Report { session: ONE, live: Some(live) } = setup.event() else {
            panic!("no report")
        };
        let from_a = &live.streams[0].from_a;
        assert_eq!((from_a.packets, from_a.bytes, from_a.lost), (5, 5 * 172, 0));
        assert_eq!((from_a.signalled, from_a.source), (Some(a.rtp_address()), Some(a.rtp_address())));
        assert!(from_a.last_packet.is_some_and(|last| last <= live.at));
        assert_eq!(live.streams[0].from_b.last_packet, None);
        passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(7));
        let stranger = MediaSessionId(77);
        setup.command(MediaCommand::Report { session: stranger });
        assert_eq!(setup.event(), MediaEvent::Report { session: stranger, live: None });
        assert_eq!(setup.close(ONE).from_a, live.report.from_a);
    });
}
