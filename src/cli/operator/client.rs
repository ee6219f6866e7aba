//! One exchange with the daemon: HTTP over its admin socket.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nix::unistd::{Gid, Group};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::DaemonArgs;
use crate::cli::style::shown;
use crate::config;

/// The daemon answers sooner, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer is larger.
const MAX_BODY_BYTES: usize = 16 << 20;
/// The group of the packaged daemon.
const PACKAGED_GROUP: &str = "drawbridge";

/// A daemon, by its admin socket.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    socket: PathBuf,
}

/// What it said.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: StatusCode,
    pub(super) body: Value,
}

/// Why there is nothing to show, with what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    error: String,
    cure: String,
}

impl Failure {
    pub(super) fn new(error: impl Into<String>, cure: impl Into<String>) -> Failure {
        Failure { error: error.into(), cure: cure.into() }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({ "error": self.error, "cure": self.cure })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match self.cure.as_str() {
            "" => self.error.clone(),
            cure => format!("{}; {cure}", self.error),
        };
        // It repeats what was typed, and pasted text may hold anything.
        f.write_str(&shown(&told))
    }
}

impl Answer {
    /// What was asked for, or why it was not done.
    pub(super) fn success(self) -> Result<Value, Failure> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let text = |key: &str| self.body[key].as_str().unwrap_or_default().to_owned();
        let error = match text("error") {
            error if error.is_empty() => format!("the daemon answers {}", self.status),
            error => error,
        };
        Err(Failure { error, cure: text("cure") })
    }

    /// There is nothing of that name.
    pub(super) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// A reload was refused: the answer says why.
    pub(super) fn is_refused_reload(&self) -> bool {
        self.status == StatusCode::UNPROCESSABLE_ENTITY && self.body["outcome"] == "refused"
    }
}

impl Daemon {
    /// The daemon that the command line means.
    pub(super) fn of(args: &DaemonArgs) -> Result<Daemon, Failure> {
        if let Some(socket) = &args.socket {
            return Ok(Daemon { socket: socket.clone() });
        }
        match config::find_socket(&args.config) {
            Some(socket) => Ok(Daemon { socket }),
            None => Err(Failure::new(
                format!("{} says that there is no admin socket", args.config.display()),
                "write a path as admin.socket and restart the daemon, or name one with --socket",
            )),
        }
    }

    #[cfg(test)]
    pub(super) fn at(socket: &Path) -> Daemon {
        Daemon { socket: socket.to_owned() }
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.exchange(&Method::GET, path, None)
    }

    pub(super) fn post(&self, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.exchange(&Method::POST, path, body)
    }

    fn exchange(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Failure::new(format!("the system refuses what every program needs: {error}"), "")
        })?;
        let exchange = async { tokio::time::timeout(PATIENCE, self.converse(method, path, body)).await };
        runtime.block_on(exchange).unwrap_or_else(|_| {
            let patience = PATIENCE.as_secs();
            Err(self.broken(&format!("nothing came within {patience} s")))
        })
    }

    async fn converse(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let broken = |error: hyper::Error| self.broken(&error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "drawbridge");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(body.map(Value::to_string).unwrap_or_default())
            .map_err(|error| Failure::new(format!("this cannot be asked: {error}"), ""))?;
        let read = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let bytes = to_bytes(Body::new(response.into_body()), MAX_BODY_BYTES).await;
            let bytes = bytes.map_err(|error| self.broken(&error.to_string()))?;
            Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
        };
        tokio::pin!(read);
        tokio::select! {
            answer = &mut read => answer,
            // It closes when it has said all: what came is still to be read.
            _ = connection => read.await,
        }
    }

    fn broken(&self, reason: &str) -> Failure {
        Failure::new(
            format!("the daemon at {} does not answer as it should: {reason}", self.socket.display()),
            "see its log: journalctl -u drawbridge",
        )
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::new(
                format!("no daemon listens at {socket}"),
                "start it with systemctl start drawbridge; if it runs, name its socket with --socket, or its \
                 configuration with --config",
            ),
            io::ErrorKind::PermissionDenied => {
                let group = group_of(&self.socket).unwrap_or_else(|| PACKAGED_GROUP.to_owned());
                let cure = match group.as_str() {
                    "root" => "run this as root".to_owned(),
                    group => format!("run this as root, or join the group {group}: usermod -aG {group} USER"),
                };
                Failure::new(format!("you may not use {socket}"), cure)
            }
            _ => Failure::new(
                format!("{socket} cannot be used: {error}"),
                "name the daemon's admin socket with --socket",
            ),
        }
    }
}

/// The group whose members may use a socket: its own, or that of the directory that hides it.
fn group_of(socket: &Path) -> Option<String> {
    let metadata = |path: &Path| std::fs::metadata(path).ok();
    let metadata = metadata(socket).or_else(|| metadata(socket.parent()?))?;
    let group = Group::from_gid(Gid::from_raw(metadata.gid())).ok()??;
    Some(group.name)
}

/// A name as one segment of a path (RFC 3986 §3.3).
pub(super) fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => segment.push(byte.into()),
            // A dot alone is another segment's name.
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_segment() {
        assert_eq!(segment("vonage-a_1"), "vonage-a_1");
        assert_eq!(segment("../x y?é"), "%2E%2E%2Fx%20y%3F%C3%A9");
    }

    #[test]
    fn nobody_there_is_told_with_its_cure() {
        let daemon = Daemon { socket: PathBuf::from("/nonexistent/drawbridge/admin.sock") };
        let failure = daemon.get("/api/v1/status").unwrap_err();
        assert_eq!(failure.error, "no daemon listens at /nonexistent/drawbridge/admin.sock");
        assert!(failure.cure.starts_with("start it with systemctl start drawbridge"), "{failure}");
        let refused = daemon.unreachable(&io::ErrorKind::PermissionDenied.into());
        assert_eq!(
            refused.cure,
            "run this as root, or join the group drawbridge: usermod -aG drawbridge USER"
        );
    }

    #[test]
    fn an_answer_that_is_no_success_says_why() {
        let answer =
            |status: u16, body: Value| Answer { status: StatusCode::from_u16(status).unwrap(), body };
        let failure = answer(404, json!({ "error": "there is no trunk", "cure": "list them" })).success();
        assert_eq!(failure.unwrap_err().to_string(), "there is no trunk; list them");
        let failure = answer(404, json!({ "error": "no call \"\u{1b}[2J\"" })).success().unwrap_err();
        assert_eq!(failure.to_string(), "no call \"\u{fffd}[2J\"");
        let failure = answer(500, Value::Null).success().unwrap_err();
        assert_eq!(failure.to_string(), "the daemon answers 500 Internal Server Error");
        assert_eq!(answer(200, json!({ "a": 1 })).success(), Ok(json!({ "a": 1 })));
    }
}
