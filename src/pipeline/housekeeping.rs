//! What a session does now and then: looks after Kafka, and tells the metrics.

use std::time::{Duration, Instant};

use super::{lag::Standing, member::MemberError, session::Session};
use crate::{
    log::BEAT_INTERVAL,
    metrics::ASSIGNED_PARTITIONS,
    protocol::{self, Event},
    reading::Timestamp,
};

/// How often.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Now and then: whether Kafka answers, and lag.
    pub(super) fn housekeeping(&mut self) -> Result<(), MemberError> {
        if self.last_housekeeping.elapsed() < HOUSEKEEPING {
            return Ok(());
        }
        self.last_housekeeping = Instant::now();
        self.consumer.watch_connection();
        self.check_topic()?;
        self.report_lag();
        self.beat();
        Ok(())
    }

    /// Commits again what is stored, so that others can tell that a worker of this database runs.
    fn beat(&mut self) {
        if self.last_beat.elapsed() < BEAT_INTERVAL {
            return;
        }
        self.last_beat = Instant::now();
        let offsets = self.link.state.stored_offsets();
        if !offsets.is_empty() {
            self.consumer.commit(&offsets);
        }
    }

    /// Whether Kafka answers, and with the topic that it was.
    fn check_topic(&mut self) -> Result<(), MemberError> {
        let health = &self.member.config.kafka_health;
        match self.consumer.latest_topic_id() {
            Some(Ok(topic_id)) => {
                match &self.refused {
                    Some(why) => health.down(why.clone()),
                    None => health.up(),
                }
                if topic_id != self.log.topic_id {
                    tracing::warn!(
                        "the topic was recreated: its records are not those that were read before; joining the group again"
                    );
                }
                self.on(Event::TopicIs(topic_id))?;
            }
            Some(Err(error)) => health.down(self.refused.clone().unwrap_or_else(|| error.to_string())),
            None => {}
        }
        Ok(())
    }

    pub(super) fn count_assigned(&mut self) {
        let read = self.link.state.read_partitions();
        metrics::gauge!(ASSIGNED_PARTITIONS).increment(read as f64 - self.assigned as f64);
        self.assigned = read;
    }

    /// Tells how far behind the partitions are that are ours, also those that are stalled.
    fn report_lag(&mut self) {
        let (in_flight, filling) = (&self.link.in_flight, &self.filling);
        let mut standings: Vec<Standing> = self
            .link
            .state
            .standings()
            .map(|protocol::Standing { partition, stored }| Standing {
                partition,
                stored,
                end: None,
                oldest: in_flight.oldest(partition).or_else(|| filling.oldest(partition)),
            })
            .collect();
        let partitions: Vec<i32> = standings.iter().map(|standing| standing.partition).collect();
        if let Some(Err(error)) = self.consumer.ask_ends(&partitions) {
            tracing::debug!(error = %error, "the ends of the logs cannot be read");
        }
        for standing in &mut standings {
            standing.end = self.consumer.known_end(standing.partition);
        }
        let now = Timestamp::now();
        let was_assigned = self.link.state.was_assigned();
        let lag = &mut self.link.lag;
        lag.hold(self.filling.reading_count() + self.link.in_flight.readings);
        if was_assigned { lag.report(now, &standings) } else { lag.wait(now) }
    }
}
