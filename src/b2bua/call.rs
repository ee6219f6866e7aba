//! A call as plain data: two legs, what was decided at its start, and what is going on.
//!
//! No socket, closure or channel in here: a call can be written out and read back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

use super::call_media::CallMedia;
use super::caller::Privacy;
use super::capabilities::Capabilities;
use super::cdr::{Attempt, CdrLeg, CdrTransfer, EndedBy};
use super::diversion::Diversions;
use super::dtmf::Keys;
use super::early_dialogs::EarlyDialogs;
use super::ending::RetryAfter;
use super::ladder::LadderKey;
use super::redirect::Redirection;
use super::reliable::Reliable;
use super::snapshots::SnapshotId;
use super::target_health::PassedOver;
use super::transfer::{Reconnect, Referral, Speaker, Transfer};
use crate::base::{Hop, Instant, Realm, TimerId, TrunkName};
use crate::dialog::Dialog;
use crate::dialog::session_timer::SessionTimer;
use crate::media::Side;
use crate::numbering::Number;
use crate::routing::{Target, TargetKey};
use crate::sip::{Message, Status};
use crate::transaction::{ClientId, ServerId};

slotmap::new_key_type! {
    /// One call of an engine.
    pub struct CallKey;
}

/// One call, from its INVITE until both legs are over and its media is closed.
#[derive(Clone, Debug)]
pub struct Call {
    /// Our name of it, in CDRs and logs.
    pub id: String,
    /// The configuration that it started with.
    pub snapshot: SnapshotId,
    /// How far it is.
    pub phase: Phase,
    /// The caller's leg.
    pub a: Leg,
    /// The callee's leg: the target that is being tried, or that answered.
    pub b: Option<Leg>,
    /// The caller's INVITE.
    pub invite: Message,
    /// Where it came from and where it wants to go.
    pub numbers: CallNumbers,
    /// Where it may still be sent.
    pub plan: Plan,
    /// Ports, and what each side's SDP said.
    pub media: CallMedia,
    /// Our tags of every leg B that was tried.
    pub tags_b: Vec<Bytes>,
    /// User part of our Contact towards leg B.
    pub contact_user_b: String,
    /// What the CDR will say.
    pub record: Record,
    /// Where its messages are kept.
    pub ladder: LadderKey,
    /// Its armed timers.
    pub timers: BTreeMap<CallTimer, TimerId>,
    /// Keys that are told by INFO.
    pub keys: Keys,
    /// Requests of one side that wait for the other side's answer.
    pub relays: Vec<ClientId>,
    /// Reliable provisional responses towards the caller.
    pub reliable: Reliable,
    /// REFERs that were relayed, the oldest first.
    pub referrals: Vec<Referral>,
    /// Its part in a transfer that we carry out.
    pub transfer: Transfer,
    /// Trunks that a relayed REFER told of one of its dialogs: they may replace the other.
    pub granted: Vec<TrunkName>,
    /// After a transfer, which party is to be told of the other's media.
    pub reconnect: Option<Reconnect>,
    /// We placed it ourselves, for a transfer: the record of that call speaks of it.
    pub has_no_record: bool,
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No target has answered yet.
    Setup,
    /// The caller was sent a 2xx.
    Answered,
    /// Both legs are over; only the relay's last word is missing.
    Over,
}

/// One leg: our dialog with one side.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The side of the network.
    pub realm: Realm,
    /// The peer's trunk, if it is one's.
    pub trunk: Option<TrunkName>,
    /// Where its INVITE came from or went to.
    pub hop: Hop,
    /// Call-ID of the dialog.
    pub call_id: Bytes,
    /// Our tag.
    pub local_tag: Bytes,
    /// What the peer says that it takes.
    pub peer: Capabilities,
    /// The dialog, once the peer's tag is known.
    pub dialog: Option<Dialog>,
    /// While our INVITE is not answered: the branches of a fork. `dialog` is of the one that spoke
    /// last.
    pub early: EarlyDialogs,
    /// The INVITE of the peer's that we have not answered.
    pub incoming: Option<ServerId>,
    /// Our INVITE that the peer has not answered.
    pub outgoing: Option<ClientId>,
    /// Our 2xx that the peer has not ACKed.
    pub unacked: Option<Unacked>,
    /// The peer's 2xx whose ACK waits for the other side's (it carries the answer).
    pub owed_ack: Option<OwedAck>,
    /// BYE waits for the ACK of our 2xx (RFC 3261 §15); its Reason, or empty.
    pub bye_when_acked: Option<Vec<u8>>,
    /// A re-INVITE of the peer's that waits until both sides have ACKed.
    pub deferred: Option<(ServerId, Message)>,
    /// What our SDP towards the peer says of itself.
    pub sdp: LegSdp,
    /// What was agreed on (RFC 4028).
    pub session_timer: SessionTimer,
    /// When the session interval in force is over.
    pub session_ends: Instant,
    /// Our refresh that the peer has not answered; a re-INVITE is `outgoing` as well.
    pub refresh: Option<ClientId>,
    /// The peer took an offer of ours that had been given up: it is to be offered what is in force.
    pub is_adrift: bool,
    /// We opened its dialog: the Call-ID is ours.
    pub owns_call_id: bool,
    /// User part of our Contact, of a leg that came from another call.
    pub contact_user: Option<String>,
    /// Whose that leg is.
    pub speaker: Option<Speaker>,
    /// Its peer is not to learn who calls (RFC 3323).
    pub hides_other: bool,
}

/// Our 2xx to an INVITE, repeated until the ACK comes (RFC 3261 §13.3.1.4).
#[derive(Clone, Debug)]
pub struct Unacked {
    /// The response.
    pub response: Message,
    /// Where it goes.
    pub hop: Hop,
    /// CSeq of the INVITE.
    pub sequence: u32,
    /// When it was sent first.
    pub since: Instant,
    /// How many times it was repeated.
    pub repeats: u32,
}

/// A 2xx of the peer's that we will ACK when we have the SDP answer.
#[derive(Clone, Debug)]
pub struct OwedAck {
    /// The INVITE transaction.
    pub client: ClientId,
    /// Its CSeq.
    pub sequence: u32,
}

/// o= of what we say to one peer (RFC 3264 §8: the version grows with every change).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LegSdp {
    /// Never changes.
    pub session_id: u64,
    /// Grows by one with each change.
    pub version: u64,
    /// What was said last.
    pub last: Vec<u8>,
    /// What was said last of an offer that has its answer.
    pub in_force: Vec<u8>,
    /// What the peer said there.
    pub heard: Bytes,
}

/// Who calls whom.
#[derive(Clone, Debug)]
pub struct CallNumbers {
    /// User of the Request-URI, unescaped.
    pub called_received: String,
    /// The same without an access code that the caller's trunk dials before it.
    pub called_dialled: String,
    /// The user as it was written, if every byte of it may stand in a URI: so a name crosses, in which
    /// `;` and `%3B` are not the same (RFC 3261 §19.1.4).
    pub called_written: Option<String>,
    /// What it means.
    pub called: Number,
    /// User of From, unescaped.
    pub from_received: String,
    /// User of the identity header that counts, or of From; unescaped, empty if nobody is named.
    pub caller_received: String,
    /// What it means.
    pub caller: Number,
    /// The display name that goes with it, as it may be written.
    pub caller_display: Option<Bytes>,
    /// Whether a peer of our trust domain vouches for the caller (RFC 3325 §2.3).
    pub caller_is_asserted: bool,
    /// Whether the caller asks not to be shown.
    pub privacy: Privacy,
    /// Who diverted the call before it came to us.
    pub diversions: Diversions,
}

/// What is left to be tried.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// `name` of the route that takes it; none was found yet, or there is none.
    pub route: Option<String>,
    /// Trunks, the next one first.
    pub trunks: Vec<TrunkName>,
    /// Targets of the trunk that is being tried, the next one first.
    pub targets: Vec<Target>,
    /// The target of leg B.
    pub current: Option<Target>,
    /// When it was tried.
    pub since: Instant,
    /// Whether a provisional response of leg B was passed on: after that no other target is
    /// tried, for the callee may have rung, but by `failover.after_ringing`.
    pub rang: bool,
    /// When the target of leg B rang, if it did: the first such response of its own.
    pub rang_at: Option<Instant>,
    /// The best answer so far.
    pub best: Option<Status>,
    /// Whether a target said 503, and not we who could not use what it said.
    pub best_is_503: bool,
    /// Retry-After of that answer.
    pub retry_after: RetryAfter,
    /// The trunk it came from, if its limit counts this call.
    pub ingress_counted: Option<TrunkName>,
    /// The trunk that is being tried, whose limit counts this call too.
    pub egress_counted: Option<TrunkName>,
    /// Whether it counts on the node.
    pub node_counted: bool,
    /// Whether a trunk was passed over because it is full.
    pub passed_full: bool,
    /// Whether the target of leg B was CANCELled so that the next is tried when it has said so.
    pub leaving: bool,
    /// Whether a target was left that may have rung.
    pub left_ringing: bool,
    /// Every target that was tried, or kept the call out to the end.
    pub tried: Vec<TargetKey>,
    /// Targets that did not let the call in, as they were then.
    pub passed_over: Vec<PassedOver>,
    /// Whether some of those were not tried at the end either.
    pub kept_out: bool,
    /// Whether a target that is down was tried, for want of others.
    pub resorted: bool,
    /// Whether the target of leg B has shown already whether it takes calls.
    pub judged: bool,
    /// Retry-After of its 503, in seconds.
    pub asked_to_wait_s: Option<u32>,
    /// Where a 3xx sent the call.
    pub redirection: Redirection,
}

/// The CDR in the making.
#[derive(Clone, Debug)]
pub struct Record {
    /// When the INVITE came.
    pub start: Instant,
    /// When the caller heard of ringing.
    pub ring: Option<Instant>,
    /// When the caller got the 2xx.
    pub answer: Option<Instant>,
    /// When both legs were over.
    pub end: Option<Instant>,
    /// Where the INVITE came from.
    pub remote: SocketAddr,
    /// Every target tried.
    pub attempts: Vec<Attempt>,
    /// The final status that the caller got.
    pub status: u16,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Why.
    pub cause: String,
    /// The codec of the answer.
    pub codec: Option<String>,
    /// The transfers that we carried out.
    pub transfers: Vec<CdrTransfer>,
    /// The legs as they were before the first of them.
    pub first_legs: Option<(CdrLeg, Option<CdrLeg>)>,
}

/// The timers of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CallTimer {
    /// No provisional response came in time: the next target.
    NoProvisional,
    /// No ringing came in time: the next target.
    NoProgress,
    /// No final response came in time (Timer C).
    NoAnswer,
    /// Repeat the reliable provisional response towards the caller, or give up.
    Reliable,
    /// The caller's INVITE has expired (RFC 3261 §13.3.1).
    Expires,
    /// Repeat the 2xx towards this side, or give up.
    Unacked(Side),
    /// The relay did not say whether it could open the ports.
    Opening,
    /// The call has lasted as long as a call may.
    Duration,
    /// Our re-INVITE on this side has no final response.
    Reinvite(Side),
    /// It is time to refresh this side (RFC 4028 §7.2).
    Refresh(Side),
    /// This side was not refreshed in time (§10).
    SessionExpiry(Side),
    /// Look whether the calls of a transfer can be joined.
    Join,
    /// A party is offered the other's media again.
    Reconnect,
    /// A transferor that does not hang up gets BYE.
    Leaving,
}

impl Call {
    /// The leg of a side, if there is one.
    pub fn leg(&self, side: Side) -> Option<&Leg> {
        match side {
            Side::A => Some(&self.a),
            Side::B => self.b.as_ref(),
        }
    }

    /// The same, to change it.
    pub fn leg_mut(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::A => Some(&mut self.a),
            Side::B => self.b.as_mut(),
        }
    }

    /// Both legs as they are now, as a record tells them: where the call came from, and where it goes if a
    /// target is tried.
    pub fn legs_for_record(&self) -> (CdrLeg, Option<CdrLeg>) {
        let of = |leg: &Leg, remote| CdrLeg {
            realm: leg.realm,
            trunk: leg.trunk.clone(),
            remote,
            call_id: String::from_utf8_lossy(&leg.call_id).into_owned(),
        };
        (of(&self.a, self.record.remote), self.b.as_ref().map(|leg| of(leg, leg.hop.peer)))
    }

    /// Whether a party that asks for a place in it waits for the other's answer.
    pub fn is_replaced(&self) -> bool {
        matches!(self.transfer, Transfer::Replaced(_))
    }

    /// Whether this call is to an emergency number: no limit holds it back.
    pub fn is_emergency(&self) -> bool {
        matches!(self.numbers.called, Number::Emergency(_))
    }
}

impl LegSdp {
    /// What is in force, to be said once more. If an offer was said and refused meanwhile, that had a
    /// later version, and no version goes back (RFC 3264 §8).
    pub fn say_again(&mut self) -> Vec<u8> {
        let origin = format!("o=- {} ", self.session_id);
        let found = memchr::memmem::find(&self.in_force, origin.as_bytes());
        if let Some(start) = found.filter(|_| self.last != self.in_force) {
            let (before, rest) = self.in_force.split_at(start + origin.len());
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            self.version += 1;
            self.in_force = [before, self.version.to_string().as_bytes(), &rest[digits..]].concat();
            self.last.clone_from(&self.in_force);
        }
        self.in_force.clone()
    }
}

impl Leg {
    /// A leg without a dialog.
    pub fn new(
        realm: Realm,
        trunk: Option<TrunkName>,
        hop: Hop,
        call_id: Bytes,
        local_tag: Bytes,
        session_id: u64,
    ) -> Leg {
        Leg {
            realm,
            trunk,
            hop,
            call_id,
            local_tag,
            peer: Capabilities::default(),
            dialog: None,
            early: EarlyDialogs::default(),
            incoming: None,
            outgoing: None,
            unacked: None,
            owed_ack: None,
            bye_when_acked: None,
            deferred: None,
            sdp: LegSdp { session_id, version: 1, ..LegSdp::default() },
            session_timer: SessionTimer::default(),
            session_ends: Instant::ZERO,
            refresh: None,
            is_adrift: false,
            owns_call_id: false,
            contact_user: None,
            speaker: None,
            hides_other: false,
        }
    }

    /// Whether an INVITE is under way on it, whoever's, or waits to be carried on.
    pub fn has_open_invite(&self) -> bool {
        self.incoming.is_some() || self.outgoing.is_some() || self.deferred.is_some()
    }

    /// Whether a 2xx to an INVITE is without its ACK, the peer's or ours.
    pub fn awaits_ack(&self) -> bool {
        self.unacked.is_some() || self.owed_ack.is_some()
    }

    /// Whether no INVITE of ours can be sent on it now (RFC 3261 §14.1).
    pub fn is_busy(&self) -> bool {
        self.has_open_invite() || self.awaits_ack()
    }
}
