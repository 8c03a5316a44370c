//! Which brokers a client can ask now.
//!
//! librdkafka (2.12.1) sends an admin request, such as one about a topic, by way of one certain broker. While that one
//! refuses connections it tries again at once and for as long as the request waits, a thousand times a second, whatever
//! `reconnect.backoff.ms` says: nothing is asked of a client that has no connection.

use std::time::Duration;

use rdkafka::{
    client::{Client, ClientContext},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

/// How long a look may hold its thread up. What a broker answers after it is thrown away.
const LOOK: Duration = Duration::from_millis(1);

/// A client has no connection to any broker, and is beginning one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotConnected;

/// Whether the client has a connection to any broker now; where it has none, librdkafka begins one.
pub(super) fn is_connected<C: ClientContext>(client: &Client<C>, topic: &str) -> bool {
    // Any other error is a broker's, or that it takes longer.
    !client.fetch_metadata(Some(topic), LOOK).is_err_and(|error| is_not_connected(&error))
}

/// A broker that answers now; blocks for `timeout` at most. None where one is connected and does not say which it is.
///
/// librdkafka sends a question about a topic to the controller, and waits while there is none or it does not answer.
/// Any broker knows the topic.
pub(super) fn answering_broker<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<i32>, NotConnected> {
    match client.fetch_metadata(Some(topic), timeout) {
        Ok(metadata) => Ok(Some(metadata.orig_broker_id())),
        Err(error) if is_not_connected(&error) => Err(NotConnected),
        // The question itself shows what is wrong.
        Err(_) => Ok(None),
    }
}

fn is_not_connected(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::BrokerTransportFailure)
}
