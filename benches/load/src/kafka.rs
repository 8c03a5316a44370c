//! Records straight into the topic.

use std::{fmt::Write, thread, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    bulk_producer::BulkProducer,
    ledger::{Ledger, Tag},
    pace::Pace,
    plan::Plan,
};
use sensorpipe::kafka::producer::PublishError;

/// Shorter sleeps cost more than they are worth. Latency counts from when a record was due, so it includes them.
const SLEEP_AT_LEAST: Duration = Duration::from_micros(500);
/// Longest sleep, after which a request to stop is noticed.
const SLEEP_AT_MOST: Duration = Duration::from_millis(100);
/// How long to wait for room in the client's queue, again and again.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// Sends record after record until it is enough or `stop` is cancelled; returns how many. Blocks its thread.
///
/// `ledger` learns of the answers from the producer.
pub(crate) fn send_to_kafka(
    producer: &BulkProducer,
    plan: &Plan,
    pace: &Pace,
    ledger: &Ledger,
    stop: &CancellationToken,
) -> u64 {
    let sample_every = pace.sample_every();
    ledger.start();
    let (mut key, mut payload) = (String::new(), String::new());
    for number in 0.. {
        let Some(elapsed) = wait_until_due(number, pace, ledger, stop) else { return number };
        key.clear();
        write!(key, "{}", plan.sensor_id(number)).expect("a String takes all");
        payload.clear();
        plan.write_record(number, &mut payload);
        let tag =
            Tag { due: pace.due(number).unwrap_or(elapsed), is_sample: number.is_multiple_of(sample_every) };
        loop {
            match producer.send(&key, &payload, tag.to_word()) {
                Ok(()) => break,
                Err(PublishError::QueueFull) if stop.is_cancelled() => return number,
                Err(PublishError::QueueFull) => thread::sleep(QUEUE_PAUSE),
                Err(error) => {
                    ledger.note(tag, Err(error.to_string()));
                    break;
                }
            }
        }
    }
    unreachable!("there is always a next number")
}

/// The time when it is the record's turn; none where there is no such record.
fn wait_until_due(number: u64, pace: &Pace, ledger: &Ledger, stop: &CancellationToken) -> Option<Duration> {
    loop {
        let elapsed = ledger.elapsed();
        if pace.is_over(number, elapsed) || stop.is_cancelled() {
            return None;
        }
        let wait = pace.due(number).map_or(Duration::ZERO, |due| due.saturating_sub(elapsed));
        if wait.is_zero() {
            return Some(elapsed);
        }
        thread::sleep(wait.clamp(SLEEP_AT_LEAST, SLEEP_AT_MOST));
    }
}
