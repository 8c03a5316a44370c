//! Readings into Kafka: as few records as may be, each of them acknowledged or the request's failure.

use std::{collections::BTreeMap, mem, ops::Range};

use crate::{
    http::server::ApiError,
    kafka::{
        RecordHeaders,
        producer::{MAX_RECORD_BYTES, Producer, PublishError, Receipt, Sending},
    },
    reading::{Reading, encode},
    traces::PublishSpan,
};

/// Records of one request on their way to Kafka.
pub(super) struct Outbox<'p> {
    producer: &'p Producer,
    headers: RecordHeaders,
    /// From the first record on, where traces are on.
    span: Option<PublishSpan>,
    /// The record that is being written; its memory is used again.
    record: String,
    groups: Vec<Group>,
}

/// Readings of one partition, kept until Kafka has taken their records as large as they are.
struct Group {
    readings: Vec<Reading>,
    records: Vec<(Sending, Range<usize>)>,
}

impl<'p> Outbox<'p> {
    /// Every record gets these headers.
    pub(in crate::http) fn new(producer: &'p Producer, headers: RecordHeaders) -> Self {
        Self { producer, headers, span: None, record: String::new(), groups: Vec::new() }
    }

    /// Sends readings that belong into one partition, in their order, under the first one's sensor as key.
    pub(in crate::http) fn send(&mut self, readings: Vec<Reading>) -> Result<(), ApiError> {
        self.start_span();
        let (mut records, mut start, mut max_bytes) = (Vec::new(), 0, MAX_RECORD_BYTES);
        while let Some(first) = readings.get(start) {
            self.record.clear();
            let taken = encode::write_record(&readings[start..], max_bytes, &mut self.record);
            match self.producer.send(first.sensor_id, &self.record, self.headers.clone()) {
                Ok(sending) => records.push((sending, start..start + taken)),
                Err(PublishError::TooLarge) if taken > 1 => {
                    max_bytes = self.record.len() / 2;
                    continue;
                }
                Err(PublishError::QueueFull) if start == 0 && self.groups.is_empty() => {
                    return Err(ApiError::Overloaded("Too many records wait for Kafka. Nothing was stored."));
                }
                Err(error) => return Err(error.into()),
            }
            start += taken;
        }
        self.groups.push(Group { readings, records });
        Ok(())
    }

    /// What is kept of the readings until Kafka has taken them.
    pub(in crate::http) fn held_bytes(&self) -> usize {
        self.groups.iter().map(|group| size_of_val(group.readings.as_slice())).sum()
    }

    /// Once a request, and only where there is something to send: the records carry what the span says.
    fn start_span(&mut self) {
        if self.span.is_some() {
            return;
        }
        self.span = PublishSpan::start(self.producer.topic());
        for (name, value) in self.span.iter().flat_map(PublishSpan::headers) {
            self.headers = mem::take(&mut self.headers).with(name, &value);
        }
    }

    /// Waits until Kafka has everything; the places of all records, in the order in which they were sent.
    ///
    /// After an error some of them may be in the log.
    pub(in crate::http) async fn sent(mut self) -> Result<Vec<Receipt>, PublishError> {
        let span = self.span.take();
        let sent = self.all_sent().await;
        match (&sent, span) {
            (_, None) => {}
            (Ok((receipts, readings)), Some(span)) => {
                let first = receipts.first().map(|first| (first.partition, first.offset));
                span.sent(receipts.len(), *readings, first);
            }
            (Err(error), Some(span)) => span.failed(error),
        }
        sent.map(|(receipts, _)| receipts)
    }

    /// The places of all records, and how many readings they have.
    async fn all_sent(&mut self) -> Result<(Vec<Receipt>, usize), PublishError> {
        let mut receipts = Vec::with_capacity(self.groups.len());
        let mut readings = 0;
        for group in mem::take(&mut self.groups) {
            for (sending, range) in group.records {
                match self.producer.sent(sending).await {
                    Ok(receipt) => receipts.push(receipt),
                    Err(PublishError::TooLarge) if range.len() > 1 => {
                        self.send_smaller(&group.readings[range], &mut receipts).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            readings += group.readings.len();
        }
        self.producer.count_acknowledged(readings);
        Ok((receipts, readings))
    }

    /// Sends what the topic did not take as one record in halves, one after the other: together in one request to the
    /// broker they would be as large as before.
    async fn send_smaller(
        &mut self,
        readings: &[Reading],
        receipts: &mut Vec<Receipt>,
    ) -> Result<(), PublishError> {
        let (mut rest, mut max_bytes) = (readings, MAX_RECORD_BYTES / 2);
        while let Some(first) = rest.first() {
            self.record.clear();
            let taken = encode::write_record(rest, max_bytes, &mut self.record);
            let sending = self.producer.send(first.sensor_id, &self.record, self.headers.clone())?;
            match self.producer.sent(sending).await {
                Ok(receipt) => receipts.push(receipt),
                Err(PublishError::TooLarge) if taken > 1 => {
                    max_bytes = self.record.len() / 2;
                    continue;
                }
                Err(error) => return Err(error),
            }
            rest = &rest[taken..];
        }
        Ok(())
    }
}

/// The last receipt of each partition, by partition: once it is stored, so are those before it.
pub(super) fn last_of_each_partition(receipts: &[Receipt]) -> Vec<Receipt> {
    let mut last: BTreeMap<i32, Receipt> = BTreeMap::new();
    for receipt in receipts {
        let latest = last.entry(receipt.partition).or_insert(*receipt);
        latest.offset = latest.offset.max(receipt.offset);
    }
    last.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::{KafkaConfig, KafkaSettings},
        health::{Health, Need},
        reading::Timestamp,
    };

    #[tokio::test]
    async fn a_full_queue_turns_away_who_comes_next() {
        let nowhere = KafkaConfig {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_topic: "nowhere".to_owned(),
            kafka_group: "none".to_owned(),
            kafka_sensors_topic: None,
        };
        let settings = KafkaSettings([("queue.buffering.max.messages".to_owned(), "1".to_owned())].into());
        let kafka = Health::default().component("kafka", Need::Required);
        let timeout = Duration::from_secs(60);
        let producer = Producer::new(&nowhere, &settings, timeout, kafka).unwrap();
        let reading = Reading { sensor_id: 1, time: Timestamp::from_micros(0), value: 1.0 };
        let mut first = Outbox::new(&producer, RecordHeaders::default());
        first.send(vec![reading]).unwrap();
        // Of this request something is on its way; of the other one nothing is.
        assert!(matches!(first.send(vec![reading]), Err(ApiError::Unavailable(_))));
        let mut second = Outbox::new(&producer, RecordHeaders::default());
        assert!(matches!(second.send(vec![reading]), Err(ApiError::Overloaded(_))));
    }

    #[test]
    fn each_partition_has_one_last_receipt() {
        let receipts =
            [(1, 5), (0, 7), (1, 3), (0, 9)].map(|(partition, offset)| Receipt { partition, offset });
        let last = last_of_each_partition(&receipts);
        assert_eq!(last, [Receipt { partition: 0, offset: 9 }, Receipt { partition: 1, offset: 5 }]);
    }
}
