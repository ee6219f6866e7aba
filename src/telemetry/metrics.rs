//! The registry and its families. Shared: the driver counts through a [`super::Meter`], reloads are
//! counted here, and a scrape fills the gauges and renders.
//!
//! Every label's values are bounded: names from the configuration or from enums. Nothing that came
//! from the network becomes a label.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, TextEncoder};

use super::cdr::PostResult;
use super::families::{Families, Family, counter, counters, gauge, gauges, histograms};
use super::hep::Protocol;
use super::history::History;
use super::{log, names};
use crate::b2bua::Census;
use crate::base::{ByRealm, Realm, Transport};
use crate::media::DropReason;
use crate::relay::{RelayCounters, Stall};

/// The label value where no trunk is known: a source that a realm's allowlist let in.
pub(super) const NO_TRUNK: &str = "-";

/// What the relay has counted since it began.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RelayTotals {
    /// Realm, direction (`in`, `out`), packets, bytes.
    pub relayed: Vec<(Realm, &'static str, u64, u64)>,
    /// Realm, reason, packets.
    pub rtp_dropped: Vec<(Realm, &'static str, u64)>,
    /// Reason, times.
    pub stalls: Vec<(&'static str, u64)>,
    /// Times that a worker failed.
    pub restarts: u64,
    /// Datagrams of RTCP that should have been copied and were not.
    pub copies_lost: u64,
}

impl From<&RelayCounters> for RelayTotals {
    fn from(counters: &RelayCounters) -> RelayTotals {
        let mut totals = RelayTotals {
            restarts: counters.restarts,
            copies_lost: counters.copies_lost,
            ..RelayTotals::default()
        };
        for (stall, times) in Stall::ALL.iter().zip(counters.stalls) {
            totals.stalls.push((stall.as_str(), times));
        }
        for realm in Realm::ALL {
            let rtp = &counters.rtp[realm];
            for (direction, traffic) in [("in", rtp.received), ("out", rtp.sent)] {
                totals.relayed.push((realm, direction, traffic.packets, traffic.bytes));
            }
            for (reason, packets) in DropReason::ALL.iter().zip(counters.dropped[realm]) {
                totals.rtp_dropped.push((realm, reason.as_str(), packets));
            }
        }
        totals
    }
}

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Families,
    pub(super) calls_active: IntGaugeVec,
    trunk_registered: IntGaugeVec,
    pub(super) calls: IntCounterVec,
    pub(super) attempts: IntCounterVec,
    pub(super) setup_seconds: HistogramVec,
    pub(super) duration_seconds: HistogramVec,
    pub(super) messages: IntCounterVec,
    pub(super) sip_dropped: IntCounterVec,
    pub(super) unsent: IntCounterVec,
    pub(super) retransmissions: IntCounterVec,
    pub(super) cancels_lost: IntCounterVec,
    pub(super) one_way: IntCounterVec,
    pub(super) mos: HistogramVec,
    pub(super) jitter_seconds: HistogramVec,
    pub(super) loss_ratio: HistogramVec,
    pub(super) trunk_up: IntGaugeVec,
    pub(super) target_up: IntGaugeVec,
    pub(super) probe_seconds: HistogramVec,
    sip_connections: IntGaugeVec,
    transactions_active: IntGauge,
    media_ports_in_use: IntGaugeVec,
    media_ports_limit: IntGaugeVec,
    rtp_packets: IntCounterVec,
    rtp_bytes: IntCounterVec,
    rtp_dropped: IntCounterVec,
    media_stalls: IntCounterVec,
    media_worker_restarts: IntCounter,
    media_zero_copy: IntGauge,
    pub(super) calls_limit: IntGaugeVec,
    pub(super) certificate_expiry: IntGaugeVec,
    build_info: IntGaugeVec,
    reloads: IntCounterVec,
    last_reload_successful: IntGauge,
    cdrs: IntCounterVec,
    cdrs_recovered: IntCounter,
    cdrs_waiting: IntGauge,
    cdr_posts: IntCounterVec,
    cdr_spool_records: IntGauge,
    cdr_spool_bytes: IntGauge,
    hep: IntCounterVec,
    log_lines_lost: IntCounter,
    /// How many of the copies in `hep` the relay itself has lost.
    copies_lost: AtomicU64,
    /// The last day, second by second and minute by minute.
    pub history: History,
    /// One scrape at a time: counters that others own are advanced to what those say.
    scrape: Mutex<()>,
}

impl Metrics {
    /// A registry of its own, so that two in one process (tests, the demo) do not meet.
    ///
    /// # Errors
    /// A name or a label that Prometheus does not allow: a fault of this program.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Families::new();
        let metrics = Metrics {
            calls_active: gauges(&registry, names::CALLS_ACTIVE, &["trunk"])?,
            trunk_registered: gauges(&registry, names::TRUNK_REGISTERED, &["trunk"])?,
            calls: counters(&registry, names::CALLS, &["trunk", "direction", "outcome"])?,
            attempts: counters(&registry, names::CALL_ATTEMPTS, &["trunk", "code"])?,
            setup_seconds: histograms(&registry, names::CALL_SETUP_SECONDS, SETUP_SECONDS)?,
            duration_seconds: histograms(&registry, names::CALL_DURATION_SECONDS, DURATION_SECONDS)?,
            messages: counters(&registry, names::SIP_MESSAGES, &["realm", "transport", "direction", "kind"])?,
            sip_dropped: counters(&registry, names::SIP_DROPPED, &["realm", "reason"])?,
            unsent: counters(&registry, names::SIP_UNSENT, &["realm", "reason"])?,
            retransmissions: counters(&registry, names::SIP_RETRANSMISSIONS, &["realm"])?,
            cancels_lost: counters(&registry, names::SIP_CANCELS_LOST, &["realm"])?,
            one_way: counters(&registry, names::MEDIA_ONE_WAY, &["trunk"])?,
            mos: histograms(&registry, names::RTP_MOS, MOS)?,
            jitter_seconds: histograms(&registry, names::RTP_JITTER_SECONDS, JITTER_SECONDS)?,
            loss_ratio: histograms(&registry, names::RTP_LOSS_RATIO, LOSS_RATIO)?,
            trunk_up: gauges(&registry, names::TRUNK_UP, &["trunk"])?,
            target_up: gauges(&registry, names::TRUNK_TARGET_UP, &["trunk", "target"])?,
            probe_seconds: histograms(&registry, names::TRUNK_PROBE_SECONDS, PROBE_SECONDS)?,
            sip_connections: gauges(&registry, names::SIP_CONNECTIONS, &["realm", "transport"])?,
            transactions_active: gauge(&registry, names::TRANSACTIONS_ACTIVE)?,
            media_ports_in_use: gauges(&registry, names::MEDIA_PORTS_IN_USE, &["realm"])?,
            media_ports_limit: gauges(&registry, names::MEDIA_PORTS_LIMIT, &["realm"])?,
            rtp_packets: counters(&registry, names::RTP_PACKETS, &["realm", "direction"])?,
            rtp_bytes: counters(&registry, names::RTP_BYTES, &["realm", "direction"])?,
            rtp_dropped: counters(&registry, names::RTP_DROPPED, &["realm", "reason"])?,
            media_stalls: counters(&registry, names::MEDIA_STALLS, &["reason"])?,
            media_worker_restarts: counter(&registry, names::MEDIA_WORKER_RESTARTS)?,
            media_zero_copy: gauge(&registry, names::MEDIA_ZERO_COPY)?,
            calls_limit: gauges(&registry, names::CALLS_LIMIT, &["trunk"])?,
            certificate_expiry: gauges(&registry, names::TLS_CERTIFICATE_EXPIRY, &["certificate"])?,
            build_info: gauges(&registry, names::BUILD_INFO, &["version", "engine"])?,
            reloads: counters(&registry, names::CONFIG_RELOADS, &["result"])?,
            last_reload_successful: gauge(&registry, names::CONFIG_LAST_RELOAD_SUCCESSFUL)?,
            cdrs: counters(&registry, names::CDRS, &["result"])?,
            cdrs_recovered: counter(&registry, names::CDRS_RECOVERED)?,
            cdrs_waiting: gauge(&registry, names::CDRS_WAITING)?,
            cdr_posts: counters(&registry, names::CDR_POSTS, &["result"])?,
            cdr_spool_records: gauge(&registry, names::CDR_SPOOL_RECORDS)?,
            cdr_spool_bytes: gauge(&registry, names::CDR_SPOOL_BYTES)?,
            hep: counters(&registry, names::HEP_PACKETS, &["protocol", "result"])?,
            log_lines_lost: counter(&registry, names::LOG_LINES_LOST)?,
            copies_lost: AtomicU64::new(0),
            history: History::default(),
            scrape: Mutex::new(()),
            registry,
        };
        metrics.registry.register(Box::new(ProcessCollector::for_self()))?;
        metrics.last_reload_successful.set(1);
        metrics.set_connections(&Default::default());
        for result in ["ok", "refused"] {
            metrics.reloads.with_label_values(&[result]);
        }
        for result in ["written", "lost"] {
            metrics.cdrs.with_label_values(&[result]);
        }
        for result in PostResult::ALL {
            metrics.cdr_posts.with_label_values(&[result.as_str()]);
        }
        for protocol in Protocol::ALL {
            for result in ["sent", "dropped"] {
                metrics.hep.with_label_values(&[protocol.as_str(), result]);
            }
        }
        Ok(metrics)
    }

    /// How each family is described.
    pub fn families(&self) -> Vec<Family> {
        self.registry.told()
    }

    /// Says once which version and relay engine run.
    pub fn set_build(&self, version: &str, engine: &str) {
        self.build_info.with_label_values(&[version, engine]).set(1);
    }

    /// Says once whether media is sent without a copy.
    pub fn set_zero_copy(&self, zero_copy: bool) {
        self.media_zero_copy.set(zero_copy.into());
    }

    /// Connections that there are now, of TCP and of TLS.
    pub fn set_connections(&self, connections: &[ByRealm<usize>; 2]) {
        for (transport, count) in [Transport::Tcp, Transport::Tls].iter().zip(connections) {
            for realm in Realm::ALL {
                let labels = [realm.as_str(), transport.as_str()];
                self.sip_connections.with_label_values(&labels).set(to_gauge(count[realm]));
            }
        }
    }

    /// Whether a trunk is registered; `None`: it is not to be.
    pub fn set_registered(&self, trunk: &str, is_registered: Option<bool>) {
        match is_registered {
            Some(is_registered) => {
                self.trunk_registered.with_label_values(&[trunk]).set(is_registered.into());
            }
            // What was never there is as good as removed.
            None => drop(self.trunk_registered.remove_label_values(&[trunk])),
        }
    }

    /// Counts a reload: whether the configuration was taken.
    pub fn count_reload(&self, taken: bool) {
        self.reloads.with_label_values(&[if taken { "ok" } else { "refused" }]).inc();
        self.last_reload_successful.set(i64::from(taken));
    }

    /// Counts a call detail record: whether it reached its file.
    pub fn count_cdr(&self, written: bool) {
        self.cdrs.with_label_values(&[if written { "written" } else { "lost" }]).inc();
    }

    /// Counts a call that a former run of the program had left open.
    pub fn count_cdr_recovered(&self) {
        self.cdrs_recovered.inc();
    }

    /// So many records wait for their disk.
    pub fn set_cdrs_waiting(&self, records: usize) {
        self.cdrs_waiting.set(to_gauge(records));
    }

    /// Counts what became of copies of records.
    pub(super) fn count_cdr_posts(&self, result: PostResult, records: u64) {
        self.cdr_posts.with_label_values(&[result.as_str()]).inc_by(records);
    }

    /// So many copies of records wait for their server.
    pub fn set_cdr_spool(&self, records: u64, bytes: u64) {
        self.cdr_spool_records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.cdr_spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts a copy for the capture server.
    pub fn count_hep(&self, protocol: Protocol, sent: bool) {
        self.hep.with_label_values(&[protocol.as_str(), if sent { "sent" } else { "dropped" }]).inc();
    }

    /// The text exposition format, with the gauges as `census` has them. `None` for the census
    /// leaves its gauges as they were.
    ///
    /// # Errors
    /// A metric that cannot be rendered: a fault of this program.
    pub fn render(&self, census: Option<Census>, relay: &RelayTotals) -> Result<String, prometheus::Error> {
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(census) = census {
            self.fill_census(&census);
        }
        self.fill_relay(relay);
        advance(&self.log_lines_lost, log::lines_lost());
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn fill_census(&self, census: &Census) {
        self.transactions_active.set(to_gauge(census.transactions));
        for realm in Realm::ALL {
            let label = [realm.as_str()];
            self.media_ports_in_use.with_label_values(&label).set(to_gauge(census.media_ports[realm]));
            self.media_ports_limit.with_label_values(&label).set(to_gauge(census.media_ports_limit[realm]));
        }
    }

    fn fill_relay(&self, relay: &RelayTotals) {
        for (realm, direction, packets, bytes) in &relay.relayed {
            let labels = [realm.as_str(), *direction];
            advance(&self.rtp_packets.with_label_values(&labels), *packets);
            advance(&self.rtp_bytes.with_label_values(&labels), *bytes);
        }
        for (realm, reason, packets) in &relay.rtp_dropped {
            advance(&self.rtp_dropped.with_label_values(&[realm.as_str(), *reason]), *packets);
        }
        for (reason, times) in &relay.stalls {
            advance(&self.media_stalls.with_label_values(&[*reason]), *times);
        }
        advance(&self.media_worker_restarts, relay.restarts);
        // Others lose copies, too: what is new of the relay's is added.
        let before = self.copies_lost.fetch_max(relay.copies_lost, Relaxed);
        let lost = self.hep.with_label_values(&[Protocol::Rtcp.as_str(), "dropped"]);
        lost.inc_by(relay.copies_lost.saturating_sub(before));
    }
}

/// Brings a counter up to a total that is counted elsewhere and never falls.
fn advance(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn to_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// RFC 6076 §4.3: carriers promise 2–5 s, callers give up after some 12.
const SETUP_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0, 60.0];
/// From a neighbour to the other side of the earth; beyond are retransmissions and trouble.
const PROBE_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0];
/// From a wrong number to a long conference.
const DURATION_SECONDS: &[f64] =
    &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0];
/// G.711 at its best is 4.4; users complain below 3.6, and leave below 3.1 (ITU-T G.107, annex B).
const MOS: &[f64] = &[1.5, 2.0, 2.6, 3.1, 3.4, 3.6, 3.8, 4.0, 4.1, 4.2, 4.3, 4.4];
/// Jitter buffers of phones hold 20–100 ms.
const JITTER_SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];
/// Audible from about 1 %.
const LOSS_RATIO: &[f64] = &[0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
