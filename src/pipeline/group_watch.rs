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
    kafka::{LogObserver, ObserveError},
    log::{DatabaseId, GroupClaim, GroupUse},
};

/// How often a member looks where nothing has changed: another database's may have joined in the same moment.
const INTERVAL: Duration = Duration::from_secs(10);
/// The same while it is not known whether another database's workers run.
const SHORT_INTERVAL: Duration = Duration::from_secs(3);

/// Looks at the group on behalf of all consumers of the process; clones share it.
#[derive(Clone, Debug)]
pub struct GroupWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    observer: LogObserver,
    started: Instant,
    /// Held while a look is under way.
    seen: tokio::sync::Mutex<Seen>,
    /// Databases of which it was said that their group is taken over.
    said: parking_lot::Mutex<BTreeSet<DatabaseId>>,
    /// It was said that Kafka does not let us look.
    has_said_denied: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    used: GroupUse,
    /// When the last look began, and whether it was answered.
    looked: Option<Instant>,
    is_answered: bool,
    /// What the last look that was answered came to.
    claim: Option<(DatabaseId, GroupClaim)>,
}

/// When a member looks.
#[derive(Debug)]
pub(super) struct GroupLooks {
    /// When the group changed, unless there was a look since.
    changed: Option<Instant>,
    is_under_way: bool,
    last: Instant,
    interval: Duration,
}

impl GroupLooks {
    /// Of a consumer that looked before it joined.
    pub(super) fn new() -> Self {
        Self { changed: None, is_under_way: false, last: Instant::now(), interval: INTERVAL }
    }

    /// The group is shared out anew.
    pub(super) fn note_rebalance(&mut self) {
        self.changed = Some(Instant::now());
    }

    /// From when on a look counts, where one is due; it is under way then.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let is_due = self.changed.is_some() || now - self.last >= self.interval;
        if self.is_under_way || !is_due {
            return None;
        }
        (self.is_under_way, self.last) = (true, now);
        // One of another consumer's will do, unless the group has changed since.
        Some(self.changed.take().or(now.checked_sub(SHORT_INTERVAL)).unwrap_or(now))
    }

    /// The look that was under way has come to this.
    pub(super) fn note_end(&mut self, claim: GroupClaim) {
        self.is_under_way = false;
        self.interval = match claim {
            GroupClaim::Unknown(_) => SHORT_INTERVAL,
            GroupClaim::Own | GroupClaim::TakenOver(_) | GroupClaim::Refused(_) => INTERVAL,
        };
    }
}

impl GroupWatch {
    /// Of the group that is configured.
    pub fn new(kafka: &KafkaConfig, settings: &KafkaSettings) -> Self {
        Self(Arc::new(Shared {
            observer: LogObserver::new(kafka, settings),
            started: Instant::now(),
            seen: tokio::sync::Mutex::default(),
            said: parking_lot::Mutex::default(),
            has_said_denied: AtomicBool::new(false),
        }))
    }

    /// How this database stands to the group, by a look that began at `since` or later. What Kafka does not tell speaks
    /// against nobody, and for nobody who was refused.
    ///
    /// Only what is committed is asked for: librdkafka (up to 2.16) ends the process where a coordinator goes away while it is
    /// asked for the group's members (confluentinc/librdkafka#4605), which is when most looks are.
    pub(super) async fn claim(&self, ours: DatabaseId, since: Instant) -> GroupClaim {
        let mut seen = self.0.seen.lock().await;
        if seen.looked.is_none_or(|looked| looked < since) {
            seen.looked = Some(Instant::now());
            let committed = self.0.observer.committers().await;
            seen.is_answered = committed.is_ok();
            match committed {
                Ok(committed) => seen.used.see(self.0.started.elapsed(), committed),
                Err(error) => {
                    self.note_unanswered(&error);
                    // Whoever runs could commit as little as this one could ask.
                    seen.used = GroupUse::default();
                }
            }
        }
        if !seen.is_answered {
            let before = seen.claim.filter(|(of, _)| *of == ours);
            return before.map_or(GroupClaim::Own, |(_, claim)| claim);
        }
        let claim = seen.used.claim(ours, self.0.started.elapsed());
        seen.claim = Some((ours, claim));
        drop(seen);
        if let GroupClaim::TakenOver(other) = claim {
            self.note_taken_over(ours, other);
        }
        claim
    }

    /// Whether the group is this database's as far as was known a moment ago: what is kept in its name may be written.
    pub async fn is_of(&self, ours: DatabaseId) -> bool {
        let now = Instant::now();
        let claim = self.claim(ours, now.checked_sub(INTERVAL).unwrap_or(now)).await;
        matches!(claim, GroupClaim::Own | GroupClaim::TakenOver(_))
    }

    fn note_unanswered(&self, error: &ObserveError) {
        if error.is_missing_right() && !self.0.has_said_denied.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = %error,
                "whether another database uses the consumer group cannot be told: grant Describe on the group"
            );
        } else {
            tracing::debug!(error = %error, "whether another database uses the group is not known");
        }
    }

    fn note_taken_over(&self, ours: DatabaseId, other: DatabaseId) {
        if self.0.said.lock().insert(other) {
            tracing::warn!(
                kafka.group = self.0.observer.group(),
                %ours,
                %other,
                "the consumer group has offsets that another database committed, and none of its workers runs: \
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
        looks.note_end(GroupClaim::Own);
        assert!(looks.take_due(start).is_some(), "that came after the last look began");
        looks.note_end(GroupClaim::Own);
        assert_eq!(looks.take_due(start + SHORT_INTERVAL), None);
        assert!(looks.take_due(start + INTERVAL).is_some());
        let other = DatabaseId::parse("00000000-0000-4000-8000-000000000000").unwrap();
        looks.note_end(GroupClaim::Unknown(other));
        assert!(looks.take_due(start + INTERVAL + SHORT_INTERVAL).is_some());
    }
}
