//! The table of sensors against what their topic says of them.

use std::collections::HashMap;

use super::{Description, Latest};

/// A sensor's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub sensor_id: i32,
    /// What the row says; none where there is no row.
    pub sensor: Option<Description>,
    /// Whether the topic is still to be told of it.
    pub has_changed: bool,
}

/// What the table has lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Sensors that the table has no row of, or another one: with their last records.
    pub sensors: Vec<(Latest, Row)>,
    /// Sensors that were deleted and are there again.
    pub deletions: Vec<i32>,
}

impl Lost {
    /// What the topic says and the table does not, apart from what the topic is still to be told.
    pub fn of(latest: &HashMap<i32, Latest>, rows: Vec<Row>) -> Self {
        let mut lost = Self::default();
        for row in rows.into_iter().filter(|row| !row.has_changed) {
            let Some(&said) = latest.get(&row.sensor_id) else { continue };
            match (said.fingerprint, row.sensor.as_ref().map(Description::fingerprint)) {
                (Some(said_to_be), is) if is != Some(said_to_be) => lost.sensors.push((said, row)),
                (None, Some(_)) => lost.deletions.push(row.sensor_id),
                (Some(_), _) | (None, None) => {}
            }
        }
        lost
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.sensors.is_empty() && self.deletions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(what: &str) -> Description {
        Description { sensor_type: what.to_owned(), description: None, location: None }
    }

    fn row(sensor_id: i32, what: Option<&str>, has_changed: bool) -> Row {
        Row { sensor_id, sensor: what.map(described), has_changed }
    }

    #[test]
    fn what_the_table_has_lost_is_told_from_what_the_topic_does_not_know_yet() {
        let said = |what: Option<&str>| Latest {
            offset: 0,
            fingerprint: what.map(|what| described(what).fingerprint()),
        };
        let latest: HashMap<i32, Latest> = [
            (1, said(Some("same"))),
            (2, said(Some("missing"))),
            (3, said(Some("newer"))),
            (4, said(None)),
            (5, said(None)),
            (6, said(Some("deleted since"))),
            (7, said(Some("changed since"))),
        ]
        .into();
        let rows = vec![
            row(1, Some("same"), false),
            row(2, None, false),
            row(3, Some("older"), false),
            row(4, None, false),
            row(5, Some("back"), false),
            row(6, None, true),
            row(7, Some("newest"), true),
        ];
        let lost = Lost::of(&latest, rows);
        let ids: Vec<i32> = lost.sensors.iter().map(|(_, row)| row.sensor_id).collect();
        assert_eq!((ids, lost.deletions), (vec![2, 3], vec![5]));
    }
}
