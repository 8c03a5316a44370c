//! Consumers, the group that gives them partitions, and the database; what each may do next.
//!
//! ```text
//! state ── steps: what may come next ── transitions: what it does ── symmetry: which states are one ──> state
//! ```
//!
//! Steps are called what they are called in `src/pipeline/` and `src/store/write/`.

mod state;
mod steps;
mod symmetry;
mod transitions;

use stateright::{Model, Property};

use self::{
    state::{Condition, Consumer, Offset, State},
    steps::Step,
};

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
    /// A fetch that failed moves the position past the record that it was to bring.
    FailedFetchCountsAsRead,
    /// After a failed fetch the next record that comes is taken, though it is not the next one.
    FailedFetchIsNotReadAgain,
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
