use std::time::{Duration, Instant};

use reqwest::Method;
use sensorpipe::reading::Timestamp;
use serde_json::{Value, json};
use testbed::{Gate, Record, Role, TestDatabase, TestTopic, comes_to, config, eventually};

use crate::{
    events::Events,
    site::{PATIENCE, Server, Site},
};

async fn overview(server: &Server) -> Value {
    server.get("/overview").await.expect(200).json()
}

async fn post_readings(site: &Site, sensors: i32) {
    for sensor_id in 1..=sensors {
        site.server.post(&format!("/sensor_data/{sensor_id}"), r#"{"value":1}"#).await.expect(200);
    }
}

#[tokio::test]
async fn it_tells_what_became_of_readings_and_who_works() {
    let site = Site::start().await;
    site.database.add_sensors(20).await;
    let mut worker = site.worker();
    post_readings(&site, 20).await;
    site.topic.produce([Record::new("no JSON"), Record::new(r#"{"sensor_id":99,"value":1}"#)]).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    eventually(PATIENCE, async || {
        let now = overview(&site.server).await;
        now["tally"]["stored"] == 20 && now["dead_letters"]["waiting"] == 2 && now["workers"][0].is_object()
    })
    .await;
    let mut told = Value::Null;
    eventually(PATIENCE, async || {
        told = overview(&site.server).await;
        told["lag"].as_array().unwrap().iter().all(|lag| lag["owner"].is_string())
    })
    .await;
    let (worker_body, tally) = (&told["workers"][0], &told["tally"]);
    let id: String = sqlx::query_scalar("SELECT id::text FROM database_identity")
        .fetch_one(&site.database.pool)
        .await
        .unwrap();
    assert_eq!((&told["database_id"], &told["other_databases"]), (&json!(id), &json!([])));
    assert_eq!(worker_body["partitions"], json!([0, 1, 2]));
    assert!(worker_body["host"].as_str().unwrap().contains("127.0.0.1"), "{worker_body}");
    for (partition, lag) in told["lag"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&lag["partition"], &lag["records"]), (&json!(partition), &json!(0)));
        assert_eq!((&lag["seconds"], &lag["owner"]), (&json!(0.0), &worker_body["member_id"]));
    }
    assert_eq!((&tally["in_log"], &tally["in_flight_records"]), (&json!(22), &json!(0)));
    assert_eq!((&tally["dead_lettered"], &tally["difference"]), (&json!(2), &Value::Null));
    assert_eq!(tally["audit"], Value::Null, "there was none");
    assert!(tally["explanation"].as_str().unwrap().contains("sensorpipe audit"));
    let by_reason = json!({"malformed_json": 1, "unknown_sensor": 1});
    assert_eq!((&told["dead_letters"]["by_reason"], &told["duplicates"]), (&by_reason, &json!(0)));
    assert!(told["freshness_seconds"].as_f64().unwrap() < 60.0);
    assert_eq!((&told["kafka"]["up"], &told["postgres"]["up"]), (&json!(true), &json!(true)));
    assert_eq!((&told["topic"], &told["group"]), (&json!(site.topic.name), &told["topic"]));

    site.topic.produce([Record::new("no JSON either")]).await;
    let waiting = async || overview(&site.server).await["dead_letters"]["waiting"].clone();
    comes_to("dead letters", PATIENCE, json!(3), waiting).await;
    worker.kill();
}

#[tokio::test]
async fn who_is_in_a_group_of_the_brokers_own_protocol_is_not_known() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let workers = async || overview(&site.server).await["workers"].clone();
    comes_to("no workers", PATIENCE, json!([]), workers).await;
    let role =
        Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["worker"]).database(&site.database).topic(&site.topic);
    let _worker = role.env("KAFKA_CONFIG_group_protocol", "consumer").start();
    post_readings(&site, 1).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    comes_to("workers", PATIENCE, Value::Null, workers).await;
    let told = overview(&site.server).await;
    assert!(told["lag"].as_array().unwrap().iter().all(|lag| lag["owner"].is_null()), "{told}");
    assert_eq!(told["tally"]["stored"], 1);
}

#[tokio::test]
async fn a_stalled_partition_is_shown_with_its_reason_while_a_worker_confirms_it() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    let mut worker = site.worker();
    post_readings(&site, 1).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    worker.kill();
    site.database
        .execute(
            "INSERT INTO stalled_partitions (cluster_id, topic, partition, reason, detail)
             SELECT cluster_id, topic, 1, 'not_authorized', 'grant READ' FROM ingest_offsets LIMIT 1",
        )
        .await;
    let reason = async || overview(&site.server).await["lag"][1]["stalled"]["reason"].clone();
    comes_to("the reason", PATIENCE, json!("not_authorized"), reason).await;
    let told = overview(&site.server).await;
    assert_eq!(told["lag"][1]["stalled"]["detail"], json!("grant READ"));
    assert_eq!(told["lag"][0]["stalled"], Value::Null);
    site.database.execute("UPDATE stalled_partitions SET seen_at = now() - interval '1 minute'").await;
    comes_to("no reason", PATIENCE, Value::Null, reason).await;
}

#[tokio::test]
async fn the_difference_is_that_of_the_last_audit() {
    let site = Site::start().await;
    site.database.add_sensors(2).await;
    let mut worker = site.worker();
    post_readings(&site, 1).await;
    let last = site.server.post("/sensor_data/2", r#"{"value":1}"#).await.expect(200).json();
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    worker.kill();
    let audit = async || {
        let role = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["audit"]);
        role.database(&site.database).topic(&site.topic).start().ended(PATIENCE).await.code()
    };
    let mut events = Events::open(&site.server, "/overview/events").await;
    let tally = events.next().await.unwrap().data["tally"].clone();
    assert_eq!((&tally["difference"], &tally["audit"]), (&Value::Null, &Value::Null));

    assert_eq!(audit().await, Some(0));
    let mut tally = Value::Null;
    eventually(PATIENCE, async || {
        tally = events.next().await.unwrap().data["tally"].clone();
        tally["audit"].is_object()
    })
    .await;
    let kept = &tally["audit"];
    assert_eq!((&tally["difference"], &kept["outcome"]), (&json!(0), &json!("clean")));
    assert_eq!((&kept["differences"], &kept["kinds"]), (&json!(0), &json!([])));
    assert_eq!(kept["partitions"], json!([]));
    assert_eq!((&kept["readings"], &kept["uncounted"], &kept["stored"]), (&json!(2), &json!(0), &json!(2)));
    assert_eq!((&kept["duplicates"], &kept["dead_lettered"]), (&json!(0), &json!(0)));
    assert_eq!(kept["rows_counted"], true);
    assert!(kept["duration_seconds"].as_f64().unwrap() > 0.0);
    assert!((0.0..60.0).contains(&kept["age_seconds"].as_f64().unwrap()), "{kept}");
    let now = Timestamp::now().micros() / 1_000;
    assert!((now - 60_000..=now).contains(&kept["finished_at"].as_i64().unwrap()), "{kept}");
    assert!(kept["up_to"].as_i64() <= kept["finished_at"].as_i64(), "{kept}");
    assert!((now - 60_000..=now).contains(&kept["up_to"].as_i64().unwrap()), "{kept}");

    site.database.execute("DELETE FROM sensor_data WHERE sensor_id = 2").await;
    assert_eq!(audit().await, Some(1));
    eventually(PATIENCE, async || {
        tally = overview(&site.server).await["tally"].clone();
        tally["difference"] == 1
    })
    .await;
    let kept = &tally["audit"];
    assert_eq!((&kept["outcome"], &kept["differences"]), (&json!("differences"), &json!(2)));
    assert_eq!(kept["kinds"], json!(["rows_missing", "unaccounted"]));
    assert_eq!(kept["partitions"], json!([last["receipt"]["partition"]]));

    // Another topic's is not this one's.
    site.database.execute("UPDATE audits SET topic_id = 'before'").await;
    eventually(PATIENCE, async || overview(&site.server).await["tally"]["audit"].is_null()).await;
    assert_eq!(overview(&site.server).await["tally"]["difference"], Value::Null);
}

/// Once by what a look saw, once by the record's own timestamp, for an api that came later.
#[tokio::test]
async fn lag_is_the_age_of_the_first_record_that_is_not_stored() {
    let site = Site::start_on(TestTopic::create(1).await, &[]).await;
    site.database.add_sensors(1).await;
    let mut worker = site.worker();
    post_readings(&site, 1).await;
    eventually(PATIENCE, async || overview(&site.server).await["tally"]["stored"] == 1).await;
    worker.kill();

    let an_hour_ago = Timestamp::now().micros() / 1_000 - 3_600_000;
    let record = |timestamp_ms| Record::new(r#"{"sensor_id":1,"value":1}"#).timestamp_ms(timestamp_ms);
    site.topic.produce([record(an_hour_ago), record(an_hour_ago + 60_000)]).await;
    let mut lag = Value::Null;
    eventually(PATIENCE, async || {
        lag = overview(&site.server).await["lag"][0].clone();
        lag["records"] == 2 && lag["seconds"].is_number()
    })
    .await;
    assert!(lag["seconds"].as_f64().unwrap() < 60.0, "it was seen to come: {lag}");
    let later = Server::start(&site.database.config(), &site.topic.config(), &[]).await;
    eventually(PATIENCE, async || {
        lag = overview(&later).await["lag"][0].clone();
        lag["seconds"].is_number()
    })
    .await;
    let seconds = lag["seconds"].as_f64().unwrap();
    assert!((3_600.0..3_700.0).contains(&seconds), "{lag}");
    assert_eq!(lag["records"], 2);
    assert!(lag["stored_at"].as_i64().unwrap() > an_hour_ago);
}

#[tokio::test]
async fn viewers_share_samples_and_see_rates() {
    let site = Site::start().await;
    site.database.add_sensors(1).await;
    let mut first = Events::open(&site.server, "/overview/events").await;
    let mut second = Events::open(&site.server, "/overview/events").await;
    let (one, other) = (first.next().await.unwrap(), second.next().await.unwrap());
    assert_eq!((one.name.as_str(), one.id), ("overview", one.data["at"].as_i64().unwrap()));
    // Either may have come between two samples; from then on both get the same ones.
    let mut ids = vec![one.id];
    let mut latest = other;
    while ids.len() < 3 {
        let event = first.next().await.unwrap();
        while latest.id < event.id {
            latest = second.next().await.unwrap();
        }
        assert_eq!(latest, event);
        assert!(event.id > ids[ids.len() - 1]);
        ids.push(event.id);
    }
    // The first may have been late.
    assert!(ids[2] - ids[0] >= 1_100, "one a second: {ids:?}");

    post_readings(&site, 1).await;
    let started = Instant::now();
    loop {
        let rates = first.next().await.unwrap().data["rates"].clone();
        let is_some = |name: &str| rates[name].as_f64().is_some_and(|rate| rate > 0.0);
        if is_some("http") && is_some("kafka") {
            assert_eq!(rates["stored"], 0.0, "nobody stores anything");
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{rates}");
    }
}

#[tokio::test]
async fn streams_have_a_bound_and_end_with_the_process() {
    let site = Site::start_with(&["--test-event-streams-max", "1"]).await;
    let mut events = Events::open(&site.server, "/overview/events").await;
    events.next().await.unwrap();
    let refused = site.server.get("/overview/events").await.expect(503);
    assert_eq!(refused.header("retry-after"), "1");
    site.server.get("/overview").await.expect(200);
    let started = Instant::now();
    site.server.stopped().await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn what_goes_away_is_said_and_what_it_said_stays() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.execute("INSERT INTO sensors (sensor_type) VALUES ('t')").await;
    let (scheme_and_role, rest) = database.url.split_once('@').unwrap();
    let (address, name) = rest.split_once('/').unwrap();
    let gate = Gate::to(address);
    let through = format!("{scheme_and_role}@{}/{name}", gate.address);
    let server = Server::start(&config(&["--database-url", &through]), &topic.config(), &[]).await;
    let site = Site { server, database, topic };
    let mut worker = site.worker();
    post_readings(&site, 1).await;
    eventually(PATIENCE, async || overview(&site.server).await["tally"]["stored"] == 1).await;

    gate.close();
    let mut told = Value::Null;
    eventually(PATIENCE, async || {
        told = overview(&site.server).await;
        told["postgres"]["up"] == false
    })
    .await;
    assert_eq!((&told["tally"]["stored"], &told["kafka"]["up"]), (&json!(1), &json!(true)));
    assert!(told["postgres"]["reason"].is_string());
    let answered_at = told["postgres"]["answered_at"].as_i64().unwrap();
    assert!(answered_at <= told["postgres"]["since"].as_i64().unwrap());
    let freshness = told["freshness_seconds"].as_f64().unwrap();
    eventually(PATIENCE, async || {
        let later = overview(&site.server).await;
        assert_eq!(later["postgres"]["answered_at"], answered_at);
        later["freshness_seconds"].as_f64().unwrap() > freshness
    })
    .await;
    gate.open();
    eventually(PATIENCE, async || overview(&site.server).await["postgres"]["up"] == true).await;
    worker.kill();
}

#[tokio::test]
async fn it_answers_where_there_is_neither_kafka_nor_postgres() {
    let nowhere = config(&["--database-url", "postgres://nobody@127.0.0.1:1/nothing"]);
    let server = Server::start(&nowhere, &config(&["--kafka-brokers", "127.0.0.1:1"]), &[]).await;
    let told = overview(&server).await;
    assert_eq!((&told["kafka"]["up"], &told["postgres"]["up"]), (&json!(false), &json!(false)));
    assert_eq!((&told["lag"], &told["tally"]["stored"]), (&json!([]), &Value::Null));
    assert_eq!(told["kafka"]["answered_at"], Value::Null);
    server.request(Method::POST, "/overview", |request| request).await.expect(405);
}
