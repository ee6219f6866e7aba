//! A registry that remembers how its families were described: docs/metrics.md is made of it, and knows type and labels
//! from the code that counts.

use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::names::Name;

/// How a family of metrics was described.
#[derive(Clone, PartialEq, Debug)]
pub struct Family {
    /// Its name and help.
    pub name: Name,
    /// Its type, as `# TYPE` has it.
    pub kind: &'static str,
    /// Its labels.
    pub labels: Vec<&'static str>,
    /// Of a histogram: the upper bounds, without the infinite one.
    pub buckets: &'static [f64],
}

/// The registry.
#[derive(Debug, Default)]
pub(super) struct Families {
    registry: Registry,
    told: Mutex<Vec<Family>>,
}

impl Families {
    /// With nothing in it, and apart from the library's own: two in one process do not meet.
    pub(super) fn new() -> Families {
        Families::default()
    }

    /// What was described, in the order of that.
    pub(super) fn told(&self) -> Vec<Family> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every family with its values.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// HELP and TYPE of the families that have no series yet, as those of trunks while there is none: whoever looks for
    /// a metric finds that there is one.
    pub(super) fn described_without(&self, gathered: &[MetricFamily]) -> String {
        let has_series = |family: &Family| gathered.iter().any(|of| of.name() == family.name.name);
        self.told()
            .iter()
            .filter(|family| !has_series(family))
            .map(|Family { name, kind, .. }| {
                format!("# HELP {0} {1}\n# TYPE {0} {kind}\n", name.name, name.help)
            })
            .collect()
    }

    /// Adds a collector that describes itself.
    pub(super) fn register(&self, collector: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        self.registry.register(collector)
    }

    fn add<C: Collector + Clone + 'static>(
        &self,
        family: Family,
        collector: C,
    ) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(collector.clone()))?;
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(family);
        Ok(collector)
    }
}

fn family(name: Name, kind: &'static str, labels: &[&'static str]) -> Family {
    Family { name, kind, labels: labels.to_vec(), buckets: &[] }
}

pub(super) fn counters(
    families: &Families,
    name: Name,
    labels: &[&'static str],
) -> Result<IntCounterVec, prometheus::Error> {
    let collector = IntCounterVec::new(Opts::new(name.name, name.help), labels)?;
    families.add(family(name, "counter", labels), collector)
}

pub(super) fn counter(families: &Families, name: Name) -> Result<IntCounter, prometheus::Error> {
    families.add(family(name, "counter", &[]), IntCounter::new(name.name, name.help)?)
}

pub(super) fn gauges(
    families: &Families,
    name: Name,
    labels: &[&'static str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let collector = IntGaugeVec::new(Opts::new(name.name, name.help), labels)?;
    families.add(family(name, "gauge", labels), collector)
}

pub(super) fn gauge(families: &Families, name: Name) -> Result<IntGauge, prometheus::Error> {
    families.add(family(name, "gauge", &[]), IntGauge::new(name.name, name.help)?)
}

/// Every histogram is by trunk.
pub(super) fn histograms(
    families: &Families,
    name: Name,
    buckets: &'static [f64],
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name.name, name.help).buckets(buckets.to_vec());
    let collector = HistogramVec::new(options, &["trunk"])?;
    families.add(Family { buckets, ..family(name, "histogram", &["trunk"]) }, collector)
}
