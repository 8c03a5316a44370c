//! Which part of a partition's log is audited, and which counts are held against it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    batch::Tally,
    log::{Gap, Watermarks},
    reading::untimed::GivenTimes,
};

/// A row of `ingest_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    /// The partition.
    pub partition: i32,
    /// The topic that the offsets belong to.
    pub topic_id: String,
    /// Where ingestion began.
    pub first_offset: i64,
    /// First offset that is not stored.
    pub next_offset: i64,
    /// What a worker has found the log to have against it.
    pub gap: Option<Gap>,
    /// Outcomes of all readings so far.
    pub tally: Tally,
    /// The times that readings without a timestamp were given last.
    pub given_times: GivenTimes,
}

/// A row of `audit_checkpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The partition.
    pub partition: i32,
    /// The topic that the offset belongs to.
    pub topic_id: String,
    /// The counts at an offset.
    pub point: Point,
    /// Nothing before it is looked at.
    pub starts_anew: bool,
    /// When it was kept.
    pub kept_at: DateTime<Utc>,
    /// The times that readings without a timestamp were given last; none where that was not kept.
    pub given_times: Option<GivenTimes>,
}

/// Cumulative counts at an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The first offset that is not in the counts.
    pub offset: i64,
    /// Outcomes of the readings before it.
    pub tally: Tally,
    /// Dead letters that were removed or not kept by then, where that is known; else 0.
    pub letters_removed: i64,
    /// Of these, those that were not kept.
    #[serde(default)]
    pub letters_not_kept: i64,
}

/// Where an earlier round ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The topic that the offset belongs to.
    pub topic_id: String,
    /// The counts there.
    pub point: Point,
    /// When they were read.
    pub taken_at: DateTime<Utc>,
    /// The times that readings without a timestamp were given last.
    pub given_times: GivenTimes,
}

/// The times that readings without a timestamp were given last, where that is known: from there on their times are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTimes {
    /// The first offset that has no part in them.
    pub offset: i64,
    /// The times.
    pub given: GivenTimes,
}

/// What is audited of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The first offset that is read.
    pub from: i64,
    /// The first offset that is not.
    pub until: i64,
    /// From where on counts are held against the log; none where it does not reach back to any that are known.
    pub counted_from: Option<Point>,
    /// Whether it goes on where an earlier round ended.
    pub is_resumed: bool,
}

/// Why a partition cannot be audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// They contradict each other.
    #[error("{}", .0.meaning())]
    Gap(Gap),
    /// The topic has no such partition.
    #[error("the topic has no such partition")]
    NoSuchPartition,
}

/// Where on the way through a plan the times that readings were given are known first; none where they never are.
///
/// They are where ingestion or an audit began, and at a checkpoint. Where retention has taken the records before, they
/// may not be.
pub fn known_times(
    plan: &Plan,
    books: &Books,
    checkpoints: &[Checkpoint],
    resume: Option<&Resume>,
) -> Option<KnownTimes> {
    let known_at = |offset: i64| {
        if let Some(resume) = resume.filter(|_| plan.is_resumed) {
            return Some(resume.given_times.clone());
        }
        let is_there = |kept: &&Checkpoint| {
            kept.partition == books.partition
                && kept.topic_id == books.topic_id
                && kept.point.offset == offset
        };
        match checkpoints.iter().find(is_there) {
            Some(Checkpoint { given_times: Some(given), .. }) => Some(given.clone()),
            // Whoever moved the offset here had none.
            Some(Checkpoint { starts_anew: true, .. }) => Some(GivenTimes::default()),
            _ => (offset == books.first_offset).then(GivenTimes::default),
        }
    };
    [Some(plan.from), plan.counted_from.map(|point| point.offset)]
        .into_iter()
        .flatten()
        .find_map(|offset| Some(KnownTimes { offset, given: known_at(offset)? }))
}

/// Decides what is audited. `log` is the partition's range as Kafka tells it after the books were read.
pub fn plan(
    books: &Books,
    checkpoints: &[Checkpoint],
    resume: Option<&Resume>,
    topic_id: &str,
    log: Option<Watermarks>,
) -> Result<Plan, Obstacle> {
    let log = match log {
        Some(log) => log,
        None if books.topic_id != topic_id => return Err(Obstacle::Gap(Gap::TopicRecreated)),
        None => return Err(Obstacle::NoSuchPartition),
    };
    if let Some(gap) = Gap::between(&books.topic_id, books.next_offset, topic_id, log).or(books.gap) {
        return Err(Obstacle::Gap(gap));
    }
    let until = books.next_offset;
    let ours = || {
        checkpoints.iter().filter(|kept| {
            kept.partition == books.partition && kept.topic_id == topic_id && kept.point.offset <= until
        })
    };
    let anew = ours().filter(|kept| kept.starts_anew).max_by_key(|kept| kept.point.offset);
    if let Some(resume) = resume.filter(|resume| {
        resume.topic_id == topic_id
            && (log.low..=until).contains(&resume.point.offset)
            && anew.is_none_or(|anew| anew.kept_at < resume.taken_at)
    }) {
        let (from, counted_from) = (resume.point.offset, Some(resume.point));
        return Ok(Plan { from, until, counted_from, is_resumed: true });
    }
    let start = match anew {
        Some(anew) => anew.point,
        None => Point { offset: books.first_offset, ..Point::default() },
    };
    let counted_from = if start.offset >= log.low {
        Some(start)
    } else {
        ours().map(|kept| kept.point).filter(|point| point.offset >= log.low).min_by_key(|point| point.offset)
    };
    Ok(Plan { from: start.offset.max(log.low), until, counted_from, is_resumed: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Timestamp, decode::Place};

    fn tally(stored: i64) -> Tally {
        Tally { stored, ..Tally::default() }
    }

    fn books(next_offset: i64) -> Books {
        let topic_id = "t".to_owned();
        let given_times = GivenTimes::default();
        Books {
            partition: 0,
            topic_id,
            first_offset: 10,
            next_offset,
            gap: None,
            tally: tally(next_offset),
            given_times,
        }
    }

    fn kept(offset: i64, stored: i64, starts_anew: bool, second: i64) -> Checkpoint {
        let point = Point { offset, tally: tally(stored), ..Point::default() };
        let kept_at = DateTime::from_timestamp(second, 0).unwrap();
        let given_times = Some(given(offset));
        Checkpoint { partition: 0, topic_id: "t".to_owned(), point, starts_anew, kept_at, given_times }
    }

    /// As different as the offsets.
    fn given(offset: i64) -> GivenTimes {
        let mut given = GivenTimes::default();
        let time = given.of_record(Some(Timestamp::from_millis(0)))(offset as i32, Place::Whole);
        assert!(time.is_ok());
        given
    }

    fn known(checkpoints: &[Checkpoint], low: i64, resume: Option<&Resume>) -> Option<(i64, GivenTimes)> {
        let log = Watermarks { low, high: 200 };
        let plan = plan(&books(100), checkpoints, resume, "t", Some(log)).unwrap();
        known_times(&plan, &books(100), checkpoints, resume).map(|known| (known.offset, known.given))
    }

    #[test]
    fn given_times_are_known_where_something_began_and_at_checkpoints() {
        let checkpoints = [kept(40, 30, false, 1), kept(60, 50, false, 2)];
        assert_eq!(known(&checkpoints, 0, None), Some((10, GivenTimes::default())));
        assert_eq!(known(&checkpoints, 20, None), Some((40, given(40))), "not at the log's start");
        assert_eq!(known(&checkpoints, 40, None), Some((40, given(40))));
        assert_eq!(known(&checkpoints, 61, None), None);
        let of_earlier_version = |checkpoint| Checkpoint { given_times: None, ..checkpoint };
        assert_eq!(known(&[of_earlier_version(kept(40, 30, false, 1))], 20, None), None);
        let by_hand = [of_earlier_version(kept(40, 30, true, 1))];
        assert_eq!(known(&by_hand, 0, None), Some((40, GivenTimes::default())));
        let resume = Resume {
            topic_id: "t".to_owned(),
            point: Point { offset: 80, ..Point::default() },
            taken_at: DateTime::from_timestamp(5, 0).unwrap(),
            given_times: given(80),
        };
        assert_eq!(known(&checkpoints, 0, Some(&resume)), Some((80, given(80))));
    }

    fn planned(checkpoints: &[Checkpoint], low: i64) -> (i64, Option<(i64, i64)>) {
        let log = Watermarks { low, high: 200 };
        let plan = plan(&books(100), checkpoints, None, "t", Some(log)).unwrap();
        assert_eq!(plan.until, 100);
        (plan.from, plan.counted_from.map(|point| (point.offset, point.tally.stored)))
    }

    #[test]
    fn counting_begins_where_the_log_and_the_counts_both_are() {
        let checkpoints = [kept(40, 30, false, 1), kept(60, 50, false, 2), kept(80, 70, false, 3)];
        assert_eq!(planned(&checkpoints, 0), (10, Some((10, 0))), "what is before was never read");
        assert_eq!(planned(&checkpoints, 10), (10, Some((10, 0))));
        assert_eq!(planned(&checkpoints, 11), (11, Some((40, 30))));
        assert_eq!(planned(&checkpoints, 60), (60, Some((60, 50))));
        assert_eq!(planned(&checkpoints, 81), (81, None));
        assert_eq!(planned(&[], 100), (100, None));
    }

    #[test]
    fn nothing_is_looked_at_before_a_new_start() {
        let checkpoints = [kept(20, 900, false, 1), kept(30, 1_000, true, 2), kept(50, 1_020, false, 3)];
        assert_eq!(planned(&checkpoints, 0), (30, Some((30, 1_000))));
        assert_eq!(planned(&checkpoints, 31), (31, Some((50, 1_020))));
    }

    #[test]
    fn a_round_goes_on_where_the_last_one_ended_unless_the_offset_was_moved() {
        let at = |offset, second| Resume {
            topic_id: "t".to_owned(),
            point: Point { offset, tally: tally(70), letters_removed: 2, letters_not_kept: 0 },
            taken_at: DateTime::from_timestamp(second, 0).unwrap(),
            given_times: GivenTimes::default(),
        };
        let log = Watermarks { low: 50, high: 200 };
        let from = |checkpoints: &[Checkpoint], resume| {
            plan(&books(100), checkpoints, Some(&resume), "t", Some(log)).unwrap()
        };
        let resumed = Plan { from: 80, until: 100, counted_from: Some(at(80, 5).point), is_resumed: true };
        assert_eq!(from(&[], at(80, 5)), resumed);
        assert_eq!(from(&[], at(49, 5)).from, 50, "the log's start has passed it");
        assert_eq!(from(&[], at(101, 5)).from, 50, "the offset went back");
        assert_eq!(from(&[kept(60, 90, true, 6)], at(80, 5)).from, 60);
        assert_eq!(from(&[kept(60, 90, true, 4)], at(80, 5)).from, 80);
        let accepted = from(&[kept(80, 70, true, 6)], at(80, 5));
        assert_eq!((accepted.from, accepted.is_resumed), (80, false), "at the same offset");
    }

    #[test]
    fn a_log_that_contradicts_the_books_is_no_log_to_audit() {
        let log = Watermarks { low: 50, high: 90 };
        let planned =
            |next, topic_id| plan(&books(next), &[], None, topic_id, Some(log)).map(|plan| plan.until);
        assert_eq!(planned(90, "t"), Ok(90));
        assert_eq!(planned(91, "t"), Err(Obstacle::Gap(Gap::OffsetPastEnd)));
        assert_eq!(planned(49, "t"), Err(Obstacle::Gap(Gap::RecordsExpired)));
        assert_eq!(planned(90, "u"), Err(Obstacle::Gap(Gap::TopicRecreated)));
        assert_eq!(plan(&books(90), &[], None, "t", None), Err(Obstacle::NoSuchPartition));
    }
}
