//! Where log lines go: the journal with fields when systemd runs us, else standard error.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::b2bua::{Cdr, CdrLeg};

/// The environment variable with the filter, `info` by default: `DRAWBRIDGE_LOG=debug`.
pub const FILTER_VARIABLE: &str = "DRAWBRIDGE_LOG";
/// `journalctl DRAWBRIDGE_CALL=…` finds all lines of a call.
const FIELD_PREFIX: &str = "DRAWBRIDGE";
const DEFAULT_FILTER: &str = "info,hickory_proto=error,hickory_resolver=error";

/// Sets the process's log up.
///
/// # Errors
/// It was set up before.
pub fn start() -> Result<(), TryInitError> {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    if is_journal_stderr()
        && let Ok(journal) = tracing_journald::layer()
    {
        return registry.with(journal.with_field_prefix(Some(FIELD_PREFIX.to_owned()))).try_init();
    }
    // Colours are for people: files and pipes get plain text.
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    registry.with(stderr).try_init()
}

/// One line for each call that is over.
pub fn call_ended(cdr: &Cdr) {
    let trunk = |leg: &CdrLeg| leg.trunk.as_ref().map_or("-", |trunk| trunk.as_str()).to_owned();
    let talked = cdr.answer.map(|answer| cdr.end.since(answer)).unwrap_or_default();
    tracing::info!(
        call = cdr.id,
        from = cdr.from,
        to = cdr.to,
        ingress = trunk(&cdr.ingress),
        egress = cdr.egress.as_ref().map_or_else(|| "-".to_owned(), trunk),
        status = cdr.status,
        outcome = cdr.outcome().as_str(),
        ended_by = cdr.ended_by.as_str(),
        talked_ms = u64::try_from(talked.as_millis()).unwrap_or(u64::MAX),
        "call ended: {}",
        cdr.cause
    );
}

/// Whether standard error is the journal's stream (systemd.exec(5), `JOURNAL_STREAM`: device and
/// inode): then lines with fields go to the journal itself.
fn is_journal_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
