//! What may happen next.

use std::time::Duration;

use sensorpipe::log::FetchFault;

use super::{
    Bug, Rules, World,
    consumer::{Condition, Job, Phase},
};

/// What happens next; without a name of their own, the numbers are a consumer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A producer adds a record, or the end of a transaction.
    Append {
        partition: usize,
        is_record: bool,
    },
    /// The group gives a partition that is free to a member.
    Assign {
        partition: usize,
        member: usize,
    },
    /// The group finds the session of a consumer that is frozen or down expired.
    SessionExpires(usize),
    /// A consumer that is out of the group joins it.
    Join(usize),
    /// A consumer hears what the group has said.
    Hear(usize),
    /// Kafka says that the topic is another one than was joined for.
    TopicIs(usize),
    /// The database says where partitions start.
    Answer(usize),
    Fetch(Fetch),
    /// A consumer's loop turns after so long.
    Turn {
        consumer: usize,
        waited: Duration,
    },
    /// The writer tries its batch: compares and sets the offsets.
    Begin(usize),
    Commit(usize),
    CommitSecondHalf(usize),
    /// The writer reads the stored offsets.
    LookUp(usize),
    /// A consumer hears what came of its writer's job.
    Reply(usize),
    /// Another writer's watch ends the session of a frozen one that blocks it.
    EndBlocker(usize),
    Restart(usize),
    /// An operator moves the stored offset of a stalled partition to where its log begins.
    Accept(usize),
    /// The standby catches up.
    Replicate,

    /// The group moves a partition.
    WantBack {
        partition: usize,
    },
    /// The group assigns a partition to its owner once more.
    AssignAgain {
        partition: usize,
    },
    /// The group takes everything from a member that is well.
    DeclareDead(usize),
    FetchFails {
        fetch: Fetch,
        fault: FetchFault,
    },
    /// A record came another way than it should.
    Astray(Fetch),
    /// The database does not say where partitions start.
    NoAnswer(usize),
    /// The stored offsets cannot be read.
    StoredOffsetsUnread(usize),
    /// Kafka does not take the offsets that it is told.
    OffsetsNotTaken(usize),
    /// A rebalance of the group brings a member nothing.
    AssignNothing(usize),
    /// A COMMIT takes effect, and its answer is lost.
    CommitAnswerLost(usize),
    /// The writer's connection is lost.
    ConnectionLost(usize),
    /// The database finds a batch too much.
    TooMuch(usize),
    Freeze(usize),
    Thaw(usize),
    /// The server takes in a COMMIT that a frozen worker had sent.
    CommitOfFrozen(usize),
    Kill(usize),
    Stop(usize),

    /// The standby takes over, with what it has.
    FailOver,
    /// Retention takes the first entries of a log, read or not.
    Expire {
        partition: usize,
        entries: usize,
    },
    /// A replica that was behind becomes the leader.
    Cut {
        partition: usize,
    },
    /// The same, and a producer writes to it at once.
    CutAndAppend {
        partition: usize,
    },
    RecreateTopic,
    /// An operator has a partition read again from the beginning of its log.
    Replay {
        partition: usize,
    },
}

/// What a consumer reads, and how much of it at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fetch {
    pub(crate) consumer: usize,
    pub(crate) partition: usize,
    pub(crate) most: usize,
}

/// Longer than anything waits.
pub(crate) const LATE: Duration = Duration::from_secs(60);

impl World {
    /// What may happen without anybody's fault.
    pub(crate) fn steps(&self, rules: &Rules, steps: &mut Vec<Step>) {
        for partition in 0..rules.partitions {
            if self.appends_left > 0 {
                steps.push(Step::Append { partition, is_record: true });
                steps.push(Step::Append { partition, is_record: false });
            }
            if self.database.gap(partition, &self.topic).is_some() && self.database.locks[partition].is_none()
            {
                steps.push(Step::Accept(partition));
            }
            for member in 0..rules.consumers {
                let consumer = &self.consumers[member];
                let is_member = consumer.condition == Condition::Up && consumer.state.is_member();
                let is_staying = is_member && !consumer.state.is_stopping();
                if is_staying && self.group.is_free(partition, rules.group) {
                    steps.push(Step::Assign { partition, member });
                }
            }
        }
        for index in 0..rules.consumers {
            self.steps_of(rules, index, steps);
        }
        if self.database.is_behind() && rules.disasters {
            steps.push(Step::Replicate);
        }
    }

    fn steps_of(&self, rules: &Rules, index: usize, steps: &mut Vec<Step>) {
        let consumer = &self.consumers[index];
        let owns_some = self.group.owners.contains(&Some(index));
        match consumer.condition {
            Condition::Down => {
                steps.push(Step::Restart(index));
                if owns_some {
                    steps.push(Step::SessionExpires(index));
                }
                return;
            }
            Condition::Frozen => {
                if owns_some {
                    steps.push(Step::SessionExpires(index));
                }
                if self.blocks_others(index) && rules.bug != Some(Bug::NobodyEndsTheFrozen) {
                    steps.push(Step::EndBlocker(index));
                }
                return;
            }
            Condition::Up => {}
        }
        self.steps_of_writer(index, steps);
        if !consumer.state.is_member() {
            steps.push(Step::Join(index));
            return;
        }
        if !consumer.is_asked && !consumer.events.is_empty() {
            steps.push(Step::Hear(index));
        }
        if consumer.state.topic_id() != self.topic.id() {
            steps.push(Step::TopicIs(index));
        }
        if !consumer.questions.is_empty() {
            steps.push(Step::Answer(index));
        }
        if matches!(
            consumer.jobs.front(),
            Some(
                Job::StoredOffsetsRead(..)
                    | Job::Write(_, Phase::Committed | Phase::Fenced(_) | Phase::TooMuch(_))
            )
        ) {
            steps.push(Step::Reply(index));
        }
        steps.extend(self.fetches(index).map(Step::Fetch));
        if !rules.turns_at_once {
            steps.push(Step::Turn { consumer: index, waited: Duration::ZERO });
        }
        steps.push(Step::Turn { consumer: index, waited: LATE });
    }

    fn fetches(&self, index: usize) -> impl Iterator<Item = Fetch> {
        let consumer = &self.consumers[index];
        let is_taking = !consumer.state.is_stopping();
        let taken = consumer.client.iter().filter(move |(_, position)| is_taking && !position.is_held);
        taken.map(move |(&partition, _)| Fetch { consumer: index, partition: partition as usize, most: 1 })
    }

    fn steps_of_writer(&self, index: usize, steps: &mut Vec<Step>) {
        match self.consumers[index].jobs.front() {
            Some(Job::Write(batch, Phase::Pending)) => {
                if !self.database.is_locked(&batch.spans(), index) {
                    steps.push(Step::Begin(index));
                }
            }
            Some(Job::Write(_, Phase::Open)) => steps.push(Step::Commit(index)),
            Some(Job::Write(_, Phase::HalfCommitted)) => steps.push(Step::CommitSecondHalf(index)),
            Some(Job::ReadStoredOffsets(..)) => steps.push(Step::LookUp(index)),
            Some(
                Job::Write(_, Phase::Committed | Phase::Fenced(_) | Phase::TooMuch(_))
                | Job::StoredOffsetsRead(..),
            )
            | None => {}
        }
    }

    /// What goes wrong next.
    pub(crate) fn faults(&self, rules: &Rules, steps: &mut Vec<Step>) {
        if self.faults_left == 0 {
            return;
        }
        for partition in 0..rules.partitions {
            if self.group.owners[partition].is_some() {
                if !self.group.wanted_back[partition] {
                    steps.push(Step::WantBack { partition });
                }
                steps.push(Step::AssignAgain { partition });
            }
            if rules.disasters {
                if !self.topic.logs[partition].is_empty() {
                    steps.extend([Step::Expire { partition, entries: 1 }, Step::Cut { partition }]);
                    steps.push(Step::CutAndAppend { partition });
                }
                let (stored, log) = (self.database.stored(partition as i32), &self.topic.logs[partition]);
                // All that is stored, and no more.
                let read = stored.map_or(0, |stored| stored.next_offset - log.watermarks().low);
                if 0 < read && read as usize <= log.len() {
                    steps.push(Step::Expire { partition, entries: read as usize });
                }
                if stored.is_some_and(|stored| stored.topic_id == self.topic.id())
                    && self.database.gap(partition, &self.topic).is_none()
                    && self.database.locks[partition].is_none()
                {
                    steps.push(Step::Replay { partition });
                }
            }
        }
        if rules.disasters {
            steps.extend([Step::FailOver, Step::RecreateTopic]);
        }
        for index in 0..rules.consumers {
            self.faults_of(index, steps);
        }
    }

    fn faults_of(&self, index: usize, steps: &mut Vec<Step>) {
        use sensorpipe::log::Unreadable;
        let consumer = &self.consumers[index];
        let is_open = matches!(consumer.jobs.front(), Some(Job::Write(_, Phase::Open)));
        match consumer.condition {
            Condition::Down => return,
            Condition::Frozen => {
                steps.push(Step::Thaw(index));
                steps.push(Step::Kill(index));
                if is_open {
                    steps.push(Step::CommitOfFrozen(index));
                }
                return;
            }
            Condition::Up => {}
        }
        steps.extend([Step::Freeze(index), Step::Kill(index), Step::Stop(index)]);
        if self.group.owners.contains(&Some(index)) {
            steps.push(Step::DeclareDead(index));
        }
        if !consumer.questions.is_empty() && consumer.state.is_member() {
            steps.push(Step::NoAnswer(index));
        }
        match consumer.jobs.front() {
            Some(Job::Write(_, Phase::Open)) => {
                steps.extend([Step::CommitAnswerLost(index), Step::ConnectionLost(index)]);
            }
            Some(Job::Write(batch, Phase::Pending))
                if self.database.fences(&batch.spans, &batch.topic_id).is_empty() =>
            {
                steps.push(Step::TooMuch(index));
            }
            _ => {}
        }
        if matches!(consumer.jobs.front(), Some(Job::ReadStoredOffsets(..))) && consumer.state.is_member() {
            steps.push(Step::StoredOffsetsUnread(index));
        }
        if consumer.state.is_member() {
            steps.extend([Step::OffsetsNotTaken(index), Step::AssignNothing(index)]);
            for fetch in self.fetches(index) {
                steps.push(Step::Astray(fetch));
                for fault in [FetchFault::Passing, FetchFault::Lasting(Unreadable::UnsupportedCodec)] {
                    steps.push(Step::FetchFails { fetch, fault });
                }
            }
        }
    }

    /// Whether another writer waits for this one's locks, or an operator who is to move a stored offset.
    fn blocks_others(&self, index: usize) -> bool {
        let blocks_operator = |partition: usize| {
            self.database.locks[partition] == Some(index)
                && self.database.gap(partition, &self.topic).is_some()
        };
        if (0..self.topic.logs.len()).any(blocks_operator) {
            return true;
        }
        self.consumers.iter().enumerate().any(|(other, consumer)| match consumer.jobs.front() {
            Some(Job::Write(batch, Phase::Pending)) if consumer.condition == Condition::Up => {
                let is_held = |span: &sensorpipe::log::Span| {
                    self.database.locks[span.partition as usize] == Some(index)
                };
                other != index && batch.spans().iter().any(is_held)
            }
            _ => false,
        })
    }
}

impl Step {
    /// Whether it uses up one of the faults that a world has.
    pub(super) fn is_fault(self) -> bool {
        match self {
            Self::Append { .. }
            | Self::Assign { .. }
            | Self::SessionExpires(_)
            | Self::Join(_)
            | Self::Hear(_)
            | Self::TopicIs(_)
            | Self::Answer(_)
            | Self::Fetch(_)
            | Self::Turn { .. }
            | Self::Begin(_)
            | Self::Commit(_)
            | Self::CommitSecondHalf(_)
            | Self::LookUp(_)
            | Self::Reply(_)
            | Self::EndBlocker(_)
            | Self::Restart(_)
            | Self::Accept(_)
            | Self::Replicate => false,
            Self::WantBack { .. }
            | Self::AssignAgain { .. }
            | Self::DeclareDead(_)
            | Self::FetchFails { .. }
            | Self::Astray(_)
            | Self::NoAnswer(_)
            | Self::StoredOffsetsUnread(_)
            | Self::OffsetsNotTaken(_)
            | Self::AssignNothing(_)
            | Self::CommitAnswerLost(_)
            | Self::ConnectionLost(_)
            | Self::TooMuch(_)
            | Self::Freeze(_)
            | Self::Thaw(_)
            | Self::CommitOfFrozen(_)
            | Self::Kill(_)
            | Self::Stop(_)
            | Self::FailOver
            | Self::Expire { .. }
            | Self::Cut { .. }
            | Self::CutAndAppend { .. }
            | Self::RecreateTopic
            | Self::Replay { .. } => true,
        }
    }
}
