//! `/api/v1/calls/{id}`: all that can be told of one call, its media as it is at this moment among that.
//! Fields are added, never renamed.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::oneshot;

use super::View;
use super::call_media::MediaBody;
use super::calls::no_such_call;
use super::problem::Problem;
use crate::b2bua::{
    Attempt, CallFound, CallPage, CdrTransfer, LadderMessage, LegPage, NamedTimer, ReportedLeg, RoutePage,
    Trying,
};
use crate::base::Instant;
use crate::media::{LiveMedia, MediaSessionId, Side};
use crate::runtime::Clock;
use crate::runtime::driver::Command;
use crate::telemetry::rfc3339::utc_millis;

/// The relay says how a session is within so long, or the page does without.
const RELAY_PATIENCE: Duration = Duration::from_millis(300);

#[derive(Serialize, JsonSchema)]
pub(super) struct CallPageBody {
    id: String,
    /// `active` or `ended`.
    state: &'static str,
    /// `setup`, `ringing`, `answered`, `ending` or `ended`.
    phase: &'static str,
    from: String,
    to: String,
    from_e164: Option<String>,
    to_e164: Option<String>,
    emergency: bool,
    start: String,
    ring: Option<String>,
    answer: Option<String>,
    end: Option<String>,
    /// Since the start; of one that ended, from its start to its end.
    seconds: u64,
    ingress: CallLegBody,
    /// Absent before a target is tried.
    egress: Option<CallLegBody>,
    /// Absent where none was looked for, or none matched.
    route: Option<RouteBody>,
    /// Of one that ended: the final status that the caller got, `answered`, `failed`, `cancelled` or `rejected`,
    /// who ended it, and why.
    status: Option<u16>,
    outcome: Option<&'static str>,
    ended_by: Option<&'static str>,
    cause: Option<String>,
    codec: Option<String>,
    transfers: Vec<TransferBody>,
    /// What is waited for, the next first.
    timers: Vec<TimerBody>,
    /// Absent where there is none, or the relay did not say in time.
    media: Option<MediaBody>,
    /// The sessions of parties that transfers brought in: `a_to_b` is from the outside of `media` inwards or
    /// the reverse.
    joined_media: Vec<MediaBody>,
    /// The oldest first.
    messages: Vec<MessageBody>,
    /// So many were not kept.
    messages_dropped: u64,
    /// They are missing after so many of `messages`; null: none is.
    messages_gap_after: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct CallLegBody {
    realm: &'static str,
    trunk: Option<String>,
    remote: String,
    transport: &'static str,
    /// `host:port` of ours, as the peer is told it.
    local: String,
    call_id: String,
    local_tag: String,
    remote_tag: Option<String>,
    remote_target: Option<String>,
    route_set: usize,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    session_timer: Option<SessionTimerBody>,
    /// Whether its party has put the call on hold.
    holding: bool,
}

#[derive(Serialize, JsonSchema)]
struct SessionTimerBody {
    seconds: u64,
    /// `us` or `peer`.
    refresher: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct RouteBody {
    name: String,
    /// Its source, and its pattern of numbers if it has any.
    matched: String,
    /// Every target so far; one without a status is being tried.
    tried: Vec<AttemptBody>,
    /// Trunks that would be tried next.
    waiting: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct AttemptBody {
    trunk: String,
    /// Null where DNS knew none.
    target: Option<String>,
    /// A code, `timeout`, `transport`, `dns` or `cancelled`; null: it has not answered.
    status: Option<AttemptStatus>,
    ms: u64,
    /// From our INVITE until it rang there; null: it did not, or not yet.
    rang_ms: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum AttemptStatus {
    Code(u16),
    Word(&'static str),
}

#[derive(Serialize, JsonSchema)]
struct TransferBody {
    by: &'static str,
    to: String,
    status: u16,
}

#[derive(Serialize, JsonSchema)]
struct TimerBody {
    name: &'static str,
    leg: Option<&'static str>,
    at: String,
}

#[derive(Serialize, JsonSchema)]
struct MessageBody {
    at: String,
    leg: &'static str,
    direction: &'static str,
    peer: String,
    transport: &'static str,
    realm: &'static str,
    /// `INVITE sip:…` or `180 Ringing`.
    line: String,
    cseq: String,
    has_sdp: bool,
    is_retransmission: bool,
}

pub(super) async fn one(
    State(view): State<View>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<CallPageBody>, Problem> {
    let Path(id) = id?;
    let found = view.ask(|answer| Command::Call(id.clone(), answer)).await;
    let page = match found.ok_or_else(Problem::unresponsive)? {
        CallFound::One(page) => page,
        CallFound::Several(ids) => return Err(several_calls(&id, &ids)),
        CallFound::None => return Err(no_such_call(&id)),
    };
    let mut live = Vec::new();
    for session in &page.media_sessions {
        // A relay that does not answer is asked once.
        let Some(media) = ask_relay(&view, *session).await else { break };
        live.extend(media);
    }
    Ok(Json(CallPageBody::of(&page, &live, view.clock)))
}

/// `None`: it did not answer in time.
async fn ask_relay(view: &View, session: MediaSessionId) -> Option<Option<LiveMedia>> {
    let (answer, answered) = oneshot::channel();
    view.commands.try_send(Command::Media(session, answer)).ok()?;
    let live = tokio::time::timeout(RELAY_PATIENCE, answered).await.ok()?.ok()?;
    Some(live.map(|live| *live))
}

fn several_calls(id: &str, ids: &[String]) -> Problem {
    let id: String = id.chars().take(80).collect();
    Problem::new(
        StatusCode::CONFLICT,
        format!("several calls begin with \"{id}\""),
        format!("write more of it: {}", ids.join(", ")),
    )
}

/// The leg of a side.
const fn leg_name(side: Side) -> &'static str {
    match side {
        Side::A => "ingress",
        Side::B => "egress",
    }
}

impl CallPageBody {
    fn of(page: &CallPage, live: &[LiveMedia], clock: Clock) -> CallPageBody {
        let time = |at: Instant| utc_millis(clock.time_of_day(at));
        let (report, end) = (&page.report, page.end.as_ref());
        let now = end.map_or_else(|| clock.now(), |end| end.at);
        let measured = end.and_then(|end| end.media.as_ref()).map(|media| MediaBody::at_the_end(media, time));
        let mut live = live.iter().map(|live| MediaBody::live(live, time));
        let (messages, dropped) = (&page.ladder.messages, page.ladder.dropped);
        CallPageBody {
            id: report.id.clone(),
            state: if end.is_some() { "ended" } else { "active" },
            phase: if end.is_some() { "ended" } else { report.phase.as_str() },
            from: report.from.clone(),
            to: report.to.clone(),
            from_e164: page.from_e164.clone(),
            to_e164: page.to_e164.clone(),
            emergency: report.is_emergency,
            start: time(report.start),
            ring: page.ring.map(time),
            answer: report.answer.map(time),
            end: end.map(|end| time(end.at)),
            seconds: now.since(report.start).as_secs(),
            ingress: CallLegBody::of(&report.ingress, &page.ingress),
            egress: report
                .egress
                .as_ref()
                .zip(page.egress.as_ref())
                .map(|(leg, more)| CallLegBody::of(leg, more)),
            route: page.route.as_ref().map(|route| RouteBody::of(route, page, clock.now())),
            status: end.map(|end| end.status),
            outcome: end.map(|end| end.outcome.as_str()),
            ended_by: end.map(|end| end.by.as_str()),
            cause: end.map(|end| end.cause.clone()),
            codec: page.codec.clone(),
            transfers: page.transfers.iter().map(TransferBody::of).collect(),
            timers: page.timers.iter().map(|timer| TimerBody::of(timer, time)).collect(),
            media: measured.or_else(|| live.next()),
            joined_media: live.collect(),
            messages: messages.iter().map(|message| MessageBody::of(message, time)).collect(),
            messages_dropped: dropped,
            messages_gap_after: (dropped > 0).then_some(page.ladder.gap_after),
        }
    }
}

impl CallLegBody {
    fn of(leg: &ReportedLeg, more: &LegPage) -> CallLegBody {
        CallLegBody {
            realm: leg.realm.as_str(),
            trunk: leg.trunk.as_ref().map(|trunk| trunk.as_str().to_owned()),
            remote: more.remote.to_string(),
            transport: more.transport.as_str(),
            local: more.local.clone(),
            call_id: more.call_id.clone(),
            local_tag: more.local_tag.clone(),
            remote_tag: more.remote_tag.clone(),
            remote_target: more.remote_target.clone(),
            route_set: more.route_set,
            local_cseq: more.local_sequence,
            remote_cseq: more.remote_sequence,
            session_timer: more.session_timer.map(|(length, is_ours)| SessionTimerBody {
                seconds: length.as_secs(),
                refresher: if is_ours { "us" } else { "peer" },
            }),
            holding: more.is_holding,
        }
    }
}

impl RouteBody {
    fn of(route: &RoutePage, page: &CallPage, now: Instant) -> RouteBody {
        let tried = page.attempts.iter().map(AttemptBody::of);
        let trying = page.trying.iter().map(|trying| AttemptBody::trying(trying, now));
        RouteBody {
            name: route.name.clone(),
            matched: route.matched.clone(),
            tried: tried.chain(trying).collect(),
            waiting: route.waiting.iter().map(|trunk| trunk.as_str().to_owned()).collect(),
        }
    }
}

impl AttemptBody {
    fn of(attempt: &Attempt) -> AttemptBody {
        let status = match attempt.result.code() {
            Ok(code) => AttemptStatus::Code(code),
            Err(word) => AttemptStatus::Word(word),
        };
        AttemptBody {
            trunk: attempt.trunk.as_str().to_owned(),
            target: attempt.target.map(|target| target.to_string()),
            status: Some(status),
            ms: attempt.millis,
            rang_ms: attempt.rang_after.map(millis),
        }
    }

    fn trying(trying: &Trying, now: Instant) -> AttemptBody {
        AttemptBody {
            trunk: trying.trunk.as_str().to_owned(),
            target: Some(trying.target.to_string()),
            status: None,
            ms: millis(now.since(trying.since)),
            rang_ms: trying.rang_after.map(millis),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl TransferBody {
    fn of(transfer: &CdrTransfer) -> TransferBody {
        TransferBody { by: transfer.by.as_str(), to: transfer.to.clone(), status: transfer.status }
    }
}

impl TimerBody {
    fn of(timer: &NamedTimer, time: impl Fn(Instant) -> String) -> TimerBody {
        TimerBody { name: timer.name, leg: timer.leg.map(leg_name), at: time(timer.at) }
    }
}

impl MessageBody {
    fn of(message: &LadderMessage, time: impl Fn(Instant) -> String) -> MessageBody {
        MessageBody {
            at: time(message.at),
            leg: leg_name(message.leg),
            direction: message.direction.as_str(),
            peer: message.peer.to_string(),
            transport: message.transport.as_str(),
            realm: message.realm.as_str(),
            line: message.line(),
            cseq: format!("{} {}", message.sequence, message.method),
            has_sdp: message.has_sdp,
            is_retransmission: message.is_retransmission,
        }
    }
}

#[cfg(test)]
mod tests;
