//! What the driver counts with: the children of every trunk and realm looked up once and kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::Metrics;
use super::metrics::NO_TRUNK;
use crate::admission::DropReason;
use crate::b2bua::{AttemptResult, Cdr, CdrLeg, Event, Outcome};
use crate::base::{Realm, Transport, TrunkName};
use crate::media::DirectionReport;
use crate::transport::Unsent;

/// Owned by one driver; many may count into the same [`Metrics`].
#[derive(Debug)]
pub struct Meter {
    metrics: Arc<Metrics>,
    trunks: HashMap<TrunkName, TrunkMeter>,
    no_trunk: TrunkMeter,
    realms: HashMap<Realm, RealmMeter>,
    /// By realm, transport, whether outgoing, and kind: all of fixed sets.
    messages: HashMap<(Realm, Transport, bool, &'static str), IntCounter>,
}

impl Meter {
    /// A meter whose trunk labels are these names; every other counts as `-`.
    pub fn new<'a>(metrics: Arc<Metrics>, trunks: impl IntoIterator<Item = &'a TrunkName>) -> Meter {
        let mut meter = Meter {
            no_trunk: TrunkMeter::new(&metrics, NO_TRUNK),
            realms: Realm::ALL.iter().map(|realm| (*realm, RealmMeter::new(&metrics, *realm))).collect(),
            trunks: HashMap::new(),
            messages: HashMap::new(),
            metrics,
        };
        meter.add_trunks(trunks);
        meter
    }

    /// Adds the trunks of a new configuration. Those that are gone keep their series until the
    /// process ends: calls in progress still count there, and a counter must not vanish.
    pub fn add_trunks<'a>(&mut self, trunks: impl IntoIterator<Item = &'a TrunkName>) {
        for trunk in trunks {
            if !self.trunks.contains_key(trunk) {
                self.trunks.insert(trunk.clone(), TrunkMeter::new(&self.metrics, trunk.as_str()));
            }
        }
    }

    /// Counts one event of the engine's.
    pub fn count(&mut self, event: &Event) {
        match event {
            Event::MessageIn { realm, transport, kind } => self.message(*realm, *transport, false, kind),
            Event::MessageOut { realm, transport, kind, retransmission } => {
                self.message(*realm, *transport, true, kind);
                if *retransmission && let Some(realm) = self.realms.get(realm) {
                    realm.retransmissions.inc();
                }
            }
            Event::Dropped { realm, reason } => self.dropped(*realm, *reason),
            Event::CancelLost { realm } => {
                if let Some(realm) = self.realms.get(realm) {
                    realm.cancels_lost.inc();
                }
            }
            Event::NotAuthenticated { .. } => {}
            Event::Registration { trunk, is_registered, .. } => {
                self.metrics.set_registered(trunk.as_str(), *is_registered);
            }
            Event::CallBegan { trunk, arrived } => {
                self.trunk(trunk.as_ref()).active.inc();
                self.metrics.history.call_began(self.known(trunk.as_ref()), *arrived);
            }
            Event::CallAnswered { trunk, rang_after, after } => {
                self.metrics.history.call_answered(self.known(trunk.as_ref()), *rang_after, *after);
            }
            Event::Health(change) => {
                self.metrics.show_health(change);
                self.metrics.history.health_changed(change);
            }
            Event::OneWay(told) => {
                let trunk = told.place.trunk.as_ref();
                self.trunk(trunk).one_way.inc();
                self.metrics.history.not_heard(self.known(trunk));
            }
            // Are logged, not counted: the records have the attempts.
            Event::SourceShared(_) | Event::Calls(_) => {}
            Event::CallEnded { trunk } => self.trunk(trunk.as_ref()).active.dec(),
        }
    }

    /// Counts a message that was not sent.
    pub fn count_unsent(&self, realm: Realm, why: Unsent) {
        self.metrics.unsent.with_label_values(&[realm.as_str(), unsent_reason(why)]).inc();
    }

    /// Counts a call that is over.
    pub fn count_call(&self, cdr: &Cdr) {
        let outcome = cdr.outcome();
        let heard = cdr.ring.or(cdr.answer).map(|at| at.since(cdr.start));
        let duration = cdr.answer.map(|answer| cdr.end.since(answer));
        let legs = [(Some(&cdr.ingress), "in"), (cdr.egress.as_ref(), "out")];
        for (leg, direction) in legs {
            let Some(leg) = leg else { continue };
            let name = self.label(leg);
            self.metrics.calls.with_label_values(&[name, direction, outcome.as_str()]).inc();
            observe(&self.trunk(leg.trunk.as_ref()).duration_seconds, duration);
        }
        observe(&self.trunk(cdr.ingress.trunk.as_ref()).setup_seconds, heard);
        for attempt in &cdr.attempts {
            observe(&self.trunk(Some(&attempt.trunk)).setup_seconds, attempt.setup());
            let name =
                if self.trunks.contains_key(&attempt.trunk) { attempt.trunk.as_str() } else { NO_TRUNK };
            self.metrics.attempts.with_label_values(&[name, code_label(attempt.result).as_ref()]).inc();
        }
        self.metrics.history.call_ended(cdr, |trunk| self.trunks.contains_key(trunk));
        let Some(media) = &cdr.media else { return };
        self.trunk(cdr.ingress.trunk.as_ref()).observe_media(&media.from_a);
        if let Some(egress) = &cdr.egress {
            self.trunk(egress.trunk.as_ref()).observe_media(&media.from_b);
        }
    }

    fn message(&mut self, realm: Realm, transport: Transport, out: bool, kind: &'static str) {
        let metrics = &self.metrics;
        self.messages
            .entry((realm, transport, out, kind))
            .or_insert_with(|| {
                let direction = if out { "out" } else { "in" };
                metrics.messages.with_label_values(&[realm.as_str(), transport.as_str(), direction, kind])
            })
            .inc();
    }

    fn dropped(&self, realm: Realm, reason: DropReason) {
        if let Some(counter) = self.realms.get(&realm).and_then(|realm| realm.dropped.get(&reason)) {
            counter.inc();
        }
    }

    fn trunk(&self, name: Option<&TrunkName>) -> &TrunkMeter {
        name.and_then(|name| self.trunks.get(name)).unwrap_or(&self.no_trunk)
    }

    fn known<'a>(&self, name: Option<&'a TrunkName>) -> Option<&'a TrunkName> {
        name.filter(|name| self.trunks.contains_key(*name))
    }

    fn label<'a>(&self, leg: &'a CdrLeg) -> &'a str {
        self.known(leg.trunk.as_ref()).map_or(NO_TRUNK, TrunkName::as_str)
    }
}

/// The children of one trunk.
#[derive(Debug)]
struct TrunkMeter {
    active: IntGauge,
    setup_seconds: Histogram,
    duration_seconds: Histogram,
    one_way: IntCounter,
    mos: Histogram,
    jitter_seconds: Histogram,
    loss_ratio: Histogram,
}

impl TrunkMeter {
    fn new(metrics: &Metrics, name: &str) -> TrunkMeter {
        let label = [name];
        for direction in ["in", "out"] {
            for outcome in Outcome::ALL {
                metrics.calls.with_label_values(&[name, direction, outcome.as_str()]);
            }
        }
        for code in ["200", "timeout", "transport", "dns"] {
            metrics.attempts.with_label_values(&[name, code]);
        }
        if name != NO_TRUNK {
            metrics.probe_seconds.with_label_values(&label);
        }
        TrunkMeter {
            active: metrics.calls_active.with_label_values(&label),
            setup_seconds: metrics.setup_seconds.with_label_values(&label),
            duration_seconds: metrics.duration_seconds.with_label_values(&label),
            one_way: metrics.one_way.with_label_values(&label),
            mos: metrics.mos.with_label_values(&label),
            jitter_seconds: metrics.jitter_seconds.with_label_values(&label),
            loss_ratio: metrics.loss_ratio.with_label_values(&label),
        }
    }

    /// A direction on which nothing came has no quality.
    fn observe_media(&self, direction: &DirectionReport) {
        if direction.packets == 0 || direction.expected == 0 {
            return;
        }
        self.jitter_seconds.observe(direction.jitter_ms / 1_000.0);
        self.loss_ratio.observe(direction.lost as f64 / direction.expected as f64);
        if let Some(mos) = direction.mos {
            self.mos.observe(mos);
        }
    }
}

/// What did not happen took no time.
fn observe(histogram: &Histogram, time: Option<Duration>) {
    if let Some(time) = time {
        histogram.observe(time.as_secs_f64());
    }
}

/// The children of one realm.
#[derive(Debug)]
struct RealmMeter {
    retransmissions: IntCounter,
    cancels_lost: IntCounter,
    dropped: HashMap<DropReason, IntCounter>,
}

impl RealmMeter {
    fn new(metrics: &Metrics, realm: Realm) -> RealmMeter {
        let realm = realm.as_str();
        let of_reason =
            |reason: DropReason| (reason, metrics.sip_dropped.with_label_values(&[realm, reason.as_str()]));
        for why in [Unsent::Unreachable, Unsent::QueueFull, Unsent::NoListener, Unsent::Disconnected] {
            metrics.unsent.with_label_values(&[realm, unsent_reason(why)]);
        }
        for direction in ["in", "out"] {
            metrics.messages.with_label_values(&[realm, "udp", direction, "INVITE"]);
        }
        RealmMeter {
            retransmissions: metrics.retransmissions.with_label_values(&[realm]),
            cancels_lost: metrics.cancels_lost.with_label_values(&[realm]),
            dropped: DropReason::ALL.into_iter().map(of_reason).collect(),
        }
    }
}

const fn unsent_reason(why: Unsent) -> &'static str {
    match why {
        Unsent::Unreachable => "unreachable",
        Unsent::QueueFull => "queue_full",
        Unsent::NoListener => "no_listener",
        Unsent::Disconnected => "disconnected",
    }
}

/// A status that no RFC names is counted by its class alone: a peer cannot create series at will.
fn code_label(result: AttemptResult) -> std::borrow::Cow<'static, str> {
    match result.code() {
        Ok(code) => match rsip::StatusCode::from(code) {
            rsip::StatusCode::Other(..) => format!("{}xx", (code / 100).min(9)).into(),
            _ => code.to_string().into(),
        },
        Err(word) => word.into(),
    }
}

#[cfg(test)]
mod tests;
