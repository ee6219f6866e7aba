//! Which RTCP is told for a capture server, and how much of it: the same over each engine.

use super::*;
use crate::media::RtcpCopy;

/// A sender report without blocks, of the source of [`rtp`].
fn sender_report(packets: u8) -> Vec<u8> {
    let mut bytes = vec![0x80, 200, 0, 6, 0xca, 0xfe, 0xba, 0xbe];
    bytes.extend([0; 19]);
    bytes.push(packets);
    bytes
}

impl Setup {
    /// A session whose RTCP is wanted.
    fn copied(&mut self) -> (StreamPorts, Peer, Peer) {
        self.relay.set_copies_rtcp(true);
        self.joined(ONE)
    }

    fn copy(&mut self) -> RtcpCopy {
        match self.event() {
            MediaEvent::Rtcp { session: ONE, copy } => *copy,
            other => panic!("{other:?}"),
        }
    }

    /// Closes a session, with what was told before.
    fn copies_until_closed(&mut self) -> Vec<RtcpCopy> {
        self.command(MediaCommand::Close { session: ONE });
        let mut copies = Vec::new();
        loop {
            match self.event() {
                MediaEvent::Rtcp { session: ONE, copy } => copies.push(*copy),
                MediaEvent::Closed { .. } => return copies,
                other => panic!("{other:?}"),
            }
        }
    }
}

fn is_of(copy: &RtcpCopy, source: &UdpSocket, destination: SocketAddr, bytes: &[u8]) {
    assert_eq!((copy.source, copy.destination), (source.local_addr().unwrap(), destination));
    assert_eq!(&copy.bytes[..], bytes);
}

#[test]
fn the_rtcp_of_both_peers_is_told_with_the_addresses_that_it_had() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.copied();
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &sender_report(1));
        is_of(&setup.copy(), &a.rtcp, stream.a.rtcp(), &sender_report(1));
        passes(&b.rtcp, stream.b.rtcp(), &a.rtcp, &RTCP);
        is_of(&setup.copy(), &b.rtcp, stream.b.rtcp(), &RTCP);
        // On one port with RTP.
        setup.set_remote(ONE, Side::A, RemoteMedia { rtcp: a.rtp_address(), ..a.remote() });
        setup.settle();
        passes(&a.rtp, stream.a.rtp(), &b.rtcp, &sender_report(2));
        is_of(&setup.copy(), &a.rtp, stream.a.rtp(), &sender_report(2));
        assert_eq!(setup.copies_until_closed(), []);
        assert_eq!(setup.relay.counters().copies_lost, 0);
    });
}

#[test]
fn nothing_is_told_of_rtcp_that_nobody_wants_or_may_read_or_that_is_a_strangers() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &RTCP);
        setup.relay.set_copies_rtcp(true);
        setup.settle();
        let stranger = Peer::new(setup.address);
        stranger.rtcp.send_to(&RTCP, stream.a.rtcp()).unwrap();
        // Feedback is no report.
        passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &[0x81, 206, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
        for (side, peer) in [(Side::A, &a), (Side::B, &b)] {
            let secured = RemoteMedia { kind: StreamKind::SecuredRtp, ..peer.remote() };
            setup.set_remote(ONE, side, secured);
        }
        setup.settle();
        passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &sender_report(1));
        setup.relay.set_copies_rtcp(false);
        for (side, peer) in [(Side::A, &a), (Side::B, &b)] {
            setup.set_remote(ONE, side, peer.remote());
        }
        setup.settle();
        passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &sender_report(1));
        assert_eq!(setup.copies_until_closed(), []);
        let counters = setup.relay.counters();
        assert_eq!(
            (counters.copies_lost, counters.dropped_for(Realm::Trusted, DropReason::SourceMismatch)),
            (0, 1)
        );
    });
}

#[test]
fn of_a_flood_of_rtcp_little_is_told_and_all_of_it_crosses() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.copied();
        for number in 0..100 {
            passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &sender_report(number));
        }
        // The other side's is told all the same.
        passes(&b.rtcp, stream.b.rtcp(), &a.rtcp, &RTCP);
        // One that fits into no packet of the network's is not.
        let mut long = vec![0x80, 201, 1, 129, 1, 2, 3, 4];
        long.resize(4 * 386, 0);
        passes(&b.rtcp, stream.b.rtcp(), &a.rtcp, &long);
        let copies = setup.copies_until_closed();
        let (from_a, from_b): (Vec<_>, Vec<_>) =
            copies.iter().partition(|copy| copy.source == a.rtcp.local_addr().unwrap());
        // Four at once, and four more for each second that the test takes.
        assert!((4..50).contains(&from_a.len()), "{}", from_a.len());
        is_of(from_a[0], &a.rtcp, stream.a.rtcp(), &sender_report(0));
        assert_eq!(from_b.len(), 1);
        let lost = setup.relay.counters().copies_lost as usize;
        assert_eq!(lost, 100 - from_a.len() + 1);
    });
}

#[test]
fn copies_keep_no_other_event_waiting_while_the_driver_is_behind() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.copied();
        // Nobody reads: more than half of the channel is full of what is waited for.
        let others = crate::relay::EVENTS_MAX as u64 / 2 + 1;
        let closed = |id: u64| MediaSessionId(1 + 2 * (1_000 + id));
        for id in 0..others {
            setup.command(MediaCommand::Close { session: closed(id) });
        }
        // They are carried out before the packet is looked at.
        passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &RTCP);
        setup.counted(|counters| counters.copies_lost == 1);
        for id in 0..others {
            let report = Box::default();
            assert_eq!(setup.event(), MediaEvent::Closed { session: closed(id), report });
        }
        passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &RTCP);
        is_of(&setup.copy(), &a.rtcp, stream.a.rtcp(), &RTCP);
        assert_eq!(setup.copies_until_closed(), []);
    });
}
