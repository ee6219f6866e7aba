//! A call detail record as it is written: one JSON object. The field set is part of the outside contract:
//! fields are added, never renamed.
//!
//! It can be read back, for records that a former run of the program has left behind.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::b2bua::{Attempt, Cdr, CdrLeg, CdrTransfer};
use crate::base::{Instant, TrunkName};
use crate::media::{DirectionReport, PeerReport};
use crate::runtime::Clock;
use crate::telemetry::rfc3339::utc_millis;

/// A line as it is written. The order of the fields is the order in the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Record<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) start: String,
    pub(super) ring: Option<String>,
    pub(super) answer: Option<String>,
    pub(super) end: String,
    /// From the answer to the end; 0 for a call that was not answered.
    pub(super) duration_ms: u64,
    pub(super) from: Cow<'a, str>,
    pub(super) to: Cow<'a, str>,
    pub(super) from_e164: Option<Cow<'a, str>>,
    pub(super) to_e164: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redirected_to: Option<Cow<'a, str>>,
    pub(super) ingress: LegRecord<'a>,
    pub(super) egress: Option<LegRecord<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) transfers: Vec<TransferRecord<'a>>,
    pub(super) attempts: Vec<AttemptRecord<'a>>,
    pub(super) status: u16,
    pub(super) ended_by: Cow<'a, str>,
    pub(super) cause: Cow<'a, str>,
    pub(super) codec: Option<Cow<'a, str>>,
    pub(super) media: Option<MediaRecord>,
}

impl<'a> Record<'a> {
    pub(super) fn new(cdr: &'a Cdr, clock: &Clock) -> Record<'a> {
        let time = |at: Instant| utc_millis(clock.time_of_day(at));
        let duration = cdr.answer.map(|answer| cdr.end.since(answer)).unwrap_or_default();
        Record {
            id: Cow::Borrowed(&cdr.id),
            start: time(cdr.start),
            ring: cdr.ring.map(time),
            answer: cdr.answer.map(time),
            end: time(cdr.end),
            duration_ms: millis(duration),
            from: Cow::Borrowed(&cdr.from),
            to: Cow::Borrowed(&cdr.to),
            from_e164: cdr.from_e164.as_deref().map(Cow::Borrowed),
            to_e164: cdr.to_e164.as_deref().map(Cow::Borrowed),
            redirected_to: cdr.redirected_to.as_deref().map(Cow::Borrowed),
            ingress: LegRecord::from(&cdr.ingress),
            egress: cdr.egress.as_ref().map(LegRecord::from),
            transfers: cdr.transfers.iter().map(TransferRecord::from).collect(),
            attempts: cdr.attempts.iter().map(AttemptRecord::from).collect(),
            status: cdr.status,
            ended_by: Cow::Borrowed(cdr.ended_by.as_str()),
            cause: Cow::Borrowed(&cdr.cause),
            codec: cdr.codec.as_deref().map(Cow::Borrowed),
            media: cdr.media.as_ref().map(|media| MediaRecord {
                from_caller: DirectionRecord::from(&media.from_a),
                from_callee: DirectionRecord::from(&media.from_b),
            }),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct LegRecord<'a> {
    realm: Cow<'a, str>,
    trunk: Option<Cow<'a, str>>,
    remote: SocketAddr,
    call_id: Cow<'a, str>,
}

impl<'a> From<&'a CdrLeg> for LegRecord<'a> {
    fn from(leg: &'a CdrLeg) -> Self {
        LegRecord {
            realm: Cow::Borrowed(leg.realm.as_str()),
            trunk: leg.trunk.as_ref().map(TrunkName::as_str).map(Cow::Borrowed),
            remote: leg.remote,
            call_id: Cow::Borrowed(&leg.call_id),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct TransferRecord<'a> {
    by: Cow<'a, str>,
    to: Cow<'a, str>,
    status: u16,
}

impl<'a> From<&'a CdrTransfer> for TransferRecord<'a> {
    fn from(transfer: &'a CdrTransfer) -> Self {
        TransferRecord {
            by: Cow::Borrowed(transfer.by.as_str()),
            to: Cow::Borrowed(&transfer.to),
            status: transfer.status,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AttemptRecord<'a> {
    trunk: Cow<'a, str>,
    /// Null where DNS knew none.
    target: Option<SocketAddr>,
    status: AttemptStatus<'a>,
    ms: u64,
    /// From our INVITE until it rang there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rang_ms: Option<u64>,
}

/// A status code, or `"timeout"`, `"transport"`, `"dns"`, `"cancelled"`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum AttemptStatus<'a> {
    Code(u16),
    Word(Cow<'a, str>),
}

impl<'a> From<&'a Attempt> for AttemptRecord<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let status = match attempt.result.code() {
            Ok(code) => AttemptStatus::Code(code),
            Err(word) => AttemptStatus::Word(Cow::Borrowed(word)),
        };
        AttemptRecord {
            trunk: Cow::Borrowed(attempt.trunk.as_str()),
            target: attempt.target,
            status,
            ms: attempt.millis,
            rang_ms: attempt.rang_after.map(millis),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct MediaRecord {
    from_caller: DirectionRecord,
    from_callee: DirectionRecord,
}

#[derive(Serialize, Deserialize)]
struct DirectionRecord {
    packets: u64,
    bytes: u64,
    lost: u64,
    jitter_ms: f64,
    mos: Option<f64>,
    reordered: u64,
    duplicates: u64,
    jitter_max_ms: f64,
    ssrc_changes: u64,
    restarts: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence_step: Option<i16>,
    dropped: u64,
    one_way_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rtcp: Option<PeerRecord>,
}

impl From<&DirectionReport> for DirectionRecord {
    fn from(report: &DirectionReport) -> Self {
        DirectionRecord {
            packets: report.packets,
            bytes: report.bytes,
            lost: report.lost,
            jitter_ms: hundredths(report.jitter_ms),
            mos: report.mos.map(hundredths),
            reordered: report.reordered,
            duplicates: report.duplicates,
            jitter_max_ms: hundredths(report.jitter_max_ms),
            ssrc_changes: report.ssrc_changes,
            restarts: report.restarts,
            sequence_step: report.sequence_step,
            dropped: report.dropped,
            one_way_ms: millis(report.one_way),
            rtcp: report.rtcp.as_ref().map(PeerRecord::from),
        }
    }
}

/// What the peer that a direction goes to said by RTCP.
#[derive(Serialize, Deserialize)]
struct PeerRecord {
    lost: u64,
    loss: f64,
    jitter_ms: f64,
    rtt_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    discarded: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mos: Option<f64>,
}

impl From<&PeerReport> for PeerRecord {
    fn from(report: &PeerReport) -> Self {
        PeerRecord {
            lost: report.lost,
            loss: ten_thousandths(report.loss),
            jitter_ms: hundredths(report.jitter_ms),
            rtt_ms: report.round_trip_ms.map(hundredths),
            discarded: report.discarded.map(ten_thousandths),
            mos: report.mos.map(hundredths),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is estimated is not shown to the 15th digit.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A share, to a hundredth of a per cent.
fn ten_thousandths(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
