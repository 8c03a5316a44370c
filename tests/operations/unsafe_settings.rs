//! Settings of Kafka and Postgres by which what was acknowledged may be lost are said, wherever somebody looks.

use serde_json::{Value, json};
use testbed::{TestDatabase, TestTopic, comes_to, eventually, free_address};

use crate::{PATIENCE, role, scrape, worker};

const SAID: &str = "this setting is not safe: ";

#[tokio::test]
async fn settings_that_are_not_safe_are_said_once_and_shown() {
    let (database, topic) = tokio::join!(TestDatabase::create(), TestTopic::create(1));
    database.execute(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name())).await;
    let address = free_address().to_string();
    let worker = worker(&database, &topic, "1", &address).start();
    scrape::is_ready(&address).await;
    let is_unsafe = async |setting: &str| {
        let series = format!("sensorpipe_unsafe_settings{{setting=\"{setting}\"}}");
        scrape::value(&scrape::metrics(&address).await, &series)
    };
    comes_to("the database's", PATIENCE, Some(1.0), async || is_unsafe("synchronous_commit").await).await;
    // The services of the tests have one broker.
    assert_eq!(is_unsafe("replication.factor").await, Some(0.0), "it cannot be otherwise");
    assert_eq!(is_unsafe("min.insync.replicas").await, Some(0.0), "one copy has no other");
    assert_eq!(is_unsafe("fsync").await, Some(0.0));
    let log = worker.stderr();
    let said = |level: &str, what: &str| {
        let is_it = |line: &&str| line.contains(level) && line.contains(&format!("{SAID}{what}"));
        log.lines().filter(is_it).count()
    };
    assert_eq!(said("WARN", "synchronous_commit is off"), 1, "{log}");
    assert_eq!(said("INFO", "replication.factor is 1"), 1, "{log}");
    assert_eq!(log.matches(SAID).count(), 2, "{log}");

    let mut list = role(&["offsets", "list"]).database(&database).topic(&topic).start();
    assert!(list.ended(PATIENCE).await.success(), "{}", list.stderr());
    let list = list.stdout();
    assert!(list.contains("this setting is not safe: synchronous_commit is off: "), "{list}");
    assert!(list.contains("set synchronous_commit=on"), "{list}");

    let http = free_address().to_string();
    let _api = role(&["api"]).database(&database).topic(&topic).env("HTTP_ADDR", &http).start();
    scrape::is_ready(&http).await;
    let mut shown = Value::Null;
    eventually(PATIENCE, async || {
        let Some((_, overview)) = scrape::get(&http, "/overview").await else { return false };
        shown = serde_json::from_str::<Value>(&overview).expect("it is JSON")["unsafe_settings"].take();
        shown.as_array().is_some_and(|shown| shown.len() == 2)
    })
    .await;
    let settings: Vec<_> =
        shown.as_array().unwrap().iter().map(|one| (&one["setting"], &one["value"])).collect();
    let [replication, commit] = [("replication.factor", "1"), ("synchronous_commit", "off")];
    assert_eq!(
        settings,
        [(&json!(replication.0), &json!(replication.1)), (&json!(commit.0), &json!(commit.1))]
    );
}
