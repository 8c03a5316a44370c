//! The transaction that stores a batch, or none of it.
//!
//! ```text
//!   chunks        made ahead, each in a transaction of its own
//! BEGIN           with every constraint immediate: what is refused is refused by a statement, never by COMMIT
//!   offsets       compare-and-set, in the order of partitions; one that fails stops everything
//!   dead letters  locked, where records that are read again have some
//!   sensors       locked against deletion, once per batch; readings of unknown ones are set aside
//!   days          locked against whoever would keep their statistics; those that are kept are forgotten
//!   readings      COPY; on a conflict the staged way, row by row where the database refuses one (`readings`)
//!   dead letters  what was set aside; beyond the bounds it is counted only
//!   counts        corrected where they are not what the offsets' row assumed
//! COMMIT
//! ```
//!
//! Everybody takes locks in this order, so nobody waits in a circle.

mod attempts;
mod chunks;
mod copy;
pub(super) mod days;
mod dead_letter_bound;
mod dead_letters;
mod each;
mod existing_dead_letters;
mod fenced;
mod frozen;
mod lost_sensors;
mod offsets;
mod open;
pub(super) mod readings;
mod rehearsal;
pub(super) mod sensors;
mod tallies;
mod trial;
mod way;
mod written;

use std::{sync::Arc, time::Duration};

pub use copy::encode_rows;
pub use lost_sensors::{LostSensors, SensorSource};
pub use rehearsal::try_writing;
pub(super) use way::Way;
pub use written::{Phases, Report, Written};

use dead_letter_bound::NotKept;
use dead_letters::{Inserted, Keeping};
use existing_dead_letters::ExistingDeadLetters;
use tokio::time::{Instant, timeout};

use self::{
    attempts::{Failed, Failure},
    chunks::{Chunks, Spanned},
    lost_sensors::{Unknown, UnknownSensors},
    open::Open,
    way::Met,
};
use super::{StallReport, StoreError, fitness};
use crate::{
    batch::{Batch, Rejected, Row, distinct, sort_for_chunks},
    config::{DatabaseConfig, DeadLetterBounds, FkCheck, Rollups},
    log::{Log, StoredOffset},
    metrics::FK_CHECK_PER_BATCH,
    reading::OnDuplicate,
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
    /// Longest time that one attempt may take; past it the connection is given up and the batch cut. One that cannot be
    /// cut has twice as long each time.
    pub write_timeout: Duration,
    /// How many dead letters are kept.
    pub dead_letter_bounds: DeadLetterBounds,
    /// Who is asked before readings of unknown sensors become dead letters.
    pub lost_sensors: SensorSource,
}

/// Longest time that a look at the stored offsets may take, so that a batch that comes meanwhile waits no longer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes batches over a connection of its own, made when needed.
pub struct BatchWriter {
    config: WriterConfig,
    open: Option<Open>,
    /// Chunks that are there, whatever becomes of connections.
    chunks: Chunks,
    /// What late batches met, which decides how the next one is tried.
    met: Met,
    /// What the batch at hand has met.
    failed: Failed,
    /// The last batch had rows that were refused for what need not be a row's own fault: it is not taken for something
    /// that passes again.
    meets_refusals: bool,
    /// How foreign keys were checked last.
    fk_check_per_batch: Option<bool>,
    /// Whether the last dead letters were beyond what is kept.
    dead_letters_at_bound: bool,
    unknown_sensors: UnknownSensors,
}

impl BatchWriter {
    /// A writer that is not connected yet.
    pub fn new(config: WriterConfig) -> Self {
        Self {
            config,
            open: None,
            chunks: Chunks::default(),
            met: Met::default(),
            failed: Failed::default(),
            meets_refusals: false,
            fk_check_per_batch: None,
            dead_letters_at_bound: false,
            unknown_sensors: UnknownSensors::default(),
        }
    }

    /// Writes a batch. After an error nothing of it is stored, or, where the answer to COMMIT was lost, all of it:
    /// writing it again tells, by the compare-and-set.
    pub async fn write(&mut self, log: &Log, batch: &Batch) -> Result<Written, StoreError> {
        self.unknown_sensors.begin();
        loop {
            match Box::pin(self.attempt(log, batch)).await? {
                Ok(written) => return Ok(written),
                Err(unknown) => self.unknown_sensors.ask(unknown).await?,
            }
        }
    }

    /// The inner error is that the table lacks sensors: nothing was written.
    async fn attempt(&mut self, log: &Log, batch: &Batch) -> Result<Result<Written, Unknown>, StoreError> {
        let mut open = self.connected().await?;
        let (config, backend, follower) = (self.config.clone(), open.backend.clone(), open.follower.clone());
        let limit = self.failed.limit(config.write_timeout);
        let started = Instant::now();
        let writing = async {
            timeout(limit, self.transaction(&mut open, log, batch))
                .await
                .map_err(StoreError::timed_out("writing a batch"))?
        };
        match frozen::watched(writing, &config, &backend, &follower).await {
            Ok(attempt) => {
                // Only here is the connection known to be in order: any error drops it, and the server rolls back.
                self.open = Some(open);
                if attempt.is_ok() {
                    self.failed = Failed::default();
                }
                Ok(attempt)
            }
            Err(error) => {
                if self.failed.note(&error, started.elapsed(), limit) == Failure::TimedOut {
                    drop(open);
                    frozen::end_given_up(&config, &backend).await;
                }
                Err(error)
            }
        }
    }

    /// The connection, or a new one where there is none that leads to the server to write to.
    async fn connected(&mut self) -> Result<Open, StoreError> {
        match self.open.take().filter(|open| !open.follower.is_behind()) {
            Some(open) => Ok(open),
            None => Open::connect(&self.config).await,
        }
    }

    /// The stored offsets of these partitions; those that have no row are left out.
    pub async fn stored_offsets(
        &mut self,
        log: &Log,
        partitions: &[i32],
    ) -> Result<Vec<StoredOffset>, StoreError> {
        let looking = async {
            let mut open = self.connected().await?;
            fitness::check(&mut open.connection).await?;
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
    ) -> Result<Result<Written, Unknown>, StoreError> {
        let started = Instant::now();
        let spanned = chunks::spanned(batch.rows(), open.chunk_micros);
        if let Some(fits) = self.fits(batch, spanned.len()) {
            return fenced::too_much(open, log, batch, fits).await.map(Ok);
        }
        if open.may_skip_row_checks {
            self.chunks.make_missing(&mut open.connection, &spanned, open.chunk_micros).await?;
        }
        open.execute("BEGIN; SET CONSTRAINTS ALL IMMEDIATE", "beginning").await?;
        let moved = offsets::compare_and_set(&mut open.connection, log, batch).await?;
        if moved.len() < batch.spans().len() {
            open.execute("ROLLBACK", "rolling back").await?;
            return fenced::fenced(open, log, batch, &moved).await.map(Ok);
        }
        let may_update = open.may_change_dead_letters;
        let known = if may_update {
            existing_dead_letters::lock(&mut open.connection, log, batch).await?
        } else {
            ExistingDeadLetters::default()
        };
        let mut rejected = batch.rejected().to_vec();
        let (mut rows, mut duplicates) = match self.checked_rows(open, batch, &mut rejected).await? {
            Ok(checked) => checked,
            Err(unknown) => return Ok(Err(unknown)),
        };
        let prepared = Instant::now();
        let mut stored =
            self.store_rows(open, batch, &spanned, &rows, &mut duplicates, &mut rejected).await?;
        rows.append(&mut stored.in_place_of_refused);
        let keeping = Keeping { bounds: self.config.dead_letter_bounds, known: &known, may_update };
        let inserted = dead_letters::insert(&mut open.connection, log, batch, &rejected, keeping).await?;
        let not_kept = match inserted {
            Inserted::All(not_kept) => not_kept,
            Inserted::TooSlow(share) => {
                open.execute("ROLLBACK", "rolling back").await?;
                let fits = (batch.reading_count() as f64 * share / 2.0) as usize;
                return fenced::too_much(open, log, batch, fits).await.map(Ok);
            }
        };
        let tallies = tallies::tally(batch, &rows, &duplicates, &rejected, &stored);
        offsets::correct_counts(&mut open.connection, log, batch, &tallies).await?;
        let copied = Instant::now();
        open.execute("COMMIT", "committing").await?;
        self.meets_refusals = self.goes_around_all() && !stored.refused.is_empty();
        self.met.note(rows.len(), stored.duplicates.values().sum::<i64>() as usize);
        self.note_not_kept(&not_kept, tallies.values().any(|tally| tally.dead_lettered > 0));
        let mut report = tallies::report(batch, &tallies, &rejected);
        report.phases =
            Phases { prepare: prepared - started, copy: copied - prepared, commit: copied.elapsed() };
        Ok(Ok(Written::Committed(report)))
    }

    /// How many readings are to be tried instead, where a batch is too much: for the server's locks, or as it has shown.
    fn fits(&self, batch: &Batch, chunks: usize) -> Option<usize> {
        if batch.record_count() < 2 {
            return None;
        }
        if chunks > chunks::SPAN_MAX {
            return Some(batch.reading_count() * chunks::SPAN_MAX / chunks);
        }
        self.failed.show_that_it_is_too_much().then(|| batch.reading_count() / 4)
    }

    fn goes_around_all(&self) -> bool {
        self.meets_refusals || self.failed.go_on_refusing()
    }

    /// The readings of known sensors, sorted, one for each key, and the duplicates that gave way to them; where unknown ones
    /// are to be asked for, the transaction is rolled back.
    async fn checked_rows(
        &mut self,
        open: &mut Open,
        batch: &Batch,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Result<(Vec<Row>, Vec<Row>), Unknown>, StoreError> {
        let mut rows = batch.rows().to_vec();
        sort_for_chunks(&mut rows, open.chunk_micros);
        chunks::set_aside_what_is_too_far(batch, &mut rows, rejected, open.chunk_micros);
        let unknown = sensors::lock_known(&mut open.connection, &rows).await?;
        if let Some(source) = &self.config.lost_sensors.0
            && !self.unknown_sensors.are_none(&unknown)
        {
            let ids = sensors::not_being_deleted(&mut open.connection, &unknown).await?;
            if !self.unknown_sensors.are_none(&ids) {
                open.execute("ROLLBACK", "rolling back").await?;
                return Ok(Err(Unknown { ids, source: Arc::clone(source) }));
            }
        }
        sensors::set_unknown_aside(&unknown, batch, &mut rows, rejected);
        Ok(Ok(distinct(batch, &rows, self.config.on_duplicate)))
    }

    /// Logged when it begins and when it ends: a batch without dead letters says nothing of it.
    fn note_not_kept(&mut self, not_kept: &NotKept, has_dead_letters: bool) {
        if !has_dead_letters {
            return;
        }
        not_kept.count();
        let letters = not_kept.letters();
        match (std::mem::replace(&mut self.dead_letters_at_bound, letters > 0), letters > 0) {
            (false, true) => tracing::error!(
                letters,
                "dead_letters is at DEAD_LETTER_MAX or 1 GiB: further ones are counted, not kept; \
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
        spanned: &Spanned,
        rows: &[Row],
        gave_way: &mut Vec<Row>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<readings::Stored, StoreError> {
        if rows.is_empty() {
            return Ok(readings::Stored::default());
        }
        if self.config.rollups == Rollups::On {
            days::reopen(&mut open.connection, rows).await?;
        }
        // Without the right to skip them, chunks' own triggers need not be known.
        let tables = if open.may_skip_row_checks { self.chunks.tables(spanned) } else { Some(vec![]) };
        let triggers =
            sensors::check_triggers(&mut open.connection, tables.as_deref(), open.may_skip_row_checks)
                .await?;
        if !triggers.table_is_ours {
            fitness::check(&mut open.connection).await?;
        }
        self.note_fk_check(triggers.are_skipped);
        let rules = readings::Rules {
            policy: self.config.on_duplicate,
            has_triggers: triggers.are_there,
            goes_around_all: self.goes_around_all(),
        };
        let storing = readings::Storing::new(rules, batch, &mut open.connection, rejected);
        storing.store(rows, gave_way, self.met.way()).await
    }
}
