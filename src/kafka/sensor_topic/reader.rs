//! The thread that follows the topic of the sensors.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::{PARTITION, Read};
use crate::{
    config::{KafkaConfig, KafkaSettings},
    kafka::{
        bootstrap::Bootstrap,
        client::create_client,
        connection::is_connected,
        consumer::SETTINGS,
        fetch_error::FetchError,
        group::Notes,
        partition_queue::{Fetched, PartitionQueue},
    },
    log::{FetchFault, Unreadable},
    registry::SensorRecord,
    reminder::Reminder,
};

/// How long to wait for records at a time: what comes wakes the thread.
const PAUSE: Duration = Duration::from_millis(500);
/// Between one client and the next, while the topic cannot be read.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often is looked whether there is a broker.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Most records taken at a time.
const DRAIN_MAX: usize = 1_024;

/// Why a client cannot go on.
enum Lost {
    Client(KafkaError),
    Fetch(FetchError),
    /// A record came another way than its queue, and was not read.
    Astray,
}

/// Follows the topic until it is told to stop.
pub(super) fn run(kafka: &KafkaConfig, settings: &KafkaSettings, read: &Read) {
    while !read.stop.is_cancelled() {
        if read.is_another.load(Ordering::Acquire) {
            forget(read);
            read.is_another.store(false, Ordering::Release);
        }
        let followed = follow(kafka, settings, read);
        // Closed outside of the lock: that takes its time.
        let closed = read.client.write().take();
        drop(closed);
        if let Err(lost) = followed {
            note_lost(read, &kafka.kafka_topic, lost);
        }
        if !read.stop.is_cancelled() {
            thread::sleep(RETRY_INTERVAL);
        }
    }
}

fn note_lost(read: &Read, topic: &str, lost: Lost) {
    static SAID: Reminder = Reminder::new();
    let (reason, is_lasting) = match lost {
        Lost::Client(error) => (error.to_string(), false),
        Lost::Astray => ("a record came another way than its queue".to_owned(), false),
        Lost::Fetch(error) => {
            if error.fault == FetchFault::OffsetOutOfRange {
                // It was recreated, or its end was cut off: what it holds now is what counts.
                forget(read);
            }
            (error.detail, error.fault == FetchFault::Lasting(Unreadable::NotAuthorized))
        }
    };
    if is_lasting && SAID.is_due() {
        tracing::warn!(
            kafka.topic = topic,
            error = reason,
            "the topic of the sensors cannot be read: until it can be, no sensor is made over HTTP"
        );
    }
    tracing::debug!(kafka.topic = topic, error = reason, "reading the topic of the sensors anew");
    *read.unreadable.lock() = is_lasting.then_some(reason);
}

fn forget(read: &Read) {
    read.is_whole.store(false, Ordering::Release);
    read.registry.lock().forget();
    read.next_offset.send_replace(0);
}

fn follow(kafka: &KafkaConfig, settings: &KafkaSettings, read: &Read) -> Result<(), Lost> {
    let topic = kafka.kafka_topic.as_str();
    let mut ours = SETTINGS.to_vec();
    // A client without a group's name assigns nothing; one that never subscribes does not join it.
    ours.push(("group.id", kafka.kafka_group.as_str()));
    let client: BaseConsumer<Notes> =
        create_client(kafka, settings, &ours, Notes::default()).map_err(Lost::Client)?;
    let client = Arc::new(client);
    let mut bootstrap = Bootstrap::new(&kafka.kafka_brokers);
    let queue = PartitionQueue::split(client.client(), topic, PARTITION, thread::current())
        .ok_or_else(|| Lost::Client(KafkaError::Subscription(topic.to_owned())))?;
    let next = read.registry.lock().next_offset();
    let start = if next == 0 { Offset::Beginning } else { Offset::Offset(next) };
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, PARTITION, start).map_err(Lost::Client)?;
    client.assign(&list).map_err(Lost::Client)?;
    *read.client.write() = Some(Arc::clone(&client));
    let mut look_due = Instant::now();
    while !read.stop.is_cancelled() {
        if read.is_another.load(Ordering::Acquire) {
            return Ok(());
        }
        match client.poll(Duration::ZERO) {
            Some(Ok(_)) => return Err(Lost::Astray),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                // It is left open: librdkafka (2.12.1) waits for ever where such a client is closed.
                mem::forget(Arc::clone(&client));
                return Err(Lost::Client(error));
            }
            Some(Err(_)) | None => {}
        }
        let drained = queue.drain(DRAIN_MAX);
        let has_more = drained.len() > 0;
        take(read, drained.items())?;
        if Instant::now() >= look_due {
            bootstrap.note(client.client(), is_connected(client.client(), topic));
            look_due = Instant::now() + LOOK_INTERVAL;
        }
        if !has_more {
            thread::park_timeout(PAUSE);
        }
    }
    Ok(())
}

fn take<'a>(read: &Read, items: impl Iterator<Item = Fetched<'a>>) -> Result<(), Lost> {
    let mut registry = read.registry.lock();
    let before = registry.next_offset();
    let (mut outcome, mut is_readable) = (Ok(()), false);
    for item in items {
        is_readable |= !matches!(item, Fetched::Failed(_));
        match item {
            Fetched::Record(record) => {
                let sensor = record.payload.and_then(SensorRecord::decode);
                // Under another key it is nobody's of ours.
                match sensor.filter(|sensor| record.key == Some(sensor.key().as_bytes())) {
                    Some(sensor) => registry.note(record.offset, &sensor),
                    None => registry.note_end(record.offset + 1),
                }
            }
            Fetched::End(offset) => registry.note_end(offset),
            // What follows says nothing about what lies between.
            Fetched::Failed(error) => {
                outcome = Err(Lost::Fetch(error));
                break;
            }
        }
    }
    let next = registry.next_offset();
    drop(registry);
    if is_readable {
        *read.unreadable.lock() = None;
    }
    if next > before {
        read.next_offset.send_replace(next);
    }
    outcome
}
