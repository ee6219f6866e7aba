use super::*;
use crate::media::{Codec, EventRule, Format, Formats, MediaSession, PortKind, RemoteMedia, StreamKind};

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: SilenceLimits = SilenceLimits {
    nothing: Duration::from_secs(60),
    one_way: SilenceLimits::ONE_WAY,
    one_way_end: Duration::from_secs(30),
    hold: Duration::from_secs(600),
};

const A: &str = "10.0.0.9:4000";
const B: &str = "203.0.113.7:6000";

/// A call that talks, and what was told of it by when.
struct Talk {
    media: MediaSession,
    now: Instant,
    sequence: u16,
    told: Vec<(u64, Silence)>,
}

fn remote(address: &str) -> RemoteMedia {
    let rtp: SocketAddr = address.parse().unwrap();
    RemoteMedia::plain(rtp, rtp.ip())
}

impl Talk {
    /// Both sides are known; the call is not answered yet.
    fn ringing() -> Talk {
        let mut media = MediaSession::new(Instant::ZERO);
        media.add_stream();
        let mut talk = Talk { media, now: Instant::ZERO, sequence: 0, told: Vec::new() };
        talk.say(Side::A, remote(A));
        talk.say(Side::B, remote(B));
        talk
    }

    fn answered() -> Talk {
        let mut talk = Talk::ringing();
        talk.media.set_answered(talk.now);
        talk
    }

    fn say(&mut self, side: Side, remote: RemoteMedia) {
        self.media.set_remote(0, side, Some(remote), self.now);
    }

    /// So many seconds with 50 packets each from these addresses, with this payload.
    fn pass(&mut self, seconds: u64, from: &[(Side, &str, u8, usize)]) {
        for tick in 0..seconds * 50 {
            self.sequence = self.sequence.wrapping_add(1);
            for (side, source, payload_type, bytes) in from {
                let mut packet = vec![0x80, *payload_type];
                packet.extend(self.sequence.to_be_bytes());
                packet.extend((u32::from(self.sequence) * 160).to_be_bytes());
                packet.extend(if *side == Side::A { [0, 0, 0, 1] } else { [0, 0, 0, 2] });
                packet.resize(12 + bytes, 0);
                let at = (0, *side, PortKind::Rtp);
                self.media.receive(at, source.parse().unwrap(), &packet, self.now).unwrap();
            }
            self.now = self.now + Duration::from_millis(20);
            if tick % 50 == 49 {
                let now = self.now;
                let told = &mut self.told;
                self.media.look(&LIMITS, now, |silence| told.push((now.as_micros() / 1_000_000, silence)));
            }
        }
    }

    /// The one-way audio that was told: when, of whom, and whether it was too long.
    fn one_way(&self) -> Vec<(u64, Side, bool)> {
        let found = |(at, silence): &(u64, Silence)| match silence {
            Silence::OneWay(found) => Some((*at, found.silent, found.is_overdue)),
            Silence::Everything | Silence::OnHold => None,
        };
        self.told.iter().filter_map(found).collect()
    }

    fn found(&self) -> &OneWay {
        match &self.told[0].1 {
            Silence::OneWay(found) => found,
            other => panic!("{other:?}"),
        }
    }
}

const A_TALKS: (Side, &str, u8, usize) = (Side::A, A, 0, 160);
const B_TALKS: (Side, &str, u8, usize) = (Side::B, B, 0, 160);

#[test]
fn who_talks_both_ways_is_let_be() {
    let mut talk = Talk::answered();
    talk.pass(60, &[A_TALKS, B_TALKS]);
    assert_eq!(talk.told, []);
    assert_eq!(talk.media.report().from_a.one_way, Duration::ZERO);
}

#[test]
fn a_side_that_never_speaks_is_found_within_six_seconds_of_the_answer() {
    let mut talk = Talk::ringing();
    // The callee's announcement, before the answer: nobody owes anything.
    talk.pass(30, &[B_TALKS]);
    talk.media.set_answered(talk.now);
    talk.pass(10, &[B_TALKS]);
    assert_eq!(talk.one_way(), [(35, Side::A, false)]);
    let found = talk.found();
    assert_eq!((found.heard_across, found.was_heard, found.lasted), (250, false, SECOND * 5));
    assert_eq!((found.signalled, found.sent_to), (A.parse().ok(), A.parse().ok()));
    assert_eq!(found.dropped, None);
}

#[test]
fn it_is_told_again_each_time_that_its_timeout_passes() {
    let mut talk = Talk::answered();
    talk.pass(70, &[A_TALKS]);
    assert_eq!(talk.one_way(), [(5, Side::B, false), (30, Side::B, true), (60, Side::B, true)]);
    let report = talk.media.report();
    assert_eq!((report.from_a.one_way, report.from_b.one_way), (Duration::ZERO, SECOND * 70));
}

#[test]
fn a_side_that_falls_silent_is_found_and_one_that_comes_back_is_looked_at_anew() {
    let mut talk = Talk::answered();
    talk.pass(20, &[A_TALKS, B_TALKS]);
    talk.pass(10, &[A_TALKS]);
    // A look finds the last packet of the second before.
    assert_eq!(talk.one_way(), [(25, Side::B, false)]);
    assert!(talk.found().was_heard);
    talk.pass(20, &[A_TALKS, B_TALKS]);
    talk.pass(8, &[B_TALKS]);
    assert_eq!(talk.one_way()[1..], [(55, Side::A, false)]);
    let report = talk.media.report();
    assert_eq!((report.from_a.one_way, report.from_b.one_way), (SECOND * 8, SECOND * 11));
    assert_eq!((report.from_a.is_silent, report.from_b.is_silent), (true, false));
}

#[test]
fn what_is_dropped_is_as_silent_as_what_never_came_but_is_told() {
    let stranger = (Side::B, "198.51.100.7:40000", 0, 160);
    let mut talk = Talk::answered();
    talk.pass(6, &[A_TALKS, stranger]);
    assert_eq!(talk.one_way(), [(5, Side::B, false)]);
    let dropped = talk.found().dropped.unwrap();
    assert_eq!((dropped.reason, dropped.packets), (DropReason::SourceMismatch, 250));
    assert_eq!(dropped.source, "198.51.100.7:40000".parse().ok());
    let report = talk.media.report();
    assert_eq!((report.from_b.dropped, report.from_b.packets), (300, 0));
}

#[test]
fn a_peer_behind_a_nat_that_must_be_heard_first_is_told_of() {
    let mut talk = Talk::ringing();
    let behind = RemoteMedia::plain("192.168.1.10:4000".parse().unwrap(), "203.0.113.7".parse().unwrap());
    talk.say(Side::B, behind);
    talk.media.set_answered(talk.now);
    talk.pass(6, &[A_TALKS]);
    // A's packets go nowhere, so that of A nothing is heard either: its reason is B.
    assert_eq!(talk.one_way(), [(5, Side::B, false)]);
    assert_eq!(talk.found().sent_to, None);
}

#[test]
fn nobody_is_owed_talk_on_hold_or_by_who_does_not_send() {
    let mut talk = Talk::answered();
    talk.media.set_hold(true, talk.now);
    talk.pass(60, &[A_TALKS]);
    talk.media.set_hold(false, talk.now);
    talk.say(Side::B, RemoteMedia { sends: false, ..remote(B) });
    talk.pass(60, &[A_TALKS]);
    talk.say(Side::B, remote(B));
    talk.say(Side::A, RemoteMedia { receives: false, ..remote(A) });
    talk.pass(60, &[A_TALKS]);
    assert_eq!(talk.told, []);
    talk.say(Side::A, remote(A));
    talk.pass(6, &[A_TALKS]);
    assert_eq!(talk.one_way(), [(185, Side::B, false)]);
}

#[test]
fn a_sender_that_suppresses_silence_may_pause_but_not_begin_with_it() {
    // Comfort noise, then nothing.
    let mut talk = Talk::answered();
    talk.pass(5, &[A_TALKS, B_TALKS]);
    talk.pass(1, &[A_TALKS, (Side::B, B, 13, 1)]);
    talk.pass(40, &[A_TALKS]);
    assert_eq!(talk.told, []);
    // The same of G.729 in frames of its own.
    let mut talk = Talk::answered();
    talk.pass(5, &[A_TALKS, (Side::B, B, 18, 20)]);
    talk.pass(1, &[A_TALKS, (Side::B, B, 18, 2)]);
    talk.pass(40, &[A_TALKS]);
    assert_eq!(talk.told, []);
    // Nobody hears one that says nothing from the beginning, whatever its codec could do.
    let mut talk = Talk::answered();
    talk.pass(6, &[(Side::A, A, 18, 20)]);
    assert_eq!(talk.one_way().len(), 1);
}

#[test]
fn nobody_misses_a_side_while_the_other_is_quiet() {
    let mut talk = Talk::answered();
    talk.pass(20, &[]);
    assert_eq!(talk.told, []);
    // A few packets are no talk, and what was said long ago is not waited on.
    let mut talk = Talk::answered();
    for _ in 0..20 {
        talk.sequence += 1;
        let packet = [0x80, 0, 0, talk.sequence as u8, 0, 0, 0, 0, 0, 0, 0, 1];
        talk.media.receive((0, Side::A, PortKind::Rtp), A.parse().unwrap(), &packet, talk.now).unwrap();
        talk.pass(1, &[]);
    }
    assert_eq!(talk.told, []);
    talk.pass(2, &[A_TALKS]);
    talk.told.clear();
    talk.pass(20, &[]);
    assert_eq!(talk.told, []);
}

#[test]
fn neither_fax_nor_video_nor_keys_alone_are_talk() {
    let format = |codec, payload_type| Format { payload_type, codec, clock_hz: 8_000 };
    let with =
        |formats: &[Format]| RemoteMedia { formats: Formats::of(formats.iter().copied()), ..remote(B) };
    for (said, is_talk) in [
        (with(&[]), true),
        (with(&[format(Codec::Opus, 111)]), true),
        (with(&[format(Codec::Other, 96), format(Codec::TelephoneEvent, 101)]), true),
        (with(&[format(Codec::Other, 96)]), false),
        (with(&[format(Codec::TelephoneEvent, 101)]), false),
        (RemoteMedia { kind: StreamKind::SecuredRtp, ..remote(B) }, true),
        (RemoteMedia { kind: StreamKind::Udptl, ..remote(B) }, false),
    ] {
        let mut talk = Talk::answered();
        talk.say(Side::B, said);
        talk.pass(10, &[A_TALKS]);
        assert_eq!(talk.one_way().len(), usize::from(is_talk), "{said:?}");
    }
}

#[test]
fn silence_on_hold_has_a_limit_of_its_own_and_rtcp_is_no_silence() {
    const RTCP: [u8; 8] = [0x80, 201, 0, 1, 1, 2, 3, 4];
    let mut talk = Talk::answered();
    talk.media.set_hold(true, talk.now);
    talk.pass(400, &[]);
    let at = (0, Side::A, PortKind::Rtcp);
    talk.media.receive(at, "10.0.0.9:4001".parse().unwrap(), &RTCP, talk.now).unwrap();
    talk.pass(599, &[]);
    assert_eq!(talk.told, []);
    talk.pass(602, &[]);
    assert_eq!(talk.told, [(1_000, Silence::OnHold), (1_600, Silence::OnHold)]);
    // It ends with the hold: now both owe talk.
    talk.told.clear();
    talk.media.set_hold(false, talk.now);
    talk.pass(61, &[]);
    assert_eq!(talk.told, [(1_661, Silence::Everything)]);
}

#[test]
fn a_limit_of_zero_is_none() {
    let never = SilenceLimits {
        nothing: Duration::ZERO,
        one_way: Duration::ZERO,
        one_way_end: Duration::ZERO,
        ..LIMITS
    };
    let mut talk = Talk::answered();
    talk.pass(4, &[A_TALKS]);
    let later = talk.now + SECOND * 3_600;
    talk.media.look(&never, later, |silence| panic!("{silence:?}"));
    talk.media.set_hold(true, talk.now);
    talk.media
        .look(&SilenceLimits { hold: Duration::ZERO, ..LIMITS }, later, |silence| panic!("{silence:?}"));
}

#[test]
fn the_shortest_limit_that_there_is_says_how_often_to_look() {
    assert_eq!(LIMITS.shortest(), SilenceLimits::ONE_WAY);
    let never = Duration::ZERO;
    let none = SilenceLimits { nothing: never, one_way: never, one_way_end: never, hold: never };
    assert_eq!(none.shortest(), SilenceLimits::ONE_WAY);
    assert_eq!(SilenceLimits { hold: SECOND, ..LIMITS }.shortest(), SECOND);
}

/// A call with media shall need 8 KiB of user space at most, of which this is the relay's share. One with
/// more streams than voice and a picture is rare.
#[test]
fn a_call_is_small() {
    let bytes =
        |streams: usize| size_of::<MediaSession>() + streams * (size_of::<Stream>() + 2 * size_of::<Watch>());
    assert!(bytes(1) <= 4_096 && bytes(2) <= 8_192, "{} {}", bytes(1), bytes(2));
}

#[test]
fn whose_keys_are_taken_out_of_the_stream_is_heard() {
    let mut talk = Talk::answered();
    let formats = Formats::of([
        Format { payload_type: 0, codec: Codec::Pcmu, clock_hz: 8_000 },
        Format { payload_type: 96, codec: Codec::TelephoneEvent, clock_hz: 8_000 },
    ]);
    let events = EventRule::Tell { offered: None };
    talk.say(Side::A, RemoteMedia { events, formats, ..remote(A) });
    talk.say(Side::B, RemoteMedia { formats, ..remote(B) });
    talk.pass(1, &[(Side::A, A, 0, 160), (Side::B, B, 0, 160)]);
    // A key that is held for long: nothing but its events comes.
    talk.pass(40, &[(Side::A, A, 96, 4), (Side::B, B, 0, 160)]);
    assert_eq!(talk.told, []);
}
