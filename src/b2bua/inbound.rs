//! A new INVITE: what must be right with it, who calls whom, and which trunks may take it.

use std::time::Duration;

use bytes::Bytes;

use super::call::{Call, CallKey, CallNumbers, CallTimer, Leg, Phase, Plan, Record};
use super::call_media::{CallMedia, OfferFault};
use super::called::{Called, is_emergency_service};
use super::cdr::EndedBy;
use super::dtmf::Keys;
use super::engine::{Engine, MAX_CALLS};
use super::fairness::{RESERVED_CALLS, are_last_ports};
use super::ingress::NewInvite;
use super::ladder::LadderKey;
use super::party::{self, Party};
use super::reliable::Reliable;
use super::snapshots::SnapshotId;
use super::transfer::Transfer;
use super::{Event, caller, capabilities};
use crate::admission::DropReason;
use crate::base::{Hop, Instant, TrunkName};
use crate::dialog::Dialog;
use crate::media::Side;
use crate::numbering::Number;
use crate::routing::{Ingress, NoRoute};
use crate::sip::{Header, Message, Scheme, Status, Uri, response_to};
use crate::transaction::ServerId;

impl Engine {
    /// An INVITE outside any dialog.
    pub(super) fn on_invite(&mut self, now: Instant, server: ServerId, request: Message, hop: Hop) {
        let Some(new) = self.take_arriving(&request, hop) else { return };
        let emergency = new.is_for_help;
        if let Some(refusal) = self.find_refusal(&request, emergency) {
            return self.refuse(now, server, &refusal);
        }
        if let Some(fault) = self.find_body_fault(&request, emergency) {
            let refusal = Refusal { status: fault.status(), phrase: fault.phrase(), extra: fault.accepted() };
            return self.refuse(now, server, &refusal);
        }
        let short = self.find_short_session(&request, new.trunk.as_ref());
        if let Some(min_s) = short.filter(|_| !emergency) {
            let extra = Some((Header::MinSe, min_s.to_string().into_bytes()));
            return self.refuse(now, server, &Refusal { extra, ..Refusal::of(Status::of(422)) });
        }
        let most = if emergency { MAX_CALLS + RESERVED_CALLS } else { MAX_CALLS };
        let is_closed = self.is_closed || (self.draining && !emergency);
        if is_closed || self.calls.len() >= most {
            return self.refuse_for_now(now, server);
        }
        let streams = self.ports.streams_limit();
        if !emergency && !self.setups.has_room((new.realm, hop.peer.ip()), &request, streams) {
            self.event(Event::Dropped { realm: new.realm, reason: DropReason::RateLimited });
            return self.refuse_for_now(now, server);
        }
        let expires_s = request.number(Header::Expires).filter(|seconds| *seconds > 0);
        let key = self.open_call(now, server, request, new);
        if let Some(seconds) = expires_s {
            self.arm(key, CallTimer::Expires, now + Duration::from_secs(seconds.into()));
        }
        // A call for help goes through, whatever else it asks for.
        let replaces = self.calls.get(key).is_some_and(|call| call.invite.header(Header::Replaces).is_some());
        if replaces && !emergency {
            return self.on_replaces(now, key);
        }
        self.arrange(now, key);
    }

    /// Finds where the call may go, and begins to try.
    pub(super) fn arrange(&mut self, now: Instant, key: CallKey) {
        match self.plan_call(now, key) {
            Ok(()) => self.try_next_target(now, key),
            Err(rejection) => self.reject_call(now, key, rejection),
        }
    }

    /// What RFC 3261 §8.2 says of a request before anybody looks at what it is for. Who calls for help is
    /// refused only what cannot be done: it would rather have a call without an extension that it requires
    /// (420), without a privacy that nobody knows (500), or with a description that its Accept does not
    /// name (406), than none.
    fn find_refusal(&self, request: &Message, emergency: bool) -> Option<Refusal> {
        let status = Status::of;
        if request.number(Header::MaxForwards) == Some(0) {
            return Some(Refusal::of(status(483)));
        }
        if !emergency && !has_sound_max_forwards(request) {
            return Some(Refusal { phrase: Some("Bad Max-Forwards Header"), ..Refusal::of(status(400)) });
        }
        if self.is_own_loop(request)
            || self.branches.is_own(request)
            || self.invites.contains_key(&invite_key(request))
        {
            return Some(Refusal::of(status(482)));
        }
        match Uri::parse(request.request_uri_raw()) {
            Ok(uri) if uri.scheme == Scheme::Other && !is_emergency_service(uri.raw) => {
                return Some(Refusal::of(status(416)));
            }
            Ok(_) => {}
            Err(_) => return Some(Refusal::of(status(400))),
        }
        if let Some(unsupported) = capabilities::unsupported(request).filter(|_| !emergency) {
            let extra = Some((Header::Unsupported, unsupported));
            return Some(Refusal { extra, ..Refusal::of(status(420)) });
        }
        if !emergency && caller::asks_for_unknown_privacy(request) {
            return Some(Refusal { phrase: Some("Privacy Not Provided"), ..Refusal::of(status(500)) });
        }
        if !emergency && !capabilities::accepts_sdp(request) {
            return Some(Refusal::of(status(406)));
        }
        if !has_target(request) {
            return Some(Refusal {
                phrase: Some("Missing or Bad Contact Header"),
                ..Refusal::of(status(400))
            });
        }
        None
    }

    /// Whether this is an INVITE of ours that came back: its From tag is one of our legs'.
    fn is_own_loop(&self, request: &Message) -> bool {
        let Some(tag) = request.from().and_then(|from| from.tag()) else { return false };
        self.dialogs
            .get(tag)
            .and_then(|(key, side)| self.calls.get(*key)?.leg(*side))
            .is_some_and(|leg| leg.call_id == request.call_id())
    }

    fn refuse(&mut self, now: Instant, server: ServerId, refusal: &Refusal) {
        let tag = self.mint_tag();
        let tag = std::str::from_utf8(&tag).ok();
        let Some((request, hop)) = self.transactions.request(server) else { return };
        let phrase = refusal.phrase.map(str::as_bytes);
        let writer = response_to(request, hop.peer, refusal.status, phrase, tag);
        let writer = match &refusal.extra {
            Some((header, value)) => writer.header(*header, value),
            None => writer,
        };
        self.send_response(now, server, Some(writer));
    }

    /// Makes the call, with leg A's dialog.
    fn open_call(&mut self, now: Instant, server: ServerId, request: Message, new: NewInvite) -> CallKey {
        let NewInvite { hop, realm, trunk, is_for_help: _ } = new;
        let local_tag = self.mint_tag();
        let call_id = Bytes::copy_from_slice(request.call_id());
        let session_id = self.random.bits() >> 2;
        let mut a = Leg::new(realm, trunk.clone(), hop, call_id, local_tag.clone(), session_id);
        let mut dialog = Dialog::from_request(&request, hop, &local_tag);
        // The tag is ours to say, not the caller's: To had none.
        dialog.local_tag = local_tag.clone();
        a.dialog = Some(dialog);
        a.peer.learn(&request);
        a.incoming = Some(server);
        let id = String::from_utf8_lossy(&self.random.token::<16>()).into_owned();
        let invite = invite_key(&request);
        self.setups.begin((realm, hop.peer.ip()), &request);
        let numbers = CallNumbers::from_request(&request);
        let ladder = self.ladders.begin(&a.call_id);
        let mut call = Call::new(id, self.snapshots.hold(), a, numbers, request, now, hop);
        call.ladder = ladder;
        let key = self.calls.insert(call);
        self.dialogs.insert(local_tag, (key, Side::A));
        self.invites.insert(invite, key);
        self.servers.insert(server, key);
        self.event(Event::CallBegan { trunk, arrived: true });
        key
    }

    /// Numbers, route and the ingress trunk's limits.
    fn plan_call(&mut self, now: Instant, key: CallKey) -> Result<(), Rejection> {
        let is_our_contact = self.calls.get(key).is_some_and(|call| self.is_for_our_contact(&call.invite));
        let Some(call) = self.calls.get_mut(key) else { return Ok(()) };
        let settings = self.snapshots.get(call.snapshot);
        let trunk = settings.trunk_of(call.a.trunk.as_ref());
        let numbering = settings.numbering_of(trunk);
        let is_believed = settings.believes(call.a.realm, trunk);
        // Of a call that we place ourselves, for a transfer, the numbers are known.
        if !call.has_no_record {
            call.numbers.learn_caller(&call.invite, is_believed, numbering);
            call.numbers.learn_called(Called::of(&call.invite, is_our_contact), numbering)?;
        }
        let ingress = Ingress { realm: call.a.realm, trunk: call.a.trunk.clone() };
        let selection = self.router.route(&ingress, &call.numbers.called);
        let selection = selection.map_err(|why| Rejection::new(status_of(&why), &why.to_string()))?;
        if !call.is_emergency() && are_last_ports(self.ports.streams_limit(), self.ports.free_pairs()) {
            return Err(Rejection::new(503, "the last media ports are kept for emergency calls"));
        }
        if let Some(fault) = OfferFault::of(&call.invite) {
            return Err(Rejection::new(488, fault.cause()));
        }
        call.plan.trunks = self.router.order(&selection, call.numbers.caller.as_str(), &mut self.random);
        call.plan.route = Some(selection.route);
        let (emergency, ingress_trunk) = (call.is_emergency(), call.a.trunk.clone());
        if !emergency && let Err(reached) = self.router.limits().node_has_room(now) {
            return Err(Rejection::new(503, &format!("the node has {reached}")));
        }
        self.count_on_trunk(now, ingress_trunk.as_ref(), emergency)
            .map_err(|()| Rejection::new(503, "the limit of the trunk it came from is reached"))?;
        if let Some(call) = self.calls.get_mut(key) {
            call.plan.ingress_counted = ingress_trunk;
        }
        Ok(())
    }

    /// Counts a call on the node when the first trunk takes it.
    pub(super) fn count_on_node(&mut self, now: Instant, key: CallKey, emergency: bool) {
        if let Some(call) = self.calls.get_mut(key).filter(|call| !call.plan.node_counted) {
            call.plan.node_counted = true;
            self.router.limits().begin_on_node(now, emergency);
        }
    }

    /// Counts a call against a trunk's limits; emergency calls are counted but never held back.
    pub(super) fn count_on_trunk(
        &mut self,
        now: Instant,
        trunk: Option<&TrunkName>,
        emergency: bool,
    ) -> Result<(), ()> {
        match trunk {
            None => Ok(()),
            Some(trunk) if emergency => {
                self.router.limits().begin_unlimited(trunk);
                Ok(())
            }
            Some(trunk) => self.router.limits().try_begin(trunk, now).map_err(|_| ()),
        }
    }
}

/// Max-Forwards may be left out, and is a number from 0 to 255 otherwise (RFC 3261 §20.22).
fn has_sound_max_forwards(request: &Message) -> bool {
    request.header(Header::MaxForwards).is_none_or(|value| {
        std::str::from_utf8(value).is_ok_and(|text| !text.starts_with('+') && text.parse::<u8>().is_ok())
    })
}

/// Whether it says where the requests of its dialog go. RFC 3261 §8.1.1.8: "The Contact header field
/// MUST be present"; RFC 2543 §6.13 had it optional, and its From then names the caller
/// (`Dialog::from_request`).
fn has_target(request: &Message) -> bool {
    let is_rfc2543 = request.top_via().is_some_and(|via| !via.has_magic_cookie());
    match request.header(Header::Contact) {
        Some(_) => request.contact().is_some_and(|contact| contact.uri().is_ok()),
        None => is_rfc2543,
    }
}

/// What the caller hears when no route takes the call.
pub(super) fn status_of(why: &NoRoute) -> u16 {
    match why {
        NoRoute::NoMatch => 404,
        // Not 403: a provider takes that for its customer's last word, and tries no other node.
        NoRoute::IngressDisabled(_) | NoRoute::AllDisabled { .. } => 503,
    }
}

/// A final answer to a request that opens no call.
struct Refusal {
    status: Status,
    /// Instead of the status's own phrase, where that does not say what is wrong.
    phrase: Option<&'static str>,
    extra: Option<(Header, Vec<u8>)>,
}

impl Refusal {
    fn of(status: Status) -> Refusal {
        Refusal { status, phrase: None, extra: None }
    }
}

/// Why a call goes nowhere.
pub(super) struct Rejection {
    pub(super) status: Status,
    pub(super) cause: String,
}

impl Rejection {
    pub(super) fn new(status: u16, cause: &str) -> Rejection {
        Rejection { status: Status::new(status).unwrap_or(Status::of(500)), cause: cause.to_owned() }
    }
}

impl Call {
    /// A call of which nothing is known but where it comes from and where it wants to go.
    pub(super) fn new(
        id: String,
        snapshot: SnapshotId,
        a: Leg,
        numbers: CallNumbers,
        invite: Message,
        now: Instant,
        hop: Hop,
    ) -> Call {
        Call {
            id,
            snapshot,
            phase: Phase::Setup,
            a,
            b: None,
            numbers,
            invite,
            plan: Plan::default(),
            media: CallMedia::default(),
            record: Record::new(now, hop),
            ladder: LadderKey::default(),
            timers: std::collections::BTreeMap::new(),
            keys: Keys::default(),
            relays: Vec::new(),
            reliable: Reliable::default(),
            referrals: Vec::new(),
            transfer: Transfer::None,
            granted: Vec::new(),
            reconnect: None,
            has_no_record: false,
            tags_b: Vec::new(),
            contact_user_b: String::new(),
        }
    }
}

impl Record {
    fn new(now: Instant, hop: Hop) -> Record {
        Record {
            start: now,
            ring: None,
            answer: None,
            end: None,
            remote: hop.peer,
            attempts: Vec::new(),
            status: 0,
            ended_by: EndedBy::Sbc,
            cause: String::new(),
            codec: None,
            transfers: Vec::new(),
            first_legs: None,
        }
    }
}

impl CallNumbers {
    /// The users of Request-URI and From; what they mean is found later.
    pub(super) fn from_request(request: &Message) -> CallNumbers {
        let user = |uri: Option<Uri<'_>>| uri.map(|uri| Party::of(&uri).user).unwrap_or_default();
        let called = Uri::parse(request.request_uri_raw()).ok();
        let called_written = called.as_ref().and_then(party::written_user);
        let called_received = user(called);
        let from_received = user(request.from().and_then(|from| from.uri().ok()));
        CallNumbers {
            called: Number::Name(called_received.clone()),
            caller: Number::Name(from_received.clone()),
            called_written,
            called_dialled: called_received.clone(),
            called_received,
            caller_received: from_received.clone(),
            from_received,
            caller_display: None,
            caller_is_asserted: false,
            privacy: caller::Privacy::default(),
            diversions: Default::default(),
        }
    }
}

/// What the copies of one INVITE share, whatever way they came (RFC 3261 §8.2.2.2).
pub(super) fn invite_key(request: &Message) -> Bytes {
    let tag = request.from().and_then(|from| from.tag()).unwrap_or(b"");
    let sequence = request.header(Header::CSeq).unwrap_or(b"");
    Bytes::from([request.call_id(), b"\n", tag, b"\n", sequence].concat())
}
