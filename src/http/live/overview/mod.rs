//! `GET /overview` and `GET /overview/events`: how the service is doing, once or every second.
//!
//! ```text
//! sampler ── asks, while somebody watches ──> known ── lag, rates ──> body ── one text for all ──> viewers
//! ```
//!
//! One task asks for all: what it costs does not grow with the viewers, nor with the sensors. It answers whatever is
//! away, with what was known last and when.

mod body;
mod lag;
mod last_known;
mod rates;
mod sampler;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use self::body::OverviewBody;
pub(in crate::http) use self::sampler::Sources;
use super::LiveApi;
use crate::http::server::{ApiError, Client, ErrorBody};

/// A sample that is not older answers a request at once.
const FRESH_FOR: Duration = Duration::from_millis(1_500);
/// Longest wait for a new one; its sources have two seconds each.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The last sample and who waits for the next; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Overview(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// A viewer is a receiver of this.
    samples: watch::Sender<Option<Sample>>,
    /// There is a first viewer.
    somebody: Notify,
}

/// The overview at a moment, ready to be sent.
#[derive(Clone, Debug)]
struct Sample {
    taken: Instant,
    json: Bytes,
    event: Bytes,
}

impl Overview {
    /// Asks on behalf of all viewers; for ever.
    pub(super) async fn sample(&self, sources: Sources) {
        sampler::run(self, sources).await;
    }

    fn watch(&self) -> watch::Receiver<Option<Sample>> {
        let receiver = self.0.samples.subscribe();
        self.0.somebody.notify_one();
        receiver
    }

    fn is_watched(&self) -> bool {
        self.0.samples.receiver_count() > 0
    }

    async fn await_subscriber(&self) {
        self.0.somebody.notified().await;
    }

    fn publish(&self, sample: Sample) {
        self.0.samples.send_replace(Some(sample));
    }
}

/// A sample that is fresh, now or as soon as there is one.
async fn fresh(watching: &mut watch::Receiver<Option<Sample>>) -> Option<Sample> {
    let is_fresh =
        |sample: &Option<Sample>| sample.as_ref().is_some_and(|sample| sample.taken.elapsed() < FRESH_FOR);
    watching.wait_for(is_fresh).await.ok()?.clone()
}

/// How the service is doing
///
/// What comes in and is stored, how far behind each partition is, what could not be stored, who works, and whether
/// Kafka and Postgres are there. Where one of them is not, what it said last is told, with the time at which it did.
/// Rates are null until the service has been watched for a second.
#[utoipa::path(
    get, path = "/overview", tag = "operations", operation_id = "overview",
    responses(
        (status = 200, description = "How it is doing.", body = OverviewBody),
        (status = 503, description = "Not known in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The overview is not known in time."})),
    ),
)]
pub(super) async fn once(State(api): State<Arc<LiveApi>>) -> Result<Response, ApiError> {
    let mut watching = api.overview.watch();
    let sample = timeout(SAMPLE_TIMEOUT, fresh(&mut watching)).await.ok().flatten();
    let Some(sample) = sample else {
        return Err(ApiError::Overloaded("The overview is not known in time."));
    };
    let mut response = sample.json.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// How the service is doing, every second
///
/// Server-sent events named `overview`, each with what `GET /overview` answers as its data and with its time in
/// milliseconds as its id. A stream ends after ten minutes, and its client comes again.
#[utoipa::path(
    get, path = "/overview/events", tag = "operations", operation_id = "overview_events",
    responses(
        (status = 200, description = "The events.", content_type = "text/event-stream", body = String, example = "retry: 2000\n\nevent: overview\nid: 1728743340000\ndata: {\"at\":1728743340000}\n\n"),
        (status = 503, description = "1,000 event streams are open; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "As many event streams as may be are open."})),
    ),
)]
pub(super) async fn events(
    State(api): State<Arc<LiveApi>>,
    Extension(client): Extension<Client>,
) -> Result<Response, ApiError> {
    // A client that is slow misses samples; it never gets old ones.
    let events = stream::unfold((api.overview.watch(), true), |(mut watching, is_first)| async move {
        let sample = if is_first {
            fresh(&mut watching).await?
        } else {
            watching.changed().await.ok()?;
            watching.borrow_and_update().clone()?
        };
        Some((sample.event, (watching, false)))
    });
    api.streams.open(&client, events)
}
