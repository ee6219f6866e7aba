//! Our requests within calls, what each is for, and all of them by their transaction.
//!
//! The table is not a `SecondaryMap`, which keeps one entry a slot: when several transactions end at once, what
//! follows from the first may open one in the slot of the second before we hear that it has ended.
//!
//! Must not know: how they are sent (`sending.rs`), what their answers mean.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::call::CallKey;
use super::nonces::Answers;
use crate::base::{Hop, TrunkName};
use crate::media::Side;
use crate::sip::{Message, Method};
use crate::transaction::{ClientId, ServerId};

/// A request of ours and what it was for.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) call: CallKey,
    pub(super) side: Side,
    pub(super) purpose: Purpose,
    pub(super) request: Message,
    pub(super) hop: Hop,
    /// Over which it is sent again if its transport fails.
    pub(super) other_hop: Option<Hop>,
    /// Whose credentials answer a challenge.
    pub(super) trunk: Option<TrunkName>,
    /// Which challenges it answers.
    pub(super) answers: Answers,
    /// How often its session interval was too short.
    pub(super) raises: u8,
    /// The ACK for each 2xx that came, by the peer's tag: a repeated 2xx gets it again.
    pub(super) acks: Vec<(Bytes, Message, Hop)>,
    /// The highest CSeq that was used within its early dialog: what a BYE after the call, when the
    /// leg is gone, must be above.
    pub(super) early_sequence: u32,
}

impl Outgoing {
    /// One that answers no challenge yet.
    pub(super) fn new(
        call: CallKey,
        side: Side,
        purpose: Purpose,
        request: Message,
        hop: Hop,
        trunk: Option<TrunkName>,
    ) -> Outgoing {
        let (other_hop, answers, raises, acks, early_sequence) = (None, Answers::default(), 0, Vec::new(), 0);
        Outgoing {
            call,
            side,
            purpose,
            request,
            hop,
            other_hop,
            trunk,
            answers,
            raises,
            acks,
            early_sequence,
        }
    }

    /// Whether it carries credentials.
    pub(super) fn is_authorized(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Whether it carries this request of the other side.
    pub(super) fn is_relay_of(&self, request: ServerId) -> bool {
        self.purpose == Purpose::Relay { server: request }
    }

    /// The tag of the dialog that it is of; empty if it opens one.
    pub(super) fn remote_tag(&self) -> &[u8] {
        self.request.to().and_then(|to| to.tag()).unwrap_or(b"")
    }

    /// Its CSeq, which the ACK of its 2xx repeats.
    pub(super) fn sequence(&self) -> u32 {
        self.request.cseq().map_or(0, |cseq| cseq.number)
    }

    /// Whether it is an INVITE.
    pub(super) fn is_invite(&self) -> bool {
        self.request.method() == Some(&Method::Invite)
    }

    /// Whether it made an offer (RFC 3264).
    pub(super) fn carries_offer(&self) -> bool {
        matches!(self.request.method(), Some(Method::Invite | Method::Update)) && self.request.has_sdp()
    }
}

/// What a request of ours was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To open leg B.
    Setup,
    /// To carry a request of the other side's, which waits for the answer.
    Relay {
        /// The other side's transaction.
        server: ServerId,
    },
    /// To refresh a leg's session timer.
    Refresh,
    /// To acknowledge a reliable provisional response of leg B; nobody waits for the answer.
    Prack,
    /// To tell the caller, by a re-INVITE of ours, what the callee's answer is by now.
    Realign,
    /// To end a leg; nobody waits for the answer.
    Bye,
    /// To tell a transferor how far its transfer is; nobody waits for the answer.
    Notify,
    /// To tell a party of another's media, after a transfer.
    Reconnect,
    /// To tell a leg, by INFO, which key the other has pressed; the next waits for the answer.
    Key,
}

/// What is known of our requests until their transaction is gone.
#[derive(Debug, Default)]
pub(super) struct Outgoings(BTreeMap<ClientId, Outgoing>);

impl Outgoings {
    pub(super) fn get(&self, client: ClientId) -> Option<&Outgoing> {
        self.0.get(&client)
    }

    pub(super) fn get_mut(&mut self, client: ClientId) -> Option<&mut Outgoing> {
        self.0.get_mut(&client)
    }

    pub(super) fn insert(&mut self, client: ClientId, outgoing: Outgoing) {
        self.0.insert(client, outgoing);
    }

    pub(super) fn remove(&mut self, client: ClientId) -> Option<Outgoing> {
        self.0.remove(&client)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Outgoing> {
        self.0.values()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
