//! Consumers, the group that gives them partitions, and the database; what each may do next.
//!
//! Steps are called what they are called in `src/pipeline/` and `src/store/write/`.

use std::collections::BTreeMap;

use stateright::{Model, Property};

pub(crate) const NONE_TWICE: &str = "no reading is stored twice";
pub(crate) const NONE_LOST: &str = "every reading before a stored offset is stored";
pub(crate) const EVERYTHING_STORED: &str = "once faults stop, everything gets stored";

/// What is explored: every order of steps, with up to so many faults at any point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OffsetProtocol {
    pub(crate) consumers: usize,
    pub(crate) partitions: usize,
    /// Records of each partition, one reading each.
    pub(crate) records: u8,
    pub(crate) faults: u8,
    /// Whether a person may move a stored offset back, so that readings come again and meet the primary key.
    pub(crate) replays: bool,
    pub(crate) bug: Option<Bug>,
}

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Readings commit first, the offset in a transaction of its own after them.
    OffsetsOutsideTheTransaction,
    /// The offset commits first, the readings after it.
    OffsetsBeforeTheReadings,
    /// The offset is set, whatever it was.
    NoCompareAndSet,
    /// An assignment that is reported again starts over and keeps what was taken.
    AssignedAgainKeepsTheBatch,
    /// Nobody ends the session of a frozen worker that holds locks.
    NobodyEndsTheFrozen,
    /// A consumer that has nothing to write does not look at the stored offsets.
    NobodyLooks,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State {
    /// `ingest_offsets`, by partition.
    offsets: Vec<Offset>,
    /// How often each record's reading was inserted, by partition. Without replays there is no primary key that would
    /// hide it.
    sensor_data: Vec<Vec<u8>>,
    /// Whose each partition is, as the group sees it.
    owners: Vec<Option<usize>>,
    consumers: Vec<Consumer>,
    faults_left: u8,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Offset {
    next: u8,
    locked_by: Option<usize>,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Consumer {
    condition: Condition,
    /// What the group has said and the loop has not taken yet.
    events: Vec<Event>,
    /// Position of each partition that it takes for its own.
    assignment: BTreeMap<usize, u8>,
    /// Partitions that are to be given up.
    revoking: Vec<usize>,
    filling: Batch,
    writer: Writer,
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    #[default]
    Up,
    /// Stopped by a signal: does nothing, keeps its connections.
    Frozen,
    Down,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Assigned(usize),
    Revoked(usize),
    Lost(usize),
}

type Batch = BTreeMap<usize, Span>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    expected: u8,
    next: u8,
    records: Vec<u8>,
}

/// The writer and its transaction.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
enum Writer {
    #[default]
    Idle,
    /// To be written, for the first time or again.
    Pending(Batch),
    /// The compare-and-set has moved every offset, its rows are locked, readings are copied; COMMIT is next.
    Writing(Batch),
    /// With a bug: one of the two transactions has committed.
    HalfCommitted(Batch),
    Committed(Batch),
    /// Nothing was written, for these offsets are elsewhere.
    Fenced(Batch, BTreeMap<usize, u8>),
}

/// What happens next; the number is a consumer's, or a partition's where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The group gives a partition without an owner to a consumer.
    GroupAssigns {
        partition: usize,
        consumer: usize,
    },
    /// The group finds a frozen consumer's session expired.
    SessionExpires(usize),
    OnGroupEvent(usize),
    TakeRecord {
        consumer: usize,
        partition: usize,
    },
    Submit(usize),
    CompareAndSet(usize),
    Commit(usize),
    CommitSecondHalf(usize),
    OnReply(usize),
    /// A consumer that has nothing of a partition to write finds its stored offset moved.
    Look {
        consumer: usize,
        partition: usize,
    },
    GiveUpRevoked {
        consumer: usize,
        partition: usize,
    },
    /// Another writer's watch ends the session of a frozen one that blocks it.
    EndBlocker(usize),
    Restart(usize),

    /// Somebody continues a frozen worker; nobody has to.
    Thaw(usize),
    /// A frozen worker's COMMIT was on its way already, or not.
    CommitOfFrozen(usize),

    /// A rebalance takes a partition away.
    Rebalance {
        partition: usize,
    },
    /// The group gives up on a consumer that is up; it may or may not hear of it.
    DeclaredDead {
        consumer: usize,
        is_told: bool,
    },
    /// An assignment is reported twice.
    AssignedAgain {
        partition: usize,
    },
    /// A partition is given up although its readings are not committed yet.
    DrainTimeout {
        consumer: usize,
        partition: usize,
    },
    Freeze(usize),
    Kill(usize),
    /// The transaction commits, its answer does not arrive.
    CommitAnswerLost(usize),
    /// The connection breaks, the transaction is rolled back.
    ConnectionLost(usize),
    /// A person moves the stored offset back to the log's start.
    MovedBack {
        partition: usize,
    },
}

impl Step {
    /// Whether it comes if nothing else does.
    fn is_certain(self) -> bool {
        !self.is_fault() && !matches!(self, Self::Thaw(_) | Self::CommitOfFrozen(_))
    }

    fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Rebalance { .. }
                | Self::DeclaredDead { .. }
                | Self::AssignedAgain { .. }
                | Self::DrainTimeout { .. }
                | Self::Freeze(_)
                | Self::Kill(_)
                | Self::CommitAnswerLost(_)
                | Self::ConnectionLost(_)
                | Self::MovedBack { .. }
        )
    }
}

impl Model for OffsetProtocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            offsets: vec![Offset::default(); self.partitions],
            sensor_data: vec![vec![0; self.records.into()]; self.partitions],
            owners: vec![None; self.partitions],
            consumers: vec![Consumer::default(); self.consumers],
            faults_left: self.faults,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for partition in 0..self.partitions {
            for consumer in 0..self.consumers {
                let is_up = state.consumers[consumer].condition == Condition::Up;
                if state.owners[partition].is_none() && is_up {
                    steps.push(Step::GroupAssigns { partition, consumer });
                }
            }
        }
        for index in 0..self.consumers {
            self.steps_of(state, index, steps);
        }
        if state.faults_left > 0 {
            self.faults_of(state, steps);
        }
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        if step.is_fault() {
            state.faults_left -= 1;
        }
        self.take(&mut state, step);
        Some(state.representative())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NONE_TWICE, |_, state: &State| {
                state.sensor_data.iter().flatten().all(|&times| times <= 1)
            }),
            Property::always(NONE_LOST, |_, state: &State| {
                let before = |(offset, readings): (&Offset, &Vec<u8>)| {
                    readings[..offset.next.into()].iter().all(|&times| times >= 1)
                };
                state.offsets.iter().zip(&state.sensor_data).all(before)
            }),
            // Without faults every step brings the end nearer, so each way ends where nothing is left to do.
            Property::always(EVERYTHING_STORED, |model: &Self, state: &State| {
                let mut steps = Vec::new();
                model.actions(state, &mut steps);
                let nobody_works =
                    state.consumers.iter().all(|consumer| consumer.condition == Condition::Frozen);
                nobody_works
                    || steps.iter().any(|step| step.is_certain())
                    || state.offsets.iter().all(|offset| offset.next == model.records)
            }),
        ]
    }
}

impl OffsetProtocol {
    fn steps_of(&self, state: &State, index: usize, steps: &mut Vec<Step>) {
        let consumer = &state.consumers[index];
        match consumer.condition {
            Condition::Down => return steps.push(Step::Restart(index)),
            Condition::Frozen => {
                steps.push(Step::Thaw(index));
                if state.owners.contains(&Some(index)) {
                    steps.push(Step::SessionExpires(index));
                }
                if let Writer::Writing(_) = consumer.writer {
                    steps.push(Step::CommitOfFrozen(index));
                    if state.is_waited_for(index) && self.bug != Some(Bug::NobodyEndsTheFrozen) {
                        steps.push(Step::EndBlocker(index));
                    }
                }
                return;
            }
            Condition::Up => {}
        }
        if !consumer.events.is_empty() {
            steps.push(Step::OnGroupEvent(index));
        }
        for (&partition, &position) in &consumer.assignment {
            if position < self.records && !consumer.revoking.contains(&partition) {
                steps.push(Step::TakeRecord { consumer: index, partition });
            }
        }
        if self.replays && self.bug != Some(Bug::NobodyLooks) {
            for (&partition, &position) in &consumer.assignment {
                let is_moved = position != state.offsets[partition].next && !consumer.is_pending(partition);
                if is_moved && consumer.events.is_empty() && consumer.revoking.is_empty() {
                    steps.push(Step::Look { consumer: index, partition });
                }
            }
        }
        for &partition in &consumer.revoking {
            if !consumer.is_pending(partition) {
                steps.push(Step::GiveUpRevoked { consumer: index, partition });
            }
        }
        match &consumer.writer {
            Writer::Idle if !consumer.filling.is_empty() => steps.push(Step::Submit(index)),
            Writer::Idle => {}
            Writer::Pending(batch) => {
                // A locked row is waited for.
                if batch.keys().all(|&partition| state.offsets[partition].locked_by.is_none()) {
                    steps.push(Step::CompareAndSet(index));
                }
            }
            Writer::Writing(_) => steps.push(Step::Commit(index)),
            Writer::HalfCommitted(_) => steps.push(Step::CommitSecondHalf(index)),
            Writer::Committed(_) | Writer::Fenced(..) => steps.push(Step::OnReply(index)),
        }
    }

    fn faults_of(&self, state: &State, steps: &mut Vec<Step>) {
        for partition in 0..self.partitions {
            if let Some(owner) = state.owners[partition] {
                let consumer = &state.consumers[owner];
                let knows = !consumer.events.iter().any(|event| event.partition() == partition);
                let is_settled = knows && !consumer.revoking.contains(&partition);
                if is_settled && consumer.condition == Condition::Up {
                    steps.push(Step::Rebalance { partition });
                    steps.push(Step::AssignedAgain { partition });
                }
            }
        }
        for (partition, offset) in state.offsets.iter().enumerate() {
            if self.replays && offset.next > 0 && offset.locked_by.is_none() {
                steps.push(Step::MovedBack { partition });
            }
        }
        for index in 0..self.consumers {
            let consumer = &state.consumers[index];
            if consumer.condition != Condition::Up {
                continue;
            }
            steps.push(Step::Freeze(index));
            steps.push(Step::Kill(index));
            if state.owners.contains(&Some(index)) {
                steps.push(Step::DeclaredDead { consumer: index, is_told: true });
                steps.push(Step::DeclaredDead { consumer: index, is_told: false });
            }
            for &partition in &consumer.revoking {
                if consumer.is_pending(partition) {
                    steps.push(Step::DrainTimeout { consumer: index, partition });
                }
            }
            if let Writer::Writing(_) = consumer.writer {
                steps.push(Step::ConnectionLost(index));
                steps.push(Step::CommitAnswerLost(index));
            }
        }
    }

    fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::GroupAssigns { partition, consumer } => {
                state.owners[partition] = Some(consumer);
                state.consumers[consumer].events.push(Event::Assigned(partition));
            }
            Step::SessionExpires(index) => state.expel(index, true),
            Step::DeclaredDead { consumer, is_told } => state.expel(consumer, is_told),
            Step::Rebalance { partition } => state.tell_owner(partition, Event::Revoked(partition)),
            Step::AssignedAgain { partition } => state.tell_owner(partition, Event::Assigned(partition)),
            Step::OnGroupEvent(index) => self.on_group_event(state, index),
            Step::TakeRecord { consumer, partition } => state.consumers[consumer].take_record(partition),
            Step::Submit(index) => {
                let consumer = &mut state.consumers[index];
                consumer.writer = Writer::Pending(std::mem::take(&mut consumer.filling));
            }
            Step::CompareAndSet(index) => self.compare_and_set(state, index),
            Step::Commit(index) | Step::CommitOfFrozen(index) => self.commit(state, index),
            Step::CommitSecondHalf(index) => self.commit_second_half(state, index),
            Step::OnReply(index) => state.on_reply(index),
            Step::Look { consumer, partition } => {
                let next = state.offsets[partition].next;
                state.consumers[consumer].assignment.insert(partition, next);
            }
            Step::MovedBack { partition } => state.offsets[partition].next = 0,
            Step::GiveUpRevoked { consumer, partition } | Step::DrainTimeout { consumer, partition } => {
                state.consumers[consumer].forget(partition);
                state.consumers[consumer].revoking.retain(|&other| other != partition);
                if state.owners[partition] == Some(consumer) {
                    state.owners[partition] = None;
                }
            }
            Step::Freeze(index) => state.consumers[index].condition = Condition::Frozen,
            Step::Thaw(index) | Step::Restart(index) => state.consumers[index].condition = Condition::Up,
            Step::Kill(index) => {
                state.roll_back(index);
                state.expel(index, false);
                state.consumers[index] = Consumer { condition: Condition::Down, ..Consumer::default() };
            }
            Step::EndBlocker(index) | Step::ConnectionLost(index) => state.roll_back(index),
            Step::CommitAnswerLost(index) => {
                self.commit(state, index);
                let consumer = &mut state.consumers[index];
                if let Writer::Committed(batch) = &consumer.writer {
                    consumer.writer = Writer::Pending(batch.clone());
                }
            }
        }
    }

    fn on_group_event(&self, state: &mut State, index: usize) {
        let consumer = &mut state.consumers[index];
        match consumer.events.remove(0) {
            Event::Assigned(partition) => {
                // What was taken before an assignment that is reported again is taken again from the stored offset.
                if self.bug != Some(Bug::AssignedAgainKeepsTheBatch) {
                    consumer.forget(partition);
                }
                consumer.assignment.insert(partition, state.offsets[partition].next);
            }
            Event::Revoked(partition) => consumer.revoking.push(partition),
            Event::Lost(partition) => {
                consumer.forget(partition);
                consumer.revoking.retain(|&other| other != partition);
            }
        }
    }

    fn compare_and_set(&self, state: &mut State, index: usize) {
        let Writer::Pending(batch) = std::mem::take(&mut state.consumers[index].writer) else { return };
        let stands_elsewhere = |(&partition, span): (&usize, &Span)| {
            let next = state.offsets[partition].next;
            (next != span.expected && self.bug != Some(Bug::NoCompareAndSet)).then_some((partition, next))
        };
        let fences: BTreeMap<usize, u8> = batch.iter().filter_map(stands_elsewhere).collect();
        state.consumers[index].writer = if fences.is_empty() {
            for &partition in batch.keys() {
                state.offsets[partition].locked_by = Some(index);
            }
            Writer::Writing(batch)
        } else {
            Writer::Fenced(batch, fences)
        };
    }

    fn commit(&self, state: &mut State, index: usize) {
        let Writer::Writing(batch) = std::mem::take(&mut state.consumers[index].writer) else { return };
        state.release_locks(index);
        state.consumers[index].writer = match self.bug {
            Some(Bug::OffsetsOutsideTheTransaction) => {
                state.insert_readings(&batch, self.replays);
                Writer::HalfCommitted(batch)
            }
            Some(Bug::OffsetsBeforeTheReadings) => {
                state.move_offsets(&batch);
                Writer::HalfCommitted(batch)
            }
            Some(
                Bug::NoCompareAndSet
                | Bug::AssignedAgainKeepsTheBatch
                | Bug::NobodyEndsTheFrozen
                | Bug::NobodyLooks,
            )
            | None => {
                state.insert_readings(&batch, self.replays);
                state.move_offsets(&batch);
                Writer::Committed(batch)
            }
        };
    }

    fn commit_second_half(&self, state: &mut State, index: usize) {
        let Writer::HalfCommitted(batch) = std::mem::take(&mut state.consumers[index].writer) else { return };
        if self.bug == Some(Bug::OffsetsOutsideTheTransaction) {
            state.move_offsets(&batch);
        } else {
            state.insert_readings(&batch, self.replays);
        }
        state.consumers[index].writer = Writer::Committed(batch);
    }
}

impl State {
    /// The one state that stands for all those that differ in the names of consumers and partitions alone.
    fn representative(&self) -> Self {
        permutations(self.offsets.len())
            .map(|order| {
                let mut renamed = self.with_partitions_in(&order);
                let mut consumers: Vec<usize> = (0..self.consumers.len()).collect();
                consumers.sort_by_cached_key(|&index| renamed.everything_of(index));
                renamed.put_consumers_in(&consumers);
                renamed
            })
            .min()
            .expect("there is at least one order")
    }

    fn with_partitions_in(&self, order: &[usize]) -> Self {
        let renamed =
            |partition: usize| order.iter().position(|&old| old == partition).expect("an order has all");
        let mut state = self.clone();
        state.offsets = order.iter().map(|&old| self.offsets[old].clone()).collect();
        state.sensor_data = order.iter().map(|&old| self.sensor_data[old].clone()).collect();
        state.owners = order.iter().map(|&old| self.owners[old]).collect();
        for consumer in &mut state.consumers {
            consumer.rename_partitions(renamed);
        }
        state
    }

    /// A consumer and what others hold of it.
    fn everything_of(&self, index: usize) -> (Consumer, Vec<bool>, Vec<bool>) {
        let owned = self.owners.iter().map(|&owner| owner == Some(index)).collect();
        let locked = self.offsets.iter().map(|offset| offset.locked_by == Some(index)).collect();
        (self.consumers[index].clone(), owned, locked)
    }

    fn put_consumers_in(&mut self, order: &[usize]) {
        let renamed = |index: usize| order.iter().position(|&old| old == index);
        self.consumers = order.iter().map(|&old| self.consumers[old].clone()).collect();
        for owner in &mut self.owners {
            *owner = owner.and_then(renamed);
        }
        for offset in &mut self.offsets {
            offset.locked_by = offset.locked_by.and_then(renamed);
        }
    }

    /// The group takes everything away from a consumer.
    fn expel(&mut self, index: usize, is_told: bool) {
        for partition in 0..self.owners.len() {
            if self.owners[partition] == Some(index) {
                self.owners[partition] = None;
                if is_told {
                    self.consumers[index].events.push(Event::Lost(partition));
                }
            }
        }
    }

    fn tell_owner(&mut self, partition: usize, event: Event) {
        if let Some(owner) = self.owners[partition] {
            self.consumers[owner].events.push(event);
        }
    }

    fn on_reply(&mut self, index: usize) {
        let consumer = &mut self.consumers[index];
        let Writer::Fenced(mut batch, fences) = std::mem::take(&mut consumer.writer) else { return };
        for (&partition, &stored) in &fences {
            let Some(span) = batch.remove(&partition) else { continue };
            // Where the answer to an earlier COMMIT was lost the batch is there.
            if stored != span.next {
                consumer.filling.remove(&partition);
                if consumer.assignment.contains_key(&partition) && !consumer.revoking.contains(&partition) {
                    consumer.assignment.insert(partition, stored);
                } else {
                    consumer.forget(partition);
                }
            }
        }
        if !batch.is_empty() {
            consumer.writer = Writer::Pending(batch);
        }
    }

    /// Whether another writer waits for this one's locks.
    fn is_waited_for(&self, index: usize) -> bool {
        let is_locked = |partition: &usize| self.offsets[*partition].locked_by == Some(index);
        self.consumers.iter().any(|consumer| match &consumer.writer {
            Writer::Pending(batch) if consumer.condition == Condition::Up => batch.keys().any(is_locked),
            _ => false,
        })
    }

    /// The database ends a transaction; the writer tries its batch again.
    fn roll_back(&mut self, index: usize) {
        self.release_locks(index);
        let consumer = &mut self.consumers[index];
        if let Writer::Writing(batch) = &consumer.writer {
            consumer.writer = Writer::Pending(batch.clone());
        }
    }

    fn release_locks(&mut self, index: usize) {
        for offset in &mut self.offsets {
            offset.locked_by = offset.locked_by.filter(|&holder| holder != index);
        }
    }

    fn insert_readings(&mut self, batch: &Batch, has_primary_key: bool) {
        for (&partition, span) in batch {
            for &record in &span.records {
                let times = &mut self.sensor_data[partition][usize::from(record)];
                *times = if has_primary_key { 1 } else { *times + 1 };
            }
        }
    }

    fn move_offsets(&mut self, batch: &Batch) {
        for (&partition, span) in batch {
            self.offsets[partition].next = span.next;
        }
    }
}

/// All orders of so many things, which are few.
fn permutations(count: usize) -> impl Iterator<Item = Vec<usize>> {
    assert!(count <= 2, "orders of more than two partitions are not needed");
    let natural: Vec<usize> = (0..count).collect();
    let reversed = (count == 2).then(|| natural.iter().rev().copied().collect());
    std::iter::once(natural).chain(reversed)
}

fn renamed_batch(batch: &Batch, renamed: impl Fn(usize) -> usize) -> Batch {
    batch.iter().map(|(&partition, span)| (renamed(partition), span.clone())).collect()
}

impl Consumer {
    fn rename_partitions(&mut self, renamed: impl Fn(usize) -> usize + Copy) {
        for event in &mut self.events {
            let (Event::Assigned(partition) | Event::Revoked(partition) | Event::Lost(partition)) = event;
            *partition = renamed(*partition);
        }
        self.assignment = self.assignment.iter().map(|(&p, &position)| (renamed(p), position)).collect();
        for partition in &mut self.revoking {
            *partition = renamed(*partition);
        }
        self.filling = renamed_batch(&self.filling, renamed);
        match &mut self.writer {
            Writer::Idle => {}
            Writer::Pending(batch)
            | Writer::Writing(batch)
            | Writer::HalfCommitted(batch)
            | Writer::Committed(batch) => *batch = renamed_batch(batch, renamed),
            Writer::Fenced(batch, fences) => {
                *batch = renamed_batch(batch, renamed);
                *fences = fences.iter().map(|(&p, &next)| (renamed(p), next)).collect();
            }
        }
    }

    fn take_record(&mut self, partition: usize) {
        let Some(position) = self.assignment.get_mut(&partition) else { return };
        let new = Span { expected: *position, next: *position, records: vec![] };
        let span = self.filling.entry(partition).or_insert(new);
        span.records.push(*position);
        *position += 1;
        span.next = *position;
    }

    fn forget(&mut self, partition: usize) {
        self.assignment.remove(&partition);
        self.filling.remove(&partition);
    }

    fn is_pending(&self, partition: usize) -> bool {
        let in_flight = match &self.writer {
            Writer::Idle => None,
            Writer::Pending(batch)
            | Writer::Writing(batch)
            | Writer::HalfCommitted(batch)
            | Writer::Committed(batch)
            | Writer::Fenced(batch, _) => Some(batch),
        };
        self.filling.contains_key(&partition) || in_flight.is_some_and(|batch| batch.contains_key(&partition))
    }
}

impl Event {
    fn partition(self) -> usize {
        match self {
            Self::Assigned(partition) | Self::Revoked(partition) | Self::Lost(partition) => partition,
        }
    }
}
