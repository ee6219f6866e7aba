//! Which source is the peer's, where it is not the one that signalling names: what a source has to
//! show before it is locked (RFC 7362 §5: whoever sends first must not win by that alone).
//!
//! **The signalled address and port** are taken with their first valid packet. **Any other source** is a
//! candidate. What it sends is dropped (`learning`), and nothing is sent to it, until it has shown one
//! sender at work: [`PROBATION_PACKETS`] packets of one SSRC, their sequence numbers without a gap
//! (RFC 3550 A.1), of payload types that the call's SDP lists, over [`PROBATION_TIME`] at least, and
//! with timestamps that run no faster than sound does. So a port scan is never taken, nor a
//! flood that hurries; and a peer loses its first 40 to 60 ms.
//!
//! **The window.** A candidate's first plausible packet opens [`LEARNING_WINDOW`], not the SDP: a caller
//! may be silent while it rings, a party on hold for an hour, and both must be heard afterwards. While
//! the window is open
//! - whoever came first of equals wins, if it goes on to show what it must;
//! - who is vouched for better wins over who is not, whoever came first;
//! - a source that nothing vouches for (`learn`) is locked at the window's end and not before it, and only
//!   if no other candidate is there by then: of two that nothing tells apart neither is taken.
//!
//! A peer behind a NAT that sends one packet and then listens is never locked. At the window's end it is
//! sent the call's media all the same, if it was alone and did not repeat itself.
//!
//! **Afterwards** only the locked source is taken; one of a better claim still displaces it. One more
//! case is followed, for a NAT forgets a mapping while a call is on hold: where the locked source is not
//! the signalled one and has been silent for [`REBINDING_SILENCE`], another port of its address may go
//! on for it, with the same SSRC, the sequence continued, and the whole probation. Who does not see the
//! call's packets would have to guess 32 bits; and if the old port speaks again, which no NAT makes it
//! do, it has its place back, and no other follows it.
//!
//! Must not know: SIP, sockets, where packets go.

use std::net::SocketAddr;
use std::time::Duration;

use super::flow::{Claim, DropReason, SourceRule, canonical_source};
use crate::base::Instant;
use crate::rtp::{DROPOUT_MAX, RtcpPacket, RtpPacket};

/// How long better claims may still come, from a candidate's first plausible packet.
pub(super) const LEARNING_WINDOW: Duration = Duration::from_millis(500);
/// Packets in sequence that a candidate has to show.
pub(super) const PROBATION_PACKETS: u8 = 3;
/// From the first to the last of them. Less than two packets of 20 ms, for these come unevenly.
pub(super) const PROBATION_TIME: Duration = Duration::from_millis(30);
/// Candidates of one side at once.
const CANDIDATES_MAX: usize = 3;
/// A candidate that is not heard for so long makes room for another, and rivals nobody.
const CANDIDATE_SILENCE: Duration = Duration::from_millis(200);
/// How much faster than arrivals timestamps may run; what was held up on its way comes in a burst.
const PACE_MAX: u32 = 2;
/// And how far they may be ahead beyond that.
const PACE_SLACK: Duration = Duration::from_millis(100);
/// How long the locked source must have been silent before another port of its address is listened to.
pub(super) const REBINDING_SILENCE: Duration = Duration::from_secs(2);
/// Its sequence must have run on by less than this then.
const REBINDING_GAP_MAX: u16 = DROPOUT_MAX;

/// What one packet shows of its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sign {
    /// The synchronization source; 0 for fax.
    pub(super) ssrc: u32,
    /// The sequence number; `None` for RTCP, which shows that somebody is there and no more.
    pub(super) sequence: Option<u16>,
    /// The timestamp, in units of `clock_hz`.
    pub(super) timestamp: u32,
    /// The payload type; `None` for RTCP and fax.
    pub(super) payload_type: Option<u8>,
    /// Its clock, where that is known.
    pub(super) clock_hz: Option<u32>,
    /// Whether the payload type is one that the peer may use.
    pub(super) is_plausible: bool,
}

impl Sign {
    /// What RTP shows, before anybody looked up its payload type.
    pub(super) fn of_rtp(packet: &RtpPacket<'_>) -> Sign {
        Sign {
            ssrc: packet.ssrc(),
            sequence: Some(packet.sequence()),
            timestamp: packet.timestamp(),
            payload_type: Some(packet.payload_type()),
            clock_hz: None,
            is_plausible: true,
        }
    }

    /// What RTCP shows.
    pub(super) fn of_rtcp(packet: &RtcpPacket<'_>) -> Sign {
        Sign { ssrc: packet.ssrc(), ..Sign::NOTHING }
    }

    /// What a fax shows: its sequence number, which counts as RTP's does (T.38 clause 9.1).
    pub(super) fn of_udptl(bytes: &[u8]) -> Sign {
        let sequence = bytes.first_chunk().map(|number| u16::from_be_bytes(*number));
        Sign { sequence, ..Sign::NOTHING }
    }

    const NOTHING: Sign = Sign {
        ssrc: 0,
        sequence: None,
        timestamp: 0,
        payload_type: None,
        clock_hz: None,
        is_plausible: true,
    };
}

/// What is known of the sources at one side's RTP port. Plain data of a fixed size. What every packet
/// touches comes first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub(super) struct Learner {
    last: Option<Heard>,
    candidates: [Option<Candidate>; CANDIDATES_MAX],
    /// Which port the locked source followed.
    followed: Option<SocketAddr>,
    /// That port spoke again: none is followed any more.
    is_wary: bool,
}

/// A source that may be the peer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Candidate {
    source: SocketAddr,
    claim: Claim,
    ssrc: u32,
    /// The latest packet's.
    sequence: u16,
    timestamp: u32,
    heard_at: Instant,
    /// Packets in sequence up to it; 0 before the first RTP.
    run: u8,
    /// The first packet's of these.
    since: Instant,
    first_timestamp: u32,
    /// The latest packet came more than once, or RTCP faster than it does.
    is_repeating: bool,
}

/// The latest packet of the locked source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Heard {
    ssrc: u32,
    sequence: u16,
    at: Instant,
}

impl Learner {
    /// A packet of the locked source came. On every packet's way.
    pub(super) fn note(&mut self, sign: &Sign, now: Instant) {
        if let Some(sequence) = sign.sequence {
            self.last = Some(Heard { ssrc: sign.ssrc, sequence, at: now });
        }
    }

    /// The SSRC that the locked source sends with.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.last.map(|last| last.ssrc)
    }

    /// A packet came from a source that is not locked. `Ok`: it is now.
    pub(super) fn hear(
        &mut self,
        rule: &mut SourceRule,
        source: SocketAddr,
        sign: &Sign,
        now: Instant,
    ) -> Result<(), DropReason> {
        let source = canonical_source(source);
        if self.is_back(rule, source, sign) {
            return Ok(());
        }
        let claim = self.admit(rule, source, sign, now).ok_or(DropReason::SourceMismatch)?;
        if claim != Claim::Exact {
            if !sign.is_plausible {
                return Err(DropReason::Implausible);
            }
            let place = self.place_for(source, claim, now).ok_or(DropReason::Learning)?;
            let candidate = self.candidates[place].get_or_insert(Candidate::new(source, claim, sign, now));
            candidate.take(sign, now);
            // RTCP shows nothing of the kind.
            if sign.sequence.is_none() || !self.has_won(place, sign, now) {
                return Err(DropReason::Learning);
            }
        }
        self.followed = rule.locked().filter(|_| rule.locked_by() == Some(claim));
        rule.lock(source, claim);
        self.candidates = [None; CANDIDATES_MAX];
        Ok(())
    }

    /// Whether the source that another seemed to follow is still there. It is locked again.
    fn is_back(&mut self, rule: &mut SourceRule, source: SocketAddr, sign: &Sign) -> bool {
        let is_back = self.followed == Some(source) && self.ssrc() == Some(sign.ssrc);
        if is_back && let Some(claim) = rule.locked_by() {
            rule.lock(source, claim);
            (self.followed, self.is_wary) = (None, true);
        }
        is_back
    }

    /// The source to which media goes whose way nobody knows: the one candidate there is, if its window
    /// is over.
    pub(super) fn only_one(&self, now: Instant) -> Option<SocketAddr> {
        let mut candidates = self.candidates.iter().flatten();
        let candidate = candidates.next().filter(|_| candidates.next().is_none())?;
        let is_over = now.since(candidate.since) >= LEARNING_WINDOW;
        // Who sent more, and was not locked for it, is a flood.
        let is_quiet = candidate.run < PROBATION_PACKETS && !candidate.is_repeating;
        (is_over && is_quiet && candidate.claim == Claim::Vouched).then_some(candidate.source)
    }

    /// By what claim a source may be learned now; `None`: by none.
    fn admit(&self, rule: &SourceRule, source: SocketAddr, sign: &Sign, now: Instant) -> Option<Claim> {
        let claim = rule.claim_of(source);
        match rule.locked_by() {
            None => claim,
            Some(locked_by) if claim > Some(locked_by) => claim,
            Some(Claim::Exact) => None,
            Some(locked_by) => self.is_rebound(rule, source, sign, now).then_some(locked_by),
        }
    }

    /// Whether this looks like the locked source behind another port of its NAT.
    fn is_rebound(&self, rule: &SourceRule, source: SocketAddr, sign: &Sign, now: Instant) -> bool {
        let (Some(locked), Some(last), Some(sequence)) = (rule.locked(), self.last, sign.sequence) else {
            return false;
        };
        let ahead = sequence.wrapping_sub(last.sequence);
        !self.is_wary
            && source.ip() == locked.ip()
            && sign.ssrc == last.ssrc
            && (1..REBINDING_GAP_MAX).contains(&ahead)
            && now.since(last.at) >= REBINDING_SILENCE
    }

    /// Where a candidate is kept: its own place, a free one, that of one that fell silent, or of one with
    /// a lesser claim. Others stay, or a flood of new ports would drive the peer out.
    fn place_for(&mut self, source: SocketAddr, claim: Claim, now: Instant) -> Option<usize> {
        let own = |candidate: &Option<Candidate>| candidate.is_some_and(|known| known.source == source);
        if let Some(place) = self.candidates.iter().position(own) {
            return Some(place);
        }
        let is_free = |candidate: &Option<Candidate>| candidate.is_none();
        let is_silent = |candidate: &Option<Candidate>| candidate.is_none_or(|known| !known.is_alive(now));
        let is_lesser = |candidate: &Option<Candidate>| candidate.is_none_or(|known| known.claim < claim);
        let place = self.candidates.iter().position(is_free);
        let place = place.or_else(|| self.candidates.iter().position(is_silent));
        let place = place.or_else(|| self.candidates.iter().position(is_lesser))?;
        self.candidates[place] = None;
        Some(place)
    }

    /// Whether a candidate has shown enough, and no rival stands in its way.
    fn has_won(&self, place: usize, sign: &Sign, now: Instant) -> bool {
        let Some(candidate) = &self.candidates[place] else { return false };
        let rivals = || {
            let others = self.candidates.iter().flatten().filter(|other| other.source != candidate.source);
            others.filter(|other| other.is_alive(now) && other.run > 0)
        };
        match candidate.claim {
            Claim::Exact => true,
            // Who came first is heard out, for as long as the window lasts.
            Claim::Vouched => {
                candidate.is_proven(sign, now)
                    && !rivals().any(|other| {
                        other.claim == Claim::Vouched
                            && other.since < candidate.since
                            && now.since(other.since) < LEARNING_WINDOW
                    })
            }
            Claim::Anywhere => {
                candidate.is_proven(sign, now)
                    && now.since(candidate.since) >= LEARNING_WINDOW
                    && !rivals().any(|other| other.claim > Claim::Anywhere || other.run >= PROBATION_PACKETS)
            }
        }
    }
}

impl Candidate {
    /// A source before its first packet.
    fn new(source: SocketAddr, claim: Claim, sign: &Sign, now: Instant) -> Candidate {
        Candidate {
            source,
            claim,
            ssrc: sign.ssrc,
            sequence: 0,
            timestamp: sign.timestamp,
            heard_at: now,
            run: 0,
            since: now,
            first_timestamp: sign.timestamp,
            is_repeating: false,
        }
    }

    /// Takes one packet into account.
    fn take(&mut self, sign: &Sign, now: Instant) {
        let Some(sequence) = sign.sequence else {
            // RTCP comes every few seconds.
            self.is_repeating = now > self.since && self.is_alive(now);
            self.heard_at = now;
            return;
        };
        let is_known = self.run > 0 && self.ssrc == sign.ssrc;
        if is_known && self.sequence == sequence {
            (self.is_repeating, self.heard_at) = (true, now);
            return;
        }
        let continues = is_known
            && self.sequence.wrapping_add(1) == sequence
            && keeps_pace(self.timestamp, self.heard_at, sign, now);
        if continues {
            self.run = self.run.saturating_add(1);
        } else {
            (self.run, self.since, self.first_timestamp) = (1, now, sign.timestamp);
        }
        (self.ssrc, self.sequence, self.timestamp) = (sign.ssrc, sequence, sign.timestamp);
        (self.heard_at, self.is_repeating) = (now, false);
    }

    fn is_alive(&self, now: Instant) -> bool {
        now.since(self.heard_at) < CANDIDATE_SILENCE
    }

    /// Whether it has shown what it must, `sign` being its latest packet.
    fn is_proven(&self, sign: &Sign, now: Instant) -> bool {
        self.run >= PROBATION_PACKETS
            && now.since(self.since) >= PROBATION_TIME
            && keeps_pace(self.first_timestamp, self.since, sign, now)
    }
}

/// Whether a packet's timestamp runs no faster than sound does, from an earlier packet's on. It may stand
/// still (one event, one picture) or go back (pictures out of order).
fn keeps_pace(timestamp: u32, since: Instant, sign: &Sign, now: Instant) -> bool {
    let Some(clock_hz) = sign.clock_hz else { return true };
    let ran = sign.timestamp.wrapping_sub(timestamp).cast_signed();
    let allowed = (now.since(since) * PACE_MAX + PACE_SLACK).as_micros();
    // Negative: it went back.
    u128::try_from(ran).map_or(true, |ran| ran * 1_000_000 <= allowed * u128::from(clock_hz))
}

#[cfg(test)]
mod tests;
