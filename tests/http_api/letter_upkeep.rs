//! Dead letters while nobody works through them: counted, mirrored, and one day expired.

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, OwnedMessage},
};
use testbed::{Record, TestTopic, comes_to, eventually, free_address};

use crate::{
    letters::{reading, worker},
    site::{PATIENCE, Site},
};

/// The first `count` records of a topic's only partition.
async fn records(topic: &TestTopic, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = topic.client_config().set("group.id", &topic.name).create().unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(&topic.name, 0, Offset::Beginning).unwrap();
    consumer.assign(&place).unwrap();
    tokio::task::spawn_blocking(move || {
        (0..count).map(|_| consumer.poll(PATIENCE).expect("there is a record").unwrap().detach()).collect()
    })
    .await
    .unwrap()
}

fn header(record: &OwnedMessage, name: &str) -> Option<String> {
    let headers = record.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    Some(String::from_utf8(found.value?.to_vec()).unwrap())
}

#[tokio::test]
async fn old_letters_expire_and_the_others_are_counted() {
    let records = (0..6).map(|n| Record::new(reading(77, n))).collect();
    let site = Site::with_records(1, records).await;
    let ids = site.letter_ids().await;
    let age = |ids: &[i64], days: i64| {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        format!(
            "UPDATE dead_letters SET received_at = now() - interval '{days} days' WHERE id IN ({})",
            ids.join(",")
        )
    };
    site.database.execute(&age(&ids[..3], 91)).await;
    site.database.execute(&age(&ids[3..4], 89)).await;
    // One of them is being worked through.
    let held =
        site.database.hold(&format!("SELECT FROM dead_letters WHERE id = {} FOR UPDATE", ids[1])).await;
    let address = free_address().to_string();
    let worker = worker(&site.database, &site.topic)
        .env("SENSORPIPE_TEST_RETENTION_INTERVAL", "100ms")
        .env("METRICS_ADDR", &address)
        .start();
    comes_to("letters left", PATIENCE, vec![ids[1], ids[3], ids[4], ids[5]], async || {
        site.letter_ids().await
    })
    .await;
    drop(held);
    comes_to("letters left", PATIENCE, ids[3..].to_vec(), async || site.letter_ids().await).await;
    assert_eq!(site.removed("expired").await, 3);
    eventually(PATIENCE, async || worker.stderr().contains("older than DEAD_LETTER_RETENTION")).await;
    let metrics =
        async || reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let told = metrics().await;
    let waiting = told
        .lines()
        .find_map(|line| line.strip_prefix(r#"sensorpipe_dead_letters{reason="unknown_sensor"} "#));
    assert!((3..=6).contains(&waiting.unwrap().parse::<i64>().unwrap()), "{told}");
    for line in [
        r#"sensorpipe_dead_letter_removals_total{outcome="expired"} 3"#,
        r#"sensorpipe_dead_letters{reason="too_large"} 0"#,
    ] {
        assert!(told.lines().any(|told| told == line), "{line}:\n{told}");
    }
    let oldest = told.lines().find_map(|line| line.strip_prefix("sensorpipe_dead_letter_oldest_seconds "));
    assert!(oldest.unwrap().parse::<f64>().unwrap() >= 88.0 * 86_400.0, "{oldest:?}");
    worker.terminate();
}

#[tokio::test]
async fn letters_are_mirrored_in_order_at_least_once() {
    let records_sent = vec![
        Record::new("x").key("k").header("traceparent", "00-ab"),
        Record::new(format!("[{},{}]", reading(1, 1), reading(77, 2))),
        Record::without_value(),
    ];
    let site = Site::with_records(1, records_sent).await;
    let mirror = TestTopic::name_only(1);
    let mirroring = || worker(&site.database, &site.topic).env("DEAD_LETTER_TOPIC", &mirror.name);
    // Without the topic readings go on being stored, and dead letters wait.
    let mut first = mirroring().env("KAFKA_CONFIG_topic_metadata_propagation_max_ms", "1000").start();
    eventually(PATIENCE, async || {
        first.stderr().contains(r#"background job failed; retrying in 2s job="dead_letter_forwarding""#)
    })
    .await;
    site.topic.produce([Record::new(reading(1, 9))]).await;
    site.database.stores_all_of(&site.topic, PATIENCE).await;
    let unmirrored = "SELECT count(*) FROM dead_letters WHERE mirrored_at IS NULL";
    assert_eq!(site.database.number(unmirrored).await, 3);

    // Killed between Kafka's word and the note of it, it is done again by the next one.
    let held = site.database.hold("SELECT FROM dead_letters FOR UPDATE").await;
    mirror.ensure().await;
    eventually(PATIENCE, async || mirror.watermarks().await == [(0, 3)]).await;
    first.kill();
    // Its backend does not know yet, and would do what it was asked for.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'sensorpipe mirror'";
    assert_eq!(site.database.number(end).await, 1);
    comes_to("backends of the mirror", PATIENCE, 0, async || {
        site.database.number(&end.replace("pg_terminate_backend(pid)", "*")).await
    })
    .await;
    drop(held);
    let _second = mirroring().start();
    comes_to("not mirrored", PATIENCE, 0, async || site.database.number(unmirrored).await).await;
    let copies = records(&mirror, 6).await;
    let ids: Vec<String> = site.letter_ids().await.iter().map(i64::to_string).collect();
    let mirrored_ids: Vec<String> =
        copies.iter().map(|copy| header(copy, "sensorpipe.id").unwrap()).collect();
    assert_eq!(mirrored_ids, [ids.clone(), ids].concat());

    let of_offset = |offset: &str| {
        copies.iter().find(|copy| header(copy, "__connect.errors.offset").as_deref() == Some(offset)).unwrap()
    };
    let (broken, item, empty) = (of_offset("0"), of_offset("1"), of_offset("2"));
    assert_eq!((broken.key(), broken.payload()), (Some(b"k".as_slice()), Some(b"x".as_slice())));
    assert_eq!((item.payload(), empty.payload()), (Some(reading(77, 2).as_bytes()), None));
    for (copy, name, expected) in [
        (broken, "traceparent", Some("00-ab")),
        (broken, "__connect.errors.topic", Some(site.topic.name.as_str())),
        (broken, "__connect.errors.partition", Some("0")),
        (broken, "__connect.errors.exception.class.name", Some("malformed_json")),
        (broken, "sensorpipe.item", None),
        (item, "__connect.errors.exception.class.name", Some("unknown_sensor")),
        (item, "__connect.errors.exception.message", Some("there is no sensor 77")),
        (item, "sensorpipe.item", Some("1")),
        (empty, "__connect.errors.exception.class.name", Some("empty_record")),
    ] {
        assert_eq!(header(copy, name).as_deref(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_letter_too_large_for_the_mirror_holds_up_no_other() {
    let large = format!(r#"{{"sensor_id":77,"value":1,"note":"{}"}}"#, "x".repeat(3_000));
    let site =
        Site::with_records(1, vec![Record::new("x"), Record::new(large.clone()), Record::new("y")]).await;
    let mirror = TestTopic::name_only(1);
    let small = rdkafka::admin::NewTopic::new(&mirror.name, 1, rdkafka::admin::TopicReplication::Fixed(1))
        .set("max.message.bytes", "2000");
    mirror.admin().create_topics([&small], &rdkafka::admin::AdminOptions::new()).await.unwrap();
    let _worker = worker(&site.database, &site.topic)
        .env("DEAD_LETTER_TOPIC", &mirror.name)
        .env("KAFKA_CONFIG_compression_type", "none")
        .start();
    let unmirrored = "SELECT count(*) FROM dead_letters WHERE mirrored_at IS NULL";
    comes_to("not mirrored", PATIENCE, 0, async || site.database.number(unmirrored).await).await;
    let (_, high) = mirror.watermarks().await[0];
    let copies = records(&mirror, usize::try_from(high).unwrap()).await;
    let omitted = copies.iter().find_map(|copy| header(copy, "sensorpipe.payload_bytes_omitted"));
    assert_eq!(omitted, Some(large.len().to_string()));
    assert!(copies.iter().any(|copy| copy.payload() == Some(b"y".as_slice())));
}

#[tokio::test]
async fn a_topic_does_not_mirror_itself() {
    let site = Site::start().await;
    for role in ["worker", "migrate"] {
        let mut refused = testbed::Role::new(env!("CARGO_BIN_EXE_sensorpipe"), &[role])
            .database(&site.database)
            .topic(&site.topic)
            .env("DEAD_LETTER_TOPIC", &site.topic.name)
            .start();
        assert!(!refused.ended(PATIENCE).await.success());
        assert!(refused.stderr().contains("DEAD_LETTER_TOPIC is KAFKA_TOPIC"), "{}", refused.stderr());
    }
}
