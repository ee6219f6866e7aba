//! UPDATE (RFC 3311): one without SDP concerns one leg and is answered on it (`session_timer.rs`); an
//! offer is carried to the other leg, before the call is answered and after.

use super::call::{CallKey, Phase};
use super::engine::Engine;
use crate::base::Instant;
use crate::media::Side;
use crate::sip::{Message, Method, Status};
use crate::transaction::ServerId;

impl Engine {
    /// RFC 3311 §5.2: one offer at a time.
    pub(super) fn on_update(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) {
        if !request.has_sdp() {
            return self.answer_update(now, key, side, server, request);
        }
        let Some(call) = self.calls.get(key) else { return };
        let waits_for_offer = call.phase == Phase::Setup && !call.media.is_answered();
        match call.media.offered_by() {
            Some(by) if by == side => self.respond_retry_later(now, key, side, server),
            Some(_) => self.respond_in_dialog(now, key, side, server, Status::of(491)),
            // A refresh of ours is an offer, too.
            None if self.is_refreshing_by_offer(key) => {
                self.respond_in_dialog(now, key, side, server, Status::of(491));
            }
            // The INVITE had no offer, and the callee's comes first.
            None if waits_for_offer => self.respond_in_dialog(now, key, side, server, Status::of(491)),
            None if self.takes_no_offer(key, side.other()) => {
                // RFC 3311 §5.2 has 504 for an offer that cannot be answered at once, because somebody
                // would have to be asked first; its maker may try a re-INVITE when the call is answered,
                // which we can carry. 491 would have it tried again soon and in vain, and 488 would say
                // that the offer is at fault.
                self.respond_in_dialog(now, key, side, server, Status::of(504));
            }
            None => self.relay_request(now, key, side, server, request),
        }
    }

    /// Whether a side can be made no offer before the call is answered: it does not know UPDATE.
    fn takes_no_offer(&self, key: CallKey, to: Side) -> bool {
        self.calls.get(key).is_some_and(|call| {
            call.phase == Phase::Setup
                && call.leg(to).is_some_and(|leg| leg.dialog.is_some() && !leg.peer.update)
        })
    }

    /// The method that carries a request on to the other leg: an offer in UPDATE goes in a re-INVITE
    /// to a peer without UPDATE, and one in PRACK (`reliable.rs`) in an UPDATE. `None`: that leg is
    /// busy with another INVITE.
    pub(super) fn method_towards(&self, key: CallKey, to: Side, request: &Message) -> Option<Method> {
        let call = self.calls.get(key)?;
        let leg = call.leg(to)?;
        match request.method()? {
            Method::Prack => Some(Method::Update),
            Method::Update if !leg.peer.update && call.phase == Phase::Answered => {
                (!leg.is_busy()).then_some(Method::Invite)
            }
            method => Some(method.clone()),
        }
    }
}
