//! Settings that every Kafka client of ours shares.

use rdkafka::{
    ClientConfig,
    client::ClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::KafkaError,
};

use crate::{
    config::{KafkaConfig, KafkaSettings},
    reminder::Reminder,
};

/// A client with the brokers and `ours`, and over them what the operator passes through.
///
/// Every one is made here, so that no error repeats the value of a setting.
pub(super) fn create_client<T, C>(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ours: &[(&str, &str)],
    context: C,
) -> Result<T, KafkaError>
where
    T: FromClientConfigAndContext<C>,
    C: ClientContext,
{
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &kafka.kafka_brokers).set("client.id", "sensorpipe");
    for (name, value) in ours {
        config.set(*name, *value);
    }
    for (name, value) in &settings.0 {
        config.set(name, value);
    }
    config.create_with_context(context).map_err(without_value)
}

/// What librdkafka says of a setting, without its value: under a misspelt name it may be a password.
fn without_value(error: KafkaError) -> KafkaError {
    match error {
        KafkaError::ClientConfig(result, description, name, _) => {
            KafkaError::ClientConfig(result, description, name, "***".to_owned())
        }
        error => error,
    }
}

/// When a refusal was told last; by one client, it is told for all of the process.
static REFUSALS: Reminder = Reminder::new();

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
    }

    #[test]
    fn a_misspelt_setting_is_named_without_its_value() {
        let kafka = KafkaConfig {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_topic: "nowhere".to_owned(),
            kafka_group: "none".to_owned(),
        };
        let settings = KafkaSettings([("sasl.pasword".to_owned(), "hush".to_owned())].into());
        let refused: Result<ThreadedProducer<DefaultProducerContext>, _> =
            create_client(&kafka, &settings, &[], DefaultProducerContext);
        let told = refused.err().unwrap().to_string();
        assert!(told.contains("sasl.pasword") && !told.contains("hush"), "{told}");
    }
}
