//! Whoever may connect to the database may send what the api listens to.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use testbed::{TestDatabase, TestTopic, comes_to};

use crate::{PATIENCE, service::Api};

/// How soon the api knows of a sensor that was made by SQL; a debug build on a busy machine takes its time.
const SOON: Duration = Duration::from_secs(3);

async fn send(api: &Api, sensor_id: i32) -> Option<u16> {
    let request = api.client.post(format!("{}/sensor_data/{sensor_id}", api.url));
    let request = request.header("content-type", "application/json");
    let (status, _) = Api::answer(request.body(r#"{"value":1}"#)).await;
    status.map(|status| status.as_u16())
}

#[tokio::test]
async fn a_message_makes_and_deletes_no_sensor() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let api = Api::start(&database, &topic, &[]).await;
    let mut stranger =
        PgConnection::connect(&database.url_of_role_that_only_writes().await).await.expect("it may connect");
    for message in ["+777777:777777", "-1:1", "reload", "+", "-2147483648:2147483647"] {
        sqlx::query("SELECT pg_notify('sensorpipe_sensors', $1)")
            .bind(message)
            .execute(&mut stranger)
            .await
            .expect("anybody may");
    }
    database.add_sensors(1).await;
    comes_to("a sensor that was made after", SOON, Some(200), async || send(&api, 2).await).await;
    assert_eq!(send(&api, 777_777).await, Some(404));
    assert_eq!(send(&api, 1).await, Some(200));
}

#[tokio::test]
async fn a_flood_of_messages_is_no_flood_of_queries() {
    const MESSAGES: &str = "SELECT count(*) FROM generate_series(1, 500) AS n,
        pg_notify('sensorpipe_sensors', CASE WHEN n % 100 = 0 THEN 'reload ' || $1 || n ELSE format('+%s:%s', $1 * 500 + n, $1 * 500 + n) END)";
    const LOOKS: &str =
        "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'sensors'";
    const ROUNDS: i32 = 400;
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.add_sensors(1).await;
    let mut api = Api::start(&database, &topic, &[]).await;
    let mut stranger =
        PgConnection::connect(&database.url_of_role_that_only_writes().await).await.expect("it may connect");
    let before = database.number(LOOKS).await;
    let started = Instant::now();
    let flooding = async {
        for round in 1..=ROUNDS {
            sqlx::query(MESSAGES).bind(round).execute(&mut stranger).await.expect("anybody may");
        }
    };
    let using = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        database.add_sensors(1).await;
        comes_to("a sensor that was made meanwhile", SOON, Some(200), async || send(&api, 2).await).await;
    };
    tokio::join!(flooding, using);
    let seconds = started.elapsed().as_secs_f64();
    // A backend that is idle tells the database of its scans after ten seconds, or as it goes.
    stranger.close().await.expect("it ends");
    api.process.terminate();
    assert!(api.process.ended(PATIENCE).await.success());
    let backends = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'sensorpipe%'";
    comes_to("backends of the api", PATIENCE, 0, async || database.number(backends).await).await;
    let asked = database.number(LOOKS).await - before;
    println!("{asked} scans in {seconds:.1} s beside {} messages", ROUNDS * 500);
    // Twenty looks a second for ids and as many for the whole table, and what the test and the api do besides.
    assert!((asked as f64) < 60.0 * (seconds + 1.0), "{asked} scans in {seconds} s");
}
