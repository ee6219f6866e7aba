//! REFER within a call (RFC 3515): one party asks that the other call somebody else. It is refused,
//! relayed (`transfer/relay.rs`) or carried out here (`transfer/consume.rs`), as the `refer` of the
//! trunk that *sends* it says.
//!
//! Whatever the way, nobody reaches by REFER what could not be called: the number is read as the
//! sender's numbers are, an emergency number is refused, and a route must take the call of whoever
//! is going to make it. Refer-To's host counts for nothing, every call goes through us.

mod consume;
mod join;
mod relay;
mod replace;
mod replaces;
mod speaker;

use super::call::{CallKey, Phase};
use super::engine::Engine;
use super::inbound::status_of;
use super::party::{Party, written_user};
use crate::base::{Instant, Realm, TrunkName};
use crate::media::Side;
use crate::numbering::{Dialled, Number};
use crate::routing::{Ingress, Refer};
use crate::sip::{Header, Message, NameAddr, Scheme, Status};
use crate::transaction::ServerId;

pub use consume::Transfer;
pub use join::Reconnect;
pub use relay::Referral;
pub(super) use relay::is_refer_event;
use replaces::Replaces;
pub use speaker::Speaker;

/// Where a REFER points.
#[derive(Clone, Debug)]
struct Referred {
    /// The user part of Refer-To, unescaped.
    received: String,
    /// The same as it was written.
    written: Option<String>,
    /// What it means.
    number: Number,
    /// The sender's leg of another call of ours that is to be replaced (RFC 3891).
    replaces: Option<(CallKey, Side)>,
}

impl Engine {
    /// REFER within a dialog.
    pub(super) fn on_refer(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        server: ServerId,
        request: &Message,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        let settings = self.snapshots.get(call.snapshot);
        let trunk = call.leg(side).and_then(|leg| settings.trunk_of(leg.trunk.as_ref()));
        let mode = trunk.map_or(Refer::Reject, |trunk| trunk.refer);
        let status = match (mode, call.phase) {
            (Refer::Reject, _) => Err(Status::of(603)),
            (Refer::Relay | Refer::Consume, Phase::Setup | Phase::Over) => Err(Status::of(491)),
            (Refer::Relay | Refer::Consume, Phase::Answered) => self.read_refer(key, side, request),
        };
        match (status, mode) {
            (Err(status), _) => self.respond_in_dialog(now, key, side, server, status),
            (Ok(referred), Refer::Consume) => self.consume_refer(now, key, side, server, request, &referred),
            (Ok(referred), Refer::Reject | Refer::Relay) => {
                self.relay_refer(now, key, side, server, request, &referred)
            }
        }
    }

    /// What a REFER asks for. The error is the status that refuses it.
    fn read_refer(&self, key: CallKey, side: Side, request: &Message) -> Result<Referred, Status> {
        let bad = Status::of(400);
        let refer_to = request.header(Header::ReferTo).and_then(NameAddr::parse).ok_or(bad)?;
        let uri = refer_to.uri().map_err(|_| bad)?;
        if uri.scheme == Scheme::Other {
            return Err(Status::of(416));
        }
        // Nothing but calls is referred to.
        if uri.params.value("method").is_some_and(|method| method != b"INVITE") {
            return Err(Status::of(603));
        }
        let call = self.calls.get(key).ok_or(Status::of(481))?;
        let settings = self.snapshots.get(call.snapshot);
        let trunk = call.leg(side).and_then(|leg| settings.trunk_of(leg.trunk.as_ref()));
        let numbering = settings.numbering_of(trunk);
        let party = Party::of(&uri);
        let Dialled { number, received, .. } =
            party.normalise_called(numbering).map_err(|_| Status::of(484))?;
        if number.is_emergency() {
            return Err(Status::of(603));
        }
        let replaces = match replaces::of_uri(&uri) {
            None => None,
            Some(value) => {
                let named = Replaces::parse(&value).ok_or(bad)?;
                // What may be replaced here is answered (RFC 3891 §3).
                let found = self.find_consultation(key, side, &named).filter(|_| !named.early_only);
                Some(found.ok_or(Status::of(603))?)
            }
        };
        Ok(Referred { received, written: written_user(&uri), number, replaces })
    }

    /// The other call that a transferor wants to join to this one: an answered one of ours, of which
    /// one leg is the same trunk's. Else the REFER is declined; 481 would say that *this* call is
    /// unknown (RFC 5057 §5.1).
    fn find_consultation(&self, key: CallKey, side: Side, named: &Replaces) -> Option<(CallKey, Side)> {
        let (other, leg_side, _) = self.find_named(named)?;
        let (here, there) = (self.calls.get(key)?.leg(side)?, self.calls.get(other)?);
        let leg = there.leg(leg_side)?;
        let is_the_senders = leg.realm == here.realm && leg.trunk == here.trunk;
        (other != key && there.phase == Phase::Answered && is_the_senders).then_some((other, leg_side))
    }

    /// Whether a peer could call this number through us. The error is the status that it would hear.
    fn may_call(&self, realm: Realm, trunk: Option<TrunkName>, number: &Number) -> Result<(), Status> {
        let found = self.router.route(&Ingress { realm, trunk }, number);
        found.map(|_| ()).map_err(|why| Status::new(status_of(&why)).unwrap_or(Status::of(404)))
    }
}

/// A URI with all that may not stand in the `headers` part of another (RFC 3261 §25.1 hvalue)
/// escaped.
fn escape_value(value: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(&byte);
    let mut escaped = String::with_capacity(value.len());
    for byte in value {
        if is_plain(*byte) {
            escaped.push(char::from(*byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
