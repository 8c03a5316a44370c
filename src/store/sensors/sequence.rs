//! The sequence of sensor ids, which a restored backup sets back.

use sqlx::PgConnection;

use crate::{
    config::DatabaseConfig,
    store::{
        ConnectError, StoreError,
        startup::{COMMAND_PATIENCE, connect_within},
    },
};

/// Where new sensors get their ids from.
pub struct SensorSequence {
    connection: PgConnection,
    name: String,
}

/// Why there is no such sequence to be had.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A table made by hand may go without.
    #[error(
        "sensors.sensor_id has no sequence: whoever gives out its ids has to keep clear of those in the log"
    )]
    None,
    /// Postgres said something else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SensorSequence {
    /// Connects and finds it; waits up to 10 s for Postgres to come up.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, SequenceError> {
        let mut connection = connect_within(COMMAND_PATIENCE, database, "sensorpipe after-restore").await?;
        let name: Option<String> =
            sqlx::query_scalar("SELECT pg_get_serial_sequence('sensors', 'sensor_id')")
                .fetch_one(&mut connection)
                .await
                .map_err(StoreError::new("looking for the sequence of sensor ids"))?;
        Ok(Self { connection, name: name.ok_or(SequenceError::None)? })
    }

    /// The last id that was given out, 0 where none was.
    pub async fn last_id(&mut self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT coalesce(pg_sequence_last_value($1::regclass), 0)")
            .bind(&self.name)
            .fetch_one(&mut self.connection)
            .await
            .map_err(StoreError::new("reading the sequence of sensor ids"))
    }

    /// Has the next id be a larger one than this; the sequence never goes back.
    pub async fn raise_to(&mut self, last_id: i64) -> Result<(), StoreError> {
        const SQL: &str = "SELECT setval($1::regclass, $2)
            WHERE coalesce(pg_sequence_last_value($1::regclass), 0) < $2";
        sqlx::query(SQL)
            .bind(&self.name)
            .bind(last_id)
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::new("moving the sequence of sensor ids"))?;
        Ok(())
    }

    /// Which of these ids no sensor has, in their order.
    pub async fn without_sensor(&mut self, ids: &[i32]) -> Result<Vec<i32>, StoreError> {
        const SQL: &str = "SELECT id FROM unnest($1::int[]) AS id
            WHERE NOT EXISTS (SELECT FROM sensors WHERE sensor_id = id) ORDER BY id";
        sqlx::query_scalar(SQL)
            .bind(ids)
            .fetch_all(&mut self.connection)
            .await
            .map_err(StoreError::new("looking for sensors"))
    }
}
