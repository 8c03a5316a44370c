//! Sensors that the table lacks, though they were made: the database has lost them, as by a failover to a standby that was
//! behind. Their readings wait until they are there again.

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;

use crate::store::StoreError;

/// Who knows which sensors were made, whatever became of the database.
pub trait LostSensors: Send + Sync {
    /// Makes those of these ids again that are lost. After an error nothing is known of them.
    fn bring_back<'s>(&'s self, unknown: &'s [i32]) -> BoxFuture<'s, Result<(), StoreError>>;
}

/// Who is asked for lost sensors; nobody where nothing is said.
#[derive(Clone, Default)]
pub struct SensorSource(pub Option<Arc<dyn LostSensors>>);

impl fmt::Debug for SensorSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SensorSource").field(&self.0.is_some()).finish()
    }
}

/// Sensors that the table lacks, and who is to be asked for them.
pub(super) struct Unknown {
    pub(super) ids: Vec<i32>,
    pub(super) source: Arc<dyn LostSensors>,
}

/// How long readings wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// A silence of so long ago is not this one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
/// How long an answer holds that an id is no sensor's: it may have been made and lost since.
const VALID_FOR: Duration = Duration::from_secs(2);
/// Most ids of which that is remembered.
const UNKNOWN_MAX: usize = 10_000;

/// What is known of ids that are not in the table.
#[derive(Debug, Default)]
pub(super) struct UnknownSensors {
    /// Of the batch at hand.
    asked_now: HashSet<i32>,
    asked: HashSet<i32>,
    asked_at: Option<Instant>,
    silent_since: Option<Instant>,
}

impl UnknownSensors {
    /// Another batch, or another try.
    pub(super) fn begin(&mut self) {
        self.asked_now.clear();
    }

    /// Whether these are known not to be sensors.
    pub(super) fn are_none(&self, ids: &[i32]) -> bool {
        let is_valid = self.asked_at.is_some_and(|at| at.elapsed() < VALID_FOR);
        ids.iter().all(|id| self.asked_now.contains(id) || is_valid && self.asked.contains(id))
    }

    /// Asks for them. An error is to be met by another try, until it has lasted for too long.
    pub(super) async fn ask(&mut self, Unknown { ids, source }: Unknown) -> Result<(), StoreError> {
        match source.bring_back(&ids).await {
            Ok(()) => self.silent_since = None,
            // An outage is waited for once, or each batch would wait.
            Err(error) => {
                let silent_since = *self.silent_since.get_or_insert_with(Instant::now);
                if silent_since.elapsed() < PATIENCE {
                    return Err(error);
                }
                if silent_since.elapsed() > FORGOTTEN_AFTER {
                    self.silent_since = None;
                }
                tracing::warn!(
                    error = error.cause(),
                    "whether sensors were lost cannot be told: readings of unknown ones become dead letters"
                );
            }
        }
        if self.asked_at.is_none_or(|at| at.elapsed() >= VALID_FOR) || self.asked.len() > UNKNOWN_MAX {
            self.asked.clear();
            self.asked_at = Some(Instant::now());
        }
        self.asked.extend(&ids);
        self.asked_now.extend(ids);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl LostSensors for Silent {
        fn bring_back<'s>(&'s self, _: &'s [i32]) -> BoxFuture<'s, Result<(), StoreError>> {
            Box::pin(async { Err(StoreError::of_another("asking", std::fmt::Error)) })
        }
    }

    #[tokio::test]
    async fn readings_wait_for_an_answer_and_not_for_ever() {
        let mut unknown = UnknownSensors::default();
        let seven = || Unknown { ids: vec![7], source: Arc::new(Silent) };
        assert!(unknown.ask(seven()).await.is_err());
        assert!(!unknown.are_none(&[7]));
        unknown.silent_since = Instant::now().checked_sub(PATIENCE);
        assert!(unknown.ask(seven()).await.is_ok());
        assert!(unknown.are_none(&[7]) && !unknown.are_none(&[7, 8]));
        unknown.asked_at = Instant::now().checked_sub(VALID_FOR);
        assert!(unknown.are_none(&[7]), "of one batch it is asked once");
        unknown.begin();
        assert!(!unknown.are_none(&[7]), "it may be one by now");
    }
}
