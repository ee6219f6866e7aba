//! What operators see of the trunks: one value that says how each is, made when somebody asks.
//!
//! Must not know: who asks, and how it is shown.

use std::net::SocketAddr;
use std::time::Duration;

use super::{
    BreakerState, HostReport, Limits, RegistrationReport, Router, Switched, TallyReport, Target,
    TargetHealth, Trunk,
};
use crate::base::{Instant, Realm, Transport, TrunkName};

/// One trunk at the moment.
#[derive(Clone, Debug)]
pub struct TrunkReport {
    /// `[trunk.NAME]`.
    pub name: TrunkName,
    /// The side on which it is.
    pub realm: Realm,
    /// `enabled` of the configuration.
    pub configured: bool,
    /// What an operator said since, where it differs.
    pub switched: Option<Switched>,
    /// Every place that a request may be sent to, in the order of the configuration.
    pub targets: Vec<TargetReport>,
    /// Every name of the trunk.
    pub dns: Vec<HostReport>,
    /// Every registration of ours there; empty if none is wanted.
    pub registrations: Vec<RegistrationReport>,
    /// Calls in progress, of both directions.
    pub calls: u32,
    /// How much may go over it.
    pub limits: Limits,
    /// How the attempts to call there went.
    pub attempts: TallyReport,
}

impl TrunkReport {
    /// Whether new calls may go over it.
    pub fn is_enabled(&self) -> bool {
        self.switched.map_or(self.configured, |switched| switched.enabled)
    }

    /// How it is, in a word.
    pub fn state(&self) -> TrunkState {
        let is_full = self.limits.calls.is_some_and(|limit| self.calls >= limit);
        match () {
            () if !self.is_enabled() => TrunkState::Disabled,
            () if self.targets.is_empty() => TrunkState::Unresolved,
            () if self.targets.iter().all(|target| target.state == TargetState::Down) => TrunkState::Down,
            () if self.attempts.refused.is_some() => TrunkState::Unauthorized,
            () if is_full => TrunkState::Full,
            () if !self.targets.iter().any(TargetReport::is_known_to_be_up) => TrunkState::New,
            () => TrunkState::Up,
        }
    }
}

/// How a trunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrunkState {
    /// By the configuration or by an operator: no new call goes over it.
    Disabled,
    /// No name of it has an address.
    Unresolved,
    /// Each of its targets is down.
    Down,
    /// It asks for credentials and takes none of ours.
    Unauthorized,
    /// It has as many calls as it may.
    Full,
    /// It takes calls, as far as anybody knows: it was neither asked nor called yet.
    New,
    /// It takes calls.
    Up,
}

impl TrunkState {
    /// For people and for machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            TrunkState::Disabled => "disabled",
            TrunkState::Unresolved => "unresolved",
            TrunkState::Down => "down",
            TrunkState::Unauthorized => "unauthorized",
            TrunkState::Full => "full",
            TrunkState::New => "new",
            TrunkState::Up => "up",
        }
    }
}

/// One target at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetReport {
    /// The host as it is configured.
    pub host: String,
    /// Where requests are sent.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
    /// Whether calls are sent there.
    pub state: TargetState,
    /// When it became so; `None`: it never was otherwise.
    pub since: Option<Instant>,
    /// What failed last, and when.
    pub last_failure: Option<(Instant, String)>,
    /// How long the last OPTIONS took to be answered; `None`: it was not.
    pub latency: Option<Duration>,
    /// What failed last did so often in a row, and how often it may before the target is down; `None`: the
    /// last did not fail, or the target is down.
    pub failing: Option<(u32, u32)>,
}

impl TargetReport {
    fn is_known_to_be_up(&self) -> bool {
        matches!(self.state, TargetState::Up | TargetState::Returning)
    }
}

/// Whether calls are sent to a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TargetState {
    /// It was neither asked nor called yet; calls are sent there.
    #[default]
    New,
    /// Nothing is known against it.
    Up,
    /// It was down and is let in gradually.
    Returning,
    /// It is passed over.
    Down,
}

impl TargetState {
    /// For people and for machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            TargetState::New => "new",
            TargetState::Up => "up",
            TargetState::Returning => "returning",
            TargetState::Down => "down",
        }
    }
}

impl Router {
    /// How every configured trunk is at the moment, in the order of the configuration.
    pub fn report(&self, now: Instant) -> Vec<TrunkReport> {
        self.settings().trunks.iter().map(|trunk| self.report_trunk(trunk, now)).collect()
    }

    fn report_target(&self, target: Target, now: Instant) -> TargetReport {
        let health = self.health_of(now, &target.key());
        let state = match health {
            Some(health) if !health.up => TargetState::Down,
            Some(TargetHealth { breaker: BreakerState::Recovering | BreakerState::HalfOpen, .. }) => {
                TargetState::Returning
            }
            Some(TargetHealth { known: true, .. }) => TargetState::Up,
            Some(_) | None => TargetState::New,
        };
        let failure = health.and_then(|health| health.last_failure);
        TargetReport {
            host: target.host,
            address: target.address,
            transport: target.transport,
            state,
            since: health.filter(|_| failure.is_some()).map(|health| health.since),
            last_failure: failure.map(|(at, failure)| (at, failure.to_string())),
            latency: health.and_then(|health| health.latency),
            failing: health.and_then(|health| health.failing),
        }
    }

    fn report_trunk(&self, trunk: &Trunk, now: Instant) -> TrunkReport {
        let targets = self.all_targets(&trunk.name).into_iter();
        let targets = targets.map(|target| self.report_target(target, now));
        TrunkReport {
            name: trunk.name.clone(),
            realm: trunk.realm,
            configured: trunk.enabled,
            switched: self.switched(&trunk.name),
            targets: targets.collect(),
            dns: self.hosts_of(trunk, now),
            registrations: self.registrations_of(&trunk.name).to_vec(),
            calls: self.calls_of(&trunk.name),
            limits: trunk.limits,
            attempts: self.tallies.report(now, &trunk.name),
        }
    }
}
