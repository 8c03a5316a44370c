//! Dead letters as the table has them, and as the api and the commands show them in JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

/// Bytes: as a text where they are UTF-8, which need not be harmless, and else in base64.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BytesBody {
    /// As a text.
    Text(String),
    /// In base64.
    Base64(String),
}

/// A dead letter without its payload.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow, Serialize, ToSchema)]
#[schema(as = LetterBody, example = json!({"id": 1042, "topic": "sensor-readings", "topic_id": "wVfO0a0hRhiBqUNPnRWkDA", "partition": 4, "offset": 986, "item": 1, "reason": "unknown_sensor", "detail": "there is no sensor 77", "replayable": true, "received_at": "2026-11-01T00:00:01.5Z", "record_time": "2026-11-01T00:00:01Z", "mirrored_at": null, "key": {"text": "77"}, "payload_bytes": 70, "readings": 1}))]
pub struct Letter {
    /// Its id.
    pub id: i64,
    /// Topic of the record.
    pub topic: String,
    /// Kafka's id of that topic, followed by `/cut/` and when that was accepted where the record was cut off the log; null in
    /// dead letters of earlier versions.
    pub topic_id: Option<String>,
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Place of the reading in the record, from 0; null where the record as a whole is meant, or many of its readings.
    pub item: Option<i32>,
    // A text, since a newer version may have reasons that this one does not know.
    /// Why it was set aside, or is still refused.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// Whether a replay may store it as it is.
    pub replayable: bool,
    /// When it was set aside.
    pub received_at: DateTime<Utc>,
    /// The record's own timestamp, which is the time of a reading without one; null in dead letters of earlier versions.
    pub record_time: Option<DateTime<Utc>>,
    /// When it was copied to `DEAD_LETTER_TOPIC`.
    pub mirrored_at: Option<DateTime<Utc>>,
    /// The record's key; in lists only up to 256 bytes.
    #[serde(serialize_with = "as_text_or_base64")]
    #[schema(value_type = Option<BytesBody>)]
    pub key: Option<Vec<u8>>,
    /// How long the payload is; null where the record had none.
    pub payload_bytes: Option<i64>,
    /// For how many readings of the record it stands: 1, unless the record had more than a dead letter each is kept for.
    pub readings: i32,
    /// Whether it is one for many readings of the record, however few of them are left.
    #[serde(skip)]
    pub is_of_many: bool,
}

/// All of a dead letter.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow, Serialize, ToSchema)]
#[schema(as = WholeLetterBody, example = json!({"id": 1042, "topic": "sensor-readings", "topic_id": "wVfO0a0hRhiBqUNPnRWkDA", "partition": 4, "offset": 986, "item": 1, "reason": "unknown_sensor", "detail": "there is no sensor 77", "replayable": true, "received_at": "2026-11-01T00:00:01.5Z", "record_time": "2026-11-01T00:00:01Z", "mirrored_at": null, "key": {"text": "77"}, "payload_bytes": 70, "readings": 1, "payload": {"text": "{\"sensor_id\":77,\"value\":1,\"timestamp\":\"2026-11-01T00:00:00Z\"}"}, "headers": [{"key": "traceparent", "value": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}]}))]
pub struct WholeDeadLetter {
    #[expect(missing_docs, reason = "a comment here would go into the OpenAPI document")]
    #[sqlx(flatten)]
    #[serde(flatten)]
    pub letter: Letter,
    /// A record with just this reading in the topic's format, or else the record as it came: also of many readings.
    #[serde(serialize_with = "as_text_or_base64")]
    #[schema(value_type = Option<BytesBody>)]
    pub payload: Option<Vec<u8>>,
    /// The record's headers in their order: `key`, and `value`, or `base64` where that is no text.
    #[schema(value_type = Vec<Object>)]
    pub headers: Value,
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn as_text_or_base64<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    let body = bytes.as_deref().map(|bytes| match str::from_utf8(bytes) {
        Ok(text) => BytesBody::Text(text.to_owned()),
        Err(_) => BytesBody::Base64(STANDARD.encode(bytes)),
    });
    body.serialize(serializer)
}
