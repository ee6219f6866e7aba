//! Transactions (RFC 3261 §17 as corrected by RFC 6026): a request and its responses, with all
//! that makes them arrive over datagrams.
//!
//! - [`Transactions`] holds every transaction of one engine. Inputs are a message that came, what
//!   the transaction user (TU, RFC 3261 §5: here the B2BUA) wants sent, the time, a failed
//!   transport. After each, [`Transactions::poll`] is drained of its [`Effect`]s.
//! - The four machines of the RFC's figures 5–8 are pure tables, one a file: `client_invite`,
//!   `client_non_invite`, `server_invite`, `server_non_invite`. `client` and `server` carry out
//!   what they say, `layer` finds the transaction that an input concerns.
//! - `cancel` says when a CANCEL is sent, and sent again.
//! - `key` says which message belongs to which transaction, `by_hop` which ones a connection carries,
//!   `timers` how long each timer runs,
//!   `compose` makes the few messages that the layer itself says (100, 503, ACK, CANCEL), `shares` says
//!   how much of the tables one source may have.
//!
//! What the layer does not do, because the RFC gives it to the TU: retransmit a 2xx to INVITE until
//! its ACK comes (§13.3.1.4), send that ACK (§13.2.2.4), bound how long an INVITE may ring (timer C,
//! §16.6).
//!
//! Must not know: dialogs, trunks, sockets, the time of day.

mod by_hop;
mod cancel;
mod client;
mod client_invite;
mod client_non_invite;
mod clock;
mod compose;
mod key;
mod layer;
mod server;
mod server_invite;
mod server_non_invite;
mod shares;
mod timers;

#[cfg(test)]
mod tests;

pub use cancel::MAX_CANCEL_REPEATS;
pub use layer::{MAX_TRANSACTIONS, RETRY_AFTER_SECONDS, Transactions};
pub use server::{response_hop, response_hop_after};
pub use shares::{BYTES_PER_TRANSACTION, RESERVED_FOR_EMERGENCIES, RESERVED_TRANSACTIONS};
pub use timers::{Timer, TimerSettings};

use crate::admission::DropReason;
use crate::base::Hop;
use crate::sip::Message;

slotmap::new_key_type! {
    /// A server transaction: a request that came.
    pub struct ServerId;
    /// A client transaction: a request that was sent.
    pub struct ClientId;
}

/// What the layer wants done, in order. A [`Message`] shares its bytes, so moving one is cheap.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly every effect carries a message")]
pub enum Effect {
    /// Send this.
    Transmit {
        /// Where to.
        hop: Hop,
        /// What.
        message: Message,
        /// Whether the same was sent before; for metrics.
        retransmission: bool,
    },
    /// A new request for the TU. Of an INVITE the 100 has been sent already.
    Request {
        /// Its transaction; the TU owes it a final response.
        server: ServerId,
        /// The request.
        request: Message,
        /// Where it came from.
        hop: Hop,
    },
    /// A CANCEL that came (§9.2). The TU answers both: this with 200 or 481, the INVITE with 487 if
    /// it has no final response yet.
    Cancel {
        /// The CANCEL's own transaction.
        server: ServerId,
        /// The INVITE that it means, if there is one.
        invite: Option<ServerId>,
        /// The CANCEL.
        request: Message,
        /// Where it came from.
        hop: Hop,
    },
    /// An ACK for a 2xx: it belongs to a dialog, not to a transaction. (One for another final
    /// response is absorbed.)
    Ack {
        /// The ACK.
        request: Message,
        /// Where it came from.
        hop: Hop,
    },
    /// A response to a request of ours: each provisional one, the final one, and for INVITE every
    /// 2xx, those that only repeat included (RFC 6026 §7.2).
    Response {
        /// The request's transaction.
        client: ClientId,
        /// The response.
        response: Message,
        /// Where it came from, which need not be where the request went.
        hop: Hop,
    },
    /// No final response will come.
    ClientEnded {
        /// The transaction.
        client: ClientId,
        /// Why.
        why: ClientEnd,
    },
    /// The network says that an INVITE did not arrive that nobody has answered yet (ICMP over
    /// UDP, a word that anybody can forge), or the connection of one with a provisional response
    /// broke. The transaction goes on, the TU may try elsewhere.
    Unreachable {
        /// The transaction.
        client: ClientId,
    },
    /// A CANCEL went out as often as it may, and no connection took it: the callee may ring on.
    CancelLost {
        /// Where it last went.
        hop: Hop,
    },
    /// The last effect of a client transaction: its id is dead.
    ClientGone {
        /// The transaction.
        client: ClientId,
    },
    /// Our response may not have arrived; for logs and metrics. The transaction goes on or ends as
    /// the RFC says; an INVITE without a final response stays and still wants one.
    ServerEnded {
        /// The transaction.
        server: ServerId,
        /// Why.
        why: ServerEnd,
    },
    /// The last effect of a server transaction: its id is dead.
    ServerGone {
        /// The transaction.
        server: ServerId,
    },
    /// A message went nowhere; for metrics.
    Dropped {
        /// Where it came from.
        hop: Hop,
        /// Why.
        why: DropReason,
    },
}

/// Why a client transaction ended without a final response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientEnd {
    /// Timer B or F fired, or no final response came in 64·T1 after a CANCEL (§9.1). To the TU it
    /// is a 408 (§8.1.3.1).
    Timeout,
    /// The transport failed. To the TU it is a 503 (§8.1.3.1). An INVITE that opens a dialog may have
    /// arrived: the layer cancels what rings after all, and hands a late 2xx up.
    Transport,
}

/// What went wrong with the responses of a server transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerEnd {
    /// Timer H fired: no ACK came for a final response to INVITE other than 2xx.
    NoAck,
    /// The transport failed.
    Transport,
}

/// The classes of responses between which the machines' figures tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 300–699.
    Failure,
}

impl Class {
    fn of(status: crate::sip::Status) -> Class {
        if status.is_provisional() {
            Class::Provisional
        } else if status.is_success() {
            Class::Success
        } else {
            Class::Failure
        }
    }
}

/// What a client machine tells the layer to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClientAction {
    /// Send the request for the first time.
    Send,
    /// Send the request again.
    Repeat,
    /// Send the ACK for this response (§17.1.1.3).
    Ack,
    /// Send it again: the response is a repeated one.
    RepeatAck,
    /// Pass the response to the TU.
    Deliver,
    /// Arm a timer. It takes the place of the one that ran in its slot (see [`timers::Slot`]).
    Arm(Timer),
    /// Arm a timer at T2, whatever its interval was.
    ArmAtT2(Timer),
    /// Disarm a timer.
    Stop(Timer),
    /// Tell the TU that no final response will come.
    End(ClientEnd),
    /// Tell the TU that none may come.
    Doubt,
}

/// What a server machine tells the layer to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ServerAction {
    /// Send the TU's response, and keep it as the last one.
    Send,
    /// The same, of a response that the TU repeats.
    SendAgain,
    /// Send the last response again.
    Repeat,
    /// Pass the ACK to the TU.
    PassAck,
    /// Arm a timer. It takes the place of the one that ran in its slot (see [`timers::Slot`]).
    Arm(Timer),
    /// Disarm a timer.
    Stop(Timer),
    /// Tell the TU that its response may not have arrived.
    End(ServerEnd),
}
