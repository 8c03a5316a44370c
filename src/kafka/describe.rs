//! What librdkafka knows about a topic and `rdkafka` does not wrap: the topic's id, and its settings on any client.
#![expect(
    unsafe_code,
    reason = "rdkafka has no safe call for DescribeTopics, nor DescribeConfigs without an AdminClient"
)]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    hint::black_box,
    ptr::{self, NonNull},
    slice,
    time::Duration,
};

use rdkafka::{
    bindings as native,
    client::{Client, ClientContext},
    types::RDKafkaErrorCode,
};

use super::connection::{NotConnected, answering_broker};

/// What the cluster says about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicDescription {
    /// Base64, as Kafka's tools print it.
    pub(super) topic_id: String,
    pub(super) partitions: usize,
}

/// A question that the cluster did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code:?})")]
pub struct DescribeError {
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// Its words.
    pub message: String,
}

impl DescribeError {
    /// Whether a broker has answered, though not what was asked for.
    pub(super) fn is_answer(&self) -> bool {
        use RDKafkaErrorCode as Code;
        !matches!(self.code, Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut)
    }
}

impl From<NotConnected> for DescribeError {
    fn from(_: NotConnected) -> Self {
        Self { code: RDKafkaErrorCode::BrokerTransportFailure, message: "no broker is connected".to_owned() }
    }
}

/// The queue answers at the request's timeout at the latest; this much longer is waited for that answer.
const ANSWER_GRACE: Duration = Duration::from_millis(500);

/// Asks the cluster for a topic's id and partitions; blocks for `timeout` at most.
pub(super) fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<TopicDescription, DescribeError> {
    let question = TopicQuestion::ask_at(answering_broker(client, topic, timeout)?, client, topic, timeout)?;
    TopicQuestion::read(&question.0.answer(native::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT)?)
}

/// The same question, its answer taken whenever it is there. To be dropped before the client.
pub(super) struct TopicQuestion(Question);

impl TopicQuestion {
    /// Asks; the answer, or that there is none, is due after `timeout`.
    pub(super) fn ask<C: ClientContext>(
        client: &Client<C>,
        topic: &str,
        timeout: Duration,
    ) -> Result<Self, DescribeError> {
        Self::ask_at(None, client, topic, timeout)
    }

    fn ask_at<C: ClientContext>(
        broker: Option<i32>,
        client: &Client<C>,
        topic: &str,
        timeout: Duration,
    ) -> Result<Self, DescribeError> {
        let name = c_name(topic)?;
        let mut names = [name.as_ptr()];
        // SAFETY: one valid C string, which librdkafka copies; the guard owns the collection.
        let topics = unsafe {
            Owned::new(
                native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
                native::rd_kafka_TopicCollection_destroy,
            )?
        };
        let question =
            Question::new(client, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout)?;
        question.ask_of(broker)?;
        // SAFETY: client, collection, options and queue are alive; librdkafka copies what it keeps.
        unsafe {
            native::rd_kafka_DescribeTopics(
                client.native_ptr(),
                topics.as_ptr(),
                question.options.as_ptr(),
                question.queue.as_ptr(),
            );
        }
        Ok(Self(question))
    }

    /// The answer, if it is there; never waits.
    pub(super) fn poll(&self) -> Option<Result<TopicDescription, DescribeError>> {
        let event = self.0.answer_within(0, native::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT)?;
        Some(event.and_then(|event| Self::read(&event)))
    }

    fn read(answer: &Owned<native::rd_kafka_event_t>) -> Result<TopicDescription, DescribeError> {
        // SAFETY: the event is of this type, and everything read from it is copied before `answer` is dropped.
        unsafe {
            let result = native::rd_kafka_event_DescribeTopics_result(answer.as_ptr());
            let descriptions = array(|count| native::rd_kafka_DescribeTopics_result_topics(result, count));
            let description = *descriptions.first().ok_or_else(no_answer)?;
            let error = native::rd_kafka_TopicDescription_error(description);
            check(native::rd_kafka_error_code(error), native::rd_kafka_error_string(error))?;
            let id = native::rd_kafka_Uuid_base64str(native::rd_kafka_TopicDescription_topic_id(description));
            let partitions = array(|count| native::rd_kafka_TopicDescription_partitions(description, count));
            Ok(TopicDescription { topic_id: text(id).ok_or_else(no_answer)?, partitions: partitions.len() })
        }
    }
}

/// Asks the cluster for settings of a topic; blocks for `timeout` at most. None: it has no such setting.
pub(super) fn describe_settings<C: ClientContext, const N: usize>(
    client: &Client<C>,
    topic: &str,
    settings: [&str; N],
    timeout: Duration,
) -> Result<[Option<String>; N], DescribeError> {
    let name = c_name(topic)?;
    // SAFETY: a valid C string, which librdkafka copies; the guard owns the resource.
    let resource = unsafe {
        Owned::new(
            native::rd_kafka_ConfigResource_new(
                native::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                name.as_ptr(),
            ),
            native::rd_kafka_ConfigResource_destroy,
        )?
    };
    let question =
        Question::new(client, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout)?;
    question.ask_of(answering_broker(client, topic, timeout)?)?;
    let mut resources = [resource.as_ptr()];
    // SAFETY: client, resource, options and queue are alive; librdkafka copies what it keeps.
    unsafe {
        native::rd_kafka_DescribeConfigs(
            client.native_ptr(),
            resources.as_mut_ptr(),
            resources.len(),
            question.options.as_ptr(),
            question.queue.as_ptr(),
        );
    }
    let answer = question.answer(native::RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT)?;
    // SAFETY: the event is of this type, and everything read from it is copied before `answer` is dropped.
    unsafe {
        let result = native::rd_kafka_event_DescribeConfigs_result(answer.as_ptr());
        let described = array(|count| native::rd_kafka_DescribeConfigs_result_resources(result, count));
        let described = *described.first().ok_or_else(no_answer)?;
        check(
            native::rd_kafka_ConfigResource_error(described),
            native::rd_kafka_ConfigResource_error_string(described),
        )?;
        let entries = array(|count| native::rd_kafka_ConfigResource_configs(described, count));
        Ok(settings.map(|setting| {
            let entry = entries
                .iter()
                .find(|entry| text(native::rd_kafka_ConfigEntry_name(**entry)).as_deref() == Some(setting));
            entry.and_then(|entry| text(native::rd_kafka_ConfigEntry_value(*entry)))
        }))
    }
}

/// The cluster's id; blocks for `timeout` at most where no broker has answered yet.
///
/// `Client::fetch_cluster_id` does the same and never frees the string.
pub(super) fn cluster_id<C: ClientContext>(client: &Client<C>, timeout: Duration) -> Option<String> {
    // SAFETY: the client is alive; the string is ours, copied and then freed by the allocator that made it.
    unsafe {
        let id = native::rd_kafka_clusterid(client.native_ptr(), millis(timeout));
        let copy = text(id);
        if !id.is_null() {
            native::rd_kafka_mem_free(client.native_ptr(), id.cast());
        }
        copy
    }
}

/// The latest failure that a client met on its own, such as a refused login; librdkafka keeps trying.
///
/// Only for a client that nobody polls: it takes the events away from whoever does.
pub(super) fn latest_failure<C: ClientContext>(client: &Client<C>) -> Option<String> {
    /// More events than a client that just started has to tell.
    const EVENTS_AT_MOST: usize = 1_000;
    let mut latest = None;
    // SAFETY: the client is alive; the guards own the queue's reference and each event.
    unsafe {
        let main = native::rd_kafka_queue_get_main(client.native_ptr());
        let main = Owned::new(main, native::rd_kafka_queue_destroy).ok()?;
        for _ in 0..EVENTS_AT_MOST {
            let event = native::rd_kafka_queue_poll(main.as_ptr(), 0);
            let Ok(event) = Owned::new(event, native::rd_kafka_event_destroy) else { break };
            if native::rd_kafka_event_type(event.as_ptr()) == native::RD_KAFKA_EVENT_ERROR {
                latest = text(native::rd_kafka_event_error_string(event.as_ptr())).or(latest);
            }
        }
    }
    latest
}

/// A native handle that is freed with its own function on every way out.
pub(super) struct Owned<T> {
    handle: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    /// `handle` is null, or nobody else frees it and `free` is the function that does.
    unsafe fn new(handle: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Self, DescribeError> {
        NonNull::new(handle).map(|handle| Self { handle, free }).ok_or_else(|| DescribeError {
            code: RDKafkaErrorCode::InvalidArgument,
            message: "librdkafka gave no handle".to_owned(),
        })
    }

    pub(super) fn as_ptr(&self) -> *mut T {
        self.handle.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new`'s caller promised that the handle is ours and this is its function; it runs once.
        unsafe { (self.free)(self.handle.as_ptr()) }
    }
}

/// Options and the queue of its own on which one admin request is answered.
pub(super) struct Question {
    pub(super) options: Owned<native::rd_kafka_AdminOptions_t>,
    pub(super) queue: Owned<native::rd_kafka_queue_t>,
    timeout: Duration,
}

// SAFETY: librdkafka's queues and options are bound to no thread, and only one thread at a time has these.
unsafe impl Send for Question {}

impl Question {
    pub(super) fn new<C: ClientContext>(
        client: &Client<C>,
        operation: native::rd_kafka_admin_op_t,
        timeout: Duration,
    ) -> Result<Self, DescribeError> {
        // SAFETY: the client outlives both handles, which the guards own; no error text is asked for.
        unsafe {
            let client = client.native_ptr();
            let options = Owned::new(
                native::rd_kafka_AdminOptions_new(client, operation),
                native::rd_kafka_AdminOptions_destroy,
            )?;
            let code = native::rd_kafka_AdminOptions_set_request_timeout(
                options.as_ptr(),
                millis(timeout),
                ptr::null_mut(),
                0,
            );
            check(code, ptr::null())?;
            let queue = Owned::new(native::rd_kafka_queue_new(client), native::rd_kafka_queue_destroy)?;
            Ok(Self { options, queue, timeout })
        }
    }

    /// Has the question sent to this broker, where one is named.
    fn ask_of(&self, broker: Option<i32>) -> Result<(), DescribeError> {
        let Some(broker) = broker.filter(|id| *id >= 0) else { return Ok(()) };
        // SAFETY: the options are alive; no error text is asked for, and none is checked.
        unsafe {
            let code =
                native::rd_kafka_AdminOptions_set_broker(self.options.as_ptr(), broker, ptr::null_mut(), 0);
            check(code, ptr::null())
        }
    }

    /// Waits for the event of this type.
    pub(super) fn answer(&self, event_type: c_int) -> Result<Owned<native::rd_kafka_event_t>, DescribeError> {
        self.answer_within(millis(self.timeout + ANSWER_GRACE), event_type)
            .unwrap_or_else(|| Err(no_answer()))
    }

    /// The event of this type; none where nothing has come in time.
    pub(super) fn answer_within(
        &self,
        timeout_ms: c_int,
        event_type: c_int,
    ) -> Option<Result<Owned<native::rd_kafka_event_t>, DescribeError>> {
        // SAFETY: the queue is alive and the event, where there is one, is ours.
        let event = unsafe { native::rd_kafka_queue_poll(self.queue.as_ptr(), timeout_ms) };
        (!event.is_null()).then(|| Self::checked(event, event_type))
    }

    fn checked(
        event: *mut native::rd_kafka_event_t,
        event_type: c_int,
    ) -> Result<Owned<native::rd_kafka_event_t>, DescribeError> {
        // SAFETY: the event is ours, and checked not to be null.
        unsafe {
            let event = Owned::new(event, native::rd_kafka_event_destroy)?;
            check(
                native::rd_kafka_event_error(event.as_ptr()),
                native::rd_kafka_event_error_string(event.as_ptr()),
            )?;
            if native::rd_kafka_event_type(event.as_ptr()) == event_type {
                Ok(event)
            } else {
                Err(no_answer())
            }
        }
    }
}

pub(super) fn c_name(topic: &str) -> Result<CString, DescribeError> {
    CString::new(topic).map_err(|_| DescribeError {
        code: RDKafkaErrorCode::InvalidTopic,
        message: "a topic's name holds no NUL byte".to_owned(),
    })
}

pub(super) fn no_answer() -> DescribeError {
    DescribeError {
        code: RDKafkaErrorCode::RequestTimedOut,
        message: "the cluster gave no answer".to_owned(),
    }
}

/// A positive number of milliseconds that librdkafka accepts (an hour at most).
fn millis(timeout: Duration) -> c_int {
    timeout.as_millis().clamp(1, 3_600_000) as c_int
}

/// A code by its name; `Unknown` for one that the crate's enum does not have. A broker may answer any number, librdkafka
/// hands it on, and matching on it would be undefined.
pub(super) fn error_code(code: native::rd_kafka_resp_err_t) -> RDKafkaErrorCode {
    // The compiler takes it that the enum has it, and is not to know where this number comes from.
    let number = black_box(code as i32);
    native::rd_kafka_resp_err_t::try_from(number).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from)
}

/// # Safety
/// `message` is null or a C string.
pub(super) unsafe fn check(
    code: native::rd_kafka_resp_err_t,
    message: *const c_char,
) -> Result<(), DescribeError> {
    let code = error_code(code);
    if code == RDKafkaErrorCode::NoError {
        return Ok(());
    }
    // SAFETY: as the caller promised.
    let message = unsafe { text(message) };
    Err(DescribeError { code, message: message.unwrap_or_else(|| code.to_string()) })
}

/// # Safety
/// `text` is null or a C string.
pub(super) unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: as the caller promised.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The array that a native getter returns, its length through a pointer.
///
/// # Safety
/// `get` returns null or an array of as many elements as it says, which outlives `'a`.
pub(super) unsafe fn array<'a, T>(get: impl FnOnce(*mut usize) -> *mut *const T) -> &'a [*const T] {
    let mut count = 0;
    let first = get(&raw mut count);
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: as the caller promised.
    unsafe { slice::from_raw_parts(first, count) }
}
