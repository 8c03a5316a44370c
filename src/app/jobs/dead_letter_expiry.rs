//! Deletes dead letters that are older than `DEAD_LETTER_RETENTION`.

use std::time::Duration;

use super::{Failure, Job, Round};
use crate::{
    config::DatabaseConfig,
    store::dead_letters::{self, Expiry},
};

pub(super) struct DeadLetterExpiry {
    pub(super) database: DatabaseConfig,
    pub(super) expiry: Expiry,
    pub(super) interval: Duration,
}

impl Job for DeadLetterExpiry {
    const NAME: &'static str = "dead_letter_expiry";

    fn interval(&self) -> Duration {
        self.interval
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        match dead_letters::expire(&self.database, self.expiry).await? {
            None => return Ok(Round::Elsewhere),
            Some(0) => {}
            Some(letters) => tracing::warn!(letters, "dead letters older than DEAD_LETTER_RETENTION deleted"),
        }
        Ok(Round::Done)
    }
}
