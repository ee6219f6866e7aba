//! The armed timers of one transaction.
//!
//! Must not know: messages, what the timers are for.

use super::timers::Slot;
use super::{ClientId, ServerId, Timer, TimerSettings};
use crate::base::{Instant, TimerId, Timers, Transport};

/// What an armed timer belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    Client(ClientId, Timer),
    Server(ServerId, Timer),
}

/// At most two timers, one a [`Slot`].
#[derive(Default, Debug)]
pub(super) struct Clock {
    repetition: Option<TimerId>,
    end: Option<TimerId>,
    /// How often the timer of repetition was armed.
    repetitions: u32,
}

impl Clock {
    /// Arms `timer` in its slot. One that is not used over this transport is not armed. One of zero
    /// is not armed either but returned: it fires at once.
    pub(super) fn arm(
        &mut self,
        timers: &mut Timers<Due>,
        settings: &TimerSettings,
        transport: Transport,
        now: Instant,
        (timer, due): (Timer, Due),
    ) -> Option<Timer> {
        let duration = settings.duration(timer, transport, self.repetitions)?;
        if timer.slot() == Slot::Repetition {
            self.repetitions = self.repetitions.saturating_add(1);
        }
        if duration.is_zero() {
            return Some(timer);
        }
        self.arm_at(timers, now + duration, timer.slot(), due);
        None
    }

    /// Arms a timer in its slot at a time of the caller's.
    pub(super) fn arm_at(&mut self, timers: &mut Timers<Due>, at: Instant, slot: Slot, due: Due) {
        self.stop(timers, slot);
        *self.slot(slot) = Some(timers.arm(at, due));
    }

    /// Disarms what runs in a slot.
    pub(super) fn stop(&mut self, timers: &mut Timers<Due>, slot: Slot) {
        if let Some(id) = self.slot(slot).take() {
            timers.disarm(id);
        }
    }

    /// Disarms all.
    pub(super) fn stop_all(&mut self, timers: &mut Timers<Due>) {
        self.stop(timers, Slot::Repetition);
        self.stop(timers, Slot::End);
    }

    fn slot(&mut self, slot: Slot) -> &mut Option<TimerId> {
        match slot {
            Slot::Repetition => &mut self.repetition,
            Slot::End => &mut self.end,
        }
    }
}
