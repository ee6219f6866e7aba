//! Two calls become one: the remaining party of one is connected with that of the other. The two
//! legs change places, so that one call has both parties and the other both of the transferor's
//! legs, which then end. The parties are told of each other's media by re-INVITEs (RFC 3725 §5), while
//! each keeps the port of ours that it knows.

use std::time::Duration;

use super::super::Event;
use super::super::call::{Call, CallKey, CallTimer, LegSdp, Phase};
use super::super::call_media::SdpRole;
use super::super::cdr::EndedBy;
use super::super::ending::End;
use super::super::engine::Engine;
use super::super::outgoing::Purpose;
use super::consume::Transfer;
use super::speaker;
use crate::base::{Hop, Instant, TrunkName};
use crate::dialog::session_timer::Role;
use crate::media::Side;
use crate::sip::{Message, Method, Status, Writer};
use crate::transaction::{ClientEnd, ClientId};

/// How long calls that are to be joined and have a request under way are left alone.
pub(super) const QUIET_AFTER: Duration = Duration::from_millis(200);

/// How often; then the transfer has failed.
const MAX_TRIES: u8 = 25;

/// How long the transferor has to hang up after it heard that its transfer succeeded.
const LEAVING_TIME: Duration = Duration::from_secs(4);

/// How often a party is offered the other's media again that has an offer of its own under way (491).
const MAX_OFFERS: u8 = 4;

/// How long a party is left alone that has a request under way, or whose connection broke, before that.
const RECONNECT_WAIT: Duration = Duration::from_secs(3);

/// A party that is to be told of the other's media.
#[derive(Clone, Debug)]
pub struct Reconnect {
    /// The party.
    to: Side,
    /// The other's SDP.
    offer: Message,
    /// Whether `offer` is the other's own, and not what an earlier peer of it heard.
    is_fresh: bool,
    /// Whether the other is then to be told the same of this one.
    then_other: bool,
    /// How often it was tried.
    tries: u8,
}

impl Engine {
    /// Joins the calls of a transfer as soon as nothing is under way in either.
    pub(in super::super) fn join_when_quiet(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let is_quiet_here = is_quiet(call);
        let Transfer::Asked(asked) = &mut call.transfer else {
            return self.replace_when_quiet(now, key);
        };
        asked.tries += 1;
        let (by, (other, side), tries) = (asked.by, asked.with, asked.tries);
        let there = self.calls.get(other);
        let is_errand = there.is_some_and(|call| call.transfer == Transfer::Errand(key));
        let waits = there.is_some_and(|call| call.phase == Phase::Answered) && tries < MAX_TRIES;
        if is_quiet_here && there.is_some_and(is_quiet) && self.can_join(key, by, other, side) {
            self.join(now, key, by, other, side);
        } else if waits {
            self.arm_join(now, key);
        } else if is_errand {
            self.refuse_errand(now, other, 500);
        } else {
            self.fail_transfer(now, key, Status::of(500));
        }
    }

    /// Whether two calls can be joined at all: both answered, neither in another transfer.
    pub(super) fn can_join(&self, key: CallKey, by: Side, other: CallKey, side: Side) -> bool {
        let (Some(here), Some(there)) = (self.calls.get(key), self.calls.get(other)) else { return false };
        let is_free = match there.transfer {
            Transfer::None => true,
            Transfer::Errand(of) => of == key,
            _ => false,
        };
        let has_legs = here.leg(by.other()).is_some() && there.leg(side.other()).is_some();
        let are_answered = here.phase == Phase::Answered && there.phase == Phase::Answered;
        is_free && has_legs && are_answered && here.media.can_join(by, &there.media, side)
    }

    fn join(&mut self, now: Instant, key: CallKey, by: Side, other: CallKey, side: Side) {
        let heard = |call: Option<&Call>, side| {
            let leg = call.and_then(|call| call.leg(side))?;
            offer_of(&leg.sdp.in_force)
        };
        let far_offer = heard(self.calls.get(other), side);
        self.tell_transferor(now, key, Status::of(200), true);
        self.swap_legs(key, by, other, side.other());
        self.join_media(key, by, other, side);
        for (call, slot) in [(key, by), (other, side.other())] {
            self.resume_session_timer(now, call, slot);
        }
        let is_errand = self.calls.get(other).is_some_and(|call| call.has_no_record);
        let Some([here, there]) = self.calls.get_disjoint_mut([key, other]) else { return };
        here.transfer = Transfer::None;
        there.transfer = Transfer::Leaving;
        there.reconnect = None;
        // Who subscribed is not in the call any more, or has another to speak to.
        here.referrals.clear();
        there.referrals.clear();
        if is_errand {
            here.record.attempts.append(&mut there.record.attempts);
        }
        let far_slot = side.other();
        let left = there.leg(far_slot).is_none_or(|leg| leg.dialog.is_none());
        // Who answered an errand has just been offered what the remaining party can do.
        here.reconnect = far_offer.map(|offer| Reconnect {
            to: by.other(),
            offer,
            is_fresh: false,
            then_other: !is_errand,
            tries: 0,
        });
        if left {
            let end = End::new(EndedBy::Sbc, "its parties were transferred").without(far_slot);
            self.end_call(now, other, end);
        } else {
            self.arm(other, CallTimer::Leaving, now + LEAVING_TIME);
        }
        self.reconnect(now, key);
    }

    /// One leg of each call changes places with the other, with all that counts for it.
    pub(super) fn swap_legs(&mut self, key: CallKey, slot: Side, other: CallKey, other_slot: Side) {
        let Some([here, there]) = self.calls.get_disjoint_mut([key, other]) else { return };
        for (call, slot) in [(&mut *here, slot), (&mut *there, other_slot)] {
            keep_for_record(call);
            let (user, speaker) = (contact_user(call, slot), speaker::of(call, slot));
            if let Some(leg) = call.leg_mut(slot) {
                leg.contact_user = Some(user);
                leg.speaker = Some(speaker);
            }
        }
        let (counted, other_counted) = (take_count(here, slot), take_count(there, other_slot));
        let (Some(leg), Some(other_leg)) = (here.leg_mut(slot), there.leg_mut(other_slot)) else { return };
        std::mem::swap(leg, other_leg);
        let (came, went) = (leg.local_tag.clone(), other_leg.local_tag.clone());
        let nobodys_leg = leg.trunk.is_none();
        here.tags_b.retain(|tag| *tag != went);
        here.tags_b.push(came.clone());
        there.tags_b.retain(|tag| *tag != came);
        there.tags_b.push(went.clone());
        put_count(here, slot, other_counted);
        put_count(there, other_slot, counted);
        for (call, slot) in [(&*here, slot), (&*there, other_slot)] {
            let call_id = call.leg(slot).map(|leg| leg.call_id.clone()).unwrap_or_default();
            self.ladders.bind(call.ladder, &call_id, slot);
        }
        self.dialogs.insert(came, (key, slot));
        self.dialogs.insert(went, (other, other_slot));
        if nobodys_leg && slot == Side::B {
            // No egress of a call is counted without a trunk.
            self.event(Event::CallEnded { trunk: None });
        }
    }

    /// Offers a party the other's media.
    pub(in super::super) fn reconnect(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        let Some(reconnect) = call.reconnect.clone().filter(|_| call.phase == Phase::Answered) else {
            return;
        };
        if !is_quiet(call) {
            return self.reconnect_later(now, key, RECONNECT_WAIT);
        }
        match self.write_reconnect(key, &reconnect) {
            Some((request, hop)) => {
                self.send_reinvite(now, key, reconnect.to, Purpose::Reconnect, request, hop);
            }
            // What the parties have agreed on with others before must do.
            None => {
                self.drop_offer(key);
                self.forget_reconnect(key);
            }
        }
    }

    fn reconnect_later(&mut self, now: Instant, key: CallKey, wait: Duration) {
        let Some(reconnect) = self.calls.get_mut(key).and_then(|call| call.reconnect.as_mut()) else {
            return;
        };
        reconnect.tries += 1;
        if reconnect.tries >= MAX_OFFERS {
            return self.forget_reconnect(key);
        }
        self.arm(key, CallTimer::Reconnect, now + wait);
    }

    fn forget_reconnect(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key) {
            call.reconnect = None;
        }
    }

    fn write_reconnect(&mut self, key: CallKey, reconnect: &Reconnect) -> Option<(Message, Hop)> {
        let to = reconnect.to;
        let said = self.last_sdp(key, to);
        let body = self.carry_sdp(key, to.other(), &reconnect.offer, SdpRole::Offer).ok().flatten()?;
        let body = with_all_streams(body, &said);
        let (writer, hop) = self.begin_target_refresh(key, to, &Method::Invite)?;
        let call = self.calls.get_mut(key)?;
        if !reconnect.is_fresh {
            let heard = call.leg(to.other()).map(|leg| leg.sdp.heard.clone()).unwrap_or_default();
            call.media.keep_what_offers(heard);
        }
        call.leg_mut(to)?.sdp.last.clone_from(&body);
        writer.finish_with(b"application/sdp", &body).ok().map(|message| (message, hop))
    }

    /// A response to a re-INVITE of ours.
    pub(in super::super) fn on_reconnect_response(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message,
        status: Status,
    ) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let (key, to, sequence) = (outgoing.call, outgoing.side, outgoing.sequence());
        self.forget_relay(key, client, to);
        if status.is_success() {
            self.refresh_leg(key, to, response);
            let answer = self.take_answer(key, to, response);
            self.send_ack(key, to, client, sequence, None);
            self.begin_session_interval(now, key, to, Role::Uac, response);
            return match answer {
                Ok(Some(_)) => self.reconnect_other(now, key, response),
                Ok(None) | Err(_) => {
                    self.end_call(now, key, End::new(EndedBy::Sbc, "unusable SDP after a transfer"));
                }
            };
        }
        self.drop_offer(key);
        match status.code() {
            491 => {
                let wait = self.glare_wait(key, to);
                self.reconnect_later(now, key, wait);
            }
            408 | 481 => self.end_reconnect(now, key, (status.code() == 481).then_some(to)),
            // It goes on as it did.
            _ => self.forget_reconnect(key),
        }
    }

    /// Takes the answer of a party. The other hears nothing of it now, so what was said to that one last
    /// still is. RFC 3264 §8: the version "MUST increment by one from the previous SDP", of those sent.
    fn take_answer(&mut self, key: CallKey, to: Side, response: &Message) -> Result<Option<Vec<u8>>, Status> {
        let said = self.calls.get(key).and_then(|call| call.leg(to.other())).map(|leg| leg.sdp.clone());
        let answer = self.carry_sdp(key, to, response, SdpRole::Answer);
        let leg = self.calls.get_mut(key).and_then(|call| call.leg_mut(to.other()));
        if let Some((leg, said)) = leg.zip(said) {
            leg.sdp = LegSdp { heard: leg.sdp.heard.clone(), ..said };
        }
        answer
    }

    /// The one party has answered: the other is told, if it does not know yet.
    fn reconnect_other(&mut self, now: Instant, key: CallKey, response: &Message) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(before) = call.reconnect.take().filter(|reconnect| reconnect.then_other) else { return };
        call.reconnect = Some(Reconnect {
            to: before.to.other(),
            offer: response.clone(),
            is_fresh: true,
            then_other: false,
            tries: 0,
        });
        self.reconnect(now, key);
    }

    /// A party does not answer a re-INVITE of ours. (A connection that broke says nothing of the party: it is told later.)
    pub(in super::super) fn on_reconnect_ended(&mut self, now: Instant, client: ClientId, why: ClientEnd) {
        let Some((key, to)) = self.clients.get(client).map(|outgoing| (outgoing.call, outgoing.side)) else {
            return;
        };
        self.forget_relay(key, client, to);
        self.drop_offer(key);
        match why {
            ClientEnd::Transport => self.reconnect_later(now, key, RECONNECT_WAIT),
            ClientEnd::Timeout => self.end_reconnect(now, key, None),
        }
    }

    fn end_reconnect(&mut self, now: Instant, key: CallKey, gone: Option<Side>) {
        let end = End::new(EndedBy::Sbc, "one side does not know the call any more");
        self.end_call(
            now,
            key,
            match gone {
                Some(gone) => end.without(gone),
                None => end,
            },
        );
    }
}

/// Whether no request that a leg must answer is under way.
pub(super) fn is_quiet(call: &Call) -> bool {
    let mut legs = [Side::A, Side::B].into_iter().filter_map(|side| call.leg(side));
    call.phase == Phase::Answered
        && call.relays.is_empty()
        && call.media.offered_by().is_none()
        && !call.media.is_opening()
        && legs.all(|leg| !leg.is_busy() && leg.refresh.is_none())
}

/// The record says who was called first, not who was transferred to.
fn keep_for_record(call: &mut Call) {
    if call.record.first_legs.is_none() {
        call.record.first_legs = Some(call.legs_for_record());
    }
}

/// The user part of our Contact towards a side, which a leg keeps.
fn contact_user(call: &Call, side: Side) -> String {
    let known = call.leg(side).and_then(|leg| leg.contact_user.clone());
    known.unwrap_or_else(|| match side {
        Side::A => call.numbers.called_received.clone(),
        Side::B => call.contact_user_b.clone(),
    })
}

fn take_count(call: &mut Call, side: Side) -> Option<TrunkName> {
    match side {
        Side::A => call.plan.ingress_counted.take(),
        Side::B => call.plan.egress_counted.take(),
    }
}

fn put_count(call: &mut Call, side: Side, trunk: Option<TrunkName>) {
    match side {
        Side::A => call.plan.ingress_counted = trunk,
        Side::B => call.plan.egress_counted = trunk,
    }
}

/// SDP that nobody sent in a message.
fn offer_of(sdp: &[u8]) -> Option<Message> {
    let writer = Writer::request(&Method::Invite, b"sip:offer@invalid");
    writer.finish_with(b"application/sdp", &reopened(sdp)).ok().filter(|_| !sdp.is_empty())
}

/// SDP of a party that the transferor had on hold, as if it had not.
pub(super) fn reopened(sdp: &[u8]) -> Vec<u8> {
    let is_kept =
        |line: &&[u8]| !matches!(line.trim_ascii_end(), b"a=sendonly" | b"a=recvonly" | b"a=inactive");
    sdp.split_inclusive(|byte| *byte == b'\n').filter(is_kept).flatten().copied().collect()
}

/// An offer with as many m= lines as its reader has seen before (RFC 3264 §8: none goes away; what
/// is not wanted has port 0).
fn with_all_streams(mut offer: Vec<u8>, said: &[u8]) -> Vec<u8> {
    let streams = |sdp: &[u8]| {
        let lines = sdp.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        lines.filter(|line| line.starts_with(b"m=")).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    for line in streams(said).into_iter().skip(streams(&offer).len()) {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        if let (Some(kind), Some(_), Some(rest)) = (words.next(), words.next(), words.next()) {
            offer.extend_from_slice(&[kind, b" 0 ", rest, b"\r\n"].concat());
        }
    }
    offer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_party_is_offered_as_if_it_were_not() {
        let sdp = b"v=0\r\na=sendonly\r\nm=audio 1 RTP/AVP 0\r\na=inactive\r\na=ptime:20\r\n";
        assert_eq!(reopened(sdp), b"v=0\r\nm=audio 1 RTP/AVP 0\r\na=ptime:20\r\n");
    }

    #[test]
    fn no_stream_goes_away() {
        let said = b"v=0\r\nm=audio 1 RTP/AVP 0\r\na=x\r\nm=video 2 RTP/AVP 96 97\r\n";
        let offer = with_all_streams(b"v=0\r\nm=audio 9 RTP/AVP 8\r\n".to_vec(), said);
        assert_eq!(offer, b"v=0\r\nm=audio 9 RTP/AVP 8\r\nm=video 0 RTP/AVP 96 97\r\n");
    }
}
