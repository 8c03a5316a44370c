//! What librdkafka reports of the group, noted for the loop that owns the consumer.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use super::client::log_line;
use crate::reminder::Reminder;

/// What happened in the group.
#[derive(Debug)]
pub enum GroupEvent {
    /// These partitions are ours once [`Consumer::assign`] is called, which must happen.
    Assigned(Vec<i32>),
    /// These partitions go to somebody else once [`Consumer::unassign`] is called, which must happen.
    Revoked(Vec<i32>),
    /// These partitions are gone already; [`Consumer::unassign`] must still be called.
    Lost(Vec<i32>),
    /// Kafka took offsets that it was told, so it has this member.
    CommitTaken,
    /// Kafka does not have this member, and says so of nothing that passes; in its words.
    Refused(String),
    /// Kafka did not take offsets that it was told, as in the middle of a rebalance.
    CommitRefused,
    /// A record of this partition came another way than its queue: it must be assigned anew where it stood.
    Astray(i32),
}

/// Notes what librdkafka reports while the consumer polls.
#[derive(Default)]
pub(super) struct Notes {
    events: Mutex<VecDeque<GroupEvent>>,
    /// Nobody answers any more: rebalances take effect at once.
    closing: AtomicBool,
}

/// When a consumer of this process said last that Kafka is in trouble: it mostly is for all of them.
static COMPLAINED: Reminder = Reminder::new();

impl Notes {
    /// From now on rebalances are answered at once, for nobody else will.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Says that Kafka is in trouble, now and then while it is.
    pub(super) fn complain(error: &KafkaError) {
        if COMPLAINED.is_due() {
            tracing::warn!(error = %error, "Kafka reports a problem; the client is retrying, nothing is lost");
        }
    }

    pub(super) fn take(&self) -> Option<GroupEvent> {
        self.events.lock().pop_front()
    }

    fn note(&self, event: GroupEvent) {
        self.events.lock().push_back(event);
    }
}

impl ClientContext for Notes {
    /// Whoever polls the client gets it as well.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {error}: {reason}");
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}

impl ConsumerContext for Notes {
    fn rebalance(&self, client: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            let answer = if is_assign {
                // Without an offset librdkafka asks Kafka for one, and calls it an error that there may be none.
                list.set_all_offsets(Offset::End).and_then(|()| client.incremental_assign(list))
            } else {
                // librdkafka refuses the whole list for one partition that was given up before.
                client.assignment().and_then(|assigned| {
                    let mut held = TopicPartitionList::new();
                    for partition in list.elements() {
                        if assigned.find_partition(partition.topic(), partition.partition()).is_some() {
                            held.add_partition(partition.topic(), partition.partition());
                        }
                    }
                    client.incremental_unassign(&held)
                })
            };
            if let Err(error) = answer {
                tracing::debug!(error = %error, "rebalance not answered while closing");
            }
            return;
        }
        let partitions = list
            .elements()
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
            .collect();
        self.note(match is_assign {
            true => GroupEvent::Assigned(partitions),
            false if client.assignment_lost() => GroupEvent::Lost(partitions),
            false => GroupEvent::Revoked(partitions),
        });
    }

    fn commit_callback(&self, result: Result<(), KafkaError>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.note(GroupEvent::CommitTaken),
            Err(error) => {
                tracing::debug!(error = %error, "Kafka did not take the committed offsets; the database has them");
                self.note(GroupEvent::CommitRefused);
            }
        }
    }
}

/// Why Kafka does not have this member in its group, where its answer is one that does not pass by itself.
pub(super) fn group_refusal(error: &KafkaError) -> Option<String> {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code()?;
    let is_refusal = matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InconsistentGroupProtocol
            | Code::InvalidGroupId
            | Code::InvalidSessionTimeout
            | Code::GroupMaxSizeReached
            | Code::UnsupportedVersion
    );
    is_refusal.then(|| format!("Kafka does not let this consumer into the group: {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    #[test]
    fn only_an_answer_that_lasts_is_a_refusal() {
        let refused = |code| group_refusal(&KafkaError::MessageConsumption(code));
        assert!(
            refused(Code::GroupAuthorizationFailed).is_some_and(|told| told.contains("Group authorization"))
        );
        assert!(refused(Code::InvalidSessionTimeout).is_some());
        assert_eq!(refused(Code::CoordinatorNotAvailable), None);
        assert_eq!(refused(Code::AllBrokersDown), None);
    }
}
