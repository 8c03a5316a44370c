//! The `offsets` commands: where each partition stands, and how to go on where it cannot.

mod cut;
mod diverged;
mod given;
mod group;
mod listing;
pub(super) mod plan;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::{SCHEMA_PATIENCE, servers::Servers, unsafe_settings};
use crate::{
    config::{ListFormat, MoveNote, OffsetsCommand},
    kafka::{TopicLog, find_topic, topic_log},
    log::{Gap, Log, Watermarks},
    reading::untimed::GivenTimes,
    store::{
        self,
        offset_moves::{KeptOffset, Move, MoveKind, OffsetLedger},
    },
};
use cut::Cut;
use plan::accept;

/// What a log that was cut has against a stored offset: it ends before it, or has grown past it since.
const TRUNCATION: &[Gap] = &[Gap::OffsetPastEnd, Gap::LogDiverged];

/// How long Kafka may take to answer while writers wait for it.
const LOCKED_TIMEOUT: Duration = Duration::from_secs(10);

/// Does what was asked for and says so.
pub(super) async fn run(servers: &Servers, command: &OffsetsCommand) -> anyhow::Result<()> {
    let mut desk = Desk::open(servers).await?;
    match command {
        OffsetsCommand::List(list) => {
            let (kept, log) = desk.read().await?;
            // Rights may be from before there was such a table.
            let stalled = desk.ledger.stalled(&log.identity.cluster_id).await.unwrap_or_else(|error| {
                tracing::warn!(error = %error, cause = error.cause(), "what workers report as stalled is not shown");
                Vec::new()
            });
            let database = desk.ledger.database_id().await?;
            let used = group::ask(servers, database).await;
            let rows = listing::rows(&kept, &log, &stalled, &used, database);
            show(list.format, &rows, listing::print_offsets)?;
            if list.format == ListFormat::Table {
                group::print(&servers.kafka.kafka_group, database, &used);
                for found in unsafe_settings::ask(servers).await {
                    println!("this setting is not safe: {found}");
                }
            }
            Ok(())
        }
        OffsetsCommand::Moves(list) => show(list.format, &desk.ledger.moves().await?, listing::print_moves),
        OffsetsCommand::AcceptGap(config) => {
            desk.accept(
                &[Gap::RecordsExpired],
                MoveKind::Gap,
                Some(&config.partitions),
                &config.note,
                config.dry_run,
            )
            .await
        }
        OffsetsCommand::AcceptTruncation(config) => {
            desk.accept(TRUNCATION, MoveKind::Start, Some(&config.partitions), &config.note, config.dry_run)
                .await
        }
        OffsetsCommand::AcceptTopic(config) => {
            desk.accept(&[Gap::TopicRecreated], MoveKind::Recreated, None, &config.note, config.dry_run).await
        }
    }
}

fn show<T: Serialize>(format: ListFormat, rows: &[T], print: fn(&[T])) -> anyhow::Result<()> {
    match format {
        ListFormat::Table => print(rows),
        ListFormat::Json => println!("{}", serde_json::to_string_pretty(rows)?),
    }
    Ok(())
}

/// The log and the stored offsets, side by side.
pub(super) struct Desk<'s> {
    ledger: OffsetLedger,
    log: Log,
    servers: &'s Servers,
}

impl<'s> Desk<'s> {
    /// Asks both; waits for each to come up.
    pub(super) async fn open(servers: &'s Servers) -> anyhow::Result<Self> {
        let Servers { database, kafka, settings } = servers;
        store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
        let ledger = OffsetLedger::open(database, &kafka.kafka_topic).await?;
        let log = Log::new(&kafka.kafka_topic, find_topic(kafka, settings).await?.identity);
        Ok(Self { ledger, log, servers })
    }

    /// All rows of the topic's name, and then the log: an end that was asked for earlier might lie before a stored
    /// offset that has moved since.
    pub(super) async fn read(&mut self) -> anyhow::Result<(Vec<KeptOffset>, TopicLog)> {
        let mut kept = self.ledger.list().await?;
        let log = topic_log(&self.servers.kafka, &self.servers.settings).await?;
        diverged::note(self.servers, &mut kept, &log).await;
        Ok((kept, log))
    }

    async fn accept(
        &mut self,
        gaps: &[Gap],
        kind: MoveKind,
        partitions: Option<&[i32]>,
        note: &MoveNote,
        dry_run: bool,
    ) -> anyhow::Result<()> {
        self.move_offsets(kind, note, dry_run, |kept, log| accept(gaps, partitions, kept, log)).await
    }

    /// Plans with the rows locked, moves them all or none, and says what was moved.
    pub(super) async fn move_offsets<E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        kind: MoveKind,
        note: &MoveNote,
        dry_run: bool,
        plan: impl FnOnce(&[KeptOffset], &TopicLog) -> Result<Vec<Move>, E>,
    ) -> anyhow::Result<()> {
        // Records are read before anybody has to wait.
        let (seen, log) = self.read().await?;
        let cuts = match kind {
            MoveKind::Start => cut::find(self.servers, &seen, &log)
                .await
                .context("Kafka does not tell where the log was cut; nothing was moved")?,
            MoveKind::Gap | MoveKind::Recreated | MoveKind::Replay => BTreeMap::new(),
        };
        let mut locked = self
            .ledger
            .lock(&self.log)
            .await
            .context("is a worker frozen that holds one of the rows? Nothing was moved")?;
        // Asked for now that nobody moves an offset, for the same reason as above. Writers wait meanwhile.
        let Servers { kafka, settings, .. } = self.servers;
        let log = tokio::time::timeout(LOCKED_TIMEOUT, topic_log(kafka, settings))
            .await
            .context("Kafka does not say what the log holds; nothing was moved")??;
        ensure!(
            log.identity.topic_id == self.log.topic_id,
            "the topic was recreated just now; nothing was moved"
        );
        for row in &mut locked.kept {
            // What moves meanwhile has not diverged.
            let is_same = |seen: &&KeptOffset| {
                (&seen.cluster_id, seen.partition, seen.next_offset)
                    == (&row.cluster_id, row.partition, row.next_offset)
            };
            if let Some(seen) = seen.iter().find(is_same) {
                (row.gap, row.gap_offset) = (seen.gap.clone(), seen.gap_offset);
            }
        }
        let moves = plan(&locked.kept, &log)?;
        if moves.is_empty() {
            println!("nothing to move");
            return Ok(());
        }
        let given = tokio::time::timeout(LOCKED_TIMEOUT, given::before(self.servers, &moves, &log))
            .await
            .context("Kafka does not give the records before the new offsets; nothing was moved")??;
        let moves: Vec<_> = moves.into_iter().zip(given).collect();
        let set_aside = match kind {
            MoveKind::Start => locked.set_letters_aside(&set_aside_from(&moves, &cuts)).await?,
            MoveKind::Gap | MoveKind::Recreated | MoveKind::Replay => BTreeMap::new(),
        };
        if !dry_run {
            locked.move_all(kind, &moves, note).await?;
        }
        for (moved @ Move { from, to_offset }, _) in &moves {
            let (watermarks, letters) =
                (log.partitions.get(&from.partition), set_aside.get(&from.partition).copied().unwrap_or(0));
            let meaning = meaning(kind, moved, watermarks, cut_of(&cuts, moved), letters);
            println!("partition {}: {} -> {to_offset}, {meaning}", from.partition, from.next_offset);
        }
        if dry_run {
            println!("nothing was moved: --dry-run");
        } else {
            println!("moved; workers that run go on from there within seconds");
        }
        Ok(())
    }
}

/// Where the log was cut, before the offset that is moved: nobody has moved it since that was found out.
fn cut_of(cuts: &BTreeMap<(i32, i64), Cut>, moved: &Move) -> Cut {
    cuts.get(&(moved.from.partition, moved.from.next_offset)).copied().unwrap_or(Cut::Unknown)
}

/// The offset of each partition from which on dead letters are set aside.
fn set_aside_from(moves: &[(Move, GivenTimes)], cuts: &BTreeMap<(i32, i64), Cut>) -> Vec<(i32, i64)> {
    let from = |moved: &Move| match cut_of(cuts, moved) {
        Cut::At(offset) => offset,
        // A dead letter that is there twice is better than one that is not there.
        Cut::Unknown => moved.to_offset,
    };
    moves.iter().map(|(moved, _)| (moved.from.partition, from(moved))).collect()
}

/// What comes of a move.
fn meaning(kind: MoveKind, moved: &Move, log: Option<&Watermarks>, cut: Cut, letters: i64) -> String {
    let distance = moved.to_offset - moved.from.next_offset;
    match kind {
        MoveKind::Gap => format!("{distance} offsets given up"),
        MoveKind::Recreated => format!("at the start of the new topic, {} before", moved.from.topic_id),
        MoveKind::Start => truncation(moved.to_offset, log, cut, letters),
        MoveKind::Replay => format!("{} offsets read again", -distance),
    }
}

/// What is read again where a log was cut, and what nobody has any more.
fn truncation(to_offset: i64, log: Option<&Watermarks>, cut: Cut, letters: i64) -> String {
    let again = log.map_or(0, |log| log.high - to_offset);
    let letters = match cut {
        Cut::At(offset) => format!(
            "the log was cut at offset {offset}: {letters} dead letters are of records that are gone; they stay, and \
             audits do not compare them"
        ),
        Cut::Unknown => format!(
            "where the log was cut is not known: {letters} dead letters may be of records that are gone; they stay, \
             audits do not compare them, and a record that is still there gets another one"
        ),
    };
    format!(
        "at the start of the log: {again} offsets are read again, and readings that are stored already count as duplicates; \
         what was cut off the log is stored as far as it was read, and lost where it was not; {letters}"
    )
}
