//! What was done and found, as data: the page and the JSON are made of it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::place::Place;

/// What a step was about. The names are stable: machines read them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    Configuration,
    Dns,
    Connect,
    Tls,
    Options,
    Address,
    Authentication,
}

impl Name {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Name::Configuration => "configuration",
            Name::Dns => "dns",
            Name::Connect => "connect",
            Name::Tls => "tls",
            Name::Options => "options",
            Name::Address => "address",
            Name::Authentication => "authentication",
        }
    }
}

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Mark {
    /// Not done, for something before it failed, or there was nothing to do.
    Skipped,
    Passed,
    /// It works, and something should be looked at all the same.
    Warned,
    Failed,
}

impl Mark {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Mark::Skipped => "skipped",
            Mark::Passed => "passed",
            Mark::Warned => "warned",
            Mark::Failed => "failed",
        }
    }
}

/// One line, and what to do about it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Step {
    pub(super) name: Name,
    pub(super) mark: Mark,
    pub(super) what: String,
    pub(super) took: Option<Duration>,
    /// What to do, on which side, with what to type: a line each.
    pub(super) hints: Vec<String>,
    /// The same for machines; null where the text is all.
    pub(super) detail: Value,
}

impl Step {
    pub(super) fn new(name: Name, mark: Mark, what: impl Into<String>) -> Step {
        Step { name, mark, what: what.into(), took: None, hints: Vec::new(), detail: Value::Null }
    }

    pub(super) fn passed(name: Name, what: impl Into<String>) -> Step {
        Step::new(name, Mark::Passed, what)
    }

    pub(super) fn failed(name: Name, what: impl Into<String>) -> Step {
        Step::new(name, Mark::Failed, what)
    }

    pub(super) fn skipped(name: Name, why: impl Into<String>) -> Step {
        Step::new(name, Mark::Skipped, why)
    }

    pub(super) fn in_time(self, took: Duration) -> Step {
        Step { took: Some(took), ..self }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Step {
        self.hints.push(hint.into());
        self
    }

    pub(super) fn hints(mut self, hints: impl IntoIterator<Item = String>) -> Step {
        self.hints.extend(hints);
        self
    }

    /// It passes, but not without a remark.
    pub(super) fn warn(mut self, hint: impl Into<String>) -> Step {
        self.mark = self.mark.max(Mark::Warned);
        self.hint(hint)
    }

    pub(super) fn with(self, detail: Value) -> Step {
        Step { detail, ..self }
    }
}

/// What was found at one address.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct TargetReport {
    pub(super) place: Place,
    /// Where it was tested from.
    pub(super) from: Option<SocketAddr>,
    pub(super) steps: Vec<Step>,
}

impl TargetReport {
    /// How a step ended; `None`: it was not reached.
    pub(super) fn mark_of(&self, name: Name) -> Option<Mark> {
        self.steps.iter().find(|step| step.name == name).map(|step| step.mark)
    }

    /// Whether it was reached and is alive.
    pub(super) fn answers(&self) -> bool {
        self.mark_of(Name::Options).is_some_and(|mark| matches!(mark, Mark::Passed | Mark::Warned))
    }

    /// Whether the daemon could send there at all.
    fn is_used(&self) -> bool {
        self.mark_of(Name::Connect) != Some(Mark::Skipped)
    }

    fn has_failed(&self) -> bool {
        self.steps.iter().any(|step| step.mark == Mark::Failed)
    }
}

/// Everything that was done for one trunk.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Report {
    pub(super) trunk: String,
    /// Configuration and DNS.
    pub(super) before: Vec<Step>,
    /// In the order in which calls would try them.
    pub(super) targets: Vec<TargetReport>,
    pub(super) took: Duration,
}

impl Report {
    /// Whether nothing failed.
    pub(super) fn has_passed(&self) -> bool {
        let before = self.before.iter().all(|step| step.mark != Mark::Failed);
        let is_there = self.targets.iter().any(TargetReport::is_used);
        before && is_there && !self.targets.iter().any(TargetReport::has_failed)
    }

    /// What all of it comes to, in a line.
    pub(super) fn summary(&self) -> String {
        let all = self.targets.iter().filter(|target| target.is_used()).count();
        let answering = self.targets.iter().filter(|target| target.answers()).count();
        let judged: Vec<Mark> =
            self.targets.iter().filter_map(|target| target.mark_of(Name::Authentication)).collect();
        let refused = judged.contains(&Mark::Failed);
        let known = self.targets.iter().filter(|target| target.is_authenticated()).count();
        let targets = if all == 1 { "target" } else { "targets" };
        let verb = if answering == 1 { "answers" } else { "answer" };
        match (all, answering) {
            (0, _) => "there is no target: calls over this trunk fail".to_owned(),
            (1, 0) => "the target does not answer as it should: calls over this trunk fail".to_owned(),
            (_, 0) => format!("none of {all} targets answers as it should: calls over this trunk fail"),
            _ if refused => {
                format!("{answering} of {all} {targets} {verb}, but authentication fails: so will calls")
            }
            _ => {
                let authenticated = match known {
                    0 => String::new(),
                    known if known == answering => ", authenticated".to_owned(),
                    known => format!(", {known} authenticated"),
                };
                let rest = if answering < all { "; calls go to those that do" } else { "" };
                format!("{answering} of {all} {targets} {verb}{authenticated}{rest}")
            }
        }
    }
}

impl TargetReport {
    /// Whether our digest was asked for and taken.
    fn is_authenticated(&self) -> bool {
        let step = self.steps.iter().find(|step| step.name == Name::Authentication);
        step.is_some_and(|step| step.mark == Mark::Passed && step.detail["digest"] == "accepted")
    }
}
