//! The non-INVITE server transaction (RFC 3261 §17.2.2, figure 8, with RFC 6026 §8.8), of CANCEL too.
//!
//! Must not know: messages, time, tables.

use super::ServerAction::{self, Arm, End, Repeat, Send};
use super::{Class, ServerEnd, Timer};

/// Where the transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// No response yet.
    Trying,
    /// A provisional response was sent.
    Proceeding,
    /// The final response was sent.
    Completed,
    /// Over.
    Terminated,
}

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The request came again.
    Request,
    /// The TU gives a 1xx.
    Provisional,
    /// The TU gives a 200–699.
    Final,
    /// Repeated requests are over.
    TimerJ,
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
            Timer::J => Some(Event::TimerJ),
            Timer::A
            | Timer::B
            | Timer::D
            | Timer::E
            | Timer::F
            | Timer::G
            | Timer::H
            | Timer::I
            | Timer::K
            | Timer::L
            | Timer::M
            | Timer::Cancelled => None,
        }
    }
}

/// The figure.
pub(super) fn step(state: State, event: Event) -> (State, &'static [ServerAction]) {
    use Event::{Final, Provisional, Request, TimerJ, TransportError};
    use State::{Completed, Proceeding, Terminated, Trying};
    match (state, event) {
        // "Once in the 'Trying' state, any further request retransmissions are discarded."
        (Trying, Request) => (Trying, &[]),
        // "If a retransmission of the request is received while in the 'Proceeding' state, the most
        // recently sent provisional response MUST be passed to the transport layer for retransmission."
        (Proceeding, Request) => (Proceeding, &[Repeat]),
        // "While in the 'Completed' state, the server transaction MUST pass the final response to the
        // transport layer for retransmission whenever a retransmission of the request is received."
        (Completed, Request) => (Completed, &[Repeat]),
        // "While in the 'Trying' state, if the TU passes a provisional response to the server
        // transaction, the server transaction MUST enter the 'Proceeding' state. The response MUST be
        // passed to the transport layer for transmission." "Any further provisional responses that are
        // received from the TU while in the 'Proceeding' state MUST be passed" as well.
        (Trying | Proceeding, Provisional) => (Proceeding, &[Send]),
        // "If the TU passes a final response to the server while in the 'Proceeding' state, the
        // transaction MUST enter the 'Completed' state, and the response MUST be passed to the
        // transport layer for transmission." "When the server transaction enters the 'Completed'
        // state, it MUST set Timer J."
        (Trying | Proceeding, Final) => (Completed, &[Send, Arm(Timer::J)]),
        // "Any other final responses passed by the TU to the server transaction MUST be discarded while
        // in the 'Completed' state."
        (Completed, Provisional | Final) => (Completed, &[]),
        // "The server transaction remains in this state until Timer J fires, at which point it MUST
        // transition to the 'Terminated' state."
        (Completed, TimerJ) => (Terminated, &[]),
        // RFC 6026 §8.8, in the place of figure 8's end: "the server transaction SHOULD inform the TU
        // that a failure has occurred, and MUST remain in the current state." Otherwise a request that
        // is repeated would be carried out again.
        (Proceeding, TransportError) => (Proceeding, &[End(ServerEnd::Transport)]),
        (Completed, TransportError) => (Completed, &[End(ServerEnd::Transport)]),
        // Nothing was sent yet; the response may find another connection (§18.2.2).
        (Trying, TransportError) => (Trying, &[]),
        // Of a timer that has lost its meaning.
        (Trying, TimerJ) => (Trying, &[]),
        (Proceeding, TimerJ) => (Proceeding, &[]),
        (Terminated, Request | Provisional | Final | TimerJ | TransportError) => (Terminated, &[]),
    }
}
