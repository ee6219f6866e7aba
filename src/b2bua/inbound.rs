//! A new INVITE: what must be right with it, who calls whom, and which trunks may take it.

use bytes::Bytes;

use super::call::{Call, CallKey, CallNumbers, Leg, Phase, Plan, Record};
use super::call_media::CallMedia;
use super::cdr::EndedBy;
use super::engine::{Engine, MAX_CALLS};
use super::{Event, capabilities};
use crate::base::{Hop, Instant, Realm, TrunkName};
use crate::dialog::Dialog;
use crate::media::Side;
use crate::numbering::Number;
use crate::routing::{Ingress, NoRoute};
use crate::sip::{Header, Message, NameAddr, Scheme, Status, Uri, response_to, unescape, written_display};
use crate::transaction::ServerId;

impl Engine {
    /// An INVITE outside any dialog.
    pub(super) fn on_invite(&mut self, now: Instant, server: ServerId, request: Message, hop: Hop) {
        if let Some(refusal) = self.find_refusal(&request) {
            return self.refuse(now, server, &refusal);
        }
        let is_full = self.calls.len() >= MAX_CALLS && !self.is_emergency(&request);
        if self.draining || is_full {
            return self.refuse_for_now(now, server);
        }
        let Some(realm) = self.realm_of(hop) else { return };
        let key = self.open_call(now, server, request, hop, realm);
        self.arrange(now, key);
    }

    /// Finds where the call may go, and begins to try.
    fn arrange(&mut self, now: Instant, key: CallKey) {
        match self.plan_call(now, key) {
            Ok(()) => self.try_next_target(now, key),
            Err(rejection) => self.reject_call(now, key, rejection),
        }
    }

    /// What RFC 3261 §8.2 says of a request before anybody looks at what it is for.
    fn find_refusal(&self, request: &Message) -> Option<Refusal> {
        let status = Status::of;
        if request.number(Header::MaxForwards) == Some(0) {
            return Some(Refusal::of(status(483)));
        }
        if self.is_own_loop(request) || self.invites.contains_key(&invite_key(request)) {
            return Some(Refusal::of(status(482)));
        }
        match Uri::parse(request.request_uri_raw()) {
            Ok(uri) if uri.scheme == Scheme::Other => return Some(Refusal::of(status(416))),
            Ok(_) => {}
            Err(_) => return Some(Refusal::of(status(400))),
        }
        if let Some(unsupported) = capabilities::unsupported(request) {
            let extra = Some((Header::Unsupported, unsupported));
            return Some(Refusal { extra, ..Refusal::of(status(420)) });
        }
        if request
            .header(Header::ContentEncoding)
            .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"))
        {
            let accepted = Some((Header::AcceptEncoding, b"identity".to_vec()));
            return Some(Refusal { extra: accepted, ..Refusal::of(status(415)) });
        }
        if !request.body().is_empty() && !request.has_body_type("application/sdp") {
            let accepted = Some((Header::Accept, b"application/sdp".to_vec()));
            return Some(Refusal { extra: accepted, ..Refusal::of(status(415)) });
        }
        if !capabilities::accepts_sdp(request) {
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

    /// Whether an emergency number is called: then no limit of ours counts.
    fn is_emergency(&self, request: &Message) -> bool {
        let called = Uri::parse(request.request_uri_raw()).map(|uri| user_of(&uri)).unwrap_or_default();
        self.snapshots.current().numbering.emergency.contains(&called)
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
    fn open_call(
        &mut self,
        now: Instant,
        server: ServerId,
        request: Message,
        hop: Hop,
        realm: Realm,
    ) -> CallKey {
        let local_tag = self.mint_tag();
        let trunk = self.router.trunk_of_source(realm, hop.peer.ip()).cloned();
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
        let call = Call {
            id,
            snapshot: self.snapshots.hold(),
            phase: Phase::Setup,
            a,
            b: None,
            numbers: CallNumbers::from_request(&request),
            invite: request,
            plan: Plan::default(),
            media: CallMedia::default(),
            record: Record::new(now, hop),
            timers: std::collections::BTreeMap::new(),
            relays: Vec::new(),
            tags_b: Vec::new(),
            contact_user_b: String::new(),
        };
        let key = self.calls.insert(call);
        self.dialogs.insert(local_tag, (key, Side::A));
        self.invites.insert(invite, key);
        self.servers.insert(server, key);
        self.event(Event::CallBegan { trunk });
        key
    }

    /// Numbers, route and the ingress trunk's limits.
    fn plan_call(&mut self, now: Instant, key: CallKey) -> Result<(), Rejection> {
        let Some(call) = self.calls.get_mut(key) else { return Ok(()) };
        let settings = self.snapshots.get(call.snapshot);
        let trunk = call.a.trunk.as_ref().and_then(|name| settings.routing.trunk(name));
        let numbering = trunk.and_then(|trunk| trunk.numbering.as_ref()).unwrap_or(&settings.numbering);
        if call.numbers.called_received.is_empty() {
            return Err(Rejection::new(484, "the Request-URI names nobody"));
        }
        call.numbers.called = match numbering.normalise(&call.numbers.called_received) {
            Ok(number) => number,
            Err(fault) => return Err(Rejection::new(484, &fault.to_string())),
        };
        // A caller id that is no number is shown as it came, if the trunk's policy lets it.
        if let Ok(number) = numbering.normalise(&call.numbers.caller_received) {
            call.numbers.caller = number;
        }
        let ingress = Ingress { realm: call.a.realm, trunk: call.a.trunk.clone() };
        let selection = self.router.route(&ingress, &call.numbers.called);
        let selection = selection.map_err(|why| Rejection::new(status_of(&why), &why.to_string()))?;
        call.plan.trunks = selection.trunks;
        let (emergency, ingress_trunk) = (call.is_emergency(), call.a.trunk.clone());
        self.count_on_trunk(now, ingress_trunk.as_ref(), emergency)
            .map_err(|()| Rejection::new(503, "the limit of the trunk it came from is reached"))?;
        if let Some(call) = self.calls.get_mut(key) {
            call.plan.ingress_counted = ingress_trunk;
        }
        Ok(())
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
fn status_of(why: &NoRoute) -> u16 {
    match why {
        NoRoute::NoMatch => 404,
        NoRoute::IngressDisabled(_) => 403,
        NoRoute::AllDisabled { .. } => 503,
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
        }
    }
}

impl CallNumbers {
    /// The users of Request-URI and From; what they mean is found later.
    fn from_request(request: &Message) -> CallNumbers {
        let called = Uri::parse(request.request_uri_raw()).ok();
        let from = request.from();
        let caller = from.and_then(|from| from.uri().ok());
        let called_received = called.as_ref().map(user_of).unwrap_or_default();
        let caller_received = caller.as_ref().map(user_of).unwrap_or_default();
        CallNumbers {
            called: Number::Name(called_received.clone()),
            caller: Number::Name(caller_received.clone()),
            called_written: called.as_ref().and_then(written_user),
            called_received,
            caller_received,
            privacy: asks_for_privacy(request),
            caller_display: from
                .and_then(|from: NameAddr<'_>| from.display)
                .map(|display| Bytes::from(written_display(display).into_owned())),
        }
    }
}

/// `Privacy: id` and its like (RFC 3323 §4.2, RFC 3325 §9.3).
fn asks_for_privacy(request: &Message) -> bool {
    let values = request.list(Header::Privacy).flat_map(|value| value.split(|byte| *byte == b';'));
    let mut words = values.map(crate::sip::trim);
    words.any(|word| ["id", "user", "header"].iter().any(|kind| word.eq_ignore_ascii_case(kind.as_bytes())))
}

/// The user part, unescaped; that of a number without the parameters that may stand in it
/// (`+1;npdi;rn=…`, RFC 3966). To a name they belong (RFC 4475 §3.1.1.9).
pub(super) fn user_of(uri: &Uri<'_>) -> String {
    let user = uri.user.unwrap_or(b"");
    let end = memchr::memchr(b';', user).unwrap_or(user.len());
    let before = unescape(&user[..end]);
    let is_number = before.iter().all(|byte| byte.is_ascii_digit() || b"+*#-.()/ ".contains(byte));
    let user = if is_number { before } else { unescape(user) };
    String::from_utf8_lossy(&user).into_owned()
}

/// The user part as it was written, if RFC 3261 §25.1 allows all of it (with `escaped`).
pub(super) fn written_user(uri: &Uri<'_>) -> Option<String> {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(byte);
    let user = uri.user.filter(|user| user.iter().all(legal))?;
    String::from_utf8(user.to_vec()).ok()
}

/// What the copies of one INVITE share, whatever way they came (RFC 3261 §8.2.2.2).
pub(super) fn invite_key(request: &Message) -> Bytes {
    let tag = request.from().and_then(|from| from.tag()).unwrap_or(b"");
    let sequence = request.header(Header::CSeq).unwrap_or(b"");
    Bytes::from([request.call_id(), b"\n", tag, b"\n", sequence].concat())
}
