//! The timers of RFC 3261 §17 (table 4) and RFC 6026, under the RFCs' letters.

use std::time::Duration;

use crate::base::Transport;

/// The shortest that a timer runs, whatever the settings, but for those that the RFC itself sets to
/// zero: a repetition at zero would go on for ever in the same instant.
const SHORTEST_TIMER: Duration = Duration::from_millis(1);

/// The least that timer D may be over an unreliable transport (§17.1.1.2: "at least 32 seconds").
const SHORTEST_TIMER_D: Duration = Duration::from_secs(32);

/// The base values from which every timer is derived (RFC 3261 §17.1.1.1, §17.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerSettings {
    /// An estimate of the round-trip time; the first retransmission interval.
    pub t1: Duration,
    /// The longest retransmission interval for non-INVITE requests and for responses to INVITE.
    pub t2: Duration,
    /// How long a message can remain in the network.
    pub t4: Duration,
}

impl Default for TimerSettings {
    /// The RFC's values: 500 ms, 4 s, 5 s.
    fn default() -> Self {
        TimerSettings {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

/// Each timer of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Timer {
    /// INVITE client: the request is sent again.
    A,
    /// INVITE client: no response came.
    B,
    /// INVITE client: how long repeated final responses are answered by an ACK.
    D,
    /// Non-INVITE client: the request is sent again.
    E,
    /// Non-INVITE client: no final response came.
    F,
    /// INVITE server: the final response is sent again.
    G,
    /// INVITE server: no ACK came.
    H,
    /// INVITE server: how long repeated ACKs are absorbed.
    I,
    /// Non-INVITE server: how long repeated requests are answered.
    J,
    /// Non-INVITE client: how long repeated responses are absorbed.
    K,
    /// INVITE server: how long repeated INVITEs are absorbed after a 2xx (RFC 6026).
    L,
    /// INVITE client: how long each 2xx is passed to the TU (RFC 6026).
    M,
    /// INVITE client: no final response came after a CANCEL. §9.1 gives it no letter.
    Cancelled,
}

/// A transaction has two timers at most: one for the next repetition, one for its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// Timers A, E and G.
    Repetition,
    /// Every other.
    End,
}

impl Timer {
    pub(super) const fn slot(self) -> Slot {
        match self {
            Timer::A | Timer::E | Timer::G => Slot::Repetition,
            Timer::B
            | Timer::D
            | Timer::F
            | Timer::H
            | Timer::I
            | Timer::J
            | Timer::K
            | Timer::L
            | Timer::M
            | Timer::Cancelled => Slot::End,
        }
    }
}

impl TimerSettings {
    /// 64·T1: how long a transaction lasts at most (32 s by default).
    pub fn lifetime(&self) -> Duration {
        self.t1.saturating_mul(64).max(SHORTEST_TIMER)
    }

    /// How long `timer` runs over `transport` when it is armed for the time number `repetition`
    /// (from 0; only A, E and G are armed again). `None`: it is not armed at all. Zero: it fires at
    /// once.
    pub fn duration(&self, timer: Timer, transport: Transport, repetition: u32) -> Option<Duration> {
        let reliable = transport.is_reliable();
        let unless_reliable = |duration| if reliable { Duration::ZERO } else { duration };
        let doubled = || {
            let factor = 1u32.checked_shl(repetition).unwrap_or(u32::MAX);
            self.t1.saturating_mul(factor)
        };
        match timer {
            Timer::A => (!reliable).then(|| doubled().max(SHORTEST_TIMER)),
            Timer::E | Timer::G => (!reliable).then(|| doubled().min(self.t2).max(SHORTEST_TIMER)),
            Timer::B | Timer::F | Timer::H | Timer::L | Timer::M | Timer::Cancelled => Some(self.lifetime()),
            Timer::D => Some(unless_reliable(self.lifetime().max(SHORTEST_TIMER_D))),
            Timer::J => Some(unless_reliable(self.lifetime())),
            Timer::I | Timer::K => Some(unless_reliable(self.t4)),
        }
    }

    /// T2 as an interval between two transmissions; `None` over a reliable transport.
    pub(super) fn longest_interval(&self, transport: Transport) -> Option<Duration> {
        (!transport.is_reliable()).then(|| self.t2.max(SHORTEST_TIMER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_those_of_table_4() {
        let timers = TimerSettings::default();
        let ms = Duration::from_millis;
        for (timer, udp, tcp) in [
            (Timer::A, Some(500), None),
            (Timer::B, Some(32_000), Some(32_000)),
            (Timer::D, Some(32_000), Some(0)),
            (Timer::E, Some(500), None),
            (Timer::F, Some(32_000), Some(32_000)),
            (Timer::G, Some(500), None),
            (Timer::H, Some(32_000), Some(32_000)),
            (Timer::I, Some(5_000), Some(0)),
            (Timer::J, Some(32_000), Some(0)),
            (Timer::K, Some(5_000), Some(0)),
            (Timer::L, Some(32_000), Some(32_000)),
            (Timer::M, Some(32_000), Some(32_000)),
            (Timer::Cancelled, Some(32_000), Some(32_000)),
        ] {
            assert_eq!(timers.duration(timer, Transport::Udp, 0), udp.map(ms), "{timer:?} over UDP");
            for reliable in [Transport::Tcp, Transport::Tls] {
                assert_eq!(timers.duration(timer, reliable, 0), tcp.map(ms), "{timer:?} over {reliable}");
            }
        }
    }

    #[test]
    fn a_doubles_without_end_and_e_and_g_up_to_t2() {
        let timers = TimerSettings::default();
        let series = |timer| {
            (0..6).map(|n| timers.duration(timer, Transport::Udp, n).unwrap().as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(series(Timer::A), [500, 1_000, 2_000, 4_000, 8_000, 16_000]);
        assert_eq!(series(Timer::E), [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
        assert_eq!(series(Timer::G), [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
    }

    #[test]
    fn settings_of_zero_still_let_time_pass_between_two_transmissions() {
        let timers = TimerSettings { t1: Duration::ZERO, t2: Duration::ZERO, t4: Duration::ZERO };
        for timer in [Timer::A, Timer::E, Timer::G] {
            for repetition in [0, 1, 40, u32::MAX] {
                assert!(timers.duration(timer, Transport::Udp, repetition) >= Some(SHORTEST_TIMER));
            }
        }
        assert_eq!(timers.longest_interval(Transport::Udp), Some(SHORTEST_TIMER));
        for timer in [Timer::B, Timer::F, Timer::H, Timer::L, Timer::M, Timer::Cancelled] {
            assert_eq!(timers.duration(timer, Transport::Tcp, 0), Some(SHORTEST_TIMER));
        }
    }
}
