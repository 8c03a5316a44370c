//! Who waits until queries show a record, and the one task that finds out for all of them.
//!
//! While somebody waits, the stored offsets are read every few milliseconds: one small query, however many wait.
//! A reading and the offset past it commit together, so the offset says that the reading is there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    kafka::producer::{Producer, PublishError, Receipt},
    log::Log,
    store::{Pool, StoreError, receipts},
};

/// How often the stored offsets are read while somebody waits; what an answer may come too late by.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// The same after a failure.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Those who wait; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Visibility(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Somebody waits now.
    somebody: Notify,
}

/// By partition those who wait, in the order in which they are served; the number tells apart who waits for the same.
#[derive(Debug, Default)]
struct Waiting {
    partitions: HashMap<i32, BTreeMap<(i64, u64), oneshot::Sender<()>>>,
    last_number: u64,
}

/// A place in the queue, given up when the value is dropped.
struct Place<'v> {
    visibility: &'v Visibility,
    partition: i32,
    key: (i64, u64),
    is_stored: oneshot::Receiver<()>,
}

impl Visibility {
    /// Waits until all records are stored; whether they are by `until`.
    pub(super) async fn stored_within(&self, receipts: &[Receipt], until: Instant) -> bool {
        let mut places: Vec<Place<'_>> = receipts.iter().map(|receipt| self.queue(*receipt)).collect();
        let all = async {
            for place in &mut places {
                if (&mut place.is_stored).await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout_at(until, all).await.unwrap_or(false)
    }

    fn queue(&self, receipt: Receipt) -> Place<'_> {
        let (tell, is_stored) = oneshot::channel();
        let mut waiting = self.0.waiting.lock();
        waiting.last_number += 1;
        let key = (receipt.offset, waiting.last_number);
        waiting.partitions.entry(receipt.partition).or_default().insert(key, tell);
        drop(waiting);
        self.0.somebody.notify_one();
        Place { visibility: self, partition: receipt.partition, key, is_stored }
    }

    /// Wakes those whose records lie before a partition's stored offset, and nobody else.
    fn reached(&self, partition: i32, next_offset: i64) {
        let mut waiting = self.0.waiting.lock();
        let Some(queue) = waiting.partitions.get_mut(&partition) else { return };
        let later = queue.split_off(&(next_offset, 0));
        for (_, tell) in std::mem::replace(queue, later) {
            // Who has gone meanwhile needs no answer.
            let _ = tell.send(());
        }
        if queue.is_empty() {
            waiting.partitions.remove(&partition);
        }
    }

    /// Reads the stored offsets while somebody waits, until `stop`; those who still wait then are told no.
    pub(in crate::http) async fn watch(self, pool: Pool, producer: Producer, stop: CancellationToken) {
        let watching = async {
            loop {
                if self.0.waiting.lock().partitions.is_empty() {
                    self.0.somebody.notified().await;
                    continue;
                }
                let pause = match self.poll_stored_offsets(&pool, &producer).await {
                    Ok(()) => POLL_INTERVAL,
                    Err(reason) => {
                        tracing::debug!("the stored offsets cannot be checked: {reason}");
                        RETRY_INTERVAL
                    }
                };
                sleep(pause).await;
            }
        };
        tokio::select! {
            () = watching => {}
            () = stop.cancelled() => self.0.waiting.lock().partitions.clear(),
        }
    }

    async fn poll_stored_offsets(&self, pool: &Pool, producer: &Producer) -> Result<(), CheckError> {
        let log = log(producer).await?;
        for progress in receipts::progress(pool, log).await? {
            self.reached(progress.partition, progress.next_offset);
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{0}")]
    Kafka(#[from] PublishError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Which log the receipts are of.
pub(in crate::http) async fn log(producer: &Producer) -> Result<Log, PublishError> {
    let identity = producer.live_topic().await?.identity.clone();
    Ok(Log::new(producer.topic(), identity))
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.visibility.0.waiting.lock();
        if let Some(queue) = waiting.partitions.get_mut(&self.partition) {
            queue.remove(&self.key);
            if queue.is_empty() {
                waiting.partitions.remove(&self.partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(partition: i32, offset: i64) -> Receipt {
        Receipt { partition, offset }
    }

    #[tokio::test]
    async fn only_those_who_are_served_are_woken() {
        let visibility = Visibility::default();
        let soon = Instant::now() + Duration::from_millis(300);
        let waits = |receipts: Vec<Receipt>| {
            let visibility = visibility.clone();
            tokio::spawn(async move { visibility.stored_within(&receipts, soon).await })
        };
        let first = waits(vec![at(0, 4)]);
        let same = waits(vec![at(0, 4)]);
        let later = waits(vec![at(0, 5)]);
        let both = waits(vec![at(0, 3), at(1, 9)]);
        tokio::task::yield_now().await;
        visibility.reached(0, 5);
        assert!(first.await.unwrap() && same.await.unwrap());
        visibility.reached(1, 10);
        assert!(both.await.unwrap());
        assert!(!later.is_finished());
        assert!(!later.await.unwrap(), "its time is up");
        assert!(visibility.0.waiting.lock().partitions.is_empty(), "nobody is left behind");
    }

    #[tokio::test]
    async fn who_goes_away_leaves_nothing_behind() {
        let visibility = Visibility::default();
        let places: Vec<_> = (0..10).map(|offset| visibility.queue(at(0, offset))).collect();
        assert_eq!(visibility.0.waiting.lock().partitions[&0].len(), 10);
        drop(places);
        assert!(visibility.0.waiting.lock().partitions.is_empty());
    }

    #[tokio::test]
    async fn nothing_to_wait_for_is_stored() {
        assert!(Visibility::default().stored_within(&[], Instant::now()).await);
    }
}
