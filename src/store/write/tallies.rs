//! What became of a batch, counted.

use std::collections::BTreeMap;

use super::{Report, readings::Stored};
use crate::{
    batch::{Batch, Rejected, Row, Tally},
    reading::Reason,
};

/// Outcomes by partition, for every partition of the batch.
pub(super) fn tally(
    batch: &Batch,
    rows: &[Row],
    duplicates: &[Row],
    rejected: &[Rejected],
    stored: &Stored,
) -> BTreeMap<i32, Tally> {
    let mut tallies: BTreeMap<i32, Tally> =
        batch.spans().iter().map(|span| (span.partition, Tally::default())).collect();
    for row in rows {
        tallies.entry(batch.partition_of(row)).or_default().stored += 1;
    }
    for row in duplicates {
        tallies.entry(batch.partition_of(row)).or_default().duplicates += 1;
    }
    for (partition, _) in batch.reasons_of(rejected) {
        tallies.entry(partition).or_default().dead_lettered += 1;
    }
    for (&partition, &not_stored) in &stored.duplicates {
        let tally = tallies.entry(partition).or_default();
        tally.stored -= not_stored;
        tally.duplicates += not_stored;
    }
    for (&partition, &refused) in &stored.refused {
        tallies.entry(partition).or_default().stored -= refused;
    }
    tallies
}

pub(super) fn report(batch: &Batch, tallies: &BTreeMap<i32, Tally>, rejected: &[Rejected]) -> Report {
    let mut report = Report::default();
    for tally in tallies.values() {
        report.total += *tally;
    }
    for reason in Reason::ALL {
        let count = batch.reasons_of(rejected).filter(|(_, other)| *other == reason).count();
        if count > 0 {
            report.reasons.push((reason, count as u64));
        }
    }
    debug_assert_eq!(
        report.total.stored + report.total.duplicates + report.total.dead_lettered,
        batch.reading_count() as i64,
        "each reading meets one fate"
    );
    report
}
