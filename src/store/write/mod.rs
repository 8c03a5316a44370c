//! The transaction that stores a batch, or none of it.
//!
//! ```text
//!   chunks        made ahead, each in a transaction of its own
//! BEGIN
//!   offsets       compare-and-set, in the order of partitions; one that fails stops everything
//!   sensors       locked against deletion, once per batch; readings of unknown ones are set aside
//!   days          locked against whoever would keep their statistics; those that are kept are forgotten
//!   readings      COPY; on a conflict the staged way, row by row where the database refuses one
//!   dead letters  what was set aside; beyond the bounds it is counted only
//!   counts        corrected where they are not what the offsets' row assumed
//! COMMIT
//! ```
//!
//! Everybody takes locks in this order, so nobody waits in a circle.

mod chunks;
mod copy;
pub(super) mod days;
mod dead_letters;
mod frozen;
mod letter_overflow;
mod offsets;
pub(super) mod readings;
pub(super) mod sensors;

use std::{collections::BTreeMap, time::Duration};

pub use copy::encode_rows;

use letter_overflow::NotKept;
use sqlx::{Executor, PgConnection};
use tokio::time::{Instant, interval_at, timeout};

use super::{
    StallReport, StoreError, StoredOffset,
    connection::{WRITER_APPLICATION_NAME, connect},
};
use crate::{
    batch::{Batch, Rejected, Row, Tally, distinct, sort_for_chunks},
    config::{DatabaseConfig, FkCheck, LetterBounds, Rollups},
    metrics::FK_CHECK_PER_BATCH,
    pipeline::Log,
    reading::{OnDuplicate, Reason},
};

/// How a writer goes about it.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// Where to.
    pub database: DatabaseConfig,
    /// Which of two equal readings stays.
    pub on_duplicate: OnDuplicate,
    /// How foreign keys are checked.
    pub fk_check: FkCheck,
    /// Whether kept statistics of the days that a batch touches are forgotten.
    pub rollups: Rollups,
    /// How long a lock may block before a frozen holder of it is looked for.
    pub lock_timeout: Duration,
    /// How many dead letters are kept.
    pub letter_bounds: LetterBounds,
}

/// What became of a batch.
#[derive(Debug)]
pub enum Written {
    /// It is committed.
    Committed(Report),
    /// Nothing was written, for the stored offsets of these partitions are not the ones expected.
    Fenced(Vec<Fence>),
}

/// A partition that stands elsewhere than a batch expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The partition.
    pub partition: i32,
    /// Where it stands; none where it has no row any more, as after a restore.
    pub stored: Option<StoredOffset>,
}

/// Fates of a committed batch's readings.
#[derive(Debug, Default)]
pub struct Report {
    /// Over all partitions.
    pub total: Tally,
    /// Dead letters by reason.
    pub reasons: Vec<(Reason, u64)>,
    /// What the transaction's time went to.
    pub phases: Phases,
}

/// Time of a transaction's parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Chunks, offsets and sensors: all that comes before the readings.
    pub prepare: Duration,
    /// The readings, dead letters and counts.
    pub copy: Duration,
    /// COMMIT.
    pub commit: Duration,
}

/// Longest time that one attempt may take; past it the connection is given up and the batch tried again.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// Longest time that a look at the stored offsets may take, so that a batch that comes meanwhile waits no longer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes batches over a connection of its own, made when needed.
pub struct BatchWriter {
    config: WriterConfig,
    open: Option<Open>,
    /// The last batch met readings that were there already: the next one likely does, too.
    expects_duplicates: bool,
    /// How foreign keys were checked last.
    fk_check_per_batch: Option<bool>,
    /// Whether the last dead letters were beyond what is kept.
    letters_at_bound: bool,
}

/// A connection and what was asked of the server when it was made.
struct Open {
    connection: PgConnection,
    backend_pid: i32,
    chunk_micros: i64,
    chunks: chunks::Chunks,
    may_skip_row_checks: bool,
}

impl BatchWriter {
    /// A writer that is not connected yet.
    pub fn new(config: WriterConfig) -> Self {
        Self {
            config,
            open: None,
            expects_duplicates: false,
            fk_check_per_batch: None,
            letters_at_bound: false,
        }
    }

    /// Writes a batch. After an error nothing of it is stored, or, where the answer to COMMIT was lost, all of it:
    /// writing it again tells, by the compare-and-set.
    pub async fn write(&mut self, log: &Log, batch: &Batch) -> Result<Written, StoreError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::connect(&self.config).await?,
        };
        let (config, backend_pid) = (self.config.clone(), open.backend_pid);
        let written = watched(self.transaction(&mut open, log, batch), &config, backend_pid).await?;
        // Only here is the connection known to be in order: any error drops it, and the server rolls back.
        self.open = Some(open);
        Ok(written)
    }

    /// The stored offsets of these partitions; those that have no row are left out.
    pub async fn look(&mut self, log: &Log, partitions: &[i32]) -> Result<Vec<StoredOffset>, StoreError> {
        let looking = async {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => Open::connect(&self.config).await?,
            };
            let stored = super::offsets::read(&mut open.connection, log, partitions).await?;
            self.open = Some(open);
            Ok(stored)
        };
        timeout(LOOK_TIMEOUT, looking)
            .await
            .map_err(StoreError::timed_out("looking at the stored offsets"))?
    }

    /// Notes which of these partitions are stalled, for those who look at the database.
    pub async fn report_stalls(
        &mut self,
        log: &Log,
        partitions: &[i32],
        stalled: &[StallReport],
    ) -> Result<(), StoreError> {
        let reporting = async {
            let Some(mut open) = self.open.take() else { return Ok(()) };
            let reported = super::stalled::report(&mut open.connection, log, partitions, stalled).await;
            // A server that answers no, as to a role without the right, leaves the connection in order.
            if reported.as_ref().is_ok() || reported.as_ref().is_err_and(|error| error.sqlstate().is_some()) {
                self.open = Some(open);
            }
            reported
        };
        timeout(LOOK_TIMEOUT, reporting)
            .await
            .map_err(StoreError::timed_out("reporting stalled partitions"))?
    }

    async fn transaction(
        &mut self,
        open: &mut Open,
        log: &Log,
        batch: &Batch,
    ) -> Result<Written, StoreError> {
        let started = Instant::now();
        if open.may_skip_row_checks {
            open.chunks.make_missing(&mut open.connection, batch.rows(), open.chunk_micros).await?;
        }
        open.execute("BEGIN", "beginning").await?;
        let moved = offsets::compare_and_set(&mut open.connection, log, batch).await?;
        if moved.len() < batch.spans().len() {
            open.execute("ROLLBACK", "rolling back").await?;
            return Self::fenced(open, log, batch, &moved).await;
        }
        let mut rejected = batch.rejected().to_vec();
        let (rows, duplicates) = self.checked_rows(open, batch, &mut rejected).await?;
        let prepared = Instant::now();
        let stored = self.store_rows(open, batch, &rows, &mut rejected).await?;
        let bounds = self.config.letter_bounds;
        let not_kept = dead_letters::insert(&mut open.connection, log, batch, &rejected, bounds).await?;
        let tallies = tally(batch, &rows, &duplicates, &rejected, &stored);
        offsets::correct_counts(&mut open.connection, log, batch, &tallies).await?;
        let copied = Instant::now();
        open.execute("COMMIT", "committing").await?;
        self.expects_duplicates = stored.met_conflicts;
        self.note_not_kept(&not_kept, rejected.len());
        let mut report = report(batch, &tallies, &rejected);
        report.phases =
            Phases { prepare: prepared - started, copy: copied - prepared, commit: copied.elapsed() };
        Ok(Written::Committed(report))
    }

    /// Which partitions stand elsewhere, or, where a commit's answer was lost, that all is well.
    async fn fenced(open: &mut Open, log: &Log, batch: &Batch, moved: &[i32]) -> Result<Written, StoreError> {
        let partitions = batch.spans().iter().map(|span| span.partition);
        let others: Vec<i32> = partitions.filter(|partition| !moved.contains(partition)).collect();
        let mut stored = super::offsets::read(&mut open.connection, log, &others).await?;
        let mut fence = |partition| Fence {
            partition,
            stored: stored
                .iter()
                .position(|offset| offset.partition == partition)
                .map(|at| stored.swap_remove(at)),
        };
        Ok(Written::Fenced(others.into_iter().map(&mut fence).collect()))
    }

    /// The readings of known sensors, sorted, one for each key, and the duplicates that gave way to them.
    async fn checked_rows(
        &self,
        open: &mut Open,
        batch: &Batch,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(Vec<Row>, Vec<Row>), StoreError> {
        let mut rows = batch.rows().to_vec();
        sort_for_chunks(&mut rows, open.chunk_micros);
        sensors::lock_known(&mut open.connection, batch, &mut rows, rejected).await?;
        Ok(distinct(batch, &rows, self.config.on_duplicate))
    }

    /// Logged when it begins and when it ends: a batch without dead letters says nothing of it.
    fn note_not_kept(&mut self, not_kept: &NotKept, dead_lettered: usize) {
        if dead_lettered == 0 {
            return;
        }
        not_kept.count();
        let letters = not_kept.letters();
        match (std::mem::replace(&mut self.letters_at_bound, letters > 0), letters > 0) {
            (false, true) => tracing::error!(
                letters,
                "dead_letters is at DEAD_LETTER_MAX or DEAD_LETTER_MAX_BYTES: further ones are counted, not kept; \
                 `sensorpipe dead-letters not-kept` says where Kafka's log has them"
            ),
            (true, false) => tracing::info!("dead letters are kept again"),
            (false, false) | (true, true) => {}
        }
    }

    /// Logged once and whenever it changes, as when somebody adds a trigger.
    fn note_fk_check(&mut self, is_per_batch: bool) {
        if self.fk_check_per_batch.replace(is_per_batch) != Some(is_per_batch) {
            let mode = if is_per_batch { "batch" } else { "row" };
            tracing::info!(fk_check = mode, "foreign keys are checked once per {mode}");
            metrics::gauge!(FK_CHECK_PER_BATCH).set(u8::from(is_per_batch));
        }
    }

    async fn store_rows(
        &mut self,
        open: &mut Open,
        batch: &Batch,
        rows: &[Row],
        rejected: &mut Vec<Rejected>,
    ) -> Result<readings::Stored, StoreError> {
        if rows.is_empty() {
            return Ok(readings::Stored::default());
        }
        if self.config.rollups == Rollups::On {
            days::reopen(&mut open.connection, rows).await?;
        }
        let is_per_batch = open.may_skip_row_checks && sensors::skip_row_checks(&mut open.connection).await?;
        self.note_fk_check(is_per_batch);
        let storing = readings::Storing { batch, policy: self.config.on_duplicate };
        storing.store(&mut open.connection, rows, self.expects_duplicates, rejected).await
    }
}

impl Open {
    async fn connect(config: &WriterConfig) -> Result<Self, StoreError> {
        let mut connection = connect(&config.database, WRITER_APPLICATION_NAME).await?;
        let (backend_pid, chunk_micros, has_privilege): (i32, i64, bool) = sqlx::query_as(
            "SELECT pg_backend_pid(), (extract(epoch FROM time_interval) * 1e6)::bigint,
                    has_parameter_privilege('session_replication_role', 'SET')
             FROM timescaledb_information.dimensions
             WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass
               AND dimension_number = 1",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(StoreError::new("looking at the hypertable"))?;
        let may_skip_row_checks = has_privilege && config.fk_check == FkCheck::Auto;
        tracing::info!(db.backend_pid = backend_pid, "writer connected");
        Ok(Self {
            connection,
            backend_pid,
            chunk_micros,
            chunks: chunks::Chunks::default(),
            may_skip_row_checks,
        })
    }

    async fn execute(&mut self, statement: &str, doing: &'static str) -> Result<(), StoreError> {
        self.connection.execute(statement).await.map_err(StoreError::new(doing))?;
        Ok(())
    }
}

/// Runs an attempt; while it lasts, looks now and then whether a frozen backend of ours blocks it.
async fn watched(
    writing: impl Future<Output = Result<Written, StoreError>>,
    config: &WriterConfig,
    backend_pid: i32,
) -> Result<Written, StoreError> {
    let mut writing = std::pin::pin!(timeout(WRITE_TIMEOUT, writing));
    // Two looks find a frozen one: the second is when the time is up.
    let half = (config.lock_timeout / 2).max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + half, half);
    let mut suspects = Vec::new();
    loop {
        tokio::select! {
            written = &mut writing => return written.map_err(StoreError::timed_out("writing a batch"))?,
            _ = ticks.tick() => suspects = frozen::end_blockers(config, backend_pid, &suspects).await,
        }
    }
}

/// Fates by partition, for every partition of the batch.
fn tally(
    batch: &Batch,
    rows: &[Row],
    duplicates: &[Row],
    rejected: &[Rejected],
    stored: &readings::Stored,
) -> BTreeMap<i32, Tally> {
    let mut tallies: BTreeMap<i32, Tally> =
        batch.spans().iter().map(|span| (span.partition, Tally::default())).collect();
    for row in rows {
        tallies.entry(batch.partition_of(row)).or_default().stored += 1;
    }
    for row in duplicates {
        tallies.entry(batch.partition_of(row)).or_default().duplicates += 1;
    }
    for one in rejected {
        tallies.entry(batch.partition_of_rejected(one)).or_default().dead_lettered += 1;
    }
    for (&partition, &not_stored) in &stored.duplicates {
        let tally = tallies.entry(partition).or_default();
        tally.stored -= not_stored;
        tally.duplicates += not_stored;
    }
    for (&partition, &refused) in &stored.refused {
        tallies.entry(partition).or_default().stored -= refused;
    }
    tallies
}

fn report(batch: &Batch, tallies: &BTreeMap<i32, Tally>, rejected: &[Rejected]) -> Report {
    let mut report = Report::default();
    for tally in tallies.values() {
        report.total += *tally;
    }
    for reason in Reason::ALL {
        let count = rejected.iter().filter(|rejected| rejected.reason() == reason).count();
        if count > 0 {
            report.reasons.push((reason, count as u64));
        }
    }
    debug_assert_eq!(
        report.total.stored + report.total.duplicates + report.total.dead_lettered,
        (batch.rows().len() + batch.rejected().len()) as i64,
        "each reading meets one fate"
    );
    report
}
