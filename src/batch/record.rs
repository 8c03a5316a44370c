//! A record as it comes from the log.

use crate::{log::RecordIdentity, reading::Timestamp};

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
    /// The epoch of the leader that appended it; none where the broker does not say.
    pub leader_epoch: Option<i32>,
    /// Key, the sensor's id by contract.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub payload: Option<&'a [u8]>,
    /// Headers in their order.
    pub headers: Vec<Header>,
}

impl Record<'_> {
    /// Which record it is.
    pub fn identity(&self) -> RecordIdentity {
        RecordIdentity::new(self.offset, self.leader_epoch, self.key, self.payload, self.timestamp)
    }
}
