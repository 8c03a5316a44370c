//! What one consumer decides: a pure state machine, with no client, database, channel, clock, lock, log or metric.
//!
//! ```text
//! what is known now                                      what is to be done, in this order
//! ──────── Event ────────▶  State::on(event, now)  ──────── Action ────────▶
//! ```
//!
//! [`crate::pipeline`] is the shell around it: it reports what Kafka, the writer and the clock say, and carries out what
//! comes of it. The tests in `tests/offset_protocol` put the same state into a simulated world, and let everything go
//! wrong in every order.
//!
//! Invariants:
//!
//! 1. What was taken is committed by compare-and-set on the offset that it followed, or dropped; never both.
//! 2. A stored offset goes at most to one past what was read, or to what Kafka said holds no record.
//! 3. One batch is in flight at most; what comes of a partition after it was given up is dropped.
//! 4. A gap is for an operator: nothing else ends it.
//! 5. Once faults stop, every record that can be read is stored.

mod action;
mod clock;
mod event;
mod fetching;
mod group;
mod offset_check;
mod partition;
mod proof;
mod rebalance;
mod reread;
mod spans;
mod standing;
mod writing;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

pub use action::{Action, Answer};
pub use event::{Compared, Event, PartitionStart};
pub use proof::{Met, Proof, Run};
pub use spans::Spans;
pub use standing::Standing;

use self::{offset_check::OffsetCheck, partition::Partition, rebalance::Rebalance};

/// A moment, as the time since the caller's clock began.
pub type Time = Duration;

/// How often Kafka is told the stored offsets, and batches go past what holds no record.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What nobody changes while a consumer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Longest wait of a reading for company while the writer is free.
    pub linger: Duration,
    /// Longest wait for what is in flight, before partitions go or the process stops.
    pub drain_timeout: Duration,
}

/// All that a consumer knows. `B` is what is stored beside an offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State<B> {
    bounds: Bounds,
    /// The topic that was joined for; another one of its name is another log.
    topic_id: String,
    membership: Membership,
    partitions: BTreeMap<i32, Partition<B>>,
    rebalance: Rebalance,
    filling: Spans,
    filling_since: Option<Time>,
    /// What the writer has. It outlives a membership of the group.
    in_flight: Spans,
    /// The topic that it is of: the one that was joined for before may have been recreated.
    in_flight_topic: String,
    /// When it was handed over.
    submitted: Time,
    check: OffsetCheck,
    last_check: Time,
    last_housekeeping: Time,
    /// When it was tried last whether the database lets us write.
    last_trial: Option<Time>,
    /// The database may say of partitions of ours that they are stalled.
    may_have_reported: bool,
    /// The group has said at least once what is ours.
    was_assigned: bool,
    /// Set once the process stops: when to give up what is still in flight.
    drain_deadline: Option<Time>,
}

/// How the consumer and the group stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Membership {
    /// It has not joined, or has left.
    Out,
    /// It is a member, or about to be.
    In,
    /// It is one, and has to leave.
    Leaving,
}

impl<B: Clone + Default + PartialEq> State<B> {
    /// Of a consumer that is not in the group yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            topic_id: String::new(),
            membership: Membership::Out,
            partitions: BTreeMap::new(),
            rebalance: Rebalance::None,
            filling: Spans::default(),
            filling_since: None,
            in_flight: Spans::default(),
            in_flight_topic: String::new(),
            submitted: Time::ZERO,
            check: OffsetCheck::Idle,
            last_check: Time::ZERO,
            last_housekeeping: Time::ZERO,
            last_trial: None,
            may_have_reported: false,
            was_assigned: false,
            drain_deadline: None,
        }
    }

    /// Takes in what happened, and adds what is to be done about it.
    pub fn on(&mut self, event: Event<B>, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Joined { topic_id } => self.on_joined(topic_id, now),
            Event::Assigned(partitions) => self.on_assigned(partitions, actions),
            Event::Revoked(partitions) => self.on_revoked(partitions, now, actions),
            Event::Lost(partitions) => self.on_lost(&partitions, actions),
            Event::Starts { asked, starts } => self.on_start_offsets(&asked, starts, actions),
            Event::StartOffsetsFailed { asked } => self.on_start_offsets_failed(&asked),
            Event::Taken { partition, next, last_record } => {
                self.on_taken(partition, next, last_record, now, actions);
            }
            Event::Proven { partition, left } => self.on_proven(partition, left),
            Event::Diverged(partition) => self.on_diverged(partition, actions),
            Event::Passed { partition, offset } => self.on_passed(partition, offset, now),
            Event::FetchFailed { partition, fault } => self.on_fetch_failed(partition, fault, now, actions),
            Event::Compared { partition, found } => self.on_compared(partition, found, now, actions),
            Event::Astray(partition) => self.on_astray(partition, now, actions),
            Event::Committed => self.on_committed(actions),
            Event::Fenced(fences) => self.on_fenced(fences, now, actions),
            Event::TooMuch(stored) => self.on_too_much(stored, now, actions),
            Event::StoredOffsetsRead { asked, stored, has_reported } => {
                self.on_offsets_checked(&asked, &stored, has_reported, now, actions);
            }
            Event::StoredOffsetsUnread => self.check = OffsetCheck::Idle,
            Event::OffsetsNotTaken => self.forget_reported(),
            Event::TopicIs(topic_id) => self.leave_if(topic_id != self.topic_id),
            Event::NotPermitted => self.leave_if(self.doubts_permission()),
            Event::GroupIsTaken => self.leave_if(true),
            Event::Stop => self.on_stop(now, actions),
            Event::Turn { is_full } => self.on_turn(is_full, now, actions),
            Event::Broken { assigned } => self.on_broken(assigned, now, actions),
        }
    }

    /// What is due by now.
    fn on_turn(&mut self, is_full: bool, now: Time, actions: &mut Vec<Action>) {
        self.read_again(now, actions);
        if now.saturating_sub(self.last_housekeeping) >= HOUSEKEEPING {
            self.last_housekeeping = now;
            self.go_past_what_holds_no_record(now);
            self.commit_to_kafka(actions);
            self.recheck_permission(now, actions);
        }
        self.check_stored_offsets(now, actions);
        self.give_up_revoked(now, actions);
        let has_to_leave = self.must_leave() || self.is_drained(now);
        if has_to_leave && self.is_member() {
            self.leave(actions);
        }
        // Last: what is stored beside the batch's offsets is asked for when this is carried out.
        self.submit(is_full, now, actions);
    }

    /// The topic that was joined for.
    pub fn topic_id(&self) -> &str {
        &self.topic_id
    }

    /// Whether it is in the group.
    pub fn is_member(&self) -> bool {
        self.membership != Membership::Out
    }

    /// Whether it has to leave the group: to start over from what the database and Kafka say by then.
    fn must_leave(&self) -> bool {
        self.membership == Membership::Leaving
    }

    fn leave_if(&mut self, has_reason: bool) {
        if has_reason && self.is_member() {
            self.membership = Membership::Leaving;
        }
    }

    /// Whether the process stops.
    pub fn is_stopping(&self) -> bool {
        self.drain_deadline.is_some()
    }

    /// Whether the group has said at least once what is ours.
    pub fn was_assigned(&self) -> bool {
        self.was_assigned
    }

    /// Whether these partitions wait for where they start.
    pub fn awaits_start_offsets(&self, asked: &[i32]) -> bool {
        self.rebalance.waits_for(asked)
    }

    /// Whether it is in doubt that the database lets this process write.
    pub fn doubts_permission(&self) -> bool {
        self.last_trial.is_some()
    }

    /// Since when something waits to be handed to the writer, where nothing but time is in the way.
    pub fn waits_since(&self) -> Option<Time> {
        self.filling_since.filter(|_| self.in_flight.is_empty())
    }

    fn is_settled(&self) -> bool {
        matches!(self.rebalance, Rebalance::None) && self.drain_deadline.is_none()
    }
}
