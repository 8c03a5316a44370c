//! A database with sensors, writers as workers have them, and the guide's query to be held against.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use sensorpipe::{
    batch::{Batch, Limits, Record},
    config::{DeadLetterBounds, FkCheck, Rollups},
    log::Log,
    reading::{OnDuplicate, Timestamp, Window, untimed::GivenTimes},
    store::{
        BatchWriter, Offsets, Pool, SensorSource, WriterConfig, Written,
        queries::{Chart, ChartQuery, chart},
        stats::{DayStats, daily_avg, roll_up_quarter_hours},
    },
};
use sqlx::Row;
use testbed::TestDatabase;

/// What the guide asks for, of one sensor: over the readings alone.
const GUIDES_QUERY: &str = "
    SELECT time_bucket('1 day', time)::date AS day, avg(value) AS avg_value, min(value) AS min_value,
           max(value) AS max_value, count(*) AS reading_count,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS median_value,
           percentile_cont(0.75) WITHIN GROUP (ORDER BY value)
               - percentile_cont(0.25) WITHIN GROUP (ORDER BY value) AS iqr_value
    FROM sensor_data WHERE sensor_id = $1
    GROUP BY 1 ORDER BY 1 DESC LIMIT 7";

/// Kept days that are not what the readings of the same snapshot say.
const WRONG: &str = "
    SELECT count(*) FROM daily_stats AS kept
    CROSS JOIN LATERAL (
        SELECT count(*) AS reading_count, avg(value) AS avg_value, min(value) AS min_value, max(value) AS max_value,
               percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS quartiles
        FROM sensor_data
        WHERE sensor_id = kept.sensor_id AND time >= kept.day::timestamptz
          AND time < kept.day::timestamptz + interval '24 hours') AS actual
    WHERE actual.reading_count <> kept.reading_count OR actual.min_value <> kept.min_value
       OR actual.max_value <> kept.max_value OR abs(actual.avg_value - kept.avg_value) > 1e-9 * abs(actual.avg_value)
       OR actual.quartiles <> ARRAY[kept.lower_quartile, kept.median_value, kept.upper_quartile]";

/// The same of kept quarter-hours, their means left out.
const WRONG_QUARTER_HOURS: &str = "
    SELECT count(*) FROM daily_stats AS kept
    CROSS JOIN LATERAL (
        SELECT array_agg(figure ORDER BY quarter, place) AS figures
        FROM (SELECT floor(extract(epoch FROM time - kept.day::timestamptz) / 900)::int AS quarter,
                     count(*) AS reading_count, min(value) AS min_value, max(value) AS max_value
              FROM sensor_data
              WHERE sensor_id = kept.sensor_id AND time >= kept.day::timestamptz
                AND time < kept.day::timestamptz + interval '24 hours'
              GROUP BY 1) AS quarters
        CROSS JOIN LATERAL unnest(ARRAY[quarter, reading_count, min_value, max_value])
            WITH ORDINALITY AS flat (figure, place)) AS actual
    WHERE kept.quarter_hours IS NOT NULL
      AND actual.figures IS DISTINCT FROM (
          SELECT array_agg(figure ORDER BY place)
          FROM unnest(kept.quarter_hours) WITH ORDINALITY AS flat (figure, place) WHERE (place - 1) % 5 < 4)";

/// A chart's points, over the readings alone; $2 and $3 the range, $4 the length of a bucket in seconds.
const CHART: &str = "
    SELECT (floor((extract(epoch FROM time) - 345600) / $4) * $4 + 345600)::bigint * 1000 AS start_ms,
           count(*) AS reading_count, min(value) AS min_value, max(value) AS max_value, avg(value) AS avg_value
    FROM sensor_data WHERE sensor_id = $1 AND time >= $2 AND time < $3 GROUP BY 1 ORDER BY 1";

/// A reading to write.
pub(crate) type Reading = (i32, Timestamp, f64);

/// A database with sensors, and the api's way to it.
pub(crate) struct Bench {
    pub(crate) database: TestDatabase,
    pub(crate) pool: Pool,
    pub(crate) sensors: i32,
}

impl Bench {
    pub(crate) async fn new(sensors: i32) -> Self {
        let database = TestDatabase::create().await;
        database.add_sensors(sensors).await;
        let pool = Pool::new(&database.config()).unwrap();
        Self { database, pool, sensors }
    }

    /// What the api answers.
    pub(crate) async fn daily_avg(&self, sensor_id: i32) -> Vec<DayStats> {
        daily_avg(&self.pool, Some(&self.pool), sensor_id).await.unwrap()
    }

    /// Days of sensors that are kept.
    pub(crate) async fn kept(&self) -> i64 {
        self.database.number("SELECT count(*) FROM daily_stats").await
    }

    /// Kept days that contradict the readings of the same snapshot: there is never any.
    pub(crate) async fn wrong(&self) -> i64 {
        self.database.number(WRONG).await
    }

    /// The same of kept quarter-hours.
    pub(crate) async fn wrong_quarter_hours(&self) -> i64 {
        self.database.number(WRONG_QUARTER_HOURS).await
    }

    /// Days of sensors whose quarter-hours are kept.
    pub(crate) async fn kept_quarter_hours(&self) -> i64 {
        self.database.number("SELECT count(*) FROM daily_stats WHERE quarter_hours IS NOT NULL").await
    }

    /// Keeps the quarter-hours of any day that is kept without them.
    pub(crate) async fn keep_some_quarter_hours(&self) {
        let any: Option<(i32, NaiveDate)> = sqlx::query_as(
            "SELECT sensor_id, day FROM daily_stats WHERE quarter_hours IS NULL ORDER BY random() LIMIT 1",
        )
        .fetch_optional(&self.database.pool)
        .await
        .unwrap();
        if let Some((sensor_id, day)) = any {
            roll_up_quarter_hours(&self.pool, sensor_id, day).await.unwrap();
        }
    }

    /// A chart of the days from so many ago to today.
    pub(crate) async fn chart(&self, sensor_id: i32, days_ago: u64, width: usize) -> Chart {
        let (start, end) = (Some(at(days_ago, 0)), Some(at(0, 86_400)));
        let query = ChartQuery { sensor_id, start, end, width, uses_kept: true, today: today() };
        chart(&self.pool, query).await.unwrap().unwrap()
    }

    /// Asserts that a chart is what the readings say, wherever it is complete.
    pub(crate) async fn is_drawn_right(&self, sensor_id: i32, days_ago: u64, width: usize, after: &str) {
        let chart = self.chart(sensor_id, days_ago, width).await;
        let Some(step) = chart.step.filter(|_| chart.missing.is_empty()) else { return };
        let expected: Vec<(i64, i64, f64, f64, f64)> = sqlx::query_as(CHART)
            .bind(sensor_id)
            .bind(chart.start.to_datetime())
            .bind(chart.end.to_datetime())
            .bind(step.micros() / 1_000_000)
            .fetch_all(&self.database.pool)
            .await
            .unwrap();
        let name = format!("{after}: sensor {sensor_id}, {:?} by {step}", chart.source);
        assert_eq!(chart.points.len(), expected.len(), "{name}: {:?} {expected:?}", chart.points);
        for ((time, point), (start_ms, count, min, max, avg)) in chart.points.iter().zip(expected) {
            assert_eq!((time.micros(), point.count), (start_ms * 1_000, count), "{name}");
            assert_eq!((point.min.to_bits(), point.max.to_bits()), (min.to_bits(), max.to_bits()), "{name}");
            assert!(
                (point.avg - avg).abs() <= 1e-9 * min.abs().max(max.abs()),
                "{name}: {} {avg}",
                point.avg
            );
        }
    }

    /// Asserts that the api and the guide say the same of every sensor.
    pub(crate) async fn agrees(&self, after: &str) {
        for sensor_id in 1..=self.sensors {
            // Once as things are, and once with what the first call has kept.
            for call in ["first", "second"] {
                let days = self.daily_avg(sensor_id).await;
                self.is_the_guides_answer(sensor_id, &days, &format!("{after}, {call} call")).await;
            }
        }
        self.keep_some_quarter_hours().await;
        for (days_ago, width) in [(2, 20), (8, 20), (60, 8)] {
            self.is_drawn_right(1, days_ago, width, after).await;
        }
        assert_eq!(self.wrong().await, 0, "{after}: kept days that are not true");
        assert_eq!(self.wrong_quarter_hours().await, 0, "{after}: kept quarter-hours that are not true");
    }

    /// Asserts that these days are what the guide's query answers now.
    pub(crate) async fn is_the_guides_answer(&self, sensor_id: i32, days: &[DayStats], after: &str) {
        let expected =
            sqlx::query(GUIDES_QUERY).bind(sensor_id).fetch_all(&self.database.pool).await.unwrap();
        let expected_days: Vec<NaiveDate> = expected.iter().map(|row| row.get("day")).collect();
        let told: Vec<NaiveDate> = days.iter().map(|day| day.day).collect();
        assert_eq!(told, expected_days, "{after}: days of sensor {sensor_id}");
        for (day, row) in days.iter().zip(&expected) {
            let name = format!("{after}: sensor {sensor_id} on {}", day.day);
            assert_eq!(day.reading_count, row.get::<i64, _>("reading_count"), "{name}: count");
            let iqr = day.upper_quartile - day.lower_quartile;
            for (what, told, column) in [
                ("min", day.min_value, "min_value"),
                ("max", day.max_value, "max_value"),
                ("median", day.median_value, "median_value"),
                ("iqr", iqr, "iqr_value"),
            ] {
                let exact: f64 = row.get(column);
                assert_eq!(told.to_bits(), exact.to_bits(), "{name}: {what} {told} instead of {exact}");
            }
            let mean: f64 = row.get("avg_value");
            assert!((day.avg_value - mean).abs() <= 1e-9 * mean.abs(), "{name}: {} {mean}", day.avg_value);
        }
    }

    /// A worker's writer, of a partition of its own.
    pub(crate) async fn writer(&self, partition: i32, on_duplicate: OnDuplicate, rollups: Rollups) -> Writer {
        let log = Log { cluster_id: "test".into(), topic: "test".into(), topic_id: "test".into() };
        let database = self.database.config();
        Offsets::connect(&database, &log).await.unwrap().add_missing(&[(partition, 0)]).await.unwrap();
        let config = WriterConfig {
            database,
            on_duplicate,
            fk_check: FkCheck::Auto,
            rollups,
            lock_timeout: std::time::Duration::from_secs(3),
            write_timeout: std::time::Duration::from_secs(120),
            dead_letter_bounds: DeadLetterBounds { letters: u64::MAX, bytes: u64::MAX },
            lost_sensors: SensorSource::default(),
        };
        Writer { store: BatchWriter::new(config), log: Arc::new(log), partition, next: 0 }
    }
}

/// Writes batches as a worker does.
pub(crate) struct Writer {
    store: BatchWriter,
    log: Arc<Log>,
    partition: i32,
    next: i64,
}

impl Writer {
    /// One batch, one transaction.
    pub(crate) async fn write(&mut self, readings: &[Reading]) {
        let mut batch = Batch::new(Limits {
            max_readings: usize::MAX,
            max_bytes: usize::MAX,
            max_record_bytes: usize::MAX,
        });
        let window =
            Window { since: Timestamp::from_micros(0), until: Timestamp::now().plus_micros(i64::MAX / 4) };
        let mut given = GivenTimes::default();
        for (sensor_id, time, value) in readings {
            let payload = format!(r#"{{"sensor_id":{sensor_id},"value":{value:?},"timestamp":"{time}"}}"#);
            let record = Record {
                partition: self.partition,
                offset: self.next,
                timestamp: Some(*time),
                leader_epoch: None,
                key: None,
                payload: Some(payload.as_bytes()),
                headers: vec![],
            };
            batch.push(&record, self.next, &window, &mut given);
            self.next += 1;
        }
        loop {
            match self.store.write(&self.log, &batch).await {
                Ok(Written::Committed(_)) => return,
                Ok(Written::Fenced(fences)) => panic!("{fences:?}"),
                Ok(Written::TooMuch { fits, .. }) => panic!("only {fits} fit"),
                Err(error) if error.is_retriable() => println!("tried again: {}", error.cause()),
                Err(error) => panic!("{error}: {}", error.cause()),
            }
        }
    }
}

/// Today, as the database and the api see it.
pub(crate) fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// So many seconds into the day that is `days_ago` before today.
pub(crate) fn at(days_ago: u64, second: i64) -> Timestamp {
    let midnight: DateTime<Utc> = (today() - Days::new(days_ago)).and_time(NaiveTime::MIN).and_utc();
    Timestamp::from_micros(midnight.timestamp_micros() + second * 1_000_000)
}
