use std::time::Instant;

use serde_json::{Value, json};
use testbed::eventually;

use crate::site::{PATIENCE, Site};

/// A reading a minute for twelve days up to now, one of them far off.
const HISTORY: &str = "INSERT INTO sensor_data (sensor_id, value, time)
    SELECT 1, CASE WHEN n = 8000 THEN 1e6 ELSE n % 100 END, now() - n * interval '1 minute'
    FROM generate_series(1, 17280) AS n";

fn column<'c>(chart: &'c Value, name: &str) -> &'c Vec<Value> {
    chart["points"][name].as_array().unwrap()
}

fn largest(chart: &Value) -> f64 {
    column(chart, "max").iter().map(|max| max.as_f64().unwrap()).fold(f64::MIN, f64::max)
}

fn readings(chart: &Value) -> i64 {
    column(chart, "count").iter().map(|count| count.as_i64().unwrap()).sum()
}

#[tokio::test]
async fn few_readings_are_shown_as_they_are() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    site.database
        .execute("INSERT INTO sensor_data VALUES (1, 1.5, '2026-01-01 00:00:00Z'), (1, 3, '2026-03-01 12:00:00.25Z')")
        .await;
    let chart = site.server.get("/sensors/1/chart").await.expect(200).json();
    let points = json!({
        "time": [1_767_225_600_000_i64, 1_772_366_400_250_i64],
        "min": [1.5, 3.0], "max": [1.5, 3.0], "avg": [1.5, 3.0], "count": [1, 1],
    });
    assert_eq!(
        (&chart["points"], &chart["bucket"], &chart["source"]),
        (&points, &json!("raw"), &json!("raw"))
    );
    assert_eq!((&chart["complete"], &chart["start"]), (&json!(true), &json!("2026-01-01T00:00:00Z")));
    let part = site.server.get("/sensors/1/chart?start=2026-02-01&end=2026-04-01").await.expect(200).json();
    assert_eq!((column(&part, "min"), &part["end"]), (&vec![json!(3.0)], &json!("2026-04-01T00:00:00Z")));
    let open = site.server.get("/sensors/1/chart?end=2026-02-01").await.expect(200).json();
    assert_eq!((column(&open, "min"), &open["start"]), (&vec![json!(1.5)], &chart["start"]));
    for path in ["/sensors/2/chart", "/sensors/2/chart?start=2026-02-01", "/sensors/1/chart?start=2027-01-01"]
    {
        let empty = site.server.get(path).await.expect(200).json();
        assert_eq!((column(&empty, "time").len(), &empty["complete"]), (0, &json!(true)), "{path}");
        assert_ne!(empty["start"], empty["end"], "a range is never empty");
    }
    // No year is written that RFC 3339 does not have.
    for (asked, start, end) in [
        ("start=9999-12-31T23:00", "9999-12-31T23:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ("end=0001-01-01T01:00", "0001-01-01T00:00:00Z", "0001-01-01T01:00:00Z"),
    ] {
        let empty = site.server.get(&format!("/sensors/2/chart?{asked}")).await.expect(200).json();
        assert_eq!((&empty["start"], &empty["end"]), (&json!(start), &json!(end)));
    }
}

#[tokio::test]
async fn what_is_not_kept_yet_is_kept_soon() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    site.database.execute(HISTORY).await;
    let get =
        async |query: &str| site.server.get(&format!("/sensors/1/chart{query}")).await.expect(200).json();

    let first = get("").await;
    assert_eq!((&first["bucket"], &first["source"]), (&json!("1h"), &json!("quarter_hours")));
    assert_eq!(first["complete"], false);
    assert!(first["missing"][0]["first_day"].as_str() < first["missing"][0]["last_day"].as_str());
    let mut whole = first;
    eventually(PATIENCE, async || {
        whole = get("").await;
        whole["complete"] == true
    })
    .await;
    assert_eq!((readings(&whole), largest(&whole), &whole["missing"]), (17_280, 1e6, &json!([])));
    let points = column(&whole, "time").len();
    assert!((280..=290).contains(&points), "{points}");
    // Drawn as it is from the readings alone.
    for (width, bucket) in [(1_200, "15m"), (300, "1h"), (13, "1d")] {
        let chart = get(&format!("?width={width}")).await;
        assert_eq!((&chart["bucket"], readings(&chart), largest(&chart)), (&json!(bucket), 17_280, 1e6));
        assert_eq!(chart["complete"], true);
    }
    // A chart is whole as well where the last days that are not kept yet were few enough to be read.
    eventually(PATIENCE, async || {
        get("").await;
        let kept = "SELECT count(*) FROM daily_stats WHERE quarter_hours IS NOT NULL";
        (11..=12).contains(&site.database.number(kept).await)
    })
    .await;
    let started = Instant::now();
    get("").await;
    assert!(started.elapsed().as_millis() < 1_000, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_zoom_has_buckets_of_its_own() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    site.database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, n, timestamptz '2026-01-05 00:00Z' + n * interval '1 second' FROM generate_series(0, 86399) AS n",
        )
        .await;
    for (end, bucket, source, points) in [
        ("00:30:00", "raw", "raw", 1_800),
        ("01:00:00", "5s", "raw", 720),
        ("06:00:00", "1m", "raw", 360),
        ("23:59:59", "5m", "raw", 288),
    ] {
        let path = format!("/sensors/1/chart?start=2026-01-05&end=2026-01-05T{end}Z");
        let chart = site.server.get(&path).await.expect(200).json();
        assert_eq!((&chart["bucket"], &chart["source"]), (&json!(bucket), &json!(source)), "{end}");
        assert_eq!(column(&chart, "time").len(), points, "{end}");
        assert_eq!(column(&chart, "time")[0], 1_767_571_200_000_i64);
    }
}

#[tokio::test]
async fn what_does_not_validate_is_said() {
    let site = Site::start().await;
    site.server.get("/sensors/1/chart").await.expect(404);
    for (path, place) in [
        ("/sensors/x/chart", json!(["path", "sensor_id"])),
        ("/sensors/1/chart?width=0", json!(["query", "width"])),
        ("/sensors/1/chart?width=8001", json!(["query", "width"])),
        ("/sensors/1/chart?start=2026-01-02&end=2026-01-01", json!(["query", "end"])),
        ("/sensors/1/chart?start=yesterday", json!(["query", "start"])),
    ] {
        let faults = site.server.get(path).await.expect(422).json();
        assert_eq!(faults["detail"][0]["loc"], place, "{path}");
    }
}
