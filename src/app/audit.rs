//! The `audit` role: one audit and an exit code, or one after the other; and the audit beside other roles.

mod keeping;
mod partition;
mod round;
mod sensors;
mod watch;

use std::process::ExitCode;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use self::{
    keeping::Keeping,
    round::Round,
    watch::{Told, Watch},
};
use super::{Operations, SCHEMA_PATIENCE, servers::Servers, shared_settings::SharedSettings};
use crate::{
    audit::{Outcome, Report},
    config::{AuditConfig, AuditFormat, BackgroundAudit, BackgroundAuditConfig, MetricsConfig},
    health::Need,
    http,
    log_level::LogLevel,
    metrics::Served,
    store::{self, audit::checkpoints},
};

/// Something is not as it must be.
const DIFFERENCES: u8 = 1;
/// Whether it is cannot be told.
const NOT_AUDITED: u8 = 2;

/// What is audited, and how.
#[derive(Clone)]
pub(super) struct Audit {
    pub(super) servers: Servers,
    /// Each round reads them, also while workers still run with older ones; beside other roles they are the process's.
    pub(super) shared: SharedSettings,
    pub(super) config: AuditConfig,
}

impl Audit {
    /// The audit of a process that is an api and a worker; none where it is switched off.
    pub(super) fn beside(
        servers: &Servers,
        shared: &SharedSettings,
        config: &BackgroundAuditConfig,
    ) -> Option<Self> {
        let is_on = match config.audit {
            BackgroundAudit::On => true,
            BackgroundAudit::Off => false,
        };
        is_on.then(|| Self {
            servers: servers.clone(),
            shared: shared.clone(),
            config: AuditConfig::beside(config.pace),
        })
    }

    /// Runs to the end: of an audit, or, with `--watch`, of the process.
    pub(super) async fn run(
        self,
        metrics: MetricsConfig,
        log_level: LogLevel,
        stop: CancellationToken,
    ) -> ExitCode {
        let outcome = if self.config.watch {
            self.watch(metrics, log_level, stop).await
        } else {
            self.once(stop).await
        };
        match outcome {
            Ok(Outcome::Clean) => ExitCode::SUCCESS,
            Ok(Outcome::Differences) => ExitCode::from(DIFFERENCES),
            Ok(Outcome::Undetermined) => ExitCode::from(NOT_AUDITED),
            Err(error) => {
                tracing::error!("not audited: {error:#}");
                ExitCode::from(NOT_AUDITED)
            }
        }
    }

    async fn once(&self, stop: CancellationToken) -> anyhow::Result<Outcome> {
        let database = &self.servers.database;
        let auditing = async {
            store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
            let round = Round::open(self).await?;
            let (report, after) = round.run(&[], !self.config.no_table_count, &stop).await?;
            self.print(&report)?;
            Keeping::of_one(database).keep(&report, &after).await;
            if self.config.accept {
                checkpoints::restart_counting(database, &after.log, &after.books)
                    .await
                    .context("what was found is printed, and not accepted")?;
                tracing::info!("audits begin at the offsets of this one from now on");
            }
            Ok(report.outcome())
        };
        let audited = stop.run_until_cancelled(auditing).await;
        audited.unwrap_or_else(|| bail!("stopped before it was complete"))
    }

    /// Audits for as long as the process runs, with metrics and health of its own.
    async fn watch(
        &self,
        metrics: MetricsConfig,
        log_level: LogLevel,
        stop: CancellationToken,
    ) -> anyhow::Result<Outcome> {
        let Operations { health, metrics: exposition, supervisor, .. } =
            Operations::start(Served::Audit, log_level, &stop)?;
        let component = health.component("audit", Need::Required);
        let served = metrics.metrics_addr.map(|address| {
            tracing::info!("serving /metrics, /healthz and /readyz on http://{address}");
            let serving = http::serve_operations(address, health.clone(), exposition, stop.clone());
            tokio::spawn(supervisor.watch_server(&stop, serving))
        });
        let outcome = Watch::new(self, component, Told::Printed).run(stop).await;
        health.stopping();
        if let Some(served) = served {
            served.await?;
        }
        supervisor.verdict()?;
        outcome
    }

    /// Audits beside other roles until `stop`: what it finds is logged, counted and kept, and none of it, nor that it
    /// cannot audit for now, is a reason for the others to end.
    pub(super) async fn run_beside(
        self,
        operations: Operations,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let component = operations.health.component("audit", Need::Optional);
        Watch::new(&self, component, Told::Logged).run(stop).await.map(|_| ())
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        match self.config.format {
            AuditFormat::Table => print!("{report}"),
            AuditFormat::Json => println!("{}", serde_json::to_string(report)?),
        }
        Ok(())
    }
}
