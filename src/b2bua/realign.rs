//! The caller was told an answer reliably, which is final for its INVITE (RFC 6337 §3.1.1), and then
//! another branch of leg B took the call, or the same one answered otherwise in its 2xx.
//!
//! The relay follows the last answer in any case. Where the caller would have to change something
//! too (a codec, a direction: all but the addresses, which are ours), it is offered that answer in a
//! re-INVITE of ours, once it has ACKed the 2xx. What it answers concerns us alone: the callee has its
//! exchange behind it. A caller that refuses keeps what it has.

use super::call::{CallKey, Phase};
use super::call_media::SdpRole;
use super::cdr::EndedBy;
use super::ending::End;
use super::engine::Engine;
use super::outgoing::Purpose;
use crate::base::Instant;
use crate::dialog::session_timer::Role;
use crate::media::Side;
use crate::sip::{Message, Method, Status};
use crate::transaction::{ClientEnd, ClientId};

/// Whether two descriptions of ours differ in more than their versions.
pub(super) fn differ(one: &[u8], other: &[u8]) -> bool {
    !without_origin(one).eq(without_origin(other))
}

fn without_origin(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
    sdp.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"o="))
}

impl Engine {
    /// Offers the caller the callee's answer, if it was told another.
    pub(super) fn realign_caller(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(said) = call.reliable.misaligned.take() else { return };
        let is_free = call.phase == Phase::Answered
            && call.media.offered_by().is_none()
            && call.a.outgoing.is_none()
            && call.a.incoming.is_none();
        if !is_free {
            // Whatever is being changed tells the caller more than we could.
            return;
        }
        let Ok(Some(body)) = self.carry_sdp(key, Side::B, &said, SdpRole::Offer) else { return };
        let begun = self.begin_target_refresh(key, Side::A, &Method::Invite);
        let Some((writer, hop)) = begun else { return self.drop_offer(key) };
        let Ok(request) = writer.finish_with(b"application/sdp", &body) else { return self.drop_offer(key) };
        self.send_reinvite(now, key, Side::A, Purpose::Realign, request, hop);
    }

    /// The caller's response to it.
    pub(super) fn on_realigned(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message,
        status: Status,
    ) {
        let Some(outgoing) = self.clients.get(client) else { return };
        let (key, sequence) = (outgoing.call, outgoing.sequence());
        if status.is_success() {
            self.refresh_leg(key, Side::A, response);
            self.take_realigned(key, response);
            self.send_ack(key, Side::A, client, sequence, None);
            self.begin_session_interval(now, key, Side::A, Role::Uac, response);
        }
        self.end_realign(client);
    }

    /// The caller's answer counts for the relay; the callee is not told.
    fn take_realigned(&mut self, key: CallKey, response: &Message) {
        let told = self.calls.get(key).and_then(|call| call.b.as_ref()).map(|leg| leg.sdp.clone());
        // Unusable SDP is as good as a refusal.
        let _ = self.carry_sdp(key, Side::A, response, SdpRole::Answer);
        if let (Some(told), Some(leg)) = (told, self.calls.get_mut(key).and_then(|call| call.b.as_mut())) {
            leg.sdp = told;
        }
    }

    /// It ended without a final response. RFC 3261 §12.2.1.2: "A UAC SHOULD also terminate a dialog if no
    /// response at all is received for the request". A connection that broke says nothing of the kind.
    pub(super) fn on_realign_ended(&mut self, now: Instant, client: ClientId, why: ClientEnd) {
        let Some(key) = self.clients.get(client).map(|outgoing| outgoing.call) else { return };
        self.end_realign(client);
        if why == ClientEnd::Timeout {
            let end = End::new(EndedBy::Sbc, "the caller's side does not answer within the call any more");
            self.end_call(now, key, end);
        }
    }

    /// It is over, and so is its offer if that was not answered.
    fn end_realign(&mut self, client: ClientId) {
        let Some(key) = self.clients.get(client).map(|outgoing| outgoing.call) else { return };
        self.forget_relay(key, client, Side::A);
        self.drop_offer(key);
    }
}
