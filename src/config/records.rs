//! `[cdr]`: where records go, how surely, and to whom a copy is sent.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Uri};

use super::reader::{Table, Text, Value};
use super::sections::section;
use super::tls::absolute_path;
use crate::telemetry::cdr::{CdrSettings, PostSettings, PostUrl};
use crate::transport::{ClientFiles, ClientTls};

/// Where the package lets the daemon keep things.
const DEFAULT_SPOOL: &str = "/var/lib/drawbridge/cdr-spool";
const DEFAULT_SPOOL_MAX: u64 = 100_000_000;
/// Bounds of `spool_max`.
const SPOOL_MAX: (u64, u64) = (1_000_000, 1_000_000_000_000);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Records of one POST.
const MAX_BATCH: u32 = 1_000;
/// Headers that are not for a configuration to write.
const OURS: [&str; 6] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "idempotency-key"];

/// Reads what is there over the defaults.
pub(super) fn read_records(table: &Table<'_>) -> CdrSettings {
    let default = CdrSettings::default();
    let path = |value: Value<'_>| {
        let path = value.text()?;
        if path.text.is_empty() { None } else { absolute_path(&path) }
    };
    let sync = table.value("sync").and_then(|value| {
        let (bounds, why) = (Duration::from_millis(100)..=Duration::from_secs(60), "this is out of range");
        value.duration_within(bounds, why, Some("after each record"))
    });
    CdrSettings {
        path: table.value("path").and_then(path),
        journal: table.value("journal").and_then(path),
        sync: sync.unwrap_or(default.sync),
        post: section(table, "post", post),
    }
}

fn post(table: &Table<'_>) -> Option<PostSettings> {
    let url_text = table.required("url", "\"http://127.0.0.1:8080/cdr\"").and_then(|value| value.text());
    let url = url_text.as_ref().and_then(read_url);
    let timeout = table.value("timeout").and_then(|value| {
        let (bounds, why) = (Duration::from_millis(100)..=Duration::from_secs(300), "this is out of range");
        value.duration_within(bounds, why, None)
    });
    let batch = table.value("batch").and_then(|value| value.integer(1..=MAX_BATCH));
    let spool = table.value("spool").and_then(|value| absolute_path(&value.text()?));
    let spool_max = table.value("spool_max").and_then(|value| bytes(&value.text()?));
    let headers = table.value("headers").map(|value| headers(&value)).unwrap_or_default();
    let ca = table.value("ca").and_then(|value| absolute_path(&value.text()?));
    let url = url?;
    let tls = if url.is_secure { Some(tls(table, ca)?) } else { None };
    Some(PostSettings {
        url,
        headers,
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        batch: batch.unwrap_or(1) as usize,
        spool: spool.unwrap_or_else(|| PathBuf::from(DEFAULT_SPOOL)),
        spool_max: spool_max.unwrap_or(DEFAULT_SPOOL_MAX),
        tls,
    })
}

fn tls(table: &Table<'_>, ca: Option<PathBuf>) -> Option<ClientTls> {
    let loaded = ClientTls::load(&ClientFiles { ca, own: None, verify: true });
    loaded.map_err(|fault| table.fault(format!("{}: {}", fault.key, fault.message), fault.cure)).ok()
}

/// `http://host:port/path?query`, or https.
fn read_url(text: &Text<'_>) -> Option<PostUrl> {
    let uri = text.text.parse::<Uri>().ok();
    let parts = uri.as_ref().and_then(|uri| {
        let is_secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Some((is_secure, uri.authority()?, uri.path_and_query()?.as_str()))
    });
    let Some((is_secure, authority, target)) = parts else {
        text.fault("is no URL that can be sent to", "write it as http://192.0.2.7:8080/cdr, or with https");
        return None;
    };
    if authority.as_str().contains('@') {
        // Not shown.
        let cure = "write it as headers = { Authorization = \"${file:/path}\" } and leave it out here";
        text.report.fault(&text.place, &text.path, "the URL has a password in it", cure);
        return None;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    Some(PostUrl { is_secure, host, port, authority: authority.to_string(), target: target.to_owned() })
}

fn headers(value: &Value<'_>) -> Vec<(String, String)> {
    let Some(table) = value.table() else { return Vec::new() };
    let header = |(name, value): (&str, Value<'_>)| {
        let text = value.text()?;
        // A file has a line's end.
        let content = text.text.trim_end().to_owned();
        if HeaderName::try_from(name).is_err() || HeaderValue::try_from(&content).is_err() {
            text.fault("cannot stand in a header", "write a name and one line of text");
            return None;
        }
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            text.fault("is a header that Drawbridge writes itself", "leave it out");
            return None;
        }
        Some((name.to_owned(), content))
    };
    table.entries().into_iter().filter_map(header).collect()
}

/// `"100MB"`: a thousand each, as disks are sold.
fn bytes(text: &Text<'_>) -> Option<u64> {
    let units = [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let parsed = units.iter().find_map(|(unit, factor)| {
        text.text.strip_suffix(unit)?.trim_end().parse::<u64>().ok()?.checked_mul(*factor)
    });
    let Some(parsed) = parsed else {
        text.fault("is no size", "write a whole number with MB or GB, as in \"100MB\"");
        return None;
    };
    if !(SPOOL_MAX.0..=SPOOL_MAX.1).contains(&parsed) {
        text.fault("this is out of range", "write \"1MB\" to \"1000GB\"");
    }
    Some(parsed)
}
