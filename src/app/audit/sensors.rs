//! The table of sensors against their topic.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    app::servers::Servers,
    audit::{Difference, Note},
    kafka::SensorTopic,
    store::audit::SnapshotStore,
};

/// How often is looked, and the pause between: what differs each time counts.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
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

/// Looks again at what differs: a sensor is in its topic a moment before it is in the table.
async fn try_comparing(servers: &Servers, store: &mut SnapshotStore) -> anyhow::Result<(Vec<i32>, Vec<i32>)> {
    let topic = SensorTopic::open(&servers.kafka, &servers.settings)?;
    topic.id().await?;
    let mut found: Option<(Vec<i32>, Vec<i32>)> = None;
    for look in 0..LOOKS {
        if look > 0 {
            sleep(PAUSE).await;
        }
        topic.read_to_end().await?;
        let told: Vec<i32> = topic.registry().sensors().collect();
        let (mut lost, mut untold) = store.sensors_beside(&told).await?;
        if let Some((lost_before, untold_before)) = &found {
            lost.retain(|id| lost_before.contains(id));
            untold.retain(|id| untold_before.contains(id));
        }
        let is_clean = lost.is_empty() && untold.is_empty();
        found = Some((lost, untold));
        if is_clean {
            break;
        }
    }
    Ok(found.unwrap_or_default())
}

fn named(ids: &[i32]) -> String {
    let mut some: Vec<String> = ids.iter().take(NAMED_AT_MOST).map(i32::to_string).collect();
    if ids.len() > NAMED_AT_MOST {
        some.push("…".to_owned());
    }
    some.join(", ")
}
