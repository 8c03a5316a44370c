//! `GET /sensors/{sensor_id}/readings/events`: new readings of a sensor as they are stored.
//!
//! One task looks, once a second, with one statement for all sensors that are watched, however many watch.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use futures_util::stream;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
    },
    time::{Instant, sleep},
};

use super::{LiveApi, event_streams::event};
use crate::{
    http::{
        query::query_failed,
        server::{ApiError, Client, ErrorBody, InvalidBody, parameters::path},
    },
    reading::{Reading, Timestamp},
    store::{Pool, queries},
};

const INTERVAL: Duration = Duration::from_secs(1);
/// It rests so much longer than a look took: of a sensor without readings every chunk is looked into.
const REST: u32 = 4;
/// Pause after a failure, such as a database that is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// Most readings of a sensor in an event; of more, the newest.
const READINGS_MAX: usize = 500;
/// Events that wait for a slow viewer; who is slower misses the oldest.
const EVENTS_MAX: usize = 16;

/// The sensors that are watched; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedSensors(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    sensors: Mutex<HashMap<i32, WatchedSensor>>,
    somebody: Notify,
}

/// A sensor that is watched.
#[derive(Debug)]
struct WatchedSensor {
    /// Everything up to here has been told.
    seen: Timestamp,
    events: broadcast::Sender<Bytes>,
}

/// The data of an event.
#[derive(Serialize)]
struct ReadingsBody {
    sensor_id: i32,
    /// The oldest first.
    data: Vec<ReadingBody>,
    /// There were more, before these.
    is_cut: bool,
}

#[derive(Serialize)]
struct ReadingBody {
    timestamp: String,
    value: f64,
}

impl WatchedSensors {
    /// What comes after `seen`, or after what others have been told already.
    fn watch(&self, sensor_id: i32, seen: Timestamp) -> broadcast::Receiver<Bytes> {
        let mut sensors = self.0.sensors.lock();
        let sensor = sensors
            .entry(sensor_id)
            .or_insert_with(|| WatchedSensor { seen, events: broadcast::Sender::new(EVENTS_MAX) });
        let receiver = sensor.events.subscribe();
        drop(sensors);
        self.0.somebody.notify_one();
        receiver
    }

    /// Looks for new readings while anybody watches; for ever.
    pub(super) async fn poll(&self, pool: Pool) {
        loop {
            let watched = self.watched();
            if watched.is_empty() {
                self.0.somebody.notified().await;
                continue;
            }
            let started = Instant::now();
            let pause = match queries::newer(&pool, watched, READINGS_MAX + 1).await {
                Ok(readings) => {
                    self.publish(&readings);
                    INTERVAL.max(started.elapsed() * REST)
                }
                Err(error) => {
                    tracing::debug!("{error}: {}", error.server_message());
                    RETRY_INTERVAL
                }
            };
            sleep(pause).await;
        }
    }

    /// The sensors that somebody watches; the others are forgotten.
    fn watched(&self) -> Vec<(i32, Timestamp)> {
        let mut sensors = self.0.sensors.lock();
        sensors.retain(|_, sensor| sensor.events.receiver_count() > 0);
        sensors.iter().map(|(&sensor_id, sensor)| (sensor_id, sensor.seen)).collect()
    }

    /// `readings` are in the order of their sensors, and one more of a sensor than an event has where there are more.
    fn publish(&self, readings: &[Reading]) {
        let mut sensors = self.0.sensors.lock();
        for of_one in readings.chunk_by(|one, next| one.sensor_id == next.sensor_id) {
            let (Some(first), Some(last)) = (of_one.first(), of_one.last()) else { continue };
            let Some(sensor) = sensors.get_mut(&first.sensor_id) else { continue };
            sensor.seen = last.time;
            let reading =
                |reading: &Reading| ReadingBody { timestamp: reading.time.to_string(), value: reading.value };
            let more = of_one.len().saturating_sub(READINGS_MAX);
            let body = ReadingsBody {
                sensor_id: first.sensor_id,
                data: of_one[more..].iter().map(reading).collect(),
                is_cut: more > 0,
            };
            // Whoever has gone meanwhile needs none.
            let _ = sensor.events.send(event("readings", last.time.micros().div_euclid(1_000), &body));
        }
    }
}

/// A sensor's new readings as they are stored
///
/// Server-sent events named `readings`, once a second at most: those whose timestamps are after the latest one before,
/// the newest 500 of them. Readings that come late are in the table and not here. A stream ends after ten minutes, and
/// its client comes again.
#[utoipa::path(
    get, path = "/sensors/{sensor_id}/readings/events", tag = "readings", operation_id = "reading_events",
    params(("sensor_id" = i32, Path, description = "The sensor", example = 3)),
    responses(
        (status = 200, description = "The events.", content_type = "text/event-stream", body = String, example = "retry: 2000\n\nevent: readings\nid: 1728743340000\ndata: {\"sensor_id\":3,\"data\":[{\"timestamp\":\"2024-10-12T14:29:00Z\",\"value\":23.5}],\"is_cut\":false}\n\n"),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 422, description = "The id is no integer.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "sensor_id"], "msg": "Input should be a valid integer from -2147483648 to 2147483647", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer, or 1,000 event streams are open; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "As many event streams as may be are open."})),
    ),
)]
pub(super) async fn events(
    State(api): State<Arc<LiveApi>>,
    Extension(client): Extension<Client>,
    Path(sensor_id): Path<String>,
) -> Result<Response, ApiError> {
    /// Before any reading that is accepted.
    const BEGINNING: Timestamp = Timestamp::from_micros(0);
    let sensor_id = path::sensor(&sensor_id)?;
    api.sensors.require(sensor_id).await?;
    let latest = queries::latest(&api.reads, vec![sensor_id]).await.map_err(query_failed)?;
    let seen = latest.first().map_or(BEGINNING, |reading| reading.time);
    let events = stream::unfold(api.watched.watch(sensor_id, seen), |mut events| async {
        loop {
            match events.recv().await {
                Ok(event) => return Some((event, events)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    api.streams.open(&client, events)
}
