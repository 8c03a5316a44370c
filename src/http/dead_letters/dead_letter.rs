//! A dead letter as JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::store::dead_letters::{Letter, WholeDeadLetter};

/// Bytes: as a text where they are UTF-8, which need not be harmless, and else in base64.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum BytesBody {
    /// As a text.
    Text(String),
    /// In base64.
    Base64(String),
}

impl From<Vec<u8>> for BytesBody {
    fn from(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Base64(STANDARD.encode(error.as_bytes())),
        }
    }
}

/// A dead letter without its payload.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": 1042, "topic": "sensor-readings", "topic_id": "wVfO0a0hRhiBqUNPnRWkDA", "partition": 4, "offset": 986, "item": 1, "reason": "unknown_sensor", "detail": "there is no sensor 77", "replayable": true, "received_at": "2026-11-01T00:00:01.5Z", "record_time": "2026-11-01T00:00:01Z", "mirrored_at": null, "key": {"text": "77"}, "payload_bytes": 70, "readings": 1}))]
pub(super) struct LetterBody {
    /// Its id.
    id: i64,
    /// Topic of the record.
    topic: String,
    /// Kafka's id of that topic; null in dead letters of earlier versions.
    topic_id: Option<String>,
    /// Partition of the record.
    partition: i32,
    /// Offset of the record.
    offset: i64,
    /// Place of the reading in the record, from 0; null where the record as a whole is meant, or many of its readings.
    item: Option<i32>,
    /// Why it was set aside, or is still refused.
    reason: String,
    /// The same for people.
    detail: String,
    /// Whether a replay may store it as it is.
    replayable: bool,
    /// When it was set aside.
    received_at: DateTime<Utc>,
    /// The record's own timestamp, which is the time of a reading without one; null in dead letters of earlier versions.
    record_time: Option<DateTime<Utc>>,
    /// When it was copied to `DEAD_LETTER_TOPIC`.
    mirrored_at: Option<DateTime<Utc>>,
    /// The record's key; in lists only up to 256 bytes.
    key: Option<BytesBody>,
    /// How long the payload is; null where the record had none.
    payload_bytes: Option<i64>,
    /// For how many readings of the record it stands: 1, unless the record had more than a dead letter each is kept for.
    readings: i32,
}

/// All of a dead letter.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": 1042, "topic": "sensor-readings", "topic_id": "wVfO0a0hRhiBqUNPnRWkDA", "partition": 4, "offset": 986, "item": 1, "reason": "unknown_sensor", "detail": "there is no sensor 77", "replayable": true, "received_at": "2026-11-01T00:00:01.5Z", "record_time": "2026-11-01T00:00:01Z", "mirrored_at": null, "key": {"text": "77"}, "payload_bytes": 70, "readings": 1, "payload": {"text": "{\"sensor_id\":77,\"value\":1,\"timestamp\":\"2026-11-01T00:00:00Z\"}"}, "headers": [{"key": "traceparent", "value": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}]}))]
pub(super) struct WholeLetterBody {
    #[serde(flatten)]
    letter: LetterBody,
    /// A record with just this reading in the topic's format, or else the record as it came: also of many readings.
    payload: Option<BytesBody>,
    /// The record's headers in their order: `key`, and `value`, or `base64` where that is no text.
    #[schema(value_type = Vec<Object>)]
    headers: Value,
}

impl From<Letter> for LetterBody {
    fn from(letter: Letter) -> Self {
        Self {
            replayable: letter.is_replayable(),
            id: letter.id,
            topic: letter.topic,
            topic_id: letter.topic_id,
            partition: letter.partition,
            offset: letter.offset,
            item: letter.item,
            reason: letter.reason,
            detail: letter.detail,
            received_at: letter.received_at,
            record_time: letter.record_time,
            mirrored_at: letter.mirrored_at,
            key: letter.key.map(Into::into),
            payload_bytes: letter.payload_bytes,
            readings: letter.readings,
        }
    }
}

impl From<WholeDeadLetter> for WholeLetterBody {
    fn from(whole: WholeDeadLetter) -> Self {
        let WholeDeadLetter { letter, payload, headers } = whole;
        Self {
            letter: letter.into(),
            payload: payload.map(Into::into),
            headers: headers.unwrap_or_else(|| json!([])),
        }
    }
}
