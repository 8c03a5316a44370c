//! Settings that every Kafka client of ours shares.

use rdkafka::{
    ClientConfig,
    client::ClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::KafkaError,
};

use crate::{
    config::{KafkaConfig, KafkaSettings, is_guarded, property},
    reminder::Reminder,
};

/// A producer's client cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka producer's settings are refused")]
pub struct InvalidSettings(#[source] pub KafkaError);

/// A client with the brokers and `ours`, and over them the operator's settings, whichever name they use.
///
/// Every client is created here, so that no error repeats the value of a setting.
pub fn create_client<T, C>(
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ours: &[(&str, &str)],
    context: C,
) -> Result<T, KafkaError>
where
    T: FromClientConfigAndContext<C>,
    C: ClientContext,
{
    merged(kafka, settings, ours).create_with_context(context).map_err(without_value)
}

/// Every setting once, under librdkafka's own name of it: of two names in a map, either could be set last.
fn merged(kafka: &KafkaConfig, settings: &KafkaSettings, ours: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in
        [("bootstrap.servers", kafka.kafka_brokers.as_str()), ("client.id", "sensorpipe")].iter().chain(ours)
    {
        config.set(property(name), *value);
    }
    for (name, value) in &settings.0 {
        let name = property(name);
        // A client that looks at the log, and stores nothing, may need another value than the consumers.
        if !(is_guarded(name) && config.get(name).is_some()) {
            config.set(name, value);
        }
    }
    config
}

/// What librdkafka has against a setting, without the value; to be read after the name of a variable.
pub fn setting_fault(property: &str, value: &str) -> Option<String> {
    let mut config = ClientConfig::new();
    config.set(property, value);
    match config.create_native_config().err()? {
        KafkaError::ClientConfig(_, description, ..) => Some(explanation(property, &description)),
        _ => Some("cannot be passed to librdkafka".to_owned()),
    }
}

/// librdkafka's description of what is wrong, in which its value may stand, in our words.
fn explanation(property: &str, description: &str) -> String {
    if description.starts_with("No such configuration property") {
        return format!("sets {property}, which is not a setting of librdkafka");
    }
    if let Some((low, high)) = description
        .split_once(" is outside allowed range ")
        .and_then(|(_, range)| range.trim().split_once(".."))
    {
        return format!("must be a number from {low} to {high}");
    }
    if description.contains("must be set through") || description.contains("not settable") {
        return "cannot be set from the environment".to_owned();
    }
    if let Some((_, reason)) = description.split_once(" not supported in this build: ") {
        return format!("cannot be set with this build of librdkafka: {reason}");
    }
    match description {
        _ if description.contains("true or false") => "must be true or false".to_owned(),
        // The names of Java's settings, and librdkafka's of the same.
        _ if description.starts_with("Java ") => format!("cannot be set: {description}"),
        _ => format!("has a value that librdkafka does not accept for {property}"),
    }
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
                tracing::warn!("Kafka cannot be used; the client is retrying: {message}");
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

    fn nowhere() -> KafkaConfig {
        KafkaConfig {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_topic: "nowhere".to_owned(),
            kafka_group: "none".to_owned(),
            kafka_sensors_topic: None,
        }
    }

    fn settings(settings: &[(&str, &str)]) -> KafkaSettings {
        KafkaSettings(
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn a_misspelt_setting_is_named_without_its_value() {
        let settings = settings(&[("sasl.pasword", "hush")]);
        let refused: Result<ThreadedProducer<DefaultProducerContext>, _> =
            create_client(&nowhere(), &settings, &[], DefaultProducerContext);
        let told = refused.err().unwrap().to_string();
        assert!(told.contains("sasl.pasword") && !told.contains("hush"), "{told}");
    }

    #[test]
    fn the_operators_value_wins_under_each_of_its_names() {
        let ours = [("compression.type", "lz4"), ("message.timeout.ms", "5000"), ("linger.ms", "5")];
        for theirs in [
            [
                ("compression.codec", "gzip"),
                ("delivery.timeout.ms", "44444"),
                ("queue.buffering.max.ms", "77"),
            ],
            [("compression.type", "gzip"), ("message.timeout.ms", "44444"), ("linger.ms", "77")],
            [("topic.compression.type", "gzip"), ("topic.delivery.timeout.ms", "44444"), ("linger.ms", "77")],
        ] {
            // A map has another order each time.
            for _ in 0..10 {
                let config = merged(&nowhere(), &settings(&theirs), &ours).create_native_config().unwrap();
                let read = |name| config.get(name).unwrap();
                assert_eq!(read("compression.codec"), "gzip", "{theirs:?}");
                assert_eq!(read("message.timeout.ms"), "44444", "{theirs:?}");
                assert_eq!(read("linger.ms").trim_end_matches(".0"), "77", "{theirs:?}");
                assert_eq!(read("metadata.broker.list"), "127.0.0.1:1");
            }
        }
    }

    #[test]
    fn ours_wins_where_the_guarantee_rests_on_it() {
        let theirs =
            settings(&[("isolation.level", "read_committed"), ("check.crcs", "true"), ("client.id", "x")]);
        let config = merged(&nowhere(), &theirs, &[("isolation.level", "read_uncommitted")]);
        let config = config.create_native_config().unwrap();
        assert_eq!(config.get("isolation.level").unwrap(), "read_uncommitted");
        assert_eq!(config.get("check.crcs").unwrap(), "true");
        assert_eq!(config.get("client.id").unwrap(), "x");
    }

    #[test]
    fn a_setting_that_librdkafka_refuses_is_explained_without_its_value() {
        for (property, value, explained) in [
            ("sasl.pasword", "hush", "sets sasl.pasword, which is not a setting of librdkafka"),
            ("", "hush", "sets , which is not a setting of librdkafka"),
            ("session.timeout.ms", "0", "must be a number from 1 to 3600000"),
            (
                "session.timeout.ms",
                "hush",
                "has a value that librdkafka does not accept for session.timeout.ms",
            ),
            ("session.timeout.ms", "", "has a value that librdkafka does not accept for session.timeout.ms"),
            ("queue.buffering.max.ms", "900001", "must be a number from 0 to 900000"),
            ("socket.keepalive.enable", "hush", "must be true or false"),
            (
                "security.protocol",
                "hush",
                "has a value that librdkafka does not accept for security.protocol",
            ),
            ("partitioner", "hush", "has a value that librdkafka does not accept for partitioner"),
            ("opaque", "hush", "cannot be set from the environment"),
        ] {
            assert_eq!(setting_fault(property, value).as_deref(), Some(explained), "{property}={value}");
        }
        let java = setting_fault("sasl.jaas.config", "hush").unwrap();
        assert!(java.starts_with("cannot be set: Java JAAS") && !java.contains("hush"), "{java}");
        assert_eq!(setting_fault("sasl.password", "hush"), None);
    }
}
