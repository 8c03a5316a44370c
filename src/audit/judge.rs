//! What the figures mean: differences, and what is worth saying but is none.

use super::{Books, Difference, Note, Outcomes, Plan, TableBooks};
use crate::{batch::Tally, reading::OnDuplicate};

/// All that is known of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Its row of `ingest_offsets`, in the snapshot.
    pub books: &'a Books,
    /// What was read of its log.
    pub plan: Plan,
    /// Readings before counts are known.
    pub before: Outcomes,
    /// Readings that counts are held against.
    pub counted: Outcomes,
    /// Its dead letters, in the snapshot.
    pub letters: DeadLetterBooks,
    /// Dead letters that were removed or not kept by the end of the audit.
    pub letters_removed: i64,
    /// Of these, those that were not kept.
    pub letters_not_kept: i64,
    /// Which of two equal readings stays.
    pub on_duplicate: OnDuplicate,
}

/// Dead letters of a partition of a topic's name, over all clusters and since ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterBooks {
    /// Readings counted as dead-lettered.
    pub counted: i64,
    /// Those that are there.
    pub kept: i64,
    /// Those that were replayed, discarded, have expired or were never kept.
    pub removed: i64,
    /// Of these, those that were never kept.
    pub not_kept: i64,
}

/// What the evidence says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What must not be.
    pub differences: Vec<Difference>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
    /// The counts of the offsets that were compared.
    pub tally: Tally,
}

/// Judges a partition.
pub fn judge(evidence: &Evidence<'_>) -> Judged {
    let Evidence { books, plan, before, counted, letters, .. } = evidence;
    let mut judged = Judged::default();
    let point = plan.counted_from.unwrap_or_default();
    let letters_removed = evidence.letters_removed - point.letters_removed;
    let letters_not_kept = evidence.letters_not_kept - point.letters_not_kept;

    // A dead letter that was there may have been of any reading; one that was not kept is between the offsets noted.
    let not_kept = before.not_kept + counted.not_kept;
    let explained = not_kept.min(letters_not_kept);
    let unaccounted = before.unaccounted + counted.unaccounted + not_kept - explained;
    let others_removed = letters_removed - letters_not_kept;
    if unaccounted > others_removed {
        judged.differences.push(Difference::Unaccounted { readings: unaccounted - others_removed });
    } else if unaccounted > 0 {
        judged.notes.push(Note::DeadLettersRemoved { readings: unaccounted });
    }
    if explained > 0 {
        judged.notes.push(Note::DeadLettersNotKept { readings: explained });
    }

    let mut missing_dead_letters = letters.counted - letters.kept - letters.removed;
    let mut explained_values = i64::MAX;
    match plan.counted_from {
        None => judged.notes.push(Note::CountsUnknown),
        Some(point) => {
            let tally = books.tally - point.tally;
            judged.tally = tally;
            let sum = tally.stored + tally.duplicates + tally.dead_lettered;
            let went_back = tally.stored.min(tally.duplicates).min(tally.dead_lettered) < 0;
            if counted.readings != sum || went_back {
                judged.differences.push(Difference::Counts { log: counted.readings, counted: sum });
            }
            let gone = tally.dead_lettered - counted.letters;
            if gone < 0 {
                judged.differences.push(Difference::DeadLettersUncounted { letters: -gone });
            }
            missing_dead_letters = missing_dead_letters.max(gone - letters_removed);
            if evidence.on_duplicate == OnDuplicate::Ignore {
                // Who was stored has the value; who gave way may not. A dead letter that was replayed may find a row.
                explained_values = tally.duplicates + gone.max(0);
            }
            if point.offset > plan.from {
                judged.notes.push(Note::CountsFrom { offset: point.offset });
            }
        }
    }
    if missing_dead_letters > 0 {
        judged.differences.push(Difference::DeadLettersMissing { letters: missing_dead_letters });
    }
    if counted.other_values > explained_values {
        let (readings, explained) = (counted.other_values, explained_values);
        judged.differences.push(Difference::OtherValues { readings, explained });
    } else if before.other_values + counted.other_values > 0 {
        judged.notes.push(Note::OtherValues { readings: before.other_values + counted.other_values });
    }
    judged
}

/// Judges values over all partitions where the last of two equal readings stays: each reading that was overwritten
/// is one duplicate, whichever partition that came from. `duplicates` are those counted by the end of the audit.
pub fn judge_overwritten(other_values: i64, duplicates: i64, letters_gone: i64) -> Option<Difference> {
    let explained = duplicates + letters_gone;
    (other_values > explained).then_some(Difference::OtherValues { readings: other_values, explained })
}

/// Judges the table as a whole.
pub fn judge_table(table: &TableBooks) -> (Option<Difference>, Option<Note>) {
    match table.surplus() {
        0 => (None, None),
        rows @ 1.. => (None, Some(Note::ForeignRows { rows })),
        rows => (Some(Difference::RowsMissing { rows: -rows }), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::Point, reading::untimed::GivenTimes};

    /// 100 readings before a checkpoint, and 60 + 10 + 5 after it.
    struct Case {
        books: Books,
        counted: Outcomes,
        letters: DeadLetterBooks,
        on_duplicate: OnDuplicate,
        letters_removed: i64,
        letters_not_kept: i64,
    }

    impl Case {
        fn clean() -> Self {
            let tally = Tally { stored: 160, duplicates: 10, dead_lettered: 5 };
            Self {
                books: Books {
                    partition: 0,
                    topic_id: "t".to_owned(),
                    first_offset: 0,
                    next_offset: 99,
                    gap: None,
                    tally,
                    given_times: GivenTimes::default(),
                },
                counted: Outcomes { readings: 75, rows: 70, letters: 5, ..Outcomes::default() },
                letters: DeadLetterBooks { counted: 5, kept: 5, removed: 0, not_kept: 0 },
                on_duplicate: OnDuplicate::Ignore,
                letters_removed: 0,
                letters_not_kept: 0,
            }
        }

        fn judged(&self) -> Judged {
            let tally = Tally { stored: 100, ..Tally::default() };
            judge(&Evidence {
                books: &self.books,
                plan: Plan {
                    from: 50,
                    until: 99,
                    counted_from: Some(Point { offset: 50, tally, ..Point::default() }),
                    is_resumed: false,
                },
                before: Outcomes::default(),
                counted: self.counted,
                letters: self.letters,
                letters_removed: self.letters_removed,
                letters_not_kept: self.letters_not_kept,
                on_duplicate: self.on_duplicate,
            })
        }

        fn kinds(&self) -> Vec<&'static str> {
            self.judged().differences.iter().map(Difference::kind).collect()
        }
    }

    #[test]
    fn what_adds_up_is_no_difference() {
        let judged = Case::clean().judged();
        let tally = Tally { stored: 60, duplicates: 10, dead_lettered: 5 };
        assert_eq!(judged, Judged { differences: vec![], notes: vec![], tally });
    }

    #[test]
    fn counts_must_be_the_logs() {
        for (readings, message) in [
            (76, "the log has 76 readings, the counts say 75: a gap of 1"),
            (70, "the log has 70 readings, the counts say 75: an overlap of 5"),
        ] {
            let mut case = Case::clean();
            case.counted.readings = readings;
            let differences = case.judged().differences;
            assert_eq!(differences.iter().map(ToString::to_string).collect::<Vec<_>>(), [message]);
        }
        let mut case = Case::clean();
        case.books.tally = Tally { stored: 99, duplicates: 71, dead_lettered: 5 };
        assert_eq!(case.kinds(), ["counts"], "a count that went back");
    }

    #[test]
    fn a_lost_reading_is_one_and_a_removed_letters_is_none() {
        let mut case = Case::clean();
        (case.counted.rows, case.counted.unaccounted) = (69, 1);
        assert_eq!(case.kinds(), ["unaccounted"]);

        let mut case = Case::clean();
        (case.counted.letters, case.counted.unaccounted) = (3, 2);
        case.letters.kept = 3;
        assert_eq!(case.kinds(), ["unaccounted", "letters_missing"]);
        // Removed after the snapshot, before the look-ups.
        case.letters_removed = 2;
        assert_eq!(case.kinds(), ["letters_missing"], "the snapshot itself must add up");
        case.letters.removed = 2;
        assert_eq!(case.kinds(), Vec::<&str>::new());
        assert_eq!(case.judged().notes, [Note::DeadLettersRemoved { readings: 2 }]);
        case.letters_removed = 1;
        assert_eq!(case.kinds(), ["unaccounted", "letters_missing"], "one is explained, one is not");

        let mut case = Case::clean();
        (case.counted.letters, case.counted.rows) = (6, 69);
        assert_eq!(case.kinds(), ["letters_uncounted"]);
    }

    #[test]
    fn letters_that_were_not_kept_explain_what_is_where_they_were() {
        let not_kept = |in_ranges, elsewhere| {
            let mut case = Case::clean();
            (case.counted.letters, case.letters.kept) = (2, 2);
            (case.letters.removed, case.letters_removed, case.letters_not_kept) = (3, 3, 3);
            (case.counted.not_kept, case.counted.unaccounted) = (in_ranges, elsewhere);
            case.counted.rows = 73 - in_ranges - elsewhere;
            case
        };
        let case = not_kept(3, 0);
        assert_eq!(case.kinds(), Vec::<&str>::new());
        assert_eq!(case.judged().notes, [Note::DeadLettersNotKept { readings: 3 }]);
        assert_eq!(not_kept(2, 1).kinds(), ["unaccounted"], "not where letters were not kept");
        assert_eq!(not_kept(4, 0).kinds(), ["unaccounted"], "more than were not kept");
        let mut case = not_kept(4, 0);
        (case.letters.removed, case.letters_removed) = (4, 4);
        assert_eq!(case.kinds(), Vec::<&str>::new(), "one was discarded");
    }

    #[test]
    fn another_value_needs_a_duplicate() {
        let mut case = Case::clean();
        (case.counted.rows, case.counted.other_values) = (60, 10);
        assert_eq!(case.kinds(), Vec::<&str>::new());
        assert_eq!(case.judged().notes, [Note::OtherValues { readings: 10 }]);
        (case.counted.rows, case.counted.other_values) = (59, 11);
        assert_eq!(case.kinds(), ["other_values"]);
        case.on_duplicate = OnDuplicate::Overwrite;
        assert_eq!(case.kinds(), Vec::<&str>::new(), "that is for all partitions together");
        assert_eq!(judge_overwritten(11, 11, 0), None);
        assert!(judge_overwritten(12, 10, 1).is_some());
    }

    #[test]
    fn the_table_may_have_more_rows_and_never_fewer() {
        let table = |rows| TableBooks { rows, stored: 100, expired: 20, sensors_removed: 10 };
        assert_eq!(judge_table(&table(70)), (None, None));
        assert_eq!(judge_table(&table(75)), (None, Some(Note::ForeignRows { rows: 5 })));
        assert_eq!(judge_table(&table(68)), (Some(Difference::RowsMissing { rows: 2 }), None));
    }
}
