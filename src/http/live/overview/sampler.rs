//! The one task that asks Kafka and Postgres, while somebody watches.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Overview, Sample,
    body::OverviewBody,
    last_known::{LastKnown, Names},
};
use crate::{
    durability::FoundSettings,
    health::Component,
    http::live::event_streams,
    kafka::{GroupMembers, LogObserver, producer::Producer},
    log::{Committer, DatabaseId},
    reading::Timestamp,
    store::{
        self, Pool, ReportedStall, StoreError,
        dead_letters::{self, OverflowRange, ReasonSummary},
        overview::{self, BooksOf, LastAudit, PartitionBooks},
    },
};

const INTERVAL: Duration = Duration::from_secs(1);
/// How long the connections to Kafka stay when nobody watches: a page that is loaded anew is back sooner.
const CLIENT_KEPT_FOR: Duration = Duration::from_secs(60);
/// How often the brokers are asked for the group: members come and go less often than records.
const MEMBERS_INTERVAL: Duration = Duration::from_secs(3);
/// How often records are read for their timestamps.
const TIMESTAMPS_INTERVAL: Duration = Duration::from_secs(3);
/// How often dead letters are counted at most, and how much longer than the last count took is waited: a million of
/// them takes a while, and no more than a hundredth of a connection's time goes there.
const COUNT_INTERVAL: Duration = Duration::from_secs(3);
const COUNT_PAUSE: u32 = 100;

/// What is asked.
pub(in crate::http) struct Sources {
    pub(in crate::http) producer: Producer,
    pub(in crate::http) pool: Pool,
    pub(in crate::http) reads: Pool,
    pub(in crate::http) observer: LogObserver,
    pub(in crate::http) kafka: Component,
    pub(in crate::http) postgres: Component,
    pub(in crate::http) found_settings: FoundSettings,
}

/// What Postgres says.
struct Told {
    books: Vec<PartitionBooks>,
    audit: Result<Option<LastAudit>, StoreError>,
    stalled: Result<Vec<ReportedStall>, StoreError>,
    database: Result<DatabaseId, StoreError>,
}

/// What Kafka says of the group.
struct Group {
    members: Option<GroupMembers>,
    committers: Option<BTreeMap<i32, Committer>>,
}
type Counted = Result<(Vec<ReasonSummary>, Vec<OverflowRange>), StoreError>;

/// The task's own state.
struct Sampler {
    sources: Sources,
    known: LastKnown,
    members_due: Instant,
    timestamps_due: Instant,
    count_due: Instant,
    counting: Option<JoinHandle<(Counted, Duration)>>,
}

/// Samples while somebody watches; for ever.
pub(super) async fn run(overview: &Overview, sources: Sources) {
    let now = Instant::now();
    let mut sampler = Sampler {
        sources,
        known: LastKnown::default(),
        members_due: now,
        timestamps_due: now,
        count_due: now,
        counting: None,
    };
    loop {
        if !overview.is_watched() {
            if timeout(CLIENT_KEPT_FOR, overview.await_subscriber()).await.is_err() {
                sampler.sources.observer.rest().await;
                overview.await_subscriber().await;
            }
            continue;
        }
        let next = Instant::now() + INTERVAL;
        let body = sampler.sample().await;
        overview.publish(Sample {
            taken: Instant::now(),
            event: event_streams::event("overview", body.at, &body),
            json: serde_json::to_vec(&body).expect("the overview has string keys").into(),
        });
        sleep_until(next).await;
    }
}

impl Sampler {
    async fn sample(&mut self) -> OverviewBody {
        self.known.accepted(self.sources.producer.acknowledged_readings());
        self.count_dead_letters().await;
        let ((ends, group), books) = tokio::join!(self.ask_kafka(), self.ask_postgres());
        let now = Timestamp::now();
        if let Some(ends) = ends {
            self.known.ends(now, ends);
        }
        if let Some(Group { members, committers }) = group {
            self.members_due = Instant::now() + MEMBERS_INTERVAL;
            if let Some(members) = members {
                self.known.members(members);
            }
            if let Some(committers) = committers {
                self.known.committers(committers);
            }
        }
        if let Some(Told { books, audit, stalled, database }) = books {
            self.known.books(now, books);
            match stalled {
                Ok(stalled) => self.known.stalled(stalled),
                Err(error) => tracing::debug!("{error}: {}", error.server_message()),
            }
            match database {
                Ok(database) => self.known.database(database),
                Err(error) => tracing::debug!("{error}: {}", error.server_message()),
            }
            match audit {
                Ok(audit) => self.known.audit(now, audit),
                // Rights may be from before there was such a table.
                Err(error) => tracing::debug!("{error}: {}", error.server_message()),
            }
        }
        self.read_timestamps().await;
        let Sources { producer, observer, kafka, postgres, found_settings, .. } = &self.sources;
        let (topic, group) = (producer.topic(), observer.group());
        let names = Names { topic, group, kafka, postgres, found_settings };
        self.known.body(Timestamp::now(), &names)
    }

    /// A broker that is known to be away is not waited for, nor a topic that was never described.
    async fn ask_kafka(&self) -> (Option<BTreeMap<i32, i64>>, Option<Group>) {
        let Sources { producer, observer, kafka, .. } = &self.sources;
        let Some(topic) = producer.known_topic().filter(|_| !kafka.is_out()) else { return (None, None) };
        let ends = observer.ends(topic.partitions).await;
        let ends = ends.inspect_err(|error| tracing::debug!("the ends of the log are unknown: {error}")).ok();
        if ends.is_none() || Instant::now() < self.members_due {
            return (ends, None);
        }
        let members = observer.members().await;
        let members = members.inspect_err(|error| tracing::debug!("the group is unknown: {error}")).ok();
        let committers = observer.committers().await;
        let committers =
            committers.inspect_err(|error| tracing::debug!("the group's offsets are unknown: {error}")).ok();
        (ends, Some(Group { members, committers }))
    }

    async fn ask_postgres(&self) -> Option<Told> {
        let Sources { producer, pool, postgres, .. } = &self.sources;
        if postgres.is_out() {
            return None;
        }
        let identity = producer.known_topic().map(|topic| {
            let identity = topic.identity.clone();
            (identity.cluster_id, identity.topic_id)
        });
        let of = BooksOf { topic: producer.topic().to_owned(), identity };
        let books = overview::books(pool, of.clone()).await;
        let books = books.inspect_err(|error| tracing::debug!("{error}: {}", error.server_message())).ok()?;
        let stalled = store::stalled(pool, of.clone()).await;
        let database = store::database_id(pool).await;
        Some(Told { books, audit: overview::last_audit(pool, of).await, stalled, database })
    }

    /// Of records that were there before anybody looked.
    async fn read_timestamps(&mut self) {
        let places = self.known.of_unknown_age();
        if places.is_empty() || self.sources.kafka.is_out() || Instant::now() < self.timestamps_due {
            return;
        }
        self.timestamps_due = Instant::now() + TIMESTAMPS_INTERVAL;
        match self.sources.observer.timestamps(places).await {
            Ok(read) => self.known.timestamps(read),
            Err(error) => tracing::debug!("records are not read for their timestamps: {error}"),
        }
    }

    /// Beside everything else, for it may take long.
    async fn count_dead_letters(&mut self) {
        if let Some(counting) = self.counting.take_if(|counting| counting.is_finished()) {
            let mut pause = COUNT_INTERVAL;
            match counting.await {
                Ok((counted, took)) => {
                    pause = pause.max(took * COUNT_PAUSE);
                    match counted {
                        Ok((counted, not_kept)) => {
                            self.known.dead_letters(Timestamp::now(), counted);
                            self.known.not_kept(&not_kept);
                        }
                        Err(error) => tracing::debug!("{error}: {}", error.server_message()),
                    }
                }
                Err(panic) => tracing::debug!("dead letters are not counted: {panic}"),
            }
            self.count_due = Instant::now() + pause;
        }
        if self.counting.is_none() && Instant::now() >= self.count_due && !self.sources.postgres.is_out() {
            let reads = self.sources.reads.clone();
            self.counting = Some(tokio::spawn(async move {
                let started = Instant::now();
                let counted = async {
                    Ok((dead_letters::summary(&reads).await?, dead_letters::not_kept(&reads).await?))
                };
                (counted.await, started.elapsed())
            }));
        }
    }
}
