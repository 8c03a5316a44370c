//! A hypertable of many chunks, made by hand and adopted by `migrate`.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sensorpipe::{
    config::SchemaConfig,
    store::{self, Pool},
};
use testbed::{TestDatabase, config};

/// Has a reading in the middle of each chunk, and one each ten minutes of the last days.
pub(crate) const BUSY: i32 = 1;
/// Has none.
pub(crate) const SILENT: i32 = 2;
/// Has one, in the first chunk.
pub(crate) const OLD: i32 = 3;

/// Days, today among them, of which the busy sensor has more than a reading for each chunk.
const RECENT_DAYS: i64 = 9;
/// Chunks made in one transaction.
const PORTION: i64 = 200;

/// With the index on time that `create_hypertable` makes unasked: three locks for each chunk.
const TABLES: &str = "
    CREATE EXTENSION IF NOT EXISTS timescaledb;
    CREATE TABLE sensors (sensor_id SERIAL PRIMARY KEY, sensor_type VARCHAR(50) NOT NULL,
                          description VARCHAR(255), location VARCHAR(255));
    CREATE TABLE sensor_data (sensor_id INT REFERENCES sensors (sensor_id), value FLOAT NOT NULL,
                              time TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (sensor_id, time));
    SELECT create_hypertable('sensor_data', by_range('time', interval '12 hours'));
    INSERT INTO sensors (sensor_type) SELECT 'test' FROM generate_series(1, 3);";

/// The table, its last chunk that of tonight.
pub(crate) struct Table {
    pub(crate) database: TestDatabase,
    /// For questions.
    pub(crate) pool: Pool,
    /// When the first chunk begins.
    pub(crate) start: DateTime<Utc>,
    /// When today began.
    pub(crate) today: NaiveDate,
}

impl Table {
    pub(crate) async fn create(server_url: &str, chunks: i64) -> Self {
        let database = TestDatabase::create_empty_at(server_url).await;
        database.execute(TABLES).await;
        let today = Utc::now().date_naive();
        let midnight = today.and_time(NaiveTime::MIN).and_utc();
        let at = |chunk: i64| midnight + TimeDelta::hours(12 * (chunk - chunks + 2));
        for first in (0..chunks).step_by(PORTION as usize) {
            let (since, until) = (at(first), at((first + PORTION).min(chunks)));
            database
                .execute(&format!(
                    "SET timezone = 'UTC';
                     INSERT INTO sensor_data (sensor_id, value, time)
                     SELECT {BUSY}, extract(day FROM time), time + interval '6 hours'
                     FROM generate_series('{since}'::timestamptz, '{until}'::timestamptz - interval '1 hour',
                                          '12 hours') AS time"
                ))
                .await;
        }
        let recent = midnight - TimeDelta::days(RECENT_DAYS - 1);
        database
            .execute(&format!(
                "INSERT INTO sensor_data (sensor_id, value, time)
                 SELECT {BUSY}, extract(minute FROM time), time
                 FROM generate_series('{recent}'::timestamptz, '{midnight}'::timestamptz + interval '20 minutes',
                                      '10 minutes') AS time
                 ON CONFLICT DO NOTHING;
                 INSERT INTO sensor_data (sensor_id, value, time) VALUES ({OLD}, 3, '{}')",
                at(0)
            ))
            .await;
        let migrated = store::migrate(&database.config(), &config::<SchemaConfig>(&[])).await.unwrap();
        assert!(migrated.adopted);
        let made = database.number("SELECT count(*) FROM _timescaledb_catalog.chunk").await;
        assert_eq!(made, chunks);
        let pool = Pool::for_reads(&database.config(), &config(&[])).unwrap();
        Self { database, pool, start: at(0), today }
    }
}
