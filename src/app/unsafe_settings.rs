//! Settings that are not safe, looked for while a role runs: said once, and shown for as long as they are.

use std::time::Duration;

use super::servers::Servers;
use crate::{
    durability::{FoundSettings, SETTINGS, UnsafeSetting},
    kafka::LogObserver,
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
    let observer = LogObserver::new(kafka, settings);
    let (copies, commit) = tokio::join!(observer.copies(), store::commit_settings(database));
    observer.rest().await;
    let (mut news, mut is_known) = (vec![], true);
    match copies {
        Ok(copies) => news.extend(found.note_kafka(copies.unsafe_settings())),
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
        let is_unsafe = current.iter().any(|found| found.setting == name);
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
    let observer = LogObserver::new(kafka, settings);
    let mut found = vec![];
    match observer.copies().await {
        Ok(copies) => found.extend(copies.unsafe_settings()),
        Err(error) => tracing::warn!(error = %error, "how Kafka keeps the topic is not shown"),
    }
    match store::commit_settings(database).await {
        Ok(commit) => found.extend(commit.unsafe_settings()),
        Err(error) => tracing::warn!(error = %error, "how Postgres commits is not shown"),
    }
    observer.rest().await;
    found
}
