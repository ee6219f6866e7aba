//! How the records are, for `status` and the metrics: counted by the threads of records, read by others.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::telemetry::Metrics;

/// What became of records.
#[derive(Debug)]
pub struct CdrState {
    metrics: Arc<Metrics>,
    written: AtomicU64,
    lost: AtomicU64,
    recovered: AtomicU64,
    waiting: AtomicU64,
    fault: Mutex<Option<String>>,
    posts: [AtomicU64; PostResult::ALL.len()],
    spooled: AtomicU64,
    spool_bytes: AtomicU64,
    post_fault: Mutex<Option<String>>,
}

/// What became of the copy of a record; a label value of `drawbridge_cdr_posts_total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::telemetry) enum PostResult {
    /// The server has it.
    Sent,
    /// The server did not take it, or was not there; it is tried again.
    Retried,
    /// The server refused it for what it is.
    Refused,
    /// The spool was full, or its disk.
    Dropped,
}

impl PostResult {
    pub(in crate::telemetry) const ALL: [PostResult; 4] =
        [PostResult::Sent, PostResult::Retried, PostResult::Refused, PostResult::Dropped];

    pub(in crate::telemetry) const fn as_str(self) -> &'static str {
        match self {
            PostResult::Sent => "sent",
            PostResult::Retried => "retried",
            PostResult::Refused => "refused",
            PostResult::Dropped => "dropped",
        }
    }
}

/// A look at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CdrReport {
    /// Records that are in the file.
    pub written: u64,
    /// Records that are nowhere.
    pub lost: u64,
    /// Of those written: calls that a former run had left open.
    pub recovered: u64,
    /// Records that wait for a disk that does not take them.
    pub waiting: u64,
    /// Why.
    pub fault: Option<String>,
    /// Copies that were taken, and those that were dropped or refused.
    pub sent: u64,
    /// As above.
    pub dropped: u64,
    /// Copies in the spool.
    pub spooled: u64,
    /// Their bytes.
    pub spool_bytes: u64,
    /// Why they are still there.
    pub post_fault: Option<String>,
}

impl CdrState {
    pub(super) fn new(metrics: Arc<Metrics>) -> CdrState {
        CdrState {
            metrics,
            written: AtomicU64::default(),
            lost: AtomicU64::default(),
            recovered: AtomicU64::default(),
            waiting: AtomicU64::default(),
            fault: Mutex::default(),
            posts: Default::default(),
            spooled: AtomicU64::default(),
            spool_bytes: AtomicU64::default(),
            post_fault: Mutex::default(),
        }
    }

    /// How it is now.
    pub fn report(&self) -> CdrReport {
        let text =
            |fault: &Mutex<Option<String>>| fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let posts = |result: PostResult| self.posts[result as usize].load(Relaxed);
        CdrReport {
            written: self.written.load(Relaxed),
            lost: self.lost.load(Relaxed),
            recovered: self.recovered.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            fault: text(&self.fault),
            sent: posts(PostResult::Sent),
            dropped: posts(PostResult::Dropped) + posts(PostResult::Refused),
            spooled: self.spooled.load(Relaxed),
            spool_bytes: self.spool_bytes.load(Relaxed),
            post_fault: text(&self.post_fault),
        }
    }

    pub(super) fn count_written(&self) {
        self.written.fetch_add(1, Relaxed);
        self.metrics.count_cdr(true);
    }

    pub(super) fn count_lost(&self) {
        self.lost.fetch_add(1, Relaxed);
        self.metrics.count_cdr(false);
    }

    pub(super) fn count_recovered(&self) {
        self.recovered.fetch_add(1, Relaxed);
        self.metrics.count_cdr_recovered();
    }

    pub(super) fn set_waiting(&self, waiting: usize) {
        self.waiting.store(waiting as u64, Relaxed);
        self.metrics.set_cdrs_waiting(waiting);
    }

    pub(super) fn set_fault(&self, fault: Option<String>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(super) fn count_posts(&self, result: PostResult, records: u64) {
        self.posts[result as usize].fetch_add(records, Relaxed);
        self.metrics.count_cdr_posts(result, records);
    }

    pub(super) fn set_spool(&self, records: u64, bytes: u64) {
        self.spooled.store(records, Relaxed);
        self.spool_bytes.store(bytes, Relaxed);
        self.metrics.set_cdr_spool(records, bytes);
    }

    pub(super) fn set_post_fault(&self, fault: Option<String>) {
        *self.post_fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
