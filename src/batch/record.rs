//! A record as it comes from the log.

use crate::reading::Timestamp;

/// Name and value of a header; its bytes are whatever a producer sent.
pub type Header = (String, Option<Vec<u8>>);

/// A record of the topic, its bytes borrowed from the client.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Partition that it stands in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// When it was made or appended, as the topic is configured; none where the log has -1 for it.
    pub timestamp: Option<Timestamp>,
    /// Key, the sensor's id by contract.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub payload: Option<&'a [u8]>,
    /// Headers in their order.
    pub headers: Vec<Header>,
}
