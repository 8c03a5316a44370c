use serde_json::{Value, json};

use crate::site::Site;

async fn insert(site: &Site, rows: &str) {
    site.database.execute(&format!("INSERT INTO sensor_data (sensor_id, value, time) {rows}")).await;
}

async fn days(site: &Site, sensor_id: i32) -> Vec<Value> {
    let answer = site.server.get(&format!("/daily_avg/{sensor_id}")).await.expect(200);
    answer.json().as_array().unwrap().clone()
}

fn day_names(days: &[Value]) -> Vec<&str> {
    days.iter().map(|day| day["day"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_guides_three_readings() {
    let site = Site::start().await;
    site.database.add_sensors(3).await;
    insert(
        &site,
        "VALUES (3, 23.5, '2024-10-12T14:29:00Z'), (3, 22.7, '2024-10-12T14:30:00Z'),
                (3, 22.5, '2024-10-12T14:31:00Z')",
    )
    .await;
    let days = days(&site, 3).await;
    assert_eq!(days.len(), 1);
    for (field, expected) in [
        ("avg_value", 22.9),
        ("min_value", 22.5),
        ("max_value", 23.5),
        ("median_value", 22.7),
        ("iqr_value", 0.5),
    ] {
        let value = days[0][field].as_f64().unwrap();
        assert!((value - expected).abs() < 1e-9, "{field}: {value}");
    }
    assert_eq!(days[0]["day"], "2024-10-12");
    assert_eq!((&days[0]["sensor_id"], &days[0]["reading_count"]), (&json!(3), &json!(3)));
    assert_eq!(days[0].as_object().unwrap().len(), 8, "no field more than clients know");
}

#[tokio::test]
async fn the_newest_seven_days_that_have_readings() {
    let site = Site::start().await;
    site.database.add_sensors(3).await;
    insert(
        &site,
        "SELECT 1, extract(day FROM time), time
           FROM generate_series('2025-03-01T12:00Z'::timestamptz, '2025-03-20T12:00Z', '12 hours') AS time",
    )
    .await;
    // Gaps of days, of weeks with chunks of their own, and of a year.
    insert(
        &site,
        "SELECT 2, 1, day::timestamptz FROM unnest(ARRAY['2020-02-29T23:59:59.999999Z', '2021-06-01T00:00Z',
            '2023-01-01T00:00Z', '2023-01-02T12:00Z', '2024-05-05T05:05Z', '2024-05-12T05:05Z', '2024-12-31T23:00Z',
            '2025-01-01T00:00Z', '2025-01-01T01:00Z', '2025-01-04T01:00Z']) AS day",
    )
    .await;
    let (first, second) = (days(&site, 1).await, days(&site, 2).await);
    assert_eq!(
        day_names(&first),
        ["2025-03-20", "2025-03-19", "2025-03-18", "2025-03-17", "2025-03-16", "2025-03-15", "2025-03-14"]
    );
    // Noon and midnight of a day, and the last has its noon only where the series ends.
    assert_eq!((&first[0]["reading_count"], &first[0]["avg_value"]), (&json!(2), &json!(20.0)));
    assert_eq!(
        day_names(&second),
        ["2025-01-04", "2025-01-01", "2024-12-31", "2024-05-12", "2024-05-05", "2023-01-02", "2023-01-01"]
    );
    assert_eq!(second[1]["reading_count"], 2);
    site.server.get("/daily_avg/3").await.expect(404);
}

#[tokio::test]
async fn a_day_is_utc_whatever_the_servers_zone() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    site.database
        .execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Kolkata''', current_database()); END $$")
        .await;
    insert(&site, "VALUES (1, 1, '2025-03-01T23:59:59.999999Z'), (1, 2, '2025-03-02T00:00:00Z')").await;
    let days = days(&site, 1).await;
    assert_eq!(day_names(&days), ["2025-03-02", "2025-03-01"]);
}

#[tokio::test]
async fn the_largest_doubles_have_statistics_too() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    insert(
        &site,
        "VALUES (1, 1.7e308, '2025-03-01T00:00Z'), (1, 1.7e308, '2025-03-01T01:00Z'),
                (1, -1.7e308, '2025-03-02T00:00Z'), (1, -1.6e308, '2025-03-02T01:00Z'), (1, 5e-324, '2025-03-02T02:00Z'),
                (1, 1.7976931348623157e308, '2025-03-03T00:00Z'), (1, 1.7976931348623157e308, '2025-03-03T00:01Z'),
                (1, 1e308, '2025-03-04T00:00Z'), (1, -1e308, '2025-03-04T00:01Z'), (1, 5e-324, '2025-03-04T00:02Z'),
                (1, 1.7e308, '2025-03-05T00:00Z'), (1, -1.7e308, '2025-03-05T00:01Z'),
                (1, 1.2345678901234567e200, '2025-03-06T00:00Z'), (1, 1.2345678901234569e200, '2025-03-06T00:01Z')",
    )
    .await;
    // Computed, and kept.
    for _ in 0..2 {
        let days = days(&site, 1).await;
        for (day, expected) in days[1..].iter().zip([
            [0.0, 0.0, 1.7e308],
            [0.0, 5e-324, 1e308],
            [f64::MAX, f64::MAX, 0.0],
            [-1.1e308, -1.6e308, 8.5e307],
            [1.7e308, 1.7e308, 0.0],
        ]) {
            for (field, expected) in ["avg_value", "median_value", "iqr_value"].into_iter().zip(expected) {
                let told = day[field].as_f64().unwrap();
                assert!((told / 4.0 - expected / 4.0).abs() <= 1e292, "{} {field}: {told:e}", day["day"]);
            }
        }
        let (avg, max) = (days[0]["avg_value"].as_f64().unwrap(), days[0]["max_value"].as_f64().unwrap());
        assert!(days[0]["min_value"].as_f64().unwrap() <= avg && avg <= max, "{avg:e} above {max:e}");
    }
    for path in [
        "/sensors/1/stats?bucket=1d&start=2025-03-01&end=2025-03-07&measures=avg",
        "/sensors/1/chart?width=1",
    ] {
        site.server.get(path).await.expect(200);
    }
}

#[tokio::test]
async fn a_distance_past_the_largest_double_is_null() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    insert(
        &site,
        "SELECT 1, CASE WHEN n < 2 THEN -1.7e308 ELSE 1.7e308 END, '2025-03-01Z'::timestamptz + n * interval '1 min'
         FROM generate_series(0, 3) AS n",
    )
    .await;
    let day = days(&site, 1).await.remove(0);
    let told = ["avg_value", "median_value", "iqr_value"].map(|field| day[field].clone());
    assert_eq!(json!(told), json!([0.0, 0.0, null]));
    let stats =
        site.server.get("/sensors/1/stats?bucket=1d&start=2025-03-01&end=2025-03-02&measures=avg,median,iqr");
    let bucket = stats.await.expect(200).json()["buckets"][0].clone();
    assert_eq!(json!([bucket["avg"], bucket["median"], bucket["iqr"]]), json!(told));
}

/// Only others' SQL can store that.
#[tokio::test]
async fn what_is_no_number_is_null() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    insert(
        &site,
        "VALUES (1, 'NaN', '2025-03-01T00:00Z'), (1, 1, '2025-03-01T01:00Z'), (1, 2, '2025-03-02T00:00Z'),
                (2, 'NaN', '2025-03-01T00:00Z'), (2, 1e308, '2025-03-01T01:00Z'), (2, -1e308, '2025-03-01T02:00Z')",
    )
    .await;
    for _ in 0..2 {
        let days = days(&site, 1).await;
        assert_eq!((&days[0]["avg_value"], &days[0]["iqr_value"]), (&json!(2.0), &json!(0.0)));
        for field in ["avg_value", "max_value", "median_value", "iqr_value"] {
            assert_eq!(days[1][field], json!(null), "{field}");
        }
        assert_eq!(days[1]["reading_count"], 2);
        assert_eq!(self::days(&site, 2).await[0]["avg_value"], json!(null));
    }
}
