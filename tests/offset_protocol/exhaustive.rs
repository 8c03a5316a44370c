//! Every step in every order, for worlds that are small enough.

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::world::{Broken, Bug, GroupProtocol, Rules, Step, World};

const NONE_TWICE: &str = "no reading is stored twice";
const NONE_LOST: &str = "no stored offset goes past a reading that is not stored";
const BESIDE: &str = "what is stored beside an offset is of that offset";

/// A world with two consumers of one partition, unless it says otherwise.
const SMALL: Rules = Rules {
    consumers: 2,
    partitions: 1,
    records: 2,
    appends: 0,
    faults: 1,
    group: GroupProtocol::Consumer,
    disasters: false,
    turns_at_once: true,
    bug: None,
};

#[derive(Clone, Debug)]
struct Exhaustive(Rules);

impl Model for Exhaustive {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.0)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(&self.0, steps);
        world.faults(&self.0, steps);
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        world.take(&self.0, step);
        let after = world.without_time();
        (after != *before).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NONE_TWICE, |_, world: &World| world.broken() != Some(Broken::Twice)),
            Property::always(NONE_LOST, |_, world: &World| world.broken() != Some(Broken::Lost)),
            Property::always(BESIDE, |_, world: &World| world.broken() != Some(Broken::Beside)),
        ]
    }
}

fn holds(rules: Rules) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = Exhaustive(rules).checker().threads(threads).spawn_bfs().join();
    println!("{rules:?}: {} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.is_done());
}

#[test]
fn two_consumers_of_one_partition() {
    holds(SMALL);
}

#[test]
fn a_consumer_of_two_partitions() {
    holds(Rules { consumers: 1, partitions: 2, records: 1, ..SMALL });
}

#[test]
fn a_consumer_to_which_two_things_happen() {
    holds(Rules { consumers: 1, records: 1, faults: 2, disasters: true, ..SMALL });
}

#[test]
fn two_consumers_of_a_log_and_a_database_that_lose_something() {
    holds(Rules { records: 1, disasters: true, ..SMALL });
}

/// A bug that only shows where progress is asked for, or after more steps than can be explored, is for the simulation.
#[test]
fn mistakes_are_found() {
    for (bug, property) in [
        (Bug::OffsetsAfterTheReadings, NONE_TWICE),
        (Bug::OffsetsBeforeTheReadings, NONE_LOST),
        (Bug::NoCompareAndSet, NONE_TWICE),
        (Bug::FenceIgnored, NONE_TWICE),
        (Bug::BatchKeptAcrossRevocation, NONE_TWICE),
        (Bug::UnknownCommitTakenForFailed, NONE_TWICE),
        (Bug::FailedFetchCountsAsRead, NONE_LOST),
        (Bug::FailedFetchIsNotReadAgain, NONE_LOST),
    ] {
        let model = Exhaustive(Rules { bug: Some(bug), ..SMALL });
        let found = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let Some(path) = found.discovery(property) else {
            panic!("{bug:?}: {property:?} holds, so the model proves nothing")
        };
        println!("{bug:?} breaks {property:?} by {:?}", path.into_actions());
    }
}
