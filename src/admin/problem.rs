//! What the API answers when it cannot do what was asked: one JSON object with a cure.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// No message is longer, in characters.
const MESSAGE_MAX: usize = 200;

/// An answer that is a failure.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Body {
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

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        let cure = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                "send one JSON object with the fields that /api/v1/openapi.json has"
            }
            StatusCode::UNPROCESSABLE_ENTITY => "see its fields and their types in /api/v1/openapi.json",
            _ => "send one JSON object as application/json, or nothing",
        };
        Problem::new(rejection.status(), capped(&rejection.body_text()), cure)
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        let cure = "write a name in the path as UTF-8, percent-encoded";
        Problem::new(rejection.status(), capped(&rejection.body_text()), cure)
    }
}

/// It may quote what was sent.
fn capped(text: &str) -> String {
    text.chars().take(MESSAGE_MAX).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
