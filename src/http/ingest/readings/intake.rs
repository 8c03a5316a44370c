//! Takes the items of one request: which are readings, which sensors there are, which partition each goes to.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    mem,
};

use serde::Serialize;
use utoipa::ToSchema;

use super::split::{ITEM_MAX_BYTES, Item};
use crate::{
    http::{
        ingest::{IngestApi, publish::Outbox},
        server::{ApiError, Client, VALIDATION_ERRORS_MAX, errors::store},
    },
    reading::{
        Reading, Reason, Timestamp, Window,
        decode::{self, Decoded, Reject, Untimed},
    },
};

/// Readings that wait for company in their partitions' records, at most; what a request holds is bounded by it.
const GROUPED_MAX: usize = 20_000;
/// Readings of one item for which memory is kept; an item may have far more.
const DECODED_KEPT: usize = 1_024;
/// Sensors whose partitions a request remembers, at most.
const SENSORS_MAX: usize = 50_000;

/// The code of an item whose sensor is not known here while the database does not answer.
pub(super) const UNAVAILABLE: &str = "database_unavailable";

/// Why one item was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ItemError {
    /// Its place among the items, from 0; blank lines do not count.
    #[schema(example = 3)]
    pub(super) index: u64,
    /// For programs: a reason as in `dead_letters`, or `database_unavailable`.
    #[schema(example = "invalid_value")]
    pub(super) code: &'static str,
    /// For people.
    #[schema(example = "`value` is not a number")]
    pub(super) message: Cow<'static, str>,
}

/// What came of the items.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) failed: u64,
    /// The first of them, in no order.
    pub(super) failures: Vec<ItemError>,
    /// Whether the database left a question about a sensor open.
    pub(super) is_unavailable: bool,
}

impl Tally {
    fn fail(&mut self, index: u64, code: &'static str, message: impl Into<Cow<'static, str>>) {
        self.failed += 1;
        if self.failures.len() < VALIDATION_ERRORS_MAX {
            self.failures.push(ItemError { index, code, message: message.into() });
        }
    }
}

/// What is known of a sensor within a request.
#[derive(Clone, Copy)]
enum Sensor {
    /// It is there, and its readings go to this partition.
    In(usize),
    Unknown,
    /// The database did not say.
    Unanswered,
}

/// One request's items on their way into records.
pub(super) struct Intake<'a> {
    api: &'a IngestApi,
    client: &'a Client,
    window: Window,
    received: Timestamp,
    items: u64,
    /// The readings of the item that is being taken; its memory is used again.
    decoded: Vec<Result<Reading, Reject>>,
    /// Readings with their places whose sensors have not been looked at yet.
    fresh: Vec<(u64, Reading)>,
    sensors: HashMap<i32, Sensor>,
    /// Readings by partition.
    groups: Vec<Vec<Reading>>,
    grouped: usize,
    tally: Tally,
}

/// Reads an item as the body has it: in place of what `decoded` held there are its readings, good or bad.
pub(in crate::http) fn read(
    item: Item<'_>,
    untimed: &mut Untimed<'_>,
    window: &Window,
    decoded: &mut Vec<Result<Reading, Reject>>,
) {
    decoded.clear();
    match item {
        Item::Text(text) => decoded.push(decode::single(text, untimed, window)),
        Item::Value(text) => decode::decode(text, untimed, window, &mut |one| match one {
            Decoded::Reading(_, outcome) => decoded.push(outcome),
            Decoded::TakeBack(index) => decoded.truncate(index as usize),
        }),
        Item::TooLong => {
            let message = format!(
                "the item is longer than {ITEM_MAX_BYTES} bytes: send an array, or a reading on each line"
            );
            decoded.push(Err(Reject::new(Reason::TooLarge, message)));
        }
    }
}

impl<'a> Intake<'a> {
    pub(super) fn new(api: &'a IngestApi, client: &'a Client, partitions: i32) -> Result<Self, ApiError> {
        let received = Timestamp::now();
        Ok(Self {
            api,
            client,
            window: api.window(received)?,
            received,
            items: 0,
            decoded: Vec::new(),
            fresh: Vec::new(),
            sensors: HashMap::new(),
            groups: vec![Vec::new(); partitions.max(1) as usize],
            grouped: 0,
            tally: Tally::default(),
        })
    }

    /// How many readings there were so far, good or bad.
    pub(super) fn items(&self) -> u64 {
        self.items
    }

    /// What is held, roughly.
    pub(super) fn held_bytes(&self) -> usize {
        let grouped: usize = self.groups.iter().map(Vec::capacity).sum();
        self.fresh.capacity() * size_of::<(u64, Reading)>()
            + grouped * size_of::<Reading>()
            + self.decoded.capacity() * size_of::<Result<Reading, Reject>>()
            + self.sensors.capacity() * size_of::<(i32, Sensor)>()
    }

    /// Takes an item as the body has it.
    pub(super) fn take(&mut self, item: Item<'_>) {
        let mut untimed = |_, _| Ok(self.api.receipt_clock.next(self.received));
        read(item, &mut untimed, &self.window, &mut self.decoded);
        for outcome in self.decoded.drain(..) {
            match outcome {
                Ok(reading) => self.fresh.push((self.items, reading)),
                Err(reject) => self.tally.fail(self.items, reject.reason.as_str(), reject.detail),
            }
            self.items += 1;
        }
    }

    /// Looks at the sensors of the readings taken so far, and sends what is enough for records.
    pub(super) async fn settle(&mut self, outbox: &mut Outbox<'_>) -> Result<(), ApiError> {
        self.decoded.shrink_to(DECODED_KEPT);
        self.check_sensors().await;
        for (index, reading) in mem::take(&mut self.fresh) {
            let Reading { sensor_id, .. } = reading;
            match self.sensors.get(&sensor_id) {
                Some(Sensor::In(partition)) => {
                    self.groups[*partition].push(reading);
                    self.grouped += 1;
                }
                Some(Sensor::Unanswered) => {
                    self.tally.is_unavailable = true;
                    let message =
                        "the database does not say now whether there is such a sensor; send it again";
                    self.tally.fail(index, UNAVAILABLE, message);
                }
                Some(Sensor::Unknown) | None => {
                    let message = format!("there is no sensor {sensor_id}");
                    self.tally.fail(index, Reason::UnknownSensor.as_str(), message);
                }
            }
        }
        if self.sensors.len() > SENSORS_MAX {
            self.sensors = HashMap::new();
        }
        if self.grouped >= GROUPED_MAX { self.send(outbox) } else { Ok(()) }
    }

    /// Sends what is left; what came of the items once Kafka has all of it.
    pub(super) fn finish(mut self, outbox: &mut Outbox<'_>) -> Result<Tally, ApiError> {
        self.send(outbox)?;
        let mut tally = self.tally;
        tally.failures.sort_unstable_by_key(|failure| failure.index);
        Ok(tally)
    }

    /// Knows the sensors of all fresh readings afterwards; asks the database once for all that are new here.
    async fn check_sensors(&mut self) {
        let mut unknown = Vec::new();
        let partitions = self.groups.len() as i32;
        let producer = &self.api.producer;
        let home = |sensor_id| Sensor::In(producer.partition_of(sensor_id, partitions) as usize);
        for (_, Reading { sensor_id, .. }) in &self.fresh {
            self.sensors.entry(*sensor_id).or_insert_with(|| {
                if self.api.sensors.is_cached(*sensor_id) {
                    home(*sensor_id)
                } else {
                    unknown.push(*sensor_id);
                    Sensor::Unknown
                }
            });
        }
        if unknown.is_empty() {
            return;
        }
        let (there, unanswered) = self.look_up(unknown).await;
        self.sensors.extend(there.into_iter().map(|id| (id, home(id))));
        self.sensors.extend(unanswered.into_iter().map(|id| (id, Sensor::Unanswered)));
    }

    /// Those that the database has, and those of which it is not known, or which it has lost.
    async fn look_up(&self, unknown: Vec<i32>) -> (HashSet<i32>, Vec<i32>) {
        let known = &self.api.sensors;
        let unanswered = |error, ids| {
            store::log(&error);
            ids
        };
        let there: HashSet<i32> = match known.among(&unknown, self.client.look_ups()).await {
            Ok(there) => there.into_iter().collect(),
            Err(error) => return (HashSet::new(), unanswered(error, unknown)),
        };
        let absent: Vec<i32> = unknown.into_iter().filter(|id| !there.contains(id)).collect();
        match known.lost(&absent).await {
            Ok(lost) => (there, lost),
            Err(error) => (there, unanswered(error, absent)),
        }
    }

    fn send(&mut self, outbox: &mut Outbox<'_>) -> Result<(), ApiError> {
        self.tally.accepted += mem::take(&mut self.grouped) as u64;
        self.groups
            .iter_mut()
            .filter(|group| !group.is_empty())
            .try_for_each(|group| outbox.send(mem::take(group)))
    }
}
