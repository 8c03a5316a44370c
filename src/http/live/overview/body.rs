//! What the overview says.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    durability::UnsafeSetting,
    health::{Component, State},
    reading::Timestamp,
    store::{ReportedStall, overview::LastAudit},
};

/// Milliseconds since 1970.
pub(super) const fn millis(time: Timestamp) -> i64 {
    time.micros().div_euclid(1_000)
}

/// How the service is doing. What is null is not known (yet).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OverviewBody {
    /// When, in milliseconds since 1970, as all times here.
    #[schema(example = 1_728_743_340_000_i64)]
    pub(super) at: i64,
    pub(super) rates: RatesBody,
    /// Each partition, in order.
    pub(super) lag: Vec<LagBody>,
    /// How long ago a batch of readings was last stored.
    #[schema(example = 0.4)]
    pub(super) freshness_seconds: Option<f64>,
    pub(super) dead_letters: DeadLettersBody,
    /// Readings that were there already.
    #[schema(example = 12)]
    pub(super) duplicates: Option<i64>,
    /// The members of the consumer group; null where Kafka has not told, as of a group with `group.protocol=consumer`.
    pub(super) workers: Option<Vec<WorkerBody>>,
    pub(super) kafka: DependencyBody,
    pub(super) postgres: DependencyBody,
    /// The id of the database that readings are stored in.
    #[schema(example = "4f8a2c1e-93d7-4b60-8a55-0d1f6c7e2b90")]
    pub(super) database_id: Option<String>,
    /// Other databases that use the consumer group.
    pub(super) other_databases: Vec<OtherDatabaseBody>,
    /// Settings of Kafka and Postgres by which what was acknowledged may be lost, as far as this api may read them.
    pub(super) unsafe_settings: Vec<UnsafeSetting>,
    pub(super) tally: TallyBody,
    #[schema(example = "sensor-readings")]
    pub(super) topic: String,
    #[schema(example = "sensorpipe")]
    pub(super) group: String,
    #[schema(example = "0.1.0")]
    pub(super) version: &'static str,
}

/// In a second, over the last five seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RatesBody {
    /// Readings that this process has put into Kafka.
    #[schema(example = 100.0)]
    pub(super) http: Option<f64>,
    /// Records that anybody has put into the topic.
    #[schema(example = 120.0)]
    pub(super) kafka: Option<f64>,
    /// Readings stored.
    #[schema(example = 120.0)]
    pub(super) stored: Option<f64>,
}

/// A partition.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LagBody {
    #[schema(example = 0)]
    pub(super) partition: i32,
    /// Records that are not stored.
    #[schema(example = 3)]
    pub(super) records: Option<i64>,
    /// How long the first of them has been in the log; 0 where there is none.
    #[schema(example = 0.02)]
    pub(super) seconds: Option<f64>,
    /// When a batch of it was last stored.
    #[schema(example = 1_728_743_339_600_i64)]
    pub(super) stored_at: Option<i64>,
    /// The member that has it; null where nobody does, or `workers` is null.
    #[schema(example = "sensorpipe-6f1b")]
    pub(super) owner: Option<String>,
    /// Why no record of it is taken; null where records are.
    pub(super) stalled: Option<ReportedStall>,
}

/// What could never be stored and waits for somebody to look at it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLettersBody {
    #[schema(example = 2)]
    pub(super) waiting: Option<i64>,
    /// Of each reason up to a million.
    pub(super) by_reason: BTreeMap<String, i64>,
    /// Readings that came beyond `DEAD_LETTER_MAX` and are counted only; `GET /dead-letters/summary` says where the log
    /// has them.
    #[schema(example = 0)]
    pub(super) not_kept: Option<i64>,
    /// When they were counted.
    #[schema(example = 1_728_743_339_000_i64)]
    pub(super) counted_at: Option<i64>,
}

/// A member of the consumer group.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkerBody {
    #[schema(example = "sensorpipe-6f1b")]
    pub(super) member_id: String,
    #[schema(example = "sensorpipe")]
    pub(super) client_id: String,
    #[schema(example = "10.0.0.7")]
    pub(super) host: String,
    /// The partitions that it has.
    pub(super) partitions: Vec<i32>,
}

/// Another database whose workers use this one's consumer group, or did. A group is for one database: where the other's
/// workers run, this one's are refused, or the other's will be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OtherDatabaseBody {
    #[schema(example = "7d0c1b5a-2f4e-4c8d-9a36-5b1e8f7c0d24")]
    pub(super) database_id: String,
    /// Whether its workers run, by what they commit; null for the first seconds of looking.
    pub(super) is_active: Option<bool>,
    /// The partitions whose offsets it has committed last.
    pub(super) partitions: Vec<i32>,
}

/// What the service stands on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DependencyBody {
    pub(super) up: bool,
    /// Since when it has been up, or down, as far as this process has seen it.
    #[schema(example = 1_728_740_000_000_i64)]
    pub(super) since: i64,
    /// When it last said what is shown here; null where it never did.
    #[schema(example = 1_728_743_340_000_i64)]
    pub(super) answered_at: Option<i64>,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl DependencyBody {
    pub(super) fn of(component: &Component, answered: Option<Timestamp>) -> Self {
        let (state, since) = component.state_since();
        let reason = match state {
            State::Up => None,
            State::Down(reason) => Some(reason),
        };
        Self { up: reason.is_none(), since: millis(since), answered_at: answered.map(millis), reason }
    }
}

/// What became of everything since ingestion began.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TallyBody {
    /// Offsets of the log since then: records, and what transactions leave between them.
    #[schema(example = 1_000)]
    pub(super) in_log: Option<i64>,
    /// Readings stored.
    #[schema(example = 1_180)]
    pub(super) stored: Option<i64>,
    /// Readings that were there already.
    #[schema(example = 12)]
    pub(super) duplicates: Option<i64>,
    /// Readings set aside.
    #[schema(example = 8)]
    pub(super) dead_lettered: Option<i64>,
    /// Records that are in the log and neither stored nor set aside yet.
    #[schema(example = 3)]
    pub(super) in_flight_records: Option<i64>,
    /// Readings over which the log, the counts and the tables disagreed at the last audit: 0 where it was clean; null
    /// where there was none, or it could not tell.
    #[schema(example = 0)]
    pub(super) difference: Option<i64>,
    /// What the last `sensorpipe audit` of this topic came to; null where none was kept.
    pub(super) audit: Option<LastAudit>,
    /// What it means.
    pub(super) explanation: &'static str,
}

/// Whose difference is shown.
pub(super) const EXPLANATION: &str = "A record holds any number of readings, so counts of one are not \
    counts of the other. The audit reads the log and looks up every reading; the difference is what it found last. \
    `sensorpipe audit` names the readings.";
