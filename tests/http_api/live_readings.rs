use serde_json::{Value, json};

use crate::{
    events::Events,
    site::{PATIENCE, Site},
};

const PATH: &str = "/sensors/1/readings/events";

async fn values(events: &mut Events) -> Vec<Value> {
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data["sensor_id"]), ("readings", &json!(1)));
    event.data["data"].as_array().unwrap().iter().map(|reading| reading["value"].clone()).collect()
}

#[tokio::test]
async fn new_readings_come_as_they_are_stored() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    let store = async |rows: &str| {
        site.database
            .execute(&format!("INSERT INTO sensor_data (sensor_id, value, time) VALUES {rows}"))
            .await;
    };
    store("(1, 1, now() - interval '1 hour')").await;
    let mut first = Events::open(&site.server, PATH).await;
    let mut second = Events::open(&site.server, PATH).await;
    store("(1, 3, now()), (1, 2, now() - interval '1 second'), (2, 9, now())").await;
    assert_eq!(values(&mut first).await, [2.0, 3.0], "what was there before is not told");
    assert_eq!(values(&mut second).await, [2.0, 3.0]);
    // Too late for a tail; the next one is told alone.
    store("(1, 7, now() - interval '30 minutes'), (1, 4, now())").await;
    assert_eq!(values(&mut first).await, [4.0]);

    site.database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, n, now() + n * interval '1 millisecond' FROM generate_series(1, 600) AS n",
        )
        .await;
    let event = first.next().await.unwrap();
    let data = event.data["data"].as_array().unwrap();
    assert_eq!((data.len(), &event.data["is_cut"], &data[499]["value"]), (500, &json!(true), &json!(600.0)));
    assert!(event.id > 1_700_000_000_000);
}

#[tokio::test]
async fn as_many_as_an_event_holds_are_not_cut() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    site.database.execute("INSERT INTO sensor_data VALUES (1, 0, now() - interval '1 hour')").await;
    for (count, is_cut, first) in [(500, false, 1), (501, true, 2), (499, false, 1)] {
        let mut events = Events::open(&site.server, PATH).await;
        let insert = format!(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, n, latest + n * interval '1 millisecond'
             FROM generate_series(1, {count}) AS n, (SELECT max(time) AS latest FROM sensor_data) AS before"
        );
        site.database.execute(&insert).await;
        let data = events.next().await.unwrap().data;
        let told = data["data"].as_array().unwrap();
        assert_eq!((told.len(), &data["is_cut"]), (count.min(500), &json!(is_cut)), "{count}");
        assert_eq!(told[0]["value"], f64::from(first), "{count}");
        assert_eq!(told[told.len() - 1]["value"], count as f64, "the newest are told");
    }
}

#[tokio::test]
async fn a_sensor_that_is_not_there_has_no_stream_and_all_end_with_the_process() {
    let site = Site::start().await;
    site.server.get(PATH).await.expect(404);
    site.server.get("/sensors/x/readings/events").await.expect(422);
    site.database.add_sensors(1).await;
    // Within a second: it was unknown a moment ago.
    testbed::eventually(PATIENCE, async || site.server.known_sensors.is_cached(1)).await;
    let mut events = Events::open(&site.server, PATH).await;
    site.database.execute("INSERT INTO sensor_data (sensor_id, value) VALUES (1, 5)").await;
    assert_eq!(values(&mut events).await, [5.0], "its first reading ever");
    site.server.stopped().await;
    assert_eq!(events.next().await, None);
}
