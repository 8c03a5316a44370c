//! Dead letters that are stored after all, each exactly once.
//!
//! ```text
//! BEGIN
//!   dead letters       locked in the order of their ids
//!   sensors       ┐
//!   days          ├ as for any batch: src/store/write
//!   readings      ┘
//!   dead letters       those that are still refused get today's reason, the others go and are counted
//! COMMIT
//! ```
//!
//! So a dead letter is there until its reading is, and no longer: whoever crashes when, and however many replay it at once. One
//! of very many readings takes several such transactions, each of which leaves less of it.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Connection, PgConnection};
use utoipa::ToSchema;

use super::{
    Portion,
    locked_dead_letter::{LockedDeadLetter, lock},
    portion::{Candidates, Selection},
    progress::Progress,
    removal::{Outcome, begin, keep_part, remove_beside},
    replay_outcome::{Left, ReplayOutcome},
};
use crate::{
    batch::{Batch, Limits, Rejected, distinct, sort_for_chunks},
    config::Rollups,
    reading::{OnDuplicate, Reason, Window, untimed::GivenTimes},
    store::{
        StoreError,
        error::Remedy,
        pool::Pool,
        write::{
            Way, days,
            readings::{Rules, Stored, Storing},
            sensors,
        },
    },
};

const DOING: &str = "replaying dead letters";
/// Why a dead letter of many readings stays whose payload has other readings at their places by now.
const CUT_IN_ANOTHER_WAY: &str =
    "the record is cut into other readings than when it was refused: send it again";

/// How often a transaction that lost to another one is tried.
const ATTEMPTS: u32 = 3;

/// What a reading has to pass today.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRules {
    /// The times that are accepted.
    pub window: Window,
    /// Which of two equal readings stays.
    pub on_duplicate: OnDuplicate,
    /// Whether kept statistics of the days are forgotten.
    pub rollups: Rollups,
}

/// A dead letter that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RefusedBody)]
pub struct Refused {
    /// Its id.
    pub id: i64,
    /// Why it is refused now.
    pub reason: String,
    /// The same for people.
    pub detail: String,
}

/// What came of a portion of letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Readings that are stored.
    pub stored: u64,
    /// Readings that were there already.
    pub duplicates: u64,
    /// Dead letters that stay, with the reason of today.
    pub refused: Vec<Refused>,
    /// Dead letters that were asked for by their ids and were not there.
    pub missing: Vec<i64>,
    /// Where to go on; none at the end.
    pub next: Option<i64>,
}

/// Replays a portion of dead letters in one transaction, which is rolled back where `is_dry_run`. A dead letter that has more
/// readings than one transaction stores is alone in its portion, and takes several.
pub async fn replay(
    pool: &Pool,
    portion: Portion,
    rules: ReplayRules,
    is_dry_run: bool,
) -> Result<Replayed, StoreError> {
    let (mut replayed, mut progress) = replay_once(pool, portion, rules, is_dry_run, None).await?;
    while let Some(tried) = progress {
        let rest = Portion { selection: Selection::Ids(vec![tried.id]), after: None, limit: 1 };
        let (more, further) = replay_once(pool, rest, rules, is_dry_run, Some(tried)).await?;
        replayed.stored += more.stored;
        replayed.duplicates += more.duplicates;
        // Nothing where somebody else has worked it off meanwhile.
        replayed.refused = more.refused;
        progress = further;
    }
    Ok(replayed)
}

async fn replay_once(
    pool: &Pool,
    portion: Portion,
    rules: ReplayRules,
    is_dry_run: bool,
    progress: Option<Progress>,
) -> Result<(Replayed, Option<Progress>), StoreError> {
    let mut attempt = 1;
    let (replayed, further) = loop {
        let (portion, progress) = (portion.clone(), progress.clone());
        let outcome = pool
            .run(DOING, move |connection| {
                // An error of one part is not all that the query has to say, so it travels as a value.
                Box::pin(async move {
                    Ok(transaction(connection, &portion, rules, is_dry_run, progress.as_ref()).await)
                })
            })
            .await?;
        match outcome {
            Err(error) if error.remedy() == Remedy::Retry && attempt < ATTEMPTS => attempt += 1,
            outcome => break outcome?,
        }
    };
    if !is_dry_run {
        Outcome::Replayed.count(replayed.stored + replayed.duplicates);
    }
    Ok((replayed, further))
}

async fn transaction(
    connection: &mut PgConnection,
    portion: &Portion,
    rules: ReplayRules,
    is_dry_run: bool,
    progress: Option<&Progress>,
) -> Result<(Replayed, Option<Progress>), StoreError> {
    let mut transaction = connection.begin().await.map_err(StoreError::new(DOING))?;
    begin(&mut transaction).await.map_err(StoreError::new(DOING))?;
    let mut candidates = portion.candidates(&mut transaction).await.map_err(StoreError::new(DOING))?;
    let mut letters =
        lock(&mut transaction, portion, &mut candidates).await.map_err(StoreError::new(DOING))?;
    if let Some(progress) = progress.filter(|_| is_dry_run) {
        for letter in &mut letters {
            letter.set_part(&progress.left);
        }
    }
    let (fates, further) = store(&mut transaction, &letters, rules, progress).await?;
    let Report { gone, parts, replayed } = report(&letters, fates, candidates);
    if is_dry_run {
        transaction.rollback().await.map_err(StoreError::new(DOING))?;
    } else {
        keep_refused(&mut transaction, &replayed.refused).await.map_err(StoreError::new(DOING))?;
        for (id, left, _) in &parts {
            let Left { part, reason, detail } = &**left;
            keep_part(&mut transaction, *id, part, (reason, detail)).await.map_err(StoreError::new(DOING))?;
        }
        let taken: Vec<(i64, i32)> = parts.iter().map(|(id, _, taken)| (*id, *taken)).collect();
        remove_beside(&mut transaction, &gone, &taken, Outcome::Replayed)
            .await
            .map_err(StoreError::new(DOING))?;
        transaction.commit().await.map_err(StoreError::new(DOING))?;
    }
    Ok((replayed, further))
}

/// Stores what can be stored. Each dead letter stands in the batch for a partition of its own, so that fates, which the
/// batch's writers tell by partition, come back dead letter by letter.
async fn store(
    connection: &mut PgConnection,
    letters: &[LockedDeadLetter],
    rules: ReplayRules,
    progress: Option<&Progress>,
) -> Result<(Vec<ReplayOutcome>, Option<Progress>), StoreError> {
    let mut batch =
        Batch::new(Limits { max_readings: usize::MAX, max_bytes: usize::MAX, max_record_bytes: usize::MAX });
    let mut fates = Vec::with_capacity(letters.len());
    let mut next_place = None;
    for (index, letter) in letters.iter().enumerate() {
        fates.push(match letter.payload_to_replay() {
            Ok(payload) => {
                let record = letter.record(index as i32, payload);
                // One that has no timestamp has the time that it was given when it was read.
                let is_taken = if let Some(part) = letter.part() {
                    let taken = letter.take_part(&mut batch, &record, &part, rules.window, progress);
                    next_place = taken.and_then(|taken| taken.next);
                    taken.is_some()
                } else {
                    batch.push(&record, letter.offset, &rules.window, &mut GivenTimes::default());
                    true
                };
                if is_taken {
                    ReplayOutcome::Stored
                } else {
                    let reason = Reason::WrongShape.as_str().to_owned();
                    ReplayOutcome::Refused { reason, detail: CUT_IN_ANOTHER_WAY.to_owned() }
                }
            }
            Err(fate) => fate,
        });
    }
    let mut rows = batch.rows().to_vec();
    let mut rejected = batch.rejected().to_vec();
    sort_for_chunks(&mut rows, chunk_micros(connection).await?);
    let unknown = sensors::lock_known(connection, &rows).await?;
    sensors::set_unknown_aside(&unknown, &batch, &mut rows, &mut rejected);
    let (rows, mut gave_way) = distinct(&batch, &rows, rules.on_duplicate);
    let mut stored = Stored::default();
    if !rows.is_empty() {
        if rules.rollups == Rollups::On {
            days::reopen(connection, &rows).await?;
        }
        let triggers = sensors::check_triggers(connection, None, false).await?;
        let has_triggers = triggers.are_there;
        let storing_rules = Rules { policy: rules.on_duplicate, has_triggers, goes_around_all: true };
        let storing = Storing::new(storing_rules, &batch, connection, &mut rejected);
        // Never by COPY: a process that is frozen in it holds its locks for as long as it is.
        stored = storing.store(&rows, &mut gave_way, Way::Staged).await?;
    }
    let mut duplicates: BTreeMap<i32, i64> = stored.duplicates;
    for row in &gave_way {
        *duplicates.entry(batch.partition_of(row)).or_default() += 1;
    }
    for index in duplicates.keys() {
        fates[*index as usize] = ReplayOutcome::Duplicate;
    }
    let further = note_refused(&batch, &rejected, letters, &mut fates, next_place);
    note_parts(letters, &duplicates, &mut fates);
    Ok((fates, further))
}

/// Returns how far a dead letter has come that is not tried from `next_place` on.
fn note_refused(
    batch: &Batch,
    rejected: &[Rejected],
    letters: &[LockedDeadLetter],
    fates: &mut [ReplayOutcome],
    next_place: Option<u32>,
) -> Option<Progress> {
    let mut progress = None;
    for (record, of_record) in batch.rejected_by_record(rejected) {
        let index = batch.place_of(record).0 as usize;
        let refused = of_record.together();
        let (reason, detail) = (refused.reason().as_str().to_owned(), refused.detail());
        fates[index] = match letters[index].part() {
            Some(part) => {
                let left = Left { part: part.left(&refused), reason, detail };
                let id = letters[index].id;
                progress = next_place.map(|next| Progress::new(id, next, left.part.clone(), &refused));
                ReplayOutcome::Parted { stored: 0, duplicates: 0, left: Some(Box::new(left)) }
            }
            None => ReplayOutcome::Refused { reason, detail: refused.first_detail().to_owned() },
        };
    }
    progress
}

/// How many readings of dead letters of many are stored, and how many were there already.
fn note_parts(letters: &[LockedDeadLetter], duplicates: &BTreeMap<i32, i64>, fates: &mut [ReplayOutcome]) {
    for (index, (letter, fate)) in letters.iter().zip(fates).enumerate() {
        let Some(part) = letter.part() else { continue };
        let left = match std::mem::replace(fate, ReplayOutcome::Stored) {
            ReplayOutcome::Stored | ReplayOutcome::Duplicate => None,
            ReplayOutcome::Parted { left, .. } => left,
            // It was not tried.
            refused @ ReplayOutcome::Refused { .. } => {
                *fate = refused;
                continue;
            }
        };
        let gone = part.readings - left.as_ref().map_or(0, |left| left.part.readings);
        let duplicates = duplicates.get(&(index as i32)).copied().unwrap_or(0).cast_unsigned();
        let stored = u64::from(gone.cast_unsigned()).saturating_sub(duplicates);
        *fate = ReplayOutcome::Parted { stored, duplicates, left };
    }
}

/// What a chunk covers, by which rows are sorted.
async fn chunk_micros(connection: &mut PgConnection) -> Result<i64, StoreError> {
    sqlx::query_scalar(
        "SELECT (extract(epoch FROM time_interval) * 1e6)::bigint FROM timescaledb_information.dimensions
         WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass
           AND dimension_number = 1",
    )
    .fetch_one(connection)
    .await
    .map_err(StoreError::new("looking at the hypertable"))
}

/// What becomes of the dead letters, and what is said of it.
#[derive(Default)]
struct Report {
    gone: Vec<i64>,
    /// Dead letters that stay, with what is left of them and how many readings are not.
    parts: Vec<(i64, Box<Left>, i32)>,
    replayed: Replayed,
}

fn report(letters: &[LockedDeadLetter], fates: Vec<ReplayOutcome>, candidates: Candidates) -> Report {
    let Candidates { missing, next, .. } = candidates;
    let mut report = Report::default();
    let replayed = &mut report.replayed;
    (replayed.missing, replayed.next) = (missing, next);
    for (letter, fate) in letters.iter().zip(fates) {
        let id = letter.id;
        let (left, taken) = match fate {
            ReplayOutcome::Stored => {
                replayed.stored += 1;
                (None, 1)
            }
            ReplayOutcome::Duplicate => {
                replayed.duplicates += 1;
                (None, 1)
            }
            ReplayOutcome::Refused { reason, detail } => {
                replayed.refused.push(Refused { id, reason, detail });
                continue;
            }
            ReplayOutcome::Parted { stored, duplicates, left } => {
                replayed.stored += stored;
                replayed.duplicates += duplicates;
                (left, (stored + duplicates) as i32)
            }
        };
        match left {
            None => report.gone.push(id),
            Some(left) => {
                let (reason, detail) = (left.reason.clone(), left.detail.clone());
                replayed.refused.push(Refused { id, reason, detail });
                report.parts.push((id, left, taken));
            }
        }
    }
    report
}

/// Writes down why dead letters are refused today, where that is something else than before.
async fn keep_refused(connection: &mut PgConnection, refused: &[Refused]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead_letters AS letter SET reason = today.reason, detail = today.detail
         FROM unnest($1::bigint[], $2::text[], $3::text[]) AS today (id, reason, detail)
         WHERE letter.id = today.id AND (letter.reason, letter.detail) <> (today.reason, today.detail)",
    )
    .bind(refused.iter().map(|letter| letter.id).collect::<Vec<_>>())
    .bind(refused.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>())
    .bind(refused.iter().map(|letter| letter.detail.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}
