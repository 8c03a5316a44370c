//! A consumer that is of no use any more.
#![expect(unsafe_code, reason = "rdkafka does not wrap librdkafka's way to test fatal errors")]

use rdkafka::bindings as native;

use super::*;

/// Polls a client that has failed for good until it says so.
fn assert_fatal(poll: impl Fn(&mut Consumer) -> Result<(), ConsumerError>) {
    let kafka = KafkaConfig {
        kafka_brokers: "127.0.0.1:1".to_owned(),
        kafka_topic: "nowhere".to_owned(),
        kafka_group: "none".to_owned(),
        kafka_sensors_topic: None,
    };
    let database = DatabaseId::parse("00000000-0000-4000-8000-000000000000").unwrap();
    let mut consumer = Consumer::join(&kafka, &KafkaSettings::default(), database, 0).unwrap();
    // SAFETY: the client is alive; librdkafka copies the text.
    unsafe {
        native::rd_kafka_test_fatal_error(
            consumer.client.client().native_ptr(),
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
            c"for a test".as_ptr(),
        );
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        if let Err(error) = poll(&mut consumer) {
            break error;
        }
        assert!(Instant::now() < deadline, "nobody says so");
        thread::park_timeout(Duration::from_millis(10));
    };
    assert!(matches!(error, ConsumerError::Fatal(_)), "{error:?}");
    consumer.leave(&[], Duration::from_secs(1));
}

#[test]
fn a_client_beyond_help_is_an_error_before_the_group_is_joined() {
    assert_fatal(|consumer| consumer.serve_log());
}

#[test]
fn a_client_beyond_help_is_an_error_in_the_group() {
    assert_fatal(|consumer| consumer.poll_group().map(drop));
}
