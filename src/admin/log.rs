//! `/api/v1/log`: what is logged, and on the admin socket another filter for it, until the configuration or an
//! operator says otherwise.

use axum::Json;
use axum::extract::ConnectInfo;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::socket::Peer;
use crate::telemetry::log;

#[derive(Serialize, JsonSchema)]
pub(super) struct LogBody {
    /// As it was written; null: the process has no log of its own.
    filter: Option<String>,
}

/// What is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogRequest {
    filter: String,
}

pub(super) async fn show() -> Json<LogBody> {
    Json(LogBody { filter: log::current_filter() })
}

pub(super) async fn change(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Result<Json<LogRequest>, JsonRejection>,
) -> Result<Json<LogBody>, Problem> {
    let Json(LogRequest { filter }) = request?;
    // Said before and after: one of the two filters may not let it through.
    tracing::info!(filter, uid = peer.uid, "an operator changes what is logged");
    log::set_filter(&filter).map_err(|why| {
        let filter: String = filter.chars().take(80).collect();
        Problem::new(StatusCode::BAD_REQUEST, format!("\"{filter}\" {why}"), log::FILTER_CURE)
    })?;
    tracing::info!(filter, uid = peer.uid, "an operator has changed what is logged");
    Ok(show().await)
}
