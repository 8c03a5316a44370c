//! Whether the consumer group is this database's: asked before a consumer joins it, after each rebalance, and now and
//! then. Of two databases with one group each would get a part of the readings, and neither would notice.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    config::{KafkaConfig, KafkaSettings},
    kafka::LogObserver,
    log::{DatabaseId, GroupClaim},
};

/// How often a member looks where nothing has changed: another database's may have joined in the same moment.
const INTERVAL: Duration = Duration::from_secs(30);

/// Looks at the group on behalf of all consumers of the process; clones share it.
#[derive(Clone, Debug)]
pub struct GroupWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    observer: LogObserver,
    /// Held while a look is under way.
    last: tokio::sync::Mutex<Option<Look>>,
    /// Databases of which it was said that their group is taken over.
    said: parking_lot::Mutex<BTreeSet<DatabaseId>>,
    /// It was said that Kafka does not let us look.
    has_said_denied: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    began: Instant,
    of: DatabaseId,
    claim: GroupClaim,
}

/// When a member looks.
#[derive(Debug)]
pub(super) struct GroupLooks {
    /// When the group changed, unless there was a look since.
    changed: Option<Instant>,
    is_under_way: bool,
    last: Instant,
}

impl GroupLooks {
    /// Of a consumer that looked before it joined.
    pub(super) fn new() -> Self {
        Self { changed: None, is_under_way: false, last: Instant::now() }
    }

    /// The group is shared out anew.
    pub(super) fn note_rebalance(&mut self) {
        self.changed = Some(Instant::now());
    }

    /// From when on a look counts, where one is due; it is under way then.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let is_due = self.changed.is_some() || now - self.last >= INTERVAL;
        if self.is_under_way || !is_due {
            return None;
        }
        (self.is_under_way, self.last) = (true, now);
        Some(self.changed.take().unwrap_or(now))
    }

    /// The look that was under way has come to an end.
    pub(super) fn note_end(&mut self) {
        self.is_under_way = false;
    }
}

impl GroupWatch {
    /// Of the group that is configured.
    pub fn new(kafka: &KafkaConfig, settings: &KafkaSettings) -> Self {
        Self(Arc::new(Shared {
            observer: LogObserver::new(kafka, settings),
            last: tokio::sync::Mutex::default(),
            said: parking_lot::Mutex::default(),
            has_said_denied: AtomicBool::new(false),
        }))
    }

    /// How this database stands to the group, by a look that began at `since` or later. What Kafka does not tell speaks
    /// against nobody.
    pub(super) async fn claim(&self, ours: DatabaseId, since: Instant) -> GroupClaim {
        let Shared { observer, last, .. } = &*self.0;
        let mut last = last.lock().await;
        if let Some(look) = last.filter(|look| look.of == ours && look.began >= since) {
            return look.claim;
        }
        let began = Instant::now();
        let claim = match observer.group_use().await {
            Ok(group) => group.claim(ours),
            Err(error) => {
                if error.is_missing_right() && !self.0.has_said_denied.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = %error,
                        "whether another database uses the consumer group cannot be told: grant Describe on the group"
                    );
                }
                tracing::debug!(error = %error, "whether another database uses the group is not known");
                GroupClaim::Own
            }
        };
        // Looks are rare: no connection is kept for them.
        observer.rest().await;
        *last = Some(Look { began, of: ours, claim });
        if let GroupClaim::TakenOver(other) = claim {
            self.note_taken_over(ours, other);
        }
        claim
    }

    fn note_taken_over(&self, ours: DatabaseId, other: DatabaseId) {
        if self.0.said.lock().insert(other) {
            tracing::warn!(
                kafka.group = self.0.observer.group(),
                %ours,
                %other,
                "the consumer group has offsets that another database committed, and none of its workers is a member: \
                 this database goes on with the group, from its own stored offsets"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_looks_after_each_rebalance_and_now_and_then() {
        let mut looks = GroupLooks::new();
        let start = looks.last;
        assert_eq!(looks.take_due(start), None);
        looks.note_rebalance();
        let changed = looks.changed;
        assert_eq!(looks.take_due(start), changed);
        looks.note_rebalance();
        assert_eq!(looks.take_due(start + INTERVAL), None, "one is under way");
        looks.note_end();
        assert!(looks.take_due(start).is_some(), "that came after the last look began");
        looks.note_end();
        assert_eq!(looks.take_due(start + INTERVAL), Some(start + INTERVAL));
    }
}
