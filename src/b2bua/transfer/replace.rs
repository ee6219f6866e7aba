//! A new INVITE with Replaces (RFC 3891): its sender takes the place of a party of a call. Within a
//! trunk that may transfer calls it may name a leg of its own (a call that is picked up, a transferee
//! that its PBX told of the dialog); beyond that, only the dialog that a relayed REFER of ours told it.
//!
//! The new leg changes places with the old one, and its offer goes to the other party as a
//! re-INVITE. If that is accepted, the sender gets the answer and the old leg BYE; if not, the legs
//! change back, the sender is refused and the call goes on as it was.

use super::super::call::{CallKey, Phase};
use super::super::call_media::{MediaReady, Parked};
use super::super::cdr::{CdrTransfer, EndedBy};
use super::super::ending::End;
use super::super::engine::Engine;
use super::super::inbound::Rejection;
use super::consume::Transfer;
use super::join::is_quiet;
use super::replaces::{Replaces, View};
use crate::base::Instant;
use crate::media::Side;
use crate::routing::Refer;
use crate::sdp::Sdp;
use crate::sip::{Header, Status};
use crate::transaction::ServerId;

/// How often it is tried while the call has a request under way.
const MAX_TRIES: u8 = 25;

/// The most peers that may take a place in one call, because REFERs told them of it.
pub(super) const MAX_GRANTS: usize = 4;

/// A party that is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replacing {
    /// The call.
    of: CallKey,
    /// The side that goes.
    slot: Side,
    /// How often it was tried.
    tries: u8,
}

/// A call in which the legs have changed places, while the other party is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// The call that the new party opened; it has the old leg as its side A.
    by: CallKey,
    /// The side that the new party has taken.
    pub(super) slot: Side,
    /// The INVITE of the new party.
    server: ServerId,
}

impl Engine {
    /// A new call names a dialog that it is to replace.
    pub(in super::super) fn on_replaces(&mut self, now: Instant, key: CallKey) {
        match self.find_replaced(key) {
            Ok(replacing) => {
                let Some(call) = self.calls.get_mut(key) else { return };
                call.transfer = Transfer::Replacing(replacing);
                let trunk = call.a.trunk.clone();
                if self.count_on_trunk(now, trunk.as_ref(), false).is_err() {
                    return self.reject_call(
                        now,
                        key,
                        Rejection::new(503, "the limit of its trunk is reached"),
                    );
                }
                if let Some(call) = self.calls.get_mut(key) {
                    call.plan.ingress_counted = trunk;
                }
                self.open_for_replacement(now, key, replacing);
            }
            Err(status) => {
                self.reject_call(now, key, Rejection::new(status, "it may replace no such dialog"))
            }
        }
    }

    /// The leg that a call may take the place of. The error is the status that it hears.
    fn find_replaced(&self, key: CallKey) -> Result<Replacing, u16> {
        let call = self.calls.get(key).ok_or(481u16)?;
        let named = call.invite.header(Header::Replaces).and_then(Replaces::parse).ok_or(400u16)?;
        let (of, side, view) = self.find_named(&named).ok_or(481u16)?;
        let there = self.calls.get(of).ok_or(481u16)?;
        let leg = there.leg(side).ok_or(481u16)?;
        let is_allowed = leg.realm == call.a.realm
            && match view {
                View::Ours => leg.trunk == call.a.trunk && self.may_transfer(key),
                View::Peers => call.a.trunk.as_ref().is_some_and(|trunk| there.granted.contains(trunk)),
            };
        let slot = if view == View::Ours { side } else { side.other() };
        match there.phase {
            // A stranger learns nothing of what there is.
            _ if !is_allowed => Err(481),
            // RFC 3891 §3: "If the Replaces header field matches a confirmed dialog, […] early-only
            // […] 486"; "already terminated […] 603"; an early one that we did not begin: 481.
            Phase::Over => Err(603),
            Phase::Setup => Err(481),
            Phase::Answered if named.early_only => Err(486),
            Phase::Answered if there.transfer != Transfer::None => Err(491),
            Phase::Answered if !self.offers_enough(key, of, slot) => Err(488),
            Phase::Answered => Ok(Replacing { of, slot, tries: 0 }),
        }
    }

    fn may_transfer(&self, key: CallKey) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let settings = self.snapshots.get(call.snapshot);
        let trunk = settings.trunk_of(call.a.trunk.as_ref());
        trunk.is_some_and(|trunk| trunk.refer != Refer::Reject)
    }

    /// Whether an INVITE has an offer with as many m= lines as the other party has seen (RFC 3264 §8).
    fn offers_enough(&self, key: CallKey, of: CallKey, slot: Side) -> bool {
        let count = |body: &bytes::Bytes| Sdp::parse(body).map_or(0, |sdp| sdp.medias().len());
        let offered = self.calls.get(key).map_or(0, |call| count(&call.invite.body()));
        offered > 0 && offered >= count(&self.last_sdp(of, slot.other()).into())
    }

    /// Ports for the new party, and one to speak to the old one's.
    fn open_for_replacement(&mut self, now: Instant, key: CallKey, replacing: Replacing) {
        let place = self.calls.get(replacing.of).and_then(|call| call.media.place_of(replacing.slot));
        let ready = place.map(|place| self.prepare_media(now, key, place, Parked::Replacement));
        match ready {
            Some(MediaReady::Now) => self.replace_when_quiet(now, key),
            Some(MediaReady::Later) => {}
            Some(MediaReady::Never) | None => {
                self.reject_call(now, key, Rejection::new(503, "no media port free"));
            }
        }
    }

    /// Takes the place as soon as nothing is under way in the call.
    pub(in super::super) fn replace_when_quiet(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key).filter(|call| call.phase == Phase::Setup) else { return };
        let Transfer::Replacing(replacing) = &mut call.transfer else { return };
        replacing.tries += 1;
        let (Replacing { of, slot, tries }, server) = (*replacing, call.a.incoming);
        let there = self.calls.get(of).filter(|there| there.phase == Phase::Answered);
        let is_free = there.is_some_and(|there| there.transfer == Transfer::None);
        match (there, server) {
            (Some(there), Some(server)) if is_free && is_quiet(there) => {
                self.take_place(now, key, of, slot, server);
            }
            (Some(_), Some(_)) if tries < MAX_TRIES => self.arm_join(now, key),
            (Some(_), _) => self.reject_call(now, key, Rejection::new(491, "the call to replace is busy")),
            (None, _) => self.reject_call(now, key, Rejection::new(603, "the call to replace is over")),
        }
    }

    fn take_place(&mut self, now: Instant, key: CallKey, of: CallKey, slot: Side, server: ServerId) {
        let Some([new, there]) = self.calls.get_disjoint_mut([key, of]) else { return };
        if !there.media.can_join(slot, &new.media, Side::B) {
            return self.reject_call(now, key, Rejection::new(488, "the media of the calls does not fit"));
        }
        let invite = new.invite.clone();
        new.phase = Phase::Answered;
        new.has_no_record = true;
        there.transfer = Transfer::Replaced(Replaced { by: key, slot, server });
        self.swap_legs(of, slot, key, Side::A);
        self.servers.insert(server, of);
        self.relay_request(now, of, slot, server, &invite);
        // Refused before it was asked: there is no transaction whose end would say so.
        if self.calls.get(of).is_some_and(|call| call.relays.is_empty()) {
            self.undo_replacement(now, of, Status::of(500));
        }
    }

    /// The other party has accepted: the new one has the place.
    pub(in super::super) fn finish_replacement(&mut self, now: Instant, key: CallKey) {
        let Some(Replaced { by, slot, .. }) = self.replaced(key) else { return };
        let to = self.calls.get(by).map(|call| call.numbers.from_received.clone()).unwrap_or_default();
        if let (Some(leg), Some(new)) =
            (self.calls.get(key).and_then(|call| call.leg(slot)), self.calls.get(by))
        {
            // It is no call in set-up any more.
            self.setups.end((leg.realm, new.record.remote.ip()), &new.invite);
        }
        self.join_media(key, slot, by, Side::B);
        if let Some(call) = self.calls.get_mut(key) {
            call.transfer = Transfer::None;
            call.referrals.clear();
            let by = if slot == Side::A { EndedBy::Caller } else { EndedBy::Callee };
            call.record.transfers.push(CdrTransfer { by, to, status: 200 });
        }
        self.run_session_timer(now, key, slot);
        self.end_call(now, by, End::new(EndedBy::Sbc, "another took its place"));
    }

    /// The other party has not: the legs change back, and the new one is refused. False: nobody was
    /// to be replaced.
    pub(in super::super) fn undo_replacement(&mut self, now: Instant, key: CallKey, status: Status) -> bool {
        let Some(Replaced { by, slot, server }) = self.replaced(key) else { return false };
        self.swap_legs(key, slot, by, Side::A);
        let Some([call, new]) = self.calls.get_disjoint_mut([key, by]) else { return true };
        call.transfer = Transfer::None;
        new.transfer = Transfer::None;
        new.phase = Phase::Setup;
        new.has_no_record = false;
        new.a.incoming = Some(server);
        if let Some(leg) = call.leg_mut(slot) {
            leg.incoming = None;
        }
        let has_left = call.leg(slot).is_none_or(|leg| leg.dialog.is_none());
        self.servers.insert(server, by);
        self.resume_session_timer(now, key, slot);
        self.drop_offer(key);
        self.reject_call(now, by, Rejection::new(status.code(), "the other party did not accept it"));
        if has_left {
            let end = End::new(EndedBy::Sbc, "the party that was to be replaced had hung up");
            self.end_call(now, key, end.without(slot));
        }
        true
    }

    /// The call in which the leg of this one is, if it can still change back.
    pub(in super::super) fn replaced_by(&self, key: CallKey) -> Option<CallKey> {
        let Transfer::Replacing(Replacing { of, .. }) = self.calls.get(key)?.transfer else { return None };
        (self.replaced(of)?.by == key).then_some(of)
    }

    fn replaced(&self, key: CallKey) -> Option<Replaced> {
        match self.calls.get(key)?.transfer {
            Transfer::Replaced(replaced) => Some(replaced),
            _ => None,
        }
    }

    /// Whether a call has nothing but the leg of a party that is being replaced.
    pub(super) fn has_replaced_leg(&self, key: CallKey, side: Side) -> bool {
        let call = self.calls.get(key).filter(|call| call.phase == Phase::Answered && side == Side::A);
        call.is_some_and(|call| matches!(call.transfer, Transfer::Replacing(_)))
    }
}
