//! Audits that go on: a round after the other, each of what was stored since the last one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{Audit, Keeping, Round, round::After};
use crate::{
    app::{SCHEMA_PATIENCE, servers::Servers},
    audit::{Difference, Outcome, Report, Resume, Summary},
    config::{AuditFormat, SettingsError},
    health::Component,
    kafka::find_topic,
    log::Log,
    metrics::{
        AUDIT_DIFFERENCES, AUDIT_ENDED_AT, AUDIT_OPEN_DIFFERENCES, AUDIT_READINGS, AUDIT_ROUNDS,
        AUDIT_SECONDS, AUDIT_UNACCOUNTED, AUDITED_UP_TO,
    },
    reading::Timestamp,
    store,
};

/// Longest wait for the next attempt after a round that failed.
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// How rounds are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// To standard output, besides the log.
    Printed,
    /// To the log alone.
    Logged,
}

/// A watch, and where it has got to.
pub(super) struct Watch<'a> {
    audit: &'a Audit,
    component: Component,
    told: Told,
    keeping: Keeping<'a>,
    resumes: Vec<(i32, Resume)>,
    /// Whether a round was finished by this process.
    has_begun: bool,
}

impl<'a> Watch<'a> {
    /// Begins where an earlier process ended, if there was one.
    pub(super) fn new(audit: &'a Audit, component: Component, told: Told) -> Self {
        let keeping = Keeping::of_watch(&audit.servers.database);
        Self { audit, component, told, keeping, resumes: vec![], has_begun: false }
    }

    /// Rounds until `stop`; whether one of them found a difference. A round that fails is tried again.
    pub(super) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<Outcome> {
        let interval = self.audit.config.pace.audit_interval;
        let mut outcome = Outcome::Clean;
        while !stop.is_cancelled() {
            let Some(round) = stop.run_until_cancelled(self.round(&stop)).await else { break };
            let pause = match round {
                Ok((report, after)) => {
                    self.finish(&report, after).await?;
                    if report.outcome() == Outcome::Differences {
                        outcome = Outcome::Differences;
                    }
                    interval
                }
                // What it was given is not what workers go by, so what it found would mean nothing.
                Err(error) if !self.has_begun && error.is::<SettingsError>() => return Err(error),
                Err(error) => {
                    metrics::counter!(AUDIT_ROUNDS, "outcome" => "failed").increment(1);
                    self.component.down("the last round could not be finished");
                    tracing::warn!("not audited for now; retrying: {error:#}");
                    interval.min(RETRY_INTERVAL_MAX)
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        Ok(outcome)
    }

    /// The first round counts the table's rows. Each begins where the last audit ended, whoever ran it; what is not
    /// audited, or differed, is read from where the log begins.
    async fn round(&mut self, stop: &CancellationToken) -> anyhow::Result<(Report, After)> {
        let Audit { servers: Servers { database, kafka, settings }, config, .. } = self.audit;
        if !self.has_begun {
            store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
        }
        let log = Log::new(&kafka.kafka_topic, find_topic(kafka, settings).await?.identity);
        if let Some(resumes) = self.keeping.take_over(&log).await? {
            self.resumes = resumes;
        }
        let counts_rows = !self.has_begun && !config.no_table_count;
        Round::open(self.audit).await?.run(&self.resumes, counts_rows, stop).await
    }

    async fn finish(&mut self, report: &Report, after: After) -> anyhow::Result<()> {
        self.publish(report)?;
        note(report);
        let summary = self.keeping.keep(report, &after).await;
        note_open(&summary, after.taken_at);
        match report.outcome() {
            Outcome::Clean | Outcome::Differences => self.component.up(),
            Outcome::Undetermined => self.component.down("a partition could not be read"),
        }
        self.resumes = after.resumes;
        self.has_begun = true;
        Ok(())
    }

    /// Machines get every round; people the first one, and those that found something.
    fn publish(&self, report: &Report) -> anyhow::Result<()> {
        let is_printed = match self.told {
            Told::Logged => false,
            Told::Printed => {
                self.audit.config.format == AuditFormat::Json || !self.has_begun || !report.is_clean()
            }
        };
        if is_printed {
            return self.audit.print(report);
        }
        if report.is_clean() {
            let (readings, seconds) = (report.readings, report.seconds);
            if self.has_begun {
                tracing::debug!(readings, seconds, "audited: no difference");
            } else {
                tracing::info!(
                    readings,
                    seconds,
                    "audited: no difference; going on with what is stored next"
                );
            }
        }
        Ok(())
    }
}

/// Counts a round.
fn note(report: &Report) {
    metrics::counter!(AUDIT_ROUNDS, "outcome" => report.outcome().as_str()).increment(1);
    metrics::counter!(AUDIT_READINGS).increment(report.readings.cast_unsigned());
    metrics::histogram!(AUDIT_SECONDS).record(report.seconds);
    metrics::gauge!(AUDIT_ENDED_AT).set((Timestamp::now().micros() / 1_000_000) as f64);
    for (partition, difference) in report.all_differences() {
        metrics::counter!(AUDIT_DIFFERENCES, "kind" => difference.kind()).increment(1);
        if let Difference::Unaccounted { readings } = difference {
            metrics::counter!(AUDIT_UNACCOUNTED).increment(readings.cast_unsigned());
        }
        let kind = difference.kind();
        if let Difference::Unreadable { reason } = difference {
            tracing::warn!(kind, kafka.partition = partition, "partition not audited; retrying: {reason}");
        } else {
            tracing::error!(kind, kafka.partition = partition, "the audit found a difference: {difference}");
        }
    }
}

/// Sets what holds after all rounds so far.
fn note_open(summary: &Summary, taken_at: DateTime<Utc>) {
    for kind in Difference::KINDS {
        let partitions = summary.kinds.get(kind).copied().unwrap_or(0);
        metrics::gauge!(AUDIT_OPEN_DIFFERENCES, "kind" => kind).set(partitions);
    }
    if summary.outcome == Outcome::Clean {
        metrics::gauge!(AUDITED_UP_TO).set(taken_at.timestamp_micros() as f64 / 1e6);
    }
}
