//! What the triggers on `sensors` say: which sensors were made and deleted, by anybody.
//!
//! Whoever may connect to the database may send such a message, so it is a hint where to look and never what is so.

use std::{ops::RangeInclusive, time::Duration};

use sqlx::{
    Connection as _,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::{
    StoreError, Unfit,
    hosts::{Follower, Hosts},
    options::{Purpose, servers},
    session::Session,
    sessions::Sessions,
};
use crate::config::DatabaseConfig;

/// The channel of migration 5.
const CHANNEL: &str = "sensorpipe_sensors";
/// How long setting up the connection, or an answer over it, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// After so long a silence Postgres is asked whether it is still there: a connection can die without a word.
const QUIET_TIME: Duration = Duration::from_secs(2);
/// How often it is said that there may be changes, where nothing can be listened to.
const ASK_INTERVAL: Duration = Duration::from_secs(2);
/// With more ids than that, reading the table anew costs less than following.
pub const IDS_MAX: usize = 10_000;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SensorChange {
    /// These were made or deleted, it is said.
    Of(Vec<RangeInclusive<i32>>),
    /// Too many to say, or in a form of a later version: the table has to be read.
    Unknown,
    /// None, and Postgres answers.
    Nothing,
}

/// What hears of changes.
pub enum SensorChanges {
    /// A connection that listens.
    Listening(Box<Listening>),
    /// Nothing: a pooler in between gives the session away, and with it what is listened to. That there may be changes is said
    /// now and then.
    Asking,
}

/// A connection that listens.
pub struct Listening {
    listener: PgListener,
    follower: Follower,
}

impl SensorChanges {
    /// Connects and listens: what commits after this returns is told.
    pub async fn listen(database: &DatabaseConfig) -> Result<Self, StoreError> {
        const DOING: &str = "listening for new sensors";
        let servers = servers(&database.database_url, Purpose::Writing)?.named("sensorpipe listener");
        let hosts = Hosts::of(&database.database_url, servers.target);
        let connecting = async {
            // sqlx's listener makes its connection itself: this one shows where to, and what lies between.
            let (mut connection, follower) = hosts.connect(&servers).await?;
            let sessions = hosts.sessions(&mut connection, &servers, &follower).await;
            connection.close().await.ok();
            match sessions {
                Sessions::Kept => {}
                Sessions::GivenAway => return Ok(Self::Asking),
                Sessions::GivenAwayWithStatements => {
                    return Err(sqlx::Error::Configuration(Box::new(Unfit::NoStatements)));
                }
            }
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .after_connect(|connection, _| Box::pin(async { Session::unlimited().set(connection).await }))
                .connect_with(follower.server_of(&servers).clone())
                .await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            // By itself it would connect anew, and nobody would know what was missed meanwhile.
            listener.eager_reconnect(false);
            Ok(Self::Listening(Box::new(Listening { listener, follower })))
        };
        timeout(ANSWER_TIMEOUT, connecting)
            .await
            .map_err(StoreError::timed_out(DOING))?
            .map_err(StoreError::new(DOING))
    }

    /// The next message; none if there is none by `due`. After an error some may have been missed.
    pub async fn next_by(&mut self, due: Instant) -> Result<Option<SensorChange>, StoreError> {
        match self {
            Self::Listening(listening) => listening.next_by(due).await,
            Self::Asking => {
                sleep_until(due).await;
                Ok(None)
            }
        }
    }

    /// The next message, or that Postgres is still there; after an error some may have been missed.
    pub async fn next(&mut self) -> Result<SensorChange, StoreError> {
        match self {
            Self::Listening(listening) => listening.next().await,
            Self::Asking => {
                sleep(ASK_INTERVAL).await;
                Ok(SensorChange::Unknown)
            }
        }
    }
}

impl Listening {
    async fn next_by(&mut self, due: Instant) -> Result<Option<SensorChange>, StoreError> {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into());
        let hearing = async {
            tokio::select! {
                heard = self.listener.try_recv() => heard,
                () = self.follower.switched() => Err(lost()),
            }
        };
        match timeout_at(due, hearing).await {
            Ok(Ok(Some(message))) => Ok(Some(parse(message.payload()))),
            Ok(Ok(None)) => Err(StoreError::new("hearing of new sensors")(lost())),
            Ok(Err(error)) => Err(StoreError::new("hearing of new sensors")(error)),
            Err(_quiet) => Ok(None),
        }
    }

    async fn next(&mut self) -> Result<SensorChange, StoreError> {
        if let Some(change) = self.next_by(Instant::now() + QUIET_TIME).await? {
            return Ok(change);
        }
        timeout(ANSWER_TIMEOUT, sqlx::query("SELECT 1").execute(&mut self.listener))
            .await
            .map_err(StoreError::timed_out("asking whether Postgres is still there"))?
            .map_err(StoreError::new("asking whether Postgres is still there"))?;
        Ok(SensorChange::Nothing)
    }
}

/// `+7:9,12:12` or `-7:7`, as the trigger writes it.
fn parse(message: &str) -> SensorChange {
    let Some(said) = message.strip_prefix(['+', '-']) else { return SensorChange::Unknown };
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
    if ids > IDS_MAX as u64 { SensorChange::Unknown } else { SensorChange::Of(ranges) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_as_the_trigger_writes_them() {
        assert_eq!(parse("+7:9,12:12"), SensorChange::Of(vec![7..=9, 12..=12]));
        assert_eq!(parse("--3:-2"), SensorChange::Of(vec![-3..=-2]));
        for message in ["reload", "", "+", "+7", "+7:x", "-1:2147483648", "+1:10001", "*1:2"] {
            assert_eq!(parse(message), SensorChange::Unknown, "{message}");
        }
    }
}
