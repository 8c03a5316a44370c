//! Settings that are not safe, looked for while a role runs: said once, and shown for as long as they are.

use std::time::Duration;

use super::servers::Servers;
use crate::{
    config::{KafkaConfig, KafkaSettings},
    durability::{FoundSettings, SETTINGS, UnsafeSetting},
    kafka::{LogObserver, ObserveError},
    metrics::UNSAFE_SETTINGS,
    store,
};

/// Settings are changed by hand, and seldom.
const INTERVAL: Duration = Duration::from_secs(600);
/// The same while a server has not answered.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Looks again and again, for ever.
pub(super) async fn watch(servers: Servers, found: FoundSettings) {
    loop {
        let is_known = look(&servers, &found).await;
        tokio::time::sleep(if is_known { INTERVAL } else { RETRY_INTERVAL }).await;
    }
}

/// Whether both servers have answered.
async fn look(servers: &Servers, found: &FoundSettings) -> bool {
    let Servers { database, kafka, settings } = servers;
    let (of_topics, commit) = tokio::join!(unsafe_topics(kafka, settings), store::commit_settings(database));
    let (mut news, mut is_known) = (vec![], true);
    match of_topics {
        Ok(of_topics) => news.extend(found.note_kafka(of_topics)),
        Err(error) => {
            tracing::debug!(error = %error, "how Kafka keeps the topic is not known");
            is_known = false;
        }
    }
    match commit {
        Ok(commit) => news.extend(found.note_postgres(commit.unsafe_settings())),
        Err(error) => {
            tracing::debug!(error = %error, "how Postgres commits is not known");
            is_known = false;
        }
    }
    for setting in &news {
        report(setting);
    }
    let current = found.current();
    for name in SETTINGS {
        let is_unsafe = current.iter().any(|found| found.setting == name && !found.is_expected);
        metrics::gauge!(UNSAFE_SETTINGS, "setting" => name).set(f64::from(u8::from(is_unsafe)));
    }
    is_known
}

/// On one broker there can be one copy: whoever runs that on a laptop is told, and not alarmed.
fn report(found: &UnsafeSetting) {
    if found.is_expected {
        tracing::info!(setting = found.setting, "this setting is not safe: {found}");
    } else {
        tracing::warn!(setting = found.setting, "this setting is not safe: {found}");
    }
}

/// Asks both servers once; where one does not tell, it is said.
pub(super) async fn ask(servers: &Servers) -> Vec<UnsafeSetting> {
    let Servers { database, kafka, settings } = servers;
    let mut found = vec![];
    match unsafe_topics(kafka, settings).await {
        Ok(of_topics) => found.extend(of_topics),
        Err(error) => tracing::warn!(error = %error, "how Kafka keeps the topic is not shown"),
    }
    match store::commit_settings(database).await {
        Ok(commit) => found.extend(commit.unsafe_settings()),
        Err(error) => tracing::warn!(error = %error, "how Postgres commits is not shown"),
    }
    found
}

/// Of the topic of the readings, and of that of the sensors what the other has not.
async fn unsafe_topics(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
) -> Result<Vec<UnsafeSetting>, ObserveError> {
    let mut found = unsafe_topic(kafka, settings).await?;
    match unsafe_topic(&kafka.of_sensors(), settings).await {
        Ok(of_sensors) => {
            for one in of_sensors {
                if found.iter().all(|other| other.setting != one.setting) {
                    found.push(one);
                }
            }
        }
        Err(error) => {
            tracing::debug!(error = %error, "how Kafka keeps the topic of the sensors is not known");
        }
    }
    Ok(found)
}

async fn unsafe_topic(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
) -> Result<Vec<UnsafeSetting>, ObserveError> {
    let observer = LogObserver::new(kafka, settings);
    let copies = observer.copies().await;
    observer.rest().await;
    let of_topic = |one: UnsafeSetting| one.of_topic(&kafka.kafka_topic);
    Ok(copies?.unsafe_settings().into_iter().map(of_topic).collect())
}
