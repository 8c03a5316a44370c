//! Letters that are stored after all, each exactly once.
//!
//! ```text
//! BEGIN
//!   letters       locked in the order of their ids
//!   sensors       ┐
//!   days          ├ as for any batch: src/store/write
//!   readings      ┘
//!   letters       those that are still refused get today's reason, the others go and are counted
//! COMMIT
//! ```
//!
//! So a letter is there until its reading is, and no longer: whoever crashes when, and however many replay it at once.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, Postgres, QueryBuilder};

use super::{
    Portion,
    portion::Candidates,
    removal::{Outcome, begin, remove},
    replayable_reasons,
};
use crate::{
    batch::{Batch, Limits, Record, Row, distinct, sort_for_chunks},
    config::Rollups,
    reading::{
        OnDuplicate, Reason, Timestamp, Window,
        decode::{Decoded, Reject, decode},
        untimed::GivenTimes,
    },
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
/// How often a transaction that lost to another one is tried.
const ATTEMPTS: u32 = 3;
const EVERYTHING: Window =
    Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };

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

/// A letter that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Letters whose reading is stored.
    pub stored: u64,
    /// Letters whose reading was there already.
    pub duplicates: u64,
    /// Letters that stay, with the reason of today.
    pub refused: Vec<Refused>,
    /// Letters that were asked for by their ids and were not there.
    pub missing: Vec<i64>,
    /// Where to go on; none at the end.
    pub next: Option<i64>,
}

/// A locked letter.
#[derive(sqlx::FromRow)]
struct Letter {
    id: i64,
    offset: i64,
    item: Option<i32>,
    reason: String,
    detail: String,
    record_time: Option<DateTime<Utc>>,
    reading_time: Option<DateTime<Utc>>,
    /// Only where the reason is one that may pass.
    payload: Option<Vec<u8>>,
}

/// What becomes of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    Duplicate,
    Refused { reason: String, detail: String },
}

/// Replays a portion of letters in one transaction, which is rolled back where `is_dry_run`.
pub async fn replay(
    pool: &Pool,
    portion: Portion,
    rules: ReplayRules,
    is_dry_run: bool,
) -> Result<Replayed, StoreError> {
    let mut attempt = 1;
    let replayed = loop {
        let portion = portion.clone();
        let outcome = pool
            .run(DOING, move |connection| {
                // An error of one part is not all that the query has to say, so it travels as a value.
                Box::pin(async move { Ok(transaction(connection, &portion, rules, is_dry_run).await) })
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
    Ok(replayed)
}

async fn transaction(
    connection: &mut PgConnection,
    portion: &Portion,
    rules: ReplayRules,
    is_dry_run: bool,
) -> Result<Replayed, StoreError> {
    let mut transaction = connection.begin().await.map_err(StoreError::new(DOING))?;
    begin(&mut transaction).await.map_err(StoreError::new(DOING))?;
    let mut candidates = portion.candidates(&mut transaction).await.map_err(StoreError::new(DOING))?;
    let letters = lock(&mut transaction, portion, &mut candidates).await.map_err(StoreError::new(DOING))?;
    let fates = store(&mut transaction, &letters, rules).await?;
    let (gone, replayed) = report(&letters, fates, candidates);
    if is_dry_run {
        transaction.rollback().await.map_err(StoreError::new(DOING))?;
    } else {
        keep_refused(&mut transaction, &replayed.refused).await.map_err(StoreError::new(DOING))?;
        remove(&mut transaction, &gone, Outcome::Replayed).await.map_err(StoreError::new(DOING))?;
        transaction.commit().await.map_err(StoreError::new(DOING))?;
    }
    Ok(replayed)
}

async fn lock(
    connection: &mut PgConnection,
    portion: &Portion,
    candidates: &mut Candidates,
) -> Result<Vec<Letter>, sqlx::Error> {
    let mut query: QueryBuilder<'_, Postgres> = QueryBuilder::new(
        r#"SELECT id, "offset", item, reason, detail, record_time, reading_time, CASE WHEN reason = ANY ("#,
    );
    query.push_bind(replayable_reasons());
    query.push(") THEN payload END AS payload FROM dead_letters WHERE id = ANY (");
    query.push_bind(candidates.ids.clone()).push(")");
    portion.which.push_to(&mut query);
    query.push(" ORDER BY id FOR UPDATE");
    let letters: Vec<Letter> = query.build_query_as().fetch_all(connection).await?;
    let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
    portion.which.note_gone(candidates, &ids);
    Ok(letters)
}

/// Stores what can be stored. Each letter stands in the batch for a partition of its own, so that fates, which the
/// batch's writers tell by partition, come back letter by letter.
async fn store(
    connection: &mut PgConnection,
    letters: &[Letter],
    rules: ReplayRules,
) -> Result<Vec<Fate>, StoreError> {
    let mut batch =
        Batch::new(Limits { max_readings: usize::MAX, max_bytes: usize::MAX, max_record_bytes: usize::MAX });
    let mut fates = Vec::with_capacity(letters.len());
    for (index, letter) in letters.iter().enumerate() {
        fates.push(match letter.payload_to_replay() {
            Ok(payload) => {
                // One that has no timestamp has the time that it was given when it was read.
                let given = &mut GivenTimes::default();
                batch.push(&letter.record(index as i32, payload), letter.offset, &rules.window, given);
                Fate::Stored
            }
            Err(fate) => fate,
        });
    }
    let mut rows = batch.rows().to_vec();
    let mut rejected = batch.rejected().to_vec();
    sort_for_chunks(&mut rows, chunk_micros(connection).await?);
    sensors::lock_known(connection, &batch, &mut rows, &mut rejected).await?;
    let (rows, mut gave_way) = distinct(&batch, &rows, rules.on_duplicate);
    let mut stored = Stored::default();
    if !rows.is_empty() {
        if rules.rollups == Rollups::On {
            days::reopen(connection, &rows).await?;
        }
        let storing_rules = Rules { policy: rules.on_duplicate, has_triggers: true, goes_around_all: true };
        let storing = Storing::new(storing_rules, &batch, connection, &mut rejected);
        // Never by COPY: a process that is frozen in it holds its locks for as long as it is.
        stored = storing.store(&rows, &mut gave_way, Way::Staged).await?;
    }
    let duplicates = gave_way.iter().map(|row: &Row| batch.partition_of(row));
    for index in duplicates.chain(stored.duplicates.into_keys()) {
        fates[index as usize] = Fate::Duplicate;
    }
    for one in &rejected {
        let (reason, detail) = (one.reason().as_str().to_owned(), one.detail());
        fates[batch.partition_of_rejected(one) as usize] = Fate::Refused { reason, detail };
    }
    Ok(fates)
}

impl Letter {
    /// The bytes to decode, or why there are none.
    fn payload_to_replay(&self) -> Result<&[u8], Fate> {
        let Some(payload) = &self.payload else { return Err(self.stays(self.detail.clone())) };
        match self.fault_of(payload) {
            None => Ok(payload),
            Some(reject) => Err(Fate::Refused {
                reason: reject.reason.as_str().to_owned(),
                detail: reject.detail.into_owned(),
            }),
        }
    }

    /// What is against a payload besides the rules of today: a letter stands for one reading, whose time is known.
    fn fault_of(&self, payload: &[u8]) -> Option<Reject> {
        let (mut readings, mut lacks_time) = (Vec::new(), false);
        let mut untimed = |_, _| {
            lacks_time = true;
            Ok(Timestamp::from_micros(0))
        };
        decode(payload, &mut untimed, &EVERYTHING, &mut |decoded| match decoded {
            Decoded::Reading(_, outcome) => readings.push(outcome),
            Decoded::TakeBack(index) => readings.truncate(index as usize),
        });
        let reason = self.reason.parse().unwrap_or(Reason::WrongShape);
        match readings.as_slice() {
            // What is against a reading is for the rules of today to say, unless it is none.
            [Err(reject)] if !reject.reason.may_pass_later() => Some(reject.clone()),
            [_] if lacks_time && self.reading_time.or(self.record_time).is_none() => {
                Some(Reject::new(reason, "neither the reading nor its record says when it was measured"))
            }
            [_] => None,
            readings => {
                let count = readings.len();
                let detail =
                    format!("the letter has {count} readings in place of one: send its record again");
                Some(Reject::new(reason, detail))
            }
        }
    }

    fn record<'l>(&self, index: i32, payload: &'l [u8]) -> Record<'l> {
        // The payload has the reading alone. Letters of earlier versions know its place in the record, and no time of it.
        let micros = |time: DateTime<Utc>| Timestamp::from_micros(time.timestamp_micros());
        let by_place = |time| micros(time).plus_micros(self.item.unwrap_or(0).into());
        let timestamp = self.reading_time.map(micros).or_else(|| self.record_time.map(by_place));
        Record {
            partition: index,
            offset: self.offset,
            timestamp,
            key: None,
            payload: Some(payload),
            headers: vec![],
        }
    }

    fn stays(&self, detail: String) -> Fate {
        Fate::Refused { reason: self.reason.clone(), detail }
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

/// The letters that go, and what is said of all.
fn report(letters: &[Letter], fates: Vec<Fate>, candidates: Candidates) -> (Vec<i64>, Replayed) {
    let Candidates { missing, next, .. } = candidates;
    let mut replayed = Replayed { missing, next, ..Replayed::default() };
    let mut gone = Vec::new();
    for (letter, fate) in letters.iter().zip(fates) {
        match fate {
            Fate::Stored => replayed.stored += 1,
            Fate::Duplicate => replayed.duplicates += 1,
            Fate::Refused { reason, detail } => {
                replayed.refused.push(Refused { id: letter.id, reason, detail });
                continue;
            }
        }
        gone.push(letter.id);
    }
    (gone, replayed)
}

/// Writes down why letters are refused today, where that is something else than before.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: Option<&str>, record_time: Option<DateTime<Utc>>) -> Letter {
        Letter {
            id: 1,
            offset: 5,
            item: None,
            reason: "unknown_sensor".to_owned(),
            detail: "there is no sensor 7".to_owned(),
            record_time,
            reading_time: None,
            payload: payload.map(|payload| payload.as_bytes().to_vec()),
        }
    }

    fn refusal(letter: &Letter) -> Option<(String, String)> {
        match letter.payload_to_replay() {
            Err(Fate::Refused { reason, detail }) => Some((reason, detail)),
            Err(Fate::Stored | Fate::Duplicate) => panic!("nothing is stored yet"),
            Ok(_) => None,
        }
    }

    #[test]
    fn a_letter_stands_for_one_reading() {
        for payload in [
            r#"{"sensor_id":7,"value":1,"timestamp":5}"#,
            r#"{"sensor_id":7,"data":[{"value":1,"timestamp":5}]}"#,
            // What is against these is for the rules of today to say.
            r#"{"sensor_id":7,"value":1,"timestamp":"9999-01-01"}"#,
        ] {
            assert_eq!(refusal(&letter(Some(payload), None)), None, "{payload}");
        }
        for payload in [
            r#"{"sensor_id":7,"data":[]}"#,
            r#"[{"sensor_id":7,"value":1,"timestamp":5},{"sensor_id":7,"value":2,"timestamp":6}]"#,
        ] {
            let (reason, detail) = refusal(&letter(Some(payload), None)).unwrap();
            assert!(reason == "unknown_sensor" && detail.contains("in place of one"), "{detail}");
        }
        assert_eq!(refusal(&letter(Some("{"), None)).unwrap().0, "malformed_json");
        let kept = refusal(&letter(None, None)).unwrap();
        assert_eq!(kept, ("unknown_sensor".to_owned(), "there is no sensor 7".to_owned()));
    }

    #[test]
    fn a_time_is_never_made_up() {
        let payload = Some(r#"{"sensor_id":7,"value":1}"#);
        assert_eq!(refusal(&letter(payload, DateTime::from_timestamp(5, 0))), None);
        let (reason, detail) = refusal(&letter(payload, None)).unwrap();
        assert!(reason == "unknown_sensor" && detail.contains("says when it was measured"), "{detail}");
    }
}
