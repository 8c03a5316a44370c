//! What `seed` does in the database: adds the sample sensors, counts their readings.

use sqlx::{Connection, PgConnection};

use super::{
    ConnectError, StoreError,
    sensors::Sensor,
    startup::{STARTUP_PATIENCE, connect_within},
};
use crate::{config::DatabaseConfig, reading::Timestamp, seed::SampleSensor};

/// Why the sample sensors are not there.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The id belongs to somebody else's sensor.
    #[error(
        "sensor {sensor_id} exists and is not the sample sensor ({found}); \
         the sample data goes into a database whose sensors 1 and 2 are free"
    )]
    Taken {
        /// The id.
        sensor_id: i32,
        /// The sensor that has it: type, description, location.
        found: String,
    },
    /// Anything else that the database said.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SampleSensor {
    fn is(&self, sensor: &Sensor) -> bool {
        self.sensor_type == sensor.sensor_type
            && Some(self.description) == sensor.description.as_deref()
            && Some(self.location) == sensor.location.as_deref()
    }
}

/// The connection that `seed` has.
pub struct SampleStore {
    connection: PgConnection,
}

impl SampleStore {
    /// Connects; waits up to 30 s for Postgres to come up.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, SampleError> {
        let connection = connect_within(STARTUP_PATIENCE, database, "sensorpipe seed").await?;
        Ok(Self { connection })
    }

    /// Adds those sensors that are missing, and returns how many; none where an id is somebody else's.
    pub async fn add_sensors(&mut self, samples: &[SampleSensor]) -> Result<u64, SampleError> {
        let doing = "adding the sample sensors";
        let mut transaction = self.connection.begin().await.map_err(StoreError::new(doing))?;
        let mut added = 0;
        for sample in samples {
            let inserted = sqlx::query(
                // A hand-made table may number its sensors GENERATED ALWAYS.
                "INSERT INTO sensors (sensor_id, sensor_type, description, location) OVERRIDING SYSTEM VALUE
                 VALUES ($1, $2, $3, $4) ON CONFLICT (sensor_id) DO NOTHING",
            )
            .bind(sample.sensor_id)
            .bind(sample.sensor_type)
            .bind(sample.description)
            .bind(sample.location)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::new(doing))?;
            added += inserted.rows_affected();
            let found: Sensor = sqlx::query_as(
                "SELECT sensor_id, sensor_type, description, location FROM sensors WHERE sensor_id = $1",
            )
            .bind(sample.sensor_id)
            .fetch_one(&mut *transaction)
            .await
            .map_err(StoreError::new(doing))?;
            if !sample.is(&found) {
                let words = [Some(found.sensor_type), found.description, found.location];
                let found_words = words.into_iter().flatten().collect::<Vec<_>>().join(", ");
                return Err(SampleError::Taken { sensor_id: found.sensor_id, found: found_words });
            }
            pass_by(&mut transaction, sample.sensor_id).await.map_err(StoreError::new(doing))?;
        }
        transaction.commit().await.map_err(StoreError::new(doing))?;
        Ok(added)
    }

    /// How many readings of these sensors there are from one time to another, both inclusive.
    pub async fn count_readings(
        &mut self,
        samples: &[SampleSensor],
        first: Timestamp,
        last: Timestamp,
    ) -> Result<u64, StoreError> {
        let sensor_ids: Vec<i32> = samples.iter().map(|sample| sample.sensor_id).collect();
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM sensor_data WHERE sensor_id = ANY ($1) AND time BETWEEN $2 AND $3",
        )
        .bind(sensor_ids)
        .bind(first.to_datetime())
        .bind(last.to_datetime())
        // A plan for any times holds every chunk.
        .persistent(false)
        .fetch_one(&mut self.connection)
        .await
        .map_err(StoreError::new("counting the sample readings"))?;
        Ok(count.cast_unsigned())
    }
}

/// Moves the sequence that numbers sensors past an id that it did not give.
///
/// By taking numbers, never by setting it: somebody who makes a sensor meanwhile must not see a number twice.
async fn pass_by(connection: &mut PgConnection, sensor_id: i32) -> Result<(), sqlx::Error> {
    loop {
        let moved: Option<i64> = sqlx::query_scalar(
            "SELECT nextval(number.sequence)
             FROM (SELECT pg_get_serial_sequence('sensors', 'sensor_id')::regclass AS sequence) AS number
             WHERE number.sequence IS NOT NULL
               AND coalesce(pg_sequence_last_value(number.sequence), 0) < $1",
        )
        .bind(i64::from(sensor_id))
        .fetch_optional(&mut *connection)
        .await?;
        match moved {
            Some(number) if number < i64::from(sensor_id) => {}
            _ => return Ok(()),
        }
    }
}
