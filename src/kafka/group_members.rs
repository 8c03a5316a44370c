//! Who is in a consumer group and what each has, as the brokers tell it; of classic groups and of KIP-848's.
#![expect(unsafe_code, reason = "rdkafka has no safe call for DescribeConsumerGroups")]

use std::time::Duration;

use rdkafka::{
    bindings as native,
    client::{Client, ClientContext},
};

use super::describe::{DescribeError, Question, array, c_name, check, no_answer, text};

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The broker's name for it, which no other member has.
    pub member_id: String,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// Its partitions of the topic, in order.
    pub partitions: Vec<i32>,
}

/// Asks the group's coordinator; blocks for `timeout` at most. A group that nobody ever joined has no members.
pub(super) fn group_members<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<GroupMember>, DescribeError> {
    let name = c_name(group)?;
    let mut names = [name.as_ptr()];
    let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let question = Question::new(client, operation, timeout)?;
    // SAFETY: client, name, options and queue are alive; librdkafka copies what it keeps.
    unsafe {
        native::rd_kafka_DescribeConsumerGroups(
            client.native_ptr(),
            names.as_mut_ptr(),
            names.len(),
            question.options.as_ptr(),
            question.queue.as_ptr(),
        );
    }
    let answer = question.answer(native::RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT)?;
    // SAFETY: the event is of this type, and everything read from it is copied before `answer` is dropped.
    unsafe {
        let result = native::rd_kafka_event_DescribeConsumerGroups_result(answer.as_ptr());
        let groups = array(|count| native::rd_kafka_DescribeConsumerGroups_result_groups(result, count));
        let group = *groups.first().ok_or_else(no_answer)?;
        let error = native::rd_kafka_ConsumerGroupDescription_error(group);
        check(native::rd_kafka_error_code(error), native::rd_kafka_error_string(error))?;
        let count = native::rd_kafka_ConsumerGroupDescription_member_count(group);
        Ok((0..count)
            .map(|index| member(native::rd_kafka_ConsumerGroupDescription_member(group, index), topic))
            .collect())
    }
}

/// # Safety
/// `member` is a member's description that is alive.
unsafe fn member(member: *const native::rd_kafka_MemberDescription_t, topic: &str) -> GroupMember {
    // SAFETY: as the caller promised; what the getters return belongs to the description.
    unsafe {
        let host = text(native::rd_kafka_MemberDescription_host(member)).unwrap_or_default();
        let assignment = native::rd_kafka_MemberDescription_assignment(member);
        GroupMember {
            member_id: text(native::rd_kafka_MemberDescription_consumer_id(member)).unwrap_or_default(),
            client_id: text(native::rd_kafka_MemberDescription_client_id(member)).unwrap_or_default(),
            // Brokers write an address without a name as `/10.0.0.1`.
            host: host.trim_start_matches('/').to_owned(),
            partitions: partitions(assignment, topic),
        }
    }
}

/// # Safety
/// `assignment` is null or alive.
unsafe fn partitions(assignment: *const native::rd_kafka_MemberAssignment_t, topic: &str) -> Vec<i32> {
    if assignment.is_null() {
        return vec![];
    }
    // SAFETY: as the caller promised; the list says how many elements it has, and each of them has a topic.
    unsafe {
        let list = native::rd_kafka_MemberAssignment_partitions(assignment);
        if list.is_null() || (*list).cnt <= 0 {
            return vec![];
        }
        let elements = std::slice::from_raw_parts((*list).elems, (*list).cnt as usize);
        let ours = elements.iter().filter(|element| text(element.topic).as_deref() == Some(topic));
        let mut partitions: Vec<i32> = ours.map(|element| element.partition).collect();
        partitions.sort_unstable();
        partitions
    }
}
