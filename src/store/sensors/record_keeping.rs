//! The table of sensors, and what a topic has to be told of it or knows better.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tokio::time::timeout;

use super::{Sensor, sequence};
use crate::{
    config::DatabaseConfig,
    registry::{Description, SensorRecord},
    store::{StoreError, connection::connect},
};

/// Most changes that the topic is told of at a time, and most sensors that are compared.
const CHANGES_MAX: i64 = 1_000;
const COMPARED_MAX: usize = 10_000;
/// Longest wait for another process that is at it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '5s'";
/// Longest time that a question may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection for one process to keep the records with.
pub struct RecordKeeper {
    connection: PgConnection,
}

/// How far the table and the topic know of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Up to where the table holds what the topic says; none where nothing is known of this topic.
    pub next_offset: Option<i64>,
    /// Whether the topic has to be told of something.
    pub has_changes: bool,
}

/// Changes of the table, each with the sensor as it is now.
#[derive(Debug, Default)]
pub struct Changes {
    /// What they are known by.
    pub ids: Vec<i64>,
    /// One for each sensor.
    pub records: Vec<SensorRecord>,
}

/// A sensor's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Its id.
    pub sensor_id: i32,
    /// What the row says; none where there is no row.
    pub sensor: Option<Description>,
    /// Whether the topic is still to be told of it.
    pub has_changed: bool,
}

impl RecordKeeper {
    /// Connects.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(database, "sensorpipe sensors").await? })
    }

    /// Looks whether there is anything to do.
    pub async fn standing(&mut self, topic: &str, topic_id: &str) -> Result<Standing, StoreError> {
        const SQL: &str = "SELECT (SELECT next_offset FROM sensor_topics WHERE topic = $1 AND topic_id = $2),
                EXISTS (SELECT FROM sensor_changes) AS has_changes";
        let asking = sqlx::query_as(SQL).bind(topic).bind(topic_id).fetch_one(&mut self.connection);
        bounded("asking what the topic of sensors has to be told", asking).await
    }

    /// Begins to work with this topic, once no other process does. One that takes another's place, or ends before what is
    /// known of it, has to be told of every sensor.
    pub async fn begin(
        &mut self,
        topic: &str,
        topic_id: &str,
        topic_end: i64,
    ) -> Result<KeepingTurn<'_>, StoreError> {
        const NEW: &str = "INSERT INTO sensor_topics (topic, topic_id, next_offset) VALUES ($1, $2, 0)
            ON CONFLICT (topic) DO NOTHING";
        const LOCK: &str = "SELECT topic_id, next_offset FROM sensor_topics WHERE topic = $1 FOR UPDATE";
        const ANEW: &str =
            "UPDATE sensor_topics SET topic_id = $2, next_offset = 0, updated_at = now() WHERE topic = $1";
        const TELL_ALL: &str =
            "INSERT INTO sensor_changes (sensor_id) SELECT sensor_id FROM sensors ORDER BY sensor_id";
        let connection = &mut self.connection;
        let beginning = async {
            let mut transaction = connection.begin().await?;
            sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
            sqlx::query(NEW).bind(topic).bind(topic_id).execute(&mut *transaction).await?;
            let (known_id, mut next_offset): (String, i64) =
                sqlx::query_as(LOCK).bind(topic).fetch_one(&mut *transaction).await?;
            if known_id != topic_id || next_offset > topic_end {
                sqlx::query(ANEW).bind(topic).bind(topic_id).execute(&mut *transaction).await?;
                sqlx::query(TELL_ALL).execute(&mut *transaction).await?;
                next_offset = 0;
            }
            Ok(KeepingTurn { transaction, topic: topic.to_owned(), next_offset })
        };
        bounded("beginning to keep the records of sensors", beginning).await
    }
}

/// A transaction in which nobody else keeps records.
pub struct KeepingTurn<'k> {
    transaction: Transaction<'k, Postgres>,
    topic: String,
    /// Up to where the table holds what the topic says.
    pub next_offset: i64,
}

impl KeepingTurn<'_> {
    /// What the topic has to be told next.
    pub async fn changes(&mut self) -> Result<Changes, StoreError> {
        type Row = (i64, i32, Option<String>, Option<String>, Option<String>);
        const SQL: &str = "SELECT change, sensor_id, sensor_type, description, location
            FROM (SELECT change, sensor_id FROM sensor_changes ORDER BY change LIMIT $1) AS changed
            LEFT JOIN sensors USING (sensor_id) ORDER BY sensor_id";
        let reading = sqlx::query_as(SQL).bind(CHANGES_MAX).fetch_all(&mut *self.transaction);
        let rows: Vec<Row> = bounded("reading changes of sensors", reading).await?;
        let mut changes = Changes::default();
        for (change, sensor_id, sensor_type, description, location) in rows {
            changes.ids.push(change);
            let sensor = sensor_type.map(|sensor_type| Description { sensor_type, description, location });
            if changes.records.last().is_none_or(|last| last.sensor_id != sensor_id) {
                changes.records.push(SensorRecord { sensor_id, sensor });
            }
        }
        Ok(changes)
    }

    /// Takes note that the topic knows of these changes.
    pub async fn forget_changes(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM sensor_changes WHERE change = ANY ($1)";
        let deleting = sqlx::query(SQL).bind(ids).execute(&mut *self.transaction);
        bounded("noting that the topic knows of sensors", deleting).await.map(drop)
    }

    /// What the table has of these ids.
    pub async fn compare(&mut self, sensor_ids: &[i32]) -> Result<Vec<Compared>, StoreError> {
        type Row = (i32, Option<String>, Option<String>, Option<String>, bool);
        const SQL: &str = "SELECT id, sensor_type, description, location,
                EXISTS (SELECT FROM sensor_changes WHERE sensor_changes.sensor_id = id)
            FROM unnest($1::int[]) AS id LEFT JOIN sensors ON sensors.sensor_id = id";
        let mut compared = Vec::with_capacity(sensor_ids.len());
        for ids in sensor_ids.chunks(COMPARED_MAX) {
            let reading = sqlx::query_as(SQL).bind(ids).fetch_all(&mut *self.transaction);
            let rows: Vec<Row> = bounded("comparing sensors", reading).await?;
            compared.extend(rows.into_iter().map(
                |(sensor_id, sensor_type, description, location, has_changed)| {
                    let sensor =
                        sensor_type.map(|sensor_type| Description { sensor_type, description, location });
                    Compared { sensor_id, sensor, has_changed }
                },
            ));
        }
        Ok(compared)
    }

    /// Makes sensors of these ids again; an error says what the database has against one of them, and nothing is changed.
    pub async fn restore(&mut self, sensors: &[Sensor]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO sensors (sensor_id, sensor_type, description, location)
            OVERRIDING SYSTEM VALUE
            SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) ON CONFLICT (sensor_id) DO NOTHING";
        let ids: Vec<i32> = sensors.iter().map(|sensor| sensor.sensor_id).collect();
        let types: Vec<&str> = sensors.iter().map(|sensor| sensor.sensor_type.as_str()).collect();
        let descriptions: Vec<Option<&str>> =
            sensors.iter().map(|sensor| sensor.description.as_deref()).collect();
        let locations: Vec<Option<&str>> = sensors.iter().map(|sensor| sensor.location.as_deref()).collect();
        let statement = sqlx::query(SQL).bind(ids).bind(types).bind(descriptions).bind(locations);
        self.try_statement("making lost sensors again", statement).await
    }

    /// Changes a row to what a lost change had made of it, unless it was changed meanwhile; else as [`Self::restore`].
    pub async fn change_again(&mut self, found: &Sensor, sensor: &Sensor) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE sensors SET sensor_type = $2, description = $3, location = $4
            WHERE sensor_id = $1 AND (sensor_type, description, location) IS NOT DISTINCT FROM ($5, $6, $7)";
        self.try_statement(
            "making a lost change of a sensor again",
            sqlx::query(SQL)
                .bind(sensor.sensor_id)
                .bind(&sensor.sensor_type)
                .bind(&sensor.description)
                .bind(&sensor.location)
                .bind(&found.sensor_type)
                .bind(&found.description)
                .bind(&found.location),
        )
        .await
    }

    async fn try_statement(
        &mut self,
        doing: &'static str,
        statement: sqlx::query::Query<'_, Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<(), StoreError> {
        let trying = async {
            let mut tried = self.transaction.begin().await?;
            match statement.execute(&mut *tried).await {
                Ok(_) => tried.commit().await,
                Err(error) => {
                    tried.rollback().await?;
                    Err(error)
                }
            }
        };
        bounded(doing, trying).await
    }

    /// Has the topic told of these sensors again.
    pub async fn tell_again(&mut self, sensor_ids: &[i32]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO sensor_changes (sensor_id) SELECT unnest($1::int[])";
        let inserting = sqlx::query(SQL).bind(sensor_ids).execute(&mut *self.transaction);
        bounded("having the topic told of sensors again", inserting).await.map(drop)
    }

    /// Has the topic told of the sensors that are not among those that it knows, nor about to be; how many these are.
    pub async fn tell_all_but(&mut self, told: &[i32]) -> Result<u64, StoreError> {
        const SQL: &str = "INSERT INTO sensor_changes (sensor_id)
            SELECT sensor_id FROM sensors EXCEPT SELECT unnest($1::int[]) EXCEPT SELECT sensor_id FROM sensor_changes";
        let inserting = sqlx::query(SQL).bind(told).execute(&mut *self.transaction);
        let told = bounded("having the topic told of sensors that it lacks", inserting).await?;
        Ok(told.rows_affected())
    }

    /// Has ids that are given out next be larger than this one.
    pub async fn skip_ids(&mut self, up_to: i32) -> Result<(), StoreError> {
        bounded("skipping ids of sensors", sequence::skip(&mut self.transaction, up_to)).await
    }

    /// Commits; the table holds what the topic says up to there.
    pub async fn end(mut self, next_offset: i64) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE sensor_topics SET next_offset = $2, updated_at = now() WHERE topic = $1";
        let ending = async {
            sqlx::query(SQL).bind(&self.topic).bind(next_offset).execute(&mut *self.transaction).await?;
            self.transaction.commit().await
        };
        bounded("keeping the records of sensors", ending).await
    }
}

async fn bounded<T>(
    doing: &'static str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    timeout(ANSWER_TIMEOUT, work).await.map_err(StoreError::timed_out(doing))?.map_err(StoreError::new(doing))
}
