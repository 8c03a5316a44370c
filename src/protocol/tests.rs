//! What a consumer decides in the plain cases; `tests/offset_protocol` has the others.

use std::time::Duration;

use super::*;
use crate::log::{Fence, FetchFault, Gap, RecordIdentity, Span, StoredOffset, Unreadable};

const BOUNDS: Bounds = Bounds { linger: Duration::from_millis(100), drain_timeout: Duration::from_secs(10) };
const NOW: Time = Duration::from_secs(1_000);

/// A state, and what it wanted done last.
struct Told(State<u8>, Vec<Action>);

impl Told {
    /// A member that was given these partitions at these offsets.
    fn reading(starts: &[(i32, i64)]) -> Self {
        let mut told = Self(State::new(BOUNDS), vec![]);
        told.on(Event::Joined { topic_id: "t".to_owned() }, NOW);
        let asked: Vec<i32> = starts.iter().map(|(partition, _)| *partition).collect();
        told.on(Event::Assigned(asked.clone()), NOW);
        let start = |&(partition, offset)| PartitionStart::new(stored(partition, offset), "t", None, None);
        told.on(Event::Starts { asked, starts: starts.iter().map(start).collect() }, NOW);
        assert_eq!(told.1, [Action::Assign(starts.to_vec()), Action::Settled]);
        told
    }

    fn on(&mut self, event: Event<u8>, now: Time) -> &[Action] {
        self.1.clear();
        self.0.on(event, now, &mut self.1);
        &self.1
    }

    fn takes(&mut self, partition: i32, next: i64) {
        assert_eq!(self.on(taken(partition, next), NOW), []);
    }

    /// What it wants done after so long.
    fn after(&mut self, waited: Duration) -> &[Action] {
        self.on(Event::Turn { is_full: false }, NOW + waited)
    }
}

fn taken(partition: i32, next: i64) -> Event<u8> {
    Event::Taken { partition, next, last_record: record(next - 1) }
}

fn record(offset: i64) -> RecordIdentity {
    RecordIdentity::new(offset, None, None, None, None)
}

fn stored(partition: i32, next_offset: i64) -> StoredOffset<u8> {
    StoredOffset { partition, next_offset, topic_id: "t".to_owned(), given_times: 0, last_record: None }
}

fn fence(partition: i32, next_offset: i64) -> Fence<u8> {
    Fence { partition, stored: Some(stored(partition, next_offset)), is_written: false }
}

fn span(partition: i32, expected: i64, next: i64) -> Span {
    Span { partition, expected, next }
}

#[test]
fn records_are_taken_once_and_over_gaps() {
    let told = Told::reading(&[(4, 100)]);
    let mut run = told.0.run(4).unwrap();
    let takes = [99, 100, 100, 107, 103].map(|offset| run.meet(offset, || record(offset)) == Met::Taken);
    assert_eq!(takes, [false, true, false, true, false]);
    assert_eq!((run.next, told.0.run(5)), (108, None));
}

#[test]
fn a_batch_is_written_when_it_is_full_or_has_lingered_and_the_writer_is_free() {
    let mut told = Told::reading(&[(4, 100), (5, 7)]);
    told.takes(4, 103);
    assert_eq!(told.after(Duration::ZERO), []);
    assert_eq!(told.after(BOUNDS.linger), [Action::Write(vec![span(4, 100, 103)])]);
    told.takes(4, 110);
    told.takes(5, 8);
    assert_eq!(told.after(BOUNDS.linger), [], "one is in flight");
    assert_eq!(told.on(Event::Committed, NOW), [Action::Recycle]);
    let full = told.on(Event::Turn { is_full: true }, NOW);
    assert_eq!(full, [Action::Write(vec![span(4, 103, 110), span(5, 7, 8)])]);
}

#[test]
fn what_holds_no_record_is_passed_without_a_reading() {
    let mut told = Told::reading(&[(4, 100)]);
    told.on(Event::Passed { partition: 4, offset: 105 }, NOW);
    assert_eq!(told.0.position(4), Some(100), "not before it is time to");
    let second = Duration::from_secs(1);
    assert_eq!(told.after(second), [Action::CommitToKafka(vec![(4, 100)])]);
    assert_eq!(told.after(second + BOUNDS.linger), [Action::Write(vec![span(4, 100, 105)])]);
}

#[test]
fn of_a_fenced_batch_the_rest_goes_again() {
    let mut told = Told::reading(&[(1, 0), (2, 0), (3, 0)]);
    for partition in 1..=3 {
        told.takes(partition, 5);
    }
    told.after(BOUNDS.linger);
    let there = Fence { is_written: true, ..fence(1, 5) };
    let wanted = told.on(Event::Fenced(vec![there, fence(2, 9)]), NOW).to_vec();
    let again = Action::WriteAgain { without: vec![1, 2] };
    let discard = Action::Discard(vec![2]);
    assert_eq!(wanted, [Action::ReportMoved(2, 9), discard, Action::Reread(2, 9), again]);
    assert_eq!(told.0.in_flight(), [span(3, 0, 5)]);
}

#[test]
fn a_batch_of_the_topic_before_is_dropped() {
    let mut told = Told::reading(&[(1, 0)]);
    told.takes(1, 5);
    told.after(BOUNDS.linger);
    told.on(Event::TopicIs("u".to_owned()), NOW);
    assert!(matches!(told.after(Duration::ZERO), [.., Action::Leave { .. }]));
    told.on(Event::Joined { topic_id: "u".to_owned() }, NOW);
    let of_the_new = StoredOffset { topic_id: "u".to_owned(), ..stored(1, 0) };
    let fences = vec![Fence { partition: 1, stored: Some(of_the_new), is_written: false }];
    assert_eq!(told.on(Event::Fenced(fences), NOW), [Action::Recycle]);
}

#[test]
fn a_revoked_partition_goes_once_its_readings_are_committed_or_time_is_up() {
    let mut told = Told::reading(&[(1, 0)]);
    told.takes(1, 5);
    told.after(BOUNDS.linger);
    assert_eq!(told.on(Event::Revoked(vec![1]), NOW), [Action::Hold(vec![1])]);
    assert_eq!(told.0.run(1), None);
    assert_eq!(told.after(BOUNDS.drain_timeout / 100), []);
    let mut late = Told(told.0.clone(), vec![]);
    assert!(late.after(BOUNDS.drain_timeout).contains(&Action::GiveUp(vec![1])));
    told.on(Event::Committed, NOW);
    let wanted = told.after(Duration::ZERO).to_vec();
    assert!(
        wanted.contains(&Action::CommitToKafka(vec![(1, 5)])) && wanted.contains(&Action::GiveUp(vec![1]))
    );
}

#[test]
fn a_failed_fetch_moves_nothing_and_is_read_again_from_the_position() {
    let mut told = Told::reading(&[(1, 0)]);
    told.takes(1, 5);
    let fault = FetchFault::Lasting(Unreadable::UnsupportedCodec);
    let wanted = told.on(Event::FetchFailed { partition: 1, fault }, NOW);
    assert_eq!(wanted, [Action::ReportUnreadable(1, Unreadable::UnsupportedCodec)]);
    assert_eq!(told.0.run(1), None);
    let wanted = told.after(Duration::from_millis(250)).to_vec();
    assert_eq!(wanted[0], Action::Reread(1, 4), "from the last record that was taken");
    assert_eq!(told.on(taken(1, 6), NOW), [Action::ReportReadable(1)]);
}

#[test]
fn a_gap_is_for_an_operator() {
    let mut told = Told::reading(&[(1, 0)]);
    let fault = FetchFault::OffsetOutOfRange;
    let wanted = told.on(Event::FetchFailed { partition: 1, fault }, NOW);
    assert_eq!(wanted, [Action::Compare { partition: 1, position: 0 }]);
    let found = Compared::Gap(Gap::RecordsExpired);
    let wanted = told.on(Event::Compared { partition: 1, found }, NOW);
    assert_eq!(wanted, [Action::ReportGap(1, Gap::RecordsExpired), Action::Unassign(vec![1])]);
    let look = Duration::from_secs(3);
    assert!(matches!(told.after(look), [Action::ReadStoredOffsets { .. }]));
    let looked = |at| Event::StoredOffsetsRead {
        asked: vec![1],
        stored: vec![stored(1, at)],
        has_reported: Some(true),
    };
    assert_eq!(told.on(looked(0), NOW), [], "nobody has moved it");
    assert!(matches!(told.after(look * 2), [Action::ReadStoredOffsets { .. }]));
    assert!(matches!(told.on(looked(50), NOW), [.., Action::RequestStartOffsets(asked)] if *asked == [1]));
}

#[test]
fn kafka_is_told_once_and_again_where_it_did_not_listen() {
    let mut told = Told::reading(&[(1, 7)]);
    let tell = Action::CommitToKafka(vec![(1, 7)]);
    assert!(told.after(Duration::from_secs(1)).contains(&tell));
    assert!(!told.after(Duration::from_secs(2)).contains(&tell));
    told.on(Event::OffsetsNotTaken, NOW);
    assert!(told.after(Duration::from_secs(3)).contains(&tell));
}
