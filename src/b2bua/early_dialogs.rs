//! The early dialogs of leg B (RFC 3261 §12.1.2, §13.2.2.4) and its reliable provisional responses
//! (RFC 3262 §4).
//!
//! A carrier may fork our INVITE: each branch answers under a tag of its own, with a route set, a
//! CSeq, RSeq numbers and an SDP answer of its own. The caller sees one dialog: what any branch says
//! is passed on in it, and media follows the branch that spoke last, as the caller's requests do.
//! The 2xx decides: its dialog becomes the leg's, and the others are forgotten.
//!
//! A reliable response is acknowledged in the dialog that it came in; whether the caller knows
//! `100rel` too does not matter here, but for an INVITE without an offer: see [`Engine::offers_reliable`].

use bytes::Bytes;

use super::acks::answered_from;
use super::call::{CallKey, Leg, Phase};
use super::call_media::{MediaReady, Parked, SdpRole};
use super::engine::Engine;
use super::inbound::Rejection;
use super::outgoing::Purpose;
use super::reliable::OwedPrack;
use super::{capabilities, realign};
use crate::base::{Hop, Instant};
use crate::dialog::Dialog;
use crate::media::Side;
use crate::sip::{Header, Message, Method, Status};
use crate::transaction::{ClientId, ServerId};

/// The most branches of a fork that are listened to while none has answered. What a further one
/// says is not heard until it answers.
pub const MAX_EARLY_DIALOGS: usize = 8;

/// The branches that have spoken.
#[derive(Clone, Debug, Default)]
pub struct EarlyDialogs {
    branches: Vec<Branch>,
    /// The tag of the branch whose SDP the relay follows.
    in_force: Bytes,
}

/// What one branch has said.
#[derive(Clone, Debug)]
struct Branch {
    tag: Bytes,
    /// Its dialog, unless that is the leg's at the moment.
    dialog: Option<Dialog>,
    /// RSeq of its last reliable response that came in order.
    last_rseq: Option<u32>,
    /// Its SDP stood in a reliable response: what later responses have is not looked at.
    is_settled: bool,
    /// Its last message with SDP.
    said: Option<Message>,
}

/// How a provisional response came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// Unreliably.
    Plain,
    /// Reliably, with the RSeq that was expected.
    InOrder(u32),
    /// Reliably, but a repetition, or with another RSeq than the next.
    NotNext,
}

/// The SDP that a 2xx of leg B stands for.
enum FinalSdp {
    /// Its own, an offer.
    Offer,
    /// The answer in this message: the 2xx, or what its branch said before.
    Answer(Box<Message>),
    /// Nothing new: what was said before is in force.
    Settled,
    /// There is none.
    Missing,
}

impl EarlyDialogs {
    fn branch(&self, tag: &[u8]) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.tag == tag)
    }

    fn branch_mut(&mut self, tag: &[u8]) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| branch.tag == tag)
    }

    /// This branch said SDP that is now in force.
    fn note_said(&mut self, tag: &[u8], message: &Message, is_settled: bool) {
        self.in_force = Bytes::copy_from_slice(tag);
        if let Some(branch) = self.branch_mut(tag) {
            branch.said = Some(message.clone());
            branch.is_settled |= is_settled;
        }
    }
}

impl Leg {
    /// Whether a message with these tags is of the leg's dialog, or of an early one.
    pub(super) fn has_dialog(&self, call_id: &[u8], local: &[u8], remote: &[u8]) -> bool {
        let parked = self.early.branches.iter().filter_map(|branch| branch.dialog.as_ref());
        let mut known = self.dialog.iter().chain(parked).peekable();
        if known.peek().is_none() {
            return self.call_id == call_id && self.local_tag == local;
        }
        known.any(|dialog| dialog.matches(call_id, local, remote))
    }

    /// The dialog with this tag of the peer's.
    pub(super) fn dialog_with(&mut self, tag: &[u8]) -> Option<&mut Dialog> {
        let parked = self.early.branches.iter_mut().filter_map(|branch| branch.dialog.as_mut());
        self.dialog.iter_mut().chain(parked).find(|dialog| dialog.remote_tag == tag)
    }

    /// Makes the early dialog with this tag the leg's, if there is one: it spoke last.
    pub(super) fn turn_to(&mut self, tag: &[u8]) {
        let found = self.early.branch_mut(tag).and_then(|branch| branch.dialog.take());
        if let Some(found) = found {
            self.park_dialog();
            self.dialog = Some(found);
        }
    }

    /// Another branch speaks: the leg's dialog waits with the others.
    fn park_dialog(&mut self) {
        let Some(before) = self.dialog.take() else { return };
        if let Some(branch) = self.early.branch_mut(&before.remote_tag) {
            branch.dialog = Some(before);
        }
    }

    /// Takes what a response says of its dialog; false if there is no room for a further branch. A
    /// dialog that is known goes on counting where it was: an UPDATE before the 2xx must not share
    /// its CSeq with the BYE after it.
    fn take_dialog(&mut self, mut dialog: Dialog, response: &Message) -> bool {
        let is_final = response.status().is_some_and(Status::is_final);
        self.turn_to(&dialog.remote_tag);
        if let Some(known) = self.dialog.as_ref().filter(|known| known.remote_tag == dialog.remote_tag) {
            dialog.local_sequence = known.local_sequence;
            dialog.remote_sequence = known.remote_sequence;
            if !is_final && dialog.route_set.is_empty() {
                dialog.route_set.clone_from(&known.route_set);
            }
            if response.contact().is_none() {
                dialog.remote_target = known.remote_target.clone();
            }
        } else {
            if self.early.branches.len() >= MAX_EARLY_DIALOGS && !is_final {
                return false;
            }
            self.park_dialog();
            let tag = dialog.remote_tag.clone();
            self.early.branches.push(Branch {
                tag,
                dialog: None,
                last_rseq: None,
                is_settled: false,
                said: None,
            });
        }
        self.dialog = Some(dialog);
        true
    }
}

impl Engine {
    /// Whether the INVITE of leg B says that we know `100rel`. The offer that a reliable response to
    /// an INVITE without one would have must be answered in its PRACK, so at once: by the caller, in a
    /// PRACK of its own, or by nobody.
    pub(super) fn offers_reliable(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| {
            !call.is_late_offer() || capabilities::takes(&call.invite, capabilities::RELIABLE)
        })
    }

    /// Leg B's dialog as this response says it; false if it is of one branch too many.
    pub(super) fn learn_dialog(
        &mut self,
        key: CallKey,
        client: ClientId,
        response: &Message,
        hop: Hop,
    ) -> bool {
        let Some(outgoing) = self.clients.get(client) else { return false };
        let Some(leg) = self.calls.get_mut(key).and_then(|call| call.b.as_mut()) else { return false };
        let hop = answered_from(leg.hop, hop);
        let is_taken = leg.take_dialog(Dialog::from_response(&outgoing.request, response, hop), response);
        if is_taken {
            leg.peer.learn(response);
        }
        is_taken
    }

    /// Looks at RSeq (RFC 3262 §4): "if the UAC receives another reliable provisional response to the
    /// same request, and its RSeq value is not one higher than the value of the sequence number, that
    /// response MUST NOT be acknowledged with a PRACK, and MUST NOT be processed further by the UAC";
    /// and "retransmissions of that response MUST be discarded": the PRACK's own transaction sees to
    /// its arrival. Each branch counts for itself. What a peer requires that was not offered to it is
    /// taken for an ordinary response.
    pub(super) fn arrival_of(&self, key: CallKey, client: ClientId, response: &Message) -> Arrival {
        let offered = self
            .clients
            .get(client)
            .is_some_and(|sent| sent.request.lists_token(Header::Supported, capabilities::RELIABLE));
        let is_reliable = offered && response.lists_token(Header::Require, capabilities::RELIABLE);
        let rseq = response.number(Header::RSeq).filter(|rseq| is_reliable && *rseq > 0);
        let Some(rseq) = rseq.filter(|_| !tag_of(response).is_empty()) else { return Arrival::Plain };
        let leg = self.calls.get(key).and_then(|call| call.b.as_ref());
        let last = leg.and_then(|leg| leg.early.branch(tag_of(response))?.last_rseq);
        if last.is_some_and(|last| last.checked_add(1) != Some(rseq)) {
            return Arrival::NotNext;
        }
        Arrival::InOrder(rseq)
    }

    fn note_rseq(&mut self, key: CallKey, tag: &[u8], rseq: u32) {
        let leg = self.calls.get_mut(key).and_then(|call| call.b.as_mut());
        if let Some(branch) = leg.and_then(|leg| leg.early.branch_mut(tag)) {
            branch.last_rseq = Some(rseq);
        }
    }

    /// A provisional response of a branch, in its order: it is acknowledged, if it asks for that,
    /// and passed on.
    pub(super) fn on_ringing(
        &mut self,
        now: Instant,
        key: CallKey,
        client: ClientId,
        response: &Message,
        arrival: Arrival,
    ) {
        let (Some(call), Some(status)) = (self.calls.get(key), response.status()) else { return };
        let is_late_offer = call.is_late_offer();
        if let Arrival::InOrder(rseq) = arrival {
            self.note_rseq(key, tag_of(response), rseq);
            if is_late_offer && response.has_sdp() && status.code() != 199 {
                return self.on_early_offer(now, key, client, response);
            }
            let tag = Bytes::copy_from_slice(tag_of(response));
            self.send_prack(now, key, &OwedPrack { client, tag, rseq }, None);
        }
        if status.code() == 199 {
            // The caller has one early dialog, which stands for all branches: it is not over.
            return;
        }
        // SDP in a provisional response is the answer; an offer in an unreliable one is none.
        let body =
            if is_late_offer { None } else { self.take_early_sdp(key, response, arrival != Arrival::Plain) };
        self.pass_provisional(now, key, response, status, body);
    }

    /// The answer of a branch, or the preview of one: the relay follows it.
    fn take_early_sdp(&mut self, key: CallKey, response: &Message, is_reliable: bool) -> Option<Vec<u8>> {
        let call = self.calls.get(key)?;
        let is_settled =
            call.b.as_ref()?.early.branch(tag_of(response)).is_some_and(|branch| branch.is_settled);
        let has_other_offer = call.media.is_answered() && call.media.offered_by().is_some();
        if is_settled || has_other_offer {
            return None;
        }
        let body = self.carry_answer(key, response).unwrap_or(None)?;
        self.note_said(key, tag_of(response), response, is_reliable);
        Some(body)
    }

    /// An INVITE without an offer, and a reliable response that has one: it needs ports.
    fn on_early_offer(&mut self, now: Instant, key: CallKey, client: ClientId, response: &Message) {
        let Some(call) = self.calls.get(key) else { return };
        let is_second = call.media.is_opening()
            || call.media.is_answered()
            || call.media.offered_by().is_some()
            || call.reliable.owes_prack();
        if is_second {
            // The caller answers one offer; that of another branch gets no PRACK, and that branch ends.
            return;
        }
        let parked = Parked::EarlyOffer(client, response.clone());
        match self.prepare_offer(now, key, Side::B, response, parked) {
            MediaReady::Now => self.pass_early_offer(now, key, client, response),
            MediaReady::Later => {}
            MediaReady::Never => self.reject_call(now, key, Rejection::new(503, "no media port free")),
        }
    }

    /// Passes an offer in a reliable response on when its ports are open; the PRACK waits for the
    /// caller's, which has the answer (RFC 3262 §5).
    pub(super) fn pass_early_offer(
        &mut self,
        now: Instant,
        key: CallKey,
        client: ClientId,
        response: &Message,
    ) {
        let is_current = self.calls.get(key).is_some_and(|call| {
            call.phase == Phase::Setup && call.b.as_ref().is_some_and(|leg| leg.outgoing == Some(client))
        });
        let (Some(status), Some(rseq)) = (response.status(), response.number(Header::RSeq)) else { return };
        if !is_current {
            return;
        }
        let Ok(Some(body)) = self.carry_sdp(key, Side::B, response, SdpRole::Offer) else {
            return self.reject_call(now, key, Rejection::new(502, "no usable SDP in the reliable response"));
        };
        let tag = Bytes::copy_from_slice(tag_of(response));
        self.note_said(key, &tag, response, true);
        self.owe_prack(key, OwedPrack { client, tag, rseq });
        self.pass_provisional(now, key, response, status, Some(body));
    }

    /// Sends PRACK in the early dialog of the response that it acknowledges, which may be gone.
    pub(super) fn send_prack(&mut self, now: Instant, key: CallKey, owed: &OwedPrack, body: Option<&[u8]>) {
        let Some(sequence) = self.clients.get(owed.client).and_then(|sent| sent.request.cseq()) else {
            return;
        };
        let leg = self.calls.get_mut(key).and_then(|call| call.b.as_mut());
        let found =
            leg.and_then(|leg| Some((leg.realm, leg.trunk.clone(), leg.dialog_with(&owed.tag)?.clone())));
        let Some((realm, trunk, dialog)) = found else { return };
        let hop = self.dialog_hop(realm, trunk.as_ref(), &dialog);
        let via = self.mint_via(hop);
        let leg = self.calls.get_mut(key).and_then(|call| call.b.as_mut());
        let Some(dialog) = leg.and_then(|leg| leg.dialog_with(&owed.tag)) else { return };
        let rack = format!("{} {} {}", owed.rseq, sequence.number, Method::Invite.label());
        let writer = dialog.request(&Method::Prack, &via).header(Header::RAck, rack);
        let used = dialog.local_sequence;
        if let Ok(prack) = writer.finish_with_sdp(body) {
            self.send_request(now, key, Side::B, Purpose::Prack, prack, hop);
        }
        self.note_early_sequence(key, Side::B, used);
    }

    /// A branch said SDP that is in force.
    pub(super) fn note_said(&mut self, key: CallKey, tag: &[u8], message: &Message, is_settled: bool) {
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.b.as_mut()) {
            leg.early.note_said(tag, message, is_settled);
        }
    }

    /// Whether the SDP in leg B's 2xx is an offer, to be answered in the ACK.
    pub(super) fn is_offer_in_success(&self, key: CallKey, response: &Message) -> bool {
        matches!(self.sdp_of_success(key, response), FinalSdp::Offer)
    }

    /// Carries the SDP that leg B's 2xx stands for. `Ok(None)` and an error: there is none that the
    /// caller could use.
    pub(super) fn carry_final_sdp(
        &mut self,
        key: CallKey,
        response: &Message,
    ) -> Result<Option<Vec<u8>>, Status> {
        match self.sdp_of_success(key, response) {
            FinalSdp::Offer => self.carry_sdp(key, Side::B, response, SdpRole::Offer),
            FinalSdp::Settled => Ok(Some(self.last_sdp(key, Side::A))),
            FinalSdp::Missing => Ok(None),
            FinalSdp::Answer(said) => self.carry_answer(key, &said),
        }
    }

    fn sdp_of_success(&self, key: CallKey, response: &Message) -> FinalSdp {
        let Some(call) = self.calls.get(key) else { return FinalSdp::Missing };
        let Some(leg) = call.b.as_ref() else { return FinalSdp::Missing };
        let branch = leg.early.branch(tag_of(response));
        let is_settled = branch.is_some_and(|branch| branch.is_settled);
        let said = branch.and_then(|branch| branch.said.as_ref());
        let is_in_force = leg.early.in_force == tag_of(response);
        let has_sdp = response.has_sdp();
        match said {
            // Some gateways answer in the 183 alone, and where that was reliable it is the rule.
            Some(_) if is_in_force && (is_settled || !has_sdp) => FinalSdp::Settled,
            // The caller has answered the offer of another branch, and can answer no second one.
            _ if call.is_late_offer() && call.reliable.is_settled => FinalSdp::Missing,
            _ if call.is_late_offer() => FinalSdp::Offer,
            Some(said) if is_settled || !has_sdp => FinalSdp::Answer(Box::new(said.clone())),
            _ if has_sdp => FinalSdp::Answer(Box::new(response.clone())),
            // A 183 without a tag had the answer.
            _ if leg.early.in_force.is_empty() && call.media.is_answered() => FinalSdp::Settled,
            _ => FinalSdp::Missing,
        }
    }

    /// Reads an answer of leg B's and gives what the caller shall read. Where the caller has our
    /// answer reliably already, that stays, and what is different now is kept for `realign.rs`.
    fn carry_answer(&mut self, key: CallKey, said: &Message) -> Result<Option<Vec<u8>>, Status> {
        let Some(call) = self.calls.get_mut(key) else { return Ok(None) };
        let (is_settled, told) = (call.reliable.is_settled, call.a.sdp.clone());
        // An UPDATE may be under way beside the INVITE: its offer has an answer of its own.
        let later_offer = call.media.set_later_offer_aside();
        let body = self.carry_sdp(key, Side::B, said, SdpRole::Answer);
        let Some(call) = self.calls.get_mut(key) else { return Ok(None) };
        if later_offer.is_some() {
            call.media.put_later_offer_back(later_offer);
        }
        let body = body?;
        if !is_settled {
            return Ok(body);
        }
        let differs = body.as_ref().is_some_and(|body| realign::differ(body, &told.last));
        call.reliable.misaligned = differs.then(|| said.clone());
        let kept = told.last.clone();
        call.a.sdp = told;
        Ok(body.map(|_| kept))
    }

    /// Leg B has answered: the other early dialogs are over (RFC 3261 §13.2.2.4), and what was asked
    /// in them is asked again.
    pub(super) fn forget_early_dialogs(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(leg) = call.b.as_mut() else { return };
        leg.early = EarlyDialogs::default();
        let tag = leg.dialog.as_ref().map(|dialog| dialog.remote_tag.clone()).unwrap_or_default();
        self.refuse_early_requests(now, key, Some(&tag));
    }

    /// Early dialogs of leg B are over, all but the one with this tag: what the caller asked in them it
    /// may ask again, and what they asked concerns nobody any more.
    pub(super) fn refuse_early_requests(&mut self, now: Instant, key: CallKey, kept: Option<&[u8]>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let parked = call.media.parked_relay().filter(|(from, server)| {
            *from == Side::A || self.transactions.request(*server).map(|(it, _)| from_tag_of(it)) != kept
        });
        if parked.is_some() {
            call.media.unpark();
        }
        let relays = call.relays.clone();
        if let Some((from, server)) = parked {
            self.refuse_early_request(now, key, from, server);
        }
        for client in relays {
            let Some(outgoing) = self.clients.get(client) else { continue };
            let Purpose::Relay { server } = outgoing.purpose else { continue };
            let (to, offered) = (outgoing.side, outgoing.carries_offer());
            let tag = match to {
                Side::B => Some(outgoing.remote_tag()),
                Side::A => self.transactions.request(server).map(|(request, _)| from_tag_of(request)),
            };
            if kept.is_some() && tag == kept {
                continue;
            }
            self.forget_relay(key, client, to);
            if offered {
                self.drop_offer(key);
            }
            self.refuse_early_request(now, key, to.other(), server);
        }
    }

    fn refuse_early_request(&mut self, now: Instant, key: CallKey, from: Side, server: ServerId) {
        match from {
            Side::A => self.respond_retry_later(now, key, from, server),
            Side::B => self.respond_in_dialog(now, key, from, server, Status::of(481)),
        }
    }
}

fn from_tag_of(request: &Message) -> &[u8] {
    request.from().and_then(|from| from.tag()).unwrap_or(b"")
}

/// The peer's tag in a response to a request of ours.
fn tag_of(response: &Message) -> &[u8] {
    response.to().and_then(|to| to.tag()).unwrap_or(b"")
}
