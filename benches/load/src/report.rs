//! The result of a run, for people and for machines.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Serialize, Serializer};

use sensorpipe::batch::Tally;

use crate::{
    config::{LoadConfig, LoadTarget},
    latency::Latencies,
    plan::{Expected, Found, Plan},
};

/// What was sent and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was sent.
    #[serde(flatten)]
    pub run: Run,
    /// From the time that a record was due to its acknowledgement.
    #[serde(rename = "ack_ms")]
    pub acknowledgement: Latencies,
    /// From the time that a record was due until it was turned away.
    #[serde(rename = "refused_ms")]
    pub refusal: Latencies,
    /// What is in the database, where that was asked.
    pub verified: Option<Verified>,
}

/// What was sent.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// `kafka` or `http`.
    pub target: &'static str,
    /// What the readings follow from.
    pub seed: u64,
    /// `--from` that makes the same readings again, with the same seed and step.
    pub from: String,
    /// Time from one reading of a sensor to its next.
    #[serde(serialize_with = "as_seconds", rename = "step_seconds")]
    pub step: Duration,
    /// How many sensors.
    pub sensors: usize,
    /// Readings in a record.
    pub readings_per_record: u64,
    /// Records sent.
    pub records: u64,
    /// Readings in them.
    pub readings: u64,
    /// From the start to the last answer.
    #[serde(serialize_with = "as_seconds", rename = "seconds")]
    pub elapsed: Duration,
    /// Records that were turned away because there were too many.
    pub refused: u64,
    /// Readings acknowledged in a second.
    pub readings_per_second: f64,
    /// Records that were not acknowledged, by reason.
    pub failures: BTreeMap<String, u64>,
}

/// What is in the database.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    /// Readings of the run that are in the table.
    pub found: u64,
    /// Readings of the run that were not acknowledged, any of which may be in the table or not.
    pub unacknowledged: u64,
    /// Readings of the topic that were inserted since the start.
    pub stored: i64,
    /// Readings of the topic that were there already.
    pub duplicates: i64,
    /// Readings of the topic that were set aside.
    pub dead_lettered: i64,
    /// From the time that a record was due until queries show it.
    #[serde(rename = "visible_ms")]
    pub visibility: Latencies,
    /// What is wrong; nothing, if all is well.
    pub problems: Vec<String>,
}

impl Run {
    /// The plan's part of the result.
    pub(crate) fn of(plan: &Plan, config: &LoadConfig, records: u64) -> Self {
        let target = match config.target {
            LoadTarget::Kafka => "kafka",
            LoadTarget::Http => "http",
        };
        Self {
            target,
            seed: config.seed,
            from: plan.from().to_string(),
            step: config.step,
            sensors: plan.sensors(),
            readings_per_record: plan.per_record(),
            records,
            readings: records * plan.per_record(),
            elapsed: Duration::ZERO,
            refused: 0,
            readings_per_second: 0.0,
            failures: BTreeMap::new(),
        }
    }
}

impl Verified {
    /// Holds what is there against what was sent; `since` is what was counted since the start.
    ///
    /// Of `unacknowledged` readings nobody has promised anything: only what more is missing is missing.
    pub(crate) fn new(
        expected: &Expected,
        unacknowledged: u64,
        found: Found,
        since: Tally,
        visibility: Latencies,
    ) -> Self {
        let mut problems = Vec::new();
        let sent = expected.readings;
        let promised = sent.saturating_sub(unacknowledged);
        match found.readings {
            readings if readings < promised => {
                let missing = promised - readings;
                problems.push(if unacknowledged == 0 {
                    format!("{missing} readings are missing")
                } else {
                    format!("{missing} acknowledged readings or more are missing")
                });
            }
            // Which of the others are there is not known.
            readings if readings < sent => {}
            readings if readings > sent => {
                problems.push(format!("{} readings are there that were not sent", readings - sent));
            }
            _ if found.checksum != expected.checksum => {
                problems.push("the values are not those that were sent".to_owned());
            }
            _ => {}
        }
        if since.dead_lettered > 0 {
            problems.push(format!("{} readings are in dead_letters", since.dead_lettered));
        }
        let counted = since.stored + since.duplicates + since.dead_lettered;
        if !(promised as i64..=sent as i64).contains(&counted) {
            let expected = if promised == sent { sent.to_string() } else { format!("{promised} to {sent}") };
            problems.push(format!(
                "ingest_offsets counts {counted} readings instead of {expected}: something was lost or done twice, \
                 or somebody else sent to the topic"
            ));
        }
        Self {
            found: found.readings,
            unacknowledged,
            stored: since.stored,
            duplicates: since.duplicates,
            dead_lettered: since.dead_lettered,
            visibility,
            problems,
        }
    }
}

impl Report {
    /// Everything that is wrong; nothing, if all is well.
    pub(crate) fn problems(&self) -> Vec<String> {
        let failures = self.run.failures.iter();
        let mut problems: Vec<String> =
            failures.map(|(reason, count)| format!("{count} records not acknowledged: {reason}")).collect();
        problems.extend(self.verified.iter().flat_map(|verified| verified.problems.clone()));
        problems
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { readings, records, sensors, target, seed, from, .. } = &self.run;
        writeln!(
            f,
            "sent      {readings} readings in {records} records of {sensors} sensors to {target} in {:.2} s: \
             {:.0} readings/s",
            self.run.elapsed.as_secs_f64(),
            self.run.readings_per_second
        )?;
        let step = humantime::format_duration(self.run.step);
        writeln!(f, "          the same again: --seed {seed} --from {from} --step {step}")?;
        writeln!(f, "ack       {}", self.acknowledgement)?;
        if self.run.refused > 0 {
            writeln!(f, "refused   {} records: {}", self.run.refused, self.refusal)?;
        }
        if let Some(verified) = &self.verified {
            writeln!(f, "visible   {}", verified.visibility)?;
            writeln!(
                f,
                "verified  {} readings found; since the start {} stored, {} there already, {} dead-lettered",
                verified.found, verified.stored, verified.duplicates, verified.dead_lettered
            )?;
            if verified.unacknowledged > 0 {
                writeln!(
                    f,
                    "unsure    {} readings were not acknowledged, any of which may be stored or not",
                    verified.unacknowledged
                )?;
            }
        }
        for problem in self.problems() {
            writeln!(f, "PROBLEM   {problem}")?;
        }
        Ok(())
    }
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SensorReadings;

    fn expected() -> Expected {
        let sensors = vec![SensorReadings { sensor_id: 1, readings: 10 }];
        let first = "2026-03-05T12:00:00Z".parse().unwrap();
        Expected { sensors, first, step_micros: 1, readings: 10, checksum: 99 }
    }

    fn problems(
        readings: u64,
        checksum: i64,
        stored: i64,
        duplicates: i64,
        dead_lettered: i64,
    ) -> Vec<String> {
        problems_with(0, readings, checksum, Tally { stored, duplicates, dead_lettered })
    }

    fn problems_with(unacknowledged: u64, readings: u64, checksum: i64, since: Tally) -> Vec<String> {
        let found = Found { readings, checksum };
        Verified::new(&expected(), unacknowledged, found, since, Latencies::default()).problems
    }

    #[test]
    fn what_was_not_acknowledged_is_not_missing() {
        let stored = |stored| Tally { stored, duplicates: 0, dead_lettered: 0 };
        for found in 7..=9 {
            assert!(problems_with(3, found, 50, stored(found as i64)).is_empty(), "{found}");
        }
        assert!(problems_with(3, 10, 99, stored(10)).is_empty());
        assert_eq!(problems_with(3, 10, 98, stored(10)), ["the values are not those that were sent"]);
        let lost = problems_with(3, 6, 50, stored(6));
        assert_eq!(lost[0], "1 acknowledged readings or more are missing");
        assert!(lost[1].starts_with("ingest_offsets counts 6 readings instead of 7 to 10"), "{lost:?}");
        // Counted and not there.
        assert_eq!(problems_with(3, 6, 50, stored(8)), ["1 acknowledged readings or more are missing"]);
    }

    #[test]
    fn whatever_is_not_as_sent_is_said() {
        assert!(problems(10, 99, 10, 0, 0).is_empty());
        assert!(problems(10, 99, 3, 7, 0).is_empty());
        assert_eq!(problems(9, 98, 10, 0, 0), ["1 readings are missing"]);
        assert_eq!(problems(10, 98, 10, 0, 0), ["the values are not those that were sent"]);
        assert_eq!(problems(9, 98, 9, 0, 1), ["1 readings are missing", "1 readings are in dead_letters"]);
        assert!(problems(10, 99, 10, 1, 0)[0].starts_with("ingest_offsets counts 11 readings instead of 10"));
    }
}
