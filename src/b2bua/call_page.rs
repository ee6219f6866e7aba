//! All that can be told of one call: the route it took and why, its attempts, both dialogs, its timers, its
//! end, and what was said in it. For one that goes on, and for one that ended lately.
//!
//! Must not know: how it is shown. What the relay measures meanwhile is asked there.

use std::net::SocketAddr;
use std::time::Duration;

use super::CallReport;
use super::call::{Call, CallTimer, Leg};
use super::cdr::{Attempt, Cdr, CdrTransfer, EndedBy, Outcome};
use super::engine::Engine;
use super::ladder::LadderReport;
use super::settings::Settings;
use crate::base::{Instant, Transport, TrunkName};
use crate::media::{MediaReport, MediaSessionId, Side};
use crate::numbering::Number;
use crate::routing::Route;

/// An `id` may be cut short to so many characters, where no other call's begins so.
pub const SHORT_ID_MIN: usize = 3;

/// So many calls are named where a short `id` means several.
const SIMILAR_MAX: usize = 10;

/// What an operator may want to know of a call.
#[derive(Clone, PartialEq, Debug)]
pub struct CallPage {
    /// As in the list of calls.
    pub report: CallReport,
    /// The number that was called, in E.164, if it is one.
    pub to_e164: Option<String>,
    /// The caller's, likewise.
    pub from_e164: Option<String>,
    /// When the caller heard of ringing.
    pub ring: Option<Instant>,
    /// The route it took; `None`: none was looked for yet, or there is none.
    pub route: Option<RoutePage>,
    /// Targets that were tried and left.
    pub attempts: Vec<Attempt>,
    /// The target that is being tried.
    pub trying: Option<Trying>,
    /// The caller's leg.
    pub ingress: LegPage,
    /// The callee's.
    pub egress: Option<LegPage>,
    /// The codec of the answer.
    pub codec: Option<String>,
    /// The transfers that we carried out.
    pub transfers: Vec<CdrTransfer>,
    /// What is waited for, the next first.
    pub timers: Vec<NamedTimer>,
    /// What the relay calls it; the first is the call's own, others came with transfers.
    pub media_sessions: Vec<MediaSessionId>,
    /// How it ended.
    pub end: Option<CallEnd>,
    /// What was said.
    pub ladder: LadderReport,
}

/// Which route a call took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutePage {
    /// `name` of the route.
    pub name: String,
    /// What of it matched: its source, and its pattern of numbers if it has any.
    pub matched: String,
    /// Trunks that would be tried next.
    pub waiting: Vec<TrunkName>,
}

/// A target that has not answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trying {
    /// Whose it is.
    pub trunk: TrunkName,
    /// Its address.
    pub target: SocketAddr,
    /// Since when.
    pub since: Instant,
    /// From then until it rang, if it did.
    pub rang_after: Option<Duration>,
}

/// One dialog of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegPage {
    /// Where its requests go now.
    pub remote: SocketAddr,
    /// How.
    pub transport: Transport,
    /// `host:port` of ours, as the peer is told it.
    pub local: String,
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag, once it has said one.
    pub remote_tag: Option<String>,
    /// The peer's Contact.
    pub remote_target: Option<String>,
    /// How many proxies asked to stay on the way.
    pub route_set: usize,
    /// CSeq of our last request; 0: we sent none.
    pub local_sequence: u32,
    /// CSeq of the peer's last.
    pub remote_sequence: Option<u32>,
    /// RFC 4028: how long the session lasts without a refresh, and whether we refresh it.
    pub session_timer: Option<(Duration, bool)>,
    /// Whether its party has put the call on hold.
    pub is_holding: bool,
}

/// A timer that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedTimer {
    /// What happens then.
    pub name: &'static str,
    /// Of which leg, if of one.
    pub leg: Option<Side>,
    /// When.
    pub at: Instant,
}

/// How a call ended.
#[derive(Clone, PartialEq, Debug)]
pub struct CallEnd {
    /// When.
    pub at: Instant,
    /// The final status that the caller got.
    pub status: u16,
    /// `answered`, `failed`, `cancelled` or `rejected`.
    pub outcome: Outcome,
    /// Who ended it.
    pub by: EndedBy,
    /// Why, in words for people.
    pub cause: String,
    /// What the relay measured.
    pub media: Option<MediaReport>,
}

/// What an `id` leads to.
#[derive(Clone, PartialEq, Debug)]
pub enum CallFound {
    /// This call.
    One(Box<CallPage>),
    /// It is cut short, and the `id`s of these calls begin so; some of them.
    Several(Vec<String>),
    /// None.
    None,
}

impl Engine {
    /// The call of this `id`, or the only one whose `id` begins so.
    pub fn call_page(&self, now: Instant, id: &str) -> CallFound {
        if let Some(page) = self.page_of(now, id) {
            return CallFound::One(Box::new(page));
        }
        if id.len() < SHORT_ID_MIN {
            return CallFound::None;
        }
        let alive = self.calls.values().filter(|call| !call.has_no_record).map(|call| call.id.as_str());
        let similar = alive.chain(self.ended.ids(now)).filter(|known| known.starts_with(id));
        let mut similar: Vec<String> = similar.take(SIMILAR_MAX).map(str::to_owned).collect();
        if let [only] = similar.as_slice() {
            return self.page_of(now, only).map_or(CallFound::None, |page| CallFound::One(Box::new(page)));
        }
        similar.sort_unstable();
        if similar.is_empty() { CallFound::None } else { CallFound::Several(similar) }
    }

    fn page_of(&self, now: Instant, id: &str) -> Option<CallPage> {
        let alive = self.calls.values().find(|call| call.id == id);
        let (page, ladder) = match alive {
            Some(call) => (self.write_page(call), call.ladder),
            None => {
                let (page, ladder) = self.ended.find(now, id)?;
                (page.clone(), ladder)
            }
        };
        Some(CallPage { ladder: self.ladders.report(ladder), ..page })
    }

    /// What is known of a call, but for what was said in it.
    pub(super) fn write_page(&self, call: &Call) -> CallPage {
        let settings = self.snapshots.get(call.snapshot);
        let mut timers: Vec<NamedTimer> = call
            .timers
            .iter()
            .map(|(timer, id)| NamedTimer { name: timer.name(), leg: timer.leg(), at: id.at() })
            .collect();
        timers.sort_by_key(|timer| timer.at);
        let (since, record) = (call.plan.since, &call.record);
        CallPage {
            report: CallReport::of(call),
            to_e164: call.numbers.called.e164().map(str::to_owned),
            from_e164: call.numbers.caller.e164().map(str::to_owned),
            ring: record.ring,
            route: call.plan.route.as_ref().map(|name| RoutePage::of(name, call, &settings)),
            attempts: record.attempts.clone(),
            trying: call.plan.current.as_ref().map(|target| Trying {
                trunk: target.trunk.clone(),
                target: target.address,
                since,
                rang_after: call.plan.rang_at.map(|rang| rang.since(since)),
            }),
            ingress: self.page_of_leg(call, &call.a, Side::A),
            egress: call.b.as_ref().map(|leg| self.page_of_leg(call, leg, Side::B)),
            codec: record.codec.clone(),
            transfers: record.transfers.clone(),
            timers,
            media_sessions: call.media.sessions().collect(),
            end: None,
            ladder: LadderReport::default(),
        }
    }

    fn page_of_leg(&self, call: &Call, leg: &Leg, side: Side) -> LegPage {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let some = |bytes: &[u8]| Some(text(bytes)).filter(|text| !text.is_empty());
        let dialog = leg.dialog.as_ref();
        let hop = dialog.map_or(leg.hop, |dialog| dialog.hop);
        LegPage {
            remote: hop.peer,
            transport: hop.transport,
            local: self.advertised(hop),
            call_id: text(&leg.call_id),
            local_tag: text(&leg.local_tag),
            remote_tag: dialog.and_then(|dialog| some(&dialog.remote_tag)),
            remote_target: dialog.and_then(|dialog| some(&dialog.remote_target)),
            route_set: dialog.map_or(0, |dialog| dialog.route_set.len()),
            local_sequence: dialog.map_or(0, |dialog| dialog.local_sequence),
            remote_sequence: dialog.and_then(|dialog| dialog.remote_sequence),
            session_timer: leg.session_timer.interval().map(|interval| (interval.length, interval.is_ours)),
            is_holding: call.media.is_held_by(side),
        }
    }

    /// The Call-ID by which both legs of the call of this Call-ID are known together: its caller's.
    pub fn correlation(&self, call_id: &[u8]) -> Option<bytes::Bytes> {
        self.ladders.correlation(call_id)
    }

    /// The same of the call whose media this is, until the relay has closed it.
    pub fn correlation_of_media(&self, session: MediaSessionId) -> Option<bytes::Bytes> {
        let closing = || self.closing_media.get(&session)?.call;
        let key = self.media_sessions.get(&session).copied().or_else(closing)?;
        let call = self.calls.get(key)?;
        Some(self.correlation(&call.a.call_id).unwrap_or_else(|| call.a.call_id.clone()))
    }
}

impl RoutePage {
    fn of(name: &str, call: &Call, settings: &Settings) -> RoutePage {
        let route = settings.routing.routes.iter().find(|route| route.name == name);
        RoutePage {
            name: name.to_owned(),
            matched: route.map(|route| what_matched(route, &call.numbers.called)).unwrap_or_default(),
            waiting: call.plan.trunks.clone(),
        }
    }
}

/// `trusted, +1*`.
fn what_matched(route: &Route, called: &Number) -> String {
    match route.pattern_of(called) {
        Some(pattern) => format!("{}, {pattern}", route.from),
        None => route.from.to_string(),
    }
}

impl CallEnd {
    /// As its record has it.
    pub(super) fn of(record: &Cdr) -> CallEnd {
        CallEnd {
            at: record.end,
            status: record.status,
            outcome: record.outcome(),
            by: record.ended_by,
            cause: record.cause.clone(),
            media: record.media.clone(),
        }
    }
}

impl CallTimer {
    /// For people and for machines.
    const fn name(self) -> &'static str {
        match self {
            CallTimer::NoProvisional => "no_provisional_response",
            CallTimer::NoProgress => "no_progress",
            CallTimer::NoAnswer => "no_answer",
            CallTimer::Reliable => "reliable_response",
            CallTimer::Expires => "invite_expires",
            CallTimer::Unacked(_) => "no_ack",
            CallTimer::Opening => "media_ports",
            CallTimer::Duration => "max_duration",
            CallTimer::Reinvite(_) => "no_answer_to_reinvite",
            CallTimer::Refresh(_) => "session_refresh",
            CallTimer::SessionExpiry(_) => "session_expires",
            CallTimer::Join => "join_calls",
            CallTimer::Reconnect => "reconnect_media",
            CallTimer::Leaving => "transferor_leaves",
        }
    }

    const fn leg(self) -> Option<Side> {
        match self {
            CallTimer::Unacked(side)
            | CallTimer::Reinvite(side)
            | CallTimer::Refresh(side)
            | CallTimer::SessionExpiry(side) => Some(side),
            CallTimer::NoProgress
            | CallTimer::NoProvisional
            | CallTimer::NoAnswer
            | CallTimer::Reliable
            | CallTimer::Expires
            | CallTimer::Opening
            | CallTimer::Duration
            | CallTimer::Join
            | CallTimer::Reconnect
            | CallTimer::Leaving => None,
        }
    }
}
