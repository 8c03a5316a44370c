//! Names of librdkafka's settings: from a variable, and from an alias.

/// Aliases and the names that they stand for. A test in `src/kafka` compares the list with librdkafka's own.
pub(crate) const ALIASES: [(&str, &str); 11] = [
    ("acks", "request.required.acks"),
    ("bootstrap.servers", "metadata.broker.list"),
    ("compression.type", "compression.codec"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("retries", "message.send.max.retries"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
];

/// librdkafka drops this prefix of a setting of a topic: `topic.acks` is `acks`.
const TOPIC_PREFIX: &str = "topic.";

/// The setting that a variable stands for, of which `name` comes after the prefix: underscores stand for dots.
pub(super) fn of_variable(name: &str) -> String {
    property(&name.to_ascii_lowercase().replace('_', ".")).to_owned()
}

/// librdkafka's own name of a setting, for any of its names.
pub fn property(name: &str) -> &str {
    // Those are settings of a client, and this is their whole name.
    let is_whole = name.starts_with("topic.metadata.") || name == "topic.blacklist";
    let name = if is_whole { name } else { name.strip_prefix(TOPIC_PREFIX).unwrap_or(name) };
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, property)| property)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_stands_for_one_setting() {
        for (name, property) in [
            ("SASL_PASSWORD", "sasl.password"),
            ("acks", "request.required.acks"),
            ("topic_acks", "request.required.acks"),
            ("topic_request_required_acks", "request.required.acks"),
            ("topic_auto_offset_reset", "auto.offset.reset"),
            ("topic_metadata_refresh_interval_ms", "topic.metadata.refresh.interval.ms"),
            ("topic_blacklist", "topic.blacklist"),
            ("topic_topic_acks", "topic.acks"),
            ("", ""),
        ] {
            assert_eq!(of_variable(name), property, "{name}");
        }
    }
}
