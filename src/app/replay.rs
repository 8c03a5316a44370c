//! The `replay` command: the stored offsets go back, and workers read again from there.
//!
//! A reading that is there already ends as a duplicate, one that is missing is stored. Workers may run: those that
//! hold something of a partition are fenced by the compare-and-set, as by any other move.

use super::{
    offsets::{Desk, plan},
    servers::Servers,
};
use crate::{
    config::{ReplayFrom, ReplayLogConfig},
    kafka::offsets_at,
    store::offset_moves::MoveKind,
};

/// Moves the offsets back and says so.
pub(super) async fn run(servers: &Servers, config: &ReplayLogConfig) -> anyhow::Result<()> {
    let mut desk = Desk::open(servers).await?;
    let from = match config.from {
        ReplayFrom::Earliest => plan::Beginning::Earliest,
        ReplayFrom::Offset(offset) => plan::Beginning::Offset(offset),
        ReplayFrom::Time(time) => {
            let (_, log) = desk.read().await?;
            plan::Beginning::Offsets(offsets_at(&servers.kafka, &servers.settings, &log, time).await?)
        }
    };
    let plan = |kept: &[_], log: &_| plan::replay(&from, &config.partitions, kept, log);
    desk.move_offsets(MoveKind::Replay, &config.note, config.dry_run, plan).await
}
