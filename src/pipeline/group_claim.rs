//! What a consumer does about a group that is another database's.

use std::{
    panic::AssertUnwindSafe,
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;

use super::{
    member::{Member, MemberError, Reply, send},
    session::Session,
};
use crate::{
    log::{DatabaseId, GroupClaim},
    metrics::GAPS,
    panics,
    protocol::Event,
};

/// A look of another consumer that began no longer ago counts before joining: they start together.
const SHARED_FOR: Duration = Duration::from_secs(1);

impl Member {
    /// How this database stands to the group; none where the process stops before that is known.
    pub(super) fn look_at_group(&self, ours: DatabaseId) -> Option<GroupClaim> {
        self.pulse.beat();
        let now = Instant::now();
        let since = now.checked_sub(SHARED_FOR).unwrap_or(now);
        let look = self.config.group_watch.claim(ours, since);
        self.runtime.block_on(self.stop.run_until_cancelled(look))
    }

    /// Says that it has to be found out whether another database's workers run.
    pub(super) fn note_doubt(&self, theirs: DatabaseId) {
        let group = &self.config.kafka.kafka_group;
        let reason = format!(
            "looking whether workers of another database ({theirs}) run, which committed to consumer group {group}"
        );
        if self.config.absences.add(self.index, reason.clone()) {
            tracing::info!(kafka.group = group, %theirs, "out of the group for some seconds: {reason}");
        }
    }

    /// Says that the group belongs to another database, whose workers run.
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
        self.group_looks.note_end(claim);
        match claim {
            GroupClaim::Own | GroupClaim::TakenOver(_) | GroupClaim::Unknown(_) => Ok(()),
            GroupClaim::Refused(theirs) => {
                self.member.note_taken_group(self.database, theirs);
                self.on(Event::GroupIsTaken)
            }
        }
    }
}
