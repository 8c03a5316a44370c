//! What became of the records, as the database tells.

use std::time::Duration;

use sqlx::Row;

use crate::{TestDatabase, TestTopic, comes_to};

/// Readings by fate, over all partitions, as `ingest_offsets` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Inserted.
    pub stored: i64,
    /// There already.
    pub duplicates: i64,
    /// Set aside with a reason.
    pub dead_lettered: i64,
}

/// A row of `dead_letters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Partition of the record.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Place of the reading in the record.
    pub item: Option<i32>,
    /// Why.
    pub reason: String,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record, or the part of it that was set aside.
    pub payload: Option<Vec<u8>>,
}

impl TestDatabase {
    /// The counts of `ingest_offsets`.
    pub async fn tally(&self) -> Tally {
        self.tally_if_reachable().await.expect("ingest_offsets can be read")
    }

    /// The counts of `ingest_offsets`; for tests that stop Postgres.
    pub async fn tally_if_reachable(&self) -> Option<Tally> {
        let row = sqlx::query(
            "SELECT coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicates), 0)::bigint,
                    coalesce(sum(dead_lettered), 0)::bigint
             FROM ingest_offsets",
        )
        .fetch_one(&self.pool)
        .await
        .ok()?;
        Some(Tally { stored: row.get(0), duplicates: row.get(1), dead_lettered: row.get(2) })
    }

    /// Rows of `sensor_data`.
    pub async fn row_count(&self) -> i64 {
        self.number("SELECT count(*) FROM sensor_data").await
    }

    /// The stored offset of each partition that has one, in partition order.
    pub async fn next_offsets(&self) -> Vec<i64> {
        sqlx::query_scalar("SELECT next_offset FROM ingest_offsets ORDER BY partition")
            .fetch_all(&self.pool)
            .await
            .expect("ingest_offsets can be read")
    }

    /// All dead letters in the order of their records.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let rows = sqlx::query(
            r#"SELECT partition, "offset", item, reason, key, payload FROM dead_letters
               ORDER BY partition, "offset", item"#,
        )
        .fetch_all(&self.pool)
        .await
        .expect("dead_letters can be read");
        let letter = |row: &sqlx::postgres::PgRow| DeadLetter {
            partition: row.get(0),
            offset: row.get(1),
            item: row.get(2),
            reason: row.get(3),
            key: row.get(4),
            payload: row.get(5),
        };
        rows.iter().map(letter).collect()
    }

    /// Waits until every partition is stored to the end that its log has now.
    ///
    /// # Panics
    /// After `timeout`, with the offsets reached.
    #[track_caller]
    pub fn stores_all_of(&self, topic: &TestTopic, timeout: Duration) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let ends: Vec<i64> = topic.watermarks().await.iter().map(|&(_, high)| high).collect();
            let what = format!("stored offsets, asked for at {caller}");
            comes_to(&what, timeout, ends, async || self.next_offsets().await).await;
        }
    }
}
