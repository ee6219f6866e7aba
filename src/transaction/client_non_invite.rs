//! The non-INVITE client transaction (RFC 3261 §17.1.2, figure 6).
//!
//! Must not know: messages, time, tables.

use super::ClientAction::{self, Arm, ArmAtT2, Deliver, End, Repeat, Send, Stop};
use super::{Class, ClientEnd, Timer};

/// Where the transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Sent; nothing came.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// A final response came; what repeats it is absorbed.
    Completed,
    /// Over.
    Terminated,
}

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// 1xx.
    Provisional,
    /// 200–699.
    Final,
    /// Send again.
    TimerE,
    /// No final response came.
    TimerF,
    /// Repeated responses are over.
    TimerK,
    /// What was sent cannot arrive.
    TransportError,
}

impl Event {
    pub(super) fn of_response(class: Class) -> Event {
        match class {
            Class::Provisional => Event::Provisional,
            Class::Success | Class::Failure => Event::Final,
        }
    }

    /// `None`: not a timer of this machine.
    pub(super) fn of_timer(timer: Timer) -> Option<Event> {
        match timer {
            Timer::E => Some(Event::TimerE),
            Timer::F => Some(Event::TimerF),
            Timer::K => Some(Event::TimerK),
            Timer::A
            | Timer::B
            | Timer::D
            | Timer::G
            | Timer::H
            | Timer::I
            | Timer::J
            | Timer::L
            | Timer::M
            | Timer::Cancelled => None,
        }
    }
}

/// How it begins.
pub(super) const START: (State, &[ClientAction]) = (State::Trying, &[Send, Arm(Timer::E), Arm(Timer::F)]);

/// The figure.
pub(super) fn step(state: State, event: Event) -> (State, &'static [ClientAction]) {
    use Event::{Final, Provisional, TimerE, TimerF, TimerK, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    match (state, event) {
        // "If timer E fires while still in this state, the timer is reset, but this time with a value
        // of MIN(2*T1, T2)."
        (Trying, TimerE) => (Trying, &[Repeat, Arm(Timer::E)]),
        // "If Timer E fires while in the 'Proceeding' state, the request MUST be passed to the
        // transport layer for retransmission, and Timer E MUST be reset with a value of T2 seconds."
        (Proceeding, TimerE) => (Proceeding, &[Repeat, ArmAtT2(Timer::E)]),
        // "If Timer F fires while the client transaction is still in the 'Trying' state, the client
        // transaction SHOULD inform the TU about the timeout, and then it SHOULD enter the
        // 'Terminated' state." "If timer F fires while in the 'Proceeding' state, the TU MUST be
        // informed of a timeout, and the client transaction MUST transition to the terminated state."
        (Trying | Proceeding, TimerF) => (Terminated, &[End(ClientEnd::Timeout)]),
        // "If a provisional response is received while in the 'Trying' state, the response MUST be
        // passed to the TU." Timer E goes on.
        (Trying | Proceeding, Provisional) => (Proceeding, &[Deliver]),
        // "If a final response (status codes 200-699) is received […], the response MUST be passed to
        // the TU, and the client transaction MUST transition to the 'Completed' state." "[It] MUST set
        // Timer K to fire in T4 seconds for unreliable transports, and zero seconds for reliable."
        (Trying | Proceeding, Final) => (Completed, &[Stop(Timer::E), Arm(Timer::K), Deliver]),
        // "If Timer K fires while in this state, the client transaction MUST transition to the
        // 'Terminated' state."
        (Completed, TimerK) => (Terminated, &[]),
        // §17.1.4, see the INVITE client.
        (Trying | Proceeding, TransportError) => (Terminated, &[End(ClientEnd::Transport)]),
        // Completed exists to absorb what repeats the response; it sends nothing.
        (Completed, Provisional | Final | TransportError) => (Completed, &[]),
        // Of a timer that has lost its meaning.
        (Trying, TimerK) => (Trying, &[]),
        (Proceeding, TimerK) => (Proceeding, &[]),
        (Completed, TimerE | TimerF) => (Completed, &[]),
        (Terminated, Provisional | Final | TimerE | TimerF | TimerK | TransportError) => (Terminated, &[]),
    }
}
