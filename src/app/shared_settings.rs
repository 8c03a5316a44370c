//! What a role knows of the shared settings: what it was given, what the database has, and what it runs with.
//!
//! A process runs with what it has read first, until it ends: partitions that change hands between a reading and the next
//! one must not change their rules. What is set later it reports, and a restart follows it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::supervisor::Supervisor;
use crate::{
    config::{
        DatabaseConfig, GivenSettings, IngestConfig, RunningSettings, Setting, StoredValue, from_database,
    },
    health::Component,
    store::{
        Pool,
        settings::{self, SettingsStore},
    },
};

/// How often the database is asked.
const READ_INTERVAL: Duration = Duration::from_secs(5);
/// The same before it has answered once: until then an api lets nobody in.
const FIRST_READ_INTERVAL: Duration = Duration::from_secs(1);

/// The shared settings of a process; clones share what is known.
#[derive(Clone, Debug)]
pub(super) struct SharedSettings {
    given: GivenSettings,
    /// What the process runs with, once that is known.
    pub(super) running: RunningSettings,
}

impl SharedSettings {
    pub(super) fn new(given: GivenSettings) -> Self {
        Self { given, running: RunningSettings::default() }
    }

    /// What holds, read where it is not known yet; the process runs with it only if it learns it.
    pub(super) async fn read(&self, database: &DatabaseConfig) -> anyhow::Result<IngestConfig> {
        if let Some(running) = self.running.get() {
            return Ok(*running);
        }
        let stored = SettingsStore::open(database).await?.read().await?;
        Ok(self.given.resolve(stored.as_deref())?)
    }

    /// Stores what was given and the database has no value of, and runs with what it has then.
    pub(super) async fn store_missing(&self, database: &DatabaseConfig) -> anyhow::Result<()> {
        let mut store = SettingsStore::open(database).await?;
        store.set_missing(self.given.values(), "migrate").await?;
        self.running.learn(self.given.resolve(store.read().await?.as_deref())?);
        Ok(())
    }

    /// Reads them once and runs with them; where Postgres does not answer that is left to [`Self::follow`].
    pub(super) async fn try_to_learn(&self, pool: &Pool) -> anyhow::Result<()> {
        if self.running.get().is_none()
            && let Ok(stored) = settings::read(pool).await
        {
            self.running.learn(self.given.resolve(stored.as_deref())?);
        }
        Ok(())
    }

    /// Until `stop`: learns them where that was not possible yet, and reports what was set since. A process that was
    /// given something else ends.
    pub(super) async fn follow(
        self,
        pool: Pool,
        component: Component,
        supervisor: Supervisor,
        stop: CancellationToken,
    ) {
        // Nothing speaks against it before Postgres has answered.
        component.up();
        loop {
            match (settings::read(&pool).await, self.running.get()) {
                (Ok(stored), Some(running)) => match outdated(running, stored.as_deref()) {
                    None => component.up(),
                    Some(difference) => component.down(difference),
                },
                (Ok(stored), None) => match self.given.resolve(stored.as_deref()) {
                    Ok(config) => {
                        self.running.learn(config);
                        component.up();
                    }
                    Err(error) => {
                        component.down(error.to_string());
                        supervisor.fail(error.to_string());
                        return stop.cancelled().await;
                    }
                },
                (Err(error), None) => component.down(format!("not read yet: {}", error.server_message())),
                // Reported by the watch over Postgres.
                (Err(_), Some(_)) => {}
            }
            let pause = if self.running.get().is_some() { READ_INTERVAL } else { FIRST_READ_INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
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
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_running_process_reports_what_changed_and_what_cannot_be_used() {
        let stored = |name: &str, value: &str| StoredValue {
            name: name.to_owned(),
            value: value.to_owned(),
            set_at: DateTime::UNIX_EPOCH,
            set_by: "alice".to_owned(),
        };
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
