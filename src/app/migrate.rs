//! The `migrate` role.

use super::{servers::Servers, shared_settings::SharedSettings};
use crate::{
    config::{ForwardingConfig, SchemaConfig, TopicConfig},
    kafka::{Topic, ensure_sensors_topic, ensure_topic},
    store::{self, Compression, Migrated},
};

/// Brings the schema up to date, stores the shared settings that it is given, then makes the topic where it is missing,
/// and the one that dead letters are copied to.
pub(super) async fn run(
    servers: &Servers,
    topic: &TopicConfig,
    schema: &SchemaConfig,
    shared: &SharedSettings,
    forwarding: &ForwardingConfig,
) -> anyhow::Result<()> {
    let Servers { database, kafka, settings } = servers;
    let forwarding = forwarding.kafka(kafka)?;
    let migrated = store::migrate_with(database, schema, shared.given()).await?;
    say_migrated(&migrated);
    shared.store_missing(database).await?;
    if let Some(after) = schema.compress_after {
        say_compression(store::compress_after(database, after).await?);
    }
    let found = ensure_topic(kafka, settings, topic).await?;
    say_topic(&kafka.kafka_topic, &found, topic);
    let of_sensors = ensure_sensors_topic(kafka, settings, topic).await?;
    say_topic(
        &kafka.of_sensors().kafka_topic,
        &of_sensors,
        &TopicConfig { kafka_partitions: 1, ..topic.clone() },
    );
    if let Some(forwarding) = forwarding {
        let found = ensure_topic(&forwarding, settings, topic).await?;
        say_topic(&forwarding.kafka_topic, &found, topic);
    }
    Ok(())
}

fn say_migrated(migrated: &Migrated) {
    for name in &migrated.applied {
        tracing::info!(migration = name, "migration applied");
    }
    for index in &migrated.dropped_indexes {
        tracing::info!(index, "index on time dropped");
    }
    match (migrated.applied.is_empty(), migrated.adopted, migrated.is_newer) {
        (_, true, _) => tracing::info!("schema: existing tables adopted"),
        (false, false, _) => tracing::info!("schema: up to date"),
        (true, false, false) => tracing::info!("schema: already up to date"),
        (true, false, true) => tracing::info!("schema: already there, made by a newer sensorpipe"),
    }
}

fn say_compression(compression: Compression) {
    match compression {
        Compression::Scheduled => tracing::info!("compression: scheduled"),
        Compression::NotInThisEdition => {
            tracing::warn!(
                "compression: this edition of TimescaleDB has none, so COMPRESS_AFTER does nothing"
            );
        }
    }
}

fn say_topic(name: &str, found: &Topic, wanted: &TopicConfig) {
    let Topic { identity, partitions, is_new } = found;
    let (topic_id, cluster_id) = (&identity.topic_id, &identity.cluster_id);
    if *is_new {
        tracing::info!(kafka.topic = name, topic_id, cluster_id, partitions, "topic: created");
    } else {
        tracing::info!(kafka.topic = name, topic_id, cluster_id, partitions, "topic: already there");
        if i32::try_from(*partitions) != Ok(wanted.kafka_partitions) {
            tracing::info!(
                kafka.topic = name,
                partitions,
                wanted = wanted.kafka_partitions,
                "topic: its number of partitions is not KAFKA_PARTITIONS and is left as it is"
            );
        }
    }
}
