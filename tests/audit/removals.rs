//! What retention and operators took away is no loss.

use sensorpipe::{
    config::RetentionStats,
    reading::Timestamp,
    store::{
        Pool, drop_expired,
        sensors::{self, Deletion, ReadingsOf},
    },
};
use serde_json::json;

use crate::site::{Site, reading};

/// Three sensors with a reading a day, all of them stored.
async fn with_eight_weeks() -> Site {
    let site = Site::new(2, 3).await;
    let readings = (0..56).flat_map(|day| (1..=3).map(move |sensor| (sensor, day)));
    let records = readings.map(|(sensor, day)| reading(sensor, 1.0, day * 86_400).partition(sensor % 2));
    site.topic.produce(records.collect::<Vec<_>>()).await;
    site.store_all().await;
    site
}

#[tokio::test]
async fn chunks_that_retention_dropped_and_sensors_that_were_deleted_are_subtracted() {
    let site = with_eight_weeks().await;
    site.is_clean(&[]).await;

    let pool = Pool::new(&site.database.config()).unwrap();
    let deleted = sensors::delete(&pool, 3, ReadingsOf::Delete).await.unwrap();
    assert_eq!(deleted, Deletion::Deleted { readings: 56 });
    let edge: Timestamp = "2024-02-01T00:00:00Z".parse().unwrap();
    let dropped = drop_expired(&site.database.config(), edge, RetentionStats::Drop).await.dropped;
    assert!(dropped.len() >= 3, "{dropped:?}");
    let left = site.database.row_count().await;
    assert!((2 * 25..2 * 35).contains(&left), "{left} rows are left");

    let audited = site.is_clean(&[]).await;
    let expired = 2 * 56 - left;
    assert_eq!(
        audited.report["table"],
        json!({"rows": left, "stored": 168, "expired": expired, "sensors_removed": 56, "foreign_rows": 0})
    );
    let found = |partition: usize, fate: &str| {
        audited.partition(partition)["audited"]["found"][fate].as_i64().expect("a number")
    };
    assert_eq!(found(0, "expired"), expired / 2);
    // Where both explain a reading, it is retention's.
    assert_eq!(found(1, "expired") + found(1, "sensors_removed"), expired / 2 + 56);
    assert_eq!(found(0, "rows") + found(1, "rows"), left);

    // One more that is gone is still seen.
    site.database
        .execute("DELETE FROM sensor_data WHERE sensor_id = 2 AND time = '2024-02-20T00:00:00Z'")
        .await;
    let audited = site.differs(&[], &["rows_missing", "unaccounted"]).await;
    assert_eq!(audited.report["examples"][0]["sensor_id"], 2);
}

/// A chunk that retention had to leave is older than those that are gone, and no reading of it may be missing.
#[tokio::test]
async fn what_retention_could_not_drop_is_looked_at_like_any_other() {
    let site = with_eight_weeks().await;
    site.database
        .execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this day'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON daily_stats FOR EACH ROW
             WHEN (NEW.sensor_id = 1 AND NEW.day = '2024-01-12') EXECUTE FUNCTION refuse()",
        )
        .await;
    let edge: Timestamp = "2024-02-01T00:00:00Z".parse().unwrap();
    let expiry = drop_expired(&site.database.config(), edge, RetentionStats::Keep).await;
    assert!(expiry.error.is_none() && expiry.dropped.len() >= 2, "{expiry:?}");
    assert_eq!(expiry.held.len(), 1);
    site.is_clean(&[]).await;
    site.database
        .execute("DELETE FROM sensor_data WHERE sensor_id = 2 AND time = '2024-01-12T00:00:00Z'")
        .await;
    let audited = site.differs(&[], &["rows_missing", "unaccounted"]).await;
    assert_eq!(audited.report["examples"][0]["sensor_id"], 2);
}
