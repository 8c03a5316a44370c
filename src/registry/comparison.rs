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

/// How far the table is known to hold what the topic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Of what was said before this offset the table knows better, for it held it once.
    pub up_to: i64,
    /// Whether another topic was told of changes that this one lacks: then a row that is gone was deleted. Of one that was
    /// cut nobody can tell: a sensor that is there again is less harm than one that is lost.
    pub topic_lacks_changes: bool,
}

/// What the table has lost, and what the topic does not know.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Sensors that the table has no row of, or another one: with their last records.
    pub sensors: Vec<(Latest, Row)>,
    /// Sensors that were deleted and are there again.
    pub deletions: Vec<i32>,
    /// Rows of which the topic says what was true before.
    pub untold: Vec<Row>,
}

impl Lost {
    /// What the topic says and the table does not, apart from what the topic is still to be told.
    pub fn of(latest: &HashMap<i32, Latest>, rows: Vec<Row>, known: Known) -> Self {
        let mut lost = Self::default();
        for row in rows.into_iter().filter(|row| !row.has_changed) {
            let Some(&said) = latest.get(&row.sensor_id) else { continue };
            let is = row.sensor.as_ref().map(Description::fingerprint);
            if said.fingerprint == is {
                continue;
            }
            let is_lost = if said.offset < known.up_to {
                // Rows go without a word only where somebody switches the triggers off.
                is.is_none() && !known.topic_lacks_changes
            } else {
                true
            };
            match (is_lost, said.fingerprint) {
                (true, Some(_)) => lost.sensors.push((said, row)),
                (true, None) => lost.deletions.push(row.sensor_id),
                (false, _) => lost.untold.push(row),
            }
        }
        lost
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.sensors.is_empty() && self.deletions.is_empty() && self.untold.is_empty()
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
        let of = |up_to, topic_lacks_changes| {
            let lost = Lost::of(&latest, rows.clone(), Known { up_to, topic_lacks_changes });
            let ids = |rows: Vec<Row>| rows.into_iter().map(|row| row.sensor_id).collect::<Vec<_>>();
            (ids(lost.sensors.into_iter().map(|(_, row)| row).collect()), lost.deletions, ids(lost.untold))
        };
        assert_eq!(of(0, false), (vec![2, 3], vec![5], vec![]), "the table may not have heard of any of it");
        assert_eq!(of(1, false), (vec![2], vec![], vec![3, 5]), "it knew all of it, and was changed since");
        assert_eq!(
            of(1, true),
            (vec![], vec![], vec![2, 3, 5]),
            "the topic has not heard of deletions either"
        );
    }
}
