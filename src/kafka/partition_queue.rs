//! The local queue of one partition, drained many records at a time.
//!
//! librdkafka prefetches into it. A partition that is not drained keeps what it has and stops fetching at the
//! queue's bound, so holding back loses nothing (pausing would throw the prefetched records away), while the
//! consumer's main queue goes on serving the group.
//!
//! The one place that reads records through librdkafka's C interface: the `rdkafka` crate needs two allocations for
//! each message. Besides records a queue holds what librdkafka says of the partition, in the order in which it happened:
//! the end of the log was reached, or a fetch failed.
//!
//! Messages are taken one by one, with `rd_kafka_consume_queue`. `rd_kafka_consume_batch_queue` counts an error, and the
//! end of a log, as a record: it moves librdkafka's position past a record that nobody has read, and at the next
//! rebalance librdkafka, which pauses every partition for it, goes on fetching from there (2.12.1).
#![expect(unsafe_code, reason = "librdkafka's batch interface has no safe wrapper")]

use std::{ffi::CString, ptr::NonNull, slice, thread::Thread};

use rdkafka::{bindings as native, client::Client, consumer::ConsumerContext};

use super::fetch_error::FetchError;
use crate::{
    batch::{Header, Record},
    log::RecordIdentity,
    reading::Timestamp,
};

/// What a partition's queue holds.
#[derive(Debug)]
pub enum Fetched<'a> {
    /// A record.
    Record(Record<'a>),
    /// Kafka says that all records below this offset that a reader may see have been handed out: what lies between the
    /// last of them and this offset are control records and aborted transactions.
    End(i64),
    /// A fetch failed. What follows in the queue says nothing about what lies between.
    Failed(FetchError),
}

/// A partition's own queue, split from the consumer's.
pub(super) struct PartitionQueue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// Opaque pointer of the callback, so it lives as long as the queue may call it.
    owner: Box<Thread>,
}

// SAFETY: librdkafka's queues are thread-safe, and the callback's thread handle is Sync.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Splits the queue off. Done before the partition is assigned, no record goes to the consumer's main queue.
    /// `owner` is unparked whenever the queue stops being empty.
    pub(super) fn split<C: ConsumerContext>(
        client: &Client<C>,
        topic: &str,
        partition: i32,
        owner: Thread,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let owner = Box::new(owner);
        // SAFETY: the client is alive for the call; the queue handle returned is ours to destroy; the opaque
        // pointer stays valid until `drop` takes the callback away.
        unsafe {
            let queue = NonNull::new(native::rd_kafka_queue_get_partition(
                client.native_ptr(),
                topic.as_ptr(),
                partition,
            ))?;
            native::rd_kafka_queue_forward(queue.as_ptr(), std::ptr::null_mut());
            let opaque = std::ptr::from_ref::<Thread>(&owner).cast_mut().cast();
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(unpark), opaque);
            Some(Self { queue, owner })
        }
    }

    /// Takes what is there, at once, up to so many records.
    pub(super) fn drain(&self, most: usize) -> Drained {
        // SAFETY: the queue is alive; each message handed out is ours to destroy.
        let next = || NonNull::new(unsafe { native::rd_kafka_consume_queue(self.queue.as_ptr(), 0) });
        Drained { messages: std::iter::from_fn(next).take(most).collect() }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: disabling takes the queue's lock, so no callback runs once it has returned; the handle is ours.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, std::ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
        self.owner.unpark();
    }
}

/// Runs on librdkafka's threads.
unsafe extern "C" fn unpark(_: *mut native::rd_kafka_t, owner: *mut std::ffi::c_void) {
    // SAFETY: the pointer is the one given in `split`, valid until the callback is taken away.
    unsafe { (*owner.cast::<Thread>()).unpark() }
}

/// Messages taken out of a queue, freed when dropped.
pub(super) struct Drained {
    messages: Vec<NonNull<native::rd_kafka_message_t>>,
}

impl Drained {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Which record this one of them is.
    pub(super) fn identity(&self, index: usize) -> RecordIdentity {
        // SAFETY: the pointer came from librdkafka and lives until `self` is dropped.
        unsafe { record(self.messages[index].as_ref()) }.identity()
    }

    /// What is there, in its order.
    pub(super) fn items(&self) -> impl Iterator<Item = Fetched<'_>> {
        // SAFETY: every pointer came from librdkafka and lives until `self` is dropped.
        self.messages.iter().map(|message| unsafe { fetched(message.as_ptr()) })
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        for &message in &self.messages {
            // SAFETY: ours, and destroyed once.
            unsafe { native::rd_kafka_message_destroy(message.as_ptr()) }
        }
    }
}

/// # Safety
/// The message must be valid for as long as what is made of it, as librdkafka makes them.
unsafe fn fetched<'a>(message: *const native::rd_kafka_message_t) -> Fetched<'a> {
    const NO_ERROR: i32 = native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR as i32;
    const PARTITION_EOF: i32 = native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32;
    // SAFETY: as promised by the caller. The code is read as a number, for it is whatever the broker sent; an error's
    // text stands where a record has its value.
    unsafe {
        match (&raw const (*message).err).cast::<i32>().read() {
            NO_ERROR => Fetched::Record(record(&*message)),
            PARTITION_EOF => Fetched::End((*message).offset),
            code => {
                let told = bytes((*message).payload, (*message).len).unwrap_or_default();
                Fetched::Failed(FetchError::new(code, &String::from_utf8_lossy(told)))
            }
        }
    }
}

/// # Safety
/// The message's pointers must be valid, as librdkafka makes them.
unsafe fn record(message: &native::rd_kafka_message_t) -> Record<'_> {
    let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: as promised by the caller; key and value live as long as the message.
    unsafe {
        let millis = native::rd_kafka_message_timestamp(message, &raw mut kind);
        let leader_epoch = native::rd_kafka_message_leader_epoch(message);
        Record {
            partition: message.partition,
            offset: message.offset,
            timestamp: (millis >= 0).then(|| Timestamp::from_millis(millis)),
            leader_epoch: (leader_epoch >= 0).then_some(leader_epoch),
            key: bytes(message.key, message.key_len),
            payload: bytes(message.payload, message.len),
            headers: headers(message),
        }
    }
}

unsafe fn bytes<'a>(start: *const std::ffi::c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: a pointer that is not null has this many bytes behind it.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), length) })
}

unsafe fn headers(message: &native::rd_kafka_message_t) -> Vec<Header> {
    let mut all = Vec::new();
    let mut list = std::ptr::null_mut();
    // SAFETY: the list belongs to the message; names end in NUL; values have the length given.
    unsafe {
        if native::rd_kafka_message_headers(message, &raw mut list)
            != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return all;
        }
        let (mut name, mut value, mut length) = (std::ptr::null(), std::ptr::null(), 0);
        while native::rd_kafka_header_get_all(list, all.len(), &raw mut name, &raw mut value, &raw mut length)
            == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            let name = std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned();
            all.push((name, bytes(value, length).map(<[u8]>::to_vec)));
        }
    }
    all
}

/// The log's high watermark as the last fetch saw it, without asking the broker; none before the first one.
pub(super) fn high_watermark<C: ConsumerContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive for the call, which writes two integers.
    let code = unsafe {
        native::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}
