//! `refer = "relay"`: REFER goes on to the other leg, and the NOTIFYs of its implicit subscription
//! come back. Both are written anew: Refer-To names our address, a Replaces in it the dialog that
//! the receiver knows, and of a sipfrag the status line alone crosses.

use super::super::call::{Call, CallKey};
use super::super::engine::Engine;
use super::super::outgoing::Purpose;
use super::super::{addressing, header_policy};
use super::Referred;
use super::replace::MAX_GRANTS;
use super::replaces::Replaces;
use crate::base::{Hop, Instant, TrunkName};
use crate::media::Side;
use crate::numbering::NumberForm;
use crate::sip::{Header, Message, Method, Params, Status, trim};
use crate::transaction::ServerId;

/// The most REFERs of a call whose NOTIFYs are expected; beyond it the oldest is forgotten.
const MAX_REFERRALS: usize = 4;

/// The most requests of a call that wait for the other side at once, REFER among them.
const MAX_WAITING: usize = 8;

/// The longest `expires` of a Subscription-State that crosses, in digits.
const MAX_EXPIRES_DIGITS: usize = 9;

/// A REFER that was relayed: its implicit subscription (RFC 3515 §2.4.4), which lives in the dialogs
/// of the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Referral {
    /// Who sent the REFER.
    by: Side,
    /// Its CSeq: `id` of the NOTIFYs that its sender gets.
    sent: u32,
    /// The CSeq of ours: `id` of the NOTIFYs that the other side sends.
    relayed: u32,
}

impl Engine {
    /// Carries a REFER to the other leg.
    pub(super) fn relay_refer(
        &mut self,
        now: Instant,
        key: CallKey,
        from: Side,
        server: ServerId,
        request: &Message,
        referred: &Referred,
    ) {
        if self.calls.get(key).is_some_and(|call| call.relays.len() >= MAX_WAITING) {
            return self.respond_in_dialog(now, key, from, server, Status::of(491));
        }
        let to = from.other();
        let is_there =
            self.calls.get(key).and_then(|call| call.leg(to)).is_some_and(|leg| leg.dialog.is_some());
        if !is_there || self.is_out_of_reach(key, to) {
            // 481 would end the sender's call (RFC 5057 §5.1).
            return self.respond_in_dialog(now, key, from, server, Status::of(491));
        }
        let refer = self.refer_to_towards(key, to, referred);
        match refer.and_then(|refer_to| self.write_refer(key, to, request, &refer_to)) {
            Ok((refer, hop)) => {
                let relayed = refer.cseq().map_or(0, |cseq| cseq.number);
                let client = self.send_request(now, key, to, Purpose::Relay { server }, refer, hop);
                let Some(call) = self.calls.get_mut(key) else { return };
                call.relays.push(client);
                if call.referrals.len() >= MAX_REFERRALS {
                    call.referrals.remove(0);
                }
                let sent = request.cseq().map_or(0, |cseq| cseq.number);
                call.referrals.push(Referral { by: from, sent, relayed });
                let receiver = call.leg(to).and_then(|leg| leg.trunk.clone());
                self.grant(referred, receiver);
            }
            Err(status) => self.respond_in_dialog(now, key, from, server, status),
        }
    }

    /// Who is told of a dialog may replace it.
    fn grant(&mut self, referred: &Referred, receiver: Option<TrunkName>) {
        let Some((other, _)) = referred.replaces else { return };
        let Some((call, trunk)) = self.calls.get_mut(other).zip(receiver) else { return };
        if call.granted.len() < MAX_GRANTS && !call.granted.contains(&trunk) {
            call.granted.push(trunk);
        }
    }

    /// Refer-To as a side may read it.
    fn refer_to_towards(&mut self, key: CallKey, to: Side, referred: &Referred) -> Result<String, Status> {
        let declined = Status::of(603);
        let call = self.calls.get(key).ok_or(declined)?;
        let leg = call.leg(to).ok_or(declined)?;
        let settings = self.snapshots.get(call.snapshot);
        let trunk = settings.trunk_of(leg.trunk.as_ref());
        let numbering = settings.numbering_of(trunk);
        let (number, received) = (&referred.number, &referred.received);
        let user = match trunk {
            Some(trunk) => trunk.number(numbering, number, received),
            None => numbering.format(number, received, NumberForm::E164),
        };
        let uri = addressing::contact(&user, &self.advertised(leg.hop), leg.hop.transport);
        let (realm, name) = (leg.realm, leg.trunk.clone());
        let Some((other, side)) = referred.replaces else {
            // It will come to us as a call of the receiver's.
            self.may_call(realm, name, &referred.number)?;
            return Ok(uri);
        };
        let far = self.calls.get(other).and_then(|call| call.leg(side.other())).ok_or(declined)?;
        // No Call-ID and no tag of one realm is told to the other.
        let dialog = far.dialog.as_ref().filter(|_| far.realm == realm).ok_or(declined)?;
        let named = Replaces::for_peer(dialog).in_uri();
        Ok(format!("{}?{named}>", uri.trim_end_matches('>')))
    }

    fn write_refer(
        &mut self,
        key: CallKey,
        to: Side,
        request: &Message,
        refer_to: &str,
    ) -> Result<(Message, Hop), Status> {
        let gone = Status::of(481);
        let hop = self.leg_hop(key, to).ok_or(gone)?;
        let (via, contact) = (self.mint_via(hop), self.contact_towards(key, to).ok_or(gone)?);
        let call = self.calls.get_mut(key).ok_or(gone)?;
        let settings = self.snapshots.get(call.snapshot);
        let leg = call.leg_mut(to).ok_or(gone)?;
        let trunk = settings.trunk_of(leg.trunk.as_ref());
        let rules = header_policy::rules_towards(leg, trunk);
        let dialog = leg.dialog.as_mut().ok_or(gone)?;
        let writer = dialog.request(&Method::Refer, &via).header(Header::Contact, contact);
        let writer = writer.header(Header::ReferTo, refer_to);
        let writer = header_policy::add_crossing(writer, request, &rules);
        writer.finish().map(|message| (message, hop)).map_err(|_| Status::of(513))
    }

    /// The final answer to a REFER that was relayed: without a 2xx there is no subscription.
    pub(in super::super) fn on_refer_answered(&mut self, key: CallKey, refer: &Message, status: Status) {
        let relayed = refer.cseq().map_or(0, |cseq| cseq.number);
        if let Some(call) = self.calls.get_mut(key).filter(|_| !status.is_success()) {
            call.referrals.retain(|referral| referral.relayed != relayed);
        }
    }

    /// NOTIFY of what became of a REFER.
    pub(in super::super) fn on_refer_notify(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) {
        let found = self.calls.get(key).and_then(|call| find_referral(call, side, request));
        let Some(referral) = found else {
            // RFC 6665 §4.1.3: no such subscription. The call goes on.
            return self.respond_in_dialog(now, key, side, server, Status::of(481));
        };
        let (Some(state), Some(status)) = (safe_state(request), fragment_status(request)) else {
            return self.respond_in_dialog(now, key, side, server, Status::of(400));
        };
        let ends = state.starts_with("terminated");
        match self.write_notify(key, referral.by, referral.sent, &state, status) {
            Some((notify, hop)) => {
                let purpose = Purpose::Relay { server };
                let client = self.send_request(now, key, referral.by, purpose, notify, hop);
                let Some(call) = self.calls.get_mut(key) else { return };
                call.relays.push(client);
                if ends {
                    call.referrals.retain(|known| *known != referral);
                }
            }
            None => self.respond_in_dialog(now, key, side, server, Status::of(481)),
        }
    }

    /// NOTIFY to the sender of a REFER (RFC 3515 §2.4.4, §2.4.5).
    pub(super) fn write_notify(
        &mut self,
        key: CallKey,
        to: Side,
        id: u32,
        state: &str,
        status: Status,
    ) -> Option<(Message, Hop)> {
        let hop = self.leg_hop(key, to)?;
        let (via, contact) = (self.mint_via(hop), self.contact_towards(key, to)?);
        let dialog = self.calls.get_mut(key)?.leg_mut(to)?.dialog.as_mut()?;
        let writer = dialog
            .request(&Method::Notify, &via)
            .header(Header::Contact, contact)
            .header(Header::Event, format!("refer;id={id}"))
            .header(Header::SubscriptionState, state);
        let fragment = format!("SIP/2.0 {status} {}\r\n", status.phrase());
        let written = writer.finish_with(b"message/sipfrag;version=2.0", fragment.as_bytes());
        written.ok().map(|message| (message, hop))
    }
}

/// Whether a request speaks of a REFER; with a sipfrag, which tells of no other event, though it does
/// not say so.
pub(in super::super) fn is_refer_event(request: &Message) -> bool {
    if request.has_body_type("message/sipfrag") {
        return true;
    }
    let event = request.header(Header::Event).unwrap_or(b"");
    let end = memchr::memchr(b';', event).unwrap_or(event.len());
    trim(&event[..end]).eq_ignore_ascii_case(b"refer")
}

/// The REFER that a NOTIFY from a side speaks of: by its `id`, or the first one where there is none
/// (RFC 3515 §2.4.6: the first REFER of a dialog needs no id).
fn find_referral(call: &Call, from: Side, request: &Message) -> Option<Referral> {
    let event = request.header(Header::Event)?;
    let start = memchr::memchr(b';', event).unwrap_or(event.len());
    let id = Params(&event[start..]).value("id");
    let mut known = call.referrals.iter().filter(|referral| referral.by != from);
    match id {
        Some(id) => known.find(|referral| referral.relayed.to_string().as_bytes() == id),
        None => known.next(),
    }
    .copied()
}

/// Subscription-State as far as RFC 6665 §4.1.3 knows it: no free text crosses.
fn safe_state(request: &Message) -> Option<String> {
    let value = request.header(Header::SubscriptionState)?;
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let (state, params) = (trim(&value[..end]), Params(&value[end..]));
    let known = |words: &[&str], word: &[u8]| {
        words.iter().find(|known| word.eq_ignore_ascii_case(known.as_bytes())).map(|word| (*word).to_owned())
    };
    let state = known(&["active", "pending", "terminated"], state)?;
    let expires = params
        .value("expires")
        .filter(|text| (1..=MAX_EXPIRES_DIGITS).contains(&text.len()) && text.iter().all(u8::is_ascii_digit));
    let reasons = ["deactivated", "probation", "rejected", "timeout", "giveup", "noresource", "invariant"];
    let reason = params.value("reason").and_then(|reason| known(&reasons, reason));
    let expires = expires.map(|text| format!(";expires={}", String::from_utf8_lossy(text)));
    let reason = reason.map(|reason| format!(";reason={reason}"));
    Some([Some(state), expires, reason].into_iter().flatten().collect())
}

/// The status of a sipfrag (RFC 3420), which is all that may be known of the call that it is about.
fn fragment_status(request: &Message) -> Option<Status> {
    let body = request.body();
    let line = body.strip_prefix(b"SIP/2.0 ").filter(|_| request.has_body_type("message/sipfrag"))?;
    let digits = line.get(..3).filter(|_| line.get(3).is_none_or(|byte| b" \r\n".contains(byte)))?;
    std::str::from_utf8(digits).ok()?.parse().ok().and_then(Status::new)
}
