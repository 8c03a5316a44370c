//! Dead letters that are locked for a replay, and what of each is to be decoded.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::{
    Part, Portion,
    portion::{Candidates, READINGS_MAX},
    progress::Progress,
    replay_outcome::ReplayOutcome,
    replayable_reasons,
};
use crate::{
    batch::{Batch, PartToDecode, Record, Taken},
    reading::{
        Reason, Timestamp, Window,
        decode::{Decoded, Reject, decode},
    },
};

const EVERYTHING: Window =
    Window { since: Timestamp::from_micros(i64::MIN), until: Timestamp::from_micros(i64::MAX) };

/// A locked letter.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct LockedDeadLetter {
    pub(super) id: i64,
    pub(super) offset: i64,
    item: Option<i32>,
    reason: String,
    detail: String,
    record_time: Option<DateTime<Utc>>,
    reading_time: Option<DateTime<Utc>>,
    /// Only where the reason is one that may pass.
    payload: Option<Vec<u8>>,
    readings: i32,
    items: Option<Vec<i32>>,
    untimed_items: Option<Vec<i32>>,
    reading_times: Option<Vec<DateTime<Utc>>>,
}

/// Locks the dead letters of a portion, in the order of their ids.
pub(super) async fn lock(
    connection: &mut PgConnection,
    portion: &Portion,
    candidates: &mut Candidates,
) -> Result<Vec<LockedDeadLetter>, sqlx::Error> {
    let mut query: QueryBuilder<'_, Postgres> = QueryBuilder::new(
        r#"SELECT id, "offset", item, reason, detail, record_time, reading_time, readings, items, untimed_items,
                  reading_times, CASE WHEN reason = ANY ("#,
    );
    query.push_bind(replayable_reasons());
    query.push(") THEN payload END AS payload FROM dead_letters WHERE id = ANY (");
    query.push_bind(candidates.ids.clone()).push(")");
    portion.selection.push_to(&mut query);
    query.push(" ORDER BY id FOR UPDATE");
    let letters: Vec<LockedDeadLetter> = query.build_query_as().fetch_all(connection).await?;
    let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
    portion.selection.note_gone(candidates, &ids);
    Ok(letters)
}

impl LockedDeadLetter {
    /// The bytes to decode, or why there are none.
    pub(super) fn payload_to_replay(&self) -> Result<&[u8], ReplayOutcome> {
        let Some(payload) = &self.payload else { return Err(self.stays(self.detail.clone())) };
        if self.items.is_some() {
            return Ok(payload);
        }
        match self.fault_of(payload) {
            None => Ok(payload),
            Some(reject) => Err(ReplayOutcome::Refused {
                reason: reject.reason.as_str().to_owned(),
                detail: reject.detail.into_owned(),
            }),
        }
    }

    /// The readings that it stands for, where they are many of its record.
    pub(super) fn part(&self) -> Option<Part> {
        Some(Part {
            readings: self.readings,
            items: self.items.clone()?,
            untimed_items: self.untimed_items.clone().unwrap_or_default(),
            reading_times: self.reading_times.clone().unwrap_or_default(),
        })
    }

    /// From now on it stands for these readings.
    pub(super) fn set_part(&mut self, part: &Part) {
        self.readings = part.readings;
        self.items = Some(part.items.clone());
        self.untimed_items = Some(part.untimed_items.clone());
        self.reading_times = Some(part.reading_times.clone());
    }

    /// Takes its readings into a batch, from where `progress` is on and as many as one transaction stores. None where its
    /// record is cut in another way by now.
    pub(super) fn take_part(
        &self,
        batch: &mut Batch,
        record: &Record<'_>,
        part: &Part,
        window: Window,
        progress: Option<&Progress>,
    ) -> Option<Taken> {
        let reason = self.reason.parse().unwrap_or(Reason::WrongShape);
        let refused_before = |place| match progress {
            Some(progress) => progress.reject_of(place, reason),
            None => Reject::new(reason, self.detail.clone()),
        };
        let to_decode = PartToDecode {
            readings: part.readings.cast_unsigned() as usize,
            has: &|place| part.has(place),
            time_of: &|place| part.time_of(place),
            reason,
            first: progress.map_or(0, |progress| progress.next),
            most: READINGS_MAX as usize,
            refused_before: &refused_before,
        };
        batch.push_part(record, &window, &to_decode)
    }

    /// What is against a payload besides the rules of today: a dead letter stands for one reading, whose time is known.
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
                    format!("the dead letter has {count} readings instead of one: send its record again");
                Some(Reject::new(reason, detail))
            }
        }
    }

    pub(super) fn record<'l>(&self, index: i32, payload: &'l [u8]) -> Record<'l> {
        // The payload has the reading alone. Dead letters of earlier versions know its place in the record, and no time of it.
        let micros = |time: DateTime<Utc>| Timestamp::from_micros(time.timestamp_micros());
        let by_place = |time| micros(time).plus_micros(self.item.unwrap_or(0).into());
        let timestamp = self.reading_time.map(micros).or_else(|| self.record_time.map(by_place));
        Record {
            partition: index,
            offset: self.offset,
            timestamp,
            leader_epoch: None,
            key: None,
            payload: Some(payload),
            headers: vec![],
        }
    }

    fn stays(&self, detail: String) -> ReplayOutcome {
        ReplayOutcome::Refused { reason: self.reason.clone(), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: Option<&str>, record_time: Option<DateTime<Utc>>) -> LockedDeadLetter {
        LockedDeadLetter {
            id: 1,
            offset: 5,
            item: None,
            reason: "unknown_sensor".to_owned(),
            detail: "there is no sensor 7".to_owned(),
            record_time,
            reading_time: None,
            payload: payload.map(|payload| payload.as_bytes().to_vec()),
            readings: 1,
            items: None,
            untimed_items: None,
            reading_times: None,
        }
    }

    fn refusal(letter: &LockedDeadLetter) -> Option<(String, String)> {
        match letter.payload_to_replay() {
            Err(ReplayOutcome::Refused { reason, detail }) => Some((reason, detail)),
            Err(fate) => panic!("nothing is stored yet: {fate:?}"),
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
            assert!(reason == "unknown_sensor" && detail.contains("instead of one"), "{detail}");
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
