//! Digest challenges to requests of ours.

use super::engine::Engine;
use crate::base::Instant;
use crate::sip::Message;
use crate::transaction::ClientId;

impl Engine {
    /// Sends a challenged request again with the trunk's credentials; false: there are none, or
    /// they were refused.
    pub(super) fn answer_challenge(&mut self, _now: Instant, _client: ClientId, _response: &Message) -> bool {
        false
    }
}
