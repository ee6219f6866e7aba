//! `drawbridge hangup`: ends the call that is meant, and never another.
//!
//! The daemon hangs up by whole ids alone. What it knows no call by may be the beginning of an id: then the daemon is asked
//! which call that is, as `drawbridge call` asks it, and told to end that one by its whole id. A call that ends in between
//! leaves the id without a call, not with another: an id is given once.

use serde_json::Value;

use super::call_path;
use super::client::{Answer, Daemon, Failure, segment};
use super::columns::{cell, text};

/// A beginning is no shorter: what one key too few or too many makes of another id shall rarely be taken for one.
const BEGINNING_MIN: usize = 4;

/// Hangs up the call of an id, or of its beginning where no other call's begins so.
pub(super) fn hang_up(daemon: &Daemon, typed: &str) -> Result<Answer, Failure> {
    let answer = daemon.post(&path(typed), None)?;
    if !answer.is_not_found() {
        return Ok(answer);
    }
    if typed.len() < BEGINNING_MIN {
        return Err(Failure::new(
            format!("{typed:?} is too short to say which call is meant"),
            format!("give {BEGINNING_MIN} characters of its id or more; drawbridge calls has them"),
        ));
    }
    let found = daemon.get(&call_path(typed))?.success()?;
    daemon.post(&path(meant(&found)?), None)
}

pub(super) fn page(body: &Value) -> String {
    format!("hung up: {}\n", cell(text(body, "call")))
}

/// The whole id of what was found.
fn meant(found: &Value) -> Result<&str, Failure> {
    let id = text(found, "id");
    if text(found, "state") == "ended" {
        return Err(Failure::new(
            format!("the call {id} is over"),
            format!("see how it ended: drawbridge call {id}"),
        ));
    }
    Ok(id)
}

fn path(id: &str) -> String {
    format!("/api/v1/calls/{}/hangup", segment(id))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use serde_json::json;

    use super::*;

    /// What comes of hanging up `typed` where a daemon gives these answers, and what it was asked.
    fn tried(typed: &str, answers: &[(&str, Value)]) -> (Result<Value, Failure>, Vec<String>) {
        let name = format!("drawbridge-hangup-{typed}-{}-{}", answers.len(), std::process::id());
        let socket = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let serve = |(status, body): &(&str, Value)| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        request.extend(byte);
                    }
                    let body = body.to_string();
                    let length = body.len();
                    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
                    let line = String::from_utf8(request).unwrap().lines().next().unwrap().to_owned();
                    line.trim_end_matches(" HTTP/1.1").to_owned()
                };
                answers.iter().map(serve).collect()
            });
            let answer = hang_up(&Daemon::at(&socket), typed).and_then(Answer::success);
            let asked = asked.join().unwrap();
            std::fs::remove_file(&socket).unwrap();
            (answer, asked)
        })
    }

    fn unknown() -> (&'static str, Value) {
        ("404 Not Found", json!({ "error": "there is no call", "cure": "it may be over" }))
    }

    const TYPED: &str = "POST /api/v1/calls/00ab/hangup";
    const LOOKED_UP: &str = "GET /api/v1/calls/00ab";

    #[test]
    fn a_whole_id_is_acted_upon_at_once() {
        let done = json!({ "call": "00ab", "hung_up": true });
        let (answer, asked) = tried("00ab", &[("200 OK", done.clone())]);
        assert_eq!((answer, asked), (Ok(done.clone()), vec![TYPED.to_owned()]));
        assert_eq!(page(&done), "hung up: 00ab\n");
    }

    #[test]
    fn the_beginning_of_one_id_ends_that_call_by_its_whole_id() {
        let done = json!({ "call": "00abcdef", "hung_up": true });
        let found = json!({ "id": "00abcdef", "state": "active" });
        let (answer, asked) = tried("00ab", &[unknown(), ("200 OK", found), ("200 OK", done.clone())]);
        assert_eq!(
            (answer, asked),
            (Ok(done), [TYPED, LOOKED_UP, "POST /api/v1/calls/00abcdef/hangup"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn the_beginning_of_several_ends_none_and_names_them() {
        let several =
            json!({ "error": "several calls begin with \"00ab\"", "cure": "write more of it: 00abc, 00abd" });
        let (answer, asked) = tried("00ab", &[unknown(), ("409 Conflict", several)]);
        let told = "several calls begin with \"00ab\"; write more of it: 00abc, 00abd";
        assert_eq!(
            (answer.unwrap_err().to_string().as_str(), asked),
            (told, vec![TYPED.to_owned(), LOOKED_UP.to_owned()])
        );
    }

    #[test]
    fn what_is_too_short_or_over_ends_nothing() {
        let (answer, asked) = tried("00a", &[unknown()]);
        let told = "\"00a\" is too short to say which call is meant; \
                    give 4 characters of its id or more; drawbridge calls has them";
        assert_eq!(answer.unwrap_err().to_string(), told);
        assert_eq!(asked, ["POST /api/v1/calls/00a/hangup"]);
        let over = json!({ "id": "00abcdef", "state": "ended" });
        let (answer, asked) = tried("00ab", &[unknown(), ("200 OK", over)]);
        let told = "the call 00abcdef is over; see how it ended: drawbridge call 00abcdef";
        assert_eq!((answer.unwrap_err().to_string().as_str(), asked.len()), (told, 2));
    }
}
