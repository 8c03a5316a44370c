//! The offset protocol, explored step by step: whatever crashes, freezes or is lost when, no reading is lost, none is
//! stored twice, and once the faults stop everything gets stored.

mod model;

use stateright::{Checker, HasDiscoveries, Model};

use crate::model::{Bug, EVERYTHING_STORED, NONE_LOST, NONE_TWICE, OffsetProtocol};

fn explored(model: OffsetProtocol) -> impl Checker<OffsetProtocol> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = model.checker().threads(threads).spawn_bfs().join();
    println!("{model:?}: {} states", checker.unique_state_count());
    checker
}

fn holds(model: OffsetProtocol) {
    let checker = explored(model);
    checker.assert_properties();
    assert!(checker.is_done());
}

#[track_caller]
fn fails(bug: Bug, property: &'static str) {
    let replays = bug == Bug::NobodyLooks;
    let model =
        OffsetProtocol { consumers: 2, partitions: 1, records: 2, faults: 2, replays, bug: Some(bug) };
    let found = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let path = found.discovery(property);
    let Some(path) = path else { panic!("{bug:?}: {property:?} holds, so the model proves nothing") };
    println!("{bug:?} breaks {property:?} by {:?}", path.into_actions());
}

#[test]
fn two_consumers_of_two_partitions() {
    holds(OffsetProtocol { consumers: 2, partitions: 2, records: 2, faults: 1, replays: false, bug: None });
}

/// Some three million states.
#[test]
fn three_consumers_of_two_partitions() {
    holds(OffsetProtocol { consumers: 3, partitions: 2, records: 1, faults: 2, replays: false, bug: None });
}

#[test]
fn three_consumers_of_one_partition() {
    holds(OffsetProtocol { consumers: 3, partitions: 1, records: 2, faults: 2, replays: false, bug: None });
}

#[test]
fn stored_offsets_that_a_person_moves_back() {
    holds(OffsetProtocol { consumers: 2, partitions: 1, records: 2, faults: 2, replays: true, bug: None });
    holds(OffsetProtocol { consumers: 2, partitions: 2, records: 1, faults: 1, replays: true, bug: None });
}

#[test]
fn offsets_outside_the_transaction_store_readings_twice() {
    fails(Bug::OffsetsOutsideTheTransaction, NONE_TWICE);
}

#[test]
fn offsets_before_the_readings_lose_some() {
    fails(Bug::OffsetsBeforeTheReadings, NONE_LOST);
}

#[test]
fn without_the_compare_and_set_readings_are_stored_twice() {
    fails(Bug::NoCompareAndSet, NONE_TWICE);
}

#[test]
fn an_assignment_reported_again_that_keeps_what_was_taken_stores_it_twice() {
    fails(Bug::AssignedAgainKeepsTheBatch, NONE_TWICE);
}

#[test]
fn a_frozen_worker_that_nobody_ends_is_waited_for_for_ever() {
    fails(Bug::NobodyEndsTheFrozen, EVERYTHING_STORED);
}

#[test]
fn an_offset_moved_under_a_consumer_that_does_not_look_stays_there() {
    fails(Bug::NobodyLooks, EVERYTHING_STORED);
}

#[test]
fn a_failed_fetch_that_counts_as_read_loses_a_reading() {
    fails(Bug::FailedFetchCountsAsRead, NONE_LOST);
}

#[test]
fn a_failed_fetch_that_is_not_read_again_loses_a_reading() {
    fails(Bug::FailedFetchIsNotReadAgain, NONE_LOST);
}
