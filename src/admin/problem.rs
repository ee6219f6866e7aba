//! What the API answers when it cannot do what was asked: one JSON object with a cure.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that is a failure.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    error: String,
    cure: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, cure: impl Into<String>) -> Problem {
        Problem { status, body: Body { error: error.into(), cure: cure.into() } }
    }

    /// The driver says nothing.
    pub(super) fn unresponsive() -> Problem {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the engine does not answer",
            "see the log; systemd restarts a daemon that stays so",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
