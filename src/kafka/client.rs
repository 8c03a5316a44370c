//! Settings that every Kafka client of ours shares.

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

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

/// librdkafka's own log lines: what it mends by itself is no error here.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!("librdkafka: {facility}: {message}");
        }
        // One broker's connection, over and over while it is away; offsets refused, which their callback hears of.
        _ if matches!(facility, "FAIL" | "COMMITFAIL") => {
            tracing::debug!("librdkafka: {facility}: {message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!("librdkafka: {facility}: {message}");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!("librdkafka: {facility}: {message}");
        }
    }
}
