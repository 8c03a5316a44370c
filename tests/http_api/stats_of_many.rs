use serde_json::{Value, json};

use crate::site::Site;

/// Sensors 1 to 6: types `odd` and `even`, rooms `north` (1 to 3) and `south`, three hours of minutes each, of which
/// sensor n measures n, and sensor 6 nothing.
async fn site() -> Site {
    let site = Site::start_with(&["--test-query-buckets-max", "15", "--test-query-sensors-max", "6"]).await;
    site.database
        .execute(
            "INSERT INTO sensors (sensor_type, location)
             SELECT CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END, CASE WHEN n < 4 THEN 'north' ELSE 'south' END
               FROM generate_series(1, 6) AS n ORDER BY n;
             INSERT INTO sensor_data (sensor_id, value, time)
             SELECT n, n, time FROM generate_series(1, 5) AS n,
                    generate_series('2026-01-01T00:00Z'::timestamptz, '2026-01-01T02:59Z', '1 minute') AS time",
        )
        .await;
    site
}

async fn series(site: &Site, query: &str) -> Vec<Value> {
    let path =
        format!("/sensors/stats?start=2026-01-01&end=2026-01-01T03:00&measures=count,avg,median&{query}");
    site.server.get(&path).await.expect(200).json()["series"].as_array().unwrap().clone()
}

fn sensors(series: &[Value]) -> Vec<i64> {
    series.iter().map(|series| series["sensor_id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn sensors_are_chosen_by_id_type_and_location() {
    let site = site().await;
    for (query, expected) in [
        ("ids=5,1,1,99", &[1, 5][..]),
        ("type=odd", &[1, 3, 5]),
        ("location=south", &[4, 5]),
        ("type=even&location=south", &[4]),
        ("type=odd&ids=1,2,3", &[1, 3]),
        ("type=nothing", &[]),
        ("", &[1, 2, 3, 4, 5]),
    ] {
        // 5 sensors by 3 hours are as many buckets as may be; by the day they are few.
        let found = series(&site, &format!("{query}&bucket=1d")).await;
        assert_eq!(sensors(&found), expected, "{query}");
        for series in &found {
            let expected = json!([{"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "count": 180,
                "avg": series["sensor_id"].as_f64(), "median": series["sensor_id"].as_f64()}]);
            assert_eq!(series["buckets"], expected);
        }
    }
    // Where gaps are filled, a sensor without readings has its buckets too.
    let found = series(&site, "location=south&bucket=1d&fill=null").await;
    assert_eq!(sensors(&found), [4, 5, 6]);
    assert_eq!((&found[2]["buckets"][0]["count"], &found[2]["buckets"][0]["avg"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn all_together_are_one_series() {
    let site = site().await;
    let found = series(&site, "type=odd&group=all&bucket=1h").await;
    assert_eq!(found.len(), 1);
    assert!(found[0].get("sensor_id").is_none());
    let hours = found[0]["buckets"].as_array().unwrap();
    assert_eq!(hours.len(), 3);
    for hour in hours {
        assert_eq!((&hour["count"], &hour["avg"], &hour["median"]), (&json!(180), &json!(3.0), &json!(3.0)));
    }
    // One alone, and none.
    let found = series(&site, "ids=4&group=all").await;
    assert_eq!(found[0]["buckets"][0]["avg"], 4.0);
    assert_eq!(series(&site, "ids=99&group=all").await, [json!({"buckets": []})]);
}

#[tokio::test]
async fn of_readings_at_the_same_time_the_smaller_sensor_has_the_first_and_the_last() {
    let site = Site::start().await;
    // Stored in any order; ids from before and after zero, times from before and after 2000.
    site.database
        .execute(
            "INSERT INTO sensors (sensor_id, sensor_type)
             SELECT n, 'tied' FROM unnest(ARRAY[1, 2, 256, 70000, 2147483647, -1, -2147483648]) AS n;
             INSERT INTO sensor_data (sensor_id, value, time)
             SELECT n, n, time FROM unnest(ARRAY[70000, 2, 2147483647, -1, 256, 1, -2147483648]) AS n,
                    unnest(ARRAY['1999-12-31T10:10:00.000001Z', '1999-12-31T10:50:00Z', '2026-01-01T10:10:00.000001Z',
                                 '2026-01-01T10:50:00Z', '2026-01-01T11:30:00Z']::timestamptz[]) AS time
             WHERE NOT (n = -2147483648 AND time = '2026-01-01T10:50:00Z');
             INSERT INTO sensor_data VALUES (2147483647, 7, '2026-01-01T10:10:00Z'), (70000, 8, '2026-01-01T11:30:00.000001Z')",
        )
        .await;
    let smallest = f64::from(i32::MIN);
    for (day, expected) in
        [("1999-12-31", vec![(smallest, smallest)]), ("2026-01-01", vec![(7.0, -1.0), (smallest, 8.0)])]
    {
        for (bucket, hours) in
            [("1h", expected.clone()), ("1d", vec![(expected[0].0, expected[expected.len() - 1].1)])]
        {
            let path = format!(
                "/sensors/stats?type=tied&group=all&start={day}&end={day}T23:59:59Z&bucket={bucket}&measures=first,last"
            );
            let answer = site.server.get(&path).await.expect(200).json();
            let found = answer["series"][0]["buckets"].as_array().unwrap().iter();
            let found: Vec<_> =
                found.map(|one| (one["first"].as_f64().unwrap(), one["last"].as_f64().unwrap())).collect();
            assert_eq!(found, hours, "{day} {bucket}");
        }
    }
}

#[tokio::test]
async fn many_buckets_of_many_sensors_are_read_in_one_pass() {
    let site = Site::start().await;
    site.database.add_sensors(3).await;
    site.database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT n, n * minute, '2026-01-01Z'::timestamptz + minute * interval '1 minute'
               FROM generate_series(1, 3) AS n, generate_series(0, 999, 2) AS minute",
        )
        .await;
    let path = "/sensors/stats?start=2026-01-01&end=2026-01-02&bucket=1m&measures=count,first,p50";
    let answer = site.server.get(path).await.expect(200).json();
    for (series, sensor_id) in answer["series"].as_array().unwrap().iter().zip(1..=3_u64) {
        assert_eq!(series["sensor_id"], sensor_id);
        let buckets = series["buckets"].as_array().unwrap();
        assert_eq!(buckets.len(), 500);
        for (bucket, minute) in buckets.iter().zip((0..1_000_u64).step_by(2)) {
            let (hour, of_hour) = (minute / 60, minute % 60);
            assert_eq!(bucket["start"], format!("2026-01-01T{hour:02}:{of_hour:02}:00Z"));
            let value = json!((sensor_id * minute) as f64);
            assert_eq!((&bucket["count"], &bucket["first"], &bucket["p50"]), (&json!(1), &value, &value));
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_is_bounded() {
    let site = site().await;
    let fault = async |query: &str| {
        let answer = site.server.get(&format!("/sensors/stats?{query}")).await.expect(422).json();
        (answer["detail"][0]["loc"][1].clone(), answer["detail"][0]["type"].clone())
    };
    let range = "start=2026-01-01&end=2026-01-01T03:00";
    // Six sensors by three hours.
    assert_eq!(fault(range).await, (json!("bucket"), json!("too_many_buckets")));
    series(&site, "group=all").await;
    series(&site, "ids=1,2,3,4,5").await;
    assert_eq!(fault("ids=1,2,3,4,5,6,7").await, (json!("ids"), json!("too_many_sensors")));
    assert_eq!(fault("ids=1,x").await, (json!("ids"), json!("int_parsing")));
    assert_eq!(fault("group=room").await, (json!("group"), json!("enum")));
    assert_eq!(fault("location=%00").await, (json!("location"), json!("string_nul")));
    site.database.add_sensors(1).await;
    assert_eq!(fault(&format!("group=all&{range}")).await, (json!("type"), json!("too_many_sensors")));
    series(&site, "type=odd&group=all").await;
}
