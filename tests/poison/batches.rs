//! What a batch makes of records, against a model that is a map: none of the readings is lost, and of those for the
//! same sensor and time the right one stays.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::select};
use sensorpipe::{
    batch::{Batch, Limits, Record, distinct, sort_for_chunks},
    reading::{OnDuplicate, Reading, Timestamp, untimed::GivenTimes},
};

use crate::{
    grammar,
    made_up::cases,
    targets::{
        self,
        reference::{self, RECEIVED, WINDOW},
    },
};

const CHUNK_MICROS: i64 = 7 * 86_400_000_000;
const PARTITIONS: i32 = 3;

/// Records of few sensors and times, so that many of their readings are for the same; and some of any kind.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let item = (0_i32..3, 0_i64..3, any::<i16>()).prop_map(|(sensor_id, week, value)| {
        let time = Timestamp::from_micros(1_700_000_000_000_000 + week * CHUNK_MICROS);
        format!(r#"{{"sensor_id":{sensor_id},"value":{value},"timestamp":"{time}"}}"#)
    });
    let items = vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(",")).into_bytes());
    prop_oneof![4 => items, 1 => grammar::spoilt(grammar::record())]
}

/// A record's place in the order of the log: the later one wins where the policy says so.
type Recency = (i32, i64, u32);

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_batch_is_what_the_model_says(
        records in vec((0..PARTITIONS, 1_i64..4, payload()), 0..12),
        policy in select(vec![OnDuplicate::Ignore, OnDuplicate::Overwrite]),
        lost in 0..PARTITIONS,
    ) {
        let mut batch = Batch::new(Limits { max_readings: 1_000, max_bytes: 1 << 20, max_record_bytes: 1 << 20 });
        let mut positions = [0_i64; PARTITIONS as usize];
        let mut model: BTreeMap<i32, Vec<(Recency, Reading)>> = BTreeMap::new();
        let mut rejects: BTreeMap<i32, Vec<(i64, Option<i32>)>> = BTreeMap::new();
        for (number, (partition, gap, payload)) in (0_i64..).zip(&records) {
            let position = positions[*partition as usize];
            let offset = position + gap - 1;
            positions[*partition as usize] = offset + 1;
            // So far apart that no time that is given depends on another one.
            let received = RECEIVED.plus_micros(-number * 2_000_000);
            batch.push(
                &Record { partition: *partition, offset, timestamp: Some(received), leader_epoch: None, key: None, payload: Some(payload), headers: vec![] },
                position,
                &WINDOW,
                &mut GivenTimes::default(),
            );
            let outcomes = reference::record(payload, 1).unwrap_or_else(|| targets::decode::outcomes(payload));
            for (item, outcome) in outcomes {
                match outcome {
                    Ok(mut reading) => {
                        // The reference has one time of receipt, and a batch that of each record and place.
                        if reading.time == RECEIVED {
                            reading.time = received.plus_micros(i64::from(item.unwrap_or(0)));
                        }
                        let recency = (*partition, offset, item.unwrap_or(0));
                        model.entry(*partition).or_default().push((recency, reading));
                    }
                    Err(_) => rejects.entry(*partition).or_default().push((offset, item.map(|item| item as i32))),
                }
            }
        }
        agrees(&batch, &model, &rejects, policy)?;
        // A partition that went to another consumer takes all that is its with it, and nothing else.
        batch.discard(&BTreeSet::from([lost]));
        model.remove(&lost);
        rejects.remove(&lost);
        agrees(&batch, &model, &rejects, policy)?;
        prop_assert!(!batch.has(lost));
    }
}

fn agrees(
    batch: &Batch,
    model: &BTreeMap<i32, Vec<(Recency, Reading)>>,
    rejects: &BTreeMap<i32, Vec<(i64, Option<i32>)>>,
    policy: OnDuplicate,
) -> Result<(), TestCaseError> {
    let mut found: BTreeMap<i32, Vec<(i64, Option<i32>)>> = BTreeMap::new();
    for letter in batch.dead_letters(batch.rejected()) {
        found.entry(letter.partition).or_default().push((letter.offset, letter.item));
    }
    prop_assert_eq!(&found, rejects, "dead letters");

    let mut by_key: BTreeMap<(i32, i64), (Recency, u64)> = BTreeMap::new();
    for (recency, reading) in model.values().flatten() {
        let candidate = (*recency, reading.value.to_bits());
        let best = by_key.entry((reading.sensor_id, reading.time.micros())).or_insert(candidate);
        let candidate_wins = match policy {
            OnDuplicate::Ignore => candidate.0 < best.0,
            OnDuplicate::Overwrite => candidate.0 > best.0,
        };
        if candidate_wins {
            *best = candidate;
        }
    }
    let mut rows = batch.rows().to_vec();
    sort_for_chunks(&mut rows, CHUNK_MICROS);
    let (stay, give_way) = distinct(batch, &rows, policy);
    let readings: usize = model.values().map(Vec::len).sum();
    prop_assert_eq!(stay.len() + give_way.len(), readings, "every reading is a row or a duplicate");
    let stored: BTreeMap<(i32, i64), u64> = stay
        .iter()
        .map(|row| ((row.sensor_id, Timestamp::from_postgres_micros(row.time).micros()), row.value.to_bits()))
        .collect();
    prop_assert_eq!(stored.len(), stay.len(), "one row for each key");
    let expected: BTreeMap<(i32, i64), u64> =
        by_key.into_iter().map(|(key, (_, value))| (key, value)).collect();
    prop_assert_eq!(stored, expected);
    Ok(())
}
