//! Sensors that the database has lost are made again, but for those that it refuses.

use super::RecordsError;
use crate::{
    registry::Description,
    store::{StoreError, sensors::KeepingTurn},
};

/// Most sensors that a line names.
pub(super) const NAMED_AT_MOST: usize = 20;

/// All at once, or, where the database has something against one of them, one by one; the ids of those that were made.
pub(super) async fn restore_all(
    turn: &mut KeepingTurn<'_>,
    missing: &[(i32, Description)],
) -> Result<Vec<i32>, RecordsError> {
    /// At a time.
    const SENSORS_MAX: usize = 1_000;
    let mut restored = Vec::with_capacity(missing.len());
    for sensors in missing.chunks(SENSORS_MAX) {
        match turn.restore(sensors).await {
            Ok(ids) => restored.extend(ids),
            Err(error) if !error.is_of_a_row() => return Err(error.into()),
            Err(_) => {
                for one in sensors {
                    let outcome = turn.restore(std::slice::from_ref(one)).await;
                    restored.extend(unless_refused(outcome, one.0)?);
                }
            }
        }
    }
    Ok(restored)
}

/// What was done; a sensor that the database refuses is named and left.
pub(super) fn unless_refused(
    outcome: Result<Vec<i32>, StoreError>,
    sensor_id: i32,
) -> Result<Vec<i32>, RecordsError> {
    match outcome {
        Ok(ids) => Ok(ids),
        Err(error) if error.is_of_a_row() => {
            tracing::error!(
                sensor_id,
                error = error.server_message(),
                "the database refuses a sensor that it had lost: its readings become dead letters, which can be replayed \
                 once it is there"
            );
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// The first ones.
pub(super) fn named(ids: &[i32]) -> String {
    let mut some: Vec<String> = ids.iter().take(NAMED_AT_MOST).map(i32::to_string).collect();
    if ids.len() > NAMED_AT_MOST {
        some.push(format!("… ({} in all)", ids.len()));
    }
    some.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ids_are_counted() {
        assert_eq!(named(&[4, 9]), "4, 9");
        assert!(named(&(1..=30).collect::<Vec<_>>()).ends_with("20, … (30 in all)"));
    }
}
