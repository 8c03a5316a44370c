//! The `audit` role: one audit and an exit code, or one after the other.

mod keeping;
mod partition;
mod round;
mod watch;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use self::{keeping::Keeping, round::Round};
use super::Operations;
use crate::{
    audit::Report,
    config::{AuditConfig, AuditFormat, DatabaseConfig, KafkaConfig, KafkaSettings, MetricsConfig},
    log_level::LogLevel,
    metrics::Served,
    store::{self, audit::checkpoints},
};

/// How long to wait for `migrate` when everything is started at once.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(30);
/// Something is not as it must be.
const DIFFERENCES: u8 = 1;
/// Whether it is cannot be told.
const NOT_AUDITED: u8 = 2;

/// What is audited, and how.
pub(super) struct Audit {
    pub(super) database: DatabaseConfig,
    pub(super) kafka: KafkaConfig,
    pub(super) settings: KafkaSettings,
    pub(super) config: AuditConfig,
    pub(super) metrics: MetricsConfig,
    pub(super) log_level: LogLevel,
}

impl Audit {
    /// Runs to the end: of an audit, or, with `--watch`, of the process.
    pub(super) async fn run(self, stop: CancellationToken) -> ExitCode {
        let outcome = if self.config.watch { self.watch(stop).await } else { self.once(stop).await };
        match outcome {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(DIFFERENCES),
            Err(error) => {
                tracing::error!("not audited: {error:#}");
                ExitCode::from(NOT_AUDITED)
            }
        }
    }

    /// Whether it is clean.
    async fn once(&self, stop: CancellationToken) -> anyhow::Result<bool> {
        let auditing = async {
            store::wait_for_schema(&self.database, SCHEMA_PATIENCE).await?;
            let round = Round::open(self).await?;
            let (report, after) = round.run(&[], !self.config.no_table_count, &stop).await?;
            self.print(&report)?;
            Keeping::new(&self.database).keep(&report, &after).await;
            if self.config.accept {
                checkpoints::start_anew(&self.database, &after.log, &after.books)
                    .await
                    .context("what was found is printed, and not accepted")?;
                tracing::info!("audits begin at the offsets of this one from now on");
            }
            Ok(report.is_clean())
        };
        tokio::select! {
            outcome = auditing => outcome,
            () = stop.cancelled() => bail!("stopped before it was through"),
        }
    }

    async fn watch(&self, stop: CancellationToken) -> anyhow::Result<bool> {
        watch::run(self, Operations::start(Served::Audit, self.log_level.clone())?, stop).await
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        match self.config.format {
            AuditFormat::Table => print!("{report}"),
            AuditFormat::Json => println!("{}", serde_json::to_string(report)?),
        }
        Ok(())
    }
}
