//! The `dead-letters` commands.

mod escape;
mod print;
mod tally;

use anyhow::ensure;

use super::{SCHEMA_PATIENCE, shared_settings::SharedSettings};
use crate::{
    config::{
        DatabaseConfig, DeadLetterFilterConfig, DeadLettersCommand, DiscardConfig, ListDeadLetters,
        ListNotKept, ReplayConfig, ShowDeadLetter,
    },
    reading::Timestamp,
    store::{
        self, Pool,
        dead_letters::{self, Discarded, Filter, PORTION_MAX, Portion, ReplayRules, Selection},
    },
};
use tally::ReplayTally;

/// Does what was asked for and says what came of it; an error where something was asked for that is not there.
pub(super) async fn run(command: DeadLettersCommand) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List(list) => show_many(list).await,
        DeadLettersCommand::Show(show) => show_one(&show).await,
        DeadLettersCommand::NotKept(list) => show_not_kept(&list).await,
        DeadLettersCommand::Replay(replay) => store_after_all(replay).await,
        DeadLettersCommand::Discard(discard) => delete(discard).await,
    }
}

async fn show_many(list: ListDeadLetters) -> anyhow::Result<()> {
    let pool = open(&list.database).await?;
    let page = dead_letters::page(&pool, filter(list.filter), list.before, list.limit).await?;
    let not_kept = dead_letters::not_kept(&pool).await?;
    print::page(&page, &not_kept, list.format);
    Ok(())
}

async fn show_not_kept(list: &ListNotKept) -> anyhow::Result<()> {
    let pool = open(&list.database).await?;
    print::not_kept(&dead_letters::not_kept(&pool).await?, list.format);
    Ok(())
}

async fn show_one(show: &ShowDeadLetter) -> anyhow::Result<()> {
    let pool = open(&show.database).await?;
    let letter = dead_letters::find(&pool, show.id).await?;
    let Some(letter) = letter else { anyhow::bail!("there is no dead letter {}", show.id) };
    print::letter(&letter, show.format);
    Ok(())
}

async fn store_after_all(replay: ReplayConfig) -> anyhow::Result<()> {
    let selection = selection(replay.ids, replay.filter, replay.all)?;
    let pool = open(&replay.database).await?;
    let ingest = SharedSettings::new(replay.shared).read(&replay.database).await?;
    let mut tally = ReplayTally::default();
    in_portions(&selection, async |portion| {
        let rules = ReplayRules {
            window: ingest.acceptance().window(Timestamp::now()),
            on_duplicate: ingest.on_duplicate,
            rollups: ingest.rollups,
        };
        let replayed = dead_letters::replay(&pool, portion, rules, replay.dry_run).await?;
        Ok(tally.add(replayed))
    })
    .await?;
    print::replayed(&tally, replay.dry_run, replay.format);
    all_found(&tally.missing)
}

async fn delete(discard: DiscardConfig) -> anyhow::Result<()> {
    let selection = selection(discard.ids, discard.filter, discard.all)?;
    ensure!(
        discard.yes || matches!(&selection, Selection::Ids(ids) if ids.len() == 1),
        "this may delete more than one dead letter for good: look at them with `dead-letters list`, then say --yes"
    );
    let pool = open(&discard.database).await?;
    let mut all = Discarded::default();
    in_portions(&selection, async |portion| {
        let Discarded { letters, missing, next } = dead_letters::discard(&pool, portion).await?;
        all.letters += letters;
        all.missing.extend(missing);
        Ok(next)
    })
    .await?;
    print::discarded(&all, discard.format);
    all_found(&all.missing)
}

async fn open(database: &DatabaseConfig) -> anyhow::Result<Pool> {
    store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
    Ok(Pool::for_dead_letters(database)?)
}

fn filter(asked: DeadLetterFilterConfig) -> Filter {
    let DeadLetterFilterConfig { topic, partition, reason, sensor, since, until } = asked;
    Filter { topic, partition, reason, sensor_id: sensor, since, until }
}

/// Ids, or a filter, or all: whoever names nothing means nothing.
fn selection(ids: Vec<i64>, asked: DeadLetterFilterConfig, all: bool) -> anyhow::Result<Selection> {
    let has_filter = asked != DeadLetterFilterConfig::default();
    match (ids.is_empty(), has_filter, all) {
        (false, false, false) => Ok(Selection::Ids(ids)),
        (true, true, false) | (true, false, true) => Ok(Selection::Matching(filter(asked))),
        (true, false, false) => {
            anyhow::bail!("which ones? Name their ids, a filter such as --reason unknown_sensor, or --all")
        }
        _ => anyhow::bail!("ids, a filter and --all do not go together: name one of them"),
    }
}

/// Each id once, so many at a time.
fn portions(selection: &Selection) -> Vec<Portion> {
    let portion = |selection| Portion { selection, after: None, limit: PORTION_MAX };
    match selection {
        Selection::Matching(_) => vec![portion(selection.clone())],
        Selection::Ids(ids) => {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            ids.chunks(PORTION_MAX as usize).map(|some| portion(Selection::Ids(some.to_vec()))).collect()
        }
    }
}

/// Works through a selection; `work` says after which id a portion that is not done continues.
async fn in_portions(
    selection: &Selection,
    mut work: impl AsyncFnMut(Portion) -> anyhow::Result<Option<i64>>,
) -> anyhow::Result<()> {
    for mut portion in portions(selection) {
        while let Some(after) = work(portion.clone()).await? {
            portion.after = Some(after);
        }
    }
    Ok(())
}

fn all_found(missing: &[i64]) -> anyhow::Result<()> {
    let ids: Vec<String> = missing.iter().map(i64::to_string).collect();
    ensure!(missing.is_empty(), "there are no dead letters with these ids: {}", ids.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Reason;

    #[test]
    fn what_is_meant_has_to_be_said_in_one_way() {
        let none = DeadLetterFilterConfig::default;
        let by_reason = || DeadLetterFilterConfig { reason: Some(Reason::UnknownSensor), ..none() };
        assert_eq!(selection(vec![2, 1], none(), false).unwrap(), Selection::Ids(vec![2, 1]));
        assert_eq!(selection(vec![], none(), true).unwrap(), Selection::Matching(Filter::default()));
        let Selection::Matching(filter) = selection(vec![], by_reason(), false).unwrap() else {
            panic!("a filter")
        };
        assert_eq!(filter.reason, Some(Reason::UnknownSensor));
        for (ids, filter, all) in [
            (vec![], none(), false),
            (vec![1], none(), true),
            (vec![1], by_reason(), false),
            (vec![], by_reason(), true),
        ] {
            assert!(selection(ids, filter, all).is_err());
        }
    }

    #[test]
    fn ids_come_in_portions() {
        let ids: Vec<i64> = (0..1_500).rev().chain([7, 7]).collect();
        let portions = portions(&Selection::Ids(ids));
        let sizes: Vec<usize> = portions
            .iter()
            .map(|portion| if let Selection::Ids(ids) = &portion.selection { ids.len() } else { 0 })
            .collect();
        assert_eq!(sizes, [1_000, 500]);
    }
}
