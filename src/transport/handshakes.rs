//! The thread on which TLS shakes hands. A signature costs more than many calls' messages, a client
//! that only says hello costs itself nothing, and the thread of the driver serves everybody.
//!
//! Must not know: certificates, connections.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The thread; it ends when this is dropped.
pub(super) struct Handshakes {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Handshakes {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start() -> io::Result<Handshakes> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("tls".to_owned()).spawn(move || {
            // It ends with an error: nobody says a word.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Handshakes { handle, _end: end })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

/// Runs a handshake there; it ends when nobody waits for it any more.
///
/// # Errors
/// Its own, or that of a thread that has ended.
pub(super) async fn run<T: Send + 'static>(
    there: &Handle,
    handshake: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    let mut task = JoinSet::new();
    task.spawn_on(handshake, there);
    match task.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(_)) | None => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_runs_there_holds_nobody_up_here() {
        let handshakes = Handshakes::start().unwrap();
        let (go, wait) = std::sync::mpsc::channel();
        // It blocks its thread until this one has gone on.
        let long =
            async move { Ok((wait.recv().unwrap(), std::thread::current().name().map(str::to_owned))) };
        let there = handshakes.handle();
        let (done, ()) = tokio::join!(run(&there, long), async { go.send(7).unwrap() });
        assert_eq!(done.unwrap(), (7, Some("tls".to_owned())));
    }

    #[tokio::test]
    async fn a_thread_that_has_ended_leaves_nobody_waiting() {
        let there = Handshakes::start().unwrap().handle();
        let never = run::<()>(&there, std::future::pending());
        let patience = std::time::Duration::from_secs(5);
        let result = tokio::time::timeout(patience, never).await.expect("an end");
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
