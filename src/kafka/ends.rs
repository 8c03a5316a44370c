//! Where logs end, asked of the brokers now and then and never waited for.
//!
//! The end is that for readers, the last stable offset: what an open transaction has written is not there to be read.
//! A fetch tells the high watermark alone, and a partition whose queue is full, because the database does not keep up
//! or is away, is not fetched; nor is one that is stalled. Just then everybody wants to know how much there is.
#![expect(unsafe_code, reason = "rdkafka has no call for ListOffsets")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList, bindings as native,
    client::{Client, ClientContext},
    error::IsError as _,
};

use super::describe::{DescribeError, Question, array, no_answer};

/// How often the brokers are asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// The ends as they were answered last. To be dropped before the client.
#[derive(Default)]
pub(super) struct Ends {
    question: Option<Question>,
    asked: Option<Instant>,
    known: BTreeMap<i32, i64>,
    /// Partitions that have been read to their ends, and where those were.
    reached: BTreeMap<i32, i64>,
}

impl Ends {
    /// Takes an answer if there is one, and asks if it is time; says how the brokers answered.
    pub(super) fn turn<C: ClientContext>(
        &mut self,
        client: &Client<C>,
        topic: &str,
        partitions: &[i32],
    ) -> Option<Result<(), DescribeError>> {
        if let Some(question) = &self.question {
            let event = question.answer_within(0, native::RD_KAFKA_EVENT_LISTOFFSETS_RESULT)?;
            let answer = event.and_then(|event| {
                // SAFETY: the event is of this type, and everything read from it is copied before it is dropped.
                unsafe {
                    let result = native::rd_kafka_event_ListOffsets_result(event.as_ptr());
                    let infos = array(|count| native::rd_kafka_ListOffsets_result_infos(result, count));
                    for &info in infos {
                        let end = &*native::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
                        if !end.err.is_error() {
                            self.known.insert(end.partition, end.offset);
                        }
                    }
                    // A topic that is gone is answered, and nothing is known of it.
                    if infos.is_empty() { Err(no_answer()) } else { Ok(()) }
                }
            });
            self.question = None;
            return Some(answer);
        }
        if self.is_due(partitions) {
            self.asked = Some(Instant::now());
            match ask(client, topic, partitions) {
                Ok(question) => self.question = Some(question),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    /// Whether the next turn asks about these partitions.
    pub(super) fn is_due(&self, partitions: &[i32]) -> bool {
        self.question.is_none()
            && !partitions.is_empty()
            && self.asked.is_none_or(|asked| asked.elapsed() >= INTERVAL)
    }

    /// Has the brokers asked at the next turn: there are new partitions.
    pub(super) fn ask_soon(&mut self) {
        self.asked = None;
    }

    /// A partition has been read to its end for now.
    pub(super) fn reach(&mut self, partition: i32, end: i64) {
        self.reached.insert(partition, end);
    }

    /// More was read of a partition, or it is not read any more.
    pub(super) fn leave(&mut self, partition: i32) {
        self.reached.remove(&partition);
    }

    /// The end of a partition's log, given what a fetch said last of its high watermark: past the end that was reached
    /// lies what an open transaction has written.
    pub(super) fn end(&self, partition: i32, high_watermark: Option<i64>) -> Option<i64> {
        let known = self.known.get(&partition).copied();
        known.max(self.reached.get(&partition).copied().or(high_watermark))
    }
}

fn ask<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partitions: &[i32],
) -> Result<Question, DescribeError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for &partition in partitions {
        // Any other offset would be refused; this one stands for the end.
        if list.add_partition_offset(topic, partition, Offset::End).is_err() {
            return Err(no_answer());
        }
    }
    let question =
        Question::new(client, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, INTERVAL)?;
    // SAFETY: client, list, options and queue are alive; librdkafka copies what it keeps.
    unsafe {
        // An error is one of programming: these options are for this question, which has this level.
        let error = native::rd_kafka_AdminOptions_set_isolation_level(
            question.options.as_ptr(),
            native::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        );
        assert!(error.is_null(), "the ends of logs are asked for as a reader sees them");
        native::rd_kafka_ListOffsets(
            client.native_ptr(),
            list.ptr(),
            question.options.as_ptr(),
            question.queue.as_ptr(),
        );
    }
    Ok(question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_transaction_is_not_behind_the_end() {
        let mut ends = Ends::default();
        assert_eq!(ends.end(0, None), None);
        assert_eq!(ends.end(0, Some(110)), Some(110), "nobody has said how much of it is to be read");
        ends.reach(0, 100);
        assert_eq!(ends.end(0, Some(110)), Some(100));
        ends.known.insert(0, 104);
        assert_eq!(ends.end(0, Some(110)), Some(104), "some of it was committed since");
        ends.leave(0);
        assert_eq!(ends.end(0, Some(110)), Some(110));
    }
}
