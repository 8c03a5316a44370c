//! What one transaction works through: dead letters by their ids or by a filter, as many as fit.

use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use super::{Filter, replayable_reasons};

/// Most ids of one request.
pub const IDS_MAX: usize = 1_000;
/// Most dead letters of one transaction.
pub const PORTION_MAX: u32 = 1_000;
/// Most bytes of payloads that are taken into memory for one transaction; the first dead letter always is.
const PAYLOAD_BYTES_MAX: i64 = 32 << 20;
/// Most readings of dead letters in one transaction; of one that has more, so many at a time.
pub(super) const READINGS_MAX: i64 = 50_000;

/// Which dead letters are to be worked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These.
    Ids(Vec<i64>),
    /// Those that a filter finds; all, where it has no condition.
    Matching(Filter),
}

/// The dead letters of one transaction, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Of these dead letters
    pub selection: Selection,
    /// those past this id,
    pub after: Option<i64>,
    /// so many at most.
    pub limit: u32,
}

/// What a portion comes to before anything is locked.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Dead letters that are there.
    pub(super) ids: Vec<i64>,
    /// Dead letters that were asked for by their ids and are not there.
    pub(super) missing: Vec<i64>,
    /// Where to go on; none at the end.
    pub(super) next: Option<i64>,
}

impl Portion {
    /// Looks which dead letters these are. Without a lock, for a row that goes while it is waited for still counts in a
    /// `LIMIT`: the portion would look like the last one.
    pub(super) async fn candidates(&self, connection: &mut PgConnection) -> Result<Candidates, sqlx::Error> {
        let mut query: QueryBuilder<'_, Postgres> = QueryBuilder::new("SELECT id, CASE WHEN reason = ANY (");
        query.push_bind(replayable_reasons());
        query
            .push(") THEN octet_length(payload) END::bigint AS bytes, readings FROM dead_letters WHERE true");
        self.selection.push_to(&mut query);
        if let Some(after) = self.after {
            query.push(" AND id > ").push_bind(after);
        }
        query.push(" ORDER BY id LIMIT ").push_bind(i64::from(self.limit) + 1);
        let rows = query.build().fetch_all(connection).await?;
        let mut candidates = Candidates::default();
        let (mut bytes, mut readings) = (0, 0);
        for row in &rows {
            bytes += row.try_get::<Option<i64>, _>("bytes")?.unwrap_or(0);
            readings += i64::from(row.try_get::<i32, _>("readings")?);
            let has_room = candidates.ids.len() < self.limit as usize
                && bytes <= PAYLOAD_BYTES_MAX
                && readings <= READINGS_MAX;
            if !has_room && let Some(&last) = candidates.ids.last() {
                candidates.next = Some(last);
                break;
            }
            candidates.ids.push(row.try_get("id")?);
        }
        candidates.missing = self.missing(&candidates);
        Ok(candidates)
    }

    fn missing(&self, candidates: &Candidates) -> Vec<i64> {
        let Selection::Ids(ids) = &self.selection else { return vec![] };
        let is_past = |id: i64| self.after.is_none_or(|after| id > after);
        let is_reached = |id: i64| candidates.next.is_none_or(|next| id <= next);
        let mut missing: Vec<i64> = ids
            .iter()
            .copied()
            .filter(|&id| is_past(id) && is_reached(id) && candidates.ids.binary_search(&id).is_err())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }
}

impl Selection {
    /// Appends the conditions, each as `AND …`.
    pub(super) fn push_to(&self, query: &mut QueryBuilder<'_, Postgres>) {
        match self {
            Self::Ids(ids) => _ = query.push(" AND id = ANY (").push_bind(ids.clone()).push(")"),
            Self::Matching(filter) => filter.push_to(query),
        }
    }

    /// Notes candidates that were gone once they were locked; only those asked for by their ids are missed.
    pub(super) fn note_gone(&self, candidates: &mut Candidates, locked: &[i64]) {
        if let Self::Ids(_) = self {
            let is_gone = |id: &&i64| locked.binary_search(id).is_err();
            candidates.missing.extend(candidates.ids.iter().filter(is_gone));
            candidates.missing.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_are_those_that_the_portion_reached() {
        let selection = Selection::Ids(vec![9, 3, 1, 7, 3, 5]);
        let portion = Portion { selection, after: Some(1), limit: 2 };
        let mut candidates = Candidates { ids: vec![5, 7], missing: vec![], next: Some(7) };
        assert_eq!(portion.missing(&candidates), [3]);
        candidates.next = None;
        assert_eq!(portion.missing(&candidates), [3, 9]);
        portion.selection.note_gone(&mut candidates, &[7]);
        assert_eq!(candidates.missing, [5]);
    }
}
