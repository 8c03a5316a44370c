//! What the triggers on `sensors` say: which sensors were made and deleted, by anybody.

use std::{ops::RangeInclusive, time::Duration};

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::timeout;

use super::{StoreError, options::options, session::Session};
use crate::config::DatabaseConfig;

/// The channel of migration 5.
const CHANNEL: &str = "sensorpipe_sensors";
/// How long setting up the connection, or an answer over it, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// After so long a silence Postgres is asked whether it is still there: a connection can die without a word.
const QUIET_TIME: Duration = Duration::from_secs(2);
/// With more ids than that, reading the table anew costs less than following.
const IDS_MAX: u64 = 10_000;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SensorChange {
    /// These were made.
    Made(Vec<RangeInclusive<i32>>),
    /// These were deleted.
    Deleted(Vec<RangeInclusive<i32>>),
    /// Too many to say, or in a form of a later version: the table has to be read.
    Unknown,
    /// None, and Postgres answers.
    Nothing,
}

/// A connection that listens.
pub struct SensorChanges(PgListener);

impl SensorChanges {
    /// Connects and listens: what commits after this returns is told.
    pub async fn listen(database: &DatabaseConfig) -> Result<Self, StoreError> {
        let options = options(&database.database_url)?;
        let connecting = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .after_connect(|connection, _| Box::pin(async { Session::unlimited().set(connection).await }))
                .connect_with(options.application_name("sensorpipe listener"))
                .await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            // By itself it would connect anew, and nobody would know what was missed meanwhile.
            listener.eager_reconnect(false);
            Ok(listener)
        };
        let listener = timeout(ANSWER_TIMEOUT, connecting)
            .await
            .map_err(StoreError::timed_out("listening for new sensors"))?
            .map_err(StoreError::new("listening for new sensors"))?;
        Ok(Self(listener))
    }

    /// The next message; after an error some may have been missed.
    pub async fn next(&mut self) -> Result<SensorChange, StoreError> {
        match timeout(QUIET_TIME, self.0.try_recv()).await {
            Ok(Ok(Some(message))) => Ok(parse(message.payload())),
            Ok(Ok(None)) => Err(StoreError::new("hearing of new sensors")(sqlx::Error::Io(
                std::io::ErrorKind::ConnectionAborted.into(),
            ))),
            Ok(Err(error)) => Err(StoreError::new("hearing of new sensors")(error)),
            Err(_quiet) => {
                timeout(ANSWER_TIMEOUT, sqlx::query("SELECT 1").execute(&mut self.0))
                    .await
                    .map_err(StoreError::timed_out("asking whether Postgres is still there"))?
                    .map_err(StoreError::new("asking whether Postgres is still there"))?;
                Ok(SensorChange::Nothing)
            }
        }
    }
}

/// `+7:9,12:12` or `-7:7`, as the trigger writes it.
fn parse(message: &str) -> SensorChange {
    let (are_made, said) = match (message.strip_prefix('+'), message.strip_prefix('-')) {
        (Some(said), _) => (true, said),
        (_, Some(said)) => (false, said),
        _ => return SensorChange::Unknown,
    };
    let ranges: Option<Vec<RangeInclusive<i32>>> = said
        .split(',')
        .map(|range| {
            let (first, last) = range.split_once(':')?;
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .collect();
    let Some(ranges) = ranges else { return SensorChange::Unknown };
    let ids: u64 =
        ranges.iter().map(|range| u64::from(range.end().abs_diff(*range.start())).saturating_add(1)).sum();
    match are_made {
        _ if ids > IDS_MAX => SensorChange::Unknown,
        true => SensorChange::Made(ranges),
        false => SensorChange::Deleted(ranges),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_as_the_trigger_writes_them() {
        assert_eq!(parse("+7:9,12:12"), SensorChange::Made(vec![7..=9, 12..=12]));
        assert_eq!(parse("--3:-2"), SensorChange::Deleted(vec![-3..=-2]));
        for message in ["reload", "", "+", "+7", "+7:x", "-1:2147483648", "+1:10001", "*1:2"] {
            assert_eq!(parse(message), SensorChange::Unknown, "{message}");
        }
    }
}
