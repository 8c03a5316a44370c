//! Dead letters that `DEAD_LETTER_TOPIC` does not have yet.
//!
//! Each row says for itself whether it is mirrored. The last id that is would not do: ids are given out before their
//! transactions commit, and one that commits late would be passed over.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::{
    batch::Header,
    config::DatabaseConfig,
    store::{
        StoreError,
        connection::{connect, takes},
    },
};

/// Of the advisory lock that lets one process at a time do it: "mirror" in ASCII.
const LOCK_KEY: i64 = 0x6d69_7272_6f72;
/// Most dead letters at a time, and the bytes of payloads past which no further dead letter is taken.
const LETTERS_MAX: i64 = 500;
const BYTES_MAX: i64 = 8 << 20;

/// A dead letter to be mirrored.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct UnforwardedDeadLetter {
    /// Its id.
    pub id: i64,
    /// Topic of its record.
    pub topic: String,
    /// Partition of its record.
    pub partition: i32,
    /// Offset of its record.
    pub offset: i64,
    /// Place of the reading in the record; none where the record as a whole is meant.
    pub item: Option<i32>,
    /// Why it was set aside.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// The record's own timestamp.
    pub record_time: Option<DateTime<Utc>>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The dead letter's payload.
    pub payload: Option<Vec<u8>>,
    headers: Option<Value>,
}

impl UnforwardedDeadLetter {
    /// The record's headers, as they came.
    pub fn headers(&self) -> Vec<Header> {
        let headers = self.headers.as_ref().and_then(Value::as_array);
        headers.into_iter().flatten().filter_map(header).collect()
    }
}

fn header(stored: &Value) -> Option<Header> {
    let value = match (stored["value"].as_str(), stored["base64"].as_str()) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(bytes)) => BASE64.decode(bytes).ok(),
        (None, None) => None,
    };
    Some((stored["key"].as_str()?.to_owned(), value))
}

/// The dead letters that are not mirrored yet, for one process at a time.
pub struct ForwardingQueue {
    connection: PgConnection,
}

impl ForwardingQueue {
    /// Takes the queue; none where another process has it. It goes back with the connection, however that ends.
    pub async fn take(database: &DatabaseConfig) -> Result<Option<Self>, StoreError> {
        let mut connection = connect(database, "sensorpipe mirror").await?;
        let is_ours = takes(&mut connection, LOCK_KEY)
            .await
            .map_err(StoreError::new("taking the queue of dead letters to forward"))?;
        Ok(is_ours.then_some(Self { connection }))
    }

    /// The next dead letters, in the order of their ids.
    pub async fn next(&mut self) -> Result<Vec<UnforwardedDeadLetter>, StoreError> {
        sqlx::query_as(
            r#"WITH first AS (
                   SELECT id, octet_length(payload) AS bytes FROM dead_letters
                   WHERE mirrored_at IS NULL ORDER BY id LIMIT $1
               ), summed AS (
                   SELECT id, sum(bytes) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                   FROM first
               )
               SELECT id, topic, partition, "offset", item, reason, detail,
                      CASE WHEN isfinite(record_time) THEN record_time END AS record_time, key, payload, headers
               FROM summed JOIN dead_letters USING (id)
               WHERE coalesce(before, 0) < $2 ORDER BY id"#,
        )
        .bind(LETTERS_MAX)
        .bind(BYTES_MAX)
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::new("reading dead letters to forward"))
    }

    /// Notes that Kafka has these; a dead letter that has gone meanwhile needs no note.
    pub async fn mark_forwarded(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE dead_letters SET mirrored_at = now()
             WHERE id IN (SELECT id FROM dead_letters WHERE id = ANY ($1) ORDER BY id FOR UPDATE)",
        )
        .bind(ids)
        .execute(&mut self.connection)
        .await
        .map_err(StoreError::new("noting which dead letters are forwarded"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_are_what_they_were() {
        for (stored, expected) in [
            (json!({"key": "a", "value": "b"}), Some(("a".to_owned(), Some(b"b".to_vec())))),
            (json!({"key": "a", "value": null}), Some(("a".to_owned(), None))),
            (json!({"key": "raw", "base64": "AP8="}), Some(("raw".to_owned(), Some(vec![0, 255])))),
            (json!({"value": "b"}), None),
        ] {
            assert_eq!(header(&stored), expected, "{stored}");
        }
    }
}
