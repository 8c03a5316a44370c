use std::collections::HashSet;

use serde_json::{Value, json};

use crate::site::Site;

/// Sensor 1 with a reading a minute, numbered from 0.
async fn site(count: i64) -> Site {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    site.database
        .execute(&format!(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, n, '2026-01-01Z'::timestamptz + n * interval '1 minute' FROM generate_series(0, {count} - 1) AS n"
        ))
        .await;
    site
}

fn values(page: &Value) -> Vec<i64> {
    page["data"].as_array().unwrap().iter().map(|reading| reading["value"].as_f64().unwrap() as i64).collect()
}

async fn page(site: &Site, query: &str) -> Value {
    site.server.get(&format!("/sensors/1/readings?{query}")).await.expect(200).json()
}

/// The values of every page, and how many pages there were.
async fn all_pages(site: &Site, query: &str) -> (Vec<i64>, usize) {
    let (mut all, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = page(site, &format!("{query}{after}")).await;
        pages += 1;
        all.extend(values(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (all, pages),
        }
    }
}

#[tokio::test]
async fn newest_first_or_oldest_first_and_page_by_page() {
    let site = site(2_500).await;
    let newest = page(&site, "").await;
    assert_eq!(newest["sensor_id"], 1);
    assert_eq!(newest["data"][0], json!({"value": 2_499.0, "timestamp": "2026-01-02T17:39:00Z"}));
    assert_eq!(values(&newest), (1_500..2_500).rev().collect::<Vec<_>>());
    for (order, mut expected) in
        [("asc", (0..2_500).collect::<Vec<_>>()), ("desc", (0..2_500).rev().collect())]
    {
        for (limit, pages) in [(10_000, 1), (2_500, 1), (2_499, 2), (499, 6)] {
            let found = all_pages(&site, &format!("order={order}&limit={limit}")).await;
            assert_eq!(found, (expected.clone(), pages), "{order} {limit}");
        }
        // From 10 up to, and without, 20.
        expected.retain(|value| (10..20).contains(value));
        let range = "start=2026-01-01T01:10:00%2B01:00&end=2026-01-01T01:20:00+01:00";
        let found = all_pages(&site, &format!("{range}&order={order}&limit=3")).await;
        assert_eq!(found, (expected, 4), "{order}");
    }
    let berlin =
        page(&site, "start=2026-01-01T01:10&end=2026-01-01T01:12&timezone=Europe/Berlin&order=asc").await;
    assert_eq!(values(&berlin), [10, 11]);
}

#[tokio::test]
async fn far_apart_and_at_the_edges_of_time() {
    let site = site(3).await;
    let times = [
        "0001-01-01T00:00:00Z",
        "1969-07-20T20:17:40Z",
        "2003-01-01T00:00:00.000001Z",
        "2999-12-31T23:59:59.999999Z",
    ];
    for (n, time) in times.iter().enumerate() {
        site.database
            .execute(&format!(
                "INSERT INTO sensor_data (sensor_id, value, time) VALUES (1, {}, '{time}')",
                100 + n
            ))
            .await;
    }
    let expected = vec![100, 101, 102, 0, 1, 2, 103];
    assert_eq!(all_pages(&site, "order=asc&limit=1").await, (expected.clone(), 7));
    assert_eq!(all_pages(&site, "order=asc").await.0, expected);
    let newest_first: Vec<i64> = expected.into_iter().rev().collect();
    assert_eq!(all_pages(&site, "order=desc&limit=1").await, (newest_first.clone(), 7));
    assert_eq!(all_pages(&site, "").await.0, newest_first);
    assert_eq!(page(&site, "limit=1").await["data"][0]["timestamp"], "2999-12-31T23:59:59.999999Z");
}

#[tokio::test]
async fn pages_stay_stable_while_readings_come() {
    let site = site(1_000).await;
    let writing = {
        let pool = site.database.pool.clone();
        tokio::spawn(async move {
            // Between those that are there, before them and after them.
            for n in 0..400 {
                sqlx::query(
                    "INSERT INTO sensor_data (sensor_id, value, time)
                     SELECT 1, -1, '2026-01-01Z'::timestamptz + (n * 7 - 300) * interval '1 minute' + interval '30 s'
                       FROM generate_series($1::int4, $1::int4) AS n",
                )
                .bind(n)
                .execute(&pool)
                .await
                .unwrap();
            }
        })
    };
    let mut rounds = 0;
    while !writing.is_finished() || rounds < 2 {
        for order in ["asc", "desc"] {
            let (found, _) = all_pages(&site, &format!("order={order}&limit=37")).await;
            let mut old: Vec<i64> = found.into_iter().filter(|value| *value >= 0).collect();
            assert_eq!(old.len(), old.iter().collect::<HashSet<_>>().len(), "none twice");
            old.sort_unstable();
            assert_eq!(old, (0..1_000).collect::<Vec<_>>(), "none left out");
        }
        rounds += 1;
    }
    writing.await.unwrap();
    assert_eq!(all_pages(&site, "limit=10000").await.0.len(), 1_400);
}

#[tokio::test]
async fn none_is_not_the_same_as_no_sensor() {
    let site = site(1).await;
    let answer = site.server.get("/sensors/2/readings").await.expect(200).json();
    assert_eq!(answer, json!({"sensor_id": 2, "data": [], "next": null}));
    assert_eq!(values(&page(&site, "end=2026-01-01").await), Vec::<i64>::new());
    let answer = site.server.get("/sensors/3/readings").await.expect(404);
    assert_eq!(answer.json(), json!({"detail": "Sensor not found."}));
    let answer = site.server.get_as("text/csv", "/sensors/2/readings").await.expect(200);
    assert_eq!(answer.text, "sensor_id,timestamp,value\n");
    let answer = site.server.get_as("application/x-ndjson", "/sensors/3/readings").await.expect(404);
    assert_eq!(answer.json(), json!({"detail": "Sensor not found."}));
}

#[tokio::test]
async fn every_fault_is_named() {
    let site = site(1).await;
    for (query, parameter, kind) in [
        ("order=newest", "order", "enum"),
        ("limit=0", "limit", "int_parsing"),
        ("limit=10001", "limit", "int_parsing"),
        ("limit=all", "limit", "int_parsing"),
        ("after=2026-01-01", "after", "cursor"),
        ("start=1e300", "start", "datetime_parsing"),
        ("start=2026-01-02&end=2026-01-01", "end", "empty_range"),
        ("timezone=Mars", "timezone", "timezone"),
    ] {
        let answer = site.server.get(&format!("/sensors/1/readings?{query}")).await.expect(422).json();
        let fault = &answer["detail"][0];
        assert_eq!((&fault["loc"], &fault["type"]), (&json!(["query", parameter]), &json!(kind)), "{query}");
    }
}
