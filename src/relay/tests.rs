//! What every engine does, tried over loopback. Each test has a loopback address of its own, so
//! that tests which run at once do not meet.

mod attacks;
mod copies;
mod quality;
mod setup;
mod streams;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use setup::*;
pub(super) use setup::{PATIENCE, own_address, refused};

use super::mailbox::SimulatedFault;
use super::{EngineChoice, Features, Relay, RelayCounters, RelaySettings};
use crate::base::Realm;
use crate::media::{
    DropReason, Marking, MediaCommand, MediaEvent, MediaReport, MediaSessionId, PortPair, RemoteMedia, Side,
    SilenceLimits, StreamKind, StreamPorts,
};
use crate::runtime::Clock;

#[test]
fn the_automatic_choice_always_starts_and_relays() {
    let settings = RelaySettings::new(2, EngineChoice::Auto, Duration::from_secs(60));
    let mut setup = Setup::start(settings).unwrap();
    assert!(["io_uring", "portable"].contains(&setup.relay.engine_name()));
    let (stream, a, b) = setup.joined(ONE);
    passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
}

#[test]
fn a_kernel_that_lacks_what_io_uring_needs_gets_the_portable_engine_and_strictly_none() {
    const ALL: Features = Features::NONE;
    for without in [
        Features { io_uring: true, ..ALL },
        Features { buffer_ring: true, ..ALL },
        Features { skip_success: true, ..ALL },
        Features { multishot: true, ..ALL },
    ] {
        let auto = RelaySettings::new(WORKERS as usize, EngineChoice::Auto, Duration::from_secs(60));
        let auto = RelaySettings { without, ..auto };
        let mut setup = Setup::start(auto).unwrap();
        assert_eq!(setup.relay.engine_name(), "portable");
        assert!(!setup.relay.sends_without_copy());
        let (stream, a, b) = setup.joined(ONE);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        let strictly = RelaySettings { engine: EngineChoice::IoUring, ..auto };
        assert!(Setup::start(strictly).is_err());
    }
}

#[test]
fn a_worker_that_fails_ends_its_calls_aloud_and_serves_the_next() {
    for fault in [SimulatedFault::Panic, SimulatedFault::Ring] {
        for engine in [EngineChoice::Portable, EngineChoice::IoUring] {
            let settings = RelaySettings::new(WORKERS as usize, engine, Duration::from_secs(60));
            let mut setup = match Setup::start(settings) {
                Ok(setup) => setup,
                Err(error) => return refused(&error),
            };
            // Of two workers the one that fails has session 1, the other session 2.
            let (lost, a, b) = setup.joined(ONE);
            passes(&a.rtp, lost.a.rtp(), &b.rtp, &rtp(1));
            let (kept, c, d) = setup.joined(TWO);
            setup.relay.break_worker(1, fault);
            assert_eq!(setup.event(), MediaEvent::Lost { session: ONE });
            assert!(!setup.relay.has_dead_worker());
            passes(&c.rtp, kept.a.rtp(), &d.rtp, &rtp(1));
            // What was measured before is still told, and the ports are free.
            assert_eq!(setup.close(ONE).from_a.packets, 1);
            until("the ports", || setup.bound_sockets() == 4 + 8);
            let (stream, a, b) = setup.joined(MediaSessionId(3));
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(2));
            assert_eq!(setup.relay.counters().restarts, 1);
        }
    }
}

#[test]
fn a_worker_that_hangs_is_told_from_one_that_is_idle() {
    for engine in [EngineChoice::Portable, EngineChoice::IoUring] {
        let settings = RelaySettings::new(WORKERS as usize, engine, Duration::from_secs(60));
        let setup = match Setup::start(settings) {
            Ok(setup) => setup,
            Err(error) => return refused(&error),
        };
        // Nobody has a call: both wait in the kernel.
        assert!(setup.relay.take_pulse(), "the first look believes all");
        until("a turn of both", || setup.relay.take_pulse());
        let turns = |number: usize| setup.relay.workers[number].counters.turns();
        setup.relay.break_worker(1, SimulatedFault::Hang);
        // Until it has come to the place where it hangs, it turns.
        until("the hanging worker", || !setup.relay.take_pulse());
        until("only one of them", || {
            let (first, second) = (turns(0), turns(1));
            let is_felt = setup.relay.take_pulse();
            until("a turn of the other", || turns(0) > first);
            !is_felt && turns(1) == second
        });
        assert!(setup.relay.has_stuck_worker() && !setup.relay.has_dead_worker());
        // It comes back: as a fault that it is asked for.
        setup.relay.break_worker(1, SimulatedFault::Ring);
        until("a turn of both", || setup.relay.take_pulse());
        assert!(!setup.relay.has_stuck_worker());
    }
}

#[test]
fn a_worker_that_fails_again_and_again_is_given_up_and_says_so() {
    for engine in [EngineChoice::Portable, EngineChoice::IoUring] {
        let settings = RelaySettings::new(WORKERS as usize, engine, Duration::from_secs(60));
        let mut setup = match Setup::start(settings) {
            Ok(setup) => setup,
            Err(error) => return refused(&error),
        };
        setup.opened(ONE);
        for failures in 1..=5 {
            setup.relay.break_worker(1, SimulatedFault::Ring);
            setup.counted(|counters| counters.restarts == failures);
            assert_eq!(setup.event(), MediaEvent::Lost { session: ONE });
        }
        until("the worker's end", || setup.relay.has_dead_worker());
        let stream = setup.stream();
        setup.open(MediaSessionId(3), 0, vec![stream]);
        let event = setup.event();
        assert!(matches!(event, MediaEvent::OpenFailed { errno: libc::EIO, .. }), "{event:?}");
        setup.close(ONE);
        assert_eq!(setup.bound_sockets(), 0);
        // The other one lives.
        let (stream, a, b) = setup.joined(TWO);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
    }
}

#[test]
fn a_packet_waits_no_longer_than_the_batch_and_the_work() {
    const BATCH: Duration = Duration::from_millis(5);
    for (name, settings) in variants() {
        let mut setup = match Setup::start(RelaySettings { batch: BATCH, ..settings }) {
            Ok(setup) => setup,
            Err(error) if settings.engine == EngineChoice::IoUring => return refused(&error),
            Err(error) => panic!("{error}"),
        };
        let (stream, a, b) = setup.joined(ONE);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(0));
        // The machine may be busy, so the best of some counts: without the bound none would be early.
        let best = (1..40).map(|sequence| {
            let begin = now();
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(sequence));
            now() - begin
        });
        let best = best.min().unwrap();
        assert!(best < BATCH + Duration::from_millis(3), "over {name}: {best:?}");
    }
}

#[test]
fn packets_cross_unchanged_both_ways_and_leave_from_the_far_sides_port() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        for sequence in 0..100 {
            assert_eq!(passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(sequence)), stream.b.rtp());
            assert_eq!(passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(sequence)), stream.a.rtp());
        }
        setup.counted(|counters| counters.rtp.trusted.sent.packets == 100);
        let counters = setup.relay.counters();
        for realm in Realm::ALL {
            assert_eq!(counters.rtp[realm].received.packets, 100);
            assert_eq!(counters.rtp[realm].sent.bytes, 17_200);
            assert_eq!(counters.dropped[realm], [0; DropReason::ALL.len()]);
        }
    });
}

#[test]
fn rtcp_crosses_on_the_odd_ports_and_is_not_counted_as_rtp() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        assert_eq!(passes(&a.rtcp, stream.a.rtcp(), &b.rtcp, &RTCP), stream.b.rtcp());
        assert_eq!(passes(&b.rtcp, stream.b.rtcp(), &a.rtcp, &RTCP), stream.a.rtcp());
        assert_eq!(setup.relay.counters().rtp.trusted.received.packets, 0);
    });
}

#[test]
fn fax_crosses_both_ways_and_audio_after_it_from_the_same_ports() {
    const UDPTL: [u8; 8] = [0, 2, 1, 0x06, 0, 1, 1, 0x00];
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        let fax = |peer: &Peer| RemoteMedia { kind: StreamKind::Udptl, ..peer.remote() };
        setup.set_remote(ONE, Side::A, fax(&a));
        setup.set_remote(ONE, Side::B, fax(&b));
        setup.settle();
        for _ in 0..50 {
            assert_eq!(passes(&a.rtp, stream.a.rtp(), &b.rtp, &UDPTL), stream.b.rtp());
            assert_eq!(passes(&b.rtp, stream.b.rtp(), &a.rtp, &UDPTL), stream.a.rtp());
        }
        let stranger = Peer::at(own_address().into());
        stranger.rtp.send_to(&UDPTL, stream.a.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::SourceMismatch) == 1);
        a.rtp.send_to(b"\0", stream.a.rtp()).unwrap();
        a.rtcp.send_to(&RTCP, stream.a.rtcp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::NotRtp) == 2);
        setup.set_remote(ONE, Side::A, a.remote());
        setup.set_remote(ONE, Side::B, b.remote());
        setup.settle();
        assert_eq!(passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(2)), stream.a.rtp());
        setup.counted(|counters| counters.rtp.trusted.received.packets == 51);
        let report = setup.close(ONE);
        assert_eq!((report.from_a.packets, report.from_b.packets), (51, 51));
        assert_eq!((report.from_a.bytes, report.from_a.dropped), (172 + 50 * 8, 3));
    });
}

#[test]
fn bursts_longer_than_a_batch_cross_whole_and_in_order() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        for burst in 0..20u16 {
            for index in 0..50 {
                a.rtp.send_to(&rtp(burst * 50 + index), stream.a.rtp()).unwrap();
            }
            for index in 0..50 {
                assert_eq!(receive(&b.rtp).0, rtp(burst * 50 + index));
            }
        }
    });
}

#[test]
fn a_stranger_is_dropped_and_counted_and_turns_nothing() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        let stranger = Peer::at(own_address().into());
        stranger.rtp.send_to(&rtp(666), stream.a.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::SourceMismatch) == 1);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(1));
        for bytes in [&rtp(667)[..], &RTCP, b"", b"rubbish"] {
            stranger.rtp.send_to(bytes, stream.b.rtp()).unwrap();
        }
        setup.counted(|counters| counters.dropped.untrusted.iter().sum::<u64>() == 4);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(2));
        passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(2));
        let report = setup.close(ONE);
        assert_eq!((report.from_a.packets, report.from_a.dropped), (2, 1));
        assert_eq!((report.from_b.packets, report.from_b.dropped), (2, 4));
    });
}

#[test]
fn a_peer_behind_a_nat_is_learned_once_and_nobody_after_it() {
    over_both_engines(|setup| {
        let stream = setup.opened(ONE);
        let (a, b) = (Peer::new(setup.address), Peer::new(setup.address));
        setup.set_remote(ONE, Side::A, a.remote());
        // What it signalled means nothing here; its signalling's address does.
        let unknown = SocketAddr::from(([0, 0, 0, 0], 9));
        let remote = RemoteMedia { rtp: unknown, rtcp: unknown, ..b.remote() };
        setup.set_remote(ONE, Side::B, remote);
        setup.settle();

        a.rtp.send_to(&rtp(1), stream.a.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::NoDestination) == 1);
        let stranger = Peer::at(own_address().into());
        stranger.rtp.send_to(&rtp(1), stream.b.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Untrusted, DropReason::SourceMismatch) == 1);
        talk_until_heard(&b.rtp, stream.b.rtp(), &a.rtp, 1);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(2));
        let late = Peer::new(setup.address);
        late.rtp.send_to(&rtp(1), stream.b.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Untrusted, DropReason::SourceMismatch) == 2);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(3));
    });
}

#[test]
fn signalling_moves_a_peer() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(1));
        let moved = Peer::at(own_address().into());
        setup.set_remote(ONE, Side::B, moved.remote());
        setup.settle();
        passes(&a.rtp, stream.a.rtp(), &moved.rtp, &rtp(2));
        passes(&moved.rtp, stream.b.rtp(), &a.rtp, &rtp(2));
        b.rtp.send_to(&rtp(3), stream.b.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Untrusted, DropReason::SourceMismatch) == 1);
    });
}

#[test]
fn directions_are_honoured() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        setup.set_remote(ONE, Side::A, RemoteMedia { sends: false, ..a.remote() });
        setup.settle();
        a.rtp.send_to(&rtp(1), stream.a.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::NotSending) == 1);
        passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(1));
    });
}

#[test]
fn what_fits_no_buffer_is_counted_and_what_just_fits_crosses() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        let long = |length: usize| {
            let mut bytes = rtp(1);
            bytes.resize(length, 7);
            bytes
        };
        a.rtp.send_to(&long(2_500), stream.a.rtp()).unwrap();
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::TooLarge) == 1);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &long(1_472));
    });
}

#[test]
fn what_the_operating_system_will_not_send_is_counted_and_harms_nothing_else() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        // An IPv6 peer cannot be reached from an IPv4 port.
        let remote = |text: &str| RemoteMedia { rtp: text.parse().unwrap(), ..b.remote() };
        let unreachable = RemoteMedia { signalling: IpAddr::from([1; 16]), ..remote("[101:101::1]:9") };
        setup.set_remote(ONE, Side::B, unreachable);
        setup.settle();
        for sequence in 0..3 {
            a.rtp.send_to(&rtp(sequence), stream.a.rtp()).unwrap();
        }
        setup.counted(|counters| counters.dropped_for(Realm::Trusted, DropReason::SendFailed) == 3);
        setup.set_remote(ONE, Side::B, b.remote());
        setup.settle();
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(4));
        assert_eq!(setup.close(ONE).from_a.dropped, 3);
    });
}

#[test]
fn all_ports_or_none_are_bound_and_the_one_in_the_way_is_named() {
    over_both_engines(|setup| {
        let (free, taken) = (setup.stream(), setup.stream());
        let in_the_way = UdpSocket::bind(taken.b.rtcp()).unwrap();
        setup.open(ONE, 0, vec![free, taken]);
        let event = setup.event();
        let MediaEvent::OpenFailed { session: ONE, first_stream: 0, address, errno } = event else {
            panic!("{event:?}")
        };
        assert_eq!((address, errno), (taken.b.rtcp(), libc::EADDRINUSE));
        assert_eq!(setup.bound_sockets(), 1);
        drop(in_the_way);
        setup.open(ONE, 0, vec![free, taken]);
        assert_eq!(setup.event(), MediaEvent::Opened { session: ONE, first_stream: 0 });
        assert_eq!(setup.bound_sockets(), 8);
        UdpSocket::bind(free.a.rtp()).expect_err("the port is ours");
    });
}

#[test]
fn streams_are_added_without_gaps() {
    over_both_engines(|setup| {
        setup.opened(ONE);
        let further = setup.stream();
        setup.open(ONE, 2, vec![further]);
        let event = setup.event();
        assert!(matches!(event, MediaEvent::OpenFailed { errno: libc::EINVAL, .. }), "{event:?}");
        setup.open(ONE, 1, vec![further]);
        assert_eq!(setup.event(), MediaEvent::Opened { session: ONE, first_stream: 1 });
        setup.close(ONE);
        assert_eq!(setup.bound_sockets(), 0);
    });
}

#[test]
fn closed_ports_are_free_at_once_and_the_report_is_right() {
    over_both_engines(|setup| {
        // One session stays open all the while: no port may wait for another one's.
        setup.opened(TWO);
        let (stream, a, b) = setup.joined(MediaSessionId(4));
        for sequence in [1, 2, 3, 7] {
            passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(sequence));
        }
        passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(9));
        let report = setup.close(MediaSessionId(4));
        let rebound = [stream.a.rtp(), stream.a.rtcp(), stream.b.rtp(), stream.b.rtcp()]
            .map(|address| UdpSocket::bind(address).unwrap());
        assert_eq!((report.from_a.packets, report.from_a.bytes, report.from_a.lost), (4, 688, 3));
        assert_eq!((report.from_b.packets, report.from_b.lost, report.from_b.dropped), (1, 0, 0));
        assert!(report.from_a.first_packet < report.from_b.first_packet);
        assert!(report.from_a.mos.unwrap() < report.from_b.mos.unwrap());
        drop(rebound);
    });
}

#[test]
fn closing_what_is_not_there_is_answered() {
    over_both_engines(|setup| {
        assert_eq!(setup.close(MediaSessionId(77)), MediaReport::default());
    });
}

#[test]
fn silence_is_told_but_not_on_hold() {
    for engine in [EngineChoice::Portable, EngineChoice::IoUring] {
        let settings = RelaySettings::new(WORKERS as usize, engine, Duration::from_millis(150));
        let mut setup = match Setup::start(settings) {
            Ok(setup) => setup,
            Err(error) => return refused(&error),
        };
        setup.opened(TWO);
        setup.command(MediaCommand::SetHold { session: TWO, held: true });
        let (a, b) = (Peer::new(setup.address), Peer::new(setup.address));
        setup.opened(ONE);
        for session in [ONE, TWO] {
            setup.set_remote(session, Side::A, a.remote());
            setup.set_remote(session, Side::B, b.remote());
        }
        for _ in 0..3 {
            assert_eq!(setup.event(), MediaEvent::Silent { session: ONE });
        }
    }
}

#[test]
fn another_timeout_holds_for_calls_in_progress() {
    over_both_engines(|setup| {
        setup.joined(ONE);
        setup.relay.set_silence(SilenceLimits::only(Duration::from_millis(50)));
        assert_eq!(setup.event(), MediaEvent::Silent { session: ONE });
    });
}

#[test]
fn two_hundred_sessions_at_once() {
    over_both_engines(|setup| {
        let calls: Vec<_> = (0..200).map(|id| setup.joined(MediaSessionId(id))).collect();
        for sequence in 0..5 {
            for (stream, a, b) in &calls {
                a.rtp.send_to(&rtp(sequence), stream.a.rtp()).unwrap();
                b.rtp.send_to(&rtp(sequence), stream.b.rtp()).unwrap();
            }
            for (stream, a, b) in &calls {
                assert_eq!(receive(&a.rtp), (rtp(sequence), stream.a.rtp()));
                assert_eq!(receive(&b.rtp), (rtp(sequence), stream.b.rtp()));
            }
        }
        for id in 0..200 {
            let report = setup.close(MediaSessionId(id));
            assert_eq!((report.from_a.packets, report.from_b.packets), (5, 5));
        }
    });
}

#[test]
fn many_calls_one_after_the_other_leave_nothing_open() {
    over_both_engines(|setup| {
        let stream = setup.stream();
        for id in 0..500 {
            let session = MediaSessionId(id);
            setup.open(session, 0, vec![stream]);
            assert_eq!(setup.event(), MediaEvent::Opened { session, first_stream: 0 });
            setup.close(session);
        }
        assert_eq!(setup.bound_sockets(), 0);
    });
}

#[test]
fn ipv6_crosses_too() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return eprintln!("there is no IPv6 here: NOT tested");
    }
    over_both_engines(|setup| {
        // There is only one IPv6 loopback address, so the port is drawn instead.
        let rtp_port = 20_000 + 4 * (std::process::id() as u16 % 10_000);
        let address = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]);
        let b = PortPair { realm: Realm::Untrusted, address, rtp_port };
        let stream = StreamPorts { a: setup.pair(Realm::Trusted), b };
        setup.open(ONE, 0, vec![stream]);
        assert_eq!(setup.event(), MediaEvent::Opened { session: ONE, first_stream: 0 });
        let (a, b) = (Peer::new(setup.address), Peer::at(address));
        setup.set_remote(ONE, Side::A, a.remote());
        setup.set_remote(ONE, Side::B, b.remote());
        setup.settle();
        assert_eq!(passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1)), stream.b.rtp());
        assert_eq!(passes(&b.rtp, stream.b.rtp(), &a.rtp, &rtp(1)), stream.a.rtp());
        setup.close(ONE);
    });
}

#[test]
fn a_stopped_relay_leaves_no_port_bound() {
    over_both_engines(|setup| {
        let (stream, a, b) = setup.joined(ONE);
        passes(&a.rtp, stream.a.rtp(), &b.rtp, &rtp(1));
        assert_eq!(setup.bound_sockets(), 8);
        let settings = RelaySettings { workers: 1, ..setup.settings };
        // The old relay is dropped here, and joins its threads.
        (setup.relay, setup.events) = Relay::start(settings, Clock::start()).unwrap();
        until("the ports", || setup.bound_sockets() == 4);
    });
}

#[test]
fn events_that_the_driver_has_no_room_for_come_later_and_in_order() {
    over_both_engines(|setup| {
        // More answers than the channel holds, and nobody reads until all are asked for.
        let sessions = 2 * super::EVENTS_MAX as u64;
        for id in 0..sessions {
            setup.command(MediaCommand::Close { session: MediaSessionId(2 * id) });
        }
        for id in 0..sessions {
            let session = MediaSessionId(2 * id);
            let report = Box::default();
            assert_eq!(setup.event(), MediaEvent::Closed { session, report });
        }
        assert_eq!(setup.dropped(Realm::Trusted, DropReason::NotRtp), 0);
    });
}
