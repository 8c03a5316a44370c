//! The `stats` commands.

use std::process::ExitCode;

use super::SCHEMA_PATIENCE;
use crate::{
    config::{DatabaseConfig, StatsCommand},
    store::{self, stats::StatsStore},
};

/// Does what is asked and says what came of it.
pub(super) async fn run(database: &DatabaseConfig, command: &StatsCommand) -> anyhow::Result<ExitCode> {
    store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
    let mut stats = StatsStore::connect(database).await?;
    match command {
        StatsCommand::Rebuild(which) => {
            let rebuilt = stats.rebuild(which).await?;
            println!("{} daily statistics deleted, {} computed again", rebuilt.forgotten, rebuilt.kept);
            if let Some(failed) = rebuilt.failed.any() {
                eprintln!("Error: not rebuilt, all other days are: {failed}");
                return Ok(ExitCode::FAILURE);
            }
        }
        StatsCommand::InstallTrigger => {
            stats.install_trigger().await?;
            println!("the database forgets a day's statistics when SQL changes its readings");
        }
        StatsCommand::RemoveTrigger => {
            stats.remove_trigger().await?;
            println!(
                "only workers forget statistics now; after other changes run `sensorpipe stats rebuild`"
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
