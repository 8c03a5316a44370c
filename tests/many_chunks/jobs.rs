//! What works through the table beside the api.

use chrono::{Days, NaiveTime, TimeDelta};
use sensorpipe::{
    audit::{Item, Whereabouts},
    config::{RebuildConfig, RetentionStats},
    log::Log,
    reading::{Reading, Timestamp},
    store::{
        self,
        audit::{LookUp, SnapshotStore, Wanted},
        stats::{Reach, StatsStore, sweep},
    },
};

use crate::table::{BUSY, OLD, SILENT, Table};

/// Chunks that retention drops here: as many as there are in a week.
const EXPIRED: i64 = 14;

pub(crate) async fn keeping_days(table: &Table) {
    let config = table.database.config();
    let swept = sweep(&config, Reach::Week).await.unwrap();
    assert_eq!(swept.kept, 7, "the busy sensor's days of a week");
    let week_ago = table.today - Days::new(7);
    let mut stats = StatsStore::connect(&config).await.unwrap();
    let rebuilt = stats
        .rebuild(&RebuildConfig { sensors: vec![BUSY, OLD, SILENT], since: Some(week_ago) })
        .await
        .unwrap();
    assert_eq!(rebuilt.forgotten, rebuilt.kept);
    assert!(rebuilt.kept >= 7, "{rebuilt:?}");
}

pub(crate) async fn audit(table: &Table) {
    let (config, log) = (table.database.config(), nobodys_log());
    let mut snapshots = SnapshotStore::open(&config).await.unwrap();
    let snapshot = snapshots.take(Wanted { log: &log, counts_rows: true }).await.unwrap();
    let rows = snapshot.table.unwrap().rows;
    let pages = store::queries::PageQuery {
        sensor_id: BUSY,
        start: None,
        end: None,
        order: store::queries::Order::Ascending,
        limit: 1_000_000,
    };
    let readings = store::queries::readings(&table.pool, pages).await.unwrap();
    assert_eq!(rows, readings.len() as i64 + 1, "those of the busy sensor, and one");

    // As a log may have them: of all times side by side, one of them lost.
    let lost = Reading { sensor_id: SILENT, time: readings[7].time, value: 1.0 };
    let changed = Reading { value: readings[1].value + 1.0, ..readings[1] };
    let half = readings.len() / 2;
    let items: Vec<Item> = [lost, changed]
        .into_iter()
        .chain(readings[half..].iter().zip(&readings[..half]).flat_map(|(late, early)| [*late, *early]))
        .enumerate()
        .map(|(offset, reading)| Item { offset: offset as i64, item: None, reading: Ok(reading) })
        .collect();
    let mut look_up = LookUp::connect(&config, &log, 0).await.unwrap();
    let findings = look_up.findings(&items).await.unwrap();
    let found: Vec<_> = findings.iter().map(|finding| (finding.index, finding.whereabouts)).collect();
    assert_eq!(found, [(0, Whereabouts::Missing), (1, Whereabouts::OtherValue(readings[1].value))]);
}

fn nobodys_log() -> Log {
    Log { cluster_id: "nobody's".to_owned(), topic: "nobody's".to_owned(), topic_id: "nobody's".to_owned() }
}

/// With what is kept of their days.
pub(crate) async fn retention(table: &Table) {
    let edge = table.start + TimeDelta::hours(12 * EXPIRED);
    let edge = edge.date_naive().and_time(NaiveTime::MIN).and_utc();
    let chunks = (edge - table.start).num_hours() / 12;
    let dropped = store::drop_expired(
        &table.database.config(),
        Timestamp::from_micros(edge.timestamp_micros()),
        RetentionStats::Keep,
    )
    .await
    .dropped;
    assert_eq!(dropped.len() as i64, chunks);
    let kept = table.database.number("SELECT count(*) FROM daily_stats WHERE is_final").await;
    assert!(kept >= chunks / 2, "{kept} days of {chunks} chunks");
}
