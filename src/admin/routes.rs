//! Every page of the admin API in one table: the routers and their description (openapi.rs) are made of it, so that no
//! page is served that is not described.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, any, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::problem::Problem;
use super::{View, call, calls, changes, log, openapi, page, reload, status, trunks};

/// One page.
pub(super) struct Page {
    /// As axum and OpenAPI write it, `{name}` for what is asked for.
    pub(super) path: &'static str,
    /// Where it is served.
    pub(super) on: On,
    /// What serves it: POST on the socket alone, GET else.
    pub(super) serves: fn() -> MethodRouter<View>,
    /// What programs that are made of the description call it.
    pub(super) id: &'static str,
    /// What it is for, in a sentence.
    pub(super) text: &'static str,
    /// The JSON that may be sent.
    pub(super) takes: Option<Shape>,
    /// What comes back.
    pub(super) gives: Gives,
    /// Other answers than 200.
    pub(super) else_: &'static [(u16, &'static str)],
}

/// Gives the schema of a body.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(shapes: &mut SchemaGenerator) -> Schema {
    shapes.subschema_for::<T>()
}

/// Where a page is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum On {
    /// By HTTP and on the socket: it changes nothing.
    Both,
    /// On the socket alone, by POST.
    Socket,
}

/// What a page answers.
pub(super) enum Gives {
    Json(Shape),
    /// The media type.
    Text(&'static str),
}

const UNRESPONSIVE: (u16, &str) = (503, "the engine does not answer");
const NO_TRUNK: (u16, &str) = (404, "there is no such trunk");
const NO_CALL: (u16, &str) = (404, "there is no such call; it may be over");
const PLAIN: &str = "text/plain; charset=utf-8";

/// All of them.
pub(super) const PAGES: &[Page] = &[
    Page {
        path: "/metrics",
        on: On::Both,
        serves: || get(super::metrics),
        id: "metrics",
        text: "Every metric, in the text format of Prometheus.",
        takes: None,
        gives: Gives::Text(super::EXPOSITION),
        else_: &[],
    },
    Page {
        path: "/healthz",
        on: On::Both,
        serves: || get(super::healthz),
        id: "healthz",
        text: "Whether the process lives: the engine answers, and no media worker is given up.",
        takes: None,
        gives: Gives::Text(PLAIN),
        else_: &[(503, "it does not, in a line of plain text")],
    },
    Page {
        path: "/readyz",
        on: On::Both,
        serves: || get(super::readyz),
        id: "readyz",
        text: "Whether new calls are welcome.",
        takes: None,
        gives: Gives::Text(PLAIN),
        else_: &[(503, "they are not: it drains, or does not answer, in a line of plain text")],
    },
    Page {
        path: "/api/v1/openapi.json",
        on: On::Both,
        serves: || get(openapi::page),
        id: "openapi",
        text: "This description.",
        takes: None,
        gives: Gives::Json(|_| schemars::json_schema!({"type": "object"})),
        else_: &[],
    },
    Page {
        path: "/api/v1/status",
        on: On::Both,
        serves: || get(status::status),
        id: "status",
        text: "How the daemon is: its state, calls, trunks, names, and the configuration in force.",
        takes: None,
        gives: Gives::Json(of::<status::Status>),
        else_: &[],
    },
    Page {
        path: "/api/v1/trunks",
        on: On::Both,
        serves: || get(trunks::list),
        id: "trunks",
        text: "Every trunk with its state, calls, targets and registrations.",
        takes: None,
        gives: Gives::Json(of::<trunks::Trunks>),
        else_: &[UNRESPONSIVE],
    },
    Page {
        path: "/api/v1/trunks/{name}",
        on: On::Both,
        serves: || get(trunks::one),
        id: "trunk",
        text: "One trunk.",
        takes: None,
        gives: Gives::Json(of::<trunks::TrunkBody>),
        else_: &[NO_TRUNK, UNRESPONSIVE],
    },
    Page {
        path: "/api/v1/calls",
        on: On::Both,
        serves: || get(calls::list),
        id: "calls",
        text: "The calls in progress, the oldest first, 1,000 at most.",
        takes: None,
        gives: Gives::Json(of::<calls::Calls>),
        else_: &[UNRESPONSIVE],
    },
    Page {
        path: "/api/v1/calls/{id}",
        on: On::Both,
        serves: || get(call::one),
        id: "call",
        text: "One call, also one that ended lately: route and why, dialogs, media as it is now, the last SIP messages.",
        takes: None,
        gives: Gives::Json(of::<call::CallPageBody>),
        else_: &[NO_CALL, UNRESPONSIVE],
    },
    Page {
        path: "/api/v1/history",
        on: On::Both,
        serves: || get(page::history),
        id: "history",
        text: "How calls went lately: answered, post-dial delay, opinion score, calls a second.",
        takes: None,
        gives: Gives::Json(of::<page::History>),
        else_: &[],
    },
    Page {
        path: "/api/v1/snapshot",
        on: On::Both,
        serves: || get(page::snapshot),
        id: "snapshot",
        text: "What the status page shows of the node at this moment.",
        takes: None,
        gives: Gives::Json(of::<page::Snapshot>),
        else_: &[],
    },
    Page {
        path: "/api/v1/events",
        on: On::Both,
        serves: || get(page::events),
        id: "events",
        text: "The same once a second, as server-sent events of the kind snapshot.",
        takes: None,
        gives: Gives::Text("text/event-stream"),
        else_: &[(503, "as many are watching as may")],
    },
    Page {
        path: "/api/v1/log",
        on: On::Both,
        serves: || get(log::show),
        id: "log",
        text: "What is logged.",
        takes: None,
        gives: Gives::Json(of::<log::LogBody>),
        else_: &[],
    },
    Page {
        path: "/api/v1/log",
        on: On::Socket,
        serves: || post(log::change),
        id: "changeLog",
        text: "Another filter for what is logged, until the configuration or an operator says otherwise.",
        takes: Some(of::<log::LogRequest>),
        gives: Gives::Json(of::<log::LogBody>),
        else_: &[(400, "what was sent is no JSON, or no filter")],
    },
    Page {
        path: "/api/v1/trunks/{name}/enable",
        on: On::Socket,
        serves: || post(changes::enable),
        id: "enableTrunk",
        text: "New calls go over the trunk again.",
        takes: None,
        gives: Gives::Json(of::<trunks::TrunkBody>),
        else_: &[NO_TRUNK, UNRESPONSIVE],
    },
    Page {
        path: "/api/v1/trunks/{name}/disable",
        on: On::Socket,
        serves: || post(changes::disable),
        id: "disableTrunk",
        text: "New calls pass the trunk over, and its own are refused, until it is enabled, a reload changes its key enabled, or \
               the daemon ends.",
        takes: None,
        gives: Gives::Json(of::<trunks::TrunkBody>),
        else_: &[NO_TRUNK, UNRESPONSIVE],
    },
    Page {
        path: "/api/v1/calls/{id}/hangup",
        on: On::Socket,
        serves: || post(changes::hang_up),
        id: "hangUp",
        text: "Ends a call: BYE to both sides, or 480 to a caller that waits.",
        takes: None,
        gives: Gives::Json(of::<changes::HungUp>),
        else_: &[NO_CALL, UNRESPONSIVE],
    },
    Page {
        path: "/api/v1/reload",
        on: On::Socket,
        serves: || post(changes::reload),
        id: "reload",
        text: "Reads the configuration again.",
        takes: None,
        gives: Gives::Json(of::<reload::ReloadReport>),
        else_: &[(422, "the files have faults; the body is the same"), (503, "it is not read now")],
    },
    Page {
        path: "/api/v1/drain",
        on: On::Socket,
        serves: || post(changes::drain),
        id: "drain",
        text: "New calls are refused (503); at the deadline, if there is one, the calls that are left are ended.",
        takes: Some(of::<changes::DrainRequest>),
        gives: Gives::Json(of::<changes::Drained>),
        else_: &[(400, "what was sent is no JSON, or the deadline is too far away"), UNRESPONSIVE],
    },
    Page {
        path: "/api/v1/undrain",
        on: On::Socket,
        serves: || post(changes::undrain),
        id: "undrain",
        text: "Takes new calls again.",
        takes: None,
        gives: Gives::Json(of::<changes::Drained>),
        else_: &[UNRESPONSIVE],
    },
];

/// By HTTP, where anybody on this host may be: what changes things is refused.
pub(super) fn on_http() -> Router<View> {
    PAGES.iter().fold(Router::new(), |router, page| match page.on {
        On::Both => router.route(page.path, (page.serves)()),
        On::Socket if is_read(page.path) => router.route(page.path, post(only_on_the_socket)),
        On::Socket => router.route(page.path, any(only_on_the_socket)),
    })
}

/// Whether the same path is there to be read.
fn is_read(path: &str) -> bool {
    PAGES.iter().any(|page| page.path == path && page.on == On::Both)
}

/// On the admin socket: everything.
pub(super) fn on_the_socket() -> Router<View> {
    PAGES.iter().fold(Router::new(), |router, page| router.route(page.path, (page.serves)()))
}

async fn only_on_the_socket() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "HTTP serves what can be read, and changes nothing",
        "ask at the admin socket: drawbridge has a command for it, and curl --unix-socket reaches it, too",
    )
}

#[cfg(test)]
mod tests {
    /// A page that stood elsewhere would not be described. Those for browsers are no part of the API.
    #[test]
    fn no_page_is_routed_but_here() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin");
        let mut directories = vec![std::path::PathBuf::from(directory)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|end| end == "rs")
                    && !path.ends_with("routes.rs")
                    && !path.ends_with("page/mod.rs")
                {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
                    assert!(!text.contains(".route("), "{}: write it into PAGES", path.display());
                }
            }
        }
    }
}
