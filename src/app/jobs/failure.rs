//! Why a round failed, and what is said of it.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use crate::{
    reminder::Reminders,
    store::{Remedy, StoreError},
};

/// A failed round. The next one is tried all the same.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    sqlstate: Option<String>,
    cure: Cure,
    advice: Option<&'static str>,
}

/// What it takes for the next round to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cure {
    /// Postgres answers again, which the watch over Postgres reports.
    Database,
    /// Time.
    Time,
    /// The role is given a right that it may be without on purpose.
    Grant,
    /// Somebody changes something.
    Operator,
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        Self {
            message: format!("{error}: {}", error.cause()),
            sqlstate: error.sqlstate(),
            cure: match error.remedy() {
                _ if error.is_missing_right() => Cure::Grant,
                Remedy::Reconnect if is_outage(error.sqlstate().as_deref()) => Cure::Database,
                Remedy::Reconnect | Remedy::Retry => Cure::Time,
                Remedy::IsolateRow | Remedy::UniqueViolation | Remedy::Operator => Cure::Operator,
            },
            advice: error.is_missing_right().then_some("run deploy/postgres/roles.sql"),
        }
    }
}

/// Whether the server is away, stopping or taken over: what the watch over Postgres meets, too.
fn is_outage(sqlstate: Option<&str>) -> bool {
    sqlstate.is_none_or(|state| state == "25006" || state.starts_with("08") || state.starts_with("57"))
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl Failure {
    /// One that passes without anybody's help, such as a Kafka that does not answer.
    pub(super) fn passing(error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self { message, sqlstate: None, cure: Cure::Time, advice: None }
    }

    /// What somebody has to do about it.
    pub(super) fn with_advice(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), cure: Cure::Operator, ..self }
    }

    /// Whether the same round may succeed soon.
    pub(super) fn may_pass(&self) -> bool {
        match self.cure {
            Cure::Database | Cure::Time => true,
            Cure::Grant | Cure::Operator => false,
        }
    }

    /// What tells it from other failures of the same job.
    fn kind(&self) -> &str {
        self.sqlstate.as_deref().unwrap_or(&self.message)
    }
}

/// How long rounds may fail for want of a database before the job reports it as well.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(300);
/// How often the same failure of a job is logged.
const REMINDER_INTERVAL: Duration = Duration::from_secs(1_800);

/// Logs the failures of one job: each kind once and then now and then, until a round succeeds.
pub(super) struct FailureLog {
    job: &'static str,
    reminders: Reminders,
    /// Since when and how often rounds have failed in a row.
    failing: Option<(Instant, u64)>,
    has_logged: bool,
}

impl FailureLog {
    pub(super) fn new(job: &'static str) -> Self {
        Self { job, reminders: Reminders::every(REMINDER_INTERVAL), failing: None, has_logged: false }
    }

    pub(super) fn note_success(&mut self) {
        let Self { job, failing, has_logged, .. } = std::mem::replace(self, Self::new(self.job));
        if let Some((_, rounds)) = failing
            && has_logged
        {
            tracing::info!(job, failed_rounds = rounds, "background job succeeds again");
        }
    }

    pub(super) fn note_failure(&mut self, failure: &Failure, pause: Duration) {
        let lasts = self.count();
        let (job, error, sqlstate) = (self.job, &failure.message, failure.sqlstate.as_deref());
        let is_reported_elsewhere = failure.cure == Cure::Database && lasts < OUTAGE_PATIENCE;
        if is_reported_elsewhere || !self.reminders.is_due(failure.kind()) {
            tracing::debug!(
                job,
                error,
                db.sqlstate = sqlstate,
                "background job failed; retrying in {pause:?}"
            );
            return;
        }
        self.has_logged = true;
        let advice = failure.advice.map(|advice| format!(": {advice}")).unwrap_or_default();
        match failure.cure {
            Cure::Database | Cure::Time | Cure::Grant => tracing::warn!(
                job,
                error,
                db.sqlstate = sqlstate,
                "background job failed{advice}; retrying in {pause:?}"
            ),
            Cure::Operator => tracing::error!(
                job,
                error,
                db.sqlstate = sqlstate,
                "background job failed{advice}; retrying in {pause:?}"
            ),
        }
    }

    /// Each is a defect, and logged.
    pub(super) fn note_panic(&mut self, message: &str, pause: Duration) {
        self.count();
        self.has_logged = true;
        tracing::error!(
            job = self.job,
            "background job {} panicked: {message}; restarting it in {pause:?}",
            self.job
        );
    }

    /// For how long rounds have failed in a row.
    fn count(&mut self) -> Duration {
        let (since, rounds) = self.failing.get_or_insert_with(|| (Instant::now(), 0));
        *rounds += 1;
        since.elapsed()
    }
}
