//! The calls that change things: served on the admin socket alone, and logged with who asked.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::calls::no_such_call;
use super::problem::Problem;
use super::socket::Peer;
use super::trunks::{TrunkBody, find, no_such_trunk};
use super::{Reload, ReloadReport, View};
use crate::base::TrunkName;
use crate::runtime::driver::Command;
use crate::telemetry::rfc3339::utc_millis;

/// Reading files, certificates among them, and handing them to the engine takes no longer.
const RELOAD_PATIENCE: Duration = Duration::from_secs(20);
/// A drain that lasts longer wants no deadline.
const DEADLINE_MAX_S: u64 = 86_400;

/// What stands in the path.
type Named = Result<Path<String>, PathRejection>;

pub(super) async fn enable(
    view: State<View>,
    peer: ConnectInfo<Peer>,
    name: Named,
) -> Result<Response, Problem> {
    switch(view, peer, name?, true).await
}

pub(super) async fn disable(
    view: State<View>,
    peer: ConnectInfo<Peer>,
    name: Named,
) -> Result<Response, Problem> {
    switch(view, peer, name?, false).await
}

async fn switch(
    State(view): State<View>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    enabled: bool,
) -> Result<Response, Problem> {
    let trunk = TrunkName::from(name.as_str());
    let is_known = view.ask(|answer| Command::SetTrunkEnabled(trunk, enabled, answer)).await;
    if !is_known.ok_or_else(Problem::unresponsive)? {
        return Err(no_such_trunk(&name));
    }
    tracing::info!(trunk = name, enabled, uid = peer.uid, "an operator switched a trunk");
    let trunk: TrunkBody = find(&view, &name).await?;
    Ok(Json(trunk).into_response())
}

#[derive(Serialize, JsonSchema)]
pub(super) struct HungUp {
    call: String,
    hung_up: bool,
}

pub(super) async fn hang_up(
    State(view): State<View>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    id: Named,
) -> Result<Response, Problem> {
    let Path(id) = id?;
    let is_known = view.ask(|answer| Command::HangUp(id.clone(), answer)).await;
    if !is_known.ok_or_else(Problem::unresponsive)? {
        return Err(no_such_call(&id));
    }
    tracing::info!(call = id, uid = peer.uid, "an operator hung up");
    Ok(Json(HungUp { call: id, hung_up: true }).into_response())
}

pub(super) async fn reload(
    State(view): State<View>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Response, Problem> {
    let (answer, report) = oneshot::channel();
    let nobody_reads = || {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the configuration is not read again",
            "see the log; or restart the daemon",
        )
    };
    tracing::info!(uid = peer.uid, "an operator asks for a reload");
    view.reloads.try_send(answer).map_err(|error| match error {
        TrySendError::Full(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "others ask for a reload at this moment, and theirs are not done",
            "ask again in a few seconds",
        ),
        TrySendError::Closed(_) => nobody_reads(),
    })?;
    let report = tokio::time::timeout(RELOAD_PATIENCE, report).await;
    let report: ReloadReport = report.ok().and_then(Result::ok).ok_or_else(nobody_reads)?;
    let status = match report.outcome {
        Reload::Taken | Reload::Unchanged => StatusCode::OK,
        Reload::Refused => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok((status, Json(report)).into_response())
}

/// What a drain may say.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainRequest {
    /// After so long the calls that are left are ended.
    deadline_seconds: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Drained {
    /// `draining` or `serving`.
    state: &'static str,
    calls: usize,
    /// When the calls that are left are ended.
    deadline: Option<String>,
}

pub(super) async fn drain(
    State(view): State<View>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Result<Option<Json<DrainRequest>>, JsonRejection>,
) -> Result<Response, Problem> {
    let seconds = request?.and_then(|Json(request)| request.deadline_seconds);
    if seconds.is_some_and(|seconds| seconds > DEADLINE_MAX_S) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the deadline is too far away",
            format!("give at most {DEADLINE_MAX_S} s, or none"),
        ));
    }
    let command = Command::Drain { deadline: seconds.map(Duration::from_secs) };
    view.commands.try_send(command).map_err(|_| Problem::unresponsive())?;
    tracing::info!(deadline_s = seconds, uid = peer.uid, "an operator drains the node");
    state(&view).await
}

pub(super) async fn undrain(
    State(view): State<View>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Response, Problem> {
    view.commands.try_send(Command::Undrain).map_err(|_| Problem::unresponsive())?;
    tracing::info!(uid = peer.uid, "an operator ends the drain");
    state(&view).await
}

async fn state(view: &View) -> Result<Response, Problem> {
    let vitals = view.vitals().await.ok_or_else(Problem::unresponsive)?;
    let deadline = vitals.drain_deadline.map(|at| utc_millis(view.clock.time_of_day(at)));
    let state = if vitals.draining { "draining" } else { "serving" };
    Ok(Json(Drained { state, calls: vitals.census.calls, deadline }).into_response())
}
