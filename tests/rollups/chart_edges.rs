//! Charts of random ranges are what the readings say: at their edges, from whatever is kept, and of days whose
//! readings retention has dropped.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rand::{Rng, rngs::StdRng};
use sensorpipe::{
    buckets::Step,
    config::{RetentionStats, Rollups, SchemaConfig},
    reading::{OnDuplicate, Timestamp},
    store::{
        Pool, drop_expired,
        queries::{Chart, ChartQuery, chart},
        stats::roll_up_quarter_hours,
    },
};
use testbed::{TestDatabase, config};

use crate::{
    bench::{Bench, Reading, Writer, at, today},
    dice, setting,
};

const DAYS: u64 = 20;
const QUARTER_HOUR_MICROS: i64 = 900_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// A day whose readings may be gone, and whether its quarter-hours are kept.
type FinalDays = BTreeMap<NaiveDate, bool>;

/// A sensor's history: in the database, and here as it was before anything was dropped.
struct History {
    bench: Bench,
    writer: Writer,
    readings: BTreeMap<Timestamp, f64>,
}

impl History {
    async fn new(dice: &mut StdRng) -> Self {
        let database = TestDatabase::create_empty().await;
        // Borders of chunks run through days.
        let schema: SchemaConfig = config(&["--chunk-interval", "36h"]);
        sensorpipe::store::migrate(&database.config(), &schema).await.unwrap();
        database.add_sensors(1).await;
        let pool = Pool::new(&database.config()).unwrap();
        let bench = Bench { database, pool, sensors: 1 };
        let writer = bench.writer(0, OnDuplicate::Ignore, Rollups::On).await;
        let mut history = Self { bench, writer, readings: BTreeMap::new() };
        for days_ago in 0..=DAYS {
            // Some days are empty, some have few readings, and some many.
            let count = [0, 5, 40, 300][dice.random_range(0..4)];
            history.add(dice, days_ago..days_ago + 1, count).await;
        }
        // One at each edge that a range may have.
        let edges = (0..=DAYS).flat_map(|days_ago| [at(days_ago, 0), at(days_ago, 0).plus_micros(-1)]);
        history.write(edges.map(|time| (time, dice.random_range(-1e3..1e3))).collect()).await;
        history
    }

    /// Writes so many readings of these days as a worker does.
    async fn add(&mut self, dice: &mut StdRng, days_ago: std::ops::Range<u64>, count: usize) {
        let readings = (0..count).map(|_| (moment(dice, days_ago.clone()), dice.random_range(-1e3..1e3)));
        self.write(readings.collect()).await;
    }

    async fn write(&mut self, readings: Vec<(Timestamp, f64)>) {
        let readings: BTreeMap<Timestamp, f64> =
            readings.into_iter().filter(|(time, _)| !self.readings.contains_key(time)).collect();
        let batch: Vec<Reading> = readings.iter().map(|(&time, &value)| (1, time, value)).collect();
        self.writer.write(&batch).await;
        self.readings.extend(readings);
    }

    async fn keep_all(&self) {
        for days_ago in 1..=DAYS + 1 {
            roll_up_quarter_hours(&self.bench.pool, 1, day_of(at(days_ago, 0))).await.unwrap();
        }
    }

    async fn final_days(&self) -> FinalDays {
        let days: Vec<(NaiveDate, bool)> =
            sqlx::query_as("SELECT day, quarter_hours IS NOT NULL FROM daily_stats WHERE is_final")
                .fetch_all(&self.bench.database.pool)
                .await
                .unwrap();
        days.into_iter().collect()
    }

    /// Draws random charts, and holds each that is complete against the readings.
    async fn is_drawn_right(&self, dice: &mut StdRng, after: &str) {
        let final_days = self.final_days().await;
        let charts = setting("ROLLUPS_STEPS", 150);
        let mut compared = 0;
        for _ in 0..charts {
            let query = query(dice, final_days.is_empty());
            let drawn = chart(&self.bench.pool, query.clone()).await.unwrap().unwrap();
            if drawn.missing.is_empty() {
                self.compare(&drawn, &final_days, &format!("{after}: {query:?}"));
                compared += 1;
            }
        }
        assert!(compared >= charts / 4, "{after}: {compared} of {charts} charts were complete");
        for days_ago in 1..=DAYS {
            let (start, end) = (Some(at(days_ago, 0)), Some(at(days_ago - 1, 0)));
            let query = ChartQuery { sensor_id: 1, start, end, width: 1, uses_kept: true, today: today() };
            let drawn = chart(&self.bench.pool, query).await.unwrap().unwrap();
            self.compare(&drawn, &final_days, &format!("{after}: the day {days_ago} days ago"));
        }
    }

    fn compare(&self, drawn: &Chart, final_days: &FinalDays, name: &str) {
        let inside =
            self.readings.iter().filter(|(time, _)| is_drawn(**time, drawn.start..drawn.end, final_days));
        let mut expected: BTreeMap<Timestamp, (i64, f64, f64, f64)> = BTreeMap::new();
        for (&time, &value) in inside {
            // A day without quarter-hours is one point.
            let is_one_point = final_days.get(&day_of(time)) == Some(&false);
            let drawn_at = if is_one_point { start_of(Step::DAY, time) } else { time };
            let start = drawn.step.map_or(time, |step| start_of(step, drawn_at));
            let (count, min, max, sum) =
                expected.entry(start).or_insert((0, f64::INFINITY, f64::NEG_INFINITY, 0.0));
            *count += 1;
            (*min, *max, *sum) = (min.min(value), max.max(value), *sum + value);
        }
        let found: Vec<_> =
            drawn.points.iter().map(|(time, point)| (*time, point.count, point.min, point.max)).collect();
        let wanted: Vec<_> =
            expected.iter().map(|(time, (count, min, max, _))| (*time, *count, *min, *max)).collect();
        assert_eq!(found, wanted, "{name}: {:?} {:?}", drawn.source, drawn.step);
        for ((time, point), (count, _, _, sum)) in drawn.points.iter().zip(expected.values()) {
            let mean = sum / *count as f64;
            assert!((point.avg - mean).abs() < 1e-9, "{name}: {time}: {} instead of {mean}", point.avg);
        }
    }
}

/// Whether a chart of this range shows a reading of that time. Of a final day that the range cuts, the quarter-hours
/// that reach into the range are drawn, and the day as a whole where those were not kept.
fn is_drawn(time: Timestamp, range: std::ops::Range<Timestamp>, final_days: &FinalDays) -> bool {
    let length = match final_days.get(&day_of(time)) {
        None => return range.contains(&time),
        Some(true) => QUARTER_HOUR_MICROS,
        Some(false) => DAY_MICROS,
    };
    let start = time.plus_micros(-time.micros().rem_euclid(length));
    start < range.end && range.start < start.plus_micros(length)
}

fn day_of(time: Timestamp) -> NaiveDate {
    time.to_datetime().unwrap().date_naive()
}

/// Buckets are counted from a Monday on.
fn start_of(step: Step, time: Timestamp) -> Timestamp {
    let monday: Timestamp = "1970-01-05".parse().unwrap();
    time.plus_micros(-(time.micros() - monday.micros()).rem_euclid(step.micros()))
}

/// A time of one of these days: on a midnight or a quarter of an hour, a microsecond beside one, or anywhere.
fn moment(dice: &mut StdRng, days_ago: std::ops::Range<u64>) -> Timestamp {
    let midnight = at(dice.random_range(days_ago), 0);
    let quarter = midnight.plus_micros(dice.random_range(0..96) * QUARTER_HOUR_MICROS);
    match dice.random_range(0..6) {
        0 => midnight,
        1 => quarter,
        2 => midnight.plus_micros(DAY_MICROS - 1),
        3 => quarter.plus_micros(1),
        _ => quarter.plus_micros(dice.random_range(0..QUARTER_HOUR_MICROS)),
    }
}

fn query(dice: &mut StdRng, all_readings_are_there: bool) -> ChartQuery {
    let (one, other) = (moment(dice, 0..DAYS + 3), moment(dice, 0..DAYS + 3));
    let (start, end) = (one.min(other), one.max(other).max(one.min(other).plus_micros(1)));
    ChartQuery {
        sensor_id: 1,
        start: dice.random_ratio(9, 10).then_some(start),
        end: dice.random_ratio(9, 10).then_some(end),
        width: [1, 2, 7, 40, 300, 1_000][dice.random_range(0..6)],
        uses_kept: !all_readings_are_there || dice.random_ratio(4, 5),
        today: today(),
    }
}

#[tokio::test]
async fn a_chart_of_any_range_is_what_the_readings_say() {
    let mut dice = dice("a chart of any range");
    let mut history = History::new(&mut dice).await;
    history.is_drawn_right(&mut dice, "nothing kept").await;
    history.keep_all().await;
    history.is_drawn_right(&mut dice, "all kept").await;
    history.add(&mut dice, 1..DAYS, 30).await;
    history.is_drawn_right(&mut dice, "after late readings").await;

    history.keep_all().await;
    let edge = at(8, 0);
    let expiry = drop_expired(&history.bench.database.config(), edge, RetentionStats::Keep).await;
    assert!(expiry.dropped.len() > 2 && expiry.held.is_empty(), "{expiry:?}");
    assert!(!history.final_days().await.is_empty());
    history.is_drawn_right(&mut dice, "after retention").await;
    history.add(&mut dice, 1..7, 30).await;
    history.is_drawn_right(&mut dice, "after retention and late readings").await;
    // A worker of a version that kept no quarter-hours: its days are drawn as a whole.
    let forget = "UPDATE daily_stats SET quarter_hours = NULL
        WHERE is_final AND (day - date '2000-01-01') % 2 = 0";
    history.bench.database.execute(forget).await;
    history.is_drawn_right(&mut dice, "without some quarter-hours").await;
}
