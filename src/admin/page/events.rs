//! `/api/v1/events`: a snapshot a second as server-sent events (HTML Living Standard §9.2). One is made for all
//! who watch, and none where nobody does. A watcher that does not read misses snapshots, and is let go by
//! the limits of its connection; one that reads is let go before these end, and comes again.
//!
//! The ticker that measures for the history is here, too: it is the same second.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::measured::ratio;
use super::snapshot::Snapshot;
use crate::admin::View;
use crate::admin::problem::Problem;
use crate::runtime::load::{Load, LoadMeter};
use crate::telemetry::history::{Sample, add};

/// So many watch at once, by HTTP and at the socket together.
const WATCHERS_MAX: usize = 32;
/// So many snapshots, one a second, and the stream ends: before its connection has to.
const SNAPSHOTS_MAX: u32 = 45;
/// So many wait for a watcher that is slow.
const SNAPSHOTS_WAITING: usize = 2;
const SECOND: Duration = Duration::from_secs(1);
/// After so long a browser comes again.
const COME_AGAIN: &str = "retry: 1000\n\n";

/// Who watches, and what was measured last.
#[derive(Clone, Default, Debug)]
pub struct Live(Arc<Mutex<Inner>>);

#[derive(Default, Debug)]
struct Inner {
    watchers: Vec<Watcher>,
    load: Load,
}

#[derive(Debug)]
struct Watcher {
    snapshots: mpsc::Sender<Bytes>,
    /// So many more, and it is let go.
    left: u32,
}

impl Live {
    pub(super) fn relay_loads(&self) -> Vec<f64> {
        self.lock().load.workers.iter().map(|load| ratio((*load).into())).collect()
    }

    /// A place among the watchers, if there is one.
    fn join(&self) -> Option<Stream> {
        let mut inner = self.lock();
        inner.watchers.retain(|watcher| !watcher.snapshots.is_closed());
        if inner.watchers.len() >= WATCHERS_MAX {
            return None;
        }
        let (snapshots, coming) = mpsc::channel(SNAPSHOTS_WAITING);
        inner.watchers.push(Watcher { snapshots, left: SNAPSHOTS_MAX });
        Some(Stream { first: Some(Bytes::from_static(COME_AGAIN.as_bytes())), coming })
    }

    /// Whether anybody watches.
    fn is_watched(&self) -> bool {
        let mut inner = self.lock();
        inner.watchers.retain(|watcher| !watcher.snapshots.is_closed() && watcher.left > 0);
        !inner.watchers.is_empty()
    }

    fn tell(&self, event: &Bytes) {
        for watcher in &mut self.lock().watchers {
            // One that is full has missed it.
            let _ = watcher.snapshots.try_send(event.clone());
            watcher.left = watcher.left.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures once a second, and tells those who watch. Does not end.
pub(in crate::admin) async fn watch(view: &View) {
    let mut ticker = interval(SECOND);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut meter = LoadMeter::default();
    let mut active = 0;
    loop {
        ticker.tick().await;
        let load = meter.measure(view.clock.now());
        // One that is too busy to answer has as many calls as before.
        active = view.vitals().await.map_or(active, |vitals| vitals.census.calls);
        view.metrics.history.tick(view.clock.now(), sample(view, active, &load));
        view.live.lock().load = load;
        if view.live.is_watched() {
            view.live.tell(&event(view).await);
        }
    }
}

fn sample(view: &View, active: usize, load: &Load) -> Sample {
    let counters = view.relay.counters();
    let mut sample = Sample {
        active: u32::try_from(active).unwrap_or(u32::MAX),
        engine_load: load.engine,
        relay_load: load.busiest_worker(),
        ..Sample::default()
    };
    for realm in crate::base::Realm::ALL {
        sample.packets += counters.rtp[realm].received.packets;
        sample.bytes += counters.rtp[realm].received.bytes;
        add(&mut sample.dropped_by, &counters.dropped[realm]);
    }
    sample
}

async fn event(view: &View) -> Bytes {
    let snapshot = Snapshot::of(view).await;
    // JSON has no line end of its own, so one `data:` line holds it.
    let text = serde_json::to_string(&snapshot).unwrap_or_else(|_| "null".to_owned());
    format!("event: snapshot\ndata: {text}\n\n").into()
}

pub(in crate::admin) async fn events(State(view): State<View>) -> Response {
    let Some(mut stream) = view.live.join() else {
        let busy = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{WATCHERS_MAX} watch already"),
            "close a page that is not looked at, or ask /api/v1/snapshot now and then",
        );
        return busy.into_response();
    };
    // The next comes within a second; who has just come shall not look at nothing until then.
    let mut first = stream.first.take().map(|come_again| come_again.to_vec()).unwrap_or_default();
    first.extend_from_slice(&event(&view).await);
    stream.first = Some(first.into());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::new(stream)).into_response()
}

/// The body of one watcher's answer.
#[derive(Debug)]
struct Stream {
    first: Option<Bytes>,
    coming: mpsc::Receiver<Bytes>,
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.coming.poll_recv(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_are_bounded_and_one_that_leaves_makes_room() {
        let live = Live::default();
        let mut streams: Vec<Stream> = (0..WATCHERS_MAX).filter_map(|_| live.join()).collect();
        assert_eq!((streams.len(), live.join().is_none()), (WATCHERS_MAX, true));
        streams.pop();
        assert!(live.join().is_some());
    }

    #[test]
    fn one_that_does_not_read_holds_two_snapshots_and_is_let_go_in_time() {
        let live = Live::default();
        let mut slow = live.join().unwrap();
        for second in 0..SNAPSHOTS_MAX {
            assert!(live.is_watched(), "{second}");
            live.tell(&Bytes::from_static(b"event"));
        }
        assert!(!live.is_watched());
        let mut held = 0;
        while slow.coming.try_recv().is_ok() {
            held += 1;
        }
        assert_eq!(held, SNAPSHOTS_WAITING);
        assert!(slow.coming.is_closed());
    }
}
