//! What the producer knows of its topic while it runs: which one it is, its partitions, and how far they reach.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use rdkafka::client::{Client, ClientContext};
use tokio::sync::Mutex;

use super::topic::{TopicError, look_up};
use crate::log::TopicIdentity;

/// The topic as the brokers described it last.
#[derive(Debug)]
pub struct LiveTopic {
    /// Which one it is.
    pub identity: TopicIdentity,
    /// How many partitions it has.
    pub partitions: i32,
    /// For each partition an offset that its log is known to reach; it only grows.
    ends: Vec<AtomicI64>,
    /// One question about an end at a time, however many would like to know.
    asking: Mutex<()>,
}

impl LiveTopic {
    /// Asks the brokers; blocks, for `timeout` at most per question.
    pub(super) fn ask<C: ClientContext>(
        client: &Client<C>,
        topic: &str,
        timeout: Duration,
    ) -> Result<Self, TopicError> {
        let found = look_up(client, topic, timeout)?;
        Ok(Self {
            identity: found.identity,
            partitions: i32::try_from(found.partitions).unwrap_or(i32::MAX),
            ends: (0..found.partitions).map(|_| AtomicI64::new(0)).collect(),
            asking: Mutex::default(),
        })
    }

    /// Whether this is the same topic, as large as it was.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.identity == other.identity && self.partitions == other.partitions
    }

    /// Whether a partition's log reaches past an offset; `ask_end` is called where that is not known.
    pub(super) async fn reaches<E>(
        &self,
        partition: i32,
        offset: i64,
        ask_end: impl AsyncFnOnce() -> Result<i64, E>,
    ) -> Result<bool, E> {
        let end = usize::try_from(partition).ok().and_then(|partition| self.ends.get(partition));
        let Some(end) = end else { return Ok(false) };
        let is_known = || offset < end.load(Ordering::Relaxed);
        if is_known() {
            return Ok(true);
        }
        let _asking = self.asking.lock().await;
        if !is_known() {
            end.fetch_max(ask_end().await?, Ordering::Relaxed);
        }
        Ok(is_known())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_that_is_known_is_not_asked_for() {
        let identity = TopicIdentity { cluster_id: "c".to_owned(), topic_id: "t".to_owned() };
        let topic =
            LiveTopic { identity, partitions: 1, ends: vec![AtomicI64::new(0)], asking: Mutex::default() };
        assert_eq!(topic.reaches(1, 0, async || Err("asked")).await, Ok(false), "no such partition");
        assert_eq!(topic.reaches(0, 5, async || Ok::<_, ()>(5)).await, Ok(false));
        assert_eq!(topic.reaches(0, 4, async || Err("asked")).await, Ok(true));
        assert_eq!(topic.reaches(0, 5, async || Err("asked")).await, Err("asked"));
    }
}
