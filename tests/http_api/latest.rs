use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::site::Site;

async fn latest(site: &Site, query: &str) -> BTreeMap<i64, (f64, String)> {
    let answer = site.server.get(&format!("/sensors/latest{query}")).await.expect(200).json();
    let all = answer["latest"].as_array().unwrap();
    assert!(all.is_sorted_by_key(|latest| latest["sensor_id"].as_i64()));
    all.iter()
        .map(|latest| {
            let time = latest["timestamp"].as_str().unwrap().to_owned();
            (latest["sensor_id"].as_i64().unwrap(), (latest["value"].as_f64().unwrap(), time))
        })
        .collect()
}

#[tokio::test]
async fn it_is_the_newest_wherever_it_lies() {
    let site = Site::start().await;
    site.database.add_sensors(60).await;
    // Alive, silent for days to decades, ahead of the clock, from before there were clocks, and never heard of.
    site.database
        .execute(
            "SELECT setseed(0.42);
             INSERT INTO sensor_data (sensor_id, value, time)
             SELECT n, random(), now() - (n * n / 2 + 1) * interval '1 day' * random()
               FROM generate_series(1, 50) AS n, generate_series(1, 20);
             INSERT INTO sensor_data (sensor_id, value, time)
             VALUES (51, 1, now()), (52, 2, now() + interval '10 years'), (52, 3, now()), (53, 4, '1900-01-01Z'),
                    (54, 5, '0044-03-15Z'), (55, 6, now() + interval '1 minute')",
        )
        .await;
    let expected: Vec<(i32, f64, String)> = sqlx::query_as(
        "SELECT DISTINCT ON (sensor_id) sensor_id, value,
                to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')
           FROM sensor_data ORDER BY sensor_id, time DESC",
    )
    .fetch_all(&site.database.pool)
    .await
    .unwrap();
    assert_eq!(expected.len(), 55);
    let all = latest(&site, "").await;
    assert_eq!(all.len(), 55);
    for (sensor_id, value, time) in expected {
        let (found_value, found_time) = &all[&i64::from(sensor_id)];
        assert!((found_value - value).abs() <= 0.0, "{sensor_id}: {found_value}");
        assert!(found_time.starts_with(&time), "{sensor_id}: {found_time}, expected {time}");
        let one = site.server.get(&format!("/sensors/{sensor_id}/latest")).await.expect(200).json();
        assert_eq!(one, json!({"sensor_id": sensor_id, "value": value, "timestamp": found_time}));
    }
    for (sensor_id, detail) in [(60, "No data found for this sensor."), (61, "Sensor not found.")] {
        let answer = site.server.get(&format!("/sensors/{sensor_id}/latest")).await.expect(404);
        assert_eq!(answer.json(), json!({"detail": detail}));
    }
}

#[tokio::test]
async fn sensors_are_chosen_by_id_type_and_location() {
    let site = Site::start_with(&["--test-query-sensors-max", "3"]).await;
    site.database
        .execute(
            "INSERT INTO sensors (sensor_type, location)
             VALUES ('a', 'x'), ('a', 'y'), ('b', NULL), ('b', 'y');
             INSERT INTO sensor_data (sensor_id, value, time)
             SELECT n, n * 10 + hour, '2026-01-01Z'::timestamptz + hour * interval '1 hour'
               FROM generate_series(1, 4) AS n, generate_series(0, 5) AS hour WHERE n <> 2",
        )
        .await;
    for (query, expected) in [
        ("?ids=1,2,4", &[1, 4][..]),
        ("?type=a", &[1]),
        ("?type=b", &[3, 4]),
        ("?location=y", &[4]),
        ("?type=a&location=y", &[]),
        ("?ids=99", &[]),
    ] {
        let found = latest(&site, query).await;
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), expected, "{query}");
        for (sensor_id, (value, _)) in found {
            assert!((value - (sensor_id * 10 + 5) as f64).abs() <= 0.0, "{sensor_id}: {value}");
        }
    }
    let fault = |answer: Value| (answer["detail"][0]["loc"].clone(), answer["detail"][0]["type"].clone());
    let answer = site.server.get("/sensors/latest").await.expect(422).json();
    assert_eq!(fault(answer), (json!(["query", "type"]), json!("too_many_sensors")));
    let answer = site.server.get("/sensors/latest?ids=one").await.expect(422).json();
    assert_eq!(fault(answer), (json!(["query", "ids"]), json!("int_parsing")));
    let answer = site.server.get("/sensors/one/latest").await.expect(422).json();
    assert_eq!(fault(answer), (json!(["path", "sensor_id"]), json!("int_parsing")));
}
