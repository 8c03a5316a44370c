//! Compressed records: of producers other than ours, and of a topic that compresses what ours send.

use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use testbed::{
    LogBatch, OtherProducer, PlainRecord, Role, Tally, TestDatabase, TestTopic, comes_to, free_address,
};

use crate::{PATIENCE, worker};

const CODECS: [&str; 4] = ["gzip", "snappy", "lz4", "zstd"];
/// Enough of the same for a codec to make less of them.
const RECORDS: i64 = 24;
const SENSORS: i32 = 3;

/// Records of one reading each; no two are of the same second.
fn records(codec: &'static str, first_second: i64) -> Vec<PlainRecord> {
    (0..RECORDS)
        .map(|n| {
            let (sensor, second) = (n % i64::from(SENSORS) + 1, 1_704_067_200 + first_second + n);
            let value = format!(r#"{{"sensor_id":{sensor},"value":{n}.5,"timestamp":{second}}}"#);
            PlainRecord { codec, key: sensor.to_string(), value }
        })
        .collect()
}

/// How many records of the topic are in batches of this codec.
fn records_in(batches: &[LogBatch], codec: &str) -> i64 {
    batches.iter().filter(|batch| batch.codec == codec).map(|batch| i64::from(batch.records)).sum()
}

/// As many items of a body for one sensor.
fn items(first_second: i64) -> String {
    let item = |n| format!(r#"{{"value":{n}.5,"timestamp":{}}}"#, 1_704_067_200 + first_second + n);
    (0..RECORDS).map(item).collect::<Vec<_>>().join(",")
}

/// `sensorpipe audit` reads the same log and finds each record's readings.
async fn audit_finds_all(database: &TestDatabase, topic: &TestTopic) {
    let mut audit =
        Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &["audit"]).database(database).topic(topic).start();
    let status = audit.ended(PATIENCE).await;
    assert!(status.success(), "{status}\n{}\n{}", audit.stdout(), audit.stderr());
}

#[tokio::test]
async fn records_of_every_codec_and_other_producer_are_stored_once() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(2).await);
    database.add_sensors(SENSORS).await;
    let _worker = worker(&database, &topic).start();
    let mut sent = 0;
    for (number, producer) in (1..).zip(OtherProducer::ALL) {
        let mut of_all_codecs = Vec::new();
        for codec in CODECS {
            of_all_codecs.extend(records(codec, sent));
            sent += RECORDS;
        }
        producer.send(&topic, of_all_codecs).await;
        let batches = topic.batches().await;
        for codec in CODECS {
            let compressed = records_in(&batches, codec);
            assert_eq!(compressed, number * RECORDS, "{producer:?} and {codec}: {batches:?}");
        }
    }
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: sent, duplicates: 0, dead_lettered: 0 });
    assert_eq!(database.row_count().await, sent);
    audit_finds_all(&database, &topic).await;
}

#[tokio::test]
async fn a_topic_that_compresses_with_zstd_loses_nothing_when_its_worker_restarts() {
    let (database, topic) = (TestDatabase::create().await, TestTopic::create(1).await);
    database.add_sensors(1).await;
    let resource = ResourceSpecifier::Topic(&topic.name);
    let compress = AlterConfig::new(resource).set("compression.type", "zstd");
    let altered =
        topic.admin().alter_configs(&[compress], &AdminOptions::new()).await.expect("Kafka answers");
    altered[0].as_ref().expect("the topic can be configured");

    let address = free_address();
    let role = |role| {
        let role = Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &[role]).database(&database).topic(&topic);
        role.env("CONSUMERS", "1").env("HTTP_ADDR", &address.to_string())
    };
    let client = reqwest::Client::new();
    let _api = role("api").start();
    let is_ready = async || {
        let answer = client.get(format!("http://{address}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    testbed::eventually(PATIENCE, is_ready).await;
    let mut sent = 0;
    for round in 0..5 {
        let mut worker = role("worker").start();
        comes_to("members", PATIENCE, 1, async || topic.group_member_count().await).await;
        for _ in 0..2 {
            let body = format!(r#"{{"data":[{}]}}"#, items(sent));
            let request = client.post(format!("http://{address}/sensor_data/1"));
            let answer = request
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await
                .expect("it answers");
            assert_eq!(answer.status(), 200, "round {round}: {}", answer.text().await.unwrap_or_default());
            sent += RECORDS;
        }
        // What it has not stored, the next one does.
        if round % 2 == 0 {
            database.stores_all_of(&topic, PATIENCE).await;
        }
        worker.terminate();
        assert!(worker.ended(PATIENCE).await.success(), "{}", worker.stderr());
    }
    let _worker = role("worker").start();
    comes_to("readings stored", PATIENCE, sent, async || database.row_count().await).await;
    database.stores_all_of(&topic, PATIENCE).await;
    assert_eq!(database.tally().await, Tally { stored: sent, duplicates: 0, dead_lettered: 0 });
    let batches = topic.batches().await;
    assert!(batches.iter().all(|batch| batch.codec == "zstd"), "Kafka did not compress them: {batches:?}");
    audit_finds_all(&database, &topic).await;
}
