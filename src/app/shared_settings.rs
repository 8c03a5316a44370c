//! What a role knows of the shared settings: what it was given, what the database has, and what it runs with.
//!
//! A process runs with what it has read first, until it ends: partitions that change hands between a reading and the next
//! one must not change their rules. What is set later it reports, and a restart follows it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::supervisor::Supervisor;
use crate::{
    config::{
        DatabaseConfig, GivenSettings, IngestConfig, RunningSettings, Setting, SettingsError, StoredValue,
        description, from_database,
    },
    health::Component,
    store::{
        Pool,
        settings::{self, SettingsStore},
    },
};

/// How often the database is asked.
const READ_INTERVAL: Duration = Duration::from_secs(5);
/// The same until it has settings to read: before it has answered once an api lets nobody in.
const FIRST_READ_INTERVAL: Duration = Duration::from_secs(1);

/// The shared settings of a process; clones share what is known.
#[derive(Clone, Debug)]
pub(super) struct SharedSettings {
    given: GivenSettings,
    /// What the process runs with, once that is known.
    pub(super) running: RunningSettings,
    /// What the log has last said of them, for an audit reads them each round.
    logged: Arc<Mutex<String>>,
}

impl SharedSettings {
    pub(super) fn new(given: GivenSettings) -> Self {
        Self { given, running: RunningSettings::default(), logged: Arc::default() }
    }

    /// Those that the process is given.
    pub(super) fn given(&self) -> &GivenSettings {
        &self.given
    }

    /// What holds, read where it is not known yet; the process runs with it only if it learns it.
    pub(super) async fn read(&self, database: &DatabaseConfig) -> anyhow::Result<IngestConfig> {
        if let Some(running) = self.running.read() {
            return Ok(*running);
        }
        let stored = SettingsStore::open(database).await?.read().await?;
        Ok(self.resolve(stored.as_deref())?)
    }

    /// Stores what was given and the database has no value of, and runs with what it has then. Where that is not what was
    /// given, nothing is stored.
    pub(super) async fn store_missing(&self, database: &DatabaseConfig) -> anyhow::Result<()> {
        let mut store = SettingsStore::open(database).await?;
        let resolve = |stored: &[StoredValue]| self.resolve(Some(stored));
        self.running.learn(store.set_missing(self.given.values(), "migrate", resolve).await??);
        Ok(())
    }

    /// Reads them once and runs with them; where Postgres does not answer that is left to [`Self::learn_and_follow`].
    pub(super) async fn try_to_learn(&self, pool: &Pool) -> anyhow::Result<()> {
        if self.running.read().is_none()
            && let Ok(stored) = settings::read(pool).await
        {
            self.learn(stored.as_deref())?;
        }
        Ok(())
    }

    /// Until `stop`: learns them where that was not possible yet, then follows them. A process that was given something
    /// else ends. `known` is whether the process may serve with what it knows.
    pub(super) async fn learn_and_follow(
        self,
        pool: Pool,
        known: Component,
        following: Component,
        supervisor: Supervisor,
        stop: CancellationToken,
    ) {
        following.up();
        while self.running.read().is_none() {
            match settings::read(&pool).await.map(|stored| self.learn(stored.as_deref())) {
                Ok(Ok(())) => known.up(),
                Ok(Err(error)) => {
                    known.down(error.to_string());
                    supervisor.fail(error.to_string());
                    return stop.cancelled().await;
                }
                // Without Postgres an api goes on with what it was given, as long as there is no table of settings.
                Err(error) if self.running.get().is_none() || error.is_missing_right() => {
                    known.down(format!("not read yet: {}", error.server_message()));
                }
                Err(_) => {}
            }
            if stop.run_until_cancelled(tokio::time::sleep(FIRST_READ_INTERVAL)).await.is_none() {
                return;
            }
        }
        known.up();
        self.follow(pool, following, stop).await;
    }

    /// Until `stop`: reports what was set since the process has read them.
    pub(super) async fn follow(self, pool: Pool, component: Component, stop: CancellationToken) {
        let mut reported = None;
        loop {
            // Without an answer nothing is known; the watch over Postgres reports that.
            if let (Ok(stored), Some(running)) = (settings::read(&pool).await, self.running.read()) {
                let difference = outdated(running, stored.as_deref());
                match &difference {
                    None => component.up(),
                    Some(difference) => {
                        component.down(difference.clone());
                        // The component logs only that it goes down.
                        if reported.as_ref().is_some_and(|reported| reported != difference) {
                            tracing::warn!("settings changed again: {difference}");
                        }
                    }
                }
                reported = difference;
            }
            if stop.run_until_cancelled(tokio::time::sleep(READ_INTERVAL)).await.is_none() {
                return;
            }
        }
    }

    /// Runs with what the database has. Before it has a table of settings, the process runs with what it was given, and
    /// has not learnt them.
    fn learn(&self, stored: Option<&[StoredValue]>) -> Result<(), SettingsError> {
        let config = self.resolve(stored)?;
        if stored.is_some() {
            self.running.learn(config);
        } else {
            self.running.assume(config);
        }
        Ok(())
    }

    /// What holds, which the log says where it has not said it.
    fn resolve(&self, stored: Option<&[StoredValue]>) -> Result<IngestConfig, SettingsError> {
        let config = self.given.resolve(stored)?;
        let described = description(&config, stored.unwrap_or_default());
        let mut logged = self.logged.lock();
        if *logged != described {
            tracing::info!("shared settings: {described}");
            *logged = described;
        }
        Ok(config)
    }
}

/// Which settings the database has other values of by now; none where it has none, or no table.
fn outdated(running: &IngestConfig, stored: Option<&[StoredValue]>) -> Option<String> {
    let now = match from_database(stored?) {
        Ok(now) => now,
        Err(error) => return Some(error.to_string()),
    };
    let changed = Setting::ALL.into_iter().filter(|setting| setting.of(running) != setting.of(&now));
    let told: Vec<String> = changed
        .map(|setting| {
            let (stored, running) = (setting.of(&now), setting.of(running));
            format!("{setting} is {stored} in the database, this process runs with {running}")
        })
        .collect();
    (!told.is_empty()).then(|| format!("{}; restart it", told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_reports_what_changed_and_what_cannot_be_used() {
        let stored = StoredValue::by_alice;
        let outdated = |stored: &[StoredValue]| outdated(&IngestConfig::default(), Some(stored));
        assert_eq!(outdated(&[stored("rollups", "on"), stored("of_a_later_version", "7")]), None);
        let told = outdated(&[stored("rollups", "off"), stored("retention", "90days")]);
        let expected = "retention is 90days in the database, this process runs with off; \
                        rollups is off in the database, this process runs with on; restart it";
        assert_eq!(told.as_deref(), Some(expected));
        let told = outdated(&[stored("rollups", "weekly")]).expect("it cannot be used");
        assert!(told.contains("rollups cannot be \"weekly\""), "{told}");
    }
}
