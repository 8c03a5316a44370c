//! Streams of server-sent events: as many as may be, each for some minutes, none beyond the process.
//!
//! An `EventSource`, or a page that reads such a stream by `fetch`, comes again by itself when one ends. So a stream ends
//! after a while, and whoever comes again shows a key that still holds. One whose key is revoked ends at once.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::http::server::{ApiError, Client, Resource};

/// The longest life of a stream.
const LIFETIME: Duration = Duration::from_secs(600);
/// Silence after which a comment says that the stream is alive; proxies cut off what is silent for longer.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// When a client should come again after a stream has ended.
const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// The streams that are open; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    permits: Arc<Semaphore>,
    closing: CancellationToken,
    lifetime: Duration,
    heartbeat_interval: Duration,
}

impl Streams {
    /// At most `max` at a time.
    pub(in crate::http) fn new(max: usize) -> Self {
        let permits = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            permits,
            closing: CancellationToken::new(),
            lifetime: LIFETIME,
            heartbeat_interval: HEARTBEAT_INTERVAL,
        }
    }

    /// Ends all streams, and those to come.
    pub(in crate::http) fn close(&self) {
        self.closing.cancel();
    }

    /// Answers with these events until they end; what a client does not take holds back what comes next.
    ///
    /// The client holds one of its share of streams meanwhile.
    pub(in crate::http) fn open(
        &self,
        client: &Client,
        events: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let held = client.hold(Resource::EventStream)?;
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Err(ApiError::Overloaded("As many event streams as may be are open."));
        };
        let (closing, lifetime) = (self.closing.clone(), self.lifetime);
        let client_ended = client.ended().clone();
        let ended = async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = client_ended.cancelled() => {}
                () = sleep(lifetime) => {}
            }
        };
        let pieces = stream::once(async { RETRY })
            .chain(with_heartbeats(events, self.heartbeat_interval))
            .take_until(ended);
        let pieces = pieces.map(move |piece| {
            // Given back with the stream.
            let _held = (&permit, &held);
            Ok::<_, std::convert::Infallible>(piece)
        });
        let mut response = Body::from_stream(pieces).into_response();
        response.headers_mut().extend([
            (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            // Packing would hold events back until there is enough to pack.
            (CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
            (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ]);
        Ok(response)
    }
}

fn with_heartbeats(
    events: impl Stream<Item = Bytes> + Send + 'static,
    interval: Duration,
) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(Box::pin(events), move |mut events| async move {
        match timeout(interval, events.next()).await {
            Ok(Some(event)) => Some((event, events)),
            Ok(None) => None,
            Err(_elapsed) => Some((HEARTBEAT, events)),
        }
    })
}

/// An event of this name, with an id that tells how new it is.
pub(in crate::http) fn event(name: &str, id: i64, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("events have string keys");
    let mut event = String::with_capacity(data.len() + 64);
    // JSON has no line breaks of its own, so one line of data it is.
    let _ = write!(event, "event: {name}\nid: {id}\ndata: {data}\n\n");
    event.into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;

    use super::*;

    fn anybody() -> Client {
        Client::Anybody(CancellationToken::new())
    }

    fn from(receiver: mpsc::Receiver<Bytes>) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) })
    }

    #[tokio::test]
    async fn a_silent_stream_beats_and_one_day_ends() {
        let (lifetime, heartbeat_interval) = (Duration::from_millis(350), Duration::from_millis(100));
        let streams = Streams { lifetime, heartbeat_interval, ..Streams::new(1) };
        let (sender, receiver) = mpsc::channel(1);
        let response = streams.open(&anybody(), from(receiver)).unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        assert!(
            matches!(streams.open(&anybody(), stream::empty()), Err(ApiError::Overloaded(_))),
            "one at a time"
        );
        sender.send(event("told", 7, &[1, 2])).await.unwrap();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.starts_with("retry: 2000\n\nevent: told\nid: 7\ndata: [1,2]\n\n:\n\n"), "{text}");
        assert!(streams.open(&anybody(), stream::empty()).is_ok(), "its place is free again");
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_client() {
        let (streams, ended) = (Streams::new(2), CancellationToken::new());
        let response = streams.open(&Client::Anybody(ended.clone()), stream::pending()).unwrap();
        ended.cancel();
        assert!(response.into_body().collect().await.is_ok());
    }

    #[tokio::test]
    async fn all_end_at_once_when_the_process_stops() {
        let streams = Streams::new(2);
        let response = streams.open(&anybody(), stream::pending()).unwrap();
        streams.close();
        assert!(response.into_body().collect().await.is_ok());
    }
}
