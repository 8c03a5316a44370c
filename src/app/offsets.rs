//! The `offsets` commands: where each partition stands, and how to go on where it cannot.

mod listing;
pub(super) mod plan;

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    config::{DatabaseConfig, KafkaConfig, KafkaSettings, ListFormat, MoveNote, OffsetsCommand},
    kafka::{TopicLog, topic_log},
    pipeline::{Gap, Log},
    store::{
        self,
        offset_moves::{Move, MoveKind, OffsetLedger},
    },
};
use plan::accept;

/// How long to wait for `migrate` when everything is started at once.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(30);

/// Does what was asked for and says so.
pub(super) async fn run(
    database: &DatabaseConfig,
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    command: &OffsetsCommand,
) -> anyhow::Result<()> {
    let mut desk = Desk::open(database, kafka, settings).await?;
    match command {
        OffsetsCommand::List(list) => {
            let rows = listing::rows(&desk.ledger.list().await?, &desk.log);
            show(list.format, &rows, listing::print_offsets)
        }
        OffsetsCommand::Moves(list) => show(list.format, &desk.ledger.moves().await?, listing::print_moves),
        OffsetsCommand::AcceptGap(config) => {
            desk.accept(Gap::RecordsExpired, Some(&config.partitions), &config.note, config.dry_run).await
        }
        OffsetsCommand::AcceptTruncation(config) => {
            desk.accept(Gap::OffsetPastEnd, Some(&config.partitions), &config.note, config.dry_run).await
        }
        OffsetsCommand::AcceptTopic(config) => {
            desk.accept(Gap::TopicRecreated, None, &config.note, config.dry_run).await
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
pub(super) struct Desk {
    pub(super) ledger: OffsetLedger,
    pub(super) log: TopicLog,
    topic: String,
}

impl Desk {
    /// Asks both; waits for each to come up.
    pub(super) async fn open(
        database: &DatabaseConfig,
        kafka: &KafkaConfig,
        settings: &KafkaSettings,
    ) -> anyhow::Result<Self> {
        store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
        let topic = kafka.kafka_topic.clone();
        let ledger = OffsetLedger::open(database, &topic).await?;
        Ok(Self { ledger, log: topic_log(kafka, settings).await?, topic })
    }

    async fn accept(
        &mut self,
        gap: Gap,
        partitions: Option<&[i32]>,
        note: &MoveNote,
        dry_run: bool,
    ) -> anyhow::Result<()> {
        let kind = match gap {
            Gap::RecordsExpired => MoveKind::Gap,
            Gap::OffsetPastEnd => MoveKind::Start,
            Gap::TopicRecreated => MoveKind::Recreated,
        };
        let log = self.log.clone();
        self.move_offsets(kind, note, dry_run, move |kept| accept(gap, partitions, kept, &log)).await
    }

    /// Plans with the rows locked, moves them all or none, and says what was moved.
    pub(super) async fn move_offsets<E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        kind: MoveKind,
        note: &MoveNote,
        dry_run: bool,
        plan: impl FnOnce(&[store::offset_moves::KeptOffset]) -> Result<Vec<Move>, E>,
    ) -> anyhow::Result<()> {
        let log = Log {
            cluster_id: self.log.identity.cluster_id.clone(),
            topic: self.topic.clone(),
            topic_id: self.log.identity.topic_id.clone(),
        };
        let locked = self
            .ledger
            .lock(log)
            .await
            .context("is a worker frozen that holds one of the rows? Nothing was moved")?;
        let moves = plan(&locked.kept)?;
        if moves.is_empty() {
            println!("nothing to move");
            return Ok(());
        }
        if !dry_run {
            locked.move_all(kind, &moves, note).await?;
        }
        for Move { from, to_offset } in &moves {
            let distance = to_offset - from.next_offset;
            let meaning = match kind {
                MoveKind::Gap => format!("{distance} offsets given up"),
                MoveKind::Recreated => format!("at the start of the new topic, {} before", from.topic_id),
                MoveKind::Start => "at the start of the log".to_owned(),
                MoveKind::Replay => format!("{} offsets read again", -distance),
            };
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
