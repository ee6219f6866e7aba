//! The status page: a page for the node and one for each call, at the HTTP listener alone, with what they show
//! live. No build step, nothing from elsewhere: all files are in the binary.
//!
//! A browser is made to run only our own files (Content-Security-Policy), and what came from the network is
//! data for them, never markup. Nothing can be changed by HTTP, so there is nothing to forge a request for;
//! that no other site reads along is `guard.rs`'s matter.

mod events;
mod guard;
mod history;
mod measured;
mod snapshot;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::View;

pub use events::Live;
pub(super) use events::{events, watch};
pub(super) use guard::{Door, guard};
pub(super) use history::{History, history};
pub(super) use snapshot::{Snapshot, snapshot};

/// Scripts, styles and data from here, and nothing else; in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file that is part of the program.
#[derive(Clone, Copy, Debug)]
struct Asset {
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// A page: what all have at their beginning, and its own.
macro_rules! page {
    ($own:literal) => {
        Asset { kind: HTML, text: concat!(include_str!("head.html"), include_str!($own)) }
    };
}

const NODE: Asset = page!("node.html");
const CALL: Asset = page!("call.html");
/// By the names under which the pages know them.
const ASSETS: [(&str, Asset); 12] = [
    ("/assets/page.css", Asset { kind: STYLE, text: include_str!("page.css") }),
    ("/assets/node.js", Asset { kind: SCRIPT, text: include_str!("node.js") }),
    ("/assets/findings.js", Asset { kind: SCRIPT, text: include_str!("findings.js") }),
    ("/assets/notices.js", Asset { kind: SCRIPT, text: include_str!("notices.js") }),
    ("/assets/reasons.js", Asset { kind: SCRIPT, text: include_str!("reasons.js") }),
    ("/assets/trunks.js", Asset { kind: SCRIPT, text: include_str!("trunks.js") }),
    ("/assets/call.js", Asset { kind: SCRIPT, text: include_str!("call.js") }),
    ("/assets/media.js", Asset { kind: SCRIPT, text: include_str!("media.js") }),
    ("/assets/ladder.js", Asset { kind: SCRIPT, text: include_str!("ladder.js") }),
    ("/assets/chart.js", Asset { kind: SCRIPT, text: include_str!("chart.js") }),
    ("/assets/common.js", Asset { kind: SCRIPT, text: include_str!("common.js") }),
    ("/assets/icon.svg", Asset { kind: IMAGE, text: include_str!("icon.svg") }),
];

/// What browsers open.
pub(super) fn pages() -> Router<View> {
    let pages = Router::new().route("/", get(|| async { NODE })).route("/calls/{id}", get(|| async { CALL }));
    ASSETS
        .into_iter()
        .fold(pages, |router, (path, asset)| router.route(path, get(move || async move { asset })))
}

impl IntoResponse for Asset {
    fn into_response(self) -> Response {
        let fixed = HeaderValue::from_static;
        let headers: [(HeaderName, HeaderValue); 6] = [
            (header::CONTENT_TYPE, fixed(self.kind)),
            (header::CONTENT_SECURITY_POLICY, fixed(POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::REFERRER_POLICY, fixed("no-referrer")),
            (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
            // Another version of the daemon has other files under these names.
            (header::CACHE_CONTROL, fixed("no-cache")),
        ];
        (headers, self.text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_script_or_style_stands_in_the_markup() {
        for page in [NODE.text, CALL.text] {
            for forbidden in ["http://", "https://", "style=", "<style", " onload", " onclick", "javascript:"]
            {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
            let scripts = page.matches("<script").count();
            assert_eq!(scripts, page.matches("<script type=\"module\" src=\"/assets/").count());
            for reference in page.split("/assets/").skip(1) {
                let name = reference.split('"').next().unwrap_or_default();
                assert!(ASSETS.iter().any(|(path, _)| *path == format!("/assets/{name}")), "{name}");
            }
        }
    }

    #[test]
    fn a_page_has_one_head_and_every_script_that_another_asks_for() {
        for page in [NODE.text, CALL.text] {
            for once in ["<!doctype html>", "<head>", "</head>", "<title>", "</html>"] {
                assert_eq!(page.matches(once).count(), 1, "{once}");
            }
        }
        for (path, script) in ASSETS.iter().filter(|(_, asset)| asset.kind == SCRIPT) {
            for from in script.text.split(" from \"./").skip(1) {
                let name = from.split('"').next().unwrap_or_default();
                assert!(ASSETS.iter().any(|(path, _)| *path == format!("/assets/{name}")), "{path}: {name}");
            }
        }
    }

    #[test]
    fn every_reason_for_which_packets_are_dropped_has_words() {
        let words = include_str!("reasons.js");
        let table =
            words.split("const REASONS = {").nth(1).and_then(|rest| rest.split("\n};").next()).unwrap();
        let named: Vec<&str> =
            table.lines().filter_map(|line| line.trim().split_once(": [")).map(|(name, _)| name).collect();
        let known: Vec<&str> = crate::media::DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        assert_eq!(sorted(named), sorted(known));
    }

    #[test]
    fn what_the_network_says_is_never_read_as_markup() {
        for (path, asset) in ASSETS {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!asset.text.contains(forbidden), "{path}: {forbidden}");
            }
        }
    }
}
