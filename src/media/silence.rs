//! When a call's silence is told: nothing at all, nothing while it is on hold, or one side that is
//! not heard while the other speaks.
//!
//! **One-way audio** is looked for where talk is owed: the call is answered and not on hold, the stream
//! carries voice (not fax, not video, not events alone), the one may send and the other wants to hear.
//! A side is *silent* while none of its packets goes on to the other, whether none came or all were
//! dropped (a key that is told instead has gone on); the other must have sent [`SPOKEN_MIN`] packets meanwhile, and still be sending. A sender
//! that suppresses silence (`rtp::Quality::suppresses_silence`) is let be: nothing tells its pause from
//! a fault.
//!
//! Nothing here is on a packet's way: the counters that packets change are compared at each look.
//!
//! Must not know: SIP, sockets.

use std::net::SocketAddr;
use std::time::Duration;

use super::stream::{Received, Stream};
use super::{DropReason, Side};
use crate::base::Instant;

/// Packets of the other side during the silence of one, before it is told: a second of talk.
pub const SPOKEN_MIN: u64 = 50;
/// How long ago the other side may have been heard last to count as speaking.
const SPEAKING: Duration = Duration::from_secs(2);
/// How long a fax may be silent, whatever `media.timeout` is shorter: far longer than any state of
/// T.30 lasts (T5, a receiver that is not ready, is 60 s).
pub(super) const MAX_FAX_SILENCE: Duration = Duration::from_secs(300);

/// How long which silence may last. Zero: it is never told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SilenceLimits {
    /// Nothing at all (`media.timeout`).
    pub nothing: Duration,
    /// One side, before it is told ([`SilenceLimits::ONE_WAY`]).
    pub one_way: Duration,
    /// One side, before it ends the call (`media.one_way_timeout`).
    pub one_way_end: Duration,
    /// Nothing at all on hold (`media.hold_timeout`).
    pub hold: Duration,
}

impl SilenceLimits {
    /// How long one side is silent before it is told: longer than a pause in what most phones send,
    /// and short enough to be found while the caller says "hello?".
    pub const ONE_WAY: Duration = Duration::from_secs(5);

    /// Only the silence of the whole call, after so long.
    pub const fn only(nothing: Duration) -> SilenceLimits {
        let never = Duration::ZERO;
        SilenceLimits { nothing, one_way: never, one_way_end: never, hold: never }
    }

    /// The shortest of them: how often one should look depends on it.
    pub fn shortest(&self) -> Duration {
        let all = [self.nothing, self.one_way, self.one_way_end, self.hold];
        all.into_iter().filter(|limit| !limit.is_zero()).min().unwrap_or(Self::ONE_WAY)
    }
}

/// A silence that lasts too long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Silence {
    /// Nothing at all.
    Everything,
    /// Nothing at all, on hold.
    OnHold,
    /// One side only.
    OneWay(OneWay),
}

/// What is known of one-way audio, for whoever has to mend it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneWay {
    /// The side that is not heard.
    pub silent: Side,
    /// The stream, counted from 0.
    pub stream: u8,
    /// For how long.
    pub lasted: Duration,
    /// Whether it had been heard before.
    pub was_heard: bool,
    /// RTP packets that came from the other side meanwhile.
    pub heard_across: u64,
    /// Where its SDP said that it is.
    pub signalled: Option<SocketAddr>,
    /// Where what is for it is sent; `None`: nowhere, for it has to be heard first.
    pub sent_to: Option<SocketAddr>,
    /// What came from it all the same, and was dropped.
    pub dropped: Option<Dropped>,
    /// Whether it has lasted for `media.one_way_timeout`.
    pub is_overdue: bool,
}

/// Packets that were dropped, by the most frequent reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// Why.
    pub reason: DropReason,
    /// How many, since the silence began.
    pub packets: u32,
    /// From where the last of them came, where the source was the reason.
    pub source: Option<SocketAddr>,
}

/// One side of a stream as it was at the last look, and as it was when it was heard last.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Watch {
    /// Since when nothing of it went on.
    since: Instant,
    /// What had gone on by then.
    forwarded: u64,
    taken: u32,
    dropped: [u32; DropReason::ALL.len()],
    /// What the other side had sent by then, by the last look, and when that changed.
    across_before: u64,
    across: u64,
    across_at: Instant,
    /// It was told, and when it will be found to last too long next.
    told: bool,
    next_overdue: Option<Instant>,
    /// Of silences that were told and are over.
    silent_before: Duration,
}

impl Watch {
    /// From now on it is owed (anew).
    pub(super) fn begin(&mut self, this: &Received, across: &Received, now: Instant) {
        *self = Watch {
            since: now,
            forwarded: this.packets,
            taken: this.taken,
            dropped: this.dropped_by,
            across_before: across.quality.received(),
            across: across.quality.received(),
            across_at: now,
            told: false,
            next_overdue: None,
            silent_before: self.silent_for(now),
        };
    }

    /// How long it was silent while the other spoke, by `now`.
    pub(super) fn silent_for(&self, now: Instant) -> Duration {
        self.silent_before + if self.told { now.since(self.since) } else { Duration::ZERO }
    }

    /// Whether it was told, and goes on.
    pub(super) fn is_silent(&self) -> bool {
        self.told
    }

    /// Looks at `side` of a stream: what is to be told of it.
    pub(super) fn look(
        &mut self,
        stream: &Stream,
        side: Side,
        limits: &SilenceLimits,
        now: Instant,
    ) -> Option<OneWay> {
        let (this, across) = (stream.received(side), stream.received(side.other()));
        let is_heard = this.packets != self.forwarded || this.taken != self.taken;
        if is_heard || !stream.owes_talk(side) {
            self.begin(this, across, now);
            return None;
        }
        let heard = across.quality.received();
        if heard != self.across {
            (self.across, self.across_at) = (heard, now);
        }
        let lasted = now.since(self.since);
        let is_spoken_to = heard - self.across_before >= SPOKEN_MIN && now.since(self.across_at) < SPEAKING;
        let is_silent = !limits.one_way.is_zero()
            && lasted >= limits.one_way
            && is_spoken_to
            && !this.quality.suppresses_silence();
        if !is_silent {
            return None;
        }
        let is_new = !std::mem::replace(&mut self.told, true);
        let is_overdue = !limits.one_way_end.is_zero()
            && lasted >= limits.one_way_end
            && self.next_overdue.is_none_or(|next| now >= next);
        if is_overdue {
            self.next_overdue = Some(now + limits.one_way_end);
        }
        (is_new || is_overdue).then(|| OneWay {
            silent: side,
            stream: 0,
            lasted,
            was_heard: self.forwarded > 0,
            heard_across: heard - self.across_before,
            signalled: stream.remote(side).map(|remote| remote.rtp),
            sent_to: stream.reachable_at(side),
            dropped: self.dropped_since(this),
            is_overdue,
        })
    }

    fn dropped_since(&self, this: &Received) -> Option<Dropped> {
        let since = this.dropped_by.iter().zip(self.dropped).map(|(now, then)| now.wrapping_sub(then));
        let (reason, packets) = DropReason::ALL.into_iter().zip(since).max_by_key(|(_, packets)| *packets)?;
        let source = this.stranger.filter(|_| reason == DropReason::SourceMismatch);
        (packets > 0).then_some(Dropped { reason, packets, source })
    }
}

#[cfg(test)]
mod tests;
