//! The table of sensors, and what a topic has to be told of it or knows better.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Postgres, Row as _, Transaction};
use tokio::time::timeout;

use super::sequence;
use crate::{
    config::DatabaseConfig,
    log::DatabaseId,
    registry::{Description, Row, SensorRecord},
    store::{StoreError, connection::connect_following, database_identity, hosts::Follower},
};

/// Most changes that the topic is told of at a time, and most sensors that are compared.
const CHANGES_MAX: i64 = 1_000;
const COMPARED_MAX: usize = 10_000;
/// Longest wait for another process that is at it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '5s'";
/// What is refused is refused by a statement, never by COMMIT.
const IMMEDIATE: &str = "SET CONSTRAINTS ALL IMMEDIATE";
/// Longest time that a question may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection for one process to keep the records with.
pub struct RecordKeeper {
    connection: PgConnection,
    follower: Follower,
}

/// How far the table and the topic know of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Up to where the table holds what the topic says; none where nothing is known of this topic.
    pub next_offset: Option<i64>,
    /// Whether the topic has to be told of something.
    pub has_changes: bool,
    /// Whether another topic was told of something that this one has not heard of.
    pub lacks_changes: bool,
}

/// Changes of the table, each with the sensor as it is now.
#[derive(Debug, Default)]
pub struct Changes {
    /// What they are known by.
    pub ids: Vec<i64>,
    /// One for each sensor, and whether it was made, and nothing more, since the topic was told last.
    pub states: Vec<(SensorRecord, bool)>,
}

impl RecordKeeper {
    /// Connects.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, StoreError> {
        let (connection, follower) = connect_following(database, "sensorpipe sensors").await?;
        Ok(Self { connection, follower })
    }

    /// The id of the database.
    pub async fn database_id(&mut self) -> Result<DatabaseId, StoreError> {
        database_identity::read(&mut self.connection).await
    }

    /// Whether another server is the one to write to by now.
    pub fn is_behind(&self) -> bool {
        self.follower.is_behind()
    }

    /// Looks whether there is anything to do.
    pub async fn standing(&mut self, topic: &str, topic_id: &str) -> Result<Standing, StoreError> {
        const SQL: &str = "SELECT (SELECT next_offset FROM sensor_topics WHERE topic = $1 AND topic_id = $2),
                EXISTS (SELECT FROM sensor_changes) AS has_changes,
                EXISTS (SELECT FROM sensor_topics WHERE topic = $1 AND lacks_changes) AS lacks_changes";
        let asking = sqlx::query_as(SQL).bind(topic).bind(topic_id).fetch_one(&mut self.connection);
        bounded("asking what the topic of sensors has to be told", asking).await
    }

    /// Begins to work with this topic; none where another process is at it, for longer than that takes.
    pub async fn begin(&mut self, topic: &str) -> Result<Option<KeepingTurn<'_>>, StoreError> {
        const NEW: &str = "INSERT INTO sensor_topics (topic, topic_id, next_offset) VALUES ($1, '', 0)
            ON CONFLICT (topic) DO NOTHING";
        // All of them: what one is told is taken note of with the others.
        const LOCK: &str =
            "SELECT topic, topic_id, next_offset, lacks_changes FROM sensor_topics ORDER BY topic FOR UPDATE";
        let connection = &mut self.connection;
        let beginning = async {
            let mut transaction = connection.begin().await?;
            sqlx::query(LOCK_TIMEOUT).execute(&mut *transaction).await?;
            sqlx::query(IMMEDIATE).execute(&mut *transaction).await?;
            sqlx::query(NEW).bind(topic).execute(&mut *transaction).await?;
            let known: Vec<(String, String, i64, bool)> =
                sqlx::query_as(LOCK).fetch_all(&mut *transaction).await?;
            let ours = known.into_iter().find(|(name, ..)| name == topic);
            let (_, topic_id, next_offset, lacks_changes) = ours.ok_or(sqlx::Error::RowNotFound)?;
            Ok(KeepingTurn { transaction, topic: topic.to_owned(), topic_id, next_offset, lacks_changes })
        };
        match bounded("beginning to keep the records of sensors", beginning).await {
            Ok(turn) => Ok(Some(turn)),
            Err(error) if error.is_lock_timeout() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A transaction in which nobody else keeps records.
pub struct KeepingTurn<'k> {
    transaction: Transaction<'k, Postgres>,
    topic: String,
    /// The topic that is known; empty where none is.
    pub topic_id: String,
    /// Up to where the table holds what it says.
    pub next_offset: i64,
    /// Whether another topic was told of something that this one has not heard of.
    pub lacks_changes: bool,
}

impl KeepingTurn<'_> {
    /// What the topic has to be told next.
    pub async fn changes(&mut self) -> Result<Changes, StoreError> {
        type Changed = (Vec<i64>, i32, bool, Option<String>, Option<String>, Option<String>);
        const SQL: &str = "SELECT changes, sensor_id, is_new, sensor_type, description, location
            FROM (SELECT sensor_id, array_agg(change) AS changes,
                         NOT EXISTS (SELECT FROM sensor_changes AS other
                                     WHERE other.sensor_id = first.sensor_id AND NOT other.is_new) AS is_new
                  FROM (SELECT * FROM sensor_changes ORDER BY change LIMIT $1) AS first GROUP BY sensor_id) AS changed
            LEFT JOIN sensors USING (sensor_id)";
        let reading = sqlx::query_as(SQL).bind(CHANGES_MAX).fetch_all(&mut *self.transaction);
        let rows: Vec<Changed> = bounded("reading changes of sensors", reading).await?;
        let mut changes = Changes::default();
        for (ids, sensor_id, is_new, sensor_type, description, location) in rows {
            changes.ids.extend(ids);
            let sensor = described(sensor_type, description, location);
            changes.states.push((SensorRecord::state(sensor_id, sensor), is_new));
        }
        Ok(changes)
    }

    /// Takes note that the topic knows of these changes, and no other one does.
    pub async fn forget_changes(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        const DOING: &str = "noting that the topic knows of sensors";
        const SQL: &str = "DELETE FROM sensor_changes WHERE change = ANY ($1)";
        const OTHERS: &str = "UPDATE sensor_topics SET lacks_changes = true WHERE topic <> $1";
        let deleting = sqlx::query(SQL).bind(ids).execute(&mut *self.transaction);
        bounded(DOING, deleting).await?;
        let noting = sqlx::query(OTHERS).bind(&self.topic).execute(&mut *self.transaction);
        bounded(DOING, noting).await.map(drop)
    }

    /// Takes note of how far the table holds what this topic says, and whether that lacks changes.
    pub async fn note(
        &mut self,
        topic_id: &str,
        next_offset: i64,
        lacks_changes: bool,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE sensor_topics
            SET topic_id = $2, next_offset = $3, lacks_changes = $4, updated_at = now() WHERE topic = $1";
        let noting = sqlx::query(SQL)
            .bind(&self.topic)
            .bind(topic_id)
            .bind(next_offset)
            .bind(lacks_changes)
            .execute(&mut *self.transaction);
        bounded("noting how far the table holds what the topic says", noting).await.map(drop)
    }

    /// What the table has of these ids.
    pub async fn compare(&mut self, sensor_ids: &[i32]) -> Result<Vec<Row>, StoreError> {
        type Found = (i32, Option<String>, Option<String>, Option<String>, bool);
        const SQL: &str = "SELECT id, sensor_type, description, location,
                EXISTS (SELECT FROM sensor_changes WHERE sensor_changes.sensor_id = id)
            FROM unnest($1::int[]) AS id LEFT JOIN sensors ON sensors.sensor_id = id";
        let mut compared = Vec::with_capacity(sensor_ids.len());
        for ids in sensor_ids.chunks(COMPARED_MAX) {
            let reading = sqlx::query_as(SQL).bind(ids).fetch_all(&mut *self.transaction);
            let rows: Vec<Found> = bounded("comparing sensors", reading).await?;
            compared.extend(rows.into_iter().map(
                |(sensor_id, sensor_type, description, location, has_changed)| {
                    let sensor = described(sensor_type, description, location);
                    Row { sensor_id, sensor, has_changed }
                },
            ));
        }
        Ok(compared)
    }

    /// Makes sensors of these ids again, but for those that are there or have changed since; the ids of those that were
    /// made. An error says what the database has against one of them, and nothing is changed.
    pub async fn restore(&mut self, sensors: &[(i32, Description)]) -> Result<Vec<i32>, StoreError> {
        const SQL: &str = "INSERT INTO sensors (sensor_id, sensor_type, description, location)
            OVERRIDING SYSTEM VALUE
            SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) AS lost (id)
            WHERE NOT EXISTS (SELECT FROM sensor_changes WHERE sensor_changes.sensor_id = id)
            ON CONFLICT (sensor_id) DO NOTHING RETURNING sensor_id";
        let ids: Vec<i32> = sensors.iter().map(|(sensor_id, _)| *sensor_id).collect();
        let said = || sensors.iter().map(|(_, said)| said);
        let types: Vec<&str> = said().map(|said| said.sensor_type.as_str()).collect();
        let descriptions: Vec<Option<&str>> = said().map(|said| said.description.as_deref()).collect();
        let locations: Vec<Option<&str>> = said().map(|said| said.location.as_deref()).collect();
        let statement = sqlx::query(SQL).bind(ids).bind(types).bind(descriptions).bind(locations);
        self.try_statement("making lost sensors again", statement).await
    }

    /// Changes a row to what a lost change had made of it, unless it was changed meanwhile; else as [`Self::restore`].
    pub async fn change_again(
        &mut self,
        sensor_id: i32,
        found: &Description,
        said: &Description,
    ) -> Result<Vec<i32>, StoreError> {
        const SQL: &str = "UPDATE sensors SET sensor_type = $2, description = $3, location = $4
            WHERE sensor_id = $1 AND (sensor_type, description, location) IS NOT DISTINCT FROM ($5, $6, $7)
            RETURNING sensor_id";
        self.try_statement(
            "making a lost change of a sensor again",
            sqlx::query(SQL)
                .bind(sensor_id)
                .bind(&said.sensor_type)
                .bind(&said.description)
                .bind(&said.location)
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
    ) -> Result<Vec<i32>, StoreError> {
        // The topic, which says so, may say something else by then.
        const UNTOLD: &str = "SET LOCAL sensorpipe.restoring = 'on'";
        const TOLD: &str = "SET LOCAL sensorpipe.restoring = 'off'";
        let trying = async {
            let mut tried = self.transaction.begin().await?;
            sqlx::query(UNTOLD).execute(&mut *tried).await?;
            match statement.fetch_all(&mut *tried).await {
                Ok(rows) => {
                    sqlx::query(TOLD).execute(&mut *tried).await?;
                    tried.commit().await?;
                    rows.iter().map(|row| row.try_get(0)).collect()
                }
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

    /// Has the topic told of the sensors that are not among those that it knows, nor about to be.
    pub async fn tell_all_but(&mut self, told: &[i32]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO sensor_changes (sensor_id)
            SELECT sensor_id FROM sensors EXCEPT SELECT unnest($1::int[]) EXCEPT SELECT sensor_id FROM sensor_changes";
        let inserting = sqlx::query(SQL).bind(told).execute(&mut *self.transaction);
        bounded("having the topic told of sensors that it lacks", inserting).await.map(drop)
    }

    /// Has ids that are given out next be larger than this one.
    pub async fn skip_ids(&mut self, up_to: i32) -> Result<(), StoreError> {
        bounded("skipping ids of sensors", sequence::skip(&mut self.transaction, up_to)).await
    }

    /// Commits.
    pub async fn commit(self) -> Result<(), StoreError> {
        bounded("keeping the records of sensors", self.transaction.commit()).await
    }

    /// Commits; the table holds what this topic says up to there.
    pub async fn end(mut self, topic_id: &str, next_offset: i64) -> Result<(), StoreError> {
        self.note(topic_id, next_offset, false).await?;
        self.commit().await
    }
}

async fn bounded<T>(
    doing: &'static str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    timeout(ANSWER_TIMEOUT, work).await.map_err(StoreError::timed_out(doing))?.map_err(StoreError::new(doing))
}

/// What a row says; none where there is no row, whose columns are all null.
fn described(
    sensor_type: Option<String>,
    description: Option<String>,
    location: Option<String>,
) -> Option<Description> {
    Some(Description { sensor_type: sensor_type?, description, location })
}
