//! Settings that every Kafka client of ours shares.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};

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

/// What librdkafka says of a setting, without its value: under a misspelt name it may be a password.
pub(super) fn without_value(error: KafkaError) -> KafkaError {
    match error {
        KafkaError::ClientConfig(result, description, name, _) => {
            KafkaError::ClientConfig(result, description, name, "***".to_owned())
        }
        error => error,
    }
}

/// When a refusal was told last; by one client, it is told for all of the process.
static REFUSALS: Reminder = Reminder(Mutex::new(None));

/// Something that is said at once, and then again now and then.
struct Reminder(Mutex<Option<Instant>>);

impl Reminder {
    fn is_due(&self) -> bool {
        const INTERVAL: Duration = Duration::from_secs(30);
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = said.is_none_or(|at| at.elapsed() >= INTERVAL);
        if is_due {
            *said = Some(Instant::now());
        }
        is_due
    }
}

/// Whether a broker answers and will not have us, or is not the one that it should be: nothing that mends itself.
fn is_refusal(message: &str) -> bool {
    ["SASL", "SSL handshake failed", "certificate"].iter().any(|word| message.contains(word))
        && !message.contains("Disconnected")
}

/// librdkafka's own log lines: what it mends by itself is no error here.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!("librdkafka: {facility}: {message}");
        }
        _ if facility == "FAIL" && is_refusal(message) => {
            if REFUSALS.is_due() {
                tracing::warn!("Kafka cannot be used, and the client tries on: {message}");
            }
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

#[cfg(test)]
mod tests {
    use rdkafka::producer::{DefaultProducerContext, ThreadedProducer};

    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_broker_that_is_away() {
        for (message, is) in [
            ("SASL authentication error: Authentication failed (after 5ms in state AUTH_REQ)", true),
            ("SSL handshake failed: certificate verify failed", true),
            ("Connect to ipv4#127.0.0.1:9094 failed: Connection refused", false),
            ("Disconnected (after 12ms in state UP)", false),
        ] {
            assert_eq!(is_refusal(message), is, "{message}");
        }
        let reminder = Reminder(Mutex::new(None));
        assert!(reminder.is_due() && !reminder.is_due());
    }

    #[test]
    fn a_misspelt_setting_is_named_without_its_value() {
        let refused: Result<ThreadedProducer<DefaultProducerContext>, _> =
            ClientConfig::new().set("sasl.pasword", "hush").create();
        let told = without_value(refused.err().unwrap()).to_string();
        assert!(told.contains("sasl.pasword") && !told.contains("hush"), "{told}");
    }
}
