//! The sink of call detail records: one JSON object a line, appended by a thread of its own, so
//! that no disk ever holds up a call. The same thread logs the line of each call: neither does a
//! journal that is slow.
//!
//! The field set is part of the outside contract: fields are added, never renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde::Serialize;
use tokio::sync::oneshot;

use super::rfc3339::utc_millis;
use super::{Metrics, log};
use crate::b2bua::{Attempt, AttemptResult, Cdr, CdrLeg, CdrTransfer};
use crate::base::{Instant, TrunkName};
use crate::media::{DirectionReport, PeerReport};
use crate::runtime::Clock;

/// Records that may wait for the disk: at 100 calls a second, 40 s of a disk that hangs.
const WAITING_RECORDS: usize = 4_096;
/// Who called whom is not for everyone's eyes.
const FILE_MODE: u32 = 0o640;

/// The way to the writing thread. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct CdrSink {
    jobs: SyncSender<Job>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum Job {
    Write(Box<Cdr>),
    Reopen(Option<PathBuf>),
    /// Everything before this is on its way to the disk: end the thread.
    End,
}

impl CdrSink {
    /// Starts the thread. No path: records are taken and dropped. `ended` fires when everything before
    /// [`CdrSink::end`] has been handed to the system.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        path: Option<PathBuf>,
        clock: Clock,
        metrics: Arc<Metrics>,
        ended: oneshot::Sender<()>,
    ) -> io::Result<(CdrSink, JoinHandle<()>)> {
        let (jobs, waiting) = sync_channel(WAITING_RECORDS);
        let mut writer = Writer { path, file: None, failing: false, torn: false, clock };
        let counted = Arc::clone(&metrics);
        let thread = std::thread::Builder::new().name("cdr".to_owned()).spawn(move || {
            writer.run(&waiting, &counted);
            // Nobody may be waiting.
            let _ = ended.send(());
        })?;
        Ok((CdrSink { jobs, metrics }, thread))
    }

    /// Queues a record; never waits. A record that finds the queue full is lost and counted.
    pub fn write(&self, cdr: Box<Cdr>) {
        if self.jobs.try_send(Job::Write(cdr)).is_err() {
            self.metrics.count_cdr(false);
        }
    }

    /// Closes the file and opens this path anew (log rotation, or a new configuration).
    pub fn reopen(&self, path: Option<PathBuf>) {
        if self.jobs.try_send(Job::Reopen(path)).is_err() {
            tracing::error!("call detail records: the disk is too slow, the file was not reopened");
        }
    }

    /// Ends the thread once what is queued has been written.
    pub fn end(&self) {
        let _ = self.jobs.try_send(Job::End);
    }
}

/// The thread's side.
#[derive(Debug)]
struct Writer {
    path: Option<PathBuf>,
    /// Opened at the start, and again after a failure.
    file: Option<File>,
    /// The last record could not be written; said once, until one can.
    failing: bool,
    /// The last write stopped inside a line.
    torn: bool,
    clock: Clock,
}

impl Writer {
    fn run(&mut self, jobs: &Receiver<Job>, metrics: &Metrics) {
        self.try_open();
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Write(cdr) => {
                    log::call_ended(&cdr);
                    if let Some(path) = self.path.clone() {
                        metrics.count_cdr(self.write(&path, &cdr));
                    }
                }
                Job::Reopen(path) => {
                    self.path = path;
                    self.file = None;
                    self.torn = false;
                    self.try_open();
                }
                Job::End => return,
            }
        }
    }

    /// Finds out before the first call whether there is a place for records.
    fn try_open(&mut self) {
        let Some(path) = &self.path else { return };
        match open(path) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                tracing::error!(
                    path = %path.display(), %error,
                    "call detail records cannot be written (calls go on): make the directory, and let \
                     the user that runs Drawbridge write there, or change cdr.path"
                );
                self.failing = true;
            }
        }
    }

    /// Whether the record is in the file.
    fn write(&mut self, path: &Path, cdr: &Cdr) -> bool {
        match self.append(path, cdr) {
            Ok(()) => {
                if self.failing {
                    tracing::info!(path = %path.display(), "call detail records are written again");
                }
                self.failing = false;
                true
            }
            Err(error) => {
                if !self.failing {
                    tracing::error!(
                        path = %path.display(), %error,
                        "call detail records are lost (calls go on); see drawbridge_cdrs_total"
                    );
                }
                self.failing = true;
                self.file = None;
                false
            }
        }
    }

    fn append(&mut self, path: &Path, cdr: &Cdr) -> io::Result<()> {
        let mut line = Vec::with_capacity(1_024);
        if self.torn {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, &Record::new(cdr, &self.clock))?;
        line.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            closed => closed.insert(open(path)?),
        };
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path)
}

/// A line as it is written. The order of the fields is the order in the file.
#[derive(Serialize)]
struct Record<'a> {
    id: &'a str,
    start: String,
    ring: Option<String>,
    answer: Option<String>,
    end: String,
    /// From the answer to the end; 0 for a call that was not answered.
    duration_ms: u64,
    from: &'a str,
    to: &'a str,
    from_e164: Option<&'a str>,
    to_e164: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirected_to: Option<&'a str>,
    ingress: LegRecord<'a>,
    egress: Option<LegRecord<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transfers: Vec<TransferRecord<'a>>,
    attempts: Vec<AttemptRecord<'a>>,
    status: u16,
    ended_by: &'static str,
    cause: &'a str,
    codec: Option<&'a str>,
    media: Option<MediaRecord>,
}

impl<'a> Record<'a> {
    fn new(cdr: &'a Cdr, clock: &Clock) -> Record<'a> {
        let time = |at: Instant| utc_millis(clock.time_of_day(at));
        let duration = cdr.answer.map(|answer| cdr.end.since(answer)).unwrap_or_default();
        Record {
            id: &cdr.id,
            start: time(cdr.start),
            ring: cdr.ring.map(time),
            answer: cdr.answer.map(time),
            end: time(cdr.end),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            from: &cdr.from,
            to: &cdr.to,
            from_e164: cdr.from_e164.as_deref(),
            to_e164: cdr.to_e164.as_deref(),
            redirected_to: cdr.redirected_to.as_deref(),
            ingress: LegRecord::from(&cdr.ingress),
            egress: cdr.egress.as_ref().map(LegRecord::from),
            transfers: cdr.transfers.iter().map(TransferRecord::from).collect(),
            attempts: cdr.attempts.iter().map(AttemptRecord::from).collect(),
            status: cdr.status,
            ended_by: cdr.ended_by.as_str(),
            cause: &cdr.cause,
            codec: cdr.codec.as_deref(),
            media: cdr.media.as_ref().map(|media| MediaRecord {
                from_caller: DirectionRecord::from(&media.from_a),
                from_callee: DirectionRecord::from(&media.from_b),
            }),
        }
    }
}

#[derive(Serialize)]
struct LegRecord<'a> {
    realm: &'static str,
    trunk: Option<&'a str>,
    remote: SocketAddr,
    call_id: &'a str,
}

impl<'a> From<&'a CdrLeg> for LegRecord<'a> {
    fn from(leg: &'a CdrLeg) -> Self {
        LegRecord {
            realm: leg.realm.as_str(),
            trunk: leg.trunk.as_ref().map(TrunkName::as_str),
            remote: leg.remote,
            call_id: &leg.call_id,
        }
    }
}

#[derive(Serialize)]
struct TransferRecord<'a> {
    by: &'static str,
    to: &'a str,
    status: u16,
}

impl<'a> From<&'a CdrTransfer> for TransferRecord<'a> {
    fn from(transfer: &'a CdrTransfer) -> Self {
        TransferRecord { by: transfer.by.as_str(), to: &transfer.to, status: transfer.status }
    }
}

#[derive(Serialize)]
struct AttemptRecord<'a> {
    trunk: &'a str,
    /// Null where DNS knew none.
    target: Option<SocketAddr>,
    status: AttemptStatus,
    ms: u64,
}

/// A status code, or `"timeout"`, `"transport"`, `"dns"`, `"cancelled"`.
#[derive(Serialize)]
#[serde(untagged)]
enum AttemptStatus {
    Code(u16),
    Word(&'static str),
}

impl<'a> From<&'a Attempt> for AttemptRecord<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let status = match attempt.result {
            AttemptResult::Status(code) => AttemptStatus::Code(code),
            AttemptResult::Timeout => AttemptStatus::Word("timeout"),
            AttemptResult::Transport => AttemptStatus::Word("transport"),
            AttemptResult::Dns => AttemptStatus::Word("dns"),
            AttemptResult::Cancelled => AttemptStatus::Word("cancelled"),
        };
        AttemptRecord { trunk: attempt.trunk.as_str(), target: attempt.target, status, ms: attempt.millis }
    }
}

#[derive(Serialize)]
struct MediaRecord {
    from_caller: DirectionRecord,
    from_callee: DirectionRecord,
}

#[derive(Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_step: Option<i16>,
    dropped: u64,
    one_way_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
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
            one_way_ms: u64::try_from(report.one_way.as_millis()).unwrap_or(u64::MAX),
            rtcp: report.rtcp.as_ref().map(PeerRecord::from),
        }
    }
}

/// What the peer that a direction goes to said by RTCP.
#[derive(Serialize)]
struct PeerRecord {
    lost: u64,
    loss: f64,
    jitter_ms: f64,
    rtt_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// What is estimated is not shown to the 15th digit.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A share, to a hundredth of a per cent.
fn ten_thousandths(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests;
