//! The connections that an admin listener holds: so many, for so long. A client that says nothing, or
//! says it byte by byte, takes no descriptor from calls and does not keep scrapers out.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// What connections are allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// At once; more wait in the kernel's backlog.
    pub(super) connections: usize,
    /// Without an answer going out: the time for a whole request, and between requests.
    pub(super) patience: Duration,
    /// From the first to the last byte.
    pub(super) life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 64, patience: Duration::from_secs(5), life: Duration::from_secs(60) }
    }
}

/// A listener that accepts within [`Limits`].
#[derive(Debug)]
pub(super) struct Bounded<L> {
    listener: L,
    limits: Limits,
    free: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    pub(super) fn new(listener: L, limits: Limits) -> Bounded<L> {
        Bounded { listener, limits, free: Arc::new(Semaphore::new(limits.connections)) }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Connection<L::Io>, L::Addr) {
        // The semaphore is never closed: there always comes a permit.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        let (stream, peer) = self.listener.accept().await;
        (Connection::new(stream, self.limits, permit), peer)
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

/// A stream that fails with `TimedOut` once its time is over.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    patience: Duration,
    /// Starts anew with every write.
    silence: Pin<Box<Sleep>>,
    end: Pin<Box<Sleep>>,
    /// Given back when the connection is dropped.
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    fn new(stream: S, limits: Limits, permit: Option<OwnedSemaphorePermit>) -> Connection<S> {
        Connection {
            stream,
            patience: limits.patience,
            silence: Box::pin(sleep(limits.patience)),
            end: Box::pin(sleep(limits.life)),
            _permit: permit,
        }
    }

    /// Registers for the end of the time as well.
    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let over = self.silence.as_mut().poll(cx).is_ready() | self.end.as_mut().poll(cx).is_ready();
        if over { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_time(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_time(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(_))) {
            self.silence = Box::pin(sleep(self.patience));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn one_that_never_finishes_its_request_makes_room_for_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits =
            Limits { connections: 1, patience: Duration::from_millis(50), life: Duration::from_secs(60) };
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = tokio::spawn(async move { axum::serve(Bounded::new(listener, limits), router).await });

        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(10), next.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        // Closed, with a 408 or without a word.
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut rest)).await.unwrap();
        server.abort();
    }
}
