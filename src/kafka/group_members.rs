//! Who is in a consumer group and what each has, as the brokers tell it.
//!
//! By `ListGroups` and `DescribeGroups`, which librdkafka sends to every broker, and not by `DescribeConsumerGroups`: there
//! librdkafka (2.12.1) ends the process where the coordinator goes away meanwhile (confluentinc/librdkafka#4605). The
//! assertion is in the admin API's search for the coordinator, which these two do without.
#![expect(
    unsafe_code,
    reason = "rdkafka's fetch_group_list drops, and leaks, what came while a broker is away"
)]

use std::{
    ffi::{CStr, c_int},
    ptr, slice,
    time::Duration,
};

use rdkafka::{
    bindings as native,
    client::{Client, ClientContext},
    types::RDKafkaErrorCode,
};

use super::{
    describe::{DescribeError, c_name, check, error_code, text},
    member_assignment::partitions_of,
};

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

/// Who is in a group, as far as brokers tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupMembers {
    /// All of them.
    Known(Vec<GroupMember>),
    /// It is a group of the new protocol (KIP-848), of which they do not tell.
    NotTold,
}

/// What the brokers that answered say of a group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The group's coordinator has said who is in it.
    Members(Vec<GroupMember>),
    /// It is a group of the new protocol (KIP-848), whose members `DescribeGroups` does not tell.
    OtherProtocol,
    /// None of them has such a group. Another broker may have it, which gave no answer.
    NotListed,
}

/// What a group of the new protocol is to `DescribeGroups`. A classic one that is dead is not listed any more.
const DEAD: &CStr = c"Dead";

/// How long brokers are waited for: each time for all of them. One that is away uses up the first wait, which is
/// enough for the others where connections are open.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Asks every broker; blocks for the sum of [`WAITS`] at most.
pub(super) fn group_members<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    topic: &str,
) -> Result<Told, DescribeError> {
    let mut told = Ok(Told::NotListed);
    for wait in WAITS {
        told = ask(client, group, topic, wait);
        if let Ok(Told::Members(_) | Told::OtherProtocol) = told {
            break;
        }
    }
    told
}

fn ask<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    topic: &str,
    timeout: Duration,
) -> Result<Told, DescribeError> {
    let name = c_name(group)?;
    let mut list = ptr::null();
    // SAFETY: client and name are alive; the list is ours where there is one, and freed once all is copied.
    unsafe {
        let code = native::rd_kafka_list_groups(
            client.native_ptr(),
            name.as_ptr(),
            &raw mut list,
            timeout.as_millis() as c_int,
        );
        if list.is_null() {
            check(code, ptr::null())?;
            return Ok(Told::NotListed);
        }
        let told = read(&*list, &name, topic);
        native::rd_kafka_group_list_destroy(list);
        // Some brokers gave no answer; where the coordinator did, nothing is missing.
        if told == Ok(Told::NotListed) && error_code(code) == RDKafkaErrorCode::Partial {
            check(code, ptr::null())?;
        }
        told
    }
}

/// # Safety
/// The list is librdkafka's.
unsafe fn read(list: &native::rd_kafka_group_list, name: &CStr, topic: &str) -> Result<Told, DescribeError> {
    // SAFETY: arrays have as many elements as it says; strings are null or end with a NUL.
    unsafe {
        let found = elements(list.groups, list.group_cnt)
            .iter()
            .find(|group| !group.group.is_null() && CStr::from_ptr(group.group) == name);
        let Some(group) = found else { return Ok(Told::NotListed) };
        check(group.err, ptr::null())?;
        if !group.state.is_null() && CStr::from_ptr(group.state) == DEAD {
            return Ok(Told::OtherProtocol);
        }
        let members = elements(group.members, group.member_cnt).iter();
        Ok(Told::Members(members.map(|info| member(info, topic)).collect()))
    }
}

/// # Safety
/// As [`read`].
unsafe fn member(info: &native::rd_kafka_group_member_info, topic: &str) -> GroupMember {
    // SAFETY: as the caller promised.
    unsafe {
        let host = text(info.client_host).unwrap_or_default();
        let assignment = elements(info.member_assignment.cast::<u8>(), info.member_assignment_size);
        GroupMember {
            member_id: text(info.member_id).unwrap_or_default(),
            client_id: text(info.client_id).unwrap_or_default(),
            // Brokers write an address without a name as `/10.0.0.1`.
            host: host.trim_start_matches('/').to_owned(),
            // A member whose assignment nobody can read is a member all the same.
            partitions: partitions_of(assignment, topic).unwrap_or_default(),
        }
    }
}

/// # Safety
/// `first` is null or an array of as many elements as `count` says, which outlives `'a`.
unsafe fn elements<'a, T>(first: *const T, count: c_int) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: as the caller promised.
        Ok(count) if !first.is_null() => unsafe { slice::from_raw_parts(first, count) },
        _ => &[],
    }
}
