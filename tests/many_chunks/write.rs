//! What a worker writes: into the newest chunk, into one that is not there yet, into many old ones, and once more.

use std::time::Duration;

use testbed::{Record, Role, Tally, TestTopic};

use crate::table::{SILENT, Table};

/// A batch that may be stored in one transaction.
const OLD_CHUNKS: i64 = 100;
/// Longer than a batch takes on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn batches(table: &Table) {
    let topic = TestTopic::create(1).await;
    let _worker = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker", "--consumers", "1"])
        .database(&table.database)
        .topic(&topic)
        .env("SENSORPIPE_TEST_ROLLUP_INTERVAL", "1h")
        .start();
    let reading =
        |second: i64| Record::new(format!(r#"{{"sensor_id":{SILENT},"value":1,"timestamp":{second}}}"#));
    let (start, half_a_day) = (table.start.timestamp(), 12 * 3_600);
    let before = start - 3 * half_a_day;
    // Twice: what is there already goes another way.
    for duplicates in [0, OLD_CHUNKS + 1] {
        topic.produce([reading(before)]).await;
        topic
            .produce((OLD_CHUNKS..2 * OLD_CHUNKS).map(move |chunk| reading(start + chunk * half_a_day)))
            .await;
        table.database.stores_all_of(&topic, PATIENCE).await;
        let expected = Tally { stored: OLD_CHUNKS + 1, duplicates, dead_lettered: 0 };
        assert_eq!(table.database.tally().await, expected);
    }
}
