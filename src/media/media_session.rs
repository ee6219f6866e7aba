//! The media session of one call: its streams, whether it is on hold, when it was last heard, and
//! the report at its end.
//!
//! Must not know: SIP, sockets.

use std::net::SocketAddr;
use std::time::Duration;

use super::flow::{DropReason, Forward, PortKind};
use super::silence::{MAX_FAX_SILENCE, OneWay, Silence, SilenceLimits, Watch};
use super::stream::{Received, Stream, Verdict};
use super::{DirectionReport, MediaReport, PeerReport, Press, RemoteMedia, Side};
use crate::base::Instant;

/// A call's media as the relay keeps it. Plain data.
#[derive(Clone, PartialEq, Debug)]
pub struct MediaSession {
    streams: Vec<Stream>,
    /// The sides of each stream, as they were looked at last.
    watches: Vec<[Watch; 2]>,
    is_held: bool,
    /// Whether the call is answered: from then on both sides are to be heard.
    is_answered: bool,
    looked_at: Instant,
    /// Since when nothing was heard, or since when something may be expected.
    quiet_since: Instant,
}

impl MediaSession {
    /// Streams of one session: SDP with more m= lines is refused before it comes here.
    pub const STREAMS_MAX: usize = 16;

    /// A session without streams.
    pub fn new(now: Instant) -> MediaSession {
        MediaSession {
            streams: Vec::new(),
            watches: Vec::new(),
            is_held: false,
            is_answered: false,
            looked_at: now,
            quiet_since: now,
        }
    }

    /// How many streams there are.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Adds a stream, whose number is the count before.
    pub fn add_stream(&mut self) {
        self.streams.push(Stream::default());
        self.watches.push(Default::default());
    }

    /// Whether the call is on hold.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// One stream.
    pub fn stream(&self, number: u8) -> Option<&Stream> {
        self.streams.get(usize::from(number))
    }

    /// Decides on a datagram; `None` if there is no such stream.
    pub fn receive(
        &mut self,
        (number, side, port): (u8, Side, PortKind),
        source: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Option<Verdict> {
        let verdict = self.streams.get_mut(usize::from(number))?.receive(side, port, source, bytes, now);
        // On hold RTCP is all that must go on (RFC 3264 §5.1).
        if verdict.is_peer_rtp || (self.is_held && matches!(verdict.forward, Forward::To(_))) {
            self.quiet_since = now;
        }
        Some(verdict)
    }

    /// Reads what [`MediaSession::receive`] will need; see [`Stream::bring_near`].
    #[inline]
    pub fn bring_near(&self, number: u8, side: Side) -> u64 {
        let quiet = self.quiet_since.as_micros();
        self.streams.get(usize::from(number)).map_or(quiet, |stream| quiet ^ stream.bring_near(side))
    }

    /// Presses a key in the packets that come from a side of a stream; false: nobody would hear it.
    pub fn press(&mut self, number: u8, side: Side, press: Press, now: Instant) -> bool {
        let stream = self.streams.get_mut(usize::from(number));
        stream.is_some_and(|stream| stream.press(side, press, now))
    }

    /// The next key that a peer has pressed and that is to be told.
    pub fn take_key(&mut self) -> Option<(Side, Press)> {
        self.streams.iter_mut().find_map(Stream::take_key)
    }

    /// Time has passed: whether there are keys to be told.
    pub fn poll_keys(&mut self, now: Instant) -> bool {
        let mut has_some = false;
        for stream in &mut self.streams {
            has_some |= stream.poll_keys(now);
        }
        has_some
    }

    /// Counts a packet that was lost here for a reason that only the relay sees.
    pub fn count_drop(&mut self, number: u8, side: Side, reason: DropReason) {
        if let Some(stream) = self.streams.get_mut(usize::from(number)) {
            stream.count_drop(side, reason);
        }
    }

    /// The peer on one side of a stream said where it is. The silence that counts begins when both
    /// sides of the first stream are known: before that no media is owed. It begins anew when the
    /// call turns to fax or back.
    pub fn set_remote(&mut self, number: u8, side: Side, remote: Option<RemoteMedia>, now: Instant) {
        let was_joined = self.is_joined();
        let was_fax = self.streams.iter().any(Stream::is_fax);
        if let Some(stream) = self.streams.get_mut(usize::from(number)) {
            stream.move_remote(side, remote, now);
        }
        let turned = self.streams.iter().any(Stream::is_fax) != was_fax;
        if (!was_joined && self.is_joined()) || turned {
            self.quiet_since = now;
        }
        self.expect_talk(now);
    }

    /// The call was put on hold or taken off it.
    pub fn set_hold(&mut self, is_held: bool, now: Instant) {
        self.is_held = is_held;
        self.quiet_since = now;
        self.expect_talk(now);
    }

    /// The call is answered: both sides are to be heard from now on.
    pub fn set_answered(&mut self, now: Instant) {
        self.is_answered = true;
        self.expect_talk(now);
    }

    /// Looks for silence; to be called every so often. Tells of silence of the whole call once each
    /// time that its limit passes, of one-way audio when it is found and each time that its own limit
    /// passes.
    pub fn look(&mut self, limits: &SilenceLimits, now: Instant, mut tell: impl FnMut(Silence)) {
        self.looked_at = now;
        if self.is_silent(limits, now) {
            self.quiet_since = now;
            tell(if self.is_held { Silence::OnHold } else { Silence::Everything });
        }
        if !self.is_answered || self.is_held {
            return;
        }
        for ((number, stream), watches) in (0..).zip(&self.streams).zip(&mut self.watches) {
            for (side, watch) in [Side::A, Side::B].into_iter().zip(watches) {
                if let Some(found) = watch.look(stream, side, limits, now) {
                    tell(Silence::OneWay(OneWay { stream: number, ..found }));
                }
            }
        }
    }

    /// Whether nothing was heard on any stream for too long, though media is owed. A fax has
    /// `MAX_FAX_SILENCE`, if that is longer.
    fn is_silent(&self, limits: &SilenceLimits, now: Instant) -> bool {
        let limit = if self.is_held {
            limits.hold
        } else if self.streams.iter().any(Stream::is_fax) && !limits.nothing.is_zero() {
            limits.nothing.max(MAX_FAX_SILENCE)
        } else {
            limits.nothing
        };
        !limit.is_zero() && self.is_joined() && now.since(self.quiet_since) >= limit
    }

    /// Something changed in who owes what to whom: one-way audio is looked for anew.
    fn expect_talk(&mut self, now: Instant) {
        for (stream, watches) in self.streams.iter().zip(&mut self.watches) {
            for (side, watch) in [Side::A, Side::B].into_iter().zip(watches) {
                watch.begin(stream.received(side), stream.received(side.other()), now);
            }
        }
    }

    /// What was measured so far.
    pub fn report(&self) -> MediaReport {
        MediaReport { from_a: self.direction(Side::A), from_b: self.direction(Side::B) }
    }

    fn is_joined(&self) -> bool {
        self.streams.iter().any(Stream::is_joined)
    }

    /// Counts add up over the streams; jitter and score are those of the worst, for that is what
    /// people hear.
    fn direction(&self, side: Side) -> DirectionReport {
        let mut report = DirectionReport::default();
        for (stream, watches) in self.streams.iter().zip(&self.watches) {
            let Received { packets, bytes, dropped, dropped_by, first_packet, quality, .. } =
                stream.received(side);
            report.packets += packets;
            report.bytes += bytes;
            report.dropped += dropped;
            for (sum, packets) in report.dropped_by.iter_mut().zip(dropped_by) {
                *sum = sum.saturating_add(*packets);
            }
            report.expected += quality.expected();
            report.lost += quality.lost();
            report.reordered += quality.reordered();
            report.duplicates += quality.duplicates();
            report.ssrc_changes += u64::from(quality.ssrc_changes());
            report.restarts += u64::from(quality.restarts());
            report.sequence_step = quality.sequence_step().or(report.sequence_step);
            report.jitter_ms = report.jitter_ms.max(millis(quality.jitter_mean()));
            report.jitter_max_ms = report.jitter_max_ms.max(millis(quality.jitter_max()));
            report.mos = lesser(report.mos, quality.mean_opinion_score());
            report.first_packet = lesser(report.first_packet, *first_packet);
            let [a, b] = watches;
            let watch = if side == Side::A { a } else { b };
            report.one_way = report.one_way.max(watch.silent_for(self.looked_at));
            report.is_silent |= watch.is_silent();
            let reported = PeerReport::of(&stream.received(side.other()).reports);
            report.rtcp = PeerReport::worse(report.rtcp, reported);
        }
        report
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The lesser of two values, of which either may be missing.
fn lesser<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b < a { b } else { a }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::StreamKind;

    const LIMITS: SilenceLimits = SilenceLimits {
        nothing: Duration::from_secs(60),
        one_way: SilenceLimits::ONE_WAY,
        one_way_end: Duration::ZERO,
        hold: Duration::ZERO,
    };
    const A_RTP: (u8, Side, PortKind) = (0, Side::A, PortKind::Rtp);

    fn remote(port: u16) -> RemoteMedia {
        let rtp = SocketAddr::from(([10, 0, 0, 9], port));
        RemoteMedia::plain(rtp, rtp.ip())
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn rtp(sequence: u8) -> [u8; 12] {
        [0x80, 0, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 9]
    }

    fn joined(streams: u8) -> MediaSession {
        let mut media = MediaSession::new(at(0));
        for number in 0..streams {
            media.add_stream();
            media.set_remote(number, Side::A, Some(remote(4_000)), at(0));
            media.set_remote(number, Side::B, Some(remote(5_000)), at(0));
        }
        media
    }

    fn hear(media: &mut MediaSession, sequence: u8, now: Instant) {
        media.receive(A_RTP, remote(4_000).rtp, &rtp(sequence), now).unwrap();
    }

    fn look(media: &mut MediaSession, limits: &SilenceLimits, now: Instant) -> Vec<Silence> {
        let mut told = Vec::new();
        media.look(limits, now, |silence| told.push(silence));
        told
    }

    /// Whether the silence of the whole call is told.
    fn is_silent(media: &mut MediaSession, now: Instant) -> bool {
        let told = look(media, &LIMITS, now);
        assert!(told.iter().all(|silence| *silence == Silence::Everything), "{told:?}");
        !told.is_empty()
    }

    #[test]
    fn silence_is_told_once_each_timeout_and_ended_by_one_packet() {
        let mut media = joined(1);
        assert!(!is_silent(&mut media, at(59)));
        assert!(is_silent(&mut media, at(60)));
        assert!(!is_silent(&mut media, at(61)));
        assert!(is_silent(&mut media, at(120)));
        hear(&mut media, 1, at(150));
        assert!(!is_silent(&mut media, at(209)));
        assert!(is_silent(&mut media, at(210)));
    }

    #[test]
    fn a_strangers_packets_are_no_sign_of_life() {
        let mut media = joined(1);
        let stranger = SocketAddr::from(([192, 0, 2, 66], 4_000));
        media.receive(A_RTP, stranger, &rtp(1), at(30)).unwrap();
        assert!(is_silent(&mut media, at(60)));
    }

    #[test]
    fn neither_on_hold_nor_before_both_sides_are_known_is_media_owed() {
        let mut media = MediaSession::new(at(0));
        media.add_stream();
        media.set_remote(0, Side::A, Some(remote(4_000)), at(0));
        assert!(!is_silent(&mut media, at(300)));
        media.set_remote(0, Side::B, Some(remote(5_000)), at(300));
        assert!(!is_silent(&mut media, at(359)));
        media.set_hold(true, at(359));
        assert!(!is_silent(&mut media, at(900)));
        media.set_hold(false, at(900));
        assert!(!is_silent(&mut media, at(959)));
        assert!(is_silent(&mut media, at(960)));
    }

    #[test]
    fn a_fax_may_be_silent_for_long_but_not_for_ever() {
        let mut media = joined(1);
        for (side, port) in [(Side::A, 4_000), (Side::B, 5_000)] {
            let fax = RemoteMedia { kind: StreamKind::Udptl, ..remote(port) };
            media.set_remote(0, side, Some(fax), at(50));
        }
        assert!(!is_silent(&mut media, at(349)));
        assert!(is_silent(&mut media, at(350)));
        media.set_remote(0, Side::A, Some(remote(4_000)), at(600));
        media.set_remote(0, Side::B, Some(remote(5_000)), at(600));
        assert!(!is_silent(&mut media, at(659)));
        assert!(is_silent(&mut media, at(660)));
    }

    #[test]
    fn the_report_adds_streams_up_and_takes_the_worst_quality() {
        let mut media = joined(2);
        for sequence in 0..10 {
            hear(&mut media, sequence, at(u64::from(sequence)));
        }
        for sequence in [0, 8] {
            let second = (1, Side::A, PortKind::Rtp);
            media.receive(second, remote(4_000).rtp, &rtp(sequence), at(20)).unwrap();
        }
        media.count_drop(1, Side::A, DropReason::SendFailed);
        let report = media.report();
        assert_eq!((report.from_a.packets, report.from_a.bytes), (12, 144));
        assert_eq!((report.from_a.lost, report.from_a.dropped), (7, 1));
        assert_eq!(report.from_a.first_packet, Some(at(0)));
        let mos = report.from_a.mos.unwrap();
        assert!(mos < 2.0, "the lossy stream's: {mos}");
        assert_eq!((report.from_a.expected, report.from_a.reordered), (19, 0));
        assert_eq!(report.from_b, DirectionReport::default());
    }

    #[test]
    fn while_it_goes_on_it_tells_where_each_peer_is() {
        let mut media = joined(1);
        for sequence in 0..10 {
            hear(&mut media, sequence, at(1 + u64::from(sequence)));
        }
        let stranger = SocketAddr::from(([192, 0, 2, 66], 4_000));
        media.receive(A_RTP, stranger, &rtp(11), at(12)).unwrap();
        let live = media.live(at(20));
        assert_eq!((live.at, live.is_held, live.streams.len()), (at(20), false, 1));
        let from_a = &live.streams[0].from_a;
        assert_eq!((from_a.packets, from_a.last_packet), (10, Some(at(10))));
        assert_eq!((from_a.signalled, from_a.source), (Some(remote(4_000).rtp), Some(remote(4_000).rtp)));
        assert_eq!(from_a.claim, Some(crate::media::Claim::Exact));
        assert_eq!(from_a.stranger, Some(stranger));
        assert_eq!(from_a.dropped_by[DropReason::SourceMismatch.index()], 1);
        let from_b = &live.streams[0].from_b;
        assert_eq!((from_b.packets, from_b.source, from_b.last_packet), (0, None, None));
        assert_eq!(live.report, media.report());
    }

    #[test]
    fn a_stream_that_is_not_there_is_nobodys() {
        let mut media = joined(1);
        media.set_remote(7, Side::A, None, at(0));
        media.count_drop(7, Side::A, DropReason::SendFailed);
        assert_eq!(media.receive((7, Side::A, PortKind::Rtp), remote(1).rtp, &rtp(0), at(0)), None);
    }
}
