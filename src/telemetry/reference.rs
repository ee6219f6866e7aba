//! docs/metrics.md, from the metrics themselves: name, type, help, labels and buckets as they are counted with. What
//! stands here beside them is the values of each label, all of fixed sets, and which metrics belong together.

use std::fmt::Write;

use super::hep::Protocol;
use super::names::{self, Name};
use super::{Family, Metrics};
use crate::admission;
use crate::b2bua::Outcome;
use crate::media;
use crate::relay::Stall;

/// A chapter of the page.
struct Group {
    title: &'static str,
    metrics: &'static [Name],
}

/// In the order in which an operator wants them.
const GROUPS: &[Group] = &[
    Group {
        title: "Calls",
        metrics: &[
            names::CALLS_ACTIVE,
            names::CALLS_LIMIT,
            names::CALLS,
            names::CALL_ATTEMPTS,
            names::CALL_SETUP_SECONDS,
            names::CALL_DURATION_SECONDS,
        ],
    },
    Group {
        title: "Trunks",
        metrics: &[
            names::TRUNK_UP,
            names::TRUNK_TARGET_UP,
            names::TRUNK_PROBE_SECONDS,
            names::TRUNK_REGISTERED,
        ],
    },
    Group {
        title: "SIP",
        metrics: &[
            names::SIP_MESSAGES,
            names::SIP_DROPPED,
            names::SIP_RETRANSMISSIONS,
            names::SIP_UNSENT,
            names::SIP_CANCELS_LOST,
            names::SIP_CONNECTIONS,
            names::TRANSACTIONS_ACTIVE,
        ],
    },
    Group {
        title: "Media",
        metrics: &[
            names::RTP_PACKETS,
            names::RTP_BYTES,
            names::RTP_DROPPED,
            names::MEDIA_ONE_WAY,
            names::RTP_MOS,
            names::RTP_JITTER_SECONDS,
            names::RTP_LOSS_RATIO,
            names::MEDIA_PORTS_IN_USE,
            names::MEDIA_PORTS_LIMIT,
            names::MEDIA_STALLS,
            names::MEDIA_WORKER_RESTARTS,
            names::MEDIA_ZERO_COPY,
        ],
    },
    Group {
        title: "The daemon",
        metrics: &[
            names::BUILD_INFO,
            names::TLS_CERTIFICATE_EXPIRY,
            names::CONFIG_RELOADS,
            names::CONFIG_LAST_RELOAD_SUCCESSFUL,
            names::HEP_PACKETS,
            names::LOG_LINES_LOST,
            names::CDRS,
            names::CDRS_RECOVERED,
            names::CDRS_WAITING,
            names::CDR_POSTS,
            names::CDR_SPOOL_RECORDS,
            names::CDR_SPOOL_BYTES,
        ],
    },
];

const HEAD: &str = "\
# Every metric

This page is made from the program. `http://127.0.0.1:9060/metrics` (`admin.listen`) has them in the text format of Prometheus:

```yaml
scrape_configs:
  - job_name: drawbridge
    static_configs:
      - targets: [\"127.0.0.1:9060\"]
rule_files:
  - /usr/share/drawbridge/prometheus/drawbridge.rules.yml
```

The alert rules are in [packaging/prometheus](../packaging/prometheus/drawbridge.rules.yml), a dashboard for Grafana in
[packaging/grafana](../packaging/grafana/drawbridge.json); the package puts both below `/usr/share/drawbridge/`. What each alert
means and what to do is in [troubleshooting.md](troubleshooting.md#what-to-alert-on).

Names end in `_total` where they only grow, and in their unit (`_seconds`, `_bytes`, `_ratio`) where they have one. Every label's values come
from the configuration or from a fixed set, so that nobody outside can make series. A series that can be there from the start is there with
0, so that `rate()` and `increase()` see the first event. Trunks that a reload takes out keep their series of counters until the daemon
ends; all counters begin with 0 when it starts.
";

const PROCESS: &str = "
## The process

As the Prometheus client library has them, of the whole daemon: `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_open_fds`, `process_max_fds`, `process_threads`, `process_start_time_seconds`.
";

/// The whole page. `None`: the metrics cannot be made, or one is not known here.
pub fn page() -> Option<String> {
    let families = Metrics::new().ok()?.families();
    let mut text = HEAD.to_owned();
    for group in GROUPS {
        let _ = write!(text, "\n## {}\n", group.title);
        for name in group.metrics {
            text.push_str(&of(families.iter().find(|family| family.name == *name)?)?);
        }
    }
    text.push_str(PROCESS);
    Some(text)
}

fn of(family: &Family) -> Option<String> {
    let Family { name, kind, labels, buckets } = family;
    let mut text = format!("\n### {}\n\n{}. {}\n", name.name, capitalised(kind), name.help);
    if !labels.is_empty() {
        text.push('\n');
    }
    for label in labels {
        let _ = writeln!(text, "- `{label}`: {}", values(name.name, label)?);
    }
    if !buckets.is_empty() {
        let bounds: Vec<String> = buckets.iter().map(f64::to_string).collect();
        let _ = writeln!(text, "- buckets: {}", bounds.join(", "));
    }
    Some(text)
}

fn capitalised(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What a label may be. `None`: nobody has said it here.
fn values(metric: &str, label: &str) -> Option<String> {
    let listed = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    Some(match (metric, label) {
        (_, "trunk") if metric.starts_with("drawbridge_trunk_") => "the name of a trunk".to_owned(),
        ("drawbridge_calls_limit", "trunk") => "the name of a trunk; `-`: the node".to_owned(),
        (_, "certificate") => "`listener ADDRESS:PORT` or `trunk NAME`: who shows it".to_owned(),
        (_, "trunk") => "the name of a trunk; `-`: none (a source that `allow` of a realm let in)".to_owned(),
        (_, "target") => "address, port and transport, as in `192.0.2.1:5060/udp`; 64 of a trunk at most".to_owned(),
        (_, "realm") => listed(&["trusted", "untrusted"]),
        ("drawbridge_sip_connections", "transport") => listed(&["tcp", "tls"]),
        (_, "transport") => listed(&["udp", "tcp", "tls"]),
        ("drawbridge_calls_total", "direction") => {
            format!("{}: from the trunk, or to it", listed(&["in", "out"]))
        }
        (_, "direction") => format!("{}: seen from here", listed(&["in", "out"])),
        (_, "outcome") => format!(
            "{}; failed: the other side's refusal or silence, rejected: ours",
            listed(&Outcome::ALL.map(Outcome::as_str))
        ),
        (_, "code") => "the final SIP status (one that no RFC names by its class, as in `4xx`), `timeout`, `transport` (no \
                        connection, or nobody at the port), `dns` (no address), `cancelled`"
            .to_owned(),
        (_, "kind") => "the method (one that no RFC names: `other`) or the class of the status, `1xx` to `6xx`".to_owned(),
        ("drawbridge_sip_dropped_total", "reason") => {
            listed(&admission::DropReason::ALL.map(admission::DropReason::as_str))
        }
        ("drawbridge_rtp_dropped_total", "reason") => {
            listed(&media::DropReason::ALL.map(media::DropReason::as_str))
        }
        ("drawbridge_media_stalls_total", "reason") => listed(&Stall::ALL.map(Stall::as_str)),
        ("drawbridge_sip_unsent_total", "reason") => {
            listed(&["unreachable", "queue_full", "no_listener", "disconnected"])
        }
        ("drawbridge_config_reloads_total", "result") => listed(&["ok", "refused"]),
        ("drawbridge_cdr_posts_total", "result") => listed(&["sent", "retried", "refused", "dropped"]),
        ("drawbridge_hep_packets_total", "protocol") => listed(&Protocol::ALL.map(Protocol::as_str)),
        ("drawbridge_hep_packets_total", "result") => listed(&["sent", "dropped"]),
        ("drawbridge_cdrs_total", "result") => listed(&["written", "lost"]),
        (_, "version") => "of the program".to_owned(),
        (_, "engine") => format!("of the relay: {}", listed(&["io_uring", "portable"])),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect_file;

    use super::*;

    fn families() -> Vec<Family> {
        Metrics::new().unwrap().families()
    }

    #[test]
    fn docs_metrics_md_is_made_of_the_metrics() {
        for family in families() {
            for label in &family.labels {
                let name = family.name.name;
                assert!(values(name, label).is_some(), "write in values() what {label} of {name} may be");
            }
        }
        let page = page().expect("a metric of GROUPS is not registered");
        expect_file!["../../docs/metrics.md"].assert_eq(&page);
    }

    #[test]
    fn every_metric_is_in_one_group() {
        let grouped: Vec<&str> =
            GROUPS.iter().flat_map(|group| group.metrics.iter().map(|name| name.name)).collect();
        let all: BTreeSet<&str> = families().iter().map(|family| family.name.name).collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), all, "see GROUPS");
        assert_eq!(grouped.len(), all.len(), "one is there twice");
    }

    #[test]
    fn names_say_what_they_are() {
        for Family { name, kind, labels, buckets } in families() {
            let name_text = name.name;
            let help = name.help;
            assert!(name_text.starts_with("drawbridge_"), "{name_text}");
            assert!(name_text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name_text}");
            assert_eq!(kind == "counter", name_text.ends_with("_total"), "{name_text} is a {kind}");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name_text}: {help}");
            assert!(!["_count", "_sum", "_bucket"].iter().any(|end| name_text.ends_with(end)), "{name_text}");
            assert_eq!(kind == "histogram", !buckets.is_empty(), "{name_text}");
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{name_text}");
            assert!(!labels.contains(&"le") && !labels.contains(&"quantile"), "{name_text}");
        }
    }

    /// What dashboards and alerts of others are built on.
    #[test]
    fn names_types_and_labels_that_were_promised_are_kept() {
        let promised = "
            drawbridge_build_info gauge version,engine
            drawbridge_calls_active gauge trunk
            drawbridge_calls_total counter trunk,direction,outcome
            drawbridge_call_attempts_total counter trunk,code
            drawbridge_call_setup_seconds histogram trunk
            drawbridge_call_duration_seconds histogram trunk
            drawbridge_sip_messages_total counter realm,transport,direction,kind
            drawbridge_sip_dropped_total counter realm,reason
            drawbridge_sip_retransmissions_total counter realm
            drawbridge_transactions_active gauge -
            drawbridge_trunk_up gauge trunk
            drawbridge_trunk_target_up gauge trunk,target
            drawbridge_trunk_probe_seconds histogram trunk
            drawbridge_trunk_registered gauge trunk
            drawbridge_media_ports_in_use gauge realm
            drawbridge_media_ports_limit gauge realm
            drawbridge_rtp_packets_total counter realm,direction
            drawbridge_rtp_bytes_total counter realm,direction
            drawbridge_rtp_dropped_total counter realm,reason
            drawbridge_rtp_mos histogram trunk
            drawbridge_rtp_jitter_seconds histogram trunk
            drawbridge_rtp_loss_ratio histogram trunk
            drawbridge_config_reloads_total counter result
            drawbridge_config_last_reload_successful gauge -";
        let families = families();
        for promise in promised.trim().lines() {
            let [name, kind, labels] = promise.split_whitespace().collect::<Vec<_>>()[..] else { panic!() };
            let family = families.iter().find(|family| family.name.name == name);
            let family = family.unwrap_or_else(|| panic!("{name} is gone"));
            let own = if family.labels.is_empty() { "-".to_owned() } else { family.labels.join(",") };
            assert_eq!((family.kind, own.as_str()), (kind, labels), "{name}");
        }
    }
}
