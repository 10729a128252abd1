//! What the brokers tell of topics and groups: which topic of that name it is, and what they let our user do with it. Reads
//! only.
#![allow(unsafe_code, reason = "topic ids and authorized operations exist in librdkafka's C interface only")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_AclOperation_t as AclOperation;

/// Operations by Kafka's names, or why they are not told.
pub(super) type Allowed = Result<Vec<&'static str>, RDKafkaErrorCode>;

/// What brokers tell of a topic.
pub(super) struct Topic {
    /// Which of all topics that ever had its name it is, as Kafka's tools show it; `None` where the brokers give no ids.
    pub(super) id: Option<String>,
    /// What we may do with it, where that was asked for; an error tells that they do not say anything of the topic.
    pub(super) allowed: Allowed,
}

/// Whether it is asked for what is allowed: brokers have to look through their rules for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Ids,
    Permissions,
}

/// What the brokers tell of each of these topics, by name.
pub(super) fn topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    ask: Ask,
    timeout: Duration,
) -> KafkaResult<BTreeMap<String, Topic>> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let question = Question::new(client, kind, ask, timeout)?;
    let names = topics.iter().map(|topic| CString::new(*topic)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: client, options and queue are alive; the collection copies the names and is destroyed after the call,
    // which copies it.
    unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let (options, queue) = (question.options.as_ptr(), question.queue.as_ptr());
        sys::rd_kafka_DescribeTopics(client.native_ptr(), collection, options, queue);
        sys::rd_kafka_TopicCollection_destroy(collection);
    }
    let answer = question.answer(timeout)?;
    let mut told = BTreeMap::new();
    // SAFETY: everything read belongs to the answer, which lives until the end of this function.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(answer.0.as_ptr());
        let mut count = 0;
        let found = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for index in 0..count {
            let topic = *found.add(index);
            let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
            let id = id_text(sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(topic)));
            let mut operations = 0;
            let first = sys::rd_kafka_TopicDescription_authorized_operations(topic, &mut operations);
            let allowed = named(sys::rd_kafka_TopicDescription_error(topic), first, operations);
            told.insert(name, Topic { id, allowed });
        }
    }
    Ok(told)
}

/// What Kafka shows of a topic that has no id: it was made before brokers gave ids.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// # Safety
/// `text` must be null or a text of librdkafka that is alive.
unsafe fn id_text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise. Kafka's tools write the URL-safe alphabet.
    let id = unsafe { CStr::from_ptr(text) }.to_string_lossy().replace('+', "-").replace('/', "_");
    (id != NO_ID).then_some(id)
}

/// What may be done with a group.
pub(super) fn group<C: ClientContext>(client: &Client<C>, group: &str, timeout: Duration) -> KafkaResult<Allowed> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let question = Question::new(client, kind, Ask::Permissions, timeout)?;
    let name = CString::new(group)?;
    let mut pointers = [name.as_ptr()];
    // SAFETY: client, options and queue are alive; the call copies the name.
    unsafe {
        let (options, queue) = (question.options.as_ptr(), question.queue.as_ptr());
        sys::rd_kafka_DescribeConsumerGroups(client.native_ptr(), pointers.as_mut_ptr(), 1, options, queue);
    }
    let answer = question.answer(timeout)?;
    // SAFETY: everything read belongs to the answer, which lives until the end of this function.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(answer.0.as_ptr());
        let mut count = 0;
        let found = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if count == 0 {
            return Ok(Err(RDKafkaErrorCode::NoEnt));
        }
        let mut operations = 0;
        let first = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(*found, &mut operations);
        Ok(named(sys::rd_kafka_ConsumerGroupDescription_error(*found), first, operations))
    }
}

/// # Safety
/// `error` must be null or an error, `first` the first of `count` operations; both alive.
unsafe fn named(error: *const sys::rd_kafka_error_t, first: *const AclOperation, count: usize) -> Allowed {
    // SAFETY: the caller's promise; a null error has the code 0.
    let code = unsafe { sys::rd_kafka_error_code(error) };
    if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(code.into());
    }
    if first.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise.
    let operations = unsafe { std::slice::from_raw_parts(first, count) };
    Ok(operations.iter().filter_map(|operation| name_of(*operation)).collect())
}

fn name_of(operation: AclOperation) -> Option<&'static str> {
    match operation {
        AclOperation::RD_KAFKA_ACL_OPERATION_READ => Some("Read"),
        AclOperation::RD_KAFKA_ACL_OPERATION_WRITE => Some("Write"),
        AclOperation::RD_KAFKA_ACL_OPERATION_CREATE => Some("Create"),
        AclOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE => Some("Describe"),
        AclOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some("DescribeConfigs"),
        _ => None,
    }
}

/// Options of a question, and the queue its answer comes by.
struct Question {
    options: NonNull<sys::rd_kafka_AdminOptions_t>,
    queue: NonNull<sys::rd_kafka_queue_t>,
}

impl Question {
    fn new<C: ClientContext>(
        client: &Client<C>,
        kind: sys::rd_kafka_admin_op_t,
        ask: Ask,
        timeout: Duration,
    ) -> KafkaResult<Self> {
        let unmade = || KafkaError::AdminOpCreation("librdkafka gave no options".to_owned());
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive; options and queue are ours until `drop`. Of the two settings the first cannot
        // fail for these kinds, and a time-out that is refused leaves the default.
        unsafe {
            let options = NonNull::new(sys::rd_kafka_AdminOptions_new(client.native_ptr(), kind)).ok_or_else(unmade)?;
            let queue = NonNull::new(sys::rd_kafka_queue_new(client.native_ptr())).ok_or_else(unmade)?;
            let include = i32::from(ask == Ask::Permissions);
            let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options.as_ptr(), include);
            sys::rd_kafka_error_destroy(refused);
            let mut text = [0; 128];
            sys::rd_kafka_AdminOptions_set_request_timeout(options.as_ptr(), timeout_ms, text.as_mut_ptr(), text.len());
            Ok(Self { options, queue })
        }
    }

    /// Waits for the answer.
    fn answer(&self, timeout: Duration) -> KafkaResult<Answer> {
        // librdkafka answers at its own time-out; the second more is for a busy machine.
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).saturating_add(1000);
        // SAFETY: the queue is alive; the event is ours.
        let event = unsafe { sys::rd_kafka_queue_poll(self.queue.as_ptr(), timeout_ms) };
        let answer = Answer(NonNull::new(event).ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))?);
        // SAFETY: the event is alive.
        match unsafe { sys::rd_kafka_event_error(answer.0.as_ptr()) } {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(answer),
            code => Err(KafkaError::MetadataFetch(code.into())),
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // SAFETY: both are ours and not used after this.
        unsafe {
            sys::rd_kafka_AdminOptions_destroy(self.options.as_ptr());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// An answer, until it is dropped.
struct Answer(NonNull<sys::rd_kafka_event_t>);

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: the event is ours and not used after this.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}
