//! Statistics over buckets of time.

mod exact_sum;
mod huge_values;
mod long_bucket;
mod moments;

use std::ops::Range;

use sqlx::{Connection, FromRow, PgConnection, postgres::PgRow};

use super::{
    measure::{Columns, Measure, of_many},
    parameter,
};
use crate::{
    reading::Timestamp,
    store::{
        StoreError,
        chunk_spans::ChunkSpans,
        error::is_out_of_range,
        pool::Pool,
        read_snapshot::{BEGIN_SNAPSHOT, release_locks},
    },
};

/// Statistics that are asked for.
#[derive(Clone, Debug)]
pub struct StatsQuery {
    /// Of these sensors.
    pub sensor_ids: Vec<i32>,
    /// For each of them, or for all together.
    pub by_sensor: bool,
    /// Readings not before.
    pub start: Timestamp,
    /// Readings before.
    pub end: Timestamp,
    /// Bucket n is from edge n to edge n + 1; they cover the range.
    pub edges: Vec<Timestamp>,
    /// What is told of each.
    pub measures: Vec<Measure>,
}

/// What a bucket with readings comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketStats {
    /// Whose; 0 for all together.
    pub sensor_id: i32,
    /// Which.
    pub bucket: usize,
    /// A value for each measure asked for.
    pub values: Vec<Option<f64>>,
}

/// Most buckets that are looked up one by one; see [`StatsQuery::sql`].
const LOOK_UPS_MAX: usize = 400;

/// By sensor and bucket; buckets without readings are left out.
pub async fn stats(pool: &Pool, query: StatsQuery) -> Result<Vec<BucketStats>, StoreError> {
    pool.read_by_spans("reading statistics", (query, pool.clone()), |connection, (query, pool), spans| {
        Box::pin(async move {
            // Its statement has no name, and such a one is gone with the session: it needs a transaction.
            if !pool.gives_sessions_away()
                && spans.fits(&(query.start..query.end))
                && let Some(stats) = query.run_plain(connection).await?
            {
                return Ok(stats);
            }
            let mut snapshot = connection.begin_with(BEGIN_SNAPSHOT).await?;
            let stats = query.run(&mut snapshot, &spans).await?;
            snapshot.commit().await?;
            Ok(stats)
        })
    })
    .await
}

impl StatsQuery {
    /// The statement: $1 the sensors, $2 and $3 the range, by which the planner leaves out all other chunks, $4 the
    /// edges.
    pub fn sql(&self) -> String {
        self.sql_with(&Columns::new(&self.measures).sql())
    }

    /// Few buckets are looked up one by one, which reads the readings in the key's order and sorts a bucket at a time:
    /// 30 days of 1 Hz by day take half as long as in one pass. Each look-up has its price for each chunk, though, so
    /// that many of them take longer than one pass over the range: 12,100 in 53 chunks 3.6 s against 84 ms.
    fn sql_with(&self, columns: &str) -> String {
        let look_ups = (self.edges.len() - 1) * self.sensor_ids.len();
        let is_each_sensors = self.by_sensor || self.sensor_ids.len() == 1;
        if is_each_sensors && look_ups <= LOOK_UPS_MAX {
            // After the last edge comes null, and so no reading: it ends the last bucket.
            return format!(
                "SELECT wanted AS sensor_id, bucket::int4 AS bucket, found.*
                 FROM unnest($1::int4[]) AS wanted
                 CROSS JOIN unnest($4::timestamptz[], ($4::timestamptz[])[2:])
                    WITH ORDINALITY AS buckets (bucket_start, bucket_end, bucket)
                 CROSS JOIN LATERAL (
                    SELECT {columns} FROM sensor_data
                    WHERE sensor_id = wanted AND time >= $2 AND time < $3
                      AND time >= bucket_start AND time < bucket_end) AS found
                 WHERE reading_count > 0
                 ORDER BY sensor_id, bucket"
            );
        }
        let (sensor, columns) =
            if self.by_sensor { ("sensor_id", columns.to_owned()) } else { ("0", of_many(columns)) };
        format!(
            "SELECT {sensor} AS sensor_id, width_bucket(time, $4::timestamptz[]) AS bucket, {columns}
             FROM sensor_data
             WHERE sensor_id = ANY($1::int4[]) AND time >= $2 AND time < $3
             GROUP BY 1, 2 ORDER BY 1, 2"
        )
    }

    /// Runs it in a snapshot of [`read_snapshot`], no more chunks at a time than a span has.
    pub(in crate::store) async fn run(
        &self,
        snapshot: &mut PgConnection,
        spans: &ChunkSpans,
    ) -> Result<Vec<BucketStats>, sqlx::Error> {
        let mut stats = Vec::new();
        for buckets in self.portions(spans) {
            let portion = self.of(&buckets);
            let found = if spans.fits(&(portion.start..portion.end)) {
                let found = portion.run_at_once(snapshot).await?;
                release_locks(snapshot).await?;
                found
            } else {
                long_bucket::stats(snapshot, &portion, spans).await?
            };
            let in_its_place =
                |found: BucketStats| BucketStats { bucket: found.bucket + buckets.start, ..found };
            stats.extend(found.into_iter().map(in_its_place));
        }
        stats.sort_by_key(|stats| (stats.sensor_id, stats.bucket));
        Ok(stats)
    }

    /// Runs of buckets that are asked for at once; one alone may have more chunks than that.
    fn portions(&self, spans: &ChunkSpans) -> Vec<Range<usize>> {
        let (mut portions, mut first) = (Vec::new(), 0);
        for (bucket, edges) in self.edges.windows(2).enumerate() {
            if bucket > first && !spans.fits(&(self.edges[first]..edges[1])) {
                portions.push(first..bucket);
                first = bucket;
            }
        }
        portions.push(first..self.edges.len() - 1);
        portions
    }

    /// The same of these buckets alone.
    fn of(&self, buckets: &Range<usize>) -> Self {
        let edges = self.edges[buckets.start..=buckets.end].to_vec();
        let (first, last) = (edges[0], edges[edges.len() - 1]);
        Self { start: self.start.max(first), end: self.end.min(last), edges, ..self.clone() }
    }

    /// Runs it in a snapshot, whatever the values are. Where plain SQL has an answer for a bucket, that is the answer.
    async fn run_at_once(&self, snapshot: &mut PgConnection) -> Result<Vec<BucketStats>, sqlx::Error> {
        if let Some(stats) = self.run_plain(snapshot).await? {
            return Ok(stats);
        }
        // An error ends all statements since the savepoint.
        release_locks(snapshot).await?;
        huge_values::stats(snapshot, self).await
    }

    /// None where a sum, a square or the distance of two values overflows.
    async fn run_plain(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Option<Vec<BucketStats>>, sqlx::Error> {
        type Row = (i32, i32, i64, Vec<Option<f64>>, Vec<Option<f64>>);
        let columns = Columns::new(&self.measures);
        let rows: Vec<Row> = match self.fetch(connection, &columns.sql()).await {
            Err(error) if is_out_of_range(&error) => return Ok(None),
            rows => rows?,
        };
        let is_finite = |quantile: &Option<f64>| quantile.is_none_or(f64::is_finite);
        if !rows.iter().all(|(_, _, _, _, quantiles)| quantiles.iter().all(is_finite)) {
            return Ok(None);
        }
        let bucket_stats = |(sensor_id, bucket, count, aggregates, quantiles): Row| {
            self.bucket_stats(sensor_id, bucket, columns.values(count, &aggregates, &quantiles))
        };
        Ok(Some(rows.into_iter().map(bucket_stats).collect()))
    }

    /// The rows with these columns.
    async fn fetch<R>(&self, connection: &mut PgConnection, columns: &str) -> Result<Vec<R>, sqlx::Error>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let edges: Vec<_> = self.edges.iter().map(|&edge| parameter(edge)).collect();
        let sql = self.sql_with(columns);
        sqlx::query_as(&sql)
            .bind(&self.sensor_ids)
            .bind(parameter(self.start))
            .bind(parameter(self.end))
            .bind(edges)
            // The text follows the measures, and a connection keeps no statement for each of their combinations.
            .persistent(false)
            .fetch_all(connection)
            .await
    }

    /// The part of the range that lies in a bucket; its last edge may be that of the range.
    fn bounds(&self, bucket: usize) -> (Timestamp, Timestamp) {
        let end = self.edges.get(bucket + 1).map_or(self.end, |edge| self.end.min(*edge));
        (self.edges.get(bucket).map_or(self.start, |edge| self.start.max(*edge)), end)
    }

    /// Of a row, whose buckets are counted from 1.
    fn bucket_stats(&self, sensor_id: i32, bucket: i32, values: Vec<Option<f64>>) -> BucketStats {
        let sensor_id = if self.by_sensor { sensor_id } else { 0 };
        BucketStats { sensor_id, bucket: bucket as usize - 1, values }
    }
}
