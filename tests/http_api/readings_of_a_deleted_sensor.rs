//! Readings that were accepted, of a sensor that is deleted before a worker has them.

use serde_json::{Value, json};
use testbed::TestTopic;

use crate::{
    letters::{DAY_S, fates, worker},
    site::{PATIENCE, Site},
};

const READINGS: i64 = 100_000;

#[tokio::test]
async fn a_hundred_thousand_of_them_hold_nobody_up() {
    let site = Site::start_on(TestTopic::create(1).await, &[]).await;
    site.database.add_sensors(2).await;
    let item = |n: i64| format!(r#"{{"sensor_id":1,"value":{n},"timestamp":{}}}"#, DAY_S + n);
    let body = format!("[{}]", (0..READINGS).map(item).collect::<Vec<_>>().join(","));
    let taken = site.server.post("/readings", body).await.expect(202).json();
    assert_eq!(taken["accepted"], READINGS);
    let behind = format!(r#"{{"value":1,"timestamp":{DAY_S}}}"#);
    site.server.post("/sensor_data/2", behind).await.expect(200);
    site.server.delete("/sensors/1").await.expect(200);

    let started = std::time::Instant::now();
    let _worker = worker(&site.database, &site.topic).start();
    site.database.stores_all_of(&site.topic, 3 * PATIENCE).await;
    println!("{READINGS} readings of a sensor that is gone: {:?}", started.elapsed());
    assert_eq!(site.database.number("SELECT sensor_id::bigint FROM sensor_data").await, 2);
    let tally = site.database.tally().await;
    assert_eq!((tally.stored, tally.dead_lettered), (1, READINGS));
    let set_aside = "SELECT sum(readings)::bigint FROM dead_letters WHERE reason = 'unknown_sensor'";
    assert_eq!(site.database.number(set_aside).await, READINGS);
    assert!(site.letter_ids().await.len() < 100, "a letter for each record");
    let first = site.database.number(r#"SELECT readings::bigint FROM dead_letters WHERE "offset" = 0"#).await;
    let receipt = site.server.get("/receipts/0/0").await.expect(200).json();
    assert_eq!(
        (&receipt["dead_lettered"], &receipt["reasons"]),
        (&json!(first), &json!({"unknown_sensor": first}))
    );

    // The sensor is back, and so is each reading.
    site.database.execute("INSERT INTO sensors (sensor_id, sensor_type) VALUES (1, 'test')").await;
    let (mut body, mut stored) = (json!({"filter": {}}), 0);
    loop {
        let replayed = site.replay(body.clone()).await;
        stored += fates(&replayed)[0];
        assert!(fates(&replayed)[0] <= 50_000, "in one transaction: {replayed}");
        match &replayed["next"] {
            Value::Null => break,
            next => body["after"] = next.clone(),
        }
    }
    assert_eq!((stored, site.database.row_count().await), (READINGS, READINGS + 1));
    assert_eq!((site.letter_ids().await.len(), site.removed("replayed").await), (0, READINGS));
}
