//! Where readings of the log are, asked for many at a time.

use std::ops::RangeInclusive;

use sqlx::{Executor, PgConnection};

use crate::{
    audit::{Finding, Item, Letters, Whereabouts},
    config::DatabaseConfig,
    log::Log,
    store::{StoreError, chunk_spans::KnownChunkSpans, connection::connect, postgres_time::PostgresTime},
};

/// A connection for the look-ups of one partition.
pub struct LookUp {
    connection: PgConnection,
    log: Log,
    partition: i32,
    known_spans: KnownChunkSpans,
}

impl LookUp {
    /// Connects.
    pub async fn connect(database: &DatabaseConfig, log: &Log, partition: i32) -> Result<Self, StoreError> {
        let mut connection = connect(database, "sensorpipe audit").await?;
        // Readings are looked up by their key. For as many as there are here the planner would rather read whole
        // chunks, which cost the more the longer the history is.
        connection
            .execute(
                "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;
                 SET enable_bitmapscan = off; SET enable_material = off; SET jit = off",
            )
            .await
            .map_err(StoreError::new("preparing look-ups"))?;
        Ok(Self { connection, log: log.clone(), partition, known_spans: KnownChunkSpans::default() })
    }

    /// The dead letters of these offsets, both inclusive.
    pub async fn letters(&mut self, first: i64, last: i64) -> Result<Letters, StoreError> {
        let found: Vec<(i64, Option<i32>, Option<Vec<i32>>)> = sqlx::query_as(
            r#"SELECT "offset", item, items FROM dead_letters
               WHERE topic = $1 AND partition = $2 AND "offset" BETWEEN $3 AND $4
                 AND coalesce(topic_id, $5) = $5"#,
        )
        .bind(&self.log.topic)
        .bind(self.partition)
        .bind(first)
        .bind(last)
        .bind(&self.log.topic_id)
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::new("looking up dead letters"))?;
        let mut letters = Letters::default();
        for (offset, item, items) in found {
            match items {
                Some(items) => {
                    let runs = items.as_chunks::<2>().0.iter().map(|[first, last]| *first..=*last);
                    letters.many.insert(offset, runs.collect());
                }
                None => _ = letters.single.insert((offset, item)),
            }
        }
        Ok(letters)
    }

    /// Offsets between which dead letters were counted and not kept, of those from `first` to `last`.
    pub async fn not_kept(&mut self, first: i64, last: i64) -> Result<Vec<RangeInclusive<i64>>, StoreError> {
        let ranges: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT first_offset, last_offset FROM dead_letter_overflow
             WHERE topic = $1 AND topic_id = $2 AND partition = $3 AND first_offset <= $5 AND last_offset >= $4",
        )
        .bind(&self.log.topic)
        .bind(&self.log.topic_id)
        .bind(self.partition)
        .bind(first)
        .bind(last)
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::new("looking up where dead letters were not kept"))?;
        Ok(ranges.into_iter().map(|(first, last)| first..=last).collect())
    }

    /// Those of these readings that are not in `sensor_data` as they are here.
    ///
    /// One statement sees the rows and what removed them as of one moment. What it does not find is asked for once
    /// more before it is called missing.
    pub async fn findings(&mut self, readings: &[Item]) -> Result<Vec<Finding>, StoreError> {
        let all: Vec<usize> = (0..readings.len()).collect();
        let mut findings = self.ask(readings, &all).await?;
        let is_missing = |finding: &Finding| finding.whereabouts == Whereabouts::Missing;
        let missing: Vec<usize> =
            findings.iter().filter(|finding| is_missing(finding)).map(|finding| finding.index).collect();
        if !missing.is_empty() {
            findings.retain(|finding| !is_missing(finding));
            findings.extend(self.ask(readings, &missing).await?);
            findings.sort_by_key(|finding| finding.index);
        }
        Ok(findings)
    }

    /// The log may hold readings of all times side by side: each span's are asked for apart.
    async fn ask(&mut self, readings: &[Item], which: &[usize]) -> Result<Vec<Finding>, StoreError> {
        let time_of = |index: usize| readings[index].reading.ok().map(|reading| reading.time);
        let times = || which.iter().filter_map(|&index| time_of(index));
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(vec![]) };
        let spans = self.known_spans.get(&mut self.connection).await;
        let spans = spans.map_err(StoreError::new("looking for chunks"))?.split(first..last.plus_micros(1));
        let mut of_spans = vec![Vec::new(); spans.len()];
        for &index in which {
            if let Some(time) = time_of(index) {
                of_spans[spans.partition_point(|span| span.end <= time)].push(index);
            }
        }
        let mut findings = Vec::new();
        for of_span in of_spans {
            findings.extend(self.ask_of_span(readings, &of_span).await?);
        }
        findings.sort_by_key(|finding| finding.index);
        Ok(findings)
    }

    async fn ask_of_span(&mut self, readings: &[Item], which: &[usize]) -> Result<Vec<Finding>, StoreError> {
        let wanted = || which.iter().filter_map(|&index| readings[index].reading.ok());
        let times = || wanted().map(|reading| reading.time.postgres_micros());
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(vec![]) };
        // What retention could not drop is no excuse for what is missing there, and is looked for where need be only.
        // The bounds let the planner leave out chunks; those of an outer join it does not look at, hence the LIMIT.
        let found: Vec<(i64, Option<f64>, String)> = sqlx::query_as(
            "WITH held AS MATERIALIZED (
                 SELECT range_start, range_end FROM timescaledb_information.chunks
                 WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass
                   AND range_end <= (SELECT max(until) FROM expired_chunks))
             SELECT sent.place - 1, kept.value,
                    CASE WHEN kept.value IS NOT NULL THEN 'other_value'
                         WHEN EXISTS (SELECT FROM expired_chunks
                                      WHERE sent.time >= since AND sent.time < until) THEN 'expired'
                         WHEN sent.time < (SELECT max(until) FROM expired_chunks)
                              AND NOT EXISTS (SELECT FROM held
                                              WHERE sent.time >= range_start AND sent.time < range_end)
                              THEN 'expired'
                         WHEN EXISTS (SELECT FROM removed_sensors AS removed
                                      WHERE removed.sensor_id = sent.sensor_id) THEN 'sensor_removed'
                         ELSE 'missing' END
             FROM unnest($1::int[], $2::timestamptz[], $3::float8[]) WITH ORDINALITY
                  AS sent (sensor_id, time, value, place)
             LEFT JOIN LATERAL (
                  SELECT value FROM sensor_data
                  WHERE sensor_id = sent.sensor_id AND sensor_data.time = sent.time
                    AND sensor_data.time BETWEEN $4 AND $5 LIMIT 1) AS kept ON true
             WHERE kept.value IS DISTINCT FROM sent.value
             ORDER BY sent.place",
        )
        // The bounds differ each time, and with them the chunks: a plan for any bounds looks at all of them.
        .persistent(false)
        .bind(wanted().map(|reading| reading.sensor_id).collect::<Vec<_>>())
        .bind(times().map(PostgresTime).collect::<Vec<_>>())
        .bind(wanted().map(|reading| reading.value).collect::<Vec<_>>())
        .bind(PostgresTime(first))
        .bind(PostgresTime(last))
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::new("looking up readings"))?;
        let finding = |(place, kept, what): (i64, Option<f64>, String)| Finding {
            index: which[place as usize],
            whereabouts: match (kept, what.as_str()) {
                (Some(value), _) => Whereabouts::OtherValue(value),
                (None, "expired") => Whereabouts::Expired,
                (None, "sensor_removed") => Whereabouts::SensorRemoved,
                (None, _) => Whereabouts::Missing,
            },
        };
        Ok(found.into_iter().map(finding).collect())
    }
}
