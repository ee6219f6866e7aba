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

const NODE: Asset = Asset { kind: HTML, text: include_str!("node.html") };
const CALL: Asset = Asset { kind: HTML, text: include_str!("call.html") };
/// By the names under which the pages know them.
const ASSETS: [(&str, Asset); 8] = [
    ("/assets/page.css", Asset { kind: STYLE, text: include_str!("page.css") }),
    ("/assets/node.js", Asset { kind: SCRIPT, text: include_str!("node.js") }),
    ("/assets/trunks.js", Asset { kind: SCRIPT, text: include_str!("trunks.js") }),
    ("/assets/call.js", Asset { kind: SCRIPT, text: include_str!("call.js") }),
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
    fn what_the_network_says_is_never_read_as_markup() {
        for (path, asset) in ASSETS {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!asset.text.contains(forbidden), "{path}: {forbidden}");
            }
        }
    }
}
