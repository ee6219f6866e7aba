//! `refer = "consume"`: we carry the transfer out. The number that the REFER names is called on
//! behalf of its sender, as an **errand**: a call of its own without a caller's dialog, by the
//! routes, limits and numbering of the sender's trunk. When it is answered, `join.rs` puts the leg
//! of the new party where the transferor's was. With Replaces, the transferor's other call is joined
//! in the same way, and nobody is called.
//!
//! | what happens meanwhile | what becomes of it |
//! |---|---|
//! | the transferor hangs up | the remaining party waits for the errand, and gets BYE if it fails |
//! | the remaining party hangs up | the errand is cancelled, the call ends |
//! | the errand fails | the transferor is told the status, the call goes on as it was |
//! | the call ends for another cause | the errand too |

use bytes::Bytes;

use super::super::Event;
use super::super::call::{Call, CallKey, CallNumbers, CallTimer, Leg, Phase};
use super::super::cdr::{CdrTransfer, EndedBy};
use super::super::ending::End;
use super::super::engine::{Engine, MAX_CALLS};
use super::super::inbound::Rejection;
use super::super::outgoing::Purpose;
use super::replace::{Replaced, Replacing};
use super::{Referred, join, speaker};
use crate::base::Instant;
use crate::dialog::session_timer::Role;
use crate::media::Side;
use crate::sip::{Header, Message, Method, Status, Writer};
use crate::transaction::ServerId;

/// The most transfers of one call.
const MAX_TRANSFERS: usize = 8;

/// `expires` of the implicit subscription, in seconds: a little less than an errand may take, which
/// no refresh of the subscriber's could prolong.
const SUBSCRIPTION_S: u32 = 180;

/// The most NOTIFYs of one transfer before the last: whoever is called says as much as it likes.
const MAX_NOTIFIES: u8 = 8;

/// Subscription-State of the last NOTIFY (RFC 3515 §2.4.5).
const TERMINATED: &str = "terminated;reason=noresource";

/// A call's part in a transfer that we carry out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transfer {
    /// None.
    #[default]
    None,
    /// One of its parties asked for one.
    Asked(Asked),
    /// It is the errand for a transfer of this call.
    Errand(CallKey),
    /// It has nothing but the transferor's legs, which are to end.
    Leaving,
    /// It was begun to take the place of a party of another call.
    Replacing(Replacing),
    /// Another has taken the place of one of its parties, if the other party accepts it.
    Replaced(Replaced),
}

/// A transfer that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The transferor.
    pub(super) by: Side,
    /// CSeq of its REFER.
    id: u32,
    /// The errand, or the transferor's other call, and which side of that is to go.
    pub(super) with: (CallKey, Side),
    /// The status that the transferor was told last.
    told: u16,
    /// How often it was told one.
    notifies: u8,
    /// How often the calls were not quiet enough to be joined.
    pub(super) tries: u8,
}

impl Engine {
    /// Carries out what a REFER asks for.
    pub(super) fn consume_refer(
        &mut self,
        now: Instant,
        key: CallKey,
        by: Side,
        server: ServerId,
        request: &Message,
        referred: &Referred,
    ) {
        let with = match self.begin_transfer(now, key, by, referred) {
            Ok(with) => with,
            Err(status) => return self.respond_in_dialog(now, key, by, server, status),
        };
        let id = request.cseq().map_or(0, |cseq| cseq.number);
        let asked = Asked { by, id, with, told: 0, notifies: 0, tries: 0 };
        if let Some(call) = self.calls.get_mut(key) {
            call.transfer = Transfer::Asked(asked);
            call.record.transfers.push(CdrTransfer {
                by: if by == Side::A { EndedBy::Caller } else { EndedBy::Callee },
                to: referred.number.as_str().to_owned(),
                status: 0,
            });
        }
        self.respond_in_dialog(now, key, by, server, Status::of(202));
        // RFC 3515 §2.4.4: the first NOTIFY follows at once.
        self.tell_transferor(now, key, Status::of(100), false);
        match referred.replaces {
            Some(_) => self.join_when_quiet(now, key),
            None => self.run_errand(now, with.0),
        }
    }

    /// The call that the remaining party is to be connected with.
    fn begin_transfer(
        &mut self,
        now: Instant,
        key: CallKey,
        by: Side,
        referred: &Referred,
    ) -> Result<(CallKey, Side), Status> {
        let call = self.calls.get(key).ok_or(Status::of(481))?;
        if call.transfer != Transfer::None {
            return Err(Status::of(491));
        }
        if call.record.transfers.len() >= MAX_TRANSFERS {
            return Err(Status::of(603));
        }
        if let Some((other, side)) = referred.replaces {
            let may = self.can_join(key, by, other, side);
            return if may { Ok((other, side)) } else { Err(Status::of(603)) };
        }
        let leg = call.leg(by).ok_or(Status::of(481))?;
        let source = leg.dialog.as_ref().map_or(leg.hop, |dialog| dialog.hop);
        if !self.allowlist.allows(leg.realm, source.peer.ip()) {
            // It is heard only for the sake of its calls in progress.
            return Err(Status::of(403));
        }
        self.may_call(leg.realm, leg.trunk.clone(), &referred.number)?;
        if self.draining || self.calls.len() >= MAX_CALLS {
            return Err(Status::of(503));
        }
        Ok((self.open_errand(now, key, by, referred)?, Side::A))
    }

    /// A call to the referred-to number, as if the transferor made it for the remaining party.
    fn open_errand(
        &mut self,
        now: Instant,
        key: CallKey,
        by: Side,
        referred: &Referred,
    ) -> Result<CallKey, Status> {
        let (call_id, tag, session_id) = (self.mint_call_id(), self.mint_tag(), self.random.bits() >> 2);
        let id = String::from_utf8_lossy(&self.random.token::<16>()).into_owned();
        let call = self.calls.get(key).ok_or(Status::of(481))?;
        let leg = call.leg(by).ok_or(Status::of(481))?;
        // It counts as one more hop, so that transfers that call each other come to an end.
        let hops = call.invite.number(Header::MaxForwards).unwrap_or(70).min(70);
        let hops = hops.checked_sub(1).filter(|hops| *hops > 0).ok_or(Status::of(483))?;
        let invite =
            errand_invite(&call_id, hops, &join::reopened(&leg.sdp.in_force)).ok_or(Status::of(488))?;
        let a = Leg::new(leg.realm, leg.trunk.clone(), leg.hop, call_id, tag, session_id);
        let numbers = numbers_of(call, by, referred);
        let trunk = leg.trunk.clone();
        let hop = leg.hop;
        // What is said to whom is called belongs to the call that asks for it.
        let ladder = call.ladder;
        let snapshot = self.snapshots.hold();
        let mut errand = Call::new(id, snapshot, a, numbers, invite, now, hop);
        errand.transfer = Transfer::Errand(key);
        errand.has_no_record = true;
        errand.ladder = ladder;
        self.event(Event::CallBegan { trunk, arrived: false });
        Ok(self.calls.insert(errand))
    }

    fn run_errand(&mut self, now: Instant, errand: CallKey) {
        self.arrange(now, errand);
    }

    /// The errand rings.
    pub(in super::super) fn on_errand_progress(&mut self, now: Instant, errand: CallKey, status: Status) {
        if let Some((key, _)) = self.transfer_of(errand) {
            self.tell_transferor(now, key, status, false);
        }
    }

    /// The errand was answered: the parties can be joined.
    pub(in super::super) fn on_errand_answered(&mut self, now: Instant, errand: CallKey, response: &Message) {
        let Some((key, _)) = self.transfer_of(errand) else { return };
        if let Some(call) = self.calls.get_mut(errand) {
            call.phase = Phase::Answered;
            call.record.answer = Some(now);
            call.record.status = 200;
        }
        self.begin_session_interval(now, errand, Side::B, Role::Uac, response);
        self.join_when_quiet(now, key);
    }

    /// The call that an errand is for, which still waits for it.
    fn transfer_of(&self, errand: CallKey) -> Option<(CallKey, Asked)> {
        let Transfer::Errand(key) = self.calls.get(errand)?.transfer else { return None };
        let Transfer::Asked(asked) = self.calls.get(key)?.transfer else { return None };
        (asked.with.0 == errand).then_some((key, asked))
    }

    /// An errand that was not joined is over: the transferor is told why.
    pub(in super::super) fn report_errand(&mut self, now: Instant, errand: CallKey) {
        let Some((key, _)) = self.transfer_of(errand) else { return };
        let record = self.calls.get_mut(errand).map(|call| &mut call.record);
        let (status, attempts) =
            record.map_or((0, Vec::new()), |record| (record.status, std::mem::take(&mut record.attempts)));
        if let Some(call) = self.calls.get_mut(key) {
            call.record.attempts.extend(attempts);
        }
        // Only a failure comes here: an answered errand that was not joined was ended by us.
        let status = Status::new(status).filter(|status| status.class() > 2).unwrap_or(Status::of(500));
        self.fail_transfer(now, key, status);
    }

    /// The transfer did not come about: the call goes on as it was, if the transferor is still there.
    pub(super) fn fail_transfer(&mut self, now: Instant, key: CallKey, status: Status) {
        let Some(by) = self.transferor(key) else { return };
        self.tell_transferor(now, key, status, true);
        let Some(call) = self.calls.get_mut(key) else { return };
        call.transfer = Transfer::None;
        if call.leg(by).is_some_and(|leg| leg.dialog.is_none()) {
            let end = End::new(EndedBy::Sbc, "the transferor had hung up, and the transfer failed");
            self.end_call(now, key, end.without(by));
        }
    }

    fn transferor(&self, key: CallKey) -> Option<Side> {
        match self.calls.get(key)?.transfer {
            Transfer::Asked(asked) => Some(asked.by),
            _ => None,
        }
    }

    /// BYE of a transferor that does not wait for the end of its transfer (RFC 5589 §6.1): the
    /// remaining party stays. False: it is a BYE like any other.
    pub(in super::super) fn transferor_left(&mut self, now: Instant, key: CallKey, side: Side) -> bool {
        let is_transferor = self.transferor(key) == Some(side) || self.has_replaced_leg(key, side);
        if is_transferor {
            self.let_go(now, key, side);
        }
        is_transferor
    }

    /// Nothing is sent any more to a side that hung up, neither NOTIFY nor BYE, and nobody waits for it.
    fn let_go(&mut self, now: Instant, key: CallKey, gone: Side) {
        let relays = self.calls.get(key).map(|call| call.relays.clone()).unwrap_or_default();
        self.end_relays(now, key);
        self.drop_offer(key);
        for side in [Side::A, Side::B] {
            let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(side)) else { continue };
            let refresh = leg.refresh.take_if(|_| side == gone);
            let is_over = leg.outgoing.is_some_and(|it| relays.contains(&it) || refresh == Some(it));
            leg.outgoing.take_if(|_| is_over);
            let (deferred, owed) = (leg.deferred.take(), leg.owed_ack.take());
            if is_over {
                self.disarm(key, CallTimer::Reinvite(side));
            }
            if let Some(client) = refresh {
                self.transactions.cancel(now, client, None);
            }
            if let Some((server, _)) = deferred {
                self.respond_in_dialog(now, key, side, server, Status::of(487));
            }
            if let Some(owed) = owed {
                self.send_ack(key, side, owed.client, owed.sequence, None);
            }
        }
        for timer in [CallTimer::Refresh(gone), CallTimer::SessionExpiry(gone), CallTimer::Unacked(gone)] {
            self.disarm(key, timer);
        }
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg_mut(gone)) {
            leg.unacked = None;
            leg.dialog = None;
        }
    }

    /// A call ends while one of its parties waits for a transfer: the errand is given up.
    pub(in super::super) fn give_transfer_up(&mut self, now: Instant, key: CallKey) {
        self.undo_replacement(now, key, Status::of(487));
        let Some(call) = self.calls.get(key) else { return };
        let Transfer::Asked(asked) = call.transfer else { return };
        self.tell_transferor(now, key, Status::of(487), true);
        if let Some(call) = self.calls.get_mut(key) {
            call.transfer = Transfer::None;
        }
        let (errand, _) = asked.with;
        if self.calls.get(errand).is_some_and(|other| other.transfer == Transfer::Errand(key)) {
            let end = End::new(EndedBy::Sbc, "the call that it was for is over");
            self.end_call(now, errand, end.refusing(Status::of(487)));
        }
    }

    /// NOTIFY to the transferor; each status is told once.
    pub(super) fn tell_transferor(&mut self, now: Instant, key: CallKey, status: Status, is_last: bool) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Transfer::Asked(asked) = &mut call.transfer else { return };
        if (asked.told == status.code() || asked.notifies >= MAX_NOTIFIES) && !is_last {
            return;
        }
        asked.told = status.code();
        asked.notifies = asked.notifies.saturating_add(1);
        let (by, id) = (asked.by, asked.id);
        if let Some(transfer) = call.record.transfers.last_mut().filter(|_| is_last) {
            transfer.status = status.code();
        }
        let active = format!("active;expires={SUBSCRIPTION_S}");
        let state = if is_last { TERMINATED } else { &active };
        if let Some((notify, hop)) = self.write_notify(key, by, id, state, status) {
            self.send_request(now, key, by, Purpose::Notify, notify, hop);
        }
    }

    /// The transferor had its time to hang up.
    pub(in super::super) fn on_leaving_overdue(&mut self, now: Instant, key: CallKey) {
        self.end_call(now, key, End::new(EndedBy::Sbc, "its parties were transferred"));
    }

    /// Whether a side can be asked nothing: it is on its way out, or on its way in.
    pub(in super::super) fn is_out_of_reach(&self, key: CallKey, side: Side) -> bool {
        match self.calls.get(key).map(|call| call.transfer) {
            Some(Transfer::Leaving) => true,
            Some(Transfer::Replaced(replaced)) => replaced.slot == side,
            _ => false,
        }
    }

    /// When the calls of a transfer are looked at again.
    pub(super) fn arm_join(&mut self, now: Instant, key: CallKey) {
        self.arm(key, CallTimer::Join, now + join::QUIET_AFTER);
    }

    /// An errand without a caller is refused like any call, without anybody to tell it to.
    pub(super) fn refuse_errand(&mut self, now: Instant, errand: CallKey, status: u16) {
        self.reject_call(now, errand, Rejection::new(status, "the calls could not be joined"));
    }
}

/// The INVITE that an errand begins with: nobody sent it, and no header of anybody's is in it.
fn errand_invite(call_id: &Bytes, hops: u32, offer: &[u8]) -> Option<Message> {
    if offer.is_empty() {
        return None;
    }
    Writer::request(&Method::Invite, b"sip:errand@invalid")
        .header(Header::CallId, call_id)
        .header(Header::CSeq, "1 INVITE")
        .display(Header::MaxForwards, hops)
        .finish_with(b"application/sdp", offer)
        .ok()
}

/// Who calls whom: the remaining party, whom the new one will speak to, calls the number that was
/// referred to. What of it is shown is the new trunk's `caller_id`'s to say.
fn numbers_of(call: &Call, by: Side, referred: &Referred) -> CallNumbers {
    CallNumbers {
        called: referred.number.clone(),
        called_received: referred.received.clone(),
        called_dialled: referred.received.clone(),
        called_written: referred.written.clone(),
        ..speaker::numbers_of(call, by.other())
    }
}
