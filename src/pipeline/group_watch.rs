//! Whether the consumer group is this database's: asked before a consumer joins it, after each rebalance, and now and
//! then. Of two databases with one group each would get a part of the readings, and neither would notice.

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;

use super::{
    member::{Member, MemberError, Reply, send},
    session::Session,
};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    kafka::LogObserver,
    log::{DatabaseId, GroupClaim},
    metrics::GAPS,
    panics,
    protocol::Event,
    reminder::Reminder,
};

/// How often a member looks where nothing has changed: another database's may have joined in the same moment.
const INTERVAL: Duration = Duration::from_secs(30);
/// A look of another consumer that began no longer ago counts before joining: they start together.
const SHARED_FOR: Duration = Duration::from_secs(1);

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
    unknown: Reminder,
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
    fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let is_due = self.changed.is_some() || now - self.last >= INTERVAL;
        if self.is_under_way || !is_due {
            return None;
        }
        (self.is_under_way, self.last) = (true, now);
        Some(self.changed.take().unwrap_or(now))
    }
}

impl GroupWatch {
    /// Of the group that is configured.
    pub fn new(kafka: &KafkaConfig, settings: &KafkaSettings) -> Self {
        Self(Arc::new(Shared {
            observer: LogObserver::new(kafka, settings),
            last: tokio::sync::Mutex::default(),
            said: parking_lot::Mutex::default(),
            unknown: Reminder::new(),
        }))
    }

    /// How this database stands to the group, by a look that began at `since` or later. What Kafka does not tell speaks
    /// against nobody.
    async fn claim(&self, ours: DatabaseId, since: Instant) -> GroupClaim {
        let Shared { observer, last, .. } = &*self.0;
        let mut last = last.lock().await;
        if let Some(look) = last.filter(|look| look.of == ours && look.began >= since) {
            return look.claim;
        }
        let began = Instant::now();
        let claim = match observer.group_use().await {
            Ok(group) => group.claim(ours),
            Err(error) => {
                if error.is_missing_right() && self.0.unknown.is_due() {
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

impl Member {
    /// How this database stands to the group; none where the process stops before that is known.
    pub(super) fn look_at_group(&self, ours: DatabaseId) -> Option<GroupClaim> {
        self.pulse.beat();
        let now = Instant::now();
        let since = now.checked_sub(SHARED_FOR).unwrap_or(now);
        let look = self.config.group_watch.claim(ours, since);
        self.runtime.block_on(self.stop.run_until_cancelled(look))
    }

    /// Says that the group belongs to another database, whose workers are members.
    pub(super) fn note_taken_group(&self, ours: DatabaseId, theirs: DatabaseId) {
        let group = &self.config.kafka.kafka_group;
        let reason = format!(
            "another database ({theirs}) commits to consumer group {group}; this one is {ours}: set another KAFKA_GROUP, or \
             point DATABASE_URL at that database"
        );
        if self.config.absences.add(self.index, reason.clone()) {
            metrics::counter!(GAPS, "gap" => "other_database").increment(1);
            tracing::error!(
                kafka.group = group,
                %ours,
                %theirs,
                gap = "other_database",
                "out of the group until the other database's workers have left it: {reason}"
            );
        }
    }
}

impl Session<'_> {
    /// Looks at the group where that is due; never waits.
    pub(super) fn watch_group(&mut self) {
        let Some(since) = self.group_looks.take_due(Instant::now()) else { return };
        let (watch, ours) = (self.member.config.group_watch.clone(), self.database);
        let (answer, owner) = (self.link.answer.clone(), thread::current());
        let membership = self.link.membership;
        self.member.runtime.spawn(async move {
            let looked = AssertUnwindSafe(watch.claim(ours, since)).catch_unwind().await;
            let panicked = |panic: Box<dyn std::any::Any + Send>| {
                Reply::Panicked("looking at the group", panics::message(&*panic).to_owned())
            };
            send(&answer, &owner, looked.map_or_else(panicked, |claim| Reply::Group(membership, claim)));
        });
    }

    /// Two databases' workers that join in the same moment find out here.
    pub(super) fn on_group_claim(&mut self, claim: GroupClaim) -> Result<(), MemberError> {
        self.group_looks.is_under_way = false;
        match claim {
            GroupClaim::Own | GroupClaim::TakenOver(_) => Ok(()),
            GroupClaim::Refused(theirs) => {
                self.member.note_taken_group(self.database, theirs);
                self.on(Event::GroupIsTaken)
            }
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
        looks.is_under_way = false;
        assert!(looks.take_due(start).is_some(), "that came after the last look began");
        looks.is_under_way = false;
        assert_eq!(looks.take_due(start + INTERVAL), Some(start + INTERVAL));
    }
}
