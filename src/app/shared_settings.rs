//! What a role knows of the shared settings: what it was given, what the database has, and what it runs with.
//!
//! A process runs with what it has read first, until it ends: partitions that change hands between a reading and the next
//! one must not change their rules. What is set later it reports, and a restart follows it.

use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::supervisor::Supervisor;
use crate::{
    config::{
        DatabaseConfig, Disagreement, GivenSettings, IngestConfig, KnownIngest, Setting, StoredValue,
        from_database,
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
    pub(super) known: KnownIngest,
}

impl SharedSettings {
    pub(super) fn new(given: GivenSettings) -> Self {
        Self { given, known: KnownIngest::default() }
    }

    /// What holds, read where it is not known yet; the process runs with it only if it learns it.
    pub(super) async fn read(&self, database: &DatabaseConfig) -> anyhow::Result<IngestConfig> {
        if let Some(known) = self.known.get() {
            return Ok(*known);
        }
        let stored = SettingsStore::open(database)
            .await?
            .read()
            .await
            .context("what every process must have alike")?;
        Ok(self.given.resolve(stored.as_deref())?)
    }

    /// Stores what was given and the database has no value of, and runs with what it has then.
    pub(super) async fn store_missing(&self, database: &DatabaseConfig) -> anyhow::Result<()> {
        let mut store = SettingsStore::open(database).await?;
        store.set_missing(self.given.values(), "migrate").await?;
        self.known.learn(self.given.resolve(store.read().await?.as_deref())?);
        Ok(())
    }

    /// Reads them once and runs with them; where Postgres does not answer that is left to [`Self::follow`].
    pub(super) async fn try_to_learn(&self, pool: &Pool) -> anyhow::Result<()> {
        if self.known.get().is_none()
            && let Ok(stored) = settings::read(pool).await
        {
            self.known.learn(self.given.resolve(stored.as_deref())?);
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
            // That Postgres does not answer is reported by the watch over it.
            if let Ok(stored) = settings::read(&pool).await {
                match self.learn_or_compare(stored.as_deref()) {
                    Ok(changes) => report(&component, &changes),
                    Err(error) => {
                        component.down(error.to_string());
                        supervisor.fail(error.to_string());
                        return stop.cancelled().await;
                    }
                }
            }
            let pause = if self.known.get().is_some() { READ_INTERVAL } else { FIRST_READ_INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Which settings the database has other values of than the process runs with.
    fn learn_or_compare(&self, stored: Option<&[StoredValue]>) -> anyhow::Result<Vec<Change>> {
        let Some(running) = self.known.get() else {
            self.known.learn(self.given.resolve(stored)?);
            return Ok(vec![]);
        };
        Ok(stored.map_or(Ok(vec![]), |stored| changes(running, stored))?)
    }
}

/// A setting whose value is another one in the database by now.
struct Change {
    setting: Setting,
    running: String,
    stored: String,
}

fn changes(running: &IngestConfig, stored: &[StoredValue]) -> Result<Vec<Change>, Disagreement> {
    let now = from_database(stored)?;
    let of = |setting: Setting| Change { setting, running: setting.of(running), stored: setting.of(&now) };
    Ok(Setting::ALL.into_iter().map(of).filter(|change| change.running != change.stored).collect())
}

/// The component logs it once.
fn report(component: &Component, changes: &[Change]) {
    let told = |Change { setting, running, stored }: &Change| {
        format!("{setting} is {stored} in the database, this process runs with {running}")
    };
    let told: Vec<String> = changes.iter().map(told).collect();
    if told.is_empty() {
        component.up();
    } else {
        component.down(format!("{}; restart it", told.join("; ")));
    }
}
