//! Settings that every Kafka client of ours shares.

use rdkafka::ClientConfig;

use crate::config::{KafkaConfig, KafkaSettings};

/// A client configuration with the brokers and `ours`, and over them what the operator passes through.
pub(super) fn client_config(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ours: &[(&str, &str)],
) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.kafka_brokers).set("client.id", "sensorpipe");
    for (name, value) in ours {
        config.set(*name, *value);
    }
    for (name, value) in &settings.0 {
        config.set(name, value);
    }
    config
}
