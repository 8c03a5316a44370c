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
                (1, -1.7e308, '2025-03-02T00:00Z'), (1, -1.6e308, '2025-03-02T01:00Z'), (1, 5e-324, '2025-03-02T02:00Z')",
    )
    .await;
    let days = days(&site, 1).await;
    assert_eq!(days[1]["avg_value"], json!(1.7e308));
    assert_eq!(days[0]["min_value"], json!(-1.7e308));
    assert!(days[0]["iqr_value"].is_f64());
}
