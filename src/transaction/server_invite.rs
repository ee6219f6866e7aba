//! The INVITE server transaction (RFC 3261 §17.2.1, figure 7, with RFC 6026 §7.1).
//!
//! Must not know: messages, time, tables.

use super::ServerAction::{self, Arm, End, PassAck, Repeat, Send, SendAgain, Stop};
use super::{Class, ServerEnd, Timer};

/// Where the transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// No final response yet. The layer's 100 is the first provisional one.
    Proceeding,
    /// A final response other than 2xx was sent and waits for its ACK.
    Completed,
    /// Its ACK came; more may.
    Confirmed,
    /// A 2xx was sent (RFC 6026).
    Accepted,
    /// Over.
    Terminated,
}

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The INVITE came again.
    Invite,
    /// An ACK came.
    Ack,
    /// The TU gives a 1xx.
    Provisional,
    /// The TU gives a 2xx.
    Success,
    /// The TU gives a 300–699.
    Failure,
    /// Send again.
    TimerG,
    /// No ACK came.
    TimerH,
    /// Repeated ACKs are over.
    TimerI,
    /// Repeated INVITEs are over.
    TimerL,
    /// What was sent cannot arrive.
    TransportError,
}

impl Event {
    pub(super) fn of_response(class: Class) -> Event {
        match class {
            Class::Provisional => Event::Provisional,
            Class::Success => Event::Success,
            Class::Failure => Event::Failure,
        }
    }

    /// `None`: not a timer of this machine.
    pub(super) fn of_timer(timer: Timer) -> Option<Event> {
        match timer {
            Timer::G => Some(Event::TimerG),
            Timer::H => Some(Event::TimerH),
            Timer::I => Some(Event::TimerI),
            Timer::L => Some(Event::TimerL),
            Timer::A
            | Timer::B
            | Timer::D
            | Timer::E
            | Timer::F
            | Timer::J
            | Timer::K
            | Timer::M
            | Timer::Cancelled => None,
        }
    }
}

/// The figure.
pub(super) fn step(state: State, event: Event) -> (State, &'static [ServerAction]) {
    use Event::{Ack, Failure, Invite, Provisional, Success, TimerG, TimerH, TimerI, TimerL, TransportError};
    use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    match (state, event) {
        // "If a request retransmission is received while in the 'Proceeding' state, the most recent
        // provisional response that was received from the TU MUST be passed to the transport layer for
        // retransmission."
        (Proceeding, Invite) => (Proceeding, &[Repeat]),
        (Proceeding, Provisional) => (Proceeding, &[Send]),
        // "If, while in the 'Proceeding' state, the TU passes a 2xx response to the server transaction,
        // the server transaction MUST pass this response to the transport layer for transmission", and
        // by RFC 6026 §8.7 becomes 'Accepted', not 'Terminated'.
        (Proceeding, Success) => (Accepted, &[Send, Arm(Timer::L)]),
        // "If the TU passes a response with status code from 300 to 699 to the server transaction, the
        // response MUST be passed to the transport layer for transmission, and the state machine MUST
        // enter the 'Completed' state. For unreliable transports, timer G is set to fire in T1
        // seconds." "When the 'Completed' state is entered, timer H MUST be set."
        (Proceeding, Failure) => (Completed, &[Send, Arm(Timer::G), Arm(Timer::H)]),
        // "If timer G fires, the response is passed to the transport layer once more for
        // retransmission, and timer G is set to fire in MIN(2*T1, T2) seconds."
        (Completed, TimerG) => (Completed, &[Repeat, Arm(Timer::G)]),
        // "while in the 'Completed' state, if a request retransmission is received, the server SHOULD
        // pass the response to the transport for retransmission."
        (Completed, Invite) => (Completed, &[Repeat]),
        // "If an ACK is received while the server transaction is in the 'Completed' state, the server
        // transaction MUST transition to the 'Confirmed' state. As Timer G is ignored in this state,
        // any retransmissions of the response will cease." Timer I takes the place of timer H.
        (Completed, Ack) => (Confirmed, &[Stop(Timer::G), Arm(Timer::I)]),
        // "If timer H fires while in the 'Completed' state, it implies that the ACK was never received.
        // In this case, the server transaction MUST transition to the 'Terminated' state, and MUST
        // indicate to the TU that a transaction failure has occurred."
        (Completed, TimerH) => (Terminated, &[End(ServerEnd::NoAck)]),
        // "Once timer I fires, the server MUST transition to the 'Terminated' state."
        (Confirmed, TimerI) => (Terminated, &[]),
        // RFC 6026 §8.7: "While in the 'Accepted' state, any retransmissions of the INVITE received will
        // match this transaction state machine and will be absorbed by the machine without changing
        // its state. These retransmissions are not passed onto the TU."
        (Accepted, Invite) => (Accepted, &[]),
        // RFC 6026 §8.7: "Any retransmission of the 2xx response passed from the TU to the transaction
        // while in the 'Accepted' state MUST be passed to the transport layer for transmission."
        (Accepted, Success) => (Accepted, &[SendAgain]),
        // RFC 6026 §8.7: "Any ACKs received from the network while in the 'Accepted' state MUST be
        // passed directly to the TU and not absorbed." Some user agents give the ACK of a 2xx the
        // branch of the INVITE.
        (Accepted, Ack) => (Accepted, &[PassAck]),
        // RFC 6026 §8.7: "When Timer L fires and the state machine is in the 'Accepted' state, the
        // machine MUST transition to the 'Terminated' state."
        (Accepted, TimerL) => (Terminated, &[]),
        // RFC 6026 §8.8: "the server transaction SHOULD inform the TU that a failure has occurred, and
        // MUST remain in the current state."
        (Proceeding, TransportError) => (Proceeding, &[End(ServerEnd::Transport)]),
        (Completed, TransportError) => (Completed, &[End(ServerEnd::Transport)]),
        (Accepted, TransportError) => (Accepted, &[End(ServerEnd::Transport)]),
        // Confirmed exists "to absorb any additional ACK messages"; it sends nothing.
        (Confirmed, Ack | Invite | TransportError) => (Confirmed, &[]),
        // An ACK of a response that was not sent yet.
        (Proceeding, Ack) => (Proceeding, &[]),
        // The final response was given already.
        (Completed, Provisional | Success | Failure) => (Completed, &[]),
        (Confirmed, Provisional | Success | Failure) => (Confirmed, &[]),
        (Accepted, Provisional | Failure) => (Accepted, &[]),
        // Of a timer that has lost its meaning.
        (Proceeding, TimerG | TimerH | TimerI | TimerL) => (Proceeding, &[]),
        (Completed, TimerI | TimerL) => (Completed, &[]),
        (Confirmed, TimerG | TimerH | TimerL) => (Confirmed, &[]),
        (Accepted, TimerG | TimerH | TimerI) => (Accepted, &[]),
        (
            Terminated,
            Invite | Ack | Provisional | Success | Failure | TimerG | TimerH | TimerI | TimerL
            | TransportError,
        ) => (Terminated, &[]),
    }
}
