//! Everything that speaks to Kafka; the only place that names `rdkafka`.

mod client;
