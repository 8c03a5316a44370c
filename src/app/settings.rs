//! The `settings` commands.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::SCHEMA_PATIENCE;
use crate::{
    config::{Assignment, ListFormat, Setting, SettingsCommand, SettingsConfig, StoredValue},
    store::{self, settings::SettingsStore},
};

/// A setting as it is shown; who set it and when is null where it is the default.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct SettingRow {
    name: String,
    value: String,
    set_at: Option<DateTime<Utc>>,
    set_by: Option<String>,
}

/// Changes what is to be changed, and shows what holds.
pub(super) async fn run(config: &SettingsConfig) -> anyhow::Result<()> {
    if let Some(SettingsCommand::Set { assignments, .. }) = &config.command {
        refuse_repeated(assignments)?;
    }
    store::wait_for_schema(&config.database, SCHEMA_PATIENCE).await?;
    let mut store = SettingsStore::open(&config.database).await?;
    let changed = match &config.command {
        None => vec![],
        Some(SettingsCommand::Set { assignments, by }) => {
            let values = assignments.iter().map(|Assignment { setting, value }| (*setting, value.as_str()));
            store.set(values, by.as_deref()).await?
        }
        Some(SettingsCommand::Reset { settings }) => store.reset(settings).await?,
    };
    let rows = rows(store.read().await?.unwrap_or_default());
    match config.format {
        ListFormat::Table => print_table(&rows),
        ListFormat::Json => println!("{}", serde_json::to_string(&rows)?),
    }
    if changed.is_empty() {
        return Ok(());
    }
    let done = match &config.command {
        Some(SettingsCommand::Reset { .. }) => "reset to their defaults",
        Some(SettingsCommand::Set { .. }) | None => "stored",
    };
    tracing::info!(
        "settings {done}: {}; restart every api and worker, which run with the old ones until then",
        changed.join(", ")
    );
    if changed.iter().any(|name| name == Setting::Rollups.name()) {
        tracing::info!(
            "rollups changed. To off: restart every api, then every worker. To on: restart every worker, run \
             `sensorpipe stats rebuild`, then restart every api"
        );
    }
    Ok(())
}

fn refuse_repeated(assignments: &[Assignment]) -> anyhow::Result<()> {
    for (place, Assignment { setting, .. }) in assignments.iter().enumerate() {
        let is_first = assignments[..place].iter().all(|earlier| earlier.setting != *setting);
        anyhow::ensure!(is_first, "{setting} is given twice: give each setting one value");
    }
    Ok(())
}

/// All that this version has, and after them what a later one has stored.
fn rows(stored: Vec<StoredValue>) -> Vec<SettingRow> {
    let (ours, others): (Vec<_>, Vec<_>) =
        stored.into_iter().partition(|stored| stored.name.parse::<Setting>().is_ok());
    let of = |StoredValue { name, value, set_at, set_by }| SettingRow {
        name,
        value,
        set_at: Some(set_at),
        set_by: Some(set_by),
    };
    let row = |setting: Setting| {
        StoredValue::of(&ours, setting).cloned().map_or_else(
            || SettingRow {
                name: setting.name().to_owned(),
                value: setting.default_value(),
                set_at: None,
                set_by: None,
            },
            of,
        )
    };
    Setting::ALL.into_iter().map(row).chain(others.iter().cloned().map(of)).collect()
}

fn print_table(rows: &[SettingRow]) {
    println!("{:<16} {:<24} {:<20} by", "name", "value", "set");
    for SettingRow { name, value, set_at, set_by } in rows {
        let set_at = set_at
            .map_or_else(|| "default".to_owned(), |set_at| set_at.to_rfc3339_opts(SecondsFormat::Secs, true));
        println!("{name:<16} {value:<24} {set_at:<20} {}", set_by.as_deref().unwrap_or("-"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_shown_with_who_set_it_or_as_the_default() {
        let stored = StoredValue::by_alice;
        let rows = rows(vec![stored("of_a_later_version", "7"), stored("on_duplicate", "overwrite")]);
        assert_eq!(rows.len(), Setting::ALL.len() + 1);
        let shown = |row: &SettingRow| format!("{} {} {:?}", row.name, row.value, row.set_by.as_deref());
        assert_eq!(shown(&rows[0]), "on_duplicate overwrite Some(\"alice\")");
        assert_eq!(shown(&rows[1]), "retention off None");
        assert_eq!(shown(&rows[6]), "of_a_later_version 7 Some(\"alice\")");
    }
}
