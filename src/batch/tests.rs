use proptest::prelude::*;

use super::*;
use crate::reading::{OnDuplicate, Reason, decode::Place};

const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
const CHUNK_MICROS: i64 = 7 * 86_400_000_000;

fn window() -> Window {
    Window { since: Timestamp::from_micros(946_684_800_000_000), until: NOW.plus_micros(1_000) }
}

fn limits() -> Limits {
    Limits { max_readings: 100, max_bytes: 10_000, max_record_bytes: 1_000 }
}

fn record(partition: i32, offset: i64, payload: &str) -> Record<'_> {
    Record {
        partition,
        offset,
        timestamp: Some(NOW),
        leader_epoch: None,
        key: Some(b"1"),
        payload: Some(payload.as_bytes()),
        headers: vec![("traceparent".to_owned(), Some(b"00".to_vec()))],
    }
}

/// Of a partition where no times were given.
fn push(batch: &mut Batch, record: &Record<'_>, position: i64) {
    batch.push(record, position, &window(), &mut GivenTimes::default());
}

fn letter_of(batch: &Batch, rejected: &Rejected) -> DeadLetter {
    batch.dead_letters(std::slice::from_ref(rejected)).pop().expect("one letter")
}

#[test]
fn a_span_runs_from_the_position_before_the_first_record_over_gaps() {
    let mut batch = Batch::new(limits());
    assert!(batch.is_empty());
    push(&mut batch, &record(3, 12, r#"{"sensor_id":1,"value":1}"#), 10);
    push(&mut batch, &record(3, 20, r#"{"sensor_id":1,"value":2}"#), 13);
    push(&mut batch, &record(5, 0, "[]"), 0);
    assert_eq!(
        batch.spans(),
        [Span { partition: 3, expected: 10, next: 21 }, Span { partition: 5, expected: 0, next: 1 },]
    );
    assert_eq!(batch.rows().len(), 2);
}

#[test]
fn of_a_record_that_breaks_off_the_rest_is_one_dead_letter() {
    let mut batch = Batch::new(limits());
    push(&mut batch, &record(0, 0, r#"[{"sensor_id":1,"value":1},{"sensor_id":1,"value":"x"},{"#), 0);
    push(&mut batch, &record(0, 1, r#"[{"sensor_id":1,"val"#), 1);
    assert_eq!(batch.rows().len(), 1);
    let letters = batch.dead_letters(batch.rejected());
    let fates: Vec<_> = letters.iter().map(|letter| (letter.offset, letter.item, letter.reason)).collect();
    assert_eq!(
        fates,
        [
            (0, Some(1), Reason::InvalidValue),
            (0, Some(2), Reason::MalformedJson),
            (1, None, Reason::MalformedJson),
        ]
    );
    assert_eq!(letters[1].payload.as_deref(), Some(&b"[{"[..]));
    assert_eq!(letters[2].payload.as_deref(), Some(&br#"[{"sensor_id":1,"val"#[..]));
    assert_eq!(letters[0].key.as_deref(), Some(&b"1"[..]));
    assert_eq!(letters[0].headers.len(), 1);
}

#[test]
fn an_object_that_contradicts_itself_counts_as_one_among_its_neighbours() {
    let mut batch = Batch::new(limits());
    push(&mut batch, &record(0, 0, r#"{"sensor_id":1,"value":1}"#), 0);
    let (one, list) =
        (r#"{"sensor_id":2,"value":2}"#, r#"{"sensor_id":3,"data":[{"value":3},{"value":"x"}],"value":4}"#);
    push(&mut batch, &record(0, 1, &format!("{one}\n{list}\n{one}")), 1);
    let places: Vec<_> = batch.rows().iter().map(|row| (row.sensor_id, row.place)).collect();
    assert_eq!(places, [(1, Place::Whole), (2, Place::Item(0)), (2, Place::Item(2))]);
    let letters = batch.dead_letters(batch.rejected());
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.item, letter.reason), (Some(1), Reason::WrongShape));
    assert_eq!(letter.payload.as_deref(), Some(list.as_bytes()));
}

#[test]
fn a_dead_letter_holds_its_reading_alone() {
    let mut batch = Batch::new(limits());
    push(&mut batch, &record(0, 7, r#"{"sensor_id":4,"data":[{"value":1},{"value":"x"}]}"#), 0);
    let letter = letter_of(&batch, &batch.rejected()[0]);
    assert_eq!((letter.offset, letter.item, letter.reason), (7, Some(1), Reason::InvalidValue));
    assert_eq!(letter.payload.as_deref(), Some(&br#"{"sensor_id":4,"data":[{"value":"x"}]}"#[..]));
    let unknown = batch.reject_row(&batch.rows()[0], Reject::new(Reason::UnknownSensor, "sensor 4"));
    assert_eq!(
        letter_of(&batch, &unknown).payload.as_deref(),
        Some(&br#"{"sensor_id":4,"data":[{"value":1}]}"#[..])
    );
}

#[test]
fn a_record_without_a_value_or_too_large_counts_as_one() {
    let mut batch = Batch::new(limits());
    push(&mut batch, &Record { payload: None, key: None, ..record(0, 0, "") }, 0);
    let large = format!(r#"{{"sensor_id":1,"value":1,"note":"{}"}}"#, "x".repeat(1_000));
    push(&mut batch, &record(0, 1, &large), 1);
    let reasons: Vec<_> = batch.rejected().iter().map(Rejected::reason).collect();
    assert_eq!(reasons, [Reason::EmptyRecord, Reason::TooLarge]);
    assert_eq!(letter_of(&batch, &batch.rejected()[0]).payload, None);
}

#[test]
fn discard_takes_everything_of_a_partition() {
    let mut batch = Batch::new(limits());
    for partition in 0..3 {
        push(&mut batch, &record(partition, 0, r#"{"sensor_id":1,"value":1}"#), 0);
        push(&mut batch, &record(partition, 1, "x"), 1);
    }
    batch.discard(&BTreeSet::from([0, 2]));
    assert_eq!(batch.spans(), [Span { partition: 1, expected: 0, next: 2 }]);
    assert!(batch.rows().iter().all(|row| batch.partition_of(row) == 1));
    assert_eq!((batch.rows().len(), batch.rejected().len()), (1, 1));
}

#[test]
fn bounds_fill_a_batch() {
    let mut batch = Batch::new(Limits { max_readings: 2, ..limits() });
    push(&mut batch, &record(0, 0, r#"{"sensor_id":1,"value":1}"#), 0);
    assert!(!batch.is_full());
    push(&mut batch, &record(0, 1, "x"), 1);
    assert!(batch.is_full());
    batch.clear();
    assert!(batch.is_empty() && !batch.is_full());
}

proptest! {
    /// Readings in, readings out: each is stored or gives way, one for each key, the right one by policy.
    #[test]
    fn distinct_keeps_one_of_each_key(
        readings in proptest::collection::vec((0_i32..4, 0_i64..3, 0_i64..6), 0..80),
        overwrite in any::<bool>(),
    ) {
        let policy = if overwrite { OnDuplicate::Overwrite } else { OnDuplicate::Ignore };
        let mut batch = Batch::new(limits());
        for (offset, (partition, sensor_id, week)) in readings.iter().enumerate() {
            let time = Timestamp::from_micros(1_700_000_000_000_000 + week * CHUNK_MICROS);
            let payload = format!(r#"{{"sensor_id":{sensor_id},"value":{offset},"timestamp":"{time}"}}"#);
            let position = batch.spans().iter().find(|span| span.partition == *partition).map_or(0, |span| span.next);
            push(&mut batch, &record(*partition, offset as i64, &payload), position);
        }
        let mut rows = batch.rows().to_vec();
        sort_for_chunks(&mut rows, CHUNK_MICROS);
        let (stay, give_way) = distinct(&batch, &rows, policy);
        prop_assert_eq!(stay.len() + give_way.len(), readings.len());
        for row in &stay {
            let same_key = batch.rows().iter().filter(|other| (other.sensor_id, other.time) == (row.sensor_id, row.time));
            let best = match policy {
                OnDuplicate::Overwrite => same_key.map(|other| batch.recency(other)).max(),
                OnDuplicate::Ignore => same_key.map(|other| batch.recency(other)).min(),
            };
            prop_assert_eq!(Some(batch.recency(row)), best);
        }
        let chunks: Vec<_> = stay.iter().map(|row| row.chunk(CHUNK_MICROS)).collect();
        prop_assert!(chunks.is_sorted());
    }
}

#[test]
fn a_batch_that_lost_all_its_partitions_takes_records_again() {
    let mut batch = Batch::new(limits());
    let mut offset = 0;
    while !batch.is_full() {
        push(&mut batch, &record(3, offset, &" ".repeat(900)), offset);
        offset += 1;
    }
    batch.discard(&BTreeSet::from([3]));
    assert!(batch.is_empty() && !batch.is_full());
}

#[test]
fn a_dead_letter_keeps_the_time_that_its_reading_was_given() {
    let mut batch = Batch::new(limits());
    let mut given = GivenTimes::default();
    let payload = r#"[{"sensor_id":4,"value":1},{"sensor_id":4,"value":2,"timestamp":1700000000},{"sensor_id":4,"value":3},{"sensor_id":4,"value":"x"}]"#;
    batch.push(&record(0, 0, payload), 0, &window(), &mut given);
    batch.push(&record(0, 1, r#"{"sensor_id":4,"value":4}"#), 1, &window(), &mut given);
    let late = Some(NOW.plus_micros(1_000));
    batch.push(
        &Record { timestamp: late, ..record(0, 2, r#"{"sensor_id":4,"value":5}"#) },
        2,
        &window(),
        &mut given,
    );
    let unknown = |row| batch.reject_row(row, Reject::new(Reason::UnknownSensor, "sensor 4"));
    let letters = batch.rows().iter().map(unknown).chain(batch.rejected().iter().cloned());
    let times = |letter: DeadLetter| (letter.record_time, letter.reading_time);
    let found: Vec<_> = letters.map(|rejected| times(letter_of(&batch, &rejected))).collect();
    let at = |micros| (Some(NOW), Some(NOW.plus_micros(micros)));
    assert_eq!(found, [at(0), (Some(NOW), None), at(2), at(3), (late, late), (Some(NOW), None)]);
}

#[test]
fn without_a_timestamp_of_either_a_reading_is_set_aside() {
    let mut batch = Batch::new(limits());
    let payload = r#"[{"sensor_id":4,"value":1},{"sensor_id":4,"value":2,"timestamp":1700000000}]"#;
    push(&mut batch, &Record { timestamp: None, ..record(0, 0, payload) }, 0);
    let [rejected] = batch.rejected() else { panic!("one dead letter") };
    let letter = letter_of(&batch, rejected);
    assert_eq!((letter.item, letter.reason), (Some(0), Reason::InvalidTimestamp));
    assert_eq!((letter.record_time, letter.reading_time), (None, None));
    assert_eq!(batch.rows().len(), 1);
    assert_eq!(batch.oldest(0).unwrap().appended, None);
}

#[test]
fn which_of_two_equal_readings_stays_is_for_the_offset_to_say() {
    let mut batch = Batch::new(limits());
    for (offset, millis) in [(0, 2), (1, 1)] {
        let payload = format!(r#"{{"sensor_id":1,"value":{offset},"timestamp":1700000000}}"#);
        let timestamp = Some(Timestamp::from_millis(millis));
        push(&mut batch, &Record { timestamp, ..record(0, offset, &payload) }, offset);
    }
    for (policy, value) in [(OnDuplicate::Ignore, 0.0), (OnDuplicate::Overwrite, 1.0)] {
        let (stay, _) = distinct(&batch, batch.rows(), policy);
        assert_eq!(stay.iter().map(|row| row.value).collect::<Vec<_>>(), [value], "{policy:?}");
    }
}

#[test]
fn what_is_stored_beside_an_offset_goes_with_its_partition() {
    let mut batch = Batch::new(limits());
    let given = GivenTimes::default();
    for partition in 0..2 {
        push(&mut batch, &record(partition, 0, "[]"), 0);
    }
    let spans = [0, 1].map(|partition| Span { partition, expected: 0, next: 1 });
    let last = record(1, 0, "[]").identity();
    batch.seal(
        spans.to_vec(),
        |partition| (partition == 1).then_some(&given),
        |partition| (partition == 1).then_some(last),
    );
    assert_eq!((batch.given_times(0), batch.last_record(0)), (None, None));
    assert_eq!(batch.given_times(1), Some(given.to_bytes(1).as_slice()));
    assert_eq!(batch.last_record(1), Some(last.to_bytes(1).as_slice()));
    batch.clear();
    assert_eq!((batch.given_times(1), batch.last_record(1)), (None, None));
}

/// Else a few megabytes of records, each with a long name beside a list of bad items, would be hundreds in memory.
#[test]
fn what_is_cut_out_of_records_fills_a_batch() {
    let mut batch =
        Batch::new(Limits { max_readings: 100_000, max_bytes: 100_000, max_record_bytes: 1_000_000 });
    let beside = "x".repeat(2_000);
    let payload = format!(r#"{{"sensor_id":"{beside}","data":[{}[]]}}"#, "[],".repeat(9));
    let mut records = 0;
    while !batch.is_full() {
        push(&mut batch, &record(0, records, &payload), records);
        records += 1;
    }
    assert_eq!(records, 5, "ten copies of what stands beside in each");
    batch.clear();
    assert!(!batch.is_full());
}

#[test]
fn of_a_record_that_is_cut_in_another_way_by_now_nothing_is_taken() {
    let payload = r#"[{"sensor_id":1,"value":1},{"sensor_id":1,"value":2},{}]"#;
    for (readings, is_taken) in [(3, true), (4, false), (2, false)] {
        let mut batch = Batch::new(limits());
        let is_part = |place| place < 5;
        let part = PartToDecode {
            readings,
            has: &is_part,
            time_of: &|_| Some(NOW),
            reason: Reason::UnknownSensor,
            first: 0,
            most: usize::MAX,
            refused_before: &|_| unreachable!("all are tried"),
        };
        let taken = batch.push_part(&record(0, 0, payload), &window(), &part).is_some();
        assert_eq!((taken, batch.rows().len()), (is_taken, if is_taken { 2 } else { 0 }), "{readings}");
        assert_eq!(batch.reading_count(), if is_taken { 3 } else { 0 });
    }
}
