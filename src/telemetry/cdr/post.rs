//! The copy of records by HTTP: a thread that takes lines from the spool and POSTs them until the other end
//! has them. At least once: what was sent when the answer got lost is sent again, with the same key.
//!
//! Redirects are not followed: the headers may hold a secret, and records say who called whom.
//!
//! Must not know: what a record says.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use super::file::id_of;
use super::settings::PostSettings;
use super::spool::{Batch, Spool};
use super::state::{CdrState, PostResult};

/// The first wait after a failure; each later one is twice as long, up to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Of an answer so much is read, so that the connection serves again.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// So often what the other end calls wrong is sent, before it is given up.
const REFUSALS_MAX: u32 = 3;

/// The thread, and the spool that it empties.
#[derive(Debug)]
pub(super) struct Post {
    spool: Arc<Mutex<Spool>>,
    state: Arc<CdrState>,
    wake: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Post {
    /// Opens the spool and starts to send what is in it.
    pub(super) fn start(settings: PostSettings, state: Arc<CdrState>) -> io::Result<Post> {
        let spool = Arc::new(Mutex::new(Spool::open(&settings.spool, settings.spool_max)?));
        let wake = Arc::new(Notify::new());
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker {
            client: Client { settings: settings.clone(), sender: None },
            spool: Arc::clone(&spool),
            state: Arc::clone(&state),
            wake: Arc::clone(&wake),
            back_off: BackOff::default(),
            refusals: 0,
            alone: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("cdr-post".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = worker.run() => {}
                }
            });
            // A look-up of a name may hang.
            runtime.shutdown_background();
        })?;
        let post = Post { spool, state, wake, stop: Some(stop), thread: Some(thread) };
        post.tell_state();
        Ok(post)
    }

    /// Puts a line, which has its end, into the spool.
    pub(super) fn push(&self, line: &[u8]) -> io::Result<()> {
        let dropped = lock(&self.spool).push(line)?;
        if dropped > 0 {
            tracing::error!(dropped, "the spool of records for cdr.post is full: the oldest are dropped");
            self.state.count_posts(PostResult::Dropped, dropped);
        }
        self.tell_state();
        self.wake.notify_one();
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        lock(&self.spool).sync()
    }

    fn tell_state(&self) {
        let (records, bytes) = lock(&self.spool).waiting();
        self.state.set_spool(records, bytes);
    }

    /// Ends the thread; what was not sent stays in the spool.
    pub(super) fn end(mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Nobody panics with it, and if somebody did the files say what is so.
fn lock(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct Worker {
    client: Client,
    spool: Arc<Mutex<Spool>>,
    state: Arc<CdrState>,
    wake: Arc<Notify>,
    back_off: BackOff,
    /// Times that what is sent now was called wrong.
    refusals: u32,
    /// So many records go one by one, for one of them was called wrong.
    alone: usize,
}

/// What became of a POST.
#[derive(PartialEq, Eq, Debug)]
enum Answer {
    Taken,
    /// The records are at fault.
    Wrong(String),
    /// Later, perhaps; with the time that the server asks for.
    NotNow(String, Option<Duration>),
}

impl Worker {
    async fn run(mut self) {
        loop {
            let most = if self.alone > 0 { 1 } else { self.client.settings.batch };
            let batch = lock(&self.spool).next(most);
            match batch {
                Ok(batch) if batch.lines.is_empty() => self.wake.notified().await,
                Ok(batch) => {
                    let answer = self.client.post(&batch.lines).await;
                    self.follow(&batch, answer).await;
                }
                Err(error) => self.wait(format!("the spool cannot be read: {error}"), None).await,
            }
        }
    }

    async fn follow(&mut self, batch: &Batch, answer: Answer) {
        match answer {
            Answer::Taken => {
                if self.back_off.reset() {
                    tracing::info!(url = %self.client.settings.url, "records are sent again");
                    self.state.set_post_fault(None);
                }
                self.go_on(batch, PostResult::Sent);
            }
            Answer::Wrong(_) if self.refusals + 1 >= REFUSALS_MAX && batch.lines.len() > 1 => {
                (self.alone, self.refusals) = (batch.lines.len(), 0);
            }
            Answer::Wrong(why) if self.refusals + 1 >= REFUSALS_MAX => {
                let id = batch.lines.first().and_then(|line| id_of(line.as_bytes())).unwrap_or("?");
                tracing::error!(call = id, "a record is not sent on: {why}");
                self.go_on(batch, PostResult::Refused);
            }
            Answer::Wrong(why) => {
                self.refusals += 1;
                self.state.count_posts(PostResult::Retried, batch.lines.len() as u64);
                self.wait(why, None).await;
            }
            Answer::NotNow(why, after) => {
                self.state.count_posts(PostResult::Retried, batch.lines.len() as u64);
                self.wait(why, after).await;
            }
        }
    }

    /// This batch is done with.
    fn go_on(&mut self, batch: &Batch, result: PostResult) {
        self.refusals = 0;
        self.alone = self.alone.saturating_sub(batch.lines.len());
        let mut spool = lock(&self.spool);
        if let Err(error) = spool.sent(batch) {
            // Then it is sent again after a restart.
            tracing::warn!(%error, "the spool's cursor cannot be written");
        }
        let (records, bytes) = spool.waiting();
        drop(spool);
        self.state.count_posts(result, batch.lines.len() as u64);
        self.state.set_spool(records, bytes);
    }

    async fn wait(&mut self, why: String, asked: Option<Duration>) {
        if self.back_off.is_quiet() {
            let url = &self.client.settings.url;
            tracing::warn!(%url, "records are not sent, they wait in the spool: {why}");
        }
        self.state.set_post_fault(Some(why));
        let wait = self.back_off.next().max(asked.unwrap_or_default()).min(BACK_OFF.1);
        tokio::time::sleep(wait).await;
    }
}

/// Longer and longer waits.
#[derive(Default, Debug)]
struct BackOff {
    last: Option<Duration>,
}

impl BackOff {
    fn is_quiet(&self) -> bool {
        self.last.is_none()
    }

    fn next(&mut self) -> Duration {
        let next = self.last.map_or(BACK_OFF.0, |last| (last * 2).min(BACK_OFF.1));
        self.last = Some(next);
        next
    }

    /// Whether there was one.
    fn reset(&mut self) -> bool {
        self.last.take().is_some()
    }
}

/// One connection at a time.
struct Client {
    settings: PostSettings,
    sender: Option<SendRequest<String>>,
}

impl Client {
    async fn post(&mut self, lines: &[String]) -> Answer {
        let timeout = self.settings.timeout;
        let answer = match tokio::time::timeout(timeout, self.exchange(lines)).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {timeout:?}"),
        };
        // What is left of the exchange may come yet.
        self.sender = None;
        Answer::NotNow(answer, None)
    }

    async fn exchange(&mut self, lines: &[String]) -> Result<Answer, String> {
        let request = request(&self.settings, lines).map_err(|error| error.to_string())?;
        let mut kept = self.sender.take();
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (status, after) = (response.status(), retry_after(response.headers()));
        let body = to_bytes(Body::new(response.into_body()), MAX_ANSWER_BYTES).await;
        if body.is_ok() {
            self.sender = Some(sender);
        }
        Ok(judge(status, after))
    }

    async fn connect(&self) -> Result<SendRequest<String>, String> {
        let url = &self.settings.url;
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await;
        let stream = stream.map_err(|error| format!("{} cannot be reached: {error}", url.authority))?;
        match &self.settings.tls {
            None => converse(stream).await,
            Some(tls) => {
                let name = ServerName::try_from(url.host.clone()).map_err(|error| error.to_string())?;
                let connector = tokio_rustls::TlsConnector::from(tls.config());
                let stream = connector.connect(name, stream).await;
                converse(stream.map_err(|error| format!("TLS with {}: {error}", url.authority))?).await
            }
        }
    }
}

async fn converse<S>(stream: S) -> Result<SendRequest<String>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with its sender; what went wrong the request says.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn request(settings: &PostSettings, lines: &[String]) -> Result<Request<String>, axum::http::Error> {
    let json = if settings.batch > 1 { "application/x-ndjson" } else { "application/json" };
    let mut request = Request::post(&settings.url.target)
        .header(header::HOST, &settings.url.authority)
        .header(header::USER_AGENT, concat!("drawbridge/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, json);
    if let [line] = lines
        && let Some(id) = id_of(line.as_bytes())
    {
        request = request.header("idempotency-key", id);
    }
    for (name, value) in &settings.headers {
        request = request.header(name, value);
    }
    let mut body = lines.join("\n");
    body.push('\n');
    request.body(body)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What can be mended at this end or the other is tried until it is; a record that is called wrong is not.
fn judge(status: StatusCode, after: Option<Duration>) -> Answer {
    match status.as_u16() {
        // 409: it has this key already (or is at it, and will).
        200..=299 | 409 => Answer::Taken,
        300..=399 => Answer::NotNow(format!("it answers {status}, and redirects are not followed"), after),
        400 | 413 | 415 | 422 => Answer::Wrong(format!("it answers {status}")),
        _ => Answer::NotNow(format!("it answers {status}"), after),
    }
}

#[cfg(test)]
mod tests;
