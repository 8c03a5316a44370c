use serde_json::{Value, json};
use testbed::{Role, TestDatabase, TestTopic, eventually, free_address};

use crate::site::{PATIENCE, Site};

#[tokio::test]
async fn days_that_are_over_are_kept_and_old_readings_refused() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let readings = "INSERT INTO sensor_data SELECT 1, extract(epoch FROM time), time FROM generate_series(";
    database
        .execute(&format!("{readings} date_trunc('day', now(), 'UTC') - interval '9 days', date_trunc('day', now(), 'UTC') - interval '1 s', '20 minutes') AS time"))
        .await;
    database.set("retention", "10days").await;
    let address = free_address().to_string();
    let api = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["api"])
        .database(&database)
        .topic(&topic)
        .env("HTTP_ADDR", &address)
        .start();
    let url = |path: &str| format!("http://{address}{path}");
    eventually(PATIENCE, async || {
        reqwest::get(url("/readyz")).await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let days =
        async || -> Vec<Value> { reqwest::get(url("/daily_avg/1")).await.unwrap().json().await.unwrap() };

    let computed = days().await;
    assert_eq!((computed.len(), &computed[6]["reading_count"]), (7, &json!(72)));
    assert_eq!(database.number("SELECT count(*) FROM daily_stats").await, 7);
    assert_eq!(days().await, computed, "what is kept is what was computed");
    // It is what is kept that is told: others' SQL is not followed unless it is asked to be.
    database.execute("DELETE FROM sensor_data WHERE time < now() - interval '60 hours'").await;
    assert_eq!(days().await, computed);

    database.execute("INSERT INTO sensor_data VALUES (1, 5, date_trunc('day', now(), 'UTC'))").await;
    let with_today = days().await;
    assert_eq!((with_today.len(), &with_today[0]["reading_count"]), (7, &json!(1)));
    assert_eq!(with_today[1..], computed[..6]);

    let client = reqwest::Client::new();
    for (age_days, status) in [(9, 200), (12, 422)] {
        let time = chrono::Utc::now() - chrono::TimeDelta::days(age_days);
        let body = json!({"value": 1.0, "timestamp": time.to_rfc3339()});
        let answer = client.post(url("/sensor_data/1")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{age_days} days old: {}", answer.text().await.unwrap());
    }
    api.terminate();
}

/// Days are kept the newest first; the one that fails is asked for again by whoever looks at the chart.
#[tokio::test]
async fn a_day_that_cannot_be_kept_keeps_no_other_from_charts() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    site.database
        .execute(
            "INSERT INTO sensor_data (sensor_id, value, time)
             SELECT 1, 1, time FROM generate_series(
                 date_trunc('day', now(), 'UTC') - interval '40 days', date_trunc('day', now(), 'UTC') - interval '1 hour',
                 interval '1 hour') AS time;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this day'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON daily_stats FOR EACH ROW
             WHEN (NEW.day >= (now() - interval '36 hours')::date) EXECUTE FUNCTION refuse()",
        )
        .await;
    let chart = async || site.server.get("/sensors/1/chart?width=100").await.expect(200).json();
    assert_eq!(chart().await["complete"], false);
    eventually(PATIENCE, async || chart().await["complete"] == true).await;
    let counts: i64 =
        chart().await["points"]["count"].as_array().unwrap().iter().filter_map(Value::as_i64).sum();
    assert_eq!(counts, 960);
    assert!(site.database.number("SELECT count(*) FROM daily_stats").await >= 38);
}
