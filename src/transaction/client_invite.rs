//! The INVITE client transaction (RFC 3261 §17.1.1, figure 5, with RFC 6026 §7.2).
//!
//! Must not know: messages, time, tables.

use super::ClientAction::{self, Ack, Arm, Deliver, Doubt, End, Repeat, RepeatAck, Send, Stop};
use super::{Class, ClientEnd, Timer};

/// Where the transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Sent; nothing came.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A final response other than 2xx came and was acknowledged.
    Completed,
    /// A 2xx came; more may (RFC 6026).
    Accepted,
    /// Its connection broke before anything came, and the TU was told. The callee may have got it:
    /// what comes yet over another connection (§18.2.2) is CANCELled, or ACKed by the TU.
    Abandoned,
    /// Over.
    Terminated,
}

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 300–699.
    Failure,
    /// Send again.
    TimerA,
    /// No response came.
    TimerB,
    /// Repeated final responses are over.
    TimerD,
    /// Further 2xx are over.
    TimerM,
    /// No final response came after a CANCEL.
    CancelTimer,
    /// What was sent cannot arrive.
    TransportError,
    /// The connection broke that carried it, and it may have arrived before.
    ConnectionLost,
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
            Timer::A => Some(Event::TimerA),
            Timer::B => Some(Event::TimerB),
            Timer::D => Some(Event::TimerD),
            Timer::M => Some(Event::TimerM),
            Timer::Cancelled => Some(Event::CancelTimer),
            Timer::E | Timer::F | Timer::G | Timer::H | Timer::I | Timer::J | Timer::K | Timer::L => None,
        }
    }
}

/// How it begins.
pub(super) const START: (State, &[ClientAction]) = (State::Calling, &[Send, Arm(Timer::A), Arm(Timer::B)]);

/// The figure.
pub(super) fn step(state: State, event: Event) -> (State, &'static [ClientAction]) {
    use Event::{
        CancelTimer, ConnectionLost, Failure, Provisional, Success, TimerA, TimerB, TimerD, TimerM,
        TransportError,
    };
    use State::{Abandoned, Accepted, Calling, Completed, Proceeding, Terminated};
    match (state, event) {
        // "When timer A fires, the client transaction MUST retransmit the request by passing it to
        // the transport layer, and MUST reset the timer with a value of 2*T1."
        (Calling, TimerA) => (Calling, &[Repeat, Arm(Timer::A)]),
        // "If the client transaction is still in the 'Calling' state when timer B fires, the client
        // transaction SHOULD inform the TU that a timeout has occurred. The client transaction MUST
        // NOT generate an ACK."
        (Calling, TimerB) => (Terminated, &[End(ClientEnd::Timeout)]),
        // "In the 'Proceeding' state, the client transaction SHOULD NOT retransmit the request any
        // longer. Furthermore, the provisional response MUST be passed to the TU. Any further
        // provisional responses MUST be passed up to the TU while in the 'Proceeding' state."
        (Calling, Provisional) => (Proceeding, &[Stop(Timer::A), Stop(Timer::B), Deliver]),
        (Proceeding, Provisional) => (Proceeding, &[Deliver]),
        // RFC 6026 §8.4: "When a 2xx response is received while in either the 'Calling' or
        // 'Proceeding' states, the client transaction MUST transition to the 'Accepted' state, and
        // Timer M MUST be started with a value of 64*T1. The 2xx response MUST be passed up to the TU."
        (Calling, Success) => (Accepted, &[Stop(Timer::A), Arm(Timer::M), Deliver]),
        (Proceeding, Success) => (Accepted, &[Arm(Timer::M), Deliver]),
        // RFC 6026 §8.4: "Any 2xx responses that match this client transaction and that are received
        // while in the 'Accepted' state MUST be passed up to the TU. The client transaction MUST NOT
        // generate an ACK to the 2xx response."
        (Accepted, Success) => (Accepted, &[Deliver]),
        // RFC 6026 §8.4: "The client transaction MUST pass the received response up to the TU, and the
        // client transaction MUST generate an ACK request, even if the transport is reliable." "The
        // client transaction MUST start Timer D when it enters the 'Completed' state for any reason."
        (Calling, Failure) => (Completed, &[Stop(Timer::A), Arm(Timer::D), Ack, Deliver]),
        (Proceeding, Failure) => (Completed, &[Arm(Timer::D), Ack, Deliver]),
        // RFC 6026 §8.4: "Any retransmissions of a response with status code 300-699 that are received
        // while in the 'Completed' state MUST cause the ACK to be re-passed to the transport layer for
        // retransmission, but the newly received response MUST NOT be passed up to the TU."
        (Completed, Failure) => (Completed, &[RepeatAck]),
        // RFC 6026 §8.4: "If Timer D fires while the client transaction is in the 'Completed' state, the
        // client transaction MUST move to the 'Terminated' state." "If Timer M fires while the client
        // transaction is in the 'Accepted' state, the client transaction MUST move to the 'Terminated'
        // state."
        (Completed, TimerD) | (Accepted, TimerM) => (Terminated, &[]),
        // §9.1: "If there is no final response for the original request in 64*T1 seconds […], the
        // client SHOULD then consider the original transaction cancelled and SHOULD destroy the
        // client transaction handling the original request."
        (Proceeding, CancelTimer) => (Terminated, &[End(ClientEnd::Timeout)]),
        // "The client transaction SHOULD inform the TU that a transport failure has occurred, and the
        // client transaction SHOULD transition directly to the 'Terminated' state." The figure has it
        // for Calling and Completed, where something is sent.
        (Calling, TransportError) => (Terminated, &[End(ClientEnd::Transport)]),
        // Where a phone may ring by now it does not, so that the ringing finds somebody to CANCEL it.
        (Calling, ConnectionLost) => (Abandoned, &[Stop(Timer::A), End(ClientEnd::Transport)]),
        (Abandoned, Provisional) => (Proceeding, &[Stop(Timer::B), Deliver]),
        (Abandoned, Success) => (Accepted, &[Arm(Timer::M), Deliver]),
        (Abandoned, Failure) => (Completed, &[Arm(Timer::D), Ack, Deliver]),
        (Abandoned, TimerB) => (Terminated, &[]),
        // In Proceeding what failed is the connection over which the final response was to come. It
        // can come over another one (§18.2.2), and a phone may be ringing: who gives up must CANCEL.
        (Proceeding, TransportError | ConnectionLost) => (Proceeding, &[Doubt]),
        // The TU has its final response already: all it learns is that the transaction is gone.
        (Completed, TransportError | ConnectionLost) => (Terminated, &[]),
        // In Accepted nothing is sent by the transaction: the ACK is the TU's.
        (Accepted, TransportError | ConnectionLost) => (Accepted, &[]),
        // Late, out of order, or of a timer that has lost its meaning.
        (Completed, Provisional | Success) => (Completed, &[]),
        (Accepted, Provisional | Failure) => (Accepted, &[]),
        (Calling, TimerD | TimerM | CancelTimer) => (Calling, &[]),
        (Proceeding, TimerA | TimerB | TimerD | TimerM) => (Proceeding, &[]),
        (Completed, TimerA | TimerB | TimerM | CancelTimer) => (Completed, &[]),
        (Accepted, TimerA | TimerB | TimerD | CancelTimer) => (Accepted, &[]),
        (Abandoned, TimerA | TimerD | TimerM | CancelTimer | TransportError | ConnectionLost) => {
            (Abandoned, &[])
        }
        (
            Terminated,
            Provisional | Success | Failure | TimerA | TimerB | TimerD | TimerM | CancelTimer
            | TransportError | ConnectionLost,
        ) => (Terminated, &[]),
    }
}
