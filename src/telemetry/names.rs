//! Every metric's name, in one place. They are part of the outside contract: dashboards and alerts
//! are built on them. The help texts stand beside them, for `# HELP` and for the documentation.

/// A metric's name and what it counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name {
    /// As it is exposed.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
}

const fn name(name: &'static str, help: &'static str) -> Name {
    Name { name, help }
}

/// Gauge by version, engine.
pub const BUILD_INFO: Name =
    name("drawbridge_build_info", "Always 1; the labels say which version and relay engine run.");
/// Gauge by trunk.
pub const TRUNK_REGISTERED: Name = name(
    "drawbridge_trunk_registered",
    "Whether a registration of ours lives at the trunk; no value where none is wanted.",
);
/// Gauge by trunk.
pub const CALLS_ACTIVE: Name =
    name("drawbridge_calls_active", "Calls in progress, from INVITE to their end.");
/// Counter by trunk, direction, outcome.
pub const CALLS: Name = name(
    "drawbridge_calls_total",
    "Calls that have ended: once as in for the trunk they came from, once as out for the trunk they went to.",
);
/// Counter by trunk, code.
pub const CALL_ATTEMPTS: Name = name(
    "drawbridge_call_attempts_total",
    "Targets tried, by the final SIP status, or timeout, transport, dns or cancelled.",
);
/// Histogram by trunk.
pub const CALL_SETUP_SECONDS: Name = name(
    "drawbridge_call_setup_seconds",
    "From the INVITE to the first 18x passed on, or to the answer if there was none: of each call on the trunk it came \
     from, and of each attempt, from our INVITE, on the trunk that was tried.",
);
/// Histogram by trunk.
pub const CALL_DURATION_SECONDS: Name =
    name("drawbridge_call_duration_seconds", "From the answer to the end, for answered calls.");
/// Gauge by trunk.
pub const TRUNK_UP: Name =
    name("drawbridge_trunk_up", "Whether one of a trunk's targets takes calls, as far as is known.");
/// Gauge by trunk, target.
pub const TRUNK_TARGET_UP: Name = name(
    "drawbridge_trunk_target_up",
    "Whether calls are sent to an address of a trunk, by what OPTIONS and calls say of it.",
);
/// Histogram by trunk.
pub const TRUNK_PROBE_SECONDS: Name =
    name("drawbridge_trunk_probe_seconds", "From OPTIONS to its final answer.");
/// Counter by realm, transport, direction, kind.
pub const SIP_MESSAGES: Name = name(
    "drawbridge_sip_messages_total",
    "SIP messages, retransmissions included, by method or status class.",
);
/// Counter by realm, reason.
pub const SIP_DROPPED: Name =
    name("drawbridge_sip_dropped_total", "What arrived on a SIP listener and was dropped without an answer.");
/// Gauge by realm, transport.
pub const SIP_CONNECTIONS: Name =
    name("drawbridge_sip_connections", "TCP and TLS connections that are open or being opened.");
/// Counter by realm, reason.
pub const SIP_UNSENT: Name =
    name("drawbridge_sip_unsent_total", "SIP messages that the system did not take for sending.");
/// Counter by realm.
pub const SIP_RETRANSMISSIONS: Name =
    name("drawbridge_sip_retransmissions_total", "SIP messages that were sent again.");
/// Counter by realm.
pub const SIP_CANCELS_LOST: Name = name(
    "drawbridge_sip_cancels_lost_total",
    "CANCELs that were lost with their connection, again and again.",
);
/// Gauge.
pub const TRANSACTIONS_ACTIVE: Name =
    name("drawbridge_transactions_active", "SIP transactions of all four kinds that are not over.");
/// Gauge by realm.
pub const MEDIA_PORTS_IN_USE: Name =
    name("drawbridge_media_ports_in_use", "RTP and RTCP ports that calls hold.");
/// Gauge by realm.
pub const MEDIA_PORTS_LIMIT: Name =
    name("drawbridge_media_ports_limit", "RTP and RTCP ports that there are for calls.");
/// Counter by realm, direction.
pub const RTP_PACKETS: Name = name(
    "drawbridge_rtp_packets_total",
    "RTP packets and fax datagrams, no RTCP; in: taken from peers, forwarded or not; out: handed to the \
     operating system.",
);
/// Counter by realm, direction.
pub const RTP_BYTES: Name =
    name("drawbridge_rtp_bytes_total", "UDP payload bytes of what drawbridge_rtp_packets_total counts.");
/// Counter by realm, reason.
pub const RTP_DROPPED: Name =
    name("drawbridge_rtp_dropped_total", "Packets on media ports that were dropped.");
/// Counter by reason.
pub const MEDIA_STALLS: Name = name(
    "drawbridge_media_stalls_total",
    "Times that media packets had to wait, by what was lacking: receive buffers, room for completions, \
     the kernel's memory, a socket that receives.",
);
/// Counter.
pub const MEDIA_WORKER_RESTARTS: Name = name(
    "drawbridge_media_worker_restarts_total",
    "Faults that ended a media worker with its calls; it began anew.",
);
/// Gauge.
pub const MEDIA_ZERO_COPY: Name =
    name("drawbridge_media_zero_copy", "Whether media is sent without a copy (media.zero_copy).");
/// Counter by trunk.
pub const MEDIA_ONE_WAY: Name = name(
    "drawbridge_media_one_way_total",
    "Calls in which nothing was heard from a trunk while the other side spoke; the log says why.",
);
/// Histogram by trunk.
pub const RTP_MOS: Name = name(
    "drawbridge_rtp_mos",
    "Estimated mean opinion score (ITU-T G.107) of what a trunk sent, one value for each call.",
);
/// Histogram by trunk.
pub const RTP_JITTER_SECONDS: Name = name(
    "drawbridge_rtp_jitter_seconds",
    "Interarrival jitter (RFC 3550) of what a trunk sent, one value for each call.",
);
/// Histogram by trunk.
pub const RTP_LOSS_RATIO: Name = name(
    "drawbridge_rtp_loss_ratio",
    "Share of RTP packets lost on the way from a trunk to us, one value for each call.",
);
/// Gauge by trunk.
pub const CALLS_LIMIT: Name = name(
    "drawbridge_calls_limit",
    "limits.calls: of the trunk, and of the node where trunk is \"-\"; no value where there is none.",
);
/// Gauge by certificate.
pub const TLS_CERTIFICATE_EXPIRY: Name = name(
    "drawbridge_tls_certificate_expiry_timestamp_seconds",
    "When a certificate of ours ends (the first of its chain to do so), in seconds since 1970.",
);
/// Counter by result.
pub const CONFIG_RELOADS: Name =
    name("drawbridge_config_reloads_total", "Reloads of the configuration, by result.");
/// Gauge.
pub const CONFIG_LAST_RELOAD_SUCCESSFUL: Name = name(
    "drawbridge_config_last_reload_successful",
    "1 if the files were good when last read; 0: an older configuration is in force.",
);
/// Counter by result.
pub const CDRS: Name = name(
    "drawbridge_cdrs_total",
    "Call detail records by result: written, or lost to a full queue or a failing disk.",
);
/// Counter.
pub const CDRS_RECOVERED: Name = name(
    "drawbridge_cdrs_recovered_total",
    "Calls that were open when the program ended without warning, and were recorded at this start.",
);
/// Gauge.
pub const CDRS_WAITING: Name =
    name("drawbridge_cdrs_waiting", "Call detail records that wait for a disk that does not take them.");
/// Counter by result.
pub const CDR_POSTS: Name = name(
    "drawbridge_cdr_posts_total",
    "Copies of records by cdr.post: sent; retried (to be sent again); refused by the server for good; dropped, \
     for the spool was full.",
);
/// Gauge.
pub const CDR_SPOOL_RECORDS: Name =
    name("drawbridge_cdr_spool_records", "Copies of records that wait for the server of cdr.post.");
/// Gauge.
pub const CDR_SPOOL_BYTES: Name =
    name("drawbridge_cdr_spool_bytes", "Bytes of the copies that wait for the server of cdr.post.");

/// Counter.
pub const LOG_LINES_LOST: Name = name(
    "drawbridge_log_lines_lost_total",
    "Lines of the log that found its queue full, or could not be written: the journal, or who reads standard error, is \
     too slow.",
);
/// Counter by result.
pub const HEP_PACKETS: Name = name(
    "drawbridge_hep_packets_total",
    "Copies of SIP messages and of RTCP for the capture server by result: sent (nobody acknowledges them), or dropped by a full queue, by the network, \
     or (RTCP) because one peer reports too often.",
);
