//! A dead letter of many readings, worked through: each reading is accounted for once, whatever becomes of it.

use testbed::{Record, Tally};

use crate::site::{PATIENCE, Site};

const START_MS: i64 = 1_704_067_200_000;
/// Of each sensor.
const READINGS: i64 = 1_200;

const ROWS: &str = "SELECT count(*) FROM sensor_data WHERE sensor_id = ";
const SET_ASIDE: &str = "SELECT coalesce(sum(readings), 0)::bigint FROM dead_letters";
/// All that is stored, as text.
const TABLE: &str = "SELECT hashtextextended(string_agg(concat_ws(' ', sensor_id, time, value), ',' ORDER BY sensor_id, time), 0)
                     FROM sensor_data";

/// Readings of sensor 1, which there is, and of 2 and 3, which there are not; half of the latter without a time. And one
/// that is none.
fn record() -> Record {
    let mut items = Vec::new();
    for n in 0..READINGS {
        items.push(format!(r#"{{"sensor_id":1,"value":{n},"timestamp":{}}}"#, START_MS / 1_000 + n));
        items.push(format!(r#"{{"sensor_id":2,"value":{n}}}"#));
        items.push(format!(r#"{{"sensor_id":3,"value":{n},"timestamp":{}}}"#, START_MS / 1_000 + n));
        items.push(format!(r#"{{"sensor_id":3,"value":{n}}}"#));
    }
    items.push("{}".to_owned());
    Record::new(format!("[{}]", items.join(","))).timestamp_ms(START_MS)
}

impl Site {
    async fn replay_all(&self) {
        let mut replay = self.role(&["dead-letters", "replay", "--all"]).start();
        // Those that are still refused are no failure.
        replay.ended(PATIENCE).await;
    }
}

#[tokio::test]
async fn each_of_many_readings_is_replayed_once_and_accounted_for() {
    let site = Site::new(1, 1).await;
    // Both records have the same time: readings of the second one get others than their places give them.
    let (two, three) = (r#"{"sensor_id":2,"value":-1}"#, r#"{"sensor_id":3,"value":-1}"#);
    let before = format!("[{},{two},{three}]", vec![two; 500].join(","));
    topic_has(&site, vec![Record::new(before).timestamp_ms(START_MS), record()]).await;
    let refused = 502 + 3 * READINGS + 1;
    assert_eq!(
        site.database.tally().await,
        Tally { stored: READINGS, duplicates: 0, dead_lettered: refused }
    );
    let letters = async || site.database.dead_letters().await.len();
    assert_eq!((letters().await, site.database.number(SET_ASIDE).await), (503, refused));
    site.is_clean(&[]).await;

    site.replay_all().await;
    assert_eq!(
        (letters().await, site.database.number(SET_ASIDE).await),
        (503, refused),
        "nothing has changed"
    );
    site.is_clean(&[]).await;

    site.database.add_sensors(1).await;
    site.replay_all().await;
    assert_eq!(site.database.number(&format!("{ROWS} 2")).await, 501 + READINGS);
    assert_eq!((letters().await, site.database.number(SET_ASIDE).await), (2, 1 + 2 * READINGS + 1));
    site.is_clean(&[]).await;

    // A reading of the dead letter comes another way meanwhile.
    let other_way = format!("INSERT INTO sensor_data VALUES (3, 7, to_timestamp({}))", START_MS / 1_000 + 7);
    site.database.add_sensors(1).await;
    site.database.execute(&other_way).await;
    site.replay_all().await;
    assert_eq!(site.database.number(&format!("{ROWS} 3")).await, 1 + 2 * READINGS);
    let left = "SELECT count(*) FROM dead_letters WHERE readings = 1 AND reason = 'wrong_shape'
                AND items = '{4800,4800}' AND cardinality(reading_times) = 0";
    assert_eq!(site.database.number(left).await, 1, "what is no reading is left");
    let replayed = "SELECT letters FROM dead_letter_removals WHERE outcome = 'replayed'";
    assert_eq!(site.database.number(replayed).await, refused - 1);
    site.is_clean(&[]).await;

    // Who reads the log again gives the same times.
    let (table, rows) = (site.database.number(TABLE).await, site.database.row_count().await);
    let mut replay = site.role(&["replay", "--from", "0", "--partition", "0", "--yes"]).start();
    assert!(replay.ended(PATIENCE).await.success(), "{}", replay.stderr());
    site.store_all().await;
    assert_eq!((site.database.number(TABLE).await, site.database.row_count().await), (table, rows));
    site.is_clean(&[]).await;

    let mut discard = site.role(&["dead-letters", "discard", "--all", "--yes"]).start();
    assert!(discard.ended(PATIENCE).await.success(), "{}", discard.stderr());
    assert_eq!(letters().await, 0);
    site.is_clean(&[]).await;
}

#[tokio::test]
async fn a_reading_that_is_lost_is_seen_beside_a_letter_of_many() {
    let site = Site::new(1, 1).await;
    topic_has(&site, vec![record()]).await;
    site.is_clean(&[]).await;
    site.database.execute("DELETE FROM sensor_data WHERE value = 5").await;
    site.differs(&[], &["rows_missing", "unaccounted"]).await;
    site.database.execute("UPDATE dead_letters SET items[1] = items[1] + 1, readings = readings - 1").await;
    site.differs(&[], &["letters_missing", "rows_missing", "unaccounted"]).await;
}

#[tokio::test]
async fn beyond_the_bound_each_of_many_readings_is_counted() {
    let site = Site::new(1, 1).await;
    site.topic.produce([record()]).await;
    site.stop_when_stored(site.worker().env("DEAD_LETTER_MAX", "0").start()).await;
    let not_kept = "SELECT sum(letters)::bigint FROM dead_letter_overflow";
    assert_eq!(site.database.number(not_kept).await, 3 * READINGS + 1);
    assert_eq!(site.database.dead_letters().await.len(), 0);
    site.is_clean(&[]).await;
}

async fn topic_has(site: &Site, records: Vec<Record>) {
    site.topic.produce(records).await;
    site.store_all().await;
}

#[tokio::test]
async fn a_letter_of_very_many_readings_is_replayed_in_transactions_of_bounded_length() {
    const MANY: i64 = 80_000;
    let site = Site::new(1, 1).await;
    let items = vec![r#"{"value":1}"#; MANY as usize].join(",");
    let payload = format!(r#"{{"sensor_id":2,"data":[{items}]}}"#);
    topic_has(&site, vec![Record::new(payload).timestamp_ms(START_MS)]).await;
    assert_eq!((site.database.dead_letters().await.len(), site.database.number(SET_ASIDE).await), (1, MANY));
    // Of the first portion a reading is refused; of the other one a reading is there already.
    let time = |place| format!("to_timestamp({}) + interval '{place} microseconds'", START_MS / 1_000);
    site.database.add_sensors(1).await;
    site.database.execute(&format!("ALTER TABLE sensor_data ADD CHECK (time <> {})", time(7))).await;
    site.database.execute(&format!("INSERT INTO sensor_data VALUES (2, 1, {})", time(60_000))).await;

    let replayed = async |flags: &[&str]| {
        let mut replay =
            site.role(&[&["dead-letters", "replay", "--all", "--format", "json"], flags].concat()).start();
        replay.ended(PATIENCE).await;
        let report: serde_json::Value =
            serde_json::from_str(&replay.stdout()).unwrap_or_else(|_| panic!("{}", replay.stderr()));
        ["stored", "duplicates", "refused"].map(|fate| report[fate].as_i64().unwrap())
    };
    assert_eq!(replayed(&["--dry-run"]).await, [MANY - 2, 1, 1]);
    assert_eq!((site.database.row_count().await, site.database.number(SET_ASIDE).await), (1, MANY));
    assert_eq!(replayed(&[]).await, [MANY - 2, 1, 1]);
    assert_eq!(site.database.row_count().await, MANY - 1);
    let left = "SELECT count(*) FROM dead_letters WHERE items = '{7,7}' AND readings = 1 AND cardinality(reading_times) = 1
                AND detail LIKE '1 readings: 1 rejected_by_database; the first one: %violates check%'";
    assert_eq!(site.database.number(left).await, 1);
    let counted = "SELECT letters FROM dead_letter_removals WHERE outcome = 'replayed'";
    assert_eq!(site.database.number(counted).await, MANY - 1);
    let longest = "SELECT max(count) FROM (SELECT count(*) FROM sensor_data GROUP BY xmin::text) AS written";
    assert_eq!(site.database.number(longest).await, 29_999, "the other portion, around what is there");
    let left = site.database.number("SELECT id FROM dead_letters").await.to_string();
    let mut show = site.role(&["dead-letters", "show", &left]).start();
    show.ended(PATIENCE).await;
    assert!(show.stdout().contains("item         many of its readings\n"), "{}", show.stdout());
    site.is_clean(&[]).await;
}
