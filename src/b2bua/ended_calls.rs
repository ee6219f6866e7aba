//! The calls that ended lately: what can be told of them, for whoever comes to ask a little later.
//!
//! Must not know: how a call ends.

use std::collections::VecDeque;
use std::time::Duration;

use super::call_page::{CallEnd, CallPage};
use super::cdr::Cdr;
use super::engine::Engine;
use super::ladder::LadderKey;
use crate::base::Instant;

/// So many of them.
pub(super) const ENDED_KEPT: usize = 300;

/// For so long.
pub(super) const ENDED_KEPT_FOR: Duration = Duration::from_secs(600);

/// What is kept of calls that are over, the oldest first.
#[derive(Debug, Default)]
pub(super) struct EndedCalls(VecDeque<EndedCall>);

#[derive(Debug)]
struct EndedCall {
    /// Without what was said.
    page: CallPage,
    ladder: LadderKey,
    /// When it is forgotten.
    until: Instant,
}

impl EndedCalls {
    /// What is known of the one of this `id`.
    pub(super) fn find(&self, now: Instant, id: &str) -> Option<(&CallPage, LadderKey)> {
        let found = self.known(now).find(|ended| ended.page.report.id == id)?;
        Some((&found.page, found.ladder))
    }

    /// The `id`s of all.
    pub(super) fn ids(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.known(now).map(|ended| ended.page.report.id.as_str())
    }

    fn known(&self, now: Instant) -> impl Iterator<Item = &EndedCall> {
        self.0.iter().rev().filter(move |ended| ended.until > now)
    }

    /// The oldest, if its time is over or there are too many.
    fn pop_superfluous(&mut self, now: Instant) -> Option<LadderKey> {
        let is_superfluous =
            self.0.len() > ENDED_KEPT || self.0.front().is_some_and(|ended| ended.until <= now);
        let ended = if is_superfluous { self.0.pop_front() } else { None };
        ended.map(|ended| ended.ladder)
    }
}

impl Engine {
    /// A call is over: keeps what is known of it, and what is still to be said in it.
    pub(super) fn keep_ended(&mut self, page: CallPage, ladder: LadderKey, record: &Cdr) {
        let page = CallPage {
            timers: Vec::new(),
            media_sessions: Vec::new(),
            end: Some(CallEnd::of(record)),
            ..page
        };
        self.ladders.end(ladder);
        self.ended.0.push_back(EndedCall { page, ladder, until: record.end + ENDED_KEPT_FOR });
        self.forget_ended_calls(record.end);
    }

    /// Forgets those that are too many or too old.
    pub(super) fn forget_ended_calls(&mut self, now: Instant) {
        while let Some(ladder) = self.ended.pop_superfluous(now) {
            self.ladders.forget(ladder);
        }
    }
}
