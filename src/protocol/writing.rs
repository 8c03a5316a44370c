//! Batches that go to the writer, and what comes back.

use std::time::Duration;

use super::{Action, State, Time};
use crate::log::{Fence, StoredOffset};

/// How long a batch may be under way before it is asked whether one could be written at all, and how often then.
const DOUBT_AFTER: Duration = Duration::from_secs(5);

impl<B: Clone + Default + PartialEq> State<B> {
    /// Hands the batch over when the writer is free, and the batch is full or has lingered.
    pub(super) fn submit(&mut self, is_full: bool, now: Time, actions: &mut Vec<Action>) {
        let has_lingered =
            self.filling_since.is_some_and(|since| now.saturating_sub(since) >= self.bounds.linger);
        let is_due = is_full || has_lingered || self.drain_deadline.is_some();
        if self.filling.is_empty() || !is_due || !self.in_flight.is_empty() {
            return;
        }
        self.in_flight = self.filling.take();
        self.in_flight_topic.clone_from(&self.topic_id);
        self.filling_since = None;
        self.submitted = now;
        actions.push(Action::Write(self.in_flight.as_slice().to_vec()));
    }

    pub(super) fn on_committed(&mut self, actions: &mut Vec<Action>) {
        let written = self.in_flight.take();
        if self.in_flight_topic == self.topic_id {
            for span in written.as_slice() {
                self.committed(span.partition, span.next);
            }
        }
        actions.push(Action::Recycle);
    }

    /// Nothing of the batch was written. What is somebody else's is dropped, the rest goes again.
    pub(super) fn on_fenced(&mut self, fences: Vec<Fence<B>>, now: Time, actions: &mut Vec<Action>) {
        if self.in_flight_topic != self.topic_id {
            // Its records are not this log's: written again, it would pass for records that nobody has read.
            self.in_flight.take();
            actions.push(Action::Recycle);
            return;
        }
        let (mut settled, mut moved) = (Vec::new(), Vec::new());
        for Fence { partition, stored, is_written } in fences {
            let Some(&span) = self.in_flight.of(partition) else { continue };
            match stored {
                Some(stored) if stored.topic_id == self.topic_id => {
                    if is_written {
                        self.committed(partition, stored.next_offset);
                    } else if stored.next_offset == span.expected {
                        // Seen in the middle of somebody's change that came to nothing: not settled.
                        continue;
                    } else {
                        moved.push(stored);
                    }
                    settled.push(partition);
                }
                // Its row is gone or of another topic, as after a restore: it needs a new start.
                _ => {
                    self.leave_if(true);
                    settled.push(partition);
                }
            }
        }
        self.in_flight.remove(&settled);
        self.move_to(moved, now, actions);
        if self.in_flight.is_empty() || self.must_leave() {
            self.in_flight.take();
            actions.push(Action::Recycle);
        } else {
            self.submitted = now;
            actions.push(Action::WriteAgain { without: settled });
        }
    }

    /// Nothing of the batch was written, for it is too much: its partitions are read again in smaller batches.
    pub(super) fn on_too_much(&mut self, stored: Vec<StoredOffset<B>>, now: Time, actions: &mut Vec<Action>) {
        self.in_flight.take();
        actions.push(Action::Recycle);
        if self.in_flight_topic == self.topic_id {
            self.read_from(stored, now, actions);
        }
    }

    /// Continues partitions at stored offsets that others, or a restore, have moved.
    pub(super) fn move_to(&mut self, moved: Vec<StoredOffset<B>>, now: Time, actions: &mut Vec<Action>) {
        for stored in &moved {
            actions.push(Action::ReportMoved(stored.partition, stored.next_offset));
        }
        self.read_from(moved, now, actions);
    }

    /// Reads partitions from their stored offsets; what is held of them is dropped.
    fn read_from(&mut self, stored: Vec<StoredOffset<B>>, now: Time, actions: &mut Vec<Action>) {
        for stored in stored {
            let partition = stored.partition;
            if self.rebalance.is_revoking(partition) {
                self.forget(&[partition], actions);
                continue;
            }
            self.discard(&[partition], actions);
            let held = self.partitions.get_mut(&partition);
            if let Some(held) = held.filter(|held| held.is_read()) {
                held.start_over(stored);
                self.reassign(partition, now, actions);
            }
        }
    }

    /// Drops what has been taken of partitions and is not in flight.
    pub(super) fn discard(&mut self, partitions: &[i32], actions: &mut Vec<Action>) {
        self.filling.remove(partitions);
        if self.filling.is_empty() {
            self.filling_since = None;
        }
        actions.push(Action::Discard(partitions.to_vec()));
    }

    fn committed(&mut self, partition: i32, next: i64) {
        if let Some(held) = self.partitions.get_mut(&partition) {
            held.stored = next;
        }
    }

    /// Tells Kafka the stored offsets that it has not been told.
    pub(super) fn commit_to_kafka(&mut self, actions: &mut Vec<Action>) {
        let mut offsets = Vec::new();
        for (&partition, held) in &mut self.partitions {
            if held.is_committed_to_kafka(&self.topic_id) && held.told != Some(held.stored) {
                held.told = Some(held.stored);
                offsets.push((partition, held.stored));
            }
        }
        if !offsets.is_empty() {
            actions.push(Action::CommitToKafka(offsets));
        }
    }

    /// Kafka did not take what it was told last.
    pub(super) fn forget_reported(&mut self) {
        for held in self.partitions.values_mut() {
            held.told = None;
        }
    }

    /// The stored offsets that Kafka may be told.
    pub fn stored_offsets(&self) -> Vec<(i32, i64)> {
        let told = self.partitions.iter().filter(|(_, held)| held.is_committed_to_kafka(&self.topic_id));
        told.map(|(&partition, held)| (partition, held.stored)).collect()
    }

    /// Where a batch is not written for long: whether the role may write at all. Others may have the right.
    pub(super) fn recheck_permission(&mut self, now: Time, actions: &mut Vec<Action>) {
        let is_doubtful = !self.in_flight.is_empty() && now.saturating_sub(self.submitted) >= DOUBT_AFTER;
        let is_due = self.last_trial.is_none_or(|last| now.saturating_sub(last) >= DOUBT_AFTER);
        if is_doubtful && is_due {
            self.last_trial = Some(now);
            actions.push(Action::TryWriting);
        }
    }
}
