//! `audit --watch`: a round after the other, each of what was stored since the last one.

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{Audit, Keeping, Operations, Round, SCHEMA_PATIENCE, round::After};
use crate::{
    audit::{Difference, Report, Resume},
    config::AuditFormat,
    health::Need,
    http,
    metrics::{
        AUDIT_DIFFERENCES, AUDIT_ENDED_AT, AUDIT_READINGS, AUDIT_ROUNDS, AUDIT_SECONDS, AUDIT_UNACCOUNTED,
    },
    reading::Timestamp,
    store,
};

/// Rounds until `stop`; whether none of them found a difference.
pub(super) async fn run(
    audit: &Audit,
    operations: Operations,
    stop: CancellationToken,
) -> anyhow::Result<bool> {
    let Operations { health, metrics, .. } = operations;
    let component = health.component("audit", Need::Required);
    let served = audit.metrics.metrics_addr.map(|address| {
        tracing::info!("serving /metrics, /healthz and /readyz on http://{address}");
        tokio::spawn(http::serve_operations(address, health.clone(), metrics, stop.clone()))
    });
    let mut resumes = Vec::new();
    let mut keeping = Keeping::new(&audit.database);
    let mut is_clean = true;
    while !stop.is_cancelled() {
        let round = tokio::select! {
            round = self::round(audit, &resumes, &stop) => round,
            () = stop.cancelled() => break,
        };
        match round {
            Ok((report, after)) => {
                component.up();
                is_clean &= report.is_clean();
                tell(audit, &report, resumes.is_empty())?;
                note(&report);
                keeping.keep(&report, &after).await;
                resumes = after.resumes;
            }
            Err(error) => {
                metrics::counter!(AUDIT_ROUNDS, "outcome" => "failed").increment(1);
                component.down("the last round could not be finished");
                tracing::warn!("not audited for now; trying on: {error:#}");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(audit.config.interval) => {}
            () = stop.cancelled() => {}
        }
    }
    health.stopping();
    if let Some(served) = served {
        served.await?.context("serving metrics and health")?;
    }
    Ok(is_clean)
}

/// The first round counts the table's rows and begins where the log does.
async fn round(
    audit: &Audit,
    resumes: &[(i32, Resume)],
    stop: &CancellationToken,
) -> anyhow::Result<(Report, After)> {
    let is_first = resumes.is_empty();
    if is_first {
        store::wait_for_schema(&audit.database, SCHEMA_PATIENCE).await?;
    }
    let counts_rows = is_first && !audit.config.no_table_count;
    Round::open(audit).await?.run(resumes, counts_rows, stop).await
}

/// Machines get every round; people the first one, and those that found something.
fn tell(audit: &Audit, report: &Report, is_first: bool) -> anyhow::Result<()> {
    if audit.config.format == AuditFormat::Json || is_first || !report.is_clean() {
        return audit.print(report);
    }
    tracing::info!(readings = report.readings, seconds = report.seconds, "audited: no difference");
    Ok(())
}

fn note(report: &Report) {
    let outcome = if report.is_clean() { "clean" } else { "differences" };
    metrics::counter!(AUDIT_ROUNDS, "outcome" => outcome).increment(1);
    metrics::counter!(AUDIT_READINGS).increment(report.readings.cast_unsigned());
    metrics::histogram!(AUDIT_SECONDS).record(report.seconds);
    metrics::gauge!(AUDIT_ENDED_AT).set((Timestamp::now().micros() / 1_000_000) as f64);
    for (partition, difference) in report.all_differences() {
        metrics::counter!(AUDIT_DIFFERENCES, "kind" => difference.kind()).increment(1);
        if let Difference::Unaccounted { readings } = difference {
            metrics::counter!(AUDIT_UNACCOUNTED).increment(readings.cast_unsigned());
        }
        tracing::error!(
            kind = difference.kind(),
            kafka.partition = partition,
            "the audit differs: {difference}"
        );
    }
}
