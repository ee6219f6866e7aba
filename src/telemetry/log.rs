//! Where log lines go: the journal with fields when systemd runs us, else standard error. And which: the filter
//! can change while the process runs. Whoever says a line never waits for either (`log/queue.rs`).

mod journal;
mod queue;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use self::journal::{Journal, ToJournal};
use self::queue::Queue;
use self::text::{Text, ToQueue};
use super::redact;
use crate::b2bua::{Cdr, CdrLeg};
use crate::base::TrunkName;

/// The environment variable with the filter at the start, instead of `log.filter`: `DRAWBRIDGE_LOG=debug`.
pub const FILTER_VARIABLE: &str = "DRAWBRIDGE_LOG";
/// What to write instead of a filter that is none.
pub const FILTER_CURE: &str =
    "write error, warn, info, debug, trace or off, or more of a part: \"info,drawbridge::transport=debug\"";
/// No filter is longer.
const FILTER_MAX_BYTES: usize = 1_024;
/// Libraries that say at length what we say shortly; what a filter says of them counts.
const QUIET: &str = "hickory_proto=error,hickory_resolver=error";

/// The way to the filter of the process's log, and the filter as it was written.
static LIVE: OnceLock<(reload::Handle<EnvFilter, Registry>, Mutex<String>)> = OnceLock::new();
/// The way to the thread that writes the process's log.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Whether this is a filter: levels, of all or of a part, with commas.
///
/// # Errors
/// Why not. (The library takes any single word for a part of the program, and logs nothing else then.)
pub fn check_filter(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    if text.len() > FILTER_MAX_BYTES {
        return Err(format!("is longer than {FILTER_MAX_BYTES} bytes"));
    }
    let text = without_blanks(text);
    let is_level = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known))
    };
    if text.split(',').all(is_level) && EnvFilter::try_new(&text).is_ok() {
        return Ok(());
    }
    Err("is no filter of the log".to_owned())
}

/// The library takes none.
fn without_blanks(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect()
}

fn filter(text: &str) -> EnvFilter {
    EnvFilter::new(format!("{QUIET},{}", without_blanks(text)))
}

/// What is logged now, as it was written; `None`: this process has no log of its own.
pub fn current_filter() -> Option<String> {
    let (_, text) = LIVE.get()?;
    Some(text.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Logs by this filter from now on.
///
/// # Errors
/// Why not, for people.
pub fn set_filter(text: &str) -> Result<(), String> {
    check_filter(text)?;
    let Some((handle, current)) = LIVE.get() else { return Err("this process has no log".to_owned()) };
    handle.reload(filter(text)).map_err(|error| format!("is not taken: {error}"))?;
    text.clone_into(&mut current.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

/// Sets the process's log up. `DRAWBRIDGE_LOG` counts before `configured`, if it is a filter.
///
/// # Errors
/// It was set up before, or the system gives no thread.
pub fn start(configured: &str) -> io::Result<()> {
    let asked = std::env::var(FILTER_VARIABLE).ok().filter(|asked| check_filter(asked).is_ok());
    let text = asked.unwrap_or_else(|| configured.to_owned());
    let (filter, handle) = reload::Layer::new(filter(&text));
    let registry = tracing_subscriber::registry().with(filter);
    // A process that has a log already keeps that.
    let _ = LIVE.set((handle, Mutex::new(text)));
    if is_journal_stderr()
        && let Ok(journal) = Journal::of_this_machine()
    {
        let queue = Queue::start(journal)?;
        registry.with(ToJournal(queue.clone())).try_init().map_err(io::Error::other)?;
        let _ = QUEUE.set(queue);
        return Ok(());
    }
    let queue = Queue::start(Text(io::stderr()))?;
    // Colours are for people: files and pipes get plain text.
    let has_colours = io::stderr().is_terminal();
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(ToQueue { queue: queue.clone(), has_colours })
        .with_ansi(has_colours)
        .with_target(false);
    registry.with(stderr).try_init().map_err(io::Error::other)?;
    let _ = QUEUE.set(queue);
    Ok(())
}

/// Waits until every line is written, but no longer than this: the process is about to end.
pub fn finish(patience: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.finish(patience);
    }
}

/// Lines of the process's log that were lost since its start.
pub fn lines_lost() -> u64 {
    QUEUE.get().map_or(0, Queue::lost)
}

/// One line for each call that is over.
pub fn call_ended(cdr: &Cdr) {
    let trunk = |leg: &CdrLeg| leg.trunk.as_ref().map_or("-", |trunk| trunk.as_str()).to_owned();
    let talked = cdr.answer.map(|answer| cdr.end.since(answer)).unwrap_or_default();
    tracing::info!(
        call = cdr.id,
        from = %redact::number(&cdr.from),
        to = %redact::number(&cdr.to),
        trunk = cdr.egress.as_ref().unwrap_or(&cdr.ingress).trunk.as_ref().map(TrunkName::as_str),
        peer = %cdr.egress.as_ref().unwrap_or(&cdr.ingress).remote,
        ingress = trunk(&cdr.ingress),
        egress = cdr.egress.as_ref().map_or_else(|| "-".to_owned(), trunk),
        status = cdr.status,
        outcome = cdr.outcome().as_str(),
        ended_by = cdr.ended_by.as_str(),
        talked_ms = u64::try_from(talked.as_millis()).unwrap_or(u64::MAX),
        "call ended: {}",
        redact::words(&cdr.cause)
    );
}

/// Whether standard error is the journal's stream (systemd.exec(5), `JOURNAL_STREAM`: device and
/// inode): then lines with fields go to the journal itself.
fn is_journal_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
