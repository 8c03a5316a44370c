//! The table of sensors against their topic.

use crate::{
    app::servers::Servers,
    audit::{Difference, Note},
    kafka::SensorTopic,
    registry::Latest,
    store::audit::SnapshotStore,
};

/// Most ids that are named.
const NAMED_AT_MOST: usize = 10;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) differences: Vec<Difference>,
    pub(super) note: Option<Note>,
}

/// Compares which sensors there are. What changes meanwhile is no difference.
pub(super) async fn compare(servers: &Servers, store: &mut SnapshotStore) -> Found {
    match try_comparing(servers, store).await {
        Ok((lost, untold)) => {
            let mut found = Found::default();
            if !lost.is_empty() {
                found.differences.push(Difference::SensorsLost { sensors: lost.len(), named: named(&lost) });
            }
            if !untold.is_empty() {
                let sensors = untold.len();
                found.differences.push(Difference::SensorsUntold { sensors, named: named(&untold) });
            }
            found
        }
        Err(error) => {
            let note = Note::SensorsNotCompared { reason: format!("{error:#}") };
            Found { note: Some(note), ..Found::default() }
        }
    }
}

async fn try_comparing(servers: &Servers, store: &mut SnapshotStore) -> anyhow::Result<(Vec<i32>, Vec<i32>)> {
    let topic = SensorTopic::open(&servers.kafka, &servers.settings)?;
    topic.read_to_end().await?;
    let exists = |(_, latest): &(i32, Latest)| latest.fingerprint.is_some();
    let told: Vec<i32> = topic.registry().ids().filter(exists).map(|(id, _)| id).collect();
    let (mut lost, mut untold) = store.sensors_beside(&told).await?;
    // What was deleted or made since the topic was read is in it by now.
    topic.read_to_end().await?;
    let registry = topic.registry();
    lost.retain(|&id| registry.has(id));
    untold.retain(|&id| !registry.has(id));
    Ok((lost, untold))
}

fn named(ids: &[i32]) -> String {
    let mut some: Vec<String> = ids.iter().take(NAMED_AT_MOST).map(i32::to_string).collect();
    if ids.len() > NAMED_AT_MOST {
        some.push("…".to_owned());
    }
    some.join(", ")
}
