//! Reliable provisional responses to the caller (RFC 3262 §3): an 18x is repeated until its PRACK
//! comes, one at a time, and the 2xx waits for it.
//!
//! A caller that requires `100rel` gets every 18x so; one that supports it gets those with SDP so,
//! for a lost 183 is a call without early media, while a lost 180 does no harm. What leg B does is
//! its own affair (`early_dialogs.rs`): either side may have `100rel` without the other.
//!
//! What was said in a reliable response is final (RFC 3261 §13.2.1): SDP stands in no later
//! response to the INVITE, not in the 2xx either. If the callee's last word is another answer after
//! all, `realign.rs` tells the caller.

use bytes::Bytes;

use super::call::{Call, CallKey, CallTimer, Phase};
use super::call_media::SdpRole;
use super::cdr::EndedBy;
use super::ending::End;
use super::engine::Engine;
use super::{bodies, capabilities};
use crate::base::{Hop, Instant};
use crate::media::Side;
use crate::sip::{Header, Message, MessageTooLarge, RAck, Status, Writer};
use crate::transaction::{ClientId, ServerId, TimerSettings};

/// RSeq begins with 1 to this number (RFC 3262 §3: it "MUST be between 1 and 2**31 - 1", best at random).
const MAX_FIRST_RSEQ: u32 = (1 << 31) - 1;

/// What is going on between us and the caller while its INVITE is open.
#[derive(Clone, Debug, Default)]
pub struct Reliable {
    /// RSeq of the last reliable response; 0 before the first.
    last_rseq: u32,
    /// The one that was sent last, until its PRACK comes.
    unacknowledged: Option<Unacknowledged>,
    /// What is sent when it has come: the latest only, for who rings now need not hear of before.
    waiting: Option<Waiting>,
    /// The 2xx of leg B, and the SDP for the caller, that wait for the PRACK.
    held: Option<(Message, Vec<u8>)>,
    /// The PRACK that we owe to leg B when the caller's has brought the answer.
    owed: Option<OwedPrack>,
    /// Our offer or answer was in a reliable response: no later response to the INVITE has SDP.
    pub(super) is_settled: bool,
    /// The caller has sent a PRACK: it certainly knows the dialog.
    pub(super) was_acknowledged: bool,
    /// The message of leg B whose SDP is in force though the caller was told another.
    pub(super) misaligned: Option<Message>,
}

/// A reliable provisional response without its PRACK.
#[derive(Clone, Debug)]
struct Unacknowledged {
    response: Message,
    hop: Hop,
    /// What its PRACK says.
    rack: RAck,
    has_sdp: bool,
    /// Its SDP is an offer, whose answer comes in the PRACK.
    offers: bool,
    since: Instant,
    repeats: u32,
}

/// A provisional response whose turn has not come.
#[derive(Clone, Debug)]
struct Waiting {
    status: Status,
    from: Message,
    body: Option<Vec<u8>>,
}

/// A PRACK to leg B that waits for its SDP.
#[derive(Clone, Debug)]
pub struct OwedPrack {
    /// The INVITE of leg B.
    pub client: ClientId,
    /// Which early dialog.
    pub tag: Bytes,
    /// RSeq of the response that it acknowledges.
    pub rseq: u32,
}

impl Reliable {
    /// Whether leg B has answered while the caller has still to send PRACK.
    pub(super) fn holds_success(&self) -> bool {
        self.held.is_some()
    }

    /// Whether leg B waits for a PRACK with an answer.
    pub(super) fn owes_prack(&self) -> bool {
        self.owed.is_some()
    }
}

impl Call {
    /// Whether the INVITE had no offer: then the first SDP of leg B is one.
    pub(super) fn is_late_offer(&self) -> bool {
        !self.invite.has_sdp()
    }

    fn has_reliable(&self, has_sdp: bool) -> bool {
        self.invite.lists_token(Header::Require, capabilities::RELIABLE)
            || (has_sdp && capabilities::takes(&self.invite, capabilities::RELIABLE))
    }
}

impl Engine {
    /// Passes a provisional response of leg B on to the caller, reliably or not.
    pub(super) fn pass_provisional(
        &mut self,
        now: Instant,
        key: CallKey,
        from: &Message,
        status: Status,
        body: Option<Vec<u8>>,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let body = body.filter(|_| !call.reliable.is_settled);
        if !call.has_reliable(body.is_some()) {
            return self.pass_response(now, key, from, status, body);
        }
        if body.is_none() && call.is_late_offer() && !call.reliable.is_settled {
            // RFC 3261 §13.2.1: "The initial offer MUST be in either an INVITE or, if not there, in the
            // first reliable non-failure message from the UAS back to the UAC." This one has none, and
            // an unreliable one is not what the caller requires.
            return;
        }
        if call.reliable.unacknowledged.is_some() {
            // RFC 3262 §3: "The UAS MUST NOT send a second reliable provisional response until the
            // first is acknowledged."
            let before = call.reliable.waiting.take().and_then(|waiting| waiting.body);
            call.reliable.waiting = Some(Waiting { status, from: from.clone(), body: body.or(before) });
            return;
        }
        self.send_reliably(now, key, from, status, body);
    }

    fn send_reliably(
        &mut self,
        now: Instant,
        key: CallKey,
        from: &Message,
        status: Status,
        body: Option<Vec<u8>>,
    ) {
        let rseq = self.next_rseq(key);
        let Some(server) = self.calls.get(key).and_then(|call| call.a.incoming) else { return };
        let Some(hop) = self.transactions.response_hop(server) else { return };
        let Some(writer) = self.dialog_response(key, Side::A, server, status, Some(from)) else { return };
        let writer = writer.header(Header::Require, capabilities::RELIABLE).display(Header::RSeq, rseq);
        let rules = self.body_rules(key, Side::A);
        let (has_sdp, response) = (body.is_some(), bodies::finish(writer, body.as_deref(), from, &rules));
        let Ok(response) = response else { return };
        let Some(cseq) = response.cseq() else { return };
        self.transactions.respond(now, server, response.clone());
        let Some(call) = self.calls.get_mut(key) else { return };
        let offers = has_sdp && call.is_late_offer();
        call.reliable.is_settled |= has_sdp;
        let rack = RAck { rseq, cseq };
        call.reliable.unacknowledged =
            Some(Unacknowledged { response, hop, rack, has_sdp, offers, since: now, repeats: 0 });
        self.arm(key, CallTimer::Reliable, now + TimerSettings::default().t1);
    }

    /// RFC 3262 §3: random at first, then one more each time.
    fn next_rseq(&mut self, key: CallKey) -> u32 {
        let Some(call) = self.calls.get_mut(key) else { return 1 };
        let last = &mut call.reliable.last_rseq;
        *last = if *last == 0 { 1 + self.random.below(MAX_FIRST_RSEQ) } else { last.saturating_add(1) };
        *last
    }

    /// No PRACK has come yet (RFC 3262 §3): "The reliable provisional response is passed to the
    /// transaction layer periodically with an interval that starts at T1 seconds and doubles for each
    /// retransmission." There is no T2 here. "If a reliable provisional response is retransmitted for
    /// 64*T1 seconds without reception of a corresponding PRACK, the UAS SHOULD reject the original
    /// request with a 5xx response."
    pub(super) fn on_unacknowledged(&mut self, now: Instant, key: CallKey) {
        let t1 = TimerSettings::default().t1;
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(pending) = call.reliable.unacknowledged.as_mut() else { return };
        let gives_up = pending.since + t1 * 64;
        if now >= gives_up {
            call.reliable.unacknowledged = None;
            let end = End::new(EndedBy::Sbc, "the caller sent no PRACK for a reliable response");
            return self.end_call(now, key, end.refusing(Status::of(504)));
        }
        pending.repeats += 1;
        let next = now + t1 * (1 << pending.repeats.min(8));
        let (response, hop) = (pending.response.clone(), pending.hop);
        self.transactions.send_stateless(&response, hop, true);
        self.arm(key, CallTimer::Reliable, if next < gives_up { next } else { gives_up });
    }

    /// PRACK (RFC 3262 §3). One "that does not match any unacknowledged reliable provisional response"
    /// gets 481, and so does each of leg B's, for we are no UAS there. A body that is no SDP counts for
    /// nothing, as in an ACK.
    pub(super) fn on_prack(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) {
        let rack = request.rack();
        let Some(call) = self.calls.get_mut(key) else { return };
        let pending = &mut call.reliable.unacknowledged;
        let matches =
            side == Side::A && pending.as_ref().is_some_and(|pending| Some(&pending.rack) == rack.as_ref());
        if !matches {
            return self.respond_in_dialog(now, key, side, server, Status::of(481));
        }
        let offers = pending.take().is_some_and(|pending| pending.offers);
        call.reliable.was_acknowledged = true;
        let is_over = call.phase == Phase::Over;
        self.disarm(key, CallTimer::Reliable);
        if is_over {
            return self.respond_in_dialog(now, key, side, server, Status::of(200));
        }
        if offers {
            self.take_early_answer(now, key, server, request);
        } else if request.has_sdp() {
            self.on_prack_offer(now, key, server, request);
        } else {
            self.respond_in_dialog(now, key, side, server, Status::of(200));
        }
        self.go_on_after_prack(now, key);
    }

    /// The answer to leg B's offer came in the caller's PRACK: ours to leg B carries it on.
    fn take_early_answer(&mut self, now: Instant, key: CallKey, server: ServerId, request: &Message) {
        let answer = self.carry_sdp(key, Side::A, request, SdpRole::Answer);
        self.respond_in_dialog(now, key, Side::A, server, Status::of(200));
        let owed = self.calls.get_mut(key).and_then(|call| call.reliable.owed.take());
        match (answer, owed) {
            (Ok(Some(body)), Some(owed)) => self.send_prack(now, key, &owed, Some(&body)),
            // Leg B went on with another branch, whose word `realign.rs` carries.
            (Ok(Some(_)), None) => {}
            (Ok(None) | Err(_), _) => {
                let end = End::new(EndedBy::Sbc, "no usable SDP answer in the PRACK");
                self.end_call(now, key, end.refusing(Status::of(488)));
            }
        }
    }

    /// A PRACK with an offer of the caller's (RFC 3262 §5): it goes to leg B as UPDATE, whose answer
    /// comes back in the 200. Where nobody can be asked it is 488, and while another offer is open what
    /// UPDATE would get. Whatever becomes of the offer, the response is acknowledged.
    fn on_prack_offer(&mut self, now: Instant, key: CallKey, server: ServerId, request: &Message) {
        let Some(call) = self.calls.get(key) else { return };
        let takes_update = call.b.as_ref().is_some_and(|leg| leg.peer.update && leg.dialog.is_some());
        match call.media.offered_by() {
            Some(Side::A) => self.respond_retry_later(now, key, Side::A, server),
            Some(Side::B) => self.respond_in_dialog(now, key, Side::A, server, Status::of(491)),
            None if !call.media.is_answered() => {
                self.respond_in_dialog(now, key, Side::A, server, Status::of(491));
            }
            None if takes_update => self.relay_request(now, key, Side::A, server, request),
            None => self.respond_in_dialog(now, key, Side::A, server, Status::of(488)),
        }
    }

    /// What waited for the PRACK goes out.
    fn go_on_after_prack(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key).filter(|call| call.phase == Phase::Setup) else { return };
        let waiting = call.reliable.waiting.take();
        if let Some((response, body)) = call.reliable.held.take() {
            self.answer_caller(now, key, &response, &body);
        } else if let Some(waiting) = waiting {
            self.pass_provisional(now, key, &waiting.from, waiting.status, waiting.body);
        }
    }

    /// Leg B answered. RFC 3262 §3: the UAS may send the final response at once, "unless the final
    /// response is 2xx and any of the unacknowledged reliable provisional responses contained a
    /// session description. In that case, it MUST NOT send a final response until those provisional
    /// responses are acknowledged." True if the 2xx waits. If it does not, "it SHOULD NOT continue
    /// to retransmit the unacknowledged reliable provisional responses, but it MUST be prepared to
    /// process PRACK requests for those".
    pub(super) fn hold_success(&mut self, key: CallKey, response: &Message, body: &[u8]) -> bool {
        let Some(call) = self.calls.get_mut(key) else { return false };
        call.reliable.waiting = None;
        if call.reliable.unacknowledged.as_ref().is_some_and(|pending| pending.has_sdp) {
            call.reliable.held = Some((response.clone(), body.to_vec()));
            return true;
        }
        self.disarm(key, CallTimer::Reliable);
        false
    }

    /// The call ends before the caller was told that leg B has answered; true if it has.
    pub(super) fn drop_held_success(&mut self, key: CallKey) -> bool {
        self.calls.get_mut(key).and_then(|call| call.reliable.held.take()).is_some()
    }

    /// Ends our 2xx to the caller: without SDP, if it has our last word reliably already.
    pub(super) fn finish_success(
        &self,
        key: CallKey,
        writer: Writer,
        from: &Message,
        body: &[u8],
    ) -> Result<Message, MessageTooLarge> {
        let is_settled = self.calls.get(key).is_some_and(|call| call.reliable.is_settled);
        bodies::finish(writer, Some(body).filter(|_| !is_settled), from, &self.body_rules(key, Side::A))
    }

    /// Leg B's PRACK waits for the caller's.
    pub(super) fn owe_prack(&mut self, key: CallKey, owed: OwedPrack) {
        if let Some(call) = self.calls.get_mut(key) {
            call.reliable.owed = Some(owed);
        }
    }
}
