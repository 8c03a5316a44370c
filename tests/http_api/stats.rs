//! Statistics against plain SQL on the raw rows.

use sensorpipe::{buckets::Zone, reading::Timestamp};
use serde_json::{Value, json};

use crate::site::Site;

const BERLIN: &str = "Europe/Berlin";
/// Every kind of measure.
const MEASURES: [&str; 12] =
    ["count", "avg", "min", "max", "sum", "stddev", "first", "last", "median", "iqr", "p95", "p99.9"];

async fn insert(site: &Site, rows: &str) {
    site.database.execute(&format!("INSERT INTO sensor_data (sensor_id, value, time) {rows}")).await;
}

async fn buckets(site: &Site, query: &str) -> Vec<Value> {
    let answer = site.server.get(&format!("/sensors/1/stats?{query}")).await.expect(200);
    answer.json()["buckets"].as_array().unwrap().clone()
}

fn column(buckets: &[Value], name: &str) -> Value {
    buckets.iter().map(|bucket| bucket[name].clone()).collect()
}

async fn faults(site: &Site, path: &str) -> Vec<(Value, String)> {
    let detail = site.server.get(path).await.expect(422).json()["detail"].clone();
    let fault = |fault: &Value| (fault["loc"].clone(), fault["type"].as_str().unwrap().to_owned());
    detail.as_array().unwrap().iter().map(fault).collect()
}

/// What the raw rows come to, grouped by `key` and `by`: the key as text, then every measure.
async fn reference(
    site: &Site,
    key: &str,
    by: &str,
    zone: &str,
    range: (&str, &str),
) -> Vec<(String, Vec<Option<f64>>)> {
    let sql = format!(
        "SELECT ({key})::text, ARRAY[count(*), avg(value), min(value), max(value), sum(value), stddev(value),
                (array_agg(value ORDER BY time))[1], (array_agg(value ORDER BY time DESC))[1],
                percentile_cont(0.5) WITHIN GROUP (ORDER BY value),
                percentile_cont(0.75) WITHIN GROUP (ORDER BY value) - percentile_cont(0.25) WITHIN GROUP (ORDER BY value),
                percentile_cont(0.95) WITHIN GROUP (ORDER BY value),
                percentile_cont(0.999) WITHIN GROUP (ORDER BY value)]
           FROM (SELECT value, time, time AT TIME ZONE '{zone}' AS local FROM sensor_data
                  WHERE sensor_id = 1 AND time >= '{}' AND time < '{}') AS asked
          GROUP BY 1, {by} ORDER BY min(time)",
        range.0, range.1
    );
    sqlx::query_as(&sql).fetch_all(&site.database.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn first_instant(zone: &str, local: &str) -> Timestamp {
    Zone::named(zone).unwrap().first_instant(local.parse::<Timestamp>().unwrap().micros())
}

/// Equal to the last digit, except where the order of additions shows.
fn assert_same(name: &str, value: &Value, expected: Option<f64>, what: &str) {
    let (Some(value), Some(expected)) = (value.as_f64(), expected) else {
        assert_eq!(value.as_f64(), expected, "{what} {name}");
        return;
    };
    let tolerance = if matches!(name, "avg" | "sum" | "stddev") { 1e-9 * expected.abs() } else { 0.0 };
    assert!((value - expected).abs() <= tolerance, "{what} {name}: {value}, expected {expected}");
}

#[tokio::test]
async fn every_bucket_and_measure_is_what_sql_says() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    // Six weeks about the end of summer time and two about its beginning: dense, sparse, and some hours empty.
    site.database.execute("SELECT setseed(0.42)").await;
    for (sensor_id, start, span, count) in [
        (1, "2025-10-01", "42 days", 9_000),
        (1, "2025-10-25 20:00", "10 hours", 900),
        (1, "2026-03-22", "14 days", 500),
        (1, "2026-04-04 10:00", "10 hours", 900),
        (2, "2025-10-01", "42 days", 1_000),
    ] {
        insert(
            &site,
            &format!(
                "SELECT {sensor_id}, (random() * 100 - 20)::numeric(8, 3)::float8,
                        '{start}Z'::timestamptz + random() * interval '{span}'
                   FROM generate_series(1, {count}) ON CONFLICT DO NOTHING"
            ),
        )
        .await;
    }
    // The answer's buckets begin when the local clock shows the key. An hour that it shows twice is two.
    for (bucket, key, instant) in [
        (
            "15m",
            "date_bin('15 minutes', time, '2000-01-01Z') AT TIME ZONE '@'",
            "date_bin('15 minutes', time, '2000-01-01Z')",
        ),
        (
            "30m",
            "date_bin('30 minutes', time, '2000-01-01Z') AT TIME ZONE '@'",
            "date_bin('30 minutes', time, '2000-01-01Z')",
        ),
        ("1h", "date_trunc('hour', local)", "date_trunc('hour', time)"),
        ("2h", "date_bin('2 hours', local, '2000-01-01')", ""),
        ("6h", "date_bin('6 hours', local, '2000-01-01')", ""),
        ("12h", "date_bin('12 hours', local, '2000-01-01')", ""),
        ("1d", "date_trunc('day', local)", ""),
        ("1w", "date_trunc('week', local)", ""),
        ("1month", "date_trunc('month', local)", ""),
        ("3month", "date_trunc('quarter', local)", ""),
        ("1year", "date_trunc('year', local)", ""),
    ] {
        for zone in ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"] {
            // Where a zone is no whole hour from UTC, its hours are no hours of UTC, and these show none twice. Kathmandu's
            // half-hours are none of UTC.
            let is_between_hours = matches!(zone, "Australia/Lord_Howe" | "Asia/Kathmandu");
            let instant = if bucket == "1h" && is_between_hours { "" } else { instant };
            if bucket == "30m" && zone == "Asia/Kathmandu" {
                continue;
            }
            for range in [
                ("2025-10-01T00:00:00Z", "2025-11-12T00:00:00Z"),
                ("2025-10-25T13:14:15.5Z", "2025-10-27T01:02:03Z"),
                ("2026-03-25T00:00:00Z", "2026-04-06T12:00:00Z"),
            ] {
                let what = format!("{bucket} {zone} {range:?}");
                let query = format!(
                    "bucket={bucket}&timezone={zone}&start={}&end={}&measures={}",
                    range.0,
                    range.1,
                    MEASURES.join(",")
                );
                let found = buckets(&site, &query).await;
                let key = key.replace('@', zone);
                let by = if instant.is_empty() { &key } else { instant };
                let expected = reference(&site, &key, by, zone, range).await;
                assert_eq!(found.len(), expected.len(), "{what}");
                assert!(!found.is_empty());
                for (bucket, (key, values)) in found.iter().zip(expected) {
                    let start = bucket["start"].as_str().unwrap();
                    // Where the clock skips the key, the bucket begins when it does.
                    let begins_at_key = start.replace('T', " ").starts_with(&key)
                        || start.parse() == Ok(first_instant(zone, &key));
                    assert!(begins_at_key, "{what}: {start}, expected {key}");
                    for (name, expected) in MEASURES.iter().zip(values) {
                        assert_same(name, &bucket[name], expected, &what);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_day_in_berlin_has_23_or_25_hours() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    for day in ["2026-03-27", "2026-10-23"] {
        insert(
            &site,
            &format!(
                "SELECT 1, 1, time FROM generate_series('{day}Z'::timestamptz, '{day}Z'::timestamptz + interval '5 days', '1 minute') AS time"
            ),
        )
        .await;
    }
    let query = |start: &str, end: &str| format!("timezone={BERLIN}&start={start}&end={end}&measures=count");
    let days = buckets(&site, &format!("{}&bucket=1d", query("2026-03-28", "2026-03-31"))).await;
    assert_eq!(column(&days, "count"), json!([24 * 60, 23 * 60, 24 * 60]));
    assert_eq!(days[1]["start"], "2026-03-29T00:00:00+01:00");
    assert_eq!(days[1]["end"], "2026-03-30T00:00:00+02:00");
    let days = buckets(&site, &format!("{}&bucket=1d", query("2026-10-24", "2026-10-27"))).await;
    assert_eq!(column(&days, "count"), json!([24 * 60, 25 * 60, 24 * 60]));
    // What the clock skips, with a fraction or without, is the instant at which it does.
    let of_all =
        async |start: &str, end: &str| buckets(&site, &format!("{}&bucket=1d", query(start, end))).await;
    for skipped in ["2026-03-29T02:00", "2026-03-29T02:30:00.9", "2026-03-29T02:59:59.999999"] {
        let since = of_all(skipped, "2026-03-29T04:00").await;
        assert_eq!(column(&since, "count"), json!([60]), "{skipped}");
        let before = of_all("2026-03-29T01:00", skipped).await;
        assert_eq!(column(&before, "count"), json!([60]), "{skipped}");
    }
    // The hour that the clock shows twice is two buckets.
    let hours = buckets(&site, &format!("{}&bucket=1h", query("2026-10-25T02:00", "2026-10-25T03:00"))).await;
    assert_eq!(column(&hours, "start"), json!(["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]));
    assert_eq!(column(&hours, "count"), json!([60, 60]));
}

#[tokio::test]
async fn gaps_are_left_out_or_filled() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    insert(
        &site,
        "VALUES (1, 1, '2026-01-01T01:10Z'), (1, 3, '2026-01-01T01:20Z'), (1, 8, '2026-01-01T04:00Z'),
                (1, 4, '2026-01-01T05:59:59.999999Z')",
    )
    .await;
    let query = "start=2026-01-01&end=2026-01-01T07:00&measures=count,avg,stddev";
    let hours = buckets(&site, query).await;
    assert_eq!(column(&hours, "count"), json!([2, 1, 1]));
    assert_eq!(
        column(&hours, "start"),
        json!(["2026-01-01T01:00:00Z", "2026-01-01T04:00:00Z", "2026-01-01T05:00:00Z"])
    );
    for (fill, averages) in [
        ("null", json!([null, 2.0, null, null, 8.0, 4.0, null])),
        ("previous", json!([null, 2.0, 2.0, 2.0, 8.0, 4.0, 4.0])),
        ("linear", json!([null, 2.0, 4.0, 6.0, 8.0, 4.0, null])),
    ] {
        let hours = buckets(&site, &format!("{query}&fill={fill}")).await;
        assert_eq!(column(&hours, "avg"), averages, "{fill}");
        assert_eq!(column(&hours, "count"), json!([0, 2, 0, 0, 1, 1, 0]), "{fill}");
        assert_eq!(hours[4]["stddev"], Value::Null, "one reading has no deviation");
    }
    // Nothing in the range, and no reading at all.
    assert_eq!(buckets(&site, "start=2025-01-01&end=2025-01-02").await, Vec::<Value>::new());
    let hours = buckets(&site, "start=2025-01-01&end=2025-01-02&fill=linear&measures=max").await;
    assert_eq!(column(&hours, "max"), json!(vec![Value::Null; 24]));
    assert_eq!(site.server.get("/sensors/2/stats").await.expect(200).json()["buckets"], json!([]));
    let answer = site.server.get("/sensors/3/stats").await.expect(404);
    assert_eq!(answer.json(), json!({"detail": "Sensor not found."}));
}

#[tokio::test]
async fn what_is_not_said_has_a_default() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    insert(&site, "VALUES (1, 5, now() - interval '1 minute'), (1, 5, now() - interval '5 days')").await;
    let answer = site.server.get("/sensors/1/stats").await.expect(200).json();
    assert_eq!((&answer["bucket"], &answer["timezone"]), (&json!("1h"), &json!("UTC")));
    assert_eq!(answer["buckets"].as_array().unwrap().len(), 1);
    let bucket = answer["buckets"][0].as_object().unwrap();
    assert_eq!(bucket.keys().collect::<Vec<_>>(), ["avg", "count", "end", "max", "min", "start"]);
    let answer = site.server.get("/sensors/1/stats?bucket=1d&unheard_of=1").await.expect(200).json();
    assert_eq!(column(answer["buckets"].as_array().unwrap(), "count"), json!([1, 1]));
}

#[tokio::test]
async fn the_number_of_buckets_is_bounded() {
    let site = Site::start_with(&["--test-query-buckets-max", "100"]).await;
    site.database.add_sensors(1).await;
    let range = "start=2026-01-01&end=2026-01-01T01:40";
    assert_eq!(buckets(&site, &format!("{range}&bucket=1m&fill=null")).await.len(), 100);
    let path = format!("/sensors/1/stats?{range}&bucket=30s");
    let answer = site.server.get(&path).await.expect(422).json();
    assert_eq!(answer["detail"][0]["loc"], json!(["query", "bucket"]));
    assert_eq!(answer["detail"][0]["type"], "too_many_buckets");
    let msg = answer["detail"][0]["msg"].as_str().unwrap();
    assert!(msg.contains("about 201 buckets of 30s") && msg.contains("at most 100"), "{msg}");
    // However long the range, it is refused at once.
    let path = "/sensors/1/stats?start=0001-01-01&end=9999-12-31&bucket=1s";
    assert_eq!(faults(&site, path).await, [(json!(["query", "bucket"]), "too_many_buckets".to_owned())]);
}

#[tokio::test]
async fn every_fault_is_named() {
    let site = Site::start().await;
    let path = "/sensors/x/stats?timezone=Berlin&start=yesterday&end=2026-02-30&bucket=7m&measures=avg,mode&fill=zero";
    let expected = [
        (json!(["path", "sensor_id"]), "int_parsing"),
        (json!(["query", "timezone"]), "timezone"),
        (json!(["query", "start"]), "datetime_parsing"),
        (json!(["query", "end"]), "datetime_parsing"),
        (json!(["query", "bucket"]), "enum"),
        (json!(["query", "measures"]), "enum"),
        (json!(["query", "fill"]), "enum"),
    ];
    assert_eq!(faults(&site, path).await, expected.map(|(loc, kind)| (loc, kind.to_owned())));
    let path = "/sensors/1/stats?start=2026-01-02&end=2026-01-02";
    assert_eq!(faults(&site, path).await, [(json!(["query", "end"]), "empty_range".to_owned())]);
    for path in [
        "/sensors/1/stats?start=2026-01-01&end=9999-12-31T23:00&bucket=1year",
        "/sensors/1/stats?start=9999-12-31&end=9999-12-31T12:00&bucket=1month&timezone=America/New_York",
    ] {
        let expected = (json!(["query", "bucket"]), "datetime_out_of_range".to_owned());
        assert_eq!(faults(&site, path).await, [expected], "{path}");
    }
    for (name, time) in
        [("end", "0001-01-01"), ("start", "9999-12-31T23:59:59.999999"), ("end", "253402300800000")]
    {
        let expected = (json!(["query", name]), "datetime_out_of_range".to_owned());
        assert_eq!(faults(&site, &format!("/sensors/1/stats?{name}={time}")).await, [expected], "{time}");
    }
    let path = "/sensors/1/stats?start=2999-01-01";
    assert_eq!(faults(&site, path).await, [(json!(["query", "start"]), "empty_range".to_owned())]);
}

#[tokio::test]
async fn numbers_that_do_not_exist_are_null() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    insert(
        &site,
        "VALUES (1, 1.7e308, '2026-01-01T00:00Z'), (1, 1.7e308, '2026-01-01T00:01Z'),
                (1, -1e308, '2026-01-01T01:00Z'), (1, 1e308, '2026-01-01T01:01Z'), (1, 3, '2026-01-01T01:02Z'),
                (1, 0.1, '2026-01-01T02:00Z'), (1, 0.2, '2026-01-01T02:01Z'), (1, 0.4, '2026-01-01T02:02Z'),
                (1, 'NaN', '2026-01-01T03:00Z'), (1, 'Infinity', '2026-01-01T04:00Z')",
    )
    .await;
    let range = "start=2026-01-01&end=2026-01-01T05:00&measures=";
    let hours = buckets(&site, &format!("{range}count,avg,sum,stddev,median,iqr,max")).await;
    assert_eq!(column(&hours, "count"), json!([2, 3, 3, 1, 1]));
    // An hour that overflows changes no other's answer.
    let sum = 0.1 + 0.2 + 0.4;
    assert_eq!(column(&hours, "avg"), json!([1.7e308, 1.0, sum / 3.0, null, null]));
    assert_eq!(column(&hours, "sum"), json!([null, 3.0, sum, null, null]));
    assert_eq!(column(&hours, "median"), json!([1.7e308, 3.0, 0.2, null, null]));
    assert_eq!(column(&hours, "max"), json!([1.7e308, 1e308, 0.4, null, null]));
    assert_eq!((&hours[0]["stddev"], &hours[0]["iqr"]), (&json!(0.0), &json!(0.0)));
    assert!((hours[1]["stddev"].as_f64().unwrap() - 1e308).abs() < 1e294, "{}", hours[1]["stddev"]);
}

/// A bucket of more chunks than one statement may touch is put together from parts.
#[tokio::test]
async fn sums_of_many_chunks_do_not_overflow() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    site.database.execute("SELECT set_chunk_time_interval('sensor_data', interval '1 day')").await;
    insert(
        &site,
        "SELECT 1, CASE WHEN n = 100 THEN 3 WHEN n % 2 = 0 THEN 1.7976931348623157e308 ELSE -1.7976931348623157e308 END,
                '2026-01-01T12:00Z'::timestamptz + n * interval '1 day' FROM generate_series(0, 100) AS n
         UNION ALL
         SELECT 2, 1.7976931348623157e308, '2026-01-01T12:00Z'::timestamptz + n * interval '1 day'
         FROM generate_series(0, 99) AS n",
    )
    .await;
    let range = "start=2026-01-01&end=2026-05-01&bucket=1year&measures=";
    let one = buckets(&site, &format!("{range}count,avg,sum,median,max")).await;
    let figures = ["count", "avg", "sum", "median", "max"].map(|name| column(&one, name)[0].clone());
    assert_eq!(json!(figures), json!([101, 3.0 / 101.0, 3.0, 3.0, f64::MAX]));
    let path = format!("/sensors/stats?ids=1,2&group=all&{range}avg,sum,p100");
    let both = site.server.get(&path).await.expect(200).json();
    let bucket = &both["series"][0]["buckets"][0];
    // Half of the readings are the largest double, and the others come to nothing.
    let avg = bucket["avg"].as_f64().unwrap_or_else(|| panic!("{both}"));
    assert!((avg / f64::MAX - 100.0 / 201.0).abs() < 1e-15, "{avg:e}");
    assert_eq!((&bucket["sum"], &bucket["p100"]), (&json!(null), &json!(f64::MAX)));
}
